//! The sequence parameter set: the few of its fields that a container needs.
//!
//! Source: ITU-T H.264, clause 7.3.2.1.1.

use super::Level;
use super::matrix::Colour;

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) profile: u8,
    pub(super) level: Level,
    /// Pixels shown, after cropping.
    pub(super) width: u32,
    /// Pixels shown, after cropping.
    pub(super) height: u32,
    /// 1 is 4:2:0.
    pub(super) chroma_format: u32,
    /// Bits of luma, 8 to 14.
    pub(super) bit_depth: u32,
    pub(super) reference_frames: u32,
    /// `None` where the stream does not say.
    pub(super) colour: Option<Colour>,
}

/// Position of `level_idc` in a sequence parameter set, its NAL header included.
const LEVEL_BYTE: usize = 3;

/// Profiles whose sets carry a chroma format and bit depths.
const HIGH_PROFILES: [u8; 12] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134];

impl Sps {
    /// Reads a sequence parameter set, NAL header included, no start code. `None` where the bytes
    /// are not one, or its sizes are beyond what any level allows.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let [header, profile, _, level, ..] = *nal else {
            return None;
        };
        if header & 0x1f != 7 {
            return None;
        }
        let payload = without_emulation_prevention(&nal[4..]);
        let mut bits = Bits::new(&payload);
        bits.ue()?; // seq_parameter_set_id
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if HIGH_PROFILES.contains(&profile) {
            chroma_format = bits.ue()?;
            if chroma_format == 3 {
                bits.flag()?; // separate_colour_plane_flag
            }
            bit_depth = 8 + bits.ue()?.min(6);
            bits.ue()?; // bit_depth_chroma_minus8
            bits.flag()?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                skip_scaling_matrix(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        bits.ue()?; // log2_max_frame_num_minus4
        match bits.ue()? {
            0 => {
                bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
            }
            1 => {
                bits.flag()?;
                bits.se()?;
                bits.se()?;
                for _ in 0..bits.ue()?.min(255) {
                    bits.se()?;
                }
            }
            _ => {}
        }
        let reference_frames = bits.ue()?;
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let columns = bits.ue()?.checked_add(1)?;
        let map_units = bits.ue()?.checked_add(1)?;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        // Level 6.2 ends at 16,880 pixels a side.
        if columns > 1_055 || map_units > 1_055 || reference_frames > 16 || chroma_format > 3 {
            return None;
        }
        let fields = if frames_only { 1 } else { 2 };
        let (mut width, mut height) = (columns * 16, map_units * 16 * fields);
        if bits.flag()? {
            let unit_x = if chroma_format == 1 || chroma_format == 2 {
                2
            } else {
                1
            };
            let unit_y = fields * if chroma_format == 1 { 2 } else { 1 };
            let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
            width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
            height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
        }
        // What is missing behind the sizes leaves the colours unsaid.
        let colour = colour(&mut bits).flatten();
        (width > 0 && height > 0).then_some(Self {
            profile,
            level: Level(level),
            width,
            height,
            chroma_format,
            bit_depth,
            reference_frames,
            colour,
        })
    }
}

/// The colours of the video usability information, if present.
///
/// Source: ITU-T H.264, clause E.1.1.
fn colour(bits: &mut Bits<'_>) -> Option<Option<Colour>> {
    if !bits.flag()? {
        return Some(None);
    }
    if bits.flag()? {
        const EXTENDED: u32 = 255;
        if bits.take(8)? == EXTENDED {
            bits.take(32)?;
        }
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if !bits.flag()? {
        return Some(None);
    }
    bits.take(3)?; // video_format
    let full_range = bits.flag()?;
    let matrix = match bits.flag()? {
        false => None,
        true => {
            bits.take(16)?; // colour_primaries, transfer_characteristics
            Some(bits.take(8)?)
        }
    };
    Some(Some(Colour { matrix, full_range }))
}

/// Writes `level` over the level of a sequence parameter set.
pub(super) fn set_level(nal: &mut [u8], level: Level) {
    if let Some(byte) = nal.get_mut(LEVEL_BYTE) {
        *byte = level.0;
    }
}

/// In a NAL unit 00 00 03 stands for 00 00, so that no start code can appear inside.
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

fn skip_scaling_matrix(bits: &mut Bits<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8i32, 8i32);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.wrapping_add(bits.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// Bits, most significant first; every read is `None` beyond the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Reads an unsigned number of `count` bits, u(n).
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Unsigned exponential-Golomb code, ue(v).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let mut value = 1u64;
        for _ in 0..zeros {
            value = value << 1 | u64::from(self.flag()?);
        }
        u32::try_from(value - 1).ok()
    }

    /// Signed exponential-Golomb code, se(v).
    fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { magnitude } else { -magnitude }).ok()
    }
}
