//! Registers of tax numbers: one trait, one file each. A register says whether it knows a number; that the number can be one at all is
//! known before ([`domain::tax::number`]).

pub mod vies;

use domain::tax::{country::Country, number::Kind, registration};

/// What a register of tax numbers does for us. Nothing changes there by asking.
#[async_trait::async_trait]
pub trait TaxRegister: Send + Sync + 'static {
    /// Whether a number is known there, and whose it is.
    async fn look(&self, number: &Asked) -> Result<Verdict, Trouble>;
}

/// A tax number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxNumber {
    /// What kind of number.
    pub kind: Kind,
    /// Of which country.
    pub country: Country,
    /// The number in its one spelling, as [`domain::tax::number::check`] gives it.
    pub value: String,
}

/// What a register is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The number that a customer has given.
    pub number: TaxNumber,
    /// The number of the vendor who wants to know. With it, a register gives a receipt that the vendor can show to tax authorities;
    /// without it, or where the register does not know such numbers, it answers without one.
    pub requester: Option<TaxNumber>,
}

/// What a register says of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is known.
    Valid {
        /// Whose it is; `None`: not told.
        name: Option<String>,
        /// Where they are, in lines; `None`: not told.
        address: Option<String>,
        /// The register's receipt for having been asked; `None`: nobody was named who asks.
        consultation: Option<String>,
    },
    /// It is not known.
    Invalid,
}

impl From<Verdict> for registration::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Valid { name, .. } => Self::Known(name),
            Verdict::Invalid => Self::Unknown,
        }
    }
}

/// Why a register says nothing of a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nothing may be concluded; it may be asked again later.
    #[error("the register of tax numbers did not answer: {0}")]
    NoAnswer(String),
    /// It does not know numbers of this kind or country, ever, and was not asked.
    #[error("the register does not cover such numbers")]
    NotCovered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_register_says_is_told_in_the_words_of_tax() {
        let known = Verdict::Valid {
            name: Some("ACME GmbH".to_owned()),
            address: None,
            consultation: Some("WAPIAAAAZ8Cq1x2b".to_owned()),
        };
        let name = Some("ACME GmbH".to_owned());
        assert_eq!(
            registration::Verdict::from(known),
            registration::Verdict::Known(name)
        );
        let unknown = registration::Verdict::from(Verdict::Invalid);
        assert_eq!(unknown, registration::Verdict::Unknown);
    }
}
