// staged: f32 operands in workgroup memory by groups of four, and products of 4 x 4 blocks of them.
//
//   stage                      STAGE4 groups
//   staged(at, apart)          four of them
//   added(sum, left, right)    sum[j] + left[0] right[j].x + left[1] right[j].y + .., for each j
//
// Matrices hold what an invocation computes with: an array that a loop indexes lies in memory
// unless the driver unrolls the loop. Transposing one in registers is free.

import package::tile::{STAGE4};

var<workgroup> stage: array<vec4<f32>, STAGE4>;

fn staged(at: u32, apart: u32) -> mat4x4<f32> {
    return mat4x4<f32>(stage[at], stage[at + apart], stage[at + 2u * apart], stage[at + 3u * apart]);
}

fn column(sum: vec4<f32>, left: mat4x4<f32>, right: vec4<f32>) -> vec4<f32> {
    let first = fma(left[0], vec4<f32>(right.x), sum);
    let second = fma(left[1], vec4<f32>(right.y), first);
    let third = fma(left[2], vec4<f32>(right.z), second);
    return fma(left[3], vec4<f32>(right.w), third);
}

fn added(sum: mat4x4<f32>, left: mat4x4<f32>, right: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        column(sum[0], left, right[0]),
        column(sum[1], left, right[1]),
        column(sum[2], left, right[2]),
        column(sum[3], left, right[3]),
    );
}
