//! The loops that benches take for the device's ceilings compute what they say.

use kinora::ops::ceiling::{coop, coop_edge, copy, fma};
use kinora::tensor::DType;
use libtest_mimic::Trial;

use crate::harness::compare::{ELEMENTWISE, SUMS, close};
use crate::harness::data::{rounded, values};
use crate::harness::{Input, Run, device_test};
use crate::reference::ceiling as twin;

/// Elements around a workgroup of 8 or 64; a copy takes groups of four.
const SIZES: [usize; 6] = [1, 7, 8, 65, 101, 256];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for count in SIZES {
        trials.push(device_test(
            format!("ceiling_copy/{}", 4 * count),
            move |gpu| {
                let x = values(1, 4 * count);
                let found = Run::new(gpu).input("x", Input::F32(&x)).record(|rec, _| {
                    let x = rec.input("x", [4 * count], DType::F32)?;
                    Ok(vec![copy(rec, &x)?])
                })?;
                match found[0] == x {
                    true => Ok(()),
                    false => Err("the copy differs".into()),
                }
            },
        ));
        for rounds in [1, 3] {
            let name = format!("ceiling_fma/{count}/rounds={rounds}");
            trials.push(device_test(name, move |gpu| {
                let x = values(2, count);
                let line = [0.75, -0.5];
                let found = Run::new(gpu).input("x", Input::F32(&x)).record(|rec, _| {
                    let x = rec.input("x", [count], DType::F32)?;
                    Ok(vec![fma(rec, &x, rounds, line)?])
                })?;
                close("y", &found[0], &twin::fma(&x, rounds, line), ELEMENTWISE)
            }));
        }
    }
    for (groups, rounds) in [(1, 1), (3, 5)] {
        let name = format!("ceiling_coop/groups={groups}/rounds={rounds}");
        trials.push(device_test(name, move |gpu| {
            let Some(edge) = coop_edge(gpu.caps()) else {
                return Ok(());
            };
            let [x, w] = [3, 4].map(|seed| rounded(&values(seed, 4 * edge * edge), DType::F16));
            let found = Run::new(gpu)
                .input("x", Input::F16(&x))
                .input("w", Input::F16(&w))
                .record(|rec, _| {
                    let x = rec.input("x", [4 * edge, edge], DType::F16)?;
                    let w = rec.input("w", [4 * edge, edge], DType::F16)?;
                    Ok(vec![coop(rec, &x, &w, groups, rounds)?])
                })?;
            let expected = twin::coop(&x, &w, edge, groups, rounds);
            close("y", &found[0], &expected, SUMS)
        }));
    }
    trials
}
