//! Looking at the books of some customers, all in one snapshot, so that what is compared belongs together.
//!
//! Some twenty-two statements for a batch, five more where anybody has ever had a subscription, and one more per [`WINDOW`] entries or [`EVENTS`] events of a customer with many.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    credit::block::Block,
    customer::Terms,
    cycle::late::Timeline,
    id::{BlockId, CustomerId, MetricId, PaymentId},
    payment::returned::{Return, credits_due},
    plan::variant::Variant,
    time::Timestamp,
};
use entity::{account, block, customer, ledger_entry, spend_period, usage_counter};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::{
    Mode,
    checks::{
        Check, Finding, Findings, account as totals,
        cycle::{self, Agreed},
        ledger::{Place, Replay},
        usage::{self, Known, Tally, Usage},
    },
    store,
};
use crate::{App, catalog, error::Result, op, subscription, usage::DAY_MICROS};

/// Entries in memory at a time: some twenty megabytes.
const WINDOW: i64 = 20_000;
/// Events in memory at a time.
const EVENTS: i64 = 50_000;
/// Rows of ratings that an incremental look reads. What is beyond is left to a full one; the sums are compared all the same.
const RECENT_ROWS: u64 = 5_000;
/// Events that an incremental look reads, by the same rule.
const RECENT_EVENTS: usize = 100_000;
/// Instants that no row has.
const EVER: (i64, i64) = (i64::MIN, i64::MAX);

/// How far a customer was found sound.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) customer: Uuid,
    pub(super) revision: i64,
    pub(super) place: Place,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) findings: Vec<Finding>,
    pub(super) marks: Vec<Mark>,
    pub(super) entries: i64,
    pub(super) events: i64,
}

/// One customer while it is looked at.
struct Subject {
    customer: customer::Model,
    account: account::Model,
    replay: Replay,
    since: i64,
    found: Findings,
    tally: Tally,
    timeline: Timeline,
    agreed: Agreed,
}

/// Looks at the books of customers: what is new since they were last found sound, or everything.
pub(super) async fn look(app: &App, customers: &[Uuid], mode: Mode) -> Result<Looked> {
    let tx = op::snapshot(app).await?;
    let mut looked = Looked::default();
    let mut subjects = subjects(&tx, customers, mode, &mut looked).await?;
    cycles(&tx, &mut subjects).await?;
    agreed(&tx, &mut subjects).await?;
    paid(&tx, &mut subjects).await?;
    held(&tx, &mut subjects).await?;
    spent(&tx, &mut subjects, mode).await?;
    told(&tx, &mut subjects).await?;
    replay(&tx, &mut subjects, &mut looked).await?;
    let blocks = blocks(&tx, &mut subjects, mode).await?;
    let counters = store::counters(&tx, customers).await?;
    let mut known = known(&tx, &counters, blocks).await?;
    match mode {
        Mode::Full => all_usage(&tx, &mut subjects, &counters, &mut known, &mut looked).await?,
        Mode::Incremental => recent_usage(&tx, &mut subjects, &mut known, &mut looked).await?,
    }
    tx.commit().await?;
    let mut counters_of: HashMap<Uuid, Vec<usage_counter::Model>> = HashMap::new();
    for counter in counters {
        counters_of.entry(counter.customer_id).or_default().push(counter);
    }
    for mut subject in subjects {
        let counters = counters_of.remove(&subject.customer.id).unwrap_or_default();
        let tenant = subject.customer.tenant_id;
        cycle::summaries(
            &subject.agreed,
            &subject.timeline,
            &counters,
            (mode == Mode::Full).then_some(&subject.tally),
            &mut subject.found,
        );
        let who = CustomerId(subject.customer.id);
        let written_off = subject.replay.place.written_off;
        usage::written_off(who, &counters, written_off, &mut subject.found);
        usage::counts(tenant, &counters, &mut subject.tally, &known, &mut subject.found);
        usage::debits(
            subject.customer.id,
            &subject.replay.debits,
            &subject.tally.drawn,
            subject.since,
            &mut subject.found,
        );
        subject.close(&mut looked);
    }
    Ok(looked)
}

