//! Reservations: what runs at the same time never uses more than there is, what was used is debited once, and nothing stays set aside.

use std::time::{Duration, Instant};

use api::{Limits, RateLimits};
use app::{
    audit,
    customer::{self, CreateCustomer, CustomerRef},
    feed::Feed,
    job,
    test_clock::{self, AdvanceTestClock, CreateTestClock},
};
use domain::{
    customer::AtZero,
    id::{CustomerId, TestClockId},
    plan::variant::Mode,
};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    World, at, credits,
    desk::{list, text},
    door::Door,
    flat, graduated, per_unit,
    plans::{template, variant},
    volume,
};

/// How long another process may take to notice a change on a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

on_both!(
    a_thousand_at_once_pass_no_limit,
    the_terms_add_up,
    what_was_used_is_debited_and_the_rest_is_free,
    a_capture_is_made_once,
    more_than_was_reserved_needs_leave,
    a_captured_reservation_is_usage_like_any_other,
    usage_is_recorded_when_its_reservation_is_over,
    what_is_given_up_is_free_once,
    nothing_is_held_past_its_deadline,
    a_clock_frees_what_is_held_by_it,
    each_of_a_batch_is_judged_by_itself,
    a_key_holds_once,
    waiting_usage_counts_before_it_is_debited,
    holds_of_one_count_are_priced_together,
    terms_and_subscriptions_decide_as_in_the_gate,
    the_balance_never_shows_both_or_neither,
    other_processes_see_what_is_held,
    a_customer_that_needs_attention,
    what_belongs_to_others_does_not_exist,
    lists_say_what_is_open,
    a_customer_holds_so_many_at_most,
    what_has_run_out_keeps_nobody_from_holding,
    a_limit_is_reached_by_the_customer_s_own_time,
);

const SHOWN: &str =
    "id customerId metricKey idempotencyKey units credits properties state createdAt expiresAt endedAt
    capturedUnits capturedLate eventId";

/// A vendor's program that reserves, over a world.
struct Till {
    world: World,
    door: Door,
}

impl Till {
    async fn open(world: &World) -> Self {
        let limits = Limits {
            rates: RateLimits {
                writes: 0,
                ..RateLimits::default()
            },
            ..Limits::default()
        };
        let till = Self {
            door: Door::open(world, limits).await,
            world: world.clone(),
        };
        // The listener and its connection live on; work has come to rest in spite of them.
        till.ask("{ viewer { tenant { name } } }", json!({})).await;
        world.count_tasks().await;
        till
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        self.door.data(query, variables).await
    }

    async fn send(&self, mutation: &str, shown: &str, input: Value) -> Vec<Value> {
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let query = format!(
            "mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ results {{ index outcome reason {shown}
                reservation {{ {SHOWN} }} }} userErrors {{ code path }} }} }}"
        );
        let payload = self.ask(&query, json!({ "input": input })).await[mutation].clone();
        assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        let results = list(&payload["results"]);
        let places: Vec<i64> = results.iter().filter_map(|it| it["index"].as_i64()).collect();
        assert!(places.iter().copied().eq(0..results.len() as i64), "{results:?}");
        results
    }

    /// A request for a reservation of `call`.
    fn wish(&self, who: &str, units: &str) -> Value {
        json!({ "externalCustomerId": who, "metricKey": "call", "units": units, "idempotencyKey": self.world.key() })
    }

    async fn reserve(&self, wishes: Vec<Value>) -> Vec<Value> {
        let shown = "available missing message";
        self.send("reserveUsage", shown, json!({ "reservations": wishes }))
            .await
    }

    /// Asks for one and answers what became of it, such as `RESERVED` or `REFUSED INSUFFICIENT_CREDITS`.
    async fn asks(&self, who: &str, units: &str) -> String {
        told(&self.reserve(vec![self.wish(who, units)]).await[0])
    }

    /// Makes one; answers its id.
    async fn hold(&self, who: &str, units: &str) -> String {
        self.hold_with(self.wish(who, units)).await
    }

    async fn hold_with(&self, wish: Value) -> String {
        let made = self.reserve(vec![wish]).await.remove(0);
        assert_eq!(told(&made), "RESERVED", "{made}");
        text(&made["reservation"]["id"])
    }

    async fn capture(&self, captures: Vec<Value>) -> Vec<Value> {
        let shown = "idempotentReplay message";
        self.send("captureReservation", shown, json!({ "captures": captures }))
            .await
    }

    /// Captures one; answers what became of it.
    async fn captures(&self, id: &str, units: &str) -> String {
        told(&self.capture(vec![used(id, units)]).await[0])
    }

    async fn release(&self, ids: &[&str]) -> Vec<Value> {
        let shown = "idempotentReplay message";
        self.send("releaseReservation", shown, json!({ "reservationIds": ids }))
            .await
    }

    /// Remaining, overage line, held and available as the gate says, which must add up.
    async fn terms(&self, who: &str) -> [String; 4] {
        let query = "query ($who: String!) { entitlement(externalCustomerId: $who, metricKey: \"call\", units: \"0\") {
            remaining overageLine held available } }";
        let answer = self.ask(query, json!({ "who": who })).await["entitlement"].clone();
        let terms = ["remaining", "overageLine", "held"].map(|name| text(&answer[name]));
        let number = |place: usize| credits(&terms[place]).raw();
        let available = answer["available"].as_str().map(str::to_owned);
        if let Some(available) = &available {
            let left = (number(0) + number(1) - number(2)).max(0);
            assert_eq!(credits(available).raw(), left, "{answer}");
        }
        let [remaining, line, held] = terms;
        [
            remaining,
            line,
            held,
            available.unwrap_or_else(|| "no limit".to_owned()),
        ]
    }

    /// Remaining, held and available as the balance says.
    async fn balance(&self, who: &str) -> [String; 3] {
        let query =
            "query ($who: String!) { customer(externalId: $who) { balance { remaining held available } } }";
        let found = self.ask(query, json!({ "who": who })).await["customer"]["balance"].clone();
        ["remaining", "held", "available"].map(|name| found[name].as_str().unwrap_or("no limit").to_owned())
    }

    async fn read(&self, id: &str) -> Value {
        let query = format!("query ($id: ID!) {{ node(id: $id) {{ ... on Reservation {{ {SHOWN} }} }} }}");
        self.ask(&query, json!({ "id": id })).await["node"].clone()
    }

    async fn state(&self, id: &str) -> String {
        text(&self.read(id).await["state"])
    }
}

