//! Payments: how a vendor sells credits, with what customers pay, and what has become of it.
//!
//! A purchase is a row before it is a request ([`mod@purchase`]); a job sends it to the provider and asks about it until it has ended
//! ([`mod@collect`]). The network is never inside a transaction, and whatever is heard of a payment ends in the same place. The rules are in
//! [`domain::payment`].

mod collect;
mod event;
mod expiry;
mod method;
mod notice;
mod purchase;
mod returned;
mod sandbox;
mod setting;
mod store;
mod trust;
mod watch;

use domain::{
    id::{CustomerId, InvoiceId, PaymentId, TenantId},
    payment::{Payment, method::Method},
};
use sea_orm::ConnectionTrait;

pub(crate) use self::{
    collect::{collect, due},
    expiry::{are_expiring, tell_expiring},
    notice::{follow_up, waiting},
    purchase::{decide_in, open_page, payable_in, prepare_page},
    sandbox::Rows as SandboxRows,
    setting::{needed, set_stopped_in},
    store::{any_payment as any_in, defaults_in, of_invoice_in, returns_of as returns_of_in},
    trust::{needed_by, terms_in},
    watch::{due as unheard, listen},
};
pub use self::{
    method::{MethodSetup, StartSetup, methods, remove_method, set_default_method, setup, start_setup},
    notice::{Received, receive},
    purchase::{Purchase, purchase},
    returned::{RefundPayment, refund, returns},
    sandbox::{Bank, complete_checkout, complete_setup, confirm_payment, dispute_payment},
    setting::{Setting, UpdateSetting, setting, update_setting},
    trust::{Trust, set_trust, trust},
    watch::{SafeMode, begin_safe_mode, end_safe_mode, safe_mode},
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    page::{Page, Slice},
};

/// A customer's default way to pay, if it is with the provider that the vendor uses now. Two statements.
pub(crate) async fn usable_in(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
) -> Result<Option<Method>> {
    let Some(setting) = store::setting(db, tenant).await? else {
        return Ok(None);
    };
    let method = store::default_in(db, customer).await?;
    Ok(method.filter(|method| method.provider == setting.provider))
}

/// One payment.
///
/// # Errors
/// The scope is missing.
pub async fn payment(app: &App, actor: &Actor, id: PaymentId) -> Result<Option<Payment>> {
    actor.require(Scope::PaymentRead)?;
    store::payment(app.db().reader(), actor.reach(), id).await
}

/// The payments of an invoice, oldest first.
///
/// # Errors
/// The scope is missing.
pub async fn of_invoice(app: &App, actor: &Actor, invoice: InvoiceId) -> Result<Vec<Payment>> {
    actor.require(Scope::PaymentRead)?;
    let mut found = store::of_invoice_in(app.db().reader(), invoice).await?;
    found.retain(|it| it.tenant == actor.tenant && actor.reach().admits(it.customer));
    Ok(found)
}

/// A customer's payments, newest first.
///
/// # Errors
/// The scope is missing.
pub async fn payments(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<PaymentId>,
) -> Result<Slice<Payment>> {
    actor.require(Scope::PaymentRead)?;
    store::payments(app.db().reader(), actor.reach(), customer, page).await
}
