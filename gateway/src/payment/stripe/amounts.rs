//! How much, in Stripe's numbers. They are minor units, but not always those of ISO 4217, and a factor of a hundred is easily lost.

use domain::money::{Currency, Money};

/// Currencies that have no decimal places, there as here.
const WHOLE: &str = "BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF";
/// Currencies that lost their decimal places, which Stripe still counts.
const FORMERLY_CENTS: &str = "ISK UGX";
/// Currencies with decimal places that Stripe does not count.
const WITHOUT_CENTS: &str = "MGA";
/// Currencies with three decimal places, of which Stripe takes two.
const ROUNDED: &str = "BHD JOD KWD OMR TND";

/// How a number of ours becomes one of Stripe's.
#[derive(Clone, Copy)]
enum Scale {
    Same,
    Times(i64),
    Per(i64),
    /// The same, but a multiple of so many only.
    In(i64),
}

/// `None`: Stripe takes no such currency, or we do not know how it counts it.
fn scale(currency: Currency) -> Option<Scale> {
    let listed = |list: &str| list.split(' ').any(|code| code == currency.code());
    match currency.places() {
        0 if listed(FORMERLY_CENTS) => Some(Scale::Times(100)),
        0 if listed(WHOLE) => Some(Scale::Same),
        2 if listed(WITHOUT_CENTS) => Some(Scale::Per(100)),
        2 => Some(Scale::Same),
        3 if listed(ROUNDED) => Some(Scale::In(10)),
        _ => None,
    }
}

/// An amount in Stripe's numbers; `None`: Stripe cannot be asked for exactly that.
pub(super) fn to_stripe(money: Money) -> Option<i64> {
    let minor = money.minor;
    match scale(money.currency)? {
        Scale::Same => Some(minor),
        Scale::Times(factor) => minor.checked_mul(factor),
        Scale::Per(part) => (minor % part == 0).then_some(minor / part),
        Scale::In(step) => (minor % step == 0).then_some(minor),
    }
}

/// The amount that Stripe means; `None`: not one that can be told exactly.
pub(super) fn from_stripe(number: i64, currency: &str) -> Option<Money> {
    let currency: Currency = currency.to_ascii_uppercase().parse().ok()?;
    let minor = match scale(currency)? {
        Scale::Same | Scale::In(_) => number,
        Scale::Times(factor) => (number % factor == 0).then_some(number / factor)?,
        Scale::Per(part) => number.checked_mul(part)?,
    };
    Some(Money::of(minor, currency))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::of(minor, code.parse().unwrap())
    }

    #[test]
    fn each_currency_is_counted_as_stripe_does() {
        for (code, minor, number) in [
            ("USD", 1_000, Some(1_000)),
            ("HUF", 1_045, Some(1_045)),
            ("TWD", 80_045, Some(80_045)),
            ("JPY", 500, Some(500)),
            ("ISK", 5, Some(500)),
            ("UGX", 5, Some(500)),
            ("MGA", 500, Some(5)),
            ("MGA", 520, None),
            ("KWD", 5_120, Some(5_120)),
            ("KWD", 5_124, None),
            ("LYD", 5_120, None),
            ("UYI", 5, None),
            ("CLF", 10_000, None),
            ("ISK", i64::MAX, None),
        ] {
            assert_eq!(to_stripe(money(minor, code)), number, "{minor} {code}");
        }
    }

    #[test]
    fn what_cannot_be_told_exactly_is_not_told() {
        assert_eq!(from_stripe(501, "isk"), None);
        assert_eq!(from_stripe(i64::MAX, "mga"), None);
        assert_eq!(from_stripe(1, "xbt"), None);
        assert_eq!(from_stripe(5_124, "kwd"), Some(money(5_124, "KWD")));
    }

    proptest! {
        #[test]
        fn there_and_back(minor in 1..=99_999_999_i64, code in select(vec!["USD", "JPY", "ISK", "UGX", "MGA", "KWD", "HUF"])) {
            let ours = money(minor, code);
            if let Some(number) = to_stripe(ours) {
                prop_assert_eq!(from_stripe(number, &code.to_lowercase()), Some(ours));
            }
        }
    }
}
