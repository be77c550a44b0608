"""Places in the city: a street with neon signs, and an intersection."""

from __future__ import annotations

from .scenery import LAMP, WALLS, WIDE
from .stage import Part, Stage, mix

NEON = ((1.0, 0.20, 0.52), (0.16, 0.92, 1.0), (1.0, 0.78, 0.18), (0.55, 0.35, 1.0), (0.25, 1.0, 0.55))


def tower(p, stage, x, w, h, y, c, cell, seed):
    p.box(x, y - h, x + w, y + 0.02, c)
    glass = LAMP if stage.lamps else mix(c, (0.75, 0.88, 1.0), 0.55)
    p.windows(x + 0.012, y - h + 0.02, x + w - 0.012, y - 0.10, cell, 0.62 if stage.lamps else 0.9, seed, glass, glow=stage.lamps, alpha=0.9)


def neon(stage, p, x, y, w, h, c):
    if stage.lamps:
        p.halo(x, y, 0.9 * w + 0.09, 0.75 * h + 0.09, c, 0.55).box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, c, r=0.012, glow=True)
        p.box(x - w / 2 + 0.014, y - h / 2 + 0.014, x + w / 2 - 0.014, y + h / 2 - 0.014, mix(c, (1, 1, 1), 0.75), r=0.006, glow=True)
    else:
        p.box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, mix(c, (0.6, 0.5, 0.5), 0.3), r=0.012).box(
            x - w / 2 + 0.014, y - h / 2 + 0.014, x + w / 2 - 0.014, y + h / 2 - 0.014, (0.96, 0.94, 0.9), r=0.006
        )


def asphalt(stage, y, mirrored, depth=0.7):
    c = (0.25, 0.26, 0.31) if not stage.wet else (0.15, 0.16, 0.21)
    stage.place(Part().box(-WIDE, y - 0.055, WIDE, y, (0.60, 0.58, 0.57)).box(-WIDE, y, WIDE, 3, c, to=mix(c, (0, 0, 0.02), 0.35), rows=(y, y + 0.4)), 1)
    if stage.wet or stage.lamps:
        for parts in mirrored:
            stage.place(parts, depth, mirror=y - 0.01, alpha=0.55 if stage.wet else 0.16, ripple=0.007, top=y)


def skyline(stage, H, y):
    p, rng, x = Part(), stage.rng, stage.snap(-1.8)
    while x < 1.8:
        w = stage.snap(rng.uniform(0.12, 0.22), 0.5)
        p.box(x, H - stage.snap(rng.uniform(0.16, 0.40), 0.5), x + w, y, (0.45, 0.48, 0.60))
        x += w
    stage.place(p, 0.3)


