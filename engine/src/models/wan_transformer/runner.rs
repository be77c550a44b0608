//! The transformer on a device: weights, buffers, bound passes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::image::{IMAGE_KEYS, POSITIONS};
use super::padding::counts;
use super::seeing::pair;
use super::{MODEL, TEXT_KEYS, TransformerPasses, TransformerShape};
use crate::error::{Error, ModelError};
use crate::gpu::{Bound, Buffer, Gpu, Plan, Stream, StreamWindow, WeightBuffers, WeightStream};
use crate::ops::embed::timestep_sinusoids;
use crate::record::{TensorInfo, buffer_bytes};
use crate::weights::Checkpoint;

/// Base of the rotary embedding's wavelengths.
const ROPE_THETA: f64 = 10_000.0;
/// Passes of the plan: the text's, the prologue, one for each kind of block, the text's keys and
/// values for each, the epilogue, the image's, its keys and values for each kind of block.
const TEXT: usize = 0;
const PROLOGUE: usize = 1;
pub(super) const BLOCKS: usize = 2;

/// Where the blocks' weights are between two uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// On the device, all of them, and with each the text's keys and values in it.
    #[default]
    Resident,
    /// On the device, all of them. The text's keys and values are computed before each block, in
    /// every pass, as where blocks are streamed.
    Minimal,
    /// In the mapped file; on the device one block or two, while the next one is packed. The
    /// results are the same, bit for bit.
    Streamed(StreamWindow),
}

/// A prompt, ready for the blocks of one transformer.
#[derive(Debug)]
pub struct Context {
    text: Buffer,
    /// The blocks bound to it: each, where their weights stay; where they are streamed each kind of
    /// them, slot by slot.
    blocks: Vec<Bound>,
    /// What computes the text's keys and values, in the same order, where they are not kept.
    keys: Vec<Bound>,
}

impl Context {
    /// The projected text [L, dim] f32: the prompt's rows, then one for all the padding.
    pub fn text(&self) -> &Buffer {
        &self.text
    }
}

/// A transformer ready to run at one size.
#[derive(Debug)]
pub struct Transformer {
    pub(super) gpu: Gpu,
    pub(super) passes: Arc<TransformerPasses>,
    plan: Plan,
    pub(super) weights: WeightBuffers,
    /// The blocks' weights, where they do not stay.
    pub(super) weight_stream: Option<WeightStream>,
    /// What outlives a pass, by the names in the recordings.
    kept: BTreeMap<&'static str, Buffer>,
    /// Whether each block keeps the text's keys and values, and the image's.
    pub(super) keeps_text: bool,
    /// The image's keys and values: as many pairs as blocks keep them, or one; none where the model
    /// sees no image.
    pub(super) image_pairs: Vec<[Buffer; 2]>,
    /// What computes them before each block, in the order of [`Context::keys`], where they are not
    /// kept.
    image_keys: Vec<Bound>,
    /// The learned positions of image tokens.
    pub(super) positions: Option<Vec<f32>>,
    /// Whether there is an image yet.
    pub(super) has_image: AtomicBool,
    /// The passes around the blocks, bound to the caller's buffers.
    ends: Mutex<Vec<End>>,
}

/// A pass around the blocks, bound to a buffer of the caller's.
#[derive(Debug)]
struct End {
    pass: usize,
    buffer: Buffer,
    bound: Arc<Bound>,
}

/// How many of them are remembered: a run has its latents, and a velocity with and without the
/// prompt.
const ENDS: usize = 4;

/// The buffers of a block that belong to one prompt.
fn given<'b>(
    text: &'b Buffer,
    counts: &'b Buffer,
    k: &'b Buffer,
    v: &'b Buffer,
) -> [(&'static str, &'b Buffer); 4] {
    let [keys, values] = TEXT_KEYS;
    [
        ("text", text),
        ("text counts", counts),
        (keys, k),
        (values, v),
    ]
}

