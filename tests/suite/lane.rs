//! The typed lane answers as the general way does: generated requests, right, wrong and odd, are sent down both by two
//! tenants with equal data, and every answer must be the same but for ids.
//!
//! A directive that changes nothing makes a document one for the general way.

use api::Limits;
use app::access::{self, CreateApiKey};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::harness::{
    World,
    door::{Answer, Door},
    per_unit,
};

on_both! { both_ways_answer_alike, both_ways_are_charged_alike }

/// Requests of one run.
const REQUESTS: usize = 400;
/// Share of requests, of a hundred, that must have been answered with data: else too few of them were right.
const ANSWERED: usize = 25;
/// A directive that changes nothing.
pub const NEUTRAL: &str = "@include(if: true)";

/// A tenant of the two, what its customer is called, and the listener it comes through.
struct Side {
    customer: String,
    all: Door,
    reader: Door,
}

impl Side {
    async fn of(world: &World) -> Self {
        world.priced("call", per_unit("0.5")).await;
        world.metric("free").await;
        let id = world.customer("a").await;
        world.give(id, "10").await;
        world.customer("b").await;
        let all = Door::open(world, Limits::default()).await;
        let wish = CreateApiKey {
            name: "reader".to_owned(),
            scopes: vec!["usage:read".to_owned()],
            expires_at: None,
        };
        let made = access::create_key(&world.app, &world.actor, wish, &world.key()).await;
        let reader = all.with_key(&made.unwrap().value.secret.unwrap());
        Self {
            customer: id.to_string(),
            all,
            reader,
        }
    }

    async fn send(&self, request: &Request, document: &str) -> Answer {
        let variables = request.variables.replace("CUSTOMER", &self.customer);
        let document = document.replace("CUSTOMER", &self.customer);
        let mut body = format!("{{\"query\":{},\"variables\":{variables}", json!(document));
        if let Some(name) = request.operation_name {
            body.push_str(&format!(",\"operationName\":{name}"));
        }
        body.push('}');
        let door = if request.as_reader {
            &self.reader
        } else {
            &self.all
        };
        let accept: &[_] = if request.strict {
            &[("accept", "application/graphql-response+json")]
        } else {
            &[]
        };
        door.post(body, accept).await
    }
}

struct Request {
    /// With `%` where a directive may stand.
    document: String,
    variables: String,
    operation_name: Option<&'static str>,
    as_reader: bool,
    strict: bool,
}

async fn both_ways_answer_alike(world: World) {
    let seed = std::env::var("TALLYGATE_SEED").map_or(7, |text| text.parse().unwrap());
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let stranger = world.stranger().await;
    let (lane, general) = (Side::of(&world).await, Side::of(&stranger).await);
    let mut answered = 0;
    for number in 0..REQUESTS {
        let request = dice.request();
        // Blanks of the same length, so that errors point to the same place.
        let nothing = " ".repeat(NEUTRAL.len());
        let fast = lane
            .send(&request, &request.document.replace('%', &nothing))
            .await;
        let slow = general
            .send(&request, &request.document.replace('%', NEUTRAL))
            .await;
        let told = |answer: &Answer| {
            (
                answer.status,
                answer.headers["content-type"].clone(),
                plain(&answer.body),
            )
        };
        assert_eq!(
            told(&fast),
            told(&slow),
            "seed {seed}, request {number}:\n{}\n{}\n{}\n{}",
            request.document,
            request.variables,
            fast.body,
            slow.body
        );
        answered += usize::from(fast.body["data"].is_object());
    }
    assert!(
        answered * 100 >= REQUESTS * ANSWERED,
        "only {answered} answers with data"
    );
    // What they left behind is the same as well.
    let left = "{ customers(first: 4) { nodes { externalId balance { remaining pendingEvents } usageEvents(first: 100) { nodes { idempotencyKey units metricKey occurredAt properties } } } } }";
    let (left_fast, left_slow) = (
        lane.all.ask(left, json!({})).await,
        general.all.ask(left, json!({})).await,
    );
    assert_eq!(left_fast.body["data"], left_slow.body["data"]);
    assert!(
        left_fast.body.to_string().contains("\"k1\""),
        "nothing was recorded: {}",
        left_fast.body
    );
}

async fn both_ways_are_charged_alike(world: World) {
    let side = Side::of(&world).await;
    let check = "{ entitlement(externalCustomerId: \"a\", metricKey: \"call\") % { allowed } }";
    for document in [check.replace('%', ""), check.replace('%', NEUTRAL)] {
        let answer = side.all.ask(&document, json!({})).await;
        assert_eq!(answer.body["data"], json!({ "entitlement": { "allowed": true } }));
        assert_eq!(answer.body["extensions"]["cost"]["requested"], 1);
        assert_eq!(answer.headers["ratelimit-policy"], "\"checks\";q=200000;w=2");
        assert!(
            answer.headers["ratelimit"]
                .to_str()
                .unwrap()
                .starts_with("\"checks\";r=199")
        );
        assert!(
            answer.headers["x-request-id"]
                .to_str()
                .unwrap()
                .starts_with("req_")
        );
    }
}

