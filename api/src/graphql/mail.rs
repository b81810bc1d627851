//! Letters to customers and to the vendor's own people: whether, where, about what, and what became of them.

use app::{
    customer::CustomerRef,
    notify::{self, Audience, CustomerMail, UpdateCustomerMail, UpdateMailSetting},
};
use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use domain::id::{CustomerId, MailId};

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
    scalar::{DateTime, Decimal},
};

/// What has become of a letter. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "notify::MailState")]
pub enum MailState {
    /// It waits to be sent.
    Queued,
    /// A server has taken it.
    Sent,
    /// This server has none to send it by (`TALLYGATE_SMTP_URL`): it can be read here only.
    Kept,
    /// There was nothing to say after all, such as about a payment that somebody has made by hand.
    Skipped,
    /// It was given up.
    Failed,
}

/// To whom a letter is. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Audience")]
pub enum MailAudience {
    /// To a customer.
    Customer,
    /// To the vendor's own people, at `operationsAddresses`.
    Operations,
}

/// A letter about an event, to a customer or to the vendor's own people.
#[derive(SimpleObject)]
pub struct Mail {
    /// Global id; part of its `Message-ID`.
    pub id: ID,
    /// To whom.
    pub audience: MailAudience,
    /// Global id of the customer whom it is to, or about; null: a letter to the vendor that is about no customer.
    pub customer_id: Option<ID>,
    /// Global id of the event that it is about.
    pub event_id: ID,
    /// Where to.
    pub address: String,
    /// What has become of it.
    pub state: MailState,
    /// Attempts so far.
    pub attempt_count: i32,
    /// Its subject; null until it is written.
    pub subject: Option<String>,
    /// What it says, as plain text; null until it is written.
    pub text: Option<String>,
    /// What it says, as HTML; null until it is written.
    pub html: Option<String>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// When it was made.
    pub created_at: DateTime,
    /// When nothing more was to be done.
    pub ended_at: Option<DateTime>,
}

impl From<notify::Mail> for Mail {
    fn from(it: notify::Mail) -> Self {
        Self {
            id: it.id.to_string().into(),
            audience: it.audience.into(),
            customer_id: it.customer.map(|id| id.to_string().into()),
            event_id: it.event.to_string().into(),
            address: it.address,
            state: it.state.into(),
            attempt_count: it.attempts,
            subject: it.subject,
            text: it.text,
            html: it.html,
            problem: it.problem,
            created_at: it.created_at.into(),
            ended_at: it.ended_at.map(DateTime),
        }
    }
}

/// How a vendor writes to its customers, and to its own people.
#[derive(SimpleObject)]
pub struct MailSettings {
    /// Whether customers are written to. They are not unless somebody says so.
    pub enabled: bool,
    /// The vendor's name in letters; null: that of the tenant. The address that they come from is the server's (`TALLYGATE_MAIL_FROM`).
    pub sender: Option<String>,
    /// Types of events that no customer is written about.
    pub muted_types: Vec<String>,
    /// Types of events that there are letters to customers about.
    pub types: Vec<String>,
    /// Where the vendor's own people are written to about what waits for one of them; empty: nowhere.
    pub operations_addresses: Vec<String>,
    /// Types of events that they are not written about.
    pub operations_muted_types: Vec<String>,
    /// Types of events that there are letters to them about.
    pub operations_types: Vec<String>,
}

