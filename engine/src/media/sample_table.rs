//! Where each frame of a video track lies in its file, and what the track says about itself.
//!
//! Source: ISO/IEC 14496-12, clauses 8.4 to 8.7; ISO/IEC 14496-15, clause 5.3.3.

use std::path::Path;

use super::FrameRate;
use super::boxes::{Mp4Box, show, u16_at, u32_at, u64_at};
use super::frame_rate::gcd;
use super::matrix::Conversion;
use super::reader::VideoInfo;
use super::sps::Sps;
use crate::error::MediaError;

/// One coded frame in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
}

/// The first video track.
pub(super) struct SampleTable {
    pub(super) info: VideoInfo,
    pub(super) sps: Sps,
    pub(super) conversion: Conversion,
    /// Sequence, then picture parameter sets; no start codes.
    pub(super) parameter_sets: Vec<Vec<u8>>,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub(super) length_size: usize,
    pub(super) samples: Vec<Sample>,
}

impl SampleTable {
    /// Reads the table of the first video track in `moov`, of the file `path` of `len` bytes.
    pub(super) fn read(path: &Path, moov: &Mp4Box, len: u64) -> Result<Self, MediaError> {
        let corrupt = |problem: String| MediaError::Corrupt {
            path: path.to_owned(),
            problem,
        };
        let missing = |what: &str| corrupt(format!("its video track has no usable {what}"));
        let is_video = |mdia: &&Mp4Box| {
            mdia.child(b"hdlr")
                .is_some_and(|h| h.fields.get(8..12) == Some(b"vide"))
        };
        let mdia = moov
            .children
            .iter()
            .filter(|b| b.name == *b"trak")
            .filter_map(|trak| trak.child(b"mdia"))
            .find(is_video)
            .ok_or_else(|| MediaError::Unsupported {
                path: path.to_owned(),
                found: "no video track".to_owned(),
            })?;
        let stbl = mdia
            .at(&[b"minf", b"stbl"])
            .ok_or_else(|| missing("sample table"))?;
        let entry = stbl
            .child(b"stsd")
            .and_then(|stsd| stsd.children.first())
            .ok_or_else(|| missing("sample description"))?;
        if entry.name != *b"avc1" {
            return Err(MediaError::Unsupported {
                path: path.to_owned(),
                found: format!("a track of {}", show(&entry.name)),
            });
        }
        let avcc = entry
            .child(b"avcC")
            .and_then(|avcc| parameter_sets(&avcc.fields));
        let (length_size, parameter_sets) = avcc.ok_or_else(|| missing("'avcC'"))?;
        let sps = parameter_sets.first().and_then(|set| Sps::parse(set));
        let sps = sps.ok_or_else(|| missing("sequence parameter set"))?;
        let (width, height) = u16_at(&entry.fields, 24)
            .zip(u16_at(&entry.fields, 26))
            .map(|(w, h)| (u32::from(w), u32::from(h)))
            .ok_or_else(|| missing("size"))?;
        if (width, height) != (sps.width, sps.height) {
            return Err(corrupt(format!(
                "its container says {width}x{height}, its H.264 stream {}x{}",
                sps.width, sps.height
            )));
        }

        let sizes = sample_sizes(stbl, len).map_err(corrupt)?;
        let samples = locate(stbl, &sizes).map_err(corrupt)?;
        if let Some((number, sample)) = (0u64..).zip(&samples).find(|(_, s)| {
            s.offset
                .checked_add(u64::from(s.size))
                .is_none_or(|end| end > len)
        }) {
            return Err(MediaError::Truncated {
                path: path.to_owned(),
                problem: format!(
                    "frame {number} lies at byte {} and has {} bytes, the file ends at byte {len}",
                    sample.offset, sample.size
                ),
            });
        }
        let fps = frame_rate(mdia, stbl, samples.len() as u64).ok_or_else(|| missing("timing"))?;
        let key_frames =
            key_frames(stbl, samples.len() as u64).ok_or_else(|| missing("table of key frames"))?;
        let frames = samples.len() as u64;
        let conversion = Conversion::new(sps.colour, entry, [width, height]);
        let conversion = conversion.map_err(|matrix| MediaError::Unsupported {
            path: path.to_owned(),
            found: format!("colours of the matrix {matrix}"),
        })?;
        Ok(Self {
            info: VideoInfo {
                width,
                height,
                fps,
                frames,
                duration: fps.duration(frames),
                profile: sps.profile,
                level: sps.level,
                key_frames,
            },
            sps,
            conversion,
            parameter_sets,
            length_size,
            samples,
        })
    }
}

/// The length size and the parameter sets of an `avcC`.
fn parameter_sets(avcc: &[u8]) -> Option<(usize, Vec<Vec<u8>>)> {
    let length_size = usize::from(avcc.get(4)? & 3) + 1;
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let count = avcc.get(at)? & mask;
        at += 1;
        for _ in 0..count {
            let len = usize::from(u16_at(avcc, at)?);
            sets.push(avcc.get(at + 2..at + 2 + len)?.to_vec());
            at += 2 + len;
        }
    }
    Some((length_size, sets))
}

