//! The SQL of holds.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    amount::Credits,
    hold::{Hold, HoldState},
    id::{CustomerId, HoldId, TenantId},
    time::Timestamp,
};
use entity::{hold, to_text};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among, customers, first_instant, statement},
};

/// The holds of customers that no worker has ended, in the order in which they were made. One statement.
pub(super) async fn open(
    db: &impl ConnectionTrait,
    of: &[CustomerId],
) -> Result<HashMap<CustomerId, Vec<Hold>>> {
    let rows = Rows::of(of)
        .select::<hold::Entity>(
            db,
            "SELECT h.* FROM {rows} AS v JOIN hold h ON h.customer_id = v.id AND h.state = 'OPEN'
             ORDER BY h.customer_id, h.id",
        )
        .await?;
    let mut holds: HashMap<CustomerId, Vec<Hold>> = HashMap::new();
    for row in &rows {
        let own = holds.entry(CustomerId(row.customer_id)).or_default();
        own.push(Hold::try_from(row)?);
    }
    Ok(holds)
}

/// What holds past their deadline still count for on the accounts of customers, by each customer's own clock. One statement.
pub(super) async fn lapsed(
    db: &impl ConnectionTrait,
    of: &[CustomerId],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Credits>> {
    let sql = "SELECT h.customer_id, CAST(SUM(h.credits) AS bigint) AS credits
         FROM {rows} AS v JOIN account a ON a.customer_id = v.id LEFT JOIN test_clock c ON c.id = a.clock_id
         JOIN hold h ON h.customer_id = v.id AND h.state = 'OPEN'
         WHERE h.expires_at <= COALESCE(c.now_at, $1) GROUP BY h.customer_id";
    let rows = Rows::of(of).query(db, sql, vec![now.micros().into()]).await?;
    let sum = |row: &sea_orm::QueryResult| {
        let credits = Credits::from_raw(row.try_get("", "credits")?);
        Ok((CustomerId(row.try_get("", "customer_id")?), credits))
    };
    rows.iter().map(sum).collect()
}

/// The holds that have keys of tenants. One statement.
pub(super) async fn by_keys(
    db: &impl ConnectionTrait,
    keys: &[(TenantId, &str)],
) -> Result<HashMap<(TenantId, String), hold::Model>> {
    let rows = Rows::default()
        .id("tenant_id", keys.iter().map(|(tenant, _)| tenant.0))
        .text("key", keys.iter().map(|(_, key)| (*key).to_owned()))
        .select::<hold::Entity>(
            db,
            "SELECT h.* FROM {rows} AS v JOIN hold h ON h.tenant_id = v.tenant_id AND h.key = v.key",
        )
        .await?;
    let named = |row: hold::Model| ((TenantId(row.tenant_id), row.key.clone()), row);
    Ok(rows.into_iter().map(named).collect())
}

/// Holds by their ids. One statement.
pub(super) async fn by_ids(
    db: &impl ConnectionTrait,
    ids: &[HoldId],
) -> Result<HashMap<HoldId, hold::Model>> {
    let rows = Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .select::<hold::Entity>(db, "SELECT h.* FROM {rows} AS v JOIN hold h ON h.id = v.id")
        .await?;
    Ok(rows.into_iter().map(|row| (HoldId(row.id), row)).collect())
}

/// For whose work holds within reach were made. One statement.
pub(super) async fn owners(
    db: &impl ConnectionTrait,
    reach: Reach,
    ids: &[HoldId],
) -> Result<HashMap<HoldId, CustomerId>> {
    let rows: Vec<(Uuid, Uuid)> = within(reach)
        .select_only()
        .columns([hold::Column::Id, hold::Column::CustomerId])
        .filter(among(db, hold::Column::Id, ids.iter().map(|id| id.0)))
        .into_tuple()
        .all(db)
        .await?;
    let owner = |(id, customer)| (HoldId(id), CustomerId(customer));
    Ok(rows.into_iter().map(owner).collect())
}

fn within(reach: Reach) -> sea_orm::Select<hold::Entity> {
    hold::Entity::find().filter(reach.condition(hold::Column::TenantId, hold::Column::CustomerId))
}

pub(super) async fn find(db: &impl ConnectionTrait, reach: Reach, id: HoldId) -> Result<Option<hold::Model>> {
    let one = within(reach).filter(hold::Column::Id.eq(id.0));
    Ok(one.one(db).await?)
}

/// A customer's holds, latest first, as they stand at an instant.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    state: Option<HoldState>,
    now: Timestamp,
    page: Page<HoldId>,
) -> Result<Slice<hold::Model>> {
    let all = within(reach)
        .filter(hold::Column::CustomerId.eq(customer.0))
        .filter(state.map_or_else(Condition::all, |state| stands(state, now)));
    let mut latest_first = ordered(all, hold::Column::Id);
    latest_first.desc();
    page.map(|id| id.0).read(latest_first, db).await
}

