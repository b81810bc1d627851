//! Payments: how credits are sold, ways to pay, purchases.

use std::sync::Arc;

use app::{
    error::Result,
    payment::{self, MethodSetup, Purchase, Setting, StartSetup, UpdateSetting},
};
use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject, dataloader::DataLoader,
};
use domain::{
    id::{CustomerId, PaymentId},
    payment::{
        Purpose, State, Way,
        decline::Decline,
        method::{Kind, Method},
        sale::Sale,
    },
    plan::variant::PurchaseLimits,
    rejection::Rejection,
};
use gateway::payment::sandbox::Card;

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    loader::Returns,
    money::{CreditPrice, CreditPriceInput, Money, MoneyInput},
    page::{Args, Connection, connection},
    payload::{payload, plain},
    refund::PaymentReturn,
    scalar::{DateTime, Decimal, SafeInt},
    trust::{TrustTier, TrustTierInput, tiers},
};

/// How the vendor sells credits.
#[derive(SimpleObject)]
pub struct PaymentSettings {
    /// Key of the payment provider, such as `sandbox`.
    pub provider: String,
    /// What one credit costs where a customer's plan does not say otherwise.
    pub credit_price: CreditPrice,
    /// Smallest purchase; null: any.
    pub minimum: Option<Money>,
    /// Largest purchase; null: any.
    pub maximum: Option<Money>,
    /// How long bought credits last, in seconds; null: for ever.
    pub credits_expire_after_seconds: Option<SafeInt>,
    /// Tiers of trust, lowest first; none: everybody may buy alike.
    pub trust_tiers: Vec<TrustTier>,
    /// Since when no auto-recharge charges: see `stopAllAutoRecharge`; null: they do.
    pub auto_recharge_stopped_at: Option<DateTime>,
    /// When the other settings last changed.
    pub updated_at: DateTime,
}

impl From<Setting> for PaymentSettings {
    fn from(setting: Setting) -> Self {
        let PurchaseLimits { minimum, maximum } = setting.sale.limits;
        Self {
            provider: setting.provider,
            credit_price: setting.sale.price.into(),
            minimum: minimum.map(Money::from),
            maximum: maximum.map(Money::from),
            credits_expire_after_seconds: setting.sale.lasts_seconds.map(SafeInt),
            trust_tiers: setting.sale.tiers.into_iter().map(TrustTier::from).collect(),
            auto_recharge_stopped_at: setting.recharge_stopped_at.map(DateTime),
            updated_at: setting.updated_at.into(),
        }
    }
}

/// What kind of thing a way to pay is. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum PaymentMethodKind {
    /// A credit or debit card.
    Card,
    /// A debit of a bank account.
    BankDebit,
    /// Money on a blockchain: paid on a page of the provider's, never kept.
    Crypto,
}

/// A way to pay that a customer has left with the provider. What is secret about it never comes here.
#[derive(SimpleObject)]
pub struct PaymentMethod {
    /// Global id.
    pub id: ID,
    /// Key of the payment provider.
    pub provider: String,
    /// What kind of thing it is.
    pub kind: PaymentMethodKind,
    /// Of which make, such as `visa`.
    pub brand: String,
    /// The last four digits of its number.
    pub last_four: String,
    /// Whose name is on it.
    pub holder: Option<String>,
    /// Last year in which it is good, such as 2030; null: it does not expire.
    pub expiry_year: Option<i32>,
    /// Last month of that year in which it is good, 1 to 12.
    pub expiry_month: Option<i32>,
    /// Whether it is used when none is named.
    pub is_default: bool,
    /// When it was added.
    pub created_at: DateTime,
}

impl From<Method> for PaymentMethod {
    fn from(method: Method) -> Self {
        Self {
            id: method.id.to_string().into(),
            provider: method.provider,
            kind: method.face.kind.into(),
            brand: method.face.brand,
            last_four: method.face.last_four,
            holder: method.face.holder,
            expiry_year: method.face.expires.map(|it| it.year),
            expiry_month: method.face.expires.map(|it| it.month),
            is_default: method.is_default,
            created_at: method.created_at.into(),
        }
    }
}

