"""The starter's transformer: diffusers' own `WanTransformer3DModel`, started well and run without waste.

Only the forward pass is written out here, for one reason: Wan pads the text to 512 tokens with zeros, and all
those zeros have the same key and value. One key with log(count) added to its scores is the same sum
(`train.py check` compares with diffusers).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from torch import nn

from matching import MATCHES
from presets import Preset
from text import ATTRIBUTES, TEXT_LENGTH


def new_transformer(preset: Preset) -> WanTransformer3DModel:
    """Wan's transformer; residual branches start closed at their last matrix instead of at their gates."""
    torch.manual_seed(2)
    m = WanTransformer3DModel(**preset.transformer())
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
        c, dim, p = preset.z_dim, preset.dim, preset.patch
        wide = p * p * c
        m.patch_embedding.weight.mul_(0.3)
        m.patch_embedding.weight[:wide] = torch.eye(wide).view(wide, c, 1, p, p)
        m.patch_embedding.bias.zero_()
        m.proj_out.weight.mul_(0.1)
        for i in range(wide):
            m.proj_out.weight[(i % (p * p)) * c + i // (p * p), i] = (wide / dim) ** 0.5
        m.proj_out.bias.zero_()
    return m


def of_patches(state, preset):
    """Weights learned for p×p latents a token, to start a transformer of fewer with: they take each latent for as many equal ones."""
    wide, now = state["patch_embedding.weight"].float(), preset.patch
    most = wide.shape[-1] // now
    state = dict(state, **{"patch_embedding.weight": wide.unflatten(-1, (now, most)).sum(-1).unflatten(-2, (now, most)).sum(-2)})
    for name in ("proj_out.weight", "proj_out.bias"):
        v = state[name].float().unflatten(0, (now, most, now, most, -1)).mean((1, 3))
        state[name] = v.flatten(0, 2)
    return state


def rotate(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def heads(x, n):
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


def attend(q, k, v, bias=None):
    """Scaled dot-product attention. On a CPU as two products: its fused kernel takes three times as long for few tokens."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    score = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(score if bias is None else score + bias, -1, dtype=v.dtype) @ v


def block_forward(block, n, x, mod, text, bias, cos, sin):
    s1, k1, g1, s2, k2, g2 = (block.scale_shift_table + mod).chunk(6, 1)
    y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + k1) + s1
    a = block.attn1
    q, k = (rotate(heads(norm(to(y)), n), cos, sin) for norm, to in ((a.norm_q, a.to_q), (a.norm_k, a.to_k)))
    v = heads(a.to_v(y), n)
    y = attend(q.to(v.dtype), k.to(v.dtype), v)
    x = x + a.to_out[0](y.transpose(1, 2).flatten(2)) * g1
    a = block.attn2
    q, k, v = heads(a.norm_q(a.to_q(block.norm2(x))), n), heads(a.norm_k(a.to_k(text)), n), heads(a.to_v(text), n)
    y = attend(q.to(v.dtype), k.to(v.dtype), v, bias.to(v.dtype))
    x = x + a.to_out[0](y.transpose(1, 2).flatten(2))
    y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + k2) + s2
    return x + block.ffn(y) * g2


run_block = block_forward  # train.py puts the compiled one here


def forward(m, x, t, text, lengths, hook=None):
    """WanTransformer3DModel.forward for text [B, L, dim] of given lengths, as if padded to 512."""
    n, p = m.config.num_attention_heads, m.config.patch_size[1]
    b, _, f, h, w = x.shape
    cos, sin = m.rope(x)
    cos, sin = cos[..., 0::2].transpose(1, 2).float(), sin[..., 1::2].transpose(1, 2).float()
    x = m.patch_embedding(x).flatten(2).transpose(1, 2).contiguous().float()
    emb = m.condition_embedder
    temb = emb.time_embedder(emb.timesteps_proj(t)).float()
    mod = emb.time_proj(F.silu(temb)).unflatten(1, (6, -1)).float()
    text = emb.text_embedder(torch.cat([text, text.new_zeros(b, 1, text.shape[2])], 1))
    bias = torch.zeros(b, text.shape[1], device=x.device).masked_fill(torch.arange(text.shape[1], device=x.device) >= lengths[:, None], -1e9)
    bias[:, -1] = torch.log(TEXT_LENGTH - lengths.float())
    bias = bias[:, None, None]
    for i, block in enumerate(m.blocks):
        x = run_block(block, n, x, mod, text, bias, cos, sin)
        if hook is not None:
            hook(i, x)
    shift, scale = (m.scale_shift_table + temb[:, None]).chunk(2, 1)
    x = m.proj_out(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
    x = x.reshape(b, f, h // p, w // p, 1, p, p, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3).float()


class Hints(nn.Module):
    """Deep supervision, dropped after training: where a token is, what the caption said, and what moves how.

    Wan's attention knows relative positions alone; from noise, a token finds its place in the frame only
    by what is not beyond the border. Asking for it directly is much quicker than waiting for it. And what a clip
    looks like is most of its latents' error: asked for the movement too, it plans that (as VideoJAM, Chefer et al. 2025, does by flow).
    """

    def __init__(self, preset, most):
        super().__init__()
        self.patch, self.read, self.move = preset.patch, min(1, preset.layers - 1), preset.layers // 2
        self.most = most  # latent frames, rows and columns, in tokens
        self.place = nn.Linear(preset.dim, sum(most))
        self.said = nn.Linear(preset.dim, sum(len(v) for v in ATTRIBUTES.values()))
        self.moves = nn.Linear(preset.dim, MATCHES * preset.patch**2)

    def forward(self, inside, size, y, moved, near):
        """Two cross-entropies (place, said) and a squared error (moves), of blocks' outputs [B, N, dim] by number.

        size: of the latents, [T, h, w]; y: what was said; moved [B, MATCHES, T, h, w]: `matching.movement` of the clip; near [B, 1, T, h, w]: how much each counts.
        """
        sizes = [size[0], size[1] // self.patch, size[2] // self.patch]
        x = F.layer_norm(inside[self.read], inside[self.read].shape[-1:])
        grid = torch.stack(torch.meshgrid(*[torch.arange(s, device=x.device) for s in sizes], indexing="ij"), -1).reshape(-1, 3)
        place = self.place(x).float().split(self.most, -1)
        place = sum(F.cross_entropy(l.transpose(1, 2), grid[:, i].expand(x.shape[0], -1)) for i, l in enumerate(place))
        said = self.said(x.mean(1)).float().split([len(v) for v in ATTRIBUTES.values()], -1)
        said = sum(F.cross_entropy(l, y[:, i]) for i, l in enumerate(said))
        x = F.layer_norm(inside[self.move], inside[self.move].shape[-1:])
        moves = F.pixel_shuffle(self.moves(x).float().unflatten(1, sizes).movedim(-1, 2).flatten(0, 1), self.patch).unflatten(0, moved.shape[:1] + moved.shape[2:3])
        return place, said, ((moves.movedim(1, 2) - moved.asinh()).square() * near).mean()


@torch.no_grad()
def sample(m, text, lengths, none, zero, size, z_dim, seed=0, steps=12, guidance=1.0, shift=3.0, stop=1.0):
    """Normalised latents [B, z, T, h, w] by UniPC, as WanPipeline does it; `none` is the empty prompt, read where guidance is not 1.

    Guidance stops after that share of the steps.
    """
    device = text.device
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(text), z_dim, *size, generator=generator).to(device)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000)
    scheduler.set_timesteps(steps, device=device)
    for i, t in enumerate(scheduler.timesteps):
        at = torch.full((len(text),), float(t), device=device)
        v = forward(m, x, at, text, lengths)
        if guidance != 1.0 and i < int(stop * steps):
            base = forward(m, x, at, none, zero)
            v = base + guidance * (v - base)
        x = scheduler.step(v, t, x, return_dict=False)[0]
    return x
