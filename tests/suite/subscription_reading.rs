//! What a vendor reads about subscriptions through the listener: lists page by page, clocks on their way, and what has become of usage
//! that comes late.

use app::catalog::CreateVariant;
use domain::{cycle::late::LatePolicy, plan::variant::Mode};
use serde_json::{Value, json};

use crate::harness::{
    World,
    desk::{Desk, START, text},
    graduated,
    pages::{PAGE_INFO, both_ways},
    plans::{template, variant},
};

on_both!(
    subscriptions_of_a_customer_are_read_page_by_page,
    a_clock_on_its_way_says_so,
    late_usage_has_the_outcome_that_the_plan_names,
);

async fn subscriptions_of_a_customer_are_read_page_by_page(world: World) {
    let plan = world.sells(variant(Mode::Postpaid), vec![template("30")]).await;
    let desk = Desk::open(&world).await;
    let clock = desk.clock().await;
    for name in ["many", "none"] {
        desk.customer(&clock, name).await;
    }
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(desk.subscribe("many", plan).await);
    }
    let page = async |name: &str, range: &str| {
        let query = format!(
            r#"{{ customer(externalId: "{name}") {{ subscriptions({range}) {{ nodes {{ id }} {PAGE_INFO} }} }} }}"#
        );
        desk.ask(&query).await["customer"]["subscriptions"].clone()
    };
    for read in both_ways(async |range| page("many", range).await).await {
        let ids: Vec<String> = read.iter().map(|it| text(&it["id"])).collect();
        assert_eq!(ids, made);
    }
    assert_eq!(page("none", "first: 2").await["nodes"], json!([]));
}

async fn a_clock_on_its_way_says_so(world: World) {
    let plan = world.sells(variant(Mode::Postpaid), vec![template("30")]).await;
    let desk = Desk::open(&world).await;
    let clock = desk.clock().await;
    desk.customer(&clock, "a").await;
    let subscription = desk.subscribe("a", plan).await;
    let target = "2026-07-01T00:00:00Z";
    let sent = desk.send_clock(&clock, target).await;
    let away = json!({ "now": START, "target": target, "state": "ADVANCING" });
    assert_eq!(sent, away);
    assert_eq!(desk.shown(&clock).await, away, "nobody works yet");
    assert_eq!(
        desk.read(&subscription).await["currentCycle"]["number"],
        json!(1),
        "nothing has happened yet"
    );
    // Further while it is on its way; what it passes happens on the way.
    let further = "2026-08-01T00:00:00Z";
    let sent = desk.send_clock(&clock, further).await;
    assert_eq!(sent["target"], further);
    world.catch_up().await;
    let there = json!({ "now": further, "target": further, "state": "READY" });
    assert_eq!(desk.shown(&clock).await, there);
    assert_eq!(desk.read(&subscription).await["currentCycle"]["number"], json!(5));
    let renewed = desk.said(&subscription, "renewed").await;
    let at: Vec<&str> = renewed.iter().map(|(at, _)| at.as_str()).collect();
    // Told with the summary, a minute after the turn, when no usage of the cycle before can come any more.
    let closes = [5, 6, 7].map(|month| format!("2026-0{month}-01T00:01:00Z"));
    assert_eq!(at, closes);
}

/// Eight in April, ten at 1 and the rest at 0.5; then eight more of April, in May.
async fn late_usage_has_the_outcome_that_the_plan_names(world: World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let desk = Desk::open(&world).await;
    let clock = desk.clock().await;
    let cases = [
        // Eight of the first ten of May.
        (
            "current",
            LatePolicy::CurrentCycle,
            ("ACCEPTED", Value::Null),
            "LATE_CURRENT_CYCLE",
            "-8",
        ),
        // The last two of the first ten of April, and six beyond.
        (
            "adjusted",
            LatePolicy::Adjustment,
            ("ACCEPTED", Value::Null),
            "LATE_ADJUSTMENT",
            "-5",
        ),
        (
            "refused",
            LatePolicy::Reject,
            ("REJECTED", json!("LATE_FOR_CYCLE")),
            "",
            "",
        ),
    ];
    for (name, policy, ..) in &cases {
        let terms = CreateVariant {
            late: *policy,
            ..variant(Mode::Postpaid)
        };
        let plan = world.sells(terms, vec![template("100")]).await;
        desk.customer(&clock, name).await;
        desk.subscribe(name, plan).await;
        desk.consume(name, "8").await;
    }
    desk.advance(&clock, "2026-05-10T00:00:00Z").await;
    for (name, _, outcome, timing, debited) in cases {
        let before = desk.ledger(name).await;
        let (key, became) = desk.record(name, "8", Some("2026-04-20T00:00:00Z")).await;
        let (named, why) = outcome;
        assert_eq!(became, json!({ "outcome": named, "reason": why }), "{name}");
        let query = format!(r#"{{ usageEvent(key: "{key}") {{ occurredAt state timing }} }}"#);
        world.catch_up().await;
        let event = desk.ask(&query).await["usageEvent"].clone();
        let debits = desk.ledger(name).await.split_off(before.len());
        if timing.is_empty() {
            assert_eq!(
                (event, debits.len()),
                (Value::Null, 0),
                "{name}: it was never there"
            );
            continue;
        }
        let expected = json!({ "occurredAt": "2026-04-20T00:00:00Z", "state": "RATED", "timing": timing });
        assert_eq!(event, expected, "{name}");
        assert_eq!(debits, [format!("DEBIT {debited}")], "{name}");
        let (prompt, _) = desk.record(name, "1", None).await;
        world.catch_up().await;
        let query = format!(r#"{{ usageEvent(key: "{prompt}") {{ timing }} }}"#);
        assert_eq!(
            desk.ask(&query).await["usageEvent"]["timing"],
            "ON_TIME",
            "{name}"
        );
    }
}
