//! Grants, burn order, expiry, revocation, adjustments, and the ledger that tells of them.

use app::{
    catalog,
    credit::{self, Adjust, Adjusted, Expiry, Grant},
    customer::CustomerRef,
    job,
    page::Page,
};
use domain::{
    credit::block::{Billing, Source},
    customer::Settlement,
    id::CustomerId,
    ledger::EntryKind,
    rejection::RejectionCode::{
        BlockNotActive, IdempotencyConflict, InsufficientCredits, InvalidInput, NotFound,
    },
};

use crate::harness::{World, at, credits, p4, per_unit, refusal, units, volume};

on_both!(
    a_grant_happens_once,
    a_grant_is_read_as_it_was_answered,
    grants_are_checked,
    blocks_burn_in_the_order_shown,
    expiry_is_half_open,
    what_was_accepted_before_expiry_is_paid_before_it,
    revocation_takes_what_is_left,
    adjustments_add_and_take,
    settlement_decides_who_repays,
    an_adjustment_repays_usage_that_waits,
    restricted_blocks_pay_for_their_metrics,
    falling_volume_prices_return_credits,
    explanations_name_everything,
    the_ledger_comes_in_pages,
    blocks_come_in_pages,
    changes_at_the_same_moment_all_count,
);

async fn adjust(world: &World, id: CustomerId, amount: &str) -> app::Result<Adjusted> {
    let input = Adjust {
        customer: CustomerRef::Id(id),
        credits: credits(amount),
        description: None,
    };
    let done = credit::adjust(&world.app, &world.actor, input, &world.key()).await?;
    Ok(done.value)
}

async fn a_grant_happens_once(world: World) {
    let id = world.customer("a").await;
    let grant =
        async |amount, key| credit::grant(&world.app, &world.actor, world.deposit(id, amount), key).await;
    let first = grant("10", "k").await.unwrap();
    world.advance(60);
    let again = grant("10", "k").await.unwrap();
    assert_eq!((again.replay, again.value), (true, first.value));
    assert_eq!(
        refusal(grant("11", "k").await),
        (IdempotencyConflict, "idempotencyKey".to_owned())
    );
    let all = (0..10).map(|_| {
        let world = world.clone();
        tokio::spawn(
            async move { credit::grant(&world.app, &world.actor, world.deposit(id, "5"), "k5").await },
        )
    });
    let all: Vec<_> = futures::future::join_all(all)
        .await
        .into_iter()
        .map(|it| it.unwrap().unwrap())
        .collect();
    assert_eq!(all.iter().filter(|it| !it.replay).count(), 1);
    assert_eq!(world.stands(id).await.0, "15");
}

async fn a_grant_is_read_as_it_was_answered(world: World) {
    let id = world.customer("acme").await;
    for description in [None, Some("welcome".to_owned())] {
        let grant = Grant {
            description,
            ..world.deposit(id, "10")
        };
        let answered = world.grant(grant).await;
        let read = credit::block(&world.app, &world.actor, answered.block.id).await;
        assert_eq!(read.unwrap(), Some(answered));
    }
}

async fn grants_are_checked(world: World) {
    let id = world.customer("a").await;
    let now = world.now();
    let good = || world.deposit(id, "1");
    for (grant, code, field) in [
        (world.deposit(id, "0"), InvalidInput, "credits"),
        (world.deposit(id, "-1"), InvalidInput, "credits"),
        (
            Grant {
                expiry: Expiry::At(now),
                ..good()
            },
            InvalidInput,
            "expiresAt",
        ),
        (
            Grant {
                expiry: Expiry::AfterSeconds(0),
                ..good()
            },
            InvalidInput,
            "expiresAfterSeconds",
        ),
        (
            Grant {
                metric_keys: Some(vec![]),
                ..good()
            },
            InvalidInput,
            "metricKeys",
        ),
        (
            Grant {
                metric_keys: Some(vec!["no".to_owned()]),
                ..good()
            },
            NotFound,
            "metricKeys",
        ),
        (
            Grant {
                description: Some("a\nb".to_owned()),
                ..good()
            },
            InvalidInput,
            "description",
        ),
        (
            Grant {
                description: Some("x".repeat(201)),
                ..good()
            },
            InvalidInput,
            "description",
        ),
        (
            Grant {
                customer: CustomerRef::External("no".to_owned()),
                ..good()
            },
            NotFound,
            "externalCustomerId",
        ),
    ] {
        let outcome = credit::grant(&world.app, &world.actor, grant, &world.key()).await;
        assert_eq!(refusal(outcome), (code, field.to_owned()));
    }
    // The sum must fit as well.
    world.give(id, "9223372036854").await;
    let outcome = credit::grant(&world.app, &world.actor, world.deposit(id, "1"), &world.key()).await;
    assert_eq!(
        refusal(outcome).0,
        domain::rejection::RejectionCode::AmountTooLarge
    );
    assert_eq!(world.stands(id).await.0, "9223372036854");
}

