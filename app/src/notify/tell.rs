//! Who is written to about events that are being published.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    event::EventType,
    id::{BillingEventId, CustomerId, TenantId},
};

use super::{
    Audience,
    alert::{DAILY, is_alert},
    letter::is_written_about,
    setting::MailSetting,
    store::{self, NewLetter},
};
use crate::{error::Result, job, op::Op, webhook::News};

/// Most letters about one event to one receiver: as many addresses as a customer, or a vendor, may have.
pub(super) const MAX_ADDRESSES: usize = 5;

/// An event that somebody is written to about.
struct Item {
    event: BillingEventId,
    customer: Option<CustomerId>,
    kind: EventType,
}

impl Item {
    /// Nobody here has words for a type that only a newer version knows.
    fn of_note(news: &News) -> Option<Self> {
        let kind = news.kind.known()?;
        let is_told = is_alert(kind) || (news.customer.is_some() && is_written_about(kind));
        is_told.then_some(Self {
            event: news.event,
            customer: news.customer,
            kind,
        })
    }
}

/// Queues letters, and wakes who sends them. No statement where nothing is written about, one where the vendor does not write, four otherwise,
/// for any number of events; one more where something of that is told to the vendor once a day.
pub(crate) async fn tell_in(op: &mut Op, tenant: TenantId, news: &[News]) -> Result<()> {
    let news: Vec<Item> = news.iter().filter_map(Item::of_note).collect();
    if news.is_empty() {
        return Ok(());
    }
    let setting = store::setting(op.tx(), tenant).await?;
    let mut letters = to_customers(op, &setting, &news).await?;
    letters.extend(to_operations(op, tenant, &setting, &news).await?);
    if letters.is_empty() {
        return Ok(());
    }
    // An address that is both a customer's and the vendor's gets the customer's: it comes first.
    store::queue(op, tenant, &letters).await?;
    op.wake(job::mail::wakeup());
    Ok(())
}

/// Letters to customers, about themselves. One statement, none where the vendor does not write to them.
async fn to_customers(op: &Op, setting: &MailSetting, news: &[Item]) -> Result<Vec<NewLetter>> {
    let news: Vec<(&Item, CustomerId)> = news
        .iter()
        .filter(|it| setting.enabled && is_written_about(it.kind))
        .filter_map(|it| Some((it, it.customer?)))
        .collect();
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let customers: BTreeSet<CustomerId> = news.iter().map(|(_, customer)| *customer).collect();
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let desks = store::of_customers(op.tx(), &customers).await?;
    let mut letters = Vec::new();
    for (it, customer) in news {
        let Some(desk) = desks.get(&customer) else {
            continue;
        };
        if is_muted(it.kind, setting.muted.iter().chain(&desk.muted)) {
            continue;
        }
        let addresses = desk.receivers().into_iter().take(MAX_ADDRESSES);
        letters.extend(addresses.map(|address| NewLetter {
            event: it.event,
            audience: Audience::Customer,
            customer: Some(customer),
            address,
        }));
    }
    Ok(letters)
}

/// Letters to the vendor's own people. No statement, one where something is told once a day.
async fn to_operations(
    op: &Op,
    tenant: TenantId,
    setting: &MailSetting,
    news: &[Item],
) -> Result<Vec<NewLetter>> {
    let told = |it: &&Item| is_alert(it.kind) && !is_muted(it.kind, &setting.operations_muted);
    let news = news.iter().filter(|_| !setting.operations.is_empty());
    let news = first_of_day(op, tenant, news.filter(told).collect()).await?;
    let addresses = || setting.operations.iter().take(MAX_ADDRESSES);
    let letters = news.iter().flat_map(|it| {
        addresses().map(|address| NewLetter {
            event: it.event,
            audience: Audience::Operations,
            customer: it.customer,
            address: address.clone(),
        })
    });
    Ok(letters.collect())
}

/// Leaves out what the vendor has been told of a customer on this UTC day, of that which it is told once a day. The tenant's feed is locked, so
/// nobody tells it meanwhile.
async fn first_of_day<'a>(op: &Op, tenant: TenantId, news: Vec<&'a Item>) -> Result<Vec<&'a Item>> {
    let daily = |it: &Item| it.customer.filter(|_| DAILY.contains(&it.kind));
    let customers: BTreeSet<CustomerId> = news.iter().filter_map(|it| daily(it)).collect();
    if customers.is_empty() {
        return Ok(news);
    }
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let known = store::alerted_since(op, tenant, &customers, op.now().day()).await?;
    let mut told: BTreeMap<CustomerId, BTreeSet<String>> = BTreeMap::new();
    for (customer, kind) in known {
        told.entry(customer).or_default().insert(kind);
    }
    let mut is_first = |it: &&Item| {
        daily(it).is_none_or(|customer| {
            told.entry(customer)
                .or_default()
                .insert(it.kind.as_str().to_owned())
        })
    };
    Ok(news.into_iter().filter(|it| is_first(it)).collect())
}

fn is_muted<'a>(kind: EventType, muted: impl IntoIterator<Item = &'a String>) -> bool {
    muted.into_iter().any(|name| name == kind.as_str())
}
