//! The params of each kernel: the Rust struct against the WGSL struct, field by field. No device.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "harness/devices.rs"]
mod devices;

use std::collections::BTreeMap;

use kinora::ops;
use kinora::shader::Library;

#[test]
fn params_have_the_fields_of_their_kernel() {
    let library = Library::default();
    let layouts: BTreeMap<_, _> = ops::layouts()
        .into_iter()
        .map(|(kernel, size, fields)| (kernel, (size, fields)))
        .collect();
    let mut checked = 0;
    for variant in devices::every_variant() {
        let interface = library
            .link(&variant)
            .and_then(|linked| linked.interface(&variant))
            .expect("a kernel that links");
        let wgsl: Vec<(String, usize)> = interface
            .params
            .iter()
            .map(|f| (f.name.clone(), f.offset as usize))
            .collect();
        if wgsl.is_empty() {
            continue;
        }
        let (size, fields) = layouts
            .get(variant.kernel())
            .unwrap_or_else(|| panic!("no params registered for {}", variant.kernel()));
        let rust: Vec<(String, usize)> = fields
            .iter()
            .map(|&(name, offset)| (name.to_owned(), offset))
            .collect();
        assert_eq!(rust, wgsl, "{}", variant.kernel());
        assert_eq!(
            *size,
            interface.params_size as usize,
            "{}",
            variant.kernel()
        );
        assert!(
            interface.params.iter().all(|f| f.size == 4),
            "{}",
            variant.kernel()
        );
        checked += 1;
    }
    assert!(
        checked >= layouts.len(),
        "{checked} variants for {} kernels",
        layouts.len()
    );
}

#[test]
fn bindings_stay_in_their_module_s_range() {
    let library = Library::default();
    for variant in devices::every_variant() {
        let interface = library
            .link(&variant)
            .and_then(|linked| linked.interface(&variant))
            .expect("a kernel that links");
        let storage = interface.bindings.len() - 1;
        assert!(storage <= 8, "{variant:?} binds {storage} storage buffers");
        assert!(interface.bindings.keys().all(|&b| b < 16), "{variant:?}");
    }
}
