//! The list of benches.

use super::problem::Problem;
use super::step::Step;
use crate::tensor::DType;

/// A named bench.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `group/…`: what `kinora bench NAME` and criterion's filter match.
    pub name: String,
    /// What is computed.
    pub problem: Problem,
}

/// Rows, columns and depth of a product.
type Product = [usize; 3];

/// Linear layers of the released models and of the starter. Tokens: 32,760 at 832x480 and 75,600 at
/// 1280x720, 81 frames; the starter's 1,456 at 224x128, 49 frames. Of the 14B models' feed-forward a
/// pass takes 9,664 rows at a time, and so does the bench.
const PRODUCTS: [(&str, DType, Product); 12] = [
    ("wan1.3b_480p_qkv", DType::BF16, [32_760, 1536, 1536]),
    ("wan1.3b_480p_mlp_up", DType::BF16, [32_760, 8960, 1536]),
    ("wan1.3b_480p_mlp_down", DType::BF16, [32_760, 1536, 8960]),
    ("wan14b_720p_qkv", DType::BF16, [75_600, 5120, 5120]),
    ("wan14b_720p_mlp_up", DType::BF16, [9664, 13_824, 5120]),
    ("wan14b_720p_mlp_down", DType::BF16, [9664, 5120, 13_824]),
    ("umt5_xxl_mlp_up", DType::BF16, [512, 10_240, 4096]),
    ("wan1.3b_time_proj", DType::BF16, [1, 9216, 1536]),
    ("wan14b_time_proj", DType::BF16, [1, 30_720, 5120]),
    ("starter_qkv", DType::F16, [1456, 320, 320]),
    ("starter_text_qkv", DType::F16, [512, 320, 320]),
    ("starter_mlp_up", DType::F16, [1456, 1280, 320]),
];

/// Heads, queries, keys and head size of attentions.
const ATTENTIONS: [(&str, [usize; 4]); 8] = [
    ("12x1024x1024x128", [12, 1024, 1024, 128]),
    ("wan1.3b_480p", [12, 32_760, 32_760, 128]),
    ("wan1.3b_480p_text", [12, 32_760, 512, 128]),
    ("wan14b_720p", [40, 75_600, 75_600, 128]),
    ("wan2.1_vae_480p", [1, 6240, 6240, 384]),
    ("wan2.2_vae_704p", [1, 3520, 3520, 1024]),
    ("starter", [5, 1456, 1456, 64]),
    ("starter_text", [5, 1456, 512, 64]),
];

/// Channels in and out, frames, height and width of causal convolutions with a kernel of 3x3x3.
const CONVOLUTIONS: [(&str, [usize; 5]); 10] = [
    ("96x96x3x3x3_4x64x64", [96, 96, 4, 64, 64]),
    ("wan2.1_vae_384ch_480p", [384, 384, 1, 60, 104]),
    ("wan2.1_vae_384ch_480p_2x", [384, 384, 2, 120, 208]),
    ("wan2.1_vae_192ch_480p", [192, 192, 4, 240, 416]),
    ("wan2.1_vae_96ch_480p", [96, 96, 4, 480, 832]),
    ("wan2.2_vae_1024ch_480p", [1024, 1024, 1, 30, 52]),
    ("wan2.2_vae_512ch_480p", [512, 512, 4, 120, 208]),
    ("wan2.2_vae_256ch_480p", [256, 256, 4, 240, 416]),
    ("starter_vae_64ch", [64, 64, 24, 16, 28]),
    ("starter_vae_32ch", [32, 32, 48, 64, 112]),
];

/// Every bench: the device's ceilings, shapes that other engines publish, the released models'
/// and the starter's. Touches no device.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |name: String, problem| all.push(Case { name, problem });
    add("ceiling/copy".into(), Problem::Copy);
    add("ceiling/fma_f32".into(), Problem::Fma);
    add("ceiling/coop".into(), Problem::Coop);
    for dtype in DType::WEIGHTS {
        let [rows, cols, depth] = [1024, 1536, 1536];
        let name = format!("matmul/{}/{rows}x{cols}x{depth}", dtype.lower_name());
        add(name, Problem::matmul(dtype, [rows, cols, depth]));
    }
    for (name, dtype, sizes) in PRODUCTS {
        let name = format!("matmul/{}/{name}", dtype.lower_name());
        add(name, Problem::matmul(dtype, sizes));
    }
    for (name, sizes) in ATTENTIONS {
        add(format!("attention/f16/{name}"), Problem::attention(sizes));
    }
    for (name, sizes) in CONVOLUTIONS {
        add(format!("conv3d/f16/{name}"), Problem::convolution(sizes));
    }
    let tokens = [32_760, 1536];
    add("layer_norm/wan1.3b_480p".into(), Problem::LayerNorm(tokens));
    add("rms_norm/wan1.3b_480p".into(), Problem::RmsNorm(tokens));
    let (grid, heads, head_size) = ([21, 30, 52], 12, 128);
    add(
        "norm_rope/wan1.3b_480p".into(),
        Problem::NormRope {
            grid,
            heads,
            head_size,
        },
    );
    add(
        "channel_norm/wan2.1_vae_96ch_480p".into(),
        Problem::ChannelNorm([4 * 480 * 832, 96]),
    );
    add(
        "solver/wan2.1_480p".into(),
        Problem::Solver(16 * 21 * 60 * 104),
    );
    add(
        "step/wan2.1-1.3b_480p".into(),
        Problem::Step(Step::WAN_1_3B_480P),
    );
    all
}

/// The benches that the filters name, in the order of the list: a name, or the beginning of one
/// up to a `/` or `_`; all of them without a filter.
///
/// # Errors
/// The first filter that names none.
pub fn select(filters: &[String]) -> Result<Vec<Case>, String> {
    let all = cases();
    let named = |filter: &str, name: &str| {
        name.strip_prefix(filter).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['/', '_']) || filter.ends_with(['/', '_'])
        })
    };
    for filter in filters {
        if !all.iter().any(|case| named(filter, &case.name)) {
            return Err(filter.clone());
        }
    }
    let chosen = |case: &Case| filters.is_empty() || filters.iter().any(|f| named(f, &case.name));
    Ok(all.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_filters_match_whole_words() {
        let mut names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let found = |filter: &str| select(&[filter.to_owned()]).map(|cases| cases.len());
        assert_eq!(found("ceiling"), Ok(3));
        assert_eq!(found("ceiling/copy"), Ok(1));
        assert_eq!(found("attention/f16/wan1.3b_480p"), Ok(2));
        assert_eq!(found("ceil"), Err("ceil".to_owned()));
        assert_eq!(select(&[]).map(|cases| cases.len()), Ok(count));
    }
}
