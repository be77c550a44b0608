// Patches of P by Q elements of each frame of latents [C, T, H, W], a token each: the params of
// patchify.wgsl and unpatchify.wgsl.

struct Params {
    count: u32, // elements of this dispatch
    row_base: u32, // its first token
    channels: u32, // C
    frames: u32, // T
    height: u32, // H
    width: u32, // W
    patch_h: u32, // P
    patch_w: u32, // Q
}

@group(0) @binding(0) var<uniform> params: Params;

// Where the latents hold element `inside` = a Q + b of a channel of the patch of a token.
fn place(token: u32, channel: u32, inside: u32) -> u32 {
    let grid_w = params.width / params.patch_w;
    let grid_h = params.height / params.patch_h;
    let frame = token / (grid_w * grid_h);
    let y = token / grid_w % grid_h * params.patch_h + inside / params.patch_w;
    let x = token % grid_w * params.patch_w + inside % params.patch_w;
    let plane = channel * params.frames + frame;
    return (plane * params.height + y) * params.width + x;
}
