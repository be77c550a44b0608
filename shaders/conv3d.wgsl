// y = epilogue(conv(x, w)): a convolution that is causal in time and padded with zeros in space,
// as an implicit matmul; with kt = 1 a convolution of pictures, with kh = kw = 1 too a linear layer
//
//   x [T, H, W, C] f32      past [kt-st, H, W, C] f32: the frames before x
//   w [N, kt, kh, kw, C] any weight format      y [T/st, (H << up)/s, (W << up)/s, N] f32
//
//   y[t, i, j, n] = sum over (dt, di, dj, c) of
//       frame(st t + dt - kt + st)[(s i + di - above) >> up, (s j + dj - left) >> up, c] w[n, dt, di, dj, c]
//
// The strides `st` and `s` are 1 or 2; `above` and `left` are kh/2 and kw/2 without a stride in
// space and 0 with one. `up` = 1 reads a picture as if every pixel were four: nearest upsampling without its buffer.
// `folds` = F > 1 stores channel group f of frame t as frame F t + f: [T, .., F N'] becomes
// [F T, .., N'], which is how upsampling in time takes frames out of channels.
//
// One invocation computes TILE_ROWS neighbouring pixels of one line for TILE_COLS output channels:
// no workgroup memory, no barrier. The invocations of a workgroup stand side by side along N, LANES
// apart from one of their channels to the next: their weights are one contiguous piece, and the
// pixels are the same for all of them. TAPS neighbouring taps of a line, a divisor of kw, share their
// loads (1 if s is 2, because neighbours then share no pixels of one tap): a loaded pixel is added to the
// sums of all the pixels that see it. A sum runs in one chain over
// (dt, di, group of taps, four channels, tap).
//
//   workgroup: LANES * TILE_COLS channels x TILE_ROWS pixels
//   grid: (channels, tiles folded over y and z)

import package::tile::{TAPS, TILE_COLS, TILE_ROWS};
import package::input::{unpack_input4};
import package::pixels::{pixel_at, fetch_x4, fetch_past4};
import package::weight::{load_weight4, weight_depth4};
import package::epilogue::{epilogue, epilogue_cols};

struct Params {
    tile_base: u32, // the first tile of this dispatch
    tiles: u32, // tiles of this dispatch
    line_tiles: u32, // tiles of one line: ceil(width / TILE_ROWS)
    height: u32, // of y
    width: u32,
    lines: u32, // H
    pixels: u32, // W
    up: u32, // 0 or 1
    stride: u32, // s
    stride_t: u32, // st
    above: u32,
    left: u32,
    channels: u32, // C
    cols: u32, // N
    kt: u32,
    kh: u32,
    kw: u32,
    folds: u32, // F
    x_base: u32, // where in x, past and y the bound windows start, in floats
    past_base: u32,
    y_base: u32,
    row_base: u32, // the first pixel that the epilogue's windows hold
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [F T/st, (H << up)/s, (W << up)/s, N / F]

override LANES: u32 = 64u;

// Pixels of a line that a tile sees through a group of taps.
const SEEN = TILE_ROWS + TAPS - 1u;

var<private> col: array<u32, TILE_COLS>;
var<private> w: array<array<vec4<f32>, TILE_COLS>, TAPS>;
var<private> sum: array<array<f32, TILE_COLS>, TILE_ROWS>;

// The weights of a group of taps for four channels.
fn load_weights(k: u32, depth4: u32) {
    for (var d = 0u; d < TAPS; d++) {
        for (var n = 0u; n < TILE_COLS; n++) {
            w[d][n] = load_weight4(col[n], k + d * depth4);
        }
    }
}

// Adds four channels of a pixel to the sums of the pixels that see it.
fn add(four: vec4<f32>, seen: u32) {
    for (var d = 0u; d < TAPS; d++) {
        if seen >= d && seen - d < TILE_ROWS {
            for (var n = 0u; n < TILE_COLS; n++) {
                sum[seen - d][n] += dot(four, w[d][n]);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = group.y + group.z * grid.y;
    if number >= params.tiles {
        return;
    }
    let tile = params.tile_base + number;
    let first_pixel = tile % params.line_tiles * TILE_ROWS;
    let line = tile / params.line_tiles;
    let top = line % params.height;
    let t = line / params.height;
    let column = group.x * LANES * TILE_COLS + lane;
    // A lane beyond the last channel computes it again and stores nothing: no divergent loop.
    for (var n = 0u; n < TILE_COLS; n++) {
        col[n] = min(column + n * LANES, params.cols - 1u);
    }
    epilogue_cols = params.cols;
    let depth4 = (params.channels + 3u) / 4u;
    weight_depth4 = params.kt * params.kh * params.kw * depth4;
    let seen_lines = params.lines << params.up;
    let seen_pixels = params.pixels << params.up;

    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var n = 0u; n < TILE_COLS; n++) {
            sum[r][n] = 0.0;
        }
    }
    for (var dt = 0u; dt < params.kt; dt++) {
        // The frame's number with the past before it.
        let frame = t * params.stride_t + dt;
        let is_past = frame + params.stride_t < params.kt;
        let first_line = select(frame + params.stride_t - params.kt, frame, is_past) * params.lines;
        let base = select(params.x_base, params.past_base, is_past);
        for (var di = 0u; di < params.kh; di++) {
            let i = top * params.stride + di - params.above;
            if i >= seen_lines {
                continue;
            }
            let first = (first_line + (i >> params.up)) * params.pixels;
            for (var dj = 0u; dj < params.kw; dj += TAPS) {
                let k = ((dt * params.kh + di) * params.kw + dj) * depth4;
                var start: array<u32, SEEN>;
                var inside: array<bool, SEEN>;
                for (var r = 0u; r < SEEN; r++) {
                    // Beyond the left edge this wraps around to a large number.
                    let j = (first_pixel + r) * params.stride + dj - params.left;
                    inside[r] = j < seen_pixels;
                    let pixel = first + (min(j, seen_pixels - 1u) >> params.up);
                    start[r] = pixel_at(pixel, params.channels, base);
                }
                if is_past {
                    for (var c = 0u; c < depth4; c++) {
                        load_weights(k + c, depth4);
                        for (var r = 0u; r < SEEN; r++) {
                            let four = unpack_input4(fetch_past4(start[r], c, params.channels));
                            add(select(vec4(0.0), four, inside[r]), r);
                        }
                    }
                } else {
                    for (var c = 0u; c < depth4; c++) {
                        load_weights(k + c, depth4);
                        for (var r = 0u; r < SEEN; r++) {
                            let four = unpack_input4(fetch_x4(start[r], c, params.channels));
                            add(select(vec4(0.0), four, inside[r]), r);
                        }
                    }
                }
            }
        }
    }
    let features = params.cols / params.folds;
    for (var n = 0u; n < TILE_COLS; n++) {
        let to = column + n * LANES;
        let fold = to / features;
        for (var r = 0u; r < TILE_ROWS; r++) {
            let j = first_pixel + r;
            if to < params.cols && j < params.width {
                let row = (t * params.height + top) * params.width + j;
                let out = ((t * params.folds + fold) * params.height + top) * params.width + j;
                let value = epilogue(row - params.row_base, to, sum[r][n]);
                y[out * features + to - fold * features - params.y_base] = value;
            }
        }
    }
}
