"""The reader: names what a clip shows, learned from renders alone. `evaluate.py` asks it about generated clips.

    python reader.py --preset gpu --run run --minutes 2.5                # kept in run/reader.pt
    python reader.py --preset gpu --run run --minutes 0.5 --movement     # and the hardest part alone, from there

A small network over space and time, behind the autoencoder's frozen encoder and a block matching of what moves, with one attention
pool an attribute.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data
import world
from matching import MATCHES, mirrored, movement
from optim import Clock, Muon, descend, load, note, rate, save, set_rates
from presets import PRESETS
from train import TOGETHER, the_device
from train_vae import autocast, load_vae
from vae import decode, timeless

NAMED = ("subject", "color", "move", "place", "time", "weather", "camera")
EVERY = 4  # of a clip's frames it looks at one of so many, as at a picture
PIECE = 5  # frames: by the first and the last of so many, three times in each eighth of a clip, is the subject named there


class Trunk(nn.Module):
    """[B, channels, T, h, w] to what is seen at each place and time [B, N, dim]; channels last inside, a fifth faster on a CPU."""

    def __init__(self, channels, dim, reach):
        super().__init__()
        self.reach = reach  # steps of time that each stage looks to either side
        self.stem = nn.Linear(channels, dim)
        self.place = nn.Parameter(torch.zeros(1, dim, 8, 8))
        self.when = nn.Parameter(torch.zeros(1, dim, 8))
        self.stages = nn.ModuleList([nn.ModuleList([nn.GroupNorm(8, dim), nn.Conv2d(dim, dim, 3, padding=1), nn.Linear(3 * dim, dim)]) for _ in reach])

    def forward(self, x):
        b, _, t, h, w = x.shape
        x = self.stem(x.movedim(1, -1))
        x = x + F.interpolate(self.place, (h, w), mode="bilinear").movedim(1, -1)[:, None] + F.interpolate(self.when, t, mode="linear").mT[:, :, None, None]
        for r, (norm, space, time) in zip(self.reach, self.stages):
            y = F.silu(norm(x.flatten(1, 2).movedim(-1, 1))).movedim(1, -1).unflatten(1, (t, h))
            y = F.silu(space(y.flatten(0, 1).movedim(-1, 1))).movedim(1, -1).unflatten(0, (b, t))
            near = F.pad(y, (0, 0, 0, 0, 0, 0, r, r))
            x = x + time(torch.cat([near[:, :t], y, near[:, 2 * r :]], -1))
        return F.silu(x).flatten(1, 3)


def pooled(x, query):
    """What queries [Q, dim] attend to in x [B, N, dim]: [B, Q, dim]."""
    return (x @ query.T).float().softmax(1).mT.to(x.dtype) @ x


class Reader(nn.Module):
    """Normalised latents of the autoencoder's encoder, of each frame by itself, and what moved, [B, z + MATCHES, T, h, w] to scores of each attribute's values.

    How the subject moves is told from what moved and from what it is alone: shown the latents, the reader knew its clips by heart.
    """

    def __init__(self, z_dim, dim=128, lean=96):
        super().__init__()
        hidden = lambda n, out: nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 2 * dim), nn.SiLU(), nn.Dropout(0.2), nn.Linear(2 * dim, out))
        self.looks, self.moves = Trunk(z_dim + MATCHES, dim, (1, 2, 4, 1)), Trunk(MATCHES, lean, (1, 2, 4))
        self.query = nn.Parameter(torch.randn(len(NAMED), dim) / dim**0.5)
        self.heads = nn.ModuleDict({k: hidden(2 * dim, len(world.ATTRIBUTES[k])) for k in NAMED if k != "move"})
        self.asks = nn.Parameter(torch.randn(4, lean) / lean**0.5)
        self.subjects = nn.Linear(len(world.ATTRIBUTES["subject"]), lean)
        self.move = hidden(6 * lean, len(world.ATTRIBUTES["move"]))

    def moving(self, m, subject):
        """Scores of the movements from `movement` and the odds of each subject [B, subjects]."""
        x = self.moves(m.asinh())
        parts = torch.cat([pooled(x, self.asks), x.mean(1, keepdim=True), self.subjects(subject)[:, None]], 1)
        return self.move(parts.flatten(1)).float()

    def looking(self, z):
        """Scores of all but the movements, by attribute."""
        x = self.looks(torch.cat([z[:, :-MATCHES], z[:, -MATCHES:].asinh()], 1))
        parts, mean = pooled(x, self.query), x.mean(1)
        return {k: self.heads[k](torch.cat([parts[:, i], mean], 1)).float() for i, k in enumerate(NAMED) if k != "move"}

    def forward(self, z):
        scores = self.looking(z)
        scores["move"] = self.moving(z[:, -MATCHES:], scores["subject"].softmax(1))
        return [scores[k] for k in NAMED]


class Eyes:
    """The reader behind the autoencoder's encoder, which it takes as it is: it judges pixels, and learns in minutes."""

    def __init__(self, preset, run, device):
        self.device, self.encoder = device, load_vae(preset, run, device)[1]
        stats = load(run / "stats.pt", device)
        self.mean, self.std = (stats[k].view(1, -1, 1, 1, 1) for k in ("mean", "std"))
        self.reader = Reader(preset.z_dim).to(device)
        if saved := load(run / "reader.pt", device):
            self.reader.load_state_dict(saved["reader"])
        self.reader.eval()

    @torch.no_grad()
    def see(self, frames):
        """What the reader reads of every fourth frame of clips, [B, 3, T, H, W] in [-1, 1]: [B, z + MATCHES, T, h, w]."""
        with autocast(self.device):
            z = (self.encoder(frames.movedim(2, 1).flatten(0, 1)[:, :, None]) - self.mean) / self.std
        return torch.cat([z.float()[:, :, 0].unflatten(0, (len(frames), -1)).movedim(1, 2), movement(frames)], 1)

    @torch.no_grad()
    def read(self, clips):
        """The values named for clips [B, 3, F, H, W] in [-1, 1]: [B, attributes], and the subject in each eighth [B, 8]."""
        last = clips.shape[2] - PIECE
        starts = [min(last, max(0, round((i + 0.5) / 8 * (clips.shape[2] - 1)) - PIECE // 2 + by)) for i in range(8) for by in (-1, 0, 1)]
        pieces = torch.stack([clips[:, :, s : s + PIECE : EVERY] for s in starts], 1).flatten(0, 1)
        with autocast(self.device):
            whole, parts = self.reader(self.see(clips[:, :, ::EVERY])), self.reader.looking(self.see(pieces))["subject"]
        return torch.stack([s.argmax(1) for s in whole], 1), parts.softmax(1).view(-1, 8, 3, parts.shape[1]).mean(2).argmax(2)


def answers(scenes, device):
    return torch.tensor([[world.ATTRIBUTES[k].index(getattr(s, k)) for k in NAMED] for s in scenes], device=device)


@torch.no_grad()
def through_decoder(preset, run, eyes, count, together=16):
    """Renders once through the autoencoder, from the latents that the transformer learns of: softer, as whatever is decoded. By shape, clips and scenes."""
    vae, stats = load_vae(preset, run, eyes.device)[0], load(run / "stats.pt", eyes.device)
    mean, std = (stats[k].view(1, -1, 1, 1, 1) for k in ("mean", "std"))
    groups = {k: g for k, g in load(run / "latents.pt").items() if k[1] > 1}
    share = min(1.0, count / sum(len(g["scenes"]) for g in groups.values()))
    for (shape, _), g in groups.items():
        some = round(share * len(g["scenes"]))
        for z, i in zip(g["z"][:some].split(together), range(0, some, together)):
            with autocast(eyes.device):
                clips = decode(vae, z.to(eyes.device) * std + mean, timeless(vae)).float().clamp(-1, 1)
            yield shape, clips, g["scenes"][i : i + len(z)]


def seen(preset, run, eyes, count, decoded, workers):
    """What the eyes see of `count` clips of training and of `decoded` more, by shape and number of frames looked at; kept in run/seen.pt."""
    if kept := load(run / "seen.pt", eyes.device):
        return kept
    kept, clips = defaultdict(list), dataclasses.replace(preset, stills=0.0, clips=count, default=0)
    source = data.groups(data.plan(clips, "train", count, every=EVERY), eyes.device, workers)
    for i, g in enumerate(source if eyes.device.type == "cpu" else data.joined(source, TOGETHER)):
        if g.clips.shape[1] > 1:
            kept[g.shape, g.clips.shape[1]].append((eyes.see(data.to_float(g.clips)).half(), answers(g.scenes, eyes.device)))
        if i % 50 == 49:
            print(f"{(i + 1) * len(g.scenes)} of {count} clips are seen", flush=True)
    for i, (shape, frames, scenes) in enumerate(through_decoder(preset, run, eyes, decoded) if decoded else ()):
        some = frames[:, :, data.some_of(i, EVERY)]
        kept[shape, some.shape[2]].append((eyes.see(some).half(), answers(scenes, eyes.device)))
    kept = {k: tuple(map(torch.cat, zip(*v))) for k, v in kept.items()}
    save(kept, run / "seen.pt")
    return kept


def turned(m, moves):
    """What moved [B, MATCHES, T, h, w] seen in a mirror, and the movements [B] that it shows then."""
    left, right = (world.ATTRIBUTES["move"].index(k) for k in ("left", "right"))
    return mirrored(m), torch.where(moves == left, right, torch.where(moves == right, left, moves))


def train_reader(args):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    torch.manual_seed(0)
    eyes = Eyes(preset, run, device)
    groups = seen(preset, run, eyes, args.clips, args.decoded, args.threads)
    reader, keys = eyes.reader.train(), list(groups)
    kernels = [p for t in (reader.looks, reader.moves) for p in t.stages.parameters() if p.dim() > 1]
    ids = {id(p) for p in kernels}
    others = [p for p in reader.parameters() if id(p) not in ids]
    opts = [Muon(kernels, lr=args.lr), torch.optim.AdamW(others, lr=args.lr * 0.2, betas=(0.9, 0.98), weight_decay=0.02)]
    odds = np.array([len(y) for _, y in groups.values()], float)
    clock, step, mean = Clock(args.minutes, None), 0, torch.zeros(len(NAMED))
    tokens = (64 if device.type == "cpu" else 256) * 560
    rng = np.random.default_rng(0)
    while not clock.over():
        z, y = groups[keys[rng.choice(len(keys), p=odds / odds.sum())]]
        piece = not args.movement and rng.random() < args.pieces  # shows what is there, and not how it moves
        size = z[0, 0, :2].numel() if piece else z[0, 0].numel()
        pick = torch.from_numpy(rng.integers(len(z), size=min(tokens // 140, tokens // size))).to(device)
        x, y = z[pick].float(), y[pick]
        if piece:
            at = rng.integers(x.shape[2] - 1)
            x = x[:, :, at : at + 2].clone()
            x[:, -MATCHES:, 0] = 0
            (top, bottom), (left, right) = (rng.integers(1 + n // 6, size=2) for n in x.shape[3:])  # a border less: things stand elsewhere, or are cut off
            x = x[..., top : x.shape[3] - bottom, left : x.shape[4] - right]
        set_rates(opts, rate(clock.share(), step))
        loss, right = 0.0, {}
        if not args.movement:
            with autocast(device):
                scores = reader.looking(x + args.noise * torch.randn_like(x))
            told = [(i, scores[k]) for i, k in enumerate(NAMED) if k != "move" and not (piece and k == "camera")]
            loss = sum(F.cross_entropy(score, y[:, i]) for i, score in told)
            right = {i: score.argmax(1) == y[:, i] for i, score in told}
        if not piece:
            i = NAMED.index("move")
            m, moves = turned(x[:, -MATCHES:], y[:, i]) if rng.random() < 0.5 else (x[:, -MATCHES:], y[:, i])
            subject = F.one_hot(y[:, NAMED.index("subject")], len(world.ATTRIBUTES["subject"])).float()
            with autocast(device):
                score = reader.moving(m + args.noise * torch.randn_like(m), subject)
            loss, right[i] = loss + F.cross_entropy(score, moves), score.argmax(1) == moves
        descend(loss, opts, others)
        step += 1
        if not piece:
            for i, r in right.items():
                mean[i] += max(0.03, 1 / step) * (float(r.float().mean()) - mean[i])
        if step % 100 == 0:
            print(f"step {step} {clock.spent:.0f} s", {k: round(float(v), 3) for k, v in zip(NAMED, mean)}, flush=True)
            save(dict(reader=reader.state_dict()), run / "reader.pt")
        clock.tick()
    save(dict(reader=reader.eval().state_dict()), run / "reader.pt")
    right = read_renders(preset, eyes, "test", args.unseen)
    note(run, "reader", step=step, **right)
    print("unseen renders:", {k: f"{v:.1%}" for k, v in right.items()})


def read_renders(preset, eyes, split, count):
    """The share of each attribute named rightly, on renders of the longest and the shortest clips in turn."""
    right = []
    for frames in (min(preset.frames), max(preset.frames)):
        for g in data.groups(data.plan(preset, split, count // 2, frames), eyes.device):
            right.append(eyes.read(data.to_float(g.clips))[0] == answers(g.scenes, eyes.device))
    return dict(zip(NAMED, torch.cat(right).float().mean(0).tolist()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=PRESETS, default="gpu")
    p.add_argument("--run", default="run")
    p.add_argument("--minutes", type=float, default=2.5)
    p.add_argument("--noise", type=float, default=0.2, help="on the latents, of which the standard deviation is 1")
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--clips", type=int, default=12_000, help="that are drawn for it")
    p.add_argument("--decoded", type=int, default=0, help="renders more that are looked at through the autoencoder, of the run's latents.pt")
    p.add_argument("--pieces", type=float, default=0.5, help="share of the steps on two neighbouring frames alone, which eighths of clips are read by")
    p.add_argument("--movement", action="store_true", help="train what tells the movement alone")
    p.add_argument("--unseen", type=int, default=800, help="renders to test the reader on")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    train_reader(args)


if __name__ == "__main__":
    main()
