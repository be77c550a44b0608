//! The layers of the decoder and the encoder, under the checkpoint's own names.

use crate::error::Error;
use crate::nn::Weights;
use crate::ops::attention::{AttentionShape, Bias, Heads, attention};
use crate::ops::channel_norm::channel_norm;
use crate::ops::conv3d::{Conv, conv3d};
use crate::ops::frames::push_frames;
use crate::ops::matmul::Epilogue;
use crate::record::{Recorder, Tensor};
use crate::tensor::DType;

/// Frames that a causal convolution over three frames remembers.
const REMEMBERED: usize = 2;

/// A convolution's `bias` and what else its epilogue adds.
fn epilogue<'t>(bias: &'t Tensor, residual: Option<&'t Tensor>) -> Epilogue<'t> {
    match residual {
        Some(residual) => Epilogue::BiasResidual(bias, residual),
        None => Epilogue::Bias(bias),
    }
}

/// `WanCausalConv3d` with a kernel of 3 frames: its history is the state `NAME.past`, of zeros at
/// the start of a video, into which the last frames of `x` enter.
///
/// `x` is [T, H, W, C]; the result [`folds` T, H, W, `features` / `folds`].
fn causal_conv(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
    [kh, kw]: [usize; 2],
    folds: usize,
    residual: Option<&Tensor>,
) -> Result<Tensor, Error> {
    let [_, height, width, channels] = x.dims("causal convolution", "x")?;
    let [weight, bias] = weights.convolution(rec, [features, channels, 3, kh, kw])?;
    let past = rec.state(
        &weights.name("past"),
        [REMEMBERED, height, width, channels],
        DType::F32,
    )?;
    let conv = Conv {
        folds,
        ..Conv::causal(&weight, &past)
    };
    let y = conv3d(rec, x, &conv, epilogue(&bias, residual))?;
    push_frames(rec, &past, x)?;
    Ok(y)
}

/// `WanCausalConv3d` over three frames, lines and columns.
pub(super) fn conv_3x3x3(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
    residual: Option<&Tensor>,
) -> Result<Tensor, Error> {
    causal_conv(rec, weights, x, features, [3, 3], 1, residual)
}

/// `WanCausalConv3d` of one pixel: a linear layer.
pub(super) fn conv_1x1x1(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let [weight, bias] = weights.convolution(rec, [features, channels, 1, 1, 1])?;
    Ok(conv3d(rec, x, &Conv::new(&weight), Epilogue::Bias(&bias))?)
}

/// `WanResample` that upsamples: with `temporal`, frames out of channels (except for the first
/// frame of a video, which stays one), then every pixel as four under a convolution.
pub(super) fn upsample(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
    temporal: bool,
    first: bool,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let mut x = *x;
    if temporal && !first {
        // The reference starts this history with zeros at the second latent frame: the first one
        // never enters it.
        x = causal_conv(
            rec,
            &weights.at("time_conv"),
            &x,
            2 * channels,
            [1, 1],
            2,
            None,
        )?;
    }
    let conv = weights.at("resample.1");
    let [weight, bias] = conv.convolution(rec, [features, channels, 3, 3])?;
    let conv = Conv {
        upsample: true,
        ..Conv::new(&weight)
    };
    Ok(conv3d(rec, &x, &conv, Epilogue::Bias(&bias))?)
}

/// `WanResample` that downsamples: a convolution at every second line and column, then with
/// `temporal` one at every second frame. The first frame of a video stays one, and is remembered.
pub(super) fn downsample(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    temporal: bool,
    first: bool,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let conv = weights.at("resample.1");
    let [weight, bias] = conv.convolution(rec, [channels, channels, 3, 3])?;
    let conv = Conv {
        strides: [1, 2],
        ..Conv::new(&weight)
    };
    let x = conv3d(rec, x, &conv, Epilogue::Bias(&bias))?;
    if !temporal {
        return Ok(x);
    }
    let weights = weights.at("time_conv");
    let [_, height, width, _] = x.dims("downsampling", "x")?;
    let past = rec.state(
        &weights.name("past"),
        [1, height, width, channels],
        DType::F32,
    )?;
    let y = if first {
        x
    } else {
        let [weight, bias] = weights.convolution(rec, [channels, channels, 3, 1, 1])?;
        let conv = Conv {
            strides: [2, 1],
            ..Conv::causal(&weight, &past)
        };
        conv3d(rec, &x, &conv, Epilogue::Bias(&bias))?
    };
    push_frames(rec, &past, &x)?;
    Ok(y)
}

