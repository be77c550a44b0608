//! The table of contents of a file: its `moov`.
//!
//! The boxes are those of the `mp4` crate, filled field by field and written by it. What it has no
//! fields for is added to the tree as boxes: colour and the shape of pixels in `avc1`, the end of a
//! High profile's `avcC`. Sources: ISO/IEC 14496-12, clause 8; ISO/IEC 14496-15, clause 5.3.3.
//!
//! No track has an edit list: the encoder makes no frames that are shown in another order than they
//! are coded, so that every track starts at time 0 of its own accord, and players ask for an edit
//! list only where one does not (frames out of order; the delay of an audio encoder).

use mp4::{FourCC, FtypBox, MoovBox, WriteBox};

use super::boxes::Mp4Box;
use super::mux::Sample;
use super::{Level, sps};

/// What the file says it can be read as; avc1 promises H.264, mp41 plain MP4.
const BRANDS: [&[u8; 4]; 4] = [b"isom", b"iso2", b"avc1", b"mp41"];

/// A track that is on, part of the movie and of its preview.
const SHOWN: u32 = 7;

/// Appends the `ftyp` of a file.
pub(super) fn file_type(out: &mut Vec<u8>) -> Result<(), String> {
    let brand = |name: &[u8; 4]| FourCC { value: *name };
    let ftyp = FtypBox {
        major_brand: brand(BRANDS[0]),
        minor_version: 512,
        compatible_brands: BRANDS.into_iter().map(brand).collect(),
    };
    ftyp.write_box(out).map(drop).map_err(|e| e.to_string())
}

/// An H.264 stream of one size.
#[derive(Debug, Clone)]
pub(super) struct VideoTrack {
    pub(super) width: u16,
    pub(super) height: u16,
    /// The parameter sets, NAL headers included, no start codes.
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
    /// What a player must be able to do; it replaces the level in the parameter set.
    pub(super) level: Level,
}

/// Samples that lie one behind the other.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Of its first byte behind the first byte of all samples.
    start: u64,
    samples: u32,
    duration: u64,
}

/// One track and where its samples lie.
#[derive(Debug)]
pub(super) struct Track {
    /// Units a second.
    timescale: u32,
    pub(super) video: VideoTrack,
    sizes: Vec<u32>,
    /// Runs of samples of one duration: how many, how long each.
    durations: Vec<(u32, u32)>,
    /// Numbers of the key samples, from 1.
    keys: Vec<u32>,
    chunks: Vec<Chunk>,
}

