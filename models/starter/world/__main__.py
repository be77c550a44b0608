"""Looks at the world: contact sheets, captions, and whether the GPU draws what the CPU draws.

    python -m world sheet --out sheet.png [--count 12] [--seed 0] [--shape portrait]
    python -m world captions --count 20
    python -m world check           # the Triton kernel against PyTorch (without a GPU: TRITON_INTERPRET=1, numpy before 2.3)
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from . import FPS, SIZES, picture, render, sample
from .captions import GUIDES, caption


def sheet(args):
    from PIL import Image

    rng = np.random.default_rng(args.seed)
    scenes = [sample(rng, only=asked) for _, asked in GUIDES] if args.guides else [sample(rng) for _ in range(args.count)]
    width, height = SIZES[args.shape]
    rows = []
    for scene in scenes:
        clip = render(scene, width, height, args.frames).numpy()
        rows.append(np.concatenate(list(clip[np.linspace(0, len(clip) - 1, args.columns).round().astype(int)]), axis=1))
        print(caption(scene, rng)[0])
    Image.fromarray(np.concatenate(rows)).save(args.out)


def captions(args):
    rng = np.random.default_rng(args.seed)
    for _ in range(args.count):
        print(caption(sample(rng), rng)[0])


def check(args):
    from . import draw, draw_gpu

    rng = np.random.default_rng(args.seed)
    pictures = [picture(sample(rng), 48, 32, 3, FPS / 20) for _ in range(args.count)]
    gpu = draw_gpu.render(pictures, 48, 32, "cuda" if torch.cuda.is_available() else "cpu").cpu().int()
    cpu = torch.stack([draw.render(p, 48, 32) for p in pictures]).int()
    apart = (gpu - cpu).abs()
    print(f"largest difference {apart.max()} of 255, more than 2 in {(apart > 2).float().mean():.2%} of the values")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("sheet")
    p.set_defaults(run=sheet)
    p.add_argument("--out", required=True)
    p.add_argument("--shape", choices=SIZES, default="landscape")
    p.add_argument("--frames", type=int, default=81)
    p.add_argument("--columns", type=int, default=5)
    p.add_argument("--guides", action="store_true", help="the two long prompts instead of random scenes")
    captions_ = sub.add_parser("captions")
    captions_.set_defaults(run=captions)
    checks = sub.add_parser("check")
    checks.set_defaults(run=check)
    for q in (p, captions_, checks):
        q.add_argument("--count", type=int, default=12)
        q.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
