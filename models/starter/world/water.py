"""Places by the water: beach, harbour and open sea. `H` is the horizon's row, `G` the row on which the subject stands."""

from __future__ import annotations

import numpy as np

from .scenery import LAMP, WALLS, WIDE, WOOD, sheet
from .stage import Part, Stage, affine, compose, mix


def water(stage: Stage, bottom, reflected=()):
    """Open water from the horizon down: colour of the sky far off, reflections, glitter and small waves."""
    H = stage.horizon
    far = mix(mix((0.20, 0.55, 0.68), stage.low, 0.45), stage.sky, 0.2)
    near = (0.05, 0.30, 0.46) if stage.scene.place != "beach" else (0.08, 0.48, 0.58)
    stage.place(Part().box(-WIDE, H, WIDE, 3, far, to=near, rows=(H, H + 0.5)), 0.5, haze=0.72)
    for parts, depth, at in reflected:
        stage.place(parts, depth, at, mirror=H + 0.012, alpha=0.42, ripple=0.007, top=H - 0.3)
    if stage.sun and stage.scene.weather == "clear":
        x, _, r, c = stage.sun
        glitter = Part(affine(0, 0.010 * stage.swing(3.1))).drops((0.16, 0.034), (0.055, 0), 0.0065, c, top=H + 0.01, bottom=bottom, glow=True)
        column = Part().halo(x, H + 0.16, 0.16 + r, 0.34, c, 0.45)
        stage.place(column, 0.2, top=H)
        stage.place(glitter, 0.3, alpha=0.45, top=H)
    dashes = Part(affine(0.04 * stage.swing(3.1), 0.008 * stage.swing(3.1, 1.0))).drops(
        (0.42, 0.075), (0.10, 0), 0.0055, mix(near, (1, 1, 1), 0.55), top=H + 0.03, bottom=bottom
    )
    stage.place(dashes, 0.8, alpha=0.20 if reflected and stage.scene.place == "harbour" else 0.42)


def beach(stage: Stage):
    H, G, t, rng = stage.horizon, stage.ground, stage.t, stage.rng
    x = (1 if stage.scene.second != "none" else rng.choice([-1, 1])) * stage.half_x * 0.72
    hill = Part().ellipse(-x * 1.1, H + 0.02, 0.42, 0.085, (0.36, 0.55, 0.48))
    stage.place(hill, 0.3)
    shore = G - 0.085
    water(stage, shore, [(hill, 0.3, None)])
    # Four rollers come in one after the other, a second apart; each rises, breaks white and is gone at the shore.
    for i in range(4):
        k = (t / 4 + i / 4) % 1
        y = H + 0.035 + (shore - H - 0.05) * k**1.4
        crest = (
            Part(affine(0 * t, y))
            .wave(0.018, (0.10, 0.44, 0.56), 0.006, 4.0, band=0.014, soft=0.01)
            .wave(0, (0.97, 0.99, 0.98), 0.006, 4.0, 0.0, 0.003, 11.0, band=0.010)
        )
        stage.place(crest, 0.85, alpha=np.minimum(1, np.minimum(k / 0.25, (1 - k) / 0.12)))
    wash = 0.018 * stage.swing(3.1)
    at = affine(0 * t, wash)
    stage.place(Part(at).wave(shore - 0.004, (0.97, 0.98, 0.96), 0.012, 3.2, 0.4), 1)
    stage.place(Part(affine(0 * t, 0.6 * wash)).wave(shore + 0.014, (0.80, 0.68, 0.50), 0.012, 3.2, 0.4), 1)
    stage.place(Part().wave(shore + 0.038, (0.95, 0.84, 0.62), 0.010, 3.0, 0.6, to=(0.90, 0.74, 0.50), rows=(shore, shore + 0.4)), 1)
    if stage.wet:
        stage.place(Part().wave(shore + 0.05, (0.70, 0.72, 0.76), alpha=0.25, soft=0.05), 1)
    palm(stage, x, G - 0.04, 0.55)


def palm(stage, x, y, h):
    lean = 0.12 * np.sign(-x)
    p = Part().capsule(x, y, x + lean * 0.4, y - 0.55 * h, 0.022, WOOD, rb=0.017).capsule(x + lean * 0.4, y - 0.55 * h, x + lean, y - h, 0.017, WOOD, rb=0.013)
    crown = Part(compose(affine(x + lean, y - h), affine(angle=0.04 * stage.swing(3.1))))
    for a in (-2.75, -2.1, -0.4, -1.05, 0.15, 3.0):
        crown.ellipse(
            0.11 * np.cos(a),
            0.11 * np.sin(a) * 0.6 + 0.02,
            0.135,
            0.028,
            (0.14, 0.45, 0.28) if abs(a) > 1.5 else (0.19, 0.54, 0.30),
            angle=np.arctan2(0.6 * np.sin(a), np.cos(a)),
        )
    stage.place([p, crown], 0.92)


