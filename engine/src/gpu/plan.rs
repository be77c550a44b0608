//! Recordings prepared to run: pipelines, bind groups, and a place for every intermediate.

use std::collections::HashMap;
use std::sync::Arc;

use super::pipelines::Pipeline;
use super::{Buffer, Cancel, Gpu};
use crate::error::{Error, GpuError};
use crate::record::{Command, Kind, PARAMS_ALIGNMENT, Recording, TensorId, TensorInfo, place};
use crate::shader::{Access, BindingKind, Variant};

/// One or more recordings that run one after the other and share the buffers of their
/// intermediates: the prologue, block and epilogue of a transformer, say.
#[derive(Debug)]
pub struct Plan {
    gpu: Gpu,
    passes: Vec<Pass>,
    buffers: Vec<Buffer>,
}

#[derive(Debug)]
struct Pass {
    tensors: Vec<TensorInfo>,
    buffer_of: Vec<Option<usize>>,
    steps: Vec<Step>,
    params: Option<Buffer>,
}

#[derive(Debug)]
enum Step {
    Dispatch {
        pipeline: Arc<Pipeline>,
        bindings: Vec<crate::record::Binding>,
        params: Option<(u32, u64, u64)>,
        workgroups: [u32; 3],
        flops: u64,
    },
    Copy {
        from: (TensorId, u64),
        to: (TensorId, u64),
        bytes: u64,
    },
    Clear(TensorId),
}

/// A pass with all its tensors bound: what a stream runs.
#[derive(Debug)]
pub struct Bound {
    pub(super) steps: Vec<BoundStep>,
    /// The buffers of the bind groups, held so that they stay counted while in use.
    _buffers: Vec<Buffer>,
}

#[derive(Debug)]
pub(super) enum BoundStep {
    Dispatch(BoundDispatch),
    Copy {
        from: (Buffer, u64),
        to: (Buffer, u64),
        bytes: u64,
    },
    Clear(Buffer),
}

/// A dispatch with its pipeline and bindings.
#[derive(Debug)]
pub(super) struct BoundDispatch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
    pub(super) flops: u64,
    /// The bytes it binds, without params.
    bytes: u64,
}

impl BoundStep {
    pub(super) fn dispatch(&self) -> Option<&BoundDispatch> {
        match self {
            Self::Dispatch(dispatch) => Some(dispatch),
            Self::Copy { .. } | Self::Clear(_) => None,
        }
    }
}

impl BoundDispatch {
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline.raw);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }

    /// The row of a profile that its time is added to.
    pub(super) fn key(&self) -> (String, u64, u64) {
        (self.pipeline.label.clone(), self.flops, self.bytes)
    }
}

/// The kernels of recordings.
fn variants<'r>(recordings: &[&'r Recording]) -> Vec<&'r Variant> {
    let commands = recordings.iter().flat_map(|recording| &recording.commands);
    commands
        .filter_map(|command| match command {
            Command::Dispatch(dispatch) => Some(&dispatch.variant),
            Command::Copy { .. } | Command::Clear(_) => None,
        })
        .collect()
}

impl Gpu {
    /// Compiles the kernels of a later plan on the calling thread while the device works on something
    /// else, until `stop`.
    ///
    /// # Errors
    /// As those of [`Plan::new`] about kernels.
    pub fn compile_ahead(&self, recordings: &[&Recording], stop: &Cancel) -> Result<(), Error> {
        self.pipelines()
            .prepare_ahead(self, &variants(recordings), stop)
    }
}