/// `CAPTURED`, `REFUSED OVERAGE_LIMIT_REACHED`, `CAPTURED again`.
fn told(result: &Value) -> String {
    let outcome = text(&result["outcome"]);
    match (result["reason"].as_str(), result["idempotentReplay"].as_bool()) {
        (Some(reason), _) => format!("{outcome} {reason}"),
        (None, Some(true)) => format!("{outcome} again"),
        _ => outcome,
    }
}

fn used(id: &str, units: &str) -> Value {
    json!({ "reservationId": id, "units": units })
}

/// A till, and `a` with so many credits, each call for one.
async fn till(world: &World, credits: &str) -> (Till, CustomerId) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, credits).await;
    (Till::open(world).await, id)
}

fn three(terms: &[String; 4]) -> [&str; 3] {
    [&terms[0], &terms[2], &terms[3]]
}

/// Two processes, a thousand requests at once, and half as many credits.
async fn a_thousand_at_once_pass_no_limit(world: World) {
    let (one, id) = till(&world, "500").await;
    let other = Till::open(&world.another().await).await;
    let asks = (0..1_000).map(|number| {
        let till = if number % 2 == 0 { &one } else { &other };
        async move { till.reserve(vec![till.wish("a", "1")]).await.remove(0) }
    });
    let made = join_all(asks).await;
    let held: Vec<&Value> = made.iter().filter(|it| told(it) == "RESERVED").collect();
    assert_eq!(held.len(), 500);
    let refused = made
        .iter()
        .filter(|it| told(it) == "REFUSED INSUFFICIENT_CREDITS");
    assert_eq!(refused.count(), 500);
    assert_eq!(one.balance("a").await, ["500", "500", "0"]);
    assert_eq!(three(&one.terms("a").await), ["500", "500", "0"]);
    // Some are captured, some given up, all at once: what is freed can be held again, and no more.
    let ends = held.iter().enumerate().map(|(number, it)| {
        let till = if number % 2 == 0 { &other } else { &one };
        let id = text(&it["reservation"]["id"]);
        async move {
            match number % 5 {
                0 => told(&till.release(&[&id]).await[0]),
                _ => till.captures(&id, "1").await,
            }
        }
    });
    let ends = join_all(ends).await;
    let count = |wanted: &str| ends.iter().filter(|it| *it == wanted).count();
    assert_eq!((count("RELEASED"), count("CAPTURED")), (100, 400));
    assert_eq!(world.pending().await, 0, "all of it is debited at once");
    assert_eq!(world.stands(id).await, ("100".into(), "0".into()));
    assert_eq!(one.asks("a", "101").await, "REFUSED INSUFFICIENT_CREDITS");
    assert_eq!(other.asks("a", "100").await, "RESERVED");
}

async fn the_terms_add_up(world: World) {
    let (till, id) = till(&world, "10").await;
    assert_eq!(till.terms("a").await, ["10", "0", "0", "10"]);
    let mut watched = crate::live::watch(&world, id, None).await;
    assert_eq!(
        crate::live::heard(&mut watched).await.available,
        Some(credits("10"))
    );
    till.hold("a", "4").await;
    assert_eq!(till.terms("a").await, ["10", "0", "4", "6"]);
    assert_eq!(till.balance("a").await, ["10", "4", "6"]);
    let update = crate::live::heard(&mut watched).await;
    assert_eq!(
        (update.remaining, update.available, update.held),
        (credits("10"), Some(credits("6")), credits("4"))
    );
    let refused = till.reserve(vec![till.wish("a", "7")]).await.remove(0);
    assert_eq!(told(&refused), "REFUSED INSUFFICIENT_CREDITS");
    assert_eq!(
        (&refused["available"], &refused["missing"]),
        (&json!("6"), &json!("1"))
    );
    // Usage that has happened is recorded whatever is held.
    world.consume(id, "call", "8").await;
    assert_eq!(till.terms("a").await, ["2", "0", "4", "0"]);
    world.run_to_rest().await;
    assert_eq!(till.balance("a").await, ["2", "4", "0"]);
    let adjusted = app::credit::Adjust {
        customer: CustomerRef::Id(id),
        credits: credits("5"),
        description: None,
    };
    let adjusted = app::credit::adjust(&world.app, &world.actor, adjusted, &world.key()).await;
    let balance = adjusted.unwrap().value.balance;
    assert_eq!(
        (balance.held, balance.available),
        (credits("4"), Some(credits("3")))
    );
}

