#!/usr/bin/env python3
"""Kinora beside PyTorch on one machine, the same shapes in one run, as ratios.

    benches/compare.py [--kinora PROGRAM] [--cpu] [NAME...]

Builds nothing: PROGRAM is a `kinora` that was built before (target/release/kinora by default), and
PyTorch must be importable. Without a GPU it says so and measures nothing, unless --cpu asks for
PyTorch on the processor (for trying the script out; name small benches then). NAME is as in
`kinora bench`: a bench, or the beginning of its name up to a / or _.

A ratio above 1 means that Kinora is faster. Kinora's times are those of `kinora bench`; PyTorch's
are the median of CUDA events around repeated calls, after as many to warm up. The step is one
forward pass of Wan2.1-T2V-1.3B at 832x480x81 with random weights in bf16, without guidance: with
diffusers where it can be imported, else with the same layers written out in PyTorch.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPARED = ("matmul", "attention", "conv3d", "step")
# Seconds of PyTorch for one bench, at least two runs.
BUDGET = 0.5


def arguments():
    text = __doc__.split("\n\n")
    parser = argparse.ArgumentParser(description=text[0], epilog="\n\n".join(text[2:]),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinora", default=ROOT / "target/release/kinora", metavar="PROGRAM")
    parser.add_argument("--cpu", action="store_true", help="PyTorch on the processor")
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser.parse_args()


def kinora(program, *words):
    """The objects that `kinora bench --json` prints."""
    command = [str(program), "bench", "--json", *words]
    if sys.platform == "linux" and "--list" not in words:
        # Finds a Vulkan driver where none is installed.
        command.insert(0, str(ROOT / "scripts/with-vulkan"))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(command)} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Torch:
    """PyTorch's side: a closure for each bench, and its time."""

    def __init__(self, device):
        import torch

        self.torch, self.device = torch, device
        torch.manual_seed(0)
        # What PyTorch's users run: the fastest algorithm, f32 products exact.
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = False

    def noise(self, dtype, *shape):
        # Drawn in place: a whole tensor of f32 beside it would not fit at the largest shapes.
        return self.torch.empty(shape, dtype=dtype, device=self.device).normal_(std=0.1)

    def type(self, name):
        torch = self.torch
        # Quantised weights have no twin: what they are compared with is f16.
        return {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}.get(name, torch.float16)

    def calls(self, op, dtype, sizes):
        """What may be called for a bench, the fastest of which counts."""
        torch, F = self.torch, self.torch.nn.functional
        dtype = self.type(dtype)
        if op == "matmul":
            rows, cols, depth = sizes
            x, w = self.noise(dtype, rows, depth), self.noise(dtype, cols, depth)
            return [lambda: F.linear(x, w)]
        if op == "attention":
            heads, queries, keys, size = sizes
            q = self.noise(dtype, 1, heads, queries, size)
            k, v = (self.noise(dtype, 1, heads, keys, size) for _ in range(2))
            return [lambda: F.scaled_dot_product_attention(q, k, v)]
        if op == "conv3d":
            inputs, outputs, t, h, w = sizes
            # Two frames before the first, as the cache holds them.
            x = self.noise(dtype, 1, inputs, t + 2, h, w)
            weight = self.noise(dtype, outputs, inputs, 3, 3, 3)
            last = [tensor.to(memory_format=torch.channels_last_3d) for tensor in (x, weight)]
            return [lambda: F.conv3d(x, weight, padding=(0, 1, 1)),
                    lambda: F.conv3d(*last, padding=(0, 1, 1))]
        if op == "step":
            return [step(self, dtype, *sizes)]
        return []

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def once(self, call):
        """Seconds of one call."""
        if self.device != "cuda":
            begun = time.perf_counter()
            call()
            return time.perf_counter() - begun
        first, last = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        self.torch.cuda.synchronize()
        return first.elapsed_time(last) * 1e-3

    def seconds(self, call):
        with self.torch.inference_mode():
            call()
            self.wait()
            warm = self.once(call)
            runs = max(2, min(50, int(BUDGET / max(warm, 1e-6))))
            return statistics.median(self.once(call) for _ in range(runs))

    def measure(self, case):
        times = []
        for call in self.calls(case["op"], case["dtype"], case["sizes"]):
            try:
                times.append(self.seconds(call))
            except (RuntimeError, NotImplementedError) as error:
                print(f"{case['name']}: PyTorch: {str(error).splitlines()[0]}", file=sys.stderr)
        if self.device == "cuda":
            self.torch.cuda.empty_cache()
        return min(times, default=None)


def step(side, dtype, layers, channels, t, h, w):
    """A forward pass of Wan2.1-T2V-1.3B's transformer with random weights."""
    torch = side.torch
    latents = side.noise(dtype, 1, channels, t, h, w)
    text = side.noise(dtype, 1, 512, 4096)
    moment = torch.tensor([500], device=side.device)
    try:
        from diffusers import WanTransformer3DModel
    except ImportError:
        model = twin(side, dtype, layers, channels)
        print("step: diffusers cannot be imported: the layers are written out in PyTorch", file=sys.stderr)
        return lambda: model(latents, moment, text)
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(side.device):
            model = WanTransformer3DModel(
                patch_size=(1, 2, 2), num_attention_heads=12, attention_head_dim=128,
                in_channels=channels, out_channels=channels, text_dim=4096, freq_dim=256,
                ffn_dim=8960, num_layers=layers).eval()
    finally:
        torch.set_default_dtype(previous)
    return lambda: model(latents, moment, text, return_dict=False)


