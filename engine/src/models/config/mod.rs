//! What a model is, read from the `config.json` files of the diffusers layout: plain data.
//!
//! ```text
//! model_index.json                 PipelineConfig      which classes, how many experts
//! tokenizer/tokenizer.json         (see Tokenizer)
//! text_encoder/config.json         TextEncoderConfig   UMT5EncoderModel
//! transformer[_2]/config.json      TransformerConfig   WanTransformer3DModel
//! vae/config.json                  VaeConfig           AutoencoderKLWan
//! scheduler/scheduler_config.json  (see sampling)
//! kinora.json                      Defaults            size, frames, steps, guidance …; optional
//! ```
//!
//! A model in other files, those of Wan's own release or of ComfyUI, is read as if it lay so: its
//! parts are told by their tensors' names (`search`), their configurations by the tensors' shapes
//! (`sizes`), and the files above are written in memory (`assembled`).
//!
//! A field that is absent has the default of the reference class's own signature. Every number is
//! checked here, so that the code that builds a model may multiply them without a second thought.

mod assembled;
mod defaults;
mod fields;
mod folder;
mod model;
mod pipeline;
mod released;
mod search;
mod sizes;
#[cfg(test)]
mod tests;
mod text_encoder;
mod transformer;
mod vae;

pub use assembled::PartFiles;
pub use defaults::{Defaults, SchedulerName};
pub use folder::{Layout, ModelFolder};
pub use model::ModelConfig;
pub use pipeline::PipelineConfig;
pub use text_encoder::TextEncoderConfig;
pub use transformer::TransformerConfig;
pub use vae::VaeConfig;
