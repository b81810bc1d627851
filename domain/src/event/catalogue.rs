//! Every event there is. The names and fields of subscriptions are those of source P4 where it has them.
//!
//! To add one: an entry here. A field that goes away or changes its meaning makes a new version; a new field does not.

use super::{Field, Shape};

macro_rules! catalogue {
    ($(#[doc = $about:literal] $name:ident $text:literal $version:literal $fields:expr;)*) => {
        /// What has happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(#[doc = $about] $name,)*
        }

        impl EventType {
            /// Every type, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the feed and in webhooks, such as `invoice.paid`. Never changes.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about.trim_ascii(),)* }
            }

            /// Version of its fields, from 1.
            #[must_use]
            pub fn version(self) -> i32 {
                match self { $(Self::$name => $version,)* }
            }

            /// The fields of its `data`. Every one is there, and no other.
            #[must_use]
            pub fn fields(self) -> &'static [Field] {
                match self { $(Self::$name => $fields,)* }
            }
        }
    };
}

/// Fields, with their shapes; `or null` where there may be nothing.
macro_rules! fields {
    ($($name:ident: $shape:ident $(or $null:ident)?),* $(,)?) => {
        const { &[$(Field { name: stringify!($name), shape: Shape::$shape, nullable: fields!(@ $($null)?) }),*] }
    };
    (@) => { false };
    (@ null) => { true };
}

const SUBSCRIPTION: &[Field] = fields![subscription_id: Id, customer_id: Id, billing_mode: Word];
const PAYMENT: &[Field] = fields![
    payment_id: Id, customer_id: Id, purpose: Word, amount: Amount, currency: Currency, credits: Credits,
    decline_code: Word or null, action_url: Url or null,
];
const RETURN: &[Field] = fields![
    payment_id: Id, return_id: Id, customer_id: Id, purpose: Word, amount: Amount, currency: Currency, credits: Credits,
    reason: Text or null, credit_note_number: Text or null,
];
const RECHARGE: &[Field] = fields![
    customer_id: Id, state: Word, reason: Word or null, next_attempt_at: Instant or null, payment_id: Id or null,
    monthly_cap: Amount, spent: Amount, currency: Currency,
];
const INVOICE: &[Field] = fields![
    invoice_id: Id, customer_id: Id, number: Text or null, state: Word, kind: Word, total: Amount, amount_due: Amount,
    currency: Currency, due_at: Instant or null,
];

