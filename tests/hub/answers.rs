//! What the hub may answer: not now, no, something else, something wrong.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinora_hub::{Hub as Cache, HubError, Observer, Repo};

use crate::server::{Answer, Asked, Hub, REPO};
use crate::{Client, LARGEST, starter, tiny_model};

#[test]
fn a_busy_hub_is_waited_for() {
    let script = |asked: &Asked| match (asked.file.as_str(), asked.before) {
        ("", 0) => Answer::Status(429, vec!["Retry-After: 1".into()]),
        ("", 1) => Answer::Status(503, vec![]),
        (LARGEST, 0) => Answer::Status(503, vec!["Retry-After: 0".into()]),
        (LARGEST, 1) => Answer::Status(429, vec!["RateLimit: \"resolvers\";r=0;t=1".into()]),
        _ => Answer::Serve,
    };
    let hub = Hub::new(&tiny_model(), script).expect("a hub");
    let client = Client::new(hub.endpoint());
    let begun = Instant::now();
    client.pulls(&tiny_model());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2200), "{took:?} only");
    assert!(
        client.notes().contains("trying again"),
        "{}",
        client.notes()
    );
}

#[test]
fn a_busy_hub_is_not_waited_for_for_ever() {
    let ended = |status: u16, after: &'static str, file: &'static str| {
        let script = move |asked: &Asked| match asked.file == file {
            true => Answer::Status(status, vec![format!("Retry-After: {after}")]),
            false => Answer::Serve,
        };
        let hub = Hub::new(&tiny_model(), script).expect("a hub");
        let error = Client::new(hub.endpoint()).pull().expect_err("busy");
        assert!(matches!(error, HubError::Busy { .. }), "{error:?}");
        let asked = hub.asked();
        let tries = asked.iter().filter(|asked| asked.file == file).count();
        (error.to_string(), tries)
    };
    let (said, tries) = ended(503, "0", "");
    assert!(tries == 4 && said.contains("503"), "{tries} tries: {said}");
    let (said, tries) = ended(503, "0", "vae/config.json");
    assert!(tries == 9 && said.contains("goes on"), "{tries}: {said}");
    let (said, tries) = ended(429, "3600", "");
    assert!(tries == 1 && said.contains("60 minutes"), "{tries}: {said}");
}

#[test]
fn refusals_say_what_to_do() {
    let refused = |file: &'static str, status: u16, code: &str, token: &str, words: &[&str]| {
        let code = code.to_owned();
        let script = move |asked: &Asked| match asked.file == file {
            true if code.is_empty() => Answer::Status(status, vec![]),
            true => Answer::Status(status, vec![format!("X-Error-Code: {code}")]),
            false => Answer::Serve,
        };
        let hub = Hub::new(&tiny_model(), script).expect("a hub");
        let mut client = Client::new(hub.endpoint());
        client.set("HF_TOKEN", token);
        client.refused(words);
    };
    refused("", 401, "RepoNotFound", "", &[REPO, "no model", "HF_TOKEN"]);
    refused("", 404, "", "", &[REPO, "no model"]);
    refused("", 404, "RevisionNotFound", "", &[REPO, "v1", "revision"]);
    refused("", 401, "", "", &["401", "set HF_TOKEN"]);
    refused("", 401, "", "hf_old", &["401", "not accepted"]);
    refused("", 403, "", "hf_old", &["403", "not accepted"]);
    refused("", 418, "", "", &["418", "HF_ENDPOINT"]);
    let page = format!("/{REPO}");
    let gated = ["gated", "accept", &page, "HF_TOKEN"];
    refused(LARGEST, 403, "GatedRepo", "", &gated);
    refused(LARGEST, 401, "GatedRepo", "hf_x", &gated);
    refused(LARGEST, 404, "EntryNotFound", "", &[LARGEST, "404"]);
    refused(LARGEST, 302, "", "", &["302", "http"]);
}

#[test]
fn another_length_is_refused() {
    let script = |asked: &Asked| match asked.file.as_str() {
        LARGEST => Answer::Longer,
        _ => Answer::Serve,
    };
    let hub = Hub::new(&tiny_model(), script).expect("a hub");
    let client = Client::new(hub.endpoint());
    let listed = hub.size(LARGEST);
    client.refused(&[LARGEST, &(listed + 1).to_string(), &listed.to_string()]);
    let there = client.in_cache("refs/v1").exists();
    assert!(!there, "a part counts as a model");
}

#[test]
fn what_is_damaged_is_discarded() {
    let times = |times: usize| {
        let script = move |asked: &Asked| match asked.file == LARGEST && asked.before < times {
            true => Answer::Damaged,
            false => Answer::Serve,
        };
        Hub::new(&tiny_model(), script).expect("a hub")
    };
    let hub = times(1);
    let client = Client::new(hub.endpoint());
    client.pulls(&tiny_model());
    assert!(client.notes().contains("damaged"), "{}", client.notes());
    let hub = times(2);
    let client = Client::new(hub.endpoint());
    client.refused(&[LARGEST, "sha256", &hub.hash(LARGEST)]);
    let blob = client.in_cache("blobs").join(hub.hash(LARGEST));
    assert!(!blob.exists(), "damaged bytes are kept");
    // What was wrong is not taken for a beginning.
    let before = hub.sent(LARGEST);
    client.pulls(&tiny_model());
    assert_eq!(hub.sent(LARGEST), before + hub.size(LARGEST));
    // A small file's hash is git's.
    let script = |asked: &Asked| match asked.file.as_str() {
        "vae/config.json" => Answer::Damaged,
        _ => Answer::Serve,
    };
    let hub = Hub::new(&tiny_model(), script).expect("a hub");
    Client::new(hub.endpoint()).refused(&["vae/config.json", "git blob sha1"]);
}