/// Names and bytes of the buffers that a transformer keeps.
pub(super) fn kept(passes: &TransformerPasses) -> Vec<(&'static str, u64)> {
    const KEPT: [&str; 5] = [
        "hidden",
        "time embed",
        "time proj",
        "sinusoids",
        "token timestep",
    ];
    let recordings = passes.recordings();
    let bytes = |name: &str| {
        recordings
            .iter()
            .find_map(|r| r.find(name).map(|id| r.info(id).bytes()))
            .unwrap_or(0)
    };
    let image: &[&str] = match passes.image_rows {
        0 => &[],
        _ => &["image embeds", "image"],
    };
    KEPT.into_iter()
        .chain(["rope"])
        .chain(image.iter().copied())
        .map(|name| (name, buffer_bytes(bytes(name))))
        .collect()
}

impl Transformer {
    /// Compiles the kernels, makes the buffers and uploads the weights that stay.
    ///
    /// # Errors
    /// No room on the device, or a kernel that does not compile.
    pub fn new(
        gpu: &Gpu,
        passes: impl Into<Arc<TransformerPasses>>,
        checkpoint: Arc<Checkpoint>,
        residency: Residency,
    ) -> Result<Self, Error> {
        let passes = passes.into();
        let plan = Plan::new(gpu, &passes.recordings())?;
        let mut buffers = BTreeMap::new();
        for (name, bytes) in kept(&passes) {
            buffers.insert(name, gpu.buffer(name, bytes)?);
        }
        if let Some(rope) = buffers.get("rope") {
            gpu.write(
                rope,
                0,
                bytemuck::cast_slice(&passes.grid.table(ROPE_THETA)),
            )?;
        }
        let mut weights = WeightBuffers::new();
        let positions = if checkpoint.contains(POSITIONS) && passes.image_rows > 0 {
            Some(checkpoint.get_any(POSITIONS)?.to_f32())
        } else {
            None
        };
        for recording in passes.ends() {
            weights.load(gpu, &checkpoint, recording, &str::to_owned)?;
        }
        let weight_stream = match residency {
            Residency::Resident | Residency::Minimal => {
                for (block, &kind) in passes.signatures.of.iter().enumerate() {
                    let rename = |name: &str| passes.signatures.rename(kind, block, name);
                    for recording in passes.of_kind(kind) {
                        weights.load(gpu, &checkpoint, recording, &rename)?;
                    }
                }
                None
            }
            Residency::Streamed(window) => Some(WeightStream::new(
                gpu,
                checkpoint,
                passes.sets(),
                window,
                true,
            )?),
        };
        let keeps_text = residency == Residency::Resident;
        let pairs = match (passes.image_rows, keeps_text) {
            (0, _) => 0,
            (_, true) => passes.signatures.of.len(),
            (_, false) => 1,
        };
        let mut image_pairs = Vec::new();
        for _ in 0..pairs {
            image_pairs.push(pair(gpu, &passes.image_keys, IMAGE_KEYS)?);
        }
        let mut this = Self {
            gpu: gpu.clone(),
            passes,
            plan,
            weights,
            weight_stream,
            kept: buffers,
            keeps_text,
            image_pairs,
            image_keys: Vec::new(),
            positions,
            has_image: AtomicBool::new(false),
            ends: Mutex::default(),
        };
        if pairs > 0 && !keeps_text {
            this.image_keys = this.bind_image_keys()?;
        }
        Ok(this)
    }

    /// The passes it runs.
    pub fn passes(&self) -> &TransformerPasses {
        &self.passes
    }

