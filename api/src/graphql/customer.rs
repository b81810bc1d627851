//! Customers: who the vendor bills, and everything that hangs on them.

use std::sync::Arc;

use app::{
    credit,
    customer::{self, CustomerRef},
    error::Result,
    event::About,
    hold, usage,
};
use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject,
    dataloader::DataLoader,
};
use domain::{
    amount::Credits,
    customer::{AtZero, BeyondOvershoot, Settlement},
    hold::HoldState,
    id::{BlockId, CustomerId, EventId},
    rejection::Rejection,
    time::Timestamp,
};

use super::{
    caller,
    credit::{Balance, CreditBlock, CreditOverview, LedgerEntry, credit_overview},
    error::top_level,
    event::{BillingEvent, events},
    hold::{Reservation, ReservationState},
    invoice::{Invoice, TaxRegistration, invoices, money_balances, registrations},
    loader::Balances,
    mail::{CustomerNotifications, customer_notifications},
    money::Money,
    overshoot::written_off,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
    payment::{Payment, PaymentMethod, methods, payments},
    recharge::{AutoRecharge, RechargeDryRun, RechargeRuleInput, auto_recharge, dry_run},
    scalar::{CountryCode, DateTime, Decimal, EmailAddress, Json},
    spend::{Spend, customer_spend},
    subscription::{BillingCycle, PlanSubscription, cycles, subscriptions},
    test_clock::test_clock_id,
    trust::{CustomerTrust, customer_trust},
    usage::{UsageEvent, UsageGrouping, UsageSummary},
};

/// What happens when the credits are used up. This steers checks; usage that has happened is always recorded.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "AtZero")]
pub enum AtZeroPolicy {
    /// Checks refuse.
    Block,
    /// Checks allow an overdraft up to the overage line.
    AllowUpTo,
    /// Checks always allow.
    Allow,
}

/// Who pays back an overdraft.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Settlement")]
pub enum OverdraftSettlement {
    /// The next credit that is not a budget.
    NextPurchase,
    /// The next invoice.
    NextInvoice,
    /// An adjustment by hand.
    Manual,
}

/// What becomes of usage that takes the overdraft beyond its bound. Usage that has happened is always recorded.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "BeyondOvershoot")]
pub enum BeyondOvershootPolicy {
    /// The customer owes it like the rest.
    Bill,
    /// The vendor takes it upon itself: it is written off.
    WriteOff,
}

/// A postal address for invoices.
#[derive(SimpleObject)]
pub struct InvoiceAddress {
    /// Street and number.
    pub line1: String,
    /// Anything more.
    pub line2: Option<String>,
    /// City.
    pub city: String,
    /// State, province or region.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Country.
    pub country: CountryCode,
}

/// Who the vendor bills: the organisation in a dashboard.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Customer {
    /// Global id.
    pub id: ID,
    /// The vendor's own name, unique per tenant. Never changes.
    pub external_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// What happens when the credits are used up.
    pub policy: AtZeroPolicy,
    /// How far below zero checks allow, in credits; zero unless the policy is `ALLOW_UP_TO`.
    pub overage_line: Decimal,
    /// Who pays back an overdraft.
    pub settlement: OverdraftSettlement,
    /// How far usage that nobody could stop may go beyond where checks refuse, in credits; null: nothing is promised.
    pub overshoot_limit: Option<Decimal>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: BeyondOvershootPolicy,
    /// Whether both are the vendor's default (`overshootDefault`), because nothing else was said.
    pub overshoot_is_default: bool,
    /// Where bills go.
    pub billing_email: Option<EmailAddress>,
    /// Postal address for invoices.
    pub invoice_address: Option<InvoiceAddress>,
    /// Purchase order number.
    pub po_number: Option<String>,
    /// The vendor's own notes: a JSON object.
    pub metadata: Json,
    /// Global id of the test clock that it lives by; null: the clock on the wall.
    pub test_clock_id: Option<ID>,
    /// When it was made.
    pub created_at: DateTime,
    /// When it last changed.
    pub updated_at: DateTime,
    #[graphql(skip)]
    customer: CustomerId,
    /// Read before everything else of the customer, where it was; see [`CustomerQuery::customer`].
    #[graphql(skip)]
    balance_before: Option<credit::Balance>,
}

