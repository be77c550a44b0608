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
    height: u32, // of y
    width: u32,
    lines: u32, // of x
    pixels: u32,
    up: u32, // 0 or 1
    stride: u32, // 1 or 2, in space
    stride_t: u32, // in time
    above: u32, // lines of zeros above, columns of zeros left
    left: u32,
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
