//! Devices: which there are, opening one, its capabilities, buffers and transfers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::buffer::{Buffer, Counter, Made, MemoryUse};
use super::pipelines::Pipelines;
use super::profile::{Profile, ProfileRow};
use crate::error::GpuError;
use crate::record::{Caps, DeviceClass, Precision};

/// Which device to open, and how.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// A part of the device's name (any case) or its number in [`devices`]; the best by default.
    pub device: Option<String>,
    /// `vulkan`, `metal`, `dx12`, `gl` or `noop`; all but `noop` by default. The environment's
    /// `KINORA_BACKEND` stands in where this is `None`.
    pub backend: Option<String>,
    /// What models may round the operands of products to, where they hold in it.
    pub precision: Precision,
    /// Chooses kernels as for a device of that class, whatever it is: for tests of kernels and
    /// comparisons of devices.
    pub class: Option<DeviceClass>,
    /// Lets the driver check every access of a kernel; slower, for tests of kernels.
    pub bounds_checks: bool,
}

/// A device that could be opened.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Its number.
    pub index: usize,
    /// What it can do.
    pub caps: Caps,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

/// What a host application asks for when it opens the device that it shares with the engine.
#[derive(Clone, Debug)]
pub struct Requirements {
    /// Features the engine uses where the adapter has them.
    pub features: wgpu::Features,
    /// Limits: the adapter's own.
    pub limits: wgpu::Limits,
    /// Consent to the features that wgpu calls experimental: cooperative matrices.
    pub experimental: wgpu::ExperimentalFeatures,
}

/// An open device with its queue, pipelines and memory count. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    counter: Arc<Counter>,
    failure: Arc<Mutex<Option<Failure>>>,
    pipelines: Pipelines,
    profile: Profile,
    /// Bits of the f64 of [`Gpu::rate`].
    rate: AtomicU64,
}

/// Bytes that results are read back through, at most.
pub const READ_PIECE: u64 = 32 << 20;

#[derive(Clone, Debug)]
struct Failure {
    out_of_memory: bool,
    reason: String,
}

fn instance(options: &GpuOptions) -> wgpu::Instance {
    let named = options
        .backend
        .clone()
        .or_else(|| std::env::var("KINORA_BACKEND").ok());
    let backends = match named.as_deref() {
        Some("vulkan") => wgpu::Backends::VULKAN,
        Some("metal") => wgpu::Backends::METAL,
        Some("dx12") => wgpu::Backends::DX12,
        Some("gl") => wgpu::Backends::GL,
        Some("noop") => wgpu::Backends::NOOP,
        _ => wgpu::Backends::PRIMARY | wgpu::Backends::GL,
    };
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = backends;
    if named.as_deref() == Some("noop") {
        desc.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    }
    // Validation layers are the driver developers' tool; our own checks stand in the plan.
    desc.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(desc)
}

fn adapters(options: &GpuOptions) -> Vec<wgpu::Adapter> {
    let instance = instance(options);
    let mut found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    // A stable order: discrete, integrated, others, software; GL last, since every device that
    // has another interface is listed there again.
    found.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let class = match class_of(&info) {
            DeviceClass::Discrete => 0,
            DeviceClass::Apple | DeviceClass::Integrated => 1,
            DeviceClass::Other => 2,
            DeviceClass::Software => 3,
        };
        (class, info.backend == wgpu::Backend::Gl)
    });
    found
}

fn class_of(info: &wgpu::AdapterInfo) -> DeviceClass {
    let software = ["llvmpipe", "SwiftShader", "lavapipe"]
        .iter()
        .any(|n| info.name.contains(n));
    match info.device_type {
        _ if software => DeviceClass::Software,
        _ if info.backend == wgpu::Backend::Metal && info.name.starts_with("Apple") => {
            DeviceClass::Apple
        }
        wgpu::DeviceType::DiscreteGpu => DeviceClass::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceClass::Integrated,
        wgpu::DeviceType::Cpu => DeviceClass::Software,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => DeviceClass::Other,
    }
}

