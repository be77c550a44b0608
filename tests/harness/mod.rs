//! What tests that need a device share: opening it, running a recording, comparing, reporting.
//!
//! Such tests are built with `libtest-mimic`: without a device each of them is reported as
//! *ignored*, never as passed, unless `KINORA_REQUIRE_DEVICE` is set, which makes that an error.

#![allow(
    dead_code,
    reason = "each test program uses its own part of the harness"
)]

pub mod compare;
pub mod data;
pub mod guise;

use std::sync::OnceLock;

use kinora::gpu::{Backend, Buffer, Cancel, Gpu, GpuOptions, Plan, Stream, WeightBuffers};
use kinora::nn::Weights;
use kinora::record::{Caps, Kind, Recorder, Tensor};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, TensorView};
use libtest_mimic::{Arguments, Failed, Trial};

/// How tests open a device: with every access of a kernel checked.
pub fn options() -> GpuOptions {
    GpuOptions {
        device: std::env::var("KINORA_DEVICE").ok(),
        backend: backend(),
        bounds_checks: true,
        ..GpuOptions::default()
    }
}

/// What `KINORA_BACKEND` names, which `scripts/with-vulkan` sets.
#[expect(clippy::expect_used, reason = "a test program fails by panicking")]
pub fn backend() -> Option<Backend> {
    let named = std::env::var("KINORA_BACKEND").ok()?;
    Some(named.parse().expect("KINORA_BACKEND"))
}

/// The device that tests run on, opened once, with every access of a kernel checked.
pub fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let open = || match Gpu::open(&options()) {
        Ok(gpu) => {
            eprintln!(
                "device: {} ({}, {})",
                gpu.caps().name,
                gpu.caps().driver,
                gpu.caps().backend
            );
            Some(gpu)
        }
        Err(error) => {
            eprintln!("{error}");
            None
        }
    };
    GPU.get_or_init(open).as_ref()
}

/// A test that needs the device.
pub fn device_test(
    name: impl Into<String>,
    test: impl FnOnce(&'static Gpu) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let Some(gpu) = gpu() else {
        let required = std::env::var_os("KINORA_REQUIRE_DEVICE").is_some();
        let missing = move || {
            Err(Failed::from(
                "KINORA_REQUIRE_DEVICE is set and there is no device",
            ))
        };
        return Trial::test(name, missing).with_ignored_flag(!required);
    };
    Trial::test(name, move || test(gpu))
}

/// Runs the tests one at a time: a device is shared, and software ones use every core.
pub fn run(tests: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, tests).exit()
}

/// An input of a recording, on the host.
pub enum Input<'d> {
    /// f32 values.
    F32(&'d [f32]),
    /// Values rounded to f16.
    F16(&'d [f32]),
    /// u32 values.
    U32(&'d [u32]),
}

impl<'d> Input<'d> {
    /// Values as an activation of that type.
    pub fn of(values: &'d [f32], dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::F16(values),
            _ => Self::F32(values),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values).to_vec(),
            Self::F16(values) => values
                .iter()
                .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                .collect(),
            Self::U32(values) => bytemuck::cast_slice(values).to_vec(),
        }
    }
}

/// A recording to run once.
pub struct Run<'g> {
    gpu: &'g Gpu,
    checkpoint: Checkpoint,
    /// Matrices in types that only matrices can have: name, shape, type, values.
    matrices: Vec<(String, Vec<usize>, DType, Vec<f32>)>,
    inputs: Vec<(String, Vec<u8>)>,
}

/// A weight for [`Run::weights`]: name, shape, element type of the file, values.
pub type Weight<'d> = (&'d str, &'d [usize], DType, &'d [f32]);

impl<'g> Run<'g> {
    pub fn new(gpu: &'g Gpu) -> Self {
        Self {
            gpu,
            checkpoint: data::checkpoint(&[]),
            matrices: Vec::new(),
            inputs: Vec::new(),
        }
    }

