//! Ending holds: what was really used is debited and the rest is free again, or all of it is.
//!
//! A captured hold becomes one usage event, under a key made of its id, and is debited in the same transaction together with all usage
//! accepted before it: so the balance never shows both or neither. Where that cannot be (the customer's usage is parked, waits for a
//! subscription, or is far behind), the event waits like any other, and the gate counts it as it counts all that waits.
//!
//! What was used is recorded whenever it is heard of. Also the plan of a customer that refuses late usage does not refuse it here: it
//! had been promised.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    amount::Quantity,
    hold::{self as rules, Capture, HoldState},
    id::{CustomerId, EventId, HoldId, MetricId, TenantId},
    time::Timestamp,
    usage::{event::Refusal as NoEvent, limits::check_occurred_at},
};
use entity::{account, hold, to_text};

use super::{
    gather::Work,
    keys,
    reserve::check_batch,
    store::{self, Changes},
    times,
    view::{self, Reservation},
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::{Error, Result},
    failpoint::reach,
    job::work::{self, Duty},
    op::Op,
    usage::{self, Accept, DAY_MICROS},
};

/// What was used of a hold.
#[derive(Debug, Clone)]
pub struct Used {
    /// Which; `None`: what was named is no id of a hold.
    pub hold: Option<HoldId>,
    /// How much, as a decimal number; zero releases it.
    pub units: String,
    /// When it happened; `None`: when it is captured.
    pub occurred_at: Option<Timestamp>,
    /// Whether it may be more than is held.
    pub allow_more: bool,
}

/// How a hold has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was used is recorded, and the rest is free.
    Captured,
    /// It was over already; what was used is recorded all the same.
    CapturedLate,
    /// Nothing was used: all of it is free.
    Released,
}

/// A hold that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The hold, as it stands now.
    pub reservation: Reservation,
    /// How.
    pub outcome: Outcome,
    /// Whether that had happened before, and nothing was done now.
    pub replay: bool,
}

/// Why a hold was not ended. The others of its batch are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// No such hold.
    #[error("there is no such reservation")]
    Unknown,
    /// The units are not a decimal number of zero or more with at most six places.
    #[error("units must be a decimal number of zero or more with at most six decimal places")]
    InvalidUnits,
    /// What the hold has come to stands against it.
    #[error(transparent)]
    Refused(rules::Refusal),
    /// It cannot have happened then, or its event's key was used for another one.
    #[error(transparent)]
    Event(NoEvent),
}

/// Records what was used of holds, and frees the rest. Answers per hold, in order, after the commit.
///
/// # Errors
/// No holds, or more than [`rules::MAX_BATCH`]; a database out of reach, in which case sending the same again is safe.
pub async fn capture(
    app: &App,
    actor: &Actor,
    all: Vec<Used>,
) -> Result<Vec<std::result::Result<Ended, NotEnded>>> {
    actor.require(Scope::UsageWrite)?;
    check_batch("captures", all.len())?;
    let how = |used: Used| {
        let units: Quantity = used.units.parse().map_err(|_| NotEnded::InvalidUnits)?;
        if units.is_negative() {
            return Err(NotEnded::InvalidUnits);
        }
        let hold = used.hold.ok_or(NotEnded::Unknown)?;
        let (occurred_at, allow_more) = (used.occurred_at, used.allow_more);
        Ok((
            hold,
            How::Capture {
                units,
                occurred_at,
                allow_more,
            },
        ))
    };
    end(app, actor, all.into_iter().map(how).collect()).await
}

/// Gives holds up. Doing it again changes nothing. Answers per hold, in order, after the commit.
///
/// # Errors
/// As for [`capture`].
pub async fn release(
    app: &App,
    actor: &Actor,
    all: Vec<Option<HoldId>>,
) -> Result<Vec<std::result::Result<Ended, NotEnded>>> {
    actor.require(Scope::UsageWrite)?;
    check_batch("reservations", all.len())?;
    let how = |hold: Option<HoldId>| Ok((hold.ok_or(NotEnded::Unknown)?, How::Release));
    end(app, actor, all.into_iter().map(how).collect()).await
}

type Asked = std::result::Result<(HoldId, How), NotEnded>;

