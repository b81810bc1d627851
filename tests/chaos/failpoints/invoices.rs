//! Whatever goes wrong between the close of a cycle and the payment of its invoice: one invoice, one number, one charge; and what people do
//! by hand happens once however often they ask.

use std::collections::BTreeMap;

use app::{
    db::Backend,
    failpoint,
    invoice::{self, CreateCreditNote, Filed, PayInvoice, PayWith},
    job,
    subscription::{CreateSubscription, Wish},
    usage::NewEvent,
};
use domain::{
    customer::Settlement,
    cycle::late::LatePolicy,
    id::{CustomerId, VariantId},
    invoice::{credit_note::Reason, state::State, terms::BillingTerms},
    plan::{
        interval::{Interval, Unit},
        money_price::CreditPrice,
        variant::Mode,
    },
};
use entity::sandbox_charge;
use gateway::payment::sandbox::Card;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::{PAUSE, WAYS, run, struck};
use crate::harness::{
    World,
    billing::{all, bills, terms},
    paying::{card, money, sells},
    per_unit,
    plans::{agreement, variant},
};

/// Places of what people do by hand.
const BY_HAND: &[&str] = &["invoice.paying", "invoice.credited"];
/// Places of renewals, which the cycles here have none of.
const RENEWING: &[&str] = &["renewal.chosen", "renewal.filed", "renewal.done"];
/// Places of changes of plan that are billed at once.
const CHANGING: &[&str] = &["change.chosen", "change.filed"];
/// Places of usage that came after its cycle was billed.
const LATE: &[&str] = &["late.chosen", "late.filed"];
/// Places that invoices share with payments and with everything else.
const SHARED: &[&str] = &[
    "post.entries",
    "payment.decided",
    "payment.written",
    "payment.concluded",
];
/// Rounds in which everything must come to an end.
const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_invoices_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_invoices_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    sells(world).await;
    bills(world, terms()).await;
    world.priced("call", per_unit("1")).await;
    let plan = daily(world).await;
    let mut billed = 0;
    let automatic = failpoint::INVOICES
        .iter()
        .filter(|point| ![BY_HAND, RENEWING, CHANGING, LATE].concat().contains(point));
    for point in automatic.chain(SHARED) {
        for way in WAYS {
            billed += 1;
            strike(world, point, way, plan).await;
        }
    }
    let prepaid = ahead(world, "5 USD").await;
    for point in RENEWING {
        for way in WAYS {
            billed += 1;
            renew(world, point, way, prepaid).await;
        }
    }
    let better = ahead(world, "10 USD").await;
    for point in CHANGING {
        for way in WAYS {
            billed += 1;
            change(world, point, way, [prepaid, better]).await;
        }
    }
    for point in LATE {
        for way in WAYS {
            // The cycle, and what came late.
            billed += 2;
            late(world, point, way, plan).await;
        }
    }
    let charges = sandbox_charge::Entity::find();
    assert_eq!(charges.count(world.app.db().reader()).await.unwrap(), billed);
    let numbers = entity::invoice::Entity::find();
    assert_eq!(numbers.count(world.app.db().reader()).await.unwrap(), billed);
    bills(
        world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    for way in WAYS {
        by_hand(world, way, plan).await;
    }
}

/// $20 a day, and a cent a credit.
async fn daily(world: &World) -> VariantId {
    let mut daily = variant(Mode::Postpaid);
    daily.interval = Interval::new(Unit::Day, 1).unwrap();
    daily.fee = Some(money("20 USD"));
    daily.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "0.01".parse().unwrap(),
    });
    daily.late_seconds = 0;
    daily.late = LatePolicy::Adjustment;
    world.sells(daily, Vec::new()).await
}

