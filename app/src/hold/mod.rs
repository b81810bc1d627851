//! Holds: credits set aside for work that is still running, so that what runs at the same time can never use more than there is.
//!
//! **Reserve** checks and sets aside in one step under the lock on the account ([`reserve()`]); **capture** records what was used and frees
//! the rest, **release** frees all ([`mod@end`]); a hold that nobody ends is freed at its deadline ([`expiry`]). What is asked at the same
//! time about the same customers is done by one transaction ([`gather`]).
//!
//! What open holds claim is decided by [`domain::hold::claims`], here and in the gate alike. `account.held` and `account.holds` say what
//! they have set aside when they were made and how many they are: customers without any cost the gate nothing.

mod end;
mod expiry;
mod gather;
mod reserve;
mod store;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Weak,
};

use domain::{
    amount::Credits,
    hold::{Hold, HoldState},
    id::{CustomerId, HoldId, MetricId, TenantId, TestClockId},
    time::Timestamp,
};
use entity::{account, hold};
use sea_orm::ConnectionTrait;
use tokio::sync::mpsc;

use self::gather::{Gathering, Request};
pub(crate) use self::{
    end::Ending,
    expiry::{expire, expire_of, is_due, next_deadline},
    reserve::Wanted,
};
pub use self::{
    end::{Ended, NotEnded, Outcome, Used, capture, event_key, release},
    reserve::{Refused, Reserve, Reserved, reserve},
    view::Reservation,
};
use crate::{
    App, Inner,
    actor::{Actor, Scope},
    catalog,
    error::Result,
    op::Op,
    page::{Page, Slice},
    test_clock,
};

/// The ways to the tasks that make and end holds.
pub(crate) struct Holds {
    reservations: Gathering<Wanted>,
    endings: Gathering<Ending>,
}

/// The ends that [`run`] reads.
pub(crate) struct Requests {
    reservations: mpsc::UnboundedReceiver<Request<Wanted>>,
    endings: mpsc::UnboundedReceiver<Request<Ending>>,
}

impl Holds {
    /// The ways in, and their other ends.
    pub(crate) fn new() -> (Self, Requests) {
        let (reservations, reserving) = Gathering::new();
        let (endings, ending) = Gathering::new();
        let ways = Self {
            reservations,
            endings,
        };
        let ends = Requests {
            reservations: reserving,
            endings: ending,
        };
        (ways, ends)
    }
}

/// Makes and ends holds until the application is dropped.
pub(crate) async fn run(app: Weak<Inner>, requests: Requests) {
    let reserving = gather::run(app.clone(), requests.reservations);
    tokio::join!(reserving, gather::run(app, requests.endings));
}

/// The holds of customers that no worker has ended, in the order in which they were made. One statement, none without customers.
pub(crate) async fn open_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Vec<Hold>>> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    store::open(db, customers).await
}

/// What is set aside on accounts at an instant, without holds that are past their deadline. One statement, none where no account has holds.
pub(crate) async fn held_in(
    db: &impl ConnectionTrait,
    accounts: &[account::Model],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Credits>> {
    let holding = accounts.iter().filter(|row| row.holds > 0);
    let mut held: HashMap<CustomerId, Credits> = holding
        .map(|row| (CustomerId(row.customer_id), Credits::from_raw(row.held)))
        .collect();
    if held.is_empty() {
        return Ok(held);
    }
    let customers: Vec<CustomerId> = held.keys().copied().collect();
    for (customer, lapsed) in store::lapsed(db, &customers, now).await? {
        if let Some(credits) = held.get_mut(&customer) {
            *credits = credits.minus(lapsed)?;
        }
    }
    Ok(held)
}

/// The time of those customers that live by test clocks. One statement, none without such customers.
async fn times(op: &Op, accounts: &[account::Model]) -> Result<HashMap<CustomerId, Timestamp>> {
    let own = accounts
        .iter()
        .filter_map(|row| Some((row.customer_id, row.clock_id?)));
    let own: Vec<(CustomerId, TestClockId)> = own
        .map(|(customer, clock)| (CustomerId(customer), TestClockId(clock)))
        .collect();
    let clocks: Vec<TestClockId> = own.iter().map(|(_, clock)| *clock).collect();
    let times = test_clock::times(op.tx(), &clocks).await?;
    let time = |(customer, clock)| Some((customer, *times.get(&clock)?));
    Ok(own.into_iter().filter_map(time).collect())
}

/// One hold by id. Three statements.
///
/// # Errors
/// The scope is missing.
pub async fn reservation(app: &App, actor: &Actor, id: HoldId) -> Result<Option<Reservation>> {
    actor.require(Scope::UsageRead)?;
    let Some(row) = store::find(app.db().reader(), actor.reach(), id).await? else {
        return Ok(None);
    };
    let now = test_clock::now_of(app, CustomerId(row.customer_id)).await?;
    Ok(views(app, actor.tenant, vec![row], now).await?.pop())
}

/// A customer's holds, latest first: all of them, or those in a state. Three statements.
///
/// # Errors
/// The scope is missing.
pub async fn reservations(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    state: Option<HoldState>,
    page: Page<HoldId>,
) -> Result<Slice<Reservation>> {
    actor.require(Scope::UsageRead)?;
    let now = test_clock::now_of(app, customer).await?;
    let slice = store::list(app.db().reader(), actor.reach(), customer, state, now, page).await?;
    Ok(Slice {
        has_previous: slice.has_previous,
        has_next: slice.has_next,
        items: views(app, actor.tenant, slice.items, now).await?,
    })
}

/// Rows as they are shown. One statement.
async fn views(
    app: &App,
    tenant: TenantId,
    rows: Vec<hold::Model>,
    now: Timestamp,
) -> Result<Vec<Reservation>> {
    let keys = keys(app, tenant, rows.iter()).await?;
    let view = |row: hold::Model| {
        let key = keys.get(&MetricId(row.metric_id)).cloned().unwrap_or_default();
        Reservation::new(row, key, now)
    };
    rows.into_iter().map(view).collect()
}

/// The keys of the metrics of holds. One statement, none without holds.
async fn keys(
    app: &App,
    tenant: TenantId,
    rows: impl Iterator<Item = &hold::Model>,
) -> Result<BTreeMap<MetricId, String>> {
    let mut metrics: Vec<MetricId> = rows.map(|row| MetricId(row.metric_id)).collect();
    metrics.sort_unstable();
    metrics.dedup();
    if metrics.is_empty() {
        return Ok(BTreeMap::new());
    }
    catalog::metric_keys_in(app.db().reader(), tenant, &metrics).await
}
