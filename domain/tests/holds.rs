//! Holds: whatever is reserved, captured and released in whatever order, the limit is never passed, and what is claimed adds up.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    Scale, at, block, blocks, book, cases, credits, event, graduated, large, metric, micro, per_unit,
    position, prices, quantities, rule, state, units, volume,
};
use domain::{
    amount::{Credits, Quantity},
    credit::{block::Block, burn::Bound},
    customer::{AtZero, Settlement, Terms},
    gate::{Decision, Question, Reason, Standing},
    hold::{Hold, claims::Instant},
    id::HoldId,
    metering::{
        Price,
        rule::{MeteringRule, Properties, RuleBook},
    },
    subscription::admission::Admission,
    usage::{CustomerState, drain::drain},
};
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

/// When everything happens: after every grant.
const NOW: i64 = 200;

fn hold(number: u128, of: u128, amount: Quantity) -> Hold {
    Hold {
        id: HoldId(Uuid::from_u128(number)),
        metric: metric(of),
        units: amount,
        properties: Properties::new(),
        expires_at: at(NOW + 1_000),
    }
}

fn instant(now: i64) -> Instant {
    Instant {
        now: at(now),
        known_at: at(now),
    }
}

fn standing(terms: Terms, state: &CustomerState, holds: &[Hold]) -> Standing {
    Standing::new(terms, Admission::Admitted, state.clone()).with_holds(holds.to_vec())
}

fn ask(standing: &mut Standing, of: u128, amount: &str, rules: &RuleBook, now: i64) -> Decision {
    let question = Question {
        metric: metric(of),
        units: units(amount),
        properties: &Properties::new(),
        known_at: at(now),
    };
    standing.decide(question, rules, at(now))
}

fn blocked() -> Terms {
    Terms::new(AtZero::Block, None, Settlement::NextPurchase).unwrap()
}

/// A hold of so many units of metric 1, and what comes of it: the credits set aside, or the reason against it.
fn reserve(
    standing: &mut Standing,
    number: u128,
    amount: &str,
    rules: &RuleBook,
) -> Result<Credits, Option<Reason>> {
    let wanted = hold(number, 1, units(amount));
    standing
        .reserve(wanted, rules, instant(NOW))
        .map_err(|no| no.reason)
}

#[test]
fn holds_of_one_count_are_priced_one_after_the_other() {
    let rules = book(vec![rule(1, 1, 1, graduated(&[("10", "1"), ("∞", "0.5")]))]);
    let books = state(vec![block(1, 15_000_000)], micro(0), Settlement::NextPurchase);
    let mut standing = standing(blocked(), &books, &[]);
    for (number, amount, answer) in [
        (1, "8", Ok(credits("8"))),
        (2, "4", Ok(credits("3"))),
        (3, "8", Ok(credits("4"))),
        (4, "0.000002", Err(Some(Reason::InsufficientCredits))),
    ] {
        assert_eq!(reserve(&mut standing, number, amount, &rules), answer, "{number}");
    }
    let answer = ask(&mut standing, 1, "1", &rules, NOW);
    assert_eq!(
        (answer.remaining, answer.held, answer.available),
        (credits("15"), credits("15"), Some(credits("0")))
    );
    assert_eq!(
        (answer.cost, answer.missing),
        (Some(credits("0.5")), Some(credits("0.5")))
    );
}

/// What is held was not used yet, so all of it counts as held, also where its use would be written off.
#[test]
fn a_bound_hides_nothing_that_is_held() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let mut books = state(vec![block(1, 10_000_000)], micro(0), Settlement::NextPurchase);
    let (most, repaid) = (micro(0), Vec::new());
    books.funds = books.funds.bounded(Some(Bound { most, repaid }));
    let mut standing = standing(blocked(), &books, &[hold(1, 1, units("8"))]);
    let burst = event(1, 1, units("9"), NOW);
    standing.count(&rules, std::slice::from_ref(&burst)).unwrap();
    let answer = ask(&mut standing, 1, "0", &rules, NOW);
    let left = (answer.remaining, answer.held, answer.available);
    assert_eq!(left, (credits("1"), credits("8"), Some(credits("0"))));
    // And what the gate counts is what the drain will come to.
    let more = event(2, 1, units("5"), NOW + 1);
    standing.count(&rules, std::slice::from_ref(&more)).unwrap();
    let answer = ask(&mut standing, 1, "0", &rules, NOW + 1);
    drain(&mut books, &rules, &[burst, more]).unwrap();
    assert_eq!(answer.remaining, books.account.balance());
    assert_eq!(answer.remaining, credits("0"));
}

