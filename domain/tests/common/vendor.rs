//! A vendor with one customer and one subscription, in memory: it does what the application does with rows. Time passes only
//! through [`Vendor::until`], one step at a time, however far it jumps.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    amount::{Credits, Percent, Quantity},
    credit::{
        block::{Billing, Block, BlockState, Source},
        burn::Funds,
    },
    cycle::{
        CycleRef,
        grants::{NewBlock, PlanBlock},
        late::{CountingCycle, LatePolicy, Timeline, Timing},
    },
    id::{BlockId, CustomerId, MetricId, PlanId, SubscriptionId, TemplateId, VariantId},
    metering::Price,
    plan::{
        Offer, Offers,
        interval::Interval,
        template::{Expiry, GrantTemplate, Recurrence},
        variant::{DEFAULT_LATE_SECONDS, Mode, ShortCycle, Variant},
    },
    subscription::{
        Books, ClosedCycle, Decision, Refused, Subscription,
        create::NewSubscription,
        deal::Deal,
        due::{Due, World},
        fact::{Fact, What},
        pause::When,
        state::State,
    },
    time::Timestamp,
    usage::{Counter, CounterKey},
    zone::Zone,
};
use uuid::Uuid;

use super::{block_id, credits, metric};

/// A monthly variant without any extras.
pub fn variant(number: u128, mode: Mode) -> Variant {
    Variant {
        id: VariantId(Uuid::from_u128(number)),
        plan: PlanId(Uuid::from_u128(number)),
        name: format!("variant {number}"),
        interval: Interval::MONTHLY,
        mode,
        fee: None,
        trial_days: 0,
        renewal_due_days: 0,
        grace_days: 0,
        allow_usage_while_overdue: false,
        purchase: None,
        credit_price: None,
        money_prices: BTreeMap::new(),
        late: LatePolicy::default(),
        late_seconds: DEFAULT_LATE_SECONDS,
        short_cycle: ShortCycle::default(),
        archived_at: None,
    }
}

/// Credits in every cycle that end with it.
pub fn template(number: u128, amount: &str) -> GrantTemplate {
    GrantTemplate {
        id: TemplateId(Uuid::from_u128(number)),
        variant: VariantId(Uuid::from_u128(1)),
        credits: credits(amount),
        recurrence: Recurrence::Recurring,
        every: None,
        source: Source::PlanGrant,
        billed: None,
        priority: 0,
        expiry: Expiry::EndOfCycle,
        rollover: Percent::ZERO,
        accumulation_cap: None,
        bonus: Percent::ZERO,
        metrics: None,
        in_trial: false,
        created_at: Timestamp::MIN,
        archived_at: None,
    }
}

pub fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

/// What a customer agrees to when nothing special is agreed.
pub fn plain() -> NewSubscription {
    NewSubscription {
        id: SubscriptionId(Uuid::from_u128(1)),
        customer: CustomerId(Uuid::from_u128(1)),
        billing_day: None,
        zone: Zone::UTC,
        contract: None,
        first_cycle_paid: false,
    }
}

struct Owned {
    block: Block,
    plan: Option<NewBlock>,
}

struct Event {
    metric: MetricId,
    units: Quantity,
    occurred_at: Timestamp,
    received_at: Timestamp,
}

pub struct Vendor {
    pub now: Timestamp,
    pub offers: Vec<Offer>,
    pub prices: HashMap<MetricId, Price>,
    pub subscription: Subscription,
    pub facts: Vec<Fact>,
    pub closed: Vec<ClosedCycle>,
    pub money: Vec<String>,
    pub timings: Vec<Timing>,
    pub steps: Vec<Due>,
    owned: Vec<Owned>,
    overdraft: Credits,
    pending: Vec<Event>,
    debited_until: Timestamp,
    counters: HashMap<CounterKey, Counter>,
    owner: HashMap<Timestamp, Option<CycleRef>>,
    cycles: BTreeMap<i64, CountingCycle>,
    effects: HashSet<String>,
    told: HashSet<String>,
}

