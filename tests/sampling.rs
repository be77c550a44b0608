//! Noise, schedules, solver steps and guidance against torch and diffusers, whose values stand in
//! `fixtures/sampling/` beside the script that makes them. No device.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "sampling/distilled.rs"]
mod distilled;
#[path = "sampling/noise.rs"]
mod noise;
mod reference;

use kinora::error::SamplingError;
use kinora::sampling::{
    EulerConfig, Expert, Guidance, MAX_STEPS, Schedule, Scheduler, SolverType, StepCoefficients,
    UniPcConfig, plan_steps, randn,
};
use serde_json::{Value, json};

use crate::reference::solver::State;

/// The largest relative L2 distance from the scheduler's f32 samples; their own rounding is up to
/// 4e-7.
const TRAJECTORY_REL_L2: f64 = 1e-6;
/// Values in a sample of `trajectories.json`.
const SAMPLE: usize = 24;

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// The fixture's short form of a configuration, as the file a model would hold.
fn scheduler(config: &Value) -> Scheduler {
    let mut file = config.as_object().unwrap().clone();
    let class = match file.remove("class").unwrap().as_str().unwrap() {
        "euler" => "FlowMatchEulerDiscreteScheduler",
        _ => {
            file.insert("prediction_type".into(), json!("flow_prediction"));
            file.insert("use_flow_sigmas".into(), json!(true));
            "UniPCMultistepScheduler"
        }
    };
    file.insert("_class_name".into(), json!(class));
    Scheduler::from_json("scheduler_config.json", &Value::from(file).to_string()).unwrap()
}

fn unipc(config: UniPcConfig) -> Scheduler {
    Scheduler::UniPc(config)
}

