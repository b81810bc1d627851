//! Cycles that are paid ahead: their first fee is asked for when they begin, and what changes of plan cost within them, or give back, is
//! settled at once.

use app::{
    invoice::{Filed, PayInvoice, PayWith},
    job, payment,
    subscription::{CreateSubscription, Wish},
};
use domain::{
    id::{CustomerId, SubscriptionId, VariantId},
    invoice::{self, state::State, terms::BillingTerms},
    payment::{Checkout, Way, method::Kind},
    plan::{
        interval::{Interval, Unit},
        variant::Mode,
    },
};
use gateway::payment::sandbox::Card;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::harness::{
    World, at,
    billing::{all, bills, terms},
    paying::{card, charges, money, sells},
    plans::{agreement, variant},
};

on_both!(
    the_first_cycle_is_charged_for_when_it_begins,
    a_first_cycle_is_not_billed_where_it_costs_nothing,
    a_contract_that_is_revived_is_charged_for,
    a_revived_contract_is_not_charged_for_twice,
    a_renewal_pays_for_nothing_else,
    a_renewal_of_another_plan_is_billed_anew,
    what_was_not_paid_does_not_go_back,
    nothing_fails_where_nobody_bills,
    a_better_plan_is_charged_for_at_once,
    a_smaller_plan_leaves_a_balance,
    another_interval_is_charged_for_at_once,
    what_is_billed_at_the_close_is_not_billed_at_once,
    a_plan_to_be_paid_later_gives_back_at_once,
    many_workers_bill_a_change_once,
    what_nobody_needs_any_more_is_taken_back,
    currencies_have_invoices_of_their_own,
);

/// Half of a cycle from the tenth of March at noon is over.
const HALF: &str = "2026-03-26T00:00:00Z";

async fn plan(world: &World, mode: Mode, unit: Unit, fee: &str) -> VariantId {
    let mut plan = variant(mode);
    plan.interval = Interval::new(unit, 1).unwrap();
    plan.fee = Some(money(fee));
    if mode == Mode::Prepaid {
        plan.renewal_due_days = 5;
    }
    world.sells(plan, Vec::new()).await
}

/// Somebody with a card who has subscribed to a plan and changes to another in the middle of the cycle.
async fn changed(world: &World, from: VariantId, to: VariantId) -> (CustomerId, SubscriptionId) {
    sells(world).await;
    bills(world, terms()).await;
    let customer = world.customer("acme").await;
    card(world, customer, Card::Success).await;
    let subscription = world.subscribe_paid(customer, from).await;
    world.move_to(at(HALF));
    let wish = Wish::ChangePlan { to, now: true };
    world.wish(subscription, wish).await.unwrap();
    (customer, subscription)
}

fn lines(filed: &Filed) -> Vec<String> {
    let lines = filed.invoice.lines.iter();
    lines.map(|line| line.amount.to_string()).collect()
}

/// Has everything done that is due, and whatever is found out by looking again.
async fn settled(world: &World) {
    for _ in 0..2 {
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
        world.advance(61);
    }
}

async fn the_first_cycle_is_charged_for_when_it_begins(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let customer = world.customer("acme").await;
    card(&world, customer, Card::Success).await;
    let subscription = world.subscribe(customer, plan).await;
    // Without a sweep: whoever subscribes wakes who bills.
    world.run_to_rest().await;
    let filed = all(&world, customer).await;
    assert_eq!((filed.len(), lines(&filed[0])), (1, vec!["20.00 USD".to_owned()]));
    let it = &filed[0].invoice;
    assert_eq!(
        (it.kind, it.state, it.cycle),
        (invoice::Kind::Fee, State::Paid, None)
    );
    assert_eq!(
        it.period.map(|period| period.end),
        Some(at("2026-04-10T12:00:00Z"))
    );
    // The next one is a renewal, and is charged as one.
    world.until("2026-04-06").await;
    world.until("2026-04-11").await;
    settled(&world).await;
    assert_eq!((all(&world, customer).await.len(), charges(&world).await), (2, 2));
    assert_eq!(world.cycles(subscription).await.len(), 2);
}

async fn a_first_cycle_is_not_billed_where_it_costs_nothing(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let elsewhere = world.customer("elsewhere").await;
    world.subscribe_paid(elsewhere, plan).await;
    let mut trial = variant(Mode::Prepaid);
    trial.fee = Some(money("20 USD"));
    trial.trial_days = 14;
    let trial = world.sells(trial, Vec::new()).await;
    let trying = world.customer("trying").await;
    world.subscribe(trying, trial).await;
    settled(&world).await;
    assert_eq!(all(&world, elsewhere).await, []);
    assert_eq!(all(&world, trying).await, []);
}

