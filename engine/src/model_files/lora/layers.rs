//! What files come to together, layer by layer.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{LoraFile, Role};
use crate::error::{AdapterError, WeightsError};
use crate::tensor::DType;
use crate::weights::{Checkpoint, LOW_RANK_DOWN, LOW_RANK_UP, Overlay, narrow};

/// A tensor for [`Overlay::new`].
type Made = (String, DType, Vec<usize>, Vec<u8>);

/// Two matrices of one file for one layer, in f32.
struct LowRank {
    rank: usize,
    /// [R, K]
    down: Vec<f32>,
    /// [N, R], scaled
    up: Vec<f32>,
    /// What both are stored in.
    dtype: DType,
}

/// Everything that the files change in `model`.
pub(super) fn overlay(files: &[LoraFile], model: &Checkpoint) -> Result<Overlay, WeightsError> {
    let layers: BTreeSet<&String> = files.iter().flat_map(|file| file.layers.keys()).collect();
    let mut made = Vec::new();
    for layer in layers {
        let weight = format!("{layer}.weight");
        // A table of modulation is a tensor by its own name.
        let weight = match model.contains(&weight) {
            true => weight,
            false => layer.clone(),
        };
        let shape = model.shape_of(&weight).unwrap_or_default().to_vec();
        let mut low = Vec::new();
        let mut differences: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for file in files {
            let Some(roles) = file.layers.get(layer) else {
                continue;
            };
            let pair = low_rank(file, layer, roles, &shape)?;
            let trained = match &pair {
                Some(pair) => file.scale(layer, roles, pair.rank)?,
                None => file.strength,
            };
            low.extend(pair);
            let bias = format!("{layer}.bias");
            for (role, tensor, scale) in [
                (Role::Weight, &weight, file.strength),
                (Role::Bias, &bias, file.strength),
                (Role::UpBias, &bias, trained),
            ] {
                if let Some(name) = roles.get(&role) {
                    let mut change = difference(file, layer, name, model, tensor)?;
                    change.iter_mut().for_each(|v| *v *= scale);
                    add(differences.entry(tensor.clone()).or_default(), &change);
                }
            }
        }
        match *shape {
            [n, k] => made.extend(low_rank_tensors(layer, [n, k], &low)),
            // A convolution, of the patches, is small: its change is made whole.
            _ => {
                for pair in &low {
                    let change = pair.product(&shape);
                    add(differences.entry(weight.clone()).or_default(), &change);
                }
            }
        }
        for (tensor, change) in differences {
            let stored = model.get_any(&tensor)?;
            let mut values = stored.to_f32();
            add(&mut values, &change);
            let shape = stored.shape.to_vec();
            made.push((tensor, DType::F32, shape, narrow(DType::F32, 1.0, &values)));
        }
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    Ok(Overlay::new(&names.join(", "), made))
}

/// `sum += change`, where nothing is all zeros.
fn add(sum: &mut Vec<f32>, change: &[f32]) {
    if sum.is_empty() {
        sum.extend_from_slice(change);
    } else {
        sum.iter_mut().zip(change).for_each(|(sum, v)| *sum += v);
    }
}

/// The two matrices of a file for a layer of `shape` [N, K…], where it has them.
fn low_rank(
    file: &LoraFile,
    layer: &str,
    roles: &BTreeMap<Role, String>,
    shape: &[usize],
) -> Result<Option<LowRank>, WeightsError> {
    let (down, up) = match (roles.get(&Role::Down), roles.get(&Role::Up)) {
        (None, None) => return Ok(None),
        (Some(down), Some(up)) => (file.tensors.get_any(down)?, file.tensors.get_any(up)?),
        _ => {
            let (file, layer) = (file.name.clone(), layer.to_owned());
            return Err(AdapterError::Incomplete { file, layer }.into());
        }
    };
    let rank = down.shape.first().copied().unwrap_or(0);
    let n = shape.first().copied().unwrap_or(0);
    let k: usize = shape.iter().skip(1).product();
    let fits = rank > 0
        && down.shape.iter().skip(1).product::<usize>() == k
        && up.shape.first() == Some(&n)
        && up.shape.iter().skip(1).product::<usize>() == rank;
    if !fits {
        return Err(AdapterError::Shape {
            file: file.name.clone(),
            layer: layer.to_owned(),
            found: format!("{:?} and {:?}", down.shape, up.shape),
            expected: shape.to_vec(),
        }
        .into());
    }
    let scale = file.scale(layer, roles, rank)?;
    let mut scaled = up.to_f32();
    scaled.iter_mut().for_each(|v| *v *= scale);
    Ok(Some(LowRank {
        rank,
        down: down.to_f32(),
        up: scaled,
        dtype: match up.dtype {
            DType::BF16 if up.dtype == down.dtype => up.dtype,
            // A scale may take numbers out of the range of f16.
            DType::F16 if up.dtype == down.dtype && scale == 1.0 => up.dtype,
            _ => DType::F32,
        },
    }))
}

impl LowRank {
    /// `up down`, of as many elements as `shape` has.
    fn product(&self, shape: &[usize]) -> Vec<f32> {
        let k: usize = shape.iter().skip(1).product();
        let rows = self.up.chunks(self.rank);
        let row = |up: &[f32]| {
            let mut sum = vec![0.0_f64; k];
            for (up, down) in up.iter().zip(self.down.chunks(k.max(1))) {
                let terms = down.iter().map(|&v| f64::from(*up) * f64::from(v));
                sum.iter_mut().zip(terms).for_each(|(sum, v)| *sum += v);
            }
            sum
        };
        rows.flat_map(row).map(|v| v as f32).collect()
    }
}

/// One pair of matrices for a layer [N, K]: those of all files beside each other, and zeros up to a
/// rank that kernels take. Stored as the files do where they agree; scaled matrices are then rounded
/// once.
fn low_rank_tensors(layer: &str, [n, k]: [usize; 2], low: &[LowRank]) -> Vec<Made> {
    let Some(first) = low.first() else {
        return Vec::new();
    };
    let dtype = match low.iter().all(|pair| pair.dtype == first.dtype) {
        true => first.dtype,
        false => DType::F32,
    };
    let rank: usize = low.iter().map(|pair| pair.rank).sum();
    let rank = rank.next_multiple_of(RANK_MULTIPLE);
    let mut down: Vec<f32> = Vec::with_capacity(rank * k);
    low.iter().for_each(|pair| down.extend(&pair.down));
    down.resize(rank * k, 0.0);
    let mut up = Vec::with_capacity(n * rank);
    for row in 0..n {
        for pair in low {
            up.extend(&pair.up[row * pair.rank..(row + 1) * pair.rank]);
        }
        up.resize((row + 1) * rank, 0.0);
    }
    let name = |matrix: &str| format!("{layer}.{matrix}");
    vec![
        (
            name(LOW_RANK_DOWN),
            dtype,
            vec![rank, k],
            narrow(dtype, 1.0, &down),
        ),
        (
            name(LOW_RANK_UP),
            dtype,
            vec![n, rank],
            narrow(dtype, 1.0, &up),
        ),
    ]
}

/// Kernels read four columns at a time, those on cooperative matrices more.
const RANK_MULTIPLE: usize = 8;

/// What a file adds to the stored `tensor`, before it is scaled.
fn difference(
    file: &LoraFile,
    layer: &str,
    name: &str,
    model: &Checkpoint,
    tensor: &str,
) -> Result<Vec<f32>, WeightsError> {
    let change = file.tensors.get_any(name)?;
    let expected = model.shape_of(tensor).unwrap_or_default();
    if change.len() != expected.iter().product::<usize>() {
        return Err(AdapterError::Shape {
            file: file.name.clone(),
            layer: layer.to_owned(),
            found: format!("{:?}", change.shape),
            expected: expected.to_vec(),
        }
        .into());
    }
    Ok(change.to_f32())
}
