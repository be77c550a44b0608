"""What the trainings share: the optimiser, clocks and checkpoints."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import torch


def fast_bf16(device: torch.device) -> bool:
    """Whether products in bf16 are quick there: on every GPU, and on a CPU with AVX-512 BF16 (four times f32)."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (K. Jordan, 2024), for matrices and kernels, those of one shape together."""

    def __init__(self, params, lr=0.02, momentum=0.95):
        super().__init__(list(params), dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[tuple(p.flatten(1).shape)].append(p)
            for (rows, columns), params in shapes.items():
                g = torch.stack([p.grad.flatten(1).float() for p in params])
                m = torch.stack([self.state[p].get("m", torch.zeros_like(x)).float() for p, x in zip(params, g)])
                m.lerp_(g, 1 - group["momentum"])
                for p, own in zip(params, m):
                    self.state[p]["m"] = own
                g = g.lerp(m, group["momentum"])
                x = g.mT if rows > columns else g
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
                x = x.bfloat16() if fast_bf16(x.device) else x
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = (x.mT if rows > columns else x).float()
                for p, update in zip(params, x):
                    p.add_(update.reshape(p.shape), alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


class Clock:
    """Seconds spent in training, over all pieces of a run, and how much of the budget that is."""

    def __init__(self, minutes: float, piece: float | None):
        self.budget, self.spent, self.mark = minutes * 60, 0.0, time.time()
        self.stop = None if piece is None else time.time() + piece * 60

    def tick(self):
        now = time.time()
        self.spent, self.mark = self.spent + now - self.mark, now

    def share(self):
        return min(1.0, self.spent / self.budget)

    def over(self):
        return self.spent >= self.budget or (self.stop is not None and time.time() >= self.stop)


def rate(share: float, step: int, warm: int = 30) -> float:
    """Of the full rate: a short start, the full rate, and a linear end from 40 % of the time on."""
    return min(1.0, (step + 1) / warm) * (1.0 if share < 0.4 else max(0.01, (1 - share) / 0.6))


def set_rates(optimisers, factor):
    for o in optimisers:
        for g in o.param_groups:
            g.setdefault("full", g["lr"])
            g["lr"] = g["full"] * factor


def descend(loss, optimisers, clipped):
    """One step down; the gradients of `clipped` to a length of at most 1 (Muon's have a length of their own)."""
    for o in optimisers:
        o.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(clipped, 1.0)
    for o in optimisers:
        o.step()


def save(state: dict, path: Path):
    """Writes a checkpoint whole or not at all."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def load(path: Path, device="cpu"):
    return torch.load(path, map_location=device, weights_only=False) if path.exists() else None


def half(tensors: dict) -> dict:
    return {k: v.detach().to("cpu", torch.float16).clone() for k, v in tensors.items()}


def note(out: Path, stage: str, **values):
    """Adds a line to the run's log, which export.py plots."""
    with open(out / "log.jsonl", "a") as f:
        f.write(json.dumps(dict(stage=stage, **{k: round(float(v), 4) for k, v in values.items()})) + "\n")
