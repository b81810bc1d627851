//! Grant templates: the credits that a variant brings.
//!
//! A template grants at the beginning of each cycle (or more often, or once). Its bonus is a block of its own (source P3: "Pro, 20
//! credits + 20 %"), and nothing rolls over unless the template says so.

use serde::{Deserialize, Serialize};

use super::{
    interval::Interval,
    variant::{Mode, Variant},
};
use crate::{
    amount::{Credits, Percent},
    credit::block::{Billing, MAX_BLOCK_METRICS, Source},
    id::{MetricId, TemplateId, VariantId},
    rejection::Rejection,
    time::Timestamp,
};

/// Most templates that are in force for one variant; bounds the work at a boundary.
pub const MAX_TEMPLATES: usize = 20;
/// Largest bonus: a thousand times the grant.
const MAX_BONUS: Percent = Percent::from_raw(1_000 * Percent::HUNDRED.raw());
/// Seconds in a day of 24 hours.
const DAY: i64 = 86_400;

/// How often a template grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Recurrence {
    /// In every cycle.
    Recurring,
    /// Once, when the subscription begins (with a trial: when the trial ends). Source P4: included credits.
    Once,
}

/// When the credits of a grant end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Expiry {
    /// Never.
    Never,
    /// At a fixed instant. After it, nothing is granted.
    At {
        /// First instant at which they are gone.
        at: Timestamp,
    },
    /// So many seconds after the grant.
    After {
        /// More than zero.
        seconds: i64,
    },
    /// With the cycle (or, for a template that grants more often, with the next grant). They follow the cycle if its end moves.
    EndOfCycle,
}

/// Credits that a variant brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTemplate {
    /// Its name in rows.
    pub id: TemplateId,
    /// Whose.
    pub variant: VariantId,
    /// Credits per grant, more than zero.
    pub credits: Credits,
    /// Once or always.
    pub recurrence: Recurrence,
    /// How often it grants; `None`: with every cycle. Not longer than the cycle: monthly credits of a yearly variant.
    pub every: Option<Interval>,
    /// Where the credits come from. [`Source::Trial`] is granted for the trial and only there.
    pub source: Source,
    /// How their use is billed; `None`: as [`Self::billing`] says.
    pub billed: Option<Billing>,
    /// Higher burns first.
    pub priority: i32,
    /// When they end.
    pub expiry: Expiry,
    /// How much of what is left rolls over when the cycle ends, 0 to 100 %. Needs [`Expiry::EndOfCycle`].
    pub rollover: Percent,
    /// Most credits of this template that there may be after a grant, the grant included; `None`: any. What rolls over is cut, never
    /// the grant.
    pub accumulation_cap: Option<Credits>,
    /// A further block of so much of the grant, 0 % for none. It shares priority, expiry and rollover, and is free.
    pub bonus: Percent,
    /// Metrics that the credits may pay for; `None`: all.
    pub metrics: Option<Vec<MetricId>>,
    /// Whether a trial gets it as well, free of charge.
    pub in_trial: bool,
    /// When it was written: boundaries before do not grant it.
    pub created_at: Timestamp,
    /// Since when it is no longer granted.
    pub archived_at: Option<Timestamp>,
}

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Warning {
    /// Seconds are not months: 30 days are not the end of a month of 31.
    #[error("{seconds} seconds are not always the end of the cycle; END_OF_CYCLE is")]
    NotTheCycle {
        /// The seconds in question.
        seconds: i64,
    },
}

impl GrantTemplate {
    /// Checks a template for a variant before it is written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self, variant: &Variant) -> Result<(), Rejection> {
        let refuse = |field, message: &str| Err(Rejection::invalid(field, message));
        if !self.credits.is_positive() {
            return refuse("credits", "a grant is more than zero");
        }
        if matches!(
            self.source,
            Source::Purchase | Source::Rollover | Source::Adjustment
        ) {
            return refuse(
                "source",
                "a plan does not grant purchases, rollovers or adjustments",
            );
        }
        if self.source == Source::Trial && !variant.has_trial() {
            return refuse("source", "the variant has no trial");
        }
        if self.rollover.is_negative() || self.rollover > Percent::HUNDRED {
            return refuse("rolloverPercentage", "it is 0 to 100");
        }
        if self.bonus.is_negative() || self.bonus > MAX_BONUS || self.bonus.of(self.credits).is_err() {
            return refuse("bonusPercentage", "it is 0 to 100000");
        }
        if self.rollover.is_positive() && self.expiry != Expiry::EndOfCycle {
            return refuse(
                "rolloverPercentage",
                "only credits that expire at the END_OF_CYCLE roll over",
            );
        }
        match self.accumulation_cap {
            Some(_) if self.rollover.is_zero() => {
                return refuse("accumulationCap", "without rollover nothing accumulates");
            }
            Some(cap) if cap < self.credits => {
                return refuse("accumulationCap", "it must have room for one grant");
            }
            _ => {}
        }
        if matches!(self.expiry, Expiry::After { seconds } if seconds <= 0) {
            return refuse("expiresAfterSeconds", "it must be more than zero");
        }
        let metrics = self.metrics.as_ref().map(Vec::len);
        if metrics.is_some_and(|count| count == 0 || count > MAX_BLOCK_METRICS) {
            return Err(Rejection::invalid(
                "metricKeys",
                format!("1 to {MAX_BLOCK_METRICS} metrics, or none for all"),
            ));
        }
        self.validate_every(variant)
    }

    fn validate_every(&self, variant: &Variant) -> Result<(), Rejection> {
        let Some(every) = self.every else { return Ok(()) };
        if self.recurrence == Recurrence::Once || self.source == Source::Trial {
            return Err(Rejection::invalid(
                "grantInterval",
                "what is granted once has no interval",
            ));
        }
        if every.days().1 > variant.interval.days().1 {
            return Err(Rejection::invalid(
                "grantInterval",
                "it must not be longer than the billing interval",
            ));
        }
        Ok(())
    }

    /// What the vendor should be told although it is allowed.
    #[must_use]
    pub fn warning(&self, variant: &Variant) -> Option<Warning> {
        let Expiry::After { seconds } = self.expiry else {
            return None;
        };
        let (least, most) = self.every.unwrap_or(variant.interval).days();
        let always = least == most && seconds == least * DAY;
        let near = ((least - 1) * DAY..=(most + 1) * DAY).contains(&seconds);
        (self.recurrence == Recurrence::Recurring && near && !always)
            .then_some(Warning::NotTheCycle { seconds })
    }

    /// How the use of its credits is billed: what a postpaid plan grants is a budget (source P4), everything else as its source says.
    #[must_use]
    pub fn billing(&self, mode: Mode) -> Billing {
        match (self.billed, mode, self.source) {
            (Some(billing), ..) => billing,
            (None, Mode::Postpaid, Source::PlanGrant) => Billing::Budget,
            _ => self.source.default_billing(),
        }
    }

    /// Whether a boundary at this instant grants it.
    #[must_use]
    pub fn is_in_force_at(&self, instant: Timestamp) -> bool {
        self.created_at <= instant && self.archived_at.is_none_or(|end| instant < end)
    }

    /// Whether a trial (`true`) or a cycle after it (`false`) gets it.
    #[must_use]
    pub fn is_for(&self, trial: bool) -> bool {
        if trial {
            self.in_trial || self.source == Source::Trial
        } else {
            self.source != Source::Trial
        }
    }
}
