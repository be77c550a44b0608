"""The ten places, the sky over them and the weather in them: everything but the subject.

Each place is a function that lays its layers from far to near; `H` is the horizon's row, `G` the row on which
the subject stands. `front` lays what is nearer than the subject, and the weather last of all.
"""

from __future__ import annotations

import numpy as np

from .stage import Part, Stage, affine, compose, mix

WIDE = 3.0
WOOD, LEAF, PINE, TRUNK = (0.46, 0.30, 0.19), (0.30, 0.55, 0.25), (0.13, 0.36, 0.29), (0.33, 0.22, 0.16)
LAMP = (1.00, 0.90, 0.58)
NEON = ((1.0, 0.20, 0.52), (0.16, 0.92, 1.0), (1.0, 0.78, 0.18), (0.55, 0.35, 1.0), (0.25, 1.0, 0.55))
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
        disc = Part().halo(x, y, 0.55, 0.42, c, 0.50 * strong * (0.35 if stage.night else 1)).ellipse(x, y, r, r, c, glow=True, alpha=strong, soft=0.0 if strong == 1 else 0.03)
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
        x = (-0.75 + 0.38 * i if heavy else -0.62 + 0.62 * i) * max(1, stage.half_x / 0.6) * 0.8 + rng.uniform(-0.1, 0.1)
        y = -stage.half_y + (0.06 if heavy else 0.13) + rng.uniform(0, 0.10)
        if s.angle == "aerial":
            y = min(y, H - 0.10)
        p = Part(affine(0.015 * stage.t, 0 * stage.t))
        for dx, dy, rx, ry in ((0, 0, 0.20, 0.040), (-0.06, -0.03, 0.09, 0.05), (0.05, -0.045, 0.10, 0.062)):
            k = 1.5 if heavy else 1.0
            p.ellipse(x + dx * k, y + dy * k, rx * k, ry * k, c, glow=True, alpha=0.95, soft=0.008)
        stage.place(p, 0.12)


# ---- water --------------------------------------------------------------------------------------


def water(stage: Stage, bottom, reflected=()):
    """Open water from the horizon down: colour of the sky far off, reflections, glitter and small waves."""
    H, t = stage.horizon, stage.t
    far = mix(mix((0.20, 0.55, 0.68), stage.low, 0.45), stage.sky, 0.2)
    near = (0.05, 0.30, 0.46) if stage.scene.place != "beach" else (0.08, 0.48, 0.58)
    stage.place(Part().box(-WIDE, H, WIDE, 3, far, to=near, rows=(H, H + 0.5)), 0.5, haze=0.72)
    for parts, depth, at in reflected:
        stage.place(parts, depth, at, mirror=H + 0.012, alpha=0.42, ripple=0.007, top=H - 0.3)
    if stage.sun and stage.scene.weather == "clear":
        x, _, r, c = stage.sun
        glitter = Part(affine(0, 0.010 * np.sin(2 * t))).drops((0.16, 0.034), (0.055, 0), 0.0065, c, top=H + 0.01, bottom=bottom, glow=True)
        column = Part().halo(x, H + 0.16, 0.16 + r, 0.34, c, 0.45)
        stage.place(column, 0.2, top=H)
        stage.place(glitter, 0.3, alpha=0.45, top=H)
    dashes = Part(affine(0.05 * np.sin(0.8 * t), 0.008 * np.sin(1.7 * t))).drops((0.42, 0.075), (0.10, 0), 0.0055, mix(near, (1, 1, 1), 0.55), top=H + 0.03, bottom=bottom)
    stage.place(dashes, 0.8, alpha=0.20 if reflected and stage.scene.place == "harbour" else 0.42)


