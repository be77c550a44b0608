"""Draws pictures made of cut paper: shapes from signed distances, glued on groups that move.

A `Picture` is a list of shapes in painter's order. A shape never changes; it is glued on a group, and a
group has one affine transform a frame, as a stick has in a paper theatre. So a clip is a small table, and
drawing it is one loop over shapes:

    shapes [K, SHAPE]     kind, group, eight parameters, rounding, two colours and the rows of their
                          gradient, opacity, softness of the edge
    groups [F, G, GROUP]  screen to local (a b c d tx ty), ripple and its phase, blur, opacity, first and last row
    grade  [GRADE]        how the finished frame is graded

Screen coordinates: the unit is the frame's shorter side, the origin its middle, x right, y down.
Distances are negative inside; coverage rises over about a pixel and a half, or over the softness.

On a GPU the same formulas are one Triton kernel (draw_gpu.py); here they are plain PyTorch, shape by shape
in the window that the shape can touch. The two agree to rounding (`python -m world check`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

ELLIPSE, CAPSULE, POLYGON, WAVE, DROPS, WINDOWS, GLOW = range(1, 8)
SHAPE, GROUP, GRADE = 24, 12, 8
EDGE = 1.4  # pixels over which coverage rises
RIPPLE = 70.0  # radians a unit of height, of a reflection's ripple
CHUNK = 8  # frames drawn together on a CPU: few enough that they stay in its cache


@dataclass
class Picture:
    shapes: np.ndarray
    groups: np.ndarray
    grade: np.ndarray
    track: np.ndarray  # [F, 3]: where the subject is on the screen, and how large


def coverage(kind, p, r, x, y, width):
    """How much of each pixel at local (x, y) the shape covers; `width` is that of its edge, in local units."""
    if kind == GLOW:
        return torch.exp(-4 * (((x - p[0]) / p[2]) ** 2 + ((y - p[1]) / p[3]) ** 2))
    if kind == ELLIPSE:
        dx, dy = x - p[0], y - p[1]
        u, v = (dx * p[4] + dy * p[5]) / p[2], (dy * p[4] - dx * p[5]) / p[3]
        k = torch.sqrt(u * u + v * v + 1e-12)
        d = k * (k - 1) / torch.sqrt((u / p[2]) ** 2 + (v / p[3]) ** 2 + 1e-12 / (p[2] * p[3]))
    elif kind == CAPSULE:
        ex, ey = p[2] - p[0], p[3] - p[1]
        t = (((x - p[0]) * ex + (y - p[1]) * ey) / (ex * ex + ey * ey + 1e-12)).clamp(0, 1)
        d = torch.sqrt((x - p[0] - t * ex) ** 2 + (y - p[1] - t * ey) ** 2 + 1e-12) - (p[4] + t * (p[5] - p[4]))
    elif kind == POLYGON:
        d = None
        for i in range(4):
            ax, ay, bx, by = p[2 * i], p[2 * i + 1], p[(2 * i + 2) % 8], p[(2 * i + 3) % 8]
            ex, ey = bx - ax, by - ay
            n = (ex * ex + ey * ey) ** 0.5
            if n > 1e-6:
                h = (x - ax) * (ey / n) - (y - ay) * (ex / n)
                d = h if d is None else torch.maximum(d, h)
        d = d - r
    elif kind == WAVE:
        a, b = p[2] * x + p[3], p[5] * x + p[6]
        slope = p[1] * p[2] * torch.cos(a) + p[4] * p[5] * torch.cos(b)
        d = (p[0] + p[1] * torch.sin(a) + p[4] * torch.sin(b) - y) * torch.rsqrt(1 + slope * slope)
        if p[7] > 0:
            d = d.abs() - p[7]
    elif kind == DROPS:
        again = lambda v: v - p[7] * torch.floor(v / p[7]) if p[7] else v
        row = torch.floor(y / p[1])
        of_row = again(row)
        x = x + p[0] * 0.5 * torch.sin(of_row * 2.3)
        col = torch.floor(x / p[0])
        of_col = again(col)
        fx = x - (col + 0.5 + 0.3 * torch.sin(of_col * 1.7 + of_row * 4.1)) * p[0]
        fy = y - (row + 0.5 + 0.3 * torch.sin(of_col * 3.1 + of_row * 1.3)) * p[1]
        size = 0.7 + 0.3 * torch.sin(of_col * 2.9 + of_row * 5.3)
        t = ((fx * p[2] + fy * p[3]) / (p[2] * p[2] + p[3] * p[3] + 1e-12)).clamp(-1, 1) * size
        d = torch.sqrt((fx - t * p[2]) ** 2 + (fy - t * p[3]) ** 2 + 1e-12) - p[4] * size
        d = torch.maximum(d, torch.maximum(p[5] - y, y - p[6]))
    else:
        col, row = torch.floor((x - p[0]) / p[4]), torch.floor((y - p[1]) / p[5])
        fx = ((x - p[0]) - (col + 0.5) * p[4]).abs() - 0.28 * p[4]
        fy = ((y - p[1]) - (row + 0.5) * p[5]).abs() - 0.30 * p[5]
        dark = torch.sin(col * 2.1 + row * 3.7 + p[7] + torch.sin(col * row + p[7])) > p[6]
        d = torch.maximum(torch.maximum(fx, fy), torch.maximum(torch.maximum(p[0] - x, x - p[2]), torch.maximum(p[1] - y, y - p[3])))
        d = d + dark * 9.0
    c = (0.5 - d / width).clamp(0, 1)
    return c * c * (3 - 2 * c)


def bounds(kind, p, r):
    """The box in local units that a shape stays in: x0, y0, x1, y1."""
    far = 1e3
    if kind == GLOW:
        return p[0] - 1.4 * p[2], p[1] - 1.4 * p[3], p[0] + 1.4 * p[2], p[1] + 1.4 * p[3]
    if kind == ELLIPSE:
        m = max(p[2], p[3])
        return p[0] - m, p[1] - m, p[0] + m, p[1] + m
    if kind == CAPSULE:
        m = max(p[4], p[5])
        return min(p[0], p[2]) - m, min(p[1], p[3]) - m, max(p[0], p[2]) + m, max(p[1], p[3]) + m
    if kind == POLYGON:
        return min(p[0::2]) - r, min(p[1::2]) - r, max(p[0::2]) + r, max(p[1::2]) + r
    if kind == WAVE:
        m = abs(p[1]) + abs(p[4]) + p[7]
        return -far, p[0] - m, far, p[0] + m if p[7] > 0 else far
    if kind == DROPS:
        return -far, max(p[5], -far), far, min(p[6], far)
    return tuple(p[:4])


def boxes(picture: Picture, px: float) -> np.ndarray:
    """[F, K, 4]: for each frame and shape, the box on the screen outside which it cannot be seen."""
    s, g = picture.shapes, picture.groups
    local = np.array([bounds(int(row[0]), list(map(float, row[2:10])), float(row[10])) for row in s]).reshape(-1, 4)
    of = s[:, 1].astype(int)
    a, b, c, d, tx, ty, ripple = (g[:, of, i].astype(np.float64) for i in range(7))
    det = a * d - b * c
    x, y = local[:, [0, 2, 0, 2]], local[:, [1, 1, 3, 3]]
    x, y = x[None] - tx[..., None], y[None] - ty[..., None]
    sx = (d[..., None] * x - b[..., None] * y) / det[..., None]
    sy = (a[..., None] * y - c[..., None] * x) / det[..., None]
    edge = EDGE * px + g[:, of, 8] + s[:, 20] / np.sqrt(np.abs(det))
    edge = edge * np.where(s[:, 0] == POLYGON, 4.0, 1.0)  # beyond a pointed corner the greatest of four distances falls short
    out = np.stack([sx.min(-1) - edge - np.abs(ripple), sy.min(-1) - edge, sx.max(-1) + edge + np.abs(ripple), sy.max(-1) + edge], -1)
    out[..., 1] = np.maximum(out[..., 1], g[:, of, 10])
    out[..., 3] = np.minimum(out[..., 3], g[:, of, 11])
    gone = (g[:, of, 9] * s[:, 19] < 1 / 512) | (s[:, 0] == 0)
    out[gone] = (1e4, 1e4, -1e4, -1e4)
    return out.astype(np.float32)


def render(picture: Picture, width: int, height: int) -> torch.Tensor:
    """Draws every frame: uint8 [F, height, width, 3], sRGB."""
    px = 1.0 / min(width, height)
    xs = (torch.arange(width) + 0.5 - width / 2) * px
    ys = (torch.arange(height) + 0.5 - height / 2) * px
    box = boxes(picture, px)
    groups = torch.from_numpy(np.ascontiguousarray(picture.groups)).float()
    frames = len(groups)
    clip = torch.empty(frames, height, width, 3, dtype=torch.uint8)
    for start in range(0, frames, CHUNK):
        part = slice(start, min(frames, start + CHUNK))
        img = torch.zeros(3, part.stop - start, height, width)
        for k, row in enumerate(picture.shapes.tolist()):
            b = box[part, k]
            x0, y0 = int((b[:, 0].min() / px + width / 2) // 1), int((b[:, 1].min() / px + height / 2) // 1)
            x1, y1 = int((b[:, 2].max() / px + width / 2) // 1) + 1, int((b[:, 3].max() / px + height / 2) // 1) + 1
            x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
            if x0 >= x1 or y0 >= y1:
                continue
            g = groups[part, int(row[1])]
            if start + 1 < part.stop and torch.equal(g, g[:1].expand_as(g)):
                g = g[:1]  # it stands still: once for all frames of the chunk
            paint(img[:, :, y0:y1, x0:x1], row, g[:, :, None, None].unbind(1), xs[x0:x1], ys[y0:y1, None], px)
        clip[part] = finish(img, xs, ys[:, None], picture.grade.tolist()).permute(1, 2, 3, 0)
    return clip


def paint(img, row, g, x, y, px):
    """Lays one shape over [3, f, h, w], in place."""
    kind, p, r = int(row[0]), row[2:10], row[10]
    rx = x + g[6] * torch.sin(RIPPLE * y + g[7]) if bool((g[6] != 0).any()) else x
    lx, ly = g[0] * rx + g[1] * y + g[4], g[2] * rx + g[3] * y + g[5]
    scale = (g[0] * g[3] - g[1] * g[2]).abs().sqrt()
    c = coverage(kind, p, r, lx, ly, (EDGE * px + g[8]) * scale + row[20])
    inside = ((y - g[10]) / px + 0.5).clamp(0, 1) * ((g[11] - y) / px + 0.5).clamp(0, 1)
    c = c * (inside * g[9] * row[19])
    c0, c1 = row[11:14], row[14:17]
    if c0 == c1:
        for i in range(3):
            img[i].add_(c * (c0[i] - img[i]))
    else:
        t = ((ly - row[17]) / (row[18] - row[17])).clamp(0, 1)
        for i in range(3):
            img[i].add_(c * (c0[i] + t * (c1[i] - c0[i]) - img[i]))


def finish(img, x, y, grade):
    """Grades [3, f, h, w] and makes it uint8: exposure, contrast, saturation, split tone, vignette, haze."""
    exposure, contrast, saturation, tone, vignette, haze = grade[:6]
    if any(grade[1:6]) or exposure != 1:
        img = img * exposure
        luma = (0.3 * img[0] + 0.59 * img[1] + 0.11 * img[2]).clamp(0, 1)
        img = luma + (1 + saturation) * (img - luma)
        img = img + contrast * (img.clamp(0, 1) * img.clamp(0, 1) * (3 - 2 * img.clamp(0, 1)) - img)
        shade = tone * (luma - 0.45)  # warm lights, teal shadows
        dark = 1 - vignette * (x * x * 0.45 + y * y)
        img = torch.stack([img[0] + 0.9 * shade, img[1] + 0.12 * shade, img[2] - 0.8 * shade]) * dark
        img = img + haze * (torch.tensor([1.0, 0.93, 0.84]).view(3, 1, 1, 1) - img)
    return (img * 255 + 0.5).clamp(0, 255).byte()
