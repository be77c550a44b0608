"""Trains the starter's autoencoder: diffusers' own `WanDecoder3d`, and an encoder that is not shipped.

The decoder is exactly the one that inference runs, parameter for parameter; only its forward pass is
written for whole clips at once (causal convolutions over time need no cache then), which gives the
same values as diffusers' frame-by-frame decoding (`check` compares them). The encoder is a small patch
network instead of Wan's: text-to-video never runs it, and on a CPU it costs next to nothing.

    python train_vae.py render --out DATA --count 3000      # clips to disk
    python train_vae.py train --data DATA --out DIR --minutes 35
    python train_vae.py check --out DIR                     # against AutoencoderKLWan.decode
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import nn

import world

CONFIG = dict(
    base_dim=16, z_dim=20, dim_mult=[1, 1, 2, 2], num_res_blocks=1, attn_scales=[],
    temperal_downsample=[False, True, True], dropout=0.0, is_residual=True, patch_size=2,
    in_channels=12, out_channels=12, scale_factor_temporal=4, scale_factor_spatial=16,
    latents_mean=[0.0] * 20, latents_std=[1.0] * 20,
)
RGB_SCALE = 0.5  # of colours in [-1, 1], about their standard deviation
BLOCK = 16  # pixels a latent covers in each direction; in time it is 4


def new_decoder() -> AutoencoderKLWan:
    """Wan's autoencoder without its encoder, started near a linear one.

    The default initialisation loses the picture in nine normalised blocks. Here every residual branch
    starts at zero and the path around the branches interpolates linearly, so that the first three
    latent channels are a blurred RGB picture from the first step on.
    """
    vae = AutoencoderKLWan(**CONFIG)
    vae.encoder, vae.quant_conv = None, None
    d = vae.decoder
    smooth = torch.tensor([0.25, 0.5, 0.25])
    smooth = smooth[:, None] * smooth[None, :]  # after nearest upsampling: linear interpolation
    delta = torch.zeros(3, 3)
    delta[1, 1] = 1

    with torch.no_grad():
        vae.post_quant_conv.weight.copy_(torch.eye(CONFIG["z_dim"])[:, :, None, None, None])
        vae.post_quant_conv.bias.zero_()
        # Channels 2c and 2c + 1 carry colour c (the last upsampling makes two rows of them), the next
        # six their negatives, and 14 and 15 are kept empty for a constant.
        d.conv_in.weight[:16] = 0
        for c in range(3):
            d.conv_in.weight[2 * c : 2 * c + 2, c, 2, 1, 1] = RGB_SCALE
            d.conv_in.weight[6 + 2 * c : 8 + 2 * c, c, 2, 1, 1] = -RGB_SCALE
        d.conv_in.bias[:16] = 0
        for block in [*d.mid_block.resnets, *[r for b in d.up_blocks for r in b.resnets]]:
            block.conv2.weight.zero_()
            block.conv2.bias.zero_()
        for a in d.mid_block.attentions:
            a.proj.weight.zero_()
            a.proj.bias.zero_()
        for i, b in enumerate(d.up_blocks[:3]):
            kept, empty = (12, slice(12, 16)) if i < 2 else (6, slice(6, 8))
            shortcut = b.resnets[0].conv_shortcut
            if not isinstance(shortcut, nn.Identity):
                shortcut.weight[:8] = 0
                shortcut.bias[:8] = 0
                for c in range(6):
                    shortcut.weight[c, 2 * c] = 1
            conv = b.upsampler.resample[1]
            conv.weight.mul_(0.5)
            for rows in (slice(0, kept), empty):
                conv.weight[rows] = 0
                conv.bias[rows] = 0
            for c in range(kept):
                conv.weight[c, c] = smooth - delta  # the block's own shortcut adds delta
            if hasattr(b.upsampler, "time_conv"):
                w, n = b.upsampler.time_conv.weight, b.upsampler.dim
                for c in range(kept):
                    w[[c, n + c]] = 0
                    w[c, c, 2] = w[n + c, c, 2] = 1
                    b.upsampler.time_conv.bias[[c, n + c]] = 0
        # The last norm divides by the length over channels: a constant channel keeps that nearly
        # constant, and silu(a) - silu(-a) = a makes the head linear.
        d.up_blocks[2].upsampler.resample[1].bias[7] = 4.0
        # Output channel 4c + 2a + b is colour c of column a and row b of a 2 x 2 patch.
        near = {0: torch.tensor([0.25, 0.75, 0.0]), 1: torch.tensor([0.0, 0.75, 0.25])}
        d.conv_out.weight.mul_(0.2)
        d.conv_out.bias.zero_()
        d.conv_out.weight[:, :8] = 0
        for c in range(3):
            for a in (0, 1):
                for b in (0, 1):
                    k = near[b][:, None] * near[a][None, :]
                    d.conv_out.weight[4 * c + 2 * a + b, c, 2] = k
                    d.conv_out.weight[4 * c + 2 * a + b, 3 + c, 2] = -k
        # `causal(…, flat=True)` trains the newest tap alone.
        for conv in [d.conv_out, *[c for b in d.up_blocks[2:] for r in b.resnets for c in (r.conv1, r.conv2)]]:
            conv.weight[:, :, :2] = 0
    return vae


def rms(norm, x):
    return x * (torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-12) * norm.scale) * norm.gamma


def causal(conv, x, flat=False):
    """A causal 3-D convolution over a whole clip. `flat` uses the newest tap alone, as a 2-D convolution.

    At full resolution only that tap is trained and the other two stay zero: a third of the work.
    """
    w = conv.weight
    if w.shape[2:] == (1, 1, 1):
        return F.conv3d(x, w, conv.bias)
    if flat or x.shape[2] == 1:
        b, c, t, h, wd = x.shape
        y = F.conv2d(x.transpose(1, 2).reshape(b * t, c, h, wd), w[:, :, -1], conv.bias, padding=1)
        return y.reshape(b, t, -1, h, wd).transpose(1, 2)
    return F.conv3d(F.pad(x, (0, 0, 0, 0, 2, 0)), w, conv.bias, padding=(0, 1, 1))


def resnet(block, x, flat=False):
    h = causal(block.conv1, F.silu(rms(block.norm1, x)), flat)
    h = causal(block.conv2, F.silu(rms(block.norm2, h)), flat)
    return block.conv_shortcut(x) + h


def upsample(up, x):
    if hasattr(up, "time_conv") and x.shape[2] > 1:
        # The first latent frame passes as it is; the history of the second is zero, not the first.
        rest = F.conv3d(F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)), up.time_conv.weight, up.time_conv.bias)
        b, c2, t, h, w = rest.shape
        rest = rest.reshape(b, 2, c2 // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c2 // 2, 2 * t, h, w)
        x = torch.cat([x[:, :, :1], rest], dim=2)
    b, c, t, h, w = x.shape
    y = x.transpose(1, 2).reshape(b * t, c, h, w)
    y = y[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(b * t, c, 2 * h, 2 * w)
    conv = up.resample[1]
    y = F.conv2d(y, conv.weight, conv.bias, padding=1)
    return y.reshape(b, t, -1, 2 * h, 2 * w).transpose(1, 2)


def decode(vae, z):
    """Latents [B, z, T, h, w] to frames [B, 3, 4T - 3, 16h, 16w] in [-1, 1], not clamped."""
    d = vae.decoder
    x = causal(d.conv_in, causal(vae.post_quant_conv, z))
    x = resnet(d.mid_block.resnets[0], x)
    x = d.mid_block.attentions[0](x)
    x = resnet(d.mid_block.resnets[1], x)
    for i, block in enumerate(d.up_blocks):
        start, flat = x, i >= 2
        for r in block.resnets:
            x = resnet(r, x, flat)
        if block.upsampler is not None:
            x = upsample(block.upsampler, x) + block.avg_shortcut(start, first_chunk=True)
    x = causal(d.conv_out, F.silu(rms(d.norm_out, x)), True)
    return unpatchify(x, CONFIG["patch_size"])


class Encoder(nn.Module):
    """Frames [B, 3, 4T - 3, 16h, 16w] to latents [B, z, T, h, w] of about unit variance.

    Blocks of 4 x 16 x 16 pixels, a linear map and two convolutions over neighbouring blocks; the first
    frame counts as four equal ones. Noise on the latents and a penalty on their squares fix the scale.
    """

    def __init__(self, z_dim=CONFIG["z_dim"], hidden=192):
        super().__init__()
        n = 3 * 4 * BLOCK * BLOCK
        self.linear = nn.Conv2d(n, z_dim, 1)
        self.fold = nn.Conv2d(n, hidden, 1)
        self.mid = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, z_dim, 3, padding=1)
        with torch.no_grad():
            self.fold.weight.mul_(2)
            self.out.weight[:3] *= 0.1
            self.linear.weight[:3] = 0
            for c in range(3):
                self.linear.weight[c].view(3, n // 3)[c] = 3 / n / RGB_SCALE
            self.linear.bias[:3] = 0
            self.out.bias.zero_()

    def forward(self, x):
        b, c, t, h, w = x.shape
        x = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1, -1), x], dim=2)
        n, h, w = x.shape[2] // 4, h // BLOCK, w // BLOCK
        x = x.reshape(b, 3, n, 4, h, BLOCK, w, BLOCK).permute(0, 2, 1, 3, 5, 7, 4, 6).reshape(b * n, -1, h, w)
        y = F.silu(self.fold(x))
        y = self.out(F.silu(self.mid(y) + y))
        z = self.linear(x) + y
        return z.reshape(b, n, -1, h, w).transpose(1, 2)


# ---- data ---------------------------------------------------------------------------------------


def render(args):
    """Clips as uint8 into one memory-mapped array, their scenes beside them; training may read the first ones already."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    shape = (args.count, world.FRAMES, world.HEIGHT, world.WIDTH, 3)
    clips = np.lib.format.open_memmap(out / "clips.npy", mode="w+", dtype=np.uint8, shape=shape)
    scenes = []
    for i in range(args.count):
        scene = world.sample_scene(np.random.default_rng([7, i]))
        clips[i] = world.render(scene)
        scenes.append(scene)
        if i % 20 == 19 or i + 1 == args.count:
            (out / "scenes.tmp").write_bytes(pickle.dumps(scenes))
            (out / "scenes.tmp").rename(out / "scenes.pkl")


