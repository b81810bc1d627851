//! Variants: written once, archived when no longer offered.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    cycle::late::LatePolicy,
    id::{MetricId, PlanId, TenantId, VariantId},
    money::Money,
    plan::{
        interval::Interval,
        money_price::{CreditPrice, MoneyPrice},
        variant::{Mode, PurchaseLimits, ShortCycle, Variant},
    },
    rejection::Rejection,
};
use sea_orm::ConnectionTrait;
use serde::Serialize;

use super::{PlanRef, VariantView, lock, store};
use crate::{
    App,
    access::check_name,
    actor::{Actor, Scope},
    catalog::{self, forget, metric_keys_in},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
};

/// A variant to create. Each field is explained at [`Variant`].
#[derive(Debug, Clone, Serialize)]
pub struct CreateVariant {
    /// Of which plan.
    pub plan: PlanRef,
    /// Name for people.
    pub name: String,
    /// How long a cycle is.
    pub interval: Interval,
    /// Paid before or after.
    pub mode: Mode,
    /// What a cycle costs; `None`: not known here.
    pub fee: Option<Money>,
    /// Length of the trial in calendar days; 0: none.
    pub trial_days: i32,
    /// How many calendar days before the end of a prepaid cycle renewal is due.
    pub renewal_due_days: i32,
    /// For how many calendar days an unpaid prepaid subscription is overdue before it expires.
    pub grace_days: i32,
    /// Whether checks let usage pass while the subscription is overdue.
    pub allow_usage_while_overdue: bool,
    /// Limits of purchases; `None`: its customers buy no credits.
    pub purchase: Option<PurchaseLimits>,
    /// What a credit costs.
    pub credit_price: Option<CreditPrice>,
    /// What metrics cost in money, by their keys.
    pub money_prices: Vec<(String, MoneyPrice)>,
    /// What happens to usage that comes after its cycle has closed.
    pub late: LatePolicy,
    /// How long after its end a cycle still takes usage, in seconds.
    pub late_seconds: i64,
    /// What short cycles bring.
    pub short_cycle: ShortCycle,
}

impl CreateVariant {
    fn variant(self, id: VariantId, plan: PlanId, money_prices: BTreeMap<MetricId, MoneyPrice>) -> Variant {
        Variant {
            id,
            plan,
            name: self.name,
            interval: self.interval,
            mode: self.mode,
            fee: self.fee,
            trial_days: self.trial_days,
            renewal_due_days: self.renewal_due_days,
            grace_days: self.grace_days,
            allow_usage_while_overdue: self.allow_usage_while_overdue,
            purchase: self.purchase,
            credit_price: self.credit_price,
            money_prices,
            late: self.late,
            late_seconds: self.late_seconds,
            short_cycle: self.short_cycle,
            archived_at: None,
        }
    }
}

/// Adds a variant to a plan. It brings no credits before it has templates.
///
/// # Errors
/// No such plan or metric, an archived plan, or a part that cannot be.
pub async fn create_variant(
    app: &App,
    actor: &Actor,
    input: CreateVariant,
    key: &str,
) -> Result<Once<VariantView>> {
    actor.require(Scope::CatalogWrite)?;
    check_name("name", &input.name)?;
    check_money_prices(&input.money_prices)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createPlanVariant", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let plan = lock(&op, actor.tenant, &input.plan).await?;
    if plan.archived_at.is_some() {
        return Err(Rejection::invalid(input.plan.field(), "the plan is archived").into());
    }
    let metric_keys = priced_metrics(op.tx(), actor.tenant, &input.money_prices).await?;
    let prices = input.money_prices.iter().map(|(_, price)| price.clone());
    let prices = metric_keys.iter().map(|(id, _)| *id).zip(prices).collect();
    let variant = input.variant(VariantId(op.new_id()), plan.id, prices);
    variant.validate()?;
    store::insert_variant(&op, actor.tenant, &variant).await?;
    // How late usage fares is asked whenever usage is accepted, from memory.
    catalog::store::touch(&op, actor.tenant).await?;
    let view = VariantView {
        variant,
        created_at: op.now(),
        metric_keys: metric_keys.into_iter().collect(),
    };
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    forget(app, actor.tenant);
    Ok(done)
}

