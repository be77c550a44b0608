"""The sixteen subjects, each a puppet of a few pieces that looks to the right, and how they move.

A puppet stands on (0, 0), or hangs there if it flies; one unit is the frame's shorter side at size "medium".
`c` is its colour, `d` a darker and `l` a lighter paper of it; `x` how far a ball has rolled [F].
"""

from __future__ import annotations

import numpy as np

from .scene import COLORS, FLYING, MOVELESS, WATER
from .stage import Part, Stage, affine, compose, mix

WOOD, DARK, GREY, CREAM = (0.46, 0.30, 0.19), (0.11, 0.11, 0.13), (0.62, 0.63, 0.66), (0.97, 0.93, 0.83)
GLASS, SKIN, LAMP, TYRE = (0.66, 0.85, 0.93), (0.87, 0.63, 0.48), (1.00, 0.93, 0.62), (0.09, 0.09, 0.11)


def wheel(x, y, r):
    return Part(affine(x, y)).ellipse(0, 0, r, r, TYRE).ellipse(0, 0, 0.6 * r, 0.6 * r, GREY).ellipse(0, 0, 0.2 * r, 0.2 * r, DARK)


def headlight(part, x, y, lamps):
    part.ellipse(x, y, 0.022, 0.018, LAMP, glow=lamps)
    if lamps:
        part.halo(x + 0.02, y, 0.09, 0.07, LAMP, 0.55)
        part.poly([(x, y - 0.01), (x + 0.42, y - 0.03), (x + 0.42, y + 0.10), (x, y + 0.012)], LAMP, alpha=0.30, soft=0.04, glow=True)


def car(s, c, d, l, x):
    b = Part()
    b.poly([(-0.15, -0.20), (0.045, -0.20), (0.16, -0.105), (-0.24, -0.105)], c, r=0.012)
    b.poly([(-0.135, -0.183), (-0.025, -0.183), (-0.025, -0.118), (-0.195, -0.118)], GLASS)
    b.poly([(0.0, -0.183), (0.036, -0.183), (0.118, -0.118), (0.0, -0.118)], GLASS)
    b.poly([(-0.29, -0.112), (0.15, -0.118), (0.305, -0.085), (-0.30, -0.085)], l, r=0.006)
    b.poly([(-0.30, -0.098), (0.30, -0.098), (0.315, -0.05), (-0.305, -0.045)], c, r=0.012)
    b.box(-0.30, -0.052, 0.31, -0.030, d, r=0.006).poly([(-0.315, -0.145), (-0.235, -0.135), (-0.235, -0.12), (-0.315, -0.128)], d)
    b.box(-0.312, -0.095, -0.288, -0.070, (0.95, 0.15, 0.12), glow=s.lamps)
    headlight(b, 0.298, -0.078, s.lamps)
    return [b, wheel(-0.185, -0.046, 0.058), wheel(0.185, -0.046, 0.058)]


def bus(s, c, d, l, x):
    b = Part()
    b.box(-0.33, -0.36, 0.33, -0.045, c, r=0.03).box(-0.33, -0.135, 0.33, -0.105, l).box(-0.30, -0.372, 0.28, -0.345, d, r=0.008)
    for i in range(4):
        b.box(-0.30 + 0.135 * i, -0.315, -0.19 + 0.135 * i, -0.20, LAMP if s.lamps else GLASS, r=0.008, glow=s.lamps)
    b.box(0.245, -0.315, 0.32, -0.17, GLASS, r=0.008).box(-0.33, -0.068, 0.33, -0.045, d)
    headlight(b, 0.318, -0.09, s.lamps)
    return [b, wheel(-0.19, -0.05, 0.056), wheel(0.20, -0.05, 0.056)]


