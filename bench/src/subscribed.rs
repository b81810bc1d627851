//! Customers with a monthly subscription each, whose first cycles ended at the same moment, seconds ago. Made by the product's own
//! use-cases, which believe that it is a month ago.

use std::sync::Arc;

use app::{
    catalog::{self, CreatePlan, CreateTemplate, CreateVariant, PlanRef},
    clock::{Clock, Ids, ManualClock, SystemClock},
    customer::{CustomerRef, SHARDS},
    job,
    subscription::{self, CreateSubscription},
};
use domain::{
    amount::{Credits, Percent},
    credit::block::Source,
    cycle::late::LatePolicy,
    id::VariantId,
    plan::{
        interval::Interval,
        template::{Expiry, Recurrence},
        variant::{Mode, ShortCycle},
    },
    time::Timestamp,
};
use serde_json::json;

use crate::{
    Bench, Outcome,
    by_hand::{Hand, insert::Rows},
    place::Backend,
    world::{Vendor, World},
};

/// Credits of every cycle.
const CREDITS: i64 = 100;
/// What every cycle grants, in micro-credits.
pub const GRANTED: i64 = CREDITS * 1_000_000;
/// How much of the rest rolls over.
const ROLLOVER: &str = "50";
/// How long ago the cycles ended when the making of the world begins, in seconds: longer than workers wait for usage on its way in.
const ENDED_AGO: i64 = 10;
/// No month has more days for sure.
const SHORTEST_MONTH: i64 = 28;
const DAY: i64 = 86_400;
/// When everybody uses a little, in seconds after the beginning.
const USED_AFTER: i64 = 3_600;

/// A database with so many subscriptions, each with one debited event in a cycle that has ended and waits for its turn.
///
/// # Errors
/// The database or the product refuses.
pub async fn world(bench: &Bench, backend: Backend, customers: usize) -> Outcome<World> {
    let begin = a_month_ago();
    let clock = Arc::new(ManualClock::at(begin));
    let vendor = Vendor::make(bench, backend, clock.clone()).await?;
    let variant = plan(&vendor).await?;
    let made = vendor
        .each(customers, async |number| {
            let id = vendor.customer(number).await?;
            let wish = agreement(CustomerRef::Id(id), variant);
            let key = format!("subscription-{number}");
            subscription::create(&vendor.app, &vendor.actor, wish, &key).await?;
            Ok(id.0)
        })
        .await?;
    let used = begin.plus_seconds(USED_AFTER);
    let rows = Rows::at(used, "used", 0..customers, |number| made[number], &Ids::default());
    let hand = Hand::connect(&vendor.world.place, 1).await?;
    hand.insert(&vendor.world, &rows).await?;
    clock.advance_micros((USED_AFTER + DAY) * 1_000_000);
    for shard in 0..SHARDS {
        let drain = json!({ "kind": "usage.drain", "args": shard.to_string() });
        job::run(&vendor.app, drain).await;
    }
    let waiting = hand.number("SELECT COUNT(*) FROM usage_pending").await?;
    hand.close().await;
    if waiting != 0 {
        return Err(format!("{waiting} events were not debited").into());
    }
    vendor.with(made).await
}

/// The beginning of a month that ended a moment ago, or days ago at the end of a month: the day must be one that both months have.
fn a_month_ago() -> Timestamp {
    let now = SystemClock.now().plus_seconds(-ENDED_AGO);
    let month = now.month();
    let days = now.seconds_since(month.start) / DAY;
    let end = now.plus_seconds(-(days - (SHORTEST_MONTH - 1)).max(0) * DAY);
    let before = month.start.plus_seconds(-1).month();
    end.plus_seconds(-before.seconds())
}

/// A monthly plan, paid after, that takes no late usage: a cycle that ends is closed at once.
async fn plan(vendor: &Vendor) -> Outcome<VariantId> {
    let (app, actor) = (&vendor.app, &vendor.actor);
    let plan = CreatePlan {
        key: "plan".to_owned(),
        name: "Plan".to_owned(),
        description: None,
    };
    catalog::create_plan(app, actor, plan, "plan").await?;
    let variant = CreateVariant {
        plan: PlanRef::Key("plan".to_owned()),
        name: "Monthly".to_owned(),
        interval: Interval::MONTHLY,
        mode: Mode::Postpaid,
        fee: None,
        trial_days: 0,
        renewal_due_days: 0,
        grace_days: 0,
        allow_usage_while_overdue: false,
        purchase: None,
        credit_price: None,
        money_prices: Vec::new(),
        late: LatePolicy::default(),
        late_seconds: 0,
        short_cycle: ShortCycle::default(),
    };
    let variant = catalog::create_variant(app, actor, variant, "variant")
        .await?
        .value;
    let template = CreateTemplate {
        variant: variant.variant.id,
        credits: Credits::whole(CREDITS).map_err(|_| "credits")?,
        recurrence: Recurrence::Recurring,
        every: None,
        source: Source::PlanGrant,
        billing: None,
        priority: 0,
        expiry: Expiry::EndOfCycle,
        rollover: ROLLOVER.parse::<Percent>().map_err(|_| "rollover")?,
        accumulation_cap: None,
        bonus: Percent::ZERO,
        metric_keys: None,
        in_trial: false,
    };
    catalog::create_template(app, actor, template, "template").await?;
    Ok(variant.variant.id)
}

fn agreement(customer: CustomerRef, variant: VariantId) -> CreateSubscription {
    CreateSubscription {
        customer,
        variant,
        external_id: None,
        metadata: Default::default(),
        billing_day: None,
        zone: None,
        contract_start: None,
        contract_end: None,
        contract_notice_days: None,
        first_cycle_paid: false,
    }
}
