//! What the fake keeps: customers, pages, charges, and the answers that it gave.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::cards::act;

/// When everything there happens, in seconds.
pub const NOW: i64 = 1_800_000_000;
/// A customer that it knows from the start.
pub const PAYER: &str = "cus_known";

pub type Fields = Vec<(String, String)>;

pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub replayed: bool,
}

impl Reply {
    pub fn new(status: u16, body: String) -> Self {
        Self {
            status,
            body,
            replayed: false,
        }
    }

    pub fn ok(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    pub fn error(status: u16, error: Value) -> Self {
        Self::new(status, json!({ "error": error }).to_string())
    }

    pub fn invalid(code: &str, param: Option<&str>) -> Self {
        let error = json!({"type": "invalid_request_error", "code": code, "param": param, "message": "No."});
        Self::error(400, error)
    }
}

/// An answer that was given, and to what.
struct Kept {
    path: String,
    fields: Fields,
    reply: Reply,
}

#[derive(Default)]
pub struct Books {
    /// Newest last.
    pub intents: Vec<Value>,
    sessions: HashMap<String, Value>,
    customers: Vec<String>,
    kept: HashMap<String, Kept>,
    busy: HashSet<String>,
    /// Keys of which a request was lost on the way.
    lost: HashSet<String>,
    /// How often something was asked to be done.
    pub asked: usize,
    /// How often an answer was given again.
    pub replayed: usize,
}

impl Books {
    /// A request to do something comes in; an answer, if it is not to be done.
    pub fn begin(&mut self, path: &str, key: &str, fields: &Fields) -> Option<Reply> {
        self.asked += 1;
        if let Some(kept) = self.kept.get(key) {
            if (kept.path.as_str(), &kept.fields) != (path, fields) {
                return Some(Reply::error(400, json!({"type": "idempotency_error"})));
            }
            self.replayed += 1;
            let reply = kept.reply.clone();
            return Some(Reply {
                replayed: true,
                ..reply
            });
        }
        if !self.busy.insert(key.to_owned()) {
            let error = json!({"type": "invalid_request_error", "code": "idempotency_key_in_use"});
            return Some(Reply::error(409, error));
        }
        None
    }

    /// Does it; `None`: it was lost on the way.
    pub fn finish(&mut self, path: &str, key: &str, fields: &Fields) -> Option<Reply> {
        self.busy.remove(key);
        let lost = field(fields, "payment_method") == Some("pm_drop_before");
        if lost && self.lost.insert(key.to_owned()) {
            return None;
        }
        let (reply, sticky) = match path {
            "/v1/customers" => self.enrol(fields),
            "/v1/checkout/sessions" => self.open(fields),
            "/v1/payment_intents" => self.charge(fields),
            _ => match path
                .strip_prefix("/v1/payment_intents/")
                .and_then(|rest| rest.strip_suffix("/cancel"))
            {
                Some(id) if fields.is_empty() => self.cancel(id),
                _ => (Reply::error(404, json!({"type": "invalid_request_error"})), false),
            },
        };
        if sticky {
            let kept = Kept {
                path: path.to_owned(),
                fields: fields.clone(),
                reply: reply.clone(),
            };
            self.kept.insert(key.to_owned(), kept);
        }
        Some(reply)
    }

    /// Ends a charge of which nothing was taken and nothing is under way.
    fn cancel(&mut self, id: &str) -> (Reply, bool) {
        let Some(intent) = self.intents.iter_mut().find(|intent| intent["id"] == id) else {
            return (Reply::invalid("resource_missing", Some("intent")), true);
        };
        let open = [
            "requires_action",
            "requires_confirmation",
            "requires_payment_method",
        ];
        if !open.iter().any(|status| intent["status"] == *status) {
            return (Reply::invalid("payment_intent_unexpected_state", None), true);
        }
        intent["status"] = json!("canceled");
        (Reply::ok(intent), true)
    }

    pub fn get(&self, path: &str, query: &Fields) -> Reply {
        match path.strip_prefix("/v1/checkout/sessions/") {
            _ if path == "/v1/payment_intents" => self.list(query),
            Some(id) if query == &[("expand[]".to_owned(), "setup_intent.payment_method".to_owned())] => {
                match self.sessions.get(id) {
                    Some(session) => Reply::ok(session),
                    None => Reply::error(
                        404,
                        json!({"type": "invalid_request_error", "code": "resource_missing"}),
                    ),
                }
            }
            _ => Reply::error(404, json!({"type": "invalid_request_error"})),
        }
    }

    fn knows(&self, customer: &str) -> bool {
        customer == PAYER || self.customers.iter().any(|known| known == customer)
    }

    fn enrol(&mut self, fields: &Fields) -> (Reply, bool) {
        if let Some(reply) = unknown(fields, &["name", "email", "metadata[tallygate_customer]"]) {
            return (reply, false);
        }
        let id = format!("cus_{}", self.customers.len() + 1);
        self.customers.push(id.clone());
        (Reply::ok(&json!({"id": id, "livemode": false})), true)
    }

