//! How a part runs on the device and how much memory that takes.

use crate::models::wan_transformer::Residency;
use crate::part::Part;

/// One way to run a part, and the memory it takes during its turn. Only one part is on the device at
/// a time.
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
    /// A description of how its activations or weights are divided, if they are.
    pub pieces: Option<String>,
}

impl PartPlan {
    /// Bytes of device memory.
    pub fn bytes(&self) -> u64 {
        self.weights + self.working
    }
}
