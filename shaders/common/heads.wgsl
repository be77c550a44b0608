// heads: the inputs of the attention kernels. Each of q, k, v is a range of columns of a
// [rows, columns] tensor, so that a fused projection can be read in place. All sizes ending in
// 4 count vectors of four.

import package::input::{Input4};
import package::output::{Output4};

struct Params {
    queries: u32, // of this dispatch
    query_base: u32, // its first query in the whole op
    keys: u32, // Lk
    head_base: u32, // the first head of this dispatch
    kv_head_base: u32, // the first head that k and v hold
    heads: u32, // H
    q_first4: u32, // first column of q, k, v in their tensors
    k_first4: u32,
    v_first4: u32,
    q_stride4: u32, // columns of the tensors that hold q, k, v
    k_stride4: u32,
    v_stride4: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<Input4>; // [queries, q_stride4]
@group(0) @binding(2) var<storage, read> k: array<Input4>; // [Lk, k_stride4]
@group(0) @binding(3) var<storage, read> v: array<Input4>; // [Lk, v_stride4]
@group(0) @binding(4) var<storage, read_write> out: array<Output4>; // [queries, H * D/4]

// Below every score there is, and finite: WGSL may assume that infinities do not occur.
const LOWEST = -1e30;
