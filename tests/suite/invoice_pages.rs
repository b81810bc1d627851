//! Invoices that a customer pays on a page of the provider's.

use app::{
    invoice::{self, PayInvoice, PayWith},
    job, payment,
};
use domain::{
    id::{CustomerId, InvoiceId},
    invoice::{state::State, terms::BillingTerms},
    payment::{Checkout, Payment, State as PaymentState, Way, method::Kind},
    plan::variant::Mode,
    rejection::RejectionCode,
};
use gateway::payment::sandbox::Card;

use crate::harness::{
    World,
    billing::{all, bills, terms},
    paying::{card, charges, money, sells},
    plans::variant,
    refusal,
};

on_both!(
    an_invoice_is_paid_on_a_page_once,
    a_page_that_nobody_pays_on_lets_others_pay,
    a_page_that_cannot_be_is_refused,
);

/// An invoice of $20, and who is to pay it.
async fn owed(world: &World, collects: bool) -> (CustomerId, InvoiceId) {
    sells(world).await;
    bills(world, BillingTerms { collects, ..terms() }).await;
    let mut plan = variant(Mode::Postpaid);
    plan.fee = Some(money("20 USD"));
    let plan = world.sells(plan, Vec::new()).await;
    let customer = world.customer("acme").await;
    world.subscribe(customer, plan).await;
    world.until("2026-04-11").await;
    (customer, all(world, customer).await[0].invoice.id)
}

fn on_page(invoice: InvoiceId, kinds: Vec<Kind>) -> PayInvoice {
    let page = Checkout {
        kinds,
        return_url: Some("https://vendor.example/thanks".to_owned()),
    };
    PayInvoice {
        invoice,
        with: PayWith::Way(Way::Page(page)),
    }
}

async fn pay(world: &World, input: PayInvoice, key: &str) -> app::Result<bool> {
    let done = invoice::pay(&world.app, &world.actor, input, key).await?;
    Ok(done.replay)
}

async fn payments(world: &World, invoice: InvoiceId) -> Vec<Payment> {
    payment::of_invoice(&world.app, &world.actor, invoice)
        .await
        .unwrap()
}

async fn state(world: &World, customer: CustomerId) -> State {
    all(world, customer).await[0].invoice.state
}

async fn an_invoice_is_paid_on_a_page_once(world: World) {
    let (customer, id) = owed(&world, false).await;
    let key = world.key();
    assert!(!pay(&world, on_page(id, vec![Kind::Card]), &key).await.unwrap());
    assert!(pay(&world, on_page(id, vec![Kind::Card]), &key).await.unwrap());
    let opened = payments(&world, id).await;
    assert_eq!(opened.len(), 1);
    assert_eq!(
        (opened[0].progress.state, opened[0].amount),
        (PaymentState::RequiresAction, money("20 USD"))
    );
    // While the page is open nobody charges anything else.
    let no = refusal(pay(&world, on_page(id, vec![Kind::Card]), &world.key()).await);
    assert_eq!(no.0, RejectionCode::InvoiceState);
    let paid = payment::complete_checkout(&world.app, &world.actor, opened[0].id, Card::Success);
    paid.await.unwrap();
    world.run_to_rest().await;
    assert_eq!(state(&world, customer).await, State::Paid);
    assert_eq!((payments(&world, id).await.len(), charges(&world).await), (1, 1));
    // An invoice becomes no credits.
    assert_eq!(world.stands(customer).await.0, "0");
}

async fn a_page_that_nobody_pays_on_lets_others_pay(world: World) {
    let (customer, id) = owed(&world, true).await;
    pay(&world, on_page(id, vec![Kind::Card]), &world.key())
        .await
        .unwrap();
    card(&world, customer, Card::Success).await;
    job::sweep(&world.app).await.unwrap();
    world.run_to_rest().await;
    assert_eq!(state(&world, customer).await, State::Open, "the page is open");
    world.advance(86_400 + 60);
    for _ in 0..3 {
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
        world.advance(61);
    }
    let states: Vec<_> = payments(&world, id)
        .await
        .iter()
        .map(|it| it.progress.state)
        .collect();
    assert_eq!(states, [PaymentState::Failed, PaymentState::Succeeded]);
    assert_eq!(state(&world, customer).await, State::Paid);
}

async fn a_page_that_cannot_be_is_refused(world: World) {
    let (_, id) = owed(&world, false).await;
    for (kinds, field) in [(vec![], "kinds"), (vec![Kind::Card, Kind::Card], "kinds")] {
        let no = refusal(pay(&world, on_page(id, kinds), &world.key()).await);
        assert_eq!(no, (RejectionCode::InvalidInput, field.to_owned()));
    }
    let unknown = InvoiceId(uuid::Uuid::nil());
    let no = refusal(pay(&world, on_page(unknown, vec![Kind::Card]), &world.key()).await);
    assert_eq!(no, (RejectionCode::NotFound, "invoiceId".to_owned()));
    assert_eq!(payments(&world, id).await, []);
}
