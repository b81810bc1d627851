//! Customers under the lock on their accounts, with everything that a step of their subscriptions needs to know.

use std::collections::{BTreeSet, HashMap};

use domain::{
    credit::burn::Funds,
    id::{BlockId, CustomerId, SubscriptionId, TemplateId, TenantId, VariantId},
    ledger::Account,
    plan::{Offers, template_of},
    subscription::{
        Refused, Subscription,
        portfolio::{Agreement, Moved, Portfolio, Stuck},
        posting::Posted,
    },
    time::Timestamp,
    usage::CustomerState,
};
use entity::{account, billing_cycle, subscription};
use sea_orm::ConnectionTrait;

use super::{store, timeline, write::Outcome};
use crate::{
    catalog, credit, customer,
    error::{Error, Result},
    op::Op,
    usage,
};

/// Some customers, and what their subscriptions have agreed to.
pub(super) struct Held {
    pub(super) offers: Offers,
    pub(super) customers: Vec<Customer>,
}

/// One of them, as it was read.
pub(super) struct Customer {
    pub(super) tenant: TenantId,
    pub(super) account: account::Model,
    /// Rows by which the subscriptions are written again.
    pub(super) rows: HashMap<SubscriptionId, subscription::Model>,
    /// Their cycles that have not closed.
    pub(super) open: Vec<billing_cycle::Model>,
    state: CustomerState,
    agreements: Vec<Agreement>,
    /// Cycles that began then or later can close: their counts were read.
    counted: Option<Timestamp>,
}

impl Held {
    /// Reads customers whose accounts are locked, with their subscriptions that are not over or have something due: seven
    /// statements for any number, two more when cycles close.
    ///
    /// `clock` is what the test clock shows that they live by, if they do.
    pub(super) async fn read(
        op: &Op,
        accounts: Vec<account::Model>,
        clock: Option<Timestamp>,
    ) -> Result<Self> {
        Self::read_until(op, accounts, &HashMap::new(), clock).await
    }

    /// The same, for steps up to an instant of each: with the counts of cycles that end and close by then.
    pub(super) async fn read_until(
        op: &Op,
        accounts: Vec<account::Model>,
        due: &HashMap<CustomerId, Timestamp>,
        clock: Option<Timestamp>,
    ) -> Result<Self> {
        let ids: Vec<CustomerId> = accounts.iter().map(|row| CustomerId(row.customer_id)).collect();
        let rows = store::lock_living(op, &ids).await?;
        Self::of(op, accounts, ids, rows, due, clock).await
    }

    /// Reads one customer, with one of its subscriptions whatever that is in. One statement more when it is over.
    pub(super) async fn read_with(op: &Op, account: account::Model, id: SubscriptionId) -> Result<Self> {
        let customer = CustomerId(account.customer_id);
        let mut rows = store::lock_living(op, &[customer]).await?;
        if !rows.iter().any(|row| row.id == id.0) {
            rows.extend(store::find_of(op.tx(), customer, id).await?);
        }
        Self::of(
            op,
            vec![account],
            vec![customer],
            rows,
            &HashMap::new(),
            op.own_time(),
        )
        .await
    }

    async fn of(
        op: &Op,
        accounts: Vec<account::Model>,
        ids: Vec<CustomerId>,
        rows: Vec<subscription::Model>,
        due: &HashMap<CustomerId, Timestamp>,
        clock: Option<Timestamp>,
    ) -> Result<Self> {
        let open = store::open_cycles(op.tx(), &rows).await?;
        let Agreed {
            offers,
            mut agreements,
        } = agreed(op.tx(), &rows, &open).await?.by_clock(clock);
        let closing = closing(&agreements, due);
        let mut states = states(op, &accounts, &ids, &closing).await?;
        let (mut own, mut cycles) = (HashMap::new(), HashMap::new());
        for row in rows {
            let of = own.entry(row.customer_id).or_insert_with(HashMap::new);
            of.insert(SubscriptionId(row.id), row);
        }
        for cycle in open {
            cycles
                .entry(cycle.customer_id)
                .or_insert_with(Vec::new)
                .push(cycle);
        }
        let mut customers = Vec::with_capacity(accounts.len());
        for account in accounts {
            let id = CustomerId(account.customer_id);
            customers.push(Customer {
                tenant: TenantId(account.tenant_id),
                counted: closing.get(&id).copied(),
                agreements: agreements.remove(&id).unwrap_or_default(),
                rows: own.remove(&id.0).unwrap_or_default(),
                open: cycles.remove(&id.0).unwrap_or_default(),
                state: states
                    .remove(&id)
                    .ok_or_else(|| Error::Internal(format!("{id} was not read")))?,
                account,
            });
        }
        Ok(Self { offers, customers })
    }

