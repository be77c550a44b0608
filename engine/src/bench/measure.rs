//! Times, rates, and what share of the device's own ceilings they are.

use super::cases::Case;
use super::prepared::Prepared;
use super::problem::{Problem, Work};
use crate::error::Error;
use crate::gpu::{Cancel, Gpu};

/// How long a bench is repeated; one run that is longer is repeated once.
const SECONDS: f64 = 0.4;
/// Samples of which the median counts.
const SAMPLES: usize = 7;
/// Samples of a ceiling, of which the best counts.
const CEILING_SAMPLES: usize = 25;
/// Share of a ceiling that estimates assume.
const ASSUMED_SHARE_OF_FLOPS: f64 = 0.12;
const ASSUMED_SHARE_OF_BYTES: f64 = 0.3;

/// What a device can do, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Floating-point operations a second: the best of the pure loops.
    pub flops: f64,
    /// Bytes a second, read and written, of a copy.
    pub bytes: f64,
}

impl Ceilings {
    /// Amount of the work and the ceiling of its kind.
    fn of(&self, work: Work) -> (f64, f64) {
        match work {
            Work::Flops(count) => (count as f64, self.flops),
            Work::Bytes(count) => (count as f64, self.bytes),
        }
    }
}

/// A bench's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The bench.
    pub name: String,
    /// One run.
    pub seconds: f64,
    /// What it did.
    pub work: Work,
    /// Its rate as a share of the device's ceiling.
    pub share: f64,
}

impl Measured {
    /// Operations or bytes a second.
    pub fn rate(&self) -> f64 {
        let (Work::Flops(count) | Work::Bytes(count)) = self.work;
        count as f64 / self.seconds.max(1e-12)
    }
}

/// A device whose ceilings are known.
#[derive(Debug)]
pub struct Bench {
    gpu: Gpu,
    ceilings: Ceilings,
    loops: Vec<(Problem, Work, f64)>,
}

impl Bench {
    /// Measures the device's ceilings, which takes about a second.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn new(gpu: &Gpu, cancel: &Cancel) -> Result<Self, Error> {
        let mut ceilings = Ceilings {
            flops: 0.0,
            bytes: 0.0,
        };
        let mut loops = Vec::new();
        for problem in Problem::ceilings(gpu.caps()) {
            let work = problem.work(gpu.caps())?;
            let samples = samples(&Prepared::new(gpu, problem)?, CEILING_SAMPLES, cancel)?;
            let seconds = samples.first().copied().unwrap_or(f64::INFINITY);
            loops.push((problem, work, seconds));
            let (Work::Flops(count) | Work::Bytes(count)) = work;
            let best = match work {
                Work::Flops(_) => &mut ceilings.flops,
                Work::Bytes(_) => &mut ceilings.bytes,
            };
            *best = best.max(count as f64 / seconds);
        }
        Ok(Self {
            gpu: gpu.clone(),
            ceilings,
            loops,
        })
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What the device can do.
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// Seconds that one run may take, by the ceilings.
    ///
    /// # Errors
    /// Sizes that the device cannot take.
    pub fn estimate(&self, case: &Case) -> Result<f64, Error> {
        let work = case.problem.work(self.gpu.caps())?;
        let (count, ceiling) = self.ceilings.of(work);
        let share = match work {
            _ if case.problem.is_ceiling() => 1.0,
            Work::Flops(_) => ASSUMED_SHARE_OF_FLOPS,
            Work::Bytes(_) => ASSUMED_SHARE_OF_BYTES,
        };
        Ok(count / (share * ceiling))
    }

    /// Runs a bench for about half a second, at least twice; the median counts. The ceilings are
    /// measured already.
    ///
    /// # Errors
    /// Sizes that the device cannot take, no room for them, cancelled.
    pub fn measure(&self, case: &Case, cancel: &Cancel) -> Result<Measured, Error> {
        let known = self.loops.iter().find(|(p, ..)| *p == case.problem);
        let (work, seconds) = match known {
            Some(&(_, work, seconds)) => (work, seconds),
            None => {
                let samples = samples(&Prepared::new(&self.gpu, case.problem)?, SAMPLES, cancel)?;
                let middle = samples.get(samples.len() / 2).copied();
                let work = case.problem.work(self.gpu.caps())?;
                (work, middle.unwrap_or(f64::INFINITY))
            }
        };
        let (count, ceiling) = self.ceilings.of(work);
        Ok(Measured {
            name: case.name.clone(),
            seconds,
            work,
            share: count / seconds / ceiling,
        })
    }
}

/// Seconds of one run, ascending: some samples after one that is thrown away, each sample as many
/// runs as keep the device busy for a while.
fn samples(prepared: &Prepared, most: usize, cancel: &Cancel) -> Result<Vec<f64>, Error> {
    // The first run touches memory for the first time.
    let first = prepared.time(1, cancel)?.as_secs_f64();
    let runs = (SECONDS / SAMPLES as f64 / first.max(1e-7)).clamp(1.0, 1e5) as u64;
    let mut samples = Vec::new();
    let mut spent = 0.0;
    let seconds = SECONDS * most as f64 / SAMPLES as f64;
    while samples.len() < most && (samples.is_empty() || spent < seconds) {
        let sample = prepared.time(runs, cancel)?.as_secs_f64();
        spent += sample;
        samples.push(sample.max(1e-9) / runs as f64);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}
