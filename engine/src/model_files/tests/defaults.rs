//! What a run of a model is unless it is told otherwise.

use serde_json::{Value, json};

use super::{INDEX, TEXT, TRANSFORMER, VAE, files, folder};
use crate::model_files::{Card, Defaults, SchedulerName};

#[test]
fn released_models_are_recognised() {
    let released = |heads: u32, layers: u32, expert: bool, five_b: bool| {
        let mut changes = vec![
            (TEXT, "d_model", json!(4096)),
            (TEXT, "num_layers", json!(24)),
            (TRANSFORMER, "text_dim", json!(4096)),
            (TRANSFORMER, "attention_head_dim", json!(128)),
            (TRANSFORMER, "num_attention_heads", json!(heads)),
            (TRANSFORMER, "num_layers", json!(layers)),
        ];
        if five_b {
            changes.extend([
                (INDEX, "expand_timesteps", json!(true)),
                (TRANSFORMER, "in_channels", json!(48)),
                (TRANSFORMER, "out_channels", json!(48)),
                (VAE, "z_dim", json!(48)),
                (VAE, "latents_mean", json!(vec![0.5; 48])),
                (VAE, "latents_std", json!(vec![0.5; 48])),
                (VAE, "is_residual", json!(true)),
                (VAE, "patch_size", json!(2)),
                (VAE, "out_channels", json!(12)),
                (VAE, "in_channels", json!(12)),
                (VAE, "scale_factor_spatial", json!(16)),
            ]);
        }
        let mut all = files();
        for (file, field, value) in &changes {
            let (_, json) = all.iter_mut().find(|(path, _)| path == file).unwrap();
            json[*field] = value.clone();
        }
        if expert {
            all[0].1["transformer_2"] = json!(["diffusers", "WanTransformer3DModel"]);
            all[0].1["boundary_ratio"] = json!(0.875);
            let second = all[2].1.clone();
            all.push(("transformer_2/config.json", second));
        }
        folder(all).config().unwrap().defaults
    };
    let summary = |d: Defaults| {
        (
            d.name,
            d.width,
            d.height,
            d.frames,
            d.fps,
            d.steps,
            d.shift,
            d.guidance,
            d.guidance_2,
        )
    };
    let name = str::to_owned;
    assert_eq!(
        summary(released(12, 30, false, false)),
        (
            name("Wan2.1-T2V-1.3B"),
            832,
            480,
            81,
            16.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(
        summary(released(40, 40, false, false)),
        (
            name("Wan2.1-T2V-14B"),
            832,
            480,
            81,
            16.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(
        summary(released(40, 40, true, false)),
        (
            name("Wan2.2-T2V-A14B"),
            832,
            480,
            81,
            16.0,
            40,
            Some(12.0),
            4.0,
            Some(3.0)
        )
    );
    assert_eq!(
        summary(released(24, 30, false, true)),
        (
            name("Wan2.2-TI2V-5B"),
            1280,
            704,
            121,
            24.0,
            50,
            Some(5.0),
            5.0,
            None
        )
    );
    assert_eq!(released(13, 30, false, false), Defaults::pipeline("M"));
}

/// FastWan's folders: three steps without guidance, whatever scheduler they name.
#[test]
fn fastvideos_pipeline_is_distilled() {
    let mut files = files();
    for (path, json) in &mut files {
        if *path == "model_index.json" {
            json["_class_name"] = json!("WanDMDPipeline");
        }
    }
    let defaults = folder(files).config().unwrap().defaults;
    assert_eq!(defaults.scheduler, SchedulerName::named("dmd"));
    assert_eq!((defaults.steps, defaults.guidance), (3, 1.0));
    for (name, scheduler) in SchedulerName::ALL {
        assert_eq!(scheduler.name(), name);
    }
}

#[test]
fn kinora_json() {
    let read = |json: Value| {
        let mut files = files();
        files.push(("kinora.json", json));
        folder(files)
            .config()
            .map(|config| config.defaults)
            .map_err(|error| error.to_string())
    };
    let defaults = read(json!({
        "name": "Starter", "width": 192, "height": 112, "frames": 33, "fps": 12, "steps": 8,
        "guidance": 3.5, "guidance_stop": 0.6, "shift": 2, "scheduler": "euler", "timesteps": [900, 500],
        "negative_prompt": "blurred",
        "about": "a demonstration",
        "sizes": [[192, 112], [112, 192]],
        "most_frames": 33,
        "words": "tokenizer",
    }));
    let expected = Defaults {
        name: "Starter".to_owned(),
        width: 192,
        height: 112,
        frames: 33,
        fps: 12.0,
        steps: 8,
        guidance: 3.5,
        guidance_2: None,
        guidance_stop: Some(0.6),
        shift: Some(2.0),
        scheduler: Some(SchedulerName::Euler),
        timesteps: Some(vec![900, 500]),
        negative_prompt: "blurred".to_owned(),
        card: Card {
            about: Some("a demonstration".to_owned()),
            sizes: vec![[192, 112], [112, 192]],
            most_frames: Some(33),
            words_of_tokenizer: true,
        },
    };
    assert_eq!(defaults, Ok(expected));
    assert_eq!(read(json!({})), Ok(Defaults::pipeline("M")));
    assert_eq!(
        read(json!({"step": 4})),
        Err("M/kinora.json has a field \"step\", expected one of name, width, height, frames, fps, steps, guidance, guidance_2, guidance_stop, shift, scheduler, timesteps, negative_prompt, about, sizes, most_frames, words".to_owned())
    );
    assert_eq!(
        read(json!({"steps": 0})),
        Err("M/kinora.json: steps is 0, expected a whole number from 1 to 1000".to_owned())
    );
    assert_eq!(
        read(json!({"scheduler": "ddim"})),
        Err("M/kinora.json: scheduler is \"ddim\", expected \"unipc\", \"euler\", \"dmd\" or \"lcm\"".to_owned())
    );
    assert_eq!(
        read(json!([])),
        Err("M/kinora.json is not a JSON object: invalid type: sequence, expected a map at line 1 column 0".to_owned())
    );
}
