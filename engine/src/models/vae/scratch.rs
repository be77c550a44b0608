//! Bytes on the host: in memory, or in a temporary file where there are many.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::VaeError;

/// Bytes kept in memory, at most.
const IN_MEMORY: u64 = 512 << 20;

/// A stretch of bytes of fixed length, zeros at first.
#[derive(Debug)]
pub(super) enum Scratch {
    Memory(Vec<u8>),
    File(File),
}

fn failed(source: std::io::Error) -> VaeError {
    VaeError::Scratch { source }
}

impl Scratch {
    /// Room for `bytes`.
    ///
    /// # Errors
    /// A temporary file that cannot be made.
    pub(super) fn new(bytes: u64) -> Result<Self, VaeError> {
        Self::within(bytes, IN_MEMORY)
    }

    fn within(bytes: u64, in_memory: u64) -> Result<Self, VaeError> {
        if bytes <= in_memory {
            return Ok(Self::Memory(vec![0; bytes as usize]));
        }
        let file = tempfile::tempfile().map_err(failed)?;
        file.set_len(bytes).map_err(failed)?;
        Ok(Self::File(file))
    }

    /// Writes bytes at an offset.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), VaeError> {
        match self {
            Self::Memory(memory) => {
                memory[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(offset)).map_err(failed)?;
                file.write_all(bytes).map_err(failed)
            }
        }
    }

    /// Reads bytes at an offset.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), VaeError> {
        match self {
            Self::Memory(memory) => {
                into.copy_from_slice(&memory[offset as usize..][..into.len()]);
                Ok(())
            }
            Self::File(file) => {
                file.seek(SeekFrom::Start(offset)).map_err(failed)?;
                file.read_exact(into).map_err(failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_memory_does() {
        for in_memory in [0, 100] {
            let mut scratch = Scratch::within(100, in_memory).unwrap();
            scratch.write(90, &[1, 2, 3]).unwrap();
            scratch.write(3, &[4]).unwrap();
            let mut found = [9; 4];
            scratch.read(90, &mut found).unwrap();
            assert_eq!(found, [1, 2, 3, 0]);
            scratch.read(2, &mut found).unwrap();
            assert_eq!(found, [0, 4, 0, 0]);
        }
    }
}
