//! Cycles tile time: no gap, no overlap, on the billing day, in every zone, for two hundred years.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{cases, instant};
use domain::{
    cycle::schedule::Schedule,
    plan::interval::{Interval, Unit},
    time::{Period, Timestamp},
    zone::Zone,
};
use proptest::{prelude::*, sample::select};

/// Zones north and south of the equator, with half and quarter hours, with and without daylight saving, and across the date line.
const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Tokyo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
];

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn schedule(start: &str, day: Option<i8>, name: &str, interval: Interval) -> Schedule {
    Schedule::new(instant(start), day, zone(name), interval).unwrap()
}

/// When the second and third cycle begin.
fn next_two(schedule: &Schedule) -> String {
    let start = |number| schedule.period(number).start;
    format!("{} {}", start(2), start(3)).replace("T00:00:00Z", "")
}

#[test]
fn boundaries_are_those_of_the_calendar() {
    let two_weeks = Interval::new(Unit::Week, 2).unwrap();
    let (day, month) = (Interval::DAILY, Interval::MONTHLY);
    let (quarter, year) = (Interval::QUARTERLY, Interval::YEARLY);
    for (interval, start, billing_day, name, expected) in [
        // Source P4: from now to now plus one month.
        (month, "2026-04-13", 0, "UTC", "2026-05-13 2026-06-13"),
        // The 31st is the last day of short months, and comes back afterwards.
        (month, "2027-01-31", 0, "UTC", "2027-02-28 2027-03-31"),
        (month, "2028-01-31", 0, "UTC", "2028-02-29 2028-03-31"),
        (year, "2028-02-29", 0, "UTC", "2029-02-28 2030-02-28"),
        (quarter, "2026-11-30", 0, "UTC", "2027-02-28 2027-05-30"),
        // Source P0: a designated billing day, at midnight of the customer.
        (month, "2026-04-20T08:00:00Z", 15, "UTC", "2026-05-15 2026-06-15"),
        (month, "2026-04-15", 15, "UTC", "2026-05-15 2026-06-15"),
        (month, "2026-02-10", 31, "UTC", "2026-02-28 2026-03-31"),
        (
            month,
            "2026-04-10",
            15,
            "Asia/Tokyo",
            "2026-04-14T15:00:00Z 2026-05-14T15:00:00Z",
        ),
        (year, "2026-04-20", 1, "UTC", "2026-05-01 2027-05-01"),
    ] {
        let billing_day = (billing_day > 0).then_some(billing_day);
        let schedule = schedule(start, billing_day, name, interval);
        assert_eq!(next_two(&schedule), expected, "{start} {name}");
    }
    // The time of day stays by the clock on the wall. In Berlin the clocks go forward on 29 March and back on 25 October 2026.
    for (interval, start, expected) in [
        (
            month,
            "2026-03-15T11:30:00Z",
            "2026-04-15T10:30:00Z 2026-05-15T10:30:00Z",
        ),
        (
            two_weeks,
            "2026-03-22T12:00:00Z",
            "2026-04-05T11:00:00Z 2026-04-19T11:00:00Z",
        ),
        // Half past two is skipped on 29 March: it is an hour later then, and half past two again the day after.
        (
            day,
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:30:00Z 2026-03-30T00:30:00Z",
        ),
        // Half past two comes twice on 25 October: the first is meant, unless everything began at the second.
        (
            day,
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z 2026-10-26T01:30:00Z",
        ),
        (
            day,
            "2026-10-25T01:30:00Z",
            "2026-10-26T01:30:00Z 2026-10-27T01:30:00Z",
        ),
    ] {
        let schedule = schedule(start, None, "Europe/Berlin", interval);
        assert_eq!(next_two(&schedule), expected, "{start}");
        assert_eq!(schedule.cell_at(instant(start)), schedule.period(1), "{start}");
    }
}

