//! What a part takes on the device.

use crate::models::wan_transformer::Residency;
use crate::part::Part;

/// One way to run a part, and what it takes while its turn lasts; no two parts are on the device
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartPlan {
    /// Which part.
    pub part: Part,
    /// Whether its weights stay for its whole turn or pass through the device piece by piece.
    pub residency: Residency,
    /// Bytes of weights on the device at a time, staging included where they are streamed.
    pub weights: u64,
    /// Bytes of everything else.
    pub working: u64,
    /// How its activations or weights are cut, for people, where they are.
    pub pieces: Option<String>,
}

impl PartPlan {
    /// Bytes of device memory.
    pub fn bytes(&self) -> u64 {
        self.weights + self.working
    }
}
