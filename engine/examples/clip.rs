//! A prompt becomes an MP4, resumed after a break: `cargo run --example clip -- MODEL "a prompt"`.

use std::path::Path;

use kinora::{Cancel, Engine, Error, Event, Gpu, GpuOptions, Keep, ModelFolder, Mp4Sink, Request};
use kinora::{OnThread, SavedRun};

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (Some(model), Some(prompt)) = (words.next(), words.next()) else {
        eprintln!("usage: clip MODEL PROMPT");
        return Ok(());
    };
    let gpu = Gpu::open(&GpuOptions::default())?;
    let engine = Engine::new(gpu, ModelFolder::open(model)?)?;
    let mut request = Request::new(prompt);
    request.seed = Some(7);
    let mut job = engine.prepare(&request)?;
    println!("{}", job.plan());

    let clip = Path::new("clip.mp4");
    job.keep(Keep::beside(clip));
    if let Some(saved) = SavedRun::beside(clip)? {
        job.resume(saved)?;
    }
    let mut sink = OnThread::new(Mp4Sink::new(clip, job.video()?)?);
    let mut observer = |event| match event {
        Event::Note(note) => println!("note: {note}"),
        Event::Progress { stage, done, total } => println!("{stage}: {done} of {total}"),
        _ => {}
    };
    job.run(&mut sink, &mut observer, &Cancel::new())?;
    println!("{}", clip.display());
    Ok(())
}
