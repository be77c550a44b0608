//! Everything that is decided before a run starts. It is made once; the run, its plan and its
//! metadata read it.

use std::fmt;

use super::conditioning::Form;
use super::decoder::{Decoder, DecoderComponent};
use super::encoder::EncoderComponent;
use super::family::{LatentSpec, Program, Turn};
use super::image::ImageComponent;
use super::memory::MemoryPlan;
use super::model::Model;
use super::part::PartPlan;
use super::text::TextComponent;
use super::transformer::TransformerComponent;
use crate::cancel::Cancel;
use crate::counts::{Counted, count};
use crate::error::{Error, RequestError};
use crate::gpu::Gpu;
use crate::model_files::SchedulerName;
use crate::models::vae::DecodePlan;
use crate::part::Part;
use crate::record::Caps;
use crate::request::{Note, Settings};
use crate::sampling::{Schedule, Scheduler, StepPlan, plan_steps};
use crate::text::tokenizer::MAX_TOKENS;

/// Characters that a note shows of the part of a prompt that is cut off.
const SHOWN: usize = 40;

/// Which prompts a run is prepared for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prompts {
    /// The request's own.
    #[default]
    Asked,
    /// Prompts of the greatest length: enough for a memory plan without a tokenizer, but the run
    /// cannot be started.
    Longest,
}

/// Bytes of device memory for either half of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budgets {
    pub(crate) sampling: Option<u64>,
    pub(crate) decoding: Option<u64>,
}

/// A run, prepared: settings, tokens, steps, recordings and the memory plan.
pub struct Prepared {
    settings: Settings,
    scheduler: Scheduler,
    /// The ids of the prompt and, in a guided run, of the negative prompt; `None` for a plan.
    ids: Option<Vec<Vec<u32>>>,
    steps: Vec<StepPlan>,
    latents: LatentSpec,
    program: Program,
    form: Form,
    text: TextComponent,
    image: Option<ImageComponent>,
    encoder: Option<EncoderComponent>,
    transformers: Vec<TransformerComponent>,
    decoder: DecoderComponent,
    decode: Option<(PartPlan, DecodePlan)>,
    plan: MemoryPlan,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("settings", &self.settings)
            .field("program", &self.program)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// The model's scheduler with a request's choices.
fn scheduler(model: &Model, settings: &Settings) -> Result<Scheduler, Error> {
    let own = model.scheduler()?.clone();
    let chosen = match settings.scheduler {
        None => own,
        Some(SchedulerName::UniPc) => own.into_unipc(),
        Some(SchedulerName::Euler) => own.into_euler(),
        Some(SchedulerName::Distilled(kind)) => {
            own.into_distilled(kind, settings.timesteps.clone().unwrap_or_default())
        }
    };
    Ok(match settings.shift {
        Some(shift) => chosen.with_shift(shift),
        None => chosen,
    })
}

impl Prepared {
    /// Prepares a run. Reads the names, shapes and types of the weights but no values, and needs the
    /// device's capabilities but not the device.
    ///
    /// # Errors
    /// A tokenizer or a schedule that cannot be made; weights that are missing or of another shape; a
    /// part that does not fit `budget`, with what would fit.
    pub fn new(
        caps: &Caps,
        model: &Model,
        settings: Settings,
        decoder: &Decoder,
        budget: Option<u64>,
        prompts: Prompts,
    ) -> Result<Self, Error> {
        let mut settings = settings;
        let scheduler = scheduler(model, &settings)?;
        count(Counted::Scheduled);
        let skipped = settings.inputs.skipped(settings.steps);
        let schedule = Schedule::skipping(&scheduler, settings.steps, skipped)?;
        let steps = plan_steps(&schedule, &model.family().guidance(&settings))?;
        let guided = steps.iter().any(|step| step.guidance.is_some());
        let ids = match prompts {
            Prompts::Longest => {
                // A plan refuses whatever the run itself would refuse.
                model.folder().tokenizer()?;
                None
            }
            Prompts::Asked => {
                let mut all = tokens(model, &mut settings)?;
                // Without guidance the negative prompt is not read.
                all.truncate(1 + usize::from(guided));
                Some(all)
            }
        };
        let lengths = match &ids {
            Some(ids) => ids.iter().map(Vec::len).collect(),
            None => vec![MAX_TOKENS; 1 + usize::from(guided)],
        };
        for note in model.folder().lora_notes()? {
            settings.notes.push(Note::Lora(note.to_string()));
        }
        let latents = model.family().latents(&settings);
        let program = model.family().program(&settings, &steps, decoder);
        let text = TextComponent::new(caps, model, &lengths)?;
        let form = model.family().form(&settings);
        let image = match form.pictures() {
            0 => None,
            pictures => Some(ImageComponent::new(caps, model, pictures)?),
        };
        let seen = (form, image.as_ref().map_or(0, ImageComponent::tokens));
        let encoder = EncoderComponent::open(model, &settings, form)?;
        let mut transformers = Vec::new();
        for turn in &program.0 {
            if let Turn::Denoise { part, .. } = turn
                && !transformers
                    .iter()
                    .any(|known: &TransformerComponent| known.part() == *part)
            {
                transformers.push(TransformerComponent::new(
                    caps, model, *part, &latents, seen, &lengths,
                )?);
            }
        }
        let mut this = Self {
            decoder: DecoderComponent::open(decoder, model, latents)?,
            settings,
            scheduler,
            ids,
            steps,
            latents,
            program,
            form,
            text,
            image,
            encoder,
            transformers,
            decode: None,
            plan: MemoryPlan {
                budget,
                parts: Vec::new(),
            },
        };
        let planned = this.sampling_plan(caps, budget).and_then(|plan| {
            let decode = this.decoder.plan(caps, budget)?;
            Ok((plan, decode))
        });
        match planned {
            Ok((mut plan, decode)) => {
                plan.parts
                    .extend(decode.iter().map(|(part, _)| part.clone()));
                (this.plan, this.decode) = (plan, decode);
                Ok(this)
            }
            Err(Error::Request(RequestError::Memory {
                part,
                needed,
                budget,
                ..
            })) => Err(RequestError::Memory {
                part,
                needed,
                budget,
                instead: this.shorter(caps, model, decoder, &lengths, budget),
            }
            .into()),
            Err(error) => Err(error),
        }
    }