async fn end(app: &App, actor: &Actor, all: Vec<Asked>) -> Result<Vec<std::result::Result<Ended, NotEnded>>> {
    let db = app.db().reader();
    let ids: Vec<HoldId> = all.iter().flatten().map(|(hold, _)| *hold).collect();
    let owners = store::owners(db, actor.reach(), &ids).await?;
    let mut work = Vec::new();
    let known = |asked: Asked| {
        let (hold, how) = asked?;
        let customer = *owners.get(&hold).ok_or(NotEnded::Unknown)?;
        work.push(Ending {
            hold,
            tenant: actor.tenant,
            customer,
            how,
        });
        Ok(())
    };
    let asked: Vec<std::result::Result<(), NotEnded>> = all.into_iter().map(known).collect();
    let mut done = app.holds().endings.done(work).await?;
    let keys = keys(app, actor.tenant, done.iter().flatten().map(|it| &it.row)).await?;
    let mut done = done.drain(..);
    let mut shown = Vec::with_capacity(asked.len());
    for known in asked {
        let ended = match known {
            Ok(()) => done.next().unwrap_or(Err(NotEnded::Unknown)),
            Err(no) => Err(no),
        };
        shown.push(match ended {
            Ok(Over {
                row,
                outcome,
                replay,
                now,
            }) => {
                let key = keys.get(&MetricId(row.metric_id)).cloned().unwrap_or_default();
                let reservation = Reservation::new(row, key, now)?;
                Ok(Ended {
                    reservation,
                    outcome,
                    replay,
                })
            }
            Err(no) => Err(no),
        });
    }
    Ok(shown)
}

/// How a hold is to end.
#[derive(Debug, Clone, Copy)]
enum How {
    Capture {
        units: Quantity,
        occurred_at: Option<Timestamp>,
        allow_more: bool,
    },
    Release,
}

/// A hold that is to end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    hold: HoldId,
    tenant: TenantId,
    customer: CustomerId,
    how: How,
}

/// A hold that has ended, as its row says.
#[derive(Debug)]
pub(crate) struct Over {
    row: hold::Model,
    outcome: Outcome,
    replay: bool,
    /// The customer's present.
    now: Timestamp,
}

impl Work for Ending {
    type Done = std::result::Result<Over, NotEnded>;

    fn customer(&self) -> CustomerId {
        self.customer
    }

    /// One transaction, its beginning and end included: seven statements for any number of holds that are given up, some twenty for any
    /// number that are captured.
    async fn run(app: &App, all: Vec<Self>) -> Result<Vec<Self::Done>> {
        let captures = all.iter().filter(|it| matches!(it.how, How::Capture { .. }));
        let customers: BTreeSet<CustomerId> = captures.map(|it| it.customer).collect();
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let aside = match customers.is_empty() {
            true => Vec::new(),
            // Asked first: what is parked may be what kills whoever touches it.
            false => work::set_aside_among(app, Duty::CUSTOMER, &customers).await?,
        };
        match attempt(app, &all, Some(&aside)).await {
            // Usage that cannot be debited waits for the workers, who park it. What was used is recorded all the same.
            Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
                tracing::warn!(%error, "captured usage could not be debited at once");
                attempt(app, &all, None).await
            }
            done => done,
        }
    }
}

/// Ends holds in one transaction. What is captured is debited but for customers that are set aside; for `None` it is left to the workers.
async fn attempt(
    app: &App,
    all: &[Ending],
    aside: Option<&[CustomerId]>,
) -> Result<Vec<std::result::Result<Over, NotEnded>>> {
    let mut op = Op::begin(app).await?;
    let mut batch = Batch::read(&mut op, all).await?;
    let mut done: Vec<_> = all
        .iter()
        .map(|it| batch.decide(app, &op, it))
        .collect::<Result<_>>()?;
    reach("hold.decided")?;
    if batch.changed.is_empty() {
        op.abandon().await?;
        return Ok(done);
    }
    let taken = batch.accept(&op).await?;
    reach("hold.recorded")?;
    for (place, ended) in done.iter_mut().enumerate() {
        let event = ended.as_ref().ok().and_then(|it| it.row.event_id);
        if event.is_some_and(|id| taken.contains(&EventId(id))) {
            batch.changed.remove(&all[place].hold);
            *ended = Err(NotEnded::Event(NoEvent::IdempotencyConflict));
        }
    }
    let captured = batch.write(&mut op).await?;
    reach("hold.written")?;
    let debited = match aside {
        Some(aside) => {
            let accounts = batch.accounts.iter();
            let ready = accounts.filter(|row| {
                let customer = CustomerId(row.customer_id);
                captured.contains(&customer) && !aside.contains(&customer)
            });
            let ready: Vec<account::Model> = ready.cloned().collect();
            usage::debit_in(&mut op, &ready).await?
        }
        None => HashSet::new(),
    };
    reach("hold.debited")?;
    let waiting = captured.into_iter().filter(|it| !debited.contains(it));
    let waiting: Vec<CustomerId> = waiting.collect();
    op.commit().await?;
    usage::wake(app, waiting);
    Ok(done)
}

/// All that a transaction decides on.
struct Batch {
    accounts: Vec<account::Model>,
    times: HashMap<CustomerId, Timestamp>,
    rows: HashMap<HoldId, hold::Model>,
    /// What was open before, and held so much.
    held: HashMap<HoldId, i64>,
    /// Events to accept, by instant.
    events: BTreeMap<Timestamp, Vec<(EventId, Accept)>>,
    /// Holds whose rows have changed.
    changed: BTreeSet<HoldId>,
}

