//! What a run takes on the device, part by part, before anything is loaded.

use std::fmt;

use super::decoder::Decoder;
use super::request::{MAX_TOKENS, Settings};
use super::solver::solver_bytes;
use crate::error::{Error, RequestError, VaeError};
use crate::gpu::{STAGING_BYTES, Window};
use crate::model_files::{ModelConfig, ModelFolder};
use crate::models::umt5::Layers;
use crate::models::vae::{DecodeOptions, decode_layout};
use crate::models::wan_transformer::{Residency, TransformerPasses, TransformerShape};
use crate::record::Caps;

/// A part of a model and what it takes while its turn lasts; no two are on the device together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartPlan {
    /// `text_encoder`, `transformer`, `transformer_2`, and `vae` or `tiny decoder`.
    pub part: &'static str,
    /// Whether its weights stay for its whole turn or pass through the device piece by piece.
    pub residency: Residency,
    /// Bytes of weights on the device at a time, staging included where they are streamed.
    pub weights: u64,
    /// Bytes of everything else.
    pub working: u64,
    /// How its activations are cut, where they are.
    pub pieces: Option<String>,
}

impl PartPlan {
    /// Bytes of device memory.
    pub fn bytes(&self) -> u64 {
        self.weights + self.working
    }
}

/// What a run takes on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes that it may take; `None` where nobody said and the device does not tell.
    pub budget: Option<u64>,
    /// The parts, in the order of their turns.
    pub parts: Vec<PartPlan>,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The device.
    pub caps: &'a Caps,
    /// The model's files; of the weights only names, shapes and types are read.
    pub folder: &'a ModelFolder,
    /// Its configuration.
    pub config: &'a ModelConfig,
    /// The run.
    pub settings: &'a Settings,
    /// What makes pictures of the latents.
    pub decoder: &'a Decoder,
    /// Tokens of the prompt and, in a guided run, of the negative prompt.
    pub prompts: &'a [usize],
}

impl Planned<'_> {
    /// The longest prompts there may be.
    pub const LONGEST: [usize; 2] = [MAX_TOKENS; 2];

    /// The sizes of a transformer's passes.
    pub(super) fn transformer_shape(&self) -> TransformerShape {
        let [_, c, t, h, w] = self.settings.latent_shape(self.config);
        let longest = self.prompts.iter().copied().max().unwrap_or(0);
        TransformerShape {
            latents: [c, t, h, w],
            text_length: MAX_TOKENS,
            text_rows: TransformerShape::text_rows(longest, MAX_TOKENS),
            timesteps: 1,
        }
    }
}

impl MemoryPlan {
    /// Decides for each part what stays on the device, what is streamed and how activations are
    /// cut: as much on the device as the budget allows, since what stays is not uploaded again.
    ///
    /// # Errors
    /// A part that does not fit the budget however it is cut, with what would; weights that are
    /// missing or of another shape.
    pub fn new(run: Planned<'_>, budget: Option<u64>) -> Result<Self, Error> {
        let mut plan = Self {
            budget,
            parts: Vec::new(),
        };
        match plan.fill(run) {
            Err(Error::Request(RequestError::Memory {
                part,
                needed,
                budget,
                ..
            })) => Err(RequestError::Memory {
                part,
                needed,
                budget,
                instead: shorter(run, budget),
            }
            .into()),
            Err(error) => Err(error),
            Ok(()) => Ok(plan),
        }
    }

    /// The same for the parts up to the latents, which may have another budget than the decoder.
    pub(super) fn of_sampling(run: Planned<'_>, budget: Option<u64>) -> Result<Self, Error> {
        let mut plan = Self {
            budget,
            parts: Vec::new(),
        };
        plan.fill_sampling(run)?;
        Ok(plan)
    }

    fn fill(&mut self, run: Planned<'_>) -> Result<(), Error> {
        self.fill_sampling(run)?;
        match self.decoder(run)? {
            Some(part) => self.add(part),
            None => Ok(()),
        }
    }

    fn fill_sampling(&mut self, run: Planned<'_>) -> Result<(), Error> {
        let text = run.folder.checkpoint("text_encoder")?;
        let layers = Layers::new(run.caps, &run.config.text_encoder, &text)?;
        let mut choices = Vec::new();
        for window in Window::choices(layers.set_bytes()?) {
            let (weights, working) = layers.memory(run.prompts, window)?;
            choices.push(PartPlan {
                part: "text_encoder",
                residency: Residency::Streamed(window),
                weights,
                working: working + STAGING_BYTES,
                pieces: Some(passing(
                    run.config.text_encoder.num_layers,
                    "layers",
                    window,
                )),
            });
        }
        self.add_first(choices)?;
        self.add_first(transformer(run, "transformer")?)?;
        if run.config.transformer_2.is_some() {
            self.add_first(transformer(run, "transformer_2")?)?;
        }
        Ok(())
    }

    fn decoder(&self, run: Planned<'_>) -> Result<Option<PartPlan>, Error> {
        let Some(network) = run.decoder.open(run.folder, run.config)? else {
            return Ok(None);
        };
        let [_, c, t, h, w] = run.settings.latent_shape(run.config);
        let options = DecodeOptions {
            max_bytes: self.budget.map(decoder_budget),
            ..DecodeOptions::default()
        };
        let vae = &run.config.vae;
        let network_of = network.architecture(run.config);
        let weights = &network.checkpoint;
        let layout = match decode_layout(run.caps, network_of, weights, [c, t, h, w], &options) {
            Err(Error::Vae(VaeError::DoesNotFit {
                needed, available, ..
            })) if options.max_bytes == Some(available) => {
                return Err(too_large(
                    network.part,
                    needed + STAGING_BYTES,
                    self.budget.unwrap_or(available),
                ));
            }
            layout => layout?,
        };
        let side = vae.scale_factor_spatial;
        Ok(Some(PartPlan {
            part: network.part,
            residency: Residency::Resident,
            weights: layout.memory.weights,
            working: layout.peak_bytes() - layout.memory.weights + STAGING_BYTES,
            pieces: layout
                .band
                .map(|lines| format!("bands of {} lines", lines * side)),
        }))
    }

