//! The matrix products that a change needs, on the host.

use std::num::NonZero;
use std::thread::{available_parallelism, scope};

/// A matrix in f32. Dimensions beyond the second are folded into the columns.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    pub(super) columns: usize,
    pub(super) values: Vec<f32>,
}

impl Matrix {
    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let start = row * self.columns;
        self.values
            .get(start..start + self.columns)
            .unwrap_or_default()
    }

    /// `self other`, in f32.
    pub(super) fn times(&self, other: &Self) -> Self {
        let columns = other.columns;
        let values = by_rows(self.rows(), columns, &|row, out| {
            for (at, factor) in self.row(row).iter().enumerate() {
                let terms = other.row(at).iter().map(|value| factor * value);
                out.iter_mut()
                    .zip(terms)
                    .for_each(|(out, term)| *out += term);
            }
        });
        Self { columns, values }
    }

    /// `kron(self, other)`
    pub(super) fn kron(&self, other: &Self) -> Self {
        let columns = self.columns * other.columns;
        let values = by_rows(self.rows() * other.rows(), columns, &|row, out| {
            let (outer, inner) = (self.row(row / other.rows()), other.row(row % other.rows()));
            let parts = out.chunks_mut(other.columns.max(1));
            for (part, factor) in parts.zip(outer) {
                part.iter_mut()
                    .zip(inner)
                    .for_each(|(out, v)| *out = factor * v);
            }
        });
        Self { columns, values }
    }

    pub(super) fn transposed(&self) -> Self {
        let rows = self.rows();
        let values = (0..self.columns).flat_map(|column| {
            let column = (0..rows).map(move |row| self.row(row).get(column).copied());
            column.map(Option::unwrap_or_default)
        });
        Self {
            values: values.collect(),
            columns: rows,
        }
    }

    pub(super) fn scaled(mut self, scale: f32) -> Self {
        if scale != 1.0 {
            self.values.iter_mut().for_each(|v| *v *= scale);
        }
        self
    }
}

/// Makes a matrix [rows, columns] by calling `fill` for each row, on all cores of the host.
fn by_rows(rows: usize, columns: usize, fill: &(dyn Fn(usize, &mut [f32]) + Sync)) -> Vec<f32> {
    let mut values = vec![0.0; rows * columns];
    let cores = available_parallelism().map_or(1, NonZero::get);
    let share = rows.div_ceil(cores).max(1);
    let all = |first: usize, values: &mut [f32]| {
        for (at, row) in values.chunks_mut(columns.max(1)).enumerate() {
            fill(first + at, row);
        }
    };
    // Below this many elements, starting a thread costs more than it saves.
    if values.len() < 1 << 16 {
        all(0, &mut values);
        return values;
    }
    scope(|scope| {
        for (at, share_of) in values.chunks_mut(share * columns.max(1)).enumerate() {
            scope.spawn(move || all(at * share, share_of));
        }
    });
    values
}

/// The axis along which DoRA measures lengths: the rows of [N, K], or its columns (in a convolution,
/// its input channels).
#[derive(Clone, Copy, Debug)]
pub(super) enum Axis {
    Rows,
    Columns,
}

/// `change = m (base + change) / |base + change| - base`
pub(super) fn decompose(
    base: &[f32],
    change: &mut [f32],
    magnitudes: &[f32],
    axis: Axis,
    shape: &[usize],
) {
    let [n, c] = [0, 1].map(|axis| shape.get(axis).copied().unwrap_or(1));
    let area: usize = shape.iter().skip(2).product();
    let [k, area] = [(c * area).max(1), area.max(1)];
    // What the number at this row and column is a part of.
    let of = |row: usize, column: usize| match axis {
        Axis::Rows => row,
        Axis::Columns => column / area,
    };
    let count = if matches!(axis, Axis::Rows) { n } else { c };
    let mut squares = vec![0.0_f64; count];
    let rows = base.chunks(k).zip(change.chunks(k)).enumerate();
    for (row, (base, change)) in rows {
        for (column, (base, change)) in base.iter().zip(change).enumerate() {
            if let Some(sum) = squares.get_mut(of(row, column)) {
                *sum += f64::from(base + change).powi(2);
            }
        }
    }
    // A row of zeros stays one.
    let length = |sum: &f64| (sum.sqrt() as f32).max(f32::EPSILON);
    let factors = squares.iter().zip(magnitudes);
    let factors: Vec<f32> = factors
        .map(|(sum, magnitude)| magnitude / length(sum))
        .collect();
    let rows = base.chunks(k).zip(change.chunks_mut(k)).enumerate();
    for (row, (base, change)) in rows {
        for (column, (base, change)) in base.iter().zip(change).enumerate() {
            let factor = factors.get(of(row, column)).copied().unwrap_or(1.0);
            *change = (base + *change) * factor - base;
        }
    }
}

/// For each row, the products of all pairs of one value of `a` and one of `b`.
pub(super) fn pairs(a: &Matrix, b: &Matrix) -> Matrix {
    let columns = a.columns * b.columns;
    let values = by_rows(a.rows(), columns, &|row, out| {
        let products = a
            .row(row)
            .iter()
            .flat_map(|a| b.row(row).iter().map(move |b| a * b));
        out.iter_mut().zip(products).for_each(|(out, v)| *out = v);
    });
    Matrix { columns, values }
}

pub(super) fn identity(size: usize) -> Matrix {
    let values = by_rows(size, size, &|row, out| {
        if let Some(diagonal) = out.get_mut(row) {
            *diagonal = 1.0;
        }
    });
    Matrix {
        columns: size,
        values,
    }
}
