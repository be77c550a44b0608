//! The values of full-size weights: a pure function of a tensor's name, its shape and an element's
//! number, the same here as in `../fixtures/oracle/full_size.py`, so that no weights need be kept.
//!
//! ```text
//! u = SplitMix64's finaliser of (FNV-1a of the name + (i + 1) · golden ratio)
//! n = the sum of u's four 16-bit parts, centred, over its standard deviation   about normal
//! w = mean + std · n                                                           in f32
//! ```

/// Mean and standard deviation of a tensor's values: trained-like, so that activations stay finite
/// through any number of blocks. Those of the tests' own inputs, `NAME.input`, are normal.
pub fn scale(name: &str, shape: &[usize]) -> (f32, f32) {
    let fan_in: usize = shape.iter().skip(1).product();
    let inverse_root = (1.0 / (fan_in.max(1) as f64).sqrt()) as f32;
    if name.ends_with(".input") {
        return (0.0, 1.0);
    }
    let is_norm = shape.len() == 1 && name.ends_with(".weight");
    if is_norm || name.ends_with(".gamma") {
        (1.0, 0.1)
    } else if name.ends_with(".bias") {
        (0.0, 0.02)
    } else if name.ends_with("scale_shift_table") {
        (0.0, 0.1)
    } else if name == "shared.weight" || name.ends_with("relative_attention_bias.weight") {
        (0.0, 1.0)
    } else if name.ends_with("SelfAttention.q.weight") {
        // UMT5's scores are not divided by the root of the head's width.
        (0.0, inverse_root * 0.125)
    } else {
        (0.0, inverse_root)
    }
}

fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The values of a tensor from the element `first` on.
pub fn values(name: &str, shape: &[usize], first: usize) -> impl Iterator<Item = f32> {
    /// Of the sum of four uniform integers of 16 bits.
    const STD: f32 = 37_837.227;
    let (mean, std) = scale(name, shape);
    let (std, seed) = (std / STD, hash(name));
    (first as u64..).map(move |i| {
        let mut u = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        u = (u ^ (u >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        u = (u ^ (u >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u ^= u >> 31;
        let sum = (u & 0xffff) + (u >> 16 & 0xffff) + (u >> 32 & 0xffff) + (u >> 48);
        mean + std * (sum as i32 - 131_070) as f32
    })
}
