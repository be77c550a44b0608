//! Which kernel, with which modules in its slots and which numbers in its tile.

use std::fmt;

use crate::tensor::DType;

/// A module name that a kernel imports and a [`Variant`] may exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// How four weights are read: `load_weight4(row, col) -> vec4<f32>`.
    Weight,
    /// What happens to a sum before it is stored: `epilogue(row, col, value) -> f32`.
    Epilogue,
    /// A function of one value: `activate(x) -> f32`.
    Activation,
    /// How a score is biased: `score_bias(head, query, key) -> f32`.
    Bias,
    /// What follows a normalisation: `affine(row, col4, value) -> vec4<f32>`.
    Affine,
    /// How four activations are read: `Input4`, `unpack_input4(Input4) -> vec4<f32>`.
    Input,
    /// How four results are stored: `Output4`, `pack_output4(vec4<f32>) -> Output4`.
    Output,
    /// How a product reads its left operand and addresses its results: `row_at`, `load_row4`.
    Rows,
    /// How a convolution reads the channels of a pixel: `fetch_x4`, `fetch_past4`.
    Pixels,
    /// The layout of f16 operands in workgroup memory: `stage`, `put_stage4`.
    Stage,
    /// How a product stores its results: `store_result4(row, col, values)`.
    Result,
    /// The divisor of a weight's row before rounding: `weight_scale(row) -> f32`.
    Scale,
    /// How invocations join their values: `reduce_sum(lane, value) -> f32`, `reduce_max`.
    Reduce,
}

impl Slot {
    /// All slots.
    pub const ALL: [Self; 13] = [
        Self::Weight,
        Self::Epilogue,
        Self::Activation,
        Self::Bias,
        Self::Affine,
        Self::Input,
        Self::Output,
        Self::Rows,
        Self::Pixels,
        Self::Stage,
        Self::Result,
        Self::Scale,
        Self::Reduce,
    ];

    /// The module's name in `import package::NAME::{…}` and the folder of its alternatives.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Epilogue => "epilogue",
            Self::Activation => "activation",
            Self::Bias => "bias",
            Self::Affine => "affine",
            Self::Input => "input",
            Self::Output => "output",
            Self::Rows => "rows",
            Self::Pixels => "pixels",
            Self::Stage => "stage",
            Self::Result => "result",
            Self::Scale => "scale",
            Self::Reduce => "reduce",
        }
    }
}

/// A kernel with its choices made: the key of a pipeline, and the profiler's label.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    kernel: &'static str,
    slots: Vec<(Slot, &'static str)>,
    tile: Vec<(&'static str, u32)>,
    overrides: Vec<(&'static str, u32)>,
    coop: Option<u32>,
}

impl Variant {
    /// The kernel `shaders/NAME.wgsl` with every slot at its default.
    pub fn new(kernel: &'static str) -> Self {
        Self {
            kernel,
            slots: Vec::new(),
            tile: Vec::new(),
            overrides: Vec::new(),
            coop: None,
        }
    }

    /// Puts module `SLOT/MODULE.wgsl` into a slot.
    #[must_use]
    pub fn slot(mut self, slot: Slot, module: &'static str) -> Self {
        self.slots.retain(|(s, _)| *s != slot);
        self.slots.push((slot, module));
        self.slots.sort_unstable();
        self
    }

    /// Reads activations of that type: the `input` slot's default is f32.
    #[must_use]
    pub fn input(self, dtype: DType) -> Self {
        match dtype {
            DType::F16 => self.slot(Slot::Input, "f16"),
            _ => self,
        }
    }

    /// Writes results of that type: the `output` slot's default is f32.
    #[must_use]
    pub fn output(self, dtype: DType) -> Self {
        match dtype {
            DType::F16 => self.slot(Slot::Output, "f16"),
            _ => self,
        }
    }

    /// Gives a constant of the generated `tile` module its value.
    #[must_use]
    pub fn tile(mut self, name: &'static str, value: u32) -> Self {
        self.tile.retain(|(n, _)| *n != name);
        self.tile.push((name, value));
        self.tile.sort_unstable();
        self
    }

    /// Gives a WGSL `override` its value.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: u32) -> Self {
        self.overrides.retain(|(n, _)| *n != name);
        self.overrides.push((name, value));
        self.overrides.sort_unstable();
        self
    }

    /// Gives the generated `coop` module the edge length of the device's cooperative matrices: 8
    /// or 16.
    #[must_use]
    pub fn coop(mut self, edge: u32) -> Self {
        self.coop = Some(edge);
        self
    }

    /// The edge length of the cooperative matrices, where the kernel uses them.
    pub fn coop_edge(&self) -> Option<u32> {
        self.coop
    }

    /// The kernel's file name without `.wgsl`.
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// The exchanged modules, sorted by slot.
    pub fn slots(&self) -> &[(Slot, &'static str)] {
        &self.slots
    }

    /// The constants of the `tile` module, sorted by name.
    pub fn tile_constants(&self) -> &[(&'static str, u32)] {
        &self.tile
    }

    /// The values of `override`s, sorted by name.
    pub fn overrides(&self) -> &[(&'static str, u32)] {
        &self.overrides
    }

    /// An override's or tile constant's value.
    pub fn value(&self, name: &str) -> Option<u32> {
        self.overrides
            .iter()
            .chain(&self.tile)
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v)
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel)?;
        let slots = self.slots.iter().map(|(s, m)| format!("{}={m}", s.name()));
        let numbers = self
            .tile
            .iter()
            .chain(&self.overrides)
            .map(|(n, v)| format!("{n}={v}"));
        let coop = self.coop.map(|edge| format!("coop={edge}"));
        let all: Vec<String> = slots.chain(numbers).chain(coop).collect();
        if all.is_empty() {
            Ok(())
        } else {
            write!(f, "[{}]", all.join(" "))
        }
    }
}
