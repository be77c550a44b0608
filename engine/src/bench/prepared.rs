//! A bench ready to run: compiled, its tensors filled.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use super::problem::Problem;
use crate::error::Error;
use crate::gpu::{Bound, Buffer, Cancel, Gpu, Plan, Stream};
use crate::record::{Kind, Recording, TensorInfo};
use crate::tensor::DType;

/// Bytes of noise that are repeated where a tensor is larger.
const NOISE_BYTES: u64 = 1 << 20;

/// A bench ready to run. Its tensors hold noise: a GPU that multiplies zeros draws less power and
/// runs faster than one that works.
#[derive(Debug)]
pub struct Prepared {
    gpu: Gpu,
    bounds: Vec<Bound>,
    /// Whether waiting between submits counts: a person waits for a whole pass.
    waiting: bool,
}

impl Prepared {
    /// Compiles the kernels, makes the buffers and fills them.
    ///
    /// # Errors
    /// Sizes that the device cannot take, or no room for them.
    pub fn new(gpu: &Gpu, problem: Problem) -> Result<Self, Error> {
        let (recordings, parts) = problem.recordings(gpu.caps())?;
        let plan = Plan::new(gpu, &recordings.iter().collect::<Vec<_>>())?;
        let mut noise = Noise::new(gpu);
        let mut buffers = HashMap::new();
        let mut bounds = Vec::with_capacity(parts.len());
        for (pass, block) in parts {
            // Blocks share all but their weights.
            let key = |info: &TensorInfo| match info.kind {
                Kind::Weight(_) => (block, info.name.clone()),
                _ => (None, info.name.clone()),
            };
            let tensors = recordings.get(pass).into_iter().flat_map(Recording::iter);
            for (_, info) in tensors.filter(|(_, info)| info.kind != Kind::Intermediate) {
                if let Entry::Vacant(place) = buffers.entry(key(info)) {
                    let buffer = place.insert(gpu.buffer(&info.name, info.bytes())?);
                    noise.fill(buffer, info.dtype)?;
                }
            }
            bounds.push(plan.bind(pass, &|info| buffers.get(&key(info)).cloned())?);
        }
        noise.finish()?;
        Ok(Self {
            gpu: gpu.clone(),
            bounds,
            waiting: matches!(problem, Problem::Step(_)),
        })
    }

    /// Runs it that many times. The time is the device's own where it has a clock that kernels can
    /// read, else the host's, submits and waiting included; the host's for a whole pass, too.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn time(&self, runs: u64, cancel: &Cancel) -> Result<Duration, Error> {
        let mut stream = if self.waiting {
            Stream::new(&self.gpu, cancel)
        } else {
            Stream::timed(&self.gpu, cancel)
        };
        let start = Instant::now();
        for _ in 0..runs {
            for bound in &self.bounds {
                stream.run(bound)?;
            }
        }
        stream.finish()?;
        let elapsed = start.elapsed();
        let device = stream.device_seconds().filter(|&seconds| seconds > 0.0);
        Ok(device.map_or(elapsed, Duration::from_secs_f64))
    }
}

/// Fills buffers, on the device.
struct Noise {
    gpu: Gpu,
    stream: Stream,
    of: HashMap<DType, Buffer>,
}

impl Noise {
    fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            stream: Stream::new(gpu, &Cancel::new()),
            of: HashMap::new(),
        }
    }

    /// Small numbers of either sign; indices stay zero, as new buffers are.
    fn fill(&mut self, buffer: &Buffer, dtype: DType) -> Result<(), Error> {
        if dtype == DType::U32 {
            return Ok(());
        }
        let noise = match self.of.get(&dtype) {
            Some(noise) => noise.clone(),
            None => {
                let noise = self.gpu.buffer("noise", NOISE_BYTES)?;
                self.gpu
                    .write(&noise, 0, bytemuck::cast_slice(&words(dtype)))?;
                self.of.insert(dtype, noise.clone());
                noise
            }
        };
        let mut at = 0;
        while at < buffer.size() {
            let bytes = NOISE_BYTES.min(buffer.size() - at);
            self.stream.copy((&noise, 0), (buffer, at), bytes);
            at += bytes;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        Ok(self.stream.finish()?)
    }
}

/// Pseudo-random bits of which some are set, so that values are between 1/32 and 1/4 in size.
fn words(dtype: DType) -> Vec<u32> {
    let [free, set] = dtype.format().noise;
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        // xorshift32 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..NOISE_BYTES / 4).map(|_| next() & free | set).collect()
}
