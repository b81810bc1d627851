//! Publishing: events get their numbers in the tenant's feed, and with them go the messages to whoever wants to hear of them.
//!
//! One publisher per tenant at a time, by the lock on its feed, so that numbers become visible in their order and without gaps: a reader
//! that goes by them misses nothing, whichever transactions overlapped. Events of one customer keep the order of their own numbers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::id::{CustomerId, TenantId};
use futures::future::BoxFuture;

use super::store::{self, Unpublished};
use crate::{
    App,
    error::Result,
    failpoint::reach,
    job, notify,
    op::Op,
    waker::{Waker, Wakes},
    webhook,
};

/// Events that are published in one transaction.
const BATCH: u64 = 1_000;

/// Publishes the events of a tenant that wait. Answers whether more may. Four statements for any number of events; four more where somebody
/// is to be told.
pub(crate) async fn publish(app: &App, tenant: TenantId) -> Result<bool> {
    let mut op = Op::begin(app).await?;
    let last = store::lock_feed(&op, tenant).await?;
    let found = store::unpublished(&op, tenant, BATCH).await?;
    let more = found.len() as u64 >= BATCH;
    if found.is_empty() {
        return Ok(false);
    }
    let order = in_order(found);
    store::publish(&op, tenant, last, &order).await?;
    reach("event.numbered")?;
    let told: Vec<_> = order
        .iter()
        .filter(|it| it.kind.is_for_all())
        .map(|it| webhook::News {
            event: it.id,
            customer: it.customer,
            kind: it.kind.clone(),
        })
        .collect();
    webhook::tell_in(&mut op, tenant, &told).await?;
    notify::tell_in(&mut op, tenant, &told).await?;
    op.published(tenant);
    reach("event.told")?;
    op.commit().await?;
    Ok(more)
}

/// Tenants whose events wait to be published.
pub(crate) async fn due(app: &App) -> Result<Vec<TenantId>> {
    store::unpublished_tenants(app.db().reader()).await
}

/// The order in which events are published: that of their ids, which is that of time as far as clocks agree, but each customer's own events
/// by their numbers, in the places that belong to the customer.
fn in_order(found: Vec<Unpublished>) -> Vec<Unpublished> {
    let mut own: BTreeMap<CustomerId, Vec<Unpublished>> = BTreeMap::new();
    for it in &found {
        if let Some(customer) = it.customer {
            own.entry(customer).or_default().push(it.clone());
        }
    }
    let mut own: BTreeMap<CustomerId, VecDeque<Unpublished>> = own
        .into_iter()
        .map(|(customer, mut events)| {
            events.sort_by_key(|it| it.sequence);
            (customer, events.into())
        })
        .collect();
    let next = |it: Unpublished| {
        let queue = it.customer.and_then(|customer| own.get_mut(&customer));
        queue.and_then(VecDeque::pop_front).unwrap_or(it)
    };
    found.into_iter().map(next).collect()
}

impl Wakes for TenantId {
    fn waker(app: &App) -> &Waker<Self> {
        app.feeds()
    }

    fn wake(app: &App, tenants: BTreeSet<Self>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let subjects: Vec<String> = tenants.iter().map(Self::to_string).collect();
            job::wake(app, job::events::NAME, &subjects, job::Sender::Work).await
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::{event::EventType, id::BillingEventId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_customer_s_events_keep_their_order_whatever_the_clocks_say() {
        let event = |id: u128, customer: Option<u128>, sequence: Option<i64>| Unpublished {
            id: BillingEventId(Uuid::from_u128(id)),
            customer: customer.map(|id| CustomerId(Uuid::from_u128(id))),
            sequence,
            kind: EventType::InvoicePaid.into(),
        };
        let found = vec![
            event(1, Some(7), Some(3)),
            event(2, None, None),
            event(3, Some(8), Some(1)),
            event(4, Some(7), Some(2)),
            event(5, Some(8), Some(2)),
            event(6, Some(7), Some(4)),
        ];
        let order: Vec<u128> = in_order(found).into_iter().map(|it| it.id.0.as_u128()).collect();
        assert_eq!(order, [4, 2, 3, 1, 5, 6]);
    }
}
