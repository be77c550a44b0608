//! The files of a model: found, recognised, named, adapted, converted.
//!
//! ```text
//! model_index.json                 PipelineConfig      which classes, how many experts
//! tokenizer/tokenizer.json         (see Tokenizer)
//! text_encoder/config.json         TextEncoderConfig   UMT5EncoderModel
//! transformer[_2]/config.json      TransformerConfig   WanTransformer3DModel
//! image_encoder/config.json        ImageEncoderConfig  CLIPVisionModel, of models that see images
//! vae/config.json                  VaeConfig           AutoencoderKLWan
//! scheduler/scheduler_config.json  (see sampling)
//! kinora.json                      Defaults            size, frames, steps, guidance …; optional
//! ```
//!
//! A model in other files, such as Wan's own release or ComfyUI's, is read as if it had this layout:
//! tensor names tell which part a file is (`search`), tensor shapes give its configuration (`sizes`),
//! and the files above are made in memory (`assembled`).

mod assembled;
mod card;
pub mod convert;
mod defaults;
mod describe;
mod folder;
mod gguf_vocabulary;
pub mod lora;
pub mod matrices;
mod model;
pub mod names;
mod pipeline;
mod released;
mod search;
mod sizes;
mod starts;
#[cfg(test)]
mod tests;

pub use assembled::PartFiles;
pub use card::Card;
pub use defaults::{Defaults, SchedulerName};
pub use folder::{Layout, ModelFolder};
pub use gguf_vocabulary::gguf_tokenizer_json;
pub use model::ModelConfig;
pub use pipeline::PipelineConfig;
pub use released::{short_name, that_start_from};
pub use starts::{Given, StartsFrom};
