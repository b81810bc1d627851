//! What is read of plans.

use std::collections::BTreeMap;

use domain::{
    credit::block::Billing,
    id::MetricId,
    plan::{
        template::{GrantTemplate, Warning},
        variant::Variant,
    },
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A variant, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantView {
    /// The variant. It counts as archived when its plan is.
    pub variant: Variant,
    /// When it was made.
    pub created_at: Timestamp,
    /// Keys of the metrics that it has prices for.
    pub metric_keys: BTreeMap<MetricId, String>,
}

/// A template, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateView {
    /// The template.
    pub template: GrantTemplate,
    /// How the use of its credits is billed, by itself or by its variant.
    pub billing: Billing,
    /// Keys of the metrics that its credits may pay for; `None`: all.
    pub metric_keys: Option<Vec<String>>,
    /// What is allowed and probably not meant.
    pub warning: Option<Warning>,
}

impl TemplateView {
    /// A template of a variant; `keys` has the keys of its metrics.
    pub(super) fn new(template: GrantTemplate, variant: &Variant, keys: &BTreeMap<MetricId, String>) -> Self {
        let key = |id: &MetricId| keys.get(id).cloned().unwrap_or_default();
        Self {
            billing: template.billing(variant.mode),
            metric_keys: template
                .metrics
                .as_ref()
                .map(|metrics| metrics.iter().map(key).collect()),
            warning: template.warning(variant),
            template,
        }
    }
}
