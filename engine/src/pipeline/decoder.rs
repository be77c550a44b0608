//! The component that decodes latents to pictures: the model's autoencoder, a tiny decoder, or a
//! linear map.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::family::LatentSpec;
use super::memory::too_large;
use super::model::Model;
use super::part::PartPlan;
use crate::counts::{Counted, count};
use crate::error::{Error, RequestError, VaeError};
use crate::gpu::STAGING_BYTES;
use crate::models::config::VaeConfig;
use crate::models::latent_rgb::LatentRgb;
use crate::models::vae::tiny::{TinyLatents, TinyVae};
use crate::models::vae::{Architecture, DecodeOptions, DecodePlan};
use crate::models::wan_transformer::Residency;
use crate::part::Part;
use crate::record::Caps;
use crate::weights::Checkpoint;

/// How latents are decoded to pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decoder {
    /// The model's own autoencoder.
    #[default]
    Full,
    /// A tiny decoder (TAEHV): nearly the autoencoder's pictures, for a fraction of the time and
    /// memory.
    Tiny {
        /// Its weights.
        file: PathBuf,
        /// Which latents it was trained on; `None` decides by the file's name.
        latents: Option<TinyLatents>,
    },
    /// A linear map from each latent to one colour, enlarged: a blurred clip, made on the host without
    /// delay. All frames of one latent frame are equal.
    Linear,
}

/// A kind of [`Decoder`], without its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderName {
    /// [`Decoder::Full`]
    Full,
    /// [`Decoder::Tiny`]
    Tiny,
    /// [`Decoder::Linear`]
    Linear,
}

impl DecoderName {
    /// All of them, under their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("tiny", Self::Tiny),
        ("linear", Self::Linear),
    ];
}

impl Decoder {
    /// Its name in requests and metadata.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tiny { .. } => "tiny",
            Self::Linear => "linear",
        }
    }

    /// Finds the tiny decoder for latents with this many channels in a model's folder, by the file
    /// names of its publishers (TAEHV, LightX2V).
    ///
    /// # Errors
    /// The name that was searched for, without its extension.
    pub fn tiny_file_in(folder: Option<&Path>, channels: usize) -> Result<PathBuf, &'static str> {
        let name = if channels == 48 { "taew2_2" } else { "taew2_1" };
        let files = ["", "light"]
            .map(|of| ["safetensors", "pth"].map(|ending| format!("{of}{name}.{ending}")));
        let files = files.as_flattened().iter();
        let mut places = files.filter_map(|file| Some(folder?.join(file)));
        places.find(|file| file.is_file()).ok_or(name)
    }

    /// The part that runs on the device; `None` for a linear map, which runs on the host.
    pub(super) fn part(&self) -> Option<Part> {
        match self {
            Self::Full => Some(Part::VaeDecoder),
            Self::Tiny { .. } => Some(Part::TinyDecoder),
            Self::Linear => None,
        }
    }
}

/// A decoder for latents of one shape.
#[derive(Debug)]
pub(crate) struct DecoderComponent {
    pub(crate) latents: LatentSpec,
    /// The scale of a latent: frames, pixels along a side.
    pub(crate) scale: [usize; 2],
    pub(crate) kind: Kind,
    /// Which latents a tiny decoder takes.
    pub(crate) tiny_latents: Option<TinyLatents>,
}

/// Where and how the component decodes.
#[derive(Debug)]
pub(crate) enum Kind {
    /// By a network on the device.
    Network(Network),
    /// By a linear map on the host.
    Linear(LatentRgb),
}

/// A decoder's network and weights.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) part: Part,
    pub(crate) checkpoint: Arc<Checkpoint>,
    architecture: Box<dyn Architecture>,
}

impl Network {
    /// The network to record.
    pub(crate) fn architecture(&self) -> &dyn Architecture {
        &*self.architecture
    }
}

