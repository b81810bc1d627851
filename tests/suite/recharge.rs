//! Auto-recharge: charged once when the balance is low, never when it must not be, and every time it is not says why.

use std::collections::HashSet;

use app::{
    credit::{self, Adjust, Expiry, Grant},
    customer::{self, CreateCustomer, CustomerRef},
    job, payment,
    recharge::{self, Evaluation, UpdateRecharge},
    test_clock::{self, AdvanceTestClock, CreateTestClock},
};
use domain::{
    id::{CustomerId, PaymentId},
    money::Money,
    payment::{Payment, Purpose, State as PaymentState, decline::Decline},
    plan::{
        money_price::CreditPrice,
        variant::{Mode, PurchaseLimits},
    },
    recharge::{
        Reason, Recharge, State,
        rule::{Rule, Size},
    },
    rejection::RejectionCode,
    time::Timestamp,
};
use entity::payment as row;
use gateway::payment::sandbox::Card;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;

use crate::harness::{
    World, at, credits,
    paying::{self, card, charges, money, sale, sells, sells_as},
    per_unit,
    plans::{agreement, variant},
    refusal,
};

on_both!(
    a_debit_that_brings_the_balance_down_charges_once,
    a_thousand_debits_at_once_charge_once,
    whoever_crosses_at_the_same_time_is_charged_once_each,
    whatever_lowers_the_balance_decides,
    every_reason_not_to_charge_is_said,
    what_held_it_back_is_looked_at_again,
    every_card_ends_as_it_is_named,
    a_card_that_declines_is_tried_four_times,
    nothing_is_charged_beyond_the_cap,
    the_switch_stops_what_was_not_sent,
    the_switch_stops_what_a_provider_never_heard_of,
    switching_off_keeps_what_is_under_way,
    a_rule_that_cannot_be_is_refused,
    a_rule_serves_a_plan_that_sells,
    what_comes_and_what_would_have_been,
    a_test_clock_drives_it,
    strangers_see_nothing,
);

/// $20 at 10 credits of a dollar each, $100 a month.
fn rule() -> Rule {
    Rule {
        threshold: credits("10"),
        size: Size::Fixed(money("20 USD")),
        monthly_cap: money("100 USD"),
    }
}

async fn try_agree(world: &World, customer: CustomerId, rule: Option<Rule>) -> app::Result<Recharge> {
    let input = UpdateRecharge {
        customer: CustomerRef::Id(customer),
        rule,
    };
    recharge::update(&world.app, &world.actor, input).await
}

async fn agree(world: &World, customer: CustomerId, rule: Rule) -> Recharge {
    try_agree(world, customer, Some(rule)).await.unwrap()
}

async fn read(world: &World, customer: CustomerId) -> Recharge {
    let found = recharge::recharge(&world.app, &world.actor, customer).await;
    found.unwrap().unwrap()
}

async fn stands(world: &World, customer: CustomerId) -> (State, Option<Reason>) {
    let it = read(world, customer).await;
    (it.state, it.reason)
}

async fn evaluations(world: &World, customer: CustomerId) -> Vec<Evaluation> {
    let found = recharge::evaluations(&world.app, &world.actor, customer, 100).await;
    found.unwrap()
}

/// What it came to, oldest first, and how often.
async fn reasons(world: &World, customer: CustomerId) -> Vec<(Option<Reason>, i32)> {
    let all = evaluations(world, customer).await;
    all.iter().rev().map(|it| (it.reason, it.times)).collect()
}

/// What was told about recharges, oldest first.
async fn told(world: &World, customer: CustomerId) -> Vec<String> {
    let events = paying::events(world, customer).await.into_iter();
    events
        .filter_map(|event| {
            let kind = event.kind.as_str().strip_prefix("auto_recharge.")?;
            let what = event.data.get("percent").unwrap_or(&event.data["reason"]);
            Some(format!("{kind} {what}").replace('"', ""))
        })
        .collect()
}

async fn payments(world: &World, customer: CustomerId) -> Vec<Payment> {
    let page = app::page::Page::first(100);
    let found = payment::payments(&world.app, &world.actor, customer, page).await;
    found.unwrap().items.into_iter().rev().collect()
}

/// Somebody with a card and 12 credits, of a vendor that sells, who uses calls of a credit each.
async fn owner(world: &World, name: &str, kind: Card) -> CustomerId {
    let customer = world.customer(name).await;
    card(world, customer, kind).await;
    world.give(customer, "12").await;
    customer
}