impl From<customer::Customer> for Customer {
    fn from(customer: customer::Customer) -> Self {
        let address = |address: customer::InvoiceAddress| InvoiceAddress {
            line1: address.line1,
            line2: address.line2,
            city: address.city,
            region: address.region,
            postal_code: address.postal_code,
            country: CountryCode(address.country),
        };
        Self {
            id: customer.id.to_string().into(),
            external_id: customer.external_id,
            name: customer.name,
            policy: customer.terms.at_zero.into(),
            overage_line: customer.terms.overage_line.into(),
            settlement: customer.terms.settlement.into(),
            overshoot_limit: customer.terms.overshoot_limit.map(Decimal::from),
            beyond_overshoot: customer.terms.beyond_overshoot.into(),
            overshoot_is_default: customer.overshoot_is_default,
            billing_email: customer.billing_email.map(EmailAddress),
            invoice_address: customer.invoice_address.map(address),
            po_number: customer.po_number,
            metadata: Json(customer.metadata.into()),
            test_clock_id: customer.clock.map(|clock| clock.to_string().into()),
            created_at: customer.created_at.into(),
            updated_at: customer.updated_at.into(),
            customer: customer.id,
            balance_before: None,
        }
    }
}

#[ComplexObject]
impl Customer {
    /// What the customer has. Needs `credit:read`.
    async fn balance(&self, ctx: &Context<'_>) -> async_graphql::Result<Balance> {
        if let Some(balance) = &self.balance_before {
            return Ok(balance.clone().into());
        }
        Ok(load_balance(ctx, self.customer).await?.into())
    }

    /// What the customer was given, and what it has used of that in the present period. Needs `credit:read`.
    async fn credit_overview(&self, ctx: &Context<'_>) -> async_graphql::Result<CreditOverview> {
        credit_overview(ctx, self.customer).await
    }

    /// Credits of its usage that were written off, less what was taken back of them. Needs `credit:read`.
    async fn written_off(&self, ctx: &Context<'_>) -> async_graphql::Result<Decimal> {
        written_off(ctx, self.customer).await
    }

