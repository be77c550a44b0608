"""Trains the autoencoder on crops of drawn clips. Resumable: run it again until its budget is spent.

    python train_vae.py train --preset gpu --run run --minutes 5 [--piece 8]
    python train_vae.py check --preset gpu --run run        # decode against AutoencoderKLWan.decode

`--minutes` is the whole budget, which the learning rate follows; `--piece` ends this call earlier.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan

import data
from optim import Clock, Muon, descend, fast_bf16, half, load, note, rate, save, set_rates
from presets import PRESETS, Preset
from vae import Encoder, decode, new_decoder, timeless
from world.stage import CELL

PIXEL_CLIPS = 4000  # kept as pixels on a GPU; the transformer sees many more, as latents


def models(preset: Preset, device):
    device = torch.device(device)
    torch.manual_seed(0)
    vae = new_decoder(preset).to(device)
    if device.type == "cuda":
        for p in vae.parameters():
            if p.dim() == 5:
                p.data = p.data.contiguous(memory_format=torch.channels_last_3d)
    return vae, Encoder(preset.z_dim, preset.encoder, preset.name != "smoke").to(device)


def load_vae(preset: Preset, run: Path, device="cpu"):
    vae, enc = models(preset, device)
    saved = load(run / "vae.pt", device)
    vae.load_state_dict(saved["vae"])
    enc.load_state_dict(saved["enc"])
    return vae.eval().requires_grad_(False), enc.eval().requires_grad_(False)


def autocast(device):
    return torch.autocast(device.type, torch.bfloat16) if fast_bf16(device) else contextlib.nullcontext()


class Pixels:
    """Clips as uint8, with the tracks of their subjects: on the GPU, or in the files of `data.drawn`."""

    def __init__(self, preset: Preset, run: Path, device, count: int):
        if device.type == "cuda":
            source = data.groups(data.plan(preset, "train", count), device)
        else:
            data.draw_files(preset, run, count)
            source = data.drawn(run)
        self.clips = [(clip, track) for g in source for clip, track in zip(g.clips, g.tracks)]
        self.longest = max(len(track) for _, track in self.clips)

    def crops(self, rng, batch, frames, side):
        """[B, 3, frames, side, side] in [-1, 1]; three of four around the subject, which is what moves."""
        out = []
        while len(out) < batch:
            clip, track = self.clips[int(rng.integers(len(self.clips)))]
            n, h, w = clip.shape[:3]
            if n < frames:
                continue
            t = 4 * int(rng.integers(0, (n - frames) // 4 + 1))
            y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
            if rng.random() < 0.75:
                cx, cy, _ = track[t + frames // 2] * min(w, h) + (w / 2, h / 2, 0)
                at = np.array([cy, cx]) - side / 2 + rng.uniform(-0.2, 0.2, 2) * side
                y, x = (int(v) for v in np.clip(at, 0, [h - side, w - side]))
            y, x = y // CELL * CELL, x // CELL * CELL  # what moves meets the latents as it does in a whole clip
            out.append(clip[t : t + frames, y : y + side, x : x + side])
        return data.to_float(torch.stack(out))


def split_params(named):
    """Matrices and kernels for Muon; biases, gains, and thin or final layers for AdamW."""
    muon, adam = [], []
    for name, p in named:
        thin = p.dim() < 2 or min(p.shape[0], p.flatten(1).shape[1]) < 16
        (adam if thin or any(k in name for k in ("conv_out", "post_quant", "encoder.tower.0")) else muon).append(p)
    return muon, adam


def psnr(a, b):
    return float(-10 * torch.log10(F.mse_loss(a.float().clamp(-1, 1), b) / 4))


def loss_of(x, y, z):
    """L1 with a round tip, the same for differences of neighbours (edges), squares, and a small pull of latents to zero.

    Squares are what makes rain and snow worth their latents: a thin thing costs the others next to nothing.
    """
    e = y.float() - x
    edges = (e[..., 1:] - e[..., :-1]).abs().mean() + (e[..., 1:, :] - e[..., :-1, :]).abs().mean()
    still = (e[:, :, 1:] - e[:, :, :-1]).abs().mean() if e.shape[2] > 1 else 0.0
    return (e.square() + 0.0025).sqrt().mean() + 2 * e.square().mean() + 0.5 * edges + 0.25 * still + 0.002 * z.float().square().mean()


def train(args):
    preset, run = PRESETS[args.preset], Path(args.run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(args.threads) if device.type == "cpu" else torch.set_float32_matmul_precision("high")
    run.mkdir(parents=True, exist_ok=True)
    clock = Clock(args.minutes, args.piece)
    vae, enc = models(preset, device)
    named = [*vae.named_parameters(), *[(f"encoder.{n}", p) for n, p in enc.named_parameters()]]
    muon, adam = split_params(named)
    opts = [Muon(muon, lr=args.lr), torch.optim.AdamW(adam, lr=args.lr * 0.15, betas=(0.9, 0.97), weight_decay=0.0)]
    step = 0
    if saved := load(run / "vae.pt", device):
        vae.load_state_dict(saved["vae"])
        enc.load_state_dict(saved["enc"])
        step, clock.spent = saved["step"], saved["spent"]
    since, mean, lean = 0, None, device.type == "cpu" and timeless(vae)
    pixels = Pixels(preset, run, device, PIXEL_CLIPS if device.type == "cuda" else preset.clips)
    rng = np.random.default_rng([step, 3])
    torch.manual_seed(step + 1)
    batch, frames, side = preset.vae_batch
    held = pixels.crops(np.random.default_rng(0), 8, frames, side)

    def checkpoint():
        with torch.no_grad(), autocast(device):
            value = psnr(decode(vae, enc(held), timeless(vae)), held)
        note(run, "vae", step=step, spent=clock.spent, train=mean, fixed=value)
        print(f"step {step} {clock.spent:.0f} s  crops {mean:.2f} dB, eight fixed ones {value:.2f} dB", flush=True)
        save(dict(vae=half(vae.state_dict()), enc=half(enc.state_dict()), step=step, spent=clock.spent), run / "vae.pt")

    while not since or not clock.over():  # a step at least, or there is nothing to keep
        set_rates(opts, rate(clock.share(), since))
        # Single frames now and then: the first latent frame of every clip is one.
        # Longer crops, smaller ones, teach the convolutions over time what a longer past looks like.
        longer = (batch, min(2 * frames - 1, pixels.longest), side // 2)
        x = pixels.crops(rng, *((4 * batch, 1, side) if step % 8 == 7 else longer if step % 2 else preset.vae_batch))
        with autocast(device):
            z = enc(x)
            # The past at full resolution triples the work: it is learned last, on a CPU by polish.py.
            y = decode(vae, z + args.noise * torch.randn_like(z), lean or device.type == "cuda" and clock.share() < 0.6)
        descend(loss_of(x, y, z), opts, adam)
        step, since = step + 1, since + 1
        if step % 20 == 0 or mean is None:
            value = psnr(y.detach(), x)
            mean = value if mean is None else 0.8 * mean + 0.2 * value
        if step % args.every == 0:
            checkpoint()
        clock.tick()
    checkpoint()
    picture(preset, run, device)


def picture(preset, run, device):
    """Renders above what becomes of them, written beside the checkpoint."""
    from PIL import Image

    vae, enc = load_vae(preset, run, device)
    shape = next(iter(preset.sizes))
    rows = []
    for g in data.groups(data.plan(preset, "test", 4, min(33, max(preset.frames)), shape), device, 0):
        x = data.to_float(g.clips)
        with torch.no_grad(), autocast(device):
            y = torch.cat([decode(vae, enc(c[None]), timeless(vae)) for c in x]).float()
        print(f"unseen clips {psnr(y, x):.2f} dB")
        note(run, "vae test", step=0, psnr=psnr(y, x))
        for clip in (c for pair in zip(x, y) for c in pair):
            rows.append(torch.cat([clip[:, t] for t in np.linspace(0, clip.shape[1] - 1, 4).astype(int)], dim=2))
    sheet = torch.cat(rows, 1).clamp(-1, 1).add(1).mul(127.5).permute(1, 2, 0).byte().cpu().numpy()
    Image.fromarray(sheet).save(run / "vae.png")


def check(args):
    preset, run = PRESETS[args.preset], Path(args.run)
    vae = load_vae(preset, run)[0] if (run / "vae.pt").exists() else new_decoder(preset)
    torch.manual_seed(1)
    z = torch.randn(1, preset.z_dim, 4, 3, 4)
    full = AutoencoderKLWan(**preset.vae())
    full.load_state_dict(vae.state_dict(), strict=False)
    with torch.no_grad():
        a, b = decode(vae, z).clamp(-1, 1), full.decode(z, return_dict=False)[0]
    print("largest difference from diffusers' decode:", float((a - b).abs().max()), tuple(b.shape))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("train")
    p.set_defaults(call=train)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--piece", type=float, help="minutes after which this call ends")
    p.add_argument("--lr", type=float, default=0.008)
    p.add_argument("--noise", type=float, default=0.08)
    p.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    p.add_argument("--threads", type=int, default=1)
    q = sub.add_parser("check")
    q.set_defaults(call=check)
    for r in (p, q):
        r.add_argument("--preset", choices=PRESETS, default="gpu")
        r.add_argument("--run", default="run")
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
