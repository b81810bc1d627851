//! Recording, exact debits, voids and summaries.

use std::collections::HashSet;

use app::{
    credit::{Expiry, Grant},
    customer::CustomerRef,
    page::Page,
    usage::{self, Age, GroupBy, NewEvent, Outcome, SummaryRequest},
};
use domain::{
    customer::Settlement,
    id::CustomerId,
    rejection::RejectionCode::{EventAlreadyVoided, InvalidInput, NotFound},
    time::Timestamp,
    usage::event::{EventState, Refusal},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionOptions, TransactionTrait};
use serde_json::json;

use crate::harness::{
    World, at, backend::on_postgres, credits, flat, graduated, p4, per_unit, refusal, volume,
};

on_both!(
    known_answers_however_the_usage_is_split,
    outcomes_come_per_event_in_order,
    the_same_key_is_the_same_event,
    one_bad_event_never_spoils_the_others,
    limits_of_time_hold_to_the_microsecond,
    requests_have_bounds,
    duplicates_at_the_same_moment_debit_once,
    overlapping_batches_from_two_processes_all_succeed,
    usage_without_a_price_is_counted,
    months_count_by_themselves,
    a_pending_event_is_voided_as_if_it_had_been_debited,
    a_rated_event_is_voided_once,
    voids_return_to_where_credits_came_from,
    voids_of_expired_blocks_return_to_nowhere,
    voids_of_repaid_overdraft_are_not_lost,
    voids_of_events_that_returned_credits_name_no_owner,
    summaries_add_up,
    summaries_say_what_cycles_cost,
    summaries_cut_through_days,
    ratings_are_found_again,
    events_come_in_pages,
);

