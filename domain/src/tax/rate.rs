//! The rates that a vendor has to charge.

use serde::{Deserialize, Serialize};

use super::country::Country;
use crate::{
    amount::Percent,
    rejection::{Rejection, RejectionCode},
};

/// Most rates that a vendor may list.
pub const MAX_RATES: usize = 500;
/// Longest name of a rate, in characters.
pub const MAX_NAME: usize = 40;
/// Longest code of a region, in bytes.
pub const MAX_REGION: usize = 6;

/// A tax of a country, or of a region of it.
///
/// Whether prices contain the tax or it is added to them is not said here but by who writes the invoice
/// ([`Prices`](super::levy::Prices)): what was paid for credits contains it whatever the country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxRate {
    /// Of which country.
    pub country: Country,
    /// Of which region, as its code in ISO 3166-2 without the country (`CA` for California); `None`: the whole country.
    pub region: Option<String>,
    /// What it is called on invoices, such as `VAT`, `MwSt.` or `Sales tax`.
    pub name: String,
    /// How much, 0 to 100 with up to four decimal places, such as 19 or 8.875.
    pub percent: Percent,
}

impl TaxRate {
    /// Checks a rate before it is written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self) -> Result<(), Rejection> {
        let refuse = |field, message: String| Err(Rejection::invalid(field, message));
        if self.percent.is_negative() || self.percent > Percent::HUNDRED {
            return refuse("percent", "it is 0 to 100".to_owned());
        }
        if self.name.trim().is_empty() || self.name.chars().count() > MAX_NAME {
            return refuse("name", format!("a name has 1 to {MAX_NAME} characters"));
        }
        let is_region = |code: &String| {
            (1..=MAX_REGION).contains(&code.len())
                && code
                    .bytes()
                    .all(|sign| sign.is_ascii_uppercase() || sign.is_ascii_digit())
        };
        if !self.region.as_ref().is_none_or(is_region) {
            return refuse(
                "region",
                "it must be a code of ISO 3166-2 such as \"CA\"".to_owned(),
            );
        }
        Ok(())
    }

    /// Whether it is charged at a place: those of the country are charged in every region, besides those of the region.
    #[must_use]
    pub fn applies_at(&self, country: Country, region: Option<&str>) -> bool {
        self.country == country && (self.region.is_none() || self.region.as_deref() == region)
    }
}

/// Checks all rates of a vendor together.
///
/// # Errors
/// Too many, one that cannot be, or two of one place with the same name.
pub fn validate(rates: &[TaxRate]) -> Result<(), Rejection> {
    if rates.len() > MAX_RATES {
        return Err(Rejection::invalid("", format!("at most {MAX_RATES} rates")));
    }
    for (index, rate) in rates.iter().enumerate() {
        rate.validate().map_err(|no| no.under(&index.to_string()))?;
        let same = |other: &TaxRate| {
            (other.country, &other.region, &other.name) == (rate.country, &rate.region, &rate.name)
        };
        if rates[..index].iter().any(same) {
            return Err(Rejection::new(
                RejectionCode::AlreadyExists,
                &format!("{index}.name"),
                "another rate of this place has this name",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(place: &str, name: &str, percent: &str) -> TaxRate {
        let (country, region) = place.split_once('-').unwrap_or((place, ""));
        TaxRate {
            country: country.parse().unwrap(),
            region: (!region.is_empty()).then(|| region.to_owned()),
            name: name.to_owned(),
            percent: percent.parse().unwrap(),
        }
    }

    #[test]
    fn what_can_be_a_rate() {
        for (place, name, percent, field) in [
            ("DE", "MwSt.", "19", None),
            ("US-NY", "Sales tax", "8.875", None),
            ("DE", "VAT", "0", None),
            ("DE", "VAT", "100", None),
            ("DE", "VAT", "100.0001", Some("percent")),
            ("DE", "VAT", "-1", Some("percent")),
            ("DE", " ", "1", Some("name")),
            ("US-ny", "Sales tax", "1", Some("region")),
            ("US-NEWYORK", "Sales tax", "1", Some("region")),
        ] {
            let refused = rate(place, name, percent)
                .validate()
                .err()
                .map(|no| no.path.join("."));
            assert_eq!(refused.as_deref(), field, "{place} {name} {percent}");
        }
        let twice = [
            rate("DE", "VAT", "19"),
            rate("FR", "VAT", "20"),
            rate("DE", "VAT", "7"),
        ];
        assert_eq!(validate(&twice[..2]), Ok(()));
        assert_eq!(validate(&twice).unwrap_err().path, ["2", "name"]);
    }

    #[test]
    fn where_a_rate_applies() {
        for (place, country, region, applies) in [
            ("CA", "CA", None, true),
            ("CA", "CA", Some("QC"), true),
            ("CA-QC", "CA", Some("QC"), true),
            ("CA-QC", "CA", Some("ON"), false),
            ("CA-QC", "CA", None, false),
            ("CA", "US", Some("CA"), false),
        ] {
            let rate = rate(place, "tax", "5");
            assert_eq!(
                rate.applies_at(country.parse().unwrap(), region),
                applies,
                "{place}"
            );
        }
    }
}
