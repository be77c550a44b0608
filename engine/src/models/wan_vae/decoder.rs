//! Latents to 8-bit frames on a device.

use std::collections::HashMap;

use super::bands::BandLines;
use super::layout::{DecodeLayout, DecodeOptions, choose};
use super::passes::{
    self, BAND_STARTS, Chunk, Extent, FEATURES, LATENTS, Passes, RGB, SHORTCUT, STATISTICS, chunks,
};
use super::scratch::Scratch;
use crate::error::{Error, GpuError, VaeError};
use crate::gpu::{Bound, Buffer, Cancel, Gpu, Plan, Stream, WeightBuffers};
use crate::models::config::VaeConfig;
use crate::record::{Caps, Kind, Recording};
use crate::weights::Checkpoint;

/// Tensors of a whole autoencoder that a decoder has no use for.
const ENCODER: [&str; 2] = ["encoder.", "quant_conv."];

/// The decoder of `AutoencoderKLWan`, made ready for latents of one shape.
///
/// The first latent frame gives one frame of pixels, every later one as many as the temporal
/// scale. Chunks and bands are exact: they change memory and time, not one byte of the picture.
#[derive(Debug)]
pub struct VaeDecoder {
    gpu: Gpu,
    /// [C, T, h, w]
    latents: [usize; 4],
    /// Pixels of a frame: height, width.
    size: [usize; 2],
    scale: [usize; 2],
    layout: DecodeLayout,
    /// What bands see, where there are any.
    bands: Option<BandLines>,
    /// Bytes of one latent frame's features, and of what the first shortcut repeats.
    seam: Vec<(&'static str, usize)>,
    heads: Vec<Bound>,
    tails: Vec<Bound>,
    forget: Vec<Bound>,
    buffers: HashMap<String, Buffer>,
    // Held so that the count of device memory stays true for as long as the passes can run.
    _plan: Plan,
    _weights: WeightBuffers,
}

/// How a decode would be laid out, without a device: its memory, chunks and bands.
///
/// `latents` is [C, T, h, w]; only the names, shapes and types of the weights are read.
///
/// # Errors
/// As [`VaeDecoder::new`].
pub fn decode_layout(
    caps: &Caps,
    config: &VaeConfig,
    checkpoint: &Checkpoint,
    latents: [usize; 4],
    options: &DecodeOptions,
) -> Result<DecodeLayout, Error> {
    prepare(caps, config, checkpoint, latents, options).map(|(layout, _)| layout)
}

fn prepare(
    caps: &Caps,
    config: &VaeConfig,
    checkpoint: &Checkpoint,
    latents: [usize; 4],
    options: &DecodeOptions,
) -> Result<(DecodeLayout, Passes), Error> {
    let [channels, frames, height, width] = latents;
    if channels != config.z_dim {
        return Err(VaeError::Channels {
            found: channels,
            expected: config.z_dim,
        }
        .into());
    }
    let extent = Extent {
        frames,
        height,
        width,
    };
    let prepared = choose(caps, config, checkpoint, extent, options)?;
    if frames == 1 {
        // A single frame never reaches the convolutions over time, whose weights are no strangers
        // for that.
        passes::record(
            caps,
            config,
            checkpoint,
            Extent {
                frames: 1,
                ..extent
            },
            None,
            false,
        )?;
    }
    checkpoint.check_all_read(&ENCODER)?;
    Ok(prepared)
}

impl VaeDecoder {
    /// Records and plans the decode of latents [C, T, h, w], and uploads the weights. Where the
    /// device turns out to have no room for whole frames, it is tried again in bands, ever
    /// narrower ones: wgpu does not tell how much memory there is.
    ///
    /// # Errors
    /// Weights that are missing, of another shape or of no use to the decoder; a size that does
    /// not fit; a device that fails.
    pub fn new(
        gpu: &Gpu,
        config: &VaeConfig,
        checkpoint: &Checkpoint,
        latents: [usize; 4],
        options: &DecodeOptions,
    ) -> Result<Self, Error> {
        let mut options = *options;
        let mut refused = None;
        loop {
            let (layout, passes) = match (
                prepare(gpu.caps(), config, checkpoint, latents, &options),
                refused,
            ) {
                (Ok(prepared), _) => prepared,
                // No layout needs less than the one that the device refused.
                (Err(_), Some(out_of_memory)) => return Err(out_of_memory),
                (Err(error), None) => return Err(error),
            };
            match Self::make(gpu, config, checkpoint, latents, layout, &passes) {
                Err(error @ Error::Gpu(GpuError::OutOfMemory { .. })) => {
                    // What was made of it is freed when the device is done with it.
                    gpu.wait()?;
                    options.max_bytes = Some(layout.peak_bytes() / 4 * 3);
                    refused = Some(error);
                }
                made => return made,
            }
        }
    }