/// Usage accepted before a request that commits only after the request has settled what it saw, while the request waits for the
/// account: it still comes first. PostgreSQL alone has such a moment: on SQLite whoever waits for the account keeps all others
/// from writing, and so from being accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stragglers_come_before_the_request() {
    for what in ["void", "adjust"] {
        on_postgres(async |world| {
            world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
            let id = world.customer("a").await;
            world.give(id, "100").await;
            world.advance(1);
            let key = world.consume(id, "call", "10").await;
            world.run_to_rest().await;
            world.advance(1);
            let other = world.another().await;
            let holder = other
                .app
                .db()
                .writer()
                .begin_with_options(TransactionOptions::default())
                .await
                .unwrap();
            holder
                .execute_unprepared("SELECT 1 FROM account FOR UPDATE")
                .await
                .unwrap();
            let request = tokio::spawn({
                let (world, key) = (world.clone(), key.clone());
                async move {
                    if what == "void" {
                        drop(world.void(&key).await.unwrap());
                    } else {
                        let input = app::credit::Adjust {
                            customer: CustomerRef::Id(id),
                            credits: credits("-89"),
                            description: None,
                        };
                        let done = app::credit::adjust(&world.app, &world.actor, input, "a").await;
                        assert_eq!(
                            refusal(done).0,
                            domain::rejection::RejectionCode::InsufficientCredits
                        );
                    }
                }
            });
            // Until it waits for the account.
            loop {
                let waiting = other.app.db().reader().query_one_raw(Statement::from_string(
                    DbBackend::Postgres,
                    "SELECT COUNT(*) AS n FROM pg_stat_activity
                     WHERE wait_event_type = 'Lock' AND datname = current_database()",
                ));
                if waiting.await.unwrap().unwrap().try_get::<i64>("", "n").unwrap() > 0 {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            world.advance_micros(-1);
            let straggler = other.consume(id, "call", "4").await;
            world.advance_micros(1);
            holder.rollback().await.unwrap();
            request.await.unwrap();
            let event = usage::event(&world.app, &world.actor, &straggler)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(event.state, EventState::Rated, "{what}");
            // 10 + 2; after the void the four cost 1 each.
            let left = if what == "void" { "96" } else { "88" };
            assert_eq!(world.stands(id).await.0, left, "{what}");
        })
        .await;
    }
}

async fn known_answers_however_the_usage_is_split(world: World) {
    world.priced("call", p4()).await;
    let mut rng = StdRng::seed_from_u64(4);
    for (total, answer) in [(15_000_i64, "-12500"), (85_000, "-47500")] {
        for split in ["whole", "halves", "thousand", "uneven"] {
            let id = world.customer(&format!("{total} {split}")).await;
            let mut parts: Vec<i64> = match split {
                "whole" => vec![total],
                "halves" => vec![total / 2, total / 2],
                "thousand" => vec![total / 1_000; 1_000],
                _ => {
                    let mut left = total;
                    std::iter::from_fn(|| {
                        let part = rng.random_range(1..=9_999).min(left);
                        left -= part;
                        (part > 0).then_some(part)
                    })
                    .collect()
                }
            };
            parts.shuffle(&mut rng);
            for chunk in parts.chunks(7.max(parts.len() / 3)) {
                let events = chunk
                    .iter()
                    .map(|part| world.event(id, "call", &part.to_string()));
                world.accept(events.collect()).await;
                if rng.random_bool(0.5) {
                    world.run_jobs().await;
                }
            }
            world.run_to_rest().await;
            assert_eq!(world.stands(id).await.0, answer, "{total} {split}");
        }
    }
}

async fn outcomes_come_per_event_in_order(world: World) {
    world.priced("call", per_unit("1")).await;
    world.metric("old").await;
    let archive = app::catalog::UpdateMetric {
        archived: Some(true),
        ..Default::default()
    };
    app::catalog::update_metric(&world.app, &world.actor, "old", archive)
        .await
        .unwrap();
    let id = world.customer("a").await;
    let now = world.now();
    let good = || world.event(id, "call", "1");
    let refused = Outcome::Rejected;
    let many = (0..17)
        .map(|index| (format!("p{index}"), json!(1)))
        .collect::<serde_json::Map<_, _>>();
    let cases: Vec<(NewEvent, Outcome)> = vec![
        (
            NewEvent {
                customer: None,
                ..good()
            },
            refused(Refusal::UnknownCustomer),
        ),
        (
            NewEvent {
                customer: Some(CustomerRef::External("b".to_owned())),
                ..good()
            },
            refused(Refusal::UnknownCustomer),
        ),
        (
            NewEvent {
                customer: Some(CustomerRef::Id(CustomerId(uuid::Uuid::nil()))),
                ..good()
            },
            refused(Refusal::UnknownCustomer),
        ),
        (
            NewEvent {
                metric_key: "no".to_owned(),
                ..good()
            },
            refused(Refusal::UnknownMetric),
        ),
        (
            NewEvent {
                metric_key: "old".to_owned(),
                ..good()
            },
            refused(Refusal::ArchivedMetric),
        ),
        (
            NewEvent {
                units: "-1".to_owned(),
                ..good()
            },
            refused(Refusal::NegativeUnits),
        ),
        (
            NewEvent {
                units: "-0.000001".to_owned(),
                ..good()
            },
            refused(Refusal::NegativeUnits),
        ),
        (
            NewEvent {
                units: "1e3".to_owned(),
                ..good()
            },
            refused(Refusal::InvalidUnits),
        ),
        (
            NewEvent {
                units: "0.0000001".to_owned(),
                ..good()
            },
            refused(Refusal::InvalidUnits),
        ),
        (
            NewEvent {
                units: "9223372036855".to_owned(),
                ..good()
            },
            refused(Refusal::InvalidUnits),
        ),
        (
            NewEvent {
                units: String::new(),
                ..good()
            },
            refused(Refusal::InvalidUnits),
        ),
        (
            NewEvent {
                key: String::new(),
                ..good()
            },
            refused(Refusal::InvalidKey),
        ),
        (
            NewEvent {
                key: "a b".to_owned(),
                ..good()
            },
            refused(Refusal::InvalidKey),
        ),
        (
            NewEvent {
                key: "x".repeat(256),
                ..good()
            },
            refused(Refusal::InvalidKey),
        ),
        (
            NewEvent {
                occurred_at: Some(now.plus_seconds(301)),
                ..good()
            },
            refused(Refusal::OccurredInFuture),
        ),
        (
            NewEvent {
                occurred_at: Some(now.plus_seconds(-36 * 86_400)),
                ..good()
            },
            refused(Refusal::OccurredTooLongAgo),
        ),
        (
            NewEvent {
                properties: Some(json!([1])),
                ..good()
            },
            refused(Refusal::InvalidProperties),
        ),
        (
            NewEvent {
                properties: Some(json!({ "a": null })),
                ..good()
            },
            refused(Refusal::InvalidProperties),
        ),
        (
            NewEvent {
                properties: Some(json!({ "a": { "b": 1 } })),
                ..good()
            },
            refused(Refusal::InvalidProperties),
        ),
        (
            NewEvent {
                properties: Some(json!({ "a": "x".repeat(257) })),
                ..good()
            },
            refused(Refusal::InvalidProperties),
        ),
        (
            NewEvent {
                properties: Some(many.into()),
                ..good()
            },
            refused(Refusal::InvalidProperties),
        ),
    ];
    let wanted: Vec<Outcome> = cases.iter().map(|(_, outcome)| *outcome).collect();
    // A good one between every two.
    let mut events = vec![];
    for (event, _) in cases {
        events.extend([good(), event]);
    }
    let outcomes = world.record(events).await;
    let bad: Vec<Outcome> = outcomes.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(bad, wanted);
    assert!(
        outcomes
            .iter()
            .step_by(2)
            .all(|it| matches!(it, Outcome::Accepted(_))),
        "{outcomes:?}"
    );
    assert_eq!(world.pending().await, wanted.len() as u64);
    for (amount, properties) in [
        ("0", json!({})),
        ("12.5", json!({ "a": 1, "b": true, "c": "\u{0}ü" })),
        ("9223372036854.775807", json!(null)),
    ] {
        let event = NewEvent {
            units: amount.to_owned(),
            properties: Some(properties),
            ..good()
        };
        assert!(
            matches!(world.record(vec![event]).await[0], Outcome::Accepted(_)),
            "{amount}"
        );
    }
    // The largest count parks its customer; it is taken back so that the others come to rest.
    let last = usage::events(&world.app, &world.actor, id, Page::first(1))
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(last.units.to_string(), "9223372036854.775807");
    world.void(&last.key).await.unwrap();
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "-33.5");
}

