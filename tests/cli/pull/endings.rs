//! Downloads that are broken off and go on, and two of the same model at once.

use std::time::{Duration, Instant};

use super::{LARGEST, client, holds, in_cache, pull, starter};
use crate::hub::{Answer, Asked, Hub, REPO};
use crate::program::{Place, Running, Test, Verdict, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("pull_goes_on_after_a_kill", kill),
    #[cfg(unix)]
    ("pull_goes_on_after_ctrl_c", ctrl_c),
    ("pull_shares_with_another_pull", two_at_once),
];

/// What a client that is killed may have asked for without writing it down: a line of its list for
/// each connection, and what lies in the system's buffers.
const IN_FLIGHT: usize = 8 * (1 << 16) + (1 << 18);

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
    ended.exits(130)?;
    ensure!(
        ended.err.contains("the same download goes on"),
        "{}",
        ended.err
    );
    resumed(&place, &hub)
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
