//! Every tensor of the released checkpoints, under each of its names.
//!
//! The listings are not part of the repository: where they are absent, these tests are ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinora::model_files::names::{
    Kind, Names, Naming, original_of_transformer, with_diffusers_names,
};
use kinora::tensor::DType;
use kinora::weights::{Checkpoint, SafetensorsHeader};
use libtest_mimic::{Failed, Trial};

/// Name, shape, and the third column where there is one.
type Row = (String, String, Option<String>);

pub fn trials() -> Vec<Trial> {
    let listings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models");
    let absent = !listings.is_dir();
    let trial = |name: &str, test: fn(&Path) -> Result<(), Failed>| {
        let listings: PathBuf = listings.clone();
        Trial::test(format!("names/{name}"), move || test(&listings)).with_ignored_flag(absent)
    };
    vec![
        trial("transformers", transformers),
        trial("text encoder", text_encoder),
        trial("autoencoders", autoencoders),
        trial("image encoder", image_encoder),
    ]
}

fn listing(path: &Path) -> Result<Vec<Row>, Failed> {
    let text = std::fs::read_to_string(path)?;
    let rows = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        Some((columns.next()?, columns.next()?, columns.next()))
    };
    Ok(rows.filter_map(row).collect())
}

/// Renames all of `from`, which must be one part of that kind and naming, and holds the result
/// against all of `to`: the same names with the same shapes, each once.
fn same(
    found: (Kind, Naming),
    from: impl Iterator<Item = (String, String)>,
    to: impl Iterator<Item = (String, String)>,
) -> Result<(), Failed> {
    let from: Vec<(String, String)> = from.collect();
    let parts = Names::recognise(from.iter().map(|(name, _)| name.as_str()));
    let [names] = parts.as_slice() else {
        return Err(format!("recognised as {parts:?}").into());
    };
    if (names.kind, names.naming) != found {
        return Err(format!("recognised as {names:?}, expected {found:?}").into());
    }
    let mut renamed = BTreeMap::new();
    for (name, shape) in &from {
        let new = names
            .diffusers(name)
            .ok_or_else(|| format!("{name} is dropped"))?;
        let back = original_of_transformer(&new);
        let own = name.strip_prefix(names.prefix.as_str());
        if found == (Kind::Transformer, Naming::Original) && own != Some(&back) {
            return Err(format!("{name} comes back as {back}").into());
        }
        if let Some(twice) = renamed.insert(new, shape.clone()) {
            return Err(format!("{name} meets a tensor of shape {twice}").into());
        }
    }
    let wanted: BTreeMap<String, String> = to.collect();
    if wanted.is_empty() {
        return Err("the listing is empty".into());
    }
    let differing = renamed
        .iter()
        .filter(|(name, shape)| wanted.get(*name) != Some(shape))
        .chain(
            wanted
                .iter()
                .filter(|(name, _)| !renamed.contains_key(*name)),
        );
    let differing: Vec<_> = differing.collect();
    if differing.is_empty() {
        Ok(())
    } else {
        let first = &differing[..differing.len().min(8)];
        Err(format!("{} differ: {first:?}", differing.len()).into())
    }
}

fn plain(rows: Vec<Row>) -> impl Iterator<Item = (String, String)> {
    rows.into_iter().map(|(name, shape, _)| (name, shape))
}

fn transformers(listings: &Path) -> Result<(), Failed> {
    for model in [
        "wan_t2v_1_3B",
        "wan_t2v_14B",
        "wan_ti2v_5B",
        "wan_i2v_14B",
        "wan_flf2v_14B",
        "wan_i2v_A14B",
    ] {
        let original = listing(&listings.join(format!("{model}_original.tsv")))?;
        let diffusers = listing(&listings.join(format!("{model}_diffusers.tsv")))?;
        let found = (Kind::Transformer, Naming::Original);
        same(found, plain(original.clone()), plain(diffusers.clone()))?;
        let behind = |(name, shape)| (format!("model.diffusion_model.{name}"), shape);
        same(found, plain(original).map(behind), plain(diffusers.clone()))?;
        let found = (Kind::Transformer, Naming::Diffusers);
        same(found, plain(diffusers.clone()), plain(diffusers))?;
    }
    Ok(())
}

