//! Use-cases: the only place where transactions begin and end.
//!
//! | room | what can be done |
//! |---|---|
//! | [`access`] | tenants, API keys, authentication |
//! | [`catalog`] | metrics, metering rules, plans, price previews |
//! | [`customer`] | customers and their terms |
//! | [`credit`] | grants, adjustments, revocation, expiry, ledger, live balance |
//! | [`usage`] | record, drain, void, summarise |
//! | [`audit`] | prove that the books add up |
//! | [`subscription`] | plans that customers have agreed to, their cycles, and what time makes due of them |
//! | [`payment`] | ways to pay, purchases, what has become of payments |
//! | [`invoice`] | what customers are asked to pay, taxes, collection, credit notes |
//! | [`recharge`] | buying credits when the balance runs low |
//! | [`spend`] | how much customers want to spend, and what they have spent |
//! | [`test_clock`] | time that is set by hand, for customers of test tenants |
//! | [`event`] | what vendors are told: the feed, and the stream of it |
//! | [`notify`] | whom vendors write to, and what has become of each letter |
//! | [`webhook`] | who is told over HTTP, and what has become of each message |
//! | [`gate`] | may this customer go on? |
//! | [`hold`] | credits set aside for work that is running |
//! | [`job`] | what the workers run, what is overdue, what needs a person |
//!
//! Each room has `mod.rs` (what can be done), `store.rs` (its SQL, private) and `view.rs` (what is read). Rooms call each
//! other through functions that take the open operation (`*_in`), and never share a store.

pub mod access;
pub mod actor;
pub mod audit;
pub mod catalog;
pub mod clock;
pub mod credit;
pub mod customer;
pub mod db;
pub mod error;
pub mod event;
pub mod failpoint;
pub mod feed;
pub mod gate;
mod gathered;
pub mod health;
pub mod hold;
pub mod idempotency;
pub mod invoice;
pub mod job;
mod measure;
pub mod notify;
mod op;
pub mod page;
pub mod payment;
pub mod recharge;
pub mod spend;
mod sql;
pub mod subscription;
pub mod telemetry;
pub mod test_clock;
pub mod usage;
mod waker;
pub mod webhook;

use std::sync::Arc;

use domain::{id::TenantId, time::Timestamp, usage::limits::DEFAULT_BACK_DATE_DAYS};
use gateway::{
    mail::Post,
    payment::{
        Providers,
        sandbox::{self, Sandbox},
    },
    public::PublicUrl,
    tax::TaxRegister,
    webhook::Webhooks,
};
use tokio::sync::OnceCell;

pub use crate::{
    actor::{Actor, Credential, Reach, Scope},
    error::{Error, Result},
};
use crate::{
    catalog::shelf::Shelf,
    clock::{Clock, Ids, SystemClock},
    credit::desk::{self, Desk},
    db::Db,
    feed::Feed,
    job::Queue,
    job::drain::Shard,
    usage::{
        collector::{self, Collector},
        directory::Directory,
    },
    waker::Waker,
};

/// What an operator may set.
#[derive(Clone)]
pub struct Limits {
    /// How long ago an event may have happened, in days. Must stay below the time that idempotency keys are kept.
    pub back_date_days: i64,
    /// What the gate says when it does not know.
    pub gate: gate::Policy,
    /// Payment providers besides the sandbox, which is always there.
    pub providers: Providers,
    /// Who is asked whether tax numbers exist; `None`: nobody.
    pub tax_register: Option<Arc<dyn TaxRegister>>,
    /// How many days events, and what became of their messages, are kept after they were written.
    pub event_retention_days: i64,
    /// What the secrets of webhook endpoints are derived from; `None`: one that is kept in the database.
    pub webhook_root: Option<webhook::Root>,
    /// Who takes letters away; `None`: they are kept to be read.
    pub post: Option<Arc<dyn Post>>,
    /// Where people reach the API, for addresses in letters; `None`: nobody has said, and letters have none.
    pub public_url: Option<PublicUrl>,
    /// Who sends webhooks; `None`: they wait.
    pub webhooks: Option<Arc<Webhooks>>,
}