fn sample_sizes(stbl: &Mp4Box, len: u64) -> Result<Vec<u32>, String> {
    let stsz = stbl.child(b"stsz").map(|b| b.fields.as_slice());
    let (Some(stsz), Some(all), Some(count)) = (
        stsz,
        stsz.and_then(|t| u32_at(t, 4)),
        stsz.and_then(|t| u32_at(t, 8)),
    ) else {
        return Err("its video track has no table of frame sizes".to_owned());
    };
    if count == 0 {
        return Err("its video track has no frames".to_owned());
    }
    if all > 0 {
        if u64::from(all) * u64::from(count) > len {
            return Err(format!(
                "it claims {count} frames of {all} bytes in a file of {len} bytes"
            ));
        }
        return Ok(vec![all; count as usize]);
    }
    let table = stsz.get(12..).unwrap_or_default();
    if table.len() / 4 < count as usize {
        return Err(format!(
            "its table of frame sizes claims {count} entries where {} are present",
            table.len() / 4
        ));
    }
    Ok((0..count as usize)
        .filter_map(|i| u32_at(table, i * 4))
        .collect())
}

/// Where each chunk of samples lies in the file.
pub(super) fn chunk_offsets(stbl: &Mp4Box) -> Result<Vec<u64>, String> {
    let (table, width) = match (stbl.child(b"stco"), stbl.child(b"co64")) {
        (Some(table), _) => (&table.fields, 4),
        (None, Some(table)) => (&table.fields, 8),
        (None, None) => return Err("it has no table of chunk offsets".to_owned()),
    };
    let count = u32_at(table, 4).ok_or("its table of chunk offsets is cut short")? as usize;
    let entries = table.get(8..).unwrap_or_default();
    if entries.len() / width < count {
        return Err(format!(
            "its table of chunk offsets claims {count} entries where {} are present",
            entries.len() / width
        ));
    }
    let read = |i: usize| match width {
        4 => u32_at(entries, i * 4).map(u64::from),
        _ => u64_at(entries, i * 8),
    };
    Ok((0..count).filter_map(read).collect())
}

/// Samples lie in chunks, one behind the other; runs of chunks have the same number of samples.
fn locate(stbl: &Mp4Box, sizes: &[u32]) -> Result<Vec<Sample>, String> {
    let chunks = chunk_offsets(stbl)?;
    let stsc = stbl
        .child(b"stsc")
        .map(|b| b.fields.as_slice())
        .unwrap_or_default();
    let runs: Vec<(u32, u32)> = stsc
        .get(8..)
        .unwrap_or_default()
        .chunks_exact(12)
        .filter_map(|run| u32_at(run, 0).zip(u32_at(run, 4)))
        .collect();
    let mut samples = Vec::with_capacity(sizes.len());
    let mut sizes = sizes.iter();
    let mut runs = runs.iter().peekable();
    let mut per_chunk = 0;
    for (number, &start) in (1u32..).zip(&chunks) {
        while let Some((_, samples)) = runs.next_if(|(first, _)| *first <= number) {
            per_chunk = *samples;
        }
        let mut offset = start;
        for &size in sizes.by_ref().take(per_chunk as usize) {
            samples.push(Sample { offset, size });
            offset = offset.saturating_add(u64::from(size));
        }
    }
    match sizes.len() {
        0 => Ok(samples),
        left => Err(format!(
            "its chunks hold {} frames, {left} fewer than it says",
            samples.len()
        )),
    }
}

fn frame_rate(mdia: &Mp4Box, stbl: &Mp4Box, frames: u64) -> Option<FrameRate> {
    let mdhd = &mdia.child(b"mdhd")?.fields;
    let timescale = match mdhd.first()? {
        0 => u32_at(mdhd, 12)?,
        _ => u32_at(mdhd, 20)?,
    };
    let stts = stbl.child(b"stts")?.fields.get(8..)?;
    let (mut counted, mut units) = (0u64, 0u64);
    for run in stts.chunks_exact(8) {
        let (count, delta) = (u64::from(u32_at(run, 0)?), u64::from(u32_at(run, 4)?));
        counted = counted.checked_add(count)?;
        units = units.checked_add(count.checked_mul(delta)?)?;
    }
    if counted != frames || units == 0 {
        return None;
    }
    // frames · timescale / units, reduced; a rate that is no small fraction is rounded.
    let exact = || {
        let one = units.is_multiple_of(frames).then(|| units / frames)?;
        let one = u32::try_from(one).ok()?;
        let divisor = gcd(timescale, one);
        FrameRate::new(timescale.checked_div(divisor)?, one.checked_div(divisor)?).ok()
    };
    exact().or_else(|| FrameRate::from_hz(frames as f64 * f64::from(timescale) / units as f64).ok())
}

/// Without a table every frame is a key frame.
fn key_frames(stbl: &Mp4Box, frames: u64) -> Option<Vec<u64>> {
    let Some(stss) = stbl.child(b"stss") else {
        return Some((0..frames).collect());
    };
    let numbers = stss.fields.get(8..)?.chunks_exact(4);
    numbers
        .map(|n| {
            u64::from(u32_at(n, 0)?)
                .checked_sub(1)
                .filter(|&n| n < frames)
        })
        .collect()
}