/// A page of the provider's on which a customer leaves a way to pay.
#[derive(SimpleObject)]
pub struct PaymentMethodSetup {
    /// Global id.
    pub id: ID,
    /// Key of the payment provider.
    pub provider: String,
    /// Where to send the customer; null: the provider has no page (the sandbox: see `completeSandboxSetup`).
    pub url: Option<String>,
    /// Global id of what was left there; null: nothing yet.
    pub payment_method_id: Option<ID>,
    /// When it was made.
    pub created_at: DateTime,
}

impl From<MethodSetup> for PaymentMethodSetup {
    fn from(setup: MethodSetup) -> Self {
        Self {
            id: setup.id.to_string().into(),
            provider: setup.provider,
            url: setup.url,
            payment_method_id: setup.method.map(|id| id.to_string().into()),
            created_at: setup.created_at.into(),
        }
    }
}

/// What a payment is for. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Purpose")]
pub enum PaymentPurpose {
    /// Credits that somebody has asked for.
    Purchase,
    /// Credits that the customer's auto-recharge has asked for.
    Recharge,
    /// An invoice.
    Invoice,
}

/// Where a payment stands. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum PaymentState {
    /// Decided, and not sent to the provider yet.
    Created,
    /// Sent, or about to be.
    Submitted,
    /// The provider is at work and will say how it ended.
    Processing,
    /// The provider gave no answer: nobody knows whether money was taken. It is asked until it says.
    Unknown,
    /// The customer has to confirm it with the bank, or to pay on the provider's page, within a day.
    RequiresAction,
    /// The money was taken, and the credits were granted in the same moment.
    Succeeded,
    /// No money was taken. Should the provider say later that it was after all, the payment succeeds.
    Failed,
    /// The provider speaks of another amount than was asked for: somebody has to look. Nothing was granted.
    Quarantined,
}

/// Why no money was taken. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Decline")]
pub enum DeclineCode {
    /// There is not enough money behind it now.
    InsufficientFunds,
    /// The bank says no without a reason, or cannot answer now.
    TryAgainLater,
    /// The card has expired.
    ExpiredCard,
    /// The bank will never allow it: lost, stolen, closed, or not to be tried again.
    DoNotTryAgain,
    /// The provider no longer knows the payment method.
    MethodGone,
    /// The customer did not confirm it in time.
    NotConfirmed,
    /// The request never came to the provider.
    NeverSubmitted,
    /// The provider will not take such a request.
    Refused,
    /// The vendor stopped it before it was sent.
    Withdrawn,
}

/// Money asked from a customer.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Payment {
    #[graphql(skip)]
    payment: PaymentId,
    /// Global id.
    pub id: ID,
    /// Global id of the customer.
    pub customer_id: ID,
    /// What for.
    pub purpose: PaymentPurpose,
    /// Key of the payment provider.
    pub provider: String,
    /// Global id of the way to pay; it may have been removed since. Null: it is paid on a page of the provider's.
    pub payment_method_id: Option<ID>,
    /// How much.
    pub amount: Money,
    /// Credits that it becomes; none if it pays an invoice.
    pub credits: Decimal,
    /// Global id of the invoice that it pays; null: none.
    pub invoice_id: Option<ID>,
    /// Where it stands.
    pub state: PaymentState,
    /// Why no money was taken; null otherwise.
    pub decline_code: Option<DeclineCode>,
    /// Where the customer can confirm it, or pay; null: nowhere, or there is no need.
    pub action_url: Option<String>,
    /// The provider's own name for it; null: not known yet.
    pub provider_reference: Option<String>,
    /// Global id of the block of credits that it became; null: it has not succeeded.
    pub block_id: Option<ID>,
    /// When it was decided.
    pub created_at: DateTime,
    /// When it came to an end; null: it has not.
    pub ended_at: Option<DateTime>,
}

