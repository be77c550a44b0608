//! What the hub may answer: not now, no, something else, something wrong.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{LARGEST, client, holds, in_cache, pull, starter};
use crate::hub::{Answer, Asked, Hub, REPO};
use crate::program::{Place, Test, Verdict, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("pull_waits_for_a_busy_hub", busy),
    ("pull_does_not_wait_for_ever", busy_for_ever),
    ("pull_says_what_the_hub_refuses", refusals),
    ("pull_refuses_another_length", longer),
    ("pull_discards_what_is_damaged", damaged),
    ("pull_keeps_the_token_to_the_hub", redirects),
    ("pull_needs_no_ranges", no_ranges),
];

fn busy() -> Verdict {
    let script = |asked: &Asked| match (asked.file.as_str(), asked.before) {
        ("", 0) => Answer::Status(429, vec!["Retry-After: 1".into()]),
        ("", 1) => Answer::Status(503, vec![]),
        (LARGEST, 0) => Answer::Status(503, vec!["Retry-After: 0".into()]),
        (LARGEST, 1) => Answer::Status(429, vec!["RateLimit: \"resolvers\";r=0;t=1".into()]),
        _ => Answer::Serve,
    };
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), script)?);
    let begun = Instant::now();
    pull(&place, &hub, &[])?.good()?;
    let took = begun.elapsed();
    ensure!(
        took >= Duration::from_millis(2200),
        "waited for {took:?} only"
    );
    holds(&place, &tiny_model())
}

fn busy_for_ever() -> Verdict {
    let place = Place::new()?;
    let ended = |status: u16, after: &'static str, file: &'static str| {
        let script = move |asked: &Asked| match asked.file == file {
            true => Answer::Status(status, vec![format!("Retry-After: {after}")]),
            false => Answer::Serve,
        };
        let hub = Hub::new(&tiny_model(), script)?;
        let ended = pull(&place, &hub, &[])?;
        ended.exits(1)?;
        let tries = hub
            .asked()
            .iter()
            .filter(|asked| asked.file == file)
            .count();
        Ok::<_, String>((ended.err, tries))
    };
    let (said, tries) = ended(503, "0", "")?;
    ensure!(tries == 4 && said.contains("503"), "{tries} tries: {said}");
    let (said, tries) = ended(503, "0", "vae/config.json")?;
    ensure!(
        tries == 9 && said.contains("goes on"),
        "{tries} tries: {said}"
    );
    let (said, tries) = ended(429, "3600", "")?;
    ensure!(
        tries == 1 && said.contains("60 minutes"),
        "{tries} tries: {said}"
    );
    Ok(())
}

fn refusals() -> Verdict {
    let place = Place::new()?;
    let refused = |file: &'static str, status: u16, code: &str, token: &str, words: &[&str]| {
        let code = code.to_owned();
        let script = move |asked: &Asked| match asked.file == file {
            true if code.is_empty() => Answer::Status(status, vec![]),
            true => Answer::Status(status, vec![format!("X-Error-Code: {code}")]),
            false => Answer::Serve,
        };
        let hub = Hub::new(&tiny_model(), script)?;
        let mut command = client(&place, hub.endpoint(), false);
        command.env("HF_TOKEN", token);
        let ended = place.feed(command, &["pull", REPO, "--revision", "v1"], &[])?;
        ended
            .refused(words)
            .map_err(|e| format!("{file} {status}: {e}"))
    };
    refused("", 401, "RepoNotFound", "", &[REPO, "no model", "HF_TOKEN"])?;
    refused("", 404, "", "", &[REPO, "no model"])?;
    refused("", 404, "RevisionNotFound", "", &[REPO, "v1", "revision"])?;
    refused("", 401, "", "", &["401", "set HF_TOKEN"])?;
    refused("", 401, "", "hf_old", &["401", "not accepted"])?;
    refused("", 403, "", "hf_old", &["403", "not accepted"])?;
    refused("", 418, "", "", &["418", "HF_ENDPOINT"])?;
    let page = format!("/{REPO}");
    refused(
        LARGEST,
        403,
        "GatedRepo",
        "",
        &["gated", "accept", &page, "HF_TOKEN"],
    )?;
    refused(
        LARGEST,
        401,
        "GatedRepo",
        "hf_x",
        &["gated", "accept", &page, "HF_TOKEN"],
    )?;
    refused(LARGEST, 404, "EntryNotFound", "", &[LARGEST, "404"])?;
    refused(LARGEST, 302, "", "", &["302", "http"])
}

