//! A device and a model: what an application holds on to.

use std::fmt;
use std::sync::Arc;

use super::decoding::Decoding;
use super::device::Device;
use super::sink::Frame;
use super::task::Job;
use crate::cancel::Cancel;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::model_files::{ModelConfig, ModelFolder};
use crate::pipeline::{Decoder, Model, Observer, Prepared, Prompts, check_latents};
use crate::request::{Request, Settings};
use crate::weights::Latents;

/// A device and a model. Clones share both; what the model's files hold is read once.
#[derive(Clone)]
pub struct Engine {
    pub(super) device: Arc<Device>,
    pub(super) model: Arc<Model>,
    /// Bytes of device memory that a run may take.
    budget: Option<u64>,
    pub(super) decoder: Decoder,
    pub(super) previews: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("device", &self.device)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A finished clip in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
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

impl Engine {
    /// Reads a model's configurations; its weights are opened when a run needs them.
    ///
    /// # Errors
    /// A configuration file that is missing, corrupt, or asks for what the engine lacks.
    pub fn new(gpu: Gpu, folder: ModelFolder) -> Result<Self, Error> {
        Ok(Self::with_model(gpu, Arc::new(Model::open(folder)?)))
    }

    /// An engine of a model that is open already.
    pub fn with_model(gpu: Gpu, model: Arc<Model>) -> Self {
        let budget = usual_budget(gpu.caps().memory);
        Self {
            device: Arc::new(Device::new(gpu, budget)),
            model,
            budget,
            decoder: Decoder::default(),
            previews: false,
        }
    }

    /// The same engine, with this budget of device memory in bytes for each run. The default is four
    /// fifths of the memory that the device reports.
    #[must_use]
    pub fn with_memory(self, bytes: u64) -> Self {
        Self {
            device: Arc::new(Device::new(self.gpu(), Some(bytes))),
            budget: Some(bytes),
            ..self
        }
    }

    /// The same engine, whose pictures are made by this decoder.
    #[must_use]
    pub fn with_decoder(self, decoder: Decoder) -> Self {
        Self { decoder, ..self }
    }

    /// The same engine, whose runs report after every step what it predicts the clip to be.
    #[must_use]
    pub fn with_previews(self) -> Self {
        Self {
            previews: true,
            ..self
        }
    }

    /// The device. It is replaced when a lost device is reopened.
    pub fn gpu(&self) -> Gpu {
        self.device.gpu()
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model's configuration and defaults.
    pub fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    /// Makes every choice of a run, records its passes and plans its memory. Nothing is loaded.
    ///
    /// # Errors
    /// A field outside its range; files of the model that are missing, corrupt or do not fit each
    /// other; a run that does not fit the memory, with what would.
    pub fn prepare(&self, request: &Request) -> Result<Job, Error> {
        self.prepare_settings(Settings::resolve(request, self.config())?)
    }

    /// Like [`prepare`](Self::prepare), for settings that were resolved before the device was opened.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_settings(&self, settings: Settings) -> Result<Job, Error> {
        let (gpu, prompts) = (self.gpu(), Prompts::Asked);
        let prepared = Prepared::new(
            gpu.caps(),
            &self.model,
            settings,
            &self.decoder,
            self.budget,
            prompts,
        )?;
        Job::new(self.clone(), Arc::new(prepared))
    }

    /// Prepares to decode latents that an earlier run made.
    ///
    /// # Errors
    /// Latents of another model; a decoder's weights that are missing or of another shape; no way
    /// to stay within the memory.
    pub fn prepare_decoding(&self, latents: &Latents) -> Result<Decoding, Error> {
        check_latents(&self.model, latents.shape)?;
        Decoding::open(self, latents.shape)
    }

    /// Makes a clip, all frames in memory.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`Job::run`].
    pub fn generate(
        &self,
        request: &Request,
        observer: Observer<'_>,
        cancel: &Cancel,
    ) -> Result<Clip, Error> {
        let mut job = self.prepare(request)?;
        let mut frames = Vec::with_capacity(job.settings().frames);
        let mut sink = |frame: &Frame<'_>| {
            frames.push(frame.rgb()?.into_owned());
            Ok(())
        };
        job.run(&mut sink, observer, cancel)?;
        let settings = job.settings().clone();
        Ok(Clip {
            width: settings.width,
            height: settings.height,
            fps: settings.fps,
            frames,
            settings,
        })
    }
}

/// The default budget of a run on a device with this much memory, in bytes.
pub fn usual_budget(memory: Option<u64>) -> Option<u64> {
    memory.map(|bytes| bytes / 5 * 4)
}
