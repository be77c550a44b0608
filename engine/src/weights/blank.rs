//! Checkpoints of zeros: the names and shapes of a model without its files.

use std::path::PathBuf;

use memmap2::MmapMut;

use super::{Checkpoint, SafetensorsHeader, Storage};
use crate::error::WeightsError;
use crate::tensor::DType;

impl Checkpoint {
    /// A checkpoint of zeros with these names, shapes and types, for recording a model at its released
    /// size without its weights. It takes address space; memory is taken when tensors are read.
    ///
    /// # Errors
    /// No address space for it, or a name given twice.
    pub fn zeros(
        part: &str,
        tensors: &[(String, Vec<usize>, DType)],
    ) -> Result<Self, WeightsError> {
        let mut header = SafetensorsHeader::default();
        for (name, shape, dtype) in tensors {
            header.tensor(name, *dtype, shape)?;
        }
        let (start, data) = (header.to_bytes(), header.data_len());
        let unmapped = |source| WeightsError::Read {
            path: PathBuf::from(part),
            source,
        };
        let length = start.len().saturating_add(data);
        let mut map = MmapMut::map_anon(length).map_err(unmapped)?;
        map[..start.len()].copy_from_slice(&start);
        let map = map.make_read_only().map_err(unmapped)?;
        Self::from_bytes("zeros", Storage::Mapped(map), part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_shapes_and_types_are_as_given() {
        let tensors = [
            ("a.weight".to_owned(), vec![3, 2], DType::BF16),
            ("b".to_owned(), vec![5], DType::F32),
        ];
        let zeros = Checkpoint::zeros("part", &tensors).unwrap();
        let a = zeros.get("a.weight", &[3, 2]).unwrap();
        assert_eq!((a.dtype, a.bytes.len()), (DType::BF16, 12));
        assert_eq!(zeros.get("b", &[5]).unwrap().to_f32().as_ref(), [0.0; 5]);
    }
}
