//! Money: minor units of an ISO 4217 currency, with the currency's own number of decimal places.
//!
//! The yen has none, the euro two, the dinar of Kuwait three. A [`Price`](crate::metering::Price) in money keeps twelve places
//! and is rounded once, half to even, when it becomes [`Money`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    amount::{ExactCost, Overflow, ParseAmountError, parse_decimal, part_of},
    text::{debug_by_text, serde_by_text},
};

/// Currencies without decimal places.
const NO_PLACES: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Currencies with three decimal places.
const THREE_PLACES: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Currencies with four decimal places (units of account).
const FOUR_PLACES: &str = "CLF UYW";
/// Currencies with two decimal places.
const TWO_PLACES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE \
    CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR \
    ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN \
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP \
    SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";

/// A currency of ISO 4217, by its code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// A text that is not a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a currency of ISO 4217 such as \"EUR\"")]
pub struct NotACurrency;

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The code: three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Decimal places of the minor unit: 0, 2, 3 or 4.
    #[must_use]
    pub fn places(self) -> u32 {
        let listed = |list: &str| list.split(' ').any(|code| code == self.code());
        match () {
            () if listed(NO_PLACES) => 0,
            () if listed(THREE_PLACES) => 3,
            () if listed(FOUR_PLACES) => 4,
            () => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| NotACurrency)?;
        [TWO_PLACES, NO_PLACES, THREE_PLACES, FOUR_PLACES]
            .into_iter()
            .flat_map(str::split_ascii_whitespace)
            .any(|known| known == text)
            .then_some(Self(code))
            .ok_or(NotACurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

debug_by_text!(Currency);
serde_by_text!(Currency);

/// An amount of money. Signed: what goes back is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: cents for the euro, yen for the yen.
    pub minor: i64,
    /// Of which currency.
    pub currency: Currency,
}

/// Why two amounts of money cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// They are of different currencies.
    #[error("the currencies {0} and {1} differ")]
    Currencies(Currency, Currency),
    /// The result is outside the range.
    #[error(transparent)]
    TooLarge(#[from] Overflow),
}

impl Money {
    /// So many minor units.
    #[must_use]
    pub const fn of(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads an amount such as `"10"` or `"0.05"`.
    ///
    /// # Errors
    /// Not a plain decimal number, more places than the currency has, or too large.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, ParseAmountError> {
        parse_decimal(text, currency.places()).map(|minor| Self { minor, currency })
    }

    /// An exact cost in major units, rounded once to minor units, half to even.
    ///
    /// # Errors
    /// A result outside the range.
    pub fn round(exact: ExactCost, currency: Currency) -> Result<Self, Overflow> {
        let minor = exact.round_to(currency.places())?;
        Ok(Self { minor, currency })
    }

    /// The sum.
    ///
    /// # Errors
    /// Different currencies, or a result outside the range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currencies(self.currency, other.currency));
        }
        let minor = self.minor.checked_add(other.minor).ok_or(Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The same amount with the other sign.
    ///
    /// # Errors
    /// The one number without a counterpart, −2⁶³.
    pub fn negated(self) -> Result<Self, Overflow> {
        let minor = self.minor.checked_neg().ok_or(Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// `part` of `whole`, rounded once to minor units, half to even.
    ///
    /// # Errors
    /// A result outside the range.
    pub fn share(self, part: i64, whole: i64) -> Result<Self, Overflow> {
        let minor = part_of(self.minor, part, whole)?;
        Ok(Self { minor, ..self })
    }

    /// The amount as a decimal number with all places of the currency, such as `10.00`.
    #[must_use]
    pub fn amount(&self) -> String {
        let places = self.currency.places();
        let scale = 10_u64.pow(places);
        let sign = if self.minor < 0 { "-" } else { "" };
        let (whole, fraction) = (
            self.minor.unsigned_abs() / scale,
            self.minor.unsigned_abs() % scale,
        );
        if places == 0 {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole}.{fraction:0width$}", width = places as usize)
    }
}

impl fmt::Display for Money {
    /// `10.00 EUR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{Quantity, Rate};

    fn currency(code: &str) -> Currency {
        code.parse().unwrap_or_else(|_| panic!("{code}"))
    }

    #[test]
    fn each_currency_has_its_own_places() {
        for (code, text, minor, shown) in [
            ("EUR", "10", 1_000, "10.00 EUR"),
            ("USD", "-0.05", -5, "-0.05 USD"),
            ("JPY", "500", 500, "500 JPY"),
            ("KWD", "1.005", 1_005, "1.005 KWD"),
            ("CLF", "0.0001", 1, "0.0001 CLF"),
        ] {
            let money = Money::parse(text, currency(code));
            assert_eq!(money, Ok(Money::of(minor, currency(code))), "{text} {code}");
            assert_eq!(Money::of(minor, currency(code)).to_string(), shown);
        }
        assert_eq!(
            Money::parse("0.5", currency("JPY")),
            Err(ParseAmountError::TooPrecise(0))
        );
        assert_eq!(
            Money::parse("0.005", currency("EUR")),
            Err(ParseAmountError::TooPrecise(2))
        );
    }

    #[test]
    fn what_is_not_a_currency_is_refused() {
        for bad in ["", "EU", "eur", "EURO", "XXX", "E R", "XBT", "€uR"] {
            assert_eq!(bad.parse::<Currency>(), Err(NotACurrency), "{bad}");
        }
    }

    #[test]
    fn currencies_do_not_mix_and_nothing_wraps() {
        let (euro, dollar) = (Money::of(1, Currency::EUR), Money::of(1, Currency::USD));
        assert_eq!(
            euro.plus(dollar),
            Err(MoneyError::Currencies(Currency::EUR, Currency::USD))
        );
        assert_eq!(
            Money::of(i64::MAX, Currency::EUR).plus(euro),
            Err(MoneyError::TooLarge(Overflow))
        );
    }

    #[test]
    fn costs_and_shares_round_once_half_to_even() {
        let rate: Rate = "0.005".parse().unwrap_or_default();
        for (units, code, minor) in [
            (1, "EUR", 0),
            (3, "EUR", 2),
            (5, "EUR", 2),
            (7, "EUR", 4),
            (1, "KWD", 5),
            (100, "JPY", 0),
            (300, "JPY", 2),
        ] {
            let exact = ExactCost::of(Quantity::whole(units).unwrap_or_default(), rate);
            assert_eq!(
                Money::round(exact, currency(code)),
                Ok(Money::of(minor, currency(code))),
                "{units} {code}"
            );
        }
        for (minor, part, whole, share) in [
            (100, 1, 3, 33),
            (5, 1, 2, 2),
            (7, 1, 2, 4),
            (-5, 1, 2, -2),
            (9, 0, 2, 0),
            (9, 2, 2, 9),
        ] {
            let money = Money::of(minor, Currency::EUR);
            assert_eq!(
                money.share(part, whole),
                Ok(Money::of(share, Currency::EUR)),
                "{minor}"
            );
        }
    }
}
