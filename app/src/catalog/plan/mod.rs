//! Plans: what a vendor offers, in variants, and the credits that they bring.
//!
//! What was offered never changes. A variant or template is written once and archived when it is offered no longer; subscriptions
//! that have it keep it. So nothing here looks at subscriptions, and nothing is ever deleted.

mod store;
mod template;
mod variant;
mod view;

use std::collections::{BTreeSet, HashMap};

use domain::{
    id::{MetricId, PlanId, TemplateId, TenantId, VariantId},
    plan::{Offer, Plan, money_price::MoneyPrice},
    rejection::{Rejection, RejectionCode},
};
use sea_orm::ConnectionTrait;
use serde::Serialize;

pub use self::{
    template::{CreateTemplate, archive_template, create_template, template, templates},
    variant::{CreateVariant, archive_variant, create_variant, variant, variants},
    view::{TemplateView, VariantView},
};
use super::check_key;
use crate::{
    App,
    access::check_name,
    actor::{Actor, Scope},
    customer::Change,
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
};

/// Longest description of a plan, in bytes: a paragraph.
const MAX_DESCRIPTION: usize = 1_000;

/// How a request names a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PlanRef {
    /// By our id.
    Id(PlanId),
    /// By the vendor's own name.
    Key(String),
}

impl PlanRef {
    /// There is no such plan.
    fn unknown(&self) -> Rejection {
        Rejection::not_found(self.field(), "plan")
    }

    /// The field of an input that names it.
    fn field(&self) -> &'static str {
        match self {
            Self::Id(_) => "planId",
            Self::Key(_) => "planKey",
        }
    }
}

/// A plan to create.
#[derive(Debug, Clone, Serialize)]
pub struct CreatePlan {
    /// The vendor's own name for it, unique per tenant: lower-case letters, digits, `_`, `-`, `.`.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// More words for people, at most 1,000 bytes.
    pub description: Option<String>,
}

/// Creates a plan without variants.
///
/// # Errors
/// A key that is taken or malformed, a name that is empty or too long, a description that is too long.
pub async fn create_plan(app: &App, actor: &Actor, input: CreatePlan, key: &str) -> Result<Once<Plan>> {
    actor.require(Scope::CatalogWrite)?;
    check_key("plan", &input.key)?;
    check_words(&input.name, input.description.as_deref())?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createPlan", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let plan = Plan {
        id: PlanId(op.new_id()),
        key: input.key,
        name: input.name,
        description: input.description,
        created_at: op.now(),
        archived_at: None,
    };
    if !store::insert_plan(&op, actor.tenant, &plan).await? {
        let message = format!("a plan with the key `{}` exists", plan.key);
        return Err(Rejection::new(RejectionCode::AlreadyExists, "key", message).into());
    }
    let done = fresh.settle(&op, plan).await?;
    op.commit().await?;
    Ok(done)
}

/// What to change of a plan; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UpdatePlan {
    /// Name for people.
    pub name: Option<String>,
    /// More words for people.
    pub description: Change<String>,
}

/// Changes the words of a plan. Its key never changes, and what its variants offer neither.
///
/// # Errors
/// No such plan, a name that is empty or too long, a description that is too long.
pub async fn update_plan(app: &App, actor: &Actor, who: &PlanRef, input: UpdatePlan) -> Result<Plan> {
    actor.require(Scope::CatalogWrite)?;
    let op = Op::begin(app).await?;
    let mut plan = lock(&op, actor.tenant, who).await?;
    plan.name = input.name.unwrap_or(plan.name);
    plan.description = input.description.unwrap_or(plan.description);
    check_words(&plan.name, plan.description.as_deref())?;
    store::update_plan(&op, &plan).await?;
    op.commit().await?;
    Ok(plan)
}

/// Stops offering a plan with all its variants, for good. Subscriptions that have one keep it. Archiving again changes nothing.
///
/// # Errors
/// No such plan.
pub async fn archive_plan(app: &App, actor: &Actor, who: &PlanRef) -> Result<Plan> {
    actor.require(Scope::CatalogWrite)?;
    let mut op = Op::begin(app).await?;
    let mut plan = lock(&op, actor.tenant, who).await?;
    op.refresh();
    if plan.archived_at.is_none() {
        plan.archived_at = Some(op.now());
        store::update_plan(&op, &plan).await?;
    }
    op.commit().await?;
    Ok(plan)
}

async fn lock(op: &Op, tenant: TenantId, who: &PlanRef) -> Result<Plan> {
    let plan = store::lock_plan(op, tenant, who).await?;
    Ok(plan.ok_or_else(|| who.unknown())?)
}

/// One plan.
///
/// # Errors
/// The scope is missing.
pub async fn plan(app: &App, actor: &Actor, who: &PlanRef) -> Result<Option<Plan>> {
    actor.require(Scope::CatalogRead)?;
    store::find_plan(app.db().reader(), actor.tenant, who).await
}

/// The tenant's plans, oldest first, archived ones as well.
///
/// # Errors
/// The scope is missing.
pub async fn plans(app: &App, actor: &Actor, page: Page<PlanId>) -> Result<Slice<Plan>> {
    actor.require(Scope::CatalogRead)?;
    store::list_plans(app.db().reader(), actor.tenant, page).await
}

/// What variants offer, with templates oldest first, archived ones as well. Two statements for any number.
///
/// A variant is archived here only if it was archived by itself: what was agreed to does not depend on it.
pub(crate) async fn offers_in(
    db: &impl ConnectionTrait,
    variants: &[VariantId],
) -> Result<HashMap<VariantId, Offer>> {
    store::offers(db, variants).await
}

/// What the variants of some templates offer. Three statements, none when there are no templates.
pub(crate) async fn offers_behind(
    db: &impl ConnectionTrait,
    templates: &BTreeSet<TemplateId>,
) -> Result<HashMap<VariantId, Offer>> {
    if templates.is_empty() {
        return Ok(HashMap::new());
    }
    let variants = store::variants_behind(db, templates).await?;
    store::offers(db, &variants).await
}

/// What a tenant's variant offers now: it counts as archived when its plan is. `None`: the tenant has no such variant.
pub(crate) async fn offer_of_tenant(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: VariantId,
) -> Result<Option<Offer>> {
    let Some(found) = store::find_variant(db, tenant, id).await? else {
        return Ok(None);
    };
    let templates = store::templates_of(db, &[id]).await?;
    Ok(Some(Offer {
        variant: found.variant,
        templates: templates.into_iter().map(|(_, template)| template).collect(),
    }))
}

/// What a metric costs in the money of a tenant's variant; `None`: it has no such price.
///
/// # Errors
/// No such variant.
pub(super) async fn money_price(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    variant: VariantId,
    metric: MetricId,
) -> Result<Option<MoneyPrice>> {
    let found = store::find_variant(db, tenant, variant).await?;
    let mut found = found.ok_or_else(variant::unknown)?;
    Ok(found.variant.money_prices.remove(&metric))
}

fn check_words(name: &str, description: Option<&str>) -> Result<()> {
    check_name("name", name)?;
    let fine =
        |text: &str| text.len() <= MAX_DESCRIPTION && !text.chars().any(|it| it.is_control() && it != '\n');
    if description.is_some_and(|text| !fine(text)) {
        let message = format!("at most {MAX_DESCRIPTION} bytes without control characters");
        return Err(Rejection::invalid("description", message).into());
    }
    Ok(())
}
