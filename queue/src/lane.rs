//! Supervision of one lane: a worker that ends is started again.
//!
//! The pause before a restart grows from 1 to 30 seconds while workers die young, and shrinks to 1 second once one has
//! lived for a minute or the cause of death, an unreadable row, has been removed.

use std::time::{Duration, Instant};

use app::job::Lane;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{crew::Post, garbage, id, timings::Timings};

/// A worker that lived this long did not die of what killed its predecessors.
const HEALTHY: Duration = Duration::from_secs(60);

/// Keeps a worker at `post` until `stop`; returns when its last job has ended and its rows are given back.
pub(crate) async fn supervise(post: Post, stop: CancellationToken) {
    let mut retiring = JoinSet::new();
    let mut predecessor = String::new();
    let mut deaths = 0;
    for restart in 0_u64.. {
        if set_aside(&post, &predecessor).await > 0 {
            deaths = deaths.min(1);
        }
        if restart > 0 {
            let pause = pause(&post.timings, deaths);
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
            post.pulse.restarted();
        }
        let begun = Instant::now();
        let retired = post.run(worker_name(post.lane, restart), &stop).await;
        let Some(why) = &retired.died else {
            retired.retire(post.clone()).await;
            break;
        };
        tracing::error!(lane = post.lane.as_str(), worker = retired.name(), %why, "a worker died and is started again");
        deaths = if begun.elapsed() >= HEALTHY {
            1
        } else {
            deaths.saturating_add(1)
        };
        retired.name().clone_into(&mut predecessor);
        retiring.spawn(retired.retire(post.clone()));
    }
    while retiring.join_next().await.is_some() {}
}

async fn set_aside(post: &Post, predecessor: &str) -> u64 {
    match garbage::set_aside(&post.db, post.lane, predecessor).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(lane = post.lane.as_str(), %error, "unreadable rows could not be looked for");
            0
        }
    }
}

/// The pause after `deaths` early deaths in a row: doubling, and shortened by chance down to a half, so that the lanes
/// of many processes do not return at the same instant to a database that has just come back.
fn pause(timings: &Timings, deaths: u32) -> Duration {
    let doublings = deaths.saturating_sub(1).min(16);
    let whole = timings
        .restart_min
        .saturating_mul(1 << doublings)
        .min(timings.restart_max);
    whole.mul_f64(rand::random_range(0.5..=1.0))
}

/// A name no worker ever had: host and process for people, an id against reused process numbers, lane and restart.
fn worker_name(lane: Lane, restart: u64) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "host".to_owned());
    let (host, process, lane) = (host.trim(), std::process::id(), lane.as_str());
    format!("{host}-{process}-{}-{lane}-{restart}", id::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let timings = Timings::default();
        for (deaths, longest) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 30), (u32::MAX, 30)] {
            let longest = Duration::from_secs(longest);
            let pause = pause(&timings, deaths);
            assert!(pause <= longest && pause >= longest / 2, "{deaths}: {pause:?}");
        }
    }

    #[test]
    fn names_are_never_used_twice() {
        assert_ne!(worker_name(Lane::Usage, 0), worker_name(Lane::Usage, 0));
    }
}