/// Higher priority, expiring before never, sooner, free before paid before budget, older.
async fn blocks_burn_in_the_order_shown(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let soon = Expiry::At(world.now().plus_seconds(86_400));
    let late = Expiry::At(world.now().plus_seconds(864_000));
    let mut names = vec![];
    for (name, priority, expiry, billing) in [
        ("7 paid, old", 0, Expiry::Never, Billing::Prepaid),
        ("8 paid, young", 0, Expiry::Never, Billing::Prepaid),
        ("9 budget", 0, Expiry::Never, Billing::Budget),
        ("6 free", 0, Expiry::Never, Billing::Free),
        ("5 late", 0, late, Billing::Free),
        ("4 soon, budget", 0, soon, Billing::Budget),
        ("3 soon, paid", 0, soon, Billing::Prepaid),
        ("2 soon, free", 0, soon, Billing::Free),
        ("1 first of all", 10, Expiry::Never, Billing::Budget),
        ("a last of all", -1, soon, Billing::Free),
    ] {
        let grant = Grant {
            priority: Some(priority),
            expiry,
            billing: Some(billing),
            description: Some(name.to_owned()),
            ..world.deposit(id, "10")
        };
        world.grant(grant).await;
        names.push(name);
        world.advance(1);
    }
    names.sort_unstable();
    let shown = async || {
        let all = credit::blocks(&world.app, &world.actor, id, Page::first(50))
            .await
            .unwrap()
            .items;
        all.into_iter()
            .map(|it| it.description.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, names);
    // One event after the other takes them in that order, across boundaries.
    let mut drawn: Vec<String> = vec![];
    for _ in 0..13 {
        let key = world.consume(id, "call", "8").await;
        world.run_to_rest().await;
        let event = app::usage::event(&world.app, &world.actor, &key)
            .await
            .unwrap()
            .unwrap();
        for draw in event.rating.unwrap().draws.as_slice() {
            let name = match draw.from {
                domain::credit::draws::Purse::Block(block) => {
                    let view = credit::block(&world.app, &world.actor, block).await.unwrap();
                    view.unwrap().description.unwrap()
                }
                purse => purse.to_string(),
            };
            if drawn.last() != Some(&name) {
                drawn.push(name);
            }
        }
        world.advance(1);
    }
    names.push("overdraft");
    assert_eq!(drawn, names);
    assert_eq!(world.stands(id).await, ("-4".to_owned(), "4".to_owned()));
}

async fn expiry_is_half_open(world: World) {
    world.priced("call", per_unit("1")).await;
    let end = at("2026-03-10T13:00:00Z");
    let id = world.customer("a").await;
    let block = world
        .grant(Grant {
            expiry: Expiry::At(end),
            ..world.deposit(id, "10")
        })
        .await;
    world.move_to(end);
    world.advance_micros(-1);
    world.consume(id, "call", "1").await;
    world.advance_micros(1);
    world.consume(id, "call", "1").await;
    world.run_jobs().await;
    assert_eq!(world.left(&block).await.0, "9");
    assert_eq!(world.stands(id).await, ("8".to_owned(), "1".to_owned()));
    // What is left is there until the grace for events on their way has passed, though nothing can be paid with it.
    let take = adjust(&world, id, "-1").await;
    assert_eq!(refusal(take), (InsufficientCredits, "credits".to_owned()));
    world.advance(4);
    job::run(&world.app, World::expire_job()).await;
    assert_eq!(world.left(&block).await.1, "ACTIVE");
    world.advance(1);
    job::run(&world.app, World::expire_job()).await;
    assert_eq!(world.left(&block).await, ("0".to_owned(), "EXPIRED".to_owned()));
    let last = world.ledger(id).await.pop().unwrap();
    assert_eq!(
        (last.kind, last.credits, last.block),
        (EntryKind::Expiry, credits("-9"), Some(block.block.id))
    );
    assert_eq!(world.stands(id).await, ("-1".to_owned(), "1".to_owned()));
    // Seconds after the grant, counted from the grant.
    let short = world
        .grant(Grant {
            expiry: Expiry::AfterSeconds(10),
            ..world.deposit(id, "3")
        })
        .await;
    assert_eq!(short.block.expires_at, Some(world.now().plus_seconds(10)));
    // Repaid overdraft is not given back when the block ends.
    world.advance(20);
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await, ("0".to_owned(), "0".to_owned()));
    assert_eq!(world.left(&short).await, ("0".to_owned(), "EXPIRED".to_owned()));
}

