//! A forward pass as data: record once, plan once, run for every step. No device.

mod caps;
mod liveness;
mod recorder;
mod recording;

pub use caps::{Caps, DeviceClass};
pub use liveness::{Placement, place};
pub use recorder::{DispatchBuilder, Recorder};
pub use recording::{
    Binding, Command, Dispatch, Kind, Pack, Recording, Tensor, TensorId, TensorInfo, Workgroups,
};
