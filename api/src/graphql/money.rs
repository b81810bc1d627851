//! Amounts and prices in money.

use app::error::Result;
use async_graphql::{InputObject, OneofObject, SimpleObject};
use domain::{
    metering::{self, Flat, Graduated, Package, PerUnit, Volume},
    money,
    plan::money_price,
};

use super::{
    catalog::PriceKind,
    scalar::{CurrencyCode, Decimal},
};

/// An amount of money.
#[derive(SimpleObject)]
pub struct Money {
    /// Major units (dollars, not cents), with all decimal places of the currency, such as `"20.00"`.
    pub amount: Decimal,
    /// Of which currency.
    pub currency: CurrencyCode,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self {
            amount: Decimal(money.amount()),
            currency: money.currency.into(),
        }
    }
}

/// An amount of money.
#[derive(InputObject)]
pub struct MoneyInput {
    /// Major units (dollars, not cents), with at most as many decimal places as the currency has.
    pub amount: Decimal,
    /// Of which currency.
    pub currency: CurrencyCode,
}

impl MoneyInput {
    pub(super) fn money(&self, field: &str) -> Result<money::Money> {
        let currency = self.currency.currency(&format!("{field}.currency"))?;
        self.amount.money(currency, &format!("{field}.amount"))
    }
}

/// What one credit costs.
#[derive(SimpleObject)]
pub struct CreditPrice {
    /// Major units of the currency for one credit, at most 12 decimal places.
    pub per_credit: Decimal,
    /// In which currency.
    pub currency: CurrencyCode,
}

impl From<money_price::CreditPrice> for CreditPrice {
    fn from(price: money_price::CreditPrice) -> Self {
        Self {
            per_credit: price.per_credit.into(),
            currency: price.currency.into(),
        }
    }
}

/// What one credit costs.
#[derive(InputObject)]
pub struct CreditPriceInput {
    /// Major units of the currency for one credit, zero or more, at most 12 decimal places.
    pub per_credit: Decimal,
    /// In which currency.
    pub currency: CurrencyCode,
}

impl CreditPriceInput {
    pub(super) fn price(&self, field: &str) -> Result<money_price::CreditPrice> {
        Ok(money_price::CreditPrice {
            currency: self.currency.currency(&format!("{field}.currency"))?,
            per_credit: self.per_credit.rate(&format!("{field}.perCredit"))?,
        })
    }
}

/// A stretch of the cycle's count and its price in money.
#[derive(SimpleObject)]
pub struct MoneyTier {
    /// Last count that belongs to the tier (inclusive), in units; null: no end.
    pub up_to: Option<Decimal>,
    /// Major units of the currency per unit.
    pub amount_per_unit: Decimal,
}

/// What units cost in money. Fields that do not belong to the kind are null.
#[derive(SimpleObject)]
pub struct MoneyRates {
    /// How units become money.
    pub kind: PriceKind,
    /// Major units of the currency per event; of `FLAT`.
    pub amount: Option<Decimal>,
    /// Major units of the currency per unit; of `PER_UNIT`.
    pub amount_per_unit: Option<Decimal>,
    /// Tiers; of `GRADUATED` and `VOLUME`.
    pub tiers: Option<Vec<MoneyTier>>,
    /// Units in a package; of `PACKAGE`.
    pub size: Option<Decimal>,
    /// Major units of the currency per started package; of `PACKAGE`.
    pub amount_per_package: Option<Decimal>,
}

impl From<metering::Price> for MoneyRates {
    fn from(price: metering::Price) -> Self {
        let empty = |kind| Self {
            kind,
            amount: None,
            amount_per_unit: None,
            tiers: None,
            size: None,
            amount_per_package: None,
        };
        let tiers = |tiers: Vec<metering::Tier>| {
            let tier = |tier: metering::Tier| MoneyTier {
                up_to: tier.up_to.map(Decimal::from),
                amount_per_unit: tier.credits_per_unit.into(),
            };
            Some(tiers.into_iter().map(tier).collect())
        };
        match price {
            metering::Price::Flat(flat) => Self {
                amount: Some(flat.credits.into()),
                ..empty(PriceKind::Flat)
            },
            metering::Price::PerUnit(price) => Self {
                amount_per_unit: Some(price.credits_per_unit.into()),
                ..empty(PriceKind::PerUnit)
            },
            metering::Price::Graduated(price) => Self {
                tiers: tiers(price.tiers),
                ..empty(PriceKind::Graduated)
            },
            metering::Price::Volume(price) => Self {
                tiers: tiers(price.tiers),
                ..empty(PriceKind::Volume)
            },
            metering::Price::Package(price) => Self {
                size: Some(price.size.into()),
                amount_per_package: Some(price.credits_per_package.into()),
                ..empty(PriceKind::Package)
            },
        }
    }
}