async fn what_was_accepted_before_expiry_is_paid_before_it(world: World) {
    world.priced("call", per_unit("1")).await;
    let end = world.now().plus_seconds(60);
    let id = world.customer("a").await;
    let block = world
        .grant(Grant {
            expiry: Expiry::At(end),
            ..world.deposit(id, "10")
        })
        .await;
    world.move_to(end);
    world.advance_micros(-1);
    // Accepted just before, and no worker for a whole day.
    world.post.loses.store(true, std::sync::atomic::Ordering::SeqCst);
    world.consume(id, "call", "4").await;
    world.advance(86_400);
    world.consume(id, "call", "1").await;
    job::run(&world.app, World::expire_job()).await;
    assert_eq!(world.left(&block).await, ("0".to_owned(), "EXPIRED".to_owned()));
    let kinds: Vec<_> = world
        .ledger(id)
        .await
        .into_iter()
        .map(|it| (it.kind, it.credits.to_string()))
        .collect();
    let wanted = [
        (EntryKind::Grant, "10"),
        (EntryKind::Debit, "-4"),
        (EntryKind::Expiry, "-6"),
    ];
    assert_eq!(kinds, wanted.map(|(kind, amount)| (kind, amount.to_owned())));
    world.post.loses.store(false, std::sync::atomic::Ordering::SeqCst);
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await, ("-1".to_owned(), "1".to_owned()));
}

async fn revocation_takes_what_is_left(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let block = world.give(id, "10").await;
    world.advance(1);
    world.consume(id, "call", "3").await;
    world.advance(1);
    let revoke = async |key: &str| credit::revoke(&world.app, &world.actor, block.block.id, key).await;
    revoke("k").await.unwrap();
    assert_eq!(world.left(&block).await, ("0".to_owned(), "REVOKED".to_owned()));
    let last = world.ledger(id).await.pop().unwrap();
    assert_eq!(
        (last.kind, last.credits),
        (EntryKind::Revocation, credits("-7")),
        "usage before it is paid first"
    );
    assert!(revoke("k").await.unwrap().replay);
    assert_eq!(
        refusal(revoke("k2").await),
        (BlockNotActive, "blockId".to_owned())
    );
    assert_eq!(world.stands(id).await, ("0".to_owned(), "0".to_owned()));
    // An empty block ends without an entry.
    let empty = world.give(id, "1").await;
    world.advance(1);
    world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    let lines = world.ledger(id).await.len();
    credit::revoke(&world.app, &world.actor, empty.block.id, "k3")
        .await
        .unwrap();
    assert_eq!(
        (world.left(&empty).await.1, world.ledger(id).await.len()),
        ("REVOKED".to_owned(), lines)
    );
}

