"""Writes a trained run as a diffusers folder, counts what a default clip costs, plots the losses, and samples.

    python export.py write --preset gpu --run run --to weights
    python export.py keep --run run --to judge                   # the encoder and the reader, which are not shipped
    python export.py open --preset gpu --run run --model weights # a run that goes on from both
    python export.py mix --part a=0.4 --part b=0.6 --run run     # the mean of the transformers of runs that went on from one another
    python export.py cost                                        # FLOP of the default clip, for every preset
    python export.py plot --run run --to losses.png
    python export.py sample --model weights --sheet sheet.png [--prompt "…"] [--seed N]

All tensors are f16. Of the autoencoder only what decoding needs is written: `post_quant_conv` and the
decoder. `AutoencoderKLWan.from_pretrained(…, low_cpu_mem_usage=False)` loads the folder; the missing encoder
stays random, and nothing in text-to-video runs it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from optim import load, save
from presets import PRESETS, Preset
from text import TEXT_LENGTH
from train import PROMPTS, load_transformer
from train_vae import load_vae, models
from world.scene import FPS

LIMIT = 28_000_000  # bytes


ABOUT = (
    "the starter is a small demonstration: a car, train, sailboat, balloon, seagull, kite, ball, person, dog, lighthouse, windmill or chairs, "
    "at a beach, harbour, open sea, city street, intersection, desert, forest, mountains, meadow or snowfield"
)


def defaults(preset: Preset, distilled: bool) -> dict:
    width, height = next(iter(preset.sizes.values()))
    return dict(
        name="Kinora starter",
        width=width,
        height=height,
        frames=max(preset.frames),
        fps=FPS,
        steps=preset.steps,
        guidance=1.0 if distilled else preset.guidance,
        guidance_stop=1.0 if distilled else preset.stop,
        shift=preset.shift,
        about=ABOUT,
        sizes=[list(size) for size in preset.sizes.values()],
        most_frames=max(preset.frames),
        words="tokenizer",
    )


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def half(state):
    out = {k: v.detach().to(torch.float16).contiguous() for k, v in state.items()}
    for k, v in out.items():
        if not torch.isfinite(v).all():
            raise ValueError(f"{k} does not fit f16")
    return out


def write(args):
    from diffusers import UniPCMultistepScheduler
    from transformers import UMT5EncoderModel

    preset, run, to = PRESETS[args.preset], Path(args.run), Path(args.to)
    shutil.rmtree(to, ignore_errors=True)
    for part in ("tokenizer", "text_encoder", "transformer", "vae", "scheduler"):
        (to / part).mkdir(parents=True)

    shutil.copy(run / "tokenizer.json", to / "tokenizer" / "tokenizer.json")
    write_json(
        to / "tokenizer" / "tokenizer_config.json",
        dict(
            tokenizer_class="PreTrainedTokenizerFast",
            model_max_length=TEXT_LENGTH,
            pad_token="<pad>",
            eos_token="</s>",
            unk_token="<unk>",
            clean_up_tokenization_spaces=False,
        ),
    )

    UMT5EncoderModel.from_pretrained(run / "text_encoder").half().save_pretrained(to / "text_encoder")
    config = json.loads((to / "text_encoder" / "config.json").read_text())
    # transformers 5 keeps only what this says, the released UMT5 has it too.
    write_json(to / "text_encoder" / "config.json", config | {"feed_forward_proj": preset.text()["feed_forward_proj"]})

    m = load_transformer(preset, run)
    m.save_config(to / "transformer")
    save_file(half(m.state_dict()), to / "transformer" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    stats, config = load(run / "stats.pt"), preset.vae()
    config["latents_mean"] = [round(float(v), 6) for v in stats["mean"]]
    config["latents_std"] = [round(float(v), 6) for v in stats["std"]]
    vae, _ = load_vae(preset, run)
    write_json(to / "vae" / "config.json", {"_class_name": "AutoencoderKLWan", "_diffusers_version": "0.42.1", **config})
    save_file(half(vae.state_dict()), to / "vae" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=preset.shift,
        num_train_timesteps=1000,
    ).save_pretrained(to / "scheduler")
    write_json(
        to / "model_index.json",
        {
            "_class_name": "WanPipeline",
            "_diffusers_version": "0.42.1",
            "boundary_ratio": None,
            "expand_timesteps": False,
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "transformer_2": [None, None],
            "vae": ["diffusers", "AutoencoderKLWan"],
        },
    )
    d = defaults(preset, (run / "student.pt").exists())
    write_json(to / "kinora.json", d)
    total = 0
    for f in sorted(to.rglob("*")):
        if f.is_file():
            f.chmod(0o644)
            total += f.stat().st_size
            print(f"{f.stat().st_size:>10,}  {f.relative_to(to)}")
    print(f"{total:>10,}  in all")
    if total > LIMIT:
        raise SystemExit(f"{total} bytes are more than {LIMIT}")
    cost(preset, d)


def open_run(args):
    """The checkpoints of a run, from an exported folder: to judge it, or to go on from it."""
    preset, run, model = PRESETS[args.preset], Path(args.run), Path(args.model)
    if any((run / f"{name}.pt").exists() for name in ("transformer", "vae", "reader")):
        raise SystemExit(f"{run} has checkpoints of its own, which would be lost: name another folder with --run")
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(model / "tokenizer" / "tokenizer.json", run / "tokenizer.json")
    shutil.copytree(model / "text_encoder", run / "text_encoder", dirs_exist_ok=True)
    weights = lambda part: load_file(model / part / "diffusion_pytorch_model.safetensors")
    config = json.loads((model / "vae" / "config.json").read_text())
    save(dict(mean=torch.tensor(config["latents_mean"]), std=torch.tensor(config["latents_std"])), run / "stats.pt")
    save(dict(ema=weights("transformer")), run / "transformer.pt")
    encoder, reader = (load_file(f) if (f := Path(args.judge) / f"{name}.safetensors").exists() else None for name in ("encoder", "reader"))
    save(dict(vae=weights("vae"), enc=encoder or models(preset, "cpu")[1].state_dict(), step=0, spent=0.0), run / "vae.pt")
    if reader:
        save(dict(reader=reader), run / "reader.pt")


def keep(args):
    """The encoder and the reader, which are not shipped, for whoever judges or goes on from what is."""
    run, to = Path(args.run), Path(args.to)
    to.mkdir(exist_ok=True)
    for name, state in (("encoder", load(run / "vae.pt")["enc"]), ("reader", load(run / "reader.pt")["reader"])):
        save_file(half(state), to / f"{name}.safetensors")
        (to / f"{name}.safetensors").chmod(0o644)


def mix(args):
    """A run whose transformer is the weighed mean of others', which stand on one path of training; all else is the last one's."""
    parts = [(Path(folder), float(share)) for folder, _, share in (part.rpartition("=") for part in args.part)]
    if abs(sum(share for _, share in parts) - 1) > 1e-6:
        raise SystemExit(f"the shares come to {sum(share for _, share in parts):g}; they must come to 1")
    run, states = Path(args.run), [load(folder / "transformer.pt") for folder, _ in parts]
    if missing := [str(folder) for (folder, _), state in zip(parts, states) if state is None]:
        raise SystemExit(f"no transformer.pt in {', '.join(missing)}: name a folder that `train.py flow` or `export.py open` filled")
    if run.exists():
        raise SystemExit(f"{run} exists: name a new folder with --run")
    last = parts[-1][0]
    shutil.copytree(last / "text_encoder", run / "text_encoder")
    for name in ("tokenizer.json", "stats.pt", "vae.pt", "reader.pt"):
        if (last / name).exists():
            shutil.copy(last / name, run / name)
    save(dict(ema={n: sum(share * state["ema"][n].float() for (_, share), state in zip(parts, states)) for n in states[0]["ema"]}), run / "transformer.pt")


# ---- cost ---------------------------------------------------------------------------------------


def cost(preset: Preset, d: dict):
    """Counts what one default clip costs, in FLOP (two a multiply-add), products and convolutions alone."""
    c, text = preset.transformer(), preset.text()
    dim, f, length = preset.dim, c["ffn_dim"], TEXT_LENGTH
    t, h, w = (d["frames"] - 1) // 4 + 1, d["height"] // 16, d["width"] // 16
    n = t * (h // preset.patch) * (w // preset.patch)
    layer = 2 * n * (6 * dim * dim + 2 * dim * f) + 4 * n * n * dim + 2 * length * 2 * dim * dim + 4 * n * length * dim
    ends = 2 * 2 * n * dim * preset.patch**2 * c["in_channels"] + 2 * length * dim * (text["d_model"] + dim)
    step = c["num_layers"] * layer + ends
    inner = text["num_heads"] * text["d_kv"]
    encoder = text["num_layers"] * (2 * length * text["d_model"] * (4 * inner + 3 * text["d_ff"]) + 4 * length**2 * inner)

    config = preset.vae()
    dims = [preset.base_dim * m for m in [config["dim_mult"][-1], *reversed(config["dim_mult"])]]
    conv = lambda i, o, taps: 2 * i * o * taps
    frames, pixels = t, h * w
    decoder = frames * pixels * (conv(preset.z_dim, dims[0], 27) + 4 * conv(dims[0], dims[0], 27) + 8 * dims[0] ** 2 + 4 * pixels * dims[0])
    ups = list(reversed(config["temperal_downsample"]))
    for i, (a, o) in enumerate(zip(dims[:-1], dims[1:])):
        blocks = config["num_res_blocks"]
        decoder += frames * pixels * (conv(a, o, 27) + (2 * blocks + 1) * conv(o, o, 27) + (conv(a, o, 1) if a != o else 0))
        if i < len(ups):
            if ups[i]:
                decoder += frames * pixels * conv(o, 2 * o, 3)
                frames = 2 * frames - 1
            pixels *= 4
            decoder += frames * pixels * conv(o, o, 9)
    decoder += frames * pixels * conv(dims[-1], config["out_channels"], 27)
    guided = d["guidance"] != 1
    texts, passes = 1 + guided, d["steps"] + guided * int(d["guidance_stop"] * d["steps"])
    total = texts * encoder + passes * step + decoder
    print(
        f"{preset.name}: a clip of {d['width']}x{d['height']}x{d['frames']} costs {total / 1e9:.0f} GFLOP: text {texts} x {encoder / 1e9:.2f}, "
        f"transformer {passes} x {step / 1e9:.1f} ({n} tokens), decoder {decoder / 1e9:.0f}"
    )


# ---- losses -------------------------------------------------------------------------------------


def plot(args):
    """The run's log as one picture: each stage's figures over its steps."""
    from PIL import Image, ImageDraw

    notes = [json.loads(line) for line in (Path(args.run) / "log.jsonl").read_text().splitlines()]
    curves = [
        ("vae", "train", "autoencoder: dB of crops"),
        ("text", "loss", "text encoder: cross-entropy"),
        ("flow", "flow", "transformer: flow matching"),
        ("polish", "train", "decoder alone: dB of crops"),
        ("distill", "flow", "guidance: distance to the teacher"),
    ]
    curves = [(s, k, title) for s, k, title in curves if sum(n["stage"] == s for n in notes) > 1]
    w, h, edge = 300, 190, 34
    image = Image.new("RGB", (w * max(1, len(curves)), h), "white")
    draw = ImageDraw.Draw(image)
    for i, (stage, key, title) in enumerate(curves):
        points = [(n["step"], n[key]) for n in notes if n["stage"] == stage]
        x0, x1, y0, y1 = points[0][0], points[-1][0], min(p[1] for p in points), max(p[1] for p in points)
        at = lambda p: (i * w + edge + (w - 2 * edge) * (p[0] - x0) / max(1, x1 - x0), h - edge - (h - 2 * edge) * (p[1] - y0) / max(1e-9, y1 - y0))
        draw.rectangle((i * w + edge, edge, (i + 1) * w - edge, h - edge), outline=(210, 210, 210))
        draw.line([at(p) for p in points], fill=(30, 90, 200), width=2)
        draw.text((i * w + edge, 12), title, fill="black")
        draw.text((i * w + edge + 3, edge + 2), f"{y1:.3g}", fill=(90, 90, 90))
        draw.text((i * w + edge + 3, h - edge - 13), f"{y0:.3g}", fill=(90, 90, 90))
        draw.text((i * w + edge, h - edge + 5), f"{x0:.0f} to {x1:.0f} steps", fill=(90, 90, 90))
    image.save(args.to)


# ---- sampling through diffusers -----------------------------------------------------------------


def pipeline(folder):
    from diffusers import AutoencoderKLWan, WanPipeline
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it lists every weight of the encoder that is not there
    # Only this way of loading accepts that the encoder is missing.
    vae = AutoencoderKLWan.from_pretrained(Path(folder) / "vae", low_cpu_mem_usage=False, torch_dtype=torch.float32)
    return WanPipeline.from_pretrained(folder, vae=vae, torch_dtype=torch.float32)


def run_pipeline(pipe, prompt, seed, d):
    guided = int(d["guidance_stop"] * d["steps"])

    def stop(pipe, index, time, tensors):
        """diffusers' own way to change guidance on the way; at 1 the pipeline leaves the second pass out."""
        if index + 1 >= guided:
            pipe._guidance_scale = 1.0
        return tensors

    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, flow_shift=d["shift"])
    return pipe(
        prompt,
        negative_prompt="",
        width=d["width"],
        height=d["height"],
        num_frames=d["frames"],
        num_inference_steps=d["steps"],
        guidance_scale=d["guidance"],
        generator=torch.Generator().manual_seed(seed),
        max_sequence_length=TEXT_LENGTH,
        callback_on_step_end=stop,
        output_type="np",
    ).frames[0]


