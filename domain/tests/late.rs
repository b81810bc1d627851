//! Where usage counts, by when it happened and when it was accepted, and never by when a worker came round.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    cases, credits, graduated, instant, metric, units,
    vendor::{Vendor, plain, template, variant},
};
use domain::{
    cycle::{
        CycleRef,
        late::{CountingCycle, LatePolicy, Timeline, Timing, stretch},
    },
    id::SubscriptionId,
    plan::{
        Offer,
        variant::{Mode, Variant},
    },
    time::{Period, Timestamp},
};
use proptest::prelude::*;
use uuid::Uuid;

fn cycle(subscription: u128, number: i64, from: &str, to: &str) -> CountingCycle {
    let end = instant(to);
    CountingCycle {
        cycle: CycleRef {
            subscription: SubscriptionId(Uuid::from_u128(subscription)),
            number,
        },
        // The first subscription is the oldest.
        since: Timestamp::from_micros(i64::try_from(subscription).unwrap()),
        period: Period {
            start: instant(from),
            end,
        },
        closes_at: end.plus_seconds(60),
        late: LatePolicy::CurrentCycle,
        closed: false,
    }
}

#[test]
fn usage_counts_in_its_cycle_or_in_a_calendar_month() {
    let cycles = [
        cycle(1, 1, "2026-04-13", "2026-05-13"),
        cycle(1, 2, "2026-05-13", "2026-05-20"),
        // The second subscription began while the first ran.
        cycle(2, 1, "2026-05-01", "2026-06-01"),
        cycle(2, 2, "2026-06-01", "2026-06-10"),
    ];
    for (at, from, to, counts) in [
        ("2026-03-31T23:59:59Z", "2026-03-01", "2026-04-01", None),
        ("2026-04-01", "2026-04-01", "2026-04-13", None),
        ("2026-04-13", "2026-04-13", "2026-05-13", Some((1, 1))),
        ("2026-05-12T23:59:59Z", "2026-04-13", "2026-05-13", Some((1, 1))),
        ("2026-05-13", "2026-05-13", "2026-05-20", Some((1, 2))),
        ("2026-05-20", "2026-05-20", "2026-06-01", Some((2, 1))),
        ("2026-06-09", "2026-06-01", "2026-06-10", Some((2, 2))),
        ("2026-06-10", "2026-06-10", "2026-07-01", None),
        ("2026-07-01", "2026-07-01", "2026-08-01", None),
    ] {
        let found = stretch(&cycles, instant(at));
        assert_eq!(
            (found.period.start, found.period.end),
            (instant(from), instant(to)),
            "{at}"
        );
        let name = found
            .cycle
            .map(|cycle| (cycle.subscription.0.as_u128(), cycle.number));
        assert_eq!(name, counts, "{at}");
    }
}

#[test]
fn every_late_event_has_a_named_outcome() {
    let with = |late| {
        [
            CountingCycle {
                late,
                ..cycle(1, 1, "2026-04-13", "2026-05-13")
            },
            CountingCycle {
                late,
                ..cycle(1, 2, "2026-05-13", "2026-06-13")
            },
        ]
    };
    let (before, end) = ("2026-05-12T12:00:00Z", "2026-05-13");
    let closed = "2026-05-13T00:01:00Z";
    for (late, occurred, received, timing, counts) in [
        (LatePolicy::CurrentCycle, before, before, Timing::OnTime, 1),
        (
            LatePolicy::CurrentCycle,
            before,
            "2026-05-13T00:00:59.999999Z",
            Timing::OnTime,
            1,
        ),
        (
            LatePolicy::Reject,
            before,
            "2026-05-13T00:00:59.999999Z",
            Timing::OnTime,
            1,
        ),
        (
            LatePolicy::CurrentCycle,
            before,
            closed,
            Timing::LateCurrentCycle,
            2,
        ),
        (LatePolicy::Adjustment, before, closed, Timing::LateAdjustment, 1),
        (LatePolicy::Reject, before, closed, Timing::LateRejected, 1),
        // At the boundary it belongs to the next cycle, and a producer's clock may run ahead.
        (LatePolicy::Reject, end, closed, Timing::OnTime, 2),
        (LatePolicy::Reject, end, "2026-05-12T23:58:00Z", Timing::OnTime, 2),
    ] {
        let placed = Timeline::new(with(late).to_vec()).place(instant(occurred), instant(received));
        assert_eq!(placed.timing, timing, "{late:?} {occurred} {received}");
        assert_eq!(
            placed.stretch.cycle.map(|cycle| cycle.number),
            Some(counts),
            "{late:?} {occurred} {received}"
        );
        let own = if occurred == before { 1 } else { 2 };
        assert_eq!(placed.occurred_in.cycle.map(|cycle| cycle.number), Some(own));
    }
    // A contract that has ended leaves calendar months.
    let ended = [cycle(1, 1, "2026-04-13", "2026-05-13")];
    let placed = Timeline::new(ended.to_vec()).place(instant(before), instant("2026-06-20"));
    assert_eq!(
        (placed.timing, placed.stretch.cycle),
        (Timing::LateCurrentCycle, None)
    );
    assert_eq!(placed.stretch.period.start, instant("2026-06-01"));
}

