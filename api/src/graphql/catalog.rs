//! Catalog: metrics, metering rules, price previews.

use app::{catalog, error::Result, usage::parse_properties};
use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, SimpleObject};
use domain::{
    amount::Credits,
    id::{MeteringRuleId, MetricId},
    metering::{self, Flat, Graduated, Package, PerUnit, rule::Properties},
    money,
    plan::preview::Line,
    rejection::Rejection,
};

use super::{
    caller,
    customer::customer_ref_if_any,
    error::top_level,
    money::Money,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
    plan,
    scalar::{DateTime, Decimal, Json},
};

/// A thing that is counted, such as API calls or seconds.
#[derive(SimpleObject)]
pub struct Metric {
    /// Global id.
    pub id: ID,
    /// Name used in usage events, unique per tenant.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Name of one unit, such as `call`.
    pub unit: String,
    /// When it was made.
    pub created_at: DateTime,
    /// When it stopped accepting usage; null while it does.
    pub archived_at: Option<DateTime>,
}

impl From<catalog::Metric> for Metric {
    fn from(metric: catalog::Metric) -> Self {
        Self {
            id: metric.id.to_string().into(),
            key: metric.key,
            name: metric.name,
            unit: metric.unit,
            created_at: metric.created_at.into(),
            archived_at: metric.archived_at.map(DateTime),
        }
    }
}

/// How units become credits.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceKind {
    /// A fixed price per event, whatever its units.
    Flat,
    /// One price for every unit.
    PerUnit,
    /// Each tier's price applies to the units inside the tier.
    Graduated,
    /// The price of the tier reached applies to all units of the cycle.
    Volume,
    /// A price for every started package of units.
    Package,
}

/// A stretch of the cycle's count and its price.
#[derive(SimpleObject)]
pub struct PriceTier {
    /// Last count that belongs to the tier (inclusive), in units; null: no end.
    pub up_to: Option<Decimal>,
    /// Credits per unit.
    pub credits_per_unit: Decimal,
}

/// What a metric costs. Fields that do not belong to the kind are null.
#[derive(SimpleObject)]
pub struct Price {
    /// How units become credits.
    pub kind: PriceKind,
    /// Credits per event; of `FLAT`.
    pub credits: Option<Decimal>,
    /// Credits per unit; of `PER_UNIT`.
    pub credits_per_unit: Option<Decimal>,
    /// Tiers; of `GRADUATED` and `VOLUME`.
    pub tiers: Option<Vec<PriceTier>>,
    /// Units in a package; of `PACKAGE`.
    pub size: Option<Decimal>,
    /// Credits per started package; of `PACKAGE`.
    pub credits_per_package: Option<Decimal>,
}

impl From<metering::Price> for Price {
    fn from(price: metering::Price) -> Self {
        let empty = |kind| Self {
            kind,
            credits: None,
            credits_per_unit: None,
            tiers: None,
            size: None,
            credits_per_package: None,
        };
        let tier = |tier: metering::Tier| PriceTier {
            up_to: tier.up_to.map(Decimal::from),
            credits_per_unit: tier.credits_per_unit.into(),
        };
        match price {
            metering::Price::Flat(flat) => Self {
                credits: Some(flat.credits.into()),
                ..empty(PriceKind::Flat)
            },
            metering::Price::PerUnit(price) => Self {
                credits_per_unit: Some(price.credits_per_unit.into()),
                ..empty(PriceKind::PerUnit)
            },
            metering::Price::Graduated(price) => Self {
                tiers: Some(price.tiers.into_iter().map(tier).collect()),
                ..empty(PriceKind::Graduated)
            },
            metering::Price::Volume(price) => Self {
                tiers: Some(price.tiers.into_iter().map(tier).collect()),
                ..empty(PriceKind::Volume)
            },
            metering::Price::Package(price) => Self {
                size: Some(price.size.into()),
                credits_per_package: Some(price.credits_per_package.into()),
                ..empty(PriceKind::Package)
            },
        }
    }
}

/// One immutable version of a metric's price, valid in `[effectiveFrom, effectiveTo)`.
#[derive(SimpleObject)]
pub struct MeteringRule {
    /// Global id.
    pub id: ID,
    /// Key of the metric it prices.
    pub metric_key: String,
    /// Number of the version, counted per metric from 1.
    pub version: i32,
    /// Properties an event must have, as an object of texts; empty: every event.
    #[graphql(name = "match")]
    pub matches: Json,
    /// What it costs.
    pub price: Price,
    /// First instant of validity. Events use the version valid when they occurred.
    pub effective_from: DateTime,
    /// First instant after; null while no later version is known.
    pub effective_to: Option<DateTime>,
    /// When it was made.
    pub created_at: DateTime,
}

