//! How long the credits will last, and when the next charge comes.

use super::{Recharge, State, rule::Wish};
use crate::{
    amount::{Credits, Overflow},
    money::Money,
    payment::sale::Offer,
    time::Timestamp,
};

/// What was used over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burn {
    /// Credits debited, net of what was taken back.
    pub credits: Credits,
    /// In how many seconds.
    pub seconds: i64,
}

/// What comes if use goes on as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Credits used in a day.
    pub per_day: Credits,
    /// When the balance is at zero; `None`: nothing is used, or not within ten years.
    pub empty_at: Option<Timestamp>,
    /// When the next charge is decided; `None`: the rule would not charge, or not within ten years.
    pub charge_at: Option<Timestamp>,
    /// How much is charged then.
    pub charge: Option<Money>,
}

/// How far ahead anything is said, in seconds: ten years.
const HORIZON: i64 = 10 * 366 * 86_400;

impl Burn {
    /// Seconds until so many credits are used.
    fn seconds_for(&self, credits: i128) -> Option<i64> {
        if credits <= 0 {
            return Some(0);
        }
        if !self.credits.is_positive() {
            return None;
        }
        let seconds = credits.checked_mul(i128::from(self.seconds))? / i128::from(self.credits.raw());
        i64::try_from(seconds).ok().filter(|seconds| *seconds <= HORIZON)
    }
}

/// Looks ahead from a balance. `recharge` and `offer` are what the customer has; without either there is no charge to tell.
///
/// # Errors
/// Amounts outside their range.
pub fn forecast(
    balance: Credits,
    burn: Burn,
    recharge: Option<&Recharge>,
    offer: Option<&Offer>,
    now: Timestamp,
) -> Result<Forecast, Overflow> {
    let raw = |credits: Credits| i128::from(credits.raw());
    let day = (raw(burn.credits).max(0) * 86_400) / i128::from(burn.seconds.max(1));
    let after = |seconds: Option<i64>| seconds.map(|seconds| now.plus_seconds(seconds));
    let mut forecast = Forecast {
        per_day: Credits::from_raw(i64::try_from(day).map_err(|_| Overflow)?),
        empty_at: after(burn.seconds_for(raw(balance))),
        charge_at: None,
        charge: None,
    };
    let (Some(recharge), Some(offer)) = (recharge, offer) else {
        return Ok(forecast);
    };
    let earliest = match recharge.state {
        State::Watching => now,
        State::Waiting => recharge.next_at.unwrap_or(now),
        State::Off | State::Charging | State::Paused | State::Disabled => return Ok(forecast),
    };
    let rule = &recharge.rule;
    let Some(low_at) = after(burn.seconds_for(raw(balance) - raw(rule.threshold))) else {
        return Ok(forecast);
    };
    let at = low_at.max(earliest);
    let room = rule
        .monthly_cap
        .minor
        .saturating_sub(recharge.spent.at(at).in_month);
    if let Wish::Buy(amount) = rule.wish(balance.min(rule.threshold), offer, room)? {
        (forecast.charge_at, forecast.charge) = (Some(at), Some(amount));
    }
    Ok(forecast)
}
