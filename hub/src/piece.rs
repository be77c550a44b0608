//! One piece of a file, from the server to its place on the disk.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::PoisonError;

use crate::backoff::{Backoff, Failure, pause};
use crate::download::{Work, signed};
use crate::error::HubError;
use crate::http::Answer;
use crate::partial::{Partial, on_disk};

/// Failures in a row, without a byte between them, before a download is given up.
const TRIES: u32 = 9;
/// Bytes between two lines of the list of received ranges.
const STRIDE: usize = 1 << 16;

impl Work<'_> {
    /// Fetches `range` of a file, over as many connections as it takes.
    ///
    /// # Errors
    /// A [`HubError`]; what arrived before is kept.
    pub(crate) fn fetch(&self, partial: &Partial, range: Range<u64>) -> Result<(), HubError> {
        let mut backoff = Backoff::new(TRIES);
        let mut piece = Piece {
            at: range.start,
            end: range.end,
            whole: false,
        };
        let mut furthest = piece.at;
        while piece.at < piece.end {
            if self.stopped() {
                return Err(HubError::Interrupted);
            }
            let Err(failure) = self.stream(partial, &mut piece) else {
                continue;
            };
            if piece.at > furthest {
                furthest = piece.at;
                backoff.renew();
            }
            // The target of the redirects may be outdated; the hub gives the current one.
            *partial
                .address
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
            let told = match &failure {
                Failure::Network { reason, .. } => Some(reason.clone()),
                Failure::Busy { host, status, .. } => Some(format!("{host} answers {status}")),
                Failure::Final(_) => None,
            };
            let wait = backoff.after(failure)?;
            if let Some(reason) = told {
                let (file, seconds) = (partial.blob.name(), wait.as_secs_f64());
                self.note(&format!("{file}: {reason}; trying again in {seconds:.1} s"));
            }
            pause(wait, &|| self.stopped())?;
        }
        Ok(())
    }

    /// One request's worth of a piece.
    fn stream(&self, partial: &Partial, piece: &mut Piece) -> Result<(), Failure> {
        let answer = self.ask(partial, &(piece.at..piece.end))?;
        let (size, file) = (partial.blob.size, partial.blob.name());
        let length = |found: u64, answer: &Answer| HubError::Length {
            file: file.to_owned(),
            host: answer.host(),
            found,
            expected: size,
        };
        match answer.status {
            206 => {
                let Some((first, total)) = content_range(&answer) else {
                    return Err(Failure::Final(HubError::Answer {
                        url: answer.url.clone(),
                        found: "a part without its place in the file".to_owned(),
                        expected: "a Content-Range",
                    }));
                };
                if total != size {
                    return Err(length(total, &answer).into());
                }
                if first != piece.at {
                    return Err(Failure::Final(HubError::Answer {
                        url: answer.url.clone(),
                        found: format!("bytes from {first}"),
                        expected: "bytes from where they were asked for",
                    }));
                }
            }
            200 => {
                let sent = answer
                    .header("content-length")
                    .and_then(|text| text.parse().ok());
                if let Some(sent) = sent.filter(|sent| *sent != size) {
                    return Err(length(sent, &answer).into());
                }
                let all = piece.at == 0 && piece.end == size;
                if !all || piece.whole {
                    // No ranges here: one connection begins at the beginning, and again after a break.
                    if !piece.whole && !partial.become_whole() {
                        piece.at = piece.end;
                        return Ok(());
                    }
                    *piece = Piece {
                        at: 0,
                        end: size,
                        whole: true,
                    };
                    self.moved(-signed(partial.forget()?));
                }
            }
            416 => {
                let total = content_range(&answer).map_or(0, |(_, total)| total);
                return Err(length(total, &answer).into());
            }
            _ => return Err(self.refused(partial, &answer)),
        }
        self.copy(partial, piece, answer)
    }

    /// Writes what arrives to where it belongs.
    fn copy(&self, partial: &Partial, piece: &mut Piece, answer: Answer) -> Result<(), Failure> {
        let broken = |host: &str, reason: String| Failure::Network {
            host: host.to_owned(),
            reason,
        };
        let host = answer.host();
        let failed = |source| HubError::from_disk(partial, source);
        let mut file = OpenOptions::new()
            .write(true)
            .open(partial.path())
            .map_err(failed)?;
        file.seek(SeekFrom::Start(piece.at)).map_err(failed)?;
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; STRIDE];
        while piece.at < piece.end {
            if self.stopped() {
                return Err(HubError::Interrupted.into());
            }
            // As much as one line of the list is about, or what came before the connection broke.
            let wanted = buffer
                .len()
                .min(usize::try_from(piece.end - piece.at).unwrap_or(usize::MAX));
            let mut filled = 0;
            let mut reason = None;
            while filled < wanted {
                match body.read(buffer.get_mut(filled..wanted).unwrap_or_default()) {
                    Ok(0) => reason = Some("the connection broke".to_owned()),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => reason = Some(format!("the connection broke: {error}")),
                }
                if reason.is_some() || self.stopped() {
                    break;
                }
            }
            let arrived = buffer.get(..filled).unwrap_or_default();
            file.write_all(arrived).map_err(failed)?;
            let end = piece.at + filled as u64;
            // Another connection fetches the whole file now, so this one's data is not needed.
            if partial.is_whole() && !piece.whole {
                piece.at = piece.end;
                return Ok(());
            }
            partial.record(piece.at..end)?;
            piece.at = end;
            self.moved(signed(filled as u64));
            if let Some(reason) = reason {
                return Err(broken(&host, reason));
            }
        }
        // A connection that is read to its end can be used again.
        let _ = body.read(&mut [0]);
        Ok(())
    }

    /// Asks where the last redirects led to, or the hub.
    fn ask(&self, partial: &Partial, range: &Range<u64>) -> Result<Answer, Failure> {
        let known = || {
            partial
                .address
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let last = known().clone();
        let fresh = last.is_none();
        let hub = || self.hub.address(self.download, partial.blob.name());
        let answer = self.client.get(&last.unwrap_or_else(hub), Some(range))?;
        if !fresh && matches!(answer.status, 400..=415 | 417..=499) {
            // The address was good for some time only.
            *known() = None;
            return self.client.get(&hub(), Some(range));
        }
        if matches!(answer.status, 200 | 206) {
            *known() = Some(answer.url.clone());
        }
        Ok(answer)
    }

    fn refused(&self, partial: &Partial, answer: &Answer) -> Failure {
        let repo = &self.download.repo;
        Failure::Final(match answer.status {
            404 => HubError::NoFile {
                file: partial.blob.name().to_owned(),
                repo: repo.to_string(),
                host: answer.host(),
            },
            _ => self.hub.refusal(self.client, repo, answer),
        })
    }
}

/// What of a file is being fetched.
struct Piece {
    at: u64,
    end: u64,
    /// All of it, from a server that knows no ranges.
    whole: bool,
}

/// First byte and whole length of `bytes FIRST-LAST/LENGTH` or `bytes */LENGTH`.
fn content_range(answer: &Answer) -> Option<(u64, u64)> {
    let text = answer
        .header("content-range")?
        .trim()
        .strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let first = range.split_once('-').map_or("0", |(first, _)| first);
    Some((first.parse().ok()?, total.parse().ok()?))
}

impl HubError {
    fn from_disk(partial: &Partial, source: std::io::Error) -> Self {
        on_disk(partial.path(), source)
    }
}
