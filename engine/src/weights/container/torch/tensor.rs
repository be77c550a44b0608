//! A tensor of torch: a window of a storage.

use std::ops::Range;

use super::element::Element;

/// Bytes that tensors are windows of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// Its name in the archive.
    pub(super) key: &'a str,
    /// What its length counts.
    pub(super) element: &'static Element,
    pub(super) len: u64,
}

impl Storage<'_> {
    pub(super) fn bytes(&self) -> Option<u64> {
        self.len.checked_mul(self.element.size as u64)
    }
}

/// A window of a storage. Offset and strides count elements.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) element: &'static Element,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Tensor<'_> {
    /// Whether the elements are row-major without gaps.
    pub(super) fn is_contiguous(&self) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let mut expected = 1usize;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if extent != 1 && stride != expected {
                return false;
            }
            expected = expected.saturating_mul(extent);
        }
        true
    }

    /// From the first element to the last, in bytes of the storage; `None` where no storage is as
    /// large.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        let size = self.element.size;
        let start = self.offset.checked_mul(size)?;
        if self.shape.contains(&0) {
            return Some(start..start);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(0usize, |last, (&extent, &stride)| {
                last.checked_add((extent - 1).checked_mul(stride)?)
            })?;
        let end = start.checked_add(last.checked_add(1)?.checked_mul(size)?)?;
        Some(start..end)
    }
}
