//! What makes a clip again, as text: inside the clip, beside latents, in a saved run.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::engine::Engine;
use crate::error::Error;
use crate::model_files::SchedulerName;
use crate::pipeline::Prepared;
use crate::record::Precision;
use crate::request::{FIELDS, Facts, Range, Settings, field, fps_of};
use crate::sampling::Scheduler;
use crate::tensor::DType;

/// An invalid entry: its key, the text found, and what was expected.
pub type Wrong = (&'static str, String, &'static str);

/// Text that says what a clip is, by the keys of [`FIELDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub BTreeMap<String, String>);

impl Metadata {
    /// The entries from which the clip of these settings can be made again.
    ///
    /// # Errors
    /// Weights or a tokenizer that cannot be read for their hashes.
    pub(super) fn of(
        engine: &Engine,
        prepared: &Prepared,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let model = &engine.model;
        let scheduler = prepared.scheduler();
        let name = match scheduler {
            Scheduler::UniPc(_) => SchedulerName::UniPc,
            Scheduler::Euler(_) => SchedulerName::Euler,
            Scheduler::Distilled(config) => SchedulerName::Distilled(config.kind),
        };
        let precision = match engine.gpu().caps().activations() {
            DType::F16 => Precision::F16,
            _ => Precision::F32,
        };
        let quantize = model.folder().quantization();
        let quantize = quantize.map(|dtype| dtype.name().to_ascii_lowercase());
        let tiny_latents = prepared.decoder().tiny_latents;
        let tiny_latents = tiny_latents.map(|latents| latents.to_string());
        let facts = Facts {
            settings,
            scheduler: (name, scheduler.shift()),
            decoder: engine.decoder.name(),
            tiny_latents: tiny_latents.as_deref(),
            precision: precision.name(),
            quantize: quantize.as_deref(),
            model: [
                &model.config().defaults.name,
                model.fingerprint()?,
                model.tokenizer_fingerprint()?,
            ],
        };
        let pairs = FIELDS.iter();
        let pairs = pairs.filter_map(|field| Some((field.key.to_owned(), field.value(&facts)?)));
        Ok(Self(pairs.collect()))
    }

    /// The entries that a clip carries, in the order of [`FIELDS`]. Empty without the key `kinora`,
    /// since entries of other programs do not describe a clip.
    pub fn entries(&self) -> Vec<(String, String)> {
        if !self.0.contains_key("kinora") {
            return Vec::new();
        }
        let entry = |key: &str| Some((key.to_owned(), self.0.get(key)?.clone()));
        FIELDS.iter().filter_map(|field| entry(field.key)).collect()
    }

    /// An entry as a number; `None` if there is no such entry.
    ///
    /// # Errors
    /// [`Wrong`] for an entry that does not parse as a `T`.
    pub fn number<T: FromStr>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Wrong> {
        let Some(text) = self.0.get(key) else {
            return Ok(None);
        };
        let wrong = |_| (key, text.clone(), expected);
        text.parse().map(Some).map_err(wrong)
    }

    /// The entries as one JSON object, numbers as numbers.
    pub fn to_json(&self) -> serde_json::Value {
        let value = |(key, text): (&String, &String)| {
            let number = match field(key).map(|field| field.range) {
                Some(Range::Count(..)) => text.parse::<u64>().ok().map(Into::into),
                Some(Range::Real(..)) => fps_of(text).filter(|n| n.is_finite()).map(Into::into),
                _ => None,
            };
            (key.clone(), number.unwrap_or_else(|| text.as_str().into()))
        };
        serde_json::Value::Object(self.0.iter().map(value).collect())
    }

    /// Frames a second of playback.
    ///
    /// # Errors
    /// [`Wrong`] for an entry that is no rate.
    pub fn fps(&self) -> Result<Option<f64>, Wrong> {
        let Some(text) = self.0.get("fps") else {
            return Ok(None);
        };
        let wrong = || ("fps", text.clone(), "a frame rate");
        fps_of(text).map(Some).ok_or_else(wrong)
    }

    /// The width and height that the run was asked for; `None` if the entries lack them or they
    /// exceed frames of size `whole`.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn crop(&self, whole: [usize; 2]) -> Result<Option<[usize; 2]>, Wrong> {
        let width = self.number("width", "a number of pixels")?;
        let height = self.number("height", "a number of pixels")?;
        let (Some(width), Some(height)) = (width, height) else {
            return Ok(None);
        };
        Ok((width <= whole[0] && height <= whole[1]).then_some([width, height]))
    }

    /// Only the entries that decoding needs; nothing that reveals the prompt.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.0
            .retain(|key, _| ["width", "height", "fps"].contains(&key.as_str()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_carries_what_made_it_in_order() {
        let entries = ["kinora", "quantize", "seed", "prompt", "format"];
        let made = Metadata(entries.map(|k| (k.to_owned(), k.to_owned())).into());
        let keys: Vec<_> = made.entries().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["prompt", "seed", "quantize", "kinora"]);
        let foreign = Metadata([("format".to_owned(), "pt".to_owned())].into());
        assert!(foreign.entries().is_empty());
    }
}
