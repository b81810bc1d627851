//! Deliveries.

use domain::{
    id::{BillingEventId, TenantId, WebhookDeliveryId, WebhookEndpointId},
    time::Timestamp,
};
use entity::{to_text, webhook_delivery};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};

use crate::{
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, statement},
    webhook::{AttemptView, Delivery, DeliveryState},
};

/// Deliveries that are made with one statement.
const ROWS: usize = 10_000;

/// Makes deliveries that are due at once. One statement for each ten thousand; what is there already stays as it is.
pub(in crate::webhook) async fn insert_deliveries(
    op: &Op,
    tenant: TenantId,
    pairs: &[(WebhookEndpointId, BillingEventId)],
) -> Result<()> {
    for pairs in pairs.chunks(ROWS) {
        Rows::default()
            .id("id", pairs.iter().map(|_| op.new_id()))
            .id("endpoint_id", pairs.iter().map(|(endpoint, _)| endpoint.0))
            .id("event_id", pairs.iter().map(|(_, event)| event.0))
            .execute(
                op.tx(),
                "INSERT INTO webhook_delivery (id, tenant_id, endpoint_id, event_id, state, attempts, next_at, log, created_at)
                 SELECT id, $1, endpoint_id, event_id, 'PENDING', 0, $2, '[]', $2 FROM {rows} AS v WHERE true
                 ON CONFLICT (endpoint_id, event_id) DO NOTHING",
                vec![tenant.0.into(), op.now().micros().into()],
            )
            .await?;
    }
    Ok(())
}

/// A delivery that is due.
#[derive(Debug, Clone)]
pub(in crate::webhook) struct Due {
    pub(in crate::webhook) id: WebhookDeliveryId,
    pub(in crate::webhook) event: BillingEventId,
    pub(in crate::webhook) attempts: i32,
    pub(in crate::webhook) next_at: Timestamp,
    pub(in crate::webhook) log: Vec<AttemptView>,
}

/// The deliveries to an endpoint that are due, after some place in their order, at most so many. One statement.
pub(in crate::webhook) async fn due(
    db: &impl ConnectionTrait,
    endpoint: WebhookEndpointId,
    now: Timestamp,
    after: Option<(Timestamp, WebhookDeliveryId)>,
    most: usize,
) -> Result<Vec<Due>> {
    let (at, id) = after.map_or((i64::MIN, uuid::Uuid::nil()), |(at, id)| (at.micros(), id.0));
    let rows = db
        .query_all_raw(statement(
            db,
            "SELECT id, event_id, attempts, next_at, log FROM webhook_delivery
             WHERE endpoint_id = $1 AND state = 'PENDING' AND next_at <= $2 AND (next_at, id) > ($3, $4)
             ORDER BY next_at, id LIMIT $5",
            vec![
                endpoint.0.into(),
                now.micros().into(),
                at.into(),
                id.into(),
                i64::try_from(most).unwrap_or(i64::MAX).into(),
            ],
        ))
        .await?;
    let one = |row: &sea_orm::QueryResult| {
        Ok(Due {
            id: WebhookDeliveryId(row.try_get("", "id")?),
            event: BillingEventId(row.try_get("", "event_id")?),
            attempts: row.try_get("", "attempts")?,
            next_at: Timestamp::from_micros(row.try_get("", "next_at")?),
            log: entity::from_json("webhook_delivery", &row.try_get::<String>("", "log")?)?,
        })
    };
    rows.iter().map(one).collect()
}

/// What has become of a delivery by an attempt.
#[derive(Debug, Clone)]
pub(in crate::webhook) struct Ended {
    pub(in crate::webhook) id: WebhookDeliveryId,
    /// With this one.
    pub(in crate::webhook) attempts: i32,
    pub(in crate::webhook) state: DeliveryState,
    /// When it is tried again; with another state than pending, when this attempt was over.
    pub(in crate::webhook) at: Timestamp,
    pub(in crate::webhook) log: Vec<AttemptView>,
}