def beach(stage: Stage):
    H, G, t, rng = stage.horizon, stage.ground, stage.t, stage.rng
    x = (1 if stage.scene.second != "none" else rng.choice([-1, 1])) * stage.half_x * 0.72
    hill = Part().ellipse(-x * 1.1, H + 0.02, 0.42, 0.085, (0.36, 0.55, 0.48))
    stage.place(hill, 0.3)
    shore = G - 0.085
    water(stage, shore, [(hill, 0.3, None)])
    # Three rollers come in one after the other; each rises, breaks white and is gone at the shore.
    for i in range(3):
        k = (t * 0.22 + i / 3) % 1
        y = H + 0.035 + (shore - H - 0.05) * k**1.4
        crest = Part(affine(0.03 * np.sin(t + i), y)).wave(0.018, (0.10, 0.44, 0.56), 0.006, 4.0, i, band=0.014, soft=0.01).wave(0, (0.97, 0.99, 0.98), 0.006, 4.0, i, 0.003, 11.0, band=0.010)
        stage.place(crest, 0.85, alpha=np.minimum(1, np.minimum(k / 0.25, (1 - k) / 0.12)))
    wash = 0.022 * np.sin(2 * np.pi * 0.22 * t)
    at = affine(0 * t, wash)
    stage.place(Part(at).wave(shore - 0.004, (0.97, 0.98, 0.96), 0.012, 3.2, 0.4), 1)
    stage.place(Part(affine(0 * t, 0.6 * wash)).wave(shore + 0.014, (0.80, 0.68, 0.50), 0.012, 3.2, 0.4), 1)
    stage.place(Part().wave(shore + 0.038, (0.95, 0.84, 0.62), 0.010, 3.0, 0.6, to=(0.90, 0.74, 0.50), rows=(shore, shore + 0.4)), 1)
    if stage.wet:
        stage.place(Part().wave(shore + 0.05, (0.70, 0.72, 0.76), alpha=0.25, soft=0.05), 1)
    palm(stage, x, G - 0.04, 0.55)


def palm(stage, x, y, h):
    t = stage.t
    lean = 0.12 * np.sign(-x)
    p = Part().capsule(x, y, x + lean * 0.4, y - 0.55 * h, 0.022, WOOD, rb=0.017).capsule(x + lean * 0.4, y - 0.55 * h, x + lean, y - h, 0.017, WOOD, rb=0.013)
    crown = Part(compose(affine(x + lean, y - h), affine(angle=0.06 * np.sin(1.6 * t))))
    for a in (-2.75, -2.1, -0.4, -1.05, 0.15, 3.0):
        crown.ellipse(0.11 * np.cos(a), 0.11 * np.sin(a) * 0.6 + 0.02, 0.135, 0.028, (0.14, 0.45, 0.28) if abs(a) > 1.5 else (0.19, 0.54, 0.30), angle=np.arctan2(0.6 * np.sin(a), np.cos(a)))
    stage.place([p, crown], 0.92)


def houses(stage: Stage, y):
    p, x, rng = Part(), -1.75, stage.rng
    while x < 1.75:
        w, h, c = rng.uniform(0.17, 0.24), rng.uniform(0.13, 0.21), WALLS[rng.integers(len(WALLS))]
        p.box(x, y - h, x + w, y, c).poly([(x - 0.015, y - h), (x + w / 2, y - h - 0.07), (x + w + 0.015, y - h)], (0.58, 0.25, 0.20))
        for i in (0.3, 0.7):
            p.box(x + w * i - 0.018, y - h + 0.035, x + w * i + 0.018, y - h + 0.085, LAMP if stage.lamps else (0.30, 0.38, 0.46), glow=stage.lamps)
        x += w + rng.uniform(0.01, 0.04)
    return p


def harbour(stage: Stage):
    H = stage.horizon
    sheet(stage, 0.3, H - 0.05, (0.42, 0.55, 0.58), a=0.06, k=2.1, phase=stage.rng.uniform(0, 6), b=0.02, k2=5.0)
    town = houses(stage, H)
    quay = Part().box(-WIDE, H - 0.012, WIDE, H + 0.030, (0.50, 0.47, 0.46))
    stage.place([town, quay], 0.55)
    water(stage, 3, [([town, quay], 0.55, None)])
    masts = Part(affine(angle=0.012 * np.sin(1.4 * stage.t)))
    for x in (-0.98, -0.72, 0.70, 0.95):
        masts.capsule(x, H - 0.20, x, H + 0.06, 0.007, (0.85, 0.80, 0.72)).poly([(x - 0.09, H + 0.045), (x + 0.09, H + 0.045), (x + 0.06, H + 0.085), (x - 0.06, H + 0.085)], (0.92, 0.90, 0.86))
    stage.place(masts, 0.7)
    if stage.scene.subject not in ("sailboat", "ship", "balloon", "airplane", "seagull", "kite", "lighthouse"):
        quay = Part().box(-WIDE, stage.ground - 0.05, WIDE, 3, (0.66, 0.58, 0.50), to=(0.50, 0.42, 0.38), rows=(stage.ground - 0.05, stage.ground + 0.3))
        stage.place(quay.box(-WIDE, stage.ground - 0.05, WIDE, stage.ground - 0.032, (0.78, 0.71, 0.62)), 1)


