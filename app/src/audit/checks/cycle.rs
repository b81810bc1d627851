//! Subscriptions: their cycles, what these have granted and came to, and what accounts know of them.

use std::collections::{BTreeMap, HashMap};

use domain::{
    cycle::{
        CycleRef,
        late::{Timeline, Timing},
    },
    id::{BlockId, CustomerId, SubscriptionId},
    subscription::{
        admission::{Standing, admission},
        state::State,
    },
    time::Timestamp,
};
use entity::{account, billing_cycle, block, subscription, to_text, usage_counter, usage_event};
use uuid::Uuid;

use super::{Check, Findings, ledger::Replay, usage::Tally};

/// What is read of one customer's subscriptions.
#[derive(Debug, Default)]
pub(in crate::audit) struct Agreed {
    pub(in crate::audit) subscriptions: Vec<subscription::Model>,
    /// In the order of their numbers.
    pub(in crate::audit) cycles: Vec<billing_cycle::Model>,
    /// Of the subscriptions that are overdue: whether their variants allow usage meanwhile.
    pub(in crate::audit) forgiving: HashMap<Uuid, bool>,
}

impl Agreed {
    fn cycles_of(&self, id: Uuid) -> impl Iterator<Item = &billing_cycle::Model> {
        self.cycles
            .iter()
            .filter(move |cycle| cycle.subscription_id == id)
    }

    fn cycle(&self, of: Uuid, number: i64) -> Option<&billing_cycle::Model> {
        self.cycles_of(of).find(|cycle| cycle.number == number)
    }
}

fn name(cycle: &billing_cycle::Model) -> String {
    format!("cycle:{}:{}", SubscriptionId(cycle.subscription_id), cycle.number)
}

/// To whom the rows belong.
pub(in crate::audit) fn owners(tenant: Uuid, agreed: &Agreed, found: &mut Findings) {
    for row in &agreed.subscriptions {
        let id = SubscriptionId(row.id);
        super::account::owner(tenant, row.tenant_id, id, "subscription", found);
    }
    for cycle in &agreed.cycles {
        super::account::owner(tenant, cycle.tenant_id, name(cycle), "billing_cycle", found);
        let own = agreed
            .subscriptions
            .iter()
            .any(|row| row.id == cycle.subscription_id);
        found.expect(
            own,
            Check::RowOwner,
            name(cycle),
            || "it names a subscription of another customer",
        );
    }
}

/// The order of cycles.
pub(in crate::audit) fn order(agreed: &Agreed, found: &mut Findings) {
    for row in &agreed.subscriptions {
        let mut before: Option<&billing_cycle::Model> = None;
        for cycle in agreed.cycles_of(row.id) {
            let due = before.map_or(cycle.number.clamp(0, 1), |before| before.number + 1);
            found.expect(cycle.number == due, Check::CycleOrder, name(cycle), || {
                format!("number {} comes where number {due} should", cycle.number)
            });
            if let Some(before) = before {
                follows(before, cycle, found);
            }
            before = Some(cycle);
        }
        let last = before.map(|cycle| cycle.number);
        found.expect(
            last == Some(row.last_number),
            Check::CycleOrder,
            SubscriptionId(row.id),
            || {
                format!(
                    "it says that its last cycle is {}, it is {last:?}",
                    row.last_number
                )
            },
        );
    }
}

fn follows(before: &billing_cycle::Model, cycle: &billing_cycle::Model, found: &mut Findings) {
    found.expect(
        before.period_end <= cycle.period_start,
        Check::CycleOrder,
        name(cycle),
        || "it begins before the one before it has ended",
    );
    found.expect(
        before.state != "RUNNING",
        Check::CycleOrder,
        name(before),
        || "it runs, though another follows it",
    );
    found.expect(
        before.is_closed() || !cycle.is_closed(),
        Check::CycleOrder,
        name(cycle),
        || "it has closed before the one before it",
    );
}

/// What the account knows of the subscriptions. Those that are over and have nothing due are known by nobody, and say nothing.
pub(in crate::audit) fn barrier(account: &account::Model, agreed: &Agreed, found: &mut Findings) {
    let who = CustomerId(account.customer_id);
    let first = agreed.subscriptions.iter().filter_map(|row| row.barrier_at).min();
    let due = (!agreed.subscriptions.is_empty()).then(|| first.unwrap_or(Timestamp::MAX.micros()));
    found.expect(account.barrier_at == due, Check::AccountBarrier, who, || {
        format!(
            "the account says {:?}, its subscriptions {due:?}",
            account.barrier_at
        )
    });
    let mut standings = Vec::with_capacity(agreed.subscriptions.len());
    for row in &agreed.subscriptions {
        let id = SubscriptionId(row.id);
        let state = entity::from_text::<State>("subscription", &row.state);
        // Only of those that are overdue it matters, and only of those it was read.
        let allows = agreed.forgiving.get(&row.variant_id).copied();
        match state {
            Ok(State::Overdue) if allows.is_none() => {
                found.add(Check::AccountBarrier, id, "its variant cannot be read");
            }
            Ok(state) => standings.push(Standing {
                state,
                allow_usage_while_overdue: allows.unwrap_or_default(),
            }),
            Err(error) => found.add(Check::AccountBarrier, id, error.to_string()),
        }
    }
    let admission = to_text(admission(&standings));
    found.expect(
        account.admission == admission,
        Check::AccountBarrier,
        format!("admission:{who}"),
        || {
            format!(
                "the account says {}, its subscriptions {admission}",
                account.admission
            )
        },
    );
}

