//! A LoRA file: which of its tensors belongs to which layer, and which layers a model has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::roles::{Place, Role, is_of_images, place, unknown_method};
use crate::error::{AdapterError, WeightsError};
use crate::weights::Checkpoint;

/// Names that an error shows.
const SHOWN: usize = 4;

/// The tensors of a layer, by their role.
pub(super) type Roles = BTreeMap<Role, String>;

/// A LoRA file and the layers that it changes.
pub(super) struct LoraFile {
    /// The file's name for messages.
    pub(super) name: String,
    pub(super) tensors: Arc<Checkpoint>,
    /// The file's tensors, by part (if the file is for two experts) and by the model's layer.
    pub(super) layers: BTreeMap<(Option<&'static str>, String), Roles>,
    /// Tensors whose names are not recognised.
    pub(super) unknown: Vec<String>,
    /// The scales that the file's metadata give.
    trained: Option<Trained>,
}

/// How a file fits a transformer.
#[derive(Debug, Default)]
pub(super) struct Fit<'f> {
    /// The file's tensors for each layer that the model has.
    pub(super) layers: BTreeMap<&'f str, &'f Roles>,
    /// One tensor of each layer that the model lacks.
    pub(super) missing: Vec<&'f str>,
    /// How many image layers were left out because a text-to-video model lacks them.
    pub(super) of_images: usize,
}

/// Fields of PEFT's `LoraConfig`, which diffusers writes into the metadata.
struct Trained {
    /// `lora_alpha`, of all layers but those of `alphas`.
    alpha: f32,
    /// `alpha_pattern`: suffixes of layer names, each with its alpha.
    alphas: Vec<(String, f32)>,
    /// `use_rslora`: whether alpha is divided by the square root of the rank.
    root: bool,
}

impl Trained {
    fn read(json: Option<&String>) -> Option<Self> {
        let json: serde_json::Value = serde_json::from_str(json?).ok()?;
        let field = |name: &str| json.get(format!("transformer.{name}"));
        let alphas = field("alpha_pattern").and_then(serde_json::Value::as_object);
        let alphas = alphas.into_iter().flatten();
        let alphas = alphas.filter_map(|(end, alpha)| Some((end.clone(), alpha.as_f64()? as f32)));
        Some(Self {
            alpha: field("lora_alpha")?.as_f64()? as f32,
            alphas: alphas.collect(),
            root: field("use_rslora").and_then(serde_json::Value::as_bool) == Some(true),
        })
    }

    /// The scale of the matrices of `layer` at this rank.
    fn scale(&self, layer: &str, rank: f32) -> f32 {
        let is_of = |end: &str| {
            let before = layer.strip_suffix(end);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let own = self.alphas.iter().find(|(end, _)| is_of(end));
        let alpha = own.map_or(self.alpha, |(_, alpha)| *alpha);
        alpha / if self.root { rank.sqrt() } else { rank }
    }
}

impl LoraFile {
    /// Reads the names of a file; the model is not needed.
    pub(super) fn read(path: &Path) -> Result<Self, WeightsError> {
        Self::of(Checkpoint::open(path, "LoRA")?)
    }

    /// Like [`read`](Self::read), for a file that is already open.
    pub(super) fn of(tensors: Checkpoint) -> Result<Self, WeightsError> {
        let name = tensors.origin().to_owned();
        let mut layers: BTreeMap<(Option<&'static str>, String), Roles> = BTreeMap::new();
        let mut unknown = Vec::new();
        for tensor in tensors.names() {
            let own = || tensor.to_owned();
            if let Some(method) = unknown_method(tensor) {
                let (file, tensor) = (name, own());
                return Err(AdapterError::Method {
                    file,
                    tensor,
                    method,
                }
                .into());
            }
            let Some(Place { part, layer, role }) = place(tensor) else {
                unknown.push(own());
                continue;
            };
            let roles = layers.entry((part, layer.clone())).or_default();
            if let Some(first) = roles.insert(role, own()) {
                return Err(AdapterError::Twice {
                    file: name,
                    layer,
                    first,
                    second: own(),
                }
                .into());
            }
        }
        let trained = Trained::read(tensors.metadata().get("lora_adapter_metadata"));
        Ok(Self {
            name,
            layers,
            unknown,
            trained,
            tensors: Arc::new(tensors),
        })
    }

    /// Whether it holds one LoRA for each of two experts.
    pub(super) fn is_for_two(&self) -> bool {
        self.layers.keys().any(|(part, _)| part.is_some())
    }

    /// The layers for `part`; the model may lack some of them. In a file for two experts, layers that
    /// name no expert are for the first.
    fn of_part<'f>(&'f self, part: &str) -> impl Iterator<Item = (&'f str, &'f Roles)> {
        let two = self.is_for_two();
        self.layers
            .iter()
            .filter(move |((own, _), _)| match own {
                Some(own) => *own == part,
                None => !two || part == "transformer",
            })
            .map(|((_, layer), roles)| (layer.as_str(), roles))
    }

