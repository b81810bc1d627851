//! Waiting until everything that was imported is debited.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use app::{Error, credit};
use domain::id::CustomerId;
use indicatif::HumanCount;

use super::{mapping, target::Target};
use crate::{failure::Outcome, print};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Customers per look.
const BATCH: usize = 500;
/// When standing still is worth a remark.
const STILL: Duration = Duration::from_secs(10);

/// Waits until none of the customers has pending events, and answers how long that took. Patient: a worker may come later.
///
/// # Errors
/// The database gave an answer that waiting cannot change.
pub(super) async fn until_debited(target: &Target, customers: HashSet<String>) -> Outcome<String> {
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for name in customers {
        waiting.extend(target.customer_id(&mapping::customer(&name)).await?);
    }
    let mut least = i64::MAX;
    let mut moved = Instant::now();
    loop {
        match look(target, &mut waiting).await {
            Ok(0) => break,
            Ok(pending) if pending < least => (least, moved) = (pending, Instant::now()),
            Ok(pending) if moved.elapsed() >= STILL => {
                moved = Instant::now();
                let pending = HumanCount(pending.unsigned_abs());
                print::note(format_args!(
                    "{pending} events or more are not debited yet: is a `tallygate worker` running?"
                ));
            }
            Ok(_) | Err(Error::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(format!(
        "everything is debited after {:.1} more seconds",
        begun.elapsed().as_secs_f64()
    ))
}

/// Counts what is pending, and forgets customers who have nothing.
async fn look(target: &Target, waiting: &mut Vec<CustomerId>) -> Result<i64, Error> {
    let mut pending = 0;
    let mut still = Vec::new();
    for batch in waiting.chunks(BATCH) {
        for (id, balance) in credit::balances(&target.app, &target.actor, batch).await? {
            if balance.pending_events > 0 {
                pending += balance.pending_events;
                still.push(id);
            }
        }
    }
    *waiting = still;
    Ok(pending)
}
