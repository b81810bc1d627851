//! Test clocks: the time of customers of test tenants, set by hand.

use app::{error::Result, test_clock};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{id::TestClockId, rejection::Rejection};

use super::{
    caller,
    error::top_level,
    page::{Args, Connection, connection, cost},
    payload::payload,
    scalar::DateTime,
};

/// Whether a test clock stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestClockState {
    /// It stands, and everything that was due has been done.
    Ready,
    /// It is on its way to its target, doing what is due in order.
    Advancing,
}

/// A clock of a test tenant that is set by hand. Customers that are made on it live by it: grants, expiries, cycles and usage happen at
/// its time.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct TestClock {
    /// Global id.
    pub id: ID,
    /// Name for people.
    pub name: String,
    /// What it shows; moves from one thing that is due to the next while it advances.
    pub now: DateTime,
    /// Where it is on its way to; the same as `now` when it stands.
    pub target: DateTime,
    /// Whether it stands.
    pub state: TestClockState,
    /// When it was made, by the clock on the wall.
    pub created_at: DateTime,
    #[graphql(skip)]
    clock: TestClockId,
}

impl From<test_clock::TestClock> for TestClock {
    fn from(clock: test_clock::TestClock) -> Self {
        Self {
            state: if clock.ready {
                TestClockState::Ready
            } else {
                TestClockState::Advancing
            },
            id: clock.id.to_string().into(),
            name: clock.name,
            now: clock.now.into(),
            target: clock.target.into(),
            created_at: clock.created_at.into(),
            clock: clock.id,
        }
    }
}

#[ComplexObject]
impl TestClock {
    /// Global ids of the customers that live by it, at most 100. Needs `operations:read`.
    async fn customer_ids(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ID>> {
        let (app, actor) = caller(ctx)?;
        let ids = test_clock::customers(app, actor, self.clock).await;
        Ok(ids
            .map_err(top_level)?
            .iter()
            .map(|id| id.to_string().into())
            .collect())
    }
}

/// A test clock's id; a text of another form names none.
pub(super) fn test_clock_id(id: &ID) -> Result<TestClockId> {
    let id = id.parse();
    Ok(id.map_err(|_| Rejection::not_found("testClockId", "test clock"))?)
}

/// Reads of test clocks.
#[derive(Default)]
pub struct TestClockQuery;

#[Object]
impl TestClockQuery {
    /// One test clock; null when there is none. Needs `operations:read`.
    async fn test_clock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id.")] id: ID,
    ) -> async_graphql::Result<Option<TestClock>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse() else { return Ok(None) };
        let found = test_clock::clock(app, actor, id).await.map_err(top_level)?;
        Ok(found.map(TestClock::from))
    }

    /// The tenant's test clocks, oldest first. Needs `operations:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn test_clocks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<TestClock>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<TestClockId>()?;
        let slice = test_clock::clocks(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |clock| clock.id.to_string(), TestClock::from))
    }
}

/// A test clock to make.
#[derive(InputObject)]
pub struct CreateTestClockInput {
    /// Name for people, 1 to 100 bytes.
    pub name: String,
    /// What it shows at first; now by default.
    pub now: Option<DateTime>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// Where a test clock is to go.
#[derive(InputObject)]
pub struct AdvanceTestClockInput {
    /// Global id of the clock.
    pub test_clock_id: ID,
    /// Later than where it is or is on its way to; ten years ahead at most.
    pub to: DateTime,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `createTestClock`.
    CreateTestClockPayload {
        /// The clock; null when it was refused.
        test_clock: TestClock
    }
}

payload! {
    /// Result of `advanceTestClock`.
    AdvanceTestClockPayload {
        /// The clock, on its way; null when it was refused.
        test_clock: TestClock
    }
}

/// Writes of test clocks.
#[derive(Default)]
pub struct TestClockMutation;

#[Object]
impl TestClockMutation {
    /// Makes a clock that is set by hand, for tenants in `TEST` mode. Customers are put on it by `createCustomer`. Needs
    /// `operations:write`.
    async fn create_test_clock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The clock to make.")] input: CreateTestClockInput,
    ) -> async_graphql::Result<CreateTestClockPayload> {
        let (app, actor) = caller(ctx)?;
        let command = test_clock::CreateTestClock {
            name: input.name,
            now: input.now.map(|at| at.0),
        };
        let outcome = test_clock::create(app, actor, command, &input.idempotency_key).await;
        CreateTestClockPayload::from_outcome(outcome, TestClock::from)
    }

    /// Sends a clock on its way. What is due on the way is done in order, as it would have been; watch `state` and `now`. Needs
    /// `operations:write`.
    async fn advance_test_clock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to.")] input: AdvanceTestClockInput,
    ) -> async_graphql::Result<AdvanceTestClockPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match test_clock_id(&input.test_clock_id) {
            Ok(clock) => {
                let command = test_clock::AdvanceTestClock {
                    clock,
                    to: input.to.0,
                };
                test_clock::send(app, actor, command, &input.idempotency_key).await
            }
            Err(error) => Err(error),
        };
        AdvanceTestClockPayload::from_outcome(outcome, TestClock::from)
    }
}