    /// Projects a prompt's embeddings [n, text_dim] and a row of zeros that represents the padding.
    ///
    /// # Errors
    /// Too many rows, no room on the device, or cancelled.
    pub fn context(&self, stream: &mut Stream, embeds: &[f32]) -> Result<Context, Error> {
        let TransformerShape {
            text_rows: rows,
            text_length: length,
            ..
        } = self.passes.shape;
        let width = self.passes.text_dim;
        let own = embeds.len().checked_div(width).unwrap_or(0);
        if !embeds.len().is_multiple_of(width) || TransformerShape::text_rows(own, length) > rows {
            let expected = if rows < length {
                format!("at most {} rows of {width}", rows - 1)
            } else {
                format!("at most {rows} rows of {width}")
            };
            let found = embeds.len();
            return Err(ModelError::Length {
                what: "embeddings of the prompt",
                found,
                expected,
            }
            .into());
        }
        if !self.image_pairs.is_empty() && !self.has_image.load(Ordering::Relaxed) {
            return Err(ModelError::ImageTokens {
                model: MODEL,
                found: 0,
                expected: format!("{}, before a prompt", self.passes.image_rows),
            }
            .into());
        }
        let mut padded = embeds.to_vec();
        padded.resize(rows * width, 0.0);
        let input = self.upload("embeds", &padded)?;
        let counts = self.upload("text counts", &counts(own, rows, length))?;
        let recording = &self.passes.text;
        let bytes = recording
            .find("text")
            .map_or(0, |id| recording.info(id).bytes());
        let text = self.gpu.buffer("text", bytes)?;
        let stays = |name: &str| self.weights.get(name);
        let bound = self.bind(TEXT, &[("embeds", &input), ("text", &text)], &stays)?;
        stream.run(&bound)?;
        let (mut blocks, mut keys) = (Vec::new(), Vec::new());
        let kinds = self.passes.blocks.len();
        let signatures = &self.passes.signatures;
        let [mut k, mut v] = self.text_keys()?;
        match &self.weight_stream {
            None => {
                for (block, &kind) in signatures.of.iter().enumerate() {
                    if self.keeps_text && block > 0 {
                        [k, v] = self.text_keys()?;
                    }
                    let mut given = given(&text, &counts, &k, &v).to_vec();
                    given.extend(self.image_given(block));
                    let own = |name: &str| self.weights.get(&signatures.rename(kind, block, name));
                    blocks.push(self.bind(BLOCKS + kind, &given, &own)?);
                    let bound = self.bind(BLOCKS + kinds + kind, &given, &own)?;
                    if self.keeps_text {
                        stream.run(&bound)?
                    } else {
                        keys.push(bound)
                    }
                }
            }
            Some(weight_stream) => {
                let mut given = given(&text, &counts, &k, &v).to_vec();
                given.extend(self.image_given(0));
                for slot in weight_stream.slots() {
                    for kind in 0..kinds {
                        let own = |name: &str| slot.get(signatures.key(kind, name)?).cloned();
                        blocks.push(self.bind(BLOCKS + kind, &given, &own)?);
                        keys.push(self.bind(BLOCKS + kinds + kind, &given, &own)?);
                    }
                }
            }
        }
        stream.finish()?;
        Ok(Context { text, blocks, keys })
    }

    /// Buffers for the text's keys and values in a block.
    fn text_keys(&self) -> Result<[Buffer; 2], Error> {
        pair(&self.gpu, &self.passes.text_keys, TEXT_KEYS)
    }

    fn upload(&self, name: &str, values: &[f32]) -> Result<Buffer, Error> {
        let buffer = self.gpu.buffer(name, (values.len() * 4) as u64)?;
        self.gpu.write(&buffer, 0, bytemuck::cast_slice(values))?;
        Ok(buffer)
    }

    /// Says which of a pass's distinct timesteps each token has; all have the first at the start.
    ///
    /// # Errors
    /// Not one number for each token, or one beyond the timesteps; the device failed.
    pub fn set_token_timesteps(&self, stream: &mut Stream, index: &[u32]) -> Result<(), Error> {
        let (tokens, distinct) = (self.passes.tokens(), self.passes.shape.timesteps);
        if index.len() != tokens || index.iter().any(|&i| i as usize >= distinct) {
            let expected = format!("{tokens}, each less than {distinct}");
            let found = index.len();
            return Err(ModelError::Length {
                what: "timesteps of the tokens",
                found,
                expected,
            }
            .into());
        }
        self.write(stream, "token timestep", bytemuck::cast_slice(index))
    }

    /// Encodes one pass: `velocity` [C, T, h, w] of `latents` [C, T, h, w] at the timesteps `[D]`.
    ///
    /// # Errors
    /// Another number of timesteps, buffers that are too small, the device failed, or cancelled.
    pub fn forward(
        &self,
        stream: &mut Stream,
        timesteps: &[f32],
        latents: &Buffer,
        context: &Context,
        velocity: &Buffer,
    ) -> Result<(), Error> {
        self.begin(stream, timesteps, latents)?;
        for block in 0..self.passes.signatures.of.len() {
            self.block(stream, context, block)?;
        }
        self.end(stream, velocity)
    }

