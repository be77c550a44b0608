//! What can be wrong with the header of a GGUF file.

use crate::tensor::DType;

/// Why a GGUF header cannot be used. The sentence follows the file's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufFault {
    /// A version that is not read.
    #[error(
        "it is GGUF version {version}, but versions 2 and 3 are read; convert it again with a current tool"
    )]
    Version {
        /// The version found.
        version: u32,
    },
    /// A big-endian file.
    #[error("it is a big-endian GGUF file, but little-endian ones are read; convert it again")]
    BigEndian,
    /// A header that goes on beyond the end of the file.
    #[error(
        "at byte {at}, {need} bytes of {what} should follow, but only {rest} do: the file is truncated or corrupt; copy or download it again"
    )]
    Ends {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// The bytes that it needs, at least.
        need: u64,
        /// The bytes that there are.
        rest: usize,
    },
    /// More of something than any model has.
    #[error("it claims {count} {what}, but at most {limit} are read: the file is corrupt")]
    TooMany {
        /// Tensors or keys.
        what: &'static str,
        /// How many it claims to hold.
        count: usize,
        /// The most that are read.
        limit: usize,
    },
    /// Text that is not UTF-8.
    #[error("{what} at byte {at} is not UTF-8: the file is corrupt")]
    Text {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// A key that stands twice.
    #[error("the key {key} is given twice: the file is corrupt")]
    SameKey {
        /// The key.
        key: String,
    },
    /// A value of a type that the format does not have.
    #[error("the value of {key} is of type {kind}, which GGUF does not have: the file is corrupt")]
    Kind {
        /// The key.
        key: String,
        /// The type's number.
        kind: u32,
    },
    /// A value of another type than its key's.
    #[error("the value of {key} is not {expected}, as GGUF has it: the file is corrupt")]
    Value {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Lists in lists in lists.
    #[error("the value of {key} holds lists more than {limit} deep: the file is corrupt")]
    Depth {
        /// The key.
        key: String,
        /// The most that is read.
        limit: usize,
    },
    /// An invalid alignment.
    #[error(
        "general.alignment is {found}, but it must be a power of two up to 4096: the file is corrupt"
    )]
    Alignment {
        /// The value found.
        found: String,
    },
    /// A tensor of more dimensions than any model has.
    #[error(
        "tensor {tensor} has {rank} dimensions, but at most {limit} are read: the file is corrupt"
    )]
    Rank {
        /// The tensor's name.
        tensor: String,
        /// Its dimensions.
        rank: u32,
        /// The most that are read.
        limit: usize,
    },
    /// A tensor of a type whose size is not known.
    #[error(
        "tensor {tensor} is of type {number}, which is no type of GGUF that Kinora knows; take a file of the model in F16, BF16 or Q8_0"
    )]
    Element {
        /// The tensor's name.
        tensor: String,
        /// The type's number.
        number: u32,
    },
    /// A row that is not a whole number of blocks.
    #[error(
        "tensor {tensor} of shape {shape:?} is {element}, whose rows are multiples of {block}: the file is corrupt"
    )]
    Row {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        element: &'static str,
        /// The elements of a block.
        block: usize,
    },
    /// A tensor at an offset that is not aligned.
    #[error(
        "tensor {tensor} begins at {offset} of the data, which is no multiple of the alignment {alignment}: the file is corrupt"
    )]
    Offset {
        /// The tensor's name.
        tensor: String,
        /// Where it begins.
        offset: u64,
        /// What it should be a multiple of.
        alignment: usize,
    },
    /// A tensor to be written in a type that GGUF lacks.
    #[error(
        "tensor {tensor} is {dtype}, which GGUF does not have; write it as F32, F16, BF16 or one of GGUF's blocks"
    )]
    NoElement {
        /// The tensor's name.
        tensor: String,
        /// Its type.
        dtype: DType,
    },
    /// A `comfy.gguf.orig_shape` that is no shape.
    #[error(
        "comfy.gguf.orig_shape of tensor {tensor} is not a list of at most 8 extents: the file is corrupt"
    )]
    NotAShape {
        /// The tensor's name.
        tensor: String,
    },
    /// A `comfy.gguf.orig_shape` with another number of elements than the tensor.
    #[error(
        "tensor {tensor} has shape {shape:?}, but comfy.gguf.orig_shape says {original:?}, which is another number of elements: the file is corrupt"
    )]
    OriginalShape {
        /// The tensor's name.
        tensor: String,
        /// Its shape in the file.
        shape: Vec<usize>,
        /// The shape that it is said to have had.
        original: Vec<usize>,
    },
}
