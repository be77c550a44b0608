// scale: one a row, behind the weight's elements, from when it was uploaded: bf16 and f32 hold
// numbers that f16 cannot, 1e30 or 1e-8. The largest element of a row becomes one between 2^14 and
// 2^15, so that only elements 2^29 times smaller lose bits, those 2^39 times smaller all of them:
// less than the f32 sum loses beside the largest.

@group(0) @binding(9) var<storage, read> scales: array<f32>; // [N], powers of two

fn weight_scale(row: u32) -> f32 {
    return scales[row];
}
