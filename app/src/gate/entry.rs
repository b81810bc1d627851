//! What is remembered of one customer, and how far it may be believed.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{
    gate::{Decision, Question, Standing},
    id::{EventId, TenantId},
    metering::rule::RuleBook,
    time::Timestamp,
    usage::event::PendingEvent,
};
use tokio::sync::Notify;

use super::memory::Heard;

/// How old what we answer from may be. Notices of changes arrive within milliseconds; this holds even when they do not.
pub const MAX_AGE: Duration = Duration::from_secs(1);
/// When an answer is this old it is confirmed behind the caller's back, so that nobody waits for it.
const CONFIRM_AFTER: Duration = Duration::from_millis(300);
/// When no statement has seen the customer for so long, it is confirmed although the change feed says that nothing has changed.
const DISTRUST_AFTER: Duration = Duration::from_secs(5);
/// How long an answer may be given after another process has changed the account, while the new state is being read. That takes a few
/// milliseconds, and longer only when the database is busy with everybody's changes: then nobody should wait for it as well.
const SERVED_STALE: Duration = Duration::from_millis(250);
/// A customer that was asked about so lately is read as soon as another process changes it. Whoever asks for one that was not, waits for a
/// read: this is long enough that hardly anybody does, and short enough that little is read for nobody.
const ASKED_LATELY: Duration = Duration::from_secs(5);

/// Accepted events that are kept for a customer; some 200 bytes each. With more, the next question begins with a read.
const MAX_ACCEPTED: usize = 1_000;

/// A customer as the database showed it, and what this process has accepted since.
pub(super) struct Entry {
    /// Whose customer it is.
    pub(super) tenant: TenantId,
    state: Mutex<State>,
    /// Rings whenever a read has ended.
    pub(super) read: Notify,
}

#[derive(Default)]
struct State {
    seen: Option<Seen>,
    /// When somebody asked last.
    wanted: Option<Instant>,
    /// Whether this entry stands in the queue of the reader.
    asked: bool,
    changed: Option<Changed>,
    /// The change that the read under way will show. Until then it is one.
    reading: Option<Changed>,
    /// When the last read that failed began.
    failed: Option<Instant>,
    /// Usage that this process has accepted and that the last read did not show.
    accepted: Vec<PendingEvent>,
    /// So many of them are counted in `seen` already.
    counted: usize,
    /// How often the list was given up because nobody asked for long. A read begun before knows nothing of what was in it.
    given_up: u64,
}

/// What a read has shown.
struct Seen {
    /// `None`: what is there cannot be counted; see the log.
    standing: Option<Standing>,
    revision: i64,
    begun: Instant,
    /// When a statement saw last that this is so.
    looked: Instant,
    /// Until when this is known to be so, by a statement or by the change feed.
    confirmed: Instant,
    /// The same as an instant of the clock.
    as_of: Timestamp,
    /// What the customer's own clock shows; `None`: it lives by the clock on the wall.
    clock: Option<Timestamp>,
    /// From here on it says nothing any more: a step of a subscription is due then, and makes or ends blocks.
    until: Timestamp,
}

/// Who has changed the account since the last read.
#[derive(Clone, Copy)]
enum Changed {
    /// This process: its callers expect to see what they did.
    Here,
    /// Another one, noticed at this instant.
    Elsewhere(Instant),
}

/// How a question can be answered from memory.
pub(super) enum Answer {
    /// At once.
    Now(Box<Told>),
    /// Not before a new read.
    Wait,
    /// Not at all: the database is out of reach, or what it says cannot be counted.
    Unknown,
}

/// An answer with what it rests on.
pub(super) struct Told {
    pub(super) decision: Decision,
    pub(super) overage_line: domain::amount::Credits,
    pub(super) undebited: domain::amount::Credits,
    pub(super) as_of: Timestamp,
    /// The customer's present, which decided.
    pub(super) now: Timestamp,
    /// Whether a new read should begin meanwhile.
    pub(super) ageing: bool,
}

