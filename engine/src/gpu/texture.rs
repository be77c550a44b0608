//! Textures that a host application shows.

use super::{Buffer, Gpu};
use crate::error::GpuError;

/// A texture of the device that the engine works on.
pub type Texture = wgpu::Texture;

/// Alignment in bytes of rows in a buffer that is copied to a texture.
pub const ROW_ALIGNMENT: u32 = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT;

impl Gpu {
    /// A texture of RGBA bytes (`Rgba8Unorm`) for binding and copying, from a buffer whose rows are
    /// aligned to [`ROW_ALIGNMENT`]. Submits the copy without waiting for it. The caller
    /// owns the texture: the engine does not count its memory.
    ///
    /// # Errors
    /// A texture larger than the device allows; the device failed.
    pub fn texture(
        &self,
        label: &str,
        [width, height]: [u32; 2],
        rows: &Buffer,
        bytes_per_row: u32,
    ) -> Result<Texture, GpuError> {
        let limit = self.device().limits().max_texture_dimension_2d;
        if width.max(height) > limit {
            return Err(GpuError::BufferTooLarge {
                label: label.to_owned(),
                bytes: u64::from(width.max(height)),
                limit: limit.into(),
            });
        }
        let size = wgpu::Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        };
        let texture = self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let mut encoder = self.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo {
                buffer: rows.raw(),
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(bytes_per_row),
                    rows_per_image: None,
                },
            },
            texture.as_image_copy(),
            size,
        );
        self.submit(Some(encoder.finish()));
        Ok(texture)
    }
}
