//! Buying credits: with a saved way to pay, or on a page of the provider's.

use domain::{
    id::{CustomerId, PaymentId, PaymentMethodId},
    money::Money,
    payment::{Checkout, Payment, Progress, Purpose, Way},
    plan::variant::Variant,
    rejection::{Rejection, RejectionCode},
};
use entity::to_text;
use serde::Serialize;

use super::{
    collect::collect,
    method::{check_url, enrolled, provider},
    setting::needed,
    store,
    trust::needed_by,
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    failpoint::reach,
    idempotency::{Claim, Once, claim},
    job,
    op::Op,
    subscription,
};

/// Most payments of one customer that have not ended.
const MAX_OPEN: u64 = 10;

/// Credits to buy.
#[derive(Debug, Clone, Serialize)]
pub struct Purchase {
    /// Who buys.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// For how much.
    pub amount: Money,
    /// With which saved way to pay; `None`: the default. Or on which page.
    pub way: Way<Option<PaymentMethodId>>,
}

/// Decides a purchase: a row, and a wake-up for who sends it to the provider. The credits are granted when the money has been taken.
///
/// A page of the provider's is opened before this answers, if the provider answers; else a job opens it.
///
/// Nine statements with a saved way to pay.
///
/// # Errors
/// No such customer or way to pay, a kind that the provider has not on its pages, a vendor that sells no credits, an amount outside the limits of the vendor or of the customer's plans,
/// books that do not add up, or too many payments that have not ended.
pub async fn purchase(app: &App, actor: &Actor, input: Purchase, key: &str) -> Result<Once<Payment>> {
    actor.require(Scope::PaymentWrite)?;
    if let Way::Page(page) = &input.way {
        prepare_page(app, actor, &input.customer, page).await?;
    }
    let is_on_page = matches!(input.way, Way::Page(_));
    let mutation = if is_on_page {
        "startCheckout"
    } else {
        "purchaseCredits"
    };
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
    let fresh = match claim(&op, actor.tenant, mutation, key, &(customer, &input)).await? {
        Claim::Replay(known) if is_on_page => {
            op.abandon().await?;
            return opened(app, actor, known).await;
        }
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let account = op.lock_account(actor.tenant, customer).await?;
    crate::credit::check_not_frozen(&account.ok_or_else(|| input.customer.unknown())?)?;
    let setting = needed_by(&op, actor, customer).await?;
    let plans = subscription::variants_in(op.tx(), customer).await?;
    let plans: Vec<&Variant> = plans.iter().collect();
    let credits = setting.sale.buy(&plans, input.amount)?;
    let way = payable(&op, actor, customer, &setting.provider, input.way).await?;
    if store::count_open(op.tx(), customer).await? >= MAX_OPEN {
        let message = format!("{MAX_OPEN} payments of this customer have not ended");
        return Err(Rejection::new(RejectionCode::TooManyPayments, "", message).into());
    }
    let payment = Payment {
        id: PaymentId(op.new_id()),
        tenant: actor.tenant,
        customer,
        purpose: Purpose::Purchase,
        provider: setting.provider,
        way,
        amount: input.amount,
        credits,
        lasts_seconds: setting.sale.lasts_seconds,
        invoice: None,
        created_at: op.now(),
        progress: Progress::begin(op.now()),
    };
    decide_in(&mut op, std::slice::from_ref(&payment)).await?;
    let done = fresh.settle(&op, payment).await?;
    op.commit().await?;
    if is_on_page {
        return opened(app, actor, done).await;
    }
    Ok(done)
}

/// Makes everything ready for a page of the provider's: what it is to offer is checked, and the customer is known there. Network, so before
/// the transaction.
pub(crate) async fn prepare_page(
    app: &App,
    actor: &Actor,
    customer: &CustomerRef,
    page: &Checkout,
) -> Result<()> {
    let db = app.db().reader();
    if let Some(url) = &page.return_url {
        check_url(url)?;
    }
    let setting = needed(db, actor).await?;
    let with = provider(app, &setting.provider)?;
    let kinds = &page.kinds;
    let is_twice = kinds
        .iter()
        .enumerate()
        .any(|(place, kind)| kinds[..place].contains(kind));
    if kinds.is_empty() || is_twice {
        return Err(Rejection::invalid("kinds", "name each kind once, and at least one").into());
    }
    if let Some(kind) = kinds.iter().find(|kind| !with.has_on_page(**kind)) {
        let message = format!("`{}` has no page for {}", setting.provider, to_text(kind));
        return Err(Rejection::invalid("kinds", message).into());
    }
    let id = customer::resolve(db, actor.reach(), customer).await?;
    enrolled(app, actor, id, &setting.provider).await.map(drop)
}

/// Opens the page of a payment that was just decided. Whatever keeps the provider from opening it now, a job tries again.
pub(crate) async fn open_page(app: &App, customer: CustomerId) {
    if let Err(error) = collect(app, customer).await {
        tracing::warn!(%customer, %error, "a page could not be opened at once");
    }
}

/// A payment whose page has just been opened.
async fn opened(app: &App, actor: &Actor, decided: Once<Payment>) -> Result<Once<Payment>> {
    let payment = &decided.value;
    open_page(app, payment.customer).await;
    let present = store::payment(app.db().writer(), actor.reach(), payment.id).await?;
    Ok(Once {
        value: present.unwrap_or_else(|| payment.clone()),
        ..decided
    })
}

/// Writes payments that have been decided, and wakes who sends them to their provider. One statement for any number.
pub(crate) async fn decide_in(op: &mut Op, payments: &[Payment]) -> Result<()> {
    if payments.is_empty() {
        return Ok(());
    }
    store::insert_payments(op, payments).await?;
    for payment in payments {
        op.wake(job::payments::wakeup(payment.customer));
    }
    reach("payment.decided")
}

/// With which provider, and how, something other than credits is paid.
pub(crate) async fn payable_in(
    op: &Op,
    actor: &Actor,
    customer: CustomerId,
    way: Way<Option<PaymentMethodId>>,
) -> Result<(String, Way<PaymentMethodId>)> {
    let setting = needed(op.tx(), actor).await?;
    let way = payable(op, actor, customer, &setting.provider, way).await?;
    Ok((setting.provider, way))
}

/// A page, or the way to pay that is named, or else the default. It must be with the provider that the vendor uses now.
async fn payable(
    op: &Op,
    actor: &Actor,
    customer: CustomerId,
    provider: &str,
    way: Way<Option<PaymentMethodId>>,
) -> Result<Way<PaymentMethodId>> {
    let no = |message| Rejection::new(RejectionCode::NotFound, "paymentMethodId", message);
    let method = match way {
        Way::Page(page) => return Ok(Way::Page(page)),
        Way::Saved(Some(id)) => store::method(op.tx(), actor.reach(), id)
            .await?
            .filter(|method| method.customer == customer)
            .ok_or_else(|| no("there is no such payment method"))?,
        Way::Saved(None) => store::default_in(op.tx(), customer)
            .await?
            .ok_or_else(|| no("the customer has no default payment method"))?,
    };
    if method.provider != provider {
        return Err(no("this payment method is with a provider that is no longer used").into());
    }
    Ok(Way::Saved(method.id))
}