async fn ready(world: &World) {
    sells(world).await;
    world.priced("call", per_unit("1")).await;
}

/// Uses calls, and has them debited; charges that were decided are left to the workers.
async fn spend(world: &World, customer: CustomerId, units: &str) {
    world.accept(vec![world.event(customer, "call", units)]).await;
    world.post.clear();
    job::run(&world.app, World::drain_job(customer)).await;
}

async fn freeze(world: &World, customer: CustomerId, at: &str) {
    let customer = world.literal(customer.0);
    let sql = format!("UPDATE account SET frozen_at = {at} WHERE customer_id = {customer}");
    world.sabotage(&sql).await;
}

async fn rest(world: &World) {
    world.run_to_rest().await;
}

async fn a_debit_that_brings_the_balance_down_charges_once(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::Success).await;
    assert_eq!(agree(&world, customer, rule()).await.state, State::Watching);
    spend(&world, customer, "1").await;
    assert_eq!(payments(&world, customer).await, []);
    spend(&world, customer, "4").await;
    // Decided with the debit, before anybody was asked.
    let decided = payments(&world, customer).await;
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].purpose, Purpose::Recharge);
    assert_eq!(decided[0].progress.state, PaymentState::Created);
    assert_eq!(
        (decided[0].amount, decided[0].credits),
        (money("20 USD"), credits("20"))
    );
    assert_eq!(stands(&world, customer).await, (State::Charging, None));
    // Nobody decides a second one meanwhile.
    spend(&world, customer, "30").await;
    assert_eq!(payments(&world, customer).await.len(), 1);
    rest(&world).await;
    // −23 + 20: it is looked at again when it has rested, and then brought above the threshold in one charge.
    assert_eq!(
        stands(&world, customer).await,
        (State::Waiting, Some(Reason::JustCharged))
    );
    assert_eq!(world.stands(customer).await, ("-3".to_owned(), "3".to_owned()));
    world.advance(61);
    rest(&world).await;
    assert_eq!(world.stands(customer).await.0, "17");
    assert_eq!(charges(&world).await, 2);
    let shown = evaluations(&world, customer).await;
    let balances: Vec<_> = shown.iter().map(|it| it.balance.to_string()).collect();
    assert_eq!(balances, ["-3", "7"]);
    assert!(shown.iter().all(|it| it.reason.is_none() && it.payment.is_some()));
    world.advance(61);
    rest(&world).await;
    assert_eq!(stands(&world, customer).await, (State::Watching, None));
    assert_eq!(told(&world, customer).await, Vec::<String>::new());
}

/// Ten processes debit the same customer at once, in many small batches.
async fn a_thousand_debits_at_once_charge_once(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::Success).await;
    agree(&world, customer, rule()).await;
    let mut working = Vec::new();
    for _ in 0..10 {
        let worker = world.another().await;
        working.push(tokio::spawn(async move {
            for _ in 0..20 {
                let some = (0..5).map(|_| worker.event(customer, "call", "0.01"));
                worker.accept(some.collect()).await;
                job::run(&worker.app, World::drain_job(customer)).await;
            }
        }));
    }
    for worker in working {
        worker.await.unwrap();
    }
    // 12 − 10 is below 10 since the two hundredth of a thousand.
    world.post.clear();
    job::run(&world.app, World::drain_job(customer)).await;
    assert_eq!(world.stands(customer).await.0, "2");
    assert_eq!(payments(&world, customer).await.len(), 1);
    world.advance(1);
    rest(&world).await;
    assert_eq!(
        (charges(&world).await, world.stands(customer).await.0),
        (1, "22".to_owned())
    );
}

