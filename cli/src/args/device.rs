//! Which device, and how much of it.

use clap::{Args, ValueEnum};

/// Which device.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// A part of the device's name, or its number in 'kinora info' [default: the best at hand]
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Device")]
    pub device: Option<String>,
    /// Operands of the products: f16 where the device has cooperative matrices and the model holds
    /// in it, or f32 everywhere, the reference's arithmetic
    #[arg(long, value_enum, default_value = "f16", help_heading = "Device")]
    pub precision: PrecisionChoice,
}

/// How much of the device.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Device memory that may be used, 8GB say [default: four fifths of what the device has]
    #[arg(long, value_name = "BYTES", help_heading = "Device", value_parser = bytes)]
    pub memory: Option<u64>,
}

/// Bytes as people write them: 8GB, 512MB, 7.5GiB, 1000000.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => 0.0,
    };
    let number: f64 = digits.trim_end().parse().unwrap_or(-1.0);
    let bytes = number * unit;
    if (1.0..1e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("expected a size such as 8GB, 7.5GiB or 600MB".into())
    }
}

/// What the operands of products may be rounded to.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionChoice {
    F16,
    F32,
}