async fn what_was_used_is_debited_and_the_rest_is_free(world: World) {
    let (till, id) = till(&world, "20").await;
    for (held, units, left) in [("5", "5", "15"), ("5", "2", "13"), ("5", "0.5", "12.5")] {
        let hold = till.hold("a", held).await;
        assert_eq!(till.captures(&hold, units).await, "CAPTURED");
        assert_eq!(till.balance("a").await, [left, "0", left]);
        assert_eq!(three(&till.terms("a").await), [left, "0", left]);
        let seen = till.read(&hold).await;
        assert_eq!(
            [&seen["state"], &seen["capturedUnits"], &seen["capturedLate"]],
            [&json!("CAPTURED"), &json!(units), &json!(false)]
        );
    }
    let hold = till.hold("a", "5").await;
    assert_eq!(till.captures(&hold, "0").await, "RELEASED");
    assert_eq!(till.captures(&hold, "0").await, "RELEASED again");
    assert_eq!(till.balance("a").await, ["12.5", "0", "12.5"]);
    assert_eq!(world.ledger(id).await.len(), 4, "one grant, three debits");
    assert_eq!(world.pending().await, 0);
}

async fn a_capture_is_made_once(world: World) {
    let (till, _) = till(&world, "20").await;
    let hold = till.hold("a", "5").await;
    let first = till
        .capture(vec![used(&hold, "3"), used(&hold, "3"), used(&hold, "4")])
        .await;
    let outcomes: Vec<String> = first.iter().map(told).collect();
    assert_eq!(
        outcomes,
        ["CAPTURED", "CAPTURED again", "CONFLICT CAPTURED_OTHERWISE"]
    );
    assert_eq!(first[0]["reservation"], first[1]["reservation"]);
    let again = till.capture(vec![used(&hold, "3")]).await.remove(0);
    assert_eq!(told(&again), "CAPTURED again");
    assert_eq!(again["reservation"], first[0]["reservation"]);
    let many = join_all((0..20).map(|_| till.captures(&hold, "3"))).await;
    assert!(many.iter().all(|it| it == "CAPTURED again"), "{many:?}");
    assert_eq!(till.balance("a").await, ["17", "0", "17"]);
    // At the same moment by two: one is first.
    let (other, hold) = (
        Till::open(&world.another().await).await,
        till.hold("a", "5").await,
    );
    let mut both = join_all([till.captures(&hold, "5"), other.captures(&hold, "5")]).await;
    both.sort();
    assert_eq!(both, ["CAPTURED", "CAPTURED again"]);
    assert_eq!(till.balance("a").await, ["12", "0", "12"]);
}

async fn more_than_was_reserved_needs_leave(world: World) {
    let (till, _) = till(&world, "10").await;
    let hold = till.hold("a", "5").await;
    assert_eq!(till.captures(&hold, "12").await, "REJECTED EXCEEDS_RESERVATION");
    assert_eq!(till.balance("a").await, ["10", "5", "5"]);
    let more = json!({ "reservationId": hold, "units": "12", "allowMore": true });
    let done = till.capture(vec![more]).await.remove(0);
    assert_eq!(told(&done), "CAPTURED");
    assert_eq!(till.balance("a").await, ["-2", "0", "0"]);
    assert_eq!(till.captures(&hold, "12").await, "CAPTURED again");
}

async fn a_captured_reservation_is_usage_like_any_other(world: World) {
    let (till, id) = till(&world, "10").await;
    world
        .try_rule("call", &[("model", "large")], per_unit("3"), None)
        .await
        .unwrap();
    let mut wish = till.wish("a", "2");
    wish["properties"] = json!({ "model": "large" });
    let made = till.reserve(vec![wish]).await.remove(0);
    assert_eq!(made["reservation"]["credits"], "6");
    let hold = text(&made["reservation"]["id"]);
    let earlier = world.now();
    world.advance(60);
    let capture = json!({ "reservationId": hold, "units": "2", "occurredAt": earlier.to_string() });
    let done = till.capture(vec![capture]).await.remove(0);
    assert_eq!(told(&done), "CAPTURED");
    let query = "query ($key: String!) { usageEvent(key: $key) { id state units credits occurredAt receivedAt properties } }";
    let key = format!("hold:{hold}");
    let event = till.ask(query, json!({ "key": key })).await["usageEvent"].clone();
    assert_eq!(event["id"], done["reservation"]["eventId"]);
    assert_eq!(
        [
            &event["state"],
            &event["units"],
            &event["credits"],
            &event["properties"]
        ],
        [
            &json!("RATED"),
            &json!("2"),
            &json!("6"),
            &json!({ "model": "large" })
        ]
    );
    assert_eq!(event["occurredAt"], earlier.to_string());
    assert_eq!(event["receivedAt"], world.now().to_string());
    let lines = world.ledger(id).await;
    assert_eq!(lines.last().unwrap().credits, credits("-6"));
    world.void(&key).await.unwrap();
    assert_eq!(till.balance("a").await, ["10", "0", "10"]);
    assert_eq!(
        till.captures(&hold, "2").await,
        "CAPTURED again",
        "it was taken back"
    );
    // Not in the future, and not of another age.
    let hold = till.hold("a", "1").await;
    for (seconds, reason) in [
        (600, "OCCURRED_IN_FUTURE"),
        (-40 * 86_400, "OCCURRED_TOO_LONG_AGO"),
    ] {
        let occurred = world.now().plus_seconds(seconds).to_string();
        let capture = json!({ "reservationId": hold, "units": "1", "occurredAt": occurred });
        let done = till.capture(vec![capture]).await.remove(0);
        assert_eq!(told(&done), format!("REJECTED {reason}"));
    }
    // A producer that has taken the name of the event stands in nobody's way but its own.
    let taken = app::usage::NewEvent {
        key: format!("hold:{hold}"),
        ..world.event(id, "call", "7")
    };
    world.accept(vec![taken]).await;
    assert_eq!(till.captures(&hold, "1").await, "REJECTED IDEMPOTENCY_CONFLICT");
    assert_eq!(till.state(&hold).await, "OPEN");
    assert_eq!(told(&till.release(&[&hold]).await[0]), "RELEASED");
}

