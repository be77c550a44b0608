//! Models from the Hugging Face hub, in the cache that its own tools use.
//!
//! ```text
//! $HF_HOME/hub/models--OWNER--NAME/
//!     refs/main                       the commit that a revision stands for
//!     blobs/HASH                      contents, named by their sha256 or git's sha1
//!     blobs/HASH.kinora.incomplete    a file that is still arriving, in any order …
//!     blobs/HASH.kinora.ranges        … and which of its bytes are there
//!     snapshots/COMMIT/vae/…          symbolic links to blobs (files where there are no links)
//! $HF_HOME/hub/.locks/models--OWNER--NAME/HASH.lock
//! ```
//!
//! [`Hub::find`] needs no network; [`Hub::inspect`] asks what a download would bring, and
//! [`Hub::download`] brings it: several ranges at a time, each file checked against the hub's hash
//! before it gets its name. The variables of `huggingface_hub` are heeded: `HF_HOME`,
//! `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_OFFLINE`.

mod api;
mod cache;
mod download;
mod environment;
mod http;
mod names;
mod partial;
mod patience;
mod piece;
mod ranges;
mod select;

pub use api::{Download, RemoteFile};
pub use download::Event;
pub use environment::Hub;
pub use names::{Repo, SHORT_NAMES};
