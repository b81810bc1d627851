//! From rows to nouns. A row that cannot be read is an error that names it, never a default.

mod payment;
mod plan;
mod recharge;
mod subscription;

pub use self::subscription::blank;

use domain::{
    amount::{Credits, Quantity},
    credit::block::Block,
    customer::Terms,
    hold::Hold,
    id::{BlockId, CustomerId, EventId, HoldId, MeteringRuleId, MetricId},
    ledger::{
        Account,
        chain::{Content, EntryHash},
    },
    metering::{Position, rule::MeteringRule},
    money::Money,
    time::Timestamp,
    usage::{Counter, CounterKey, event::PendingEvent},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{account, block, customer, hold, ledger_entry, metering_rule, usage_counter, usage_pending};

/// A row that does not say what it should.
#[derive(Debug, thiserror::Error)]
#[error("row of `{table}` cannot be read: {problem}")]
pub struct Corrupt {
    /// Where it is.
    pub table: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl Corrupt {
    fn in_table(table: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |error| Self {
            table,
            problem: error.to_string(),
        }
    }
}

/// Rows as nouns.
///
/// # Errors
/// The first row that cannot be read.
pub fn nouns<R, T: TryFrom<R, Error = Corrupt>>(rows: Vec<R>) -> Result<Vec<T>, Corrupt> {
    rows.into_iter().map(T::try_from).collect()
}

/// The text under which a value of an enumeration is stored: its name in capitals.
pub fn to_text(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        // Enumerations without fields are always text; anything else shows itself at the first read.
        other => format!("{other:?}"),
    }
}

/// The value of an enumeration from its stored text.
///
/// # Errors
/// A text that is no value of the enumeration.
pub fn from_text<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, Corrupt> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(Corrupt::in_table(table))
}

/// A value that is stored as JSON.
///
/// # Errors
/// A text that says something else.
pub fn from_json<T: DeserializeOwned>(table: &'static str, json: &str) -> Result<T, Corrupt> {
    serde_json::from_str(json).map_err(Corrupt::in_table(table))
}

/// An amount of money from its two columns.
///
/// # Errors
/// A currency that is none.
pub fn money(table: &'static str, minor: i64, currency: &str) -> Result<Money, Corrupt> {
    let problem = |_| Corrupt {
        table,
        problem: format!("`{currency}` is no currency"),
    };
    Ok(Money::of(minor, currency.parse().map_err(problem)?))
}

impl TryFrom<&block::Model> for Block {
    type Error = Corrupt;

    fn try_from(row: &block::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            id: BlockId(row.id),
            source: from_text("block", &row.source)?,
            billing: from_text("block", &row.billing)?,
            priority: row.priority,
            credits: Credits::from_raw(row.credits),
            remaining: Credits::from_raw(row.remaining),
            granted_at: Timestamp::from_micros(row.granted_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            metrics: row
                .metrics
                .as_deref()
                .map(|json| from_json("block", json))
                .transpose()?,
            state: from_text("block", &row.state)?,
        })
    }
}

impl TryFrom<&metering_rule::Model> for MeteringRule {
    type Error = Corrupt;

    fn try_from(row: &metering_rule::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            id: MeteringRuleId(row.id),
            metric: MetricId(row.metric_id),
            version: row.version,
            matches: from_json("metering_rule", &row.matches)?,
            line: MeteringRuleId(row.line_id),
            price: from_json("metering_rule", &row.price)?,
            known_from: Timestamp::from_micros(row.created_at),
            effective_from: Timestamp::from_micros(row.effective_from),
            effective_to: row.effective_to.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<&customer::Model> for Terms {
    type Error = Corrupt;

    fn try_from(row: &customer::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            at_zero: from_text("customer", &row.at_zero)?,
            overage_line: Credits::from_raw(row.overage_line),
            settlement: from_text("customer", &row.settlement)?,
            overshoot_limit: row.overshoot_limit.map(Credits::from_raw),
            beyond_overshoot: from_text("customer", &row.beyond_overshoot)?,
        })
    }
}

impl From<&account::Model> for Account {
    fn from(row: &account::Model) -> Self {
        Self {
            sequence: row.sequence,
            blocks: Credits::from_raw(row.blocks),
            overdraft: Credits::from_raw(row.overdraft),
            // The database keeps it at 32 bytes.
            head: EntryHash::from_bytes(&row.head).unwrap_or_default(),
            watched_balance: row.watched_balance.map(Credits::from_raw),
            low_balance: row.low_balance.map(Credits::from_raw),
        }
    }
}

impl ledger_entry::Model {
    /// Everything that the line says and its hash covers.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content {
            tenant: self.tenant_id,
            customer: self.customer_id,
            sequence: self.sequence,
            kind: &self.kind,
            effect_key: &self.effect_key,
            block: self.block_id,
            credits: self.credits,
            overdraft_change: self.overdraft_change,
            balance_after: self.balance_after,
            overdraft_after: self.overdraft_after,
            description: &self.description,
            metric: self.metric_id,
            rule: self.rule_id,
            period_start: self.period_start,
            from_units: self.from_units,
            from_events: self.from_events,
            to_units: self.to_units,
            to_events: self.to_events,
            first_event: self.first_event,
            last_event: self.last_event,
            event_count: self.event_count,
            created_at: self.created_at,
        }
    }
}

impl TryFrom<&usage_pending::Model> for PendingEvent {
    type Error = Corrupt;

    fn try_from(row: &usage_pending::Model) -> Result<Self, Corrupt> {
        let properties = row
            .properties
            .as_deref()
            .map(|json| from_json("usage_pending", json))
            .transpose()?;
        Ok(Self {
            id: EventId(row.id),
            metric: MetricId(row.metric_id),
            units: Quantity::from_raw(row.units),
            occurred_at: Timestamp::from_micros(row.occurred_at),
            received_at: Timestamp::from_micros(row.received_at),
            properties: properties.unwrap_or_default(),
        })
    }
}

impl TryFrom<&hold::Model> for Hold {
    type Error = Corrupt;

    fn try_from(row: &hold::Model) -> Result<Self, Corrupt> {
        let properties = row.properties.as_deref();
        let properties = properties.map(|json| from_json("hold", json)).transpose()?;
        Ok(Self {
            id: HoldId(row.id),
            metric: MetricId(row.metric_id),
            units: Quantity::from_raw(row.units),
            properties: properties.unwrap_or_default(),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

impl usage_counter::Model {
    /// Whose count, which count, and how far it has come.
    ///
    /// # Errors
    /// Draws that cannot be read.
    pub fn noun(&self) -> Result<(CustomerId, CounterKey, Counter), Corrupt> {
        let key = CounterKey {
            metric: MetricId(self.metric_id),
            line: (!self.line_id.is_nil()).then_some(MeteringRuleId(self.line_id)),
            period_start: Timestamp::from_micros(self.period_start),
        };
        let draws = self.draws.parse().map_err(|_| Corrupt {
            table: "usage_counter",
            problem: format!("draws `{}`", self.draws),
        })?;
        let counter = Counter {
            position: Position {
                units: Quantity::from_raw(self.units),
                events: self.events,
            },
            credits: Credits::from_raw(self.credits),
            draws,
        };
        Ok((CustomerId(self.customer_id), key, counter))
    }
}
