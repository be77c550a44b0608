//! Noise, schedules, solver steps and guidance against torch and diffusers, whose values stand in
//! `fixtures/sampling/` beside the script that makes them. No device.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use kinora::error::{Error, SamplingError};
use kinora::models::config::{ModelConfig, ModelFolder, SchedulerName};
use kinora::sampling::{
    Distilled, EulerConfig, Expert, Guidance, MAX_STEPS, Noise, NoiseOrder, Schedule, Scheduler,
    SolverState, SolverType, StepCoefficients, UniPcConfig, fill_randn, plan_steps, randn,
};
use kinora::text_to_video::{Note, Request, Settings};
use serde_json::{Value, json};

/// The largest difference from `torch.randn`; torch's own two paths differ by 2.4e-6.
const NOISE_MAX_ABS: f64 = 2e-6;
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
fn noise_is_torchs() {
    let mut worst: f64 = 0.0;
    for case in cases(include_str!("fixtures/sampling/randn.json")) {
        let (seed, n) = (case["seed"].as_u64().unwrap(), count(&case["n"]));
        let noise = randn(seed, n).unwrap();
        assert_eq!(noise.len(), n);
        let head = floats(&case["head"]);
        let tail = case.get("tail").map_or_else(Vec::new, floats);
        let found = noise[..head.len()].iter().chain(&noise[n - tail.len()..]);
        for (a, b) in found.zip(head.iter().chain(&tail)) {
            let difference = (f64::from(*a) - b).abs();
            assert!(
                difference <= NOISE_MAX_ABS,
                "seed {seed}, {n} values: {a} against {b}"
            );
            worst = worst.max(difference);
        }
        if case.get("sum").is_some() {
            let values = || noise.iter().copied().map(f64::from);
            let (sum, squares) = (values().sum::<f64>(), values().map(|v| v * v).sum::<f64>());
            let bound = 1e-7 * n as f64;
            assert!((sum - case["sum"].as_f64().unwrap()).abs() < bound);
            assert!((squares - case["squares"].as_f64().unwrap()).abs() < bound);
        }
    }
    println!("largest difference from torch.randn: {worst:.1e}");
}

#[test]
fn noise_fills_what_it_is_given() {
    let mut out = [7.0; 33];
    fill_randn(42, &mut out).unwrap();
    assert_eq!(out.as_slice(), randn(42, 33).unwrap());
    assert!(randn(42, 0).unwrap().is_empty());
    // The last 16 values are drawn again, so that a shorter run is no prefix of a longer one.
    assert_eq!(randn(42, 32).unwrap()[..16], out[..16]);
    assert_ne!(randn(42, 32).unwrap()[17..], out[17..32]);
}

/// A generator goes on where it stopped, also in the middle of a pair; values from torch 2.11.
#[test]
fn noise_goes_on() {
    let mut noise = Noise::new(7).unwrap();
    for (n, last) in [
        (5, 1.690_790_2),
        (3, 1.232_385_8),
        (20, -1.367_739_7),
        (1, 1.814_972_8),
        (2, 1.614_814_8),
    ] {
        let mut out = vec![0.0; n];
        noise.fill(&mut out);
        assert!((out[n - 1] - last).abs() < 2e-6, "{n}: {out:?}");
    }
    let shape = [1, 3, 2, 4, 5];
    let mut frames_first = Noise::new(7).unwrap();
    let found = frames_first.latents(shape, NoiseOrder::FramesFirst);
    let drawn = randn(7, 120).unwrap();
    for (at, value) in found.iter().enumerate() {
        let (c, t, pixel) = (at / 40, at / 20 % 2, at % 20);
        assert_eq!(*value, drawn[(t * 3 + c) * 20 + pixel]);
    }
}

