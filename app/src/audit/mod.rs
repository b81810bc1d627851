//! The audit: proves from the rows that the books add up, again and again, and says so when they do not.
//!
//! Two ways of looking, one set of checks ([`checks`]). **Incremental**, every minute by a worker: the customers whose account has
//! changed since it was last found sound, from the entry where that was. **Full**, on demand: everybody, from the first entry on.
//! Each batch of customers is read in a read-only snapshot of its own, so that no snapshot is held for long.
//!
//! A violation about money freezes the customer: grants, corrections and revocations are refused (`CUSTOMER_FROZEN`) until it is
//! gone, or until an operator has looked and lets go ([`release`]). Usage is accepted and debited all the same, and blocks
//! expire: the service goes on, and what damaged totals would allow is bounded by the drain, which refuses books that disagree.

mod books;
mod checks;
mod store;
mod view;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use domain::{
    id::{CustomerId, TenantId},
    rejection::Rejection,
    time::Timestamp,
};
use entity::audit_run;
use sea_orm::{ActiveValue::Set, Value};
use uuid::Uuid;

use self::checks::{Finding, house};
pub use self::{
    checks::{Check, Severity},
    view::{Run, Seen, Standing, Violation, ViolationId, ViolationState},
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    op::Op,
    page::{Page, Slice},
};

/// Pause between two incremental runs, in seconds.
const EVERY_SECONDS: i64 = 60;
/// How long an incremental run takes more customers. What is left is the next run's.
const BUDGET: Duration = Duration::from_secs(2);
/// Customers that an incremental run takes on.
const MAX_CHANGED: u64 = 20_000;
/// Customers in one snapshot.
const BATCH: usize = 200;
/// Violations that a run tells whoever has started it.
const MAX_SHOWN: usize = 100;
/// Customers of a full run on behalf of an API request; more is for the command line.
const MAX_ON_REQUEST: i64 = 1_000;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What is new since it was last found sound.
    Incremental,
    /// Everything.
    Full,
}

impl Mode {
    /// The name used in rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "INCREMENTAL",
            Self::Full => "FULL",
        }
    }
}

/// Whose books are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Everybody's.
    All,
    /// Those of a tenant's customers.
    Tenant(TenantId),
    /// Those of one customer.
    Customer(TenantId, CustomerId),
}

impl Reached {
    fn tenant(self) -> Option<TenantId> {
        match self {
            Self::All => None,
            Self::Tenant(tenant) | Self::Customer(tenant, _) => Some(tenant),
        }
    }

    /// As a condition on two columns, with its values from `$1` on.
    fn condition(self, tenant: &str, customer: &str) -> (String, Vec<Value>) {
        match self {
            Self::All => ("1 = 1".to_owned(), Vec::new()),
            Self::Tenant(id) => (format!("{tenant} = $1"), vec![id.0.into()]),
            Self::Customer(id, one) => (
                format!("{tenant} = $1 AND {customer} = $2"),
                vec![id.0.into(), one.0.into()],
            ),
        }
    }
}

/// A run under way.
struct Running<'a> {
    app: &'a App,
    id: Uuid,
    mode: Mode,
    started_at: Timestamp,
    customers: i64,
    entries: i64,
    events: i64,
    found: BTreeMap<Check, i64>,
    first: Vec<Seen>,
}

impl<'a> Running<'a> {
    async fn begin(app: &'a App, mode: Mode, reached: Reached) -> Result<Self> {
        let op = Op::begin(app).await?;
        let started_at = op.now();
        let id = store::begin_run(&op, mode, reached.tenant()).await?;
        op.commit().await?;
        Ok(Self {
            app,
            id,
            mode,
            started_at,
            customers: 0,
            entries: 0,
            events: 0,
            found: BTreeMap::new(),
            first: Vec::new(),
        })
    }

