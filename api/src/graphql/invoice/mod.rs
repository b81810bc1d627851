//! Invoices: what customers are asked to pay.

mod line;
mod setting;
mod tax;

use app::{
    error::Result,
    invoice::{self, CreateCreditNote, CreditNoteView, Filed, PayInvoice, PayWith},
};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{
    id::{CustomerId, InvoiceId},
    invoice::{Kind, credit_note::Reason, state::State},
    payment::Way,
    rejection::Rejection,
};

pub(super) use self::tax::registrations;
pub use self::{
    line::{InvoiceLine, InvoiceTax},
    setting::{InvoiceParty, InvoiceSettings, SettingMutation},
    tax::{TaxMutation, TaxRegistration},
};
use super::{
    caller,
    checkout::PayPageInput,
    error::top_level,
    money::{Money, MoneyInput},
    page::{Args, Connection, connection},
    payload::{payload, plain},
    payment::Payment,
    scalar::{CurrencyCode, DateTime},
};

/// What an invoice is for. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum InvoiceKind {
    /// A billing cycle that has closed.
    Cycle,
    /// The receipt of a purchase of credits. It is paid when it is made.
    Purchase,
    /// A fee outside of the close of a cycle.
    Fee,
}

/// Where an invoice stands. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum InvoiceState {
    /// Put together, and not asked for: it has no number.
    Draft,
    /// Asked for.
    Open,
    /// Asked for, and not paid in time.
    PastDue,
    /// Paid, or nothing was to be paid.
    Paid,
    /// Taken back. Its number is not used again.
    Void,
    /// Given up. It may still be paid.
    Uncollectible,
}

/// Why something is taken back.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Reason")]
pub enum CreditNoteReason {
    /// It was billed wrongly.
    BillingError,
    /// It was billed before.
    Duplicate,
    /// It was not delivered, or not as agreed.
    Unsatisfactory,
    /// The agreement has ended or changed.
    Cancelled,
    /// The tax was wrong: a tax number was verified later, for example.
    TaxCorrection,
    /// The money went back through the bank.
    Dispute,
    /// As a favour.
    Goodwill,
    /// Something else.
    Other,
}

/// A stretch of time: from `start` (inclusive) to `end` (exclusive).
#[derive(SimpleObject)]
pub struct InvoicePeriod {
    /// First instant.
    pub start: DateTime,
    /// First instant after.
    pub end: DateTime,
}

impl From<domain::time::Period> for InvoicePeriod {
    fn from(period: domain::time::Period) -> Self {
        Self {
            start: period.start.into(),
            end: period.end.into(),
        }
    }
}

/// What a customer is asked to pay. Once it has a number, nothing of what it says changes.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Invoice {
    #[graphql(skip)]
    invoice: InvoiceId,
    /// Global id.
    pub id: ID,
    /// Global id of the customer.
    pub customer_id: ID,
    /// Global id of the subscription; null: of none.
    pub subscription_id: Option<ID>,
    /// Number of the billing cycle; null: of none.
    pub cycle_number: Option<i32>,
    /// What it is for.
    pub kind: InvoiceKind,
    /// Where it stands.
    pub state: InvoiceState,
    /// Its number for people; null: a draft.
    pub number: Option<String>,
    /// All its amounts are in it.
    pub currency: CurrencyCode,
    /// The time that it is about; null: a moment.
    pub period: Option<InvoicePeriod>,
    /// Who sells.
    pub seller: InvoiceParty,
    /// Who pays.
    pub buyer: InvoiceParty,
    /// What is billed.
    pub lines: Vec<InvoiceLine>,
    /// Its taxes.
    pub taxes: Vec<InvoiceTax>,
    /// What else has to be written on it, such as why no tax is charged.
    pub notes: Vec<String>,
    /// Without tax.
    pub subtotal: Money,
    /// All taxes.
    pub tax: Money,
    /// With taxes. Below zero where more goes back than is billed.
    pub total: Money,
    /// What the customer's credit balance pays of it.
    pub balance_applied: Money,
    /// What was to be paid when it was issued.
    pub amount_due: Money,
    /// What goes to the customer's credit balance because the total is below zero.
    pub carried: Money,
    /// What credit notes have taken back of it.
    pub credited: Money,
    /// What is still to be paid.
    pub outstanding: Money,
    /// When it was drafted.
    pub created_at: DateTime,
    /// When it got its number; null: it has none.
    pub issued_at: Option<DateTime>,
    /// When it is to be paid; null: a draft.
    pub due_at: Option<DateTime>,
    /// When it was paid; null: it was not.
    pub paid_at: Option<DateTime>,
    /// Path of its page on this server, for whoever has it.
    pub html_path: String,
    /// Path of its document (PDF) on this server, for whoever has it.
    pub pdf_path: String,
}

