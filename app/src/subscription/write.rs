//! Writing what was decided: for any number of customers twelve statements at most, each left out when it has nothing to write.

use std::collections::BTreeMap;

use domain::{
    cycle::Cycle,
    id::{CustomerId, MetricId, SubscriptionId, TenantId},
    ledger::Account,
    subscription::{
        Decision, MoneyLine, Subscription,
        admission::Admission,
        fact::{Fact, What},
        portfolio::{Moved, Portfolio},
        posting::Posted,
    },
    time::Timestamp,
};
use entity::{account, billing_cycle, subscription};

use super::store;
use crate::{
    catalog,
    credit::{self, BlockChange, NewBlockRow, Origin, Posting},
    error::Result,
    event::{self, Told},
    failpoint::reach,
    invoice, job,
    op::Op,
};

/// What one customer's part comes to.
pub(super) struct Outcome {
    pub(super) tenant: TenantId,
    pub(super) before: account::Model,
    pub(super) account: Account,
    /// What happens before the decisions.
    pub(super) swept: Posted,
    pub(super) moved: Vec<Moved>,
    /// Subscriptions that are not as they were.
    pub(super) rows: Vec<subscription::Model>,
    /// Cycles that are not as they were.
    pub(super) cycles: Result<Vec<billing_cycle::Model>>,
    pub(super) facts: Vec<Told>,
    pub(super) barrier: Option<Timestamp>,
    pub(super) admission: Admission,
}

/// Money that becomes due, with its name: subscription, revision and place.
pub(super) struct Charge {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) subscription: SubscriptionId,
    pub(super) revision: i64,
    pub(super) position: i64,
    pub(super) line: MoneyLine,
    pub(super) at_once: bool,
}

impl Outcome {
    fn customer(&self) -> CustomerId {
        CustomerId(self.before.customer_id)
    }

    fn posting(&self) -> Option<Posting> {
        let posted = || std::iter::once(&self.swept).chain(self.moved.iter().map(|moved| &moved.posted));
        let entries: Vec<_> = posted().flat_map(|it| it.entries.iter().cloned()).collect();
        let blocks: Vec<_> = posted()
            .flat_map(|it| &it.changed)
            .map(|after| BlockChange {
                id: after.id,
                remaining: after.remaining,
                state: after.state,
            })
            .collect();
        (!entries.is_empty() || !blocks.is_empty()).then(|| Posting {
            tenant: self.tenant,
            customer: self.customer(),
            account: self.account,
            entries,
            blocks,
        })
    }

    fn made(&self) -> impl Iterator<Item = NewBlockRow> {
        let (tenant, customer) = (self.tenant, self.customer());
        self.moved.iter().flat_map(move |moved| {
            moved.posted.made.iter().map(move |(block, new)| NewBlockRow {
                tenant,
                customer,
                block: block.clone(),
                description: None,
                origin: Some(Origin {
                    subscription: moved.decision.subscription.id,
                    template: new.template,
                    cycle: new.cycle,
                    ends_with_cycle: new.ends_with_cycle,
                }),
            })
        })
    }

    /// The customer, if a renewal that was told may not be awaited any more: it was paid, there will be none, or with another plan.
    fn needs_no_renewal(&self) -> Option<CustomerId> {
        let is_over = |decision: &Decision| {
            let it = &decision.subscription;
            let is_other = |fact: &Fact| {
                matches!(
                    fact.what,
                    What::PlanChanged { .. } | What::PlanChangeScheduled { .. }
                )
            };
            let is_needless = it.paid_through >= it.renewal_told || it.cancel_at_end || !it.state.renews();
            it.renewal_told > 0 && (is_needless || decision.facts.iter().any(is_other))
        };
        let mut all = self.moved.iter().map(|moved| &moved.decision);
        all.any(is_over).then(|| self.customer())
    }

    fn charges(&self) -> impl Iterator<Item = Charge> {
        let (tenant, customer) = (self.tenant, self.customer());
        self.moved.iter().flat_map(move |moved| {
            let it = &moved.decision.subscription;
            (0_i64..)
                .zip(&moved.decision.money)
                .map(move |(position, line)| Charge {
                    tenant,
                    customer,
                    subscription: it.id,
                    revision: it.revision,
                    position,
                    line: line.clone(),
                    at_once: moved.decision.bills_at_once,
                })
        })
    }
}

