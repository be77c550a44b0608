//! One block: self-attention, cross-attention to the text, feed-forward.
//!
//! ```text
//! hidden += gate_0 attn1(norm1(hidden) (1 + scale_0) + shift_0)       rotary q and k
//! hidden += attn2(norm2(hidden), text)                            of images too: attn2(…, text) + attn2(…, image)
//! hidden += gate_1 ffn(norm3(hidden) (1 + scale_1) + shift_1)
//! ```

use std::ops::Range;

use super::Sizes;
use crate::error::Error;
use crate::nn::{After, LayerNorm, Linear, RmsNorm, Weights};
use crate::ops::add::add;
use crate::ops::attention::{AttentionShape, Bias, attention};
use crate::ops::embed::modulation;
use crate::ops::norm::{Affine, layer_norm};
use crate::ops::rope::Rope;
use crate::record::{Caps, Recorder, Recording, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Bytes of the widest activation of a piece, at most. Keys and values are whole, and all else is
/// computed for some rows at a time: the feed-forward alone would be 4 GB for 720p in a 14B model
/// (13,824 columns), the queries 1.5 GB. Enough rows for every core of a large GPU remain.
const PIECE_BYTES: u64 = 64 << 20;

/// The keys and values of the text that a block keeps.
pub(super) const TEXT_KEYS: [&str; 2] = ["text keys", "text values"];

/// The six tensors [D, dim] that modulate a block, in the order of its table.
struct Modulation([Tensor; 6]);

impl Sizes<'_> {
    /// The block of that number, on the state `hidden` [N, dim].
    pub(super) fn record_block(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
        block: usize,
    ) -> Result<Recording, Error> {
        let (dim, tokens) = (self.config.dim(), self.tokens());
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint).at("blocks").at(&block.to_string());
        let hidden = rec.state("hidden", [tokens, dim], DType::F32)?;
        let proj = rec.state("time proj", [self.shape.timesteps, 6 * dim], DType::F32)?;
        let index = rec.input("token timestep", [tokens], DType::U32)?;

        let table = weights.vector(rec, "scale_shift_table", [1, 6, dim])?;
        let modulation = Modulation(modulation(rec, &table, &proj)?);

        let block = Block {
            sizes: self,
            weights,
            hidden,
            modulation,
            index,
        };
        let kv = block.record_keys(rec)?;
        let text = self.text_keys(rec)?;
        let counts = rec.input("text counts", [self.shape.text_rows], DType::F32)?;
        let text = [text[0], text[1], counts];
        let image = match self.image_rows {
            0 => None,
            _ => Some(self.image_keys(rec)?),
        };
        for rows in self.pieces(caps) {
            let x = block.record_self_attention(rec, &kv, rows.clone())?;
            let x = block.record_cross_attention(rec, &text, image.as_ref(), &x)?;
            block.record_feed_forward(rec, &x, rows)?;
        }
        Ok(recorder.finish())
    }

    /// `text keys` and `text values` [L, dim] of the block of that number, of the projected `text`
    /// [L, dim]: no timestep changes them, so a prompt needs them once where they can be kept.
    pub(super) fn record_text_keys(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
        block: usize,
    ) -> Result<Recording, Error> {
        let (rows, dim) = (self.shape.text_rows, self.config.dim());
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint).at("blocks").at(&block.to_string());
        let weights = weights.at("attn2");
        let text = rec.input("text", [rows, dim], DType::F32)?;
        let [k, v] = self.text_keys(rec)?;
        let raw = Linear::new(rec, &weights.at("to_k"), dim, dim)?;
        let raw = raw.forward(rec, &text, After::Nothing, None)?;
        let norm = RmsNorm::new(rec, &weights.at("norm_k"), dim, self.eps())?;
        norm.forward(rec, &raw, Some(&k))?;
        let values = Linear::new(rec, &weights.at("to_v"), dim, dim)?;
        values.forward(rec, &text, After::Nothing, Some(&v))?;
        Ok(recorder.finish())
    }

    fn text_keys(&self, rec: &mut Recorder<'_>) -> Result<[Tensor; 2], Error> {
        let (rows, dim) = (self.shape.text_rows, self.config.dim());
        let dtype = rec.activations();
        let [k, v] = TEXT_KEYS.map(|name| rec.state(name, [rows, dim], dtype));
        Ok([k?, v?])
    }

    /// The rows that are computed at a time: multiples of 64, so that they start at every device's
    /// alignment, and about as many each.
    fn pieces(&self, caps: &Caps) -> impl Iterator<Item = Range<usize>> {
        let widest = self.config.ffn_dim.max(self.config.dim()).max(1);
        let bytes = PIECE_BYTES.min(caps.max_binding_bytes) as usize;
        let row = widest * caps.activations().size();
        let most = (bytes / row / 64 * 64).max(64);
        let tokens = self.tokens();
        let pieces = tokens.div_ceil(most).max(1);
        let rows = tokens.div_ceil(pieces).next_multiple_of(64);
        (0..tokens)
            .step_by(rows)
            .map(move |first| first..tokens.min(first + rows))
    }

    pub(super) fn eps(&self) -> f32 {
        self.config.eps as f32
    }

    fn heads(&self) -> AttentionShape {
        let (heads, head_size) = (
            self.config.num_attention_heads,
            self.config.attention_head_dim,
        );
        AttentionShape {
            heads,
            head_size,
            scale: (1.0 / (head_size as f64).sqrt()) as f32,
        }
    }
}

