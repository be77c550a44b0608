// affine: rope(gain[col] value), the rotary embedding, in which each pair of columns (a, b) =
// (2 i, 2 i + 1) of each of H heads of D becomes
//
//   (a cos - b sin, a sin + b cos)
//
//   gain [H, D] f32      table [P, D/2] (cos, sin)      D a multiple of 4
//
// A row is the token at (t, y, x) of a grid. The first pairs of a head rotate by t, the next by y, the
// rest by x. Row p of the table has the angles of position p, each pair at its axis' frequency. (Su et al. 2021, in the three-dimensional form of Wan.)

import package::common::normed::{params};

@group(0) @binding(3) var<storage, read> affine_gain: array<vec4<f32>>; // [H * D/4]
@group(0) @binding(4) var<storage, read> table: array<vec2<f32>>; // [P, D/2]

var<private> affine_cols4: u32;

fn turn(pair: u32, position: vec3<u32>) -> vec2<f32> {
    let beyond_t = select(position.x, position.y, pair >= params.pairs_t);
    let along = select(beyond_t, position.z, pair >= params.pairs_th);
    return table[along * params.head4 * 2u + pair];
}

fn affine(row: u32, col4: u32, value: vec4<f32>) -> vec4<f32> {
    let token = params.row_base + row;
    let line = token / params.grid_w;
    let position = vec3<u32>(line / params.grid_h, line % params.grid_h, token % params.grid_w);
    let pair = col4 % params.head4 * 2u;
    let first = turn(pair, position);
    let second = turn(pair + 1u, position);
    let v = affine_gain[col4] * value;
    return vec4<f32>(
        v.x * first.x - v.y * first.y,
        v.x * first.y + v.y * first.x,
        v.z * second.x - v.w * second.y,
        v.z * second.y + v.w * second.x,
    );
}
