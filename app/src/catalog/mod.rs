//! Catalog: what is counted, what it costs, and what plans offer.

mod plan;
pub(crate) mod shelf;
mod store;
mod view;

use std::collections::BTreeMap;

use domain::{
    amount::{Credits, Quantity},
    id::{MeteringRuleId, MetricId, TenantId, VariantId},
    invoice::cycle::Named,
    metering::{
        Position, Price,
        rule::{MeteringRule, Properties, RuleBook, place, select, validate_properties},
    },
    plan::{
        preview::{self, Line, Preview},
        variant::Variant,
    },
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use sea_orm::{ConnectionTrait, EntityTrait};
use serde::Serialize;

pub(crate) use self::plan::{offer_of_tenant, offers_behind, offers_in};
pub use self::{
    plan::{
        CreatePlan, CreateTemplate, CreateVariant, PlanRef, TemplateView, UpdatePlan, VariantView,
        archive_plan, archive_template, archive_variant, create_plan, create_template, create_variant, plan,
        plans, template, templates, update_plan, variant, variants,
    },
    view::{Metric, PricePreview, Rule},
};
use crate::{
    App,
    access::check_name,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
    usage::{self, CountOf},
};

/// Longest key of a metric or plan, in bytes.
const MAX_KEY: usize = 64;
/// Most versions a metric's price may have; bounds what a drain reads.
const MAX_RULES: usize = 1_000;

/// A metric to create.
#[derive(Debug, Clone, Serialize)]
pub struct CreateMetric {
    /// Name used in usage events: lower-case letters, digits, `_`, `-`, `.`.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Name of one unit, such as `call`; `unit` when absent.
    pub unit: Option<String>,
}

/// Creates a metric.
///
/// # Errors
/// A key that is taken or malformed, a name that is empty or too long.
pub async fn create_metric(app: &App, actor: &Actor, input: CreateMetric, key: &str) -> Result<Once<Metric>> {
    actor.require(Scope::CatalogWrite)?;
    check_key("metric", &input.key)?;
    check_name("name", &input.name)?;
    let unit = input.unit.clone().unwrap_or_else(|| "unit".to_owned());
    check_name("unit", &unit)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createMetric", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let metric = Metric {
        id: MetricId(op.new_id()),
        key: input.key,
        name: input.name,
        unit,
        created_at: op.now(),
        archived_at: None,
    };
    if !store::insert_metric(&op, actor.tenant, &metric).await? {
        let message = format!("a metric with the key `{}` exists", metric.key);
        return Err(Rejection::new(RejectionCode::AlreadyExists, "key", message).into());
    }
    store::touch(&op, actor.tenant).await?;
    let done = fresh.settle(&op, metric).await?;
    op.commit().await?;
    forget(app, actor.tenant);
    Ok(done)
}

/// What to change of a metric; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UpdateMetric {
    /// Name for people.
    pub name: Option<String>,
    /// Name of one unit.
    pub unit: Option<String>,
    /// Whether it stops accepting usage.
    pub archived: Option<bool>,
}

/// Changes a metric. Its key never changes.
///
/// # Errors
/// No such metric, a name that is empty or too long.
pub async fn update_metric(app: &App, actor: &Actor, key: &str, input: UpdateMetric) -> Result<Metric> {
    actor.require(Scope::CatalogWrite)?;
    for (field, name) in [("name", &input.name), ("unit", &input.unit)] {
        name.as_ref().map_or(Ok(()), |name| check_name(field, name))?;
    }
    let op = Op::begin(app).await?;
    let row = store::lock_metric(&op, actor.tenant, key).await?;
    let mut metric = Metric::from(row.ok_or_else(|| Rejection::not_found("key", "metric"))?);
    metric.name = input.name.unwrap_or(metric.name);
    metric.unit = input.unit.unwrap_or(metric.unit);
    metric.archived_at = match input.archived {
        Some(true) => metric.archived_at.or(Some(op.now())),
        Some(false) => None,
        None => metric.archived_at,
    };
    store::update_metric(&op, &metric).await?;
    store::touch(&op, actor.tenant).await?;
    op.commit().await?;
    forget(app, actor.tenant);
    Ok(metric)
}

