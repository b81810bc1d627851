//! Subscriptions: what customers have agreed to, their cycles, and what is told about them.

mod input;
mod object;

use app::{
    idempotency::Once,
    subscription::{self, SubscriptionView, Wish},
};
use async_graphql::{Context, ID, Object};
use domain::id::SubscriptionId;

use self::input::{
    CancelSubscriptionInput, ChangeSubscriptionPlanInput, CreateSubscriptionInput, ExtendContractInput,
    PauseSubscriptionInput, RenewSubscriptionInput, ResumeSubscriptionInput,
};
pub use self::object::{BillingCycle, PlanSubscription};
pub(super) use self::object::{cycles, subscriptions};
use super::{caller, error::top_level, payload::payload};

/// Reads of subscriptions.
#[derive(Default)]
pub struct SubscriptionQuery;

#[Object]
impl SubscriptionQuery {
    /// One subscription by id or by the vendor's own name; null when there is none. Needs `subscription:read`.
    async fn subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: Option<ID>,
        #[graphql(desc = "The vendor's own name.")] external_id: Option<String>,
    ) -> async_graphql::Result<Option<PlanSubscription>> {
        let (app, actor) = caller(ctx)?;
        let found = match (id, external_id) {
            (Some(id), None) => match id.parse() {
                Ok(id) => subscription::subscription(app, actor, id).await,
                Err(_) => return Ok(None),
            },
            (None, Some(name)) => subscription::subscription_by_external_id(app, actor, &name).await,
            _ => {
                let message = "name the subscription by either `id` or `externalId`";
                let refused = domain::rejection::Rejection::invalid("id", message);
                return Err(top_level(app::Error::from(refused)));
            }
        };
        Ok(found.map_err(top_level)?.map(PlanSubscription::from))
    }
}

payload! {
    /// Result of `createSubscription`.
    CreateSubscriptionPayload {
        /// The subscription; null when it was refused.
        subscription: PlanSubscription
    }
}

payload! {
    /// Result of a change of a subscription.
    ChangeSubscriptionPayload {
        /// The subscription afterwards; null when it was refused.
        subscription: PlanSubscription
    }
}

/// Does what is wanted of a subscription.
async fn change(
    ctx: &Context<'_>,
    command: app::Result<(SubscriptionId, Wish)>,
    key: &str,
) -> async_graphql::Result<ChangeSubscriptionPayload> {
    let (app, actor) = caller(ctx)?;
    let outcome: app::Result<Once<SubscriptionView>> = match command {
        Ok((id, wish)) => subscription::change(app, actor, id, wish, key).await,
        Err(error) => Err(error),
    };
    ChangeSubscriptionPayload::from_outcome(outcome, PlanSubscription::from)
}

/// Writes of subscriptions.
#[derive(Default)]
pub struct SubscriptionMutation;

#[Object]
impl SubscriptionMutation {
    /// Begins a subscription: its first cycle runs from now (or its trial), and its first grants are there with the answer. Needs
    /// `subscription:write`.
    async fn create_subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription to create.")] input: CreateSubscriptionInput,
    ) -> async_graphql::Result<CreateSubscriptionPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => subscription::create(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        CreateSubscriptionPayload::from_outcome(outcome, PlanSubscription::from)
    }

    /// Renews a prepaid subscription: the vendor has been paid. While it is overdue this pays the cycle that runs, whose grants are
    /// made now; otherwise the next one, which begins when it is time. Needs `subscription:write`.
    async fn renew_subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription to renew.")] input: RenewSubscriptionInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }

    /// Changes the plan: with the next cycle, or now with proration by the second. Changing to the present one takes a change with the
    /// next cycle back. Refused while the next cycle is paid already. Needs `subscription:write`.
    async fn change_subscription_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: ChangeSubscriptionPlanInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }

    /// Pauses an active subscription. The running cycle goes on to its end, and no cycle follows; checks refuse meanwhile. Needs
    /// `subscription:write`.
    async fn pause_subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription to pause.")] input: PauseSubscriptionInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }

    /// Goes on after a pause, or takes back a cancellation with the running cycle. If the cycle has ended meanwhile, a new one begins now;
    /// what was missed is not granted, and a prepaid one is overdue until it is renewed. Needs `subscription:write`.
    async fn resume_subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription that is to go on.")] input: ResumeSubscriptionInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }

    /// Cancels a subscription, with the running cycle or now. Bought credits stay. Needs `subscription:write`.
    async fn cancel_subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription to cancel.")] input: CancelSubscriptionInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }

    /// Moves the end of a contract to a later instant, also after it has ended. Needs `subscription:write`.
    async fn extend_contract(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new end.")] input: ExtendContractInput,
    ) -> async_graphql::Result<ChangeSubscriptionPayload> {
        change(ctx, input.command(), &input.idempotency_key).await
    }
}
