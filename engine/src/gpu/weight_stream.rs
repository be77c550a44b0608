//! Streams sets of weights, such as the tensors of a block, through the device one after the other.
//!
//! A packing thread reads the mapped file and packs the next set into staging while the device
//! computes with the current one. The thread that submits the passes also submits the copies, so a
//! set's copies follow the last pass that used its slot. Staging for one whole set keeps the next set
//! ready whenever a pass ends. More than two slots bring nothing, because wgpu has a single queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::staging::{ChunkExchange, Filled, StagingChunks, StagingWriter, staged};
use super::weights::upload;
use super::{Buffer, Gpu, Stream};
use crate::error::{Error, GpuError};
use crate::record::{Pack, TensorInfo, buffer_bytes};
use crate::weights::Checkpoint;

/// How long a thread sleeps between checks of the other's progress.
const LOOK: Duration = Duration::from_millis(1);

/// The device memory of streamed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamWindow {
    /// How many sets the device holds at a time, 1 or 2.
    pub slots: usize,
    /// Bytes of staging.
    pub staging: u64,
}

impl StreamWindow {
    /// The possible windows for sets of `set` bytes, the fastest first.
    pub fn choices(set: u64) -> [Self; 4] {
        [(2, 1), (2, 4), (1, 4), (1, 16)].map(|(slots, parts)| Self {
            slots,
            staging: set.div_ceil(parts),
        })
    }

    /// Bytes of device memory for sets of `set` bytes.
    pub fn bytes(&self, set: u64) -> u64 {
        self.slots as u64 * set + staged(self.staging)
    }
}

/// A tensor of a set.
#[derive(Clone, Debug)]
pub struct StreamedTensor {
    /// Its name within every set.
    pub key: String,
    /// Its shape and type in the recording.
    pub info: TensorInfo,
    /// How it is packed.
    pub pack: Pack,
    /// Its name in the checkpoint.
    pub name: String,
}

/// Bytes of a slot's buffers by key, each as large as the largest tensor of that key.
fn slot(sets: &[Vec<StreamedTensor>]) -> BTreeMap<&str, u64> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for StreamedTensor { key, info, .. } in sets.iter().flatten() {
        let bytes = sizes.entry(key).or_default();
        *bytes = buffer_bytes(info.bytes()).max(*bytes);
    }
    sizes
}

/// Bytes of device memory of a slot that can hold any of the sets.
pub fn slot_bytes(sets: &[Vec<StreamedTensor>]) -> u64 {
    slot(sets).into_values().sum()
}

/// A message of the packing thread.
enum Message {
    Filled(Filled),
    /// All chunks of the next set were sent.
    Whole,
    Failed(Error),
}

/// Sets of weights on their way to the device.
#[derive(Debug)]
pub struct WeightStream {
    gpu: Gpu,
    slots: Vec<HashMap<String, Buffer>>,
    sets: usize,
    flow: Mutex<Flow>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The progress of the sets. Counts continue over rounds: set 0 of round 2 is number `sets`.
#[derive(Debug)]
struct Flow {
    chunks: Arc<StagingChunks>,
    messages: Receiver<Message>,
    /// Sets whose copies were submitted.
    ready: usize,
    /// The set to be used next.
    next: usize,
}

impl WeightStream {
    /// Creates the slots and starts packing all sets in order, repeatedly if `again`.
    ///
    /// # Errors
    /// No room on the device, or no thread.
    pub fn new(
        gpu: &Gpu,
        checkpoint: Arc<Checkpoint>,
        sets: Vec<Vec<StreamedTensor>>,
        window: StreamWindow,
        again: bool,
    ) -> Result<Self, Error> {
        let mut slots = Vec::new();
        for _ in 0..window.slots.max(1) {
            let mut buffers = HashMap::new();
            for (key, bytes) in slot(&sets) {
                buffers.insert(key.to_owned(), gpu.buffer(key, bytes)?);
            }
            slots.push(buffers);
        }
        let chunks = Arc::new(StagingChunks::new(gpu, window.staging)?);
        let (send, messages) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = writer(chunks.clone(), send.clone(), stop.clone());
        let packer = Packer {
            gpu: gpu.with_writer(writer),
            checkpoint,
            slots: slots.clone(),
            send,
        };
        let count = sets.len();
        let thread = std::thread::Builder::new()
            .name("kinora weights".into())
            .spawn(move || packer.run(&sets, again))
            .map_err(|e| GpuError::Failed {
                during: "starting to stream weights".into(),
                reason: e.to_string(),
            })?;
        Ok(Self {
            gpu: gpu.clone(),
            slots,
            sets: count,
            flow: Mutex::new(Flow {
                chunks,
                messages,
                ready: 0,
                next: 0,
            }),
            stop,
            thread: Some(thread),
        })
    }

    /// The buffers of each slot by key.
    pub fn slots(&self) -> &[HashMap<String, Buffer>] {
        &self.slots
    }

