//! Usage that is accepted and debited inside somebody else's operation, whose accounts are locked: that of a captured hold, which has to
//! stop being held in the very moment in which it is debited.

use std::collections::{BTreeSet, HashSet};

use domain::{
    amount::Quantity,
    id::{CustomerId, EventId, MetricId, TenantId},
    metering::rule::Properties,
    time::Timestamp,
};

use super::{collector::Prepared, fingerprint, store};
use crate::{App, customer::shard_of, error::Result, job::drain::Shard, op::Op};

/// An event to accept.
#[derive(Debug, Clone)]
pub(crate) struct Accept {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) metric: MetricId,
    /// Its idempotency key.
    pub(crate) key: String,
    /// Zero or more.
    pub(crate) units: Quantity,
    /// When it happened; `None`: when it is accepted.
    pub(crate) occurred_at: Option<Timestamp>,
    /// Facts that a rule may match on, and the same as they are stored.
    pub(crate) properties: (Properties, Option<String>),
}

impl Accept {
    fn prepared(self) -> Prepared {
        let (properties, json) = self.properties;
        let (units, occurred_at) = (self.units, self.occurred_at);
        Prepared {
            fingerprint: fingerprint(self.customer, self.metric, units, occurred_at, &properties),
            tenant: self.tenant,
            customer: self.customer,
            shard: shard_of(self.customer),
            clock: None,
            metric: self.metric,
            key: self.key,
            units,
            occurred_at,
            properties: json,
        }
    }
}

/// Accepts events at an instant, under ids that the caller has chosen; answers with those whose keys were taken. One statement, two on
/// SQLite, none without events.
pub(crate) async fn accept_in(
    op: &Op,
    events: Vec<(EventId, Accept)>,
    at: Timestamp,
) -> Result<HashSet<EventId>> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let events: Vec<_> = events
        .into_iter()
        .map(|(id, event)| (event.prepared(), id))
        .collect();
    let new: Vec<_> = events.iter().map(|(event, id)| (event, *id)).collect();
    store::insert_events(op.tx(), &new, at).await
}

/// Wakes the workers for usage of customers that was accepted and not debited.
pub(crate) fn wake(app: &App, customers: impl IntoIterator<Item = CustomerId>) {
    let shards: BTreeSet<i32> = customers.into_iter().map(shard_of).collect();
    let shards = shards.into_iter().map(Shard).collect();
    app.shards().touched(app, shards);
}
