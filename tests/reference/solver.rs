//! A solver step: the formula of `StepCoefficients`, one element at a time.

/// The kernel's four state buffers, all as long as the latents.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The sample.
    pub x: Vec<f64>,
    /// The corrected sample before the last prediction.
    pub last: Vec<f64>,
    /// The clean sample predicted at the last step.
    pub m0: Vec<f64>,
    /// The clean sample predicted at the step before that.
    pub m1: Vec<f64>,
}

impl State {
    /// The state before the first step.
    pub fn new(noise: &[f32]) -> Self {
        let zeros = vec![0.0; noise.len()];
        Self {
            x: noise.iter().copied().map(f64::from).collect(),
            last: zeros.clone(),
            m0: zeros.clone(),
            m1: zeros,
        }
    }

    /// One step, by the kernel's twelve numbers. Unless the first is one, `uncond` is not read.
    pub fn step(&mut self, numbers: &[f32; 12], cond: &[f64], uncond: &[f64]) {
        let [guided, scale, sigma, cx, cl, c0, c1, c2, pc, p2, p0, pv] = numbers.map(f64::from);
        for i in 0..self.x.len() {
            let v = if guided == 1.0 {
                uncond[i] + scale * (cond[i] - uncond[i])
            } else {
                cond[i]
            };
            let (x, last, m0, m1) = (self.x[i], self.last[i], self.m0[i], self.m1[i]);
            let clean = x - sigma * v;
            let corrected = cx * x + cl * last + c0 * m0 + c1 * m1 + c2 * clean;
            self.x[i] = pc * corrected + p2 * clean + p0 * m0 + pv * v;
            self.last[i] = corrected;
            self.m0[i] = clean;
            self.m1[i] = m0;
        }
    }
}
