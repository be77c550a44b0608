//! What can be wrong with a LoRA file.

/// An adapter that cannot be applied, as one sentence that names the file, what it holds and what
/// the model has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A file none of whose tensors belongs to the model.
    #[error(
        "{file} changes nothing in this model: it names {theirs}; the model's layers are {ours}. It is made for another model, or is no LoRA"
    )]
    NothingMatches {
        /// The file.
        file: String,
        /// Some of its tensors.
        theirs: String,
        /// Some of the model's layers.
        ours: String,
    },
    /// Tensors that the model has no layers for.
    #[error(
        "{file} changes {count} layers that this model does not have ({names}): it is made for another model"
    )]
    NoSuchLayer {
        /// The file.
        file: String,
        /// How many.
        count: usize,
        /// Their names, as far as they fit.
        names: String,
    },
    /// Two tensors with the same role in the same layer.
    #[error(
        "{file} changes {layer} twice, by {first} and by {second}: it holds more than one LoRA; split it into one file for each"
    )]
    Twice {
        /// The file.
        file: String,
        /// The layer.
        layer: String,
        /// A tensor of it.
        first: String,
        /// The other.
        second: String,
    },
    /// One of a change's matrices is missing.
    #[error(
        "{file}: {layer} lacks a matrix of its change, which needs two or more (such as lora_down and lora_up): the file is damaged"
    )]
    Incomplete {
        /// The file.
        file: String,
        /// The layer.
        layer: String,
    },
    /// Matrices that do not make one of the layer's shape.
    #[error(
        "{file}: {layer} is {expected:?} in this model, and the file's change to it has shapes {found}: it is made for another size"
    )]
    Shape {
        /// The file.
        file: String,
        /// The layer.
        layer: String,
        /// The file's shapes.
        found: String,
        /// The layer's weight.
        expected: Vec<usize>,
    },
    /// Another kind of adapter.
    #[error(
        "{file} holds {tensor}, which is {method}; Kinora applies LoRA, LoHa, LoKr, DoRA and differences (diff, diff_b): merge it into the model with the program that trained it"
    )]
    Method {
        /// The file.
        file: String,
        /// A tensor of it.
        tensor: String,
        /// What the tensor says it is.
        method: &'static str,
    },
    /// A strength that is no finite number.
    #[error("{file}: its strength is {found}, and must be a finite number such as 0.8")]
    Strength {
        /// The file.
        file: String,
        /// What was asked for.
        found: f32,
    },
    /// An expert asked for in a model that has none.
    #[error(
        "{file} is for the {expert} expert, and this model has one transformer: apply it to all of the model"
    )]
    NoExperts {
        /// The file.
        file: String,
        /// `high` or `low`.
        expert: &'static str,
    },
    /// A file for two experts, and a model that has one transformer.
    #[error(
        "{file} holds two LoRAs, for the high-noise and the low-noise expert (transformer_1 and transformer_2), and this model has one transformer: it is made for Wan 2.2 A14B"
    )]
    TwoExperts {
        /// The file.
        file: String,
    },
    /// A file for two experts that lacks the requested one.
    #[error("{file} is to be applied to {part} alone, but changes no layer of it")]
    NoneForExpert {
        /// The file.
        file: String,
        /// `transformer` or `transformer_2`.
        part: String,
    },
    /// A merged weight beyond f16.
    #[error(
        "{file}: with its change, {layer} is beyond what the model's f16 holds: apply it less strongly, or to a model in bf16 or f32"
    )]
    Range {
        /// The file.
        file: String,
        /// The weight.
        layer: String,
    },
    /// A LoRA on a model that is being converted.
    #[error(
        "{file} stays beside the model and is not written into a converted one: convert the model without LoRAs, and apply them to the model that is written"
    )]
    NotConverted {
        /// The file.
        file: String,
    },
    /// A model whose weights are not there.
    #[error(
        "{file} cannot be compared with a model whose weights are not there: open the model's folder"
    )]
    NotAtHand {
        /// The file.
        file: String,
    },
}
