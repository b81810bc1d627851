//! What rates come to.

use serde::{Deserialize, Serialize};

use super::{country::Country, rate::TaxRate};
use crate::{
    amount::{Overflow, Percent},
    money::{Money, MoneyError},
};

/// What the prices on an invoice mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Prices {
    /// Tax is added to them.
    WithoutTax,
    /// They contain the tax, as the amount of a payment does.
    WithTax,
}

/// One tax on an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxLine {
    /// What it is called.
    pub name: String,
    /// Of which country.
    pub country: Country,
    /// Of which region; `None`: the whole country.
    pub region: Option<String>,
    /// How much in a hundred.
    pub percent: Percent,
    /// Of what: the amount without any tax.
    pub base: Money,
    /// How much.
    pub amount: Money,
}

/// An amount, its taxes, and both together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levy {
    /// Without tax.
    pub net: Money,
    /// One line for each rate, in the order of the rates.
    pub taxes: Vec<TaxLine>,
    /// All taxes.
    pub tax: Money,
    /// `net` and `tax`.
    pub total: Money,
}

/// The taxes on the sum of an invoice. Rounded once per rate, half to even, however many lines the invoice has. Every rate is of the
/// amount without tax: no tax is charged on another.
///
/// Where prices contain the tax, the total is the sum as it stands, and the taxes together are rounded once; the parts add up to it.
///
/// # Errors
/// An amount outside its range.
pub fn levy(rates: &[TaxRate], sum: Money, prices: Prices) -> Result<Levy, MoneyError> {
    let amounts = match prices {
        Prices::WithoutTax => rates
            .iter()
            .map(|rate| sum.share(rate.percent.raw(), Percent::HUNDRED.raw()))
            .collect::<Result<Vec<_>, _>>()?,
        Prices::WithTax => contained(rates, sum)?,
    };
    let tax = total(sum, amounts.iter().copied())?;
    let (net, total) = match prices {
        Prices::WithoutTax => (sum, sum.plus(tax)?),
        Prices::WithTax => (sum.plus(tax.negated()?)?, sum),
    };
    let line = |(rate, amount): (&TaxRate, Money)| TaxLine {
        name: rate.name.clone(),
        country: rate.country,
        region: rate.region.clone(),
        percent: rate.percent,
        base: net,
        amount,
    };
    Ok(Levy {
        net,
        taxes: rates.iter().zip(amounts).map(line).collect(),
        tax,
        total,
    })
}

/// The taxes in a sum that contains them. With rates of `p` and `q` percent, both together are `(p + q) ÷ (100 + p + q)` of it.
fn contained(rates: &[TaxRate], sum: Money) -> Result<Vec<Money>, MoneyError> {
    let whole = Percent::total(rates.iter().map(|rate| rate.percent))?.plus(Percent::HUNDRED)?;
    let mut percent = Percent::ZERO;
    let mut before = Money { minor: 0, ..sum };
    let mut amounts = Vec::new();
    for rate in rates {
        percent = percent.plus(rate.percent)?;
        let so_far = sum.share(percent.raw(), whole.raw())?;
        amounts.push(so_far.plus(before.negated()?)?);
        before = so_far;
    }
    Ok(amounts)
}

fn total(like: Money, amounts: impl Iterator<Item = Money>) -> Result<Money, Overflow> {
    let sum: i128 = amounts.map(|amount| i128::from(amount.minor)).sum();
    let minor = i64::try_from(sum).map_err(|_| Overflow)?;
    Ok(Money { minor, ..like })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;

    fn rates(percents: &[&str]) -> Vec<TaxRate> {
        percents
            .iter()
            .map(|percent| TaxRate {
                country: "CA".parse().unwrap(),
                region: None,
                name: "tax".to_owned(),
                percent: percent.parse().unwrap(),
            })
            .collect()
    }

    #[test]
    fn taxes() {
        use Prices::{WithTax, WithoutTax};
        for (percents, prices, sum, currency, net, taxes, total) in [
            (
                &["19"][..],
                WithoutTax,
                10_000,
                "EUR",
                10_000,
                &[1_900][..],
                11_900,
            ),
            (&["19"], WithTax, 11_900, "EUR", 10_000, &[1_900], 11_900),
            (&["19"], WithTax, 1_000, "EUR", 840, &[160], 1_000),
            // Half to even.
            (&["5"], WithoutTax, 10, "EUR", 10, &[0], 10),
            (&["5"], WithoutTax, 30, "EUR", 30, &[2], 32),
            (&["8.875"], WithoutTax, 2_000, "USD", 2_000, &[178], 2_178),
            (
                &["5", "9.975"],
                WithoutTax,
                10_000,
                "CAD",
                10_000,
                &[500, 998],
                11_498,
            ),
            (
                &["5", "9.975"],
                WithTax,
                10_000,
                "CAD",
                8_698,
                &[435, 867],
                10_000,
            ),
            (&["10"], WithoutTax, 1_005, "JPY", 1_005, &[100], 1_105),
            (&["10"], WithTax, 1_005, "JPY", 914, &[91], 1_005),
            (&["5"], WithoutTax, 1_001, "KWD", 1_001, &[50], 1_051),
            (&["0"], WithoutTax, 777, "EUR", 777, &[0], 777),
            (&[], WithTax, 777, "EUR", 777, &[], 777),
            (&["19"], WithoutTax, -10_000, "EUR", -10_000, &[-1_900], -11_900),
        ] {
            let currency: Currency = currency.parse().unwrap();
            let levy = levy(&rates(percents), Money::of(sum, currency), prices).unwrap();
            let lines: Vec<i64> = levy.taxes.iter().map(|line| line.amount.minor).collect();
            let found = (levy.net.minor, &lines[..], levy.total.minor);
            assert_eq!(found, (net, taxes, total), "{percents:?} {prices:?} {sum}");
        }
    }

    proptest! {
        #[test]
        fn it_adds_up(sum in -1_000_000_000_000..1_000_000_000_000_i64, percents in prop::collection::vec(0..1_000_001_i64, 0..4), with in any::<bool>()) {
            let mut listed = rates(&vec!["0"; percents.len()]);
            for (rate, percent) in listed.iter_mut().zip(percents) {
                rate.percent = Percent::from_raw(percent);
            }
            let prices = if with { Prices::WithTax } else { Prices::WithoutTax };
            let levy = levy(&listed, Money::of(sum, Currency::EUR), prices).unwrap();
            let tax: i64 = levy.taxes.iter().map(|line| line.amount.minor).sum();
            prop_assert_eq!(tax, levy.tax.minor);
            prop_assert_eq!(levy.net.minor + tax, levy.total.minor);
            prop_assert_eq!(sum, if with { levy.total.minor } else { levy.net.minor });
        }
    }
}
