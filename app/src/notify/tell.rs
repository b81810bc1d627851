//! Who is written to about events that are being published.

use std::collections::BTreeSet;

use domain::id::{BillingEventId, CustomerId, TenantId};

use super::{letter::is_written_about, store};
use crate::{error::Result, job, op::Op, webhook::News};

/// Most letters about one event: as many addresses as a customer may have.
pub(super) const MAX_ADDRESSES: usize = 5;

/// Queues letters, and wakes who sends them. No statement where nothing is written about, one where the vendor does not write, four otherwise,
/// for any number of events.
pub(crate) async fn tell_in(op: &mut Op, tenant: TenantId, news: &[News]) -> Result<()> {
    // Nobody here has words for a type that only a newer version knows.
    let is_written = |it: &&News| it.kind.known().is_some_and(is_written_about);
    let news: Vec<(&News, CustomerId)> = news
        .iter()
        .filter(is_written)
        .filter_map(|it| Some((it, it.customer?)))
        .collect();
    if news.is_empty() {
        return Ok(());
    }
    let setting = store::setting(op.tx(), tenant).await?;
    if !setting.enabled {
        return Ok(());
    }
    let customers: BTreeSet<CustomerId> = news.iter().map(|(_, customer)| *customer).collect();
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let desks = store::of_customers(op.tx(), &customers).await?;
    let mut letters: Vec<(BillingEventId, CustomerId, String)> = Vec::new();
    for (it, customer) in news {
        let Some(desk) = desks.get(&customer) else {
            continue;
        };
        let name = it.kind.as_str();
        let is_muted = setting.muted.iter().chain(&desk.muted).any(|muted| muted == name);
        if !is_muted {
            let addresses = desk.receivers().into_iter().take(MAX_ADDRESSES);
            letters.extend(addresses.map(|address| (it.event, customer, address)));
        }
    }
    if letters.is_empty() {
        return Ok(());
    }
    store::queue(op, tenant, &letters).await?;
    op.wake(job::mail::wakeup());
    Ok(())
}
