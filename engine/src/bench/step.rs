//! A whole forward pass of Wan2.1-T2V-1.3B, with noise for weights.

use crate::error::Error;
use crate::models::config::TransformerConfig;
use crate::models::wan_transformer::{TransformerPasses, TransformerShape};
use crate::record::{Caps, Recording};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// A forward pass of the transformer: one without guidance, and with it half of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Blocks; 30 in the model.
    pub layers: usize,
    /// Latents: channels, frames, rows, columns.
    pub latents: [usize; 4],
}

/// One pass of the plan and the block whose weights it takes; the ends have weights of their own.
pub(super) type Part = (usize, Option<usize>);

impl Step {
    /// At 832x480, 81 frames: 32,760 tokens.
    pub(super) const WAN_1_3B_480P: Self = Self {
        layers: 30,
        latents: [16, 21, 60, 104],
    };

    /// Everything that a pass runs, recorded.
    pub(super) fn record(self, caps: &Caps) -> Result<TransformerPasses, Error> {
        let config = self.config();
        let checkpoint = Checkpoint::zeros("transformer", &tensors(&config))?;
        let shape = TransformerShape {
            latents: self.latents,
            text_length: 512,
            // A prompt of about a hundred tokens would take fewer: the reference computes all.
            text_rows: 512,
            timesteps: 1,
        };
        TransformerPasses::record(caps, &config, &checkpoint, shape)
    }

    /// The order in which the recordings run. The text's and its keys' and values' are
    /// run once a prompt, not once a pass.
    pub(super) fn parts(self, recordings: &[&Recording]) -> Vec<Part> {
        // All blocks have the same element types: one recording for them all.
        let [_text, _prologue, _block, _text_keys, _epilogue] = recordings else {
            return Vec::new();
        };
        let blocks = (0..self.layers).map(|block| (2, Some(block)));
        [(1, None)]
            .into_iter()
            .chain(blocks)
            .chain([(4, None)])
            .collect()
    }

    fn config(self) -> TransformerConfig {
        TransformerConfig {
            patch_size: [1, 2, 2],
            num_attention_heads: 12,
            attention_head_dim: 128,
            in_channels: self.latents[0],
            out_channels: self.latents[0],
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 8960,
            num_layers: self.layers,
            cross_attn_norm: true,
            eps: 1e-6,
            image_dim: None,
            pos_embed_seq_len: None,
            rope_max_seq_len: 1024,
        }
    }
}

/// Names and shapes of `WanTransformer3DModel`'s tensors, all in bf16.
fn tensors(config: &TransformerConfig) -> Vec<(String, Vec<usize>, DType)> {
    let (dim, ffn) = (config.dim(), config.ffn_dim);
    let mut all = Vec::new();
    let mut add = |name: String, shape: Vec<usize>| all.push((name, shape, DType::BF16));
    let mut linear = |name: String, outputs: usize, inputs: usize| {
        add(format!("{name}.weight"), vec![outputs, inputs]);
        add(format!("{name}.bias"), vec![outputs]);
    };
    let embedder = "condition_embedder";
    linear(
        format!("{embedder}.text_embedder.linear_1"),
        dim,
        config.text_dim,
    );
    linear(format!("{embedder}.text_embedder.linear_2"), dim, dim);
    linear(
        format!("{embedder}.time_embedder.linear_1"),
        dim,
        config.freq_dim,
    );
    linear(format!("{embedder}.time_embedder.linear_2"), dim, dim);
    linear(format!("{embedder}.time_proj"), 6 * dim, dim);
    linear("proj_out".into(), config.patch_out(), dim);
    for block in (0..config.num_layers).map(|block| format!("blocks.{block}")) {
        for attention in ["attn1", "attn2"] {
            for projection in ["to_q", "to_k", "to_v", "to_out.0"] {
                linear(format!("{block}.{attention}.{projection}"), dim, dim);
            }
        }
        linear(format!("{block}.ffn.net.0.proj"), ffn, dim);
        linear(format!("{block}.ffn.net.2"), dim, ffn);
    }
    let [t, p, q] = config.patch_size;
    add(
        "patch_embedding.weight".into(),
        vec![dim, config.in_channels, t, p, q],
    );
    add("patch_embedding.bias".into(), vec![dim]);
    add("scale_shift_table".into(), vec![1, 2, dim]);
    for block in (0..config.num_layers).map(|block| format!("blocks.{block}")) {
        for attention in ["attn1", "attn2"] {
            add(format!("{block}.{attention}.norm_q.weight"), vec![dim]);
            add(format!("{block}.{attention}.norm_k.weight"), vec![dim]);
        }
        add(format!("{block}.norm2.weight"), vec![dim]);
        add(format!("{block}.norm2.bias"), vec![dim]);
        add(format!("{block}.scale_shift_table"), vec![1, 6, dim]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_has_the_parameters_of_the_release() {
        let config = Step::WAN_1_3B_480P.config();
        let tensors = tensors(&config);
        let parameters: usize = tensors
            .iter()
            .map(|(_, s, _)| s.iter().product::<usize>())
            .sum();
        assert_eq!((tensors.len(), parameters), (825, 1_418_996_800));
    }
}
