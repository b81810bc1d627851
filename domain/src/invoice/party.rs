//! Who sells and who buys, as it stands on an invoice.

use serde::{Deserialize, Serialize};

use crate::{
    rejection::Rejection,
    tax::{country::Country, registration::TaxRegistration},
};

/// Longest text of one field, in characters.
pub const MAX_FIELD: usize = 200;
/// Longest e-mail address, in bytes.
pub const MAX_EMAIL: usize = 254;

/// A postal address. Its fields are those of source P2. An empty text: not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub line1: String,
    /// What else helps to find it.
    pub line2: String,
    /// City.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// Region or province, as its code in ISO 3166-2 without the country where taxes depend on it.
    pub region: String,
    /// Country.
    pub country: Option<Country>,
}

/// A tax number as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxId {
    /// What kind of number, in words.
    pub description: String,
    /// Of which country.
    pub country: Country,
    /// The number.
    pub value: String,
}

/// A seller or buyer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Name of the company or person.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Where invoices are sent; `None`: not given.
    pub email: Option<String>,
    /// Its tax numbers.
    pub tax_ids: Vec<TaxId>,
    /// Number of the buyer's purchase order; `None`: not given.
    pub purchase_order: Option<String>,
}

impl From<&TaxRegistration> for TaxId {
    fn from(given: &TaxRegistration) -> Self {
        Self {
            description: given.description().to_owned(),
            country: given.country,
            value: given.value.clone(),
        }
    }
}

impl Party {
    /// Checks it before it is written.
    ///
    /// # Errors
    /// Which field is too long, has signs that cannot be printed, or is no e-mail address.
    pub fn validate(&self) -> Result<(), Rejection> {
        let Address {
            line1,
            line2,
            city,
            postal_code,
            region,
            country: _,
        } = &self.address;
        for (field, text) in [
            ("name", &self.name),
            ("address.line1", line1),
            ("address.line2", line2),
            ("address.city", city),
            ("address.postalCode", postal_code),
            ("address.region", region),
            (
                "purchaseOrder",
                self.purchase_order.as_ref().unwrap_or(&String::new()),
            ),
        ] {
            if text.chars().count() > MAX_FIELD {
                return Err(Rejection::invalid(
                    field,
                    format!("at most {MAX_FIELD} characters"),
                ));
            }
            if text.chars().any(char::is_control) {
                return Err(Rejection::invalid(field, "it must be one line of plain text"));
            }
        }
        match &self.email {
            Some(email) if !is_email(email) => {
                Err(Rejection::invalid("email", "it must be an e-mail address"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a text can be an e-mail address. Only the mail itself proves that it is one.
fn is_email(text: &str) -> bool {
    let plain =
        text.len() <= MAX_EMAIL && !text.chars().any(|sign| sign.is_whitespace() || sign.is_control());
    plain
        && text
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !local.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_printed() {
        let named = |name: &str| Party {
            name: name.to_owned(),
            ..Party::default()
        };
        let mailed = |email: &str| Party {
            email: Some(email.to_owned()),
            ..Party::default()
        };
        for (party, field) in [
            (named("ACME GmbH & Co. KG"), None),
            (named("株式会社アクメ"), None),
            (named("two\nlines"), Some("name")),
            (named(&"x".repeat(201)), Some("name")),
            (mailed("billing@acme.example"), None),
            (mailed("acme.example"), Some("email")),
            (mailed("a b@acme.example"), Some("email")),
            (mailed("@acme.example"), Some("email")),
            (mailed("a@b@c"), Some("email")),
        ] {
            let refused = party.validate().err().map(|no| no.path.join("."));
            assert_eq!(refused.as_deref(), field, "{party:?}");
        }
    }
}
