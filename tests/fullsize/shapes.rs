//! Names and shapes of all tensors of a model part, from its configuration.

use kinora::models::config::{ImageEncoderConfig, TextEncoderConfig, TransformerConfig};

/// A tensor's name and shape.
pub type Named = (String, Vec<usize>);

/// A linear layer's weight [to, from] and bias.
fn linear(all: &mut Vec<Named>, name: &str, from: usize, to: usize) {
    all.push((format!("{name}.weight"), vec![to, from]));
    all.push((format!("{name}.bias"), vec![to]));
}

/// `WanTransformer3DModel`.
pub fn transformer(config: &TransformerConfig) -> Vec<Named> {
    let (dim, all) = (config.dim(), &mut Vec::new());
    let [t, h, w] = config.patch_size;
    let patch = vec![dim, config.in_channels, t, h, w];
    all.push(("patch_embedding.weight".into(), patch));
    all.push(("patch_embedding.bias".into(), vec![dim]));
    for (name, from, to) in [
        ("text_embedder.linear_1", config.text_dim, dim),
        ("text_embedder.linear_2", dim, dim),
        ("time_embedder.linear_1", config.freq_dim, dim),
        ("time_embedder.linear_2", dim, dim),
        ("time_proj", dim, 6 * dim),
    ] {
        linear(all, &format!("condition_embedder.{name}"), from, to);
    }
    if let Some(width) = config.image_dim {
        let embedder = "condition_embedder.image_embedder";
        for (norm, width) in [("norm1", width), ("norm2", dim)] {
            all.push((format!("{embedder}.{norm}.weight"), vec![width]));
            all.push((format!("{embedder}.{norm}.bias"), vec![width]));
        }
        linear(all, &format!("{embedder}.ff.net.0.proj"), width, width);
        linear(all, &format!("{embedder}.ff.net.2"), width, dim);
        if let Some(positions) = config.pos_embed_seq_len {
            let shape = vec![1, positions, width];
            all.push((format!("{embedder}.pos_embed"), shape));
        }
    }
    for block in 0..config.num_layers {
        let at = |name: &str| format!("blocks.{block}.{name}");
        if config.image_dim.is_some() {
            linear(all, &at("attn2.add_k_proj"), dim, dim);
            linear(all, &at("attn2.add_v_proj"), dim, dim);
            all.push((at("attn2.norm_added_k.weight"), vec![dim]));
        }
        for attention in ["attn1", "attn2"] {
            for name in ["to_q", "to_k", "to_v", "to_out.0"] {
                linear(all, &at(&format!("{attention}.{name}")), dim, dim);
            }
            for name in ["norm_q", "norm_k"] {
                all.push((at(&format!("{attention}.{name}.weight")), vec![dim]));
            }
        }
        if config.cross_attn_norm {
            all.push((at("norm2.weight"), vec![dim]));
            all.push((at("norm2.bias"), vec![dim]));
        }
        linear(all, &at("ffn.net.0.proj"), dim, config.ffn_dim);
        linear(all, &at("ffn.net.2"), config.ffn_dim, dim);
        all.push((at("scale_shift_table"), vec![1, 6, dim]));
    }
    linear(all, "proj_out", dim, config.out_channels * t * h * w);
    all.push(("scale_shift_table".into(), vec![1, 2, dim]));
    std::mem::take(all)
}

/// `UMT5EncoderModel`.
pub fn text_encoder(config: &TextEncoderConfig) -> Vec<Named> {
    let (d, inner, ff) = (config.d_model, config.inner_dim(), config.d_ff);
    let mut all = vec![("shared.weight".to_owned(), vec![config.vocab_size, d])];
    for block in 0..config.num_layers {
        let layers = [
            ("0.layer_norm", vec![d]),
            ("0.SelfAttention.q", vec![inner, d]),
            ("0.SelfAttention.k", vec![inner, d]),
            ("0.SelfAttention.v", vec![inner, d]),
            ("0.SelfAttention.o", vec![d, inner]),
            (
                "0.SelfAttention.relative_attention_bias",
                vec![config.relative_attention_num_buckets, config.num_heads],
            ),
            ("1.layer_norm", vec![d]),
            ("1.DenseReluDense.wi_0", vec![ff, d]),
            ("1.DenseReluDense.wi_1", vec![ff, d]),
            ("1.DenseReluDense.wo", vec![d, ff]),
        ];
        for (name, shape) in layers {
            all.push((format!("encoder.block.{block}.layer.{name}.weight"), shape));
        }
    }
    all.push(("encoder.final_layer_norm.weight".into(), vec![d]));
    all
}

/// `CLIPVisionModel`, under the names of files.
pub fn image_encoder(config: &ImageEncoderConfig) -> Vec<Named> {
    let (d, inner, patch) = (
        config.hidden_size,
        config.intermediate_size,
        config.patch_size,
    );
    let (root, all) = ("vision_model", &mut Vec::new());
    let embeddings = format!("{root}.embeddings");
    all.push((format!("{embeddings}.class_embedding"), vec![d]));
    let shape = vec![d, 3, patch, patch];
    all.push((format!("{embeddings}.patch_embedding.weight"), shape));
    let shape = vec![config.tokens(), d];
    all.push((format!("{embeddings}.position_embedding.weight"), shape));
    let norm = |all: &mut Vec<Named>, name: String| {
        all.push((format!("{name}.weight"), vec![d]));
        all.push((format!("{name}.bias"), vec![d]));
    };
    norm(all, format!("{root}.pre_layrnorm"));
    for layer in 0..config.num_hidden_layers {
        let at = |name: &str| format!("{root}.encoder.layers.{layer}.{name}");
        norm(all, at("layer_norm1"));
        norm(all, at("layer_norm2"));
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            linear(all, &at(&format!("self_attn.{name}")), d, d);
        }
        linear(all, &at("mlp.fc1"), d, inner);
        linear(all, &at("mlp.fc2"), inner, d);
    }
    norm(all, format!("{root}.post_layernorm"));
    std::mem::take(all)
}

/// `AutoencoderKLWan`'s encoder, from the same tables.
pub fn encoder(table: &str) -> Vec<Named> {
    let is = |name: &str| name.starts_with("encoder.") || name.starts_with("quant_conv.");
    tensors(table)
        .into_iter()
        .filter(|(name, _)| is(name))
        .collect()
}

/// `AutoencoderKLWan`'s decoder, from a table of `fixtures/released`: what is the encoder's is left
/// out, which nobody reads.
pub fn decoder(table: &str) -> Vec<Named> {
    let encoder = |name: &str| name.starts_with("encoder.") || name.starts_with("quant_conv.");
    tensors(table)
        .into_iter()
        .filter(|(name, _)| !encoder(name))
        .collect()
}

/// The tensors of a table: a name and a shape a line.
fn tensors(table: &str) -> Vec<Named> {
    let row = |line: &str| {
        let (name, shape) = line.split_once('\t')?;
        let shape = shape.split('x').map(|n| n.parse().ok());
        Some((name.to_owned(), shape.collect::<Option<Vec<usize>>>()?))
    };
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(row).collect()
}

/// The autoencoder of Wan 2.1.
pub const WAN21_VAE: &str = include_str!("../fixtures/released/wan21_vae.tsv");
/// The autoencoder of Wan 2.2.
pub const WAN22_VAE: &str = include_str!("../fixtures/released/wan22_vae.tsv");
