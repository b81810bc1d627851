//! Pages of Stripe's on which a customer pays now.
//!
//! While a page is open the customer may try one card after another, so that a charge which was declined there says nothing: the page
//! decides. Once it is closed the charge that was made on it does, under its own name.

use std::collections::HashMap;

use domain::{
    money::{Currency, Money},
    payment::{Checkout, Order, Outcome, Seen, decline::Decline, method::Kind},
};
use serde::Deserialize;

use super::{
    CUSTOMER, INTENTS, NOWHERE, PARTS, SESSIONS, Stripe,
    amounts::from_stripe,
    client::{Fields, No},
    is_plain,
    lists::{List, Listed},
    words::{Intent, PAYMENT, no_answer},
};
use crate::payment::Trouble;

/// What names of pages begin with.
const PAGE: &str = "cs_";
/// What names of charges begin with.
const CHARGE: &str = "pi_";

/// How Stripe calls a kind; `None`: it does not take it in this currency.
fn name(kind: Kind, currency: Currency) -> Option<&'static str> {
    match (kind, currency.code()) {
        (Kind::Card, _) => Some("card"),
        (Kind::BankDebit, "USD") => Some("us_bank_account"),
        (Kind::BankDebit, "EUR") => Some("sepa_debit"),
        (Kind::Crypto, "USD") => Some("crypto"),
        (Kind::BankDebit | Kind::Crypto, _) => None,
    }
}

/// What a customer can choose among there; `None`: not all that was asked for can be had.
fn names(checkout: &Checkout, currency: Currency) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    for kind in &checkout.kinds {
        let name = name(*kind, currency)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then_some(names)
}

/// What a name that we keep is the name of.
pub(super) enum Reference<'a> {
    /// A page.
    Page(&'a str),
    /// A charge.
    Charge(&'a str),
}

impl<'a> Reference<'a> {
    /// `None`: a name that is none of Stripe's.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        match () {
            () if !is_plain(name) => None,
            () if name.starts_with(PAGE) => Some(Self::Page(name)),
            () if name.starts_with(CHARGE) => Some(Self::Charge(name)),
            () => None,
        }
    }
}

/// A page among others, of whatever kind.
#[derive(Debug, Deserialize)]
struct Opened {
    id: String,
    livemode: bool,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

impl Listed for Opened {
    fn id(&self) -> &str {
        &self.id
    }
}

/// A page on which a customer pays, with the charge that is made on it.
#[derive(Debug, Deserialize)]
pub(super) struct PaySession {
    id: String,
    livemode: bool,
    #[serde(default)]
    metadata: HashMap<String, String>,
    status: String,
    payment_status: String,
    amount_total: i64,
    currency: String,
    url: Option<String>,
    /// `None`: nobody has tried to pay yet.
    pub(super) payment_intent: Option<Intent>,
}

impl PaySession {
    /// What it means. A word that we do not know means nothing.
    fn seen(self) -> Result<Seen, Trouble> {
        let outcome = match (self.status.as_str(), self.payment_intent) {
            // Money counts, whatever the page says.
            (_, Some(intent)) if intent.may_be_paid() => return intent.seen(),
            ("open", _) => Outcome::RequiresAction { url: self.url },
            ("expired", _) => Outcome::Declined(Decline::NotConfirmed),
            ("complete", Some(intent)) if self.payment_status == "unpaid" => return intent.seen(),
            (status, _) => {
                let paid = self.payment_status;
                return Err(no_answer(format!("{} is {status:?} and {paid:?}", self.id)));
            }
        };
        let amount = amount(self.amount_total, &self.currency, &self.id)?;
        Ok(Seen {
            reference: self.id,
            amount,
            outcome,
        })
    }
}

/// An amount of Stripe's, of something.
pub(super) fn amount(number: i64, currency: &str, of: &str) -> Result<Money, Trouble> {
    let amount = from_stripe(number, currency);
    amount.ok_or_else(|| no_answer(format!("{of} is about {number} {currency:?}")))
}

/// The charge that is made on a page is to come with it.
fn with_charge() -> (&'static str, String) {
    ("expand[]", "payment_intent".to_owned())
}

impl Stripe {
    /// Opens the page of an order.
    pub(super) async fn open_page(
        &self,
        order: &Order,
        checkout: &Checkout,
        number: i64,
    ) -> Result<Seen, Trouble> {
        let names = names(checkout, order.amount.currency);
        let names = names.ok_or(Trouble::Refused(Decline::Refused))?;
        let back = checkout.return_url.as_deref().unwrap_or(NOWHERE);
        let payment = order.payment.to_string();
        let (on_page, on_charge) = (
            format!("metadata[{PAYMENT}]"),
            format!("payment_intent_data[metadata][{PAYMENT}]"),
        );
        let item = |name| format!("line_items[0]{name}");
        let (currency, amount) = (item("[price_data][currency]"), item("[price_data][unit_amount]"));
        let (product, quantity) = (item("[price_data][product_data][name]"), item("[quantity]"));
        let mut fields: Fields<'_> = vec![
            ("mode", "payment".to_owned()),
            ("customer", order.payer.clone()),
            (&currency, order.amount.currency.code().to_ascii_lowercase()),
            (&amount, number.to_string()),
            // The customer reads it, and can tell the vendor of it.
            (&product, format!("Payment {payment}")),
            (&quantity, "1".to_owned()),
            (&on_page, payment.clone()),
            (&on_charge, payment),
            (CUSTOMER, order.customer.to_string()),
            ("success_url", back.to_owned()),
            ("cancel_url", back.to_owned()),
            with_charge(),
        ];
        fields.extend(
            names
                .into_iter()
                .map(|name| ("payment_method_types[]", name.to_owned())),
        );
        let session = self.client.post(SESSIONS, &order.key(), &fields).await?;
        self.own_page(session, order)?.seen()
    }