    fn make(
        gpu: &Gpu,
        config: &VaeConfig,
        checkpoint: &Checkpoint,
        latents: [usize; 4],
        layout: DecodeLayout,
        passes: &Passes,
    ) -> Result<Self, Error> {
        let mut weights = WeightBuffers::new();
        let mut sizes: HashMap<String, u64> = HashMap::new();
        for recording in passes.all() {
            weights.load(gpu, checkpoint, recording, &str::to_owned)?;
            for (_, info) in recording.iter() {
                if matches!(info.kind, Kind::Input | Kind::Output | Kind::State) {
                    let bytes = sizes.entry(info.name.clone()).or_default();
                    *bytes = info.bytes().max(*bytes);
                }
            }
        }
        let mut buffers = HashMap::new();
        for (name, bytes) in sizes {
            let buffer = gpu.buffer(&name, bytes)?;
            buffers.insert(name, buffer);
        }
        let statistics: Vec<f32> = config
            .latents_std
            .iter()
            .chain(&config.latents_mean)
            .map(|&v| v as f32)
            .collect();
        if let Some(buffer) = buffers.get(STATISTICS) {
            gpu.write(buffer, 0, bytemuck::cast_slice(&statistics))?;
        }
        let recordings: Vec<&Recording> = passes.all().collect();
        let plan = Plan::new(gpu, &recordings)?;
        let mut bound = Vec::new();
        for pass in 0..recordings.len() {
            bound.push(plan.bind(pass, &|info| match info.kind {
                Kind::Weight(_) => weights.get(&info.name),
                _ => buffers.get(&info.name).cloned(),
            })?);
        }
        let forget = bound.split_off(2 * passes.heads.len());
        let tails = bound.split_off(passes.heads.len());
        let mut seam = Vec::new();
        if let Some(first) = passes.heads.first() {
            for name in [FEATURES, SHORTCUT] {
                seam.extend(
                    first
                        .find(name)
                        .map(|id| (name, first.info(id).bytes() as usize)),
                );
            }
        }
        let [_, _, height, width] = latents;
        let side = config.scale_factor_spatial;
        let bands = layout.band;
        Ok(Self {
            gpu: gpu.clone(),
            latents,
            size: [height * side, width * side],
            scale: [config.scale_factor_temporal, side],
            layout,
            bands: bands.map(|band| BandLines::new(config, band, height)),
            seam,
            heads: bound,
            tails,
            forget,
            buffers,
            _plan: plan,
            _weights: weights,
        })
    }

    /// Chunks, bands and memory.
    pub fn layout(&self) -> &DecodeLayout {
        &self.layout
    }

    /// Width and height of a frame, in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.size[1], self.size[0])
    }

    /// How many frames a decode gives.
    pub fn frames(&self) -> usize {
        self.frames_before(self.latents[1])
    }

    /// Frames of pixels of the first `latent_frames` latent frames.
    fn frames_before(&self, latent_frames: usize) -> usize {
        match latent_frames.checked_sub(1) {
            None => 0,
            Some(later) => 1 + later * self.scale[0],
        }
    }

    /// Decodes latents [C, T, h, w] as the sampler has them and hands out each frame, in order:
    /// its number and its pixels, height x width x RGB.
    ///
    /// # Errors
    /// Another number of latents than the decoder was made for, cancellation (seen between two
    /// submits), a device or temporary file that fails, and whatever `each` returns.
    pub fn decode(
        &self,
        latents: &[f32],
        cancel: &Cancel,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let expected = self.latents.iter().product();
        if latents.len() != expected {
            let (found, shape) = (latents.len(), self.latents);
            return Err(VaeError::Latents {
                found,
                expected,
                shape,
            }
            .into());
        }
        let mut stream = Stream::new(&self.gpu, cancel);
        for forget in &self.forget {
            stream.run(forget)?;
        }
        let chunks = chunks(self.latents[1], self.layout.chunk);
        match &self.bands {
            None => self.decode_whole(latents, &mut stream, &chunks, &mut each),
            Some(bands) => self.decode_bands(latents, &mut stream, &chunks, bands, &mut each),
        }
    }

    fn decode_whole(
        &self,
        latents: &[f32],
        stream: &mut Stream,
        chunks: &[Chunk],
        each: &mut impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let frame_bytes = self.size[0] * self.size[1] * 3;
        for chunk in chunks {
            self.upload_latents(latents, stream, chunk)?;
            stream.run(&self.heads[chunk.pass])?;
            stream.run(&self.tails[chunk.pass])?;
            stream.finish()?;
            let first = self.frames_before(chunk.start);
            let frames = self.frames_before(chunk.start + chunk.frames) - first;
            let bytes = self
                .gpu
                .read(self.buffer(RGB)?, 0..(frames * frame_bytes) as u64)?;
            for (at, frame) in bytes.chunks_exact(frame_bytes).enumerate() {
                each(first + at, frame)?;
            }
        }
        Ok(())
    }

