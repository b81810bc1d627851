//! Who is written to, and about what.

use domain::{amount::Credits, credit::low_balance, event::EventType, id::CustomerId, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{alert::is_alert, letter::is_written_about, store, tell::MAX_ADDRESSES};
use crate::{
    App,
    access::check_name,
    actor::{Actor, Scope},
    credit,
    customer::{self, CustomerRef, check_email},
    error::Result,
    op::Op,
};

/// How a vendor writes to its customers, and to its own people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSetting {
    /// Whether it does.
    pub enabled: bool,
    /// The vendor's name in letters; `None`: that of the tenant.
    pub sender: Option<String>,
    /// Types of events that no customer is written about.
    pub muted: Vec<String>,
    /// Where the vendor's own people are written to, whether or not customers are; nowhere unless somebody says so.
    pub operations: Vec<String>,
    /// Types of events that they are not written about.
    pub operations_muted: Vec<String>,
}

/// What to change of it; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UpdateMailSetting {
    /// Whether customers are written to.
    pub enabled: Option<bool>,
    /// The vendor's name in letters; `Some(None)`: that of the tenant.
    pub sender: Option<Option<String>>,
    /// Types of events that no customer is written about.
    pub muted: Option<Vec<String>>,
    /// Where the vendor's own people are written to: at most five.
    pub operations: Option<Vec<String>>,
    /// Types of events that they are not written about.
    pub operations_muted: Option<Vec<String>>,
}

/// How a vendor writes to its customers.
///
/// # Errors
/// The scope is missing.
pub async fn mail_setting(app: &App, actor: &Actor) -> Result<MailSetting> {
    actor.require_for_all(Scope::OperationsRead)?;
    store::setting(app.db().reader(), actor.tenant).await
}

/// Changes how a vendor writes to its customers and its own people. Without any change nobody is written to. Two statements.
///
/// # Errors
/// A type of events that nobody is written about anyway, a name that is empty or too long, too many addresses or one that cannot be.
pub async fn update_mail_setting(app: &App, actor: &Actor, input: UpdateMailSetting) -> Result<MailSetting> {
    actor.require_for_all(Scope::OperationsWrite)?;
    if let Some(Some(sender)) = &input.sender {
        check_name("sender", sender)?;
    }
    check_muted("mutedTypes", input.muted.as_deref(), is_written_about)?;
    check_muted(
        "operationsMutedTypes",
        input.operations_muted.as_deref(),
        is_alert,
    )?;
    check_addresses("operationsAddresses", input.operations.as_deref())?;
    let op = Op::begin(app).await?;
    let before = store::setting(op.tx(), actor.tenant).await?;
    let setting = MailSetting {
        enabled: input.enabled.unwrap_or(before.enabled),
        sender: input.sender.unwrap_or(before.sender),
        muted: input.muted.unwrap_or(before.muted),
        operations: input.operations.unwrap_or(before.operations),
        operations_muted: input.operations_muted.unwrap_or(before.operations_muted),
    };
    store::put_setting(&op, actor.tenant, &setting).await?;
    op.commit().await?;
    Ok(setting)
}

/// Where a customer is written to, and about what it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerMail {
    /// Where to; `None`: to the billing address.
    pub addresses: Option<Vec<String>>,
    /// Types of events that it is not written about.
    pub muted: Vec<String>,
    /// The billing address.
    pub billing_email: Option<String>,
    /// The balance that it wants to be told of when its own comes down to it; `None`: it does not.
    pub low_balance: Option<Credits>,
}

impl CustomerMail {
    /// Where letters go.
    #[must_use]
    pub fn receivers(&self) -> Vec<String> {
        match &self.addresses {
            Some(addresses) => addresses.clone(),
            None => self.billing_email.iter().cloned().collect(),
        }
    }
}

/// What to change of it; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UpdateCustomerMail {
    /// Where to: at most five; an empty list: nowhere. `Some(None)`: to the billing address.
    pub addresses: Option<Option<Vec<String>>>,
    /// Types of events that it is not written about.
    pub muted: Option<Vec<String>>,
    /// The balance that it wants to be told of, zero credits or more; `Some(None)`: none.
    pub low_balance: Option<Option<Credits>>,
}

/// Where a customer is written to.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn customer_mail(app: &App, actor: &Actor, customer: CustomerId) -> Result<CustomerMail> {
    actor.require(Scope::CustomerRead)?;
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), &CustomerRef::Id(customer)).await?;
    let mut found = store::of_customers(db, &[customer]).await?;
    Ok(found.remove(&customer).unwrap_or_default())
}

/// Changes where a customer is written to, and about what. Where its balance is low by a new threshold it is told at once. Three statements; two
/// more where the threshold is given, and what telling costs.
///
/// # Errors
/// No such customer, too many addresses or one that cannot be, a type of events that nobody is written about anyway, or a threshold below zero.
pub async fn update_customer_mail(
    app: &App,
    actor: &Actor,
    who: &CustomerRef,
    input: UpdateCustomerMail,
) -> Result<CustomerMail> {
    actor.require(Scope::CustomerWrite)?;
    check_muted("mutedTypes", input.muted.as_deref(), is_written_about)?;
    check_addresses("addresses", input.addresses.as_ref().and_then(|it| it.as_deref()))?;
    if let Some(Some(threshold)) = input.low_balance {
        low_balance::check("lowBalanceThreshold", threshold)?;
    }
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), who).await?;
    // Also so that of two changes at a time none takes back what the other has said.
    let account = op.lock_account(actor.tenant, customer).await?;
    let account = account.ok_or_else(|| who.unknown())?;
    if let Some(threshold) = input.low_balance {
        credit::notice::watch_in(&op, &account, threshold).await?;
    }
    let mut found = store::of_customers(op.tx(), &[customer]).await?;
    let mut mail = found.remove(&customer).unwrap_or_default();
    mail.addresses = input.addresses.unwrap_or(mail.addresses);
    mail.muted = input.muted.unwrap_or(mail.muted);
    store::put_customer(&op, actor.tenant, customer, &mail).await?;
    op.commit().await?;
    Ok(mail)
}

fn check_addresses(field: &str, addresses: Option<&[String]>) -> Result<()> {
    let addresses = addresses.unwrap_or_default();
    if addresses.len() > MAX_ADDRESSES {
        return Err(Rejection::invalid(field, format!("at most {MAX_ADDRESSES}")).into());
    }
    for address in addresses {
        check_email(field, address)?;
    }
    Ok(())
}

fn check_muted(field: &str, muted: Option<&[String]>, is_written: fn(EventType) -> bool) -> Result<()> {
    for name in muted.unwrap_or_default() {
        if !EventType::named(name).is_some_and(is_written) {
            let message = format!("nobody is written to about `{name}`");
            return Err(Rejection::invalid(field, message).into());
        }
    }
    Ok(())
}
