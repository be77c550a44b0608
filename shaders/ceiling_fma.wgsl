// y[i] = sum over 12 chains c of s_c, where each of 4 ROUNDS times s_c becomes s_c scale + shift
//
//   s_c starts as x[i] + c      y [count] f32
//
// As fast as an invocation multiplies and adds out of its registers: twelve chains hide how long
// one addition takes, and no memory is touched between the first and the last.
//
//   workgroup: LANES elements; grid: elements folded over x and y

struct Params {
    count: u32, // elements
    rounds: u32, // of four multiply-adds a chain
    scale: f32,
    shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [count]

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
    let scale = vec4<f32>(params.scale);
    let shift = vec4<f32>(params.shift);
    var a = vec4<f32>(x[at]) + vec4<f32>(0.0, 1.0, 2.0, 3.0);
    var b = a + 4.0;
    var c = a + 8.0;
    for (var i = 0u; i < params.rounds; i++) {
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
    }
    y[at] = dot(a + b + c, vec4<f32>(1.0));
}
