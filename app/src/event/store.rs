//! The SQL of events.

use domain::{
    id::{BillingEventId, CustomerId, SubscriptionId},
    time::Timestamp,
};
use entity::{billing_event, from_json};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::{About, BillingEvent, NewEvent};
use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::Rows,
};

/// Writes events. One statement for any number; the second of a kind that is told once is an error of the database.
pub(crate) async fn write_in(op: &Op, all: &[NewEvent]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let data = |it: &NewEvent| serde_json::Value::Object(it.data.clone()).to_string();
    Rows::default()
        .id("id", all.iter().map(|_| op.new_id()))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .opt_id("subscription_id", all.iter().map(|it| it.subscription.map(|id| id.0)))
        .text("kind", all.iter().map(|it| it.kind.to_owned()))
        .text("key", all.iter().map(|it| it.key.clone()))
        .int("occurred_at", all.iter().map(|it| it.at.micros()))
        .text("data", all.iter().map(data))
        .execute(
            op.tx(),
            "INSERT INTO billing_event (id, tenant_id, customer_id, subscription_id, kind, key, occurred_at, data,
                created_at)
             SELECT id, tenant_id, customer_id, subscription_id, kind, key, occurred_at, data, $1 FROM {rows} AS v",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

fn within(reach: Reach) -> sea_orm::Select<billing_event::Entity> {
    let condition = reach.condition(billing_event::Column::TenantId, billing_event::Column::CustomerId);
    billing_event::Entity::find().filter(condition)
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    about: About,
    page: Page<BillingEventId>,
) -> Result<Slice<BillingEvent>> {
    let about = match about {
        About::Customer(id) => billing_event::Column::CustomerId.eq(id.0),
        About::Subscription(id) => billing_event::Column::SubscriptionId.eq(id.0),
    };
    let mut newest_first = ordered(within(reach).filter(about), billing_event::Column::Id);
    newest_first.desc();
    page.map(|id| id.0).read(newest_first, db).await?.try_map(view)
}

pub(super) async fn get(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: BillingEventId,
) -> Result<Option<BillingEvent>> {
    let row = within(reach)
        .filter(billing_event::Column::Id.eq(id.0))
        .one(db)
        .await?;
    row.map(view).transpose()
}

fn view(row: billing_event::Model) -> Result<BillingEvent> {
    Ok(BillingEvent {
        data: from_json("billing_event", &row.data)?,
        id: BillingEventId(row.id),
        kind: row.kind,
        customer: CustomerId(row.customer_id),
        subscription: row.subscription_id.map(SubscriptionId),
        occurred_at: Timestamp::from_micros(row.occurred_at),
        created_at: Timestamp::from_micros(row.created_at),
    })
}
