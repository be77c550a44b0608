"""Clips for training: scenes by lot, drawn on the GPU where there is one, reproducible from their number.

Clip i of a split is the same on every machine. Tables of shapes are made by worker processes, pixels by the
device; clips come in groups of one shape and length.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import world
from presets import Preset
from world.captions import GUIDES
from world.scene import SUBJECTS, usual

GROUP = 16  # clips a job
GUIDED = 8  # one scene of so many has most of what one of the two long prompts asks for, another's movement is any of all with equal odds, and a third has most of what is usual for its subject


@dataclass
class Group:
    """Clips of one shape and length: uint8 [B, F, H, W, 3], their scenes, and where their subjects are [B, F, 3]."""

    shape: str
    clips: torch.Tensor
    scenes: list[world.Scene]
    tracks: np.ndarray


def plan(preset: Preset, split: str, count: int, frames=None, shape=None, every=1, begin=0):
    """Jobs that draw `count` clips, from number `begin` on; the splits train, test and held are disjoint, the last with combinations held back.

    With `every` above 1 only `some_of` their frames are drawn.
    """
    rng = np.random.default_rng([sum(map(ord, split)), 1])
    lot = lambda options, odds: options[rng.choice(len(options), p=np.array(odds) / sum(odds))]
    of_shape, of_length = preset.odds
    for first in range(begin, begin + count, GROUP):
        length = frames or lot(preset.frames, of_length or preset.frames)
        if split == "train" and rng.random() < preset.stills:
            length = 1
        look = shape or lot(list(preset.sizes), of_shape or [1] * len(preset.sizes))
        if split == "train" and preset.clips - preset.default <= first < preset.clips:
            look, length = next(iter(preset.sizes)), max(preset.frames)
        yield preset, split, first, min(GROUP, begin + count - first), look, length, some_of(first // GROUP, every)


def some_of(i: int, every: int):
    """The frames of the i-th job: every so-many-th, from the first in five of eight and from a later one in the rest where it is every fourth."""
    start = i % (2 * every)
    return slice(start if start < every else 0, None, every)


def scene_of(preset: Preset, split: str, i: int) -> world.Scene:
    rng, only = np.random.default_rng([sum(map(ord, split)), 2, i]), preset.only
    if split == "train" and i % GUIDED == 0:
        _, asked = GUIDES[rng.integers(len(GUIDES))]
        only = only | {k: v for k, v in asked.items() if k in ("subject", "place", "move") or rng.random() < 0.85}
    if split == "train" and i % GUIDED == 1:
        moves = sorted({m for s in only.get("subject", SUBJECTS) for m in SUBJECTS[s][1]})
        only = only | dict(move=(moves[rng.integers(len(moves))],))  # few things wave, rise or fall
    if split == "train" and i % GUIDED == 2:
        subjects = only.get("subject", tuple(SUBJECTS))
        expected = usual(subjects[rng.integers(len(subjects))])
        only = only | {k: v for k, v in expected.items() if v[0] in only.get(k, v) and (k == "subject" or rng.random() < 0.93)}
    return world.sample(rng, held=split == "held", only=only)


def build(job):
    preset, split, first, count, shape, frames, part = job
    return prepare(preset, [scene_of(preset, split, i) for i in range(first, first + count)], shape, frames, part)


def prepare(preset, scenes, shape, frames, part=slice(None)):
    """What needs no device: for a GPU the tables of shapes, else the pixels; of a part of the frames."""
    width, height = preset.sizes[shape]
    pictures = [only(world.picture(s, width, height, frames), part) if frames > 1 else still(s, width, height) for s in scenes]
    tracks = np.stack([p.track for p in pictures])
    if torch.cuda.is_available():
        from world import draw_gpu

        return preset.sizes[shape], shape, scenes, draw_gpu.tables(pictures, 1.0 / min(width, height)), tracks
    return preset.sizes[shape], shape, scenes, torch.stack([world.draw.render(p, width, height) for p in pictures]), tracks


def still(scene, width, height):
    """One frame out of two seconds, at any step: a clip of a single frame shows what happens, not its beginning."""
    i = 4 * np.random.default_rng(scene.seed).integers(9)
    return only(world.picture(scene, width, height, 33), slice(i, i + 1))


def only(picture, part):
    """A picture's frames of that slice."""
    return world.draw.Picture(picture.shapes, picture.groups[part], picture.grade, picture.track[part])


