//! Options of a clip: how it looks, how it is found, what makes its pictures, how it is written.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use kinora::model_files::SchedulerName;
use kinora::models::vae::tiny::TinyLatents;
use kinora::pipeline::DecoderName;
use kinora::request::{Aspect, Request, Seed, Size, fps_of};
use kinora::sampling::Distilled;

use super::inputs::InputArgs;
use super::names::named;

/// Size and length.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// Pixels a row [default: the model's]
    #[arg(
        display_order = 0,
        short = 'W',
        long,
        value_name = "W",
        allow_negative_numbers = true
    )]
    pub width: Option<usize>,
    /// Rows [default: the model's]
    #[arg(
        display_order = 0,
        short = 'H',
        long,
        value_name = "H",
        allow_negative_numbers = true
    )]
    pub height: Option<usize>,
    /// Shape, in place of --width and --height, at about the model's own area: 16:9, 9:16, 1:1, 4:3, 2.39:1
    #[arg(display_order = 0, long, value_name = "W:H", conflicts_with_all = ["width", "height"])]
    pub aspect: Option<Aspect>,
    /// Size of the shape [default aspect: 16:9]
    #[arg(display_order = 0, long, value_parser = named(&RESOLUTIONS, of_resolution), conflicts_with_all = ["width", "height"])]
    pub resolution: Option<usize>,
    /// Number of frames, 4n + 1 [default: the model's]
    #[arg(
        display_order = 0,
        short,
        long,
        value_name = "N",
        allow_negative_numbers = true
    )]
    pub frames: Option<usize>,
    /// Length at the model's own frame rate, in place of --frames
    #[arg(
        display_order = 0,
        long,
        value_name = "SECONDS",
        conflicts_with = "frames",
        allow_negative_numbers = true
    )]
    pub duration: Option<f64>,
    /// Frames a second of playback, such as 24 or 30000/1001; changes nothing else [default: the model's]
    #[arg(display_order = 0, long, value_name = "F", allow_negative_numbers = true, value_parser = fps)]
    pub fps: Option<f64>,
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// How the clip is found.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Sampling steps [default: the model's]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// How closely the prompt is followed; 1 turns guidance off [default: the model's]
    #[arg(short, long, value_name = "G", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// Guidance of the second expert, where the model has two [default: the model's]
    #[arg(long = "guidance-2", value_name = "G", allow_negative_numbers = true)]
    pub guidance_2: Option<f64>,
    /// Share of the steps after which guidance stops, and with it each step's second pass
    /// [default: the model's, or 1]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub guidance_stop: Option<f64>,
    /// Shift of the noise schedule [default: the model's]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub shift: Option<f64>,
    /// The solver [default: the model's]
    #[arg(long, value_parser = named(&SchedulerName::ALL, of_scheduler))]
    pub scheduler: Option<SchedulerName>,
    /// The steps of a distilled model, with dmd and lcm: falling times such as 1000,757,522
    /// [default: those that the model was distilled for]
    #[arg(long, value_name = "T,T,…", value_delimiter = ',', num_args = 1)]
    pub timesteps: Option<Vec<u32>>,
    /// Starting noise, the same as in diffusers; -1 draws one [default: drawn, and printed]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        help_heading = None::<&str>, display_order = 0)]
    pub seed: Option<Seed>,
    /// Variations, with seeds one apart; those that the same command made before are kept
    #[arg(short, long, value_name = "N", default_value_t = 1, allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
}

/// Frames a second: a number or a fraction.
pub(crate) fn fps(text: &str) -> Result<f64, &'static str> {
    fps_of(text).ok_or("expected 1 to 240: 24, 23.976 or 30000/1001")
}

/// What makes pictures of latents.
#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub(crate) struct DecoderArgs {
    /// What makes pictures of the latents [default: full, or tiny with --tiny-decoder]
    #[arg(long, value_parser = named(&DecoderName::ALL, of_decoder))]
    pub decoder: Option<DecoderName>,
    /// The tiny decoder: taew2_1 for Wan 2.1 and 2.2 A14B, taew2_2 for 2.2 TI2V-5B
    /// [default: the one in the model's folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tiny_decoder: Option<PathBuf>,

    /// The latents that the tiny decoder was trained on: raw as the sampler has them (taew), scaled
    /// as the autoencoder has them (lighttae) [default: by the file's name]
    #[arg(long, value_name = "raw|scaled")]
    pub tiny_decoder_latents: Option<TinyLatents>,
}

/// The tiny decoder's file, as it was typed: the key in a clip's metadata.
pub(crate) const TINY_DECODER: &str = "tiny_decoder";

impl DecoderArgs {
    /// What was typed, under the keys that a clip carries.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (String, String)> {
        let file = self.tiny_decoder.as_ref();
        let file = file.map(|file| (TINY_DECODER.to_owned(), file.display().to_string()));
        file.into_iter()
    }
}

/// How the clip is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct VideoArgs {
    /// Replace files that exist; a link stays, and what it leads to is replaced
    #[arg(long)]
    pub force: bool,
    /// Leave out what made the clip: prompt, settings, the model and its folder as typed
    #[arg(long)]
    pub no_metadata: bool,
    /// Quality of the video, 0 (smallest file) to 100 (best picture)
    #[arg(long, value_name = "Q", default_value_t = kinora::media::DEFAULT_QUALITY,
        value_parser = clap::value_parser!(u8).range(0..=100), allow_negative_numbers = true)]
    pub quality: u8,
}

/// Lengths of the short side, under their names.
const RESOLUTIONS: [(&str, usize); 3] = [("480p", 480), ("720p", 720), ("1080p", 1080)];

fn of_resolution(short: usize) -> &'static str {
    match short {
        480 => "832x480 at 16:9",
        720 => "1280x720 at 16:9",
        _ => "1920x1080 at 16:9",
    }
}

fn of_scheduler(scheduler: SchedulerName) -> &'static str {
    match scheduler {
        SchedulerName::UniPc => "UniPCMultistepScheduler",
        SchedulerName::Euler => "FlowMatchEulerDiscreteScheduler",
        SchedulerName::Distilled(Distilled::Dmd) => {
            "Models that FastVideo distilled to 3 steps, such as FastWan"
        }
        SchedulerName::Distilled(Distilled::Lcm) => {
            "Models that lightx2v distilled to 4 steps, LoRAs among them"
        }
    }
}

fn of_decoder(decoder: DecoderName) -> &'static str {
    match decoder {
        DecoderName::Full => "The model's own",
        DecoderName::Tiny => {
            "Near to the model's own, in a small part of the time and memory (TAEHV)"
        }
        DecoderName::Linear => "What the clip shows, blurred, at once",
    }
}

impl PictureArgs {
    /// Asks for the size and the length.
    pub(crate) fn ask(&self, request: &mut Request) {
        request.size = self.size();
        request.frames = self.frames;
        request.duration = self.duration;
        request.fps = self.fps;
        self.inputs.ask(request);
    }

    fn size(&self) -> Size {
        match (self.aspect, self.resolution) {
            (None, None) if self.width.is_none() && self.height.is_none() => Size::Model,
            (None, None) => Size::Exact(self.width, self.height),
            (None, Some(short)) => Size::Resolution(short),
            (Some(aspect), short) => Size::Shape(aspect, short),
        }
    }
}
