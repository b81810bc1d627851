//! Spend management: nobody spends more than it wants to, hears of it once, and sees what it has spent.

use std::sync::Arc;

use api::Limits;
use app::{
    customer::{CustomerRef, UpdateCustomer},
    db::Backend,
    job,
    notify::{self, UpdateMailSetting},
    page::Page,
    spend::MOST_RATINGS,
};
use domain::{id::CustomerId, time::Timestamp};
use entity::spend_period;
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};

use crate::harness::{
    World, at,
    desk::{list, text},
    door::Door,
    graduated,
    paying::{events, told},
    per_unit,
    receiver::Receiver,
};

on_both!(
    a_budget_refuses_until_its_day_is_over,
    a_month_is_limited_as_well,
    reservations_count_against_a_budget,
    gateways_hear_when_it_is_over,
    an_observed_budget_only_reports,
    each_limit_is_told_once_a_period,
    many_workers_tell_a_limit_once,
    a_limit_that_changes_is_told_anew,
    what_was_used_before_counts,
    new_limits_say_nothing_of_days_that_are_over,
    limits_that_change_while_it_is_off_are_told,
    a_budget_counts_what_a_void_returns,
    limits_that_cannot_be_read_let_nobody_pass,
    usage_counts_on_the_day_on_which_it_happened,
    a_test_clock_has_days_of_its_own,
    what_nobody_counts_is_added_up_as_far_as_it_is_little,
    months_that_are_long_over_are_forgotten,
    a_clock_that_is_behind_keeps_its_months,
    the_url_hears_and_can_be_tried,
    wrong_limits_are_refused_by_their_field,
    strangers_limit_nobody,
);

const SHOWN: &str = "enabled mode usedYesterday webhookUrl webhookState
    daily { startsAt resetsAt threshold budget used left beyond }
    monthly { startsAt resetsAt threshold budget used left beyond }";

/// A vendor's program that sets limits and asks the gate, over a world in which a call costs a credit.
struct Till {
    world: World,
    door: Door,
}

impl Till {
    async fn open(world: &World) -> Self {
        world.priced("call", per_unit("1")).await;
        let till = Self {
            door: Door::open(world, Limits::default()).await,
            world: world.clone(),
        };
        till.ask("{ viewer { tenant { name } } }", json!({})).await;
        world.count_tasks().await;
        till
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        self.door.data(query, variables).await
    }

    /// A customer with credits.
    async fn rich(&self, name: &str) -> CustomerId {
        let id = self.world.customer(name).await;
        self.world.give(id, "1000").await;
        id
    }

    async fn update(&self, name: &str, mut settings: Value) -> Value {
        settings["externalCustomerId"] = json!(name);
        let query = format!(
            "mutation ($input: UpdateSpendSettingsInput!) {{ updateSpendSettings(input: $input) {{
                spend {{ webhookSecret settings {{ {SHOWN} }} }} userErrors {{ code path message }} }} }}"
        );
        self.ask(&query, json!({ "input": settings })).await["updateSpendSettings"].clone()
    }

    /// Sets limits that must be accepted; answers how they stand.
    async fn limits(&self, name: &str, settings: Value) -> Value {
        let payload = self.update(name, settings).await;
        assert_eq!(payload["userErrors"], json!([]));
        payload["spend"]["settings"].clone()
    }

    /// What is refused of limits: code and path.
    async fn refused(&self, name: &str, settings: Value) -> String {
        let payload = self.update(name, settings).await;
        assert_eq!(payload["spend"], Value::Null);
        let no = &payload["userErrors"][0];
        let path: Vec<String> = list(&no["path"]).iter().map(text).collect();
        format!("{} {}", text(&no["code"]), path.join("."))
    }

    async fn spend(&self, name: &str) -> Value {
        let query =
            format!("query ($who: String!) {{ customer(externalId: $who) {{ spend {{ {SHOWN} }} }} }}");
        self.ask(&query, json!({ "who": name })).await["customer"]["spend"].clone()
    }

    /// Whether so many calls may be made: what is available, and why not.
    async fn may(&self, name: &str, units: &str) -> Value {
        let query = "query ($who: String!, $units: Decimal) {
            entitlement(externalCustomerId: $who, metricKey: \"call\", units: $units) {
                allowed reason available missing wouldRefuse resetsAt
                dailyBudget { budget used left resetsAt } monthlyBudget { budget used left resetsAt } } }";
        self.ask(query, json!({ "who": name, "units": units })).await["entitlement"].clone()
    }

    /// The same in short: what is available, and the reason of a refusal; `null` for nothing.
    async fn gate(&self, name: &str, units: &str) -> (String, String) {
        let answer = self.may(name, units).await;
        let word = |name: &str| answer[name].as_str().unwrap_or("null").to_owned();
        (word("available"), word("reason"))
    }

    async fn use_up(&self, customer: CustomerId, units: &str) -> String {
        self.world.consume(customer, "call", units).await
    }
}

