//! Templates: the credits that a variant brings. Written once, archived when no longer granted.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    amount::{Credits, Percent},
    credit::block::{Billing, Source},
    id::{MetricId, TemplateId, TenantId, VariantId},
    plan::{
        Offer,
        interval::Interval,
        template::{Expiry, GrantTemplate, Recurrence},
        variant::Variant,
    },
    rejection::Rejection,
};
use sea_orm::ConnectionTrait;
use serde::Serialize;

use super::{TemplateView, offer_of_tenant, store, variant::unknown};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog::{metric_ids_in, metric_keys_in},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
    subscription,
};

/// Most templates that a variant may ever have had, archived ones included; bounds what a boundary reads.
const MAX_HISTORY: usize = 500;

/// A template to create. Each field is explained at [`GrantTemplate`].
#[derive(Debug, Clone, Serialize)]
pub struct CreateTemplate {
    /// Of which variant.
    pub variant: VariantId,
    /// Credits per grant.
    pub credits: Credits,
    /// Once or always.
    pub recurrence: Recurrence,
    /// How often it grants; `None`: with every cycle.
    pub every: Option<Interval>,
    /// Where the credits come from.
    pub source: Source,
    /// How their use is billed; `None`: as the mode of the variant and the source say.
    pub billing: Option<Billing>,
    /// Higher burns first.
    pub priority: i32,
    /// When they end.
    pub expiry: Expiry,
    /// How much of what is left rolls over when the cycle ends.
    pub rollover: Percent,
    /// Most credits of this template that there may be after a grant; `None`: any.
    pub accumulation_cap: Option<Credits>,
    /// A further block of so much of the grant.
    pub bonus: Percent,
    /// Keys of the metrics that the credits may pay for; `None`: all.
    pub metric_keys: Option<Vec<String>>,
    /// Whether a trial gets it as well.
    pub in_trial: bool,
}

/// Adds a template to a variant. It grants at the boundaries that come from now on, to subscriptions that exist as well; so a variant
/// that is archived may still be given one.
///
/// # Errors
/// No such variant or metric, too many templates, or a part that cannot be.
pub async fn create_template(
    app: &App,
    actor: &Actor,
    input: CreateTemplate,
    key: &str,
) -> Result<Once<TemplateView>> {
    actor.require(Scope::CatalogWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createGrantTemplate", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let offer = lock(&mut op, actor.tenant, input.variant).await?;
    let metrics = match &input.metric_keys {
        Some(keys) => Some(metric_ids_in(op.tx(), actor.tenant, keys, "metricKeys").await?),
        None => None,
    };
    let keys = metrics.iter().flatten().copied();
    let keys = keys.zip(input.metric_keys.clone().unwrap_or_default()).collect();
    let template = new_template(&op, input, metrics);
    offer.check_new(&template, op.now())?;
    if offer.templates.len() >= MAX_HISTORY {
        let message = format!("a variant has at most {MAX_HISTORY} templates, archived ones included");
        return Err(Rejection::invalid("variantId", message).into());
    }
    store::insert_template(&op, actor.tenant, &template).await?;
    if template.every.is_some() {
        subscription::look_again_in(&op, template.variant).await?;
    }
    let done = fresh
        .settle(&op, TemplateView::new(template, &offer.variant, &keys))
        .await?;
    op.commit().await?;
    Ok(done)
}

/// Locks a variant, so that two who add to it count each other's templates, and reads what it offers.
async fn lock(op: &mut Op, tenant: TenantId, id: VariantId) -> Result<Offer> {
    if !store::lock_variant(op, tenant, id).await? {
        return Err(unknown().into());
    }
    // What was written while we waited was written before.
    op.refresh();
    let offer = offer_of_tenant(op.tx(), tenant, id).await?;
    Ok(offer.ok_or_else(unknown)?)
}

fn new_template(op: &Op, input: CreateTemplate, metrics: Option<Vec<MetricId>>) -> GrantTemplate {
    GrantTemplate {
        id: TemplateId(op.new_id()),
        variant: input.variant,
        credits: input.credits,
        recurrence: input.recurrence,
        every: input.every,
        source: input.source,
        billed: input.billing,
        priority: input.priority,
        expiry: input.expiry,
        rollover: input.rollover,
        accumulation_cap: input.accumulation_cap,
        bonus: input.bonus,
        metrics,
        in_trial: input.in_trial,
        created_at: op.now(),
        archived_at: None,
    }
}

/// Stops granting a template, for good; what it has granted stays. Archiving again changes nothing.
///
/// # Errors
/// No such template.
pub async fn archive_template(app: &App, actor: &Actor, id: TemplateId) -> Result<TemplateView> {
    actor.require(Scope::CatalogWrite)?;
    let gone = || Rejection::not_found("templateId", "grant template");
    let mut op = Op::begin(app).await?;
    let found = store::find_template(op.tx(), actor.tenant, id).await?;
    let variant = found.ok_or_else(gone)?.variant;
    let offer = lock(&mut op, actor.tenant, variant).await?;
    let mut template = offer.template(id).cloned().ok_or_else(gone)?;
    if template.archived_at.is_none() {
        template.archived_at = Some(op.now());
        store::archive_template(&op, id, op.now()).await?;
    }
    let view = named(op.tx(), actor.tenant, &offer.variant, vec![template])
        .await?
        .pop();
    op.commit().await?;
    Ok(view.ok_or_else(gone)?)
}

/// One template.
///
/// # Errors
/// The scope is missing.
pub async fn template(app: &App, actor: &Actor, id: TemplateId) -> Result<Option<TemplateView>> {
    actor.require(Scope::CatalogRead)?;
    let db = app.db().reader();
    let Some(template) = store::find_template(db, actor.tenant, id).await? else {
        return Ok(None);
    };
    let Some(offered) = store::find_variant(db, actor.tenant, template.variant).await? else {
        return Ok(None);
    };
    Ok(named(db, actor.tenant, &offered.variant, vec![template])
        .await?
        .pop())
}

/// The templates of a variant, oldest first, archived ones as well.
///
/// # Errors
/// The scope is missing, or no such variant.
pub async fn templates(
    app: &App,
    actor: &Actor,
    variant: VariantId,
    page: Page<TemplateId>,
) -> Result<Slice<TemplateView>> {
    actor.require(Scope::CatalogRead)?;
    let db = app.db().reader();
    let offered = store::find_variant(db, actor.tenant, variant).await?;
    let offered = offered.ok_or_else(unknown)?;
    let slice = store::list_templates(db, actor.tenant, variant, page).await?;
    let (has_previous, has_next) = (slice.has_previous, slice.has_next);
    Ok(Slice {
        items: named(db, actor.tenant, &offered.variant, slice.items).await?,
        has_previous,
        has_next,
    })
}

/// Templates of a variant together with the keys of their metrics. One statement.
async fn named(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    variant: &Variant,
    all: Vec<GrantTemplate>,
) -> Result<Vec<TemplateView>> {
    let metrics: Vec<MetricId> = all
        .iter()
        .flat_map(|it| it.metrics.iter().flatten().copied())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let keys: BTreeMap<_, _> = metric_keys_in(db, tenant, &metrics).await?;
    Ok(all
        .into_iter()
        .map(|template| TemplateView::new(template, variant, &keys))
        .collect())
}
