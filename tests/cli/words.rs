//! What needs neither a device nor a model of one's own: help, kernels, completions, pipes.

use std::process::Stdio;

use crate::program::{Place, Test, Verdict, command, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("help_names_every_option", help_names_every_option),
    ("help_begins_with_a_first_run", help_begins_with_a_first_run),
    ("usage_errors_are_exit_code_2", usage_errors_are_exit_code_2),
    (
        "names_of_other_programs_get_a_tip",
        names_of_other_programs_get_a_tip,
    ),
    (
        "kernels_are_listed_and_printed_whole",
        kernels_are_listed_and_printed_whole,
    ),
    ("completions_know_the_options", completions_know_the_options),
    (
        "a_reader_that_leaves_is_no_error",
        a_reader_that_leaves_is_no_error,
    ),
    ("plans_are_objects_too", plans_are_objects_too),
    ("shapes_and_rates", shapes_and_rates),
    ("without_a_device_the_error_says_what_to_install", no_device),
];

fn help_names_every_option() -> Verdict {
    let place = Place::new()?;
    let commands: [(&str, &[&str]); 8] = [
        (
            "generate",
            &[
                "PROMPT",
                "--model",
                "--transformer",
                "--transformer-2",
                "--text-encoder",
                "--vae",
                "--tokenizer",
                "--negative-prompt",
                "--width",
                "--height",
                "--aspect",
                "16:9",
                "W:H",
                "4:3",
                "--resolution",
                "480p",
                "720p",
                "1080p",
                "--frames",
                "--duration",
                "--fps",
                "--steps",
                "--guidance",
                "--guidance-2",
                "--guidance-stop",
                "--shift",
                "--scheduler",
                "unipc",
                "euler",
                "--seed",
                "--count",
                "--output",
                "--force",
                "--no-metadata",
                "--save-latents",
                "--frames-dir",
                "--device",
                "--precision",
                "--memory",
                "--quiet",
                "Examples:",
            ],
        ),
        (
            "resume",
            &[
                "[CLIP|STATE]",
                "--output",
                "--memory",
                "--device",
                "--force",
                "Examples:",
            ],
        ),
        (
            "decode",
            &[
                "--latents",
                "--model",
                "--output",
                "--frames-dir",
                "Examples:",
            ],
        ),
        ("show", &["<FILE>", "--command", "--json", "Example:"]),
        ("info", &["--model", "--device"]),
        (
            "bench",
            &["[NAME]...", "--json", "--list", "--device", "Examples:"],
        ),
        ("shaders", &["[NAME]", "--slot", "Example:"]),
        ("completions", &["bash", "zsh", "fish", "Example:"]),
    ];
    let all = place.run(&["--help"])?.good()?.out;
    for (name, words) in commands {
        ensure!(all.contains(name), "{name} is not in --help");
        for help in ["--help", "-h"] {
            let text = place.run(&[name, help])?.good()?.out;
            for word in words {
                ensure!(
                    text.contains(word),
                    "{word} is not in kinora {name} {help}:\n{text}"
                );
            }
            let wide = text.lines().find(|line| line.chars().count() > 100);
            ensure!(
                wide.is_none(),
                "kinora {name} {help} has a line of more than 100 columns: {wide:?}"
            );
        }
    }
    let version = place.run(&["--version"])?.good()?.out;
    ensure!(
        version == format!("kinora {}\n", env!("CARGO_PKG_VERSION")),
        "--version printed {version:?}"
    );
    Ok(())
}

/// What a first run needs stands first, and what the starter draws is said.
fn help_begins_with_a_first_run() -> Verdict {
    let text = Place::new()?.run(&["generate", "--help"])?.good()?.out;
    let first = text
        .split("Model in single files:")
        .next()
        .unwrap_or_default();
    for word in [
        "[PROMPT]",
        "--output",
        "--width",
        "--frames",
        "--duration",
        "--seed",
        "lighthouse",
    ] {
        ensure!(first.contains(word), "{word} comes late in:\n{text}");
    }
    Ok(())
}

