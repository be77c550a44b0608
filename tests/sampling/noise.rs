//! Starting noise against `torch.randn`.

use kinora::sampling::{Noise, NoiseOrder, fill_randn, randn};

use super::{cases, count, floats};

/// The largest difference from `torch.randn`; torch's own two paths differ by 2.4e-6.
const NOISE_MAX_ABS: f64 = 2e-6;

#[test]
fn noise_is_torchs() {
    let mut worst: f64 = 0.0;
    for case in cases(include_str!("../fixtures/sampling/randn.json")) {
        let (seed, n) = (case["seed"].as_u64().unwrap(), count(&case["n"]));
        let noise = randn(seed, n);
        assert_eq!(noise.len(), n);
        let head = floats(&case["head"]);
        let tail = case.get("tail").map_or_else(Vec::new, floats);
        let found = noise[..head.len()].iter().chain(&noise[n - tail.len()..]);
        for (a, b) in found.zip(head.iter().chain(&tail)) {
            let difference = (f64::from(*a) - b).abs();
            assert!(
                difference <= NOISE_MAX_ABS,
                "seed {seed}, {n} values: {a} against {b}"
            );
            worst = worst.max(difference);
        }
        if case.get("sum").is_some() {
            let values = || noise.iter().copied().map(f64::from);
            let (sum, squares) = (values().sum::<f64>(), values().map(|v| v * v).sum::<f64>());
            let bound = 1e-7 * n as f64;
            assert!((sum - case["sum"].as_f64().unwrap()).abs() < bound);
            assert!((squares - case["squares"].as_f64().unwrap()).abs() < bound);
        }
    }
    println!("largest difference from torch.randn: {worst:.1e}");
}

#[test]
fn noise_fills_what_it_is_given() {
    let mut out = [7.0; 33];
    fill_randn(42, &mut out);
    assert_eq!(out.as_slice(), randn(42, 33));
    assert!(randn(42, 0).is_empty());
    // The last 16 values are drawn again, so that a shorter run is no prefix of a longer one.
    assert_eq!(randn(42, 32)[..16], out[..16]);
    assert_ne!(randn(42, 32)[17..], out[17..32]);
}

/// A generator goes on where it stopped, also in the middle of a pair; values from torch 2.11.
#[test]
fn noise_goes_on() {
    let mut noise = Noise::new(7);
    for (n, last) in [
        (5, 1.690_790_2),
        (3, 1.232_385_8),
        (20, -1.367_739_7),
        (1, 1.814_972_8),
        (2, 1.614_814_8),
    ] {
        let mut out = vec![0.0; n];
        noise.fill(&mut out);
        assert!((out[n - 1] - last).abs() < 2e-6, "{n}: {out:?}");
    }
    let shape = [1, 3, 2, 4, 5];
    let mut frames_first = Noise::new(7);
    let found = frames_first.latents(shape, NoiseOrder::FramesFirst);
    let drawn = randn(7, 120);
    for (at, value) in found.iter().enumerate() {
        let (c, t, pixel) = (at / 40, at / 20 % 2, at % 20);
        assert_eq!(*value, drawn[(t * 3 + c) * 20 + pixel]);
    }
}

#[test]
fn the_low_32_bits_of_a_seed_count() {
    // torch.randn(40, generator=torch.Generator().manual_seed(s)) is equal for these, too.
    let low = randn(7, 40);
    assert_eq!(low, randn((1 << 32) + 7, 40));
    assert_eq!(low, randn((5 << 33) + 7, 40));
    assert_eq!(randn(u64::MAX, 40), randn(u32::MAX.into(), 40));
    assert_ne!(low, randn(8, 40));
}
