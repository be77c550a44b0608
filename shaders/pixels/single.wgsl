// pixels: any number of channels, read one at a time, as f32.

import package::input::{Input4};

@group(0) @binding(1) var<storage, read> x: array<f32>; // [T, H, W, C]
@group(0) @binding(3) var<storage, read> past: array<f32>; // [kt-st, H, W, C]

fn pixel_at(pixel: u32, channels: u32, base: u32) -> u32 {
    return pixel * channels - base;
}

fn fetch_x(at: u32, channel: u32, channels: u32) -> f32 {
    if channel < channels {
        return x[at + channel];
    }
    return 0.0;
}

fn fetch_x4(at: u32, channel4: u32, channels: u32) -> Input4 {
    let c = 4u * channel4;
    return Input4(
        fetch_x(at, c, channels),
        fetch_x(at, c + 1u, channels),
        fetch_x(at, c + 2u, channels),
        fetch_x(at, c + 3u, channels),
    );
}

fn fetch_past(at: u32, channel: u32, channels: u32) -> f32 {
    if channel < channels {
        return past[at + channel];
    }
    return 0.0;
}

fn fetch_past4(at: u32, channel4: u32, channels: u32) -> Input4 {
    let c = 4u * channel4;
    return Input4(
        fetch_past(at, c, channels),
        fetch_past(at, c + 1u, channels),
        fetch_past(at, c + 2u, channels),
        fetch_past(at, c + 3u, channels),
    );
}
