"""Writes the trained starter as a diffusers folder, counts what a default clip costs, and samples from it.

    python export.py write --run DIR --vae DIR --to weights
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
from safetensors.torch import save_file

import train
import train_vae
import world

DEFAULTS = dict(
    name="Kinora starter 0", width=world.WIDTH, height=world.HEIGHT, frames=world.FRAMES, fps=world.FPS,
    steps=12, guidance=2.0, shift=train.SHIFT,
)
LIMIT = 16_000_000


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def half(state):
    out = {k: v.detach().to(torch.float16).contiguous() for k, v in state.items()}
    for k, v in out.items():
        if not torch.isfinite(v).all():
            raise ValueError(f"{k} does not fit f16")
    return out


def write(args):
    to = Path(args.to)
    shutil.rmtree(to, ignore_errors=True)
    for part in ("tokenizer", "text_encoder", "transformer", "vae", "scheduler"):
        (to / part).mkdir(parents=True)
    run = Path(args.run)

    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import UMT5EncoderModel

    shutil.copy(run / "tokenizer.json", to / "tokenizer" / "tokenizer.json")
    write_json(to / "tokenizer" / "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", model_max_length=train.TEXT_LENGTH, pad_token="<pad>", eos_token="</s>",
        unk_token="<unk>", clean_up_tokenization_spaces=False))

    UMT5EncoderModel.from_pretrained(run / "text_encoder").half().save_pretrained(to / "text_encoder")
    config = json.loads((to / "text_encoder" / "config.json").read_text())
    # transformers 5 keeps only what this says, the released UMT5 has it too.
    write_json(to / "text_encoder" / "config.json", config | {"feed_forward_proj": train.TEXT["feed_forward_proj"]})

    m, saved = train.load_transformer(run)
    m.save_config(to / "transformer")
    save_file(half(m.state_dict()), to / "transformer" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    latents = torch.load(run / "latents.pt", weights_only=False)
    config = dict(train_vae.CONFIG)
    config["latents_mean"] = [round(float(v), 6) for v in latents["mean"]]
    config["latents_std"] = [round(float(v), 6) for v in latents["std"]]
    vae, _ = train_vae.load_vae(args.vae)
    write_json(to / "vae" / "config.json", {"_class_name": "AutoencoderKLWan", "_diffusers_version": "0.42.1", **config})
    save_file(half(vae.state_dict()), to / "vae" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=DEFAULTS["shift"], num_train_timesteps=1000,
    ).save_pretrained(to / "scheduler")
    write_json(to / "model_index.json", {
        "_class_name": "WanPipeline", "_diffusers_version": "0.42.1", "boundary_ratio": None, "expand_timesteps": False,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"], "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"], "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None], "vae": ["diffusers", "AutoencoderKLWan"],
    })
    write_json(to / "kinora.json", DEFAULTS)
    total = 0
    for f in sorted(to.rglob("*")):
        if f.is_file():
            total += f.stat().st_size
            print(f"{f.stat().st_size:>10,}  {f.relative_to(to)}")
    print(f"{total:>10,}  in all; transformer step {saved['step']}, {saved['spent']:.0f} s")
    if total > LIMIT:
        raise SystemExit(f"{total} bytes are more than {LIMIT}")
    cost(config)


# ---- cost ---------------------------------------------------------------------------------------


def cost(config, d=DEFAULTS):
    """Counts the multiply-adds of one default clip, in GFLOP (two a multiply-add)."""
    c, text = train.TRANSFORMER, train.TEXT
    dim, f, length = c["num_attention_heads"] * c["attention_head_dim"], c["ffn_dim"], train.TEXT_LENGTH
    t, h, w = (d["frames"] - 1) // 4 + 1, d["height"] // train_vae.BLOCK, d["width"] // train_vae.BLOCK
    n = t * (h // 2) * (w // 2)
    layer = 2 * n * (6 * dim * dim + 2 * dim * f) + 4 * n * n * dim + 2 * length * 2 * dim * dim + 4 * n * length * dim
    ends = 2 * 2 * n * dim * 4 * c["in_channels"] + 2 * length * dim * (text["d_model"] + dim)
    step = c["num_layers"] * layer + ends
    inner = text["num_heads"] * text["d_kv"]
    encoder = text["num_layers"] * (2 * length * text["d_model"] * (4 * inner + 3 * text["d_ff"]) + 4 * length**2 * inner)

    b, mult = config["base_dim"], config["dim_mult"]
    dims = [b * m for m in [mult[-1], *reversed(mult)]]
    conv = lambda i, o, taps: 2 * i * o * taps
    frames, pixels = t, h * w
    decoder = frames * pixels * (conv(config["z_dim"], dims[0], 27) + 4 * conv(dims[0], dims[0], 27) + 8 * dims[0] ** 2 + 4 * pixels * dims[0])
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
    passes = d["steps"] * (2 if d["guidance"] != 1 else 1)
    total = 2 * encoder + passes * step + decoder
    print(f"cost of {d['width']}x{d['height']}x{d['frames']}: text 2 x {encoder / 1e9:.2f}, transformer {passes} x {step / 1e9:.2f}, "
          f"decoder {decoder / 1e9:.2f}, in all {total / 1e9:.0f} GFLOP; {n} tokens")


# ---- sampling through diffusers -----------------------------------------------------------------


def pipeline(folder):
    from diffusers import AutoencoderKLWan, WanPipeline

    # Only this way of loading accepts that the encoder is missing.
    vae = AutoencoderKLWan.from_pretrained(Path(folder) / "vae", low_cpu_mem_usage=False, torch_dtype=torch.float32)
    return WanPipeline.from_pretrained(folder, vae=vae, torch_dtype=torch.float32)


def run_pipeline(pipe, prompt, seed, d):
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, flow_shift=d["shift"])
    return pipe(
        prompt, negative_prompt="", width=d["width"], height=d["height"], num_frames=d["frames"], num_inference_steps=d["steps"],
        guidance_scale=d["guidance"], generator=torch.Generator().manual_seed(seed), max_sequence_length=train.TEXT_LENGTH,
        output_type="np").frames[0]


def sample(args):
    import numpy as np
    from PIL import Image

    torch.set_num_threads(args.threads)
    d = json.loads((Path(args.model) / "kinora.json").read_text())
    d |= {k: getattr(args, k) for k in ("steps", "guidance", "shift") if getattr(args, k) is not None}
    pipe = pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    rows = []
    for prompt in args.prompt or train.PROMPTS:
        start = time.time()
        clip = run_pipeline(pipe, prompt, args.seed, d)
        print(f"{time.time() - start:.1f} s  {clip.shape}  {prompt}", flush=True)
        rows.append(np.concatenate([clip[t] for t in np.linspace(0, len(clip) - 1, 6).round().astype(int)], axis=1))
    Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(args.sheet)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("write")
    p.set_defaults(run_command=write)
    p.add_argument("--run", required=True)
    p.add_argument("--vae", required=True)
    p.add_argument("--to", default="weights")
    p = sub.add_parser("sample")
    p.set_defaults(run_command=sample)
    p.add_argument("--model", default="weights")
    p.add_argument("--prompt", action="append")
    p.add_argument("--sheet", required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    p.add_argument("--shift", type=float)
    p.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.run_command(args)


if __name__ == "__main__":
    main()