impl From<notify::MailSetting> for MailSettings {
    fn from(it: notify::MailSetting) -> Self {
        Self {
            enabled: it.enabled,
            sender: it.sender,
            muted_types: it.muted,
            types: notify::ABOUT.iter().map(ToString::to_string).collect(),
            operations_addresses: it.operations,
            operations_muted_types: it.operations_muted,
            operations_types: notify::ABOUT_OPERATIONS.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Where a customer is written to, about what it is not, and at which balance it is.
#[derive(SimpleObject)]
pub struct CustomerNotifications {
    /// Where letters go.
    pub addresses: Vec<String>,
    /// Whether that is the billing address because nothing else was said.
    pub is_billing_address: bool,
    /// Types of events that it is not written about.
    pub muted_types: Vec<String>,
    /// The balance, in credits, that it wants to be told of when its own comes down to it (`balance.low`); null: it does not.
    pub low_balance_threshold: Option<Decimal>,
}

impl From<CustomerMail> for CustomerNotifications {
    fn from(it: CustomerMail) -> Self {
        Self {
            addresses: it.receivers(),
            is_billing_address: it.addresses.is_none(),
            muted_types: it.muted,
            low_balance_threshold: it.low_balance.map(Decimal::from),
        }
    }
}

/// Where a customer is written to.
pub(super) async fn customer_notifications(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<CustomerNotifications> {
    let (app, actor) = caller(ctx)?;
    let found = notify::customer_mail(app, actor, customer)
        .await
        .map_err(top_level)?;
    Ok(found.into())
}

/// Reads of letters.
#[derive(Default)]
pub struct MailQuery;

#[Object]
impl MailQuery {
    /// The letters to customers and to the vendor's own people, newest first, with what they say; in development they are read here. Needs `operations:read`, for all customers.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn outbox(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Mail>> {
        let (app, actor) = caller(ctx)?;
        let args = Args {
            first,
            last,
            after,
            before,
        };
        let page = args.page::<MailId>()?;
        let slice = notify::outbox(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |it| it.id.to_string(), Mail::from))
    }

    /// How customers and the vendor's own people are written to. Needs `operations:read`, for all customers.
    async fn mail_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<MailSettings> {
        let (app, actor) = caller(ctx)?;
        let setting = notify::mail_setting(app, actor).await.map_err(top_level)?;
        Ok(setting.into())
    }
}

/// How customers and the vendor's own people are to be written to; what is left out stays.
#[derive(InputObject)]
pub struct UpdateMailSettingsInput {
    /// Whether customers are written to.
    pub enabled: Option<bool>,
    /// The vendor's name in letters; null: that of the tenant. The address that they come from is the server's (`TALLYGATE_MAIL_FROM`).
    pub sender: MaybeUndefined<String>,
    /// Types of events that no customer is written about, of `types`.
    pub muted_types: Option<Vec<String>>,
    /// Where the vendor's own people are written to, whether or not customers are: at most five addresses; an empty list: nowhere.
    pub operations_addresses: Option<Vec<String>>,
    /// Types of events that they are not written about, of `operationsTypes`.
    pub operations_muted_types: Option<Vec<String>>,
}

/// Where a customer is to be written to; what is left out stays.
#[derive(InputObject)]
pub struct UpdateCustomerNotificationsInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Where to: at most five addresses; an empty list: nowhere; null: to the billing address.
    pub addresses: MaybeUndefined<Vec<String>>,
    /// Types of events that it is not written about.
    pub muted_types: Option<Vec<String>>,
    /// The balance, in credits, that it wants to be told of when its own comes down to it, zero or more: by the event `balance.low` and a letter,
    /// once per UTC day at most. Told at once where the balance is there already. Null: it does not want to be told.
    pub low_balance_threshold: MaybeUndefined<Decimal>,
}

impl UpdateCustomerNotificationsInput {
    fn command(self) -> app::Result<(CustomerRef, UpdateCustomerMail)> {
        let threshold: Option<Option<Decimal>> = self.low_balance_threshold.into();
        let credits = |threshold: Decimal| threshold.credits("lowBalanceThreshold");
        let low_balance = threshold.map(|it| it.map(credits).transpose()).transpose()?;
        let command = UpdateCustomerMail {
            addresses: self.addresses.into(),
            muted: self.muted_types,
            low_balance,
        };
        Ok((
            customer_ref(self.customer_id, self.external_customer_id)?,
            command,
        ))
    }
}

payload! {
    /// Result of `updateMailSettings`.
    UpdateMailSettingsPayload {
        /// The settings from now on; null when they were refused.
        settings: MailSettings
    }
}

payload! {
    /// Result of `updateCustomerNotifications`.
    UpdateCustomerNotificationsPayload {
        /// Where the customer is written to from now on; null when it was refused.
        notifications: CustomerNotifications
    }
}

/// Writes of letters.
#[derive(Default)]
pub struct MailMutation;

#[Object]
impl MailMutation {
    /// Says how customers and the vendor's own people are written to. Needs `operations:write`, for all customers.
    async fn update_mail_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateMailSettingsInput,
    ) -> async_graphql::Result<UpdateMailSettingsPayload> {
        let (app, actor) = caller(ctx)?;
        let command = UpdateMailSetting {
            enabled: input.enabled,
            sender: input.sender.into(),
            muted: input.muted_types,
            operations: input.operations_addresses,
            operations_muted: input.operations_muted_types,
        };
        let outcome = notify::update_mail_setting(app, actor, command).await;
        UpdateMailSettingsPayload::from_outcome(plain(outcome), MailSettings::from)
    }

    /// Says where one customer is written to, about what it is not, and at which balance it is. Needs `customer:write`.
    async fn update_customer_notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateCustomerNotificationsInput,
    ) -> async_graphql::Result<UpdateCustomerNotificationsPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok((who, command)) => notify::update_customer_mail(app, actor, &who, command).await,
            Err(error) => Err(error),
        };
        UpdateCustomerNotificationsPayload::from_outcome(plain(outcome), CustomerNotifications::from)
    }
}
