//! Plans on wgpu's `noop` backend: what is bound, what is refused. No device.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "plans/released.rs"]
mod released;

use std::path::Path;
use std::sync::Arc;

use kinora::gpu::{Backend, Buffer, Cancel, Gpu, GpuOptions, Plan, Stream, StreamWindow};
use kinora::models::config::TransformerConfig;
use kinora::models::wan_transformer::{
    Residency, Transformer, TransformerPasses, TransformerShape,
};
use kinora::ops::matmul::{Epilogue, matmul};
use kinora::record::{Command, Dispatch, Pack, Recorder, Recording};
use kinora::tensor::DType;
use kinora::weights::Checkpoint;

fn noop() -> Gpu {
    let options = GpuOptions {
        backend: Some(Backend::Noop),
        ..GpuOptions::default()
    };
    Gpu::open(&options).expect("the noop backend")
}

fn one_layer(gpu: &Gpu) -> Recording {
    let mut rec = Recorder::new(gpu.caps());
    let x = rec.input("x", [5, 8], DType::F32).expect("x");
    let w = rec
        .weight("w", [3, 8], DType::F32, Pack::Matrix)
        .expect("w");
    let h = matmul(&mut rec, &x, &w, Epilogue::None, None).expect("h");
    let y = rec.output("y", [5, 3], DType::F32).expect("y");
    rec.copy((&h, 0), (&y, 0), h.bytes());
    rec.finish()
}

/// What a weight's buffer holds: padding and scales too.
fn bytes_of(recording: &Recording, name: &str) -> u64 {
    let id = recording.find(name).expect("a tensor of that name");
    recording.info(id).bytes()
}

#[test]
fn the_noop_device_has_the_least_limits() {
    let gpu = noop();
    assert_eq!(gpu.caps().max_storage_buffers, 8);
    assert_eq!(gpu.caps().max_binding_bytes, 128 << 20);
}

#[test]
fn one_plan_runs_with_several_sets_of_weights() {
    let gpu = noop();
    let recording = one_layer(&gpu);
    let plan = Plan::new(&gpu, &[&recording]).expect("a plan");
    let x = gpu.buffer("x", 5 * 8 * 4).expect("x");
    let y = gpu.buffer("y", 5 * 3 * 4).expect("y");
    let mut stream = Stream::new(&gpu, &Cancel::new());
    for block in 0..3 {
        let w = gpu
            .buffer(&format!("w{block}"), bytes_of(&recording, "w"))
            .expect("w");
        let pick = |name: &str| -> Option<Buffer> {
            match name {
                "x" => Some(x.clone()),
                "y" => Some(y.clone()),
                _ => Some(w.clone()),
            }
        };
        let bound = plan.bind(0, &|info| pick(&info.name)).expect("bound");
        stream.run(&bound).expect("runs");
    }
    stream.finish().expect("finishes");
}

#[test]
fn what_is_missing_or_too_small_is_named() {
    let gpu = noop();
    let plan = Plan::new(&gpu, &[&one_layer(&gpu)]).expect("a plan");
    let error = plan.bind(0, &|_| None).expect_err("nothing given");
    assert_eq!(error.to_string(), "plan: no buffer was given for `x`");
    let small = gpu.buffer("small", 8).expect("small");
    let error = plan
        .bind(0, &|_| Some(small.clone()))
        .expect_err("too small");
    assert!(
        error.to_string().contains("`x` has 8 bytes, expected 160"),
        "{error}"
    );
}

#[test]
fn bindings_and_params_are_checked_against_the_kernel() {
    let gpu = noop();
    let changed = |change: &dyn Fn(&mut Dispatch)| {
        let mut recording = one_layer(&gpu);
        for command in &mut recording.commands {
            if let Command::Dispatch(dispatch) = command {
                change(dispatch);
            }
        }
        Plan::new(&gpu, &[&recording]).map(|_| ())
    };
    changed(&|_| {}).expect("as recorded");
    let unbound = changed(&|d| d.bindings.retain(|b| b.index != 2)).expect_err("y is not bound");
    assert!(
        unbound
            .to_string()
            .contains("binding 2 is declared by the kernel"),
        "{unbound}"
    );
    let params = changed(&|d| d.params.truncate(8)).expect_err("params");
    assert!(
        params
            .to_string()
            .contains("params of 8 bytes, the kernel declares"),
        "{params}"
    );
    let stranger = changed(&|d| d.bindings[0].index = 7).expect_err("no binding 7");
    assert!(
        stranger
            .to_string()
            .contains("binding 7 is not declared by the kernel"),
        "{stranger}"
    );
}

#[test]
fn memory_is_counted_and_freed() {
    let gpu = noop();
    let before = gpu.memory().current;
    let a = gpu.buffer("a", 1000).expect("a");
    let b = a.clone();
    assert_eq!(gpu.memory().current, before + 1000);
    drop(a);
    assert_eq!(gpu.memory().current, before + 1000);
    drop(b);
    assert_eq!(gpu.memory().current, before);
    assert!(gpu.memory().peak >= before + 1000);
    let error = gpu.buffer("huge", u64::MAX / 2).expect_err("refused");
    assert!(error.to_string().contains("`huge` needs"), "{error}");
}

#[test]
fn a_cancelled_stream_stops_at_its_next_submit() {
    let gpu = noop();
    let cancel = Cancel::new();
    let mut stream = Stream::new(&gpu, &cancel);
    stream.submit().expect("nothing to do");
    cancel.cancel();
    assert_eq!(
        stream.submit().expect_err("cancelled").to_string(),
        "cancelled"
    );
}

#[test]
fn a_step_makes_no_buffers_and_no_bind_groups() {
    let window = StreamWindow {
        slots: 2,
        staging: 5000,
    };
    for residency in [Residency::Resident, Residency::Streamed(window)] {
        a_step_makes_nothing(residency);
    }
}

fn a_step_makes_nothing(residency: Residency) {
    let gpu = noop();
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wan21/model/transformer");
    let config = std::fs::read(folder.join("config.json")).expect("a configuration");
    let config = TransformerConfig::parse("config.json", &config).expect("a configuration");
    let checkpoint = Arc::new(Checkpoint::open(&folder, "transformer").expect("weights"));
    let shape = TransformerShape {
        latents: [config.in_channels, 2, 4, 4],
        text_rows: 5,
        text_length: 512,
        timesteps: 1,
    };
    let passes =
        TransformerPasses::record(gpu.caps(), &config, &checkpoint, shape).expect("recorded");
    let transformer = Transformer::new(&gpu, passes, checkpoint, residency).expect("a transformer");
    let mut stream = Stream::new(&gpu, &Cancel::new());
    let embeds = vec![0.5; 3 * config.text_dim];
    let context = transformer
        .context(&mut stream, &embeds)
        .expect("a context");
    let bytes = (shape.latents.iter().product::<usize>() * 4) as u64;
    let [latents, cond, uncond] =
        ["latents", "cond", "uncond"].map(|name| gpu.buffer(name, bytes).expect(name));
    let mut step = |t: f32| {
        for velocity in [&cond, &uncond] {
            transformer
                .forward(&mut stream, &[t], &latents, &context, velocity)
                .expect("a pass");
            stream.finish().expect("finishes");
        }
    };
    step(1000.0);
    let made = gpu.made();
    step(900.0);
    step(800.0);
    assert_eq!(gpu.made(), made);
}