async fn usage_is_recorded_when_its_reservation_is_over(world: World) {
    let (till, _) = till(&world, "20").await;
    let mut holds = Vec::new();
    for _ in 0..3 {
        let mut wish = till.wish("a", "2");
        wish["expiresInSeconds"] = json!(30);
        holds.push(till.hold_with(wish).await);
    }
    till.release(&[&holds[0]]).await;
    assert_eq!(till.captures(&holds[0], "2").await, "CAPTURED_LATE");
    assert_eq!(till.balance("a").await, ["18", "4", "14"]);
    world.advance(30);
    // Found past its deadline before a worker came round, and after.
    assert_eq!(till.captures(&holds[1], "2").await, "CAPTURED_LATE");
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    assert_eq!(
        till.captures(&holds[2], "3").await,
        "REJECTED EXCEEDS_RESERVATION"
    );
    assert_eq!(till.captures(&holds[2], "2").await, "CAPTURED_LATE");
    for hold in &holds {
        assert_eq!(till.captures(hold, "2").await, "CAPTURED_LATE again");
        let seen = till.read(hold).await;
        assert_eq!(
            (&seen["state"], &seen["capturedLate"]),
            (&json!("CAPTURED"), &json!(true))
        );
    }
    assert_eq!(till.balance("a").await, ["14", "0", "14"]);
}

async fn what_is_given_up_is_free_once(world: World) {
    let (till, _) = till(&world, "10").await;
    let (one, two, three) = (
        till.hold("a", "2").await,
        till.hold("a", "3").await,
        till.hold("a", "4").await,
    );
    till.captures(&two, "3").await;
    let nobody = "hld_01jd00000000000000000000zz";
    let ends = till.release(&[&one, &two, &one, nobody, "evt_1", &three]).await;
    let ends: Vec<String> = ends.iter().map(told).collect();
    assert_eq!(
        ends,
        [
            "RELEASED",
            "REJECTED ALREADY_CAPTURED",
            "RELEASED again",
            "REJECTED UNKNOWN_RESERVATION",
            "REJECTED UNKNOWN_RESERVATION",
            "RELEASED"
        ]
    );
    assert_eq!(told(&till.release(&[&one]).await[0]), "RELEASED again");
    assert_eq!(till.balance("a").await, ["7", "0", "7"]);
    assert_eq!(till.state(&one).await, "RELEASED");
}

async fn nothing_is_held_past_its_deadline(world: World) {
    let (till, _) = till(&world, "10").await;
    let mut wish = till.wish("a", "10");
    wish["expiresInSeconds"] = json!(30);
    let hold = till.hold_with(wish).await;
    world.advance_micros(29_999_999);
    assert_eq!(three(&till.terms("a").await), ["10", "10", "0"]);
    assert_eq!(till.asks("a", "1").await, "REFUSED INSUFFICIENT_CREDITS");
    assert_eq!(till.state(&hold).await, "OPEN");
    world.advance_micros(1);
    // Its holder has died, and no worker has come round.
    assert_eq!(three(&till.terms("a").await), ["10", "0", "10"]);
    assert_eq!(till.balance("a").await, ["10", "0", "10"]);
    assert_eq!(till.state(&hold).await, "EXPIRED");
    let short = till.hold("a", "4").await;
    assert_eq!(till.balance("a").await, ["10", "4", "6"]);
    world.run_to_rest().await;
    let seen = till.read(&hold).await;
    assert_eq!(seen["state"], "EXPIRED");
    assert!(seen["endedAt"].is_string(), "{seen}");
    assert_eq!(till.state(&short).await, "OPEN");
    assert_eq!(till.balance("a").await, ["10", "4", "6"]);
    assert_eq!(told(&till.release(&[&hold]).await[0]), "RELEASED again");
    world.advance(900);
    world.run_to_rest().await;
    assert_eq!(till.balance("a").await, ["10", "0", "10"]);
}

async fn clock(world: &World) -> (TestClockId, CustomerId) {
    let input = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(at("2027-01-01")),
    };
    let made = test_clock::create(&world.app, &world.actor, input, &world.key()).await;
    let clock = made.unwrap().value.id;
    let input = CreateCustomer {
        external_id: "a".to_owned(),
        clock: Some(clock),
        ..CreateCustomer::default()
    };
    let made = customer::create(&world.app, &world.actor, input, &world.key()).await;
    (clock, made.unwrap().value.id)
}