/// How many days events are kept unless somebody says otherwise.
pub const DEFAULT_EVENT_RETENTION_DAYS: i64 = 90;

impl Default for Limits {
    fn default() -> Self {
        Self {
            back_date_days: DEFAULT_BACK_DATE_DAYS,
            gate: gate::Policy::default(),
            providers: Providers::default(),
            tax_register: None,
            event_retention_days: DEFAULT_EVENT_RETENTION_DAYS,
            webhook_root: None,
            post: None,
            public_url: None,
            webhooks: None,
        }
    }
}

/// The application: what every use-case is given. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    db: Db,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    limits: Limits,
    providers: Providers,
    feed: Feed,
    keys: access::Cache,
    sentry: Arc<access::Sentry>,
    directory: Directory,
    collector: Collector,
    shards: Waker<Shard>,
    feeds: Waker<TenantId>,
    shelf: Shelf,
    gate: gate::Memory,
    holds: hold::Holds,
    desk: Desk,
    webhook_root: OnceCell<webhook::Root>,
}

impl App {
    /// The application over an open, migrated database. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(db: Db, queue: Arc<dyn Queue>, limits: Limits) -> Self {
        Self::with_clock(db, queue, limits, Arc::new(SystemClock))
    }

    /// The application with a clock of the caller's choice.
    #[must_use]
    pub fn with_clock(db: Db, queue: Arc<dyn Queue>, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let (collector, requests) = Collector::new();
        let (gate, wanted) = gate::Memory::new();
        let (holds, holding) = hold::Holds::new();
        let (desk, questions) = Desk::new();
        let sandbox = Sandbox::new(payment::SandboxRows::new(db.clone(), clock.clone()));
        let inner = Arc::new(Inner {
            db,
            queue,
            clock,
            ids: Ids::default(),
            providers: limits.providers.clone().with(sandbox::KEY, sandbox),
            limits,
            feed: Feed::default(),
            keys: access::Cache::default(),
            sentry: Arc::default(),
            directory: Directory::default(),
            collector,
            shards: Waker::default(),
            feeds: Waker::default(),
            shelf: Shelf::default(),
            gate,
            holds,
            desk,
            webhook_root: OnceCell::new(),
        });
        tokio::spawn(collector::run(Arc::downgrade(&inner), requests));
        tokio::spawn(desk::run(Arc::downgrade(&inner), questions));
        tokio::spawn(inner.sentry.clone().run(Arc::downgrade(&inner)));
        tokio::spawn(gate::run(Arc::downgrade(&inner), wanted));
        tokio::spawn(hold::run(Arc::downgrade(&inner), holding));
        Self(inner)
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What tells watchers that a balance has changed.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Accepted events of this process that are not written yet.
    #[must_use]
    pub fn waiting_events(&self) -> usize {
        self.0.collector.waiting()
    }

    pub(crate) fn queue(&self) -> &dyn Queue {
        self.0.queue.as_ref()
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    pub(crate) fn keys(&self) -> &access::Cache {
        &self.0.keys
    }

    pub(crate) fn sentry(&self) -> &access::Sentry {
        &self.0.sentry
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(crate) fn collector(&self) -> &Collector {
        &self.0.collector
    }

    pub(crate) fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    pub(crate) fn shards(&self) -> &Waker<Shard> {
        &self.0.shards
    }

    pub(crate) fn feeds(&self) -> &Waker<TenantId> {
        &self.0.feeds
    }

    pub(crate) fn gate(&self) -> &gate::Memory {
        &self.0.gate
    }

    pub(crate) fn webhook_root(&self) -> &OnceCell<webhook::Root> {
        &self.0.webhook_root
    }

    pub(crate) fn holds(&self) -> &hold::Holds {
        &self.0.holds
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }
}
