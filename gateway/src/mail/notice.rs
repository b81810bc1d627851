//! What customers are told.

use domain::{amount::Credits, money::Money, spend::Span, time::Timestamp};

/// What a customer is told, with what is to be known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Usage has come to a part of a budget at which the customer wants to know.
    BudgetThreshold {
        /// Of which budget.
        period: Span,
        /// What has been used.
        used: Credits,
        /// Where the customer wants to know.
        threshold: Credits,
        /// When the count begins again.
        resets_at: Timestamp,
    },
    /// A budget is used up.
    BudgetReached {
        /// Which one.
        period: Span,
        /// What has been used.
        used: Credits,
        /// All that was to be used.
        budget: Credits,
        /// When the count begins again.
        resets_at: Timestamp,
        /// Whether further usage is refused until then.
        blocked: bool,
    },
    /// Few credits are left.
    BalanceLow {
        /// What is left.
        remaining: Credits,
        /// Where the customer wants to know.
        threshold: Credits,
    },
    /// Credits that are not used will soon be gone.
    CreditsExpiring {
        /// How many.
        credits: Credits,
        /// When the first of them.
        expires_at: Timestamp,
        /// When the last of them, if they do not all expire at once.
        last_at: Option<Timestamp>,
        /// In how many days the first.
        days: u32,
    },
    /// Credits were bought by themselves.
    RechargeSucceeded {
        /// What was paid.
        amount: Money,
        /// What was bought.
        credits: Credits,
    },
    /// Credits were to be bought by themselves, and the payment failed.
    RechargeFailed {
        /// What was to be paid.
        amount: Money,
        /// Why, in words.
        reason: String,
        /// When it is tried again, if it is.
        retry_at: Option<Timestamp>,
    },
    /// Credits are not bought by themselves any more.
    RechargeDisabled {
        /// Why, in words.
        reason: String,
    },
    /// A payment waits for the customer to confirm it.
    RechargeActionRequired {
        /// What is to be paid.
        amount: Money,
        /// Where.
        url: Option<String>,
    },
    /// What a month may cost is used to a part at which the customer is told.
    RechargeCapReached {
        /// How much of it, of a hundred.
        percent: u32,
        /// What the month has cost.
        spent: Money,
        /// What it may cost.
        cap: Money,
    },
    /// There is a new invoice.
    InvoiceIssued {
        /// Its number.
        number: String,
        /// What is to be paid.
        total: Money,
        /// Until when.
        due_at: Timestamp,
        /// Where it is.
        document: Option<Document>,
    },
    /// An invoice was paid.
    InvoicePaid {
        /// Its number.
        number: String,
        /// What was paid.
        total: Money,
        /// Where it is.
        document: Option<Document>,
    },
    /// The payment of an invoice failed.
    InvoicePaymentFailed {
        /// Its number.
        number: String,
        /// What was to be paid.
        total: Money,
        /// Why, in words.
        reason: String,
        /// When it is tried again, if it is.
        retry_at: Option<Timestamp>,
        /// Where it is.
        document: Option<Document>,
    },
    /// An invoice should have been paid by now.
    InvoicePastDue {
        /// Its number.
        number: String,
        /// What is to be paid.
        total: Money,
        /// Where it is.
        document: Option<Document>,
    },
    /// A card, or another way to pay, will soon be good no more.
    PaymentMethodExpiring {
        /// What it is called, such as `Visa 4242`.
        name: String,
        /// The last month in which it is good, from 1.
        month: u8,
        /// The year of that month.
        year: u16,
    },
    /// Nothing is sent to the customer's own address for spend alerts any more.
    WebhookDisabled {
        /// The address.
        url: String,
        /// Since when nothing has arrived there.
        since: Timestamp,
        /// What went wrong the last time, in words.
        problem: String,
    },
}

/// Where an invoice can be read by whoever has the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The page.
    pub page: String,
    /// The PDF.
    pub pdf: String,
}
