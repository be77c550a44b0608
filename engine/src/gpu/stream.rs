//! Runs bound passes in submits that are short enough for every watchdog and can be interrupted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::plan::{Bound, BoundDispatch, BoundStep};
use super::timestamps::Timestamps;
use super::{Buffer, Gpu};
use crate::cancel::Cancel;
use crate::error::GpuError;

/// How long a submit should run: Windows resets a GPU after 2 s, and a person who presses Ctrl-C
/// waits for one submit.
const SUBMIT_SECONDS: f64 = 0.25;
/// Submits the device may have queued, so that it does not idle while the next is encoded.
const IN_FLIGHT: usize = 2;

/// A queue of work, cut into submits by a time that is first estimated, then measured.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    cancel: Cancel,
    encoder: Option<wgpu::CommandEncoder>,
    flops: u64,
    in_flight: VecDeque<(wgpu::SubmissionIndex, Instant, u64)>,
    last_done: Instant,
    clock: Clock,
}

/// What a stream measures.
#[derive(Debug)]
enum Clock {
    /// Only how long its submits take on the host's clock.
    Off,
    /// Seconds from the first pass of each submit to its last.
    Submits { stamps: Timestamps, seconds: f64 },
    /// The dispatches of the submit under way, for the device's profile.
    Dispatches {
        stamps: Option<Timestamps>,
        keys: Vec<(String, u64, u64)>,
    },
}

impl Stream {
    /// An empty stream.
    pub fn new(gpu: &Gpu, cancel: &Cancel) -> Self {
        let clock = if gpu.profile().is_on() {
            Clock::Dispatches {
                stamps: Timestamps::new(gpu),
                keys: Vec::new(),
            }
        } else {
            Clock::Off
        };
        Self::with_clock(gpu, cancel, clock)
    }

    fn with_clock(gpu: &Gpu, cancel: &Cancel, clock: Clock) -> Self {
        Self {
            gpu: gpu.clone(),
            cancel: cancel.clone(),
            encoder: None,
            flops: 0,
            in_flight: VecDeque::new(),
            last_done: Instant::now(),
            clock,
        }
    }

    /// An empty stream that sums the time the device works on it, for benches; see
    /// [`Stream::device_seconds`].
    pub fn timed(gpu: &Gpu, cancel: &Cancel) -> Self {
        let clock = match Timestamps::new(gpu) {
            None => Clock::Off,
            Some(stamps) => Clock::Submits {
                stamps,
                seconds: 0.0,
            },
        };
        Self::with_clock(gpu, cancel, clock)
    }

