//! Tax numbers of customers.

use domain::{
    id::{CustomerId, TaxRegistrationId},
    invoice::terms::BillingTerms,
    rejection::Rejection,
    tax::{
        country::Country,
        number::Kind,
        registration::{TaxRegistration, Verdict},
    },
};
use gateway::tax::{Asked, TaxNumber, Trouble};
use serde::Serialize;

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
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
    let mut op = Op::begin(app).await?;
    let judged = locked(&mut op, actor, id).await?.judged(verdict, op.now());
    store::put_registration(&op, actor.tenant, &judged).await?;
    op.commit().await?;
    Ok(judged)
}

/// Asks the register of a tax number, and notes what it says. The network is asked before the transaction; without an answer nothing changes.
///
/// # Errors
/// No such number, one of which no register can be asked here, or a register that does not answer.
pub async fn ask_register(app: &App, actor: &Actor, id: TaxRegistrationId) -> Result<TaxRegistration> {
    actor.require(Scope::InvoiceWrite)?;
    let db = app.db().reader();
    let known = store::registration(db, actor.reach(), id)
        .await?
        .ok_or_else(unknown)?;
    let Some(register) = &app.limits().tax_register else {
        let message = "this installation asks no register; say what it says";
        return Err(Rejection::invalid("known", message).into());
    };
    let terms = store::setting(db, actor.tenant)
        .await?
        .map(|setting| setting.terms);
    let asked = Asked {
        number: TaxNumber {
            kind: known.kind,
            country: known.country,
            value: known.value,
        },
        requester: terms.as_ref().and_then(own_number),
    };
    match register.look(&asked).await {
        Ok(said) => verify_registration(app, actor, id, said.into()).await,
        Err(Trouble::NotCovered) => {
            let message = "the register that is asked knows no such numbers; say what another one says";
            Err(Rejection::invalid("known", message).into())
        }
        Err(Trouble::NoAnswer(problem)) => {
            tracing::warn!(%id, problem, "a tax register did not answer");
            Err(Error::Unavailable("the tax register did not answer".to_owned()))
        }
    }
}

/// The vendor's own number, for which a register gives a receipt.
fn own_number(terms: &BillingTerms) -> Option<TaxNumber> {
    Some(TaxNumber {
        kind: Kind::EuVat,
        country: terms.seller.address.country?,
        value: terms.vat_number.clone()?,
    })
}

/// Removes a tax number. Invoices that were issued with it keep it.
///
/// # Errors
/// No such number.
pub async fn remove_registration(app: &App, actor: &Actor, id: TaxRegistrationId) -> Result<TaxRegistration> {
    actor.require(Scope::InvoiceWrite)?;
    let mut op = Op::begin(app).await?;
    let known = locked(&mut op, actor, id).await?;
    store::delete_registration(&op, id).await?;
    op.commit().await?;
    Ok(known)
}

/// Locks the account of a tax number's customer, and reads the number under the lock: an invoice that is being issued goes by one or the
/// other.
async fn locked(op: &mut Op, actor: &Actor, id: TaxRegistrationId) -> Result<TaxRegistration> {
    let known = store::registration(op.tx(), actor.reach(), id).await?;
    op.lock_account(actor.tenant, known.ok_or_else(unknown)?.customer)
        .await?;
    let present = store::registration(op.tx(), actor.reach(), id).await?;
    Ok(present.ok_or_else(unknown)?)
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
