//! Plans: what is offered, in which variants, and the credits that they bring.

mod input;
mod object;

use app::{
    catalog::{self, PlanRef, TemplateView},
    idempotency::Once,
};
use async_graphql::{Context, ID, Object, SimpleObject};
use domain::{id::PlanId, rejection::Rejection};

pub(super) use self::input::variant_id;
pub use self::object::{GrantTemplate, Plan, PlanVariant};
use self::{
    input::{
        ArchiveGrantTemplateInput, ArchivePlanInput, ArchivePlanVariantInput, CreateGrantTemplateInput,
        CreatePlanInput, CreatePlanVariantInput, UpdatePlanInput,
    },
    object::GrantTemplateWarning,
};
use super::{
    caller,
    error::{UserError, top_level},
    page::{Args, Connection, connection, cost},
    payload::{payload, plain, settled},
};

/// Reads of plans.
#[derive(Default)]
pub struct PlanQuery;

#[Object]
impl PlanQuery {
    /// One plan by id or by key; null when there is none. Needs `catalog:read`.
    async fn plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the plan.")] id: Option<ID>,
        #[graphql(desc = "Key of the plan.")] key: Option<String>,
    ) -> async_graphql::Result<Option<Plan>> {
        let (app, actor) = caller(ctx)?;
        let who = match (id, key) {
            (Some(id), None) => match id.parse() {
                Ok(id) => PlanRef::Id(id),
                Err(_) => return Ok(None),
            },
            (None, Some(key)) => PlanRef::Key(key),
            _ => {
                let refused = Rejection::invalid("id", "name the plan by either `id` or `key`");
                return Err(top_level(app::Error::from(refused)));
            }
        };
        let found = catalog::plan(app, actor, &who).await.map_err(top_level)?;
        Ok(found.map(Plan::from))
    }

    /// The tenant's plans, oldest first, archived ones as well. Needs `catalog:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn plans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Plan>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<PlanId>()?;
        let slice = catalog::plans(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |plan| plan.id.to_string(), Plan::from))
    }

    /// One way to buy a plan; null when there is none of this id. Needs `catalog:read`.
    async fn plan_variant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the variant.")] id: ID,
    ) -> async_graphql::Result<Option<PlanVariant>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let found = catalog::variant(app, actor, id).await.map_err(top_level)?;
        Ok(found.map(PlanVariant::from))
    }
}

payload! {
    /// Result of `createPlan`.
    CreatePlanPayload {
        /// The plan; null when it was refused.
        plan: Plan
    }
}

payload! {
    /// Result of `updatePlan`.
    UpdatePlanPayload {
        /// The plan; null when it was refused.
        plan: Plan
    }
}

payload! {
    /// Result of `archivePlan`.
    ArchivePlanPayload {
        /// The plan; null when it was refused.
        plan: Plan
    }
}

payload! {
    /// Result of `createPlanVariant`.
    CreatePlanVariantPayload {
        /// The variant; null when it was refused.
        plan_variant: PlanVariant
    }
}

payload! {
    /// Result of `archivePlanVariant`.
    ArchivePlanVariantPayload {
        /// The variant; null when it was refused.
        plan_variant: PlanVariant
    }
}

payload! {
    /// Result of `archiveGrantTemplate`.
    ArchiveGrantTemplatePayload {
        /// The template; null when it was refused.
        grant_template: GrantTemplate
    }
}

/// Result of `createGrantTemplate`.
#[derive(SimpleObject)]
pub struct CreateGrantTemplatePayload {
    /// The template; null when it was refused.
    grant_template: Option<GrantTemplate>,
    /// What is allowed and probably not meant; the template was made all the same.
    warnings: Vec<GrantTemplateWarning>,
    /// Whether an earlier request with the same idempotency key produced this result.
    idempotent_replay: bool,
    /// What the caller must correct; empty on success.
    user_errors: Vec<UserError>,
}