    /// The choices of the run; its seed is the first clip's.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What differs from the request.
    pub fn notes(&self) -> &[Note] {
        self.settings.notes()
    }

    /// What the run takes on the device.
    pub fn plan(&self) -> &MemoryPlan {
        &self.plan
    }

    /// The steps.
    pub fn steps(&self) -> &[StepPlan] {
        &self.steps
    }

    /// The turns of the run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The latents that it denoises.
    pub fn latents(&self) -> LatentSpec {
        self.latents
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub(crate) fn text(&self) -> &TextComponent {
        &self.text
    }

    /// How the transformer sees the frames that the run knows.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn image(&self) -> Option<&ImageComponent> {
        self.image.as_ref()
    }

    pub(crate) fn encoder(&self) -> Option<&EncoderComponent> {
        self.encoder.as_ref()
    }

    /// Whether the run encodes pictures or a clip.
    pub(crate) fn encodes(&self) -> bool {
        self.image.is_some() || self.encoder.is_some()
    }

    pub(crate) fn decoder(&self) -> &DecoderComponent {
        &self.decoder
    }

    pub(crate) fn decode_plan(&self) -> Option<&(PartPlan, DecodePlan)> {
        self.decode.as_ref()
    }

    /// The ids of the prompts.
    ///
    /// # Errors
    /// [`RequestError::NotPlanned`] where the run was prepared for its plan alone.
    pub(crate) fn ids(&self) -> Result<&[Vec<u32>], Error> {
        let missing = RequestError::NotPlanned {
            part: Part::TextEncoder.name(),
        };
        Ok(self.ids.as_deref().ok_or(missing)?)
    }

    pub(crate) fn transformer(&self, part: Part) -> Result<&TransformerComponent, Error> {
        let found = self.transformers.iter().find(|known| known.part() == part);
        let missing = RequestError::NotPlanned { part: part.name() };
        Ok(found.ok_or(missing)?)
    }

