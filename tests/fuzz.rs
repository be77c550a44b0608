//! A million files that are nearly right: each is read or refused, without a panic, without memory
//! beyond its own size and a constant, and at once.
//!
//! Inputs are drawn from a seed, so that a failure comes again: `KINORA_FUZZ_SEED=n` draws others.
#![allow(unreachable_pub, reason = "the modules of a test program are its own")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "fuzz/allocations.rs"]
mod allocations;
#[path = "harness/archive.rs"]
mod archive;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/seeds.rs"]
mod seeds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kinora::model_files::lora::LoraInfo;
use kinora::model_files::{Defaults, ModelFolder, PipelineConfig, gguf_tokenizer_json};
use kinora::models::config::{ImageEncoderConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use kinora::pictures::decode_picture;
use kinora::sampling::{Schedule, Scheduler};
use kinora::text::tokenizer::Tokenizer;
use kinora::weights::{Checkpoint, Extent, Latents, RunState};
use libtest_mimic::{Arguments, Failed, Trial};

use allocations::{Counting, most_held};
use mutate::{Random, mutate};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a file may take in memory beyond its own size.
const CONSTANT: usize = 1 << 18;

/// The same for a tokenizer: the regex library gives up on a pattern that compiles to more than
/// 10 MB, and has taken twice as much by then.
const PATTERN: usize = 1 << 26;

/// The same for a LoRA: the tables of the model that it is held against.
const MODEL: usize = 1 << 20;

/// The same for a picture: what its sides, which are within limits, come to as RGBA of 16 bits, and
/// the picture made of that.
const PIXELS: usize = 4 << 30;

/// How long a file of a few kilobytes may take; a busy machine may stop a thread for a while.
const LONGEST: Duration = Duration::from_secs(5);

/// How many inputs were read, of all kinds.
static INPUTS: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// One kind of file.
struct Kind {
    name: &'static str,
    inputs: usize,
    /// What one may take in memory beyond its own size.
    constant: usize,
    seeds: fn() -> Vec<Vec<u8>>,
    /// Whether it is text.
    text: bool,
    /// What is put around a mutated seed, so that the mutation is reached.
    wrap: fn(Vec<u8>, &mut Random) -> Vec<u8>,
    /// Reads one; whether it was taken.
    read: fn(&[u8]) -> bool,
}

/// Shares by what an input costs: a tokenizer takes as long as thirty headers.
const KINDS: [Kind; 13] = [
    Kind {
        name: "safetensors",
        inputs: 180_000,
        constant: CONSTANT,
        seeds: seeds::safetensors,
        text: true,
        wrap: right_length,
        read: checkpoint,
    },
    Kind {
        name: "quantised",
        inputs: 80_000,
        constant: CONSTANT,
        seeds: seeds::quantised,
        text: true,
        wrap: right_length,
        read: checkpoint,
    },
    Kind {
        name: "gguf",
        inputs: 250_000,
        constant: CONSTANT,
        seeds: seeds::gguf,
        text: false,
        wrap: as_it_is,
        read: checkpoint,
    },
    Kind {
        name: "torch_archives",
        inputs: 100_000,
        constant: CONSTANT,
        seeds: seeds::archives,
        text: false,
        wrap: as_it_is,
        read: checkpoint,
    },
    Kind {
        name: "torch_pickles",
        inputs: 150_000,
        constant: CONSTANT,
        seeds: seeds::pickles,
        text: false,
        wrap: |pickle, _| seeds::saved(&pickle),
        read: checkpoint,
    },
    Kind {
        name: "configurations",
        inputs: 120_000,
        constant: CONSTANT,
        seeds: seeds::configurations,
        text: true,
        wrap: as_it_is,
        read: configuration,
    },
    Kind {
        name: "tokenizers",
        inputs: 10_000,
        constant: PATTERN,
        seeds: seeds::tokenizers,
        text: true,
        wrap: as_it_is,
        read: tokenizer,
    },
    Kind {
        name: "sentencepieces",
        inputs: 20_000,
        constant: PATTERN,
        seeds: seeds::sentencepieces,
        text: false,
        wrap: as_it_is,
        read: tokenizer,
    },
    Kind {
        name: "gguf_tokenizers",
        inputs: 10_000,
        constant: PATTERN,
        seeds: seeds::gguf_tokenizers,
        text: false,
        wrap: as_it_is,
        read: gguf_tokenizer,
    },
    Kind {
        name: "loras",
        inputs: 20_000,
        constant: MODEL,
        seeds: seeds::loras,
        text: true,
        wrap: right_length,
        read: lora,
    },
    Kind {
        name: "latents",
        inputs: 30_000,
        constant: CONSTANT,
        seeds: seeds::latents,
        text: true,
        wrap: right_length,
        read: |bytes| Latents::from_bytes("fuzz", bytes.to_vec()).is_ok(),
    },
    Kind {
        name: "pictures",
        inputs: 20_000,
        constant: PIXELS,
        seeds: seeds::pictures,
        text: false,
        wrap: as_it_is,
        read: |bytes| decode_picture(Path::new("fuzz"), bytes).is_ok(),
    },
    Kind {
        name: "states",
        inputs: 30_000,
        constant: CONSTANT,
        seeds: seeds::states,
        text: true,
        wrap: right_length,
        read: |bytes| RunState::from_bytes("fuzz", bytes.to_vec()).is_ok(),
    },
];

fn as_it_is(bytes: Vec<u8>, _: &mut Random) -> Vec<u8> {
    bytes
}

/// Half the time, corrects the header's length of a safetensors file to where its braces close.
fn right_length(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if random.below(2) == 0 && bytes.len() > 8 {
        let end = bytes.iter().rposition(|&byte| byte == b'}');
        let header = end.map_or(0, |end| (end + 1).saturating_sub(8)) as u64;
        bytes[..8].copy_from_slice(&header.to_le_bytes());
    }
    bytes
}

/// Everything that is asked of a checkpoint before its bytes are.
fn checkpoint(bytes: &[u8]) -> bool {
    let open = |extent| Checkpoint::from_bytes_to("fuzz", bytes.to_vec(), "transformer", extent);
    let whole = open(Extent::Whole);
    let taken = whole.is_ok();
    // What is cut off may still be planned with.
    let Ok(checkpoint) = whole.or_else(|_| open(Extent::Headers)) else {
        return false;
    };
    let _ = (checkpoint.metadata(), checkpoint.dtypes());
    let _ = (checkpoint.parameters(), checkpoint.tensor_bytes());
    let _ = checkpoint.fingerprint();
    for name in checkpoint.names() {
        let _ = (checkpoint.shape_of(name), checkpoint.dtype_of(name));
        if let Ok(view) = checkpoint.get_any(name) {
            let _ = view.to_f32();
        }
    }
    let _ = checkpoint.gather_rows("a.weight", [2, 3], &[1, 2]);
    let _ = (checkpoint.check_all_read(&[]), checkpoint.check_data());
    taken
}

/// The file as each kind of configuration, and what is computed from one that is taken.
fn configuration(bytes: &[u8]) -> bool {
    let mut taken = false;
    taken |= PipelineConfig::parse("fuzz", bytes).is_ok();
    if let Ok(config) = TextEncoderConfig::parse("fuzz", bytes) {
        taken |= config.inner_dim() > 0;
    }
    if let Ok(config) = TransformerConfig::parse("fuzz", bytes) {
        let _ = (config.dim(), config.patch_in(), config.patch_out());
        taken |= config.rope_dims()[0] > 0;
    }
    if let Ok(config) = ImageEncoderConfig::parse("fuzz", bytes) {
        taken |= config.tokens() > config.patches();
    }
    if let Ok(config) = VaeConfig::parse("fuzz", bytes) {
        let _ = config.temporal_upsample();
        taken |= !config.decoder_dims().is_empty();
    }
    taken |= Defaults::pipeline("fuzz").with_file("fuzz", bytes).is_ok();
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(scheduler) = Scheduler::from_json("fuzz", text)
    {
        let _ = (scheduler.shift(), scheduler.noise_order());
        for steps in [1, 5, 100] {
            let _ = Schedule::new(&scheduler, steps);
        }
        taken = true;
    }
    taken
}

fn tokenizer(bytes: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::from_bytes("fuzz", bytes) else {
        return false;
    };
    let _ = tokenizer.vocab_size();
    let _ = tokenizer.encode("a cat  sat, 猫", 512);
    true
}

/// The tokenizer in the keys of a GGUF file.
fn gguf_tokenizer(bytes: &[u8]) -> bool {
    let Ok(file) =
        Checkpoint::from_bytes_to("fuzz", bytes.to_vec(), "text_encoder", Extent::Headers)
    else {
        return false;
    };
    let found = file.tokenizer().ok().flatten();
    let json = found.and_then(|found| gguf_tokenizer_json(&found).ok());
    json.is_some_and(|json| tokenizer(&json))
}

/// A LoRA beside the fixture's model.
fn lora(bytes: &[u8]) -> bool {
    static MODEL: OnceLock<ModelFolder> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/wan21/model");
        ModelFolder::open(folder).expect("a model")
    });
    let Ok(file) = Checkpoint::from_bytes("fuzz", bytes.to_vec(), "LoRA") else {
        return false;
    };
    let info = LoraInfo::of(file, Some(model));
    info.is_ok_and(|info| !info.to_string().is_empty() && info.is_applicable())
}

