//! Pictures and clips that a clip starts from.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use kinora::pictures::Fit;
use kinora::request::Request;

use super::names::named;

/// What the clip starts from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Start")]
pub(crate) struct InputArgs {
    /// The first frame: a PNG, JPEG or WebP; the clip takes its shape
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub image: Option<PathBuf>,
    /// The last frame: beside --image, or alone where the model can
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub last_image: Option<PathBuf>,
    /// A clip to change: an MP4 with H.264, or a folder of pictures
    #[arg(long, value_name = "FILE.mp4|DIR", value_hint = ValueHint::AnyPath)]
    pub video: Option<PathBuf>,
    /// How much of the video is made anew, to 1 [default: 0.8]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub strength: Option<f64>,
    /// How a picture of another shape becomes the clip's [default: cover]
    #[arg(long, value_parser = named(&Fit::ALL, of_fit))]
    pub fit: Option<Fit>,
    /// Take the video frame by frame, not at the model's rate
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub keep_frames: Option<bool>,
}

fn of_fit(fit: Fit) -> &'static str {
    match fit {
        Fit::Cover => "Fill the clip; what sticks out is cut off",
        Fit::Contain => "Show all of it between black bars",
        Fit::Stretch => "Stretch it, as diffusers does",
    }
}

impl InputArgs {
    /// Asks for what was named.
    pub(crate) fn ask(&self, request: &mut Request) {
        request.image.clone_from(&self.image);
        request.last_image.clone_from(&self.last_image);
        request.video.clone_from(&self.video);
        request.strength = self.strength;
        request.fit = self.fit;
        request.keep_frames = self.keep_frames;
    }
}