/// The blocks that cycles have brought.
pub(in crate::audit) fn grants(
    blocks: &[&block::Model],
    agreed: &Agreed,
    replay: &Replay,
    found: &mut Findings,
) {
    for block in blocks {
        let Some(subscription) = block.subscription_id else {
            continue;
        };
        let id = BlockId(block.id);
        let cycle = block
            .cycle_number
            .and_then(|number| agreed.cycle(subscription, number));
        let Some(cycle) = cycle else {
            found.add(
                Check::CycleGrants,
                id,
                "it names no cycle of its customer's subscriptions",
            );
            continue;
        };
        found.expect(
            block.ends_with_cycle == 0 || block.state != "ACTIVE" || cycle.state == "RUNNING",
            Check::CycleGrants,
            id,
            || "it ends with its cycle, which has ended, and has not been ended",
        );
        if let Some(key) = replay.causes.get(&block.id) {
            let of = format!(":{}:{}:", SubscriptionId(subscription), cycle.number);
            let own = key
                .strip_prefix("grant:")
                .and_then(|key| key.find(':').map(|end| &key[end..]));
            found.expect(
                own.is_some_and(|rest| rest.starts_with(&of)),
                Check::CycleGrants,
                id,
                || format!("it was made by `{key}`, which is not of its cycle"),
            );
        }
    }
}

/// What closed cycles came to. With a tally of all ratings the summaries are compared with what was rated and counted as well.
///
/// Of the usage of a closed cycle only two things change its counts: what is taken back, and late usage that is billed as an adjustment.
/// A summary was made before such adjustments, and of what had not been taken back by then.
pub(in crate::audit) fn summaries(
    agreed: &Agreed,
    timeline: &Timeline,
    counters: &[usage_counter::Model],
    tally: Option<&Tally>,
    found: &mut Findings,
) {
    let closed = agreed.cycles.iter().filter(|cycle| cycle.is_closed());
    for cycle in closed {
        let summary = match cycle.final_summary() {
            Ok(Some(summary)) => summary,
            Ok(None) => {
                found.add(
                    Check::CycleSummary,
                    name(cycle),
                    "it has closed without a summary",
                );
                continue;
            }
            Err(error) => {
                found.add(Check::CycleSummary, name(cycle), error.to_string());
                continue;
            }
        };
        let sum: i128 = summary
            .by_metric
            .values()
            .map(|usage| i128::from(usage.credits.raw()))
            .sum();
        let total = summary.total_credits_consumed.raw();
        found.expect(sum == i128::from(total), Check::CycleSummary, name(cycle), || {
            format!("it says {total} in all, its metrics come to {sum}")
        });
        let Some(tally) = tally else { continue };
        let stretches = timeline.stretches_of(CycleRef {
            subscription: SubscriptionId(cycle.subscription_id),
            number: cycle.number,
        });
        let starts: Vec<i64> = stretches.iter().map(|it| it.start.micros()).collect();
        let mut counted: BTreeMap<Uuid, (i128, Span)> = BTreeMap::new();
        for counter in counters {
            if starts.contains(&counter.period_start) {
                counted.entry(counter.metric_id).or_default().0 += i128::from(counter.credits);
            }
        }
        for (metric, span) in tally.spans(&starts) {
            counted.entry(metric).or_default().1.add(span);
        }
        for metric in summary.by_metric.keys() {
            counted.entry(metric.0).or_default();
        }
        for (metric, (credits, span)) in counted {
            let metric = domain::id::MetricId(metric);
            let usage = summary.by_metric.get(&metric).copied().unwrap_or_default();
            let units = i128::from(usage.units.raw());
            let subject = format!("{}:{metric}", name(cycle));
            found.expect(span.holds(units), Check::CycleSummary, &subject, || {
                format!("it says {units} units, those rated in time come to {span:?}")
            });
            let same = !span.is_final() || i128::from(usage.credits.raw()) == credits;
            found.expect(same, Check::CycleSummary, &subject, || {
                format!("it says {}, counted are {credits}", usage.credits.raw())
            });
        }
    }
}

/// The units that were rated in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::audit) struct Span {
    /// All but those taken back; less than nothing counts as well.
    pub(in crate::audit) standing: i128,
    /// Taken back, before the close or after: the positive ones.
    pub(in crate::audit) more: i128,
    /// The negative ones.
    pub(in crate::audit) less: i128,
    /// Whether anything was taken back, or rated as an adjustment after the close.
    pub(in crate::audit) moved: bool,
}

impl Span {
    /// Notes an event that was rated.
    pub(in crate::audit) fn note(&mut self, timing: Timing, event: &usage_event::Model) {
        let units = i128::from(event.units);
        if timing == Timing::LateAdjustment {
            self.moved = true;
        } else if event.voided_at.is_none() {
            self.standing += units;
        } else {
            self.moved = true;
            self.more += units.max(0);
            self.less += units.min(0);
        }
    }

    fn add(&mut self, other: Self) {
        self.standing += other.standing;
        self.more += other.more;
        self.less += other.less;
        self.moved |= other.moved;
    }

    fn holds(self, units: i128) -> bool {
        (self.standing + self.less..=self.standing + self.more).contains(&units)
    }

    fn is_final(self) -> bool {
        !self.moved
    }
}
