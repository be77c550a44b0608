//! The fragments of the engine's sentences that `cli/src/words.rs` replaces: unit tests of that module.

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