fn text_encoder(listings: &Path) -> Result<(), Failed> {
    let original = listing(&listings.join("umt5_xxl_encoder_wan_original.tsv"))?;
    let hf = listing(&listings.join("umt5_xxl_encoder_hf.tsv"))?;
    let kind = Kind::TextEncoder;
    same((kind, Naming::Original), plain(original), plain(hf.clone()))?;
    same(
        (kind, Naming::Diffusers),
        plain(hf.clone()),
        plain(hf.clone()),
    )?;
    let bare = |(name, shape): (String, String)| {
        (
            name.strip_prefix("encoder.")
                .map(str::to_owned)
                .unwrap_or(name),
            shape,
        )
    };
    same((kind, Naming::Bare), plain(hf.clone()).map(bare), plain(hf))
}

/// The rows of a listing that stand for a layer each: `{a..b}`.
fn each_layer(rows: Vec<Row>) -> Result<Vec<(String, Vec<usize>)>, Failed> {
    let mut all = Vec::new();
    for (name, shape, _) in rows {
        let sides = shape.split('x').map(str::parse);
        let shape = sides.collect::<Result<Vec<usize>, _>>()?;
        match name.split_once("{0..31}") {
            None => all.push((name, shape)),
            Some((head, tail)) => {
                all.extend((0..32).map(|layer| (format!("{head}{layer}{tail}"), shape.clone())))
            }
        }
    }
    Ok(all)
}

/// A file of such tensors, all of them a hole, under the model's names: name and shape.
fn adopted(
    tensors: &[(String, Vec<usize>)],
) -> Result<(Naming, BTreeMap<String, Vec<usize>>), Failed> {
    let mut header = SafetensorsHeader::default();
    for (name, shape) in tensors {
        header.tensor(name, DType::F16, shape)?;
    }
    let file = tempfile::NamedTempFile::with_suffix(".safetensors")?;
    let start = header.to_bytes();
    std::fs::write(file.path(), &start)?;
    file.as_file()
        .set_len((start.len() + header.data_len()) as u64)?;
    let checkpoint = Checkpoint::open(file.path(), "image encoder")?;
    let (names, checkpoint) = with_diffusers_names(checkpoint, Kind::ImageEncoder)?;
    let naming = names.ok_or("not recognised")?.naming;
    let found = checkpoint.names().map(|name| {
        let shape = checkpoint.shape_of(name).unwrap_or_default().to_vec();
        (name.to_owned(), shape)
    });
    Ok((naming, found.collect()))
}

fn image_encoder(listings: &Path) -> Result<(), Failed> {
    let released = each_layer(listing(&listings.join("clip_vit_h_hf.tsv"))?)?;
    let original = each_layer(listing(&listings.join("clip_vit_h_original.tsv"))?)?;
    let (naming, wanted) = adopted(&released)?;
    if naming != Naming::Diffusers || wanted.len() != released.len() || wanted.len() < 500 {
        return Err(format!("{naming:?}, {} tensors", wanted.len()).into());
    }
    let mut needed = wanted;
    needed.remove("visual_projection.weight");
    for (tensors, expected) in [
        (original, Naming::Original),
        (
            released
                .iter()
                .filter_map(|(name, shape)| {
                    Some((
                        name.strip_prefix("vision_model.")?.to_owned(),
                        shape.clone(),
                    ))
                })
                .collect(),
            Naming::Bare,
        ),
    ] {
        let (naming, found) = adopted(&tensors)?;
        if naming != expected || found != needed {
            let strange = found
                .iter()
                .find(|(name, shape)| needed.get(*name) != Some(shape));
            return Err(format!("{naming:?}: {} tensors, {strange:?}", found.len()).into());
        }
    }
    Ok(())
}

fn autoencoders(listings: &Path) -> Result<(), Failed> {
    let found = (Kind::Vae, Naming::Original);
    let original = listing(&listings.join("wan2.1_vae_original.tsv"))?;
    let diffusers = listing(&listings.join("wan2.1_vae_diffusers.tsv"))?;
    same(found, plain(original.clone()), plain(diffusers.clone()))?;
    // The listing says of each tensor what its original name is.
    let parts = Names::recognise(original.iter().map(|(name, ..)| name.as_str()));
    for (name, _, old) in &diffusers {
        let renamed = parts[0].diffusers(old.as_deref().unwrap_or_default());
        if renamed.as_ref() != Some(name) {
            return Err(format!("{old:?} is {name}, found {renamed:?}").into());
        }
    }
    same(
        (Kind::Vae, Naming::Diffusers),
        plain(diffusers.clone()),
        plain(diffusers),
    )?;
    let original = listing(&listings.join("wan2.2_vae_original.tsv"))?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let released = listing(&fixtures.join("released/wan22_vae.tsv"))?;
    same(found, plain(original), plain(released))
}
