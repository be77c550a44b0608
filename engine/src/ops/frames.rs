//! Operations of causal autoencoders on frames: keeping the last ones as state, and the shortcuts that
//! repeat frames around an upsampling level and average them around a downsampling one.

use super::params::params;
use super::split::lanes;
use super::window::window;
use crate::error::RecordError;
use crate::record::{Caps, Recorder, Tensor};
use crate::shader::Variant;
use crate::tensor::DType;

params! {
    /// Params of `dup_up.wgsl`.
    DupUpParams for "dup_up" {
        pixels: u32,
        pixel_base: u32,
        height: u32,
        width: u32,
        channels: u32,
        features: u32,
        factor_t: u32,
        drop: u32,
        repeats: u32,
        x_base: u32,
        y_base: u32,
    }
}

params! {
    /// Params of `avg_down.wgsl`.
    AvgDownParams for "avg_down" {
        pixels: u32,
        pixel_base: u32,
        height: u32,
        width: u32,
        channels: u32,
        features: u32,
        factor_t: u32,
        factor_s: u32,
        pad: u32,
        group: u32,
        scale: f32,
        x_base: u32,
        y_base: u32,
    }
}

params! {
    /// Params of `crop_lines.wgsl`.
    CropLinesParams for "crop_lines" {
        count: u32,
        spare: u32,
        line: u32,
        which: u32,
        x_first: u32,
        y_first: u32,
    }
}

fn variant(caps: &Caps, kernel: &'static str) -> Variant {
    Variant::new(kernel).set("LANES", lanes(caps))
}

pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    ["avg_down", "crop_lines", "dup_up"]
        .map(|kernel| variant(caps, kernel))
        .to_vec()
}

/// Copies lines of every frame, from the line `starts[which]` on. Bands of lines share a recording and
/// differ only in the values of `starts`.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T, H, W, C] | f32 |
/// | starts | `[L]`, each at most H - `lines` | u32 |
/// | result | [T, `lines`, W, C] | f32 |
///
/// # Errors
/// Shapes that do not match, more lines than there are, a frame larger than one binding.
pub fn crop_lines(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    starts: &Tensor,
    which: usize,
    lines: usize,
) -> Result<Tensor, RecordError> {
    const OP: &str = "crop_lines";
    let [frames, h, w, c] = x.dims(OP, "x")?;
    if lines > h || lines == 0 || x.dtype != DType::F32 {
        let expected = format!("f32 with at least {} lines", lines.max(1));
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    if which >= starts.shape.count() || starts.dtype != DType::U32 {
        let expected = format!("u32, at least {} of them", which + 1);
        return Err(RecordError::Shape {
            op: OP,
            name: "starts",
            found: starts.shape,
            expected,
        });
    }
    let y = rec.intermediate(OP, [frames, lines, w, c], x.dtype);
    let (frame, kept) = (h * w * c, lines * w * c);
    let variant = variant(rec.caps(), "crop_lines");
    let lanes = lanes(rec.caps()) as usize;
    for t in 0..frames {
        let from = window(rec.caps(), x, t * frame..(t + 1) * frame);
        let to = window(rec.caps(), &y, t * kept..(t + 1) * kept);
        rec.dispatch(OP, variant.clone())
            .read_window(1, x, from.bytes)
            .read(2, starts)
            .write_window(3, &y, to.bytes)
            .params(&CropLinesParams {
                count: kept as u32,
                spare: (frame - kept) as u32,
                line: (w * c) as u32,
                which: which as u32,
                x_first: (t * frame) as u32 - from.base,
                y_first: (t * kept) as u32 - to.base,
            })
            .launch_folded(kept.div_ceil(lanes))?;
    }
    Ok(y)
}

/// Lets frames enter the `past` of a causal convolution, in place; the oldest leave it.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | past | [P, H, W, C] | f32 |
/// | x | [T, H, W, C] | f32 |
///
/// It records only copies, so binding limits do not apply.
///
/// # Errors
/// Shapes that do not match.
pub fn push_frames(rec: &mut Recorder<'_>, past: &Tensor, x: &Tensor) -> Result<(), RecordError> {
    const OP: &str = "push_frames";
    let [remembered, h, w, c] = past.dims(OP, "past")?;
    let [frames, ..] = x.dims::<4>(OP, "x")?;
    if x.shape[1..] != past.shape[1..] || x.dtype != past.dtype {
        let expected = format!("[T, {h}, {w}, {c}] to match past {}", past.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "x",
            found: x.shape,
            expected,
        });
    }
    let frame = (h * w * c * x.dtype.size()) as u64;
    let entering = frames.min(remembered);
    let staying = remembered - entering;
    if staying > 0 {
        // No copy within one buffer: those that stay move through another.
        let moved = rec.intermediate(OP, [staying, h, w, c], x.dtype);
        rec.copy((past, entering as u64 * frame), (&moved, 0), moved.bytes());
        rec.copy((&moved, 0), (past, 0), moved.bytes());
    }
    let first = (frames - entering) as u64 * frame;
    rec.copy(
        (x, first),
        (past, staying as u64 * frame),
        entering as u64 * frame,
    );
    Ok(())
}

