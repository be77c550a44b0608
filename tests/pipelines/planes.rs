//! A clip's MP4 is made of planes that the device converts, and is the one that the host's conversion
//! makes, byte for byte, in the memory that was planned.

use std::path::Path;

use kinora::gpu::{Gpu, STAGING_BYTES};
use kinora::job::{Both, ClipInfo, Frame, Layout, PngSink, Sink};
use kinora::media::{VideoOptions, VideoWriter};
use kinora::weights::Latents;
use kinora::{Cancel, Engine, Error, Mp4Sink, OnThread};
use libtest_mimic::{Failed, Trial};

use crate::harness::device_test;
use crate::{open, own_fixtures};

pub(crate) fn trials() -> Vec<Trial> {
    vec![device_test("planes/of_the_device", planes)]
}

/// Writes an MP4 of the RGB that is read back: converted on the host.
struct OnHost(Option<VideoWriter>);

impl Sink for OnHost {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let rgb = frame.rgb()?;
        self.0
            .as_mut()
            .map_or(Ok(()), |writer| Ok(writer.push(&rgb)?))
    }

    fn finish(&mut self) -> Result<(), Error> {
        let writer = self.0.take();
        writer.map_or(Ok(()), |writer| Ok(writer.finish().map(drop)?))
    }
}

/// Counts frames that come as planes, and as RGB.
struct Counts(Layout, [usize; 2]);

impl Sink for Counts {
    fn layout(&self) -> Layout {
        self.0
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let came = [frame.yuv420()?.is_some(), frame.rgb().is_ok()];
        for (count, came) in self.1.iter_mut().zip(came) {
            *count += usize::from(came);
        }
        Ok(())
    }
}

fn decode(
    engine: &Engine,
    latents: &Latents,
    [width, height]: [usize; 2],
    sink: &mut dyn Sink,
) -> Result<usize, Failed> {
    let mut decoding = engine.prepare_decoding(latents)?;
    let frames = decoding.frames();
    let clip = ClipInfo {
        width,
        height,
        frames,
    };
    decoding.run(latents, &clip, sink, &mut |_| {}, &Cancel::new())?;
    Ok(frames)
}

fn planes(gpu: &Gpu) -> Result<(), Failed> {
    let (engine, mut request) = open(gpu, &own_fixtures().join("ti2v"))?;
    request.steps = Some(1);
    let latents = engine
        .prepare(&request)?
        .sample(&mut |_| {}, &Cancel::new())?;
    let whole = engine.prepare_decoding(&latents)?.size();
    let folder = tempfile::tempdir()?;
    let read = |name: &str| std::fs::read(folder.path().join(name));
    // Whole frames, sides that are odd, rows that are no whole words.
    for size in [
        whole,
        [whole[0] - 1, whole[1] - 3],
        [whole[0] - 10, whole[1]],
    ] {
        let at = |name: &str| folder.path().join(format!("{name}-{}.mp4", size[0]));
        let options = || VideoOptions::sized(size, 16.0);
        let host = VideoWriter::create(&at("host"), options()?)?;
        decode(&engine, &latents, size, &mut OnHost(Some(host)))?;
        let video = |path: &Path| Mp4Sink::new(path, options()?);
        decode(&engine, &latents, size, &mut video(&at("device"))?)?;
        decode(
            &engine,
            &latents,
            size,
            &mut OnThread::new(video(&at("thread"))?),
        )?;
        let pictures = PngSink::new(folder.path().join(size[0].to_string()), false);
        let both = Both(video(&at("both"))?, Some(pictures));
        decode(&engine, &latents, size, &mut OnThread::new(both))?;
        let name = |kind: &str| format!("{kind}-{}.mp4", size[0]);
        let host = read(&name("host"))?;
        for kind in ["device", "thread", "both"] {
            if read(&name(kind))? != host {
                return Err(format!("{kind}: another clip of {size:?} than the host's").into());
            }
        }
    }
    // Behind a thread a sink has what it asks for.
    for (layout, expected) in [(Layout::Yuv420, [1, 0]), (Layout::Rgb, [0, 1])] {
        let mut sink = OnThread::new(Counts(layout, [0, 0]));
        let frames = decode(&engine, &latents, whole, &mut sink)?;
        let counts = sink.get().map(|sink| sink.1);
        if counts != Some(expected.map(|each| each * frames)) {
            return Err(format!("{layout:?}: {counts:?} of {frames} frames").into());
        }
    }
    let planned = engine.prepare_decoding(&latents)?;
    let planned = planned.plan().map_or(0, |plan| plan.bytes());
    let before = gpu.memory().current;
    gpu.reset_peak();
    decode(
        &engine,
        &latents,
        whole,
        &mut Counts(Layout::Yuv420, [0, 0]),
    )?;
    let taken = gpu.memory().peak - before + STAGING_BYTES;
    match taken <= planned {
        true => Ok(()),
        false => Err(format!("{taken} bytes, planned were {planned}").into()),
    }
}
