//! Names of the released checkpoints, one of each kind of module; the whole listings are in
//! `tests/models/names.rs`.

use super::{Kind, Names, Naming, original_of_transformer};

/// The one part that tensors of these names are of.
fn one(names: &[&str]) -> Names {
    let mut found = Names::recognise(names.iter().copied());
    assert_eq!(found.len(), 1, "{names:?}: {found:?}");
    found.remove(0)
}

#[test]
fn transformers() {
    for prefix in ["", "model.diffusion_model.", "model."] {
        let hallmark = format!("{prefix}time_projection.1.weight");
        let names = one(&[&hallmark, "scaled_fp8"]);
        assert_eq!(
            (names.kind, names.naming),
            (Kind::Transformer, Naming::Original)
        );
        for (original, diffusers) in [
            (
                "blocks.12.self_attn.o.bias",
                "blocks.12.attn1.to_out.0.bias",
            ),
            (
                "blocks.0.cross_attn.norm_k.weight",
                "blocks.0.attn2.norm_k.weight",
            ),
            (
                "blocks.0.ffn.0.scale_weight",
                "blocks.0.ffn.net.0.proj.scale_weight",
            ),
            ("blocks.0.modulation", "blocks.0.scale_shift_table"),
            ("head.modulation", "scale_shift_table"),
            ("patch_embedding.weight", "patch_embedding.weight"),
            (
                "img_emb.proj.0.weight",
                "condition_embedder.image_embedder.norm1.weight",
            ),
            (
                "blocks.3.cross_attn.norm_k_img.weight",
                "blocks.3.attn2.norm_added_k.weight",
            ),
            ("ref_conv.weight", "ref_conv.weight"),
        ] {
            assert_eq!(original_of_transformer(diffusers), original);
            let renamed = names.diffusers(&format!("{prefix}{original}"));
            assert_eq!(renamed.as_deref(), Some(diffusers));
        }
        assert_eq!(names.diffusers(&format!("{prefix}scaled_fp8")), None);
    }
    let names = one(&["condition_embedder.time_proj.weight"]);
    assert_eq!(names.naming, Naming::Diffusers);
    let name = "blocks.0.norm2.weight";
    assert_eq!(names.diffusers(name).as_deref(), Some(name));
}

#[test]
fn text_encoders() {
    let q = "encoder.block.3.layer.0.SelfAttention.q.weight";
    let norm = "encoder.final_layer_norm.weight";
    for (hallmark, naming, own_q, own_norm, table) in [
        (
            "encoder.block.0.layer.0.SelfAttention.q.weight",
            Naming::Diffusers,
            q,
            norm,
            "shared.weight",
        ),
        (
            "block.0.layer.0.SelfAttention.q.weight",
            Naming::Bare,
            "block.3.layer.0.SelfAttention.q.weight",
            "final_layer_norm.weight",
            "shared.weight",
        ),
        (
            "blocks.0.pos_embedding.embedding.weight",
            Naming::Original,
            "blocks.3.attn.q.weight",
            "norm.weight",
            "token_embedding.weight",
        ),
        (
            "enc.blk.0.attn_q.weight",
            Naming::LlamaCpp,
            "enc.blk.3.attn_q.weight",
            "enc.output_norm.weight",
            "token_embd.weight",
        ),
    ] {
        let names = one(&[hallmark, "spiece_model"]);
        assert_eq!((names.kind, names.naming), (Kind::TextEncoder, naming));
        assert_eq!(names.diffusers(own_q).as_deref(), Some(q));
        assert_eq!(names.diffusers(own_norm).as_deref(), Some(norm));
        assert_eq!(names.diffusers(table).as_deref(), Some("shared.weight"));
        assert_eq!(names.diffusers("spiece_model"), None);
    }
    // A whole T5: its decoder is not used.
    let names = one(&[
        "decoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
    ]);
    assert_eq!(names.naming, Naming::Diffusers);
    assert_eq!(
        names.diffusers("decoder.block.0.layer.0.SelfAttention.q.weight"),
        None
    );
}

#[test]
fn autoencoders() {
    let hallmark = "decoder.middle.0.residual.0.gamma";
    // One residual block less a level than the released model has.
    let flat = one(&[
        hallmark,
        "decoder.upsamples.2.resample.1.weight",
        "decoder.upsamples.2.time_conv.weight",
        "decoder.upsamples.5.resample.1.weight",
    ]);
    for (original, diffusers) in [
        ("conv2.bias", "post_quant_conv.bias"),
        ("decoder.conv1.weight", "decoder.conv_in.weight"),
        (
            "decoder.middle.2.residual.6.bias",
            "decoder.mid_block.resnets.1.conv2.bias",
        ),
        (
            "decoder.middle.1.to_qkv.weight",
            "decoder.mid_block.attentions.0.to_qkv.weight",
        ),
        (
            "decoder.upsamples.1.residual.3.gamma",
            "decoder.up_blocks.0.resnets.1.norm2.gamma",
        ),
        (
            "decoder.upsamples.2.time_conv.bias",
            "decoder.up_blocks.0.upsamplers.0.time_conv.bias",
        ),
        (
            "decoder.upsamples.3.shortcut.bias",
            "decoder.up_blocks.1.resnets.0.conv_shortcut.bias",
        ),
        (
            "decoder.upsamples.7.residual.2.bias",
            "decoder.up_blocks.2.resnets.1.conv1.bias",
        ),
        ("decoder.head.2.weight", "decoder.conv_out.weight"),
        (
            "encoder.downsamples.5.time_conv.bias",
            "encoder.down_blocks.5.time_conv.bias",
        ),
        (
            "encoder.downsamples.4.residual.6.bias",
            "encoder.down_blocks.4.conv2.bias",
        ),
    ] {
        assert_eq!(flat.diffusers(original).as_deref(), Some(diffusers));
    }
    let nested = one(&[
        hallmark,
        "decoder.upsamples.0.upsamples.3.resample.1.weight",
    ]);
    for (original, diffusers) in [
        (
            "decoder.upsamples.2.upsamples.0.shortcut.weight",
            "decoder.up_blocks.2.resnets.0.conv_shortcut.weight",
        ),
        (
            "decoder.upsamples.1.upsamples.3.time_conv.bias",
            "decoder.up_blocks.1.upsampler.time_conv.bias",
        ),
        (
            "encoder.downsamples.0.downsamples.2.resample.1.bias",
            "encoder.down_blocks.0.downsampler.resample.1.bias",
        ),
    ] {
        assert_eq!(nested.diffusers(original).as_deref(), Some(diffusers));
    }
}

#[test]
fn all_parts_in_one_file_and_none() {
    let all = [
        "model.diffusion_model.time_projection.1.weight",
        "text_encoders.umt5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight",
        "vae.decoder.middle.0.residual.0.gamma",
    ];
    let found = Names::recognise(all.iter().copied());
    let kinds: Vec<Kind> = found.iter().map(|names| names.kind).collect();
    assert_eq!(kinds, [Kind::Transformer, Kind::TextEncoder, Kind::Vae]);
    assert_eq!(found[2].prefix, "vae.");
    assert_eq!(found[2].diffusers(all[0]), None);
    assert!(Names::recognise(["decoder.1.weight"].into_iter()).is_empty());
}
