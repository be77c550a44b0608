//! MP4 boxes as a tree of bytes.
//!
//! A box is a size, a four-letter name and a payload; some payloads are boxes again, after a few
//! fields. Keeping payloads as bytes lets a file be amended by boxes its writer knows nothing of,
//! and read without believing any number in it. Source: ISO/IEC 14496-12, clause 4.2.

use std::io::{self, Read, Seek, SeekFrom};

/// A box's four-letter name.
pub(super) type Name = [u8; 4];

/// Deeper than any box Kinora looks into; a file that nests further is hostile.
const MAX_DEPTH: usize = 12;

/// One box and, where its payload is boxes, those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mp4Box {
    pub(super) name: Name,
    /// The payload; of a container only the fields before its first child.
    pub(super) fields: Vec<u8>,
    pub(super) children: Vec<Mp4Box>,
}

impl Mp4Box {
    /// A box without children.
    pub(super) fn leaf(name: &Name, fields: Vec<u8>) -> Self {
        Self {
            name: *name,
            fields,
            children: Vec::new(),
        }
    }

    /// Parses the boxes that fill `bytes`. The error says what is wrong.
    pub(super) fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, String> {
        Self::parse_at_depth(bytes, 0)
    }

    fn parse_at_depth(bytes: &[u8], depth: usize) -> Result<Vec<Self>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("boxes are nested more than {MAX_DEPTH} deep"));
        }
        split(bytes)?
            .into_iter()
            .map(|(name, payload)| {
                let Some(skip) = fields_before_children(&name, payload) else {
                    return Ok(Self::leaf(&name, payload.to_vec()));
                };
                let Some((fields, rest)) = payload.split_at_checked(skip) else {
                    return Err(format!(
                        "box {} is too short ({} bytes)",
                        show(&name),
                        payload.len()
                    ));
                };
                match Self::parse_at_depth(rest, depth + 1) {
                    Ok(children) => Ok(Self {
                        name,
                        fields: fields.to_vec(),
                        children,
                    }),
                    // Old writers end user data with four zero bytes; nothing essential is in it.
                    Err(_) if name == *b"udta" => Ok(Self::leaf(&name, payload.to_vec())),
                    Err(problem) => Err(problem),
                }
            })
            .collect()
    }

    /// The first child of that name.
    pub(super) fn child(&self, name: &Name) -> Option<&Self> {
        self.children.iter().find(|b| b.name == *name)
    }

    /// The box at the end of a path of first children.
    pub(super) fn at(&self, path: &[&Name]) -> Option<&Self> {
        path.iter().try_fold(self, |b, name| b.child(name))
    }

    /// The box at the end of a path of first children, to change it.
    pub(super) fn at_mut(&mut self, path: &[&Name]) -> Option<&mut Self> {
        path.iter().try_fold(self, |b, name| {
            b.children.iter_mut().find(|c| c.name == **name)
        })
    }

    /// Bytes this box fills, its header included.
    pub(super) fn size(&self) -> usize {
        8 + self.fields.len() + self.children.iter().map(Self::size).sum::<usize>()
    }

    /// Appends this box to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.size() as u32).to_be_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&self.fields);
        for child in &self.children {
            child.write(out);
        }
    }
}

/// Splits bytes into (name, payload) of the boxes that fill them.
pub(super) fn split(mut bytes: &[u8]) -> Result<Vec<(Name, &[u8])>, String> {
    let mut boxes = Vec::new();
    while !bytes.is_empty() {
        let Some((header, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(format!(
                "{} stray bytes where a box should begin",
                bytes.len()
            ));
        };
        let [a, b, c, d, name @ ..] = *header;
        let (size, header_len) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (bytes.len() as u64, 8),
            1 => match rest.first_chunk::<8>() {
                Some(large) => (u64::from_be_bytes(*large), 16),
                None => return Err(format!("box {} ends inside its header", show(&name))),
            },
            size => (u64::from(size), 8),
        };
        let payload = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.get(header_len..size));
        let Some(payload) = payload else {
            return Err(format!(
                "box {} claims {size} bytes where {} are left",
                show(&name),
                bytes.len()
            ));
        };
        boxes.push((name, payload));
        bytes = &bytes[header_len + payload.len()..];
    }
    Ok(boxes)
}

/// How many bytes of fields stand before the children of a container; `None` for a leaf.
fn fields_before_children(name: &Name, payload: &[u8]) -> Option<usize> {
    match name {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"udta" => Some(0),
        b"stsd" => Some(8),
        b"avc1" => Some(78),
        // ISO writes version and flags before the children, QuickTime does not.
        b"meta" if payload.get(4..8) == Some(b"hdlr") => Some(0),
        b"meta" => Some(4),
        _ => None,
    }
}

/// Where a box of the outermost level lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) name: Name,
    /// Of its header.
    pub(super) start: u64,
    /// Of its payload.
    pub(super) payload: u64,
    /// Of the first byte behind it, which may be beyond the file.
    pub(super) end: u64,
}

/// Lists the outermost boxes of a file of `len` bytes. Ends at the first one that runs beyond it.
pub(super) fn outermost(file: &mut (impl Read + Seek), len: u64) -> io::Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut start = 0;
    while start + 8 <= len {
        file.seek(SeekFrom::Start(start))?;
        let mut header = [0; 16];
        let header = &mut header[..16.min((len - start) as usize)];
        file.read_exact(header)?;
        let (Some(&short), Some(&name)) =
            (header.first_chunk::<4>(), header[4..].first_chunk::<4>())
        else {
            break;
        };
        let (size, payload) = match (u32::from_be_bytes(short), header.get(8..16)) {
            (0, _) => (len - start, start + 8),
            (1, Some(large)) => {
                let large = large.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
                (large.max(16), start + 16)
            }
            (size, _) => (u64::from(size).max(8), start + 8),
        };
        let end = start.saturating_add(size);
        spans.push(Span {
            name,
            start,
            payload,
            end,
        });
        if end > len {
            break;
        }
        start = end;
    }
    Ok(spans)
}

/// A box's name as text, whatever its bytes.
pub(super) fn show(name: &Name) -> String {
    format!("'{}'", name.escape_ascii())
}

/// Big-endian numbers out of a box's fields; `None` beyond their end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u32::from_be_bytes(*b))
}

/// See [`u32_at`].
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u16::from_be_bytes(*b))
}

/// See [`u32_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u64::from_be_bytes(*b))
}