async fn a_contract_that_is_revived_is_charged_for(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let customer = world.customer("acme").await;
    let input = CreateSubscription {
        contract_end: Some(at("2026-03-20T00:00:00Z")),
        first_cycle_paid: true,
        ..agreement(customer, plan)
    };
    let id = world.try_subscribe(input).await.unwrap().value.id;
    world.until("2026-03-25").await;
    assert_eq!(world.state(id).await, "CONTRACT_ENDED");
    let longer = Wish::ExtendContract {
        end: at("2026-12-01T00:00:00Z"),
    };
    world.wish(id, longer).await.unwrap();
    world.run_to_rest().await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    assert_eq!(filed[0].invoice.state, State::Open);
    assert!(filed[0].invoice.totals.total.minor > 0);
}

/// The cycle that begins when the contract is extended was paid before the customer paused.
async fn a_revived_contract_is_not_charged_for_twice(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let customer = world.customer("acme").await;
    let input = CreateSubscription {
        contract_end: Some(at("2026-04-20T00:00:00Z")),
        first_cycle_paid: true,
        ..agreement(customer, plan)
    };
    let id = world.try_subscribe(input).await.unwrap().value.id;
    world.wish(id, Wish::Renew).await.unwrap();
    world.wish(id, Wish::Pause).await.unwrap();
    world.until("2026-04-25").await;
    assert_eq!(world.state(id).await, "CONTRACT_ENDED");
    let end = at("2026-12-01T00:00:00Z");
    world.wish(id, Wish::ExtendContract { end }).await.unwrap();
    settled(&world).await;
    assert_eq!(all(&world, customer).await, []);
}

/// A renewal for $20 that is paid on a page after the plan has changed: the money is the customer's, and pays for no dearer cycle.
async fn a_renewal_pays_for_nothing_else(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let small = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let year = plan(&world, Mode::Prepaid, Unit::Year, "200 USD").await;
    let dear = plan(&world, Mode::Prepaid, Unit::Month, "100 USD").await;
    for (name, to, now) in [("now", year, true), ("later", dear, false)] {
        let customer = world.customer(name).await;
        let id = world.subscribe_paid(customer, small).await;
        let renewal_due = world.now().plus_seconds(27 * 86_400);
        world.move_to(renewal_due);
        settled(&world).await;
        let renewal = all(&world, customer).await[0].invoice.id;
        let page = Checkout {
            kinds: vec![Kind::Card],
            return_url: None,
        };
        let pay = PayInvoice {
            invoice: renewal,
            with: PayWith::Way(Way::Page(page)),
        };
        let paid = app::invoice::pay(&world.app, &world.actor, pay, &world.key()).await;
        paid.unwrap();
        world.wish(id, Wish::ChangePlan { to, now }).await.unwrap();
        let payments = payment::of_invoice(&world.app, &world.actor, renewal)
            .await
            .unwrap();
        let done = payment::complete_checkout(&world.app, &world.actor, payments[0].id, Card::Success).await;
        done.unwrap();
        settled(&world).await;
        let row = world.subscription(id).await;
        assert!(row.paid_through <= row.cycle.unwrap().number, "{name}");
        let left = app::invoice::money_balances(&world.app, &world.actor, customer).await;
        let whole: i64 = left.unwrap().iter().map(|it| it.minor).sum();
        // What it did not pay for has gone to the balance, or has paid for what was billed since.
        let applied: i64 = all(&world, customer)
            .await
            .iter()
            .map(|it| it.invoice.totals.applied.minor)
            .sum();
        assert_eq!(whole + applied, 2_000, "{name}");
    }
}

/// Without a card: the invoice of the renewal is taken back at once when the plan changes, and the new one can be paid.
async fn a_renewal_of_another_plan_is_billed_anew(world: World) {
    sells(&world).await;
    let by_hand = BillingTerms {
        collects: false,
        ..terms()
    };
    bills(&world, by_hand).await;
    let small = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let dear = plan(&world, Mode::Prepaid, Unit::Month, "100 USD").await;
    let customer = world.customer("acme").await;
    let id = world.subscribe_paid(customer, small).await;
    world.until("2026-04-06").await;
    settled(&world).await;
    let later = Wish::ChangePlan { to: dear, now: false };
    world.wish(id, later).await.unwrap();
    settled(&world).await;
    let filed = all(&world, customer).await;
    let states: Vec<_> = filed
        .iter()
        .map(|it| (it.invoice.state, it.invoice.totals.due))
        .collect();
    assert_eq!(
        states,
        [(State::Void, money("20 USD")), (State::Open, money("100 USD"))]
    );
    let pay = PayInvoice {
        invoice: filed[1].invoice.id,
        with: PayWith::Elsewhere,
    };
    app::invoice::pay(&world.app, &world.actor, pay, &world.key())
        .await
        .unwrap();
    world.until("2026-04-11").await;
    assert_eq!(world.cycles(id).await.len(), 2);
}