fn caps_of(adapter: &wgpu::Adapter, features: wgpu::Features, limits: &wgpu::Limits) -> Caps {
    let info = adapter.get_info();
    let cooperative = match features.contains(COOPERATIVE) {
        true => cooperative_edges(adapter),
        false => Vec::new(),
    };
    let noop = info.backend == wgpu::Backend::Noop;
    let least = Caps::least();
    Caps {
        class: class_of(&info),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        backend: info.backend.to_string(),
        // The noop backend claims to have no limits; tests on it use the least there is.
        max_binding_bytes: if noop {
            least.max_binding_bytes
        } else {
            // WGSL indexes with 32 bits, and wgpu's bindings are multiples of four.
            limits
                .max_storage_buffer_binding_size
                .min(u64::from(u32::MAX) - 3)
        },
        max_buffer_bytes: if noop {
            least.max_buffer_bytes
        } else {
            limits.max_buffer_size
        },
        memory: heap_bytes(adapter),
        max_storage_buffers: if noop {
            least.max_storage_buffers
        } else {
            limits.max_storage_buffers_per_shader_stage
        },
        max_workgroups: limits.max_compute_workgroups_per_dimension.min(65_535),
        max_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        binding_alignment: limits.min_storage_buffer_offset_alignment,
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features
            .contains(wgpu::Features::SUBGROUP)
            .then_some((info.subgroup_min_size, info.subgroup_max_size)),
        cooperative,
        name: info.name,
    }
}

/// Edge lengths of the cooperative matrices that kernels are written for: square, f16 operands,
/// f32 sums. What the shading language can say is more than what a device has.
fn cooperative_edges(adapter: &wgpu::Adapter) -> Vec<u32> {
    let f16_to_f32 = |p: &wgpu::CooperativeMatrixProperties| {
        p.ab_type == wgpu::CooperativeScalarType::F16
            && p.cr_type == wgpu::CooperativeScalarType::F32
    };
    let mut edges: Vec<u32> = adapter
        .cooperative_matrix_properties()
        .iter()
        .filter(|p| p.m_size == p.n_size && p.n_size == p.k_size && f16_to_f32(p))
        .filter(|p| matches!(p.m_size, 8 | 16))
        .map(|p| p.m_size)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Bytes of the largest heap on the device. wgpu does not tell; Vulkan does.
#[cfg(not(target_vendor = "apple"))]
fn heap_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    #[expect(
        unsafe_code,
        reason = "the heaps are in nothing but the adapter's own interface, which is reached without locks and not kept"
    )]
    // SAFETY: the physical device is only asked for its properties, while the adapter lives.
    let properties = unsafe {
        let adapter = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = adapter.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(adapter.raw_physical_device())
    };
    let heaps = properties.memory_heaps_as_slice().iter();
    // VK_MEMORY_HEAP_DEVICE_LOCAL_BIT
    let local = heaps.filter(|heap| heap.flags.as_raw() & 1 == 1);
    local.map(|heap| heap.size).max()
}

#[cfg(target_vendor = "apple")]
fn heap_bytes(_: &wgpu::Adapter) -> Option<u64> {
    None
}

const COOPERATIVE: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

fn unusable(caps: &Caps) -> Option<GpuError> {
    let checks = [
        (
            "storage buffers a kernel",
            u64::from(caps.max_storage_buffers),
            8,
        ),
        (
            "invocations a workgroup",
            u64::from(caps.max_invocations),
            256,
        ),
        ("bytes a storage binding", caps.max_binding_bytes, 128 << 20),
    ];
    checks
        .into_iter()
        .find(|(_, found, expected)| found < expected)
        .map(|(limit, found, expected)| GpuError::TooSmall {
            name: caps.name.clone(),
            limit,
            found,
            expected,
        })
}

