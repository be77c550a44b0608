//! Wan's autoencoders, 2.1 and 2.2 (diffusers' `AutoencoderKLWan`): decoder and encoder.
//!
//! The network is causal in time: a convolution over three frames sees the frame it is at and the
//! two before. The state between two chunks is two frames for each such convolution, so a video
//! of any length is decoded chunk by chunk, exactly and in constant memory.
//!
//! ```text
//! latents [C, T, h, w] ─ denormalise ─ post_quant_conv ─ conv_in ─ mid (attention) ─ level 0 ─┐ head
//! ┌───────────────────────────────────────────────────────────────────────────────── split ───┘
//! └─ upsample ─ level 1 ─ upsample ─ … ─ norm_out ─ conv_out ─ patches to pixels ─ bytes        tail
//! ```
//!
//! Only the head needs whole frames, because of its attention. If the tail does not fit, it runs in
//! bands of lines: the head's features of all frames move to the host, the head's weights and caches are
//! freed before the tail's are made, and the tail processes one band after the other, with a halo as
//! wide as the convolutions reach, which is cropped level by level.
//!
//! Chunks and bands serve every [`Architecture`], including the tiny decoders. The encoder works the
//! other way round: bands first, then whole frames.

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