/// An answer without what differs from request to request: ids, and what is left in the bucket.
fn plain(body: &Value) -> Value {
    match body {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "extensions" || fields.contains_key("message"))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) if text.starts_with("evt_") => json!("evt"),
        Value::String(text) if text.starts_with("req_") => json!("req"),
        other => other.clone(),
    }
}

/// Draws what requests are made of.
pub struct Dice(pub StdRng);

impl Dice {
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// Usually the first of a list, else any.
    pub fn mostly<'a>(&mut self, list: &[&'a str]) -> &'a str {
        if self.chance(80) { list[0] } else { self.pick(list) }
    }

    fn request(&mut self) -> Request {
        let (document, variables) = if self.chance(60) {
            self.record()
        } else {
            self.check()
        };
        Request {
            document,
            variables,
            operation_name: match self.below(20) {
                0 => Some("null"),
                1 => Some("\"Other\""),
                2 => Some("\"Named\""),
                _ => None,
            },
            as_reader: self.chance(3),
            strict: self.chance(30),
        }
    }

    /// Some of the fields, some of them renamed.
    pub fn selection(&mut self, fields: &[&str]) -> String {
        let mut chosen: Vec<String> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            if self.chance(60) {
                let alias = if self.chance(15) {
                    format!("x{index}: ")
                } else {
                    String::new()
                };
                chosen.push(format!("{alias}{field}"));
            }
        }
        if chosen.is_empty() {
            chosen.push(fields[0].to_owned());
        }
        if self.chance(3) {
            chosen.push(
                self.pick(&["secrets", "__typename __typename", "... { __typename }"])
                    .to_owned(),
            );
        }
        chosen.join(" ")
    }

    pub fn name(&mut self) -> &'static str {
        self.pick(&["", "Named", "Named"])
    }

    fn record(&mut self) -> (String, String) {
        let results = self.selection(&["index", "outcome", "reason", "message", "eventId", "__typename"]);
        let errors = self.selection(&["code", "message", "path", "__typename"]);
        let (results, errors) = (
            format!("results {{ {results} }}"),
            format!("userErrors {{ {errors} }}"),
        );
        let top = self.selection(&[&results, "acceptedCount", "duplicateCount", &errors, "__typename"]);
        let events: Vec<String> = (0..self.below(4)).map(|_| self.event()).collect();
        let events = match self.below(30) {
            0 => "null".to_owned(),
            1 => "{}".to_owned(),
            2 => self.event(),
            3 => "[1]".to_owned(),
            _ => format!("[{}]", events.join(",")),
        };
        let (name, alias, extra) = (
            self.name(),
            self.mostly(&["", "it: "]),
            self.mostly(&["", ",\"more\":1", ",\"e\":[]"]),
        );
        if self.chance(70) {
            let kind = self.mostly(&[
                "[UsageEventInput!]!",
                "[UsageEventInput!]",
                "[UsageEventInput]!",
                "Int",
            ]);
            let document = format!(
                "mutation {name}($e: {kind}) {{ {alias}recordUsage(input: {{events: $e}}) % {{ {top} }} }}"
            );
            (document, format!("{{\"e\":{events}{extra}}}"))
        } else {
            let document = format!(
                "mutation {name}($e: RecordUsageInput!) {{ {alias}recordUsage(input: $e) % {{ {top} }} }}"
            );
            let inside = self.mostly(&["", ",\"colour\":1", ",\"events\":[]"]);
            (
                document,
                format!("{{\"e\":{{\"events\":{events}{inside}}}{extra}}}"),
            )
        }
    }

    fn event(&mut self) -> String {
        let who = self.mostly(&[
            r#""externalCustomerId":"a""#,
            r#""externalCustomerId":"b""#,
            r#""customerId":"CUSTOMER""#,
            r#""externalCustomerId":"nobody""#,
            r#""externalCustomerId":null"#,
            r#""externalCustomerId":5"#,
            r#""customerId":5"#,
            r#""customerId":"cus_x""#,
            r#""externalCustomerId":"a","customerId":"CUSTOMER""#,
            r#""externalCustomerId":"a\u0001""#,
            r#""externalCustomerId":"a\u0000""#,
            r#""externalCustomerId":"a","customerId":null"#,
            r#""colour":"red""#,
        ]);
        let metric = self.mostly(&[
            r#","metricKey":"call""#,
            r#","metricKey":"free""#,
            r#","metricKey":"none""#,
            r#","metricKey":null"#,
            r#","metricKey":1"#,
            "",
        ]);
        let units = self.mostly(&[
            r#","units":"1""#,
            r#","units":"0""#,
            r#","units":"-1""#,
            r#","units":"1.5""#,
            r#","units":"0.0000001""#,
            r#","units":"1e3""#,
            r#","units":" 1""#,
            r#","units":"99999999999999999999""#,
            r#","units":1"#,
            r#","units":1.5"#,
            r#","units":null"#,
            r#","units":"1","units":"2""#,
            "",
        ]);
        let long = format!(",\"idempotencyKey\":\"{}\"", "k".repeat(300));
        let own = format!(",\"idempotencyKey\":\"k{}\"", self.below(60));
        let key = self
            .mostly(&[
                &own,
                r#","idempotencyKey":"""#,
                r#","idempotencyKey":"é""#,
                r#","idempotencyKey":5"#,
                &long,
                "",
            ])
            .to_owned();
        let when = self.mostly(&[
            "",
            r#","occurredAt":null"#,
            r#","occurredAt":"2026-03-10T11:00:00Z""#,
            r#","occurredAt":"2026-03-09""#,
            r#","occurredAt":"2027-01-01T00:00:00Z""#,
            r#","occurredAt":"2020-01-01""#,
            r#","occurredAt":"bad""#,
            r#","occurredAt":5"#,
        ]);
        let many: Vec<String> = (0..17).map(|n| format!("\"p{n}\":1")).collect();
        let many = format!(",\"properties\":{{{}}}", many.join(","));
        let facts = self
            .mostly(&[
                "",
                r#","properties":null"#,
                r#","properties":{}"#,
                r#","properties":{"model":"large"}"#,
                r#","properties":{"a":1,"b":true,"c":1.50,"d":1e2}"#,
                r#","properties":{"a":null}"#,
                r#","properties":{"a":{}}"#,
                r#","properties":[]"#,
                r#","properties":"x""#,
                r#","properties":5"#,
                r#","properties":{"a":"1","a":"2"}"#,
                r#","properties":{"":"x"}"#,
                r#","properties":{"a":1e400}"#,
                r#","properties":{"a":123456789012345678901234567890}"#,
                &many,
            ])
            .to_owned();
        format!("{{{who}{metric}{units}{key}{when}{facts}}}")
    }

    fn check(&mut self) -> (String, String) {
        let fields = self.selection(&[
            "allowed",
            "reason",
            "cost",
            "remaining",
            "overageLine",
            "undebited",
            "available",
            "missing",
            "affordableUnits",
            "asOf",
            "__typename",
        ]);
        let (mut definitions, mut arguments, mut values) = (String::new(), String::new(), Vec::new());
        let mut add = |dice: &mut Self, argument: &str, kinds: &[&str], literals: &[&str]| {
            if dice.chance(50) {
                arguments.push_str(&format!("{argument}: {} ", dice.mostly(literals)));
                return;
            }
            definitions.push_str(&format!("${argument}: {} ", dice.mostly(kinds)));
            arguments.push_str(&format!("{argument}: ${argument} "));
            if !dice.chance(10) {
                values.push(format!("\"{argument}\":{}", dice.mostly(literals)));
            }
        };
        if self.chance(80) {
            add(
                self,
                "externalCustomerId",
                &["String", "String!", "ID", "Int"],
                &["\"a\"", "\"b\"", "\"nobody\"", "null", "5", "\"\""],
            );
        } else {
            add(
                self,
                "customerId",
                &["ID", "ID!", "String!"],
                &["\"CUSTOMER\"", "\"cus_x\"", "5", "null"],
            );
        }
        if self.chance(98) {
            add(
                self,
                "metricKey",
                &["String!", "String"],
                &["\"call\"", "\"free\"", "\"none\"", "null", "1"],
            );
        }
        if self.chance(50) {
            add(
                self,
                "units",
                &["Decimal", "Decimal!", "Int"],
                &["\"5\"", "\"0\"", "\"-1\"", "\"1000000\"", "\"x\"", "null", "5"],
            );
        }
        if self.chance(20) {
            add(
                self,
                "properties",
                &["JSON", "JSON!"],
                &["null", "5", "\"x\"", "[]"],
            );
        }
        if self.chance(3) {
            values.push("\"more\":1".to_owned());
        }
        let definitions = if definitions.is_empty() {
            definitions
        } else {
            format!("({definitions})")
        };
        let arguments = if arguments.is_empty() {
            arguments
        } else {
            format!("({arguments})")
        };
        let (name, alias) = (self.name(), self.mostly(&["", "may: "]));
        let document =
            format!("query {name}{definitions} {{ {alias}entitlement{arguments} % {{ {fields} }} }}");
        (document, format!("{{{}}}", values.join(",")))
    }
}