catalogue! {
    /// A subscription began.
    SubscriptionCreated "subscription.created" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, period: Period, credits_granted: Credits];
    /// A cycle has closed and the next one is running, paid or to be paid afterwards.
    SubscriptionRenewed "subscription.renewed" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, prior_period: Period or null, new_period: Period, cycle_number: Whole,
         credits_granted: Credits, usage_summary: UsageSummary or null];
    /// A cycle has closed and no paid one followed: the final summary, or that of a cycle before an unpaid one.
    SubscriptionCycleClosed "subscription.cycle_closed" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, period: Period, cycle_number: Whole, usage_summary: UsageSummary];
    /// Prepaid: the next cycle is to be paid.
    SubscriptionRenewalDue "subscription.renewal_due" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, cycle_number: Whole, period_end: Instant];
    /// Prepaid: the cycle began unpaid.
    SubscriptionOverdue "subscription.overdue" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, expires_at: Instant];
    /// Prepaid: it was not paid within the grace days.
    SubscriptionExpired "subscription.expired" 1 SUBSCRIPTION;
    /// It was paused.
    SubscriptionPaused "subscription.paused" 1 SUBSCRIPTION;
    /// It goes on.
    SubscriptionResumed "subscription.resumed" 1 SUBSCRIPTION;
    /// It will end with its cycle.
    SubscriptionCancellationScheduled "subscription.cancellation_scheduled" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, ends_at: Instant];
    /// It was cancelled.
    SubscriptionCancelled "subscription.cancelled" 1 SUBSCRIPTION;
    /// Another plan variant will begin with the next cycle.
    SubscriptionPlanChangeScheduled "subscription.plan_change_scheduled" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, to_plan_variant_id: Id];
    /// Another plan variant has begun.
    SubscriptionPlanChanged "subscription.plan_changed" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, from_plan_variant_id: Id, to_plan_variant_id: Id];
    /// The contract will end soon.
    SubscriptionContractEndingSoon "subscription.contract_ending_soon" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, contract_end: Instant, days_remaining: Whole];
    /// The contract has ended: no further cycles and no further grants.
    SubscriptionContractEnded "subscription.contract_ended" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, contract_end: Instant];
    /// The contract ends later than agreed before.
    SubscriptionContractExtended "subscription.contract_extended" 1
        fields![subscription_id: Id, customer_id: Id, billing_mode: Word, previous_contract_end: Instant, contract_end: Instant, reactivated: Flag];

    /// The balance has come down to where the customer wants to be told; once per UTC day at most. Null: the overage has no limit.
    BalanceLow "balance.low" 1
        fields![customer_id: Id, balance: Credits, threshold: Credits, overage_line: Credits or null];
    /// Credits will be gone in 30, 7 or 1 days: blocks that come to the stage within a day, at most a hundred of them listed.
    CreditsExpiring "credits.expiring" 1
        fields![customer_id: Id, stage_days: Whole, days_remaining: Whole, credits: Credits, first_expires_at: Instant, last_expires_at: Instant,
         block_count: Whole, blocks: Blocks];

    /// The customer has to confirm a payment.
    PaymentRequiresAction "payment.requires_action" 1 PAYMENT;
    /// A payment has succeeded.
    PaymentSucceeded "payment.succeeded" 1 PAYMENT;
    /// A payment has failed.
    PaymentFailed "payment.failed" 1 PAYMENT;
    /// Another amount was paid than was asked for; somebody has to look.
    PaymentQuarantined "payment.quarantined" 1 PAYMENT;
    /// A refund has reached the customer.
    PaymentRefunded "payment.refunded" 1 RETURN;
    /// A refund did not reach the customer; its credits are back.
    PaymentRefundFailed "payment.refund_failed" 1 RETURN;
    /// The customer's bank asks about a payment.
    PaymentDisputeInquiry "payment.dispute_inquiry" 1 RETURN;
    /// The customer's bank has taken the money back for now.
    PaymentDisputed "payment.disputed" 1 RETURN;
    /// A dispute was lost: the money is gone.
    PaymentDisputeLost "payment.dispute_lost" 1 RETURN;
    /// A dispute was won: the money is back.
    PaymentDisputeWon "payment.dispute_won" 1 RETURN;
    /// A card expires soon.
    PaymentMethodExpiring "payment_method.expiring" 1
        fields![payment_method_id: Id, customer_id: Id, brand: Text, last_four: Text or null, is_default: Flag, expiry_year: Whole or null,
         expiry_month: Whole or null];

    /// Usage beyond the bound of the customer's overdraft was written off: the vendor takes it upon itself.
    OvershootWrittenOff "overshoot.written_off" 1
        fields![customer_id: Id, ledger_entry_id: Text, credits: Credits, bound: Credits, overdraft: Credits, metric_id: Id or null];

    /// An auto-recharge does not charge for now.
    AutoRechargeHeld "auto_recharge.held" 1 RECHARGE;
    /// An auto-recharge waits for its customer.
    AutoRechargePaused "auto_recharge.paused" 1 RECHARGE;
    /// An auto-recharge is off.
    AutoRechargeDisabled "auto_recharge.disabled" 1 RECHARGE;
    /// So many percent of a month's cap are spent.
    AutoRechargeCapUsed "auto_recharge.cap_used" 1
        fields![customer_id: Id, state: Word, reason: Word or null, next_attempt_at: Instant or null, payment_id: Id or null, monthly_cap: Amount,
         spent: Amount, currency: Currency, percent: Whole];

    /// What a customer has spent in a day or a month has come to where it wants to be told.
    SpendThresholdReached "spend.threshold_reached" 1
        fields![customer_id: Id, span: Word, period: Period, threshold: Credits, used: Credits, mode: Word];
    /// A customer's own budget of a day or a month is spent. Nothing more may be used until the period is over, unless it is only observed.
    SpendBudgetReached "spend.budget_reached" 1
        fields![customer_id: Id, span: Word, period: Period, budget: Credits, used: Credits, mode: Word];

    /// An invoice waits to be issued.
    InvoiceDrafted "invoice.drafted" 1 INVOICE;
    /// An invoice was issued.
    InvoiceFinalized "invoice.finalized" 1 INVOICE;
    /// An invoice is paid.
    InvoicePaid "invoice.paid" 1 INVOICE;
    /// More was paid than an invoice asked for.
    InvoiceOverpaid "invoice.overpaid" 1 INVOICE;
    /// A payment of an invoice has failed.
    InvoicePaymentFailed "invoice.payment_failed" 1 INVOICE;
    /// An invoice is charged by itself no more: the default payment method was declined for good or too often, or it was taken away. Another one is charged.
    InvoiceCollectionEnded "invoice.collection_ended" 1 INVOICE;
    /// An invoice was not paid in time.
    InvoicePastDue "invoice.past_due" 1 INVOICE;
    /// An invoice was taken back.
    InvoiceVoided "invoice.voided" 1 INVOICE;
    /// Nobody expects an invoice to be paid any more.
    InvoiceMarkedUncollectible "invoice.marked_uncollectible" 1 INVOICE;
    /// A credit note takes back part of an invoice, or all of it.
    InvoiceCreditNoteCreated "invoice.credit_note_created" 1 INVOICE;

    /// A webhook endpoint has failed for so long that nothing is sent to it any more. With a customer: it is the customer's own.
    WebhookEndpointDisabled "webhook_endpoint.disabled" 1
        fields![webhook_endpoint_id: Id, customer_id: Id or null, url: Url, failing_since: Instant, last_problem: Text];
    /// Somebody tries a webhook endpoint.
    WebhookTest "webhook.test" 1 fields![webhook_endpoint_id: Id];
}

impl EventType {
    /// The type with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.as_str() == name)
    }

    /// Whether every endpoint that wants it hears of it. A test goes to the endpoint that it tests.
    #[must_use]
    pub fn is_for_all(self) -> bool {
        self != Self::WebhookTest
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_told_apart_and_found_again() {
        let names: BTreeSet<_> = EventType::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.len(), EventType::ALL.len());
        for &it in EventType::ALL {
            assert_eq!(EventType::named(it.as_str()), Some(it));
            assert!(it.version() >= 1);
        }
        assert_eq!(EventType::named("invoice"), None);
    }

    #[test]
    fn amounts_say_in_which_currency() {
        for it in EventType::ALL {
            let has = |shape| it.fields().iter().any(|field| field.shape == shape);
            assert!(!has(Shape::Amount) || has(Shape::Currency), "{it}");
            let names: BTreeSet<_> = it.fields().iter().map(|field| field.name).collect();
            assert_eq!(names.len(), it.fields().len(), "{it}");
        }
    }
}