def open_sea(stage: Stage):
    H, t = stage.horizon, stage.t
    water(stage, 3)
    for i, (dy, depth) in enumerate(((0.10, 0.6), (0.19, 0.85))):
        c = mix((0.12, 0.45, 0.60), (0.04, 0.25, 0.42), i)
        top = Part(affine(0.10 * np.sin(0.55 * t + 2 * i), 0.010 * np.sin(1.5 * t + i)))
        y = H + dy
        top.wave(y, c, 0.014, 4.2 - i, 1.0 + i, 0.006, 9.0, to=mix(c, (0, 0.1, 0.2), 0.4), rows=(y, y + 0.3)).wave(y, mix(c, (1, 1, 1), 0.4), 0.014, 4.2 - i, 1.0 + i, 0.006, 9.0, band=0.0045)
        stage.place(top, depth, alpha=0.85)


def sea_front(stage: Stage):
    t, y = stage.t, stage.ground + 0.075
    c = (0.03, 0.22, 0.38)
    p = Part(affine(-0.12 * np.sin(0.5 * t), 0.013 * np.sin(1.6 * t)))
    p.wave(y, c, 0.016, 3.4, 2.0, 0.006, 8.0, to=(0.01, 0.12, 0.24), rows=(y, y + 0.3)).wave(y, mix(c, (1, 1, 1), 0.45), 0.016, 3.4, 2.0, 0.006, 8.0, band=0.005)
    stage.place(p, 1.25, alpha=0.92)


# ---- city ---------------------------------------------------------------------------------------


def tower(p, stage, x, w, h, y, c, cell, seed):
    p.box(x, y - h, x + w, y + 0.02, c)
    glass = LAMP if stage.lamps else mix(c, (0.75, 0.88, 1.0), 0.55)
    p.windows(x + 0.012, y - h + 0.02, x + w - 0.012, y - 0.10, cell, 0.62 if stage.lamps else 0.9, seed, glass, glow=stage.lamps, alpha=0.9)


def neon(stage, p, x, y, w, h, c):
    if stage.lamps:
        p.halo(x, y, 0.9 * w + 0.09, 0.75 * h + 0.09, c, 0.55).box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, c, r=0.012, glow=True)
        p.box(x - w / 2 + 0.014, y - h / 2 + 0.014, x + w / 2 - 0.014, y + h / 2 - 0.014, mix(c, (1, 1, 1), 0.75), r=0.006, glow=True)
    else:
        p.box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, mix(c, (0.6, 0.5, 0.5), 0.3), r=0.012).box(x - w / 2 + 0.014, y - h / 2 + 0.014, x + w / 2 - 0.014, y + h / 2 - 0.014, (0.96, 0.94, 0.9), r=0.006)


def asphalt(stage, y, mirrored, depth=0.7):
    c = (0.25, 0.26, 0.31) if not stage.wet else (0.15, 0.16, 0.21)
    stage.place(Part().box(-WIDE, y - 0.055, WIDE, y, (0.60, 0.58, 0.57)).box(-WIDE, y, WIDE, 3, c, to=mix(c, (0, 0, 0.02), 0.35), rows=(y, y + 0.4)), 1)
    if stage.wet or stage.lamps:
        for parts in mirrored:
            stage.place(parts, depth, mirror=y - 0.01, alpha=0.55 if stage.wet else 0.16, ripple=0.007, top=y)


def skyline(stage, H, y):
    p, rng, x = Part(), stage.rng, -1.8
    while x < 1.8:
        w = rng.uniform(0.12, 0.22)
        p.box(x, H - rng.uniform(0.16, 0.40), x + w, y, (0.45, 0.48, 0.60))
        x += w
    stage.place(p, 0.3)


