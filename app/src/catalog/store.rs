//! The SQL of the catalog.

use std::collections::HashMap;

use domain::{
    id::{MeteringRuleId, MetricId, TenantId},
    metering::rule::{MeteringRule, MetricRules, RuleBook},
    time::Timestamp,
};
use entity::{metering_rule, metric, tenant};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::view::{Metric, Rule};
use crate::{
    error::{Error, Result},
    op::Op,
    page::{Page, Slice, ordered},
    sql::{among, among_texts, is_storable, statement},
};

/// Tells caches of all processes to look again.
pub(super) async fn touch(op: &Op, tenant: TenantId) -> Result<()> {
    tenant::Entity::update_many()
        .col_expr(
            tenant::Column::CatalogVersion,
            Expr::col(tenant::Column::CatalogVersion).add(1),
        )
        .filter(tenant::Column::Id.eq(tenant.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn version(db: &impl ConnectionTrait, tenant: TenantId) -> Result<i64> {
    let version: Option<i64> = tenant::Entity::find_by_id(tenant.0)
        .select_only()
        .column(tenant::Column::CatalogVersion)
        .into_tuple()
        .one(db)
        .await?;
    version.ok_or_else(|| Error::Internal(format!("tenant {tenant} is gone")))
}

/// Writes a metric; `false` when its key is taken.
pub(super) async fn insert_metric(op: &Op, tenant: TenantId, metric: &Metric) -> Result<bool> {
    let row = metric::ActiveModel {
        id: Set(metric.id.0),
        tenant_id: Set(tenant.0),
        key: Set(metric.key.clone()),
        name: Set(metric.name.clone()),
        unit: Set(metric.unit.clone()),
        created_at: Set(metric.created_at.micros()),
        archived_at: Set(None),
    };
    let written = metric::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(written == 1)
}

pub(super) async fn update_metric(op: &Op, metric: &Metric) -> Result<()> {
    let row = metric::ActiveModel {
        id: Set(metric.id.0),
        name: Set(metric.name.clone()),
        unit: Set(metric.unit.clone()),
        archived_at: Set(metric.archived_at.map(Timestamp::micros)),
        ..Default::default()
    };
    metric::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

pub(super) async fn lock_metric(op: &Op, tenant: TenantId, key: &str) -> Result<Option<metric::Model>> {
    if !is_storable(key) {
        return Ok(None);
    }
    Ok(by_key(tenant, key).lock_exclusive().one(op.tx()).await?)
}

pub(super) async fn find_metric(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    key: &str,
) -> Result<Option<metric::Model>> {
    if !is_storable(key) {
        return Ok(None);
    }
    Ok(by_key(tenant, key).one(db).await?)
}

fn by_key(tenant: TenantId, key: &str) -> sea_orm::Select<metric::Entity> {
    of_tenant(tenant).filter(metric::Column::Key.eq(key))
}

fn of_tenant(tenant: TenantId) -> sea_orm::Select<metric::Entity> {
    metric::Entity::find().filter(metric::Column::TenantId.eq(tenant.0))
}

pub(super) async fn find_metrics(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    keys: &[String],
) -> Result<Vec<metric::Model>> {
    let keys = keys.iter().filter(|key| is_storable(key));
    Ok(of_tenant(tenant)
        .filter(among_texts(db, metric::Column::Key, keys))
        .all(db)
        .await?)
}

pub(super) async fn metrics_by_id(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    ids: &[MetricId],
) -> Result<Vec<metric::Model>> {
    Ok(of_tenant(tenant)
        .filter(among(db, metric::Column::Id, ids.iter().map(|id| id.0)))
        .all(db)
        .await?)
}

/// Metrics by id, whosever they are. One statement.
pub(super) async fn metrics_of_all(
    db: &impl ConnectionTrait,
    ids: &[MetricId],
) -> Result<Vec<metric::Model>> {
    let wanted = among(db, metric::Column::Id, ids.iter().map(|id| id.0));
    Ok(metric::Entity::find().filter(wanted).all(db).await?)
}

pub(super) async fn all_metrics(db: &impl ConnectionTrait, tenant: TenantId) -> Result<Vec<metric::Model>> {
    Ok(of_tenant(tenant).all(db).await?)
}

/// Whether a tenant has a plan that refuses late usage: customers may go on having it after it was archived.
pub(super) async fn rejects_late(db: &impl ConnectionTrait, tenant: TenantId) -> Result<bool> {
    let sql = "SELECT 1 FROM plan_variant WHERE tenant_id = $1 AND late = 'REJECT' LIMIT 1";
    let row = db
        .query_one_raw(statement(db, sql, vec![tenant.0.into()]))
        .await?;
    Ok(row.is_some())
}

pub(super) async fn list_metrics(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<MetricId>,
) -> Result<Slice<metric::Model>> {
    page.map(|id| id.0)
        .read(ordered(of_tenant(tenant), metric::Column::Id), db)
        .await
}

pub(super) async fn rules_of(db: &impl ConnectionTrait, metrics: &[MetricId]) -> Result<Vec<MeteringRule>> {
    let rows = metering_rule::Entity::find()
        .filter(among(
            db,
            metering_rule::Column::MetricId,
            metrics.iter().map(|metric| metric.0),
        ))
        .order_by_asc(metering_rule::Column::Version)
        .all(db)
        .await?;
    rows.iter().map(|row| Ok(MeteringRule::try_from(row)?)).collect()
}

pub(super) async fn rule_book(db: &impl ConnectionTrait, metrics: &[MetricId]) -> Result<RuleBook> {
    let rows = metric::Entity::find()
        .filter(among(
            db,
            metric::Column::Id,
            metrics.iter().map(|metric| metric.0),
        ))
        .all(db)
        .await?;
    let mut rules: HashMap<MetricId, Vec<MeteringRule>> = HashMap::new();
    for rule in rules_of(db, metrics).await? {
        rules.entry(rule.metric).or_default().push(rule);
    }
    let named = |row: metric::Model| {
        let id = MetricId(row.id);
        (
            id,
            MetricRules {
                name: row.name,
                unit: row.unit,
                rules: rules.remove(&id).unwrap_or_default(),
            },
        )
    };
    Ok(rows.into_iter().map(named).collect())
}

pub(super) async fn insert_rule(op: &Op, tenant: TenantId, rule: &MeteringRule) -> Result<()> {
    let row = metering_rule::ActiveModel {
        id: Set(rule.id.0),
        tenant_id: Set(tenant.0),
        metric_id: Set(rule.metric.0),
        version: Set(rule.version),
        line_id: Set(rule.line.0),
        matches: Set(serde_json::to_string(&rule.matches)?),
        price: Set(serde_json::to_string(&rule.price)?),
        effective_from: Set(rule.effective_from.micros()),
        effective_to: Set(rule.effective_to.map(Timestamp::micros)),
        created_at: Set(op.now().micros()),
    };
    metering_rule::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn end_rule(op: &Op, id: MeteringRuleId, at: Timestamp) -> Result<()> {
    let row = metering_rule::ActiveModel {
        id: Set(id.0),
        effective_to: Set(Some(at.micros())),
        ..Default::default()
    };
    metering_rule::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

pub(super) async fn get_rule(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: MeteringRuleId,
) -> Result<Option<Rule>> {
    let row = metering_rule::Entity::find_by_id(id.0)
        .filter(metering_rule::Column::TenantId.eq(tenant.0))
        .one(db)
        .await?;
    Ok(named(db, tenant, row.into_iter().collect()).await?.pop())
}

pub(super) async fn list_rules(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    metric: Option<MetricId>,
    page: Page<MeteringRuleId>,
) -> Result<Slice<Rule>> {
    let mut all = metering_rule::Entity::find().filter(metering_rule::Column::TenantId.eq(tenant.0));
    if let Some(metric) = metric {
        all = all.filter(metering_rule::Column::MetricId.eq(metric.0));
    }
    let slice = page
        .map(|id| id.0)
        .read(ordered(all, metering_rule::Column::Id), db)
        .await?;
    let (has_previous, has_next) = (slice.has_previous, slice.has_next);
    Ok(Slice {
        items: named(db, tenant, slice.items).await?,
        has_previous,
        has_next,
    })
}

/// Rules together with the keys of their metrics.
async fn named(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    rows: Vec<metering_rule::Model>,
) -> Result<Vec<Rule>> {
    let ids: Vec<MetricId> = rows.iter().map(|row| MetricId(row.metric_id)).collect();
    let metrics = metrics_by_id(db, tenant, &ids).await?;
    rows.iter()
        .map(|row| {
            let key = metrics
                .iter()
                .find(|metric| metric.id == row.metric_id)
                .map(|metric| metric.key.clone());
            let created_at = Timestamp::from_micros(row.created_at);
            Ok(Rule::new(
                MeteringRule::try_from(row)?,
                key.unwrap_or_default(),
                created_at,
            ))
        })
        .collect()
}
