//! The look that is taken once a second: is this process ready for work?

use std::time::{Duration, Instant};

use app::{
    db::Db,
    health::{self, Check, Health},
    telemetry,
};
use migration::{DbErr, Migrator, MigratorTrait};

use crate::database::Node;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the migrations are asked for, once they have been found complete: they do not get lost by themselves.
const MIGRATIONS_EVERY: Duration = Duration::from_secs(30);
/// How long the database may take to tell its migrations.
const MIGRATIONS_BOUND: Duration = Duration::from_secs(2);

/// Looks until dropped. `serves`: the API is part of this process.
pub(crate) async fn watch(node: &Node, serves: bool, health: &Health) {
    let mut migrated: Option<Instant> = None;
    let mut told = None;
    loop {
        let database = health::database(&node.app).await;
        if database.ok && migrated.is_none_or(|when| when.elapsed() > MIGRATIONS_EVERY) {
            migrated = is_migrated(node.app.db()).await.then(Instant::now);
        }
        let mut checks = vec![database, Check::new("migrations", migrated.is_some())];
        if serves {
            checks.extend([health::collector(&node.app), health::feed(&node.app)]);
        }
        checks.extend(lanes(node));
        health.note(checks);
        told = tell(health, told);
        tokio::time::sleep(PAUSE).await;
    }
}

/// No step is missing. Steps that a newer version has added do not make this one unready: otherwise a release would stop
/// all processes of the one before.
async fn is_migrated(db: &Db) -> bool {
    let asked = Migrator::get_pending_migrations_read_only(db.reader());
    match tokio::time::timeout(MIGRATIONS_BOUND, asked).await {
        Ok(Ok(missing)) => missing.is_empty(),
        Ok(Err(DbErr::Custom(_))) => true,
        _ => false,
    }
}

/// The fetch loop of every lane that this process consumes moves.
fn lanes(node: &Node) -> Option<Check> {
    let lanes = node.queue.health();
    let alive = lanes.iter().all(|lane| lane.alive);
    (!lanes.is_empty()).then(|| Check::new("lanes", alive))
}

/// Shows the report as figures, and says in the log when readiness comes or goes. Answers the state that was told last.
fn tell(health: &Health, told: Option<bool>) -> Option<bool> {
    let report = health.report();
    metrics::gauge!(telemetry::READY).set(f64::from(u8::from(report.ready)));
    for check in &report.checks {
        metrics::gauge!(telemetry::READY_CHECK, "check" => check.name).set(f64::from(u8::from(check.ok)));
    }
    let bad = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name);
    match (told, report.ready) {
        // The parts are only just starting.
        (None, false) => return None,
        (Some(true), false) => {
            tracing::warn!(because = bad.collect::<Vec<_>>().join(","), "not ready for work");
        }
        (None | Some(false), true) => tracing::info!("ready for work"),
        _ => {}
    }
    Some(report.ready)
}
