//! When a customer's credits are recharged, and how much is bought.

use serde::{Deserialize, Serialize};

use crate::{
    amount::{Credits, Overflow},
    money::Money,
    payment::sale::{Offer, credits_for},
    rejection::Rejection,
};

/// How much is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// This amount, or as often of it as brings the balance above the threshold, in one charge (source P1).
    Fixed(Money),
    /// What restores the balance to so many credits.
    Target(Credits),
}

/// When, how much, and how much at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Something is bought when the balance (blocks minus overdraft) is at this or below, in credits; zero or more.
    pub threshold: Credits,
    /// How much is bought.
    pub size: Size,
    /// Most that is charged in a calendar month of UTC.
    pub monthly_cap: Money,
}

/// What a rule asks for at a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// This amount.
    Buy(Money),
    /// What is left of the cap does not suffice.
    Capped,
    /// No such amount is sold: credits cost nothing, in another currency, or the amount buys none.
    NotSold,
}

impl Rule {
    /// Checks a rule before it is written.
    ///
    /// # Errors
    /// A threshold below zero, a target that is not above it, amounts that are not positive, in several currencies, or above the cap.
    pub fn validate(&self) -> Result<(), Rejection> {
        let refuse = |field, message: &str| Err(Rejection::invalid(field, message));
        if self.threshold.is_negative() {
            return refuse("threshold", "it is zero credits or more");
        }
        if self.monthly_cap.minor <= 0 {
            return refuse("monthlyCap.amount", "a cap is more than zero");
        }
        match self.size {
            Size::Fixed(amount) if amount.minor <= 0 => refuse("amount.fixed.amount", "it is more than zero"),
            Size::Fixed(amount) if amount.currency != self.monthly_cap.currency => {
                refuse("monthlyCap.currency", "the cap is in the currency of the amount")
            }
            Size::Fixed(amount) if amount.minor > self.monthly_cap.minor => {
                refuse("monthlyCap.amount", "the cap must allow one recharge")
            }
            Size::Target(target) if target <= self.threshold => {
                refuse("amount.target", "it must be above the threshold")
            }
            Size::Fixed(_) | Size::Target(_) => Ok(()),
        }
    }

    /// The amount to charge at a balance, in one charge that closes the whole gap as far as the offer and `room` allow: what is left of
    /// the month's cap, in minor units of its currency.
    ///
    /// # Errors
    /// Amounts outside their range.
    pub fn wish(&self, balance: Credits, offer: &Offer, room: i64) -> Result<Wish, Overflow> {
        if offer.price.currency != self.monthly_cap.currency || !offer.price.per_credit.is_positive() {
            return Ok(Wish::NotSold);
        }
        match self.size {
            Size::Fixed(amount) => self.times(amount, balance, offer, room),
            Size::Target(target) => self.restore(target, balance, offer, room),
        }
    }

    /// The fixed amount as often as it takes to come above the threshold.
    fn times(&self, amount: Money, balance: Credits, offer: &Offer, room: i64) -> Result<Wish, Overflow> {
        let each = credits_for(amount, offer.price)?.raw();
        if each <= 0 {
            return Ok(Wish::NotSold);
        }
        let gap = i128::from(self.threshold.raw()) - i128::from(balance.raw());
        let needed = gap.max(0) / i128::from(each) + 1;
        let fits = i128::from(room / amount.minor);
        if fits < 1 {
            return Ok(Wish::Capped);
        }
        // One is asked for even above the largest purchase: the sale says that it is too much.
        let sold = offer
            .maximum
            .map_or(fits, |most| i128::from(most.minor / amount.minor).max(1));
        let times = needed.min(fits).min(sold);
        let minor = i64::try_from(times * i128::from(amount.minor)).map_err(|_| Overflow)?;
        Ok(Wish::Buy(Money { minor, ..amount }))
    }

    /// What brings a balance to a target: rounded up to minor units, within what is sold at once. What is left of the cap is not charged
    /// where it would leave the balance at the threshold or below: nobody wants a card charged with the last cents of a month.
    fn restore(&self, target: Credits, balance: Credits, offer: &Offer, room: i64) -> Result<Wish, Overflow> {
        let currency = offer.price.currency;
        let minor = cost_of(target, balance, offer)?;
        let least = offer.minimum.map_or(1, |least| least.minor);
        let most = offer.maximum.map_or(i64::MAX, |most| most.minor);
        if least > most {
            return Ok(Wish::NotSold);
        }
        let wanted = minor.max(least).min(most);
        let minor = wanted.min(room);
        let is_in_vain = || -> Result<bool, Overflow> {
            let brings = credits_for(Money { minor, currency }, offer.price)?;
            Ok(minor < wanted && balance.plus(brings)? <= self.threshold)
        };
        if minor < least || is_in_vain()? {
            return Ok(Wish::Capped);
        }
        Ok(Wish::Buy(Money { minor, currency }))
    }
}

