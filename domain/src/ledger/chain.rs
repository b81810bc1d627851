//! The chain of a ledger: every entry carries a hash over its own content and the hash of the entry before it.
//!
//! Whoever has noted one hash outside the database can tell later whether anything up to that entry was changed, removed or
//! put in between: recompute the chain and compare. The last hash of a customer stands for the whole ledger.
//!
//! `hash = SHA-256(label ‖ previous hash ‖ fields)`, where the fields are those of [`Content`] in the order in which they are
//! declared: numbers as 8 bytes big-endian, ids as 16 bytes, texts as their length (a number) and their UTF-8 bytes; what may be
//! missing begins with one byte, 0 (missing, and nothing follows) or 1. The entry before the first has the hash of all zeros.
//! The label ends in the number of the encoding. Should entries ever get more fields, they get a new encoding, and an entry is
//! sound when any encoding gives its hash.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Entry;
use crate::{
    id::{CustomerId, TenantId},
    text::debug_by_text,
    time::Timestamp,
};

/// What every hashed text begins with: says what it is, and the number of the encoding.
const LABEL: &[u8] = b"tallygate ledger entry 1";
/// Bytes of a hash.
const LENGTH: usize = 32;
/// Room for an entry with a description of usual length, so that hashing allocates once.
const USUAL_SIZE: usize = 512;

/// The hash of an entry; shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EntryHash([u8; LENGTH]);

impl EntryHash {
    /// What stands before the first entry.
    pub const NONE: Self = Self([0; LENGTH]);

    /// From the bytes of a row; `None` when there are not 32 of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hash of the entry that follows this one.
    #[must_use]
    pub fn next(self, content: &Content<'_>) -> Self {
        let mut text = Encoded(Vec::with_capacity(USUAL_SIZE));
        text.0.extend_from_slice(LABEL);
        text.0.extend_from_slice(&self.0);
        content.encode(&mut text);
        Self(Sha256::digest(&text.0).into())
    }

    /// The hashes of entries that follow this one, all written at one instant.
    #[must_use]
    pub fn chain(
        self,
        tenant: TenantId,
        customer: CustomerId,
        entries: &[Entry],
        at: Timestamp,
    ) -> Vec<Self> {
        let mut head = self;
        entries
            .iter()
            .map(|entry| {
                head = head.next(&Content::of(tenant, customer, entry, at));
                head
            })
            .collect()
    }
}

/// Everything that an entry says, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    /// Whose customer.
    pub tenant: Uuid,
    /// Whose ledger.
    pub customer: Uuid,
    /// Number of the line.
    pub sequence: i64,
    /// Kind, in capitals.
    pub kind: &'a str,
    /// One effect, one entry.
    pub effect_key: &'a str,
    /// The block it touches.
    pub block: Option<Uuid>,
    /// Change of the balance, in micro-credits.
    pub credits: i64,
    /// Change of the overdraft, in micro-credits.
    pub overdraft_change: i64,
    /// Balance after it, in micro-credits.
    pub balance_after: i64,
    /// Overdraft after it, in micro-credits.
    pub overdraft_after: i64,
    /// A line for people.
    pub description: &'a str,
    /// Which metric.
    pub metric: Option<Uuid>,
    /// Which version priced it.
    pub rule: Option<Uuid>,
    /// First instant of the cycle, in microseconds.
    pub period_start: Option<i64>,
    /// Count before, in millionths of a unit.
    pub from_units: Option<i64>,
    /// Events before.
    pub from_events: Option<i64>,
    /// Count after, in millionths of a unit.
    pub to_units: Option<i64>,
    /// Events after.
    pub to_events: Option<i64>,
    /// First event of the batch.
    pub first_event: Option<Uuid>,
    /// Last event of the batch.
    pub last_event: Option<Uuid>,
    /// Events of the batch.
    pub event_count: Option<i64>,
    /// When it was written, in microseconds since 1970.
    pub created_at: i64,
}

impl<'a> Content<'a> {
    /// What a new entry says.
    #[must_use]
    pub fn of(tenant: TenantId, customer: CustomerId, entry: &'a Entry, at: Timestamp) -> Self {
        let usage = entry.cause.usage.as_ref();
        Self {
            tenant: tenant.0,
            customer: customer.0,
            sequence: entry.sequence,
            kind: entry.cause.kind.as_str(),
            effect_key: &entry.cause.effect_key,
            block: entry.block.map(|block| block.0),
            credits: entry.credits.raw(),
            overdraft_change: entry.overdraft_change.raw(),
            balance_after: entry.balance_after.raw(),
            overdraft_after: entry.overdraft_after.raw(),
            description: &entry.description,
            metric: usage.map(|usage| usage.metric.0),
            rule: usage.and_then(|usage| usage.rule).map(|rule| rule.0),
            period_start: usage.map(|usage| usage.period_start.micros()),
            from_units: usage.map(|usage| usage.from.units.raw()),
            from_events: usage.map(|usage| usage.from.events),
            to_units: usage.map(|usage| usage.to.units.raw()),
            to_events: usage.map(|usage| usage.to.events),
            first_event: usage.map(|usage| usage.first_event.0),
            last_event: usage.map(|usage| usage.last_event.0),
            event_count: usage.map(|usage| usage.events),
            created_at: at.micros(),
        }
    }

