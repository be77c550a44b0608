//! Frames to latents on a device.
//!
//! ```text
//! pixels ─ patches ─ conv_in ─ level 0 ─ downsample ─ … ─ downsample ─┐ fine
//! ┌──────────────────────────────────────────────────────── split ────┘
//! └─ last level ─ mid (attention) ─ norm_out ─ conv_out ─ quant_conv ─ mode ─ normalise    coarse
//! ```
//!
//! As in the decoder, only the half with the attention looks at whole frames; where the other does
//! not fit, it works in bands of lines and the halves take turns.

mod band;
mod passes;
mod patches;
mod plan;

use super::bound_passes::BoundPasses;
use super::layout::{DecodeLayout, DecodeOptions};
use super::passes::{Chunk, Extent, FEATURES, chunks};
use super::scratch::Scratch;
use super::wan::{encoder_halo, split_channels};
use crate::error::{Error, GpuError};
use crate::gpu::{Bound, Cancel, Gpu, Stream};
use crate::models::config::VaeConfig;
use crate::record::Recording;
use crate::weights::Checkpoint;
use band::EncodeBand;
use passes::{MOMENTS, PIXELS, Passes};
use plan::{extent, prepare};

use patches::patchify;
pub use plan::{EncodePlan, encode_layout};

/// How to encode: the decoder's options, none of which changes the latents.
pub type EncodeOptions = DecodeOptions;

/// The layout of an encode and its memory.
pub type EncodeLayout = DecodeLayout;

/// Writes the pixels of the frame with that number, height x width x RGB, each in [-1, 1].
pub type ReadFrame<'f> = dyn FnMut(usize, &mut [f32]) -> Result<(), Error> + 'f;

/// How errors call it.
const NETWORK: &str = "encoder";

/// The encoder of `AutoencoderKLWan`, made ready for videos of one shape.
///
/// The first frame gives one latent frame, and so do the next frames, as many as the temporal scale
/// each. Chunks and bands are exact: they change memory and time, not one bit of the latents.
#[derive(Debug)]
pub struct VaeEncoder<'m> {
    gpu: Gpu,
    config: &'m VaeConfig,
    checkpoint: &'m Checkpoint,
    options: EncodeOptions,
    /// Of the pixels: frames, height, width.
    video: [usize; 3],
    latents: Extent,
    layout: EncodeLayout,
    passes: Passes,
    /// The whole network, where it is not in bands.
    whole: Option<BoundPasses>,
}

impl<'m> VaeEncoder<'m> {
    /// Records the encode of a video [F, H, W] and, if whole frames fit, plans it and uploads the
    /// weights; in bands, each encode uploads them, half the network at a time. If the device runs out
    /// of memory, bands replace whole frames and narrower bands replace wider ones.
    ///
    /// # Errors
    /// A number of frames other than one and a multiple of the temporal scale, sides that are no
    /// multiples of the spatial scale; weights that are missing, of another shape or of no use to the
    /// autoencoder; a size that does not fit; a device that fails.
    pub fn new(
        gpu: &Gpu,
        config: &'m VaeConfig,
        checkpoint: &'m Checkpoint,
        video: [usize; 3],
        options: &EncodeOptions,
    ) -> Result<Self, Error> {
        let plan = EncodePlan::new(gpu.caps(), config, checkpoint, video, options)?;
        Self::planned(gpu, config, checkpoint, video, options, plan)
    }

