//! Invoices of what changes of plan have left within cycles that were paid ahead. Nobody bills such a cycle when it closes, so it is billed
//! at once: what the better plan costs for the rest of the cycle, or, below zero, what goes back to the customer's credit balance.

use domain::{
    event::EventType,
    id::{CustomerId, SubscriptionId, TenantId},
    invoice::{Kind, fee},
    money::Currency,
    time::Period,
};

use super::{
    correct,
    draft::{Wanted, make},
    event,
    issue::{self, refused},
    setting::needed,
    store,
};
use crate::{App, catalog, error::Result, failpoint::reach, op::Op};

/// Changes of plan of a subscription that wait for an invoice, as far as they are in one currency; `revision` is that of the oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) subscription: SubscriptionId,
    pub(super) revision: i64,
    pub(super) currency: Currency,
}

/// Makes the invoice of a customer's oldest change that waits for one. Answers whether there was any. Some twelve statements.
pub(super) async fn bill(app: &App, customer: CustomerId) -> Result<bool> {
    let Some(known) = store::next_change(app.db().reader(), customer).await? else {
        return Ok(false);
    };
    let mut op = Op::begin(app).await?;
    op.lock_account(known.tenant, customer).await?;
    // Again, under the lock.
    let Some(change) = store::next_change(op.tx(), customer).await? else {
        return Ok(false);
    };
    reach("change.chosen")?;
    let back = store::lines_of(op.tx(), &change).await?;
    if back.iter().map(|money| money.amount.minor).sum::<i64>() < 0 {
        withdraw_unpaid(&mut op, &change).await?;
    }
    write(&mut op, &change).await?;
    op.commit().await?;
    Ok(true)
}

/// What was not paid does not go back: earlier invoices of the subscription that nobody has paid are void, and what they billed is billed
/// together with what has changed since.
async fn withdraw_unpaid(op: &mut Op, change: &Change) -> Result<()> {
    for mut filed in store::unpaid_of(op.tx(), change).await? {
        if correct::is_under_way(op, filed.invoice.id).await? || filed.invoice.totals.carried.minor > 0 {
            continue;
        }
        filed.invoice = filed.invoice.void().map_err(refused)?;
        filed.next_at = None;
        correct::give_back(op, &filed).await?;
        store::write(op, &filed).await?;
        store::unmark_changes(op, filed.invoice.id).await?;
        event::tell(op, EventType::InvoiceVoided, &filed).await?;
    }
    Ok(())
}

async fn write(op: &mut Op, change: &Change) -> Result<()> {
    let moneys = store::lines_of(op.tx(), change).await?;
    let variants: Vec<_> = moneys.iter().map(|money| money.variant).collect();
    let offers = catalog::offers_in(op.tx(), &variants).await?;
    let mut lines = Vec::with_capacity(moneys.len());
    for money in &moneys {
        let Some(offer) = offers.get(&money.variant) else {
            continue;
        };
        let plan = catalog::plan_name_in(op.tx(), &offer.variant).await?;
        lines.push(fee::line(&format!("{plan}, {}", offer.variant.name), money));
    }
    let terms = needed(op.tx(), change.tenant).await?;
    let wanted = Wanted {
        tenant: change.tenant,
        customer: change.customer,
        cycle: None,
        kind: Kind::Fee,
        currency: change.currency,
        period: period(moneys.iter().map(|money| money.period)),
        lines,
        source: format!(
            "change:{}:{}:{}",
            change.subscription, change.revision, change.currency
        ),
    };
    let made = make(op, &terms, wanted).await?;
    let id = made.invoice.id;
    issue::file_in(op, &terms, made).await?;
    store::mark_change_billed(op, change, id).await?;
    reach("change.filed")
}

/// From the first beginning to the last end.
fn period(all: impl Iterator<Item = Period>) -> Option<Period> {
    all.reduce(|whole, part| Period {
        start: whole.start.min(part.start),
        end: whole.end.max(part.end),
    })
}
