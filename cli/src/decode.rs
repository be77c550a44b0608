//! `kinora decode`: a latents' file becomes a clip.

use std::sync::Arc;

use kinora::job::{ClipInfo, Metadata, Outputs, name_of_latents};
use kinora::pipeline::{Decoder, Model};
use kinora::{Part, weights::Latents};

use crate::args::{DecodeArgs, LORAS, TINY_DECODER};
use crate::clip::{Watched, sink, tell};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::model;
use crate::output;
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
    let told = Metadata(latents.metadata.clone());
    let wrong = |(key, found, expected)| CliError::LatentsMetadata {
        path: args.latents.clone(),
        key,
        found,
        expected,
    };
    let scale = model.config().vae.scale_factor_spatial;
    let whole = [latents.shape[4], latents.shape[3]].map(|side| side * scale);
    let [width, height] = told.crop(whole).map_err(wrong)?.unwrap_or(whole);
    let fps = match args.fps {
        Some(fps) => fps,
        None => told
            .fps()
            .map_err(wrong)?
            .unwrap_or(model.config().defaults.fps),
    };
    let mut video = crate::clip::video(&args.video, width, height, fps)?;
    if !args.video.no_metadata {
        video.metadata = metadata.entries();
    }
    let mut outputs = Outputs::default();
    outputs.name = name_of_latents(&args.latents);
    outputs.frames = args.frames_dir.clone();
    outputs.overwrite = args.video.force;
    output::aim(&mut outputs, args.output.as_deref())?;
    output::check_json(&args.report, &outputs)?;
    let mut target = outputs.target(None)?;
    let stretch = model.config().vae.scale_factor_temporal;
    target.check(latents.shape[2].saturating_sub(1) * stretch + 1)?;
    let mut sink = sink(&target, video)?;
    if decoder == Decoder::Full {
        model.checkpoint(Part::VaeDecoder)?;
    }
    // The hash is of all parts and of the LoRAs. Other decoders use none of them.
    let loras = latents.metadata.contains_key(LORAS);
    let comparable = decoder == Decoder::Full && loras != args.model.lora.is_empty();

    let interrupt = Interrupt::listen()?;
    let mut progress = Progress::telling(quiet, &args.report);
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
    tell(&sink, &target, &progress, args.report.json)?;
    progress.memory(decoding.memory_taken());
    if args.report.json {
        let mut object = metadata.to_json();
        object["path"] = target.clip.display().to_string().into();
        object["width"] = width.into();
        object["height"] = height.into();
        object["frames"] = info.frames.into();
        object["fps"] = fps.into();
        output::print(format!("{object}\n").as_bytes())?;
    }
    Ok(())
}
