//! Wan's autoencoders, 2.1 and 2.2 (diffusers' `AutoencoderKLWan`): decoder and encoder.
//!
//! The network is causal in time: a convolution over three frames sees the frame it is at and the
//! two before. What it remembers of a chunk of frames are two frames for each such convolution, so
//! a video of any length is decoded chunk by chunk in the same memory, and exactly.
//!
//! ```text
//! latents [C, T, h, w] ─ denormalise ─ post_quant_conv ─ conv_in ─ mid (attention) ─ level 0 ─┐ head
//! ┌───────────────────────────────────────────────────────────────────────────────── split ───┘
//! └─ upsample ─ level 1 ─ upsample ─ … ─ norm_out ─ conv_out ─ patches to pixels ─ bytes        tail
//! ```
//!
//! Only the head looks at whole frames: its attention. Where the tail does not fit, it works in
//! bands of lines: the head's features of all frames go to the host, its weights and caches leave the
//! device before the tail's come, and band after band goes through the tail, with a halo as wide as
//! the convolutions reach, which is cropped away level by level.
//!
//! Chunks and bands serve every [`Architecture`]: this one, and the tiny decoders' too. The encoder
//! is the same the other way round: bands first, then whole frames.

mod architecture;
mod bands;
mod bound_passes;
mod decode_plan;
mod decoder;
mod encoder;
mod frame_bytes;

mod layout;
mod passes;
mod scratch;
pub mod tiny;
mod wan;

pub use architecture::{Architecture, Features};
pub use bands::Crop;
pub use decode_plan::{DecodePlan, decode_layout};
pub use decoder::{Decoded, VaeDecoder};
pub use encoder::{EncodeLayout, EncodeOptions, EncodePlan, ReadFrame, VaeEncoder, encode_layout};
pub use frame_bytes::FrameBytes;
pub use layout::{Bands, DecodeLayout, DecodeOptions};
pub use wan::{EncoderNetwork, Network, encoder_halo, halos};
