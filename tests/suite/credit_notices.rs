//! What customers are told about their credits: that few are left, once as they come down and once a day; that some will be gone, once at each
//! stage.

use app::{
    credit::{self, Adjust, BlockView, Expiry, Grant},
    customer::CustomerRef,
    event::BillingEvent,
    job,
    notify::UpdateCustomerMail,
    subscription::{CreateSubscription, Wish},
};
use domain::{
    id::CustomerId,
    plan::{template::Expiry as Lasts, variant::Mode},
    rejection::RejectionCode,
};
use entity::block;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::{
    harness::{
        World, at, credits,
        letters::{named, outbox, told_at, wishes, writes},
        paying::events,
        per_unit,
        plans::{agreement, template, variant},
        receiver::Receiver,
        refusal,
    },
    test_clock::{advance, clock, customer_on},
};

on_both!(
    a_balance_that_comes_down_is_told_once_and_again_when_it_was_up,
    whatever_lowers_a_balance_tells,
    a_threshold_above_the_balance_is_told_at_once,
    many_debits_at_once_tell_once,
    the_day_is_that_of_the_customer,
    each_stage_is_told_once_whoever_looks,
    blocks_of_a_day_are_told_of_together,
    what_ends_with_a_cycle_is_not_told,
    a_test_clock_tells_in_order,
    nobody_is_written_to_about_what_is_muted,
    blocks_from_before_have_their_stages_ahead,
);

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A customer of a vendor that writes, with twenty credits and told at ten.
async fn told(world: &World, name: &str) -> (CustomerId, BlockView) {
    let customer = world.customer(name).await;
    let block = world.give(customer, "20").await;
    asks(world, customer, name).await;
    (customer, block)
}

/// Has a customer written to, and told at ten credits.
async fn asks(world: &World, customer: CustomerId, name: &str) {
    writes(world).await;
    named(world, customer, name, &format!("{name}@example.com")).await;
    told_at(world, customer, Some(credits("10"))).await.unwrap();
}

/// What a customer was told of a type, oldest first.
async fn news(world: &World, customer: CustomerId, kind: &str) -> Vec<BillingEvent> {
    let all = events(world, customer).await.into_iter();
    all.filter(|it| it.kind.as_str() == kind).collect()
}

/// How often a customer was told that few credits are left.
async fn lows(world: &World, customer: CustomerId) -> usize {
    news(world, customer, "balance.low").await.len()
}

async fn uses(world: &World, customer: CustomerId, units: &str) {
    world.consume(customer, "call", units).await;
    world.catch_up().await;
}

async fn take(world: &World, customer: CustomerId, amount: &str) -> app::Result<()> {
    let input = Adjust {
        customer: CustomerRef::Id(customer),
        credits: credits(amount),
        description: None,
    };
    let done = credit::adjust(&world.app, &world.actor, input, &world.key()).await;
    done.map(|_| ())
}

/// Credits that end so many hours from now.
fn lasting(world: &World, customer: CustomerId, amount: &str, hours: i64) -> Grant {
    Grant {
        expiry: Expiry::AfterSeconds(hours * 3_600),
        ..world.deposit(customer, amount)
    }
}

/// Stages and ends that a customer was told of: days, credits, and how many blocks.
async fn stages(world: &World, customer: CustomerId) -> Vec<(i64, String, i64)> {
    let all = news(world, customer, "credits.expiring").await.into_iter();
    all.map(|it| {
        let whole = |name: &str| it.data[name].as_i64().unwrap();
        let credits = it.data["credits"].as_str().unwrap().to_owned();
        (whole("stage_days"), credits, whole("block_count"))
    })
    .collect()
}

