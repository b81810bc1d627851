//! Numbers. Everything that is counted or owed is an integer; nothing here rounds silently and nothing wraps.
//!
//! | type | unit | range | wire form |
//! |---|---|---|---|
//! | [`Credits`] | micro-credit, 10⁻⁶ | ±9,223,372,036,854.775807 credits | `"0.0004"` |
//! | [`Quantity`] | micro-unit, 10⁻⁶ | ±9,223,372,036,854.775807 units | `"12.5"` |
//! | [`Rate`] | pico-credit per unit, 10⁻¹² | 0 to 9,223,372.036854775807 credits a unit | `"0.000003"` |
//! | [`Percent`] | ten-thousandth of a percent | ±922,337,203,685,477.5807 % | `"12.5"` |
//!
//! Products are formed in `i128`: the largest quantity times the largest rate is below 2¹²⁷.

use std::{fmt, str::FromStr};

use crate::text::serde_by_text;

/// Decimal places of credits and quantities.
const MICRO_PLACES: u32 = 6;
/// Decimal places of rates.
const RATE_PLACES: u32 = 12;
/// Decimal places of percentages.
const PERCENT_PLACES: u32 = 4;
/// Decimal places of an [`ExactCost`]: those of a quantity and of a rate together.
const EXACT_PLACES: u32 = 18;
/// Longest text that can be a number: sign, 19 digits, point and 12 places, with room to spare. Bounds parsing.
const MAX_TEXT: usize = 48;

/// A number that does not fit. Operations refuse instead of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is too large")]
pub struct Overflow;

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Not of the form `-?digits(.digits)?`.
    #[error("it must be a plain decimal number such as \"12.5\"")]
    Malformed,
    /// More decimal places than the type keeps.
    #[error("it may have at most {0} decimal places")]
    TooPrecise(u32),
    /// Outside the range of the type.
    #[error("it is too large")]
    TooLarge,
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident, $places:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest amount.
            pub const MAX: Self = Self(i64::MAX);

            /// From the smallest unit of the type.
            #[must_use]
            pub const fn from_raw(raw: i64) -> Self {
                Self(raw)
            }

            /// In the smallest unit of the type.
            #[must_use]
            pub const fn raw(self) -> i64 {
                self.0
            }

            /// Whether this is below zero.
            #[must_use]
            pub const fn is_negative(self) -> bool {
                self.0 < 0
            }

            /// Whether this is above zero.
            #[must_use]
            pub const fn is_positive(self) -> bool {
                self.0 > 0
            }

            /// Whether this is zero.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum.
            ///
            /// # Errors
            /// A result outside the range.
            pub fn plus(self, other: Self) -> Result<Self, Overflow> {
                self.0.checked_add(other.0).map(Self).ok_or(Overflow)
            }

            /// The difference.
            ///
            /// # Errors
            /// A result outside the range.
            pub fn minus(self, other: Self) -> Result<Self, Overflow> {
                self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
            }

            /// The same amount with the other sign.
            ///
            /// # Errors
            /// The one number without a counterpart, −2⁶³.
            pub fn negated(self) -> Result<Self, Overflow> {
                self.0.checked_neg().map(Self).ok_or(Overflow)
            }

            /// Sum of many.
            ///
            /// # Errors
            /// A total outside the range.
            pub fn total(amounts: impl IntoIterator<Item = Self>) -> Result<Self, Overflow> {
                let sum: i128 = amounts.into_iter().map(|amount| i128::from(amount.0)).sum();
                i64::try_from(sum).map(Self).map_err(|_| Overflow)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, self.0, $places)
            }
        }

        impl FromStr for $name {
            type Err = ParseAmountError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_decimal(text, $places).map(Self)
            }
        }

        serde_by_text!($name);
    };
}

fixed_point!(
    /// An amount of credits, kept in micro-credits (1 credit = 1,000,000). Signed: debits and overdrafts are negative.
    Credits,
    MICRO_PLACES
);

fixed_point!(
    /// An amount of usage, kept in millionths of the metric's unit. 12.5 seconds is legal.
    Quantity,
    MICRO_PLACES
);

