//! Wan's transformer, as its own release names it.

use super::{indexed, replace_head, restore_head};

/// Modules outside the blocks: original, diffusers.
const ENDS: [(&str, &str); 12] = [
    (
        "text_embedding.0",
        "condition_embedder.text_embedder.linear_1",
    ),
    (
        "text_embedding.2",
        "condition_embedder.text_embedder.linear_2",
    ),
    (
        "time_embedding.0",
        "condition_embedder.time_embedder.linear_1",
    ),
    (
        "time_embedding.2",
        "condition_embedder.time_embedder.linear_2",
    ),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.head", "proj_out"),
    ("head.modulation", "scale_shift_table"),
    // Of models that also see an image.
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    (
        "img_emb.proj.1",
        "condition_embedder.image_embedder.ff.net.0.proj",
    ),
    (
        "img_emb.proj.3",
        "condition_embedder.image_embedder.ff.net.2",
    ),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    (
        "img_emb.emb_pos",
        "condition_embedder.image_embedder.pos_embed",
    ),
];

/// Modules of a block: original, diffusers. The original's norms 1 and 2 have no weights; its third
/// is diffusers' second.
const BLOCK: [(&str, &str); 19] = [
    ("self_attn.q", "attn1.to_q"),
    ("self_attn.k", "attn1.to_k"),
    ("self_attn.v", "attn1.to_v"),
    ("self_attn.o", "attn1.to_out.0"),
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.q", "attn2.to_q"),
    ("cross_attn.k", "attn2.to_k"),
    ("cross_attn.v", "attn2.to_v"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("norm3", "norm2"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("modulation", "scale_shift_table"),
];

/// The original's `name` in diffusers.
pub(super) fn diffusers(name: &str) -> Option<String> {
    renamed(name, replace_head)
}

/// diffusers' `name` in the original.
pub(super) fn original(name: &str) -> Option<String> {
    renamed(name, restore_head)
}

/// Replaces a module's name by the rows of a table, there or back.
type Replace = fn(&str, &[(&str, &str)]) -> Option<String>;

fn renamed(name: &str, replace: Replace) -> Option<String> {
    match indexed(name, "blocks.") {
        None => replace(name, &ENDS),
        Some((block, rest)) => {
            let rest = replace(rest, &BLOCK)?;
            Some(format!("blocks.{block}.{rest}"))
        }
    }
}

/// The module that the trainer of an adapter calls `name`, in diffusers: with any prefix, the
/// original's names or diffusers', and kohya's and LyCORIS', who write `_` for every dot.
pub(super) fn adapted(name: &str) -> String {
    if let Some(flat) = FLAT.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        // Some trainers write one underscore more before the blocks.
        let flat = flat.trim_start_matches('_');
        return unflattened(flat).unwrap_or_else(|| name.to_owned());
    }
    let name = without_prefixes(name);
    diffusers(name).unwrap_or_else(|| name.to_owned())
}

/// Prefixes of module names in adapters, in any order.
const PREFIXES: [&str; 5] = [
    "base_model.model.",
    "model.",
    "diffusion_model.",
    "transformer.",
    "pipe.dit.",
];

/// The same before names without dots.
const FLAT: [&str; 3] = ["lora_unet_", "lora_transformer_", "lycoris_"];

/// An adapter's name of a module, without what usually stands before it.
pub(super) fn without_prefixes(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// `blocks.0.attn1.to_q` of `blocks_0_self_attn_q` or `blocks_0_attn1_to_q`.
fn unflattened(flat: &str) -> Option<String> {
    let known = |table: &[(&str, &str)], rest: &str| {
        let row = table
            .iter()
            .find(|(old, new)| [old, new].iter().any(|name| name.replace('.', "_") == rest));
        row.map(|(_, new)| (*new).to_owned())
    };
    let Some(rest) = flat.strip_prefix("blocks_") else {
        return match flat {
            "patch_embedding" => Some(flat.to_owned()),
            flat => known(&ENDS, flat),
        };
    };
    let (block, rest) = rest.split_once('_')?;
    let block: usize = block.parse().ok()?;
    Some(format!("blocks.{block}.{}", known(&BLOCK, rest)?))
}
