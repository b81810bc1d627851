//! The gate: it allows exactly what the terms leave to spend, at the prices of the drain.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    Scale, at, block, blocks, book, cases, credits, event, metric, micro, per_unit, position, prices,
    quantities, rule, state, units,
};
use domain::{
    amount::{Credits, Quantity},
    credit::block::Block,
    customer::{AtZero, Settlement, Terms},
    gate::{Decision, Reason, View, decide},
    metering::{Position, Price},
    spend::{Limits, Mode, Rule, standing::Spending},
    subscription::admission::Admission,
    usage::{Counter, CounterKey, drain::drain},
};
use proptest::{option, prelude::*};

/// What the gate is asked about.
#[derive(Debug, Clone)]
struct Case {
    terms: Terms,
    blocks: Vec<Block>,
    overdraft: Credits,
    price: Option<Price>,
    position: Position,
    spending: Option<Spending>,
    now: i64,
}

impl Case {
    fn ask(&self, raw: i64) -> Decision {
        let view = View {
            terms: &self.terms,
            admission: Admission::Admitted,
            blocks: &self.blocks,
            overdraft: self.overdraft,
            price: self.price.as_ref(),
            held: Credits::ZERO,
            position: self.position,
            spending: self.spending.as_ref(),
            claimed: Credits::ZERO,
        };
        decide(&view, metric(1), Quantity::from_raw(raw), at(self.now))
    }

    fn usable(&self) -> i64 {
        let open = |it: &&Block| {
            it.granted_at <= at(self.now)
                && it.expires_at.is_none_or(|end| at(self.now) < end)
                && it
                    .metrics
                    .as_ref()
                    .is_none_or(|metrics| metrics.contains(&metric(1)))
        };
        self.blocks.iter().filter(open).map(|it| it.remaining.raw()).sum()
    }
}

fn terms(scale: Scale) -> impl Strategy<Value = Terms> {
    (0_usize..3, scale.credits(30)).prop_map(|(policy, line)| {
        let (at_zero, line) = [
            (AtZero::Block, None),
            (AtZero::AllowUpTo, Some(line)),
            (AtZero::Allow, None),
        ][policy];
        Terms::new(at_zero, line, Settlement::Manual).unwrap()
    })
}

fn asked(rising: bool) -> impl Strategy<Value = Case> {
    Scale::any().prop_flat_map(move |scale| {
        (
            terms(scale),
            blocks(scale, true, 0..4),
            prop_oneof![Just(Credits::ZERO), scale.credits(30)],
            option::weighted(0.9, prices(scale, rising)),
            (0_i64..30_000_000, 0_i64..10),
            0_i64..100,
        )
            .prop_map(|(terms, blocks, overdraft, price, (raw, events), now)| Case {
                terms,
                blocks,
                overdraft,
                price,
                position: position(raw, events),
                spending: None,
                now,
            })
    })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn it_allows_what_the_terms_leave(case in asked(false), amount in quantities()) {
        let answer = case.ask(amount.raw());
        let left = case.usable() - case.overdraft.raw() + case.terms.overage_line.raw();
        let to = case.position.after(amount).unwrap();
        let cost = case.price.as_ref().map_or(Credits::ZERO, |price| price.between(case.position, to).unwrap());
        prop_assert_eq!(answer.cost, Some(cost));
        match case.terms.at_zero {
            AtZero::Allow => {
                prop_assert!(answer.allowed);
                prop_assert_eq!((answer.available, answer.affordable_units), (None, None));
            }
            AtZero::Block | AtZero::AllowUpTo => {
                prop_assert_eq!(answer.available, Some(micro(left.max(0))));
                prop_assert_eq!(answer.allowed, cost.raw() <= left.max(0));
            }
        }
        let limit = match case.terms.at_zero {
            AtZero::AllowUpTo => Reason::OverageLimitReached,
            AtZero::Block | AtZero::Allow => Reason::InsufficientCredits,
        };
        prop_assert_eq!(answer.reason, (!answer.allowed).then_some(limit));
    }

    /// The most units that may be asked for: that many and fewer are allowed. More are not, but for the millionths of a unit
    /// that rounding to micro-credits lets slip.
    #[test]
    fn affordable_units_are_the_most(case in asked(true), raw in 0_i64..60_000_000) {
        let answer = case.ask(0);
        match answer.affordable_units {
            None => prop_assert!([raw, 1 << 40].into_iter().all(|any| case.ask(any).allowed)),
            Some(_) if !answer.allowed => prop_assert_eq!(answer.affordable_units, Some(Quantity::ZERO)),
            Some(most) => {
                prop_assert!(case.ask(most.raw()).allowed);
                prop_assert!(raw > most.raw() || case.ask(raw).allowed);
                // One more costs at least what there is, so it is refused as soon as it costs anything more.
                let dearer = case.ask(most.raw() + 1);
                prop_assert!(!dearer.allowed || dearer.cost == dearer.available);
            }
        }
    }

    /// Where a volume price falls, the answer still promises only what holds for every smaller number.
    #[test]
    fn affordable_units_hold_for_fewer(case in asked(false), share in 0_i64..=1_000) {
        let answer = case.ask(0);
        if let (Some(most), true) = (answer.affordable_units, answer.allowed) {
            let fewer = i64::try_from(i128::from(most.raw()) * i128::from(share) / 1_000).unwrap();
            prop_assert!(case.ask(fewer).allowed);
            let dearer = case.ask(most.raw() + 1);
            prop_assert!(!dearer.allowed || dearer.cost == dearer.available);
        }
    }

    /// What the gate allows under `BLOCK`, the drain takes from blocks; what it quotes, the drain charges.
    #[test]
    fn the_gate_and_the_drain_agree(case in asked(false), amount in quantities()) {
        let case = Case { overdraft: Credits::ZERO, terms: Terms::default(), ..case };
        let answer = case.ask(amount.raw());
        let rules = case.price.clone().map(|price| rule(1, 1, 1, price));
        let usage = event(1, 1, amount, case.now);
        let mut account = state(case.blocks.clone(), case.overdraft, Settlement::Manual);
        let key = CounterKey {
            metric: metric(1),
            line: rules.as_ref().map(|rule| rule.line),
            period_start: usage.occurred_at.month().start,
        };
        let sofar = case.price.as_ref().map_or(Credits::ZERO, |price| price.cumulative(case.position).unwrap());
        account.counters.insert(key, Counter { position: case.position, credits: sofar, ..Counter::default() });
        let done = drain(&mut account, &book(rules.into_iter().collect()), &[usage]).unwrap();
        prop_assert_eq!(answer.cost, Some(done.events[0].credits));
        prop_assert_eq!(answer.allowed, account.account.overdraft.is_zero());
    }
}