def city_street(stage: Stage):
    y, rng = stage.ground - 0.10, stage.rng
    skyline(stage, y - 0.12, y)
    p, signs, x = Part(), Part(), -1.8
    while x < 1.8:
        w, h, c = rng.uniform(0.28, 0.38), rng.uniform(0.34, 0.58), mix(WALLS[rng.integers(5)], (0.42, 0.36, 0.46), 0.40 if not stage.lamps else 0.6)
        tower(p, stage, x, w, h, y - 0.05, c, (0.062, 0.075), float(rng.uniform(0, 6)))
        shop = WALLS[rng.integers(5)]
        p.box(x + 0.02, y - 0.145, x + w - 0.02, y - 0.05, LAMP if stage.lamps else (0.55, 0.66, 0.72), glow=stage.lamps).box(x + 0.005, y - 0.175, x + w - 0.005, y - 0.135, shop)
        c = NEON[rng.integers(5)]
        if rng.random() < 0.65:
            neon(stage, signs, x + w * rng.uniform(0.15, 0.85), y - rng.uniform(0.26, 0.33), 0.062, 0.17, c)
        else:
            neon(stage, signs, x + w / 2, y - rng.uniform(0.22, 0.30), 0.19, 0.065, c)
        x += w + 0.008
    stage.place([p, signs], 0.7)
    asphalt(stage, y, [p, signs])
    stage.place(lane(stage.ground + 0.085), 1)


def lane(y, c=(0.90, 0.88, 0.80)):
    p = Part()
    for i in range(-6, 7):
        p.poly([(i * 0.34 - 0.09, y), (i * 0.34 + 0.09, y), (i * 0.34 + 0.10, y + 0.02), (i * 0.34 - 0.10, y + 0.02)], c, alpha=0.8)
    return p


def intersection(stage: Stage):
    """An avenue that runs away from us between two rows of towers, and the crossing in front."""
    y, rng, H = stage.ground - 0.10, stage.rng, stage.horizon
    gap = 0.26
    far = Part().box(-0.06, y - 0.62, 0.05, y, (0.47, 0.50, 0.62)).poly([(-0.025, y - 0.62), (0.015, y - 0.62), (-0.005, y - 0.78)], (0.47, 0.50, 0.62)).box(0.05, y - 0.42, 0.16, y, (0.52, 0.53, 0.63)).box(-0.18, y - 0.34, -0.06, y, (0.50, 0.50, 0.60))
    stage.place(far, 0.3)
    avenue = Part().poly([(-0.05, y - 0.10), (0.05, y - 0.10), (gap + 0.03, y + 0.01), (-gap - 0.03, y + 0.01)], (0.30, 0.31, 0.36))
    stage.place(avenue, 0.6)
    p, signs = Part(), Part()
    for side in (-1, 1):
        x = gap
        for h, w in ((rng.uniform(0.46, 0.56), 0.16), (rng.uniform(0.66, 0.80), 0.32), (rng.uniform(0.5, 0.7), 0.36), (0.6, 0.4), (0.7, 0.4)):
            c = mix(WALLS[rng.integers(5)], (0.34, 0.33, 0.44), 0.66)
            a, b = sorted((side * x, side * (x + w)))
            tower(p, stage, a, b - a, h, y - 0.05, c, (0.066, 0.085), float(rng.uniform(0, 6)))
            x += w
        neon(stage, signs, side * (gap + 0.07), y - rng.uniform(0.22, 0.30), 0.065, 0.20, NEON[rng.integers(5)])
        neon(stage, signs, side * (gap + 0.32), y - rng.uniform(0.19, 0.23), 0.20, 0.07, NEON[rng.integers(5)])
        neon(stage, signs, side * (gap + 0.66), y - rng.uniform(0.24, 0.34), 0.07, 0.18, NEON[rng.integers(5)])
    stage.place([p, signs], 0.7)
    asphalt(stage, y, [p, signs])
    zebra = Part()
    for i in range(-9, 10):
        zebra.poly([(i * 0.15 - 0.035, y + 0.025), (i * 0.15 + 0.035, y + 0.025), (i * 0.165 + 0.042, y + 0.075), (i * 0.165 - 0.042, y + 0.075)], (0.93, 0.92, 0.88), alpha=0.85)
    stage.place(zebra, 1)
    for side in (-1, 1):  # traffic lights that change once
        x, go = side * 0.70, stage.u < 0.5
        post = Part().capsule(x, y - 0.02, x, y - 0.40, 0.010, (0.16, 0.17, 0.20)).box(x - 0.035, y - 0.47, x + 0.035, y - 0.30, (0.13, 0.14, 0.16), r=0.012)
        stage.place(post, 0.9)
        for dy, c, on in ((-0.435, (1.0, 0.18, 0.14), 1.0 - go), (-0.335, (0.2, 1.0, 0.45), 1.0 * go)):
            stage.place(Part().ellipse(x, y + dy, 0.021, 0.021, c, glow=True).halo(x, y + dy, 0.08, 0.08, c, 0.5), 0.9, alpha=0.12 + 0.88 * on)