/// What a closed cycle came to has been told: what shows later counts as accepted at the last close, whatever its policy.
#[test]
fn a_closed_cycle_takes_nothing_more() {
    let (before, within) = (instant("2026-05-12"), instant("2026-05-13T00:00:30Z"));
    let [one, two] = [
        cycle(1, 1, "2026-04-13", "2026-05-13"),
        cycle(1, 2, "2026-05-13", "2026-06-13"),
    ];
    let shut = |cycle| CountingCycle {
        closed: true,
        ..cycle
    };
    let (first, second) = (one.closes_at, two.closes_at);
    for (cycles, occurred, received, accepted) in [
        ([one, two], before, within, within),
        ([shut(one), two], before, within, first),
        // It would have counted here as late usage; it was late for the cycle before in any case.
        ([shut(one), two], before, first, first),
        ([shut(one), shut(two)], before, within, second),
        ([shut(one), shut(two)], before, first.plus_seconds(9), second),
        // Of the cycle that is open.
        ([shut(one), two], within, within, within),
    ] {
        let mut timeline = Timeline::new(cycles.to_vec());
        assert_eq!(timeline.accepted(occurred, received), accepted);
        assert_eq!(
            timeline.accepted(occurred, accepted),
            accepted,
            "once and for all"
        );
    }
}

/// Source P4's tiers; 9,000 calls in the first cycle, and 2,000 that come to light later.
fn with(late: LatePolicy) -> Vendor {
    let offer = Offer {
        variant: Variant {
            late,
            ..variant(1, Mode::Postpaid)
        },
        templates: vec![template(1, "100000")],
    };
    let mut vendor = Vendor::new(vec![offer], plain(), instant("2026-04-13"));
    let price = graduated(&[("10000", "1"), ("100000", "0.5"), ("∞", "0.1")]);
    vendor.prices.insert(metric(1), price);
    vendor.until("2026-05-01");
    vendor.consume(1, "9000");
    vendor
}

#[test]
fn late_usage_is_billed_as_the_policy_says() {
    let occurred = instant("2026-05-10");
    for (late, received, timing, first, second) in [
        // Within the time for late usage: the summary of its cycle has it, the new grant paid.
        (
            LatePolicy::Reject,
            "2026-05-13T00:00:30Z",
            Timing::OnTime,
            "10500",
            "0",
        ),
        (
            LatePolicy::CurrentCycle,
            "2026-05-20",
            Timing::LateCurrentCycle,
            "9000",
            "2000",
        ),
        // By the tiers of its own cycle: a thousand at 1, a thousand at 0.5. The closed summary stays as it was.
        (
            LatePolicy::Adjustment,
            "2026-05-20",
            Timing::LateAdjustment,
            "9000",
            "0",
        ),
        (
            LatePolicy::Reject,
            "2026-05-20",
            Timing::LateRejected,
            "9000",
            "0",
        ),
    ] {
        let mut vendor = with(late);
        vendor.until(received);
        vendor.use_late(1, "2000", occurred);
        vendor.until("2026-05-31");
        let left = match timing {
            Timing::OnTime | Timing::LateAdjustment => "98500",
            Timing::LateCurrentCycle => "98000",
            Timing::LateRejected => "100000",
        };
        assert_eq!(
            (vendor.timings[1], vendor.balance()),
            (timing, credits(left)),
            "{late:?}"
        );
        vendor.until("2026-06-20");
        let spent: Vec<_> = vendor
            .closed
            .iter()
            .map(|closed| closed.summary.total_credits_consumed)
            .collect();
        assert_eq!(spent, [credits(first), credits(second)], "{late:?}");
        let counted = vendor.closed[0].summary.by_metric[&metric(1)].units;
        assert_eq!(
            counted,
            units(if timing == Timing::OnTime { "11000" } else { "9000" })
        );
    }
}