impl From<Filed> for Invoice {
    fn from(filed: Filed) -> Self {
        let outstanding = filed.invoice.outstanding(filed.credited);
        let it = filed.invoice;
        let totals = it.totals;
        Self {
            invoice: it.id,
            id: it.id.to_string().into(),
            customer_id: it.customer.to_string().into(),
            subscription_id: it.cycle.map(|cycle| cycle.subscription.to_string().into()),
            cycle_number: it.cycle.and_then(|cycle| i32::try_from(cycle.number).ok()),
            kind: it.kind.into(),
            state: it.state.into(),
            number: it.number,
            currency: it.currency.into(),
            period: it.period.map(InvoicePeriod::from),
            seller: it.seller.into(),
            buyer: it.buyer.into(),
            lines: it.lines.into_iter().map(InvoiceLine::from).collect(),
            taxes: it.taxes.into_iter().map(InvoiceTax::from).collect(),
            notes: it.notes,
            subtotal: totals.subtotal.into(),
            tax: totals.tax.into(),
            total: totals.total.into(),
            balance_applied: totals.applied.into(),
            amount_due: totals.due.into(),
            carried: totals.carried.into(),
            credited: filed.credited.into(),
            // Both are amounts of one invoice, so that their difference is one.
            outstanding: outstanding.unwrap_or(totals.due).into(),
            created_at: it.created_at.into(),
            issued_at: it.issued_at.map(DateTime),
            due_at: it.due_at.map(DateTime),
            paid_at: it.paid_at.map(DateTime),
            html_path: invoice::page_path(&filed.link),
            pdf_path: invoice::pdf_path(&filed.link),
        }
    }
}

