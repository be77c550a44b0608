//! One block: self-attention, cross-attention to the text, feed-forward.
//!
//! ```text
//! hidden += gate_0 attn1(norm1(hidden) (1 + scale_0) + shift_0)       rotary q and k
//! hidden += attn2(norm2(hidden), text)
//! hidden += gate_1 ffn(norm3(hidden) (1 + scale_1) + shift_1)
//! ```

use super::Sizes;
use super::ends::linear;
use crate::error::Error;
use crate::nn::{LayerNorm, RmsNorm, Source};
use crate::ops::attention::{AttentionShape, Bias, attention};
use crate::ops::embed::modulation;
use crate::ops::matmul::{Epilogue, matmul};
use crate::ops::norm::{Affine, layer_norm};
use crate::record::{Caps, Recorder, Recording, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// Bytes of the feed-forward's inner activation, at most: it is the widest of all (13,824 columns
/// in the 14B models, 4 GB for 720p), and rows can be taken one group after the other.
const FEED_FORWARD_BYTES: u64 = 512 << 20;

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
        let source = Source::new(checkpoint).at("blocks").at(&block.to_string());
        let hidden = rec.state("hidden", [tokens, dim], DType::F32)?;
        let proj = rec.state("time proj", [self.shape.timesteps, 6 * dim], DType::F32)?;
        let index = rec.input("token timestep", [tokens], DType::U32)?;

        let table = source.vector(rec, "scale_shift_table", [1, 6, dim])?;
        let mut chunks = Vec::with_capacity(6);
        for i in 0..6 {
            chunks.push(modulation(rec, &table, i, &proj, i * dim)?);
        }
        let Ok(chunks) = <[Tensor; 6]>::try_from(chunks) else {
            return Ok(recorder.finish());
        };
        let modulation = Modulation(chunks);

        let x = self.record_self_attention(rec, &source, &hidden, &modulation, &index)?;
        let x = self.record_cross_attention(rec, &source, &x)?;
        self.record_feed_forward(rec, &source, &x, &modulation, &index, &hidden)?;
        Ok(recorder.finish())
    }

    fn eps(&self) -> f32 {
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

    /// A projection to q or k: linear, then the RMS norm over all heads together, and where `turn`
    /// is given the rotary embedding with its angles.
    fn normed(
        &self,
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        x: &Tensor,
        [projection, norm]: [&str; 2],
        turn: Option<&Tensor>,
    ) -> Result<Tensor, Error> {
        let dim = self.config.dim();
        let [w, b] = linear(rec, &source.at(projection), dim, dim)?;
        let y = matmul(rec, x, &w, Epilogue::Bias(&b), None)?;
        let norm = RmsNorm::new(rec, &source.at(norm), dim, self.eps())?;
        Ok(match turn {
            Some(table) => norm.forward_turned(rec, &y, table, &self.grid)?,
            None => norm.forward(rec, &y)?,
        })
    }

    /// The projection to v, in the element type of q and k.
    fn values(
        &self,
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        let dim = self.config.dim();
        let [w, b] = linear(rec, &source.at("to_v"), dim, dim)?;
        let v = rec.intermediate("to_v", [x.shape.rows(), dim], rec.caps().activations());
        Ok(matmul(rec, x, &w, Epilogue::Bias(&b), Some(&v))?)
    }

    fn record_self_attention(
        &self,
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        hidden: &Tensor,
        Modulation([shift, scale, gate, ..]): &Modulation,
        index: &Tensor,
    ) -> Result<Tensor, Error> {
        let dim = self.config.dim();
        let affine = Affine::Modulation {
            scale,
            shift,
            index,
        };
        let x = layer_norm(rec, hidden, self.eps(), affine)?;
        let source = source.at("attn1");
        let positions = [self.grid.positions(), self.config.attention_head_dim / 2, 2];
        let table = rec.input("rope", positions, DType::F32)?;
        let q = self.normed(rec, &source, &x, ["to_q", "norm_q"], Some(&table))?;
        let k = self.normed(rec, &source, &x, ["to_k", "norm_k"], Some(&table))?;
        let v = self.values(rec, &source, &x)?;
        let mixed = attention(
            rec,
            (&q).into(),
            (&k).into(),
            (&v).into(),
            self.heads(),
            Bias::None,
        )?;
        let [w, b] = linear(rec, &source.at("to_out.0"), dim, dim)?;
        let epilogue = Epilogue::GateResidual {
            bias: &b,
            residual: hidden,
            gate,
            index,
        };
        Ok(matmul(rec, &mixed, &w, epilogue, None)?)
    }

    fn record_cross_attention(
        &self,
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        hidden: &Tensor,
    ) -> Result<Tensor, Error> {
        let dim = self.config.dim();
        let x = if self.config.cross_attn_norm {
            LayerNorm::new(rec, &source.at("norm2"), dim, self.eps())?.forward(rec, hidden)?
        } else {
            *hidden
        };
        let source = source.at("attn2");
        let text = rec.input("text", [self.shape.text_rows, dim], DType::F32)?;
        let counts = rec.input("text counts", [self.shape.text_rows], DType::F32)?;
        let q = self.normed(rec, &source, &x, ["to_q", "norm_q"], None)?;
        let k = self.normed(rec, &source, &text, ["to_k", "norm_k"], None)?;
        let v = self.values(rec, &source, &text)?;
        let mixed = attention(
            rec,
            (&q).into(),
            (&k).into(),
            (&v).into(),
            self.heads(),
            Bias::Keys(&counts),
        )?;
        let [w, b] = linear(rec, &source.at("to_out.0"), dim, dim)?;
        Ok(matmul(
            rec,
            &mixed,
            &w,
            Epilogue::BiasResidual(&b, hidden),
            None,
        )?)
    }

    /// Into `hidden`.
    fn record_feed_forward(
        &self,
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        x: &Tensor,
        Modulation([.., shift, scale, gate]): &Modulation,
        index: &Tensor,
        hidden: &Tensor,
    ) -> Result<(), Error> {
        let (dim, inner) = (self.config.dim(), self.config.ffn_dim);
        let affine = Affine::Modulation {
            scale,
            shift,
            index,
        };
        let normed = layer_norm(rec, x, self.eps(), affine)?;
        let source = source.at("ffn.net");
        let [up, up_bias] = linear(rec, &source.at("0.proj"), dim, inner)?;
        let [down, down_bias] = linear(rec, &source.at("2"), inner, dim)?;
        let width = inner.next_multiple_of(4);
        let rows = x.shape.rows();
        let at_once = (FEED_FORWARD_BYTES / (4 * width) as u64) as usize / 64 * 64;
        let at_once = at_once.clamp(64, rows.max(64));
        for first in (0..rows).step_by(at_once) {
            let count = at_once.min(rows - first);
            let raised = rec.intermediate("feed forward", [count, width], DType::F32);
            let input = normed.view_rows(first, count)?;
            matmul(
                rec,
                &input,
                &up,
                Epilogue::BiasGelu(&up_bias),
                Some(&raised),
            )?;
            let epilogue = Epilogue::GateResidual {
                bias: &down_bias,
                residual: &x.view_rows(first, count)?,
                gate,
                index: &index.view_rows(first, count)?,
            };
            matmul(
                rec,
                &raised,
                &down,
                epilogue,
                Some(&hidden.view_rows(first, count)?),
            )?;
        }
        Ok(())
    }
}
