//! Elements in another type: what `--quantize` and `kinora convert` make.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{available_parallelism, scope};

use half::{bf16, f16};

use super::TensorView;
use super::view::widen;
use crate::tensor::{DType, f8_e4m3, q4_0, q4_k, q5_k, q6_k, q8_0};

/// About how many elements are f32 at a time, in each thread.
const PIECE: usize = 1 << 20;

impl<'a> TensorView<'a> {
    /// The same tensor in elements of `dtype`, each rounded to the nearest (in blocks as the modules
    /// of [`tensor`](crate::tensor) say). `F8E4M3` gets one scale for all, by which the largest
    /// finite element becomes the format's largest; what is no number becomes NaN.
    ///
    /// `None` where rows are no whole number of the type's blocks, and for `U32`.
    #[must_use]
    pub fn narrowed(&self, dtype: DType) -> Option<TensorView<'a>> {
        let row = self.shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(dtype.block()) || dtype == DType::U32 {
            return None;
        }
        if dtype == self.dtype {
            return Some(self.clone());
        }
        let mut scales = Vec::new();
        if dtype == DType::F8E4M3 {
            let largest = self.pieces(&|values| {
                let finite = values.iter().filter(|value| value.is_finite());
                finite.fold(0.0, |most: f32, value| most.max(value.abs()))
            });
            let largest = largest.into_iter().fold(0.0, f32::max);
            // Zeros have any scale.
            scales.push(if largest > 0.0 {
                largest / f8_e4m3::MAX
            } else {
                1.0
            });
        }
        let scale = scales.first().copied().unwrap_or(1.0);
        let bytes = self.pieces(&|values| narrow(dtype, scale, values)).concat();
        Some(TensorView {
            scales,
            ..TensorView::new(self.name, dtype, self.shape, bytes)
        })
    }

    /// What `each` makes of all elements as f32, some whole rows at a time, in their order; on as
    /// many threads as the host has cores.
    pub(super) fn pieces<T: Send>(&self, each: &(dyn Fn(&[f32]) -> T + Sync)) -> Vec<T> {
        let row = match self.scales.len() {
            0 | 1 => self.shape.last().copied().unwrap_or(1),
            // What the first dimension counts has one scale.
            rows => self.len() / rows,
        };
        let row = row.max(1);
        let rows = (PIECE / row).max(1);
        let piece = |(number, bytes): (usize, &[u8])| {
            let mut values = Vec::with_capacity((rows * row).min(self.len()));
            widen(self.dtype, bytes, &mut values);
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

/// Values as elements of `dtype`, 8-bit floats to be multiplied by `scale`.
pub(crate) fn narrow(dtype: DType, scale: f32, values: &[f32]) -> Vec<u8> {
    match dtype {
        DType::F32 | DType::U32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F16 => {
            let halves = values.iter().map(|&value| f16::from_f32(value));
            halves.flat_map(f16::to_le_bytes).collect()
        }
        DType::BF16 => {
            let halves = values.iter().map(|&value| bf16::from_f32(value));
            halves.flat_map(bf16::to_le_bytes).collect()
        }
        DType::F8E4M3 => {
            let scaled = values.iter().map(|value| value / scale);
            scaled.map(f8_e4m3::from_f32).collect()
        }
        DType::Q8_0 => q8_0::quantize(values),
        DType::Q4_0 => q4_0::quantize(values),
        DType::Q4_K => q4_k::quantize(values),
        DType::Q5_K => q5_k::quantize(values),
        DType::Q6_K => q6_k::quantize(values),
    }
}
