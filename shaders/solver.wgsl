// A step of the solver, with classifier-free guidance:
//
//   v         = guided ? v_uncond + guidance (v_cond - v_uncond) : v_cond
//   x0        = x - sigma v                                the clean sample, as predicted here
//   corrected = cx x + cl last + c0 m0 + c1 m1 + c2 x0
//   next      = pc corrected + p2 x0 + p0 m0 + pv v
//   m1 <- m0      m0 <- x0      last <- corrected      x <- next
//
// All tensors [count] f32. The weights
// change from step to step and are an input: (guided, guidance, sigma, cx) (cl, c0, c1, c2)
// (pc, p2, p0, pv), see kinora::sampling::StepCoefficients. One invocation steps one element.
//
//   workgroup: LANES; grid: elements folded over x and y

struct Params {
    count: u32, // elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>; // [3]
@group(0) @binding(2) var<storage, read> v_cond: array<f32>; // [count]
@group(0) @binding(3) var<storage, read> v_uncond: array<f32>; // [count]
@group(0) @binding(4) var<storage, read_write> x: array<f32>; // [count]
@group(0) @binding(5) var<storage, read_write> last: array<f32>; // [count]
@group(0) @binding(6) var<storage, read_write> m0: array<f32>; // [count]
@group(0) @binding(7) var<storage, read_write> m1: array<f32>; // [count]

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
    let first = weights[0];
    let corrector = weights[1];
    let predictor = weights[2];

    var v = v_cond[at];
    // A branch, not a weight of zero: without guidance the other velocity may be anything.
    if first.x > 0.5 {
        let other = v_uncond[at];
        v = other + first.y * (v - other);
    }
    let clean = x[at] - first.z * v;
    let before = vec4<f32>(last[at], m0[at], m1[at], clean);
    let corrected = first.w * x[at] + dot(corrector, before);
    let next = predictor.x * corrected + predictor.y * clean + predictor.z * before.y + predictor.w * v;
    m1[at] = before.y;
    m0[at] = clean;
    last[at] = corrected;
    x[at] = next;
}
