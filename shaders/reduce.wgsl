// reduce: one value from each invocation of a team, joined for all of them. Called by all
// invocations of a workgroup together.
//
//   reduce_sum(lane, value)    the sum
//   reduce_max(lane, value)    the largest
//   LANES                      invocations of the workgroup, at most 256
//   TEAM                       neighbours that join their values: a power of two that divides LANES
//
// Sixteen neighbours are joined first, then the sixteens, always in the order of the lanes: an
// invocation reads 32 values at most, not 256. A team of one reads none and waits for nobody.

override LANES: u32 = 64u;
override TEAM: u32 = 64u;

const NEIGHBOURS = 16u;

var<workgroup> reduce_parts: array<f32, LANES>;
var<workgroup> reduce_joined: array<f32, NEIGHBOURS>;

// Shows every value to all; returns the first of the invocation's neighbours.
fn reduce_show(lane: u32, value: f32) -> u32 {
    workgroupBarrier(); // what was shown before has been read by all
    reduce_parts[lane] = value;
    workgroupBarrier();
    let near = min(NEIGHBOURS, TEAM);
    return lane / near * near;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    if TEAM == 1u {
        return value;
    }
    let first = reduce_show(lane, value);
    var near = 0.0;
    for (var i = first; i < first + min(NEIGHBOURS, TEAM); i++) {
        near += reduce_parts[i];
    }
    if TEAM <= NEIGHBOURS {
        return near;
    }
    if lane == first {
        reduce_joined[lane / NEIGHBOURS] = near;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = lane / TEAM * (TEAM / NEIGHBOURS); i < (lane / TEAM + 1u) * (TEAM / NEIGHBOURS); i++) {
        sum += reduce_joined[i];
    }
    return sum;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    if TEAM == 1u {
        return value;
    }
    let first = reduce_show(lane, value);
    var near = value;
    for (var i = first; i < first + min(NEIGHBOURS, TEAM); i++) {
        near = max(near, reduce_parts[i]);
    }
    if TEAM <= NEIGHBOURS {
        return near;
    }
    if lane == first {
        reduce_joined[lane / NEIGHBOURS] = near;
    }
    workgroupBarrier();
    var most = near;
    for (var i = lane / TEAM * (TEAM / NEIGHBOURS); i < (lane / TEAM + 1u) * (TEAM / NEIGHBOURS); i++) {
        most = max(most, reduce_joined[i]);
    }
    return most;
}