impl From<domain::payment::Payment> for Payment {
    fn from(payment: domain::payment::Payment) -> Self {
        let progress = payment.progress;
        let method = match payment.way {
            Way::Saved(method) => Some(method),
            Way::Page(_) => None,
        };
        Self {
            payment: payment.id,
            id: payment.id.to_string().into(),
            customer_id: payment.customer.to_string().into(),
            purpose: payment.purpose.into(),
            provider: payment.provider,
            payment_method_id: method.map(|id| id.to_string().into()),
            amount: payment.amount.into(),
            credits: payment.credits.into(),
            invoice_id: payment.invoice.map(|id| id.to_string().into()),
            state: progress.state.into(),
            decline_code: progress.decline.map(DeclineCode::from),
            action_url: progress.action_url,
            provider_reference: progress.reference,
            block_id: progress.block.map(|id| id.to_string().into()),
            created_at: payment.created_at.into(),
            ended_at: progress.ended_at.map(DateTime),
        }
    }
}

#[ComplexObject]
impl Payment {
    /// What has gone back of it or is about to, oldest first: refunds and disputes. Needs `payment:read`.
    async fn returns(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<PaymentReturn>> {
        let loader = ctx.data::<DataLoader<Returns>>()?;
        let found = loader.load_one(self.payment).await;
        let found = found.map_err(|error: Arc<app::Error>| top_level(&*error))?;
        Ok(found
            .unwrap_or_default()
            .into_iter()
            .map(PaymentReturn::from)
            .collect())
    }
}

/// A customer's ways to pay.
pub(super) async fn methods(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<Vec<PaymentMethod>> {
    let (app, actor) = caller(ctx)?;
    let methods = payment::methods(app, actor, customer).await.map_err(top_level)?;
    Ok(methods.into_iter().map(PaymentMethod::from).collect())
}

/// A customer's payments.
pub(super) async fn payments(
    ctx: &Context<'_>,
    customer: CustomerId,
    args: Args,
) -> async_graphql::Result<Connection<Payment>> {
    let (app, actor) = caller(ctx)?;
    let slice = payment::payments(app, actor, customer, args.page()?).await;
    Ok(connection(
        slice.map_err(top_level)?,
        |payment| payment.id.to_string(),
        Payment::from,
    ))
}

/// Reads of payments.
#[derive(Default)]
pub struct PaymentQuery;

#[Object]
impl PaymentQuery {
    /// One payment; null when there is none. Needs `payment:read`.
    async fn payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: ID,
    ) -> async_graphql::Result<Option<Payment>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let found = payment::payment(app, actor, id).await.map_err(top_level)?;
        Ok(found.map(Payment::from))
    }

    /// A page on which a customer leaves a way to pay, with what has been left there; null when there is none. Needs `payment:read`.
    async fn payment_method_setup(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: ID,
    ) -> async_graphql::Result<Option<PaymentMethodSetup>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let found = payment::setup(app, actor, id).await.map_err(top_level)?;
        Ok(found.map(PaymentMethodSetup::from))
    }

    /// How the vendor sells credits; null: not at all. Needs `payment:read`.
    async fn payment_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PaymentSettings>> {
        let (app, actor) = caller(ctx)?;
        let found = payment::setting(app, actor).await.map_err(top_level)?;
        Ok(found.map(PaymentSettings::from))
    }
}

/// How the vendor sells credits from now on. Payments that were decided before go on as they were agreed.
#[derive(InputObject)]
pub struct UpdatePaymentSettingsInput {
    /// Key of the payment provider. `sandbox` moves no real money and is for tenants in `TEST` mode.
    pub provider: String,
    /// What one credit costs, more than zero, where a customer's plan does not say otherwise.
    pub credit_price: CreditPriceInput,
    /// Smallest purchase, in the currency of the credit price; left out: any.
    pub minimum: Option<MoneyInput>,
    /// Largest purchase, in the currency of the credit price; left out: any.
    pub maximum: Option<MoneyInput>,
    /// How long bought credits last, in seconds; left out: for ever.
    pub credits_expire_after_seconds: Option<SafeInt>,
    /// Tiers of trust, lowest first, at most 20: who has paid more, and for longer, may buy more at once. The first is for everybody, and
    /// none allows less than the one before. Left out: everybody may buy alike.
    #[graphql(default)]
    pub trust_tiers: Vec<TrustTierInput>,
}

