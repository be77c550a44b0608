//! A transformer on a device that sees images: their tokens, and their keys and values in each block.

use std::sync::atomic::Ordering;

use super::image::IMAGE_KEYS;
use super::runner::{BLOCKS, Transformer};
use crate::error::{Error, ModelError};
use crate::gpu::{Bound, Buffer, Gpu, Stream};
use crate::record::Recording;

/// Buffers for keys and values, as large as the recordings have them.
pub(super) fn pair(
    gpu: &Gpu,
    recordings: &[Recording],
    names: [&'static str; 2],
) -> Result<[Buffer; 2], Error> {
    let bytes = |name: &str| {
        let recording = recordings.first()?;
        Some(recording.info(recording.find(name)?).bytes())
    };
    let [k, v] = names.map(|name| gpu.buffer(name, bytes(name).unwrap_or(0)));
    Ok([k?, v?])
}

impl Transformer {
    /// What computes the image's keys and values: of each block, or where blocks are streamed of each
    /// kind, slot by slot.
    pub(super) fn bind_image_keys(&self) -> Result<Vec<Bound>, Error> {
        let kinds = self.passes.blocks.len();
        let signatures = &self.passes.signatures;
        let first = BLOCKS + 2 * kinds + 2;
        let mut bound = Vec::new();
        match &self.weight_stream {
            None => {
                for (block, &kind) in signatures.of.iter().enumerate() {
                    let own = |name: &str| self.weights.get(&signatures.rename(kind, block, name));
                    let given = self.image_given(block);
                    bound.push(self.bind(first + kind, &given, &own)?);
                }
            }
            Some(weight_stream) => {
                for slot in weight_stream.slots() {
                    for kind in 0..kinds {
                        let own = |name: &str| slot.get(signatures.key(kind, name)?).cloned();
                        bound.push(self.bind(first + kind, &self.image_given(0), &own)?);
                    }
                }
            }
        }
        Ok(bound)
    }

    /// The image's keys and values in a block, by their names in the recordings.
    pub(super) fn image_given(&self, block: usize) -> Vec<(&'static str, &Buffer)> {
        let pair = self.image_pairs.get(block).or(self.image_pairs.first());
        let named = |pair| IMAGE_KEYS.into_iter().zip(pair);
        pair.into_iter().flat_map(named).collect()
    }

    /// Gives the model what CLIP sees: image tokens [I, image_dim] of one picture or two, one after
    /// the other, for every prompt that follows. Where blocks keep the text's keys and values they keep
    /// the image's, which are computed here.
    ///
    /// # Errors
    /// Another number of values than the passes were recorded for, the device failed, or cancelled.
    pub fn set_image(&self, stream: &mut Stream, embeds: &[f32]) -> Result<(), Error> {
        let passes = &self.passes;
        let expected = passes.image_rows * passes.image_dim;
        if embeds.len() != expected || expected == 0 {
            return Err(ModelError::Length {
                what: "image tokens",
                found: embeds.len(),
                expected: format!("{} rows of {}", passes.image_rows, passes.image_dim),
            }
            .into());
        }
        let mut embeds = embeds.to_vec();
        for (value, position) in embeds.iter_mut().zip(self.positions.iter().flatten()) {
            *value += position;
        }
        self.write(stream, "image embeds", bytemuck::cast_slice(&embeds))?;
        let image = BLOCKS + 2 * passes.blocks.len() + 1;
        let stays = |name: &str| self.weights.get(name);
        let bound = self.bind(image, &[], &stays)?;
        stream.run(&bound)?;
        if self.keeps_text {
            for bound in self.bind_image_keys()? {
                stream.run(&bound)?;
            }
        }
        stream.finish()?;
        self.has_image.store(true, Ordering::Relaxed);
        Ok(())
    }
}
