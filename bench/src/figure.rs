//! What was measured, as a table for people and a list for programs.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// On which database.
    pub backend: String,
    /// What Tallygate does.
    pub ours: f64,
    /// What the same work written by hand does, in the same minutes.
    pub limit: f64,
    /// Ours divided by the limit. For rates more is better, for delays and memory less.
    pub ratio: f64,
    /// Unit of both.
    pub unit: &'static str,
    /// What it should be.
    #[serde(skip)]
    pub target: Target,
    /// What the limit is.
    #[serde(skip)]
    pub limit_is: &'static str,
}

/// What a figure should be; all that is given must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target {
    /// At least this ratio.
    pub ratio: Option<f64>,
    /// Ours at least.
    pub at_least: Option<f64>,
    /// Ours below.
    pub below: Option<f64>,
}

impl Target {
    /// Nothing in particular.
    pub const NONE: Self = Self {
        ratio: None,
        at_least: None,
        below: None,
    };

    /// At least this share of the limit.
    pub const fn ratio(ratio: f64) -> Self {
        Self {
            ratio: Some(ratio),
            ..Self::NONE
        }
    }

    /// Less than this.
    pub const fn below(most: f64) -> Self {
        Self {
            below: Some(most),
            ..Self::NONE
        }
    }

    /// At least this much as well.
    pub const fn and_at_least(self, least: f64) -> Self {
        Self {
            at_least: Some(least),
            ..self
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.ratio.map(|ratio| format!("ratio {ratio}")),
            self.at_least.map(|least| format!(">= {}", number(least))),
            self.below.map(|most| format!("< {}", number(most))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl Figure {
    /// A line.
    pub fn new(
        name: impl Into<String>,
        backend: impl ToString,
        unit: &'static str,
        ours: f64,
        limit: f64,
    ) -> Self {
        Self {
            name: name.into(),
            backend: backend.to_string(),
            ours,
            limit,
            ratio: if limit > 0.0 { ours / limit } else { 0.0 },
            unit,
            target: Target::NONE,
            limit_is: "",
        }
    }

    /// What it should be.
    pub fn target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// What the limit is.
    pub fn against(self, limit_is: &'static str) -> Self {
        Self { limit_is, ..self }
    }

    /// Whether it is what it should be; `None` when nothing was asked for.
    pub fn met(&self) -> Option<bool> {
        let Target {
            ratio,
            at_least,
            below,
        } = self.target;
        let checks = [
            ratio.map(|least| self.ratio >= least),
            at_least.map(|least| self.ours >= least),
            below.map(|most| self.ours < most),
        ];
        checks.into_iter().flatten().reduce(|one, other| one && other)
    }
}

/// The figures as a Markdown table, so that it can be pasted into the README.
pub fn table(figures: &[Figure]) -> String {
    let head = [
        "name",
        "backend",
        "ours",
        "limit",
        "ratio",
        "target",
        "met",
        "unit",
        "the limit is",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(figures.iter().map(|figure| {
        let met = figure.met().map_or("", |met| if met { "yes" } else { "NO" });
        [
            figure.name.clone(),
            figure.backend.clone(),
            number(figure.ours),
            number(figure.limit),
            format!("{:.2}", figure.ratio),
            figure.target.to_string(),
            met.to_owned(),
            figure.unit.to_owned(),
            figure.limit_is.to_owned(),
        ]
    }));
    let widths: [usize; 9] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits that matter, with thousands apart.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.123, "0.12"),
            (99.0, "99.00"),
            (100.4, "100"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn every_part_of_a_target_must_hold() {
        let figure = |ours, limit, target| Figure::new("x", "y", "z", ours, limit).target(target).met();
        let both = Target::ratio(0.5).and_at_least(100.0);
        assert_eq!(figure(100.0, 200.0, both), Some(true));
        assert_eq!(figure(99.0, 100.0, both), Some(false));
        assert_eq!(figure(100.0, 300.0, both), Some(false));
        assert_eq!(figure(1.0, 1.0, Target::below(1.0)), Some(false));
        assert_eq!(figure(1.0, 1.0, Target::NONE), None);
    }

    #[test]
    fn without_a_limit_there_is_no_ratio() {
        assert_eq!(Figure::new("x", "y", "z", 1.0, 0.0).ratio, 0.0);
    }
}
