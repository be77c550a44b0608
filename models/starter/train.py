"""Trains the starter's text encoder and transformer on latents of the autoencoder. Every stage resumes.

    python train.py text --preset gpu --run run --minutes 1        # tokenizer, and UMT5 by naming what a caption says
    python train.py reword --preset gpu --run run --minutes 5      # the order of words for a transformer that was trained with a bag of them
    python train.py latents --preset gpu --run run                 # clips through the autoencoder, once
    python train.py flow --preset gpu --run run --minutes 10     # flow matching
    python train.py distill --preset gpu --run run --minutes 2     # guidance into the weights
    python train.py sample --preset gpu --run run --sheet sheet.png --prompt "…"
    python train.py check --preset gpu                             # the forward pass against diffusers

`--minutes` is a stage's whole budget, `--piece` the minutes of this call.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import data
import transformer
from matching import movement
from optim import Clock, Muon, descend, half, load, note, rate, save, set_rates
from presets import PRESETS, Preset
from text import TEXT_LENGTH, TRAIN_LENGTH, embed, load_text, reword, targets, train_text
from train_vae import autocast, load_vae
from transformer import Hints, forward, new_transformer
from vae import decode, timeless
from world.captions import GUIDES, caption


def the_device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


TOGETHER = 64  # clips encoded at once on a GPU


# ---- latents ------------------------------------------------------------------------------------


def cache_latents(args):
    """Clips of one shape and length together: normalised latents [N, z, T, h, w] in f16, what moved, scenes, tracks at the latents' times."""
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    vae, enc = load_vae(preset, run, device)
    del vae
    kept: dict = {}
    jobs = data.plan(preset, "train", args.count or preset.clips, begin=args.begin)
    source = data.drawn(run) if device.type == "cpu" else data.joined(data.groups(jobs, device), TOGETHER)
    done = 0
    for g in source:
        with torch.no_grad(), autocast(device):
            z = enc(data.to_float(g.clips))
        frames = g.clips.shape[1]
        parts = g.clips.split(1 if device.type == "cpu" else TOGETHER)  # one by one a CPU's caches hold them; on a GPU each of the shifts costs a launch
        moved = torch.cat([movement(data.to_float(c[:, ::4])).half() for c in parts])
        kept.setdefault((g.shape, frames), []).append((z.half(), moved, g.scenes, g.tracks[:, [max(0, 4 * i - 2) for i in range((frames - 1) // 4 + 1)]]))
        done += len(g.scenes)
        print(f"{done} clips are encoded", end="\r", file=sys.stderr, flush=True)
    groups = {}
    for k, v in kept.items():
        z, moved, scenes, tracks = zip(*v)
        groups[k] = dict(z=torch.cat(z), moved=torch.cat(moved), scenes=[s for ss in scenes for s in ss], tracks=torch.from_numpy(np.concatenate(tracks)))
    if stats := load(run / "stats.pt"):
        mean, std = stats["mean"], stats["std"]  # a checkpoint's: new clips must not shift them
    else:
        some = torch.cat([g["z"][:500].float().movedim(1, 0).flatten(1) for g in groups.values()], 1)
        mean, std = some.mean(1).cpu(), some.std(1).cpu()
        save(dict(mean=mean, std=std), run / "stats.pt")
    for g in groups.values():
        for part in g["z"].split(1024):
            part.sub_(mean.to(part).view(-1, 1, 1, 1)).div_(std.to(part).view(-1, 1, 1, 1))
    save(groups, run / "latents.pt")
    print({k: tuple(g["z"].shape) for k, g in groups.items()}, "std", [round(float(v), 2) for v in std])


def emphasis(tracks, h, w, share):
    """[B, 1, T, h, w], 1 in the mean: how much a latent counts in the loss. A subject, small or large, counts `share` times as much again as the picture."""
    unit = min(h, w)
    y = (torch.arange(h, device=tracks.device) + 0.5 - h / 2).view(1, 1, h, 1) / unit
    x = (torch.arange(w, device=tracks.device) + 0.5 - w / 2).view(1, 1, 1, w) / unit
    cx, cy, r = (tracks[..., i, None, None].float() for i in range(3))
    near = torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.75 * r.abs() + 0.04) ** 2))
    return ((1 + share * near / near.mean((1, 2, 3), keepdim=True).clamp(min=0.08)) / (1 + share))[:, None]


# ---- training -----------------------------------------------------------------------------------


class Batches:
    """Latents of one shape and length a time, as many clips as make `batch_tokens`, with captions worded anew."""

    def __init__(self, preset, run, device, tok, encoder, subject):
        self.preset, self.device, self.tok, self.encoder, self.subject = preset, device, tok, encoder, subject
        self.groups = load(run / "latents.pt", device)
        self.keys = list(self.groups)
        # A channel counts by how far it moves the pixels: the latents are normalised, the decoder's input is not.
        std = load(run / "stats.pt", device)["std"]
        self.channels = (std / std.mean()).view(1, -1, 1, 1, 1)
        self.size = np.array([g["z"][:, 0].numel() for g in self.groups.values()], float)

    def odds(self, share):
        """How often each shape and length is drawn: what things look like is learned from single frames first, then from short clips."""
        of = np.array([frames for _, frames in self.keys])
        stills, short = of == 1, of == min(f for f in of if f > 1)
        size = self.size * np.where(short | stills | (share > 0.5), 1.0, 0.15)
        if not stills.any():
            return self.size / self.size.sum()
        part = 0.9 if share < 0.2 else 0.15 if share < 0.55 else 0.05
        return part * size * stills / size[stills].sum() + (1 - part) * size * ~stills / size[~stills].sum()

    def draw(self, rng, share, silent=0.1):
        g = self.groups[self.keys[rng.choice(len(self.keys), p=self.odds(share))]]
        _, _, t, h, w = g["z"].shape
        count = max(1, min(self.preset.batch_clips, self.preset.batch_tokens // (t * h * w // self.preset.patch**2)))
        pick = rng.integers(len(g["scenes"]), size=count)
        texts, said = zip(*[caption(g["scenes"][i], rng) if rng.random() >= silent else ("", {}) for i in pick])
        index = torch.from_numpy(pick).to(self.device)
        text, lengths = embed(self.encoder, self.tok, texts, TRAIN_LENGTH if self.device.type == "cuda" else None)
        near = emphasis(g["tracks"][index.to(g["tracks"].device)].to(self.device), h, w, self.subject)
        return g["z"][index].float(), g["moved"][index].float(), near, text, lengths, targets(said).to(self.device)

    def noised(self, x0):
        """Latents at a random time of the schedule that inference uses: x, sigma [B], and the velocity to predict."""
        v = torch.rand(len(x0), device=self.device)
        sigma = (self.preset.shift * v / (1 + (self.preset.shift - 1) * v)).clamp_(0.002, 0.999)
        s, noise = sigma.view(-1, 1, 1, 1, 1), torch.randn_like(x0)
        return (1 - s) * x0 + s * noise, sigma, noise - x0


def changing(error, weight):
    """How errors [B, z, T, h, w] differ from one time to the next: little where a thing only looks wrong, much where it moves wrongly."""
    return (error.diff(dim=2).square() * weight[:, :, 1:]).sum() / (2 * error.numel())


def optimisers(m, extra, lr):
    muon = [p for n, p in m.named_parameters() if p.dim() == 2 and "blocks." in n and p.shape[0] > 8]
    ids = {id(p) for p in muon}
    adam = [p for p in [*m.parameters(), *extra] if id(p) not in ids]
    return [Muon(muon, lr=lr), torch.optim.AdamW(adam, lr=lr * 0.1, betas=(0.9, 0.98), weight_decay=0.0)], adam


def most_tokens(preset):
    sides = [(h // 16 // preset.patch, w // 16 // preset.patch) for w, h in preset.sizes.values()]
    return [(max(preset.frames) - 1) // 4 + 1, max(h for h, _ in sides), max(w for _, w in sides)]


def train(args, distil=False):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    preset = dataclasses.replace(preset, batch_tokens=args.tokens or preset.batch_tokens)
    torch.set_num_threads(args.threads) if device.type == "cpu" else torch.set_float32_matmul_precision("high")
    if args.compile and device.type == "cuda":
        transformer.run_block = torch.compile(transformer.block_forward)
    clock = Clock(args.minutes, args.piece)
    tok, encoder = load_text(run, device)
    batches = Batches(preset, run, device, tok, encoder, args.subject)
    m, hints = new_transformer(preset).to(device), Hints(preset, most_tokens(preset)).to(device)
    path = run / ("student.pt" if distil else "transformer.pt")
    start = load(path, device) or (load(run / "transformer.pt", device) if distil else None)
    begun = bool(args.start) or bool(start and start.get("begun"))  # from weights, so it draws clips of all lengths at once
    if start and "hints" not in start:  # weights alone, of `export.py open`
        m.load_state_dict(start["ema"])
        begun, start = True, None
    elif args.start and not start:
        m.load_state_dict(transformer.of_patches(load_file(Path(args.start) / "diffusion_pytorch_model.safetensors"), preset))
    step, ema = 0, [p.detach().clone() for p in m.parameters()]
    if start:
        resumed = path.exists()
        m.load_state_dict(start["model"] if resumed else start["ema"])
        hints.load_state_dict(start["hints"])
        ema = [start["ema"][n].float().clone() for n, _ in m.named_parameters()]
        step, clock.spent = (start["step"], start["spent"]) if resumed else (0, 0.0)
    teacher = load_transformer(preset, run, device, "transformer.pt") if distil else None
    before = copy.deepcopy(m).eval().requires_grad_(False) if args.faithful else None
    usual = ((max(preset.frames) - 1) // 4 + 1, *(n // 16 for n in reversed(next(iter(preset.sizes.values())))))
    opts, adam = optimisers(m, hints.parameters(), args.lr)
    rng = np.random.default_rng([step, 4])
    torch.manual_seed(step + 1)
    since, mean = 0, None

    def checkpoint():
        note(run, "distill" if distil else "flow", step=step, spent=clock.spent, loss=mean[0], flow=mean[1], place=mean[2], said=mean[3], change=mean[4], moves=mean[5])
        print(f"step {step} {clock.spent:.0f} s  weighted {mean[0]:.4f}  plain {mean[1]:.4f}  place {mean[2]:.3f}  said {mean[3]:.3f}  change {mean[4]:.4f}  moves {mean[5]:.4f}", flush=True)
        names = [n for n, _ in m.named_parameters()]
        save(dict(model=half(m.state_dict()), ema=half(dict(zip(names, ema))), hints=half(hints.state_dict()), begun=begun, step=step, spent=clock.spent), path)

    while not since or not clock.over():  # a step at least, or there is nothing to keep
        set_rates(opts, rate(clock.share(), since))
        x0, moved, near, text, lengths, y = batches.draw(rng, 1.0 if distil or begun else clock.share(), 0.02 if distil else 0.1)
        x, sigma, v = batches.noised(x0)
        if distil:
            none, zero = embed(encoder, tok, [""] * len(x0), TRAIN_LENGTH)
            with torch.no_grad(), autocast(device):
                base = forward(teacher, x, sigma * 1000, none, zero)
                v = base + preset.guidance * (forward(teacher, x, sigma * 1000, text, lengths) - base)
        elif before and x.shape[2:] == usual:  # nothing to learn there, and nothing to forget
            with torch.no_grad(), autocast(device):
                v = forward(before, x, sigma * 1000, text, lengths).float()
        inside: dict = {}
        with autocast(device):
            pred = forward(m, x, sigma * 1000, text, lengths, inside.__setitem__)
            place, said, moves = hints(inside, x.shape[2:], y, moved, near)
        error, weight = pred - v, near * batches.channels
        flow, change = (error.square() * weight).mean(), changing(error, weight)
        loss = flow + args.change * change
        if not distil:
            loss = loss + args.hint * (1 - 0.8 * clock.share()) * (place + said) + args.moves * moves
        descend(loss, opts, adam)
        step, since = step + 1, since + 1
        keep = min(args.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(ema, [p.detach() for p in m.parameters()], 1 - keep)
        if step % 10 == 0 or mean is None:
            values = np.array([v.item() for v in (flow, error.square().mean(), place, said, change, moves)])
            mean = values if mean is None else 0.9 * mean + 0.1 * values
        if step % args.every == 0:
            checkpoint()
        clock.tick()
    checkpoint()


def load_transformer(preset: Preset, run: Path, device="cpu", name=None):
    """The smoothed weights: the student's where there is one."""
    path = run / (name or ("student.pt" if (run / "student.pt").exists() else "transformer.pt"))
    m = copy.deepcopy(new_transformer(preset))
    m.load_state_dict(load(path)["ema"])
    return m.to(device).eval().requires_grad_(False)


def guidance_of(preset: Preset, run: Path):
    """What `load_transformer` gives is to be sampled with."""
    return 1.0 if preset.distilled and (run / "student.pt").exists() else preset.guidance


# ---- looking ------------------------------------------------------------------------------------


@torch.no_grad()
def generate(preset: Preset, run: Path, prompts, device, seed=0, frames=None, shape=None, steps=None, guidance=None, parts=None):
    """Clips [B, 3, F, H, W] in [-1, 1] from prompts; `parts` are (transformer, tokenizer, text encoder, decoder) where loaded already."""
    m, tok, encoder, vae = parts or (load_transformer(preset, run, device), *load_text(run, device), load_vae(preset, run, device)[0])
    stats = load(run / "stats.pt", device)
    width, height = preset.sizes[shape or next(iter(preset.sizes))]
    size = (((frames or max(preset.frames)) - 1) // 4 + 1, height // 16, width // 16)
    text, lengths = embed(encoder, tok, prompts, TRAIN_LENGTH)
    none, zero = embed(encoder, tok, [""] * len(prompts), TRAIN_LENGTH)
    by = guidance_of(preset, run) if guidance is None else guidance
    with autocast(device):
        z = transformer.sample(m, text, lengths, none, zero, size, preset.z_dim, seed, steps or preset.steps, by, preset.shift, preset.stop)
        z = z * stats["std"].view(1, -1, 1, 1, 1) + stats["mean"].view(1, -1, 1, 1, 1)
        return torch.cat([decode(vae, one[None], timeless(vae)).float().clamp(-1, 1) for one in z])


PROMPTS = [
    *[text for text, _ in GUIDES],
    "a car",
    "a red kite glides to the right over a quiet harbour at dawn, static wide shot",
    "a blue sailboat sails to the right at golden hour",
    "a green hot-air balloon rises in the mountains at midday",
    "a yellow car drives to the left in the desert",
    "a lighthouse turns its light in the harbour at midnight",
    "an orange ball bounces on the beach at midday",
    "a person in a red coat waves in a meadow, dolly forward",
    "a black train rolls left through a snowfield, snow falling",
    "a pink butterfly flutters in the forest, camera pans right",
]


def contact_sheet(clips, path):
    """Six frames of each of the clips [3, F, H, W], a row a clip."""
    from PIL import Image

    rows = [torch.cat([clip[:, t] for t in np.linspace(0, clip.shape[1] - 1, 6).astype(int)], dim=2) for clip in clips]
    Image.fromarray(torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).permute(1, 2, 0).byte().cpu().numpy()).save(path)


def sample_sheet(args):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    torch.set_num_threads(1)
    prompts = args.prompt or PROMPTS
    batches = (generate(preset, run, prompts[i : i + 4], device, args.seed, args.frames, args.shape, args.steps, args.guidance) for i in range(0, len(prompts), 4))
    contact_sheet((clip for clips in batches for clip in clips), args.sheet)


def check(args):
    """The written-out forward pass against diffusers', with the text really padded to 512; and `--start` from larger patches."""
    preset = PRESETS[args.preset]
    m = new_transformer(preset)
    torch.manual_seed(3)
    for p in m.parameters():
        p.data.add_(0.02 * torch.randn_like(p))
    text, lengths = torch.randn(2, 7, preset.text_dim), torch.tensor([7, 4])
    text[1, 4:] = 0
    x, t = torch.randn(2, preset.z_dim, 3, 6, 10), torch.tensor([700.0, 30.0])
    padded = torch.cat([text, text.new_zeros(2, TEXT_LENGTH - 7, text.shape[2])], 1)
    with torch.no_grad():
        a, b = forward(m, x, t, text, lengths), m(x, t, padded, return_dict=False)[0]
    print("largest difference from diffusers' forward:", float((a - b).abs().max()), "of", float(b.abs().max()))
    if preset.patch > 1:
        return
    coarse = new_transformer(dataclasses.replace(preset, patch=2))
    with torch.no_grad():
        for p in coarse.parameters():
            p.add_(0.02 * torch.randn_like(p))
        m.load_state_dict(transformer.of_patches(coarse.state_dict(), preset))
        a = forward(m, x, t, text, lengths)
        b = forward(coarse, x.repeat_interleave(2, 3).repeat_interleave(2, 4), t, text, lengths).unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).mean((4, 6))
    print("and of weights of larger patches from themselves on every latent four times:", float((a - b).abs().max()), "of", float(b.abs().max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    stage = {}
    for name, call in (
        ("text", lambda a: train_text(PRESETS[a.preset], Path(a.run), a.minutes, the_device())),
        ("reword", lambda a: reword(PRESETS[a.preset], Path(a.run), a.minutes, the_device())),
        ("latents", cache_latents),
        ("flow", train),
        ("distill", lambda a: train(a, True)),
        ("sample", sample_sheet),
        ("check", check),
    ):
        stage[name] = sub.add_parser(name)
        stage[name].set_defaults(call=call)
        stage[name].add_argument("--preset", choices=PRESETS, default="gpu")
        stage[name].add_argument("--run", default="run")
    stage["text"].add_argument("--minutes", type=float, default=1)
    stage["reword"].add_argument("--minutes", type=float, default=1)
    stage["latents"].add_argument("--count", type=int, help="clips that a GPU draws")
    stage["latents"].add_argument("--begin", type=int, default=0, help="number of the first: to go on with clips that were never seen")
    for name, minutes, lr in (("flow", 10, 0.02), ("distill", 2, 0.004)):
        p = stage[name]
        p.add_argument("--minutes", type=float, default=minutes)
        p.add_argument("--piece", type=float)
        p.add_argument("--lr", type=float, default=lr)
        p.add_argument("--start", help="an exported transformer to begin with, of as many or more latents a token")
        p.add_argument("--hint", type=float, default=0.05)
        p.add_argument("--subject", type=float, default=1.2, help="weight of the subject, beside the picture's 1")
        p.add_argument("--change", type=float, default=1.0, help="weight of the errors' change over time")
        p.add_argument("--moves", type=float, default=0.2, help="weight of telling what moves in the clip without noise")
        p.add_argument("--ema", type=float, default=0.998)
        p.add_argument("--every", type=int, default=250, help="steps between checkpoints")
        p.add_argument("--tokens", type=int, help="a step, instead of the preset's: fewer for a CPU")
        p.add_argument("--threads", type=int, default=1)
        p.add_argument("--no-compile", dest="compile", action="store_false")
    stage["distill"].set_defaults(faithful=False)
    stage["flow"].add_argument("--faithful", action="store_true", help="learn other shapes and lengths, and of the default ones what the weights know when this call begins")
    p = stage["sample"]
    p.add_argument("--prompt", action="append")
    p.add_argument("--sheet", required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--frames", type=int)
    p.add_argument("--shape")
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
