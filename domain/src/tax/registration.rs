//! Tax numbers that customers have given. Source P2: an id, the country, a description, the value, and whether it is verified.

use serde::{Deserialize, Serialize};

use super::{
    country::Country,
    number::{self, Kind},
};
use crate::{
    id::{CustomerId, TaxRegistrationId},
    rejection::Rejection,
    time::Timestamp,
};

/// Most registrations that a customer may have.
pub const MAX_REGISTRATIONS: usize = 10;
/// Longest name that is kept from a register, in characters; more is cut off.
pub const MAX_REGISTERED_NAME: usize = 200;

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Its form is right, and no register has been asked or has answered.
    Unverified,
    /// The register knows it.
    Verified,
    /// The register does not know it.
    Invalid,
}

/// A tax number that a customer has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxRegistration {
    /// Its name in rows.
    pub id: TaxRegistrationId,
    /// Whose.
    pub customer: CustomerId,
    /// What kind of number.
    pub kind: Kind,
    /// Of which country.
    pub country: Country,
    /// The number in its one spelling.
    pub value: String,
    /// What is known of it.
    pub status: Status,
    /// When the register last said that it knows it.
    pub verified_at: Option<Timestamp>,
    /// Whose it is by the register, where the register tells.
    pub registered_name: Option<String>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// What a register says of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is known, and belongs to somebody of this name, if the register tells.
    Known(Option<String>),
    /// It is not known.
    Unknown,
    /// The register did not answer.
    NoAnswer,
}

impl TaxRegistration {
    /// A number that a customer gives, which nobody has verified. `known` are those that the customer has already.
    ///
    /// # Errors
    /// A text that is no such number, one that the customer has already, or too many.
    pub fn new(
        id: TaxRegistrationId,
        customer: CustomerId,
        (kind, country, text): (Kind, Country, &str),
        known: &[Self],
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        if known.len() >= MAX_REGISTRATIONS {
            let message = format!("a customer has at most {MAX_REGISTRATIONS} tax numbers");
            return Err(Rejection::invalid("", message));
        }
        let value = number::check(kind, country, text).map_err(|no| {
            let field = match no {
                number::NotATaxNumber::Country { .. } => "country",
                _ => "value",
            };
            Rejection::invalid(field, no.to_string())
        })?;
        if known
            .iter()
            .any(|other| (other.kind, &other.value) == (kind, &value))
        {
            let code = crate::rejection::RejectionCode::AlreadyExists;
            return Err(Rejection::new(
                code,
                "value",
                "the customer has this number already",
            ));
        }
        Ok(Self {
            id,
            customer,
            kind,
            country,
            value,
            status: Status::Unverified,
            verified_at: None,
            registered_name: None,
            created_at: now,
        })
    }

    /// What kind of number it is, in words.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.kind.description()
    }

    /// The same number after a register was asked. Without an answer nothing changes: a number that was known stays verified.
    #[must_use]
    pub fn judged(self, verdict: Verdict, now: Timestamp) -> Self {
        match verdict {
            Verdict::NoAnswer => self,
            Verdict::Unknown => Self {
                status: Status::Invalid,
                verified_at: None,
                registered_name: None,
                ..self
            },
            Verdict::Known(name) => Self {
                status: Status::Verified,
                verified_at: Some(now),
                registered_name: name.map(|name| name.chars().take(MAX_REGISTERED_NAME).collect()),
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn give(text: &str, known: &[TaxRegistration]) -> Result<TaxRegistration, Rejection> {
        TaxRegistration::new(
            TaxRegistrationId(Uuid::nil()),
            CustomerId(Uuid::nil()),
            (Kind::EuVat, "DE".parse().unwrap(), text),
            known,
            Timestamp::MIN,
        )
    }

    #[test]
    fn numbers_are_kept_in_one_spelling() {
        let first = give("de 136.695-976", &[]).unwrap();
        assert_eq!(
            (first.value.as_str(), first.status),
            ("DE136695976", Status::Unverified)
        );
        assert_eq!(first.description(), "European VAT number");
        let again = give("136695976", std::slice::from_ref(&first)).unwrap_err();
        assert_eq!(again.path, ["value"]);
        assert_eq!(give("136695977", &[]).unwrap_err().path, ["value"]);
        let many = vec![first; MAX_REGISTRATIONS];
        assert!(give("129273398", &many).is_err());
    }

    #[test]
    fn what_registers_say() {
        let given = give("136695976", &[]).unwrap();
        let now = Timestamp::from_micros(7);
        let known = given
            .clone()
            .judged(Verdict::Known(Some("ACME GmbH".to_owned())), now);
        assert_eq!((known.status, known.verified_at), (Status::Verified, Some(now)));
        assert_eq!(known.registered_name.as_deref(), Some("ACME GmbH"));
        assert_eq!(known.clone().judged(Verdict::NoAnswer, now), known);
        let gone = known.judged(Verdict::Unknown, now);
        assert_eq!((gone.status, gone.verified_at), (Status::Invalid, None));
        assert_eq!(given.clone().judged(Verdict::NoAnswer, now), given);
    }
}
