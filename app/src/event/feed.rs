//! The feed: what was told, in an order that stays, for whoever asks for it or listens.

use std::{collections::VecDeque, time::Duration};

use domain::{event::EventType, id::TenantId, rejection::Rejection};
use futures::{Stream, stream};

use super::{
    BillingEvent,
    store::{self, Stretch},
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    feed::Notices,
};

/// Most events of one page.
pub const MAX_FEED_PAGE: u64 = 1_000;
/// Events that one look for some types goes through: so many cost some ten milliseconds, whoever asks for what hardly ever happens. Types have
/// no index of their own, because whoever tells something would have to pay for it.
pub const MAX_LOOKED_THROUGH: i64 = 10_000;
/// Events that a stream reads at once.
const STREAM_BATCH: u64 = 100;
/// Pause after a read that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Some events of the feed, and from where to go on.
#[derive(Debug, Clone)]
pub struct FeedPage {
    /// The events, in order.
    pub events: Vec<BillingEvent>,
    /// What to ask for next: everything up to this number has been seen.
    pub position: i64,
    /// Whether more is there already.
    pub has_more: bool,
}

/// Events after a number, in order: at most so many, of some types. Without a number: from the oldest that is kept. With types at most
/// [`MAX_LOOKED_THROUGH`] events are looked through, so a page may have few of them, or none, while more follow. Two statements.
///
/// # Errors
/// The scope is missing; the number lies before events that have been forgotten, so that something has been missed; or the feed has not come so
/// far, so that something would be.
pub async fn feed(
    app: &App,
    actor: &Actor,
    after: Option<i64>,
    types: Option<&[EventType]>,
    most: u64,
) -> Result<FeedPage> {
    actor.require_for_all(Scope::EventRead)?;
    let (last, after) = begin(app, actor.tenant, after).await?;
    let most = most.clamp(1, MAX_FEED_PAGE);
    let stretch = stretch(after, types);
    let events = store::read(app.db().reader(), actor.tenant, stretch, most).await?;
    let (position, has_more) = reached(stretch, &events, most, last);
    Ok(FeedPage {
        events,
        position,
        has_more,
    })
}

/// What is looked through at once.
fn stretch(after: i64, types: Option<&[EventType]>) -> Stretch<'_> {
    Stretch {
        after,
        through: types.map(|_| after.saturating_add(MAX_LOOKED_THROUGH)),
        types,
    }
}

/// How far somebody has come who has read events of a stretch, at most so many, of a feed that went up to `last` before; and whether more is
/// there.
fn reached(stretch: Stretch<'_>, events: &[BillingEvent], most: u64, last: i64) -> (i64, bool) {
    let end = events.last().and_then(|it| it.position).unwrap_or(stretch.after);
    if events.len() as u64 == most {
        return (end, true);
    }
    // All up to `last` was there before the events were read.
    let seen = stretch.through.map_or(last, |through| through.min(last));
    let position = end.max(seen);
    (position, position < last)
}

/// How far the feed goes, and where somebody begins to read.
async fn begin(app: &App, tenant: TenantId, after: Option<i64>) -> Result<(i64, i64)> {
    let (last, forgotten) = store::feed(app.db().reader(), tenant).await?;
    let after = after.unwrap_or(forgotten);
    if after < forgotten {
        let message = format!(
            "events up to {forgotten} are no longer kept: some have been missed; begin with {forgotten} and read the present state"
        );
        return Err(Rejection::invalid("after", message).into());
    }
    if after > last {
        // The number comes from another database, or from after the backup that this one was restored from.
        let message = format!("the feed goes up to {last}: begin with a number that it gave, or without one");
        return Err(Rejection::invalid("after", message).into());
    }
    Ok((last, after))
}

/// Events as they are published, of some types: those after a number, or from now on. Does not end by itself.
///
/// # Errors
/// As [`feed`]. An item is an error when the database is out of reach; the stream goes on.
pub async fn stream(
    app: &App,
    actor: &Actor,
    after: Option<i64>,
    types: Option<Vec<EventType>>,
) -> Result<impl Stream<Item = Result<BillingEvent>> + use<>> {
    actor.require_for_all(Scope::EventRead)?;
    // Before the first read, so that what is published in between is noticed.
    let notices = app.feed().watch_events(actor.tenant);
    let (last, after) = match after {
        Some(after) => begin(app, actor.tenant, Some(after)).await?,
        None => {
            let (last, _) = store::feed(app.db().reader(), actor.tenant).await?;
            (last, last)
        }
    };
    let listener = Listener {
        notices,
        app: app.clone(),
        tenant: actor.tenant,
        types,
        seen: after,
        read: VecDeque::new(),
        may_have_more: last > after,
    };
    Ok(stream::unfold(listener, |mut listener| async move {
        let item = listener.next().await;
        Some((item, listener))
    }))
}

struct Listener {
    app: App,
    tenant: TenantId,
    types: Option<Vec<EventType>>,
    notices: Notices,
    /// Everything up to this number has been read.
    seen: i64,
    /// What was read and not told yet.
    read: VecDeque<BillingEvent>,
    may_have_more: bool,
}

impl Listener {
    async fn next(&mut self) -> Result<BillingEvent> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            if !self.may_have_more {
                self.notices.next().await;
            }
            if let Err(error) = self.look().await {
                // The notice is used up, so the next call must look again by itself, though not at once.
                self.may_have_more = true;
                tokio::time::sleep(RETRY_PAUSE).await;
                return Err(error);
            }
        }
    }

    /// Two statements.
    async fn look(&mut self) -> Result<()> {
        let db = self.app.db().reader();
        let (last, _) = store::feed(db, self.tenant).await?;
        let stretch = stretch(self.seen, self.types.as_deref());
        let events = store::read(db, self.tenant, stretch, STREAM_BATCH).await?;
        (self.seen, self.may_have_more) = reached(stretch, &events, STREAM_BATCH, last);
        self.read = events.into();
        Ok(())
    }
}
