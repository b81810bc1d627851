//! Purchases on a page of the provider's.

use app::{
    error::Result,
    payment::{self, Purchase},
};
use async_graphql::{Context, ID, InputObject, Object};
use domain::{
    payment::{Checkout, Way},
    rejection::Rejection,
};

use super::{
    caller,
    customer::customer_ref,
    money::MoneyInput,
    payload::{payload, plain},
    payment::{Payment, PaymentMethodKind, SandboxCard},
};

/// A page of the provider's on which something is paid within a day.
#[derive(InputObject)]
pub struct PayPageInput {
    /// Among which kinds of ways to pay the customer can choose there; each once, at least one.
    #[graphql(default_with = "vec![PaymentMethodKind::Card]")]
    pub kinds: Vec<PaymentMethodKind>,
    /// Where the page sends the customer afterwards: an address that begins with `https://` or `http://`.
    pub return_url: Option<String>,
}

impl PayPageInput {
    pub(super) fn checkout(&self) -> Checkout {
        Checkout {
            kinds: self.kinds.iter().copied().map(Into::into).collect(),
            return_url: self.return_url.clone(),
        }
    }
}

/// Credits to buy on a page of the provider's.
#[derive(InputObject)]
pub struct StartCheckoutInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// For how much, within the limits of the vendor and of the customer's plans.
    pub amount: MoneyInput,
    /// Among which kinds of ways to pay the customer can choose there; each once, at least one.
    #[graphql(default_with = "vec![PaymentMethodKind::Card]")]
    pub kinds: Vec<PaymentMethodKind>,
    /// Where the page sends the customer afterwards: an address that begins with `https://` or `http://`.
    pub return_url: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl StartCheckoutInput {
    fn command(self) -> Result<Purchase> {
        Ok(Purchase {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            amount: self.amount.money("amount")?,
            way: Way::Page(Checkout {
                kinds: self.kinds.into_iter().map(Into::into).collect(),
                return_url: self.return_url,
            }),
        })
    }
}

payload! {
    /// Result of `startCheckout`.
    StartCheckoutPayload {
        /// The payment; null when it was refused. Send the customer to its `actionUrl`; while that is null the provider has not answered
        /// yet: ask `payment` again. The sandbox has no page: see `completeSandboxCheckout`.
        payment: Payment
    }
}

/// A card with which to pay on a page of the sandbox.
#[derive(InputObject)]
pub struct CompleteSandboxCheckoutInput {
    /// Global id of the payment.
    pub payment_id: ID,
    /// Which card.
    pub card: SandboxCard,
}

payload! {
    /// Result of `completeSandboxCheckout`.
    CompleteSandboxCheckoutPayload {
        /// The payment afterwards; null when it was refused.
        payment: Payment
    }
}

/// Writes of purchases on a page.
#[derive(Default)]
pub struct CheckoutMutation;

#[Object]
impl CheckoutMutation {
    /// Buys credits on a page of the provider's, where the customer pays within a day: with a card, from a bank account or on a blockchain,
    /// as the provider has it. The credits are granted in the moment in which the payment succeeds. Needs `payment:write`.
    async fn start_checkout(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much, and from whom.")] input: StartCheckoutInput,
    ) -> async_graphql::Result<StartCheckoutPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => payment::purchase(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        StartCheckoutPayload::from_outcome(outcome, Payment::from)
    }

    /// Does what a customer would do on the page of a checkout at the sandbox: pays with a card. One that is declined leaves the page open
    /// for another. Needs `payment:write`.
    async fn complete_sandbox_checkout(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payment, and with which card.")] input: CompleteSandboxCheckoutInput,
    ) -> async_graphql::Result<CompleteSandboxCheckoutPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.payment_id.parse() {
            Ok(id) => payment::complete_checkout(app, actor, id, input.card.into()).await,
            Err(_) => Err(Rejection::not_found("paymentId", "payment").into()),
        };
        CompleteSandboxCheckoutPayload::from_outcome(plain(outcome), Payment::from)
    }
}
