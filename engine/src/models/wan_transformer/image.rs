//! Image tokens: CLIP's embeddings of pictures, for models that attend to them in addition to the text.

use super::{MODEL, Sizes};
use crate::error::{Error, ModelError};
use crate::models::alignment::check_multiples_of_four;
use crate::models::config::TransformerConfig;
use crate::nn::{After, LayerNorm, Linear, RmsNorm, Weights};
use crate::record::{Caps, Recorder, Recording, Tensor};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// The keys and values of the image tokens that a block keeps.
pub(super) const IMAGE_KEYS: [&str; 2] = ["image keys", "image values"];

/// The learned positions of the image tokens, where a model has them.
pub(super) const POSITIONS: &str = "condition_embedder.image_embedder.pos_embed";

/// Added to the variance in the norms around the embedding: PyTorch's default, whatever the model's own.
const EPS: f32 = 1e-5;

/// Refuses another number of image tokens than the model takes.
pub(super) fn check(config: &TransformerConfig, rows: usize) -> Result<(), ModelError> {
    let wrong = |expected: String| ModelError::ImageTokens {
        model: MODEL,
        found: rows,
        expected,
    };
    match (config.image_dim, config.pos_embed_seq_len) {
        (None, _) if rows > 0 => Err(wrong("none, since image_dim is null".into())),
        (None, _) => Ok(()),
        (Some(_), Some(positions)) if rows != positions => {
            Err(wrong(format!("{positions}, pos_embed_seq_len")))
        }
        (Some(_), None) if rows == 0 => {
            Err(wrong("those of a picture, by the image encoder".into()))
        }
        (Some(width), _) => check_multiples_of_four(MODEL, &[("image_dim", width)]),
    }
}

impl Sizes<'_> {
    /// `image embeds` [I, image_dim], learned positions added, to `image` [I, dim]: once a run.
    pub(super) fn record_image(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
    ) -> Result<Recording, Error> {
        let (rows, dim) = (self.image_rows, self.config.dim());
        let width = self.config.image_dim.unwrap_or(0);
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint).at("condition_embedder.image_embedder");
        let embeds = rec.input("image embeds", [rows, width], DType::F32)?;
        let norm = LayerNorm::new(rec, &weights.at("norm1"), width, EPS)?;
        let x = norm.forward(rec, &embeds)?;
        let up = Linear::new(rec, &weights.at("ff.net.0.proj"), width, width)?;
        let x = up.forward(rec, &x, After::GeluErf, None)?;
        let down = Linear::new(rec, &weights.at("ff.net.2"), width, dim)?;
        let x = down.forward(rec, &x, After::Nothing, None)?;
        let norm = LayerNorm::new(rec, &weights.at("norm2"), dim, EPS)?;
        let x = norm.forward(rec, &x)?;
        let image = rec.output("image", [rows, dim], x.dtype)?;
        rec.copy((&x, 0), (&image, 0), image.bytes());
        if let Some(positions) = self.config.pos_embed_seq_len {
            // The host adds them.
            checkpoint.type_of(POSITIONS, &[1, positions, width])?;
        }
        Ok(recorder.finish())
    }

    /// `image keys` and `image values` [I, dim] of the block of that number, of `image` [I, dim]:
    /// neither timestep nor prompt changes them.
    pub(super) fn record_image_keys(
        &self,
        caps: &Caps,
        checkpoint: &Checkpoint,
        block: usize,
    ) -> Result<Recording, Error> {
        let (rows, dim) = (self.image_rows, self.config.dim());
        let mut recorder = Recorder::new(caps);
        let rec = &mut recorder;
        let weights = Weights::new(checkpoint).at("blocks").at(&block.to_string());
        let weights = weights.at("attn2");
        let dtype = rec.activations();
        let image = rec.input("image", [rows, dim], dtype)?;
        let [k, v] = self.image_keys(rec)?;
        let raw = Linear::new(rec, &weights.at("add_k_proj"), dim, dim)?;
        let raw = raw.forward(rec, &image, After::Nothing, None)?;
        let norm = RmsNorm::new(rec, &weights.at("norm_added_k"), dim, self.eps())?;
        norm.forward(rec, &raw, Some(&k))?;
        let values = Linear::new(rec, &weights.at("add_v_proj"), dim, dim)?;
        values.forward(rec, &image, After::Nothing, Some(&v))?;
        Ok(recorder.finish())
    }

    pub(super) fn image_keys(&self, rec: &mut Recorder<'_>) -> Result<[Tensor; 2], Error> {
        let (rows, dim) = (self.image_rows, self.config.dim());
        let dtype = rec.activations();
        let [k, v] = IMAGE_KEYS.map(|name| rec.state(name, [rows, dim], dtype));
        Ok([k?, v?])
    }
}
