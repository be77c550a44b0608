//! A device and a model: what an application holds on to.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::decoder::Decoder;
use super::request::{MAX_TOKENS, Note, Request, Settings};
use super::retry::Taken;
use crate::error::Error;
use crate::gpu::{Cancel, Gpu};
use crate::model_files::{ModelConfig, ModelFolder, SchedulerName};
use crate::sampling::Scheduler;
use crate::text::clean::clean;
use crate::text::tokenizer::{Tokenizer, Tokens};
use crate::weights::{Latents, bytes_fingerprint, combined_fingerprint};

/// Characters of a prompt that a note about its end shows.
const SHOWN: usize = 40;

/// A part of a run, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Weights of a model part going to the device; counted in parts.
    Load(&'static str),
    /// The prompts through the text encoder; counted in layers.
    Text,
    /// Denoising; counted in forward passes, two a step with guidance.
    Sample,
    /// Latents to pictures; counted in frames. Where the decoder works in bands no frame is whole
    /// before the last of them: then as many as the share of the work that is done.
    Decode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(part) => write!(f, "loading {part}"),
            Self::Text => f.write_str("reading the prompt"),
            Self::Sample => f.write_str("sampling"),
            Self::Decode => f.write_str("decoding"),
        }
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Something done otherwise than asked.
    Note(Note),
    /// A stage begins.
    Started {
        /// Which.
        stage: Stage,
        /// In how many units.
        total: usize,
    },
    /// The stage that began goes on from where an earlier run left it.
    Resumed {
        /// Which.
        stage: Stage,
        /// Units that are done already.
        skipped: usize,
    },
    /// What a step predicts the clip to be, where [`Engine::with_previews`] asks for it: for
    /// [`Engine::preview`] or a decoder.
    Predicted {
        /// The step, from 1.
        step: usize,
        /// Of how many.
        steps: usize,
        /// The clean latents, in the model's normalised space.
        latents: Arc<Latents>,
    },
    /// A stage goes on.
    Progress {
        /// Which.
        stage: Stage,
        /// Units done.
        done: usize,
        /// Of how many.
        total: usize,
    },
    /// A stage ended.
    Finished {
        /// Which.
        stage: Stage,
    },
}

/// A finished clip in memory.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Frames a second.
    pub fps: f64,
    /// 8-bit RGB, `3 * width * height` bytes each.
    pub frames: Vec<Vec<u8>>,
    /// What made it.
    pub settings: Settings,
}

/// Takes a frame's number and its 8-bit RGB pixels.
pub type FrameSink<'f> = &'f mut dyn FnMut(usize, &[u8]) -> Result<(), Error>;

/// Bytes of device memory for either half of a run, where the device had no room for more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reduced {
    pub(super) sampling: Option<u64>,
    pub(super) decoding: Option<u64>,
}

/// A device and a model.
pub struct Engine {
    pub(super) gpu: Gpu,
    pub(super) folder: ModelFolder,
    pub(super) config: ModelConfig,
    /// Bytes of device memory that a run may take.
    pub(super) memory: Option<u64>,
    pub(super) decoder: Decoder,
    /// What it may take of that after the device failed.
    pub(super) reduced: Reduced,
    /// Whether each step tells what it predicts.
    pub(super) previews: bool,
    tokenizer: OnceLock<Tokenizer>,
    /// What runs took, whichever engine made them.
    pub(super) taken: Arc<Mutex<Taken>>,
    /// What took its place when its device failed.
    retreated: Mutex<Option<Arc<Engine>>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("gpu", &self.gpu)
            .field("config", &self.config)
            .finish()
    }
}

impl Engine {
    /// Reads a model's configurations; its weights are opened when a run needs them.
    ///
    /// # Errors
    /// A configuration file that is missing, corrupt, or asks for what the engine lacks.
    pub fn new(gpu: Gpu, folder: ModelFolder) -> Result<Self, Error> {
        let config = folder.config()?;
        let memory = gpu.caps().memory.map(|bytes| bytes / 5 * 4);
        Ok(Self {
            gpu,
            folder,
            config,
            memory,
            decoder: Decoder::default(),
            reduced: Reduced::default(),
            previews: false,
            tokenizer: OnceLock::new(),
            taken: Arc::default(),
            retreated: Mutex::default(),
        })
    }

    /// The same model on another device, or within less of it.
    pub(super) fn on(&self, gpu: Gpu, reduced: Reduced) -> Self {
        Self {
            gpu,
            folder: self.folder.clone(),
            config: self.config.clone(),
            memory: self.memory,
            decoder: self.decoder.clone(),
            reduced,
            previews: self.previews,
            tokenizer: OnceLock::new(),
            taken: self.taken.clone(),
            retreated: Mutex::default(),
        }
    }