/// Cycles of three subscriptions that tile within each, with gaps where one was paused or ended.
fn timelines() -> impl Strategy<Value = Vec<CountingCycle>> {
    let one = |subscription: u128| {
        proptest::collection::vec((0..3_i64, 1..20_i64, any::<bool>()), 0..6).prop_map(move |list| {
            let mut end = 1_775_000_000_000_000_i64;
            let mut cycles = Vec::new();
            for (number, (gap, days, wide)) in (1..).zip(list) {
                let start = end + if wide { gap * 86_400_000_000 * 9 } else { 0 };
                end = start + days * 86_400_000_000;
                cycles.push(CountingCycle {
                    period: Period {
                        start: Timestamp::from_micros(start),
                        end: Timestamp::from_micros(end),
                    },
                    closes_at: Timestamp::from_micros(end + 60_000_000),
                    ..cycle(subscription, number, "2026-01-01", "2026-01-02")
                });
            }
            cycles
        })
    };
    (one(1), one(2), one(3)).prop_map(|(one, two, three)| [one, two, three].concat())
}

proptest! {
    #![proptest_config(cases(128))]

    /// Stretches tile all of time, and the first instant of one names it: nothing is counted twice or not at all.
    #[test]
    fn stretches_tile_time(cycles in timelines(), order in any::<bool>()) {
        let mut shuffled = cycles.clone();
        if order { shuffled.reverse(); }
        let mut at = instant("2026-03-01");
        while at < instant("2026-12-01") {
            let here = stretch(&cycles, at);
            prop_assert_eq!(here.period.start, at);
            prop_assert!(here.period.start < here.period.end);
            let last = Timestamp::from_micros(here.period.end.micros() - 1);
            prop_assert_eq!(stretch(&cycles, last), here);
            prop_assert_eq!(stretch(&shuffled, at), here);
            at = here.period.end;
        }
    }

    /// What is remembered changes no answer, and the stretches of a cycle are those in which its usage counts.
    #[test]
    fn timelines_remember_rightly(cycles in timelines(), days in proptest::collection::vec(0..150_i64, 1..20)) {
        let mut timeline = Timeline::new(cycles.clone());
        for at in days.iter().map(|days| instant("2026-03-25").plus_seconds(days * 86_400)) {
            let found = timeline.stretch(at);
            prop_assert_eq!(found, stretch(&cycles, at));
            if let Some(cycle) = found.cycle {
                prop_assert!(timeline.stretches_of(cycle).contains(&found.period));
            }
        }
    }

    /// What is on time counts where it occurred; what is late in the cycle of its acceptance is never late there.
    #[test]
    fn the_current_cycle_is_open(cycles in timelines(), occurred in 0..150_i64, delay in 0..100_i64) {
        let day = |days: i64| instant("2026-03-25").plus_seconds(days * 86_400);
        let (occurred, received) = (day(occurred), day(occurred + delay));
        let mut timeline = Timeline::new(cycles.clone());
        let placed = timeline.place(occurred, received);
        if placed.timing == Timing::OnTime {
            prop_assert_eq!(placed.stretch, placed.occurred_in);
        } else {
            prop_assert_eq!(timeline.place(received, received).timing, Timing::OnTime);
            prop_assert_eq!(placed.stretch, stretch(&cycles, received));
        }
    }
}
