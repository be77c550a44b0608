"""Learns the encoder anew for a decoder that is shipped without one: whoever goes on from an exported folder needs it.

    python export.py open --preset gpu --run run --model weights
    python encoder.py --preset gpu --run run --minutes 10 --threads 2

First from clips that the transformer makes without guidance, whose latents are known; then through the decoder, which
stays as it is, from renders. What it learns is kept in run/vae.pt.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch

import data
from optim import Clock, Muon, descend, half, load, note, rate, save, set_rates
from presets import PRESETS
from text import TRAIN_LENGTH, embed, load_text
from train import load_transformer, the_device
from train_vae import Pixels, autocast, load_vae, loss_of, picture, psnr, split_params
from transformer import sample
from vae import decode
from world.captions import caption


def made(preset, run, vae, stats, device, count):
    """Clips uint8 [1, F, H, W, 3] and the latents [1, z, T, h, w] they are decoded from; kept in run/made.pt."""
    kept = load(run / "made.pt", device) or []
    m, (tok, encoder) = load_transformer(preset, run, device), load_text(run, device)
    mean, std = (stats[k].view(1, -1, 1, 1, 1) for k in ("mean", "std"))
    none, zero = embed(encoder, tok, [""], TRAIN_LENGTH)
    rng, jobs = np.random.default_rng(8), list(data.plan(preset, "train", data.GROUP * count))
    for i, (_, _, first, _, shape, frames, _) in enumerate(jobs[len(kept):], len(kept)):
        width, height = preset.sizes[shape]
        text, long = embed(encoder, tok, [caption(data.scene_of(preset, "train", first), rng)[0]], TRAIN_LENGTH)
        with torch.no_grad(), autocast(device):
            z = sample(m, text, long, none, zero, ((frames - 1) // 4 + 1, height // 16, width // 16), preset.z_dim, i, preset.steps, 1.0, preset.shift)
            clip = decode(vae, z * std + mean).float().clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 4, 1)
        kept.append((clip, z.half()))
        if i % 20 == 19:
            print(f"{i + 1} of {count} clips are made", flush=True)
            save(kept, run / "made.pt")
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="gpu")
    parser.add_argument("--run", default="run")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--made", type=int, default=100, help="clips the transformer makes")
    parser.add_argument("--renders", type=int, default=400, help="clips drawn, where none are yet")
    parser.add_argument("--known", type=float, default=0.5, help="share of the time on clips of known latents alone")
    parser.add_argument("--lr", type=float, default=0.008)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    torch.set_num_threads(args.threads)
    vae, enc = load_vae(preset, run, device)
    stats = load(run / "stats.pt", device)
    mean, std = (stats[k].view(1, -1, 1, 1, 1) for k in ("mean", "std"))
    clips = made(preset, run, vae, stats, device, args.made)
    pixels = Pixels(dataclasses.replace(preset, stills=0.0, clips=args.renders, default=0), run, device, args.renders)
    batch, frames, side = preset.vae_batch
    held = pixels.crops(np.random.default_rng(0), 8, frames, side)
    enc.train().requires_grad_(True)
    muon, adam = split_params([(f"encoder.{n}", p) for n, p in enc.named_parameters()])
    opts = [Muon(muon, lr=args.lr), torch.optim.AdamW(adam, lr=args.lr * 0.15, betas=(0.9, 0.97), weight_decay=0.0)]
    rng, clock, step, away = np.random.default_rng(6), Clock(args.minutes, None), 0, None

    def checkpoint():
        with torch.no_grad(), autocast(device):
            value = psnr(decode(vae, enc(held)), held)
        note(run, "encoder", step=step, spent=clock.spent, away=away, fixed=value)
        print(f"step {step} {clock.spent:.0f} s  latents {away:.4f} away, eight fixed crops {value:.2f} dB", flush=True)
        save(load(run / "vae.pt") | dict(enc=half(enc.state_dict())), run / "vae.pt")

    while not clock.over():
        set_rates(opts, rate(clock.share(), step))
        clip, z = clips[rng.integers(len(clips))]
        with autocast(device):
            loss = apart = (((enc(data.to_float(clip)) - mean) / std - z.float()).square() * std / std.mean()).mean()
        if clock.share() > args.known:
            x = pixels.crops(rng, batch, frames, side)
            with autocast(device):
                y = enc(x)
                loss = loss + loss_of(x, decode(vae, y), y)
        descend(loss, opts, adam)
        step += 1
        away = apart.item() if away is None else 0.98 * away + 0.02 * apart.item()
        if step % args.every == 0:
            checkpoint()
        clock.tick()
    checkpoint()
    picture(preset, run, device)


if __name__ == "__main__":
    main()
