//! What a decode or an encode would take and what is refused, without a device.

use std::io::Write;

use kinora::error::{Error, VaeError};
use kinora::models::config::VaeConfig;
use kinora::models::vae::{DecodeOptions, EncodeOptions, decode_layout, encode_layout};
use kinora::record::{Caps, DeviceClass};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, SafetensorsHeader};
use libtest_mimic::{Failed, Trial};

use super::Model;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("refusals", refusals),
        Trial::test("released sizes", released),
        Trial::test("encode/released sizes", released_encoders),
    ]
}

/// What is refused, in words, without a device.
fn refusals() -> Result<(), Failed> {
    let model = Model::open("wan21")?;
    let caps = Caps::least();
    let sentence = |caps: &Caps, shape, options: &DecodeOptions| match decode_layout(
        caps,
        &model.config,
        &model.checkpoint,
        shape,
        options,
    ) {
        Ok(layout) => format!("{layout:?}"),
        Err(error) => error.to_string(),
    };
    let options = DecodeOptions::default();
    let tight = DecodeOptions {
        max_bytes: Some(1 << 20),
        ..options
    };
    let found = sentence(&caps, [8, 3, 40, 30], &tight);
    if !found.starts_with("decoder: 240x320 pixels need ")
        || !found.contains("bands of one latent line")
    {
        return Err(found.into());
    }
    let small = Caps {
        max_binding_bytes: 100_000,
        ..caps.clone()
    };
    let found = sentence(&small, [8, 3, 40, 400], &options);
    if !found.contains("the device allows 100000") {
        return Err(found.into());
    }
    let found = sentence(&caps, [7, 3, 4, 4], &options);
    if !found.contains("7 channels, expected 8") {
        return Err(found.into());
    }
    let none = DecodeOptions {
        chunk: Some(0),
        ..options
    };
    let found = decode_layout(&caps, &model.config, &model.checkpoint, [8, 3, 4, 4], &none);
    if !matches!(found, Err(Error::Vae(VaeError::Zero { .. }))) {
        return Err(format!("{found:?}").into());
    }
    Ok(())
}

/// A checkpoint of the shapes in a table of `fixtures/released`, all zeros: the file is a hole.
fn hollow(table: &str) -> Result<(tempfile::TempDir, Checkpoint), Failed> {
    let mut header = SafetensorsHeader::default();
    for line in table.lines() {
        let (name, shape) = line.split_once('\t').ok_or("a name and a shape")?;
        let shape = shape
            .split('x')
            .map(str::parse)
            .collect::<Result<Vec<usize>, _>>()?;
        header.tensor(name, DType::F32, &shape)?;
    }
    let start = header.to_bytes();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&start)?;
    file.set_len((start.len() + header.data_len()) as u64)?;
    let checkpoint = Checkpoint::open(&path, "vae")?;
    Ok((folder, checkpoint))
}

const WAN21_TABLE: &str = include_str!("../fixtures/released/wan21_vae.tsv");
const WAN22_TABLE: &str = include_str!("../fixtures/released/wan22_vae.tsv");

/// The released configurations of 2.1 and 2.2.
fn configurations() -> [String; 2] {
    let wan21 = r#"{"_class_name": "AutoencoderKLWan"}"#.to_owned();
    let wan22 = serde_json::json!({
        "_class_name": "AutoencoderKLWan", "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48,
        "is_residual": true, "in_channels": 12, "out_channels": 12, "patch_size": 2,
        "scale_factor_spatial": 16, "latents_mean": vec![0.0; 48], "latents_std": vec![1.0; 48],
    })
    .to_string();
    [wan21, wan22]
}

fn card() -> Caps {
    Caps {
        class: DeviceClass::Discrete,
        max_binding_bytes: u64::from(u32::MAX) - 3,
        max_buffer_bytes: 1 << 40,
        ..Caps::least()
    }
}

