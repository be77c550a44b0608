//! What the engine knows of an element type: one row of the table in [`dtype`](super::dtype).

/// An element type: how it lies in files and on the device, and how it is read and written.
///
/// Each type's file in `tensor/` holds its `FORMAT`; the table of `dtype.rs` lists them, and all
/// else reads the table.
#[derive(Debug)]
pub struct Format {
    /// The name that people and files write: `F32`, `F8_E4M3`, `Q4_K`.
    pub name: &'static str,
    /// Elements of a row that only exist together.
    pub block: usize,
    /// Bytes of a block in a file.
    pub size: usize,
    /// The number of the type in GGUF.
    pub gguf: Option<u32>,
    /// Whether safetensors has a type of this name whose elements are numbers by themselves.
    pub safetensors: bool,
    /// What reads it as a weight, or `None` for a type that is none.
    pub weight: Option<WeightModule>,
    /// How a matrix lies on the device.
    pub layout: Layout,
    /// Of a format whose elements are multiplied by a number beside them, one for all or one a row:
    /// the largest element, which the largest of a matrix becomes when it is written.
    pub scaled: Option<f32>,
    /// Whether it holds numbers too large or too small for f16; formats with scales do.
    pub exceeds_f16: bool,
    /// Appends the values of whole blocks. The bytes may lie at any address.
    pub read: fn(&[u8], &mut Vec<f32>),
    /// Values as blocks, zeros filling the last.
    pub write: fn(&[f32]) -> Vec<u8>,
    /// Whether models are converted to it: those are not that GGUF's own tools make by a search for
    /// which there is no room here, or that only other programs have a use for.
    pub target: bool,
    /// A bound on the size of a row's finite numbers, about as large as the largest may be.
    pub largest: fn(&[u8]) -> f32,
    /// Bits of a random word on the device that are kept, and bits that are set, so that a matrix of
    /// such words holds numbers of about 1/32 to 1/4: what benches multiply.
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

/// How a matrix [N, K] lies on the device, of which eight neighbouring rows are one piece of memory
/// (`shaders/weight.wgsl` has the reason).
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Elements as they are in the file: `[N/8][K/4][8][4]`. Convolutions and vectors can be held so,
    /// too.
    Elements,
    /// Bytes, after a scale for each row: words `[N/8][1 + K/4][8]`.
    Bytes {
        /// Whether a row holds what is no number; all of it becomes NaN, which the kernel has not.
        broken: fn(&[u8]) -> bool,
    },
    /// Blocks of words: `[N/8][K/block][words]`, and before them a word for each row's scale where
    /// the format is [`scaled`](Format::scaled).
    Blocks {
        /// Words that the blocks of eight rows take.
        words: usize,
        /// Places rows of so many blocks each, one after the other. Of eight rows' words so many
        /// stand before the blocks, and all begin as zeros.
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
