//! Auto-recharge: when it charges, what it says when it does not, and what becomes of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    missing_docs
)]

use domain::{
    amount::Credits,
    id::{CustomerId, PaymentId, PaymentMethodId, TenantId},
    money::{Currency, Money},
    payment::{Payment, Progress, Purpose, State as PaymentState, Way, decline::Decline, sale::Sale},
    plan::{money_price::CreditPrice, variant::PurchaseLimits},
    recharge::{
        Reason, Recharge, State,
        evaluate::{Circumstances, MAX_PER_DAY, Verdict, evaluate},
        forecast::{Burn, forecast},
        rehearsal::{Hour, rehearse},
        rule::{Rule, Size},
        state::{REST_SECONDS, RETRIES},
    },
    time::Timestamp,
};
use proptest::{prelude::*, sample::select};
use uuid::Uuid;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    at("2026-03-10T12:00:00Z")
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn usd(minor: i64) -> Money {
    Money::of(minor, Currency::USD)
}

/// $0.01 a credit, from $5 to $5,000.
fn sale() -> Sale {
    Sale {
        price: CreditPrice {
            currency: Currency::USD,
            per_credit: "0.01".parse().unwrap(),
        },
        limits: PurchaseLimits {
            minimum: Some(usd(500)),
            maximum: Some(usd(500_000)),
        },
        lasts_seconds: None,
        tiers: Vec::new(),
    }
}

/// $10 at 100 credits, $50 a month.
fn rule() -> Rule {
    Rule {
        threshold: credits("100"),
        size: Size::Fixed(usd(1_000)),
        monthly_cap: usd(5_000),
    }
}

fn recharge() -> Recharge {
    Recharge::begin(TenantId(Uuid::nil()), CustomerId(Uuid::nil()), rule(), start())
}

fn fine<'a>(sale: &'a Sale, balance: &str) -> Circumstances<'a> {
    Circumstances {
        balance: credits(balance),
        is_frozen: false,
        is_stopped: false,
        sale: Some(sale),
        plans: &[],
        can_pay: true,
    }
}

fn name(number: u128) -> PaymentId {
    PaymentId(Uuid::from_u128(number))
}

fn charge(amount: i64) -> Verdict {
    Verdict::Charge {
        amount: usd(amount),
        credits: Credits::from_raw(amount * 1_000_000),
    }
}

fn payment(id: PaymentId, state: PaymentState, decline: Option<Decline>) -> Payment {
    Payment {
        id,
        tenant: TenantId(Uuid::nil()),
        customer: CustomerId(Uuid::nil()),
        purpose: Purpose::Recharge,
        provider: "sandbox".to_owned(),
        way: Way::Saved(PaymentMethodId(Uuid::nil())),
        amount: usd(1_000),
        credits: credits("1000"),
        lasts_seconds: None,
        invoice: None,
        created_at: start(),
        progress: Progress {
            state,
            decline,
            ..Progress::begin(start())
        },
    }
}

#[test]
fn every_evaluation_has_an_answer() {
    let sale = sale();
    let low = fine(&sale, "100");
    let spent = |in_month, on_day| {
        let mut it = recharge();
        (it.spent.in_month, it.spent.on_day) = (in_month, on_day);
        it
    };
    let dear = {
        let mut it = recharge();
        it.rule.size = Size::Fixed(usd(499));
        it
    };
    let euro = {
        let mut it = recharge();
        it.rule.size = Size::Target(credits("200"));
        it.rule.monthly_cap = Money::of(5_000, Currency::EUR);
        it
    };
    let hold = Verdict::Hold;
    for (what, recharge, circumstances, verdict) in [
        ("enough", recharge(), fine(&sale, "100.000001"), Verdict::Enough),
        ("low", recharge(), low, charge(1_000)),
        ("in debt", recharge(), fine(&sale, "-1000"), charge(2_000)),
        (
            "frozen",
            recharge(),
            Circumstances {
                is_frozen: true,
                ..low
            },
            hold(Reason::Frozen),
        ),
        (
            "stopped",
            recharge(),
            Circumstances {
                is_stopped: true,
                ..low
            },
            hold(Reason::Stopped),
        ),
        (
            "nothing sold",
            recharge(),
            Circumstances { sale: None, ..low },
            hold(Reason::NotSold),
        ),
        ("below the minimum", dear, low, hold(Reason::NotSold)),
        ("another currency", euro, low, hold(Reason::NotSold)),
        (
            "no card",
            recharge(),
            Circumstances {
                can_pay: false,
                ..low
            },
            hold(Reason::NoPaymentMethod),
        ),
        (
            "enough for today",
            spent(0, MAX_PER_DAY),
            low,
            hold(Reason::DailyLimit),
        ),
        ("the last of the cap", spent(4_000, 1), low, charge(1_000)),
        ("beyond the cap", spent(4_001, 1), low, hold(Reason::CapReached)),
        (
            "stopped comes first",
            spent(5_000, 9),
            Circumstances {
                is_stopped: true,
                can_pay: false,
                ..low
            },
            hold(Reason::Stopped),
        ),
    ] {
        assert_eq!(
            evaluate(&recharge, &circumstances, start()).unwrap(),
            verdict,
            "{what}"
        );
    }
    let next_month = at("2026-04-01T00:00:00Z");
    assert_eq!(
        evaluate(&spent(5_000, 9), &low, next_month).unwrap(),
        charge(1_000)
    );
}

