//! The factors of one layer's change, and the change computed from them.
//!
//! | method | change of a weight [N, K] |
//! |---|---|
//! | LoRA | `s up down` |
//! | LoHa (Yeh et al. 2023) | `s (w1_a w1_b) ∘ (w2_a w2_b)` |
//! | LoKr (Yeh et al. 2023) | `s kron(w1, w2)`, either may be a product `w_a w_b`; s = 1 where neither is |
//! | DoRA (Liu et al. 2024) | `m (W + d) / |W + d| - W` with one of the above as d, by rows or columns |
//!
//! Reference: `peft/tuners/lora/dora.py`; `loha.py`, `lokr.py` and `locon.py` of lycoris_lora.

use std::sync::Arc;

use super::file::{LoraFile, Roles};
use super::matrix::{Axis, Matrix, decompose, identity, pairs};
use super::roles::Role;
use crate::error::{AdapterError, WeightsError};
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// The method that combines a layer's factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    LowRank,
    Hadamard,
    Kronecker,
}

impl Method {
    /// The method that a tensor of this role belongs to.
    fn of_role(role: Role) -> Option<Self> {
        Some(match role {
            Role::Down | Role::Up => Self::LowRank,
            Role::Hadamard1A | Role::Hadamard1B | Role::Hadamard2A | Role::Hadamard2B => {
                Self::Hadamard
            }
            Role::Kronecker1
            | Role::Kronecker1A
            | Role::Kronecker1B
            | Role::Kronecker2
            | Role::Kronecker2A
            | Role::Kronecker2B => Self::Kronecker,
            Role::Alpha | Role::Magnitude | Role::Weight | Role::Bias | Role::UpBias => {
                return None;
            }
        })
    }

    /// The method of a layer's tensors; `None` if they are only differences.
    pub(super) fn of(roles: &Roles) -> Option<Self> {
        roles.keys().find_map(|&role| Self::of_role(role))
    }

    pub(super) fn name(self, magnitude: bool) -> &'static str {
        match (self, magnitude) {
            (Self::LowRank, false) => "LoRA",
            (Self::LowRank, true) => "DoRA",
            (Self::Hadamard, false) => "LoHa",
            (Self::Hadamard, true) => "LoHa with DoRA's magnitudes",
            (Self::Kronecker, false) => "LoKr",
            (Self::Kronecker, true) => "LoKr with DoRA's magnitudes",
        }
    }
}

/// The factors of one layer of a file. Values are read on use, so that a large file is not held in
/// memory.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    file: String,
    layer: String,
    tensors: Arc<Checkpoint>,
    pub(super) roles: Roles,
    pub(super) method: Option<Method>,
    /// Shape of the layer's weight.
    shape: Vec<usize>,
    /// Rank of the change; for LoKr and LoHa the largest rank of a factor.
    pub(super) rank: usize,
    /// Scale of the change as it was trained.
    pub(super) scale: f32,
}

/// Two matrices of one file for one layer.
#[derive(Debug)]
pub(super) struct LowRank {
    /// [R, K]
    pub(super) down: Matrix,
    /// [N, R], scaled
    pub(super) up: Matrix,
    /// Element type of both when stored.
    pub(super) dtype: DType,
}

impl Factors {
    /// The factors of `layer`, whose weight has `shape`. Only the file's header is read, and the alpha
    /// if there is one.
    ///
    /// # Errors
    /// [`AdapterError::Incomplete`] and [`AdapterError::Shape`].
    pub(super) fn new(
        file: &LoraFile,
        layer: &str,
        roles: &Roles,
        shape: &[usize],
    ) -> Result<Self, WeightsError> {
        let mut this = Self {
            file: file.name.clone(),
            layer: layer.to_owned(),
            tensors: file.tensors.clone(),
            roles: roles.clone(),
            method: Method::of(roles),
            shape: shape.to_vec(),
            rank: 0,
            scale: 1.0,
        };
        this.check_roles()?;
        let columns = shape.iter().skip(1).product();
        let [n, k] = [shape.first().copied().unwrap_or(1), columns];
        let expected = match this.method {
            None => return Ok(this),
            Some(Method::LowRank) => {
                let ([n, rank], [inner, k]) = (this.head(Role::Up)?, this.head(Role::Down)?);
                this.rank = rank;
                (rank == inner).then_some([n, k])
            }
            Some(Method::Hadamard) => {
                let first = this.product_head(Role::Hadamard1A, Role::Hadamard1B)?;
                let second = this.product_head(Role::Hadamard2A, Role::Hadamard2B)?;
                first.filter(|_| first == second)
            }
            Some(Method::Kronecker) => {
                let [first, second] = [
                    [Role::Kronecker1, Role::Kronecker1A, Role::Kronecker1B],
                    [Role::Kronecker2, Role::Kronecker2A, Role::Kronecker2B],
                ]
                .map(|[whole, a, b]| {
                    if this.has(whole) {
                        this.head(whole).map(Some)
                    } else {
                        this.product_head(a, b)
                    }
                });
                let pair = first?.zip(second?);
                pair.map(|([a, b], [c, d])| [a.saturating_mul(c), b.saturating_mul(d)])
            }
        };
        if expected != Some([n, k]) || n * k == 0 || this.magnitudes_of().is_none() {
            return Err(this.misshapen(shape));
        }
        this.rank = this.ranks().into_iter().max().unwrap_or(0);
        if this.rank > 0 {
            this.scale = file.scale(layer, roles, this.rank)?;
        }
        Ok(this)
    }

