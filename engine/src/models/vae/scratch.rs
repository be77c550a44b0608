//! Bytes on the host: in memory, or in a temporary file where there are many.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::error::VaeError;

/// Bytes kept in memory, at most.
const IN_MEMORY: u64 = 512 << 20;

/// A stretch of bytes of fixed length, zeros at first.
#[derive(Debug)]
pub(super) struct Scratch {
    /// "decoder" or "encoder", for errors.
    network: &'static str,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(File),
}

impl Scratch {
    /// Room for `bytes`.
    ///
    /// # Errors
    /// A temporary file that cannot be made.
    pub(super) fn new(network: &'static str, bytes: u64) -> Result<Self, VaeError> {
        Self::within(network, bytes, IN_MEMORY)
    }

    fn within(network: &'static str, bytes: u64, in_memory: u64) -> Result<Self, VaeError> {
        let place = if bytes <= in_memory {
            Place::Memory(vec![0; bytes as usize])
        } else {
            let file = tempfile::tempfile().and_then(|file| {
                file.set_len(bytes)?;
                Ok(file)
            });
            Place::File(file.map_err(|source| VaeError::Scratch { network, source })?)
        };
        Ok(Self { network, place })
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> VaeError + use<> {
        let network = self.network;
        move |source| VaeError::Scratch { network, source }
    }

    /// Writes bytes at an offset.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), VaeError> {
        let failed = self.failed();
        match &mut self.place {
            Place::Memory(memory) => {
                memory[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            Place::File(file) => {
                file.seek(SeekFrom::Start(offset)).map_err(&failed)?;
                file.write_all(bytes).map_err(failed)
            }
        }
    }

    /// Reads bytes at an offset.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), VaeError> {
        let failed = self.failed();
        match &mut self.place {
            Place::Memory(memory) => {
                into.copy_from_slice(&memory[offset as usize..][..into.len()]);
                Ok(())
            }
            Place::File(file) => {
                file.seek(SeekFrom::Start(offset)).map_err(&failed)?;
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
            let mut scratch = Scratch::within("decoder", 100, in_memory).unwrap();
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