def train(s, c, d, l, x):
    b = Part()
    b.box(-0.36, -0.10, 0.34, -0.06, DARK).box(-0.10, -0.225, 0.29, -0.095, c, r=0.02)
    b.box(-0.10, -0.185, 0.29, -0.165, l).box(0.175, -0.335, 0.235, -0.22, DARK).poly([(0.155, -0.365), (0.255, -0.365), (0.24, -0.325), (0.17, -0.325)], d)
    b.ellipse(0.06, -0.235, 0.04, 0.035, GREY).box(-0.34, -0.36, -0.08, -0.09, c, r=0.012).box(-0.375, -0.385, -0.055, -0.35, d, r=0.012)
    b.box(-0.30, -0.31, -0.215, -0.215, LAMP if s.lamps else GLASS, glow=s.lamps).box(-0.18, -0.31, -0.115, -0.215, LAMP if s.lamps else GLASS, glow=s.lamps)
    b.poly([(0.30, -0.10), (0.34, -0.10), (0.40, -0.01), (0.30, -0.01)], d).ellipse(0.292, -0.16, 0.022, 0.06, DARK)
    headlight(b, 0.30, -0.25, s.lamps)
    puffs = []
    for i in range(4):
        age = (s.t * 0.5 + i / 4) % 1
        p = Part(affine(0.205 - 0.42 * age * np.sign(s.moving + 0.01) * (s.moving > 0), -0.38 - 0.17 * age, 0.4 + 1.0 * age))
        puffs.append((p.ellipse(0, 0, 0.062, 0.055, (0.93, 0.93, 0.94), alpha=0.85, soft=0.015), 0.9 * (1 - age)))
    return [
        *puffs,
        b,
        wheel(-0.27, -0.055, 0.055),
        wheel(-0.13, -0.055, 0.055),
        wheel(0.05, -0.045, 0.045),
        wheel(0.165, -0.045, 0.045),
        wheel(0.27, -0.045, 0.045),
    ]


def sailboat(s, c, d, l, x):
    b = Part(affine(angle=0.05 * s.swing(3.1) + 0.03))
    b.box(-0.012, -0.52, 0.006, -0.06, WOOD).poly([(0.02, -0.49), (0.25, -0.11), (0.02, -0.09)], CREAM)
    b.poly([(-0.03, -0.47), (-0.03, -0.09), (-0.21, -0.10)], c, to=d, rows=(-0.5, -0.05)).poly([(0.0, -0.52), (0.0, -0.485), (-0.075, -0.50)], c)
    b.poly([(-0.27, -0.07), (0.32, -0.075), (0.20, 0.05), (-0.20, 0.05)], c).poly([(-0.275, -0.075), (0.325, -0.08), (0.305, -0.05), (-0.265, -0.045)], CREAM)
    return [b]


def ship(s, c, d, l, x):
    b = Part(affine(angle=0.018 * s.swing(3.1)))
    b.box(-0.17, -0.205, 0.13, -0.10, CREAM, r=0.008).box(-0.12, -0.275, 0.06, -0.19, CREAM, r=0.008)
    for i in range(4):
        b.ellipse(-0.13 + 0.075 * i, -0.15, 0.017, 0.017, LAMP if s.lamps else (0.25, 0.36, 0.48), glow=s.lamps)
    b.poly([(-0.09, -0.40), (-0.01, -0.40), (-0.005, -0.27), (-0.10, -0.27)], c).box(-0.092, -0.405, -0.008, -0.37, DARK)
    b.poly([(-0.36, -0.11), (0.40, -0.125), (0.30, 0.05), (-0.29, 0.05)], c, to=d, rows=(-0.12, 0.05)).poly(
        [(-0.36, -0.115), (0.405, -0.13), (0.385, -0.10), (-0.35, -0.09)], CREAM
    )
    puffs = []
    for i in range(3):
        age = (s.t * 2 / 3 + i / 3) % 1
        p = Part(affine(-0.05 - 0.26 * age, -0.43 - 0.13 * age, 0.45 + 0.9 * age)).ellipse(0, 0, 0.06, 0.05, (0.80, 0.80, 0.83), soft=0.02)
        puffs.append((p, 0.8 * (1 - age)))
    return [*puffs, b]


def balloon(s, c, d, l, x):
    b = Part(affine(angle=0.04 * s.swing(3.1)))
    for side in (-1, 1):
        b.capsule(0.055 * side, 0.12, 0.032 * side, 0.245, 0.005, WOOD)
    b.poly([(-0.155, 0.02), (0.155, 0.02), (0.055, 0.16), (-0.055, 0.16)], c, to=d, rows=(-0.1, 0.2)).ellipse(0, -0.065, 0.185, 0.19, c)
    b.ellipse(0, -0.055, 0.125, 0.197, CREAM).poly([(-0.104, 0.03), (0.104, 0.03), (0.04, 0.16), (-0.04, 0.16)], CREAM)
    b.ellipse(0, -0.055, 0.062, 0.197, c).poly([(-0.052, 0.03), (0.052, 0.03), (0.022, 0.16), (-0.022, 0.16)], c)
    if s.lamps:
        b.halo(0, 0.10, 0.16, 0.19, LAMP, 0.45)
    return [b.box(-0.05, 0.235, 0.05, 0.31, WOOD, r=0.012)]


