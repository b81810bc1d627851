//! A provider that is not asked faster than it likes, and not while it does not answer.
//!
//! What is held back here is answered [`Trouble::NoAnswer`] and was not sent. Callers treat it like a request that was lost on its way:
//! they ask how it stands, and send it again later under the same key. So nothing is charged twice, and nothing is forgotten.
//!
//! Calls are counted, not requests: a [`Provider::look`] that reads a list of several pages is one. The limits are those of this process.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{
    payment::{
        Order, Seen,
        method::{Face, Kind},
        notice::Notice,
        returned::{Back, Refund},
    },
    time::Timestamp,
};
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use hyper::HeaderMap;
use tokio::time::Instant;

use super::{Payer, Provider, Setup, SetupWish, Told, Trouble, Unbelieved};

/// Longest wait for a turn. Longer than a burst needs to pass, and much shorter than an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long a provider is left alone after it has been silent too often, and how long one call that tries it again has for itself.
pub const PAUSE: Duration = Duration::from_secs(30);
/// The part of a second whose calls may come at once; the rest are spread, so that no second has many more than its share.
const BURST: u32 = 10;

/// What a provider is to be spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most calls a second.
    pub per_second: NonZeroU32,
    /// After so many calls in a row without an answer it is left alone for a while.
    pub silences: NonZeroU32,
}

impl Default for Limits {
    /// Fifty calls a second, half of what Stripe takes for real money; five silences.
    fn default() -> Self {
        const FIFTY: NonZeroU32 = NonZeroU32::new(50).unwrap();
        const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();
        Self {
            per_second: FIFTY,
            silences: FIVE,
        }
    }
}

/// A provider with [`Limits`].
pub struct Guarded<P> {
    provider: P,
    guard: Guard,
}

impl<P: Provider> Guarded<P> {
    /// Guards a provider.
    pub fn new(provider: P, limits: Limits) -> Self {
        let guard = Guard::new(limits);
        Self { provider, guard }
    }
}

#[async_trait::async_trait]
impl<P: Provider> Provider for Guarded<P> {
    fn is_for_tests(&self) -> bool {
        self.provider.is_for_tests()
    }

    fn has_on_page(&self, kind: Kind) -> bool {
        self.provider.has_on_page(kind)
    }

    async fn enrol(&self, payer: &Payer) -> Result<String, Trouble> {
        self.guard.pass(self.provider.enrol(payer)).await
    }

    async fn begin_setup(&self, wish: &SetupWish) -> Result<Setup, Trouble> {
        self.guard.pass(self.provider.begin_setup(wish)).await
    }

    async fn left(&self, setup: &str) -> Result<Option<Face>, Trouble> {
        self.guard.pass(self.provider.left(setup)).await
    }

    async fn charge(&self, order: &Order) -> Result<Seen, Trouble> {
        self.guard.pass(self.provider.charge(order)).await
    }

    async fn look(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        self.guard.pass(self.provider.look(order)).await
    }

    async fn cancel(&self, order: &Order, reference: &str) -> Result<Seen, Trouble> {
        self.guard.pass(self.provider.cancel(order, reference)).await
    }

    async fn refund(&self, order: &Order, refund: &Refund) -> Result<Back, Trouble> {
        self.guard.pass(self.provider.refund(order, refund)).await
    }

    async fn returned(&self, order: &Order) -> Result<Vec<Back>, Trouble> {
        self.guard.pass(self.provider.returned(order)).await
    }

    fn read_notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Notice, Unbelieved> {
        self.provider.read_notice(headers, body, now)
    }

    async fn notices_since(&self, since: Timestamp, now: Timestamp) -> Result<Told, Trouble> {
        self.guard.pass(self.provider.notices_since(since, now)).await
    }
}

/// Lets calls through, or not.
struct Guard {
    queue: Queue,
    fuse: Fuse,
}

impl Guard {
    fn new(limits: Limits) -> Self {
        Self {
            queue: Queue::new(limits.per_second),
            fuse: Fuse::new(limits.silences),
        }
    }

