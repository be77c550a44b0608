"""What a clip can show: the attributes of a scene, what goes with what, and how a scene is drawn by lot.

`Scene` holds what a caption can say and a seed for everything it cannot. Attributes are independent but for
what cannot be: no boat sails through a meadow. A tenth of all (subject, place, camera) combinations never
occurs in training (`held_back`), so that following a prompt can be told from remembering a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FPS = 16
SIZES = {"landscape": (256, 144), "portrait": (144, 256), "square": (192, 192)}
FRAMES = (17, 33, 49, 65, 81)

COLORS = {
    "red": (0.86, 0.15, 0.13), "orange": (0.97, 0.52, 0.10), "yellow": (0.98, 0.82, 0.16), "green": (0.16, 0.58, 0.27),
    "blue": (0.13, 0.34, 0.82), "purple": (0.50, 0.23, 0.68), "pink": (0.97, 0.52, 0.68), "white": (0.96, 0.95, 0.92),
    "black": (0.11, 0.11, 0.14),
}
WATER = ("beach", "harbour", "open sea")
LAND = ("city street", "intersection", "desert", "forest", "mountains", "meadow", "snowfield")
PLACES = ("beach", "harbour", "open sea", "city street", "intersection", "desert", "forest", "mountains", "meadow", "snowfield")
TIMES = ("dawn", "overcast morning", "midday", "golden hour", "dusk", "midnight")
WEATHERS = ("clear", "fog", "rain", "snow")
CAMERAS = ("static", "pan left", "pan right", "dolly in", "dolly out", "crane up", "rack focus")
ANGLES = ("eye level", "low angle", "aerial")
SIZE_NAMES = ("small", "medium", "large")
SPEEDS = ("slow", "normal", "fast")

SIDEWAYS = ("left", "right", "still")
ALL_LAND = ("beach", *LAND)
# subject: where it may be, what it may do
SUBJECTS = {
    "car": (("beach", "harbour", *LAND), (*SIDEWAYS, "turn")),
    "bus": (("harbour", *LAND), SIDEWAYS),
    "train": (("harbour", "desert", "forest", "mountains", "meadow", "snowfield", "city street"), SIDEWAYS),
    "sailboat": (WATER, (*SIDEWAYS, "turn")),
    "ship": (WATER, SIDEWAYS),
    "balloon": (PLACES, ("left", "right", "up", "down", "still")),
    "airplane": (PLACES, ("left", "right", "up", "down")),
    "seagull": (PLACES, ("left", "right", "up", "down", "still")),
    "butterfly": (("beach", "city street", "forest", "mountains", "meadow", "desert"), ("left", "right", "up", "down", "still")),
    "kite": (PLACES, ("left", "right", "up", "down", "still")),
    "ball": (ALL_LAND, ("left", "right", "up", "down", "bounce", "in", "still")),
    "person": (("harbour", *ALL_LAND), (*SIDEWAYS, "wave")),
    "dog": (("harbour", *ALL_LAND), SIDEWAYS),
    "lighthouse": (("beach", "harbour", "open sea", "mountains"), ("still", "turn")),
    "windmill": (("beach", "desert", "mountains", "meadow", "snowfield"), ("still", "turn")),
    "chairs": (("beach", "harbour", "meadow", "mountains", "snowfield", "forest"), ("still",)),
}
MOVES = ("left", "right", "up", "down", "bounce", "in", "turn", "wave", "still")
FLYING = ("balloon", "airplane", "seagull", "butterfly", "kite")
MOVELESS = ("lighthouse", "windmill", "chairs")

# What color, move, place and time a subject has where nobody says otherwise: "a car" means this. None is held back.
USUAL = {
    "car": ("red", "right", "city street", "midday"), "bus": ("blue", "right", "city street", "midday"), "train": ("black", "right", "mountains", "midday"),
    "sailboat": ("white", "right", "open sea", "golden hour"), "ship": ("white", "right", "open sea", "midday"), "balloon": ("orange", "up", "mountains", "dawn"),
    "airplane": ("white", "right", "meadow", "midday"), "seagull": ("white", "right", "open sea", "midday"), "butterfly": ("orange", "right", "meadow", "midday"),
    "kite": ("yellow", "right", "meadow", "midday"), "ball": ("red", "bounce", "meadow", "midday"), "person": ("blue", "right", "city street", "midday"),
    "dog": ("orange", "right", "meadow", "midday"), "lighthouse": ("red", "turn", "open sea", "dusk"), "windmill": ("blue", "turn", "meadow", "midday"),
    "chairs": ("blue", "still", "beach", "midday"),
}

# What a reader names, and what a caption can state.
ATTRIBUTES = {
    "subject": tuple(SUBJECTS), "color": tuple(COLORS), "move": MOVES, "place": PLACES, "time": TIMES,
    "weather": WEATHERS, "camera": CAMERAS, "angle": ANGLES, "size": SIZE_NAMES, "speed": SPEEDS,
    "second": ("none", "seagull"), "grade": ("flat", "cinematic"), "focus": ("deep", "shallow"),
}


@dataclass(frozen=True)
class Scene:
    subject: str
    color: str
    move: str
    place: str
    time: str
    weather: str = "clear"
    camera: str = "static"
    angle: str = "eye level"
    size: str = "medium"
    speed: str = "normal"
    second: str = "none"
    grade: str = "flat"
    focus: str = "deep"
    seed: int = 0


def usual(subject: str) -> dict[str, tuple[str]]:
    """All that goes without saying about a subject, as `sample` takes it."""
    scene = Scene(subject, *USUAL[subject])
    return {k: (getattr(scene, k),) for k in ATTRIBUTES}


def held_back(scene: Scene) -> bool:
    """Whether training never sees this subject in this place under this camera: one combination of ten."""
    of = lambda name: ATTRIBUTES[name].index(getattr(scene, name))
    return (3 * of("subject") + 7 * of("place") + of("camera") + of("place") // 5) % 10 == 0


def sample(rng: np.random.Generator, held: bool = False, only: dict[str, tuple[str, ...]] | None = None) -> Scene:
    """Draws a scene that is held back, or one that is not; `only` names the values of a smaller world."""

    def pick(name, options, weights=None):
        options = [(o, w) for o, w in zip(options, weights or [1.0] * len(options)) if o in (only or {}).get(name, options)]
        if not options:
            return None
        names, weights = zip(*options)
        return str(names[rng.choice(len(names), p=np.array(weights) / sum(weights))])

    while True:
        subject = pick("subject", tuple(SUBJECTS))
        places, moves = SUBJECTS[subject]
        place = pick("place", places)
        move = pick("move", moves, [0.5 if m == "still" and len(moves) > 2 else 1.0 for m in moves])
        if place is None or move is None:
            continue
        lonely = subject in ("seagull", "kite", "airplane")
        scene = Scene(
            subject=subject, color=pick("color", tuple(COLORS)), move=move, place=place, time=pick("time", TIMES),
            weather=pick("weather", WEATHERS, (0.46, 0.18, 0.18, 0.18)), camera=pick("camera", CAMERAS, (0.34, *[0.11] * 6)),
            angle=pick("angle", ANGLES, (0.6, 0.2, 0.2)), size=pick("size", SIZE_NAMES, (0.2, 0.6, 0.2)),
            speed="normal" if move == "still" else pick("speed", SPEEDS, (0.2, 0.6, 0.2)),
            second=pick("second", ("none", "seagull"), (1.0, 0.0) if lonely else (0.8, 0.2)), grade=pick("grade", ("flat", "cinematic"), (0.7, 0.3)),
            focus=pick("focus", ("deep", "shallow"), (0.85, 0.15)), seed=int(rng.integers(2**31)))
        if not (scene.camera == "rack focus" and scene.focus == "shallow") and held_back(scene) == held:
            return scene