def airplane(s, c, d, l, x):
    b = Part(affine(angle=-0.06 + 0.02 * s.swing(3.1)))
    b.poly([(-0.26, -0.03), (-0.33, -0.16), (-0.26, -0.16), (-0.17, -0.03)], c).poly([(0.03, -0.02), (-0.10, -0.15), (-0.05, -0.15), (0.12, -0.02)], d)
    b.capsule(-0.24, -0.015, 0.22, 0.0, 0.035, CREAM, rb=0.058).capsule(-0.24, 0.006, 0.22, 0.026, 0.016, c, rb=0.034)
    for i in range(5):
        b.ellipse(-0.10 + 0.062 * i, -0.016, 0.013, 0.015, LAMP if s.lamps else (0.22, 0.34, 0.48), glow=s.lamps)
    b.poly([(0.20, -0.045), (0.25, -0.03), (0.25, -0.008), (0.19, -0.012)], GLASS)
    return [
        b.poly([(0.06, 0.025), (-0.14, 0.19), (-0.08, 0.19), (0.15, 0.025)], c, to=d, rows=(0.02, 0.19)).poly(
            [(-0.24, 0.0), (-0.34, 0.07), (-0.29, 0.07), (-0.18, 0.0)], d
        )
    ]


def seagull(s, c, d, l, x):
    beat = s.swing(3.1) * 0.16 + 0.84  # it glides
    far, near = Part(affine(0.04, -0.02, 0.9, 0.85 * beat)), Part(affine(-0.005, -0.01, 1.0, beat))
    far.poly([(-0.035, 0), (0.06, 0), (0.08, -0.16), (0.01, -0.16)], d).poly([(0.01, -0.155), (0.08, -0.155), (0.04, -0.28)], DARK)
    near.poly([(-0.07, 0.005), (0.055, 0.005), (-0.045, -0.19), (-0.12, -0.175)], c).poly([(-0.12, -0.17), (-0.045, -0.185), (-0.185, -0.30)], DARK)
    b = Part(affine(angle=-0.05))
    b.poly([(-0.13, 0.005), (-0.225, -0.025), (-0.225, 0.03)], d).capsule(-0.12, 0.005, 0.08, 0.0, 0.028, c, rb=0.043).ellipse(0.125, -0.022, 0.040, 0.036, c)
    b.poly([(0.155, -0.03), (0.215, -0.010), (0.155, 0.0)], (0.97, 0.62, 0.12)).ellipse(0.138, -0.030, 0.008, 0.008, DARK if sum(c) > 0.6 else CREAM)
    return [far, b, near]


def butterfly(s, c, d, l, x):
    beat = 0.62 + 0.38 * s.swing(11 * s.pace)
    wings = []
    for side in (-1, 1):
        w = Part(compose(affine(angle=0.25), affine(0, 0, side * beat, 1)))
        w.ellipse(0.115, -0.085, 0.118, 0.082, c, angle=-0.75).ellipse(0.09, 0.085, 0.085, 0.066, d, angle=0.7)
        wings.append(w.ellipse(0.13, -0.095, 0.052, 0.034, CREAM, angle=-0.75).ellipse(0.09, 0.085, 0.034, 0.026, l, angle=0.7))
    b = (
        Part(affine(angle=0.25))
        .capsule(0, -0.10, 0, 0.11, 0.017, DARK)
        .capsule(0, -0.10, 0.05, -0.17, 0.006, DARK)
        .capsule(0, -0.10, -0.05, -0.17, 0.006, DARK)
    )
    return [*wings, b]