async fn the_same_key_is_the_same_event(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("token", per_unit("1")).await;
    let id = world.customer("a").await;
    let other = world.customer("b").await;
    let event = || NewEvent {
        key: "k".to_owned(),
        occurred_at: Some(at("2026-03-10T11:00:00Z")),
        properties: Some(json!({ "model": "large", "n": 1 })),
        ..world.event(id, "call", "2.50")
    };
    let [Outcome::Accepted(first)] = world.record(vec![event()]).await[..] else {
        panic!()
    };
    let same = [
        event(),
        NewEvent {
            customer: Some(CustomerRef::External("a".to_owned())),
            ..event()
        },
        NewEvent {
            units: "2.5".to_owned(),
            ..event()
        },
        NewEvent {
            properties: Some(json!({ "n": "1", "model": "large" })),
            ..event()
        },
    ];
    let different = [
        NewEvent {
            customer: Some(CustomerRef::Id(other)),
            ..event()
        },
        NewEvent {
            metric_key: "token".to_owned(),
            ..event()
        },
        NewEvent {
            units: "2.500001".to_owned(),
            ..event()
        },
        NewEvent {
            occurred_at: None,
            ..event()
        },
        NewEvent {
            occurred_at: Some(at("2026-03-10T11:00:00.000001Z")),
            ..event()
        },
        NewEvent {
            properties: None,
            ..event()
        },
        NewEvent {
            properties: Some(json!({ "model": "large" })),
            ..event()
        },
    ];
    // While it waits, after it is debited, after it is taken back, and after the limit for late events.
    for step in 0..4 {
        match step {
            1 => world.run_to_rest().await,
            2 => drop(world.void("k").await.unwrap()),
            3 => world.advance(30 * 86_400),
            _ => {}
        }
        assert_eq!(
            world.record(same.to_vec()).await,
            vec![Outcome::Duplicate(first); same.len()],
            "{step}"
        );
        assert_eq!(
            world.record(different.to_vec()).await,
            vec![Outcome::Conflict; different.len()],
            "{step}"
        );
    }
    // Two in one request: the first counts.
    let pair = || {
        vec![
            NewEvent {
                key: "p".to_owned(),
                ..event()
            },
            NewEvent {
                key: "p".to_owned(),
                units: "9".to_owned(),
                ..event()
            },
            NewEvent {
                key: "p".to_owned(),
                ..event()
            },
        ]
    };
    world.advance(-30 * 86_400);
    let outcomes = world.record(pair()).await;
    let Outcome::Accepted(one) = outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(outcomes[1..], [Outcome::Conflict, Outcome::Duplicate(one)]);
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.0, world.stands(other).await.0),
        ("-2.5".to_owned(), "0".to_owned())
    );
}