/// Each price by itself, so that the one at fault is blamed by its place, and no metric twice.
fn check_money_prices(prices: &[(String, MoneyPrice)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, (key, price)) in prices.iter().enumerate() {
        let field = format!("moneyPrices.{index}");
        price
            .validate()
            .map_err(|no| in_money(no).under("price").under(&field))?;
        if !seen.insert(key) {
            let message = "there is a price for this metric already";
            return Err(Rejection::invalid(&format!("{field}.metricKey"), message).into());
        }
    }
    Ok(())
}

/// Prices in money have the kinds of prices in credits, and words of their own.
fn in_money(mut no: Rejection) -> Rejection {
    for part in &mut no.path {
        let word = match part.as_str() {
            "credits" => "amount",
            "creditsPerUnit" => "amountPerUnit",
            "creditsPerPackage" => "amountPerPackage",
            _ => continue,
        };
        word.clone_into(part);
    }
    no
}

/// The metrics that prices are for, in the order of the prices.
async fn priced_metrics(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    prices: &[(String, MoneyPrice)],
) -> Result<Vec<(MetricId, String)>> {
    if prices.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = prices.iter().map(|(key, _)| key.clone()).collect();
    let found = catalog::store::find_metrics(db, tenant, &keys).await?;
    let named = |(index, key): (usize, String)| {
        let row = found.iter().find(|row| row.key == key);
        let field = format!("moneyPrices.{index}.metricKey");
        let row = row.ok_or_else(|| Rejection::not_found(&field, "metric"))?;
        Ok((MetricId(row.id), key))
    };
    keys.into_iter().enumerate().map(named).collect()
}

/// Stops offering a variant, for good. Subscriptions that have it keep it. Archiving again changes nothing.
///
/// # Errors
/// No such variant.
pub async fn archive_variant(app: &App, actor: &Actor, id: VariantId) -> Result<VariantView> {
    actor.require(Scope::CatalogWrite)?;
    let mut op = Op::begin(app).await?;
    if !store::lock_variant(&op, actor.tenant, id).await? {
        return Err(unknown().into());
    }
    op.refresh();
    let found = store::find_variant(op.tx(), actor.tenant, id).await?;
    let mut found = found.ok_or_else(unknown)?;
    if found.variant.archived_at.is_none() {
        found.variant.archived_at = Some(op.now());
        store::archive_variant(&op, id, op.now()).await?;
        catalog::store::touch(&op, actor.tenant).await?;
    }
    let view = named(op.tx(), actor.tenant, vec![found]).await?.pop();
    op.commit().await?;
    forget(app, actor.tenant);
    Ok(view.ok_or_else(unknown)?)
}

/// There is no such variant.
pub(super) fn unknown() -> Rejection {
    Rejection::not_found("variantId", "plan variant")
}

/// One variant.
///
/// # Errors
/// The scope is missing.
pub async fn variant(app: &App, actor: &Actor, id: VariantId) -> Result<Option<VariantView>> {
    actor.require(Scope::CatalogRead)?;
    let db = app.db().reader();
    let found = store::find_variant(db, actor.tenant, id).await?;
    Ok(named(db, actor.tenant, found.into_iter().collect()).await?.pop())
}

/// The variants of a plan, oldest first, archived ones as well.
///
/// # Errors
/// The scope is missing, or no such plan.
pub async fn variants(
    app: &App,
    actor: &Actor,
    plan: PlanId,
    page: Page<VariantId>,
) -> Result<Slice<VariantView>> {
    actor.require(Scope::CatalogRead)?;
    let db = app.db().reader();
    let who = PlanRef::Id(plan);
    let plan = store::find_plan(db, actor.tenant, &who).await?;
    let plan = plan.ok_or_else(|| who.unknown())?;
    let slice = store::list_variants(db, actor.tenant, &plan, page).await?;
    let (has_previous, has_next) = (slice.has_previous, slice.has_next);
    Ok(Slice {
        items: named(db, actor.tenant, slice.items).await?,
        has_previous,
        has_next,
    })
}

/// Variants together with the keys of their metrics. One statement, or none without prices.
async fn named(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    all: Vec<store::Offered>,
) -> Result<Vec<VariantView>> {
    let metrics: Vec<MetricId> = all
        .iter()
        .flat_map(|it| it.variant.money_prices.keys().copied())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let keys = metric_keys_in(db, tenant, &metrics).await?;
    let view = |it: store::Offered| VariantView {
        metric_keys: keys
            .iter()
            .filter(|(id, _)| it.variant.money_prices.contains_key(id))
            .map(|(id, key)| (*id, key.clone()))
            .collect(),
        created_at: it.created_at,
        variant: it.variant,
    };
    Ok(all.into_iter().map(view).collect())
}