def kite(s, c, d, l, x):
    b = Part(affine(angle=0.35))
    b.poly([(0, -0.23), (0.155, -0.045), (0, 0.21), (-0.155, -0.045)], c).poly([(0, -0.23), (0.155, -0.045), (0, -0.045)], l)
    b.poly([(0, -0.045), (0, 0.21), (-0.155, -0.045)], l)
    tail = [Part() for _ in range(4)]
    for i, p in enumerate(tail):
        sway = 0.012 * (i + 1) * s.swing(3.1)
        p.matrix = compose(affine(-0.07, 0.20), affine(sway - 0.028 * i + 0.03 * (i % 2), 0.032 + 0.066 * i))
        p.capsule(0.0, -0.036, 0.0, 0.036, 0.008, WOOD).poly([(0, 0), (-0.058, -0.032), (-0.058, 0.032)], c if i % 2 else l).poly(
            [(0, 0), (0.058, -0.032), (0.058, 0.032)], c if i % 2 else l
        )
    return [*tail, b]


def ball(s, c, d, l, x):
    b = Part(compose(affine(0, -0.13), affine(angle=np.asarray(x) * s.size * np.pi / (3 * s.cell))))
    b.ellipse(0, 0, 0.13, 0.13, c)
    for k in np.arange(6) * np.pi / 3:  # a cell's way on, it looks the same
        at = lambda r, a: (r * np.cos(k + a), r * np.sin(k + a))
        b.poly([at(0.0, 0), at(0.126, -0.24), at(0.129, 0.0), at(0.126, 0.24)], CREAM)
    return [b.ellipse(0, 0, 0.05, 0.05, d), Part(affine(0, -0.13)).halo(-0.045, -0.05, 0.06, 0.05, (1, 1, 1), 0.35)]


def limb(x, y, length, r, c, angle, foot=None):
    p = Part(compose(affine(x, y), affine(angle=angle))).capsule(0, 0, 0, length, r, c)
    return p.capsule(0, length, 0.04, length + 0.004, 0.016, foot) if foot else p


def person(s, c, d, l, x):
    step = 0.55 * s.swing(6.3 * s.pace) * (s.moving > 0)
    trousers = (0.19, 0.22, 0.34)
    far, near = limb(0, -0.205, 0.185, 0.026, (0.14, 0.16, 0.26), -step, DARK), limb(0, -0.205, 0.185, 0.026, trousers, step, DARK)
    wave = s.scene.move == "wave"
    arm = np.pi * 0.86 + 0.38 * s.swing(6.3) if wave else -0.8 * step
    b = Part().capsule(0, -0.345, 0, -0.225, 0.060, c, rb=0.056).ellipse(0.006, -0.465, 0.052, 0.056, SKIN)
    b.ellipse(-0.006, -0.488, 0.056, 0.040, (0.23, 0.14, 0.10)).ellipse(0.036, -0.462, 0.008, 0.008, DARK)
    return [
        far,
        limb(0, -0.355, 0.135, 0.021, d, 0.8 * step),
        near,
        b,
        limb(0.012, -0.36, 0.15 if wave else 0.135, 0.022, d if not wave else c, -arm if wave else arm),
    ]


def dog(s, c, d, l, x):
    step = 0.6 * s.swing(12 * s.pace) * (s.moving > 0)
    legs = [
        limb(-0.13, -0.12, 0.105, 0.020, d, -step),
        limb(0.10, -0.12, 0.105, 0.020, d, step),
        limb(-0.10, -0.12, 0.105, 0.021, c, step),
        limb(0.13, -0.12, 0.105, 0.021, c, -step),
    ]
    tail = Part(compose(affine(-0.16, -0.17), affine(angle=0.5 * s.swing(12)))).capsule(0, 0, -0.085, -0.10, 0.021, c, rb=0.013)
    b = Part().capsule(-0.125, -0.155, 0.11, -0.165, 0.056, c, rb=0.063).capsule(0.12, -0.19, 0.18, -0.265, 0.046, c).ellipse(0.20, -0.285, 0.062, 0.053, c)
    b.capsule(0.235, -0.272, 0.285, -0.262, 0.030, c, rb=0.024).ellipse(0.307, -0.272, 0.016, 0.014, DARK if sum(c) > 0.6 else GREY)
    b.capsule(0.165, -0.315, 0.135, -0.245, 0.026, d, rb=0.018).ellipse(0.222, -0.298, 0.009, 0.009, DARK if sum(c) > 0.6 else CREAM)
    return [
        *legs[:2],
        tail,
        *legs[2:],
        b.capsule(0.118, -0.215, 0.165, -0.205, 0.013, (0.85, 0.2, 0.2) if sum(abs(a - b) for a, b in zip(c, (0.86, 0.15, 0.13))) > 0.3 else CREAM),
    ]