/// Whatever a producer sends in one event, the good ones of the request are accepted: also where a database could choke.
async fn one_bad_event_never_spoils_the_others(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let strange = [
        "\0",
        "a\0b",
        "'; DROP TABLE tenant; --",
        "\u{fffd}",
        "🦀",
        "%",
        "\\u0000",
        &"x".repeat(100_000),
    ];
    for text in strange {
        let good = || world.event(id, "call", "1");
        let outcomes = world
            .record(vec![
                good(),
                NewEvent {
                    customer: Some(CustomerRef::External(text.to_owned())),
                    ..good()
                },
                NewEvent {
                    metric_key: text.to_owned(),
                    ..good()
                },
                NewEvent {
                    units: text.to_owned(),
                    ..good()
                },
                NewEvent {
                    key: text.to_owned(),
                    units: "-1".to_owned(),
                    ..good()
                },
                NewEvent {
                    properties: Some(json!({ text: text })),
                    ..good()
                },
                good(),
            ])
            .await;
        assert!(
            matches!(
                (outcomes[0], outcomes[6]),
                (Outcome::Accepted(_), Outcome::Accepted(_))
            ),
            "{outcomes:?}"
        );
        assert_eq!(
            outcomes[1..3],
            [
                Outcome::Rejected(Refusal::UnknownCustomer),
                Outcome::Rejected(Refusal::UnknownMetric)
            ]
        );
        assert!(
            outcomes[3..5].iter().all(|it| matches!(it, Outcome::Rejected(_))),
            "{outcomes:?}"
        );
    }
    world.run_to_rest().await;
    let [line] = &usage::summary(&world.app, &world.actor, id, SummaryRequest::default())
        .await
        .unwrap()
        .lines[..]
    else {
        panic!()
    };
    assert!(line.events >= 16, "{line:?}");
}

async fn limits_of_time_hold_to_the_microsecond(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let (ahead, back) = (300 * 1_000_000, 35 * 86_400 * 1_000_000_i64);
    for (micros, refused) in [
        (ahead, None),
        (ahead + 1, Some(Refusal::OccurredInFuture)),
        (-back, None),
        (-back - 1, Some(Refusal::OccurredTooLongAgo)),
    ] {
        let mut event = world.event(id, "call", "1");
        event.occurred_at = Some(Timestamp::from_micros(world.now().micros() + micros));
        let outcome = world.record(vec![event.clone()]).await[0];
        match refused {
            Some(refusal) => assert_eq!(outcome, Outcome::Rejected(refusal), "{micros}"),
            None => assert!(matches!(outcome, Outcome::Accepted(_)), "{micros}"),
        }
        // History has no such limit, the future has.
        let history = usage::record(&world.app, &world.actor, vec![event], Age::Any)
            .await
            .unwrap()[0];
        let future = refused == Some(Refusal::OccurredInFuture);
        assert_eq!(matches!(history, Outcome::Rejected(_)), future, "{micros}");
    }
    let mut ancient = world.event(id, "call", "1");
    ancient.occurred_at = Some(Timestamp::MIN);
    let outcome = usage::record(&world.app, &world.actor, vec![ancient], Age::Any)
        .await
        .unwrap()[0];
    assert!(matches!(outcome, Outcome::Accepted(_)));
    world.run_to_rest().await;
}

async fn requests_have_bounds(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let batch = |count| {
        (0..count)
            .map(|_| world.event(id, "call", "1"))
            .collect::<Vec<_>>()
    };
    for count in [0, 1_001] {
        let outcome = usage::record(&world.app, &world.actor, batch(count), Age::Limited).await;
        assert_eq!(refusal(outcome), (InvalidInput, "events".to_owned()), "{count}");
    }
    world.accept(batch(1_000)).await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "-1000");
}

async fn duplicates_at_the_same_moment_debit_once(world: World) {
    world.priced("call", per_unit("1")).await;
    let ids = [world.customer("a").await, world.customer("b").await];
    let keys: Vec<String> = (0..100).map(|index| format!("dup-{index}")).collect();
    let other = world.another().await;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let world = if task % 2 == 0 {
                world.clone()
            } else {
                other.clone()
            };
            let mut keys = keys.clone();
            tokio::spawn(async move {
                keys.shuffle(&mut StdRng::seed_from_u64(task));
                let mut accepted = 0;
                for key in keys {
                    let owner = ids[usize::from(key.ends_with('7'))];
                    let event = NewEvent {
                        key,
                        ..world.event(owner, "call", "1")
                    };
                    match world.record(vec![event]).await[0] {
                        Outcome::Accepted(_) => accepted += 1,
                        Outcome::Duplicate(_) => {}
                        other => panic!("{other:?}"),
                    }
                    if accepted % 10 == 3 {
                        app::job::run(&world.app, World::drain_job(owner)).await;
                    }
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += task.await.unwrap();
    }
    assert_eq!(accepted, 100);
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(ids[0]).await.0, world.stands(ids[1]).await.0),
        ("-90".to_owned(), "-10".to_owned())
    );
}