    /// The engine that took this one's place.
    pub(super) fn retreated(&self) -> Option<Arc<Self>> {
        let retreated = self.retreated.lock();
        retreated.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_retreated(&self, engine: Arc<Self>) {
        let mut retreated = self
            .retreated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *retreated = Some(engine);
    }

    /// The same engine, whose runs take at most so many bytes of device memory; otherwise four
    /// fifths of what the device says it has.
    #[must_use]
    pub fn with_memory(self, bytes: u64) -> Self {
        Self {
            memory: Some(bytes),
            ..self
        }
    }

    /// The same engine, whose pictures are made by this decoder.
    #[must_use]
    pub fn with_decoder(self, decoder: Decoder) -> Self {
        Self { decoder, ..self }
    }

    /// The same engine, whose runs tell after every step what it predicts the clip to be.
    #[must_use]
    pub fn with_previews(self) -> Self {
        Self {
            previews: true,
            ..self
        }
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The model's configuration and defaults.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the model's files are.
    pub fn folder(&self) -> &ModelFolder {
        &self.folder
    }

    fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        if let Some(tokenizer) = self.tokenizer.get() {
            return Ok(tokenizer);
        }
        let (file, bytes) = self.folder.tokenizer_json()?;
        let tokenizer = Tokenizer::from_bytes(&file, &bytes)?;
        Ok(self.tokenizer.get_or_init(|| tokenizer))
    }

    /// The tokens of a prompt, cleaned as the reference does.
    pub(super) fn tokens(&self, prompt: &str) -> Result<(String, Tokens), Error> {
        let text = clean(prompt);
        let tokens = self.tokenizer()?.encode(&text, MAX_TOKENS)?;
        Ok((text, tokens))
    }

    /// Makes every choice that a request leaves open; its notes say what differs from it.
    ///
    /// # Errors
    /// An option outside its range, a tokenizer that cannot be read.
    pub fn settings(&self, request: &Request) -> Result<Settings, Error> {
        let mut settings = Settings::resolve(request, &self.config)?;
        for (what, prompt) in [
            ("prompt", settings.prompt.clone()),
            ("negative prompt", settings.negative_prompt.clone()),
        ] {
            let (text, tokens) = self.tokens(&prompt)?;
            if let Some(cut) = tokens.cut {
                let rest = text.get(cut.byte..).unwrap_or("").trim_start();
                let from = rest.chars().take(SHOWN).collect();
                settings.notes.push(Note::Truncated { what, from });
            }
        }
        // The schedule is made here so that a run is refused before anything is loaded.
        self.schedule(&settings)?;
        Ok(settings)
    }

    /// The model's scheduler with the request's choices.
    pub(super) fn scheduler(&self, settings: &Settings) -> Result<Scheduler, Error> {
        let (file, text) = self.folder.scheduler_json()?;
        let scheduler = Scheduler::from_json(&file, &String::from_utf8_lossy(&text))?;
        let scheduler = match settings.scheduler {
            None => scheduler,
            Some(SchedulerName::UniPc) => scheduler.into_unipc(),
            Some(SchedulerName::Euler) => scheduler.into_euler(),
            Some(SchedulerName::Distilled(kind)) => {
                scheduler.into_distilled(kind, settings.timesteps.clone().unwrap_or_default())
            }
        };
        Ok(match settings.shift {
            Some(shift) => scheduler.with_shift(shift),
            None => scheduler,
        })
    }

    /// The parts of the model that hold weights.
    fn parts(&self) -> impl Iterator<Item = &'static str> {
        let second = self
            .config
            .transformer_2
            .is_some()
            .then_some("transformer_2");
        ["text_encoder", "transformer"]
            .into_iter()
            .chain(second)
            .chain(["vae"])
    }

    /// A hash that tells the model's weights from others: headers, sizes and sampled blocks.
    ///
    /// # Errors
    /// Weights that cannot be opened.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut parts = Vec::new();
        for part in self.parts() {
            parts.push((part, self.folder.checkpoint(part)?.fingerprint()));
        }
        Ok(combined_fingerprint(
            parts.iter().map(|(part, hash)| (*part, hash.as_str())),
        ))
    }

    /// A hash of the file that prompts become tokens by: its SHA-256, as 64 hexadecimal digits.
    ///
    /// # Errors
    /// A tokenizer that cannot be read.
    pub fn tokenizer_fingerprint(&self) -> Result<String, Error> {
        let (_, bytes) = self.folder.tokenizer_json()?;
        Ok(bytes_fingerprint(&bytes))
    }

    /// Makes a clip, all frames in memory: settings, sampling and decoding in one call.
    ///
    /// # Errors
    /// As [`Engine::settings`], [`Engine::sample`] and [`Engine::decode`].
    pub fn generate(
        &self,
        request: &Request,
        cancel: &Cancel,
        events: &mut dyn FnMut(Event),
    ) -> Result<Clip, Error> {
        let settings = self.settings(request)?;
        for note in &settings.notes {
            events(Event::Note(note.clone()));
        }
        let latents = self.sample(&settings, cancel, events)?;
        let (width, height) = (settings.width, settings.height);
        let mut frames = Vec::with_capacity(settings.frames);
        self.decode(
            &latents,
            Some([width, height]),
            cancel,
            events,
            &mut |_, rgb| {
                frames.push(rgb.to_vec());
                Ok(())
            },
        )?;
        Ok(Clip {
            width,
            height,
            fps: settings.fps,
            frames,
            settings,
        })
    }
}
