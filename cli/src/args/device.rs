//! Which device, and how much of it.

use clap::Args;
use kinora::record::Precision;
use kinora::request::bytes_of;

use super::names::named;

/// Which device.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// A part of the device's name, or its number in 'kinora info' [default: the best at hand]
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Device")]
    pub device: Option<String>,
    /// Operands of the products: f16 where the device has cooperative matrices and the model holds
    /// in it, or f32 everywhere, the reference's arithmetic
    #[arg(long, default_value = "f16", help_heading = "Device",
        value_parser = named(&Precision::ALL, |_| ""))]
    pub precision: Precision,
}

/// How much of the device.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Device memory that may be used, 8GB say [default: four fifths of what the device has]
    #[arg(long, value_name = "BYTES", help_heading = "Device", value_parser = bytes_of)]
    pub memory: Option<u64>,
}
