//! A decoded frame, which stays on the device until somebody asks for bytes.

use std::borrow::Cow;

use crate::cancel::Cancel;
use crate::error::{Error, RecordError};
use crate::gpu::{Buffer, Gpu, Plan, ROW_ALIGNMENT, Stream, Texture};
use crate::models::vae::FrameBytes;
use crate::ops::picture::{Part, Planes, rgba8, yuv420};
use crate::record::{Recorder, Tensor};
use crate::tensor::{DType, Shape};

/// Records a conversion of a frame's bytes into an output of 32-bit words.
type Op = fn(&mut Recorder<'_>, &Tensor, Part, &Tensor) -> Result<(), RecordError>;

/// A decoded frame: the central part of what the decoder made.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'f> {
    gpu: &'f Gpu,
    bytes: FrameBytes<'f>,
    /// Width and height as decoded.
    made: [usize; 2],
    /// Width and height of the part.
    size: [usize; 2],
}

impl<'f> Picture<'f> {
    pub(crate) fn new(
        gpu: &'f Gpu,
        bytes: FrameBytes<'f>,
        made: [usize; 2],
        size: [usize; 2],
    ) -> Self {
        Self {
            gpu,
            bytes,
            made,
            size,
        }
    }

    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Whether the decoder left it on the device: frames of bands and of a linear map are on the
    /// host.
    pub fn is_on_device(&self) -> bool {
        matches!(self.bytes, FrameBytes::Device { .. })
    }

    /// 8-bit RGB, [height, width, 3], read back from the device where it lies there.
    ///
    /// # Errors
    /// The device failed.
    pub fn rgb(&self) -> Result<Cow<'f, [u8]>, Error> {
        let whole = self.bytes.read()?;
        if self.size == self.made {
            return Ok(whole);
        }
        let ([wide, tall], [width, height]) = (self.made, self.size);
        let (left, top) = ((wide - width) / 2, (tall - height) / 2);
        let mut part = Vec::with_capacity(3 * width * height);
        for row in whole.chunks_exact(3 * wide).skip(top).take(height) {
            part.extend_from_slice(&row[3 * left..3 * (left + width)]);
        }
        Ok(part.into())
    }

    /// The frame in planes of YUV 4:2:0, converted on the device.
    ///
    /// # Errors
    /// No room on the device, or it failed.
    pub fn yuv420(&self) -> Result<(Planes, Vec<u8>), Error> {
        let planes = Planes::of(self.size);
        let [_, _, bytes] = planes.ends();
        let made = self.run([bytes / 4], yuv420)?;
        Ok((planes, self.gpu.read(&made, 0..bytes as u64)?))
    }

    /// The frame as a texture (`Rgba8Unorm`) of the device, for a host application that opened the
    /// device itself. Nothing passes through the host, except for frames that were decoded in bands
    /// or by a linear map.
    ///
    /// # Errors
    /// No room on the device, a frame larger than its textures, or it failed.
    pub fn texture(&self) -> Result<Texture, Error> {
        let [width, height] = self.size;
        let stride = width.next_multiple_of(ROW_ALIGNMENT as usize / 4);
        let shape = [height, stride];
        let rows = self.run(shape, rgba8)?;
        let size = self.size.map(|side| side as u32);
        let texture = self.gpu.texture("frame", size, &rows, stride as u32 * 4)?;
        Ok(texture)
    }

    /// Runs a kernel over the frame's bytes into a new buffer of words.
    fn run(&self, shape: impl Into<Shape>, op: Op) -> Result<Buffer, Error> {
        let gpu = self.gpu;
        let (source, start) = self.bytes.on_device(gpu)?;
        let mut rec = Recorder::new(gpu.caps());
        let x = rec.input("bytes", [source.size() as usize / 4], DType::U32)?;
        let y = rec.output("picture", shape, DType::U32)?;
        let part = Part {
            start,
            made: self.made,
            size: self.size,
        };
        op(&mut rec, &x, part, &y)?;
        let recording = rec.finish();
        let plan = Plan::new(gpu, &[&recording])?;
        let made = gpu.buffer("picture", y.bytes())?;
        let bound = plan.bind(0, &|info| match info.name.as_str() {
            "bytes" => Some(source.clone()),
            _ => Some(made.clone()),
        })?;
        let mut stream = Stream::new(gpu, &Cancel::new());
        stream.run(&bound)?;
        stream.finish()?;
        Ok(made)
    }
}
