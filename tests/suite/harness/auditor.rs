//! The auditor: recomputes every total from the rows, naively and without the code that wrote them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use app::{
    App,
    audit::{self, Reached, Severity},
    customer::shard_of,
    db::Db,
};
use domain::{
    credit::draws::{Draw, Draws},
    id::{CustomerId, HoldId},
    metering::Price,
};
use entity::{
    account, billing_cycle, billing_event, block, customer, hold, ledger_entry, metering_rule, subscription,
    usage_counter, usage_event, usage_pending, usage_rating,
};
use sea_orm::{EntityTrait, QueryOrder};
use uuid::Uuid;

use super::naive;

/// What an event came to.
#[derive(Clone)]
struct Rated {
    row: usize,
    credits: i64,
    draws: Vec<(String, i64)>,
}

struct Books {
    customers: Vec<customer::Model>,
    accounts: Vec<account::Model>,
    blocks: Vec<block::Model>,
    entries: Vec<ledger_entry::Model>,
    events: Vec<usage_event::Model>,
    ratings: Vec<usage_rating::Model>,
    /// What each event came to: the row it is in, and its place there.
    rated: HashMap<Uuid, Vec<Rated>>,
    pending: Vec<usage_pending::Model>,
    counters: Vec<usage_counter::Model>,
    rules: HashMap<Uuid, metering_rule::Model>,
    cycles: HashMap<Uuid, Vec<billing_cycle::Model>>,
    subscriptions: Vec<subscription::Model>,
    told: Vec<billing_event::Model>,
    holds: Vec<hold::Model>,
}

/// Checks everything in the database.
///
/// # Panics
/// When something does not add up, with everything that does not.
pub async fn audit(db: &Db) {
    let problems = problems(db).await;
    assert!(
        problems.is_empty(),
        "the books are wrong:\n{}",
        problems.join("\n")
    );
}

/// Has the product look at all its books as well: the two must agree that all is well. What is merely late is not looked at,
/// because cases stop the clock or move it.
///
/// # Panics
/// When it finds something.
pub async fn prove(app: &App) {
    let run = audit::full(app, Reached::All, |_, _| ()).await.unwrap();
    sound(&run);
}

/// The same for what has changed since.
///
/// # Panics
/// When it finds something.
pub async fn prove_changes(app: &App) {
    let run = audit::incremental(app, Reached::All).await.unwrap();
    sound(&run);
}

fn sound(run: &audit::Run) {
    let money = |it: &&audit::Seen| it.check.severity() == Severity::S1;
    let wrong: Vec<_> = run.first.iter().filter(money).collect();
    assert!(wrong.is_empty(), "the audit raises a false alarm: {wrong:#?}");
}

/// What does not add up.
pub async fn problems(db: &Db) -> Vec<String> {
    let books = Books::open(db).await;
    let mut found = Vec::new();
    for customer in &books.customers {
        books.account(customer, &mut found);
        books.ledger(customer.id, &mut found);
        books.blocks(customer.id, &mut found);
        books.write_offs(customer, &mut found);
        books.counters(customer.id, &mut found);
        books.cycles(customer.id, &mut found);
        books.plan_blocks(customer.id, &mut found);
        books.summaries(customer.id, &mut found);
        books.barrier(customer.id, &mut found);
        books.holds(customer, &mut found);
    }
    books.ratings(&mut found);
    books.events(&mut found);
    books.pending(&mut found);
    books.tenants(&mut found);
    books.told_in_order(&mut found);
    found
}