/// Nobody has paid the first cycle, so that nothing of it goes back to the customer.
async fn what_was_not_paid_does_not_go_back(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let dear = plan(&world, Mode::Prepaid, Unit::Month, "100 USD").await;
    let small = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let customer = world.customer("acme").await;
    let id = world.subscribe(customer, dear).await;
    settled(&world).await;
    assert_eq!(all(&world, customer).await[0].invoice.state, State::Open);
    world.move_to(at(HALF));
    let now = Wish::ChangePlan { to: small, now: true };
    world.wish(id, now).await.unwrap();
    settled(&world).await;
    let filed = all(&world, customer).await;
    assert_eq!(filed[0].invoice.state, State::Void);
    // Half a cycle of the one and half of the other.
    assert_eq!(lines(&filed[1]), ["100.00 USD", "-50.00 USD", "10.00 USD"]);
    assert_eq!((filed[1].invoice.state, filed.len()), (State::Open, 2));
    let left = app::invoice::money_balances(&world.app, &world.actor, customer).await;
    assert_eq!(left.unwrap(), []);
}

/// A vendor that makes no invoices has closed cycles that wait for none, and customers who begin to pay ahead.
async fn nothing_fails_where_nobody_bills(world: World) {
    let postpaid = plan(&world, Mode::Postpaid, Unit::Month, "20 USD").await;
    let prepaid = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let customer = world.customer("acme").await;
    world.subscribe(customer, postpaid).await;
    world.until("2026-04-11").await;
    world.subscribe(customer, prepaid).await;
    settled(&world).await;
    let failing = entity::work::Entity::find().filter(entity::work::Column::Error.is_not_null());
    assert_eq!(failing.count(world.app.db().reader()).await.unwrap(), 0);
}

async fn a_better_plan_is_charged_for_at_once(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let to = plan(&world, Mode::Prepaid, Unit::Month, "50 USD").await;
    let (customer, subscription) = changed(&world, from, to).await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    assert_eq!(lines(&filed[0]), ["-10.00 USD", "25.00 USD"]);
    let it = &filed[0].invoice;
    assert_eq!(
        (it.kind, it.state, it.totals.total),
        (invoice::Kind::Fee, State::Paid, money("15 USD"))
    );
    let period = it.period.unwrap();
    assert_eq!((period.start, period.end), (at(HALF), at("2026-04-10T12:00:00Z")));
    // It renews nothing, so that there is nothing left to do.
    assert_eq!((it.cycle, filed[0].next_at), (None, None));
    assert_eq!(charges(&world).await, 1);
    // The next cycle is billed as any other.
    world.until("2026-04-06").await;
    settled(&world).await;
    world.until("2026-04-11").await;
    let filed = all(&world, customer).await;
    assert_eq!((filed.len(), lines(&filed[1])), (2, vec!["50.00 USD".to_owned()]));
    assert_eq!(world.state(subscription).await, "ACTIVE");
    assert_eq!(
        (world.cycles(subscription).await.len(), charges(&world).await),
        (2, 2)
    );
}

async fn a_smaller_plan_leaves_a_balance(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "50 USD").await;
    let to = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let (customer, _) = changed(&world, from, to).await;
    settled(&world).await;
    let it = all(&world, customer).await.remove(0);
    assert_eq!(lines(&it), ["-25.00 USD", "10.00 USD"]);
    assert_eq!((it.invoice.state, it.next_at), (State::Paid, None));
    assert_eq!(it.invoice.totals.carried, money("15 USD"));
    assert_eq!(charges(&world).await, 0);
    // It pays for the renewal.
    world.until("2026-04-06").await;
    settled(&world).await;
    let totals = all(&world, customer).await[1].invoice.totals;
    assert_eq!((totals.applied, totals.due), (money("15 USD"), money("5 USD")));
}