#[ComplexObject]
impl Invoice {
    /// What takes it back, oldest first. Needs `invoice:read`.
    async fn credit_notes(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<CreditNote>> {
        let (app, actor) = caller(ctx)?;
        let notes = invoice::credit_notes(app, actor, self.invoice)
            .await
            .map_err(top_level)?;
        Ok(notes.into_iter().map(CreditNote::from).collect())
    }

    /// Its payments, oldest first. Needs `payment:read`.
    async fn payments(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Payment>> {
        let (app, actor) = caller(ctx)?;
        let found = app::payment::of_invoice(app, actor, self.invoice)
            .await
            .map_err(top_level)?;
        Ok(found.into_iter().map(Payment::from).collect())
    }
}

/// What takes back an invoice, or a part of it.
#[derive(SimpleObject)]
pub struct CreditNote {
    /// Global id.
    pub id: ID,
    /// Global id of the invoice.
    pub invoice_id: ID,
    /// Its number for people, of a sequence of its own.
    pub number: String,
    /// Why.
    pub reason: CreditNoteReason,
    /// How much is taken back, tax included.
    pub total: Money,
    /// What of it is tax.
    pub tax: Money,
    /// What of it is not.
    pub subtotal: Money,
    /// When it was issued.
    pub issued_at: DateTime,
    /// Path of its page on this server, for whoever has it.
    pub html_path: String,
    /// Path of its document (PDF) on this server, for whoever has it.
    pub pdf_path: String,
}

impl From<CreditNoteView> for CreditNote {
    fn from(view: CreditNoteView) -> Self {
        let it = view.note;
        Self {
            id: it.id.to_string().into(),
            invoice_id: it.invoice.to_string().into(),
            number: it.number,
            reason: it.reason.into(),
            total: it.total.into(),
            tax: it.tax.into(),
            subtotal: it.net.into(),
            issued_at: it.issued_at.into(),
            html_path: invoice::page_path(&view.link),
            pdf_path: invoice::pdf_path(&view.link),
        }
    }
}

/// A customer's invoices, or those among them that are to be paid.
pub(super) async fn invoices(
    ctx: &Context<'_>,
    customer: CustomerId,
    only_due: bool,
    args: Args,
) -> async_graphql::Result<Connection<Invoice>> {
    let (app, actor) = caller(ctx)?;
    let page = args.page()?;
    let slice = if only_due {
        invoice::payments_due(app, actor, customer, page).await
    } else {
        invoice::invoices(app, actor, customer, page).await
    };
    Ok(connection(
        slice.map_err(top_level)?,
        |filed| filed.invoice.id.to_string(),
        Invoice::from,
    ))
}

/// What a customer has in money.
pub(super) async fn money_balances(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<Vec<Money>> {
    let (app, actor) = caller(ctx)?;
    let found = invoice::money_balances(app, actor, customer)
        .await
        .map_err(top_level)?;
    Ok(found.into_iter().map(Money::from).collect())
}

/// Reads of invoices.
#[derive(Default)]
pub struct InvoiceQuery;

#[Object]
impl InvoiceQuery {
    /// One invoice or receipt; null when there is none. Needs `invoice:read`.
    async fn invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: ID,
    ) -> async_graphql::Result<Option<Invoice>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let found = invoice::invoice(app, actor, id).await.map_err(top_level)?;
        Ok(found.map(Invoice::from))
    }

    /// How the vendor bills; null: not at all. Needs `invoice:read`.
    async fn invoice_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<InvoiceSettings>> {
        let (app, actor) = caller(ctx)?;
        let found = invoice::setting(app, actor).await.map_err(top_level)?;
        Ok(found.map(InvoiceSettings::from))
    }
}

/// An invoice.
#[derive(InputObject)]
pub struct InvoiceInput {
    /// Global id of the invoice.
    pub invoice_id: ID,
}

fn named(id: &ID) -> Result<InvoiceId> {
    let unknown = || Rejection::not_found("invoiceId", "invoice");
    Ok(id.parse().map_err(|_| unknown())?)
}

payload! {
    /// Result of `finalizeInvoice`.
    FinalizeInvoicePayload {
        /// The invoice with its number; null when it was refused.
        invoice: Invoice
    }
}

payload! {
    /// Result of `voidInvoice`.
    VoidInvoicePayload {
        /// The invoice afterwards; null when it was refused.
        invoice: Invoice
    }
}

payload! {
    /// Result of `markInvoiceUncollectible`.
    MarkInvoiceUncollectiblePayload {
        /// The invoice afterwards; null when it was refused.
        invoice: Invoice
    }
}

/// An invoice to pay.
#[derive(InputObject)]
pub struct PayInvoiceInput {
    /// Global id of the invoice.
    pub invoice_id: ID,
    /// Global id of the way to pay; left out: the default.
    pub payment_method_id: Option<ID>,
    /// Have the customer pay on a page of the provider's instead: the `actionUrl` of the invoice's last payment.
    pub on_page: Option<PayPageInput>,
    /// Whether the money has come in another way, such as a bank transfer: nothing is charged.
    #[graphql(default)]
    pub paid_elsewhere: bool,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl PayInvoiceInput {
    fn command(&self) -> Result<PayInvoice> {
        let unknown = || Rejection::not_found("paymentMethodId", "payment method");
        let method = self.payment_method_id.as_ref();
        let method = method.map(|id| id.parse().map_err(|_| unknown())).transpose()?;
        let with = match (method, &self.on_page, self.paid_elsewhere) {
            (None, None, true) => PayWith::Elsewhere,
            (method, None, false) => PayWith::Way(Way::Saved(method)),
            (None, Some(page), false) => PayWith::Way(Way::Page(page.checkout())),
            _ => {
                let message = "one of `paymentMethodId`, `onPage` and `paidElsewhere`";
                return Err(Rejection::invalid("", message).into());
            }
        };
        Ok(PayInvoice {
            invoice: named(&self.invoice_id)?,
            with,
        })
    }
}

payload! {
    /// Result of `payInvoice`.
    PayInvoicePayload {
        /// The invoice; null when it was refused. A payment is decided and not made yet: ask `invoice` for how it goes on.
        invoice: Invoice
    }
}

/// A credit note to write.
#[derive(InputObject)]
pub struct CreateCreditNoteInput {
    /// Global id of the invoice.
    pub invoice_id: ID,
    /// How much is taken back, tax included; left out: all that is left of the invoice.
    pub amount: Option<MoneyInput>,
    /// Why.
    pub reason: CreditNoteReason,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CreateCreditNoteInput {
    fn command(&self) -> Result<CreateCreditNote> {
        let total = self.amount.as_ref();
        Ok(CreateCreditNote {
            invoice: named(&self.invoice_id)?,
            total: total.map(|amount| amount.money("amount")).transpose()?,
            reason: self.reason.into(),
        })
    }
}

payload! {
    /// Result of `createCreditNote`.
    CreateCreditNotePayload {
        /// The credit note; null when it was refused.
        credit_note: CreditNote
    }
}

/// Writes of invoices.
#[derive(Default)]
pub struct InvoiceMutation;

#[Object]
impl InvoiceMutation {
    /// Issues a draft at once. Needs `invoice:write`.
    async fn finalize_invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: InvoiceInput,
    ) -> async_graphql::Result<FinalizeInvoicePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match named(&input.invoice_id) {
            Ok(id) => invoice::finalise(app, actor, id).await,
            Err(error) => Err(error),
        };
        FinalizeInvoicePayload::from_outcome(plain(outcome), Invoice::from)
    }

