//! What a vendor may describe, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{
    cases, credits, graduated, instant, metric, per_unit, rate, units,
    vendor::{Vendor, percent, plain, template, variant},
    volume,
};
use domain::{
    amount::Credits,
    credit::block::{Billing, Source},
    id::MetricId,
    metering::{Position, Price},
    money::{Currency, Money},
    plan::{
        Offer,
        interval::Interval,
        money_price::{CreditPrice, MoneyPrice},
        preview,
        template::{Expiry, GrantTemplate, Recurrence, Warning},
        variant::{Mode, PurchaseLimits, Variant},
    },
    time::Timestamp,
};
use proptest::prelude::*;

fn dollars(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

/// Source P3: credits cost a dollar each, and only some plans may buy them, from $10.
fn p3(number: u128, name: &str, fee: Option<&str>, grant: Option<(&str, &str)>, buys: bool) -> Offer {
    let variant = Variant {
        name: name.to_owned(),
        fee: fee.map(dollars),
        purchase: buys.then_some(PurchaseLimits {
            minimum: Some(dollars("10")),
            maximum: None,
        }),
        credit_price: Some(CreditPrice {
            currency: Currency::USD,
            per_credit: rate("1"),
        }),
        ..variant(number, Mode::Prepaid)
    };
    let template = grant.map(|(amount, bonus)| GrantTemplate {
        bonus: percent(bonus),
        ..template(number, amount)
    });
    Offer {
        variant,
        templates: template.into_iter().collect(),
    }
}

#[test]
fn the_plan_table_of_p3_can_be_entered_as_it_is() {
    for (offer, in_all, blocks) in [
        (
            p3(1, "Free", Some("0"), Some(("0.20", "0")), false),
            "0.2",
            vec!["PLAN_GRANT 0.2"],
        ),
        (
            p3(2, "Starter", Some("5"), Some(("5", "0")), false),
            "5",
            vec!["PLAN_GRANT 5"],
        ),
        (
            p3(3, "Pro", Some("20"), Some(("20", "20")), true),
            "24",
            vec!["PLAN_GRANT 20", "BONUS 4"],
        ),
        (
            p3(4, "Pro+", Some("300"), Some(("300", "20")), true),
            "360",
            vec!["PLAN_GRANT 300", "BONUS 60"],
        ),
        (p3(5, "Enterprise", None, None, true), "0", vec![]),
    ] {
        offer.variant.validate().unwrap();
        for template in &offer.templates {
            template.validate(&offer.variant).unwrap();
            assert_eq!(template.warning(&offer.variant), None);
        }
        let name = offer.variant.name.clone();
        let vendor = Vendor::new(vec![offer], plain(), instant("2026-01-15"));
        assert_eq!(vendor.balance(), credits(in_all), "{name}");
        let ends: Vec<String> = blocks
            .iter()
            .map(|it| format!("{it} until 2026-02-15T00:00:00Z"))
            .collect();
        assert_eq!(vendor.blocks(), ends, "{name}");
    }
}

#[test]
fn purchases_keep_to_the_limits_of_the_variant() {
    let limited = Variant {
        purchase: Some(PurchaseLimits {
            minimum: Some(dollars("5")),
            maximum: Some(dollars("5000")),
        }),
        ..p3(3, "Pro", Some("20"), None, true).variant
    };
    for (variant, amount, allowed) in [
        (&limited, dollars("5"), true),
        (&limited, dollars("4.99"), false),
        (&limited, dollars("5000"), true),
        (&limited, dollars("5000.01"), false),
        (&limited, Money::of(1_000, Currency::EUR), false),
        (&p3(3, "Pro", None, None, true).variant, dollars("10"), true),
        (&p3(3, "Pro", None, None, true).variant, dollars("9.99"), false),
        (&p3(2, "Starter", None, None, false).variant, dollars("10"), false),
    ] {
        assert_eq!(variant.check_purchase(amount).is_ok(), allowed, "{amount}");
    }
    // $1 = 1 credit, the other way round.
    assert_eq!(
        limited.credit_price.unwrap().of(credits("12.345")),
        Ok(dollars("12.34"))
    );
}

/// A change that makes something impossible, and the field that is blamed.
type Spoilt<T> = (fn(&mut T), &'static str);

fn limits(minimum: &str, maximum: &str) -> PurchaseLimits {
    PurchaseLimits {
        minimum: Some(dollars(minimum)),
        maximum: Some(dollars(maximum)),
    }
}

fn euro_price(price: &str) -> BTreeMap<MetricId, MoneyPrice> {
    let price = MoneyPrice {
        currency: Currency::EUR,
        price: per_unit(price),
    };
    BTreeMap::from([(metric(1), price)])
}

#[test]
fn impossible_variants_are_refused() {
    let spoilt: [Spoilt<Variant>; 12] = [
        (|it| it.interval.count = 0, "interval.count"),
        (|it| it.trial_days = -1, "trialDays"),
        (|it| it.grace_days = 367, "graceDays"),
        (|it| (it.mode, it.grace_days) = (Mode::Postpaid, 1), "graceDays"),
        (
            |it| (it.mode, it.renewal_due_days) = (Mode::Postpaid, 1),
            "renewalDueDays",
        ),
        (|it| it.late_seconds = -1, "lateWindowSeconds"),
        (|it| it.late_seconds = 604_801, "lateWindowSeconds"),
        (|it| it.fee = Some(dollars("-1")), "fee"),
        (|it| it.purchase = Some(limits("0", "1")), "purchase.minimum"),
        (|it| it.purchase = Some(limits("2", "1")), "purchase.maximum"),
        (
            |it| (it.fee, it.money_prices) = (Some(dollars("1")), euro_price("1")),
            "moneyPrices",
        ),
        (
            |it| it.money_prices = euro_price("-1"),
            "moneyPrices.perUnit.creditsPerUnit",
        ),
    ];
    for (spoil, path) in spoilt {
        let mut variant = variant(1, Mode::Prepaid);
        assert_eq!(variant.validate(), Ok(()));
        spoil(&mut variant);
        assert_eq!(variant.validate().unwrap_err().path.join("."), path);
    }
}

#[test]
fn impossible_templates_are_refused() {
    let spoilt: [Spoilt<GrantTemplate>; 15] = [
        (|it| it.credits = Credits::ZERO, "credits"),
        (|it| it.source = Source::Purchase, "source"),
        (|it| it.source = Source::Rollover, "source"),
        (|it| it.source = Source::Trial, "source"),
        (|it| it.rollover = percent("100.0001"), "rolloverPercentage"),
        (|it| it.rollover = percent("-1"), "rolloverPercentage"),
        (|it| it.expiry = Expiry::Never, "rolloverPercentage"),
        (|it| it.bonus = percent("-1"), "bonusPercentage"),
        (|it| it.bonus = percent("100000.1"), "bonusPercentage"),
        (
            |it| (it.credits, it.bonus) = (Credits::MAX, percent("200")),
            "bonusPercentage",
        ),
        (
            |it| (it.rollover, it.accumulation_cap) = (percent("0"), Some(credits("20"))),
            "accumulationCap",
        ),
        (|it| it.accumulation_cap = Some(credits("9")), "accumulationCap"),
        (|it| it.metrics = Some(vec![]), "metricKeys"),
        (|it| it.every = Some(Interval::YEARLY), "grantInterval"),
        (
            |it| (it.every, it.recurrence) = (Some(Interval::DAILY), Recurrence::Once),
            "grantInterval",
        ),
    ];
    let plan = variant(1, Mode::Prepaid);
    for (spoil, path) in spoilt {
        let mut template = GrantTemplate {
            rollover: percent("50"),
            ..template(1, "10")
        };
        assert_eq!(template.validate(&plan), Ok(()));
        spoil(&mut template);
        assert_eq!(template.validate(&plan).unwrap_err().path.join("."), path);
    }
    let lasting = GrantTemplate {
        expiry: Expiry::After { seconds: 0 },
        ..template(1, "10")
    };
    assert_eq!(lasting.validate(&plan).unwrap_err().path, ["expiresAfterSeconds"]);
}

#[test]
fn a_variant_has_a_bounded_number_of_templates_in_force() {
    let now = instant("2026-01-01");
    let mut offer = p3(1, "Full", None, None, false);
    for number in 1..=20 {
        offer.check_new(&template(number, "1"), now).unwrap();
        offer.templates.push(template(number, "1"));
    }
    assert!(offer.check_new(&template(21, "1"), now).is_err());
    offer.templates[0].archived_at = Some(now);
    assert_eq!(offer.check_new(&template(21, "1"), now), Ok(()));
}

#[test]
fn thirty_days_are_not_a_month() {
    // As source P4 enters its budget.
    let p4 = |seconds| GrantTemplate {
        expiry: Expiry::After { seconds },
        ..template(1, "100000")
    };
    let monthly = variant(1, Mode::Postpaid);
    let daily = Variant {
        interval: Interval::DAILY,
        ..monthly.clone()
    };
    for (plan, seconds, warned) in [
        (&monthly, 2_592_000, true),
        (&monthly, 31 * 86_400, true),
        (&monthly, 7 * 86_400, false),
        (&monthly, 365 * 86_400, false),
        (&daily, 86_400, false),
        (&daily, 86_401, true),
    ] {
        let warning = warned.then_some(Warning::NotTheCycle { seconds });
        assert_eq!(p4(seconds).warning(plan), warning, "{seconds}");
    }
}

#[test]
fn a_postpaid_plan_grants_a_budget() {
    for (mode, source, billed, billing) in [
        (Mode::Postpaid, Source::PlanGrant, None, Billing::Budget),
        (Mode::Prepaid, Source::PlanGrant, None, Billing::Free),
        (Mode::Postpaid, Source::Included, None, Billing::Free),
        (
            Mode::Postpaid,
            Source::PlanGrant,
            Some(Billing::Free),
            Billing::Free,
        ),
        (
            Mode::Prepaid,
            Source::PlanGrant,
            Some(Billing::Prepaid),
            Billing::Prepaid,
        ),
    ] {
        let template = GrantTemplate {
            source,
            billed,
            ..template(1, "1")
        };
        assert_eq!(template.billing(mode), billing, "{mode:?} {source:?}");
    }
}

/// Source P4: in credits 1, 0.5 and 0.1 a call; in dollars a cent, half a cent and a tenth of a cent.
fn p4() -> (Price, MoneyPrice) {
    let tiers = |first, second, third| graduated(&[("10000", first), ("100000", second), ("∞", third)]);
    let price = tiers("0.01", "0.005", "0.001");
    (
        tiers("1", "0.5", "0.1"),
        MoneyPrice {
            currency: Currency::USD,
            price,
        },
    )
}

#[test]
fn a_preview_says_what_units_cost_by_tier() {
    let (price, money) = p4();
    let start = Position::default();
    for (calls, in_credits, in_dollars, lines) in [
        (
            "15000",
            "12500",
            "125",
            vec![("10000", "10000"), ("5000", "2500")],
        ),
        (
            "85000",
            "47500",
            "475",
            vec![("10000", "10000"), ("75000", "37500")],
        ),
        ("10000", "10000", "100", vec![("10000", "10000")]),
        (
            "200000",
            "65000",
            "650",
            vec![("10000", "10000"), ("90000", "45000"), ("100000", "10000")],
        ),
        ("0", "0", "0", vec![("0", "0")]),
    ] {
        let preview = preview::in_credits(&price, start, units(calls)).unwrap();
        assert_eq!(preview.total, credits(in_credits), "{calls}");
        let shown: Vec<_> = preview
            .lines
            .iter()
            .map(|line| (line.units, line.amount))
            .collect();
        let stated: Vec<_> = lines
            .iter()
            .map(|(count, cost)| (units(count), credits(cost)))
            .collect();
        assert_eq!(shown, stated, "{calls}");
        let total = preview::in_money(&money, start, units(calls)).unwrap().total;
        assert_eq!(total, dollars(in_dollars), "{calls}");
    }
    // A volume price has one line, and may make past units cheaper.
    let falling = volume(&[("10", "2"), ("∞", "1")]);
    let from = Position {
        units: units("10"),
        events: 1,
    };
    let preview = preview::in_credits(&falling, from, units("1")).unwrap();
    assert_eq!((preview.total, preview.lines.len()), (credits("-9"), 1));
}

proptest! {
    #![proptest_config(cases(128))]

    /// Lines add up to the total, units to the units, and the total is what the drain would debit.
    #[test]
    fn previews_add_up(start in 0..200_000_000_000_i64, more in 0..200_000_000_000_i64) {
        let (price, money) = p4();
        let from = Position { units: domain::amount::Quantity::from_raw(start), events: 3 };
        let more = domain::amount::Quantity::from_raw(more);
        let preview = preview::in_credits(&price, from, more).unwrap();
        let to = from.after(more).unwrap();
        prop_assert_eq!(preview.total, price.between(from, to).unwrap());
        let counted: i64 = preview.lines.iter().map(|line| line.units.raw()).sum();
        prop_assert_eq!(counted, more.raw());
        let bill = preview::in_money(&money, from, more).unwrap();
        let whole = money.cumulative(to).unwrap().minor - money.cumulative(from).unwrap().minor;
        prop_assert_eq!(bill.total.minor, whole);
        prop_assert_eq!(bill.lines.iter().map(|line| line.amount.minor).sum::<i64>(), whole);
    }

    /// An archived template is granted at no boundary from then on, and one that is not written yet at none before.
    #[test]
    fn templates_are_in_force_from_writing_to_archiving(from in 0..10_i64, to in 0..10_i64, at in 0..10_i64) {
        let micros = Timestamp::from_micros;
        let template = GrantTemplate { created_at: micros(from), archived_at: Some(micros(to)), ..template(1, "1") };
        prop_assert_eq!(template.is_in_force_at(micros(at)), from <= at && at < to);
    }
}
