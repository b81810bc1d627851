//! Variants: one way to buy a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    interval::Interval,
    money_price::{CreditPrice, MoneyPrice},
};
use crate::{
    cycle::late::LatePolicy,
    id::{MetricId, PlanId, VariantId},
    money::{Currency, Money},
    rejection::Rejection,
    time::Timestamp,
};

/// Longest trial, notice or grace, in days.
pub const MAX_DAYS: i32 = 366;
/// How long a cycle waits for late usage unless configured otherwise, in seconds: producers send what they have gathered within
/// seconds. Grants do not wait.
pub const DEFAULT_LATE_SECONDS: i64 = 60;
/// Longest wait for late usage, in seconds: 7 days. Well below the age at which usage is refused.
pub const MAX_LATE_SECONDS: i64 = 7 * 86_400;
/// Most metrics with a price in money.
pub const MAX_MONEY_PRICES: usize = 100;

/// Whether a cycle is paid before or after it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Before: the next cycle begins when it is paid.
    Prepaid,
    /// After: cycles advance by themselves and are invoiced when they end (sources P0 and P4).
    Postpaid,
}

/// What a cycle brings and costs that is shorter than its interval because of the billing day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ShortCycle {
    /// As much as a whole one.
    #[default]
    Full,
    /// As much as its seconds are of the whole interval's.
    Prorated,
}

/// How much of its own money a customer may turn into credits at once. Source P3: only some plans may, from $10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseLimits {
    /// Smallest purchase, more than zero; `None`: any.
    pub minimum: Option<Money>,
    /// Largest purchase; `None`: any.
    pub maximum: Option<Money>,
}

/// One way to buy a plan. Written once; archived when no longer offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name in rows.
    pub id: VariantId,
    /// Of which plan.
    pub plan: PlanId,
    /// Its name for people.
    pub name: String,
    /// How long a cycle is.
    pub interval: Interval,
    /// Paid before or after.
    pub mode: Mode,
    /// What a cycle costs, zero or more. Zero: free of charge, so it renews by itself. `None`: not known here, because the vendor
    /// charges elsewhere; a prepaid subscription then waits for `renewSubscription`.
    pub fee: Option<Money>,
    /// Length of the trial in calendar days; 0: none.
    pub trial_days: i32,
    /// Prepaid: how many calendar days before the end of a cycle renewal is due.
    pub renewal_due_days: i32,
    /// Prepaid: for how many calendar days an unpaid subscription is overdue before it expires.
    pub grace_days: i32,
    /// Whether checks let usage pass while the subscription is overdue.
    pub allow_usage_while_overdue: bool,
    /// Limits of purchases; `None`: customers of this variant buy no credits.
    pub purchase: Option<PurchaseLimits>,
    /// What a credit costs, for purchases and for invoices of budgets and overdraft.
    pub credit_price: Option<CreditPrice>,
    /// What metrics cost in money, for invoices. A metric without is billed by the credit price.
    pub money_prices: BTreeMap<MetricId, MoneyPrice>,
    /// What happens to usage that comes after its cycle has closed.
    pub late: LatePolicy,
    /// How long after its end a cycle still takes usage, in seconds, 0 to 7 days.
    pub late_seconds: i64,
    /// What short cycles bring.
    pub short_cycle: ShortCycle,
    /// Since when it is no longer offered. Subscriptions that have it keep it.
    pub archived_at: Option<Timestamp>,
}

