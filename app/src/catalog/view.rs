//! What is read of the catalog.

use domain::{
    amount::{Credits, Quantity},
    id::{MeteringRuleId, MetricId},
    metering::{
        Price,
        rule::{MeteringRule, Properties},
    },
    money::Money,
    plan::preview::Preview,
    time::Timestamp,
};
use entity::metric;
use serde::{Deserialize, Serialize};

/// A thing that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its id.
    pub id: MetricId,
    /// Name used in usage events, unique per tenant.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Name of one unit.
    pub unit: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped accepting usage.
    pub archived_at: Option<Timestamp>,
}

impl From<metric::Model> for Metric {
    fn from(row: metric::Model) -> Self {
        Self {
            id: MetricId(row.id),
            key: row.key,
            name: row.name,
            unit: row.unit,
            created_at: Timestamp::from_micros(row.created_at),
            archived_at: row.archived_at.map(Timestamp::from_micros),
        }
    }
}

/// One version of a price, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: MeteringRuleId,
    /// Key of the metric it prices.
    pub metric_key: String,
    /// Number of the version.
    pub version: i32,
    /// Properties an event must have.
    pub matches: Properties,
    /// What it costs.
    pub price: Price,
    /// First instant of validity.
    pub effective_from: Timestamp,
    /// First instant after.
    pub effective_to: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Rule {
    pub(super) fn new(rule: MeteringRule, metric_key: String, created_at: Timestamp) -> Self {
        Self {
            id: rule.id,
            metric_key,
            version: rule.version,
            matches: rule.matches,
            price: rule.price,
            effective_from: rule.effective_from,
            effective_to: rule.effective_to,
            created_at,
        }
    }
}

/// What usage would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricePreview {
    /// The cost, by stretches of the count. Negative where it would make past usage cheaper.
    pub credits: Preview<Credits>,
    /// The same in money; `None`: no variant was named, or it has no price in money for the metric.
    pub money: Option<Preview<Money>>,
    /// Units of the cycle before it.
    pub from: Quantity,
    /// Units of the cycle after it.
    pub to: Quantity,
    /// The version that priced it; `None`: the metric is free of charge.
    pub rule: Option<Rule>,
}
