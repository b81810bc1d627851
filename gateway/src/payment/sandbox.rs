//! A provider that moves no money, for tests and for trying things out: it is built in, needs no account, and its cards do what they are
//! named after. What it has "charged" it keeps in a [`Book`] of its own, as a real provider would, so that a charge that was made although
//! nobody was told can be found again.

use std::time::Duration;

use domain::{
    id::PaymentId,
    money::Money,
    payment::{
        Order, Outcome, Seen, Way,
        decline::Decline,
        method::{Expiry, Face, Kind},
        notice::Notice,
        returned::{self, Back, Refund},
    },
    time::Timestamp,
};
use hyper::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{Payer, Provider, Setup, SetupWish, Told, Trouble, Unbelieved};

/// Its key.
pub const KEY: &str = "sandbox";
/// How long [`Card::Slow`] takes.
const SLOW: Duration = Duration::from_secs(3);
/// How long after it was asked for [`Card::LateSuccess`] is charged, in seconds.
pub const LATE_SECONDS: i64 = 20;

/// A card of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Card {
    /// Is charged.
    Success,
    /// Has not enough money.
    InsufficientFunds,
    /// Is declined without a reason.
    TryAgainLater,
    /// Has expired.
    Expired,
    /// Was stolen.
    Stolen,
    /// Is no longer known when it is to be charged.
    Gone,
    /// Wants its owner to confirm with the bank.
    AuthenticationRequired,
    /// Is charged, after three seconds.
    Slow,
    /// Is charged, but nobody is told.
    TimeoutCharged,
    /// Nobody is told, and nothing was charged; when asked once more it is charged.
    TimeoutNotCharged,
    /// Is charged twenty seconds after it was asked for.
    LateSuccess,
    /// Is charged with one minor unit more than was asked for.
    WrongAmount,
    /// Is charged, and takes no refund.
    RefundFails,
}

impl Card {
    /// Every card, in the order in which they are listed to people.
    pub const ALL: [Self; 13] = [
        Self::Success,
        Self::InsufficientFunds,
        Self::TryAgainLater,
        Self::Expired,
        Self::Stolen,
        Self::Gone,
        Self::AuthenticationRequired,
        Self::Slow,
        Self::TimeoutCharged,
        Self::TimeoutNotCharged,
        Self::LateSuccess,
        Self::WrongAmount,
        Self::RefundFails,
    ];

    /// The last four digits of its number: its place in [`Card::ALL`].
    fn last_four(self) -> String {
        let place = Self::ALL.iter().position(|card| *card == self);
        format!("{:04}", place.unwrap_or_default())
    }

    /// What a charge of it comes to in the end.
    fn outcome(self) -> Outcome {
        let declined = |why| Outcome::Declined(why);
        match self {
            Self::InsufficientFunds => declined(Decline::InsufficientFunds),
            Self::TryAgainLater => declined(Decline::TryAgainLater),
            Self::Expired => declined(Decline::ExpiredCard),
            Self::Stolen => declined(Decline::DoNotTryAgain),
            Self::Gone => declined(Decline::MethodGone),
            Self::AuthenticationRequired => Outcome::RequiresAction { url: None },
            Self::Success
            | Self::Slow
            | Self::TimeoutCharged
            | Self::TimeoutNotCharged
            | Self::LateSuccess
            | Self::WrongAmount
            | Self::RefundFails => Outcome::Succeeded,
        }
    }
}

/// A charge as the sandbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The sandbox's own name for it.
    pub reference: String,
    /// What for.
    pub payment: PaymentId,
    /// The card; `None`: it is to be chosen on a page, and was not yet.
    pub card: Option<Card>,
    /// Whether it is made on a page.
    pub on_page: bool,
    /// How much.
    pub amount: Money,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// How often it was asked for, from 1.
    pub asked: i64,
    /// What has become of the wait for its owner.
    pub wait: Wait,
}

/// Whether a card or a page that wants its owner has had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not yet.
    Open,
    /// It was confirmed.
    Confirmed,
    /// It was given up.
    Cancelled,
}

/// Where the sandbox keeps what it knows: like that of a real provider, apart from our own books, and committed by itself.
#[async_trait::async_trait]
pub trait Book: Send + Sync + 'static {
    /// Opens a page; the same key opens the same.
    async fn open(&self, key: &str) -> Result<String, String>;
    /// The card that was left on a page, and under which name.
    async fn card_left(&self, setup: &str) -> Result<Option<(String, Card)>, String>;
    /// The card of a name; `None`: there is none.
    async fn card(&self, reference: &str) -> Result<Option<Card>, String>;
    /// Notes that a charge was asked for, once per key, and answers how it stands, counting this time.
    async fn ask(&self, order: &Order, card: Option<Card>, now: Timestamp) -> Result<Charge, String>;
    /// The charge of a payment.
    async fn find(&self, payment: PaymentId) -> Result<Option<Charge>, String>;
    /// Gives up the charge of a payment, unless its owner has confirmed it.
    async fn cancel(&self, payment: PaymentId) -> Result<(), String>;
    /// Notes that money went back of a payment, once per key of the refund.
    async fn give_back(
        &self,
        payment: PaymentId,
        refund: &Refund,
        state: returned::State,
    ) -> Result<Back, String>;
    /// What has gone back of a payment, or is fought over.
    async fn backs(&self, payment: PaymentId) -> Result<Vec<Back>, String>;
    /// What time it is there.
    fn now(&self) -> Timestamp;
}

