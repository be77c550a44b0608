//! Weights asked for by the checkpoint's names, and the linear layer.

use crate::error::{Error, RecordError};
use crate::ops::matmul::{Epilogue, matmul};
use crate::record::{Pack, Recorder, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// A checkpoint and the prefix of a layer in it: `source.at("attn1").at("to_q")`.
#[derive(Clone, Debug)]
pub struct Source<'c> {
    checkpoint: &'c Checkpoint,
    prefix: String,
}

impl<'c> Source<'c> {
    /// The root of a checkpoint.
    pub fn new(checkpoint: &'c Checkpoint) -> Self {
        Self {
            checkpoint,
            prefix: String::new(),
        }
    }

    /// The names below `name.`.
    #[must_use]
    pub fn at(&self, name: &str) -> Self {
        Self {
            checkpoint: self.checkpoint,
            prefix: self.name(name),
        }
    }

    /// The full name of a tensor here.
    pub fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &'c Checkpoint {
        self.checkpoint
    }

    /// Whether the checkpoint holds a tensor of that name here.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.contains(&self.name(name))
    }

    /// A tensor of the checkpoint as a weight of the recording: in the checkpoint's element type
    /// or, where that is for matrices alone and this is none, in f32.
    ///
    /// # Errors
    /// No such tensor, or of another shape.
    pub fn weight<const N: usize>(
        &self,
        rec: &mut Recorder<'_>,
        name: &str,
        shape: [usize; N],
        pack: Pack,
    ) -> Result<Tensor, Error> {
        let name = self.name(name);
        let dtype = self.checkpoint.type_of(&name, &shape)?;
        let matrix = pack == Pack::Matrix && N == 2;
        let dtype = match dtype {
            dtype if dtype.is_for_matrices() && !matrix => DType::F32,
            dtype => dtype,
        };
        Ok(rec.weight(&name, shape, dtype, pack)?)
    }

    /// A bias, gain or table as f32.
    ///
    /// # Errors
    /// No such tensor, or of another shape.
    pub fn vector<const N: usize>(
        &self,
        rec: &mut Recorder<'_>,
        name: &str,
        shape: [usize; N],
    ) -> Result<Tensor, Error> {
        self.weight(rec, name, shape, Pack::Vector)
    }
}

/// `torch.nn.Linear`: weight [N, K] and, where the layer has one, bias `[N]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// [N, K]
    pub weight: Tensor,
    /// `[N]`
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Asks for `weight` and `bias` of a layer with K inputs and N outputs.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn new(
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        k: usize,
        n: usize,
    ) -> Result<Self, Error> {
        let bias = source.vector(rec, "bias", [n])?;
        Ok(Self {
            bias: Some(bias),
            ..Self::without_bias(rec, source, k, n)?
        })
    }

    /// Asks for `weight` of a layer that has no bias.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn without_bias(
        rec: &mut Recorder<'_>,
        source: &Source<'_>,
        k: usize,
        n: usize,
    ) -> Result<Self, Error> {
        let weight = source.weight(rec, "weight", [n, k], Pack::Matrix)?;
        Ok(Self { weight, bias: None })
    }

    /// `x w^T + bias`
    ///
    /// # Errors
    /// Shapes that do not match.
    pub fn forward(&self, rec: &mut Recorder<'_>, x: &Tensor) -> Result<Tensor, RecordError> {
        let epilogue = self.bias.as_ref().map_or(Epilogue::None, Epilogue::Bias);
        matmul(rec, x, &self.weight, epilogue, None)
    }
}
