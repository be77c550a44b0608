//! The element types of torch: the names of their storages and of themselves.

use crate::tensor::DType;
use crate::weights::container::Stored;

/// An element type.
#[derive(Debug)]
pub(super) struct Element {
    /// The class of its storages, in the module `torch`; newer types have none.
    storage: &'static str,
    /// Its own name, in the module `torch`.
    own: &'static str,
    /// What safetensors calls it.
    pub(super) name: &'static str,
    /// Its size in bytes.
    pub(super) size: usize,
}

const fn element(
    storage: &'static str,
    own: &'static str,
    name: &'static str,
    size: usize,
) -> Element {
    Element {
        storage,
        own,
        name,
        size,
    }
}

static ELEMENTS: [Element; 15] = [
    element("FloatStorage", "float32", "F32", 4),
    element("HalfStorage", "float16", "F16", 2),
    element("BFloat16Storage", "bfloat16", "BF16", 2),
    element("DoubleStorage", "float64", "F64", 8),
    element("LongStorage", "int64", "I64", 8),
    element("IntStorage", "int32", "I32", 4),
    element("ShortStorage", "int16", "I16", 2),
    element("CharStorage", "int8", "I8", 1),
    element("ByteStorage", "uint8", "U8", 1),
    element("BoolStorage", "bool", "BOOL", 1),
    element("", "float8_e4m3fn", "F8_E4M3", 1),
    element("", "float8_e5m2", "F8_E5M2", 1),
    element("", "uint16", "U16", 2),
    element("", "uint32", "U32", 4),
    element("", "uint64", "U64", 8),
];

/// The elements of a storage that is only bytes.
pub(super) static BYTES: Element = element("UntypedStorage", "", "U8", 1);

impl Element {
    /// The type whose storages are of the class `torch.NAME`.
    pub(super) fn of_storage(name: &str) -> Option<&'static Self> {
        let known = |element: &&Self| !name.is_empty() && element.storage == name;
        ELEMENTS.iter().find(known)
    }

    /// The type `torch.NAME`.
    pub(super) fn of_type(name: &str) -> Option<&'static Self> {
        ELEMENTS.iter().find(|element| element.own == name)
    }

    /// The type it is read as.
    pub(super) fn stored(&self) -> Stored {
        Stored {
            name: self.name.into(),
            dtype: DType::from_safetensors(self.name),
        }
    }
}
