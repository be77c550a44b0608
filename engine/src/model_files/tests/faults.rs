//! The sentence that a broken configuration gets.

use serde_json::json;

use super::{INDEX, TEXT, TRANSFORMER, VAE, with};

#[test]
fn one_sentence_names_file_and_field() {
    for (file, field, value, expected) in [
        (
            INDEX,
            "_class_name",
            json!("WanVACEPipeline"),
            "M/model_index.json: _class_name is \"WanVACEPipeline\", but Kinora knows WanPipeline, WanImageToVideoPipeline, WanVideoToVideoPipeline and WanDMDPipeline",
        ),
        (
            INDEX,
            "_class_name",
            json!("absent"),
            "M/model_index.json has no field _class_name",
        ),
        (
            INDEX,
            "scheduler",
            json!(["diffusers", "DDIMScheduler"]),
            "M/model_index.json: scheduler is [\"diffusers\",\"DDIMScheduler\"], but Kinora knows UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler",
        ),
        (
            INDEX,
            "vae",
            json!(null),
            "M/model_index.json: vae is null, expected [library, class] with the class AutoencoderKLWan",
        ),
        (
            INDEX,
            "boundary_ratio",
            json!(0.9),
            "M/model_index.json: boundary_ratio is 0.9, expected null, since there is no transformer_2",
        ),
        (
            INDEX,
            "expand_timesteps",
            json!(1),
            "M/model_index.json: expand_timesteps is 1, expected true or false",
        ),
        (
            INDEX,
            "transformer_2",
            json!(["diffusers", "WanTransformer3DModel"]),
            "M/model_index.json: boundary_ratio is null, expected a number from 0 to 1, since transformer_2 is given",
        ),
        (
            TEXT,
            "model_type",
            json!("t5"),
            "M/text_encoder/config.json: model_type is \"t5\", but Kinora knows umt5",
        ),
        (
            TEXT,
            "feed_forward_proj",
            json!("relu"),
            "M/text_encoder/config.json: feed_forward_proj is \"relu\", expected \"gated-gelu\"",
        ),
        (
            TEXT,
            "num_heads",
            json!(0),
            "M/text_encoder/config.json: num_heads is 0, expected a whole number from 1 to 1024",
        ),
        (
            TEXT,
            "d_ff",
            json!(1e30),
            "M/text_encoder/config.json: d_ff is 1e+30, expected a whole number from 1 to 262144",
        ),
        (
            TEXT,
            "relative_attention_num_buckets",
            json!(30),
            "M/text_encoder/config.json: relative_attention_num_buckets is 30, expected a multiple of 4",
        ),
        (
            TEXT,
            "relative_attention_max_distance",
            json!(8),
            "M/text_encoder/config.json: relative_attention_max_distance is 8, expected more than a quarter of the 32 buckets",
        ),
        (
            TRANSFORMER,
            "_class_name",
            json!("FluxTransformer2DModel"),
            "M/transformer/config.json: _class_name is \"FluxTransformer2DModel\", but Kinora knows WanTransformer3DModel",
        ),
        (
            TRANSFORMER,
            "image_dim",
            json!(1280),
            "M/transformer/config.json: added_kv_proj_dim is null, expected given where image_dim is, and nowhere else",
        ),
        (
            TRANSFORMER,
            "in_channels",
            json!(36),
            "M/model_index.json: _class_name is WanPipeline, but in_channels of M/transformer/config.json makes it WanImageToVideoPipeline; the two are not of the same model",
        ),
        (
            TRANSFORMER,
            "in_channels",
            json!(48),
            "M/transformer/config.json: in_channels is 48, expected 16, as many as out_channels, or 36, those of an image-to-video model (other sums are for control models, which Kinora does not support yet)",
        ),
        (
            TRANSFORMER,
            "attention_head_dim",
            json!(17),
            "M/transformer/config.json: attention_head_dim is 17, expected an even number",
        ),
        (
            TRANSFORMER,
            "num_layers",
            json!("30"),
            "M/transformer/config.json: num_layers is \"30\", expected a whole number from 1 to 1024",
        ),
        (
            TRANSFORMER,
            "num_layers",
            json!(-1),
            "M/transformer/config.json: num_layers is -1, expected a whole number from 1 to 1024",
        ),
        (
            TRANSFORMER,
            "ffn_dim",
            json!(1u64 << 40),
            "M/transformer/config.json: ffn_dim is 1099511627776, expected a whole number from 1 to 262144",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!([2, 2, 2]),
            "M/transformer/config.json: patch_size is [2,2,2], expected three whole numbers, the first of them 1",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!([1, 2]),
            "M/transformer/config.json: patch_size is [1,2], expected three whole numbers, the first of them 1",
        ),
        (
            TRANSFORMER,
            "patch_size",
            json!(2),
            "M/transformer/config.json: patch_size is 2, expected a list, each a whole number from 1 to 16",
        ),
        (
            TRANSFORMER,
            "eps",
            json!(null),
            "M/transformer/config.json: eps is null, expected a number from 0 to 1",
        ),
        (
            TRANSFORMER,
            "text_dim",
            json!(64),
            "M/transformer/config.json: text_dim is 64, but d_model of M/text_encoder/config.json makes it 32; the two are not of the same model",
        ),
        (
            VAE,
            "z_dim",
            json!(48),
            "M/vae/config.json: latents_mean is absent, expected 48 numbers, one for each of z_dim",
        ),
        (
            VAE,
            "latents_std",
            json!([0.0]),
            "M/vae/config.json: latents_std is [0.0], expected a list, each a number from 0.000001 to 1000000",
        ),
        (
            VAE,
            "temperal_downsample",
            json!([true]),
            "M/vae/config.json: temperal_downsample is [true], expected 3 values, one less than dim_mult has",
        ),
        (
            VAE,
            "scale_factor_spatial",
            json!(16),
            "M/vae/config.json: scale_factor_spatial is 16, expected 8, which dim_mult and patch_size make",
        ),
        (
            VAE,
            "scale_factor_temporal",
            json!(8),
            "M/vae/config.json: scale_factor_temporal is 8, expected 4, which temperal_downsample makes",
        ),
        (
            VAE,
            "out_channels",
            json!(12),
            "M/vae/config.json: out_channels is 12, expected 3, which is 3 · patch_size²",
        ),
        (
            VAE,
            "dim_mult",
            json!([]),
            "M/vae/config.json: dim_mult is [], expected a list of 1 to 8 whole numbers",
        ),
    ] {
        let error = with(&[(file, field, value.clone())])
            .unwrap_err()
            .to_string();
        assert_eq!(error, expected, "{file} {field} {value}");
    }
}

#[test]
fn a_decoders_levels_must_fit_each_other() {
    let error = with(&[
        (VAE, "base_dim", json!(1)),
        (VAE, "dim_mult", json!([1, 1, 1, 1])),
    ]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "M/vae/config.json: decoder_base_dim is absent, expected at least 2, since each upsampling halves the channels"
    );
    let error = with(&[
        (VAE, "is_residual", json!(true)),
        (VAE, "dim_mult", json!([1, 2, 3, 5])),
        (VAE, "decoder_base_dim", json!(3)),
    ]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "M/vae/config.json: dim_mult is [1,2,3,5], expected multiples such that 15 channels divide 8 · 9, which the residual shortcut needs"
    );
}