fixed_point!(
    /// A price: credits for one unit, kept to 12 decimal places.
    Rate,
    RATE_PLACES
);

fixed_point!(
    /// A part in a hundred, kept to four decimal places.
    Percent,
    PERCENT_PLACES
);

impl Percent {
    /// All of it.
    pub const HUNDRED: Self = Self(1_000_000);

    /// So much of an amount, rounded once to micro-credits, half to even.
    ///
    /// # Errors
    /// A result outside the range of [`Credits`].
    pub fn of(self, credits: Credits) -> Result<Credits, Overflow> {
        part_of(credits.0, self.0, Self::HUNDRED.0).map(Credits)
    }
}

/// `amount × part ÷ whole`, rounded once, half to even. A `whole` that is not above zero counts as one.
///
/// # Errors
/// A result outside `i64`.
pub(crate) fn part_of(amount: i64, part: i64, whole: i64) -> Result<i64, Overflow> {
    let product = i128::from(amount) * i128::from(part);
    i64::try_from(half_to_even(product, i128::from(whole.max(1)))).map_err(|_| Overflow)
}

/// The whole number nearest to `number ÷ divisor`; of two that are as near, the even one. `divisor` is above zero.
fn half_to_even(number: i128, divisor: i128) -> i128 {
    let floor = number.div_euclid(divisor);
    let rest = number.rem_euclid(divisor);
    // `rest` against the other half, so that nothing is doubled.
    let up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => floor % 2 != 0,
    };
    floor + i128::from(up)
}

impl Credits {
    /// Whole credits.
    ///
    /// # Errors
    /// More than about 9.2 × 10¹² credits.
    pub fn whole(credits: i64) -> Result<Self, Overflow> {
        credits.checked_mul(1_000_000).map(Self).ok_or(Overflow)
    }
}

impl Quantity {
    /// One unit.
    pub const ONE: Self = Self(1_000_000);

    /// Whole units.
    ///
    /// # Errors
    /// More than about 9.2 × 10¹² units.
    pub fn whole(units: i64) -> Result<Self, Overflow> {
        units.checked_mul(1_000_000).map(Self).ok_or(Overflow)
    }
}

/// An exact price on its way to being rounded: quantities times rates, in units of 10⁻¹⁸ credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactCost(i128);

/// How many units of an [`ExactCost`] make one micro-credit.
const EXACT_PER_MICRO: i128 = 1_000_000_000_000;

impl From<Credits> for ExactCost {
    fn from(credits: Credits) -> Self {
        Self(i128::from(credits.0) * EXACT_PER_MICRO)
    }
}

impl ExactCost {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The price of a quantity at a rate. Cannot overflow: 2⁶³ × 2⁶³ < 2¹²⁷.
    #[must_use]
    pub fn of(quantity: Quantity, rate: Rate) -> Self {
        Self(i128::from(quantity.0) * i128::from(rate.0))
    }

    /// The price of `count` things at `rate` each, such as events or packages.
    #[must_use]
    pub fn of_count(count: i64, rate: Rate) -> Self {
        // Through a quantity of whole units, so that both ways of forming a cost share one scale.
        Self(
            i128::from(count)
                .saturating_mul(i128::from(rate.0))
                .saturating_mul(1_000_000),
        )
    }

    /// The sum.
    ///
    /// # Errors
    /// A result outside `i128`.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    /// Rounds once to micro-credits, half to even.
    ///
    /// # Errors
    /// A result outside the range of [`Credits`].
    pub fn round(self) -> Result<Credits, Overflow> {
        i64::try_from(half_to_even(self.0, EXACT_PER_MICRO))
            .map(Credits)
            .map_err(|_| Overflow)
    }

