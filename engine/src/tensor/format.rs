//! The description of an element type: one row of the table in [`dtype`](super::dtype).

/// An element type: its layout in files and on the device, and how it is read and written.
///
/// Each type's file in `tensor/` holds its `FORMAT`; the table of `dtype.rs` lists them, and all other
/// code reads the table.
#[derive(Debug)]
pub struct Format {
    /// The name that people and files write: `F32`, `F8_E4M3`, `Q4_K`.
    pub name: &'static str,
    /// Elements of a row that are encoded together.
    pub block: usize,
    /// Bytes of a block in a file.
    pub size: usize,
    /// The number of the type in GGUF.
    pub gguf: Option<u32>,
    /// Whether safetensors has a type of this name whose elements are numbers by themselves.
    pub safetensors: bool,
    /// What reads it as a weight, or `None` for a type that is none.
    pub weight: Option<WeightModule>,
    /// The layout of a matrix on the device.
    pub layout: Layout,
    /// The largest element, for formats whose elements have a separate scale, one for all or one per row.
    /// Writing a matrix maps its largest value to this element.
    pub scaled: Option<f32>,
    /// Whether it holds numbers too large or too small for f16; formats with scales do.
    pub exceeds_f16: bool,
    /// Appends the values of whole blocks. The bytes may lie at any address.
    pub read: fn(&[u8], &mut Vec<f32>),
    /// Values as blocks, zeros filling the last.
    pub write: fn(&[f32]) -> Vec<u8>,
    /// Whether models can be converted to it. Excluded are formats that GGUF's tools encode by a long
    /// search, and those that only other programs use.
    pub target: bool,
    /// A bound on the size of a row's finite numbers, about as large as the largest may be.
    pub largest: fn(&[u8]) -> f32,
    /// The bits of a random word on the device to keep and to set, so that a matrix of such words holds
    /// numbers of about 1/32 to 1/4; for benches.
    pub noise: [u32; 2],
}

/// A module of the slot `weight`.
#[derive(Clone, Copy, Debug)]
pub struct WeightModule {
    /// Its path in `shaders/`, without the ending.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The module `shaders/NAME.wgsl`.
macro_rules! weight_module {
    ($path:literal) => {
        Some($crate::tensor::WeightModule {
            path: $path,
            text: include_str!(concat!("../../../shaders/", $path, ".wgsl")),
        })
    };
}
pub(super) use weight_module;

/// The layout of a matrix [N, K] on the device, in which eight neighbouring rows are contiguous
/// (`shaders/weight.wgsl` has the reason).
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Elements as they are in the file: `[N/8][K/4][8][4]`. Convolutions and vectors can be held so,
    /// too.
    Elements,
    /// Bytes, after a scale for each row: words `[N/8][1 + K/4][8]`.
    Bytes {
        /// Whether a row contains NaN, which the kernel cannot decode, so the whole row becomes NaN.
        broken: fn(&[u8]) -> bool,
    },
    /// Blocks of words: `[N/8][K/block][words]`, and before them a word for each row's scale where
    /// the format is [`scaled`](Format::scaled).
    Blocks {
        /// Words that the blocks of eight rows take.
        words: usize,
        /// Places rows of blocks one after the other, after the words of scales of eight rows. All words
        /// start as zeros.
        pack: fn(&[u8], Rows, &mut [u32]),
    },
}

/// Rows of blocks that are packed.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Blocks of a row.
    pub blocks: usize,
    /// Words before the blocks of eight rows.
    pub head: usize,
}
