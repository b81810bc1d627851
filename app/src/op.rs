//! An operation: one transaction, one instant, and what must be told once it has committed.
//!
//! Transactions are opened and committed nowhere else. The rhythm of every use-case is: authorize, begin, read, decide (one
//! pure function of `domain`), write, commit.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use domain::{
    id::{CustomerId, TenantId, TestClockId},
    time::Timestamp,
};
use entity::account;
use metrics::{counter, histogram};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, EntityTrait, IsolationLevel, QueryFilter, QueryOrder,
    QuerySelect, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tracing::Span;
use uuid::Uuid;

use crate::{
    App, db::Backend, error::Result, failpoint::reach, feed, job::Wakeup, sql::among, telemetry as t,
    test_clock,
};

/// Measures a transaction from asking for its connection to its end.
struct Watch {
    begun: Instant,
    committed: bool,
    /// Ends with the transaction.
    _span: Span,
}

impl Watch {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            committed: false,
            _span: tracing::debug_span!(target: t::TRACE, "transaction"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let outcome = if self.committed { "committed" } else { "taken_back" };
        counter!(t::TRANSACTIONS, "outcome" => outcome).increment(1);
        histogram!(t::TRANSACTION_SECONDS).record(self.begun.elapsed().as_secs_f64());
    }
}

/// Opens a transaction that only reads, and sees one moment however many statements it has. Dropping it ends it.
pub(crate) async fn snapshot(app: &App) -> Result<DatabaseTransaction> {
    // SQLite has no other isolation than this one, and a transaction that begins by reading is all it needs.
    let options = match app.db().backend() {
        Backend::Postgres => TransactionOptions {
            isolation_level: Some(IsolationLevel::RepeatableRead),
            access_mode: Some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        },
        Backend::Sqlite => TransactionOptions::default(),
    };
    Ok(app.db().reader().begin_with_options(options).await?)
}

/// Runs one statement that is a transaction by itself, which saves the two round trips of beginning and committing one.
///
/// # Errors
/// That of the statement. Whether it has been committed is known only if the database has said so.
pub(crate) async fn alone<T>(statement: impl Future<Output = Result<T>>) -> Result<T> {
    let mut watch = Watch::begin();
    reach("op.notified")?;
    let answer = statement.await?;
    watch.committed = true;
    reach("op.committed")?;
    Ok(answer)
}

/// An open transaction. Dropping it takes everything back.
pub(crate) struct Op {
    watch: Watch,
    tx: DatabaseTransaction,
    app: App,
    now: Timestamp,
    /// What the test clock shows that the locked customer lives by.
    clock: Option<Timestamp>,
    changed: Vec<CustomerId>,
    wakeups: Vec<Wakeup>,
    /// Tenants with events that are to be published.
    told: Mutex<BTreeSet<TenantId>>,
    /// Tenants whose feed has moved on.
    published: BTreeSet<TenantId>,
}

impl Op {
    /// Opens a transaction at the present instant.
    pub(crate) async fn begin(app: &App) -> Result<Self> {
        // IMMEDIATE: a SQLite transaction that first reads and then writes would fail instead of waiting.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let watch = Watch::begin();
        let tx = app.db().writer().begin_with_options(options).await?;
        histogram!(t::CONNECTION_WAIT).record(watch.begun.elapsed().as_secs_f64());
        Ok(Self {
            watch,
            tx,
            app: app.clone(),
            now: app.now(),
            clock: None,
            changed: Vec::new(),
            wakeups: Vec::new(),
            told: Mutex::default(),
            published: BTreeSet::new(),
        })
    }

    /// Opens a transaction whose loss would cost time only: it is about wake-ups and the runs of jobs, which rows that last tell
    /// again. Its commit does not wait for PostgreSQL's disk; a crash of the server may take back the last second of such
    /// transactions, whole and in order. Nothing of usage, credits or keys may be in it, nor the parking of work. One statement.
    ///
    /// On SQLite it is like any other: how a connection commits cannot be changed while it is used.
    pub(crate) async fn begin_passing(app: &App) -> Result<Self> {
        let op = Self::begin(app).await?;
        if app.db().backend() == Backend::Postgres {
            op.tx
                .execute_unprepared("SET LOCAL synchronous_commit = off")
                .await?;
        }
        Ok(op)
    }