def load_clips(folder):
    folder = Path(folder)
    return np.load(folder / "clips.npy", mmap_mode="r"), pickle.loads((folder / "scenes.pkl").read_bytes())


def crops(clips, scenes, rng, batch, frames, h, w):
    """Random crops [B, 3, frames, h, w] in [-1, 1], three of four around the subject: it is what moves."""
    out = np.empty((batch, frames, h, w, 3), np.uint8)
    for b in range(batch):
        i = rng.integers(len(scenes))
        t = rng.integers(0, clips.shape[1] - frames + 1)
        y, x = rng.integers(0, clips.shape[2] - h + 1), rng.integers(0, clips.shape[3] - w + 1)
        if rng.random() < 0.75:
            k = t + frames // 2
            cx, cy = world.path_of(scenes[i], k / (world.FRAMES - 1) - 0.5, k / world.FPS)
            at = np.array([cy * world.HEIGHT - h / 2, cx * world.HEIGHT - w / 2]) + rng.uniform(-12, 12, 2)
            y, x = np.clip(at.astype(int), 0, [clips.shape[2] - h, clips.shape[3] - w])
        out[b] = clips[i, t : t + frames, y : y + h, x : x + w]
    return torch.from_numpy(out).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)


# ---- training -----------------------------------------------------------------------------------


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (K. Jordan, 2024), for matrices and kernels."""

    def __init__(self, params, lr=0.02, momentum=0.95):
        super().__init__(list(params), dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                m = state.setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(m, group["momentum"]).flatten(1)
                flip = g.shape[0] > g.shape[1]
                x = g.T if flip else g
                x = x / (x.norm() + 1e-12)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if flip else x
                p.add_(x.view_as(p), alpha=-group["lr"] * max(1, g.shape[0] / g.shape[1]) ** 0.5)


def split_params(named):
    """Matrices and kernels for Muon; biases, gains, and thin or final layers for AdamW."""
    muon, adam = [], []
    for name, p in named:
        thin = p.dim() < 2 or min(p.shape[0], p.flatten(1).shape[1]) < 16
        (adam if thin or any(k in name for k in ("conv_out", "post_quant", "encoder.fold")) else muon).append(p)
    return muon, adam


def psnr(a, b):
    return float(-10 * torch.log10(F.mse_loss(a.clamp(-1, 1), b) / 4))


class Workers:
    """One process a core, each with one thread: on a shared machine far quicker than two threads."""

    def __init__(self, rank, world_size, port):
        torch.set_num_threads(1)
        self.rank, self.size = rank, world_size
        if world_size > 1:
            dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size)

    @torch.no_grad()
    def average(self, tensors):
        """Averages the workers' parameters; every few steps is enough, and nobody waits for the slower."""
        if self.size > 1:
            flat = torch.cat([t.flatten() for t in tensors])
            dist.all_reduce(flat)
            flat.div_(self.size)
            for t, part in zip(tensors, flat.split([t.numel() for t in tensors])):
                t.copy_(part.view_as(t))

    def agree(self, value):
        """The first worker's value, so that all take the same decisions."""
        t = torch.tensor([float(value)], dtype=torch.float64)
        if self.size > 1:
            dist.broadcast(t, 0)
        return float(t)

    @staticmethod
    def launch(function, args):
        if args.workers == 1:
            function(0, args)
        else:
            torch.multiprocessing.start_processes(function, (args,), args.workers, start_method="fork")


