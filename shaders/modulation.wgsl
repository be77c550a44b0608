// y[d, c] = table[c] + temb[d, c]: what a block adds to the embedding of each distinct timestep
//
//   table [C], a row of scale_shift_table      temb [D, C], columns of a wider one      y [D, C]
//
// One invocation computes one element.
//
//   workgroup: LANES; grid: elements folded over x and y

struct Params {
    count: u32, // D * C
    cols: u32, // C
    table_base: u32, // the first element of the row of the table
    temb_first: u32, // the first column in temb
    temb_stride: u32, // columns of temb
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>; // [rows, C]
@group(0) @binding(2) var<storage, read> temb: array<f32>; // [D, temb_stride]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [D, C]

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
    let row = at / params.cols;
    let col = at % params.cols;
    let embedded = temb[row * params.temb_stride + params.temb_first + col];
    y[at] = table[params.table_base + col] + embedded;
}