    /// Makes a call when it has its turn. A call that is held back is dropped without having begun.
    async fn pass<T>(&self, call: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let left_alone = || held_back("it has been silent, and is left alone for a while");
        if self.fuse.is_blown() {
            return Err(left_alone());
        }
        if tokio::time::timeout(PATIENCE, self.queue.turn()).await.is_err() {
            return Err(held_back("too many requests wait for their turn"));
        }
        if !self.fuse.lets_through() {
            return Err(left_alone());
        }
        let answer = call.await;
        self.fuse.note(matches!(answer, Err(Trouble::NoAnswer(_))));
        answer
    }
}

fn held_back(why: &str) -> Trouble {
    Trouble::NoAnswer(format!("not sent: {why}"))
}

/// Who wants to call, first come first served.
struct Queue {
    limiter: RateLimiter<NotKeyed, InMemoryState, Elapsed, NoOpMiddleware<Nanos>>,
    clock: Elapsed,
    /// Held by the one whose turn comes next, so that not everybody wakes up for it.
    first: tokio::sync::Mutex<()>,
}

impl Queue {
    fn new(per_second: NonZeroU32) -> Self {
        let at_once = NonZeroU32::new(per_second.get().div_ceil(BURST)).unwrap_or(NonZeroU32::MIN);
        let clock = Elapsed(Instant::now());
        let quota = Quota::per_second(per_second).allow_burst(at_once);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            first: tokio::sync::Mutex::default(),
        }
    }

    async fn turn(&self) {
        let _first = self.first.lock().await;
        while let Err(not_yet) = self.limiter.check() {
            tokio::time::sleep(not_yet.wait_time_from(self.clock.now())).await;
        }
    }
}

/// The time of tokio, which tests can turn.
#[derive(Clone)]
struct Elapsed(Instant);

impl Clock for Elapsed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// Blows when a provider is silent too often in a row. From then on one call in each [`PAUSE`] tries it again, until one is answered: a
/// call that is never finished holds up nothing for longer.
struct Fuse {
    silences: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many calls in a row had no answer.
    silences: u32,
    /// Until when nothing is let through; `None`: it is whole.
    blown_until: Option<Instant>,
}

impl Fuse {
    fn new(silences: NonZeroU32) -> Self {
        Self {
            silences: silences.get(),
            state: Mutex::default(),
        }
    }

    fn is_blown(&self) -> bool {
        self.with(|state| state.blown_until.is_some_and(|until| Instant::now() < until))
    }