def one_thread():
    torch.set_num_threads(1)


def groups(jobs, device: torch.device, workers: int | None = None):
    """Draws jobs in order; workers are at most a few groups ahead of who asks for them."""
    workers = (os.cpu_count() or 1) if workers is None and device.type == "cuda" else workers or 0
    if not workers:
        results = map(build, jobs)
        yield from (finish(r, device) for r in results)
        return
    with multiprocessing.get_context("spawn").Pool(workers, one_thread) as pool:
        ahead = deque()
        for job in jobs:
            ahead.append(pool.apply_async(build, (job,)))
            if len(ahead) > 3 * workers:
                yield finish(ahead.popleft().get(), device)
        while ahead:
            yield finish(ahead.popleft().get(), device)


def finish(result, device):
    size, shape, scenes, drawing, tracks = result
    if isinstance(drawing, tuple):
        from world import draw_gpu

        drawing = draw_gpu.launch(drawing, *size, device)
    return Group(shape, drawing.to(device), scenes, tracks)


def joined(source, count: int):
    """Groups of one shape and length put together, `count` clips or more a time but for the last: a GPU is quick with many."""
    waiting = {}
    for g in source:
        parts = waiting.setdefault((g.shape, g.clips.shape[1]), [])
        parts.append(g)
        if sum(len(p.scenes) for p in parts) >= count:
            yield join(waiting.pop((g.shape, g.clips.shape[1])))
    yield from map(join, waiting.values())


def join(parts: list[Group]) -> Group:
    return Group(parts[0].shape, torch.cat([p.clips for p in parts]), [s for p in parts for s in p.scenes], np.concatenate([p.tracks for p in parts]))


def draw_files(preset: Preset, run: Path, count: int, workers: int = 0):
    """Draws the clips of training into `run/clips`, a file a group, and passes by those that are there."""
    (run / "clips").mkdir(parents=True, exist_ok=True)
    jobs = [(job, run / "clips" / f"{job[2]:06}-{job[4]}-{job[5]}.npy") for job in plan(preset, "train", count)]
    jobs = [j for j in jobs if not j[1].exists()]
    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count(), one_thread) as pool:
        for n, _ in enumerate(pool.imap_unordered(draw_file, jobs)):
            if n % 100 == 99:
                print(f"{n + 1} of {len(jobs)} groups are drawn", flush=True)


def draw_file(job):
    """Its scenes first, so that whoever sees the pixels finds them too."""
    job, path = job
    _, _, scenes, clips, tracks = build(job)
    path.with_suffix(".pkl").write_bytes(pickle.dumps((scenes, tracks)))
    np.save(path.with_suffix(".tmp.npy"), clips.numpy())
    path.with_suffix(".tmp.npy").rename(path)


def drawn(run: Path):
    """The groups in `run/clips`, their pixels left in their files; training may read while others are drawn."""
    for path in sorted((run / "clips").glob("*[0-9].npy")):
        scenes, tracks = pickle.loads(path.with_suffix(".pkl").read_bytes())
        yield Group(path.stem.split("-")[1], torch.from_numpy(np.load(path, mmap_mode="c")), scenes, tracks)


def draw(preset: Preset, scenes: list[world.Scene], shape: str, frames: int, device: torch.device) -> Group:
    """These scenes, drawn at once."""
    return finish(prepare(preset, scenes, shape, frames), device)


def to_float(clips: torch.Tensor) -> torch.Tensor:
    """uint8 [B, F, H, W, 3] to [B, 3, F, H, W] in [-1, 1]."""
    return clips.permute(0, 4, 1, 2, 3).float().div(127.5).sub(1.0)
