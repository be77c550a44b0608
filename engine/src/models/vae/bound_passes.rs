//! A network, or half of it, on the device: bound passes, their weights and buffers.

use std::collections::HashMap;

use super::passes::STATISTICS;
use crate::error::{Error, GpuError};
use crate::gpu::{Bound, Buffer, Gpu, Plan, WeightBuffers};
use crate::record::{Kind, Recording};
use crate::weights::Checkpoint;

/// Recordings bound to their weights and buffers, in one plan.
#[derive(Debug)]
pub(super) struct BoundPasses {
    /// In the order of the recordings.
    pub(super) bound: Vec<Bound>,
    buffers: HashMap<String, Buffer>,
    // Held so that the count of device memory stays true for as long as the passes can run.
    _plan: Plan,
    _weights: WeightBuffers,
}

impl BoundPasses {
    /// Uploads the weights that the recordings name and makes their buffers; `statistics` are
    /// written to the input of that name, where there is one.
    ///
    /// # Errors
    /// Weights that are missing or of another shape, no room on the device.
    pub(super) fn new(
        gpu: &Gpu,
        statistics: &[f32],
        checkpoint: &Checkpoint,
        recordings: &[&Recording],
    ) -> Result<Self, Error> {
        let mut weights = WeightBuffers::new();
        let mut sizes: HashMap<String, u64> = HashMap::new();
        for recording in recordings {
            weights.load(gpu, checkpoint, recording, &str::to_owned)?;
            for (_, info) in recording.iter() {
                if matches!(info.kind, Kind::Input | Kind::Output | Kind::State) {
                    let bytes = sizes.entry(info.name.clone()).or_default();
                    *bytes = info.bytes().max(*bytes);
                }
            }
        }
        let mut buffers = HashMap::new();
        for (name, bytes) in sizes {
            let buffer = gpu.buffer(&name, bytes)?;
            buffers.insert(name, buffer);
        }
        if let Some(buffer) = buffers.get(STATISTICS) {
            gpu.write(buffer, 0, bytemuck::cast_slice(statistics))?;
        }
        let plan = Plan::new(gpu, recordings)?;
        let mut bound = Vec::new();
        for pass in 0..recordings.len() {
            bound.push(plan.bind(pass, &|info| match info.kind {
                Kind::Weight(_) => weights.get(&info.name),
                _ => buffers.get(&info.name).cloned(),
            })?);
        }
        Ok(Self {
            bound,
            buffers,
            _plan: plan,
            _weights: weights,
        })
    }

    /// An input or output of the recordings.
    pub(super) fn buffer(&self, name: &str) -> Result<&Buffer, Error> {
        let missing = || GpuError::Unbound {
            name: name.to_owned(),
        };
        Ok(self.buffers.get(name).ok_or_else(missing)?)
    }
}