def lighthouse(s, c, d, l, x):
    turn = s.scene.move == "turn"
    b = Part()
    b.ellipse(0, 0.02, 0.27, 0.075, (0.42, 0.40, 0.40)).ellipse(-0.10, 0.0, 0.13, 0.06, (0.50, 0.48, 0.47))
    b.poly([(-0.062, -0.52), (0.062, -0.52), (0.105, 0.0), (-0.105, 0.0)], CREAM)
    edge = lambda y: 0.062 + 0.043 * (y + 0.52) / 0.52
    for y in (-0.45, -0.27, -0.09):
        b.poly([(-edge(y), y), (edge(y), y), (edge(y + 0.09), y + 0.09), (-edge(y + 0.09), y + 0.09)], c)
    b.box(-0.085, -0.545, 0.085, -0.515, d).box(-0.047, -0.625, 0.047, -0.545, LAMP, glow=True)
    b.box(-0.006, -0.625, 0.006, -0.545, d).poly([(-0.065, -0.622), (0.065, -0.622), (0.0, -0.695)], c)
    beams = []
    a = 2 * np.pi * s.step / s.period
    strong = 0.85 if s.lamps else 0.55
    for side in (1, -1):
        shine = side * np.cos(a) if turn else side * np.full_like(a, 0.85)
        p = Part(affine(0, -0.585, np.where(np.abs(shine) < 0.05, 0.05 * np.sign(shine + 1e-9), shine), 1))
        p.poly([(0.0, -0.022), (1.3, -0.18), (1.3, 0.18), (0.0, 0.022)], LAMP, alpha=strong, soft=0.03, glow=True)
        if turn or (s.lamps and side > 0):
            beams.append((p, np.clip(shine * 1.4, 0, 1) if turn else 0.7))
    b.halo(0, -0.585, 0.16, 0.14, LAMP, 0.7 if s.lamps else 0.3)
    return [*beams, b]


def windmill(s, c, d, l, x):
    b = Part().poly([(-0.072, -0.42), (0.072, -0.42), (0.135, 0.0), (-0.135, 0.0)], CREAM, to=(0.88, 0.83, 0.74), rows=(-0.42, 0.0))
    b.poly([(-0.095, -0.415), (0.095, -0.415), (0.045, -0.51), (-0.045, -0.51)], c).box(-0.035, -0.105, 0.035, 0.0, WOOD)
    b.box(-0.024, -0.27, 0.024, -0.215, LAMP if s.lamps else (0.35, 0.45, 0.55), glow=s.lamps)
    sails = Part(compose(affine(0, -0.43), affine(angle=np.pi * s.step / s.period + 0.4 if s.scene.move == "turn" else np.full_like(s.t, 0.4))))
    for k in range(4):
        at = lambda r, w: (r * np.cos(k * np.pi / 2) - w * np.sin(k * np.pi / 2), r * np.sin(k * np.pi / 2) + w * np.cos(k * np.pi / 2))
        sails.capsule(0, 0, *at(0.30, 0), 0.012, WOOD).poly([at(0.06, 0.0), at(0.30, 0.0), at(0.30, 0.10), at(0.06, 0.10)], c)
    return [b, sails.ellipse(0, 0, 0.030, 0.030, d)]


def chairs(s, c, d, l, x):
    out = []
    for at, f in ((-0.19, 1), (0.19, 1)):
        p = Part(affine(at, 0, f, 1))
        p.capsule(-0.055, 0.0, 0.085, -0.135, 0.016, WOOD).capsule(0.085, 0.0, -0.09, -0.12, 0.016, WOOD).capsule(0.09, 0.0, 0.09, -0.13, 0.016, WOOD)
        p.poly([(-0.155, -0.325), (-0.105, -0.34), (-0.02, -0.10), (-0.075, -0.09)], c).poly(
            [(-0.075, -0.13), (0.115, -0.155), (0.115, -0.12), (-0.06, -0.085)], d
        )
        out.append(p.poly([(-0.122, -0.25), (-0.075, -0.262), (-0.055, -0.20), (-0.103, -0.19)], CREAM).capsule(-0.045, -0.20, 0.10, -0.205, 0.016, WOOD))
    return out


