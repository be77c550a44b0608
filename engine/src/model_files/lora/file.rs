//! A LoRA file: which of its tensors belongs to which layer of the model.

use std::collections::BTreeMap;

use super::Lora;
use crate::error::{AdapterError, WeightsError};
use crate::model_files::names::adapted_module;
use crate::weights::Checkpoint;

/// Names that an error shows.
const SHOWN: usize = 4;

/// What a tensor of the file is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// [R, K]
    Down,
    /// [N, R]
    Up,
    /// One number: the change is multiplied by it over R.
    Alpha,
    /// What is added to the weight.
    Weight,
    /// What is added to the bias.
    Bias,
    /// The bias of `up`: added to the layer's, scaled as `up` is.
    UpBias,
}

/// Endings of names, and what a tensor so named is.
const ROLES: [(&str, Role); 10] = [
    (".lora_A.weight", Role::Down),
    (".lora_A.default.weight", Role::Down),
    (".lora_down.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_B.default.weight", Role::Up),
    (".lora_up.weight", Role::Up),
    (".alpha", Role::Alpha),
    (".diff", Role::Weight),
    (".diff_b", Role::Bias),
    (".lora_B.bias", Role::UpBias),
];

/// The ending of a difference of the modulation, which is a tensor without a module.
const MODULATION: &str = ".diff_m";

/// Parts of names that mark other methods.
const METHODS: [(&str, &str); 6] = [
    ("hada_w", "LoHa"),
    ("lokr_w", "LoKr"),
    ("oft_", "OFT"),
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("lora_mid", "LoCon with a third matrix"),
];

/// A file and what it changes.
pub(super) struct LoraFile {
    /// As messages show it.
    pub(super) name: String,
    pub(super) tensors: Checkpoint,
    pub(super) strength: f32,
    /// By the model's layer, the file's own names.
    pub(super) layers: BTreeMap<String, BTreeMap<Role, String>>,
    /// What the file's metadata say of the scales.
    trained: Option<Trained>,
}

/// What diffusers writes beside the tensors: fields of PEFT's `LoraConfig`.
struct Trained {
    /// `lora_alpha`, of all layers but those of `alphas`.
    alpha: f32,
    /// `alpha_pattern`: ends of layers' names, and what is theirs.
    alphas: Vec<(String, f32)>,
    /// `use_rslora`: whether alpha is over the root of the rank.
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

    /// What the matrices of `layer`, of this rank, are multiplied by.
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
    /// Opens a file and finds the layers of `model` that it names.
    pub(super) fn open(lora: &Lora, model: &Checkpoint) -> Result<Self, WeightsError> {
        let tensors = Checkpoint::open(&lora.file, "LoRA")?;
        let name = lora.file.display().to_string();
        if model.names().len() == 0 {
            return Err(AdapterError::NotAtHand { file: name }.into());
        }
        let mut layers: BTreeMap<String, BTreeMap<Role, String>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for tensor in tensors.names() {
            let other = METHODS.iter().find(|(mark, _)| tensor.contains(mark));
            if let Some((_, method)) = other {
                let tensor = tensor.to_owned();
                let file = name;
                return Err(AdapterError::Method {
                    file,
                    tensor,
                    method,
                }
                .into());
            }
            match place(tensor, model) {
                Some((layer, role)) => {
                    let roles = layers.entry(layer.clone()).or_default();
                    if let Some(first) = roles.insert(role, tensor.to_owned()) {
                        return Err(AdapterError::Twice {
                            file: name,
                            layer,
                            first,
                            second: tensor.to_owned(),
                        }
                        .into());
                    }
                }
                None => unknown.push(tensor),
            }
        }
        if layers.is_empty() {
            return Err(AdapterError::NothingMatches {
                theirs: some(&unknown),
                ours: some(&model.names().collect::<Vec<_>>()),
                file: name,
            }
            .into());
        }
        if !unknown.is_empty() {
            return Err(AdapterError::NoSuchLayer {
                count: unknown.len(),
                names: some(&unknown),
                file: name,
            }
            .into());
        }
        let trained = Trained::read(tensors.metadata().get("lora_adapter_metadata"));
        Ok(Self {
            name,
            strength: lora.strength,
            layers,
            trained,
            tensors,
        })
    }

    /// What a layer's `up down` of rank R is multiplied by.
    pub(super) fn scale(
        &self,
        layer: &str,
        roles: &BTreeMap<Role, String>,
        rank: usize,
    ) -> Result<f32, WeightsError> {
        let rank = rank.max(1) as f32;
        let trained = match (roles.get(&Role::Alpha), &self.trained) {
            (Some(alpha), _) => {
                let alpha = self.tensors.get_any(alpha)?.to_f32();
                alpha.first().map_or(1.0, |alpha| alpha / rank)
            }
            (None, Some(trained)) => trained.scale(layer, rank),
            (None, None) => 1.0,
        };
        Ok(self.strength * trained)
    }
}

/// The layer of the model that a tensor of the file belongs to, and what it is to it.
fn place(tensor: &str, model: &Checkpoint) -> Option<(String, Role)> {
    if let Some(module) = tensor.strip_suffix(MODULATION) {
        let layer = adapted_module(&format!("{module}.modulation"));
        return model.contains(&layer).then_some((layer, Role::Weight));
    }
    let (module, role) = ROLES
        .iter()
        .find_map(|(ending, role)| Some((tensor.strip_suffix(ending)?, *role)))?;
    let layer = adapted_module(module);
    let changed = match role {
        Role::Bias | Role::UpBias => format!("{layer}.bias"),
        _ => format!("{layer}.weight"),
    };
    model.contains(&changed).then_some((layer, role))
}

/// The first of some names.
fn some(names: &[&str]) -> String {
    let mut shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    if names.len() > SHOWN {
        shown.push("…");
    }
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
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