fn usage_errors_are_exit_code_2() -> Verdict {
    let place = Place::new()?;
    let lines: [&[&str]; 9] = [
        &["generate", "a boat", "--wide", "64"],
        &["generate", "a boat", "--aspect", "1:1", "--width", "64"],
        &[
            "generate",
            "a boat",
            "--resolution",
            "480p",
            "--height",
            "64",
        ],
        &["generate", "a boat", "--frames", "9", "--duration", "2"],
        &["generate", "a boat", "--seed", "-2"],
        &["generate", "a boat", "--steps", "many"],
        &["generate", "a boat", "--count", "0"],
        &["shaders", "matmul", "--slot", "weight"],
        &["show", "x.mp4", "--command", "--json"],
    ];
    for line in lines {
        let ended = place.run(line)?;
        ended.refused(&[]).map_err(|e| format!("{line:?}: {e}"))?;
    }
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

/// The option is named where the command has it, and nothing that it does not have.
fn names_of_other_programs_get_a_tip() -> Verdict {
    let place = Place::new()?;
    let tips = [
        ("-p", "kinora generate \"a red kite\""),
        ("--prompt", "kinora generate \"a red kite\""),
        ("--size=832*480", "'--width W --height H'"),
        ("--cfg-scale", "'--guidance'"),
        ("--guidance_scale=5", "'--guidance'"),
        ("--num-frames", "'--frames'"),
        ("--frame_num", "'--frames'"),
        ("--num-inference-steps", "'--steps'"),
        ("--ckpt_dir", "'--model'"),
    ];
    for (typed, tip) in tips {
        let ended = place.run(&["generate", "a boat", typed, "5"])?;
        let name = typed.split('=').next().unwrap_or(typed);
        let named = ended.refused(&[&format!("'{name}'")]);
        named.map_err(|e| format!("{typed}: {e}"))?;
        ensure!(ended.err.contains(tip), "{typed}: {}", ended.err);
    }
    let ended = place.run(&["show", "--num-frames", "5"])?;
    ensure!(!ended.err.contains("--frames'"), "{}", ended.err);
    let ended = place.run(&["pull", "--prompt", "a"])?;
    ensure!(!ended.err.contains("generate"), "{}", ended.err);
    Ok(())
}

fn kernels_are_listed_and_printed_whole() -> Verdict {
    let place = Place::new()?;
    let list = place.run(&["shaders"])?.good()?.out;
    for word in ["matmul", "--slot weight={", "f16", "bias_gelu"] {
        ensure!(list.contains(word), "{word} is not in the list:\n{list}");
    }
    for line in list.lines().filter(|line| !line.starts_with(' ')) {
        let kernel = line.split(' ').next().unwrap_or_default();
        let text = place.run(&["shaders", kernel])?.good()?.out;
        ensure!(text.contains("@compute"), "{kernel} is not printed");
    }
    let plain = place.run(&["shaders", "matmul"])?.good()?.out;
    let f16 = place
        .run(&[
            "shaders",
            "matmul",
            "--slot",
            "weight=f16",
            "--slot",
            "epilogue=bias",
        ])?
        .good()?
        .out;
    for text in [&plain, &f16] {
        ensure!(
            text.contains("@compute") && !text.contains("\nimport "),
            "not linked:\n{text}"
        );
    }
    ensure!(
        plain != f16 && f16.contains("unpack2x16float"),
        "the slot changed nothing"
    );
    place
        .run(&["shaders", "nope"])?
        .refused(&["nope", "matmul"])?;
    place
        .run(&["shaders", "matmul", "--slot", "weight=f99"])?
        .refused(&["f99", "bf16"])?;
    place
        .run(&["shaders", "matmul", "--slot", "nope=f16"])?
        .refused(&["nope", "weight"])
}

fn completions_know_the_options() -> Verdict {
    let place = Place::new()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&["completions", shell])?.good()?.out;
        ensure!(text.contains("negative-prompt"), "{shell}: {text}");
    }
    Ok(())
}