fn stands(state: HoldState, now: Timestamp) -> Condition {
    let written = |state| hold::Column::State.eq(to_text(state));
    let open = Condition::all().add(written(HoldState::Open));
    match state {
        HoldState::Open => open.add(hold::Column::ExpiresAt.gt(now.micros())),
        HoldState::Expired => Condition::any()
            .add(written(HoldState::Expired))
            .add(open.add(hold::Column::ExpiresAt.lte(now.micros()))),
        HoldState::Captured | HoldState::Released => Condition::all().add(written(state)),
    }
}

/// Writes new holds; answers with those whose keys were taken meanwhile. In the order of their keys everywhere, so that two
/// processes with the same keys do not wait for each other in a circle. One statement.
pub(super) async fn insert(op: &Op, all: &[hold::Model]) -> Result<HashSet<HoldId>> {
    let mut refused: HashSet<HoldId> = all.iter().map(|row| HoldId(row.id)).collect();
    let rows = Rows::default()
        .id("id", all.iter().map(|it| it.id))
        .id("tenant_id", all.iter().map(|it| it.tenant_id))
        .id("customer_id", all.iter().map(|it| it.customer_id))
        .id("metric_id", all.iter().map(|it| it.metric_id))
        .text("key", all.iter().map(|it| it.key.clone()))
        .id("fingerprint", all.iter().map(|it| it.fingerprint))
        .int("units", all.iter().map(|it| it.units))
        .int("credits", all.iter().map(|it| it.credits))
        .opt_text("properties", all.iter().map(|it| it.properties.clone()))
        .text("state", all.iter().map(|it| it.state.clone()))
        .int("made_at", all.iter().map(|it| it.made_at))
        .int("expires_at", all.iter().map(|it| it.expires_at))
        .query(
            op.tx(),
            "INSERT INTO hold (id, tenant_id, customer_id, metric_id, key, fingerprint, units, credits, properties, state,
                made_at, expires_at, late)
             SELECT id, tenant_id, customer_id, metric_id, key, fingerprint, units, credits, properties, state,
                made_at, expires_at, 0
             FROM {rows} AS v WHERE true ORDER BY tenant_id, key, id
             ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id",
            Vec::new(),
        )
        .await?;
    for row in rows {
        refused.remove(&HoldId(row.try_get_by_index(0)?));
    }
    Ok(refused)
}

