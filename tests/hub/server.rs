//! A hub on this machine: it serves a model's files as the Hugging Face hub does, counts what it
//! sends, and misbehaves as a test's script says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The commit that `main` stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository.
pub(crate) const REPO: &str = "kinora-test/Tiny-Diffusers";

/// A request, as the script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The path inside the repository; empty where the list of files was asked for.
    pub(crate) file: String,
    /// The first byte asked for, and the one behind the last.
    pub(crate) range: Option<(usize, usize)>,
    /// How many requests for the file came before.
    pub(crate) before: usize,
    /// The token that came along.
    pub(crate) token: Option<String>,
    /// Whether it came to the second server, the one that redirects lead to.
    pub(crate) elsewhere: bool,
    /// There, the address that was asked: each redirect leads to one of its own.
    pub(crate) signature: Option<String>,
}

/// What the server does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// What a hub does.
    Serve,
    /// Sends so many bytes of the body, then hangs up.
    Break(usize),
    /// Sends the body in bits of so many bytes, with a pause of a millisecond or so between.
    Slow(usize),
    /// A status with headers, `NAME: VALUE` each, and no body.
    Status(u16, Vec<String>),
    /// The whole file whatever is asked for; breaks after so many bytes.
    NoRanges(usize),
    /// A file of another length.
    Longer,
    /// A body with one bit flipped.
    Damaged,
    /// On to the second server.
    Redirect,
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    info: String,
    script: Box<Script>,
    log: Mutex<Log>,
    addresses: [String; 2],
}

#[derive(Default)]
struct Log {
    asked: Vec<Asked>,
    sent: BTreeMap<String, usize>,
    connections: usize,
}

/// A hub under way, until the test's process ends.
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
    /// Serves the files of `folder`, and some that a model's repository has beside them.
    pub(crate) fn new(
        folder: &Path,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        collect(folder, folder, &mut files).map_err(|e| format!("{}: {e}", folder.display()))?;
        for unread in [
            "README.md",
            "assets/clip.mp4",
            "vae/diffusion_pytorch_model.bin",
        ] {
            files.insert(unread.to_owned(), b"nobody asks for this".to_vec());
        }
        let info = info(&files);
        let listen = || TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string());
        let servers = [listen()?, listen()?];
        let address = |server: &TcpListener| {
            let address = server.local_addr().map_err(|e| e.to_string())?;
            Ok::<_, String>(format!("http://{address}"))
        };
        let shared = Arc::new(Shared {
            files,
            info,
            script: Box::new(script),
            log: Mutex::default(),
            addresses: [address(&servers[0])?, address(&servers[1])?],
        });
        for (server, elsewhere) in servers.into_iter().zip([false, true]) {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in server.incoming().flatten() {
                    let shared = Arc::clone(&shared);
                    shared.log().connections += 1;
                    // A client that hangs up, or is killed, ends its thread alone.
                    thread::spawn(move || shared.serve(&stream, elsewhere));
                }
            });
        }
        Ok(Self { shared })
    }

    /// What `HF_ENDPOINT` is to say.
    pub(crate) fn endpoint(&self) -> &str {
        &self.shared.addresses[0]
    }

    /// All requests so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.log().asked.clone()
    }

    /// How many connections came, to either server.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log().connections
    }

    /// How many bytes of a file's content were sent.
    pub(crate) fn sent(&self, file: &str) -> usize {
        self.shared.log().sent.get(file).copied().unwrap_or(0)
    }

    /// A file's length.
    pub(crate) fn size(&self, file: &str) -> usize {
        self.shared.files.get(file).map_or(0, Vec::len)
    }

    /// The name of a file's content in the cache.
    pub(crate) fn hash(&self, file: &str) -> String {
        self.shared
            .files
            .get(file)
            .map_or_else(String::new, |bytes| hash(file, bytes))
    }
}

