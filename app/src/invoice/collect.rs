//! What time makes due of invoices: issuing drafts, charging, calling past due. And hearing what became of charges.
//!
//! Per invoice: three statements to read, two or three to write.

use domain::{
    amount::Credits,
    event::EventType,
    id::{CustomerId, PaymentId, PaymentMethodId},
    invoice::{
        collection::{Attempt, Next, next_attempt},
        state::State,
        terms::BillingTerms,
    },
    money::Money,
    payment::{Payment, Progress, Purpose, State as PaymentState, Way, method::Method},
    time::Timestamp,
};
use entity::account;

use super::{
    event,
    issue::{self, refused},
    renewal,
    setting::needed,
    store,
    view::Filed,
};
use crate::{
    App,
    error::{Error, Result},
    failpoint::reach,
    job,
    op::Op,
    payment,
};

/// Customers that a sweep wakes at once.
const SWEEP: u64 = 1_000;
/// Invoices of one customer that are looked at in one transaction.
const BATCH: u64 = 10;
/// Invoices of one customer that are looked at when it has another default way to pay, or none: more than anybody leaves unpaid between two
/// attempts. Of others it is told that they are past due.
const MOST_WAITING: u64 = 100;
/// Things that follow each other at one moment of a test clock.
const STAGES: usize = 4;
/// When an invoice is looked at again whose customer's books do not add up, in seconds.
const FROZEN_SECONDS: i64 = 3_600;

/// Customers of whom something of an invoice is due, but for those that live by a clock of their own.
pub(crate) async fn due(app: &App) -> Result<Vec<CustomerId>> {
    store::customers_due(app.db().reader(), app.now(), SWEEP).await
}

/// Does what is due of a customer's invoices. Answers whether more may be.
pub(crate) async fn collect(app: &App, customer: CustomerId) -> Result<bool> {
    let Some(tenant) = store::tenant_with_due(app.db().reader(), customer).await? else {
        return Ok(false);
    };
    let renewed = renewal::renew(app, customer).await?;
    let mut op = Op::begin(app).await?;
    let account = op.lock_account(tenant, customer).await?;
    let Some(account) = account else {
        return Err(Error::Internal(format!("{customer} has no account")));
    };
    let due = store::due_of(op.tx(), customer, op.present(), BATCH).await?;
    reach("invoice.due")?;
    let terms = needed(op.tx(), tenant).await?;
    let more = due.len() as u64 == BATCH;
    for mut filed in due {
        match filed.invoice.state {
            State::Paid => renewal::note(&mut op, &mut filed, &renewed).await?,
            _ => step(&mut op, &terms, &account, &mut filed).await?,
        }
    }
    op.commit().await?;
    reach("invoice.stepped")?;
    Ok(more)
}

/// Takes the next step of one invoice.
async fn step(op: &mut Op, terms: &BillingTerms, account: &account::Model, filed: &mut Filed) -> Result<()> {
    if filed.invoice.state == State::Draft {
        return issue::issue_in(op, terms, filed).await;
    }
    if renewal::withdraw(op, filed).await? {
        return Ok(());
    }
    let now = op.present();
    let attempts = payment::of_invoice_in(op.tx(), filed.invoice.id).await?;
    filed.next_at = match attempt(op, terms, filed, &attempts).await? {
        Attempted::UnderWay => term(filed).filter(|term| *term > now),
        Attempted::Quarantined => {
            fall_due(op, filed).await?;
            term(filed)
        }
        Attempted::Next(Next::At(at), Some(method)) if at <= now && account.frozen_at.is_none() => {
            charge(op, filed, method.provider, Way::Saved(method.id)).await?;
            term(filed).filter(|term| *term > now)
        }
        // Only what no charge may pay at this very moment falls due.
        Attempted::Next(next, _) => {
            fall_due(op, filed).await?;
            let again = match next {
                Next::At(at) if at <= now => Some(now.plus_seconds(FROZEN_SECONDS)),
                Next::At(at) => Some(at),
                _ => None,
            };
            term(filed).into_iter().chain(again).min()
        }
    };
    store::write(op, filed).await
}

/// Calls an invoice past due whose term has ended.
async fn fall_due(op: &Op, filed: &mut Filed) -> Result<()> {
    let now = op.present();
    if filed.invoice.state == State::Open && filed.invoice.due_at.is_some_and(|due| due <= now) {
        filed.invoice = filed.invoice.fall_due(now).map_err(refused)?;
        event::tell(op, EventType::InvoicePastDue, filed).await?;
    }
    Ok(())
}

/// How an invoice stands with its charges.
enum Attempted {
    /// One is under way: nobody decides another.
    UnderWay,
    /// Somebody has to look at one: nobody decides another, and the invoice is due all the same.
    Quarantined,
    /// When the next one is to be decided, and with what.
    Next(Next, Option<Method>),
}

/// When the term of an invoice ends that is still open.
fn term(filed: &Filed) -> Option<Timestamp> {
    filed
        .invoice
        .due_at
        .filter(|_| filed.invoice.state == State::Open)
}