fn longer() -> Verdict {
    let script = |asked: &Asked| match asked.file.as_str() {
        LARGEST => Answer::Longer,
        _ => Answer::Serve,
    };
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), script)?);
    let (sent, listed) = (
        (hub.size(LARGEST) + 1).to_string(),
        hub.size(LARGEST).to_string(),
    );
    pull(&place, &hub, &[])?.refused(&[LARGEST, &sent, &listed])?;
    ensure!(
        !in_cache(&place, "refs/main").exists(),
        "a part counts as a model"
    );
    Ok(())
}

fn damaged() -> Verdict {
    let times = |times: usize| {
        let script = move |asked: &Asked| match asked.file == LARGEST && asked.before < times {
            true => Answer::Damaged,
            false => Answer::Serve,
        };
        Hub::new(&tiny_model(), script)
    };
    let (place, hub) = (Place::new()?, times(1)?);
    let ended = pull(&place, &hub, &[])?.good()?;
    ensure!(ended.err.contains("damaged"), "{}", ended.err);
    holds(&place, &tiny_model())?;
    let (place, hub) = (Place::new()?, times(2)?);
    pull(&place, &hub, &[])?.refused(&[LARGEST, "sha256", &hub.hash(LARGEST)])?;
    let blob = in_cache(&place, "blobs").join(hub.hash(LARGEST));
    ensure!(!blob.exists(), "damaged bytes are kept");
    // What was wrong is not taken for a beginning.
    let before = hub.sent(LARGEST);
    pull(&place, &hub, &[])?.good()?;
    ensure!(
        hub.sent(LARGEST) == before + hub.size(LARGEST),
        "{} bytes sent",
        hub.sent(LARGEST)
    );
    holds(&place, &tiny_model())?;
    // A small file's hash is git's.
    let script = |asked: &Asked| match asked.file.as_str() {
        "vae/config.json" => Answer::Damaged,
        _ => Answer::Serve,
    };
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), script)?);
    pull(&place, &hub, &[])?.refused(&["vae/config.json", "git blob sha1"])
}

fn redirects() -> Verdict {
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
    let (place, hub) = (Place::new()?, Hub::new(&starter(), script)?);
    let file = place.path("token");
    fs::write(&file, "hf_secret\n").map_err(|e| e.to_string())?;
    let mut command = client(&place, hub.endpoint(), false);
    command.env("HF_TOKEN_PATH", file);
    place.feed(command, &["pull", REPO], &[])?.good()?;
    holds(&place, &starter())?;
    let (elsewhere, here): (Vec<Asked>, Vec<Asked>) =
        hub.asked().into_iter().partition(|asked| asked.elsewhere);
    ensure!(!elsewhere.is_empty(), "no redirect was followed");
    for asked in &here {
        let token = asked.token.as_deref();
        ensure!(
            token == Some("Bearer hf_secret"),
            "{token:?} for {:?}",
            asked.file
        );
    }
    let count = |list: &[Asked]| list.iter().filter(|asked| asked.file == LARGEST).count();
    let (there, asked) = (count(&elsewhere), count(&here));
    ensure!(
        there > asked,
        "{there} requests there, {asked} here: no address was used again"
    );
    let leak = elsewhere.iter().find(|asked| asked.token.is_some());
    ensure!(leak.is_none(), "the token went to another server: {leak:?}");
    ensure!(
        hub.sent(LARGEST) == hub.size(LARGEST),
        "{} bytes sent",
        hub.sent(LARGEST)
    );
    Ok(())
}

fn no_ranges() -> Verdict {
    // It breaks in the middle twice, and whole files are begun anew.
    let script = |asked: &Asked| match asked.file == LARGEST && (8..10).contains(&asked.before) {
        true => Answer::NoRanges(2_000_000),
        false => Answer::NoRanges(usize::MAX),
    };
    let (place, hub) = (Place::new()?, Hub::new(&starter(), script)?);
    pull(&place, &hub, &[])?.good()?;
    holds(&place, &starter())
}