impl Shared {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests of one connection.
    fn serve(&self, stream: &TcpStream, elsewhere: bool) {
        let mut input = BufReader::new(stream);
        let mut target = String::new();
        loop {
            let (mut line, mut token, mut range) = (String::new(), None, None);
            target.clear();
            loop {
                line.clear();
                match input.read_line(&mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if line.trim().is_empty() => break,
                    Ok(_) => {}
                }
                if target.is_empty() {
                    target = line.split(' ').nth(1).unwrap_or_default().to_owned();
                } else if let Some((name, value)) = line.trim().split_once(':') {
                    match name.to_ascii_lowercase().as_str() {
                        "authorization" => token = Some(value.trim().to_owned()),
                        "range" => range = bytes(value.trim()),
                        _ => {}
                    }
                }
            }
            if self
                .answer(stream, &target, token, range, elsewhere)
                .is_none()
            {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }

    /// Answers one request; nothing where the connection is to end.
    fn answer(
        &self,
        stream: &TcpStream,
        target: &str,
        token: Option<String>,
        range: Option<(usize, usize)>,
        elsewhere: bool,
    ) -> Option<()> {
        let prefix = format!("/{REPO}/resolve/{COMMIT}/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let signature = query.strip_prefix("signed=").map(str::to_owned);
        let file = path.strip_prefix(&prefix).unwrap_or_default().to_owned();
        let listing = path.starts_with(&format!("/api/models/{REPO}/revision/"));
        let asked = {
            let mut log = self.log();
            let before = log.asked.iter().filter(|asked| asked.file == file).count();
            let asked = Asked {
                file,
                range,
                before,
                token,
                elsewhere,
                signature,
            };
            log.asked.push(asked.clone());
            asked
        };
        let head = |status: &str, headers: &[String]| {
            let headers: String = headers
                .iter()
                .map(|header| format!("{header}\r\n"))
                .collect();
            (&mut &*stream)
                .write_all(format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes())
                .ok()
        };
        let empty = |status: &str, mut headers: Vec<String>| {
            headers.push("content-length: 0".to_owned());
            head(status, &headers)
        };
        let answer = (self.script)(&asked);
        if let Answer::Status(status, headers) = answer {
            return empty(&format!("{status} Status"), headers);
        }
        if listing {
            head("200 OK", &[format!("content-length: {}", self.info.len())])?;
            return (&mut &*stream).write_all(self.info.as_bytes()).ok();
        }
        let Some(content) = self.files.get(&asked.file) else {
            return empty(
                "404 Not Found",
                vec!["x-error-code: EntryNotFound".to_owned()],
            );
        };
        if matches!(answer, Answer::Redirect) && !elsewhere {
            let place = format!(
                "location: {}{target}?signed={}",
                self.addresses[1], asked.before
            );
            return empty("302 Found", vec![place]);
        }
        let mut content = content.clone();
        match answer {
            Answer::Longer => content.push(0),
            Answer::Damaged => content[0] ^= 1,
            _ => {}
        }
        let total = content.len();
        let (first, end) = match (&answer, range) {
            (Answer::NoRanges(_), _) | (_, None) => (0, total),
            (_, Some((first, end))) => (first.min(total), end.min(total)),
        };
        let length = format!("content-length: {}", end - first);
        match (&answer, range) {
            (Answer::NoRanges(_), _) | (_, None) => head("200 OK", &[length])?,
            _ => {
                let last = end.saturating_sub(1);
                let range = format!("content-range: bytes {first}-{last}/{total}");
                head("206 Partial Content", &[length, range])?;
            }
        }
        let body = &content[first..end];
        let (body, bit) = match answer {
            Answer::Break(bytes) | Answer::NoRanges(bytes) => {
                (&body[..body.len().min(bytes)], total)
            }
            Answer::Slow(bytes) => (body, bytes),
            _ => (body, total),
        };
        for bit in body.chunks(bit.max(1)) {
            (&mut &*stream).write_all(bit).ok()?;
            *self.log().sent.entry(asked.file.clone()).or_default() += bit.len();
            if matches!(answer, Answer::Slow(_)) {
                thread::sleep(Duration::from_millis(2));
            }
        }
        (body.len() == end - first).then_some(())
    }
}

/// First and end of `bytes=FIRST-LAST`.
fn bytes(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse::<usize>().ok()? + 1))
}

fn collect(
    root: &Path,
    folder: &Path,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let name = inside.to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}

/// Large files are named by their sha256, others by git's sha1.
fn hash(file: &str, bytes: &[u8]) -> String {
    if is_lfs(file) {
        return format!("{:x}", Sha256::digest(bytes));
    }
    let mut sha1 = Sha1::new();
    sha1.update(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    format!("{:x}", sha1.finalize())
}

fn is_lfs(file: &str) -> bool {
    [".safetensors", ".bin", ".mp4"]
        .iter()
        .any(|ending| file.ends_with(ending))
}

/// What the hub says of the repository, with `?blobs=true`.
fn info(files: &BTreeMap<String, Vec<u8>>) -> String {
    let sibling = |(file, bytes): (&String, &Vec<u8>)| {
        let (hash, size) = (hash(file, bytes), bytes.len());
        match is_lfs(file) {
            true => format!(
                r#"{{"rfilename":"{file}","size":{size},"blobId":"{}","lfs":{{"sha256":"{hash}","size":{size},"pointerSize":134}}}}"#,
                "a".repeat(40)
            ),
            false => format!(r#"{{"rfilename":"{file}","size":{size},"blobId":"{hash}"}}"#),
        }
    };
    let siblings: Vec<String> = files.iter().map(sibling).collect();
    format!(
        r#"{{"id":"{REPO}","sha":"{COMMIT}","gated":false,"cardData":{{"license":"apache-2.0"}},"siblings":[{}]}}"#,
        siblings.join(",")
    )
}