impl Subject {
    fn close(mut self, looked: &mut Looked) {
        self.replay.finish(&self.account, &mut self.found);
        // Terms that cannot be read promise nothing; the drain parks such a customer.
        let bound = Terms::try_from(&self.customer)
            .ok()
            .and_then(|terms| terms.bound());
        self.replay
            .bounded(CustomerId(self.customer.id), bound, &mut self.found);
        // What is not sound is looked at again from the same place until it is.
        if self.found.all.is_empty() {
            looked.marks.push(Mark {
                customer: self.customer.id,
                revision: self.account.revision,
                place: self.replay.place,
            });
        }
        looked.findings.extend(self.found.all);
    }

    fn id(&self) -> Uuid {
        self.customer.id
    }
}

async fn subjects(
    tx: &DatabaseTransaction,
    all: &[Uuid],
    mode: Mode,
    looked: &mut Looked,
) -> Result<Vec<Subject>> {
    let customers = store::customers(tx, all).await?;
    let mut accounts = store::accounts(tx, all).await?;
    let marks = match mode {
        Mode::Full => HashMap::new(),
        Mode::Incremental => store::marks(tx, all).await?,
    };
    let mut subjects = Vec::with_capacity(customers.len());
    for customer in customers {
        let mut found = Findings::about(customer.tenant_id, customer.id);
        let who = CustomerId(customer.id);
        let Some(account) = accounts.remove(&customer.id) else {
            found.add(Check::AccountBlocks, who, "the customer has no account");
            looked.findings.extend(found.all);
            continue;
        };
        totals::owner(customer.tenant_id, account.tenant_id, who, "account", &mut found);
        // A place that cannot be read is none, nor is one that lies ahead of what has happened since, because a clock was
        // set back: everything is looked at again.
        let place: Place = marks
            .get(&customer.id)
            .and_then(|mark| serde_json::from_str(&mark.state).ok())
            .filter(|place: &Place| place.instant <= account.updated_at)
            .unwrap_or_default();
        subjects.push(Subject {
            since: if place.sequence == 0 {
                i64::MIN
            } else {
                place.instant
            },
            replay: Replay::from(place, customer.bounded_from),
            tally: Tally::default(),
            timeline: Timeline::default(),
            agreed: Agreed::default(),
            customer,
            account,
            found,
        });
    }
    Ok(subjects)
}

/// Reads all cycles of those that have ever had a subscription. One statement, none without such customers.
async fn cycles(tx: &DatabaseTransaction, subjects: &mut [Subject]) -> Result<()> {
    let subscribed = subjects
        .iter()
        .filter(|subject| subject.account.barrier_at.is_some());
    let subscribed: Vec<CustomerId> = subscribed.map(|subject| CustomerId(subject.id())).collect();
    if subscribed.is_empty() {
        return Ok(());
    }
    let mut timelines = subscription::timelines_in(tx, &subscribed, Timestamp::MIN).await?;
    for subject in subjects {
        if let Some(timeline) = timelines.remove(&CustomerId(subject.id())) {
            subject.timeline = timeline;
        }
    }
    Ok(())
}

/// Checks what payments became, what has gone back of them, and who is watched for an auto-recharge. Five statements, six where money went
/// back.
async fn paid(tx: &DatabaseTransaction, subjects: &mut [Subject]) -> Result<()> {
    let all: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let mut found = |check: Check, customer: Uuid, name: String, message: &str| {
        for subject in subjects.iter_mut().filter(|subject| subject.id() == customer) {
            subject.found.add(check, &name, message);
        }
    };
    for (customer, payment) in store::wrongly_paid(tx, &all).await? {
        let message = "what it became is not what was paid for";
        found(Check::PaymentGranted, customer, payment.to_string(), message);
    }
    for (customer, payment) in wrongly_returned(tx, &all).await? {
        let message = "the credits that were taken are not those of the money that went back";
        found(Check::PaymentReturned, customer, payment.to_string(), message);
    }
    for (customer, name) in store::unbooked_returns(tx, &all).await? {
        let message = "the ledger does not say what was taken for money that went back";
        found(Check::PaymentReturned, customer, name.to_string(), message);
    }
    for (customer, invoice) in store::wrongly_billed(tx, &all).await? {
        let message = "it is not as its payment says";
        found(Check::InvoicePaid, customer, invoice.to_string(), message);
    }
    for customer in store::wrongly_watched(tx, &all).await? {
        let message =
            "its account does not watch as its auto-recharge says, or the charge under way is not one";
        let who = CustomerId(customer).to_string();
        found(Check::RechargeWatched, customer, who, message);
    }
    Ok(())
}

