"""`draw.render` for a GPU: all shapes of a tile of pixels in one Triton kernel, many clips at once.

The formulas are draw.py's, in the same order; what is said there is not said again. One program draws a tile
of one frame and walks through the shapes, passing by those whose box does not touch the tile.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl

from . import draw

TILE_X, TILE_Y = 32, 16


@triton.jit
def half_plane(d, x, y, ax, ay, bx, by):
    ex, ey = bx - ax, by - ay
    n = tl.sqrt(ex * ex + ey * ey)
    h = ((x - ax) * ey - (y - ay) * ex) / tl.maximum(n, 1e-9)
    return tl.where(n > 1e-6, tl.maximum(d, h), d)


@triton.jit
def draw_kernel(
    out, shapes, groups, box, grade, K, G, F, W, H, px,
    SHAPE: tl.constexpr, GROUP: tl.constexpr, GRADE: tl.constexpr, EDGE: tl.constexpr, RIPPLE: tl.constexpr, TX: tl.constexpr, TY: tl.constexpr,
):
    frame = tl.program_id(0)  # of all clips
    clip = frame // F
    column = tl.program_id(1) * TX + tl.arange(0, TX)
    line = tl.program_id(2) * TY + tl.arange(0, TY)
    sx = ((column + 0.5 - W * 0.5) * px)[None, :] + tl.zeros([TY, TX], tl.float32)
    sy = ((line + 0.5 - H * 0.5) * px)[:, None] + tl.zeros([TY, TX], tl.float32)
    left, up = (tl.program_id(1) * TX - W * 0.5) * px, (tl.program_id(2) * TY - H * 0.5) * px
    right, down = left + TX * px, up + TY * px
    red, green, blue = tl.zeros([TY, TX], tl.float32), tl.zeros([TY, TX], tl.float32), tl.zeros([TY, TX], tl.float32)
    for k in range(K):
        b = box + (frame * K + k) * 4
        if (tl.load(b) < right) & (tl.load(b + 2) > left) & (tl.load(b + 1) < down) & (tl.load(b + 3) > up):
            s = shapes + (clip * K + k) * SHAPE
            kind = tl.load(s)
            g = groups + (frame * G + tl.load(s + 1).to(tl.int32)) * GROUP
            p0, p1, p2, p3 = tl.load(s + 2), tl.load(s + 3), tl.load(s + 4), tl.load(s + 5)
            p4, p5, p6, p7 = tl.load(s + 6), tl.load(s + 7), tl.load(s + 8), tl.load(s + 9)
            ga, gb, gc, gd = tl.load(g), tl.load(g + 1), tl.load(g + 2), tl.load(g + 3)
            rx = sx + tl.load(g + 6) * tl.sin(RIPPLE * sy + tl.load(g + 7))
            x, y = ga * rx + gb * sy + tl.load(g + 4), gc * rx + gd * sy + tl.load(g + 5)
            width = (EDGE * px + tl.load(g + 8)) * tl.sqrt(tl.abs(ga * gd - gb * gc)) + tl.load(s + 20)
            d = x
            ly = y
            if kind == 1.0:
                dx, dy = x - p0, y - p1
                u, v = (dx * p4 + dy * p5) / p2, (dy * p4 - dx * p5) / p3
                q = tl.sqrt(u * u + v * v + 1e-12)
                d = q * (q - 1) / tl.sqrt((u / p2) * (u / p2) + (v / p3) * (v / p3) + 1e-12 / (p2 * p3))
            elif kind == 2.0:
                ex, ey = p2 - p0, p3 - p1
                t = tl.minimum(tl.maximum(((x - p0) * ex + (y - p1) * ey) / (ex * ex + ey * ey + 1e-12), 0.0), 1.0)
                dx, dy = x - p0 - t * ex, y - p1 - t * ey
                d = tl.sqrt(dx * dx + dy * dy + 1e-12) - (p4 + t * (p5 - p4))
            elif kind == 3.0:
                d = half_plane(x * 0 - 1e9, x, y, p0, p1, p2, p3)
                d = half_plane(d, x, y, p2, p3, p4, p5)
                d = half_plane(d, x, y, p4, p5, p6, p7)
                d = half_plane(d, x, y, p6, p7, p0, p1) - tl.load(s + 10)
            elif kind == 4.0:
                a, c = p2 * x + p3, p5 * x + p6
                slope = p1 * p2 * tl.cos(a) + p4 * p5 * tl.cos(c)
                d = (p0 + p1 * tl.sin(a) + p4 * tl.sin(c) - y) / tl.sqrt(1 + slope * slope)
                d = tl.where(p7 > 0, tl.abs(d) - p7, d)
            elif kind == 5.0:
                again = tl.maximum(p7, 1.0)
                row = tl.floor(y / p1)
                of_row = tl.where(p7 > 0, row - again * tl.floor(row / again), row)
                xs = x + p0 * 0.5 * tl.sin(of_row * 2.3)
                col = tl.floor(xs / p0)
                of_col = tl.where(p7 > 0, col - again * tl.floor(col / again), col)
                fx = xs - (col + 0.5 + 0.3 * tl.sin(of_col * 1.7 + of_row * 4.1)) * p0
                fy = y - (row + 0.5 + 0.3 * tl.sin(of_col * 3.1 + of_row * 1.3)) * p1
                size = 0.7 + 0.3 * tl.sin(of_col * 2.9 + of_row * 5.3)
                t = tl.minimum(tl.maximum((fx * p2 + fy * p3) / (p2 * p2 + p3 * p3 + 1e-12), -1.0), 1.0) * size
                d = tl.sqrt((fx - t * p2) * (fx - t * p2) + (fy - t * p3) * (fy - t * p3) + 1e-12) - p4 * size
                d = tl.maximum(d, tl.maximum(p5 - y, y - p6))
            elif kind == 6.0:
                col, row = tl.floor((x - p0) / p4), tl.floor((y - p1) / p5)
                fx = tl.abs((x - p0) - (col + 0.5) * p4) - 0.28 * p4
                fy = tl.abs((y - p1) - (row + 0.5) * p5) - 0.30 * p5
                dark = tl.sin(col * 2.1 + row * 3.7 + p7 + tl.sin(col * row + p7)) > p6
                d = tl.maximum(tl.maximum(fx, fy), tl.maximum(tl.maximum(p0 - x, x - p2), tl.maximum(p1 - y, y - p3)))
                d = tl.where(dark, d + 9.0, d)
            cover = tl.minimum(tl.maximum(0.5 - d / width, 0.0), 1.0)
            cover = cover * cover * (3 - 2 * cover)
            if kind == 7.0:
                cover = tl.exp(-4 * (((x - p0) / p2) * ((x - p0) / p2) + ((y - p1) / p3) * ((y - p1) / p3)))
            inside = tl.minimum(tl.maximum((sy - tl.load(g + 10)) / px + 0.5, 0.0), 1.0) * tl.minimum(tl.maximum((tl.load(g + 11) - sy) / px + 0.5, 0.0), 1.0)
            cover = cover * inside * (tl.load(g + 9) * tl.load(s + 19))
            g0, g1 = tl.load(s + 17), tl.load(s + 18)
            t = tl.minimum(tl.maximum((ly - g0) / (g1 - g0), 0.0), 1.0)
            red += cover * (tl.load(s + 11) + t * (tl.load(s + 14) - tl.load(s + 11)) - red)
            green += cover * (tl.load(s + 12) + t * (tl.load(s + 15) - tl.load(s + 12)) - green)
            blue += cover * (tl.load(s + 13) + t * (tl.load(s + 16) - tl.load(s + 13)) - blue)
    e = grade + clip * GRADE
    exposure, contrast, saturation = tl.load(e), tl.load(e + 1), tl.load(e + 2)
    tone, vignette, haze = tl.load(e + 3), tl.load(e + 4), tl.load(e + 5)
    red, green, blue = red * exposure, green * exposure, blue * exposure
    luma = tl.minimum(tl.maximum(0.3 * red + 0.59 * green + 0.11 * blue, 0.0), 1.0)
    red, green, blue = luma + (1 + saturation) * (red - luma), luma + (1 + saturation) * (green - luma), luma + (1 + saturation) * (blue - luma)
    r1, g1, b1 = tl.minimum(tl.maximum(red, 0.0), 1.0), tl.minimum(tl.maximum(green, 0.0), 1.0), tl.minimum(tl.maximum(blue, 0.0), 1.0)
    red += contrast * (r1 * r1 * (3 - 2 * r1) - red)
    green += contrast * (g1 * g1 * (3 - 2 * g1) - green)
    blue += contrast * (b1 * b1 * (3 - 2 * b1) - blue)
    shade = tone * (luma - 0.45)
    edge = 1 - vignette * (sx * sx * 0.45 + sy * sy)
    red, green, blue = (red + 0.9 * shade) * edge, (green + 0.12 * shade) * edge, (blue - 0.8 * shade) * edge
    red, green, blue = red + haze * (1.0 - red), green + haze * (0.93 - green), blue + haze * (0.84 - blue)
    at = out + (frame.to(tl.int64) * H * W + (line[:, None] * W + column[None, :])) * 3
    mask = (line[:, None] < H) & (column[None, :] < W)
    tl.store(at, tl.minimum(tl.maximum(red * 255 + 0.5, 0.0), 255.0).to(tl.int32).to(tl.uint8), mask=mask)
    tl.store(at + 1, tl.minimum(tl.maximum(green * 255 + 0.5, 0.0), 255.0).to(tl.int32).to(tl.uint8), mask=mask)
    tl.store(at + 2, tl.minimum(tl.maximum(blue * 255 + 0.5, 0.0), 255.0).to(tl.int32).to(tl.uint8), mask=mask)


def tables(pictures: list[draw.Picture], px: float):
    """Pictures of one length, padded to the most shapes and groups: shapes [B, K, S], groups [B, F, G, P], boxes [B, F, K, 4], grades."""
    most, widest = max(len(p.shapes) for p in pictures), max(p.groups.shape[1] for p in pictures)
    b, frames = len(pictures), len(pictures[0].groups)
    shapes, groups = np.zeros((b, most, draw.SHAPE), np.float32), np.zeros((b, frames, widest, draw.GROUP), np.float32)
    box = np.full((b, frames, most, 4), (1e4, 1e4, -1e4, -1e4), np.float32)
    for i, p in enumerate(pictures):
        shapes[i, : len(p.shapes)], groups[i, :, : p.groups.shape[1]] = p.shapes, p.groups
        box[i, :, : len(p.shapes)] = draw.boxes(p, px)
    return shapes, groups, box, np.stack([p.grade for p in pictures])


def render(pictures: list[draw.Picture], width: int, height: int, device="cuda") -> torch.Tensor:
    """Clips of one length: uint8 [B, F, height, width, 3] on the device."""
    px = 1.0 / min(width, height)
    return launch(tables(pictures, px), width, height, device)


def launch(table, width, height, device="cuda"):
    shapes, groups, box, grade = (torch.from_numpy(v).to(device, non_blocking=True) for v in table)
    b, frames = groups.shape[:2]
    out = torch.empty(b, frames, height, width, 3, dtype=torch.uint8, device=device)
    grid = (b * frames, triton.cdiv(width, TILE_X), triton.cdiv(height, TILE_Y))
    draw_kernel[grid](
        out, shapes, groups, box, grade, shapes.shape[1], groups.shape[2], frames, width, height, 1.0 / min(width, height),
        draw.SHAPE, draw.GROUP, draw.GRADE, draw.EDGE, draw.RIPPLE, TILE_X, TILE_Y)
    return out
