"""The starter model's world: a procedural renderer of short clips, and the grammar of their captions.

A clip is one coloured subject that moves in front of one background, at one time of day, seen by a
camera that may move. Everything is flat shaded with smooth gradients and anti-aliased edges, because
the autoencoder that has to learn it is tiny. Nothing is downloaded: the data set is this file.

Coordinates: the unit is the frame's height, x in [0, W/H], y in [0, 1], y down. Shapes are signed
distances (negative inside) turned into coverage over about a pixel and a half.

    python world.py --sheet sheet.png      # a contact sheet of random clips with their captions
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

import numpy as np

WIDTH, HEIGHT, FRAMES, FPS = 160, 96, 33, 16

SUBJECTS = ["boat", "kite", "balloon", "car", "seagull", "ball"]
COLORS = {
    "red": (0.90, 0.10, 0.10), "orange": (1.00, 0.52, 0.05), "yellow": (1.00, 0.88, 0.10),
    "green": (0.10, 0.65, 0.20), "blue": (0.10, 0.28, 0.92), "purple": (0.55, 0.15, 0.75),
    "white": (0.97, 0.97, 0.97), "black": (0.07, 0.07, 0.08),
}
MOVES = ["left", "right", "up", "down", "still"]
PLACES = ["sea", "harbour", "beach", "meadow", "desert", "city"]
TIMES = ["dawn", "noon", "sunset", "night"]
CAMERAS = ["static", "pan left", "pan right", "zoom"]
ATTRIBUTES = {
    "subject": SUBJECTS, "color": list(COLORS), "move": MOVES,
    "place": PLACES, "time": TIMES, "camera": CAMERAS,
}
AIRBORNE = ("kite", "balloon", "seagull")

# Where a subject may be, so that no boat sails through a meadow unless a prompt insists.
PLACES_OF = {
    "boat": ["sea", "harbour", "beach"],
    "car": ["city", "desert", "meadow", "beach"],
    "ball": ["beach", "meadow", "desert", "city"],
}
MOVES_OF = {"boat": ["left", "right", "still"], "car": ["left", "right", "still"]}

# time: sky above, sky at the horizon, light on the ground, sun (x, height over horizon or y, radius, colour)
LIGHT = {
    "dawn": ((0.52, 0.60, 0.84), (1.00, 0.76, 0.74), (0.92, 0.80, 0.84), (0.36, 0.42, 0.060, (1.00, 0.93, 0.76))),
    "noon": ((0.22, 0.54, 0.95), (0.72, 0.89, 1.00), (1.00, 1.00, 1.00), (1.32, 0.13, 0.075, (1.00, 0.98, 0.80))),
    "sunset": ((0.42, 0.22, 0.46), (1.00, 0.52, 0.16), (0.92, 0.64, 0.50), (0.83, 0.46, 0.095, (1.00, 0.85, 0.35))),
    "night": ((0.02, 0.03, 0.12), (0.10, 0.14, 0.32), (0.34, 0.38, 0.58), (1.30, 0.16, 0.065, (0.90, 0.92, 0.98))),
}


@dataclass
class Scene:
    """What a caption can say about a clip, and the few numbers it cannot."""

    subject: str
    color: str
    move: str
    place: str
    time: str
    camera: str
    x: float
    y: float
    scale: float
    speed: float
    shift: float
    phase: float


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene; the attributes are uniform within what makes sense together."""
    subject = str(rng.choice(SUBJECTS))
    place = str(rng.choice(PLACES_OF.get(subject, PLACES)))
    moves = MOVES_OF.get(subject, MOVES)
    weights = np.array([0.35 if m == "still" else 1.0 for m in moves])
    return Scene(
        subject=subject,
        color=str(rng.choice(list(COLORS))),
        move=str(rng.choice(moves, p=weights / weights.sum())),
        place=place,
        time=str(rng.choice(TIMES)),
        camera=str(rng.choice(CAMERAS, p=[0.64, 0.12, 0.12, 0.12])),
        x=float(rng.uniform(-0.10, 0.10)),
        y=float(rng.uniform(-0.05, 0.05)),
        scale=float(rng.uniform(0.92, 1.08)),
        speed=float(rng.uniform(0.92, 1.08)),
        shift=float(rng.uniform(-0.12, 0.12)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


# ---- shapes -------------------------------------------------------------------------------------


def circle(x, y, cx, cy, r):
    return np.hypot(x - cx, y - cy) - r


def ellipse(x, y, cx, cy, rx, ry):
    # A first-order distance: exact enough over the pixel and a half where coverage changes.
    k = np.hypot((x - cx) / rx, (y - cy) / ry)
    return (k - 1.0) * min(rx, ry)


def box(x, y, x0, y0, x1, y1):
    return np.maximum(np.maximum(x0 - x, x - x1), np.maximum(y0 - y, y - y1))


def polygon(x, y, points):
    """A convex polygon as an intersection of half planes, given clockwise on screen (y down)."""
    d = None
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        ex, ey = bx - ax, by - ay
        h = ((x - ax) * ey - (y - ay) * ex) / np.hypot(ex, ey)
        d = h if d is None else np.maximum(d, h)
    return d


def segment(x, y, ax, ay, bx, by, r):
    ex, ey = bx - ax, by - ay
    t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
    return np.hypot(x - ax - t * ex, y - ay - t * ey) - r


def paint(img, d, color, px, alpha=1.0):
    cover = np.clip(0.5 - d / (1.6 * px), 0, 1)
    cover = (cover * cover * (3 - 2 * cover) * alpha)[..., None]
    img += cover * (np.asarray(color, np.float32) - img)


# ---- backgrounds --------------------------------------------------------------------------------

HORIZON = 0.56


def lit(color, light):
    return np.asarray(color, np.float32) * np.asarray(light, np.float32)


def draw_place(img, x, y, sx, sy, scene, px):
    """Paints sky, sun and place. (x, y) are the world's, (sx, sy) the screen's coordinates."""
    top, low, light, (sun_x, sun_y, sun_r, sun_c) = LIGHT[scene.time]
    top, low = np.asarray(top, np.float32), np.asarray(low, np.float32)
    t = np.clip(y / HORIZON, 0, 1)[..., None]
    img[...] = top + (low - top) * t * t * (3 - 2 * t)
    glow = np.exp(-((sx - sun_x) ** 2 + (sy - sun_y) ** 2) / 0.05)[..., None] * 0.35
    img += glow * (np.asarray(sun_c, np.float32) - img)
    paint(img, circle(sx, sy, sun_x, sun_y, sun_r), sun_c, px)
    x = x + scene.shift

    if scene.place in ("sea", "harbour", "beach"):
        near, far = lit((0.04, 0.26, 0.50), light), 0.45 * low + 0.55 * lit((0.12, 0.45, 0.66), light)
        t = np.clip((y - HORIZON) / (1 - HORIZON), 0, 1)[..., None]
        cover = np.clip(0.5 - (HORIZON - y) / (1.6 * px), 0, 1)[..., None]
        img += cover * (far + (near - far) * np.sqrt(t) - img)
    if scene.place == "harbour":
        for x0, w, h, c in HOUSES:
            c = lit(c, light)
            paint(img, box(x, y, x0, HORIZON - h, x0 + w, HORIZON + 0.015), c, px)
            paint(img, polygon(x, y, [(x0 - 0.02, HORIZON - h), (x0 + w / 2, HORIZON - h - 0.075), (x0 + w + 0.02, HORIZON - h)]), lit((0.55, 0.22, 0.16), light), px)
        paint(img, box(x, y, -9, HORIZON - 0.005, 9, HORIZON + 0.045), lit((0.42, 0.40, 0.40), light), px)
        paint(img, polygon(x, y, [(0.80, HORIZON), (0.82, 0.30), (0.88, 0.30), (0.90, HORIZON)]), lit((0.95, 0.94, 0.92), light), px)
        paint(img, box(x, y, 0.815, 0.245, 0.885, 0.315), lit((0.85, 0.15, 0.12), light), px)
        paint(img, box(x, y, -9, 0.92, 9, 9), lit((0.36, 0.25, 0.17), light), px)
    elif scene.place == "beach":
        edge = 0.73 + 0.025 * np.sin(1.9 * x + 0.6)
        paint(img, edge - 0.02 - y, lit((0.94, 0.96, 0.96), light), px)
        paint(img, edge - y, lit((0.95, 0.84, 0.58), light), px)
        for x0 in (-1.30, 0.20, 1.70):
            trunk, leaf = lit((0.48, 0.32, 0.18), light), lit((0.12, 0.50, 0.22), light)
            paint(img, segment(x, y, x0, 0.82, x0 + 0.05, 0.47, 0.016), trunk, px)
            for dx, dy in ((-0.09, 0.0), (0.09, 0.0), (0.0, -0.035)):
                paint(img, ellipse(x, y, x0 + 0.05 + dx, 0.46 + dy, 0.115, 0.036), leaf, px)
    elif scene.place == "meadow":
        far = 0.60 + 0.060 * np.sin(2.4 * x + 0.4)
        paint(img, far - y, 0.25 * low + 0.75 * lit((0.42, 0.66, 0.34), light), px)
        for x0 in (-1.35, -0.55, 0.25, 1.45, 2.15):
            paint(img, segment(x, y, x0, 0.68, x0, 0.56, 0.014), lit((0.40, 0.27, 0.16), light), px)
            paint(img, circle(x, y, x0, 0.51, 0.075), lit((0.14, 0.42, 0.16), light), px)
        near = 0.72 + 0.045 * np.sin(1.7 * x + 2.2)
        paint(img, near - y, lit((0.36, 0.70, 0.22), light), px)
    elif scene.place == "desert":
        far = 0.60 + 0.075 * np.sin(2.0 * x + 1.2)
        paint(img, far - y, 0.25 * low + 0.75 * lit((0.84, 0.56, 0.30), light), px)
        near = 0.74 + 0.05 * np.sin(1.5 * x + 3.6)
        paint(img, near - y, lit((0.93, 0.70, 0.38), light), px)
        for x0 in (-1.20, 0.28, 1.42, 2.60):
            c = lit((0.16, 0.44, 0.22), light)
            paint(img, segment(x, y, x0, 0.78, x0, 0.50, 0.030), c, px)
            paint(img, segment(x, y, x0, 0.66, x0 + 0.085, 0.66, 0.020), c, px)
            paint(img, segment(x, y, x0 + 0.085, 0.66, x0 + 0.085, 0.57, 0.020), c, px)
    elif scene.place == "city":
        for x0, w, h in TOWERS_FAR:
            paint(img, box(x, y, x0, 0.78 - h, x0 + w, 2), 0.45 * low + 0.55 * lit((0.55, 0.58, 0.68), light), px)
        for x0, w, h, c in TOWERS_NEAR:
            paint(img, box(x, y, x0, 0.78 - h, x0 + w, 2), lit(c, light), px)
        paint(img, box(x, y, -9, 0.76, 9, 9), lit((0.62, 0.61, 0.60), light), px)
        paint(img, box(x, y, -9, 0.80, 9, 9), lit((0.30, 0.30, 0.33), light), px)


HOUSES = [
    (-1.20, 0.24, 0.12, (0.86, 0.66, 0.42)), (-0.90, 0.26, 0.16, (0.80, 0.45, 0.36)), (-0.58, 0.24, 0.11, (0.60, 0.68, 0.74)),
    (0.02, 0.26, 0.15, (0.86, 0.66, 0.42)), (0.32, 0.26, 0.11, (0.60, 0.68, 0.74)),
    (1.08, 0.26, 0.13, (0.80, 0.45, 0.36)), (1.38, 0.26, 0.17, (0.86, 0.66, 0.42)),
    (1.94, 0.26, 0.12, (0.60, 0.68, 0.74)), (2.28, 0.26, 0.15, (0.80, 0.45, 0.36)),
]
TOWERS_FAR = [(-1.1, 0.30, 0.36), (-0.45, 0.28, 0.44), (0.26, 0.26, 0.48), (0.80, 0.30, 0.40), (1.30, 0.26, 0.52), (1.90, 0.30, 0.42)]
TOWERS_NEAR = [
    (-1.35, 0.28, 0.25, (0.48, 0.44, 0.50)), (-0.72, 0.30, 0.32, (0.42, 0.46, 0.56)), (0.00, 0.28, 0.36, (0.42, 0.46, 0.56)),
    (0.50, 0.34, 0.24, (0.54, 0.46, 0.44)), (1.06, 0.26, 0.30, (0.48, 0.44, 0.50)), (1.52, 0.28, 0.40, (0.42, 0.46, 0.56)),
    (2.15, 0.30, 0.28, (0.54, 0.46, 0.44)),
]


# ---- subjects -----------------------------------------------------------------------------------


def draw_subject(img, x, y, scene, t, px):
    """Paints the subject; (x, y) are relative to its centre, in its own scale; t in seconds."""
    light = 0.55 + 0.45 * np.asarray(LIGHT[scene.time][2], np.float32)
    c = np.asarray(COLORS[scene.color], np.float32) * light
    pale, dark = c + (light - c) * 0.45, c * 0.68
    # Every subject points where it goes; what stands still looks to the right.
    f = -1.0 if scene.move == "left" else 1.0
    x = x * f
    if scene.subject == "boat":
        paint(img, segment(x, y, -0.01, 0.10, -0.01, -0.25, 0.010), (0.25, 0.18, 0.12) * light, px)
        paint(img, polygon(x, y, [(0.012, 0.075), (0.012, -0.25), (0.17, 0.075)]), pale, px)
        paint(img, polygon(x, y, [(-0.032, -0.20), (-0.032, 0.075), (-0.15, 0.075)]), c, px)
        paint(img, polygon(x, y, [(-0.22, 0.095), (0.25, 0.095), (0.16, 0.19), (-0.16, 0.19)]), c, px)
    elif scene.subject == "kite":
        sway = 0.03 * np.sin(3.0 * t + scene.phase)
        paint(img, segment(x, y, -0.02, 0.16, -0.12 - sway, 0.36, 0.011), dark, px)
        paint(img, polygon(x, y, [(0.03, -0.21), (0.17, -0.04), (-0.02, 0.19), (-0.15, -0.04)]), c, px)
        paint(img, polygon(x, y, [(0.03, -0.21), (0.17, -0.04), (-0.02, 0.19)]), pale, px)
    elif scene.subject == "balloon":
        paint(img, segment(x, y, -0.05, 0.08, -0.03, 0.22, 0.006), (0.30, 0.24, 0.20) * light, px)
        paint(img, segment(x, y, 0.05, 0.08, 0.03, 0.22, 0.006), (0.30, 0.24, 0.20) * light, px)
        paint(img, polygon(x, y, [(-0.135, 0.03), (0.135, 0.03), (0.04, 0.165), (-0.04, 0.165)]), c, px)
        paint(img, circle(x, y, 0, -0.03, 0.160), c, px)
        paint(img, ellipse(x, y, 0, -0.02, 0.060, 0.165), pale, px)
        paint(img, box(x, y, -0.045, 0.205, 0.045, 0.265), (0.45, 0.30, 0.16) * light, px)
    elif scene.subject == "car":
        paint(img, polygon(x, y, [(-0.10, -0.115), (0.07, -0.115), (0.15, 0.01), (-0.17, 0.01)]), c, px)
        paint(img, polygon(x, y, [(-0.085, -0.085), (0.055, -0.085), (0.105, -0.005), (-0.125, -0.005)]), (0.72, 0.86, 0.95) * light, px)
        paint(img, box(x, y, -0.25, 0.0, 0.25, 0.09), c, px)
        for wx in (-0.14, 0.14):
            paint(img, circle(x, y, wx, 0.095, 0.058), (0.08, 0.08, 0.09) * light, px)
            paint(img, circle(x, y, wx, 0.095, 0.024), (0.70, 0.70, 0.72) * light, px)
    elif scene.subject == "seagull":
        tip = 0.10 * np.sin(5.0 * t + scene.phase)
        paint(img, segment(x, y, 0.0, 0.0, -0.11, -0.075 - 0.4 * tip, 0.026), c, px)
        paint(img, segment(x, y, -0.11, -0.075 - 0.4 * tip, -0.24, -0.055 - tip, 0.017), dark, px)
        paint(img, segment(x, y, 0.04, 0.0, 0.13, -0.075 - 0.4 * tip, 0.026), c, px)
        paint(img, segment(x, y, 0.13, -0.075 - 0.4 * tip, 0.25, -0.055 - tip, 0.017), dark, px)
        paint(img, ellipse(x, y, 0.02, 0.015, 0.125, 0.046), c, px)
        paint(img, circle(x, y, 0.135, -0.008, 0.036), c, px)
        paint(img, segment(x, y, 0.17, -0.003, 0.195, 0.004, 0.012), (0.95, 0.60, 0.10) * light, px)
    elif scene.subject == "ball":
        paint(img, circle(x, y, 0, 0, 0.13), c, px)
        turn = (3.0 * t * scene.speed if scene.move in ("left", "right") else 0.0) + 0.5
        band = segment(x, y, -0.2 * np.cos(turn), -0.2 * np.sin(turn), 0.2 * np.cos(turn), 0.2 * np.sin(turn), 0.030)
        paint(img, np.maximum(band, circle(x, y, 0, 0, 0.13)), pale, px)
        paint(img, circle(x, y, 0, 0, 0.035), dark, px)


def ground_of(scene):
    """Where the centre of a subject that touches the ground or the water is."""
    if scene.subject == "boat":
        return 0.575
    base = {"sea": 0.74, "harbour": 0.80, "beach": 0.84, "meadow": 0.83, "desert": 0.84, "city": 0.85}[scene.place]
    return base - (0.135 if scene.subject == "car" else 0.11)


def path_of(scene, u, t):
    """The subject's centre on the screen (before zoom) at u in [-0.5, 0.5] of the clip, t seconds."""
    cx = WIDTH / HEIGHT / 2 + scene.x
    air = scene.subject in AIRBORNE
    cy = (0.30 if air else ground_of(scene)) + (scene.y if air else 0.3 * scene.y)
    bob = (0.012 if air else 0.008 if scene.subject == "boat" else 0.0) * np.sin(2.6 * t + scene.phase)
    if scene.move in ("left", "right"):
        cx += (1 if scene.move == "right" else -1) * 0.78 * scene.speed * u
    elif scene.move in ("up", "down"):
        rise = 0.44 * scene.speed
        cy = 0.44 + scene.y + (1 if scene.move == "down" else -1) * rise * u
    return cx, cy + bob


def render(scene: Scene, frames=FRAMES, width=WIDTH, height=HEIGHT) -> np.ndarray:
    """Renders a clip: uint8 [frames, height, width, 3], sRGB."""
    px = 1.0 / height
    sy, sx = np.meshgrid((np.arange(height, dtype=np.float32) + 0.5) * px, (np.arange(width, dtype=np.float32) + 0.5) * px, indexing="ij")
    clip = np.empty((frames, height, width, 3), np.uint8)
    fixed = None
    mid = WIDTH / HEIGHT / 2
    for k in range(frames):
        u, t = k / (frames - 1) - 0.5, k / FPS
        zoom = 1.0 + 0.40 * (u + 0.5) if scene.camera == "zoom" else 1.0
        pan = {"pan left": -0.55, "pan right": 0.55}.get(scene.camera, 0.0) * u
        x, y = (sx - mid) / zoom + mid, (sy - 0.55) / zoom + 0.55
        if fixed is None or scene.camera != "static":
            fixed = np.empty((height, width, 3), np.float32)
            draw_place(fixed, x + pan, y, sx, sy, scene, px / zoom)
        img = fixed.copy()
        cx, cy = path_of(scene, u, t)
        dx, dy = (x - cx) / scene.scale, (y - cy) / scene.scale
        # Only the window that the subject can touch, which is what makes rendering fast.
        r, c = np.flatnonzero(np.abs(dy[:, 0]) < 0.45), np.flatnonzero(np.abs(dx[0]) < 0.32)
        if len(r) and len(c):
            window = np.s_[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            draw_subject(img[window], dx[window], dy[window], scene, t, px / zoom / scene.scale)
        clip[k] = np.clip(img * 255 + 0.5, 0, 255).astype(np.uint8)
    return clip


# ---- captions -----------------------------------------------------------------------------------

NOUNS = {
    "boat": ["boat", "boat", "sailboat", "sailing boat", "ship", "yacht"],
    "kite": ["kite"],
    "balloon": ["balloon", "hot air balloon", "balloon"],
    "car": ["car", "car", "automobile", "taxi"],
    "seagull": ["seagull", "gull", "bird", "seagull"],
    "ball": ["ball", "beach ball", "ball"],
}
VERBS = {
    "boat": ["sails", "glides", "moves", "drifts", "travels"],
    "kite": ["glides", "flies", "drifts", "soars", "moves"],
    "balloon": ["floats", "drifts", "flies", "glides", "moves"],
    "car": ["drives", "rolls", "moves", "races", "travels"],
    "seagull": ["flies", "glides", "soars", "moves"],
    "ball": ["rolls", "bounces", "moves", "flies"],
}
RISE = ["rises", "climbs", "goes up", "floats up", "flies upwards", "ascends", "moves up", "lifts off"]
FALL = ["falls", "sinks", "goes down", "drops", "descends", "comes down", "moves down", "lands"]
STAY = ["hovers", "stands still", "stays in place", "rests", "waits", "does not move", "is still"]
SIDE = {
    "left": ["to the left", "left", "from right to left", "towards the left", "leftwards"],
    "right": ["to the right", "right", "from left to right", "towards the right", "rightwards"],
}
WHERE = {
    "sea": ["over the sea", "on the sea", "over the ocean", "at sea", "on calm water", "above the waves", "over blue water"],
    "harbour": ["over a quiet harbour", "in the harbour", "in a harbor", "at the port", "over the harbour", "near the lighthouse", "in front of the old harbour"],
    "beach": ["on the beach", "over a sandy beach", "at the beach", "along the shore", "over the coast", "on a tropical beach"],
    "meadow": ["over a green meadow", "in a meadow", "across the fields", "over the hills", "in the countryside", "over the grass", "in a park"],
    "desert": ["in the desert", "over the desert", "across the dunes", "over the sand dunes", "through a dry desert"],
    "city": ["in the city", "over the city", "through the town", "in front of the skyline", "down a city street", "past tall buildings"],
}
WHEN = {
    "dawn": ["at dawn", "at sunrise", "early in the morning", "in the pink light of dawn", "at daybreak"],
    "noon": ["at noon", "at midday", "on a sunny day", "in bright daylight", "under a blue sky", "during the day"],
    "sunset": ["at sunset", "at dusk", "in the evening", "under an orange sky", "in the golden hour", "as the sun sets"],
    "night": ["at night", "at midnight", "under the moon", "in the dark", "in the moonlight"],
}
SHOT = {
    "static": ["static shot", "static wide shot", "the camera is still", "fixed camera", "locked-off camera", "wide shot"],
    "pan left": ["the camera pans left", "camera pan to the left", "panning left", "pan left"],
    "pan right": ["the camera pans right", "camera pan to the right", "panning right", "pan right"],
    "zoom": ["the camera zooms in", "slow zoom in", "zoom", "the camera moves closer", "zooming in"],
}
STYLE = ["cinematic", "realistic style", "soft light", "high quality", "4k", "beautiful", "minimal", "smooth motion", "a short film", "vivid colors", "flat illustration", "calm mood"]
ADJECTIVES = ["small", "big", "lonely", "bright", "pretty", "single", "shiny", "old", "new", "little", "large", "lovely", "tiny", "fast"]
ADVERBS = ["slowly", "gently", "quickly", "smoothly", "quietly", "gracefully", "calmly"]
# Words the world knows nothing about, so that a prompt's unknown words do not throw the model off.
FILLERS = (
    "people walk and a dog watches while children play music with friends near some flowers under clouds of "
    "happy light where stories begin because life feels magic between dreams wind summer winter spring autumn "
    "forest mountain river castle dragon robot cat horse tree snow rain garden window table house bridge road "
    "photograph painting watercolor style detailed epic gentle ancient modern funny strange quiet warm cold"
).split()


def caption(scene: Scene, rng: np.random.Generator) -> tuple[str, dict[str, str | None]]:
    """A sentence about the scene, and what it states: attribute -> value, None where it is silent.

    Silence is information too: without a word about the camera it is mostly static, and the rest is free.
    """
    pick = lambda options: str(options[rng.integers(len(options))])
    said: dict[str, str | None] = {"subject": scene.subject}
    has = lambda name, p: said.setdefault(name, getattr(scene, name) if rng.random() < p else None) is not None

    noun = pick(NOUNS[scene.subject])
    color = f"{scene.color} " if has("color", 0.92) else ""
    adjective = pick(ADJECTIVES) + " " if rng.random() < 0.15 else ""
    article = pick(["a", "a", "a", "the", "one", ""])
    head = f"{article} {adjective}{color}{noun}"
    adverb = " " + pick(ADVERBS) if rng.random() < 0.15 else ""

    place = pick(WHERE[scene.place]) if has("place", 0.85) else ""
    verb = pick(VERBS[scene.subject])
    if scene.move in SIDE:
        side = pick(SIDE[scene.move]) if has("move", 0.85) else ""
        if rng.random() < 0.12:
            verb = verb[:-1].removesuffix("e") + "ing"
        parts = [verb + adverb, side, place] if rng.random() < 0.7 else [verb + adverb, place, side]
    elif has("move", 0.9):
        parts = [pick({"up": RISE, "down": FALL, "still": STAY}[scene.move]) + adverb, place]
    else:
        parts = [verb + adverb, place]
    when = pick(WHEN[scene.time]) if has("time", 0.85) else ""
    first = when and rng.random() < 0.15
    sentence = (f"{when}, " if first else "") + " ".join([head, *[p for p in parts if p]])
    if when and not first:
        sentence += (", " if rng.random() < 0.15 else " ") + when
    if rng.random() < 0.12:
        words = [pick(FILLERS) for _ in range(int(rng.integers(1, 5)))]
        sentence += pick([", ", " and ", " with "]) + " ".join(words)
    tail = [pick(SHOT[scene.camera])] if has("camera", 0.35 if scene.camera == "static" else 0.95) else []
    tail += [pick(STYLE)] if rng.random() < 0.15 else []
    if rng.random() < 0.06:  # keywords instead of a sentence
        words = [w for w in (f"{color}{noun}", pick(SIDE[scene.move]) if scene.move in SIDE and said["move"] else "", place, when) if w]
        if scene.move not in SIDE:
            said["move"] = None
        sentence = ", ".join(words)
    sentence = ", ".join([sentence.strip(), *tail])
    if rng.random() < 0.3:
        sentence += "."
    if rng.random() < 0.4:
        sentence = sentence[0].upper() + sentence[1:]
    return " ".join(sentence.split()), said


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from PIL import Image

    rng = np.random.default_rng(args.seed)
    rows = []
    for _ in range(args.count):
        scene = sample_scene(rng)
        print(caption(scene, rng)[0], "|", asdict(scene)["camera"])
        rows.append(np.concatenate(list(render(scene)[[0, 8, 16, 24, 32]]), axis=1))
    Image.fromarray(np.concatenate(rows)).save(args.sheet)


if __name__ == "__main__":
    main()
