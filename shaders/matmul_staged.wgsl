// y = epilogue(left w^T), the operands staged in workgroup memory as f32
//
//   left [M, K] f32 or f16: a matrix or the windows of a convolution (slot `rows`)
//   w [N, K] any weight format      y [M, N] f32 or f16      K a multiple of 4
//
// An invocation computes 8 x 8 results, a workgroup SIDE x SIDE invocations. It walks K in steps of
// 4 STEP4: while the operands of a step are multiplied out of workgroup memory, those of the next
// are on their way into registers, two groups of four of either operand an invocation. The sum
// over K runs from 0 upwards in one chain, whatever the tile.
//
// What an invocation holds is named piece by piece, or is a matrix (common/staged.wgsl says why).
//
//   workgroup: TILE rows x TILE columns; grid: columns x rows in bands, folded over x and y

import package::tile::{SIDE};
import package::common::bands::{banded};
import package::common::product::{params};
import package::input::{Input4, unpack_input4};
import package::common::operands::{left4, right4};
import package::common::staged::{stage, staged, added};
import package::rows::{Row, row_at, depth_at};
import package::weight::{Weight4, unpack_weight4, weight_depth4};
import package::result::{store_result4};
import package::epilogue::{epilogue, epilogue_cols};

const INVOCATIONS = SIDE * SIDE;
const TILE = 8u * SIDE;
const HALF = TILE / 2u;
const STEP4 = SIDE / 4u;

// Staged by groups of four along K: first those of all rows, then those of the next columns. The
// columns of an invocation are two times four neighbours; they are staged so that the invocations
// of a line read side by side. Both rows are padded so that no two invocations write to one bank.
const COLS_APART = SIDE + 2u;
const LEFT_STRIDE = TILE + 2u;
const RIGHT_STRIDE = 8u * COLS_APART;
const RIGHT = STEP4 * LEFT_STRIDE;

// What an invocation stages of every step: column `4 left_col4` of two rows of `left`, column
// `4 right_col4` of two rows of w, and where in the stage they belong.
struct Share {
    row0: Row,
    row1: Row,
    col0: u32,
    col1: u32,
    left_col4: u32,
    right_col4: u32,
    left_at: u32,
    right_at: u32,
}

// Those groups of four as they lie in global memory, on their way from there: unpacked only when
// they are staged, so that nothing waits for them.
struct Held {
    left0: Input4,
    left1: Input4,
    right0: Weight4,
    right1: Weight4,
}

// Neighbouring invocations take neighbouring groups of a row of `left`, and of w those that lie
// side by side: the eight rows of a block.
fn share_of(lane: u32, row0: u32, col0: u32) -> Share {
    let last_row = params.rows - 1u;
    let last_col = params.cols - 1u - params.col_base;
    let row = lane / STEP4;
    let col = lane / (8u * STEP4) * 8u + lane % 8u;
    var share: Share;
    share.row0 = row_at(min(row0 + row, last_row));
    share.row1 = row_at(min(row0 + row + HALF, last_row));
    share.col0 = min(col0 + col, last_col);
    share.col1 = min(col0 + col + HALF, last_col);
    share.left_col4 = lane % STEP4;
    share.right_col4 = lane / 8u % STEP4;
    share.left_at = share.left_col4 * LEFT_STRIDE + row;
    let place = col % 4u * COLS_APART + col / 4u;
    share.right_at = RIGHT + share.right_col4 * RIGHT_STRIDE + place;
    return share;
}

// The share of the step that starts at column 4 step4.
fn fetch(share: Share, step4: u32) -> Held {
    let left = step4 + share.left_col4;
    let right = step4 + share.right_col4;
    let depth = depth_at(left);
    return Held(
        left4(share.row0, depth, left),
        left4(share.row1, depth, left),
        right4(share.col0, right),
        right4(share.col1, right),
    );
}

fn put(share: Share, held: Held) {
    stage[share.left_at] = unpack_input4(held.left0);
    stage[share.left_at + HALF] = unpack_input4(held.left1);
    stage[share.right_at] = unpack_weight4(held.right0);
    stage[share.right_at + 4u * COLS_APART] = unpack_weight4(held.right1);
}

// A result, from its sum.
fn finished(row: u32, col: u32, sum: f32) -> f32 {
    if col >= params.cols {
        return 0.0;
    }
    return epilogue(row, col, sum);
}

fn store4(row: u32, col: u32, sums: vec4<f32>) {
    if row < params.rows && col < params.col_end {
        let values = vec4<f32>(
            finished(row, col, sums.x),
            finished(row, col + 1u, sums.y),
            finished(row, col + 2u, sums.z),
            finished(row, col + 3u, sums.w),
        );
        store_result4(row, col, values);
    }
}

// The sums of four rows, SIDE apart, and four neighbouring columns: sums[column][row].
fn store(row: u32, col: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    store4(row, col, rows[0]);
    store4(row + SIDE, col, rows[1]);
    store4(row + 2u * SIDE, col, rows[2]);
    store4(row + 3u * SIDE, col, rows[3]);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.x + group.y * grid.x;
    let across = (params.col_end - params.col_base + TILE - 1u) / TILE;
    let down = (params.rows + TILE - 1u) / TILE;
    if number >= across * down {
        return;
    }
    let place = banded(number, across, down);
    weight_depth4 = params.depth4;
    epilogue_cols = params.out_cols;
    let share = share_of(lane, place.y * TILE, place.x * TILE);

    // Rows `top` + SIDE i, columns 4 `side` + j and as many again half a tile further.
    let top = lane / SIDE;
    let side = lane % SIDE;
    var sum00 = mat4x4<f32>();
    var sum01 = mat4x4<f32>();
    var sum10 = mat4x4<f32>();
    var sum11 = mat4x4<f32>();
    var held = fetch(share, 0u);
    for (var step4 = 0u; step4 < params.depth4; step4 += STEP4) {
        put(share, held);
        workgroupBarrier();
        held = fetch(share, step4 + STEP4);
        for (var k = 0u; k < STEP4; k++) {
            let left = k * LEFT_STRIDE + top;
            let left0 = transpose(staged(left, SIDE));
            let left1 = transpose(staged(left + HALF, SIDE));
            let right = RIGHT + k * RIGHT_STRIDE + side;
            let right0 = staged(right, COLS_APART);
            sum00 = added(sum00, left0, right0);
            sum10 = added(sum10, left1, right0);
            let right1 = staged(right + 4u * COLS_APART, COLS_APART);
            sum01 = added(sum01, left0, right1);
            sum11 = added(sum11, left1, right1);
        }
        workgroupBarrier();
    }

    let row = place.y * TILE + top;
    let col = params.col_base + place.x * TILE + 4u * side;
    store(row, col, sum00);
    store(row, col + HALF, sum01);
    store(row + HALF, col, sum10);
    store(row + HALF, col + HALF, sum11);
}
