//! Devices that kernels are chosen for, one of each kind.

use std::collections::BTreeSet;

use kinora::ops;
use kinora::record::{Caps, DeviceClass};
use kinora::shader::Variant;

/// Every variant that any device may be given, without repeats.
pub fn every_variant() -> Vec<Variant> {
    let mut seen = BTreeSet::new();
    let all = every_kind()
        .into_iter()
        .flat_map(|caps| ops::variants(&caps));
    all.filter(|variant| seen.insert(format!("{variant:?}")))
        .collect()
}

/// One device of every row of the tables that choose kernels.
fn every_kind() -> Vec<Caps> {
    let plain = [
        DeviceClass::Discrete,
        DeviceClass::Integrated,
        DeviceClass::Apple,
        DeviceClass::Software,
        DeviceClass::Other,
    ]
    .map(|class| Caps {
        class,
        ..Caps::least()
    });
    let cooperative = |class, backend: &str, edge, subgroups| Caps {
        class,
        backend: backend.into(),
        f16: true,
        cooperative: vec![edge],
        subgroups: Some(subgroups),
        workgroup_memory: 64 << 10,
        ..Caps::least()
    };
    let cooperative = [
        // NVIDIA, AMD, Apple.
        cooperative(DeviceClass::Discrete, "vulkan", 16, (32, 32)),
        cooperative(DeviceClass::Integrated, "vulkan", 16, (32, 64)),
        cooperative(DeviceClass::Apple, "metal", 8, (4, 64)),
    ];
    plain.into_iter().chain(cooperative).collect()
}