    /// Rounds once to a number with `places` decimal places (0 to 18), half to even. For costs in money.
    ///
    /// # Errors
    /// A result outside `i64`.
    pub(crate) fn round_to(self, places: u32) -> Result<i64, Overflow> {
        let divisor = 10_i128.pow(EXACT_PLACES.saturating_sub(places));
        i64::try_from(half_to_even(self.0, divisor)).map_err(|_| Overflow)
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, raw: i64, places: u32) -> fmt::Result {
    let scale = 10_u64.pow(places);
    let (whole, fraction) = (raw.unsigned_abs() / scale, raw.unsigned_abs() % scale);
    let sign = if raw < 0 { "-" } else { "" };
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{fraction:0width$}", width = places as usize);
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads `-?digits(.digits)?` in ASCII. No exponent, no plus sign, no spaces, no bare point: one way to write a number.
pub(crate) fn parse_decimal(text: &str, places: u32) -> Result<i64, ParseAmountError> {
    if text.len() > MAX_TEXT {
        return Err(ParseAmountError::TooLarge);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(ParseAmountError::Malformed),
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(ParseAmountError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = places
        .checked_sub(u32::try_from(fraction.len()).map_err(|_| ParseAmountError::TooLarge)?)
        .ok_or(ParseAmountError::TooPrecise(places))?;
    let mut raw: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        raw = raw * 10 + i128::from(byte - b'0');
        if raw > i128::from(i64::MAX) + 1 {
            return Err(ParseAmountError::TooLarge);
        }
    }
    raw *= 10_i128.pow(missing);
    i64::try_from(if negative { -raw } else { raw }).map_err(|_| ParseAmountError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        for (text, raw) in [
            ("0", 0),
            ("-0", 0),
            ("1", 1_000_000),
            ("0.0004", 400),
            ("-12.5", -12_500_000),
            ("54.179922", 54_179_922),
            ("007", 7_000_000),
            ("1.500000000", 1_500_000),
            ("9223372036854.775807", i64::MAX),
            ("-9223372036854.775808", i64::MIN),
        ] {
            assert_eq!(text.parse::<Credits>(), Ok(Credits(raw)), "{text}");
        }
        assert_eq!(Credits(i64::MIN).to_string(), "-9223372036854.775808");
        assert_eq!(Credits(-400).to_string(), "-0.0004");
        assert_eq!("0.000000000001".parse::<Rate>(), Ok(Rate(1)));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        use ParseAmountError::{Malformed, TooLarge, TooPrecise};
        for (text, error) in [
            ("", Malformed),
            ("-", Malformed),
            (".5", Malformed),
            ("5.", Malformed),
            ("+1", Malformed),
            ("1e6", Malformed),
            ("0x10", Malformed),
            (" 1", Malformed),
            ("1,000", Malformed),
            ("NaN", Malformed),
            ("Infinity", Malformed),
            ("٣", Malformed),
            ("1.2.3", Malformed),
            ("--1", Malformed),
            ("0.0000001", TooPrecise(6)),
            ("9223372036854.775808", TooLarge),
            ("99999999999999999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(text.parse::<Credits>(), Err(error), "{text}");
        }
    }

    #[test]
    fn rounding_is_half_to_even() {
        for (exact, micro) in [
            (0, 0),
            (EXACT_PER_MICRO / 2, 0),
            (EXACT_PER_MICRO / 2 + 1, 1),
            (EXACT_PER_MICRO * 3 / 2, 2),
            (EXACT_PER_MICRO * 5 / 2, 2),
            (-EXACT_PER_MICRO / 2, 0),
            (-EXACT_PER_MICRO * 3 / 2, -2),
        ] {
            assert_eq!(ExactCost(exact).round(), Ok(Credits(micro)), "{exact}");
        }
    }

    #[test]
    fn nothing_wraps() {
        assert_eq!(Credits::MAX.plus(Credits(1)), Err(Overflow));
        assert_eq!(Credits(i64::MIN).negated(), Err(Overflow));
        assert_eq!(Credits(i64::MIN).minus(Credits(1)), Err(Overflow));
        assert_eq!(ExactCost::of(Quantity::MAX, Rate::MAX).round(), Err(Overflow));
        assert_eq!(ExactCost::of_count(i64::MAX, Rate::MAX).round(), Err(Overflow));
    }
}
