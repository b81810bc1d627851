//! How far customers are trusted.

use std::collections::HashMap;

use domain::{
    id::{CustomerId, TenantId},
    money::Currency,
    payment::trust::Record,
    time::Timestamp,
};
use entity::customer_trust;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, sea_query::OnConflict};

use crate::{error::Result, op::Op, sql::Rows};

/// What is known of a customer.
#[derive(Debug, Clone, Default)]
pub(in crate::payment) struct Known {
    /// The tier that somebody has chosen.
    pub(in crate::payment) chosen: Option<String>,
    /// What the test clock shows that the customer lives by.
    pub(in crate::payment) own_time: Option<Timestamp>,
    paid: Vec<(String, Record)>,
}

impl Known {
    /// What was paid in a currency.
    pub(in crate::payment) fn record(&self, currency: Currency) -> Record {
        let paid = self.paid.iter().find(|(code, _)| code == currency.code());
        paid.map_or_else(Record::default, |(_, record)| *record)
    }
}

/// What some customers have paid and not got back, or disputed, and the tiers that were chosen for them. One statement.
pub(in crate::payment) async fn known(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Known>> {
    let sql = "SELECT v.id, t.tier, c.now_at, p.currency, MIN(p.ended_at) AS first_paid_at,
            CAST(COALESCE(SUM(p.amount), 0) - COALESCE(SUM(
                (SELECT SUM(r.amount) FROM payment_return r WHERE r.payment_id = p.id AND r.state <> 'UNDONE')), 0) AS BIGINT) AS paid
         FROM {rows} AS v
         JOIN account a ON a.customer_id = v.id
         LEFT JOIN test_clock c ON c.id = a.clock_id
         LEFT JOIN customer_trust t ON t.customer_id = v.id
         LEFT JOIN payment p ON p.customer_id = v.id AND p.state = 'SUCCEEDED'
         GROUP BY v.id, t.tier, c.now_at, p.currency";
    let rows = Rows::of(customers).query(db, sql, Vec::new()).await?;
    let mut all: HashMap<CustomerId, Known> = HashMap::new();
    for row in rows {
        let known = all.entry(CustomerId(row.try_get("", "id")?)).or_default();
        known.chosen = row.try_get("", "tier")?;
        let own_time: Option<i64> = row.try_get("", "now_at")?;
        known.own_time = own_time.map(Timestamp::from_micros);
        let Some(currency) = row.try_get::<Option<String>>("", "currency")? else {
            continue;
        };
        let first: Option<i64> = row.try_get("", "first_paid_at")?;
        let record = Record {
            paid: row.try_get("", "paid")?,
            first_paid_at: first.map(Timestamp::from_micros),
        };
        known.paid.push((currency, record));
    }
    Ok(all)
}

/// Chooses a tier for a customer, or leaves it to what the customer has reached. One statement.
pub(in crate::payment) async fn choose_tier(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    tier: Option<&str>,
) -> Result<()> {
    let Some(tier) = tier else {
        customer_trust::Entity::delete_by_id(customer.0)
            .exec(op.tx())
            .await?;
        return Ok(());
    };
    let row = customer_trust::ActiveModel {
        customer_id: Set(customer.0),
        tenant_id: Set(tenant.0),
        tier: Set(tier.to_owned()),
        chosen_at: Set(op.now().micros()),
    };
    use customer_trust::Column::{ChosenAt, CustomerId as Customer, Tier};
    let again = OnConflict::column(Customer)
        .update_columns([Tier, ChosenAt])
        .to_owned();
    customer_trust::Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}
