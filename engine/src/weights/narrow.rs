//! Elements in another type: what `--quantize` and `kinora convert` make.

use half::{bf16, f16};

use super::TensorView;
use super::view::widen;
use crate::tensor::{DType, f8_e4m3, q4_0, q4_k, q5_k, q6_k, q8_0};

/// About how many elements are f32 at a time.
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
        let mut bytes = Vec::with_capacity(dtype.bytes(self.len()));
        let mut scales = Vec::new();
        let mut scale = 1.0;
        if dtype == DType::F8E4M3 {
            let mut largest = 0.0_f32;
            self.pieces(&mut |values| {
                let finite = values.iter().filter(|value| value.is_finite());
                largest = finite.fold(largest, |most, value| most.max(value.abs()));
            });
            // A power of two would cost up to a bit; zeros have any scale.
            scale = if largest > 0.0 {
                largest / f8_e4m3::MAX
            } else {
                1.0
            };
            scales.push(scale);
        }
        self.pieces(&mut |values| match dtype {
            DType::F32 | DType::U32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            DType::F16 => {
                let halves = values.iter().map(|&value| f16::from_f32(value));
                bytes.extend(halves.flat_map(f16::to_le_bytes));
            }
            DType::BF16 => {
                let halves = values.iter().map(|&value| bf16::from_f32(value));
                bytes.extend(halves.flat_map(bf16::to_le_bytes));
            }
            DType::F8E4M3 => {
                bytes.extend(values.iter().map(|value| f8_e4m3::from_f32(value / scale)));
            }
            DType::Q8_0 => bytes.extend(q8_0::quantize(values)),
            DType::Q4_0 => bytes.extend(q4_0::quantize(values)),
            DType::Q4_K => bytes.extend(q4_k::quantize(values)),
            DType::Q5_K => bytes.extend(q5_k::quantize(values)),
            DType::Q6_K => bytes.extend(q6_k::quantize(values)),
        });
        Some(TensorView {
            scales,
            ..TensorView::new(self.name, dtype, self.shape, bytes)
        })
    }

    /// All elements as f32, some whole rows at a time.
    pub(super) fn pieces(&self, each: &mut dyn FnMut(&[f32])) {
        let row = self.shape.last().copied().unwrap_or(1).max(1);
        // What the first dimension counts has one scale.
        let scaled = self.len() / self.shape.first().copied().unwrap_or(1).max(1);
        let row = if self.scales.len() > 1 {
            scaled.max(1)
        } else {
            row
        };
        let rows = (PIECE / row).max(1);
        let mut values = Vec::with_capacity((rows * row).min(self.len()));
        let bytes = self.bytes.chunks(self.dtype.bytes(rows * row).max(1));
        for (piece, bytes) in bytes.enumerate() {
            values.clear();
            widen(self.dtype, bytes, &mut values);
            for (at, row) in values.chunks_mut(row).enumerate() {
                let scale = self.scale(piece * rows + at);
                if scale != 1.0 {
                    row.iter_mut().for_each(|value| *value *= scale);
                }
            }
            each(&values);
        }
    }
}
