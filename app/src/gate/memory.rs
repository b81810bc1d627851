//! The customers that were asked about, in memory, and the task that reads them.
//!
//! One task reads for everybody: while a read is under way further customers gather, and the next read takes all of them.
//! Nothing lingers, so a lone customer is read at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use domain::{
    id::{CustomerId, TenantId},
    time::Timestamp,
    usage::event::PendingEvent,
};
use quick_cache::sync::Cache;
use tokio::sync::mpsc;

use super::{
    entry::{Answer, Asked, Entry},
    load,
};
use crate::{App, Inner};

/// Customers remembered: a few kilobytes each.
const CUSTOMERS: usize = 50_000;
/// Customers in one read.
const BATCH: usize = 500;
/// How long a caller waits for a read before it is told that nothing is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// What this process remembers for the gate.
pub(crate) struct Memory {
    customers: Cache<CustomerId, Arc<Entry>>,
    wanted: mpsc::UnboundedSender<Wanted>,
    heard: Mutex<Heard>,
}

/// What the change feed has said of everybody at once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Heard {
    /// When the database changed last without telling where; `None` where notices name the accounts.
    pub(super) unrest: Option<Instant>,
    /// Of which time every change was heard; `None` where notices name nobody, or while nothing is heard.
    pub(super) complete: Option<Complete>,
}

/// A time of which every change of every account was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Complete {
    /// What was read after this instant has been followed since.
    pub(crate) since: Instant,
    /// Changes committed before this instant were heard.
    pub(crate) until: Instant,
    /// The same as an instant of the operation's clock.
    pub(crate) as_of: Timestamp,
}

/// A customer that is to be read.
pub(crate) struct Wanted {
    pub(super) customer: CustomerId,
    pub(super) entry: Arc<Entry>,
}

impl Memory {
    /// An empty memory, and the end that [`run`] reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Wanted>) {
        let (wanted, receiver) = mpsc::unbounded_channel();
        let memory = Self {
            customers: Cache::new(CUSTOMERS),
            wanted,
            heard: Mutex::default(),
        };
        (memory, receiver)
    }

    /// Usage that this process has accepted counts from now on. Called after the commit.
    pub(crate) fn accepted(&self, customer: CustomerId, event: impl FnOnce() -> PendingEvent) {
        // Of a customer that is not remembered, the first read will show it.
        if let Some(entry) = self.customers.peek(&customer) {
            entry.accepted(event());
        }
    }

    /// This process has changed accounts. Called after the commit and before the caller is answered.
    pub(crate) fn changed_here(&self, customers: &[CustomerId]) {
        for entry in customers
            .iter()
            .filter_map(|customer| self.customers.peek(customer))
        {
            entry.changed_here();
        }
    }

    /// Another process has changed accounts. Those that are asked about a lot are read before the next question.
    pub(crate) fn changed_elsewhere(&self, customers: &[CustomerId]) {
        let heard = self.heard();
        for customer in customers {
            if let Some(entry) = self.customers.peek(customer)
                && entry.changed_elsewhere(&heard)
            {
                self.ask(*customer, &entry);
            }
        }
    }

    /// Something in the database has changed, nobody says what: everything is confirmed before long.
    pub(crate) fn changed_somewhere(&self) {
        self.hear().unrest = Some(Instant::now());
    }

    /// Whoever is not told to have changed has not. Called in the order of the notices.
    pub(crate) fn heard_all(&self, complete: Complete) {
        self.hear().complete = Some(complete);
    }

    /// Whether nobody is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    /// What the change feed has said last.
    pub(super) fn heard(&self) -> Heard {
        *self.hear()
    }

    fn hear(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a customer; nothing yet, when it is new here.
    pub(super) fn entry(&self, tenant: TenantId, customer: CustomerId) -> Arc<Entry> {
        if let Some(entry) = self.customers.get(&customer) {
            return entry;
        }
        let fresh = Arc::new(Entry::new(tenant));
        match self
            .customers
            .get_or_insert_with(&customer, || Ok::<_, ()>(fresh.clone()))
        {
            Ok(entry) => entry,
            Err(()) => fresh,
        }
    }

    /// Has a customer read soon.
    pub(super) fn ask(&self, customer: CustomerId, entry: &Arc<Entry>) {
        if entry.ask() {
            let entry = entry.clone();
            // Fails only when the application is being dropped.
            let _ = self.wanted.send(Wanted { customer, entry });
        }
    }

    /// Answers at once or after a read.
    pub(super) async fn answer(&self, customer: CustomerId, entry: &Arc<Entry>, asked: &Asked<'_>) -> Answer {
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            // Listens before it looks, so that a read that ends in between is heard.
            let read = entry.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            match entry.answer(asked) {
                Answer::Wait => self.ask(customer, entry),
                answer => return answer,
            }
            tokio::select! {
                () = read => {}
                () = &mut deadline => return Answer::Unknown,
            }
        }
    }
}

/// Reads what is asked for until the application is dropped.
pub(crate) async fn run(app: Weak<Inner>, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
    while let Some(first) = wanted.recv().await {
        let Some(app) = app.upgrade().map(App) else { return };
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = wanted.try_recv()
        {
            batch.push(next);
        }
        // In a task of its own: should it panic, its callers run out of patience and the next batch is read all the same.
        let _ = tokio::spawn(async move { load::read(&app, batch).await }).await;
    }
}