#[test]
fn seeds_have_32_bits() {
    assert!(randn(u64::from(u32::MAX), 16).is_ok());
    let error = randn((1 << 40) + 5, 16).unwrap_err();
    assert!(matches!(
        error,
        SamplingError::SeedTooLarge {
            seed: 1_099_511_627_781
        }
    ));
    assert!(error.to_string().contains("4294967295"), "{error}");
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
            .unwrap()
            .into_iter()
            .map(f64::from)
            .collect::<Vec<_>>()
    };
    let mut worst: f64 = 0.0;
    for case in cases(include_str!("fixtures/sampling/trajectories.json")) {
        let steps = count(&case["steps"]);
        let schedule = Schedule::new(&scheduler(&case["config"]), steps).unwrap();
        let mut state = SolverState::new(&randn(1, SAMPLE).unwrap());
        let mut compared = 0;
        for (i, step) in schedule.steps.iter().enumerate() {
            let v = velocity(1000 + i as u64);
            step.apply(None, &v, &v, &mut state).unwrap();
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
    let mut state = SolverState {
        x: vec![1.0],
        last: vec![2.0],
        m0: vec![3.0],
        m1: vec![5.0],
    };
    step.apply(Some(3.0), &[1.0], &[0.5], &mut state).unwrap();
    // v = 0.5 + 3·0.5 = 2, x0 = 1 − 0.5·2 = 0, corrected = 0.25 + 1 + 6 + 20 + 0.
    let (v, x0, corrected) = (2.0, 0.0, 27.25);
    let next = corrected + 16.0 * x0 + 32.0 * 3.0 + 64.0 * v;
    assert_eq!(
        state,
        SolverState {
            x: vec![next],
            last: vec![corrected],
            m0: vec![x0],
            m1: vec![3.0]
        }
    );
    assert!(step.corrects());

    let input = step.kernel_input(Some(3.0));
    assert_eq!(
        input,
        [
            1.0, 3.0, 0.5, 0.25, 0.5, 2.0, 4.0, 8.0, 1.0, 16.0, 32.0, 64.0
        ]
    );
    assert_eq!(step.kernel_input(None)[..2], [0.0, 1.0]);

    let error = step
        .apply(None, &[1.0], &[1.0, 2.0], &mut state)
        .unwrap_err();
    assert!(matches!(
        error,
        SamplingError::Length {
            operand: "v_uncond",
            found: 2,
            expected: 1
        }
    ));
}

/// With the exact velocity of a straight path, both solvers end in the clean sample, whatever the
/// steps.
#[test]
fn a_straight_path_ends_in_its_clean_sample() {
    let noise = randn(3, SAMPLE).unwrap();
    let clean: Vec<f64> = randn(4, SAMPLE)
        .unwrap()
        .into_iter()
        .map(f64::from)
        .collect();
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
            let mut state = SolverState::new(&noise);
            for step in Schedule::new(&scheduler, steps).unwrap().steps {
                step.apply(None, &v, &v, &mut state).unwrap();
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

/// Distilled models: what the projects that make them say of times and noise levels. The loops are
/// compared in `pipelines.rs`.
#[test]
fn distilled_models_have_their_own_times() {
    let of = |kind: Distilled, list: &[u32], shift| {
        let scheduler = unipc(UniPcConfig::default()).into_distilled(kind, list.to_vec());
        Schedule::new(&scheduler.with_shift(shift), list.len())
    };
    // As told; the levels are those of the nearest times of 8·k / (1000 + 7·k).
    let dmd = of(Distilled::Dmd, Distilled::Dmd.timesteps(), 8.0).unwrap();
    assert_eq!(dmd.timesteps, [1000.0, 757.0, 522.0]);
    let near = |found: &[f64], expected: &[f64]| {
        assert!(relative_l2(found, expected) < 1e-7, "{found:?}");
    };
    near(&dmd.sigmas, &[1.0, 2.24 / 2.96, 0.96 / 1.84, 0.0]);
    // Shifted, and so are the levels.
    let lcm = of(Distilled::Lcm, Distilled::Lcm.timesteps(), 5.0).unwrap();
    near(&lcm.sigmas, &[1.0, 3.75 / 4.0, 2.5 / 3.0, 1.25 / 2.0, 0.0]);
    let told: Vec<f64> = lcm
        .timesteps
        .iter()
        .map(|&t| f64::from(t) / 1000.0)
        .collect();
    near(&told, &lcm.sigmas[..4]);
    let renoises: Vec<bool> = lcm.steps.iter().map(|step| step.renoises).collect();
    assert_eq!(renoises, [true, true, true, false]);

    for list in [&[][..], &[0], &[1001], &[500, 500], &[500, 501]] {
        let error = of(Distilled::Lcm, list, 5.0).unwrap_err().to_string();
        let named = error.starts_with("sampling option `timesteps` is ");
        assert!(named || list.is_empty(), "{error}");
    }
    let scheduler = unipc(UniPcConfig::default()).into_distilled(Distilled::Dmd, vec![9, 8]);
    let error = Schedule::new(&scheduler, 3).unwrap_err();
    assert!(matches!(
        error,
        SamplingError::StepsOfList {
            steps: 3,
            listed: 2
        }
    ));
}

/// A step takes its noise from `last`, and its result is the prediction under that noise.
#[test]
fn a_distilled_step_renoises_its_prediction() {
    let scheduler = unipc(UniPcConfig::default()).into_distilled(Distilled::Lcm, vec![800, 500]);
    let steps = Schedule::new(&scheduler.with_shift(1.0), 2).unwrap().steps;
    let mut state = SolverState::new(&[2.0]);
    state.last = vec![-3.0];
    steps[0]
        .apply(None, &[0.5], &[f64::NAN], &mut state)
        .unwrap();
    // x0 = 2 − 0.8·0.5, x′ = 0.5·x0 + 0.5·(−3)
    assert!((state.x[0] - (0.5 * 1.6 - 1.5)).abs() < 1e-6, "{state:?}");
    steps[1]
        .apply(None, &[0.25], &[f64::NAN], &mut state)
        .unwrap();
    let clean = -0.7 - 0.5 * 0.25;
    assert!((state.x[0] - clean).abs() < 1e-6, "{state:?}");
}

fn wan21() -> ModelConfig {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let folder = ModelFolder::open(fixtures.join("wan21/model")).unwrap();
    folder.config().unwrap()
}

#[test]
fn distilled_sampling_is_chosen_whole() {
    let config = wan21();
    let request = |scheduler: &str| Request {
        scheduler: SchedulerName::named(scheduler),
        ..Request::new("a boat")
    };
    let chosen = |request: &Request| {
        let settings = Settings::resolve(request, &config).unwrap();
        let times = settings.timesteps.clone().unwrap_or_default();
        assert!(times.is_empty() || times.len() == settings.steps);
        (settings.steps, times, settings.guidance, settings.shift)
    };
    // A flag makes of a model what it needs: steps, no guidance, shift.
    let dmd = chosen(&request("dmd"));
    assert_eq!(dmd, (3, vec![1000, 757, 522], 1.0, Some(8.0)));
    let lcm = chosen(&request("lcm"));
    assert_eq!(lcm, (4, vec![1000, 750, 500, 250], 1.0, Some(5.0)));
    let eight = Request {
        steps: Some(8),
        ..request("lcm")
    };
    let times = vec![1000, 875, 750, 625, 500, 375, 250, 125];
    assert_eq!(chosen(&eight), (8, times, 1.0, Some(5.0)));
    let listed = Request {
        timesteps: Some(vec![900, 400]),
        shift: Some(2.0),
        ..request("dmd")
    };
    assert_eq!(chosen(&listed), (2, vec![900, 400], 1.0, Some(2.0)));
    let (steps, times, guidance, _) = chosen(&request("euler"));
    assert_eq!((steps, times.len(), guidance), (50, 0, 5.0));

    let guided = Request {
        guidance: Some(4.0),
        ..request("dmd")
    };
    let settings = Settings::resolve(&guided, &config).unwrap();
    assert_eq!(settings.guidance, 4.0);
    assert!(
        settings.notes.contains(&Note::Guided { scale: 4.0 }),
        "{:?}",
        settings.notes
    );

    let refused = |request: Request| {
        let error: Error = Settings::resolve(&request, &config).unwrap_err();
        error.to_string()
    };
    for (request, says) in [
        (
            Request {
                steps: Some(5),
                ..request("dmd")
            },
            "--timesteps with a list of 5",
        ),
        (
            Request {
                steps: Some(3),
                ..listed.clone()
            },
            "as many as there are --timesteps",
        ),
        (
            Request {
                timesteps: Some(vec![9]),
                ..request("unipc")
            },
            "--scheduler dmd or lcm",
        ),
    ] {
        let error = refused(request);
        assert!(error.contains(says), "{error}");
    }
}