    /// Pays what is left of an invoice with a saved way to pay or on a page of the provider's, or notes that it was paid elsewhere. Needs `invoice:write`, and
    /// `payment:write` to charge.
    async fn pay_invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and how.")] input: PayInvoiceInput,
    ) -> async_graphql::Result<PayInvoicePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok(command) => invoice::pay(app, actor, command, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        PayInvoicePayload::from_outcome(outcome, Invoice::from)
    }

    /// Takes an invoice back that is not paid; what it took from the customer's credit balance returns. Overdraft that it billed stays
    /// settled: adjust credits to put that right, too. Needs `invoice:write`.
    async fn void_invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: InvoiceInput,
    ) -> async_graphql::Result<VoidInvoicePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match named(&input.invoice_id) {
            Ok(id) => invoice::void(app, actor, id).await,
            Err(error) => Err(error),
        };
        VoidInvoicePayload::from_outcome(plain(outcome), Invoice::from)
    }

    /// Gives an invoice up. It may still be paid. Needs `invoice:write`.
    async fn mark_invoice_uncollectible(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: InvoiceInput,
    ) -> async_graphql::Result<MarkInvoiceUncollectiblePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match named(&input.invoice_id) {
            Ok(id) => invoice::give_up(app, actor, id).await,
            Err(error) => Err(error),
        };
        MarkInvoiceUncollectiblePayload::from_outcome(plain(outcome), Invoice::from)
    }

    /// Takes back an invoice that was issued, or a part of it. What is still to be paid shrinks; the rest goes to the customer's credit
    /// balance in money, which pays for the next invoices. Needs `invoice:write`.
    async fn create_credit_note(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which invoice, and how much.")] input: CreateCreditNoteInput,
    ) -> async_graphql::Result<CreateCreditNotePayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok(command) => invoice::credit_note(app, actor, command, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        CreateCreditNotePayload::from_outcome(outcome, CreditNote::from)
    }
}
