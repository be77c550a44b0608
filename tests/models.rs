//! The text encoder, the image encoder and the transformer against the reference's values, layer by layer.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

#[path = "models/adapters.rs"]
mod adapters;
#[path = "models/clip.rs"]
mod clip;
#[path = "models/experts.rs"]
mod experts;
mod harness;
#[path = "models/lora.rs"]
mod lora;
#[path = "models/names.rs"]
mod names;
#[path = "models/seeing.rs"]
mod seeing;
#[path = "models/text.rs"]
mod text;
#[path = "models/transformer.rs"]
mod transformer;

use std::path::{Path, PathBuf};

use harness::compare::relative_l2;
use harness::data::floats;
use kinora::gpu::{Buffer, Gpu, StreamWindow};
use kinora::weights::Checkpoint;
use libtest_mimic::Failed;

/// The fixtures, one for each kind of model and one of a single frame.
const KINDS: [&str; 4] = ["wan21", "ti2v", "a14b", "image_euler"];

/// What f32 sums in another order may differ by, as relative L2 distance; planted mistakes are
/// further off (see `fixtures/sensitivity.md`).
const BOUND: f64 = 1e-5;

fn main() {
    let mut trials = text::trials();
    trials.extend(clip::trials());
    trials.extend(transformer::trials());
    trials.extend(lora::trials());
    trials.extend(names::trials());
    trials.extend(adapters::trials());
    trials.extend(experts::trials());
    harness::run(trials);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// What the reference computed.
struct Expected(Checkpoint);

impl Expected {
    fn open(folder: &Path) -> Result<Self, Failed> {
        Ok(Self(Checkpoint::open(
            folder.join("expected.safetensors"),
            "expected values",
        )?))
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, Failed> {
        Ok(self.0.get_any(name)?.to_f32())
    }

    fn close(&self, name: &str, found: &[f32]) -> Result<(), Failed> {
        let expected = self.values(name)?;
        if found.len() != expected.len() {
            return Err(format!(
                "{name}: {} values, expected {}",
                found.len(),
                expected.len()
            )
            .into());
        }
        let distance = relative_l2(found, &expected);
        if std::env::var_os("KINORA_SHOW_DISTANCES").is_some() {
            println!("{name}: {distance:.1e}");
        }
        if distance.is_finite() && distance <= BOUND {
            return Ok(());
        }
        Err(format!("{name}: relative L2 distance {distance:.2e}, at most {BOUND:.0e}").into())
    }
}

fn json(path: &Path) -> Result<serde_json::Value, Failed> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn read(gpu: &Gpu, buffer: &Buffer, count: usize) -> Result<Vec<f32>, Failed> {
    Ok(floats(&gpu.read(buffer, 0..(count * 4) as u64)?))
}

fn upload(gpu: &Gpu, values: &[f32]) -> Result<Buffer, Failed> {
    let buffer = gpu.buffer("test data", (values.len() * 4) as u64)?;
    gpu.write(&buffer, 0, bytemuck::cast_slice(values))?;
    Ok(buffer)
}

/// What streamed weights may take: staging for more than a block, for a tensor, for a few rows.
const WINDOWS: [StreamWindow; 3] = [
    StreamWindow {
        slots: 2,
        staging: 1 << 20,
    },
    StreamWindow {
        slots: 2,
        staging: 4096,
    },
    StreamWindow {
        slots: 1,
        staging: 100,
    },
];