impl From<catalog::Rule> for MeteringRule {
    fn from(rule: catalog::Rule) -> Self {
        Self {
            id: rule.id.to_string().into(),
            metric_key: rule.metric_key,
            version: rule.version,
            matches: properties_json(&rule.matches),
            price: rule.price.into(),
            effective_from: rule.effective_from.into(),
            effective_to: rule.effective_to.map(DateTime),
            created_at: rule.created_at.into(),
        }
    }
}

/// Properties as a JSON object of texts.
pub(super) fn properties_json(properties: &Properties) -> Json {
    Json(
        properties
            .iter()
            .map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str())))
            .collect(),
    )
}

/// Properties from a JSON object of plain values.
pub(super) fn properties(json: Option<Json>, field: &str) -> Result<Properties> {
    Ok(parse_properties(json.map(|json| json.0)).map_err(|no| Rejection::invalid(field, no.to_string()))?)
}

/// A stretch of the count and what it costs in credits.
#[derive(SimpleObject)]
pub struct PreviewLine {
    /// Units in the stretch.
    pub units: Decimal,
    /// What they cost, in credits.
    pub credits: Decimal,
}

/// A stretch of the count and what it costs in money.
#[derive(SimpleObject)]
pub struct MoneyPreviewLine {
    /// Units in the stretch.
    pub units: Decimal,
    /// What they cost.
    pub money: Money,
}

/// What usage would cost.
#[derive(SimpleObject)]
pub struct PricePreview {
    /// The cost in credits. Negative where a volume tier would make past usage cheaper.
    pub credits: Decimal,
    /// The cost by stretches of the count with one price each: by tier for graduated prices, one for all others. They add up to
    /// `credits`.
    pub lines: Vec<PreviewLine>,
    /// The cost in money, by the variant's price for the metric; null: no variant was named, or it has no such price. With a
    /// customer it goes on from all units that the cycle has counted, whatever metering rule they matched.
    pub money: Option<Money>,
    /// The cost in money by stretches; they add up to `money`. Null where `money` is.
    pub money_lines: Option<Vec<MoneyPreviewLine>>,
    /// Units of the cycle before it.
    pub from_units: Decimal,
    /// Units of the cycle after it.
    pub to_units: Decimal,
    /// The version that would price it; null: the metric is free of charge.
    pub metering_rule: Option<MeteringRule>,
}

impl From<catalog::PricePreview> for PricePreview {
    fn from(preview: catalog::PricePreview) -> Self {
        let line = |line: &Line<Credits>| PreviewLine {
            units: line.units.into(),
            credits: line.amount.into(),
        };
        let money_line = |line: &Line<money::Money>| MoneyPreviewLine {
            units: line.units.into(),
            money: line.amount.into(),
        };
        let in_money = preview.money.as_ref();
        Self {
            credits: preview.credits.total.into(),
            lines: preview.credits.lines.iter().map(line).collect(),
            money: in_money.map(|money| money.total.into()),
            money_lines: in_money.map(|money| money.lines.iter().map(money_line).collect()),
            from_units: preview.from.into(),
            to_units: preview.to.into(),
            metering_rule: preview.rule.map(MeteringRule::from),
        }
    }
}

/// Reads of the catalog.
#[derive(Default)]
pub struct CatalogQuery;

#[Object]
impl CatalogQuery {
    /// One metric by key; null when there is none. Needs `catalog:read`.
    async fn metric(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of the metric.")] key: String,
    ) -> async_graphql::Result<Option<Metric>> {
        let (app, actor) = caller(ctx)?;
        Ok(catalog::metric(app, actor, &key)
            .await
            .map_err(top_level)?
            .map(Metric::from))
    }

