//! Telling that few credits are left: in the transaction that moves them.

use std::collections::BTreeMap;

use domain::{
    amount::Credits,
    credit::low_balance,
    event::EventType,
    id::{CustomerId, TenantId},
    ledger::Account,
    time::Timestamp,
};
use entity::account;
use serde_json::json;

use super::store::{self, Found};
use crate::{
    credit::Posting,
    error::Result,
    event::{self, NewEvent},
    failpoint::reach,
    op::Op,
};

/// A balance that is low.
#[derive(Debug, Clone, Copy)]
struct Low {
    tenant: TenantId,
    customer: CustomerId,
    balance: Credits,
    threshold: Credits,
}

/// Tells those whose balance changes have brought down to where they want to know. Their accounts are locked. No statement where nobody's
/// balance has come down so far, one where all were told today, four otherwise, for any number of customers.
pub(crate) async fn fallen_in(op: &Op, postings: &[&Posting]) -> Result<()> {
    let fallen = postings.iter().filter_map(|posting| {
        let before = posting.balance_before()?;
        let is_news = posting.account.has_fallen_low(before);
        Some(Low {
            tenant: posting.tenant,
            customer: posting.customer,
            balance: posting.account.balance(),
            threshold: posting.account.low_balance.filter(|_| is_news)?,
        })
    });
    tell(op, &fallen.collect::<Vec<_>>()).await
}

/// Sets at which balance a customer wants to be told; `None`: at none. Its account is locked. Where the balance is there already and was not
/// by the former threshold, it is told at once. One statement, and what telling costs.
pub(crate) async fn watch_in(op: &Op, row: &account::Model, threshold: Option<Credits>) -> Result<()> {
    let customer = CustomerId(row.customer_id);
    store::watch(op, customer, threshold).await?;
    let account = Account::from(row);
    let balance = account.balance();
    let is_news = |it: &Credits| low_balance::is_low_by_new(balance, account.low_balance, *it);
    let low = threshold.filter(is_news).map(|threshold| Low {
        tenant: TenantId(row.tenant_id),
        customer,
        balance,
        threshold,
    });
    tell(op, low.as_slice()).await
}

async fn tell(op: &Op, all: &[Low]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let customers: Vec<CustomerId> = all.iter().map(|it| it.customer).collect();
    let found = store::found(op.tx(), &customers).await?;
    reach("low.found")?;
    let mut told: BTreeMap<CustomerId, Timestamp> = BTreeMap::new();
    let mut events = Vec::new();
    for it in all {
        let Some(known) = found.get(&it.customer) else {
            continue;
        };
        let now = known.own_time.unwrap_or_else(|| op.now());
        if low_balance::may_tell(known.told_at, now) {
            told.insert(it.customer, now);
            events.push(it.event(known, now));
        }
    }
    if events.is_empty() {
        return Ok(());
    }
    store::mark_told(op, &told).await?;
    event::write_in(op, &events).await?;
    reach("low.written")
}

impl Low {
    fn event(&self, known: &Found, at: Timestamp) -> NewEvent {
        let kind = EventType::BalanceLow;
        NewEvent {
            tenant: self.tenant,
            customer: Some(self.customer),
            subscription: None,
            kind,
            // Once per day, whoever else would tell it.
            key: format!("{kind}:{}:{}", self.customer, at.day().micros()),
            at,
            data: event::words([
                ("customer_id", json!(self.customer)),
                ("balance", json!(self.balance)),
                ("threshold", json!(self.threshold)),
                ("overage_line", json!(known.overage_line)),
            ]),
        }
    }
}
