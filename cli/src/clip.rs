//! The second half of a run: latents become a clip.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use kinora::error::GpuError;
use kinora::media::{
    FrameRate, VideoOptions, VideoSummary, VideoWriter, frame_path, prepare_frame_folder, write_png,
};
use kinora::text_to_video::{Engine, FrameSink};
use kinora::weights::Latents;

use crate::args::{LORAS, MODEL_PATHS, VideoArgs};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{self, Target};
use crate::progress::Progress;
use crate::unfinished::Keeper;

/// A hash of the tokenizer's file; clips and states of earlier versions have none.
pub(crate) const TOKENIZER_HASH: &str = "tokenizer_hash";

/// The tiny decoder's file, as it was typed.
pub(crate) const TINY_DECODER: &str = "tiny_decoder";

/// Keys in the order in which a clip carries them; the paths of the model follow.
const ORDER: [&str; 22] = [
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "guidance",
    "guidance_2",
    "guidance_stop",
    "shift",
    "scheduler",
    "timesteps",
    "decoder",
    TINY_DECODER,
    "width",
    "height",
    "frames",
    "fps",
    "precision",
    "quantize",
    "model",
    "model_hash",
    TOKENIZER_HASH,
    "kinora",
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
    let paths = MODEL_PATHS.iter().map(|(key, _)| key).chain([&LORAS]);
    ORDER.iter().chain(paths).filter_map(entry).collect()
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
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl Clip<'_> {
    /// Writes the latents where they were asked for, and decodes them. Until the clip is whole the
    /// run stays in `keeper`, where there is one.
    pub(crate) fn write(
        self,
        keeper: Option<&Keeper>,
        progress: &mut Progress,
    ) -> Result<(), CliError> {
        let kept = |error| match keeper {
            Some(keeper) => keeper.kept(error),
            None => error,
        };
        if let Some(path) = &self.target.latents {
            self.latents.write(path).map_err(|e| kept(e.into()))?;
        }
        let written = self.write_frames(&kept, progress);
        tell(&written.map_err(kept)?, progress)
    }

    /// Decodes and writes; nothing bears the clip's name until it is whole.
    fn write_frames(
        &self,
        kept: &dyn Fn(CliError) -> CliError,
        progress: &mut Progress,
    ) -> Result<VideoSummary, CliError> {
        let Target { clip, frames, .. } = self.target;
        let overwrite = self.target.overwrite || self.target.again;
        if let Some(folder) = frames {
            prepare_frame_folder(folder, overwrite)?;
        }
        let (width, height) = (self.video.width, self.video.height);
        let interrupted = || CliError::Interrupted { path: clip.clone() };
        self.interrupt.may_cut_off(&kept(interrupted()));
        let mut writer = VideoWriter::create(clip, self.video.clone())?;
        let write = |index: usize, rgb: &[u8]| -> Result<(), kinora::Error> {
            if let Some(folder) = frames {
                write_png(&frame_path(folder, index), width, height, rgb, overwrite)?;
            }
            Ok(writer.push(rgb)?)
        };
        let crop = Some([width as usize, height as usize]);
        let cancel = self.interrupt.cancel();
        let mut events = |event| progress.event(&event);
        let decoded = while_decoding(write, |frame| {
            self.engine
                .decode(&self.latents, crop, cancel, &mut events, frame)
        });
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

/// Frames that are decoded and not yet written.
const AHEAD: usize = 4;

/// Decodes, and writes the frames on a thread of its own: the device goes on while the host encodes.
fn while_decoding(
    mut write: impl FnMut(usize, &[u8]) -> Result<(), kinora::Error> + Send,
    decode: impl FnOnce(FrameSink<'_>) -> Result<(), kinora::Error>,
) -> Result<(), kinora::Error> {
    let (frames, coming) = mpsc::sync_channel::<Vec<u8>>(AHEAD);
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut all = coming.iter().enumerate();
            all.try_for_each(|(index, rgb)| write(index, &rgb))
        });
        let mut refused = false;
        let decoded = decode(&mut |_, rgb| {
            // A writer that is gone has a reason of its own, told below.
            let sent = frames.send(rgb.to_vec());
            refused = sent.is_err();
            sent.map_err(|_| GpuError::Cancelled.into())
        });
        drop(frames);
        match writing.join() {
            Ok(written) if refused => written.and(decoded),
            Ok(written) => decoded.and(written),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
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
        let entries = ["kinora", "quantize", "seed", "prompt", "format"];
        let made = made_by(&entries.map(|k| (k.to_owned(), k.to_owned())).into());
        let keys: Vec<_> = made.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["prompt", "seed", "quantize", "kinora"]);
        assert!(made_by(&[("format".to_owned(), "pt".to_owned())].into()).is_empty());
    }

    #[test]
    fn frames_are_written_in_order_and_whoever_fails_first_is_told() {
        let decode = |frames: u8, end: Result<(), kinora::Error>| {
            move |frame: FrameSink<'_>| {
                for index in 0..frames {
                    frame(index.into(), &[index])?;
                }
                end
            }
        };
        let mut written = Vec::new();
        let all = |index: usize, rgb: &[u8]| {
            written.push((index, rgb.to_vec()));
            Ok(())
        };
        while_decoding(all, decode(9, Ok(()))).unwrap();
        let expected: Vec<_> = (0..9).map(|i| (usize::from(i), vec![i])).collect();
        assert_eq!(written, expected);

        let full = |index: usize, _: &[u8]| match index {
            3 => Err(GpuError::Unbound {
                name: "disk".into(),
            }
            .into()),
            _ => Ok(()),
        };
        for frames in [4, 99] {
            let error = while_decoding(full, decode(frames, Ok(()))).unwrap_err();
            assert!(error.to_string().contains("disk"), "{error}");
        }
        // The fourth frame is not written either, but the run was interrupted before that was told.
        for frames in [2, 4] {
            let cancelled = Err(GpuError::Cancelled.into());
            let error = while_decoding(full, decode(frames, cancelled)).unwrap_err();
            assert!(CliError::from(error).is_interruption());
        }
    }
}