    /// The tenant's metrics, oldest first. Needs `catalog:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<Metric>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<MetricId>()?;
        let slice = catalog::metrics(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |metric| metric.id.to_string(), Metric::from))
    }

    /// Versions of prices, oldest first. Needs `catalog:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn metering_rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only versions of this metric.")] metric_key: Option<String>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<MeteringRule>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<MeteringRuleId>()?;
        let slice = catalog::rules(app, actor, metric_key.as_deref(), page)
            .await
            .map_err(top_level)?;
        Ok(connection(slice, |rule| rule.id.to_string(), MeteringRule::from))
    }

    /// What usage would cost, by the same arithmetic as a debit. Needs `catalog:read`.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn price_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of the metric.")] metric_key: String,
        #[graphql(desc = "How many units.")] units: Decimal,
        #[graphql(desc = "Continue this customer's cycle; an empty one without a customer.")]
        customer_id: Option<ID>,
        #[graphql(desc = "The customer by the vendor's own name.")] external_customer_id: Option<String>,
        #[graphql(desc = "Facts that a rule may match on.")] properties: Option<Json>,
        #[graphql(desc = "When it would happen; now by default.")] at: Option<DateTime>,
        #[graphql(desc = "Answer in the money of this plan variant as well.")] variant_id: Option<ID>,
    ) -> async_graphql::Result<PricePreview> {
        let (app, actor) = caller(ctx)?;
        let request = || -> Result<catalog::PreviewRequest> {
            Ok(catalog::PreviewRequest {
                metric_key,
                units: units.quantity("units")?,
                customer: customer_ref_if_any(customer_id, external_customer_id)?,
                properties: self::properties(properties, "properties")?,
                at: at.map(|at| at.0),
                variant: variant_id.as_ref().map(plan::variant_id).transpose()?,
            })
        };
        let request = request().map_err(top_level)?;
        let preview = catalog::price_preview(app, actor, request)
            .await
            .map_err(top_level)?;
        Ok(preview.into())
    }
}

/// A metric to create.
#[derive(InputObject)]
pub struct CreateMetricInput {
    /// Name used in usage events: 1 to 64 lower-case letters, digits, `_`, `-`, `.`. Never changes.
    pub key: String,
    /// Name for people, 1 to 100 bytes.
    pub name: String,
    /// Name of one unit, such as `call`; `unit` by default.
    pub unit: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `createMetric`.
    CreateMetricPayload {
        /// The metric; null when it was refused.
        metric: Metric
    }
}

/// What to change of a metric. Fields left out stay.
#[derive(InputObject)]
pub struct UpdateMetricInput {
    /// Key of the metric.
    pub key: String,
    /// Name for people, 1 to 100 bytes.
    pub name: Option<String>,
    /// Name of one unit.
    pub unit: Option<String>,
    /// Whether it stops accepting usage. What was recorded stays.
    pub archived: Option<bool>,
}

payload! {
    /// Result of `updateMetric`.
    UpdateMetricPayload {
        /// The metric; null when it was refused.
        metric: Metric
    }
}

/// A price for every event.
#[derive(InputObject)]
pub struct FlatPriceInput {
    /// Credits per event, zero or more, at most 12 decimal places.
    pub credits: Decimal,
}

/// A price for every unit.
#[derive(InputObject)]
pub struct PerUnitPriceInput {
    /// Credits per unit, zero or more, at most 12 decimal places.
    pub credits_per_unit: Decimal,
}

/// A stretch of the cycle's count and its price.
#[derive(InputObject)]
pub struct PriceTierInput {
    /// Last count that belongs to the tier (inclusive), in units; null for the last tier.
    pub up_to: Option<Decimal>,
    /// Credits per unit, zero or more, at most 12 decimal places.
    pub credits_per_unit: Decimal,
}

/// Prices by tiers.
#[derive(InputObject)]
pub struct TieredPriceInput {
    /// Rising; the last has `upTo: null`. 1 to 100.
    pub tiers: Vec<PriceTierInput>,
}

/// A price for every started package.
#[derive(InputObject)]
pub struct PackagePriceInput {
    /// Units in a package, more than zero.
    pub size: Decimal,
    /// Credits per started package, zero or more, at most 12 decimal places.
    pub credits_per_package: Decimal,
}

/// What a metric costs: exactly one kind.
#[derive(OneofObject)]
pub enum PriceInput {
    /// A fixed price per event, whatever its units.
    Flat(FlatPriceInput),
    /// One price for every unit.
    PerUnit(PerUnitPriceInput),
    /// Each tier's price applies to the units inside the tier.
    Graduated(TieredPriceInput),
    /// The price of the tier reached applies to all units of the cycle.
    Volume(TieredPriceInput),
    /// A price for every started package of units.
    Package(PackagePriceInput),
}

