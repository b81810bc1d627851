//! Cycles of 10,000 subscriptions that end at the same moment: each is turned (what is left expires, half of it rolls over, the next cycle
//! begins with its grant) and closed (its summary is final and told), by two worker processes as they run without options,
//! against SQL written by hand that writes the same rows ([`crate::by_hand::turn`]). A plan without time for late usage makes turn
//! and close due at once.
//!
//! Fair, because both begin with copies of the same database, and afterwards every row that counts is counted. The time of ours
//! begins with the start of the processes; that of the limit with its first statement. The limit knows this one plan.
//!
//! Then once more beside checks at the fixed rate of their own measurement, against the bare handler beside the SQL by hand, and against the bare
//! handler beside the same two workers: what their work and the database's leaves of the processors to anybody.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::check::{PACED, RATE, knows};
use crate::{
    Bench, Outcome,
    by_hand::Hand,
    figure::{Figure, Target},
    load::{open, request::checks},
    pair::pair,
    place::Backend,
    subscribed::{self, GRANTED},
    world::{EVENT_COSTS, World},
};

/// How long it may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two looks at whether something is left.
const LOOK: Duration = Duration::from_millis(20);

const OPEN: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM billing_cycle WHERE state <> 'CLOSED' AND number = 1 LIMIT 1) AS first";
/// What must be there as often as there are subscriptions, and nothing else of its kind.
const ONCE: [(&str, &str); 7] = [
    (
        "closed cycles",
        "SELECT COUNT(*) FROM billing_cycle WHERE number = 1 AND state = 'CLOSED' AND summary LIKE '%by_metric%units%'",
    ),
    (
        "running cycles",
        "SELECT COUNT(*) FROM billing_cycle WHERE number = 2 AND state = 'RUNNING'",
    ),
    (
        "further cycles",
        "SELECT COUNT(*) - COUNT(DISTINCT subscription_id) FROM billing_cycle",
    ),
    (
        "grants",
        "SELECT COUNT(*) FROM block WHERE cycle_number = 2 AND source = 'PLAN_GRANT' AND state = 'ACTIVE'",
    ),
    (
        "rollovers",
        "SELECT COUNT(*) FROM block WHERE cycle_number = 2 AND source = 'ROLLOVER' AND state = 'ACTIVE'",
    ),
    (
        "blocks that ended",
        "SELECT COUNT(*) FROM block WHERE state <> 'ACTIVE'",
    ),
    (
        "renewals told",
        "SELECT COUNT(*) FROM billing_event WHERE kind = 'subscription.renewed'",
    ),
];
/// What must add up to the same amount.
const CREDITS: [(&str, &str); 3] = [
    (
        "accounts",
        "SELECT CAST(SUM(blocks - overdraft) AS bigint) FROM account",
    ),
    ("blocks", "SELECT CAST(SUM(remaining) AS bigint) FROM block"),
    (
        "ledger entries",
        "SELECT CAST(SUM(credits) AS bigint) FROM ledger_entry",
    ),
];

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let many = bench.scale.subscribed;
    let start = subscribed::world(bench, backend, many).await?;
    let per_second = |lasting: Duration| many as f64 / lasting.as_secs_f64();
    let ours = async || {
        let alone = ours(bench, &start, None).await?;
        let beside = ours(bench, &start, Some((Asked::Api, alone.lasting))).await?;
        let handler = ours(bench, &start, Some((Asked::Handler, alone.lasting))).await?;
        Ok([
            per_second(alone.lasting),
            per_second(beside.lasting),
            beside.p50,
            beside.p99,
            handler.p99,
        ])
    };
    let limit = async || {
        let alone = by_hand(bench, &start, None).await?;
        let beside = by_hand(bench, &start, Some(alone.lasting)).await?;
        Ok([
            per_second(alone.lasting),
            per_second(beside.lasting),
            beside.p50,
            beside.p99,
        ])
    };
    let (ours, limit) = pair(bench.scale.rounds, ours, limit).await?;
    start.remove(bench).await?;
    let figure = |place: usize, name: &str, unit, target| {
        Figure::new(name, backend, unit, ours[place], limit[place]).target(target)
    };
    let least = match backend {
        Backend::Postgres => Target::NONE.and_at_least(1_500.0),
        Backend::Sqlite => Target::NONE,
    };
    let (sql, handler) = ("set-based SQL that does the same", "bare handler beside that SQL");
    Ok(vec![
        figure(0, "cycles_closed", "cycles/s", least).against(sql),
        figure(1, "cycles_closed_beside_checks", "cycles/s", Target::NONE).against(sql),
        figure(2, "cycles_check_p50", "ms", Target::NONE).against(handler),
        figure(3, "cycles_check_p99", "ms", Target::below(1.0)).against(handler),
        Figure::new("cycles_check_p99_of_rest", backend, "ms", ours[3], ours[4])
            .against("bare handler beside the same workers"),
    ])
}

