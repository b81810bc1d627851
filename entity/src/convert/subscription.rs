//! Subscriptions and their cycles, both ways.

use domain::{
    amount::Credits,
    credit::block::Source,
    cycle::{
        Cycle, CycleRef,
        grants::PlanBlock,
        late::{CountingCycle, LatePolicy},
        schedule::Schedule,
        summary::Summary,
    },
    id::{BlockId, CustomerId, SubscriptionId, TemplateId, TenantId, VariantId},
    plan::interval::Interval,
    plan::variant::Mode,
    subscription::{Subscription, contract::Contract},
    time::{Period, Timestamp},
};
use sea_orm::entity::prelude::Uuid;

use super::{Corrupt, from_json, from_text, to_text};
use crate::{billing_cycle, block, subscription};

/// The state of a cycle that goes on.
const RUNNING: &str = "RUNNING";
/// The state of one that has ended and waits for late usage.
const CLOSING: &str = "CLOSING";
/// The state of one whose summary is final.
const CLOSED: &str = "CLOSED";
/// It waits for its invoice.
const DUE: &str = "DUE";

fn instant(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

fn micros(instant: Option<Timestamp>) -> Option<i64> {
    instant.map(Timestamp::micros)
}

impl subscription::Model {
    /// The subscription, together with its cycles that have not closed, oldest first.
    ///
    /// # Errors
    /// A row that does not say what it should.
    pub fn noun(&self, open: &[billing_cycle::Model]) -> Result<Subscription, Corrupt> {
        let corrupt = |problem: &str| Corrupt {
            table: "subscription",
            problem: format!("{}: {problem}", SubscriptionId(self.id)),
        };
        let (mut cycle, mut closing) = (None, Vec::new());
        for row in open.iter().filter(|row| row.subscription_id == self.id) {
            match row.state.as_str() {
                RUNNING => cycle = Some(row.noun()),
                CLOSING => closing.push(row.noun()),
                _ => {}
            }
        }
        closing.sort_by_key(|cycle| cycle.number);
        Ok(Subscription {
            id: SubscriptionId(self.id),
            customer: CustomerId(self.customer_id),
            variant: VariantId(self.variant_id),
            next_variant: self.next_variant_id.map(VariantId),
            revision: self.revision,
            state: from_text("subscription", &self.state)?,
            schedule: Schedule {
                interval: Interval {
                    unit: from_text("subscription", &self.interval_unit)?,
                    count: self.interval_count,
                },
                zone: self.zone.parse().map_err(|_| corrupt("its time zone"))?,
                origin: Timestamp::from_micros(self.origin),
                day: i8::try_from(self.day).map_err(|_| corrupt("its billing day"))?,
                start: Timestamp::from_micros(self.start_at),
                first_number: self.first_number,
            },
            cycle,
            closing,
            last_number: self.last_number,
            contract: self.contract(),
            paid_through: self.paid_through,
            renewal_told: self.renewal_told,
            overdue_since: instant(self.overdue_since),
            activated: self.activated != 0,
            cancel_at_end: self.cancel_at_end != 0,
            agreed_at: Timestamp::from_micros(self.agreed_at),
            created_at: Timestamp::from_micros(self.created_at),
            ended_at: instant(self.ended_at),
        })
    }

    fn contract(&self) -> Option<Contract> {
        Some(Contract {
            start: instant(self.contract_start)?,
            end: instant(self.contract_end)?,
            notice_days: self.notice_days,
            told_for: instant(self.told_for),
            agreed_at: instant(self.contract_agreed_at)?,
        })
    }

    /// The row as a decision leaves it. What no rule asks for stays as it is.
    #[must_use]
    pub fn after(self, it: &Subscription, due_at: Option<Timestamp>, barrier_at: Option<Timestamp>) -> Self {
        let contract = it.contract.as_ref();
        Self {
            variant_id: it.variant.0,
            next_variant_id: it.next_variant.map(|id| id.0),
            revision: it.revision,
            state: to_text(it.state),
            interval_unit: to_text(it.schedule.interval.unit),
            interval_count: it.schedule.interval.count,
            zone: it.schedule.zone.name().to_owned(),
            origin: it.schedule.origin.micros(),
            day: i32::from(it.schedule.day),
            start_at: it.schedule.start.micros(),
            first_number: it.schedule.first_number,
            last_number: it.last_number,
            paid_through: it.paid_through,
            renewal_told: it.renewal_told,
            overdue_since: micros(it.overdue_since),
            activated: i32::from(it.activated),
            cancel_at_end: i32::from(it.cancel_at_end),
            contract_start: contract.map(|contract| contract.start.micros()),
            contract_end: contract.map(|contract| contract.end.micros()),
            notice_days: contract.and_then(|contract| contract.notice_days),
            told_for: contract.and_then(|contract| micros(contract.told_for)),
            contract_agreed_at: contract.map(|contract| contract.agreed_at.micros()),
            agreed_at: it.agreed_at.micros(),
            due_at: micros(due_at),
            barrier_at: micros(barrier_at),
            ended_at: micros(it.ended_at),
            ..self
        }
    }
}

impl billing_cycle::Model {
    /// The cycle as its subscription knows it.
    #[must_use]
    pub fn noun(&self) -> Cycle {
        Cycle {
            number: self.number,
            variant: VariantId(self.variant_id),
            period: self.period(),
            natural_end: Timestamp::from_micros(self.natural_end),
            basis_seconds: self.basis_seconds,
            trial: self.trial != 0,
            paid: self.paid != 0,
            closes_at: Timestamp::from_micros(self.closes_at),
            granted: Credits::from_raw(self.granted),
            ahead: Credits::from_raw(self.ahead),
            granted_from: Timestamp::from_micros(self.granted_from),
            granted_through: Timestamp::from_micros(self.granted_through),
            balance_at_start: Credits::from_raw(self.balance_at_start),
            balance_at_end: Credits::from_raw(self.balance_at_end),
        }
    }

    /// Its stretch of time.
    #[must_use]
    pub fn period(&self) -> Period {
        Period {
            start: Timestamp::from_micros(self.period_start),
            end: Timestamp::from_micros(self.period_end),
        }
    }

    /// The cycle as far as counting usage goes.
    ///
    /// # Errors
    /// A row that does not say what it should.
    pub fn counting(&self) -> Result<CountingCycle, Corrupt> {
        Ok(CountingCycle {
            cycle: CycleRef {
                subscription: SubscriptionId(self.subscription_id),
                number: self.number,
            },
            since: Timestamp::from_micros(self.since),
            period: self.period(),
            closes_at: Timestamp::from_micros(self.closes_at),
            late: from_text("billing_cycle", &self.late)?,
            closed: self.is_closed(),
        })
    }

    /// What it came to; `None` before it has closed.
    ///
    /// # Errors
    /// A row that does not say what it should.
    pub fn final_summary(&self) -> Result<Option<Summary>, Corrupt> {
        self.summary
            .as_deref()
            .map(|json| from_json("billing_cycle", json))
            .transpose()
    }

    /// The row of a cycle that runs, or has ended and waits for late usage.
    #[must_use]
    pub fn open(tenant: TenantId, of: &Subscription, cycle: &Cycle, late: LatePolicy) -> Self {
        let runs = of
            .cycle
            .as_ref()
            .is_some_and(|running| running.number == cycle.number);
        Self {
            subscription_id: of.id.0,
            number: cycle.number,
            tenant_id: tenant.0,
            customer_id: of.customer.0,
            variant_id: cycle.variant.0,
            state: if runs { RUNNING } else { CLOSING }.to_owned(),
            since: of.created_at.micros(),
            late: to_text(late),
            period_start: cycle.period.start.micros(),
            period_end: cycle.period.end.micros(),
            natural_end: cycle.natural_end.micros(),
            basis_seconds: cycle.basis_seconds,
            trial: i32::from(cycle.trial),
            paid: i32::from(cycle.paid),
            closes_at: cycle.closes_at.micros(),
            granted: cycle.granted.raw(),
            ahead: cycle.ahead.raw(),
            granted_from: cycle.granted_from.micros(),
            granted_through: cycle.granted_through.micros(),
            balance_at_start: cycle.balance_at_start.raw(),
            balance_at_end: cycle.balance_at_end.raw(),
            summary: None,
            closed_at: None,
            bill: None,
        }
    }

    /// The row once the cycle has closed: one that is paid afterwards waits for its invoice.
    ///
    /// # Errors
    /// A summary that cannot be written.
    pub fn closed(self, summary: &Summary, mode: Mode, at: Timestamp) -> Result<Self, serde_json::Error> {
        Ok(Self {
            bill: (mode == Mode::Postpaid).then(|| DUE.to_owned()),
            state: CLOSED.to_owned(),
            summary: Some(serde_json::to_string(summary)?),
            closed_at: Some(at.micros()),
            ..self
        })
    }

    /// Whether it has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == CLOSED
    }
}

