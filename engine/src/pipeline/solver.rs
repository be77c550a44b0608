//! The solver's state and step on the device.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::gpu::{Bound, Buffer, Cancel, Gpu, Plan, READ_PIECE, Stream};
use crate::ops::solver::solver_states;
use crate::record::{Caps, Footprint, Recorder, Recording, buffer_bytes};
use crate::sampling::StepPlan;
use crate::weights::{Encoded, SolverState};

/// The sample and the solver's history on the device.
pub(super) struct Solver {
    gpu: Gpu,
    /// [1, C, T, h, w], the shape of every buffer except `weights`.
    shape: [usize; 5],
    /// The sample.
    pub(super) x: Buffer,
    /// Where the transformer writes.
    pub(super) v_cond: Buffer,
    /// Where the transformer writes for the negative prompt.
    pub(super) v_uncond: Buffer,
    /// `last`, `m0` and `m1`.
    history: [Buffer; 3],
    weights: Buffer,
    /// The staging buffer through which the state is read back.
    staging: Buffer,
    bound: Bound,
    _plan: Plan,
}

/// Records the solver's step for `count` values. All of its tensors persist between steps.
fn recording(caps: &Caps, count: usize) -> Result<Recording, Error> {
    let mut rec = Recorder::new(caps);
    solver_states(&mut rec, count)?;
    Ok(rec.finish())
}

/// Bytes of the staging buffer: one tensor, or a piece of it if the tensor is larger than
/// [`READ_PIECE`].
fn staging_bytes(count: usize) -> u64 {
    buffer_bytes(count as u64 * 4).min(READ_PIECE)
}

/// Bytes of device memory that a solver of `count` values takes.
pub(super) fn solver_bytes(caps: &Caps, count: usize) -> Result<u64, Error> {
    Ok(Footprint::of([&recording(caps, count)?]).total() + staging_bytes(count))
}

impl Solver {
    /// A solver whose state is `tensors`, in the order `x`, `last`, `m0`, `m1`, each of this shape.
    /// Those that are not given start as zeros.
    pub(super) fn new(gpu: &Gpu, shape: [usize; 5], tensors: &[Vec<f32>]) -> Result<Self, Error> {
        let count: usize = shape.iter().product();
        let recording = recording(gpu.caps(), count)?;
        let plan = Plan::new(gpu, &[&recording])?;
        let mut buffers = BTreeMap::new();
        for (_, info) in recording.iter() {
            buffers.insert(info.name.clone(), gpu.buffer(&info.name, info.bytes())?);
        }
        let bound = plan.bind(0, &|info| buffers.get(&info.name).cloned())?;
        let mut take = |name: &str| match buffers.remove(name) {
            Some(buffer) => Ok(buffer),
            None => gpu.buffer(name, count as u64 * 4),
        };
        let solver = Self {
            gpu: gpu.clone(),
            shape,
            x: take("x")?,
            v_cond: take("v_cond")?,
            v_uncond: take("v_uncond")?,
            history: [take("last")?, take("m0")?, take("m1")?],
            weights: take("weights")?,
            staging: gpu.staging(staging_bytes(count))?,
            bound,
            _plan: plan,
        };
        let mut given = tensors.iter();
        for buffer in solver.state() {
            match given.next() {
                Some(values) => gpu.write(buffer, 0, bytemuck::cast_slice(values))?,
                // The history must start at zero, which a new buffer is only by the API's promise.
                None => gpu.clear(buffer)?,
            }
        }
        Ok(solver)
    }

    /// `x`, `last`, `m0` and `m1`.
    fn state(&self) -> [&Buffer; 4] {
        let [last, m0, m1] = &self.history;
        [&self.x, last, m0, m1]
    }

    /// The buffer from which a step that adds noise reads the noise.
    pub(super) fn last(&self) -> &Buffer {
        &self.history[0]
    }

    /// Applies one solver step to the sample. It cannot be cancelled, so that the state always holds
    /// whole steps.
    pub(super) fn step(&self, step: &StepPlan) -> Result<(), Error> {
        let weights = step.kernel_input();
        self.gpu
            .write(&self.weights, 0, bytemuck::cast_slice(&weights))?;
        let mut stream = Stream::new(&self.gpu, &Cancel::new());
        stream.run(&self.bound)?;
        Ok(stream.finish()?)
    }

    /// The clean sample as the last step predicted it, read back.
    pub(super) fn clean(&self) -> Result<Vec<f32>, Error> {
        let [_, m0, _] = &self.history;
        self.read(m0)
    }

    /// The sample, read back.
    pub(super) fn x(&self) -> Result<Vec<f32>, Error> {
        self.read(&self.x)
    }

    /// The whole state, read back, with what encoders made.
    pub(super) fn state_after(
        &self,
        steps_done: usize,
        encoded: &Arc<BTreeMap<String, Encoded>>,
    ) -> Result<SolverState, Error> {
        let [x, last, m0, m1] = self.state().map(|buffer| self.read(buffer));
        Ok(SolverState {
            shape: self.shape,
            steps_done,
            tensors: [x?, last?, m0?, m1?],
            encoded: encoded.clone(),
        })
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        let count: usize = self.shape.iter().product();
        let bytes = self
            .gpu
            .read_through(&self.staging, buffer, 0..count as u64 * 4)?;
        let values = bytes.as_chunks().0.iter();
        Ok(values.map(|&b| f32::from_le_bytes(b)).collect())
    }
}
