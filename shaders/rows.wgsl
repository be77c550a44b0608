// rows: how a product reads its left operand and addresses its results. This module: a matrix [M, K],
// results [M, out_cols].
//
//   row_at(row) -> Row             the part of an address that depends on the row
//   depth_at(col4) -> Depth        the part that depends on columns 4 col4 .. 4 col4 + 3
//   fetch_row4(row, depth)         the packed elements [row, 4 col4 ..]
//   result_at(row, col)            where y holds [row, col]

import package::common::product::{params};
import package::input::{Input4};

@group(0) @binding(1) var<storage, read> x: array<Input4>; // [M, K/4]

alias Row = u32;
alias Depth = u32;

fn row_at(row: u32) -> Row {
    return row * params.depth4;
}

fn depth_at(col4: u32) -> Depth {
    return col4;
}

fn fetch_row4(row: Row, depth: Depth) -> Input4 {
    return x[row + depth];
}

fn result_at(row: u32, col: u32) -> u32 {
    return row * params.out_cols + col;
}
