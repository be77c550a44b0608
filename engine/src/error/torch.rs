//! What can be wrong with a file of `torch.save`.

/// Why a file of `torch.save` cannot be used. The sentence follows the file's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchFault {
    /// The format that torch wrote before 1.6.
    #[error(
        "it is in the format of torch before 1.6; load it with torch and save it again, best as safetensors"
    )]
    Legacy,
    /// A zip archive that cannot be read.
    #[error(
        "its zip archive cannot be read ({reason}): the file is truncated or corrupt; copy or download it again"
    )]
    Archive {
        /// What the zip reader says.
        reason: String,
    },
    /// A zip archive that torch did not write.
    #[error("it is a zip archive without data.pkl, so that torch.save did not write it")]
    NoPickle,
    /// An entry that is compressed or encrypted.
    #[error(
        "{path} in it is compressed or encrypted, which torch.save never does; save it again with torch, best as safetensors"
    )]
    Compressed {
        /// The entry's path in the archive.
        path: String,
    },
    /// An entry that stands twice.
    #[error("{path} is in it twice: the file is corrupt")]
    SameEntry {
        /// The entry's path in the archive.
        path: String,
    },
    /// A big-endian file.
    #[error("it was saved on a big-endian machine; load it with torch and save it again")]
    BigEndian,
    /// More of something than any model has.
    #[error("it has more than {limit} {what}, which no state dict has")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The most that are read.
        limit: usize,
    },
    /// A pickle that ends too early.
    #[error(
        "its data.pkl ends at byte {at}, before the pickle does: the file is truncated or corrupt; copy or download it again"
    )]
    Ends {
        /// Where it ends.
        at: usize,
    },
    /// An opcode that no state dict needs.
    #[error(
        "its data.pkl has the opcode {opcode:#04x} at byte {at}, which torch.save does not write for a state dict; save the state dict alone, best as safetensors"
    )]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Where it stands.
        at: usize,
    },
    /// An object other than a tensor, which could run code.
    #[error(
        "its data.pkl asks for {name}; only tensors are read and nothing is run: save the state dict alone, best as safetensors"
    )]
    Name {
        /// The module's and the object's name.
        name: String,
    },
    /// A malformed pickle.
    #[error("its data.pkl is wrong before byte {at} ({what}): the file is corrupt")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A tensor whose key is no text.
    #[error(
        "it holds a tensor whose key is no text; save the state dict alone, best as safetensors"
    )]
    Nameless,
    /// Something other than a dictionary.
    #[error("it holds no dictionary; save a state dict, best as safetensors")]
    NoDictionary,
    /// A dictionary without tensors.
    #[error("it holds no tensors (its keys: {keys}); save a state dict, best as safetensors")]
    NoTensors {
        /// The first keys.
        keys: String,
    },
    /// Several dictionaries of tensors.
    #[error(
        "it holds several dictionaries of tensors ({keys}); save the one that is meant alone, best as safetensors"
    )]
    Several {
        /// Their keys.
        keys: String,
    },
    /// A tensor without its bytes.
    #[error("tensor {tensor} is in the storage {key}, which is missing: the file is corrupt")]
    NoStorage {
        /// The tensor's name.
        tensor: String,
        /// The storage's name.
        key: String,
    },
    /// A storage of another size than the pickle says.
    #[error("the storage {key} has {len} bytes, but data.pkl says {claimed}: the file is corrupt")]
    StorageSize {
        /// The storage's name.
        key: String,
        /// The bytes that the pickle says.
        claimed: u64,
        /// The bytes that there are.
        len: u64,
    },
    /// A tensor that goes beyond its storage.
    #[error(
        "tensor {tensor} of {form} goes beyond its storage {key} of {len} bytes: the file is corrupt"
    )]
    Beyond {
        /// The tensor's name.
        tensor: String,
        /// Its shape, strides and offset.
        form: String,
        /// The storage's name.
        key: String,
        /// The bytes of the storage.
        len: u64,
    },
}