    /// Submits the stream's pending work, waits until the copies of `set` are in the queue, and returns
    /// the set's slot.
    ///
    /// # Errors
    /// Weights that cannot be read, cancelled, or the device failed.
    pub fn acquire(&self, stream: &mut Stream, set: usize) -> Result<usize, Error> {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        // A cancelled run may have stopped in the middle of a round.
        while flow.next % self.sets.max(1) != set {
            self.bring(&mut flow, stream)?;
        }
        self.bring(&mut flow, stream)
    }

    /// Submits the packed parts of later sets whose slot is free.
    ///
    /// # Errors
    /// Weights that cannot be read, or the device failed.
    pub fn prefetch(&self) -> Result<(), Error> {
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        // All passes that use sets before the last acquired one have been submitted.
        let last = flow.next + self.slots.len() - 1;
        self.submit_packed(&mut flow, last).map(|_| ())
    }

    fn bring(&self, flow: &mut Flow, stream: &mut Stream) -> Result<usize, Error> {
        stream.submit()?;
        let set = flow.next;
        while flow.ready <= set {
            if !self.submit_packed(flow, set + 1)? && flow.ready <= set {
                // This reports a cancellation or a failure while waiting; the stream is empty.
                stream.submit()?;
                self.gpu.poll_once()?;
                std::thread::sleep(LOOK);
            }
        }
        flow.next = set + 1;
        Ok(set % self.slots.len())
    }

    /// Submits the packed copies of sets before `end`; returns whether there were any.
    fn submit_packed(&self, flow: &mut Flow, end: usize) -> Result<bool, Error> {
        let mut filled = Vec::new();
        while flow.ready < end {
            match flow.messages.try_recv() {
                Ok(Message::Filled(chunk)) => filled.push(chunk),
                Ok(Message::Whole) => flow.ready += 1,
                Ok(Message::Failed(error)) => return Err(error),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if self.thread_ended(flow) => break,
                Err(TryRecvError::Disconnected) => {
                    return Err(GpuError::Failed {
                        during: "streaming weights".into(),
                        reason: "the thread that packs them ended".into(),
                    }
                    .into());
                }
            }
        }
        if filled.is_empty() {
            return Ok(false);
        }
        let copies = flow.chunks.encode(&self.gpu, &filled);
        self.gpu.submit(Some(copies));
        flow.chunks.reuse(filled);
        self.gpu.poll_once()?;
        Ok(true)
    }

    /// Whether the packing thread has sent everything.
    fn thread_ended(&self, flow: &Flow) -> bool {
        flow.ready >= self.sets
    }
}

impl Drop for WeightStream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Joining fails only if the thread panicked, and that was reported as its end.
            let _ = thread.join();
        }
    }
}

/// The writer through which the packing thread fills chunks.
fn writer(
    chunks: Arc<StagingChunks>,
    send: Sender<Message>,
    stop: Arc<AtomicBool>,
) -> StagingWriter {
    let from = chunks.clone();
    let next = move || loop {
        if stop.load(Ordering::Relaxed) {
            return Err(GpuError::Cancelled);
        }
        match from.take_within(LOOK) {
            Ok(chunk) => return Ok(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(GpuError::Cancelled),
        }
    };
    let full = move |filled| {
        send.send(Message::Filled(filled))
            .map_err(|_| GpuError::Cancelled)
    };
    let out = ChunkExchange {
        next: Box::new(next),
        full: Box::new(full),
    };
    StagingWriter::new(chunks, out)
}

/// The thread that packs.
struct Packer {
    /// Writes into the chunks.
    gpu: Gpu,
    checkpoint: Arc<Checkpoint>,
    slots: Vec<HashMap<String, Buffer>>,
    send: Sender<Message>,
}

impl Packer {
    fn run(&self, sets: &[Vec<StreamedTensor>], again: bool) {
        let rounds = if again { usize::MAX } else { 1 };
        let all = (0..rounds).flat_map(|_| sets);
        for (set, slot) in all.zip(self.slots.iter().cycle()) {
            let told = match self.pack(set, slot) {
                Ok(()) => self.send.send(Message::Whole),
                Err(Error::Cancelled) => return,
                Err(error) => {
                    // If sending fails, the stream is gone and nobody needs the error.
                    let _ = self.send.send(Message::Failed(error));
                    return;
                }
            };
            if told.is_err() {
                return;
            }
        }
    }

    fn pack(&self, set: &[StreamedTensor], slot: &HashMap<String, Buffer>) -> Result<(), Error> {
        for StreamedTensor {
            key,
            info,
            pack,
            name,
        } in set
        {
            let view = self.checkpoint.get(name, info.shape.dims())?;
            if let Some(buffer) = slot.get(key) {
                upload(&self.gpu, buffer, info, *pack, &view)?;
            }
        }
        Ok(self.gpu.flush_writer()?)
    }
}