/// What the credits between a balance and a target cost, in minor units, rounded up.
fn cost_of(target: Credits, balance: Credits, offer: &Offer) -> Result<i64, Overflow> {
    let gap = i128::from(target.raw()) - i128::from(balance.raw());
    let currency = offer.price.currency;
    // Micro-credits times a rate of twelve places, in minor units.
    let unit = 10_i128.pow(18 - currency.places());
    let cost = gap
        .checked_mul(i128::from(offer.price.per_credit.raw()))
        .ok_or(Overflow)?;
    i64::try_from((cost + unit - 1) / unit).map_err(|_| Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{amount::Rate, money::Currency, plan::money_price::CreditPrice};

    fn usd(minor: i64) -> Money {
        Money::of(minor, Currency::USD)
    }

    fn credits(text: &str) -> Credits {
        text.parse().unwrap()
    }

    fn offer(per_credit: &str, minimum: Option<i64>, maximum: Option<i64>) -> Offer {
        Offer {
            price: CreditPrice {
                currency: Currency::USD,
                per_credit: per_credit.parse().unwrap(),
            },
            minimum: minimum.map(usd),
            maximum: maximum.map(usd),
        }
    }

    fn rule(threshold: &str, size: Size) -> Rule {
        Rule {
            threshold: credits(threshold),
            size,
            monthly_cap: usd(100_000),
        }
    }

    // A table is as long as its cases are many.
    #[allow(clippy::too_many_lines)]
    #[test]
    fn one_charge_closes_the_whole_gap() {
        let plain = offer("0.01", None, None);
        let fixed = Size::Fixed(usd(1_000));
        let target = |text| Size::Target(credits(text));
        for (what, threshold, size, balance, offer, room, wish) in [
            (
                "at the threshold",
                "100",
                fixed,
                "100",
                plain,
                100_000,
                Wish::Buy(usd(1_000)),
            ),
            (
                "just below",
                "100",
                fixed,
                "99",
                plain,
                100_000,
                Wish::Buy(usd(1_000)),
            ),
            ("at zero", "0", fixed, "0", plain, 100_000, Wish::Buy(usd(1_000))),
            // 1,000 credits each: 100 − (−2,000) needs three, and one that only came to the threshold would be decided again.
            (
                "far below",
                "100",
                fixed,
                "-2000",
                plain,
                100_000,
                Wish::Buy(usd(3_000)),
            ),
            (
                "to the threshold is not above it",
                "100",
                fixed,
                "-900",
                plain,
                100_000,
                Wish::Buy(usd(2_000)),
            ),
            (
                "as far as the cap allows",
                "100",
                fixed,
                "-2000",
                plain,
                2_500,
                Wish::Buy(usd(2_000)),
            ),
            ("the cap allows none", "100", fixed, "0", plain, 999, Wish::Capped),
            (
                "as much as is sold at once",
                "100",
                fixed,
                "-9000",
                offer("0.01", None, Some(2_500)),
                100_000,
                Wish::Buy(usd(2_000)),
            ),
            (
                "more than is sold at once",
                "100",
                fixed,
                "0",
                offer("0.01", None, Some(500)),
                100_000,
                Wish::Buy(usd(1_000)),
            ),
            (
                "a price of nothing",
                "100",
                fixed,
                "0",
                offer("0", None, None),
                100_000,
                Wish::NotSold,
            ),
            (
                "restored",
                "100",
                target("1000"),
                "40",
                plain,
                100_000,
                Wish::Buy(usd(960)),
            ),
            (
                "restored from below zero",
                "100",
                target("1000"),
                "-40.5",
                plain,
                100_000,
                Wish::Buy(usd(1_041)),
            ),
            (
                "rounded up",
                "100",
                target("1000"),
                "999.999999",
                offer("0.01", None, None),
                100_000,
                Wish::Buy(usd(1)),
            ),
            (
                "at least what is sold",
                "100",
                target("1000"),
                "90",
                offer("0.01", Some(1_000), None),
                100_000,
                Wish::Buy(usd(1_000)),
            ),
            (
                "at most what is sold",
                "100",
                target("1000"),
                "0",
                offer("0.01", None, Some(500)),
                100_000,
                Wish::Buy(usd(500)),
            ),
            (
                "what the cap leaves",
                "100",
                target("1000"),
                "0",
                plain,
                700,
                Wish::Buy(usd(700)),
            ),
            (
                "the cap leaves too little",
                "100",
                target("1000"),
                "0",
                offer("0.01", Some(500), None),
                499,
                Wish::Capped,
            ),
            (
                "the cap leaves what only comes to the threshold",
                "100",
                target("1000"),
                "0",
                plain,
                100,
                Wish::Capped,
            ),
            (
                "the cap leaves a cent more",
                "100",
                target("1000"),
                "0",
                plain,
                101,
                Wish::Buy(usd(101)),
            ),
            (
                "nothing is little enough",
                "100",
                target("1000"),
                "0",
                offer("0.01", Some(600), Some(500)),
                100_000,
                Wish::NotSold,
            ),
            (
                "the cap leaves nothing",
                "100",
                target("1000"),
                "0",
                plain,
                0,
                Wish::Capped,
            ),
        ] {
            let wished = rule(threshold, size)
                .wish(credits(balance), &offer, room)
                .unwrap();
            assert_eq!(wished, wish, "{what}");
        }
    }

    #[test]
    fn another_currency_is_not_sold() {
        let mut foreign = rule("0", Size::Target(credits("10")));
        foreign.monthly_cap = Money::of(100, Currency::EUR);
        let wish = foreign
            .wish(Credits::ZERO, &offer("0.01", None, None), 100)
            .unwrap();
        assert_eq!(wish, Wish::NotSold);
    }

    #[test]
    fn rules_are_checked() {
        let good = rule("100", Size::Fixed(usd(1_000)));
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(rule("0", Size::Target(credits("1"))).validate(), Ok(()));
        for (rule, field) in [
            (rule("-1", Size::Fixed(usd(1_000))), "threshold"),
            (rule("1", Size::Fixed(usd(0))), "amount.fixed.amount"),
            (
                rule("1", Size::Fixed(Money::of(5, Currency::EUR))),
                "monthlyCap.currency",
            ),
            (rule("1", Size::Fixed(usd(100_001))), "monthlyCap.amount"),
            (rule("1", Size::Target(credits("1"))), "amount.target"),
            (
                Rule {
                    monthly_cap: usd(0),
                    ..good
                },
                "monthlyCap.amount",
            ),
        ] {
            assert_eq!(rule.validate().unwrap_err().path.join("."), field);
        }
    }

    proptest! {
        /// Whatever the gap: within the cap, within what is sold, and above the threshold unless one of the two forbids it.
        #[test]
        fn the_balance_comes_above_the_threshold(
            threshold in 0..1_000_000_000_000_i64,
            below in 0..1_000_000_000_000_i64,
            size in prop_oneof![
                (1..1_000_000_i64).prop_map(|minor| Size::Fixed(usd(minor))),
                (1..1_000_000_000_000_i64).prop_map(|more| Size::Target(Credits::from_raw(more))),
            ],
            rate in 1_000_000_i64..1_000_000_000_000,
            room in 0..1_000_000_000_i64,
            most in 1..1_000_000_000_i64,
        ) {
            let size = match size {
                Size::Target(more) => Size::Target(Credits::from_raw(threshold + more.raw())),
                fixed @ Size::Fixed(_) => fixed,
            };
            let rule = Rule { threshold: Credits::from_raw(threshold), size, monthly_cap: usd(i64::MAX) };
            let mut offer = offer("1", None, Some(most));
            offer.price.per_credit = Rate::from_raw(rate);
            let balance = Credits::from_raw(threshold - below);
            if let Wish::Buy(amount) = rule.wish(balance, &offer, room).unwrap() {
                prop_assert!(amount.minor > 0 && amount.minor <= room);
                let bought = credits_for(amount, offer.price).unwrap();
                let after = balance.plus(bought).unwrap();
                let more = amount.minor + match size { Size::Fixed(each) => each.minor, Size::Target(_) => 1 };
                prop_assert!(after > rule.threshold || more > room || more > most);
                match size {
                    Size::Target(_) => prop_assert!(amount.minor <= most),
                    Size::Fixed(each) => prop_assert!(amount.minor <= most.max(each.minor)),
                }
            }
        }
    }
}