/// `WanRMS_norm` of a video, then SiLU.
pub(super) fn norm_silu(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
) -> Result<Tensor, Error> {
    let gain = weights.vector(rec, "gamma", [x.shape.last_dim(), 1, 1, 1])?;
    Ok(channel_norm(rec, x, &gain, true)?)
}

/// `WanResidualBlock`: two normalised convolutions beside a shortcut.
pub(super) fn residual_block(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
    features: usize,
) -> Result<Tensor, Error> {
    let shortcut = if x.shape.last_dim() == features {
        *x
    } else {
        conv_1x1x1(rec, &weights.at("conv_shortcut"), x, features)?
    };
    let y = norm_silu(rec, &weights.at("norm1"), x)?;
    let y = conv_3x3x3(rec, &weights.at("conv1"), &y, features, None)?;
    let y = norm_silu(rec, &weights.at("norm2"), &y)?;
    conv_3x3x3(rec, &weights.at("conv2"), &y, features, Some(&shortcut))
}

/// `WanAttentionBlock`: attention with one head over the pixels of each frame, beside a shortcut.
pub(super) fn attention_block(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
) -> Result<Tensor, Error> {
    let [frames, height, width, channels] = x.dims("attention block", "x")?;
    let gain = weights.vector(rec, "norm.gamma", [channels, 1, 1])?;
    let normed = channel_norm(rec, x, &gain, false)?;
    let mixed = match frames {
        1 => frame_attention(rec, weights, &normed)?,
        // The keys of a frame are a tensor of their own, so that they are one binding.
        _ => {
            let shape = [frames, height, width, channels];
            let all = rec.intermediate("attention block", shape, rec.activations());
            let frame = rec.intermediate("frame", [1, height, width, channels], normed.dtype);
            for t in 0..frames as u64 {
                rec.copy((&normed, t * frame.bytes()), (&frame, 0), frame.bytes());
                let mixed = frame_attention(rec, weights, &frame)?;
                rec.copy((&mixed, 0), (&all, t * mixed.bytes()), mixed.bytes());
            }
            all
        }
    };
    let proj = weights.at("proj");
    let [weight, bias] = proj.convolution(rec, [channels, channels, 1, 1])?;
    Ok(conv3d(
        rec,
        &mixed,
        &Conv::new(&weight),
        Epilogue::BiasResidual(&bias, x),
    )?)
}

/// q, k and v of one frame [1, H, W, C], and the attention of its pixels to each other.
fn frame_attention(
    rec: &mut Recorder<'_>,
    weights: &Weights<'_>,
    x: &Tensor,
) -> Result<Tensor, Error> {
    let channels = x.shape.last_dim();
    let to_qkv = weights.at("to_qkv");
    let [weight, bias] = to_qkv.convolution(rec, [3 * channels, channels, 1, 1])?;
    let qkv = conv3d(rec, x, &Conv::new(&weight), Epilogue::Bias(&bias))?;
    let [q, k, v] = [0, channels, 2 * channels].map(|first| Heads {
        tensor: &qkv,
        first,
    });
    let scale = 1.0 / (channels as f32).sqrt();
    let shape = AttentionShape {
        heads: 1,
        head_size: channels,
        scale,
    };
    let mixed = attention(rec, q, k, v, shape, Bias::None)?;
    Ok(Tensor {
        shape: x.shape,
        ..mixed
    })
}
