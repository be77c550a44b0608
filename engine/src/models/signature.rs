//! Which blocks of a model are the same recording: those whose weights have the same shapes
//! and element types. A file may mix types, and adapters ranks, and then there are as many recordings
//! as mixtures.

use crate::gpu::StreamedTensor;
use crate::record::Recording;
use crate::tensor::DType;
use crate::weights::Checkpoint;

/// A weight's name in its block, its element type and its shape.
type Kind = (String, Option<DType>, Vec<usize>);

/// The blocks `PREFIX.0`, `PREFIX.1`, … of a checkpoint, grouped.
#[derive(Clone, Debug)]
pub(super) struct Signatures {
    prefix: &'static str,
    /// The group of each block.
    pub(super) of: Vec<usize>,
    /// The first block of each group; the group's recording has its names.
    pub(super) first: Vec<usize>,
}

impl Signatures {
    pub(super) fn new(checkpoint: &Checkpoint, prefix: &'static str, blocks: usize) -> Self {
        let mut kinds: Vec<Vec<Kind>> = Vec::new();
        let mut this = Self {
            prefix,
            of: Vec::new(),
            first: Vec::new(),
        };
        for block in 0..blocks {
            let root = format!("{prefix}.{block}.");
            let mut kind: Vec<Kind> = checkpoint
                .names()
                .filter_map(|name| {
                    Some((
                        name.strip_prefix(&root)?.to_owned(),
                        checkpoint.dtype_of(name),
                        checkpoint.shape_of(name).unwrap_or_default().to_vec(),
                    ))
                })
                .collect();
            kind.sort_unstable();
            let known = kinds.iter().position(|known| *known == kind);
            this.of.push(known.unwrap_or(kinds.len()));
            if known.is_none() {
                kinds.push(kind);
                this.first.push(block);
            }
        }
        this
    }

    /// The blocks of a group.
    pub(super) fn members(&self, kind: usize) -> impl Iterator<Item = usize> {
        self.of
            .iter()
            .enumerate()
            .filter(move |(_, of)| **of == kind)
            .map(|(block, _)| block)
    }

    /// The name, within its block, of a tensor of a group's recording; `None` for tensors outside blocks.
    pub(super) fn key<'n>(&self, kind: usize, name: &'n str) -> Option<&'n str> {
        let first = self.first.get(kind)?;
        name.strip_prefix(&format!("{}.{first}.", self.prefix))
    }

    /// A block's name for a tensor of its group's recording.
    pub(super) fn rename(&self, kind: usize, block: usize, name: &str) -> String {
        match self.key(kind, name) {
            Some(rest) => format!("{}.{block}.{rest}", self.prefix),
            None => name.to_owned(),
        }
    }

    /// The blocks' weights one after the other, to be streamed: each of `recordings` has one of each
    /// group, and no two of them a weight in common.
    pub(super) fn sets(&self, recordings: &[&[Recording]]) -> Vec<Vec<StreamedTensor>> {
        let block = |(block, &kind): (usize, &usize)| {
            let weights = recordings
                .iter()
                .filter_map(|of| of.get(kind))
                .flat_map(Recording::weights);
            let tensors = weights.map(|(_, info, pack)| StreamedTensor {
                key: self.key(kind, &info.name).unwrap_or(&info.name).to_owned(),
                info: info.clone(),
                pack,
                name: self.rename(kind, block, &info.name),
            });
            tensors.collect()
        };
        self.of.iter().enumerate().map(block).collect()
    }
}
