//! Access units to an MP4 file whose table of contents comes first.
//!
//! The `mp4` crate writes samples and tables as they come, so its `moov` stands at the end, and it
//! has no box for colour or free metadata. It therefore writes a scratch file; at the end its `moov`
//! is amended as a tree of bytes and written in front of the samples, so that a player or a
//! browser can start before it has the whole file. Memory: one second of coded video, and a few
//! bytes a frame for the tables.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use mp4::{
    AvcConfig, FourCC, MediaConfig, Mp4Config, Mp4Sample, Mp4Writer, TrackConfig, TrackType,
};

use super::boxes::{Mp4Box, outermost, u32_at, u64_at};
use super::encoder::{AccessUnit, ParameterSets};
use super::output::{Staged, scratch_beside};
use super::{FrameRate, Level, metadata, sps};
use crate::error::MediaError;

const TRACK: u32 = 1;

/// Collects the samples of one video track.
pub(super) struct Muxer {
    path: PathBuf,
    writer: Mp4Writer<BufWriter<File>>,
    /// Time units a frame lasts.
    frame_units: u32,
    frames: u64,
}

impl Muxer {
    /// A track of `width` × `height` (even) pixels for the file `path`, in a scratch file beside it.
    pub(super) fn new(
        path: &Path,
        width: u32,
        height: u32,
        fps: FrameRate,
        sets: &ParameterSets,
    ) -> Result<Self, MediaError> {
        let failed = |e| container_failed(path, e);
        let brand = |name: &[u8; 4]| FourCC { value: *name };
        // A frame is a whole number of time units; fine units, because some players round times
        // to the movie's scale. One scale for both, so that no duration is rounded.
        let factor = 10_000_u32.div_ceil(fps.numerator());
        let timescale = fps.numerator() * factor;
        let config = Mp4Config {
            major_brand: brand(b"isom"),
            minor_version: 512,
            compatible_brands: BRANDS.iter().map(brand).collect(),
            timescale,
        };
        let scratch = BufWriter::with_capacity(1 << 16, scratch_beside(path)?);
        let mut writer = Mp4Writer::write_start(scratch, &config).map_err(failed)?;
        writer
            .add_track(&TrackConfig {
                track_type: TrackType::Video,
                timescale,
                language: "und".to_owned(),
                media_conf: MediaConfig::AvcConfig(AvcConfig {
                    width: width as u16,
                    height: height as u16,
                    seq_param_set: sets.sps.clone(),
                    pic_param_set: sets.pps.clone(),
                }),
            })
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            frame_units: fps.denominator() * factor,
            frames: 0,
        })
    }

    /// Appends one frame.
    pub(super) fn push(&mut self, unit: AccessUnit) -> Result<(), MediaError> {
        let sample = Mp4Sample {
            start_time: self.frames * u64::from(self.frame_units),
            duration: self.frame_units,
            rendering_offset: 0,
            is_sync: unit.key,
            bytes: unit.bytes.into(),
        };
        self.frames += 1;
        self.writer
            .write_sample(TRACK, &sample)
            .map_err(|e| container_failed(&self.path, e))
    }

    /// Writes the whole file into `staged` and returns its length in bytes.
    pub(super) fn finish(
        mut self,
        staged: &mut Staged,
        level: Level,
        entries: &[(String, String)],
    ) -> Result<u64, MediaError> {
        let path = self.path;
        self.writer
            .write_end()
            .map_err(|e| container_failed(&path, e))?;
        let scratch = self.writer.into_writer().into_inner();
        let mut scratch = scratch.map_err(|e| MediaError::writing(&path, e.into_error()))?;
        assemble(&mut scratch, staged.file(), level, entries).map_err(|e| match e {
            Problem::Io(e) => MediaError::writing(&path, e),
            Problem::Unexpected(problem) => MediaError::Container { path, problem },
        })
    }
}

/// What the file says it can be read as; avc1 promises H.264, mp41 plain MP4.
const BRANDS: [[u8; 4]; 4] = [*b"isom", *b"iso2", *b"avc1", *b"mp41"];

enum Problem {
    Io(io::Error),
    Unexpected(String),
}

impl From<io::Error> for Problem {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Unexpected(problem)
    }
}

fn assemble(
    scratch: &mut File,
    out: &mut File,
    level: Level,
    entries: &[(String, String)],
) -> Result<u64, Problem> {
    let len = scratch.seek(SeekFrom::End(0))?;
    let spans = outermost(scratch, len)?;
    let span = |name: &[u8; 4]| {
        let found = spans.iter().find(|s| s.name == *name).copied();
        found.ok_or_else(|| format!("the scratch file has no box {}", super::boxes::show(name)))
    };
    let (file_type, data, moov) = (span(b"ftyp")?, span(b"mdat")?, span(b"moov")?);

    let mut bytes = vec![0; (moov.end - moov.payload) as usize];
    scratch.seek(SeekFrom::Start(moov.payload))?;
    scratch.read_exact(&mut bytes)?;
    let mut moov = Mp4Box {
        name: moov.name,
        fields: Vec::new(),
        children: Mp4Box::parse_all(&bytes)?,
    };
    correct(&mut moov)?;
    describe(&mut moov, level)?;
    if !entries.is_empty() {
        moov.children.push(metadata::meta_box(entries));
    }

    // The table of offsets may itself grow by becoming 64 bits wide, hence the second pass.
    let head = file_type.end - file_type.start;
    let offsets = chunk_offsets(&moov)?;
    for _ in 0..2 {
        let shift = (head + moov.size() as u64).wrapping_sub(data.start);
        let shifted: Vec<u64> = offsets.iter().map(|o| o.wrapping_add(shift)).collect();
        set_chunk_offsets(&mut moov, &shifted)?;
    }

    let mut bytes = Vec::with_capacity(moov.size());
    moov.write(&mut bytes);
    scratch.seek(SeekFrom::Start(file_type.start))?;
    io::copy(&mut (&*scratch).take(head), out)?;
    out.write_all(&bytes)?;
    scratch.seek(SeekFrom::Start(data.start))?;
    io::copy(&mut (&*scratch).take(data.end - data.start), out)?;
    Ok(head + bytes.len() as u64 + (data.end - data.start))
}

