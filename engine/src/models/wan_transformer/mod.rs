//! Wan's denoising transformer: latents, a timestep and a prompt's embeddings in, a velocity out.
//!
//! Reference: `WanTransformer3DModel` of diffusers (Wan et al. 2025); the modulation is that of
//! DiT (Peebles & Xie 2023), shared by all blocks but for a learned table in each.
//!
//! ```text
//! latents [C, T, h, w] ─ patches ─► hidden [N, dim] ─ block 0 … block n ─► norm, proj ─► velocity
//! timesteps [D] ─ sinusoids, MLP ─► time embed [D, dim] ─ silu, linear ─► time proj [D, 6 dim] ─► every block
//! embeds [L, text_dim] ─ MLP ─► text [L, dim] ─► every block
//! image embeds [I, image_dim] ─ norms, MLP ─► image [I, dim] ─► every block       where a model sees images
//! ```
//!
//! A plan has five kinds of recording: the text, once per prompt; the prologue; a block, and the text's
//! keys and values in a block, both run with each block's weights; and the epilogue. The keys and values
//! are computed once per prompt and kept or, if memory is short or blocks are streamed, computed before
//! each block in every pass; see [`Residency`]. A token's timestep is a row of a table of the D distinct
//! timesteps, because Wan 2.2 TI2V gives tokens individual timesteps but few distinct ones.

mod block;
mod embed_and_head;
mod image;
mod padding;
mod runner;
mod seeing;
mod variant;

use super::alignment::check_multiples_of_four;
use super::config::TransformerConfig;
use super::signature::Signatures;
use crate::error::{Error, ModelError};
use crate::gpu::{StreamedTensor, slot_bytes};
use crate::ops::rope::RopeGrid;
use crate::record::{Caps, Footprint, Recording, buffer_bytes};
use crate::weights::Checkpoint;

use block::TEXT_KEYS;
use image::IMAGE_KEYS;
pub use runner::{Context, Residency, Transformer};

const MODEL: &str = "WanTransformer3DModel";

/// The sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformerShape {
    /// Latents: channels, frames, rows, columns.
    pub latents: [usize; 4],
    /// Rows of the text that the model sees, padding included: 512 in every released model.
    pub text_length: usize,
    /// Text rows that are computed: those of the longest prompt and, if it is shorter than
    /// `text_length`, one more for all of the padding. Padding rows are equal, so one key counts as many
    /// in the softmax; see [`TransformerShape::text_rows`].
    pub text_rows: usize,
    /// Distinct timesteps in one pass: 1 unless tokens have their own.
    pub timesteps: usize,
}

impl TransformerShape {
    /// How many rows of the text to compute where the longest prompt has `longest` of its own.
    pub fn text_rows(longest: usize, text_length: usize) -> usize {
        (longest + 1).min(text_length)
    }
}

/// A transformer's passes for one device and one size, as data.
#[derive(Clone, Debug)]
pub struct TransformerPasses {
    shape: TransformerShape,
    grid: RopeGrid,
    text_dim: usize,
    freq_dim: usize,
    signatures: Signatures,
    text: Recording,
    prologue: Recording,
    /// One for each mixture of element types among the blocks.
    blocks: Vec<Recording>,
    /// The text's keys and values in them.
    text_keys: Vec<Recording>,
    epilogue: Recording,
    /// Image tokens, 0 where the model sees none.
    image_rows: usize,
    image_dim: usize,
    /// The image tokens', where there are any: once a run.
    image: Option<Recording>,
    /// Their keys and values in each kind of block.
    image_keys: Vec<Recording>,
}

impl TransformerPasses {
    /// Records the passes, and checks every tensor of the checkpoint by name and shape.
    ///
    /// # Errors
    /// Sizes that the kernels do not support, latents that are not a whole number of patches or exceed the rotary embedding, tensors that are missing, of another
    /// shape or unknown.
    pub fn record(
        caps: &Caps,
        config: &TransformerConfig,
        checkpoint: &Checkpoint,
        shape: TransformerShape,
    ) -> Result<Self, Error> {
        Self::record_seeing(caps, config, checkpoint, shape, 0)
    }

