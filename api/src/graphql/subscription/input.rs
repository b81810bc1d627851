//! What is said of subscriptions when they are made or changed.

use app::{
    error::Result,
    subscription::{CreateSubscription, Wish},
};
use async_graphql::{Enum, ID, InputObject};
use domain::{id::SubscriptionId, rejection::Rejection};

use crate::graphql::{
    customer::{customer_ref, metadata},
    plan::variant_id,
    scalar::{DateTime, Json},
};

/// A subscription's id; a text of another form names none.
pub(super) fn subscription_id(id: &ID) -> Result<SubscriptionId> {
    let id = id.parse();
    Ok(id.map_err(|_| Rejection::not_found("subscriptionId", "subscription"))?)
}

/// A subscription to create. Name the customer by `customerId` or `externalCustomerId`.
#[derive(InputObject)]
pub struct CreateSubscriptionInput {
    /// Global id of the customer.
    pub customer_id: Option<ID>,
    /// The vendor's own name for the customer.
    pub external_customer_id: Option<String>,
    /// Global id of the plan variant that is agreed to.
    pub variant_id: ID,
    /// The vendor's own name for the subscription, unique per tenant, 1 to 255 bytes.
    pub external_id: Option<String>,
    /// The vendor's own notes: a JSON object.
    pub metadata: Option<Json>,
    /// Billing day, 1 to 31: cycles begin at midnight of that day, and the first one is what is left until then. By default they
    /// begin at this time of this day.
    pub billing_anchor_day: Option<i32>,
    /// IANA time zone by whose calendar cycles begin and end, such as `Europe/Berlin`; UTC by default.
    pub time_zone: Option<String>,
    /// When the contract began; now by default. Goes with `contractEnd`.
    pub contract_start: Option<DateTime>,
    /// First instant after the contract: no cycle and no grant begins at or after it. Without it the contract does not end.
    pub contract_end: Option<DateTime>,
    /// How many calendar days before its end that is told, 0 to 366; not at all by default. Goes with `contractEnd`.
    pub contract_ending_soon_days: Option<i32>,
    /// Whether the fee of the first cycle of a prepaid plan has been paid elsewhere. Otherwise it is invoiced now, if the vendor makes
    /// invoices.
    #[graphql(default)]
    pub first_cycle_paid: bool,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CreateSubscriptionInput {
    pub(super) fn command(self) -> Result<CreateSubscription> {
        let metadata = self.metadata.map(metadata).transpose()?.unwrap_or_default();
        Ok(CreateSubscription {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            variant: variant_id(&self.variant_id)?,
            external_id: self.external_id,
            metadata: metadata.into_iter().collect(),
            billing_day: self.billing_anchor_day,
            zone: self.time_zone,
            contract_start: self.contract_start.map(|at| at.0),
            contract_end: self.contract_end.map(|at| at.0),
            contract_notice_days: self.contract_ending_soon_days,
            first_cycle_paid: self.first_cycle_paid,
        })
    }
}

macro_rules! plain_wish {
    ($($(#[$doc:meta])* $name:ident $wish:ident;)*) => {$(
        $(#[$doc])*
        #[derive(InputObject)]
        pub struct $name {
            /// Global id of the subscription.
            pub subscription_id: ID,
            /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
            pub idempotency_key: String,
        }

        impl $name {
            pub(super) fn command(&self) -> Result<(SubscriptionId, Wish)> {
                Ok((subscription_id(&self.subscription_id)?, Wish::$wish))
            }
        }
    )*};
}

plain_wish! {
    /// A prepaid subscription that has been paid.
    RenewSubscriptionInput Renew;
    /// A subscription to pause.
    PauseSubscriptionInput Pause;
    /// A subscription that is to go on.
    ResumeSubscriptionInput Resume;
}

/// When something takes effect.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// At once.
    Now,
    /// When the running cycle ends.
    NextCycle,
}

/// A subscription to cancel.
#[derive(InputObject)]
pub struct CancelSubscriptionInput {
    /// Global id of the subscription.
    pub subscription_id: ID,
    /// When it ends; with the running cycle by default, at once if that has ended. While overdue it can only end now. What ends with the cycle ends with the subscription.
    pub takes_effect: Option<TakesEffect>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CancelSubscriptionInput {
    pub(super) fn command(&self) -> Result<(SubscriptionId, Wish)> {
        let at_end = self.takes_effect != Some(TakesEffect::Now);
        Ok((subscription_id(&self.subscription_id)?, Wish::Cancel { at_end }))
    }
}

/// Another variant for a subscription.
#[derive(InputObject)]
pub struct ChangeSubscriptionPlanInput {
    /// Global id of the subscription.
    pub subscription_id: ID,
    /// Global id of the variant that it is to have.
    pub variant_id: ID,
    /// With the next cycle by default; now exchanges fee and credits of the time that is left, by the second.
    pub takes_effect: Option<TakesEffect>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl ChangeSubscriptionPlanInput {
    pub(super) fn command(&self) -> Result<(SubscriptionId, Wish)> {
        let wish = Wish::ChangePlan {
            to: variant_id(&self.variant_id)?,
            now: self.takes_effect == Some(TakesEffect::Now),
        };
        Ok((subscription_id(&self.subscription_id)?, wish))
    }
}

/// A later end for a contract.
#[derive(InputObject)]
pub struct ExtendContractInput {
    /// Global id of the subscription.
    pub subscription_id: ID,
    /// First instant after the contract; later than the present end, and in the future. An ended contract is revived: a cycle begins
    /// now, the billing day stays, and what was missed is not granted.
    pub contract_end: DateTime,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl ExtendContractInput {
    pub(super) fn command(&self) -> Result<(SubscriptionId, Wish)> {
        let wish = Wish::ExtendContract {
            end: self.contract_end.0,
        };
        Ok((subscription_id(&self.subscription_id)?, wish))
    }
}
