//! The linear layer.

use super::Weights;
use crate::error::{Error, RecordError};
use crate::ops::matmul::{Epilogue, matmul};
use crate::record::{Pack, Recorder, Tensor};
use crate::tensor::DType;
use crate::weights::{LOW_RANK_DOWN, LOW_RANK_UP};

/// `torch.nn.Linear`: weight [N, K] and, where the layer has one, bias `[N]`; with what adapters of
/// low rank (LoRA, Hu et al. 2021) add to it.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// [N, K]
    pub weight: Tensor,
    /// `[N]`
    pub bias: Option<Tensor>,
    /// [R, K] and [N, R]: the layer's matrix is `weight + up down`.
    adapter: Option<[Tensor; 2]>,
}

/// What becomes of a layer's output `y` before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum After<'t> {
    /// `y`
    Nothing,
    /// `gelu_tanh(y)`
    Gelu,
    /// `gelu_erf(y)`, the GELU without an approximation
    GeluErf,
    /// `silu(y)`
    Silu,
    /// `residual[M, N] + y`
    Add(&'t Tensor),
    /// `residual[M, N] + gate[index[M], N] y`
    GateAdd {
        /// [M, N] f32
        residual: &'t Tensor,
        /// [D, N] f32: one row a distinct timestep
        gate: &'t Tensor,
        /// `[M]` u32: which row of `gate` a row takes
        index: &'t Tensor,
    },
}

impl Linear {
    /// Asks for `weight` and `bias` of a layer with K inputs and N outputs.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn new(
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        k: usize,
        n: usize,
    ) -> Result<Self, Error> {
        let bias = weights.vector(rec, "bias", [n])?;
        Ok(Self {
            bias: Some(bias),
            ..Self::without_bias(rec, weights, k, n)?
        })
    }

    /// Loads the `weight` of a layer without bias.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn without_bias(
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        k: usize,
        n: usize,
    ) -> Result<Self, Error> {
        let weight = weights.weight(rec, "weight", [n, k], Pack::Matrix)?;
        let [down, up] = [LOW_RANK_DOWN, LOW_RANK_UP];
        let rank = weights.checkpoint().shape_of(&weights.name(down));
        let adapter = match rank.and_then(<[usize]>::first) {
            None => None,
            Some(&rank) => Some([
                weights.weight(rec, down, [rank, k], Pack::Matrix)?,
                weights.weight(rec, up, [n, rank], Pack::Matrix)?,
            ]),
        };
        Ok(Self {
            weight,
            bias: None,
            adapter,
        })
    }

    /// `after(x w^T + bias)` for x [M, K]: [M, N] f32, or `into`, see [`matmul`].
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn forward(
        &self,
        rec: &mut Recorder<'_>,
        x: &Tensor,
        after: After<'_>,
        into: Option<&Tensor>,
    ) -> Result<Tensor, RecordError> {
        let Some([down, up]) = &self.adapter else {
            let bias = self.bias_for(rec, after);
            return matmul(rec, x, &self.weight, epilogue(bias.as_ref(), after), into);
        };
        let (rows, n) = (x.shape.rows(), self.weight.shape.rows());
        let lowered = matmul(rec, x, down, Epilogue::None, None)?;
        // An activation sees both products, a sum takes them one after the other.
        let first = match after {
            After::Gelu | After::GeluErf | After::Silu => After::Nothing,
            After::Nothing | After::Add(_) | After::GateAdd { .. } => after,
        };
        let width = into.map_or(n, |into| into.shape.last_dim());
        let base = rec.intermediate("without adapter", [rows, width], DType::F32);
        let bias = self.bias_for(rec, first);
        let product = epilogue(bias.as_ref(), first);
        matmul(rec, x, &self.weight, product, Some(&base))?;
        let zeros;
        let both = match after {
            After::Nothing | After::Add(_) => Epilogue::Residual(&base),
            After::Gelu => Epilogue::ResidualGelu(&base),
            After::GeluErf => Epilogue::ResidualGeluErf(&base),
            After::Silu => Epilogue::ResidualSilu(&base),
            After::GateAdd { gate, index, .. } => {
                zeros = no_bias(rec, n);
                Epilogue::GateResidual {
                    bias: &zeros,
                    residual: &base,
                    gate,
                    index,
                }
            }
        };
        matmul(rec, &lowered, up, both, into)
    }

    /// The bias, or zeros where `after` has no product without one.
    fn bias_for(&self, rec: &mut Recorder<'_>, after: After<'_>) -> Option<Tensor> {
        let needed = !matches!(after, After::Nothing | After::Add(_));
        let n = self.weight.shape.rows();
        self.bias.or_else(|| needed.then(|| no_bias(rec, n)))
    }
}

fn no_bias(rec: &mut Recorder<'_>, n: usize) -> Tensor {
    let zeros = rec.intermediate("no bias", [n], DType::F32);
    rec.clear(&zeros);
    zeros
}

/// The epilogue of a product; without a bias only [`After::Nothing`] and [`After::Add`] are possible.
fn epilogue<'t>(bias: Option<&'t Tensor>, after: After<'t>) -> Epilogue<'t> {
    match (bias, after) {
        (Some(bias), After::Nothing) => Epilogue::Bias(bias),
        (Some(bias), After::Gelu) => Epilogue::BiasGelu(bias),
        (Some(bias), After::GeluErf) => Epilogue::BiasGeluErf(bias),
        (Some(bias), After::Silu) => Epilogue::BiasSilu(bias),
        (Some(bias), After::Add(residual)) => Epilogue::BiasResidual(bias, residual),
        (
            Some(bias),
            After::GateAdd {
                residual,
                gate,
                index,
            },
        ) => Epilogue::GateResidual {
            bias,
            residual,
            gate,
            index,
        },
        (None, After::Add(residual)) => Epilogue::Residual(residual),
        (None, _) => Epilogue::None,
    }
}
