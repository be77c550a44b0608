"""Block matching: where things in a frame were in another, by comparing blocks at every shift."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def costs(a, b, reach, block, stride=None):
    """How far blocks of frames `b` are from `a`, both [N, 3, H, W], at every shift of up to `reach` pixels, row by row of shifts: [N, shifts, h, w]."""
    padded, (h, w), stride = F.pad(a, (reach,) * 4, mode="replicate"), a.shape[2:], stride or block
    of = lambda d: F.avg_pool2d(d, block, stride, (block - stride) // 2, count_include_pad=False)
    n = 2 * reach + 1
    return torch.cat([of((padded[:, :, y : y + h, x : x + w] - b).abs().mean(1, keepdim=True)) for y, x in np.ndindex(n, n)], 1)


def lengths(reach, device):
    """Of the shifts [1, shifts, 1, 1]: added in a small part, nothing moves where there is doubt."""
    at = torch.arange(-reach, reach + 1, device=device).abs()
    return (at[:, None] + at).view(1, -1, 1, 1)


def matches(a, b, reach, block, stride):
    """Of frames `b` on `a`: where from in x and y, what is left over, what there was to match: [N, 4, h, w]."""
    n = 2 * reach + 1
    cost = costs(a, b, reach, block, stride) + 0.001 * lengths(reach, a.device)
    least, at = cost.amin(1, keepdim=True), torch.arange(-reach, reach + 1.0, device=a.device).view(1, -1, 1, 1)
    odds = ((least - cost) / 0.01).softmax(1).unflatten(1, (n, n))
    return torch.stack([(odds.sum(1) * at).sum(1), (odds.sum(2) * at).sum(1), 10 * least[:, 0], 10 * cost[:, n * n // 2]], 1)


MATCHES = 32  # channels: four of each block, four blocks of each scale a latent


def movement(frames):
    """What moved since the frame before, for every fourth frame of clips [B, 3, T, 16h, 16w]: [B, MATCHES, T, h, w], finely up to 8 pixels and coarsely up to 24."""
    b, _, _, h, w = frames.shape
    frames = frames.movedim(2, 1)
    out = frames.new_zeros(b, frames.shape[1], MATCHES, h // 16, w // 16)
    if frames.shape[1] > 1:
        for i, (scale, reach) in enumerate(((2, 4), (4, 6))):
            small = F.avg_pool2d(frames.flatten(0, 1), scale).unflatten(0, frames.shape[:2])
            m = matches(small[:, :-1].flatten(0, 1), small[:, 1:].flatten(0, 1), reach, 4, 8 // scale)
            out[:, 1:, 16 * i : 16 * i + 16] = F.pixel_unshuffle(m, 2).unflatten(0, (b, -1))
    return out.movedim(1, 2)


def mirrored(m):
    """`movement` of clips seen in a mirror."""
    m = m.unflatten(1, (2, 4, 2, 2)).flip(4, -1)
    return torch.cat([-m[:, :, :1], m[:, :, 1:]], 2).flatten(1, 4)
