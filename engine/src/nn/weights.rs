//! Requests weights by the checkpoint's names.

use crate::error::Error;
use crate::record::{Pack, Recorder, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// A checkpoint and the prefix of a layer in it: `weights.at("attn1").at("to_q")`.
#[derive(Clone, Debug)]
pub struct Weights<'c> {
    checkpoint: &'c Checkpoint,
    prefix: String,
}

impl<'c> Weights<'c> {
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

    /// Records a tensor of the checkpoint as a weight, in the checkpoint's element type, or in f32 if that
    /// type is only for matrices and the tensor is not one.
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

    /// The `weight` of a convolution, of `shape` [N, C, (t,) h, w], and its `bias` `[N]`.
    ///
    /// # Errors
    /// No such tensor, or of another shape.
    pub fn convolution<const R: usize>(
        &self,
        rec: &mut Recorder<'_>,
        shape: [usize; R],
    ) -> Result<[Tensor; 2], Error> {
        let weight = self.weight(rec, "weight", shape, Pack::Conv)?;
        let features = shape.first().copied().unwrap_or(0);
        Ok([weight, self.vector(rec, "bias", [features])?])
    }
}
