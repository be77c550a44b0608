//! What can be wrong with a model folder's configuration, its tokenizer, or a prompt.

use std::io;

use super::WeightsError;

/// A model folder that cannot be used, as one sentence that names the file, the field, what was
/// found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A path that is no folder.
    #[error(
        "{folder} is not a folder; a model is a folder in the diffusers layout, with a model_index.json in it, or one with the files of Wan's own release"
    )]
    NotAFolder {
        /// The path.
        folder: String,
    },
    /// Parts that a model lacks.
    #[error("{model} {found}, but {missing}{unreadable}")]
    NoPart {
        /// The model.
        model: String,
        /// What there is, as `holds a Wan transformer`.
        found: String,
        /// What there is not, with the fields that name it.
        missing: String,
        /// The fields of [`PartFiles`](crate::model_files::PartFiles) that name it.
        fields: Vec<&'static str>,
        /// `. Not read: …` with what is wrong with files beside them, or nothing.
        unreadable: String,
    },
    /// Two files that could each be the same part.
    #[error(
        "{first} and {second} are {kind} each; leave one of them, or name the file in the field {field}{second_field}"
    )]
    TwoOfAKind {
        /// A file.
        first: String,
        /// Another one.
        second: String,
        /// What both are.
        kind: String,
        /// The field that names one.
        field: &'static str,
        /// ` and the second in transformer_2 …` for a transformer, or nothing.
        second_field: &'static str,
    },
    /// A part's tensors that do not say its sizes.
    #[error("{file}: {tensor} is {found}, expected {expected}, which tells the model's sizes")]
    Sizes {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its shape, or `absent`.
        found: String,
        /// The shape that it should have.
        expected: &'static str,
    },
    /// A number that neither a part's tensors nor a configuration beside them gives.
    #[error(
        "{file}: {what} cannot be inferred from its tensors; put the part's {beside} next to it"
    )]
    NotInTensors {
        /// The file.
        file: String,
        /// What is not known.
        what: &'static str,
        /// The configuration file that says it.
        beside: String,
    },
    /// A model without a tokenizer.
    #[error(
        "{model} has no tokenizer; add the tokenizer.json (or spiece.model) of google/umt5-xxl beside the text encoder, or name the file in the field tokenizer; a GGUF text encoder that carries its tokenizer needs none"
    )]
    NoTokenizer {
        /// The model.
        model: String,
    },
    /// Weights that cannot be opened.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A released model that has no such short name.
    #[error("there is no released model {found}; known: {known}")]
    NoSuchModel {
        /// The name.
        found: String,
        /// Those there are.
        known: String,
    },
    /// A file that the model's folder lacks.
    #[error(
        "{file} does not exist; a model is a folder in the diffusers layout, with model_index.json, tokenizer, text_encoder, transformer, vae and scheduler in it{hint}"
    )]
    Missing {
        /// The file.
        file: String,
        /// What the folder seems to be instead, or nothing.
        hint: &'static str,
    },
    /// A file that cannot be read.
    #[error("{file} cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file larger than any honest one.
    #[error("{file} is {len} bytes long, more than the {limit} that it may be")]
    TooLong {
        /// The file.
        file: String,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file that is not a JSON object.
    #[error("{file} is not a JSON object: {reason}")]
    Json {
        /// The file.
        file: String,
        /// What the parser says.
        reason: String,
    },
    /// A class that Kinora does not implement.
    #[error("{file}: {field} is {found}, but Kinora knows {known}")]
    Class {
        /// The file.
        file: String,
        /// The field that names the class.
        field: String,
        /// The class.
        found: String,
        /// The classes that are implemented.
        known: String,
    },
    /// A field with a value that no model can have.
    #[error("{file}: {field} is {found}, expected {expected}")]
    Field {
        /// The file.
        file: String,
        /// The field's name.
        field: String,
        /// Its value, as JSON.
        found: String,
        /// The values that are accepted.
        expected: String,
    },
    /// A field that is not there and has no default.
    #[error("{file} has no field {field}")]
    NoField {
        /// The file.
        file: String,
        /// The field's name.
        field: String,
    },
    /// An unknown field in Kinora's own file.
    #[error("{file} has a field {field}, expected one of {known}")]
    UnknownField {
        /// The file.
        file: String,
        /// The field's name.
        field: String,
        /// The fields that there are.
        known: String,
    },
    /// An option of the reference that changes results and is not implemented.
    #[error("{file}: {field} is {found}, which is {meaning}; Kinora does not support that yet")]
    Unsupported {
        /// The file.
        file: String,
        /// The field's name.
        field: String,
        /// Its value, as JSON.
        found: String,
        /// What the value asks for.
        meaning: &'static str,
    },
    /// Two files that cannot belong to the same model.
    #[error(
        "{file}: {field} is {found}, but {other} makes it {expected}; the two are not of the same model"
    )]
    Mismatch {
        /// The file.
        file: String,
        /// The field's name.
        field: String,
        /// Its value.
        found: String,
        /// The other file and field.
        other: String,
        /// The value that the other one asks for.
        expected: String,
    },
    /// A tokenizer that cannot be used.
    #[error("{file} is not a usable tokenizer: {reason}")]
    Tokenizer {
        /// The file.
        file: String,
        /// What the tokenizers library says.
        reason: String,
    },
    /// A prompt that no model could read.
    #[error(
        "the prompt is {len} bytes long, more than the {limit} that it may be; a model reads about 512 words of it"
    )]
    Prompt {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
