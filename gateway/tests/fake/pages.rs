//! Pages on which customers pay.

use serde_json::{Value, json};

use super::{
    books::{Books, Fields, Reply, field, missing, unknown},
    cards::{act, with},
};

/// How an amount of a page is called.
const AMOUNT: &str = "line_items[0][price_data][unit_amount]";
const CURRENCY: &str = "line_items[0][price_data][currency]";
const ON_PAGE: &str = "metadata[tallygate_payment]";
const ON_CHARGE: &str = "payment_intent_data[metadata][tallygate_payment]";
const KIND: &str = "payment_method_types[]";

/// Whether a kind can be had in a currency.
fn can_be_had(kind: &str, currency: &str) -> bool {
    match kind {
        "card" => true,
        "us_bank_account" | "crypto" => currency == "usd",
        "sepa_debit" => currency == "eur",
        _ => false,
    }
}

impl Books {
    /// Opens one. As in Stripe there is no charge before somebody tries to pay.
    pub(super) fn open_payment(&mut self, fields: &Fields) -> (Reply, bool) {
        let needed = [
            "mode",
            "customer",
            CURRENCY,
            AMOUNT,
            "line_items[0][price_data][product_data][name]",
            "line_items[0][quantity]",
            ON_PAGE,
            ON_CHARGE,
            "success_url",
            "cancel_url",
            KIND,
        ];
        let known = [&needed[..], &["metadata[tallygate_customer]", "expand[]"]].concat();
        if let Some(reply) = unknown(fields, &known).or_else(|| missing(fields, &needed)) {
            return (reply, false);
        }
        let value = |name: &str| field(fields, name).unwrap();
        if !self.knows(value("customer")) {
            return (Reply::invalid("resource_missing", Some("customer")), true);
        }
        let mut kinds = fields.iter().filter(|(name, _)| name == KIND);
        if !kinds.all(|(_, kind)| can_be_had(kind, value(CURRENCY))) {
            return (
                Reply::invalid("parameter_invalid", Some("payment_method_types")),
                true,
            );
        }
        let amount = value(AMOUNT).parse::<i64>().unwrap_or_default();
        if amount <= 0 || value("line_items[0][quantity]") != "1" {
            return (
                Reply::invalid("parameter_invalid_integer", Some("line_items")),
                false,
            );
        }
        let id = format!("cs_test_{}", self.sessions.len() + 1);
        let url = format!("https://checkout.example/{id}?back={}", value("success_url"));
        let page = json!({"id": id, "object": "checkout.session", "mode": "payment", "livemode": false,
            "created": self.now(), "customer": value("customer"), "metadata": {"tallygate_payment": value(ON_PAGE)},
            "status": "open", "payment_status": "unpaid", "amount_total": amount, "currency": value(CURRENCY),
            "url": url, "payment_intent": null, "setup_intent": null,
            "payment_intent_data": {"metadata": {"tallygate_payment": value(ON_CHARGE)}}});
        self.sessions.push(page.clone());
        (Reply::ok(&page), true)
    }

    /// A page with its charge.
    pub(super) fn expanded(&self, mut page: Value) -> Value {
        let charge = self
            .intents
            .iter()
            .find(|intent| intent["id"] == page["payment_intent"]);
        page["payment_intent"] = json!(charge);
        page.as_object_mut().unwrap().remove("payment_intent_data");
        page
    }

    fn page_at(&self, id: &str) -> Option<usize> {
        self.sessions.iter().position(|page| page["id"] == id)
    }

    /// Closes one that nobody has paid.
    pub(super) fn expire(&mut self, id: &str) -> (Reply, bool) {
        let Some(at) = self.page_at(id) else {
            return (Reply::invalid("resource_missing", Some("session")), true);
        };
        if let Some(card) = self.last_moment.take() {
            self.pay_on_page(id, &card);
        }
        if self.sessions[at]["status"] != "open" {
            return (Reply::invalid("checkout_session_not_open", None), true);
        }
        let page = self.close(at, "expired", "unpaid");
        self.note("checkout.session.expired", &page);
        (Reply::ok(&page), true)
    }

    /// A day has passed: what is open is closed.
    pub fn expire_page(&mut self, id: &str) {
        self.expire(id);
    }

    fn close(&mut self, at: usize, status: &str, paid: &str) -> Value {
        let page = &mut self.sessions[at];
        page["status"] = json!(status);
        page["payment_status"] = json!(paid);
        page["url"] = json!(null);
        page.clone()
    }

    /// Somebody pays on a page with a card that does what it is named after, such as `pm_ok` or `pm_late`; answers with the name of the
    /// charge. Where the bank says no the page stays open, and another card may be tried.
    pub fn pay_on_page(&mut self, session: &str, card: &str) -> String {
        let at = self.page_at(session).unwrap();
        let page = self.sessions[at].clone();
        assert_eq!(page["status"], "open", "nobody can pay on a closed page");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let payment = text(&page["payment_intent_data"]["metadata"]["tallygate_payment"]);
        let amount = page["amount_total"].as_i64().unwrap();
        let fresh = self.intent(
            &text(&page["customer"]),
            &payment,
            (amount, &text(&page["currency"])),
        );
        let before = self
            .intents
            .iter()
            .position(|intent| intent["id"] == page["payment_intent"]);
        let id = before.map_or(fresh["id"].clone(), |at| self.intents[at]["id"].clone());
        let fresh = with(with(fresh, "id", id.clone()), "payment_method", json!(card));
        let charge = act(card.trim_start_matches("pm_"), fresh).intent.unwrap();
        match before {
            Some(at) => self.intents[at] = charge.clone(),
            None => self.intents.push(charge.clone()),
        }
        self.sessions[at]["payment_intent"] = id.clone();
        self.note_charge(&charge);
        let paid = match charge["status"].as_str().unwrap() {
            "succeeded" => "paid",
            "processing" => "unpaid",
            _ => return text(&id),
        };
        let page = self.close(at, "complete", paid);
        self.note("checkout.session.completed", &page);
        text(&id)
    }
}
