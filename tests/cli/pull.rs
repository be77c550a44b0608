//! `kinora pull` from a hub of the tests' own, and the model in the cache that comes of it.

#[path = "pull/endings.rs"]
pub(crate) mod endings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hub::{Answer, COMMIT, Hub, REPO};
use crate::program::{Ended, Place, Test, Verdict, command, ensure, tiny_model};

pub(crate) const TESTS: &[Test] = &[
    ("pull_fills_the_cache", fills_the_cache),
    ("pull_tells_before_it_does", dry_run),
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
        "HTTPS_PROXY",
        "https_proxy",
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

fn no_network() -> Verdict {
    let place = Place::new()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = nobody.local_addr().map_err(|e| e.to_string())?.to_string();
    drop(nobody);
    let endpoint = format!("http://{address}");
    let ended = place.feed(client(&place, &endpoint, false), &["pull", REPO], &[])?;
    ended.exits(1)?;
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
    let proxied = |address: &str| {
        let mut command = client(&place, &endpoint, false);
        command.env("ALL_PROXY", address);
        place.feed(command, &["pull", REPO], &[])
    };
    proxied("ftp://me:secret@p.co")?.refused(&["ALL_PROXY", "ftp://p.co"])?;
    proxied(&format!("socks5h://{address}"))?.exits(1)?;
    let mut command = client(&place, &endpoint, false);
    command.env("HF_TOKEN", "hf_one\nhf_two");
    place
        .feed(command, &["pull", REPO], &[])?
        .refused(&["HF_TOKEN", "line break"])?;
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