    /// Like [`Transformer::forward`], but calls `after` with the number of each encoded block, for tests.
    ///
    /// # Errors
    /// As [`Transformer::forward`], and those of `after`.
    #[cfg(feature = "testing")]
    pub fn forward_observed(
        &self,
        stream: &mut Stream,
        timesteps: &[f32],
        latents: &Buffer,
        context: &Context,
        velocity: &Buffer,
        after: &mut dyn FnMut(&mut Stream, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.begin(stream, timesteps, latents)?;
        for block in 0..self.passes.signatures.of.len() {
            self.block(stream, context, block)?;
            after(stream, block)?;
        }
        self.end(stream, velocity)
    }

    /// The buffer of what outlives a pass: `hidden` [N, dim], `time embed` [D, dim] or `time proj`
    /// [D, 6 dim], all f32: for tests.
    #[cfg(feature = "testing")]
    pub fn kept(&self, name: &str) -> Option<&Buffer> {
        self.kept.get(name)
    }

    /// The part of [`Transformer::forward`] before the blocks.
    fn begin(&self, stream: &mut Stream, timesteps: &[f32], latents: &Buffer) -> Result<(), Error> {
        let distinct = self.passes.shape.timesteps;
        if timesteps.len() != distinct {
            let (found, expected) = (timesteps.len(), distinct.to_string());
            return Err(ModelError::Length {
                what: "timesteps",
                found,
                expected,
            }
            .into());
        }
        let sinusoids = timestep_sinusoids(timesteps, self.passes.freq_dim);
        self.write(stream, "sinusoids", bytemuck::cast_slice(&sinusoids))?;
        Ok(stream.run(&*self.end_bound(PROLOGUE, "latents", latents)?)?)
    }

    fn block(&self, stream: &mut Stream, context: &Context, block: usize) -> Result<(), Error> {
        let at = match &self.weight_stream {
            None => block,
            Some(weight_stream) => {
                let kind = self.passes.signatures.of[block];
                weight_stream.acquire(stream, block)? * self.passes.blocks.len() + kind
            }
        };
        for of in [&self.image_keys, &context.keys, &context.blocks] {
            if let Some(bound) = of.get(at) {
                stream.run(bound)?;
            }
        }
        match &self.weight_stream {
            None => Ok(()),
            Some(weight_stream) => weight_stream.prefetch(),
        }
    }

    /// The part of [`Transformer::forward`] after the blocks.
    fn end(&self, stream: &mut Stream, velocity: &Buffer) -> Result<(), Error> {
        let epilogue = BLOCKS + 2 * self.passes.blocks.len();
        Ok(stream.run(&*self.end_bound(epilogue, "velocity", velocity)?)?)
    }

    /// A pass around the blocks with one buffer of the caller's: bound once, since a run brings
    /// the same few at every step.
    fn end_bound(&self, pass: usize, name: &str, buffer: &Buffer) -> Result<Arc<Bound>, Error> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |end: &&End| end.pass == pass && end.buffer.is(buffer);
        if let Some(end) = ends.iter().find(known) {
            return Ok(end.bound.clone());
        }
        let stays = |name: &str| self.weights.get(name);
        let bound = Arc::new(self.bind(pass, &[(name, buffer)], &stays)?);
        if ends.len() == ENDS {
            ends.remove(0);
        }
        ends.push(End {
            pass,
            buffer: buffer.clone(),
            bound: bound.clone(),
        });
        Ok(bound)
    }

    /// Writes to a kept buffer. Commands encoded earlier still see the old values.
    pub(super) fn write(
        &self,
        stream: &mut Stream,
        name: &'static str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        // A write takes effect before the next submit, whatever was encoded meanwhile.
        stream.submit()?;
        if let Some(buffer) = self.kept.get(name) {
            self.gpu.write(buffer, 0, bytes)?;
        }
        Ok(())
    }

    /// Binds a pass to the given buffers, the kept buffers and the weights, by their recorded names.
    pub(super) fn bind(
        &self,
        pass: usize,
        given: &[(&str, &Buffer)],
        weights: &dyn Fn(&str) -> Option<Buffer>,
    ) -> Result<Bound, Error> {
        self.plan.bind(pass, &|info: &TensorInfo| {
            let by_caller = given
                .iter()
                .find(|(name, _)| *name == info.name)
                .map(|(_, b)| (*b).clone());
            by_caller
                .or_else(|| self.kept.get(info.name.as_str()).cloned())
                .or_else(|| weights(&info.name))
        })
    }
}
