//! What a run is told from outside: where its randomness begins and how long it goes on.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

const SEED: &str = "TALLYGATE_CHAOS_SEED";
const MINUTES: &str = "TALLYGATE_CHAOS_MINUTES";
/// Seed unless told otherwise: every build does the same.
const USUAL: u64 = 1;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")),
    )
}

/// The seed of a case. Says how to repeat the case when it fails.
pub struct Seed {
    case: &'static str,
    number: u64,
}

impl Seed {
    /// Where a case begins.
    pub fn of(case: &'static str) -> Self {
        Self::numbered(case, number(SEED).unwrap_or(USUAL))
    }

    /// The same case with another seed.
    pub fn numbered(case: &'static str, number: u64) -> Self {
        Self { case, number }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Randomness for one of those that act in the case.
    pub fn rng(&self, actor: u64) -> StdRng {
        StdRng::seed_from_u64(self.number.wrapping_mul(1_000).wrapping_add(actor))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let minutes = number(MINUTES).map_or(String::new(), |minutes| format!("{MINUTES}={minutes} "));
            eprintln!(
                "to repeat it: {SEED}={} {minutes}cargo test --test chaos {}",
                self.number, self.case
            );
        }
    }
}

/// How long a case goes on: `short`, or as many minutes as the run is told.
pub fn length(short: Duration) -> Duration {
    number(MINUTES).map_or(short, |minutes| Duration::from_secs(minutes * 60))
}

/// Whether the run was told to be long.
pub fn long() -> bool {
    number(MINUTES).is_some()
}

/// The seeds of a case that lives through several: a few, or the one that was asked for, and from there on if it is to be long.
pub fn seeds(few: u64) -> std::ops::Range<u64> {
    match (number(SEED), long()) {
        (from, true) => from.unwrap_or(USUAL)..u64::MAX,
        (Some(one), false) => one..one + 1,
        (None, false) => USUAL..USUAL + few,
    }
}
