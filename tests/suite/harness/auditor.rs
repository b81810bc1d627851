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
    id::CustomerId,
    metering::Price,
};
use entity::{
    account, billing_cycle, block, customer, ledger_entry, metering_rule, usage_counter, usage_event,
    usage_pending, usage_rating,
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
        books.counters(customer.id, &mut found);
    }
    books.ratings(&mut found);
    books.events(&mut found);
    books.pending(&mut found);
    books.tenants(&mut found);
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
        for cycle in billing_cycle::Entity::find().all(db).await.unwrap() {
            cycles.entry(cycle.customer_id).or_default().push(cycle);
        }
        Self {
            cycles,
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
                if purse == "overdraft" {
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

    /// Nothing of a customer belongs to another tenant.
    fn tenants(&self, found: &mut Vec<String>) {
        let tenants: HashMap<Uuid, Uuid> = self.customers.iter().map(|it| (it.id, it.tenant_id)).collect();
        let all = (self.accounts.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.blocks.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.entries.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.events.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.ratings.iter().map(|it| (it.customer_id, it.tenant_id)))
            .chain(self.counters.iter().map(|it| (it.customer_id, it.tenant_id)));
        for (customer, tenant) in all {
            if tenants.get(&customer) != Some(&tenant) {
                found.push(format!("a row of {customer} belongs to another tenant"));
            }
        }
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

fn draws(text: &str) -> Vec<Draw> {
    text.parse::<Draws>().unwrap().as_slice().to_vec()
}
