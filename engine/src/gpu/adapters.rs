//! The available devices and their capabilities.

use std::path::PathBuf;
use std::str::FromStr;

use super::Gpu;
use crate::error::GpuError;
use crate::record::{Caps, DeviceClass, Precision};

/// Which device to open, and how.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// A part of the device's name (any case) or its number in [`devices`]; the best by default.
    pub device: Option<String>,
    /// The graphics interface to search for devices; all but `noop` by default.
    pub backend: Option<Backend>,
    /// The folder that keeps compiled kernels between runs, on drivers that hand them out. Its files
    /// may be deleted at any time. `None` keeps nothing.
    pub cache: Option<PathBuf>,
    /// The precision to which models may round the operands of products, where their values fit it.
    pub precision: Precision,
    /// Chooses kernels as if the device were of this class: for kernel tests and for comparing devices.
    pub class: Option<DeviceClass>,
    /// Lets the driver check every access of a kernel; slower, for tests of kernels.
    pub bounds_checks: bool,
}

/// An interface to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// DirectX 12.
    Dx12,
    /// OpenGL and OpenGL ES.
    Gl,
    /// No device: plans are made but nothing is computed.
    Noop,
}

const BACKENDS: [(&str, Backend, wgpu::Backends); 5] = [
    ("vulkan", Backend::Vulkan, wgpu::Backends::VULKAN),
    ("metal", Backend::Metal, wgpu::Backends::METAL),
    ("dx12", Backend::Dx12, wgpu::Backends::DX12),
    ("gl", Backend::Gl, wgpu::Backends::GL),
    ("noop", Backend::Noop, wgpu::Backends::NOOP),
];

impl FromStr for Backend {
    type Err = GpuError;

    fn from_str(text: &str) -> Result<Self, GpuError> {
        let wanted = text.to_ascii_lowercase();
        let found = BACKENDS.iter().find(|(name, ..)| *name == wanted);
        found
            .map(|(_, backend, _)| *backend)
            .ok_or_else(|| GpuError::UnknownBackend {
                found: text.to_owned(),
                known: BACKENDS.map(|(name, ..)| name).join(", "),
            })
    }
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

fn instance(options: &GpuOptions) -> wgpu::Instance {
    let named = BACKENDS
        .iter()
        .find(|(_, backend, _)| Some(*backend) == options.backend);
    let backends = named.map_or(
        wgpu::Backends::PRIMARY | wgpu::Backends::GL,
        |(_, _, named)| *named,
    );
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = backends;
    if options.backend == Some(Backend::Noop) {
        desc.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    }
    // Validation layers serve driver developers; `plan.rs` has the engine's own checks.
    desc.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(desc)
}

pub(super) fn adapters(options: &GpuOptions) -> Vec<wgpu::Adapter> {
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

pub(super) fn caps_of(
    adapter: &wgpu::Adapter,
    features: wgpu::Features,
    limits: &wgpu::Limits,
) -> Caps {
    let info = adapter.get_info();
    let cooperative = if features.contains(COOPERATIVE) {
        cooperative_edges(adapter)
    } else {
        Vec::new()
    };
    let noop = info.backend == wgpu::Backend::Noop;
    let least = Caps::least();
    Caps {
        class: class_of(&info),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        backend: info.backend.to_string(),
        // The noop backend reports no limits, so tests on it use the smallest ones the engine accepts.
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
/// f32 sums. The shading language has shapes that a device may lack, so the device's list decides.
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

/// Bytes of the largest heap on the device, from Vulkan because wgpu does not report it.
#[cfg(not(target_vendor = "apple"))]
fn heap_bytes(adapter: &wgpu::Adapter) -> Option<u64> {
    #[expect(
        unsafe_code,
        reason = "the heaps are in nothing but the adapter's own interface, which is reached without locks and not kept"
    )]
    // SAFETY: only properties of the physical device are queried, and the adapter outlives the query.
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

pub(super) fn unusable(caps: &Caps) -> Option<GpuError> {
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

/// All available devices, the best first.
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

/// The index in `all` of the device that a run uses: the one `wanted` names, even if it is unusable,
/// or otherwise the best usable one. `None` if no device is usable.
///
/// # Errors
/// [`GpuError::UnknownDevice`].
pub fn chosen_device(all: &[DeviceInfo], wanted: Option<&str>) -> Result<Option<usize>, GpuError> {
    let Some(wanted) = wanted else {
        let best = all.iter().find(|device| device.unusable.is_none());
        return Ok(best.map(|device| device.index));
    };
    let names: Vec<&str> = all.iter().map(|device| device.caps.name.as_str()).collect();
    named(&names, wanted).map(Some)
}

/// Numbers below this are device indices, never parts of names: "4090" names a GeForce, "8" does not.
const NUMBERS: usize = 100;

/// The device `wanted` refers to: by its number, otherwise by a part of its name in any case.
fn named(names: &[&str], wanted: &str) -> Result<usize, GpuError> {
    let number: Option<usize> = wanted.parse().ok();
    let by_number = number.filter(|&index| index < names.len());
    let matches = |name: &&str| name.to_lowercase().contains(&wanted.to_lowercase());
    let may_name = number.is_none_or(|number| number >= NUMBERS);
    by_number
        .or_else(|| names.iter().position(matches).filter(|_| may_name))
        .ok_or_else(|| {
            let numbered = names.iter().enumerate();
            let numbered: Vec<String> = numbered.map(|(i, name)| format!("{i}: {name}")).collect();
            GpuError::UnknownDevice {
                wanted: wanted.to_owned(),
                found: match numbered.as_slice() {
                    [] => "none".to_owned(),
                    some => some.join(", "),
                },
            }
        })
}

/// Which of the devices to open: the best, or the one the options name.
///
/// # Errors
/// No device, none of that name, one that is too small.
pub(super) fn choose(options: &GpuOptions, caps: &[Caps]) -> Result<usize, GpuError> {
    let usable = || (0..caps.len()).filter(|&i| unusable(&caps[i]).is_none());
    let chosen = match &options.device {
        None => usable()
            .next()
            .ok_or_else(|| match caps.first().and_then(unusable) {
                Some(reason) => reason,
                None => GpuError::NoDevice,
            })?,
        Some(wanted) => {
            let names: Vec<&str> = caps.iter().map(|caps| caps.name.as_str()).collect();
            named(&names, wanted)?
        }
    };
    if let Some(reason) = unusable(&caps[chosen]) {
        return Err(reason);
    }
    Ok(chosen)
}

impl Gpu {
    /// The features and limits to request when the host application opens the device.
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
        let experimental = if cooperative {
            // SAFETY: our kernels use cooperative matrices as the extension's rules ask: in uniform
            // control flow, by whole subgroups, at shapes that the device lists.
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        Requirements {
            features: has & wanted,
            limits: adapter.limits(),
            experimental,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn small_numbers_are_no_parts_of_names() {
        let names = ["GeForce RTX 4080", "Radeon RX 7900", "llvmpipe"];
        assert_eq!(named(&names, "1").ok(), Some(1));
        assert_eq!(named(&names, "4080").ok(), Some(0));
        assert_eq!(named(&names, "radeon").ok(), Some(1));
        for wanted in ["8", "40", "3", "geforce 5090"] {
            let error = named(&names, wanted).unwrap_err().to_string();
            assert!(error.contains("0: GeForce RTX 4080"), "{wanted}: {error}");
        }
    }
}
