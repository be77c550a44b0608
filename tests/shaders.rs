//! Every kernel variant links, validates and translates to SPIR-V, MSL and HLSL. No device.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "harness/devices.rs"]
mod devices;

use std::collections::BTreeSet;
use std::io::Write;

use kinora::shader::{Library, Slot, Variant};
use naga::ShaderStage;
use naga::valid::{Capabilities, ValidationFlags, Validator};

fn translate(library: &Library, variant: &Variant) -> Result<(), String> {
    let linked = library.link(variant).map_err(|e| e.to_string())?;
    let module = linked.parse(variant).map_err(|e| e.to_string())?;
    let cooperative = variant.coop_edge().is_some();
    let subgroups = variant.slots().contains(&(Slot::Reduce, "subgroup"));
    // The core language alone, in which f16 may be unpacked into f32: every device must take these.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if cooperative || subgroups {
        capabilities |= Capabilities::SUBGROUP;
    }
    if cooperative {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(&linked.text))?;
    let constants = variant
        .overrides()
        .iter()
        .map(|&(name, value)| (name.to_owned(), f64::from(value)));
    let (module, info) = naga::back::pipeline_constants::process_overrides(
        &module,
        &info,
        Some((ShaderStage::Compute, "main")),
        &constants.collect(),
    )
    .map_err(|e| e.to_string())?;
    let options = naga::back::spv::Options {
        lang_version: match (cooperative, subgroups) {
            (true, _) => (1, 6),
            (_, true) => (1, 3),
            _ => (1, 0),
        },
        ..Default::default()
    };
    let spirv = naga::back::spv::write_vec(&module, &info, &options, None);
    if spirv.map_err(|e| format!("SPIR-V: {e}"))?.is_empty() {
        return Err("SPIR-V: nothing".into());
    }
    let options = naga::back::msl::Options {
        lang_version: match (cooperative, subgroups) {
            (true, _) => (2, 3),
            (_, true) => (2, 1),
            _ => (1, 0),
        },
        ..Default::default()
    };
    let msl = naga::back::msl::write_string(&module, &info, &options, &Default::default());
    let (text, names) = msl.map_err(|e| format!("MSL: {e}"))?;
    if text.is_empty() || names.entry_point_names.iter().any(Result::is_err) {
        return Err(format!("MSL: {:?}", names.entry_point_names));
    }
    if cooperative {
        // naga has no cooperative matrices in HLSL, and wgpu offers none on DX12.
        return Ok(());
    }
    let options = naga::back::hlsl::Options::default();
    let mut text = String::new();
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    let reflection = naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .map_err(|e| format!("HLSL: {e}"))?;
    if text.is_empty() || reflection.entry_point_names.iter().any(Result::is_err) {
        return Err(format!("HLSL: {:?}", reflection.entry_point_names));
    }
    Ok(())
}

#[test]
fn every_variant_translates_to_spirv_msl_and_hlsl() {
    let library = Library::default();
    let variants = devices::every_variant();
    let failed: Vec<String> = variants
        .iter()
        .filter_map(|v| translate(&library, v).err().map(|e| format!("{v:?}: {e}")))
        .collect();
    let kernels = library.kernels().count();
    // Written past the test runner, which keeps what a passing test prints to itself.
    writeln!(
        std::io::stdout(),
        "{} variants of {kernels} kernels, each to SPIR-V, MSL and HLSL",
        variants.len(),
    )
    .expect("stdout");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_kernel_and_module_is_used_by_a_variant() {
    let library = Library::default();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for variant in devices::every_variant() {
        used.extend(library.link(&variant).expect("links").modules);
    }
    // A slot's default stands for editors where every variant chooses.
    let slots: BTreeSet<&str> = Slot::ALL
        .iter()
        .map(|s| s.name())
        .chain(["tile", "coop"])
        .collect();
    let idle: Vec<&str> = library
        .modules()
        .filter(|m| !used.contains(*m) && !slots.contains(m))
        .collect();
    assert!(idle.is_empty(), "no variant uses {idle:?}");
}

#[test]
fn the_library_is_the_folder() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders");
    let mut on_disk = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("shaders/") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "wgsl") {
                let relative = path.strip_prefix(root).expect("inside").with_extension("");
                on_disk.insert(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let known: BTreeSet<String> = Library::default().modules().map(str::to_owned).collect();
    assert_eq!(known, on_disk);
}

#[test]
fn a_kernel_says_what_it_computes_before_its_first_declaration() {
    let library = Library::default();
    for kernel in library.kernels() {
        let text = library.text(kernel).expect("a kernel");
        let head = text.lines().take_while(|l| l.starts_with("//")).count();
        assert!(
            head >= 3,
            "shaders/{kernel}.wgsl opens with {head} lines of comment"
        );
    }
}