def train(rank, args):
    team = Workers(rank, args.workers, args.port)
    torch.manual_seed(0)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    vae, enc = new_decoder(), Encoder()
    params = [*vae.named_parameters(), *[(f"encoder.{n}", p) for n, p in enc.named_parameters()]]
    everything = [p for _, p in params]
    muon, adam = split_params(params)
    opts = [Muon(muon, lr=args.lr), torch.optim.AdamW(adam, lr=args.lr * 0.15, betas=(0.9, 0.97), weight_decay=0.0)]
    base = [o.param_groups[0]["lr"] for o in opts]
    step, spent, log = 0, 0.0, []
    if (out / "vae.pt").exists():
        saved = torch.load(out / "vae.pt", weights_only=False)
        vae.load_state_dict(saved["vae"])
        enc.load_state_dict(saved["enc"])
        for o, s in zip(opts, saved["opts"]):
            o.load_state_dict(s)
        step, spent, log = saved["step"], saved["spent"], saved["log"]
    torch.manual_seed(1000 * step + rank)
    rng = np.random.default_rng([step, rank])
    budget, average = args.minutes * 60, None
    clips, scenes = load_clips(args.data)
    held = torch.from_numpy(np.array(clips[:2])).permute(0, 4, 1, 2, 3).float().div(127.5).sub(1.0)

    def save():
        state = dict(vae=vae.state_dict(), enc=enc.state_dict(), opts=[o.state_dict() for o in opts], step=step, spent=spent, log=log)
        torch.save(state, out / "vae.tmp")
        (out / "vae.tmp").rename(out / "vae.pt")

    mark = time.time()
    until = min(budget, args.until * 60)
    while spent < until or step % args.sync:
        u = min(1.0, spent / budget)
        rate = min(1.0, (step + 1) / 30) * (1.0 if u < 0.4 else max(0.02, (1 - u) / 0.6))
        for o, b in zip(opts, base):
            o.param_groups[0]["lr"] = b * rate
        if step % 100 == 0:
            clips, scenes = load_clips(args.data)
        # Single frames first, then short clips.
        still = spent < 20 or step % 8 == 7
        x = crops(clips, scenes, rng, *((16, 1, 64, 64) if still else ((3, 9, 64, 64), (2, 9, 64, 64), (1, 9, 96, 96))[step % 3]))
        if spent >= args.joint * 60 and enc.training:
            # The latents are fixed from here on, so that the transformer can begin.
            enc.eval().requires_grad_(False)
        z = enc(x)
        y = decode(vae, z + args.noise * torch.randn_like(z))
        e = y - x
        loss = (e.square() + 0.0025).sqrt().mean()
        loss = loss + 0.002 * z.square().mean() + 0.5 * ((e[..., 1:] - e[..., :-1]).abs().mean() + (e[..., 1:, :] - e[..., :-1, :]).abs().mean())
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(adam, 1.0)
        for o in opts:
            o.step()
        step += 1
        if step % args.sync == 0:
            team.average(everything)
        value = psnr(y.detach(), x)
        average = value if average is None else 0.97 * average + 0.03 * value
        now = time.time()
        spent, mark = spent + now - mark, now
        if step % args.sync == 0:
            spent = team.agree(spent)
        if step % 25 == 0 and rank == 0:
            log.append((step, round(spent), round(average, 2)))
            print(f"step {step} {spent:.0f} s  psnr {average:.2f} dB  loss {loss.item():.4f}", flush=True)
        if rank == 0 and (step == 1 or step % args.every == 0):
            was = enc.training
            enc.eval()
            with torch.no_grad():
                z = enc(held)
                full = torch.cat([decode(vae, z[i : i + 1]) for i in range(2)])
            enc.train(was)
            print(f"   whole clips {psnr(full, held[:2]):.2f} dB, latents std {z.std((0, 2, 3, 4)).mean():.2f}", flush=True)
            sheet(full, held[:2], out / "vae.png")
            save()
            mark = time.time()
    if rank != 0:
        return
    save()
    (out / "vae_log.json").write_text(json.dumps(log))