impl Vendor {
    /// Subscribes the customer to the first offer.
    pub fn new(offers: Vec<Offer>, new: NewSubscription, now: Timestamp) -> Self {
        let decision = Subscription::create(new, &offers[0], Credits::ZERO, now).unwrap();
        let mut vendor = Self {
            now,
            offers,
            prices: HashMap::new(),
            subscription: decision.subscription.clone(),
            facts: Vec::new(),
            closed: Vec::new(),
            money: Vec::new(),
            timings: Vec::new(),
            steps: Vec::new(),
            owned: Vec::new(),
            overdraft: Credits::ZERO,
            pending: Vec::new(),
            debited_until: now,
            counters: HashMap::new(),
            owner: HashMap::new(),
            cycles: BTreeMap::new(),
            effects: HashSet::new(),
            told: HashSet::new(),
        };
        vendor.write(now, decision);
        vendor
    }

    pub fn offer_of(&self, id: VariantId) -> Offer {
        self.offers
            .iter()
            .find(|offer| offer.variant.id == id)
            .unwrap()
            .clone()
    }

    pub fn offers(&self) -> Offers {
        let all = self.offers.iter().cloned();
        all.map(|offer| (offer.variant.id, offer)).collect()
    }

    /// What time makes due next.
    pub fn due(&self) -> Option<Due> {
        let offers = self.offers();
        self.subscription
            .due(&Deal::of(&self.subscription, &offers).unwrap())
    }

    /// Usage that is accepted now and happened at another instant.
    pub fn use_late(&mut self, of: u128, amount: &str, occurred_at: Timestamp) {
        self.pending.push(Event {
            metric: metric(of),
            units: amount.parse().unwrap(),
            occurred_at,
            received_at: self.now,
        });
    }

    /// Usage that happens and is accepted now.
    pub fn consume(&mut self, of: u128, amount: &str) {
        self.use_late(of, amount, self.now);
    }

    /// Time passes; whatever it makes due is done, one step at a time, and all usage accepted before is debited.
    pub fn until(&mut self, text: &str) -> &mut Self {
        let to: Timestamp = text.parse().unwrap();
        assert!(self.now <= to, "time passes forwards");
        self.now = to;
        for _ in 0..100_000 {
            let due = self.due();
            let Some(due) = due.filter(|due| due.at <= self.now) else {
                let after = Timestamp::from_micros(self.now.micros() + 1);
                self.debit(after);
                self.expire(after);
                return self;
            };
            if due.task.holds_usage() {
                self.debit(due.at);
                self.expire(due.at);
            }
            self.take(due);
        }
        panic!("it never ends");
    }

    fn take(&mut self, due: Due) {
        let offers = self.offers();
        let blocks = self.plan_blocks();
        let closing = self.subscription.closing.first().map(|cycle| CycleRef {
            subscription: self.subscription.id,
            number: cycle.number,
        });
        let counts: Vec<_> = self
            .counters
            .iter()
            .filter(|(key, _)| closing.is_some() && self.owner[&key.period_start] == closing)
            .map(|(key, count)| (*key, count.clone()))
            .collect();
        let world = World {
            deal: Deal::of(&self.subscription, &offers).unwrap(),
            books: Books {
                balance: self.balance(),
                blocks: &blocks,
                debited_until: if due.task.holds_usage() {
                    due.at
                } else {
                    self.debited_until
                },
            },
            counts: &counts,
        };
        let decision = self.subscription.take(due, &world).unwrap();
        self.steps.push(due);
        self.write(due.at, decision);
    }

    /// Something that somebody wants.
    pub fn ask<E>(
        &mut self,
        operation: impl FnOnce(&Subscription, Timestamp, &Deal<'_>, &Books<'_>) -> Result<Decision, E>,
    ) -> Result<(), E> {
        self.debit(self.now);
        self.expire(self.now);
        let (offers, blocks) = (self.offers(), self.plan_blocks());
        let deal = Deal::of(&self.subscription, &offers).unwrap();
        let books = Books {
            balance: self.balance(),
            blocks: &blocks,
            debited_until: self.debited_until,
        };
        let decision = operation(&self.subscription, self.now, &deal, &books)?;
        self.write(self.now, decision);
        Ok(())
    }

