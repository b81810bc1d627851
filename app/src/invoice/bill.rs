//! Making invoices of cycles that have closed.
//!
//! One cycle per transaction, in the order in which they closed, under the lock on the account: some fifteen statements to read and
//! eight to write.

use std::collections::{BTreeMap, HashMap};

use domain::{
    amount::Credits,
    credit::block::Billing,
    customer::Settlement,
    cycle::{Cycle, CycleRef},
    id::{BlockId, CustomerId, MetricId, SubscriptionId, TenantId},
    invoice::{
        Kind,
        cycle::{CycleBill, CycleLines, Named},
        terms::BillingTerms,
        usage::BillError,
    },
    money::Currency,
    plan::variant::Variant,
    rejection::Rejection,
    subscription::MoneyLine,
    time::Timestamp,
    usage::{Counter, CounterKey},
};
use entity::{account, billing_cycle};

use super::{
    change,
    draft::{Wanted, make},
    issue, late, renewal,
    setting::needed,
    store,
};
use crate::{
    App, catalog, credit, customer,
    error::{Error, Result},
    failpoint::reach,
    op::Op,
    subscription, usage,
};

/// Customers that a sweep wakes at once.
const SWEEP: u64 = 1_000;

/// Customers with cycles, renewals, changes of plan or late usage that wait for their invoice.
pub(crate) async fn to_bill(app: &App) -> Result<Vec<CustomerId>> {
    store::customers_to_bill(app.db().reader(), SWEEP).await
}

/// Makes the invoice of a customer's oldest cycle that waits for one, or else of a renewal, of a change of plan or of late
/// usage. Answers whether there was any.
pub(crate) async fn bill(app: &App, customer: CustomerId) -> Result<bool> {
    Ok(bill_cycle(app, customer).await?
        || renewal::bill(app, customer).await?
        || change::bill(app, customer).await?
        || late::bill(app, customer).await?)
}

async fn bill_cycle(app: &App, customer: CustomerId) -> Result<bool> {
    let Some(row) = store::next_cycle(app.db().reader(), customer).await? else {
        return Ok(false);
    };
    let tenant = TenantId(row.tenant_id);
    let mut op = Op::begin(app).await?;
    let account = op.lock_account(tenant, customer).await?;
    let Some(account) = account else {
        return Err(Error::Internal(format!("{customer} has no account")));
    };
    // Again, under the lock: another worker may have been first.
    let Some(row) = store::next_cycle(op.tx(), customer).await? else {
        return Ok(false);
    };
    reach("invoice.chosen")?;
    let terms = needed(op.tx(), tenant).await?;
    let story = Story::read(&op, &account, &row).await?;
    match story.bill().currency() {
        Some(currency) => write(&mut op, &terms, &story, currency).await?,
        // Nothing of it has a price: the vendor charges elsewhere.
        None => store::mark_billed(&op, &row, None).await?,
    }
    op.commit().await?;
    reach("invoice.billed")?;
    Ok(true)
}

/// A cycle, and all that its invoice is made of.
pub(super) struct Story {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    row: billing_cycle::Model,
    pub(super) cycle: Cycle,
    variant: Variant,
    plan: String,
    changes: Vec<MoneyLine>,
    counts: Vec<(CounterKey, Counter)>,
    metrics: BTreeMap<MetricId, Named>,
    blocks: HashMap<BlockId, Billing>,
    settlement: Settlement,
    overdraft: Credits,
}

