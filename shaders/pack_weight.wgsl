// w = x[:, first .. first + C] or its transpose, laid out as the weight of a product
//
//   x [M, stride] f32, f16      w [R, C] or, transposed, [C, R] as `[N/8][K/4][8][4]` f32, f16
//
// For products of two activations: attention with a head too wide for one kernel. R is M rounded up
// to a multiple of 8; the rows beyond M become 0. C is a multiple of 8.
//
// One invocation moves four rows of four columns, so that it reads and writes groups of four either
// way.
//
//   workgroup: LANES; grid: blocks of 4 x 4 folded over x and y, column by column

import package::input::{Input4, unpack_input4};
import package::output::{Output4, pack_output4};

struct Params {
    rows: u32, // M
    rows4: u32, // R / 4
    cols4: u32, // C / 4
    first4: u32, // the first column
    stride4: u32, // columns of x
    transposed: u32, // 1 or 0
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>; // [M, stride4]
@group(0) @binding(2) var<storage, read_write> w: array<Output4>; // [N/8][K/4][8]

override LANES: u32 = 64u;

fn load(row: u32, col4: u32) -> vec4<f32> {
    if row >= params.rows {
        return vec4<f32>(0.0);
    }
    return unpack_input4(x[row * params.stride4 + params.first4 + col4]);
}

// Stores elements [n, 4 k4 ..] of a weight with K = 4 depth4.
fn store(n: u32, k4: u32, depth4: u32, four: vec4<f32>) {
    w[(n / 8u * depth4 + k4) * 8u + n % 8u] = pack_output4(four);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.rows4 * params.cols4 {
        return;
    }
    let row4 = at / params.cols4;
    let col4 = at % params.cols4;
    let block = mat4x4<f32>(
        load(4u * row4, col4),
        load(4u * row4 + 1u, col4),
        load(4u * row4 + 2u, col4),
        load(4u * row4 + 3u, col4),
    );
    if params.transposed == 0u {
        for (var i = 0u; i < 4u; i++) {
            store(4u * row4 + i, col4, params.cols4, block[i]);
        }
    } else {
        let turned = transpose(block);
        for (var i = 0u; i < 4u; i++) {
            store(4u * col4 + i, row4, params.rows4, turned[i]);
        }
    }
}
