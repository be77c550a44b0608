//! The text of every file in `shaders/`, built into the program.

use super::linker::{link, slot_named};
use super::{Linked, Variant};
use crate::error::ShaderError;
use crate::tensor::DType;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../shaders/", $path, ".wgsl")))),*]
    };
}

/// Every file of `shaders/` but the modules of weights, which the table of element types has; a test
/// compares both with the folder.
const FILES: &[(&str, &str)] = files![
    "add",
    "attention",
    "attention_coop",
    "attention_staged",
    "avg_down",
    "ceiling_coop",
    "ceiling_copy",
    "ceiling_fma",
    "channel_norm",
    "columns",
    "crop_lines",
    "conv3d",
    "denormalise",
    "dup_up",
    "matmul",
    "matmul_coop",
    "matmul_staged",
    "matvec",
    "modulation",
    "norm",
    "pack_weight",
    "patchify",
    "rgb8",
    "rgba8",
    "yuv420",
    "silu",
    "softmax",
    "solver",
    "unpatchify",
    "affine",
    "affine/gain",
    "affine/modulation",
    "affine/rope",
    "bias",
    "bias/keys",
    "bias/table",
    "activation",
    "activation/silu",
    "activation/soft_clamp",
    "coop",
    "input",
    "input/f16",
    "output",
    "output/f16",
    "pixels",
    "pixels/single",
    "reduce",
    "reduce/subgroup",
    "result",
    "result/single",
    "rows",
    "rows/windows",
    "scale",
    "scale/rows",
    "stage",
    "stage/scalar",
    "tile",
    "epilogue",
    "epilogue/bias",
    "epilogue/bias_gelu",
    "epilogue/bias_gelu_erf",
    "epilogue/bias_quick_gelu",
    "epilogue/bias_relu",
    "epilogue/bias_residual",
    "epilogue/bias_residual_relu",
    "epilogue/bias_silu",
    "epilogue/gate_residual",
    "epilogue/gelu_mul",
    "epilogue/relu",
    "epilogue/residual",
    "epilogue/residual_gelu",
    "epilogue/residual_gelu_erf",
    "epilogue/residual_silu",
    "common/bands",
    "common/gelu",
    "common/gelu_erf",
    "common/heads",
    "common/iq4",
    "common/normed",
    "common/operands",
    "common/patches",
    "common/product",
    "common/silu",
    "common/staged",
];

/// WGSL files by path, without the ending.
#[derive(Debug, Clone)]
pub struct Library {
    files: Vec<(&'static str, &'static str)>,
}

impl Default for Library {
    fn default() -> Self {
        let weights = DType::WEIGHTS.into_iter();
        let modules = weights.filter_map(|dtype| dtype.format().weight);
        let mut files = FILES.to_vec();
        files.extend(modules.map(|module| (module.path, module.text)));
        Self { files }
    }
}

impl Library {
    /// A library of other files: for tests of the linker and kernels under development.
    pub fn from_files(files: Vec<(&'static str, &'static str)>) -> Self {
        Self { files }
    }

    /// The text of a file, by its path without the ending.
    pub fn text(&self, path: &str) -> Option<&'static str> {
        self.files
            .iter()
            .find(|(p, _)| *p == path)
            .map(|(_, text)| *text)
    }

    /// The paths of all files.
    pub fn modules(&self) -> impl Iterator<Item = &'static str> {
        self.files.iter().map(|(path, _)| *path)
    }

    /// The files that are kernels: those with an entry point.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.files
            .iter()
            .filter(|(_, text)| text.contains("@compute"))
            .map(|(path, _)| *path)
    }

    /// Whether a file of that path has an entry point.
    pub fn is_kernel(&self, path: &str) -> bool {
        self.text(path)
            .is_some_and(|text| text.contains("@compute"))
    }

    /// The modules that may be put into a slot, `default` standing for the slot's own file.
    pub fn alternatives(&self, slot: &str) -> Vec<&'static str> {
        let Some(slot) = slot_named(slot) else {
            return Vec::new();
        };
        let inside = self.files.iter().filter_map(|(path, _)| {
            path.strip_prefix(slot.name())
                .and_then(|rest| rest.strip_prefix('/'))
        });
        inside.collect()
    }

    /// The linked text of a variant.
    ///
    /// # Errors
    /// See [`ShaderError`].
    pub fn link(&self, variant: &Variant) -> Result<Linked, ShaderError> {
        link(self, variant)
    }
}