impl UpdatePaymentSettingsInput {
    fn command(self) -> Result<UpdateSetting> {
        let money = |money: Option<MoneyInput>, field| money.map(|it| it.money(field)).transpose();
        Ok(UpdateSetting {
            provider: self.provider,
            sale: Sale {
                price: self.credit_price.price("creditPrice")?,
                limits: PurchaseLimits {
                    minimum: money(self.minimum, "minimum")?,
                    maximum: money(self.maximum, "maximum")?,
                },
                lasts_seconds: self.credits_expire_after_seconds.map(|seconds| seconds.0),
                tiers: tiers(self.trust_tiers)?,
            },
        })
    }
}

payload! {
    /// Result of `updatePaymentSettings`.
    UpdatePaymentSettingsPayload {
        /// How it is from now on; null when it was refused.
        payment_settings: PaymentSettings
    }
}

/// Who wants to leave a way to pay.
#[derive(InputObject)]
pub struct StartPaymentMethodSetupInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Where the provider's page sends the customer afterwards: an address that begins with `https://` or `http://`.
    pub return_url: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `startPaymentMethodSetup`.
    StartPaymentMethodSetupPayload {
        /// The page; null when it was refused.
        setup: PaymentMethodSetup
    }
}

/// A card of the sandbox, named after what it does.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Card")]
pub enum SandboxCard {
    /// Is charged.
    Success,
    /// Has not enough money.
    InsufficientFunds,
    /// Is declined without a reason.
    TryAgainLater,
    /// Has expired.
    Expired,
    /// Was stolen.
    Stolen,
    /// Is no longer known when it is to be charged.
    Gone,
    /// Wants its owner to confirm with the bank: see `confirmSandboxPayment`.
    AuthenticationRequired,
    /// Is charged, after three seconds.
    Slow,
    /// Is charged, but nobody is told: found out by asking, seconds later.
    TimeoutCharged,
    /// Nobody is told, and nothing was charged; when asked once more, seconds later, it is charged.
    TimeoutNotCharged,
    /// Is charged twenty seconds after it was asked for.
    LateSuccess,
    /// Is charged with one minor unit more than was asked for.
    WrongAmount,
    /// Is charged, and takes no refund.
    RefundFails,
}

/// A card to leave on a page of the sandbox.
#[derive(InputObject)]
pub struct CompleteSandboxSetupInput {
    /// Global id of the page.
    pub payment_setup_id: ID,
    /// Which card.
    pub card: SandboxCard,
}

payload! {
    /// Result of `completeSandboxSetup`.
    CompleteSandboxSetupPayload {
        /// The page with the new way to pay; null when it was refused.
        setup: PaymentMethodSetup
    }
}

/// A payment to confirm at the sandbox's bank.
#[derive(InputObject)]
pub struct ConfirmSandboxPaymentInput {
    /// Global id of the payment.
    pub payment_id: ID,
}

payload! {
    /// Result of `confirmSandboxPayment`.
    ConfirmSandboxPaymentPayload {
        /// The payment afterwards; null when it was refused.
        payment: Payment
    }
}

/// A way to pay.
#[derive(InputObject)]
pub struct PaymentMethodInput {
    /// Global id of the way to pay.
    pub payment_method_id: ID,
}

impl PaymentMethodInput {
    fn id(&self) -> Result<domain::id::PaymentMethodId> {
        let unknown = || Rejection::not_found("paymentMethodId", "payment method");
        Ok(self.payment_method_id.parse().map_err(|_| unknown())?)
    }
}

payload! {
    /// Result of `setDefaultPaymentMethod`.
    SetDefaultPaymentMethodPayload {
        /// The way to pay; null when it was refused.
        payment_method: PaymentMethod
    }
}

payload! {
    /// Result of `removePaymentMethod`.
    RemovePaymentMethodPayload {
        /// What was removed; null when it was refused.
        payment_method: PaymentMethod
    }
}

/// Credits to buy.
#[derive(InputObject)]
pub struct PurchaseCreditsInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// For how much, within the limits of the vendor and of the customer's plans.
    pub amount: MoneyInput,
    /// Global id of the way to pay; left out: the default.
    pub payment_method_id: Option<ID>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl PurchaseCreditsInput {
    fn command(self) -> Result<Purchase> {
        let unknown = || Rejection::not_found("paymentMethodId", "payment method");
        let method = self.payment_method_id.map(|id| id.parse().map_err(|_| unknown()));
        Ok(Purchase {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            amount: self.amount.money("amount")?,
            way: Way::Saved(method.transpose()?),
        })
    }
}

