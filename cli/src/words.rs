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
mod tests {
    use std::path::PathBuf;

    use kinora::Request;
    use kinora::model_files::{ModelFolder, SchedulerName};
    use kinora::pipeline::Model;
    use kinora::request::Settings;
    use kinora::sampling::Distilled;

    use super::*;

    /// The sentence for an error, which must not be the engine's own.
    fn changed(error: impl Into<Error>) -> String {
        let error = error.into();
        let said = sentence(&error);
        assert_ne!(said, error.to_string());
        said
    }

    /// Each fragment that is replaced occurs in the engine's text: else its option would be missing.
    #[test]
    fn every_fragment_still_occurs() {
        let during = String::from("a test");
        let said = changed(GpuError::Exhausted {
            during: during.clone(),
            used: 1,
        });
        assert!(said.contains("allow fewer with --memory"), "{said}");
        let reason = String::from("gone");
        let said = changed(GpuError::Lost { during, reason });
        assert!(
            said.contains("--memory") && said.contains("--device"),
            "{said}"
        );
        let said = changed(MediaError::Exists {
            path: PathBuf::from("a.mp4"),
        });
        assert!(said.contains("--force"), "{said}");
        let said = changed(RequestError::Memory {
            part: "transformer",
            needed: 3_000_000,
            budget: 1,
            instead: None,
        });
        assert!(said.contains("--memory 3MB"), "{said}");
        let said = changed(RequestError::NeedsPicture {
            model: String::from("a model"),
            field: "last_image",
        });
        assert!(said.contains("--last-image"), "{said}");
    }

    #[test]
    fn fragments_of_settings_still_occur() {
        let folder = ModelFolder::like("wan2.1-1.3b").expect("a model");
        let model = Model::open(folder).expect("a model");
        let refused = |change: &dyn Fn(&mut Request)| {
            let mut request = Request::new("a boat");
            change(&mut request);
            changed(Settings::resolve(&request, model.config()).expect_err("refused"))
        };
        let dmd = Some(SchedulerName::Distilled(Distilled::Dmd));
        let said = refused(&|r| r.timesteps = Some(vec![1000]));
        assert!(said.contains("--scheduler dmd"), "{said}");
        let said = refused(&|r| (r.scheduler, r.steps) = (dmd, Some(7)));
        assert!(said.contains("or --timesteps"), "{said}");
        let times = || Some(vec![1000, 500]);
        let said = refused(&|r| (r.scheduler, r.steps, r.timesteps) = (dmd, Some(7), times()));
        assert!(said.contains("there are --timesteps"), "{said}");
    }
}
