//! Device buffers and the counter of the memory they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of device memory that the engine's buffers hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Now.
    pub current: u64,
    /// At most, since the device was opened or the peak reset.
    pub peak: u64,
}

/// How many objects the engine has created on the device since it was opened, freed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Buffers.
    pub buffers: u64,
    /// Bind groups.
    pub bind_groups: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    current: AtomicU64,
    peak: AtomicU64,
    /// The peak since [`Counter::watch`].
    watched: AtomicU64,
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    /// The most bytes that may be allocated, for tests; 0 means no limit but the device's.
    limit: AtomicU64,
}

impl Counter {
    #[cfg(feature = "testing")]
    pub(super) fn limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let used = self.now();
        match self.limit.load(Ordering::Relaxed) {
            0 => true,
            limit => used + bytes <= limit,
        }
    }

    pub(super) fn add(&self, bytes: u64) {
        self.buffers.fetch_add(1, Ordering::Relaxed);
        let now = self.current.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.watched.fetch_max(now, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self) {
        self.watched.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn watched(&self) -> u64 {
        self.watched.load(Ordering::Relaxed)
    }

    fn remove(&self, bytes: u64) {
        self.current.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_bind_group(&self) {
        self.bind_groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn made(&self) -> Made {
        Made {
            buffers: self.buffers.load(Ordering::Relaxed),
            bind_groups: self.bind_groups.load(Ordering::Relaxed),
        }
    }

    pub(super) fn get(&self) -> MemoryUse {
        MemoryUse {
            current: self.now(),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }

    pub(super) fn reset_peak(&self) {
        self.peak.store(self.now(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Inner {
    raw: wgpu::Buffer,
    bytes: u64,
    counter: Arc<Counter>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // wgpu frees the memory with the last bind group and submit that use it. `Bound` holds its
        // buffers for that long, so the count stays correct.
        self.counter.remove(self.bytes);
    }
}

/// A device buffer, shared by reference; its memory is freed with the last one.
#[derive(Clone, Debug)]
pub struct Buffer {
    inner: Arc<Inner>,
}

impl Buffer {
    pub(super) fn new(raw: wgpu::Buffer, counter: Arc<Counter>) -> Self {
        let bytes = raw.size();
        counter.add(bytes);
        Self {
            inner: Arc::new(Inner {
                raw,
                bytes,
                counter,
            }),
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.inner.bytes
    }

    /// Whether both refer to the same memory.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.inner.raw
    }
}
