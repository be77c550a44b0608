//! A LoRA file: which of its tensors belongs to which layer of the model.

use std::collections::BTreeMap;

use super::Lora;
use crate::error::{AdapterError, WeightsError};
use crate::models::names::adapted_module;
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
    /// `lora_alpha` of all layers and whether it is over the root of the rank, where the file's
    /// metadata say so.
    alpha: Option<(f32, bool)>,
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
        let alpha = alpha(tensors.metadata().get("lora_adapter_metadata"));
        Ok(Self {
            name,
            strength: lora.strength,
            layers,
            alpha,
            tensors,
        })
    }

    /// What a layer's `up down` of rank R is multiplied by.
    pub(super) fn scale(
        &self,
        roles: &BTreeMap<Role, String>,
        rank: usize,
    ) -> Result<f32, WeightsError> {
        let rank = rank.max(1) as f32;
        let trained = match (roles.get(&Role::Alpha), self.alpha) {
            (Some(alpha), _) => {
                let alpha = self.tensors.get_any(alpha)?.to_f32();
                alpha.first().map_or(1.0, |alpha| alpha / rank)
            }
            (None, Some((alpha, true))) => alpha / rank.sqrt(),
            (None, Some((alpha, false))) => alpha / rank,
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

/// `lora_alpha` in what diffusers writes beside the tensors, and whether it is over the root of the
/// rank.
fn alpha(json: Option<&String>) -> Option<(f32, bool)> {
    let json: serde_json::Value = serde_json::from_str(json?).ok()?;
    let field = |name: &str| json.get(format!("transformer.{name}"));
    let alpha = field("lora_alpha")?.as_f64()? as f32;
    let root = field("use_rslora").and_then(serde_json::Value::as_bool);
    Some((alpha, root.unwrap_or(false)))
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
