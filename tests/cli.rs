//! The command line as a user runs it: the program is started, and judged by its exit code, its two
//! streams and the files it leaves.
//!
//! Tests of clips need a device and are reported as ignored where `kinora info` finds none (unless
//! `KINORA_REQUIRE_DEVICE` is set, which makes that an error).

#[path = "cli/again.rs"]
mod again;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/clips.rs"]
mod clips;
#[path = "cli/decoders.rs"]
mod decoders;
#[path = "cli/endings.rs"]
mod endings;
#[allow(dead_code, reason = "the hub client's own tests ask for the rest")]
#[path = "hub/server.rs"]
mod hub;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/parts.rs"]
mod parts;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/prompts.rs"]
mod prompts;
#[path = "cli/pull.rs"]
mod pull;
#[path = "cli/resume.rs"]
mod resume;
#[path = "cli/words.rs"]
mod words;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut tests = Vec::new();
    for (name, test) in words::TESTS
        .iter()
        .chain(bad_input::TESTS)
        .chain(bench::TESTS)
        .chain(inputs::TESTS)
        .chain(prompts::TESTS)
        .chain(outputs::WORDS)
        .chain(parts::TESTS)
        .chain(pull::TESTS)
        .chain(pull::endings::TESTS)
        .chain(resume::WORDS)
    {
        tests.push(Trial::test(*name, || Ok(test()?)));
    }
    let device = program::has_device();
    let required = std::env::var_os("KINORA_REQUIRE_DEVICE").is_some();
    for (name, test) in clips::TESTS
        .iter()
        .chain(again::TESTS)
        .chain(decoders::TESTS)
        .chain(bad_input::DEVICE_TESTS)
        .chain(bench::DEVICE_TESTS)
        .chain(endings::TESTS)
        .chain(inputs::DEVICE_TESTS)
        .chain(prompts::DEVICE_TESTS)
        .chain(outputs::TESTS)
        .chain(parts::DEVICE_TESTS)
        .chain(pull::DEVICE_TESTS)
        .chain(resume::TESTS)
    {
        tests.push(Trial::test(*name, || Ok(test()?)).with_ignored_flag(!device && !required));
    }
    for (name, test) in endings::DISK_TESTS.iter().chain(resume::DISK_TESTS) {
        let able = (device || required) && endings::can_mount();
        tests.push(Trial::test(*name, || Ok(test()?)).with_ignored_flag(!able));
    }
    for (name, test) in pull::DISK_TESTS {
        tests.push(Trial::test(*name, || Ok(test()?)).with_ignored_flag(!endings::can_mount()));
    }
    let mut arguments = Arguments::from_args();
    // A device is shared, and software ones use every core.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, tests).exit();
}
