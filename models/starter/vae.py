"""The starter's autoencoder: diffusers' own `WanDecoder3d`, and an encoder that is not shipped.

The decoder is exactly the one that inference runs, parameter for parameter; only its forward pass is written
for whole clips at once (causal convolutions over time need no cache then), which gives the same values as
diffusers' frame-by-frame decoding (`train_vae.py check` compares them). The encoder is a small convolutional
network instead of Wan's: text-to-video never runs it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import nn

from presets import Preset

RGB_SCALE = 0.5  # of colours in [-1, 1], about their standard deviation
BLOCK = 16  # pixels a latent covers in each direction; in time it is 4


def new_decoder(preset: Preset) -> AutoencoderKLWan:
    """Wan's autoencoder without its encoder, started near a linear one.

    The default initialisation loses the picture in nine normalised blocks. Here every residual branch
    starts at zero and the path around the branches interpolates linearly, so that the first three
    latent channels are a blurred RGB picture from the first step on.
    """
    vae = AutoencoderKLWan(**preset.vae())
    vae.encoder, vae.quant_conv = None, None
    d = vae.decoder
    smooth = torch.tensor([0.25, 0.5, 0.25])
    smooth = smooth[:, None] * smooth[None, :]  # after nearest upsampling: linear interpolation
    delta = torch.zeros(3, 3)
    delta[1, 1] = 1

    with torch.no_grad():
        vae.post_quant_conv.weight.copy_(torch.eye(preset.z_dim)[:, :, None, None, None])
        vae.post_quant_conv.bias.zero_()
        # Channels 2c and 2c + 1 carry colour c (the last upsampling makes two rows of them), the next
        # six their negatives, and 14 and 15 are kept empty for a constant.
        d.conv_in.weight[:16] = 0
        for c in range(3):
            d.conv_in.weight[2 * c : 2 * c + 2, c, 2, 1, 1] = RGB_SCALE
            d.conv_in.weight[6 + 2 * c : 8 + 2 * c, c, 2, 1, 1] = -RGB_SCALE
        d.conv_in.bias[:16] = 0
        for block in [*d.mid_block.resnets, *[r for b in d.up_blocks for r in b.resnets]]:
            block.conv2.weight.zero_()
            block.conv2.bias.zero_()
        for a in d.mid_block.attentions:
            a.proj.weight.zero_()
            a.proj.bias.zero_()
        for i, b in enumerate(d.up_blocks[:3]):
            kept, empty = (12, slice(12, 16)) if i < 2 else (6, slice(6, 8))
            shortcut = b.resnets[0].conv_shortcut
            if not isinstance(shortcut, nn.Identity):
                shortcut.weight[:8] = 0
                shortcut.bias[:8] = 0
                for c in range(6):
                    shortcut.weight[c, 2 * c] = 1
            conv = b.upsampler.resample[1]
            conv.weight.mul_(0.5)
            for rows in (slice(0, kept), empty):
                conv.weight[rows] = 0
                conv.bias[rows] = 0
            for c in range(kept):
                conv.weight[c, c] = smooth - delta  # the block's own shortcut adds delta
            if hasattr(b.upsampler, "time_conv"):
                w, n = b.upsampler.time_conv.weight, b.upsampler.dim
                for c in range(kept):
                    w[[c, n + c]] = 0
                    w[c, c, 2] = w[n + c, c, 2] = 1
                    b.upsampler.time_conv.bias[[c, n + c]] = 0
        # The last norm divides by the length over channels: a constant channel keeps that nearly
        # constant, and silu(a) - silu(-a) = a makes the head linear.
        d.up_blocks[2].upsampler.resample[1].bias[7] = 4.0
        # Output channel 4c + 2a + b is colour c of column a and row b of a 2 x 2 patch.
        near = {0: torch.tensor([0.25, 0.75, 0.0]), 1: torch.tensor([0.0, 0.75, 0.25])}
        d.conv_out.weight.mul_(0.2)
        d.conv_out.bias.zero_()
        d.conv_out.weight[:, :8] = 0
        gain = (preset.base_dim / 16) ** -0.5  # more channels under the last norm
        for c in range(3):
            for a in (0, 1):
                for b in (0, 1):
                    k = near[b][:, None] * near[a][None, :] * gain
                    d.conv_out.weight[4 * c + 2 * a + b, c, 2] = k
                    d.conv_out.weight[4 * c + 2 * a + b, 3 + c, 2] = -k
        # At full resolution the past starts at zero (and on a CPU stays there for long, see `causal`).
        for conv in [d.conv_out, *[c for b in d.up_blocks[2:] for r in b.resnets for c in (r.conv1, r.conv2)]]:
            conv.weight[:, :, :2] = 0
    return vae


def rms(norm, x):
    length = torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-12) * norm.scale
    return x * length.to(x.dtype) * norm.gamma.to(x.dtype)


def causal(conv, x, flat=False):
    """A causal 3-D convolution over a whole clip. `flat` uses the newest tap alone, as a 2-D convolution.

    On a CPU the other two stay zero at full resolution until `polish.py`: a third of the work.
    """
    w = conv.weight
    if w.shape[2:] == (1, 1, 1):
        return F.conv3d(x, w, conv.bias)
    if flat or x.shape[2] == 1:
        b, c, t, h, wd = x.shape
        y = F.conv2d(x.transpose(1, 2).reshape(b * t, c, h, wd), w[:, :, -1], conv.bias, padding=1)
        return y.reshape(b, t, -1, h, wd).transpose(1, 2)
    return F.conv3d(F.pad(x, (0, 0, 0, 0, 2, 0)), w, conv.bias, padding=(0, 1, 1))


def resnet(block, x, flat=False):
    h = causal(block.conv1, F.silu(rms(block.norm1, x)), flat)
    h = causal(block.conv2, F.silu(rms(block.norm2, h)), flat)
    return block.conv_shortcut(x) + h


def upsample(up, x):
    if hasattr(up, "time_conv") and x.shape[2] > 1:
        # The first latent frame passes as it is; the history of the second is zero, not the first.
        rest = F.conv3d(F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)), up.time_conv.weight, up.time_conv.bias)
        b, c2, t, h, w = rest.shape
        rest = rest.reshape(b, 2, c2 // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c2 // 2, 2 * t, h, w)
        x = torch.cat([x[:, :, :1], rest], dim=2)
    b, c, t, h, w = x.shape
    y = x.transpose(1, 2).reshape(b * t, c, h, w)
    y = y[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(b * t, c, 2 * h, 2 * w)
    conv = up.resample[1]
    y = F.conv2d(y, conv.weight, conv.bias, padding=1)
    return y.reshape(b, t, -1, 2 * h, 2 * w).transpose(1, 2)


def timeless(vae):
    """Whether the past at full resolution has no weight yet, so that `decode` may leave it out."""
    return not bool(vae.decoder.conv_out.weight[:, :, :-1].any())


def decode(vae, z, flat=False):
    """Latents [B, z, T, h, w] to frames [B, 3, 4T - 3, 16h, 16w] in [-1, 1], not clamped."""
    d = vae.decoder
    z = z.contiguous(memory_format=torch.channels_last_3d)  # what convolutions are fast in
    x = causal(d.conv_in, causal(vae.post_quant_conv, z))
    x = resnet(d.mid_block.resnets[0], x)
    x = d.mid_block.attentions[0](x)
    x = resnet(d.mid_block.resnets[1], x)
    for i, block in enumerate(d.up_blocks):
        start, lean = x, flat and i >= 2
        for r in block.resnets:
            x = resnet(r, x, lean)
        if block.upsampler is not None:
            x = upsample(block.upsampler, x) + block.avg_shortcut(start, first_chunk=True)
    x = causal(d.conv_out, F.silu(rms(d.norm_out, x)), flat)
    return unpatchify(x, 2)


def merged(weight, copies):
    """A kernel over colours × 4 frames × pixels of a block for one frame that stands for so many equal ones."""
    return weight.unflatten(1, (3, 4, -1)).unflatten(2, (-1, copies)).sum(3).flatten(1, 3)


class Encoder(nn.Module):
    """Frames [B, 3, 4T - 3, 16h, 16w] to latents [B, z, T, h, w] of about unit variance.

    Blocks of 4 x 16 x 16 pixels, a linear map and, beside it, a convolutional tower over the same; the first
    frame counts as four equal ones. Noise on the latents and a penalty on their squares fix the scale.
    """

    def __init__(self, z_dim, width, deep):
        super().__init__()
        n = 3 * 4 * BLOCK * BLOCK
        self.linear = nn.Conv2d(n, z_dim, 1)
        # It sees pixels in three steps of convolution; for a smoke run one linear map of the block does.
        self.tower = nn.Sequential(
            *([nn.Conv2d(12 * 4, width // 2, 3, padding=1), nn.SiLU(), nn.Conv2d(width // 2, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, width, 4, 2, 1),
               nn.SiLU(), nn.Conv2d(width, width, 4, 2, 1)] if deep else [nn.Conv2d(n, width, 1)]))
        self.deep = deep
        self.mid = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(3 if deep else 1)])
        self.time = nn.Conv1d(width, width, 3, padding=1) if deep else None
        self.out = nn.Conv2d(width, z_dim, 3, padding=1)
        with torch.no_grad():
            if not deep:
                self.tower[0].weight.mul_(2)
            self.out.weight[:3] *= 0.1
            self.linear.weight[:3] = 0
            for c in range(3):
                self.linear.weight[c].view(3, n // 3)[c] = 3 / n / RGB_SCALE
            self.linear.bias[:3] = 0
            self.out.bias.zero_()

    def forward(self, x):
        b, c, t, h, w = x.shape
        h, w, copies = h // BLOCK, w // BLOCK, 4
        if t > 1:
            x, copies = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1, -1), x], dim=2), 1
        n = x.shape[2] * copies // 4
        frames = x.reshape(b, 3, n, -1, h * BLOCK, w * BLOCK).permute(0, 2, 1, 3, 4, 5).reshape(b * n, -1, h * BLOCK, w * BLOCK)
        blocks = F.pixel_unshuffle(frames, BLOCK)
        seen = (F.pixel_unshuffle(frames, 2) if self.deep else blocks).contiguous(memory_format=torch.channels_last)  # half the time on a CPU
        first = self.tower[0]
        y = F.silu(self.tower[1:](F.conv2d(seen, merged(first.weight, copies), first.bias, padding=first.padding)))
        for mid in self.mid:
            y = F.silu(mid(y) + y)
        if self.time is not None:
            past = y.reshape(b, n, -1, h * w).permute(0, 3, 2, 1).reshape(b * h * w, -1, n)
            y = y + self.time(past).reshape(b, h * w, -1, n).permute(0, 3, 2, 1).reshape(y.shape)
        z = F.conv2d(blocks, merged(self.linear.weight, copies), self.linear.bias) + self.out(y)
        return z.reshape(b, n, -1, h, w).transpose(1, 2)