/// Without the first hold the second is in the dearer tier: what it claims grows, and never beyond what both claimed.
#[test]
fn what_is_given_up_makes_the_others_dearer() {
    let rules = book(vec![rule(1, 1, 1, graduated(&[("10", "1"), ("∞", "0.5")]))]);
    let books = state(vec![block(1, 15_000_000)], micro(0), Settlement::NextPurchase);
    let (first, second) = (hold(1, 1, units("10")), hold(2, 1, units("10")));
    let mut both = standing(blocked(), &books, &[first, second.clone()]);
    assert_eq!(ask(&mut both, 1, "0", &rules, NOW).held, credits("15"));
    let mut one = standing(blocked(), &books, &[second]);
    assert_eq!(ask(&mut one, 1, "0", &rules, NOW).held, credits("10"));
    // At the price of when it was made, 10 credits would seem to be free: 20 units at 0.5.
    assert_eq!(
        reserve(&mut one, 3, "20", &rules),
        Err(Some(Reason::InsufficientCredits))
    );
    assert_eq!(reserve(&mut one, 4, "10", &rules), Ok(credits("5")));
}

/// The eleventh unit makes the ten before cheaper, but only if it is used as well.
#[test]
fn a_price_that_falls_is_claimed_at_its_dearest() {
    let rules = book(vec![rule(1, 1, 1, volume(&[("10", "1"), ("∞", "0.5")]))]);
    let books = state(vec![block(1, 9_000_000)], micro(0), Settlement::NextPurchase);
    let mut standing = standing(blocked(), &books, &[]);
    assert_eq!(
        reserve(&mut standing, 1, "11", &rules),
        Err(Some(Reason::InsufficientCredits))
    );
    assert_eq!(reserve(&mut standing, 2, "9", &rules), Ok(credits("9")));
    assert_eq!(
        reserve(&mut standing, 3, "9", &rules),
        Err(Some(Reason::InsufficientCredits))
    );
}

#[test]
fn a_deadline_is_half_open() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let books = state(vec![block(1, 10_000_000)], micro(0), Settlement::NextPurchase);
    let mut standing = standing(blocked(), &books, &[hold(1, 1, units("4"))]);
    for (now, held) in [(NOW, "4"), (NOW + 999, "4"), (NOW + 1_000, "0"), (NOW, "4")] {
        let answer = ask(&mut standing, 1, "1", &rules, now);
        assert_eq!(answer.held, credits(held), "{now}");
        assert_eq!(
            answer.available,
            Some(answer.remaining.minus(answer.held).unwrap())
        );
    }
}

/// What is held for one metric by a block of its own leaves the others alone.
#[test]
fn holds_draw_on_the_blocks_that_would_pay() {
    let rules = book(vec![
        rule(1, 1, 1, per_unit("1")),
        rule(2, 2, 2, per_unit("1")),
        MeteringRule {
            matches: large(),
            ..rule(3, 3, 1, per_unit("2"))
        },
    ]);
    let own = Block {
        metrics: Some(vec![metric(1)]),
        priority: 1,
        ..block(1, 5_000_000)
    };
    let books = state(
        vec![own, block(2, 10_000_000)],
        micro(0),
        Settlement::NextPurchase,
    );
    let mut standing = standing(blocked(), &books, &[hold(1, 1, units("5"))]);
    let (one, two) = (
        ask(&mut standing, 1, "1", &rules, NOW),
        ask(&mut standing, 2, "1", &rules, NOW),
    );
    assert_eq!(
        (one.remaining, one.held, one.available),
        (credits("15"), credits("5"), Some(credits("10")))
    );
    assert_eq!((two.held, two.available), (credits("0"), Some(credits("10"))));
    let dear = Hold {
        properties: large(),
        ..hold(2, 1, units("3"))
    };
    assert_eq!(
        standing.reserve(dear, &rules, instant(NOW)).ok(),
        Some(credits("6"))
    );
    let two = ask(&mut standing, 2, "1", &rules, NOW);
    assert_eq!((two.held, two.available), (credits("6"), Some(credits("4"))));
}

#[test]
fn terms_and_subscriptions_decide_as_ever() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let books = state(vec![block(1, 2_000_000)], micro(0), Settlement::NextPurchase);
    let up_to = Terms::new(AtZero::AllowUpTo, Some(credits("3")), Settlement::Manual).unwrap();
    let allow = Terms::new(AtZero::Allow, None, Settlement::Manual).unwrap();
    for (terms, admission, amount, answer) in [
        (up_to, Admission::Admitted, "5", Ok(credits("5"))),
        (
            up_to,
            Admission::Admitted,
            "6",
            Err(Some(Reason::OverageLimitReached)),
        ),
        (allow, Admission::Admitted, "600", Ok(credits("600"))),
        (
            allow,
            Admission::Paused,
            "1",
            Err(Some(Reason::SubscriptionPaused)),
        ),
        (
            up_to,
            Admission::Overdue,
            "1",
            Err(Some(Reason::SubscriptionOverdue)),
        ),
        // Nobody knows what that would come to.
        (
            allow,
            Admission::Admitted,
            "9000000000000",
            Ok(credits("9000000000000")),
        ),
    ] {
        let mut standing = Standing::new(terms, admission, books.clone());
        assert_eq!(reserve(&mut standing, 1, amount, &rules), answer, "{amount}");
    }
    let dear = book(vec![rule(1, 1, 1, per_unit("9000000"))]);
    let mut standing = Standing::new(allow, Admission::Admitted, books);
    assert_eq!(reserve(&mut standing, 1, "9000000000000", &dear), Err(None));
}

