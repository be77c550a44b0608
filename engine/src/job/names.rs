//! Names of clips: from a prompt, with a seed, making way for files that exist.

use std::path::{Path, PathBuf};

/// Letters of the prompt in a clip's name, at most.
const NAME_LENGTH: usize = 48;

/// The words of a prompt as the name of a file.
pub fn name_of_prompt(prompt: &str) -> String {
    let mut name = String::new();
    for word in prompt
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let word = word.to_lowercase();
        let room = NAME_LENGTH.saturating_sub(name.len() + usize::from(!name.is_empty()));
        if word.len() > room {
            if name.is_empty() {
                // A single word that is too long: keep its first letters.
                name.extend(
                    word.char_indices()
                        .take_while(|(at, c)| at + c.len_utf8() <= room)
                        .map(|(_, c)| c),
                );
            }
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(&word);
    }
    if name.is_empty() {
        "clip".to_owned()
    } else {
        name
    }
}

/// `kite.mp4` for `runs/kite.latents.safetensors`, in the current folder.
pub fn name_of_latents(latents: &Path) -> PathBuf {
    let stem = Path::new(latents.file_stem().unwrap_or_default());
    let kept = stem.extension().is_some_and(|e| e == "latents");
    let bare = if kept { stem.file_stem() } else { None };
    let mut name = bare.unwrap_or(stem.as_os_str()).to_owned();
    name.push(".mp4");
    name.into()
}

/// `boat.mp4` becomes `boat-7.mp4`.
pub fn name_with_seed(path: &Path, seed: u64) -> PathBuf {
    with_ending(path, &seed.to_string())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-");
    name.push(ending);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A name that nobody asked for, and those that it makes way with: `boat-7-2.mp4` and on.
pub(super) fn ways(path: &Path) -> impl Iterator<Item = PathBuf> {
    let others = (2..10_000_u32).map(|n| with_ending(path, &n.to_string()));
    std::iter::once(path.to_owned()).chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_prompts_words() {
        assert_eq!(name_of_prompt("A red kite, gliding!"), "a-red-kite-gliding");
        assert_eq!(name_of_prompt("../../etc/passwd"), "etc-passwd");
        assert_eq!(name_of_prompt("?!"), "clip");
        assert_eq!(name_of_prompt("Möwenflug über 海"), "möwenflug-über-海");
        let long = name_of_prompt(&"very ".repeat(40));
        assert!(long.len() <= NAME_LENGTH && long.ends_with("very"));
        assert_eq!(name_of_prompt(&"海".repeat(40)), "海".repeat(16));
    }

    #[test]
    fn a_clip_is_named_like_its_latents() {
        let name = |latents: &str| name_of_latents(Path::new(latents)).display().to_string();
        assert_eq!(name("runs/kite.latents.safetensors"), "kite.mp4");
        assert_eq!(name("boat.v2.safetensors"), "boat.v2.mp4");
    }

    #[test]
    fn several_clips_bear_their_seeds() {
        assert_eq!(
            name_with_seed(Path::new("a/boat.v2.mp4"), 7),
            Path::new("a/boat.v2-7.mp4")
        );
        assert_eq!(
            name_with_seed(Path::new("boat.safetensors"), 7),
            Path::new("boat-7.safetensors")
        );
    }
}
