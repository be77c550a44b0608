//! Tiles of the kernels without workgroup memory: `matmul.wgsl` and `conv3d.wgsl`.
//!
//! One invocation computes a few rows (pixels of a line) by a few columns (output channels). GPUs
//! hide their loads behind other invocations: 8 x 1 fills the registers of every one seen. A
//! processor is held by its loads. lavapipe checks the bounds of each, broadcasts what all lanes
//! read (2.3 cycles an element of x) and gathers what each lane reads for itself (21 cycles for 8
//! f32 weights, as many for 16 of 16 bits), where the multiply and add that both are loaded for
//! take one cycle. So rows share a weight, columns share an element of x, until the sums no longer
//! stay in the nearest cache.
//!
//! | lavapipe 26.1, one thread, GFLOP/s | 8 x 1 | 16 x 1 | 8 x 4 | 16 x 4 | 24 x 4 | 32 x 4 |
//! |---|---|---|---|---|---|---|
//! | matmul 384 x 1536 x 1536, f32 | 6.5 | 9.0 | 10.4 | 15.2 | 17.1 | 17.9 |
//! | the same, bf16 | 9.3 | 10.6 | 14.3 | 21.2 | 20.6 | 19.7 |
//! | conv3d 96 -> 96, 3 x 3 x 3, 1 x 64 x 64, f16 | 6.3 | | 10.5 | 12.4 | | 16.7 |
//!
//! (Two threads on two cores do twice that. The multiply-add loop of the same thread: 41. How dear
//! loads are differs among processors: two threads of one with AVX-512 come to 76 in f32 and 79 in
//! bf16 on the tiles chosen here, of 122 of their loop, 1024 x 1536 x 1536.)
//!
//! Weights in q8_0 cost no more: 22 GFLOP/s where f32 came to 21 and bf16 to 22 in the same run of
//! `kinora bench` (1024 x 1536 x 1536, lavapipe 26.1, two cores shared with other work).

use crate::record::{Caps, DeviceClass};
use crate::tensor::DType;

/// What one invocation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Rows of a product, pixels of a line.
    pub(super) rows: u32,
    /// Columns, `LANES` apart.
    pub(super) cols: u32,
}

const fn tile(rows: u32, cols: u32) -> Tile {
    Tile { rows, cols }
}

/// What one invocation of a convolution computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConvTile {
    /// Pixels of a line by output channels.
    pub(super) tile: Tile,
    /// Taps of a line that share what they load of a pixel: a divisor of the kernel's width.
    pub(super) taps: u32,
}

/// Every tile of [`for_matmul`] on a device.
pub(super) fn all_for_matmul(caps: &Caps) -> Vec<Tile> {
    match caps.class {
        DeviceClass::Software => vec![tile(1, 4), tile(8, 4), tile(16, 4), tile(32, 4)],
        _ => vec![tile(1, 1), tile(8, 1)],
    }
}

/// The tile of a product of `rows` rows with a weight.
pub(super) fn for_matmul(caps: &Caps, rows: usize, weight: DType) -> Tile {
    match (caps.class, rows, weight) {
        (DeviceClass::Software, 128.., DType::F32) => tile(32, 4),
        (DeviceClass::Software, 9.., _) => tile(16, 4),
        (DeviceClass::Software, 2.., _) => tile(8, 4),
        (DeviceClass::Software, ..) => tile(1, 4),
        (_, 2.., _) => tile(8, 1),
        _ => tile(1, 1),
    }
}

/// Every tile of [`for_conv`] on a device.
pub(super) fn all_for_conv(caps: &Caps) -> Vec<ConvTile> {
    let mut all = Vec::new();
    for width in [8, 10, 16] {
        for features in [8, 16, 32] {
            for (kw, stride) in [(1, 1), (3, 1), (3, 2)] {
                let chosen = for_conv(caps, width, features, kw, stride);
                if !all.contains(&chosen) {
                    all.push(chosen);
                }
            }
        }
    }
    all
}

/// The tile of a convolution with lines of `width` pixels, `features` output channels and a kernel
/// of `kw` taps along the line. Few pixels or channels would leave a large tile half empty, so
/// the line and the channels determine its extents. Between 16 and 20 pixels, the choice is the one that
/// wastes fewer pixels on a line of twice the length, which the next level of a decoder has; so levels
/// share a kernel, and each kernel takes a driver 10 to 30 ms to prepare. With few channels an element of
/// x serves few products, which taps that share it make up for; with more channels the weights of three
/// taps do not fit the registers:
///
/// | lavapipe 26.1, GFLOP/s (two busy cores, one sitting) | 20 x 2 | 20 x 2, 3 taps | 20 x 4 | 20 x 4, 3 taps |
/// |---|---|---|---|---|
/// | 16 -> 16 channels, lines of 80 | 9.5 to 10.1 | 15.5 to 15.7 | 6.9 | 4.6 |
/// | 32 -> 32 channels, lines of 40 | 12 to 18 | 19 to 21 | 22 | 12.6 |
/// | 96 -> 96 channels, lines of 64 | 9.4 to 10.6 | 16 to 17 | 14.5 | 8.7 |
///
/// With a stride, taps of neighbouring pixels read different pixels, so they share nothing.
pub(super) fn for_conv(
    caps: &Caps,
    width: usize,
    features: usize,
    kw: usize,
    stride: usize,
) -> ConvTile {
    match caps.class {
        DeviceClass::Software => {
            let rows = match width {
                0..=8 => 8,
                _ if (2 * width).next_multiple_of(20) <= (2 * width).next_multiple_of(16) => 20,
                _ => 16,
            };
            let (cols, shares) = match features {
                0..=8 => (1, true),
                9..=16 => (2, true),
                _ => (4, false),
            };
            ConvTile {
                tile: tile(rows, cols),
                taps: if shares && stride == 1 && kw.is_multiple_of(3) {
                    3
                } else {
                    1
                },
            }
        }
        _ => ConvTile {
            tile: tile(8, 1),
            taps: 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_listed() {
        for class in [DeviceClass::Software, DeviceClass::Discrete] {
            let caps = Caps {
                class,
                ..Caps::least()
            };
            for size in [1, 2, 8, 9, 100, 1000] {
                for dtype in [DType::F32, DType::BF16] {
                    let chosen = for_matmul(&caps, size, dtype);
                    assert!(all_for_matmul(&caps).contains(&chosen), "{size} {chosen:?}");
                }
                for (features, kw) in [(3, 3), (16, 3), (16, 1), (96, 3), (96, 5), (8, 9)] {
                    let chosen = for_conv(&caps, size, features, kw, 1);
                    assert!(all_for_conv(&caps).contains(&chosen), "{size} {chosen:?}");
                    assert!(kw.is_multiple_of(chosen.taps as usize));
                }
            }
        }
    }
}
