//! Models distilled to a few steps: their times, their steps and what is chosen with them.

use std::path::Path;

use kinora::error::{Error, SamplingError};
use kinora::model_files::{ModelConfig, ModelFolder, SchedulerName};
use kinora::request::{Note, Request, Settings};
use kinora::sampling::{Distilled, Schedule, UniPcConfig};

use super::{relative_l2, unipc};
use crate::reference::solver::State;

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
    let mut state = State::new(&[2.0]);
    state.last = vec![-3.0];
    state.step(&steps[0].kernel_input(None), &[0.5], &[f64::NAN]);
    // x0 = 2 − 0.8·0.5, x′ = 0.5·x0 + 0.5·(−3)
    assert!((state.x[0] - (0.5 * 1.6 - 1.5)).abs() < 1e-6, "{state:?}");
    state.step(&steps[1].kernel_input(None), &[0.25], &[f64::NAN]);
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
    let request = |scheduler: &str| {
        let mut request = Request::new("a boat");
        request.scheduler = SchedulerName::named(scheduler);
        request
    };
    let with = |scheduler: &str, change: &dyn Fn(&mut Request)| {
        let mut request = request(scheduler);
        change(&mut request);
        request
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
    let eight = with("lcm", &|r| {
        r.steps = Some(8);
    });
    let times = vec![1000, 875, 750, 625, 500, 375, 250, 125];
    assert_eq!(chosen(&eight), (8, times, 1.0, Some(5.0)));
    let listed = with("dmd", &|r| {
        r.timesteps = Some(vec![900, 400]);
        r.shift = Some(2.0);
    });
    assert_eq!(chosen(&listed), (2, vec![900, 400], 1.0, Some(2.0)));
    let (steps, times, guidance, _) = chosen(&request("euler"));
    assert_eq!((steps, times.len(), guidance), (50, 0, 5.0));

    let guided = with("dmd", &|r| {
        r.guidance = Some(4.0);
    });
    let settings = Settings::resolve(&guided, &config).unwrap();
    assert_eq!(settings.guidance, 4.0);
    assert!(
        settings.notes().contains(&Note::Guided { scale: 4.0 }),
        "{:?}",
        settings.notes()
    );

    let refused = |request: Request| {
        let error: Error = Settings::resolve(&request, &config).unwrap_err();
        error.to_string()
    };
    for (request, says) in [
        (
            with("dmd", &|r| r.steps = Some(5)),
            "timesteps with a list of 5",
        ),
        (
            {
                let mut fewer = listed.clone();
                fewer.steps = Some(3);
                fewer
            },
            "as many as there are timesteps",
        ),
        (
            with("unipc", &|r| r.timesteps = Some(vec![9])),
            "the scheduler dmd or lcm",
        ),
    ] {
        let error = refused(request);
        assert!(error.contains(says), "{error}");
    }
}
