//! Which weights may be quantized: the matrices of the linear layers in blocks.

use crate::tensor::DType;

/// Whether a tensor, by diffusers' name and its shape, is a matrix of a linear layer in a block of a
/// transformer or of UMT5. These are nearly all of the bytes, and the tensors that quantised releases
/// quantise. Small or sensitive tensors are excluded: norms, biases, the embeddings of tokens, patches,
/// times and positions, modulations, the head.
#[must_use]
pub fn is_block_matrix(name: &str, shape: &[usize]) -> bool {
    let in_block = ["blocks.", "encoder.block."]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    let matrix = name.ends_with(".weight") && !name.ends_with("relative_attention_bias.weight");
    shape.len() == 2 && in_block && matrix
}

/// The types that such matrices may be given.
pub fn small_types() -> impl Iterator<Item = DType> {
    DType::targets().filter(|&dtype| dtype != DType::F32)
}

/// One of [`small_types`] by its name, in any case.
///
/// # Errors
/// A sentence with the names that there are.
pub fn small_type(text: &str) -> Result<DType, String> {
    let named = |dtype: &DType| dtype.name().eq_ignore_ascii_case(text);
    small_types().find(named).ok_or_else(|| {
        let read = DType::WEIGHTS.iter().any(named) && text != "f32";
        let read = if read {
            "a type that is read, not written; "
        } else {
            ""
        };
        format!("{read}expected one of {}", small_type_names())
    })
}

/// As [`small_type`], or f32.
///
/// # Errors
/// As [`small_type`].
pub fn target_type(text: &str) -> Result<DType, String> {
    if text.eq_ignore_ascii_case(DType::F32.name()) {
        return Ok(DType::F32);
    }
    small_type(text).map_err(|error| error.replace("one of ", "one of f32, "))
}

/// The names of [`small_types`], with commas between them.
pub fn small_type_names() -> String {
    let names: Vec<String> = small_types().map(DType::lower_name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_blocks_are_told_from_all_else() {
        for (name, shape, expected) in [
            ("blocks.0.attn1.to_out.0.weight", &[8, 8][..], true),
            ("blocks.11.ffn.net.0.proj.weight", &[32, 8], true),
            ("blocks.0.attn1.to_q.bias", &[8], false),
            ("blocks.0.norm2.weight", &[8], false),
            ("blocks.0.scale_shift_table", &[1, 6, 8], false),
            ("condition_embedder.time_proj.weight", &[48, 8], false),
            ("proj_out.weight", &[64, 8], false),
            (
                "encoder.block.3.layer.1.DenseReluDense.wo.weight",
                &[8, 8],
                true,
            ),
            (
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                &[32, 8],
                false,
            ),
            ("shared.weight", &[256, 8], false),
            ("decoder.up_blocks.0.resnets.0.conv1.weight", &[8, 8], false),
        ] {
            assert_eq!(is_block_matrix(name, shape), expected, "{name}");
        }
    }
}
