//! An open device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::adapters::{GpuOptions, adapters, caps_of, choose, unusable};
use super::buffer::{Counter, Made, MemoryUse};
use super::lost::Failures;
use super::pipelines::Pipelines;
use super::profile::{Profile, ProfileRow};
use super::staging::{StagingBelt, StagingWriter};
use crate::error::GpuError;
use crate::record::{Caps, DeviceClass};

/// An open device with its queue, pipelines and memory count. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// Takes this handle's uploads in place of the queue, if set.
    writer: Option<Arc<StagingWriter>>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    counter: Arc<Counter>,
    failures: Failures,
    /// How the device was opened; unset if the host application opened it.
    options: OnceLock<GpuOptions>,
    pipelines: Pipelines,
    profile: Profile,
    /// The staging of uploads; set last, because it needs a device that can create buffers.
    belt: OnceLock<StagingBelt>,
    /// Bits of the f64 of [`Gpu::rate`].
    rate: AtomicU64,
}

impl Gpu {
    /// Opens the best device, or the one the options name.
    ///
    /// # Errors
    /// No device, none of that name, one that is too small or cannot be opened.
    pub fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        let all = adapters(options);
        let caps: Vec<Caps> = all
            .iter()
            .map(|a| caps_of(a, a.features(), &Self::requirements(a).limits))
            .collect();
        let chosen = choose(options, &caps)?;
        let adapter = &all[chosen];
        let need = Self::requirements(adapter);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("kinora"),
            required_features: need.features,
            required_limits: need.limits,
            experimental_features: need.experimental,
            // Plans place their own buffers; the allocator's pools would only add to the peak.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|e| GpuError::Open {
            name: caps[chosen].name.clone(),
            reason: e.to_string(),
        })?;
        let gpu = Self::from_device(adapter, device, queue, options)?;
        gpu.inner.options.get_or_init(|| options.clone());
        Ok(gpu)
    }

    /// An engine on the device that the host application already owns. Its capabilities are the
    /// device's, not the adapter's. The engine sets the device's error callbacks. Options that choose
    /// a device are ignored. Compiled kernels are kept in
    /// [`GpuOptions::cache`] where the device was opened with the feature for it.
    ///
    /// # Errors
    /// A device opened with less than the engine needs; see [`Gpu::requirements`].
    pub fn from_device(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
    ) -> Result<Self, GpuError> {
        let mut caps = caps_of(adapter, device.features(), &device.limits());
        caps.class = options.class.unwrap_or(caps.class);
        let caps = options.precision.limit(&caps);
        if let Some(reason) = unusable(&caps) {
            return Err(reason);
        }
        let failures = Failures::listen(&device);
        let pipelines = Pipelines::new(adapter, &device, options);
        let counter = Arc::new(Counter::default());
        // A guess, replaced when the first submit is measured.
        let rate = AtomicU64::new(f64::to_bits(match caps.class {
            DeviceClass::Discrete => 1e12,
            DeviceClass::Integrated | DeviceClass::Apple => 1e11,
            DeviceClass::Software | DeviceClass::Other => 4e9,
        }));
        let gpu = Self {
            inner: Arc::new(Inner {
                device,
                queue,
                caps,
                counter,
                failures,
                options: OnceLock::new(),
                pipelines,
                profile: Profile::default(),
                belt: OnceLock::new(),
                rate,
            }),
            writer: None,
        };
        let belt = StagingBelt::new(&gpu)?;
        gpu.inner.belt.get_or_init(|| belt);
        Ok(gpu)
    }

    /// A handle to the same device whose uploads go through `writer`, for a thread that packs data
    /// which another thread submits.
    pub(super) fn with_writer(&self, writer: StagingWriter) -> Self {
        Self {
            inner: self.inner.clone(),
            writer: Some(Arc::new(writer)),
        }
    }

    pub(super) fn writer(&self) -> Option<&StagingWriter> {
        self.writer.as_deref()
    }

    pub(super) fn belt(&self) -> Option<&StagingBelt> {
        self.inner.belt.get()
    }

    /// The device's capabilities.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// Bytes the engine's buffers hold on the device.
    pub fn memory(&self) -> MemoryUse {
        self.inner.counter.get()
    }

    /// How many buffers and bind groups the engine has created so far. A planned run adds none.
    pub fn made(&self) -> Made {
        self.inner.counter.made()
    }

    pub(super) fn count_bind_group(&self) {
        self.inner.counter.add_bind_group();
    }

    /// Resets the peak to the current use.
    pub fn reset_peak(&self) {
        self.inner.counter.reset_peak();
    }

    /// Starts a second peak, independent of [`Gpu::reset_peak`], which the application may call.
    pub(crate) fn watch_memory(&self) {
        self.inner.counter.watch();
    }

    /// The peak in bytes since [`Gpu::watch_memory`].
    pub(crate) fn watched_memory(&self) -> u64 {
        self.inner.counter.watched()
    }

    /// Whether the device has a clock of its own that compute passes can read.
    pub fn has_timestamps(&self) -> bool {
        let features = self.inner.device.features();
        features.contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Times every dispatch from here on, which prevents the device from overlapping them.
    pub fn begin_profile(&self) {
        self.inner.profile.begin();
    }

    /// The time of the dispatches since [`Gpu::begin_profile`] or the last call, by variant and work,
    /// the longest first. Dispatches of unfinished streams may be missing.
    pub fn take_profile(&self) -> Vec<ProfileRow> {
        self.inner.profile.take()
    }

    /// Floating-point operations a second that recent passes reached; submits are sized by it.
    pub(super) fn rate(&self) -> f64 {
        f64::from_bits(self.inner.rate.load(Ordering::Relaxed))
    }

    pub(super) fn set_rate(&self, rate: f64) {
        self.inner.rate.store(rate.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    pub(super) fn pipelines(&self) -> &Pipelines {
        &self.inner.pipelines
    }

    pub(super) fn counter(&self) -> Arc<Counter> {
        self.inner.counter.clone()
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.inner.failures
    }

    /// How the device was opened; `None` for one that the host application opened.
    pub fn opened_with(&self) -> Option<&GpuOptions> {
        self.inner.options.get()
    }

    /// Whether both are the same open device.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}