async fn a_clock_frees_what_is_held_by_it(world: World) {
    world.priced("call", per_unit("1")).await;
    let (clock, id) = clock(&world).await;
    world.give(id, "10").await;
    let till = Till::open(&world).await;
    let hold = till.hold("a", "4").await;
    let seen = till.read(&hold).await;
    assert_eq!(
        (&seen["createdAt"], &seen["expiresAt"]),
        (&json!("2027-01-01T00:00:00Z"), &json!("2027-01-01T00:15:00Z"))
    );
    // The clock on the wall moves nothing of it.
    world.advance(86_400);
    world.run_to_rest().await;
    assert_eq!(till.balance("a").await, ["10", "4", "6"]);
    let move_to = async |to: &str| {
        let input = AdvanceTestClock { clock, to: at(to) };
        test_clock::send(&world.app, &world.actor, input, &world.key())
            .await
            .unwrap();
        world.catch_up().await;
    };
    move_to("2027-01-01T00:14:59Z").await;
    assert_eq!(three(&till.terms("a").await), ["10", "4", "6"]);
    let second = till.hold("a", "6").await;
    move_to("2027-01-01T00:15:00Z").await;
    assert_eq!(three(&till.terms("a").await), ["10", "6", "4"]);
    assert_eq!(till.balance("a").await, ["10", "6", "4"]);
    assert_eq!(till.read(&hold).await["endedAt"], "2027-01-01T00:15:00Z");
    assert_eq!(till.captures(&second, "5").await, "CAPTURED");
    assert_eq!(till.captures(&hold, "1").await, "CAPTURED_LATE");
    assert_eq!(till.balance("a").await, ["4", "0", "4"]);
    let key = format!("hold:{second}");
    let event = app::usage::event(&world.app, &world.actor, &key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.received_at, at("2027-01-01T00:15:00Z"));
}

async fn each_of_a_batch_is_judged_by_itself(world: World) {
    let (till, _) = till(&world, "10").await;
    let other = world.customer("b").await;
    world.give(other, "3").await;
    world.metric("old").await;
    let archived = app::catalog::UpdateMetric {
        archived: Some(true),
        ..Default::default()
    };
    app::catalog::update_metric(&world.app, &world.actor, "old", archived)
        .await
        .unwrap();
    let with = |name: &str, value: Value| {
        let mut wish = till.wish("a", "1");
        wish[name] = value;
        wish
    };
    let wishes = vec![
        till.wish("a", "6"),
        till.wish("nobody", "1"),
        till.wish("a", "5"),
        till.wish("b", "3"),
        with("metricKey", json!("other")),
        with("metricKey", json!("old")),
        with("units", json!("0")),
        with("units", json!("-1")),
        with("units", json!("many")),
        with("idempotencyKey", json!("")),
        with("expiresInSeconds", json!(0)),
        with("expiresInSeconds", json!(86_401)),
        with("properties", json!({ "a": [1] })),
        with("customerId", json!("cus_1")),
        till.wish("a", "4"),
        till.wish("b", "0.000001"),
    ];
    let made = till.reserve(wishes).await;
    let outcomes: Vec<String> = made.iter().map(told).collect();
    assert_eq!(
        outcomes,
        [
            "RESERVED",
            "REJECTED UNKNOWN_CUSTOMER",
            "REFUSED INSUFFICIENT_CREDITS",
            "RESERVED",
            "REJECTED UNKNOWN_METRIC",
            "REJECTED ARCHIVED_METRIC",
            "REJECTED INVALID_UNITS",
            "REJECTED INVALID_UNITS",
            "REJECTED INVALID_UNITS",
            "REJECTED INVALID_KEY",
            "REJECTED INVALID_TIME",
            "REJECTED INVALID_TIME",
            "REJECTED INVALID_PROPERTIES",
            "REJECTED UNKNOWN_CUSTOMER",
            "RESERVED",
            "REFUSED INSUFFICIENT_CREDITS"
        ]
    );
    assert_eq!(till.balance("a").await, ["10", "10", "0"]);
    let id = |place: usize| text(&made[place]["reservation"]["id"]);
    let ends = till
        .capture(vec![
            used(&id(0), "6"),
            used("hld_1", "1"),
            used(&id(3), "4"),
            used(&id(3), "-1"),
            used(&id(14), "0"),
            used(&id(3), "1"),
        ])
        .await;
    let ends: Vec<String> = ends.iter().map(told).collect();
    assert_eq!(
        ends,
        [
            "CAPTURED",
            "REJECTED UNKNOWN_RESERVATION",
            "REJECTED EXCEEDS_RESERVATION",
            "REJECTED INVALID_UNITS",
            "RELEASED",
            "CAPTURED"
        ]
    );
    assert_eq!(till.balance("a").await, ["4", "0", "4"]);
    assert_eq!(till.balance("b").await, ["2", "0", "2"]);
    // Too many, or none, is said of the request.
    let query = "mutation ($input: ReserveUsageInput!) { reserveUsage(input: $input) { results { index } userErrors { code path } } }";
    for count in [0, 101] {
        let wishes: Vec<Value> = (0..count).map(|_| till.wish("a", "1")).collect();
        let payload = till
            .ask(query, json!({ "input": { "reservations": wishes } }))
            .await;
        let errors = json!([{ "code": "INVALID_INPUT", "path": ["input", "reservations"] }]);
        assert_eq!(payload["reserveUsage"]["userErrors"], errors);
    }
    let wishes: Vec<Value> = (0..100).map(|_| till.wish("a", "0.01")).collect();
    let made = till.reserve(wishes).await;
    assert!(made.iter().all(|it| told(it) == "RESERVED"));
    assert_eq!(till.balance("a").await, ["4", "1", "3"]);
}

