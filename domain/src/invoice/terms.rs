//! How a vendor bills: who it is, how its invoices are numbered and taxed, and until when they are to be paid.

use serde::{Deserialize, Serialize};

use super::{
    number::Prefix,
    party::{Party, TaxId},
    state::MAX_NET_DAYS,
};
use crate::{
    rejection::Rejection,
    tax::{
        decide::{Buyer, Seller, Treatment, decide},
        levy::Prices,
        rate::{self, TaxRate},
        registration::TaxRegistration,
    },
};

/// Longest time that a draft waits, in seconds: 30 days.
pub const MAX_DRAFT_SECONDS: i64 = 30 * 86_400;
/// Longest text at the foot of an invoice, in characters.
pub const MAX_FOOTER: usize = 1_000;
/// Longest VAT number, in characters.
const MAX_VAT_NUMBER: usize = 30;

/// How a vendor bills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingTerms {
    /// The vendor, as it stands on invoices. Its country decides on taxes.
    pub seller: Party,
    /// The vendor's own VAT number, such as `DE136695976`. Without one, a seller in the EU cannot leave the tax to the buyer.
    pub vat_number: Option<String>,
    /// What numbers begin with.
    pub prefix: Prefix,
    /// Days until an invoice is to be paid, 0 to 366.
    pub net_days: i32,
    /// Whether fees and prices in money contain the taxes.
    pub prices: Prices,
    /// The taxes that the vendor has to charge.
    pub rates: Vec<TaxRate>,
    /// Whether invoices are charged to the customer's default payment method.
    pub collects: bool,
    /// How long a draft waits before it is issued by itself, in seconds, up to 30 days.
    pub draft_seconds: i64,
    /// What else stands on every invoice.
    pub footer: Option<String>,
}

impl BillingTerms {
    /// Checks terms before they are written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self) -> Result<(), Rejection> {
        self.seller.validate().map_err(|no| no.under("seller"))?;
        let refuse = |field, message: String| Err(Rejection::invalid(field, message));
        if self.seller.name.trim().is_empty() {
            return refuse("seller.name", "an invoice says who sells".to_owned());
        }
        if self.seller.address.country.is_none() {
            return refuse(
                "seller.address.country",
                "taxes depend on the seller's country".to_owned(),
            );
        }
        if !(0..=MAX_NET_DAYS).contains(&self.net_days) {
            return refuse("netDays", format!("0 to {MAX_NET_DAYS} days"));
        }
        if !(0..=MAX_DRAFT_SECONDS).contains(&self.draft_seconds) {
            return refuse("draftSeconds", format!("0 to {MAX_DRAFT_SECONDS} seconds"));
        }
        let is_number = |text: &String| {
            (1..=MAX_VAT_NUMBER).contains(&text.len())
                && text.chars().all(|sign| sign.is_ascii_alphanumeric())
        };
        if !self.vat_number.as_ref().is_none_or(is_number) {
            return refuse(
                "vatNumber",
                format!("letters and digits, at most {MAX_VAT_NUMBER}"),
            );
        }
        let is_footer = |text: &String| text.chars().count() <= MAX_FOOTER;
        if !self.footer.as_ref().is_none_or(is_footer) {
            return refuse("footer", format!("at most {MAX_FOOTER} characters"));
        }
        rate::validate(&self.rates).map_err(|no| no.under("taxRates"))
    }

    /// The vendor as it is printed, with its VAT number.
    #[must_use]
    pub fn printed_seller(&self) -> Party {
        let mut seller = self.seller.clone();
        if let (Some(value), Some(country)) = (&self.vat_number, seller.address.country) {
            seller.tax_ids.push(TaxId {
                description: "VAT number".to_owned(),
                country,
                value: value.clone(),
            });
        }
        seller
    }

    /// Which taxes a sale bears. A buyer whose country is not known is taken to be in the seller's: so no tax is left out that may be due.
    #[must_use]
    pub fn treat(&self, buyer: &Party, registrations: &[TaxRegistration]) -> Treatment {
        let Some(country) = self.seller.address.country else {
            // Refused when it was written; without a country there is no rate to charge.
            return Treatment::untaxed();
        };
        let seller = Seller {
            country,
            vat_number: self.vat_number.clone(),
        };
        let region = Some(buyer.address.region.as_str()).filter(|region| !region.is_empty());
        let buyer = Buyer {
            country: buyer.address.country.unwrap_or(country),
            region,
            registrations,
        };
        decide(&seller, buyer, &self.rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoice::party::Address;

    fn terms() -> BillingTerms {
        BillingTerms {
            seller: Party {
                name: "Vendor".to_owned(),
                address: Address {
                    country: Some("DE".parse().unwrap()),
                    ..Address::default()
                },
                ..Party::default()
            },
            vat_number: Some("DE136695976".to_owned()),
            prefix: Prefix::default(),
            net_days: 14,
            prices: Prices::WithoutTax,
            rates: vec![TaxRate {
                country: "DE".parse().unwrap(),
                region: None,
                name: "MwSt.".to_owned(),
                percent: "19".parse().unwrap(),
            }],
            collects: true,
            draft_seconds: 0,
            footer: None,
        }
    }

    #[test]
    fn terms_are_checked() {
        assert_eq!(terms().validate(), Ok(()));
        type Spoil = fn(&mut BillingTerms);
        let wrong: [(&str, Spoil); 7] = [
            ("seller.name", |it| it.seller.name = " ".to_owned()),
            ("seller.address.country", |it| it.seller.address.country = None),
            ("netDays", |it| it.net_days = 367),
            ("draftSeconds", |it| it.draft_seconds = -1),
            ("vatNumber", |it| it.vat_number = Some("DE 1".to_owned())),
            ("footer", |it| it.footer = Some("x".repeat(1_001))),
            ("taxRates.1", |it| it.rates.push(it.rates[0].clone())),
        ];
        for (field, spoil) in wrong {
            let mut terms = terms();
            spoil(&mut terms);
            let no = terms.validate().unwrap_err();
            assert!(no.path.join(".").starts_with(field), "{field}: {:?}", no.path);
        }
    }

    #[test]
    fn who_does_not_say_where_is_taxed_at_home() {
        let treatment = terms().treat(&Party::default(), &[]);
        assert_eq!(treatment.rates.len(), 1);
        let mut abroad = Party::default();
        abroad.address.country = Some("US".parse().unwrap());
        assert_eq!(terms().treat(&abroad, &[]).rates, []);
        assert_eq!(terms().printed_seller().tax_ids[0].value, "DE136695976");
    }
}