/// A block being recorded.
struct Block<'s, 'c> {
    sizes: &'s Sizes<'s>,
    weights: Weights<'c>,
    /// [N, dim]: read, then written, row by row.
    hidden: Tensor,
    modulation: Modulation,
    /// `[N]`: which row of the modulation a token takes.
    index: Tensor,
}

impl Block<'_, '_> {
    fn dim(&self) -> usize {
        self.sizes.config.dim()
    }

    /// A norm of some rows, modulated by the chunks `shift` and `scale` of the table.
    fn modulated(
        &self,
        rec: &mut Recorder<'_>,
        x: &Tensor,
        rows: &Range<usize>,
        [shift, scale]: [usize; 2],
    ) -> Result<Tensor, Error> {
        let Modulation(chunks) = &self.modulation;
        let affine = Affine::Modulation {
            scale: &chunks[scale],
            shift: &chunks[shift],
            index: &self.index.view_rows(rows.start, rows.len())?,
        };
        Ok(layer_norm(rec, x, self.sizes.eps(), affine)?)
    }

    /// A projection to q or k before its norm.
    fn projected(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        let layer = Linear::new(rec, weights, self.dim(), self.dim())?;
        Ok(layer.forward(rec, x, After::Nothing, None)?)
    }

    /// The projection to v, in the element type of q and k, into some rows.
    fn values(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
        v: &Tensor,
    ) -> Result<(), Error> {
        let layer = Linear::new(rec, &weights.at("to_v"), self.dim(), self.dim())?;
        layer.forward(rec, x, After::Nothing, Some(v))?;
        Ok(())
    }

    /// Some rows of q or k of the self-attention: normed over all heads together and turned by their
    /// tokens' positions.
    fn turned(
        &self,
        rec: &mut Recorder<'_>,
        [linear, norm]: [&str; 2],
        x: &Tensor,
        first: usize,
        into: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let grid = &self.sizes.grid;
        let positions = [
            grid.positions(),
            self.sizes.config.attention_head_dim / 2,
            2,
        ];
        let table = &rec.input("rope", positions, DType::F32)?;
        let weights = self.weights.at("attn1");
        let raw = self.projected(rec, &weights.at(linear), x)?;
        let norm = RmsNorm::new(rec, &weights.at(norm), self.dim(), self.sizes.eps())?;
        let rope = Rope { table, grid, first };
        Ok(norm.forward_rope(rec, &raw, &rope, into)?)
    }

    /// k and v [N, dim] of the self-attention.
    fn record_keys(&self, rec: &mut Recorder<'_>) -> Result<[Tensor; 2], Error> {
        let (tokens, dtype) = (self.sizes.tokens(), rec.activations());
        let kv = ["k", "v"].map(|name| rec.intermediate(name, [tokens, self.dim()], dtype));
        for rows in self.sizes.pieces(rec.caps()) {
            let (first, count) = (rows.start, rows.len());
            let [k, v] = [0, 1].map(|i: usize| kv[i].view_rows(first, count));
            let x = self.hidden.view_rows(first, count)?;
            let x = self.modulated(rec, &x, &rows, [0, 1])?;
            self.turned(rec, ["to_k", "norm_k"], &x, first, Some(&k?))?;
            self.values(rec, &self.weights.at("attn1"), &x, &v?)?;
        }
        Ok(kv)
    }

