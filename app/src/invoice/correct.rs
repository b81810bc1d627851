//! What people do with invoices: issue, pay, take back, give up.

use domain::{
    event::EventType,
    id::{CreditNoteId, InvoiceId, PaymentMethodId, ReturnId},
    invoice::{
        Invoice,
        credit_note::{self, Reason, Refused, Wanted},
        number::Sequence,
        state::{self, State},
    },
    money::Money,
    payment::{Payment, State as PaymentState, Way},
    rejection::{Rejection, RejectionCode},
};
use entity::account;
use serde::Serialize;

use super::{
    collect::{charge, paid_in},
    event,
    issue::{self, numbered, refused},
    kept::kept_in,
    renewal,
    setting::needed,
    store,
    view::{CreditNoteView, Filed},
};
use crate::{
    App, access,
    actor::{Actor, Scope},
    credit::check_not_frozen,
    customer::CustomerRef,
    error::Result,
    failpoint::reach,
    idempotency::{Claim, Once, claim},
    op::Op,
    payment,
};

fn unknown() -> Rejection {
    Rejection::not_found("invoiceId", "invoice")
}

/// Locks the account of an invoice's customer, and reads the invoice under the lock.
async fn locked(op: &mut Op, actor: &Actor, id: InvoiceId) -> Result<(account::Model, Filed)> {
    let known = store::invoice(op.tx(), actor.reach(), id).await?;
    let customer = known.ok_or_else(unknown)?.invoice.customer;
    let account = op.lock_account(actor.tenant, customer).await?;
    let present = store::invoice(op.tx(), actor.reach(), id).await?;
    Ok(account.zip(present).ok_or_else(unknown)?)
}

/// Issues a draft at once.
///
/// # Errors
/// No such invoice, or one that is no draft.
pub async fn finalise(app: &App, actor: &Actor, id: InvoiceId) -> Result<Filed> {
    actor.require(Scope::InvoiceWrite)?;
    let mut op = Op::begin(app).await?;
    let (_, mut filed) = locked(&mut op, actor, id).await?;
    let terms = needed(op.tx(), actor.tenant).await?;
    issue::issue_in(&mut op, &terms, &mut filed).await?;
    op.commit().await?;
    Ok(filed)
}

/// Takes a step that needs no more than the invoice.
async fn change(
    app: &App,
    actor: &Actor,
    id: InvoiceId,
    kind: EventType,
    step: fn(&Invoice) -> std::result::Result<Invoice, state::Refused>,
) -> Result<Filed> {
    actor.require(Scope::InvoiceWrite)?;
    let mut op = Op::begin(app).await?;
    let (_, mut filed) = locked(&mut op, actor, id).await?;
    check_nothing_under_way(&op, id).await?;
    let before = filed.invoice.state;
    filed.invoice = step(&filed.invoice).map_err(refused)?;
    filed.next_at = None;
    if filed.invoice.state == State::Void && before != State::Draft {
        give_back(&op, &filed).await?;
    }
    store::write(&op, &filed).await?;
    event::tell(&op, kind, &filed).await?;
    op.commit().await?;
    Ok(filed)
}

/// Takes an invoice back that is not paid. Its number is not used again; what it took from the customer's credit balance returns. Overdraft
/// that it billed stays settled: grant or adjust credits to put that right, too.
///
/// # Errors
/// No such invoice, one that is paid or void, one that left something to the customer's credit balance, or one whose charge is under way.
pub async fn void(app: &App, actor: &Actor, id: InvoiceId) -> Result<Filed> {
    change(app, actor, id, EventType::InvoiceVoided, Invoice::void).await
}

/// Gives an invoice up. It may still be paid.
///
/// # Errors
/// No such invoice, one that is not open or past due, or one whose charge is under way.
pub async fn give_up(app: &App, actor: &Actor, id: InvoiceId) -> Result<Filed> {
    change(
        app,
        actor,
        id,
        EventType::InvoiceMarkedUncollectible,
        Invoice::give_up,
    )
    .await
}