/// The same keys in different orders from two processes: nobody waits for the other in a circle.
async fn overlapping_batches_from_two_processes_all_succeed(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let other = world.another().await;
    for round in 0..6_u64 {
        let batch = |world: &World, seed| {
            let mut events: Vec<_> = (0..1_000)
                .map(|index| NewEvent {
                    key: format!("{round}-{index}"),
                    ..world.event(id, "call", "1")
                })
                .collect();
            events.shuffle(&mut StdRng::seed_from_u64(seed));
            events
        };
        let (one, two) = (batch(&world, round * 2), batch(&other, round * 2 + 1));
        let (one, two) = tokio::join!(world.record(one), other.record(two));
        let new = one
            .iter()
            .chain(&two)
            .filter(|it| matches!(it, Outcome::Accepted(_)))
            .count();
        assert_eq!(new, 1_000);
    }
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "-6000");
}

async fn usage_without_a_price_is_counted(world: World) {
    world.metric("call").await;
    world
        .try_rule("call", &[("model", "large")], per_unit("1"), None)
        .await
        .unwrap();
    let id = world.customer("a").await;
    let key = world.consume(id, "call", "5").await;
    world.run_to_rest().await;
    let event = usage::event(&world.app, &world.actor, &key)
        .await
        .unwrap()
        .unwrap();
    let rating = event.rating.unwrap();
    assert_eq!(
        (event.state, rating.rule, rating.credits),
        (EventState::Rated, None, credits("0"))
    );
    assert_eq!(world.ledger(id).await, []);
    assert_eq!(world.void(&key).await.unwrap().credits, credits("0"));
}

async fn months_count_by_themselves(world: World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.1")])).await;
    let id = world.customer("a").await;
    let mut events = vec![];
    for instant in [
        "2026-02-28T23:59:59.999999Z",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00+01:00",
        "2026-03-10T12:00:00Z",
    ] {
        events.push(NewEvent {
            occurred_at: Some(at(instant)),
            ..world.event(id, "call", "10")
        });
    }
    world.accept(events).await;
    world.run_to_rest().await;
    // Two events in February in UTC, two in March: 10 + 1 each.
    assert_eq!(world.stands(id).await.0, "-22");
}

async fn a_pending_event_is_voided_as_if_it_had_been_debited(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    world.advance(1);
    let key = world.consume(id, "call", "3").await;
    let voided = world.void(&key).await.unwrap();
    assert_eq!((voided.credits, world.pending().await), (credits("3"), 0));
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "10");
    let event = usage::event(&world.app, &world.actor, &key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (event.state, event.rating.map(|it| it.credits)),
        (EventState::Voided, Some(credits("3")))
    );
    assert_eq!(
        refusal(world.void(&key).await),
        (EventAlreadyVoided, "key".to_owned())
    );
}

async fn a_rated_event_is_voided_once(world: World) {
    world.priced("call", p4()).await;
    let id = world.customer("a").await;
    world.give(id, "100000").await;
    world.advance(1);
    let first = world.consume(id, "call", "10000").await;
    let second = world.consume(id, "call", "5000").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "87500");
    // The cycle costs what 5,000 calls cost: the first tier is free again, so half of the first event's price returns.
    let voids = (0..6).map(|index| {
        let (world, event_key) = (world.clone(), first.clone());
        tokio::spawn(async move {
            let input = usage::VoidUsage { event_key };
            usage::void(&world.app, &world.actor, input, &format!("void-{index}")).await
        })
    });
    let outcomes: Vec<_> = futures::future::join_all(voids)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let done: Vec<_> = outcomes.iter().filter_map(|it| it.as_ref().ok()).collect();
    assert_eq!(done.len(), 1, "{outcomes:?}");
    assert_eq!(done[0].value.credits, credits("7500"));
    assert_eq!(world.stands(id).await.0, "95000");
    world.void(&second).await.unwrap();
    assert_eq!(world.stands(id).await.0, "100000");
    let input = usage::VoidUsage {
        event_key: world.consume(id, "call", "1").await,
    };
    for replay in [false, true] {
        let done = usage::void(&world.app, &world.actor, input.clone(), "same")
            .await
            .unwrap();
        assert_eq!(done.replay, replay);
    }
    assert_eq!(refusal(world.void("nothing").await), (NotFound, "key".to_owned()));
}

