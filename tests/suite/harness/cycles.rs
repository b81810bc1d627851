//! Subscriptions and their cycles, written as rows: for cases about what they mean for usage.

use std::collections::BTreeMap;

use domain::{
    cycle::late::LatePolicy,
    id::{CustomerId, PlanId, VariantId},
    plan::{
        interval::Interval,
        variant::{Mode, ShortCycle, Variant},
    },
    subscription::admission::Admission,
    time::Timestamp,
};
use entity::{account, billing_cycle, plan, plan_variant, subscription, tenant, test_clock, to_text};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, sea_query::Expr,
};
use uuid::Uuid;

use super::{World, at};
use app::customer::shard_of;

/// A subscription that was written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    pub id: Uuid,
    customer: CustomerId,
    variant: Uuid,
    since: i64,
    late: &'static str,
}

impl World {
    /// A plan with one variant, and a subscription of a customer to it that was made at an instant. The customer has no barrier yet.
    pub async fn written_subscription(
        &self,
        customer: CustomerId,
        since: &str,
        late: &'static str,
    ) -> Written {
        let db = self.app.db().writer();
        let (plan, variant, id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let tenant = self.tenant().0;
        let since = at(since).micros();
        let plan = plan::Model {
            id: plan,
            tenant_id: tenant,
            key: plan.to_string(),
            name: "Plan".to_owned(),
            description: None,
            created_at: since,
            archived_at: None,
        };
        let terms = Variant {
            id: VariantId(variant),
            plan: PlanId(plan.id),
            name: "Variant".to_owned(),
            interval: Interval::MONTHLY,
            mode: Mode::Postpaid,
            fee: None,
            trial_days: 0,
            renewal_due_days: 0,
            grace_days: 0,
            allow_usage_while_overdue: false,
            purchase: None,
            credit_price: None,
            money_prices: BTreeMap::new(),
            late: LatePolicy::default(),
            late_seconds: 60,
            short_cycle: ShortCycle::default(),
            archived_at: None,
        };
        let variant = plan_variant::Model {
            id: variant,
            tenant_id: tenant,
            plan_id: plan.id,
            name: "Variant".to_owned(),
            terms: serde_json::to_string(&terms).unwrap(),
            late: late.to_owned(),
            created_at: since,
            archived_at: None,
        };
        let row = subscription::Model {
            id,
            tenant_id: tenant,
            customer_id: customer.0,
            shard: shard_of(customer),
            external_id: None,
            metadata: "{}".to_owned(),
            variant_id: variant.id,
            next_variant_id: None,
            revision: 1,
            state: "ACTIVE".to_owned(),
            interval_unit: "MONTH".to_owned(),
            interval_count: 1,
            zone: "UTC".to_owned(),
            origin: since,
            day: 1,
            start_at: since,
            first_number: 1,
            last_number: 1,
            paid_through: 1,
            renewal_told: 0,
            overdue_since: None,
            activated: 1,
            cancel_at_end: 0,
            contract_start: None,
            contract_end: None,
            notice_days: None,
            told_for: None,
            contract_agreed_at: None,
            agreed_at: 0,
            due_at: None,
            barrier_at: None,
            created_at: since,
            ended_at: None,
            updated_at: since,
            clock_id: None,
            renewal_billed: 0,
        };
        let written = Written {
            id,
            customer,
            variant: variant.id,
            since,
            late,
        };
        plan::Entity::insert(plan.into_active_model())
            .exec_without_returning(db)
            .await
            .unwrap();
        plan_variant::Entity::insert(variant.into_active_model())
            .exec_without_returning(db)
            .await
            .unwrap();
        subscription::Entity::insert(row.into_active_model())
            .exec_without_returning(db)
            .await
            .unwrap();
        // As a new plan would.
        tenant::Entity::update_many()
            .col_expr(
                tenant::Column::CatalogVersion,
                Expr::col(tenant::Column::CatalogVersion).add(1),
            )
            .filter(tenant::Column::Id.eq(tenant))
            .exec(db)
            .await
            .unwrap();
        written
    }

    /// A cycle of a subscription. It closes to late usage a minute after its end.
    pub async fn cycle(&self, of: Written, number: i64, from: Timestamp, to: Timestamp) {
        let row = billing_cycle::Model {
            subscription_id: of.id,
            number,
            tenant_id: self.tenant().0,
            customer_id: of.customer.0,
            variant_id: of.variant,
            state: "CLOSING".to_owned(),
            since: of.since,
            late: of.late.to_owned(),
            period_start: from.micros(),
            period_end: to.micros(),
            natural_end: to.micros(),
            basis_seconds: to.seconds_since(from),
            trial: 0,
            paid: 1,
            closes_at: to.plus_seconds(60).micros(),
            granted: 0,
            ahead: 0,
            granted_from: from.micros(),
            granted_through: from.micros(),
            balance_at_start: 0,
            balance_at_end: 0,
            summary: None,
            closed_at: None,
            bill: None,
        };
        let db = self.app.db().writer();
        billing_cycle::Entity::insert(row.into_active_model())
            .exec_without_returning(db)
            .await
            .unwrap();
        subscription::Entity::update_many()
            .col_expr(subscription::Column::LastNumber, Expr::value(number))
            .filter(subscription::Column::Id.eq(of.id))
            .exec(db)
            .await
            .unwrap();
    }

    /// The first instant from which usage of a customer has to wait, and what subscriptions say about checks. One that has none
    /// gets one that says so.
    pub async fn barrier(&self, customer: CustomerId, barrier: Timestamp, admission: Admission) {
        let db = self.app.db().writer();
        let own = subscription::Column::CustomerId.eq(customer.0);
        let known = subscription::Entity::find().filter(own.clone());
        if known.one(db).await.unwrap().is_none() {
            let of = self
                .written_subscription(customer, "2026-01-01", "CURRENT_CYCLE")
                .await;
            self.cycle(of, 1, at("2026-01-01"), at("2026-01-02")).await;
        }
        let state = match admission {
            Admission::Admitted => "ACTIVE",
            Admission::Overdue => "OVERDUE",
            Admission::Paused => "PAUSED",
        };
        let due = (barrier < Timestamp::MAX).then_some(barrier.micros());
        subscription::Entity::update_many()
            .col_expr(subscription::Column::State, Expr::value(state))
            .col_expr(subscription::Column::BarrierAt, Expr::value(due))
            .filter(own)
            .exec(db)
            .await
            .unwrap();
        let mut row = account::Entity::find_by_id(customer.0)
            .one(db)
            .await
            .unwrap()
            .unwrap();
        row.barrier_at = Some(barrier.micros());
        row.admission = to_text(admission);
        row.revision += 1;
        account::Entity::update(row.into_active_model().reset_all())
            .exec(db)
            .await
            .unwrap();
    }

    /// A customer's cycles in a row, all of one subscription whose next step is due at the end of the last.
    pub async fn written_cycles(&self, customer: CustomerId, late: &'static str, bounds: &[&str]) -> Written {
        let of = self.written_subscription(customer, bounds[0], late).await;
        for (number, ends) in (1..).zip(bounds.windows(2)) {
            self.cycle(of, number, at(ends[0]), at(ends[1])).await;
        }
        let last = at(bounds[bounds.len() - 1]);
        self.barrier(customer, last, Admission::Admitted).await;
        of
    }

    /// Has a customer live by a test clock that shows an instant.
    pub async fn live_by_clock(&self, customer: CustomerId, now: &str) {
        let db = self.app.db().writer();
        let now = at(now).micros();
        let clock = test_clock::Model {
            id: Uuid::now_v7(),
            tenant_id: self.tenant().0,
            name: "clock".to_owned(),
            now_at: now,
            target_at: now,
            ready: 1,
            created_at: now,
            updated_at: now,
        };
        account::Entity::update_many()
            .col_expr(account::Column::ClockId, Expr::value(clock.id))
            .filter(account::Column::CustomerId.eq(customer.0))
            .exec(db)
            .await
            .unwrap();
        test_clock::Entity::insert(clock.into_active_model())
            .exec_without_returning(db)
            .await
            .unwrap();
    }
}