    fn allows(&self, part: &PartPlan) -> bool {
        self.budget.is_none_or(|budget| part.bytes() <= budget)
    }

    /// Adds the first of some choices that fits; the last is the least.
    fn add_first(&mut self, choices: Vec<PartPlan>) -> Result<(), Error> {
        let mut last = None;
        for choice in choices {
            if self.allows(&choice) {
                return self.add(choice);
            }
            last = Some(choice);
        }
        last.map_or(Ok(()), |least| self.add(least))
    }

    fn add(&mut self, part: PartPlan) -> Result<(), Error> {
        match self.budget {
            Some(budget) if part.bytes() > budget => {
                Err(too_large(part.part, part.bytes(), budget))
            }
            _ => {
                self.parts.push(part);
                Ok(())
            }
        }
    }

    /// Bytes of device memory that the run takes at most.
    pub fn peak_bytes(&self) -> u64 {
        self.parts.iter().map(PartPlan::bytes).max().unwrap_or(0)
    }

    /// Where a part's weights stay.
    pub fn residency(&self, part: &str) -> Residency {
        let found = self.parts.iter().find(|planned| planned.part == part);
        found.map_or(Residency::Resident, |planned| planned.residency)
    }
}

/// How streamed weights pass, for people.
fn passing(count: usize, what: &str, window: Window) -> String {
    let at_a_time = match window.slots {
        1 => "one",
        _ => "two",
    };
    format!("{count} {what}, {at_a_time} at a time")
}

/// What a decoder may take of a budget: uploads have their own.
pub(super) fn decoder_budget(budget: u64) -> u64 {
    budget.saturating_sub(STAGING_BYTES)
}

/// The choices for a transformer: all weights on the device and what the blocks keep of the text,
/// without the latter, or fewer and fewer weights.
fn transformer(run: Planned<'_>, part: &'static str) -> Result<Vec<PartPlan>, Error> {
    let config = match (part, &run.config.transformer_2) {
        ("transformer_2", Some(second)) => second,
        _ => &run.config.transformer,
    };
    let checkpoint = run.folder.checkpoint(part)?;
    let shape = run.transformer_shape();
    let passes = TransformerPasses::record(run.caps, config, &checkpoint, shape)?;
    let values = run.settings.latent_shape(run.config).iter().product();
    let solver = solver_bytes(run.caps, values)?;
    let with = |residency| {
        let (weights, working) = passes.memory(residency, run.prompts.len());
        PartPlan {
            part,
            residency,
            weights,
            working: working + solver + STAGING_BYTES,
            pieces: match residency {
                Residency::Resident | Residency::Tight => None,
                Residency::Streamed(window) => Some(passing(config.num_layers, "blocks", window)),
            },
        }
    };
    let windows = Window::choices(passes.set_bytes()).map(Residency::Streamed);
    let stays = [Residency::Resident, Residency::Tight].into_iter();
    let all = stays.chain(windows);
    Ok(all.map(with).collect())
}

fn too_large(part: &'static str, needed: u64, budget: u64) -> Error {
    RequestError::Memory {
        part,
        needed,
        budget,
        instead: None,
    }
    .into()
}

/// The most frames of the same size that fit the budget.
fn shorter(run: Planned<'_>, budget: u64) -> Option<usize> {
    let temporal = run.config.vae.scale_factor_temporal.max(1);
    let fits = |latent_frames: usize| {
        let settings = Settings {
            frames: (latent_frames - 1) * temporal + 1,
            ..run.settings.clone()
        };
        let run = Planned {
            settings: &settings,
            ..run
        };
        let mut plan = MemoryPlan {
            budget: Some(budget),
            parts: Vec::new(),
        };
        plan.fill(run).is_ok()
    };
    // More frames never take less.
    let (mut good, mut bad) = (0, (run.settings.frames - 1) / temporal + 1);
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        match fits(middle) {
            true => good = middle,
            false => bad = middle,
        }
    }
    (good > 0).then(|| (good - 1) * temporal + 1)
}

/// A table of a few lines, for people.
impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:14} {:>10} {:>10} {:>10}",
            "memory", "weights", "the rest", "together"
        )?;
        for part in &self.parts {
            let sizes = [part.weights, part.working, part.bytes()].map(bytes_for_people);
            let how = match (part.residency, &part.pieces) {
                (_, Some(pieces)) => pieces.as_str(),
                (Residency::Resident | Residency::Tight, None) => "",
                (Residency::Streamed(_), None) => "streamed",
            };
            let [weights, working, together] = sizes;
            let row = format!(
                "{:14} {weights:>10} {working:>10} {together:>10}  {how}",
                part.part
            );
            writeln!(f, "{}", row.trim_end())?;
        }
        write!(f, "at most {}", bytes_for_people(self.peak_bytes()))?;
        match self.budget {
            Some(budget) => write!(f, " of {}", bytes_for_people(budget)),
            None => Ok(()),
        }
    }
}

/// Bytes as people count them: 1 MB is 1,000,000.
pub fn bytes_for_people(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        10_000_000..10_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
