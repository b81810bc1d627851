//! Who is to hear of events that are being published.

use std::collections::BTreeSet;

use domain::{
    event::TypeName,
    id::{BillingEventId, CustomerId, TenantId, WebhookEndpointId},
};

use super::{Endpoint, store};
use crate::{error::Result, job, op::Op};

/// Something that has happened, as far as it matters who hears of it.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) event: BillingEventId,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) kind: TypeName,
}

/// Makes deliveries for every endpoint that wants to hear, and wakes who sends them. One statement if nobody listens, three or four otherwise,
/// for any number of events and endpoints.
pub(crate) async fn tell_in(op: &mut Op, tenant: TenantId, news: &[News]) -> Result<()> {
    let customers: BTreeSet<CustomerId> = news.iter().filter_map(|it| it.customer).collect();
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let endpoints = store::listening(op.tx(), tenant, &customers).await?;
    let mut pairs: Vec<(&Endpoint, BillingEventId)> = Vec::new();
    for it in news {
        let wanted = endpoints
            .iter()
            .filter(|endpoint| endpoint.wants(&it.kind, it.customer));
        pairs.extend(wanted.map(|endpoint| (endpoint, it.event)));
    }
    if pairs.is_empty() {
        return Ok(());
    }
    let rows: Vec<(WebhookEndpointId, BillingEventId)> = pairs
        .iter()
        .map(|(endpoint, event)| (endpoint.id, *event))
        .collect();
    store::insert_deliveries(op, tenant, &rows).await?;
    let (failing, well): (Vec<_>, Vec<_>) = pairs
        .iter()
        .map(|(endpoint, _)| *endpoint)
        .partition(|endpoint| endpoint.health().is_failing());
    job::webhooks::wake_in(op, &job::webhooks::FIRST, ids(well)).await?;
    job::webhooks::wake_in(op, &job::webhooks::AGAIN, ids(failing)).await
}

fn ids(endpoints: Vec<&Endpoint>) -> BTreeSet<WebhookEndpointId> {
    endpoints.into_iter().map(|endpoint| endpoint.id).collect()
}
