//! `kinora decode`: a latents' file becomes a clip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use kinora::job::{ClipInfo, Metadata, free_name};
use kinora::pipeline::{Decoder, Model};
use kinora::{Part, weights::Latents};

use crate::args::{DecodeArgs, LORAS, TINY_DECODER};
use crate::clip::{Watched, sink, tell};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model;
use crate::output::Target;
use crate::progress::Progress;

/// Decodes the latents' file.
pub(crate) fn run(args: &DecodeArgs, quiet: bool) -> Result<(), CliError> {
    let latents = Latents::read(&args.latents)?;
    let folder = model::folder_for(&args.model, &args.decoder, latents.shape[1])?;
    let model = Arc::new(Model::open(folder)?);
    let decoder = model::decoder(&args.decoder, &args.model, &model)?;
    let mut metadata = Metadata(latents.metadata.clone());
    let of_clip = &mut metadata.0;
    of_clip.insert("decoder".to_owned(), decoder.name().to_owned());
    of_clip.remove(TINY_DECODER);
    of_clip.remove("tiny_decoder_latents");
    of_clip.extend(args.decoder.typed());
    let entries = Entries {
        path: &args.latents,
        metadata: &latents.metadata,
    };
    let scale = model.config().vae.scale_factor_spatial;
    let whole = [latents.shape[4], latents.shape[3]].map(|side| side * scale);
    let [width, height] = entries.crop(whole)?.unwrap_or(whole);
    let fps = match args.fps {
        Some(fps) => fps,
        None => entries
            .number("fps", "a frame rate")?
            .unwrap_or(model.config().defaults.fps),
    };
    let mut video = crate::clip::video(&args.video, width, height, fps)?;
    if !args.video.no_metadata {
        video.metadata = metadata.entries();
    }
    let clip = args.output.clone();
    let clip = clip.unwrap_or_else(|| free_name(&named_like(&args.latents), args.video.force));
    let target = Target {
        clip,
        latents: None,
        frames: args.frames_dir.clone(),
        overwrite: args.video.force,
        again: false,
    };
    target.check()?;
    let mut sink = sink(&target, video)?;
    if decoder == Decoder::Full {
        model.checkpoint(Part::VaeDecoder)?;
    }
    // The hash is of all parts and of the LoRAs. Other decoders use none of them.
    let loras = latents.metadata.contains_key(LORAS);
    let comparable = decoder == Decoder::Full && loras != args.model.lora.is_empty();

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::new(quiet);
    let engine = model::open(&args.device, &args.memory, model, &progress)?.with_decoder(decoder);
    if args.profile {
        progress.profile(&engine.gpu());
    }
    let hash = latents.metadata.get("model_hash").filter(|_| comparable);
    if hash.is_some_and(|hash| engine.model().fingerprint().is_ok_and(|own| own != *hash)) {
        progress.say("note: these latents were made with another model's weights");
    }
    let mut decoding = engine.prepare_decoding(&latents)?;
    let info = ClipInfo {
        width,
        height,
        frames: decoding.frames(),
    };
    let watched = Watched::new(&target, &interrupt, &mut progress, None);
    let mut observer = |event| watched.event(&event);
    decoding
        .run(
            &latents,
            &info,
            &mut sink,
            &mut observer,
            interrupt.cancel(),
        )
        .map_err(|error| watched.ended(error, true))?;
    drop(watched);
    tell(&sink, &progress)?;
    progress.memory(decoding.memory_taken());
    Ok(())
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
    fn number<T: FromStr>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_named_like_its_latents() {
        let name = |latents: &str| named_like(Path::new(latents)).display().to_string();
        assert_eq!(name("runs/kite.latents.safetensors"), "kite.mp4");
        assert_eq!(name("boat.v2.safetensors"), "boat.v2.mp4");
    }
}