/// Writes what has become of deliveries. What somebody else has written meanwhile stays. One statement for any number.
pub(in crate::webhook) async fn conclude(op: &Op, all: &[Ended]) -> Result<()> {
    let logs: std::result::Result<Vec<String>, _> =
        all.iter().map(|it| serde_json::to_string(&it.log)).collect();
    let ended = |it: &Ended| (it.state != DeliveryState::Pending).then(|| it.at.micros());
    Rows::default()
        .id("id", all.iter().map(|it| it.id.0))
        .int("attempts", all.iter().map(|it| i64::from(it.attempts)))
        .text("state", all.iter().map(|it| to_text(it.state)))
        .int("next_at", all.iter().map(|it| it.at.micros()))
        .opt_int("ended_at", all.iter().map(ended))
        .text("log", logs?)
        .execute(
            op.tx(),
            "UPDATE webhook_delivery SET state = v.state, attempts = v.attempts, next_at = v.next_at, ended_at = v.ended_at,
                log = v.log
             FROM {rows} AS v
             WHERE webhook_delivery.id = v.id AND webhook_delivery.state = 'PENDING'
                AND webhook_delivery.attempts = v.attempts - 1",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// Has a delivery sent again, from its first attempt, unless it was so many times. Answers whether it is. One statement.
pub(in crate::webhook) async fn renew_one(op: &Op, id: WebhookDeliveryId, most: i32) -> Result<bool> {
    let done = op.tx().execute_raw(statement(
        op.tx(),
        "UPDATE webhook_delivery SET state = 'PENDING', attempts = 0, next_at = $2, ended_at = NULL, resends = resends + 1
         WHERE id = $1 AND resends < $3",
        vec![id.0.into(), op.now().micros().into(), most.into()],
    ));
    Ok(done.await?.rows_affected() > 0)
}

/// Which deliveries that were made before are sent again.
#[derive(Debug, Clone, Copy)]
pub(in crate::webhook) struct Renewal {
    /// Only what was given up.
    pub(in crate::webhook) only_failed: bool,
    /// Those that were sent again fewer times.
    pub(in crate::webhook) most: i32,
}

/// Has events sent to an endpoint: those that were not before, and of the others those that may be again. Answers how many. One statement
/// for each ten thousand.
pub(in crate::webhook) async fn renew(
    op: &Op,
    tenant: TenantId,
    endpoint: WebhookEndpointId,
    events: &[BillingEventId],
    again: Renewal,
) -> Result<u64> {
    let condition = if again.only_failed {
        "webhook_delivery.state = 'FAILED'"
    } else {
        "true"
    };
    let sql = format!(
        "INSERT INTO webhook_delivery (id, tenant_id, endpoint_id, event_id, state, attempts, next_at, log, created_at)
         SELECT id, $1, $2, event_id, 'PENDING', 0, $3, '[]', $3 FROM {{rows}} AS v WHERE true
         ON CONFLICT (endpoint_id, event_id) DO UPDATE
            SET state = 'PENDING', attempts = 0, next_at = excluded.next_at, ended_at = NULL,
                resends = webhook_delivery.resends + 1
            WHERE {condition} AND webhook_delivery.resends < $4"
    );
    let mut renewed = 0;
    for events in events.chunks(ROWS) {
        let done = Rows::default()
            .id("id", events.iter().map(|_| op.new_id()))
            .id("event_id", events.iter().map(|event| event.0))
            .execute(
                op.tx(),
                &sql,
                vec![
                    tenant.0.into(),
                    endpoint.0.into(),
                    op.now().micros().into(),
                    again.most.into(),
                ],
            )
            .await?;
        renewed += done.rows_affected();
    }
    Ok(renewed)
}

pub(in crate::webhook) async fn delivery(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: WebhookDeliveryId,
) -> Result<Option<Delivery>> {
    let row = webhook_delivery::Entity::find_by_id(id.0)
        .filter(webhook_delivery::Column::TenantId.eq(tenant.0))
        .one(db)
        .await?;
    row.map(Delivery::try_from).transpose()
}

/// The delivery of an event to an endpoint.
pub(in crate::webhook) async fn delivery_of(
    db: &impl ConnectionTrait,
    endpoint: WebhookEndpointId,
    event: BillingEventId,
) -> Result<Option<Delivery>> {
    let row = webhook_delivery::Entity::find()
        .filter(webhook_delivery::Column::EndpointId.eq(endpoint.0))
        .filter(webhook_delivery::Column::EventId.eq(event.0))
        .one(db)
        .await?;
    row.map(Delivery::try_from).transpose()
}

/// Deliveries to an endpoint, newest first: all, or those in a state. One statement. It goes along all of them, so it is for a state that most have:
/// of `DELIVERED` it passes over what has failed since the last that went well, which is five days of messages at most. Then the endpoint is switched
/// off.
pub(in crate::webhook) async fn deliveries(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    endpoint: WebhookEndpointId,
    state: Option<DeliveryState>,
    page: Page<WebhookDeliveryId>,
) -> Result<Slice<Delivery>> {
    use webhook_delivery::Column;
    let wanted = Condition::all()
        .add(Column::TenantId.eq(tenant.0))
        .add(Column::EndpointId.eq(endpoint.0))
        .add_option(state.map(|state| Column::State.eq(to_text(state))));
    let mut newest_first = ordered(webhook_delivery::Entity::find().filter(wanted), Column::Id);
    newest_first.desc();
    page.map(|id| id.0)
        .read(newest_first, db)
        .await?
        .try_map(Delivery::try_from)
}

/// Forgets what became of the messages about some events. One statement.
pub(crate) async fn forget_in(op: &Op, events: &[BillingEventId]) -> Result<()> {
    Rows::default()
        .id("id", events.iter().map(|event| event.0))
        .execute(
            op.tx(),
            "DELETE FROM webhook_delivery WHERE event_id IN (SELECT id FROM {rows} AS v)",
            Vec::new(),
        )
        .await?;
    Ok(())
}
