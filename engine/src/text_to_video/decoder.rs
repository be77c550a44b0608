//! Latents to pictures: by the model's autoencoder, by a tiny decoder, or by a linear map.

use std::cell::Cell;
use std::path::PathBuf;

use super::engine::{Engine, Event, FrameSink, Stage};
use super::memory::decoder_budget;
use super::preview::enlarged;
use super::retry::Task;
use crate::error::{Error, GpuError, RequestError};
use crate::gpu::{Cancel, STAGING_BYTES};
use crate::model_files::{ModelConfig, ModelFolder};
use crate::models::latent_rgb::LatentRgb;
use crate::models::vae::tiny::TinyVae;
use crate::models::vae::{Architecture, DecodeOptions, Decoded, VaeDecoder, decode_layout};
use crate::weights::{Checkpoint, Latents};

/// What makes pictures of latents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decoder {
    /// The model's own autoencoder.
    #[default]
    Full,
    /// A tiny decoder (TAEHV) in this file: near to the autoencoder's pictures, in a small part of
    /// the time and memory.
    Tiny(PathBuf),
    /// A linear map of each latent to one colour, enlarged: what the clip shows, blurred, at once
    /// and on the host. The frames of a latent frame are all the same.
    Linear,
}

/// A decoder's weights and what they are of.
pub(super) struct Network {
    /// What a plan and a run call it.
    pub(super) part: &'static str,
    pub(super) checkpoint: Checkpoint,
    tiny: Option<TinyVae>,
}

impl Decoder {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tiny(_) => "tiny",
            Self::Linear => "linear",
        }
    }

    /// Opens the weights; `None` for a linear map, which has none.
    ///
    /// # Errors
    /// Weights that are missing or of another model, latents for which no map is known.
    pub(super) fn open(
        &self,
        folder: &ModelFolder,
        config: &ModelConfig,
    ) -> Result<Option<Network>, Error> {
        Ok(match self {
            Self::Full => Some(Network {
                part: "vae",
                checkpoint: folder.checkpoint("vae")?,
                tiny: None,
            }),
            Self::Tiny(file) => {
                let checkpoint = Checkpoint::open_to(file, "tiny decoder", folder.extent())?;
                Some(Network {
                    part: "tiny decoder",
                    tiny: Some(TinyVae::of(&checkpoint, &config.vae)?),
                    checkpoint,
                })
            }
            Self::Linear => colours(config.vae.z_dim).map(|_| None)?,
        })
    }
}

/// The linear map for latents of so many channels.
pub(super) fn colours(channels: usize) -> Result<LatentRgb, RequestError> {
    LatentRgb::of(channels).ok_or(RequestError::NoColours { channels })
}

impl Network {
    /// What is to be recorded.
    pub(super) fn architecture<'a>(&'a self, config: &'a ModelConfig) -> &'a dyn Architecture {
        match &self.tiny {
            Some(tiny) => tiny,
            None => &config.vae,
        }
    }
}

impl Engine {
    /// Decodes latents to 8-bit RGB frames, handed out in order as they are ready and cropped
    /// centrally to `crop` (width, height) where given. Device memory does not grow with the
    /// number of frames. Where the device is lost or has no room, it is tried once more with less
    /// memory, on the device opened anew; no frame is handed out twice.
    ///
    /// # Errors
    /// Latents of another model, no room on the device, cancelled, or the callback's own error.
    pub fn decode(
        &self,
        latents: &Latents,
        crop: Option<[usize; 2]>,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
        frame: FrameSink<'_>,
    ) -> Result<(), Error> {
        let mut handed_out = 0;
        let mut next = |index: usize, rgb: &[u8]| {
            if index == handed_out {
                handed_out += 1;
                frame(index, rgb)?;
            }
            Ok(())
        };
        self.with_retry(&Task::Decode(latents), events, &mut |engine, events| {
            engine.decode_once(latents, crop, cancel, events, &mut next)
        })
    }

    /// Bytes of device memory that decoding takes within the budget, however many frames there are
    /// beyond the first few.
    ///
    /// # Errors
    /// Weights that cannot be read, or no way to stay within the budget.
    pub fn decode_bytes(&self, latents: &Latents) -> Result<u64, Error> {
        self.decode_bytes_of(latents.shape)
    }