PUPPETS = dict(
    car=car,
    bus=bus,
    train=train,
    sailboat=sailboat,
    ship=ship,
    balloon=balloon,
    airplane=airplane,
    seagull=seagull,
    butterfly=butterfly,
    kite=kite,
    ball=ball,
    person=person,
    dog=dog,
    lighthouse=lighthouse,
    windmill=windmill,
    chairs=chairs,
)


LARGER = dict(seagull=1.25, kite=1.2, ball=1.3, dog=1.2, person=1.1, butterfly=1.3, windmill=1.1)  # what is small by itself, so that it is seen

# ---- movement -----------------------------------------------------------------------------------


def bounce(time, period, height):
    """Height over the ground [F] of a ball that bounces for ever, and how much it is squashed."""
    k = (time / period) % 1
    return height * 4 * k * (1 - k), 1 - 0.24 * np.exp(-(((np.minimum(k, 1 - k)) / 0.05) ** 2))


def path(stage: Stage):
    """The subject's x, y, facing and squash in each frame; y is of its feet, or of its middle if it flies."""
    s, u = stage.scene, stage.u
    flies, zero = s.subject in FLYING, np.zeros_like(u)
    far = stage.pace * min(1.25, 0.5 + 0.15 * stage.seconds)
    reach = min(1.0, stage.half_x / 0.89) ** 0.5  # a narrow frame is crossed in shorter steps
    mid, k = float(stage.lot.uniform(-0.10, 0.10)) * reach, stage.rail
    x = zero + stage.snap(mid)
    air = stage.horizon - (0.13 if s.angle == "eye level" else 0.24 if s.angle == "low angle" else -0.30) - 0.12 * (s.subject == "kite")
    y = zero + (stage.snap(air + float(stage.lot.uniform(-0.06, 0.06))) if flies else stage.ground)
    face, squash = 1.0 + zero, 1.0 + zero
    if s.move in ("left", "right"):
        sign = 1 if s.move == "right" else -1
        while k * stage.cell * stage.steps > 1.8 * stage.half_x:  # it stays in the frame
            k /= 2
        x, face = stage.snap(mid - sign * k * stage.cell * stage.steps / 2) + sign * k * stage.cell * stage.step, face * sign
    elif s.move in ("up", "down"):
        sign = -1 if s.move == "up" else 1
        if flies:
            while k * stage.cell * stage.steps > 1.4 * stage.half_y:
                k /= 2
            y = stage.snap(y[0] - sign * k / 2 * stage.cell * stage.steps / 2) + sign * k / 2 * stage.cell * stage.step
        elif s.move == "up":
            y = stage.ground - 0.5 * far * np.sin(np.pi / 2 * u)
        else:
            fall = np.clip(u / 0.45, 0, 1)
            y = stage.ground - 0.52 * (1 - fall * fall)
            k = np.clip((u - 0.45) / 0.3, 0, 1)
            y = y - 0.16 * 4 * k * (1 - k)
            squash = 1 - 0.22 * np.exp(-(((u - 0.45) / 0.03) ** 2))
    elif s.move == "bounce":
        h, squash = bounce(stage.step, {"slow": 4, "normal": 3, "fast": 2}[s.speed], 0.34)
        y = y - h
    elif s.move == "in":
        side = -1 if stage.lot.random() < 0.5 else 1
        x = x + side * (1.05 * stage.half_x + 0.12) * (1 - np.clip(u / 0.85, 0, 1)) ** 2
    elif s.move == "turn" and s.subject not in MOVELESS:
        face = np.cos(np.pi * np.clip((u - 0.15) / 0.7, 0, 1))
        face = np.where(np.abs(face) < 0.12, 0.12 * np.sign(face + 1e-9), face)
    if s.subject in FLYING:
        y = y + 0.010 * stage.swing(3.1)
        if s.subject == "butterfly":
            y, x = y + 0.02 * stage.swing(6.3), x + 0.02 * stage.swing(3.1)
    elif s.place in WATER and s.subject in ("sailboat", "ship"):
        y = (stage.horizon + 0.32 * (stage.ground - stage.horizon) if s.place == "beach" else y - 0.05) + 0.007 * stage.swing(3.1)
    return x, y, face, squash