/// Somebody who has the plan for one day, and uses seven calls that nothing covers.
async fn for_a_day(world: &World, name: &str, plan: VariantId) -> CustomerId {
    let customer = world.customer_settling(name, Settlement::NextInvoice).await;
    card(world, customer, Card::Success).await;
    let input = CreateSubscription {
        contract_end: Some(world.now().plus_seconds(86_400)),
        ..agreement(customer, plan)
    };
    world.try_subscribe(input).await.unwrap();
    world.consume(customer, "call", "7").await;
    world.run_to_rest().await;
    customer
}

async fn strike(world: &World, point: &str, way: &str, plan: VariantId) {
    let name = format!("{point} {way}");
    let customer = for_a_day(world, &name, plan).await;
    world.advance(86_500);
    world.quiet().await;
    failpoint::reached();
    let mut reached = BTreeMap::new();
    // Turn and close come first; the places that they share are struck as soon as the cycle has closed.
    let mut armed = false;
    for _ in 0..ROUNDS {
        if !armed && (point.starts_with("invoice.") || closed(world, customer).await) {
            fail::cfg(point, &format!("1*{way}")).unwrap();
            failpoint::reached();
            armed = true;
        }
        job::sweep(&world.app).await.unwrap_or_default();
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        world.quiet().await;
        reached.extend(failpoint::reached());
        let filed = all(world, customer).await;
        if filed.first().is_some_and(|it| it.invoice.state == State::Paid) && reached.contains_key(point) {
            break;
        }
        world.advance(PAUSE);
    }
    fail::remove(point);
    assert!(reached.contains_key(point), "{name}: never reached");
    let filed: Vec<Filed> = all(world, customer).await;
    assert_eq!(filed.len(), 1, "{name}");
    assert_eq!(
        (filed[0].invoice.state, filed[0].invoice.totals.due),
        (State::Paid, money("20.07 USD")),
        "{name}"
    );
    assert_eq!(world.stands(customer).await.1, "0", "{name}: settled once");
}

/// So much a day, paid before, due when the day ends.
async fn ahead(world: &World, fee: &str) -> VariantId {
    let mut plan = variant(Mode::Prepaid);
    plan.interval = Interval::new(Unit::Day, 1).unwrap();
    plan.fee = Some(money(fee));
    plan.grace_days = 2;
    plan.late_seconds = 0;
    world.sells(plan, Vec::new()).await
}

/// Somebody who has the plan for two days, of which the second is renewed while one place fails once.
async fn renew(world: &World, point: &str, way: &str, plan: VariantId) {
    let name = format!("{point} {way}");
    let customer = world.customer(&name).await;
    card(world, customer, Card::Success).await;
    let input = CreateSubscription {
        contract_end: Some(world.now().plus_seconds(2 * 86_400)),
        first_cycle_paid: true,
        ..agreement(customer, plan)
    };
    let id = world.try_subscribe(input).await.unwrap().value.id;
    world.run_to_rest().await;
    world.advance(86_410);
    paid_in_spite_of(world, customer, (point, way), 1).await;
    assert_eq!(world.state(id).await, "ACTIVE", "{name}");
    assert_eq!(world.cycles(id).await.len(), 2, "{name}");
    world.advance(86_400);
    world.run_to_rest().await;
    assert_eq!(world.state(id).await, "CONTRACT_ENDED", "{name}");
}

/// Somebody who has one plan for a day, and another from noon on, which is billed while one place fails once.
async fn change(world: &World, point: &str, way: &str, [from, to]: [VariantId; 2]) {
    let customer = world.customer(&format!("{point} {way}")).await;
    card(world, customer, Card::Success).await;
    let input = CreateSubscription {
        contract_end: Some(world.now().plus_seconds(86_400)),
        first_cycle_paid: true,
        ..agreement(customer, from)
    };
    let id = world.try_subscribe(input).await.unwrap().value.id;
    world.run_to_rest().await;
    world.advance(43_200);
    world.wish(id, Wish::ChangePlan { to, now: true }).await.unwrap();
    let filed = paid_in_spite_of(world, customer, (point, way), 1).await;
    assert_eq!(filed.invoice.totals.total, money("2.50 USD"), "{point} {way}");
}

