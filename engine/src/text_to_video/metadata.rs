//! What makes a clip again, as text inside the clip.

use super::engine::Engine;
use super::request::Settings;
use crate::error::Error;
use crate::model_files::SchedulerName;
use crate::record::Precision;
use crate::sampling::Scheduler;
use crate::tensor::DType;

impl Settings {
    /// Keys and values that `kinora show` reads back: everything that makes the clip again.
    ///
    /// # Errors
    /// Weights or a tokenizer that cannot be read for their hashes.
    pub fn metadata(&self, engine: &Engine) -> Result<Vec<(String, String)>, Error> {
        let scheduler = engine.scheduler(self)?;
        let name = match &scheduler {
            Scheduler::UniPc(_) => SchedulerName::UniPc,
            Scheduler::Euler(_) => SchedulerName::Euler,
            Scheduler::Distilled(config) => SchedulerName::Distilled(config.kind),
        };
        let mut pairs = vec![
            ("prompt", self.prompt.clone()),
            ("negative_prompt", self.negative_prompt.clone()),
            ("seed", self.seed.to_string()),
            ("steps", self.steps.to_string()),
            ("guidance", self.guidance.to_string()),
        ];
        if let Some(scale) = self.guidance_2 {
            pairs.push(("guidance_2", scale.to_string()));
        }
        if let Some(stop) = self.guidance_stop {
            pairs.push(("guidance_stop", stop.to_string()));
        }
        if let Some(times) = &self.timesteps {
            let times: Vec<String> = times.iter().map(u32::to_string).collect();
            pairs.push(("timesteps", times.join(",")));
        }
        pairs.extend([
            ("scheduler", name.name().to_owned()),
            ("shift", scheduler.shift().to_string()),
            ("decoder", engine.decoder.name().to_owned()),
            ("width", self.width.to_string()),
            ("height", self.height.to_string()),
            ("frames", self.frames.to_string()),
            ("fps", self.fps.to_string()),
            (
                "precision",
                match engine.gpu.caps().activations() {
                    DType::F16 => Precision::F16,
                    _ => Precision::F32,
                }
                .name()
                .to_owned(),
            ),
        ]);
        if let Some(dtype) = engine.folder.narrowing() {
            pairs.push(("quantize", dtype.name().to_ascii_lowercase()));
        }
        pairs.extend([
            ("model", engine.config.defaults.name.clone()),
            ("model_hash", engine.fingerprint()?),
            ("tokenizer_hash", engine.tokenizer_fingerprint()?),
            ("kinora", env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        Ok(pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect())
    }
}
