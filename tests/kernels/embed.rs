//! Rotary embedding, timesteps, modulation and patches.

use kinora::ops::embed::{modulation, silu, timestep_sinusoids};
use kinora::ops::norm::norm_rope;
use kinora::ops::norm::{Affine, layer_norm};
use kinora::ops::patch::{patchify, unpatchify};
use kinora::ops::rope::{Rope, RopeGrid};
use kinora::tensor::DType;
use libtest_mimic::{Failed, Trial};

use crate::harness::compare::{ELEMENTWISE, SUMS, Tolerance, close};
use crate::harness::data::values;
use crate::harness::{Input, Run, device_test};
use crate::reference::{matmul, norm as norm_twin, patch as patch_twin, rope as rope_twin};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (tokens, heads, d) in [
        ([1, 1, 1], 1, 8),
        ([3, 1, 2], 2, 12),
        ([2, 3, 5], 3, 16),
        ([5, 4, 3], 1, 20),
        ([1, 7, 11], 2, 128),
        ([17, 3, 2], 2, 44),
    ] {
        let [t, h, w] = tokens;
        let name = format!("norm_rope/{t}x{h}x{w}/{heads}x{d}");
        trials.push(device_test(name, move |gpu| turned(gpu, tokens, heads, d)));
    }
    for (latents, patch) in [
        ([1, 1, 2, 2], [2, 2]),
        ([5, 3, 4, 6], [2, 2]),
        ([16, 2, 10, 14], [2, 2]),
        ([3, 1, 6, 8], [3, 4]),
        ([7, 13, 3, 5], [1, 1]),
    ] {
        let [c, t, h, w] = latents;
        let name = format!("patchify/{c}x{t}x{h}x{w}/{}x{}", patch[0], patch[1]);
        trials.push(device_test(name, move |gpu| patches(gpu, latents, patch)));
    }
    for (distinct, cols) in [(1, 4), (1, 64), (3, 68), (5, 132)] {
        let name = format!("modulation/{distinct}x{cols}");
        trials.push(device_test(name, move |gpu| modulated(gpu, distinct, cols)));
    }
    for count in [1, 63, 64, 65, 1009] {
        trials.push(device_test(format!("silu/{count}"), move |gpu| {
            activated(gpu, count)
        }));
    }
    trials.push(Trial::test("timestep_sinusoids", sinusoids));
    trials
}

fn turned(
    gpu: &kinora::gpu::Gpu,
    tokens: [usize; 3],
    heads: usize,
    d: usize,
) -> Result<(), Failed> {
    let rows: usize = tokens.iter().product();
    let (x, gain) = (values(1, rows * heads * d), values(2, heads * d));
    let grid = RopeGrid::wan(d, tokens);
    let table = grid.table(10_000.0);
    let found = Run::new(gpu)
        .input("x", Input::F32(&x))
        .input("gain", Input::F32(&gain))
        .input("table", Input::F32(&table))
        .record(|rec, _| {
            let x = rec.input("x", [rows, heads * d], DType::F32)?;
            let gain = rec.input("gain", [heads * d], DType::F32)?;
            let table = rec.input("table", [grid.positions(), d / 2, 2], DType::F32)?;
            // All of them, and the last line of the grid alone.
            let last = rows - rows.min(tokens[2]);
            let turn = |first| Rope {
                table: &table,
                grid: &grid,
                first,
            };
            let whole = norm_rope(rec, &x, &gain, 1e-6, &turn(0), None)?;
            let line = rec.intermediate("line", [rows - last, heads * d], DType::F32);
            let from = (last * heads * d * 4) as u64;
            rec.copy((&x, from), (&line, 0), line.bytes());
            let line = norm_rope(rec, &line, &gain, 1e-6, &turn(last), None)?;
            Ok(vec![whole, line])
        })?;
    let side = 2 * (d / 6);
    let pairs = [(d - 2 * side) / 2, side / 2, side / 2];
    let normed = norm_twin::rms_norm(&x, &gain, 1e-6);
    let expected = rope_twin::rope(&normed, tokens, heads, pairs, 10_000.0);
    let end = &expected[expected.len() - found[1].len()..];
    close("the last line", &found[1], end, ELEMENTWISE)?;
    close("y", &found[0], &expected, ELEMENTWISE)
}

