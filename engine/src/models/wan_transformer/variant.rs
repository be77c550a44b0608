//! Recognises transformers of the family that the engine does not support, by tensors that only they
//! have.

use crate::error::ModelError;
use crate::weights::Checkpoint;

/// Prefixes of tensor names, diffusers' or the original's, and the models they belong to.
const MARKS: [(&str, &str); 14] = [
    ("vace_blocks.", "Wan VACE"),
    ("vace_patch_embedding.", "Wan VACE"),
    ("control_adapter.", "Wan Fun-Camera"),
    ("ref_conv.", "Wan Fun-Control"),
    ("motion_encoder.", "Wan 2.2 Animate"),
    ("face_encoder.", "Wan 2.2 Animate"),
    ("face_adapter.", "Wan 2.2 Animate"),
    ("pose_patch_embedding.", "Wan 2.2 Animate"),
    ("casual_audio_encoder.", "Wan 2.2 S2V"),
    ("audio_injector.", "Wan 2.2 S2V"),
    ("audio_proj.", "a talking model with sound"),
    ("audio_model.", "a talking model with sound"),
    ("recam_", "ReCamMaster"),
    ("cam_encoder.", "ReCamMaster"),
];

/// Refuses, by its name, a model whose extra layers are not built.
///
/// # Errors
/// [`ModelError::Variant`].
pub(super) fn known(checkpoint: &Checkpoint) -> Result<(), ModelError> {
    let found = checkpoint.names().find_map(|name| {
        let mark = MARKS.iter().find(|(mark, _)| name.starts_with(mark));
        mark.map(|&(_, model)| (name.to_owned(), model))
    });
    match found {
        None => Ok(()),
        Some((tensor, model)) => Err(ModelError::Variant { model, tensor }),
    }
}
