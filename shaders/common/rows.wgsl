// rows: one value from each invocation of a workgroup, joined for all of them. Called by all
// invocations together.
//
//   row_sum(lane, value)      the sum
//   row_max(lane, value)      the largest
//   LANES                     invocations of the workgroup, at most 256
//
// Sixteen neighbours are joined first, then the sixteens, always in the order of the lanes: an
// invocation reads 32 values at most, not 256.

override LANES: u32 = 64u;

const NEIGHBOURS = 16u;

var<workgroup> row_parts: array<f32, LANES>;
var<workgroup> row_joined: array<f32, NEIGHBOURS>;

// Shows every value to all; returns the first of the invocation's neighbours.
fn row_show(lane: u32, value: f32) -> u32 {
    workgroupBarrier(); // what was shown before has been read by all
    row_parts[lane] = value;
    workgroupBarrier();
    return lane / NEIGHBOURS * NEIGHBOURS;
}

fn row_sum(lane: u32, value: f32) -> f32 {
    let first = row_show(lane, value);
    var near = 0.0;
    for (var i = first; i < min(first + NEIGHBOURS, LANES); i++) {
        near += row_parts[i];
    }
    if LANES <= NEIGHBOURS {
        return near;
    }
    if lane == first {
        row_joined[lane / NEIGHBOURS] = near;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < (LANES + NEIGHBOURS - 1u) / NEIGHBOURS; i++) {
        sum += row_joined[i];
    }
    return sum;
}

fn row_max(lane: u32, value: f32) -> f32 {
    let first = row_show(lane, value);
    var near = row_parts[first];
    for (var i = first + 1u; i < min(first + NEIGHBOURS, LANES); i++) {
        near = max(near, row_parts[i]);
    }
    if LANES <= NEIGHBOURS {
        return near;
    }
    if lane == first {
        row_joined[lane / NEIGHBOURS] = near;
    }
    workgroupBarrier();
    var most = row_joined[0];
    for (var i = 1u; i < (LANES + NEIGHBOURS - 1u) / NEIGHBOURS; i++) {
        most = max(most, row_joined[i]);
    }
    return most;
}