    /// Looks at a batch of customers and keeps what was found. One snapshot, one transaction.
    async fn look(&mut self, customers: &[Uuid]) -> Result<()> {
        let begun = self.app.now();
        let looked = books::look(self.app, customers, self.mode).await?;
        self.customers += i64::try_from(customers.len()).unwrap_or(i64::MAX);
        self.entries += looked.entries;
        self.events += looked.events;
        let op = Op::begin(self.app).await?;
        self.keep(&op, &looked.findings).await?;
        store::put_marks(&op, &looked.marks).await?;
        store::resolve_customers(&op, customers, self.mode, begun).await?;
        let frozen = store::freeze(&op, customers).await?;
        op.commit().await?;
        for customer in frozen {
            tracing::error!(customer = %CustomerId(customer), "the customer is frozen: its books do not add up");
        }
        Ok(())
    }

    /// Looks at what belongs to no single customer.
    async fn look_at_house(&mut self) -> Result<()> {
        let begun = self.app.now();
        let tx = crate::op::snapshot(self.app).await?;
        let found = house::findings(&tx, begun.micros()).await?;
        tx.commit().await?;
        let op = Op::begin(self.app).await?;
        self.keep(&op, &found).await?;
        store::resolve_house(&op, begun).await?;
        let touched: Vec<Uuid> = found.iter().filter_map(store::freezes).collect();
        store::freeze(&op, &touched).await?;
        op.commit().await
    }

    async fn keep(&mut self, op: &Op, findings: &[Finding]) -> Result<()> {
        for it in findings {
            *self.found.entry(it.check).or_default() += 1;
            if self.first.len() < MAX_SHOWN {
                self.first.push(it.into());
            }
            let (check, subject, message) = (it.check.id(), it.subject.as_str(), it.message.as_str());
            match it.check.severity() {
                Severity::S1 => tracing::error!(check, subject, message, "the books do not add up"),
                Severity::S2 => tracing::warn!(check, subject, message, "something is late"),
            }
        }
        store::put_findings(op, findings, self.mode).await
    }

    async fn end(self, remaining: i64) -> Result<Run> {
        let op = Op::begin(self.app).await?;
        let finished_at = op.now();
        let violations = self.found.values().sum();
        let row = audit_run::ActiveModel {
            id: Set(self.id),
            customers: Set(self.customers),
            entries: Set(self.entries),
            events: Set(self.events),
            violations: Set(violations),
            remaining: Set(remaining),
            finished_at: Set(Some(finished_at.micros())),
            ..Default::default()
        };
        store::end_run(&op, row).await?;
        op.commit().await?;
        Ok(Run {
            mode: self.mode,
            customers: self.customers,
            entries: self.entries,
            events: self.events,
            violations,
            remaining,
            started_at: self.started_at,
            finished_at,
            found: self.found.into_iter().collect(),
            first: self.first,
        })
    }
}

/// Looks at what has changed, for about two seconds.
///
/// # Errors
/// The database is out of reach; the next run goes on where this one stopped.
pub async fn incremental(app: &App, reached: Reached) -> Result<Run> {
    let budget = Instant::now();
    let mut run = Running::begin(app, Mode::Incremental, reached).await?;
    let changed = store::changed(app.db().reader(), reached, MAX_CHANGED).await?;
    if reached == Reached::All {
        run.look_at_house().await?;
    }
    let mut left = &changed[..];
    while !left.is_empty() && budget.elapsed() < BUDGET {
        let (batch, rest) = left.split_at(left.len().min(BATCH));
        run.look(batch).await?;
        left = rest;
    }
    run.end(i64::try_from(left.len()).unwrap_or(i64::MAX)).await
}

/// Looks at everything. `progress` hears how many customers are done, of how many.
///
/// # Errors
/// The database is out of reach. What was found until then is kept.
pub async fn full(app: &App, reached: Reached, mut progress: impl FnMut(i64, i64)) -> Result<Run> {
    let mut run = Running::begin(app, Mode::Full, reached).await?;
    let all = store::count_customers(app.db().reader(), reached).await?;
    if reached == Reached::All {
        run.look_at_house().await?;
    }
    let mut after = Uuid::nil();
    loop {
        progress(run.customers, all);
        let batch = store::customers_after(app.db().reader(), reached, after, BATCH as u64).await?;
        let Some(last) = batch.last() else { break };
        after = *last;
        run.look(&batch).await?;
    }
    run.end(0).await
}