fn daily(threshold: Option<&str>, budget: Option<&str>) -> Value {
    json!({ "enabled": true, "daily": { "threshold": threshold, "budget": budget } })
}

async fn a_budget_refuses_until_its_day_is_over(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    assert_eq!(
        till.gate("ada", "500").await,
        ("1000".to_owned(), "null".to_owned())
    );
    let shown = till.limits("ada", daily(None, Some("10"))).await;
    assert_eq!(shown["daily"]["left"], "10");
    // From memory and from the books alike.
    till.use_up(ada, "6").await;
    for round in ["accepted", "debited"] {
        assert_eq!(
            till.gate("ada", "4").await,
            ("4".to_owned(), "null".to_owned()),
            "{round}"
        );
        let no = till.may("ada", "5").await;
        assert_eq!(
            (&no["allowed"], &no["reason"], &no["resetsAt"], &no["missing"]),
            (
                &json!(false),
                &json!("DAILY_BUDGET_REACHED"),
                &json!("2026-03-11T00:00:00Z"),
                &json!("0")
            ),
            "{round}"
        );
        let left = json!({ "budget": "10", "used": "6", "left": "4", "resetsAt": "2026-03-11T00:00:00Z" });
        assert_eq!(no["dailyBudget"], left, "{round}");
        assert_eq!(no["monthlyBudget"], Value::Null);
        world.run_to_rest().await;
    }
    let balance = world.balance(ada).await;
    assert_eq!(balance.available.unwrap().to_string(), "4");
    assert_eq!(balance.remaining.to_string(), "994");
    // What happens all the same is recorded and paid.
    till.use_up(ada, "9").await;
    world.run_to_rest().await;
    let spend = till.spend("ada").await;
    assert_eq!(
        (&spend["daily"]["used"], &spend["daily"]["beyond"]),
        (&json!("15"), &json!("5"))
    );
    assert_eq!(
        till.gate("ada", "1").await,
        ("0".to_owned(), "DAILY_BUDGET_REACHED".to_owned())
    );
    assert_eq!(till.gate("ada", "0").await.1, "null", "nothing costs nothing");
    world.move_to(at("2026-03-10T23:59:59Z"));
    assert_eq!(till.gate("ada", "1").await.1, "DAILY_BUDGET_REACHED");
    world.move_to(at("2026-03-11T00:00:00Z"));
    assert_eq!(till.gate("ada", "10").await, ("10".to_owned(), "null".to_owned()));
    let spend = till.spend("ada").await;
    assert_eq!(
        (&spend["daily"]["used"], &spend["usedYesterday"]),
        (&json!("0"), &json!("15"))
    );
    assert_eq!(spend["monthly"]["used"], "15");
    // Switched off it limits nothing, and goes on showing what is used.
    till.limits("ada", json!({ "enabled": false })).await;
    assert_eq!(till.gate("ada", "500").await.1, "null");
    till.use_up(ada, "2").await;
    world.run_to_rest().await;
    let spend = till.spend("ada").await;
    assert_eq!(
        (&spend["daily"]["used"], &spend["usedYesterday"]),
        (&json!("2"), &json!("15"))
    );
    assert_eq!(spend["daily"]["budget"], "10", "its limits are kept");
}

async fn a_month_is_limited_as_well(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    let both = json!({ "enabled": true, "daily": { "budget": "10" }, "monthly": { "budget": "25" } });
    till.limits("ada", both).await;
    for day in ["2026-03-11", "2026-03-12", "2026-03-13"] {
        till.use_up(ada, "8").await;
        world.run_to_rest().await;
        world.move_to(at(&format!("{day}T12:00:00Z")));
    }
    let no = till.may("ada", "2").await;
    assert_eq!(no["reason"], "MONTHLY_BUDGET_REACHED");
    assert_eq!(no["resetsAt"], "2026-04-01T00:00:00Z");
    assert_eq!(
        (&no["dailyBudget"]["left"], &no["monthlyBudget"]["left"]),
        (&json!("10"), &json!("1"))
    );
    assert_eq!(till.gate("ada", "1").await, ("1".to_owned(), "null".to_owned()));
    world.move_to(at("2026-04-01T00:00:00Z"));
    assert_eq!(till.gate("ada", "10").await, ("10".to_owned(), "null".to_owned()));
}

