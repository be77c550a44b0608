//! Coded samples to an MP4 file whose table of contents comes first.
//!
//! ```text
//! samples ─► spool: their bytes, in the order they came        ─┐
//!        └─► tracks: sizes, durations, key frames, chunks ─ movie ─► ftyp moov mdat
//! ```
//!
//! A player or a browser can start before it has the whole file, so `moov` stands in front of the
//! samples; as it is known only when the last of them is, they wait in a spool: in memory, and beyond
//! 64 MiB in a nameless file that vanishes with the process. Memory: the spool, and a few bytes a
//! sample for the tables.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

use super::boxes::Mp4Box;
use super::metadata;
use super::movie::{Movie, Track, VideoTrack, file_type};
use crate::error::MediaError;
use crate::staged::folder_of;

/// Bytes of samples kept in memory: minutes of video as models make it.
const IN_MEMORY: usize = 64 << 20;

/// One coded sample of a track.
pub(super) struct Sample<'a> {
    pub(super) bytes: &'a [u8],
    /// Units of the track's time scale.
    pub(super) duration: u32,
    /// Whether decoding can start here.
    pub(super) key: bool,
}

/// Collects the samples of a file's tracks.
pub(super) struct Muxer {
    path: PathBuf,
    spool: SpooledTempFile,
    /// Bytes in the spool.
    len: u64,
    tracks: Vec<Track>,
    /// The track whose samples the spool ends in.
    last: Option<usize>,
}

impl Muxer {
    /// No tracks yet; `path` is the file's name in errors and the place of the spool.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            spool: SpooledTempFile::new_in(IN_MEMORY, folder_of(path)),
            len: 0,
            tracks: Vec::new(),
            last: None,
        }
    }

    /// Adds a track of `timescale` units a second and returns its number for [`push`](Self::push).
    pub(super) fn add_video(&mut self, timescale: u32, video: VideoTrack) -> usize {
        self.tracks.push(Track::new(timescale, video));
        self.tracks.len() - 1
    }

    /// What describes a video track, to be amended by what only the last sample decides.
    pub(super) fn video(&mut self, track: usize) -> &mut VideoTrack {
        &mut self.tracks[track].video
    }

    /// Appends a sample. Samples of several tracks lie in the file in the order they are pushed, so
    /// that whoever pushes them in the order of their times interleaves the tracks.
    pub(super) fn push(&mut self, track: usize, sample: &Sample<'_>) -> Result<(), MediaError> {
        self.spool
            .write_all(sample.bytes)
            .map_err(|e| MediaError::writing(&self.path, e))?;
        let follows = self.last.replace(track) == Some(track);
        self.tracks[track].push(sample, self.len, follows);
        self.len += sample.bytes.len() as u64;
        Ok(())
    }

    /// Writes the whole file and returns its length in bytes.
    pub(super) fn finish(
        self,
        out: &mut impl Write,
        entries: &[(String, String)],
    ) -> Result<u64, MediaError> {
        let Self {
            path,
            mut spool,
            len,
            tracks,
            ..
        } = self;
        let metadata = metadata::boxes(entries);
        let head = head(&tracks, len, &metadata).map_err(|problem| MediaError::Container {
            path: path.clone(),
            problem,
        })?;
        let mut written = || -> io::Result<u64> {
            out.write_all(&head)?;
            spool.seek(SeekFrom::Start(0))?;
            let copied = io::copy(&mut spool, out)?;
            out.flush()?;
            Ok(head.len() as u64 + copied)
        };
        written().map_err(|e| MediaError::writing(&path, e))
    }
}

/// Everything in front of the samples: `ftyp`, `moov` and the header of an `mdat` of `len` bytes.
fn head(tracks: &[Track], len: u64, metadata: &[Mp4Box]) -> Result<Vec<u8>, String> {
    let mut head = Vec::new();
    file_type(&mut head)?;
    let movie = |base, wide| -> Result<Mp4Box, String> {
        let mut moov = Movie { tracks, base, wide }.moov()?;
        moov.children.extend(metadata.iter().cloned());
        Ok(moov)
    };
    let mdat = mdat_header(len);
    // The size of `moov` does not depend on where the samples lie, only on how wide offsets are.
    let before = |moov: &Mp4Box| (head.len() + moov.size() + mdat.len()) as u64;
    let mut wide = false;
    let mut base = before(&movie(0, wide)?);
    if base + len > u64::from(u32::MAX) {
        wide = true;
        base = before(&movie(0, wide)?);
    }
    movie(base, wide)?.write(&mut head);
    head.extend_from_slice(&mdat);
    Ok(head)
}

