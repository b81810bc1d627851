//! What somebody wants of a subscription, as a vendor asks for it: another plan, a pause, a renewal, the end, a longer contract; with
//! what it leaves in blocks and ledger, and what is told of it.

use app::catalog::{CreateTemplate, CreateVariant};
use domain::{
    id::VariantId,
    plan::{
        interval::Interval,
        template::{Expiry, Recurrence},
        variant::Mode,
    },
};
use serde_json::{Value, json};

use crate::harness::{
    World,
    desk::{Desk, text},
    per_unit,
    plans::{template, variant},
};

on_both!(
    a_plan_changed_now_exchanges_the_time_that_is_left,
    changing_to_and_fro_creates_nothing,
    another_interval_begins_a_cycle_of_its_own,
    a_plan_changed_later_waits_for_the_turn,
    what_forbids_another_plan,
    nothing_is_granted_while_paused,
    a_prepaid_pause_ends_with_a_payment,
    a_prepaid_cycle_is_paid_late_and_ahead_and_never,
    what_ends_with_the_cycle_ends_with_a_cancellation,
    the_end_of_a_contract_is_told_once_per_end,
);

/// Half of the first cycle of what begins at [`crate::harness::desk::START`].
const HALF: &str = "2026-04-16T00:00:00Z";
/// The first turn of it.
const TURN: &str = "2026-05-01T00:00:00Z";

/// Calls at a credit each, and a clock.
async fn opened(world: &World) -> (Desk, String) {
    world.priced("call", per_unit("1")).await;
    let desk = Desk::open(world).await;
    let clock = desk.clock().await;
    (desk, clock)
}

async fn monthly(world: &World, amount: &str) -> VariantId {
    world.sells(variant(Mode::Postpaid), vec![template(amount)]).await
}

/// Due five days before the turn, and expired ten days after it.
fn prepaid() -> CreateVariant {
    CreateVariant {
        renewal_due_days: 5,
        grace_days: 10,
        ..variant(Mode::Prepaid)
    }
}

fn change(to: VariantId, effect: &str) -> Value {
    json!({ "variantId": to.to_string(), "takesEffect": effect })
}

fn now(to: VariantId) -> Value {
    change(to, "NOW")
}

fn next(to: VariantId) -> Value {
    change(to, "NEXT_CYCLE")
}

