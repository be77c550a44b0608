//! Errors of devices, pipelines and plans.

/// What a device refused or lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No device at all.
    #[error(
        "no device found: install a Vulkan driver (on Debian and Ubuntu: `apt install mesa-vulkan-drivers`; NVIDIA's own driver brings one)"
    )]
    NoDevice,
    /// No device of that name or number.
    #[error("no device matches `{wanted}`; found: {found}")]
    UnknownDevice {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// No interface to devices is called so.
    #[error("no backend is called `{found}`: expected one of {known}")]
    UnknownBackend {
        /// What was asked for.
        found: String,
        /// All of them.
        known: String,
    },
    /// A device that lacks what every kernel needs.
    #[error("device `{name}` has {limit} {found}, expected at least {expected}")]
    TooSmall {
        /// The device.
        name: String,
        /// The limit.
        limit: &'static str,
        /// Its value.
        found: u64,
        /// What is needed.
        expected: u64,
    },
    /// The driver would not open the device.
    #[error("device `{name}` could not be opened: {reason}")]
    Open {
        /// The device.
        name: String,
        /// The driver's words.
        reason: String,
    },
    /// A buffer larger than the device allows.
    #[error(
        "buffer `{label}` needs {bytes} bytes, the device allows {limit} in one; choose a smaller size or fewer frames"
    )]
    BufferTooLarge {
        /// The buffer.
        label: String,
        /// What it needs.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// The device has no room left.
    #[error(
        "the device is out of memory at buffer `{label}` of {bytes} bytes, {used} already in use; choose a smaller size or fewer frames"
    )]
    OutOfMemory {
        /// The buffer.
        label: String,
        /// What it needs.
        bytes: u64,
        /// What the engine holds already.
        used: u64,
    },
    /// The device has no room left for what the driver itself makes.
    #[error(
        "the device ran out of memory in {during}, {used} bytes in use by buffers; allow fewer, or choose a smaller size or fewer frames"
    )]
    Exhausted {
        /// What was running.
        during: String,
        /// What the engine's buffers hold.
        used: u64,
    },
    /// The device went away.
    #[error(
        "the device was lost while running {during} ({reason}): its driver was reset, or it was unplugged; run it again, with less memory or on another device"
    )]
    Lost {
        /// What was running.
        during: String,
        /// The driver's words.
        reason: String,
    },
    /// The driver reported an error.
    #[error("the device failed while running {during}: {reason}")]
    Failed {
        /// What was running.
        during: String,
        /// The driver's words.
        reason: String,
    },
    /// A recording that the plan cannot run.
    #[error("plan: {variant}: binding {binding} {problem}")]
    Binding {
        /// The kernel.
        variant: String,
        /// The binding's number.
        binding: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// Params of another size than the kernel's.
    #[error("plan: {variant}: params of {found} bytes, the kernel declares {expected}")]
    Params {
        /// The kernel.
        variant: String,
        /// Bytes recorded.
        found: usize,
        /// Bytes declared.
        expected: u32,
    },
    /// A tensor of the recording for which no buffer was given.
    #[error("plan: no buffer was given for `{name}`")]
    Unbound {
        /// The tensor.
        name: String,
    },
    /// A buffer smaller than the tensor it is to hold.
    #[error("plan: the buffer given for `{name}` has {found} bytes, expected {expected}")]
    BufferSize {
        /// The tensor.
        name: String,
        /// Bytes of the buffer.
        found: u64,
        /// Bytes of the tensor.
        expected: u64,
    },
    /// The run was asked to stop.
    #[error("cancelled")]
    Cancelled,
}