async fn voids_return_to_where_credits_came_from(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer_settling("a", Settlement::Manual).await;
    let first = world.give(id, "5").await;
    world.advance(1);
    let second = world.give(id, "5").await;
    world.advance(1);
    let small = world.consume(id, "call", "4").await;
    world.advance(1);
    let large = world.consume(id, "call", "8").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await, ("-2".to_owned(), "2".to_owned()));
    world.void(&small).await.unwrap();
    assert_eq!(
        (world.left(&first).await.0, world.left(&second).await.0),
        ("4".to_owned(), "0".to_owned())
    );
    assert_eq!(
        world.stands(id).await,
        ("2".to_owned(), "2".to_owned()),
        "nobody but MANUAL repays"
    );
    world.void(&large).await.unwrap();
    assert_eq!(
        (world.left(&first).await.0, world.left(&second).await.0),
        ("5".to_owned(), "5".to_owned())
    );
    assert_eq!(world.stands(id).await, ("10".to_owned(), "0".to_owned()));
}

/// An event that reached a cheaper volume tier returned credits to a block that expires later. What voiding it returns belongs
/// to the block last debited, not to that one.
async fn voids_of_events_that_returned_credits_name_no_owner(world: World) {
    world.priced("call", volume(&[("10", "1"), ("", "0.5")])).await;
    let id = world.customer("a").await;
    let end = world.now().plus_seconds(60);
    let short = world
        .grant(Grant {
            expiry: Expiry::At(end),
            ..world.deposit(id, "10")
        })
        .await;
    let long = world.give(id, "10").await;
    let mut keys = Vec::new();
    // 10 from the short block, 4.5 back to it, 4.5 from it again, then 5 from the long one.
    for units in ["10", "1", "9", "10"] {
        world.advance(1);
        keys.push(world.consume(id, "call", units).await);
    }
    world.run_to_rest().await;
    assert_eq!(
        (world.left(&short).await.0, world.left(&long).await.0),
        ("0".to_owned(), "5".to_owned())
    );
    world.move_to(end);
    let voided = world.void(&keys[1]).await.unwrap();
    assert_eq!((voided.credits, voided.lapsed), (credits("0.5"), credits("0")));
    assert_eq!(world.left(&long).await.0, "5.5");
}

async fn voids_of_expired_blocks_return_to_nowhere(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let end = world.now().plus_seconds(60);
    let short = world
        .grant(Grant {
            expiry: Expiry::At(end),
            ..world.deposit(id, "3")
        })
        .await;
    let long = world.give(id, "10").await;
    world.advance(1);
    let key = world.consume(id, "call", "5").await;
    world.run_to_rest().await;
    world.move_to(end);
    let voided = world.void(&key).await.unwrap();
    assert_eq!((voided.credits, voided.lapsed), (credits("5"), credits("3")));
    assert_eq!(
        (world.left(&short).await.0, world.left(&long).await.0),
        ("0".to_owned(), "10".to_owned())
    );
    // The same for a block that was revoked.
    let key = world.consume(id, "call", "4").await;
    world.advance(1);
    world.run_to_rest().await;
    app::credit::revoke(&world.app, &world.actor, long.block.id, "r")
        .await
        .unwrap();
    let voided = world.void(&key).await.unwrap();
    assert_eq!((voided.credits, voided.lapsed), (credits("4"), credits("4")));
    assert_eq!(world.stands(id).await.0, "0");
}

async fn voids_of_repaid_overdraft_are_not_lost(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let key = world.consume(id, "call", "5").await;
    world.run_to_rest().await;
    world.advance(1);
    world.give(id, "20").await;
    assert_eq!(world.stands(id).await, ("15".to_owned(), "0".to_owned()));
    world.void(&key).await.unwrap();
    assert_eq!(world.stands(id).await, ("20".to_owned(), "0".to_owned()));
}