/// A hundred customers with ten debits each, drained by four processes that get every wake-up; the payments are collected by all of
/// them, too.
async fn whoever_crosses_at_the_same_time_is_charged_once_each(world: World) {
    const CUSTOMERS: usize = 100;
    ready(&world).await;
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        let customer = owner(&world, &format!("customer-{number}"), Card::Success).await;
        agree(&world, customer, rule()).await;
        customers.push(customer);
    }
    for _ in 0..10 {
        let events = customers.iter().map(|id| world.event(*id, "call", "0.5"));
        world.accept(events.collect()).await;
    }
    let jobs: HashSet<String> = customers
        .iter()
        .map(|id| World::drain_job(*id).to_string())
        .collect();
    let mut working = Vec::new();
    for turn in 0..4_usize {
        let worker = world.another().await;
        let mut jobs: Vec<_> = jobs.iter().cloned().collect();
        let most = jobs.len();
        jobs.rotate_left(turn * most / 4);
        let mine = customers.clone();
        working.push(tokio::spawn(async move {
            for job in jobs {
                job::run(&worker.app, serde_json::from_str(&job).unwrap()).await;
            }
            for customer in mine {
                let job = json!({ "kind": "payment.collect", "args": customer.to_string() });
                job::run(&worker.app, job).await;
            }
        }));
    }
    for worker in working {
        worker.await.unwrap();
    }
    rest(&world).await;
    let all = row::Entity::find().filter(row::Column::Purpose.eq("RECHARGE"));
    assert_eq!(
        all.count(world.app.db().reader()).await.unwrap(),
        CUSTOMERS as u64
    );
    assert_eq!(charges(&world).await, CUSTOMERS as u64);
    for customer in customers {
        assert_eq!(world.stands(customer).await.0, "27");
    }
}

async fn whatever_lowers_the_balance_decides(world: World) {
    ready(&world).await;
    let made = |name: &'static str| owner(&world, name, Card::Success);
    // Low already when the rule is agreed to.
    let low = made("low").await;
    let at_once = Rule {
        threshold: credits("12"),
        ..rule()
    };
    assert_eq!(agree(&world, low, at_once).await.state, State::Charging);
    // A block that ends.
    let ending = made("ending").await;
    world
        .grant(Grant {
            expiry: Expiry::AfterSeconds(100),
            ..world.deposit(ending, "5")
        })
        .await;
    let before = world.give(ending, "1").await;
    // A correction, and a block that is taken back.
    let corrected = made("corrected").await;
    let revoked = made("revoked").await;
    let block = world.give(revoked, "8").await;
    for (customer, threshold) in [(ending, "13"), (corrected, "10"), (revoked, "12")] {
        let rule = Rule {
            threshold: credits(threshold),
            ..rule()
        };
        assert_eq!(agree(&world, customer, rule).await.state, State::Watching);
    }
    let less = Adjust {
        customer: CustomerRef::Id(corrected),
        credits: credits("-2"),
        description: None,
    };
    credit::adjust(&world.app, &world.actor, less, &world.key())
        .await
        .unwrap();
    credit::revoke(&world.app, &world.actor, block.block.id, &world.key())
        .await
        .unwrap();
    world.advance(110);
    rest(&world).await;
    for (customer, stands) in [(low, "32"), (ending, "33"), (corrected, "30"), (revoked, "32")] {
        assert_eq!(world.stands(customer).await.0, stands);
    }
    assert_eq!(world.left(&before).await.0, "1");
    assert_eq!(charges(&world).await, 4);
}

async fn every_reason_not_to_charge_is_said(world: World) {
    world.priced("call", per_unit("1")).await;
    sells(&world).await;
    let without = world.customer("without").await;
    let dear = owner(&world, "dear", Card::Success).await;
    let stopped = owner(&world, "stopped", Card::Success).await;
    let frozen = owner(&world, "frozen", Card::Success).await;
    let capped = owner(&world, "capped", Card::Success).await;
    world.give(without, "12").await;
    for customer in [without, dear, stopped, frozen] {
        agree(&world, customer, rule()).await;
    }
    let small = Rule {
        monthly_cap: money("39 USD"),
        ..rule()
    };
    agree(&world, capped, small).await;

    spend(&world, without, "5").await;
    assert_eq!(
        stands(&world, without).await,
        (State::Waiting, Some(Reason::NoPaymentMethod))
    );
    spend(&world, capped, "5").await;
    rest(&world).await;
    world.advance(61);
    spend(&world, capped, "20").await;
    rest(&world).await;
    assert_eq!(
        stands(&world, capped).await,
        (State::Waiting, Some(Reason::CapReached))
    );
    let next = read(&world, capped).await.next_at.unwrap();
    assert_eq!(next, world.now().month().end);

    recharge::stop_all(&world.app, &world.actor, true).await.unwrap();
    spend(&world, stopped, "5").await;
    assert_eq!(
        stands(&world, stopped).await,
        (State::Waiting, Some(Reason::Stopped))
    );
    recharge::stop_all(&world.app, &world.actor, false).await.unwrap();

    sells_as(&world, sale("1 USD", "30 USD", "5000 USD")).await;
    spend(&world, dear, "5").await;
    assert_eq!(
        stands(&world, dear).await,
        (State::Waiting, Some(Reason::NotSold))
    );
    sells(&world).await;

    freeze(&world, frozen, "1").await;
    spend(&world, frozen, "5").await;
    assert_eq!(
        stands(&world, frozen).await,
        (State::Waiting, Some(Reason::Frozen))
    );
    freeze(&world, frozen, "NULL").await;

    for (customer, said) in [
        (without, "held no_payment_method"),
        (dear, "held not_sold"),
        (stopped, "held stopped"),
        (frozen, "held frozen"),
    ] {
        assert_eq!(told(&world, customer).await, [said]);
        let seen = evaluations(&world, customer).await;
        assert_eq!((seen.len(), seen[0].times, seen[0].payment), (1, 1, None));
        assert_eq!(
            (seen[0].balance, seen[0].threshold),
            (credits("7"), credits("10"))
        );
    }
    assert_eq!(charges(&world).await, 1);
}

