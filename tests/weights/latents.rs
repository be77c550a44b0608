//! Latents on disk.

use std::collections::BTreeMap;
use std::fs;

use kinora::error::WeightsError;
use kinora::weights::Latents;
use safetensors::{Dtype, SafeTensors};

use super::reference_file;

pub fn some_latents() -> Latents {
    let shape = [1, 2, 3, 4, 5];
    Latents {
        shape,
        values: (0..120u8).map(|i| f32::from(i) / 7.0 - 3.0).collect(),
        metadata: BTreeMap::from([
            ("prompt".to_owned(), "a \"red\" kite, 风筝".to_owned()),
            ("seed".to_owned(), "7".to_owned()),
        ]),
    }
}

#[test]
fn latents_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.safetensors");
    let latents = some_latents();
    latents.write(&path).unwrap();
    let first = fs::read(&path).unwrap();
    assert_eq!(Latents::read(&path).unwrap(), latents);
    // Replaced, equal to the byte, and no temporary file is left.
    latents.write(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // The reference implementation of the format reads the same.
    let reference = SafeTensors::deserialize(&first).unwrap();
    let tensor = reference.tensor("latents").unwrap();
    assert_eq!(
        (tensor.dtype(), tensor.shape()),
        (Dtype::F32, &latents.shape[..])
    );
    assert_eq!(
        tensor.data(),
        bytemuck::cast_slice::<f32, u8>(&latents.values)
    );
    let (_, metadata) = SafeTensors::read_metadata(&first).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap().len(), 2);
}

#[test]
fn latents_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l.safetensors");
    let shown = path.display().to_string();
    let error = || {
        Latents::read(&path)
            .unwrap_err()
            .to_string()
            .replace(&shown, "L")
    };
    assert_eq!(error(), "latents: L does not exist");
    fs::write(&path, reference_file(&[("samples", Dtype::F32, &[6])])).unwrap();
    assert_eq!(
        error(),
        "L holds no tensor named latents (it holds samples); Kinora writes one where a run is to keep its latents"
    );
    fs::write(
        &path,
        reference_file(&[("latents", Dtype::F32, &[1, 1, 3, 2])]),
    )
    .unwrap();
    assert_eq!(
        error(),
        "L: latents has shape [1, 1, 3, 2], expected [1, C, T, h, w] with no zero"
    );
    fs::write(
        &path,
        reference_file(&[("latents", Dtype::F32, &[2, 1, 1, 3, 1])]),
    )
    .unwrap();
    assert_eq!(
        error(),
        "L: latents has shape [2, 1, 1, 3, 1], expected [1, C, T, h, w] with no zero"
    );
    let mut latents = some_latents();
    latents.values[5] = f32::NAN;
    latents.values[7] = f32::INFINITY;
    latents.write(&path).unwrap();
    assert_eq!(
        error(),
        "L: 2 of the 120 values of latents are NaN or infinite; the run that made them went wrong"
    );
    latents.values.pop();
    assert_eq!(
        latents
            .write(&path)
            .unwrap_err()
            .to_string()
            .replace(&shown, "L"),
        "L: shape [1, 2, 3, 4, 5] does not hold 119 values"
    );
    let nowhere = dir.path().join("no").join("l.safetensors");
    let error = some_latents().write(&nowhere).unwrap_err();
    assert!(matches!(error, WeightsError::Write { .. }), "{error}");
}
