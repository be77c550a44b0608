//! `kinora bench`: names without a device, measurements with one.

use std::time::Duration;

use crate::program::{Place, Test, Verdict, command, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("benches_are_listed_without_a_device", listed),
    ("an_unknown_bench_is_named", unknown),
];

pub(crate) const DEVICE_TESTS: &[Test] = &[
    ("a_bench_is_an_object_a_line", objects),
    ("a_table_of_benches_names_the_device", table),
    ("ctrl_c_ends_a_bench", interrupted),
];

fn listed() -> Verdict {
    let place = Place::new()?;
    let mut program = command(false);
    // No driver is found: whoever opens a device fails.
    for (name, value) in [
        ("KINORA_BACKEND", "vulkan"),
        ("VK_DRIVER_FILES", "/nowhere"),
        ("VK_ICD_FILENAMES", "/nowhere"),
    ] {
        program.env(name, value);
    }
    let names = place.feed(program, &["bench", "--list"], &[])?.good()?.out;
    for name in [
        "matmul/f32/1024x1536x1536",
        "matmul/bf16/wan1.3b_480p_mlp_up",
        "attention/f16/12x1024x1024x128",
        "conv3d/f16/96x96x3x3x3_4x64x64",
        "ceiling/fma_f32",
    ] {
        ensure!(
            names.lines().any(|line| line == name),
            "{name} is not in\n{names}"
        );
    }
    let all = place
        .run(&["bench", "--list", "--json", "conv3d"])?
        .good()?;
    for line in all.out.lines() {
        let case: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        ensure!(case["op"] == "conv3d", "{line}");
        ensure!(
            case["sizes"].as_array().is_some_and(|s| s.len() == 5),
            "{line}"
        );
    }
    Ok(())
}

fn unknown() -> Verdict {
    let place = Place::new()?;
    place
        .run(&["bench", "matmull"])?
        .refused(&["matmull", "--list"])
}

fn objects() -> Verdict {
    let place = Place::new()?;
    let arguments = ["bench", "--json", "ceiling", "matmul/f16/starter_qkv"];
    let ended = place.feed(command(true), &arguments, &[])?.good()?;
    let mut rates = Vec::new();
    for line in ended.out.lines() {
        let found: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
        for key in ["seconds", "share_of_ceiling"] {
            let positive = found[key].as_f64().is_some_and(|value| value > 0.0);
            ensure!(positive, "{key} in {line}");
        }
        for key in ["name", "device", "driver"] {
            ensure!(found[key].is_string(), "{key} in {line}");
        }
        rates.push(match (&found["gflops"], &found["gbytes_per_s"]) {
            (flops, bytes) if flops.is_f64() && bytes.is_null() => "gflops",
            (flops, bytes) if flops.is_null() && bytes.is_f64() => "gbytes_per_s",
            _ => return Err(format!("no rate in {line}")),
        });
    }
    // A copy, multiply-adds, cooperative matrices where there are some, and the product.
    ensure!(
        rates.len() >= 3 && rates[0] == "gbytes_per_s" && rates[1..].iter().all(|r| *r == "gflops"),
        "{}",
        ended.out
    );
    Ok(())
}

fn table() -> Verdict {
    let place = Place::new()?;
    let arguments = ["--quiet", "bench", "attention/f16/starter"];
    let ended = place.feed(command(true), &arguments, &[])?.good()?;
    for word in [
        "kinora ",
        "ceilings: ",
        "GB/s",
        "attention/f16/starter_text",
        "%",
    ] {
        ensure!(ended.out.contains(word), "{word} is not in\n{}", ended.out);
    }
    ensure!(ended.err.is_empty(), "{}", ended.err);
    Ok(())
}

#[cfg(unix)]
fn interrupted() -> Verdict {
    let place = Place::new()?;
    let mut running = place.start(command(true), &["bench", "--json", "matmul"])?;
    running.says("measuring matmul")?;
    running.signal("INT")?;
    let ended = running.wait(Duration::from_secs(6))?;
    ensure!(
        ended.code == Some(130) && ended.err.trim_end().ends_with("interrupted"),
        "exit code {:?}: {}",
        ended.code,
        ended.err
    );
    Ok(())
}

#[cfg(not(unix))]
fn interrupted() -> Verdict {
    Ok(())
}
