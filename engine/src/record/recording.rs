//! A forward pass as data: tensors and commands that can be printed, tested and planned.

use std::fmt;
use std::ops::Range;

use crate::error::RecordError;
use crate::shader::{Access, Variant};
use crate::tensor::{DType, Shape};

/// The index of a tensor in its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A handle to a tensor of a recording: identity, shape and element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Which tensor of the recording.
    pub id: TensorId,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Where it starts in the recording's tensor, in bytes: not 0 for a view of some rows.
    pub offset: u64,
}

impl Tensor {
    /// A view of `first .. first + count` along the first dimension; ops take it like any tensor.
    /// To be bound on every device it must start at a multiple of 256 bytes, as it does with
    /// `first` a multiple of 64.
    ///
    /// # Errors
    /// [`RecordError::Rows`] if the tensor is shorter.
    pub fn view_rows(&self, first: usize, count: usize) -> Result<Self, RecordError> {
        let rows = self.shape.first().copied().unwrap_or(1);
        if first + count > rows {
            return Err(RecordError::Rows { first, count, rows });
        }
        let bytes_a_row = self.bytes() / rows.max(1) as u64;
        let offset = self.offset + first as u64 * bytes_a_row;
        Ok(Self {
            shape: self.shape.with_first(count),
            offset,
            ..*self
        })
    }

    /// Reinterprets the elements with another shape.
    ///
    /// # Errors
    /// [`RecordError::Shape`] if the number of elements differs.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Result<Self, RecordError> {
        let shape = shape.into();
        if shape.count() != self.shape.count() {
            let expected = format!("as many elements as {shape}");
            return Err(RecordError::Shape {
                op: "reshape",
                name: "x",
                found: self.shape,
                expected,
            });
        }
        Ok(Self { shape, ..*self })
    }

    /// The dimensions, or an error that names the op and the shape.
    ///
    /// # Errors
    /// [`RecordError::Rank`] if the tensor does not have `N` dimensions.
    pub fn dims<const N: usize>(
        &self,
        op: &'static str,
        name: &str,
    ) -> Result<[usize; N], RecordError> {
        <[usize; N]>::try_from(self.shape.dims()).map_err(|_| RecordError::Rank {
            op,
            name: name.to_owned(),
            found: self.shape,
            expected: N,
        })
    }

    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes(self.shape.count()) as u64
    }
}

/// How a weight of a file is laid out on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pack {
    /// As f32, in the file's order: biases, gains, tables.
    Vector,
    /// A matrix [N, K] as `[N/8][K/4][8][4]`, both padded with zeros: neighbouring
    /// invocations read neighbouring groups of four. Element type as in the file.
    Matrix,
    /// A convolution [N, C, (t,) h, w] as the matrix [N, (t,) h, w, C], then as `Matrix`.
    Conv,
    /// A convolution [N, 2 C, h, w] of the channels of a frame and then of the one before it, as
    /// the causal convolution [N, C, 2, h, w] that it is, then as `Conv`.
    ConvOfTwo,
}

impl Pack {
    /// Whether the tensor has the padded layout of matrices.
    pub fn is_matrix(self) -> bool {
        self != Self::Vector
    }
}

/// The role of a tensor in its recording.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Written by the host before a run.
    Input,
    /// Read by the host after a run.
    Output,
    /// Kept by the run from one pass to the next: caches, latents, a solver's history.
    State,
    /// A tensor of the checkpoint, by its name there.
    Weight(Pack),
    /// Placed by liveness; gone after the pass.
    Intermediate,
}

/// All that is known of a tensor.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The checkpoint's name, the name of an input, output or state, or the op that wrote it.
    pub name: String,
    /// Extents.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// Role.
    pub kind: Kind,
}

impl TensorInfo {
    /// Bytes on the device: the elements and the data after them.
    pub fn bytes(&self) -> u64 {
        match self.scales() {
            Some(scales) => scales.end,
            None => self.element_bytes(),
        }
    }

    /// Bytes of the elements: padded to whole words, a matrix to groups of 8 rows and 4 columns, a
    /// convolution to 4 channels.
    pub fn element_bytes(&self) -> u64 {
        let bytes = match self.kind {
            Kind::Weight(pack) if pack.is_matrix() => {
                let n = self.shape.first().copied().unwrap_or(1);
                let k = self.shape.count().checked_div(n.max(1)).unwrap_or(0);
                let channels = match pack {
                    Pack::Conv => self.shape.get(1).copied().unwrap_or(1),
                    Pack::ConvOfTwo => self.shape.get(1).copied().unwrap_or(2) / 2,
                    _ => k,
                };
                let taps = k.checked_div(channels).unwrap_or(0);
                let depth = taps.saturating_mul(channels.next_multiple_of(4));
                self.dtype.matrix_bytes(n.next_multiple_of(8), depth)
            }
            _ => self.dtype.bytes(self.shape.count()),
        };
        (bytes as u64).next_multiple_of(4).max(4)
    }

