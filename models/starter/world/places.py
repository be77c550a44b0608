"""The ten places, from the sky to what is nearer than the subject, and the weather in front of it all.

Each place is a function that lays its layers from far to near; it draws by lot from the stage's generator.
"""

from __future__ import annotations

from .city import city_street, intersection, street_front
from .country import desert, forest, grass, meadow, mountains, snowfield
from .scenery import WOOD, sky
from .stage import Part, Stage, affine, mix
from .water import beach, buoy, harbour, open_sea, sea_front

PLACES = {
    "beach": beach,
    "harbour": harbour,
    "open sea": open_sea,
    "city street": city_street,
    "intersection": intersection,
    "desert": desert,
    "forest": forest,
    "mountains": mountains,
    "meadow": meadow,
    "snowfield": snowfield,
}


BLADES = {
    "beach": (0.45, 0.58, 0.30),
    "desert": (0.60, 0.50, 0.26),
    "forest": (0.12, 0.34, 0.18),
    "mountains": (0.30, 0.42, 0.24),
    "meadow": (0.22, 0.50, 0.16),
    "snowfield": (0.55, 0.52, 0.42),
}


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
    s, t, rng, c = stage.scene, stage.t, stage.rng, stage.cell
    if s.camera == "rack focus" or s.focus == "shallow" or rng.random() < 0.25:
        if s.place in BLADES:
            grass(stage, BLADES[s.place])
        elif s.place in ("city street", "intersection"):
            street_front(stage)
        elif s.place == "open sea":
            buoy(stage)
        else:
            x = -0.72 * stage.half_x
            stage.place(
                Part()
                .capsule(x, stage.half_y + 0.2, x, stage.half_y - 0.30, 0.045, WOOD)
                .ellipse(x, stage.half_y - 0.31, 0.055, 0.02, mix(WOOD, (1, 1, 1), 0.2)),
                1.5,
            )
    if s.place == "open sea":
        sea_front(stage)
    if s.weather == "fog":
        mist(stage, stage.ground - 0.10, 0.38, 0.9)
        mist(stage, stage.ground + 0.12, 0.30, 1.2)
    elif s.weather == "rain":
        # A pattern two cells high falls by as much in a step: every latent is alike.
        p = Part(affine(0 * t, 2 * c * stage.step))
        stage.screen(p.drops((c, c), (0, 0.38 * c), 0.0085, mix((0.84, 0.91, 1.0), stage.low, 0.2), every=2, glow=True), 0.6)
    elif s.weather == "snow":
        for size, r, a in ((1, 0.0115, 0.85), (2, 0.0200, 0.95)):  # every second latent is alike
            p = Part(affine(0.3 * c + 0.02 * stage.swing(12.6), size * c * stage.step))
            stage.screen(p.drops((size * c, size * c), (0, 0), r, mix((1, 1, 1), stage.light, 0.3), every=2, glow=True), a)
