//! A transformer on the device with a run's conditioning: what a step calls.

use super::conditioning::{Conditioning, Form, IMAGE, KNOWN, mask};
use super::family::LatentSpec;
use crate::error::Error;
use crate::gpu::{Buffer, Gpu, Stream};
use crate::models::config::MASK_CHANNELS;
use crate::models::wan_transformer::{Context, Transformer};
use crate::record::buffer_bytes;

/// The time that a known frame is told: it has no noise.
const KNOWN_TIME: f32 = 0.0;

/// A transformer on the device with the prompts that it attends to.
pub(super) struct Denoiser {
    transformer: Transformer,
    cond: Context,
    uncond: Option<Context>,
    input: Input,
}

/// Where a pass reads the latents.
enum Input {
    /// The sample itself.
    Sample,
    /// The sample with the known first frame in its place.
    FirstFrame {
        buffer: Buffer,
        known: Buffer,
        spec: LatentSpec,
    },
    /// [noisy, mask, condition] along the channels; the sample goes to the front.
    Channels { buffer: Buffer, spec: LatentSpec },
}

/// Bytes of the buffers that hold a pass's input beside the sample.
pub(super) fn input_bytes(form: Form, spec: &LatentSpec) -> u64 {
    let [c, t, h, w] = spec.unbatched();
    let bytes = |channels: usize, frames: usize| (channels * frames * h * w * 4) as u64;
    match form {
        Form::Nothing => 0,
        Form::FirstFrame => buffer_bytes(bytes(c, t)) + buffer_bytes(bytes(c, 1)),
        Form::Channels { .. } => buffer_bytes(bytes(2 * c + MASK_CHANNELS, t)),
    }
}

impl Input {
    fn new(
        gpu: &Gpu,
        form: Form,
        spec: &LatentSpec,
        conditioning: &Conditioning,
        [first, last]: [bool; 2],
    ) -> Result<Self, Error> {
        let [c, t, h, w] = spec.unbatched();
        let bytes = |channels: usize, frames: usize| (channels * frames * h * w * 4) as u64;
        Ok(match form {
            Form::Nothing => Self::Sample,
            Form::FirstFrame => {
                let known = gpu.buffer("known frame", bytes(c, 1))?;
                let values = &conditioning.encoded(KNOWN)?.values;
                gpu.write(&known, 0, bytemuck::cast_slice(values))?;
                Self::FirstFrame {
                    buffer: gpu.buffer("input", bytes(c, t))?,
                    known,
                    spec: *spec,
                }
            }
            Form::Channels { .. } => {
                let buffer = gpu.buffer("input", bytes(2 * c + MASK_CHANNELS, t))?;
                let mask = mask([t, h, w], first, last);
                gpu.write(&buffer, bytes(c, t), bytemuck::cast_slice(&mask))?;
                let values = &conditioning.encoded(KNOWN)?.values;
                let offset = bytes(c + MASK_CHANNELS, t);
                gpu.write(&buffer, offset, bytemuck::cast_slice(values))?;
                Self::Channels {
                    buffer,
                    spec: *spec,
                }
            }
        })
    }

    /// The buffer that a pass on the sample `x` reads.
    fn place<'b>(&'b self, stream: &mut Stream, x: &'b Buffer) -> &'b Buffer {
        match self {
            Self::Sample => x,
            Self::FirstFrame {
                buffer,
                known,
                spec,
            } => {
                let [c, t, h, w] = spec.unbatched();
                let frame = (h * w * 4) as u64;
                stream.copy((x, 0), (buffer, 0), frame * (c * t) as u64);
                for channel in 0..c as u64 {
                    let to = channel * frame * t as u64;
                    stream.copy((known, channel * frame), (buffer, to), frame);
                }
                buffer
            }
            Self::Channels { buffer, spec } => {
                stream.copy((x, 0), (buffer, 0), spec.values() as u64 * 4);
                buffer
            }
        }
    }
}

impl Denoiser {
    /// Binds a loaded transformer to a run's conditioning. `tokens` counts the tokens of a latent
    /// frame; `known` says whether the first and the last frame are known.
    pub(super) fn new(
        gpu: &Gpu,
        transformer: Transformer,
        form: Form,
        spec: &LatentSpec,
        conditioning: &Conditioning,
        known: [bool; 2],
        stream: &mut Stream,
    ) -> Result<Self, Error> {
        if form.pictures() > 0 {
            transformer.set_image(stream, &conditioning.encoded(IMAGE)?.values)?;
        }
        if form == Form::FirstFrame {
            let tokens = transformer.passes().tokens();
            let of_frame = tokens / spec.unbatched()[1].max(1);
            let index = (0..tokens).map(|token| u32::from(token >= of_frame));
            transformer.set_token_timesteps(stream, &index.collect::<Vec<_>>())?;
        }
        let texts = &conditioning.text;
        let cond = texts.first().map_or(&[][..], Vec::as_slice);
        let cond = transformer.context(stream, cond)?;
        let uncond = texts.get(1);
        let uncond = uncond.map(|text| transformer.context(stream, text));
        let uncond = uncond.transpose()?;
        Ok(Self {
            input: Input::new(gpu, form, spec, conditioning, known)?,
            transformer,
            cond,
            uncond,
        })
    }

    /// Velocities of the sample `x` at a time: with the prompt into the first buffer and, where
    /// `guided`, with the negative prompt into the second. `each` is called after a pass.
    pub(super) fn predict(
        &self,
        stream: &mut Stream,
        timestep: f32,
        x: &Buffer,
        [conditional, unconditional]: [&Buffer; 2],
        guided: bool,
        each: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let latents = self.input.place(stream, x);
        let both = [KNOWN_TIME, timestep];
        let timesteps = match self.input {
            Input::FirstFrame { .. } => &both[..],
            Input::Sample | Input::Channels { .. } => &both[1..],
        };
        let second = self.uncond.as_ref().filter(|_| guided);
        let passes = [(&self.cond, conditional)]
            .into_iter()
            .chain(second.map(|context| (context, unconditional)));
        for (context, velocity) in passes {
            self.transformer
                .forward(stream, timesteps, latents, context, velocity)?;
            stream.finish()?;
            each();
        }
        Ok(())
    }
}
