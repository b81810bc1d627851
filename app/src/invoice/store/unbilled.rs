//! What waits for an invoice: cycles that have closed, renewals, and changes of plan.

use domain::{
    cycle::CycleRef,
    id::{CustomerId, InvoiceId, SubscriptionId, TenantId, VariantId},
    money::Currency,
    subscription::MoneyLine,
    time::{Period, Timestamp},
};
use entity::{billing_cycle, invoice, money as money_of, subscription, subscription_charge};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr,
};

use super::noun;
use crate::{
    error::Result,
    invoice::{change::Change, view::Filed},
    op::Op,
    sql::{Rows, customers, statement},
};

/// Customers with cycles, renewals, changes of plan or late usage to bill, of vendors that bill. One statement.
pub(in crate::invoice) async fn customers_to_bill(
    db: &impl ConnectionTrait,
    limit: u64,
) -> Result<Vec<CustomerId>> {
    let sql = format!(
        "SELECT b.customer_id FROM invoice_setting s JOIN billing_cycle b ON b.tenant_id = s.tenant_id
         WHERE b.bill = 'DUE'
         UNION SELECT u.customer_id FROM invoice_setting s JOIN subscription u ON u.tenant_id = s.tenant_id
         WHERE {TO_RENEW}
         UNION SELECT c.customer_id FROM invoice_setting s JOIN subscription_charge c ON c.tenant_id = s.tenant_id
         WHERE {CHANGED}
         UNION SELECT b.customer_id FROM invoice_setting s JOIN billing_cycle b ON b.tenant_id = s.tenant_id
         WHERE b.bill = 'LATE' LIMIT {limit}"
    );
    Ok(customers(
        &db.query_all_raw(statement(db, &sql, Vec::new())).await?,
    )?)
}

/// A renewal that was told and has no invoice, of a subscription `u` that goes on.
const TO_RENEW: &str = "u.renewal_told > u.renewal_billed AND u.renewal_told > u.paid_through
    AND u.cancel_at_end = 0 AND u.state IN ('TRIALING', 'ACTIVE', 'OVERDUE')";

/// What a change of plan has left, `c`, within a cycle that nobody bills when it closes, because it was paid ahead.
const CHANGED: &str = "c.invoice_id IS NULL AND c.at_once = 1";

/// Those among some customers. One statement.
pub(in crate::invoice) async fn to_bill_of(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
) -> Result<Vec<CustomerId>> {
    let sql = format!(
        "SELECT v.id FROM {{rows}} AS v JOIN account a ON a.customer_id = v.id
         JOIN invoice_setting s ON s.tenant_id = a.tenant_id
         WHERE EXISTS (SELECT 1 FROM billing_cycle b WHERE b.customer_id = v.id AND b.bill = 'DUE')
            OR EXISTS (SELECT 1 FROM subscription u WHERE u.customer_id = v.id AND {TO_RENEW})
            OR EXISTS (SELECT 1 FROM subscription_charge c WHERE c.customer_id = v.id AND {CHANGED})
            OR EXISTS (SELECT 1 FROM billing_cycle b WHERE b.customer_id = v.id AND b.bill = 'LATE')"
    );
    let rows = Rows::of(among).query(db, &sql, Vec::new()).await?;
    Ok(customers(&rows)?)
}

