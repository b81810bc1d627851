//! Telling of usage beyond the bound of a customer's overdraft, which the vendor takes upon itself.

use std::collections::BTreeSet;

use domain::{
    amount::Credits,
    event::EventType,
    id::{CustomerId, EntryId, MetricId, TenantId},
    ledger::EntryKind,
    time::Timestamp,
};
use serde_json::json;

use crate::{
    credit::Posting,
    error::Result,
    event::{self, NewEvent},
    op::Op,
};

/// What one transaction wrote off of a customer's usage.
#[derive(Debug)]
pub(super) struct WrittenOff {
    tenant: TenantId,
    customer: CustomerId,
    /// The first line of the ledger that says so.
    entry: EntryId,
    credits: Credits,
    bound: Credits,
    /// What the customer owes afterwards.
    overdraft: Credits,
    /// The metric, where it is one.
    metric: Option<MetricId>,
    at: Timestamp,
}

impl WrittenOff {
    /// What new entries write off as of an instant, taken together; `None`: nothing, or less than they take back.
    pub(super) fn of(posting: &Posting, bound: Credits, at: Timestamp) -> Option<Self> {
        let entries = posting.entries.iter();
        let entries = || {
            entries
                .clone()
                .filter(|entry| entry.cause.kind == EntryKind::WriteOff)
        };
        let sum: i128 = entries().map(|entry| i128::from(entry.credits.raw())).sum();
        let credits = Credits::from_raw(i64::try_from(sum).unwrap_or(i64::MAX));
        let (first, customer) = (entries().next()?, posting.customer);
        let metrics: BTreeSet<MetricId> = entries()
            .filter_map(|entry| Some(entry.cause.usage.as_ref()?.metric))
            .collect();
        credits.is_positive().then(|| Self {
            tenant: posting.tenant,
            customer,
            entry: EntryId {
                customer,
                sequence: first.sequence,
            },
            credits,
            bound,
            overdraft: posting.account.overdraft,
            metric: metrics.first().copied().filter(|_| metrics.len() == 1),
            at,
        })
    }

    fn event(&self) -> NewEvent {
        let kind = EventType::OvershootWrittenOff;
        NewEvent {
            tenant: self.tenant,
            customer: Some(self.customer),
            subscription: None,
            kind,
            key: format!("{kind}:{}", self.entry),
            at: self.at,
            data: event::words([
                ("customer_id", json!(self.customer)),
                ("ledger_entry_id", json!(self.entry.to_string())),
                ("credits", json!(self.credits)),
                ("bound", json!(self.bound)),
                ("overdraft", json!(self.overdraft)),
                ("metric_id", json!(self.metric)),
            ]),
        }
    }
}

/// Tells what was written off, once per customer and transaction. Two statements for any number, none for none.
pub(super) async fn tell_in(op: &Op, all: impl IntoIterator<Item = WrittenOff>) -> Result<()> {
    let events: Vec<NewEvent> = all.into_iter().map(|it| it.event()).collect();
    event::write_in(op, &events).await
}
