//! Lines for fees, and for what is due or goes back when a plan changes.

use serde::{Deserialize, Serialize};

use super::line::{Detail, Line};
use crate::{id::VariantId, subscription::MoneyLine};

/// A fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// Of which variant.
    pub variant: VariantId,
    /// What plan and variant were called.
    pub name: String,
}

/// The line for money that is due, or goes back, by a subscription. `name` is what the plan is called.
#[must_use]
pub fn line(name: &str, money: &MoneyLine) -> Line {
    Line {
        description: match money.amount.minor {
            ..0 => format!("{name}, unused time"),
            _ => name.to_owned(),
        },
        period: Some(money.period),
        amount: money.amount,
        detail: Detail::Fee(Fee {
            variant: money.variant,
            name: name.to_owned(),
        }),
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        money::{Currency, Money},
        time::{Period, Timestamp},
    };

    #[test]
    fn fees_and_what_goes_back() {
        for (minor, description) in [
            (2_000, "Pro, monthly"),
            (0, "Pro, monthly"),
            (-667, "Pro, monthly, unused time"),
        ] {
            let money = MoneyLine {
                variant: VariantId(Uuid::nil()),
                period: Period {
                    start: Timestamp::MIN,
                    end: Timestamp::MAX,
                },
                amount: Money::of(minor, Currency::EUR),
            };
            let line = line("Pro, monthly", &money);
            assert_eq!(
                (line.description.as_str(), line.amount.minor),
                (description, minor)
            );
            assert_eq!(line.period, Some(money.period));
        }
    }
}
