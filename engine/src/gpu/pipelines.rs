//! Pipelines by variant, made once a device.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;
use crate::error::{Error, GpuError};
use crate::shader::{BindingKind, Library, Variant};

/// A compiled kernel with what it binds.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: BTreeMap<u32, BindingKind>,
    pub(super) params_size: u32,
    pub(super) label: String,
}

#[derive(Debug)]
pub(super) struct Pipelines {
    library: Library,
    bounds_checks: bool,
    made: Mutex<HashMap<Variant, Arc<Pipeline>>>,
}

impl Pipelines {
    pub(super) fn new(bounds_checks: bool) -> Self {
        Self {
            library: Library::default(),
            bounds_checks,
            made: Mutex::default(),
        }
    }

    /// The pipeline of a variant.
    pub(super) fn get(&self, gpu: &Gpu, variant: &Variant) -> Result<Arc<Pipeline>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = made.get(variant) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.make(gpu, variant)?);
        made.insert(variant.clone(), pipeline.clone());
        Ok(pipeline)
    }

    fn make(&self, gpu: &Gpu, variant: &Variant) -> Result<Pipeline, Error> {
        let device = gpu.device();
        let linked = self.library.link(variant)?;
        let interface = linked.interface(variant)?;
        let label = format!("{variant:?}");
        let entries: Vec<wgpu::BindGroupLayoutEntry> = interface
            .bindings
            .iter()
            .map(|(&binding, &kind)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match kind {
                        BindingKind::Uniform => wgpu::BufferBindingType::Uniform,
                        BindingKind::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        BindingKind::ReadWrite => {
                            wgpu::BufferBindingType::Storage { read_only: false }
                        }
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(linked.text.into()),
        };
        let module = if self.bounds_checks {
            device.create_shader_module(descriptor)
        } else {
            #[expect(
                unsafe_code,
                reason = "the text is our own library's, its kernels guard every index, and the test suite runs them with checks on; unchecked is up to 1.6 times faster on software devices"
            )]
            // SAFETY: every kernel bounds its accesses by its params and its loops by its tile.
            unsafe {
                device.create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            }
        };
        let constants: Vec<(&str, f64)> = variant
            .overrides()
            .iter()
            .map(|&(name, value)| (name, f64::from(value)))
            .collect();
        let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        gpu.check(&format!("compiling {label}"))
            .map_err(|e: GpuError| Error::from(e))?;
        Ok(Pipeline {
            raw,
            layout,
            bindings: interface.bindings,
            params_size: interface.params_size,
            label,
        })
    }
}
