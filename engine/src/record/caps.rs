//! A device's capabilities, as plain data.

/// The class of a device: rows of the tables that choose kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// Apple's GPUs: memory shared with the processor, cooperative matrices of 8 by 8.
    Apple,
    /// A processor that runs shaders: lavapipe, SwiftShader, WARP.
    Software,
    /// Anything else: virtual GPUs and test devices.
    Other,
}

/// The limits and features that choose kernels and shape recordings.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The adapter's name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The interface it is reached by: `vulkan`, `metal`, `dx12`, `gl`, `noop`.
    pub backend: String,
    /// The class.
    pub class: DeviceClass,
    /// Bytes of one storage binding, at most.
    pub max_binding_bytes: u64,
    /// Bytes of one buffer, at most.
    pub max_buffer_bytes: u64,
    /// Bytes of the device's memory, if it reports them.
    pub memory: Option<u64>,
    /// Storage buffers of one kernel, at most.
    pub max_storage_buffers: u32,
    /// Workgroups in one dimension of a dispatch, at most.
    pub max_workgroups: u32,
    /// Invocations of a workgroup, at most.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Byte alignment of a binding's offset into a buffer.
    pub binding_alignment: u32,
    /// Whether kernels may use f16 arithmetic.
    pub f16: bool,
    /// The smallest and largest subgroup, where the device has subgroup operations.
    pub subgroups: Option<(u32, u32)>,
    /// Edge lengths of cooperative matrices with f16 operands and f32 sums.
    pub cooperative: Vec<u32>,
}

impl Caps {
    /// The least that every supported device has: 8 storage buffers, 128 MiB a binding.
    pub fn least() -> Self {
        Self {
            name: "least".into(),
            driver: String::new(),
            backend: "noop".into(),
            class: DeviceClass::Other,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            memory: None,
            max_storage_buffers: 8,
            max_workgroups: 65_535,
            max_invocations: 256,
            workgroup_memory: 16 << 10,
            binding_alignment: 256,
            f16: false,
            subgroups: None,
            cooperative: Vec::new(),
        }
    }

    /// Floating-point operations that one dispatch may hold, so that none runs long enough for a
    /// watchdog (2 s on Windows) on a slow device of the class.
    pub fn dispatch_flops(&self) -> u64 {
        match self.class {
            DeviceClass::Discrete => 400_000_000_000,
            DeviceClass::Integrated | DeviceClass::Apple => 50_000_000_000,
            DeviceClass::Software | DeviceClass::Other => 2_000_000_000,
        }
    }
}