/// Checks what is held, and what holds have become since the customers were last found sound. Two statements.
async fn held(tx: &DatabaseTransaction, subjects: &mut [Subject]) -> Result<()> {
    let all: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let since: Vec<(Uuid, i64)> = subjects.iter().map(|it| (it.id(), it.since)).collect();
    let mut found = |check, customer: Uuid, name: String, message: &'static str| {
        for subject in subjects.iter_mut().filter(|subject| subject.id() == customer) {
            subject.found.add(check, &name, message);
        }
    };
    for customer in store::wrongly_held(tx, &all).await? {
        let message = "what its account says is held is not what its open holds say";
        let who = CustomerId(customer).to_string();
        found(Check::HoldCounts, customer, who, message);
    }
    for (customer, hold) in store::wrongly_captured(tx, &since).await? {
        let message = "it did not become the usage that it says";
        found(Check::HoldCaptured, customer, hold.to_string(), message);
    }
    Ok(())
}

/// Checks what counts against limits: on all days, or on those since that of the customer's last sound state. Three statements, one where
/// nobody has limits.
async fn spent(tx: &DatabaseTransaction, subjects: &mut [Subject], mode: Mode) -> Result<()> {
    let all: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let mut wrong = store::wrongly_managed(tx, &all).await?;
    let managed = subjects.iter().filter(|it| it.account.spend_managed != 0);
    let since: Vec<(Uuid, Timestamp)> = managed
        .map(|it| match mode {
            Mode::Full => (it.id(), Timestamp::MIN),
            Mode::Incremental => (it.id(), Timestamp::from_micros(it.since)),
        })
        .collect();
    if !since.is_empty() {
        wrong.extend(store::wrongly_spent(tx, &since).await?);
        wrong.extend(wrong_months(store::spent(tx, &since).await?));
    }
    for subject in subjects.iter_mut().filter(|it| wrong.contains(&it.id())) {
        let message = "what counts against its limits is not what its usage cost";
        let who = CustomerId(subject.id());
        subject.found.add(Check::SpendCounts, who, message);
    }
    Ok(())
}

/// Customers of whom a month is not the sum of its days.
fn wrong_months(rows: Vec<spend_period::Model>) -> Vec<Uuid> {
    let mut sums: BTreeMap<(Uuid, Timestamp), i128> = BTreeMap::new();
    for row in rows {
        let start = Timestamp::from_micros(row.start).month().start;
        let sum = sums.entry((row.customer_id, start)).or_default();
        *sum += i128::from(row.credits) * if row.span == "DAY" { 1 } else { -1 };
    }
    let wrong = sums.into_iter().filter(|(_, sum)| *sum != 0);
    wrong.map(|((customer, _), _)| customer).collect()
}

/// Checks that nothing is missing of what was told about the customers. One statement.
async fn told(tx: &DatabaseTransaction, subjects: &mut [Subject]) -> Result<()> {
    let all: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let wrong = store::wrongly_numbered(tx, &all).await?;
    for subject in subjects
        .iter_mut()
        .filter(|subject| wrong.contains(&subject.id()))
    {
        let message = "its events have a gap, or its account does not say the last number";
        let who = CustomerId(subject.id()).to_string();
        subject.found.add(Check::EventSequence, who, message);
    }
    Ok(())
}

/// Payments of which the credits taken are not in proportion to the money that went back: customer and payment. Two statements at most.
async fn wrongly_returned(tx: &DatabaseTransaction, all: &[Uuid]) -> Result<Vec<(Uuid, PaymentId)>> {
    let returns = store::returns(tx, all).await?;
    let mut by_payment: BTreeMap<PaymentId, Vec<Return>> = BTreeMap::new();
    for it in returns {
        by_payment.entry(it.payment).or_default().push(it);
    }
    let ids: Vec<PaymentId> = by_payment.keys().copied().collect();
    let mut wrong = Vec::new();
    for payment in store::payments(tx, &ids).await? {
        let returns = &by_payment[&payment.id];
        let is_owned = returns
            .iter()
            .all(|it| it.customer == payment.customer && it.tenant == payment.tenant);
        if !is_owned || credits_due(&payment, returns).map_or(true, |due| !due.is_zero()) {
            wrong.push((payment.customer.0, payment.id));
        }
    }
    Ok(wrong)
}

