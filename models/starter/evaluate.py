"""Measures whether clips show what their prompts say, with a reader that has only ever seen renders.

    python evaluate.py reader --preset gpu --run run --minutes 2.5    # trains the reader on renders; kept in run/reader.pt
    python evaluate.py report --preset gpu --run run [--prompts 200]  # prints the card's table, writes a contact sheet
    python evaluate.py report --model weights                         # the same for an exported model, through diffusers

The reader is a small network over space and time, behind the autoencoder's frozen encoder and a block matching of what moves, with one attention
pool an attribute. Prompts come from the
split `held`, whose combinations of subject, place and camera no training has seen. An attribute counts where the
prompt states it; the figure is the share of what the reader reaches on renders of the same scenes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data
import world
from matching import MATCHES, costs, mirrored, movement
from optim import Clock, Muon, descend, load, note, rate, save, set_rates
from presets import PRESETS, Preset
from train import generate, load_text, load_transformer, the_device
from train_vae import autocast, load_vae
from world.captions import GUIDES, caption

NAMED = ("subject", "color", "move", "place", "time", "weather", "camera")
LIMITS = dict(subject=0.95, place=0.95, time=0.90, weather=0.90, move=0.90, camera=0.85)  # color: none is set


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


def seen(preset, run, eyes, count):
    """What the eyes see of clips of training, and of a piece of each, by shape and length; kept in run/seen.pt."""
    if kept := load(run / "seen.pt", eyes.device):
        return kept
    latents, rng, done = load(run / "latents.pt", eyes.device), np.random.default_rng(1), 0
    room = lambda n, z, frames: dict(z=z.new_empty(n, z.shape[1] + MATCHES, frames, *z.shape[3:]), scenes=[])
    kept = {k: room(len(g["z"]), g["z"], g["z"].shape[2]) for k, g in latents.items()}
    for (shape, frames), g in latents.items():
        if frames > PIECE:
            pieces = kept.setdefault((shape, PIECE, "pieces"), room(0, g["z"], (PIECE - 1) // 4 + 1))
            pieces["z"] = torch.cat([pieces["z"], room(len(g["z"]), g["z"], (PIECE - 1) // 4 + 1)["z"]])
    source = data.drawn(run) if eyes.device.type == "cpu" else data.groups(data.plan(preset, "train", count), eyes.device)
    for g in source:
        b, frames = g.clips.shape[:2]
        known, to = latents[g.shape, frames], kept[g.shape, frames]
        n = len(to["scenes"])
        if known["scenes"][n : n + b] != g.scenes:
            raise SystemExit("latents.pt and the clips differ: run train.py latents again")
        for i, clip in enumerate(g.clips):
            to["z"][n + i] = torch.cat([known["z"][n + i], movement(data.to_float(clip[None]))[0].half()])
        to["scenes"] += g.scenes
        if frames > PIECE:
            at, to = rng.integers(frames - PIECE + 1), kept[g.shape, PIECE, "pieces"]
            n = len(to["scenes"])
            to["z"][n : n + b] = eyes.see(data.to_float(g.clips[:, at : at + PIECE])).half()
            to["scenes"] += g.scenes
        done += b
        if done % (50 * data.GROUP) == 0:
            print(f"{done} clips are seen", flush=True)
    kept = {k: dict(z=g["z"][: len(g["scenes"])], scenes=g["scenes"]) for k, g in kept.items() if g["scenes"]}
    save(kept, run / "seen.pt")
    return kept


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
    groups = seen(preset, run, eyes, args.clips)
    reader, keys = eyes.reader.train(), list(groups)
    kernels = [p for t in (reader.looks, reader.moves) for p in t.stages.parameters() if p.dim() > 1]
    ids = {id(p) for p in kernels}
    others = [p for p in reader.parameters() if id(p) not in ids]
    opts = [Muon(kernels, lr=0.01), torch.optim.AdamW(others, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)]
    # Stills and pieces show what is there, and not how it moves.
    odds = np.array([len(g["scenes"]) * (1 if k[1] > PIECE else 0.2) for k, g in groups.items()], float)
    truth = {k: answers(g["scenes"], device) for k, g in groups.items()}
    clock, step, mean = Clock(args.minutes, None), 0, None
    rng = np.random.default_rng(0)
    while not clock.over():
        key = keys[rng.choice(len(keys), p=odds / odds.sum())]
        z = groups[key]["z"]
        pick = torch.from_numpy(rng.integers(len(z), size=min(256, 64 * 560 // z[0, 0].numel()))).to(device)
        x, y = z[pick].float(), truth[key][pick]
        set_rates(opts, rate(clock.share(), step))
        with autocast(device):
            scores = reader(x + args.noise * torch.randn_like(x))
        told = [i for i, k in enumerate(NAMED) if k != "move" and (key[1] > PIECE or k != "camera")]
        loss = sum(F.cross_entropy(scores[i], y[:, i]) for i in told)
        if key[1] > PIECE:
            loss = loss + move_loss(reader, x[:, -MATCHES:], y, args.noise, rng.random() < 0.5)
        descend(loss, opts, others)
        step += 1
        if key[1] > PIECE:
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


def steadiness(clip, block=8, reach=4):
    """Of [3, F, H, W]: what block matching from each frame to the next leaves over, and how much the frames differ at all."""
    a, b = clip[:, :-1].movedim(1, 0), clip[:, 1:].movedim(1, 0)
    return float(costs(a, b, reach, block).amin(1).mean()), float((a - b).abs().mean())


# ---- the report ---------------------------------------------------------------------------------


def prompts_of(preset: Preset, count: int):
    """Scenes that are held back, a detailed caption of each, and what it states."""
    rng = np.random.default_rng(11)
    scenes = [data.scene_of(preset, "held", i) for i in range(count)]
    return scenes, *zip(*[caption(s, rng, 0.8) for s in scenes])


def maker(args, preset, run, device):
    """A function from prompts to clips [B, 3, F, H, W] in [-1, 1]."""
    if args.model:
        from export import pipeline, run_pipeline

        d, pipe = json.loads((Path(args.model) / "kinora.json").read_text()), pipeline(args.model)
        pipe.set_progress_bar_config(disable=True)
        return lambda texts: torch.stack([torch.from_numpy(run_pipeline(pipe, t, args.seed, d)).permute(3, 0, 1, 2) * 2 - 1 for t in texts]).to(device)
    parts = (load_transformer(preset, run, device), *load_text(run, device), load_vae(preset, run, device)[0])
    return lambda texts: generate(preset, run, list(texts), device, args.seed, guidance=args.guidance, parts=parts)


def report(args):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    eyes, make = Eyes(preset, run, device), maker(args, preset, run, device)
    scenes, texts, said = prompts_of(preset, args.prompts)
    shape, frames = next(iter(preset.sizes)), max(preset.frames)
    width, height = preset.sizes[shape]
    stated = torch.tensor([[s[k] is not None for k in NAMED] for s in said], device=device)
    hits, real_hits, same, real_same, steady, real_steady = [], [], [], [], [], []
    for i in range(0, len(scenes), args.batch):
        part = slice(i, i + args.batch)
        y = answers(scenes[part], device)
        clips = make(texts[part])
        real = data.to_float(data.draw(preset, scenes[part], shape, frames, device).clips)
        for seen, right, alike in ((clips, hits, same), (real, real_hits, real_same)):
            named, eighths = eyes.read(seen)
            right.append(named == y)
            alike.append((eighths == eighths[:, :1]).all(1))
        if i < args.steady:
            steady += [steadiness(c) for c in clips]
            real_steady += [steadiness(c) for c in real]
    hits, real_hits = torch.cat(hits), torch.cat(real_hits)
    unseen = read_renders(preset, eyes, "test", args.unseen)
    lines = [
        f"{len(scenes)} held-back prompts, {width}x{height}x{frames}, seed {args.seed}",
        "",
        "| | reader on unseen renders | on renders of the prompts | on generated clips | share | asked |",
        "|---|---|---|---|---|---|",
    ]
    for i, k in enumerate(NAMED):
        n = max(1, int(stated[:, i].sum()))
        got, best = float((hits[:, i] & stated[:, i]).sum() / n), float((real_hits[:, i] & stated[:, i]).sum() / n)
        share, asked = f"{got / best:.1%}" if best else "", f"{LIMITS[k]:.0%}" if k in LIMITS else ""
        lines.append(f"| {k} | {unseen[k]:.1%} | {best:.1%} | {got:.1%} | {share} | {asked} |")
    (flicker, motion), (real_flicker, real_motion) = np.mean(steady, 0), np.mean(real_steady, 0)
    lines += [
        "",
        "| | generated : real | asked |",
        "|---|---|---|",
        f"| flicker (left over by block matching) | {flicker / real_flicker:.2f} | at most 1.3 |",
        f"| motion (difference of neighbouring frames) | {motion / real_motion:.2f} | 0.7 to 1.3 |",
        f"| the same subject in every eighth | {float(torch.cat(same).float().mean()):.1%} of clips ({float(torch.cat(real_same).float().mean()):.1%} of renders) | 95 % |",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (run / "report.md").write_text(text)
    sheet(make, [*[t for t, _ in GUIDES], "a car", *texts[:21]][: args.sheet], run / "sheet.png", args.batch)


def sheet(make, texts, path, batch):
    from PIL import Image

    rows = []
    for i in range(0, len(texts), batch):
        for clip in make(texts[i : i + batch]):
            rows.append(torch.cat([clip[:, t] for t in np.linspace(0, clip.shape[1] - 1, 6).astype(int)], dim=2))
    Image.fromarray(torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).permute(1, 2, 0).byte().cpu().numpy()).save(path)
    path.with_suffix(".txt").write_text("\n".join(texts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p, q = sub.add_parser("reader"), sub.add_parser("report")
    p.set_defaults(call=train_reader)
    p.add_argument("--minutes", type=float, default=2.5)
    p.add_argument("--noise", type=float, default=0.2, help="on the latents, of which the standard deviation is 1")
    p.add_argument("--clips", type=int, default=12_000, help="to be seen, where they are drawn anew")
    q.set_defaults(call=report)
    q.add_argument("--model", help="an exported folder instead of the run's checkpoints")
    q.add_argument("--guidance", type=float, help="instead of the preset's, with the run's checkpoints")
    q.add_argument("--prompts", type=int, default=200)
    q.add_argument("--batch", type=int, default=8)
    q.add_argument("--steady", type=int, default=200, help="clips whose flicker and motion are measured")
    q.add_argument("--sheet", type=int, default=24, help="clips on the contact sheet")
    q.add_argument("--seed", type=int, default=7)
    for r in (p, q):
        r.add_argument("--preset", choices=PRESETS, default="gpu")
        r.add_argument("--run", default="run")
        r.add_argument("--unseen", type=int, default=800, help="renders to test the reader on")
        r.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.call(args)


if __name__ == "__main__":
    main()