fn relative_l2(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: f64 = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    (difference / expected.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

#[test]
fn schedules_are_diffusers() {
    let schedules = cases(include_str!("fixtures/sampling/schedules.json"));
    for case in &schedules {
        let schedule = Schedule::new(&scheduler(&case["config"]), count(&case["steps"])).unwrap();
        let timesteps: Vec<f64> = schedule.timesteps.iter().copied().map(f64::from).collect();
        let as_f32 = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        assert_eq!(
            as_f32(&timesteps),
            as_f32(&floats(&case["timesteps"])),
            "{case}"
        );
        assert_eq!(
            as_f32(&schedule.sigmas),
            as_f32(&floats(&case["sigmas"])),
            "{case}"
        );
        assert_eq!(schedule.steps.len(), timesteps.len());
        assert!(timesteps.is_sorted_by(|a, b| a >= b));
    }
    println!("{} schedules, equal bit for bit", schedules.len());
}

#[test]
fn trajectories_are_diffusers() {
    let velocity = |seed| {
        randn(seed, SAMPLE)
            .into_iter()
            .map(f64::from)
            .collect::<Vec<_>>()
    };
    let mut worst: f64 = 0.0;
    for case in cases(include_str!("fixtures/sampling/trajectories.json")) {
        let steps = count(&case["steps"]);
        let schedule = Schedule::new(&scheduler(&case["config"]), steps).unwrap();
        let mut state = State::new(&randn(1, SAMPLE));
        let mut compared = 0;
        for (i, step) in schedule.steps.iter().enumerate() {
            let v = velocity(1000 + i as u64);
            state.step(&step.kernel_input(None), &v, &[]);
            if let Some(expected) = case["samples"].get(i.to_string()) {
                let distance = relative_l2(&state.x, &floats(expected));
                assert!(
                    distance < TRAJECTORY_REL_L2,
                    "step {i} of {steps}, {}: {distance:.1e}",
                    case["config"]
                );
                worst = worst.max(distance);
                compared += 1;
            }
        }
        assert_eq!(compared, case["samples"].as_object().unwrap().len());
        assert!(compared > 0);
    }
    println!("largest relative L2 distance from diffusers: {worst:.1e}");
}

/// The history is exactly what the documentation of the kernel says, and guidance combines the
/// velocities.
#[test]
fn a_step_rotates_the_history() {
    let step = StepCoefficients {
        sigma: 0.5,
        corrector: [0.25, 0.5, 2.0, 4.0, 8.0],
        predictor: [1.0, 16.0, 32.0, 64.0],
        renoises: false,
    };
    let mut state = State {
        x: vec![1.0],
        last: vec![2.0],
        m0: vec![3.0],
        m1: vec![5.0],
    };
    state.step(&step.kernel_input(Some(3.0)), &[1.0], &[0.5]);
    // v = 0.5 + 3·0.5 = 2, x0 = 1 − 0.5·2 = 0, corrected = 0.25 + 1 + 6 + 20 + 0.
    let (v, x0, corrected) = (2.0, 0.0, 27.25);
    let next = corrected + 16.0 * x0 + 32.0 * 3.0 + 64.0 * v;
    assert_eq!(
        state,
        State {
            x: vec![next],
            last: vec![corrected],
            m0: vec![x0],
            m1: vec![3.0]
        }
    );

    let input = step.kernel_input(Some(3.0));
    assert_eq!(
        input,
        [
            1.0, 3.0, 0.5, 0.25, 0.5, 2.0, 4.0, 8.0, 1.0, 16.0, 32.0, 64.0
        ]
    );
    assert_eq!(step.kernel_input(None)[..2], [0.0, 1.0]);
}

/// With the exact velocity of a straight path, both solvers end in the clean sample, whatever the
/// steps.
#[test]
fn a_straight_path_ends_in_its_clean_sample() {
    let noise = randn(3, SAMPLE);
    let clean: Vec<f64> = randn(4, SAMPLE).into_iter().map(f64::from).collect();
    let v: Vec<f64> = noise
        .iter()
        .zip(&clean)
        .map(|(&n, c)| f64::from(n) - c)
        .collect();
    for scheduler in [
        unipc(UniPcConfig {
            flow_shift: 5.0,
            ..UniPcConfig::default()
        }),
        Scheduler::Euler(EulerConfig::default()),
    ] {
        for steps in [1, 2, 7, 30] {
            let mut state = State::new(&noise);
            for step in Schedule::new(&scheduler, steps).unwrap().steps {
                state.step(&step.kernel_input(None), &v, &[]);
            }
            // UniPC starts at sigma 1 − 1e-6 with a sample of sigma 1.
            assert!(
                relative_l2(&state.x, &clean) < 3e-6,
                "{scheduler:?}, {steps} steps"
            );
        }
    }
}

#[test]
fn the_plan_is_wan_pipelines() {
    for case in cases(include_str!("fixtures/sampling/pipeline.json")) {
        let schedule = Schedule::new(&scheduler(&case["config"]), count(&case["steps"])).unwrap();
        let (scale, second) = (
            case["scale"].as_f64().unwrap() as f32,
            case["second"].as_f64().unwrap() as f32,
        );
        let guidance = Guidance {
            scale,
            low_noise_scale: case["scale_2"].as_f64().map(|scale| scale as f32),
            boundary_ratio: case["ratio"].as_f64(),
            ..Guidance::default()
        };
        let guided = case["guided"].as_bool().unwrap();
        assert_eq!(guidance.is_on(), guided);
        let plans = plan_steps(&schedule, &guidance).unwrap();
        for (i, (plan, expert)) in plans
            .iter()
            .zip(case["high"].as_str().unwrap().chars())
            .enumerate()
        {
            let (expert, scale) = if expert == 'H' {
                (Expert::HighNoise, scale)
            } else {
                (Expert::LowNoise, second)
            };
            // A scale of 1 is the conditional pass, without the other one.
            let expected = (guided && scale != 1.0).then_some(scale);
            assert_eq!(
                (plan.index, plan.expert, plan.guidance),
                (i, expert, expected),
                "{case}"
            );
            assert_eq!(plan.timestep, schedule.timesteps[i]);
            assert_eq!(
                plan.kernel_input(),
                schedule.steps[i].kernel_input(expected)
            );
        }
        assert_eq!(plans.len(), schedule.steps.len());
    }
}

#[test]
fn guidance_stops_after_a_share_of_the_steps() {
    let schedule = Schedule::new(&unipc(UniPcConfig::default()), 12).unwrap();
    for (stop, guided) in [(0.0, 0), (0.6, 7), (0.5, 6), (0.99, 11), (1.0, 12)] {
        let guidance = Guidance {
            stop,
            ..Guidance::default()
        };
        let plans = plan_steps(&schedule, &guidance).unwrap();
        for plan in plans {
            assert_eq!(plan.guidance.is_some(), plan.index < guided, "{stop}");
        }
    }
}

#[test]
fn wrong_guidance_is_refused() {
    let schedule = Schedule::new(&unipc(UniPcConfig::default()), 4).unwrap();
    let refused = |guidance| plan_steps(&schedule, &guidance).unwrap_err().to_string();
    let wan = Guidance::default();
    assert!(
        refused(Guidance {
            scale: f32::NAN,
            ..wan
        })
        .contains("`guidance_scale` is NaN")
    );
    for stop in [-0.1, 1.1, f64::NAN] {
        assert!(refused(Guidance { stop, ..wan }).contains("`guidance_stop` is"));
    }
    assert!(
        refused(Guidance {
            low_noise_scale: Some(3.0),
            ..wan
        })
        .contains("no second expert")
    );
    let two = Guidance {
        boundary_ratio: Some(0.9),
        ..wan
    };
    assert!(
        refused(Guidance {
            low_noise_scale: Some(f32::INFINITY),
            ..two
        })
        .contains("`guidance_scale_2` is inf")
    );
    assert!(
        refused(Guidance {
            boundary_ratio: Some(875.0),
            ..wan
        })
        .contains("`boundary_ratio` is 875")
    );
}

#[test]
fn impossible_schedules_are_refused() {
    let wan = UniPcConfig {
        flow_shift: 5.0,
        ..UniPcConfig::default()
    };
    let refused = |scheduler: &Scheduler, steps| Schedule::new(scheduler, steps).unwrap_err();
    assert!(matches!(
        refused(&unipc(wan.clone()), 0),
        SamplingError::ZeroSteps
    ));
    assert!(matches!(
        refused(&unipc(wan.clone()), MAX_STEPS + 1),
        SamplingError::TooManySteps { .. }
    ));
    for shift in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let error = refused(&unipc(wan.clone()).with_shift(shift), 4);
        assert!(
            matches!(
                error,
                SamplingError::Option {
                    option: "flow_shift",
                    ..
                }
            ),
            "{error}"
        );
    }
    // Where the reference returns NaN or infinity.
    let full_order = unipc(UniPcConfig {
        lower_order_final: false,
        ..wan.clone()
    });
    assert!(matches!(
        refused(&full_order, 5),
        SamplingError::NoFiniteStep {
            step: 4,
            steps: 5,
            ..
        }
    ));
    assert!(matches!(
        refused(&unipc(wan.clone()).with_shift(1e12), 4),
        SamplingError::NoFiniteStep { .. }
    ));
    let terminal = unipc(UniPcConfig {
        shift_terminal: Some(0.1),
        ..wan.clone()
    });
    assert!(matches!(
        refused(&terminal, 1),
        SamplingError::NoFiniteSigma { step: 0, steps: 1 }
    ));
    // Where the reference returns NaN only for multiplying an empty sum by infinity, the limit is
    // the clean sample.
    let bh1 = Schedule::new(
        &unipc(UniPcConfig {
            solver_type: SolverType::Bh1,
            ..wan.clone()
        }),
        5,
    )
    .unwrap();
    assert_eq!(bh1.steps[4].predictor, [0.0, 1.0, 0.0, 0.0]);
    // More steps than the training schedule has: timesteps repeat, as in the reference.
    let many = Schedule::new(&unipc(wan), 1500).unwrap();
    assert_eq!(many.timesteps[..2], [999.0, 999.0]);
}