/// Brings fields that the `mp4` crate 0.14 leaves at odd values to what ISO/IEC 14496-12 asks for.
fn correct(moov: &mut Mp4Box) -> Result<(), String> {
    // The next free track number, the last four bytes.
    let next = field(moov, &[b"mvhd"], 96, 4)?;
    next.copy_from_slice(&(TRACK + 1).to_be_bytes());
    // Enabled, in the movie, in its preview.
    let flags = field(moov, &[b"trak", b"tkhd"], 0, 4)?;
    flags[3] = 7;
    // The volume of a track without sound.
    let volume = field(moov, &[b"trak", b"tkhd"], 36, 2)?;
    volume.fill(0);
    let flags = field(moov, &[b"trak", b"mdia", b"minf", b"vmhd"], 0, 4)?;
    flags[3] = 1;
    Ok(())
}

/// Amends the description of the stream: its level, the rest of a High profile's `avcC`, colour.
fn describe(moov: &mut Mp4Box, level: Level) -> Result<(), String> {
    let path: [&[u8; 4]; 6] = [b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"];
    let avc1 = moov.at_mut(&path).ok_or("the scratch file has no 'avc1'")?;
    let avcc = avc1
        .at_mut(&[b"avcC"])
        .ok_or("the scratch file has no 'avcC'")?;
    // version, profile, constraints, level, length size, number of sets, length (2), the set.
    let [_, profile, _, level_byte, _, _, _, _, set @ ..] = avcc.fields.as_mut_slice() else {
        return Err("the scratch file's 'avcC' is too short".to_owned());
    };
    *level_byte = level.0;
    sps::set_level(set, level);
    if *profile == 100 {
        // 4:2:0, 8 bits of luma, 8 of chroma, no extension sets (ISO/IEC 14496-15, 5.3.3.1.2).
        avcc.fields.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    // BT.709 primaries, transfer and matrix; the last byte's high bit would be full range.
    avc1.children.push(Mp4Box::leaf(
        b"colr",
        [&b"nclx"[..], &[0, 1, 0, 1, 0, 1, 0]].concat(),
    ));
    avc1.children
        .push(Mp4Box::leaf(b"pasp", vec![0, 0, 0, 1, 0, 0, 0, 1]));
    Ok(())
}

fn field<'a>(
    moov: &'a mut Mp4Box,
    path: &[&[u8; 4]],
    at: usize,
    len: usize,
) -> Result<&'a mut [u8], String> {
    moov.at_mut(path)
        .and_then(|b| b.fields.get_mut(at..at + len))
        .ok_or_else(|| format!("the scratch file's {path:?} is not as expected"))
}

const STBL: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];

/// Where each chunk of samples lies in the file.
pub(super) fn chunk_offsets(moov: &Mp4Box) -> Result<Vec<u64>, String> {
    let stbl = moov.at(&STBL).ok_or("it has no sample table")?;
    read_chunk_offsets(stbl)
}

/// See [`chunk_offsets`]; of a given sample table.
pub(super) fn read_chunk_offsets(stbl: &Mp4Box) -> Result<Vec<u64>, String> {
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

fn set_chunk_offsets(moov: &mut Mp4Box, offsets: &[u64]) -> Result<(), String> {
    let stbl = moov
        .at_mut(&STBL)
        .ok_or("the scratch file has no sample table")?;
    let table = stbl
        .children
        .iter_mut()
        .find(|b| b.name == *b"stco" || b.name == *b"co64");
    let table = table.ok_or("the scratch file has no table of chunk offsets")?;
    let narrow: Option<Vec<u32>> = match table.name == *b"stco" {
        true => offsets.iter().map(|&o| u32::try_from(o).ok()).collect(),
        false => None,
    };
    let mut fields = vec![0; 4];
    fields.extend_from_slice(&(offsets.len() as u32).to_be_bytes());
    match narrow {
        Some(narrow) => fields.extend(narrow.iter().flat_map(|o| o.to_be_bytes())),
        None => {
            table.name = *b"co64";
            fields.extend(offsets.iter().flat_map(|o| o.to_be_bytes()));
        }
    }
    table.fields = fields;
    Ok(())
}

fn container_failed(path: &Path, e: mp4::Error) -> MediaError {
    match e {
        mp4::Error::IoError(e) => MediaError::writing(path, e),
        other => MediaError::Container {
            path: path.to_owned(),
            problem: other.to_string(),
        },
    }
}