async fn a_balance_that_comes_down_is_told_once_and_again_when_it_was_up(world: World) {
    world.priced("call", per_unit("1")).await;
    let (customer, _) = told(&world, "ada").await;
    uses(&world, customer, "9").await;
    assert_eq!(lows(&world, customer).await, 0);
    uses(&world, customer, "1").await;
    let said = news(&world, customer, "balance.low").await;
    let wanted = json!({ "customer_id": customer, "balance": "10", "threshold": "10", "overage_line": "0" });
    assert_eq!(json!(said[0].data), wanted);
    // Who stays below hears of it once, also on other days.
    for _ in 0..2 {
        uses(&world, customer, "1").await;
        world.advance(DAY);
    }
    assert_eq!(lows(&world, customer).await, 1);
    // Up and down again: told again, but not twice a day.
    for _ in 0..2 {
        world.give(customer, "20").await;
        uses(&world, customer, "20").await;
    }
    assert_eq!(lows(&world, customer).await, 2);
    let letters = outbox(&world).await;
    let subjects: Vec<_> = letters.iter().filter_map(|it| it.subject.clone()).collect();
    assert_eq!(
        subjects,
        [
            "Acme Billing: ada has 10 credits left",
            "Acme Billing: ada has 8 credits left"
        ]
    );
    assert_eq!(letters[0].address, "ada@example.com");
    assert!(letters[0].html.as_ref().unwrap().contains("10 credits"));
}

async fn whatever_lowers_a_balance_tells(world: World) {
    let (by_hand, _) = told(&world, "hand").await;
    take(&world, by_hand, "-15").await.unwrap();
    let (by_revocation, block) = told(&world, "revocation").await;
    credit::revoke(&world.app, &world.actor, block.block.id, &world.key())
        .await
        .unwrap();
    let by_time = world.customer("time").await;
    world.grant(lasting(&world, by_time, "20", 1)).await;
    asks(&world, by_time, "time").await;
    world.advance(3_600 + 10);
    world.catch_up().await;
    for (customer, balance) in [(by_hand, "5"), (by_revocation, "0"), (by_time, "0")] {
        let said = news(&world, customer, "balance.low").await;
        let balances: Vec<_> = said
            .iter()
            .map(|it| it.data["balance"].as_str().unwrap())
            .collect();
        assert_eq!(balances, [balance]);
    }
    let unasked = world.customer("unasked").await;
    world.give(unasked, "20").await;
    take(&world, unasked, "-20").await.unwrap();
    assert_eq!(lows(&world, unasked).await, 0);
}

async fn a_threshold_above_the_balance_is_told_at_once(world: World) {
    let customer = world.customer("ada").await;
    world.give(customer, "15").await;
    let set = async |balance: Option<&str>| {
        let mail = told_at(&world, customer, balance.map(credits)).await.unwrap();
        assert_eq!(mail.low_balance, balance.map(credits));
        world.advance(DAY);
        lows(&world, customer).await
    };
    assert_eq!(set(Some("10")).await, 0);
    assert_eq!(set(Some("15")).await, 1);
    // It has been told of, by that threshold and by any above.
    assert_eq!(set(Some("15")).await, 1);
    assert_eq!(set(Some("20")).await, 1);
    assert_eq!(set(None).await, 1);
    assert_eq!(set(Some("30")).await, 2);
    // Once a day, whoever asks how often.
    for balance in [None, Some("30"), None, Some("40")] {
        told_at(&world, customer, balance.map(credits)).await.unwrap();
    }
    assert_eq!(lows(&world, customer).await, 3);
    told_at(&world, customer, None).await.unwrap();
    take(&world, customer, "-15").await.unwrap();
    assert_eq!(lows(&world, customer).await, 3);
    let refused = told_at(&world, customer, Some(credits("-0.000001"))).await;
    let field = "lowBalanceThreshold".to_owned();
    assert_eq!(refusal(refused), (RejectionCode::InvalidInput, field));
    let stranger = world.stranger().await;
    let refused = told_at(&stranger, customer, Some(credits("1"))).await;
    assert_eq!(refusal(refused).0, RejectionCode::NotFound);
}

async fn many_debits_at_once_tell_once(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    world.hook(&receiver.url(), &["balance.low"]).await;
    let (customer, _) = told(&world, "ada").await;
    world.give(customer, "22").await;
    let other = world.another().await;
    let debits = (0..64).map(|number| {
        let world = if number % 2 == 0 { &world } else { &other };
        async move { while take(world, customer, "-0.5").await.is_err() {} }
    });
    futures::future::join_all(debits).await;
    drop(other);
    world.catch_up().await;
    assert_eq!(world.stands(customer).await.0, "10");
    assert_eq!(lows(&world, customer).await, 1);
    assert_eq!(outbox(&world).await.len(), 1);
    assert_eq!(receiver.kinds(), ["balance.low"]);
}