async fn reservations_count_against_a_budget(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("10"))).await;
    till.use_up(ada, "3").await;
    let reserve = async |units: &str| {
        let query = "mutation ($it: [ReservationInput!]!) { reserveUsage(input: { reservations: $it }) {
            results { outcome reason available reservation { id } } } }";
        let wish = json!({ "externalCustomerId": "ada", "metricKey": "call", "units": units,
            "idempotencyKey": world.key() });
        till.ask(query, json!({ "it": [wish] })).await["reserveUsage"]["results"][0].clone()
    };
    let held = reserve("5").await;
    assert_eq!(held["outcome"], "RESERVED");
    let no = reserve("3").await;
    assert_eq!(
        (&no["outcome"], &no["reason"], &no["available"]),
        (&json!("REFUSED"), &json!("DAILY_BUDGET_REACHED"), &json!("2"))
    );
    assert_eq!(till.gate("ada", "2").await, ("2".to_owned(), "null".to_owned()));
    // Used in part: the rest is free again.
    let query = "mutation ($id: ID!) { captureReservation(input: { captures: [{ reservationId: $id, units: \"1\" }] }) {
        results { outcome reason } } }";
    let ended = till.ask(query, json!({ "id": held["reservation"]["id"] })).await;
    assert_eq!(ended["captureReservation"]["results"][0]["outcome"], "CAPTURED");
    world.run_to_rest().await;
    assert_eq!(till.gate("ada", "6").await, ("6".to_owned(), "null".to_owned()));
    // Many at once pass no limit.
    let all = futures::future::join_all((0..20).map(|_| reserve("1"))).await;
    let held = all.iter().filter(|it| it["outcome"] == "RESERVED").count();
    assert_eq!(held, 6);
}

async fn gateways_hear_when_it_is_over(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("10"))).await;
    till.use_up(ada, "10").await;
    world.move_to(at("2026-03-10T23:59:00Z"));
    let request = crate::harness::http().build().unwrap();
    let request = request.get(till.door.url("/gate?customer=ada&metric=call"));
    let answer = request
        .header("x-tallygate-key", till.door.key())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 429);
    let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("x-tallygate-reason"), "DAILY_BUDGET_REACHED");
    assert_eq!(header("x-tallygate-available"), "0");
    let wait: i64 = header("retry-after").parse().unwrap();
    assert!((60..=62).contains(&wait), "{wait}");
}

async fn an_observed_budget_only_reports(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    let mut observed = daily(None, Some("10"));
    observed["mode"] = json!("OBSERVE");
    till.limits("ada", observed).await;
    till.use_up(ada, "12").await;
    world.run_to_rest().await;
    let answer = till.may("ada", "1").await;
    assert_eq!(
        (&answer["allowed"], &answer["reason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(answer["wouldRefuse"], "DAILY_BUDGET_REACHED");
    assert_eq!(answer["available"], "988");
    assert_eq!(world.balance(ada).await.available.unwrap().to_string(), "988");
    let spend = till.spend("ada").await;
    assert_eq!(
        (&spend["mode"], &spend["daily"]["beyond"]),
        (&json!("OBSERVE"), &json!("2"))
    );
    let said = events(&world, ada).await;
    let said = said
        .iter()
        .find(|it| it.kind.as_str() == "spend.budget_reached")
        .unwrap();
    assert_eq!(
        (&said.data["mode"], &said.data["used"]),
        (&json!("observe"), &json!("12"))
    );
    // From now on it counts.
    till.limits("ada", json!({ "mode": "ENFORCE" })).await;
    assert_eq!(till.gate("ada", "1").await.1, "DAILY_BUDGET_REACHED");
}

async fn each_limit_is_told_once_a_period(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(Some("8"), Some("10"))).await;
    let mut last = String::new();
    for (units, wanted) in [
        ("7", vec![]),
        ("1", vec!["spend.threshold_reached"]),
        ("1", vec!["spend.threshold_reached"]),
        ("1", vec!["spend.threshold_reached", "spend.budget_reached"]),
        ("5", vec!["spend.threshold_reached", "spend.budget_reached"]),
    ] {
        last = till.use_up(ada, units).await;
        world.run_to_rest().await;
        assert_eq!(told(&world, ada, "spend.").await, wanted);
    }
    // Taken back and used again is not news.
    world.void(&last).await.unwrap();
    assert_eq!(till.spend("ada").await["daily"]["used"], "10");
    till.use_up(ada, "5").await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 2);
    let said = events(&world, ada).await;
    let said = said
        .iter()
        .find(|it| it.kind.as_str() == "spend.budget_reached")
        .unwrap();
    assert_eq!(said.data["budget"], "10");
    assert_eq!(
        said.data["period"],
        json!({ "start": "2026-03-10T00:00:00Z", "end": "2026-03-11T00:00:00Z" })
    );
    assert_eq!(
        (&said.data["span"], &said.data["mode"]),
        (&json!("day"), &json!("enforce"))
    );
    // A new day begins anew.
    world.move_to(at("2026-03-11T08:00:00Z"));
    till.use_up(ada, "20").await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 4);
}

