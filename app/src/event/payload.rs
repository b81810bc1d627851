//! What an event says, as JSON. Credits and units are decimal texts, instants RFC 3339.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    cycle::summary::Summary,
    id::{CustomerId, MetricId, TenantId},
    plan::variant::Mode,
    subscription::fact::{Fact, What},
    time::Period,
};
use entity::to_text;
use serde_json::{Map, Value, json};

use super::NewEvent;

/// A fact, and whom it is about.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) mode: Mode,
    pub(crate) fact: Fact,
}

/// The metrics that facts speak of, whose keys are needed to tell them.
pub(crate) fn metrics_of(told: &[Told]) -> BTreeSet<MetricId> {
    let summaries = told.iter().filter_map(|told| summary(&told.fact.what));
    summaries
        .flat_map(|summary| summary.by_metric.keys().copied())
        .collect()
}

fn summary(what: &What) -> Option<&Summary> {
    match what {
        What::Renewed { usage_summary, .. } => usage_summary.as_ref(),
        What::CycleClosed { usage_summary, .. } => Some(usage_summary),
        _ => None,
    }
}

impl Told {
    /// As it is told, with the keys of the metrics that it speaks of.
    pub(crate) fn event(&self, keys: &BTreeMap<MetricId, String>) -> NewEvent {
        NewEvent {
            tenant: self.tenant,
            customer: Some(self.customer),
            subscription: Some(self.fact.subscription),
            kind: self.fact.what.event(),
            key: self.fact.key(),
            at: self.fact.at,
            data: self.data(keys),
        }
    }

    /// What it says.
    fn data(&self, keys: &BTreeMap<MetricId, String>) -> Map<String, Value> {
        let mut data = Map::new();
        let mut say = |name: &str, value: Value| {
            data.insert(name.to_owned(), value);
        };
        say("subscription_id", json!(self.fact.subscription));
        say("customer_id", json!(self.customer));
        say("billing_mode", Value::from(to_text(self.mode).to_lowercase()));
        for (name, value) in words(&self.fact.what) {
            say(name, value);
        }
        // Every field of an event is there, also where there is nothing to say.
        if let What::Renewed { .. } | What::CycleClosed { .. } = self.fact.what {
            let summary = summary(&self.fact.what).map(|it| usage_summary(it, keys));
            say("usage_summary", summary.unwrap_or(Value::Null));
        }
        data
    }
}

fn period(period: Period) -> Value {
    json!({ "start": period.start.to_string(), "end": period.end.to_string() })
}

/// What only this kind of fact says, beside the usage summary.
fn words(what: &What) -> Vec<(&'static str, Value)> {
    match what {
        What::Created {
            period: first,
            credits_granted,
        } => vec![
            ("period", period(*first)),
            ("credits_granted", json!(credits_granted)),
        ],
        What::Renewed {
            prior_period,
            number,
            new_period,
            credits_granted,
            ..
        } => vec![
            ("prior_period", prior_period.map_or(Value::Null, period)),
            ("new_period", period(*new_period)),
            ("cycle_number", json!(number)),
            ("credits_granted", json!(credits_granted)),
        ],
        What::CycleClosed {
            number,
            period: closed,
            ..
        } => {
            vec![("period", period(*closed)), ("cycle_number", json!(number))]
        }
        What::RenewalDue { number, period_end } => vec![
            ("cycle_number", json!(number)),
            ("period_end", json!(period_end.to_string())),
        ],
        What::Overdue { expires_at } => vec![("expires_at", json!(expires_at.to_string()))],
        What::CancellationScheduled { ends_at } => vec![("ends_at", json!(ends_at.to_string()))],
        What::PlanChangeScheduled { to } => vec![("to_plan_variant_id", json!(to))],
        What::PlanChanged { from, to } => vec![
            ("from_plan_variant_id", json!(from)),
            ("to_plan_variant_id", json!(to)),
        ],
        What::ContractEndingSoon {
            contract_end,
            days_remaining,
        } => vec![
            ("contract_end", json!(contract_end.to_string())),
            ("days_remaining", json!(days_remaining)),
        ],
        What::ContractEnded { contract_end } => vec![("contract_end", json!(contract_end.to_string()))],
        What::ContractExtended {
            from,
            to,
            reactivated,
        } => vec![
            ("previous_contract_end", json!(from.to_string())),
            ("contract_end", json!(to.to_string())),
            ("reactivated", json!(reactivated)),
        ],
        What::Expired | What::Paused | What::Resumed | What::Cancelled => Vec::new(),
    }
}

fn usage_summary(summary: &Summary, keys: &BTreeMap<MetricId, String>) -> Value {
    let metric = |id: &MetricId| keys.get(id).cloned().unwrap_or_else(|| id.to_string());
    let by_metric = summary.by_metric.iter().map(|(id, usage)| {
        let usage = json!({ "units": usage.units, "credits": usage.credits });
        (metric(id), usage)
    });
    json!({
        "total_credits_consumed": summary.total_credits_consumed,
        "net_balance_at_cycle_start": summary.net_balance_at_cycle_start,
        "net_balance_at_cycle_end": summary.net_balance_at_cycle_end,
        "by_billable_metric": by_metric.collect::<Map<String, Value>>(),
    })
}
