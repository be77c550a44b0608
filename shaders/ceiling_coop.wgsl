// y[g] = ROUNDS x w^T on cooperative matrices, the same for every g: operands f16, sums f32
//
//   x [4 E, E] f16      w [4 E, E] f16      y [G, 4 E, 4 E] f32      E the device's edge
//
// As fast as a subgroup multiplies matrices that it holds: sixteen sums of four by four operands,
// as `matmul_coop.wgsl` has them, and no memory touched between the first product and the last.
//
//   workgroup: one subgroup (where subgroups are smaller than LANES, the surplus stores nothing);
//   grid: g folded over x and y

import package::coop::{CoopA, CoopB, CoopC, COOP_EDGE};
import package::tile::{LANES};

struct Params {
    groups: u32, // G
    rounds: u32, // of sixteen products
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f16>; // [4 E, E]
@group(0) @binding(2) var<storage, read> w: array<f16>; // [4 E, E]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [G, 4 E, 4 E]

const SPAN = 4u * COOP_EDGE;
const SQUARE = COOP_EDGE * COOP_EDGE;

// Zeros come from memory: not every shading language below has them as a constructor.
var<workgroup> zeros: array<f32, SQUARE>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let number = group.x + group.y * grid.x;
    if number >= params.groups {
        return;
    }
    for (var at = lane; at < SQUARE; at += LANES) {
        zeros[at] = 0.0;
    }
    workgroupBarrier();
    let zero = coopLoadT<CoopC>(&zeros[0], COOP_EDGE);
    let a0 = coopLoadT<CoopA>(&x[0], COOP_EDGE);
    let a1 = coopLoadT<CoopA>(&x[SQUARE], COOP_EDGE);
    let a2 = coopLoadT<CoopA>(&x[2u * SQUARE], COOP_EDGE);
    let a3 = coopLoadT<CoopA>(&x[3u * SQUARE], COOP_EDGE);
    let b0 = coopLoad<CoopB>(&w[0], COOP_EDGE);
    let b1 = coopLoad<CoopB>(&w[SQUARE], COOP_EDGE);
    let b2 = coopLoad<CoopB>(&w[2u * SQUARE], COOP_EDGE);
    let b3 = coopLoad<CoopB>(&w[3u * SQUARE], COOP_EDGE);
    var c00 = zero;
    var c01 = zero;
    var c02 = zero;
    var c03 = zero;
    var c10 = zero;
    var c11 = zero;
    var c12 = zero;
    var c13 = zero;
    var c20 = zero;
    var c21 = zero;
    var c22 = zero;
    var c23 = zero;
    var c30 = zero;
    var c31 = zero;
    var c32 = zero;
    var c33 = zero;
    for (var i = 0u; i < params.rounds; i++) {
        c00 = coopMultiplyAdd(a0, b0, c00);
        c01 = coopMultiplyAdd(a0, b1, c01);
        c02 = coopMultiplyAdd(a0, b2, c02);
        c03 = coopMultiplyAdd(a0, b3, c03);
        c10 = coopMultiplyAdd(a1, b0, c10);
        c11 = coopMultiplyAdd(a1, b1, c11);
        c12 = coopMultiplyAdd(a1, b2, c12);
        c13 = coopMultiplyAdd(a1, b3, c13);
        c20 = coopMultiplyAdd(a2, b0, c20);
        c21 = coopMultiplyAdd(a2, b1, c21);
        c22 = coopMultiplyAdd(a2, b2, c22);
        c23 = coopMultiplyAdd(a2, b3, c23);
        c30 = coopMultiplyAdd(a3, b0, c30);
        c31 = coopMultiplyAdd(a3, b1, c31);
        c32 = coopMultiplyAdd(a3, b2, c32);
        c33 = coopMultiplyAdd(a3, b3, c33);
    }
    if subgroup != 0u {
        return;
    }
    let row0 = number * SPAN * SPAN;
    let row1 = row0 + COOP_EDGE * SPAN;
    let row2 = row1 + COOP_EDGE * SPAN;
    let row3 = row2 + COOP_EDGE * SPAN;
    coopStoreT(c00, &y[row0], SPAN);
    coopStoreT(c01, &y[row0 + COOP_EDGE], SPAN);
    coopStoreT(c02, &y[row0 + 2u * COOP_EDGE], SPAN);
    coopStoreT(c03, &y[row0 + 3u * COOP_EDGE], SPAN);
    coopStoreT(c10, &y[row1], SPAN);
    coopStoreT(c11, &y[row1 + COOP_EDGE], SPAN);
    coopStoreT(c12, &y[row1 + 2u * COOP_EDGE], SPAN);
    coopStoreT(c13, &y[row1 + 3u * COOP_EDGE], SPAN);
    coopStoreT(c20, &y[row2], SPAN);
    coopStoreT(c21, &y[row2 + COOP_EDGE], SPAN);
    coopStoreT(c22, &y[row2 + 2u * COOP_EDGE], SPAN);
    coopStoreT(c23, &y[row2 + 3u * COOP_EDGE], SPAN);
    coopStoreT(c30, &y[row3], SPAN);
    coopStoreT(c31, &y[row3 + COOP_EDGE], SPAN);
    coopStoreT(c32, &y[row3 + 2u * COOP_EDGE], SPAN);
    coopStoreT(c33, &y[row3 + 3u * COOP_EDGE], SPAN);
}