async fn the_day_is_that_of_the_customer(world: World) {
    let clock = clock(&world, "2030-01-01T12:00:00Z").await.id;
    let customer = customer_on(&world, clock, "ada").await;
    told_at(&world, customer, Some(credits("10"))).await.unwrap();
    let down = async || {
        world.give(customer, "20").await;
        take(&world, customer, "-20").await.unwrap();
        lows(&world, customer).await
    };
    assert_eq!(down().await, 1);
    world.advance(2 * DAY);
    assert_eq!(down().await, 1);
    advance(&world, clock, "2030-01-02").await;
    assert_eq!(down().await, 2);
    let when: Vec<_> = news(&world, customer, "balance.low").await;
    let when: Vec<_> = when.iter().map(|it| it.occurred_at).collect();
    assert_eq!(when, [at("2030-01-01T12:00:00Z"), at("2030-01-02")]);
}

async fn each_stage_is_told_once_whoever_looks(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    world.hook(&receiver.url(), &["credits.expiring"]).await;
    writes(&world).await;
    let customer = world.customer("ada").await;
    named(&world, customer, "ada", "ada@example.com").await;
    let block = world.grant(lasting(&world, customer, "20", 40 * 24)).await;
    world.give(customer, "5").await;
    let other = world.another().await;
    let look = json!({ "kind": "credit.expiring", "args": "all" });
    for (days, told) in [(9, 0), (1, 1), (1, 1), (21, 1), (1, 2), (6, 3), (1, 3)] {
        world.advance(days * DAY);
        // Two processes at once, and each at its own pace.
        let both = (0..16).map(|number| {
            let app = if number % 2 == 0 { &world.app } else { &other.app };
            job::run(app, look.clone())
        });
        futures::future::join_all(both).await;
        world.catch_up().await;
        assert_eq!(stages(&world, customer).await.len(), told, "{days} days later");
    }
    drop(other);
    let one = |days| (days, "20".to_owned(), 1);
    assert_eq!(stages(&world, customer).await, [one(30), one(7), one(1)]);
    assert_eq!(receiver.kinds(), ["credits.expiring"; 3]);
    let said = &news(&world, customer, "credits.expiring").await[0].data;
    let ends = block.block.expires_at.unwrap().to_string();
    let listed = json!([{ "block_id": block.block.id, "remaining": "20", "expires_at": ends }]);
    assert_eq!((&said["blocks"], &said["days_remaining"]), (&listed, &json!(30)));
    let letters = outbox(&world).await;
    let subjects: Vec<_> = letters.iter().filter_map(|it| it.subject.as_deref()).collect();
    assert_eq!(
        subjects,
        [30, 7, 1].map(|days| {
            let many = if days == 1 { "" } else { "s" };
            format!("Acme Billing: 20 credits of ada will expire in {days} day{many}")
        })
    );
}

async fn blocks_of_a_day_are_told_of_together(world: World) {
    world.priced("call", per_unit("1")).await;
    let customer = world.customer("ada").await;
    for (amount, hours) in [
        ("1", 10),
        ("2", 24 * 8),
        ("3", 24 * 9),
        ("4", 24 * 9 + 1),
        ("5", 24 * 5),
    ] {
        world.grant(lasting(&world, customer, amount, hours)).await;
    }
    let spent = Grant {
        priority: Some(9),
        ..lasting(&world, customer, "6", 24 * 8)
    };
    world.grant(spent).await;
    uses(&world, customer, "6").await;
    for _ in 0..9 {
        world.advance(DAY);
        world.catch_up().await;
    }
    let wanted = [(7, "5", 2), (7, "4", 1), (1, "5", 1), (1, "5", 2), (1, "4", 1)];
    let wanted = wanted.map(|(days, credits, blocks)| (days, credits.to_owned(), blocks));
    assert_eq!(stages(&world, customer).await, wanted);
}