/// From 30 or 90 credits a month to the other, when half the month is over. What was used beyond the half is missing from what comes.
async fn a_plan_changed_now_exchanges_the_time_that_is_left(world: World) {
    let (desk, clock) = opened(&world).await;
    let (small, large) = (monthly(&world, "30").await, monthly(&world, "90").await);
    // From, to, used, left; the ledger, and the blocks.
    let cases = [
        // Unused: half of each.
        (
            small,
            large,
            "0",
            "67",
            "GRANT 30, PRORATION -15, GRANT 45",
            "PLAN_GRANT 15 ACTIVE, PLAN_GRANT 45 ACTIVE, PURCHASE 7 ACTIVE",
        ),
        // Less than the half was used: that does not matter.
        (
            small,
            large,
            "5",
            "62",
            "GRANT 30, DEBIT -5, PRORATION -15, GRANT 45",
            "PLAN_GRANT 10 ACTIVE, PLAN_GRANT 45 ACTIVE, PURCHASE 7 ACTIVE",
        ),
        // More: 5 were used ahead of time.
        (
            small,
            large,
            "20",
            "47",
            "GRANT 30, DEBIT -20, PRORATION -10, GRANT 40",
            "PLAN_GRANT 40 ACTIVE, PURCHASE 7 ACTIVE, PLAN_GRANT 0 ACTIVE",
        ),
        // All of it, and something bought: nothing is there to go back.
        (
            small,
            large,
            "33",
            "34",
            "GRANT 30, DEBIT -30, DEBIT -3, GRANT 30",
            "PLAN_GRANT 30 ACTIVE, PURCHASE 4 ACTIVE, PLAN_GRANT 0 ACTIVE",
        ),
        // To less, when what comes does not make up for what was used.
        (
            large,
            small,
            "70",
            "7",
            "GRANT 90, DEBIT -70, PRORATION -20",
            "PURCHASE 7 ACTIVE, PLAN_GRANT 0 ACTIVE",
        ),
    ];
    let mut begun = Vec::new();
    for (place, (from, _, used, ..)) in cases.iter().enumerate() {
        let name = format!("c{place}");
        desk.customer(&clock, &name).await;
        begun.push((name.clone(), desk.subscribe(&name, from).await));
        desk.buy(&name, "7").await;
        if *used != "0" {
            desk.consume(&name, used).await;
        }
    }
    desk.advance(&clock, HALF).await;
    for ((name, subscription), (from, to, used, left, ledger, blocks)) in begun.iter().zip(cases) {
        let case = format!("{name}, used {used}");
        let before = desk.read(subscription).await;
        let changed = desk.wish("changeSubscriptionPlan", subscription, now(to)).await;
        assert_eq!(changed["variant"]["id"], json!(to), "{case}");
        assert_eq!(
            (&changed["nextVariant"], &changed["currentCycle"]["period"]),
            (&Value::Null, &before["currentCycle"]["period"]),
            "{case}: the cycle goes on"
        );
        assert_eq!(desk.remaining(name).await, left, "{case}");
        let mut lines = desk.ledger(name).await;
        lines.retain(|line| line != "GRANT 7");
        assert_eq!(lines.join(", "), ledger, "{case}");
        assert_eq!(desk.blocks(name).await.join(", "), blocks, "{case}");
        let changes =
            json!({ "from_plan_variant_id": from.to_string(), "to_plan_variant_id": to.to_string() });
        let said = desk.said(subscription, "plan_changed").await;
        assert_eq!(said, [(HALF.to_owned(), changes)], "{case}");
    }
    // Everybody has what the new plan gives from the turn on; what was left of both ends with the cycle.
    desk.advance(&clock, TURN).await;
    for ((name, _), left) in begun.iter().zip(["97", "97", "97", "94", "37"]) {
        assert_eq!(desk.remaining(name).await, left, "{name}");
    }
}

async fn changing_to_and_fro_creates_nothing(world: World) {
    let (desk, clock) = opened(&world).await;
    let (small, large) = (monthly(&world, "30").await, monthly(&world, "90").await);
    desk.customer(&clock, "a").await;
    let subscription = desk.subscribe("a", small).await;
    // Beyond the half, so that something is owed to every change.
    desk.consume("a", "20").await;
    desk.advance(&clock, HALF).await;
    let mut left = Vec::new();
    for to in [large, small, large, small] {
        desk.wish("changeSubscriptionPlan", &subscription, now(to)).await;
        left.push(desk.remaining("a").await);
    }
    assert_eq!(left, ["40", "10", "40", "10"], "30 less the 20 that were used");
    assert_eq!(desk.said(&subscription, "plan_changed").await.len(), 4);
}

async fn another_interval_begins_a_cycle_of_its_own(world: World) {
    let (desk, clock) = opened(&world).await;
    let long = monthly(&world, "30").await;
    let weekly = CreateVariant {
        interval: Interval::WEEKLY,
        ..variant(Mode::Postpaid)
    };
    let weekly = world.sells(weekly, vec![template("14")]).await;
    desk.customer(&clock, "a").await;
    let subscription = desk.subscribe("a", long).await;
    desk.consume("a", "5").await;
    desk.advance(&clock, HALF).await;
    let changed = desk
        .wish("changeSubscriptionPlan", &subscription, now(weekly))
        .await;
    let week = json!({ "number": 2, "paid": true, "creditsGranted": "14", "variantId": weekly.to_string(),
        "period": { "start": HALF, "end": "2026-04-23T00:00:00Z" } });
    assert_eq!(changed["currentCycle"], week);
    assert_eq!(
        desk.ledger("a").await,
        ["GRANT 30", "DEBIT -5", "PRORATION -15", "EXPIRY -10", "GRANT 14"]
    );
    desk.advance(&clock, "2026-04-30T00:00:00Z").await;
    let cycle = desk.read(&subscription).await["currentCycle"].clone();
    assert_eq!(
        (&cycle["number"], &cycle["period"]["end"]),
        (&json!(4), &json!("2026-05-07T00:00:00Z"))
    );
    assert_eq!(desk.remaining("a").await, "14");
}

