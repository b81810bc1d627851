//! What becomes of a charge, by the name of the card.

use serde_json::{Value, json};

use super::books::{Fields, Reply, field};

/// How the answer comes, whatever is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Plain,
    /// After a while.
    Slow,
    /// Never, though it was done.
    Hang,
    /// The connection is closed instead, though it was done.
    Drop,
}

impl Manner {
    pub fn of(fields: &Fields) -> Self {
        match field(fields, "payment_method") {
            Some("pm_slow") => Self::Slow,
            Some("pm_hang_charged") => Self::Hang,
            Some("pm_drop_charged") => Self::Drop,
            _ => Self::Plain,
        }
    }
}

/// What is done with a charge.
pub struct Deed {
    /// The charge as it is kept; `None`: none is made.
    pub intent: Option<Value>,
    pub reply: Reply,
    /// Whether the answer is kept under its key.
    pub sticky: bool,
}

impl Deed {
    fn of(intent: Value, reply: Reply) -> Self {
        Self {
            intent: Some(intent),
            reply,
            sticky: true,
        }
    }

    fn nothing(reply: Reply, sticky: bool) -> Self {
        Self {
            intent: None,
            reply,
            sticky,
        }
    }
}

/// What becomes of a charge; `intent` is as yet unpaid.
pub fn act(card: &str, intent: Value) -> Deed {
    let set = |status: &str| with(intent.clone(), "status", json!(status));
    let paid = || with(set("succeeded"), "amount_received", intent["amount"].clone());
    let shown = |intent: Value| Deed::of(intent.clone(), Reply::ok(&intent));
    match card {
        "late" => shown(set("processing")),
        "canceled" => shown(set("canceled")),
        "mystery" => shown(set("requires_capture")),
        "unpaid" => shown(set("requires_payment_method")),
        // The same once more, with the owner present.
        "confirm" | "authentication_owner" => {
            let page =
                json!({"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}});
            shown(with(set("requires_action"), "next_action", page))
        }
        "live" => shown(with(paid(), "livemode", json!(true))),
        "short" => {
            let received = json!(intent["amount"].as_i64().unwrap() - 1);
            shown(with(paid(), "amount_received", received))
        }
        "foreign" => Deed::of(
            paid(),
            Reply::ok(&with(
                paid(),
                "metadata",
                json!({"tallygate_payment": "pay_other"}),
            )),
        ),
        "garbage" => Deed::of(paid(), Reply::new(200, "<html>fine</html>".to_owned())),
        "huge" => Deed::of(
            paid(),
            Reply::new(200, format!("{}{}", " ".repeat(2 << 20), paid())),
        ),
        "half" => Deed::of(paid(), Reply::ok(&json!({"id": paid()["id"], "livemode": false}))),
        "500_charged" => Deed::of(paid(), Reply::error(500, json!({"type": "api_error"}))),
        "500" => Deed::nothing(Reply::error(500, json!({"type": "api_error"})), true),
        "gone" => Deed::nothing(Reply::invalid("resource_missing", Some("payment_method")), true),
        "locked" => Deed::nothing(Reply::invalid("lock_timeout", None), false),
        "refused" => Deed::nothing(Reply::invalid("amount_too_large", Some("amount")), true),
        "no_intent" => Deed::nothing(Reply::error(402, json!({"type": "card_error"})), true),
        "authentication_nowhere_owner" => {
            Deed::nothing(Reply::error(500, json!({"type": "api_error"})), false)
        }
        "authentication_given_owner" => shown(paid()),
        "authentication" | "authentication_nowhere" | "authentication_given" => declined(
            &set("requires_payment_method"),
            ("authentication_required", "authentication_required"),
            &json!({}),
        ),
        "expired" => declined(
            &set("requires_payment_method"),
            ("expired_card", "expired_card"),
            &json!({}),
        ),
        "advice" => {
            let advice = json!({"advice_code": "do_not_try_again", "network_decline_code": "05"});
            declined(
                &set("requires_payment_method"),
                ("card_declined", "generic_decline"),
                &advice,
            )
        }
        _ => match (card.strip_prefix("decline_"), card.strip_prefix("status_")) {
            (Some(code), _) => declined(
                &set("requires_payment_method"),
                ("card_declined", code),
                &json!({}),
            ),
            (_, Some(status)) => {
                let error = json!({"type": "invalid_request_error"});
                Deed::nothing(Reply::error(status.parse().unwrap(), error), false)
            }
            _ => shown(paid()),
        },
    }
}

/// The bank says no: the charge is kept, and comes with the error.
fn declined(intent: &Value, (code, decline_code): (&str, &str), more: &Value) -> Deed {
    let mut error =
        json!({"type": "card_error", "code": code, "decline_code": decline_code, "message": "No."});
    for (name, value) in more.as_object().unwrap() {
        error[name] = value.clone();
    }
    let intent = with(intent.clone(), "last_payment_error", error.clone());
    let error = with(error, "payment_intent", intent.clone());
    Deed::of(intent, Reply::error(402, error))
}

pub fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}