/// 64 runs of workers that all have usage across both limits: one event, one letter, one message of each.
async fn many_workers_tell_a_limit_once(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    let writes = UpdateMailSetting {
        enabled: Some(true),
        ..UpdateMailSetting::default()
    };
    notify::update_mail_setting(&world.app, &world.actor, writes)
        .await
        .unwrap();
    let address = UpdateCustomer {
        billing_email: Some(Some("ada@example.com".to_owned())),
        ..UpdateCustomer::default()
    };
    app::customer::update(&world.app, &world.actor, &CustomerRef::Id(ada), address)
        .await
        .unwrap();
    let mut settings = daily(Some("20"), Some("40"));
    settings["webhookUrl"] = json!(receiver.url());
    till.limits("ada", settings).await;
    let other = Arc::new(world.sends().await);
    let worker = async |number: usize| {
        let world = if number.is_multiple_of(2) { &world } else { &*other };
        world.accept(vec![world.event(ada, "call", "1")]).await;
        job::run(&world.app, World::drain_job(ada)).await;
    };
    futures::future::join_all((0..64).map(worker)).await;
    let publish = json!({ "kind": "event.publish", "args": world.tenant().to_string() });
    let send = json!({ "kind": "mail.send", "args": "all" });
    for payload in [publish, send] {
        let runs = (0..64).map(|_| job::run(&world.app, payload.clone()));
        futures::future::join_all(runs).await;
    }
    world.run_to_rest().await;
    assert_eq!(till.spend("ada").await["daily"]["used"], "64");
    // One debit may have passed both.
    let both = ["spend.budget_reached", "spend.threshold_reached"];
    for mut heard in [told(&world, ada, "spend.").await, receiver.kinds()] {
        heard.sort();
        assert_eq!(heard, both);
    }
    let outbox = notify::outbox(&world.app, &world.actor, Page::first(100))
        .await
        .unwrap();
    let subjects: Vec<_> = outbox.items.iter().filter_map(|it| it.subject.clone()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(outbox.items.iter().all(|it| it.address == "ada@example.com"));
}

async fn a_limit_that_changes_is_told_anew(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(Some("5"), Some("10"))).await;
    till.use_up(ada, "12").await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 2);
    // The same again says nothing.
    till.limits("ada", daily(Some("5"), Some("10"))).await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 2);
    till.limits("ada", daily(Some("5"), Some("20"))).await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 2);
    assert_eq!(till.gate("ada", "8").await, ("8".to_owned(), "null".to_owned()));
    till.use_up(ada, "8").await;
    world.run_to_rest().await;
    let all = told(&world, ada, "spend.").await;
    assert_eq!(all[2..], ["spend.budget_reached"]);
    // Off and on again on the same day: nothing has changed.
    till.limits("ada", json!({ "enabled": false })).await;
    till.use_up(ada, "1").await;
    world.run_to_rest().await;
    let shown = till.limits("ada", json!({ "enabled": true })).await;
    assert_eq!(shown["daily"]["used"], "21", "also what was used meanwhile");
    assert_eq!(told(&world, ada, "spend.").await.len(), 3);
}

async fn what_was_used_before_counts(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    world.move_to(at("2026-04-30T12:00:00Z"));
    till.use_up(ada, "3").await;
    world.run_to_rest().await;
    world.move_to(at("2026-05-01T00:30:00Z"));
    till.use_up(ada, "7").await;
    world.run_to_rest().await;
    let off = till.spend("ada").await;
    assert_eq!(
        (
            &off["enabled"],
            &off["daily"]["used"],
            &off["usedYesterday"],
            &off["monthly"]["used"]
        ),
        (&json!(false), &json!("7"), &json!("3"), &json!("7"))
    );
    let on = till.limits("ada", daily(Some("6"), Some("10"))).await;
    assert_eq!(
        (&on["daily"]["used"], &on["usedYesterday"]),
        (&json!("7"), &json!("3"))
    );
    assert_eq!(told(&world, ada, "spend.").await, ["spend.threshold_reached"]);
    assert_eq!(
        till.gate("ada", "4").await,
        ("3".to_owned(), "DAILY_BUDGET_REACHED".to_owned())
    );
}

