//! Seeded changes of valid files.

/// Numbers from a seed (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`, or 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Numbers that lengths, offsets and extents are wrong by.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    7,
    31,
    32,
    255,
    256,
    65_536,
    u32::MAX as u64,
    i32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 62,
    u64::MAX - 31,
    u64::MAX,
];

/// What JSON may hold where something else should be.
const TOKENS: [&str; 22] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "-0.0",
    "1.5",
    "18446744073709551616",
    "9223372036854775807",
    "\"\"",
    "\"F32\"",
    "\"U8\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "1e-400",
];

/// Changes `bytes` in one to four places. `others` are what pieces are taken from.
pub fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], text: bool, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let kinds = if text { 11 } else { 9 };
        match random.below(kinds) {
            0 => flip(bytes, random),
            1 => {
                let byte = random.next() as u8;
                let at = random.below(bytes.len());
                set(bytes, at, &[byte]);
            }
            2 => {
                let number = wrong_number(bytes, random);
                let at = random.below(bytes.len());
                set(bytes, at, &number.to_le_bytes());
            }
            3 => {
                let number = wrong_number(bytes, random) as u32;
                let at = random.below(bytes.len());
                set(bytes, at, &number.to_le_bytes());
            }
            4 => bytes.truncate(random.below(bytes.len() + 1)),
            5 => {
                let range = piece(bytes, random);
                bytes.drain(range);
            }
            6 => {
                let range = piece(bytes, random);
                let copy = bytes[range].to_vec();
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, copy);
            }
            7 => {
                let other = random.of(others);
                let range = piece(other, random);
                let copy = other[range].to_vec();
                let at = random.below(bytes.len() + 1);
                let end = (at + copy.len() * random.below(2)).min(bytes.len());
                bytes.splice(at..end, copy);
            }
            // Small numbers are counts, ranks and types.
            8 => {
                let byte = random.below(48) as u8;
                let at = random.below(bytes.len());
                set(bytes, at, &[byte]);
            }
            9 => replace_number(bytes, random),
            _ => {
                let token = random.of(&TOKENS).as_bytes().to_vec();
                let at = random.below(bytes.len() + 1);
                let end = (at + token.len() * random.below(2)).min(bytes.len());
                bytes.splice(at..end, token);
            }
        }
    }
}

/// One of [`NUMBERS`], or near the file's size.
fn wrong_number(bytes: &[u8], random: &mut Random) -> u64 {
    match random.below(3) {
        0 => (bytes.len() as u64)
            .wrapping_add(random.below(65) as u64)
            .wrapping_sub(32),
        _ => *random.of(&NUMBERS),
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn set(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (slot, &byte) in bytes.iter_mut().skip(at).zip(with) {
        *slot = byte;
    }
}

/// A range of up to 64 bytes.
fn piece(bytes: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(bytes.len());
    start..(start + random.below(65)).min(bytes.len())
}

/// Puts another number in the place of one that stands in the text.
fn replace_number(bytes: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(bytes.len());
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = bytes.iter().skip(from).position(digit).map(|at| at + from) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| digit(byte)).count();
    let number = match random.below(4) {
        0 => random.of(&NUMBERS).to_string(),
        1 => random.below(512).to_string(),
        2 => random.of(&TOKENS).to_string(),
        _ => (random.next() as i32).to_string(),
    };
    bytes.splice(start..start + length, number.into_bytes());
}