    /// Matches the file's layers with those of the transformer `part`.
    pub(super) fn fit(&self, part: &str, model: &Checkpoint) -> Fit<'_> {
        let mut fit = Fit::default();
        for (layer, roles) in self.of_part(part) {
            if roles.keys().all(|role| has(model, layer, *role)) {
                fit.layers.insert(layer, roles);
            } else if is_of_images(layer) && has_block_of(model, layer) {
                fit.of_images += 1;
            } else {
                fit.missing
                    .extend(roles.values().next().map(String::as_str));
            }
        }
        fit.missing.extend(self.unknown.iter().map(String::as_str));
        fit
    }

    /// Like [`fit`](Self::fit), but refuses a file with layers that the model lacks, other than image
    /// layers.
    ///
    /// # Errors
    /// [`AdapterError::NothingMatches`] and [`AdapterError::NoSuchLayer`].
    pub(super) fn fitted(&self, part: &str, model: &Checkpoint) -> Result<Fit<'_>, WeightsError> {
        let file = self.name.clone();
        if model.names().len() == 0 {
            return Err(AdapterError::NotAtHand { file }.into());
        }
        let fit = self.fit(part, model);
        let other_expert = self.is_for_two() && self.of_part(part).next().is_none();
        if fit.layers.is_empty() && !(other_expert && self.unknown.is_empty()) {
            let mut theirs = fit.missing.clone();
            let of_images = self.of_part(part).filter(|(layer, _)| is_of_images(layer));
            theirs.extend(of_images.map(|(layer, _)| layer));
            return Err(AdapterError::NothingMatches {
                theirs: some(&theirs),
                ours: some(&model.names().collect::<Vec<_>>()),
                file,
            }
            .into());
        }
        if !fit.missing.is_empty() {
            return Err(AdapterError::NoSuchLayer {
                count: fit.missing.len(),
                names: some(&fit.missing),
                file,
            }
            .into());
        }
        Ok(fit)
    }

    /// The scale of a layer's change of rank R, as it was trained.
    ///
    /// # Errors
    /// An alpha that cannot be read.
    pub(super) fn scale(
        &self,
        layer: &str,
        roles: &Roles,
        rank: usize,
    ) -> Result<f32, WeightsError> {
        let rank = rank.max(1) as f32;
        Ok(match (roles.get(&Role::Alpha), &self.trained) {
            (Some(alpha), _) => {
                let alpha = self.tensors.get_any(alpha)?.to_f32();
                alpha.first().map_or(1.0, |alpha| alpha / rank)
            }
            (None, Some(trained)) => trained.scale(layer, rank),
            (None, None) => 1.0,
        })
    }
}

/// The model's tensor for a layer's weight. A modulation table is named like its layer, without
/// `.weight`.
pub(super) fn weight_of(model: &Checkpoint, layer: &str) -> Option<String> {
    let weight = format!("{layer}.weight");
    let names = [weight, layer.to_owned()];
    names.into_iter().find(|name| model.contains(name))
}

/// Whether the model has the tensor that this role changes.
fn has(model: &Checkpoint, layer: &str, role: Role) -> bool {
    match role {
        Role::Bias | Role::UpBias => model.contains(&format!("{layer}.bias")),
        _ => weight_of(model, layer).is_some(),
    }
}

/// Whether the model has the block that a layer is in; true for layers outside of blocks.
fn has_block_of(model: &Checkpoint, layer: &str) -> bool {
    let block = layer
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split_once('.'));
    block.is_none_or(|(block, _)| model.contains(&format!("blocks.{block}.attn2.to_k.weight")))
}

/// The first of some names.
pub(super) fn some(names: &[&str]) -> String {
    let mut shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    if names.len() > SHOWN {
        shown.push("…");
    }
    if shown.is_empty() {
        "nothing".to_owned()
    } else {
        shown.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_say_the_scale_of_a_layer() {
        let scale = |json: &str, layer: &str| {
            let trained = Trained::read(Some(&json.to_owned()));
            trained.map(|trained| trained.scale(layer, 4.0))
        };
        let layer = "blocks.0.attn1.to_q";
        assert_eq!(scale(r#"{"transformer.lora_alpha": 8}"#, layer), Some(2.0));
        let root = r#"{"transformer.lora_alpha": 8, "transformer.use_rslora": true}"#;
        assert_eq!(scale(root, layer), Some(4.0));
        let own = r#"{"transformer.lora_alpha": 8, "transformer.alpha_pattern": {"to_q": 16}}"#;
        assert_eq!(scale(own, layer), Some(4.0));
        assert_eq!(scale(own, "blocks.0.attn1.add_to_q"), Some(2.0));
        assert_eq!(scale("{}", layer), None);
    }
}