async fn new_limits_say_nothing_of_days_that_are_over(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    world.move_to(at("2026-03-31T12:00:00Z"));
    till.use_up(ada, "50").await;
    world.run_to_rest().await;
    world.move_to(at("2026-04-01T08:00:00Z"));
    let both = json!({ "enabled": true, "daily": { "budget": "10" }, "monthly": { "budget": "20" } });
    till.limits("ada", both).await;
    till.limits("ada", daily(Some("5"), Some("9"))).await;
    let late = |units: &str| {
        let mut event = world.event(ada, "call", units);
        event.occurred_at = Some(at("2026-03-31T23:00:00Z"));
        event
    };
    world.accept(vec![late("5")]).await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await, [""; 0]);
    assert_eq!(till.spend("ada").await["usedYesterday"], "55");
}

async fn limits_that_change_while_it_is_off_are_told(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(Some("8"), None)).await;
    till.use_up(ada, "9").await;
    world.run_to_rest().await;
    let mut other = daily(Some("20"), Some("30"));
    other["enabled"] = json!(false);
    other["mode"] = json!("OBSERVE");
    till.limits("ada", other).await;
    till.limits("ada", json!({ "enabled": true })).await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 1);
    till.use_up(ada, "22").await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 3);
    // Until now it was only observed.
    till.limits("ada", json!({ "mode": "ENFORCE" })).await;
    let all = told(&world, ada, "spend.").await;
    assert_eq!(all[3..], ["spend.budget_reached"]);
}

async fn a_budget_counts_what_a_void_returns(world: World) {
    let till = Till::open(&world).await;
    world
        .priced("tiered", graduated(&[("10", "1"), ("", "0.1")]))
        .await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("20"))).await;
    let first = world.consume(ada, "tiered", "10").await;
    world.consume(ada, "tiered", "100").await;
    world.run_to_rest().await;
    assert_eq!(till.spend("ada").await["daily"]["used"], "20");
    // The first units are the dear ones, whoever used them: only the last ones come back.
    assert_eq!(world.void(&first).await.unwrap().credits.to_string(), "1");
    assert_eq!(till.spend("ada").await["daily"]["used"], "19");
    assert_eq!(
        till.gate("ada", "2").await,
        ("1".to_owned(), "DAILY_BUDGET_REACHED".to_owned())
    );
    // Also after it was counted anew.
    till.limits("ada", json!({ "enabled": false })).await;
    till.limits("ada", json!({ "enabled": true })).await;
    assert_eq!(till.spend("ada").await["daily"]["used"], "19");
}

async fn limits_that_cannot_be_read_let_nobody_pass(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("20"))).await;
    let of = |rule: &str| format!("UPDATE spend_setting SET rule = '{rule}' WHERE rule NOT LIKE 'x'");
    world.sabotage(&of("later words")).await;
    let fresh = world.another().await;
    let door = Door::open(&fresh, Limits::default()).await;
    let query = "{ entitlement(externalCustomerId: \"ada\", metricKey: \"call\") { allowed reason } }";
    let answer = door.ask(query, json!({})).await;
    assert_eq!(
        answer.body["data"]["entitlement"],
        json!({ "allowed": false, "reason": "OUTAGE" })
    );
    assert_eq!(world.balance(ada).await.available.unwrap().to_string(), "0");
    // Nobody takes it for no limits, and writes over it.
    let update = "mutation { updateSpendSettings(input: { externalCustomerId: \"ada\", enabled: false }) { userErrors { code } } }";
    assert_eq!(door.ask(update, json!({})).await.code(), "INTERNAL");
    // Usage does not wait for it.
    till.use_up(ada, "3").await;
    world.run_jobs().await;
    assert_eq!(world.pending().await, 0);
    let daily = r#"{"mode":"ENFORCE","daily":{"threshold":null,"budget":null},"monthly":{"threshold":null,"budget":null}}"#;
    world.sabotage(&of(daily)).await;
    till.limits("ada", json!({ "enabled": false })).await;
}

