//! Countries.

use std::{fmt, str::FromStr};

use crate::text::{debug_by_text, serde_by_text};

/// The countries of ISO 3166-1.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD \
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM \
    KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ \
    SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU \
    WF WS YE YT ZA ZM ZW";
/// The member states of the European Union.
const EU: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";

/// A country of ISO 3166-1, by its code of two capital letters.
///
/// Parts of countries with a tax law of their own (such as the Canary Islands) are regions of [`super::rate::TaxRate`]; here they count
/// as the rest of their country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A text that is not a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a country of ISO 3166-1 such as \"DE\"")]
pub struct NotACountry;

impl Country {
    /// The code: two capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether it is a member state of the European Union. Northern Ireland is not: it follows the Union's rules for goods only, and what
    /// is sold here are services.
    #[must_use]
    pub fn is_in_eu(&self) -> bool {
        EU.split(' ').any(|code| code == self.code())
    }

    /// What its VAT numbers begin with: its code, but `EL` for Greece.
    #[must_use]
    pub fn vat_prefix(&self) -> &str {
        match self.code() {
            "GR" => "EL",
            code => code,
        }
    }
}

impl FromStr for Country {
    type Err = NotACountry;

    fn from_str(text: &str) -> Result<Self, NotACountry> {
        let code: [u8; 2] = text.as_bytes().try_into().map_err(|_| NotACountry)?;
        COUNTRIES
            .split_ascii_whitespace()
            .any(|known| known == text)
            .then_some(Self(code))
            .ok_or(NotACountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

debug_by_text!(Country);
serde_by_text!(Country);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(COUNTRIES.split_ascii_whitespace().count(), 249);
        assert_eq!(EU.split(' ').count(), 27);
        for code in EU.split(' ') {
            assert!(
                code.parse::<Country>().is_ok_and(|country| country.is_in_eu()),
                "{code}"
            );
        }
        for bad in ["", "D", "de", "DEU", "EL", "XI", "EU", "UK", "XX", "€"] {
            assert_eq!(bad.parse::<Country>(), Err(NotACountry), "{bad}");
        }
        for (code, prefix, eu) in [
            ("GR", "EL", true),
            ("DE", "DE", true),
            ("GB", "GB", false),
            ("CH", "CH", false),
        ] {
            let country: Country = code.parse().unwrap();
            assert_eq!((country.vat_prefix(), country.is_in_eu()), (prefix, eu), "{code}");
        }
    }
}
