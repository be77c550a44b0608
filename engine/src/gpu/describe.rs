//! Devices in words.

use std::fmt::Write;

use super::DeviceInfo;
use crate::numbers::size;
use crate::record::{Caps, DeviceClass};

// Writing to a string cannot fail.
impl DeviceInfo {
    /// What the device is and what its kernels may use, a line each, for people; `chosen` marks it as the one that is used.
    pub fn describe(&self, chosen: bool) -> String {
        let device = self;
        let mut text = String::new();
        let Caps {
            name,
            driver,
            backend,
            ..
        } = &device.caps;
        let caps = &device.caps;
        let class = match caps.class {
            DeviceClass::Discrete => "discrete GPU",
            DeviceClass::Integrated => "integrated GPU",
            DeviceClass::Apple => "Apple GPU",
            DeviceClass::Software => "software",
            _ => "other",
        };
        let mark = if chosen { "  <- used" } else { "" };
        let _ = writeln!(text, "device {}: {name}{mark}", device.index);
        let mut row = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:18} {value}");
        };
        row("driver", format!("{driver}, {backend}"));
        row("class", class.to_owned());
        row(
            "buffer",
            format!(
                "{}, of which a kernel sees {} at once",
                size(caps.max_buffer_bytes),
                size(caps.max_binding_bytes)
            ),
        );
        row(
            "storage buffers",
            format!("{} a kernel", caps.max_storage_buffers),
        );
        row(
            "workgroup",
            format!(
                "{} invocations, {} of memory",
                caps.max_invocations,
                size(caps.workgroup_memory.into())
            ),
        );
        row(
            "f16 arithmetic",
            if caps.f16 { "yes" } else { "no" }.to_owned(),
        );
        row(
            "subgroups",
            match caps.subgroups {
                None => "no".to_owned(),
                Some((least, most)) if least == most => least.to_string(),
                Some((least, most)) => format!("{least} to {most}"),
            },
        );
        row(
            "cooperative",
            match caps.cooperative.as_slice() {
                [] => "no".to_owned(),
                edges => edges
                    .iter()
                    .map(|edge| format!("{edge}x{edge}x{edge} f16"))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        );
        if let Some(reason) = &device.unusable {
            row("unusable", reason.clone());
        }
        text
    }
}