/// What a void invoice took from the credit balance returns to it.
pub(super) async fn give_back(op: &Op, filed: &Filed) -> Result<()> {
    let totals = filed.invoice.totals;
    if totals.carried.minor > 0 || filed.credited.minor > 0 {
        let message = "it has left money to the customer already; a credit note can take back the rest";
        return Err(Rejection::new(RejectionCode::InvoiceState, "", message).into());
    }
    if totals.applied.minor > 0 {
        store::move_money(op, filed, totals.applied.minor).await?;
    }
    Ok(())
}

/// Whether a charge for an invoice has not ended, or somebody has to look at one.
pub(super) async fn is_under_way(op: &Op, id: InvoiceId) -> Result<bool> {
    let payments = payment::of_invoice_in(op.tx(), id).await?;
    let is_unsettled = |payment: &Payment| {
        payment.progress.state.is_open() || payment.progress.state == PaymentState::Quarantined
    };
    Ok(payments.iter().any(is_unsettled))
}

async fn check_nothing_under_way(op: &Op, id: InvoiceId) -> Result<()> {
    if is_under_way(op, id).await? {
        let message = "a charge for this invoice is under way, or somebody has to look at it";
        return Err(Rejection::new(RejectionCode::InvoiceState, "", message).into());
    }
    Ok(())
}

/// How an invoice is paid by hand.
#[derive(Debug, Clone, Serialize)]
pub struct PayInvoice {
    /// Which.
    pub invoice: InvoiceId,
    /// With what.
    pub with: PayWith,
}

/// With what an invoice is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PayWith {
    /// A way to pay that the customer has left, the default if none is named; or a page of the provider's.
    Way(Way<Option<PaymentMethodId>>),
    /// The money has come in another way, such as a bank transfer: nothing is charged.
    Elsewhere,
}

/// Pays an invoice: decides a payment of what is left of it, or notes that it was paid elsewhere.
///
/// # Errors
/// No such invoice or way to pay, one that cannot be paid, one whose charge is under way, or books that do not add up.
pub async fn pay(app: &App, actor: &Actor, input: PayInvoice, key: &str) -> Result<Once<Filed>> {
    actor.require(Scope::InvoiceWrite)?;
    if input.with != PayWith::Elsewhere {
        actor.require(Scope::PaymentWrite)?;
    }
    let page = match &input.with {
        PayWith::Way(Way::Page(page)) => Some(page),
        _ => None,
    };
    if let Some(page) = page {
        let known = store::invoice(app.db().reader(), actor.reach(), input.invoice).await?;
        let who = CustomerRef::Id(known.ok_or_else(unknown)?.invoice.customer);
        payment::prepare_page(app, actor, &who, page).await?;
    }
    let mut op = Op::begin(app).await?;
    let done = match claim(&op, actor.tenant, "payInvoice", key, &input).await? {
        Claim::Replay(known) => {
            op.abandon().await?;
            known
        }
        Claim::Fresh(fresh) => {
            let filed = pay_in(&mut op, actor, &input).await?;
            let done = fresh.settle(&op, filed).await?;
            op.commit().await?;
            done
        }
    };
    if page.is_some() {
        payment::open_page(app, done.value.invoice.customer).await;
    }
    Ok(done)
}

async fn pay_in(op: &mut Op, actor: &Actor, input: &PayInvoice) -> Result<Filed> {
    let (account, mut filed) = locked(op, actor, input.invoice).await?;
    check_nothing_under_way(op, input.invoice).await?;
    filed.invoice.state.after(state::Step::Pay).map_err(refused)?;
    let PayWith::Way(way) = &input.with else {
        let left = filed.outstanding()?;
        paid_in(op, &mut filed, left).await?;
        reach("invoice.paying")?;
        return Ok(filed);
    };
    if !renewal::is_awaited(op, &filed).await? {
        let message = "what it renews was renewed already, or does not go on";
        return Err(Rejection::new(RejectionCode::InvoiceState, "", message).into());
    }
    check_not_frozen(&account)?;
    let (provider, way) = payment::payable_in(op, actor, filed.invoice.customer, way.clone()).await?;
    charge(op, &filed, provider, way).await?;
    reach("invoice.paying")?;
    Ok(filed)
}