impl DecoderComponent {
    /// Opens the weights of a decoder.
    ///
    /// # Errors
    /// Weights that are missing or of another model, latents for which no map is known.
    pub(crate) fn open(decoder: &Decoder, model: &Model, spec: LatentSpec) -> Result<Self, Error> {
        let vae: &VaeConfig = &model.config().vae;
        let mut tiny_latents = None;
        let kind = match decoder {
            Decoder::Full => Kind::Network(Network {
                part: Part::VaeDecoder,
                checkpoint: model.checkpoint(Part::VaeDecoder)?,
                architecture: Box::new(vae.clone()),
            }),
            Decoder::Tiny { file, latents } => {
                count(Counted::Opened(Part::TinyDecoder));
                let part = Part::TinyDecoder;
                let checkpoint = Checkpoint::open_to(file, part.name(), model.folder().extent())?;
                let tiny = TinyVae::of(&checkpoint, vae)?;
                let tiny = match latents {
                    Some(latents) => tiny.with_latents(*latents),
                    None => tiny,
                };
                tiny_latents = Some(tiny.latents());
                Kind::Network(Network {
                    part,
                    architecture: Box::new(tiny),
                    checkpoint: Arc::new(checkpoint),
                })
            }
            Decoder::Linear => Kind::Linear(colours(vae.z_dim)?),
        };
        Ok(Self {
            latents: spec,
            scale: [vae.scale_factor_temporal, vae.scale_factor_spatial],
            kind,
            tiny_latents,
        })
    }

    /// How the decode is laid out within a budget, and what it takes; `None` for a linear map,
    /// which takes no device memory.
    ///
    /// # Errors
    /// [`RequestError::Memory`] where no layout fits; weights that are missing or of another shape.
    pub(crate) fn plan(
        &self,
        caps: &Caps,
        budget: Option<u64>,
    ) -> Result<Option<(PartPlan, DecodePlan)>, Error> {
        let Kind::Network(network) = &self.kind else {
            return Ok(None);
        };
        let options = decode_options(budget);
        count(Counted::Recorded(network.part));
        let plan = DecodePlan::new(
            caps,
            network.architecture(),
            &network.checkpoint,
            self.latents.unbatched(),
            &options,
        );
        let plan = match plan {
            Err(Error::Vae(VaeError::DoesNotFit {
                needed, available, ..
            })) if options.max_bytes == Some(available) => {
                let budget = budget.unwrap_or(available);
                return Err(too_large(network.part, needed + STAGING_BYTES, budget));
            }
            plan => plan?,
        };
        let layout = plan.layout;
        let part = PartPlan {
            part: network.part,
            residency: Residency::Resident,
            weights: layout.memory.weights,
            working: layout.peak_bytes() - layout.memory.weights + STAGING_BYTES,
            pieces: layout
                .band
                .map(|lines| format!("bands of {} lines", lines * self.scale[1])),
        };
        Ok(Some((part, plan)))
    }
}

/// Options for a decode within a budget, after deducting the staging memory of uploads.
pub(crate) fn decode_options(budget: Option<u64>) -> DecodeOptions {
    DecodeOptions {
        max_bytes: budget.map(|budget| budget.saturating_sub(STAGING_BYTES)),
        ..DecodeOptions::default()
    }
}

/// The linear map for latents with this many channels.
pub(super) fn colours(channels: usize) -> Result<LatentRgb, RequestError> {
    LatentRgb::of(channels).ok_or(RequestError::NoColours { channels })
}

/// Refuses latents whose channels do not match the model's.
///
/// # Errors
/// [`RequestError::Latents`].
pub(crate) fn check_latents(model: &Model, shape: [usize; 5]) -> Result<(), Error> {
    let channels = model.config().vae.z_dim;
    if shape[1] == channels {
        return Ok(());
    }
    Err(RequestError::Latents {
        file: model.folder().name().to_owned(),
        found: shape.to_vec(),
        channels,
    }
    .into())
}
