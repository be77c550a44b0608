"""The settings of the recipe: `gpu` made what is shipped, `cpu` is what two cores can learn, `whole` is the larger one we aim at, `smoke` a test.

`whole` is sized from three limits. 28 MB of f16 are 14 million parameters. 2.5 TFLOP for 81 frames of 256×144
are, after the decoder's 0.31, 2.19 for the transformer; at 3,024 tokens a pass of width 320 and six layers
costs 0.14, so guidance has to be part of the weights (it would double each pass) and 12 steps remain.
And one GPU has half an hour: 16×16×4 pixels a token make few tokens, and latents drawn once are used often.
`gpu` is its model at the sizes, lengths and world of `cpu`, where guidance by a second pass fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from world.scene import SUBJECTS, TIMES


@dataclass(frozen=True)
class Preset:
    name: str
    sizes: dict[str, tuple[int, int]]  # width and height of each shape; all have equally many latents
    frames: tuple[int, ...]
    z_dim: int
    base_dim: int  # of the decoder
    encoder: int  # width of the encoder, which is not shipped
    heads: int
    head_dim: int
    layers: int
    patch: int  # latents a token in each direction
    text_dim: int
    steps: int  # of sampling
    clips: int  # kept for training
    vae_batch: tuple[int, int, int]  # clips, frames and side of the crops
    batch_tokens: int  # tokens a step of the transformer
    batch_clips: int = 4096  # at most, a step: captions cost as much as single frames do
    shift: float = 3.0
    guidance: float = 3.0  # of the teacher, or of sampling where nothing is distilled
    stop: float = 1.0  # share of the steps after which guidance stops
    distilled: bool = True  # whether guidance is trained into the weights
    odds: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())  # of the shapes, and of the lengths; equal, and as the lengths, where empty
    stills: float = 0.0  # share of single frames among what is drawn for training
    default: int = 0  # how many of the clips, the last, have the default shape and length
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)  # a smaller world

    @property
    def dim(self):
        return self.heads * self.head_dim

    def vae(self) -> dict:
        return dict(
            base_dim=self.base_dim, z_dim=self.z_dim, dim_mult=[1, 1, 2, 2], num_res_blocks=1, attn_scales=[], temperal_downsample=[False, True, True],
            dropout=0.0, is_residual=True, patch_size=2, in_channels=12, out_channels=12, scale_factor_temporal=4, scale_factor_spatial=16,
            latents_mean=[0.0] * self.z_dim, latents_std=[1.0] * self.z_dim)

    def transformer(self) -> dict:
        return dict(
            patch_size=(1, self.patch, self.patch), num_attention_heads=self.heads, attention_head_dim=self.head_dim, in_channels=self.z_dim,
            out_channels=self.z_dim, text_dim=self.text_dim, freq_dim=256, ffn_dim=4 * self.dim, num_layers=self.layers, cross_attn_norm=True,
            qk_norm="rms_norm_across_heads", eps=1e-6, rope_max_seq_len=1024)

    def text(self) -> dict:
        return dict(
            d_model=self.text_dim, d_kv=32, d_ff=2 * self.text_dim, num_layers=2, num_heads=self.text_dim // 32, dropout_rate=0.0,
            relative_attention_num_buckets=32, relative_attention_max_distance=128, feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1,
            decoder_start_token_id=0)


WHOLE = {"landscape": (256, 144), "portrait": (144, 256), "square": (192, 192)}
SMALL = {"landscape": (224, 128), "portrait": (128, 224), "square": (160, 160)}
SMALL_WORLD = dict(subject=("car", "train", "sailboat", "balloon", "seagull", "kite", "ball", "person", "dog", "lighthouse", "windmill", "chairs"))

PRESETS = {p.name: p for p in (
    Preset("gpu", SMALL, (17, 33, 49), z_dim=32, base_dim=32, encoder=160, heads=5, head_dim=64, layers=6, patch=1, text_dim=192, steps=12,
           clips=48_000, vae_batch=(32, 17, 96), batch_tokens=64 * 1456, batch_clips=512, guidance=3.5, distilled=False,
           odds=((0.7, 0.15, 0.15), (0.2, 0.2, 0.6)), stills=0.1, only=SMALL_WORLD),
    Preset("whole", WHOLE, (17, 33, 49, 81), z_dim=32, base_dim=32, encoder=256, heads=5, head_dim=64, layers=6, patch=1, text_dim=192, steps=12,
           clips=60_000, vae_batch=(32, 17, 128), batch_tokens=64 * 3024),
    Preset("cpu", SMALL, (17, 33, 49), z_dim=32, base_dim=32, encoder=160, heads=5, head_dim=64, layers=6, patch=2, text_dim=192, steps=12,
           clips=17_200, default=3_200, vae_batch=(6, 9, 96), batch_tokens=32 * 140, batch_clips=64, guidance=3.5, distilled=False, odds=((0.7, 0.15, 0.15), (0.68, 0.16, 0.16)), stills=0.5, only=SMALL_WORLD),
    Preset("smoke", {"landscape": (64, 32), "portrait": (32, 64)}, (5, 9), z_dim=8, base_dim=16, encoder=32, heads=2, head_dim=16, layers=2, patch=1, text_dim=64,
           steps=2, clips=12, vae_batch=(2, 5, 32), batch_tokens=2 * 24, only=dict(subject=tuple(SUBJECTS)[:4], time=TIMES[:3])),
)}
