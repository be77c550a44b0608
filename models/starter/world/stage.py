"""The paper theatre itself: pieces of coloured paper, the light on them, and the camera in front.

`Part` collects shapes in paper colours under one transform; `Stage` knows the scene's light and camera, lights
the colours, hazes what is far, and turns parts into the shapes and groups of a `draw.Picture`.
Depth is how far a layer follows the camera: 0 for the sky, 1 where the subject is, more for what is nearer.

Everything runs on rails that suit the latents: in a step of four frames things go by simple parts of a latent's
sixteen pixels, and what swings comes back after a few whole steps. So a thing that moves looks the same in its
latents again and again, and a small model has to learn few of its looks.
"""

from __future__ import annotations

import numpy as np

from . import draw
from .scene import FPS, Scene

FAR_AWAY = 1e3
STEP = 0.25  # seconds of a step of the rails: a latent's four frames at 16 a second
CELL = 16  # pixels of a latent
SETS = 3  # painted for each place, as in any theatre: what a caption cannot say must not be endless
UNIT = 8 * CELL  # pixels of the frame's shorter side for which a step of the rails is one latent


def affine(x=0.0, y=0.0, sx=1.0, sy=None, angle=0.0):
    """[..., 2, 3]: scale, then turn (radians, clockwise on screen), then shift; arguments broadcast over frames."""
    x, y, sx, sy, angle = np.broadcast_arrays(*(np.asarray(v, float) for v in (x, y, sx, sx if sy is None else sy, angle)))
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c * sx, -s * sy, x], -1), np.stack([s * sx, c * sy, y], -1)], -2)


def compose(outer, inner):
    out = outer[..., :, :2] @ inner
    out[..., 2] += outer[..., 2]
    return out


def mix(a, b, t):
    return tuple(float(x + (y - x) * t) for x, y in zip(a, b))


class Part:
    """Shapes under one transform. Colours are the paper's; `glow` marks what shines by itself."""

    def __init__(self, matrix=None):
        self.matrix = affine() if matrix is None else matrix
        self.rows = []

    def add(self, kind, p, c, to=None, rows=(0.0, 1.0), alpha=1.0, soft=0.0, r=0.0, glow=False):
        self.rows.append((kind, [*map(float, p), *[0.0] * (8 - len(p))], r, tuple(c), tuple(to or c), rows, alpha, soft, glow))
        return self

    def ellipse(self, x, y, rx, ry, c, angle=0.0, **more):
        return self.add(draw.ELLIPSE, (x, y, rx, ry, np.cos(angle), np.sin(angle)), c, **more)

    def capsule(self, ax, ay, bx, by, ra, c, rb=None, **more):
        return self.add(draw.CAPSULE, (ax, ay, bx, by, ra, ra if rb is None else rb), c, **more)

    def poly(self, points, c, **more):
        """Three or four corners of a convex shape, in either sense of rotation."""
        points = [*points, points[-1]][:4]
        area = sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(points, points[1:] + points[:1]))
        return self.add(draw.POLYGON, [v for q in (points if area > 0 else points[::-1]) for v in q], c, **more)

    def box(self, x0, y0, x1, y1, c, r=0.0, **more):
        return self.poly([(x0 + r, y0 + r), (x1 - r, y0 + r), (x1 - r, y1 - r), (x0 + r, y1 - r)], c, r=r, **more)

    def wave(self, y, c, a=0.0, k=1.0, phase=0.0, b=0.0, k2=1.0, phase2=0.0, band=0.0, **more):
        return self.add(draw.WAVE, (y, a, k, phase, b, k2, phase2, band), c, **more)

    def drops(self, cell, half, radius, c, top=-FAR_AWAY, bottom=FAR_AWAY, every=0, **more):
        """One drop a cell, each a little elsewhere; the pattern comes again after `every` cells, or never."""
        return self.add(draw.DROPS, (*cell, *half, radius, top, bottom, every), c, **more)

    def windows(self, x0, y0, x1, y1, cell, share, seed, c, **more):
        return self.add(draw.WINDOWS, (x0, y0, x1, y1, *cell, 2 * share - 1, seed), c, **more)

    def halo(self, x, y, rx, ry, c, alpha, **more):
        return self.add(draw.GLOW, (x, y, rx, ry), c, alpha=alpha, glow=True, **more)


