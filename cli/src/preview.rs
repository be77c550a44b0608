//! What a clip is becoming: a sheet of small pictures, written anew after every step.

use std::path::PathBuf;

use kinora::Error;
use kinora::error::RequestError;
use kinora::media::{check_place, write_png};
use kinora::models::latent_rgb::LatentRgb;
use kinora::pipeline;
use kinora::weights::Latents;

use crate::args::GenerateArgs;
use crate::error::CliError;

/// Where previews go.
pub(crate) struct Preview {
    path: PathBuf,
}

impl Preview {
    /// Previews where a command asks for them. Refuses a place that cannot be written, such as a
    /// file that an earlier run is not known to have left, and models for whose latents no colours
    /// are known.
    pub(crate) fn asked(
        args: &GenerateArgs,
        channels: usize,
        going_on: bool,
    ) -> Result<Option<Self>, CliError> {
        let Some(path) = args.preview.clone() else {
            return Ok(None);
        };
        if !path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png"))
        {
            return Err(CliError::PreviewExtension { path });
        }
        if LatentRgb::of(channels).is_none() {
            return Err(Error::from(RequestError::NoColours { channels }).into());
        }
        check_place(&path, args.video.force || going_on)?;
        Ok(Some(Self { path }))
    }

    /// Writes what latents show, in place of what was written before.
    pub(crate) fn write(&self, latents: &Latents) -> Result<(), CliError> {
        let (width, height, sheet) = pipeline::Preview::of(latents)?.sheet();
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        Ok(write_png(
            &self.path,
            side(width),
            side(height),
            &sheet,
            true,
        )?)
    }
}