def sample(args):
    import numpy as np
    from PIL import Image

    torch.set_num_threads(args.threads)
    d = json.loads((Path(args.model) / "kinora.json").read_text())
    d |= {k: getattr(args, k) for k in ("steps", "guidance", "shift") if getattr(args, k) is not None}
    pipe = pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    rows = []
    for prompt in args.prompt or PROMPTS:
        start = time.time()
        clip = run_pipeline(pipe, prompt, args.seed, d)
        print(f"{time.time() - start:.1f} s  {clip.shape}  {prompt}", flush=True)
        rows.append(np.concatenate([clip[t] for t in np.linspace(0, len(clip) - 1, 6).round().astype(int)], axis=1))
    Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(args.sheet)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("write")
    p.set_defaults(call=write)
    p.add_argument("--preset", choices=PRESETS, default="gpu")
    p.add_argument("--run", default="run")
    p.add_argument("--to", default="weights")
    p = sub.add_parser("open")
    p.set_defaults(call=open_run)
    p.add_argument("--preset", choices=PRESETS, default="gpu")
    p.add_argument("--run", default="run")
    p.add_argument("--model", default="weights")
    p.add_argument("--judge", default="judge")
    p = sub.add_parser("keep")
    p.set_defaults(call=keep)
    p.add_argument("--preset", choices=PRESETS, default="gpu", help="any: they are written as they are")
    p.add_argument("--run", default="run")
    p.add_argument("--to", default="judge")
    p = sub.add_parser("mix")
    p.set_defaults(call=mix)
    p.add_argument("--part", action="append", required=True, metavar="RUN=SHARE")
    p.add_argument("--run", required=True)
    p = sub.add_parser("cost")
    p.set_defaults(call=lambda args: [cost(preset, defaults(preset, preset.distilled)) for preset in PRESETS.values()])
    p = sub.add_parser("plot")
    p.set_defaults(call=plot)
    p.add_argument("--run", default="run")
    p.add_argument("--to", default="losses.png")
    p = sub.add_parser("sample")
    p.set_defaults(call=sample)
    p.add_argument("--model", default="weights")
    p.add_argument("--prompt", action="append")
    p.add_argument("--sheet", required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    p.add_argument("--shift", type=float)
    p.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