    /// The checkpoint that `Weights` reads, made of values rounded to each weight's type; weights in
    /// types for matrices are for [`Run::record`] to name with their type.
    pub fn weights(mut self, weights: &[Weight<'_>]) -> Self {
        self.checkpoint = data::checkpoint(weights);
        let matrices = weights.iter().filter(|w| w.2.is_for_matrices());
        self.matrices = matrices
            .map(|&(name, shape, dtype, values)| {
                (name.to_owned(), shape.to_vec(), dtype, values.to_vec())
            })
            .collect();
        self
    }

    /// The checkpoint that `Weights` reads.
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Bytes for the input or state of that name.
    pub fn input(mut self, name: &str, values: Input<'_>) -> Self {
        self.inputs.push((name.to_owned(), values.bytes()));
        self
    }

    /// Records, runs and reads back the tensors that the closure returns, as f32 (of u32 the
    /// bits).
    pub fn record(
        self,
        record: impl FnOnce(&mut Recorder<'_>, &Weights<'_>) -> Result<Vec<Tensor>, kinora::Error>,
    ) -> Result<Vec<Vec<f32>>, kinora::Error> {
        let caps = self.gpu.caps();
        self.record_for(caps, record)
    }

    /// Like [`Run::record`], for a device with fewer capabilities than the present one.
    pub fn record_for(
        self,
        caps: &Caps,
        record: impl FnOnce(&mut Recorder<'_>, &Weights<'_>) -> Result<Vec<Tensor>, kinora::Error>,
    ) -> Result<Vec<Vec<f32>>, kinora::Error> {
        let mut recorder = Recorder::new(caps);
        let wanted = record(&mut recorder, &Weights::new(&self.checkpoint))?;
        let mut outputs = Vec::new();
        for (i, tensor) in wanted.iter().enumerate() {
            let name = format!("test output {i}");
            let output = recorder.output(&name, tensor.shape, tensor.dtype)?;
            recorder.copy((tensor, 0), (&output, 0), tensor.bytes());
            outputs.push((name, tensor.bytes(), tensor.dtype));
        }
        let recording = recorder.finish();
        let mut weights = WeightBuffers::new();
        for (_, info, pack) in recording.weights() {
            if let Some((name, shape, dtype, values)) =
                self.matrices.iter().find(|w| w.0 == info.name)
            {
                let view = TensorView {
                    name,
                    ..data::stored(values, shape, *dtype)
                };
                weights.put(self.gpu, info, pack, &view)?;
            }
        }
        weights.load(self.gpu, &self.checkpoint, &recording, &str::to_owned)?;
        let mut named: Vec<(String, Buffer)> = Vec::new();
        for (_, info) in recording.iter() {
            if matches!(info.kind, Kind::Input | Kind::Output | Kind::State) {
                let buffer = self.gpu.buffer(&info.name, info.bytes())?;
                if let Some((_, bytes)) = self.inputs.iter().find(|(n, _)| *n == info.name) {
                    self.gpu.write(&buffer, 0, bytes)?;
                }
                named.push((info.name.clone(), buffer));
            }
        }
        let find = |name: &str| {
            named
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, b)| b.clone())
        };
        let plan = Plan::new(self.gpu, &[&recording])?;
        let bound = plan.bind(0, &|info| {
            weights.get(&info.name).or_else(|| find(&info.name))
        })?;
        let mut stream = Stream::new(self.gpu, &Cancel::new());
        stream.run(&bound)?;
        stream.finish()?;
        let mut results = Vec::new();
        for (name, bytes, dtype) in outputs {
            let Some(buffer) = find(&name) else { continue };
            let bytes = self.gpu.read(&buffer, 0..bytes)?;
            results.push(match dtype {
                DType::F16 => {
                    let halves = bytes.as_chunks().0.iter();
                    halves
                        .map(|&b| half::f16::from_le_bytes(b).to_f32())
                        .collect()
                }
                _ => data::floats(&bytes),
            });
        }
        Ok(results)
    }
}
