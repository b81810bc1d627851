//! Which taxes a sale bears, and what has to be written on its invoice.
//!
//! The rules, first match wins. "Listed" is what the vendor has among its rates.
//!
//! | buyer | tax |
//! |---|---|
//! | in the seller's country | the listed rates of the place |
//! | business in another member state of the EU, VAT number verified | none: reverse charge, with a note |
//! | in another member state, seller in the EU | the listed rates of the buyer's country, else those of the seller's |
//! | anywhere else | the listed rates of the buyer's place, else none, with a note |
//!
//! What is sold are services. Northern Ireland belongs to the EU's VAT for goods only, so its numbers (`XI`) never lead to a reverse
//! charge: their holders count as buyers in the United Kingdom.

use serde::{Deserialize, Serialize};

use super::{
    country::Country,
    number::Kind,
    rate::TaxRate,
    registration::{Status, TaxRegistration},
};
use crate::amount::Percent;

/// Who sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seller {
    /// Where it is established.
    pub country: Country,
    /// Its own VAT number as it stands on invoices, such as `DE136695976`. Without one, a seller in the EU cannot leave the tax to the
    /// buyer.
    pub vat_number: Option<String>,
}

/// Who buys.
#[derive(Debug, Clone, Copy)]
pub struct Buyer<'a> {
    /// Where it is established or lives.
    pub country: Country,
    /// In which region, as its code in ISO 3166-2 without the country.
    pub region: Option<&'a str>,
    /// The tax numbers that it has given.
    pub registrations: &'a [TaxRegistration],
}

/// Why a sale is taxed as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ground {
    /// Seller and buyer are in one country.
    Domestic,
    /// The buyer, a business in another member state of the EU, owes the tax.
    ReverseCharge,
    /// In another member state: taxed as in the buyer's country.
    EuAtBuyer,
    /// In another member state: taxed as in the seller's country, because the vendor lists no rate for the buyer's.
    EuAtSeller,
    /// Across a border: taxed as in the buyer's country.
    AtBuyer,
    /// Across a border: not taxed, because the vendor lists no rate for the buyer's country.
    Export,
}

/// What a decision comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Why.
    pub ground: Ground,
    /// What is charged. A reverse charge is one rate of zero percent, so that the invoice shows it.
    pub rates: Vec<TaxRate>,
    /// What has to be written on the invoice.
    pub note: Option<String>,
}

impl Treatment {
    /// Nothing is charged, and nothing said about it.
    #[must_use]
    pub fn untaxed() -> Self {
        Self {
            ground: Ground::Export,
            rates: Vec::new(),
            note: None,
        }
    }
}

/// Decides on a sale.
#[must_use]
pub fn decide(seller: &Seller, buyer: Buyer<'_>, rates: &[TaxRate]) -> Treatment {
    let at_buyer = listed(rates, buyer.country, buyer.region);
    let plain = |ground, rates| Treatment {
        ground,
        rates,
        note: None,
    };
    if seller.country == buyer.country {
        return plain(Ground::Domestic, at_buyer);
    }
    if let Some(treatment) = reverse_charge(seller, buyer) {
        return treatment;
    }
    let is_inside = seller.country.is_in_eu() && buyer.country.is_in_eu();
    match (is_inside, at_buyer.is_empty()) {
        (true, false) => plain(Ground::EuAtBuyer, at_buyer),
        (true, true) => plain(Ground::EuAtSeller, listed(rates, seller.country, None)),
        (false, false) => plain(Ground::AtBuyer, at_buyer),
        (false, true) => Treatment {
            ground: Ground::Export,
            rates: Vec::new(),
            note: Some(format!(
                "No tax is charged: services supplied from {} to a customer in {}.",
                seller.country, buyer.country
            )),
        },
    }
}

