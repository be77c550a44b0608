//! The solver kernel's naive twin: the formula of [`StepCoefficients`], one element at a time, in
//! f64.

use super::solver::StepCoefficients;
use crate::error::SamplingError;

/// The solver's four state buffers, all as long as the latents.
#[derive(Clone, Debug, PartialEq)]
pub struct SolverState {
    /// The sample.
    pub x: Vec<f64>,
    /// The corrected sample before the last prediction.
    pub last: Vec<f64>,
    /// The clean sample predicted at the last step.
    pub m0: Vec<f64>,
    /// The clean sample predicted at the step before that.
    pub m1: Vec<f64>,
}

impl SolverState {
    /// The state before the first step.
    pub fn new(noise: &[f32]) -> Self {
        let zeros = vec![0.0; noise.len()];
        let x = noise.iter().copied().map(f64::from).collect();
        Self {
            x,
            last: zeros.clone(),
            m0: zeros.clone(),
            m1: zeros,
        }
    }
}

impl StepCoefficients {
    /// One step of the solver on `state`. Without `guidance` the values of `v_uncond` are not used;
    /// it may be `v_cond`.
    ///
    /// # Errors
    ///
    /// [`SamplingError::Length`] if an operand is not as long as `state.x`.
    pub fn apply(
        &self,
        guidance: Option<f32>,
        v_cond: &[f64],
        v_uncond: &[f64],
        state: &mut SolverState,
    ) -> Result<(), SamplingError> {
        let SolverState { x, last, m0, m1 } = state;
        let expected = x.len();
        let operands = [
            ("v_cond", v_cond),
            ("v_uncond", v_uncond),
            ("last", last),
            ("m0", m0),
            ("m1", m1),
        ];
        if let Some((operand, values)) = operands
            .into_iter()
            .find(|(_, values)| values.len() != expected)
        {
            return Err(SamplingError::Length {
                operand,
                found: values.len(),
                expected,
            });
        }
        let sigma = f64::from(self.sigma);
        let [cx, cl, c0, c1, c2] = self.corrector.map(f64::from);
        let [pc, p2, p0, pv] = self.predictor.map(f64::from);
        for i in 0..expected {
            let v = match guidance {
                Some(scale) => v_uncond[i] + f64::from(scale) * (v_cond[i] - v_uncond[i]),
                None => v_cond[i],
            };
            let x0 = x[i] - sigma * v;
            let corrected = cx * x[i] + cl * last[i] + c0 * m0[i] + c1 * m1[i] + c2 * x0;
            let next = pc * corrected + p2 * x0 + p0 * m0[i] + pv * v;
            m1[i] = m0[i];
            m0[i] = x0;
            last[i] = corrected;
            x[i] = next;
        }
        Ok(())
    }
}