def houses(stage: Stage, y):
    p, x, rng = Part(), stage.snap(-1.75), stage.rng
    while x < 1.75:
        w, h, c = stage.snap(rng.uniform(0.17, 0.24), 0.5), stage.snap(rng.uniform(0.13, 0.21), 0.25), WALLS[rng.integers(len(WALLS))]
        p.box(x, y - h, x + w, y, c).poly([(x - 0.015, y - h), (x + w / 2, y - h - 0.07), (x + w + 0.015, y - h)], (0.58, 0.25, 0.20))
        for i in (0.3, 0.7):
            p.box(x + w * i - 0.018, y - h + 0.035, x + w * i + 0.018, y - h + 0.085, LAMP if stage.lamps else (0.30, 0.38, 0.46), glow=stage.lamps)
        x += w
    return p


def harbour(stage: Stage):
    H = stage.horizon
    sheet(stage, 0.3, H - 0.05, (0.42, 0.55, 0.58), a=0.06, k=2.1, phase=stage.rng.integers(4), b=0.02, k2=5.0)
    town = houses(stage, H)
    quay = Part().box(-WIDE, H - 0.012, WIDE, H + 0.030, (0.50, 0.47, 0.46))
    stage.place([town, quay], 0.55)
    water(stage, 3, [([town, quay], 0.55, None)])
    masts = Part(affine(angle=0.012 * stage.swing(3.1)))
    for x in (-0.98, -0.72, 0.70, 0.95):
        masts.capsule(x, H - 0.20, x, H + 0.06, 0.007, (0.85, 0.80, 0.72)).poly(
            [(x - 0.09, H + 0.045), (x + 0.09, H + 0.045), (x + 0.06, H + 0.085), (x - 0.06, H + 0.085)], (0.92, 0.90, 0.86)
        )
    stage.place(masts, 0.7)
    if stage.scene.subject not in ("sailboat", "ship", "balloon", "airplane", "seagull", "kite", "lighthouse"):
        quay = Part().box(-WIDE, stage.ground - 0.05, WIDE, 3, (0.66, 0.58, 0.50), to=(0.50, 0.42, 0.38), rows=(stage.ground - 0.05, stage.ground + 0.3))
        stage.place(quay.box(-WIDE, stage.ground - 0.05, WIDE, stage.ground - 0.032, (0.78, 0.71, 0.62)), 1)


def open_sea(stage: Stage):
    H = stage.horizon
    water(stage, 3)
    for i, (dy, depth) in enumerate(((0.10, 0.6), (0.19, 0.85))):
        c = mix((0.12, 0.45, 0.60), (0.04, 0.25, 0.42), i)
        top = Part(affine(0.06 * stage.swing(3.1, 2 * i), 0.010 * stage.swing(3.1, i)))
        y = H + dy
        top.wave(y, c, 0.014, 4.2 - i, 1.0 + i, 0.006, 9.0, to=mix(c, (0, 0.1, 0.2), 0.4), rows=(y, y + 0.3)).wave(
            y, mix(c, (1, 1, 1), 0.4), 0.014, 4.2 - i, 1.0 + i, 0.006, 9.0, band=0.0045
        )
        stage.place(top, depth, alpha=0.85)


def sea_front(stage: Stage):
    y = stage.ground + 0.075
    c = (0.03, 0.22, 0.38)
    p = Part(affine(-0.06 * stage.swing(3.1), 0.013 * stage.swing(3.1, 1.0)))
    p.wave(y, c, 0.016, 3.4, 2.0, 0.006, 8.0, to=(0.01, 0.12, 0.24), rows=(y, y + 0.3)).wave(
        y, mix(c, (1, 1, 1), 0.45), 0.016, 3.4, 2.0, 0.006, 8.0, band=0.005
    )
    stage.place(p, 1.25, alpha=0.92)


def buoy(stage: Stage):
    y = stage.half_y - 0.05
    p = Part(compose(affine(-0.70 * stage.half_x, y + 0.012 * stage.swing(3.1)), affine(angle=0.10 * stage.swing(3.1))))
    p.poly([(-0.085, 0.06), (-0.03, -0.20), (0.03, -0.20), (0.085, 0.06)], (0.88, 0.20, 0.14)).poly(
        [(-0.062, -0.05), (-0.045, -0.13), (0.045, -0.13), (0.062, -0.05)], (0.96, 0.94, 0.90)
    )
    stage.place(p.ellipse(0, -0.225, 0.026, 0.026, LAMP, glow=stage.lamps), 1.5)
