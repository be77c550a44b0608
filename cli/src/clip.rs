//! The second half of a run: latents become a clip.
//!
//! A finished sampling run is never lost: until the clip is whole its latents lie on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kinora::media::{
    FrameRate, VideoOptions, VideoSummary, VideoWriter, frame_path, prepare_frame_folder, write_png,
};
use kinora::text_to_video::Engine;
use kinora::weights::Latents;

use crate::args::VideoArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{self, Target, free};
use crate::progress::Progress;
use crate::show::quoted;

/// Where the model was, as it was typed: what the command that makes a clip again needs.
pub(crate) const MODEL_PATH: &str = "model_path";

/// Keys in the order in which a clip carries them.
const ORDER: [&str; 19] = [
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance",
    "guidance_2",
    "shift",
    "scheduler",
    "timesteps",
    "decoder",
    "width",
    "height",
    "frames",
    "fps",
    "precision",
    "model",
    "model_hash",
    "kinora",
    MODEL_PATH,
];

/// Options of the video, but for the metadata.
pub(crate) fn video(
    args: &VideoArgs,
    width: usize,
    height: usize,
    fps: f64,
) -> Result<VideoOptions, CliError> {
    // A side that does not fit 32 bits is refused as the largest is.
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let rate = FrameRate::from_hz(fps)?;
    let options = VideoOptions::new(side(width), side(height), rate);
    Ok(VideoOptions {
        quality: args.quality,
        overwrite: args.force,
        ..options
    })
}

/// What made the latents, for the clip's metadata; nothing where the run was told to leave it out.
pub(crate) fn made_by(metadata: &BTreeMap<String, String>) -> Vec<(String, String)> {
    if !metadata.contains_key("kinora") {
        return Vec::new();
    }
    // What other programs keep beside their tensors says nothing of the clip.
    let entry = |key: &&str| Some(((*key).to_owned(), metadata.get(*key)?.clone()));
    ORDER.iter().filter_map(entry).collect()
}

/// A clip that has its latents and awaits its frames.
pub(crate) struct Clip<'a> {
    /// The device and the model.
    pub engine: &'a Engine,
    /// What to decode.
    pub latents: Latents,
    /// Where to.
    pub target: &'a Target,
    /// As what.
    pub video: VideoOptions,
    /// The model's folder as it was typed.
    pub model: Option<&'a Path>,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl Clip<'_> {
    /// Puts the latents on the disk, then decodes them. Where nobody asked for their file, it goes
    /// when the clip is whole; should the process be killed before, it stays.
    pub(crate) fn keep_and_write(self, progress: &mut Progress) -> Result<(), CliError> {
        let asked = self.target.latents.as_deref();
        let latents = match asked {
            None => self.keep(),
            Some(path) => match self.latents.write(path) {
                Ok(()) => Some(path.to_owned()),
                // No room there: they are kept elsewhere, but the run has failed.
                Err(error) => return Err(self.kept(error.into(), self.keep().as_deref())),
            },
        };
        let written = self.write_frames(latents.as_deref(), progress);
        let summary = written.map_err(|error| self.kept(error, latents.as_deref()))?;
        if let (None, Some(path)) = (asked, &latents) {
            // One that cannot be removed is only in the way.
            let _ = fs::remove_file(path);
        }
        tell(&summary, progress)
    }

    /// Decodes latents that have a file already.
    pub(crate) fn write(self, progress: &mut Progress) -> Result<(), CliError> {
        let summary = self.write_frames(None, progress)?;
        tell(&summary, progress)
    }

    /// Latents beside the clip, or where temporary files go; `None` where neither has room.
    fn keep(&self) -> Option<PathBuf> {
        let beside = self.target.clip.with_extension("latents.safetensors");
        let elsewhere = beside
            .file_name()
            .map(|name| std::env::temp_dir().join(name));
        let places = [Some(beside), elsewhere].into_iter().flatten();
        places
            .map(|path| free(&path, false))
            .find(|path| self.latents.write(path).is_ok())
    }

    /// The error, and how to go on from the latents.
    fn kept(&self, error: CliError, latents: Option<&Path>) -> CliError {
        let Some(latents) = latents else { return error };
        let mut command = format!(
            "kinora decode --latents {}",
            quoted(&latents.display().to_string())
        );
        if let Some(model) = self.model {
            command.push_str(&format!(
                " --model {}",
                quoted(&model.display().to_string())
            ));
        }
        command.push_str(&format!(
            " -o {}",
            quoted(&self.target.clip.display().to_string())
        ));
        let kept = format!(
            "the latents are kept in {}; go on with: {command}",
            latents.display()
        );
        CliError::Kept {
            source: Box::new(error),
            kept,
        }
    }

    /// Decodes and writes; nothing bears the clip's name until it is whole.
    fn write_frames(
        &self,
        latents: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<VideoSummary, CliError> {
        let Target {
            clip,
            frames,
            overwrite,
            ..
        } = self.target;
        if let Some(folder) = frames {
            prepare_frame_folder(folder, *overwrite)?;
        }
        let (width, height) = (self.video.width, self.video.height);
        let interrupted = || CliError::Interrupted { path: clip.clone() };
        self.interrupt
            .may_cut_off(&self.kept(interrupted(), latents));
        let mut writer = VideoWriter::create(clip, self.video.clone())?;
        let mut frame = |index: usize, rgb: &[u8]| {
            if let Some(folder) = frames {
                write_png(&frame_path(folder, index), width, height, rgb, *overwrite)?;
            }
            Ok(writer.push(rgb)?)
        };
        let crop = Some([width as usize, height as usize]);
        let mut events = |event| progress.event(&event);
        let decoded = self.engine.decode(
            &self.latents,
            crop,
            self.interrupt.cancel(),
            &mut events,
            &mut frame,
        );
        progress.stop();
        decoded.map_err(|error| match CliError::from(error) {
            e if e.is_interruption() => interrupted(),
            e => e,
        })?;
        // From here on the file is there at once, or not at all.
        self.interrupt.may_not_cut_off();
        if self.interrupt.cancel().is_cancelled() {
            return Err(interrupted());
        }
        Ok(writer.finish()?)
    }
}

/// Says what was written; its path goes to standard output.
fn tell(summary: &VideoSummary, progress: &Progress) -> Result<(), CliError> {
    if let Some(note) = summary.note() {
        progress.say(format_args!("note: {note}"));
    }
    progress.say(summary);
    output::print(format!("{}\n", summary.path.display()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_carries_what_made_it_in_order() {
        let entries = ["kinora", "seed", "prompt", "format"].map(|k| (k.to_owned(), k.to_owned()));
        let made = made_by(&entries.into());
        let keys: Vec<_> = made.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["prompt", "seed", "kinora"]);
        assert!(made_by(&[("format".to_owned(), "pt".to_owned())].into()).is_empty());
    }
}