/// Reads what customers have agreed to, and checks what needs nothing else. One statement, five where anybody ever agreed to anything.
async fn agreed(tx: &DatabaseTransaction, subjects: &mut [Subject]) -> Result<()> {
    let all: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let mut of: HashMap<Uuid, Agreed> = HashMap::new();
    for row in store::subscriptions(tx, &all).await? {
        of.entry(row.customer_id).or_default().subscriptions.push(row);
    }
    let subscribed: Vec<Uuid> = of.keys().copied().collect();
    let mut misplaced = Vec::new();
    if !subscribed.is_empty() {
        for cycle in store::cycles(tx, &subscribed).await? {
            of.entry(cycle.customer_id).or_default().cycles.push(cycle);
        }
        let variants = store::variants_overdue(tx, &subscribed).await?;
        let forgiving: HashMap<Uuid, bool> = variants
            .iter()
            .filter_map(|row| Some((row.id, Variant::try_from(row).ok()?.allow_usage_while_overdue)))
            .collect();
        for agreed in of.values_mut() {
            agreed.forgiving.clone_from(&forgiving);
        }
        misplaced = store::misplaced(tx, &subscribed).await?;
    }
    for subject in subjects {
        let (tenant, found) = (subject.customer.tenant_id, &mut subject.found);
        subject.agreed = of.remove(&subject.customer.id).unwrap_or_default();
        cycle::owners(tenant, &subject.agreed, found);
        cycle::order(&subject.agreed, found);
        cycle::barrier(&subject.account, &subject.agreed, found);
        for (_, name) in misplaced.iter().filter(|(id, _)| *id == subject.customer.id) {
            found.add(
                Check::RowOwner,
                name,
                "it does not belong to the customer of its subscription",
            );
        }
    }
    Ok(())
}

/// Replays the entries: short ledgers together, long ones page by page.
async fn replay(tx: &DatabaseTransaction, subjects: &mut [Subject], looked: &mut Looked) -> Result<()> {
    let after: Vec<(Uuid, i64)> = subjects
        .iter()
        .map(|subject| (subject.id(), subject.replay.place.sequence))
        .collect();
    let counts = store::entry_counts(tx, &after).await?;
    let count = |id: &Uuid| counts.get(id).copied().unwrap_or(0);
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for (index, (id, _)) in after.iter().enumerate() {
        places.insert(*id, index);
    }
    let mut take = |entries: Vec<ledger_entry::Model>| {
        looked.entries += i64::try_from(entries.len()).unwrap_or(i64::MAX);
        for entry in entries {
            if let Some(subject) = places
                .get(&entry.customer_id)
                .and_then(|&place| subjects.get_mut(place))
            {
                let line = format!("line:{}:{}", CustomerId(entry.customer_id), entry.sequence);
                let tenant = subject.customer.tenant_id;
                totals::owner(tenant, entry.tenant_id, line, "ledger_entry", &mut subject.found);
                subject.replay.take(&entry, &mut subject.found);
            }
        }
    };
    let mut together: Vec<(Uuid, i64)> = Vec::new();
    let mut sum = 0;
    for &(id, from) in after.iter().filter(|(id, _)| count(id) > 0) {
        if count(&id) > WINDOW {
            let mut at = from;
            loop {
                let page = store::entries_of(tx, id, at, WINDOW.unsigned_abs()).await?;
                let Some(last) = page.last() else { break };
                at = last.sequence;
                take(page);
            }
            continue;
        }
        if sum + count(&id) > WINDOW {
            take(store::entries(tx, &std::mem::take(&mut together)).await?);
            sum = 0;
        }
        sum += count(&id);
        together.push((id, from));
    }
    if !together.is_empty() {
        take(store::entries(tx, &together).await?);
    }
    Ok(())
}

