//! Any object by its global id.

use app::{
    access, catalog, catalog::PlanRef, credit, customer, customer::CustomerRef, event, hold, invoice, job,
    payment, subscription, test_clock, usage, webhook,
};
use async_graphql::{Context, ID, Interface, Object};

use super::{
    access::ApiKey,
    caller,
    catalog::{MeteringRule, Metric},
    credit::{CreditBlock, LedgerEntry},
    customer::Customer,
    error::top_level,
    event::BillingEvent,
    hold::Reservation,
    invoice::Invoice,
    job::ParkedWork,
    payment::Payment,
    plan::{GrantTemplate, Plan, PlanVariant},
    subscription::PlanSubscription,
    test_clock::TestClock,
    usage::UsageEvent,
    webhook::{WebhookDelivery, WebhookEndpoint},
};

/// Anything that has a global id: a prefix that tells what it is, and a time-ordered part. Treat it as opaque.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "&ID", desc = "Global id, usable with `node`."))]
// There is one at a time, and not for long.
#[allow(clippy::large_enum_variant)]
pub enum Node {
    ApiKey(ApiKey),
    BillingEvent(BillingEvent),
    CreditBlock(CreditBlock),
    Customer(Customer),
    GrantTemplate(GrantTemplate),
    Invoice(Invoice),
    LedgerEntry(LedgerEntry),
    MeteringRule(MeteringRule),
    Metric(Metric),
    ParkedWork(ParkedWork),
    Payment(Payment),
    PlanSubscription(PlanSubscription),
    Reservation(Reservation),
    TestClock(TestClock),
    Plan(Plan),
    PlanVariant(PlanVariant),
    UsageEvent(UsageEvent),
    WebhookDelivery(WebhookDelivery),
    WebhookEndpoint(WebhookEndpoint),
}

/// Reads of anything.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Any object by its global id; null when there is none that the caller may see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: ID,
    ) -> async_graphql::Result<Option<Node>> {
        let (app, actor) = caller(ctx)?;
        let prefix = id.split_once('_').map_or("", |(prefix, _)| prefix);
        /// Reads the id as that of one kind and looks it up; an id of another form names nothing.
        macro_rules! find {
            ($read:path, $node:expr) => {
                match id.parse() {
                    Ok(id) => $read(app, actor, id).await.map(|found| found.map($node)),
                    Err(_) => Ok(None),
                }
            };
        }
        let found = match prefix {
            "key" => find!(access::key, |it| Node::from(ApiKey::from(it))),
            "met" => find!(catalog::metric_by_id, |it| Node::from(Metric::from(it))),
            "rul" => find!(catalog::rule, |it| Node::from(MeteringRule::from(it))),
            "pvr" => find!(catalog::variant, |it| Node::from(PlanVariant::from(it))),
            "gtp" => find!(catalog::template, |it| Node::from(GrantTemplate::from(it))),
            "blk" => find!(credit::block, |it| Node::from(CreditBlock::from(it))),
            "ent" => find!(credit::entry, |it| Node::from(LedgerEntry::from(it))),
            "evt" => find!(usage::event_by_id, |it| Node::from(UsageEvent::from(it))),
            "hld" => find!(hold::reservation, |it| Node::from(Reservation::from(it))),
            "sub" => find!(subscription::subscription, |it| Node::from(
                PlanSubscription::from(it)
            )),
            "bev" => find!(event::event, |it| Node::from(BillingEvent::from(it))),
            "whe" => find!(webhook::endpoint, |it| Node::from(WebhookEndpoint::from(it))),
            "whd" => find!(webhook::delivery, |it| Node::from(WebhookDelivery::from(it))),
            "pay" => find!(payment::payment, |it| Node::from(Payment::from(it))),
            "inv" => find!(invoice::invoice, |it| Node::from(Invoice::from(it))),
            "clk" => find!(test_clock::clock, |it| Node::from(TestClock::from(it))),
            "wrk" => find!(job::parked_by_id, |it| Node::from(ParkedWork::from(it))),
            "cus" => match id.parse() {
                Ok(id) => customer::customer(app, actor, &CustomerRef::Id(id))
                    .await
                    .map(|found| found.map(|it| Node::from(Customer::from(it)))),
                Err(_) => Ok(None),
            },
            "pln" => match id.parse() {
                Ok(id) => catalog::plan(app, actor, &PlanRef::Id(id))
                    .await
                    .map(|found| found.map(|it| Node::from(Plan::from(it)))),
                Err(_) => Ok(None),
            },
            _ => Ok(None),
        };
        found.map_err(top_level)
    }
}
