//! `kinora pull` from a hub that breaks connections, sends wrong things and refuses, and the model
//! in the cache that comes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::hub::{Answer, Asked, COMMIT, Hub, REPO};
use crate::program::{Ended, Place, Running, Test, Verdict, command, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("pull_fills_the_cache", fills_the_cache),
    ("pull_tells_before_it_does", dry_run),
    ("pull_goes_on_after_breaks", breaks),
    ("pull_goes_on_after_a_kill", kill),
    #[cfg(unix)]
    ("pull_goes_on_after_ctrl_c", ctrl_c),
    ("pull_waits_for_a_busy_hub", busy),
    ("pull_does_not_wait_for_ever", busy_for_ever),
    ("pull_says_what_the_hub_refuses", refusals),
    ("pull_refuses_another_length", longer),
    ("pull_discards_what_is_damaged", damaged),
    ("pull_keeps_the_token_to_the_hub", redirects),
    ("pull_needs_no_ranges", no_ranges),
    ("pull_shares_with_another_pull", two_at_once),
    ("pull_says_that_there_is_no_network", no_network),
    ("names_of_models", names),
];

pub(crate) const DEVICE_TESTS: &[Test] = &[("a_pulled_model_makes_clips_offline", offline)];

#[cfg(target_os = "linux")]
pub(crate) const DISK_TESTS: &[Test] = &[("pull_refuses_what_does_not_fit", small_disk)];
#[cfg(not(target_os = "linux"))]
pub(crate) const DISK_TESTS: &[Test] = &[];

/// The largest file of either model.
const LARGEST: &str = "transformer/diffusion_pytorch_model.safetensors";
/// What a client that is killed may have asked for without writing it down: a line of its list for
/// each connection, and what lies in the system's buffers.
const IN_FLIGHT: usize = 8 * (1 << 16) + (1 << 18);

/// The model that ships with the program: large enough for several ranges.
fn starter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/starter/weights")
}

/// The program, with the cache in `place` and `endpoint` for a hub.
fn client(place: &Place, endpoint: &str, device: bool) -> Command {
    let mut command = command(device);
    let others = [
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    for name in others {
        command.env_remove(name);
    }
    command
        .env("HF_HOME", place.path("hf"))
        .env("HF_ENDPOINT", endpoint);
    command
}

fn pull(place: &Place, hub: &Hub, options: &[&str]) -> Result<Ended, String> {
    let arguments = [&["pull", REPO], options].concat();
    place.feed(client(place, hub.endpoint(), false), &arguments, &[])
}

fn in_cache(place: &Place, path: &str) -> PathBuf {
    place
        .path("hf/hub/models--kinora-test--Tiny-Diffusers")
        .join(path)
}

/// Every file of `model` lies in the snapshot, byte for byte, and the blobs are whole.
fn holds(place: &Place, model: &Path) -> Verdict {
    let snapshot = in_cache(place, "snapshots").join(COMMIT);
    let mut folders = vec![model.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(model).map_err(|e| e.to_string())?;
            let read = |path: &Path| fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
            let same = read(&snapshot.join(inside))? == read(&path)?;
            ensure!(same, "{} is another", inside.display());
        }
    }
    let main = fs::read_to_string(in_cache(place, "refs/main")).map_err(|e| e.to_string())?;
    ensure!(main == COMMIT, "refs/main is {main:?}");
    let left: Vec<String> = place
        .files()
        .into_iter()
        .filter(|name| name.contains(".kinora."))
        .collect();
    ensure!(left.is_empty(), "left {left:?}");
    Ok(())
}

fn fills_the_cache() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), |_| Answer::Serve)?);
    let ended = pull(&place, &hub, &[])?.good()?;
    let snapshot = in_cache(&place, "snapshots").join(COMMIT);
    ensure!(
        ended.out.trim() == snapshot.display().to_string(),
        "printed {:?}",
        ended.out
    );
    for word in [REPO, "apache-2.0", "text_encoder", "downloaded"] {
        ensure!(
            ended.err.contains(word),
            "{word:?} is not in {:?}",
            ended.err
        );
    }
    holds(&place, &tiny_model())?;
    for unread in ["README.md", "assets", "vae/diffusion_pytorch_model.bin"] {
        ensure!(!snapshot.join(unread).exists(), "{unread} was downloaded");
    }
    #[cfg(unix)]
    {
        let link = fs::read_link(snapshot.join(LARGEST)).map_err(|e| e.to_string())?;
        let expected = format!("../../../blobs/{}", hub.hash(LARGEST));
        ensure!(
            link == Path::new(&expected),
            "{LARGEST} is a link to {}",
            link.display()
        );
    }
    // Once more: the list alone is asked for.
    let asked = hub.asked().len();
    pull(&place, &hub, &[])?.good()?;
    ensure!(
        hub.asked().len() == asked + 1,
        "asked for {:?}",
        &hub.asked()[asked..]
    );
    // A file that is gone from the snapshot is linked anew, one that is gone from the disk comes anew.
    fs::remove_file(snapshot.join("vae/config.json")).map_err(|e| e.to_string())?;
    fs::remove_file(in_cache(&place, "blobs").join(hub.hash(LARGEST)))
        .map_err(|e| e.to_string())?;
    pull(&place, &hub, &[])?.good()?;
    holds(&place, &tiny_model())
}

