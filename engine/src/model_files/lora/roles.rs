//! The role of each tensor of an adapter in its layer, by its name.

use crate::model_files::names::{adapted_expert, adapted_module};

/// The role of a tensor in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// LoRA: [R, K]
    Down,
    /// LoRA: [N, R]
    Up,
    /// LoHa: [N, R], [R, K], and the same again
    Hadamard1A,
    Hadamard1B,
    Hadamard2A,
    Hadamard2B,
    /// LoKr: [A, B], or its factors [A, R] and [R, B]
    Kronecker1,
    Kronecker1A,
    Kronecker1B,
    /// LoKr: [N / A, K / B], or its factors
    Kronecker2,
    Kronecker2A,
    Kronecker2B,
    /// Alpha, one number: the change is multiplied by alpha / R.
    Alpha,
    /// DoRA: the lengths that the rows or columns are scaled to.
    Magnitude,
    /// A term added to the weight.
    Weight,
    /// A term added to the bias.
    Bias,
    /// The bias of `up`: added to the layer's, scaled as `up` is.
    UpBias,
}

/// Suffixes of tensor names, and the role that each stands for.
const ROLES: [(&str, Role); 36] = [
    (".lora_A.weight", Role::Down),
    (".lora_A.default.weight", Role::Down),
    (".lora_A", Role::Down),
    (".lora_down.weight", Role::Down),
    (".lora_down", Role::Down),
    (".lora.down.weight", Role::Down),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_B.default.weight", Role::Up),
    (".lora_B", Role::Up),
    (".lora_up.weight", Role::Up),
    (".lora_up", Role::Up),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.up.weight", Role::Up),
    (".hada_w1_a", Role::Hadamard1A),
    (".hada_w1_b", Role::Hadamard1B),
    (".hada_w2_a", Role::Hadamard2A),
    (".hada_w2_b", Role::Hadamard2B),
    (".lokr_w1", Role::Kronecker1),
    (".lokr_w1_a", Role::Kronecker1A),
    (".lokr_w1_b", Role::Kronecker1B),
    (".lokr_w2", Role::Kronecker2),
    (".lokr_w2_a", Role::Kronecker2A),
    (".lokr_w2_b", Role::Kronecker2B),
    (".alpha", Role::Alpha),
    (".dora_scale", Role::Magnitude),
    (".lora_magnitude_vector", Role::Magnitude),
    (".lora_magnitude_vector.weight", Role::Magnitude),
    (".lora_magnitude_vector.default.weight", Role::Magnitude),
    (".diff", Role::Weight),
    (".w_norm", Role::Weight),
    (".diff_b", Role::Bias),
    (".b_norm", Role::Bias),
    (".lora_B.bias", Role::UpBias),
    (".lora_B.default.bias", Role::UpBias),
    (".lora_up.bias", Role::UpBias),
];

/// The ending of a difference of the modulation, which is a tensor without a module.
const MODULATION: &str = ".diff_m";

/// Parts of names that mark methods that are not applied.
const METHODS: [(&str, &str); 9] = [
    (".hada_t", "LoHa in Tucker's form"),
    (".lokr_t", "LoKr in Tucker's form"),
    (".lora_mid", "LoCon with a third matrix"),
    (".oft_", "OFT"),
    (".boft_", "BOFT"),
    (".vera_lambda", "VeRA"),
    (".lora_E", "AdaLoRA"),
    (".ia3_l", "IA3"),
    (".on_input", "IA3"),
];

/// Where a tensor of an adapter belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The transformer, where the name says which of two.
    pub(super) part: Option<&'static str>,
    /// The model's layer, or its table of modulations.
    pub(super) layer: String,
    pub(super) role: Role,
}

/// Where `tensor` belongs; `None` for a name that is not recognised.
pub(super) fn place(tensor: &str) -> Option<Place> {
    let (module, role) = match tensor.strip_suffix(MODULATION) {
        Some(block) => (format!("{block}.modulation"), Role::Weight),
        None => ROLES.iter().find_map(|(ending, role)| {
            let module = tensor.strip_suffix(ending)?;
            Some((module.to_owned(), *role))
        })?,
    };
    let (part, module) = adapted_expert(&module);
    Some(Place {
        part,
        layer: adapted_module(module),
        role,
    })
}