/// Adds `x`, repeated to twice its height and width and `factor_t` times its frames, to `y` in
/// place: diffusers' `DupUp3D`, the shortcut around a level of Wan 2.2's decoder. At the start of
/// a video the first `factor_t - 1` of those frames are left out.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T, H, W, C] | f32 |
/// | y | [T factor_t - drop, 2 H, 2 W, N] | f32 |
///
/// # Errors
/// Shapes that do not match; C that does not divide 4 N factor_t; a frame larger than one binding.
pub fn dup_up(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    y: &Tensor,
    factor_t: usize,
    start: bool,
) -> Result<(), RecordError> {
    const OP: &str = "dup_up";
    let [frames, h, w, channels] = x.dims(OP, "x")?;
    let [.., features] = y.dims::<4>(OP, "y")?;
    let drop = if start { factor_t.saturating_sub(1) } else { 0 };
    let expected = [
        (frames * factor_t).saturating_sub(drop),
        2 * h,
        2 * w,
        features,
    ];
    if *y.shape != expected {
        let expected = format!("{expected:?} to match x {}", x.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "y",
            found: y.shape,
            expected,
        });
    }
    let dealt = 4 * features * factor_t;
    if channels == 0 || !dealt.is_multiple_of(channels) {
        let expected = "a divisor of the values that each of its pixels is dealt out to";
        return Err(RecordError::Size {
            op: OP,
            name: "C",
            found: channels,
            expected,
        });
    }
    let caps = rec.caps();
    let [out_frames, height, width, _] = expected;
    let lines = out_frames * height;
    // Lines of one dispatch: all there are, halved until the windows fit; of several frames whole ones.
    let whole = |count: usize| match count {
        0 => 1,
        _ if count > height => count / height * height,
        _ => count,
    };
    let mut first = 0;
    while first < lines {
        let of_frame = first % height;
        let mut count = match of_frame {
            0 => lines - first,
            _ => height - of_frame,
        };
        let place = |count: usize| {
            let last = first + count - 1;
            let from = [first, last].map(|line| {
                let frame = (line / height + drop) / factor_t;
                frame * h + line % height / 2
            });
            let from = from[0] * w * channels..(from[1] + 1) * w * channels;
            let to = first * width * features..(first + count) * width * features;
            (window(caps, x, from), window(caps, y, to))
        };
        let (mut from, mut to) = place(count);
        while count > 1 && from.len().max(to.len()) > caps.max_binding_bytes {
            count = whole(count / 2);
            (from, to) = place(count);
        }
        let values = count * width * features;
        rec.dispatch(OP, variant(caps, "dup_up"))
            .read_window(1, x, from.bytes)
            .update_window(2, y, to.bytes)
            .params(&DupUpParams {
                pixels: (count * width) as u32,
                pixel_base: (first * width) as u32,
                height: height as u32,
                width: width as u32,
                channels: channels as u32,
                features: features as u32,
                factor_t: factor_t as u32,
                drop: drop as u32,
                repeats: (dealt / channels) as u32,
                x_base: from.base,
                y_base: to.base,
            })
            .flops(values as u64)
            .launch_folded((count * width * features.div_ceil(4)).div_ceil(lanes(caps) as usize))?;
        first += count;
    }
    Ok(())
}

