//! Norms that hold weights.

use super::Weights;
use crate::error::{Error, RecordError};
use crate::ops::norm::norm_rope;
use crate::ops::norm::{Affine, layer_norm, rms_norm};
use crate::ops::rope::Rope;
use crate::record::{Recorder, Tensor};

/// `torch.nn.LayerNorm` with weight and bias `[C]`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    gain: Tensor,
    shift: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Asks for `weight` and `bias` of a norm over C columns.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn new(
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        cols: usize,
        eps: f32,
    ) -> Result<Self, Error> {
        let gain = weights.vector(rec, "weight", [cols])?;
        Ok(Self {
            gain,
            shift: weights.vector(rec, "bias", [cols])?,
            eps,
        })
    }

    /// `weight (x - mean) / sqrt(variance + eps) + bias` over each row.
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn forward(&self, rec: &mut Recorder<'_>, x: &Tensor) -> Result<Tensor, RecordError> {
        layer_norm(
            rec,
            x,
            self.eps,
            Affine::Gain {
                gain: &self.gain,
                shift: &self.shift,
            },
        )
    }
}

/// `torch.nn.RMSNorm` and T5's layer norm: weight `[C]`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    gain: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// Asks for `weight` of a norm over C columns.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn new(
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        cols: usize,
        eps: f32,
    ) -> Result<Self, Error> {
        Ok(Self {
            gain: weights.vector(rec, "weight", [cols])?,
            eps,
        })
    }

    /// `weight x / sqrt(mean(x^2) + eps)` over each row, `into` a tensor where given.
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn forward(
        &self,
        rec: &mut Recorder<'_>,
        x: &Tensor,
        into: Option<&Tensor>,
    ) -> Result<Tensor, RecordError> {
        rms_norm(rec, x, &self.gain, self.eps, into)
    }

    /// Records the norm and the rotary embedding, `into` rows of a tensor if given; see [`norm_rope`].
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn forward_rope(
        &self,
        rec: &mut Recorder<'_>,
        x: &Tensor,
        rope: &Rope<'_>,
        into: Option<&Tensor>,
    ) -> Result<Tensor, RecordError> {
        norm_rope(rec, x, &self.gain, self.eps, rope, into)
    }
}