/// A new version of a metric's price.
#[derive(Debug, Clone, Serialize)]
pub struct CreateRule {
    /// Which metric.
    pub metric_key: String,
    /// Properties an event must have; empty: every event.
    pub matches: Properties,
    /// What it costs.
    pub price: Price,
    /// When it begins to apply; see [`place`] for the default.
    pub effective_from: Option<Timestamp>,
}

/// Adds a version of a metric's price. The version before it ends where this one begins.
///
/// # Errors
/// No such metric, an impossible price, an ambiguous match, or a beginning in the past.
pub async fn create_rule(app: &App, actor: &Actor, input: CreateRule, key: &str) -> Result<Once<Rule>> {
    actor.require(Scope::CatalogWrite)?;
    input.price.validate().map_err(|no| no.under("price"))?;
    validate_properties(&input.matches, "match")?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createMeteringRule", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    // The lock on the metric makes versions come one after the other.
    let metric = store::lock_metric(&op, actor.tenant, &input.metric_key).await?;
    let metric = metric.ok_or_else(|| Rejection::not_found("metricKey", "metric"))?;
    // What was accepted while we waited for the lock was accepted before this price.
    op.refresh();
    let existing = store::rules_of(op.tx(), &[MetricId(metric.id)]).await?;
    if existing.len() >= MAX_RULES {
        return Err(
            Rejection::invalid("metricKey", format!("a metric has at most {MAX_RULES} versions")).into(),
        );
    }
    let placed = place(&existing, &input.matches, input.effective_from, op.now())?;
    let id = MeteringRuleId(op.new_id());
    let rule = MeteringRule {
        id,
        metric: MetricId(metric.id),
        version: placed.version,
        matches: input.matches,
        line: placed.line.unwrap_or(id),
        price: input.price,
        known_from: op.now(),
        effective_from: placed.effective_from,
        effective_to: None,
    };
    if let Some(previous) = placed.ends {
        store::end_rule(&op, previous, placed.effective_from).await?;
    }
    store::insert_rule(&op, actor.tenant, &rule).await?;
    store::touch(&op, actor.tenant).await?;
    let view = Rule::new(rule, metric.key, op.now());
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    forget(app, actor.tenant);
    Ok(done)
}

/// What this process remembers of a tenant's catalog is out of date.
fn forget(app: &App, tenant: TenantId) {
    app.shelf().forget(tenant);
}

/// One metric by key.
///
/// # Errors
/// The scope is missing.
pub async fn metric(app: &App, actor: &Actor, key: &str) -> Result<Option<Metric>> {
    actor.require(Scope::CatalogRead)?;
    Ok(store::find_metric(app.db().reader(), actor.tenant, key)
        .await?
        .map(Metric::from))
}

/// One metric by id.
///
/// # Errors
/// The scope is missing.
pub async fn metric_by_id(app: &App, actor: &Actor, id: MetricId) -> Result<Option<Metric>> {
    actor.require(Scope::CatalogRead)?;
    let names = store::metrics_by_id(app.db().reader(), actor.tenant, &[id]).await?;
    Ok(names.into_iter().next().map(Metric::from))
}

/// The tenant's metrics, oldest first.
///
/// # Errors
/// The scope is missing.
pub async fn metrics(app: &App, actor: &Actor, page: Page<MetricId>) -> Result<Slice<Metric>> {
    actor.require(Scope::CatalogRead)?;
    store::list_metrics(app.db().reader(), actor.tenant, page)
        .await?
        .try_map(|row| Ok(Metric::from(row)))
}