async fn a_key_holds_once(world: World) {
    let (till, _) = till(&world, "10").await;
    let other = Till::open(&world.another().await).await;
    let (wish, more) = (till.wish("a", "4"), till.wish("a", "8"));
    let (mut else_, mut longer) = (wish.clone(), wish.clone());
    else_["units"] = json!("5");
    longer["expiresInSeconds"] = json!(60);
    let made = till
        .reserve(vec![wish.clone(), wish.clone(), else_, longer, more.clone()])
        .await;
    let outcomes: Vec<String> = made.iter().map(told).collect();
    assert_eq!(
        outcomes,
        [
            "RESERVED",
            "DUPLICATE",
            "CONFLICT IDEMPOTENCY_CONFLICT",
            "CONFLICT IDEMPOTENCY_CONFLICT",
            "REFUSED INSUFFICIENT_CREDITS"
        ]
    );
    assert_eq!(made[0]["reservation"], made[1]["reservation"]);
    let again = other.reserve(vec![wish]).await.remove(0);
    assert_eq!(told(&again), "DUPLICATE");
    assert_eq!(again["reservation"], made[0]["reservation"]);
    // A refusal is not remembered.
    till.release(&[&text(&made[0]["reservation"]["id"])]).await;
    assert_eq!(told(&till.reserve(vec![more]).await[0]), "RESERVED");
    // At the same moment by two: one is first. For two customers, the second has no say.
    let id = world.customer("b").await;
    world.give(id, "10").await;
    for who in ["a", "b"] {
        let wish = till.wish("a", "0.1");
        let mut second = wish.clone();
        second["externalCustomerId"] = json!(who);
        let made = join_all([till.reserve(vec![wish]), other.reserve(vec![second])]).await;
        let mut outcomes: Vec<String> = made.iter().map(|it| told(&it[0])).collect();
        outcomes.sort();
        outcomes.reverse();
        let loser = if who == "a" {
            "DUPLICATE"
        } else {
            "CONFLICT IDEMPOTENCY_CONFLICT"
        };
        assert_eq!(outcomes, ["RESERVED", loser]);
    }
}

async fn waiting_usage_counts_before_it_is_debited(world: World) {
    let (till, id) = till(&world, "10").await;
    world.consume(id, "call", "7").await;
    assert_eq!(world.pending().await, 1);
    assert_eq!(till.asks("a", "4").await, "REFUSED INSUFFICIENT_CREDITS");
    let hold = till.hold("a", "3").await;
    assert_eq!(world.pending().await, 1, "nothing has to be debited for it");
    // A capture debits what came before it as well.
    assert_eq!(till.captures(&hold, "3").await, "CAPTURED");
    assert_eq!(world.pending().await, 0);
    assert_eq!(till.balance("a").await, ["0", "0", "0"]);
}

async fn holds_of_one_count_are_priced_together(world: World) {
    world
        .priced("call", graduated(&[("10", "0"), ("20", "1"), ("", "0.5")]))
        .await;
    world.priced("sms", volume(&[("10", "1"), ("", "0.5")])).await;
    world.priced("job", flat("2")).await;
    let id = world.customer("a").await;
    world.give(id, "12").await;
    let till = Till::open(&world).await;
    // What is free of charge moves the count all the same.
    let free = till.hold("a", "9").await;
    assert_eq!(till.balance("a").await, ["12", "0", "12"]);
    let dear = till.hold("a", "3").await;
    assert_eq!(till.read(&dear).await["credits"], "2");
    let answer = till
        .ask(
            r#"{ entitlement(externalCustomerId: "a", metricKey: "call", units: "9") { cost held } }"#,
            json!({}),
        )
        .await;
    assert_eq!(answer["entitlement"], json!({ "cost": "8.5", "held": "2" }));
    // Without the first the second is free as well.
    till.release(&[&free]).await;
    assert_eq!(three(&till.terms("a").await), ["12", "0", "12"]);
    assert_eq!(
        till.balance("a").await,
        ["12", "2", "10"],
        "as priced when it was made"
    );
    assert_eq!(till.captures(&dear, "3").await, "CAPTURED");
    assert_eq!(till.balance("a").await, ["12", "0", "12"]);
    // Eleven are cheaper than ten, but ten may be all that is used.
    let of = |metric: &str, units: &str| {
        let mut wish = till.wish("a", units);
        wish["metricKey"] = json!(metric);
        wish
    };
    let made = till
        .reserve(vec![of("sms", "11"), of("job", "1"), of("job", "500")])
        .await;
    assert_eq!(made[0]["reservation"]["credits"], "10");
    assert_eq!(made[1]["reservation"]["credits"], "2");
    assert_eq!(told(&made[2]), "REFUSED INSUFFICIENT_CREDITS", "each is an event");
}

