//! Adapter files beside a model: for two experts, merged or beside the weight, and what is told of
//! them.

use std::fs;

use kinora::error::{AdapterError, WeightsError};
use kinora::model_files::convert::convert;
use kinora::model_files::lora::{Experts, Lora, LoraInfo};
use kinora::model_files::{ModelFolder, PartFiles};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, Extent};
use libtest_mimic::{Failed, Trial};

use super::fixtures;
use super::harness::compare::relative_l2;
use super::lora::{ADAPTERS, open, set, write};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("lora/two experts in a file", two_experts),
        Trial::test("lora/merged types", merged_types),
        Trial::test("lora/heads are enough", heads),
        Trial::test("lora/layers of images", of_images),
        Trial::test("lora/info", info),
    ]
}

/// A file for both experts: each takes its own.
fn two_experts() -> Result<(), Failed> {
    let temporary = tempfile::tempdir()?;
    let file = temporary.path().join("lora.safetensors");
    let two = ModelFolder::open(fixtures().join("a14b/model"))?;
    let dim = two.config()?.transformer.dim();
    let both = [("1", "to_q"), ("2", "to_k")];
    let names = both.map(|(expert, layer)| {
        ["A", "B"].map(|matrix| {
            format!(
                "diffusion_model.transformer_{expert}.blocks.0.attn1.{layer}.lora_{matrix}.weight"
            )
        })
    });
    let [[q_down, q_up], [k_down, k_up]] = &names;
    let (down, up): (&[usize], &[usize]) = (&[4, dim], &[dim, 4]);
    write(
        &file,
        &[(q_down, down), (q_up, up), (k_down, down), (k_up, up)],
    )?;
    for (experts, expected) in [
        (Experts::All, [[true, false], [false, true]]),
        (Experts::High, [[true, false], [false, false]]),
        (Experts::Low, [[false, false], [false, true]]),
    ] {
        let lora = Lora {
            experts,
            ..Lora::new(&file)
        };
        let folder = two.clone().with_loras(vec![lora])?;
        let has = |part| -> Result<[bool; 2], WeightsError> {
            let checkpoint: Checkpoint = folder.checkpoint(part)?;
            let layers = ["blocks.0.attn1.to_q", "blocks.0.attn1.to_k"];
            Ok(layers.map(|layer| checkpoint.contains(&format!("{layer}.low_rank_up"))))
        };
        let found = [has("transformer")?, has("transformer_2")?];
        if found != expected {
            return Err(format!("{experts:?}: {found:?}").into());
        }
    }
    // Of one expert alone, and applied to the other.
    write(&file, &[(k_down, down), (k_up, up)])?;
    let lora = Lora {
        experts: Experts::High,
        ..Lora::new(&file)
    };
    match two.with_loras(vec![lora])?.checkpoint("transformer") {
        Err(WeightsError::Adapter(AdapterError::NoneForExpert { .. })) => Ok(()),
        other => Err(format!("nothing of the high expert: {other:?}").into()),
    }
}

/// What a merged matrix is handed out as, and that the fingerprint tells the change.
fn merged_types() -> Result<(), Failed> {
    let name = "blocks.0.attn1.to_q.weight";
    let lora = |strength| Lora {
        strength,
        ..Lora::new(set(ADAPTERS).join("dora.safetensors"))
    };
    let temporary = tempfile::tempdir()?;
    for (stored, merged) in [
        (DType::F16, DType::F16),
        (DType::BF16, DType::BF16),
        (DType::Q8_0, DType::BF16),
        (DType::F8E4M3, DType::BF16),
    ] {
        let out = temporary.path().join(stored.name());
        convert(&open(Vec::new())?, stored, &out, &mut |_| true)?;
        let base = ModelFolder::open(&out)?;
        let folder = base.clone().with_loras(vec![lora(1.0)])?;
        let checkpoint = folder.checkpoint("transformer")?;
        let found = [
            checkpoint.type_of(name, &[32, 32])?,
            checkpoint.get(name, &[32, 32])?.dtype,
        ];
        if found != [merged; 2] {
            return Err(format!("{stored} becomes {found:?}, expected {merged}").into());
        }
        let expected = open(vec![lora(1.0)])?.checkpoint("transformer")?;
        let distance = relative_l2(
            &checkpoint.get(name, &[32, 32])?.to_f32(),
            &expected.get(name, &[32, 32])?.to_f32(),
        );
        let bound = if stored == DType::F8E4M3 { 0.04 } else { 0.01 };
        if distance.is_nan() || distance > bound {
            return Err(format!("{stored}: {distance:.1e} from what f32 gives").into());
        }
        let quantized = folder.quantized(DType::Q8_0).checkpoint("transformer")?;
        if quantized.get(name, &[32, 32])?.dtype != DType::Q8_0 {
            return Err(format!("{stored} is not made small again").into());
        }
        let with = |loras| -> Result<String, Failed> {
            let folder = base.clone().with_loras(loras)?;
            Ok(folder.checkpoint("transformer")?.fingerprint())
        };
        let prints = [
            with(Vec::new())?,
            with(vec![lora(1.0)])?,
            with(vec![lora(0.5)])?,
        ];
        if prints[0] == prints[1] || prints[1] == prints[2] {
            return Err("fingerprints do not tell the strength".into());
        }
    }
    Ok(())
}