/// One version of a price by id.
///
/// # Errors
/// The scope is missing.
pub async fn rule(app: &App, actor: &Actor, id: MeteringRuleId) -> Result<Option<Rule>> {
    actor.require(Scope::CatalogRead)?;
    store::get_rule(app.db().reader(), actor.tenant, id).await
}

/// The versions of the tenant's prices, oldest first; of one metric when a key is given.
///
/// # Errors
/// The scope is missing, or no such metric.
pub async fn rules(
    app: &App,
    actor: &Actor,
    metric_key: Option<&str>,
    page: Page<MeteringRuleId>,
) -> Result<Slice<Rule>> {
    actor.require(Scope::CatalogRead)?;
    let metric = match metric_key {
        Some(key) => {
            let row = store::find_metric(app.db().reader(), actor.tenant, key).await?;
            Some(MetricId(
                row.ok_or_else(|| Rejection::not_found("metricKey", "metric"))?.id,
            ))
        }
        None => None,
    };
    store::list_rules(app.db().reader(), actor.tenant, metric, page).await
}

/// What usage would cost.
#[derive(Debug, Clone)]
pub struct PreviewRequest {
    /// Which metric.
    pub metric_key: String,
    /// How much.
    pub units: Quantity,
    /// Whose cycle to continue; `None`: an empty one.
    pub customer: Option<CustomerRef>,
    /// Facts that a rule may match on.
    pub properties: Properties,
    /// When it would happen; `None`: now.
    pub at: Option<Timestamp>,
    /// Whose prices in money to show; `None`: credits only.
    pub variant: Option<VariantId>,
}

/// Prices one event without recording it: the same arithmetic as the drain.
///
/// # Errors
/// No such metric, customer or variant, or an amount that is too large.
pub async fn price_preview(app: &App, actor: &Actor, request: PreviewRequest) -> Result<PricePreview> {
    actor.require(Scope::CatalogRead)?;
    if request.units.is_negative() {
        return Err(Rejection::invalid("units", "units must not be negative").into());
    }
    validate_properties(&request.properties, "properties")?;
    let db = app.db().reader();
    let metric = store::find_metric(db, actor.tenant, &request.metric_key).await?;
    let metric = MetricId(
        metric
            .ok_or_else(|| Rejection::not_found("metricKey", "metric"))?
            .id,
    );
    let money = match request.variant {
        Some(variant) => plan::money_price(db, actor.tenant, variant, metric).await?,
        None => None,
    };
    let customer = match &request.customer {
        Some(customer) => Some(customer::resolve(db, actor.reach(), customer).await?),
        None => None,
    };
    let at = request.at.unwrap_or_else(|| app.now());
    let rules = store::rules_of(db, &[metric]).await?;
    let rule = select(&rules, &request.properties, at, Timestamp::MAX);
    let from = match customer {
        Some(customer) => {
            let line = CountOf::Line(rule.map(|rule| rule.line));
            usage::position(db, customer, metric, line, at, app.now()).await?
        }
        None => Position::default(),
    };
    let credits = match rule {
        Some(rule) => preview::in_credits(&rule.price, from, request.units)?,
        None => free_of_charge(request.units),
    };
    let money = match (money, customer) {
        // Invoices add up what all prices in credits have counted.
        (Some(price), Some(customer)) => {
            let from = usage::position(db, customer, metric, CountOf::All, at, app.now()).await?;
            Some(preview::in_money(&price, from, request.units)?)
        }
        (Some(price), None) => Some(preview::in_money(&price, from, request.units)?),
        (None, _) => None,
    };
    let rule = match rule {
        Some(rule) => store::get_rule(db, actor.tenant, rule.id).await?,
        None => None,
    };
    Ok(PricePreview {
        credits,
        money,
        from: from.units,
        to: from.after(request.units)?.units,
        rule,
    })
}

/// What a metric without a price costs.
fn free_of_charge(units: Quantity) -> Preview<Credits> {
    let amount = Credits::ZERO;
    Preview {
        total: amount,
        lines: vec![Line { units, amount }],
    }
}

