//! The command line, parsed.

mod clip;
mod device;
mod inputs;
mod model;
mod names;
mod tips;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use kinora::Request;
use kinora::model_files::matrices::target_type;
use kinora::tensor::DType;

pub(crate) use clip::{DecoderArgs, PictureArgs, SamplingArgs, TINY_DECODER, VideoArgs};
pub(crate) use device::{DeviceArgs, MemoryArgs};
pub(crate) use model::{LORAS, ModelArgs, QuantizeArgs};

/// Text to video on any GPU: Wan models on Vulkan, Metal and DX12.
#[derive(Debug, Parser)]
#[command(
    name = "kinora",
    version,
    max_term_width = 100,
    args_override_self = true
)]
#[command(after_help = "Examples:
  kinora generate \"a red kite glides over a quiet harbour at dawn, static wide shot\"
  kinora generate \"a blue boat at sunset\" --seed 7 --count 4 -o boat.mp4
  kinora show boat-8.mp4 --command

'kinora COMMAND --help' explains a command. Exit codes: 0 done, 1 the device or the run failed,
2 something asked for cannot be, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Generate(Box<GenerateArgs>),
    Resume(ResumeArgs),
    Decode(DecodeArgs),
    Convert(ConvertArgs),
    Plan(Box<PlanArgs>),
    Pull(PullArgs),
    Show(ShowArgs),
    Info(InfoArgs),
    Bench(BenchArgs),
    Shaders(ShadersArgs),
    Completions(CompletionsArgs),
}

impl Cli {
    /// What was typed. Leaves the program with help, or with what is wrong.
    pub(crate) fn of_program() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let words: Vec<String> = std::env::args().skip(1).collect();
            tips::with_tip(error, &Self::command(), &words).exit()
        })
    }
}

/// The options of a `generate` that was typed before; `None` where the words are another command.
pub(crate) fn generate_again(words: &[String]) -> Option<GenerateArgs> {
    let words = std::iter::once("kinora").chain(words.iter().map(String::as_str));
    match Cli::try_parse_from(words).ok()?.command {
        Command::Generate(args) => Some(*args),
        _ => None,
    }
}

/// Make a clip from a prompt
///
/// Without --model the starter draws, a small demonstration: a car, train, sailboat, balloon, seagull,
/// kite, ball, person, dog, lighthouse, windmill or chairs, at a beach, harbour, open sea, city street,
/// intersection, desert, forest, mountains, meadow or snowfield, for up to three seconds. 'kinora pull
/// --help' lists models for all else.
///
/// While a run is not done it is kept beside the clip, as CLIP.kinora-state: 'kinora resume', or the
/// same command again, goes on from there and makes the same clip.
///
/// Where the model makes its sizes in steps, the clip is generated at the next larger one and
/// cropped centrally; frame counts go up to the next 4n + 1. Both are said.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora generate \"a red kite glides over a quiet harbour at dawn, static wide shot\"
  kinora generate \"a blue boat\" --model wan2.1-1.3b --resolution 480p
  kinora generate \"a blue boat\" --seed 7 --count 4 -o boat.mp4     boat-7.mp4 … boat-10.mp4
  kinora generate \"a blue boat\" --model lightx2v-4step --scheduler lcm   4 steps, no guidance
  kinora generate - < prompt.txt
  kinora generate --prompts prompts.csv -o clips/     a clip for each row
  kinora resume kite.mp4                         goes on with a run that was interrupted

The paths of the clips are printed to standard output, one a line; all else goes to standard error.")]
pub(crate) struct GenerateArgs {
    /// What the clip shows; '-' reads it from standard input
    #[arg(value_name = "PROMPT", value_hint = ValueHint::Other)]
    pub prompt: Option<String>,
    /// A clip for each prompt of a file: lines, a CSV with a header, or JSON lines, with any field of
    /// a request; seed 0 unless given
    #[arg(long, value_name = "FILE", help_heading = "Picture", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["prompt", "frames_dir", "save_latents", "preview"])]
    pub prompts: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub quantize: QuantizeArgs,
    /// What the clip should not show [default: the model's]
    #[arg(short, long, value_name = "TEXT", help_heading = "Picture")]
    pub negative_prompt: Option<String>,
    #[command(flatten)]
    pub picture: PictureArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// The clip, with --count FILE-SEED.mp4; a folder, in which it is named by prompt and seed; a .png
    /// for --frames 1; or - for standard output, with the run's state in this folder
    /// [default: named by prompt and seed]
    #[arg(short, long, value_name = "FILE.mp4|DIR|-", help_heading = None::<&str>, display_order = 0, value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the frames as 00000.png, … too; with --count, into DIR/SEED
    #[arg(long, value_name = "DIR", help_heading = "Output", value_hint = ValueHint::DirPath)]
    pub frames_dir: Option<PathBuf>,
    /// Keep the latents too: what 'kinora decode' begins from
    #[arg(long, value_name = "FILE.safetensors", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub save_latents: Option<PathBuf>,
    /// What the clip is becoming: small pictures on one sheet, written anew after every step
    #[arg(long, value_name = "FILE.png", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub preview: Option<PathBuf>,
    #[command(flatten)]
    pub video: VideoArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    /// Print where the time goes, kernel by kernel; slows the run
    #[arg(long, help_heading = "Device")]
    pub profile: bool,
}

