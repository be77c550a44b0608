"""The flow-matching loss of runs on clips that no training has seen: the same clips, captions, noise and times for all, so that small differences count.

    python compare.py --run a --run b [--clips 96] [--shape portrait]

A training of few clips a step wanders; this tells within a minute whether it went anywhere, where `evaluate.py` takes half an hour for 200 clips
and is a few of them up or down by chance. Clips come from the split `held`, after those that `evaluate.py` asks for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import data
from optim import load
from presets import PRESETS
from text import embed, load_text
from train import changing, emphasis, load_transformer, the_device
from train_vae import autocast, load_vae
from transformer import forward
from world.captions import caption

FIRST = 5000  # number of the first clip
TOGETHER = 8


@torch.no_grad()
def held_latents(preset, run: Path, shape: str, count: int, device):
    """The longest clips of a shape, a few together: normalised latents [N, z, T, h, w], scenes, and tracks at the latents' times."""
    _, enc = load_vae(preset, run, device)
    stats, frames = load(run / "stats.pt", device), max(preset.frames)
    kept = []
    for first in range(FIRST, FIRST + count, TOGETHER):
        g = data.draw(preset, [data.scene_of(preset, "held", i) for i in range(first, min(first + TOGETHER, FIRST + count))], shape, frames, device)
        with autocast(device):
            z = enc(data.to_float(g.clips)).float()
        z = (z - stats["mean"].view(1, -1, 1, 1, 1)) / stats["std"].view(1, -1, 1, 1, 1)
        kept.append((z, g.scenes, torch.from_numpy(g.tracks[:, [max(0, 4 * i - 2) for i in range((frames - 1) // 4 + 1)]]).to(device)))
    return kept


@torch.no_grad()
def losses(preset, run: Path, latents, subject: float, device):
    """Means over clips: the loss with a channel and the subject weighed as in training, plain, and that of the errors' change over time."""
    m, (tok, encoder) = load_transformer(preset, run, device), load_text(run, device)
    std = load(run / "stats.pt", device)["std"]
    channels = (std / std.mean()).view(1, -1, 1, 1, 1)
    rng, lot = np.random.default_rng(5), torch.Generator().manual_seed(9)
    sums, count = np.zeros(3), 0
    for x0, scenes, tracks in latents:
        n = len(scenes)
        text, lengths = embed(encoder, tok, [caption(s, rng, 0.8)[0] for s in scenes])
        v = (torch.arange(n) + torch.rand(n, generator=lot)) / n  # all times of the schedule alike
        sigma = (preset.shift * v / (1 + (preset.shift - 1) * v)).clamp(0.002, 0.999).to(device)
        s, noise = sigma.view(-1, 1, 1, 1, 1), torch.randn(x0.shape, generator=lot).to(device)
        with autocast(device):
            error = forward(m, (1 - s) * x0 + s * noise, sigma * 1000, text, lengths).float() - (noise - x0)
        weight = emphasis(tracks, *x0.shape[-2:], subject) * channels
        sums += n * np.array([v.item() for v in ((error.square() * weight).mean(), error.square().mean(), changing(error, weight))])
        count += n
    return sums / count


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=PRESETS, default="gpu")
    p.add_argument("--run", action="append", required=True, help="again for each run; the first one's autoencoder makes the latents")
    p.add_argument("--shape", help="instead of the default one")
    p.add_argument("--clips", type=int, default=96)
    p.add_argument("--subject", type=float, default=2.0, help="weight of the subject, as in `train.py flow`")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    preset, device, runs = PRESETS[args.preset], the_device(), [Path(r) for r in args.run]
    latents = held_latents(preset, runs[0], args.shape or next(iter(preset.sizes)), args.clips, device)
    for run in runs:
        print(f"{run}: weighted {{:.4f}}  plain {{:.4f}}  change {{:.4f}}".format(*losses(preset, run, latents, args.subject, device)), flush=True)


if __name__ == "__main__":
    main()
