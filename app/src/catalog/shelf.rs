//! The catalogs of tenants in memory: what usage is recorded against and what the gate counts with.
//!
//! A tenant's catalog has a number that grows with every change. It is compared behind the caller's back before what we know
//! is too old; only a caller that finds nothing fresh waits. One statement when nothing has changed, six when it has.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{id::TenantId, time::Timestamp};

use super::{PriceList, price_list_in, version_in};
use crate::{App, error::Result};

/// How old what we answer from may be.
const MAX_AGE: Duration = Duration::from_secs(1);
/// When it is compared, so that nobody waits for it.
const CONFIRM_AFTER: Duration = Duration::from_millis(300);
/// Tenants remembered: as large as their catalogs. More are read anew.
const TENANTS: usize = 1_000;

/// The price lists of the tenants that were asked about.
#[derive(Default)]
pub(crate) struct Shelf {
    known: Mutex<HashMap<TenantId, Arc<Known>>>,
    /// Counts the changes made by this process, so that a look begun before one is not kept.
    changes: AtomicU64,
}

/// One tenant's prices, and until when they may be believed.
pub(crate) struct Known {
    pub(crate) list: Arc<PriceList>,
    pub(crate) as_of: Timestamp,
    confirmed: Instant,
    confirming: AtomicBool,
}

impl Shelf {
    /// A tenant's prices, no older than [`MAX_AGE`].
    pub(crate) async fn of(&self, app: &App, tenant: TenantId) -> Result<Arc<Known>> {
        if let Some(known) = self.fresh(app, tenant) {
            return Ok(known);
        }
        self.anew(app, tenant).await
    }

    /// The same, read now: for a caller that knows of something that is not on the list.
    pub(crate) async fn anew(&self, app: &App, tenant: TenantId) -> Result<Arc<Known>> {
        // Seldom needed, so that what asks takes room for it then.
        Box::pin(refresh(app, tenant)).await
    }

    /// The same, if it takes no wait.
    fn fresh(&self, app: &App, tenant: TenantId) -> Option<Arc<Known>> {
        let known = self.lock().get(&tenant).cloned()?;
        let age = known.confirmed.elapsed();
        if age > CONFIRM_AFTER && !known.confirming.swap(true, Ordering::Relaxed) {
            let app = app.clone();
            tokio::spawn(async move {
                if let Err(error) = refresh(&app, tenant).await {
                    tracing::warn!(%error, "prices could not be confirmed");
                }
            });
        }
        (age <= MAX_AGE).then_some(known)
    }

    /// A tenant's prices as they were last seen.
    fn last(&self, tenant: TenantId) -> Option<Arc<Known>> {
        self.lock().get(&tenant).cloned()
    }

    /// Forgets a tenant's prices after a change in this process.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.lock().remove(&tenant);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn refresh(app: &App, tenant: TenantId) -> Result<Arc<Known>> {
    let prices = app.shelf();
    let (confirmed, as_of) = (Instant::now(), app.now());
    let changes = prices.changes.load(Ordering::Acquire);
    let last = prices.last(tenant);
    let looked = look(app, tenant, last.as_deref()).await;
    // Whether this is kept or not: the next one may try again.
    if let Some(last) = &last {
        last.confirming.store(false, Ordering::Relaxed);
    }
    let known = Arc::new(Known {
        list: looked?,
        as_of,
        confirmed,
        confirming: AtomicBool::new(false),
    });
    let mut all = prices.lock();
    let outrun = all
        .get(&tenant)
        .is_some_and(|present| present.confirmed > confirmed);
    if !outrun && prices.changes.load(Ordering::Acquire) == changes {
        all.insert(tenant, known.clone());
        make_room(&mut all);
    }
    Ok(known)
}

/// Forgets the tenant that was not asked about for longest, if there are too many.
fn make_room(all: &mut HashMap<TenantId, Arc<Known>>) {
    if all.len() > TENANTS
        && let Some(oldest) = all
            .iter()
            .min_by_key(|(_, known)| known.confirmed)
            .map(|(tenant, _)| *tenant)
    {
        all.remove(&oldest);
    }
}

async fn look(app: &App, tenant: TenantId, last: Option<&Known>) -> Result<Arc<PriceList>> {
    let db = app.db().reader();
    let version = version_in(db, tenant).await?;
    match last {
        Some(known) if known.list.version == version => Ok(known.list.clone()),
        _ => Ok(Arc::new(price_list_in(db, tenant).await?)),
    }
}