    /// The parts up to the latents within a budget.
    ///
    /// # Errors
    /// [`RequestError::Memory`] for a part that does not fit.
    pub(crate) fn sampling_plan(
        &self,
        caps: &Caps,
        budget: Option<u64>,
    ) -> Result<MemoryPlan, Error> {
        let transformers = self.transformers.iter().map(TransformerComponent::choices);
        let transformers = transformers.collect();
        self.choose(caps, budget, self.encoder.as_ref(), transformers)
    }

    /// Chooses for the parts up to the latents, with this encoder and these choices of transformers.
    fn choose(
        &self,
        caps: &Caps,
        budget: Option<u64>,
        encoder: Option<&EncoderComponent>,
        transformers: Vec<Vec<PartPlan>>,
    ) -> Result<MemoryPlan, Error> {
        let mut choices = vec![self.text.choices()];
        choices.extend(self.image.iter().map(ImageComponent::choices));
        if let Some(encoder) = encoder {
            choices.push(vec![encoder.plan(caps, budget)?.0]);
        }
        choices.extend(transformers);
        MemoryPlan::choose(choices, budget)
    }

    /// Compiles the kernels of the parts after the text encoder, until `stop`. Errors are ignored here
    /// because the part itself reports them when it runs.
    pub(crate) fn compile_ahead(&self, gpu: &Gpu, stop: &Cancel) {
        if let Some(encoder) = &self.encoder
            && let Ok((_, plan)) = encoder.plan(gpu.caps(), self.plan.budget)
        {
            let _ = gpu.compile_ahead(&plan.recordings(), stop);
        }
        for transformer in &self.transformers {
            let _ = gpu.compile_ahead(&transformer.recordings(), stop);
        }
        if let Some((_, plan)) = &self.decode
            && !stop.is_cancelled()
        {
            let _ = gpu.compile_ahead(&plan.recordings(), stop);
        }
    }

    /// The most frames of the same size that fit the budget.
    fn shorter(
        &self,
        caps: &Caps,
        model: &Model,
        decoder: &Decoder,
        lengths: &[usize],
        budget: u64,
    ) -> Option<usize> {
        let temporal = model.config().vae.scale_factor_temporal.max(1);
        let fits = |latent_frames: usize| -> Result<(), Error> {
            let mut latents = self.latents;
            latents.shape[2] = latent_frames;
            let seen = (
                self.form,
                self.image.as_ref().map_or(0, ImageComponent::tokens),
            );
            let mut choices = Vec::new();
            for transformer in &self.transformers {
                let part = transformer.part();
                let shorter =
                    TransformerComponent::new(caps, model, part, &latents, seen, lengths)?;
                choices.push(shorter.choices());
            }
            let frames = (latent_frames - 1) * temporal + 1;
            let encoder = self.encoder.as_ref();
            let encoder = encoder.map(|encoder| encoder.with_frames(frames));
            self.choose(caps, Some(budget), encoder.as_ref(), choices)?;
            let decoder = DecoderComponent::open(decoder, model, latents)?;
            decoder.plan(caps, Some(budget)).map(|_| ())
        };
        // Memory grows with the number of frames, so a binary search finds the limit.
        let (mut good, mut bad) = (0, self.latents.shape[2]);
        while good + 1 < bad {
            let middle = good + (bad - good) / 2;
            if fits(middle).is_ok() {
                good = middle;
            } else {
                bad = middle;
            }
        }
        (good > 0).then(|| (good - 1) * temporal + 1)
    }
}

/// The token ids of the prompt and the negative prompt. Adds a note if one is cut.
fn tokens(model: &Model, settings: &mut Settings) -> Result<Vec<Vec<u32>>, Error> {
    let mut ids = Vec::new();
    let prompts = [
        ("prompt", settings.prompt.clone()),
        ("negative_prompt", settings.negative_prompt.clone()),
    ];
    for (field, prompt) in prompts {
        let (text, tokens) = model.tokens(&prompt)?;
        if field == "prompt" && model.config().defaults.card.words_of_tokenizer {
            let unknown = model.unknown_words(&text)?;
            if !unknown.is_empty() {
                settings.notes.push(Note::UnknownWords(unknown));
            }
        }
        if let Some(cut) = tokens.cut {
            let rest = text.get(cut.byte..).unwrap_or("").trim_start();
            let from = rest.chars().take(SHOWN).collect();
            settings.notes.push(Note::Truncated { field, from });
        }
        ids.push(tokens.ids);
    }
    Ok(ids)
}
