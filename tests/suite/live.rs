//! Balances as they change: first the present, then everything after it, without a gap.

use std::{pin::Pin, time::Duration};

use app::{
    credit::live::{self, BalanceUpdate},
    customer::{self, CustomerRef, UpdateCustomer},
    feed::Feed,
};
use domain::{customer::AtZero, id::CustomerId};
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::harness::{World, credits, per_unit};

on_both!(
    the_present_comes_first_and_then_every_change,
    a_reader_resumes_where_it_was,
    new_terms_are_told,
    a_slow_reader_hears_where_things_stand,
    changes_of_other_processes_arrive,
    many_watchers_each_hear_everything,
    a_crowd_is_told_together,
);

pub type Updates = Pin<Box<dyn Stream<Item = app::Result<BalanceUpdate>> + Send>>;

pub async fn watch(world: &World, id: CustomerId, after: Option<i64>) -> Updates {
    let stream = live::watch(&world.app, &world.actor, &CustomerRef::Id(id), after).await;
    Box::pin(stream.unwrap())
}

pub async fn heard(updates: &mut Updates) -> BalanceUpdate {
    let update = tokio::time::timeout(Duration::from_secs(10), updates.next()).await;
    update.expect("no update came").unwrap().unwrap()
}

async fn next(updates: &mut Updates) -> (i64, String) {
    let update = heard(updates).await;
    (update.sequence, update.remaining.to_string())
}

async fn silent(updates: &mut Updates) {
    let update = tokio::time::timeout(Duration::from_millis(150), updates.next()).await;
    assert!(update.is_err(), "{update:?}");
}

fn told(sequence: i64, remaining: &str) -> (i64, String) {
    (sequence, remaining.to_owned())
}

async fn the_present_comes_first_and_then_every_change(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let mut early = watch(&world, id, None).await;
    assert_eq!(next(&mut early).await, told(0, "0"));
    world.give(id, "5").await;
    let mut updates = watch(&world, id, None).await;
    assert_eq!(next(&mut updates).await, told(1, "5"));
    silent(&mut updates).await;
    world.give(id, "1").await;
    world.advance(1);
    world.consume(id, "call", "8").await;
    world.run_to_rest().await;
    // Three purses, three entries, three updates.
    for wanted in [told(2, "6"), told(3, "1"), told(4, "0"), told(5, "-2")] {
        assert_eq!(next(&mut updates).await, wanted);
    }
    silent(&mut updates).await;
    for sequence in 1..=5 {
        assert_eq!(next(&mut early).await.0, sequence);
    }
    let other = world.customer("b").await;
    world.give(other, "1").await;
    silent(&mut updates).await;
}

async fn a_reader_resumes_where_it_was(world: World) {
    let id = world.customer("a").await;
    for _ in 0..5 {
        world.give(id, "1").await;
    }
    for (after, wanted) in [
        (0, vec![1, 2, 3, 4, 5]),
        (3, vec![4, 5]),
        (5, vec![5]),
        // Numbers that this ledger never gave: begin with the present.
        (99, vec![5]),
        (-3, vec![5]),
        (i64::MIN, vec![5]),
        (i64::MAX, vec![5]),
    ] {
        let mut updates = watch(&world, id, Some(after)).await;
        for sequence in wanted {
            assert_eq!(next(&mut updates).await.0, sequence, "after {after}");
        }
        silent(&mut updates).await;
    }
}

async fn new_terms_are_told(world: World) {
    let id = world.customer("a").await;
    world.give(id, "5").await;
    let mut updates = watch(&world, id, None).await;
    let mut available = async || heard(&mut updates).await.available;
    assert_eq!(available().await, Some(credits("5")));
    let change = async |at_zero, line: Option<&str>| {
        let input = UpdateCustomer {
            at_zero: Some(at_zero),
            overage_line: line.map(|text| Some(credits(text))),
            ..UpdateCustomer::default()
        };
        customer::update(&world.app, &world.actor, &CustomerRef::Id(id), input)
            .await
            .unwrap();
    };
    change(AtZero::AllowUpTo, Some("10")).await;
    assert_eq!(available().await, Some(credits("15")));
    change(AtZero::Allow, None).await;
    assert_eq!(available().await, None);
}

