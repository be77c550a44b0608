//! One tensor of a checkpoint, under the name that it is asked for by.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;

use super::container::{Entry, Stored, shown};
use super::encode::encode;
use super::overlaid::Merge;
use super::scaled::Coding;
use crate::tensor::DType;

/// One tensor under the name that it is asked for by.
pub(super) struct Tensor {
    pub(super) name: String,
    /// The file's own name, where that is another.
    pub(super) file_name: Option<String>,
    pub(super) stored: Stored,
    pub(super) shape: Vec<usize>,
    pub(super) shard: usize,
    /// The first byte and the one after the last, counted from the beginning of the file.
    pub(super) start: usize,
    pub(super) end: usize,
    /// How its elements are kept.
    pub(super) coding: Coding,
    /// What elements of a type with scales are multiplied by, as [`TensorView::scales`](super::TensorView::scales).
    pub(super) scales: Vec<f32>,
    /// The change that is merged into the elements on every request.
    pub(super) merge: Option<Merge>,
    /// Set by the first request.
    pub(super) read: AtomicBool,
}

impl Tensor {
    pub(super) fn new(entry: Entry, shard: usize) -> Self {
        Self {
            name: entry.name,
            file_name: None,
            stored: entry.stored,
            shape: entry.shape,
            shard,
            start: entry.start,
            end: entry.end,
            coding: Coding::Plain,
            scales: Vec::new(),
            merge: None,
            read: AtomicBool::new(false),
        }
    }

    /// A tensor of the same bytes, or a part of them, under another name.
    pub(super) fn derived(
        &self,
        name: String,
        shape: Vec<usize>,
        start: usize,
        end: usize,
    ) -> Self {
        let own = self.file_name.as_ref().unwrap_or(&self.name);
        Self {
            file_name: (*own != name).then(|| own.clone()),
            name,
            stored: self.stored.clone(),
            shape,
            shard: self.shard,
            start,
            end,
            coding: self.coding.clone(),
            scales: self.scales.clone(),
            merge: None,
            read: AtomicBool::new(false),
        }
    }

    /// The name for messages, followed by the file's own if that differs.
    pub(super) fn shown(&self) -> String {
        match &self.file_name {
            None => shown(&self.name),
            Some(own) => format!("{} ({} in the file)", shown(&self.name), shown(own)),
        }
    }

    /// The type in which the elements are handed out, if Kinora has their type: the stored type, except
    /// when blocks of a quantised type cross rows, as in a tensor that was reshaped to be quantised, or
    /// when they are [rotated](Coding::Rotated).
    pub(super) fn dtype(&self) -> Option<DType> {
        let own = self.own_dtype()?;
        Some(self.merge.as_ref().map_or(own, |merge| merge.dtype))
    }

    /// The type before a merge.
    fn own_dtype(&self) -> Option<DType> {
        let row = self.shape.last().copied().unwrap_or(1);
        let whole = |dtype: DType| row.is_multiple_of(dtype.block());
        let stored = self.coding.dtype(self.stored.dtype?);
        Some(if whole(stored) { stored } else { DType::F32 })
    }

    /// The elements as [`dtype`](Self::dtype) and their scales, from the tensor's bytes and those that its
    /// coding keeps in another tensor; `None` if Kinora does not compute with their type.
    pub(super) fn elements_of<'a>(
        &self,
        file: &'a [u8],
        beside: &[u8],
    ) -> Option<(DType, Cow<'a, [u8]>, Vec<f32>)> {
        let stored = self.stored.dtype.filter(|&dtype| dtype != DType::U32)?;
        let dtype = self.own_dtype()?;
        let bytes = file.get(self.start..self.end)?;
        let scale = |row: usize| match *self.scales.as_slice() {
            [] => 1.0,
            [scale] => scale,
            ref rows => rows.get(row).copied().unwrap_or(1.0),
        };
        if let Some(read) = self.coding.read(bytes, beside, &scale) {
            let scales = match self.coding {
                Coding::Rotated { .. } => Vec::new(),
                Coding::Plain | Coding::Nvfp4(_) => self.scales.clone(),
            };
            return Some((dtype, read.into(), scales));
        }
        if self.coding != Coding::Plain {
            return None;
        }
        if dtype == stored {
            return Some((dtype, bytes.into(), self.scales.clone()));
        }
        let mut values = Vec::new();
        (stored.format().read)(bytes, &mut values);
        Some((dtype, encode(dtype, 1.0, &values).into(), Vec::new()))
    }

    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().map(|&dim| dim as u64).product()
    }

    pub(super) fn bytes(&self) -> u64 {
        let beside = match &self.coding {
            Coding::Nvfp4(of) => of.place[1] - of.place[0],
            Coding::Plain | Coding::Rotated { .. } => 0,
        };
        (self.end - self.start + beside) as u64
    }
}