impl Books {
    async fn open(db: &Db) -> Self {
        let db = db.writer();
        let entries = ledger_entry::Entity::find().order_by_asc(ledger_entry::Column::Sequence);
        let rules = metering_rule::Entity::find().all(db).await.unwrap();
        let ratings = usage_rating::Entity::find().all(db).await.unwrap();
        let mut rated: HashMap<Uuid, Vec<Rated>> = HashMap::new();
        for (row, rating) in ratings.iter().enumerate() {
            for (id, event) in read_ratings(row, rating) {
                rated.entry(id).or_default().push(event);
            }
        }
        let mut cycles: HashMap<Uuid, Vec<billing_cycle::Model>> = HashMap::new();
        let all = billing_cycle::Entity::find().order_by_asc(billing_cycle::Column::Number);
        for cycle in all.all(db).await.unwrap() {
            cycles.entry(cycle.customer_id).or_default().push(cycle);
        }
        Self {
            cycles,
            subscriptions: subscription::Entity::find().all(db).await.unwrap(),
            told: billing_event::Entity::find().all(db).await.unwrap(),
            holds: hold::Entity::find().all(db).await.unwrap(),
            customers: customer::Entity::find().all(db).await.unwrap(),
            accounts: account::Entity::find().all(db).await.unwrap(),
            blocks: block::Entity::find().all(db).await.unwrap(),
            entries: entries.all(db).await.unwrap(),
            events: usage_event::Entity::find().all(db).await.unwrap(),
            ratings,
            rated,
            pending: usage_pending::Entity::find().all(db).await.unwrap(),
            counters: usage_counter::Entity::find().all(db).await.unwrap(),
            rules: rules.into_iter().map(|rule| (rule.id, rule)).collect(),
        }
    }

    /// Account = Σ blocks − overdraft.
    fn account(&self, customer: &customer::Model, found: &mut Vec<String>) {
        let who = CustomerId(customer.id);
        let Some(account) = self.accounts.iter().find(|it| it.customer_id == customer.id) else {
            return found.push(format!("{who} has no account"));
        };
        let blocks: i128 = self
            .blocks_of(customer.id)
            .map(|it| i128::from(it.remaining))
            .sum();
        if blocks != i128::from(account.blocks) {
            found.push(format!(
                "{who}: account says {} in blocks, they hold {blocks}",
                account.blocks
            ));
        }
        let change = |it: &ledger_entry::Model| i128::from(it.overdraft_change);
        let overdraft: i128 = self.entries_of(customer.id).map(change).sum();
        if overdraft != i128::from(account.overdraft) || overdraft < 0 {
            found.push(format!(
                "{who}: account says overdraft {}, entries {overdraft}",
                account.overdraft
            ));
        }
        let last = self
            .entries_of(customer.id)
            .map(|it| it.sequence)
            .max()
            .unwrap_or(0);
        if last != account.sequence {
            found.push(format!(
                "{who}: account says {} entries, the last is {last}",
                account.sequence
            ));
        }
    }

    /// What an account says is held is what its open holds say, and a captured hold became one event.
    fn holds(&self, customer: &customer::Model, found: &mut Vec<String>) {
        let who = CustomerId(customer.id);
        let (mut held, mut open) = (0_i128, 0);
        for hold in self.holds.iter().filter(|it| it.customer_id == customer.id) {
            if hold.state == "OPEN" {
                held += i128::from(hold.credits);
                open += 1;
            }
            let key = format!("hold:{}", HoldId(hold.id));
            let events: Vec<_> = self.events.iter().filter(|it| it.key == key).collect();
            let became = match (hold.state.as_str(), &events[..]) {
                ("CAPTURED", [it]) => {
                    (Some(it.id), Some(it.units)) == (hold.event_id, hold.captured_units)
                        && (it.customer_id, it.metric_id) == (hold.customer_id, hold.metric_id)
                }
                ("CAPTURED", _) => false,
                (_, events) => hold.event_id.is_none() && events.len() <= 1,
            };
            if !became || hold.tenant_id != customer.tenant_id {
                found.push(format!("{key} is {} and became {events:?}", hold.state));
            }
        }
        let account = self.accounts.iter().find(|it| it.customer_id == customer.id);
        let says = account.map(|it| (i128::from(it.held), it.holds));
        if says != Some((held, open)) {
            found.push(format!(
                "{who}: account says {says:?} is held, it is {held} by {open}"
            ));
        }
    }