/// A business in another member state owes the tax itself, wherever the seller is. Only a number that its register knows makes a buyer a
/// business, and only one of the country where the buyer is.
fn reverse_charge(seller: &Seller, buyer: Buyer<'_>) -> Option<Treatment> {
    let number = buyer.registrations.iter().find(|given| {
        given.kind == Kind::EuVat && given.status == Status::Verified && given.country == buyer.country
    })?;
    let own = match &seller.vat_number {
        Some(own) => format!("supplier's VAT number {own}, "),
        None if seller.country.is_in_eu() => return None,
        None => String::new(),
    };
    Some(Treatment {
        ground: Ground::ReverseCharge,
        rates: vec![TaxRate {
            country: buyer.country,
            region: None,
            name: "Reverse charge".to_owned(),
            percent: Percent::ZERO,
        }],
        note: Some(format!(
            "Reverse charge: VAT is to be accounted for by the customer (Article 196 of Directive 2006/112/EC); {own}customer's VAT \
             number {}.",
            number.value
        )),
    })
}

fn listed(rates: &[TaxRate], country: Country, region: Option<&str>) -> Vec<TaxRate> {
    rates
        .iter()
        .filter(|rate| rate.applies_at(country, region))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use uuid::Uuid;

    use super::*;
    use crate::{
        id::{CustomerId, TaxRegistrationId},
        time::Timestamp,
    };

    fn rates() -> Vec<TaxRate> {
        [
            ("DE", None, "19"),
            ("FR", None, "20"),
            ("GB", None, "20"),
            ("CA", None, "5"),
            ("CA", Some("QC"), "9.975"),
            ("US", Some("NY"), "8.875"),
        ]
        .map(|(country, region, percent)| TaxRate {
            country: country.parse().unwrap(),
            region: region.map(str::to_owned),
            name: format!("{country} tax"),
            percent: percent.parse().unwrap(),
        })
        .into()
    }

    fn registration(kind: Kind, country: &str, value: &str, status: Status) -> TaxRegistration {
        TaxRegistration {
            id: TaxRegistrationId(Uuid::nil()),
            customer: CustomerId(Uuid::nil()),
            kind,
            country: country.parse().unwrap(),
            value: value.to_owned(),
            status,
            verified_at: None,
            registered_name: None,
            created_at: Timestamp::MIN,
        }
    }

    /// The numbers that the table speaks of.
    fn given(name: &str) -> Vec<TaxRegistration> {
        use Status::{Invalid, Unverified, Verified};
        match name {
            "" => Vec::new(),
            "FR" => vec![registration(Kind::EuVat, "FR", "FR40303265045", Verified)],
            "FR?" => vec![registration(Kind::EuVat, "FR", "FR40303265045", Unverified)],
            "FR!" => vec![registration(Kind::EuVat, "FR", "FR40303265045", Invalid)],
            "GR" => vec![registration(Kind::EuVat, "GR", "EL094259216", Verified)],
            "XI" => vec![registration(Kind::XiVat, "GB", "XI110305878", Verified)],
            "GB" => vec![registration(Kind::GbVat, "GB", "GB110305878", Verified)],
            other => panic!("{other}"),
        }
    }

    #[test]
    fn decisions() {
        use Ground::{AtBuyer, Domestic, EuAtBuyer, EuAtSeller, Export, ReverseCharge};
        for (from, own, to, number, ground, percents) in [
            ("DE", true, "DE", "", Domestic, &["19"][..]),
            ("DE", true, "DE", "FR", Domestic, &["19"]),
            ("DE", true, "FR", "FR", ReverseCharge, &["0"]),
            ("DE", true, "FR", "", EuAtBuyer, &["20"]),
            ("DE", true, "FR", "FR?", EuAtBuyer, &["20"]),
            ("DE", true, "FR", "FR!", EuAtBuyer, &["20"]),
            // The number of another country than its own says nothing.
            ("DE", true, "FR", "GR", EuAtBuyer, &["20"]),
            ("DE", true, "GR", "GR", ReverseCharge, &["0"]),
            ("DE", true, "GR", "", EuAtSeller, &["19"]),
            // A seller without a number charges tax.
            ("DE", false, "GR", "GR", EuAtSeller, &["19"]),
            ("DE", true, "GB", "XI", AtBuyer, &["20"]),
            ("DE", true, "GB", "GB", AtBuyer, &["20"]),
            ("DE", true, "CH", "", Export, &[]),
            ("DE", true, "US-NY", "", AtBuyer, &["8.875"]),
            ("DE", true, "US-CA", "", Export, &[]),
            ("DE", true, "CA-QC", "", AtBuyer, &["5", "9.975"]),
            ("DE", true, "CA", "", AtBuyer, &["5"]),
            // From outside the EU.
            ("US", false, "US-NY", "", Domestic, &["8.875"]),
            ("US", false, "US", "", Domestic, &[]),
            ("US", false, "DE", "", AtBuyer, &["19"]),
            ("US", false, "FR", "FR", ReverseCharge, &["0"]),
            ("GB", true, "FR", "FR", ReverseCharge, &["0"]),
            ("US", false, "IT", "", Export, &[]),
        ] {
            let seller = Seller {
                country: from.parse().unwrap(),
                vat_number: own.then(|| "DE136695976".to_owned()),
            };
            let (country, region) = to
                .split_once('-')
                .map_or((to, None), |(country, region)| (country, Some(region)));
            let buyer = Buyer {
                country: country.parse().unwrap(),
                region,
                registrations: &given(number),
            };
            let found = decide(&seller, buyer, &rates());
            let shown: Vec<String> = found.rates.iter().map(|rate| rate.percent.to_string()).collect();
            assert_eq!(found.ground, ground, "{from} to {to} {number}");
            assert_eq!(shown, percents, "{from} to {to} {number}");
            let noted = matches!(ground, ReverseCharge | Export);
            assert_eq!(found.note.is_some(), noted, "{from} to {to} {number}");
        }
    }

    #[test]
    fn a_reverse_charge_is_explained() {
        let seller = Seller {
            country: "DE".parse().unwrap(),
            vat_number: Some("DE136695976".to_owned()),
        };
        let buyer = Buyer {
            country: "GR".parse().unwrap(),
            region: None,
            registrations: &given("GR"),
        };
        let note = decide(&seller, buyer, &rates()).note.unwrap();
        assert_eq!(
            note,
            "Reverse charge: VAT is to be accounted for by the customer (Article 196 of Directive 2006/112/EC); supplier's VAT number \
             DE136695976, customer's VAT number EL094259216."
        );
    }

    proptest! {
        /// Only a verified number of the EU and of the buyer's own country spares the tax of a listed place.
        #[test]
        fn reverse_charge_needs_a_verified_number(
            from in select(vec!["DE", "FR", "GB", "US"]),
            to in select(vec!["DE", "FR", "GR", "GB", "US", "CH"]),
            numbers in prop::collection::vec(select(vec!["", "FR", "FR?", "FR!", "GR", "XI", "GB"]), 0..4),
            own in any::<bool>(),
        ) {
            let seller = Seller { country: from.parse().unwrap(), vat_number: own.then(|| "DE136695976".to_owned()) };
            let registrations: Vec<_> = numbers.iter().flat_map(|name| given(name)).collect();
            let buyer = Buyer { country: to.parse().unwrap(), region: None, registrations: &registrations };
            let found = decide(&seller, buyer, &rates());
            let may = from != to && numbers.contains(&to) && matches!(to, "FR" | "GR") && (own || !seller.country.is_in_eu());
            prop_assert_eq!(found.ground == Ground::ReverseCharge, may);
            if !may && rates().iter().any(|rate| rate.applies_at(buyer.country, None)) {
                prop_assert!(found.rates.iter().all(|rate| rate.percent.is_positive()));
                prop_assert!(!found.rates.is_empty());
            }
        }
    }
}