async fn terms_and_subscriptions_decide_as_in_the_gate(world: World) {
    let (till, id) = till(&world, "2").await;
    let terms = async |at_zero, line: Option<&str>| {
        let input = customer::UpdateCustomer {
            at_zero: Some(at_zero),
            overage_line: Some(line.map(credits)),
            ..Default::default()
        };
        customer::update(&world.app, &world.actor, &CustomerRef::Id(id), input)
            .await
            .unwrap();
    };
    terms(AtZero::AllowUpTo, Some("5")).await;
    assert_eq!(till.asks("a", "8").await, "REFUSED OVERAGE_LIMIT_REACHED");
    assert_eq!(till.asks("a", "6").await, "RESERVED");
    assert_eq!(till.terms("a").await, ["2", "5", "6", "1"]);
    terms(AtZero::Allow, None).await;
    assert_eq!(till.asks("a", "1000").await, "RESERVED");
    assert_eq!(till.terms("a").await, ["2", "0", "1006", "no limit"]);
    assert_eq!(till.balance("a").await, ["2", "1006", "no limit"]);
    // The credits of a cycle that has begun count from its first instant, whenever a worker comes round.
    let plan = world.sells(variant(Mode::Postpaid), vec![template("50")]).await;
    let second = world.customer("b").await;
    world.subscribe(second, plan).await;
    let hold = till.hold("b", "50").await;
    assert_eq!(till.asks("b", "1").await, "REFUSED INSUFFICIENT_CREDITS");
    assert_eq!(till.captures(&hold, "50").await, "CAPTURED");
    let end = world.now().plus_seconds(32 * 86_400);
    world.move_to(end);
    let hold = till.hold("b", "50").await;
    // Its usage waits for the turn, and is seen meanwhile.
    assert_eq!(till.captures(&hold, "30").await, "CAPTURED");
    assert_eq!(world.pending().await, 1);
    assert_eq!(till.asks("b", "21").await, "REFUSED INSUFFICIENT_CREDITS");
    world.run_to_rest().await;
    assert_eq!(till.balance("b").await, ["20", "0", "20"]);
}

/// While holds are captured, whoever reads sees each either held or debited.
async fn the_balance_never_shows_both_or_neither(world: World) {
    let (till, _) = till(&world, "100").await;
    let holds = join_all((0..20).map(|_| till.hold("a", "3"))).await;
    let stop = CancellationToken::new();
    let read = async {
        let mut seen = 0;
        while !stop.is_cancelled() {
            assert_eq!(till.balance("a").await[2], "40");
            assert_eq!(till.terms("a").await[3], "40");
            seen += 1;
        }
        seen
    };
    let capture = async {
        for hold in &holds {
            assert_eq!(till.captures(hold, "3").await, "CAPTURED");
        }
        stop.cancel();
    };
    let (seen, ()) = tokio::join!(read, capture);
    assert!(seen > 2, "{seen}");
}

