//! Scalars. Amounts travel as text, never as floating-point numbers.

use app::error::Result;
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use domain::{
    amount::{Credits, ParseAmountError, Percent, Quantity, Rate},
    money::{Currency, Money, NotACurrency},
    rejection::Rejection,
    time::Timestamp,
};

/// Exact decimal number as a string, such as `"12500"` or `"-0.0004"`: `-?digits(.digits)?`, no exponent. Credits and quantities
/// have at most 6 decimal places, percentages 4, prices 12, and money as many as its currency. JSON numbers are refused, because they pass through floating point.
#[derive(Debug, Clone)]
pub struct Decimal(pub String);

/// Exact decimal number as a string, such as `"12500"` or `"-0.0004"`: `-?digits(.digits)?`, no exponent. Credits and quantities
/// have at most 6 decimal places, percentages 4, prices 12, and money as many as its currency. JSON numbers are refused, because they pass through floating point.
#[Scalar(
    name = "Decimal",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259#section-7"
)]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            // Its form is checked where its field is known, so that one bad number in a batch is one refusal.
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::custom("a Decimal is a string such as \"12.5\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl Decimal {
    pub(crate) fn credits(&self, field: &str) -> Result<Credits> {
        self.amount(field)
    }

    pub(crate) fn quantity(&self, field: &str) -> Result<Quantity> {
        self.amount(field)
    }

    pub(crate) fn rate(&self, field: &str) -> Result<Rate> {
        self.amount(field)
    }

    pub(crate) fn percent(&self, field: &str) -> Result<Percent> {
        self.amount(field)
    }

    pub(crate) fn money(&self, currency: Currency, field: &str) -> Result<Money> {
        Money::parse(&self.0, currency)
            .map_err(|problem| Rejection::invalid(field, problem.to_string()).into())
    }

    fn amount<T: std::str::FromStr<Err = ParseAmountError>>(&self, field: &str) -> Result<T> {
        self.0
            .parse()
            .map_err(|problem: ParseAmountError| Rejection::invalid(field, problem.to_string()).into())
    }
}

macro_rules! from_amount {
    ($($amount:ty),*) => {$(
        impl From<$amount> for Decimal {
            fn from(amount: $amount) -> Self {
                Self(amount.to_string())
            }
        }
    )*};
}
from_amount!(Credits, Percent, Quantity, Rate);

/// Instant in UTC with at most microseconds, RFC 3339: `2026-11-20T15:04:05.123456Z`. On input any offset is accepted, and a
/// date alone means midnight UTC.
#[derive(Debug, Clone, Copy)]
pub struct DateTime(pub Timestamp);

/// Instant in UTC with at most microseconds, RFC 3339: `2026-11-20T15:04:05.123456Z`. On input any offset is accepted, and a
/// date alone means midnight UTC.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            _ => Err(InputValueError::custom("a DateTime is a string")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

/// Largest whole number that JSON readers keep exactly.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Whole number from 0 to 2⁵³ − 1, as a JSON number. Numbers of ledger entries and counts outgrow `Int`. On input a string of
/// digits is accepted as well.
#[derive(Debug, Clone, Copy)]
pub struct SafeInt(pub i64);

/// Whole number from 0 to 2⁵³ − 1, as a JSON number. Numbers of ledger entries and counts outgrow `Int`. On input a string of
/// digits is accepted as well.
#[Scalar(
    name = "SafeInt",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259#section-6"
)]
impl ScalarType for SafeInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (0..=MAX_SAFE).contains(number))
            .map(Self)
            .ok_or_else(|| InputValueError::custom("a SafeInt is a whole number from 0 to 2^53 - 1"))
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

/// A JSON value; only for the vendor's own notes and the properties of events.
#[derive(Debug, Clone)]
pub struct Json(pub serde_json::Value);

/// A JSON value; only for the vendor's own notes and the properties of events.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        value
            .into_json()
            .map(Self)
            .map_err(|error| InputValueError::custom(error.to_string()))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

macro_rules! text_scalar {
    ($(#[$doc:meta])* $name:ident $url:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub String);

        $(#[$doc])*
        #[Scalar(specified_by_url = $url)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                match value {
                    Value::String(text) => Ok(Self(text)),
                    _ => Err(InputValueError::custom("it must be a string")),
                }
            }

            fn to_value(&self) -> Value {
                Value::String(self.0.clone())
            }
        }
    };
}

text_scalar!(
    /// E-mail address, such as `billing@example.com`.
    EmailAddress
    "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address"
);
text_scalar!(
    /// Country, ISO 3166-1 alpha-2, in capitals, such as `DE`.
    CountryCode
    "https://www.iso.org/iso-3166-country-codes.html"
);
text_scalar!(
    /// Currency, ISO 4217, in capitals, such as `EUR`.
    CurrencyCode
    "https://www.iso.org/iso-4217-currency-codes.html"
);

impl CurrencyCode {
    pub(crate) fn currency(&self, field: &str) -> Result<Currency> {
        self.0
            .parse()
            .map_err(|problem: NotACurrency| Rejection::invalid(field, problem.to_string()).into())
    }
}

impl From<Currency> for CurrencyCode {
    fn from(currency: Currency) -> Self {
        Self(currency.to_string())
    }
}
