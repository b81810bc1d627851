//! Endpoints.

use domain::{
    id::{CustomerId, TenantId, WebhookEndpointId},
    time::Timestamp,
    webhook::health::Health,
};
use entity::{to_text, webhook_endpoint};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect,
};

use crate::{
    App,
    error::{Error, Result},
    op::{Op, alone},
    page::{Page, Slice, ordered},
    sql::statement,
    webhook::{Endpoint, EndpointState},
};

const DELETED: &str = "DELETED";

/// Endpoints that one sweep wakes: more than all lanes serve before the next. Those that are left come first then, because nobody who was
/// served has a message that has waited as long.
const DUE_AT_ONCE: usize = 1_000;

/// The root that is kept in the database: this one, unless there is another already. Two statements.
pub(in crate::webhook) async fn root(op: &Op, fresh: &[u8]) -> Result<Vec<u8>> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "INSERT INTO webhook_root (id, root) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
            vec![fresh.to_vec().into()],
        ))
        .await?;
    let kept = statement(op.tx(), "SELECT root FROM webhook_root WHERE id = 1", Vec::new());
    let row = op.tx().query_one_raw(kept).await?;
    let row = row.ok_or_else(|| Error::Internal("a root that was not kept".to_owned()))?;
    Ok(row.try_get("", "root")?)
}

fn living(tenant: TenantId) -> Condition {
    Condition::all()
        .add(webhook_endpoint::Column::TenantId.eq(tenant.0))
        .add(webhook_endpoint::Column::State.ne(DELETED))
}

/// How many endpoints there are for a customer, or for all.
pub(in crate::webhook) async fn count(
    op: &Op,
    tenant: TenantId,
    customer: Option<CustomerId>,
) -> Result<u64> {
    let of = match customer {
        Some(customer) => webhook_endpoint::Column::CustomerId.eq(customer.0),
        None => webhook_endpoint::Column::CustomerId.is_null(),
    };
    let all = webhook_endpoint::Entity::find().filter(living(tenant)).filter(of);
    Ok(all.count(op.tx()).await?)
}

