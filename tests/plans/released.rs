//! The released models at their full sizes: what their plans come to, and how long a dispatch is.

use kinora::error::Error;
use std::path::{Path, PathBuf};

use kinora::model_files::{Given, ModelFolder};
use kinora::models::vae::{DecodeLayout, DecodeOptions, decode_layout};
use kinora::models::wan_transformer::{Residency, TransformerPasses, TransformerShape};
use kinora::pipeline::{MemoryPlan, Model, Prepared, Prompts};
use kinora::record::{Caps, Command, DeviceClass};
use kinora::request::{Request, Settings, Size};
use kinora::{Decoder, Part};

const GB: u64 = 1_000_000_000;

/// The least of devices: operands in f32, bindings of 128 MiB.
fn least() -> Caps {
    Caps {
        max_buffer_bytes: 2 << 30,
        ..Caps::least()
    }
}

fn plan(
    model: &str,
    [width, height]: [usize; 2],
    frames: usize,
    budget: u64,
) -> Result<MemoryPlan, Error> {
    let model = Model::open(ModelFolder::like(model)?)?;
    let mut request = Request::new("any");
    request.size = Size::Exact(Some(width), Some(height));
    request.frames = Some(frames);
    let settings = Settings::resolve(&request, model.config())?;
    assert_eq!(
        [settings.width, settings.height, settings.frames],
        [width, height, frames]
    );
    let (decoder, longest) = (Decoder::Full, Prompts::Longest);
    let run = Prepared::new(&least(), &model, settings, &decoder, Some(budget), longest)?;
    Ok(run.plan().clone())
}

/// A picture of 16:9 for a request.
fn picture(folder: &Path) -> PathBuf {
    let file = folder.join("picture.png");
    let rgb = vec![90; 64 * 36 * 3];
    kinora::media::write_png(&file, 64, 36, &rgb, true).expect("a picture");
    file
}

#[test]
fn models_that_start_from_pictures_fit_the_memory_that_people_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = picture(folder.path());
    for (model, size, frames, budget) in [
        ("wan2.2-5b", [1280, 704], 121, 4 * GB),
        ("wan2.1-i2v-14b-720p", [1280, 720], 81, 8 * GB),
        ("wan2.1-flf2v-14b", [1280, 720], 81, 8 * GB),
        ("wan2.2-i2v-a14b", [832, 480], 81, 8 * GB),
    ] {
        let folder = Model::open(ModelFolder::like(model).expect(model)).expect(model);
        let mut request = Request::new("any");
        request.size = Size::Exact(Some(size[0]), Some(size[1]));
        request.frames = Some(frames);
        request.image = Some(picture.clone());
        let both = folder.config().starts_from().last_image == Given::Always;
        request.last_image = both.then(|| picture.clone());
        let settings = Settings::resolve(&request, folder.config()).expect(model);
        let (decoder, longest) = (Decoder::Full, Prompts::Longest);
        let run = Prepared::new(&least(), &folder, settings, &decoder, Some(budget), longest);
        let run = run.expect(model);
        println!("{model} {size:?} x {frames}:\n{}", run.plan());
        assert!(run.plan().peak_bytes() <= budget, "{model}");
        let encodes = run.plan().part(Part::VaeEncoder).is_some();
        assert!(encodes, "{model}: {}", run.plan());
    }
}

#[test]
fn the_released_models_fit_the_memory_that_people_have() {
    let cases = [
        ("wan2.1-1.3b", [832, 480], 81, 4 * GB, true),
        ("wan2.1-1.3b", [832, 480], 81, 2 * GB, false),
        ("wan2.1-14b", [1280, 720], 81, 8 * GB, false),
        ("wan2.2-a14b", [1280, 720], 81, 8 * GB, false),
        ("wan2.2-5b", [1280, 704], 121, 8 * GB, false),
    ];
    for (model, size, frames, budget, resident) in cases {
        let plan = plan(model, size, frames, budget).expect(model);
        println!("{model} {size:?} x {frames}:\n{plan}");
        assert!(plan.peak_bytes() <= budget, "{model}: {plan}");
        // Where blocks are streamed, the next one is packed whole while one computes.
        match plan
            .part(Part::Transformer)
            .expect("a transformer")
            .residency
        {
            Residency::Resident | Residency::Minimal => assert!(resident, "{model}: {plan}"),
            Residency::Streamed(window) => {
                assert!(!resident && window.slots == 2, "{model}: {plan}");
            }
        }
    }
    // The parts that a smaller budget cuts further.
    for (model, size, frames, budget) in [
        ("wan2.1-1.3b", [832, 480], 81, GB * 12 / 10),
        ("wan2.1-1.3b", [256, 256], 5, GB * 6 / 10),
        ("wan2.2-5b", [1280, 704], 121, 3 * GB),
    ] {
        let plan = plan(model, size, frames, budget).expect(model);
        assert!(plan.peak_bytes() <= budget, "{model}: {plan}");
    }
}

/// Whatever the number of frames.
#[test]
fn decoders_fit_the_memory_that_people_have() {
    let layout = |model: &str, latents: [usize; 4], bytes: u64| -> Result<DecodeLayout, Error> {
        let folder = ModelFolder::like(model)?;
        let options = DecodeOptions {
            max_bytes: Some(bytes),
            ..DecodeOptions::default()
        };
        let (config, checkpoint) = (folder.config()?, folder.checkpoint("vae")?);
        decode_layout(&least(), &config.vae, &checkpoint, latents, &options)
    };
    for (model, [c, h, w], budget) in [
        ("wan2.1-1.3b", [16, 60, 104], GB * 12 / 10),
        ("wan2.1-14b", [16, 90, 160], 3 * GB),
        ("wan2.2-5b", [48, 44, 80], 3 * GB),
    ] {
        let peaks = [21, 81, 321].map(|frames| {
            let found = layout(model, [c, frames, h, w], budget);
            found.expect(model).peak_bytes()
        });
        assert!(peaks[0] <= budget, "{model}: {peaks:?}");
        assert_eq!(peaks, [peaks[0]; 3], "{model}");
    }
}

/// No dispatch of the largest run is longer than watchdogs allow, on a slow GPU of each class.
/// Software devices have none, and 64 rows at a time are the least for them.
#[test]
fn dispatches_stay_short_at_full_size() {
    let folder = ModelFolder::like("wan2.1-14b").expect("a released model");
    let config = folder.config().expect("its configuration");
    let checkpoint = folder.checkpoint("transformer").expect("its weights");
    let shape = TransformerShape {
        latents: [16, 21, 90, 160],
        text_length: 512,
        text_rows: 512,
        timesteps: 1,
    };
    let classes = [
        DeviceClass::Discrete,
        DeviceClass::Integrated,
        DeviceClass::Apple,
    ];
    for class in classes {
        let caps = Caps { class, ..least() };
        let passes = TransformerPasses::record(&caps, &config.transformer, &checkpoint, shape);
        let passes = passes.expect("a recording");
        let recordings = passes.recordings();
        let commands = recordings.iter().flat_map(|recording| &recording.commands);
        let longest = commands.filter_map(|command| match command {
            Command::Dispatch(dispatch) => Some(dispatch.flops),
            Command::Copy { .. } | Command::Clear(_) => None,
        });
        let longest = longest.max().expect("a dispatch");
        let limit = caps.dispatch_flops();
        println!("{class:?}: {longest} of {limit} floating-point operations in a dispatch");
        assert!(longest <= limit, "{class:?}: {longest} of {limit}");
    }
}