async fn a_plan_changed_later_waits_for_the_turn(world: World) {
    let (desk, clock) = opened(&world).await;
    let (small, large) = (monthly(&world, "30").await, monthly(&world, "90").await);
    desk.customer(&clock, "a").await;
    let subscription = desk.subscribe("a", small).await;
    desk.advance(&clock, HALF).await;
    // Scheduled, taken back by naming what is there, and scheduled again.
    for (to, waits) in [(large, true), (small, false), (large, true)] {
        let changed = desk.wish("changeSubscriptionPlan", &subscription, next(to)).await;
        assert_eq!(changed["variant"]["id"], json!(small));
        let waiting = if waits {
            json!({ "id": large })
        } else {
            Value::Null
        };
        assert_eq!(changed["nextVariant"], waiting);
    }
    let scheduled =
        [large, small, large].map(|to| (HALF.to_owned(), json!({ "to_plan_variant_id": to.to_string() })));
    assert_eq!(desk.said(&subscription, "plan_change_scheduled").await, scheduled);
    desk.advance(&clock, "2026-04-30T23:59:59Z").await;
    assert_eq!(desk.ledger("a").await, ["GRANT 30"], "nothing has happened yet");
    assert_eq!(desk.said(&subscription, "plan_changed").await, []);
    desk.advance(&clock, TURN).await;
    let changed = desk.read(&subscription).await;
    assert_eq!(
        (&changed["variant"]["id"], &changed["nextVariant"]),
        (&json!(large), &Value::Null)
    );
    let cycle = json!({ "number": 2, "paid": true, "creditsGranted": "90", "variantId": large.to_string(),
        "period": { "start": TURN, "end": "2026-06-01T00:00:00Z" } });
    assert_eq!(changed["currentCycle"], cycle);
    assert_eq!(
        desk.ledger("a").await,
        ["GRANT 30", "EXPIRY -30", "GRANT 90"],
        "whole amounts, without proration"
    );
    let changes =
        json!({ "from_plan_variant_id": small.to_string(), "to_plan_variant_id": large.to_string() });
    let said = desk.said(&subscription, "plan_changed").await;
    assert_eq!(said, [(TURN.to_owned(), changes)]);
}

async fn what_forbids_another_plan(world: World) {
    let (desk, clock) = opened(&world).await;
    let paid_before = world.sells(prepaid(), vec![template("30")]).await;
    let paid_after = monthly(&world, "30").await;
    let other = monthly(&world, "90").await;
    // How it came about, and which effects are refused then.
    let cases: [(&str, VariantId, &[&str], &[&str]); 6] = [
        (
            "paid ahead",
            paid_before,
            &["renewSubscription"],
            &["NOW", "NEXT_CYCLE"],
        ),
        ("overdue", paid_before, &[], &["NOW", "NEXT_CYCLE"]),
        (
            "paused",
            paid_after,
            &["pauseSubscription"],
            &["NOW", "NEXT_CYCLE"],
        ),
        (
            "cancelled at end",
            paid_after,
            &["cancelSubscription"],
            &["NEXT_CYCLE"],
        ),
        (
            "cancelled",
            paid_after,
            &["pauseSubscription", "cancelSubscription NOW"],
            &["NOW", "NEXT_CYCLE"],
        ),
        (
            "resumed",
            paid_after,
            &["pauseSubscription", "resumeSubscription"],
            &[],
        ),
    ];
    let overdue = {
        desk.customer(&clock, "overdue").await;
        desk.subscribe("overdue", paid_before).await
    };
    desk.advance(&clock, "2026-05-02T00:00:00Z").await;
    for (name, variant, steps, refused) in cases {
        let subscription = if name == "overdue" {
            overdue.clone()
        } else {
            desk.customer(&clock, name).await;
            desk.subscribe(name, variant).await
        };
        for step in steps {
            let (step, effect) = step.split_once(' ').unwrap_or((step, ""));
            let more = if effect.is_empty() {
                json!({})
            } else {
                json!({ "takesEffect": effect })
            };
            desk.wish(step, &subscription, more).await;
        }
        let ledger = desk.ledger(name).await;
        for effect in refused {
            let no = desk
                .refused("changeSubscriptionPlan", &subscription, change(other, effect))
                .await;
            assert_eq!(no, "SUBSCRIPTION_STATE", "{name}, {effect}");
        }
        assert_eq!(desk.ledger(name).await, ledger, "{name}");
        // What is not refused goes through, so the state alone was in the way.
        for effect in ["NEXT_CYCLE", "NOW"] {
            if !refused.contains(&effect) {
                desk.wish("changeSubscriptionPlan", &subscription, change(other, effect))
                    .await;
            }
        }
    }
}