    fn encode(&self, text: &mut Encoded) {
        text.id(self.tenant);
        text.id(self.customer);
        text.number(self.sequence);
        text.text(self.kind);
        text.text(self.effect_key);
        text.maybe(self.block, Encoded::id);
        text.number(self.credits);
        text.number(self.overdraft_change);
        text.number(self.balance_after);
        text.number(self.overdraft_after);
        text.text(self.description);
        text.maybe(self.metric, Encoded::id);
        text.maybe(self.rule, Encoded::id);
        text.maybe(self.period_start, Encoded::number);
        text.maybe(self.from_units, Encoded::number);
        text.maybe(self.from_events, Encoded::number);
        text.maybe(self.to_units, Encoded::number);
        text.maybe(self.to_events, Encoded::number);
        text.maybe(self.first_event, Encoded::id);
        text.maybe(self.last_event, Encoded::id);
        text.maybe(self.event_count, Encoded::number);
        text.number(self.created_at);
    }
}

/// Bytes that can be read in one way only.
struct Encoded(Vec<u8>);

impl Encoded {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn id(&mut self, id: Uuid) {
        self.0.extend_from_slice(id.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(i64::try_from(text.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

debug_by_text!(EntryHash);

impl Serialize for EntryHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a hash has 64 hexadecimal digits");
        if text.len() != 2 * LENGTH || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; LENGTH];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content<'static> {
        Content {
            tenant: Uuid::from_u128(1),
            customer: Uuid::from_u128(2),
            sequence: 3,
            kind: "DEBIT",
            effect_key: "debit:e",
            block: Some(Uuid::from_u128(4)),
            credits: -5,
            overdraft_change: 0,
            balance_after: 6,
            overdraft_after: 0,
            description: "Größe",
            metric: Some(Uuid::from_u128(7)),
            rule: None,
            period_start: Some(8),
            from_units: Some(9),
            from_events: Some(10),
            to_units: Some(11),
            to_events: Some(12),
            first_event: Some(Uuid::from_u128(13)),
            last_event: Some(Uuid::from_u128(14)),
            event_count: Some(15),
            created_at: 16,
        }
    }

    /// Computed by another program from the description above. It must never change: hashes are noted outside.
    #[test]
    fn the_encoding_is_fixed() {
        let first = EntryHash::NONE.next(&content());
        assert_eq!(
            first.to_string(),
            "7015eab1d0215e2886acd062342a7a7ec650574491fc7ecb6fec388f4724dd24"
        );
        assert_eq!(
            first.next(&content()).to_string(),
            "c8be9fa23f26da80187fb0ed04481f38b93840132ff6f224fa90d4aa45ee0dae"
        );
    }

    #[test]
    fn every_field_matters() {
        let id = Some(Uuid::from_u128(99));
        let number = Some(99);
        let all = content();
        let changed = [
            Content {
                tenant: Uuid::nil(),
                ..all
            },
            Content {
                customer: Uuid::nil(),
                ..all
            },
            Content { sequence: 99, ..all },
            Content { kind: "VOID", ..all },
            Content {
                effect_key: "debit:f",
                ..all
            },
            Content { block: None, ..all },
            Content { credits: 99, ..all },
            Content {
                overdraft_change: 99,
                ..all
            },
            Content {
                balance_after: 99,
                ..all
            },
            Content {
                overdraft_after: 99,
                ..all
            },
            Content {
                description: "Grösse",
                ..all
            },
            Content { metric: id, ..all },
            Content { rule: id, ..all },
            Content {
                period_start: number,
                ..all
            },
            Content {
                from_units: number,
                ..all
            },
            Content {
                from_events: number,
                ..all
            },
            Content {
                to_units: number,
                ..all
            },
            Content {
                to_events: number,
                ..all
            },
            Content {
                first_event: id,
                ..all
            },
            Content {
                last_event: id,
                ..all
            },
            Content {
                event_count: None,
                ..all
            },
            Content {
                created_at: 99,
                ..all
            },
            // Letters that move from one text to the next are a change too.
            Content {
                kind: "DEBITd",
                effect_key: "ebit:e",
                ..all
            },
        ];
        let before = EntryHash::NONE.next(&all);
        for other in changed {
            assert_ne!(EntryHash::NONE.next(&other), before, "{other:?}");
        }
        assert_ne!(before.next(&all), before);
    }

    #[test]
    fn text_form() {
        let hash = EntryHash::NONE.next(&content());
        let json = serde_json::to_string(&hash).unwrap_or_default();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<EntryHash>(&json).ok(), Some(hash));
        for bad in [
            "\"\"",
            "\"zz\"",
            &json.replace('"', ""),
            &json.replacen('"', "\"00", 1),
        ] {
            assert!(serde_json::from_str::<EntryHash>(bad).is_err(), "{bad}");
        }
        assert_eq!(EntryHash::from_bytes(hash.as_bytes()), Some(hash));
        assert_eq!(EntryHash::from_bytes(&[1; 31]), None);
    }
}