/// Averages `x` over `factors` = [time, space] and adds the result to `y` in place: diffusers'
/// `AvgDown3D`, the shortcut around a level of Wan 2.2's encoder. If the frames are not a multiple of
/// the factor, zeros precede the first.
///
/// | tensor | shape | dtype |
/// |---|---|---|
/// | x | [T, H, W, C] | f32 |
/// | y | [ceil(T / FT), H / FS, W / FS, N] | f32 |
///
/// # Errors
/// Shapes that do not match; N that does not divide C FT FS²; the frames of one result larger than one
/// binding.
pub fn avg_down(
    rec: &mut Recorder<'_>,
    x: &Tensor,
    y: &Tensor,
    [factor_t, factor_s]: [usize; 2],
) -> Result<(), RecordError> {
    const OP: &str = "avg_down";
    let [frames, h, w, channels] = x.dims(OP, "x")?;
    let [_, _, _, features] = y.dims(OP, "y")?;
    for (name, found) in [("factor in time", factor_t), ("factor in space", factor_s)] {
        if found == 0 {
            let expected = "at least 1";
            return Err(RecordError::Size {
                op: OP,
                name,
                found,
                expected,
            });
        }
    }
    let expected = [
        frames.div_ceil(factor_t),
        h / factor_s,
        w / factor_s,
        features,
    ];
    let whole = h.is_multiple_of(factor_s) && w.is_multiple_of(factor_s);
    if !whole || *y.shape != expected || x.dtype != DType::F32 || y.dtype != DType::F32 {
        let expected = format!("f32 {expected:?} to match x {}", x.shape);
        return Err(RecordError::Shape {
            op: OP,
            name: "y",
            found: y.shape,
            expected,
        });
    }
    let values = channels * factor_t * factor_s * factor_s;
    if !values.is_multiple_of(features) {
        let expected = "a divisor of the values that it is the mean of";
        return Err(RecordError::Size {
            op: OP,
            name: "N",
            found: features,
            expected,
        });
    }
    let group = values / features;
    let pad = expected[0] * factor_t - frames;
    let caps = rec.caps();
    let [out_frames, height, width, _] = expected;
    let lines = out_frames * height;
    let frame = h * w * channels;
    // Lines of one dispatch: all there are, halved until the windows fit; of several frames whole ones.
    let whole = |count: usize| match count {
        0 => 1,
        _ if count > height => count / height * height,
        _ => count,
    };
    let mut first = 0;
    while first < lines {
        let of_frame = first % height;
        let mut count = match of_frame {
            0 => lines - first,
            _ => height - of_frame,
        };
        let place = |count: usize| {
            let last = first + count - 1;
            let [start, end] = [first, last].map(|line| (line / height * factor_t, line % height));
            let from = start.0.saturating_sub(pad) * frame + start.1 * factor_s * w * channels;
            let until =
                (end.0 + factor_t - 1 - pad) * frame + (end.1 + 1) * factor_s * w * channels;
            let to = first * width * features..(first + count) * width * features;
            (window(caps, x, from..until), window(caps, y, to))
        };
        let (mut from, mut to) = place(count);
        while count > 1 && from.len().max(to.len()) > caps.max_binding_bytes {
            count = whole(count / 2);
            (from, to) = place(count);
        }
        rec.dispatch(OP, variant(caps, "avg_down"))
            .read_window(1, x, from.bytes)
            .update_window(2, y, to.bytes)
            .params(&AvgDownParams {
                pixels: (count * width) as u32,
                pixel_base: (first * width) as u32,
                height: height as u32,
                width: width as u32,
                channels: channels as u32,
                features: features as u32,
                factor_t: factor_t as u32,
                factor_s: factor_s as u32,
                pad: pad as u32,
                group: group as u32,
                scale: 1.0 / group as f32,
                x_base: from.base,
                y_base: to.base,
            })
            .flops((count * width * features * group) as u64)
            .launch_folded((count * width * features.div_ceil(4)).div_ceil(lanes(caps) as usize))?;
        first += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_match_are_named() {
        let caps = Caps::least();
        let mut rec = Recorder::new(&caps);
        let x = rec.intermediate("x", [1, 4, 4, 8], DType::F32);
        let past = rec.intermediate("past", [2, 4, 5, 8], DType::F32);
        let error = push_frames(&mut rec, &past, &x).unwrap_err();
        assert_eq!(
            error.to_string(),
            "push_frames: x is [1, 4, 4, 8], expected [T, 4, 5, 8] to match past [2, 4, 5, 8]"
        );
        let y = rec.intermediate("y", [2, 8, 8, 4], DType::F32);
        let error = dup_up(&mut rec, &x, &y, 2, true).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dup_up: y is [2, 8, 8, 4], expected [1, 8, 8, 4] to match x [1, 4, 4, 8]"
        );
    }
}