fn a_reader_that_leaves_is_no_error() -> Verdict {
    for arguments in [
        &["shaders", "matmul"][..],
        &["completions", "bash"],
        &["shaders"],
    ] {
        let mut child = command(false)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        drop(child.stdout.take());
        let ended = child.wait_with_output().map_err(|e| e.to_string())?;
        ensure!(
            ended.status.success() && ended.stderr.is_empty(),
            "{arguments:?}: {ended:?}"
        );
    }
    Ok(())
}

/// The plan of a model that is not at hand, for programs to read: the peak, and a row a part.
fn plans_are_objects_too() -> Verdict {
    let place = Place::new()?;
    let plan = |memory: &str| -> Result<serde_json::Value, String> {
        let arguments = [
            "plan",
            "--like",
            "wan2.1-1.3b",
            "--memory",
            memory,
            "--json",
        ];
        let text = place.run(&arguments)?.good()?.out;
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    };
    for (memory, residency) in [("4GB", "resident"), ("2GB", "streamed")] {
        let plan = plan(memory)?;
        let bytes = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        let budget = bytes(&plan["budget_bytes"]);
        let none = Vec::new();
        let parts = plan["parts"].as_array().unwrap_or(&none);
        let named: Vec<_> = parts
            .iter()
            .filter_map(|part| part["part"].as_str())
            .collect();
        let peaks = parts.iter().map(|part| bytes(&part["peak_bytes"]));
        ensure!(named == ["text_encoder", "transformer", "vae"], "{plan}");
        ensure!(peaks.max() == plan["peak_bytes"].as_u64(), "{plan}");
        ensure!((1..=budget).contains(&bytes(&plan["peak_bytes"])), "{plan}");
        ensure!(parts[1]["residency"] == residency, "{plan}");
    }
    let refused = place.run(&["plan", "--like", "wan2.1-1.3b", "--memory", "100MB"])?;
    refused.refused(&["--memory", "100"])
}

/// What was typed is shown as it is made: the size of any shape, the length at another rate.
fn shapes_and_rates() -> Verdict {
    let place = Place::new()?;
    let plan = |options: &[&str]| -> Result<crate::program::Ended, String> {
        let mut arguments = vec!["plan", "--like", "wan2.1-1.3b", "--memory", "4GB"];
        arguments.extend(options);
        place.run(&arguments)
    };
    let wide = plan(&["--aspect", "21:9", "--frames", "5"])?.good()?;
    ensure!(wide.out.contains("960x416, 5 frames"), "{}", wide.out);
    let square = plan(&["--aspect", "3:4", "--resolution", "480p"])?.good()?;
    ensure!(square.out.contains("480x640"), "{}", square.out);
    plan(&["--aspect", "100:1"])?.refused(&["--aspect", "4:1"])?;
    plan(&["--fps", "fast"])?.refused(&["--fps", "30000/1001"])?;
    let played = plan(&["--duration", "1", "--fps", "30000/1001"])?.good()?;
    ensure!(
        played
            .err
            .contains("17 frames at 30000/1001 a second play for 0.57 s"),
        "{}",
        played.err
    );
    let own = plan(&["--duration", "1"])?.good()?;
    ensure!(!own.err.contains("a second play for"), "{}", own.err);
    // Whatever else generate takes, and refuses.
    plan(&[
        "a boat",
        "--steps",
        "3",
        "--guidance",
        "1",
        "--seed",
        "7",
        "-o",
        "boat.mp4",
    ])?
    .good()?;
    plan(&["--steps", "0"])?.refused(&["--steps", "0"])?;
    plan(&["--timesteps", "1000,500"])?.refused(&["--timesteps"])?;
    plan(&["--width", "15", "--fps", "500"])?.refused(&["--fps", "500"])
}

fn no_device() -> Verdict {
    let place = Place::new()?;
    let mut command = command(false);
    command.env("KINORA_BACKEND", "vulkan");
    command
        .env("VK_DRIVER_FILES", "/nowhere")
        .env("VK_ICD_FILENAMES", "/nowhere");
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    let ended = place.feed(command, &["generate", "a boat"], &[])?;
    ended.exits(1)?;
    ensure!(
        ended.err.contains("install") && ended.err.contains("with-vulkan"),
        "{}",
        ended.err
    );
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}
