//! CLIP's image encoder, under namings other than that of transformers' released folders.
//!
//! ```text
//! released   vision_model.encoder.layers.0.self_attn.q_proj.weight, …k_proj…, …v_proj…
//! bare       encoder.layers.0.self_attn.q_proj.weight …
//! original   visual.transformer.0.attn.to_qkv.weight: queries, keys and values one above the other
//! ```
//!
//! The original also holds a text encoder, which is not used.

use super::{Naming, indexed, replace_head};
use crate::weights::{Piece, Renamed};

/// Modules outside the blocks: original, transformers.
const ENDS: [(&str, &str); 3] = [
    ("patch_embedding", "vision_model.embeddings.patch_embedding"),
    ("pre_norm", "vision_model.pre_layrnorm"),
    ("post_norm", "vision_model.post_layernorm"),
];

/// Modules of a block: original, transformers.
const BLOCK: [(&str, &str); 5] = [
    ("norm1", "layer_norm1"),
    ("attn.proj", "self_attn.out_proj"),
    ("norm2", "layer_norm2"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.2", "mlp.fc2"),
];

/// The original's fused layer, and the three that it is.
const FUSED: (&str, [&str; 3]) = ("attn.to_qkv.", ["q_proj", "k_proj", "v_proj"]);

/// What a tensor is in transformers: several where the original has them as one.
pub(super) fn renamed(naming: Naming, name: &str, shape: &[usize]) -> Renamed {
    match naming {
        Naming::Original => original(name, shape),
        Naming::Bare => {
            let of_it = [
                "embeddings.",
                "pre_layrnorm.",
                "encoder.",
                "post_layernorm.",
            ];
            if of_it.iter().any(|head| name.starts_with(head)) {
                Renamed::to(format!("vision_model.{name}"))
            } else {
                Renamed::to(name)
            }
        }
        _ if name.starts_with("text_model.") || is_of_both(name) => Renamed::Dropped,
        _ => Renamed::to(name),
    }
}

/// Whether the tensor is of a whole CLIP, for its text.
fn is_of_both(name: &str) -> bool {
    matches!(name, "logit_scale" | "text_projection.weight")
}

fn original(name: &str, shape: &[usize]) -> Renamed {
    let Some(name) = name.strip_prefix("visual.") else {
        return Renamed::Dropped;
    };
    let embedding = |name: &str| format!("vision_model.embeddings.{name}");
    let last = |count: usize| {
        shape
            .iter()
            .skip(shape.len().saturating_sub(count))
            .copied()
    };
    let whole = match name {
        "cls_embedding" => Some((embedding("class_embedding"), last(1).collect())),
        "pos_embedding" => Some((embedding("position_embedding.weight"), last(2).collect())),
        // The way to texts' space.
        "head" => return Renamed::Dropped,
        _ => None,
    };
    if let Some((new, whole)) = whole {
        let whole: Vec<usize> = whole;
        return Piece::named(new).shaped(whole).into();
    }
    if let Some(new) = replace_head(name, &ENDS) {
        return Renamed::to(new);
    }
    let Some((block, rest)) = indexed(name, "transformer.") else {
        return Renamed::to(format!("visual.{name}"));
    };
    let layer = format!("vision_model.encoder.layers.{block}");
    if let (Some(leaf), Some(&rows)) = (rest.strip_prefix(FUSED.0), shape.first()) {
        let each = rows / FUSED.1.len();
        let pieces = FUSED.1.iter().enumerate().map(|(at, part)| {
            let name = format!("{layer}.self_attn.{part}.{leaf}");
            // A remainder goes to the last tensor, whose shape is then refused.
            let end = if at + 1 == FUSED.1.len() {
                rows
            } else {
                (at + 1) * each
            };
            Piece::named(name).rows(at * each..end)
        });
        return Renamed::As(pieces.collect());
    }
    match replace_head(rest, &BLOCK) {
        Some(new) => Renamed::to(format!("{layer}.{new}")),
        None => Renamed::to(format!("visual.{name}")),
    }
}