#[test]
fn the_token_stays_with_the_hub() {
    let used = Mutex::new(BTreeSet::new());
    let expired = AtomicBool::new(false);
    let script = move |asked: &Asked| match (asked.file.as_str(), &asked.signature) {
        ("", _) => Answer::Serve,
        // The first address that is asked for again is good no more.
        (LARGEST, Some(signature)) => {
            let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
            let again = !used.insert(signature.clone());
            match again && !expired.swap(true, Ordering::Relaxed) {
                true => Answer::Status(403, vec![]),
                false => Answer::Redirect,
            }
        }
        _ => Answer::Redirect,
    };
    let hub = Hub::new(&starter(), script).expect("a hub");
    let mut client = Client::new(hub.endpoint());
    let file = client.path("token");
    fs::write(&file, "hf_secret\n").expect("a token");
    client.set("HF_TOKEN_PATH", &file.display().to_string());
    client.pulls(&starter());
    let (elsewhere, here): (Vec<Asked>, Vec<Asked>) =
        hub.asked().into_iter().partition(|asked| asked.elsewhere);
    assert!(!elsewhere.is_empty(), "no redirect was followed");
    for asked in &here {
        let token = asked.token.as_deref();
        assert_eq!(token, Some("Bearer hf_secret"), "{:?}", asked.file);
    }
    let count = |list: &[Asked]| list.iter().filter(|asked| asked.file == LARGEST).count();
    let (there, asked) = (count(&elsewhere), count(&here));
    assert!(
        there > asked,
        "{there} there, {asked} here: none was used again"
    );
    let leak = elsewhere.iter().find(|asked| asked.token.is_some());
    assert!(leak.is_none(), "the token went to another server: {leak:?}");
    assert_eq!(hub.sent(LARGEST), hub.size(LARGEST));
}

#[test]
fn a_token_in_two_lines_is_called_that() {
    let hub = Hub::new(&tiny_model(), |_| Answer::Serve).expect("a hub");
    let mut client = Client::new(hub.endpoint());
    client.set("HF_TOKEN", "hf_one\nhf_two");
    let said = client.refused(&["HF_TOKEN", "line break"]);
    assert!(!said.contains("hf_one"), "{said}");
    let file = client.path("token");
    fs::write(&file, "hf_one\r\nhf_two\n").expect("a token");
    client.set("HF_TOKEN", "");
    client.set("HF_TOKEN_PATH", &file.display().to_string());
    client.refused(&[&file.display().to_string(), "line break"]);
    assert!(hub.asked().is_empty(), "the hub was asked");
}

#[test]
fn ranges_are_not_needed() {
    // It breaks in the middle twice, and whole files are begun anew.
    let script = |asked: &Asked| match asked.file == LARGEST && (8..10).contains(&asked.before) {
        true => Answer::NoRanges(2_000_000),
        false => Answer::NoRanges(usize::MAX),
    };
    let hub = Hub::new(&starter(), script).expect("a hub");
    Client::new(hub.endpoint()).pulls(&starter());
}

#[test]
fn breaks_lose_nothing() {
    let script = |asked: &Asked| match asked.file.as_str() {
        LARGEST if asked.before < 12 => Answer::Break(300_000),
        _ => Answer::Serve,
    };
    let hub = Hub::new(&starter(), script).expect("a hub");
    let client = Client::new(hub.endpoint());
    client.pulls(&starter());
    assert!(
        client.notes().contains("trying again"),
        "{}",
        client.notes()
    );
    // Whatever arrived before a break was used.
    assert_eq!(hub.sent(LARGEST), hub.size(LARGEST));
    let asked = hub.asked();
    let firsts = asked.iter().filter(|asked| asked.file == LARGEST);
    let firsts: BTreeSet<Option<usize>> = firsts
        .map(|asked| asked.range.map(|(first, _)| first))
        .collect();
    assert!(firsts.len() >= 12, "ranges from {firsts:?} only");
}

/// Cancels when half of the largest file was sent.
struct Half<'a>(&'a Hub);

impl Observer for Half<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.sent(LARGEST) > self.0.size(LARGEST) / 2
    }
}

#[test]
fn what_is_cancelled_goes_on() {
    let hub = Hub::new(&starter(), |_| Answer::Slow(1 << 14)).expect("a hub");
    let client = Client::new(hub.endpoint());
    let cache = Cache::from_variables(&|name| client.variables.get(name).map(Into::into));
    let cache = cache.expect("a cache");
    let repo: Repo = REPO.parse().expect("a name");
    let first = cache.inspect(&repo, &()).expect("a list");
    let error = cache.download(&first, &Half(&hub)).expect_err("cancelled");
    assert!(matches!(error, HubError::Interrupted), "{error:?}");
    assert!(matches!(cache.find(&repo), Err(HubError::NotHere { .. })));
    let second = cache.inspect(&repo, &()).expect("a list");
    assert!(second.missing() < first.missing() / 4 * 3);
    client.pulls(&starter());
    // A line of the list for each connection, and what lay in the system's buffers.
    let most = hub.size(LARGEST) + 8 * (1 << 16) + (1 << 18);
    assert!(hub.sent(LARGEST) <= most, "{} bytes", hub.sent(LARGEST));
}
