//! Latents to frames, handed out in order as they are ready.

use std::cell::Cell;

use super::decoder::{DecoderComponent, Kind, decode_options};
use super::event::{Event, Observer, Stage};
use super::picture::Picture;
use super::preview::enlarged;
use crate::cancel::Cancel;
use crate::error::{Error, RequestError};
use crate::gpu::Gpu;
use crate::models::vae::{DecodePlan, Decoded, FrameBytes, VaeDecoder};
use crate::weights::Latents;

/// Takes a frame's number and the frame.
pub(crate) type FrameFn<'f> = &'f mut dyn FnMut(usize, Picture<'_>) -> Result<(), Error>;

/// How a decode is to go.
pub(crate) struct Decode<'a> {
    pub(crate) component: &'a DecoderComponent,
    /// The layout, of the budget that it was made for; `None` for a linear map.
    pub(crate) plan: Option<DecodePlan>,
    pub(crate) budget: Option<u64>,
    /// Width and height of the frames: the central part of the decoded ones.
    pub(crate) size: [usize; 2],
}

/// Decodes latents to frames. Device memory does not grow with the number of frames.
///
/// # Errors
/// Latents of another shape than the component's, no room on the device, cancelled, or the
/// callback's own error.
pub(crate) fn decode(
    gpu: &Gpu,
    decode: Decode<'_>,
    latents: &Latents,
    cancel: &Cancel,
    observer: Observer<'_>,
    frame: FrameFn<'_>,
) -> Result<(), Error> {
    let Decode {
        component,
        plan,
        budget,
        size,
    } = decode;
    let [_, _, t, h, w] = latents.shape;
    let [frames, side] = component.scale;
    let made = [w * side, h * side];
    if size[0] > made[0] || size[1] > made[1] {
        return Err(RequestError::Range {
            field: "the size of the frames",
            found: format!("{}x{}", size[0], size[1]),
            expected: format!("at most the {}x{} of the latents", made[0], made[1]),
        }
        .into());
    }
    let total = t.saturating_sub(1) * frames + 1;
    let stage = Stage::Decode;
    let reached = Cell::new(0);
    let reach = |observer: Observer<'_>, done: usize| {
        if done > reached.replace(done.max(reached.get())) {
            observer(Event::Progress { stage, done, total });
        }
    };
    let mut hand_out = |observer: Observer<'_>, index: usize, bytes: FrameBytes<'_>| {
        frame(index, Picture::new(gpu, bytes, made, size))?;
        reach(observer, index + 1);
        Ok(())
    };
    match (&component.kind, plan) {
        (Kind::Network(network), Some(plan)) => {
            let load = Stage::Load(network.part);
            observer(Event::Started {
                stage: load,
                total: 1,
            });
            let decoder = VaeDecoder::planned(
                gpu,
                network.architecture(),
                &network.checkpoint,
                component.latents.unbatched(),
                &decode_options(budget),
                plan,
            )?;
            observer(Event::Finished { stage: load });
            observer(Event::Started { stage, total });
            decoder.decode_telling(&latents.values, cancel, |decoded| match decoded {
                Decoded::Frame(index, bytes) => hand_out(observer, index, bytes),
                Decoded::Passes(done, of) => {
                    reach(observer, total * done / of);
                    Ok(())
                }
            })?;
        }
        (Kind::Linear(colours), _) => {
            observer(Event::Started { stage, total });
            let mut index = 0;
            for t in 0..t {
                let rgb = enlarged(&colours.frame(latents, t), [w, h], made);
                let repeats = if t == 0 { 1 } else { frames };
                for _ in 0..repeats {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    hand_out(observer, index, FrameBytes::Host(&rgb))?;
                    index += 1;
                }
            }
        }
        (Kind::Network(network), None) => {
            return Err(RequestError::NotPlanned {
                part: network.part.name(),
            }
            .into());
        }
    }
    observer(Event::Finished { stage });
    Ok(())
}