def sheet(a, b, path, times=(0, 7, 14, 21, 32)):
    from PIL import Image

    rows = [torch.cat([c[i, :, t] for t in times], dim=2) for i in range(a.shape[0]) for c in (b, a)]
    x = torch.cat(rows, dim=1).clamp(-1, 1).add(1).mul(127.5).permute(1, 2, 0).byte().numpy()
    Image.fromarray(x).save(path)


def load_vae(folder):
    saved = torch.load(Path(folder) / "vae.pt", weights_only=False)
    vae, enc = new_decoder(), Encoder()
    vae.load_state_dict(saved["vae"])
    enc.load_state_dict(saved["enc"])
    return vae.eval(), enc.eval()


def check(args):
    torch.manual_seed(1)
    vae = load_vae(args.out)[0] if (Path(args.out) / "vae.pt").exists() else new_decoder()
    z = torch.randn(1, CONFIG["z_dim"], 4, 3, 4)
    with torch.no_grad():
        a, b = decode(vae, z).clamp(-1, 1), reference(vae, z)
    print("largest difference from diffusers' decode:", float((a - b).abs().max()), tuple(b.shape))


def reference(vae, z):
    full = AutoencoderKLWan(**CONFIG)
    full.load_state_dict(vae.state_dict(), strict=False)
    return full.decode(z, return_dict=False)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("render")
    p.set_defaults(run=render)
    p.add_argument("--out", required=True)
    p.add_argument("--count", type=int, default=3000)
    p = sub.add_parser("train")
    p.set_defaults(run=lambda args: Workers.launch(train, args))
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=35)
    p.add_argument("--joint", type=float, default=1e9, help="minutes after which the encoder is frozen")
    p.add_argument("--until", type=float, default=1e9, help="stop after these minutes, to go on another time")
    p.add_argument("--lr", type=float, default=0.02)
    p.add_argument("--noise", type=float, default=0.08)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--sync", type=int, default=10, help="steps between two averages of the workers")
    p.add_argument("--port", type=int, default=29411)
    p.add_argument("--every", type=int, default=200)
    p = sub.add_parser("check")
    p.set_defaults(run=check)
    p.add_argument("--out", required=True)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
