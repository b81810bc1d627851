//! Invoices of usage that came after its cycle was billed, where the plan says that late usage is billed as an adjustment.
//!
//! A debit that counts in a billed cycle marks the cycle; what it costs beyond what earlier invoices say is asked for by one more.

use domain::{
    id::{CustomerId, TenantId},
    invoice::{Kind, cycle::Billed},
};

use super::{
    bill::{Story, unbillable},
    draft::{Wanted, make},
    issue,
    setting::needed,
    store,
};
use crate::{
    App, credit,
    error::{Error, Result},
    failpoint::reach,
    op::Op,
};

/// Makes the invoice of late usage of a customer's cycle that waits for one. Answers whether there was any. Some twenty statements.
pub(super) async fn bill(app: &App, customer: CustomerId) -> Result<bool> {
    let Some(known) = store::next_late(app.db().reader(), customer).await? else {
        return Ok(false);
    };
    let tenant = TenantId(known.tenant_id);
    let mut op = Op::begin(app).await?;
    let account = op.lock_account(tenant, customer).await?;
    let account = account.ok_or_else(|| Error::Internal(format!("{customer} has no account")))?;
    // Again, under the lock.
    let Some(row) = store::next_late(op.tx(), customer).await? else {
        return Ok(false);
    };
    reach("late.chosen")?;
    let story = Story::read(&op, &account, &row).await?;
    write(&mut op, &story).await?;
    store::mark_late_billed(&op, &row).await?;
    op.commit().await?;
    Ok(true)
}

async fn write(op: &mut Op, story: &Story) -> Result<()> {
    let name = story.name();
    let earlier = store::of_cycle(op.tx(), story.customer, name).await?;
    let currency = earlier.first().map(|filed| filed.invoice.currency);
    let Some(currency) = currency.or_else(|| story.bill().currency()) else {
        return Ok(());
    };
    let billed = Billed::by(earlier.iter().flat_map(|filed| &filed.invoice.lines));
    let late = story.bill().late_lines(&billed, currency).map_err(unbillable)?;
    if late.lines.is_empty() {
        return Ok(());
    }
    let terms = needed(op.tx(), story.tenant).await?;
    let wanted = Wanted {
        tenant: story.tenant,
        customer: story.customer,
        cycle: Some(name),
        kind: Kind::Cycle,
        currency,
        period: Some(story.cycle.period),
        lines: late.lines,
        source: format!("cycle:{}:{}:{}", name.subscription, name.number, earlier.len()),
    };
    let made = make(op, &terms, wanted).await?;
    if late.settles.is_positive() {
        credit::settle_in(op, story.tenant, story.customer, late.settles, made.invoice.id).await?;
    }
    issue::file_in(op, &terms, made).await?;
    reach("late.filed")
}
