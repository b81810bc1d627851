//! What is sold by the month, and who has agreed to it.

use app::{
    catalog::{self, CreatePlan, CreateTemplate, CreateVariant, PlanRef},
    event::{self, About, BillingEvent},
    idempotency::Once,
    job,
    page::Page,
    subscription::{self, CreateSubscription, CycleView, SubscriptionView, Wish},
};
use domain::{
    amount::Percent,
    credit::block::Source,
    cycle::late::LatePolicy,
    id::{CustomerId, SubscriptionId, VariantId},
    plan::{
        interval::Interval,
        template::{Expiry, Recurrence},
        variant::{DEFAULT_LATE_SECONDS, Mode, ShortCycle},
    },
    time::Timestamp,
};
use sea_orm::EntityTrait;
use serde_json::Value;

use super::{World, at, credits};

/// A monthly variant without any extras; change what matters.
pub fn variant(mode: Mode) -> CreateVariant {
    CreateVariant {
        plan: PlanRef::Key(String::new()),
        name: "Monthly".to_owned(),
        interval: Interval::MONTHLY,
        mode,
        fee: None,
        trial_days: 0,
        renewal_due_days: 0,
        grace_days: 0,
        allow_usage_while_overdue: false,
        purchase: None,
        credit_price: None,
        money_prices: Vec::new(),
        late: LatePolicy::default(),
        late_seconds: DEFAULT_LATE_SECONDS,
        short_cycle: ShortCycle::default(),
    }
}

/// Credits in every cycle that end with it; change what matters.
pub fn template(amount: &str) -> CreateTemplate {
    CreateTemplate {
        variant: VariantId(uuid::Uuid::nil()),
        credits: credits(amount),
        recurrence: Recurrence::Recurring,
        every: None,
        source: Source::PlanGrant,
        billing: None,
        priority: 0,
        expiry: Expiry::EndOfCycle,
        rollover: Percent::ZERO,
        accumulation_cap: None,
        bonus: Percent::ZERO,
        metric_keys: None,
        in_trial: false,
    }
}

