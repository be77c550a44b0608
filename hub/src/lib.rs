//! Models from the Hugging Face hub, in the cache that its own tools use. No GPU, no engine.
//!
//! ```text
//! $HF_HOME/hub/models--OWNER--NAME/
//!     refs/main                       the commit of a revision
//!     blobs/HASH                      contents, named by their sha256 or git's sha1
//!     blobs/HASH.kinora.incomplete    a file that is still arriving, in any order …
//!     blobs/HASH.kinora.ranges        … and which of its bytes are there
//!     snapshots/COMMIT/vae/…          symbolic links to blobs (files where there are no links)
//! $HF_HOME/hub/.locks/models--OWNER--NAME/HASH.lock
//! ```
//!
//! [`Hub::find`] needs no network; [`Hub::inspect`] lists the files of a download, and
//! [`Hub::download`] fetches them: several ranges at a time, each file checked against the hub's hash
//! before it gets its name. An [`Observer`] shows progress and cancels.
//!
//! ```no_run
//! use kinora_hub::{Hub, Observer, Progress, Repo};
//!
//! struct Print;
//!
//! impl Observer for Print {
//!     fn progress(&self, progress: &Progress) {
//!         eprintln!("{} of {} bytes", progress.done, progress.total);
//!     }
//! }
//!
//! # fn main() -> Result<(), kinora_hub::HubError> {
//! let hub = Hub::from_env()?;
//! let repo: Repo = "wan2.1-1.3b".parse()?;
//! let folder = hub.download(&hub.inspect(&repo, &Print)?, &Print)?;
//! # Ok(())
//! # }
//! ```

mod api;
mod backoff;
mod cache;
mod download;
mod environment;
mod error;
mod http;
mod names;
mod observer;
mod partial;
mod piece;
mod proxy;
mod ranges;
mod select;

pub use api::{Download, RemoteFile};
pub use environment::Hub;
pub use error::HubError;
pub use names::{Repo, SHORT_NAMES};
pub use observer::{Observer, Progress, Stage};