/// Compares blocks with the replay. Answers those that were read, by id.
async fn blocks(
    tx: &DatabaseTransaction,
    subjects: &mut [Subject],
    mode: Mode,
) -> Result<HashMap<Uuid, block::Model>> {
    let ids: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let rows = store::blocks(tx, &ids, mode == Mode::Full).await?;
    let mut all: HashMap<Uuid, block::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    let missing: Vec<Uuid> = subjects
        .iter()
        .flat_map(|subject| &subject.replay.touched)
        .filter(|id| !all.contains_key(id))
        .copied()
        .collect();
    if !missing.is_empty() {
        all.extend(
            store::blocks_by_id(tx, &missing)
                .await?
                .into_iter()
                .map(|row| (row.id, row)),
        );
    }
    let mut of: HashMap<Uuid, Vec<&block::Model>> = HashMap::new();
    for block in all.values() {
        of.entry(block.customer_id).or_default().push(block);
    }
    for subject in subjects {
        let own = of.get(&subject.customer.id).map_or(&[][..], Vec::as_slice);
        totals::blocks(&subject.account, own, &subject.replay, &mut subject.found);
        cycle::grants(own, &subject.agreed, &subject.replay, &mut subject.found);
        for block in own {
            let tenant = subject.customer.tenant_id;
            totals::owner(
                tenant,
                block.tenant_id,
                BlockId(block.id),
                "block",
                &mut subject.found,
            );
        }
        for id in &subject.replay.touched {
            let its = all
                .get(id)
                .is_some_and(|block| block.customer_id == subject.customer.id);
            subject.found.expect(
                its,
                Check::RowOwner,
                BlockId(*id),
                || "entries touch it, but it is not a block of their customer",
            );
        }
    }
    Ok(all)
}

/// The prices, metrics and blocks that ratings are judged by.
async fn known(
    tx: &DatabaseTransaction,
    counters: &[usage_counter::Model],
    blocks: HashMap<Uuid, block::Model>,
) -> Result<Known> {
    let metrics: BTreeSet<Uuid> = counters.iter().map(|counter| counter.metric_id).collect();
    let list: Vec<MetricId> = metrics.iter().copied().map(MetricId).collect();
    let mut known = Known {
        rules: catalog::rule_book_in(tx, &list).await?,
        metric_tenants: store::metric_tenants(tx, &metrics).await?,
        blocks: HashMap::new(),
        block_owners: HashMap::new(),
    };
    remember(&mut known, blocks.into_values());
    Ok(known)
}

fn remember(known: &mut Known, rows: impl IntoIterator<Item = block::Model>) {
    for row in rows {
        known.block_owners.insert(row.id, row.customer_id);
        // A block that cannot be read is open to nobody.
        if let Ok(block) = Block::try_from(&row) {
            known.blocks.insert(row.id, block);
        }
    }
}

/// All usage: customers with little of it together, others day by day.
async fn all_usage(
    tx: &DatabaseTransaction,
    subjects: &mut [Subject],
    counters: &[usage_counter::Model],
    known: &mut Known,
    looked: &mut Looked,
) -> Result<()> {
    let mut events: HashMap<Uuid, i64> = HashMap::new();
    for counter in counters {
        let sum = events.entry(counter.customer_id).or_default();
        *sum = sum.saturating_add(counter.events);
    }
    let count = |id: &Uuid| events.get(id).copied().unwrap_or(0);
    let mut together: Vec<Uuid> = Vec::new();
    let mut sum = 0;
    for id in subjects.iter().map(Subject::id).collect::<Vec<_>>() {
        if count(&id) > EVENTS {
            let days = store::days_of(tx, id).await?;
            let (first, last) = days.unwrap_or((0, -1));
            let mut day = first.div_euclid(DAY_MICROS) * DAY_MICROS;
            while day <= last {
                slice(tx, &[id], (day, day + DAY_MICROS), subjects, known, looked).await?;
                day += DAY_MICROS;
            }
            continue;
        }
        if sum + count(&id) > EVENTS {
            slice(tx, &std::mem::take(&mut together), EVER, subjects, known, looked).await?;
            sum = 0;
        }
        sum += count(&id);
        together.push(id);
    }
    if !together.is_empty() {
        slice(tx, &together, EVER, subjects, known, looked).await?;
    }
    Ok(())
}

