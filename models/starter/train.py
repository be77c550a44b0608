"""Trains the starter's text encoder and transformer on latents of the autoencoder.

    python train.py text --out DIR --minutes 4              # tokenizer, and UMT5 by naming what a caption says
    python train.py latents --data DATA --vae DIR --out DIR # every clip through the autoencoder, once
    python train.py train --out DIR --minutes 55            # flow matching; resumes
    python train.py sample --out DIR --vae DIR --prompt "…" --sheet sheet.png

The modules are diffusers' and transformers' own, so that what is trained is what inference runs. Only
the forward pass is written out here, for one reason: Wan pads the text to 512 tokens with zeros, and all
those zeros have the same key and value. One key with log(count) added to its scores is the same sum.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

import train_vae
import world
from train_vae import CONFIG as VAE
from train_vae import Muon, Workers

TEXT_LENGTH = 512
TEXT = dict(
    d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0,
    relative_attention_num_buckets=32, relative_attention_max_distance=128,
    feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
)
TRANSFORMER = dict(
    patch_size=(1, 2, 2), num_attention_heads=6, attention_head_dim=32, in_channels=VAE["z_dim"],
    out_channels=VAE["z_dim"], text_dim=TEXT["d_model"], freq_dim=256, ffn_dim=768, num_layers=4,
    cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6, rope_max_seq_len=1024,
)
SHIFT = 3.0
ATTRIBUTES = {k: [*v, None] for k, v in world.ATTRIBUTES.items()}  # None: the caption is silent


# ---- text ---------------------------------------------------------------------------------------


def train_tokenizer(path):
    rng = np.random.default_rng(1)
    corpus = [world.caption(world.sample_scene(rng), rng)[0] for _ in range(20000)]
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    alphabet = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tok.train_from_iterator(corpus, trainers.UnigramTrainer(
        vocab_size=1000, special_tokens=["<pad>", "</s>", "<s>", "<unk>"], unk_token="<unk>", initial_alphabet=alphabet,
        show_progress=False))
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tok.save(str(path))


def tokens(tok, texts):
    """Ids [B, L] padded to the longest, and the number of real tokens [B]."""
    ids = [e.ids[: TEXT_LENGTH - 1] + e.ids[-1:] if len(e.ids) > TEXT_LENGTH else e.ids for e in tok.encode_batch(texts)]
    lengths = torch.tensor([len(i) for i in ids])
    out = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
    for row, i in zip(out, ids):
        row[: len(i)] = torch.tensor(i)
    return out, lengths


def embed(encoder, tok, texts):
    ids, lengths = tokens(tok, texts)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return encoder(ids, attention_mask=mask.long()).last_hidden_state * mask[..., None], lengths


class Reader(nn.Module):
    """One attention pool and one classifier an attribute: the task that teaches the encoder to read."""

    def __init__(self, dim):
        super().__init__()
        self.query = nn.Parameter(torch.randn(len(ATTRIBUTES), dim) / dim**0.5)
        self.heads = nn.ModuleList([nn.Linear(dim, len(v)) for v in ATTRIBUTES.values()])

    def forward(self, h, lengths):
        score = (h @ self.query.T).masked_fill((torch.arange(h.shape[1]) >= lengths[:, None])[..., None], -1e9)
        pooled = score.softmax(1).transpose(1, 2) @ h
        return [head(pooled[:, i]) for i, head in enumerate(self.heads)]


def targets(said):
    return torch.tensor([[v.index(s.get(k)) for k, v in ATTRIBUTES.items()] for s in said])


def train_text(args):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out = Path(args.out)
    (out / "text_encoder").mkdir(parents=True, exist_ok=True)
    train_tokenizer(out / "tokenizer.json")
    tok = Tokenizer.from_file(str(out / "tokenizer.json"))
    encoder = UMT5EncoderModel(UMT5Config(vocab_size=tok.get_vocab_size(), **TEXT))
    reader = Reader(TEXT["d_model"])
    params = [*encoder.parameters(), *reader.parameters()]
    opt = torch.optim.AdamW(params, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    rng = np.random.default_rng(5)
    start, step, mean = time.time(), 0, 0.0
    while (u := (time.time() - start) / (args.minutes * 60)) < 1:
        opt.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 50) * min(1, (1 - u) / 0.5)
        texts, said = zip(*[world.caption(world.sample_scene(rng), rng) for _ in range(64)])
        texts, said = [*texts, ""], [*said, {}]
        logits = reader(*embed(encoder, tok, texts))
        y = targets(said)
        loss = sum(F.cross_entropy(l, y[:, i]) for i, l in enumerate(logits))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        step += 1
        right = torch.stack([(l.argmax(-1) == y[:, i]).float().mean() for i, l in enumerate(logits)])
        mean = right if step == 1 else 0.95 * mean + 0.05 * right
        if step % 100 == 0:
            print(f"step {step} {time.time() - start:.0f} s  loss {loss.item():.3f}  right", [round(float(m), 3) for m in mean], flush=True)
            encoder.save_pretrained(out / "text_encoder")
    encoder.save_pretrained(out / "text_encoder")


def load_text(folder):
    tok = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    return tok, UMT5EncoderModel.from_pretrained(Path(folder) / "text_encoder").eval().requires_grad_(False)


# ---- latents ------------------------------------------------------------------------------------


def cache_latents(args):
    torch.set_num_threads(1)
    _, enc = train_vae.load_vae(args.vae)
    clips, scenes = train_vae.load_clips(args.data)
    z = []
    scenes = scenes[: args.count]
    with torch.no_grad():
        for i in range(0, len(scenes), 8):
            x = torch.from_numpy(np.array(clips[i : min(i + 8, len(scenes))])).permute(0, 4, 1, 2, 3).float().div(127.5).sub(1.0)
            z.append(enc(x))
    z = torch.cat(z)
    mean, std = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
    z = (z - mean.view(-1, 1, 1, 1)) / std.view(-1, 1, 1, 1)
    torch.save(dict(z=z.half(), mean=mean, std=std, scenes=scenes), Path(args.out) / "latents.pt")
    print("latents", tuple(z.shape), "mean", [round(float(v), 3) for v in mean], "std", [round(float(v), 3) for v in std])


def subject_weight(scene, frames, h, w):
    """[T, h, w]: how much a latent counts in the loss, nine times as much on the subject."""
    out = np.empty((frames, h, w), np.float32)
    mid = world.WIDTH / world.HEIGHT / 2
    ys, xs = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / h, indexing="ij")
    for i in range(frames):
        k = max(0.0, 4 * i - 1.5)
        u = k / (world.FRAMES - 1) - 0.5
        cx, cy = world.path_of(scene, u, k / world.FPS)
        zoom = 1.0 + 0.40 * (u + 0.5) if scene.camera == "zoom" else 1.0
        cx, cy = (cx - mid) * zoom + mid, (cy - 0.55) * zoom + 0.55
        out[i] = 1 + 8 * np.exp(-((xs - cx) ** 2 + (ys - cy) ** 2) / (2 * 0.17**2))
    return out / 2.0


# ---- transformer --------------------------------------------------------------------------------


def new_transformer():
    """Wan's transformer; residual branches start closed at their last matrix instead of at their gates."""
    torch.manual_seed(2)
    m = WanTransformer3DModel(**TRANSFORMER)
    with torch.no_grad():
        for b in m.blocks:
            b.scale_shift_table.zero_()
            b.scale_shift_table[:, [2, 5]] = 1.0
            for last in (b.attn1.to_out[0], b.attn2.to_out[0], b.ffn.net[2]):
                last.weight.mul_(0.2)
                last.bias.zero_()
        m.condition_embedder.time_proj.weight.mul_(0.1)
        m.condition_embedder.time_proj.bias.zero_()
        m.scale_shift_table.zero_()
        # The velocity at high noise is nearly the input itself. The first channels carry it from the
        # patch embedding to the projection; the last norm leaves their scale at sqrt(wide / dim).
        c, dim = TRANSFORMER["in_channels"], m.patch_embedding.out_channels
        wide = 4 * c
        m.patch_embedding.weight.mul_(0.3)
        m.patch_embedding.weight[:wide] = torch.eye(wide).view(wide, c, 1, 2, 2)
        m.patch_embedding.bias.zero_()
        m.proj_out.weight.mul_(0.1)
        for i in range(wide):
            m.proj_out.weight[(i % 4) * c + i // 4, i] = (wide / dim) ** 0.5
        m.proj_out.bias.zero_()
    return m


def rotate(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


def forward(m, x, t, text, lengths, hook=None):
    """WanTransformer3DModel.forward for text [B, L, dim] of given lengths, as if padded to 512."""
    n = m.config.num_attention_heads
    b, _, f, h, w = x.shape
    cos, sin = m.rope(x)
    cos, sin = cos[..., 0::2].transpose(1, 2).float(), sin[..., 1::2].transpose(1, 2).float()
    x = m.patch_embedding(x).flatten(2).transpose(1, 2).contiguous()
    emb = m.condition_embedder
    temb = emb.time_embedder(emb.timesteps_proj(t))
    mod = emb.time_proj(F.silu(temb)).unflatten(1, (6, -1))
    text = emb.text_embedder(torch.cat([text, text.new_zeros(b, 1, text.shape[2])], 1))
    bias = torch.zeros(b, text.shape[1]).masked_fill(torch.arange(text.shape[1]) >= lengths[:, None], -1e9)
    bias[:, -1] = torch.log(TEXT_LENGTH - lengths.float())
    bias = bias[:, None, None]
    for i, block in enumerate(m.blocks):
        s1, k1, g1, s2, k2, g2 = (block.scale_shift_table + mod).chunk(6, 1)
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + k1) + s1
        a = block.attn1
        q, k = (rotate(heads(norm(to(y)), n), cos, sin) for norm, to in ((a.norm_q, a.to_q), (a.norm_k, a.to_k)))
        y = F.scaled_dot_product_attention(q, k, heads(a.to_v(y), n))
        x = x + a.to_out[0](y.transpose(1, 2).flatten(2)) * g1
        a = block.attn2
        q = heads(a.norm_q(a.to_q(block.norm2(x))), n)
        y = F.scaled_dot_product_attention(q, heads(a.norm_k(a.to_k(text)), n), heads(a.to_v(text), n), attn_mask=bias)
        x = x + a.to_out[0](y.transpose(1, 2).flatten(2))
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + k2) + s2
        x = x + block.ffn(y) * g2
        if hook is not None:
            hook(i, x)
    shift, scale = (m.scale_shift_table + temb[:, None]).chunk(2, 1)
    x = m.proj_out(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
    x = x.reshape(b, f, h // 2, w // 2, 1, 2, 2, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


class Hints(nn.Module):
    """Deep supervision, dropped after training: where a token is, and what the caption said.

    Wan's attention knows relative positions alone; from noise, a token finds its place in the frame only
    by what is not beyond the border. Asking for it directly is much quicker than waiting for it.
    """

    def __init__(self, dim, f, h, w):
        super().__init__()
        self.sizes = (f, h, w)
        self.place = nn.Linear(dim, f + h + w)
        self.said = nn.Linear(dim, sum(len(v) for v in ATTRIBUTES.values()))
        grid = torch.stack(torch.meshgrid(*[torch.arange(s) for s in (f, h, w)], indexing="ij"), -1)
        self.register_buffer("grid", grid.reshape(-1, 3))

    def forward(self, layer, x, y):
        """Two cross-entropies, (place, said), of the second block's output."""
        if layer != 1:
            return None
        x = F.layer_norm(x, x.shape[-1:])
        place = self.place(x).split(self.sizes, -1)
        place = sum(F.cross_entropy(l.transpose(1, 2), self.grid[:, i].expand(x.shape[0], -1)) for i, l in enumerate(place))
        said = self.said(x).split([len(v) for v in ATTRIBUTES.values()], -1)
        said = sum(F.cross_entropy(l.transpose(1, 2), y[:, i, None].expand(-1, x.shape[1])) for i, l in enumerate(said))
        return place, said


def train(rank, args):
    team = Workers(rank, args.workers, args.port)
    out = Path(args.out)
    data = torch.load(out / "latents.pt", weights_only=False)
    z, scenes = data["z"], data["scenes"]
    tok, encoder = load_text(out)
    _, _, f, h, w = z.shape
    weights = torch.from_numpy(np.stack([subject_weight(s, f, h, w) for s in scenes])).half()
    m, hints = new_transformer(), Hints(192, f, h // 2, w // 2)
    muon = [p for n, p in m.named_parameters() if p.dim() == 2 and "blocks." in n]
    ids = {id(p) for p in muon}
    adam = [p for p in [*m.parameters(), *hints.parameters()] if id(p) not in ids]
    everything = [*m.parameters(), *hints.parameters()]
    opts = [Muon(muon, lr=args.lr), torch.optim.AdamW(adam, lr=args.lr * 0.1, betas=(0.9, 0.98), weight_decay=0.0)]
    base = [o.param_groups[0]["lr"] for o in opts]
    step, spent, log = 0, 0.0, []
    ema = [p.detach().clone() for p in m.parameters()]
    path = out / "transformer.pt"
    if path.exists():
        saved = torch.load(path, weights_only=False)
        m.load_state_dict(saved["model"])
        hints.load_state_dict(saved["hints"])
        ema = saved["ema"]
        for o, s in zip(opts, saved["opts"]):
            o.load_state_dict(s)
        step, spent, log = saved["step"], saved["spent"], saved["log"]
    torch.manual_seed(1000 * step + rank)
    rng = np.random.default_rng([step, rank])

    def save():
        state = dict(model=m.state_dict(), hints=hints.state_dict(), ema=ema, opts=[o.state_dict() for o in opts], step=step, spent=spent, log=log)
        torch.save(state, out / "transformer.tmp")
        (out / "transformer.tmp").rename(path)

    budget, mean, mark, last = args.minutes * 60, None, time.time(), time.time()
    while spent < budget or step % args.sync:
        u = min(1.0, spent / budget)
        for o, b in zip(opts, base):
            o.param_groups[0]["lr"] = b * min(1.0, (step + 1) / 25) * (1.0 if u < 0.4 else max(0.01, (1 - u) / 0.6))
        pick = rng.integers(len(scenes), size=args.batch)
        x0, wt = z[pick].float(), weights[pick].float()[:, None]
        texts, said = zip(*[world.caption(scenes[i], rng) if rng.random() > 0.1 else ("", {}) for i in pick])
        text, lengths = embed(encoder, tok, list(texts))
        y = targets(said)
        v = torch.rand(args.batch)
        sigma = (SHIFT * v / (1 + (SHIFT - 1) * v)).clamp_(0.002, 0.999)
        s = sigma.view(-1, 1, 1, 1, 1)
        noise = torch.randn_like(x0)
        extra = []
        pred = forward(m, (1 - s) * x0 + s * noise, sigma * 1000, text, lengths, lambda i, t: extra.append(hints(i, t, y)))
        error = (pred - (noise - x0)).square()
        flow = (error * wt).mean()
        place, told = extra[1]
        loss = flow + args.hint * (1 - 0.8 * u) * (place + told)
        for o in opts:
            o.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(adam, 1.0)
        for o in opts:
            o.step()
        step += 1
        now = time.time()
        spent, mark = spent + now - mark, now
        values = np.array([flow.item(), error.mean().item(), place.item(), told.item()])
        mean = values if mean is None else 0.97 * mean + 0.03 * values
        if step % args.sync == 0:
            team.average(everything)
            spent = team.agree(spent)
            keep = min(0.92, step / args.sync / (10 + step / args.sync))
            with torch.no_grad():
                for e, p in zip(ema, m.parameters()):
                    e.lerp_(p, 1 - keep)
            if rank == 0 and now - last > args.every or spent >= budget and rank == 0:
                last = now
                log.append((step, round(spent), *[round(float(x), 4) for x in mean]))
                print(f"step {step} {spent:.0f} s  weighted {mean[0]:.4f}  flow {mean[1]:.4f}  place {mean[2]:.3f}  said {mean[3]:.3f}", flush=True)
                save()
    if rank == 0:
        save()
        (out / "log.json").write_text(json.dumps(log))


def load_transformer(folder):
    saved = torch.load(Path(folder) / "transformer.pt", weights_only=False)
    m = new_transformer()
    for p, e in zip(m.parameters(), saved["ema"]):
        p.data.copy_(e)
    return m.eval(), saved


@torch.no_grad()
def sample(m, tok, encoder, prompts, seed=0, steps=12, guidance=2.5, shift=SHIFT, shape=(9, 6, 10)):
    """Normalised latents [B, z, T, h, w] by UniPC with guidance, as WanPipeline does it."""
    text, lengths = embed(encoder, tok, prompts)
    none, zero = embed(encoder, tok, [""] * len(prompts))
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(len(prompts), VAE["z_dim"], *shape, generator=g)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        at = torch.full((len(prompts),), float(t))
        v = forward(m, x, at, text, lengths)
        if guidance != 1.0:
            base = forward(m, x, at, none, zero)
            v = base + guidance * (v - base)
        x = scheduler.step(v, t, x, return_dict=False)[0]
    return x


PROMPTS = [
    "a red kite glides over a quiet harbour at dawn, static wide shot",
    "a blue boat sails to the right at sunset",
    "a yellow car drives to the left through the desert at noon",
    "a white seagull flies left over the sea at night",
    "a green balloon rises over a meadow at noon",
    "a purple ball falls on the beach at sunset",
    "an orange car drives right in the city at night, the camera zooms in",
    "a black boat sails left in the harbour at noon, the camera pans right",
]


def sample_sheet(args):
    torch.set_num_threads(1)
    m, saved = load_transformer(args.out)
    tok, encoder = load_text(args.out)
    vae, _ = train_vae.load_vae(args.vae)
    data = torch.load(Path(args.out) / "latents.pt", weights_only=False)
    prompts = args.prompt or PROMPTS
    z = sample(m, tok, encoder, prompts, args.seed, args.steps, args.guidance, args.shift)
    z = z * data["std"].view(1, -1, 1, 1, 1) + data["mean"].view(1, -1, 1, 1, 1)
    from PIL import Image

    rows = []
    with torch.no_grad():
        for i in range(len(prompts)):
            clip = train_vae.decode(vae, z[i : i + 1])[0].clamp(-1, 1)
            rows.append(torch.cat([clip[:, t] for t in (0, 8, 16, 24, 32)], dim=2))
    sheet = torch.cat(rows, 1).add(1).mul(127.5).permute(1, 2, 0).byte().numpy()
    Image.fromarray(sheet).save(args.sheet)
    print("step", saved["step"], "spent", saved["spent"])


def check(args):
    """The written-out forward pass against diffusers', with the text really padded to 512."""
    m = new_transformer()
    torch.manual_seed(3)
    for p in m.parameters():
        p.data.add_(0.02 * torch.randn_like(p))
    text, lengths = torch.randn(2, 7, TEXT["d_model"]), torch.tensor([7, 4])
    text[1, 4:] = 0
    x, t = torch.randn(2, VAE["z_dim"], 3, 6, 10), torch.tensor([700.0, 30.0])
    padded = torch.cat([text, text.new_zeros(2, TEXT_LENGTH - 7, text.shape[2])], 1)
    with torch.no_grad():
        a, b = forward(m, x, t, text, lengths), m(x, t, padded, return_dict=False)[0]
    print("largest difference from diffusers' forward:", float((a - b).abs().max()), "of", float(b.abs().max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(required=True)
    p = sub.add_parser("text")
    p.set_defaults(run=train_text)
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=4)
    p = sub.add_parser("latents")
    p.set_defaults(run=cache_latents)
    p.add_argument("--count", type=int, default=3000)
    p.add_argument("--data", required=True)
    p.add_argument("--vae", required=True)
    p.add_argument("--out", required=True)
    p = sub.add_parser("train")
    p.set_defaults(run=lambda args: Workers.launch(train, args))
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=55)
    p.add_argument("--lr", type=float, default=0.02)
    p.add_argument("--batch", type=int, default=8, help="clips a worker and step")
    p.add_argument("--hint", type=float, default=0.05)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--sync", type=int, default=8)
    p.add_argument("--port", type=int, default=29412)
    p.add_argument("--every", type=float, default=60, help="seconds between checkpoints")
    p = sub.add_parser("sample")
    p.set_defaults(run=sample_sheet)
    p.add_argument("--out", required=True)
    p.add_argument("--vae", required=True)
    p.add_argument("--prompt", action="append")
    p.add_argument("--sheet", required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--guidance", type=float, default=2.0)
    p.add_argument("--shift", type=float, default=SHIFT)
    p = sub.add_parser("check")
    p.set_defaults(run=check)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
