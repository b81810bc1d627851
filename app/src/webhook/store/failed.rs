//! Deliveries that were given up.

use domain::id::{TenantId, WebhookDeliveryId, WebhookEndpointId};
use entity::webhook_delivery::{Column, Entity};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Select, sea_query::Expr};

use crate::{
    error::Result,
    page::{Page, Slice, ordered},
    webhook::Delivery,
};

/// The state as the index of what was given up has it. A value that is bound would hide it from the planner.
const GIVEN_UP: &str = "webhook_delivery.state = 'FAILED'";

/// Deliveries to an endpoint that were given up, newest first. One statement, which reads no others.
pub(in crate::webhook) async fn failed(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    endpoint: WebhookEndpointId,
    page: Page<WebhookDeliveryId>,
) -> Result<Slice<Delivery>> {
    let mut newest_first = ordered(given_up(tenant, endpoint), Column::Id);
    newest_first.desc();
    page.map(|id| id.0)
        .read(newest_first, db)
        .await?
        .try_map(Delivery::try_from)
}

fn given_up(tenant: TenantId, endpoint: WebhookEndpointId) -> Select<Entity> {
    Entity::find()
        .filter(Column::TenantId.eq(tenant.0))
        .filter(Column::EndpointId.eq(endpoint.0))
        .filter(Expr::cust(GIVEN_UP))
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_state_is_said_where_the_planner_sees_it() {
        for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
            let asked = given_up(TenantId(Uuid::nil()), WebhookEndpointId(Uuid::nil())).build(backend);
            assert!(asked.sql.contains(GIVEN_UP), "{}", asked.sql);
        }
    }
}