/// A budget of the month and two credits a day.
async fn nothing_is_granted_while_paused(world: World) {
    let (desk, clock) = opened(&world).await;
    let daily = CreateTemplate {
        every: Some(Interval::DAILY),
        ..template("2")
    };
    let plan = world
        .sells(variant(Mode::Postpaid), vec![template("30"), daily])
        .await;
    desk.customer(&clock, "a").await;
    desk.buy("a", "7").await;
    let subscription = desk.subscribe("a", plan).await;
    desk.advance(&clock, "2026-04-10T12:00:00Z").await;
    assert_eq!(desk.remaining("a").await, "39");
    let paused = desk.wish("pauseSubscription", &subscription, json!({})).await;
    assert_eq!(
        (&paused["state"], &paused["currentCycle"]["number"]),
        (&json!("PAUSED"), &json!(1))
    );
    assert_eq!(desk.refusal("a").await.as_deref(), Some("SUBSCRIPTION_PAUSED"));
    assert_eq!(
        desk.refused("pauseSubscription", &subscription, json!({})).await,
        "SUBSCRIPTION_STATE"
    );
    // The day's credits end with the day, and none follow.
    desk.advance(&clock, "2026-04-12T12:00:00Z").await;
    assert_eq!(desk.remaining("a").await, "37");
    let resumed = desk.wish("resumeSubscription", &subscription, json!({})).await;
    assert_eq!(
        (&resumed["state"], &resumed["currentCycle"]["number"]),
        (&json!("ACTIVE"), &json!(1)),
        "the cycle went on meanwhile"
    );
    assert_eq!(desk.remaining("a").await, "39", "with those of the running day");
    assert_eq!(desk.refusal("a").await, None);
    desk.wish("pauseSubscription", &subscription, json!({})).await;
    desk.advance(&clock, "2026-06-10T12:00:00Z").await;
    assert_eq!(desk.remaining("a").await, "7", "what was bought stays");
    let over = desk.read(&subscription).await;
    assert_eq!(
        (&over["state"], &over["currentCycle"]),
        (&json!("PAUSED"), &Value::Null)
    );
    assert_eq!(desk.refusal("a").await.as_deref(), Some("SUBSCRIPTION_PAUSED"));
    let resumed = desk.wish("resumeSubscription", &subscription, json!({})).await;
    let cycle = json!({ "number": 2, "paid": true, "creditsGranted": "32", "variantId": plan.to_string(),
        "period": { "start": "2026-06-10T12:00:00Z", "end": "2026-07-01T00:00:00Z" } });
    assert_eq!(resumed["currentCycle"], cycle, "the billing day stays");
    assert_eq!(desk.remaining("a").await, "39");
    assert_eq!(desk.refusal("a").await, None);
    assert_eq!(
        desk.refused("resumeSubscription", &subscription, json!({})).await,
        "SUBSCRIPTION_STATE"
    );
    let nothing = |day: &str| (day.to_owned(), json!({}));
    assert_eq!(
        desk.said(&subscription, "paused").await,
        ["2026-04-10T12:00:00Z", "2026-04-12T12:00:00Z"].map(nothing)
    );
    assert_eq!(
        desk.said(&subscription, "resumed").await,
        ["2026-04-12T12:00:00Z", "2026-06-10T12:00:00Z"].map(nothing)
    );
    assert_eq!(desk.said(&subscription, "renewed").await, [], "no cycle followed");
}

