//! Checkpoints of zeros: the names and shapes of a model without its files.

use std::fmt::Write;
use std::path::PathBuf;

use memmap2::MmapMut;

use super::{Checkpoint, Storage};
use crate::error::WeightsError;
use crate::tensor::DType;

impl Checkpoint {
    /// A checkpoint whose tensors have these names, shapes and types, and are all zeros. It takes
    /// address space and, until somebody reads its tensors, no memory: for recording a model at its
    /// released size where its weights are not at hand.
    ///
    /// # Errors
    /// No address space for it, or a name given twice.
    pub fn zeros(
        part: &str,
        tensors: &[(String, Vec<usize>, DType)],
    ) -> Result<Self, WeightsError> {
        let mut header = String::from("{");
        let mut end = 0;
        for (name, shape, dtype) in tensors {
            let begin = end;
            end += dtype.bytes(shape.iter().product());
            let comma = if begin == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(
                header,
                r#"{comma}{name:?}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
            );
        }
        header.push('}');
        let data = 8 + header.len();
        let unmapped = |source| WeightsError::Read {
            path: PathBuf::from(part),
            source,
        };
        let mut map = MmapMut::map_anon(data + end).map_err(unmapped)?;
        map[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
        map[8..data].copy_from_slice(header.as_bytes());
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
