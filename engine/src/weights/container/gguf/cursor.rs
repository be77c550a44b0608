//! A place in a file that is read from its beginning, which never goes beyond the end.

use crate::error::GgufFault;

/// The bytes that are still to be read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes, of `what`.
    pub(super) fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], GgufFault> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.ends(what, count as u64))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, GgufFault> {
        self.array(what).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, GgufFault> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufFault> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufFault> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// `count` things of at least `least` bytes each, which the file must have.
    pub(super) fn count(
        &self,
        what: &'static str,
        count: u64,
        least: usize,
    ) -> Result<usize, GgufFault> {
        let rest = self.bytes.len() - self.at;
        let fitting = usize::try_from(count).ok();
        fitting
            .filter(|count| count.checked_mul(least).is_some_and(|need| need <= rest))
            .ok_or_else(|| self.ends(what, count.saturating_mul(least as u64)))
    }

    /// A length and as many bytes of UTF-8.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, GgufFault> {
        let length = self.u64(what)?;
        let length = self.count(what, length, 1)?;
        let at = self.at;
        let bytes = self.take(what, length)?;
        std::str::from_utf8(bytes).map_err(|_| GgufFault::Text { what, at })
    }

    fn ends(&self, what: &'static str, need: u64) -> GgufFault {
        GgufFault::Ends {
            what,
            at: self.at,
            need,
            rest: self.bytes.len() - self.at,
        }
    }
}
