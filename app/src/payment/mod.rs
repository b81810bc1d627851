//! Payments: how a vendor sells credits, with what customers pay, and what has become of it.
//!
//! A purchase is a row before it is a request ([`mod@purchase`]); a job sends it to the provider and asks about it until it has ended
//! ([`mod@collect`]). The network is never inside a transaction, and whatever is heard of a payment ends in the same place. The rules are in
//! [`domain::payment`].

mod collect;
mod event;
mod method;
mod purchase;
mod sandbox;
mod setting;
mod store;

use domain::{
    id::{CustomerId, PaymentId},
    payment::Payment,
};

pub(crate) use self::{
    collect::{collect, due},
    purchase::decide_in,
    sandbox::Rows as SandboxRows,
    setting::{needed, set_stopped_in},
    store::{defaults_in, settings_in},
};
pub use self::{
    method::{MethodSetup, StartSetup, methods, remove_method, set_default_method, setup, start_setup},
    purchase::{Purchase, purchase},
    sandbox::{complete_setup, confirm_payment},
    setting::{Setting, UpdateSetting, setting, update_setting},
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    page::{Page, Slice},
};

/// One payment.
///
/// # Errors
/// The scope is missing.
pub async fn payment(app: &App, actor: &Actor, id: PaymentId) -> Result<Option<Payment>> {
    actor.require(Scope::PaymentRead)?;
    store::payment(app.db().reader(), actor.reach(), id).await
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
