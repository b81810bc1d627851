//! Test clocks: the time of customers of test tenants, set by hand.
//!
//! A customer that is made on a clock lives by it for good: its grants, expiries, cycles, renewals and usage happen at the
//! clock's time. When a clock is advanced, a worker moves it from one thing that is due to the next and does that, so that everything
//! happens as it would have, in the same order and by the same code. Where it is can be watched meanwhile.
//!
//! What a clock shows decides; when something was *written* (`createdAt` of a ledger entry or event) is told by the clock on
//! the wall.

mod advance;
mod store;

use domain::{
    id::{CustomerId, TenantId, TestClockId},
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use entity::test_clock;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    advance::{advance, due},
    store::times,
};
use crate::{
    App,
    access::{self, Mode, check_name},
    actor::{Actor, Scope},
    error::Result,
    idempotency::{Claim, Once, claim},
    job::clocks,
    op::Op,
    page::{Page, Slice},
};

/// Most customers of one clock: bounds what a step has to look at.
pub const MAX_CUSTOMERS: i64 = 100;
/// Furthest that a clock is advanced at once, in seconds: ten years and some days.
const MAX_ADVANCE: i64 = 3_660 * 86_400;

/// A clock that is set by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestClock {
    /// Its id.
    pub id: TestClockId,
    /// Name for people.
    pub name: String,
    /// What it shows.
    pub now: Timestamp,
    /// Where it is on its way to; the same when it stands.
    pub target: Timestamp,
    /// Whether it stands, and everything that was due has been done.
    pub ready: bool,
    /// When it was made, by the clock on the wall.
    pub created_at: Timestamp,
}

impl From<test_clock::Model> for TestClock {
    fn from(row: test_clock::Model) -> Self {
        Self {
            id: TestClockId(row.id),
            name: row.name,
            now: Timestamp::from_micros(row.now_at),
            target: Timestamp::from_micros(row.target_at),
            ready: row.ready != 0,
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}

/// A clock to make.
#[derive(Debug, Clone, Serialize)]
pub struct CreateTestClock {
    /// Name for people.
    pub name: String,
    /// What it shows at first; `None`: now.
    pub now: Option<Timestamp>,
}

/// Makes a clock. Customers are put on it when they are created.
///
/// # Errors
/// A tenant that is not for tests, or a name that is empty or too long.
pub async fn create(app: &App, actor: &Actor, input: CreateTestClock, key: &str) -> Result<Once<TestClock>> {
    actor.require(Scope::OperationsWrite)?;
    check_name("name", &input.name)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createTestClock", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    if access::mode_in(&op, actor.tenant).await? != Mode::Test {
        let message = "only tenants for tests have clocks that are set by hand";
        return Err(Rejection::new(RejectionCode::InvalidInput, "", message).into());
    }
    let now = input.now.unwrap_or_else(|| op.now());
    let clock = TestClock {
        id: TestClockId(op.new_id()),
        name: input.name,
        now,
        target: now,
        ready: true,
        created_at: op.now(),
    };
    store::insert(&op, actor.tenant, &clock).await?;
    let done = fresh.settle(&op, clock).await?;
    op.commit().await?;
    Ok(done)
}

/// Where to.
#[derive(Debug, Clone, Serialize)]
pub struct AdvanceTestClock {
    /// Which.
    pub clock: TestClockId,
    /// Later than where it is, or is on its way to.
    pub to: Timestamp,
}

/// Sends a clock on its way. Workers do what is due until it is there.
///
/// # Errors
/// No such clock, an instant that is not later, or one more than ten years ahead.
pub async fn send(app: &App, actor: &Actor, input: AdvanceTestClock, key: &str) -> Result<Once<TestClock>> {
    actor.require(Scope::OperationsWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "advanceTestClock", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let unknown = || Rejection::not_found("testClockId", "test clock");
    let row = store::lock(&op, actor.tenant, input.clock).await?;
    let mut clock = TestClock::from(row.ok_or_else(unknown)?);
    if input.to <= clock.target {
        let message = format!("it must be later than {}", clock.target);
        return Err(Rejection::invalid("to", message).into());
    }
    if input.to > clock.now.plus_seconds(MAX_ADVANCE) {
        return Err(Rejection::invalid("to", "a clock is advanced by ten years at most").into());
    }
    (clock.target, clock.ready) = (input.to, false);
    store::set(&op, &clock).await?;
    op.wake(clocks::wakeup(clock.id));
    let done = fresh.settle(&op, clock).await?;
    op.commit().await?;
    Ok(done)
}

/// One clock.
///
/// # Errors
/// The scope is missing.
pub async fn clock(app: &App, actor: &Actor, id: TestClockId) -> Result<Option<TestClock>> {
    actor.require_for_all(Scope::OperationsRead)?;
    let row = store::find(app.db().reader(), actor.tenant, id).await?;
    Ok(row.map(TestClock::from))
}

/// The tenant's clocks, oldest first.
///
/// # Errors
/// The scope is missing.
pub async fn clocks(app: &App, actor: &Actor, page: Page<TestClockId>) -> Result<Slice<TestClock>> {
    actor.require_for_all(Scope::OperationsRead)?;
    store::list(app.db().reader(), actor.tenant, page)
        .await?
        .try_map(|row| Ok(TestClock::from(row)))
}

/// The customers that live by a clock, in the order of their ids.
///
/// # Errors
/// The scope is missing.
pub async fn customers(app: &App, actor: &Actor, id: TestClockId) -> Result<Vec<CustomerId>> {
    actor.require_for_all(Scope::OperationsRead)?;
    store::customers(app.db().reader(), actor.tenant, id).await
}

/// The time that a customer lives by: what its clock shows, or that of the wall. One statement.
pub(crate) async fn now_of(app: &App, customer: CustomerId) -> Result<Timestamp> {
    let own = store::of_customers(app.db().reader(), &[customer]).await?;
    Ok(own.get(&customer).copied().unwrap_or_else(|| app.now()))
}

/// Checks that a customer may be put on a clock, which is locked until the operation ends.
///
/// # Errors
/// No such clock, one that is on its way, or one that has too many customers.
pub(crate) async fn check_room_in(op: &Op, tenant: TenantId, id: TestClockId) -> Result<()> {
    let row = store::lock(op, tenant, id).await?;
    let row = row.ok_or_else(|| Rejection::not_found("testClockId", "test clock"))?;
    if row.ready == 0 {
        let message = "the clock is on its way; wait until it stands";
        return Err(Rejection::invalid("testClockId", message).into());
    }
    if store::count(op, id).await? >= MAX_CUSTOMERS {
        let message = format!("a clock has at most {MAX_CUSTOMERS} customers");
        return Err(Rejection::invalid("testClockId", message).into());
    }
    Ok(())
}