# time: sky above, sky at the horizon, light on paper, sun or moon (x, height over the horizon, radius, colour) or None
LIGHTS = {
    "dawn": ((0.45, 0.51, 0.79), (1.00, 0.77, 0.70), (0.93, 0.82, 0.88), (-0.42, 0.07, 0.070, (1.00, 0.93, 0.78))),
    "overcast morning": ((0.66, 0.68, 0.75), (0.89, 0.87, 0.83), (0.86, 0.87, 0.91), None),
    "midday": ((0.13, 0.48, 0.91), (0.66, 0.88, 0.99), (1.00, 1.00, 1.00), (0.46, 0.46, 0.062, (1.00, 0.98, 0.82))),
    "golden hour": ((0.80, 0.44, 0.50), (1.00, 0.77, 0.38), (1.03, 0.84, 0.62), (0.30, 0.12, 0.100, (1.00, 0.94, 0.68))),
    "dusk": ((0.19, 0.15, 0.41), (0.87, 0.40, 0.50), (0.64, 0.54, 0.72), None),
    "midnight": ((0.02, 0.035, 0.12), (0.08, 0.15, 0.33), (0.38, 0.44, 0.64), (-0.34, 0.42, 0.058, (0.93, 0.94, 0.90))),
}
# weather: how grey the sky turns, how much light stays, haze on far layers, haze on the subject
WEATHER = {"clear": (0.0, 1.0, 0.22, 0.0), "fog": (0.35, 0.94, 0.92, 0.12), "rain": (0.55, 0.80, 0.50, 0.05), "snow": (0.45, 0.95, 0.55, 0.05)}
HORIZON = {"eye level": 0.10, "low angle": 0.25, "aerial": -0.30}
GROUND = {"eye level": 0.25, "low angle": 0.15, "aerial": 0.50}  # the subject's feet, below the horizon
SIZE = {"small": 0.85, "medium": 1.1, "large": 1.4}
BY_ANGLE = {"eye level": 1.0, "low angle": 1.15, "aerial": 0.9}