fn dry_run() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), |_| Answer::Serve)?);
    let ended = pull(&place, &hub, &["--dry-run"])?.good()?;
    for word in [LARGEST, "apache-2.0", "tokenizer/tokenizer.json"] {
        ensure!(
            ended.out.contains(word),
            "{word:?} is not in {:?}",
            ended.out
        );
    }
    ensure!(!ended.out.contains("README"), "{}", ended.out);
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    ensure!(hub.asked().len() == 1, "asked for {:?}", hub.asked());
    Ok(())
}

fn breaks() -> Verdict {
    let script = |asked: &Asked| match asked.file.as_str() {
        LARGEST if asked.before < 12 => Answer::Break(300_000),
        _ => Answer::Serve,
    };
    let (place, hub) = (Place::new()?, Hub::new(&starter(), script)?);
    let ended = pull(&place, &hub, &[])?.good()?;
    ensure!(ended.err.contains("trying again"), "{}", ended.err);
    holds(&place, &starter())?;
    // Whatever arrived before a break was used.
    let (sent, size) = (hub.sent(LARGEST), hub.size(LARGEST));
    ensure!(sent == size, "{sent} bytes sent of {size}");
    let asked = hub.asked();
    let firsts = asked.iter().filter(|asked| asked.file == LARGEST);
    let firsts: BTreeSet<Option<usize>> = firsts
        .map(|asked| asked.range.map(|(first, _)| first))
        .collect();
    ensure!(firsts.len() >= 12, "ranges from {firsts:?} only");
    Ok(())
}

/// A download that is slow enough to be ended when half of the largest file was sent.
fn begun(place: &Place, hub: &Hub) -> Result<Running, String> {
    let running = place.start(client(place, hub.endpoint(), false), &["pull", REPO])?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while hub.sent(LARGEST) < hub.size(LARGEST) / 2 {
        ensure!(
            Instant::now() < deadline,
            "only {} bytes sent",
            hub.sent(LARGEST)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(running)
}

/// Goes on, and compares what was sent in all with what there is.
fn resumed(place: &Place, hub: &Hub) -> Verdict {
    ensure!(
        !in_cache(place, "refs/main").exists(),
        "a part counts as a model"
    );
    let half = place.feed(
        client(place, hub.endpoint(), false),
        &["plan", "--model", REPO],
        &[],
    )?;
    half.refused(&[REPO, "kinora pull"])?;
    let ended = pull(place, hub, &[])?.good()?;
    ensure!(ended.err.contains("are here"), "{}", ended.err);
    holds(place, &starter())?;
    let (sent, size) = (hub.sent(LARGEST), hub.size(LARGEST));
    println!("{sent} bytes sent of {size}");
    ensure!(sent <= size + IN_FLIGHT, "{sent} bytes sent of {size}");
    Ok(())
}

/// So slow that there is time to end it: bits of 2 kB, on each of eight connections.
fn slow(_: &Asked) -> Answer {
    Answer::Slow(2048)
}

fn kill() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&starter(), slow)?);
    // Dropping it kills it.
    drop(begun(&place, &hub)?);
    resumed(&place, &hub)
}

#[cfg(unix)]
fn ctrl_c() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&starter(), slow)?);
    let mut running = begun(&place, &hub)?;
    running.signal("INT")?;
    let ended = running.wait(Duration::from_secs(4))?;
    ensure!(
        ended.code == Some(130),
        "exit code {:?}: {}",
        ended.code,
        ended.err
    );
    ensure!(
        ended.err.contains("the same command goes on"),
        "{}",
        ended.err
    );
    resumed(&place, &hub)
}

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
        ensure!(
            ended.code == Some(1),
            "exit code {:?}: {}",
            ended.code,
            ended.err
        );
        let tries = hub
            .asked()
            .iter()
            .filter(|asked| asked.file == file)
            .count();
        Ok((ended.err, tries))
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
    let there = AtomicUsize::new(0);
    let script = move |asked: &Asked| match asked.file.as_str() {
        "" => Answer::Serve,
        // Each of eight connections is sent here once; then the address is good no more.
        LARGEST if asked.elsewhere && there.fetch_add(1, Ordering::Relaxed) == 8 => {
            Answer::Status(403, vec![])
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

fn two_at_once() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&starter(), slow)?);
    let mut first = begun(&place, &hub)?;
    let second = pull(&place, &hub, &[])?.good()?;
    first.wait(Duration::from_secs(60))?.good()?;
    ensure!(second.err.contains("another program"), "{}", second.err);
    holds(&place, &starter())?;
    ensure!(
        hub.sent(LARGEST) == hub.size(LARGEST),
        "{} bytes sent",
        hub.sent(LARGEST)
    );
    Ok(())
}