async fn adjustments_add_and_take(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    assert_eq!(
        refusal(adjust(&world, id, "0").await),
        (InvalidInput, "credits".to_owned())
    );
    assert_eq!(refusal(adjust(&world, id, "-1").await).0, InsufficientCredits);
    let added = adjust(&world, id, "5").await.unwrap();
    assert_eq!((added.balance.remaining, added.entries.len()), (credits("5"), 1));
    let soon = Expiry::AfterSeconds(3_600);
    let first = world
        .grant(Grant {
            expiry: soon,
            ..world.deposit(id, "4")
        })
        .await;
    world.advance(1);
    // Taken in burn order, after the usage that waits.
    world.consume(id, "call", "1").await;
    world.advance(1);
    let taken = adjust(&world, id, "-6").await.unwrap();
    let parts: Vec<_> = taken.entries.iter().map(|it| it.credits.to_string()).collect();
    assert_eq!(parts, ["-3", "-3"]);
    assert_eq!(world.left(&first).await.0, "0");
    assert_eq!(taken.balance.remaining, credits("2"));
    // More than there is takes nothing.
    assert_eq!(
        refusal(adjust(&world, id, "-2.000001").await),
        (InsufficientCredits, "credits".to_owned())
    );
    assert_eq!(world.stands(id).await.0, "2");
    adjust(&world, id, "-2").await.unwrap();
    let who = CustomerRef::Id(id);
    let input = Adjust {
        customer: who,
        credits: credits("7"),
        description: Some("sorry".to_owned()),
    };
    for replay in [false, true] {
        let done = credit::adjust(&world.app, &world.actor, input.clone(), "same")
            .await
            .unwrap();
        assert_eq!(
            (done.replay, done.value.entries[0].description.as_str()),
            (replay, "sorry")
        );
    }
    assert_eq!(world.stands(id).await.0, "7");
}

async fn settlement_decides_who_repays(world: World) {
    world.priced("call", per_unit("1")).await;
    for (settlement, billing, overdraft) in [
        (Settlement::NextPurchase, Billing::Prepaid, "0"),
        (Settlement::NextPurchase, Billing::Free, "0"),
        (Settlement::NextPurchase, Billing::Budget, "6"),
        (Settlement::NextInvoice, Billing::Prepaid, "6"),
        (Settlement::Manual, Billing::Prepaid, "6"),
    ] {
        // Whether the worker comes before the grant or after it must not matter.
        for late in [false, true] {
            let name = format!("{settlement:?} {billing:?} {late}");
            let id = world.customer_settling(&name, settlement).await;
            world.consume(id, "call", "6").await;
            world.advance(1);
            if !late {
                world.run_to_rest().await;
                assert_eq!(
                    world.stands(id).await,
                    ("-6".to_owned(), "6".to_owned()),
                    "{name}"
                );
            }
            let block = world
                .grant(Grant {
                    billing: Some(billing),
                    ..world.deposit(id, "10")
                })
                .await;
            world.advance(1);
            world.run_to_rest().await;
            assert_eq!(
                world.stands(id).await,
                ("4".to_owned(), overdraft.to_owned()),
                "{name}"
            );
            let left = if overdraft == "0" { "4" } else { "10" };
            assert_eq!(world.left(&block).await.0, left, "{name}");
            // By hand it can always be put right.
            let done = adjust(&world, id, "10").await.unwrap();
            assert_eq!(
                (done.balance.remaining, done.balance.overdraft),
                (credits("14"), credits("0")),
                "{name}"
            );
            let repaid = world
                .ledger(id)
                .await
                .iter()
                .filter(|it| it.kind == EntryKind::Repayment)
                .count();
            assert_eq!(repaid, 1, "{name}");
        }
    }
}