def twin(side, dtype, layers, channels, heads=12, size=128, ffn=8960):
    """The work of a pass without diffusers: the same products, attentions and norms."""
    torch, nn, F = side.torch, side.torch.nn, side.torch.nn.functional
    dim = heads * size

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, device=side.device, dtype=dtype)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.out = (linear(dim, dim) for _ in range(4))
            self.gains = nn.Parameter(torch.ones(2, dim, device=side.device, dtype=dtype))

        def forward(self, x, text, turn):
            source = x if text is None else text
            q = F.rms_norm(self.q(x), (dim,), self.gains[0])
            k = F.rms_norm(self.k(source), (dim,), self.gains[1])
            q, k, v = (y.unflatten(2, (heads, size)).transpose(1, 2) for y in (q, k, self.v(source)))
            if text is None:
                q, k = (rotate(y, turn) for y in (q, k))
            return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def rotate(x, turn):
        pairs = torch.view_as_complex(x.float().unflatten(3, (-1, 2)))
        return torch.view_as_real(pairs * turn).flatten(3).to(x.dtype)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.own, self.cross = Attention(), Attention()
            self.up, self.down = linear(dim, ffn), linear(ffn, dim)
            self.norm = nn.LayerNorm(dim, device=side.device, dtype=dtype)
            self.table = nn.Parameter(torch.zeros(6, 1, dim, device=side.device, dtype=dtype))

        def forward(self, x, text, moment, turn):
            shift, scale, gate, shift2, scale2, gate2 = (self.table + moment).unbind(0)
            x = x + gate * self.own(F.layer_norm(x, (dim,)) * (1 + scale) + shift, None, turn)
            x = x + self.cross(self.norm(x), text, turn)
            y = F.layer_norm(x, (dim,)) * (1 + scale2) + shift2
            return x + gate2 * self.down(F.gelu(self.up(y), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = linear(4 * channels, dim), linear(dim, 4 * channels)
            self.text = nn.Sequential(linear(4096, dim), nn.GELU(approximate="tanh"), linear(dim, dim))
            self.time = nn.Sequential(linear(256, dim), nn.SiLU(), linear(dim, dim), nn.SiLU(), linear(dim, 6 * dim))
            self.blocks = nn.ModuleList(Block() for _ in range(layers))

        def forward(self, latents, moment, text):
            b, c, t, h, w = latents.shape
            patches = latents.view(b, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6)
            x = self.embed(patches.reshape(b, -1, 4 * c))
            angles = torch.arange(x.shape[1], device=x.device)[:, None] * 0.01 ** torch.linspace(0, 1, size // 2, device=x.device)
            turn = torch.polar(torch.ones_like(angles), angles)
            phases = moment[:, None] * 1e-4 ** torch.linspace(0, 1, 128, device=x.device)
            moment = self.time(torch.cat([phases.cos(), phases.sin()], 1).to(x.dtype)).view(6, 1, dim)
            text = self.text(text)
            for block in self.blocks:
                x = block(x, text, moment, turn)
            return self.out(F.layer_norm(x, (dim,)))

    return Model().eval()


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"


def rate(gflops):
    return f"{gflops / 1e3:.1f} TFLOP/s" if gflops >= 1e3 else f"{gflops:.1f} GFLOP/s"


def main():
    args = arguments()
    if not os.access(args.kinora, os.X_OK):
        sys.exit(f"compare: there is no program {args.kinora}: build it with cargo build --release, or name another with --kinora")
    try:
        import torch
    except ImportError:
        sys.exit("compare: PyTorch cannot be imported: pip install torch, or start the script with a Python that has it")
    device = "cpu" if args.cpu else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("not measured: no GPU that PyTorch can use (--cpu tries the script out on the processor)")
        return
    cases = [case for case in kinora(args.kinora, "--list", *args.names) if case["op"] in COMPARED]
    if not cases:
        sys.exit("compare: none of these is compared: name matmul, attention, conv3d or step")
    if device == "cpu" and not args.names:
        sys.exit("compare: name some small benches with --cpu: matmul/f32, say")
    # Named one by one, so that none is left out as too long, and whole before PyTorch takes memory.
    ours = {found["name"]: found for found in kinora(args.kinora, *(case["name"] for case in cases))}
    other = torch.cuda.get_device_name() if device == "cuda" else "the processor"
    for found in list(ours.values())[:1]:
        print(f"kinora on {found['device']}, {found['driver']}")
    print(f"PyTorch {torch.__version__} on {other}\n")
    print(f"{'bench':40} {'kinora':>10} {'':>14} {'PyTorch':>10} {'':>14}  {'ratio':>6}")
    side = Torch(device)
    for case in cases:
        mine, theirs = ours.get(case["name"]), side.measure(case)
        cells = []
        for seconds, gflops in (
            (mine and mine["seconds"], mine and mine.get("gflops")),
            (theirs, mine and theirs and mine.get("gflops", 0) * mine["seconds"] / theirs),
        ):
            cells += [duration(seconds) if seconds else "-", rate(gflops) if gflops else ""]
        ratio = f"{theirs / mine['seconds']:.2f}" if mine and theirs else "-"
        print("{:40} {:>10} {:>14} {:>10} {:>14}  {:>6}".format(case["name"], *cells, ratio), flush=True)


if __name__ == "__main__":
    main()
