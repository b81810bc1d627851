//! Metering rules: immutable versions of prices, and which one an event uses.

use std::collections::{BTreeMap, HashMap};

use crate::{
    id::{MeteringRuleId, MetricId},
    metering::Price,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};

/// Facts about an event, such as `model = "large"`. Numbers and booleans are kept as their JSON text.
pub type Properties = BTreeMap<String, String>;

/// Most properties an event or a match may have; bounds matching.
pub const MAX_PROPERTIES: usize = 16;
/// Longest property name, in bytes.
pub const MAX_PROPERTY_NAME: usize = 64;
/// Longest property value, in bytes.
pub const MAX_PROPERTY_VALUE: usize = 256;

/// One immutable version of a metric's price, valid in `[effective_from, effective_to)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteringRule {
    /// Its name.
    pub id: MeteringRuleId,
    /// What it prices.
    pub metric: MetricId,
    /// Number of the version, counted per metric from 1.
    pub version: i32,
    /// Events must have all these properties. Empty: every event.
    pub matches: Properties,
    /// The first version with the same match. Versions of one line share the count of the cycle.
    pub line: MeteringRuleId,
    /// What it costs.
    pub price: Price,
    /// When it was written: events accepted earlier do not see it.
    pub known_from: Timestamp,
    /// First instant of validity.
    pub effective_from: Timestamp,
    /// First instant after; `None` while no later version is known.
    pub effective_to: Option<Timestamp>,
}

impl MeteringRule {
    fn accepts(&self, properties: &Properties) -> bool {
        self.matches
            .iter()
            .all(|(name, value)| properties.get(name) == Some(value))
    }
}

/// The rule an event uses: of those that match its properties the most specific, in the version valid when it occurred.
///
/// Only versions that were known when the event was accepted count. A price that is written between acceptance and debit changes
/// nothing, so what an event costs does not depend on when workers come round.
#[must_use]
pub fn select<'a>(
    rules: &'a [MeteringRule],
    properties: &Properties,
    occurred_at: Timestamp,
    received_at: Timestamp,
) -> Option<&'a MeteringRule> {
    rules
        .iter()
        .filter(|rule| rule.known_from <= received_at && rule.effective_from <= occurred_at)
        .filter(|rule| rule.accepts(properties))
        // Versions of one match follow each other, so the last to begin is the valid one.
        .max_by_key(|rule| (rule.matches.len(), rule.effective_from))
}

/// All rules of a metric together with the words for its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRules {
    /// Name for people, such as `API call`.
    pub name: String,
    /// Name of one unit, such as `call`.
    pub unit: String,
    /// Every version.
    pub rules: Vec<MeteringRule>,
}

/// The rules of the metrics at hand.
pub type RuleBook = HashMap<MetricId, MetricRules>;

/// What a new version does to the versions before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// Its number.
    pub version: i32,
    /// Its line; `None` when it begins one.
    pub line: Option<MeteringRuleId>,
    /// When it begins to apply.
    pub effective_from: Timestamp,
    /// The version that ends where this one begins.
    pub ends: Option<MeteringRuleId>,
}

/// Places a new version after the `existing` ones of its metric.
///
/// The first price of a line applies to usage of the past as well unless told otherwise, as far as it is accepted from now on.
/// A later version begins now or in the future.
///
/// # Errors
/// A beginning in the past or not after the version before it, or an overlap with another match of equal rank.
pub fn place(
    existing: &[MeteringRule],
    matches: &Properties,
    effective_from: Option<Timestamp>,
    now: Timestamp,
) -> Result<NewVersion, Rejection> {
    if let Some(rival) = existing.iter().find(|rule| overlaps(&rule.matches, matches)) {
        return Err(Rejection::new(
            RejectionCode::RuleOverlap,
            "match",
            format!(
                "an event could match both this rule and version {}; add a property to one",
                rival.version
            ),
        ));
    }
    let version = existing.iter().map(|rule| rule.version).max().unwrap_or(0) + 1;
    let last = existing
        .iter()
        .filter(|rule| rule.matches == *matches)
        .max_by_key(|rule| rule.effective_from);
    let Some(last) = last else {
        let effective_from = effective_from.unwrap_or(Timestamp::MIN);
        return Ok(NewVersion {
            version,
            line: None,
            effective_from,
            ends: None,
        });
    };
    let effective_from = effective_from.unwrap_or(now);
    let refuse = |message| Err(Rejection::invalid("effectiveFrom", message));
    if effective_from < now {
        return refuse("a new version of a price must not begin in the past".to_owned());
    }
    if effective_from <= last.effective_from {
        return refuse(format!(
            "version {} begins at {}; begin after it",
            last.version, last.effective_from
        ));
    }
    Ok(NewVersion {
        version,
        line: Some(last.line),
        effective_from,
        ends: Some(last.id),
    })
}

