// The params of norm.wgsl, and of the modules of the slot `affine` beside it.

struct Params {
    rows: u32, // M of this dispatch
    cols4: u32, // C / 4
    eps: f32,
    // Of a turn; 0 elsewhere.
    head4: u32, // D / 4
    row_base: u32, // the first token of this dispatch
    grid_h: u32, // tokens along y
    grid_w: u32, // tokens along x
    pairs_t: u32, // pairs of a head that turn with t
    pairs_th: u32, // and with t or y
}

@group(0) @binding(0) var<uniform> params: Params;