    /// A page, if it is that of an order.
    fn own_page(&self, session: PaySession, order: &Order) -> Result<PaySession, Trouble> {
        self.check_mode(session.livemode)?;
        let payment = order.payment.to_string();
        if session.metadata.get(PAYMENT) != Some(&payment) {
            return Err(no_answer(format!("{} is not of {payment}", session.id)));
        }
        if let Some(intent) = &session.payment_intent {
            self.check(intent, order)?;
        }
        Ok(session)
    }

    /// The page of an order, by its name.
    pub(super) async fn page(&self, order: &Order, name: &str) -> Result<PaySession, Trouble> {
        let path = format!("{SESSIONS}/{name}");
        let session = self.client.get(&path, &vec![with_charge()]).await;
        self.own_page(session.map_err(No::into_silence)?, order)
    }

    /// How an order stands that is paid on a page.
    pub(super) async fn look_at_page(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        match order.reference.as_deref().and_then(Reference::read) {
            Some(Reference::Page(name)) => self.page(order, name).await?.seen().map(Some),
            Some(Reference::Charge(name)) => {
                let path = format!("{INTENTS}/{name}");
                let intent = self.client.get(&path, &Fields::new()).await;
                self.seen(intent.map_err(No::into_silence)?, order).map(Some)
            }
            None => self.find_page(order).await,
        }
    }

    /// Goes through the charges and the pages of a customer: a page on which nobody has tried to pay has no charge. Were there two pages
    /// of an order, the one that took money would count.
    async fn find_page(&self, order: &Order) -> Result<Option<Seen>, Trouble> {
        let charge = self.find(order).await?;
        if let Some(paid) = charge.as_ref().filter(|charge| charge.is_paid()) {
            return paid.seen().map(Some);
        }
        let payment = order.payment.to_string();
        let mut pages = List::<Opened>::new(&self.client, SESSIONS, Self::of_payer(order), PARTS);
        while let Some(part) = pages.next().await? {
            for page in part {
                self.check_mode(page.livemode)?;
                if page.metadata.get(PAYMENT) == Some(&payment) {
                    return self.page(order, &page.id).await?.seen().map(Some);
                }
            }
        }
        charge.as_ref().map(Intent::seen).transpose()
    }

    /// Closes a page, so that nobody can pay on it any more, if it is that of the order. One that was paid meanwhile cannot be closed: how
    /// it stands is read afterwards in any case.
    pub(super) async fn close_page(&self, order: &Order, name: &str) -> Result<Seen, Trouble> {
        let page = self.page(order, name).await?;
        if page.status != "open" {
            return page.seen();
        }
        let path = format!("{SESSIONS}/{name}/expire");
        let key = format!("{}_expire", order.key());
        let closed = self.client.post::<Opened>(&path, &key, &Fields::new()).await;
        match closed {
            Ok(_) | Err(No::Complaint(_)) => self.page(order, name).await?.seen(),
            Err(silence) => Err(silence.into_silence()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_offered_in_the_currencies_in_which_they_can_be_had() {
        let offered = |kinds: &[Kind], code: &str| {
            let checkout = Checkout {
                kinds: kinds.to_vec(),
                return_url: None,
            };
            names(&checkout, code.parse().unwrap())
        };
        let all = [Kind::Card, Kind::BankDebit, Kind::Crypto, Kind::Card];
        assert_eq!(
            offered(&all, "USD"),
            Some(vec!["card", "us_bank_account", "crypto"])
        );
        assert_eq!(offered(&all[..2], "EUR"), Some(vec!["card", "sepa_debit"]));
        assert_eq!(offered(&[Kind::Card], "JPY"), Some(vec!["card"]));
        for (kinds, code) in [(&all[..], "EUR"), (&all[..2], "GBP"), (&[], "USD")] {
            assert_eq!(offered(kinds, code), None, "{kinds:?} {code}");
        }
    }
}