    /// The transaction, for the rooms' stores.
    pub(crate) fn tx(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// The instant of the operation: when something is written.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The instant that decides for the customer whose account is locked: what its test clock shows, or else that of the operation.
    pub(crate) fn present(&self) -> Timestamp {
        self.clock.unwrap_or(self.now)
    }

    /// A new id of the operation's instant.
    pub(crate) fn new_id(&self) -> Uuid {
        self.app.ids().next(self.now)
    }

    /// What the test clock shows that the locked customer lives by; `None`: it lives by the clock on the wall.
    pub(crate) fn own_time(&self) -> Option<Timestamp> {
        self.clock
    }

    /// Locks accounts in id order, so that two operations cannot wait for each other, and moves the operation's instant to
    /// after the wait: what happened under the lock before us happened earlier. One statement.
    pub(crate) async fn lock_accounts(&mut self, customers: &[CustomerId]) -> Result<Vec<account::Model>> {
        let ids = customers.iter().map(|customer| customer.0);
        let accounts = account::Entity::find()
            .filter(among(&self.tx, account::Column::CustomerId, ids))
            .order_by_asc(account::Column::CustomerId)
            .lock_exclusive()
            .all(&self.tx)
            .await?;
        self.refresh();
        Ok(accounts)
    }

    /// Moves the operation's instant to the present: after a wait for a lock.
    pub(crate) fn refresh(&mut self) {
        self.now = self.app.now().max(self.now);
    }

    /// Locks the account of one customer of a tenant. `None`: no such customer. One statement, two for one with a test clock.
    pub(crate) async fn lock_account(
        &mut self,
        tenant: TenantId,
        customer: CustomerId,
    ) -> Result<Option<account::Model>> {
        let accounts = self.lock_accounts(&[customer]).await?;
        let account = accounts.into_iter().find(|account| account.tenant_id == tenant.0);
        if let Some(clock) = account.as_ref().and_then(|account| account.clock_id) {
            let clock = TestClockId(clock);
            self.clock = test_clock::times(&self.tx, &[clock]).await?.remove(&clock);
        }
        Ok(account)
    }

    /// Notes that what can be seen of a customer's balance has changed.
    pub(crate) fn changed(&mut self, customer: CustomerId) {
        self.changed.push(customer);
    }

    /// Notes that there are events to publish.
    pub(crate) fn told(&self, tenants: impl Iterator<Item = TenantId>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(tenants);
    }

    /// Notes that events have been published.
    pub(crate) fn published(&mut self, tenant: TenantId) {
        self.published.insert(tenant);
    }

    /// Adds a wake-up that exists if and only if the operation commits.
    pub(crate) fn wake(&mut self, wakeup: Wakeup) {
        self.wakeups.push(wakeup);
    }

    /// Takes everything back, and waits until that has happened.
    pub(crate) async fn abandon(self) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }

    /// Commits, then tells the watchers of this process; those of other processes hear it from the database.
    pub(crate) async fn commit(mut self) -> Result<()> {
        if !self.wakeups.is_empty() {
            self.app.queue().push(&self.tx, &self.wakeups).await?;
            reach("op.pushed")?;
        }
        if Backend::of(&self.tx) == Backend::Postgres {
            let changed = feed::payloads(&self.changed);
            for payload in changed.chain(self.published.iter().map(feed::published)) {
                self.tx.execute_raw(feed::notification(payload)).await?;
            }
        }
        reach("op.notified")?;
        self.tx.commit().await?;
        reach("op.committed")?;
        self.watch.committed = true;
        // The gate first: whoever is told by the feed may ask at once.
        self.app.gate().changed_here(&self.changed);
        self.app.feed().changed(&self.changed);
        self.app.feed().moved(&self.published);
        let told = self.told.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.app.feeds().touched(&self.app, told);
        Ok(())
    }
}
