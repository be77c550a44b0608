//! Latents to 8-bit frames on a device.

use super::architecture::Architecture;
use super::bands::BandLines;
use super::bound_passes::BoundPasses;
use super::decode_plan::{DecodePlan, prepare};
use super::frame_bytes::FrameBytes;
use super::layout::{DecodeLayout, DecodeOptions};
use super::passes::{BAND_STARTS, Chunk, FEATURES, LATENTS, Passes, RGB, SHORTCUT, chunks};
use super::scratch::Scratch;
use crate::error::{Error, GpuError, VaeError};
use crate::gpu::{Cancel, Gpu, Stream};
use crate::record::Recording;
use crate::weights::Checkpoint;

/// How errors call it.
pub(super) const NETWORK: &str = "decoder";

/// A decoder, such as that of `AutoencoderKLWan`, prepared for latents of one shape.
///
/// The first latent frame gives one frame of pixels, every later one as many as the temporal
/// scale. Chunks and bands are exact: they change memory and time, not one byte of the picture.
#[derive(Debug)]
pub struct VaeDecoder<'m> {
    gpu: Gpu,
    config: &'m dyn Architecture,
    checkpoint: &'m Checkpoint,
    options: DecodeOptions,
    /// [C, T, h, w]
    latents: [usize; 4],
    /// Pixels of a frame: height, width.
    size: [usize; 2],
    scale: [usize; 2],
    layout: DecodeLayout,
    passes: Passes,
    /// The whole network, where it is not in bands.
    whole: Option<BoundPasses>,
}

/// An event of a decode.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'f> {
    /// A whole frame: its number and its pixels, height x width x RGB. They come in order.
    Frame(usize, FrameBytes<'f>),
    /// Passes finished, of how many. Reported only when decoding in bands, where no frame completes
    /// until near the end.
    Passes(usize, usize),
}

impl<'m> VaeDecoder<'m> {
    /// Records the decode of latents [C, T, h, w] and, if whole frames fit, plans it and uploads the
    /// weights; in bands, each decode uploads them, half the network at a time. If the device runs out
    /// of memory, bands replace whole frames and narrower bands replace wider ones, because wgpu does not
    /// report how much memory is free.
    ///
    /// # Errors
    /// Weights that are missing, of another shape or of no use to the decoder; a size that does
    /// not fit; a device that fails.
    pub fn new(
        gpu: &Gpu,
        config: &'m dyn Architecture,
        checkpoint: &'m Checkpoint,
        latents: [usize; 4],
        options: &DecodeOptions,
    ) -> Result<Self, Error> {
        let plan = DecodePlan::new(gpu.caps(), config, checkpoint, latents, options)?;
        Self::planned(gpu, config, checkpoint, latents, options, plan)
    }

