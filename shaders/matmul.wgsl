// y = epilogue(x w^T)
//
//   x [M, K] f32 or f16      w [N, K] any weight format      y [M, N] f32      K a multiple of 4
//
// y may have more columns than w has rows: they become 0, so that the next product finds its K a
// multiple of 4.
//
// One invocation computes TILE_ROWS rows of TILE_COLS columns: no workgroup memory, no barrier. The
// invocations of a workgroup stand side by side along N, LANES apart from one of their columns to
// the next: their weights are one contiguous piece, and the rows of x are the same for all of them.
// The sum over K runs from 0 upwards in one chain, so its order does not depend on the tile, the
// chunk or the grid.
//
//   workgroup: LANES * TILE_COLS columns x TILE_ROWS rows
//   grid: columns x rows in bands, folded over x and y

import package::tile::{TILE_COLS, TILE_ROWS};
import package::common::bands::{banded};
import package::input::{Input4, unpack_input4};
import package::weight::{load_weight4, weight_depth4};
import package::epilogue::{epilogue, epilogue_cols};

struct Params {
    rows: u32, // M of this dispatch
    cols: u32, // N
    col_base: u32, // columns of this dispatch: where w's window starts, a multiple of 8,
    col_end: u32, // and where they end
    depth4: u32, // K / 4
    out_cols: u32, // columns of y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Input4>; // [M, K/4]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [M, N]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.x + group.y * grid.x;
    let width = LANES * TILE_COLS;
    let across = (params.col_end - params.col_base + width - 1u) / width;
    let down = (params.rows + TILE_ROWS - 1u) / TILE_ROWS;
    if number >= across * down {
        return;
    }
    let place = banded(number, across, down);
    let row0 = place.y * TILE_ROWS;
    let column = params.col_base + place.x * width + lane;
    weight_depth4 = params.depth4;
    epilogue_cols = params.out_cols;

    var start: array<u32, TILE_ROWS>;
    var sum: array<array<f32, TILE_COLS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        start[r] = min(row0 + r, params.rows - 1u) * params.depth4;
        for (var c = 0u; c < TILE_COLS; c++) {
            sum[r][c] = 0.0;
        }
    }
    // A lane beyond the last column computes it again and stores nothing: no divergent loop.
    var col: array<u32, TILE_COLS>;
    for (var c = 0u; c < TILE_COLS; c++) {
        col[c] = min(column + c * LANES, params.cols - 1u) - params.col_base;
    }
    for (var k = 0u; k < params.depth4; k++) {
        var w: array<vec4<f32>, TILE_COLS>;
        for (var c = 0u; c < TILE_COLS; c++) {
            w[c] = load_weight4(col[c], k);
        }
        for (var r = 0u; r < TILE_ROWS; r++) {
            let four = unpack_input4(x[start[r] + k]);
            for (var c = 0u; c < TILE_COLS; c++) {
                sum[r][c] += dot(four, w[c]);
            }
        }
    }
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row0 + r;
        for (var c = 0u; c < TILE_COLS; c++) {
            let to = column + c * LANES;
            if row < params.rows && to < params.col_end {
                var value = 0.0;
                if to < params.cols {
                    value = epilogue(row, to, sum[r][c]);
                }
                y[row * params.out_cols + to] = value;
            }
        }
    }
}