    /// Blocks: first those that can be used, in the order in which they will burn, then spent and ended ones. Needs
    /// `credit:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn blocks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<CreditBlock>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<BlockId>()?;
        let slice = credit::blocks(app, actor, self.customer, page)
            .await
            .map_err(top_level)?;
        Ok(connection(
            slice,
            |view| view.block.id.to_string(),
            CreditBlock::from,
        ))
    }

    /// The ledger: everything that moved credits, newest first. Needs `credit:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn ledger(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<LedgerEntry>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<i64>()?;
        let slice = credit::ledger(app, actor, self.customer, page)
            .await
            .map_err(top_level)?;
        Ok(connection(
            slice,
            |line| line.sequence.to_string(),
            LedgerEntry::from,
        ))
    }

    /// Accepted usage events, latest first. Needs `usage:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn usage_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<UsageEvent>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page_by(event_key)?;
        let slice = usage::events(app, actor, self.customer, page)
            .await
            .map_err(top_level)?;
        let cursor = |event: &usage::UsageEvent| format!("{}:{}", event.occurred_at.micros(), event.id);
        Ok(connection(slice, cursor, UsageEvent::from))
    }

    /// Reservations, latest first: all of them, or those in a state. Needs `usage:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn reservations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those in this state; all of them by default.")] state: Option<
            ReservationState,
        >,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Reservation>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page()?;
        let state = state.map(HoldState::from);
        let slice = hold::reservations(app, actor, self.customer, state, page)
            .await
            .map_err(top_level)?;
        Ok(connection(slice, |it| it.id.to_string(), Reservation::from))
    }

    /// What the customer has agreed to, oldest first, ended ones included. Needs `subscription:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<PlanSubscription>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        subscriptions(ctx, self.customer, args).await
    }

    /// The cycles of all subscriptions, latest first. Needs `subscription:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn cycles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<BillingCycle>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        cycles(ctx, self.customer, args).await
    }

    /// Ways to pay, oldest first, at most 20; without those that were removed. Needs `payment:read`.
    async fn payment_methods(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<PaymentMethod>> {
        methods(ctx, self.customer).await
    }

    /// Buying credits when the balance is low; null: it was never set up. Needs `payment:read`.
    async fn auto_recharge(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<AutoRecharge>> {
        auto_recharge(ctx, self.customer).await
    }

    /// How much the customer wants to spend in a day and in a month, and what it has spent. Needs `credit:read`.
    async fn spend(&self, ctx: &Context<'_>) -> async_graphql::Result<Spend> {
        customer_spend(ctx, self.customer).await
    }

    /// How far the vendor trusts the customer, which limits what it may buy at once; null: the vendor has no tiers of trust. Needs
    /// `payment:read`.
    async fn trust(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<CustomerTrust>> {
        customer_trust(ctx, self.customer).await
    }

    /// What a rule of auto-recharge would have done in the last 30 days (of the clock on the wall), on the terms of today, without what
    /// auto-recharge has really bought. Nothing is written or charged. Needs `payment:read`.
    async fn auto_recharge_dry_run(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rule.")] rule: RechargeRuleInput,
    ) -> async_graphql::Result<RechargeDryRun> {
        dry_run(ctx, self.customer, rule).await
    }

    /// Invoices and receipts, newest first. Needs `invoice:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Invoice>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        invoices(ctx, self.customer, false, args).await
    }

    /// What is to be paid: invoices that are open or past due, newest first. Needs `invoice:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn payments_due(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Invoice>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        invoices(ctx, self.customer, true, args).await
    }

    /// What credit notes and invoices below zero have left in money, by currency; it pays for the next invoices. Needs `invoice:read`.
    async fn money_balances(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Money>> {
        money_balances(ctx, self.customer).await
    }

    /// Tax numbers, oldest first, at most 10. Needs `invoice:read`.
    async fn tax_registrations(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<TaxRegistration>> {
        registrations(ctx, self.customer).await
    }

    /// Payments, newest first. Needs `payment:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Payment>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        payments(ctx, self.customer, args).await
    }

    /// Where the customer is written to about what has happened.
    async fn notifications(&self, ctx: &Context<'_>) -> async_graphql::Result<CustomerNotifications> {
        customer_notifications(ctx, self.customer).await
    }

    /// What was told about the customer, newest first. Needs `subscription:read`; what was told about payments, invoices and credits needs
    /// `payment:read`, `invoice:read` and `credit:read` as well, or `event:read`, and is left out without.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<BillingEvent>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        events(ctx, About::Customer(self.customer), args).await
    }

    /// Debited usage, summed up per metric, and per day or month on request. Needs `usage:read`.
    async fn usage_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only usage that occurred at or after this instant; from the beginning by default."
        )]
        from: Option<DateTime>,
        #[graphql(desc = "Only usage that occurred before this instant; to the end by default.")] to: Option<
            DateTime,
        >,
        #[graphql(desc = "How to split it besides by metric; not at all by default.")] group_by: Option<
            UsageGrouping,
        >,
    ) -> async_graphql::Result<UsageSummary> {
        let (app, actor) = caller(ctx)?;
        let request = usage::SummaryRequest {
            from: from.map(|at| at.0),
            to: to.map(|at| at.0),
            group_by: group_by.map(usage::GroupBy::from).unwrap_or_default(),
        };
        Ok(usage::summary(app, actor, self.customer, request)
            .await
            .map_err(top_level)?
            .into())
    }
}