#[test]
fn policies_at_zero() {
    for (at_zero, line, blocks, overdraft, asked, allowed, available) in [
        (AtZero::Block, None, 5, 0, "5", true, Some("5")),
        (AtZero::Block, None, 5, 0, "5.000001", false, Some("5")),
        (AtZero::Block, None, 5, 2, "4", false, Some("3")),
        (AtZero::Block, None, 0, 2, "0", true, Some("0")),
        (AtZero::AllowUpTo, Some("3"), 5, 0, "8", true, Some("8")),
        (AtZero::AllowUpTo, Some("3"), 0, 3, "0.000001", false, Some("0")),
        (AtZero::Allow, None, 0, 9, "1000000", true, None),
    ] {
        let case = Case {
            terms: Terms::new(at_zero, line.map(credits), Settlement::Manual).unwrap(),
            blocks: vec![block(1, blocks * 1_000_000)],
            overdraft: micro(overdraft * 1_000_000),
            price: Some(per_unit("1")),
            position: Position::default(),
            spending: None,
            now: 1,
        };
        let answer = case.ask(units(asked).raw());
        assert_eq!(
            (answer.allowed, answer.available),
            (allowed, available.map(credits)),
            "{at_zero:?} {asked}"
        );
    }
}

/// What subscriptions say comes before the credits, which are told all the same.
#[test]
fn subscriptions_refuse_whatever_the_credits() {
    for at_zero in [AtZero::Block, AtZero::Allow] {
        for (admission, reason) in [
            (Admission::Admitted, None),
            (Admission::Overdue, Some(Reason::SubscriptionOverdue)),
            (Admission::Paused, Some(Reason::SubscriptionPaused)),
        ] {
            let terms = Terms::new(at_zero, None, Settlement::Manual).unwrap();
            let view = View {
                terms: &terms,
                admission,
                blocks: &[block(1, 5_000_000)],
                overdraft: micro(0),
                price: Some(&per_unit("1")),
                held: Credits::ZERO,
                position: Position::default(),
                spending: None,
                claimed: Credits::ZERO,
            };
            let answer = decide(&view, metric(1), units("5"), at(1));
            assert_eq!((answer.allowed, answer.reason), (reason.is_none(), reason));
            assert_eq!(
                (answer.cost, answer.remaining),
                (Some(credits("5")), credits("5"))
            );
            assert_eq!(answer.missing, Some(credits("0")), "credits do not help");
        }
    }
}

#[test]
fn what_cannot_be_counted_is_refused_unless_all_is_allowed() {
    for (at_zero, allowed) in [(AtZero::Block, false), (AtZero::Allow, true)] {
        let case = Case {
            terms: Terms::new(at_zero, None, Settlement::Manual).unwrap(),
            blocks: vec![block(1, i64::MAX)],
            overdraft: micro(0),
            price: Some(per_unit("9000000")),
            position: Position::default(),
            spending: None,
            now: 1,
        };
        let answer = case.ask(i64::MAX);
        assert_eq!((answer.allowed, answer.cost), (allowed, None));
    }
}