async fn what_held_it_back_is_looked_at_again(world: World) {
    ready(&world).await;
    let customer = world.customer("acme").await;
    world.give(customer, "12").await;
    agree(&world, customer, rule()).await;
    spend(&world, customer, "5").await;
    // Hour after hour nothing has changed, which is one line.
    for _ in 0..3 {
        world.advance(3_601);
        rest(&world).await;
    }
    assert_eq!(
        reasons(&world, customer).await,
        [(Some(Reason::NoPaymentMethod), 4)]
    );
    assert_eq!(told(&world, customer).await, ["held no_payment_method"]);
    // The first card is the default, and is used at once.
    card(&world, customer, Card::Success).await;
    world.run_jobs().await;
    assert_eq!(world.stands(customer).await.0, "27");
    assert_eq!(
        reasons(&world, customer).await,
        [(Some(Reason::NoPaymentMethod), 4), (None, 1)]
    );
    // Who has credits again when it is looked at is watched again.
    let other = world.customer("other").await;
    world.give(other, "12").await;
    agree(&world, other, rule()).await;
    spend(&world, other, "5").await;
    world.give(other, "100").await;
    world.advance(3_601);
    rest(&world).await;
    assert_eq!(stands(&world, other).await, (State::Watching, None));
    spend(&world, other, "98").await;
    assert_eq!(reasons(&world, other).await.len(), 2);
}

async fn every_card_ends_as_it_is_named(world: World) {
    ready(&world).await;
    for (kind, stands_at, money_taken) in [
        (Card::Success, (State::Watching, None), 1),
        (Card::Slow, (State::Watching, None), 1),
        (Card::TimeoutCharged, (State::Watching, None), 1),
        (Card::TimeoutNotCharged, (State::Watching, None), 1),
        (Card::LateSuccess, (State::Watching, None), 1),
        (Card::Expired, (State::Disabled, Some(Reason::MethodRefused)), 0),
        (Card::Stolen, (State::Disabled, Some(Reason::MethodRefused)), 0),
        (Card::Gone, (State::Disabled, Some(Reason::MethodRefused)), 0),
        (
            Card::AuthenticationRequired,
            (State::Disabled, Some(Reason::NotConfirmed)),
            0,
        ),
        (Card::WrongAmount, (State::Disabled, Some(Reason::Quarantined)), 0),
    ] {
        let customer = owner(&world, &format!("{kind:?}"), kind).await;
        agree(&world, customer, rule()).await;
        spend(&world, customer, "5").await;
        rest(&world).await;
        if kind == Card::AuthenticationRequired {
            let paused = (State::Paused, Some(Reason::AuthenticationRequired));
            assert_eq!(stands(&world, customer).await, paused);
        }
        for _ in 0..6 {
            world.advance(21_700);
            rest(&world).await;
        }
        assert_eq!(stands(&world, customer).await, stands_at, "{kind:?}");
        let granted = world
            .ledger(customer)
            .await
            .iter()
            .filter(|line| line.description.starts_with("Payment"))
            .count();
        assert_eq!(granted, money_taken, "{kind:?}");
        assert_eq!(payments(&world, customer).await.len(), 1, "{kind:?}");
        if stands_at.0 == State::Disabled {
            let said = told(&world, customer).await;
            let disabled = said.iter().filter(|it| it.starts_with("disabled")).count();
            assert_eq!(disabled, 1, "{kind:?}: {said:?}");
            // Nothing wakes it but somebody.
            spend(&world, customer, "1").await;
            assert_eq!(payments(&world, customer).await.len(), 1);
            card(&world, customer, Card::Success).await;
            agree(&world, customer, rule()).await;
            assert_eq!(payments(&world, customer).await.len(), 2, "{kind:?}");
            rest(&world).await;
        }
    }
}

