//! Relay connections over the pages of `app`.

use std::str::FromStr;

use app::page::{DEFAULT_PAGE, MAX_PAGE, Page, Slice};
use async_graphql::{Object, OutputType, connection::PageInfo};
use domain::rejection::Rejection;

use super::{
    access::ApiKey,
    audit::AuditViolation,
    catalog::{MeteringRule, Metric},
    credit::{CreditBlock, LedgerEntry},
    customer::Customer,
    error::top_level,
    event::BillingEvent,
    hold::Reservation,
    invoice::Invoice,
    job::ParkedWork,
    mail::Mail,
    overshoot::WriteOff,
    payment::Payment,
    plan::{GrantTemplate, Plan, PlanVariant},
    subscription::{BillingCycle, PlanSubscription},
    test_clock::TestClock,
    usage::UsageEvent,
    webhook::{WebhookDelivery, WebhookEndpoint},
};

/// What a connection counts towards the limit of a query: its page size times what each item counts.
pub(crate) fn cost(first: Option<i32>, last: Option<i32>, each: usize) -> usize {
    let size = first
        .or(last)
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(DEFAULT_PAGE as usize);
    size.clamp(1, MAX_PAGE as usize).saturating_mul(each)
}

/// Arguments of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args {
    pub(crate) first: Option<i32>,
    pub(crate) last: Option<i32>,
    pub(crate) after: Option<String>,
    pub(crate) before: Option<String>,
}

impl Args {
    /// The page that is asked for, of a list ordered by keys whose text form is the cursor.
    pub(crate) fn page<K: FromStr>(self) -> async_graphql::Result<Page<K>> {
        self.page_by(|text| text.parse().ok())
    }

    /// The page that is asked for, of a list whose cursors are read by `key`.
    pub(crate) fn page_by<K>(self, key: impl Fn(&str) -> Option<K>) -> async_graphql::Result<Page<K>> {
        let read = |field: &str, cursor: Option<String>| {
            cursor
                .map(|text| {
                    let refused = || Rejection::invalid(field, "it is not a cursor of this list");
                    key(&text).ok_or_else(|| top_level(app::Error::from(refused())))
                })
                .transpose()
        };
        let (after, before) = (read("after", self.after)?, read("before", self.before)?);
        Page::relay(self.first, self.last, after, before).map_err(top_level)
    }
}

/// One page of a list.
pub struct Connection<N> {
    edges: Vec<Edge<N>>,
    has_previous: bool,
    has_next: bool,
}

/// An item and its place.
pub struct Edge<N> {
    cursor: String,
    node: N,
}

/// One page of a list, as the Relay Cursor Connections specification describes it.
#[Object(
    concrete(name = "ApiKeyConnection", params(ApiKey)),
    concrete(name = "AuditViolationConnection", params(AuditViolation)),
    concrete(name = "BillingCycleConnection", params(BillingCycle)),
    concrete(name = "BillingEventConnection", params(BillingEvent)),
    concrete(name = "CreditBlockConnection", params(CreditBlock)),
    concrete(name = "CustomerConnection", params(Customer)),
    concrete(name = "GrantTemplateConnection", params(GrantTemplate)),
    concrete(name = "InvoiceConnection", params(Invoice)),
    concrete(name = "LedgerEntryConnection", params(LedgerEntry)),
    concrete(name = "MailConnection", params(Mail)),
    concrete(name = "MeteringRuleConnection", params(MeteringRule)),
    concrete(name = "MetricConnection", params(Metric)),
    concrete(name = "ParkedWorkConnection", params(ParkedWork)),
    concrete(name = "PaymentConnection", params(Payment)),
    concrete(name = "PlanSubscriptionConnection", params(PlanSubscription)),
    concrete(name = "ReservationConnection", params(Reservation)),
    concrete(name = "TestClockConnection", params(TestClock)),
    concrete(name = "PlanConnection", params(Plan)),
    concrete(name = "PlanVariantConnection", params(PlanVariant)),
    concrete(name = "UsageEventConnection", params(UsageEvent)),
    concrete(name = "WebhookDeliveryConnection", params(WebhookDelivery)),
    concrete(name = "WebhookEndpointConnection", params(WebhookEndpoint)),
    concrete(name = "WriteOffConnection", params(WriteOff))
)]
impl<N: OutputType> Connection<N>
where
    Edge<N>: OutputType,
{
    /// The items with their cursors.
    async fn edges(&self) -> Vec<&Edge<N>> {
        self.edges.iter().collect()
    }

    /// The items.
    async fn nodes(&self) -> Vec<&N> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Whether there is more, and from where to go on.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }
}

/// An item of a list and its cursor.
#[Object(
    concrete(name = "ApiKeyEdge", params(ApiKey)),
    concrete(name = "AuditViolationEdge", params(AuditViolation)),
    concrete(name = "BillingCycleEdge", params(BillingCycle)),
    concrete(name = "BillingEventEdge", params(BillingEvent)),
    concrete(name = "CreditBlockEdge", params(CreditBlock)),
    concrete(name = "CustomerEdge", params(Customer)),
    concrete(name = "GrantTemplateEdge", params(GrantTemplate)),
    concrete(name = "InvoiceEdge", params(Invoice)),
    concrete(name = "LedgerEntryEdge", params(LedgerEntry)),
    concrete(name = "MailEdge", params(Mail)),
    concrete(name = "MeteringRuleEdge", params(MeteringRule)),
    concrete(name = "MetricEdge", params(Metric)),
    concrete(name = "ParkedWorkEdge", params(ParkedWork)),
    concrete(name = "PaymentEdge", params(Payment)),
    concrete(name = "PlanSubscriptionEdge", params(PlanSubscription)),
    concrete(name = "ReservationEdge", params(Reservation)),
    concrete(name = "TestClockEdge", params(TestClock)),
    concrete(name = "PlanEdge", params(Plan)),
    concrete(name = "PlanVariantEdge", params(PlanVariant)),
    concrete(name = "UsageEventEdge", params(UsageEvent)),
    concrete(name = "WebhookDeliveryEdge", params(WebhookDelivery)),
    concrete(name = "WebhookEndpointEdge", params(WebhookEndpoint)),
    concrete(name = "WriteOffEdge", params(WriteOff))
)]
impl<N: OutputType> Edge<N> {
    /// Place of the item in the list; opaque.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The item.
    async fn node(&self) -> &N {
        &self.node
    }
}

/// Turns a page into a connection.
pub(crate) fn connection<T, N>(
    slice: Slice<T>,
    cursor: impl Fn(&T) -> String,
    node: impl Fn(T) -> N,
) -> Connection<N> {
    let edge = |item: T| Edge {
        cursor: cursor(&item),
        node: node(item),
    };
    Connection {
        edges: slice.items.into_iter().map(edge).collect(),
        has_previous: slice.has_previous,
        has_next: slice.has_next,
    }
}