async fn a_prepaid_pause_ends_with_a_payment(world: World) {
    let (desk, clock) = opened(&world).await;
    let plan = world.sells(prepaid(), vec![template("50")]).await;
    desk.customer(&clock, "a").await;
    let subscription = desk.subscribe("a", plan).await;
    desk.wish("pauseSubscription", &subscription, json!({})).await;
    desk.advance(&clock, "2026-06-10T00:00:00Z").await;
    let names = desk.names(&subscription).await;
    assert_eq!(
        names,
        ["created", "paused", "cycle_closed"],
        "nothing is due while it is paused"
    );
    let resumed = desk.wish("resumeSubscription", &subscription, json!({})).await;
    assert_eq!(
        (
            &resumed["state"],
            &resumed["overdueSince"],
            &resumed["currentCycle"]["paid"]
        ),
        (&json!("OVERDUE"), &json!("2026-06-10T00:00:00Z"), &json!(false))
    );
    assert_eq!(desk.remaining("a").await, "0");
    let overdue = json!({ "expires_at": "2026-06-20T00:00:00Z" });
    assert_eq!(
        desk.said(&subscription, "overdue").await,
        [("2026-06-10T00:00:00Z".to_owned(), overdue)]
    );
    let paid = desk.wish("renewSubscription", &subscription, json!({})).await;
    assert_eq!(
        (&paid["state"], &paid["overdueSince"], &paid["paidThrough"]),
        (&json!("ACTIVE"), &Value::Null, &json!(2))
    );
    assert_eq!(desk.remaining("a").await, "50");
}

/// Whether usage is let through while it is overdue is the plan's choice; everything else is the same.
async fn a_prepaid_cycle_is_paid_late_and_ahead_and_never(world: World) {
    let (desk, clock) = opened(&world).await;
    let mut both = Vec::new();
    for (name, lenient) in [("strict", false), ("lenient", true)] {
        let terms = CreateVariant {
            allow_usage_while_overdue: lenient,
            ..prepaid()
        };
        let plan = world.sells(terms, vec![template("50")]).await;
        desk.customer(&clock, name).await;
        desk.buy(name, "7").await;
        let meanwhile = (!lenient).then(|| "SUBSCRIPTION_OVERDUE".to_owned());
        both.push((name, desk.subscribe(name, plan).await, meanwhile));
    }
    for instant in ["2026-04-25T23:59:59Z", "2026-04-26T00:00:00Z"] {
        for (_, subscription, _) in &both {
            assert_eq!(desk.said(subscription, "renewal_due").await, []);
        }
        desk.advance(&clock, instant).await;
    }
    desk.advance(&clock, "2026-05-03T00:00:00Z").await;
    for (name, subscription, meanwhile) in &both {
        let due = json!({ "cycle_number": 2, "period_end": TURN });
        let overdue = json!({ "expires_at": "2026-05-11T00:00:00Z" });
        assert_eq!(
            desk.said(subscription, "renewal_due").await,
            [("2026-04-26T00:00:00Z".to_owned(), due)]
        );
        assert_eq!(
            desk.said(subscription, "overdue").await,
            [(TURN.to_owned(), overdue)]
        );
        let unpaid = desk.read(subscription).await;
        assert_eq!(
            (
                &unpaid["state"],
                &unpaid["overdueSince"],
                &unpaid["currentCycle"]["paid"]
            ),
            (&json!("OVERDUE"), &json!(TURN), &json!(false))
        );
        assert_eq!(desk.remaining(name).await, "7", "no grant before it is paid");
        assert_eq!(desk.refusal(name).await, *meanwhile, "{name}");
        // Late: the cycle that runs is paid, from where it began.
        let paid = desk.wish("renewSubscription", subscription, json!({})).await;
        assert_eq!(
            (&paid["state"], &paid["overdueSince"], &paid["paidThrough"]),
            (&json!("ACTIVE"), &Value::Null, &json!(2))
        );
        assert_eq!(
            (
                &paid["currentCycle"]["period"]["start"],
                &paid["currentCycle"]["creditsGranted"]
            ),
            (&json!(TURN), &json!("50"))
        );
        assert_eq!(desk.remaining(name).await, "57");
        assert_eq!(desk.refusal(name).await, None, "{name}");
        let [(at, renewed)] = &desk.said(subscription, "renewed").await[..] else {
            panic!("it is renewed once")
        };
        assert_eq!(
            (at.as_str(), &renewed["cycle_number"], &renewed["credits_granted"]),
            ("2026-05-03T00:00:00Z", &json!(2), &json!("50"))
        );
        // Ahead: the next one, once.
        let ahead = desk.wish("renewSubscription", subscription, json!({})).await;
        assert_eq!(ahead["paidThrough"], json!(3));
        assert_eq!(
            desk.remaining(name).await,
            "57",
            "it brings nothing before it begins"
        );
        assert_eq!(
            desk.refused("renewSubscription", subscription, json!({})).await,
            "ALREADY_EXISTS"
        );
    }
    desk.advance(&clock, "2026-06-02T00:00:00Z").await;
    for (name, subscription, _) in &both {
        assert_eq!(desk.state(subscription).await, "ACTIVE", "{name}");
        assert_eq!(desk.remaining(name).await, "57");
        assert_eq!(
            desk.said(subscription, "renewal_due").await.len(),
            1,
            "it was paid already"
        );
    }
    // Never: overdue until the grace days are over.
    desk.advance(&clock, "2026-07-10T23:59:59Z").await;
    for (name, subscription, meanwhile) in &both {
        assert_eq!(desk.state(subscription).await, "OVERDUE", "{name}");
        assert_eq!(desk.refusal(name).await, *meanwhile, "{name}");
        assert_eq!(desk.said(subscription, "expired").await, []);
    }
    desk.advance(&clock, "2026-09-01T00:00:00Z").await;
    for (name, subscription, _) in &both {
        let over = desk.read(subscription).await;
        let end = "2026-07-11T00:00:00Z";
        assert_eq!(
            (&over["state"], &over["endedAt"], &over["currentCycle"]),
            (&json!("EXPIRED"), &json!(end), &Value::Null)
        );
        assert_eq!(
            desk.said(subscription, "expired").await,
            [(end.to_owned(), json!({}))]
        );
        assert_eq!(desk.said(subscription, "renewal_due").await.len(), 2);
        assert_eq!(desk.said(subscription, "overdue").await.len(), 2);
        assert_eq!(desk.remaining(name).await, "7");
        assert_eq!(desk.refusal(name).await, None, "what was bought may be used");
        assert_eq!(
            desk.refused("renewSubscription", subscription, json!({})).await,
            "SUBSCRIPTION_STATE"
        );
    }
}

