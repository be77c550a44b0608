//! A host application that opened the device shows decoded frames as textures: what it renders is
//! what the PNG holds, and the planes for the encoder are those of the host's conversion.

use std::path::Path;

use kinora::Cancel;
use kinora::gpu::{Gpu, Texture, wgpu};
use kinora::job::Frame;
use kinora::media::{frame_path, write_png};
use libtest_mimic::{Failed, Trial};

use crate::harness::{device_test, options};
use crate::{open, own_fixtures};

/// Draws a texture over the whole target.
const SHADER: &str = "
@group(0) @binding(0) var frame: texture_2d<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let x = f32(index & 1u) * 4.0 - 1.0;
    let y = f32(index >> 1u) * 4.0 - 1.0;
    return vec4<f32>(x, y, 0.0, 1.0);
}

@fragment
fn colour(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
    return textureLoad(frame, vec2<i32>(at.xy), 0);
}
";

pub(crate) fn trials() -> Vec<Trial> {
    // On Mesa's GL the process dies (SIGBUS) when devices are opened after others were destroyed.
    let survives = crate::harness::gpu().is_none_or(|gpu| gpu.caps().backend != "gl");
    let trial = device_test("shown/by_the_host", |_| shown(&own_fixtures().join("ti2v")));
    vec![trial.with_ignored_flag(!survives)]
}

/// A device that the host opened, and the engine's view of it.
struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    gpu: Gpu,
}

fn host() -> Result<Host, Failed> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let adapter = pollster::block_on(adapter)?;
    let need = Gpu::requirements(&adapter);
    let descriptor = wgpu::DeviceDescriptor {
        required_features: need.features,
        required_limits: need.limits,
        experimental_features: need.experimental,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let gpu = Gpu::from_device(&adapter, device.clone(), queue.clone(), &options())?;
    Ok(Host { device, queue, gpu })
}

impl Host {
    /// Renders a texture and reads the target back: RGB.
    fn render(&self, frame: &Texture) -> Result<Vec<u8>, Failed> {
        let (device, size) = (&self.device, frame.size());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options: Default::default(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let target = device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(
                    &frame.create_view(&Default::default()),
                ),
            }],
        });
        let row = (size.width * 4).next_multiple_of(256);
        let rows = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(row * size.height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let view = target.create_view(&Default::default());
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: Default::default(),
                })],
                ..Default::default()
            });
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.draw(0..3, 0..1);
        }
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row),
            rows_per_image: None,
        };
        let to = wgpu::TexelCopyBufferInfo {
            buffer: &rows,
            layout,
        };
        encoder.copy_texture_to_buffer(target.as_image_copy(), to, size);
        self.queue.submit([encoder.finish()]);
        rows.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let mapped = rows.slice(..).get_mapped_range()?;
        let lines = mapped.chunks_exact(row as usize);
        let pixels = lines.flat_map(|line| line[..size.width as usize * 4].as_chunks::<4>().0);
        Ok(pixels.flat_map(|&[r, g, b, _]| [r, g, b]).collect())
    }
}

/// The pixels of an 8-bit RGB PNG.
fn png_pixels(path: &Path) -> Result<Vec<u8>, Failed> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut reader = png::Decoder::new(file).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("a size")?];
    reader.next_frame(&mut pixels)?;
    Ok(pixels)
}

fn shown(path: &Path) -> Result<(), Failed> {
    let host = host()?;
    let (engine, mut request) = open(&host.gpu, path)?;
    // One step is enough for pictures; sizes that are no multiples of anything are cropped.
    request.steps = Some(1);
    let mut job = engine.prepare(&request)?;
    let folder = tempfile::tempdir()?;
    let mut failed: Option<Failed> = None;
    let mut frames = 0;
    let mut sink = |frame: &Frame<'_>| {
        let rgb = frame.rgb()?;
        let [width, height] = [frame.width, frame.height].map(|side| side as u32);
        let png = frame_path(folder.path(), frame.index);
        write_png(&png, width, height, &rgb, false)?;
        let seen = frame.picture().ok_or(kinora::Error::Cancelled)?.texture()?;
        let same = host.render(&seen).and_then(|shown| {
            let wanted = png_pixels(&png)?;
            match shown == wanted {
                true => Ok(()),
                false => Err(format!("frame {} is shown otherwise", frame.index).into()),
            }
        });
        failed = failed.take().or(same.err());
        frames += 1;
        Ok(())
    };
    job.run(&mut sink, &mut |_| {}, &Cancel::new())?;
    match failed {
        Some(error) => Err(error),
        None if frames == job.settings().frames => Ok(()),
        None => Err(format!("{frames} frames").into()),
    }
}
