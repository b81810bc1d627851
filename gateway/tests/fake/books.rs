//! What the fake keeps: customers, pages, charges, and the answers that it gave.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::cards::{act, with};

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
    /// Pages, newest last.
    pub sessions: Vec<Value>,
    /// Newest last.
    pub refunds: Vec<Value>,
    /// Newest last.
    pub disputes: Vec<Value>,
    /// What has happened, newest last.
    pub events: Vec<Value>,
    /// How often it was asked for what there is.
    pub looked: usize,
    /// How many seconds after [`NOW`] everything happens.
    pub later: i64,
    /// Whether the connection is closed instead of the next answer to something that was done.
    pub lose_next: bool,
    /// With which card a page is paid in the moment before it would be closed.
    pub last_moment: Option<String>,
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
            "/v1/checkout/sessions" if field(fields, "mode") == Some("payment") => self.open_payment(fields),
            "/v1/checkout/sessions" => self.open(fields),
            "/v1/payment_intents" => self.charge(fields),
            "/v1/refunds" => self.refund(fields),
            _ if path.ends_with("/confirm") => self.confirm(path, fields),
            _ if fields.is_empty() => self.end(path),
            _ => (stranger(), false),
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

    /// Confirms a charge with its owner present.
    fn confirm(&mut self, path: &str, fields: &Fields) -> (Reply, bool) {
        let known = ["payment_method", "return_url"];
        if let Some(reply) = unknown(fields, &known).or_else(|| missing(fields, &known)) {
            return (reply, false);
        }
        let id = path
            .strip_prefix("/v1/payment_intents/")
            .and_then(|rest| rest.strip_suffix("/confirm"));
        let Some(intent) = self
            .intents
            .iter_mut()
            .find(|intent| Some(intent["id"].as_str().unwrap()) == id)
        else {
            return (Reply::invalid("resource_missing", Some("intent")), true);
        };
        if intent["status"] != "requires_payment_method" {
            return (Reply::invalid("payment_intent_unexpected_state", None), true);
        }
        let card = field(fields, "payment_method").unwrap().trim_start_matches("pm_");
        let deed = act(&format!("{card}_owner"), intent.clone());
        if let Some(after) = deed.intent {
            *intent = after;
        }
        (deed.reply, deed.sticky)
    }

    /// Ends a charge or a page.
    fn end(&mut self, path: &str) -> (Reply, bool) {
        let between = |before, after| {
            path.strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
        };
        let charge = between("/v1/payment_intents/", "/cancel");
        let page = between("/v1/checkout/sessions/", "/expire");
        match (charge, page) {
            (Some(id), _) => self.cancel(id),
            (_, Some(id)) => self.expire(id),
            _ => (stranger(), false),
        }
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
        let intent = intent.clone();
        self.note("payment_intent.canceled", &intent);
        (Reply::ok(&intent), true)
    }

    pub fn get(&self, path: &str, query: &Fields) -> Reply {
        let of_payer = ["customer", "created[gte]"];
        match path {
            "/v1/payment_intents" | "/v1/checkout/sessions" => {
                if !field(query, "customer").is_some_and(|customer| self.knows(customer)) {
                    return Reply::invalid("resource_missing", Some("customer"));
                }
                let all = if path.ends_with("intents") {
                    &self.intents
                } else {
                    &self.sessions
                };
                list(all, query, &of_payer)
            }
            "/v1/refunds" => list(&self.refunds, query, &["payment_intent"]),
            "/v1/disputes" => list(&self.disputes, query, &["payment_intent"]),
            "/v1/events" => list(&self.events, query, &["created[gte]", "created[lte]", "types[]"]),
            _ => self.one(path, query),
        }
    }

    fn one(&self, path: &str, query: &Fields) -> Reply {
        let missing = || {
            let error = json!({"type": "invalid_request_error", "code": "resource_missing"});
            Reply::error(404, error)
        };
        let found = |all: &[Value], id: &str| all.iter().find(|it| it["id"] == id).cloned();
        let page = path.strip_prefix("/v1/checkout/sessions/");
        let charge = path.strip_prefix("/v1/payment_intents/");
        let expand = (query.len() == 1).then(|| field(query, "expand[]")).flatten();
        match (page, charge, expand) {
            (Some(id), _, Some("setup_intent.payment_method")) => {
                found(&self.sessions, id).map_or_else(missing, |page| Reply::ok(&page))
            }
            (Some(id), _, Some("payment_intent")) => {
                found(&self.sessions, id).map_or_else(missing, |page| Reply::ok(&self.expanded(page)))
            }
            (_, Some(id), None) if query.is_empty() => {
                found(&self.intents, id).map_or_else(missing, |intent| Reply::ok(&intent))
            }
            _ => stranger(),
        }
    }

    pub(super) fn knows(&self, customer: &str) -> bool {
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
        let session = json!({"id": id, "object": "checkout.session", "mode": "setup", "livemode": false,
            "created": self.now(), "customer": field(fields, "customer"), "metadata": {}, "url": url,
            "amount_total": null, "currency": null, "payment_intent": null, "setup_intent": {
            "status": "requires_payment_method", "payment_method": null}});
        self.sessions.push(session.clone());
        // What is not expanded is a name.
        let mut reply = session;
        reply["setup_intent"] = json!("seti_1");
        (Reply::ok(&reply), true)
    }

    /// Somebody leaves a way to pay on a page.
    pub fn leave(&mut self, session: &str, status: &str, method: Value) {
        let page = self
            .sessions
            .iter_mut()
            .find(|page| page["id"] == session)
            .unwrap();
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
            "return_url",
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
        let intent = with(intent, "payment_method", json!(value("payment_method")));
        let deed = act(value("payment_method").trim_start_matches("pm_"), intent);
        if let Some(intent) = deed.intent {
            self.note_charge(&intent);
            self.intents.push(intent);
        }
        (deed.reply, deed.sticky)
    }

    /// One that nobody has paid yet.
    pub fn intent(&self, customer: &str, payment: &str, (amount, currency): (i64, &str)) -> Value {
        json!({"id": format!("pi_{}", self.intents.len() + 1), "object": "payment_intent", "livemode": false,
            "created": self.now(), "customer": customer, "metadata": {"tallygate_payment": payment}, "amount": amount,
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
        for at in 0..self.intents.len() {
            if self.intents[at]["status"] == "processing" {
                self.succeed(at);
            }
        }
    }

    /// The owners of cards do not confirm what waits for them.
    pub fn refuse_at_bank(&mut self) {
        let waits = |intent: &&mut Value| intent["status"] == "requires_action";
        for intent in self.intents.iter_mut().filter(waits) {
            intent["status"] = json!("requires_payment_method");
            intent["next_action"] = Value::Null;
            let code = "payment_intent_authentication_failure";
            intent["last_payment_error"] = json!({"type": "invalid_request_error", "code": code});
        }
    }

    /// The money of a charge is there.
    fn succeed(&mut self, at: usize) {
        let intent = &mut self.intents[at];
        intent["status"] = json!("succeeded");
        intent["amount_received"] = intent["amount"].clone();
        let intent = intent.clone();
        self.note_charge(&intent);
        let page = self
            .sessions
            .iter_mut()
            .find(|page| page["payment_intent"] == intent["id"]);
        if let Some(page) = page {
            page["payment_status"] = json!("paid");
            let page = page.clone();
            self.note("checkout.session.async_payment_succeeded", &page);
        }
    }

    /// What time it is there, in seconds.
    pub fn now(&self) -> i64 {
        NOW + self.later
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
}

/// A part of a list, newest first; `known` are the filters that it has.
fn list(all: &[Value], query: &Fields, known: &[&str]) -> Reply {
    let known = [known, &["limit", "starting_after"]].concat();
    if let Some(reply) = unknown(query, &known) {
        return reply;
    }
    let number = |name: &str| field(query, name).and_then(|text| text.parse().ok());
    let since: i64 = number("created[gte]").unwrap_or_default();
    let until: i64 = number("created[lte]").unwrap_or(i64::MAX);
    let limit = number("limit").unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Reply::invalid("parameter_invalid_integer", Some("limit"));
    }
    let types: Vec<&str> = query
        .iter()
        .filter(|(name, _)| name == "types[]")
        .map(|(_, value)| value.as_str())
        .collect();
    if types.len() > 20 {
        return Reply::invalid("parameter_invalid", Some("types"));
    }
    let is_same = |it: &Value, name: &str| field(query, name).is_none_or(|wanted| it[name] == wanted);
    let mut newest_first: Vec<&Value> = all.iter().rev().collect();
    newest_first.retain(|it| {
        (since..=until).contains(&it["created"].as_i64().unwrap())
            && is_same(it, "customer")
            && is_same(it, "payment_intent")
            && (types.is_empty() || types.iter().any(|kind| it["type"] == *kind))
    });
    if let Some(after) = field(query, "starting_after") {
        let Some(place) = newest_first.iter().position(|it| it["id"] == after) else {
            return Reply::invalid("resource_missing", Some("starting_after"));
        };
        newest_first.drain(..=place);
    }
    let limit = usize::try_from(limit).unwrap();
    let has_more = newest_first.len() > limit;
    newest_first.truncate(limit);
    Reply::ok(&json!({"object": "list", "data": newest_first, "has_more": has_more}))
}

/// There is nothing of this name.
fn stranger() -> Reply {
    Reply::error(404, json!({"type": "invalid_request_error"}))
}

pub fn unknown(fields: &Fields, known: &[&str]) -> Option<Reply> {
    let stranger = fields.iter().find(|(name, _)| !known.contains(&name.as_str()));
    stranger.map(|(name, _)| Reply::invalid("parameter_unknown", Some(name)))
}

pub fn missing(fields: &Fields, needed: &[&str]) -> Option<Reply> {
    let lacking = needed.iter().find(|name| field(fields, name).is_none());
    lacking.map(|name| Reply::invalid("parameter_missing", Some(name)))
}