async fn a_slow_reader_hears_where_things_stand(world: World) {
    let id = world.customer("a").await;
    world.give(id, "5").await;
    let mut updates = watch(&world, id, None).await;
    assert_eq!(next(&mut updates).await.0, 1);
    // A thousand lines that move nothing, and one more that does.
    world.fill(id, 1_000).await;
    world.give(id, "1").await;
    assert_eq!(next(&mut updates).await, told(1002, "6"));
    world.give(id, "1").await;
    assert_eq!(next(&mut updates).await, told(1003, "7"));
    // Exactly a thousand behind are sent one by one.
    let mut updates = watch(&world, id, Some(3)).await;
    for sequence in 4..=1_003 {
        assert_eq!(next(&mut updates).await.0, sequence);
    }
    silent(&mut updates).await;
}

async fn changes_of_other_processes_arrive(world: World) {
    let id = world.customer("a").await;
    let stop = CancellationToken::new();
    let feed = tokio::spawn(Feed::run(world.app.clone(), stop.clone()));
    let mut updates = watch(&world, id, None).await;
    assert_eq!(next(&mut updates).await.0, 0);
    let other = world.another().await;
    for sequence in 1..=20 {
        other.give(id, "1").await;
        let begun = std::time::Instant::now();
        assert_eq!(next(&mut updates).await.0, sequence);
        // The first may come before the feed listens, and is found by the look that follows.
        assert!(
            sequence < 3 || begun.elapsed() < Duration::from_millis(900),
            "{sequence}: {:?}",
            begun.elapsed()
        );
    }
    let mut second = watch(&world, id, Some(18)).await;
    assert_eq!((next(&mut second).await.0, next(&mut second).await.0), (19, 20));
    let input = UpdateCustomer {
        at_zero: Some(AtZero::Allow),
        ..UpdateCustomer::default()
    };
    customer::update(&other.app, &other.actor, &CustomerRef::Id(id), input)
        .await
        .unwrap();
    assert_eq!((next(&mut updates).await.0, next(&mut second).await.0), (20, 20));
    silent(&mut updates).await;
    stop.cancel();
    feed.await.unwrap();
}

async fn many_watchers_each_hear_everything(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut updates = watch(&world, id, Some(0)).await;
                let mut seen = vec![];
                while seen.last() != Some(&30) {
                    seen.push(next(&mut updates).await.0);
                }
                seen
            })
        })
        .collect();
    let writers = (0..5).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            for _ in 0..6 {
                world.give(id, "1").await;
            }
        })
    });
    futures::future::join_all(writers).await;
    for reader in readers {
        let mut seen = reader.await.unwrap();
        // A reader that begins before the first change is told the present, which is line 0.
        seen.retain(|it| *it > 0);
        assert_eq!(seen, (1..=30).collect::<Vec<_>>());
    }
}

/// Hundreds of customers change at once, and each is watched from different numbers on.
async fn a_crowd_is_told_together(world: World) {
    const CUSTOMERS: usize = 40;
    const READERS: usize = 25;
    let stranger = world.stranger().await;
    let mut ids = Vec::new();
    for n in 0..CUSTOMERS {
        let whose = if n % 4 == 0 { &stranger } else { &world };
        let id = whose.customer(&format!("c{n}")).await;
        for _ in 0..n % 3 {
            whose.give(id, "1").await;
        }
        ids.push((whose.clone(), id, i64::try_from(n % 3).unwrap()));
    }
    let mut readers = Vec::new();
    for (whose, id, had) in &ids {
        for reader in 0..READERS {
            let after = (reader % 2 == 1).then_some(0);
            let (whose, id, had) = (whose.clone(), *id, *had);
            readers.push(tokio::spawn(async move {
                let mut updates = watch(&whose, id, after).await;
                let mut seen = Vec::new();
                while seen.last().is_none_or(|(sequence, _)| *sequence < had + 2) {
                    seen.push(next(&mut updates).await);
                }
                let first = if after.is_some() && had > 0 { 1 } else { had };
                let wanted: Vec<i64> = (seen[0].0..=had + 2).collect();
                let numbers: Vec<i64> = seen.iter().map(|(sequence, _)| *sequence).collect();
                assert_eq!(numbers, wanted);
                assert!(seen[0].0 >= first, "{seen:?}");
                for (sequence, remaining) in seen {
                    assert_eq!(remaining, sequence.to_string(), "of {id}");
                }
            }));
        }
    }
    let writers = ids.iter().map(|(whose, id, _)| {
        let (whose, id) = (whose.clone(), *id);
        tokio::spawn(async move {
            whose.give(id, "1").await;
            whose.give(id, "1").await;
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
