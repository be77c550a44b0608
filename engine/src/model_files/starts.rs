//! What a model can start from beside noise and a prompt.

use super::ModelConfig;

/// Whether something may, must or cannot be given to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The model has no use for it.
    Never,
    /// The model runs with and without it.
    Maybe,
    /// The model cannot run without it.
    Always,
}

/// What a model can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartsFrom {
    /// The first frame.
    pub image: Given,
    /// The last frame.
    pub last_image: Given,
    /// A clip that is changed.
    pub video: Given,
    /// Whether at least one of the pictures must be given.
    pub needs_picture: bool,
}

impl StartsFrom {
    /// What a model can start from whose transformer sees the latents of known frames (`frames`), the
    /// image tokens of a picture (`tokens`), those of two (`two`), or has a timestep for each token.
    pub(super) fn new(frames: bool, tokens: bool, two: bool, expand_timesteps: bool) -> Self {
        let (image, last_image) = match (frames, tokens) {
            (true, true) if two => (Given::Always, Given::Always),
            (true, true) => (Given::Always, Given::Never),
            // Wan 2.2 I2V-A14B: the mask alone says which frames are known.
            (true, false) => (Given::Maybe, Given::Maybe),
            (false, _) if expand_timesteps => (Given::Maybe, Given::Never),
            (false, _) => (Given::Never, Given::Never),
        };
        Self {
            image,
            last_image,
            video: if frames { Given::Never } else { Given::Maybe },
            needs_picture: frames,
        }
    }

    /// In words, for people.
    pub(super) fn describe(self) -> String {
        let words = [
            ("an image", self.image),
            ("a last image", self.last_image),
            ("a video", self.video),
        ];
        let able: Vec<&str> = words
            .iter()
            .filter(|(_, given)| *given != Given::Never)
            .map(|(word, _)| *word)
            .collect();
        match (self.image, self.last_image) {
            (Given::Always, Given::Always) => "a prompt with an image and a last image".to_owned(),
            (Given::Always, _) => "a prompt with an image".to_owned(),
            _ if self.needs_picture => "a prompt with an image, a last image or both".to_owned(),
            _ => format!("a prompt, alone or with {}", able.join(" or ")),
        }
    }
}

impl ModelConfig {
    /// What the model can start from.
    #[must_use]
    pub fn starts_from(&self) -> StartsFrom {
        let transformer = &self.transformer;
        StartsFrom::new(
            transformer.sees_condition(),
            transformer.image_dim.is_some(),
            transformer.pos_embed_seq_len.is_some(),
            self.pipeline.expand_timesteps,
        )
    }
}