    pub fn renew(&mut self) -> Result<(), Refused> {
        let prior = self.closed.last().cloned();
        self.ask(|it, now, deal, books| it.renew(now, deal, books, prior.as_ref()))
    }

    pub fn extend(&mut self, end: &str) -> Result<(), Refused> {
        let end = end.parse().unwrap();
        self.ask(|it, now, deal, books| it.extend_contract(end, now, deal, books))
    }

    pub fn pause(&mut self) -> Result<(), Refused> {
        self.ask(|it, now, deal, _| it.pause(now, deal))
    }

    pub fn resume(&mut self) -> Result<(), Refused> {
        self.ask(|it, now, deal, books| it.resume(now, deal, books))
    }

    pub fn cancel(&mut self, when: When) -> Result<(), Refused> {
        self.ask(|it, now, deal, books| it.cancel(when, now, deal, books))
    }

    /// To another of the offers, now or with the next cycle.
    pub fn change(&mut self, to: usize, now: bool) -> Result<(), Refused> {
        let to = self.offers[to].clone();
        self.ask(|it, at, deal, books| {
            if now {
                it.change_now(at, deal, &to, books)
            } else {
                it.change_at_next_cycle(at, deal, &to)
            }
        })
    }

    /// A block that is not of the plan, such as a top-up.
    pub fn own(&mut self, block: Block) {
        self.owned.push(Owned { block, plan: None });
    }

    fn write(&mut self, at: Timestamp, decision: Decision) {
        for taken in &decision.taken {
            let block = &mut self.find(taken.block).block;
            assert!(taken.credits.is_positive() && taken.credits <= block.remaining);
            block.remaining = block.remaining.minus(taken.credits).unwrap();
        }
        for id in &decision.ended {
            let owned = self.find(*id);
            assert!(owned.plan.as_ref().unwrap().ends_with_cycle);
            assert_eq!(owned.block.state, BlockState::Active, "a block ends once");
            owned.block.state = BlockState::Expired;
            owned.block.remaining = Credits::ZERO;
        }
        for (id, end) in &decision.moved {
            self.find(*id).block.expires_at = Some(*end);
        }
        for new in decision.granted {
            assert!(
                self.effects.insert(new.effect_key.clone()),
                "twice: {}",
                new.effect_key
            );
            assert!(new.credits.is_positive() && new.granted_at == at);
            assert!(new.expires_at.is_none_or(|end| end > new.granted_at));
            let id = block_id(self.owned.len() as u128 + 1_000);
            self.owned.push(Owned {
                block: new.clone().into_block(id),
                plan: Some(new),
            });
        }
        for fact in decision.facts {
            assert!(self.told.insert(fact.key()), "twice: {}", fact.key());
            self.facts.push(fact);
        }
        for line in decision.money {
            self.money.push(line.amount.to_string());
        }
        if let Some(closed) = decision.closed {
            let expected = self
                .closed
                .last()
                .map_or(closed.cycle.number, |last| last.cycle.number + 1);
            assert_eq!(closed.cycle.number, expected, "cycles close in order");
            self.closed.push(closed);
        }
        let last = self.subscription.last_number;
        self.subscription = decision.subscription;
        self.note_cycles();
        let opened = self
            .subscription
            .cycle
            .as_ref()
            .filter(|cycle| cycle.number > last);
        if let Some(cycle) = opened {
            assert_eq!(cycle.balance_at_start, self.balance(), "cycle {}", cycle.number);
        }
    }

    fn note_cycles(&mut self) {
        for cycle in self.subscription.closing.iter().chain(&self.subscription.cycle) {
            let late = self.offer_of(cycle.variant).variant.late;
            let counting = CountingCycle {
                cycle: CycleRef {
                    subscription: self.subscription.id,
                    number: cycle.number,
                },
                since: self.subscription.created_at,
                period: cycle.period,
                closes_at: cycle.closes_at,
                late,
                closed: false,
            };
            self.cycles.insert(cycle.number, counting);
        }
    }

    fn find(&mut self, id: BlockId) -> &mut Owned {
        self.owned.iter_mut().find(|owned| owned.block.id == id).unwrap()
    }