impl block::Model {
    /// The block as its subscription knows it; `None` when no subscription granted it.
    ///
    /// # Errors
    /// A row that does not say what it should.
    pub fn of_plan(&self) -> Result<Option<(SubscriptionId, PlanBlock)>, Corrupt> {
        let (Some(subscription), Some(template)) = (self.subscription_id, self.template_id) else {
            return Ok(None);
        };
        let source: Source = from_text("block", &self.source)?;
        let block = PlanBlock {
            id: BlockId(self.id),
            template: TemplateId(template),
            ends_with_cycle: self.ends_with_cycle != 0,
            source,
            billing: from_text("block", &self.billing)?,
            credits: Credits::from_raw(self.credits),
            remaining: Credits::from_raw(self.remaining),
            granted_at: Timestamp::from_micros(self.granted_at),
            expires_at: instant(self.expires_at),
        };
        Ok(Some((SubscriptionId(subscription), block)))
    }
}

/// The row of a subscription that begins, before [`subscription::Model::after`] has filled in what was decided.
#[must_use]
pub fn blank(
    tenant: TenantId,
    it: &Subscription,
    shard: i32,
    external_id: Option<String>,
    metadata: String,
    clock: Option<Uuid>,
) -> subscription::Model {
    subscription::Model {
        id: it.id.0,
        tenant_id: tenant.0,
        customer_id: it.customer.0,
        shard,
        external_id,
        metadata,
        variant_id: it.variant.0,
        next_variant_id: None,
        revision: it.revision,
        state: String::new(),
        interval_unit: String::new(),
        interval_count: 0,
        zone: String::new(),
        origin: 0,
        day: 0,
        start_at: 0,
        first_number: 0,
        last_number: 0,
        paid_through: 0,
        renewal_told: 0,
        overdue_since: None,
        activated: 0,
        cancel_at_end: 0,
        contract_start: None,
        contract_end: None,
        notice_days: None,
        told_for: None,
        contract_agreed_at: None,
        agreed_at: 0,
        due_at: None,
        barrier_at: None,
        created_at: it.created_at.micros(),
        ended_at: None,
        updated_at: it.created_at.micros(),
        clock_id: clock,
        renewal_billed: 0,
    }
}
