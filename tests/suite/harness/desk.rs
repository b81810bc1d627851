//! A vendor's desk: subscriptions and test clocks by requests alone, over a world whose work is done only when asked for.

use api::Limits;
use serde_json::{Value, json};

use super::{World, door::Door};

/// When the clock of [`Desk`] begins: a month of 30 days follows.
pub const START: &str = "2026-04-01T00:00:00Z";
/// What is read of a subscription after every change.
const SUBSCRIPTION: &str =
    "id state cancelAtEnd endedAt overdueSince paidThrough contract { end } variant { id } nextVariant { id }
    currentCycle { number paid creditsGranted variantId period { start end } }";

/// Who asks, and through what.
pub struct Desk {
    world: World,
    door: Door,
}

impl Desk {
    pub async fn open(world: &World) -> Self {
        let desk = Self {
            world: world.clone(),
            door: Door::open(world, Limits::default()).await,
        };
        // The listener and its connection live on; work has come to rest in spite of them.
        desk.ask("{ viewer { tenant { name } } }").await;
        world.count_tasks().await;
        desk
    }

    /// Asks what must be answered.
    pub async fn ask(&self, query: &str) -> Value {
        self.ask_with(query, json!({})).await
    }

    async fn ask_with(&self, query: &str, variables: Value) -> Value {
        let answer = self.door.ask(query, variables).await;
        assert_eq!(answer.body.get("errors"), None, "{query}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Sends a change under a key of its own; answers the whole payload.
    async fn send(&self, mutation: &str, object: &str, mut input: Value) -> Value {
        input["idempotencyKey"] = json!(self.world.key());
        let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let document = format!(
            "mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {object} userErrors {{ code path message }} }} }}"
        );
        self.ask_with(&document, json!({ "input": input })).await[mutation].clone()
    }

    async fn change(&self, mutation: &str, object: &str, input: Value) -> Value {
        let shown = input.to_string();
        let done = self.send(mutation, object, input).await;
        assert_eq!(done["userErrors"], json!([]), "{mutation} {shown}");
        done
    }

    // Who lives by which clock.

    /// A test clock that begins at [`START`].
    pub async fn clock(&self) -> String {
        let input = json!({ "name": "clock", "now": START });
        let made = self.change("createTestClock", "testClock { id }", input).await;
        text(&made["testClock"]["id"])
    }

    /// A customer on a clock.
    pub async fn customer(&self, clock: &str, name: &str) {
        let input = json!({ "externalId": name, "testClockId": clock });
        self.change("createCustomer", "customer { id }", input).await;
    }

    /// Sends a clock on its way, and leaves the way to whoever works.
    pub async fn send_clock(&self, clock: &str, to: &str) -> Value {
        let input = json!({ "testClockId": clock, "to": to });
        let sent = self
            .change("advanceTestClock", "testClock { now target state }", input)
            .await;
        sent["testClock"].clone()
    }

    /// What a clock shows, where it is going, and whether it stands.
    pub async fn shown(&self, clock: &str) -> Value {
        let query = format!(r#"{{ testClock(id: "{clock}") {{ now target state }} }}"#);
        self.ask(&query).await["testClock"].clone()
    }

    /// Moves a clock and has everything done on the way.
    pub async fn advance(&self, clock: &str, to: &str) {
        self.send_clock(clock, to).await;
        self.world.catch_up().await;
        let arrived = json!({ "now": to, "target": to, "state": "READY" });
        assert_eq!(self.shown(clock).await, arrived);
    }

    // What they have agreed to.

    pub async fn subscribe(&self, name: &str, variant: impl ToString) -> String {
        self.subscribe_with(name, variant, json!({})).await
    }

    /// A subscription with more than a variant.
    pub async fn subscribe_with(&self, name: &str, variant: impl ToString, more: Value) -> String {
        let mut input = more;
        input["externalCustomerId"] = json!(name);
        input["variantId"] = json!(variant.to_string());
        let made = self
            .change("createSubscription", "subscription { id }", input)
            .await;
        text(&made["subscription"]["id"])
    }

    /// Changes a subscription, which must be accepted; answers it afterwards, as it is also read.
    pub async fn wish(&self, mutation: &str, subscription: &str, more: Value) -> Value {
        let mut input = more;
        input["subscriptionId"] = json!(subscription);
        let object = format!("subscription {{ {SUBSCRIPTION} }}");
        let answered = self.change(mutation, &object, input).await["subscription"].clone();
        assert_eq!(answered, self.read(subscription).await, "{mutation}");
        answered
    }

    /// Tries to change a subscription, which must be refused and change nothing; answers the code and the field.
    pub async fn refused(&self, mutation: &str, subscription: &str, more: Value) -> String {
        let before = self.read(subscription).await;
        let mut input = more;
        input["subscriptionId"] = json!(subscription);
        let payload = self.send(mutation, "subscription { id }", input).await;
        assert_eq!(payload["subscription"], Value::Null, "{mutation}");
        assert_eq!(self.read(subscription).await, before, "{mutation} was refused");
        let [no] = &payload["userErrors"].as_array().unwrap()[..] else {
            panic!("{payload}")
        };
        let path: Vec<String> = no["path"].as_array().into_iter().flatten().map(text).collect();
        format!("{} {}", text(&no["code"]), path.join("."))
            .trim_end()
            .to_owned()
    }

    pub async fn read(&self, subscription: &str) -> Value {
        let query = format!(r#"{{ subscription(id: "{subscription}") {{ {SUBSCRIPTION} }} }}"#);
        self.ask(&query).await["subscription"].clone()
    }

    pub async fn state(&self, subscription: &str) -> String {
        text(&self.read(subscription).await["state"])
    }

    // What was told.

    /// What was told about a subscription, oldest first.
    async fn told(&self, subscription: &str) -> Vec<Value> {
        let query = format!(
            r#"{{ subscription(id: "{subscription}") {{ events(first: 100) {{ nodes {{ type occurredAt data }} }} }} }}"#
        );
        let mut told = list(&self.ask(&query).await["subscription"]["events"]["nodes"]);
        told.reverse();
        told
    }

    /// The names of what was told, without the common beginning.
    pub async fn names(&self, subscription: &str) -> Vec<String> {
        let told = self.told(subscription).await;
        told.iter()
            .map(|event| text(&event["type"]).replace("subscription.", ""))
            .collect()
    }

    /// Every event of a kind: when it happened, and what it says beside whom it is about.
    pub async fn said(&self, subscription: &str, kind: &str) -> Vec<(String, Value)> {
        let kind = format!("subscription.{kind}");
        let told = self.told(subscription).await;
        let mut said = Vec::new();
        for event in told.iter().filter(|event| event["type"] == kind) {
            let mut data = event["data"].as_object().unwrap().clone();
            assert_eq!(data.remove("subscription_id"), Some(json!(subscription)));
            for whom in ["customer_id", "billing_mode"] {
                assert!(data.remove(whom).is_some(), "{event}");
            }
            said.push((text(&event["occurredAt"]), Value::Object(data)));
        }
        said
    }

    // What they have and use.

    pub async fn buy(&self, name: &str, credits: &str) {
        let input = json!({ "externalCustomerId": name, "credits": credits, "source": "PURCHASE" });
        self.change("grantCredits", "block { id }", input).await;
    }

    pub async fn remaining(&self, name: &str) -> String {
        let query = format!(r#"{{ customer(externalId: "{name}") {{ balance {{ remaining }} }} }}"#);
        text(&self.ask(&query).await["customer"]["balance"]["remaining"])
    }

    /// Blocks in burn order, such as `PURCHASE 7 ACTIVE`.
    pub async fn blocks(&self, name: &str) -> Vec<String> {
        let query = format!(
            r#"{{ customer(externalId: "{name}") {{ blocks(first: 100) {{ nodes {{ source remaining state }} }} }} }}"#
        );
        let blocks = list(&self.ask(&query).await["customer"]["blocks"]["nodes"]);
        let line = |it: &Value| {
            ["source", "remaining", "state"]
                .map(|field| text(&it[field]))
                .join(" ")
        };
        blocks.iter().map(line).collect()
    }

    /// The ledger, oldest first, such as `GRANT 30`.
    pub async fn ledger(&self, name: &str) -> Vec<String> {
        let query = format!(
            r#"{{ customer(externalId: "{name}") {{ ledger(first: 100) {{ nodes {{ kind credits }} }} }} }}"#
        );
        let lines = list(&self.ask(&query).await["customer"]["ledger"]["nodes"]);
        let line = |it: &Value| ["kind", "credits"].map(|field| text(&it[field])).join(" ");
        lines.iter().rev().map(line).collect()
    }

    /// Records one event, perhaps of another instant; answers its key and what became of it.
    pub async fn record(&self, name: &str, units: &str, occurred: Option<&str>) -> (String, Value) {
        let key = self.world.key();
        let event = json!({ "externalCustomerId": name, "metricKey": "call", "units": units, "occurredAt": occurred,
            "idempotencyKey": key });
        let document = "mutation ($input: RecordUsageInput!) { recordUsage(input: $input) { results { outcome reason } } }";
        let recorded = self
            .ask_with(document, json!({ "input": { "events": [event] } }))
            .await;
        (key, recorded["recordUsage"]["results"][0].clone())
    }

    /// Has something used and debited now.
    pub async fn consume(&self, name: &str, units: &str) {
        let (_, became) = self.record(name, units, None).await;
        assert_eq!(became["outcome"], "ACCEPTED");
        self.world.catch_up().await;
    }

    /// Why one call would be refused; `None`: it would not.
    pub async fn refusal(&self, name: &str) -> Option<String> {
        let query = format!(
            r#"{{ entitlement(externalCustomerId: "{name}", metricKey: "call", units: "1") {{ allowed reason }} }}"#
        );
        let answer = self.ask(&query).await["entitlement"].clone();
        let reason = answer["reason"].as_str().map(str::to_owned);
        assert_eq!(answer["allowed"], json!(reason.is_none()), "{answer}");
        reason
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).clone()
}