/// A credit note to write.
#[derive(Debug, Clone, Serialize)]
pub struct CreateCreditNote {
    /// Of which invoice.
    pub invoice: InvoiceId,
    /// How much, tax included; `None`: all that is left of it.
    pub total: Option<Money>,
    /// Why.
    pub reason: Reason,
}

/// Takes back an invoice that was issued, or a part of it. What is still to be paid of it shrinks; the rest goes to the customer's credit
/// balance, which pays for the next invoices. What goes back of its payments is not left of it.
///
/// # Errors
/// No such invoice, a draft or void one, an amount that is not more than zero or more than is left, or a charge that is under way.
pub async fn credit_note(
    app: &App,
    actor: &Actor,
    input: CreateCreditNote,
    key: &str,
) -> Result<Once<CreditNoteView>> {
    actor.require(Scope::InvoiceWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createCreditNote", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let (_, mut filed) = locked(&mut op, actor, input.invoice).await?;
    check_nothing_under_way(&op, input.invoice).await?;
    let rest = Money::of(kept_in(&op, &filed).await?.creditable(), filed.invoice.currency);
    let total = input.total.unwrap_or(rest);
    if total.currency == rest.currency && total.minor > rest.minor {
        return Err(no_note(&Refused::TooMuch(rest)).into());
    }
    let view = note_in(&op, &filed, total, input.reason, None).await?;
    reach("invoice.credited")?;
    book(&mut op, &mut filed, total).await?;
    event::tell(&op, EventType::InvoiceCreditNoteCreated, &filed).await?;
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

/// Writes a credit note with the next number. Three statements.
pub(super) async fn note_in(
    op: &Op,
    filed: &Filed,
    total: Money,
    reason: Reason,
    returned: Option<ReturnId>,
) -> Result<CreditNoteView> {
    let tenant = filed.invoice.tenant;
    let terms = needed(op.tx(), tenant).await?;
    let ordinal = store::next_number(op, tenant, Sequence::CreditNote).await?;
    let wanted = Wanted {
        id: CreditNoteId(op.new_id()),
        number: numbered(&terms, Sequence::CreditNote, ordinal)?,
        total,
        reason,
    };
    let note = credit_note::credit(&filed.invoice, filed.credited, wanted, op.present());
    let view = CreditNoteView {
        note: note.map_err(|no| no_note(&no))?,
        link: access::secret(""),
    };
    store::insert_credit_note(op, filed, &view, ordinal, returned).await?;
    Ok(view)
}

/// What a credit note does to its invoice and to the credit balance.
async fn book(op: &mut Op, filed: &mut Filed, total: Money) -> Result<()> {
    let before = filed.outstanding()?;
    filed.credited.minor = filed.credited.minor.saturating_add(total.minor);
    // What a renewal has left unused is there already.
    let there = filed.unused.min(total.minor);
    filed.unused = filed.unused.saturating_sub(there);
    let more = total.minor.saturating_sub(before.minor).saturating_sub(there);
    if more > 0 {
        store::move_money(op, filed, more).await?;
    }
    if filed.invoice.state.is_payable() && filed.outstanding()?.minor == 0 {
        let nothing = Money { minor: 0, ..total };
        paid_in(op, filed, nothing).await?;
        // Nobody has paid: it renews nothing.
        filed.next_at = None;
    }
    store::write(op, filed).await
}

fn no_note(no: &Refused) -> Rejection {
    let message = no.to_string();
    match no {
        Refused::NotInState(_) => Rejection::new(RejectionCode::InvoiceState, "", message),
        Refused::Currency(_) => Rejection::invalid("amount.currency", message),
        Refused::NotPositive | Refused::TooMuch(_) => Rejection::invalid("amount", message),
        Refused::TooLarge(_) => Rejection::too_large("amount"),
    }
}
