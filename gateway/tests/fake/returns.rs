//! Refunds and disputes.

use serde_json::{Value, json};

use super::books::{Books, Fields, Reply, field, missing, unknown};

impl Books {
    pub(super) fn refund(&mut self, fields: &Fields) -> (Reply, bool) {
        let needed = ["payment_intent", "amount"];
        let known = ["metadata[tallygate_return]", "metadata[tallygate_payment]"];
        let known = [&needed[..], &known[..]].concat();
        if let Some(reply) = unknown(fields, &known).or_else(|| missing(fields, &needed)) {
            return (reply, false);
        }
        let value = |name: &str| field(fields, name).unwrap_or_default();
        let charge = value("payment_intent");
        let Some(intent) = self.intents.iter().find(|intent| intent["id"] == charge).cloned() else {
            return (Reply::invalid("resource_missing", Some("payment_intent")), true);
        };
        let amount: i64 = value("amount").parse().unwrap_or_default();
        let left = self.left_of(&intent);
        let no = match () {
            () if amount <= 0 => Some(Reply::invalid("parameter_invalid_integer", Some("amount"))),
            () if intent["status"] != "succeeded" => {
                Some(Reply::invalid("payment_intent_unexpected_state", None))
            }
            () if left == 0 => Some(Reply::invalid("charge_already_refunded", None)),
            () if amount > left => Some(Reply::error(
                400,
                json!({"type": "invalid_request_error", "param": "amount"}),
            )),
            () => None,
        };
        if let Some(no) = no {
            return (no, true);
        }
        let status = match intent["payment_method"].as_str() {
            Some("pm_refund_pending") => "pending",
            Some("pm_refund_action") => "requires_action",
            Some("pm_refund_fails") => "failed",
            _ => "succeeded",
        };
        let metadata = json!({"tallygate_return": value("metadata[tallygate_return]"),
            "tallygate_payment": value("metadata[tallygate_payment]")});
        let refund = self.give_back(charge, amount, status, &metadata);
        (Reply::ok(&refund), true)
    }

    /// What of a charge was not refunded, nor is about to be.
    fn left_of(&self, intent: &Value) -> i64 {
        let of = self
            .refunds
            .iter()
            .filter(|refund| refund["payment_intent"] == intent["id"]);
        let gone = of.filter(|refund| {
            !["failed", "canceled"]
                .iter()
                .any(|status| refund["status"] == *status)
        });
        let gone: i64 = gone.map(|refund| refund["amount"].as_i64().unwrap()).sum();
        intent["amount_received"].as_i64().unwrap() - gone
    }

    /// Money of a charge is given back, by whomever. As in Stripe, nothing in it says in which world.
    pub fn give_back(&mut self, charge: &str, amount: i64, status: &str, metadata: &Value) -> Value {
        let intent = self
            .intents
            .iter()
            .find(|intent| intent["id"] == charge)
            .unwrap()
            .clone();
        let failure = (status == "failed").then_some("expired_or_canceled_card");
        let refund = json!({"id": format!("re_{}", self.refunds.len() + 1), "object": "refund", "amount": amount,
            "charge": "ch_1", "created": self.now(), "currency": intent["currency"], "metadata": metadata,
            "payment_intent": charge, "reason": "requested_by_customer", "status": status,
            "failure_reason": failure});
        self.refunds.push(refund.clone());
        self.note("refund.created", &refund);
        self.note(
            "charge.refunded",
            &json!({"id": "ch_1", "object": "charge", "payment_intent": charge,
            "metadata": intent["metadata"]}),
        );
        refund
    }

    /// Something else becomes of a refund.
    pub fn refund_comes_to(&mut self, id: &str, status: &str) {
        let refund = self.refunds.iter_mut().find(|refund| refund["id"] == id).unwrap();
        refund["status"] = json!(status);
        let refund = refund.clone();
        let kind = if status == "failed" {
            "refund.failed"
        } else {
            "refund.updated"
        };
        self.note(kind, &refund);
    }

    /// A bank asks the money of a charge back, or something else becomes of that.
    pub fn dispute(&mut self, intent: &str, status: &str) {
        let charge = self.intents.iter().find(|it| it["id"] == intent).unwrap().clone();
        let known = self
            .disputes
            .iter_mut()
            .find(|dispute| dispute["payment_intent"] == intent);
        let (kind, dispute) = match known {
            Some(dispute) => {
                dispute["status"] = json!(status);
                let over = ["won", "lost", "warning_closed", "prevented"].contains(&status);
                let kind = if over {
                    "charge.dispute.closed"
                } else {
                    "charge.dispute.updated"
                };
                (kind, dispute.clone())
            }
            None => {
                let dispute = json!({"id": format!("du_{}", self.disputes.len() + 1), "object": "dispute",
                    "livemode": false, "created": self.now(), "amount": charge["amount"],
                    "currency": charge["currency"], "charge": "ch_1", "metadata": {}, "payment_intent": intent,
                    "reason": "fraudulent", "status": status});
                self.disputes.push(dispute.clone());
                ("charge.dispute.created", dispute)
            }
        };
        self.note(kind, &dispute);
    }
}
