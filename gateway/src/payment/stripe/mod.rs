//! Stripe. What is asked of it is written here; what it answers is read in [`words`].
//!
//! A charge ([`saved`]) is one PaymentIntent, made and confirmed by one request under the key of its order, so that Stripe makes it once. Our id of the
//! payment lies in it: a charge whose answer was lost is found by going through those of the customer, since Stripe's search may be an
//! hour behind. Of whatever is not certain nothing is concluded.
//!
//! Where a customer pays on a page ([`checkout`]), the page is what is made once; what goes back is read in [`returns`], and what Stripe
//! tells of its own accord in [`notices`].

mod amounts;
mod checkout;
mod client;
mod declines;
mod key;
mod left;
mod lists;
mod notices;
mod returns;
mod saved;
pub mod signature;
mod words;

use std::{fmt, time::Duration};

use domain::{
    payment::{
        Order, Seen, Way,
        decline::Decline,
        method::{Face, Kind},
        notice::Notice,
        returned::{Back, Refund},
    },
    time::Timestamp,
};
use hyper::HeaderMap;
use sha2::{Digest, Sha256};

use self::{
    checkout::Reference,
    client::{Client, Fields, No},
    left::{Session, SessionLeft},
    lists::List,
    words::{Intent, Named, no_answer},
};
use super::{Payer, Provider, Setup, SetupWish, Told, Trouble, Unbelieved};

pub use self::key::{BadKey, return_url};

/// Its key.
pub const KEY: &str = "stripe";
/// Where Stripe is.
pub const BASE_URL: &str = "https://api.stripe.com";
/// Where a customer is sent after having been on a page, if nobody says where.
const NOWHERE: &str = "https://stripe.com";
/// Under this name our own id of a customer is kept beside Stripe's.
const CUSTOMER: &str = "metadata[tallygate_customer]";
/// Where charges are.
const INTENTS: &str = "/v1/payment_intents";
/// Where pages are on which ways to pay are left, or something is paid.
const SESSIONS: &str = "/v1/checkout/sessions";
/// How much Stripe's clock may be behind ours, in seconds.
const SKEW: i64 = 3_600;
/// How many parts of a list are looked through.
const PARTS: usize = 10;

/// One Stripe account.
pub struct Stripe {
    client: Client,
    live: bool,
    /// With which notices are signed.
    secrets: Vec<String>,
    /// Where an owner is sent after having confirmed a charge.
    return_url: String,
}

impl fmt::Debug for Stripe {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

impl Stripe {
    /// The account of a secret key, at [`BASE_URL`] or at a stand-in for it.
    ///
    /// # Errors
    /// A key that is none, or an address to which none may be sent.
    pub fn new(secret_key: &str, base_url: &str) -> Result<Self, BadKey> {
        let (bearer, live) = key::read(secret_key)?;
        let client = Client::new(key::address(base_url)?, bearer);
        Ok(Self {
            client: client.map_err(|error| BadKey::NoTrust(error.to_string()))?,
            live,
            secrets: Vec::new(),
            return_url: NOWHERE.to_owned(),
        })
    }

    /// One that takes notices which are signed with one of these secrets. Stripe has one for each place to which it sends notices, and
    /// while it is being replaced two; one that is empty is none.
    #[must_use]
    pub fn with_notices(mut self, secrets: Vec<String>) -> Self {
        self.secrets = secrets;
        self.secrets.retain(|secret| !secret.is_empty());
        self
    }

    /// One that sends people to an address who have confirmed a charge with their bank.
    #[must_use]
    pub fn with_return_url(mut self, url: String) -> Self {
        self.return_url = url;
        self
    }

    /// One that waits so long for an answer, instead of thirty seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = timeout;
        self
    }

    /// An answer from the other world, that of real money or that of tests, is not about what was asked.
    fn check_mode(&self, live: bool) -> Result<(), Trouble> {
        if live == self.live {
            return Ok(());
        }
        Err(no_answer(format!("livemode is {live}, but not that of the key")))
    }

    /// Whether a charge is that of an order.
    fn check(&self, intent: &Intent, order: &Order) -> Result<(), Trouble> {
        self.check_mode(intent.livemode)?;
        if intent.is_of(&order.payment.to_string()) {
            return Ok(());
        }
        Err(no_answer(format!("{} is not of {}", intent.id, order.payment)))
    }

    /// What an answer to a charge means, if it is about this one.
    fn seen(&self, intent: Intent, order: &Order) -> Result<Seen, Trouble> {
        self.check(&intent, order)?;
        intent.seen()
    }