    /// Whether a call may be made now; where the pause is over, for the one who asks first.
    fn lets_through(&self) -> bool {
        self.with(|state| match state.blown_until {
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                state.blown_until = Some(Instant::now() + PAUSE);
                true
            }
            None => true,
        })
    }

    /// Notes how a call has ended.
    fn note(&self, silent: bool) {
        self.with(|state| {
            if !silent {
                *state = State::default();
                return;
            }
            state.silences = state.silences.saturating_add(1);
            if state.silences >= self.silences {
                state.blown_until.get_or_insert_with(|| Instant::now() + PAUSE);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
    };

    use domain::payment::decline::Decline;

    use super::*;

    const ALMOST: Duration = Duration::from_millis(1);

    /// A guard, and how many calls went past it.
    struct Door {
        guard: Guard,
        sent: AtomicU32,
    }

    impl Door {
        fn new(per_second: u32) -> Self {
            let per_second = NonZeroU32::new(per_second).unwrap();
            let limits = Limits {
                per_second,
                ..Limits::default()
            };
            Self {
                guard: Guard::new(limits),
                sent: AtomicU32::new(0),
            }
        }

        async fn call(&self, answer: Result<(), Trouble>) -> Result<(), Trouble> {
            let call = async {
                self.sent.fetch_add(1, Ordering::Relaxed);
                answer
            };
            self.guard.pass(call).await
        }

        async fn silences(&self, count: u32) {
            for _ in 0..count {
                assert_eq!(self.call(silence()).await, silence());
            }
        }

        fn sent(&self) -> u32 {
            self.sent.load(Ordering::Relaxed)
        }
    }

    fn silence() -> Result<(), Trouble> {
        Err(Trouble::NoAnswer("nothing".to_owned()))
    }

    fn is_held_back(answer: &Result<(), Trouble>) -> bool {
        matches!(answer, Err(Trouble::NoAnswer(why)) if why.starts_with("not sent: "))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_left_alone() {
        let door = Door::new(50);
        door.silences(5).await;
        let begin = Instant::now();
        assert!(is_held_back(&door.call(Ok(())).await));
        assert_eq!(begin.elapsed(), Duration::ZERO);
        tokio::time::advance(PAUSE - ALMOST).await;
        assert!(is_held_back(&door.call(Ok(())).await));
        assert_eq!(door.sent(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn silences_count_only_in_a_row_and_a_refusal_is_an_answer() {
        let door = Door::new(50);
        let refusal = Err(Trouble::Refused(Decline::Refused));
        for answer in [Ok(()), refusal] {
            door.silences(4).await;
            assert_eq!(door.call(answer.clone()).await, answer);
        }
        for _ in 0..10 {
            let refusal = Err(Trouble::Refused(Decline::Refused));
            assert_eq!(door.call(refusal.clone()).await, refusal);
        }
        assert_eq!(door.call(Ok(())).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_it_again_and_an_answer_opens_the_way() {
        for answer in [Ok(()), Err(Trouble::Refused(Decline::Refused))] {
            let door = Door::new(50);
            door.silences(5).await;
            tokio::time::advance(PAUSE).await;
            let slow = door.guard.pass(async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                answer.clone()
            });
            let mut slow = pin!(slow);
            tokio::select! {
                biased;
                _ = &mut slow => panic!("it takes five seconds"),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            assert!(is_held_back(&door.call(Ok(())).await));
            assert_eq!(slow.await, answer);
            // It is as good as new.
            door.silences(4).await;
            assert_eq!(door.call(Ok(())).await, Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_without_an_answer_is_followed_by_another_pause() {
        let door = Door::new(50);
        door.silences(5).await;
        for sent in 6..9 {
            tokio::time::advance(PAUSE).await;
            door.silences(1).await;
            assert!(is_held_back(&door.call(Ok(())).await));
            assert_eq!(door.sent(), sent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_does_not_close_the_way_for_ever() {
        let door = Door::new(50);
        door.silences(5).await;
        tokio::time::advance(PAUSE).await;
        let never = door.guard.pass(std::future::pending::<Result<(), Trouble>>());
        assert!(tokio::time::timeout(ALMOST, never).await.is_err());
        assert!(is_held_back(&door.call(Ok(())).await));
        tokio::time::advance(PAUSE).await;
        assert_eq!(door.call(Ok(())).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_many_more_calls_than_its_share() {
        let door = Arc::new(Door::new(50));
        let begin = Instant::now();
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let door = Arc::clone(&door);
                tokio::spawn(async move { door.call(Ok(())).await.map(|()| begin.elapsed()) })
            })
            .collect();
        let mut times = Vec::new();
        for call in calls {
            times.push(call.await.unwrap().unwrap());
        }
        times.sort_unstable();
        // Five at once, and then fifty a second.
        assert_eq!(times[4], Duration::ZERO);
        for (first, last) in times.iter().zip(&times[55..]) {
            assert!(*last - *first >= Duration::from_secs(1), "{first:?} {last:?}");
        }
        assert!(times[99] < Duration::from_millis(2_100), "{:?}", times[99]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_would_wait_too_long_is_not_sent() {
        let door = Arc::new(Door::new(2));
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let door = Arc::clone(&door);
                tokio::spawn(async move { door.call(Ok(())).await })
            })
            .collect();
        let (mut sent, mut held_back) = (0, 0);
        for call in calls {
            match call.await.unwrap() {
                Ok(()) => sent += 1,
                answer => {
                    assert!(is_held_back(&answer));
                    held_back += 1;
                }
            }
        }
        assert_eq!((sent, held_back, door.sent()), (7, 13, 7));
        // Whoever was held back is not counted as silence of the provider.
        tokio::time::advance(PATIENCE).await;
        assert_eq!(door.call(Ok(())).await, Ok(()));
    }
}