/// An adjustment repays the overdraft of all usage accepted before it, also of usage that no worker has debited yet.
async fn an_adjustment_repays_usage_that_waits(world: World) {
    world.priced("call", per_unit("1")).await;
    for settlement in [
        Settlement::Manual,
        Settlement::NextInvoice,
        Settlement::NextPurchase,
    ] {
        let id = world
            .customer_settling(&format!("{settlement:?}"), settlement)
            .await;
        world.consume(id, "call", "3").await;
        world.advance(1);
        adjust(&world, id, "10").await.unwrap();
        world.run_to_rest().await;
        assert_eq!(
            world.stands(id).await,
            ("7".to_owned(), "0".to_owned()),
            "{settlement:?}"
        );
    }
}

async fn restricted_blocks_pay_for_their_metrics(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("token", per_unit("1")).await;
    let id = world.customer_settling("a", Settlement::Manual).await;
    let only = Grant {
        metric_keys: Some(vec!["token".to_owned()]),
        priority: Some(9),
        ..world.deposit(id, "10")
    };
    let only = world.grant(only).await;
    let any = world.give(id, "5").await;
    world.advance(1);
    world.consume(id, "call", "7").await;
    world.consume(id, "token", "4").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.left(&only).await.0, world.left(&any).await.0),
        ("6".to_owned(), "0".to_owned())
    );
    assert_eq!(world.stands(id).await, ("4".to_owned(), "2".to_owned()));
    let view = credit::block(&world.app, &world.actor, only.block.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.metric_keys, Some(vec!["token".to_owned()]));
}

async fn falling_volume_prices_return_credits(world: World) {
    world.priced("call", volume(&[("10", "1"), ("", "0.5")])).await;
    let id = world.customer("a").await;
    let first = world.give(id, "6").await;
    world.advance(1);
    let second = world.give(id, "10").await;
    world.advance(1);
    for _ in 0..2 {
        world.consume(id, "call", "5").await;
        world.run_to_rest().await;
    }
    assert_eq!(
        (world.left(&first).await.0, world.left(&second).await.0),
        ("0".to_owned(), "6".to_owned())
    );
    // The eleventh call makes all eleven cost 5.5: 4.5 return, to the block debited last and then to the one before.
    let cheap = world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.left(&first).await.0, world.left(&second).await.0),
        ("0.5".to_owned(), "10".to_owned())
    );
    // Taking it back makes the rest dear again.
    let voided = world.void(&cheap).await.unwrap();
    assert_eq!(voided.credits, credits("-4.5"));
    assert_eq!(world.stands(id).await.0, "6");
}

async fn explanations_name_everything(world: World) {
    world.priced("call", p4()).await;
    let id = world.customer("a").await;
    let block = world.give(id, "12400").await;
    world.advance(1);
    let mut keys = vec![];
    for _ in 0..3 {
        keys.push(world.consume(id, "call", "5000").await);
    }
    world.run_to_rest().await;
    let lines = world.ledger(id).await;
    assert_eq!(lines.len(), 3);
    let explain = async |line: &credit::LedgerLine| {
        let id = line.id.parse().unwrap();
        credit::explain(&world.app, &world.actor, id)
            .await
            .unwrap()
            .unwrap()
    };
    let grant = explain(&lines[0]).await;
    assert_eq!(
        (grant.block.unwrap().block.id, grant.rule, grant.events),
        (block.block.id, None, vec![])
    );
    let rule = catalog::rules(&world.app, &world.actor, None, Page::first(1))
        .await
        .unwrap()
        .items
        .remove(0);
    let debit = explain(&lines[1]).await;
    assert_eq!(
        (debit.line.credits, debit.block.unwrap().block.id),
        (credits("-12400"), block.block.id)
    );
    assert_eq!(debit.rule.as_ref(), Some(&rule));
    assert_eq!(
        debit.events.iter().map(|it| it.key.clone()).collect::<Vec<_>>(),
        keys
    );
    let usage = debit.line.usage.unwrap();
    assert_eq!(
        (usage.from.units, usage.to.units, usage.events),
        (units("0"), units("15000"), 3)
    );
    let over = explain(&lines[2]).await;
    assert_eq!(
        (over.line.credits, over.line.overdraft_change, over.block),
        (credits("-100"), credits("100"), None)
    );
    assert_eq!(over.events.last().unwrap().key, keys[2]);
    world.void(&keys[0]).await.unwrap();
    let void = world.ledger(id).await.remove(3);
    let void = explain(&void).await;
    assert_eq!(
        (void.line.kind, void.events[0].key.as_str()),
        (EntryKind::Void, keys[0].as_str())
    );
    assert_eq!(void.rule, Some(rule));
    let beyond = domain::id::EntryId {
        customer: id,
        sequence: 99,
    };
    assert_eq!(
        credit::explain(&world.app, &world.actor, beyond).await.unwrap(),
        None
    );
}