/// What scripts are told.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Print one JSON object at the end, in place of paths; of a plan peak_bytes, budget_bytes and a
    /// row a part
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Tell what happens on standard error as JSON, an object a line:
    /// {"event":"progress","stage":"decode","done":4,"total":9}
    #[arg(long, value_name = "json", help_heading = "Output", value_parser = ["json"])]
    pub events: Option<String>,
}

/// Go on with a run that was not finished
///
/// A run is kept in CLIP.kinora-state until its clip is whole. On the same device the clip is the
/// same, bit for bit, as without a break. The options that started the run hold, save for those
/// given here; further clips of --count follow.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora resume                       the unfinished run of this folder
  kinora resume boat.mp4              the one that was to become boat.mp4
  kinora resume boat.mp4 --memory 4GB on less of the device")]
pub(crate) struct ResumeArgs {
    /// The clip, or its .kinora-state [default: the only one in this folder]
    #[arg(value_name = "CLIP|STATE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// The clip, by another name [default: as the run was started]
    #[arg(short, long, value_name = "FILE.mp4", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// A part of the device's name, or its number in 'kinora info' [default: as the run was started]
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Device")]
    pub device: Option<String>,
    #[command(flatten)]
    pub memory: MemoryArgs,
    /// Print where the time goes, kernel by kernel; slows the run
    #[arg(long, help_heading = "Device")]
    pub profile: bool,
}

/// Decode saved latents into a clip
///
/// Size, frame rate and metadata are those that the latents' file carries.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora decode --latents kite.latents.safetensors -o kite.mp4
  kinora decode --latents kite.latents.safetensors --tiny-decoder taew2_1.safetensors")]
pub(crate) struct DecodeArgs {
    /// The latents, as --save-latents and diffusers' output_type="latent" write them
    #[arg(long, value_name = "FILE.safetensors", value_hint = ValueHint::FilePath)]
    pub latents: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// Frames a second of playback [default: the latents' own, else the model's]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = clip::fps)]
    pub fps: Option<f64>,
    /// The clip, a folder for it, a .png for a single frame, or - for standard output
    /// [default: named like the latents]
    #[arg(short, long, value_name = "FILE.mp4|DIR|-", help_heading = "Output", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the frames as 00000.png, … too
    #[arg(long, value_name = "DIR", help_heading = "Output", value_hint = ValueHint::DirPath)]
    pub frames_dir: Option<PathBuf>,
    #[command(flatten)]
    pub video: VideoArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    /// Print where the time goes, kernel by kernel; slows the run
    #[arg(long, help_heading = "Device")]
    pub profile: bool,
}

/// Write a model with smaller elements
///
/// The blocks' matrices of transformers and text encoder get the type; f16, bf16 and f32 also go to
/// embeddings and the other matrices. Norms, biases, modulations and the autoencoder stay as they
/// are. Floating-point types become safetensors (f8_e4m3 with a scale a matrix, as ComfyUI's scaled
/// files), types in blocks a GGUF file a part, a transformer's under the names of Wan's release, as
/// ComfyUI reads it. The folder appears when it is whole.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora convert --model ~/Wan2.1-T2V-14B-Diffusers --dtype q8_0 -o ~/Wan2.1-14B-q8_0
  kinora generate \"a blue boat\" --model ~/Wan2.1-14B-q8_0

The folder's path is printed to standard output; all else goes to standard error.")]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The element type: f32, or any that --quantize of 'kinora generate' takes
    #[arg(long, value_name = "TYPE", value_parser = target_type)]
    pub dtype: DType,
    /// The folder to write, which must not exist
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
}

