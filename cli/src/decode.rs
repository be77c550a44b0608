//! Latents to a clip: `kinora decode`, and the second half of `kinora generate`.
//!
//! A finished sampling run is never lost: until the clip is whole its latents lie on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kinora::gpu::Cancel;
use kinora::media::{
    VideoOptions, VideoSummary, VideoWriter, frame_path, prepare_frame_folder, write_png,
};
use kinora::text_to_video::Engine;
use kinora::weights::Latents;

use crate::args::DecodeArgs;
use crate::error::CliError;
use crate::output::{Target, free};
use crate::progress::Progress;
use crate::show::quoted;
use crate::{generate, interrupt, output};

/// Where the model was, as it was typed: what the command that makes a clip again needs.
pub(crate) const MODEL_PATH: &str = "model_path";

/// Keys in the order in which a clip carries them.
const ORDER: [&str; 16] = [
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance",
    "guidance_2",
    "shift",
    "scheduler",
    "width",
    "height",
    "frames",
    "fps",
    "model",
    "model_hash",
    "kinora",
    MODEL_PATH,
];

/// Decodes the latents' file.
pub(crate) fn run(args: &DecodeArgs, quiet: bool) -> Result<(), CliError> {
    let latents = Latents::read(&args.latents)?;
    let folder = generate::folder(&args.model)?;
    let config = folder.config()?;
    let entries = Entries {
        path: &args.latents,
        metadata: &latents.metadata,
    };
    let whole =
        [latents.shape[4], latents.shape[3]].map(|side| side * config.vae.scale_factor_spatial);
    let [width, height] = entries.crop(whole)?.unwrap_or(whole);
    let fps = match args.fps {
        Some(fps) => fps,
        None => entries
            .number("fps", "a frame rate")?
            .unwrap_or(config.defaults.fps),
    };
    let mut video = generate::video(&args.video, width, height, fps)?;
    if !args.video.no_metadata {
        video.metadata = made_by(&latents.metadata);
    }
    let clip = args.output.clone();
    let clip = clip.unwrap_or_else(|| free(&named_like(&args.latents), args.video.force));
    let target = Target {
        clip,
        latents: None,
        frames: args.frames_dir.clone(),
        overwrite: args.video.force,
    };
    target.check()?;
    VideoWriter::create(&target.clip, video.clone())?;
    folder.checkpoint("vae")?;

    let cancel = interrupt::listen()?;
    let mut progress = Progress::new(quiet);
    let engine = generate::open(&args.device, folder, &progress)?;
    if latents
        .metadata
        .get("model_hash")
        .is_some_and(|hash| engine.fingerprint().is_ok_and(|own| own != *hash))
    {
        progress.say("note: these latents were made with another model's weights");
    }
    let model = args.model.model.as_deref();
    let clip = Clip {
        engine: &engine,
        latents,
        target: &target,
        video,
        model,
        cancel: &cancel,
    };
    let written = clip.write(&mut progress);
    clip.told(written, &progress)
}

/// `kite.mp4` for `runs/kite.latents.safetensors`, in the folder where the command runs.
fn named_like(latents: &Path) -> PathBuf {
    let stem = latents.file_stem().unwrap_or_default();
    let bare = Path::new(stem).file_stem().unwrap_or_default();
    let kept = Path::new(stem).extension().is_some_and(|e| e == "latents");
    let mut name = if kept { bare } else { stem }.to_owned();
    name.push(".mp4");
    name.into()
}

/// What a latents' file says of the clip.
struct Entries<'a> {
    path: &'a Path,
    metadata: &'a BTreeMap<String, String>,
}

impl Entries<'_> {
    fn number<T: std::str::FromStr>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, CliError> {
        let Some(text) = self.metadata.get(key) else {
            return Ok(None);
        };
        let wrong = || CliError::LatentsMetadata {
            path: self.path.to_owned(),
            key,
            found: text.clone(),
            expected,
        };
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// Width and height as asked of the run, where the file says and the latents are large enough.
    fn crop(&self, whole: [usize; 2]) -> Result<Option<[usize; 2]>, CliError> {
        let width = self.number("width", "a number of pixels")?;
        let height = self.number("height", "a number of pixels")?;
        let (Some(width), Some(height)) = (width, height) else {
            return Ok(None);
        };
        Ok((width <= whole[0] && height <= whole[1]).then_some([width, height]))
    }
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
    pub(crate) model: Option<&'a Path>,
    /// Set by Ctrl-C.
    pub cancel: &'a Cancel,
}

impl Clip<'_> {
    /// Puts the latents on the disk, then decodes them. Where nobody asked for their file, it goes
    /// when the clip is whole; should the process be killed before, it stays.
    pub(crate) fn keep_and_write(self, progress: &mut Progress) -> Result<(), CliError> {
        if let Some(path) = &self.target.latents {
            // No room where they were asked for: they are kept elsewhere, and the run has failed.
            if let Err(error) = self.latents.write(path) {
                let kept = self.keep();
                return Err(self.kept(error.into(), kept.as_deref()));
            }
            let written = self.write(progress);
            return self.told(written.map_err(|e| self.kept(e, Some(path))), progress);
        }
        let kept = self.keep();
        let written = self.write(progress);
        if let (Ok(_), Some(path)) = (&written, &kept) {
            // One that cannot be removed is only in the way.
            let _ = fs::remove_file(path);
        }
        self.told(written.map_err(|e| self.kept(e, kept.as_deref())), progress)
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
    fn write(&self, progress: &mut Progress) -> Result<VideoSummary, CliError> {
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
        let mut writer = VideoWriter::create(clip, self.video.clone())?;
        let mut frame = |index: usize, rgb: &[u8]| {
            if let Some(folder) = frames {
                write_png(&frame_path(folder, index), width, height, rgb, *overwrite)?;
            }
            Ok(writer.push(rgb)?)
        };
        let crop = Some([width as usize, height as usize]);
        let mut events = |event| progress.event(&event);
        let decoded = self
            .engine
            .decode(&self.latents, crop, self.cancel, &mut events, &mut frame);
        progress.stop();
        let interrupted = || CliError::Interrupted { path: clip.clone() };
        decoded.map_err(|error| match CliError::from(error) {
            e if e.is_interruption() => interrupted(),
            e => e,
        })?;
        // The last moment to heed an interruption: from here on the file is there at once.
        if self.cancel.is_cancelled() {
            return Err(interrupted());
        }
        Ok(writer.finish()?)
    }

    /// Says what was written; its path goes to standard output.
    fn told(
        &self,
        written: Result<VideoSummary, CliError>,
        progress: &Progress,
    ) -> Result<(), CliError> {
        let summary = written?;
        if let Some(note) = summary.note() {
            progress.say(format_args!("note: {note}"));
        }
        progress.say(&summary);
        output::print(format!("{}\n", summary.path.display()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_named_like_its_latents() {
        let name = |latents: &str| named_like(Path::new(latents)).display().to_string();
        assert_eq!(name("runs/kite.latents.safetensors"), "kite.mp4");
        assert_eq!(name("boat.v2.safetensors"), "boat.v2.mp4");
    }

    #[test]
    fn a_clip_carries_what_made_it_in_order() {
        let entries = ["kinora", "seed", "prompt", "format"].map(|k| (k.to_owned(), k.to_owned()));
        let made = made_by(&entries.into());
        let keys: Vec<_> = made.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["prompt", "seed", "kinora"]);
        assert!(made_by(&[("format".to_owned(), "pt".to_owned())].into()).is_empty());
    }
}
