//! Writes a [`Recording`].

use std::ops::Range;

use super::Caps;
use super::recording::{
    Binding, Command, Dispatch, Kind, Pack, Recording, Tensor, TensorId, TensorInfo, Workgroups,
};
use crate::error::RecordError;
use crate::shader::{Access, Variant};
use crate::tensor::{DType, Shape};

/// Collects the commands of a forward pass for a device of known capabilities.
#[derive(Debug)]
pub struct Recorder<'a> {
    caps: &'a Caps,
    recording: Recording,
}

impl<'a> Recorder<'a> {
    /// An empty recording for a device.
    pub fn new(caps: &'a Caps) -> Self {
        Self {
            caps,
            recording: Recording::default(),
        }
    }

    /// The element type of activations that feed products: [`Caps::activations`].
    pub fn activations(&self) -> DType {
        self.caps.activations()
    }

    /// The device's capabilities.
    pub fn caps(&self) -> &'a Caps {
        self.caps
    }

    /// The kernel of the last dispatch, `""` before the first; for tests of the choice.
    #[cfg(feature = "testing")]
    pub fn last_kernel(&self) -> &'static str {
        let kernel = |command: &Command| match command {
            Command::Dispatch(dispatch) => Some(dispatch.variant.kernel()),
            Command::Copy { .. } | Command::Clear(_) => None,
        };
        self.recording
            .commands
            .iter()
            .rev()
            .find_map(kernel)
            .unwrap_or("")
    }

    /// Ends the recording.
    pub fn finish(self) -> Recording {
        self.recording
    }

    fn add(&mut self, name: &str, shape: Shape, dtype: DType, kind: Kind) -> Tensor {
        let id = TensorId(self.recording.tensors.len() as u32);
        self.recording.tensors.push(TensorInfo {
            name: name.to_owned(),
            shape,
            dtype,
            kind,
        });
        Tensor {
            id,
            shape,
            dtype,
            offset: 0,
        }
    }

    /// A tensor that is known by name; asking for it again gives the same handle.
    fn named(
        &mut self,
        name: &str,
        shape: Shape,
        dtype: DType,
        kind: Kind,
    ) -> Result<Tensor, RecordError> {
        if let Some(id) = self.recording.find(name) {
            let info = self.recording.info(id);
            if info.shape != shape || info.dtype != dtype || info.kind != kind {
                return Err(RecordError::Redefined {
                    name: name.to_owned(),
                    first: format!("{:?} {}{}", info.kind, info.dtype, info.shape),
                    second: format!("{kind:?} {dtype}{shape}"),
                });
            }
            return Ok(Tensor {
                id,
                shape,
                dtype,
                offset: 0,
            });
        }
        Ok(self.add(name, shape, dtype, kind))
    }

    /// A tensor that the host writes before a run.
    ///
    /// # Errors
    /// A name already taken by another tensor.
    pub fn input(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<Tensor, RecordError> {
        self.named(name, shape.into(), dtype, Kind::Input)
    }

    /// A tensor that the host reads after a run.
    ///
    /// # Errors
    /// A name already taken by another tensor.
    pub fn output(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<Tensor, RecordError> {
        self.named(name, shape.into(), dtype, Kind::Output)
    }

    /// A tensor that outlives the pass.
    ///
    /// # Errors
    /// A name already taken by another tensor.
    pub fn state(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<Tensor, RecordError> {
        self.named(name, shape.into(), dtype, Kind::State)
    }

    /// A tensor of the checkpoint; `shape` and `dtype` as the file has them (a vector is f32 on
    /// the device whatever the file holds).
    ///
    /// # Errors
    /// A name already taken by another tensor.
    pub fn weight(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        dtype: DType,
        pack: Pack,
    ) -> Result<Tensor, RecordError> {
        let dtype = if pack == Pack::Vector {
            DType::F32
        } else {
            dtype
        };
        self.named(name, shape.into(), dtype, Kind::Weight(pack))
    }

    /// A tensor placed by liveness.
    pub fn intermediate(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        self.add(name, shape.into(), dtype, Kind::Intermediate)
    }

    /// The range of the rows' scales in a weight's buffer; see [`TensorInfo::scales`].
    pub fn scales(&self, weight: &Tensor) -> Option<Range<u64>> {
        self.recording.info(weight.id).scales()
    }

    /// Whether a product with a weight may round both operands to f16: the model allows it, and the
    /// weight's format holds no more than f16 does, or brings scales.
    pub fn may_round(&self, weight: &Tensor) -> bool {
        let fits = !weight.dtype.exceeds_f16() || self.scales(weight).is_some();
        fits && self.activations() == DType::F16
    }

    /// Starts a kernel's run.
    pub fn dispatch(&mut self, op: &'static str, variant: Variant) -> DispatchBuilder<'_, 'a> {
        let dispatch = Dispatch {
            variant,
            bindings: Vec::new(),
            params: Vec::new(),
            workgroups: Workgroups([1, 1, 1]),
            flops: 0,
        };
        DispatchBuilder {
            recorder: self,
            op,
            dispatch,
        }
    }

    /// Copies bytes; both offsets and the length are multiples of four.
    pub fn copy(&mut self, from: (&Tensor, u64), to: (&Tensor, u64), bytes: u64) {
        if bytes > 0 {
            let at = |(tensor, offset): (&Tensor, u64)| (tensor.id, tensor.offset + offset);
            let (from, to) = (at(from), at(to));
            self.recording
                .commands
                .push(Command::Copy { from, to, bytes });
        }
    }

    /// Fills a tensor with zeros.
    pub fn clear(&mut self, tensor: &Tensor) {
        self.recording.commands.push(Command::Clear(tensor.id));
    }
}

/// A kernel's run being put together.
#[derive(Debug)]
#[must_use = "a dispatch is recorded by `launch`"]
pub struct DispatchBuilder<'r, 'a> {
    recorder: &'r mut Recorder<'a>,
    op: &'static str,
    dispatch: Dispatch,
}

impl DispatchBuilder<'_, '_> {
    fn bind(
        mut self,
        index: u32,
        tensor: &Tensor,
        access: Access,
        window: Option<Range<u64>>,
    ) -> Self {
        let whole = self.recorder.recording.info(tensor.id).shape.count() == tensor.shape.count();
        let window = match window {
            Some(w) => Some(tensor.offset + w.start..tensor.offset + w.end),
            None if whole => None,
            None => Some(tensor.offset..tensor.offset + tensor.bytes()),
        };
        self.dispatch.bindings.push(Binding {
            index,
            tensor: tensor.id,
            access,
            window,
        });
        self
    }

    /// Binds a whole tensor that is read.
    pub fn read(self, index: u32, tensor: &Tensor) -> Self {
        self.bind(index, tensor, Access::Read, None)
    }

    /// Binds bytes of a tensor that are read.
    pub fn read_window(self, index: u32, tensor: &Tensor, window: Range<u64>) -> Self {
        self.bind(index, tensor, Access::Read, Some(window))
    }

    /// Binds a whole tensor that is written.
    pub fn write(self, index: u32, tensor: &Tensor) -> Self {
        self.bind(index, tensor, Access::Write, None)
    }

    /// Binds bytes of a tensor that are written.
    pub fn write_window(self, index: u32, tensor: &Tensor, window: Range<u64>) -> Self {
        self.bind(index, tensor, Access::Write, Some(window))
    }

    /// Binds a tensor that is read and written in place.
    pub fn update(self, index: u32, tensor: &Tensor) -> Self {
        self.bind(index, tensor, Access::ReadWrite, None)
    }

    /// Binds bytes of a tensor that are read and written in place.
    pub fn update_window(self, index: u32, tensor: &Tensor, window: Range<u64>) -> Self {
        self.bind(index, tensor, Access::ReadWrite, Some(window))
    }

    /// The kernel's `Params`.
    pub fn params(mut self, params: &impl bytemuck::Pod) -> Self {
        self.dispatch.params = bytemuck::bytes_of(params).to_vec();
        self
    }

    /// Floating-point operations of this run.
    pub fn flops(mut self, flops: u64) -> Self {
        self.dispatch.flops = flops;
        self
    }

    /// Records the run with a grid.
    ///
    /// # Errors
    /// A binding larger than the device allows, too many storage buffers, a grid beyond the
    /// device's limit.
    pub fn launch(self, grid: [usize; 3]) -> Result<(), RecordError> {
        let Self {
            recorder,
            op,
            mut dispatch,
        } = self;
        if grid.contains(&0) {
            return Ok(());
        }
        let caps = recorder.caps;
        for binding in &dispatch.bindings {
            let info = recorder.recording.info(binding.tensor);
            let bytes = binding
                .window
                .as_ref()
                .map_or(info.bytes(), |w| w.end - w.start);
            if bytes > caps.max_binding_bytes {
                return Err(RecordError::BindingTooLarge {
                    op,
                    name: info.name.clone(),
                    shape: info.shape,
                    bytes,
                    limit: caps.max_binding_bytes,
                });
            }
        }
        if dispatch.bindings.len() as u32 > caps.max_storage_buffers {
            return Err(RecordError::TooManyBindings {
                op,
                found: dispatch.bindings.len() as u32,
                limit: caps.max_storage_buffers,
            });
        }
        let mut groups = [0u32; 3];
        for (out, size) in groups.iter_mut().zip(grid) {
            *out = u32::try_from(size)
                .ok()
                .filter(|&s| s <= caps.max_workgroups)
                .ok_or(RecordError::GridTooLarge {
                    op,
                    found: grid,
                    limit: caps.max_workgroups,
                })?;
        }
        dispatch.workgroups = Workgroups(groups);
        recorder
            .recording
            .commands
            .push(Command::Dispatch(dispatch));
        Ok(())
    }

    /// Records a dispatch of `count` workgroups as a grid folded over x and y. The kernel computes its
    /// number as `workgroup.x + workgroup.y * grid.x` and returns if it is past the end.
    ///
    /// # Errors
    /// As [`DispatchBuilder::launch`].
    pub fn launch_folded(self, count: usize) -> Result<(), RecordError> {
        let width = count.min(self.recorder.caps.max_workgroups as usize).max(1);
        let grid = if count == 0 {
            [0, 1, 1]
        } else {
            [width, count.div_ceil(width), 1]
        };
        self.launch(grid)
    }
}
