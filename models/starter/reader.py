"""The reader: names what a clip shows, learned from renders alone. `evaluate.py` asks it about generated clips.

    python reader.py --preset gpu --run run --minutes 2.5                # kept in run/reader.pt
    python reader.py --preset gpu --run run --minutes 0.5 --movement     # and the hardest part alone, from there

A small network over space and time, behind the autoencoder's frozen encoder and a block matching of what moves, with one attention
pool an attribute.
"""

from __future__ import annotations

import argparse
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
from train import the_device
from train_vae import autocast, load_vae

NAMED = ("subject", "color", "move", "place", "time", "weather", "camera")
PIECE = 5  # frames: by so many is the subject named in each eighth of a clip


class Trunk(nn.Module):
    """[B, channels, T, h, w] to what is seen at each place and time [B, N, dim]."""

    def __init__(self, channels, dim, reach):
        super().__init__()
        self.stem = nn.Conv3d(channels, dim, 1)
        self.place = nn.Parameter(torch.zeros(1, dim, 8, 8))
        self.when = nn.Parameter(torch.zeros(1, dim, 8))
        self.stages = nn.ModuleList()
        for r in reach:  # steps of time that a stage looks to either side
            space, time = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1)), nn.Conv3d(dim, dim, (3, 1, 1), padding=(r, 0, 0), dilation=(r, 1, 1))
            self.stages.append(nn.ModuleList([nn.GroupNorm(8, dim), space, time]))

    def forward(self, x):
        if x.shape[2] == 2:  # oneDNN's backward pass over two steps in bf16 leaves memory as it was in the kernel's gradient (PyTorch 2.11)
            x = torch.cat([x, x[:, :, 1:]], 2)
        x = self.stem(x)
        x = x + F.interpolate(self.place, x.shape[3:], mode="bilinear")[:, :, None]
        x = x + F.interpolate(self.when, x.shape[2], mode="linear")[..., None, None]
        for norm, space, time in self.stages:
            x = x + time(F.silu(space(F.silu(norm(x)))))
        return F.silu(x).flatten(2).mT


def pooled(x, query):
    """What queries [Q, dim] attend to in x [B, N, dim]: [B, Q, dim]."""
    return (x @ query.T).float().softmax(1).mT.to(x.dtype) @ x


