//! Pipelines by variant, each created once per device.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::pipeline_cache::PipelineCache;
use super::{Cancel, Gpu, GpuOptions};
use crate::error::{Error, GpuError};
use crate::shader::{BindingKind, Library, Variant};

/// A compiled kernel and its bindings.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) raw: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: BTreeMap<u32, BindingKind>,
    pub(super) params_size: u32,
    pub(super) label: String,
}

/// A pipeline, or `None` until it is created. The thread that creates it holds the lock and others wait.
type Cell = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// Compiled kernels. Several threads may compile at once; pipelines are never dropped.
#[derive(Debug)]
pub(super) struct Pipelines {
    library: Library,
    bounds_checks: bool,
    cells: Mutex<HashMap<Variant, Cell>>,
    cache: Option<PipelineCache>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipelines {
    pub(super) fn new(
        adapter: &wgpu::Adapter,
        device: &wgpu::Device,
        options: &GpuOptions,
    ) -> Self {
        // The driver's cache cannot tell kernels with checks from those without.
        let folder = options.cache.as_ref().filter(|_| !options.bounds_checks);
        let cache =
            folder.and_then(|folder| PipelineCache::open(folder, device, &adapter.get_info()));
        Self {
            library: Library::default(),
            bounds_checks: options.bounds_checks,
            cells: Mutex::default(),
            cache,
        }
    }

    fn cell(&self, variant: &Variant) -> Cell {
        let mut cells = locked(&self.cells);
        match cells.get(variant) {
            Some(cell) => cell.clone(),
            None => cells.entry(variant.clone()).or_default().clone(),
        }
    }

    /// The pipeline of a variant.
    pub(super) fn get(&self, gpu: &Gpu, variant: &Variant) -> Result<Arc<Pipeline>, Error> {
        // Only this variant is locked, because a driver may compile for seconds.
        let cell = self.cell(variant);
        let mut made = locked(&cell);
        if let Some(pipeline) = &*made {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.make(gpu, variant)?);
        Ok(made.insert(pipeline).clone())
    }

    /// The variants that are neither created nor being created.
    fn missing<'v>(&self, variants: &[&'v Variant]) -> Vec<&'v Variant> {
        let mut seen = HashSet::new();
        let all = variants.iter().copied().filter(|v| seen.insert(*v));
        all.filter(|v| match self.cell(v).try_lock() {
            Ok(made) => made.is_none(),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        })
        .collect()
    }

    /// Compiles missing variants one after the other, until `stop`.
    pub(super) fn prepare_ahead(
        &self,
        gpu: &Gpu,
        variants: &[&Variant],
        stop: &Cancel,
    ) -> Result<(), Error> {
        let missing = self.missing(variants).into_iter();
        let made = missing
            .take_while(|_| !stop.is_cancelled())
            .try_for_each(|variant| self.get(gpu, variant).map(|_| ()));
        self.keep();
        made
    }

    /// Compiles missing variants on as many threads as the host has cores, and saves them to disk if
    /// the driver can.
    pub(super) fn prepare(&self, gpu: &Gpu, variants: &[&Variant]) -> Result<(), Error> {
        let missing = self.missing(variants);
        if missing.is_empty() {
            return Ok(());
        }
        let next = AtomicUsize::new(0);
        let compile = || -> Result<(), Error> {
            while let Some(variant) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.get(gpu, variant)?;
            }
            Ok(())
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..cores.min(missing.len()))
                .map(|_| scope.spawn(compile))
                .collect();
            let mut result = compile();
            for other in others {
                let joined = other.join().unwrap_or_else(|_| {
                    Err(Error::from(GpuError::Failed {
                        during: "compiling kernels".into(),
                        reason: "the driver panicked".into(),
                    }))
                });
                result = result.and(joined);
            }
            result
        })?;
        self.keep();
        Ok(())
    }

    fn keep(&self) {
        if let Some(cache) = &self.cache {
            cache.keep();
        }
    }

    fn make(&self, gpu: &Gpu, variant: &Variant) -> Result<Pipeline, Error> {
        let device = gpu.device();
        let linked = self.library.link(variant)?;
        let interface = linked.interface(variant)?;
        let label = format!("{variant:?}");
        // Error scopes belong to a thread, so an error is attributed to the kernel that caused it.
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Validation, Internal].map(|kind| device.push_error_scope(kind));
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
            cache: self.cache.as_ref().map(PipelineCache::raw),
        });
        for scope in scopes.into_iter().rev() {
            if let Some(error) = pollster::block_on(scope.pop()) {
                return Err(Error::from(GpuError::Failed {
                    during: format!("compiling {label}"),
                    reason: error.to_string(),
                }));
            }
        }
        if let Some(cache) = &self.cache {
            cache.grown();
        }
        Ok(Pipeline {
            raw,
            layout,
            bindings: interface.bindings,
            params_size: interface.params_size,
            label,
        })
    }
}