async fn load_balance(ctx: &Context<'_>, customer: CustomerId) -> async_graphql::Result<credit::Balance> {
    let loader = ctx.data::<DataLoader<Balances>>()?;
    let found = loader
        .load_one(customer)
        .await
        .map_err(|error: Arc<app::Error>| top_level(&*error))?;
    found.ok_or_else(|| top_level(app::Error::Internal(format!("{customer} has no balance"))))
}

fn event_key(cursor: &str) -> Option<(Timestamp, EventId)> {
    let (micros, id) = cursor.split_once(':')?;
    Some((Timestamp::from_micros(micros.parse().ok()?), id.parse().ok()?))
}

/// The customer that a request names: by id or by the vendor's own name.
pub(super) fn customer_ref(id: Option<ID>, external_id: Option<String>) -> Result<CustomerRef> {
    let missing = || {
        Rejection::invalid(
            "externalCustomerId",
            "name a customer by `customerId` or `externalCustomerId`",
        )
    };
    Ok(customer_ref_if_any(id, external_id)?.ok_or_else(missing)?)
}

/// The customer that a request names, if it names one.
pub(super) fn customer_ref_if_any(
    id: Option<ID>,
    external_id: Option<String>,
) -> Result<Option<CustomerRef>> {
    match (id, external_id) {
        (Some(_), Some(_)) => {
            Err(Rejection::invalid("customerId", "use either `customerId` or `externalCustomerId`").into())
        }
        (Some(id), None) => {
            let id = id
                .parse()
                .map_err(|_| Rejection::not_found("customerId", "customer"))?;
            Ok(Some(CustomerRef::Id(id)))
        }
        // No external id has control characters, and PostgreSQL would not even look for some of them.
        (None, Some(id)) if id.chars().any(char::is_control) => {
            Err(Rejection::not_found("externalCustomerId", "customer").into())
        }
        (None, Some(id)) => Ok(Some(CustomerRef::External(id))),
        (None, None) => Ok(None),
    }
}

/// Reads of customers.
#[derive(Default)]
pub struct CustomerQuery;

#[Object]
impl CustomerQuery {
    /// One customer by id or by the vendor's own name; null when there is none. A customer token need not name its own. Needs
    /// `customer:read`.
    async fn customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: Option<ID>,
        #[graphql(desc = "The vendor's own name.")] external_id: Option<String>,
    ) -> async_graphql::Result<Option<Customer>> {
        let (app, actor) = caller(ctx)?;
        let who = match (id, external_id) {
            (None, None) if let Some(own) = actor.customer => CustomerRef::Id(own),
            (Some(id), None) => match id.parse() {
                Ok(id) => CustomerRef::Id(id),
                Err(_) => return Ok(None),
            },
            (None, Some(external_id)) => CustomerRef::External(external_id),
            _ => {
                return Err(top_level(app::Error::from(Rejection::invalid(
                    "id",
                    "use either `id` or `externalId`",
                ))));
            }
        };
        let found = customer::customer(app, actor, &who).await.map_err(top_level)?;
        let Some(mut customer) = found.map(Customer::from) else {
            return Ok(None);
        };
        if ctx.look_ahead().field("balance").exists() {
            // Fields are read side by side. With the balance first, an answer without pending events has blocks, ledger and
            // sums that contain all of them.
            customer.balance_before = Some(load_balance(ctx, customer.customer).await?);
        }
        Ok(Some(customer))
    }

    /// The tenant's customers, oldest first. Needs `customer:read`; a customer token is refused.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Customer>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<CustomerId>()?;
        let slice = customer::customers(app, actor, page).await.map_err(top_level)?;
        Ok(connection(
            slice,
            |customer| customer.id.to_string(),
            Customer::from,
        ))
    }
}