    /// The one customer that was read.
    pub(super) fn only(mut self) -> Result<(Offers, Customer)> {
        let only = self.customers.pop();
        let only = only.ok_or_else(|| Error::Internal("a customer was not read".to_owned()))?;
        Ok((self.offers, only))
    }
}

/// What customers have agreed to.
#[derive(Default)]
pub(crate) struct Agreed {
    pub(crate) offers: Offers,
    pub(crate) agreements: HashMap<CustomerId, Vec<Agreement>>,
}

impl Agreed {
    /// As customers see it that live by a test clock.
    pub(crate) fn by_clock(mut self, clock: Option<Timestamp>) -> Self {
        if let Some(now) = clock {
            let offers = self.offers.into_iter();
            self.offers = offers.map(|(id, offer)| (id, offer.by_clock(now))).collect();
        }
        self
    }
}

/// What customers have agreed to and is not over, or has something due. Five statements for any number.
pub(crate) async fn agreed_in(db: &impl ConnectionTrait, customers: &[CustomerId]) -> Result<Agreed> {
    let rows = store::living(db, customers).await?;
    let open = store::open_cycles(db, &rows).await?;
    agreed(db, &rows, &open).await
}

/// Subscriptions with what they have agreed to and the blocks that they granted. Three statements, and three more when there are blocks
/// of a plan that is neither what they have nor what an open cycle began with.
async fn agreed(
    db: &impl ConnectionTrait,
    rows: &[subscription::Model],
    open: &[billing_cycle::Model],
) -> Result<Agreed> {
    let mut nouns = Vec::with_capacity(rows.len());
    for row in rows {
        nouns.push(row.noun(open)?);
    }
    let wanted: BTreeSet<VariantId> = nouns.iter().flat_map(variants).collect();
    let wanted: Vec<VariantId> = wanted.into_iter().collect();
    let mut offers: Offers = catalog::offers_in(db, &wanted).await?.into_iter().collect();
    let since = |it: &Subscription| {
        let running = it.cycle.as_ref().map(|cycle| cycle.period.start);
        (it.id, running.unwrap_or(Timestamp::MAX))
    };
    let since: Vec<(SubscriptionId, Timestamp)> = nouns.iter().map(since).collect();
    let mut blocks = credit::plan_blocks(db, &since).await?;
    let former: BTreeSet<TemplateId> = blocks
        .values()
        .flatten()
        .filter(|block| template_of(&offers, block.template).is_none())
        .map(|block| block.template)
        .collect();
    offers.extend(catalog::offers_behind(db, &former).await?);
    let mut agreements: HashMap<CustomerId, Vec<Agreement>> = HashMap::new();
    for subscription in nouns {
        let blocks = blocks.remove(&subscription.id).unwrap_or_default();
        let own = agreements.entry(subscription.customer).or_default();
        own.push(Agreement { subscription, blocks });
    }
    Ok(Agreed { offers, agreements })
}

/// The variants that a subscription has, is to have, and whose cycles have not closed.
fn variants(it: &Subscription) -> impl Iterator<Item = VariantId> {
    let open = it.closing.iter().chain(&it.cycle).map(|cycle| cycle.variant);
    [Some(it.variant), it.next_variant]
        .into_iter()
        .flatten()
        .chain(open)
}

/// Customers some of whose cycles are about to close, and since when these ran: their counts are needed. A cycle that still runs
/// closes with its turn if no late usage is waited for.
fn closing(
    agreements: &HashMap<CustomerId, Vec<Agreement>>,
    due: &HashMap<CustomerId, Timestamp>,
) -> HashMap<CustomerId, Timestamp> {
    let first = |(customer, all): (&CustomerId, &Vec<Agreement>)| {
        let until = due.get(customer).copied().unwrap_or(Timestamp::MIN);
        let closing = all.iter().filter_map(|Agreement { subscription, .. }| {
            let running = subscription.cycle.as_ref();
            let at_once = running.filter(|cycle| cycle.closes_at <= until);
            subscription.closing.first().or(at_once)
        });
        Some((*customer, closing.map(|cycle| cycle.period.start).min()?))
    };
    agreements.iter().filter_map(first).collect()
}

