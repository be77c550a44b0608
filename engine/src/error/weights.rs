//! What can be wrong with a checkpoint's files and with latents on disk.

use std::io;
use std::path::PathBuf;

use super::{AdapterError, GgufFault, TorchFault};
use crate::tensor::DType;

/// The names of the types that are read.
fn read_types() -> String {
    let names = DType::WEIGHTS.map(|dtype| match dtype {
        DType::I8 => "I8 with scales",
        other => other.name(),
    });
    let [first @ .., last] = names;
    format!("{} or {last}", first.join(", "))
}

/// A weights or latents file that cannot be used, as one sentence that names the file, the tensor,
/// what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A LoRA that cannot be applied.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A path that does not exist.
    #[error("{part}: {} does not exist", path.display())]
    Missing {
        /// The model part, such as `transformer`.
        part: String,
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A path that exists but cannot be read or mapped.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Weights of one kind where another's should be.
    #[error("{part}: {file} is {found}, expected {expected}")]
    WrongPart {
        /// The model part that was asked for.
        part: String,
        /// The file.
        file: String,
        /// What its tensors' names say it is.
        found: String,
        /// What the part must be.
        expected: String,
    },
    /// A folder without a file of weights.
    #[error(
        "{part}: {} holds no file of weights; Kinora reads .safetensors, .gguf and torch's .pth",
        dir.display()
    )]
    NoWeights {
        /// The model part.
        part: String,
        /// The folder that was looked into.
        dir: PathBuf,
    },
    /// A folder with several files of weights, none with a usual name.
    #[error(
        "{part}: {} holds several files of weights ({files}) and none is named diffusion_pytorch_model.safetensors or model.safetensors; name the file itself, or add the index that names the shards",
        dir.display()
    )]
    Ambiguous {
        /// The model part.
        part: String,
        /// The folder that was looked into.
        dir: PathBuf,
        /// The files' names, joined by commas.
        files: String,
    },

    /// Something else in a file's place.
    #[error("{file} is {found}")]
    NotTheFile {
        /// The file.
        file: String,
        /// What it is instead, and what to do.
        found: &'static str,
    },
    /// A file too short to hold even the header's length.
    #[error(
        "{file} is {len} bytes long, but a safetensors file begins with 8 bytes of header length: it is truncated or not a safetensors file"
    )]
    TooShort {
        /// The file.
        file: String,
        /// Its length in bytes.
        len: u64,
    },
    /// A header longer than any honest file has.
    #[error(
        "{file}: the header claims {header} bytes, more than the {limit} bytes that safetensors allows: the file is corrupt or not a safetensors file"
    )]
    HeaderTooLong {
        /// The file.
        file: String,
        /// The length that it claims.
        header: u64,
        /// The largest length allowed.
        limit: u64,
    },
    /// A header that ends after the file does.
    #[error(
        "{file}: the header claims {header} bytes, but only {rest} follow in the file: it is truncated; copy or download it again"
    )]
    HeaderBeyondFile {
        /// The file.
        file: String,
        /// The length that it claims.
        header: u64,
        /// The bytes that follow the length.
        rest: u64,
    },
    /// A header that is not the JSON that safetensors prescribes.
    #[error("{file}: the header is not valid safetensors JSON ({reason}): the file is corrupt")]
    HeaderJson {
        /// The file.
        file: String,
        /// What the parser says.
        reason: String,
    },
    /// A name that stands twice.
    #[error("{file}: tensor {tensor} is described twice: the file is corrupt")]
    Duplicate {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A shape whose size in bytes no machine can address.
    #[error(
        "{file}: tensor {tensor} has shape {shape:?}, whose size overflows: the file is corrupt"
    )]
    SizeOverflow {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor whose bytes are not as many as its shape and type need.
    #[error(
        "{file}: tensor {tensor} of {form} needs {expected} bytes, but its offsets {start}..{end} do not span as many: the file is corrupt"
    )]
    Size {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Its shape and type, as `shape [3, 5] and type F16`.
        form: String,
        /// The bytes that shape and type need.
        expected: u64,
        /// Where the header says that the tensor begins.
        start: u64,
        /// Where the header says that the tensor ends.
        end: u64,
    },
    /// A tensor that lies, at least partly, beyond the end of the file.
    #[error(
        "{file}: tensor {tensor} lies at {start}..{end} of the data, but the file holds only {data} bytes of data: it is truncated; copy or download it again"
    )]
    OutOfRange {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Where the tensor begins.
        start: u64,
        /// Where the tensor ends.
        end: u64,
        /// The bytes of data that the file holds.
        data: u64,
    },
    /// Two tensors that claim the same bytes.
    #[error(
        "{file}: tensor {second} begins at {at} of the data, inside tensor {first}, which ends at {end}: the offsets overlap and the file is corrupt"
    )]
    Overlap {
        /// The file.
        file: String,
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins inside it.
        second: String,
        /// Where the second begins.
        at: u64,
        /// Where the first ends.
        end: u64,
    },
    /// Bytes that belong to no tensor.
    #[error(
        "{file}: bytes {start}..{end} of the data belong to no tensor: the header and the file do not match, and the file is corrupt"
    )]
    Gap {
        /// The file.
        file: String,
        /// Where the gap begins.
        start: u64,
        /// Where the gap ends.
        end: u64,
    },

    /// A GGUF file that cannot be used.
    #[error("{file}: {fault}")]
    Gguf {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: GgufFault,
    },

    /// A file of `torch.save` that cannot be used.
    #[error("{file}: {fault}")]
    Torch {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: TorchFault,
    },

    /// An index file that is not the JSON it should be.
    #[error("{index} is not a valid safetensors index: {reason}")]
    Index {
        /// The index file.
        index: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A shard that the index names and the folder lacks.
    #[error("{index} names the shard {shard}, which is not beside it; download it too")]
    MissingShard {
        /// The index file.
        index: String,
        /// The shard's name.
        shard: String,
    },
    /// A tensor that the index places in a shard which lacks it.
    #[error(
        "{index} says that tensor {tensor} is in {shard}, which does not hold it: the index and the shards are not of the same model"
    )]
    NotInShard {
        /// The index file.
        index: String,
        /// The tensor's name.
        tensor: String,
        /// The shard's name.
        shard: String,
    },
    /// A tensor that two shards hold.
    #[error("{index}: tensor {tensor} is in both {first} and {second}; each tensor must be in one")]
    InTwoShards {
        /// The index file.
        index: String,
        /// The tensor's name.
        tensor: String,
        /// One shard.
        first: String,
        /// The other shard.
        second: String,
    },

    /// A tensor that the model needs and the checkpoint lacks.
    #[error("{part}: {file} holds no tensor {tensor}{nearest}")]
    NoTensor {
        /// The model part.
        part: String,
        /// The file, or the index of a sharded checkpoint.
        file: String,
        /// The name that was asked for.
        tensor: String,
        /// `; the nearest names are a and b`, or nothing.
        nearest: String,
    },
    /// A tensor of another shape than the configuration asks for.
    #[error(
        "{part}: tensor {tensor} of {file} has shape {found:?}, but config.json asks for {expected:?}; the configuration and the weights are not of the same model"
    )]
    Shape {
        /// The model part.
        part: String,
        /// The file that holds the tensor.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The shape in the file.
        found: Box<[usize]>,
        /// The shape that the model must have.
        expected: Box<[usize]>,
    },
    /// A tensor in a format that Kinora does not compute with.
    #[error(
        "{part}: tensor {tensor} of {file} is {found}, but weights must be {}; take a file of the model in one of these",
        read_types()
    )]
    Unsupported {
        /// The model part.
        part: String,
        /// The file that holds the tensor.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Its element type, as the header writes it.
        found: String,
    },
    /// A tensor whose data the file lacks, in a file that was opened for its head alone.
    #[error(
        "{part}: {file} ends before the data of tensor {tensor}: what there is of it is enough to plan with, but a run needs the whole file; copy or download it again"
    )]
    NoData {
        /// The model part.
        part: String,
        /// The file that ends too early.
        file: String,
        /// The tensor's name.
        tensor: String,
    },
    /// A view of a stored tensor that does not fit it.
    #[error(
        "{part}: tensor {tensor} of {file} has shape {found:?}, which does not become {name} of {expected}; the file is not of the layout that its names say"
    )]
    Derived {
        /// The model part.
        part: String,
        /// The file that holds the tensor.
        file: String,
        /// The tensor's name in the file.
        tensor: String,
        /// The shape in the file.
        found: Box<[usize]>,
        /// The model's name.
        name: String,
        /// What was asked for, as `shape [384]` or `rows 0..384`.
        expected: String,
    },
    /// Scales that are neither one number nor one a row.
    #[error(
        "{part}: tensor {tensor} of {file} has shape {found:?}, but the scales of {of} are one number, or {rows}, one a row; other kinds of scaled files are not read"
    )]
    Scales {
        /// The model part.
        part: String,
        /// The file that holds the scales.
        file: String,
        /// The scales' name in the file.
        tensor: String,
        /// The matrix's name.
        of: String,
        /// The shape of the scales.
        found: Box<[usize]>,
        /// The rows of the matrix.
        rows: usize,
    },
    /// A matrix that is quantised in a way that is not read.
    #[error(
        "{part}: tensor {tensor} of {file} is quantised in a way that is not read: {found}; take the model's file in bf16, fp8 (scaled) or GGUF"
    )]
    Quantised {
        /// The model part.
        part: String,
        /// The file that holds the tensor.
        file: String,
        /// The tensor that tells.
        tensor: String,
        /// What it is.
        found: String,
    },
    /// A mark of how tensors are quantised that cannot be understood.
    #[error(
        "{part}: {mark} of {file} says how tensors are quantised, but it is not understood ({reason}); take the model's file in bf16, fp8 (scaled) or GGUF"
    )]
    Mark {
        /// The model part.
        part: String,
        /// The file.
        file: String,
        /// The tensor or the key of the header's text.
        mark: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two stored tensors that the model calls the same.
    #[error(
        "{part}: {file} holds both {first} and {second}, which are the same tensor {name}; it mixes two layouts"
    )]
    SameName {
        /// The model part.
        part: String,
        /// The file that holds the second.
        file: String,
        /// One tensor's name in its file.
        first: String,
        /// The other's.
        second: String,
        /// The model's name.
        name: String,
    },
    /// Tensors that the model has no use for.
    #[error(
        "{part}: {file} holds {count} tensors that this model does not use ({names}); the configuration and the weights are not of the same model"
    )]
    Unread {
        /// The model part.
        part: String,
        /// The file, or the index of a sharded checkpoint.
        file: String,
        /// How many there are.
        count: usize,
        /// The first few names.
        names: String,
    },
    /// A row that a table does not have.
    #[error(
        "{part}: row {row} of {tensor} was asked for, but it has {rows} rows; the tokenizer and the weights are not of the same model"
    )]
    NoRow {
        /// The model part.
        part: String,
        /// The table's name.
        tensor: String,
        /// The row that was asked for.
        row: u32,
        /// The rows that there are.
        rows: usize,
    },

    /// A file of latents without the tensor of that name.
    #[error(
        "{file} holds no tensor named latents (it holds {found}); Kinora writes one where a run is to keep its latents"
    )]
    NoLatents {
        /// The file.
        file: String,
        /// The names that it holds.
        found: String,
    },
    /// Latents of a shape that is none.
    #[error("{file}: latents has shape {found:?}, expected [1, C, T, h, w] with no zero")]
    LatentsShape {
        /// The file.
        file: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// Latents that are not numbers.
    #[error(
        "{file}: {count} of the {total} values of latents are NaN or infinite; the run that made them went wrong"
    )]
    NotFinite {
        /// The file.
        file: String,
        /// How many values are not finite.
        count: usize,
        /// How many values there are.
        total: usize,
    },
    /// Latents whose values are not as many as their shape says.
    #[error("{file}: shape {shape:?} does not hold {count} values")]
    LatentsCount {
        /// The file that was to be written.
        file: String,
        /// The shape given.
        shape: Vec<usize>,
        /// The number of values given.
        count: usize,
    },
    /// A saved run that cannot be resumed.
    #[error("{file} cannot be resumed: {problem}")]
    State {
        /// The file.
        file: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A folder to be written that is there already.
    #[error("{} exists already: name a folder that does not exist, or remove this one", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A file that could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}
