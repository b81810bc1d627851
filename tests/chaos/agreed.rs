//! Customers who have agreed to plans, and a life for them that is the same in every world: whatever goes wrong in one, it must
//! end as one in which nothing did.

use std::sync::Arc;

use app::{
    catalog::{CreateTemplate, CreateVariant},
    clock::{Clock, SystemClock},
    credit::{Expiry, Grant},
    customer::{CreateCustomer, shard_of},
    db::Backend,
    subscription::CreateSubscription,
    test_clock::{self, AdvanceTestClock, CreateTestClock},
};
use domain::{
    id::{CustomerId, SubscriptionId, TestClockId, VariantId},
    money::{Currency, Money},
    plan::{interval::Interval, variant::Mode},
    time::Timestamp,
};
use entity::{ledger_entry, work};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use crate::harness::{
    World, auditor,
    backend::{self, Place},
    credits, per_unit,
    plans::{agreement, template, variant},
};

/// How long after a boundary its cycle is closed, with the time that workers wait for usage on its way, in seconds.
pub const CLOSED: i64 = 66;

/// A customer and what it has agreed to.
#[derive(Clone, Copy)]
pub struct Agreed {
    pub customer: CustomerId,
    pub subscription: SubscriptionId,
}

/// Plans of each kind that advances by itself: postpaid with rollover, prepaid free of charge with a bonus, and postpaid plainly.
pub async fn plans(world: &World, interval: Interval) -> [VariantId; 3] {
    world.priced("call", per_unit("1")).await;
    let of = |mode| CreateVariant {
        interval,
        ..variant(mode)
    };
    let rolling = CreateTemplate {
        rollover: "50".parse().unwrap(),
        ..template("10")
    };
    let free = CreateVariant {
        fee: Some(Money::of(0, Currency::USD)),
        ..of(Mode::Prepaid)
    };
    let generous = CreateTemplate {
        bonus: "20".parse().unwrap(),
        accumulation_cap: Some(credits("14")),
        rollover: "50".parse().unwrap(),
        ..template("5")
    };
    [
        world.sells(of(Mode::Postpaid), vec![rolling]).await,
        world.sells(free, vec![generous]).await,
        world.sells(of(Mode::Postpaid), vec![template("3")]).await,
    ]
}

/// A customer for each plan, all of one shard unless they live by a test clock, so that they are advanced together.
pub async fn customers(
    world: &World,
    name: &str,
    plans: &[VariantId],
    clock: Option<TestClockId>,
    end: Option<Timestamp>,
) -> Vec<Agreed> {
    let mut all: Vec<Agreed> = vec![];
    for (number, plan) in plans.iter().enumerate() {
        let customer = loop {
            let made = newcomer(world, &format!("{name}-{number}-{}", world.key()), clock).await;
            let first = all.first().map_or(made, |first| first.customer);
            if clock.is_some() || shard_of(made) == shard_of(first) {
                break made;
            }
        };
        // The last contract ends.
        let ends = end.filter(|_| number + 1 == plans.len());
        let input = CreateSubscription {
            contract_end: ends,
            contract_notice_days: ends.map(|_| 10),
            ..agreement(customer, *plan)
        };
        let made = world.try_subscribe(input).await.unwrap();
        all.push(Agreed {
            customer,
            subscription: made.value.id,
        });
    }
    all
}

async fn newcomer(world: &World, name: &str, clock: Option<TestClockId>) -> CustomerId {
    let input = CreateCustomer {
        external_id: name.to_owned(),
        clock,
        ..CreateCustomer::default()
    };
    let made = app::customer::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.id
}

pub async fn clock(world: &World) -> TestClockId {
    let input = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(world.now()),
    };
    let made = test_clock::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.id
}

