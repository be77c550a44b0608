//! The engine's errors in the words of the command line: it names fields, people type options.

use std::borrow::Cow;

use kinora::Error;
use kinora::error::{GpuError, MediaError, RequestError, StateError};
use kinora::request::field;

/// The option that sets a field: `guidance_2` is `--guidance-2`, `model_path` is `--model`.
pub(crate) fn option(key: &str) -> String {
    let name = key.strip_suffix("_path").unwrap_or(key);
    format!("--{}", name.replace('_', "-"))
}

/// The sentence for an error, with the options that change it.
pub(crate) fn sentence(error: &Error) -> String {
    match error {
        Error::Request(error) => request(error),
        Error::State(error) => state(error),
        Error::Gpu(GpuError::TooSmall { .. }) => format!("{error}; choose another with --device"),
        Error::Gpu(GpuError::Exhausted { .. }) => error
            .to_string()
            .replace("allow fewer", "allow fewer with --memory"),
        Error::Gpu(GpuError::Lost { .. }) => error.to_string().replace(
            "with less memory or on another device",
            "on less of it with --memory, or on another with --device",
        ),
        Error::Gpu(GpuError::NoDevice) => format!(
            "{error}, or run through 'scripts/with-vulkan', which fetches a software Vulkan"
        ),
        Error::Media(MediaError::Exists { .. }) => error
            .to_string()
            .replace("let it be overwritten", "overwrite it with --force"),
        error => error.to_string(),
    }
}

fn request(error: &RequestError) -> String {
    match error {
        RequestError::Range {
            field: key,
            found,
            expected,
        } => {
            let name: Cow<'_, str> = match field(key) {
                Some(field) if field.is_asked() => option(key).into(),
                _ => (*key).into(),
            };
            let expected = expected
                .replace("the scheduler dmd", "--scheduler dmd")
                .replace("or timesteps", "or --timesteps")
                .replace("there are timesteps", "there are --timesteps");
            format!("{name} is {found}, expected {expected}")
        }
        RequestError::Memory {
            needed, instead, ..
        } => {
            let megabytes = needed.div_ceil(1_000_000);
            let budget = format!("allow a memory budget of {megabytes}MB");
            let text = error
                .to_string()
                .replace(&budget, &format!("allow it with --memory {megabytes}MB"));
            match instead {
                Some(frames) => format!("{text} with --frames {frames}"),
                None => text,
            }
        }
        RequestError::Seeds { .. } => error
            .to_string()
            .replace("seed ", "--seed ")
            .replace("count", "--count"),
        RequestError::NeedsPicture { field, .. } => error.to_string().replace(
            &format!("give one as {field}"),
            &format!("give one with {}", option(field)),
        ),
        RequestError::NoColours { .. } => {
            format!("{error}: leave --preview and --decoder linear out")
        }
        error => error.to_string(),
    }
}

fn state(error: &StateError) -> String {
    match error {
        StateError::Broken { path, .. } => {
            format!(
                "{error}; remove {}, or begin anew with --force",
                path.display()
            )
        }
        StateError::OtherRun { path, .. } => format!(
            "{error}: finish it with 'kinora resume {}', begin anew with --force, or choose another output with -o",
            path.display()
        ),
        StateError::OtherModel { .. } => {
            format!("{error}; name the model that it began with, or begin anew with --force")
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
#[path = "../../tests/cli/fragments.rs"]
mod tests;