/// The sandbox.
pub struct Sandbox<B>(B);

impl<B: Book> Sandbox<B> {
    /// One that keeps its books there.
    pub fn new(book: B) -> Self {
        Self(book)
    }

    /// What it says of a charge; `None`: it has not happened.
    fn seen(&self, charge: Charge) -> Option<Seen> {
        let waited = self.0.now().seconds_since(charge.asked_at);
        let (mut amount, mut outcome) = (charge.amount, outcome(&charge));
        match charge.card {
            Some(Card::TimeoutNotCharged) if charge.asked < 2 && !charge.on_page => return None,
            Some(Card::LateSuccess) if waited < LATE_SECONDS => outcome = Outcome::Processing,
            Some(Card::WrongAmount) => amount.minor = amount.minor.saturating_add(1),
            _ => {}
        }
        Some(Seen {
            reference: charge.reference,
            amount,
            outcome,
        })
    }
}

/// What becomes of a charge, whenever it does.
fn outcome(charge: &Charge) -> Outcome {
    let waits = Outcome::RequiresAction { url: None };
    let outcome = charge.card.map_or(waits.clone(), Card::outcome);
    match (charge.wait, &outcome) {
        (Wait::Cancelled, Outcome::RequiresAction { .. }) => Outcome::Declined(Decline::NotConfirmed),
        (Wait::Confirmed, Outcome::RequiresAction { .. }) => Outcome::Succeeded,
        // A page stays open: another card may be tried there.
        (Wait::Open, Outcome::Declined(_)) if charge.on_page => waits,
        (Wait::Cancelled, Outcome::Declined(_)) if charge.on_page => Outcome::Declined(Decline::NotConfirmed),
        _ => outcome,
    }
}

#[async_trait::async_trait]
impl<B: Book> Provider for Sandbox<B> {
    fn is_for_tests(&self) -> bool {
        true
    }

    fn has_on_page(&self, _: Kind) -> bool {
        true
    }

    async fn enrol(&self, payer: &Payer) -> Result<String, Trouble> {
        Ok(format!("sbx_{}", payer.id))
    }

    async fn begin_setup(&self, wish: &SetupWish) -> Result<Setup, Trouble> {
        let reference = self.0.open(&wish.key).await.map_err(Trouble::NoAnswer)?;
        Ok(Setup { reference, url: None })
    }

    async fn left(&self, setup: &str) -> Result<Option<Face>, Trouble> {
        let left = self.0.card_left(setup).await.map_err(Trouble::NoAnswer)?;
        Ok(left.map(|(reference, card)| Face {
            reference,
            kind: Kind::Card,
            brand: KEY.to_owned(),
            last_four: card.last_four(),
            holder: None,
            expires: Some(Expiry {
                year: 2099,
                month: 12,
            }),
        }))
    }

    async fn charge(&self, order: &Order) -> Result<Seen, Trouble> {
        let card = match &order.way {
            Way::Page(_) => None,
            Way::Saved(method) => {
                let card = self.0.card(method).await.map_err(Trouble::NoAnswer)?;
                Some(card.ok_or(Trouble::Refused(Decline::MethodGone))?)
            }
        };
        let asked = self.0.ask(order, card, self.0.now()).await;
        let charge = asked.map_err(Trouble::NoAnswer)?;
        let silent = || Trouble::NoAnswer("the sandbox was told not to answer".to_owned());
        match card {
            Some(Card::TimeoutCharged) => Err(silent()),
            Some(Card::Slow) => {
                tokio::time::sleep(SLOW).await;
                self.seen(charge).ok_or_else(silent)
            }
            _ => self.seen(charge).ok_or_else(silent),
        }
    }

    async fn look(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        let found = self.0.find(order.payment).await.map_err(Trouble::NoAnswer)?;
        Ok(found.and_then(|charge| self.seen(charge)))
    }

    async fn cancel(&self, order: &Order, _: &str) -> Result<Seen, Trouble> {
        self.0.cancel(order.payment).await.map_err(Trouble::NoAnswer)?;
        let seen = self.look(order).await?;
        seen.ok_or_else(|| Trouble::NoAnswer("there is no such charge".to_owned()))
    }

    async fn refund(&self, order: &Order, refund: &Refund) -> Result<Back, Trouble> {
        let charge = self.0.find(order.payment).await.map_err(Trouble::NoAnswer)?;
        let charge = charge.ok_or(Trouble::Refused(Decline::Refused))?;
        let state = match charge.card {
            Some(Card::RefundFails) => returned::State::Undone,
            _ => returned::State::Returned,
        };
        let given = self.0.give_back(order.payment, refund, state).await;
        given.map_err(Trouble::NoAnswer)
    }

    async fn returned(&self, order: &Order) -> Result<Vec<Back>, Trouble> {
        self.0.backs(order.payment).await.map_err(Trouble::NoAnswer)
    }

    /// None: whoever does something at the sandbox does it here.
    fn read_notice(&self, _: &HeaderMap, _: &[u8], _: Timestamp) -> Result<Notice, Unbelieved> {
        Err(Unbelieved::NotTaken)
    }

    async fn notices_since(&self, _: Timestamp, now: Timestamp) -> Result<Told, Trouble> {
        Ok(Told {
            notices: Vec::new(),
            until: now,
        })
    }
}