async fn summaries_add_up(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("token", flat("2")).await;
    let id = world.customer("a").await;
    let mut events = vec![];
    for (metric, instant, amount) in [
        ("call", "2026-02-28T23:59:59.999999Z", "1"),
        ("call", "2026-03-01T00:00:00Z", "2"),
        ("call", "2026-03-01T23:59:59.999999Z", "4"),
        ("call", "2026-03-02T00:00:00Z", "8"),
        ("token", "2026-03-02T00:00:00Z", "100"),
    ] {
        events.push(NewEvent {
            occurred_at: Some(at(instant)),
            ..world.event(id, metric, amount)
        });
    }
    world.accept(events).await;
    let ask = async |from: &str, to: &str, group_by| {
        let bound = |text: &str| (!text.is_empty()).then(|| at(text));
        let request = SummaryRequest {
            from: bound(from),
            to: bound(to),
            group_by,
        };
        let lines = usage::summary(&world.app, &world.actor, id, request)
            .await
            .unwrap()
            .lines;
        let line = |it: usage::SummaryLine| {
            let day = it
                .period_start
                .map_or(String::new(), |day| day.to_string()[5..10].to_owned());
            format!(
                "{} {day} {} {} {}",
                it.metric_key, it.units, it.events, it.credits
            )
        };
        lines.into_iter().map(line).collect::<Vec<_>>()
    };
    assert!(
        ask("", "", GroupBy::Metric).await.is_empty(),
        "only what is debited"
    );
    world.run_to_rest().await;
    let whole = ["call  15 4 15", "token  100 1 2"];
    assert_eq!(ask("", "", GroupBy::Metric).await, whole);
    assert_eq!(ask("1970-01-01", "2027-01-01", GroupBy::Metric).await, whole);
    assert_eq!(
        ask("", "", GroupBy::Day).await,
        [
            "call 02-28 1 1 1",
            "call 03-01 6 2 6",
            "call 03-02 8 1 8",
            "token 03-02 100 1 2"
        ]
    );
    assert_eq!(
        ask("", "", GroupBy::Month).await,
        ["call 02-01 1 1 1", "call 03-01 14 3 14", "token 03-01 100 1 2"]
    );
    // Half-open.
    assert_eq!(
        ask("2026-03-01", "2026-03-02", GroupBy::Metric).await,
        ["call  6 2 6"]
    );
    assert_eq!(
        ask("2026-03-02", "", GroupBy::Day).await,
        ["call 03-02 8 1 8", "token 03-02 100 1 2"]
    );
    assert!(ask("2026-03-01", "2026-03-01", GroupBy::Metric).await.is_empty());
    let request = SummaryRequest {
        from: Some(at("2026-03-02")),
        to: Some(at("2026-03-01")),
        group_by: GroupBy::Metric,
    };
    assert_eq!(
        refusal(usage::summary(&world.app, &world.actor, id, request).await).1,
        "to"
    );
}

/// After a void inside tiers the month still says what the cycle costs.
async fn summaries_say_what_cycles_cost(world: World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let id = world.customer("a").await;
    let first = world.consume(id, "call", "10").await;
    world.consume(id, "call", "10").await;
    world.run_to_rest().await;
    world.void(&first).await.unwrap();
    for group_by in [GroupBy::Metric, GroupBy::Month] {
        let request = SummaryRequest {
            group_by,
            ..SummaryRequest::default()
        };
        let lines = usage::summary(&world.app, &world.actor, id, request)
            .await
            .unwrap()
            .lines;
        assert_eq!(
            (lines.len(), lines[0].credits),
            (1, credits("10")),
            "{group_by:?}"
        );
    }
}

/// Whole days are summed by rows and the days at the edges by events: wherever the edges lie, both agree with a sum by hand.
async fn summaries_cut_through_days(world: World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let id = world.customer("a").await;
    let begun = at("2026-03-05").micros();
    let hour = 3_600_000_000_i64;
    let mut keys = vec![];
    for index in 0..40_i64 {
        let event = NewEvent {
            occurred_at: Some(Timestamp::from_micros(begun + index * 3 * hour)),
            ..world.event(id, "call", "1.5")
        };
        keys.push(event.key.clone());
        world.accept(vec![event]).await;
        if index % 7 == 0 {
            world.run_jobs().await;
        }
    }
    world.run_to_rest().await;
    for key in keys.iter().step_by(9) {
        world.void(key).await.unwrap();
    }
    let page = Page::first(100);
    let events = usage::events(&world.app, &world.actor, id, page)
        .await
        .unwrap()
        .items;
    for (from, to) in [
        (0, 120),
        (1, 119),
        (24, 48),
        (23, 49),
        (25, 26),
        (25, 47),
        (30, 30),
        (24, 25),
        (47, 48),
        (5, 96),
    ] {
        let bounds = [from, to].map(|hours| Timestamp::from_micros(begun + hours * hour));
        let request = SummaryRequest {
            from: Some(bounds[0]),
            to: Some(bounds[1]),
            group_by: GroupBy::Metric,
        };
        let lines = usage::summary(&world.app, &world.actor, id, request)
            .await
            .unwrap()
            .lines;
        let inside: Vec<_> = events
            .iter()
            .filter(|it| {
                it.state == EventState::Rated && bounds[0] <= it.occurred_at && it.occurred_at < bounds[1]
            })
            .collect();
        let found = lines
            .first()
            .map_or((0, 0, 0), |it| (it.units.raw(), it.events, it.credits.raw()));
        let wanted = (
            inside.iter().map(|it| it.units.raw()).sum::<i64>(),
            inside.len() as i64,
            inside
                .iter()
                .map(|it| it.rating.as_ref().unwrap().credits.raw())
                .sum::<i64>(),
        );
        assert_eq!(found, wanted, "{from} to {to}");
    }
}