/// A postal address for invoices.
#[derive(InputObject)]
pub struct InvoiceAddressInput {
    /// Street and number, at most 200 bytes.
    pub line1: String,
    /// Anything more, at most 200 bytes.
    pub line2: Option<String>,
    /// City, at most 200 bytes.
    pub city: String,
    /// State, province or region, at most 200 bytes.
    pub region: Option<String>,
    /// Postal code, at most 200 bytes.
    pub postal_code: Option<String>,
    /// Country.
    pub country: CountryCode,
}

impl From<InvoiceAddressInput> for customer::InvoiceAddress {
    fn from(input: InvoiceAddressInput) -> Self {
        Self {
            line1: input.line1,
            line2: input.line2,
            city: input.city,
            region: input.region,
            postal_code: input.postal_code,
            country: input.country.0,
        }
    }
}

/// A customer to create.
#[derive(InputObject)]
pub struct CreateCustomerInput {
    /// The vendor's own name, unique per tenant, 1 to 255 bytes. Never changes.
    pub external_id: String,
    /// Name for people, 1 to 100 bytes.
    pub name: Option<String>,
    /// What happens when the credits are used up; `BLOCK` by default.
    pub policy: Option<AtZeroPolicy>,
    /// How far below zero checks allow, in credits; goes with `ALLOW_UP_TO`.
    pub overage_line: Option<Decimal>,
    /// Who pays back an overdraft; `NEXT_PURCHASE` by default.
    pub settlement: Option<OverdraftSettlement>,
    /// How far usage that nobody could stop may go beyond where checks refuse, in credits, zero or more: below zero with `BLOCK`, below the
    /// overage line with `ALLOW_UP_TO`. Null: nothing is promised. Does not go with `ALLOW`. Where neither this nor `beyondOvershoot` is given, the
    /// vendor's default holds (`overshootDefault`).
    pub overshoot_limit: MaybeUndefined<Decimal>,
    /// What becomes of usage beyond that; `BILL` where only the limit is given.
    pub beyond_overshoot: Option<BeyondOvershootPolicy>,
    /// Where bills go.
    pub billing_email: Option<EmailAddress>,
    /// Postal address for invoices.
    pub invoice_address: Option<InvoiceAddressInput>,
    /// Purchase order number, at most 200 bytes.
    pub po_number: Option<String>,
    /// The vendor's own notes: a JSON object of at most 50 entries and 8,192 bytes.
    pub metadata: Option<Json>,
    /// Global id of the test clock that it is to live by, for good; in tenants for tests.
    pub test_clock_id: Option<ID>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CreateCustomerInput {
    fn command(self) -> Result<customer::CreateCustomer> {
        Ok(customer::CreateCustomer {
            external_id: self.external_id,
            name: self.name,
            at_zero: self.policy.map(AtZero::from).unwrap_or_default(),
            overage_line: self
                .overage_line
                .map(|line| line.credits("overageLine"))
                .transpose()?,
            settlement: self.settlement.map(Settlement::from).unwrap_or_default(),
            overshoot_limit: credits(self.overshoot_limit, "overshootLimit")?,
            beyond_overshoot: self.beyond_overshoot.map(BeyondOvershoot::from),
            billing_email: self.billing_email.map(|email| email.0),
            invoice_address: self.invoice_address.map(Into::into),
            po_number: self.po_number,
            metadata: self.metadata.map(metadata).transpose()?.unwrap_or_default(),
            clock: self.test_clock_id.as_ref().map(test_clock_id).transpose()?,
        })
    }
}

/// The vendor's own notes: a JSON object.
pub(super) fn metadata(json: Json) -> Result<std::collections::BTreeMap<String, serde_json::Value>> {
    match json.0 {
        serde_json::Value::Object(object) => Ok(object.into_iter().collect()),
        _ => Err(Rejection::invalid("metadata", "metadata must be a JSON object").into()),
    }
}

payload! {
    /// Result of `createCustomer`.
    CreateCustomerPayload {
        /// The customer; null when it was refused.
        customer: Customer
    }
}

/// What to change of a customer. Fields left out stay; null empties a field that may be empty.
#[derive(InputObject)]
pub struct UpdateCustomerInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Name for people, 1 to 100 bytes.
    pub name: MaybeUndefined<String>,
    /// What happens when the credits are used up.
    pub policy: Option<AtZeroPolicy>,
    /// How far below zero checks allow, in credits; goes with `ALLOW_UP_TO`.
    pub overage_line: MaybeUndefined<Decimal>,
    /// Who pays back an overdraft.
    pub settlement: Option<OverdraftSettlement>,
    /// How far usage that nobody could stop may go beyond where checks refuse, in credits, zero or more; null: nothing is promised any more.
    /// What is owed or written off already stays so.
    pub overshoot_limit: MaybeUndefined<Decimal>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: Option<BeyondOvershootPolicy>,
    /// True: the vendor's default holds for both instead, also when it changes. False: they stay as they are now.
    pub overshoot_is_default: Option<bool>,
    /// Where bills go.
    pub billing_email: MaybeUndefined<EmailAddress>,
    /// Postal address for invoices.
    pub invoice_address: MaybeUndefined<InvoiceAddressInput>,
    /// Purchase order number, at most 200 bytes.
    pub po_number: MaybeUndefined<String>,
    /// The vendor's own notes, replaced as a whole: a JSON object of at most 50 entries and 8,192 bytes.
    pub metadata: Option<Json>,
}

