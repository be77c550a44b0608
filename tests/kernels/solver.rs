//! Solver steps against their naive twin.

use kinora::ops::solver::{SolverTensors, solver_step};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{ELEMENTWISE, close};
use crate::harness::data::values;
use crate::harness::{Input, Run, device_test};
use crate::reference::solver::State;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for count in [1, 7, 64, 65, 1009] {
        for guided in [false, true] {
            let name = format!("solver/{count}/{}", if guided { "guided" } else { "plain" });
            trials.push(device_test(name, move |gpu| step(gpu, count, guided)));
        }
    }
    trials
}

fn step(gpu: &kinora::gpu::Gpu, count: usize, guided: bool) -> Result<(), Failed> {
    let flag = if guided { 1.0 } else { 0.0 };
    let weights: [f32; 12] = [
        flag, 5.0, 0.83, 0.9, -0.3, 0.2, 0.15, -0.4, 0.7, 0.6, -0.1, 0.25,
    ];
    let [cond, mut uncond, x, last, m0, m1] = [1, 2, 3, 4, 5, 6].map(|seed| values(seed, count));
    if !guided {
        // Nothing has been computed there.
        uncond.fill(f32::NAN);
    }
    let found = Run::new(gpu)
        .input("weights", Input::F32(&weights))
        .input("cond", Input::F32(&cond))
        .input("uncond", Input::F32(&uncond))
        .input("x", Input::F32(&x))
        .input("last", Input::F32(&last))
        .input("m0", Input::F32(&m0))
        .input("m1", Input::F32(&m1))
        .record(|rec, _| {
            let weights = rec.input("weights", [12], DType::F32)?;
            let cond = rec.input("cond", [count], DType::F32)?;
            let uncond = rec.input("uncond", [count], DType::F32)?;
            let state = SolverTensors {
                x: rec.state("x", [count], DType::F32)?,
                last: rec.state("last", [count], DType::F32)?,
                m0: rec.state("m0", [count], DType::F32)?,
                m1: rec.state("m1", [count], DType::F32)?,
            };
            solver_step(rec, &weights, &cond, &uncond, &state)?;
            Ok(vec![state.x, state.last, state.m0, state.m1])
        })?;
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let mut state = State {
        x: wide(&x),
        last: wide(&last),
        m0: wide(&m0),
        m1: wide(&m1),
    };
    state.step(&weights, &wide(&cond), &wide(&uncond));
    let expected = [state.x, state.last, state.m0, state.m1];
    for (i, name) in ["x", "last", "m0", "m1"].into_iter().enumerate() {
        close(name, &found[i], &expected[i], ELEMENTWISE)?;
    }
    Ok(())
}
