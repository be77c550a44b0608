//! The files that hold tensors: each is read into a list of entries, as if it were hostile.

mod gguf;
mod safetensors;
mod torch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

pub(super) use gguf::tokenizer as gguf_tokenizer;
pub use gguf::{GgufHeader, GgufTokenizer, GgufValue};
pub use safetensors::SafetensorsHeader;

use crate::error::{WeightsError, mistaken};
use crate::tensor::DType;

/// No header is longer than this: the most that safetensors allows, 100 MB.
pub(super) const HEADER_LIMIT: u64 = 100_000_000;

/// The most tensors of a file, which bounds the memory of their list; models have up to 1,100.
const TENSOR_LIMIT: usize = 1 << 16;

/// The most dimensions that a tensor may have; the models' convolutions have 5.
const RANK_LIMIT: usize = 8;

/// A file format for tensors, recognised by the first bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// <https://github.com/huggingface/safetensors#format>
    Safetensors,
    /// <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.
    Gguf,
    /// What `torch.save` writes (`.pth`): tensors are read, nothing is run.
    Torch,
}

impl Container {
    /// The container of a file that begins with `bytes`; safetensors unless another one matches,
    /// since that format has no mark of its own.
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(gguf::MAGIC) {
            Self::Gguf
        } else if bytes.starts_with(torch::MAGIC) || bytes.starts_with(torch::LEGACY) {
            Self::Torch
        } else {
            Self::Safetensors
        }
    }

    /// Reads and checks the list of tensors of `bytes`, all that there is of `file`.
    ///
    /// # Errors
    /// Each way in which a file can be truncated or corrupt, as its own [`WeightsError`].
    pub(super) fn read(file: &str, bytes: &[u8], extent: Extent) -> Result<Contents, WeightsError> {
        if let Some(found) = mistaken(bytes) {
            let file = file.to_owned();
            return Err(WeightsError::NotTheFile { file, found });
        }
        match Self::of(bytes) {
            Self::Safetensors => safetensors::read(file, bytes, extent),
            Self::Gguf => gguf::read(file, bytes, extent),
            // Its list of files is at its end.
            Self::Torch => torch::read(file, bytes),
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "GGUF",
            Self::Torch => "torch",
        })
    }
}

/// How much of a file must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// Its head: the data behind it may be cut off anywhere. Names, shapes and types are enough to
    /// plan with. A `.pth` has no head.
    Headers,
}

impl Extent {
    /// Whether a file that holds `found` bytes may describe tensors that end at `end`.
    fn allows(self, end: u64, found: u64) -> bool {
        end <= found || self == Self::Headers
    }
}

/// Converts a range of the data to one of the file; `None` on overflow.
fn in_file(data_start: usize, [start, end]: [u64; 2]) -> Option<[usize; 2]> {
    let place = |at: u64| data_start.checked_add(usize::try_from(at).ok()?);
    Some([place(start)?, place(end)?])
}

/// The contents of a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// Its format.
    pub(super) container: Container,
    /// The tensors, in the order of their bytes.
    pub(super) entries: Vec<Entry>,
    /// The text beside the tensors.
    pub(super) metadata: BTreeMap<String, String>,
    /// Where the data begins, counted from the beginning of the file.
    pub(super) data_start: usize,
}

/// One tensor, as its file describes it.
#[derive(Debug)]
pub(super) struct Entry {
    /// The tensor's name.
    pub(super) name: String,
    /// The element type: any type of the container, since the tensor may never be used.
    pub(super) stored: Stored,
    /// The shape, outermost dimension first, row-major.
    pub(super) shape: Vec<usize>,
    /// The first byte, counted from the beginning of the file.
    pub(super) start: usize,
    /// The byte after the last, counted from the beginning of the file.
    pub(super) end: usize,
}

/// An element type of a file: its container's name for it, and what Kinora reads it as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The container's own name.
    pub(super) name: Cow<'static, str>,
    /// The type, or `None` where Kinora has no use for it.
    pub(super) dtype: Option<DType>,
}

impl From<DType> for Stored {
    fn from(dtype: DType) -> Self {
        Self {
            name: Cow::Borrowed(dtype.name()),
            dtype: Some(dtype),
        }
    }
}

/// `name` as an error message shows it: quoted, escaped, and cut where it is absurdly long.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 160;
    if name.chars().nth(LONGEST).is_none() {
        format!("{name:?}")
    } else {
        let head: String = name.chars().take(LONGEST).collect();
        format!("{head:?}…")
    }
}
