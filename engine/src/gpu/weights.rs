//! A checkpoint's tensors on the device, in the layouts that kernels read.

use std::collections::HashMap;

use super::matrix::{row_scales, upload_matrix};
use super::{Buffer, Gpu};
use crate::error::{Error, RecordError};
use crate::record::{Pack, Recording, TensorInfo};
use crate::tensor::DType;
use crate::weights::{Checkpoint, TensorView};

/// Device buffers by the names of the checkpoint. Dropping it frees them.
#[derive(Debug, Default)]
pub struct WeightBuffers {
    buffers: HashMap<String, Buffer>,
}

impl WeightBuffers {
    /// No weights.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uploads the recording's weights that are not on the device yet. `rename` maps a recorded name
    /// to the checkpoint's, so that one block's recording serves all blocks.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, or no room on the device.
    pub fn load(
        &mut self,
        gpu: &Gpu,
        checkpoint: &Checkpoint,
        recording: &Recording,
        rename: &dyn Fn(&str) -> String,
    ) -> Result<(), Error> {
        for (_, info, pack) in recording.weights() {
            let name = rename(&info.name);
            if self.buffers.contains_key(&name) {
                continue;
            }
            let view = checkpoint.get(&name, info.shape.dims())?;
            self.put(gpu, info, pack, &view)?;
        }
        Ok(())
    }

    /// Uploads one tensor under the name it has in `view`.
    ///
    /// # Errors
    /// More or fewer bytes than the recorded shape and type take, blocks that do not fill rows, or
    /// no room on the device.
    pub fn put(
        &mut self,
        gpu: &Gpu,
        info: &TensorInfo,
        pack: Pack,
        view: &TensorView<'_>,
    ) -> Result<(), Error> {
        let buffer = gpu.buffer(view.name, info.bytes())?;
        upload(gpu, &buffer, info, pack, view)?;
        self.buffers.insert(view.name.to_owned(), buffer);
        Ok(())
    }

    /// The buffer of a tensor, by the checkpoint's name.
    pub fn get(&self, name: &str) -> Option<Buffer> {
        self.buffers.get(name).cloned()
    }

    /// Bytes of device memory.
    pub fn bytes(&self) -> u64 {
        self.buffers.values().map(Buffer::size).sum()
    }
}

/// Writes a tensor into a buffer that has room for it, in the layout that kernels read.
///
/// # Errors
/// As [`WeightBuffers::put`].
pub(super) fn upload(
    gpu: &Gpu,
    buffer: &Buffer,
    info: &TensorInfo,
    pack: Pack,
    view: &TensorView<'_>,
) -> Result<(), Error> {
    check(info, pack, view)?;
    match pack {
        Pack::Vector => gpu.write(buffer, 0, bytemuck::cast_slice(&view.to_f32()))?,
        Pack::Matrix | Pack::Conv | Pack::ConvOfTwo => {
            let view = &*view.widened_to(info.dtype);
            upload_matrix(gpu, buffer, info, pack, view)?;
            if let Some(place) = info.scales() {
                let scales = row_scales(info, view);
                gpu.write(buffer, place.start, bytemuck::cast_slice(&scales))?;
            }
        }
    }
    Ok(())
}

/// Checks that a tensor has the bytes that a recording expects.
fn check(info: &TensorInfo, pack: Pack, view: &TensorView<'_>) -> Result<(), RecordError> {
    let refused = |name, found, expected| RecordError::Size {
        op: "weight",
        name,
        found,
        expected,
    };
    // Vectors are f32 on the device whatever their type in the file, and so are convolutions in a
    // type that only matrices support.
    let widened = view.dtype.is_for_matrices() && info.dtype == DType::F32;
    if pack != Pack::Vector && view.dtype != info.dtype && !widened {
        let found = view.dtype.bytes(view.dtype.block());
        return Err(refused(
            "bytes of an element",
            found,
            "those of the type recorded",
        ));
    }
    let count = info.shape.count();
    if view.bytes.len() != view.dtype.bytes(count) {
        let expected = "as many as shape and element type take";
        return Err(refused("bytes", view.bytes.len(), expected));
    }
    let row = info.shape.last_dim();
    if !row.is_multiple_of(view.dtype.block()) {
        let expected = "a multiple of the block of the element type";
        return Err(refused("row", row, expected));
    }
    let scales = view.scales.len();
    let of_rows = info.shape.first().copied().unwrap_or(1);
    if !(scales <= 1 || scales == of_rows) || (scales > 0 && view.dtype.format().scaled.is_none()) {
        let expected = "none, or of a type with scales one or one a row";
        return Err(refused("scales", scales, expected));
    }
    Ok(())
}
