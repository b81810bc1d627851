//! Usage that comes after its cycle was billed, where the plan bills it as an adjustment: priced with all of the cycle, and billed once.

use app::{job, usage::NewEvent};
use domain::{
    credit::block::Billing,
    customer::Settlement,
    cycle::late::LatePolicy,
    id::CustomerId,
    invoice::{Kind, state::State},
    plan::{
        money_price::{CreditPrice, MoneyPrice},
        variant::Mode,
    },
};

use crate::harness::{
    World, at,
    billing::{all, bills, terms},
    graduated,
    paying::money,
    per_unit,
    plans::{template, variant},
};

on_both!(
    late_usage_is_billed_by_the_tiers_of_its_cycle_once,
    a_cycle_without_an_invoice_gets_one,
    late_overdraft_is_settled_once,
    late_usage_of_other_policies_is_not_billed_again,
    what_came_before_billing_began_stays_unbilled,
);

/// $1 a call for the first ten, then half of that; credits do not matter.
async fn metered(world: &World, late: LatePolicy) -> CustomerId {
    world.priced("call", per_unit("1")).await;
    let mut plan = variant(Mode::Postpaid);
    plan.late = late;
    plan.fee = Some(money("20 USD"));
    plan.money_prices = vec![(
        "call".to_owned(),
        MoneyPrice {
            currency: "USD".parse().unwrap(),
            price: graduated(&[("10", "1"), ("", "0.5")]),
        },
    )];
    let mut budget = template("1000");
    budget.billing = Some(Billing::Budget);
    let plan = world.sells(plan, vec![budget]).await;
    let customer = world.customer_settling("acme", Settlement::NextInvoice).await;
    world.subscribe(customer, plan).await;
    customer
}

/// Records calls that occurred at an instant, and has everything done that follows.
async fn use_at(world: &World, customer: CustomerId, units: &str, when: &str) {
    let event = NewEvent {
        occurred_at: Some(at(when)),
        ..world.event(customer, "call", units)
    };
    world.accept(vec![event]).await;
    for _ in 0..2 {
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
    }
}

/// Amounts of the lines of each invoice, oldest first.
async fn billed(world: &World, customer: CustomerId) -> Vec<Vec<String>> {
    let filed = all(world, customer).await;
    let lines = |it: &app::invoice::Filed| it.invoice.lines.iter().map(|line| line.amount.amount()).collect();
    filed.iter().map(lines).collect()
}

fn amounts(all: &[&[&str]]) -> Vec<Vec<String>> {
    all.iter()
        .map(|one| one.iter().map(|it| (*it).to_owned()).collect())
        .collect()
}

async fn late_usage_is_billed_by_the_tiers_of_its_cycle_once(world: World) {
    bills(&world, terms()).await;
    let customer = metered(&world, LatePolicy::Adjustment).await;
    use_at(&world, customer, "8", "2026-03-10T12:00:00Z").await;
    world.until("2026-04-12").await;
    assert_eq!(billed(&world, customer).await, amounts(&[&["20.00", "8.00"]]));
    // Two more at a dollar, and four at half of that.
    use_at(&world, customer, "6", "2026-03-13T00:00:00Z").await;
    let both = amounts(&[&["20.00", "8.00"], &["4.00"]]);
    assert_eq!(billed(&world, customer).await, both);
    let late = all(&world, customer).await[1].clone();
    assert_eq!(
        (late.invoice.kind, late.invoice.state),
        (Kind::Cycle, State::Open)
    );
    assert_eq!(late.invoice.period.unwrap().start, at("2026-03-10T12:00:00Z"));
    assert!(
        late.invoice.lines[0]
            .note
            .as_deref()
            .unwrap()
            .contains("after its cycle was billed")
    );
    // Nothing more follows from looking again, and what comes even later is billed beyond both.
    for _ in 0..3 {
        world.advance(61);
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
    }
    assert_eq!(billed(&world, customer).await, both);
    use_at(&world, customer, "2", "2026-03-14T00:00:00Z").await;
    assert_eq!(
        billed(&world, customer).await,
        amounts(&[&["20.00", "8.00"], &["4.00"], &["1.00"]])
    );
    // The cycle that runs is billed for its own.
    world.until("2026-05-12").await;
    assert_eq!(billed(&world, customer).await[3..], amounts(&[&["20.00"]]));
}

async fn a_cycle_without_an_invoice_gets_one(world: World) {
    bills(&world, terms()).await;
    world.priced("call", per_unit("1")).await;
    let mut plan = variant(Mode::Postpaid);
    plan.late = LatePolicy::Adjustment;
    plan.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "0.25".parse().unwrap(),
    });
    let mut budget = template("100");
    budget.billing = Some(Billing::Budget);
    let plan = world.sells(plan, vec![budget]).await;
    let customer = world.customer_settling("acme", Settlement::NextInvoice).await;
    world.subscribe(customer, plan).await;
    world.until("2026-04-12").await;
    assert_eq!(billed(&world, customer).await, amounts(&[]));
    use_at(&world, customer, "4", "2026-03-13T00:00:00Z").await;
    assert_eq!(billed(&world, customer).await, amounts(&[&["1.00"]]));
}

async fn late_overdraft_is_settled_once(world: World) {
    bills(&world, terms()).await;
    world.priced("call", per_unit("1")).await;
    let mut plan = variant(Mode::Postpaid);
    plan.late = LatePolicy::Adjustment;
    plan.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "1".parse().unwrap(),
    });
    let plan = world.sells(plan, Vec::new()).await;
    let customer = world.customer_settling("acme", Settlement::NextInvoice).await;
    world.subscribe(customer, plan).await;
    use_at(&world, customer, "7", "2026-03-10T12:00:00Z").await;
    world.until("2026-04-12").await;
    assert_eq!(billed(&world, customer).await, amounts(&[&["7.00"]]));
    assert_eq!(world.stands(customer).await.1, "0");
    use_at(&world, customer, "3", "2026-03-13T00:00:00Z").await;
    assert_eq!(billed(&world, customer).await, amounts(&[&["7.00"], &["3.00"]]));
    assert_eq!(world.stands(customer).await.1, "0");
}

async fn late_usage_of_other_policies_is_not_billed_again(world: World) {
    bills(&world, terms()).await;
    let customer = metered(&world, LatePolicy::CurrentCycle).await;
    use_at(&world, customer, "8", "2026-03-10T12:00:00Z").await;
    world.until("2026-04-12").await;
    use_at(&world, customer, "6", "2026-03-13T00:00:00Z").await;
    assert_eq!(billed(&world, customer).await, amounts(&[&["20.00", "8.00"]]));
    world.until("2026-05-12").await;
    assert_eq!(
        billed(&world, customer).await,
        amounts(&[&["20.00", "8.00"], &["20.00", "6.00"]])
    );
}

async fn what_came_before_billing_began_stays_unbilled(world: World) {
    let customer = metered(&world, LatePolicy::Adjustment).await;
    use_at(&world, customer, "8", "2026-03-10T12:00:00Z").await;
    world.until("2026-04-12").await;
    bills(&world, terms()).await;
    use_at(&world, customer, "6", "2026-03-13T00:00:00Z").await;
    assert_eq!(billed(&world, customer).await, amounts(&[]));
}
