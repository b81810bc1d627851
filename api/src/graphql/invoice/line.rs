//! Lines and taxes of invoices.

use async_graphql::{Enum, ID, SimpleObject};
use domain::{
    invoice::{
        line::{Detail, Line},
        usage::{Counts, Part, Usage},
    },
    tax::levy::TaxLine,
};

use super::InvoicePeriod;
use crate::graphql::{
    money::Money,
    scalar::{CountryCode, Decimal},
};

/// What a part of a line counts. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Counts")]
pub enum InvoiceCounts {
    /// Units of the metric.
    Units,
    /// Events, whatever their units.
    Events,
    /// Started packages of units.
    Packages,
    /// Credits.
    Credits,
}

/// A part of a usage line: so many of something at one price. One for each tier that was reached.
#[derive(SimpleObject)]
pub struct InvoiceLinePart {
    /// What is counted.
    pub counts: InvoiceCounts,
    /// The tier begins above this count; zero where there are no tiers.
    pub above: Decimal,
    /// Last count of the tier (inclusive); null: it has no end, or there are no tiers.
    pub up_to: Option<Decimal>,
    /// How many.
    pub quantity: Decimal,
    /// What one costs, in major units of the currency.
    pub unit_price: Decimal,
    /// What all cost. Sums of parts are rounded and not the parts, so that they add up to the full amount.
    pub amount: Money,
}

impl From<Part> for InvoiceLinePart {
    fn from(part: Part) -> Self {
        Self {
            counts: part.counts.into(),
            above: part.above.into(),
            up_to: part.up_to.map(Decimal::from),
            quantity: part.quantity.into(),
            unit_price: part.unit_price.into(),
            amount: part.amount.into(),
        }
    }
}

/// What was used of a metric, and what paid for it.
#[derive(SimpleObject)]
pub struct InvoiceUsage {
    /// Global id of the metric.
    pub metric_id: ID,
    /// What it was called.
    pub name: String,
    /// What one unit was called.
    pub unit: String,
    /// Units used.
    pub units: Decimal,
    /// Credits that it cost.
    pub credits: Decimal,
    /// Credits of these that prepaid or free credits have paid for, or that were written off.
    pub covered_credits: Decimal,
    /// Credits of the covered ones that were written off: they lay beyond the bound of the customer's overdraft.
    pub written_off_credits: Decimal,
    /// The full amount, tier by tier.
    pub parts: Vec<InvoiceLinePart>,
    /// What all of it is worth.
    pub full_amount: Money,
    /// What of that prepaid or free credits have paid for, or was written off. The line bills the rest.
    pub covered_amount: Money,
}

impl From<Usage> for InvoiceUsage {
    fn from(usage: Usage) -> Self {
        Self {
            metric_id: usage.metric.to_string().into(),
            name: usage.name,
            unit: usage.unit,
            units: usage.units.into(),
            credits: usage.credits.total.into(),
            covered_credits: usage.credits.covered.into(),
            written_off_credits: usage.credits.written_off.into(),
            parts: usage.parts.into_iter().map(InvoiceLinePart::from).collect(),
            full_amount: usage.full.into(),
            covered_amount: usage.covered.into(),
        }
    }
}

/// One line of an invoice.
#[derive(SimpleObject)]
pub struct InvoiceLine {
    /// What for, in words.
    pub description: String,
    /// The time that it is about; null: a moment.
    pub period: Option<InvoicePeriod>,
    /// How much is billed; negative: it goes back.
    pub amount: Money,
    /// What else has to be known; null: nothing.
    pub note: Option<String>,
    /// What was used; null: it is no line of usage.
    pub usage: Option<InvoiceUsage>,
    /// Global id of the plan variant whose fee it is; null: it is no fee.
    pub plan_variant_id: Option<ID>,
    /// Credits that were bought; null: none were.
    pub purchased_credits: Option<Decimal>,
}

impl From<Line> for InvoiceLine {
    fn from(line: Line) -> Self {
        let (mut usage, mut plan_variant_id, mut purchased_credits) = (None, None, None);
        match line.detail {
            Detail::Usage(used) => usage = Some(used.into()),
            Detail::Fee(fee) => plan_variant_id = Some(fee.variant.to_string().into()),
            Detail::Purchase(bought) => purchased_credits = Some(bought.credits.into()),
        }
        Self {
            description: line.description,
            period: line.period.map(InvoicePeriod::from),
            amount: line.amount.into(),
            note: line.note,
            usage,
            plan_variant_id,
            purchased_credits,
        }
    }
}

/// One tax on an invoice.
#[derive(SimpleObject)]
pub struct InvoiceTax {
    /// What it is called.
    pub name: String,
    /// Of which country.
    pub country: CountryCode,
    /// Of which region; null: the whole country.
    pub region: Option<String>,
    /// How much in a hundred.
    pub percent: Decimal,
    /// Of what: the amount without any tax.
    pub base: Money,
    /// How much.
    pub amount: Money,
}

impl From<TaxLine> for InvoiceTax {
    fn from(line: TaxLine) -> Self {
        Self {
            name: line.name,
            country: CountryCode(line.country.code().to_owned()),
            region: line.region,
            percent: line.percent.into(),
            base: line.base.into(),
            amount: line.amount.into(),
        }
    }
}
