//! Money that goes back.

use domain::{
    credit::grant::Life,
    id::PaymentId,
    payment::{Payment, returned::Return},
};
use entity::{nouns, payment_return, to_text};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};

use crate::{actor::Reach, error::Result, op::Op, sql::among};

/// Everything that goes back of a payment, oldest first. One statement.
pub(crate) async fn returns(db: &impl ConnectionTrait, payment: PaymentId) -> Result<Vec<Return>> {
    let rows = payment_return::Entity::find()
        .filter(payment_return::Column::PaymentId.eq(payment.0))
        .order_by_asc(payment_return::Column::Id)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

/// Everything that goes back of some payments, by payment and the oldest first. One statement.
pub(crate) async fn returns_of(
    db: &impl ConnectionTrait,
    reach: Reach,
    payments: &[PaymentId],
) -> Result<Vec<Return>> {
    use payment_return::Column::{CustomerId, Id, PaymentId as Payment, TenantId};
    let rows = payment_return::Entity::find()
        .filter(reach.condition(TenantId, CustomerId))
        .filter(among(db, Payment, payments.iter().map(|payment| payment.0)))
        .order_by_asc(Id)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

pub(in crate::payment) async fn insert_return(op: &Op, of: &Payment, it: &Return) -> Result<()> {
    let mut row = progress(op, it);
    row.tenant_id = Set(it.tenant.0);
    row.customer_id = Set(it.customer.0);
    row.payment_id = Set(it.payment.0);
    row.provider = Set(of.provider.clone());
    row.kind = Set(to_text(it.kind));
    row.amount = Set(it.amount.minor);
    row.currency = Set(it.amount.currency.code().to_owned());
    row.reason = Set(it.reason.clone());
    row.created_at = Set(it.created_at.micros());
    payment_return::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Writes how far one has come. What was agreed is never written again.
pub(in crate::payment) async fn write_return(op: &Op, it: &Return) -> Result<()> {
    payment_return::Entity::update(progress(op, it))
        .exec(op.tx())
        .await?;
    Ok(())
}

fn progress(op: &Op, it: &Return) -> payment_return::ActiveModel {
    payment_return::ActiveModel {
        id: Set(it.id.0),
        credits: Set(it.credits.raw()),
        life_seconds: Set(it.life.map(|life| match life {
            Life::Endless => 0,
            Life::Seconds(seconds) => seconds,
        })),
        state: Set(to_text(it.state)),
        reference: Set(it.reference.clone()),
        ended_at: Set(it.ended_at.map(domain::time::Timestamp::micros)),
        updated_at: Set(op.now().micros()),
        tenant_id: NotSet,
        customer_id: NotSet,
        payment_id: NotSet,
        provider: NotSet,
        kind: NotSet,
        amount: NotSet,
        currency: NotSet,
        reason: NotSet,
        created_at: NotSet,
    }
}
