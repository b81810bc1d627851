//! Debiting events that wait: of 1,000 customers, of 100,000, and all of one; by two worker processes as they run without
//! options, against SQL written by hand that does the same to the same rows ([`crate::by_hand::drain`]).
//!
//! Fair, because both begin with copies of the same database, and afterwards the totals of events, counters, blocks, accounts
//! and ledger must be the same to the last micro-credit. The limit knows only a price per unit and one block per customer. The
//! time of ours begins with the start of the processes; that of the limit with its first statement.

use std::time::{Duration, Instant};

use crate::{
    Bench, Outcome,
    by_hand::Hand,
    figure::{Figure, Target},
    pair::pair,
    place::Backend,
    world::{EVENT_COSTS, World},
};

/// How long a drain may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(600);
/// Shortest pause between two looks at whether something waits.
const LOOK: Duration = Duration::from_millis(20);
/// A look may take this share of the pause after it, so that looking does not slow what it looks at.
const LOOK_SHARE: u32 = 20;

const WAITING: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM usage_pending ORDER BY shard, id LIMIT 1) AS first";
/// Everything that must add up to the same number of events.
const EVENTS: [(&str, &str); 3] = [
    (
        "ratings",
        "SELECT CAST(COALESCE(SUM(events), 0) AS bigint) FROM usage_rating",
    ),
    (
        "counters",
        "SELECT CAST(COALESCE(SUM(events), 0) AS bigint) FROM usage_counter",
    ),
    (
        "ledger entries",
        "SELECT CAST(COALESCE(SUM(event_count), 0) AS bigint) FROM ledger_entry WHERE kind = 'DEBIT'",
    ),
];
/// Everything that must add up to the same amount.
const CREDITS: [(&str, &str); 5] = [
    (
        "ratings",
        "SELECT CAST(COALESCE(SUM(credits), 0) AS bigint) FROM usage_rating",
    ),
    (
        "counters",
        "SELECT CAST(COALESCE(SUM(credits), 0) AS bigint) FROM usage_counter",
    ),
    (
        "ledger entries",
        "SELECT CAST(COALESCE(-SUM(credits), 0) AS bigint) FROM ledger_entry WHERE kind = 'DEBIT'",
    ),
    (
        "blocks",
        "SELECT CAST(SUM(credits - remaining) AS bigint) FROM block",
    ),
    (
        "accounts",
        "SELECT CAST(SUM(b.credits - a.blocks) AS bigint) FROM account a JOIN block b ON b.customer_id = a.customer_id",
    ),
];

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let postgres = backend == Backend::Postgres;
    let mut figures = Vec::new();
    for (name, customers, least) in [
        (
            format!("drain_{}_customers", scale.active),
            scale.active,
            150_000.0,
        ),
        ("drain_one_customer".to_owned(), 1, 60_000.0),
        (format!("drain_{}_customers", scale.many), scale.many, 60_000.0),
    ] {
        let start = if customers > scale.customers {
            World::make(bench, backend, customers).await?
        } else {
            bench.world(backend).await?
        };
        start.add_pending(scale.drained, customers).await?;
        let ours = async || Ok([scale.drained as f64 / ours(bench, &start).await?]);
        let limit = async || Ok([scale.drained as f64 / by_hand(bench, &start).await?]);
        let ([ours], [limit]) = pair(scale.rounds, ours, limit).await?;
        start.remove(bench).await?;
        let target = Target::ratio(0.4);
        figures.push(
            Figure::new(name, backend, "events/s", ours, limit)
                .target(if postgres {
                    target.and_at_least(least)
                } else {
                    target
                })
                .against("set-based SQL that does the same"),
        );
    }
    Ok(figures)
}

/// Seconds that two workers need.
async fn ours(bench: &Bench, start: &World) -> Outcome<f64> {
    let world = start.copy(bench).await?;
    let watch = Hand::connect(&world.place, 1).await?;
    let begun = Instant::now();
    let mut workers = [
        bench.programs.worker(&world.place.url)?,
        bench.programs.worker(&world.place.url)?,
    ];
    loop {
        let look = Instant::now();
        if watch.number(WAITING).await? == 0 {
            break;
        }
        if begun.elapsed() > PATIENCE || !workers.iter_mut().all(|worker| worker.is_alive()) {
            return Err("the workers do not come to an end".into());
        }
        tokio::time::sleep(LOOK.max(look.elapsed() * LOOK_SHARE)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    for worker in workers {
        worker.stop().await;
    }
    check(&watch, bench.scale.drained).await?;
    watch.close().await;
    world.remove(bench).await?;
    Ok(seconds)
}

/// Seconds that the SQL by hand needs.
async fn by_hand(bench: &Bench, start: &World) -> Outcome<f64> {
    let world = start.copy(bench).await?;
    let hand = Hand::connect(&world.place, 2).await?;
    let begun = Instant::now();
    hand.drain(&world).await?;
    let seconds = begun.elapsed().as_secs_f64();
    check(&hand, bench.scale.drained).await?;
    hand.close().await;
    world.remove(bench).await?;
    Ok(seconds)
}

/// Speed of books that are wrong is worth nothing.
async fn check(hand: &Hand, events: usize) -> Outcome<()> {
    let events = i64::try_from(events)?;
    let events_say = EVENTS.map(|(name, sql)| (name, sql, events));
    let credits_say = CREDITS.map(|(name, sql)| (name, sql, events * EVENT_COSTS));
    for (name, sql, expected) in events_say.into_iter().chain(credits_say) {
        let found = hand.number(sql).await?;
        if found != expected {
            return Err(format!("the books are wrong: {name} say {found} instead of {expected}").into());
        }
    }
    Ok(())
}