/// Whether an incremental run is due.
pub(crate) async fn is_due(app: &App) -> Result<bool> {
    let last = store::last_run(app.db().reader(), Mode::Incremental, None).await?;
    let due = app.now().plus_seconds(-EVERY_SECONDS).micros();
    // A clock that was set back must not stop the audit.
    Ok(last.is_none_or(|run| run.started_at <= due || run.started_at > app.now().micros()))
}

/// How the audit of a tenant stands.
///
/// # Errors
/// The scope is missing.
pub async fn standing(app: &App, actor: &Actor) -> Result<Standing> {
    actor.require_for_all(Scope::OperationsRead)?;
    let db = app.db().reader();
    let tenant = Some(actor.tenant);
    let waiting = store::changed(db, Reached::Tenant(actor.tenant), MAX_CHANGED)
        .await?
        .len();
    Ok(Standing {
        incremental: store::last_run(db, Mode::Incremental, tenant)
            .await?
            .map(Run::from),
        full: store::last_run(db, Mode::Full, tenant).await?.map(Run::from),
        waiting: i64::try_from(waiting).unwrap_or(i64::MAX),
        as_of: app.now(),
    })
}

/// The violations that a tenant may see, oldest first: its own, and those of the installation.
///
/// # Errors
/// The scope is missing.
pub async fn violations(
    app: &App,
    actor: &Actor,
    resolved_too: bool,
    page: Page<ViolationId>,
) -> Result<Slice<Violation>> {
    actor.require_for_all(Scope::OperationsRead)?;
    store::violations(app.db().reader(), actor.tenant, resolved_too, page)
        .await?
        .try_map(Violation::try_from)
}

/// Runs an audit on behalf of a tenant. A full one is refused for a tenant with many customers: it is the command line's.
///
/// # Errors
/// The scope is missing, no such customer, or too many of them.
pub async fn run(app: &App, actor: &Actor, mode: Mode, who: Option<&CustomerRef>) -> Result<Run> {
    actor.require_for_all(Scope::OperationsWrite)?;
    let reached = match who {
        Some(who) => {
            let id = customer::resolve(app.db().reader(), actor.reach(), who).await?;
            Reached::Customer(actor.tenant, id)
        }
        None => Reached::Tenant(actor.tenant),
    };
    match mode {
        Mode::Incremental => incremental(app, reached).await,
        Mode::Full => {
            if store::count_customers(app.db().reader(), reached).await? > MAX_ON_REQUEST {
                let message = format!(
                    "a full audit of more than {MAX_ON_REQUEST} customers is run by the command line: `tallygate audit`"
                );
                return Err(Rejection::invalid("mode", message).into());
            }
            full(app, reached, |_, _| ()).await
        }
    }
}

/// Lets a frozen customer go on although its violations are still there. Answers how many there are.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn release(app: &App, actor: &Actor, who: &CustomerRef) -> Result<u64> {
    actor.require_for_all(Scope::OperationsWrite)?;
    let mut op = Op::begin(app).await?;
    let id = customer::resolve(op.tx(), actor.reach(), who).await?;
    op.lock_accounts(&[id]).await?;
    let released = store::release(&op, actor.tenant, id).await?;
    store::freeze(&op, &[id.0]).await?;
    op.commit().await?;
    tracing::warn!(customer = %id, released, "a frozen customer was released by an operator");
    Ok(released)
}

/// Open violations per check, zero for those without any; and when the last incremental run ended.
///
/// # Errors
/// The database is out of reach.
pub async fn figures(app: &App) -> Result<(Vec<(Check, i64)>, Option<Timestamp>)> {
    let db = app.db().reader();
    let open = store::open_counts(db).await?;
    let count = |check: &Check| (*check, open.get(check.id()).copied().unwrap_or(0));
    let last = store::last_run(db, Mode::Incremental, None).await?;
    let ended = last.and_then(|run| run.finished_at).map(Timestamp::from_micros);
    Ok((Check::ALL.iter().map(count).collect(), ended))
}