/// The size in 32 bits where it fits, else in 64.
fn mdat_header(len: u64) -> Vec<u8> {
    match u32::try_from(len + 8) {
        Ok(size) => [size.to_be_bytes(), *b"mdat"].concat(),
        Err(_) => [&1_u32.to_be_bytes()[..], b"mdat", &(len + 16).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::sample_table::chunk_offsets;
    use super::*;

    fn video() -> VideoTrack {
        VideoTrack {
            width: 32,
            height: 16,
            sps: vec![0x67, 100, 0, 11, 0xac],
            pps: vec![0x68, 0xee],
            level: Level(11),
        }
    }

    /// Two tracks of different time scales, interleaved: every chunk is found where its samples lie.
    #[test]
    fn tracks_are_interleaved_in_chunks() {
        let mut muxer = Muxer::new(Path::new("two.mp4"));
        let tracks = [muxer.add_video(10, video()), muxer.add_video(1000, video())];
        for second in 0..3_u8 {
            for (at, track) in tracks.into_iter().enumerate() {
                for sample in 0..2_u8 {
                    let byte = 100 * at as u8 + 10 * second + sample;
                    let sample = Sample {
                        bytes: &[byte, byte],
                        duration: [5, 500][at],
                        key: sample == 0,
                    };
                    muxer.push(track, &sample).unwrap();
                }
            }
        }
        let mut file = Vec::new();
        let len = muxer.finish(&mut file, &[]).unwrap();
        assert_eq!(len, file.len() as u64);

        let boxes = Mp4Box::parse_all(&file).unwrap();
        let names: Vec<_> = boxes.iter().map(|b| &b.name).collect();
        assert_eq!(names, [b"ftyp", b"moov", b"mdat"]);
        let traks = boxes[1].children.iter().filter(|b| b.name == *b"trak");
        for (at, trak) in traks.enumerate() {
            let stbl = trak.at(&[b"mdia", b"minf", b"stbl"]).unwrap();
            let offsets = chunk_offsets(stbl).unwrap();
            assert_eq!(offsets.len(), 3);
            for (second, offset) in offsets.into_iter().enumerate() {
                let first = (100 * at + 10 * second) as u8;
                let chunk = &file[offset as usize..][..4];
                assert_eq!(chunk, [first, first, first + 1, first + 1]);
            }
            // Three seconds in the movie's units, which are the first track's.
            let tkhd = &trak.child(b"tkhd").unwrap().fields;
            assert_eq!(tkhd[20..24], 30_u32.to_be_bytes());
        }
    }

    /// Beyond 4 GiB the table of chunk offsets and the size of `mdat` become 64 bits wide.
    #[test]
    fn large_files_have_wide_offsets() {
        let mut track = Track::new(10, video());
        let sample = Sample {
            bytes: &[0; 9],
            duration: 10,
            key: true,
        };
        track.push(&sample, 0, false);
        track.push(&sample, 5 << 30, false);
        for (len, table, header) in [(1 << 20, b"stco", 8), (6 << 30, b"co64", 16)] {
            let head = head(std::slice::from_ref(&track), len, &[]).unwrap();
            let (boxes, mdat) = head.split_at(head.len() - header);
            assert_eq!(mdat[4..8], *b"mdat");
            let boxes = Mp4Box::parse_all(boxes).unwrap();
            let stbl = boxes[1].at(&[b"trak", b"mdia", b"minf", b"stbl"]).unwrap();
            assert!(stbl.child(table).is_some());
            let offsets = chunk_offsets(stbl).unwrap();
            assert_eq!(offsets[0], head.len() as u64);
            if header == 16 {
                assert_eq!(offsets[1], head.len() as u64 + (5 << 30));
                assert_eq!(mdat[8..], (len + 16).to_be_bytes());
            }
        }
    }
}
