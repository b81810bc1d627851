//! The SQL of test clocks.

use std::collections::HashMap;

use domain::{
    id::{CustomerId, TenantId, TestClockId},
    time::Timestamp,
};
use entity::{account, test_clock};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::TestClock;
use crate::{
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among},
};

pub(super) async fn insert(op: &Op, tenant: TenantId, clock: &TestClock) -> Result<()> {
    let row = test_clock::ActiveModel {
        id: Set(clock.id.0),
        tenant_id: Set(tenant.0),
        name: Set(clock.name.clone()),
        now_at: Set(clock.now.micros()),
        target_at: Set(clock.target.micros()),
        ready: Set(i32::from(clock.ready)),
        created_at: Set(clock.created_at.micros()),
        updated_at: Set(clock.created_at.micros()),
    };
    test_clock::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn set(op: &Op, clock: &TestClock) -> Result<()> {
    let row = test_clock::ActiveModel {
        id: Set(clock.id.0),
        now_at: Set(clock.now.micros()),
        target_at: Set(clock.target.max(clock.now).micros()),
        ready: Set(i32::from(clock.ready)),
        updated_at: Set(op.now().micros()),
        ..Default::default()
    };
    test_clock::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

fn of_tenant(tenant: TenantId) -> sea_orm::Select<test_clock::Entity> {
    test_clock::Entity::find().filter(test_clock::Column::TenantId.eq(tenant.0))
}

pub(super) async fn lock(op: &Op, tenant: TenantId, id: TestClockId) -> Result<Option<test_clock::Model>> {
    let found = of_tenant(tenant).filter(test_clock::Column::Id.eq(id.0));
    Ok(found.lock_exclusive().one(op.tx()).await?)
}

pub(super) async fn lock_any(op: &Op, id: TestClockId) -> Result<Option<test_clock::Model>> {
    let found = test_clock::Entity::find_by_id(id.0).lock_exclusive();
    Ok(found.one(op.tx()).await?)
}

pub(super) async fn find(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: TestClockId,
) -> Result<Option<test_clock::Model>> {
    let found = of_tenant(tenant).filter(test_clock::Column::Id.eq(id.0));
    Ok(found.one(db).await?)
}

pub(super) async fn any(db: &impl ConnectionTrait, id: TestClockId) -> Result<Option<test_clock::Model>> {
    Ok(test_clock::Entity::find_by_id(id.0).one(db).await?)
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<TestClockId>,
) -> Result<Slice<test_clock::Model>> {
    page.map(|id| id.0)
        .read(ordered(of_tenant(tenant), test_clock::Column::Id), db)
        .await
}

/// Clocks that are on their way.
pub(super) async fn advancing(db: &impl ConnectionTrait) -> Result<Vec<TestClockId>> {
    let ids: Vec<Uuid> = test_clock::Entity::find()
        .select_only()
        .column(test_clock::Column::Id)
        .filter(test_clock::Column::Ready.eq(0))
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(TestClockId).collect())
}

fn members_of(id: TestClockId) -> sea_orm::Select<account::Entity> {
    account::Entity::find().filter(account::Column::ClockId.eq(id.0))
}

/// The customers of a clock, in the order of their ids.
pub(super) async fn members(db: &impl ConnectionTrait, id: TestClockId) -> Result<Vec<CustomerId>> {
    let ids: Vec<Uuid> = members_of(id)
        .select_only()
        .column(account::Column::CustomerId)
        .order_by_asc(account::Column::CustomerId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(CustomerId).collect())
}

/// The same for one tenant's clock.
pub(super) async fn customers(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: TestClockId,
) -> Result<Vec<CustomerId>> {
    match find(db, tenant, id).await? {
        Some(_) => members(db, id).await,
        None => Ok(Vec::new()),
    }
}

pub(super) async fn count(op: &Op, id: TestClockId) -> Result<i64> {
    let count = members_of(id).count(op.tx()).await?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Tells watchers of a clock's accounts by their revisions.
pub(super) async fn touch(op: &Op, id: TestClockId) -> Result<()> {
    account::Entity::update_many()
        .col_expr(
            account::Column::Revision,
            Expr::col(account::Column::Revision).add(1),
        )
        .filter(account::Column::ClockId.eq(id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// What clocks show. One statement.
pub(crate) async fn times(
    db: &impl ConnectionTrait,
    clocks: &[TestClockId],
) -> Result<HashMap<TestClockId, Timestamp>> {
    if clocks.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = test_clock::Entity::find()
        .filter(among(db, test_clock::Column::Id, clocks.iter().map(|id| id.0)))
        .all(db)
        .await?;
    let time = |row: test_clock::Model| (TestClockId(row.id), Timestamp::from_micros(row.now_at));
    Ok(rows.into_iter().map(time).collect())
}

/// The time of those customers that live by a clock. One statement.
pub(super) async fn of_customers(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Timestamp>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT a.customer_id, c.now_at FROM {rows} AS v JOIN account a ON a.customer_id = v.id
             JOIN test_clock c ON c.id = a.clock_id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let now = Timestamp::from_micros(row.try_get("", "now_at")?);
            Ok((CustomerId(row.try_get("", "customer_id")?), now))
        })
        .collect()
}
