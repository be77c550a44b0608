// pixels: how a convolution reads the channels of a pixel, of x and of the frames before it. This one:
// four at a time, where C is a multiple of 4.
//
//   pixel_at(pixel, channels, base)        where a pixel starts, in a window from element `base` on
//   fetch_x4(at, channel4, channels)       its channels 4 channel4 .., as they lie, zeros beyond C
//   fetch_past4(at, channel4, channels)

import package::input::{Input4};

@group(0) @binding(1) var<storage, read> x: array<Input4>; // [T, H, W, C/4]
@group(0) @binding(3) var<storage, read> past: array<Input4>; // [kt-st, H, W, C/4]

fn pixel_at(pixel: u32, channels: u32, base: u32) -> u32 {
    return pixel * (channels / 4u) - base / 4u;
}

fn fetch_x4(at: u32, channel4: u32, channels: u32) -> Input4 {
    return x[at + channel4];
}

fn fetch_past4(at: u32, channel4: u32, channels: u32) -> Input4 {
    return past[at + channel4];
}