impl Plan {
    /// Compiles the kernels of the recordings and makes the buffers they share.
    ///
    /// # Errors
    /// Kernels that do not link, bindings or params that do not fit their kernel, no memory.
    pub fn new(gpu: &Gpu, recordings: &[&Recording]) -> Result<Self, Error> {
        gpu.pipelines().prepare(gpu, &variants(recordings))?;
        let mut sizes: Vec<u64> = Vec::new();
        let mut passes = Vec::new();
        for recording in recordings {
            let placement = place(recording);
            // Sorted by size, the buffers of different passes share memory best.
            let mut order: Vec<usize> = (0..placement.buffers.len()).collect();
            order.sort_by_key(|&i| std::cmp::Reverse(placement.buffers[i]));
            let mut rank = vec![0; order.len()];
            for (position, &i) in order.iter().enumerate() {
                rank[i] = position;
                if position == sizes.len() {
                    sizes.push(0);
                }
                sizes[position] = sizes[position].max(placement.buffers[i]);
            }
            let buffer_of = placement
                .buffer_of
                .iter()
                .map(|b| b.map(|i| rank[i]))
                .collect();
            passes.push(pass(gpu, recording, buffer_of)?);
        }
        let named = sizes.iter().enumerate();
        let buffers = named
            .map(|(i, &bytes)| gpu.buffer(&format!("intermediates {i}"), bytes))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            gpu: gpu.clone(),
            passes,
            buffers,
        })
    }

    /// Binds a pass: `external` gives the buffer of each input, output, state and weight by name.
    ///
    /// # Errors
    /// A tensor without a buffer, or with one that is too small.
    pub fn bind(
        &self,
        pass: usize,
        external: &dyn Fn(&TensorInfo) -> Option<Buffer>,
    ) -> Result<Bound, Error> {
        let pass = &self.passes[pass];
        let mut found: HashMap<TensorId, Buffer> = HashMap::new();
        let mut resolve = |id: TensorId| -> Result<Buffer, GpuError> {
            if let Some(buffer) = found.get(&id) {
                return Ok(buffer.clone());
            }
            let info = &pass.tensors[id.0 as usize];
            let buffer = match pass.buffer_of[id.0 as usize] {
                Some(index) => self.buffers[index].clone(),
                None => external(info).ok_or_else(|| GpuError::Unbound {
                    name: info.name.clone(),
                })?,
            };
            if buffer.size() < info.bytes() {
                return Err(GpuError::BufferSize {
                    name: info.name.clone(),
                    found: buffer.size(),
                    expected: info.bytes(),
                });
            }
            found.insert(id, buffer.clone());
            Ok(buffer)
        };
        let mut steps = Vec::with_capacity(pass.steps.len());
        for step in &pass.steps {
            steps.push(match step {
                Step::Copy { from, to, bytes } => BoundStep::Copy {
                    from: (resolve(from.0)?, from.1),
                    to: (resolve(to.0)?, to.1),
                    bytes: *bytes,
                },
                Step::Clear(id) => BoundStep::Clear(resolve(*id)?),
                Step::Dispatch {
                    pipeline,
                    bindings,
                    params,
                    workgroups,
                    flops,
                } => {
                    let mut bound = Vec::with_capacity(bindings.len());
                    for binding in bindings {
                        let buffer = resolve(binding.tensor)?;
                        let bytes = pass.tensors[binding.tensor.0 as usize].bytes();
                        let window = binding.window.clone().unwrap_or(0..bytes);
                        bound.push((binding.index, buffer, window));
                    }
                    let entry = |index: u32, buffer, offset, size| wgpu::BindGroupEntry {
                        binding: index,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer,
                            offset,
                            size: std::num::NonZeroU64::new(size),
                        }),
                    };
                    let mut entries: Vec<wgpu::BindGroupEntry<'_>> = bound
                        .iter()
                        .map(|(i, b, w)| entry(*i, b.raw(), w.start, w.end - w.start))
                        .collect();
                    if let (Some((index, offset, size)), Some(buffer)) = (params, &pass.params) {
                        entries.push(entry(*index, buffer.raw(), *offset, *size));
                    }
                    let group = self
                        .gpu
                        .device()
                        .create_bind_group(&wgpu::BindGroupDescriptor {
                            label: Some(&pipeline.label),
                            layout: &pipeline.layout,
                            entries: &entries,
                        });
                    self.gpu.count_bind_group();
                    BoundStep::Dispatch(BoundDispatch {
                        pipeline: pipeline.clone(),
                        group,
                        workgroups: *workgroups,
                        flops: *flops,
                        bytes: bound.iter().map(|(_, _, w)| w.end - w.start).sum(),
                    })
                }
            });
        }
        self.gpu.check("binding a plan")?;
        Ok(Bound {
            steps,
            _buffers: found.into_values().collect(),
        })
    }
}