async fn other_processes_see_what_is_held(world: World) {
    let (till, _) = till(&world, "10").await;
    let process = world.another().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(Feed::run(process.app.clone(), stop.clone()));
    let other = Till::open(&process).await;
    assert_eq!(three(&other.terms("a").await), ["10", "0", "10"]);
    let comes_to = async |wanted: [&str; 3]| {
        let begun = Instant::now();
        while three(&other.terms("a").await) != wanted {
            assert!(begun.elapsed() < NOTICED, "{wanted:?} is not noticed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let hold = till.hold("a", "4").await;
    comes_to(["10", "4", "6"]).await;
    // Reserving does not depend on what a gate remembers.
    assert_eq!(other.asks("a", "7").await, "REFUSED INSUFFICIENT_CREDITS");
    till.captures(&hold, "1").await;
    comes_to(["9", "0", "9"]).await;
    stop.cancel();
    running.await.unwrap();
}

async fn a_customer_that_needs_attention(world: World) {
    let (till, id) = till(&world, "10").await;
    let hold = till.hold("a", "4").await;
    let damage = |sign: &str| {
        let who = world.literal(id.0);
        format!("UPDATE account SET blocks = blocks {sign} 1 WHERE customer_id = {who}")
    };
    world.sabotage(&damage("+")).await;
    let run = audit::full(&world.app, audit::Reached::All, |_, _| ())
        .await
        .unwrap();
    assert!(run.violations > 0);
    assert_eq!(till.asks("a", "1").await, "REJECTED CUSTOMER_FROZEN");
    // What was used is recorded all the same: it waits, because the drain refuses such books.
    assert_eq!(till.captures(&hold, "3").await, "CAPTURED");
    assert_eq!(world.pending().await, 1);
    world.sabotage(&damage("-")).await;
    let run = audit::full(&world.app, audit::Reached::All, |_, _| ())
        .await
        .unwrap();
    assert_eq!(run.violations, 0, "{:?}", run.first);
    world.run_to_rest().await;
    assert_eq!(till.balance("a").await, ["7", "0", "7"]);
}

async fn what_belongs_to_others_does_not_exist(world: World) {
    let (till, _) = till(&world, "10").await;
    let stranger = world.stranger().await;
    let other = Till::open(&stranger).await;
    let hold = till.hold("a", "4").await;
    assert_eq!(other.captures(&hold, "1").await, "REJECTED UNKNOWN_RESERVATION");
    let ends = other.release(&[&hold]).await;
    assert_eq!(told(&ends[0]), "REJECTED UNKNOWN_RESERVATION");
    assert_eq!(other.read(&hold).await, Value::Null);
    assert_eq!(other.asks("a", "1").await, "REJECTED UNKNOWN_CUSTOMER");
    assert_eq!(till.state(&hold).await, "OPEN");
}

async fn lists_say_what_is_open(world: World) {
    let (till, _) = till(&world, "100").await;
    let mut ids = Vec::new();
    for seconds in [30, 600, 600, 600] {
        let mut wish = till.wish("a", "2");
        wish["expiresInSeconds"] = json!(seconds);
        ids.push(till.hold_with(wish).await);
        world.advance_micros(1_000);
    }
    till.captures(&ids[1], "1").await;
    till.release(&[&ids[2]]).await;
    world.advance(60);
    let listed = async |arguments: &str| {
        let query = format!(
            "{{ customer(externalId: \"a\") {{ reservations{arguments} {{ nodes {{ id state }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        );
        let page = till.ask(&query, json!({})).await["customer"]["reservations"].clone();
        let nodes = list(&page["nodes"])
            .iter()
            .map(|it| text(&it["id"]))
            .collect::<Vec<_>>();
        (nodes, page["pageInfo"].clone())
    };
    let (all, _) = listed("").await;
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(all, newest);
    let (some, more) = listed("(first: 3)").await;
    assert_eq!(some, newest[..3]);
    assert_eq!(more["hasNextPage"], true);
    let (rest, _) = listed(&format!("(first: 3, after: {})", more["endCursor"])).await;
    assert_eq!(rest, newest[3..]);
    for round in 0..2 {
        for (state, place) in [("EXPIRED", 0), ("CAPTURED", 1), ("RELEASED", 2), ("OPEN", 3)] {
            let (found, _) = listed(&format!("(state: {state})")).await;
            assert_eq!(found, ids[place..=place], "{state} {round}");
        }
        job::sweep(&world.app).await.unwrap();
        world.run_jobs().await;
    }
}

async fn a_customer_holds_so_many_at_most(world: World) {
    let (till, id) = till(&world, "10").await;
    let who = world.literal(id.0);
    world
        .sabotage(&format!(
            "UPDATE account SET holds = 1999 WHERE customer_id = {who}"
        ))
        .await;
    let made = till.reserve(vec![till.wish("a", "1"), till.wish("a", "1")]).await;
    let outcomes: Vec<String> = made.iter().map(told).collect();
    assert_eq!(outcomes, ["RESERVED", "REJECTED TOO_MANY_OPEN"]);
    world
        .sabotage(&format!("UPDATE account SET holds = 1 WHERE customer_id = {who}"))
        .await;
}

/// Makes the one open hold of a customer 2,000.
async fn multiply(world: &World, id: CustomerId) {
    let (any, own) = (world.any_id(), world.literal(id.0));
    world
        .sabotage(&format!(
            "INSERT INTO hold (id, tenant_id, customer_id, metric_id, key, fingerprint, units, credits, state, made_at, expires_at, late)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
             SELECT {any}, h.tenant_id, h.customer_id, h.metric_id, 'copy:' || n.i, h.fingerprint, h.units, h.credits, h.state, h.made_at,
                h.expires_at, 0
             FROM n, hold h WHERE h.customer_id = {own}"
        ))
        .await;
    world
        .sabotage(&format!(
            "UPDATE account SET holds = holds * 2000, held = held * 2000, revision = revision + 1 WHERE customer_id = {own}"
        ))
        .await;
}

async fn what_has_run_out_keeps_nobody_from_holding(world: World) {
    let (till, id) = till(&world, "3000").await;
    let mut wish = till.wish("a", "1");
    wish["expiresInSeconds"] = json!(30);
    till.hold_with(wish).await;
    multiply(&world, id).await;
    assert_eq!(till.asks("a", "1").await, "REJECTED TOO_MANY_OPEN");
    world.advance_micros(29_999_999);
    assert_eq!(till.asks("a", "1").await, "REJECTED TOO_MANY_OPEN");
    assert_eq!(till.balance("a").await, ["3000", "2000", "1000"]);
    // No worker has come round. Another customer at the same moment is nobody's business.
    world.advance_micros(1);
    world.customer("b").await;
    let made = till
        .reserve(vec![
            till.wish("a", "1"),
            till.wish("b", "1"),
            till.wish("a", "2"),
        ])
        .await;
    let outcomes: Vec<String> = made.iter().map(told).collect();
    assert_eq!(outcomes, ["RESERVED", "REFUSED INSUFFICIENT_CREDITS", "RESERVED"]);
    assert_eq!(till.balance("a").await, ["3000", "3", "2997"]);
    world.run_to_rest().await;
    assert_eq!(till.balance("a").await, ["3000", "3", "2997"]);
}

async fn a_limit_is_reached_by_the_customer_s_own_time(world: World) {
    world.priced("call", per_unit("1")).await;
    let (_, id) = clock(&world).await;
    world.give(id, "3000").await;
    let till = Till::open(&world).await;
    till.hold("a", "1").await;
    multiply(&world, id).await;
    // Its clock stands still, so nothing has run out, whatever the one on the wall says.
    world.advance(2 * 366 * 86_400);
    assert_eq!(till.asks("a", "1").await, "REJECTED TOO_MANY_OPEN");
    assert_eq!(till.balance("a").await, ["3000", "2000", "1000"]);
}
