//! Recognises other programs' quantised files by the tensors that only they hold.

use super::Checkpoint;
use crate::error::WeightsError;

/// Endings of tensors' names, and the program or format that uses them.
const FOREIGN: [(&str, &str); 10] = [
    (".weight.absmax", "4-bit (NF4 or FP4) of bitsandbytes"),
    (".weight.quant_map", "4-bit (NF4 or FP4) of bitsandbytes"),
    (".SCB", "int8 of bitsandbytes"),
    (".qweight", "GPTQ or AWQ"),
    (".wscales", "SVDQuant (nunchaku)"),
    (".weight._shift", "qint4 or qint2 of optimum-quanto"),
    (".weight_packed", "compressed-tensors"),
    (".weight_zero_point", "integers with zero points"),
    (
        ".weight_scale_inv",
        "8-bit floats with a scale for each 128 by 128",
    ),
    (
        ".pre_quant_scale",
        "of ModelOpt, with scales of activations folded in",
    ),
];

impl Checkpoint {
    /// Refuses formats of other programs that Kinora does not read.
    ///
    /// # Errors
    /// [`WeightsError::Quantised`] with the first such tensor.
    pub(super) fn refuse_foreign(&self) -> Result<(), WeightsError> {
        for tensor in &self.tensors {
            let known = FOREIGN
                .iter()
                .find(|(ending, _)| tensor.name.ends_with(ending));
            if let Some((_, found)) = known {
                return Err(self.not_read(tensor, found));
            }
        }
        Ok(())
    }
}