/// Print the device memory that a run would take, without running it
///
/// Reads the heads of the weights' files, and none of the weights: safetensors and GGUF may end behind
/// their headers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora plan --like wan2.1-1.3b --frames 81
  kinora plan --model ~/Wan2.2-TI2V-5B-Diffusers --memory 8GB --json")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub generate: GenerateArgs,
    /// A released model that is not at hand, by its short name: see 'kinora pull --help'
    #[arg(long, value_name = "NAME", conflicts_with_all = ["model", "transformer", "transformer_2", "text_encoder", "image_encoder", "vae", "tokenizer"])]
    pub like: Option<String>,
}

/// Download a model from the Hugging Face hub
///
/// Only what Kinora reads is fetched, in several ranges at a time, and checked against the hub's
/// hashes. What ends a download early ends it for now only: the same command goes on from there.
/// The model lies in the cache that the hub's own tools use; HF_HOME, HF_HUB_CACHE, HF_ENDPOINT,
/// HF_TOKEN and HF_HUB_OFFLINE are heeded as they do.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  kinora pull wan2.1-1.3b
  kinora pull Wan-AI/Wan2.1-T2V-1.3B-Diffusers --dry-run
  kinora generate \"a blue boat\" --model wan2.1-1.3b

Short names:
{}
The model's folder is printed to standard output, all else to standard error.", short_names()))]
pub(crate) struct PullArgs {
    /// OWNER/NAME on the hub, or a short name
    #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
    pub name: String,
    /// A branch, a tag or a commit [default: main]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// Print the files, their sizes and the licence, and download nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before a large download
    #[arg(short, long)]
    pub yes: bool,
}

fn short_names() -> String {
    let row = |(short, repo): &(&str, &str)| format!("  {short:16} {repo}\n");
    kinora_hub::SHORT_NAMES.iter().map(row).collect()
}

/// Print what made a clip
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kinora show kite.mp4 --command     prints a command for a POSIX shell")]
pub(crate) struct ShowArgs {
    /// A clip or a picture that Kinora made
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print the command that makes the clip again
    #[arg(long, conflicts_with = "json")]
    pub command: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Print the devices, the kernels chosen for them, and what a model is made of
///
/// Of a model that lacks a part it says what was recognised and what is missing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora info --model ~/Wan2.1-T2V-1.3B
  kinora info --transformer wan2.2_ti2v_5B-Q4_K.gguf --vae wan2.2_vae.safetensors")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Measure the kernels on a device, beside what it can do at most
///
/// Rates are beside their share of the device's ceilings, measured in the same run: the best of
/// loops that only multiply and add for arithmetic, a copy for memory. What would take long on the
/// device is left out unless it is named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kinora bench                                     about a minute; paste the table into an issue
  kinora bench matmul attention/f16/wan1.3b_480p   a group, and one bench
  kinora bench --json matmul > before.jsonl        an object a line
  kinora bench --list                              the names; touches no device")]
pub(crate) struct BenchArgs {
    /// Benches by name or beginning of a name, up to a '/' or '_' [default: all]
    #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
    pub names: Vec<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Print the names and measure nothing; with --json, the operations and sizes too
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// List the kernels and what fits their slots, or print a kernel's whole WGSL
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kinora shaders matmul --slot weight=f16 --slot epilogue=bias_gelu | naga --stdin-file-path matmul.wgsl")]
pub(crate) struct ShadersArgs {
    /// The kernel to print
    pub name: Option<String>,
    /// Put a module into a slot; may be given again for other slots
    #[arg(long, value_name = "SLOT=MODULE", requires = "name", value_parser = slot)]
    pub slot: Vec<(String, String)>,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  kinora completions bash > ~/.local/share/bash-completion/completions/kinora")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// A slot and its module: `weight=f16`.
fn slot(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((slot, module)) if !slot.is_empty() && !module.is_empty() => {
            Ok((slot.to_owned(), module.to_owned()))
        }
        _ => Err("expected SLOT=MODULE, such as weight=f16".to_owned()),
    }
}

impl GenerateArgs {
    /// The seed that was given.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.sampling.seed?.given()
    }

    /// What is asked of the engine.
    pub(crate) fn request(&self, prompt: String) -> Request {
        let mut request = Request::new(prompt);
        request.negative_prompt = self.negative_prompt.clone();
        self.picture.ask(&mut request);
        request.steps = self.sampling.steps;
        request.guidance = self.sampling.guidance;
        request.guidance_2 = self.sampling.guidance_2;
        request.guidance_stop = self.sampling.guidance_stop;
        request.shift = self.sampling.shift;
        request.scheduler = self.sampling.scheduler;
        request.timesteps = self.sampling.timesteps.clone();
        request.seed = self.seed();
        request
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