pub async fn send(world: &World, clock: TestClockId, to: Timestamp) {
    let input = AdvanceTestClock { clock, to };
    test_clock::send(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
}

/// The end of the cycle that runs.
pub async fn boundary(world: &World, of: Agreed) -> Timestamp {
    world
        .subscription(of.subscription)
        .await
        .cycle
        .unwrap()
        .period
        .end
}

/// Something of everybody, more of those that come later.
pub async fn consume(world: &World, all: &[Agreed]) {
    for (number, of) in all.iter().enumerate() {
        world
            .consume(of.customer, "call", &format!("{}.25", number + 1))
            .await;
    }
}

/// Credits that end at an instant.
pub async fn give_until(world: &World, customer: CustomerId, end: Timestamp) {
    let short = Grant {
        expiry: Expiry::At(end),
        ..world.deposit(customer, "2")
    };
    world.grant(short).await;
}

/// Whether the lines of ledgers are compared in their order. What neither touches the other, such as the end of credits and the usage that
/// was accepted afterwards, is done by whichever worker comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Kept,
    Any,
}

fn line(it: &ledger_entry::Model, order: Order) -> String {
    let what = format!(
        "{} {} {} for {:?} of {:?}",
        it.kind, it.credits, it.overdraft_change, it.event_count, it.period_start
    );
    match order {
        Order::Kept => format!(
            "{} {what} to {} {}",
            it.sequence, it.balance_after, it.overdraft_after
        ),
        Order::Any => what,
    }
}

/// All that has come of customers, without names that differ from world to world. Insists that nobody is parked, that the books are
/// sound, and that each cycle of a life that is over was turned, closed and told once.
pub async fn outcome(world: &World, all: &[Agreed], order: Order) -> Vec<String> {
    let parked = work::Entity::find().filter(work::Column::State.eq("PARKED"));
    let db = world.app.db().reader();
    assert_eq!(parked.count(db).await.unwrap(), 0, "nobody is parked");
    assert_eq!(world.pending().await, 0, "nothing waits");
    for of in all {
        let cycles = entity::billing_cycle::Entity::find()
            .filter(entity::billing_cycle::Column::SubscriptionId.eq(of.subscription.0))
            .order_by_asc(entity::billing_cycle::Column::Number)
            .all(db)
            .await
            .unwrap();
        // Every life goes on until the cycle before the last is closed, unless that waits for late usage longer than a minute.
        let lived = cycles.last().map_or(0, |last| last.period_start + 61_000_000);
        for (before, after) in cycles.iter().zip(&cycles[1..]) {
            assert_eq!(
                (before.period_end, before.number + 1),
                (after.period_start, after.number)
            );
            let closed = before.summary.is_some() || before.closes_at > lived;
            assert!(closed, "cycle {} was not closed", before.number);
        }
        let renewed = entity::billing_event::Entity::find()
            .filter(entity::billing_event::Column::SubscriptionId.eq(of.subscription.0))
            .filter(entity::billing_event::Column::Kind.eq("subscription.renewed"));
        let renewed = renewed.count(db).await.unwrap();
        // Told with the summary of the cycle before.
        let closed = cycles.iter().rev().skip(1).filter(|it| it.summary.is_some());
        assert_eq!(
            usize::try_from(renewed).unwrap(),
            closed.count(),
            "each is told once"
        );
    }
    let mut lines = world.history().await;
    for (number, of) in all.iter().enumerate() {
        let entries = ledger_entry::Entity::find()
            .filter(ledger_entry::Column::CustomerId.eq(of.customer.0))
            .order_by_asc(ledger_entry::Column::Sequence)
            .all(db)
            .await
            .unwrap();
        let mut told: Vec<String> = entries.iter().map(|it| line(it, order)).collect();
        if order == Order::Any {
            told.sort();
        }
        let last = entries
            .last()
            .map(|it| (it.sequence, it.balance_after, it.overdraft_after));
        lines.extend(told.iter().map(|told| format!("{number}: {told}")));
        lines.push(format!("{number}: {last:?} in the end"));
    }
    auditor::prove_changes(&world.app).await;
    auditor::audit(world.app.db()).await;
    auditor::prove(&world.app).await;
    lines
}

/// What comes of a life in a world of its own.
pub async fn in_a_world(backend: Backend, life: impl AsyncFnOnce(World) -> Vec<String>) -> Vec<String> {
    backend::with_place(backend, async |place: Arc<Place>| {
        let world = World::over(place).await;
        let seen = life(world.clone()).await;
        world.app.db().close().await;
        seen
    })
    .await
}

