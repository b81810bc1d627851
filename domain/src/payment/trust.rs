//! How far a vendor trusts its customers: who has paid more, and for longer, may buy more at once (source P1: "the maximum purchase will be
//! based on your trust tier").

use serde::{Deserialize, Serialize};

use super::sale::Sale;
use crate::{money::Money, plan::variant::PurchaseLimits, rejection::Rejection, time::Timestamp};

/// Most tiers of a vendor.
pub const MAX_TIERS: usize = 20;
/// Longest wait for a tier, in days: ten years.
const MAX_DAYS: i64 = 3_660;
/// Longest key, in bytes.
const MAX_KEY: usize = 100;

/// A step of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustTier {
    /// The vendor's name for it, such as `tier-1`.
    pub key: String,
    /// Largest purchase; `None`: as far as the other limits go.
    pub maximum: Option<Money>,
    /// What a customer has to have paid in all, without what has gone back; `None`: nothing.
    pub paid: Option<Money>,
    /// How many days ago its first payment has to have been; zero: there need not be one.
    pub days: i64,
}

/// What a customer has paid so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    /// In the currency of the price, in minor units, without what has gone back or is disputed.
    pub paid: i64,
    /// When the first payment succeeded.
    pub first_paid_at: Option<Timestamp>,
}

impl TrustTier {
    fn is_reached(&self, record: &Record, now: Timestamp) -> bool {
        let has_paid = self.paid.is_none_or(|least| record.paid >= least.minor);
        let has_waited = record
            .first_paid_at
            .is_some_and(|first| now.seconds_since(first) >= self.days * 86_400);
        has_paid && (self.days == 0 || has_waited)
    }
}

impl Sale {
    /// The tier of a customer: the one that somebody has chosen, while there is such a tier, or else the highest that it has reached. `None`:
    /// the vendor has no tiers.
    #[must_use]
    pub fn trust(&self, chosen: Option<&str>, record: &Record, now: Timestamp) -> Option<&TrustTier> {
        let named = chosen.and_then(|key| self.tiers.iter().find(|tier| tier.key == key));
        let reached = || self.tiers.iter().rev().find(|tier| tier.is_reached(record, now));
        named.or_else(reached)
    }

    /// The same terms for a customer of a tier: it buys no more at once than the tier allows.
    #[must_use]
    pub fn within(&self, tier: Option<&TrustTier>) -> Self {
        let ceiling = tier.and_then(|tier| tier.maximum);
        let maximum = [self.limits.maximum, ceiling].into_iter().flatten();
        Self {
            limits: PurchaseLimits {
                maximum: maximum.min_by_key(|limit| limit.minor),
                ..self.limits
            },
            ..self.clone()
        }
    }

    /// Checks the tiers before they are written.
    ///
    /// # Errors
    /// Too many, a key that is bad or there twice, a first tier that has to be earned, one that is easier to reach or allows less than the
    /// one before, an amount that is not positive or in another currency, or a maximum below the smallest purchase.
    pub(super) fn check_tiers(&self) -> Result<(), Rejection> {
        if self.tiers.len() > MAX_TIERS {
            return Err(Rejection::invalid(
                "trustTiers",
                format!("at most {MAX_TIERS} tiers"),
            ));
        }
        for (place, tier) in self.tiers.iter().enumerate() {
            let before = place.checked_sub(1).map(|place| &self.tiers[place]);
            let checked = self
                .check_tier(tier)
                .and_then(|()| check_order(before, tier))
                .and_then(|()| check_key(&self.tiers[..place], &tier.key));
            checked.map_err(|no| no.under(&place.to_string()).under("trustTiers"))?;
        }
        Ok(())
    }

    fn check_tier(&self, tier: &TrustTier) -> Result<(), Rejection> {
        for (field, amount) in [("maximum", tier.maximum), ("minimumPaid", tier.paid)] {
            let Some(amount) = amount else { continue };
            if amount.currency != self.price.currency {
                let field = format!("{field}.currency");
                return Err(Rejection::invalid(
                    &field,
                    "tiers are in the currency of the credit price",
                ));
            }
            if amount.minor <= 0 {
                return Err(Rejection::invalid(
                    &format!("{field}.amount"),
                    "it is more than zero",
                ));
            }
        }
        let least = self.limits.minimum.map_or(0, |least| least.minor);
        if tier.maximum.is_some_and(|most| most.minor < least) {
            let message = "it must not be below the smallest purchase";
            return Err(Rejection::invalid("maximum.amount", message));
        }
        if !(0..=MAX_DAYS).contains(&tier.days) {
            return Err(Rejection::invalid("minimumDays", format!("0 to {MAX_DAYS} days")));
        }
        Ok(())
    }
}

