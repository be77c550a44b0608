"""Measures whether clips show what their prompts say, with a reader that has only ever seen renders (`reader.py`).

    python evaluate.py --preset gpu --run run [--prompts 200]  # prints the card's table, writes a contact sheet and what did not come out
    python evaluate.py --model weights                         # the same for an exported model, through diffusers

Prompts come from the split `held`, whose combinations of subject, place and camera no training has seen. An attribute
counts where the prompt states it; the figure is the share of what the reader reaches on renders of the same scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

import data
from matching import costs
from presets import PRESETS, Preset
from reader import NAMED, Eyes, answers, read_renders
from train import contact_sheet, generate, load_text, load_transformer, the_device
from train_vae import load_vae
from world.captions import GUIDES, caption
from world.scene import ATTRIBUTES

LIMITS = dict(subject=0.95, place=0.95, time=0.90, weather=0.90, move=0.90, camera=0.85)  # color: none is set


def steadiness(clip, block=8, reach=4):
    """Of [3, F, H, W]: what block matching from each frame to the next leaves over, and how much the frames differ at all."""
    a, b = clip[:, :-1].movedim(1, 0), clip[:, 1:].movedim(1, 0)
    return float(costs(a, b, reach, block).amin(1).mean()), float((a - b).abs().mean())


def prompts_of(preset: Preset, count: int, detail: float = 0.8):
    """Scenes that are held back, a caption of each in that detail, and what it states."""
    rng = np.random.default_rng(11)
    scenes = [data.scene_of(preset, "held", i) for i in range(count)]
    return scenes, *zip(*[caption(s, rng, detail) for s in scenes])


def maker(args, preset, run, device):
    """A function from prompts to clips [B, 3, F, H, W] in [-1, 1]."""
    if args.model:
        from export import pipeline, run_pipeline

        d, pipe = json.loads((Path(args.model) / "kinora.json").read_text()), pipeline(args.model)
        pipe.set_progress_bar_config(disable=True)
        return lambda texts: torch.stack([torch.from_numpy(run_pipeline(pipe, t, args.seed, d)).permute(3, 0, 1, 2) * 2 - 1 for t in texts]).to(device)
    parts = (load_transformer(preset, run, device), *load_text(run, device), load_vae(preset, run, device)[0])
    return lambda texts: generate(preset, run, list(texts), device, args.seed, guidance=args.guidance, parts=parts)


def misses(texts, named, eighths, asked, stated):
    """Lines of the clips that do not show what their prompts state, or whose subject does not stay what it is."""
    word = lambda i, v: ATTRIBUTES[NAMED[i]][int(v)]
    for text, got, parts, y, s in zip(texts, named, eighths, asked, stated):
        wrong = [f"{NAMED[i]} {word(i, y[i])} is {word(i, got[i])}" for i in range(len(NAMED)) if s[i] and got[i] != y[i]]
        if (parts != parts[0]).any():
            wrong.append("in the eighths " + " ".join(word(0, v) for v in parts))
        if wrong:
            yield f"{text}: {', '.join(wrong)}\n"


def report(args):
    preset, run, device = PRESETS[args.preset], Path(args.run), the_device()
    eyes, make = Eyes(preset, run, device), maker(args, preset, run, device)
    scenes, texts, said = prompts_of(preset, args.prompts, args.detail)
    shape, frames = next(iter(preset.sizes)), max(preset.frames)
    width, height = preset.sizes[shape]
    stated = torch.tensor([[s[k] is not None for k in NAMED] for s in said], device=device)
    hits, real_hits, same, real_same, steady, real_steady, missed = [], [], [], [], [], [], []
    for i in range(0, len(scenes), args.batch):
        part = slice(i, i + args.batch)
        y = answers(scenes[part], device)
        clips = make(texts[part])
        real = data.to_float(data.draw(preset, scenes[part], shape, frames, device).clips)
        for seen, right, alike in ((clips, hits, same), (real, real_hits, real_same)):
            named, eighths = eyes.read(seen)
            right.append(named == y)
            alike.append((eighths == eighths[:, :1]).all(1))
            if seen is clips:
                missed += misses(texts[part], named, eighths, y, stated[part])
        if i < args.steady:
            steady += [steadiness(c) for c in clips]
            real_steady += [steadiness(c) for c in real]
        print(f"{min(i + args.batch, len(scenes))} of {len(scenes)} prompts, {len(missed)} not as asked", end="\r", file=sys.stderr, flush=True)
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
    (run / "missed.txt").write_text("".join(missed))
    shown = [*[t for t, _ in GUIDES], "a car", *texts[:21]][: args.sheet]
    contact_sheet((clip for i in range(0, len(shown), args.batch) for clip in make(shown[i : i + args.batch])), run / "sheet.png")
    (run / "sheet.txt").write_text("\n".join(shown) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--preset", choices=PRESETS, default="gpu")
    p.add_argument("--run", default="run")
    p.add_argument("--model", help="an exported folder instead of the run's checkpoints")
    p.add_argument("--guidance", type=float, help="instead of the preset's, with the run's checkpoints")
    p.add_argument("--prompts", type=int, default=200)
    p.add_argument("--detail", type=float, default=0.8, help="of the prompts: 1 tells nearly all, 0 the subject alone")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--steady", type=int, default=200, help="clips whose flicker and motion are measured")
    p.add_argument("--sheet", type=int, default=24, help="clips on the contact sheet")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--unseen", type=int, default=800, help="renders to test the reader on")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    report(args)


if __name__ == "__main__":
    main()