/// What somebody does.
#[derive(Debug, Clone)]
enum Deed {
    Reserve(u128, Quantity),
    /// Captures the hold at this place of a part of its units, in quarters.
    Capture(usize, i64),
    Release(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0_u128..3, quantities()).prop_map(|(of, amount)| Deed::Reserve(of, amount)),
        2 => (0_usize..8, 1_i64..=4).prop_map(|(place, part)| Deed::Capture(place, part)),
        1 => (0_usize..8).prop_map(Deed::Release),
    ];
    vec(deed, 0..24)
}

/// A customer and its open holds.
struct Case {
    terms: Terms,
    rules: RuleBook,
    books: CustomerState,
    open: Vec<Hold>,
    used: u128,
}

impl Case {
    fn does(&mut self, deed: &Deed) {
        match deed {
            Deed::Reserve(of, amount) => {
                self.used += 1;
                let wanted = hold(self.used, *of, *amount);
                let mut standing = standing(self.terms, &self.books, &self.open);
                if standing
                    .reserve(wanted.clone(), &self.rules, instant(NOW))
                    .is_ok()
                {
                    self.open.push(wanted);
                }
            }
            Deed::Capture(place, part) if !self.open.is_empty() => {
                let hold = self.open.remove(place % self.open.len());
                self.used += 1;
                let part = Quantity::from_raw(hold.units.raw() / 4 * part);
                let of = hold.metric.0.as_u128();
                drain(&mut self.books, &self.rules, &[event(self.used, of, part, NOW)]).unwrap();
            }
            Deed::Release(place) if !self.open.is_empty() => {
                self.open.remove(place % self.open.len());
            }
            Deed::Capture(..) | Deed::Release(_) => {}
        }
    }

    fn left(&self) -> i64 {
        self.books.account.balance().raw() + self.terms.overage_line.raw()
    }
}

/// Every kind of price, also one that falls.
fn any_case() -> impl Strategy<Value = Case> {
    Scale::any().prop_flat_map(|scale| {
        (
            blocks(scale, false, 0..5),
            vec(prices(scale, false), 3),
            prop_oneof![Just(None), scale.credits(20).prop_map(Some)],
        )
            .prop_map(|(mut blocks, prices, line)| {
                for block in &mut blocks {
                    block.granted_at = at(-10);
                }
                let number = |index: usize| index as u128;
                let rules = prices
                    .into_iter()
                    .enumerate()
                    .map(|(index, price): (usize, Price)| {
                        rule(number(index) + 1, number(index) + 1, number(index), price)
                    });
                let at_zero = line.map_or(AtZero::Block, |_| AtZero::AllowUpTo);
                Case {
                    terms: Terms::new(at_zero, line, Settlement::NextInvoice).unwrap(),
                    rules: book(rules.collect()),
                    books: state(blocks, micro(0), Settlement::NextInvoice),
                    open: Vec::new(),
                    used: 0,
                }
            })
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("terms", &self.terms)
            .field("rules", &self.rules)
            .field("blocks", &self.books.funds.blocks())
            .finish_non_exhaustive()
    }
}

proptest! {
    #![proptest_config(cases(600))]

    /// In whatever order holds are made, captured and given up, and whatever is then captured of those that are left: the balance never
    /// falls below the line.
    #[test]
    fn the_limit_is_never_passed(mut case in any_case(), deeds in deeds(), rest in vec((0_usize..8, 1_i64..=4), 24)) {
        for deed in &deeds {
            case.does(deed);
            prop_assert!(case.left() >= 0, "{} after {deed:?}", case.left());
        }
        for (place, part) in rest {
            case.does(&Deed::Capture(place, part));
            prop_assert!(case.left() >= 0, "{}", case.left());
        }
    }

    /// What is held is the sum of what the open holds claim, however they were made.
    #[test]
    fn what_is_held_is_the_sum_of_the_open_ones(
        price in prices(Scale::Plain, false),
        counted in quantities(),
        amounts in vec(quantities(), 0..8),
    ) {
        let rules = book(vec![rule(1, 1, 1, price.clone())]);
        let mut books = state(vec![block(1, i64::MAX / 4)], micro(0), Settlement::NextPurchase);
        drain(&mut books, &rules, &[event(1, 1, counted, NOW)]).unwrap();
        let mut standing = standing(blocked(), &books, &[]);
        let (mut sum, mut all) = (0, 0);
        let from = position(counted.raw(), 1);
        for (number, amount) in amounts.iter().enumerate() {
            all += amount.raw();
            let made = standing.reserve(hold(number as u128, 1, *amount), &rules, instant(NOW));
            sum += made.unwrap().raw();
            let to = position(counted.raw() + all, 2 + number as i64);
            prop_assert_eq!(price.most_between(from, to).unwrap().raw(), sum);
        }
        prop_assert_eq!(ask(&mut standing, 1, "1", &rules, NOW).held.raw(), sum);
    }
}