async fn a_card_that_declines_is_tried_four_times(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::InsufficientFunds).await;
    agree(&world, customer, rule()).await;
    let begun = world.now();
    spend(&world, customer, "5").await;
    rest(&world).await;
    // Usage goes on, every half hour for six days.
    for _ in 0..288 {
        world.advance(1_800);
        spend(&world, customer, "0.01").await;
        rest(&world).await;
    }
    let all = payments(&world, customer).await;
    let hours: Vec<i64> = all
        .iter()
        .map(|it| it.created_at.seconds_since(begun) / 3_600)
        .collect();
    assert_eq!(hours, [0, 1, 25, 97]);
    assert!(
        all.iter()
            .all(|it| it.progress.decline == Some(Decline::InsufficientFunds))
    );
    let keys: HashSet<PaymentId> = all.iter().map(|it| it.id).collect();
    assert_eq!(keys.len(), 4);
    assert_eq!(
        stands(&world, customer).await,
        (State::Disabled, Some(Reason::RetriesFailed))
    );
    assert_eq!(read(&world, customer).await.spent.in_month, 0);
    assert_eq!(
        told(&world, customer).await,
        [
            "held declined",
            "held declined",
            "held declined",
            "disabled retries_failed"
        ]
    );
}

async fn nothing_is_charged_beyond_the_cap(world: World) {
    ready(&world).await;
    world.move_to(at("2026-12-01T00:00:00Z"));
    let customer = owner(&world, "acme", Card::Success).await;
    agree(&world, customer, rule()).await;
    for _ in 0..12 {
        spend(&world, customer, "25").await;
        world.advance(86_400);
        rest(&world).await;
    }
    // $40, and three times $20.
    assert_eq!(charges(&world).await, 4);
    assert_eq!(read(&world, customer).await.spent.in_month, 10_000);
    assert_eq!(
        stands(&world, customer).await,
        (State::Waiting, Some(Reason::CapReached))
    );
    assert_eq!(
        told(&world, customer).await,
        ["cap_used 80", "cap_used 100", "held cap_reached"]
    );
    world.move_to(at("2027-01-01T00:00:01Z"));
    rest(&world).await;
    // −200-odd credits: as much as the cap allows in one charge.
    assert_eq!(charges(&world).await, 5);
    assert_eq!(payments(&world, customer).await[4].amount, money("100 USD"));
    // Five a day at most, whatever the cap.
    let busy = owner(&world, "busy", Card::Success).await;
    agree(
        &world,
        busy,
        Rule {
            monthly_cap: money("5000 USD"),
            ..rule()
        },
    )
    .await;
    for _ in 0..8 {
        spend(&world, busy, "20").await;
        rest(&world).await;
        world.advance(61);
        rest(&world).await;
    }
    assert_eq!(payments(&world, busy).await.len(), 5);
    assert_eq!(
        stands(&world, busy).await,
        (State::Waiting, Some(Reason::DailyLimit))
    );
}

