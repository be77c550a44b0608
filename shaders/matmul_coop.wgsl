// y = epilogue(left w^T) on cooperative matrices: operands rounded to f16, sums f32
//
//   left [M, K] f32 or f16: a matrix or the windows of a convolution (slot `rows`)
//   w [N, K] any weight format      y [M, N] f32 or f16      K a multiple of 4
//
// A subgroup computes 4 x 4 cooperative matrices, SPAN x SPAN results; a workgroup SIDE x SIDE
// subgroups. It walks K in steps of 4 STEP4: while the operands of a step are multiplied out of
// workgroup memory, those of the next are on their way into registers. Each invocation loads eight
// groups of four of either operand, and rounds and stages them when the step is done. The sum
// over K runs from 0 upwards in one chain of cooperative matrices, whatever the tile.
//
// What an invocation holds is named piece by piece: an array that a loop indexes lies in memory
// unless the driver unrolls the loop.
//
// Where subgroups are smaller than LANES there are more of them than work: the surplus computes
// what another does and keeps it to itself.
//
//   workgroup: TILE rows x TILE columns; grid: columns x rows in bands, folded over x and y

import package::coop::{CoopA, CoopB, CoopC, COOP_EDGE};
import package::tile::{SIDE, LANES};
import package::common::bands::{banded};
import package::common::product::{params};
import package::input::{Input4, unpack_input4};
import package::common::operands::{left4, right4};
import package::rows::{Row, row_at, depth_at};
import package::stage::{stage, put_stage4, STAGE_UNIT};
import package::weight::{Weight4, unpack_weight4, weight_depth4};
import package::scale::{weight_scale};
import package::result::{store_result4};
import package::epilogue::{epilogue, epilogue_cols};

const SUBGROUPS = SIDE * SIDE;
const INVOCATIONS = SUBGROUPS * LANES;
const SPAN = 4u * COOP_EDGE;
const TILE = SIDE * SPAN;

// Groups of four a step, so that each invocation has eight of either operand.
const STEP4 = 2u * SIDE * LANES / COOP_EDGE;
// A staged row is 16 bytes longer than it holds: eight rows then start in eight different banks.
const STRIDE4 = STEP4 + 2u;
const STRIDE = STRIDE4 * STAGE_UNIT;
// From one matrix of a subgroup to the next, and from the rows of `left` to those of w.
const NEXT = COOP_EDGE * STRIDE;
const RIGHT = TILE * STRIDE;

// The rows that an invocation stages are so far apart; w lies in blocks of eight.
const LEFT_APART = INVOCATIONS / STEP4;
const RIGHT_APART = INVOCATIONS / STEP4 / 8u * 8u;

// One row of cooperative matrices of every subgroup, f32. Workgroup arrays are multiples of 16
// bytes, since drivers load matrices 16 bytes at a time and ignore lower bits of the address.
const STRIP_STRIDE = TILE + 8u;
var<workgroup> strip: array<f32, SIDE * COOP_EDGE * STRIP_STRIDE>;

// Four rows of `left`, LEFT_APART apart.
struct FourRows {
    a: Row,
    b: Row,
    c: Row,
    d: Row,
}

// What an invocation stages of every step: column `4 left_col4` of eight rows of `left`, column
// `4 right_col4` of eight rows of w, and where in the stage they belong.
struct Share {
    rows0: FourRows,
    rows1: FourRows,
    cols0: vec4<u32>,
    cols1: vec4<u32>,
    inverse0: vec4<f32>,
    inverse1: vec4<f32>,
    left_col4: u32,
    right_col4: u32,
    left_at4: u32,
    right_at4: u32,
}

struct FourInputs {
    a: Input4,
    b: Input4,
    c: Input4,
    d: Input4,
}

struct FourWeights {
    a: Weight4,
    b: Weight4,
    c: Weight4,
    d: Weight4,
}

// Those groups of four as they lie in global memory, on their way from there: unpacked and rounded
// only when they are staged, so that nothing waits for them.
struct Held {
    left0: FourInputs,
    left1: FourInputs,
    right0: FourWeights,
    right1: FourWeights,
}

fn four_rows(first: u32) -> FourRows {
    let last = params.rows - 1u;
    return FourRows(
        row_at(min(first, last)),
        row_at(min(first + LEFT_APART, last)),
        row_at(min(first + 2u * LEFT_APART, last)),
        row_at(min(first + 3u * LEFT_APART, last)),
    );
}

// Rows of w, counted from the window's start.
fn four_cols(first: u32) -> vec4<u32> {
    let last = params.cols - 1u - params.col_base;
    return min(first + vec4<u32>(0u, 1u, 2u, 3u) * RIGHT_APART, vec4<u32>(last));
}