/// The released encoders at their own sizes: bytes of device memory that people have, and the bands
/// that those bring.
fn released_encoders() -> Result<(), Failed> {
    let [wan21, wan22] = configurations();
    // Frames, the histories of whole frames in bytes, and a limit that brings bands.
    for (config, table, video, states, limit) in [
        (
            &wan21,
            WAN21_TABLE,
            [81, 480, 832],
            2_242_805_760,
            1_200_000_000,
        ),
        (
            &wan21,
            WAN21_TABLE,
            [81, 720, 1280],
            5_175_705_600,
            2_000_000_000,
        ),
        (
            &wan22,
            WAN22_TABLE,
            [1, 704, 1280],
            2_121_236_480,
            2_500_000_000,
        ),
        (
            &wan22,
            WAN22_TABLE,
            [121, 704, 1280],
            2_121_236_480,
            2_500_000_000,
        ),
    ] {
        let config = VaeConfig::parse("vae/config.json", config.as_bytes())?;
        let (_folder, checkpoint) = hollow(table)?;
        for caps in [card(), Caps::least()] {
            let options = EncodeOptions {
                max_bytes: Some(limit),
                ..EncodeOptions::default()
            };
            let layout = encode_layout(&caps, &config, &checkpoint, video, &options)?;
            if layout.band.is_none() || layout.peak_bytes() > limit {
                return Err(format!("{video:?} within {limit}: {layout:?}").into());
            }
        }
        let whole = encode_layout(
            &card(),
            &config,
            &checkpoint,
            video,
            &EncodeOptions::default(),
        )?;
        if whole.band.is_some() || whole.memory.states != states {
            return Err(format!("{video:?}: {whole:?}").into());
        }
    }
    Ok(())
}

/// The released autoencoders at their own sizes: names, shapes, memory, bands.
fn released() -> Result<(), Failed> {
    let [wan21, wan22] = configurations();
    let (wan21_table, wan22_table) = (WAN21_TABLE, WAN22_TABLE);
    // Latents, the histories of whole frames in bytes, and limits in GiB that bring bands.
    for (config, table, latents, states, limits) in [
        (
            &wan21,
            wan21_table,
            [16, 21, 60, 104],
            3_777_146_880,
            [4, 3],
        ),
        (
            &wan21,
            wan21_table,
            [16, 21, 90, 160],
            8_716_492_800,
            [8, 4],
        ),
        (
            &wan22,
            wan22_table,
            [48, 31, 44, 80],
            6_431_744_000,
            [12, 8],
        ),
    ] {
        let config = VaeConfig::parse("vae/config.json", config.as_bytes())?;
        let (_folder, checkpoint) = hollow(table)?;
        let card = card();
        let layout = |gib: Option<u64>| {
            let options = DecodeOptions {
                max_bytes: gib.map(|g| g << 30),
                ..DecodeOptions::default()
            };
            decode_layout(&card, &config, &checkpoint, latents, &options)
        };
        let whole = layout(None)?;
        if whole.band.is_some() || whole.memory.states != states {
            return Err(
                format!("{latents:?}: {whole:?}, expected {states} bytes of states").into(),
            );
        }
        for gib in limits {
            let banded = layout(Some(gib))?;
            if banded.band.is_none() || banded.peak_bytes() > gib << 30 {
                return Err(format!("{latents:?} within {gib} GiB: {banded:?}").into());
            }
        }
    }
    // On the least of devices Wan 2.1 needs bands for its bindings alone.
    let (_folder, checkpoint) = hollow(wan21_table)?;
    let config = VaeConfig::parse("vae/config.json", wan21.as_bytes())?;
    let options = DecodeOptions::default();
    let layout = decode_layout(
        &Caps::least(),
        &config,
        &checkpoint,
        [16, 21, 90, 160],
        &options,
    )?;
    if layout.band.is_none() {
        return Err(format!("{layout:?}").into());
    }
    Ok(())
}
