//! LoRAs as people write them.

use std::str::FromStr;

use super::{Experts, Lora};

/// As people write it: turbo.safetensors, style.safetensors:0.8, high=style.safetensors:-1.
impl FromStr for Lora {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (experts, rest) = match text.split_once('=') {
            Some(("high", rest)) => (Experts::High, rest),
            Some(("low", rest)) => (Experts::Low, rest),
            _ => (Experts::All, text),
        };
        let number =
            |(file, strength): (&str, &str)| Some((file.to_owned(), strength.parse().ok()?));
        // A colon may also be a drive's, or a part of a name.
        let (file, strength) = rest
            .rsplit_once(':')
            .and_then(number)
            .unwrap_or((rest.to_owned(), 1.0));
        if file.is_empty() {
            Err("expected a file, such as style.safetensors:0.8".into())
        } else {
            Ok(Lora {
                file: file.into(),
                strength,
                experts,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lora_is_a_file_and_a_strength() {
        let read = |text: &str| {
            let read = text.parse::<Lora>().expect("a LoRA");
            (read.experts, read.file.display().to_string(), read.strength)
        };
        for (text, experts, file, strength) in [
            ("a.safetensors", Experts::All, "a.safetensors", 1.0),
            ("a.safetensors:0.8", Experts::All, "a.safetensors", 0.8),
            (
                "low=b/c.safetensors:-1",
                Experts::Low,
                "b/c.safetensors",
                -1.0,
            ),
            (
                r"high=C:\d.safetensors",
                Experts::High,
                r"C:\d.safetensors",
                1.0,
            ),
            ("x=y.safetensors:2", Experts::All, "x=y.safetensors", 2.0),
        ] {
            assert_eq!(read(text), (experts, file.to_owned(), strength), "{text}");
        }
        assert!("high=:1".parse::<Lora>().is_err());
    }
}