async fn usage_counts_on_the_day_on_which_it_happened(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("10"))).await;
    world.move_to(at("2026-03-11T00:10:00Z"));
    let late = |units: &str, at: &str| {
        let mut event = world.event(ada, "call", units);
        event.occurred_at = Some(crate::harness::at(at));
        event
    };
    world
        .accept(vec![
            late("9", "2026-03-10T23:59:59Z"),
            late("4", "2026-03-11T00:00:00Z"),
        ])
        .await;
    assert_eq!(till.gate("ada", "6").await, ("6".to_owned(), "null".to_owned()));
    world.run_to_rest().await;
    let spend = till.spend("ada").await;
    assert_eq!(
        (&spend["daily"]["used"], &spend["usedYesterday"]),
        (&json!("4"), &json!("9"))
    );
    // The last of a day comes when it is over, and is told.
    world.accept(vec![late("1", "2026-03-10T23:59:59Z")]).await;
    world.run_to_rest().await;
    let said = events(&world, ada).await;
    let said = said
        .iter()
        .find(|it| it.kind.as_str() == "spend.budget_reached")
        .unwrap();
    assert_eq!(said.data["period"]["end"], "2026-03-11T00:00:00Z");
    // What comes days later is history, and what happened before anybody counted is nobody's.
    world.move_to(at("2026-03-20T00:00:00Z"));
    world
        .accept(vec![
            late("50", "2026-03-12T12:00:00Z"),
            late("50", "2026-02-20T12:00:00Z"),
        ])
        .await;
    world.run_to_rest().await;
    assert_eq!(told(&world, ada, "spend.").await.len(), 1);
    assert_eq!(till.spend("ada").await["monthly"]["used"], "64");
}

async fn a_test_clock_has_days_of_its_own(world: World) {
    let desk = crate::harness::desk::Desk::open(&world).await;
    let till = Till::open(&world).await;
    let clock = desk.clock().await;
    desk.customer(&clock, "ada").await;
    desk.buy("ada", "100").await;
    till.limits("ada", daily(None, Some("10"))).await;
    desk.consume("ada", "10").await;
    assert_eq!(till.gate("ada", "1").await.1, "DAILY_BUDGET_REACHED");
    let now = text(&desk.shown(&clock).await["now"]);
    let tomorrow = at(&now).next_day();
    desk.advance(&clock, &tomorrow.to_string()).await;
    assert_eq!(till.gate("ada", "10").await, ("10".to_owned(), "null".to_owned()));
    assert_eq!(till.spend("ada").await["usedYesterday"], "10");
}

/// Ratings of nothing, of the day before that of the newest, so many that nobody adds them up.
fn ratings_of_nothing(world: &World) -> String {
    let id = match world.app.db().backend() {
        Backend::Sqlite => "unhex(printf('%032x', i))",
        Backend::Postgres => "lpad(to_hex(i), 32, '0')::uuid",
    };
    format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MOST_RATINGS})
         INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id, line_id, rule_id, period_start,
            units, events, credits, purses, detail, settled_at)
         SELECT r.customer_id, r.day - 86400000000, r.metric_id, {id}, {id}, r.tenant_id, r.line_id, r.rule_id, r.period_start,
            0, 0, 0, '[]', '[]', r.settled_at
         FROM (SELECT * FROM usage_rating ORDER BY day DESC LIMIT 1) AS r CROSS JOIN n"
    )
}

async fn what_nobody_counts_is_added_up_as_far_as_it_is_little(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    let off = json!({ "enabled": false, "daily": { "budget": "2" }, "monthly": { "budget": "100" } });
    till.limits("ada", off).await;
    for (day, units) in [("2026-03-10", "7"), ("2026-03-11", "5"), ("2026-03-12", "3")] {
        world.move_to(at(&format!("{day}T12:00:00Z")));
        till.use_up(ada, units).await;
        world.run_to_rest().await;
    }
    let figures = |spend: &Value| {
        let of = |period: &str| ["used", "left", "beyond"].map(|field| spend[period][field].clone());
        (of("daily"), spend["usedYesterday"].clone(), of("monthly"))
    };
    let all = (
        [json!("3"), json!("0"), json!("1")],
        json!("5"),
        [json!("15"), json!("85"), json!("0")],
    );
    assert_eq!(figures(&till.spend("ada").await), all);
    world.sabotage(&ratings_of_nothing(&world)).await;
    // The newest day is known; of yesterday there may be more, and of the month there is.
    let unknown = [Value::Null, Value::Null, Value::Null];
    let known = (all.0.clone(), Value::Null, unknown);
    assert_eq!(figures(&till.spend("ada").await), known);
    // Whoever has it counted sees all of it.
    till.limits("ada", json!({ "enabled": true })).await;
    assert_eq!(figures(&till.spend("ada").await), all);
    world
        .sabotage("DELETE FROM usage_rating WHERE detail = '[]'")
        .await;
}

