// y[r, d, c] = table[r, c] + temb[d, r S + c]: the sum of a block's table and the embedding of each distinct
// timestep, for each of its N modulations r
//
//   table [N, C]      temb [D, N C], S = C, or [D, C] for all alike, S = 0      y [N, P, C], P >= D
//
// One invocation computes one element. The rows of y from D to P only keep the tensors [D, C] apart,
// each where a binding may start.
//
//   workgroup: LANES; grid: elements folded over x and y

struct Params {
    count: u32, // N * D * C
    cols: u32, // C
    distinct: u32, // D
    apart: u32, // P
    temb_stride: u32, // columns of temb
    temb_step: u32, // S
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>; // [N, C]
@group(0) @binding(2) var<storage, read> temb: array<f32>; // [D, temb_stride]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [N, P, C]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.count {
        return;
    }
    let col = at % params.cols;
    let row = at / params.cols % params.distinct;
    let number = at / (params.cols * params.distinct);
    let embedded = temb[row * params.temb_stride + number * params.temb_step + col];
    let out = (number * params.apart + row) * params.cols + col;
    y[out] = table[number * params.cols + col] + embedded;
}