    /// Numbered from 1 without gaps, with running sums; every effect once.
    fn ledger(&self, customer: Uuid, found: &mut Vec<String>) {
        let who = CustomerId(customer);
        let (mut sequence, mut balance, mut overdraft) = (0, 0_i128, 0_i128);
        let mut effects = HashSet::new();
        for entry in self.entries_of(customer) {
            sequence += 1;
            balance += i128::from(entry.credits);
            overdraft += i128::from(entry.overdraft_change);
            let line = format!("{who} line {}", entry.sequence);
            if entry.sequence != sequence {
                found.push(format!("{line} should be number {sequence}"));
            }
            if i128::from(entry.balance_after) != balance || i128::from(entry.overdraft_after) != overdraft {
                found.push(format!(
                    "{line}: says {} and {} after it, it is {balance} and {overdraft}",
                    entry.balance_after, entry.overdraft_after
                ));
            }
            if entry.block_id.is_none() && entry.credits != -entry.overdraft_change {
                found.push(format!("{line}: credits came from nowhere"));
            }
            if !effects.insert(&entry.effect_key) {
                found.push(format!("{line}: `{}` happened before", entry.effect_key));
            }
        }
    }

    /// What the ledger has written off is what counts say was; and usage has not taken the overdraft beyond the bound that was agreed.
    fn write_offs(&self, customer: &customer::Model, found: &mut Vec<String>) {
        let who = CustomerId(customer.id);
        let entries = || self.entries_of(customer.id);
        let by_entries: i128 = entries()
            .filter(|it| it.kind == "WRITE_OFF")
            .map(|it| i128::from(it.credits))
            .sum();
        let counters = self.counters.iter().filter(|it| it.customer_id == customer.id);
        let by_counts: i128 = counters
            .flat_map(|it| it.draws.split(','))
            .filter_map(|part| part.strip_prefix("written_off:"))
            .map(|raw| raw.parse::<i128>().unwrap())
            .sum();
        if by_entries != by_counts {
            found.push(format!(
                "{who}: {by_entries} are written off, counts say {by_counts}"
            ));
        }
        let Some(limit) = customer
            .overshoot_limit
            .filter(|_| customer.beyond_overshoot == "WRITE_OFF")
        else {
            return;
        };
        let before = entries().filter(|it| it.sequence <= customer.bounded_from);
        let owed = before.last().map_or(0, |it| it.overdraft_after);
        let since = entries().filter(|it| it.sequence > customer.bounded_from);
        let reversed: i64 = since
            .filter(|it| it.kind == "REVERSAL")
            .map(|it| it.overdraft_change.max(0))
            .sum();
        let most = (customer.overage_line + limit).max(owed) + reversed;
        let owes = entries().last().map_or(0, |it| it.overdraft_after);
        if owes > most {
            found.push(format!("{who} owes {owes}, its terms allow {most}"));
        }
    }

    /// What a block holds is the sum of its entries; it begins with its deposit and is never outside its bounds.
    fn blocks(&self, customer: Uuid, found: &mut Vec<String>) {
        for block in self.blocks_of(customer) {
            let entries: Vec<_> = self
                .entries_of(customer)
                .filter(|it| it.block_id == Some(block.id))
                .collect();
            let change = |it: &&ledger_entry::Model| i128::from(it.credits) + i128::from(it.overdraft_change);
            let sum: i128 = entries.iter().map(change).sum();
            if sum != i128::from(block.remaining) {
                found.push(format!(
                    "block {} holds {}, its entries sum to {sum}",
                    block.id, block.remaining
                ));
            }
            if !(0..=block.credits).contains(&block.remaining) {
                found.push(format!(
                    "block {} holds {} of {}",
                    block.id, block.remaining, block.credits
                ));
            }
            if block.state != "ACTIVE" && block.remaining != 0 {
                found.push(format!(
                    "block {} is {} and holds {}",
                    block.id, block.state, block.remaining
                ));
            }
            if entries.first().map(|it| it.credits) != Some(block.credits) {
                found.push(format!("block {} does not begin with its deposit", block.id));
            }
        }
    }

