//! Latents to frames, handed out in order as they are ready.

use std::cell::Cell;

use super::decoder::{DecoderComponent, Kind, decode_options};
use super::event::{Event, Observer, Stage};
use super::preview::enlarged;
use crate::cancel::Cancel;
use crate::error::{Error, RequestError};
use crate::gpu::Gpu;
use crate::models::vae::{DecodePlan, Decoded, VaeDecoder};
use crate::weights::Latents;

/// Takes a frame's number and its 8-bit RGB pixels.
pub(crate) type FrameFn<'f> = &'f mut dyn FnMut(usize, &[u8]) -> Result<(), Error>;

/// How a decode is to go.
pub(crate) struct Decode<'a> {
    pub(crate) component: &'a DecoderComponent,
    /// The layout, of the budget that it was made for; `None` for a linear map.
    pub(crate) plan: Option<DecodePlan>,
    pub(crate) budget: Option<u64>,
    /// Width and height of the frames: the central part of the decoded ones.
    pub(crate) size: [usize; 2],
}

/// Decodes latents to 8-bit RGB frames. Device memory does not grow with the number of frames.
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
    let mut cropped = Vec::new();
    let mut hand_out = |observer: Observer<'_>, index: usize, rgb: &[u8]| {
        crop_rgb(rgb, made, size, &mut cropped);
        frame(index, &cropped)?;
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
                Decoded::Frame(index, rgb) => hand_out(observer, index, rgb),
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
                    hand_out(observer, index, &rgb)?;
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

/// The central `size` of a picture of `made` pixels.
fn crop_rgb(rgb: &[u8], made: [usize; 2], size: [usize; 2], out: &mut Vec<u8>) {
    out.clear();
    let (left, top) = ((made[0] - size[0]) / 2, (made[1] - size[1]) / 2);
    for row in rgb.chunks_exact(3 * made[0]).skip(top).take(size[1]) {
        out.extend_from_slice(&row[3 * left..3 * (left + size[0])]);
    }
}
