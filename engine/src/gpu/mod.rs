//! The only folder that names wgpu: devices, pipelines, buffers, plans, transfers.

mod buffer;
mod context;
mod pipeline_cache;
mod pipelines;
mod plan;
mod profile;
mod stream;
mod timestamps;
mod weights;

pub use buffer::{Buffer, Made, MemoryUse};
pub use context::{DeviceInfo, Gpu, GpuOptions, READ_PIECE, Requirements, devices};
pub use plan::{Bound, Plan};
pub use profile::ProfileRow;
pub use stream::{Cancel, Stream};
pub use weights::WeightBuffers;
/// The version of wgpu whose adapters, devices and queues the engine takes.
pub use wgpu;
