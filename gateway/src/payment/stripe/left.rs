//! What a customer has left on a page of Stripe's, in Stripe's words, and what it means in ours.

use domain::payment::{
    decline::Decline,
    method::{Expiry, Face, Kind},
};
use serde::Deserialize;

use crate::payment::Trouble;

/// A page on which a customer leaves a way to pay.
#[derive(Debug, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) livemode: bool,
    pub(super) url: Option<String>,
}

/// The same, with what was left there.
#[derive(Debug, Deserialize)]
pub(super) struct SessionLeft {
    pub(super) livemode: bool,
    setup_intent: Option<SetupIntent>,
}

#[derive(Debug, Deserialize)]
struct SetupIntent {
    status: String,
    payment_method: Option<Method>,
}

#[derive(Debug, Deserialize)]
struct Method {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    billing_details: Option<BillingDetails>,
    card: Option<Card>,
    us_bank_account: Option<Bank>,
    sepa_debit: Option<Bank>,
}

#[derive(Debug, Deserialize)]
struct BillingDetails {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Card {
    brand: String,
    last4: String,
    exp_month: i32,
    exp_year: i32,
}

#[derive(Debug, Deserialize)]
struct Bank {
    bank_name: Option<String>,
    last4: String,
}

impl SessionLeft {
    /// What was left, once the bank has agreed to it.
    pub(super) fn face(self) -> Result<Option<Face>, Trouble> {
        let agreed = self.setup_intent.filter(|intent| intent.status == "succeeded");
        let method = agreed.and_then(|intent| intent.payment_method);
        method.map(Method::face).transpose()
    }
}

impl Method {
    /// What its owner knows it by. Kinds that we do not ask for are not taken.
    fn face(self) -> Result<Face, Trouble> {
        let bank = self.us_bank_account.or(self.sepa_debit);
        let (kind, brand, last_four, expires) = match (self.card, bank) {
            (Some(card), _) => {
                let expires = Expiry {
                    year: card.exp_year,
                    month: card.exp_month,
                };
                (Kind::Card, card.brand, card.last4, Some(expires))
            }
            (None, Some(bank)) => {
                let brand = bank.bank_name.unwrap_or(self.kind);
                (Kind::BankDebit, brand, bank.last4, None)
            }
            (None, None) => return Err(Trouble::Refused(Decline::Refused)),
        };
        Ok(Face {
            reference: self.id,
            kind,
            brand,
            last_four,
            holder: self.billing_details.and_then(|details| details.name),
            expires,
        })
    }
}