    fn decode_bands(
        &self,
        latents: &[f32],
        stream: &mut Stream,
        chunks: &[Chunk],
        bands: &BandLines,
        each: &mut impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [_, latent_frames, height, _] = self.latents;
        let mut seam = Vec::new();
        for &(name, bytes) in &self.seam {
            seam.push((name, bytes, Scratch::new((bytes * latent_frames) as u64)?));
        }
        for chunk in chunks {
            self.upload_latents(latents, stream, chunk)?;
            stream.run(&self.heads[chunk.pass])?;
            stream.finish()?;
            for (name, bytes, scratch) in &mut seam {
                let found = self
                    .gpu
                    .read(self.buffer(name)?, 0..(*bytes * chunk.frames) as u64)?;
                scratch.write((*bytes * chunk.start) as u64, &found)?;
            }
        }
        let line = self.size[1] * 3;
        let frame_bytes = self.size[0] * line;
        let mut video = Scratch::new((self.frames() * frame_bytes) as u64)?;
        let side = self.scale[1];
        let mut frame = vec![0; frame_bytes];
        for top in (0..height).step_by(bands.band()) {
            let bottom = (top + bands.band()).min(height);
            let seen = bands.first(top);
            stream.submit()?;
            let crops = bands.crops(top);
            self.gpu
                .write(self.buffer(BAND_STARTS)?, 0, bytemuck::cast_slice(&crops))?;
            // Lines of pixels; a patch has several to a line of the last level.
            let patch = side >> bands.levels();
            let (made, first_line) = bands.made(top);
            let (made, first_line) = (made * patch, first_line * patch);
            stream.run(&self.forget[1])?;
            for chunk in chunks {
                self.upload_seam(&mut seam, stream, chunk, seen, bands.seen())?;
                stream.run(&self.tails[chunk.pass])?;
                stream.finish()?;
                let first = self.frames_before(chunk.start);
                let frames = self.frames_before(chunk.start + chunk.frames) - first;
                let seen_bytes = made * line;
                let found = self
                    .gpu
                    .read(self.buffer(RGB)?, 0..(frames * seen_bytes) as u64)?;
                for (at, pixels) in found.chunks_exact(seen_bytes).enumerate() {
                    let wanted = first_line * line..(first_line + (bottom - top) * side) * line;
                    let start = (first + at) * frame_bytes;
                    video.write((start + top * side * line) as u64, &pixels[wanted])?;
                    if bottom == height {
                        video.read(start as u64, &mut frame)?;
                        each(first + at, &frame)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn buffer(&self, name: &str) -> Result<&Buffer, Error> {
        let missing = || GpuError::Unbound {
            name: name.to_owned(),
        };
        Ok(self.buffers.get(name).ok_or_else(missing)?)
    }

    /// Writes a chunk of the latents, [C, frames, h, w].
    fn upload_latents(
        &self,
        latents: &[f32],
        stream: &mut Stream,
        chunk: &Chunk,
    ) -> Result<(), Error> {
        let [_, frames, height, width] = self.latents;
        let frame = height * width;
        let mut part: Vec<f32> = Vec::new();
        for channel in latents.chunks_exact(frames * frame) {
            part.extend(&channel[chunk.start * frame..(chunk.start + chunk.frames) * frame]);
        }
        // What is encoded still reads the chunk before.
        stream.submit()?;
        self.gpu
            .write(self.buffer(LATENTS)?, 0, bytemuck::cast_slice(&part))?;
        Ok(())
    }

    /// Writes the lines of a chunk's features that a band sees.
    fn upload_seam(
        &self,
        seam: &mut [(&'static str, usize, Scratch)],
        stream: &mut Stream,
        chunk: &Chunk,
        first: usize,
        lines: usize,
    ) -> Result<(), Error> {
        stream.submit()?;
        for (name, bytes, scratch) in seam {
            let line = *bytes / self.latents[2];
            let wanted = lines * line;
            let mut part = vec![0; chunk.frames * wanted];
            for (at, part) in part.chunks_exact_mut(wanted).enumerate() {
                let start = (chunk.start + at) * *bytes + first * line;
                scratch.read(start as u64, part)?;
            }
            self.gpu.write(self.buffer(name)?, 0, &part)?;
        }
        Ok(())
    }
}