    /// Like [`TransformerPasses::record`], for a model that sees this many image tokens: 257 for one
    /// picture, 514 for two.
    ///
    /// # Errors
    /// As [`TransformerPasses::record`], and a number of image tokens that the model does not take: it
    /// takes none without `image_dim`, and exactly as many as it has learned positions.
    pub fn record_seeing(
        caps: &Caps,
        config: &TransformerConfig,
        checkpoint: &Checkpoint,
        shape: TransformerShape,
        image_rows: usize,
    ) -> Result<Self, Error> {
        variant::known(checkpoint)?;
        image::check(config, image_rows)?;
        let grid = grid(config, shape)?;
        let signatures = Signatures::new(checkpoint, "blocks", config.num_layers);
        let sizes = Sizes {
            config,
            shape,
            grid,
            image_rows,
        };
        let blocks = signatures
            .first
            .iter()
            .map(|&block| sizes.record_block(caps, checkpoint, block));
        let blocks = blocks.collect::<Result<Vec<_>, Error>>()?;
        let text_keys = signatures
            .first
            .iter()
            .map(|&block| sizes.record_text_keys(caps, checkpoint, block));
        let text_keys = text_keys.collect::<Result<Vec<_>, Error>>()?;
        let image_keys = match image_rows {
            0 => Vec::new(),
            _ => signatures
                .first
                .iter()
                .map(|&block| sizes.record_image_keys(caps, checkpoint, block))
                .collect::<Result<Vec<_>, Error>>()?,
        };
        for kind in 0..signatures.first.len() {
            let recordings = [&blocks, &text_keys, &image_keys];
            for block in signatures.members(kind) {
                let of_kind = recordings.iter().filter_map(|of| of.get(kind));
                for (_, info, _) in of_kind.flat_map(Recording::weights) {
                    checkpoint.type_of(&signatures.rename(kind, block, &info.name), &info.shape)?;
                }
            }
        }
        let passes = Self {
            shape,
            grid,
            text_dim: config.text_dim,
            freq_dim: config.freq_dim,
            signatures,
            text: sizes.record_text(caps, checkpoint)?,
            prologue: sizes.record_prologue(caps, checkpoint)?,
            blocks,
            text_keys,
            epilogue: sizes.record_epilogue(caps, checkpoint)?,
            image_rows,
            image_dim: config.image_dim.unwrap_or(0),
            image: match image_rows {
                0 => None,
                _ => Some(sizes.record_image(caps, checkpoint)?),
            },
            image_keys,
        };
        // FastWan's gates of sparse attention: attention is whole here, and has no use for them.
        let gates: Vec<String> = (0..config.num_layers)
            .map(|block| format!("blocks.{block}.to_gate_compress."))
            .collect();
        let gates: Vec<&str> = gates.iter().map(String::as_str).collect();
        checkpoint.check_all_read(&gates)?;
        Ok(passes)
    }

    /// All recordings, in the order of their plan.
    pub fn recordings(&self) -> Vec<&Recording> {
        let first = [&self.text, &self.prologue];
        first
            .into_iter()
            .chain(&self.blocks)
            .chain(&self.text_keys)
            .chain([&self.epilogue])
            .chain(&self.image)
            .chain(&self.image_keys)
            .collect()
    }

    /// Floating-point operations of one forward pass, without the work done once per prompt.
    pub fn flops(&self) -> u64 {
        let blocks: u64 = self
            .signatures
            .of
            .iter()
            .map(|&kind| self.blocks[kind].flops())
            .sum();
        self.prologue.flops() + blocks + self.epilogue.flops()
    }