#[test]
fn only_one_that_watches_is_watched() {
    let mut it = recharge();
    assert_eq!(it.watches(), Some(credits("100")));
    it.evaluated(charge(1_000), name(1), start());
    assert_eq!(
        (it.state, it.watches(), it.payment),
        (State::Charging, None, Some(name(1)))
    );
    assert_eq!((it.spent.in_month, it.spent.on_day), (1_000, 1));
    it.heard(&payment(name(1), PaymentState::Succeeded, None), start());
    assert_eq!((it.state, it.reason), (State::Waiting, Some(Reason::JustCharged)));
    assert_eq!(it.next_at, Some(start().plus_seconds(REST_SECONDS)));
    assert_eq!((it.watches(), it.payment), (None, None));
    it.evaluated(Verdict::Enough, name(2), start());
    assert_eq!((it.state, it.next_at, it.reason), (State::Watching, None, None));
}

#[test]
fn what_holds_it_back_says_until_when() {
    for (reason, until) in [
        (Reason::CapReached, "2026-04-01T00:00:00Z"),
        (Reason::DailyLimit, "2026-03-11T00:00:00Z"),
        (Reason::NoPaymentMethod, "2026-03-10T13:00:00Z"),
        (Reason::Stopped, "2026-03-10T13:00:00Z"),
        (Reason::NotSold, "2026-03-10T13:00:00Z"),
        (Reason::Frozen, "2026-03-10T13:00:00Z"),
    ] {
        let mut it = recharge();
        it.evaluated(Verdict::Hold(reason), name(1), start());
        assert_eq!(
            (it.state, it.next_at),
            (State::Waiting, Some(at(until))),
            "{reason:?}"
        );
        assert_eq!((it.payment, it.spent.on_day), (None, 0));
    }
}

#[test]
fn a_card_that_declines_is_tried_four_times_and_no_more() {
    let mut it = recharge();
    let mut now = start();
    let mut attempts = 0;
    while it.state != State::Disabled {
        attempts += 1;
        it.evaluated(charge(1_000), name(attempts), now);
        let declined = payment(
            name(attempts),
            PaymentState::Failed,
            Some(Decline::InsufficientFunds),
        );
        it.heard(&declined, now);
        if let Some(next) = it.next_at {
            assert_eq!(it.reason, Some(Reason::Declined));
            assert_eq!(
                next.seconds_since(now),
                RETRIES[usize::try_from(attempts).unwrap() - 1]
            );
            now = next;
        }
    }
    assert_eq!((attempts, it.reason), (4, Some(Reason::RetriesFailed)));
    assert_eq!(now.seconds_since(start()), 3_600 + 86_400 + 259_200);
    assert_eq!(it.spent.in_month, 0, "nothing was taken");
    // Somebody looks at it, and it begins anew.
    it.agree(rule());
    assert_eq!((it.state, it.failures, it.reason), (State::Watching, 0, None));
}

#[test]
fn a_success_in_between_forgets_failures() {
    let mut it = recharge();
    for round in 0..10_u128 {
        let decline = (round % 3 != 2).then_some(Decline::TryAgainLater);
        it.evaluated(charge(1_000), name(round), start());
        let state = decline.map_or(PaymentState::Succeeded, |_| PaymentState::Failed);
        it.heard(&payment(name(round), state, decline), start());
    }
    assert_eq!((it.state, it.failures), (State::Waiting, 1));
}

