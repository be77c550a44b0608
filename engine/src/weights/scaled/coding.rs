//! Elements that must be decoded with other data: rotated int8, and NVFP4 with separate scales.

use crate::tensor::{DType, nvfp4};
use crate::weights::named::Tensor;

/// How a tensor's elements are kept in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::weights) enum Coding {
    /// As they are.
    #[default]
    Plain,
    /// Rows of int8 in which each group was multiplied by an orthogonal matrix H of `group` rows.
    ///
    /// H is the Kronecker power of [[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]],
    /// divided by the square root of its size; a row's numbers are those of the file times H. Sums of
    /// `group` int8 are integers that f32 holds exactly, and the root is a power of two, so only the
    /// product with the scale is rounded.
    Rotated {
        /// Numbers that are rotated together: a power of 4.
        group: usize,
        /// Numbers of a row.
        columns: usize,
    },
    /// 4-bit floats whose scales are in another tensor.
    Nvfp4(Nvfp4),
}

/// The places of an NVFP4 matrix's scales: e4m3 in tiles of 128 rows by 4 groups of 16, padded to
/// whole tiles, in the order that cuBLAS reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::weights) struct Nvfp4 {
    /// The file that holds them.
    pub(in crate::weights) shard: usize,
    /// Their first byte and the one after the last in it.
    pub(in crate::weights) place: [usize; 2],
    /// Numbers of a row.
    columns: usize,
    /// The matrix's first row, among those that the scales are of.
    first: usize,
}

/// Rows and scales a row of a tile.
const TILE: [usize; 2] = [128, 4];

impl Nvfp4 {
    /// The scales `groups` of a matrix [rows, columns], or a description of their fault.
    pub(super) fn new(groups: &Tensor, [rows, columns]: [usize; 2]) -> Result<Self, String> {
        let across = (columns / nvfp4::GROUP).next_multiple_of(TILE[1]);
        let down = rows.checked_next_multiple_of(TILE[0]);
        let expected = down.and_then(|down| down.checked_mul(across));
        let e4m3 = groups.stored.dtype == Some(DType::F8E4M3);
        if !e4m3 || expected.is_none_or(|expected| groups.elements() != expected as u64) {
            return Err(format!(
                "NVFP4 with scales {:?} in {}, expected F8_E4M3 for {rows} rows and {across} groups, in whole tiles of 128 by 4",
                groups.shape, groups.stored.name
            ));
        }
        Ok(Self {
            shard: groups.shard,
            place: [groups.start, groups.end],
            columns,
            first: 0,
        })
    }

    /// The index of the scale of a row's group.
    fn at(&self, row: usize, group: usize) -> usize {
        let across = (self.columns / nvfp4::GROUP).div_ceil(TILE[1]);
        let tile = row / TILE[0] * across + group / TILE[1];
        tile * TILE[0] * TILE[1] + row % 32 * 16 + row % TILE[0] / 32 * 4 + group % TILE[1]
    }

    /// Whole blocks of numbers and their scales.
    fn blocks(&self, numbers: &[u8], scales: &[u8]) -> Option<Vec<u8>> {
        let mut blocks = Vec::with_capacity(DType::NVFP4.bytes(numbers.len() * 2));
        for (at, row) in numbers.chunks(self.columns / 2).enumerate() {
            for (block, numbers) in row.chunks(nvfp4::BLOCK / 2).enumerate() {
                for group in [2 * block, 2 * block + 1] {
                    blocks.push(*scales.get(self.at(self.first + at, group))?);
                }
                blocks.extend_from_slice(numbers);
            }
        }
        Some(blocks)
    }
}

impl Coding {
    /// A rotation of rows of `columns` in groups, where there is one.
    pub(super) fn rotated(group: usize, columns: usize) -> Option<Self> {
        let power = group.is_power_of_two() && group.trailing_zeros().is_multiple_of(2);
        let fits = power && (4..=1 << 16).contains(&group);
        (fits && columns > 0 && columns.is_multiple_of(group))
            .then_some(Self::Rotated { group, columns })
    }

    /// The type of the elements once they are read, of those that are stored as `stored`.
    pub(in crate::weights) fn dtype(&self, stored: DType) -> DType {
        match self {
            Self::Rotated { .. } => DType::F32,
            Self::Plain | Self::Nvfp4(_) => stored,
        }
    }

    /// Bytes in the file of a row of `elements` elements stored as `stored`, if rows are separable.
    pub(in crate::weights) fn stride(&self, stored: DType, elements: usize) -> Option<usize> {
        match self {
            Self::Plain => elements
                .is_multiple_of(stored.block())
                .then(|| stored.bytes(elements)),
            Self::Rotated { columns, .. } => (elements == *columns).then_some(elements),
            Self::Nvfp4(of) => (elements == of.columns).then_some(elements / 2),
        }
    }

    /// The coding of the rows from `row` on.
    pub(in crate::weights) fn rows_from(&self, row: usize) -> Self {
        let mut coding = self.clone();
        if let Self::Nvfp4(of) = &mut coding {
            of.first += row;
        }
        coding
    }

    /// Decodes the elements to [`dtype`](Self::dtype) from their bytes and those of the other tensor;
    /// `None` for plain elements. Rotated elements include their scales.
    pub(in crate::weights) fn read(
        &self,
        bytes: &[u8],
        beside: &[u8],
        scale: &dyn Fn(usize) -> f32,
    ) -> Option<Vec<u8>> {
        match self {
            Self::Plain => None,
            Self::Nvfp4(of) => of.blocks(bytes, beside),
            Self::Rotated { group, columns } => {
                let mut read = Vec::with_capacity(bytes.len() * 4);
                // A row that claims to be long may not be there.
                let mut numbers = vec![0; (*group).min(bytes.len())];
                let root = (*group as f32).sqrt();
                for (row, bytes) in bytes.chunks(*columns).enumerate() {
                    let scale = scale(row) / root;
                    for bytes in bytes.chunks(*group) {
                        for (number, &byte) in numbers.iter_mut().zip(bytes) {
                            *number = i32::from(byte as i8);
                        }
                        rotate(&mut numbers);
                        let values = numbers.iter().map(|&number| scale * number as f32);
                        read.extend(values.flat_map(f32::to_le_bytes));
                    }
                }
                Some(read)
            }
        }
    }
}

/// Multiplies as many numbers as a power of 4 by that Kronecker power, one factor at a time.
fn rotate(numbers: &mut [i32]) {
    let mut apart = 1;
    while apart < numbers.len() {
        for part in numbers.chunks_mut(4 * apart) {
            for at in 0..apart {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| part[at + i * apart]);
                let sums = [a + b + c - d, a + b - c + d, a - b + c + d, b + c + d - a];
                for (i, sum) in sums.into_iter().enumerate() {
                    part[at + i * apart] = sum;
                }
            }
        }
        apart *= 4;
    }
}
