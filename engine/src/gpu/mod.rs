//! The only folder that names wgpu: devices, pipelines, buffers, plans, transfers.

mod adapters;
mod buffer;
mod context;
mod describe;
mod lost;
mod matrix;
mod pipeline_cache;
mod pipelines;
mod plan;
mod profile;
mod profile_table;
mod staging;
mod stream;
mod texture;
mod timestamps;
mod transfer;
mod weight_stream;
mod weights;

pub use crate::cancel::Cancel;
pub use adapters::{Backend, DeviceInfo, GpuOptions, Requirements, chosen_device, devices};
pub use buffer::{Buffer, Made, MemoryUse};
pub use context::Gpu;
pub use plan::{Bound, Plan};
pub use profile::ProfileRow;
pub use profile_table::profile_table;
pub use staging::STAGING_BYTES;
pub use stream::Stream;
pub use texture::{ROW_ALIGNMENT, Texture};
pub use transfer::READ_PIECE;
pub use weight_stream::{StreamWindow, StreamedTensor, WeightStream, slot_bytes};
pub use weights::WeightBuffers;
/// The version of wgpu whose adapters, devices and queues the engine takes.
pub use wgpu;
