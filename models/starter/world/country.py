"""Places in the country: desert, forest, mountains, meadow and snowfield. `H` is the horizon's row, `G` the row on which the subject stands."""

from __future__ import annotations

import numpy as np

from .scenery import LAMP, TRUNK, sheet
from .stage import Part, Stage, affine, compose, mix

LEAF, PINE = (0.30, 0.55, 0.25), (0.13, 0.36, 0.29)


def fir(p, x, y, h, c, snow=False):
    p.box(x - 0.014 * h / 0.3, y - 0.05, x + 0.014 * h / 0.3, y + 0.01, TRUNK)
    for k, w in ((0.12, 0.34), (0.40, 0.27), (0.66, 0.19)):
        low, top = y - h * k, y - h * min(1.0, k + 0.42)
        p.poly([(x - w * h, low), (x, top), (x + w * h, low)], c)
        if snow:
            p.poly([(x - 0.5 * w * h, (low + top) / 2), (x, top), (x + 0.5 * w * h, (low + top) / 2)], (0.95, 0.97, 1.0))


def desert(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    x = rng.choice([-1, 1]) * 0.5
    mesa = (
        Part()
        .poly([(x - 0.30, H + 0.05), (x - 0.21, H - 0.17), (x + 0.13, H - 0.17), (x + 0.24, H + 0.05)], (0.75, 0.40, 0.30))
        .poly([(x + 0.28, H + 0.05), (x + 0.33, H - 0.10), (x + 0.42, H - 0.10), (x + 0.50, H + 0.05)], (0.70, 0.38, 0.30))
    )
    stage.place(mesa, 0.25)
    sheet(stage, 0.4, H + 0.005, (0.90, 0.60, 0.36), (0.82, 0.50, 0.30), 0.3, 0.030, 3.1, rng.integers(4), 0.012, 6.0)
    sheet(stage, 0.65, H + 0.075, (0.94, 0.69, 0.40), (0.85, 0.55, 0.30), 0.3, 0.030, 2.2, rng.integers(4))
    cactus = Part()
    for x0, k in ((-0.68, 1.0), (0.62, 0.8), (1.15, 1.0), (-1.2, 0.9)):
        y, c = G - 0.06, (0.20, 0.47, 0.30)
        cactus.capsule(x0, y, x0, y - 0.34 * k, 0.034 * k, c).capsule(x0, y - 0.13 * k, x0 + 0.10 * k, y - 0.13 * k, 0.022 * k, c).capsule(
            x0 + 0.10 * k, y - 0.13 * k, x0 + 0.10 * k, y - 0.25 * k, 0.022 * k, c
        )
        cactus.capsule(x0, y - 0.18 * k, x0 - 0.085 * k, y - 0.18 * k, 0.020 * k, c).capsule(
            x0 - 0.085 * k, y - 0.18 * k, x0 - 0.085 * k, y - 0.28 * k, 0.020 * k, c
        )
    stage.place(cactus, 0.9)
    sheet(stage, 1, G - 0.065, (0.97, 0.77, 0.46), (0.87, 0.60, 0.32), 0.4, 0.014, 2.6, rng.integers(4))


def forest(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.25, H - 0.06, (0.40, 0.60, 0.50), a=0.04, k=4.0, phase=rng.integers(4), b=0.02, k2=9.0)
    sheet(stage, 0.35, H + 0.03, (0.30, 0.50, 0.36))
    for depth, y, h, c, step in ((0.4, H + 0.05, 0.40, (0.25, 0.50, 0.40), 0.17), (0.7, G - 0.09, 0.62, (0.14, 0.39, 0.29), 0.26)):
        p, x = Part(), stage.snap(-1.7)
        while x < 1.7:
            fir(p, x, y, h * rng.choice([0.85, 1.0, 1.15]), c, stage.snowy)
            x += stage.snap(step * rng.uniform(0.8, 1.25), 0.5)
        stage.place(p, depth)
    sheet(stage, 0.75, G - 0.11, (0.24, 0.42, 0.22))
    sheet(stage, 1, G - 0.085, (0.38, 0.55, 0.24), (0.20, 0.36, 0.18), 0.4, 0.010, 5.0, rng.integers(4))


def mountains(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    for depth, h, c, step in ((0.2, 0.40, (0.50, 0.55, 0.72), 0.52), (0.4, 0.25, (0.40, 0.46, 0.60), 0.40)):
        p, x = Part(), stage.snap(-1.6 + rng.uniform(0, 0.3))
        while x < 1.7:
            k, w = h * rng.choice([0.8, 1.0, 1.15]), step * 0.85
            p.poly([(x - w, H + 0.06), (x, H - k), (x + w, H + 0.06)], c)
            p.poly([(x, H - k), (x, H + 0.06), (x + w, H + 0.06)], mix(c, (0.15, 0.2, 0.35), 0.25))
            f = 0.36
            p.poly(
                [(x - w * f * 0.93, H - k + (k + 0.06) * f), (x, H - k), (x + w * f * 0.93, H - k + (k + 0.06) * f), (x + 0.02, H - k + (k + 0.06) * f * 0.72)],
                (0.97, 0.98, 1.0),
            )
            x += step
        stage.place(p, depth)
    p, x = Part(), stage.snap(-1.7)
    while x < 1.7:
        fir(p, x, H + 0.085, rng.choice([0.11, 0.16]), PINE, stage.snowy)
        x += stage.snap(rng.uniform(0.07, 0.16), 0.5)
    stage.place(p, 0.6)
    sheet(stage, 0.7, H + 0.07, (0.45, 0.58, 0.36), (0.36, 0.50, 0.30), 0.2, 0.014, 3.0, rng.integers(4))
    sheet(stage, 1, G - 0.08, (0.56, 0.62, 0.38), (0.36, 0.45, 0.28), 0.4, 0.014, 2.2, rng.integers(4), 0.006, 7.0)


def tree(p, x, y, h):
    p.capsule(x, y, x, y - 0.5 * h, 0.05 * h, TRUNK)
    for dx, dy, r, c in ((-0.16, -0.58, 0.23, (0.24, 0.47, 0.22)), (0.17, -0.60, 0.22, (0.24, 0.47, 0.22)), (0.0, -0.78, 0.26, LEAF)):
        p.ellipse(x + dx * h, y + dy * h, r * h, r * h, c)


def meadow(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.3, H - 0.01, (0.52, 0.70, 0.50), a=0.045, k=2.3, phase=rng.integers(4), b=0.012, k2=6)
    sheet(stage, 0.55, H + 0.045, (0.48, 0.70, 0.36), (0.40, 0.62, 0.30), 0.2, 0.035, 1.9, rng.integers(4))
    p = Part()
    for x0 in (-1.25, -0.66, 0.58, 1.2):
        tree(p, stage.snap(x0 + rng.uniform(-0.06, 0.06), 0.5), G - 0.075, rng.choice([0.30, 0.40]))
    stage.place(p, 0.85)
    sheet(stage, 1, G - 0.09, (0.46, 0.74, 0.29), (0.28, 0.56, 0.20), 0.4, 0.014, 2.1, rng.integers(4))
    for c, cell in (((0.98, 0.90, 0.35), (0.31, 0.085)), ((0.98, 0.55, 0.62), (0.37, 0.10))):
        stage.place(Part().drops(cell, (0, 0), 0.0105, c, top=G - 0.045), 1)


def snowfield(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.25, H - 0.03, (0.72, 0.78, 0.90), a=0.06, k=2.6, phase=rng.integers(4), b=0.02, k2=6.1)
    sheet(stage, 0.55, H + 0.045, (0.87, 0.91, 0.98), (0.78, 0.85, 0.95), 0.25, 0.028, 1.9, rng.integers(4))
    p = Part()
    for x0, h in ((-1.3, 0.36), (-0.80, 0.40), (-0.58, 0.28), (0.55, 0.34), (0.78, 0.42), (1.3, 0.4)):
        fir(p, stage.snap(x0 + rng.uniform(-0.04, 0.04), 0.5), G - 0.07, h, (0.17, 0.38, 0.36), True)
    x, y, c = rng.choice([-0.30, 0.32]), G - 0.09, (0.52, 0.33, 0.24)
    p.box(x - 0.085, y - 0.10, x + 0.085, y + 0.01, c).poly([(x - 0.11, y - 0.09), (x, y - 0.18), (x + 0.11, y - 0.09)], (0.97, 0.98, 1.0)).box(
        x - 0.025, y - 0.065, x + 0.025, y - 0.02, LAMP, glow=True
    )
    stage.place(p, 0.8)
    sheet(stage, 1, G - 0.08, (0.96, 0.97, 1.0), (0.80, 0.86, 0.96), 0.4, 0.014, 2.3, rng.integers(4))


def grass(stage: Stage, c):
    """Blades along the lower edge, out of focus where the subject is in it."""
    y = stage.half_y + 0.05
    for side in (-1, 1):
        p = Part(compose(affine(side * 0.78 * stage.half_x, y), affine(angle=0.05 * stage.swing(3.1, side))))
        for i in range(5):
            a = (i - 2) * 0.26
            p.poly(
                [(-0.03 + 0.03 * i - 0.06, 0.03), (0.03 + 0.03 * i - 0.06, 0.03), (0.34 * np.sin(a) * 0.8 + 0.03 * i - 0.06, -0.30 * np.cos(a))],
                c if i % 2 else mix(c, (0, 0, 0), 0.18),
            )
        stage.place(p, 1.5)
