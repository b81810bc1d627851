//! How far a vendor trusts its customers.

use app::{
    error::Result,
    payment::{self, Trust},
};
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::{
    id::CustomerId,
    payment::trust::{self, MAX_TIERS},
};

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    money::{Money, MoneyInput},
    payload::{payload, plain},
    scalar::{DateTime, SafeInt},
};

/// A step of trust: who has paid more, and for longer, may buy more at once.
#[derive(SimpleObject)]
pub struct TrustTier {
    /// The vendor's name for it.
    pub key: String,
    /// Largest purchase; null: as far as the other limits go.
    pub maximum: Option<Money>,
    /// What a customer has to have paid in all, without what has gone back; null: nothing.
    pub minimum_paid: Option<Money>,
    /// How many days ago its first payment has to have been; 0: there need not be one.
    pub minimum_days: SafeInt,
}

impl From<trust::TrustTier> for TrustTier {
    fn from(tier: trust::TrustTier) -> Self {
        Self {
            key: tier.key,
            maximum: tier.maximum.map(Money::from),
            minimum_paid: tier.paid.map(Money::from),
            minimum_days: SafeInt(tier.days),
        }
    }
}

/// A step of trust.
#[derive(InputObject)]
pub struct TrustTierInput {
    /// The vendor's name for it: 1 to 100 letters, digits, `-`, `_` and `.`.
    pub key: String,
    /// Largest purchase, in the currency of the credit price; left out: as far as the other limits go.
    pub maximum: Option<MoneyInput>,
    /// What a customer has to have paid in all, without what has gone back; left out: nothing.
    pub minimum_paid: Option<MoneyInput>,
    /// How many days ago its first payment has to have been, at most 3,660; 0: there need not be one.
    #[graphql(default_with = "SafeInt(0)")]
    pub minimum_days: SafeInt,
}

/// The tiers that are to be written.
pub(super) fn tiers(inputs: Vec<TrustTierInput>) -> Result<Vec<trust::TrustTier>> {
    // More than can be are not read.
    let tiers = inputs.into_iter().take(MAX_TIERS + 1).enumerate();
    tiers.map(|(place, input)| input.tier(place)).collect()
}

impl TrustTierInput {
    fn tier(self, place: usize) -> Result<trust::TrustTier> {
        let money = |money: Option<MoneyInput>, field: &str| {
            let field = format!("trustTiers.{place}.{field}");
            money.map(|it| it.money(&field)).transpose()
        };
        Ok(trust::TrustTier {
            maximum: money(self.maximum, "maximum")?,
            paid: money(self.minimum_paid, "minimumPaid")?,
            key: self.key,
            days: self.minimum_days.0,
        })
    }
}

/// How far a customer is trusted.
#[derive(SimpleObject)]
pub struct CustomerTrust {
    /// The customer's tier.
    pub tier: TrustTier,
    /// Whether somebody has chosen it (see `setTrustTier`); otherwise the customer has reached it.
    pub is_chosen: bool,
    /// What was paid in the currency of the credit price, without what has gone back or is disputed.
    pub paid: Money,
    /// When the first payment succeeded; null: none has.
    pub first_paid_at: Option<DateTime>,
}

impl From<Trust> for CustomerTrust {
    fn from(trust: Trust) -> Self {
        Self {
            tier: trust.tier.into(),
            is_chosen: trust.is_chosen,
            paid: trust.paid.into(),
            first_paid_at: trust.first_paid_at.map(DateTime),
        }
    }
}

/// How far a customer is trusted; none where the vendor has no tiers.
pub(super) async fn customer_trust(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<Option<CustomerTrust>> {
    let (app, actor) = caller(ctx)?;
    let found = payment::trust(app, actor, customer).await.map_err(top_level)?;
    Ok(found.map(CustomerTrust::from))
}

/// A tier to choose for a customer.
#[derive(InputObject)]
pub struct SetTrustTierInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// The key of the tier; left out: the one that the customer has reached.
    pub tier: Option<String>,
}

payload! {
    /// Result of `setTrustTier`.
    SetTrustTierPayload {
        /// How far the customer is trusted from now on; null when it was refused.
        trust: CustomerTrust
    }
}

/// Writes of trust.
#[derive(Default)]
pub struct TrustMutation;

#[Object]
impl TrustMutation {
    /// Chooses a customer's tier of trust, whatever it has paid, or leaves it to what the customer has reached. Payments that were decided
    /// before go on. Needs `payment:write`, for all customers.
    async fn set_trust_tier(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which tier, and for whom.")] input: SetTrustTierInput,
    ) -> async_graphql::Result<SetTrustTierPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match customer_ref(input.customer_id, input.external_customer_id) {
            Ok(who) => payment::set_trust(app, actor, &who, input.tier.as_deref()).await,
            Err(error) => Err(error),
        };
        SetTrustTierPayload::from_outcome(plain(outcome), CustomerTrust::from)
    }
}