    /// Refuses factors of two methods, and tensors that need factors if there are none.
    fn check_roles(&self) -> Result<(), WeightsError> {
        let twice = |first: &str, second: &str| AdapterError::Twice {
            file: self.file.clone(),
            layer: self.layer.clone(),
            first: first.to_owned(),
            second: second.to_owned(),
        };
        let mut factors = self.roles.iter().filter_map(|(role, name)| {
            let method = Method::of_role(*role)?;
            Some((method, name))
        });
        if let Some((method, first)) = factors.next() {
            if let Some((_, second)) = factors.find(|(other, _)| *other != method) {
                return Err(twice(first, second).into());
            }
        } else if [Role::Alpha, Role::Magnitude, Role::UpBias]
            .iter()
            .any(|role| self.has(*role))
        {
            self.name_of(Role::Down)?;
        }
        for (whole, factor) in [
            (Role::Kronecker1, Role::Kronecker1A),
            (Role::Kronecker2, Role::Kronecker2A),
        ] {
            if let (Some(first), Some(second)) = (self.roles.get(&whole), self.roles.get(&factor)) {
                return Err(twice(first, second).into());
            }
        }
        Ok(())
    }

    fn has(&self, role: Role) -> bool {
        self.roles.contains_key(&role)
    }

    /// [rows, columns] of a factor, without reading it.
    fn head(&self, role: Role) -> Result<[usize; 2], WeightsError> {
        let name = self.name_of(role)?;
        let shape = self.tensors.shape_of(name).unwrap_or_default();
        let rows = shape.first().copied().unwrap_or(1);
        Ok([rows, shape.iter().skip(1).product()])
    }

    /// [rows, columns] of a product; `None` if the inner dimensions differ.
    fn product_head(&self, a: Role, b: Role) -> Result<Option<[usize; 2]>, WeightsError> {
        let ([rows, rank], [inner, columns]) = (self.head(a)?, self.head(b)?);
        Ok((rank == inner).then_some([rows, columns]))
    }

    /// The rank of each factored matrix.
    fn ranks(&self) -> Vec<usize> {
        let downs = [
            Role::Down,
            Role::Hadamard1B,
            Role::Hadamard2B,
            Role::Kronecker1B,
            Role::Kronecker2B,
        ];
        let heads = downs.into_iter().filter(|role| self.has(*role));
        heads
            .filter_map(|role| Some(self.head(role).ok()?[0]))
            .collect()
    }

    fn name_of(&self, role: Role) -> Result<&str, WeightsError> {
        let name = self.roles.get(&role).map(String::as_str);
        name.ok_or_else(|| {
            let (file, layer) = (self.file.clone(), self.layer.clone());
            AdapterError::Incomplete { file, layer }.into()
        })
    }

    fn read(&self, role: Role) -> Result<Matrix, WeightsError> {
        let [_, columns] = self.head(role)?;
        let values = self.tensors.get_any(self.name_of(role)?)?.to_f32();
        Ok(Matrix { columns, values })
    }

    fn misshapen(&self, expected: &[usize]) -> WeightsError {
        let shapes = self.roles.iter().filter(|(role, _)| **role != Role::Alpha);
        let shapes = shapes.filter_map(|(_, name)| self.tensors.shape_of(name));
        let shapes: Vec<String> = shapes.map(|shape| format!("{shape:?}")).collect();
        AdapterError::Shape {
            file: self.file.clone(),
            layer: self.layer.clone(),
            found: shapes.join(" and "),
            expected: expected.to_vec(),
        }
        .into()
    }