impl Track {
    pub(super) fn new(timescale: u32, video: VideoTrack) -> Self {
        Self {
            timescale,
            video,
            sizes: Vec::new(),
            durations: Vec::new(),
            keys: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Counts a sample that lies at `start`; `follows` where the bytes in front of it are this
    /// track's. A chunk lasts a second.
    pub(super) fn push(&mut self, sample: &Sample<'_>, start: u64, follows: bool) {
        self.sizes.push(sample.bytes.len() as u32);
        if sample.key {
            self.keys.push(self.sizes.len() as u32);
        }
        match self.durations.last_mut() {
            Some((count, duration)) if *duration == sample.duration => *count += 1,
            _ => self.durations.push((1, sample.duration)),
        }
        let second = u64::from(self.timescale);
        match self.chunks.last_mut() {
            Some(chunk) if follows && chunk.duration < second => {
                chunk.samples += 1;
                chunk.duration += u64::from(sample.duration);
            }
            _ => self.chunks.push(Chunk {
                start,
                samples: 1,
                duration: u64::from(sample.duration),
            }),
        }
    }

    /// Units of its time scale.
    fn duration(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.duration).sum()
    }

    /// Units of another time scale, rounded to the nearest.
    fn duration_in(&self, timescale: u32) -> u64 {
        let (ours, theirs) = (u128::from(self.timescale), u128::from(timescale));
        let units = (u128::from(self.duration()) * theirs + ours / 2) / ours.max(1);
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}

/// The tracks of a file whose samples begin at byte `base`.
pub(super) struct Movie<'a> {
    pub(super) tracks: &'a [Track],
    pub(super) base: u64,
    /// Whether offsets have 64 bits.
    pub(super) wide: bool,
}

impl Movie<'_> {
    /// The `moov`, without metadata.
    pub(super) fn moov(&self) -> Result<Mp4Box, String> {
        // One scale for the movie and its first track, so that no duration of it is rounded.
        let timescale = self.tracks.first().map_or(1000, |track| track.timescale);
        let durations = self.tracks.iter().map(|t| t.duration_in(timescale));
        let duration = durations.max().unwrap_or(0);
        let mut moov = MoovBox::default();
        moov.mvhd.version = version(duration);
        moov.mvhd.timescale = timescale;
        moov.mvhd.duration = duration;
        moov.mvhd.next_track_id = self.tracks.len() as u32 + 1;
        moov.traks.resize_with(self.tracks.len(), Default::default);
        for ((id, track), trak) in (1..).zip(self.tracks).zip(&mut moov.traks) {
            let duration = track.duration_in(timescale);
            trak.tkhd.version = version(duration);
            trak.tkhd.flags = SHOWN;
            trak.tkhd.track_id = id;
            trak.tkhd.duration = duration;
            trak.tkhd.volume = mp4::FixedPointU8::new(0);
            trak.tkhd.set_width(track.video.width);
            trak.tkhd.set_height(track.video.height);
            let mdia = &mut trak.mdia;
            mdia.mdhd.version = version(track.duration());
            mdia.mdhd.timescale = track.timescale;
            mdia.mdhd.duration = track.duration();
            mdia.hdlr.handler_type = FourCC { value: *b"vide" };
            mdia.hdlr.name = "VideoHandler".to_owned();
            // Its flags are 1 by definition.
            mdia.minf.vmhd.insert(Default::default()).flags = 1;
            let stbl = &mut mdia.minf.stbl;
            let avc1 = stbl.stsd.avc1.insert(Default::default());
            avc1.data_reference_index = 1;
            avc1.width = track.video.width;
            avc1.height = track.video.height;
            let mut set = track.video.sps.clone();
            sps::set_level(&mut set, track.video.level);
            let [_, profile, constraints, ..] = *set else {
                return Err("the encoder's parameter set is cut short".to_owned());
            };
            avc1.avcc.configuration_version = 1;
            avc1.avcc.avc_profile_indication = profile;
            avc1.avcc.profile_compatibility = constraints;
            avc1.avcc.avc_level_indication = track.video.level.0;
            avc1.avcc.length_size_minus_one = 3;
            avc1.avcc.sequence_parameter_sets = vec![set.as_slice().into()];
            avc1.avcc.picture_parameter_sets = vec![track.video.pps.as_slice().into()];
            for &(count, duration) in &track.durations {
                let entries = &mut stbl.stts.entries;
                entries.push(Default::default());
                if let Some(entry) = entries.last_mut() {
                    (entry.sample_count, entry.sample_delta) = (count, duration);
                }
            }
            stbl.stss.insert(Default::default()).entries = track.keys.clone();
            for (number, samples) in chunk_runs(&track.chunks) {
                let entries = &mut stbl.stsc.entries;
                entries.push(Default::default());
                if let Some(entry) = entries.last_mut() {
                    entry.first_chunk = number;
                    entry.samples_per_chunk = samples;
                    entry.sample_description_index = 1;
                }
            }
            stbl.stsz.sample_count = track.sizes.len() as u32;
            stbl.stsz.sample_sizes = track.sizes.clone();
            let offsets = track.chunks.iter().map(|chunk| self.base + chunk.start);
            match self.wide {
                true => stbl.co64.insert(Default::default()).entries = offsets.collect(),
                false => {
                    stbl.stco.insert(Default::default()).entries =
                        offsets.map(|offset| offset as u32).collect();
                }
            }
        }
        let mut bytes = Vec::new();
        moov.write_box(&mut bytes).map_err(|e| e.to_string())?;
        let mut boxes = Mp4Box::parse_all(&bytes)?;
        let mut moov = boxes.pop().ok_or("the 'moov' was not written")?;
        let traks = moov.children.iter_mut().filter(|b| b.name == *b"trak");
        for trak in traks {
            describe(trak)?;
        }
        Ok(moov)
    }
}

/// Times beyond 32 bits need version 1 of their box.
fn version(duration: u64) -> u8 {
    u8::from(duration > u64::from(u32::MAX))
}

/// Runs of chunks with the same number of samples: the first chunk's number, from 1, and that number.
fn chunk_runs(chunks: &[Chunk]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for (number, chunk) in (1..).zip(chunks) {
        if runs
            .last()
            .is_none_or(|&(_, samples)| samples != chunk.samples)
        {
            runs.push((number, chunk.samples));
        }
    }
    runs
}

/// Adds what the `mp4` crate has no fields for.
fn describe(trak: &mut Mp4Box) -> Result<(), String> {
    let path: [&[u8; 4]; 5] = [b"mdia", b"minf", b"stbl", b"stsd", b"avc1"];
    let avc1 = trak.at_mut(&path).ok_or("the 'avc1' was not written")?;
    let avcc = avc1
        .at_mut(&[b"avcC"])
        .ok_or("the 'avcC' was not written")?;
    if avcc.fields.get(1) == Some(&100) {
        // 4:2:0, 8 bits of luma, 8 of chroma, no extension sets (ISO/IEC 14496-15, 5.3.3.1.2).
        avcc.fields.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    // BT.709 primaries, transfer and matrix; the last byte's high bit would be full range.
    let colour = [&b"nclx"[..], &[0, 1, 0, 1, 0, 1, 0]].concat();
    avc1.children.push(Mp4Box::leaf(b"colr", colour));
    let square = vec![0, 0, 0, 1, 0, 0, 0, 1];
    avc1.children.push(Mp4Box::leaf(b"pasp", square));
    Ok(())
}
