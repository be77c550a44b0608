//! What other programs read and keep of a clip's metadata.
//!
//! | entry | holds | for |
//! |---|---|---|
//! | `©nam` | the prompt | the title that players and file managers show |
//! | `©too` | Kinora and its version | the encoding program |
//! | `©cmt` | all entries, one JSON object | `ffmpeg -c copy`, which keeps these three alone; ComfyUI's VideoHelperSuite and most tools that read prompts look here |
//! | `Comment` of a PNG | as `©cmt` | viewers of pictures |
//! | key `parameters`, of a PNG, too | the settings as the web UI of Stable Diffusion writes them | Civitai and the galleries that read its form |
//!
//! ComfyUI itself reads the keys `prompt` and `workflow` where they hold a graph of its nodes. A clip
//! of Kinora has no such graph, and none is invented; its `prompt` is text, which ComfyUI passes over.
//! Sources: QuickTime File Format, "User Data Text Strings"; Comfy-Org/ComfyUI_frontend,
//! `metadata/isobmff.ts`; civitai/civitai, pull request 3307.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::boxes::{Mp4Box, Name, split, u32_at};
use super::metadata::{UTF8, handler, text};

const TITLE: &Name = b"\xa9nam";
const TOOL: &Name = b"\xa9too";
const COMMENT: &Name = b"\xa9cmt";

/// The entry that says which Kinora wrote the others.
pub(super) const VERSION: &str = "kinora";

/// The key of the settings in one text.
pub(super) const PARAMETERS: &str = "parameters";

/// The keyword of all entries in a PNG.
pub(super) const PICTURE_COMMENT: &str = "Comment";

/// Entries as a JSON object, in their order.
struct Object<E>(E);

impl Serialize for Object<&[(String, String)]> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Object<Vec<(String, String)>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries).map(Self)
    }
}

fn find<'a>(entries: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let entry = entries.iter().find(|(found, _)| found == key);
    entry.map(|(_, value)| value.as_str())
}

/// The `udta` of these entries.
pub(super) fn user_data(entries: &[(String, String)]) -> Mp4Box {
    let tool = find(entries, VERSION).map(|version| format!("Kinora {version}"));
    let comment = serde_json::to_string(&Object(entries)).ok();
    let title = find(entries, "prompt").filter(|prompt| !prompt.is_empty());
    let tags = [
        (TITLE, title.map(str::to_owned)),
        (TOOL, tool),
        (COMMENT, comment),
    ];
    let item = |(name, value): (&Name, Option<String>)| {
        let children = vec![text(&value?)];
        let fields = Vec::new();
        Some(Mp4Box {
            name: *name,
            fields,
            children,
        })
    };
    let list = Mp4Box {
        name: *b"ilst",
        fields: Vec::new(),
        children: tags.into_iter().filter_map(item).collect(),
    };
    let meta = Mp4Box {
        name: *b"meta",
        fields: vec![0; 4],
        children: vec![handler(b"mdir", b"appl"), list],
    };
    Mp4Box {
        name: *b"udta",
        fields: Vec::new(),
        children: vec![meta],
    }
}

/// The texts of a picture of these entries, by their keywords in a PNG; none for none.
pub(super) fn of_picture(entries: &[(String, String)]) -> Vec<(&'static str, String)> {
    if entries.is_empty() {
        return Vec::new();
    }
    let comment = serde_json::to_string(&Object(entries)).ok();
    let texts = [
        (PICTURE_COMMENT, comment),
        (PARAMETERS, parameters(entries)),
    ];
    texts
        .into_iter()
        .filter_map(|(keyword, text)| Some((keyword, text?)))
        .collect()
}

/// The entries that the comment of a parsed `moov` holds; `None` where it has none, or another
/// program's.
pub(super) fn from_comment(moov: &Mp4Box) -> Option<Vec<(String, String)>> {
    let meta = moov.at(&[b"udta", b"meta"])?;
    let items = split(&meta.child(b"ilst")?.fields).ok()?;
    let (_, comment) = items.into_iter().find(|(name, _)| name == COMMENT)?;
    let data = split(comment).ok()?;
    let (_, data) = data.into_iter().find(|(name, _)| name == b"data")?;
    let text = data.get(8..).filter(|_| u32_at(data, 0) == Some(UTF8))?;
    from_json(std::str::from_utf8(text).ok()?)
}

/// The entries in a JSON object of strings.
pub(super) fn from_json(text: &str) -> Option<Vec<(String, String)>> {
    let object: Object<Vec<(String, String)>> = serde_json::from_str(text).ok()?;
    Some(object.0)
}

/// The settings in one text; `None` for entries that are not Kinora's.
pub(super) fn parameters(entries: &[(String, String)]) -> Option<String> {
    let find = |key| find(entries, key);
    find(VERSION)?;
    let (prompt, steps, seed) = (find("prompt")?, find("steps")?, find("seed")?);
    let mut settings = vec![("Steps", steps.to_owned())];
    let mut add = |name, value: Option<&str>| settings.extend(value.map(|v| (name, v.to_owned())));
    add("Sampler", find("scheduler"));
    add("CFG scale", find("guidance"));
    add("Seed", Some(seed));
    let size = find("width").zip(find("height"));
    add("Size", size.map(|(w, h)| format!("{w}x{h}")).as_deref());
    add("Model", find("model"));
    add("Version", Some("Kinora"));
    let settings: Vec<_> = settings
        .into_iter()
        // A comma ends a value.
        .map(|(name, value)| format!("{name}: {}", value.replace([',', '\n'], " ")))
        .collect();
    let negative = find("negative_prompt").filter(|text| !text.is_empty());
    let negative = negative.map(|text| format!("\nNegative prompt: {text}"));
    let negative = negative.unwrap_or_default();
    Some(format!("{prompt}{negative}\n{}", settings.join(", ")))
}
