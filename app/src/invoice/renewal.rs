//! Renewals of prepaid subscriptions: the fee of the next cycle is invoiced when it is due, and who pays the invoice has renewed.
//!
//! A renewal that was told waits for its invoice (`subscription.renewal_billed`). A paid invoice has one thing left to do, under a key of its
//! own so that it is done once: it renews. Where that is not possible any more, the money is the customer's credit balance.

use domain::{
    cycle::CycleRef,
    event::EventType,
    id::{CustomerId, InvoiceId, SubscriptionId, TenantId, VariantId},
    invoice::{Invoice, Kind, fee, line::Detail, state::State},
    rejection::RejectionCode,
    subscription::MoneyLine,
};
use entity::subscription as row;

use super::{
    draft::{Wanted, make},
    event,
    issue::{self, refused},
    kept::kept_in,
    setting::needed,
    store,
    view::Filed,
};
use crate::{
    App,
    actor::Actor,
    catalog,
    error::{Error, Result},
    failpoint::reach,
    op::Op,
    subscription::{self, Wish},
};

/// When a paid renewal is looked at again that has not been asked for yet, in seconds.
const AGAIN_SECONDS: i64 = 60;

/// Makes the invoice of a customer's renewal that waits for one. Answers whether there was any. Some twelve statements.
pub(super) async fn bill(app: &App, customer: CustomerId) -> Result<bool> {
    let Some(known) = store::next_renewal(app.db().reader(), customer).await? else {
        return Ok(false);
    };
    let tenant = TenantId(known.tenant_id);
    let mut op = Op::begin(app).await?;
    op.lock_account(tenant, customer).await?;
    // Again, under the lock.
    let Some(row) = store::next_renewal(op.tx(), customer).await? else {
        return Ok(false);
    };
    reach("renewal.chosen")?;
    write(&mut op, tenant, customer, &row).await?;
    store::mark_renewal_billed(&op, &row).await?;
    op.commit().await?;
    Ok(true)
}

async fn write(op: &mut Op, tenant: TenantId, customer: CustomerId, row: &row::Model) -> Result<()> {
    let id = VariantId(row.next_variant_id.unwrap_or(row.variant_id));
    let mut offers = catalog::offers_in(op.tx(), &[id]).await?;
    let variant = offers
        .remove(&id)
        .ok_or_else(|| Error::Internal(format!("{id} is gone")))?
        .variant;
    // Without a fee it is not known here what it costs: the vendor charges elsewhere.
    let Some(amount) = variant.fee.filter(|fee| fee.minor > 0) else {
        return Ok(());
    };
    let terms = needed(op.tx(), tenant).await?;
    let period = row.noun(&[])?.schedule.period(row.renewal_told);
    let plan = catalog::plan_name_in(op.tx(), &variant).await?;
    let line = fee::line(
        &format!("{plan}, {}", variant.name),
        &MoneyLine {
            variant: id,
            period,
            amount,
        },
    );
    let name = CycleRef {
        subscription: SubscriptionId(row.id),
        number: row.renewal_told,
    };
    let wanted = Wanted {
        tenant,
        customer,
        cycle: Some(name),
        kind: Kind::Fee,
        currency: amount.currency,
        period: Some(period),
        lines: vec![line],
        // One that was withdrawn may be needed again when the subscription has changed.
        source: format!("renewal:{}:{}:{}", name.subscription, name.number, row.revision),
    };
    let made = make(op, &terms, wanted).await?;
    issue::file_in(op, &terms, made).await?;
    reach("renewal.filed")
}

/// Whether an invoice renews a subscription.
pub(super) fn renews(invoice: &Invoice) -> Option<CycleRef> {
    invoice.cycle.filter(|_| invoice.kind == Kind::Fee)
}