    /// Counts are the sums of the rated events, and cost what their price says.
    fn counters(&self, customer: Uuid, found: &mut Vec<String>) {
        let who = CustomerId(customer);
        let mut counted: BTreeMap<_, (i128, i64)> = BTreeMap::new();
        let mut versions: BTreeMap<_, BTreeSet<Uuid>> = BTreeMap::new();
        for event in self.events.iter().filter(|it| it.customer_id == customer) {
            let Some(rating) = self.rating_of(event.id).map(|it| &self.ratings[it.row]) else {
                continue;
            };
            let key = (event.metric_id, rating.line_id, rating.period_start);
            versions.entry(key).or_default().extend(rating.rule_id);
            let sum = counted.entry(key).or_default();
            if event.voided_at.is_none() {
                *sum = (sum.0 + i128::from(event.units), sum.1 + 1);
            }
        }
        let mut spent = 0;
        for counter in self.counters.iter().filter(|it| it.customer_id == customer) {
            let key = (counter.metric_id, counter.line_id, counter.period_start);
            let name = format!("{who} count {key:?}");
            let (units, events) = counted.remove(&key).unwrap_or_default();
            if (i128::from(counter.units), counter.events) != (units, events) {
                found.push(format!(
                    "{name}: {} in {}, not {units} in {events}",
                    counter.units, counter.events
                ));
            }
            let draws: i128 = draws(&counter.draws)
                .iter()
                .map(|it| i128::from(it.credits.raw()))
                .sum();
            if draws != i128::from(counter.credits) {
                found.push(format!("{name}: cost {}, drawn {draws}", counter.credits));
            }
            spent += i128::from(counter.credits);
            let versions: Vec<_> = versions.get(&key).into_iter().flatten().collect();
            let due = match versions[..] {
                [] => 0,
                [rule] => naive::cumulative(&self.price(*rule), counter.units, counter.events),
                _ => continue,
            };
            if i128::from(counter.credits) != due {
                found.push(format!("{name}: cost {}, its price says {due}", counter.credits));
            }
        }
        for (key, _) in counted {
            found.push(format!("{who} has no count {key:?}"));
        }
        let moved = |it: &&ledger_entry::Model| it.kind == "DEBIT" || it.kind == "VOID";
        let paid: i128 = self
            .entries_of(customer)
            .filter(moved)
            .map(|it| -i128::from(it.credits))
            .sum();
        let ended = self
            .blocks_of(customer)
            .any(|it| it.state != "ACTIVE" || it.expires_at.is_some());
        // Credits that return to a block which has ended are gone: then, and only then, more was paid than is counted.
        if paid < spent || (paid != spent && !ended) {
            found.push(format!("{who} paid {paid} for usage that came to {spent}"));
        }
    }

    /// Cycles are numbered without gaps, do not overlap, and only the last may run.
    fn cycles(&self, customer: Uuid, found: &mut Vec<String>) {
        for subscription in self.subscriptions.iter().filter(|it| it.customer_id == customer) {
            let own: Vec<_> = self
                .cycles_of(customer)
                .iter()
                .filter(|it| it.subscription_id == subscription.id)
                .collect();
            let first = own.first().map_or(0, |it| it.number);
            let numbers: Vec<i64> = own.iter().map(|it| it.number).collect();
            let due: Vec<i64> = (first..).take(own.len()).collect();
            if numbers != due || !(0..=1).contains(&first) {
                found.push(format!("{}: its cycles are {numbers:?}", subscription.id));
            }
            let states: Vec<&str> = own.iter().map(|it| it.state.as_str()).collect();
            if !states
                .is_sorted_by_key(|state| ["CLOSED", "CLOSING", "RUNNING"].iter().position(|it| it == state))
                || states.iter().filter(|state| **state == "RUNNING").count() > 1
            {
                found.push(format!("{}: its cycles are {states:?}", subscription.id));
            }
            for pair in own.windows(2) {
                if pair[1].period_start < pair[0].period_end {
                    found.push(format!("{}: cycle {} overlaps", subscription.id, pair[1].number));
                }
            }
        }
    }