impl UpdateCustomerInput {
    fn command(self) -> Result<(CustomerRef, customer::UpdateCustomer)> {
        let who = customer_ref(self.customer_id, self.external_customer_id)?;
        let command = customer::UpdateCustomer {
            name: change(self.name),
            at_zero: self.policy.map(AtZero::from),
            overage_line: credits(self.overage_line, "overageLine")?,
            settlement: self.settlement.map(Settlement::from),
            overshoot_limit: credits(self.overshoot_limit, "overshootLimit")?,
            beyond_overshoot: self.beyond_overshoot.map(BeyondOvershoot::from),
            overshoot_is_default: self.overshoot_is_default,
            billing_email: change(self.billing_email).map(|email| email.map(|email| email.0)),
            invoice_address: change(self.invoice_address).map(|address| address.map(Into::into)),
            po_number: change(self.po_number),
            metadata: self.metadata.map(metadata).transpose()?,
        };
        Ok((who, command))
    }
}

/// A change of a field that holds credits.
fn credits(value: MaybeUndefined<Decimal>, field: &str) -> Result<customer::Change<Credits>> {
    change(value)
        .map(|value| value.map(|value| value.credits(field)).transpose())
        .transpose()
}

fn change<T>(value: MaybeUndefined<T>) -> customer::Change<T> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

payload! {
    /// Result of `updateCustomer`.
    UpdateCustomerPayload {
        /// The customer; null when it was refused.
        customer: Customer
    }
}

/// Writes of customers.
#[derive(Default)]
pub struct CustomerMutation;

#[Object]
impl CustomerMutation {
    /// Creates a customer with an empty account. Needs `customer:write`.
    async fn create_customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer to create.")] input: CreateCustomerInput,
    ) -> async_graphql::Result<CreateCustomerPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => customer::create(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        CreateCustomerPayload::from_outcome(outcome, Customer::from)
    }

    /// Changes a customer; new terms hold from now on. Needs `customer:write`.
    async fn update_customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateCustomerInput,
    ) -> async_graphql::Result<UpdateCustomerPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok((who, command)) => customer::update(app, actor, &who, command).await,
            Err(error) => Err(error),
        };
        UpdateCustomerPayload::from_outcome(plain(outcome), Customer::from)
    }
}