impl CreateGrantTemplatePayload {
    fn from_outcome(outcome: app::Result<Once<TemplateView>>) -> async_graphql::Result<Self> {
        Ok(match settled(outcome)? {
            Ok(once) => Self {
                warnings: once
                    .value
                    .warning
                    .into_iter()
                    .map(GrantTemplateWarning::from)
                    .collect(),
                grant_template: Some(once.value.into()),
                idempotent_replay: once.replay,
                user_errors: Vec::new(),
            },
            Err(user_errors) => Self {
                grant_template: None,
                warnings: Vec::new(),
                idempotent_replay: false,
                user_errors,
            },
        })
    }
}

/// Writes of plans.
#[derive(Default)]
pub struct PlanMutation;

#[Object]
impl PlanMutation {
    /// Creates a plan without variants. Needs `catalog:write`.
    async fn create_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plan to create.")] input: CreatePlanInput,
    ) -> async_graphql::Result<CreatePlanPayload> {
        let (app, actor) = caller(ctx)?;
        let command = catalog::CreatePlan {
            key: input.key,
            name: input.name,
            description: input.description,
        };
        let outcome = catalog::create_plan(app, actor, command, &input.idempotency_key).await;
        CreatePlanPayload::from_outcome(outcome, Plan::from)
    }

    /// Changes the words of a plan. Needs `catalog:write`.
    async fn update_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdatePlanInput,
    ) -> async_graphql::Result<UpdatePlanPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok((who, command)) => catalog::update_plan(app, actor, &who, command).await,
            Err(error) => Err(error),
        };
        UpdatePlanPayload::from_outcome(plain(outcome), Plan::from)
    }

    /// Stops offering a plan with all its variants, for good. Subscriptions that have one keep it. Archiving again changes nothing.
    /// Needs `catalog:write`.
    async fn archive_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plan to archive.")] input: ArchivePlanInput,
    ) -> async_graphql::Result<ArchivePlanPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.plan() {
            Ok(who) => catalog::archive_plan(app, actor, &who).await,
            Err(error) => Err(error),
        };
        ArchivePlanPayload::from_outcome(plain(outcome), Plan::from)
    }

    /// Adds a variant to a plan. It brings no credits before it has grant templates, and it never changes. Needs `catalog:write`.
    async fn create_plan_variant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The variant to create.")] input: CreatePlanVariantInput,
    ) -> async_graphql::Result<CreatePlanVariantPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => catalog::create_variant(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        CreatePlanVariantPayload::from_outcome(outcome, PlanVariant::from)
    }

    /// Stops offering a variant, for good. Subscriptions that have it keep it. Archiving again changes nothing. Needs
    /// `catalog:write`.
    async fn archive_plan_variant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The variant to archive.")] input: ArchivePlanVariantInput,
    ) -> async_graphql::Result<ArchivePlanVariantPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match variant_id(&input.variant_id) {
            Ok(id) => catalog::archive_variant(app, actor, id).await,
            Err(error) => Err(error),
        };
        ArchivePlanVariantPayload::from_outcome(plain(outcome), PlanVariant::from)
    }

    /// Adds credits that a variant brings, at most 20 at a time. Subscriptions that exist get them from their next cycle on. Needs
    /// `catalog:write`.
    async fn create_grant_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The template to create.")] input: CreateGrantTemplateInput,
    ) -> async_graphql::Result<CreateGrantTemplatePayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => catalog::create_template(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        CreateGrantTemplatePayload::from_outcome(outcome)
    }

    /// Stops granting a template, for good; what it has granted stays. Archiving again changes nothing. Needs `catalog:write`.
    async fn archive_grant_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The template to archive.")] input: ArchiveGrantTemplateInput,
    ) -> async_graphql::Result<ArchiveGrantTemplatePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.template() {
            Ok(id) => catalog::archive_template(app, actor, id).await,
            Err(error) => Err(error),
        };
        ArchiveGrantTemplatePayload::from_outcome(plain(outcome), GrantTemplate::from)
    }
}