    /// The change as two matrices beside the weight; `None` if their rank would be too large. With two
    /// matrices nothing is merged, and a quantised base keeps its elements.
    ///
    /// # Errors
    /// Factors that cannot be read.
    pub(super) fn low_rank(&self) -> Result<Option<LowRank>, WeightsError> {
        if self.has(Role::Magnitude) {
            return Ok(None);
        }
        let columns: usize = self.shape.iter().skip(1).product();
        let smaller = columns.min(self.shape.first().copied().unwrap_or(0));
        let small = |rank: usize| rank <= smaller / 8;
        let (up, down) = match self.method {
            None => return Ok(None),
            Some(Method::LowRank) => (self.read(Role::Up)?, self.read(Role::Down)?),
            Some(Method::Hadamard) => {
                if !small(self.ranks().iter().product()) {
                    return Ok(None);
                }
                // Row by row the products of all pairs, and column by column.
                let [a, b] = [Role::Hadamard1A, Role::Hadamard2A].map(|role| self.read(role));
                let [c, d] = [Role::Hadamard1B, Role::Hadamard2B].map(|role| self.read(role));
                let up = pairs(&a?, &b?);
                (up, pairs(&c?.transposed(), &d?.transposed()).transposed())
            }
            Some(Method::Kronecker) if !self.has(Role::Kronecker2) => {
                let (c, d) = (Role::Kronecker2A, Role::Kronecker2B);
                let first = if self.has(Role::Kronecker1) {
                    let [_, columns] = self.head(Role::Kronecker1)?;
                    let whole = small(columns * self.head(d)?[0]);
                    whole.then(|| Ok((self.read(Role::Kronecker1)?, identity(columns))))
                } else {
                    let (a, b) = (Role::Kronecker1A, Role::Kronecker1B);
                    let whole = small(self.head(b)?[0] * self.head(d)?[0]);
                    whole.then(|| Ok((self.read(a)?, self.read(b)?)))
                };
                let Some(first) = first else {
                    return Ok(None);
                };
                let (a, b): (Matrix, Matrix) = first.map_err(|error: WeightsError| error)?;
                (a.kron(&self.read(c)?), b.kron(&self.read(d)?))
            }
            Some(Method::Kronecker) => return Ok(None),
        };
        Ok(Some(LowRank {
            dtype: self.pair_dtype(),
            up: up.scaled(self.scale),
            down,
        }))
    }

    /// The element type of a pair: the file's own if that loses nothing.
    fn pair_dtype(&self) -> DType {
        let [down, up] = [Role::Down, Role::Up].map(|role| {
            let name = self.roles.get(&role);
            name.and_then(|name| self.tensors.dtype_of(name))
        });
        match up {
            Some(DType::BF16) if up == down => DType::BF16,
            // Scaling could overflow f16.
            Some(DType::F16) if up == down && self.scale == 1.0 => DType::F16,
            _ => DType::F32,
        }
    }

    /// The change to add to the weight `base`; both are [N, K].
    ///
    /// # Errors
    /// Factors that cannot be read.
    pub(super) fn change(&self, base: &[f32]) -> Result<Vec<f32>, WeightsError> {
        let product =
            |a, b| -> Result<Matrix, WeightsError> { Ok(self.read(a)?.times(&self.read(b)?)) };
        let mut change = match self.method {
            None => vec![0.0; base.len()],
            Some(Method::LowRank) => product(Role::Up, Role::Down)?.scaled(self.scale).values,
            Some(Method::Hadamard) => {
                let mut first = product(Role::Hadamard1A, Role::Hadamard1B)?;
                let second = product(Role::Hadamard2A, Role::Hadamard2B)?;
                let both = first.values.iter_mut().zip(&second.values);
                both.for_each(|(first, second)| *first *= second);
                first.scaled(self.scale).values
            }
            Some(Method::Kronecker) => {
                let either = |whole, a, b| {
                    if self.has(whole) {
                        self.read(whole)
                    } else {
                        product(a, b)
                    }
                };
                let first = either(Role::Kronecker1, Role::Kronecker1A, Role::Kronecker1B)?;
                let second = either(Role::Kronecker2, Role::Kronecker2A, Role::Kronecker2B)?;
                first.scaled(self.scale).kron(&second).values
            }
        };
        if self.method.is_some() && self.has(Role::Magnitude) {
            let magnitudes = self.read(Role::Magnitude)?.values;
            let axis = self.magnitudes_of().unwrap_or(Axis::Rows);
            decompose(base, &mut change, &magnitudes, axis, &self.shape);
        }
        Ok(change)
    }

    /// The axis of DoRA's magnitudes: `None` if they fit neither, rows if there are none.
    fn magnitudes_of(&self) -> Option<Axis> {
        let Some(name) = self.roles.get(&Role::Magnitude) else {
            return Some(Axis::Rows);
        };
        let [n, c] = [0, 1].map(|axis| self.shape.get(axis).copied().unwrap_or(1));
        let shape = self.tensors.shape_of(name).unwrap_or_default();
        let ones = |rest: &[usize]| rest.iter().all(|&extent| extent == 1);
        match shape {
            [rows, rest @ ..] if *rows == n && ones(rest) => Some(Axis::Rows),
            [1, columns, rest @ ..] if *columns == c && ones(rest) => Some(Axis::Columns),
            _ => None,
        }
    }
}