fn inverse_scales(cols: vec4<u32>) -> vec4<f32> {
    let scales = vec4<f32>(
        weight_scale(cols.x),
        weight_scale(cols.y),
        weight_scale(cols.z),
        weight_scale(cols.w),
    );
    return 1.0 / scales;
}

// Neighbouring invocations take neighbouring groups of a row of `left`, and of w those that lie
// side by side: the eight rows of a block.
fn share_of(lane: u32, row0: u32, col0: u32) -> Share {
    var share: Share;
    let left_row = lane / STEP4;
    let right_row = lane / (8u * STEP4) * 8u + lane % 8u;
    share.rows0 = four_rows(row0 + left_row);
    share.rows1 = four_rows(row0 + left_row + 4u * LEFT_APART);
    share.cols0 = four_cols(col0 + right_row);
    share.cols1 = four_cols(col0 + right_row + 4u * RIGHT_APART);
    share.inverse0 = inverse_scales(share.cols0);
    share.inverse1 = inverse_scales(share.cols1);
    share.left_col4 = lane % STEP4;
    share.right_col4 = lane / 8u % STEP4;
    share.left_at4 = left_row * STRIDE4 + share.left_col4;
    share.right_at4 = (TILE + right_row) * STRIDE4 + share.right_col4;
    return share;
}

fn fetch_left(rows: FourRows, col4: u32) -> FourInputs {
    let depth = depth_at(col4);
    return FourInputs(
        left4(rows.a, depth, col4),
        left4(rows.b, depth, col4),
        left4(rows.c, depth, col4),
        left4(rows.d, depth, col4),
    );
}

fn fetch_right(cols: vec4<u32>, col4: u32) -> FourWeights {
    return FourWeights(
        right4(cols.x, col4),
        right4(cols.y, col4),
        right4(cols.z, col4),
        right4(cols.w, col4),
    );
}

// The share of the step that starts at column 4 step4.
fn fetch(share: Share, step4: u32) -> Held {
    let left = step4 + share.left_col4;
    let right = step4 + share.right_col4;
    return Held(
        fetch_left(share.rows0, left),
        fetch_left(share.rows1, left),
        fetch_right(share.cols0, right),
        fetch_right(share.cols1, right),
    );
}

fn put_left(at4: u32, held: FourInputs) {
    put_stage4(at4, vec4<f16>(unpack_input4(held.a)));
    put_stage4(at4 + LEFT_APART * STRIDE4, vec4<f16>(unpack_input4(held.b)));
    put_stage4(at4 + 2u * LEFT_APART * STRIDE4, vec4<f16>(unpack_input4(held.c)));
    put_stage4(at4 + 3u * LEFT_APART * STRIDE4, vec4<f16>(unpack_input4(held.d)));
}

fn put_right(at4: u32, held: FourWeights, inverse: vec4<f32>) {
    let a = vec4<f16>(unpack_weight4(held.a) * inverse.x);
    let b = vec4<f16>(unpack_weight4(held.b) * inverse.y);
    let c = vec4<f16>(unpack_weight4(held.c) * inverse.z);
    let d = vec4<f16>(unpack_weight4(held.d) * inverse.w);
    put_stage4(at4, a);
    put_stage4(at4 + RIGHT_APART * STRIDE4, b);
    put_stage4(at4 + 2u * RIGHT_APART * STRIDE4, c);
    put_stage4(at4 + 3u * RIGHT_APART * STRIDE4, d);
}

fn put(share: Share, held: Held) {
    put_left(share.left_at4, held.left0);
    put_left(share.left_at4 + 4u * LEFT_APART * STRIDE4, held.left1);
    put_right(share.right_at4, held.right0, share.inverse0);
    put_right(share.right_at4 + 4u * RIGHT_APART * STRIDE4, held.right1, share.inverse1);
}

// A result, from its sum.
fn finished(row: u32, col: u32, sum: f32) -> f32 {
    if col >= params.cols {
        return 0.0;
    }
    return epilogue(row, col, sum * weight_scale(col - params.col_base));
}