    /// Like [`new`](Self::new), with an existing plan for the same arguments.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn planned(
        gpu: &Gpu,
        config: &'m VaeConfig,
        checkpoint: &'m Checkpoint,
        video: [usize; 3],
        options: &EncodeOptions,
        plan: EncodePlan,
    ) -> Result<Self, Error> {
        let EncodePlan { layout, passes } = plan;
        let mut this = Self {
            gpu: gpu.clone(),
            config,
            checkpoint,
            options: *options,
            video,
            latents: extent(config, video)?,
            layout,
            passes,
            whole: None,
        };
        if this.layout.band.is_none() {
            match this.bind(&this.passes.all()) {
                Err(error @ Error::Gpu(GpuError::OutOfMemory { .. })) => {
                    (this.layout, this.passes) = this.narrower(&this.layout, error)?;
                }
                made => this.whole = Some(made?),
            }
        }
        Ok(this)
    }

    fn bind(&self, recordings: &[&Recording]) -> Result<BoundPasses, Error> {
        BoundPasses::new(&self.gpu, &[], self.checkpoint, recordings)
    }

    /// What takes less than a layout that the device has no room for; where nothing does, its error.
    fn narrower(
        &self,
        refused: &EncodeLayout,
        error: Error,
    ) -> Result<(EncodeLayout, Passes), Error> {
        // The buffers of the failed attempt are freed once the device is idle.
        self.gpu.wait()?;
        let options = EncodeOptions {
            max_bytes: Some(refused.peak_bytes() / 4 * 3),
            ..self.options
        };
        let caps = self.gpu.caps();
        let found = prepare(caps, self.config, self.checkpoint, self.video, &options);
        found.map_err(|_| error)
    }

    /// Chunks, bands and memory.
    pub fn layout(&self) -> &EncodeLayout {
        &self.layout
    }

    /// [C, T, h, w] of what an encode gives.
    pub fn latents(&self) -> [usize; 4] {
        let Extent {
            frames,
            height,
            width,
        } = self.latents;
        [self.config.z_dim, frames, height, width]
    }

    /// Encodes a video whose frames come from `read`. Returns latents [C, T, h, w] as the sampler has
    /// them: the mode of the encoder's distribution, normalised by each channel's mean and deviation. In
    /// bands every frame is read once per band. `done` receives the finished and the total passes.
    ///
    /// # Errors
    /// Cancellation (seen between two submits), a device or temporary file that fails, and whatever
    /// `read` and `done` return.
    pub fn encode(
        &self,
        cancel: &Cancel,
        read: &mut ReadFrame<'_>,
        mut done: impl FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<Vec<f32>, Error> {
        let mut stream = Stream::new(&self.gpu, cancel);
        let mut latents = vec![0.0; self.latents().iter().product()];
        match &self.whole {
            Some(whole) => {
                self.encode_whole(whole, read, &mut stream, &mut latents, &mut done)?;
            }
            None => {
                let mut split = self.encode_bands(read, &mut stream, &mut done)?;
                self.encode_from_split(&mut split, &mut stream, &mut latents, &mut done)?;
            }
        }
        Ok(latents)
    }

    fn chunks(&self, layout: &EncodeLayout) -> Vec<Chunk> {
        chunks(self.latents.frames, layout.chunk)
    }

    fn encode_whole(
        &self,
        whole: &BoundPasses,
        read: &mut ReadFrame<'_>,
        stream: &mut Stream,
        latents: &mut [f32],
        done: &mut dyn FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let passes = self.passes.fine.len();
        for forget in &whole.bound[2 * passes..] {
            stream.run(forget)?;
        }
        let chunks = self.chunks(&self.layout);
        for (at, chunk) in chunks.iter().enumerate() {
            self.upload_pixels(whole, read, stream, chunk, [0, self.latents.height])?;
            stream.run(&whole.bound[chunk.pass])?;
            stream.run(&whole.bound[passes + chunk.pass])?;
            stream.finish()?;
            self.read_moments(whole, chunk, latents)?;
            done(at + 1, chunks.len())?;
        }
        Ok(())
    }

    /// The features of all frames at the split point, [T, h, w, C], made in bands as wide as the device has room
    /// for.
    fn encode_bands(
        &self,
        read: &mut ReadFrame<'_>,
        stream: &mut Stream,
        done: &mut dyn FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<AtSplit, Error> {
        let (layout, fine) = self.fine()?;
        let height = self.latents.height;
        let bands = self.band_of(&layout);
        let chunks = self.chunks(&layout);
        let total = chunks.len() * (1 + height.div_ceil(bands.band()));
        let (forget, passes) = forget_and_passes(&fine)?;
        let line = self.latents.width * split_channels(self.config) * 4;
        let bytes = (self.latents.frames * height * line) as u64;
        let mut split = AtSplit {
            line,
            scratch: Scratch::new(NETWORK, bytes)?,
            passes: 0,
            total,
        };
        for top in (0..height).step_by(bands.band()) {
            let bottom = (top + bands.band()).min(height);
            let (first, seen) = (bands.first(top), bands.seen());
            stream.run(forget)?;
            for chunk in &chunks {
                self.upload_pixels(&fine, read, stream, chunk, [first, seen])?;
                stream.run(&passes[chunk.pass])?;
                stream.finish()?;
                let bytes = (chunk.frames * seen * line) as u64;
                let found = self.gpu.read(fine.buffer(FEATURES)?, 0..bytes)?;
                for (at, frame) in found.chunks_exact(seen * line).enumerate() {
                    let wanted = &frame[(top - first) * line..(bottom - first) * line];
                    let start = ((chunk.start + at) * height + top) * line;
                    split.scratch.write(start as u64, wanted)?;
                }
                split.passes += 1;
                done(split.passes, total)?;
            }
        }
        Ok(split)
    }

    fn band_of(&self, layout: &EncodeLayout) -> EncodeBand {
        let height = self.latents.height;
        let band = layout.band.unwrap_or(height);
        EncodeBand::new(band, height, encoder_halo(self.config))
    }

    /// The first half of the network over bands, as wide as the device has room for.
    fn fine(&self) -> Result<(EncodeLayout, BoundPasses), Error> {
        let [fine, _] = self.passes.halves();
        let mut layout = self.layout;
        let mut made = self.bind(&fine);
        loop {
            match made {
                Err(error @ Error::Gpu(GpuError::OutOfMemory { .. })) => {
                    let (narrower, passes) = self.narrower(&layout, error)?;
                    let [fine, _] = passes.halves();
                    (layout, made) = (narrower, self.bind(&fine));
                }
                made => return Ok((layout, made?)),
            }
        }
    }

    /// The second half of the network over the split.
    fn encode_from_split(
        &self,
        split: &mut AtSplit,
        stream: &mut Stream,
        latents: &mut [f32],
        done: &mut dyn FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [_, recordings] = self.passes.halves();
        let coarse = self.bind(&recordings)?;
        let (forget, passes) = forget_and_passes(&coarse)?;
        stream.run(forget)?;
        let frame = self.latents.height * split.line;
        for chunk in &self.chunks(&self.layout) {
            let mut features = vec![0; chunk.frames * frame];
            split
                .scratch
                .read((chunk.start * frame) as u64, &mut features)?;
            // Encoded commands still read the previous chunk.
            stream.submit()?;
            self.gpu.write(coarse.buffer(FEATURES)?, 0, &features)?;
            stream.run(&passes[chunk.pass])?;
            stream.finish()?;
            self.read_moments(&coarse, chunk, latents)?;
            split.passes += 1;
            done(split.passes, split.total)?;
        }
        Ok(())
    }

    /// Writes the latent lines [first, how many] of a chunk's pixels, as patches.
    fn upload_pixels(
        &self,
        passes: &BoundPasses,
        read: &mut ReadFrame<'_>,
        stream: &mut Stream,
        chunk: &Chunk,
        [first, lines]: [usize; 2],
    ) -> Result<(), Error> {
        let [_, height, width] = self.video;
        let side = self.config.scale_factor_spatial;
        let before = |latent: usize| match latent {
            0 => 0,
            latent => 1 + (latent - 1) * self.config.scale_factor_temporal,
        };
        let numbers = before(chunk.start)..before(chunk.start + chunk.frames);
        let line = width * 3;
        let wanted = first * side * line..(first + lines) * side * line;
        let mut frame = vec![0.0; height * line];
        let mut patches = Vec::with_capacity(numbers.len() * wanted.len());
        for number in numbers {
            read(number, &mut frame)?;
            patchify(
                &frame[wanted.clone()],
                width,
                self.config.patch_size,
                &mut patches,
            );
        }
        // Encoded commands still read the previous chunk.
        stream.submit()?;
        let buffer = passes.buffer(PIXELS)?;
        self.gpu.write(buffer, 0, bytemuck::cast_slice(&patches))?;
        Ok(())
    }

    /// Reads a chunk's moments [T, h, w, 2 z] and puts their means, normalised, into `latents`.
    fn read_moments(
        &self,
        passes: &BoundPasses,
        chunk: &Chunk,
        latents: &mut [f32],
    ) -> Result<(), Error> {
        let Extent {
            frames,
            height,
            width,
        } = self.latents;
        let z = self.config.z_dim;
        let area = height * width;
        let bytes = (chunk.frames * area * 2 * z * 4) as u64;
        let found = self.gpu.read(passes.buffer(MOMENTS)?, 0..bytes)?;
        let moments: Vec<f32> = bytemuck::pod_collect_to_vec(&found);
        let statistics = self
            .config
            .latents_mean
            .iter()
            .zip(&self.config.latents_std);
        for (channel, (&mean, &deviation)) in statistics.enumerate() {
            let (mean, scale) = (mean as f32, 1.0 / deviation as f32);
            let into = &mut latents[(channel * frames + chunk.start) * area..];
            let values = moments.chunks_exact(2 * z);
            for (latent, values) in into.iter_mut().zip(values) {
                *latent = (values[channel] - mean) * scale;
            }
        }
        Ok(())
    }
}

/// Features of all frames on the host.
#[derive(Debug)]
struct AtSplit {
    /// Bytes of a line.
    line: usize,
    scratch: Scratch,
    /// Passes that are done, and those of the whole encode.
    passes: usize,
    total: usize,
}

/// What clears a half's states, bound last, and its passes.
fn forget_and_passes(passes: &BoundPasses) -> Result<(&Bound, &[Bound]), GpuError> {
    let unbound = || GpuError::Unbound {
        name: "the encoder's passes".to_owned(),
    };
    passes.bound.split_last().ok_or_else(unbound)
}