    /// Bytes of device memory of the transformer for `contexts` prompts, without the caller's latents and
    /// velocities: (weights, everything else).
    pub fn memory(&self, residency: Residency, contexts: usize) -> (u64, u64) {
        let ends = Footprint::of(self.ends());
        let blocks = match residency {
            Residency::Resident | Residency::Minimal => {
                let bytes = |&kind: &usize| Footprint::of(self.of_kind(kind)).weights;
                self.signatures.of.iter().map(bytes).sum()
            }
            Residency::Streamed(window) => window.bytes(self.set_bytes()),
        };
        let kept: u64 = runner::kept(self).into_iter().map(|(_, bytes)| bytes).sum();
        let tensor = |name: &str| {
            let found = self.recordings().into_iter().find_map(|recording| {
                let id = recording.find(name)?;
                Some(recording.info(id).bytes())
            });
            buffer_bytes(found.unwrap_or(0))
        };
        // One pair of keys and values for each block if they are kept, otherwise one shared pair.
        let pairs = match residency {
            Residency::Resident => self.signatures.of.len() as u64,
            Residency::Minimal | Residency::Streamed(_) => 1,
        };
        let pair: u64 = TEXT_KEYS.into_iter().map(tensor).sum();
        let image_pair = match self.image_rows {
            0 => 0,
            _ => IMAGE_KEYS.into_iter().map(tensor).sum(),
        };
        let prompts = contexts as u64 * (tensor("text") + tensor("text counts") + pairs * pair);
        // While prompts are projected their embeddings are there, one's at a time.
        let projected = match contexts {
            0 => 0,
            _ => tensor("embeds"),
        };
        let working = Footprint::of(self.recordings()).working();
        let images = pairs * image_pair;
        (
            ends.weights + blocks,
            working + kept + images + prompts + projected,
        )
    }

    /// Bytes of device memory of a block's weights, which is the size of a slot when streamed.
    pub fn set_bytes(&self) -> u64 {
        slot_bytes(&self.sets())
    }

    /// The blocks' weights in the order in which they are streamed.
    fn sets(&self) -> Vec<Vec<StreamedTensor>> {
        self.signatures
            .sets(&[&self.blocks, &self.text_keys, &self.image_keys])
    }

    /// The recordings that run with a block's weights.
    fn of_kind(&self, kind: usize) -> impl Iterator<Item = &Recording> {
        let own = [&self.blocks[kind], &self.text_keys[kind]];
        own.into_iter().chain(self.image_keys.get(kind))
    }

    /// The recordings outside blocks.
    fn ends(&self) -> impl Iterator<Item = &Recording> {
        let ends = [&self.text, &self.prologue, &self.epilogue];
        ends.into_iter().chain(&self.image)
    }

    /// Image tokens of a pass, 0 where the model sees none.
    pub fn image_rows(&self) -> usize {
        self.image_rows
    }

    /// Tokens of a pass.
    pub fn tokens(&self) -> usize {
        self.grid.tokens.iter().product()
    }
}

/// The inputs of recording.
#[derive(Clone, Copy, Debug)]
struct Sizes<'c> {
    config: &'c TransformerConfig,
    shape: TransformerShape,
    grid: RopeGrid,
    image_rows: usize,
}

impl Sizes<'_> {
    fn tokens(&self) -> usize {
        self.grid.tokens.iter().product()
    }

    fn patch(&self) -> [usize; 2] {
        [self.config.patch_size[1], self.config.patch_size[2]]
    }
}

/// Tokens along time, height and width, after checking all sizes.
fn grid(config: &TransformerConfig, shape: TransformerShape) -> Result<RopeGrid, Error> {
    let fields = [
        ("attention_head_dim", config.attention_head_dim),
        ("text_dim", config.text_dim),
        ("freq_dim", config.freq_dim),
        ("in_channels times the patch's size", config.patch_in()),
    ];
    check_multiples_of_four(MODEL, &fields)?;
    let ([c, t, h, w], [_, p, q]) = (shape.latents, config.patch_size);
    if c != config.in_channels || t == 0 || h == 0 || w == 0 || h % p != 0 || w % q != 0 {
        return Err(ModelError::Latents {
            found: shape.latents,
            channels: config.in_channels,
            multiple: format!("h, w multiples of {p}, {q}"),
        }
        .into());
    }
    let tokens = [t, h / p, w / q];
    for (axis, found) in ["time", "height", "width"].into_iter().zip(tokens) {
        let limit = config.rope_max_seq_len;
        if found > limit {
            return Err(ModelError::Positions { axis, found, limit }.into());
        }
    }
    Ok(RopeGrid {
        tokens,
        pairs: config.rope_dims().map(|columns| columns / 2),
    })
}