    /// A block of a plan belongs to a cycle, was made by it once, and does not outlive it if it ends with it.
    fn plan_blocks(&self, customer: Uuid, found: &mut Vec<String>) {
        let mut effects = HashSet::new();
        for block in self.blocks_of(customer) {
            let (Some(of), Some(number)) = (block.subscription_id, block.cycle_number) else {
                continue;
            };
            let cycle = self
                .cycles_of(customer)
                .iter()
                .find(|it| (it.subscription_id, it.number) == (of, number));
            let Some(cycle) = cycle else {
                found.push(format!("block {} is of no cycle", block.id));
                continue;
            };
            if block.ends_with_cycle != 0 && block.state == "ACTIVE" && cycle.state != "RUNNING" {
                found.push(format!("block {} has outlived cycle {number}", block.id));
            }
            let first = self.entries_of(customer).find(|it| it.block_id == Some(block.id));
            let effect = first.map_or("", |it| it.effect_key.as_str());
            let name = format!(":{}:{number}:", domain::id::SubscriptionId(of));
            if !effect.starts_with("grant:") || !effect.contains(&name) || !effects.insert(effect) {
                found.push(format!("block {} was made by `{effect}`", block.id));
            }
        }
    }

    /// What a closed cycle says it came to is what was rated in it in time, give or take what was taken back.
    fn summaries(&self, customer: Uuid, found: &mut Vec<String>) {
        type Sum = (i128, i128, i128, bool);
        let cycles = self.cycles_of(customer);
        let mut rated: HashMap<(Uuid, i64), BTreeMap<Uuid, Sum>> = HashMap::new();
        for event in self.events.iter().filter(|it| it.customer_id == customer) {
            let Some(it) = self.rating_of(event.id) else {
                continue;
            };
            let row = &self.ratings[it.row];
            let Some(cycle) = naive::cycle_at(cycles, row.period_start) else {
                continue;
            };
            let sum = rated
                .entry(cycle)
                .or_default()
                .entry(event.metric_id)
                .or_default();
            if row.timing == "LATE_ADJUSTMENT" {
                continue;
            }
            sum.1 += i128::from(event.units);
            sum.2 += i128::from(it.credits);
            if event.voided_at.is_some() {
                sum.3 = true;
            } else {
                sum.0 += i128::from(event.units);
            }
        }
        for cycle in cycles.iter().filter(|it| it.state == "CLOSED") {
            let name = format!("cycle {} of {}", cycle.number, cycle.subscription_id);
            let summary: serde_json::Value = serde_json::from_str(cycle.summary.as_deref().unwrap()).unwrap();
            let mut by_metric: BTreeMap<Uuid, (i128, i128)> = BTreeMap::new();
            for (metric, usage) in summary["by_metric"].as_object().unwrap() {
                let metric: domain::id::MetricId = metric.parse().unwrap();
                by_metric.insert(metric.0, (micros(&usage["units"]), micros(&usage["credits"])));
            }
            let total: i128 = by_metric.values().map(|(_, credits)| credits).sum();
            if total != micros(&summary["total_credits_consumed"]) {
                found.push(format!("{name} does not sum up its metrics"));
            }
            let key = (cycle.subscription_id, cycle.number);
            let rated = rated.remove(&key).unwrap_or_default();
            for metric in by_metric.keys().chain(rated.keys()) {
                let (units, credits) = by_metric.get(metric).copied().unwrap_or_default();
                let (standing, all, cost, voided) = rated.get(metric).copied().unwrap_or_default();
                let (low, high) = (standing.min(all), standing.max(all));
                if !(low..=high).contains(&units) || (!voided && credits != cost) {
                    found.push(format!(
                        "{name} says {units} for {credits}, rated were {standing} of {all} for {cost}"
                    ));
                }
            }
        }
    }