/// Somebody who has the plan for a day, of which a part is known only after it was billed, while one place fails once.
async fn late(world: &World, point: &str, way: &str, plan: VariantId) {
    let name = format!("{point} {way}");
    let customer = for_a_day(world, &name, plan).await;
    let used_at = world.now();
    world.advance(86_500);
    world.run_to_rest().await;
    world.advance(PAUSE);
    world.run_to_rest().await;
    let event = NewEvent {
        occurred_at: Some(used_at),
        ..world.event(customer, "call", "3")
    };
    world.accept(vec![event]).await;
    paid_in_spite_of(world, customer, (point, way), 2).await;
    let filed = all(world, customer).await;
    assert_eq!(filed[1].invoice.totals.due, money("0.03 USD"), "{name}");
    assert_eq!(world.stands(customer).await.1, "0", "{name}: settled once");
}

/// The first of so many invoices of a customer, which are made and paid although one place fails once.
async fn paid_in_spite_of(
    world: &World,
    customer: CustomerId,
    (point, way): (&str, &str),
    invoices: usize,
) -> Filed {
    failpoint::reached();
    fail::cfg(point, &format!("1*{way}")).unwrap();
    for _ in 0..ROUNDS {
        job::sweep(&world.app).await.unwrap_or_default();
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        world.quiet().await;
        let filed = all(world, customer).await;
        let is_over = |it: &Filed| it.invoice.state == State::Paid && it.next_at.is_none();
        if filed.len() == invoices && filed.iter().all(is_over) {
            break;
        }
        world.advance(PAUSE);
    }
    fail::remove(point);
    assert!(
        failpoint::reached().contains_key(point),
        "{point} {way}: never reached"
    );
    let mut filed = all(world, customer).await;
    assert_eq!(
        (filed.len(), filed[invoices - 1].invoice.state),
        (invoices, State::Paid),
        "{point} {way}"
    );
    filed.remove(0)
}

async fn closed(world: &World, customer: CustomerId) -> bool {
    let closed = entity::billing_cycle::Entity::find()
        .filter(entity::billing_cycle::Column::CustomerId.eq(customer.0))
        .filter(entity::billing_cycle::Column::State.eq("CLOSED"));
    closed.count(world.app.db().reader()).await.unwrap() > 0
}

/// The same request three times, the first of which fails in the middle.
async fn by_hand(world: &World, way: &str, plan: VariantId) {
    let customer = for_a_day(world, &format!("by hand {way}"), plan).await;
    world.advance(86_500);
    world.run_to_rest().await;
    let id = all(world, customer).await[0].invoice.id;
    let (pay_key, note_key) = (world.key(), world.key());
    for point in BY_HAND {
        fail::cfg(*point, &format!("1*{way}")).unwrap();
        for _ in 0..3 {
            let (world, pay_key, note_key) = (world.clone(), pay_key.clone(), note_key.clone());
            let paying = *point == "invoice.paying";
            let doing = tokio::spawn(async move {
                if paying {
                    let pay = PayInvoice {
                        invoice: id,
                        with: PayWith::Elsewhere,
                    };
                    invoice::pay(&world.app, &world.actor, pay, &pay_key)
                        .await
                        .map(drop)
                } else {
                    let note = CreateCreditNote {
                        invoice: id,
                        total: None,
                        reason: Reason::Goodwill,
                    };
                    invoice::credit_note(&world.app, &world.actor, note, &note_key)
                        .await
                        .map(drop)
                }
            });
            let _ = doing.await;
        }
        fail::remove(*point);
    }
    let filed = all(world, customer).await.remove(0);
    assert_eq!(
        (filed.invoice.state, filed.credited),
        (State::Paid, money("20.07 USD")),
        "{way}"
    );
    let notes = invoice::credit_notes(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(notes.len(), 1, "{way}");
    let left = invoice::money_balances(&world.app, &world.actor, customer)
        .await
        .unwrap();
    assert_eq!(left, [money("20.07 USD")], "{way}");
}