/// Everything of some days.
async fn slice(
    tx: &DatabaseTransaction,
    customers: &[Uuid],
    days: (i64, i64),
    subjects: &mut [Subject],
    known: &mut Known,
    looked: &mut Looked,
) -> Result<()> {
    let mut of: HashMap<Uuid, Usage> = HashMap::new();
    for rating in store::ratings_between(tx, customers, days).await? {
        of.entry(rating.customer_id).or_default().ratings.push(rating);
    }
    for event in store::events_between(tx, customers, days).await? {
        looked.events += 1;
        of.entry(event.customer_id)
            .or_default()
            .events
            .insert(event.id, event);
    }
    for row in store::pending(tx, customers).await? {
        of.entry(row.customer_id).or_default().pending.insert(row.id, row);
    }
    for usage in of.values_mut() {
        usage.complete = true;
    }
    judge(tx, of, subjects, known).await
}

/// What was rated since the customers were last found sound, and the sums of everything.
async fn recent_usage(
    tx: &DatabaseTransaction,
    subjects: &mut [Subject],
    known: &mut Known,
    looked: &mut Looked,
) -> Result<()> {
    let ids: Vec<Uuid> = subjects.iter().map(Subject::id).collect();
    let since: Vec<(Uuid, i64)> = subjects
        .iter()
        .map(|subject| (subject.id(), subject.since))
        .collect();
    let recent = store::ratings_since(tx, &since, RECENT_ROWS + 1).await?;
    let mut whole = recent.len() as u64 <= RECENT_ROWS;
    let mut of: HashMap<Uuid, Usage> = HashMap::new();
    let mut events = HashSet::new();
    for rating in recent {
        if events.len() > RECENT_EVENTS {
            whole = false;
            break;
        }
        // Cheaper than parsing: the ids are 32 digits between quotes.
        let names = rating.detail.split('"').skip(1).step_by(2);
        events.extend(names.filter_map(|name| Uuid::try_parse(name).ok()));
        of.entry(rating.customer_id).or_default().ratings.push(rating);
    }
    let events: Vec<Uuid> = events.into_iter().collect();
    looked.events += i64::try_from(events.len()).unwrap_or(i64::MAX);
    for event in store::events_by_id(tx, &events).await? {
        // One of somebody else is not handed out: whoever rated it is told that there is no such event.
        if let Some(usage) = of.get_mut(&event.customer_id) {
            usage.events.insert(event.id, event);
        }
    }
    for row in store::pending(tx, &ids).await? {
        if let Some(usage) = of.get_mut(&row.customer_id) {
            usage.pending.insert(row.id, row);
        }
    }
    judge(tx, of, subjects, known).await?;
    for subject in subjects.iter_mut() {
        subject.tally.forget_counts();
        if !whole {
            // Not everything was read, so there is nothing to compare the debits with.
            subject.since = i64::MAX;
        }
    }
    let places: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    for (customer, metric, line, cycle, version, units, events) in store::rating_sums(tx, &ids).await? {
        if let Some(&place) = places.get(&customer) {
            subjects[place]
                .tally
                .add_sums((metric, line, cycle), version, units, events);
        }
    }
    Ok(())
}

async fn judge(
    tx: &impl ConnectionTrait,
    mut of: HashMap<Uuid, Usage>,
    subjects: &mut [Subject],
    known: &mut Known,
) -> Result<()> {
    let missing: BTreeSet<Uuid> = of
        .values()
        .flat_map(|usage| &usage.ratings)
        .flat_map(|rating| rating.purses.split('"').skip(1).step_by(2))
        .filter_map(|name| Uuid::try_parse(name).ok())
        .filter(|id| !known.block_owners.contains_key(id))
        .collect();
    if !missing.is_empty() {
        let missing: Vec<Uuid> = missing.into_iter().collect();
        remember(known, store::blocks_by_id(tx, &missing).await?);
    }
    for subject in subjects {
        if let Some(usage) = of.remove(&subject.customer.id) {
            let tenant = subject.customer.tenant_id;
            usage::ratings(
                tenant,
                &usage,
                known,
                &mut subject.timeline,
                &mut subject.tally,
                &mut subject.found,
            );
        }
    }
    Ok(())
}
