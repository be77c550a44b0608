// reduce: one value from each invocation of a team, joined for all of them. Called by all
// invocations of a workgroup together.
//
//   reduce_sum(lane, value)    the sum
//   reduce_max(lane, value)    the largest
//   LANES                      invocations of the workgroup, at most 256
//   TEAM                       invocations that join their values,
//   APART                      and how far apart they are: powers of two, LANES a multiple of their
//                              product
//
// Sixteen neighbours in a team are joined first, then the sixteens, always in the order of the
// lanes: an invocation reads 32 values at most, not 256. A team of one reads none and waits for
// nobody.

override LANES: u32 = 64u;
override TEAM: u32 = 64u;
override APART: u32 = 1u;

const NEIGHBOURS = 16u;

var<workgroup> reduce_parts: array<f32, LANES>;
var<workgroup> reduce_joined: array<f32, NEIGHBOURS>;

// Shows every value to all; returns the first of the invocation's neighbours.
fn reduce_show(lane: u32, value: f32) -> u32 {
    workgroupBarrier(); // what was shown before has been read by all
    reduce_parts[lane] = value;
    workgroupBarrier();
    let reach = min(NEIGHBOURS, TEAM) * APART;
    return lane / reach * reach + lane % APART;
}

// Shows what sixteen neighbours came to; returns where those of the team begin.
fn reduce_show_joined(lane: u32, first: u32, near: f32) -> u32 {
    if lane == first {
        reduce_joined[lane / (NEIGHBOURS * APART) * APART + lane % APART] = near;
    }
    workgroupBarrier();
    return lane / (TEAM * APART) * (TEAM / NEIGHBOURS * APART) + lane % APART;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    if TEAM == 1u {
        return value;
    }
    let first = reduce_show(lane, value);
    var near = 0.0;
    for (var i = 0u; i < min(NEIGHBOURS, TEAM); i++) {
        near += reduce_parts[first + i * APART];
    }
    if TEAM <= NEIGHBOURS {
        return near;
    }
    let begin = reduce_show_joined(lane, first, near);
    var sum = 0.0;
    for (var i = 0u; i < TEAM / NEIGHBOURS; i++) {
        sum += reduce_joined[begin + i * APART];
    }
    return sum;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    if TEAM == 1u {
        return value;
    }
    let first = reduce_show(lane, value);
    var near = value;
    for (var i = 0u; i < min(NEIGHBOURS, TEAM); i++) {
        near = max(near, reduce_parts[first + i * APART]);
    }
    if TEAM <= NEIGHBOURS {
        return near;
    }
    let begin = reduce_show_joined(lane, first, near);
    var most = near;
    for (var i = 0u; i < TEAM / NEIGHBOURS; i++) {
        most = max(most, reduce_joined[begin + i * APART]);
    }
    return most;
}
