//! A sink on a thread of its own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{ClipInfo, Frame, Layout, Sink, Source};
use crate::error::Error;
use crate::pipeline::Planes;

/// The most decoded frames that may wait for the sink.
const AHEAD: usize = 4;

/// A sink on a thread of its own: the device goes on while the host encodes.
pub struct OnThread<S> {
    sink: Option<S>,
    running: Option<Running<S>>,
}

struct Running<S> {
    clip: ClipInfo,
    layout: Layout,
    frames: SyncSender<Sent>,
    thread: JoinHandle<(S, Result<(), Error>)>,
}

/// A frame on its way: its number, the layout of its planes unless it is RGB, and its bytes.
type Sent = (usize, Option<Planes>, Vec<u8>);

impl<S: Sink + Send + 'static> OnThread<S> {
    /// The same sink, off the caller's thread.
    pub fn new(sink: S) -> Self {
        Self {
            sink: Some(sink),
            running: None,
        }
    }

    /// The sink, between two clips.
    pub fn get(&self) -> Option<&S> {
        self.sink.as_ref()
    }

    /// Waits until the sink has taken every frame that was sent, and returns its result.
    fn join(&mut self) -> Result<(), Error> {
        let Some(Running { frames, thread, .. }) = self.running.take() else {
            return Ok(());
        };
        drop(frames);
        match thread.join() {
            Ok((sink, ended)) => {
                self.sink = Some(sink);
                ended
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn take_all<S: Sink>(
    mut sink: S,
    clip: &ClipInfo,
    frames: Receiver<Sent>,
) -> (S, Result<(), Error>) {
    let mut ended = Ok(());
    for (index, planes, bytes) in &frames {
        let source = match planes {
            Some(planes) => Source::Yuv420(planes, &bytes),
            None => Source::Rgb(&bytes),
        };
        ended = sink.frame(&Frame::of_host(index, clip, source));
        if ended.is_err() {
            break;
        }
    }
    (sink, ended)
}

impl<S: Sink + Send + 'static> Sink for OnThread<S> {
    fn begin(&mut self, clip: &ClipInfo) -> Result<(), Error> {
        let Some(mut sink) = self.sink.take() else {
            return Ok(());
        };
        if let Err(error) = sink.begin(clip) {
            self.sink = Some(sink);
            return Err(error);
        }
        let (clip, layout) = (*clip, sink.layout());
        let (frames, coming) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || take_all(sink, &clip, coming));
        self.running = Some(Running {
            clip,
            layout,
            frames,
            thread,
        });
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        debug_assert_eq!(
            [running.clip.width, running.clip.height],
            [frame.width, frame.height]
        );
        let planes = match running.layout {
            Layout::Yuv420 => frame.yuv420()?,
            Layout::Rgb => None,
        };
        let sent = match planes {
            Some((planes, bytes)) => (frame.index, Some(planes), bytes.into_owned()),
            None => (frame.index, None, frame.rgb()?.into_owned()),
        };
        if running.frames.send(sent).is_ok() {
            return Ok(());
        }
        // The thread stopped because the sink failed; `join` returns that error.
        self.join()
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.join()?;
        self.sink.as_mut().map_or(Ok(()), Sink::finish)
    }

    fn abandon(&mut self) -> Option<Error> {
        let ended = self.join().err();
        let sink = self.sink.as_mut().and_then(Sink::abandon);
        ended.or(sink)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const CLIP: ClipInfo = ClipInfo {
        width: 1,
        height: 1,
        frames: 9,
    };

    type Taken = Arc<Mutex<Vec<usize>>>;

    /// Takes frames until one of this number.
    fn until(full: usize) -> (Taken, impl Sink + Send + 'static) {
        let taken = Taken::default();
        let own = taken.clone();
        let sink = move |frame: &Frame<'_>| {
            if frame.index == full {
                return Err(Error::Cancelled);
            }
            own.lock().unwrap().push(frame.index);
            Ok(())
        };
        (taken, sink)
    }

    #[test]
    fn a_thread_takes_frames_in_order() {
        let (taken, sink) = until(99);
        let mut sink = OnThread::new(sink);
        sink.begin(&CLIP).unwrap();
        for index in 0..9 {
            sink.frame(&Frame::of_host(index, &CLIP, Source::Rgb(&[1, 2, 3])))
                .unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(*taken.lock().unwrap(), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_that_fails_gives_its_reason_once() {
        for frames in [4, 40] {
            let (_, sink) = until(3);
            let mut sink = OnThread::new(sink);
            sink.begin(&CLIP).unwrap();
            let sent: Result<(), Error> = (0..frames).try_for_each(|index| {
                sink.frame(&Frame::of_host(index, &CLIP, Source::Rgb(&[1, 2, 3])))
            });
            let ended = sent.and_then(|()| sink.finish());
            assert!(matches!(ended, Err(Error::Cancelled)), "{frames}");
            assert!(sink.abandon().is_none());
        }
    }
}
