"""The starter's tokenizer and text encoder, and the task that teaches the encoder to read.

The encoder (a two-layer UMT5) learns by naming what a caption states, and is then fixed: the transformer
gets features that tell subjects, colours and directions apart from its first step on.
"""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

import world
from optim import Clock, note, rate, set_rates
from presets import Preset
from world.captions import GUIDES, PLAIN_SIDE, SIDE, caption

TEXT_LENGTH = 512  # what inference pads to
TRAIN_LENGTH = 63  # the longest caption in training, in tokens
SPECIAL = ["<pad>", "</s>", "<s>", "<unk>"]
SUFFIXES = ["ing", "s", "ed", "er", "ly", "y", "es", "en"]
WEIGHTS = dict(move=4.0, camera=2.0)  # "from right to left" has both sides in it, and a camera's side stands beside it: order is learned last
ATTRIBUTES = {k: [*v, None] for k, v in world.ATTRIBUTES.items()}  # None: the caption is silent


def make_tokenizer(preset: Preset, path: Path):
    """A Unigram model whose pieces are the grammar's words, scored by how often they occur.

    A trained Unigram leaves a grammar of a thousand words in fragments (82 pieces for the shorter of the two
    guides' prompts, 42 so). What is not a word of ours is spelt in pieces of words, or letter by letter.
    """
    rng = np.random.default_rng(1)
    corpus = [caption(world.sample(rng, only=preset.only), rng)[0] for _ in range(20_000)] + [text for text, _ in GUIDES] * 20
    words, inner = Counter(), Counter()
    for word in " ".join(corpus).lower().split():
        word, mark = (word[:-1], word[-1]) if word[-1] in ",." else (word, "")
        words["▁" + word] += 1
        words[mark] += bool(mark)
        for i, part in enumerate(re.split("([-'])", word)):
            words[part if i else "▁" + part] += 1
    for word in {*words, *("▁" + w for w in SUFFIXES)}:
        inner.update(word[i : i + n] for n in (2, 3, 4) for i in range(len(word) - n + 1))
    total = sum(words.values())
    scores = {w: math.log(c / total) for w, c in words.items() if w}
    for piece in [*SUFFIXES, *(p for p, _ in inner.most_common(400))]:
        scores.setdefault(piece, -14.0)
    for letter in ["▁", *(chr(c) for c in range(33, 127) if not chr(c).isupper())]:
        scores.setdefault(letter, -16.0)
    tok = Tokenizer(models.Unigram([(s, 0.0) for s in SPECIAL] + sorted(scores.items(), key=lambda v: (-v[1], v[0])), unk_id=3))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.add_special_tokens(SPECIAL)
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tok.save(str(path))


def tokens(tok, texts, length=None):
    """Ids [B, L] padded to the longest or to `length`, and the number of real tokens [B]."""
    most = length or TEXT_LENGTH
    ids = [[*e.ids[: most - 1], e.ids[-1]] if len(e.ids) > most else e.ids for e in tok.encode_batch(texts)]
    lengths = torch.tensor([len(i) for i in ids])
    out = torch.zeros(len(ids), length or int(lengths.max()), dtype=torch.long)
    for row, i in zip(out, ids):
        row[: len(i)] = torch.tensor(i)
    return out, lengths


def embed(encoder, tok, texts, length=None):
    """Features [B, L, dim], zero beyond each text's own length, and the lengths [B]."""
    device = next(encoder.parameters()).device
    ids, lengths = (v.to(device) for v in tokens(tok, list(texts), length))
    mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
    return encoder(ids, attention_mask=mask.long()).last_hidden_state * mask[..., None], lengths


class Naming(nn.Module):
    """One attention pool and one classifier an attribute."""

    def __init__(self, dim):
        super().__init__()
        self.query = nn.Parameter(torch.randn(len(ATTRIBUTES), dim) / dim**0.5)
        self.heads = nn.ModuleList([nn.Linear(dim, len(v)) for v in ATTRIBUTES.values()])

    def forward(self, h, lengths):
        score = (h @ self.query.T).masked_fill((torch.arange(h.shape[1], device=h.device) >= lengths[:, None])[..., None], -1e9)
        pooled = score.softmax(1).transpose(1, 2) @ h
        return [head(pooled[:, i]) for i, head in enumerate(self.heads)]


def targets(said):
    return torch.tensor([[v.index(s.get(k)) for k, v in ATTRIBUTES.items()] for s in said])


def look_around(encoder):
    """Lets two heads a layer begin with looking at the word before and the one after: without, the encoder stays a bag of words.

    Its first one did, so that "from left to right" was "from right to left".
    """
    with torch.no_grad():
        for block in encoder.encoder.block:
            bias = block.layer[0].SelfAttention.relative_attention_bias
            half = bias.num_embeddings // 2  # up to there what comes before, by distance; from there on what comes after
            bias.weight[1, 0], bias.weight[half + 1, 1] = 4.0, 4.0


