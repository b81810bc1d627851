//! The SQL of customers.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    customer::{OvershootDefault, Terms},
    id::{CustomerId, TenantId, TestClockId},
    ledger::chain::EntryHash,
    subscription::admission::Admission,
    time::Timestamp,
};
use entity::{account, customer, from_text, overshoot_setting, to_text};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryResult, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{Customer, CustomerRef, Place, shard_of};
use crate::{
    actor::Reach,
    db::Backend,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among, among_texts, is_storable, statement},
};

/// Writes a customer and its empty account; `false` when the external id is taken.
pub(super) async fn insert(op: &Op, tenant: TenantId, customer: &Customer) -> Result<bool> {
    let mut row = row(customer)?;
    row.tenant_id = Set(tenant.0);
    row.external_id = Set(customer.external_id.clone());
    row.shard = Set(shard_of(customer.id));
    row.clock_id = Set(customer.clock.map(|clock| clock.0));
    row.bounded_from = Set(0);
    row.created_at = Set(customer.created_at.micros());
    let written = customer::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    if written == 0 {
        return Ok(false);
    }
    let account = account::ActiveModel {
        customer_id: Set(customer.id.0),
        tenant_id: Set(tenant.0),
        sequence: Set(0),
        blocks: Set(0),
        overdraft: Set(0),
        revision: Set(1),
        updated_at: Set(customer.created_at.micros()),
        head: Set(EntryHash::NONE.as_bytes().to_vec()),
        frozen_at: Set(None),
        barrier_at: Set(None),
        admission: Set(to_text(Admission::Admitted)),
        clock_id: Set(customer.clock.map(|clock| clock.0)),
        watched_balance: Set(None),
        event_sequence: Set(0),
        held: Set(0),
        holds: Set(0),
        spend_managed: Set(0),
        low_balance: Set(None),
        low_balance_told_at: Set(None),
    };
    account::Entity::insert(account)
        .exec_without_returning(op.tx())
        .await?;
    Ok(true)
}

