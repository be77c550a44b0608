//! The bytes of a file: mapped from disk, or in memory.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::WeightsError;

/// The bytes of one weights file.
///
/// Their alignment is arbitrary: safetensors allows any, and the linker places a model that is embedded
/// into a program anywhere.
pub enum Storage {
    /// Pages of a file, read by the operating system when they are touched.
    Mapped(Mmap),
    /// Bytes embedded into the program.
    Static(&'static [u8]),
    /// Bytes that the application made.
    Shared(Arc<[u8]>),
}

impl Storage {
    /// Maps the file at `path` for reading.
    ///
    /// # Errors
    /// [`WeightsError::Read`] where the file cannot be opened or mapped.
    pub fn map(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.len() == 0 {
            // Some systems refuse to map nothing; the header's check words the error better.
            return Ok(Self::Static(&[]));
        }
        #[expect(
            unsafe_code,
            reason = "a map is the only way to read tens of gigabytes without holding them; the file must not change while it is mapped"
        )]
        // SAFETY: the map is read-only and private to this value. Rust cannot promise that no
        // other process writes to or shortens the file: changed bytes would be read as other
        // weights (every bit pattern is a valid float, and offsets were checked when the file was
        // opened), and a shortened file ends the process with SIGBUS (an in-page error on
        // Windows, which refuses to shorten a mapped file in the first place). Programs that
        // replace a checkpoint by renaming a new file over it, as downloaders do, leave the map
        // as it was.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Ok(Self::Mapped(map))
    }
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<&'static [u8]> for Storage {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl From<Arc<[u8]>> for Storage {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Vec<u8>> for Storage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(bytes.into())
    }
}