fn patches(gpu: &kinora::gpu::Gpu, latents: [usize; 4], patch: [usize; 2]) -> Result<(), Failed> {
    let exact = Tolerance {
        nmse: 0.0,
        max: 0.0,
    };
    let x = values(2, latents.iter().product());
    let [c, t, h, w] = latents;
    let tokens = t * (h / patch[0]) * (w / patch[1]);
    let cols = c * patch[0] * patch[1];
    let found = Run::new(gpu).input("x", Input::F32(&x)).record(|rec, _| {
        let x = rec.input("x", latents, DType::F32)?;
        let rows = rec.input("x as rows", [tokens, cols], DType::F32)?;
        rec.copy((&x, 0), (&rows, 0), x.bytes());
        let back = rec.intermediate("latents", latents, DType::F32);
        unpatchify(rec, &rows, patch, &back)?;
        Ok(vec![patchify(rec, &x, patch)?, back])
    })?;
    close(
        "patchify",
        &found[0],
        &patch_twin::patchify(&x, latents, patch),
        exact,
    )?;
    close(
        "unpatchify",
        &found[1],
        &patch_twin::unpatchify(&x, latents, patch),
        exact,
    )
}

/// The six of a block and, of one embedding for all, the two of the end. Through a norm that they
/// modulate, since they are parts of one tensor: a row of 4 columns, (-1, 1, -1, 1) once normalised.
fn modulated(gpu: &kinora::gpu::Gpu, distinct: usize, cols: usize) -> Result<(), Failed> {
    let (table, last) = (values(3, 6 * cols), values(5, 2 * cols));
    let (temb, all) = (values(4, distinct * 6 * cols), values(6, distinct * cols));
    let index: Vec<u32> = (0..distinct as u32).rev().collect();
    let x: Vec<f32> = (0..distinct * cols).map(|at| [-1.0, 1.0][at % 2]).collect();
    let found = Run::new(gpu)
        .weights(&[
            ("table", &[1, 6, cols], DType::F32, &table),
            ("last", &[1, 2, cols], DType::F32, &last),
        ])
        .input("temb", Input::F32(&temb))
        .input("all", Input::F32(&all))
        .input("index", Input::U32(&index))
        .input("x", Input::F32(&x))
        .record(|rec, source| {
            let table = source.vector(rec, "table", [1, 6, cols])?;
            let last = source.vector(rec, "last", [1, 2, cols])?;
            let temb = rec.input("temb", [distinct, 6 * cols], DType::F32)?;
            let all = rec.input("all", [distinct, cols], DType::F32)?;
            let index = rec.input("index", [distinct], DType::U32)?;
            let x = rec.input("x", [distinct, cols], DType::F32)?;
            let six: [_; 6] = modulation(rec, &table, &temb)?;
            let two: [_; 2] = modulation(rec, &last, &all)?;
            let mut normed = Vec::new();
            for pair in [&six[..2], &six[2..4], &six[4..], &two[..]] {
                let affine = Affine::Modulation {
                    shift: &pair[0],
                    scale: &pair[1],
                    index: &index,
                };
                normed.push(layer_norm(rec, &x, 0.0, affine)?);
            }
            Ok(normed)
        })?;
    for (number, found) in found.iter().enumerate() {
        let part = |row: usize, at: usize| {
            let (d, c) = (distinct - 1 - at / cols, at % cols);
            match number {
                3 => f64::from(last[row * cols + c]) + f64::from(all[d * cols + c]),
                _ => {
                    let row = 2 * number + row;
                    f64::from(table[row * cols + c]) + f64::from(temb[(d * 6 + row) * cols + c])
                }
            }
        };
        let expected: Vec<f64> = (0..distinct * cols)
            .map(|at| f64::from(x[at]) * (1.0 + part(1, at)) + part(0, at))
            .collect();
        close("y", found, &expected, SUMS)?;
    }
    Ok(())
}

fn activated(gpu: &kinora::gpu::Gpu, count: usize) -> Result<(), Failed> {
    let mut x: Vec<f32> = values(5, count).iter().map(|v| v * 8.0).collect();
    // Where exp would overflow.
    x[0] = -1000.0;
    x[count / 2] = 1000.0;
    let found = Run::new(gpu).input("x", Input::F32(&x)).record(|rec, _| {
        let x = rec.input("x", [count], DType::F32)?;
        Ok(vec![silu(rec, &x)?])
    })?;
    let expected: Vec<f64> = x.iter().map(|&v| matmul::silu(f64::from(v))).collect();
    close("y", &found[0], &expected, ELEMENTWISE)
}

/// Against exact arithmetic: no further off than f32 angles are.
fn sinusoids() -> Result<(), Failed> {
    let timesteps = [0.0, 1.0, 637.0, 999.0];
    let found = timestep_sinusoids(&timesteps, 256);
    let angle = |t: f32, i: usize| f64::from(t) / 10_000f64.powf(i as f64 / 128.0);
    let mut expected = Vec::new();
    for t in timesteps {
        expected.extend((0..128).map(|i| angle(t, i).cos()));
        expected.extend((0..128).map(|i| angle(t, i).sin()));
    }
    close(
        "sinusoids",
        &found,
        &expected,
        Tolerance {
            nmse: 1e-8,
            max: 1e-4,
        },
    )
}
