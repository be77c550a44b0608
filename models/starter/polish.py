"""Goes on with the decoder alone, on latents as the transformer leaves them: what is shipped decodes nothing else.

    python polish.py --preset cpu --run run --minutes 20 --threads 2

Latents of renders are noised a part of the way, and the transformer repairs them; the decoder learns to make the
render of both. So what the transformer gets wrong from one latent to the next shows less as flicker. The encoder
stays as it is, and with it all latents: the transformer may be trained before, after and at the same time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
from matching import costs, lengths
from optim import Clock, Muon, descend, half, load, note, rate, save, set_rates
from presets import PRESETS
from text import TRAIN_LENGTH, embed, load_text
from train import guidance_of, load_transformer, the_device
from train_vae import autocast, load_vae, loss_of, picture, psnr, split_params
from transformer import forward
from vae import BLOCK, decode
from world.captions import caption

FARTHEST = 0.6  # sigma up to which latents are noised


def followed(x, e, block=8, reach=4):
    """The change of errors [B, 3, F, H, W] from frame to frame, seen by who follows what moves in the clips x, block by block."""
    (h, w), n = x.shape[3:], 2 * reach + 1
    flat = lambda v: v.movedim(2, 1).flatten(0, 1)
    cost = costs(flat(x[:, :, :-1]), flat(x[:, :, 1:]), reach, block) + 1e-4 * lengths(reach, x.device)
    at = cost.argmin(1).repeat_interleave(block, 1).repeat_interleave(block, 2)
    rows, columns = torch.arange(h, device=x.device).view(1, h, 1) + at // n, torch.arange(w, device=x.device) + at % n
    index = (rows * (w + 2 * reach) + columns).flatten(1)[:, None].expand(-1, 3, -1)
    past = F.pad(flat(e[:, :, :-1]), (reach,) * 4, mode="replicate").flatten(2).gather(2, index).view(-1, 3, h, w)
    return flat(e[:, :, 1:]) - past


class Repaired:
    """Clips as uint8 with two kinds of latents [z, T, h, w], the encoder's and the repaired, by their number of frames."""

    def __init__(self, preset, run, device, enc, count, steps=3):
        stats = load(run / "stats.pt", device)
        mean, std = (stats[k].view(1, -1, 1, 1, 1) for k in ("mean", "std"))
        m, (tok, encoder) = load_transformer(preset, run, device), load_text(run, device)
        source, share = data.groups(data.plan(preset, "train", 4 * count), device), 1.0
        if device.type == "cpu":
            source = [*data.drawn(run)]
            share = 4 * count / sum(len(g.scenes) for g in source)
        by, rng, self.clips = guidance_of(preset, run), np.random.default_rng(5), {}
        late = 1 - preset.stop
        guided = preset.shift * late / (1 + (preset.shift - 1) * late)  # sigma down to which sampling is
        torch.manual_seed(5)
        for g in source:
            frames = g.clips.shape[1]
            if frames == 1 or rng.random() > share:
                continue
            with torch.no_grad(), autocast(device):
                z = (enc(data.to_float(g.clips)).float() - mean) / std
                text, long = embed(encoder, tok, [caption(s, rng)[0] for s in g.scenes], TRAIN_LENGTH)
                none, zero = embed(encoder, tok, [""] * len(z), TRAIN_LENGTH)
                sigma = FARTHEST * torch.rand(len(z), device=device)
                s = sigma.view(-1, 1, 1, 1, 1)
                x = (1 - s) * z + s * torch.randn_like(z)
                for i in range(steps):
                    at = 1000 * sigma * (1 - i / steps)
                    v = forward(m, x, at, text, long)
                    if by != 1.0 and guided < FARTHEST:
                        base = forward(m, x, at, none, zero)
                        v = torch.where(at.view(-1, 1, 1, 1, 1) > 1000 * guided, base + by * (v - base), v)
                    x = x - s / steps * v
            kept = self.clips.setdefault(frames, [])
            kept += zip(g.clips, (z * std + mean).half(), (x * std + mean).half())
            if sum(map(len, self.clips.values())) >= count:
                break
        self.odds = np.array([f * len(c) for f, c in self.clips.items()], float)

    def crops(self, rng, pixels, side):
        """As many whole clips as make `pixels`, cut to squares: [B, 3, F, side, side] in [-1, 1], and the latents, half of each kind."""
        frames = list(self.clips)[rng.choice(len(self.clips), p=self.odds / self.odds.sum())]
        out, latents = [], []
        for _ in range(max(1, pixels // (frames * side * side))):
            clip, *kinds = self.clips[frames][rng.integers(len(self.clips[frames]))]
            y, x = (rng.integers((n - side) // BLOCK + 1) for n in clip.shape[1:3])
            n = side // BLOCK
            out.append(clip[:, y * BLOCK : y * BLOCK + side, x * BLOCK : x * BLOCK + side])
            latents.append(kinds[rng.integers(2)][:, :, y : y + n, x : x + n])
        return data.to_float(torch.stack(out)), torch.stack(latents).float()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="gpu")
    parser.add_argument("--run", default="run")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--clips", type=int, default=600, help="that are repaired")
    parser.add_argument("--lr", type=float, default=0.004)
    parser.add_argument("--noise", type=float, default=0.08, help="on the latents")
    parser.add_argument("--steady", type=float, default=6.0, help="weight of the errors' change from frame to frame")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    torch.set_num_threads(args.threads)
    vae, enc = load_vae(preset, run, device)
    repaired = Repaired(preset, run, device, enc, args.clips)
    print({f: len(c) for f, c in repaired.clips.items()}, "clips are repaired", flush=True)
    vae.train().requires_grad_(True)
    saved = load(run / "vae.pt")
    muon, adam = split_params(vae.named_parameters())
    opts = [Muon(muon, lr=args.lr), torch.optim.AdamW(adam, lr=args.lr * 0.15, betas=(0.9, 0.97), weight_decay=0.0)]
    batch, frames, side = preset.vae_batch
    pixels = batch * frames * side * side // 2
    side = min(64, side)
    rng, clock, step, mean = np.random.default_rng(6), Clock(args.minutes, None), 0, None

    def checkpoint():
        note(run, "polish", step=saved["step"] + step, spent=clock.spent, train=mean)
        print(f"step {step} {clock.spent:.0f} s  crops {mean:.2f} dB", flush=True)
        save(saved | dict(vae=half(vae.state_dict()), step=saved["step"] + step), run / "vae.pt")

    while not clock.over():
        set_rates(opts, rate(clock.share(), step))
        x, z = repaired.crops(rng, pixels, side)
        with autocast(device):
            y = decode(vae, z + args.noise * torch.randn_like(z))
        descend(loss_of(x, y, z) + args.steady * followed(x, y.float() - x).abs().mean(), opts, adam)
        step += 1
        if step % 10 == 0 or mean is None:
            value = psnr(y.detach(), x)
            mean = value if mean is None else 0.9 * mean + 0.1 * value
        if step % args.every == 0:
            checkpoint()
        clock.tick()
    checkpoint()
    picture(preset, run, device)


if __name__ == "__main__":
    main()
