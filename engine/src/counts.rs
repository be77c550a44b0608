//! How often preparations of a run are made, for the tests that hold each to once.

use std::cell::RefCell;

use crate::part::Part;

/// Something that a run makes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "public where tests look at it")
)]
pub enum Counted {
    /// A prompt became tokens.
    Tokenised,
    /// A schedule of steps was made.
    Scheduled,
    /// A part's checkpoint was opened.
    Opened(Part),
    /// A part's passes were recorded.
    Recorded(Part),
    /// The model's weights were hashed.
    Fingerprint,
}

thread_local! {
    static COUNTS: RefCell<Vec<Counted>> = const { RefCell::new(Vec::new()) };
}

/// Notes that something was made, on this thread. The list is kept in builds with `testing` alone.
pub(crate) fn count(what: Counted) {
    if cfg!(feature = "testing") {
        COUNTS.with_borrow_mut(|counts| counts.push(what));
    }
}

/// What this thread made since it was last asked, in order.
#[cfg(feature = "testing")]
pub fn take_counts() -> Vec<Counted> {
    COUNTS.take()
}