/// Writes how holds have ended. One statement.
pub(super) async fn end(op: &Op, all: &[&hold::Model]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", all.iter().map(|it| it.id))
        .text("state", all.iter().map(|it| it.state.clone()))
        .opt_int("ended_at", all.iter().map(|it| it.ended_at))
        .opt_id("event_id", all.iter().map(|it| it.event_id))
        .opt_int("captured_units", all.iter().map(|it| it.captured_units))
        .int("late", all.iter().map(|it| i64::from(it.late)))
        .execute(
            op.tx(),
            "UPDATE hold SET state = v.state, ended_at = v.ended_at, event_id = v.event_id,
                captured_units = v.captured_units, late = v.late
             FROM {rows} AS v WHERE hold.id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// What changes on accounts when holds are made or end: what is set aside, and how many are open.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<CustomerId, (i64, i64)>);

impl Changes {
    /// A hold that was made.
    pub(super) fn made(&mut self, row: &hold::Model) {
        self.add(CustomerId(row.customer_id), row.credits, 1);
    }

    /// A hold that was open and is over.
    pub(super) fn ended(&mut self, customer: CustomerId, credits: i64) {
        self.add(customer, -credits, -1);
    }

    /// The account has changed, though not by holds that were open.
    pub(super) fn touched(&mut self, customer: CustomerId) {
        self.add(customer, 0, 0);
    }

    fn add(&mut self, customer: CustomerId, credits: i64, count: i64) {
        let own = self.0.entry(customer).or_default();
        own.0 += credits;
        own.1 += count;
    }

    /// Writes them to the accounts, which are locked, and tells watchers. One statement, none without changes.
    pub(super) async fn write(&self, op: &mut Op) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Rows::default()
            .id("customer_id", self.0.keys().map(|customer| customer.0))
            .int("credits", self.0.values().map(|(credits, _)| *credits))
            .int("count", self.0.values().map(|(_, count)| *count))
            .execute(
                op.tx(),
                "UPDATE account SET held = held + v.credits, holds = holds + v.count, revision = account.revision + 1,
                    updated_at = $1
                 FROM {rows} AS v WHERE account.customer_id = v.customer_id",
                vec![op.now().micros().into()],
            )
            .await?;
        for customer in self.0.keys() {
            op.changed(*customer);
        }
        Ok(())
    }
}

/// Customers that live by the clock on the wall and have holds past their deadline, at most so many. One statement.
pub(super) async fn due(db: &impl ConnectionTrait, now: Timestamp, limit: usize) -> Result<Vec<CustomerId>> {
    let sql = format!(
        "SELECT h.customer_id FROM hold h JOIN account a ON a.customer_id = h.customer_id
         WHERE h.state = 'OPEN' AND h.expires_at <= $1 AND a.clock_id IS NULL
         GROUP BY h.customer_id ORDER BY h.customer_id LIMIT {limit}"
    );
    let rows = db
        .query_all_raw(statement(db, &sql, vec![now.micros().into()]))
        .await?;
    Ok(customers(&rows)?)
}

/// Ends the holds of customers, whose accounts are locked, that are past their deadline at an instant of each: whose they were, and what
/// they held. One statement.
pub(super) async fn expire(op: &Op, of: &[(CustomerId, Timestamp)]) -> Result<Vec<(CustomerId, i64)>> {
    let sql = "UPDATE hold SET state = 'EXPIRED', ended_at = v.until FROM {rows} AS v
         WHERE hold.customer_id = v.id AND hold.state = 'OPEN' AND hold.expires_at <= v.until
         RETURNING customer_id, credits";
    let rows = Rows::default()
        .id("id", of.iter().map(|(customer, _)| customer.0))
        .int("until", of.iter().map(|(_, until)| until.micros()))
        .query(op.tx(), sql, Vec::new())
        .await?;
    rows.iter()
        .map(|row| Ok((CustomerId(row.try_get_by_index(0)?), row.try_get_by_index(1)?)))
        .collect()
}

/// The first deadline of the open holds of customers. One statement.
pub(super) async fn next_deadline(db: &impl ConnectionTrait, of: &[CustomerId]) -> Result<Option<Timestamp>> {
    let sql = "SELECT MIN(h.expires_at) AS first FROM {rows} AS v JOIN hold h ON h.customer_id = v.id
         WHERE h.state = 'OPEN'";
    let rows = Rows::of(of).query(db, sql, Vec::new()).await?;
    Ok(first_instant(&rows, "first")?)
}
