//! Sizes that the kernels read four at a time.

use crate::error::ModelError;

/// Refuses configuration fields that are not multiples of 4, which the kernels need.
pub(super) fn check_multiples_of_four(
    model: &'static str,
    fields: &[(&'static str, usize)],
) -> Result<(), ModelError> {
    match fields.iter().find(|(_, found)| found % 4 != 0) {
        None => Ok(()),
        Some(&(field, found)) => Err(ModelError::Unsupported {
            model,
            field,
            found,
            expected: "a multiple of 4",
        }),
    }
}