def street_front(stage: Stage):
    x, y = 0.80 * stage.half_x + 0.10, stage.ground + 0.14
    p = Part().capsule(x, y, x, y - 0.62, 0.012, (0.12, 0.13, 0.17)).capsule(x, y - 0.62, x - 0.12, y - 0.66, 0.010, (0.12, 0.13, 0.17)).ellipse(x - 0.13, y - 0.65, 0.04, 0.02, LAMP if stage.lamps else (0.8, 0.8, 0.78), glow=stage.lamps)
    if stage.lamps:
        p.halo(x - 0.13, y - 0.62, 0.24, 0.22, LAMP, 0.6)
    stage.place(p, 1.3)


# ---- country ------------------------------------------------------------------------------------


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
    mesa = Part().poly([(x - 0.30, H + 0.05), (x - 0.21, H - 0.17), (x + 0.13, H - 0.17), (x + 0.24, H + 0.05)], (0.75, 0.40, 0.30)).poly([(x + 0.28, H + 0.05), (x + 0.33, H - 0.10), (x + 0.42, H - 0.10), (x + 0.50, H + 0.05)], (0.70, 0.38, 0.30))
    stage.place(mesa, 0.25)
    sheet(stage, 0.4, H + 0.005, (0.90, 0.60, 0.36), (0.82, 0.50, 0.30), 0.3, 0.030, 3.1, rng.uniform(0, 6), 0.012, 6.0)
    sheet(stage, 0.65, H + 0.075, (0.94, 0.69, 0.40), (0.85, 0.55, 0.30), 0.3, 0.030, 2.2, rng.uniform(0, 6))
    cactus = Part()
    for x0, k in ((-0.68, 1.0), (0.62, 0.8), (1.15, 1.0), (-1.2, 0.9)):
        y, c = G - 0.06, (0.20, 0.47, 0.30)
        cactus.capsule(x0, y, x0, y - 0.34 * k, 0.034 * k, c).capsule(x0, y - 0.13 * k, x0 + 0.10 * k, y - 0.13 * k, 0.022 * k, c).capsule(x0 + 0.10 * k, y - 0.13 * k, x0 + 0.10 * k, y - 0.25 * k, 0.022 * k, c)
        cactus.capsule(x0, y - 0.18 * k, x0 - 0.085 * k, y - 0.18 * k, 0.020 * k, c).capsule(x0 - 0.085 * k, y - 0.18 * k, x0 - 0.085 * k, y - 0.28 * k, 0.020 * k, c)
    stage.place(cactus, 0.9)
    sheet(stage, 1, G - 0.065, (0.97, 0.77, 0.46), (0.87, 0.60, 0.32), 0.4, 0.014, 2.6, rng.uniform(0, 6))


def forest(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.25, H - 0.06, (0.40, 0.60, 0.50), a=0.04, k=4.0, phase=rng.uniform(0, 6), b=0.02, k2=9.0)
    sheet(stage, 0.35, H + 0.03, (0.30, 0.50, 0.36))
    for depth, y, h, c, step in ((0.4, H + 0.05, 0.40, (0.25, 0.50, 0.40), 0.17), (0.7, G - 0.09, 0.62, (0.14, 0.39, 0.29), 0.26)):
        p, x = Part(), -1.7
        while x < 1.7:
            fir(p, x, y, h * rng.uniform(0.85, 1.15), c, stage.snowy)
            x += step * rng.uniform(0.8, 1.25)
        stage.place(p, depth)
    sheet(stage, 0.75, G - 0.11, (0.24, 0.42, 0.22))
    sheet(stage, 1, G - 0.085, (0.38, 0.55, 0.24), (0.20, 0.36, 0.18), 0.4, 0.010, 5.0, rng.uniform(0, 6))


