//! Tax numbers of customers.

use domain::{
    id::{CustomerId, TaxRegistrationId},
    rejection::Rejection,
    tax::{
        country::Country,
        number::Kind,
        registration::{TaxRegistration, Verdict},
    },
};
use serde::Serialize;

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
};

/// A tax number that a customer gives.
#[derive(Debug, Clone, Serialize)]
pub struct AddRegistration {
    /// Who.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// What kind of number.
    pub kind: Kind,
    /// Of which country.
    pub country: Country,
    /// The number; spaces, dots and dashes do not count.
    pub value: String,
}

/// Adds a tax number. Its form and check digits are looked at; whether its register knows it is not known yet.
///
/// # Errors
/// No such customer, a text that is no such number, one that the customer has already, or too many.
pub async fn add_registration(
    app: &App,
    actor: &Actor,
    input: AddRegistration,
    key: &str,
) -> Result<Once<TaxRegistration>> {
    actor.require(Scope::InvoiceWrite)?;
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
    let fresh = match claim(&op, actor.tenant, "addTaxRegistration", key, &(customer, &input)).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    op.lock_account(actor.tenant, customer).await?;
    let known = store::registrations(op.tx(), actor.reach(), customer).await?;
    let id = TaxRegistrationId(op.new_id());
    let given = (input.kind, input.country, input.value.as_str());
    let registration = TaxRegistration::new(id, customer, given, &known, op.now())?;
    store::put_registration(&op, actor.tenant, &registration).await?;
    let done = fresh.settle(&op, registration).await?;
    op.commit().await?;
    Ok(done)
}

/// Notes what a register says of a tax number. Invoices that are issued from then on follow it.
///
/// # Errors
/// No such number.
pub async fn verify_registration(
    app: &App,
    actor: &Actor,
    id: TaxRegistrationId,
    verdict: Verdict,
) -> Result<TaxRegistration> {
    actor.require(Scope::InvoiceWrite)?;
    let op = Op::begin(app).await?;
    let known = store::registration(op.tx(), actor.reach(), id).await?;
    let judged = known.ok_or_else(unknown)?.judged(verdict, op.now());
    store::put_registration(&op, actor.tenant, &judged).await?;
    op.commit().await?;
    Ok(judged)
}

/// Removes a tax number. Invoices that were issued with it keep it.
///
/// # Errors
/// No such number.
pub async fn remove_registration(app: &App, actor: &Actor, id: TaxRegistrationId) -> Result<TaxRegistration> {
    actor.require(Scope::InvoiceWrite)?;
    let op = Op::begin(app).await?;
    let known = store::registration(op.tx(), actor.reach(), id).await?;
    let known = known.ok_or_else(unknown)?;
    store::delete_registration(&op, id).await?;
    op.commit().await?;
    Ok(known)
}

fn unknown() -> Rejection {
    Rejection::not_found("taxRegistrationId", "tax number")
}

/// A customer's tax numbers, oldest first. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn registrations(app: &App, actor: &Actor, customer: CustomerId) -> Result<Vec<TaxRegistration>> {
    actor.require(Scope::InvoiceRead)?;
    store::registrations(app.db().reader(), actor.reach(), customer).await
}