async fn what_ends_with_a_cycle_is_not_told(world: World) {
    let lasting = app::catalog::CreateTemplate {
        expiry: Lasts::After { seconds: 20 * DAY },
        ..template("5")
    };
    let plan = world
        .sells(variant(Mode::Postpaid), vec![template("100"), lasting])
        .await;
    let clock = clock(&world, "2026-03-10").await.id;
    let customer = customer_on(&world, clock, "ada").await;
    let agreed = CreateSubscription {
        contract_end: Some(at("2026-03-25")),
        ..agreement(customer, plan)
    };
    let id = world.try_subscribe(agreed).await.unwrap().value.id;
    advance(&world, clock, "2026-03-20").await;
    // The end of the cycle moves, and that of its block with it.
    let end = at("2026-04-20");
    world.wish(id, Wish::ExtendContract { end }).await.unwrap();
    advance(&world, clock, "2026-04-09").await;
    let of_plan = [7, 1].map(|days| (days, "5".to_owned(), 1));
    assert_eq!(stages(&world, customer).await, of_plan);
    let db = world.app.db().reader();
    let cycles = block::Entity::find().filter(block::Column::EndsWithCycle.eq(1));
    let cycles = cycles.all(db).await.unwrap();
    assert!(
        !cycles.is_empty() && cycles.iter().all(|it| it.notice_at.is_none()),
        "{cycles:?}"
    );
}

async fn a_test_clock_tells_in_order(world: World) {
    let clock = clock(&world, "2026-03-10T12:00:00Z").await.id;
    let customer = customer_on(&world, clock, "ada").await;
    world.grant(lasting(&world, customer, "20", 35 * 24)).await;
    // Granted with five days to go: only the last stage is ahead.
    world.grant(lasting(&world, customer, "1", 5 * 24)).await;
    told_at(&world, customer, Some(credits("10"))).await.unwrap();
    advance(&world, clock, "2026-04-20").await;
    let all = events(&world, customer).await;
    let told: Vec<_> = all
        .iter()
        .map(|it| {
            let what = it
                .data
                .get("stage_days")
                .map_or_else(String::new, ToString::to_string);
            (it.kind.as_str(), what, it.occurred_at.to_string())
        })
        .collect();
    let expiring = |days: &str, when: &str| ("credits.expiring", days.to_owned(), when.to_owned());
    assert_eq!(
        told,
        [
            expiring("1", "2026-03-14T12:00:00Z"),
            expiring("30", "2026-03-15T12:00:00Z"),
            expiring("7", "2026-04-07T12:00:00Z"),
            expiring("1", "2026-04-13T12:00:00Z"),
            ("balance.low", String::new(), "2026-04-14T12:00:00Z".to_owned()),
        ]
    );
}

async fn nobody_is_written_to_about_what_is_muted(world: World) {
    let customer = world.customer("ada").await;
    world.grant(lasting(&world, customer, "20", 30)).await;
    asks(&world, customer, "ada").await;
    let input = UpdateCustomerMail {
        muted: Some(vec!["credits.expiring".to_owned(), "balance.low".to_owned()]),
        ..UpdateCustomerMail::default()
    };
    let mail = wishes(&world, customer, input).await.unwrap();
    assert_eq!(mail.low_balance, Some(credits("10")), "what is left out stays");
    world.advance(6 * 3_600);
    world.catch_up().await;
    world.advance(DAY + 10);
    world.catch_up().await;
    assert_eq!(
        (stages(&world, customer).await.len(), lows(&world, customer).await),
        (1, 1)
    );
    assert_eq!(outbox(&world).await, []);
}

/// What was granted by an older version is told of as well.
async fn blocks_from_before_have_their_stages_ahead(world: World) {
    let customer = world.customer("ada").await;
    for hours in [24, 25, 24 * 7 + 1, 24 * 30, 24 * 365] {
        world.grant(lasting(&world, customer, "1", hours)).await;
    }
    world.give(customer, "1").await;
    let notices = async |world: &World| {
        let mut all = block::Entity::find().all(world.app.db().reader()).await.unwrap();
        all.sort_by_key(|it| it.id);
        all.iter().map(|it| it.notice_at).collect::<Vec<_>>()
    };
    let before = notices(&world).await;
    assert_eq!(before.iter().filter(|it| it.is_some()).count(), 4);
    let fresh = world.back_and_forth("m0023_credit_notices").await;
    assert_eq!(notices(&fresh).await, before);
}
