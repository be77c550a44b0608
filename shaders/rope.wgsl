// (a, b) <- (a cos - b sin, a sin + b cos), for each pair of columns (2 i, 2 i + 1) of each head
//
//   x [M, H, D] f32, in place      table [P, D/2] (cos, sin)      D a multiple of 4
//
// A token stands at (t, y, x) of a grid; the first pairs of a head turn with t, the next with y,
// the rest with x. Row p of the table has the angles of position p, each pair at its own axis'
// frequency. (Su et al. 2021, in the three-dimensional form of Wan.)
//
// One invocation turns two pairs.
//
//   workgroup: LANES; grid: groups of four columns folded over x and y

struct Params {
    count4: u32, // groups of four in this dispatch: M * C/4
    cols4: u32, // C / 4
    head4: u32, // D / 4
    row_base: u32, // the first token of this dispatch
    grid_h: u32, // tokens along y
    grid_w: u32, // tokens along x
    pairs_t: u32, // pairs of a head that turn with t
    pairs_th: u32, // and with t or y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>; // [M, C/4]
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>; // [P, D/2]

override LANES: u32 = 64u;

fn turn(pair: u32, position: vec3<u32>) -> vec2<f32> {
    let beyond_t = select(position.x, position.y, pair >= params.pairs_t);
    let along = select(beyond_t, position.z, pair >= params.pairs_th);
    return table[along * params.head4 * 2u + pair];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * grid.x) * LANES + lane;
    if at >= params.count4 {
        return;
    }
    let token = params.row_base + at / params.cols4;
    let line = token / params.grid_w;
    let position = vec3<u32>(line / params.grid_h, line % params.grid_h, token % params.grid_w);
    let pair = at % params.cols4 % params.head4 * 2u;
    let first = turn(pair, position);
    let second = turn(pair + 1u, position);
    let v = x[at];
    x[at] = vec4<f32>(
        v.x * first.x - v.y * first.y,
        v.x * first.y + v.y * first.x,
        v.z * second.x - v.w * second.y,
        v.z * second.y + v.w * second.x,
    );
}
