// row_sum(lane, value): the sum of one value from each invocation of the workgroup, to all of
// them, in the order of the lanes. Called by all invocations together.

override LANES: u32 = 64u;

var<workgroup> row_parts: array<f32, LANES>;

fn row_sum(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // the sum before this one has been read by all
    row_parts[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) {
        sum += row_parts[i];
    }
    return sum;
}
