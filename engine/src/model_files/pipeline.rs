//! `model_index.json`: which classes make up the model.

use crate::error::ConfigError;
use crate::models::config::fields::Fields;

/// The pipelines whose models are read.
const PIPELINES: [&str; 4] = ["WanPipeline", IMAGE, "WanVideoToVideoPipeline", DMD];

/// The pipeline of models that start from pictures. TI2V-5B's is `WanPipeline`.
pub(super) const IMAGE: &str = "WanImageToVideoPipeline";

/// FastVideo's pipeline for models distilled to three steps. The scheduler that its folders name is
/// the undistilled model's, and not used.
const DMD: &str = "WanDMDPipeline";

/// Scheduler classes that the sampler implements.
const SCHEDULERS: [&str; 2] = ["UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"];

/// A pipeline of diffusers, or FastVideo's `WanDMDPipeline`.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// Whether there is a second expert, `transformer_2`, for low noise.
    pub has_transformer_2: bool,
    /// The first expert serves timesteps t ≥ this · 1000, the second the rest (Wan 2.2 A14B).
    pub boundary_ratio: Option<f64>,
    /// Whether each token has a timestep of its own (Wan 2.2 TI2V-5B).
    pub expand_timesteps: bool,
    /// The scheduler's class.
    pub scheduler: String,
    /// The pipeline's class.
    pub class: String,
    /// The model is distilled to a few steps, by distribution matching.
    pub dmd: bool,
}

impl PipelineConfig {
    /// Reads the JSON in `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field, the class found and those that are known.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, ConfigError> {
        let fields = Fields::parse(file, text)?;
        let class = fields.class("_class_name", &PIPELINES)?;
        let dmd = class == DMD;
        component(&fields, "text_encoder", &["UMT5EncoderModel"])?;
        component(&fields, "transformer", &["WanTransformer3DModel"])?;
        component(&fields, "vae", &["AutoencoderKLWan"])?;
        let scheduler = component(&fields, "scheduler", &SCHEDULERS)?;
        // The tokenizer's class carries nothing: transformers 5 writes its own for all of them.
        let has_transformer_2 = match fields.given("transformer_2") {
            None => false,
            Some(value) if is_null_pair(value) => false,
            Some(_) => {
                component(&fields, "transformer_2", &["WanTransformer3DModel"])?;
                true
            }
        };
        let boundary_ratio = match fields.given("boundary_ratio") {
            None => None,
            Some(_) => Some(fields.real("boundary_ratio", 0.0, 0.0..=1.0)?),
        };
        match (has_transformer_2, boundary_ratio) {
            (true, None) => Err(fields.wrong(
                "boundary_ratio",
                "a number from 0 to 1, since transformer_2 is given",
            )),
            (false, Some(_)) => {
                Err(fields.wrong("boundary_ratio", "null, since there is no transformer_2"))
            }
            _ => Ok(Self {
                has_transformer_2,
                boundary_ratio,
                expand_timesteps: fields.flag("expand_timesteps", false)?,
                scheduler: scheduler.to_owned(),
                class: class.to_owned(),
                dmd,
            }),
        }
    }
}

/// The class of a component, written as `[library, class]`, which must be one of `known`.
fn component<'a>(
    fields: &'a Fields<'_>,
    field: &str,
    known: &[&str],
) -> Result<&'a str, ConfigError> {
    let class = fields
        .given(field)
        .and_then(|value| value.get(1))
        .and_then(|class| class.as_str())
        .ok_or_else(|| {
            fields.wrong(
                field,
                &format!("[library, class] with the class {}", known.join(" or ")),
            )
        })?;
    if known.contains(&class) {
        Ok(class)
    } else {
        Err(fields.class_error(field, known))
    }
}

/// diffusers writes `[null, null]` for a component that is left out.
fn is_null_pair(value: &serde_json::Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(serde_json::Value::is_null))
}
