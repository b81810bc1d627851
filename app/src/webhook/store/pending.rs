//! Deliveries that wait for their next attempt.

use domain::id::{TenantId, WebhookDeliveryId, WebhookEndpointId};
use entity::webhook_delivery::{Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::deliveries;
use crate::{
    error::Result,
    page::{Page, Slice},
    sql::{among, statement},
    webhook::{Delivery, DeliveryState},
};

/// Deliveries that wait of which a page is picked in memory: some milliseconds, and more than wait at an endpoint that answers.
const MOST_PICKED: i64 = 10_000;

/// What waits, in the order and the words of the index of it, which has nothing else. A state that is bound would hide it from the planner.
const WAITING: &str = "SELECT id FROM webhook_delivery WHERE endpoint_id = $1 AND state = 'PENDING' ORDER BY next_at, id LIMIT $2";

/// Deliveries to an endpoint that wait for their next attempt, newest first. Two statements, which read no others as long as [`MOST_PICKED`] wait at
/// most: that index is by time, and the newest are found among all that wait. Where more do, all deliveries are gone through from the newest on until
/// the page is full. Both statements are to see the same moment.
pub(in crate::webhook) async fn pending(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    endpoint: WebhookEndpointId,
    page: Page<WebhookDeliveryId>,
) -> Result<Slice<Delivery>> {
    let Some(waiting) = waiting(db, endpoint).await? else {
        return deliveries(db, tenant, endpoint, Some(DeliveryState::Pending), page).await;
    };
    let picked = page.pick_descending(waiting);
    let rows = Entity::find()
        .filter(Column::TenantId.eq(tenant.0))
        .filter(among(db, Column::Id, picked.items.iter().map(|id| id.0)))
        .all(db)
        .await?;
    let mut items = rows
        .into_iter()
        .map(Delivery::try_from)
        .collect::<Result<Vec<_>>>()?;
    items.sort_unstable_by_key(|it| std::cmp::Reverse(it.id));
    Ok(Slice {
        items,
        has_previous: picked.has_previous,
        has_next: picked.has_next,
    })
}

/// All that wait at an endpoint, unless those are more than [`MOST_PICKED`]. One statement.
async fn waiting(
    db: &impl ConnectionTrait,
    endpoint: WebhookEndpointId,
) -> Result<Option<Vec<WebhookDeliveryId>>> {
    let values = vec![endpoint.0.into(), (MOST_PICKED + 1).into()];
    let rows = db.query_all_raw(statement(db, WAITING, values)).await?;
    if i64::try_from(rows.len()).is_ok_and(|number| number > MOST_PICKED) {
        return Ok(None);
    }
    let one = |row: &sea_orm::QueryResult| Ok(WebhookDeliveryId(row.try_get("", "id")?));
    rows.iter().map(one).collect::<Result<_>>().map(Some)
}
