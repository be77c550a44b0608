//! Guidance and a step of the solver.

use super::params::params;
use super::split::{lanes, rows_per_dispatch};
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `solver.wgsl`.
    SolverParams for "solver" {
        count: u32,
    }
}

/// The solver's state, four tensors of the latents' shape. All but `x` start as zeros.
#[derive(Clone, Copy, Debug)]
pub struct SolverTensors {
    /// The sample; noise at first.
    pub x: Tensor,
    /// The corrected sample before the last prediction.
    pub last: Tensor,
    /// The clean sample predicted at the last step.
    pub m0: Tensor,
    /// The clean sample predicted at the step before that.
    pub m1: Tensor,
}

fn variant(caps: &Caps) -> Variant {
    Variant::new("solver").set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    vec![variant(caps)]
}

/// [`solver_step`] over `count` values, on states `x`, `last`, `m0`, `m1`, `v_cond` and `v_uncond`
/// and the input `weights`.
///
/// # Errors
/// As [`solver_step`].
pub fn solver_states(rec: &mut Recorder<'_>, count: usize) -> Result<(), RecordError> {
    let mut state = |name| rec.state(name, [count], DType::F32);
    let tensors = SolverTensors {
        x: state("x")?,
        last: state("last")?,
        m0: state("m0")?,
        m1: state("m1")?,
    };
    let (v_cond, v_uncond) = (state("v_cond")?, state("v_uncond")?);
    let weights = rec.input("weights", [12], DType::F32)?;
    solver_step(rec, &weights, &v_cond, &v_uncond, &tensors)
}

/// Combines the velocities and moves the sample a step on, in place.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | weights | `[12]` | f32, `StepCoefficients::kernel_input` |
/// | v_cond, v_uncond | as `state.x` | f32; may be the same tensor without guidance |
/// | state | all of one shape | f32, in place |
///
/// # Errors
/// Shapes that do not match.
pub fn solver_step(
    rec: &mut Recorder<'_>,
    weights: &Tensor,
    v_cond: &Tensor,
    v_uncond: &Tensor,
    state: &SolverTensors,
) -> Result<(), RecordError> {
    const OP: &str = "solver";
    let count = state.x.shape.count();
    let SolverTensors { x, last, m0, m1 } = state;
    let all = [
        ("x", x),
        ("v_cond", v_cond),
        ("v_uncond", v_uncond),
        ("last", last),
        ("m0", m0),
        ("m1", m1),
    ];
    for (name, tensor) in all {
        if tensor.shape.count() != count || tensor.dtype != DType::F32 {
            let expected = format!("f32 of {count} elements");
            return Err(RecordError::Shape {
                op: OP,
                name,
                found: tensor.shape,
                expected,
            });
        }
    }
    if weights.shape.count() != 12 {
        let expected = "[12]".to_owned();
        return Err(RecordError::Shape {
            op: OP,
            name: "weights",
            found: weights.shape,
            expected,
        });
    }
    let variant = variant(rec.caps());
    let lanes = lanes(rec.caps()) as usize;
    let chunk = rows_per_dispatch(rec.caps(), count, 1, 20);
    for first in (0..count).step_by(chunk) {
        let some = chunk.min(count - first);
        let window = (first * 4) as u64..((first + some) * 4) as u64;
        rec.dispatch(OP, variant.clone())
            .read(1, weights)
            .read_window(2, v_cond, window.clone())
            .read_window(3, v_uncond, window.clone())
            .update_window(4, x, window.clone())
            .update_window(5, last, window.clone())
            .update_window(6, m0, window.clone())
            .update_window(7, m1, window)
            .params(&SolverParams { count: some as u32 })
            .flops(20 * some as u64)
            .launch_folded(some.div_ceil(lanes))?;
    }
    Ok(())
}