/// Renews what a customer's paid invoices stand for. Answers with each of them, and whether it has renewed anything.
pub(super) async fn renew(app: &App, customer: CustomerId) -> Result<Vec<(InvoiceId, bool)>> {
    let mut done = Vec::new();
    for filed in store::to_renew(app.db().reader(), customer).await? {
        let Some(cycle) = renews(&filed.invoice) else {
            continue;
        };
        let actor = Actor::operator(filed.invoice.tenant);
        let key = format!("renewal:{}", filed.invoice.id);
        // Whatever has become of the subscription since, it pays for what is written on it.
        let wish = match billed(&filed.invoice) {
            Some(variant) => Wish::RenewFor {
                number: cycle.number,
                variant,
            },
            None => Wish::Renew,
        };
        let renewed = subscription::change(app, &actor, cycle.subscription, wish, &key).await;
        match renewed {
            Ok(_) => done.push((filed.invoice.id, true)),
            // It waits until somebody has looked at the books.
            Err(Error::Rejected(no)) if no.code == RejectionCode::CustomerFrozen => {}
            // It was renewed by hand, or has ended.
            Err(Error::Rejected(no)) => {
                tracing::warn!(invoice = %filed.invoice.id, %no, "a renewal was paid that is not possible any more");
                done.push((filed.invoice.id, false));
            }
            Err(error) => return Err(error),
        }
        reach("renewal.done")?;
    }
    Ok(done)
}

/// Notes that a paid invoice has nothing left to do. What it could not renew is the customer's credit balance.
pub(super) async fn note(op: &mut Op, filed: &mut Filed, renewed: &[(InvoiceId, bool)]) -> Result<()> {
    let Some((_, used)) = renewed.iter().find(|(id, _)| *id == filed.invoice.id) else {
        filed.next_at = Some(op.present().plus_seconds(AGAIN_SECONDS));
        return store::write(op, filed).await;
    };
    if !used {
        leave(op, filed).await?;
    }
    filed.next_at = None;
    store::write(op, filed).await
}

/// Leaves to the credit balance what was paid for nothing, but for what credit notes have given back and what goes back to where it came from.
async fn leave(op: &Op, filed: &mut Filed) -> Result<()> {
    let held = kept_in(op, filed).await?.held();
    if held > 0 {
        store::move_money(op, filed, held).await?;
        filed.unused = filed.unused.saturating_add(held);
        event::tell(op, EventType::InvoiceOverpaid, filed).await?;
    }
    Ok(())
}

/// Takes back the invoice of a renewal that nobody needs any more: it was renewed by hand, the subscription does not go on, or it is to have
/// another variant. Answers whether it did. One statement for an invoice that renews.
pub(super) async fn withdraw(op: &mut Op, filed: &mut Filed) -> Result<bool> {
    let Some(cycle) = renews(&filed.invoice) else {
        return Ok(false);
    };
    let is_payable = matches!(filed.invoice.state, State::Open | State::PastDue);
    if !is_payable || is_awaited(op, filed).await? {
        return Ok(false);
    }
    filed.next_at = None;
    if filed.credited.minor > 0 {
        // A part was taken back, so that it stands; nobody is to pay the rest.
        filed.invoice = filed.invoice.give_up().map_err(refused)?;
        store::write(op, filed).await?;
        event::tell(op, EventType::InvoiceMarkedUncollectible, filed).await?;
        return Ok(true);
    }
    filed.invoice = filed.invoice.void().map_err(refused)?;
    super::correct::give_back(op, filed).await?;
    store::write(op, filed).await?;
    store::unmark_renewal(op, cycle).await?;
    event::tell(op, EventType::InvoiceVoided, filed).await?;
    Ok(true)
}

/// Whether what an invoice renews is still awaited, and of the variant that it bills. What renews nothing is always awaited.
pub(super) async fn is_awaited(op: &Op, filed: &Filed) -> Result<bool> {
    let Some(cycle) = renews(&filed.invoice) else {
        return Ok(true);
    };
    let awaited = store::awaits_renewal(op.tx(), cycle).await?;
    Ok(awaited.is_some() && awaited == billed(&filed.invoice))
}

/// The variant whose fee an invoice bills.
fn billed(invoice: &Invoice) -> Option<VariantId> {
    invoice.lines.iter().find_map(|line| match &line.detail {
        Detail::Fee(fee) => Some(fee.variant),
        _ => None,
    })
}