/// Grants of the cycle and what rolled over into it end; what was included for good and what was bought stay.
async fn what_ends_with_the_cycle_ends_with_a_cancellation(world: World) {
    let (desk, clock) = opened(&world).await;
    let rolling = CreateTemplate {
        rollover: "50".parse().unwrap(),
        ..template("30")
    };
    let once = CreateTemplate {
        source: domain::credit::block::Source::Included,
        recurrence: Recurrence::Once,
        expiry: Expiry::Never,
        ..template("20")
    };
    let plan = world.sells(variant(Mode::Postpaid), vec![rolling, once]).await;
    desk.customer(&clock, "a").await;
    desk.buy("a", "7").await;
    let subscription = desk.subscribe("a", plan).await;
    desk.consume("a", "10").await;
    let day = "2026-05-10T00:00:00Z";
    desk.advance(&clock, day).await;
    assert_eq!(desk.remaining("a").await, "67");
    let before = desk.ledger("a").await.len();
    let cancelled = desk
        .wish(
            "cancelSubscription",
            &subscription,
            json!({ "takesEffect": "NOW" }),
        )
        .await;
    assert_eq!(
        (
            &cancelled["state"],
            &cancelled["endedAt"],
            &cancelled["cancelAtEnd"],
            &cancelled["currentCycle"]
        ),
        (&json!("CANCELLED"), &json!(day), &json!(false), &Value::Null)
    );
    assert_eq!(desk.remaining("a").await, "27");
    let mut ended = desk.ledger("a").await.split_off(before);
    ended.sort();
    assert_eq!(ended, ["EXPIRY -10", "EXPIRY -30"]);
    let mut blocks = desk.blocks("a").await;
    blocks.sort();
    assert_eq!(
        blocks,
        [
            "INCLUDED 20 ACTIVE",
            "PLAN_GRANT 0 EXPIRED",
            "PLAN_GRANT 0 EXPIRED",
            "PURCHASE 7 ACTIVE",
            "ROLLOVER 0 EXPIRED",
        ]
    );
    assert_eq!(desk.refusal("a").await, None, "what stays may be used");
    // The cycle that was cut off is summed up when its usage is no longer late; then nothing happens any more.
    desk.advance(&clock, "2026-08-01T00:00:00Z").await;
    assert_eq!(
        desk.said(&subscription, "cancelled").await,
        [(day.to_owned(), json!({}))]
    );
    let names = desk.names(&subscription).await;
    assert_eq!(names, ["created", "renewed", "cancelled", "cycle_closed"]);
    let query = format!(
        r#"{{ subscription(id: "{subscription}") {{ cycles(first: 5) {{ nodes {{ number state period {{ end }} closedAt }} }} }} }}"#
    );
    let cycles = desk.ask(&query).await["subscription"]["cycles"]["nodes"].clone();
    assert_eq!(
        (
            &cycles[0]["number"],
            &cycles[0]["state"],
            &cycles[0]["period"]["end"]
        ),
        (&json!(2), &json!("CLOSED"), &json!(day))
    );
    assert_eq!(desk.remaining("a").await, "27");
    assert_eq!(
        desk.refused(
            "cancelSubscription",
            &subscription,
            json!({ "takesEffect": "NOW" })
        )
        .await,
        "SUBSCRIPTION_STATE"
    );
}