async fn the_switch_stops_what_was_not_sent(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::Success).await;
    agree(&world, customer, rule()).await;
    spend(&world, customer, "5").await;
    let stopped = recharge::stop_all(&world.app, &world.actor, true).await.unwrap();
    assert_eq!(stopped.recharge_stopped_at, Some(world.now()));
    // Other settings leave it as it is.
    sells(&world).await;
    rest(&world).await;
    let withdrawn = &payments(&world, customer).await[0];
    assert_eq!(withdrawn.progress.decline, Some(Decline::Withdrawn));
    assert_eq!(
        (charges(&world).await, read(&world, customer).await.failures),
        (0, 0)
    );
    assert_eq!(
        stands(&world, customer).await,
        (State::Waiting, Some(Reason::Stopped))
    );
    // A purchase is nobody's rule.
    let bought = payment::purchase(
        &world.app,
        &world.actor,
        crate::harness::paying::wish(customer, "5 USD"),
        &world.key(),
    )
    .await;
    bought.unwrap();
    rest(&world).await;
    assert_eq!(world.stands(customer).await.0, "12");
    spend(&world, customer, "5").await;
    recharge::stop_all(&world.app, &world.actor, false).await.unwrap();
    rest(&world).await;
    assert_eq!(
        (charges(&world).await, world.stands(customer).await.0),
        (2, "27".to_owned())
    );
}

/// Sent, nobody answers, and nothing was charged: asked about, it is not sent again.
async fn the_switch_stops_what_a_provider_never_heard_of(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::TimeoutNotCharged).await;
    agree(&world, customer, rule()).await;
    spend(&world, customer, "5").await;
    world.run_jobs().await;
    assert_eq!(
        payments(&world, customer).await[0].progress.state,
        PaymentState::Unknown
    );
    recharge::stop_all(&world.app, &world.actor, true).await.unwrap();
    for _ in 0..4 {
        world.advance(3_601);
        rest(&world).await;
    }
    let withdrawn = payments(&world, customer).await;
    assert_eq!(
        (withdrawn.len(), withdrawn[0].progress.decline),
        (1, Some(Decline::Withdrawn))
    );
    assert_eq!(world.stands(customer).await.0, "7");
    // The charge, and then every look that found everything stopped.
    let seen = reasons(&world, customer).await;
    assert_eq!((seen[0], seen.len()), ((None, 1), 2), "{seen:?}");
    assert_eq!(seen[1].0, Some(Reason::Stopped));
}

async fn switching_off_keeps_what_is_under_way(world: World) {
    ready(&world).await;
    let none = world.customer("none").await;
    assert_eq!(
        refusal(try_agree(&world, none, None).await).0,
        RejectionCode::NotFound
    );
    let customer = owner(&world, "acme", Card::Success).await;
    agree(&world, customer, rule()).await;
    spend(&world, customer, "5").await;
    assert_eq!(try_agree(&world, customer, None).await.unwrap().state, State::Off);
    // On again with another rule: the charge that is under way stays the only one.
    let bigger = Rule {
        size: Size::Fixed(money("50 USD")),
        ..rule()
    };
    assert_eq!(agree(&world, customer, bigger).await.state, State::Charging);
    assert_eq!(try_agree(&world, customer, None).await.unwrap().state, State::Off);
    rest(&world).await;
    assert_eq!(
        (charges(&world).await, world.stands(customer).await.0),
        (1, "27".to_owned())
    );
    spend(&world, customer, "27").await;
    rest(&world).await;
    assert_eq!(
        (charges(&world).await, stands(&world, customer).await.0),
        (1, State::Off)
    );
}

async fn a_rule_that_cannot_be_is_refused(world: World) {
    let customer = world.customer("acme").await;
    let no = try_agree(&world, customer, Some(rule())).await;
    assert_eq!(refusal(no).0, RejectionCode::PaymentsNotSetUp);
    sells(&world).await;
    let fixed = |text| Size::Fixed(money(text));
    for (rule, field) in [
        (
            Rule {
                threshold: credits("-1"),
                ..rule()
            },
            "rule.threshold",
        ),
        (
            Rule {
                size: fixed("4.99 USD"),
                ..rule()
            },
            "rule.amount.fixed",
        ),
        (
            Rule {
                size: fixed("5001 USD"),
                monthly_cap: money("9000 USD"),
                ..rule()
            },
            "rule.amount.fixed",
        ),
        (
            Rule {
                size: fixed("20 EUR"),
                monthly_cap: money("100 EUR"),
                ..rule()
            },
            "rule.amount.fixed.currency",
        ),
        (
            Rule {
                size: Size::Target(credits("10")),
                ..rule()
            },
            "rule.amount.target",
        ),
        (
            Rule {
                size: Size::Target(credits("20")),
                monthly_cap: money("100 EUR"),
                ..rule()
            },
            "rule.monthlyCap.currency",
        ),
        (
            Rule {
                size: Size::Target(credits("20")),
                monthly_cap: money("4 USD"),
                ..rule()
            },
            "rule.monthlyCap.amount",
        ),
        (
            Rule {
                monthly_cap: Money {
                    minor: 0,
                    ..money("1 USD")
                },
                ..rule()
            },
            "rule.monthlyCap.amount",
        ),
    ] {
        let no = refusal(try_agree(&world, customer, Some(rule)).await);
        assert_eq!(no, (RejectionCode::InvalidInput, field.to_owned()));
    }
    let known = recharge::recharge(&world.app, &world.actor, customer).await;
    assert_eq!(known.unwrap(), None);
    freeze(&world, customer, "1").await;
    let no = try_agree(&world, customer, Some(rule())).await;
    assert_eq!(refusal(no).0, RejectionCode::CustomerFrozen);
    freeze(&world, customer, "NULL").await;
}

