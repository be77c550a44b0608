// Four elements along K of a row of either operand of a product, as they lie, and zeros beyond K.
//
//   left4(row, depth, col4)      of `left`, depth = depth_at(col4): one for all rows
//   right4(row, col4)            of w, its rows counted from the window's start

import package::common::product::{params};
import package::input::{Input4};
import package::rows::{Row, Depth, fetch_row4};
import package::weight::{Weight4, fetch_weight4};

fn left4(row: Row, depth: Depth, col4: u32) -> Input4 {
    if col4 < params.depth4 {
        return fetch_row4(row, depth);
    }
    return Input4();
}

fn right4(row: u32, col4: u32) -> Weight4 {
    if col4 < params.depth4 {
        return fetch_weight4(row, col4);
    }
    return Weight4();
}