/// Every device at hand, the best first.
pub fn devices(options: &GpuOptions) -> Vec<DeviceInfo> {
    let all = adapters(options);
    let describe = |(index, adapter): (usize, &wgpu::Adapter)| {
        let need = Gpu::requirements(adapter);
        let caps = caps_of(adapter, need.features, &need.limits);
        let unusable = unusable(&caps).map(|e| e.to_string());
        DeviceInfo {
            index,
            caps,
            unusable,
        }
    };
    all.iter().enumerate().map(describe).collect()
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
        let usable = || (0..all.len()).filter(|&i| unusable(&caps[i]).is_none());
        let chosen = match &options.device {
            None => usable()
                .next()
                .ok_or_else(|| match caps.first().and_then(unusable) {
                    Some(reason) => reason,
                    None => GpuError::NoDevice,
                })?,
            Some(wanted) => {
                let by_name = || {
                    let matches = |i: &usize| {
                        caps[*i]
                            .name
                            .to_lowercase()
                            .contains(&wanted.to_lowercase())
                    };
                    (0..all.len()).find(matches)
                };
                let by_number = wanted.parse::<usize>().ok().filter(|&i| i < all.len());
                by_number
                    .or_else(by_name)
                    .ok_or_else(|| GpuError::UnknownDevice {
                        wanted: wanted.clone(),
                        found: match caps.as_slice() {
                            [] => "none".into(),
                            some => {
                                let names = some.iter().enumerate();
                                names
                                    .map(|(i, c)| format!("{i}: {}", c.name))
                                    .collect::<Vec<_>>()
                                    .join(", ")
                            }
                        },
                    })?
            }
        };
        if let Some(reason) = unusable(&caps[chosen]) {
            return Err(reason);
        }
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
        Self::from_device(adapter, device, queue, options)
    }

    /// What to ask of an adapter when the host application opens the device.
    pub fn requirements(adapter: &wgpu::Adapter) -> Requirements {
        let has = adapter.features();
        let mut wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE;
        // The kernels on cooperative matrices stage their operands as f16.
        let cooperative = has.contains(COOPERATIVE | wgpu::Features::SHADER_F16)
            && !cooperative_edges(adapter).is_empty();
        if cooperative {
            wanted |= COOPERATIVE;
        }
        #[expect(
            unsafe_code,
            reason = "wgpu asks for consent to an interface that is new; without it there are no tensor cores"
        )]
        let experimental = match cooperative {
            // SAFETY: our kernels use cooperative matrices as the extension's rules ask: in uniform
            // control flow, by whole subgroups, at shapes that the device lists.
            true => unsafe { wgpu::ExperimentalFeatures::enabled() },
            false => wgpu::ExperimentalFeatures::disabled(),
        };
        Requirements {
            features: has & wanted,
            limits: adapter.limits(),
            experimental,
        }
    }

    /// An engine on the device that the host application already owns. Its capabilities are the
    /// device's, not the adapter's. The engine sets the device's error callbacks. Of the options,
    /// those that choose a device mean nothing here. Compiled kernels are kept on disk (see
    /// `KINORA_CACHE` in the README) where the device was opened with the feature for it.
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
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<Failure>>>, out_of_memory, reason| {
            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(Failure {
                out_of_memory,
                reason,
            });
        };
        let errors = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let out_of_memory = matches!(error, wgpu::Error::OutOfMemory { .. });
            keep(&errors, out_of_memory, error.to_string());
        }));
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep(&lost, false, format!("the device was lost: {message}"));
            }
        });
        let pipelines = Pipelines::new(adapter, &device, options.bounds_checks);
        let counter = Arc::new(Counter::default());
        // A guess until the first submit was measured.
        let rate = AtomicU64::new(f64::to_bits(match caps.class {
            DeviceClass::Discrete => 1e12,
            DeviceClass::Integrated | DeviceClass::Apple => 1e11,
            DeviceClass::Software | DeviceClass::Other => 4e9,
        }));
        Ok(Self {
            inner: Arc::new(Inner {
                device,
                queue,
                caps,
                counter,
                failure,
                pipelines,
                profile: Profile::default(),
                rate,
            }),
        })
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// Bytes the engine's buffers hold on the device.
    pub fn memory(&self) -> MemoryUse {
        self.inner.counter.get()
    }

    /// How many buffers and bind groups the engine made so far: none during a planned run.
    pub fn made(&self) -> Made {
        self.inner.counter.made()
    }

    pub(super) fn count_bind_group(&self) {
        self.inner.counter.add_bind_group();
    }

    /// Starts counting the peak anew.
    pub fn reset_peak(&self) {
        self.inner.counter.reset_peak();
    }

    /// Whether the device has a clock of its own that compute passes can read.
    pub fn has_timestamps(&self) -> bool {
        let features = self.inner.device.features();
        features.contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Has every dispatch from here on timed, which keeps the device from overlapping them.
    pub fn begin_profile(&self) {
        self.inner.profile.begin();
    }

    /// What the dispatches since [`Gpu::begin_profile`], or since the last call, took: by variant
    /// and work, the longest first. Those of streams that are not finished may be missing.
    pub fn take_profile(&self) -> Vec<ProfileRow> {
        self.inner.profile.take()
    }

    /// Floating-point operations a second that passes reached lately: what submits are cut by.
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

    /// The first error the driver reported since the last call, as ours.
    pub(super) fn check(&self, during: &str) -> Result<(), GpuError> {
        let mut slot = self
            .inner
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match slot.take() {
            None => Ok(()),
            Some(failure) => Err(GpuError::Failed {
                during: during.to_owned(),
                reason: failure.reason,
            }),
        }
    }

    /// A storage buffer of zeros.
    ///
    /// # Errors
    /// Larger than the device allows, or no room for it.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.buffer_for(
            label,
            bytes,
            Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        )
    }

    pub(super) fn buffer_for(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, GpuError> {
        let bytes = bytes.next_multiple_of(4).max(4);
        let limit = self.caps().max_buffer_bytes;
        if bytes > limit {
            return Err(GpuError::BufferTooLarge {
                label: label.to_owned(),
                bytes,
                limit,
            });
        }
        self.check("earlier work")?;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        };
        let raw = self.inner.device.create_buffer(&descriptor);
        let mut slot = self
            .inner
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = slot.take() {
            return Err(if failure.out_of_memory {
                let used = self.memory().current;
                GpuError::OutOfMemory {
                    label: label.to_owned(),
                    bytes,
                    used,
                }
            } else {
                GpuError::Failed {
                    during: format!("making buffer `{label}`"),
                    reason: failure.reason,
                }
            });
        }
        drop(slot);
        Ok(Buffer::new(raw, self.inner.counter.clone()))
    }

    /// Writes bytes at an offset; both multiples of four. The copy is staged in pieces, so that
    /// host memory does not grow with the buffer.
    ///
    /// # Errors
    /// The device failed.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<(), GpuError> {
        const PIECE: usize = 32 << 20;
        for (i, piece) in bytes.chunks(PIECE).enumerate() {
            let at = offset + (i * PIECE) as u64;
            if piece.len() % 4 == 0 {
                self.inner.queue.write_buffer(buffer.raw(), at, piece);
            } else {
                let mut padded = piece.to_vec();
                padded.resize(piece.len().next_multiple_of(4), 0);
                self.inner.queue.write_buffer(buffer.raw(), at, &padded);
            }
            if piece.len() == PIECE {
                self.inner.queue.submit([]);
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Fills a buffer with zeros, in order with what is submitted.
    ///
    /// # Errors
    /// The device failed.
    pub fn clear(&self, buffer: &Buffer) -> Result<(), GpuError> {
        let mut encoder = self
            .inner
            .device
            .create_command_encoder(&Default::default());
        encoder.clear_buffer(buffer.raw(), 0, None);
        self.inner.queue.submit([encoder.finish()]);
        self.check("clearing a buffer")
    }

    /// Reads bytes back: waits for all work submitted before.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self, buffer: &Buffer, range: std::ops::Range<u64>) -> Result<Vec<u8>, GpuError> {
        use wgpu::BufferUsages as Usage;
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let longest = (range.end - range.start).min(READ_PIECE);
        if longest == 0 {
            return Ok(out);
        }
        let staging = self.buffer_for("read back", longest, Usage::MAP_READ | Usage::COPY_DST)?;
        let mut at = range.start;
        while at < range.end {
            let bytes = (range.end - at).min(READ_PIECE);
            let padded = bytes.next_multiple_of(4);
            let mut encoder = self
                .inner
                .device
                .create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer.raw(), at, staging.raw(), 0, padded);
            self.inner.queue.submit([encoder.finish()]);
            staging
                .raw()
                .map_async(wgpu::MapMode::Read, 0..padded, |_| {});
            self.wait()?;
            let view = staging
                .raw()
                .get_mapped_range(0..padded)
                .map_err(|e| GpuError::Failed {
                    during: "reading back".into(),
                    reason: e.to_string(),
                })?;
            out.extend_from_slice(&view[..bytes as usize]);
            drop(view);
            staging.raw().unmap();
            at += bytes;
        }
        Ok(out)
    }

    /// Waits for all submitted work.
    ///
    /// # Errors
    /// The device failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        let polled = self.inner.device.poll(wgpu::PollType::wait_indefinitely());
        self.check("submitted work")?;
        polled.map(|_| ()).map_err(|e| GpuError::Failed {
            during: "submitted work".into(),
            reason: e.to_string(),
        })
    }
}