/// When an invoice is to be charged, and with what, after its payments so far. At most two statements.
async fn attempt(op: &Op, terms: &BillingTerms, filed: &Filed, attempts: &[Payment]) -> Result<Attempted> {
    if let Some(whatever_there_is) = without_method(terms, attempts) {
        return Ok(whatever_there_is);
    }
    let method = payment::usable_in(op.tx(), filed.invoice.tenant, filed.invoice.customer).await?;
    Ok(with_method(method, filed, attempts))
}

/// How an invoice stands whatever way to pay the customer has; `None`: that decides.
fn without_method(terms: &BillingTerms, attempts: &[Payment]) -> Option<Attempted> {
    let states = || attempts.iter().map(|payment| payment.progress.state);
    if states().any(PaymentState::is_open) {
        return Some(Attempted::UnderWay);
    }
    if states().any(|state| state == PaymentState::Quarantined) {
        return Some(Attempted::Quarantined);
    }
    (!terms.collects).then_some(Attempted::Next(Next::Never, None))
}

fn with_method(method: Option<Method>, filed: &Filed, attempts: &[Payment]) -> Attempted {
    let ended: Vec<Attempt> = attempts.iter().filter_map(declined).collect();
    let next = next_attempt(&filed.invoice, method.as_ref().map(|it| it.id), &ended);
    Attempted::Next(next, method)
}

/// How a payment was declined. What nobody paid on a page says nothing about a way to pay.
fn declined(payment: &Payment) -> Option<Attempt> {
    let Way::Saved(method) = payment.way else {
        return None;
    };
    Some(Attempt {
        method,
        decline: payment.progress.decline?,
        ended_at: payment.progress.ended_at?,
    })
}

/// Decides the payment of what is left of an invoice.
pub(super) async fn charge(
    op: &mut Op,
    filed: &Filed,
    provider: String,
    way: Way<PaymentMethodId>,
) -> Result<()> {
    let payment = Payment {
        id: PaymentId(op.new_id()),
        tenant: filed.invoice.tenant,
        customer: filed.invoice.customer,
        purpose: Purpose::Invoice,
        provider,
        way,
        amount: filed.outstanding()?,
        credits: Credits::ZERO,
        lasts_seconds: None,
        invoice: Some(filed.invoice.id),
        created_at: op.now(),
        progress: Progress::begin(op.now()),
    };
    payment::decide_in(op, std::slice::from_ref(&payment)).await
}

/// Takes over where the payment of an invoice has come to, in the transaction that writes it. The account is locked.
pub(crate) async fn heard_in(op: &mut Op, payment: &Payment) -> Result<()> {
    let (Purpose::Invoice, Some(id)) = (payment.purpose, payment.invoice) else {
        return Ok(());
    };
    let Some(mut filed) = store::any_invoice(op.tx(), id).await? else {
        return Err(Error::Internal(format!("{id} is gone")));
    };
    match payment.progress.state {
        PaymentState::Succeeded => paid_in(op, &mut filed, payment.amount).await?,
        PaymentState::Failed | PaymentState::Quarantined => {
            if payment.progress.state == PaymentState::Failed {
                failed_in(op, &filed, payment).await?;
            }
            if filed.invoice.state.is_due() {
                filed.next_at = Some(op.present());
                op.wake(job::invoices::wakeup(payment.customer));
                store::write(op, &filed).await?;
            }
        }
        _ => {}
    }
    reach("invoice.heard")
}

/// Tells that a payment of an invoice has failed, and where it was the last: nothing is charged any more unless the customer has another way
/// to pay. Four statements beside the telling where the invoice is still due.
async fn failed_in(op: &Op, filed: &Filed, payment: &Payment) -> Result<()> {
    event::tell(op, EventType::InvoicePaymentFailed, filed).await?;
    if !filed.invoice.state.is_due() {
        return Ok(());
    }
    let attempts = payment::of_invoice_in(op.tx(), filed.invoice.id).await?;
    if !was_charged_by_itself(filed, payment, &attempts) {
        return Ok(());
    }
    let terms = needed(op.tx(), filed.invoice.tenant).await?;
    let next = attempt(op, &terms, filed, &attempts).await?;
    tell_where_ended(op, filed, next).await
}

/// Tells that an invoice is not charged any more, where no charge is under way and there is nothing to charge it to. No statement beside the
/// telling.
async fn tell_where_ended(op: &Op, filed: &Filed, next: Attempted) -> Result<()> {
    if let Attempted::Next(Next::NeedsMethod | Next::NeedsOtherMethod, _) = next {
        event::tell(op, EventType::InvoiceCollectionEnded, filed).await?;
    }
    Ok(())
}

