//! All of a model's configuration files together.

use super::released::recognise;
use super::{Defaults, ModelFolder, PipelineConfig, pipeline};
use crate::error::ConfigError;
use crate::models::config::{ImageEncoderConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::sampling::Distilled;

/// A model's configuration: every file read and checked, and checked against the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `model_index.json`.
    pub pipeline: PipelineConfig,
    /// `text_encoder/config.json`.
    pub text_encoder: TextEncoderConfig,
    /// `image_encoder/config.json`, of models that see image tokens.
    pub image_encoder: Option<ImageEncoderConfig>,
    /// `transformer/config.json`; with two experts the first, for high noise.
    pub transformer: TransformerConfig,
    /// `transformer_2/config.json`, the expert for low noise.
    pub transformer_2: Option<TransformerConfig>,
    /// `vae/config.json`.
    pub vae: VaeConfig,
    /// The defaults of a run: from `kinora.json`, else those of a released model's authors, else
    /// `WanPipeline`'s.
    pub defaults: Defaults,
}

impl ModelConfig {
    pub(super) fn read(folder: &ModelFolder) -> Result<Self, ConfigError> {
        let (index_file, text) = folder.config_json("model_index.json")?;
        let pipeline = PipelineConfig::parse(&index_file, &text)?;
        let (text_file, text) = folder.config_json("text_encoder/config.json")?;
        let text_encoder = TextEncoderConfig::parse(&text_file, &text)?;
        let (vae_file, text) = folder.config_json("vae/config.json")?;
        let vae = VaeConfig::parse(&vae_file, &text)?;

        let transformer_at = |path| -> Result<TransformerConfig, ConfigError> {
            let (file, text) = folder.config_json(path)?;
            let transformer = TransformerConfig::parse(&file, &text)?;
            equal(
                (&file, "text_dim", transformer.text_dim),
                (&text_file, "d_model", text_encoder.d_model),
            )?;
            equal(
                (&file, "out_channels", transformer.out_channels),
                (&vae_file, "z_dim", vae.z_dim),
            )?;
            Ok(transformer)
        };
        let transformer = transformer_at("transformer/config.json")?;
        check_class(folder, &index_file, &pipeline, &transformer)?;
        let image_encoder = match transformer.image_dim {
            None => None,
            Some(width) => {
                let (file, text) = folder.config_json("image_encoder/config.json")?;
                let config = ImageEncoderConfig::parse(&file, &text)?;
                let (transformer_file, _) = folder.config_json("transformer/config.json")?;
                equal(
                    (&file, "hidden_size", config.hidden_size),
                    (&transformer_file, "image_dim", width),
                )?;
                Some(config)
            }
        };
        let transformer_2 = if pipeline.has_transformer_2 {
            Some(transformer_at("transformer_2/config.json")?)
        } else {
            None
        };
        if let Some(second) = &transformer_2 {
            let (file, _) = folder.config_json("transformer_2/config.json")?;
            let (first, _) = folder.config_json("transformer/config.json")?;
            equal(
                (&file, "in_channels", second.in_channels),
                (&first, "in_channels", transformer.in_channels),
            )?;
            equal(
                (&file, "image_dim", second.image_dim.unwrap_or(0)),
                (&first, "image_dim", transformer.image_dim.unwrap_or(0)),
            )?;
            // The experts take turns on the same latents, so that their tokens must be the same.
            for (axis, (two, one)) in second
                .patch_size
                .iter()
                .zip(&transformer.patch_size)
                .enumerate()
            {
                let field = ["patch_size[0]", "patch_size[1]", "patch_size[2]"];
                let field = field.get(axis).copied().unwrap_or("patch_size");
                equal((&file, field, *two), (&first, field, *one))?;
            }
        }

        let named = folder.name();
        let defaults = recognise(&pipeline, &text_encoder, &transformer, &vae, named)
            .unwrap_or_else(|| Defaults::pipeline(named));
        let defaults = if pipeline.dmd {
            defaults.distilled(Distilled::Dmd)
        } else {
            defaults
        };
        let defaults = if folder.contains("kinora.json") {
            let (file, text) = folder.config_json("kinora.json")?;
            defaults.with_file(&file, &text)?
        } else {
            defaults
        };
        Ok(Self {
            pipeline,
            text_encoder,
            image_encoder,
            transformer,
            transformer_2,
            vae,
            defaults,
        })
    }

    /// Pixels per token along height and width: sizes that the model makes are multiples of these.
    #[must_use]
    pub fn pixels_per_token(&self) -> [usize; 2] {
        let [_, rows, columns] = self.transformer.patch_size;
        let scale = self.vae.scale_factor_spatial;
        [rows * scale, columns * scale]
    }
}

/// Refuses a transformer whose task differs from the pipeline's class: only the class identifies a
/// model that sees a condition.
fn check_class(
    folder: &ModelFolder,
    file: &str,
    pipeline: &PipelineConfig,
    transformer: &TransformerConfig,
) -> Result<(), ConfigError> {
    let (sees, images) = (
        transformer.sees_condition(),
        pipeline.class == pipeline::IMAGE,
    );
    if sees == images || images && pipeline.expand_timesteps && !sees {
        return Ok(());
    }
    let (other, _) = folder.config_json("transformer/config.json")?;
    let expected = if sees { pipeline::IMAGE } else { "WanPipeline" };
    Err(ConfigError::Mismatch {
        file: file.to_owned(),
        field: "_class_name".to_owned(),
        found: pipeline.class.clone(),
        other: format!("in_channels of {other}"),
        expected: expected.to_owned(),
    })
}

/// Two fields that must have the same value: (file, field, value).
fn equal(left: (&str, &str, usize), right: (&str, &str, usize)) -> Result<(), ConfigError> {
    if left.2 == right.2 {
        return Ok(());
    }
    Err(ConfigError::Mismatch {
        file: left.0.to_owned(),
        field: left.1.to_owned(),
        found: left.2.to_string(),
        other: format!("{} of {}", right.1, right.0),
        expected: right.2.to_string(),
    })
}