// Stores strip `number` of a tile: one row of cooperative matrices of every subgroup, in groups of
// four, which all invocations share, whoever summed them.
fn store_strip(number: u32, row0: u32, col0: u32, lane: u32) {
    for (var four = lane; four < SIDE * COOP_EDGE * TILE / 4u; four += INVOCATIONS) {
        let line = four / (TILE / 4u);
        let across = four % (TILE / 4u) * 4u;
        let row = row0 + line / COOP_EDGE * SPAN + number * COOP_EDGE + line % COOP_EDGE;
        let col = col0 + across;
        if row < params.rows && col < params.col_end {
            let at = line * STRIP_STRIDE + across;
            let values = vec4<f32>(
                finished(row, col, strip[at]),
                finished(row, col + 1u, strip[at + 1u]),
                finished(row, col + 2u, strip[at + 2u]),
                finished(row, col + 3u, strip[at + 3u]),
            );
            store_result4(row, col, values);
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let number = group.x + group.y * grid.x;
    let across = (params.col_end - params.col_base + TILE - 1u) / TILE;
    let down = (params.rows + TILE - 1u) / TILE;
    if number >= across * down {
        return;
    }
    let place = banded(number, across, down);
    let row0 = place.y * TILE;
    let col0 = params.col_base + place.x * TILE;
    weight_depth4 = params.depth4;
    epilogue_cols = params.out_cols;
    let share = share_of(lane, row0, place.x * TILE);

    // The subgroup's quarter of the tile.
    let working = subgroup < SUBGROUPS;
    let top = subgroup % SUBGROUPS / SIDE;
    let side = subgroup % SIDE;
    let left_at = top * SPAN * STRIDE;
    let right_at = RIGHT + side * SPAN * STRIDE;
    let strip0 = top * COOP_EDGE * STRIP_STRIDE + side * SPAN;
    let strip1 = strip0 + COOP_EDGE;
    let strip2 = strip0 + 2u * COOP_EDGE;
    let strip3 = strip0 + 3u * COOP_EDGE;

    // Zeros come from memory: not every shading language below has them as a constructor.
    for (var at = lane; at < SIDE * COOP_EDGE * STRIP_STRIDE; at += INVOCATIONS) {
        strip[at] = 0.0;
    }
    workgroupBarrier();
    let zero = coopLoadT<CoopC>(&strip[0], STRIP_STRIDE);
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

    var held = fetch(share, 0u);
    for (var step4 = 0u; step4 < params.depth4; step4 += STEP4) {
        put(share, held);
        workgroupBarrier();
        held = fetch(share, step4 + STEP4);
        for (var k = 0u; k < STEP4 * STAGE_UNIT; k += COOP_EDGE / 4u * STAGE_UNIT) {
            let right = right_at + k;
            let b0 = coopLoad<CoopB>(&stage[right], STRIDE);
            let b1 = coopLoad<CoopB>(&stage[right + NEXT], STRIDE);
            let b2 = coopLoad<CoopB>(&stage[right + 2u * NEXT], STRIDE);
            let b3 = coopLoad<CoopB>(&stage[right + 3u * NEXT], STRIDE);
            let left = left_at + k;
            let a0 = coopLoadT<CoopA>(&stage[left], STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c03 = coopMultiplyAdd(a0, b3, c03);
            let a1 = coopLoadT<CoopA>(&stage[left + NEXT], STRIDE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c13 = coopMultiplyAdd(a1, b3, c13);
            let a2 = coopLoadT<CoopA>(&stage[left + 2u * NEXT], STRIDE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            c22 = coopMultiplyAdd(a2, b2, c22);
            c23 = coopMultiplyAdd(a2, b3, c23);
            let a3 = coopLoadT<CoopA>(&stage[left + 3u * NEXT], STRIDE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
            c32 = coopMultiplyAdd(a3, b2, c32);
            c33 = coopMultiplyAdd(a3, b3, c33);
        }
        workgroupBarrier();
    }

    // Cooperative matrices are opaque: results pass through workgroup memory, a strip at a time.
    if working {
        coopStoreT(c00, &strip[strip0], STRIP_STRIDE);
        coopStoreT(c01, &strip[strip1], STRIP_STRIDE);
        coopStoreT(c02, &strip[strip2], STRIP_STRIDE);
        coopStoreT(c03, &strip[strip3], STRIP_STRIDE);
    }
    workgroupBarrier();
    store_strip(0u, row0, col0, lane);
    workgroupBarrier();
    if working {
        coopStoreT(c10, &strip[strip0], STRIP_STRIDE);
        coopStoreT(c11, &strip[strip1], STRIP_STRIDE);
        coopStoreT(c12, &strip[strip2], STRIP_STRIDE);
        coopStoreT(c13, &strip[strip3], STRIP_STRIDE);
    }
    workgroupBarrier();
    store_strip(1u, row0, col0, lane);
    workgroupBarrier();
    if working {
        coopStoreT(c20, &strip[strip0], STRIP_STRIDE);
        coopStoreT(c21, &strip[strip1], STRIP_STRIDE);
        coopStoreT(c22, &strip[strip2], STRIP_STRIDE);
        coopStoreT(c23, &strip[strip3], STRIP_STRIDE);
    }
    workgroupBarrier();
    store_strip(2u, row0, col0, lane);
    workgroupBarrier();
    if working {
        coopStoreT(c30, &strip[strip0], STRIP_STRIDE);
        coopStoreT(c31, &strip[strip1], STRIP_STRIDE);
        coopStoreT(c32, &strip[strip2], STRIP_STRIDE);
        coopStoreT(c33, &strip[strip3], STRIP_STRIDE);
    }
    workgroupBarrier();
    store_strip(3u, row0, col0, lane);
}
