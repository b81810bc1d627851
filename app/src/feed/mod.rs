//! The change feed: tells whoever watches a customer that something about the balance has changed, and whoever listens to a tenant's events
//! that there are more.
//!
//! A notice carries no data; the watcher reads the rows. So a lost, doubled or late notice costs time only, and a watcher
//! that is slow sees one notice for many changes. Notices of other processes come through the database: `LISTEN` on
//! PostgreSQL, a look at the watched accounts when the file has changed on SQLite, and on both a look every
//! [`FALLBACK`] in case a notice was lost.
//!
//! On PostgreSQL the feed also proves to the gate, ten times a second, that it has heard of every change ([`Pulse`]): one statement
//! each, for any number of customers, and none while the gate remembers nobody.
//!
//! Cost: one sender and one number per watched customer; a look is one statement per [`LOOK_BATCH`] of them.

mod pulse;
mod watchers;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use domain::id::{CustomerId, TenantId};
use entity::{account, event_feed};
use sea_orm::{DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement};
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::watchers::Notices;
use self::{pulse::Pulse, watchers::Watchers};
use crate::{
    App,
    db::{Backend, Db},
    sql::among,
};

/// The PostgreSQL channel.
const CHANNEL: &str = "tallygate_account";
/// What begins the text of a notification about events.
const EVENTS: &str = "events:";
/// Ids in one notification: 33 bytes each, and PostgreSQL takes less than 8,000 bytes.
const IDS_PER_NOTICE: usize = 240;
/// How often watched accounts are looked at even without a notice.
const FALLBACK: Duration = Duration::from_secs(1);
/// How often SQLite is asked whether the file has changed: two microseconds each time.
const FILE_CHECK: Duration = Duration::from_millis(10);
/// Accounts per look; below SQLite's limit of parameters.
const LOOK_BATCH: usize = 5_000;
/// Pause before a broken listener is opened again.
const RECONNECT: Duration = Duration::from_millis(500);

/// Who watches what in this process.
#[derive(Debug, Default)]
pub struct Feed {
    accounts: Watchers<CustomerId>,
    /// The events of tenants; the revision is how far a tenant's feed goes.
    events: Watchers<TenantId>,
    /// When the listener last turned; never, before it first has.
    turned: Mutex<Option<Instant>>,
}

impl Feed {
    /// Begins to watch a customer.
    #[must_use]
    pub fn watch(&self, customer: CustomerId) -> Notices {
        self.accounts.watch(customer)
    }

    /// Begins to listen to the events of a tenant.
    #[must_use]
    pub fn watch_events(&self, tenant: TenantId) -> Notices {
        self.events.watch(tenant)
    }

    /// Tells the listeners of this process that feeds have moved on.
    pub(crate) fn moved<'a>(&self, tenants: impl IntoIterator<Item = &'a TenantId>) {
        self.events.tell(tenants);
    }

    /// How long ago it last heard of other processes, or looked in vain.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        let turned = *self
            .turned
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        turned.map_or(Duration::MAX, |when| when.elapsed())
    }

    fn turn(&self) {
        *self
            .turned
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    }

    /// Tells the watchers of this process.
    pub(crate) fn changed(&self, customers: &[CustomerId]) {
        if customers.is_empty() {
            return;
        }
        self.accounts.tell(customers);
    }

    /// Runs until stopped: hears of changes made by other processes.
    pub async fn run(app: App, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen(&app) => {}
        }
    }

    /// Looks at the accounts that are watched and the feeds that are listened to, and tells of those that have changed.
    async fn look(&self, db: &Db) -> Result<(), DbErr> {
        for batch in self.accounts.watched().chunks(LOOK_BATCH) {
            let revisions: Vec<(Uuid, i64)> = account::Entity::find()
                .select_only()
                .columns([account::Column::CustomerId, account::Column::Revision])
                .filter(among(
                    db.reader(),
                    account::Column::CustomerId,
                    batch.iter().map(|customer| customer.0),
                ))
                .into_tuple()
                .all(db.reader())
                .await?;
            let customers = revisions.into_iter();
            self.accounts
                .saw(customers.map(|(id, revision)| (CustomerId(id), revision)));
        }
        for batch in self.events.watched().chunks(LOOK_BATCH) {
            let positions: Vec<(Uuid, i64)> = event_feed::Entity::find()
                .select_only()
                .columns([event_feed::Column::TenantId, event_feed::Column::Position])
                .filter(among(
                    db.reader(),
                    event_feed::Column::TenantId,
                    batch.iter().map(|tenant| tenant.0),
                ))
                .into_tuple()
                .all(db.reader())
                .await?;
            let tenants = positions.into_iter();
            self.events
                .saw(tenants.map(|(id, position)| (TenantId(id), position)));
        }
        Ok(())
    }
}

