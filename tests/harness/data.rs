//! Seeded, asymmetric test data, and checkpoints made of it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use kinora::tensor::DType;
use kinora::weights::{Checkpoint, SafetensorsHeader, TensorView};

use super::Weight;

/// Values of about unit size, not symmetric around zero, the same for the same seed.
pub fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count)
        .map(|_| (next() + next() - 1.0) * 2.0 + 0.1)
        .collect()
}

/// Values as an element type holds them, whole blocks of them.
pub fn rounded(values: &[f32], dtype: DType) -> Vec<f32> {
    stored(values, &[1, values.len()], dtype).to_f32()
}

/// Values in an element type. Rows of types with scales have one each.
pub fn stored<'a>(values: &[f32], shape: &'a [usize], dtype: DType) -> TensorView<'a> {
    let mut view = stored_f32(values, shape)
        .quantized(dtype)
        .expect("whole blocks");
    if dtype.format().scaled.is_some() {
        view.bytes.to_mut().clear();
        view.scales.clear();
        for row in values.chunks((values.len() / shape[0]).max(1)) {
            let shape = [row.len()];
            let row = stored_f32(row, &shape).quantized(dtype).expect("no blocks");
            view.bytes.to_mut().extend_from_slice(&row.bytes);
            view.scales.extend(row.scales);
        }
    }
    view
}

fn stored_f32<'a>(values: &[f32], shape: &'a [usize]) -> TensorView<'a> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorView::new("w", DType::F32, shape, bytes)
}

/// The f32 values of a buffer that was read back.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks().0.iter();
    words.map(|&b| f32::from_le_bytes(b)).collect()
}

/// A safetensors file in memory, without the weights whose types only matrices can have.
pub fn checkpoint(weights: &[Weight<'_>]) -> Checkpoint {
    let mut header = SafetensorsHeader::default();
    let mut body: Vec<u8> = Vec::new();
    for (name, shape, dtype, values) in weights.iter().filter(|w| !w.2.is_for_matrices()) {
        header.tensor(name, *dtype, shape).expect("a new name");
        body.extend_from_slice(&stored(values, shape, *dtype).bytes);
    }
    let mut file = header.to_bytes();
    file.extend(body);
    Checkpoint::from_bytes("test data", file, "test").expect("a valid file")
}