impl Batch {
    /// Locks the accounts and reads the holds. Two statements, three where customers have test clocks.
    async fn read(op: &mut Op, all: &[Ending]) -> Result<Self> {
        let customers: BTreeSet<CustomerId> = all.iter().map(|it| it.customer).collect();
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let accounts = op.lock_accounts(&customers).await?;
        reach("hold.locked")?;
        let times = times(op, &accounts).await?;
        let ids: BTreeSet<HoldId> = all.iter().map(|it| it.hold).collect();
        let rows = store::by_ids(op.tx(), &ids.into_iter().collect::<Vec<_>>()).await?;
        reach("hold.read")?;
        let open = rows
            .iter()
            .filter(|(_, row)| row.state == to_text(HoldState::Open));
        Ok(Self {
            held: open.map(|(id, row)| (*id, row.credits)).collect(),
            accounts,
            times,
            rows,
            events: BTreeMap::new(),
            changed: BTreeSet::new(),
        })
    }

    /// Decides about one hold, after those before it.
    fn decide(&mut self, app: &App, op: &Op, ending: &Ending) -> Result<std::result::Result<Over, NotEnded>> {
        let now = self.times.get(&ending.customer).copied().unwrap_or(op.now());
        let Some(row) = self.rows.get_mut(&ending.hold) else {
            return Ok(Err(NotEnded::Unknown));
        };
        let held = view::held(row)?;
        let (units, occurred_at, decided) = match ending.how {
            How::Release => (
                Quantity::ZERO,
                None,
                rules::release(held.state).map(|frees| match frees {
                    true => Capture::Free,
                    false => Capture::Nothing,
                }),
            ),
            How::Capture {
                units,
                occurred_at,
                allow_more,
            } => (units, occurred_at, rules::capture(&held, units, allow_more, now)),
        };
        let decided = match decided {
            Ok(decided) => decided,
            Err(no) => return Ok(Err(NotEnded::Refused(no))),
        };
        let (outcome, replay) = match decided {
            Capture::Free => {
                row.state = to_text(HoldState::Released);
                row.ended_at = Some(now.micros());
                (Outcome::Released, false)
            }
            Capture::Nothing => (Outcome::Released, true),
            Capture::Again => (told(row.late != 0), true),
            Capture::Take { late } => {
                let oldest = app.limits().back_date_days.saturating_mul(DAY_MICROS / 1_000_000);
                if let Some(at) = occurred_at
                    && let Err(no) = check_occurred_at(at, now, Some(oldest))
                {
                    return Ok(Err(NotEnded::Event(no)));
                }
                let event = EventId(op.new_id());
                let accept = accept(ending.tenant, row, units, occurred_at)?;
                self.events.entry(now).or_default().push((event, accept));
                row.state = to_text(HoldState::Captured);
                row.ended_at = Some(now.micros());
                row.event_id = Some(event.0);
                row.captured_units = Some(units.raw());
                row.late = i32::from(late);
                (told(late), false)
            }
        };
        if !replay {
            self.changed.insert(ending.hold);
        }
        Ok(Ok(Over {
            row: row.clone(),
            outcome,
            replay,
            now,
        }))
    }

    /// Accepts what was used; answers with events whose keys were taken. One statement, two on SQLite.
    async fn accept(&mut self, op: &Op) -> Result<HashSet<EventId>> {
        let mut taken = HashSet::new();
        for (at, events) in std::mem::take(&mut self.events) {
            taken.extend(usage::accept_in(op, events, at).await?);
        }
        Ok(taken)
    }

    /// Writes what has become of the holds, and what is set aside no more. Answers whose holds were captured. Two statements.
    async fn write(&self, op: &mut Op) -> Result<BTreeSet<CustomerId>> {
        let mut changes = Changes::default();
        let (mut rows, mut captured) = (Vec::new(), BTreeSet::new());
        for id in &self.changed {
            let Some(row) = self.rows.get(id) else { continue };
            let customer = CustomerId(row.customer_id);
            match self.held.get(id) {
                Some(credits) => changes.ended(customer, *credits),
                None => changes.touched(customer),
            }
            if row.event_id.is_some() {
                captured.insert(customer);
            }
            rows.push(row);
        }
        store::end(op, &rows).await?;
        changes.write(op).await?;
        Ok(captured)
    }
}

fn told(late: bool) -> Outcome {
    if late {
        Outcome::CapturedLate
    } else {
        Outcome::Captured
    }
}

/// The usage of a hold, as an event.
fn accept(
    tenant: TenantId,
    row: &hold::Model,
    units: Quantity,
    occurred_at: Option<Timestamp>,
) -> Result<Accept> {
    let noun = rules::Hold::try_from(row)?;
    Ok(Accept {
        tenant,
        customer: CustomerId(row.customer_id),
        metric: noun.metric,
        key: event_key(noun.id),
        units,
        occurred_at,
        properties: (noun.properties, row.properties.clone()),
    })
}

/// The idempotency key of the usage event that a hold becomes.
#[must_use]
pub fn event_key(hold: HoldId) -> String {
    format!("hold:{hold}")
}
