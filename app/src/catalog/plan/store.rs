//! The SQL of plans, variants and templates.

use std::collections::{BTreeSet, HashMap};

use domain::{
    id::{PlanId, TemplateId, TenantId, VariantId},
    plan::{Offer, Plan, template::GrantTemplate, variant::Variant},
    time::Timestamp,
};
use entity::{grant_template, plan, plan_variant, to_text};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockType, OnConflict},
};
use uuid::Uuid;

use super::PlanRef;
use crate::{
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{among, is_storable},
};

/// A variant as it is offered: archived when it or its plan is.
pub(super) struct Offered {
    pub(super) variant: Variant,
    pub(super) created_at: Timestamp,
}

/// Writes a plan; `false` when its key is taken.
pub(super) async fn insert_plan(op: &Op, tenant: TenantId, plan: &Plan) -> Result<bool> {
    let row = plan::ActiveModel {
        id: Set(plan.id.0),
        tenant_id: Set(tenant.0),
        key: Set(plan.key.clone()),
        name: Set(plan.name.clone()),
        description: Set(plan.description.clone()),
        created_at: Set(plan.created_at.micros()),
        archived_at: Set(None),
    };
    let written = plan::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(written == 1)
}

pub(super) async fn update_plan(op: &Op, plan: &Plan) -> Result<()> {
    let row = plan::ActiveModel {
        id: Set(plan.id.0),
        name: Set(plan.name.clone()),
        description: Set(plan.description.clone()),
        archived_at: Set(plan.archived_at.map(Timestamp::micros)),
        ..Default::default()
    };
    plan::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

/// The plan that is named; `None` when the tenant has none of this name.
fn one_plan(tenant: TenantId, who: &PlanRef) -> Option<sea_orm::Select<plan::Entity>> {
    let all = plan::Entity::find().filter(plan::Column::TenantId.eq(tenant.0));
    match who {
        PlanRef::Id(id) => Some(all.filter(plan::Column::Id.eq(id.0))),
        PlanRef::Key(key) => is_storable(key).then(|| all.filter(plan::Column::Key.eq(key))),
    }
}

pub(super) async fn find_plan(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    who: &PlanRef,
) -> Result<Option<Plan>> {
    let Some(select) = one_plan(tenant, who) else {
        return Ok(None);
    };
    Ok(select.one(db).await?.as_ref().map(Plan::from))
}

pub(super) async fn lock_plan(op: &Op, tenant: TenantId, who: &PlanRef) -> Result<Option<Plan>> {
    let Some(select) = one_plan(tenant, who) else {
        return Ok(None);
    };
    Ok(select
        .lock_exclusive()
        .one(op.tx())
        .await?
        .as_ref()
        .map(Plan::from))
}

pub(super) async fn list_plans(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<PlanId>,
) -> Result<Slice<Plan>> {
    let all = plan::Entity::find().filter(plan::Column::TenantId.eq(tenant.0));
    page.map(|id| id.0)
        .read(ordered(all, plan::Column::Id), db)
        .await?
        .try_map(|row| Ok(Plan::from(&row)))
}

pub(super) async fn insert_variant(op: &Op, tenant: TenantId, variant: &Variant) -> Result<()> {
    let row = plan_variant::ActiveModel {
        id: Set(variant.id.0),
        tenant_id: Set(tenant.0),
        plan_id: Set(variant.plan.0),
        name: Set(variant.name.clone()),
        terms: Set(serde_json::to_string(variant)?),
        late: Set(to_text(variant.late)),
        created_at: Set(op.now().micros()),
        archived_at: Set(None),
    };
    plan_variant::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn archive_variant(op: &Op, id: VariantId, at: Timestamp) -> Result<()> {
    let row = plan_variant::ActiveModel {
        id: Set(id.0),
        archived_at: Set(Some(at.micros())),
        ..Default::default()
    };
    plan_variant::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

fn variants_of_tenant(tenant: TenantId) -> sea_orm::Select<plan_variant::Entity> {
    plan_variant::Entity::find().filter(plan_variant::Column::TenantId.eq(tenant.0))
}

/// Locks a variant: whoever adds to it comes one after the other. Rows that refer to it may be written meanwhile: a step of a subscription
/// that begins a cycle holds rows for which the one who adds a template waits.
pub(super) async fn lock_variant(op: &Op, tenant: TenantId, id: VariantId) -> Result<bool> {
    let row = variants_of_tenant(tenant)
        .filter(plan_variant::Column::Id.eq(id.0))
        .lock(LockType::NoKeyUpdate)
        .one(op.tx())
        .await?;
    Ok(row.is_some())
}

/// One variant as it is offered. Two statements.
pub(super) async fn find_variant(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: VariantId,
) -> Result<Option<Offered>> {
    let row = variants_of_tenant(tenant)
        .filter(plan_variant::Column::Id.eq(id.0))
        .one(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let plan = plan::Entity::find_by_id(row.plan_id).one(db).await?;
    let plan_ended = plan.and_then(|plan| plan.archived_at);
    offered(&row, plan_ended.map(Timestamp::from_micros)).map(Some)
}

/// The variants of a plan, oldest first.
pub(super) async fn list_variants(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    plan: &Plan,
    page: Page<VariantId>,
) -> Result<Slice<Offered>> {
    let all = variants_of_tenant(tenant).filter(plan_variant::Column::PlanId.eq(plan.id.0));
    page.map(|id| id.0)
        .read(ordered(all, plan_variant::Column::Id), db)
        .await?
        .try_map(|row| offered(&row, plan.archived_at))
}

/// A variant that ends with its plan, if not before.
fn offered(row: &plan_variant::Model, plan_ended: Option<Timestamp>) -> Result<Offered> {
    let own = Variant::try_from(row)?;
    Ok(Offered {
        created_at: Timestamp::from_micros(row.created_at),
        variant: Variant {
            archived_at: [own.archived_at, plan_ended].into_iter().flatten().min(),
            ..own
        },
    })
}

/// The variants of templates. One statement.
pub(super) async fn variants_behind(
    db: &impl ConnectionTrait,
    templates: &BTreeSet<TemplateId>,
) -> Result<Vec<VariantId>> {
    let ids: Vec<Uuid> = grant_template::Entity::find()
        .select_only()
        .distinct()
        .column(grant_template::Column::VariantId)
        .filter(among(
            db,
            grant_template::Column::Id,
            templates.iter().map(|id| id.0),
        ))
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(VariantId).collect())
}

/// Variants by id with all their templates. Two statements.
pub(super) async fn offers(
    db: &impl ConnectionTrait,
    variants: &[VariantId],
) -> Result<HashMap<VariantId, Offer>> {
    if variants.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = variants.iter().map(|variant| variant.0);
    let rows = plan_variant::Entity::find()
        .filter(among(db, plan_variant::Column::Id, ids))
        .all(db)
        .await?;
    let mut offers = HashMap::with_capacity(rows.len());
    for row in &rows {
        let variant = Variant::try_from(row)?;
        let templates = Vec::new();
        offers.insert(variant.id, Offer { variant, templates });
    }
    for (variant, template) in templates_of(db, variants).await? {
        if let Some(offer) = offers.get_mut(&variant) {
            offer.templates.push(template);
        }
    }
    Ok(offers)
}

/// The templates of variants, oldest first.
pub(super) async fn templates_of(
    db: &impl ConnectionTrait,
    variants: &[VariantId],
) -> Result<Vec<(VariantId, GrantTemplate)>> {
    let rows = grant_template::Entity::find()
        .filter(among(
            db,
            grant_template::Column::VariantId,
            variants.iter().map(|variant| variant.0),
        ))
        .order_by_asc(grant_template::Column::Id)
        .all(db)
        .await?;
    rows.iter()
        .map(|row| Ok((VariantId(row.variant_id), GrantTemplate::try_from(row)?)))
        .collect()
}

fn templates_of_tenant(tenant: TenantId) -> sea_orm::Select<grant_template::Entity> {
    grant_template::Entity::find().filter(grant_template::Column::TenantId.eq(tenant.0))
}

pub(super) async fn find_template(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: TemplateId,
) -> Result<Option<GrantTemplate>> {
    let row = templates_of_tenant(tenant)
        .filter(grant_template::Column::Id.eq(id.0))
        .one(db)
        .await?;
    Ok(row.as_ref().map(GrantTemplate::try_from).transpose()?)
}

pub(super) async fn list_templates(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    variant: VariantId,
    page: Page<TemplateId>,
) -> Result<Slice<GrantTemplate>> {
    let all = templates_of_tenant(tenant).filter(grant_template::Column::VariantId.eq(variant.0));
    page.map(|id| id.0)
        .read(ordered(all, grant_template::Column::Id), db)
        .await?
        .try_map(|row| Ok(GrantTemplate::try_from(&row)?))
}

pub(super) async fn insert_template(op: &Op, tenant: TenantId, template: &GrantTemplate) -> Result<()> {
    let row = grant_template::ActiveModel {
        id: Set(template.id.0),
        tenant_id: Set(tenant.0),
        variant_id: Set(template.variant.0),
        terms: Set(serde_json::to_string(template)?),
        created_at: Set(template.created_at.micros()),
        archived_at: Set(None),
    };
    grant_template::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn archive_template(op: &Op, id: TemplateId, at: Timestamp) -> Result<()> {
    let row = grant_template::ActiveModel {
        id: Set(id.0),
        archived_at: Set(Some(at.micros())),
        ..Default::default()
    };
    grant_template::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}