    pub(super) fn decode_bytes_of(&self, [_, c, t, h, w]: [usize; 5]) -> Result<u64, Error> {
        let Some(network) = self.decoder.open(&self.folder, &self.config)? else {
            return Ok(0);
        };
        let layout = decode_layout(
            self.gpu.caps(),
            network.architecture(&self.config),
            &network.checkpoint,
            [c, t, h, w],
            &self.decode_options(),
        )?;
        Ok(layout.peak_bytes() + STAGING_BYTES)
    }

    pub(super) fn decode_options(&self) -> DecodeOptions {
        DecodeOptions {
            max_bytes: self.reduced.decoding.or(self.memory).map(decoder_budget),
            ..DecodeOptions::default()
        }
    }

    fn decode_once(
        &self,
        latents: &Latents,
        crop: Option<[usize; 2]>,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
        frame: FrameSink<'_>,
    ) -> Result<(), Error> {
        let [_, channels, t, h, w] = latents.shape;
        let vae = &self.config.vae;
        if channels != vae.z_dim {
            return Err(RequestError::Latents {
                file: self.folder.name().to_owned(),
                found: latents.shape.to_vec(),
                channels: vae.z_dim,
            }
            .into());
        }
        let made = [w * vae.scale_factor_spatial, h * vae.scale_factor_spatial];
        let size = crop.unwrap_or(made);
        if size[0] > made[0] || size[1] > made[1] {
            return Err(RequestError::Range {
                option: "the crop",
                found: format!("{}x{}", size[0], size[1]),
                expected: format!("at most the {}x{} of the latents", made[0], made[1]),
            }
            .into());
        }
        let total = t.saturating_sub(1) * vae.scale_factor_temporal + 1;
        let reached = Cell::new(0);
        let reach = |events: &mut dyn FnMut(Event), done: usize| {
            if done > reached.replace(done.max(reached.get())) {
                let stage = Stage::Decode;
                events(Event::Progress { stage, done, total });
            }
        };
        let mut cropped = Vec::new();
        let mut hand_out = |events: &mut dyn FnMut(Event), index: usize, rgb: &[u8]| {
            crop_rgb(rgb, made, size, &mut cropped);
            frame(index, &cropped)?;
            reach(events, index + 1);
            Ok(())
        };
        let stage = Stage::Decode;
        match self.decoder.open(&self.folder, &self.config)? {
            None => {
                let colours = colours(channels)?;
                events(Event::Started { stage, total });
                let mut index = 0;
                for t in 0..t {
                    let rgb = enlarged(&colours.frame(latents, t), [w, h], made);
                    let repeats = if t == 0 { 1 } else { vae.scale_factor_temporal };
                    for _ in 0..repeats {
                        if cancel.is_cancelled() {
                            return Err(GpuError::Cancelled.into());
                        }
                        hand_out(events, index, &rgb)?;
                        index += 1;
                    }
                }
            }
            Some(network) => {
                let load = Stage::Load(network.part);
                events(Event::Started {
                    stage: load,
                    total: 1,
                });
                let options = self.decode_options();
                let decoder = VaeDecoder::new(
                    &self.gpu,
                    network.architecture(&self.config),
                    &network.checkpoint,
                    [channels, t, h, w],
                    &options,
                )?;
                events(Event::Finished { stage: load });
                events(Event::Started { stage, total });
                decoder.decode_telling(&latents.values, cancel, |decoded| match decoded {
                    Decoded::Frame(index, rgb) => hand_out(events, index, rgb),
                    Decoded::Passes(done, of) => {
                        reach(events, total * done / of);
                        Ok(())
                    }
                })?;
            }
        }
        events(Event::Finished { stage });
        Ok(())
    }
}

/// The central `size` of a picture of `made` pixels.
fn crop_rgb(rgb: &[u8], made: [usize; 2], size: [usize; 2], out: &mut Vec<u8>) {
    out.clear();
    let (left, top) = ((made[0] - size[0]) / 2, (made[1] - size[1]) / 2);
    for row in rgb.chunks_exact(3 * made[0]).skip(top).take(size[1]) {
        out.extend_from_slice(&row[3 * left..3 * (left + size[0])]);
    }
}