/// Ten days before; at once where it is agreed later than that.
async fn the_end_of_a_contract_is_told_once_per_end(world: World) {
    let (desk, clock) = opened(&world).await;
    let plan = monthly(&world, "30").await;
    let cases = [
        (
            "long",
            "2026-05-08T00:00:00Z",
            "2026-07-16T00:00:00Z",
            "2026-07-06T00:00:00Z",
            10,
        ),
        (
            "short",
            "2026-05-12T00:00:00Z",
            "2026-05-20T00:00:00Z",
            "2026-05-12T00:00:00Z",
            8,
        ),
    ];
    let first = "2026-05-16T00:00:00Z";
    let mut agreed = Vec::new();
    for (name, ..) in cases {
        desk.customer(&clock, name).await;
        let contract = json!({ "contractEnd": first, "contractEndingSoonDays": 10 });
        agreed.push(desk.subscribe_with(name, plan, contract).await);
    }
    desk.advance(&clock, "2026-05-05T23:59:59Z").await;
    for subscription in &agreed {
        assert_eq!(desk.said(subscription, "contract_ending_soon").await, []);
    }
    for (subscription, (_, on, end, ..)) in agreed.iter().zip(cases) {
        desk.advance(&clock, on).await;
        let extended = desk
            .wish("extendContract", subscription, json!({ "contractEnd": end }))
            .await;
        assert_eq!(extended["contract"]["end"], end);
        // The same end again is no later one.
        let no = desk
            .refused("extendContract", subscription, json!({ "contractEnd": end }))
            .await;
        assert_eq!(no, "INVALID_INPUT input.contractEnd");
    }
    desk.advance(&clock, "2026-10-01T00:00:00Z").await;
    for (subscription, (name, _, end, told, days)) in agreed.iter().zip(cases) {
        let soon = |told: &str, end: &str, days: i32| {
            (
                told.to_owned(),
                json!({ "contract_end": end, "days_remaining": days }),
            )
        };
        assert_eq!(
            desk.said(subscription, "contract_ending_soon").await,
            [soon("2026-05-06T00:00:00Z", first, 10), soon(told, end, days)],
            "{name}"
        );
        assert_eq!(
            desk.said(subscription, "contract_ended").await,
            [(end.to_owned(), json!({ "contract_end": end }))],
            "{name}"
        );
        let over = desk.read(subscription).await;
        assert_eq!(
            (text(&over["state"]), text(&over["endedAt"])),
            ("CONTRACT_ENDED".to_owned(), end.to_owned()),
            "{name}"
        );
    }
}
