// y = epilogue(x w^T) for one to four rows: as much time as reading w takes
//
//   x [M, K] f32 or f16, M at most ROWS      w [N, K] any weight format      y [M, N] f32
//   K a multiple of 4
//
// y may have more columns than w has rows: they become 0. A workgroup computes APART columns, the
// eight rows of w that lie side by side. TEAM invocations share a column: they take groups of four
// along K in turn, so that all of the workgroup reads one contiguous piece, and join their sums.
// Each is on its way to four groups at a time: what holds such a product is how many bytes are
// asked for at once. The order of a sum does not depend on the rows, the chunk or the grid.
//
//   workgroup: APART columns; grid: columns folded over x and y

import package::common::product::{params};
import package::common::operands::{left4, right4};
import package::input::{unpack_input4};
import package::rows::{row_at, depth_at, result_at};
import package::weight::{unpack_weight4, weight_depth4};
import package::reduce::{reduce_sum, LANES, TEAM, APART};
import package::epilogue::{epilogue, epilogue_cols};

@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [M, out_cols]

override ROWS: u32 = 1u;

// Group col4 of a row of x; beyond the last row that one again.
fn x4(row: u32, col4: u32) -> vec4<f32> {
    return unpack_input4(left4(row_at(min(row, params.rows - 1u)), depth_at(col4), col4));
}

// What four weights add to the sums of the rows.
fn products(w: vec4<f32>, col4: u32) -> vec4<f32> {
    var four = vec4<f32>(dot(w, x4(0u, col4)), 0.0, 0.0, 0.0);
    if ROWS > 1u {
        four.y = dot(w, x4(1u, col4));
        four.z = dot(w, x4(2u, col4));
        four.w = dot(w, x4(3u, col4));
    }
    return four;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.x + group.y * grid.x;
    let col0 = params.col_base + number * APART;
    if col0 >= params.col_end {
        return;
    }
    weight_depth4 = params.depth4;
    epilogue_cols = params.out_cols;
    let col = col0 + lane % APART;
    let member = lane / APART;
    // Beyond the last column the last is computed again and not stored: all join their sums.
    let w_row = min(col, params.cols - 1u) - params.col_base;

    var sum = vec4<f32>(0.0);
    for (var at = member; at < params.depth4; at += 4u * TEAM) {
        let w0 = right4(w_row, at);
        let w1 = right4(w_row, at + TEAM);
        let w2 = right4(w_row, at + 2u * TEAM);
        let w3 = right4(w_row, at + 3u * TEAM);
        sum += products(unpack_weight4(w0), at);
        sum += products(unpack_weight4(w1), at + TEAM);
        sum += products(unpack_weight4(w2), at + 2u * TEAM);
        sum += products(unpack_weight4(w3), at + 3u * TEAM);
    }
    sum.x = reduce_sum(lane, sum.x);
    if ROWS > 1u {
        sum.y = reduce_sum(lane, sum.y);
        sum.z = reduce_sum(lane, sum.z);
        sum.w = reduce_sum(lane, sum.w);
    }

    // All of a team know the sums: the first takes the first row, and so on.
    if member < params.rows && col < params.col_end {
        var value = 0.0;
        if col < params.cols {
            value = epilogue(member, col, sum[member]);
        }
        y[result_at(member, col)] = value;
    }
}
