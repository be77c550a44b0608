//! Chooses how to run each part within a budget of device memory, before anything is loaded.

use std::fmt;

use serde_json::json;

use super::part::PartPlan;
use crate::error::{Error, RequestError};
use crate::models::wan_transformer::Residency;
use crate::part::Part;
use crate::request::bytes_for_people;

/// What a run takes on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Bytes that the run may use; `None` if no budget was given and the device reports none.
    pub budget: Option<u64>,
    /// The parts, in the order of their turns.
    pub parts: Vec<PartPlan>,
}

impl MemoryPlan {
    /// Chooses for each part the first of its choices that fits the budget. Choices are ordered from
    /// the fastest, which keeps most on the device, to the smallest.
    ///
    /// # Errors
    /// [`RequestError::Memory`] for a part whose last choice, the least, does not fit.
    pub(crate) fn choose(
        choices: impl IntoIterator<Item = Vec<PartPlan>>,
        budget: Option<u64>,
    ) -> Result<Self, Error> {
        let fits = |plan: &PartPlan| budget.is_none_or(|budget| plan.bytes() <= budget);
        let mut parts = Vec::new();
        for mut choices in choices {
            match choices.iter().position(fits) {
                Some(first) => parts.push(choices.swap_remove(first)),
                None => {
                    if let (Some(least), Some(budget)) = (choices.pop(), budget) {
                        return Err(too_large(least.part, least.bytes(), budget));
                    }
                }
            }
        }
        Ok(Self { budget, parts })
    }

    /// Bytes of device memory that the run takes at most.
    pub fn peak_bytes(&self) -> u64 {
        self.parts.iter().map(PartPlan::bytes).max().unwrap_or(0)
    }

    /// `peak_bytes`, `budget_bytes` and a row for each of the `parts`, for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let row = |part: &PartPlan| {
            json!({
                "part": part.part.name(),
                "residency": match part.residency {
                    Residency::Resident | Residency::Minimal => "resident",
                    Residency::Streamed(_) => "streamed",
                },
                "weights_bytes": part.weights,
                "working_bytes": part.working,
                "peak_bytes": part.bytes(),
                "pieces": part.pieces,
            })
        };
        json!({
            "budget_bytes": self.budget,
            "peak_bytes": self.peak_bytes(),
            "parts": self.parts.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// The choice for a part, if the run has it.
    pub fn part(&self, part: Part) -> Option<&PartPlan> {
        self.parts.iter().find(|planned| planned.part == part)
    }
}

/// The error for a part whose smallest choice exceeds the budget.
pub(super) fn too_large(part: Part, needed: u64, budget: u64) -> Error {
    RequestError::Memory {
        part: part.name(),
        needed,
        budget,
        instead: None,
    }
    .into()
}

/// A table of a few lines, for people.
impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:14} {:>10} {:>10} {:>10}",
            "memory", "weights", "the rest", "together"
        )?;
        for part in &self.parts {
            let sizes = [part.weights, part.working, part.bytes()].map(bytes_for_people);
            let how = match (part.residency, &part.pieces) {
                (_, Some(pieces)) => pieces.as_str(),
                (Residency::Resident | Residency::Minimal, None) => "",
                (Residency::Streamed(_), None) => "streamed",
            };
            let [weights, working, together] = sizes;
            let row = format!(
                "{:14} {weights:>10} {working:>10} {together:>10}  {how}",
                part.part.name()
            );
            writeln!(f, "{}", row.trim_end())?;
        }
        write!(f, "at most {}", bytes_for_people(self.peak_bytes()))?;
        match self.budget {
            Some(budget) => write!(f, " of {}", bytes_for_people(budget)),
            None => Ok(()),
        }
    }
}
