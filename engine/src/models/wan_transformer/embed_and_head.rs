//! Before and after the blocks: patches, timesteps, text; norm, projection, frames.

use super::Sizes;
use crate::error::Error;
use crate::nn::{After, Linear, Weights};
use crate::ops::embed::{modulation, silu};
use crate::ops::matmul::{Epilogue, matmul};
use crate::ops::norm::{Affine, layer_norm};
use crate::ops::patch::{patchify, unpatchify};
use crate::record::{Caps, Pack, Recorder, Recording};
use crate::tensor::DType;
use crate::weights::Checkpoint;

impl Sizes<'_> {
    /// `embeds` [L, text_dim] to `text` [L, dim]: once a prompt.
    pub(super) fn record_text(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
    ) -> Result<Recording, Error> {
        let (rows, dim, text_dim) = (
            self.shape.text_rows,
            self.config.dim(),
            self.config.text_dim,
        );
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint).at("condition_embedder.text_embedder");
        let embeds = rec.input("embeds", [rows, text_dim], DType::F32)?;
        let text = rec.output("text", [rows, dim], DType::F32)?;
        let up = Linear::new(rec, &weights.at("linear_1"), text_dim, dim)?;
        let x = up.forward(rec, &embeds, After::Gelu, None)?;
        let down = Linear::new(rec, &weights.at("linear_2"), dim, dim)?;
        down.forward(rec, &x, After::Nothing, Some(&text))?;
        Ok(recorder.finish())
    }

    /// `latents` and `sinusoids` [D, freq_dim] to `hidden` [N, dim], `time embed` [D, dim] and
    /// `time proj` [D, 6 dim].
    pub(super) fn record_prologue(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
    ) -> Result<Recording, Error> {
        let (config, distinct, dim) = (self.config, self.shape.timesteps, self.config.dim());
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint);

        let latents = rec.input("latents", self.shape.latents, DType::F32)?;
        let hidden = rec.state("hidden", [self.tokens(), dim], DType::F32)?;
        let patches = patchify(rec, &latents, self.patch())?;
        let embedding = weights.at("patch_embedding");
        let [t, p, q] = config.patch_size;
        let shape = [dim, config.in_channels, t, p, q];
        let w = embedding
            .weight(rec, "weight", shape, Pack::Matrix)?
            .reshaped([dim, config.patch_in()])?;
        let b = embedding.vector(rec, "bias", [dim])?;
        matmul(rec, &patches, &w, Epilogue::Bias(&b), Some(&hidden))?;

        let weights = weights.at("condition_embedder");
        let sinusoids = rec.input("sinusoids", [distinct, config.freq_dim], DType::F32)?;
        let embed = rec.state("time embed", [distinct, dim], DType::F32)?;
        let proj = rec.state("time proj", [distinct, 6 * dim], DType::F32)?;
        let time = weights.at("time_embedder");
        let up = Linear::new(rec, &time.at("linear_1"), config.freq_dim, dim)?;
        let x = up.forward(rec, &sinusoids, After::Silu, None)?;
        let down = Linear::new(rec, &time.at("linear_2"), dim, dim)?;
        down.forward(rec, &x, After::Nothing, Some(&embed))?;
        let x = silu(rec, &embed)?;
        let six = Linear::new(rec, &weights.at("time_proj"), dim, 6 * dim)?;
        six.forward(rec, &x, After::Nothing, Some(&proj))?;
        Ok(recorder.finish())
    }

    /// `hidden` and `time embed` to the output `velocity` [C, T, h, w].
    pub(super) fn record_epilogue(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
    ) -> Result<Recording, Error> {
        let (config, tokens, dim) = (self.config, self.tokens(), self.config.dim());
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint);
        let hidden = rec.state("hidden", [tokens, dim], DType::F32)?;
        let embed = rec.state("time embed", [self.shape.timesteps, dim], DType::F32)?;
        let index = rec.input("token timestep", [tokens], DType::U32)?;
        let table = weights.vector(rec, "scale_shift_table", [1, 2, dim])?;
        let [shift, scale] = modulation(rec, &table, &embed)?;
        let affine = Affine::Modulation {
            scale: &scale,
            shift: &shift,
            index: &index,
        };
        let normed = layer_norm(rec, &hidden, config.eps as f32, affine)?;
        let head = Linear::new(rec, &weights.at("proj_out"), dim, config.patch_out())?;
        let patches = head.forward(rec, &normed, After::Nothing, None)?;
        let [_, t, height, width] = self.shape.latents;
        let velocity = rec.output(
            "velocity",
            [config.out_channels, t, height, width],
            DType::F32,
        )?;
        unpatchify(rec, &patches, self.patch(), &velocity)?;
        Ok(recorder.finish())
    }
}
