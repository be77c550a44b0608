//! Seeded, asymmetric test data, and checkpoints made of it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use kinora::tensor::{DType, q8_0};
use kinora::weights::Checkpoint;

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

/// Values as an element type holds them.
pub fn rounded(values: &[f32], dtype: DType) -> Vec<f32> {
    if dtype == DType::Q8_0 {
        return q8_0::dequantize(&q8_0::quantize(values)).collect();
    }
    let round = |&v: &f32| match dtype {
        DType::F16 => half::f16::from_f32(v).to_f32(),
        DType::BF16 => half::bf16::from_f32(v).to_f32(),
        _ => v,
    };
    values.iter().map(round).collect()
}

/// A safetensors file in memory; weights in blocks cannot be in one.
pub fn checkpoint(weights: &[Weight<'_>]) -> Checkpoint {
    let mut header = serde_json::Map::new();
    let mut body: Vec<u8> = Vec::new();
    for (name, shape, dtype, values) in weights.iter().filter(|w| w.2 != DType::Q8_0) {
        let start = body.len();
        for &v in *values {
            match dtype {
                DType::F16 => body.extend(half::f16::from_f32(v).to_le_bytes()),
                DType::BF16 => body.extend(half::bf16::from_f32(v).to_le_bytes()),
                _ => body.extend(v.to_le_bytes()),
            }
        }
        header.insert(
            (*name).to_owned(),
            serde_json::json!({
                "dtype": dtype.name().to_uppercase(),
                "shape": shape,
                "data_offsets": [start, body.len()],
            }),
        );
    }
    let mut text = serde_json::Value::Object(header).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text.as_bytes());
    file.extend(body);
    Checkpoint::from_bytes("test data", file, "test").expect("a valid file")
}