pub(in crate::webhook) async fn insert(op: &Op, endpoint: &Endpoint) -> Result<()> {
    let row = row(endpoint, op.now())?;
    webhook_endpoint::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Writes what somebody has changed.
pub(in crate::webhook) async fn write(op: &Op, endpoint: &Endpoint) -> Result<()> {
    let row = row(endpoint, op.now())?;
    webhook_endpoint::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

fn row(it: &Endpoint, now: Timestamp) -> Result<webhook_endpoint::ActiveModel> {
    let types = it.types.as_ref().map(serde_json::to_string).transpose()?;
    Ok(webhook_endpoint::ActiveModel {
        id: Set(it.id.0),
        tenant_id: Set(it.tenant.0),
        customer_id: Set(it.customer.map(|id| id.0)),
        url: Set(it.url.clone()),
        types: Set(types),
        description: Set(it.description.clone()),
        state: Set(to_text(it.state)),
        salt: Set(it.salt.clone()),
        generation: Set(it.generation),
        former_until: Set(it.former_until.map(Timestamp::micros)),
        at_once: Set(it.at_once),
        failures: Set(it.failures),
        failing_since: Set(it.failing_since.map(Timestamp::micros)),
        resting_until: Set(it.resting_until.map_or(0, Timestamp::micros)),
        last_problem: Set(it.last_problem.clone()),
        created_at: Set(it.created_at.micros()),
        updated_at: Set(now.micros()),
        ..webhook_endpoint::ActiveModel::default()
    })
}

/// Locks an endpoint.
pub(in crate::webhook) async fn lock(
    op: &Op,
    tenant: TenantId,
    id: WebhookEndpointId,
) -> Result<Option<Endpoint>> {
    let row = webhook_endpoint::Entity::find_by_id(id.0)
        .filter(living(tenant))
        .lock_exclusive()
        .one(op.tx())
        .await?;
    row.map(Endpoint::try_from).transpose()
}

/// Takes an endpoint away, and answers with it. What waits to be sent to it is forgotten with its events. One statement.
pub(in crate::webhook) async fn delete(
    op: &Op,
    tenant: TenantId,
    id: WebhookEndpointId,
) -> Result<Option<Endpoint>> {
    let deleting = statement(
        op.tx(),
        "UPDATE webhook_endpoint SET state = 'DELETED', updated_at = $3 WHERE id = $1 AND tenant_id = $2 RETURNING *",
        vec![id.0.into(), tenant.0.into(), op.now().micros().into()],
    );
    let row = webhook_endpoint::Entity::find()
        .from_raw_sql(deleting)
        .one(op.tx())
        .await?;
    let shown = |row| webhook_endpoint::Model {
        state: to_text(EndpointState::Disabled),
        ..row
    };
    row.map(shown).map(Endpoint::try_from).transpose()
}

/// An endpoint that was not taken away. One statement.
pub(crate) async fn endpoint(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: WebhookEndpointId,
) -> Result<Option<Endpoint>> {
    let row = webhook_endpoint::Entity::find_by_id(id.0)
        .filter(living(tenant))
        .one(db)
        .await?;
    row.map(Endpoint::try_from).transpose()
}

/// Endpoints, oldest first.
pub(in crate::webhook) async fn endpoints(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: Option<CustomerId>,
    page: Page<WebhookEndpointId>,
) -> Result<Slice<Endpoint>> {
    let of = customer.map(|customer| webhook_endpoint::Column::CustomerId.eq(customer.0));
    let all = webhook_endpoint::Entity::find()
        .filter(living(tenant))
        .filter(Condition::all().add_option(of));
    let all = ordered(all, webhook_endpoint::Column::Id);
    page.map(|id| id.0)
        .read(all, db)
        .await?
        .try_map(Endpoint::try_from)
}

/// Those that may want to hear of some customers. One statement.
pub(in crate::webhook) async fn listening(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customers: &[CustomerId],
) -> Result<Vec<Endpoint>> {
    let rows = crate::sql::Rows::of(customers)
        .select_with::<webhook_endpoint::Entity>(
            db,
            // Each half by the index: a tenant may have an endpoint for every customer.
            "SELECT e.* FROM webhook_endpoint e
             WHERE e.tenant_id = $1 AND e.state = 'ENABLED' AND e.customer_id IS NULL
             UNION ALL
             SELECT e.* FROM {rows} AS v JOIN webhook_endpoint e ON e.tenant_id = $1 AND e.customer_id = v.id
             WHERE e.state = 'ENABLED'",
            vec![tenant.0.into()],
        )
        .await?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// Endpoints with messages that are due and that nobody is sending to, by whether they have failed: at most [`DUE_AT_ONCE`], those first whose
/// message has waited longest. One look at the index of what waits for each endpoint that anything waits for, whatever the backlog and however
/// many endpoints have nothing to send. One statement.
pub(in crate::webhook) async fn due_endpoints(
    db: &impl ConnectionTrait,
    failing: bool,
    now: Timestamp,
) -> Result<Vec<WebhookEndpointId>> {
    let failures = if failing { "> 0" } else { "= 0" };
    let sql = format!(
        // From one endpoint that something waits for to the next, in the order of that index, which names it to both databases; `CROSS`
        // keeps SQLite from beginning with all endpoints.
        "WITH RECURSIVE waiting (endpoint_id) AS (
            SELECT (SELECT d.endpoint_id FROM webhook_delivery d WHERE d.state = 'PENDING'
                ORDER BY d.endpoint_id, d.next_at, d.id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.endpoint_id FROM webhook_delivery d WHERE d.state = 'PENDING' AND d.endpoint_id > w.endpoint_id
                ORDER BY d.endpoint_id, d.next_at, d.id LIMIT 1)
            FROM waiting w WHERE w.endpoint_id IS NOT NULL)
         SELECT it.id FROM (
            SELECT e.id, (SELECT d.next_at FROM webhook_delivery d WHERE d.endpoint_id = e.id AND d.state = 'PENDING'
                ORDER BY d.next_at, d.id LIMIT 1) AS due_at
            FROM waiting w CROSS JOIN webhook_endpoint e
            WHERE e.id = w.endpoint_id AND e.state = 'ENABLED' AND e.failures {failures} AND e.resting_until <= $1
                AND e.leased_until <= $1) AS it
         WHERE it.due_at <= $1 ORDER BY it.due_at, it.id LIMIT {DUE_AT_ONCE}"
    );
    let rows = db
        .query_all_raw(statement(db, &sql, vec![now.micros().into()]))
        .await?;
    rows.iter()
        .map(|row| Ok(WebhookEndpointId(row.try_get("", "id")?)))
        .collect()
}

/// Takes an endpoint in hand until an instant, so that nobody else sends to it. `None`: it is not to be sent to now. One statement.
pub(in crate::webhook) async fn claim(
    app: &App,
    id: WebhookEndpointId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Endpoint>> {
    let db = app.db().writer();
    let claimed = alone(async {
        let taking = statement(
            db,
            "UPDATE webhook_endpoint SET leased_until = $3
             WHERE id = $1 AND state = 'ENABLED' AND resting_until <= $2 AND leased_until <= $2 RETURNING *",
            vec![id.0.into(), now.micros().into(), until.micros().into()],
        );
        Ok(webhook_endpoint::Entity::find()
            .from_raw_sql(taking)
            .one(db)
            .await?)
    });
    claimed.await?.map(Endpoint::try_from).transpose()
}

/// Lets go of an endpoint that was in hand until an instant. One statement.
pub(in crate::webhook) async fn release(app: &App, id: WebhookEndpointId, until: Timestamp) -> Result<()> {
    let db = app.db().writer();
    let releasing = statement(
        db,
        "UPDATE webhook_endpoint SET leased_until = 0 WHERE id = $1 AND leased_until = $2",
        vec![id.0.into(), until.micros().into()],
    );
    alone(async { Ok(db.execute_raw(releasing).await?) }).await?;
    Ok(())
}

/// Writes how an endpoint fares, and whether it is to be sent to any more.
pub(in crate::webhook) async fn fares(
    op: &Op,
    id: WebhookEndpointId,
    health: Health,
    problem: Option<&str>,
    state: EndpointState,
) -> Result<()> {
    let row = webhook_endpoint::ActiveModel {
        id: Set(id.0),
        state: Set(to_text(state)),
        failures: Set(health.failures),
        failing_since: Set(health.failing_since.map(Timestamp::micros)),
        resting_until: Set(health.resting_until.map_or(0, Timestamp::micros)),
        last_problem: Set(problem.map(str::to_owned)),
        updated_at: Set(op.now().micros()),
        ..webhook_endpoint::ActiveModel::default()
    };
    webhook_endpoint::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}
