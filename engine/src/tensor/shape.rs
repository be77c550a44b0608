//! Shapes of up to six dimensions, copied like numbers.

use std::fmt;
use std::ops::Deref;

const MAX_RANK: usize = 6;

/// The extent of each dimension, outermost first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The dimensions as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of elements; saturates instead of wrapping.
    pub fn count(&self) -> usize {
        self.dims().iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The last dimension, or 1 for a scalar.
    pub fn last_dim(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The same shape with another extent of the first dimension.
    #[must_use]
    pub fn with_first(mut self, extent: usize) -> Self {
        self.dims[0] = extent;
        self
    }

    /// The product of all dimensions but the last: the rows of a channels-last tensor.
    pub fn rows(&self) -> usize {
        match self.dims().split_last() {
            Some((_, outer)) => outer.iter().fold(1, |n, &d| n.saturating_mul(d)),
            None => 1,
        }
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK) };
        let mut all = [1; MAX_RANK];
        all[..N].copy_from_slice(&dims);
        Self { dims: all, rank: N }
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}
