//! The fields of an event, read for a letter. What is not there or is something else is `None`: then there is no letter, or no such sentence.

use domain::{
    amount::Credits,
    money::{Currency, Money},
    spend::Span,
    time::Timestamp,
};
use serde_json::{Map, Value};

/// What an event says.
pub(super) struct Said<'a>(pub(super) &'a Map<String, Value>);

impl Said<'_> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name)?.as_str().map(str::to_owned)
    }

    /// A code as words: `insufficient_funds` is "insufficient funds".
    pub(super) fn words(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().replace('_', " ")
    }

    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub(super) fn credits(&self, name: &str) -> Option<Credits> {
        self.text(name)?.parse().ok()
    }

    pub(super) fn span(&self) -> Option<Span> {
        let word = self.text("span")?.to_uppercase();
        serde_json::from_value(Value::String(word)).ok()
    }

    pub(super) fn end_of_period(&self) -> Option<Timestamp> {
        self.0.get("period")?.get("end")?.as_str()?.parse().ok()
    }

    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    /// An amount, in the currency of the event.
    pub(super) fn money(&self, name: &str) -> Option<Money> {
        let currency: Currency = self.text("currency")?.parse().ok()?;
        Money::parse(&self.text(name)?, currency).ok()
    }

    pub(super) fn card(&self) -> String {
        let brand = self.text("brand").unwrap_or_default();
        let last_four = self.text("last_four").unwrap_or_default();
        format!("{brand} {last_four}").trim().to_owned()
    }
}