/// A plan needs no more than the heads of the model's files.
fn heads() -> Result<(), Failed> {
    let temporary = tempfile::tempdir()?;
    let whole =
        fs::read(fixtures().join("wan21/model/transformer/diffusion_pytorch_model.safetensors"))?;
    let length = whole.get(..8).and_then(|bytes| bytes.try_into().ok());
    let length = 8 + u64::from_le_bytes(length.ok_or("no length")?) as usize;
    let head = temporary.path().join("head.safetensors");
    fs::write(&head, whole.get(..length).ok_or("no head")?)?;
    let parts = PartFiles {
        transformer: Some(head),
        ..Default::default()
    };
    for file in ["loha", "lokr", "dora", "peft_dora", "names"] {
        let extent = Extent::Headers;
        let folder = ModelFolder::open_to(fixtures().join("wan21/model"), extent)?;
        let lora = Lora::new(set(ADAPTERS).join(format!("{file}.safetensors")));
        let folder = folder.with_parts(&parts)?.with_loras(vec![lora])?;
        let checkpoint = folder.checkpoint("transformer")?;
        // Small ranks lie beside the weight, all else is merged.
        let beside =
            |layer: &str| checkpoint.contains(&format!("blocks.0.attn1.{layer}.low_rank_up"));
        let expected = match file {
            "loha" => [true, false],
            "lokr" => [true, true],
            "names" => [true, false],
            _ => [false, false],
        };
        let found = ["to_q", "to_k"].map(beside);
        if found != expected {
            return Err(format!("{file}: {found:?} beside the weight").into());
        }
    }
    Ok(())
}

/// What reads an image is left out with a count.
fn of_images() -> Result<(), Failed> {
    let folder = open(vec![Lora::new(set(ADAPTERS).join("names.safetensors"))])?;
    let notes = folder.lora_notes()?;
    match notes.as_slice() {
        // k_img and v_img, norm_k_img and add_k_proj of a block each; two that embed the image.
        [note] if note.layers == 6 && note.to_string().contains("image-to-video") => Ok(()),
        _ => Err(format!("{notes:?}").into()),
    }
}

/// What is told of a file alone and beside a model.
fn info() -> Result<(), Failed> {
    let model = open(Vec::new())?;
    let read = |file: &str, model| LoraInfo::read(&set(ADAPTERS).join(file), model);
    for (file, layers, words) in [
        (
            "loha.safetensors",
            4,
            &["method: LoHa", "2 (2 layers)", "trained on: wan2.1"][..],
        ),
        ("lokr.safetensors", 6, &["method: LoKr", "rank: "]),
        (
            "dora.safetensors",
            5,
            &["DoRA (3 layers)", "LoHa with DoRA's magnitudes (1 layers)"],
        ),
        (
            "peft_dora.safetensors",
            3,
            &["method: DoRA", "rank: 4", "trained on: not said"],
        ),
        ("names.safetensors", 12, &["leaves out 6"]),
    ] {
        let info = read(file, Some(&model))?;
        let text = info.to_string();
        let missing = words.iter().find(|words| !text.contains(**words));
        if info.layers != layers || missing.is_some() || !info.is_applicable() {
            return Err(format!("{missing:?}: {text}").into());
        }
        if !read(file, None)?.fits.is_empty() {
            return Err("it fits what was not asked".into());
        }
    }
    let other = ModelFolder::open(fixtures().join("ti2v/model"))?;
    let info = read("lokr.safetensors", Some(&other))?;
    match info.fits.as_slice() {
        [fit] if fit.problem.is_some() && !info.is_applicable() => Ok(()),
        _ => Err(format!("{info}").into()),
    }
}
