//! Runs that are killed at random moments.

use std::time::{Duration, Instant};

use super::{arguments, contents, finish, start};
use crate::program::{Place, Verdict, ensure};

/// How many runs are killed.
const KILLS: usize = 50;

/// Starts a run and kills it so long after it began; `None` where it was faster.
fn kill(place: &Place, words: &[String], after: Duration) -> Result<Option<String>, String> {
    let mut running = start(place, words)?;
    // It may be done without a word of this: the clip was whole.
    let _ = running.says("seed:");
    std::thread::sleep(after);
    let _ = running.signal("KILL");
    let ended = running.wait(Duration::from_secs(20))?;
    match ended.code {
        None => Ok(Some(ended.err)),
        Some(_) => ended.good().map(|_| None),
    }
}

/// Numbers below `below`, the same in every run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005);
        self.0 = self.0.wrapping_add(1442695040888963407);
        (self.0 >> 33) % below.max(1)
    }
}

pub(super) fn killed() -> Verdict {
    let outputs = [
        "--seed",
        "7",
        "-o",
        "a.mp4",
        "--save-latents",
        "a.safetensors",
        "--frames-dir",
        "f",
    ];
    let words = arguments(&outputs);
    let whole = Place::new()?;
    let mut running = start(&whole, &words)?;
    running.says("seed:")?;
    let begun = Instant::now();
    running.wait(Duration::from_secs(60))?.good()?;
    let length = begun.elapsed();
    let expected = contents(&whole)?;
    ensure!(expected.len() == 2 + 17, "{:?}", expected.keys());

    let ways = [
        words.clone(),
        vec!["resume".into()],
        vec!["resume".into(), "a.mp4".into()],
    ];
    let mut dice = Dice(20_250_727);
    let (mut kills, mut runs, mut between, mut decoding) = (0, 0, 0, 0);
    while kills < KILLS {
        let place = Place::new()?;
        let mut way = 0;
        let mut at_most = 6;
        runs += 1;
        loop {
            let after = length.mul_f64(dice.below(1000) as f64 / 1000.0);
            let after = if at_most == 0 { length * 20 } else { after };
            let said = match at_most {
                0 => finish(&place, &ways[way]).map(|_| None),
                _ => kill(&place, &ways[way], after),
            };
            let said = said.map_err(|e| format!("run {runs} after {kills} kills: {e}"))?;
            let Some(said) = said else { break };
            kills += 1;
            at_most -= 1;
            between += usize::from(said.contains("sampling: going on from"));
            decoding += usize::from(said.contains("sampling: done already"));
            let done = place.path("a.mp4").exists() && !place.path("a.kinora-state").exists();
            if done {
                break;
            }
            way = dice.below(3) as usize;
        }
        let found = contents(&place)?;
        ensure!(
            found.keys().eq(expected.keys()),
            "run {runs} left {:?}",
            found.keys()
        );
        for (name, bytes) in &expected {
            ensure!(found[name] == *bytes, "{name} of run {runs} is another");
        }
    }
    println!(
        "{kills} kills in {runs} runs of {:.2} s: {between} went on from between two steps, {decoding} with decoding",
        length.as_secs_f64()
    );
    ensure!(between > 0 && decoding > 0, "the kills came at one moment");
    Ok(())
}
