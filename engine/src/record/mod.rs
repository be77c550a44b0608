//! A forward pass as data: record once, plan once, run for every step. No device.

mod caps;
mod footprint;
mod liveness;
mod precision;
mod recorder;
mod recording;

pub use caps::{Caps, DeviceClass};
pub use footprint::Footprint;
pub(crate) use footprint::{PARAMS_ALIGNMENT, buffer as buffer_bytes};
pub use liveness::{Placement, place};
pub use precision::Precision;
pub use recorder::{DispatchBuilder, Recorder};
pub use recording::{
    Binding, Command, Dispatch, Kind, Pack, Recording, Tensor, TensorId, TensorInfo, Workgroups,
};