#[test]
fn a_day_that_a_zone_skipped_is_an_empty_cycle() {
    // Samoa had no 30 December 2011.
    let apia = schedule("2011-12-29T22:00:00Z", None, "Pacific/Apia", Interval::DAILY);
    let lengths: Vec<i64> = (1..=3).map(|number| apia.period(number).seconds()).collect();
    assert_eq!(lengths, [86_400, 0, 86_400]);
    assert_eq!(apia.period(1).end, apia.period(3).start);
}

#[test]
fn the_end_of_time_is_not_passed() {
    let last = schedule("9999-11-30", None, "UTC", Interval::MONTHLY);
    assert_eq!(last.period(2).end, Timestamp::MAX);
    assert_eq!(last.period(i64::MAX / 2).start, Timestamp::MAX);
    let first = schedule("1970-01-01", None, "UTC", Interval::DAILY);
    assert_eq!(first.period(-1_000).start, Timestamp::MIN);
    assert_eq!(first.number_at(Timestamp::MIN), 1);
}

#[test]
fn a_billing_day_is_1_to_31() {
    for day in [i8::MIN, -1, 0, 32, i8::MAX] {
        let refused = Schedule::new(instant("2026-01-01"), Some(day), Zone::UTC, Interval::MONTHLY);
        assert_eq!(refused.unwrap_err().path, ["billingAnchorDay"], "{day}");
    }
}

#[test]
fn a_schedule_goes_on_with_the_same_billing_day() {
    let monthly = schedule("2026-01-31", None, "UTC", Interval::MONTHLY);
    let resumed = monthly.resumed(instant("2026-09-10T07:00:00Z"), 5);
    let period = |start, end| Period {
        start: instant(start),
        end: instant(end),
    };
    assert_eq!(resumed.period(5), period("2026-09-10T07:00:00Z", "2026-09-30"));
    assert_eq!(resumed.period(6), period("2026-09-30", "2026-10-31"));
    // A yearly plan that follows at a boundary keeps the 31st, one that follows in between does not.
    let yearly = monthly.changed(Interval::YEARLY, instant("2026-02-28"), 2);
    assert_eq!(yearly.period(2), period("2026-02-28", "2027-02-28"));
    assert_eq!(
        monthly
            .changed(Interval::MONTHLY, instant("2026-02-28"), 2)
            .period(3)
            .start,
        instant("2026-03-31")
    );
    assert_eq!(
        monthly
            .changed(Interval::MONTHLY, instant("2026-03-05"), 2)
            .period(3)
            .start,
        instant("2026-04-05")
    );
}

/// Days and seconds that an interval never falls short of and never exceeds, with an hour or two for daylight saving.
fn is_about(interval: Interval, period: Period) -> bool {
    let (least, most) = interval.days();
    let slack = 3 * 3_600;
    (least * 86_400 - slack..=most * 86_400 + slack).contains(&period.seconds())
}

fn intervals() -> impl Strategy<Value = Interval> {
    let unit = select(vec![
        Unit::Day,
        Unit::Week,
        Unit::Month,
        Unit::Quarter,
        Unit::Year,
    ]);
    (unit, 1..=6_i32).prop_map(|(unit, count)| Interval::new(unit, count).unwrap())
}

/// An instant of 1990 to 2030, often in the hour of a change of clocks.
fn beginnings() -> impl Strategy<Value = Timestamp> {
    let any = (631_152_000_i64..1_893_456_000).prop_map(|second| Timestamp::from_micros(second * 1_000_000));
    let edge = select(vec![
        "2026-03-29T01:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-03-08T07:30:00Z",
        "2026-11-01T06:30:00Z",
        "2024-02-29T00:00:00Z",
        "2023-12-31T23:59:59.999999Z",
        "2025-01-31T12:00:00Z",
    ])
    .prop_map(instant);
    prop_oneof![3 => any, 1 => edge]
}