    /// Like [`new`](Self::new), with an existing plan for the same arguments.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn planned(
        gpu: &Gpu,
        config: &'m dyn Architecture,
        checkpoint: &'m Checkpoint,
        latents: [usize; 4],
        options: &DecodeOptions,
        plan: DecodePlan,
    ) -> Result<Self, Error> {
        let DecodePlan { layout, passes } = plan;
        let [_, _, height, width] = latents;
        let scale @ [_, side] = config.scale();
        let mut this = Self {
            gpu: gpu.clone(),
            config,
            checkpoint,
            options: *options,
            latents,
            size: [height * side, width * side],
            scale,
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
        BoundPasses::new(
            &self.gpu,
            &self.config.statistics(),
            self.checkpoint,
            recordings,
        )
    }

    /// What takes less than a layout that the device has no room for; where nothing does, its error.
    fn narrower(
        &self,
        refused: &DecodeLayout,
        error: Error,
    ) -> Result<(DecodeLayout, Passes), Error> {
        // The buffers of the failed attempt are freed once the device is idle.
        self.gpu.wait()?;
        let options = DecodeOptions {
            max_bytes: Some(refused.peak_bytes() / 4 * 3),
            ..self.options
        };
        let caps = self.gpu.caps();
        let found = prepare(caps, self.config, self.checkpoint, self.latents, &options);
        found.map_err(|_| error)
    }

    /// The second half of the network over bands, as wide as the device has room for.
    fn tails(&self) -> Result<(BoundPasses, BandLines), Error> {
        let lines = |layout: &DecodeLayout| {
            let band = layout.band.unwrap_or(self.latents[2]);
            BandLines::new(self.config, band, self.latents[2])
        };
        let [_, tails] = self.passes.halves();
        let (mut layout, mut made) = (self.layout, self.bind(&tails));
        loop {
            match made {
                Err(error @ Error::Gpu(GpuError::OutOfMemory { .. })) => {
                    let (narrower, passes) = self.narrower(&layout, error)?;
                    let [_, tails] = passes.halves();
                    (layout, made) = (narrower, self.bind(&tails));
                }
                made => return Ok((made?, lines(&layout))),
            }
        }
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
        self.decode_telling(latents, cancel, |decoded| match decoded {
            Decoded::Frame(number, bytes) => each(number, &bytes.read()?),
            Decoded::Passes(..) => Ok(()),
        })
    }

    /// Like [`decode`](Self::decode), with progress events while no frame is complete.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_telling(
        &self,
        latents: &[f32],
        cancel: &Cancel,
        mut each: impl FnMut(Decoded<'_>) -> Result<(), Error>,
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
        let chunks = chunks(self.latents[1], self.layout.chunk);
        match &self.whole {
            Some(whole) => self.decode_whole(whole, latents, &mut stream, &chunks, &mut each),
            None => self.decode_bands(latents, &mut stream, &chunks, &mut each),
        }
    }

    fn decode_whole(
        &self,
        whole: &BoundPasses,
        latents: &[f32],
        stream: &mut Stream,
        chunks: &[Chunk],
        each: &mut impl FnMut(Decoded<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let passes = self.passes.heads.len();
        for forget in &whole.bound[2 * passes..] {
            stream.run(forget)?;
        }
        let frame_bytes = self.size[0] * self.size[1] * 3;
        for chunk in chunks {
            self.upload_latents(whole, latents, stream, chunk)?;
            stream.run(&whole.bound[chunk.pass])?;
            stream.run(&whole.bound[passes + chunk.pass])?;
            stream.finish()?;
            let first = self.frames_before(chunk.start);
            let frames = self.frames_before(chunk.start + chunk.frames) - first;
            for at in 0..frames {
                let bytes = FrameBytes::Device {
                    gpu: &self.gpu,
                    buffer: whole.buffer(RGB)?,
                    start: (at * frame_bytes) as u64,
                    bytes: frame_bytes as u64,
                };
                each(Decoded::Frame(first + at, bytes))?;
            }
        }
        Ok(())
    }

    fn decode_bands(
        &self,
        latents: &[f32],
        stream: &mut Stream,
        chunks: &[Chunk],
        each: &mut impl FnMut(Decoded<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let height = self.latents[2];
        let passes_of = |band: usize| chunks.len() * (1 + height.div_ceil(band));
        let total = passes_of(self.layout.band.unwrap_or(height));
        let mut split = self.decode_heads(latents, stream, chunks, &mut |done| {
            each(Decoded::Passes(done, total))
        })?;
        let (tails, bands) = &self.tails()?;
        let (mut done, total) = (chunks.len(), passes_of(bands.band()));
        let Some((forget, passes)) = tails.bound.split_last() else {
            return Ok(());
        };
        let line = self.size[1] * 3;
        let frame_bytes = self.size[0] * line;
        let mut video = Scratch::new(NETWORK, (self.frames() * frame_bytes) as u64)?;
        let side = self.scale[1];
        let mut frame = vec![0; frame_bytes];
        for top in (0..height).step_by(bands.band()) {
            let bottom = (top + bands.band()).min(height);
            let seen = bands.first(top);
            stream.submit()?;
            let crops = bands.crops(top);
            self.gpu
                .write(tails.buffer(BAND_STARTS)?, 0, bytemuck::cast_slice(&crops))?;
            // Lines of pixels; a patch has several to a line of the last level.
            let patch = side >> bands.levels();
            let (made, first_line) = bands.made(top);
            let (made, first_line) = (made * patch, first_line * patch);
            stream.run(forget)?;
            for chunk in chunks {
                self.upload_split(tails, &mut split, stream, chunk, [seen, bands.seen()])?;
                stream.run(&passes[chunk.pass])?;
                stream.finish()?;
                let first = self.frames_before(chunk.start);
                let frames = self.frames_before(chunk.start + chunk.frames) - first;
                let seen_bytes = made * line;
                let found = self
                    .gpu
                    .read(tails.buffer(RGB)?, 0..(frames * seen_bytes) as u64)?;
                for (at, pixels) in found.chunks_exact(seen_bytes).enumerate() {
                    let wanted = first_line * line..(first_line + (bottom - top) * side) * line;
                    let start = (first + at) * frame_bytes;
                    video.write((start + top * side * line) as u64, &pixels[wanted])?;
                    if bottom == height {
                        video.read(start as u64, &mut frame)?;
                        each(Decoded::Frame(first + at, FrameBytes::Host(&frame)))?;
                    }
                }
                done += 1;
                each(Decoded::Passes(done, total))?;
            }
        }
        Ok(())
    }

    /// The features of all frames, by the names of their tensors: of each the bytes of a frame.
    fn decode_heads(
        &self,
        latents: &[f32],
        stream: &mut Stream,
        chunks: &[Chunk],
        each: &mut dyn FnMut(usize) -> Result<(), Error>,
    ) -> Result<Vec<AtSplit>, Error> {
        let [recordings, _] = self.passes.halves();
        let heads = self.bind(&recordings)?;
        let Some((forget, passes)) = heads.bound.split_last() else {
            return Ok(Vec::new());
        };
        let mut split = Vec::new();
        for name in [FEATURES, SHORTCUT] {
            let first = self.passes.heads.first();
            if let Some(info) = first.and_then(|head| Some(head.info(head.find(name)?))) {
                let frame = info.bytes() as usize;
                let scratch = Scratch::new(NETWORK, (frame * self.latents[1]) as u64)?;
                split.push(AtSplit {
                    name,
                    frame,
                    scratch,
                });
            }
        }
        stream.run(forget)?;
        for (at, chunk) in chunks.iter().enumerate() {
            self.upload_latents(&heads, latents, stream, chunk)?;
            stream.run(&passes[chunk.pass])?;
            stream.finish()?;
            for AtSplit {
                name,
                frame,
                scratch,
            } in &mut split
            {
                let bytes = (*frame * chunk.frames) as u64;
                let found = self.gpu.read(heads.buffer(name)?, 0..bytes)?;
                scratch.write((*frame * chunk.start) as u64, &found)?;
            }
            each(at + 1)?;
        }
        Ok(split)
    }

    /// Writes a chunk of the latents, [C, frames, h, w].
    fn upload_latents(
        &self,
        passes: &BoundPasses,
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
        // Encoded commands still read the previous chunk.
        stream.submit()?;
        self.gpu
            .write(passes.buffer(LATENTS)?, 0, bytemuck::cast_slice(&part))?;
        Ok(())
    }

    /// Writes the lines of a chunk's features that a band sees: the first of them, and how many.
    fn upload_split(
        &self,
        tails: &BoundPasses,
        split: &mut [AtSplit],
        stream: &mut Stream,
        chunk: &Chunk,
        [first, lines]: [usize; 2],
    ) -> Result<(), Error> {
        stream.submit()?;
        for AtSplit {
            name,
            frame,
            scratch,
        } in split
        {
            let line = *frame / self.latents[2];
            let wanted = lines * line;
            let mut part = vec![0; chunk.frames * wanted];
            for (at, part) in part.chunks_exact_mut(wanted).enumerate() {
                let start = (chunk.start + at) * *frame + first * line;
                scratch.read(start as u64, part)?;
            }
            self.gpu.write(tails.buffer(name)?, 0, &part)?;
        }
        Ok(())
    }
}

/// Features of all frames on the host.
struct AtSplit {
    name: &'static str,
    /// Bytes of a latent frame.
    frame: usize,
    scratch: Scratch,
}