    fn plan_blocks(&self) -> Vec<PlanBlock> {
        let of = |owned: &Owned| {
            let plan = owned.plan.as_ref()?;
            (owned.block.state == BlockState::Active).then_some(PlanBlock {
                id: owned.block.id,
                template: plan.template,
                ends_with_cycle: plan.ends_with_cycle,
                source: plan.source,
                billing: plan.billing,
                credits: owned.block.credits,
                remaining: owned.block.remaining,
                granted_at: owned.block.granted_at,
                expires_at: owned.block.expires_at,
            })
        };
        self.owned.iter().filter_map(of).collect()
    }

    /// Ends the blocks that have run out before an instant, after the usage that was accepted by then.
    fn expire(&mut self, before: Timestamp) {
        for owned in &mut self.owned {
            let over = owned.block.expires_at.is_some_and(|end| end < before);
            if over && owned.block.state == BlockState::Active {
                owned.block.state = BlockState::Expired;
                owned.block.remaining = Credits::ZERO;
            }
        }
    }

    /// Debits the usage accepted before an instant, in the order of acceptance.
    fn debit(&mut self, until: Timestamp) {
        let (ready, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|event: &Event| event.received_at < until);
        self.pending = rest;
        self.debited_until = until;
        for event in ready {
            self.rate(&event);
        }
    }

    fn rate(&mut self, event: &Event) {
        let cycles: Vec<CountingCycle> = self.cycles.values().copied().collect();
        let placed = Timeline::new(cycles).place(event.occurred_at, event.received_at);
        self.timings.push(placed.timing);
        if placed.timing == Timing::LateRejected {
            return;
        }
        let key = CounterKey {
            metric: event.metric,
            line: None,
            period_start: placed.stretch.period.start,
        };
        let known = self.owner.insert(key.period_start, placed.stretch.cycle);
        assert!(
            known.is_none_or(|known| known == placed.stretch.cycle),
            "a count has one owner"
        );
        let count = self.counters.entry(key).or_default();
        let to = count.position.after(event.units).unwrap();
        let cost = self.prices[&event.metric].between(count.position, to).unwrap();
        count.position = to;
        count.credits = count.credits.plus(cost).unwrap();
        let blocks = self.owned.iter().map(|owned| owned.block.clone()).collect();
        let mut funds = Funds::new(blocks, self.overdraft);
        funds.burn(cost, event.metric, event.received_at).unwrap();
        self.overdraft = funds.overdraft();
        for block in funds.blocks() {
            self.find(block.id).block.remaining = block.remaining;
        }
    }

    pub fn balance(&self) -> Credits {
        let blocks = Credits::total(self.owned.iter().map(|owned| owned.block.remaining)).unwrap();
        blocks.minus(self.overdraft).unwrap()
    }

    pub fn state(&self) -> State {
        self.subscription.state
    }

    /// Blocks that are there, in burn order: `PLAN_GRANT 5 until 2026-02-01T00:00:00Z`.
    pub fn blocks(&self) -> Vec<String> {
        let blocks = self.owned.iter().map(|owned| owned.block.clone());
        let blocks =
            blocks.filter(|block| block.state == BlockState::Active && block.remaining.is_positive());
        let funds = Funds::new(blocks.collect(), Credits::ZERO);
        let name = |value: &Source| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned();
        let show = |block: &Block| match block.expires_at {
            None => format!("{} {}", name(&block.source), block.remaining),
            Some(end) => format!("{} {} until {end}", name(&block.source), block.remaining),
        };
        funds.blocks().iter().map(show).collect()
    }

    /// How the plan's blocks are billed, ended ones included, oldest first.
    pub fn billings(&self) -> Vec<Billing> {
        let plan = self.owned.iter().filter_map(|owned| owned.plan.as_ref());
        plan.map(|plan| plan.billing).collect()
    }

    /// The names of all facts so far, without the common beginning.
    pub fn told(&self) -> Vec<&'static str> {
        self.facts
            .iter()
            .map(|fact| fact.what.event().as_str().trim_start_matches("subscription."))
            .collect()
    }

    pub fn last(&self) -> &What {
        &self.facts.last().unwrap().what
    }
}