/// Tiers go upwards, and everybody has one from the beginning.
fn check_order(before: Option<&TrustTier>, tier: &TrustTier) -> Result<(), Rejection> {
    let paid = |tier: &TrustTier| tier.paid.map_or(0, |paid| paid.minor);
    let most = |tier: &TrustTier| tier.maximum.map_or(i64::MAX, |most| most.minor);
    let refuse = |field: &str, message: &str| Err(Rejection::invalid(field, message));
    match before {
        None if paid(tier) > 0 => refuse("minimumPaid", "the first tier is for everybody"),
        None if tier.days > 0 => refuse("minimumDays", "the first tier is for everybody"),
        Some(before) if paid(tier) < paid(before) => {
            refuse("minimumPaid", "not less than in the tier before")
        }
        Some(before) if tier.days < before.days => refuse("minimumDays", "not less than in the tier before"),
        Some(before) if most(tier) < most(before) => refuse("maximum", "not less than in the tier before"),
        _ => Ok(()),
    }
}

fn check_key(before: &[TrustTier], key: &str) -> Result<(), Rejection> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(is_plain) {
        let message = format!("1 to {MAX_KEY} letters, digits, `-`, `_` and `.`");
        return Err(Rejection::invalid("key", message));
    }
    if before.iter().any(|tier| tier.key == key) {
        return Err(Rejection::invalid("key", "there is such a tier already"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{money::Currency, payment::samples::sale};

    fn usd(whole: i64) -> Money {
        Money::of(whole * 100, Currency::USD)
    }

    fn tier(key: &str, maximum: Option<i64>, paid: Option<i64>, days: i64) -> TrustTier {
        TrustTier {
            key: key.to_owned(),
            maximum: maximum.map(usd),
            paid: paid.map(usd),
            days,
        }
    }

    fn trusting(tiers: Vec<TrustTier>) -> Sale {
        Sale {
            tiers,
            ..sale("1 USD", "5 USD", "5000 USD")
        }
    }

    fn three() -> Sale {
        trusting(vec![
            tier("new", Some(100), None, 0),
            tier("known", Some(500), Some(50), 7),
            tier("old", None, Some(1_000), 30),
        ])
    }

    #[test]
    fn customers_rise_by_what_they_have_paid_and_for_how_long() {
        let now = Timestamp::from_micros(100 * 86_400_000_000);
        let ago = |days: i64| Some(now.plus_seconds(-days * 86_400));
        for (chosen, paid, first_paid_at, key, most) in [
            (None, 0, None, "new", 100),
            (None, 49, ago(90), "new", 100),
            (None, 50, ago(7), "known", 500),
            // Both are needed.
            (None, 5_000, ago(6), "new", 100),
            (None, 5_000, ago(29), "known", 500),
            (None, 1_000, ago(30), "old", 5_000),
            // More went back than had come.
            (None, -10, ago(90), "new", 100),
            (Some("old"), 0, None, "old", 5_000),
            (Some("new"), 5_000, ago(90), "new", 100),
            // A tier that is no more.
            (Some("gone"), 50, ago(7), "known", 500),
        ] {
            let sale = three();
            let record = Record {
                paid: paid * 100,
                first_paid_at,
            };
            let tier = sale.trust(chosen, &record, now).unwrap();
            assert_eq!(tier.key, key, "{chosen:?} {paid} {first_paid_at:?}");
            assert_eq!(sale.within(Some(tier)).limits.maximum, Some(usd(most)));
        }
    }

    #[test]
    fn nobody_has_a_tier_where_there_are_none() {
        let sale = trusting(Vec::new());
        let tier = sale.trust(Some("new"), &Record::default(), Timestamp::MIN);
        assert_eq!((tier, sale.within(tier)), (None, sale.clone()));
    }

    #[test]
    fn tiers_are_checked() {
        assert_eq!(three().validate(), Ok(()));
        let (first, second) = (tier("a", Some(100), None, 0), tier("b", Some(200), Some(50), 7));
        let euros = Some(Money::of(1_000, "EUR".parse().unwrap()));
        for (tiers, field) in [
            (vec![tier("a", None, Some(1), 0)], "trustTiers.0.minimumPaid"),
            (vec![tier("a", None, None, 1)], "trustTiers.0.minimumDays"),
            (vec![tier("", None, None, 0)], "trustTiers.0.key"),
            (vec![tier("a b", None, None, 0)], "trustTiers.0.key"),
            (vec![tier("a", Some(4), None, 0)], "trustTiers.0.maximum.amount"),
            (vec![tier("a", Some(0), None, 0)], "trustTiers.0.maximum.amount"),
            (
                vec![TrustTier {
                    maximum: euros,
                    ..first.clone()
                }],
                "trustTiers.0.maximum.currency",
            ),
            (vec![first.clone(), first.clone()], "trustTiers.1.key"),
            (
                vec![first.clone(), tier("b", Some(50), None, 0)],
                "trustTiers.1.maximum",
            ),
            (
                vec![first.clone(), second.clone(), tier("c", None, Some(49), 7)],
                "trustTiers.2.minimumPaid",
            ),
            (
                vec![first.clone(), second, tier("c", None, Some(50), 6)],
                "trustTiers.2.minimumDays",
            ),
            (vec![tier("a", None, None, 4_000)], "trustTiers.0.minimumDays"),
            (vec![first; MAX_TIERS + 1], "trustTiers"),
        ] {
            let no = trusting(tiers).validate().unwrap_err();
            assert_eq!(no.path.join("."), field);
        }
    }
}
