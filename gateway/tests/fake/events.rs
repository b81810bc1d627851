//! What has happened, as Stripe tells of it, and how it signs that.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::books::Books;

/// How many bytes SHA-256 takes at once.
const BLOCK: usize = 64;

impl Books {
    /// Something has happened to a charge, by how it stands.
    pub(super) fn note_charge(&mut self, intent: &Value) {
        let kind = match intent["status"].as_str().unwrap() {
            "requires_payment_method" => "payment_failed",
            "requires_confirmation" | "requires_capture" => "created",
            status => status,
        };
        self.note(&format!("payment_intent.{kind}"), intent);
    }

    /// Something has happened, of whatever kind.
    pub fn note(&mut self, kind: &str, object: &Value) {
        let event = json!({"id": format!("evt_{}", self.events.len() + 1), "object": "event", "type": kind,
            "api_version": "2020-08-27", "created": self.now(), "livemode": false, "data": {"object": object}});
        self.events.push(event);
    }
}

/// A notice of an event as it is sent: its header `Stripe-Signature`, and its body.
pub fn signed(event: &Value, secret: &str, second: i64) -> (String, Vec<u8>) {
    let body = event.to_string().into_bytes();
    let text = [format!("{second}.").as_bytes(), &body].concat();
    (format!("t={second},v1={}", hmac(secret.as_bytes(), &text)), body)
}

/// HMAC-SHA256 by its definition: what is tested is not used to test it.
fn hmac(secret: &[u8], text: &[u8]) -> String {
    let mut key = [0; BLOCK];
    key[..secret.len()].copy_from_slice(secret);
    let pad = |byte: u8| key.map(|part| part ^ byte);
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    hex::encode(Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()))
}
