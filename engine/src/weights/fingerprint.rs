//! A hash that distinguishes models without reading tens of gigabytes.

use sha2::{Digest, Sha256};

use super::Checkpoint;
use super::checkpoint::Shard;

/// Bytes per sample: one page.
const BLOCK: usize = 4096;

/// Samples per file. Forty reads of a page take well under a second even from a spinning disk,
/// and the tensors of a fine-tuned model differ nearly everywhere.
const BLOCKS: usize = 40;

impl Checkpoint {
    /// SHA-256, as 64 hexadecimal digits, over each file's size, header and sampled pages: the
    /// first, the last and others evenly between. A file of up to 160 kB of data is read whole.
    ///
    /// It distinguishes released from fine-tuned models, but does not prove that two files are equal.
    /// File names are left out, so a renamed model keeps its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for shard in self.shards() {
            add_file(&mut hash, shard);
        }
        format!("{:x}", hash.finalize())
    }
}

/// One fingerprint for a whole model: SHA-256, as 64 hexadecimal digits, over each part's name and
/// its [`fingerprint`](Checkpoint::fingerprint), in the order given.
#[must_use]
pub fn combined_fingerprint<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for (part, fingerprint) in parts {
        // Lengths first, so that no two lists of parts give the same bytes.
        for text in [part, fingerprint] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    format!("{:x}", hash.finalize())
}

/// SHA-256 of a whole file, as 64 hexadecimal digits.
#[must_use]
pub fn bytes_fingerprint(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn add_file(hash: &mut Sha256, shard: &Shard) {
    let bytes: &[u8] = &shard.bytes;
    let (header, data) = bytes.split_at(shard.data_start.min(bytes.len()));
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(header);
    if data.len() <= BLOCK * BLOCKS {
        hash.update(data);
        return;
    }
    let last = data.len() - BLOCK;
    for sample in 0..BLOCKS {
        // In u128, since a file's size times 40 need not fit 32 bits.
        let start = (last as u128 * sample as u128 / (BLOCKS as u128 - 1)) as usize;
        hash.update(data.get(start..start + BLOCK).unwrap_or_default());
    }
}
