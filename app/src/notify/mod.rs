//! Letters: what customers are told by e-mail about what has happened, and what the vendor's own people are.
//!
//! An event that is published becomes a letter for each address of its customer ([`tell_in`]), in the same transaction, if its vendor writes to
//! customers and nobody has muted it; and for each operations address of the vendor, if it is something that waits for somebody. Since an event is told once, so is a letter queued once, however many workers there are. Letters are
//! written and sent afterwards ([`send_due`]); without a server they are kept to be read (`outbox`).

mod alert;
mod letter;
mod said;
mod send;
mod setting;
mod store;
mod tell;

use domain::{
    id::{BillingEventId, CustomerId, MailId},
    time::Timestamp,
};
use entity::{from_text, mail};
use serde::{Deserialize, Serialize};

pub use self::{
    alert::ABOUT as ABOUT_OPERATIONS,
    letter::{ABOUT, is_written_about},
    setting::{
        CustomerMail, MailSetting, UpdateCustomerMail, UpdateMailSetting, customer_mail, mail_setting,
        update_customer_mail, update_mail_setting,
    },
};
pub(crate) use self::{
    send::{is_due, send_due},
    store::forget_in,
    tell::tell_in,
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::{Error, Result},
    page::{Page, Slice},
};

/// What has become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MailState {
    /// It waits to be sent.
    Queued,
    /// A server has taken it.
    Sent,
    /// There is no server to send it by: it can be read here only.
    Kept,
    /// There was nothing to say after all.
    Skipped,
    /// It was given up.
    Failed,
}

/// To whom a letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Audience {
    /// To a customer.
    Customer,
    /// To the vendor's own people.
    Operations,
}

/// A letter to a customer, or to the vendor's own people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// To whom.
    pub audience: Audience,
    /// To which customer, or about which; `None`: about the vendor itself.
    pub customer: Option<CustomerId>,
    /// About what.
    pub event: BillingEventId,
    /// Where to.
    pub address: String,
    /// What has become of it.
    pub state: MailState,
    /// Attempts so far.
    pub attempts: i32,
    /// What it is about, once it was written.
    pub subject: Option<String>,
    /// What it says, as plain text.
    pub text: Option<String>,
    /// What it says, as HTML.
    pub html: Option<String>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When nothing more was to be done.
    pub ended_at: Option<Timestamp>,
}

impl TryFrom<mail::Model> for Mail {
    type Error = Error;

    fn try_from(row: mail::Model) -> Result<Self> {
        Ok(Self {
            id: MailId(row.id),
            audience: from_text("mail.audience", &row.audience)?,
            customer: row.customer_id.map(CustomerId),
            event: BillingEventId(row.event_id),
            address: row.address,
            state: from_text("mail.state", &row.state)?,
            attempts: row.attempts,
            subject: row.subject,
            text: row.body_text,
            html: row.body_html,
            problem: row.problem,
            created_at: Timestamp::from_micros(row.created_at),
            ended_at: row.ended_at.map(Timestamp::from_micros),
        })
    }
}

/// The letters of a tenant, newest first.
///
/// # Errors
/// The scope is missing.
pub async fn outbox(app: &App, actor: &Actor, page: Page<MailId>) -> Result<Slice<Mail>> {
    actor.require_for_all(Scope::OperationsRead)?;
    store::outbox(app.db().reader(), actor.tenant, page).await
}