/// Whether an invoice was still being charged by itself with what a payment was made with: nothing ends that has ended before, or on a page that
/// somebody left.
fn was_charged_by_itself(filed: &Filed, payment: &Payment, attempts: &[Payment]) -> bool {
    let Way::Saved(method) = payment.way else {
        return false;
    };
    let others = attempts.iter().filter(|it| it.id != payment.id);
    is_charged_by_itself(filed, method, &others.filter_map(declined).collect::<Vec<_>>())
}

fn is_charged_by_itself(filed: &Filed, method: PaymentMethodId, ended: &[Attempt]) -> bool {
    matches!(next_attempt(&filed.invoice, Some(method), ended), Next::At(_))
}

/// Tells that invoices are not charged any more which would have been again, by the default way to pay that was: it was taken away between two
/// attempts, or one stands in its place that was declined before. What ended with its last attempt was told then, and a charge under way tells it
/// when it fails; a page on which somebody may pay does not. The account is locked, so each end is told once; one that follows after there was another
/// way to pay is another end.
///
/// One statement where nothing is to be paid; otherwise three more, and one for each invoice, beside the telling.
pub(crate) async fn default_was_in(op: &Op, customer: CustomerId, before: PaymentMethodId) -> Result<()> {
    let waiting = store::waiting_of(op.tx(), customer, MOST_WAITING).await?;
    let Some(first) = waiting.first() else {
        return Ok(());
    };
    let terms = needed(op.tx(), first.invoice.tenant).await?;
    let method = payment::usable_in(op.tx(), first.invoice.tenant, customer).await?;
    for filed in &waiting {
        let mut attempts = payment::of_invoice_in(op.tx(), filed.invoice.id).await?;
        attempts.retain(|it| matches!(it.way, Way::Saved(_)));
        if would_be_charged_again(filed, before, &attempts) {
            let next = without_method(&terms, &attempts)
                .unwrap_or_else(|| with_method(method.clone(), filed, &attempts));
            tell_where_ended(op, filed, next).await?;
        }
    }
    Ok(())
}

/// Whether an invoice that was charged by itself would have been again with a way to pay. What nobody has tried does not end.
fn would_be_charged_again(filed: &Filed, method: PaymentMethodId, attempts: &[Payment]) -> bool {
    let ended: Vec<Attempt> = attempts.iter().filter_map(declined).collect();
    !ended.is_empty() && is_charged_by_itself(filed, method, &ended)
}

/// Money has come for an invoice. What is more than was left to pay goes to the customer's credit balance.
pub(super) async fn paid_in(op: &mut Op, filed: &mut Filed, amount: Money) -> Result<()> {
    let left = filed.outstanding()?;
    let more = amount.minor.saturating_sub(left.minor);
    if more > 0 {
        store::move_money(op, filed, more).await?;
        filed.overpaid = filed.overpaid.saturating_add(more);
        event::tell(op, EventType::InvoiceOverpaid, filed).await?;
    }
    let pays = filed.invoice.state.is_payable();
    if pays {
        filed.invoice = filed.invoice.pay(op.present()).map_err(refused)?;
        filed.next_at = renewal::renews(&filed.invoice).map(|_| op.present());
        if filed.next_at.is_some() {
            op.wake(job::invoices::wakeup(filed.invoice.customer));
        }
    }
    if pays || more > 0 {
        store::write(op, filed).await?;
    }
    if pays {
        event::tell(op, EventType::InvoicePaid, filed).await?;
    }
    Ok(())
}

/// Has the invoices of a customer looked at again at once: there is another way to pay. One statement.
pub(crate) async fn hasten_in(op: &mut Op, customer: CustomerId) -> Result<()> {
    if store::hasten(op, customer).await? {
        op.wake(job::invoices::wakeup(customer));
    }
    Ok(())
}

/// The same for customers of a test clock: bills, what is due by its present time, and the charges that follow.
pub(crate) async fn advance_of(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<()> {
    for customer in store::to_bill_of(app.db().reader(), customers).await? {
        beside_others(customer, bill_all(app, customer).await)?;
    }
    for customer in store::due_among(app.db().reader(), customers, until).await? {
        beside_others(customer, collect_all(app, customer).await)?;
    }
    Ok(())
}

async fn bill_all(app: &App, customer: CustomerId) -> Result<()> {
    while super::bill(app, customer).await? {}
    Ok(())
}

/// Issued, charged, concluded, renewed: each may be due only after the one before.
async fn collect_all(app: &App, customer: CustomerId) -> Result<()> {
    for _ in 0..STAGES {
        while collect(app, customer).await? {}
        payment::collect(app, customer).await?;
    }
    Ok(())
}

/// What one customer's rows make impossible keeps no other customer's clock from going on.
fn beside_others(customer: CustomerId, done: Result<()>) -> Result<()> {
    match done {
        Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
            tracing::error!(%customer, %error, "the customer's invoices cannot go on");
            Ok(())
        }
        other => other,
    }
}

/// When the next of some customers' invoices is due, after an instant.
pub(crate) async fn next_due(
    app: &App,
    customers: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    store::next_due(app.db().reader(), customers, after).await
}
