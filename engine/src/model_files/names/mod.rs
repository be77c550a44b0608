//! Recognises the part in a checkpoint by its tensors' names, and maps those names to diffusers'.
//!
//! | part | diffusers | also read |
//! |---|---|---|
//! | text encoder | `encoder.block.0.layer.0.SelfAttention.q` | without `encoder.`; Wan's original `blocks.0.attn.q`; llama.cpp's `enc.blk.0.attn_q` |
//! | transformer | `blocks.0.attn1.to_q` | Wan's original `blocks.0.self_attn.q` |
//! | image encoder | `vision_model.encoder.layers.0.self_attn.q_proj` | without `vision_model.`; Wan's original `visual.transformer.0.attn.to_qkv` |
//! | autoencoder | `decoder.up_blocks.0.resnets.0.conv1` | Wan's original `decoder.upsamples.0.residual.2`, of 2.1 and of 2.2 |
//!
//! Any of them may follow a prefix, such as `model.diffusion_model.`. What follows a module's name
//! (`weight`, `bias`, or a quantised weight's `scale_weight`) is kept. Shapes are the same under all
//! names, but GGUF files may lack dimensions of 1 and fold five dimensions into fewer.
//!
//! [`with_diffusers_names`] gives a checkpoint diffusers' names.
//!
//! Reference: `single_file_utils.py` and `convert_wan_to_diffusers.py` of diffusers;
//! `gguf/constants.py` of llama.cpp.

mod image_encoder;
mod text_encoder;
mod transformer;
mod vae;

use std::fmt;

use crate::error::WeightsError;
use crate::weights::{Checkpoint, Piece, Renamed};

/// A part of a model that has weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UMT5's encoder.
    TextEncoder,
    /// The picture half of CLIP.
    ImageEncoder,
    /// Wan's transformer, one of its experts.
    Transformer,
    /// Wan's autoencoder.
    Vae,
}

impl Kind {
    /// The kind of weights that the folder `part` of the diffusers layout needs.
    #[must_use]
    pub fn of_part(part: &str) -> Option<Self> {
        match part {
            "text_encoder" => Some(Self::TextEncoder),
            "image_encoder" => Some(Self::ImageEncoder),
            "transformer" | "transformer_2" => Some(Self::Transformer),
            "vae" => Some(Self::Vae),
            _ => None,
        }
    }

    /// Where the diffusers layout has it; of two transformers the first.
    #[must_use]
    pub fn part(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::ImageEncoder => "image_encoder",
            Self::Transformer => "transformer",
            Self::Vae => "vae",
        }
    }

    /// The name of the part.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::TextEncoder => "text encoder",
            Self::ImageEncoder => "image encoder",
            Self::Transformer => "transformer",
            Self::Vae => "autoencoder",
        }
    }

    /// The field of [`PartFiles`](crate::model_files::PartFiles) that names a file of it; of two
    /// transformers the first's.
    #[must_use]
    pub fn field(self) -> &'static str {
        self.part()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TextEncoder => "a UMT5 text encoder",
            Self::ImageEncoder => "a CLIP image encoder",
            Self::Transformer => "a Wan transformer",
            Self::Vae => "a Wan autoencoder",
        })
    }
}

/// The naming of a checkpoint's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Naming {
    /// diffusers' and transformers'.
    Diffusers,
    /// transformers', of the encoder alone: without its `encoder.` or `vision_model.`.
    Bare,
    /// Those of Wan's own release, which ComfyUI keeps.
    Original,
    /// llama.cpp's.
    LlamaCpp,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Diffusers => "diffusers",
            Self::Bare => "transformers, the encoder alone",
            Self::Original => "Wan's original",
            Self::LlamaCpp => "llama.cpp",
        })
    }
}