/// A subscription without anything special; change what matters.
pub fn agreement(customer: CustomerId, variant: VariantId) -> CreateSubscription {
    CreateSubscription {
        customer: app::customer::CustomerRef::Id(customer),
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

impl World {
    /// A plan with one variant and its templates.
    pub async fn sells(&self, variant: CreateVariant, templates: Vec<CreateTemplate>) -> VariantId {
        let plan = CreatePlan {
            key: format!("plan-{}", self.key()),
            name: "Plan".to_owned(),
            description: None,
        };
        let plan = catalog::create_plan(&self.app, &self.actor, plan, &self.key()).await;
        let variant = CreateVariant {
            plan: PlanRef::Id(plan.unwrap().value.id),
            ..variant
        };
        let made = catalog::create_variant(&self.app, &self.actor, variant, &self.key()).await;
        let variant = made.unwrap().value.variant.id;
        for template in templates {
            self.adds(variant, template).await;
        }
        variant
    }

    pub async fn adds(&self, variant: VariantId, template: CreateTemplate) {
        let template = CreateTemplate { variant, ..template };
        catalog::create_template(&self.app, &self.actor, template, &self.key())
            .await
            .unwrap();
    }

    pub async fn try_subscribe(&self, input: CreateSubscription) -> app::Result<Once<SubscriptionView>> {
        subscription::create(&self.app, &self.actor, input, &self.key()).await
    }

    pub async fn subscribe(&self, customer: CustomerId, variant: VariantId) -> SubscriptionId {
        let made = self.try_subscribe(agreement(customer, variant)).await;
        made.unwrap().value.id
    }

    /// The same, with a first cycle that was paid elsewhere.
    #[allow(dead_code, reason = "for the suite")]
    pub async fn subscribe_paid(&self, customer: CustomerId, variant: VariantId) -> SubscriptionId {
        let input = CreateSubscription {
            first_cycle_paid: true,
            ..agreement(customer, variant)
        };
        self.try_subscribe(input).await.unwrap().value.id
    }

    pub async fn wish(&self, id: SubscriptionId, wish: Wish) -> app::Result<SubscriptionView> {
        let done = subscription::change(&self.app, &self.actor, id, wish, &self.key()).await?;
        Ok(done.value)
    }

    pub async fn subscription(&self, id: SubscriptionId) -> SubscriptionView {
        let found = subscription::subscription(&self.app, &self.actor, id).await;
        found.unwrap().unwrap()
    }

    /// The state of a subscription, in capitals.
    pub async fn state(&self, id: SubscriptionId) -> String {
        entity::to_text(self.subscription(id).await.state)
    }

    /// Its cycles, oldest first, up to a hundred.
    pub async fn cycles(&self, id: SubscriptionId) -> Vec<CycleView> {
        let (slice, _) = subscription::cycles(&self.app, &self.actor, id, Page::first(100))
            .await
            .unwrap();
        let mut cycles = slice.items;
        cycles.reverse();
        cycles
    }

    /// What was told about it, oldest first, up to a hundred.
    pub async fn told(&self, id: SubscriptionId) -> Vec<BillingEvent> {
        let page = event::events(&self.app, &self.actor, About::Subscription(id), Page::first(100)).await;
        let mut events = page.unwrap().items;
        events.reverse();
        events
    }

    /// The names of what was told, without the common beginning.
    pub async fn names(&self, id: SubscriptionId) -> Vec<String> {
        let told = self.told(id).await;
        told.iter()
            .map(|event| event.kind.as_str().trim_start_matches("subscription.").to_owned())
            .collect()
    }

    /// What the last event of a kind said.
    pub async fn said(&self, id: SubscriptionId, kind: &str) -> Value {
        let told = self.told(id).await;
        let last = told
            .into_iter()
            .rfind(|event| event.kind.as_str() == format!("subscription.{kind}"));
        Value::Object(last.unwrap().data)
    }

    /// A customer's blocks that hold credits, in burn order, such as `PURCHASE 100`.
    pub async fn blocks(&self, customer: CustomerId) -> Vec<String> {
        let page = app::credit::blocks(&self.app, &self.actor, customer, Page::first(100)).await;
        let blocks = page.unwrap().items.into_iter().map(|view| view.block);
        blocks
            .filter(|block| block.remaining.is_positive())
            .map(|block| format!("{} {}", entity::to_text(block.source), block.remaining))
            .collect()
    }

    /// Moves the clock to an instant and six seconds further, and has everything done that is due by then.
    pub async fn until(&self, instant: &str) {
        self.move_to(Timestamp::from_micros(at(instant).micros() + 6_000_000));
        self.catch_up().await;
    }

    /// Does everything that is due, without moving the clock.
    pub async fn catch_up(&self) {
        for _ in 0..500 {
            self.run_jobs().await;
            job::sweep(&self.app).await.unwrap();
            if self.post.len() == 0 {
                return;
            }
        }
        panic!("the work does not come to rest");
    }

    /// Everything that plans have done, as text: equal worlds have equal ones.
    pub async fn history(&self) -> Vec<String> {
        let db = self.app.db().reader();
        let mut lines = Vec::new();
        for row in entity::billing_cycle::Entity::find().all(db).await.unwrap() {
            lines.push(format!(
                "cycle {} {} {}..{} {} granted {} from {} to {} {:?}",
                row.number,
                row.state,
                row.period_start,
                row.period_end,
                row.paid,
                row.granted,
                row.balance_at_start,
                row.balance_at_end,
                row.summary.map(without_names),
            ));
        }
        for row in entity::block::Entity::find().all(db).await.unwrap() {
            lines.push(format!(
                "block {} {} {} of {} from {} to {:?}",
                row.source, row.state, row.remaining, row.credits, row.granted_at, row.expires_at
            ));
        }
        for row in entity::billing_event::Entity::find().all(db).await.unwrap() {
            lines.push(format!("event {} {}", row.kind, row.occurred_at));
        }
        lines.sort();
        lines
    }
}

/// A summary without the metrics' ids, which differ from world to world.
fn without_names(summary: String) -> String {
    let mut value: Value = serde_json::from_str(&summary).unwrap();
    let metrics = value["by_metric"].as_object().unwrap();
    let usage: Vec<Value> = metrics.values().cloned().collect();
    value["by_metric"] = Value::Array(usage);
    value.to_string()
}