async fn another_interval_is_charged_for_at_once(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let to = plan(&world, Mode::Prepaid, Unit::Year, "200 USD").await;
    let (customer, subscription) = changed(&world, from, to).await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    assert_eq!(lines(&filed[0]), ["-10.00 USD", "200.00 USD"]);
    assert_eq!(filed[0].invoice.state, State::Paid);
    assert_eq!(world.cycles(subscription).await.len(), 2);
}

async fn what_is_billed_at_the_close_is_not_billed_at_once(world: World) {
    let from = plan(&world, Mode::Postpaid, Unit::Month, "20 USD").await;
    let to = plan(&world, Mode::Prepaid, Unit::Month, "50 USD").await;
    let (customer, _) = changed(&world, from, to).await;
    settled(&world).await;
    assert_eq!(all(&world, customer).await, []);
    world.until("2026-04-11").await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    let cycle = filed
        .iter()
        .find(|it| it.invoice.kind == invoice::Kind::Cycle)
        .unwrap();
    assert_eq!(lines(cycle), ["20.00 USD", "-10.00 USD", "25.00 USD"]);
}

async fn a_plan_to_be_paid_later_gives_back_at_once(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let to = plan(&world, Mode::Postpaid, Unit::Month, "50 USD").await;
    let (customer, _) = changed(&world, from, to).await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    assert_eq!(lines(&filed[0]), ["-10.00 USD", "25.00 USD"]);
    world.until("2026-05-11").await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    // The cycle of the change was paid before; the next one is billed when it closes.
    assert_eq!((filed.len(), lines(&filed[1])), (2, vec!["50.00 USD".to_owned()]));
}

async fn many_workers_bill_a_change_once(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "20 USD").await;
    let to = plan(&world, Mode::Prepaid, Unit::Month, "50 USD").await;
    let (customer, _) = changed(&world, from, to).await;
    let workers = (0..8).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            let other = world.another().await;
            job::run(&other.app, World::invoice_job(customer)).await;
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    settled(&world).await;
    assert_eq!((all(&world, customer).await.len(), charges(&world).await), (1, 1));
}

/// A renewal whose term has ended is not asked for any more when it was renewed by hand, or when nothing is to be renewed.
async fn what_nobody_needs_any_more_is_taken_back(world: World) {
    sells(&world).await;
    let terms = BillingTerms {
        net_days: 1,
        ..terms()
    };
    bills(&world, terms).await;
    let mut plan = variant(Mode::Prepaid);
    plan.fee = Some(money("20 USD"));
    plan.renewal_due_days = 5;
    plan.grace_days = 2;
    let plan = world.sells(plan, Vec::new()).await;
    let made = async |name: &str| {
        let customer = world.customer(name).await;
        (customer, world.subscribe_paid(customer, plan).await)
    };
    let (renewed, renewed_sub) = made("renewed").await;
    let (left, left_sub) = made("left").await;
    let (gone, gone_sub) = made("gone").await;
    let state = async |customer| all(&world, customer).await[0].invoice.state;
    world.until("2026-04-06").await;
    world.until("2026-04-08").await;
    settled(&world).await;
    for customer in [renewed, left, gone] {
        assert_eq!(state(customer).await, State::PastDue);
    }
    world.wish(renewed_sub, Wish::Renew).await.unwrap();
    world
        .wish(left_sub, Wish::Cancel { at_end: false })
        .await
        .unwrap();
    settled(&world).await;
    assert_eq!(
        (state(renewed).await, state(left).await),
        (State::Void, State::Void)
    );
    assert_eq!(state(gone).await, State::PastDue, "it may still be paid");
    world.until("2026-04-13").await;
    settled(&world).await;
    assert_eq!(world.state(gone_sub).await, "EXPIRED");
    assert_eq!(state(gone).await, State::Void);
}

async fn currencies_have_invoices_of_their_own(world: World) {
    let from = plan(&world, Mode::Prepaid, Unit::Month, "20 EUR").await;
    let to = plan(&world, Mode::Prepaid, Unit::Month, "50 USD").await;
    let (customer, _) = changed(&world, from, to).await;
    settled(&world).await;
    let filed = all(&world, customer).await;
    let both: Vec<_> = filed.iter().flat_map(lines).collect();
    assert_eq!((filed.len(), both.len()), (2, 2));
    assert!(both.contains(&"-10.00 EUR".to_owned()) && both.contains(&"25.00 USD".to_owned()));
    let left = app::invoice::money_balances(&world.app, &world.actor, customer).await;
    let left: Vec<String> = left.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(left, ["10.00 EUR"]);
}