/// Writes what may change, and tells watchers of the account by its revision. `bounded_from`: the last ledger entry, where another bound of
/// the overdraft holds from now on.
pub(super) async fn update(op: &Op, customer: &Customer, bounded_from: Option<i64>) -> Result<()> {
    let mut row = row(customer)?;
    row.bounded_from = bounded_from.map_or(NotSet, Set);
    customer::Entity::update(row).exec(op.tx()).await?;
    account::Entity::update_many()
        .col_expr(
            account::Column::Revision,
            Expr::col(account::Column::Revision).add(1),
        )
        .filter(account::Column::CustomerId.eq(customer.id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// The columns that may change, and the key.
fn row(customer: &Customer) -> Result<customer::ActiveModel> {
    let address = customer
        .invoice_address
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    Ok(customer::ActiveModel {
        id: Set(customer.id.0),
        tenant_id: NotSet,
        external_id: NotSet,
        shard: NotSet,
        clock_id: NotSet,
        bounded_from: NotSet,
        created_at: NotSet,
        name: Set(customer.name.clone()),
        at_zero: Set(to_text(customer.terms.at_zero)),
        overage_line: Set(customer.terms.overage_line.raw()),
        settlement: Set(to_text(customer.terms.settlement)),
        overshoot_limit: Set(customer.terms.overshoot_limit.map(Credits::raw)),
        beyond_overshoot: Set(to_text(customer.terms.beyond_overshoot)),
        overshoot_follows: Set(customer.follows()),
        billing_email: Set(customer.billing_email.clone()),
        invoice_address: Set(address),
        po_number: Set(customer.po_number.clone()),
        metadata: Set(serde_json::to_string(&customer.metadata)?),
        updated_at: Set(Timestamp::micros(customer.updated_at)),
    })
}

/// One customer within reach.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    reach: Reach,
    who: &CustomerRef,
) -> Result<Option<customer::Model>> {
    let named = match who {
        CustomerRef::External(id) if !is_storable(id) => return Ok(None),
        CustomerRef::Id(id) => customer::Column::Id.eq(id.0),
        CustomerRef::External(id) => customer::Column::ExternalId.eq(id.as_str()),
    };
    Ok(customer::Entity::find()
        .filter(reach.condition(customer::Column::TenantId, customer::Column::Id))
        .filter(named)
        .one(db)
        .await?)
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    page: Page<CustomerId>,
) -> Result<Slice<customer::Model>> {
    let all =
        customer::Entity::find().filter(reach.condition(customer::Column::TenantId, customer::Column::Id));
    page.map(|id| id.0)
        .read(ordered(all, customer::Column::Id), db)
        .await
}

/// The columns of `customer c` that [`terms_of`] reads.
pub(crate) const TERMS: &str =
    "c.at_zero, c.overage_line, c.settlement, c.overshoot_limit, c.beyond_overshoot";

/// What is agreed with customers about running out of credits. One statement.
pub(crate) async fn terms_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Terms>> {
    let sql = format!("SELECT c.id, {TERMS} FROM {{rows}} AS v JOIN customer c ON c.id = v.id");
    let rows = Rows::of(customers).query(db, &sql, Vec::new()).await?;
    rows.iter()
        .map(|row| Ok((CustomerId(row.try_get("", "id")?), terms_of(row)?)))
        .collect()
}

/// The terms that a row says, in the columns [`TERMS`].
pub(crate) fn terms_of(row: &QueryResult) -> Result<Terms> {
    let text = |column| -> Result<String> { Ok(row.try_get("", column)?) };
    let limit: Option<i64> = row.try_get("", "overshoot_limit")?;
    Ok(Terms {
        at_zero: from_text("customer", &text("at_zero")?)?,
        overage_line: Credits::from_raw(row.try_get("", "overage_line")?),
        settlement: from_text("customer", &text("settlement")?)?,
        overshoot_limit: limit.map(Credits::from_raw),
        beyond_overshoot: from_text("customer", &text("beyond_overshoot")?)?,
    })
}

/// What a tenant promises about overshoot by default. One statement.
pub(super) async fn overshoot_default(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<OvershootDefault> {
    let Some(row) = overshoot_setting::Entity::find_by_id(tenant.0).one(db).await? else {
        return Ok(OvershootDefault::default());
    };
    Ok(OvershootDefault {
        limit: row.overshoot_limit.map(Credits::from_raw),
        beyond: from_text("overshoot_setting", &row.beyond_overshoot)?,
    })
}

pub(super) async fn put_overshoot_default(op: &Op, tenant: TenantId, it: OvershootDefault) -> Result<()> {
    let values = vec![
        tenant.0.into(),
        it.limit.map(Credits::raw).into(),
        to_text(it.beyond).into(),
        op.now().micros().into(),
    ];
    let sql = "INSERT INTO overshoot_setting (tenant_id, overshoot_limit, beyond_overshoot, updated_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id) DO UPDATE SET overshoot_limit = excluded.overshoot_limit,
            beyond_overshoot = excluded.beyond_overshoot, updated_at = excluded.updated_at";
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

/// Customers that follow their tenant and have not what it promises, where it fits them, or still have what it promised before, where it does
/// not. At most so many that differ in one way, of four ways; without those in `aside`. One statement; it costs four looks into the index of
/// followers for each tenant that has said something, and reads of the index what it finds or leaves out, but not who has the default already.
pub(super) async fn not_following(
    db: &impl ConnectionTrait,
    aside: &[CustomerId],
    most: usize,
) -> Result<Vec<CustomerId>> {
    const FOLLOWS: &str = "c.tenant_id = s.tenant_id AND c.overshoot_follows > 0 AND c.at_zero <> 'ALLOW'
        AND (c.overshoot_follows = 1 OR c.overshoot_limit IS NULL)
        AND (c.overage_line <= 9223372036854775807 - COALESCE(s.overshoot_limit, 0) OR c.overshoot_limit IS NOT NULL)
        AND c.id NOT IN (SELECT v.id FROM {rows} AS v)";
    const LIMIT: &str = "COALESCE(c.overshoot_limit, -1)";
    // What differs lies on one side of the default or on the other: four ranges of the index, each read from its beginning. On PostgreSQL the order
    // makes the index cheaper than the table; on SQLite a cross join is made as it is written.
    let range = |differs: String| {
        let of_one = format!("customer c WHERE {FOLLOWS} AND {differs}");
        let order = format!("ORDER BY c.beyond_overshoot, {LIMIT}");
        let joined = match Backend::of(db) {
            Backend::Postgres => {
                format!("LATERAL (SELECT c.id FROM {of_one} {order} LIMIT $1) AS c")
            }
            Backend::Sqlite => of_one,
        };
        format!("SELECT c.id FROM overshoot_setting s CROSS JOIN {joined} LIMIT $1")
    };
    let ranges = ["<", ">"].map(|sign| {
        let beyond = range(format!("c.beyond_overshoot {sign} s.beyond_overshoot"));
        let limit = range(format!(
            "c.beyond_overshoot = s.beyond_overshoot AND {LIMIT} {sign} COALESCE(s.overshoot_limit, -1)"
        ));
        format!("SELECT id FROM ({beyond}) AS a UNION ALL SELECT id FROM ({limit}) AS b")
    });
    let rows = Rows::of(aside)
        .query(
            db,
            &ranges.join(" UNION ALL "),
            vec![i64::try_from(most).unwrap_or(i64::MAX).into()],
        )
        .await?;
    let one = |row: &QueryResult| Ok(CustomerId(row.try_get("", "id")?));
    rows.iter().map(one).collect()
}

/// Where many customers of a tenant are, with the vendor's names for them. One statement.
pub(crate) async fn places(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    external: &[&str],
    ids: &[CustomerId],
) -> Result<Vec<(String, Place)>> {
    let external = external.iter().copied().filter(|id| is_storable(id));
    let named = Condition::any()
        .add(among_texts(db, customer::Column::ExternalId, external))
        .add(among(db, customer::Column::Id, ids.iter().map(|id| id.0)));
    let rows: Vec<(Uuid, String, i32, Option<Uuid>)> = customer::Entity::find()
        .select_only()
        .columns([
            customer::Column::Id,
            customer::Column::ExternalId,
            customer::Column::Shard,
            customer::Column::ClockId,
        ])
        .filter(customer::Column::TenantId.eq(tenant.0))
        .filter(named)
        .into_tuple()
        .all(db)
        .await?;
    let place = |(id, external, shard, clock): (_, _, _, Option<Uuid>)| {
        (
            external,
            Place {
                customer: CustomerId(id),
                shard,
                clock: clock.map(TestClockId),
            },
        )
    };
    Ok(rows.into_iter().map(place).collect())
}
