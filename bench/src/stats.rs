//! Medians and quantiles. Nothing is averaged: one stall would hide in a mean.

use std::time::Duration;

/// The middle value; of an even number of values the mean of the two in the middle. Zero of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Delays that were measured one by one.
#[derive(Debug, Default)]
pub struct Delays(Vec<Duration>);

impl Delays {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest delay that at least this share of all does not exceed (nearest rank), in milliseconds. Zero of nothing.
    pub fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let place = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0
            .get(place)
            .map_or(0.0, |delay| delay.as_secs_f64() * 1_000.0)
    }
}

impl Extend<Duration> for Delays {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, delays: T) {
        self.0.extend(delays);
    }
}

impl FromIterator<Duration> for Delays {
    fn from_iter<T: IntoIterator<Item = Duration>>(delays: T) -> Self {
        Self(delays.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut delays: Delays = (1..=1_000).rev().map(Duration::from_millis).collect();
        assert_eq!(delays.quantile(0.5), 500.0);
        assert_eq!(delays.quantile(0.99), 990.0);
        assert_eq!(delays.quantile(0.999), 999.0);
        assert_eq!(delays.quantile(1.0), 1_000.0);
        assert_eq!(delays.quantile(0.0), 1.0);
    }

    #[test]
    fn a_rare_stall_shows_where_it_belongs() {
        let mut delays: Delays = std::iter::repeat_n(Duration::from_millis(1), 99)
            .chain([Duration::from_secs(1)])
            .collect();
        assert_eq!(delays.quantile(0.99), 1.0);
        assert_eq!(delays.quantile(0.999), 1_000.0);
    }

    #[test]
    fn nothing_has_no_delay() {
        assert_eq!(Delays::default().quantile(0.5), 0.0);
    }
}