    fn open(&mut self, fields: &Fields) -> (Reply, bool) {
        let known = [
            "mode",
            "customer",
            "payment_method_types[]",
            "success_url",
            "cancel_url",
        ];
        if let Some(reply) = unknown(fields, &known).or_else(|| missing(fields, &known)) {
            return (reply, false);
        }
        if !field(fields, "customer").is_some_and(|customer| self.knows(customer)) {
            return (Reply::invalid("resource_missing", Some("customer")), true);
        }
        let id = format!("cs_test_{}", self.sessions.len() + 1);
        let url = format!(
            "https://checkout.example/{id}?back={}",
            field(fields, "success_url").unwrap()
        );
        let session = json!({"id": id, "livemode": false, "url": url, "setup_intent": {
            "status": "requires_payment_method", "payment_method": null}});
        self.sessions.insert(id, session.clone());
        // What is not expanded is a name.
        let mut reply = session;
        reply["setup_intent"] = json!("seti_1");
        (Reply::ok(&reply), true)
    }

    /// Somebody leaves a way to pay on a page.
    pub fn leave(&mut self, session: &str, status: &str, method: Value) {
        let page = self.sessions.get_mut(session).unwrap();
        page["setup_intent"] = json!({"status": status, "payment_method": method});
    }

    fn charge(&mut self, fields: &Fields) -> (Reply, bool) {
        let known = [
            "amount",
            "currency",
            "customer",
            "payment_method",
            "confirm",
            "off_session",
            "automatic_payment_methods[enabled]",
            "automatic_payment_methods[allow_redirects]",
            "metadata[tallygate_payment]",
            "metadata[tallygate_customer]",
        ];
        if let Some(reply) = unknown(fields, &known).or_else(|| missing(fields, &known)) {
            return (reply, false);
        }
        let value = |name: &str| field(fields, name).unwrap();
        let amount: i64 = value("amount").parse().unwrap_or_default();
        let step = match value("currency") {
            "isk" | "ugx" => 100,
            "bhd" | "jod" | "kwd" | "omr" | "tnd" => 10,
            _ => 1,
        };
        if amount <= 0
            || amount % step != 0
            || value("currency").bytes().any(|byte| !byte.is_ascii_lowercase())
        {
            return (Reply::invalid("parameter_invalid_integer", Some("amount")), false);
        }
        if [value("confirm"), value("off_session")] != ["true"; 2] {
            return (Reply::invalid("parameter_invalid", Some("confirm")), false);
        }
        if !self.knows(value("customer")) {
            return (Reply::invalid("resource_missing", Some("customer")), true);
        }
        let intent = self.intent(
            value("customer"),
            value("metadata[tallygate_payment]"),
            (amount, value("currency")),
        );
        let deed = act(value("payment_method").trim_start_matches("pm_"), intent);
        self.intents.extend(deed.intent);
        (deed.reply, deed.sticky)
    }

    /// One that nobody has paid yet.
    pub fn intent(&self, customer: &str, payment: &str, (amount, currency): (i64, &str)) -> Value {
        json!({"id": format!("pi_{}", self.intents.len() + 1), "object": "payment_intent", "livemode": false,
            "created": NOW, "customer": customer, "metadata": {"tallygate_payment": payment}, "amount": amount,
            "amount_received": 0, "currency": currency, "status": "requires_confirmation",
            "last_payment_error": null, "next_action": null})
    }

    /// So many charges of other payments.
    pub fn fill(&mut self, count: usize) {
        for number in 0..count {
            let intent = self.intent(PAYER, &format!("pay_{number}"), (100, "usd"));
            self.intents.push(intent);
        }
    }

    /// What is under way succeeds.
    pub fn arrive(&mut self) {
        for intent in &mut self.intents {
            if intent["status"] == "processing" {
                intent["status"] = json!("succeeded");
                intent["amount_received"] = intent["amount"].clone();
            }
        }
    }

    /// The amounts that were taken.
    pub fn taken(&self) -> Vec<i64> {
        let taken = self
            .intents
            .iter()
            .filter(|intent| intent["status"] == "succeeded");
        taken
            .filter_map(|intent| intent["amount_received"].as_i64())
            .collect()
    }

    fn list(&self, query: &Fields) -> Reply {
        if let Some(reply) = unknown(query, &["customer", "created[gte]", "limit", "starting_after"]) {
            return reply;
        }
        let customer = field(query, "customer").unwrap_or_default();
        if !self.knows(customer) {
            return Reply::invalid("resource_missing", Some("customer"));
        }
        let number = |name: &str| field(query, name).and_then(|text| text.parse().ok());
        let since: i64 = number("created[gte]").unwrap_or_default();
        let limit = number("limit").unwrap_or(10);
        if !(1..=100).contains(&limit) {
            return Reply::invalid("parameter_invalid_integer", Some("limit"));
        }
        let mut newest_first: Vec<&Value> = self.intents.iter().rev().collect();
        newest_first
            .retain(|intent| intent["customer"] == customer && intent["created"].as_i64().unwrap() >= since);
        if let Some(after) = field(query, "starting_after") {
            let Some(place) = newest_first.iter().position(|intent| intent["id"] == after) else {
                return Reply::invalid("resource_missing", Some("starting_after"));
            };
            newest_first.drain(..=place);
        }
        let limit = usize::try_from(limit).unwrap();
        let has_more = newest_first.len() > limit;
        newest_first.truncate(limit);
        Reply::ok(&json!({"object": "list", "data": newest_first, "has_more": has_more}))
    }
}

fn unknown(fields: &Fields, known: &[&str]) -> Option<Reply> {
    let stranger = fields.iter().find(|(name, _)| !known.contains(&name.as_str()));
    stranger.map(|(name, _)| Reply::invalid("parameter_unknown", Some(name)))
}

fn missing(fields: &Fields, needed: &[&str]) -> Option<Reply> {
    let lacking = needed.iter().find(|name| field(fields, name).is_none());
    lacking.map(|name| Reply::invalid("parameter_missing", Some(name)))
}
