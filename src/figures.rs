//! Figures that have to be asked for: backlogs, parked work, lanes, connection pools.
//!
//! They are read when somebody looks at them, at most every five seconds and for at most two, however many look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use app::{
    App,
    db::Backend,
    job::{Lane, Overview},
    telemetry as t,
};
use metrics::gauge;
use queue::{QueueError, SharedQueue};
use tokio::sync::Mutex;

use crate::database::Node;

/// Shortest time between two readings.
const EVERY: Duration = Duration::from_secs(5);
/// Longest time that a reading may take.
const BOUND: Duration = Duration::from_secs(2);

/// What is read, and when that last went well.
#[derive(Clone)]
pub(crate) struct Figures {
    app: App,
    queue: SharedQueue,
    read: Arc<Mutex<Reading>>,
}

#[derive(Default)]
struct Reading {
    tried: Option<Instant>,
    done: Option<Instant>,
}

impl Figures {
    /// Nothing has been read yet.
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            app: node.app.clone(),
            queue: node.queue.clone(),
            read: Arc::default(),
        }
    }

    /// Brings the figures up to date, as far as it is time for that.
    pub(crate) async fn refresh(&self) {
        self.at_hand();
        let mut reading = self.read.lock().await;
        if reading.tried.is_none_or(|when| when.elapsed() >= EVERY) {
            reading.tried = Some(Instant::now());
            match tokio::time::timeout(BOUND, self.ask_database()).await {
                Ok(Ok(())) => reading.done = Some(Instant::now()),
                Ok(Err(problem)) => tracing::warn!(problem, "figures cannot be read from the database"),
                Err(_) => tracing::warn!("figures cannot be read from the database in time"),
            }
        }
        if let Some(done) = reading.done {
            gauge!(t::FIGURES_AGE).set(done.elapsed().as_secs_f64());
        }
    }

    /// What memory knows.
    fn at_hand(&self) {
        let backend = match self.app.db().backend() {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
        };
        gauge!(t::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "backend" => backend).set(1);
        gauge!(t::USAGE_WAITING).set(count(self.app.waiting_events()));
        for pool in self.app.db().pools() {
            gauge!(t::CONNECTIONS, "pool" => pool.name, "state" => "in_use").set(pool.in_use);
            gauge!(t::CONNECTIONS, "pool" => pool.name, "state" => "idle").set(pool.idle);
            gauge!(t::CONNECTIONS_MAX, "pool" => pool.name).set(pool.max);
        }
        for lane in self.queue.health() {
            let name = lane.lane.as_str();
            gauge!(t::LANE_ALIVE, "lane" => name).set(u8::from(lane.alive));
            gauge!(t::LANE_RESTARTS, "lane" => name).set(lane.restarts as f64);
            gauge!(t::JOBS_RUNNING, "lane" => name).set(count(lane.running));
        }
    }

    async fn ask_database(&self) -> Result<(), String> {
        let overview = app::job::overview(&self.app)
            .await
            .map_err(|error| error.to_string())?;
        show(&overview);
        let (violations, ended) = app::audit::figures(&self.app)
            .await
            .map_err(|error| error.to_string())?;
        for (check, open) in violations {
            gauge!(t::AUDIT_VIOLATIONS, "check" => check.id()).set(open as f64);
        }
        if let Some(ended) = ended {
            let age = self.app.now().micros().saturating_sub(ended.micros()).max(0);
            gauge!(t::AUDIT_AGE).set(Duration::from_micros(age.unsigned_abs()).as_secs_f64());
        }
        for lane in Lane::ALL {
            let depth = self
                .queue
                .depth(lane)
                .await
                .map_err(|error: QueueError| error.to_string())?;
            let name = lane.as_str();
            gauge!(t::LANE_JOBS, "lane" => name, "state" => "pending").set(depth.pending as f64);
            gauge!(t::LANE_JOBS, "lane" => name, "state" => "running").set(depth.running as f64);
        }
        Ok(())
    }
}

fn show(overview: &Overview) {
    for lane in &overview.lanes {
        let name = lane.lane.as_str();
        let age = lane
            .oldest
            .map_or(0, |since| overview.as_of.micros() - since.micros())
            .max(0);
        let seconds = Duration::from_micros(age.unsigned_abs()).as_secs_f64();
        gauge!(t::LANE_BACKLOG, "lane" => name).set(lane.backlog as f64);
        gauge!(t::LANE_OLDEST, "lane" => name).set(seconds);
        if lane.lane == Lane::Usage {
            gauge!(t::DRAIN_LAG).set(seconds);
        }
    }
    gauge!(t::SHARDS_WAITING).set(count(overview.shards_waiting));
    for (kind, rows) in &overview.parked {
        gauge!(t::PARKED_WORK, "kind" => *kind).set(*rows as f64);
    }
}

fn count(number: usize) -> f64 {
    number as f64
}