async fn a_rule_serves_a_plan_that_sells(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::Success).await;
    // Half a dollar a credit, from $10; nothing with the free plan.
    let free = world.sells(variant(Mode::Postpaid), Vec::new()).await;
    world.try_subscribe(agreement(customer, free)).await.unwrap();
    let no = refusal(try_agree(&world, customer, Some(rule())).await);
    assert_eq!(no, (RejectionCode::InvalidInput, "rule".to_owned()));
    let mut pro = variant(Mode::Postpaid);
    pro.purchase = Some(PurchaseLimits {
        minimum: Some(money("10 USD")),
        maximum: Some(money("30 USD")),
    });
    pro.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "0.5".parse().unwrap(),
    });
    let pro = world.sells(pro, Vec::new()).await;
    world.try_subscribe(agreement(customer, pro)).await.unwrap();
    let target = Rule {
        size: Size::Target(credits("20")),
        ..rule()
    };
    agree(&world, customer, target).await;
    spend(&world, customer, "2").await;
    let decided = &payments(&world, customer).await[0];
    // Ten credits are missing, which is $5, and $10 is the least.
    assert_eq!(
        (decided.amount, decided.credits),
        (money("10 USD"), credits("20"))
    );
    rest(&world).await;
    world.advance(61);
    rest(&world).await;
    spend(&world, customer, "130").await;
    let decided = &payments(&world, customer).await[1];
    assert_eq!(
        (decided.amount, decided.credits),
        (money("30 USD"), credits("60"))
    );
    rest(&world).await;
}

async fn what_comes_and_what_would_have_been(world: World) {
    ready(&world).await;
    world.move_to(at("2026-12-01T00:30:00Z"));
    let customer = owner(&world, "acme", Card::Success).await;
    let ahead = || recharge::forecast(&world.app, &world.actor, customer);
    let before = ahead().await.unwrap();
    assert_eq!(
        (before.empty_at, before.charge_at, before.charge),
        (None, None, None)
    );
    agree(&world, customer, rule()).await;
    // A credit and a half a day for a week, of which one charge is made on the second day.
    for _ in 0..14 {
        world.advance(43_200);
        spend(&world, customer, "0.75").await;
        rest(&world).await;
    }
    world.advance(61);
    rest(&world).await;
    assert_eq!(world.stands(customer).await.0, "21.5");
    let seen = ahead().await.unwrap();
    assert_eq!(seen.per_day, credits("1.5"));
    // 21.5 ÷ 1.5 days and 11.5 ÷ 1.5 days.
    let after = |seconds: i64| Some(world.now().plus_seconds(seconds));
    assert_eq!(
        (seen.empty_at, seen.charge_at),
        (after(1_238_400), after(662_400))
    );
    assert_eq!(seen.charge, Some(money("20 USD")));

    let would = |rule| recharge::dry_run(&world.app, &world.actor, customer, rule);
    let same = would(rule()).await.unwrap();
    assert_eq!(same.charges.len(), 1);
    assert_eq!(
        same.charges[0].at.micros() / 3_600_000_000,
        at("2026-12-02T12:30:00Z").micros() / 3_600_000_000
    );
    assert_eq!(
        (same.charges[0].balance, same.total),
        (credits("9.75"), money("20 USD"))
    );
    assert_eq!((same.closing, same.lowest), (credits("21.5"), credits("0")));
    let never = would(Rule {
        threshold: credits("1"),
        ..rule()
    })
    .await
    .unwrap();
    assert_eq!((never.charges.len(), never.closing), (0, credits("1.5")));
    let capped = Rule {
        size: Size::Fixed(money("5 USD")),
        monthly_cap: money("5 USD"),
        threshold: credits("11"),
    };
    let capped = would(capped).await.unwrap();
    assert_eq!((capped.charges.len(), capped.total), (1, money("5 USD")));
    assert_eq!(capped.holds[0].1, Reason::CapReached);
    let no = refusal(
        would(Rule {
            threshold: credits("-1"),
            ..rule()
        })
        .await,
    );
    assert_eq!(no, (RejectionCode::InvalidInput, "rule.threshold".to_owned()));
    assert_eq!(charges(&world).await, 1, "nothing was charged by looking");
}