payload! {
    /// Result of `purchaseCredits`.
    PurchaseCreditsPayload {
        /// The payment, as it was decided; null when it was refused. Ask `payment` for how it goes on.
        payment: Payment
    }
}

/// Writes of payments.
#[derive(Default)]
pub struct PaymentMutation;

#[Object]
impl PaymentMutation {
    /// Says how the vendor sells credits. Needs `payment:write`.
    async fn update_payment_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How it is to be.")] input: UpdatePaymentSettingsInput,
    ) -> async_graphql::Result<UpdatePaymentSettingsPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok(command) => payment::update_setting(app, actor, command).await,
            Err(error) => Err(error),
        };
        UpdatePaymentSettingsPayload::from_outcome(plain(outcome), PaymentSettings::from)
    }

    /// Opens a page of the provider's on which a customer leaves a way to pay. Needs `payment:write`.
    async fn start_payment_method_setup(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: StartPaymentMethodSetupInput,
    ) -> async_graphql::Result<StartPaymentMethodSetupPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match customer_ref(input.customer_id, input.external_customer_id) {
            Ok(customer) => {
                let command = StartSetup {
                    customer,
                    return_url: input.return_url,
                };
                payment::start_setup(app, actor, command, &input.idempotency_key).await
            }
            Err(error) => Err(error),
        };
        StartPaymentMethodSetupPayload::from_outcome(outcome, PaymentMethodSetup::from)
    }

    /// Does what a customer would do on a page of the sandbox: leaves a card. Needs `payment:write`.
    async fn complete_sandbox_setup(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which card, and where.")] input: CompleteSandboxSetupInput,
    ) -> async_graphql::Result<CompleteSandboxSetupPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.payment_setup_id.parse() {
            Ok(id) => payment::complete_setup(app, actor, id, input.card.into()).await,
            Err(_) => Err(Rejection::not_found("paymentSetupId", "page of the sandbox").into()),
        };
        CompleteSandboxSetupPayload::from_outcome(plain(outcome), PaymentMethodSetup::from)
    }

    /// Does what a customer would do at the bank: confirms a payment with a card of the sandbox that wants it. Needs `payment:write`.
    async fn confirm_sandbox_payment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which payment.")] input: ConfirmSandboxPaymentInput,
    ) -> async_graphql::Result<ConfirmSandboxPaymentPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.payment_id.parse() {
            Ok(id) => payment::confirm_payment(app, actor, id).await,
            Err(_) => Err(Rejection::not_found("paymentId", "payment").into()),
        };
        ConfirmSandboxPaymentPayload::from_outcome(plain(outcome), Payment::from)
    }

    /// Uses a way to pay whenever none is named. Needs `payment:write`.
    async fn set_default_payment_method(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: PaymentMethodInput,
    ) -> async_graphql::Result<SetDefaultPaymentMethodPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.id() {
            Ok(id) => payment::set_default_method(app, actor, id).await,
            Err(error) => Err(error),
        };
        SetDefaultPaymentMethodPayload::from_outcome(plain(outcome), PaymentMethod::from)
    }

    /// Forgets a way to pay. Payments under way go on; when it was the default, there is none until another is chosen. Needs
    /// `payment:write`.
    async fn remove_payment_method(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: PaymentMethodInput,
    ) -> async_graphql::Result<RemovePaymentMethodPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.id() {
            Ok(id) => payment::remove_method(app, actor, id).await,
            Err(error) => Err(error),
        };
        RemovePaymentMethodPayload::from_outcome(plain(outcome), PaymentMethod::from)
    }

    /// Buys credits with a saved way to pay: decides the payment, and answers before the provider was asked. The credits are granted in
    /// the moment in which the payment succeeds; they repay overdraft first where the customer's settlement is `NEXT_PURCHASE`. Needs
    /// `payment:write`.
    async fn purchase_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much, and from whom.")] input: PurchaseCreditsInput,
    ) -> async_graphql::Result<PurchaseCreditsPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => payment::purchase(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        PurchaseCreditsPayload::from_outcome(outcome, Payment::from)
    }
}