/// Credits, terms, and (where a cycle closes) counts of customers. Two statements, four when cycles close.
async fn states(
    op: &Op,
    accounts: &[account::Model],
    ids: &[CustomerId],
    closing: &HashMap<CustomerId, Timestamp>,
) -> Result<HashMap<CustomerId, CustomerState>> {
    let mut blocks = credit::blocks_in(op.tx(), ids, &BTreeSet::new()).await?;
    let terms = customer::terms_in(op.tx(), ids).await?;
    let mut counters = HashMap::new();
    let mut timelines = HashMap::new();
    if let Some(first) = closing.values().min() {
        let since: Vec<(CustomerId, Timestamp)> = closing.iter().map(|(id, at)| (*id, *at)).collect();
        let closing: Vec<CustomerId> = closing.keys().copied().collect();
        timelines = timeline::timelines_in(op.tx(), &closing, *first).await?;
        counters = usage::standing::counters_in(op.tx(), &since).await?;
    }
    let state = |row: &account::Model| {
        let customer = CustomerId(row.customer_id);
        let account = Account::from(row);
        let state = CustomerState {
            customer,
            settlement: terms.get(&customer).copied().unwrap_or_default().settlement,
            funds: Funds::new(blocks.remove(&customer).unwrap_or_default(), account.overdraft),
            counters: counters.remove(&customer).unwrap_or_default(),
            timeline: timelines.remove(&customer).unwrap_or_default(),
            account,
        };
        (customer, state)
    };
    Ok(accounts.iter().map(state).collect())
}

/// A customer in the hands of the rules, and what they have decided so far.
pub(super) struct Session<'a> {
    pub(super) tenant: TenantId,
    pub(super) portfolio: Portfolio<'a>,
    pub(super) moved: Vec<Moved>,
    /// Blocks that had run out by themselves before.
    swept: Posted,
    account: account::Model,
    rows: HashMap<SubscriptionId, subscription::Model>,
    open: Vec<billing_cycle::Model>,
    counted: Option<Timestamp>,
}

impl Customer {
    /// Hands it to the rules.
    pub(super) fn session(self, offers: &Offers) -> Session<'_> {
        Session {
            tenant: self.tenant,
            portfolio: Portfolio {
                state: self.state,
                agreements: self.agreements,
                offers,
            },
            moved: Vec::new(),
            swept: Posted::default(),
            account: self.account,
            rows: self.rows,
            open: self.open,
            counted: self.counted,
        }
    }
}

impl Session<'_> {
    /// Who.
    pub(super) fn customer(&self) -> CustomerId {
        CustomerId(self.account.customer_id)
    }

    /// Whether the counts of the cycle that a subscription closes next were read.
    pub(super) fn has_counts(&self, id: SubscriptionId) -> bool {
        let mut all = self.portfolio.agreements.iter();
        let closing = all.find(|it| it.subscription.id == id);
        let cycle = closing.and_then(|it| it.subscription.closing.first());
        cycle
            .zip(self.counted)
            .is_some_and(|(cycle, since)| cycle.period.start >= since)
    }

    /// Ends the blocks that have run out by themselves before an instant.
    pub(super) fn sweep(&mut self, at: Timestamp) -> std::result::Result<(), Stuck> {
        self.swept = self.portfolio.expire_before(at)?;
        Ok(())
    }

    /// Notes the row of a subscription that begins.
    pub(super) fn begin(&mut self, row: subscription::Model) {
        self.rows.insert(SubscriptionId(row.id), row);
    }

    /// What has to be written. Also when nothing was decided: what is due may have changed with the catalog.
    pub(super) fn outcome(self) -> std::result::Result<Outcome, Stuck> {
        let (barrier, admission) = (self.portfolio.barrier()?, self.portfolio.admission()?);
        let mut rows = Vec::with_capacity(self.portfolio.agreements.len());
        for Agreement { subscription, .. } in &self.portfolio.agreements {
            let deal = self.portfolio.deal(subscription)?;
            let row = self.rows.get(&subscription.id).cloned();
            let before = row.ok_or(Stuck::NotHere(subscription.id))?;
            let due = subscription.due(&deal).map(|due| due.at);
            let after = before
                .clone()
                .after(subscription, due, subscription.barrier(&deal));
            if before != after {
                rows.push(after);
            }
        }
        Ok(Outcome {
            tenant: self.tenant,
            cycles: super::write::cycles(self.tenant, &self.portfolio, &self.moved, &self.open),
            facts: super::write::facts(self.tenant, &self.portfolio, &self.moved),
            before: self.account,
            account: self.portfolio.state.account,
            swept: self.swept,
            moved: self.moved,
            rows,
            barrier,
            admission,
        })
    }
}

/// New names for blocks.
pub(super) fn block_ids(op: &Op) -> impl FnMut() -> BlockId + use<'_> {
    || BlockId(op.new_id())
}

impl From<Stuck> for Error {
    fn from(stuck: Stuck) -> Self {
        match stuck {
            Stuck::Books(error) => error.into(),
            // Whoever asks for something is told why not; a step that is due is never refused.
            Stuck::Refused(Refused::OtherBooks) | Stuck::NoOffer(_) | Stuck::NotHere(_) => {
                Self::Internal(stuck.to_string())
            }
            Stuck::Refused(no) => Self::Rejected(no.into()),
        }
    }
}
