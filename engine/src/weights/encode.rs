//! Converts elements to another type, for `--quantize` and `kinora convert`.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{available_parallelism, scope};

use super::TensorView;
use crate::tensor::DType;

/// About how many elements are f32 at a time, in each thread.
const PIECE: usize = 1 << 20;

impl<'a> TensorView<'a> {
    /// Converts the tensor to elements of `dtype`, each rounded to the nearest (formats in blocks round
    /// as their modules in [`tensor`](crate::tensor) describe). A type with scales gets a single scale that
    /// maps the largest finite element to the format's largest; NaN stays NaN.
    ///
    /// `None` if rows are not a whole number of the type's blocks, and for `U32`.
    #[must_use]
    pub fn quantized(&self, dtype: DType) -> Option<TensorView<'a>> {
        let row = self.shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(dtype.block()) || dtype == DType::U32 {
            return None;
        }
        if dtype == self.dtype {
            return Some(self.clone());
        }
        let mut scales = Vec::new();
        if let Some(most) = dtype.format().scaled {
            let largest = self.pieces(&|values| {
                let finite = values.iter().filter(|value| value.is_finite());
                finite.fold(0.0, |most: f32, value| most.max(value.abs()))
            });
            let largest = largest.into_iter().fold(0.0, f32::max);
            // Zeros have any scale.
            scales.push(if largest > 0.0 { largest / most } else { 1.0 });
        }
        let scale = scales.first().copied().unwrap_or(1.0);
        let bytes = self.pieces(&|values| encode(dtype, scale, values)).concat();
        Some(TensorView {
            scales,
            ..TensorView::new(self.name, dtype, self.shape, bytes)
        })
    }

    /// Applies `each` to all elements as f32, some whole rows at a time, on as many threads as the host
    /// has cores; results are in the elements' order.
    pub(super) fn pieces<T: Send>(&self, each: &(dyn Fn(&[f32]) -> T + Sync)) -> Vec<T> {
        let row = match self.scales.len() {
            0 | 1 => self.shape.last().copied().unwrap_or(1),
            // Each index of the first dimension has its own scale.
            rows => self.len() / rows,
        };
        let row = row.max(1);
        let rows = (PIECE / row).max(1);
        let piece = |(number, bytes): (usize, &[u8])| {
            let mut values = Vec::with_capacity((rows * row).min(self.len()));
            (self.dtype.format().read)(bytes, &mut values);
            for (at, row) in values.chunks_mut(row).enumerate() {
                let scale = self.scale(number * rows + at);
                if scale != 1.0 {
                    row.iter_mut().for_each(|value| *value *= scale);
                }
            }
            each(&values)
        };
        let pieces = self.bytes.chunks(self.dtype.bytes(rows * row).max(1));
        let pieces: Vec<(usize, &[u8])> = pieces.enumerate().collect();
        let cores = available_parallelism().map_or(1, NonZero::get);
        let share = pieces.len().div_ceil(cores).max(1);
        if pieces.len() < 2 {
            return pieces.into_iter().map(piece).collect();
        }
        let piece = &piece;
        scope(|scope| {
            let shares = pieces.chunks(share);
            let threads: Vec<_> = shares
                .map(|share| scope.spawn(move || share.iter().copied().map(piece).collect()))
                .collect();
            let joined = threads.into_iter().flat_map(|thread| {
                let done: Vec<T> = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                done
            });
            joined.collect()
        })
    }
}

/// Encodes values as elements of `dtype`, divided by `scale` if the type has scales.
pub(crate) fn encode(dtype: DType, scale: f32, values: &[f32]) -> Vec<u8> {
    let write = dtype.format().write;
    if scale == 1.0 {
        return write(values);
    }
    let scaled: Vec<f32> = values.iter().map(|value| value / scale).collect();
    write(&scaled)
}