/// What a thread reads at present: the input's number and one, or 0.
struct Watch(AtomicUsize);

static WATCHES: [Watch; KINDS.len()] = [const { Watch(AtomicUsize::new(0)) }; KINDS.len()];

impl Watch {
    fn begin(&self, input: usize) {
        self.0.store(input + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Ends the program where an input is read forever, which no check after it could tell.
fn watch(seed: u64) {
    let mut before = [0; KINDS.len()];
    loop {
        std::thread::sleep(2 * LONGEST);
        for ((kind, watch), before) in KINDS.iter().zip(&WATCHES).zip(&mut before) {
            let now = watch.0.load(Ordering::Relaxed);
            if now > 0 && now == *before {
                println!("{}: input {} of seed {seed} hangs", kind.name, now - 1);
                std::process::exit(1);
            }
            *before = now;
        }
    }
}

/// Reads so many mutations of a kind's seeds.
fn fuzz(kind: &Kind, seed: u64) -> Result<(), Failed> {
    let seeds = (kind.seeds)();
    for whole in &seeds {
        let mut random = Random::new(0);
        let whole = match kind.name {
            "torch_pickles" => (kind.wrap)(whole.clone(), &mut random),
            _ => whole.clone(),
        };
        if !(kind.read)(&whole) {
            return Err(format!("a seed of {} is refused unmutated", kind.name).into());
        }
    }
    let (mut taken, mut most) = (0, 0);
    let watch = &WATCHES[KINDS.iter().position(|k| k.name == kind.name).unwrap_or(0)];
    let began = Instant::now();
    for input in 0..kind.inputs {
        let mut random = Random::new(seed ^ ((input as u64) << 8) ^ kind.name.len() as u64);
        let mut bytes = random.of(&seeds).clone();
        mutate(&mut bytes, &seeds, kind.text, &mut random);
        let bytes = (kind.wrap)(bytes, &mut random);
        let failed = |what: String| {
            let kept = std::env::temp_dir().join(format!("kinora-fuzz-{}-{input}", kind.name));
            let _ = std::fs::write(&kept, &bytes);
            Failed::from(format!(
                "input {input} of seed {seed}, {} bytes, kept as {}: {what}",
                bytes.len(),
                kept.display()
            ))
        };
        let started = Instant::now();
        watch.begin(input);
        let (read, held) = most_held(|| catch_unwind(AssertUnwindSafe(|| (kind.read)(&bytes))));
        watch.end();
        match read {
            Ok(read) => taken += usize::from(read),
            Err(_) => return Err(failed("it panicked".to_owned())),
        }
        // The copy that a reader keeps, and the constant.
        if held > 2 * bytes.len() + kind.constant {
            return Err(failed(format!("it took {held} bytes of memory")));
        }
        if started.elapsed() > LONGEST {
            return Err(failed(format!("it took {:?}", started.elapsed())));
        }
        most = most.max(held);
    }
    INPUTS.fetch_add(kind.inputs, Ordering::Relaxed);
    TAKEN.fetch_add(taken, Ordering::Relaxed);
    println!(
        "{}: {} inputs, {taken} taken, the rest refused; {:.1} s, at most {} kB of memory",
        kind.name,
        kind.inputs,
        began.elapsed().as_secs_f64(),
        most / 1000
    );
    Ok(())
}

fn main() -> ExitCode {
    let seed = match std::env::var("KINORA_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("KINORA_FUZZ_SEED is a number"),
        Err(_) => 1,
    };
    // A panic is reported with its input.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::spawn(move || watch(seed));
    let trials = KINDS
        .iter()
        .map(|kind| Trial::test(kind.name, move || fuzz(kind, seed)));
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    let (inputs, taken) = (
        INPUTS.load(Ordering::Relaxed),
        TAKEN.load(Ordering::Relaxed),
    );
    println!("{inputs} inputs in all (seed {seed}), {taken} of them taken");
    conclusion.exit_code()
}