async fn listen(app: &App) {
    loop {
        let ended = match app.db().backend() {
            Backend::Postgres => listen_postgres(app).await,
            Backend::Sqlite => listen_sqlite(app).await,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the change feed was interrupted");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_postgres(app: &App) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(app.db().writer().get_postgres_connection_pool()).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    let pulse = Pulse::begin();
    tokio::select! {
        ended = hear(app, &mut listener, &pulse) => ended,
        () = pulse.beat(app) => Ok(()),
        () = look_now_and_then(app) => Ok(()),
    }
}

/// Passes notices on until the connection is lost, and what was sent meanwhile with it.
async fn hear(app: &App, listener: &mut PgListener, pulse: &Pulse) -> Result<(), sqlx::Error> {
    while let Some(notice) = listener.try_recv().await? {
        if let Some(complete) = pulse.heard(notice.payload()) {
            app.gate().heard_all(complete);
            continue;
        }
        if let Some(tenant) = tenant(notice.payload()) {
            app.feed().moved([&tenant]);
            continue;
        }
        let changed = customers(notice.payload());
        app.gate().changed_elsewhere(&changed);
        app.feed().changed(&changed);
    }
    Ok(())
}

async fn look_now_and_then(app: &App) {
    let mut fallback = tokio::time::interval(FALLBACK);
    loop {
        fallback.tick().await;
        look(app).await;
    }
}

async fn listen_sqlite(app: &App) -> Result<(), sqlx::Error> {
    // One connection is kept: `data_version` tells of changes that others made since this connection last looked.
    let mut connection = app.db().reader().get_sqlite_connection_pool().acquire().await?;
    let mut check = tokio::time::interval(FILE_CHECK);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = -1_i64;
    let mut looked = tokio::time::Instant::now();
    loop {
        check.tick().await;
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut *connection)
            .await?;
        if version != known || looked.elapsed() > FALLBACK {
            if version != known {
                app.gate().changed_somewhere();
            }
            known = version;
            looked = tokio::time::Instant::now();
            look(app).await;
        }
    }
}

async fn look(app: &App) {
    match app.feed().look(app.db()).await {
        Ok(()) => app.feed().turn(),
        Err(error) => tracing::warn!(%error, "watched accounts could not be read"),
    }
}

/// The texts of the notifications that tell of changed customers.
pub(crate) fn payloads(customers: &[CustomerId]) -> impl Iterator<Item = String> {
    customers.chunks(IDS_PER_NOTICE).map(|chunk| {
        chunk
            .iter()
            .map(|customer| customer.0.simple().to_string())
            .collect::<Vec<_>>()
            .join(",")
    })
}

/// The text of the notification that tells of a feed that has moved on.
pub(crate) fn published(tenant: &TenantId) -> String {
    format!("{EVENTS}{}", tenant.0.simple())
}

fn tenant(payload: &str) -> Option<TenantId> {
    let id = payload.strip_prefix(EVENTS)?;
    Uuid::parse_str(id).ok().map(TenantId)
}

fn customers(payload: &str) -> Vec<CustomerId> {
    payload
        .split(',')
        .filter_map(|id| Uuid::parse_str(id).ok())
        .map(CustomerId)
        .collect()
}

/// The statement that sends a notification when its transaction commits.
pub(crate) fn notification(payload: String) -> Statement {
    Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_notify($1, $2)",
        [CHANNEL.into(), payload.into()],
    )
}