async fn the_ledger_comes_in_pages(world: World) {
    let id = world.customer("a").await;
    for _ in 0..7 {
        world.give(id, "1").await;
    }
    let page = async |first, last, after, before| {
        let page = Page::relay(first, last, after, before).unwrap();
        let slice = credit::ledger(&world.app, &world.actor, id, page).await.unwrap();
        let numbers: Vec<i64> = slice.items.iter().map(|it| it.sequence).collect();
        (numbers, slice.has_previous, slice.has_next)
    };
    // Newest first.
    for ((first, last, after, before), (numbers, previous, next)) in [
        ((Some(3), None, None, None), (&[7, 6, 5][..], false, true)),
        ((Some(3), None, Some(5), None), (&[4, 3, 2], true, true)),
        ((Some(3), None, Some(2), None), (&[1], true, false)),
        ((None, Some(3), None, None), (&[3, 2, 1], true, false)),
        ((None, Some(3), None, Some(3)), (&[6, 5, 4], true, true)),
        ((None, Some(3), None, Some(6)), (&[7], false, true)),
        ((Some(9), None, Some(6), Some(3)), (&[5, 4], true, false)),
    ] {
        let found = page(first, last, after, before).await;
        assert_eq!(
            found,
            (numbers.to_vec(), previous, next),
            "{first:?} {last:?} {after:?} {before:?}"
        );
    }
    for (first, last) in [
        (Some(0), None),
        (Some(101), None),
        (None, Some(-1)),
        (Some(1), Some(1)),
    ] {
        assert_eq!(
            refusal(Page::<i64>::relay(first, last, None, None)).0,
            InvalidInput
        );
    }
}

async fn blocks_come_in_pages(world: World) {
    let id = world.customer("a").await;
    let mut wanted = vec![];
    for priority in 1..=5 {
        let grant = Grant {
            priority: Some(-priority),
            source: Source::Bonus,
            ..world.deposit(id, "1")
        };
        wanted.push(world.grant(grant).await.block.id);
    }
    let mut found = vec![];
    loop {
        let page = Page::relay(Some(2), None, found.last().copied(), None).unwrap();
        let slice = credit::blocks(&world.app, &world.actor, id, page).await.unwrap();
        found.extend(slice.items.iter().map(|it| it.block.id));
        if !slice.has_next {
            break;
        }
    }
    assert_eq!(found, wanted);
}

/// Grants, debits, adjustments and voids of one customer from two processes at once; the auditor adds up.
async fn changes_at_the_same_moment_all_count(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "100").await;
    world.advance(1);
    let other = world.another().await;
    let tasks = (0..24).map(|index| {
        let world = if index % 2 == 0 {
            world.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            match index % 4 {
                0 => drop(world.give(id, "10").await),
                1 => drop(adjust(&world, id, "1").await.unwrap()),
                2 => {
                    let key = world.consume(id, "call", "2").await;
                    job::run(&world.app, World::drain_job(id)).await;
                    world.void(&key).await.unwrap();
                }
                _ => {
                    world.consume(id, "call", "3").await;
                    job::run(&world.app, World::drain_job(id)).await;
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    world.advance(120);
    world.run_to_rest().await;
    // 100 + 6 × 10 + 6 × 1 − 6 × 3.
    assert_eq!(world.stands(id).await, ("148".to_owned(), "0".to_owned()));
}