impl PriceInput {
    fn price(self) -> Result<metering::Price> {
        Ok(match self {
            Self::Flat(flat) => metering::Price::Flat(Flat {
                credits: flat.credits.rate("price.flat.credits")?,
            }),
            Self::PerUnit(price) => metering::Price::PerUnit(PerUnit {
                credits_per_unit: price.credits_per_unit.rate("price.perUnit.creditsPerUnit")?,
            }),
            Self::Graduated(price) => metering::Price::Graduated(Graduated {
                tiers: tiers(price, "price.graduated.tiers")?,
            }),
            Self::Volume(price) => metering::Price::Volume(metering::Volume {
                tiers: tiers(price, "price.volume.tiers")?,
            }),
            Self::Package(price) => metering::Price::Package(Package {
                size: price.size.quantity("price.package.size")?,
                credits_per_package: price
                    .credits_per_package
                    .rate("price.package.creditsPerPackage")?,
            }),
        })
    }
}

fn tiers(price: TieredPriceInput, field: &str) -> Result<Vec<metering::Tier>> {
    let tier = |(index, tier): (usize, PriceTierInput)| {
        let up_to = tier
            .up_to
            .map(|end| end.quantity(&format!("{field}.{index}.upTo")))
            .transpose()?;
        let credits_per_unit = tier
            .credits_per_unit
            .rate(&format!("{field}.{index}.creditsPerUnit"))?;
        Ok(metering::Tier {
            up_to,
            credits_per_unit,
        })
    };
    price.tiers.into_iter().enumerate().map(tier).collect()
}

/// A new version of a metric's price.
#[derive(InputObject)]
pub struct CreateMeteringRuleInput {
    /// Key of the metric.
    pub metric_key: String,
    /// What it costs.
    pub price: PriceInput,
    /// Properties an event must have, as an object of plain values; leave it out for every event. The most specific match wins;
    /// overlaps of equal rank are refused. Each match has versions and counts of its own.
    #[graphql(name = "match")]
    pub matches: Option<Json>,
    /// When it begins to apply, by the time at which events occur. By default a first price applies whenever they occurred, and a
    /// later version from now on; a later version cannot begin in the past. Only events accepted from now on see it: what was
    /// accepted before keeps the price known then, which is free of charge when there was none.
    pub effective_from: Option<DateTime>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `createMeteringRule`.
    CreateMeteringRulePayload {
        /// The new version; null when it was refused.
        metering_rule: MeteringRule
    }
}

/// Writes of the catalog.
#[derive(Default)]
pub struct CatalogMutation;

#[Object]
impl CatalogMutation {
    /// Creates a metric. Needs `catalog:write`.
    async fn create_metric(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The metric to create.")] input: CreateMetricInput,
    ) -> async_graphql::Result<CreateMetricPayload> {
        let (app, actor) = caller(ctx)?;
        let command = catalog::CreateMetric {
            key: input.key,
            name: input.name,
            unit: input.unit,
        };
        let outcome = catalog::create_metric(app, actor, command, &input.idempotency_key).await;
        CreateMetricPayload::from_outcome(outcome, Metric::from)
    }

    /// Changes a metric. Needs `catalog:write`.
    async fn update_metric(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateMetricInput,
    ) -> async_graphql::Result<UpdateMetricPayload> {
        let (app, actor) = caller(ctx)?;
        let command = catalog::UpdateMetric {
            name: input.name,
            unit: input.unit,
            archived: input.archived,
        };
        let outcome = catalog::update_metric(app, actor, &input.key, command).await;
        UpdateMetricPayload::from_outcome(plain(outcome), Metric::from)
    }

    /// Adds a version of a metric's price. Versions never change; a new one ends the one before it. Needs `catalog:write`.
    async fn create_metering_rule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version to add.")] input: CreateMeteringRuleInput,
    ) -> async_graphql::Result<CreateMeteringRulePayload> {
        let (app, actor) = caller(ctx)?;
        let command = || -> Result<catalog::CreateRule> {
            Ok(catalog::CreateRule {
                metric_key: input.metric_key,
                matches: properties(input.matches, "match")?,
                price: input.price.price()?,
                effective_from: input.effective_from.map(|at| at.0),
            })
        };
        let outcome = match command() {
            Ok(command) => catalog::create_rule(app, actor, command, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        CreateMeteringRulePayload::from_outcome(outcome, MeteringRule::from)
    }
}
