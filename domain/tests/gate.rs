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
            now: 1,
        };
        let answer = case.ask(i64::MAX);
        assert_eq!((answer.allowed, answer.cost), (allowed, None));
    }
}