/// When and of whom an answer is wanted.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) question: Question<'a>,
    pub(super) rules: &'a RuleBook,
    pub(super) now: Timestamp,
    /// When the caller came. A read begun later is always good enough.
    pub(super) since: Instant,
    /// What the change feed has said of everybody.
    pub(super) heard: Heard,
}

/// A read about to be made.
pub(super) struct Begun {
    pub(super) at: Instant,
    /// So many accepted events had been committed before it began, and are either waiting or debited in what it shows.
    known: usize,
    given_up: u64,
    /// What the last read showed; the same revision means that nothing has changed.
    pub(super) revision: Option<i64>,
    /// Whether an unchanged revision will do.
    pub(super) confirm: bool,
}

/// What a read has shown of an account.
pub(super) struct Read {
    pub(super) standing: Option<Standing>,
    pub(super) revision: i64,
    pub(super) as_of: Timestamp,
    /// What the customer's own clock shows; `None`: it lives by the clock on the wall.
    pub(super) clock: Option<Timestamp>,
    /// First instant for which it is not good.
    pub(super) until: Timestamp,
    /// Events that the standing has counted.
    pub(super) counted: HashSet<EventId>,
}

impl Entry {
    /// A customer of whom nothing is known yet.
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            state: Mutex::default(),
            read: Notify::new(),
        }
    }

    /// Answers from what is known, if that is fresh enough.
    pub(super) fn answer(&self, asked: &Asked<'_>) -> Answer {
        let mut state = self.lock();
        state.wanted = Some(asked.since);
        state.hold(&asked.heard);
        let fresh = match state.freshness(asked) {
            Some(fresh) => fresh,
            None if state.failed.is_some_and(|at| at >= asked.since) => return Answer::Unknown,
            None => return Answer::Wait,
        };
        let State {
            seen,
            accepted,
            counted,
            ..
        } = &mut *state;
        let Some(seen) = seen else {
            return Answer::Wait;
        };
        let new = &accepted[*counted..];
        *counted = accepted.len();
        if let Some(standing) = &mut seen.standing
            && let Err(problem) = standing.count(asked.rules, new)
        {
            tracing::error!(%problem, "accepted usage cannot be counted by the gate");
            seen.standing = None;
        }
        let Some(standing) = &mut seen.standing else {
            return Answer::Unknown;
        };
        let now = seen.clock.unwrap_or(asked.now);
        Answer::Now(Box::new(Told {
            decision: standing.decide(asked.question, asked.rules, now),
            now,
            overage_line: standing.terms().overage_line,
            undebited: standing.undebited(),
            as_of: seen.as_of,
            ageing: fresh == Fresh::Ageing,
        }))
    }

    /// Notes usage that this process has accepted, after it was committed.
    pub(super) fn accepted(&self, event: PendingEvent) {
        let mut state = self.lock();
        if state.accepted.len() < MAX_ACCEPTED {
            state.accepted.push(event);
        } else {
            state.accepted = Vec::new();
            state.counted = 0;
            state.given_up += 1;
            state.seen = None;
        }
    }

    /// Notes a change by this process.
    pub(super) fn changed_here(&self) {
        self.lock().changed = Some(Changed::Here);
    }

    /// Notes a change by another process. Answers whether the customer should be read at once, because somebody will ask again.
    pub(super) fn changed_elsewhere(&self, heard: &Heard) -> bool {
        let mut state = self.lock();
        // Until the last time that everything was heard, nothing had changed.
        state.hold(heard);
        if state.changed.is_none() {
            state.changed = Some(Changed::Elsewhere(Instant::now()));
        }
        state.wanted.is_some_and(|at| at.elapsed() < ASKED_LATELY)
    }

    /// Takes the place in the reader's queue; `false`: it stands there already.
    pub(super) fn ask(&self) -> bool {
        !std::mem::replace(&mut self.lock().asked, true)
    }

    /// Leaves the queue: a read begins now. What is not good any more at its instant is not confirmed but read anew.
    pub(super) fn begin(&self, now: Timestamp) -> Begun {
        let mut state = self.lock();
        state.asked = false;
        state.reading = state.changed.take();
        let changed = state.reading;
        Begun {
            at: Instant::now(),
            known: state.accepted.len(),
            given_up: state.given_up,
            revision: state.seen.as_ref().map(|seen| seen.revision),
            confirm: changed.is_none()
                && state
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.standing.is_some() && now < seen.until),
        }
    }

    /// Nothing has changed since the last read.
    pub(super) fn confirm(&self, begun: &Begun, as_of: Timestamp) {
        let mut state = self.lock();
        state.reading = None;
        if let Some(seen) = &mut state.seen {
            seen.looked = begun.at;
            seen.hold_until(begun.at, as_of);
        }
        drop(state);
        self.read.notify_waiters();
    }

    /// Takes over what a read has shown.
    ///
    /// Usage accepted while the read went on may be in it or not: what it shows as waiting is counted already, the rest is
    /// counted on top. An event that was debited in just that moment counts twice until the next read, which its debit causes.
    pub(super) fn finish(&self, begun: &Begun, read: Read) {
        let mut state = self.lock();
        state.reading = None;
        // Otherwise events were given up that this read cannot have seen; whoever waits asks for another.
        if begun.given_up == state.given_up {
            state.accepted.drain(..begun.known);
            state.accepted.retain(|event| !read.counted.contains(&event.id));
            state.counted = 0;
            state.seen = Some(Seen {
                standing: read.standing,
                revision: read.revision,
                begun: begun.at,
                looked: begun.at,
                confirmed: begun.at,
                as_of: read.as_of,
                clock: read.clock,
                until: read.until,
            });
        }
        drop(state);
        self.read.notify_waiters();
    }

    /// The read failed, or shows no such account.
    pub(super) fn fail(&self, begun: &Begun) {
        let mut state = self.lock();
        state.failed = Some(begun.at);
        // What was noticed before the read is still to be read.
        state.changed = stronger(state.reading.take(), state.changed);
        drop(state);
        self.read.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of two changes the one that lets fewer answers pass: our own, or the earlier one.
fn stronger(earlier: Option<Changed>, later: Option<Changed>) -> Option<Changed> {
    match (earlier, later) {
        (_, Some(Changed::Here)) => later,
        (None, later) => later,
        (earlier, _) => earlier,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fresh {
    Yes,
    Ageing,
}

impl Seen {
    /// Nothing has changed until then.
    fn hold_until(&mut self, instant: Instant, as_of: Timestamp) {
        if self.confirmed < instant {
            self.confirmed = instant;
            self.as_of = as_of;
        }
    }
}

impl State {
    /// What was not told to have changed has not, for as long as every change was heard.
    fn hold(&mut self, heard: &Heard) {
        if let Some(complete) = heard.complete
            && let Some(seen) = &mut self.seen
            && self.changed.is_none()
            && self.reading.is_none()
            && seen.confirmed >= complete.since
        {
            seen.hold_until(complete.until, complete.as_of);
        }
    }

    fn freshness(&self, asked: &Asked<'_>) -> Option<Fresh> {
        let seen = self.seen.as_ref()?;
        if seen.begun >= asked.since {
            return Some(Fresh::Yes);
        }
        if asked.now >= seen.until {
            return None;
        }
        let age = seen.confirmed.elapsed();
        if age > MAX_AGE {
            return None;
        }
        match stronger(self.reading, self.changed) {
            Some(Changed::Here) => None,
            Some(Changed::Elsewhere(at)) => (at.elapsed() < SERVED_STALE).then_some(Fresh::Ageing),
            None if Self::is_ageing(seen, asked) => Some(Fresh::Ageing),
            None => Some(Fresh::Yes),
        }
    }

    /// Whether what was seen should be confirmed by a statement before long.
    fn is_ageing(seen: &Seen, asked: &Asked<'_>) -> bool {
        seen.confirmed.elapsed() > CONFIRM_AFTER
            || seen.looked.elapsed() > DISTRUST_AFTER
            || asked.heard.unrest.is_some_and(|at| at >= seen.confirmed)
    }
}

#[cfg(test)]
mod tests {
    use domain::{id::MetricId, metering::rule::Properties};
    use uuid::Uuid;

    use super::{super::memory::Complete, *};

    const DEAF: Heard = Heard {
        unrest: None,
        complete: None,
    };

    /// Asks and answers how the answer would be given.
    fn freshness(entry: &Entry, since: Instant, heard: Heard) -> Option<Fresh> {
        let (properties, rules) = (Properties::default(), RuleBook::default());
        let question = Question {
            metric: MetricId(Uuid::nil()),
            units: domain::amount::Quantity::ZERO,
            properties: &properties,
            known_at: Timestamp::MIN,
        };
        let asked = Asked {
            question,
            rules: &rules,
            now: Timestamp::MIN,
            since,
            heard,
        };
        entry.answer(&asked);
        entry.lock().freshness(&asked)
    }

    fn entry() -> Entry {
        Entry::new(TenantId(Uuid::nil()))
    }

    /// One that was read so long ago.
    fn read(ago: Duration) -> Entry {
        let entry = entry();
        let begun = entry.begin(Timestamp::MIN);
        let read = Read {
            standing: None,
            revision: 1,
            as_of: at(0),
            clock: None,
            until: Timestamp::MAX,
            counted: HashSet::new(),
        };
        entry.finish(
            &Begun {
                at: before(ago),
                ..begun
            },
            read,
        );
        entry
    }

    fn before(ago: Duration) -> Instant {
        Instant::now().checked_sub(ago).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn complete(since: Instant) -> Heard {
        let complete = Complete {
            since,
            until: Instant::now(),
            as_of: at(9),
        };
        Heard {
            complete: Some(complete),
            ..DEAF
        }
    }

    fn as_of(entry: &Entry) -> Timestamp {
        entry.lock().seen.as_ref().unwrap().as_of
    }

    const LONG: Duration = Duration::from_secs(3);

    #[test]
    fn who_was_asked_about_lately_is_read_at_once() {
        let entry = entry();
        assert!(!entry.changed_elsewhere(&DEAF), "nobody wants to know");
        assert!(freshness(&entry, Instant::now(), DEAF).is_none());
        assert!(entry.changed_elsewhere(&DEAF));
        freshness(&entry, before(ASKED_LATELY), DEAF);
        assert!(!entry.changed_elsewhere(&DEAF), "nobody asks any more");
    }

    #[test]
    fn what_is_not_told_to_have_changed_has_not() {
        let entry = read(LONG);
        assert!(freshness(&entry, Instant::now(), DEAF).is_none(), "it is too old");
        assert!(
            freshness(&entry, Instant::now(), complete(before(LONG / 2))).is_none(),
            "nobody listened then"
        );
        assert_eq!(as_of(&entry), at(0));
        let heard = complete(before(LONG * 2));
        assert!(freshness(&entry, Instant::now(), heard) == Some(Fresh::Yes));
        assert_eq!(as_of(&entry), at(9));
    }

    #[test]
    fn what_is_told_to_have_changed_is_as_old_as_before_the_change() {
        let entry = read(LONG);
        let heard = complete(before(LONG * 2));
        entry.changed_elsewhere(&heard);
        let later = complete(before(LONG * 2));
        assert!(
            freshness(&entry, Instant::now(), later) == Some(Fresh::Ageing),
            "for a moment"
        );
        let state = entry.lock();
        assert_eq!(
            state.seen.as_ref().unwrap().confirmed,
            heard.complete.unwrap().until
        );
    }

    #[test]
    fn nothing_is_believed_for_ever() {
        let entry = read(DISTRUST_AFTER + LONG);
        let heard = complete(before(DISTRUST_AFTER * 2));
        assert!(freshness(&entry, Instant::now(), heard) == Some(Fresh::Ageing));
        let begun = entry.begin(Timestamp::MIN);
        entry.confirm(&begun, at(10));
        assert!(freshness(&entry, Instant::now(), heard) == Some(Fresh::Yes));
        assert_eq!(as_of(&entry), at(10));
    }
}
