//! The autoencoder's norm: any number of channels, pixels of zeros.

use kinora::ops::channel_norm::channel_norm;
use kinora::tensor::DType;
use libtest_mimic::Trial;

use crate::harness::compare::{ELEMENTWISE, close};
use crate::harness::data::values;
use crate::harness::guise::{Guise, guise_test};
use crate::harness::{Input, Run};
use crate::reference::channel_norm as twin;

/// Rows around a workgroup of 8 or 64, channels a multiple of 4 and not.
const SIZES: [(usize, usize); 8] = [
    (1, 1),
    (7, 4),
    (8, 5),
    (9, 16),
    (63, 3),
    (65, 20),
    (101, 37),
    (5, 96),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let cases = SIZES
        .into_iter()
        .flat_map(|size| [Guise::Found, Guise::Staged, Guise::Bare].map(|guise| (size, guise)));
    for ((rows, channels), guise) in cases {
        for silu in [false, true] {
            let name = format!("channel_norm/{rows}x{channels}/silu={silu}");
            trials.push(guise_test(guise, &name, move |gpu, caps| {
                let mut x = values(1, rows * channels);
                if rows > 1 {
                    x[..channels].fill(0.0);
                }
                let gain = values(2, channels);
                let found = Run::new(gpu)
                    .weights(&[("gain", &[channels, 1, 1], DType::F32, &gain)])
                    .input("x", Input::F32(&x))
                    .record_for(caps, |rec, source| {
                        let x = rec.input("x", [rows, channels], DType::F32)?;
                        let gain = source.vector(rec, "gain", [channels, 1, 1])?;
                        Ok(vec![channel_norm(rec, &x, &gain, silu)?])
                    })?;
                close(
                    "y",
                    &found[0],
                    &twin::channel_norm(&x, &gain, silu),
                    ELEMENTWISE,
                )
            }));
        }
    }
    trials
}