/// Compares lives line by line, so that the first difference is seen.
pub fn same(found: &[String], wanted: &[String]) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.len(), wanted.len());
}

/// Many cycles of many customers that are all due when the first worker begins: some by the clock on the wall, which was months
/// ago when they agreed, and some by test clocks that are sent as far.
pub struct Backlog {
    /// When they agreed.
    begun: Timestamp,
    /// When the workers come.
    now: Timestamp,
    interval: Interval,
    groups: usize,
    clocks: usize,
}

impl Backlog {
    /// So many days of cycles, for so many groups of customers by the wall, and so many clocks with a group each.
    pub fn of(days: i64, interval: Interval, groups: usize, clocks: usize) -> Self {
        let now = SystemClock.now();
        // Half a day beside any boundary, so that it does not matter when exactly the workers come.
        let begun = now.plus_seconds(-days * 86_400 - 43_200);
        Self {
            begun,
            now,
            interval,
            groups,
            clocks,
        }
    }

    /// The life of everybody until the workers come.
    pub async fn amass(&self, world: &World) -> Vec<Agreed> {
        world.move_to(self.begun);
        let plans = plans(world, self.interval).await;
        let (mut all, mut on_wall) = (vec![], vec![]);
        for clock_number in 0..self.clocks {
            let clock = clock(world).await;
            let group = customers(world, &format!("clock-{clock_number}"), &plans, Some(clock), None).await;
            consume(world, &group).await;
            give_until(world, group[0].customer, boundary(world, group[0]).await).await;
            send(world, clock, self.now).await;
            all.extend(group);
        }
        for group in 0..self.groups {
            // The last of each ends within the time.
            let end = Some(self.now.plus_seconds(-20 * 86_400));
            let group = customers(world, &format!("group-{group}"), &plans, None, end).await;
            give_until(world, group[0].customer, boundary(world, group[0]).await).await;
            on_wall.extend(group);
        }
        let first = boundary(world, on_wall[0]).await;
        for at in [first.plus_seconds(-1), first, first.plus_seconds(30)] {
            world.move_to(at);
            consume(world, &on_wall).await;
        }
        while world.now().plus_seconds(40 * 86_400) < self.now {
            world.advance(17 * 86_400);
            consume(world, &on_wall).await;
        }
        world.move_to(self.now);
        all.extend(on_wall);
        all
    }

    /// What should come of it: one worker that nothing happens to.
    pub async fn wanted(&self) -> Vec<String> {
        in_a_world(Backend::Sqlite, async |world| {
            let all = self.amass(&world).await;
            world.catch_up().await;
            outcome(&world, &all, Order::Any).await
        })
        .await
    }

    /// Whether all of it is done.
    pub async fn is_done(&self, world: &World) -> bool {
        let db = world.app.db().reader();
        let late = entity::subscription::Entity::find()
            .filter(entity::subscription::Column::DueAt.lt(self.now.micros()));
        let away = entity::test_clock::Entity::find()
            .filter(entity::test_clock::Column::NowAt.lt(self.now.micros()));
        // Steps leave blocks that were used up to the sweep.
        let unended = entity::block::Entity::find()
            .filter(entity::block::Column::State.eq("ACTIVE"))
            .filter(entity::block::Column::ExpiresAt.lt(self.now.micros()));
        let undone =
            late.count(db).await.unwrap() + away.count(db).await.unwrap() + unended.count(db).await.unwrap();
        undone + world.pending().await == 0
    }
}

/// A world in the database of processes that are started beside it.
pub async fn beside(url: &str) -> World {
    World::over(Arc::new(Place::of(url))).await
}

/// Runs that have died and wake-ups that they have taken are not believed in any longer, as would be the case after a while; nor are
/// those that live, which others may then run into.
pub async fn disbelieve_runs(world: &World) {
    let sql = "UPDATE work SET running_since = 0, woken_at = 0, due_at = 0 WHERE state <> 'PARKED'";
    world.app.db().writer().execute_unprepared(sql).await.unwrap();
}
