//! UMT5's encoder, under namings other than transformers'.

use super::{Naming, indexed, replace_head};

/// Where a naming has its blocks, the modules of one, and those outside: (its own, transformers').
struct Table {
    blocks: &'static str,
    block: &'static [(&'static str, &'static str)],
    ends: &'static [(&'static str, &'static str)],
}

const BARE: Table = Table {
    blocks: "block.",
    block: &[("layer", "layer")],
    ends: &[
        ("final_layer_norm", "encoder.final_layer_norm"),
        ("embed_tokens", "encoder.embed_tokens"),
    ],
};

const ORIGINAL: Table = Table {
    blocks: "blocks.",
    block: &[
        ("norm1", "layer.0.layer_norm"),
        ("attn.q", "layer.0.SelfAttention.q"),
        ("attn.k", "layer.0.SelfAttention.k"),
        ("attn.v", "layer.0.SelfAttention.v"),
        ("attn.o", "layer.0.SelfAttention.o"),
        (
            "pos_embedding.embedding",
            "layer.0.SelfAttention.relative_attention_bias",
        ),
        ("norm2", "layer.1.layer_norm"),
        ("ffn.gate.0", "layer.1.DenseReluDense.wi_0"),
        ("ffn.fc1", "layer.1.DenseReluDense.wi_1"),
        ("ffn.fc2", "layer.1.DenseReluDense.wo"),
    ],
    ends: &[
        ("token_embedding", "shared"),
        ("norm", "encoder.final_layer_norm"),
    ],
};

const LLAMA_CPP: Table = Table {
    blocks: "enc.blk.",
    block: &[
        ("attn_norm", "layer.0.layer_norm"),
        ("attn_q", "layer.0.SelfAttention.q"),
        ("attn_k", "layer.0.SelfAttention.k"),
        ("attn_v", "layer.0.SelfAttention.v"),
        ("attn_o", "layer.0.SelfAttention.o"),
        (
            "attn_rel_b",
            "layer.0.SelfAttention.relative_attention_bias",
        ),
        ("ffn_norm", "layer.1.layer_norm"),
        ("ffn_gate", "layer.1.DenseReluDense.wi_0"),
        ("ffn_up", "layer.1.DenseReluDense.wi_1"),
        ("ffn_down", "layer.1.DenseReluDense.wo"),
    ],
    ends: &[
        ("token_embd", "shared"),
        ("enc.output_norm", "encoder.final_layer_norm"),
    ],
};

/// Whether the tensor is of a whole T5's decoder.
pub(super) fn is_unused(name: &str) -> bool {
    ["decoder.", "dec.", "lm_head.", "output."]
        .iter()
        .any(|head| name.starts_with(head))
}

/// The `name` of a naming in transformers.
pub(super) fn diffusers(naming: Naming, name: &str) -> Option<String> {
    let table = match naming {
        Naming::Diffusers => return None,
        Naming::Bare => BARE,
        Naming::Original => ORIGINAL,
        Naming::LlamaCpp => LLAMA_CPP,
    };
    match indexed(name, table.blocks) {
        None => replace_head(name, table.ends),
        Some((block, rest)) => {
            let rest = replace_head(rest, table.block)?;
            Some(format!("encoder.block.{block}.{rest}"))
        }
    }
}