def city_street(stage: Stage):
    y, rng = stage.ground - 0.10, stage.rng
    skyline(stage, y - 0.12, y)
    p, signs, x = Part(), Part(), stage.snap(-1.8)
    while x < 1.8:
        w, h, c = stage.snap(rng.uniform(0.28, 0.38), 0.5), stage.snap(rng.uniform(0.34, 0.58)), mix(WALLS[rng.integers(5)], (0.42, 0.36, 0.46), 0.40 if not stage.lamps else 0.6)
        tower(p, stage, x, w, h, y - 0.05, c, (0.062, 0.075), float(rng.integers(2)))
        shop = WALLS[rng.integers(5)]
        p.box(x + 0.02, y - 0.145, x + w - 0.02, y - 0.05, LAMP if stage.lamps else (0.55, 0.66, 0.72), glow=stage.lamps).box(
            x + 0.005, y - 0.175, x + w - 0.005, y - 0.135, shop
        )
        c = NEON[rng.integers(5)]
        if rng.random() < 0.65:
            neon(stage, signs, x + stage.snap(w * rng.uniform(0.15, 0.85), 0.5), y - stage.snap(rng.uniform(0.26, 0.33), 0.5), 0.062, 0.17, c)
        else:
            neon(stage, signs, x + w / 2, y - stage.snap(rng.uniform(0.22, 0.30), 0.5), 0.19, 0.065, c)
        x += w
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
    y, rng = stage.ground - 0.10, stage.rng
    gap = 0.26
    far = (
        Part()
        .box(-0.06, y - 0.62, 0.05, y, (0.47, 0.50, 0.62))
        .poly([(-0.025, y - 0.62), (0.015, y - 0.62), (-0.005, y - 0.78)], (0.47, 0.50, 0.62))
        .box(0.05, y - 0.42, 0.16, y, (0.52, 0.53, 0.63))
        .box(-0.18, y - 0.34, -0.06, y, (0.50, 0.50, 0.60))
    )
    stage.place(far, 0.3)
    avenue = Part().poly([(-0.05, y - 0.10), (0.05, y - 0.10), (gap + 0.03, y + 0.01), (-gap - 0.03, y + 0.01)], (0.30, 0.31, 0.36))
    stage.place(avenue, 0.6)
    p, signs = Part(), Part()
    for side in (-1, 1):
        x = gap
        for h, w in ((stage.snap(rng.uniform(0.46, 0.56), 0.5), 0.16), (stage.snap(rng.uniform(0.66, 0.80), 0.5), 0.32), (stage.snap(rng.uniform(0.5, 0.7), 0.5), 0.36), (0.6, 0.4), (0.7, 0.4)):
            c = mix(WALLS[rng.integers(5)], (0.34, 0.33, 0.44), 0.66)
            a, b = sorted((side * x, side * (x + w)))
            tower(p, stage, a, b - a, h, y - 0.05, c, (0.066, 0.085), float(rng.integers(2)))
            x += w
        neon(stage, signs, side * (gap + 0.07), y - stage.snap(rng.uniform(0.22, 0.30), 0.5), 0.065, 0.20, NEON[rng.integers(5)])
        neon(stage, signs, side * (gap + 0.32), y - stage.snap(rng.uniform(0.19, 0.23), 0.5), 0.20, 0.07, NEON[rng.integers(5)])
        neon(stage, signs, side * (gap + 0.66), y - stage.snap(rng.uniform(0.24, 0.34), 0.5), 0.07, 0.18, NEON[rng.integers(5)])
    stage.place([p, signs], 0.7)
    asphalt(stage, y, [p, signs])
    zebra = Part()
    for i in range(-9, 10):
        zebra.poly(
            [(i * 0.15 - 0.035, y + 0.025), (i * 0.15 + 0.035, y + 0.025), (i * 0.165 + 0.042, y + 0.075), (i * 0.165 - 0.042, y + 0.075)],
            (0.93, 0.92, 0.88),
            alpha=0.85,
        )
    stage.place(zebra, 1)
    for side in (-1, 1):  # traffic lights that change once
        x, go = side * 0.70, stage.u < 0.5
        post = Part().capsule(x, y - 0.02, x, y - 0.40, 0.010, (0.16, 0.17, 0.20)).box(x - 0.035, y - 0.47, x + 0.035, y - 0.30, (0.13, 0.14, 0.16), r=0.012)
        stage.place(post, 0.9)
        for dy, c, on in ((-0.435, (1.0, 0.18, 0.14), 1.0 - go), (-0.335, (0.2, 1.0, 0.45), 1.0 * go)):
            stage.place(Part().ellipse(x, y + dy, 0.021, 0.021, c, glow=True).halo(x, y + dy, 0.08, 0.08, c, 0.5), 0.9, alpha=0.12 + 0.88 * on)


def street_front(stage: Stage):
    x, y = 0.80 * stage.half_x + 0.10, stage.ground + 0.14
    p = (
        Part()
        .capsule(x, y, x, y - 0.62, 0.012, (0.12, 0.13, 0.17))
        .capsule(x, y - 0.62, x - 0.12, y - 0.66, 0.010, (0.12, 0.13, 0.17))
        .ellipse(x - 0.13, y - 0.65, 0.04, 0.02, LAMP if stage.lamps else (0.8, 0.8, 0.78), glow=stage.lamps)
    )
    if stage.lamps:
        p.halo(x - 0.13, y - 0.62, 0.24, 0.22, LAMP, 0.6)
    stage.place(p, 1.3)
