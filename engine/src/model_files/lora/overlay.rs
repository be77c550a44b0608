//! The combined changes of several files, layer by layer.
//!
//! A change of small rank stays separate from the weight, as two matrices. Other changes are merged into
//! the weight on every request; a matrix of a quantised base is then handed out as bf16.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::factors::{Factors, LowRank};
use super::file::{Fit, LoraFile, weight_of};
use super::roles::Role;
use crate::error::{AdapterError, WeightsError};
use crate::tensor::DType;
use crate::weights::{
    Change, Checkpoint, LOW_RANK_DOWN, LOW_RANK_UP, Merge, Overlay, TensorView, encode,
};

/// Kernels read four columns at a time, those on cooperative matrices more.
const RANK_MULTIPLE: usize = 8;

/// A tensor for [`Overlay::new`].
type Made = (String, DType, Vec<usize>, Vec<u8>);

/// A file, how strongly it is applied, and its layers that the model has.
pub(super) type Applied<'f> = (&'f LoraFile, f32, Fit<'f>);

/// Everything that the files change in `model`.
pub(super) fn overlay(files: &[Applied<'_>], model: &Checkpoint) -> Result<Overlay, WeightsError> {
    let layers = files.iter().flat_map(|(_, _, fit)| fit.layers.keys());
    let layers: BTreeSet<&str> = layers.copied().collect();
    let prints = files.iter().map(|(file, ..)| file.tensors.fingerprint());
    let prints: Vec<String> = prints.collect();
    let mut made = Vec::new();
    let mut merged: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for layer in layers {
        let weight = weight_of(model, layer).unwrap_or_else(|| format!("{layer}.weight"));
        let shape = model.shape_of(&weight).unwrap_or_default().to_vec();
        let mut pairs = Vec::new();
        for (at, (file, strength, fit)) in files.iter().enumerate() {
            let Some(roles) = fit.layers.get(layer) else {
                continue;
            };
            let factors = Arc::new(Factors::new(file, layer, roles, &shape)?);
            // A convolution (of the patches) cannot take two matrices beside its weight.
            let pair = match *shape {
                [_, _] => factors.low_rank()?,
                _ => None,
            };
            let print = prints.get(at).map_or("", String::as_str);
            let mut add = |tensor: &String, part: What, strength: f32| {
                let file = file.tensors.clone();
                let factors = factors.clone();
                let mark = format!("{part:?} {strength} {} {print}", factors.scale);
                merged.entry(tensor.clone()).or_default().push(Part {
                    file,
                    factors,
                    part,
                    strength,
                    mark,
                });
            };
            match pair {
                Some(mut pair) => {
                    scale(&mut pair, *strength);
                    pairs.push(pair);
                }
                None if factors.method.is_some() => add(&weight, What::Factors, *strength),
                None => {}
            }
            let bias = format!("{layer}.bias");
            for (role, tensor, strength) in [
                (Role::Weight, &weight, *strength),
                (Role::Bias, &bias, *strength),
                (Role::UpBias, &bias, strength * factors.scale),
            ] {
                if let Some(name) = roles.get(&role) {
                    check_difference(file, layer, name, model, tensor)?;
                    add(tensor, What::Difference(role), strength);
                }
            }
        }
        if let [n, k] = *shape {
            made.extend(pair_tensors(layer, [n, k], &pairs));
        }
    }
    let merges = merged.into_iter().map(|(name, parts)| {
        let marks: Vec<&str> = parts.iter().map(|part| part.mark.as_str()).collect();
        Merge {
            mark: marks.join("\n"),
            dtype: merged_type(model, &name),
            change: Arc::new(Merged(parts)),
            name,
        }
    });
    let names: Vec<&str> = files.iter().map(|(file, ..)| file.name.as_str()).collect();
    Ok(Overlay::new(&names.join(", "), made, merges.collect()))
}

/// The element type of a merged tensor: a matrix of floats keeps its file's type, and a quantised one
/// becomes bf16, since quantising again would lose the change. Other tensors are small and become f32.
fn merged_type(model: &Checkpoint, name: &str) -> DType {
    let matrix = model.shape_of(name).is_some_and(|shape| shape.len() == 2);
    match model.dtype_of(name) {
        _ if !matrix => DType::F32,
        Some(float @ (DType::F32 | DType::F16 | DType::BF16)) => float,
        _ => DType::BF16,
    }
}

/// The change of one tensor by a file.
struct Part {
    file: Arc<Checkpoint>,
    factors: Arc<Factors>,
    part: What,
    strength: f32,
    /// Identifies the change among others.
    mark: String,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Factors,
    Difference(Role),
}

/// All changes to one tensor. Each is computed from the stored weight, so their order does not matter.
struct Merged(Vec<Part>);

impl Change for Merged {
    fn apply(&self, stored: &TensorView<'_>) -> Result<Vec<f32>, WeightsError> {
        let base = stored.to_f32();
        let mut sum: Option<Vec<f32>> = None;
        for part in &self.0 {
            let mut change = match part.part {
                What::Factors => part.factors.change(&base)?,
                What::Difference(role) => {
                    let name = part.factors.roles.get(&role);
                    let name = name.map(String::as_str).unwrap_or_default();
                    part.file.get_any(name)?.to_f32()
                }
            };
            let values = change.iter_mut().zip(sum.as_ref().unwrap_or(&base));
            values.for_each(|(change, sum)| *change = sum + part.strength * *change);
            sum = Some(change);
        }
        let sum = sum.unwrap_or(base);
        let too_large = |v: &f32| v.is_finite() && v.abs() > f32::from(half::f16::MAX);
        if stored.dtype == DType::F16 && stored.shape.len() == 2 && sum.iter().any(too_large) {
            return Err(AdapterError::Range {
                file: self
                    .0
                    .first()
                    .map(|part| part.file.origin().to_owned())
                    .unwrap_or_default(),
                layer: stored.name.to_owned(),
            }
            .into());
        }
        Ok(sum)
    }
}

fn scale(pair: &mut LowRank, strength: f32) {
    if strength != 1.0 {
        pair.up.values.iter_mut().for_each(|v| *v *= strength);
        if pair.dtype == DType::F16 {
            // Scaling could overflow f16.
            pair.dtype = DType::F32;
        }
    }
}

/// Joins the pairs of all files into one pair for a layer [N, K], padded with zeros to a rank that
/// kernels take. The pair has the files' element type if they agree, so scaled matrices are rounded
/// once.
fn pair_tensors(layer: &str, [n, k]: [usize; 2], pairs: &[LowRank]) -> Vec<Made> {
    let Some(first) = pairs.first() else {
        return Vec::new();
    };
    let dtype = if pairs.iter().all(|pair| pair.dtype == first.dtype) {
        first.dtype
    } else {
        DType::F32
    };
    let rank: usize = pairs.iter().map(|pair| pair.up.columns).sum();
    let rank = rank.next_multiple_of(RANK_MULTIPLE);
    let mut down: Vec<f32> = Vec::with_capacity(rank * k);
    pairs.iter().for_each(|pair| down.extend(&pair.down.values));
    down.resize(rank * k, 0.0);
    let mut up = Vec::with_capacity(n * rank);
    for row in 0..n {
        for pair in pairs {
            up.extend(pair.up.row(row));
        }
        up.resize((row + 1) * rank, 0.0);
    }
    let tensor = |matrix: &str, shape: [usize; 2], values: &[f32]| {
        let name = format!("{layer}.{matrix}");
        (name, dtype, shape.to_vec(), encode(dtype, 1.0, values))
    };
    vec![
        tensor(LOW_RANK_DOWN, [rank, k], &down),
        tensor(LOW_RANK_UP, [n, rank], &up),
    ]
}

/// Refuses a difference with another number of elements than the stored `tensor`.
fn check_difference(
    file: &LoraFile,
    layer: &str,
    name: &str,
    model: &Checkpoint,
    tensor: &str,
) -> Result<(), WeightsError> {
    let found = file.tensors.shape_of(name).unwrap_or_default();
    let expected = model.shape_of(tensor).unwrap_or_default();
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    if count(found) == count(expected) {
        return Ok(());
    }
    Err(AdapterError::Shape {
        file: file.name.clone(),
        layer: layer.to_owned(),
        found: format!("{found:?}"),
        expected: expected.to_vec(),
    }
    .into())
}