impl Variant {
    /// Checks a variant before it is written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self) -> Result<(), Rejection> {
        Interval::new(self.interval.unit, self.interval.count).map_err(|no| no.under("interval"))?;
        for (field, days) in [
            ("trialDays", self.trial_days),
            ("renewalDueDays", self.renewal_due_days),
            ("graceDays", self.grace_days),
        ] {
            if !(0..=MAX_DAYS).contains(&days) {
                return Err(Rejection::invalid(field, format!("it is 0 to {MAX_DAYS} days")));
            }
            // Source P4: "those are prepaid concepts".
            if self.mode == Mode::Postpaid && field != "trialDays" && days > 0 {
                return Err(Rejection::invalid(field, "it goes with PREPAID only"));
            }
        }
        if !(0..=MAX_LATE_SECONDS).contains(&self.late_seconds) {
            return Err(Rejection::invalid(
                "lateWindowSeconds",
                format!("it is 0 to {MAX_LATE_SECONDS} seconds"),
            ));
        }
        if self.money_prices.len() > MAX_MONEY_PRICES {
            return Err(Rejection::invalid(
                "moneyPrices",
                format!("at most {MAX_MONEY_PRICES} metrics"),
            ));
        }
        for price in self.money_prices.values() {
            price.validate().map_err(|no| no.under("moneyPrices"))?;
        }
        if let Some(price) = self.credit_price {
            price.validate().map_err(|no| no.under("creditPrice"))?;
        }
        self.validate_money()
    }

    /// Signs and order of amounts, and one currency for all.
    fn validate_money(&self) -> Result<(), Rejection> {
        let refuse = |field, message: &str| Err(Rejection::invalid(field, message));
        if self.fee.is_some_and(|fee| fee.minor < 0) {
            return refuse("fee", "a fee must not be negative");
        }
        let (minimum, maximum) = self
            .purchase
            .map_or((None, None), |limits| (limits.minimum, limits.maximum));
        for (field, limit) in [("purchase.minimum", minimum), ("purchase.maximum", maximum)] {
            if limit.is_some_and(|limit| limit.minor <= 0) {
                return refuse(field, "a limit is more than zero");
            }
        }
        let amounts = [
            ("fee.currency", self.fee),
            ("purchase.minimum.currency", minimum),
            ("purchase.maximum.currency", maximum),
        ];
        let currencies = amounts
            .into_iter()
            .filter_map(|(field, money)| Some((field, money?.currency)))
            .chain(
                self.credit_price
                    .map(|price| ("creditPrice.currency", price.currency)),
            )
            .chain(
                self.money_prices
                    .values()
                    .map(|price| ("moneyPrices", price.currency)),
            );
        let mut first: Option<Currency> = None;
        for (field, currency) in currencies {
            if *first.get_or_insert(currency) != currency {
                return refuse(field, "all amounts of a variant have one currency");
            }
        }
        if let (Some(minimum), Some(maximum)) = (minimum, maximum)
            && minimum.minor > maximum.minor
        {
            return refuse("purchase.maximum", "it must not be below the minimum");
        }
        Ok(())
    }

    /// Whether it begins with a trial.
    #[must_use]
    pub fn has_trial(&self) -> bool {
        self.trial_days > 0
    }

    /// Whether a cycle must be paid before it begins.
    #[must_use]
    pub fn awaits_payment(&self) -> bool {
        self.mode == Mode::Prepaid && self.fee.is_none_or(|fee| fee.minor > 0)
    }

    /// Checks an amount that a customer wants to turn into credits.
    ///
    /// # Errors
    /// This variant sells no credits, the currency is another, or the amount is outside the limits.
    pub fn check_purchase(&self, amount: Money) -> Result<(), Rejection> {
        let refuse = |message: String| Err(Rejection::invalid("amount", message));
        let Some(limits) = self.purchase else {
            return refuse("credits cannot be bought with this plan".to_owned());
        };
        if amount.minor <= 0 {
            return refuse("a purchase is more than zero".to_owned());
        }
        for (limit, above) in [(limits.minimum, true), (limits.maximum, false)] {
            match limit {
                Some(limit) if limit.currency != amount.currency => {
                    return refuse(format!("purchases are made in {}", limit.currency));
                }
                Some(limit) if above && amount.minor < limit.minor => {
                    return refuse(format!("at least {limit}"));
                }
                Some(limit) if !above && amount.minor > limit.minor => {
                    return refuse(format!("at most {limit}"));
                }
                _ => {}
            }
        }
        match self.credit_price {
            Some(price) if price.currency != amount.currency => {
                refuse(format!("purchases are made in {}", price.currency))
            }
            _ => Ok(()),
        }
    }
}
