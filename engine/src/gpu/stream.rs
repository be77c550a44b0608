//! Runs bound passes in submits short enough for every watchdog, and can be interrupted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::plan::{Bound, BoundStep};
use super::{Buffer, Gpu};
use crate::error::GpuError;
use crate::record::DeviceClass;

/// How long a submit should run: Windows resets a GPU after 2 s, and a person who presses Ctrl-C
/// waits for one submit.
const SUBMIT_SECONDS: f64 = 0.25;
/// Submits the device may have queued, so that it does not idle while the next is encoded.
const IN_FLIGHT: usize = 2;

/// A flag that stops a run between two submits. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A queue of work, cut into submits by estimated and then measured time.
#[derive(Debug)]
pub struct Stream {
    gpu: Gpu,
    cancel: Cancel,
    encoder: Option<wgpu::CommandEncoder>,
    flops: u64,
    rate: f64,
    in_flight: VecDeque<(wgpu::SubmissionIndex, Instant, u64)>,
    last_done: Instant,
}

impl Stream {
    /// An empty stream.
    pub fn new(gpu: &Gpu, cancel: &Cancel) -> Self {
        let rate = match gpu.caps().class {
            DeviceClass::Discrete => 1e12,
            DeviceClass::Integrated | DeviceClass::Apple => 1e11,
            DeviceClass::Software | DeviceClass::Other => 4e9,
        };
        Self {
            gpu: gpu.clone(),
            cancel: cancel.clone(),
            encoder: None,
            flops: 0,
            rate,
            in_flight: VecDeque::new(),
            last_done: Instant::now(),
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
        let mut steps = bound.steps.iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                BoundStep::Copy { from, to, bytes } => self.encoder().copy_buffer_to_buffer(
                    from.0.raw(),
                    from.1,
                    to.0.raw(),
                    to.1,
                    *bytes,
                ),
                BoundStep::Clear(buffer) => self.encoder().clear_buffer(buffer.raw(), 0, None),
                BoundStep::Dispatch { .. } => {
                    let budget = (self.rate * SUBMIT_SECONDS) as u64;
                    let mut gathered = self.flops;
                    let mut pass = self.encoder().begin_compute_pass(&Default::default());
                    let mut next = Some(step);
                    while let Some(BoundStep::Dispatch {
                        pipeline,
                        group,
                        workgroups,
                        flops,
                    }) = next
                    {
                        pass.set_pipeline(&pipeline.raw);
                        pass.set_bind_group(0, group, &[]);
                        pass.dispatch_workgroups(workgroups[0], workgroups[1], workgroups[2]);
                        gathered += flops;
                        if gathered >= budget {
                            break;
                        }
                        next = steps.next_if(|s| matches!(s, BoundStep::Dispatch { .. }));
                    }
                    drop(pass);
                    self.flops = gathered;
                    if gathered >= budget {
                        self.submit()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies bytes between buffers, in order with the passes.
    pub fn copy(&mut self, from: (&Buffer, u64), to: (&Buffer, u64), bytes: u64) {
        self.encoder()
            .copy_buffer_to_buffer(from.0.raw(), from.1, to.0.raw(), to.1, bytes);
    }

    /// Submits what was encoded, and waits until at most `IN_FLIGHT` submits are queued.
    ///
    /// # Errors
    /// Cancelled, or the device failed.
    pub fn submit(&mut self) -> Result<(), GpuError> {
        if let Some(encoder) = self.encoder.take() {
            let index = self.gpu.queue().submit([encoder.finish()]);
            self.in_flight
                .push_back((index, Instant::now(), self.flops));
            self.flops = 0;
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

    /// Waits for the oldest submit and learns from its time.
    fn retire(&mut self) -> Result<(), GpuError> {
        let Some((index, submitted, flops)) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let waited = self.gpu.device().poll(wgpu::PollType::Wait {
            submission_index: Some(index),
            timeout: Some(Duration::from_secs(600)),
        });
        waited.map_err(|e| GpuError::Failed {
            during: "a pass".into(),
            reason: e.to_string(),
        })?;
        let now = Instant::now();
        let seconds = (now - submitted.max(self.last_done)).as_secs_f64();
        self.last_done = now;
        // Small submits measure overheads, not the device.
        if flops as f64 >= 0.2 * self.rate * SUBMIT_SECONDS && seconds > 1e-4 {
            let measured = flops as f64 / seconds;
            self.rate = (0.5 * self.rate + 0.5 * measured).clamp(1e8, 1e15);
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A run that ends early leaves submits behind; buffers they use go with them.
        while let Some((index, ..)) = self.in_flight.pop_front() {
            let wait = wgpu::PollType::Wait {
                submission_index: Some(index),
                timeout: None,
            };
            if self.gpu.device().poll(wait).is_err() {
                break;
            }
        }
    }
}
