//! Tax numbers: what kinds there are, and which texts can be one.
//!
//! A number that passes has the right form and, where the country has them, the right check digits. That somebody has it is
//! for the country's register to say (see [`super::registration`]).
//!
//! To add a kind: one variant of [`Kind`], its description, its country, and one function in [`world`].

mod eu;
mod eu_lettered;
mod eu_persons;
mod sums;
mod world;

use serde::{Deserialize, Serialize};

use super::country::Country;

/// Longest text that is looked at, in bytes. Bounds the work.
const MAX_TEXT: usize = 40;

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// VAT number of a member state of the European Union.
    EuVat,
    /// VAT number of the United Kingdom.
    GbVat,
    /// VAT number of Northern Ireland. For goods only; for services its holder counts as one in the United Kingdom.
    XiVat,
    /// Switzerland: UID, with or without the ending for VAT.
    ChUid,
    /// Norway: MVA number.
    NoMva,
    /// Australia: ABN.
    AuAbn,
    /// New Zealand: GST number (IRD).
    NzGst,
    /// Canada: business number, with or without a GST/HST account. Of the account only the form is checked.
    CaGst,
    /// India: GSTIN.
    InGst,
    /// Singapore: GST number or UEN. Only the form is checked.
    SgGst,
    /// Japan: corporate number, with or without the `T` of a registered issuer of invoices.
    JpCorporate,
    /// South Korea: business registration number.
    KrBrn,
    /// United States: EIN. Only the form is checked: it has no check digit.
    UsEin,
}

/// Why a text is not a number of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATaxNumber {
    /// The kind does not belong to the country.
    #[error("{country} has no such tax number")]
    Country {
        /// The country.
        country: Country,
    },
    /// Too long, too short, or with signs where they do not belong.
    #[error("it does not have the form of such a number")]
    Form,
    /// The form is right, and a check digit is not: most likely a slip of the pen.
    #[error("its check digits are wrong; is there a digit wrong or missing?")]
    CheckDigits,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::EuVat,
        Self::GbVat,
        Self::XiVat,
        Self::ChUid,
        Self::NoMva,
        Self::AuAbn,
        Self::NzGst,
        Self::CaGst,
        Self::InGst,
        Self::SgGst,
        Self::JpCorporate,
        Self::KrBrn,
        Self::UsEin,
    ];

    /// Its name for people. Source P2: "European VAT number".
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::EuVat => "European VAT number",
            Self::GbVat => "United Kingdom VAT number",
            Self::XiVat => "Northern Ireland VAT number",
            Self::ChUid => "Swiss UID number",
            Self::NoMva => "Norwegian VAT number (MVA)",
            Self::AuAbn => "Australian Business Number (ABN)",
            Self::NzGst => "New Zealand GST number",
            Self::CaGst => "Canadian business number (BN)",
            Self::InGst => "Indian GST number (GSTIN)",
            Self::SgGst => "Singaporean GST number",
            Self::JpCorporate => "Japanese corporate number",
            Self::KrBrn => "Korean business registration number",
            Self::UsEin => "United States EIN",
        }
    }

    /// Whether a country gives out such numbers.
    #[must_use]
    pub fn is_of(self, country: Country) -> bool {
        let only = match self {
            Self::EuVat => return country.is_in_eu(),
            Self::GbVat | Self::XiVat => "GB",
            Self::ChUid => "CH",
            Self::NoMva => "NO",
            Self::AuAbn => "AU",
            Self::NzGst => "NZ",
            Self::CaGst => "CA",
            Self::InGst => "IN",
            Self::SgGst => "SG",
            Self::JpCorporate => "JP",
            Self::KrBrn => "KR",
            Self::UsEin => "US",
        };
        country.code() == only
    }
}

/// A number as people write it, without spaces, dots and dashes and in capital letters.
#[must_use]
pub fn normalise(text: &str) -> String {
    text.chars()
        .filter(|sign| !sign.is_whitespace() && !matches!(sign, '.' | '-' | '‐' | '‑' | '–' | '—'))
        .map(|sign| sign.to_ascii_uppercase())
        .collect()
}

/// Checks a number and gives it in its one spelling: VAT numbers of the EU, the United Kingdom and Northern Ireland begin
/// with their prefix (`EL` for Greece), whether it was written or not.
///
/// # Errors
/// The kind is not one of the country, or the text cannot be a number of the kind.
pub fn check(kind: Kind, country: Country, text: &str) -> Result<String, NotATaxNumber> {
    if !kind.is_of(country) {
        return Err(NotATaxNumber::Country { country });
    }
    let text = normalise(text);
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return Err(NotATaxNumber::Form);
    }
    match kind {
        Kind::EuVat => prefixed(country.vat_prefix(), &text, |rest| eu::check(country, rest)),
        Kind::GbVat => prefixed("GB", &text, world::gb),
        Kind::XiVat => prefixed("XI", &text, world::gb),
        Kind::ChUid => world::ch(&text).map(|()| text),
        Kind::NoMva => world::no(&text),
        Kind::AuAbn => world::au(&text).map(|()| text),
        Kind::NzGst => world::nz(&text).map(|()| text),
        Kind::CaGst => world::ca(&text).map(|()| text),
        Kind::InGst => world::india(&text).map(|()| text),
        Kind::SgGst => world::sg(&text).map(|()| text),
        Kind::JpCorporate => world::jp(&text).map(|()| text),
        Kind::KrBrn => world::kr(&text).map(|()| text),
        Kind::UsEin => world::us(&text).map(|()| text),
    }
}

/// What a check says of a number.
type Checked = Result<(), NotATaxNumber>;

/// A number that is written with its prefix or without. French numbers may themselves begin with `FR`, so both are tried.
fn prefixed(prefix: &str, text: &str, check: impl Fn(&str) -> Checked) -> Result<String, NotATaxNumber> {
    let Some(rest) = text.strip_prefix(prefix) else {
        return check(text).map(|()| format!("{prefix}{text}"));
    };
    match check(rest) {
        Ok(()) => Ok(text.to_owned()),
        Err(no) => check(text).map(|()| format!("{prefix}{text}")).map_err(|_| no),
    }
}

#[cfg(test)]
mod tests;