def draw_subject(stage: Stage):
    """The subject, its shadow on the ground, and its reflection where the ground is wet."""
    s = stage.scene
    stage.pace, stage.rail, stage.period = {"slow": (0.55, 0.25, 16), "normal": (1.0, 0.5, 8), "fast": (1.45, 1.0, 4)}[s.speed]
    stage.moving = 1.0 if s.move in ("left", "right", "in") else 0.0
    stage.size *= LARGER.get(s.subject, 1.0)
    x, y, face, squash = path(stage)
    c = COLORS[s.color]
    d, l = tuple(0.72 * v for v in c), mix(c, (1, 1, 1), 0.42)
    face = np.where(face < 0, -1.0, 1.0) if s.subject == "ball" else face
    parts = PUPPETS[s.subject](stage, c, d, l, x / stage.size)
    flip = 1.0 if s.subject == "ball" else face
    at = affine(x, y, stage.size * flip / np.sqrt(squash), stage.size * squash)
    afloat = s.subject in ("sailboat", "ship") or (s.subject == "lighthouse" and s.place in ("open sea", "harbour"))
    middle = compose(stage.layer(1), affine(x, y - (0.0 if s.subject in FLYING else 0.20 * stage.size)))
    stage.track = np.concatenate([middle[:, :, 2], 0.22 * stage.size * middle[:, :1, 0]], 1)
    floor = (y.mean() + 0.05 if afloat else stage.ground) + (0.03 if s.subject in FLYING else 0.0)
    wide = {
        "car": 0.31,
        "bus": 0.34,
        "train": 0.38,
        "person": 0.11,
        "ball": 0.12,
        "chairs": 0.34,
        "seagull": 0.15,
        "kite": 0.10,
        "butterfly": 0.10,
        "balloon": 0.16,
        "airplane": 0.28,
        "dog": 0.20,
        "windmill": 0.17,
    }.get(s.subject, 0.24) * stage.size
    if stage.lamps and sum(c) < 0.6:  # the lamps' light behind it, without which nobody sees black at night
        stage.place(Part(affine(x, y - (0 if s.subject in FLYING else 0.16 * stage.size))).halo(0, 0, 1.5 * wide, 0.30 * stage.size, (0.62, 0.66, 0.80), 0.6), 1)
    water = s.place in ("harbour", "open sea") and (afloat or s.subject in FLYING)
    if not afloat and not (s.place == "open sea" and s.subject in FLYING):
        high = np.clip((floor - y) / 0.6, 0, 1)
        slant = 0.16 * (s.time in ("golden hour", "dawn")) * (-1 if (stage.sun or (0,))[0] > 0 else 1) * stage.size
        shade = Part(affine(x + slant, floor + 0.008, 1 - 0.35 * high, 1)).ellipse(
            0, 0, wide + abs(slant) * 0.6, 0.028 * stage.size, (0.04, 0.04, 0.09), soft=0.03
        )
        stage.place(shade, 1, alpha=(0.55 if s.weather == "clear" and not stage.night else 0.38) * (1 - 0.5 * high))
    if (stage.wet and not afloat) or water:
        show(stage, parts, at, mirror=floor - (0.012 if afloat else 0.0), alpha=0.38 if stage.wet else 0.30, ripple=0.007)
    show(stage, parts, at)
    if afloat:
        foam = Part(affine(x, y + 0.05 * stage.size)).ellipse(0, 0, wide * 1.05, 0.012, (0.92, 0.97, 0.98), soft=0.012)
        stage.place(foam, 1, alpha=0.8)


def show(stage, parts, at, alpha=1.0, **more):
    """Parts one by one; some bring their own opacity [F]."""
    for p in parts:
        p, own = p if isinstance(p, tuple) else (p, 1.0)
        stage.place(p, 1, at, alpha=alpha * np.asarray(own), **more)


def draw_second(stage: Stage):
    """A single seagull that glides through the upper left of the frame: dark against a bright sky, white at night."""
    c, d = (COLORS["white"], (0.66, 0.69, 0.75)) if stage.night else ((0.30, 0.33, 0.42), (0.20, 0.22, 0.30))
    parts = seagull(stage, c, d, c, None)
    x = stage.snap(-0.66 * stage.half_x) + 0.25 * stage.cell * stage.step
    stage.place(parts, 0.5, affine(x, stage.snap(-0.52 * stage.half_y), 0.85), haze=0.9)