    /// Seconds that the finished passes of a [`Stream::timed`] took by the device's clock, without
    /// waits between submits; `None` if the device has no clock.
    pub fn device_seconds(&self) -> Option<f64> {
        match self.clock {
            Clock::Submits { seconds, .. } => Some(seconds),
            _ => None,
        }
    }

    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        let device = self.gpu.device();
        self.encoder.get_or_insert_with(|| {
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("pass"),
            })
        })
    }

    /// Encodes a pass, submitting whenever enough work has gathered.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn run(&mut self, bound: &Bound) -> Result<(), GpuError> {
        let mut at = 0;
        while let Some(step) = bound.steps.get(at) {
            let first = at;
            at += 1;
            match step {
                BoundStep::Copy { from, to, bytes } => self.encoder().copy_buffer_to_buffer(
                    from.0.raw(),
                    from.1,
                    to.0.raw(),
                    to.1,
                    *bytes,
                ),
                BoundStep::Clear(buffer) => self.encoder().clear_buffer(buffer.raw(), 0, None),
                BoundStep::Dispatch(dispatch) => {
                    let budget = (self.gpu.rate() * SUBMIT_SECONDS) as u64;
                    let mut gathered = self.flops + dispatch.flops;
                    let alone = matches!(self.clock, Clock::Dispatches { .. });
                    while gathered < budget
                        && !alone
                        && let Some(BoundStep::Dispatch(next)) = bound.steps.get(at)
                    {
                        gathered += next.flops;
                        at += 1;
                    }
                    self.pass(&bound.steps[first..at])?;
                    self.flops = gathered;
                    if gathered >= budget {
                        self.submit()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Encodes dispatches as one compute pass. A profile times one dispatch per pass and, without a
    /// device clock, one pass per submit.
    fn pass(&mut self, steps: &[BoundStep]) -> Result<(), GpuError> {
        let profiled_by_host = matches!(self.clock, Clock::Dispatches { stamps: None, .. });
        if profiled_by_host || self.clock.is_full() {
            self.finish()?;
        }
        let begun = Instant::now();
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => self
                .gpu
                .device()
                .create_command_encoder(&Default::default()),
        };
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: self.clock.next_pass(),
        });
        let dispatches = steps.iter().filter_map(BoundStep::dispatch);
        for dispatch in dispatches.clone() {
            dispatch.encode(&mut pass);
        }
        drop(pass);
        self.encoder = Some(encoder);
        if let Clock::Dispatches { keys, .. } = &mut self.clock {
            keys.extend(dispatches.map(BoundDispatch::key));
        }
        if profiled_by_host {
            self.finish()?;
            self.clock.add(&self.gpu, [begun.elapsed().as_secs_f64()]);
        }
        Ok(())
    }

    /// Copies bytes between buffers, in order with the passes.
    pub fn copy(&mut self, from: (&Buffer, u64), to: (&Buffer, u64), bytes: u64) {
        self.encoder()
            .copy_buffer_to_buffer(from.0.raw(), from.1, to.0.raw(), to.1, bytes);
    }

    /// Submits the encoded work and waits until at most `IN_FLIGHT` submits are queued.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn submit(&mut self) -> Result<(), GpuError> {
        if let Some(mut encoder) = self.encoder.take() {
            self.clock.resolve(&mut encoder);
            let index = self.gpu.submit(Some(encoder.finish()));
            self.in_flight
                .push_back((index, Instant::now(), self.flops));
            self.flops = 0;
            self.clock.read(&self.gpu)?;
        }
        while self.in_flight.len() > IN_FLIGHT {
            self.retire()?;
        }
        self.gpu.check("a pass")?;
        if self.cancel.is_cancelled() {
            return Err(GpuError::Cancelled);
        }
        Ok(())
    }

    /// Submits the rest and waits for all of it.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn finish(&mut self) -> Result<(), GpuError> {
        self.submit()?;
        while !self.in_flight.is_empty() {
            self.retire()?;
        }
        self.gpu.check("a pass")
    }

    /// Waits for the oldest submit and updates the measured rate.
    fn retire(&mut self) -> Result<(), GpuError> {
        let Some((index, submitted, flops)) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let wait = wgpu::PollType::Wait {
            submission_index: Some(index),
            timeout: Some(Duration::from_secs(600)),
        };
        self.gpu.polled(wait, "a pass")?;
        let now = Instant::now();
        let seconds = (now - submitted.max(self.last_done)).as_secs_f64();
        self.last_done = now;
        let rate = self.gpu.rate();
        // Small submits measure overheads, not the device.
        if flops as f64 >= 0.2 * rate * SUBMIT_SECONDS && seconds > 1e-4 {
            let measured = flops as f64 / seconds;
            self.gpu
                .set_rate((0.5 * rate + 0.5 * measured).clamp(1e8, 1e15));
        }
        Ok(())
    }
}

impl Clock {
    fn stamps(&mut self) -> Option<&mut Timestamps> {
        match self {
            Self::Off => None,
            Self::Submits { stamps, .. } => Some(stamps),
            Self::Dispatches { stamps, .. } => stamps.as_mut(),
        }
    }

    fn is_full(&mut self) -> bool {
        self.stamps().is_some_and(|stamps| stamps.is_full())
    }

    fn next_pass(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        self.stamps().map(Timestamps::next_pass)
    }

    fn resolve(&mut self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(stamps) = self.stamps() {
            stamps.resolve(encoder);
        }
    }

    /// Waits for a submit and adds its time.
    fn read(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        match self {
            Self::Off | Self::Dispatches { stamps: None, .. } => {}
            Self::Submits { stamps, seconds } => {
                let times = stamps.take(gpu)?;
                if let (Some([begin, _]), Some([_, end])) = (times.first(), times.last()) {
                    *seconds += (end - begin).max(0.0);
                }
            }
            Self::Dispatches {
                stamps: Some(stamps),
                ..
            } => {
                let times = stamps.take(gpu)?.into_iter();
                self.add(gpu, times.map(|[begin, end]| (end - begin).max(0.0)));
            }
        }
        Ok(())
    }

    /// Adds the times of the gathered dispatches to the profile.
    fn add(&mut self, gpu: &Gpu, seconds: impl IntoIterator<Item = f64>) {
        if let Self::Dispatches { keys, .. } = self {
            for (key, seconds) in keys.drain(..).zip(seconds) {
                gpu.profile().add(key, seconds);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A run that ends early leaves submits that still use its buffers.
        while let Some((index, ..)) = self.in_flight.pop_front() {
            let wait = wgpu::PollType::Wait {
                submission_index: Some(index),
                timeout: None,
            };
            if self.gpu.polled(wait, "a pass").is_err() {
                break;
            }
        }
    }
}