class Reader(nn.Module):
    """Normalised latents of the autoencoder's encoder, and what moved, [B, z + MATCHES, T, h, w] to scores of each attribute's values.

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

    def forward(self, z):
        m = z[:, -MATCHES:]
        x = self.looks(torch.cat([z[:, :-MATCHES], m.asinh()], 1))
        parts, mean = pooled(x, self.query), x.mean(1)
        scores = {k: self.heads[k](torch.cat([parts[:, i], mean], 1)).float() for i, k in enumerate(NAMED) if k != "move"}
        scores["move"] = self.moving(m, scores["subject"].softmax(1))
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
    def see(self, clips):
        """What the reader reads of clips [B, 3, F, H, W] in [-1, 1]: [B, z + MATCHES, T, h, w]."""
        with autocast(self.device):
            z = (self.encoder(clips) - self.mean) / self.std
        return torch.cat([z.float(), movement(clips)], 1)

    @torch.no_grad()
    def read(self, clips):
        """The values named for clips [B, 3, F, H, W] in [-1, 1]: [B, attributes], and the subject in the middle of each eighth [B, 8]."""
        last = clips.shape[2] - PIECE
        starts = [min(last, max(0, round((i + 0.5) / 8 * (clips.shape[2] - 1)) - PIECE // 2)) for i in range(8)]
        pieces = torch.stack([clips[:, :, s : s + PIECE] for s in starts], 1).flatten(0, 1)
        with autocast(self.device):
            whole, parts = (self.reader(self.see(c)) for c in (clips, pieces))
        return torch.stack([s.argmax(1) for s in whole], 1), parts[0].argmax(1).view(-1, 8)


def answers(scenes, device):
    return torch.tensor([[world.ATTRIBUTES[k].index(getattr(s, k)) for k in NAMED] for s in scenes], device=device)


def seen(preset, run, eyes, count, each):
    """What the eyes see of clips of training, and of `each` pieces of each of `count`, by shape and length; kept in run/seen.pt."""
    if kept := load(run / "seen.pt", eyes.device):
        return kept
    latents, pieces, rng = load(run / "latents.pt", eyes.device), defaultdict(list), np.random.default_rng(1)
    source = data.drawn(run) if eyes.device.type == "cpu" else data.groups(data.plan(preset, "train", count), eyes.device)
    for i, g in enumerate(source):
        for at in rng.integers(max(1, g.clips.shape[1] - PIECE + 1), size=each if g.clips.shape[1] > PIECE else 0):
            pieces[g.shape].append((eyes.see(data.to_float(g.clips[:, at : at + PIECE])).half(), g.scenes))
        if i % 50 == 49:
            print(f"{(i + 1) * data.GROUP} clips are seen", flush=True)
    kept = {k: dict(z=torch.cat([g["z"], g["moved"]], 1), scenes=g["scenes"]) for k, g in latents.items()}
    for shape, v in pieces.items():
        kept[shape, PIECE, "pieces"] = dict(z=torch.cat([z for z, _ in v]), scenes=[s for _, ss in v for s in ss])
    save(kept, run / "seen.pt")
    return kept


def is_clip(key):
    """Whether what is seen under this key of `seen` are clips as they are: neither single frames nor pieces."""
    return len(key) == 2 and key[1] > 1


def move_loss(reader, m, y, noise, mirror):
    """Of the movement alone, for the true subject, in half of the steps seen in a mirror."""
    moves, subject = y[:, NAMED.index("move")], F.one_hot(y[:, NAMED.index("subject")], len(world.ATTRIBUTES["subject"])).float()
    if mirror:
        left, right = (world.ATTRIBUTES["move"].index(k) for k in ("left", "right"))
        m, moves = mirrored(m), torch.where(moves == left, right, torch.where(moves == right, left, moves))
    with autocast(m.device):
        return F.cross_entropy(reader.moving(m + noise * torch.randn_like(m), subject), moves)


def train_reader(args):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    torch.manual_seed(0)
    eyes = Eyes(preset, run, device)
    groups = seen(preset, run, eyes, args.clips, args.pieces)
    if args.movement:
        groups = {k: g for k, g in groups.items() if is_clip(k)}
    reader, keys = eyes.reader.train(), list(groups)
    kernels = [p for t in (reader.looks, reader.moves) for p in t.stages.parameters() if p.dim() > 1]
    ids = {id(p) for p in kernels}
    others = [p for p in reader.parameters() if id(p) not in ids]
    opts = [Muon(kernels, lr=0.01), torch.optim.AdamW(others, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)]
    # Stills and pieces show what is there, and not how it moves; half of the steps are pieces.
    odds = np.array([len(g["scenes"]) * (1 if is_clip(k) else 0.2) for k, g in groups.items()], float)
    pieces = np.array([len(k) == 3 for k in groups])
    odds[pieces] *= odds[~pieces].sum() / max(1, odds[pieces].sum())
    truth = {k: answers(g["scenes"], device) for k, g in groups.items()}
    clock, step, mean = Clock(args.minutes, None), 0, None
    rng = np.random.default_rng(0)
    while not clock.over():
        key = keys[rng.choice(len(keys), p=odds / odds.sum())]
        z = groups[key]["z"]
        pick = torch.from_numpy(rng.integers(len(z), size=min(256, 64 * 560 // z[0, 0].numel()))).to(device)
        x, y = z[pick].float(), truth[key][pick]
        set_rates(opts, rate(clock.share(), step))
        with autocast(device), torch.set_grad_enabled(not args.movement):
            scores = reader(x + args.noise * torch.randn_like(x))
        told = [i for i, k in enumerate(NAMED) if k != "move" and (is_clip(key) or k != "camera")]
        loss = 0.0 if args.movement else sum(F.cross_entropy(scores[i], y[:, i]) for i in told)
        if is_clip(key):
            loss = loss + move_loss(reader, x[:, -MATCHES:], y, args.noise, rng.random() < 0.5)
        descend(loss, opts, others)
        step += 1
        if is_clip(key):
            right = torch.stack([(s.argmax(1) == y[:, i]).float().mean() for i, s in enumerate(scores)]).cpu()
            mean = right if mean is None else 0.97 * mean + 0.03 * right
        if step % 100 == 0:
            print(f"step {step} {clock.spent:.0f} s", {k: round(float(v), 3) for k, v in zip(NAMED, mean)}, flush=True)
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
    p.add_argument("--clips", type=int, default=12_000, help="whose pieces are seen, where they are drawn anew")
    p.add_argument("--pieces", type=int, default=5, help="of each clip")
    p.add_argument("--movement", action="store_true", help="train what tells the movement alone")
    p.add_argument("--unseen", type=int, default=800, help="renders to test the reader on")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    train_reader(args)


if __name__ == "__main__":
    main()