/// Writes outcomes.
pub(super) async fn write(op: &mut Op, outcomes: &mut [Outcome]) -> Result<()> {
    let rows: Vec<&subscription::Model> = outcomes.iter().flat_map(|it| &it.rows).collect();
    store::put(op, &rows).await?;
    let made: Vec<NewBlockRow> = outcomes.iter().flat_map(Outcome::made).collect();
    credit::insert_blocks(op, &made).await?;
    reach("cycles.granted")?;
    let posted = outcomes
        .iter()
        .flat_map(|it| &it.moved)
        .flat_map(|it| &it.posted.moved);
    credit::move_expiry(op, &posted.copied().collect::<Vec<_>>()).await?;
    let postings: Vec<Posting> = outcomes.iter().filter_map(Outcome::posting).collect();
    credit::post_in(op, &postings.iter().collect::<Vec<_>>()).await?;
    reach("cycles.posted")?;
    let mut cycles = Vec::new();
    for outcome in outcomes.iter_mut() {
        cycles.extend(std::mem::replace(&mut outcome.cycles, Ok(Vec::new()))?);
    }
    store::put_cycles(op, &cycles).await?;
    reach("cycles.turned")?;
    let charges: Vec<Charge> = outcomes.iter().flat_map(Outcome::charges).collect();
    store::insert_charges(op, &charges).await?;
    for charge in charges.iter().filter(|charge| charge.at_once) {
        op.wake(job::invoices::wakeup(charge.customer));
    }
    let unneeded: Vec<CustomerId> = outcomes.iter().filter_map(Outcome::needs_no_renewal).collect();
    invoice::look_again_in(op, &unneeded).await?;
    tell(op, outcomes).await?;
    reach("cycles.told")?;
    let accounts: Vec<_> = outcomes
        .iter()
        .map(|it| (it.customer(), it.barrier.unwrap_or(Timestamp::MAX), it.admission))
        .collect();
    store::put_barriers(op, &accounts).await?;
    for (customer, ..) in accounts {
        op.changed(customer);
    }
    Ok(())
}

/// Tells what happened, with the keys of the metrics: two statements for any number of customers and tenants.
async fn tell(op: &Op, outcomes: &mut [Outcome]) -> Result<()> {
    let told = outcomes.iter_mut().flat_map(|it| std::mem::take(&mut it.facts));
    let told: Vec<Told> = told.collect();
    let metrics: Vec<MetricId> = event::metrics_of(&told).into_iter().collect();
    let keys = catalog::metric_keys_of_all(op.tx(), &metrics).await?;
    let events: Vec<_> = told.iter().map(|told| told.event(&keys)).collect();
    event::write_in(op, &events).await
}

/// The facts of decisions.
pub(super) fn facts(tenant: TenantId, portfolio: &Portfolio<'_>, moved: &[Moved]) -> Vec<Told> {
    let facts = moved.iter().flat_map(|moved| {
        let it = &moved.decision.subscription;
        moved.decision.facts.iter().map(move |fact| (it, fact))
    });
    facts
        .filter_map(|(it, fact)| {
            Some(Told {
                tenant,
                customer: it.customer,
                mode: portfolio.offers.get(&it.variant)?.variant.mode,
                fact: fact.clone(),
            })
        })
        .collect()
}

/// The rows of cycles that decisions have made or changed.
pub(super) fn cycles(
    tenant: TenantId,
    portfolio: &Portfolio<'_>,
    moved: &[Moved],
    before: &[billing_cycle::Model],
) -> Result<Vec<billing_cycle::Model>> {
    let mut rows: Vec<billing_cycle::Model> = Vec::new();
    for moved in moved {
        let (it, closed) = (&moved.decision.subscription, &moved.decision.closed);
        let open = it.closing.iter().chain(&it.cycle);
        rows.extend(open.filter_map(|cycle| row(tenant, portfolio, it, cycle)));
        if let Some(closed) = closed
            && let Some(open) = row(tenant, portfolio, it, &closed.cycle)
            && let Some(offer) = portfolio.offers.get(&closed.cycle.variant)
        {
            let (mode, at) = (offer.variant.mode, closed.cycle.closes_at);
            rows.push(open.closed(&closed.summary, mode, at)?);
        }
    }
    // The last word on a cycle counts, and what is as it was is not written.
    let mut last: BTreeMap<_, billing_cycle::Model> = BTreeMap::new();
    for row in rows {
        last.insert((row.subscription_id, row.number), row);
    }
    Ok(last.into_values().filter(|row| !before.contains(row)).collect())
}

fn row(
    tenant: TenantId,
    portfolio: &Portfolio<'_>,
    of: &Subscription,
    cycle: &Cycle,
) -> Option<billing_cycle::Model> {
    let late = portfolio.offers.get(&cycle.variant)?.variant.late;
    Some(billing_cycle::Model::open(tenant, of, cycle, late))
}