    /// `hidden + gate_0 attn1(…)` of some rows. Their queries are made here: no row of `hidden`
    /// changes before its own feed-forward.
    fn record_self_attention(
        &self,
        rec: &mut Recorder<'_>,
        [k, v]: &[Tensor; 2],
        rows: Range<usize>,
    ) -> Result<Tensor, Error> {
        let (first, count) = (rows.start, rows.len());
        let hidden = self.hidden.view_rows(first, count)?;
        let x = self.modulated(rec, &hidden, &rows, [0, 1])?;
        let q = self.turned(rec, ["to_q", "norm_q"], &x, first, None)?;
        let mixed = attention(
            rec,
            (&q).into(),
            k.into(),
            v.into(),
            self.sizes.heads(),
            Bias::None,
        )?;
        let weights = self.weights.at("attn1");
        let layer = Linear::new(rec, &weights.at("to_out.0"), self.dim(), self.dim())?;
        let Modulation([_, _, gate, ..]) = &self.modulation;
        let after = After::GateAdd {
            residual: &hidden,
            gate,
            index: &self.index.view_rows(first, count)?,
        };
        Ok(layer.forward(rec, &mixed, after, None)?)
    }

    /// `x + attn2(norm2(x), text)` of some rows. If the model sees images, the same queries attend to the
    /// image tokens separately, and both results are added.
    fn record_cross_attention(
        &self,
        rec: &mut Recorder<'_>,
        [k, v, counts]: &[Tensor; 3],
        image: Option<&[Tensor; 2]>,
        residual: &Tensor,
    ) -> Result<Tensor, Error> {
        let dim = self.dim();
        let x = if self.sizes.config.cross_attn_norm {
            let norm = LayerNorm::new(rec, &self.weights.at("norm2"), dim, self.sizes.eps())?;
            norm.forward(rec, residual)?
        } else {
            *residual
        };
        let weights = self.weights.at("attn2");
        let raw = self.projected(rec, &weights.at("to_q"), &x)?;
        let norm = RmsNorm::new(rec, &weights.at("norm_q"), dim, self.sizes.eps())?;
        let q = norm.forward(rec, &raw, None)?;
        let mixed = attention(
            rec,
            (&q).into(),
            k.into(),
            v.into(),
            self.sizes.heads(),
            Bias::Keys(counts),
        )?;
        let mixed = match image {
            None => mixed,
            Some([k, v]) => {
                let heads = self.sizes.heads();
                let seen = attention(rec, (&q).into(), k.into(), v.into(), heads, Bias::None)?;
                add(rec, &mixed, &seen)?
            }
        };
        let layer = Linear::new(rec, &weights.at("to_out.0"), dim, dim)?;
        Ok(layer.forward(rec, &mixed, After::Add(residual), None)?)
    }

    /// `x + gate_1 ffn(…)`, into those rows of `hidden`.
    fn record_feed_forward(
        &self,
        rec: &mut Recorder<'_>,
        x: &Tensor,
        rows: Range<usize>,
    ) -> Result<(), Error> {
        let (dim, inner) = (self.dim(), self.sizes.config.ffn_dim);
        let normed = self.modulated(rec, x, &rows, [3, 4])?;
        let weights = self.weights.at("ffn.net");
        let up = Linear::new(rec, &weights.at("0.proj"), dim, inner)?;
        let down = Linear::new(rec, &weights.at("2"), inner, dim)?;
        let width = [rows.len(), inner.next_multiple_of(4)];
        let raised = rec.intermediate("feed forward", width, rec.activations());
        up.forward(rec, &normed, After::Gelu, Some(&raised))?;
        let Modulation([.., gate]) = &self.modulation;
        let after = After::GateAdd {
            residual: x,
            gate,
            index: &self.index.view_rows(rows.start, rows.len())?,
        };
        let into = self.hidden.view_rows(rows.start, rows.len())?;
        down.forward(rec, &raised, after, Some(&into))?;
        Ok(())
    }
}
