// The params of a product of some rows with a weight: of the kernels matmul_staged, matmul_coop
// and matvec, and of the modules of the slot `rows` beside them.

struct Params {
    rows: u32, // M of this dispatch
    cols: u32, // N
    col_base: u32, // columns of this dispatch: where w's window starts, a multiple of 8,
    col_end: u32, // and where they end
    depth4: u32, // K / 4
    out_cols: u32, // columns of y; those beyond N become 0
    // Of a convolution; 0 in a product with a matrix.
    row_base: u32, // the first pixel of this dispatch
    height: u32, // H << up
    width: u32, // W << up
    up: u32, // 0 or 1
    channels4: u32, // C / 4
    kt: u32,
    kh: u32,
    kw: u32,
    folds: u32, // F
    x_base: u32, // where in x and past the bound windows start, in groups of four,
    past_base: u32,
    y_base: u32, // and where in y, in elements
}

@group(0) @binding(0) var<uniform> params: Params;