/// The rules of metrics, for pricing. Two statements.
pub(crate) async fn rule_book_in(db: &impl ConnectionTrait, metrics: &[MetricId]) -> Result<RuleBook> {
    store::rule_book(db, metrics).await
}

/// A tenant's metrics and all versions of their prices.
#[derive(Debug, Clone)]
pub(crate) struct PriceList {
    /// The number of the catalog that this is, at least.
    pub(crate) version: i64,
    /// Metrics by key, archived ones as well.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Their prices.
    pub(crate) rules: RuleBook,
    /// Whether any plan, archived or not, refuses late usage.
    pub(crate) rejects_late: bool,
}

/// A tenant's prices. Five statements.
async fn price_list_in(db: &impl ConnectionTrait, tenant: TenantId) -> Result<PriceList> {
    // The number is read first: a change in between only makes the cache look again.
    let version = store::version(db, tenant).await?;
    let metrics = store::all_metrics(db, tenant).await?;
    let ids: Vec<MetricId> = metrics.iter().map(|row| MetricId(row.id)).collect();
    let metrics = metrics
        .into_iter()
        .map(|row| (row.key.clone(), Metric::from(row)));
    Ok(PriceList {
        version,
        rules: rule_book_in(db, &ids).await?,
        metrics: metrics.collect(),
        rejects_late: store::rejects_late(db, tenant).await?,
    })
}

/// The number of a tenant's catalog; it grows with every change.
async fn version_in(db: &impl ConnectionTrait, tenant: TenantId) -> Result<i64> {
    store::version(db, tenant).await
}

/// The ids of metrics by key.
///
/// # Errors
/// A key that does not exist, blaming `field`.
pub(crate) async fn metric_ids_in(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    keys: &[String],
    field: &str,
) -> Result<Vec<MetricId>> {
    let found = store::find_metrics(db, tenant, keys).await?;
    keys.iter()
        .map(|key| {
            let row = found.iter().find(|row| row.key == *key);
            row.map(|row| MetricId(row.id))
                .ok_or_else(|| Error::from(Rejection::not_found(field, "metric")))
        })
        .collect()
}

/// The keys of metrics by id, for views.
pub(crate) async fn metric_keys_in(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    ids: &[MetricId],
) -> Result<BTreeMap<MetricId, String>> {
    let rows = store::metrics_by_id(db, tenant, ids).await?;
    Ok(rows.into_iter().map(|row| (MetricId(row.id), row.key)).collect())
}

/// What metrics are called, and their units. One statement, none when there are no metrics.
pub(crate) async fn metric_names_in(
    db: &impl ConnectionTrait,
    ids: &[MetricId],
) -> Result<BTreeMap<MetricId, Named>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = store::metrics_of_all(db, ids).await?;
    let named = rows.into_iter().map(|row| {
        let named = Named {
            name: row.name,
            unit: row.unit,
        };
        (MetricId(row.id), named)
    });
    Ok(named.collect())
}

/// What the plan of a variant is called. One statement.
pub(crate) async fn plan_name_in(db: &impl ConnectionTrait, variant: &Variant) -> Result<String> {
    let row = entity::plan::Entity::find_by_id(variant.plan.0).one(db).await?;
    Ok(row.map_or_else(String::new, |row| row.name))
}

/// The keys of metrics of several tenants, for work that is done for all of them at once. One statement, none when there are no metrics.
pub(crate) async fn metric_keys_of_all(
    db: &impl ConnectionTrait,
    ids: &[MetricId],
) -> Result<BTreeMap<MetricId, String>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = store::metrics_of_all(db, ids).await?;
    Ok(rows.into_iter().map(|row| (MetricId(row.id), row.key)).collect())
}

fn check_key(of: &str, key: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(fine) {
        let message = format!("a {of} key has 1 to {MAX_KEY} of: lower-case letters, digits, `_`, `-`, `.`");
        return Err(Rejection::invalid("key", message).into());
    }
    Ok(())
}