async fn a_test_clock_drives_it(world: World) {
    ready(&world).await;
    let (app, actor) = (&world.app, &world.actor);
    let clock = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(at("2026-01-15T00:00:00Z")),
    };
    let clock = test_clock::create(app, actor, clock, &world.key())
        .await
        .unwrap()
        .value
        .id;
    let on_clock = async |name: &str, kind| {
        let input = CreateCustomer {
            external_id: name.to_owned(),
            clock: Some(clock),
            ..CreateCustomer::default()
        };
        let customer = customer::create(app, actor, input, &world.key())
            .await
            .unwrap()
            .value
            .id;
        card(&world, customer, kind).await;
        world.give(customer, "12").await;
        customer
    };
    let advance = async |to: &str| {
        let input = AdvanceTestClock { clock, to: at(to) };
        test_clock::send(app, actor, input, &world.key()).await.unwrap();
        world.catch_up().await;
    };
    let declined = on_clock("declined", Card::InsufficientFunds).await;
    agree(&world, declined, rule()).await;
    let capped = on_clock("capped", Card::Success).await;
    agree(
        &world,
        capped,
        Rule {
            monthly_cap: money("30 USD"),
            ..rule()
        },
    )
    .await;
    spend(&world, declined, "5").await;
    spend(&world, capped, "30").await;
    let begun = world.now();
    advance("2026-01-21T00:00:00Z").await;
    assert_eq!(payments(&world, declined).await.len(), 4);
    assert_eq!(
        stands(&world, declined).await,
        (State::Disabled, Some(Reason::RetriesFailed))
    );
    // One of 20 is within the cap of January, and 28 more are missing.
    assert_eq!(
        stands(&world, capped).await,
        (State::Waiting, Some(Reason::CapReached))
    );
    let next: Option<Timestamp> = read(&world, capped).await.next_at;
    assert_eq!(next, Some(at("2026-02-01T00:00:00Z")));
    advance("2026-02-01T00:00:00Z").await;
    assert_eq!(payments(&world, capped).await.len(), 2);
    let seen: Vec<Timestamp> = evaluations(&world, capped)
        .await
        .iter()
        .map(|it| it.first_at)
        .collect();
    assert_eq!(seen[0], at("2026-02-01T00:00:00Z"));
    assert!(
        world.now().seconds_since(begun) < 3_600,
        "the clock on the wall has hardly moved"
    );
}

async fn strangers_see_nothing(world: World) {
    ready(&world).await;
    let customer = owner(&world, "acme", Card::Success).await;
    agree(&world, customer, rule()).await;
    spend(&world, customer, "5").await;
    let stranger = world.stranger().await;
    let (app, actor) = (&stranger.app, &stranger.actor);
    assert_eq!(recharge::recharge(app, actor, customer).await.unwrap(), None);
    assert_eq!(recharge::evaluations(app, actor, customer, 10).await.unwrap(), []);
    let unknown = (RejectionCode::NotFound, "customerId".to_owned());
    assert_eq!(refusal(recharge::forecast(app, actor, customer).await), unknown);
    assert_eq!(
        refusal(recharge::dry_run(app, actor, customer, rule()).await),
        unknown
    );
    let no = refusal(try_agree(&stranger, customer, None).await);
    assert_eq!(no, (RejectionCode::NotFound, "customerId".to_owned()));
    let no = refusal(recharge::stop_all(app, actor, true).await);
    assert_eq!(no.0, RejectionCode::PaymentsNotSetUp);
    sells(&stranger).await;
    recharge::stop_all(app, actor, true).await.unwrap();
    rest(&world).await;
    assert_eq!(charges(&world).await, 1, "another vendor's switch");
}
