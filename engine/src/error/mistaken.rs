//! What failed downloads often leave in a file's place.

/// Recognises, by the first `bytes` of a file, a git-lfs pointer or a web page that was saved in place
/// of the download.
pub(crate) fn mistaken(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"version https://git-lfs.github.com/") {
        return Some(
            "a git-lfs pointer, a few lines in place of the file: fetch the file itself with 'git lfs pull', or download it again",
        );
    }
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    let begins = |mark: &[u8]| {
        let head = text.get(..mark.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(mark))
    };
    let page = [&b"<!doctype html"[..], b"<html", b"<head"];
    page.into_iter().any(begins).then_some(
        "a web page (HTML), saved in place of the file: download it again, from its address for downloads or signed in",
    )
}

#[cfg(test)]
mod tests {
    use super::mistaken;

    #[test]
    fn pointers_and_pages_are_told_from_files() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
        assert!(mistaken(pointer).is_some_and(|what| what.contains("git-lfs")));
        for page in [
            &b"<!DOCTYPE html><html>"[..],
            b"\xef\xbb\xbf\n <HTML lang=en>",
        ] {
            assert!(mistaken(page).is_some_and(|what| what.contains("HTML")));
        }
        for file in [&b"GGUF\x03"[..], b"{\"a\": 1}", b"", b"version 2", b"<!do"] {
            assert_eq!(mistaken(file), None);
        }
    }
}