/// Two different matches of equal rank that contradict each other nowhere: some event would match both.
fn overlaps(one: &Properties, other: &Properties) -> bool {
    one != other
        && one.len() == other.len()
        && one
            .iter()
            .all(|(name, value)| other.get(name).is_none_or(|theirs| theirs == value))
}

/// Checks the properties of an event or of a match.
///
/// # Errors
/// Too many, or a name or value that is empty or too long.
pub fn validate_properties(properties: &Properties, field: &str) -> Result<(), Rejection> {
    if properties.len() > MAX_PROPERTIES {
        return Err(Rejection::invalid(
            field,
            format!("at most {MAX_PROPERTIES} properties"),
        ));
    }
    for (name, value) in properties {
        if name.is_empty() || name.len() > MAX_PROPERTY_NAME {
            return Err(Rejection::invalid(
                field,
                format!("property names have 1 to {MAX_PROPERTY_NAME} bytes"),
            ));
        }
        if value.len() > MAX_PROPERTY_VALUE {
            return Err(Rejection::invalid(
                field,
                format!("property `{name}` has more than {MAX_PROPERTY_VALUE} bytes"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{amount::Rate, metering::PerUnit};

    fn properties(text: &str) -> Properties {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn rule(version: i32, matches: &str, from: i64, to: Option<i64>) -> MeteringRule {
        let id = MeteringRuleId(Uuid::from_u128(u128::try_from(version).unwrap_or_default()));
        MeteringRule {
            id,
            metric: MetricId(Uuid::nil()),
            version,
            matches: properties(matches),
            line: id,
            price: Price::PerUnit(PerUnit {
                credits_per_unit: Rate::from_raw(1),
            }),
            known_from: Timestamp::MIN,
            effective_from: Timestamp::from_micros(from),
            effective_to: to.map(Timestamp::from_micros),
        }
    }

    #[test]
    fn the_most_specific_valid_match_wins() {
        let rules = [
            rule(1, "", 0, Some(100)),
            rule(2, "", 100, None),
            rule(3, "model=large", 50, None),
            rule(4, "model=large region=eu", 0, None),
        ];
        for (event, at, version) in [
            ("", 0, Some(1)),
            ("", 99, Some(1)),
            ("", 100, Some(2)),
            ("model=small", 100, Some(2)),
            ("model=large", 49, Some(1)),
            ("model=large", 50, Some(3)),
            ("model=large region=us", 50, Some(3)),
            ("model=large region=eu", 50, Some(4)),
        ] {
            let found = select(
                &rules,
                &properties(event),
                Timestamp::from_micros(at),
                Timestamp::MAX,
            )
            .map(|rule| rule.version);
            assert_eq!(found, version, "{event} at {at}");
        }
        assert_eq!(
            select(
                &rules[1..2],
                &properties(""),
                Timestamp::from_micros(99),
                Timestamp::MAX
            ),
            None
        );
    }

    #[test]
    fn a_price_written_after_acceptance_is_not_seen() {
        let later = MeteringRule {
            known_from: Timestamp::from_micros(500),
            ..rule(2, "", 100, None)
        };
        let rules = [rule(1, "", 0, Some(100)), later];
        for (received, version) in [(499, 1), (500, 2)] {
            let received = Timestamp::from_micros(received);
            let found = select(&rules, &Properties::new(), Timestamp::from_micros(200), received);
            assert_eq!(found.map(|rule| rule.version), Some(version), "{received}");
        }
    }

    #[test]
    fn new_versions_follow_the_old_ones() {
        let now = Timestamp::from_micros(1_000);
        let existing = [rule(1, "", 0, None), rule(2, "model=large", 500, None)];
        let next = place(&existing, &properties(""), None, now).unwrap_or_else(|no| panic!("{no}"));
        assert_eq!(
            (next.version, next.line, next.effective_from),
            (3, Some(existing[0].id), now)
        );
        assert_eq!(next.ends, Some(existing[0].id));
        let fresh =
            place(&existing, &properties("model=small"), None, now).unwrap_or_else(|no| panic!("{no}"));
        assert_eq!((fresh.line, fresh.effective_from), (None, Timestamp::MIN));
    }

    #[test]
    fn the_past_and_ambiguity_are_refused() {
        let now = Timestamp::from_micros(1_000);
        let existing = [rule(1, "", 2_000, None), rule(2, "model=large", 0, None)];
        for (matches, from, field) in [
            ("", Some(999), "effectiveFrom"),
            ("", Some(2_000), "effectiveFrom"),
            ("region=eu", None, "match"),
        ] {
            let refused = place(
                &existing,
                &properties(matches),
                from.map(Timestamp::from_micros),
                now,
            );
            assert_eq!(
                refused.map_err(|no| no.path.join(".")),
                Err(field.to_owned()),
                "{matches} {from:?}"
            );
        }
    }
}