def mountains(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    for depth, h, c, step in ((0.2, 0.40, (0.50, 0.55, 0.72), 0.52), (0.4, 0.25, (0.40, 0.46, 0.60), 0.40)):
        p, x = Part(), -1.6 + rng.uniform(0, 0.3)
        while x < 1.7:
            k, w = h * rng.uniform(0.8, 1.15), step * 0.85
            p.poly([(x - w, H + 0.06), (x, H - k), (x + w, H + 0.06)], c)
            p.poly([(x, H - k), (x, H + 0.06), (x + w, H + 0.06)], mix(c, (0.15, 0.2, 0.35), 0.25))
            f = 0.36
            p.poly([(x - w * f * 0.93, H - k + (k + 0.06) * f), (x, H - k), (x + w * f * 0.93, H - k + (k + 0.06) * f), (x + 0.02, H - k + (k + 0.06) * f * 0.72)], (0.97, 0.98, 1.0))
            x += step
        stage.place(p, depth)
    p, x = Part(), -1.7
    while x < 1.7:
        fir(p, x, H + 0.085, rng.uniform(0.11, 0.16), PINE, stage.snowy)
        x += rng.uniform(0.07, 0.16)
    stage.place(p, 0.6)
    sheet(stage, 0.7, H + 0.07, (0.45, 0.58, 0.36), (0.36, 0.50, 0.30), 0.2, 0.014, 3.0, rng.uniform(0, 6))
    sheet(stage, 1, G - 0.08, (0.56, 0.62, 0.38), (0.36, 0.45, 0.28), 0.4, 0.014, 2.2, rng.uniform(0, 6), 0.006, 7.0)


def tree(p, x, y, h):
    p.capsule(x, y, x, y - 0.5 * h, 0.05 * h, TRUNK)
    for dx, dy, r, c in ((-0.16, -0.58, 0.23, (0.24, 0.47, 0.22)), (0.17, -0.60, 0.22, (0.24, 0.47, 0.22)), (0.0, -0.78, 0.26, LEAF)):
        p.ellipse(x + dx * h, y + dy * h, r * h, r * h, c)


def meadow(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.3, H - 0.01, (0.52, 0.70, 0.50), a=0.045, k=2.3, phase=rng.uniform(0, 6), b=0.012, k2=6)
    sheet(stage, 0.55, H + 0.045, (0.48, 0.70, 0.36), (0.40, 0.62, 0.30), 0.2, 0.035, 1.9, rng.uniform(0, 6))
    p = Part()
    for x0 in (-1.25, -0.66, 0.58, 1.2):
        tree(p, x0 + rng.uniform(-0.06, 0.06), G - 0.075, rng.uniform(0.30, 0.40))
    stage.place(p, 0.85)
    sheet(stage, 1, G - 0.09, (0.46, 0.74, 0.29), (0.28, 0.56, 0.20), 0.4, 0.014, 2.1, rng.uniform(0, 6))
    for c, cell in (((0.98, 0.90, 0.35), (0.31, 0.085)), ((0.98, 0.55, 0.62), (0.37, 0.10))):
        stage.place(Part().drops(cell, (0, 0), 0.0105, c, top=G - 0.045), 1)


def snowfield(stage: Stage):
    H, G, rng = stage.horizon, stage.ground, stage.rng
    sheet(stage, 0.25, H - 0.03, (0.72, 0.78, 0.90), a=0.06, k=2.6, phase=rng.uniform(0, 6), b=0.02, k2=6.1)
    sheet(stage, 0.55, H + 0.045, (0.87, 0.91, 0.98), (0.78, 0.85, 0.95), 0.25, 0.028, 1.9, rng.uniform(0, 6))
    p = Part()
    for x0, h in ((-1.3, 0.36), (-0.80, 0.40), (-0.58, 0.28), (0.55, 0.34), (0.78, 0.42), (1.3, 0.4)):
        fir(p, x0 + rng.uniform(-0.04, 0.04), G - 0.07, h, (0.17, 0.38, 0.36), True)
    x, y, c = rng.choice([-0.30, 0.32]), G - 0.09, (0.52, 0.33, 0.24)
    p.box(x - 0.085, y - 0.10, x + 0.085, y + 0.01, c).poly([(x - 0.11, y - 0.09), (x, y - 0.18), (x + 0.11, y - 0.09)], (0.97, 0.98, 1.0)).box(x - 0.025, y - 0.065, x + 0.025, y - 0.02, LAMP, glow=True)
    stage.place(p, 0.8)
    sheet(stage, 1, G - 0.08, (0.96, 0.97, 1.0), (0.80, 0.86, 0.96), 0.4, 0.014, 2.3, rng.uniform(0, 6))


# ---- nearer than the subject --------------------------------------------------------------------


def grass(stage: Stage, c):
    """Blades along the lower edge, out of focus where the subject is in it."""
    y = stage.half_y + 0.05
    for side in (-1, 1):
        p = Part(compose(affine(side * 0.78 * stage.half_x, y), affine(angle=0.05 * np.sin(1.5 * stage.t + side))))
        for i in range(5):
            a = (i - 2) * 0.26
            p.poly([(-0.03 + 0.03 * i - 0.06, 0.03), (0.03 + 0.03 * i - 0.06, 0.03), (0.34 * np.sin(a) * 0.8 + 0.03 * i - 0.06, -0.30 * np.cos(a))], c if i % 2 else mix(c, (0, 0, 0), 0.18))
        stage.place(p, 1.5)


def buoy(stage: Stage):
    y = stage.half_y - 0.05
    p = Part(compose(affine(-0.70 * stage.half_x, y + 0.012 * np.sin(1.7 * stage.t)), affine(angle=0.10 * np.sin(1.3 * stage.t))))
    p.poly([(-0.085, 0.06), (-0.03, -0.20), (0.03, -0.20), (0.085, 0.06)], (0.88, 0.20, 0.14)).poly([(-0.062, -0.05), (-0.045, -0.13), (0.045, -0.13), (0.062, -0.05)], (0.96, 0.94, 0.90))
    stage.place(p.ellipse(0, -0.225, 0.026, 0.026, LAMP, glow=stage.lamps), 1.5)


PLACES = {
    "beach": beach, "harbour": harbour, "open sea": open_sea, "city street": city_street, "intersection": intersection,
    "desert": desert, "forest": forest, "mountains": mountains, "meadow": meadow, "snowfield": snowfield,
}
BLADES = {"beach": (0.45, 0.58, 0.30), "desert": (0.60, 0.50, 0.26), "forest": (0.12, 0.34, 0.18), "mountains": (0.30, 0.42, 0.24), "meadow": (0.22, 0.50, 0.16), "snowfield": (0.55, 0.52, 0.42)}


def back(stage: Stage):
    sky(stage)
    PLACES[stage.scene.place](stage)
    if stage.scene.place in ("city street", "intersection") or stage.scene.weather != "snow":
        return
    stage.place(Part().wave(stage.ground - 0.06, (0.95, 0.97, 1.0), 0.01, 3.0, alpha=0.35, soft=0.08), 1)


def mist(stage: Stage, y, alpha, depth):
    t = stage.t
    for i in range(3):
        x = (-0.8 + 0.8 * i) + 0.06 * (t - t.mean()) * (1 if i % 2 else -1)
        stage.place(Part(affine(x, y + 0.05 * (i % 2))).halo(0, 0, 0.75, 0.13, mix(stage.low, (1, 1, 1), 0.15 * (not stage.night)), alpha), depth)


def front(stage: Stage):
    s, t, rng = stage.scene, stage.t, stage.rng
    if s.camera == "rack focus" or s.focus == "shallow" or rng.random() < 0.25:
        if s.place in BLADES:
            grass(stage, BLADES[s.place])
        elif s.place in ("city street", "intersection"):
            street_front(stage)
        elif s.place == "open sea":
            buoy(stage)
        else:
            x = -0.72 * stage.half_x
            stage.place(Part().capsule(x, stage.half_y + 0.2, x, stage.half_y - 0.30, 0.045, WOOD).ellipse(x, stage.half_y - 0.31, 0.055, 0.02, mix(WOOD, (1, 1, 1), 0.2)), 1.5)
    if s.place == "open sea":
        sea_front(stage)
    if s.weather == "fog":
        mist(stage, stage.ground - 0.10, 0.38, 0.9)
        mist(stage, stage.ground + 0.12, 0.30, 1.2)
    elif s.weather == "rain":
        for v, cell, r, a in ((1.9, (0.10, 0.19), 0.0042, 0.42), (2.6, (0.17, 0.29), 0.0056, 0.55)):
            p = Part(compose(affine(angle=0.13), affine(0 * t, v * t)))
            stage.screen(p.drops(cell, (0, 0.042 * v / 2), r, mix((0.80, 0.88, 1.0), stage.low, 0.25), glow=True), a)
    elif s.weather == "snow":
        for v, cell, r, a in ((0.16, (0.12, 0.10), 0.0085, 0.85), (0.26, (0.21, 0.17), 0.0130, 0.95)):
            p = Part(affine(0.035 * np.sin(1.1 * t) + 0.02 * t, v * t))
            stage.screen(p.drops(cell, (0, 0), r, mix((1, 1, 1), stage.light, 0.3), glow=True), a)
