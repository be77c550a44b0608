//! ComfyUI's marks: JSON that describes how a layer's matrix is quantised.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Checkpoint;
use crate::error::WeightsError;
use crate::weights::container::shown;

/// The key of the header's text that holds the marks of all layers.
const OF_LAYERS: &str = "_quantization_metadata";

/// No mark is longer, in bytes, nor are those of all layers together.
const LONGEST: usize = 4096;
const LONGEST_OF_LAYERS: usize = 1 << 20;

/// The group of a rotation where the mark does not say.
const GROUP: usize = 256;

/// Keys that do not affect the elements.
const INERT: [&str; 3] = ["full_precision_matrix_mult", "orig_dtype", "orig_shape"];

/// The contents of a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// `float8_e4m3fn`, `int8_tensorwise`, `nvfp4` and others.
    pub(super) format: Option<String>,
    /// The group of a rotation ("convrot").
    pub(super) rotated: Option<usize>,
}

impl Mark {
    /// Reads a mark, or describes its fault.
    fn of(object: &Map<String, Value>) -> Result<Self, String> {
        let mut mark = Self::default();
        let mut group = GROUP;
        let mut rotated = false;
        for (key, value) in object {
            let taken = match key.as_str() {
                "format" => {
                    mark.format = value.as_str().map(str::to_owned);
                    mark.format.is_some()
                }
                "convrot" => {
                    rotated = value.as_bool().unwrap_or_default();
                    value.is_boolean()
                }
                "convrot_groupsize" => {
                    group = value.as_u64().unwrap_or_default() as usize;
                    value.is_u64()
                }
                key => INERT.contains(&key) || matches!(value, Value::Null | Value::Bool(false)),
            };
            if !taken {
                return Err(format!("{} is {}", shown(key), shown(&value.to_string())));
            }
        }
        mark.rotated = rotated.then_some(group);
        Ok(mark)
    }
}

/// The marks in the headers' text, by layer.
pub(super) struct Marks(HashMap<String, Mark>);

impl Marks {
    /// The marks of a checkpoint's files.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Self, WeightsError> {
        let mut marks = HashMap::new();
        for shard in checkpoint.shards() {
            let Some(text) = shard.metadata.get(OF_LAYERS) else {
                continue;
            };
            let broken = |reason: String| WeightsError::Mark {
                part: checkpoint.part.clone(),
                file: shard.file.clone(),
                mark: OF_LAYERS.to_owned(),
                reason,
            };
            if text.len() > LONGEST_OF_LAYERS {
                return Err(broken(format!("it is {} bytes long", text.len())));
            }
            let all: Map<String, Value> =
                serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
            let layers = all.get("layers").and_then(Value::as_object);
            let layers = layers.ok_or_else(|| broken("it names no layers".to_owned()))?;
            for (layer, mark) in layers {
                let mark = mark.as_object().ok_or_else(|| "it is no object".to_owned());
                let mark = mark.and_then(Mark::of);
                let mark =
                    mark.map_err(|reason| broken(format!("of {}, {reason}", shown(layer))))?;
                marks.insert(layer.clone(), mark);
            }
        }
        Ok(Self(marks))
    }

    /// The mark of the layer whose tensors' names begin with `layer` (ending in a dot): in a tensor of
    /// the layer, or in the header's metadata, which may omit the names' common prefix.
    pub(super) fn beside(
        &self,
        checkpoint: &Checkpoint,
        layer: &str,
    ) -> Result<Mark, WeightsError> {
        let name = format!("{layer}comfy_quant");
        if !checkpoint.by_name.contains_key(&name) {
            let mut name = layer.strip_suffix('.').unwrap_or(layer);
            return Ok(loop {
                match (self.0.get(name), name.split_once('.')) {
                    (Some(mark), _) => break mark.clone(),
                    (None, Some((_, rest))) => name = rest,
                    (None, None) => break Mark::default(),
                }
            });
        }
        let tensor = checkpoint.tensor(&name)?;
        let bytes = checkpoint.bytes_of(&name)?;
        let object: Result<Map<String, Value>, String> = match bytes.len() {
            0..=LONGEST => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            len => Err(format!("it is {len} bytes long")),
        };
        let mark = object.and_then(|object| Mark::of(&object));
        mark.map_err(|reason| WeightsError::Mark {
            part: checkpoint.part.clone(),
            file: checkpoint.file_of(tensor),
            mark: shown(&name),
            reason,
        })
    }
}