#[test]
fn how_a_charge_can_end() {
    use PaymentState::{Failed, Processing, Quarantined, RequiresAction, Succeeded, Unknown};
    for (what, heard, state, reason) in [
        ("a lost answer", vec![(Unknown, None)], State::Charging, None),
        ("slow", vec![(Processing, None)], State::Charging, None),
        (
            "hard",
            vec![(Failed, Some(Decline::DoNotTryAgain))],
            State::Disabled,
            Some(Reason::MethodRefused),
        ),
        (
            "expired",
            vec![(Failed, Some(Decline::ExpiredCard))],
            State::Disabled,
            Some(Reason::MethodRefused),
        ),
        (
            "gone",
            vec![(Failed, Some(Decline::MethodGone))],
            State::Disabled,
            Some(Reason::MethodRefused),
        ),
        (
            "the provider was away",
            vec![(Failed, Some(Decline::NeverSubmitted))],
            State::Waiting,
            Some(Reason::Declined),
        ),
        (
            "stopped before it was sent",
            vec![(Failed, Some(Decline::Withdrawn))],
            State::Waiting,
            Some(Reason::Stopped),
        ),
        (
            "to be confirmed",
            vec![(RequiresAction, None)],
            State::Paused,
            Some(Reason::AuthenticationRequired),
        ),
        (
            "confirmed",
            vec![(RequiresAction, None), (Succeeded, None)],
            State::Waiting,
            Some(Reason::JustCharged),
        ),
        (
            "never confirmed",
            vec![(RequiresAction, None), (Failed, Some(Decline::NotConfirmed))],
            State::Disabled,
            Some(Reason::NotConfirmed),
        ),
        (
            "another amount",
            vec![(Quarantined, None)],
            State::Disabled,
            Some(Reason::Quarantined),
        ),
        (
            "late success",
            vec![(Failed, Some(Decline::TryAgainLater)), (Succeeded, None)],
            State::Waiting,
            Some(Reason::Declined),
        ),
    ] {
        let mut it = recharge();
        it.evaluated(charge(1_000), name(1), start());
        for (state, decline) in heard.iter().copied() {
            it.heard(&payment(name(1), state, decline), start());
        }
        assert_eq!((it.state, it.reason), (state, reason), "{what}");
        let ended = heard.last().is_some_and(|(state, _)| !state.is_open());
        assert_eq!(it.payment.is_none(), ended, "{what}");
        let taken = heard
            .iter()
            .any(|(state, _)| matches!(state, Succeeded | Quarantined));
        assert_eq!(
            it.spent.in_month,
            if taken || !ended { 1_000 } else { 0 },
            "{what}"
        );
    }
}

#[test]
fn switching_off_and_on_makes_no_second_charge() {
    let mut it = recharge();
    it.evaluated(charge(1_000), name(1), start());
    it.switch_off();
    assert_eq!((it.state, it.payment), (State::Off, Some(name(1))));
    it.agree(rule());
    assert_eq!((it.state, it.watches()), (State::Charging, None));
    it.switch_off();
    it.heard(&payment(name(1), PaymentState::Succeeded, None), start());
    assert_eq!(
        (it.state, it.payment, it.spent.in_month),
        (State::Off, None, 1_000)
    );
}

#[test]
fn a_rule_in_another_currency_counts_anew() {
    let mut it = recharge();
    it.evaluated(charge(1_000), name(1), start());
    it.agree(rule());
    assert_eq!(it.spent.in_month, 1_000);
    let euro = Money::of(5_000, Currency::EUR);
    it.agree(Rule {
        size: Size::Fixed(euro),
        monthly_cap: euro,
        ..rule()
    });
    assert_eq!(it.spent.in_month, 0);
}