/// The first days of the months and days of which is kept what was spent, oldest first.
async fn kept(world: &World) -> Vec<String> {
    let rows = spend_period::Entity::find()
        .order_by_asc(spend_period::Column::Start)
        .all(world.app.db().reader())
        .await
        .unwrap();
    let day = |it: &spend_period::Model| Timestamp::from_micros(it.start).to_string()[..10].to_owned();
    rows.iter()
        .map(|it| format!("{} {}", it.span.to_lowercase(), day(it)))
        .collect()
}

/// Has the sweep find what is due, and everything done.
async fn sweep(world: &World) {
    job::sweep(&world.app).await.unwrap();
    world.run_to_rest().await;
}

async fn months_that_are_long_over_are_forgotten(world: World) {
    let limits = app::Limits {
        back_date_days: 200,
        ..app::Limits::default()
    };
    let world = world.with_limits(limits).await;
    let till = Till::open(&world).await;
    let (ada, bob) = (till.rich("ada").await, till.rich("bob").await);
    for name in ["ada", "bob"] {
        till.limits(name, daily(None, Some("10"))).await;
    }
    let mut keys = Vec::new();
    for day in ["2026-03-10", "2026-04-02", "2026-05-20", "2026-06-30"] {
        world.move_to(at(&format!("{day}T12:00:00Z")));
        keys.push(till.use_up(ada, "4").await);
        till.use_up(bob, "4").await;
        world.run_to_rest().await;
        sweep(&world).await;
    }
    till.limits("bob", json!({ "enabled": false })).await;
    assert_eq!(kept(&world).await[0], "month 2026-03-01");
    // 131 days after the first of March, and a moment more; 100 days back is in April.
    world.move_to(at("2026-07-10T00:00:00Z"));
    sweep(&world).await;
    assert_eq!(kept(&world).await[0], "month 2026-03-01");
    world.move_to(at("2026-07-10T00:00:01Z"));
    sweep(&world).await;
    let now = kept(&world).await;
    assert_eq!(now.iter().filter(|it| it.contains("-03-")).count(), 0, "{now:?}");
    assert_eq!(
        now.iter().filter(|it| *it == "month 2026-04-01").count(),
        2,
        "{now:?}"
    );
    world.audited().await;
    // Usage of then that comes now, or is taken back, counts against no limit, and the audit knows.
    let mut late = world.event(ada, "call", "9");
    late.occurred_at = Some(at("2026-03-09T12:00:00Z"));
    world.accept(vec![late]).await;
    world.run_to_rest().await;
    world.void(&keys[0]).await.unwrap();
    world.run_to_rest().await;
    assert!(kept(&world).await.iter().all(|it| !it.contains("-03-")));
    world.audited().await;
    // What is counted now goes on.
    till.use_up(ada, "6").await;
    world.run_to_rest().await;
    assert_eq!(till.gate("ada", "5").await.0, "4");
    // Switched on again it is as if it had never been off.
    till.limits("bob", json!({ "enabled": true })).await;
    world.audited().await;
}

async fn a_clock_that_is_behind_keeps_its_months(world: World) {
    let desk = crate::harness::desk::Desk::open(&world).await;
    let till = Till::open(&world).await;
    let clock = desk.clock().await;
    desk.customer(&clock, "ada").await;
    desk.buy("ada", "100").await;
    till.limits("ada", daily(None, Some("10"))).await;
    desk.consume("ada", "10").await;
    let before = kept(&world).await;
    assert!(!before.is_empty());
    world.advance(400 * 86_400);
    sweep(&world).await;
    assert_eq!(kept(&world).await, before);
    assert_eq!(till.gate("ada", "1").await.1, "DAILY_BUDGET_REACHED");
}