def train_text(preset: Preset, run: Path, minutes: float, device):
    torch.manual_seed(0)
    (run / "text_encoder").mkdir(parents=True, exist_ok=True)
    if (run / "text_encoder" / "config.json").exists():  # once more, from where it is
        tok, encoder = load_text(run, device)
        encoder.requires_grad_(True).train()
    else:
        make_tokenizer(preset, run / "tokenizer.json")
        tok = Tokenizer.from_file(str(run / "tokenizer.json"))
        encoder = UMT5EncoderModel(UMT5Config(vocab_size=tok.get_vocab_size(), **preset.text())).to(device)
        look_around(encoder)
    naming = Naming(preset.text_dim).to(device)
    params = dict([*encoder.named_parameters(), *naming.named_parameters()])
    biases = [p for n, p in params.items() if "relative_attention_bias" in n]  # have far to go: who looks at its neighbour needs a few units
    others = [p for n, p in params.items() if "relative_attention_bias" not in n]
    opt = torch.optim.AdamW([dict(params=others, lr=2e-3), dict(params=biases, lr=0.05, weight_decay=0.0)], betas=(0.9, 0.98), weight_decay=0.01)
    rng = np.random.default_rng(5)
    # Scenes are kept, captions are not: every one is worded anew.
    scenes = [world.sample(rng, only=preset.only) for _ in range(20_000)]
    clock, step, mean = Clock(minutes, None), 0, 0.0
    while not clock.over():
        set_rates([opt], rate(clock.share(), step, 50))
        texts, said = zip(*[caption(scenes[i], rng) for i in rng.integers(len(scenes), size=96)])
        texts, said = [*texts, ""], [*said, {}]
        logits, y = naming(*embed(encoder, tok, texts)), targets(said).to(device)
        loss = sum(WEIGHTS.get(k, 1.0) * F.cross_entropy(l, y[:, i]) for i, (k, l) in enumerate(zip(ATTRIBUTES, logits)))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(params.values(), 1.0)
        opt.step()
        step += 1
        if step % 20 == 0 or step == 1:
            right = torch.stack([(l.argmax(-1) == y[:, i]).float().mean() for i, l in enumerate(logits)]).cpu()
            mean = right if step == 1 else 0.8 * mean + 0.2 * right
        if step % 100 == 0:
            note(run, "text", step=step, spent=clock.spent, loss=loss, **{f"right {k}": v for k, v in zip(ATTRIBUTES, mean)})
            print(f"step {step} {clock.spent:.0f} s  loss {loss.item():.3f}  right", {k: round(float(v), 3) for k, v in zip(ATTRIBUTES, mean)}, flush=True)
        clock.tick()
    encoder.save_pretrained(run / "text_encoder")
    with torch.no_grad():
        read = [l.argmax(-1) for l in naming(*embed(encoder, tok, [text for text, _ in GUIDES]))]
    for i, (_, scene) in enumerate(GUIDES):
        print("reads", {k: v[read[j][i]] for j, (k, v) in enumerate(ATTRIBUTES.items())}, "of", scene)


def reword(preset: Preset, run: Path, minutes: float, device):
    """Teaches an encoder that is a bag of words their order, for a transformer that knows its features: no weight of that changes.

    What it made of "rightwards" it shall make of "from left to right" and of whatever else says so; and of all other words what it did.
    """
    tok, before = load_text(run, device)
    encoder = copy.deepcopy(before).requires_grad_(True).train()
    look_around(encoder)
    opt = torch.optim.AdamW(encoder.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    few = torch.tensor([tok.token_to_id("▁" + side) for side in SIDE], device=device)  # of a caption's words, and what it is about
    rng, clock, step = np.random.default_rng(9), Clock(minutes, None), 0
    scenes = [world.sample(rng, only=preset.only) for _ in range(20_000)]
    while not clock.over():
        set_rates([opt], rate(clock.share(), step, 50))
        lots = [(scenes[i], int(seed)) for i, seed in zip(rng.integers(len(scenes), size=96), rng.integers(2**31, size=96))]
        texts, plain = ([caption(s, np.random.default_rng(seed), sides=sides)[0] for s, seed in lots] + [""] for sides in (SIDE, PLAIN_SIDE))
        (h, lengths), (asked, _) = embed(encoder, tok, texts), embed(before, tok, plain)
        error = (h - asked).square().sum(2)
        weight = 1 + 9 * torch.isin(tokens(tok, texts)[0].to(device), few)
        loss = (weight * error).sum() / lengths.sum()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        opt.step()
        step += 1
        if step % 100 == 0:
            away, full = (v.sum().div(lengths.sum()).sqrt().item() for v in (error, asked.square()))
            note(run, "reword", step=step, spent=clock.spent, away=away)
            print(f"step {step} {clock.spent:.0f} s  features {away:.2f} away of {full:.1f}, at most {error.max().sqrt().item():.1f}", flush=True)
        clock.tick()
    encoder.save_pretrained(run / "text_encoder")


def load_text(run: Path, device="cpu"):
    tok = Tokenizer.from_file(str(run / "tokenizer.json"))
    return tok, UMT5EncoderModel.from_pretrained(run / "text_encoder").float().to(device).eval().requires_grad_(False)