#[test]
fn what_comes_next() {
    let sale = sale();
    let offer = sale.offer(&[]).unwrap();
    let week = Burn {
        credits: credits("7000"),
        seconds: 7 * 86_400,
    };
    let days = |n: i64| Some(start().plus_seconds(n * 86_400));
    let of = |recharge: &Recharge, balance, burn| {
        let seen = forecast(credits(balance), burn, Some(recharge), Some(&offer), start()).unwrap();
        (seen.empty_at, seen.charge_at, seen.charge)
    };
    let mut it = recharge();
    assert_eq!(
        of(&it, "2100", week),
        (Some(start().plus_seconds(181_440)), days(2), Some(usd(1_000)))
    );
    assert_eq!(
        of(&it, "50", week),
        (Some(start().plus_seconds(4_320)), Some(start()), Some(usd(1_000)))
    );
    let idle = Burn {
        credits: Credits::ZERO,
        ..week
    };
    assert_eq!(of(&it, "2100", idle), (None, None, None));
    it.evaluated(Verdict::Hold(Reason::CapReached), name(1), start());
    it.spent.in_month = 5_000;
    let april = at("2026-04-01T00:00:00Z");
    assert_eq!(
        of(&it, "2100", week).1,
        Some(april),
        "the new month has a cap of its own"
    );
    it.switch_off();
    assert_eq!(of(&it, "2100", week).1, None);
    let alone = forecast(credits("2100"), week, None, None, start()).unwrap();
    assert_eq!((alone.per_day, alone.charge), (credits("1000"), None));
}

#[test]
fn a_dry_run_charges_as_the_rule_would() {
    let sale = sale();
    // 300 credits used every six hours for a month from the 10th.
    let hours: Vec<Hour> = (1..=120)
        .map(|n| Hour {
            ends_at: start().plus_seconds(n * 21_600),
            change: credits("-300"),
        })
        .collect();
    let done = rehearse(recharge(), &fine(&sale, "1000"), &hours).unwrap();
    // $50 in March, which is gone after five charges; then again from the first of April on.
    let march = done
        .charges
        .iter()
        .filter(|charge| charge.at < at("2026-04-01T00:00:00Z"))
        .count();
    assert_eq!(march, 5);
    assert_eq!(done.charges[0].at, start().plus_seconds(3 * 21_600));
    assert_eq!(
        (done.charges[0].balance, done.charges[0].amount),
        (credits("100"), usd(1_000))
    );
    assert_eq!(done.holds[0].1, Reason::CapReached);
    assert_eq!(
        done.total.minor,
        done.charges.iter().map(|charge| charge.amount.minor).sum::<i64>()
    );
    let bought = done.total.minor;
    assert_eq!(done.closing.raw(), (1_000 - 120 * 300 + bought) * 1_000_000);
    assert!(done.lowest.is_negative());
}

fn verdicts() -> impl Strategy<Value = Option<Verdict>> {
    select(vec![
        Some(charge(1_000)),
        Some(Verdict::Enough),
        Some(Verdict::Hold(Reason::CapReached)),
        None,
    ])
}

fn ends() -> impl Strategy<Value = (PaymentState, Option<Decline>)> {
    select(vec![
        (PaymentState::Succeeded, None),
        (PaymentState::Unknown, None),
        (PaymentState::RequiresAction, None),
        (PaymentState::Quarantined, None),
        (PaymentState::Failed, Some(Decline::InsufficientFunds)),
        (PaymentState::Failed, Some(Decline::DoNotTryAgain)),
        (PaymentState::Failed, Some(Decline::NotConfirmed)),
        (PaymentState::Failed, Some(Decline::NeverSubmitted)),
    ])
}

proptest! {
    /// Whatever happens in whatever order: it is charging or paused only with a charge under way, watched only without one, and an
    /// instant to look again is there exactly while it waits.
    #[test]
    fn one_charge_at_a_time(steps in prop::collection::vec((verdicts(), ends(), any::<bool>(), any::<bool>()), 0..40)) {
        let mut it = recharge();
        let mut number = 0;
        for (verdict, (state, decline), off, on) in steps {
            // As the room does: only one that watches or waits is evaluated.
            if let (Some(verdict), State::Watching | State::Waiting) = (verdict, it.state) {
                number += 1;
                it.evaluated(verdict, name(number), start());
            } else if let Some(id) = it.payment {
                it.heard(&payment(id, state, decline), start());
            }
            if off {
                it.switch_off();
            }
            if on {
                it.agree(rule());
            }
            let open = it.payment.is_some();
            prop_assert!(open || !matches!(it.state, State::Charging | State::Paused));
            prop_assert!(!open || !matches!(it.state, State::Watching | State::Waiting | State::Disabled));
            prop_assert_eq!(it.next_at.is_some(), it.state == State::Waiting);
            prop_assert_eq!(it.reason.is_some(), matches!(it.state, State::Waiting | State::Paused | State::Disabled));
            prop_assert!(it.failures <= 4 && (it.failures < 4 || it.state == State::Disabled || it.state == State::Off));
        }
    }
}