/// In whatever batch, day and row an event was debited: it is found again, and so are the events behind every ledger entry.
async fn ratings_are_found_again(world: World) {
    world.priced("call", per_unit("1")).await;
    world
        .try_rule("call", &[("model", "large")], per_unit("3"), None)
        .await
        .unwrap();
    let id = world.customer("a").await;
    world.give(id, "1000").await;
    world.advance(1);
    // More than one row holds, of two days and two prices, in several batches.
    for round in 0..3 {
        let events = (0..600).map(|index| NewEvent {
            occurred_at: Some(world.now().plus_seconds(if index % 3 == 0 { -86_400 } else { 0 })),
            properties: (index % 2 == 0).then(|| json!({ "model": "large" })),
            ..world.event(id, "call", &format!("0.{}", 1 + index + round))
        });
        world.accept(events.collect()).await;
        world.run_to_rest().await;
        world.advance(1);
    }
    let mut cursor = None;
    let mut seen = 0;
    loop {
        let page = Page::relay(Some(100), None, cursor, None).unwrap();
        let slice = usage::events(&world.app, &world.actor, id, page).await.unwrap();
        for event in &slice.items {
            let times = if event.properties.is_empty() { 1 } else { 3 };
            let rating = event.rating.as_ref().unwrap();
            assert_eq!(rating.credits.raw(), event.units.raw() * times, "{event:?}");
        }
        seen += slice.items.len();
        cursor = slice.items.last().map(|it| (it.occurred_at, it.id));
        if !slice.has_next {
            break;
        }
    }
    assert_eq!(seen, 1_800);
    let mut explained = 0;
    for line in world.ledger(id).await {
        let entry = app::credit::explain(&world.app, &world.actor, line.id.parse().unwrap());
        let explanation = entry.await.unwrap().unwrap();
        let Some(cause) = explanation.line.usage else {
            continue;
        };
        assert_eq!(explanation.events.len(), 100.min(cause.events as usize));
        assert_eq!(explanation.events[0].id, cause.first_event);
        assert!(explanation.events.is_sorted_by_key(|it| it.id));
        assert!(
            explanation
                .events
                .iter()
                .all(|it| it.rating.as_ref().unwrap().rule == cause.rule)
        );
        explained += 1;
    }
    assert!(explained >= 6, "{explained}");
}

async fn events_come_in_pages(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    // Two at the same instant: the id decides.
    for amount in ["1", "2", "3", "4", "5"] {
        let occurred_at = Some(world.now().plus_seconds(if amount == "3" { -1 } else { 0 }));
        world
            .accept(vec![NewEvent {
                occurred_at,
                ..world.event(id, "call", amount)
            }])
            .await;
        if amount == "2" {
            world.advance(2);
        }
    }
    let all = usage::events(&world.app, &world.actor, id, Page::first(9))
        .await
        .unwrap()
        .items;
    let order: String = all.iter().map(|it| it.units.to_string()).collect();
    assert_eq!(order, "54321");
    for backwards in [false, true] {
        let mut seen = vec![];
        let mut cursor = None;
        loop {
            let page = if backwards {
                Page::relay(None, Some(2), None, cursor)
            } else {
                Page::relay(Some(2), None, cursor, None)
            };
            let slice = usage::events(&world.app, &world.actor, id, page.unwrap())
                .await
                .unwrap();
            let edge = if backwards {
                slice.items.first()
            } else {
                slice.items.last()
            };
            cursor = edge.map(|it| (it.occurred_at, it.id));
            let more = if backwards {
                slice.has_previous
            } else {
                slice.has_next
            };
            seen.extend(slice.items.into_iter().map(|it| it.id));
            if !more {
                break;
            }
        }
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (5, 5), "backwards: {backwards}");
    }
}