/// Limits of ten credits a day and thirty a month, with so much spent this day and earlier this month.
fn spending(mode: Mode, today: i64, earlier: i64) -> Spending {
    let limits = |budget| Limits {
        threshold: None,
        budget: Some(credits(budget)),
    };
    let rule = Rule {
        mode,
        daily: limits("10"),
        monthly: limits("30"),
    };
    let mut spending = Spending::new(rule, []);
    spending.add(at(1), micro(today * 1_000_000)).unwrap();
    let yesterday = at(1).plus_seconds(-86_400);
    spending.add(yesterday, micro(earlier * 1_000_000)).unwrap();
    spending
}

/// `available = max(0, min(remaining + overage line - held, what is left of each budget))`, and the smallest decides.
#[test]
fn the_smallest_of_credits_and_budgets_decides() {
    use Reason::{DailyBudgetReached, InsufficientCredits, MonthlyBudgetReached};
    for (at_zero, blocks, today, earlier, asked, available, reason) in [
        (AtZero::Block, 50, 0, 0, 10, Some(10), None),
        (AtZero::Block, 50, 0, 0, 11, Some(10), Some(DailyBudgetReached)),
        (AtZero::Block, 50, 10, 0, 1, Some(0), Some(DailyBudgetReached)),
        (AtZero::Block, 50, 12, 0, 1, Some(0), Some(DailyBudgetReached)),
        (AtZero::Block, 50, 12, 0, 0, Some(0), None),
        (AtZero::Block, 50, 0, 25, 6, Some(5), Some(MonthlyBudgetReached)),
        (AtZero::Block, 4, 0, 0, 5, Some(4), Some(InsufficientCredits)),
        // Both lack; what leaves less is named.
        (AtZero::Block, 4, 7, 0, 5, Some(3), Some(DailyBudgetReached)),
        (AtZero::Block, 4, 5, 0, 9, Some(4), Some(InsufficientCredits)),
        (AtZero::Block, 0, 10, 0, 1, Some(0), Some(InsufficientCredits)),
        // Where credits set no limit, budgets do.
        (AtZero::Allow, 0, 4, 0, 6, Some(6), None),
        (AtZero::Allow, 0, 4, 0, 7, Some(6), Some(DailyBudgetReached)),
    ] {
        let case = Case {
            terms: Terms::new(at_zero, None, Settlement::Manual).unwrap(),
            blocks: vec![block(1, blocks * 1_000_000)],
            overdraft: micro(0),
            price: Some(per_unit("1")),
            position: Position::default(),
            spending: Some(spending(Mode::Enforce, today, earlier)),
            now: 1,
        };
        let answer = case.ask(asked * 1_000_000);
        let name = format!("{at_zero:?} {blocks} {today} {earlier} {asked}");
        assert_eq!(answer.reason, reason, "{name}");
        assert_eq!(answer.allowed, reason.is_none(), "{name}");
        assert_eq!(
            answer.available,
            available.map(|it| micro(it * 1_000_000)),
            "{name}"
        );
        let affordable = available.map(|it| Quantity::from_raw(it * 1_000_000));
        assert_eq!(answer.affordable_units, affordable, "{name}");
        // Credits do not help against a budget.
        let lacks = at_zero == AtZero::Block && asked > blocks;
        assert_eq!(answer.missing.unwrap().is_positive(), lacks, "{name}");
        let ends = match reason {
            Some(DailyBudgetReached) => Some(at(1).next_day()),
            Some(MonthlyBudgetReached) => Some(at(1).month().end),
            _ => None,
        };
        assert_eq!(answer.resets_at(), ends, "{name}");
    }
}

#[test]
fn an_observed_budget_refuses_nothing_and_says_what_it_would_have() {
    for (today, asked, wanted) in [
        (0, 10, None),
        (0, 11, Some(Reason::DailyBudgetReached)),
        (50, 1, Some(Reason::MonthlyBudgetReached)),
    ] {
        let case = Case {
            terms: Terms::new(AtZero::Block, None, Settlement::Manual).unwrap(),
            blocks: vec![block(1, 100_000_000)],
            overdraft: micro(0),
            price: Some(per_unit("1")),
            position: Position::default(),
            spending: Some(spending(Mode::Observe, today, 0)),
            now: 1,
        };
        let answer = case.ask(asked * 1_000_000);
        assert_eq!((answer.allowed, answer.reason), (true, None));
        assert_eq!(answer.available, Some(credits("100")));
        assert_eq!(answer.would_refuse, wanted, "{today} {asked}");
        assert_eq!(answer.daily.unwrap().used, micro(today * 1_000_000));
    }
}