/// The unsupported method that the tensor belongs to, if its name shows one.
pub(super) fn unknown_method(tensor: &str) -> Option<&'static str> {
    let found = METHODS.iter().find(|(mark, _)| tensor.contains(mark));
    found.map(|(_, method)| *method)
}

/// Whether a layer belongs to what image-to-video models have beside those of text: the keys and
/// values of an image's embedding.
pub(super) fn is_of_images(layer: &str) -> bool {
    const OF_A_BLOCK: [&str; 3] = ["attn2.add_k_proj", "attn2.add_v_proj", "attn2.norm_added_k"];
    let block = layer.strip_prefix("blocks.");
    let block = block.and_then(|rest| rest.split_once('.'));
    match block {
        Some((_, module)) => OF_A_BLOCK.contains(&module),
        None => layer.starts_with("condition_embedder.image_embedder."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainers_names_find_their_layers() {
        let q = "blocks.0.attn1.to_q";
        for (tensor, part, layer, role) in [
            (
                "lora_unet__blocks_0_self_attn_q.alpha",
                None,
                q,
                Role::Alpha,
            ),
            (
                "lycoris_blocks_0_self_attn_q.lokr_w1",
                None,
                q,
                Role::Kronecker1,
            ),
            (
                "lycoris_blocks_0_attn1_to_q.hada_w2_b",
                None,
                q,
                Role::Hadamard2B,
            ),
            ("blocks.0.attn1.to_q.lora_A", None, q, Role::Down),
            (
                "transformer.blocks.0.attn1.to_q.lora.up.weight",
                None,
                q,
                Role::Up,
            ),
            (
                "diffusion_model.transformer_1.blocks.0.self_attn.q.lora_down.weight",
                Some("transformer"),
                q,
                Role::Down,
            ),
            (
                "transformer_2.blocks.0.attn1.to_q.lora_B.weight",
                Some("transformer_2"),
                q,
                Role::Up,
            ),
            (
                "diffusion_model.blocks.3.modulation.diff",
                None,
                "blocks.3.scale_shift_table",
                Role::Weight,
            ),
            (
                "diffusion_model.blocks.3.diff_m",
                None,
                "blocks.3.scale_shift_table",
                Role::Weight,
            ),
            (
                "lora_unet_head_modulation.diff",
                None,
                "scale_shift_table",
                Role::Weight,
            ),
            (
                "lycoris_patch_embedding.lora_up.weight",
                None,
                "patch_embedding",
                Role::Up,
            ),
            (
                "diffusion_model.blocks.1.norm3.b_norm",
                None,
                "blocks.1.norm2",
                Role::Bias,
            ),
        ] {
            let layer = layer.to_owned();
            assert_eq!(place(tensor), Some(Place { part, layer, role }), "{tensor}");
        }
        assert_eq!(place("blocks.0.attn1.to_q.weight"), None);
    }

    #[test]
    fn modules_of_images_are_told_from_others() {
        for tensor in [
            "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight",
            "lora_unet_blocks_11_cross_attn_v_img.alpha",
            "diffusion_model.blocks.0.cross_attn.norm_k_img.diff",
            "lora_unet_img_emb_proj_1.lora_down.weight",
            "transformer.blocks.0.attn2.add_k_proj.lora_A.weight",
            "transformer.condition_embedder.image_embedder.ff.net.0.proj.lora_A.weight",
        ] {
            let layer = place(tensor).map(|place| place.layer);
            assert!(layer.is_some_and(|layer| is_of_images(&layer)), "{tensor}");
        }
        for layer in [
            "blocks.0.attn2.to_k",
            "blocks.0.attn1.add_k_proj",
            "img_emb",
        ] {
            assert!(!is_of_images(layer), "{layer}");
        }
    }
}
