//! `kinora show`: what made a clip, and the command that makes it again.

use std::borrow::Cow;

use kinora::job::Metadata;
use kinora::media::{describe, read_metadata};
use kinora::model_files::SchedulerName;

use kinora::request::{FIELDS, Field, changed_inputs};

use crate::args::{LORAS, ShowArgs};
use crate::error::CliError;
use crate::output;
use crate::words::option;

/// Prints what made the clip.
pub(crate) fn run(args: &ShowArgs) -> Result<(), CliError> {
    let metadata = read_metadata(&args.file)?;
    if !metadata.iter().any(|(key, _)| key == "kinora") {
        return Err(CliError::NoMetadata {
            path: args.file.clone(),
        });
    }
    let text = if args.command {
        for note in changed_inputs(|key| entry(&metadata, key)) {
            eprintln!("note: {note}");
        }
        command(&metadata)
    } else if args.json {
        format!("{:#}\n", Metadata(metadata.into_iter().collect()).to_json())
    } else {
        let mut text = format!("{}: {}\n", args.file.display(), describe(&args.file)?);
        for (key, value) in &metadata {
            // A line each, and no control characters: a clip's text may be anyone's.
            let value: String = value.chars().flat_map(visible).collect();
            text.push_str(&format!("  {key:16} {value}\n"));
        }
        text
    };
    output::print(text.as_bytes())
}

/// A character, escaped where a terminal would obey it.
fn visible(c: char) -> Vec<char> {
    if c.is_control() {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}

/// An entry of a clip's metadata.
fn entry<'m>(metadata: &'m [(String, String)], key: &str) -> Option<&'m str> {
    let found = metadata.iter().find(|(known, _)| known == key);
    found.map(|(_, value)| value.as_str())
}

/// The command line, for a POSIX shell.
fn command(metadata: &[(String, String)]) -> String {
    let find = |key: &str| entry(metadata, key);
    let mut words = vec!["kinora".to_owned(), "generate".to_owned()];
    let options = FIELDS.iter().filter(|field| is_option(field));
    for field in options {
        if let Some(value) = find(field.key) {
            // With =, so that a value may begin with a dash.
            words.push(format!("{}={}", option(field.key), quoted(value)));
        }
    }
    for lora in find(LORAS).into_iter().flat_map(str::lines) {
        words.push(format!("--lora={}", quoted(lora)));
    }
    // Else it is the checkpoint's own, which the model brings.
    let known = |name: &&str| SchedulerName::named(name).is_some();
    if let Some(scheduler) = find("scheduler").filter(known) {
        words.push(format!("--scheduler={scheduler}"));
    }
    let prompt = quoted(find("prompt").unwrap_or_default()).into_owned();
    if prompt.starts_with('-') || prompt.starts_with("'-") {
        words.push("--".to_owned());
        words.push(prompt);
    } else {
        // First, so that options may be added behind: the last of each counts.
        words.insert(2, prompt);
    }
    words.join(" ") + "\n"
}

/// Whether an option of `generate` carries the field by its value; the prompt, the scheduler and
/// LoRAs are written by rules of their own.
fn is_option(field: &Field) -> bool {
    let own_rule = ["prompt", "scheduler", LORAS].contains(&field.key);
    let engine = ["decoder", "tiny_decoder_latents", "precision", "quantize"].contains(&field.key);
    !own_rule && (engine || field.is_asked() || field.is_typed())
}

/// A word as a POSIX shell reads it.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("models/wan-2.1"), "models/wan-2.1");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn the_command_holds_every_setting() {
        let entries = [
            ("prompt", "-a boat"),
            ("seed", "7"),
            ("scheduler", "euler"),
            (
                "loras",
                "turbo.safetensors:1\nhigh=my style.safetensors:0.8",
            ),
            ("kinora", "0.1.0"),
        ];
        let metadata = entries.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(
            command(&metadata),
            "kinora generate --seed=7 --lora=turbo.safetensors:1 --lora='high=my style.safetensors:0.8' \
             --scheduler=euler -- '-a boat'\n"
        );
        assert_eq!(
            command(&[("prompt".into(), "a boat".into())]),
            "kinora generate 'a boat'\n"
        );
    }
}