    /// What is of the customer of an order, and not older.
    fn of_payer(order: &Order) -> Fields<'static> {
        let since = order.submitted_at.plus_seconds(-SKEW).micros() / 1_000_000;
        vec![
            ("customer", order.payer.clone()),
            ("created[gte]", since.to_string()),
        ]
    }

    /// Goes through the charges of a customer. There is one of an order at most; were there two, the one that took money would count.
    async fn find(&self, order: &Order) -> Result<Option<Intent>, Trouble> {
        let payment = order.payment.to_string();
        let mut intents = List::<Intent>::new(&self.client, INTENTS, Self::of_payer(order), PARTS);
        let mut found = None;
        while let Some(part) = intents.next().await? {
            for intent in part {
                self.check_mode(intent.livemode)?;
                if !intent.is_of(&payment) {
                    continue;
                }
                if intent.is_paid() {
                    return Ok(Some(intent));
                }
                found = found.or(Some(intent));
            }
        }
        Ok(found)
    }

    /// Waits for several answers as long as for one: whoever asks has its order in hand for so long.
    async fn in_time<T>(&self, answers: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let wait = tokio::time::timeout(self.client.timeout, answers).await;
        wait.unwrap_or_else(|_| Err(no_answer("the answers take too long together")))
    }
}

/// Whether a name of Stripe's can become part of an address.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

#[async_trait::async_trait]
impl Provider for Stripe {
    fn is_for_tests(&self) -> bool {
        !self.live
    }

    fn has_on_page(&self, kind: Kind) -> bool {
        match kind {
            Kind::Card | Kind::BankDebit | Kind::Crypto => true,
        }
    }

    async fn enrol(&self, payer: &Payer) -> Result<String, Trouble> {
        let mut fields: Fields<'_> = vec![(CUSTOMER, payer.id.to_string())];
        fields.extend(payer.name.clone().map(|name| ("name", name)));
        fields.extend(payer.email.clone().map(|email| ("email", email)));
        // Stripe refuses a key that comes with other fields, for a day: who has changed an address meanwhile may be enrolled once more.
        let details = Sha256::digest(format!("{:?} {:?}", payer.name, payer.email));
        let key = format!("{}_{}", payer.id, hex::encode(&details[..8]));
        let customer: Named = self.client.post("/v1/customers", &key, &fields).await?;
        self.check_mode(customer.livemode)?;
        Ok(customer.id)
    }

    async fn begin_setup(&self, wish: &SetupWish) -> Result<Setup, Trouble> {
        let back = wish.return_url.as_deref().unwrap_or(NOWHERE);
        let fields: Fields<'_> = vec![
            ("mode", "setup".to_owned()),
            ("customer", wish.payer.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("success_url", back.to_owned()),
            ("cancel_url", back.to_owned()),
        ];
        let session: Session = self.client.post(SESSIONS, &wish.key, &fields).await?;
        self.check_mode(session.livemode)?;
        Ok(Setup {
            reference: session.id,
            url: session.url,
        })
    }

    async fn left(&self, setup: &str) -> Result<Option<Face>, Trouble> {
        if !is_plain(setup) {
            return Err(Trouble::Refused(Decline::Refused));
        }
        let fields: Fields<'_> = vec![("expand[]", "setup_intent.payment_method".to_owned())];
        let session: SessionLeft = self.client.get(&format!("{SESSIONS}/{setup}"), &fields).await?;
        self.check_mode(session.livemode)?;
        session.face()
    }

    async fn charge(&self, order: &Order) -> Result<Seen, Trouble> {
        let number = amounts::to_stripe(order.amount).filter(|number| *number > 0);
        let number = number.ok_or(Trouble::Refused(Decline::Refused))?;
        match &order.way {
            Way::Saved(method) => self.in_time(self.charge_saved(order, method, number)).await,
            Way::Page(checkout) => self.open_page(order, checkout, number).await,
        }
    }

    async fn cancel(&self, order: &Order, reference: &str) -> Result<Seen, Trouble> {
        match Reference::read(reference) {
            Some(Reference::Page(name)) => self.in_time(self.close_page(order, name)).await,
            Some(Reference::Charge(name)) => {
                let path = format!("{INTENTS}/{name}/cancel");
                let key = format!("{}_cancel", order.key());
                // Where it cannot be ended any more, the next look says why.
                let intent = self.client.post(&path, &key, &Fields::new()).await;
                self.seen(intent.map_err(No::into_silence)?, order)
            }
            None => Err(no_answer("a charge without a name of Stripe's")),
        }
    }

    async fn look(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        match &order.way {
            Way::Saved(_) => {
                let found = self.in_time(self.find(order)).await?;
                found.as_ref().map(Intent::seen).transpose()
            }
            Way::Page(_) => self.in_time(self.look_at_page(order)).await,
        }
    }

    async fn refund(&self, order: &Order, refund: &Refund) -> Result<Back, Trouble> {
        self.in_time(self.give_back(order, refund)).await
    }

    async fn returned(&self, order: &Order) -> Result<Vec<Back>, Trouble> {
        self.in_time(self.gone_back(order)).await
    }

    fn read_notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Notice, Unbelieved> {
        self.believe(headers, body, now)
    }

    async fn notices_since(&self, since: Timestamp, now: Timestamp) -> Result<Told, Trouble> {
        self.events(since, now).await
    }
}
