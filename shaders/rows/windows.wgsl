// rows: the windows of a convolution that is causal in time and padded with zeros in space: row =
// pixel (t, i, j) of y, column = (dt, di, dj, c). Nothing is copied: each element is found in x, or
// in the frames before it, when it is read.
//
//   x [T, H, W, C]      past [kt-st, H, W, C]: the frames before x      y [F T/st, (H << up)/s, (W << up)/s, N / F]
//
//   [row, (dt, di, dj, c)] = frame(st t + dt - kt + st)[(s i + di - above) >> up, (s j + dj - left) >> up, c]
//
// The strides `st` and `s` are 1 or 2. `up` = 1 reads a picture as if every pixel were four: nearest upsampling without its buffer.
// `folds` = F > 1 stores channel group f of frame t as frame F t + f. C is a multiple of 4.

import package::common::product::{params};
import package::input::{Input4};

@group(0) @binding(1) var<storage, read> x: array<Input4>; // [T, H, W, C/4]
@group(0) @binding(3) var<storage, read> past: array<Input4>; // [kt-st, H, W, C/4]

struct Row {
    frame: u32, // of past and x, the first that the kernel sees
    line: u32, // of x as `up` makes it, the first likewise
    pixel: u32,
}

struct Depth {
    frame: u32, // dt
    line: u32, // di
    pixel: u32, // dj
    channel4: u32,
}

fn row_at(row: u32) -> Row {
    let place = row + params.row_base;
    let line = place / params.width;
    // Beyond the upper and left edges these wrap around to large numbers.
    return Row(
        line / params.height * params.stride_t,
        line % params.height * params.stride - params.above,
        place % params.width * params.stride - params.left,
    );
}

fn depth_at(col4: u32) -> Depth {
    let tap = col4 / params.channels4;
    let line = tap / params.kw;
    return Depth(line / params.kh, line % params.kh, tap % params.kw, col4 % params.channels4);
}

fn fetch_row4(row: Row, depth: Depth) -> Input4 {
    let line = row.line + depth.line;
    let pixel = row.pixel + depth.pixel;
    if line >= params.lines << params.up || pixel >= params.pixels << params.up {
        return Input4();
    }
    let plane = params.lines * params.pixels;
    let place = (line >> params.up) * params.pixels + (pixel >> params.up);
    // The frame's number with the past before it.
    let frame = row.frame + depth.frame;
    if frame + params.stride_t < params.kt {
        let at = (frame * plane + place) * params.channels4 + depth.channel4;
        return past[at - params.past_base];
    }
    let at = ((frame + params.stride_t - params.kt) * plane + place) * params.channels4 + depth.channel4;
    return x[at - params.x_base];
}

fn result_at(row: u32, col: u32) -> u32 {
    let place = row + params.row_base;
    let plane = params.height * params.width;
    let features = params.cols / params.folds;
    let frame = place / plane * params.folds + col / features;
    return (frame * plane + place % plane) * features + col % features - params.y_base;
}
