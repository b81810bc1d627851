//! A provider that behaves as a script says, and keeps books of its own. It shows what another provider costs: this file, and the line that
//! names it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use app::clock::{Clock, ManualClock};
use domain::{
    payment::{
        Order, Outcome, Seen,
        decline::Decline,
        method::{Face, Kind},
        notice::Notice,
        returned::{Back, Refund},
    },
    time::Timestamp,
};
use gateway::payment::{HeaderMap, Payer, Provider, Setup, SetupWish, Told, Trouble, Unbelieved};
use serde_json::Value;

pub const KEY: &str = "scripted";

/// What becomes of a charge.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Succeeds,
    Declines(Decline),
    /// It is at work for so many seconds.
    SucceedsAfter(i64),
    FailsAfter(i64),
    /// It waits for its owner, who confirms it after so many seconds.
    ConfirmedAfter(i64),
    /// Who never does.
    Forgotten,
}

/// How a provider behaves towards one payment.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub fate: Fate,
    /// So many requests are lost on their way there.
    pub lost_requests: u8,
    /// So many replies are lost on their way back.
    pub lost_replies: u8,
    /// So many questions are not answered.
    pub silences: u8,
}

struct Charge {
    at: Timestamp,
    cancelled: bool,
}

#[derive(Default)]
struct Books {
    /// By the minor units of the order, which are different for each.
    scripts: HashMap<i64, Script>,
    charges: HashMap<String, Charge>,
    /// How many seconds it can tell of at once; `None`: any number.
    tells: Option<i64>,
}

/// The provider, and whoever looks into its books.
#[derive(Clone)]
pub struct Scripted {
    clock: Arc<ManualClock>,
    books: Arc<Mutex<Books>>,
}

impl Scripted {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            books: Arc::default(),
        }
    }

    pub fn plan(&self, minor: i64, script: Script) {
        self.books.lock().unwrap().scripts.insert(minor, script);
    }

    /// From now on it tells of so many seconds at once.
    pub fn tell_at_once(&self, seconds: i64) {
        self.books.lock().unwrap().tells = Some(seconds);
    }

    /// Whether money was taken for a payment, by the key of its order.
    pub fn took(&self, key: &str, minor: i64) -> bool {
        let books = self.books.lock().unwrap();
        let charge = books.charges.get(key);
        charge.is_some_and(|charge| {
            outcome(books.scripts[&minor].fate, charge, self.clock.now()) == Outcome::Succeeded
        })
    }

    /// The keys under which it was asked for money.
    pub fn keys(&self) -> Vec<String> {
        self.books.lock().unwrap().charges.keys().cloned().collect()
    }

    fn seen(&self, books: &Books, order: &Order) -> Option<Seen> {
        let charge = books.charges.get(&order.key())?;
        Some(Seen {
            reference: format!("ch_{}", order.payment),
            amount: order.amount,
            outcome: outcome(books.scripts[&order.amount.minor].fate, charge, self.clock.now()),
        })
    }
}

fn outcome(fate: Fate, charge: &Charge, now: Timestamp) -> Outcome {
    let since = now.seconds_since(charge.at);
    let waits = || Outcome::RequiresAction {
        url: Some("https://bank.example/confirm".to_owned()),
    };
    match fate {
        _ if charge.cancelled => Outcome::Declined(Decline::NotConfirmed),
        Fate::Declines(why) => Outcome::Declined(why),
        Fate::SucceedsAfter(seconds) | Fate::FailsAfter(seconds) if since < seconds => Outcome::Processing,
        Fate::FailsAfter(_) => Outcome::Declined(Decline::InsufficientFunds),
        Fate::ConfirmedAfter(seconds) if since < seconds => waits(),
        Fate::Forgotten => waits(),
        Fate::Succeeds | Fate::SucceedsAfter(_) | Fate::ConfirmedAfter(_) => Outcome::Succeeded,
    }
}

fn silent() -> Trouble {
    Trouble::NoAnswer("silence".to_owned())
}

/// Whether one more is to go wrong.
fn goes_wrong(left: &mut u8) -> bool {
    let wrong = *left > 0;
    *left = left.saturating_sub(1);
    wrong
}

#[async_trait::async_trait]
impl Provider for Scripted {
    fn is_for_tests(&self) -> bool {
        true
    }

    async fn enrol(&self, payer: &Payer) -> Result<String, Trouble> {
        Ok(payer.id.to_string())
    }

    fn has_on_page(&self, _: Kind) -> bool {
        false
    }

    async fn begin_setup(&self, wish: &SetupWish) -> Result<Setup, Trouble> {
        Ok(Setup {
            reference: wish.key.clone(),
            url: None,
        })
    }

    async fn left(&self, setup: &str) -> Result<Option<Face>, Trouble> {
        Ok(Some(Face {
            reference: format!("card of {setup}"),
            kind: Kind::Card,
            brand: "scripted".to_owned(),
            last_four: "0000".to_owned(),
            holder: None,
            expires: None,
        }))
    }

    async fn charge(&self, order: &Order) -> Result<Seen, Trouble> {
        let books = &mut *self.books.lock().unwrap();
        let script = books.scripts.get_mut(&order.amount.minor).unwrap();
        if goes_wrong(&mut script.lost_requests) {
            return Err(silent());
        }
        let loses = goes_wrong(&mut script.lost_replies);
        books.charges.entry(order.key()).or_insert_with(|| Charge {
            at: self.clock.now(),
            cancelled: false,
        });
        let seen = self.seen(books, order);
        seen.filter(|_| !loses).ok_or_else(silent)
    }

    async fn look(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        let books = &mut *self.books.lock().unwrap();
        let script = books.scripts.get_mut(&order.amount.minor).unwrap();
        if goes_wrong(&mut script.silences) {
            return Err(silent());
        }
        Ok(self.seen(books, order))
    }

    async fn cancel(&self, order: &Order, _: &str) -> Result<Seen, Trouble> {
        let books = &mut *self.books.lock().unwrap();
        let is_paid = self
            .seen(books, order)
            .is_some_and(|seen| seen.outcome == Outcome::Succeeded);
        if let Some(charge) = books.charges.get_mut(&order.key()).filter(|_| !is_paid) {
            charge.cancelled = true;
        }
        self.seen(books, order).ok_or_else(silent)
    }

    async fn refund(&self, _: &Order, _: &Refund) -> Result<Back, Trouble> {
        Err(silent())
    }

    async fn returned(&self, _: &Order) -> Result<Vec<Back>, Trouble> {
        Ok(Vec::new())
    }

    fn read_notice(&self, _: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Notice, Unbelieved> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Ok(Notice {
            reference: text("id"),
            kind: "charge.changed".to_owned(),
            payment: text("payment").parse().ok(),
            subjects: Vec::new(),
            occurred_at: now,
        })
    }

    async fn notices_since(&self, since: Timestamp, now: Timestamp) -> Result<Told, Trouble> {
        let tells = self.books.lock().unwrap().tells;
        Ok(Told {
            notices: Vec::new(),
            until: tells.map_or(now, |seconds| since.plus_seconds(seconds).min(now)),
        })
    }
}