/// For each kind and naming, a tensor that all such checkpoints have and no others. Names are compared
/// with them in this order.
const HALLMARKS: [(Kind, Naming, &str); 11] = [
    (
        Kind::Transformer,
        Naming::Diffusers,
        "condition_embedder.time_proj.weight",
    ),
    (
        Kind::Transformer,
        Naming::Original,
        "time_projection.1.weight",
    ),
    (
        Kind::TextEncoder,
        Naming::Diffusers,
        "encoder.block.0.layer.0.SelfAttention.q.weight",
    ),
    (
        Kind::TextEncoder,
        Naming::Bare,
        "block.0.layer.0.SelfAttention.q.weight",
    ),
    (
        Kind::TextEncoder,
        Naming::Original,
        "blocks.0.pos_embedding.embedding.weight",
    ),
    (
        Kind::TextEncoder,
        Naming::LlamaCpp,
        "enc.blk.0.attn_q.weight",
    ),
    (
        Kind::ImageEncoder,
        Naming::Diffusers,
        "vision_model.embeddings.class_embedding",
    ),
    (
        Kind::ImageEncoder,
        Naming::Bare,
        "embeddings.class_embedding",
    ),
    (Kind::ImageEncoder, Naming::Original, "visual.cls_embedding"),
    (
        Kind::Vae,
        Naming::Diffusers,
        "decoder.mid_block.resnets.0.norm1.gamma",
    ),
    (
        Kind::Vae,
        Naming::Original,
        "decoder.middle.0.residual.0.gamma",
    ),
];

/// The naming of a part's tensors, and the map to their names in diffusers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The part that the tensors belong to.
    pub kind: Kind,
    /// Their naming.
    pub naming: Naming,
    /// The prefix of each name.
    pub prefix: String,
    /// Where an original autoencoder 2.1 has its upsamplers among `decoder.upsamples`, ascending.
    upsamplers: Vec<usize>,
}

impl Names {
    /// The parts in a checkpoint with tensors of these names: usually one, none if it is not of a Wan
    /// model.
    #[must_use]
    pub fn recognise<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Vec<Self> {
        let found = names.clone().filter_map(|name| {
            let (kind, naming, prefix) =
                HALLMARKS.iter().find_map(|&(kind, naming, hallmark)| {
                    let prefix = name.strip_suffix(hallmark)?;
                    (prefix.is_empty() || prefix.ends_with('.')).then_some((kind, naming, prefix))
                })?;
            // The decoder of a whole T5, which is not used.
            let decoder = kind == Kind::TextEncoder && prefix.ends_with("decoder.");
            (!decoder).then(|| Self {
                kind,
                naming,
                prefix: prefix.to_owned(),
                upsamplers: match kind {
                    Kind::Vae => vae::upsamplers(names.clone(), prefix),
                    _ => Vec::new(),
                },
            })
        });
        found.collect()
    }

    /// The tensor's name in diffusers. An unknown name is kept, without its prefix. `None` for a tensor
    /// that is not used: one of another part or of a text decoder, or a marker such as `scaled_fp8`.
    #[must_use]
    pub fn diffusers(&self, name: &str) -> Option<String> {
        let name = name.strip_prefix(self.prefix.as_str())?;
        if MARKERS.contains(&name) {
            return None;
        }
        let renamed = match self.kind {
            Kind::TextEncoder if text_encoder::is_unused(name) => return None,
            Kind::TextEncoder => text_encoder::diffusers(self.naming, name),
            Kind::Transformer if self.naming == Naming::Original => transformer::diffusers(name),
            Kind::Vae if self.naming == Naming::Original => vae::diffusers(name, &self.upsamplers),
            Kind::Transformer | Kind::Vae | Kind::ImageEncoder => None,
        };
        Some(renamed.unwrap_or_else(|| name.to_owned()))
    }
}

/// Renames a recognised checkpoint to diffusers' names. It must be of `kind`; tensors of other parts in
/// the file are left out.
///
/// # Errors
/// [`WeightsError::WrongPart`] for a checkpoint of another kind, and those of
/// [`Checkpoint::renamed`].
pub fn with_diffusers_names(
    checkpoint: Checkpoint,
    kind: Kind,
) -> Result<(Option<Names>, Checkpoint), WeightsError> {
    let found = Names::recognise(checkpoint.names());
    let Some(names) = found.iter().find(|names| names.kind == kind) else {
        return match found.first() {
            None => Ok((None, checkpoint)),
            Some(other) => Err(WeightsError::WrongPart {
                part: checkpoint.part().to_owned(),
                file: checkpoint.origin().to_owned(),
                found: other.kind.to_string(),
                expected: kind.to_string(),
            }),
        };
    };
    // A convolution over patches of 1 x 2 x 2 has as many rows as its bias has numbers.
    let bias = format!("{}patch_embedding.bias", names.prefix);
    let rows = checkpoint
        .shape_of(&bias)
        .and_then(<[usize]>::first)
        .copied();
    let checkpoint = checkpoint.renamed(&|name, shape| match names.diffusers(name) {
        Some(own) if kind == Kind::ImageEncoder => {
            image_encoder::renamed(names.naming, &own, shape)
        }
        None => Renamed::Dropped,
        Some(new) => match whole_shape(kind, &new, shape, rows) {
            None => Renamed::to(new),
            Some(whole) => Piece::named(new).shaped(whole).into(),
        },
    })?;
    Ok((Some(names.clone()), checkpoint))
}

