// y = x: as fast as memory is read and written
//
//   workgroup: LANES groups of four; grid: groups of four folded over x and y

struct Params {
    count4: u32, // elements / 4
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [count4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // [count4]

override LANES: u32 = 64u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at < params.count4 {
        y[at] = x[at];
    }
}