/// Every billing day of two hundred years of months, among them leap years and years that are none although they divide by four.
#[test]
fn every_billing_day_is_kept_for_two_hundred_years() {
    let berlin = zone("Europe/Berlin");
    for day in 1..=31_i8 {
        let mut end = instant("2025-12-31T23:00:00Z");
        let schedule = Schedule::new(end, Some(day), berlin.clone(), Interval::MONTHLY).unwrap();
        for number in 1..=2_400 {
            let period = schedule.period(number);
            assert_eq!(period.start, end, "cycle {number} of day {day}");
            assert!(
                number == 1 || is_about(Interval::MONTHLY, period),
                "cycle {number} of day {day}"
            );
            end = period.end;
        }
        assert!(end >= instant("2225-12-01"), "{day}");
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// Every anchor day, interval, leap year and zone, over two hundred years.
    #[test]
    fn cycles_tile(
        begin in beginnings(),
        day in prop_oneof![Just(None), (1..=31_i8).prop_map(Some)],
        name in select(ZONES.to_vec()),
        interval in intervals(),
    ) {
        let schedule = Schedule::new(begin, day, zone(name), interval).unwrap();
        prop_assert_eq!(schedule.period(1).start, begin);
        let (least, _) = interval.days();
        let cycles = 200 * 365 / least + 1;
        // Every boundary where they are few; the first ones and a sample where they are many.
        let step = (cycles / 600).max(1);
        let mut checked = 0;
        for number in (1..=cycles).filter(|number| *number < 40 || number % step == 0) {
            let (this, next) = (schedule.period(number), schedule.period(number + 1));
            prop_assert_eq!(this.end, next.start, "cycle {}", number);
            // Kiritimati skipped New Year's Eve of 1994.
            let skipped = name == "Pacific/Kiritimati" && begin < instant("1995-01-02");
            prop_assert!(this.start < this.end || skipped, "cycle {}", number);
            prop_assert!(number == 1 || is_about(interval, this) || skipped, "cycle {}: {}", number, this.seconds());
            prop_assert!(this.start == this.end || schedule.number_at(this.start) == number);
            if this.start < this.end {
                let last = Timestamp::from_micros(this.end.micros() - 1);
                prop_assert_eq!(schedule.number_at(last), number);
                prop_assert_eq!(schedule.cell_at(last).end, this.end);
            }
            checked += 1;
        }
        prop_assert!(checked > 20);
    }

    /// Boundaries lie on the billing day, or on the last day of a shorter month, at midnight of the zone.
    #[test]
    fn boundaries_lie_on_the_billing_day(begin in beginnings(), day in 1..=31_i8, months in 1..=12_i32) {
        let interval = Interval::new(Unit::Month, months).unwrap();
        let schedule = Schedule::new(begin, Some(day), Zone::UTC, interval).unwrap();
        for number in 2..200 {
            let text = schedule.period(number).start.to_string();
            let (year, month, found): (i64, i64, i8) =
                (text[..4].parse().unwrap(), text[5..7].parse().unwrap(), text[8..10].parse().unwrap());
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let last = match month { 2 if leap => 29, 2 => 28, 4 | 6 | 9 | 11 => 30, _ => 31 };
            prop_assert_eq!(found, day.min(last));
            prop_assert!(text.ends_with("T00:00:00Z"));
        }
    }

    /// A template's own periods tile the cycle from its very beginning.
    #[test]
    fn finer_schedules_begin_with_the_cycle(begin in beginnings(), name in select(ZONES.to_vec()), outer in intervals(), inner in intervals()) {
        prop_assume!(begin > instant("1995-01-02"));
        let schedule = Schedule::new(begin, Some(15), zone(name), outer).unwrap();
        for number in [1, 2, 7] {
            let cycle = schedule.period(number);
            let finer = schedule.within(cycle, inner);
            prop_assert_eq!(finer.period(0).start, cycle.start);
            prop_assert_eq!(finer.number_at(cycle.start), 0);
            prop_assert_eq!(finer.period(0).end, finer.period(1).start);
        }
    }
}
