//! Money of payments that goes back: refunds and disputes.

use app::{
    error::Result,
    payment::{self, Bank, RefundPayment},
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{
    payment::returned::{Kind, Return, State},
    rejection::Rejection,
};

use super::{
    caller,
    money::{Money, MoneyInput},
    payload::{payload, plain},
    payment::Payment,
    scalar::{DateTime, Decimal},
};

/// Who wants money back. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum PaymentReturnKind {
    /// The vendor gives it back.
    Refund,
    /// The customer's bank takes it back.
    Dispute,
}

/// How far money that goes back has come. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum PaymentReturnState {
    /// Decided, and not sent to the provider yet.
    Created,
    /// A refund: the provider may have it, or is at work. A dispute: the bank asks, and no money has moved.
    Pending,
    /// A dispute: the money is gone for now, and the bank decides where it stays.
    Contested,
    /// The money went back.
    Returned,
    /// The money stays with the vendor: the refund could not be made, or the dispute was won.
    Undone,
}

/// Money of a payment that goes back, and the credits with it.
#[derive(SimpleObject)]
pub struct PaymentReturn {
    /// Global id.
    pub id: ID,
    /// Global id of the payment.
    pub payment_id: ID,
    /// Who wants it.
    pub kind: PaymentReturnKind,
    /// How far it has come.
    pub state: PaymentReturnState,
    /// How much.
    pub amount: Money,
    /// Credits that were taken for it, and not given again. Those that were used already have become overdraft.
    pub credits: Decimal,
    /// Why; null: nobody has said.
    pub reason: Option<String>,
    /// The provider's own name for it; null: not known yet.
    pub provider_reference: Option<String>,
    /// When we first knew of it.
    pub created_at: DateTime,
    /// When it ended; null: it has not.
    pub ended_at: Option<DateTime>,
}

impl From<Return> for PaymentReturn {
    fn from(it: Return) -> Self {
        Self {
            id: it.id.to_string().into(),
            payment_id: it.payment.to_string().into(),
            kind: it.kind.into(),
            state: it.state.into(),
            amount: it.amount.into(),
            credits: it.credits.into(),
            reason: it.reason,
            provider_reference: it.reference,
            created_at: it.created_at.into(),
            ended_at: it.ended_at.map(DateTime),
        }
    }
}

/// Money to give back.
#[derive(InputObject)]
pub struct RefundPaymentInput {
    /// Global id of the payment.
    pub payment_id: ID,
    /// How much, in the currency of the payment; left out: all that has not gone back yet.
    pub amount: Option<MoneyInput>,
    /// A line on why.
    pub reason: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl RefundPaymentInput {
    fn command(self) -> Result<RefundPayment> {
        let unknown = |_| Rejection::not_found("paymentId", "payment");
        Ok(RefundPayment {
            payment: self.payment_id.parse().map_err(unknown)?,
            amount: self.amount.map(|it| it.money("amount")).transpose()?,
            reason: self.reason,
        })
    }
}

payload! {
    /// Result of `refundPayment`.
    RefundPaymentPayload {
        /// The refund, as it was decided; null when it was refused. Ask `payment` for how it goes on.
        payment_return: PaymentReturn
    }
}

/// What the bank of a customer does about a payment.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Bank")]
pub enum SandboxBank {
    /// It asks what the payment was for; no money moves.
    Asks,
    /// It takes the money back, and decides later.
    Disputes,
    /// It decides for the customer.
    Decides,
    /// It decides for the vendor.
    Dismisses,
}

/// What the sandbox's bank is to do.
#[derive(InputObject)]
pub struct DisputeSandboxPaymentInput {
    /// Global id of the payment.
    pub payment_id: ID,
    /// What it does.
    pub bank: SandboxBank,
}

payload! {
    /// Result of `disputeSandboxPayment`.
    DisputeSandboxPaymentPayload {
        /// The payment afterwards; null when it was refused.
        payment: Payment
    }
}

/// Writes of money that goes back.
#[derive(Default)]
pub struct RefundMutation;

#[Object]
impl RefundMutation {
    /// Gives money of a payment back, whole or in part. The credits that it became are taken at once, in proportion: what remains of them,
    /// then other credits, and what was used already becomes overdraft. The provider is asked afterwards; should it not give the money
    /// back, the credits are given again. The customer's auto-recharge is switched off. Needs `payment:write`.
    async fn refund_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and how much.")] input: RefundPaymentInput,
    ) -> async_graphql::Result<RefundPaymentPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => payment::refund(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        RefundPaymentPayload::from_outcome(outcome, PaymentReturn::from)
    }

    /// Does what the bank of a customer would do about a payment of the sandbox. Needs `payment:write`.
    async fn dispute_sandbox_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payment, and what.")] input: DisputeSandboxPaymentInput,
    ) -> async_graphql::Result<DisputeSandboxPaymentPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.payment_id.parse() {
            Ok(id) => payment::dispute_payment(app, actor, id, input.bank.into()).await,
            Err(_) => Err(Rejection::not_found("paymentId", "payment").into()),
        };
        DisputeSandboxPaymentPayload::from_outcome(plain(outcome), Payment::from)
    }
}