impl Story {
    pub(super) async fn read(op: &Op, account: &account::Model, row: &billing_cycle::Model) -> Result<Self> {
        let (tenant, customer) = (TenantId(row.tenant_id), CustomerId(row.customer_id));
        let cycle = row.noun();
        let mut offers = catalog::offers_in(op.tx(), &[cycle.variant]).await?;
        let Some(offer) = offers.remove(&cycle.variant) else {
            return Err(Error::Internal(format!("{} is gone", cycle.variant)));
        };
        let variant = offer.variant;
        let plan = catalog::plan_name_in(op.tx(), &variant).await?;
        let counts = counts(op, customer, row, &cycle).await?;
        let metrics: Vec<MetricId> = counts.iter().map(|(key, _)| key.metric).collect();
        let draws = counts.iter().flat_map(|(_, count)| count.draws.as_slice());
        let blocks: Vec<BlockId> = draws.filter_map(|draw| draw.from.block()).collect();
        let terms = customer::terms_in(op.tx(), &[customer]).await?;
        Ok(Self {
            tenant,
            customer,
            plan: format!("{plan}, {}", variant.name),
            changes: store::changes(op.tx(), row).await?,
            metrics: catalog::metric_names_in(op.tx(), &metrics).await?,
            blocks: credit::billing_in(op.tx(), &blocks).await?,
            settlement: terms.get(&customer).copied().unwrap_or_default().settlement,
            row: row.clone(),
            cycle,
            variant,
            counts,
            overdraft: Credits::from_raw(account.overdraft),
        })
    }

    pub(super) fn bill(&self) -> CycleBill<'_> {
        CycleBill {
            cycle: &self.cycle,
            variant: &self.variant,
            plan: &self.plan,
            changes: &self.changes,
            counts: &self.counts,
            metrics: &self.metrics,
            blocks: &self.blocks,
            settlement: self.settlement,
            overdraft: self.overdraft,
        }
    }

    pub(super) fn name(&self) -> CycleRef {
        CycleRef {
            subscription: SubscriptionId(self.row.subscription_id),
            number: self.row.number,
        }
    }
}

/// What was counted in the stretches of a cycle.
async fn counts(
    op: &Op,
    customer: CustomerId,
    row: &billing_cycle::Model,
    cycle: &Cycle,
) -> Result<Vec<(CounterKey, Counter)>> {
    let since: Timestamp = cycle.period.start;
    let mut timelines = subscription::timelines_in(op.tx(), &[customer], since).await?;
    let timeline = timelines.remove(&customer).unwrap_or_default();
    let stretches = timeline.stretches_of(CycleRef {
        subscription: SubscriptionId(row.subscription_id),
        number: row.number,
    });
    let mut counters = usage::standing::counters_in(op.tx(), &[(customer, since)]).await?;
    let all = counters.remove(&customer).unwrap_or_default();
    let mut counts: Vec<_> = all
        .into_iter()
        .filter(|(key, _)| stretches.iter().any(|it| it.start == key.period_start))
        .collect();
    counts.sort_unstable_by_key(|(key, _)| *key);
    Ok(counts)
}

async fn write(op: &mut Op, terms: &BillingTerms, story: &Story, currency: Currency) -> Result<()> {
    let billed = story.bill().lines(currency).map_err(unbillable)?;
    let CycleLines { lines, settles } = billed;
    if lines.is_empty() {
        return store::mark_billed(op, &story.row, None).await;
    }
    let (tenant, customer) = (story.tenant, story.customer);
    let name = story.name();
    let wanted = Wanted {
        tenant,
        customer,
        cycle: Some(name),
        kind: Kind::Cycle,
        currency,
        period: Some(story.cycle.period),
        lines,
        source: format!("cycle:{}:{}", name.subscription, name.number),
    };
    let made = make(op, terms, wanted).await?;
    let id = made.invoice.id;
    if settles.is_positive() {
        credit::settle_in(op, tenant, customer, settles, id).await?;
    }
    reach("invoice.settled")?;
    issue::file_in(op, terms, made).await?;
    store::mark_billed(op, &story.row, Some((id, currency))).await?;
    reach("invoice.written")
}

pub(super) fn unbillable(no: BillError) -> Error {
    match no {
        BillError::Money(no) => Rejection::invalid("", no.to_string()).into(),
        BillError::DoesNotAddUp => Error::Internal(no.to_string()),
    }
}