fn pass(gpu: &Gpu, recording: &Recording, buffer_of: Vec<Option<usize>>) -> Result<Pass, Error> {
    let mut steps = Vec::with_capacity(recording.commands.len());
    let mut params: Vec<u8> = Vec::new();
    let mut known: HashMap<Vec<u8>, u64> = HashMap::new();
    for command in &recording.commands {
        steps.push(match command {
            Command::Copy { from, to, bytes } => Step::Copy {
                from: *from,
                to: *to,
                bytes: *bytes,
            },
            Command::Clear(id) => Step::Clear(*id),
            Command::Dispatch(dispatch) => {
                let pipeline = gpu.pipelines().get(gpu, &dispatch.variant)?;
                check_bindings(recording, dispatch, &pipeline)?;
                let uniform = pipeline
                    .bindings
                    .iter()
                    .find(|(_, kind)| **kind == BindingKind::Uniform);
                let at = uniform.map(|(&index, _)| {
                    let bytes = dispatch.params.clone();
                    let size = bytes.len() as u64;
                    let offset = *known.entry(bytes).or_insert_with(|| {
                        let offset = (params.len() as u64).next_multiple_of(PARAMS_ALIGNMENT);
                        params.resize(offset as usize, 0);
                        params.extend_from_slice(&dispatch.params);
                        offset
                    });
                    (index, offset, size)
                });
                Step::Dispatch {
                    pipeline,
                    bindings: dispatch.bindings.clone(),
                    params: at,
                    workgroups: dispatch.workgroups.0,
                    flops: dispatch.flops,
                }
            }
        });
    }
    let params = if params.is_empty() {
        None
    } else {
        use wgpu::BufferUsages as Usage;
        let bytes = params.len() as u64;
        let buffer = gpu.buffer_for("params", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        gpu.write(&buffer, 0, &params)?;
        Some(buffer)
    };
    Ok(Pass {
        tensors: recording.tensors.clone(),
        buffer_of,
        steps,
        params,
    })
}

/// A dispatch binds exactly what its kernel declares, writes nothing it also reads, and brings
/// params of the right size.
fn check_bindings(
    recording: &Recording,
    dispatch: &crate::record::Dispatch,
    pipeline: &Pipeline,
) -> Result<(), GpuError> {
    let problem = |binding, problem| GpuError::Binding {
        variant: format!("{:?}", dispatch.variant),
        binding,
        problem,
    };
    for (index, binding) in dispatch.bindings.iter().enumerate() {
        let kind = pipeline.bindings.get(&binding.index);
        match (kind, binding.access) {
            (Some(BindingKind::Read), Access::Read) => {}
            (Some(BindingKind::ReadWrite), Access::Write | Access::ReadWrite) => {}
            (None, _) => return Err(problem(binding.index, "is not declared by the kernel")),
            _ => {
                return Err(problem(
                    binding.index,
                    "is bound with another access than declared",
                ));
            }
        }
        let again = dispatch.bindings[..index]
            .iter()
            .find(|b| b.tensor == binding.tensor);
        if again.is_some_and(|b| b.access != Access::Read || binding.access != Access::Read) {
            return Err(problem(binding.index, "binds a tensor twice and writes it"));
        }
        if binding.access != Access::Read
            && matches!(recording.info(binding.tensor).kind, Kind::Weight(_))
        {
            return Err(problem(binding.index, "writes a weight"));
        }
    }
    for (&index, &kind) in &pipeline.bindings {
        let bound = dispatch.bindings.iter().any(|b| b.index == index);
        if kind != BindingKind::Uniform && !bound {
            return Err(problem(index, "is declared by the kernel and not bound"));
        }
    }
    if dispatch.params.len() != pipeline.params_size as usize {
        return Err(GpuError::Params {
            variant: format!("{:?}", dispatch.variant),
            found: dispatch.params.len(),
            expected: pipeline.params_size,
        });
    }
    Ok(())
}
