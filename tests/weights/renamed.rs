//! A file's tensors under the model's own names.

use kinora::error::WeightsError;
use kinora::weights::{Checkpoint, Piece, Renamed};
use safetensors::Dtype;

use super::{VALUES, open, reference_file};

/// A file of one fused matrix, a scale and two others, under the model's names.
fn renamed(pieces: &dyn Fn(&str) -> Renamed) -> Result<Checkpoint, WeightsError> {
    let bytes = reference_file(&[
        ("qkv", Dtype::F16, &[3, 2]),
        ("norm.gamma", Dtype::F32, &[6]),
        ("kept", Dtype::F32, &[6]),
        ("ema", Dtype::F32, &[6]),
    ]);
    open(bytes).unwrap().renamed(&|name, _| match name {
        "kept" => Renamed::Kept,
        name => pieces(name),
    })
}

#[test]
fn tensors_are_asked_for_by_the_models_names() {
    let checkpoint = renamed(&|name| match name {
        "qkv" => Renamed::As(
            (0..3)
                .map(|at| Piece::named(format!("to_{at}")).rows(at..at + 1))
                .collect(),
        ),
        "norm.gamma" => Piece::named("norm").shaped([6, 1]).into(),
        _ => Renamed::Dropped,
    })
    .unwrap();
    let mut names: Vec<&str> = checkpoint.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["kept", "norm", "to_0", "to_1", "to_2"]);
    assert_eq!(
        checkpoint.get("to_1", &[1, 2]).unwrap().to_f32(),
        VALUES[2..4]
    );
    assert_eq!(checkpoint.get("norm", &[6, 1]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.get("kept", &[6]).unwrap().to_f32(), VALUES);
    assert_eq!(checkpoint.file_name_of("to_2"), Some("qkv"));
    assert_eq!(checkpoint.file_name_of("kept"), Some("kept"));
    assert_eq!(checkpoint.unread(), ["to_0", "to_2"]);
    assert_eq!(
        checkpoint.get("norm", &[6]).unwrap_err().to_string(),
        "vae: tensor \"norm\" (\"norm.gamma\" in the file) of a.safetensors has shape [6, 1], but config.json asks for [6]; the configuration and the weights are not of the same model"
    );
}

#[test]
fn names_that_do_not_fit_the_file_are_refused() {
    let dropped = |name: &str, wanted: &str, piece: Piece| match name == wanted {
        true => piece.into(),
        false => Renamed::Dropped,
    };
    for (piece, expected) in [
        (Piece::named("x").rows(2..4), "rows 2..4"),
        (Piece::named("x").shaped([5]), "shape [5]"),
        (Piece::named("x").rows(0..1).shaped([3, 2]), "shape [3, 2]"),
    ] {
        let error = renamed(&|name| dropped(name, "qkv", piece.clone())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "vae: tensor \"qkv\" of a.safetensors has shape [3, 2], which does not become \"x\" of {expected}; the file is not of the layout that its names say"
            )
        );
    }
    let error = renamed(&|name| match name {
        "qkv" => Renamed::to("kept"),
        _ => Renamed::Dropped,
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("\"kept\"")
            && text.contains("\"qkv\"")
            && text.ends_with("it mixes two layouts"),
        "{text}"
    );
}