fn no_network() -> Verdict {
    let place = Place::new()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = nobody.local_addr().map_err(|e| e.to_string())?.to_string();
    drop(nobody);
    let endpoint = format!("http://{address}");
    let ended = place.feed(client(&place, &endpoint, false), &["pull", REPO], &[])?;
    ensure!(
        ended.code == Some(1),
        "exit code {:?}: {}",
        ended.code,
        ended.err
    );
    for word in [address.as_str(), "cannot be reached", "HF_ENDPOINT"] {
        ensure!(
            ended.err.contains(word),
            "{word:?} is not in {:?}",
            ended.err
        );
    }
    let mut command = client(&place, &endpoint, false);
    command.env("HF_HUB_OFFLINE", "1");
    place
        .feed(command, &["pull", REPO], &[])?
        .refused(&["HF_HUB_OFFLINE", REPO])?;
    let ended = place.feed(client(&place, "nonsense", false), &["pull", REPO], &[])?;
    ensure!(ended.err.contains("HF_ENDPOINT"), "{}", ended.err);
    ensure!(place.files().is_empty(), "left {:?}", place.files());
    Ok(())
}

fn names() -> Verdict {
    let place = Place::new()?;
    let run = |arguments: &[&str]| {
        place.feed(client(&place, "http://127.0.0.1:9", false), arguments, &[])
    };
    for bad in ["nowhere", "a/b/c", "../x", "a/..", "wan2.1-99b", "a/b@"] {
        run(&["pull", bad])?.refused(&[bad, "OWNER/NAME", "wan2.1-1.3b"])?;
    }
    run(&["pull", REPO, "--revision", "../x"])?.refused(&["../x"])?;
    let repo = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers";
    for (model, name) in [("wan2.1-1.3b", repo), (repo, repo), ("a/b@v1", "a/b@v1")] {
        run(&["plan", "--model", model])?.refused(&[&format!("kinora pull {name}")])?;
    }
    // A folder comes first.
    fs::create_dir_all(place.path("wan2.1-1.3b")).map_err(|e| e.to_string())?;
    run(&["plan", "--model", "wan2.1-1.3b"])?.refused(&["model_index.json"])?;
    let known = run(&["pull", "--help"])?.good()?;
    ensure!(known.out.contains(repo), "{}", known.out);
    Ok(())
}

fn offline() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&tiny_model(), |_| Answer::Serve)?);
    pull(&place, &hub, &["-q"])?.good()?;
    let run = |arguments: &[&str]| {
        let mut command = client(&place, "http://127.0.0.1:9", true);
        command.env("HF_HUB_OFFLINE", "1");
        place.feed(command, arguments, &[])
    };
    let listed = run(&["info"])?.good()?;
    ensure!(listed.out.contains(REPO), "{}", listed.out);
    let info = run(&["info", "--model", REPO])?.good()?;
    ensure!(info.out.contains(&format!("model {REPO}")), "{}", info.out);
    let commit = format!("{REPO}@{COMMIT}");
    run(&["plan", "--model", &commit])?.good()?;
    let clip = [
        "generate", "a boat", "--width", "64", "--height", "48", "--frames", "5", "--steps", "2",
        "--seed", "7", "-o", "a.mp4", "--model", REPO,
    ];
    run(&clip)?.good()?;
    ensure!(place.path("a.mp4").exists(), "left {:?}", place.files());
    Ok(())
}

fn small_disk() -> Verdict {
    let (place, hub) = (Place::new()?, Hub::new(&starter(), |_| Answer::Serve)?);
    fs::create_dir(place.path("hf")).map_err(|e| e.to_string())?;
    let program = client(&place, hub.endpoint(), false);
    let run = |filled: &str| {
        // The disk is seen by the program and the shell around it alone.
        let script = format!(
            "mount -t tmpfs -o size={filled} none hf || exit 99; \"$@\"; code=$?; exit $code"
        );
        let mut shell = Command::new("unshare");
        shell
            .args(["-rm", "sh", "-c", &script, "sh"])
            .arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        place.feed(shell, &["pull", REPO], &[])
    };
    run("4m")?.refused(&["bytes free", "HF_HOME"])?;
    run("64m")?.good()?;
    Ok(())
}