class Stage:
    def __init__(self, scene: Scene, width: int, height: int, frames: int, fps: float = FPS):
        self.scene, self.frames = scene, frames
        self.rng = np.random.default_rng(scene.seed % SETS)  # the scenery's
        self.lot = np.random.default_rng(scene.seed)  # the subject's
        self.half_x, self.half_y = width / min(width, height) / 2, height / min(width, height) / 2
        self.t = np.arange(frames) / fps
        self.u = np.arange(frames) / max(1, frames - 1)
        self.seconds = max(frames - 1, 1) / fps
        self.step, self.steps = self.t / STEP, self.seconds / STEP
        side = min(width, height)  # a larger frame takes whole latents together, a smaller one halves of them and less: never over an eighth
        self.cell = CELL / side * max(1, side // UNIT) / -(-UNIT // side)
        self.shapes, self.groups = [], []
        self.horizon = self.snap(HORIZON[scene.angle] * (2 * self.half_y) ** 0.6)
        self.ground = self.horizon + self.snap(GROUND[scene.angle])
        self.size = SIZE[scene.size] * BY_ANGLE[scene.angle]
        self.light_up()
        self.look()

    # ---- rails

    def snap(self, v, part=1.0):
        """The nearest multiple of a cell, or of a part of one."""
        return round(float(v) / (self.cell * part)) * self.cell * part

    def swing(self, omega, phase=0.0):
        """sin(omega t + phase) [F], in the nearest period that is a good number of steps."""
        n = min((2, 3, 4, 8, 16), key=lambda n: abs(np.log(omega * n * STEP / (2 * np.pi))))
        return np.sin(2 * np.pi * self.step / n + phase)

    # ---- light

    def light_up(self):
        top, low, light, self.sun = LIGHTS[self.scene.time]
        grey, keep, self.far_haze, self.near_haze = WEATHER[self.scene.weather]
        dull = lambda c: mix(c, (sum(c) / 3 * 0.96, sum(c) / 3, sum(c) / 3 * 1.05), grey)
        self.sky = tuple(v * keep for v in mix(dull(top), dull(low), 0.3 * (self.scene.weather == "fog")))
        self.low = tuple(v * keep for v in dull(low))
        self.light = tuple(v * (0.4 + 0.6 * keep) for v in mix(light, dull(light), 0.6))
        self.night = self.scene.time == "midnight"
        self.lamps = self.scene.time in ("dusk", "midnight")
        self.wet, self.snowy = self.scene.weather == "rain", self.scene.weather == "snow"
        if self.scene.weather != "clear":
            self.sun = None if self.scene.weather == "rain" else self.sun

    def paint(self, c, depth, glow=False):
        """The paper's colour as it is seen at a depth: lit, then taken over by haze."""
        far = self.far_haze * (1 - min(depth, 1.0)) ** 0.8 + self.near_haze * min(depth, 1.0)
        if glow:
            return mix(c, self.low, 0.5 * far)
        light = mix(self.light, (0.82, 0.82, 0.86), 0.4) if depth >= 1 and self.lamps else self.light
        return mix(tuple(min(1.0, v * l) for v, l in zip(c, light)), self.low, far)

    # ---- camera

    def look(self):
        """Where the camera is in each frame: sideways, up, and how much nearer; and what is out of focus."""
        s, e = self.scene, self.u * self.u * (3 - 2 * self.u) * 0.5 + self.u * 0.5
        far = {"slow": 0.8, "normal": 1.0, "fast": 1.15}[s.speed] * min(1.0, 0.45 + 0.14 * self.seconds)
        gone = self.cell * (self.step - self.steps // 2)
        self.cam_x = {"pan left": -0.5, "pan right": 0.5}.get(s.camera, 0.0) * gone
        self.cam_y = {"crane up": -0.25}.get(s.camera, 0.0) * gone
        self.near = 1 + {"dolly in": 0.48, "dolly out": 0.48}.get(s.camera, 0.0) * far * (e if s.camera == "dolly in" else 1 - e)
        swap = np.clip((self.u - 0.3) / 0.4, 0, 1)
        swap = swap * swap * (3 - 2 * swap)
        self.blur_near = 0.045 * swap if s.camera == "rack focus" else 0 * swap
        self.blur_far = 0.05 * (1 - swap) if s.camera == "rack focus" else 0 * swap
        if s.focus == "shallow":
            self.blur_near = self.blur_near + 0.05

    def layer(self, depth):
        """[F, 2, 3]: world to screen for a layer of this depth. The world's unit is the subject's layer's."""
        scale = 1 + (self.near - 1) * (0.25 + 0.75 * depth if depth <= 1 else 1 + 1.2 * (depth - 1))
        follows = lambda least: round(2 * (least + (1 - least) * depth)) / 2  # in halves, so that all layers keep to the rails
        x = -self.cam_x * follows(0.18)
        y = -self.cam_y * follows(0.45)
        anchor = self.horizon + 0.06
        return affine(x, y + anchor * (1 - scale), scale)

    def blur(self, depth):
        behind = 0.045 * (1 - depth) ** 0.5 if self.scene.focus == "shallow" and depth < 1 else 0.0
        return self.blur_near if depth > 1 else self.blur_far * (0.6 + 0.4 * min(depth, 1.0)) + behind

    # ---- gluing

    def place(self, parts, depth, at=None, alpha=1.0, ripple=0.0, top=-FAR_AWAY, bottom=FAR_AWAY, mirror=None, haze=None, flat=None):
        """Glues parts on the layer of a depth. `mirror` turns them over at that row of the layer; `flat` is one colour for all."""
        camera = self.layer(depth)
        if mirror is not None:
            camera = compose(camera, affine(0, 2 * mirror, 1, -1))
        if at is not None:
            camera = compose(camera, at)
        for part in [parts] if isinstance(parts, Part) else parts:
            m = np.broadcast_to(compose(camera, part.matrix), (self.frames, 2, 3))
            det = m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0]
            det = np.where(np.abs(det) < 1e-4, np.where(det < 0, -1e-4, 1e-4), det)
            inverse = np.stack([m[:, 1, 1], -m[:, 0, 1], -m[:, 1, 0], m[:, 0, 0]], -1) / det[:, None]
            shift = -(inverse.reshape(-1, 2, 2) @ m[:, :, 2:])[..., 0]
            column = lambda v: np.broadcast_to(np.asarray(v, float), (self.frames,))[:, None]
            wave = 2 * np.pi * self.step / 8 + 1.3
            self.groups.append(np.concatenate(
                [inverse, shift, *(column(v) for v in (ripple, wave, self.blur(depth), alpha, top, bottom))], 1))
            for kind, p, r, c, to, rows, a, soft, glow in part.rows:
                seen = [flat] * 2 if flat else [self.paint(v, depth if haze is None else haze, glow) for v in (c, to)]
                self.shapes.append([kind, len(self.groups) - 1, *p, r, *seen[0], *seen[1], *rows, a, soft, 0, 0, 0])

    def screen(self, part, alpha=1.0):
        """Glues a part on the screen itself, in front of everything, unlit."""
        keep = self.scene.focus, self.paint
        self.paint = lambda c, depth, glow=False: c
        blur, layer = self.blur, self.layer
        self.blur, self.layer = lambda depth: 0.0, lambda depth: affine()
        self.place(part, 1, alpha=alpha)
        self.paint, self.blur, self.layer = keep[1], blur, layer

    def picture(self) -> draw.Picture:
        s = self.scene
        grade = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0) if s.grade == "flat" else (1.03, 0.42, -0.10, 0.20, 0.85, 0.045)
        return draw.Picture(
            np.asarray(self.shapes, np.float32).reshape(-1, draw.SHAPE), np.stack(self.groups, 1).astype(np.float32),
            np.asarray([*grade, 0, 0], np.float32), self.track.astype(np.float32))
