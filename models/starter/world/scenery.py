"""What all places share: papers, sheets of paper, the sky and its clouds."""

from __future__ import annotations

import numpy as np

from .stage import Part, Stage, affine, mix

WIDE = 3.0
WOOD, TRUNK = (0.46, 0.30, 0.19), (0.33, 0.22, 0.16)
LAMP = (1.00, 0.90, 0.58)
WALLS = ((0.90, 0.66, 0.44), (0.80, 0.42, 0.36), (0.93, 0.84, 0.66), (0.56, 0.68, 0.74), (0.88, 0.55, 0.50))


def sheet(stage, depth, y, c, to=None, tall=0.5, a=0.0, k=1.0, phase=0.0, b=0.0, k2=1.0, phase2=0.0, drift=0.0):
    """A sheet of paper with a wavy upper edge, and the soft shadow it throws on what is behind."""
    at = affine(drift, 0 * np.asarray(drift))
    shadow = Part(at).wave(y - 0.006, (0.05, 0.05, 0.12), a, k, phase, b, k2, phase2, alpha=0.16, soft=0.03)
    stage.place([shadow, Part(at).wave(y, c, a, k, phase, b, k2, phase2, to=to, rows=(y, y + tall))], depth)


def sky(stage: Stage):
    s, H = stage.scene, stage.horizon
    top = -stage.half_y - 0.3
    paper = Part().box(-WIDE, top, WIDE, 3, stage.sky, to=stage.low, rows=(top + 0.25, H + 0.02), glow=True)
    stage.place(paper, 0)
    if stage.night and s.weather == "clear":
        stage.place(Part().drops((0.19, 0.13), (0, 0), 0.0058, (0.95, 0.95, 0.88), top=-9, bottom=H - 0.12, glow=True, alpha=0.9), 0)
    if stage.sun:
        x, over, r, c = stage.sun
        y = min(H - over, -stage.half_y + 0.12) if over > 0.3 and s.angle == "aerial" else H - over
        strong = 1.0 if s.weather == "clear" else 0.35
        disc = (
            Part()
            .halo(x, y, 0.55, 0.42, c, 0.50 * strong * (0.35 if stage.night else 1))
            .ellipse(x, y, r, r, c, glow=True, alpha=strong, soft=0.0 if strong == 1 else 0.03)
        )
        if stage.night:
            disc.ellipse(x + 0.02, y - 0.012, 0.012, 0.012, (0.80, 0.82, 0.80), glow=True, alpha=strong)
        stage.place(disc, 0.04)
    clouds(stage)


def clouds(stage: Stage):
    s, rng, H = stage.scene, stage.rng, stage.horizon
    if stage.night and s.weather == "clear":
        return
    heavy = s.time == "overcast morning" or s.weather in ("rain", "snow")
    white = {"golden hour": (1.0, 0.80, 0.66), "dawn": (1.0, 0.88, 0.88), "dusk": (0.62, 0.38, 0.56), "midnight": (0.13, 0.17, 0.33)}.get(s.time, (1, 1, 1))
    c = mix(white, stage.sky, 0.35 if heavy else 0.10)
    for i in range(5 if heavy else 3):
        x = stage.snap((-0.75 + 0.38 * i if heavy else -0.62 + 0.62 * i) * max(1, stage.half_x / 0.6) * 0.8 + rng.uniform(-0.1, 0.1), 0.5)
        y = -stage.half_y + stage.snap((0.06 if heavy else 0.13) + rng.uniform(0, 0.10), 0.5)
        if s.angle == "aerial":
            y = min(y, H - 0.10)
        p = Part()
        for dx, dy, rx, ry in ((0, 0, 0.20, 0.040), (-0.06, -0.03, 0.09, 0.05), (0.05, -0.045, 0.10, 0.062)):
            k = 1.5 if heavy else 1.0
            p.ellipse(x + dx * k, y + dy * k, rx * k, ry * k, c, glow=True, alpha=0.95, soft=0.008)
        stage.place(p, 0.12)