/// How long it took, and how long checks took meanwhile, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Turned {
    lasting: Duration,
    p50: f64,
    p99: f64,
}

/// Who is asked meanwhile.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Api,
    Handler,
}

/// Two workers; beside checks whose delays count for so long, if any are to be made.
async fn ours(bench: &Bench, start: &World, checked: Option<(Asked, Duration)>) -> Outcome<Turned> {
    let world = start.copy(bench).await?;
    let watch = Hand::connect(&world.place, 1).await?;
    let api = match checked {
        Some((Asked::Api, lasting)) => {
            Some((bench.programs.api(&world.place.url).await?, "/graphql", lasting))
        }
        Some((Asked::Handler, lasting)) => Some((bench.programs.by_hand(&[]).await?, "/memory", lasting)),
        None => None,
    };
    let load = api
        .as_ref()
        .map(|(api, path, lasting)| (api.address, *path, *lasting));
    let turned = beside(bench, load, async || {
        let begun = Instant::now();
        let mut workers = [
            bench.programs.worker(&world.place.url)?,
            bench.programs.worker(&world.place.url)?,
        ];
        while watch.number(OPEN).await? > 0 {
            if begun.elapsed() > PATIENCE || !workers.iter_mut().all(|worker| worker.is_alive()) {
                return Err("the workers do not come to an end".into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let lasting = begun.elapsed();
        for worker in workers {
            worker.stop().await;
        }
        Ok(lasting)
    })
    .await?;
    if let Some((api, ..)) = api {
        api.stop().await;
    }
    end(bench, world, watch).await?;
    Ok(turned)
}

/// The SQL by hand; beside checks by the bare handler, likewise.
async fn by_hand(bench: &Bench, start: &World, checked: Option<Duration>) -> Outcome<Turned> {
    let world = start.copy(bench).await?;
    let hand = Hand::connect(&world.place, 2).await?;
    let server = match checked {
        Some(lasting) => Some((bench.programs.by_hand(&[]).await?, lasting)),
        None => None,
    };
    let load = server
        .as_ref()
        .map(|(server, lasting)| (server.address, "/memory", *lasting));
    let turned = beside(bench, load, async || {
        let begun = Instant::now();
        hand.turn().await?;
        Ok(begun.elapsed())
    })
    .await?;
    if let Some((server, _)) = server {
        server.stop().await;
    }
    end(bench, world, hand).await?;
    Ok(turned)
}

/// Some work, begun when the checks have warmed up.
async fn beside(
    bench: &Bench,
    load: Option<(SocketAddr, &'static str, Duration)>,
    work: impl AsyncFnOnce() -> Outcome<Duration>,
) -> Outcome<Turned> {
    let Some((address, path, counted)) = load else {
        let lasting = work().await?;
        return Ok(Turned {
            lasting,
            p50: 0.0,
            p99: 0.0,
        });
    };
    let asked = bench.scale.active.min(bench.scale.subscribed);
    knows(address, path, asked).await?;
    let checking = tokio::spawn(open::delays(address, checks(path, PACED, asked), RATE, counted));
    tokio::time::sleep(open::WARM_UP).await;
    let lasting = work().await?;
    let mut delays = checking.await??;
    Ok(Turned {
        lasting,
        p50: delays.quantile(0.5),
        p99: delays.quantile(0.99),
    })
}

/// Speed of books that are wrong is worth nothing.
async fn end(bench: &Bench, world: World, hand: Hand) -> Outcome<()> {
    let many = i64::try_from(bench.scale.subscribed)?;
    let rolled = (GRANTED - EVENT_COSTS) / 2;
    let credits = CREDITS.map(|(name, sql)| (name, sql, many * (GRANTED + rolled)));
    let once = ONCE.map(|(name, sql)| (name, sql, many));
    for (name, sql, expected) in once.into_iter().chain(credits) {
        let found = hand.number(sql).await?;
        if found != expected {
            return Err(format!("the books are wrong: {name} say {found} instead of {expected}").into());
        }
    }
    hand.close().await;
    world.remove(bench).await
}