/// The original shape of the tensor `name`, if its container could not hold that shape.
fn whole_shape(kind: Kind, name: &str, shape: &[usize], rows: Option<usize>) -> Option<Vec<usize>> {
    let is = |leaf| {
        name == leaf
            || name
                .strip_suffix(leaf)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    match (kind, shape) {
        (Kind::Transformer, &[rows, width]) if is("scale_shift_table") => {
            Some(vec![1, rows, width])
        }
        (Kind::Transformer, shape) if name == "patch_embedding.weight" && shape.len() != 5 => {
            let rows = rows.filter(|&rows| rows > 0)?;
            let product = |all: usize, &side: &usize| all.checked_mul(side);
            let elements = shape.iter().try_fold(1, product)?;
            elements
                .is_multiple_of(4 * rows)
                .then(|| vec![rows, elements / (4 * rows), 1, 2, 2])
        }
        (Kind::Vae, &[channels]) if is("gamma") => {
            let ones = if name.contains(".attentions.") { 2 } else { 3 };
            Some(
                [channels]
                    .into_iter()
                    .chain([1; 3].into_iter().take(ones))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// What an unrecognised checkpoint seems to be, for messages.
#[must_use]
pub fn describe_unknown<'n>(mut names: impl Iterator<Item = &'n str> + Clone) -> &'static str {
    let any = |mark: &str| names.clone().any(|name| name.contains(mark));
    if any(".lora_") || any("lora_unet_") {
        "a LoRA, which goes beside a model"
    } else if any("text_model.encoder.layers.") {
        "a CLIP text encoder, which Wan does not read"
    } else if any("double_blocks.") || any("transformer_blocks.") {
        "a transformer of another family"
    } else if names.next().is_none() {
        "empty"
    } else {
        "of no part of a Wan model that Kinora knows"
    }
}

/// The transformer's module that an adapter's trainer calls `name`, in diffusers: under any of the
/// usual prefixes, with the names of diffusers, of Wan's own release, or kohya's.
#[must_use]
pub fn adapted_module(name: &str) -> String {
    transformer::adapted(name)
}

/// Which of two experts a module's name in an adapter is for, where it says so, and the rest of the
/// name: `transformer_1.` (high noise) and `transformer_2.` (low noise), behind any usual prefix.
#[must_use]
pub fn adapted_expert(name: &str) -> (Option<&'static str>, &str) {
    let bare = transformer::without_prefixes(name);
    for (prefix, part) in [
        ("transformer_1.", "transformer"),
        ("transformer_2.", "transformer_2"),
    ] {
        if let Some(rest) = bare.strip_prefix(prefix) {
            return (Some(part), rest);
        }
    }
    (None, name)
}

/// Tensors that ComfyUI puts beside the weights: that they are scaled fp8, and the text encoder's
/// SentencePiece model.
const MARKERS: [&str; 2] = ["scaled_fp8", "spiece_model"];

/// A transformer's tensor in Wan's own release, by its name in diffusers; a name that is not known
/// stays as it is.
#[must_use]
pub fn original_of_transformer(name: &str) -> String {
    transformer::original(name).unwrap_or_else(|| name.to_owned())
}

/// `name` with its first modules replaced, where they are those of a row (old, new) of `table`.
fn replace_head(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table
        .iter()
        .find_map(|&(old, new)| with_head(name, old, new))
}

/// The way back: `name` with the old of a row for its new.
fn restore_head(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table
        .iter()
        .find_map(|&(old, new)| with_head(name, new, old))
}

/// `name` with the modules `to` for its first ones, if they are `from`.
fn with_head(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from)?;
    (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
}

/// `N` and `rest` of the name `listN.rest`, where `list` ends with a dot.
fn indexed<'n>(name: &'n str, list: &str) -> Option<(usize, &'n str)> {
    let (index, rest) = name.strip_prefix(list)?.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests;