    /// The range of the rows' scales, after a matrix's elements: one f32 per row, in formats with numbers
    /// that f16 cannot hold. `shaders/scale/rows.wgsl` explains their use.
    pub fn scales(&self) -> Option<Range<u64>> {
        let matrix = matches!(self.kind, Kind::Weight(pack) if pack.is_matrix());
        (matrix && self.dtype.exceeds_f16()).then(|| {
            // A binding may start at a multiple of 256 bytes on every device.
            let start = self.element_bytes().next_multiple_of(256);
            let rows = self.shape.first().copied().unwrap_or(1) as u64;
            start..start + 4 * rows
        })
    }
}

/// A tensor bound to a kernel, whole or a window of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The binding's number in group 0.
    pub index: u32,
    /// The tensor.
    pub tensor: TensorId,
    /// How the kernel accesses it.
    pub access: Access,
    /// Bytes of the window, or the whole tensor.
    pub window: Option<Range<u64>>,
}

/// The grid of a dispatch, folded where a dimension exceeds the device's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroups(pub [u32; 3]);

/// A step of a recording.
#[derive(Clone, Debug)]
pub enum Command {
    /// A kernel's run.
    Dispatch(Dispatch),
    /// Bytes from one tensor to another.
    Copy {
        /// Source and byte offset.
        from: (TensorId, u64),
        /// Destination and byte offset.
        to: (TensorId, u64),
        /// How many.
        bytes: u64,
    },
    /// Zeros.
    Clear(TensorId),
}

/// A kernel's run.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel and its choices.
    pub variant: Variant,
    /// The tensors.
    pub bindings: Vec<Binding>,
    /// The bytes of `Params`.
    pub params: Vec<u8>,
    /// The grid.
    pub workgroups: Workgroups,
    /// Floating-point operations, for cutting submits and for reports.
    pub flops: u64,
}

/// A forward pass: what [`super::Recorder`] writes and a plan runs.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Every tensor.
    pub tensors: Vec<TensorInfo>,
    /// Every step, in order.
    pub commands: Vec<Command>,
}

impl Recording {
    /// The description of a tensor.
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0 as usize]
    }

    /// Every tensor with its handle.
    pub fn iter(&self) -> impl Iterator<Item = (TensorId, &TensorInfo)> {
        (0..).map(TensorId).zip(&self.tensors)
    }

    /// The weights, in the order they were asked for.
    pub fn weights(&self) -> impl Iterator<Item = (TensorId, &TensorInfo, Pack)> {
        self.iter().filter_map(|(id, info)| match info.kind {
            Kind::Weight(pack) => Some((id, info, pack)),
            _ => None,
        })
    }

    /// The tensor of that name, intermediates excluded.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.iter()
            .find(|(_, info)| info.kind != Kind::Intermediate && info.name == name)
            .map(|(id, _)| id)
    }

    /// Floating-point operations of the whole pass.
    pub fn flops(&self) -> u64 {
        self.commands.iter().map(Command::flops).sum()
    }

    /// Bytes that the kernels read and write at least: what each binds, twice where it is updated
    /// in place.
    pub fn traffic(&self) -> u64 {
        let bytes = |binding: &Binding| {
            let bytes = match &binding.window {
                Some(window) => window.end - window.start,
                None => self.info(binding.tensor).bytes(),
            };
            match binding.access {
                Access::Read | Access::Write => bytes,
                Access::ReadWrite => 2 * bytes,
            }
        };
        let dispatches = self.commands.iter().filter_map(|command| match command {
            Command::Dispatch(dispatch) => Some(dispatch),
            Command::Copy { .. } | Command::Clear(_) => None,
        });
        dispatches.flat_map(|d| &d.bindings).map(bytes).sum()
    }
}

impl Command {
    /// Floating-point operations.
    pub fn flops(&self) -> u64 {
        match self {
            Self::Dispatch(dispatch) => dispatch.flops,
            Self::Copy { .. } | Self::Clear(_) => 0,
        }
    }

    /// The tensors read and written.
    pub fn tensors(&self) -> Vec<(TensorId, Access)> {
        match self {
            Self::Dispatch(d) => d.bindings.iter().map(|b| (b.tensor, b.access)).collect(),
            Self::Copy { from, to, .. } => vec![(from.0, Access::Read), (to.0, Access::Write)],
            Self::Clear(id) => vec![(*id, Access::Write)],
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: TensorId| {
            let info = self.info(id);
            format!("%{} {} {}{}", id.0, info.name, info.dtype, info.shape)
        };
        for command in &self.commands {
            match command {
                Command::Dispatch(d) => {
                    let bound: Vec<String> = d
                        .bindings
                        .iter()
                        .map(|b| format!("{}:{}", b.index, name(b.tensor)))
                        .collect();
                    writeln!(
                        f,
                        "{:?} {:?} {}",
                        d.variant,
                        d.workgroups.0,
                        bound.join(", ")
                    )?;
                }
                Command::Copy { from, to, bytes } => writeln!(
                    f,
                    "copy {bytes} {}+{} -> {}+{}",
                    name(from.0),
                    from.1,
                    name(to.0),
                    to.1
                )?,
                Command::Clear(id) => writeln!(f, "clear {}", name(*id))?,
            }
        }
        Ok(())
    }
}