    /// An account knows when the first of its subscriptions holds usage back.
    fn barrier(&self, customer: Uuid, found: &mut Vec<String>) {
        let own: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|it| it.customer_id == customer)
            .collect();
        let first = own.iter().filter_map(|it| it.barrier_at).min();
        let due = if own.is_empty() {
            None
        } else {
            Some(first.unwrap_or(domain::time::Timestamp::MAX.micros()))
        };
        let says = self.accounts.iter().find(|it| it.customer_id == customer);
        if says.is_some_and(|it| it.barrier_at != due) {
            found.push(format!("{}: the barrier is not {due:?}", CustomerId(customer)));
        }
    }

    /// A row of ratings speaks of events of its customer, metric, cycle and day, and sums up those not taken back.
    fn ratings(&self, found: &mut Vec<String>) {
        const DAY: i64 = 86_400_000_000;
        let events: HashMap<Uuid, &usage_event::Model> = self.events.iter().map(|it| (it.id, it)).collect();
        for (row, rating) in self.ratings.iter().enumerate() {
            let name = format!("rating {}", rating.last_event);
            let all = read_ratings(row, rating);
            let ids: Vec<Uuid> = all.iter().map(|(id, _)| *id).collect();
            if !ids.is_sorted_by(|one, next| one < next)
                || (ids.first(), ids.last()) != (Some(&rating.first_event), Some(&rating.last_event))
            {
                found.push(format!("{name} is not in order"));
            }
            let mut sums = (0_i128, 0, 0_i128);
            for (id, rated) in all {
                let Some(event) = events.get(&id) else {
                    found.push(format!("{name} speaks of an event that was never accepted"));
                    continue;
                };
                let same = (
                    event.customer_id,
                    event.tenant_id,
                    event.metric_id,
                    event.occurred_at / DAY * DAY,
                ) == (rating.customer_id, rating.tenant_id, rating.metric_id, rating.day);
                let cycles = self.cycles.get(&event.customer_id).map_or(&[][..], Vec::as_slice);
                let places = naive::places(cycles, event.occurred_at, event.received_at);
                if !same || !places.contains(&(rating.timing.as_str(), rating.period_start)) {
                    found.push(format!("{name} is not of event {}: {places:?}", event.key));
                }
                if event.voided_at.is_none() {
                    sums.0 += i128::from(event.units);
                    sums.1 += 1;
                    sums.2 += i128::from(rated.credits);
                }
            }
            if sums
                != (
                    i128::from(rating.units),
                    rating.events,
                    i128::from(rating.credits),
                )
            {
                found.push(format!("{name} does not sum up its events"));
            }
        }
    }

    /// A rated event was paid in full, once, by blocks that were open to it.
    fn events(&self, found: &mut Vec<String>) {
        let blocks: HashMap<Uuid, &block::Model> = self.blocks.iter().map(|it| (it.id, it)).collect();
        for event in &self.events {
            if self.rated.get(&event.id).is_some_and(|all| all.len() > 1) {
                found.push(format!("event {} is rated twice", event.key));
            }
            let Some(rated) = self.rating_of(event.id) else {
                continue;
            };
            let cost = rated.credits;
            let sum: i64 = rated.draws.iter().map(|(_, credits)| credits).sum();
            if (cost >= 0 && sum != cost) || (cost < 0 && sum > -cost) {
                found.push(format!("event {} cost {cost}, drawn {sum}", event.key));
            }
            for (purse, _) in &rated.draws {
                if purse == "overdraft" || purse == "written_off" {
                    continue;
                }
                let id: Uuid = purse.parse().unwrap();
                let block = blocks[&id];
                let open = block.granted_at <= event.received_at
                    && block.expires_at.is_none_or(|end| event.received_at < end);
                let metric = event.metric_id.to_string();
                let crockford = domain::id::MetricId(event.metric_id).to_string();
                let allowed = block
                    .metrics
                    .as_ref()
                    .is_none_or(|all| all.contains(&metric) || all.contains(&crockford));
                if block.customer_id != event.customer_id || (cost >= 0 && !(open && allowed)) {
                    found.push(format!(
                        "event {} drew on block {id}, which it must not",
                        event.key
                    ));
                }
            }
        }
    }

    /// The queue of pending events is exactly the events that are pending.
    fn pending(&self, found: &mut Vec<String>) {
        let queued: BTreeMap<_, _> = self.pending.iter().map(|it| (it.id, it)).collect();
        for event in &self.events {
            let row = queued.get(&event.id);
            let settled = event.voided_at.is_some() || self.rating_of(event.id).is_some();
            if settled == row.is_some() {
                found.push(format!(
                    "event {}: settled {settled}, queued {settled}",
                    event.key
                ));
            }
            let Some(row) = row else { continue };
            let same = (
                row.customer_id,
                row.metric_id,
                row.units,
                row.occurred_at,
                row.received_at,
            ) == (
                event.customer_id,
                event.metric_id,
                event.units,
                event.occurred_at,
                event.received_at,
            );
            if !same
                || row.properties != event.properties
                || row.shard != shard_of(CustomerId(event.customer_id))
            {
                found.push(format!("event {} is queued as another", event.key));
            }
        }
        if queued
            .keys()
            .any(|id| !self.events.iter().any(|event| event.id == *id))
        {
            found.push("an event is queued that was never accepted".to_owned());
        }
    }

    /// Events of a customer are numbered without gaps, up to the number that its account says; those that are old may be gone.
    fn told_in_order(&self, found: &mut Vec<String>) {
        for account in &self.accounts {
            let told = self
                .told
                .iter()
                .filter(|it| it.customer_id == Some(account.customer_id));
            let mut numbers: Vec<i64> = told.filter_map(|it| it.sequence).collect();
            numbers.sort_unstable();
            let last = account.event_sequence;
            let first = numbers.first().copied().unwrap_or(last + 1);
            if numbers != (first..=last).collect::<Vec<i64>>() {
                found.push(format!(
                    "events of {} are numbered {numbers:?} of {last}",
                    account.customer_id
                ));
            }
        }
    }

    /// Nothing of a customer belongs to another tenant.
    fn tenants(&self, found: &mut Vec<String>) {
        let tenants: HashMap<Uuid, Uuid> = self.customers.iter().map(|it| (it.id, it.tenant_id)).collect();
        let all = (self.accounts.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.blocks.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.entries.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.events.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.ratings.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.counters.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.subscriptions.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(
                self.cycles
                    .values()
                    .flatten()
                    .map(|it| (it.customer_id, it.tenant_id)),
            )
            .chain(
                self.told
                    .iter()
                    .filter_map(|it| Some((it.customer_id?, it.tenant_id))),
            );
        for (customer, tenant) in all {
            if tenants.get(&customer) != Some(&tenant) {
                found.push(format!("a row of {customer} belongs to another tenant"));
            }
        }
    }

    fn cycles_of(&self, customer: Uuid) -> &[billing_cycle::Model] {
        self.cycles.get(&customer).map_or(&[][..], Vec::as_slice)
    }

    fn rating_of(&self, event: Uuid) -> Option<&Rated> {
        self.rated.get(&event).and_then(|all| all.first())
    }

    fn blocks_of(&self, customer: Uuid) -> impl Iterator<Item = &block::Model> {
        self.blocks.iter().filter(move |it| it.customer_id == customer)
    }

    fn entries_of(&self, customer: Uuid) -> impl Iterator<Item = &ledger_entry::Model> {
        self.entries.iter().filter(move |it| it.customer_id == customer)
    }

    fn price(&self, rule: Uuid) -> Price {
        serde_json::from_str(&self.rules[&rule].price).unwrap()
    }
}

/// The events of a row of ratings, read without the code that wrote them.
fn read_ratings(row: usize, rating: &usage_rating::Model) -> Vec<(Uuid, Rated)> {
    let purses: serde_json::Value = serde_json::from_str(&rating.purses).unwrap();
    let detail: serde_json::Value = serde_json::from_str(&rating.detail).unwrap();
    let event = |it: &serde_json::Value| {
        let draw = |draw: &serde_json::Value| {
            let purse = &purses[draw[0].as_u64().unwrap() as usize];
            (purse.as_str().unwrap().to_owned(), draw[1].as_i64().unwrap())
        };
        let rated = Rated {
            row,
            credits: it[3].as_i64().unwrap(),
            draws: it[4].as_array().unwrap().iter().map(draw).collect(),
        };
        (it[0].as_str().unwrap().parse().unwrap(), rated)
    };
    detail.as_array().unwrap().iter().map(event).collect()
}

/// A decimal of credits or units, in millionths.
fn micros(decimal: &serde_json::Value) -> i128 {
    let text = decimal.as_str().unwrap();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<6}").parse().unwrap()
}

fn draws(text: &str) -> Vec<Draw> {
    text.parse::<Draws>().unwrap().as_slice().to_vec()
}