async fn the_url_hears_and_can_be_tried(world: World) {
    let world = world.sends().await;
    let (receiver, other) = (Receiver::open().await, Receiver::open().await);
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    let try_it = async |key: &str| {
        let query = "mutation ($key: String!) { sendTestSpendWebhook(input: { externalCustomerId: \"ada\",
            idempotencyKey: $key }) { delivery { id } idempotentReplay userErrors { code path } } }";
        till.ask(query, json!({ "key": key })).await["sendTestSpendWebhook"].clone()
    };
    assert_eq!(try_it("none").await["userErrors"][0]["code"], "NOT_FOUND");
    let mut settings = daily(Some("5"), None);
    settings["webhookUrl"] = json!(receiver.url());
    let payload = till.update("ada", settings).await;
    let secret = text(&payload["spend"]["webhookSecret"]);
    assert_eq!(payload["spend"]["settings"]["webhookState"], "ENABLED");
    assert_ne!(try_it("one").await["delivery"], Value::Null);
    assert_eq!(try_it("one").await["idempotentReplay"], true);
    world.run_to_rest().await;
    assert_eq!(receiver.kinds(), ["webhook.test"]);
    // It hears of limits of its own customer, and of nothing else.
    let bob = till.rich("bob").await;
    till.limits("bob", daily(Some("5"), None)).await;
    for who in [ada, bob] {
        till.use_up(who, "6").await;
    }
    world.run_to_rest().await;
    let received = receiver.received();
    assert_eq!(receiver.kinds(), ["webhook.test", "spend.threshold_reached"]);
    assert!(received.iter().all(|it| it.is_signed_with(&secret)));
    assert_eq!(received[1].json()["data"]["customer_id"], ada.to_string());
    // Pointed elsewhere, with the secret that it had.
    let moved = till.update("ada", json!({ "webhookUrl": other.url() })).await;
    assert_eq!(text(&moved["spend"]["webhookSecret"]), secret);
    world.move_to(at("2026-03-11T12:00:00Z"));
    till.use_up(ada, "6").await;
    world.run_to_rest().await;
    assert_eq!((receiver.received().len(), other.received().len()), (2, 1));
    let gone = till.limits("ada", json!({ "webhookUrl": null })).await;
    assert_eq!(
        (&gone["webhookUrl"], &gone["webhookState"]),
        (&Value::Null, &Value::Null)
    );
    world.move_to(at("2026-03-12T12:00:00Z"));
    till.use_up(ada, "6").await;
    world.run_to_rest().await;
    assert_eq!((receiver.received().len(), other.received().len()), (2, 1));
    assert_eq!(told(&world, ada, "spend.").await.len(), 3);
}

async fn wrong_limits_are_refused_by_their_field(world: World) {
    let world = world.sends().await;
    let till = Till::open(&world).await;
    till.rich("ada").await;
    for (settings, wanted) in [
        (daily(Some("0"), None), "INVALID_INPUT input.daily.threshold"),
        (daily(Some("-1"), None), "INVALID_INPUT input.daily.threshold"),
        (daily(None, Some("-0.5")), "INVALID_INPUT input.daily.budget"),
        (daily(None, Some("many")), "INVALID_INPUT input.daily.budget"),
        (
            json!({ "monthly": { "budget": "-1" } }),
            "INVALID_INPUT input.monthly.budget",
        ),
        (
            json!({ "webhookUrl": "http://10.0.0.1/" }),
            "INVALID_INPUT input.webhookUrl",
        ),
        (
            json!({ "webhookUrl": "nonsense" }),
            "INVALID_INPUT input.webhookUrl",
        ),
    ] {
        assert_eq!(till.refused("ada", settings.clone()).await, wanted, "{settings}");
    }
    assert_eq!(
        till.refused("nobody", daily(None, None)).await,
        "NOT_FOUND input.externalCustomerId"
    );
    let shown = till.spend("ada").await;
    assert_eq!(
        (&shown["enabled"], &shown["webhookUrl"]),
        (&json!(false), &Value::Null)
    );
    // A budget of nothing lets nothing pass.
    till.limits("ada", daily(None, Some("0"))).await;
    assert_eq!(
        till.gate("ada", "1").await,
        ("0".to_owned(), "DAILY_BUDGET_REACHED".to_owned())
    );
}

async fn strangers_limit_nobody(world: World) {
    let till = Till::open(&world).await;
    let ada = till.rich("ada").await;
    till.limits("ada", daily(None, Some("10"))).await;
    let stranger = world.stranger().await;
    let input = app::spend::UpdateSpend {
        customer: CustomerRef::Id(ada),
        enabled: Some(false),
        mode: None,
        daily: None,
        monthly: None,
        webhook_url: None,
    };
    let refused = app::spend::update(&stranger.app, &stranger.actor, input).await;
    assert_eq!(
        crate::harness::refusal(refused).0,
        domain::rejection::RejectionCode::NotFound
    );
    let seen = app::spend::spend(&stranger.app, &stranger.actor, ada).await;
    assert_eq!(
        crate::harness::refusal(seen).0,
        domain::rejection::RejectionCode::NotFound
    );
    assert_eq!(till.gate("ada", "11").await.1, "DAILY_BUDGET_REACHED");
}