/// What a metric costs in money, for invoices.
#[derive(SimpleObject)]
pub struct MoneyPrice {
    /// Key of the metric.
    pub metric_key: String,
    /// In which currency.
    pub currency: CurrencyCode,
    /// What its units cost.
    pub price: MoneyRates,
}

/// A price in money for every event.
#[derive(InputObject)]
pub struct FlatMoneyInput {
    /// Major units of the currency per event, zero or more, at most 12 decimal places.
    pub amount: Decimal,
}

/// A price in money for every unit.
#[derive(InputObject)]
pub struct PerUnitMoneyInput {
    /// Major units of the currency per unit, zero or more, at most 12 decimal places.
    pub amount_per_unit: Decimal,
}

/// A stretch of the cycle's count and its price in money.
#[derive(InputObject)]
pub struct MoneyTierInput {
    /// Last count that belongs to the tier (inclusive), in units; null for the last tier.
    pub up_to: Option<Decimal>,
    /// Major units of the currency per unit, zero or more, at most 12 decimal places.
    pub amount_per_unit: Decimal,
}

/// Prices in money by tiers.
#[derive(InputObject)]
pub struct TieredMoneyInput {
    /// Rising; the last has `upTo: null`. 1 to 100.
    pub tiers: Vec<MoneyTierInput>,
}

/// A price in money for every started package.
#[derive(InputObject)]
pub struct PackageMoneyInput {
    /// Units in a package, more than zero.
    pub size: Decimal,
    /// Major units of the currency per started package, zero or more, at most 12 decimal places.
    pub amount_per_package: Decimal,
}

/// What units cost in money: exactly one kind.
#[derive(OneofObject)]
pub enum MoneyRatesInput {
    /// A fixed price per event, whatever its units.
    Flat(FlatMoneyInput),
    /// One price for every unit.
    PerUnit(PerUnitMoneyInput),
    /// Each tier's price applies to the units inside the tier.
    Graduated(TieredMoneyInput),
    /// The price of the tier reached applies to all units of the cycle.
    Volume(TieredMoneyInput),
    /// A price for every started package of units.
    Package(PackageMoneyInput),
}

impl MoneyRatesInput {
    fn price(self, field: &str) -> Result<metering::Price> {
        let at = |part: &str| format!("{field}.{part}");
        Ok(match self {
            Self::Flat(flat) => metering::Price::Flat(Flat {
                credits: flat.amount.rate(&at("flat.amount"))?,
            }),
            Self::PerUnit(price) => metering::Price::PerUnit(PerUnit {
                credits_per_unit: price.amount_per_unit.rate(&at("perUnit.amountPerUnit"))?,
            }),
            Self::Graduated(price) => metering::Price::Graduated(Graduated {
                tiers: tiers(price, &at("graduated.tiers"))?,
            }),
            Self::Volume(price) => metering::Price::Volume(Volume {
                tiers: tiers(price, &at("volume.tiers"))?,
            }),
            Self::Package(price) => metering::Price::Package(Package {
                size: price.size.quantity(&at("package.size"))?,
                credits_per_package: price.amount_per_package.rate(&at("package.amountPerPackage"))?,
            }),
        })
    }
}

fn tiers(price: TieredMoneyInput, field: &str) -> Result<Vec<metering::Tier>> {
    let tier = |(index, tier): (usize, MoneyTierInput)| {
        let up_to = tier
            .up_to
            .map(|end| end.quantity(&format!("{field}.{index}.upTo")))
            .transpose()?;
        let credits_per_unit = tier
            .amount_per_unit
            .rate(&format!("{field}.{index}.amountPerUnit"))?;
        Ok(metering::Tier {
            up_to,
            credits_per_unit,
        })
    };
    price.tiers.into_iter().enumerate().map(tier).collect()
}

/// What a metric costs in money, for invoices.
#[derive(InputObject)]
pub struct MoneyPriceInput {
    /// Key of the metric; each at most once.
    pub metric_key: String,
    /// In which currency.
    pub currency: CurrencyCode,
    /// What its units cost.
    pub price: MoneyRatesInput,
}

impl MoneyPriceInput {
    pub(super) fn price(self, field: &str) -> Result<(String, money_price::MoneyPrice)> {
        let price = money_price::MoneyPrice {
            currency: self.currency.currency(&format!("{field}.currency"))?,
            price: self.price.price(&format!("{field}.price"))?,
        };
        Ok((self.metric_key, price))
    }
}