/// A customer's subscription whose renewal waits for its invoice, if the vendor bills.
pub(in crate::invoice) async fn next_renewal(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Option<subscription::Model>> {
    let sql = format!(
        "SELECT u.* FROM subscription u JOIN invoice_setting s ON s.tenant_id = u.tenant_id
         WHERE u.customer_id = $1 AND {TO_RENEW} ORDER BY u.id LIMIT 1"
    );
    Ok(subscription::Entity::find()
        .from_raw_sql(statement(db, &sql, vec![customer.0.into()]))
        .one(db)
        .await?)
}

/// Notes that a renewal has its invoice, or that there was nothing to bill.
pub(in crate::invoice) async fn mark_renewal_billed(op: &Op, it: &subscription::Model) -> Result<()> {
    let sql = "UPDATE subscription SET renewal_billed = $1 WHERE id = $2";
    let values = vec![it.renewal_told.into(), it.id.into()];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

/// With which variant a cycle still waits to be paid; `None`: it does not, or the subscription does not go on.
pub(in crate::invoice) async fn awaits_renewal(
    db: &impl ConnectionTrait,
    cycle: CycleRef,
) -> Result<Option<VariantId>> {
    // One that is overdue pays for the cycle that runs.
    let sql = "SELECT CASE WHEN state = 'OVERDUE' THEN variant_id ELSE COALESCE(next_variant_id, variant_id) END AS variant
         FROM subscription WHERE id = $1 AND paid_through < $2 AND cancel_at_end = 0
            AND state IN ('TRIALING', 'ACTIVE', 'OVERDUE')";
    let values = vec![cycle.subscription.0.into(), cycle.number.into()];
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    Ok(row
        .map(|row| row.try_get("", "variant"))
        .transpose()?
        .map(VariantId))
}

/// Has a renewal wait for another invoice, should it be awaited again.
pub(in crate::invoice) async fn unmark_renewal(op: &Op, cycle: CycleRef) -> Result<()> {
    let sql = "UPDATE subscription SET renewal_billed = $1 WHERE id = $2 AND renewal_billed = $3";
    let values = vec![
        (cycle.number - 1).into(),
        cycle.subscription.0.into(),
        cycle.number.into(),
    ];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

/// A customer's invoices that are paid and have yet to renew what they stand for.
pub(in crate::invoice) async fn to_renew(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Vec<Filed>> {
    let rows = invoice::Entity::find()
        .filter(invoice::Column::CustomerId.eq(customer.0))
        .filter(invoice::Column::NextAt.is_not_null())
        .filter(invoice::Column::State.eq("PAID"))
        .all(db)
        .await?;
    rows.into_iter().map(noun).collect()
}

/// A customer's cycle that has waited longest for its invoice, if the vendor bills. One statement.
pub(in crate::invoice) async fn next_cycle(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Option<billing_cycle::Model>> {
    let sql = "SELECT b.* FROM billing_cycle b JOIN invoice_setting s ON s.tenant_id = b.tenant_id
         WHERE b.customer_id = $1 AND b.bill = 'DUE' ORDER BY b.closed_at, b.number LIMIT 1";
    Ok(billing_cycle::Entity::find()
        .from_raw_sql(statement(db, sql, vec![customer.0.into()]))
        .one(db)
        .await?)
}

/// A customer's change of plan that has waited longest for an invoice of its own, if the vendor bills. One statement.
pub(in crate::invoice) async fn next_change(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Option<Change>> {
    let sql = format!(
        "SELECT c.* FROM subscription_charge c JOIN invoice_setting s ON s.tenant_id = c.tenant_id
         WHERE c.customer_id = $1 AND {CHANGED}
         ORDER BY c.created_at, c.subscription_id, c.revision, c.position LIMIT 1"
    );
    let row = subscription_charge::Entity::find()
        .from_raw_sql(statement(db, &sql, vec![customer.0.into()]))
        .one(db)
        .await?;
    row.map(|row| {
        Ok(Change {
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            subscription: SubscriptionId(row.subscription_id),
            revision: row.revision,
            currency: money_of("subscription_charge", row.amount, &row.currency)?.currency,
        })
    })
    .transpose()
}

/// The lines of changes, as far as they are not billed.
fn of_change(change: &Change) -> Condition {
    use subscription_charge::Column::{AtOnce, Currency, InvoiceId, SubscriptionId};
    Condition::all()
        .add(SubscriptionId.eq(change.subscription.0))
        .add(Currency.eq(change.currency.code()))
        .add(AtOnce.eq(1))
        .add(InvoiceId.is_null())
}

/// Invoices of earlier changes of the same subscription that are asked for and not paid. One statement.
pub(in crate::invoice) async fn unpaid_of(db: &impl ConnectionTrait, change: &Change) -> Result<Vec<Filed>> {
    let sql = "SELECT i.* FROM invoice i WHERE i.state IN ('OPEN', 'PAST_DUE') AND i.credited = 0
         AND i.id IN (SELECT c.invoice_id FROM subscription_charge c
            WHERE c.subscription_id = $1 AND c.currency = $2 AND c.at_once = 1)
         ORDER BY i.id";
    let values = vec![change.subscription.0.into(), change.currency.code().into()];
    let rows = invoice::Entity::find()
        .from_raw_sql(statement(db, sql, values))
        .all(db)
        .await?;
    rows.into_iter().map(noun).collect()
}

/// Has what an invoice has billed of changes wait for another one. One statement.
pub(in crate::invoice) async fn unmark_changes(op: &Op, invoice: InvoiceId) -> Result<()> {
    use subscription_charge::Column::InvoiceId as Invoice;
    subscription_charge::Entity::update_many()
        .col_expr(Invoice, Expr::value(Option::<uuid::Uuid>::None))
        .filter(Invoice.eq(invoice.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// What a change has left. One statement.
pub(in crate::invoice) async fn lines_of(
    db: &impl ConnectionTrait,
    change: &Change,
) -> Result<Vec<MoneyLine>> {
    let rows = subscription_charge::Entity::find()
        .filter(of_change(change))
        .order_by_asc(subscription_charge::Column::Revision)
        .order_by_asc(subscription_charge::Column::Position)
        .all(db)
        .await?;
    rows.into_iter().map(money_line).collect()
}

/// Notes that a change has its invoice. One statement.
pub(in crate::invoice) async fn mark_change_billed(
    op: &Op,
    change: &Change,
    invoice: InvoiceId,
) -> Result<()> {
    subscription_charge::Entity::update_many()
        .col_expr(subscription_charge::Column::InvoiceId, Expr::value(invoice.0))
        .filter(of_change(change))
        .exec(op.tx())
        .await?;
    Ok(())
}

fn money_line(row: subscription_charge::Model) -> Result<MoneyLine> {
    Ok(MoneyLine {
        variant: VariantId(row.variant_id),
        period: Period {
            start: Timestamp::from_micros(row.period_start),
            end: Timestamp::from_micros(row.period_end),
        },
        amount: money_of("subscription_charge", row.amount, &row.currency)?,
    })
}

/// What changes of plan left of a subscription until the end of a cycle, and no invoice has billed. One statement.
pub(in crate::invoice) async fn changes(
    db: &impl ConnectionTrait,
    cycle: &billing_cycle::Model,
) -> Result<Vec<MoneyLine>> {
    use subscription_charge::Column::{InvoiceId, PeriodStart, Position, Revision, SubscriptionId};
    let rows = subscription_charge::Entity::find()
        .filter(SubscriptionId.eq(cycle.subscription_id))
        .filter(InvoiceId.is_null())
        .filter(PeriodStart.lt(cycle.period_end))
        .order_by_asc(Revision)
        .order_by_asc(Position)
        .all(db)
        .await?;
    rows.into_iter().map(money_line).collect()
}

/// Notes that a cycle, and the changes within it that are in the currency of the invoice, have it, or that there was nothing to bill. Two statements.
pub(in crate::invoice) async fn mark_billed(
    op: &Op,
    cycle: &billing_cycle::Model,
    invoice: Option<(InvoiceId, Currency)>,
) -> Result<()> {
    use billing_cycle::Column::{Bill, Number, SubscriptionId};
    billing_cycle::Entity::update_many()
        .col_expr(Bill, Expr::value("BILLED"))
        .filter(SubscriptionId.eq(cycle.subscription_id))
        .filter(Number.eq(cycle.number))
        .exec(op.tx())
        .await?;
    let Some((invoice, currency)) = invoice else {
        return Ok(());
    };
    use subscription_charge::Column::{
        Currency as InCurrency, InvoiceId as Invoice, PeriodStart, SubscriptionId as Subscription,
    };
    subscription_charge::Entity::update_many()
        .col_expr(Invoice, Expr::value(invoice.0))
        .filter(Subscription.eq(cycle.subscription_id))
        .filter(Invoice.is_null())
        .filter(InCurrency.eq(currency.code()))
        .filter(PeriodStart.lt(cycle.period_end))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// Notes that usage was debited that counts in a cycle which has its invoice already: `counted` are customers and the stretches of time in
/// which it counts. One statement.
pub(crate) async fn mark_late_in(op: &Op, counted: &[(CustomerId, Timestamp)]) -> Result<()> {
    if counted.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE billing_cycle SET bill = 'LATE' FROM {rows} AS v
         WHERE billing_cycle.customer_id = v.id AND billing_cycle.bill = 'BILLED'
             AND billing_cycle.period_start <= v.start AND billing_cycle.period_end > v.start";
    Rows::default()
        .id("id", counted.iter().map(|(customer, _)| customer.0))
        .int("start", counted.iter().map(|(_, start)| start.micros()))
        .execute(op.tx(), sql, Vec::new())
        .await?;
    Ok(())
}

/// A customer's oldest cycle that late usage counts in, if the vendor bills. One statement.
pub(in crate::invoice) async fn next_late(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Option<billing_cycle::Model>> {
    let sql = "SELECT b.* FROM billing_cycle b JOIN invoice_setting s ON s.tenant_id = b.tenant_id
         WHERE b.customer_id = $1 AND b.bill = 'LATE' ORDER BY b.period_start, b.subscription_id LIMIT 1";
    Ok(billing_cycle::Entity::find()
        .from_raw_sql(statement(db, sql, vec![customer.0.into()]))
        .one(db)
        .await?)
}

/// Notes that the late usage of a cycle has its invoice, or that there was nothing to bill. One statement.
pub(in crate::invoice) async fn mark_late_billed(op: &Op, cycle: &billing_cycle::Model) -> Result<()> {
    use billing_cycle::Column::{Bill, Number, SubscriptionId};
    billing_cycle::Entity::update_many()
        .col_expr(Bill, Expr::value("BILLED"))
        .filter(SubscriptionId.eq(cycle.subscription_id))
        .filter(Number.eq(cycle.number))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// What was invoiced of a cycle, oldest first. One statement.
pub(in crate::invoice) async fn of_cycle(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    cycle: CycleRef,
) -> Result<Vec<Filed>> {
    use invoice::Column::{CustomerId as Customer, Id, Kind, SubscriptionId as Subscription};
    let rows = invoice::Entity::find()
        .filter(Customer.eq(customer.0))
        .filter(Subscription.eq(cycle.subscription.0))
        .filter(Kind.eq("CYCLE"))
        .order_by_asc(Id)
        .all(db)
        .await?;
    let mut all: Vec<Filed> = rows.into_iter().map(noun).collect::<Result<_>>()?;
    all.retain(|filed| filed.invoice.cycle == Some(cycle));
    Ok(all)
}
