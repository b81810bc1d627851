//! Money that goes back: refunds and disputes take credits once, give them again once, and leave every amount explained. And purchases on a
//! page of the provider's.

use app::{
    credit::{self, BlockView},
    customer::CustomerRef,
    idempotency::Once,
    invoice::{self, Filed},
    job,
    page::Page,
    payment::{self, Bank, Purchase, RefundPayment},
    recharge::{self, UpdateRecharge},
};
use domain::{
    id::{CustomerId, PaymentId},
    payment::{
        Checkout, Payment, State, Way,
        decline::Decline,
        method::Kind,
        returned::{Kind as ReturnKind, Return, State as ReturnState},
    },
    recharge::{
        Reason,
        rule::{Rule, Size},
    },
    rejection::RejectionCode,
};
use entity::{payment_method, sandbox_charge, sandbox_return};
use gateway::payment::sandbox::Card;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::Expr};

use crate::harness::{
    World, billing, credits,
    paying::{self, card, charges, money, read, sells, wish},
    per_unit, refusal,
};

on_both!(
    a_refund_takes_credits_and_gives_money_back_once,
    a_refund_is_within_what_was_paid,
    a_refund_that_cannot_be_made_gives_the_credits_again,
    what_was_used_already_becomes_overdraft,
    other_credits_go_before_there_is_overdraft,
    a_dispute_takes_the_credits_and_gives_them_again,
    whoever_hears_of_a_dispute_at_once_books_it_once,
    a_refund_and_a_dispute_take_the_credits_once,
    who_gets_money_back_is_not_charged_again,
    what_goes_back_of_a_receipt_is_on_a_credit_note,
    what_goes_back_of_an_invoice_is_on_a_credit_note,
    lost_doubled_and_reordered_jobs_change_nothing,
    a_page_is_paid_once,
    a_page_that_nobody_pays_on_ends,
    a_page_that_cannot_be_is_refused,
    nothing_is_charged_after_a_restore,
    what_was_charged_after_the_backup_is_found,
    cards_that_expire_are_told_of_once,
    strangers_give_nothing_back,
);

async fn bought(world: &World, customer: CustomerId, amount: &str) -> PaymentId {
    let done = payment::purchase(&world.app, &world.actor, wish(customer, amount), &world.key()).await;
    let id = done.unwrap().value.id;
    world.run_to_rest().await;
    assert_eq!(read(world, id).await.progress.state, State::Succeeded);
    id
}

/// Somebody who has bought for so much.
async fn owner(world: &World, kind: Card, amount: &str) -> (CustomerId, PaymentId) {
    sells(world).await;
    let customer = world.customer("owner").await;
    card(world, customer, kind).await;
    (customer, bought(world, customer, amount).await)
}

fn back(id: PaymentId, amount: Option<&str>) -> RefundPayment {
    RefundPayment {
        payment: id,
        amount: amount.map(money),
        reason: Some("as agreed".to_owned()),
    }
}

async fn try_refund(world: &World, input: RefundPayment) -> app::Result<Once<Return>> {
    payment::refund(&world.app, &world.actor, input, &world.key()).await
}

async fn refund(world: &World, id: PaymentId, amount: Option<&str>) -> Return {
    try_refund(world, back(id, amount)).await.unwrap().value
}

async fn returns(world: &World, id: PaymentId) -> Vec<(ReturnKind, ReturnState, String, String)> {
    let all = payment::returns(&world.app, &world.actor, &[id]).await.unwrap();
    let line = |it: Return| (it.kind, it.state, it.amount.to_string(), it.credits.to_string());
    all.into_iter().map(line).collect()
}

fn line(
    kind: ReturnKind,
    state: ReturnState,
    amount: &str,
    credits: &str,
) -> (ReturnKind, ReturnState, String, String) {
    (kind, state, amount.to_owned(), credits.to_owned())
}

async fn stands(world: &World, customer: CustomerId, balance: &str, overdraft: &str) {
    let wanted = (balance.to_owned(), overdraft.to_owned());
    assert_eq!(world.stands(customer).await, wanted);
}

/// What was told about a customer's payments and cards, oldest first.
async fn told(world: &World, customer: CustomerId) -> Vec<String> {
    paying::told(world, customer, "payment").await
}

async fn bank(world: &World, id: PaymentId, does: Bank) {
    let done = payment::dispute_payment(&world.app, &world.actor, id, does).await;
    done.unwrap();
    world.run_to_rest().await;
}

/// How often the sandbox has given money back, or had it taken.
async fn given_back(world: &World) -> u64 {
    let all = sandbox_return::Entity::find();
    all.count(world.app.db().reader()).await.unwrap()
}

async fn sweep(world: &World) {
    job::sweep(&world.app).await.unwrap();
    world.run_to_rest().await;
}

async fn a_refund_takes_credits_and_gives_money_back_once(world: World) {
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    let key = world.key();
    let input = back(id, Some("4 USD"));
    let first = payment::refund(&world.app, &world.actor, input.clone(), &key)
        .await
        .unwrap();
    assert_eq!((first.value.state, first.replay), (ReturnState::Created, false));
    // The credits are gone before the provider knows of it.
    stands(&world, customer, "6", "0").await;
    let again = payment::refund(&world.app, &world.actor, input, &key)
        .await
        .unwrap();
    assert_eq!((again.value.id, again.replay), (first.value.id, true));
    world.run_to_rest().await;
    assert_eq!(
        returns(&world, id).await,
        [line(ReturnKind::Refund, ReturnState::Returned, "4.00 USD", "4")]
    );
    refund(&world, id, None).await;
    world.run_to_rest().await;
    stands(&world, customer, "0", "0").await;
    world.advance(100_000);
    sweep(&world).await;
    assert_eq!(given_back(&world).await, 2);
    let ledger = world.ledger(customer).await;
    let kinds: Vec<String> = ledger.iter().map(|it| entity::to_text(it.kind)).collect();
    assert_eq!(kinds, ["GRANT", "REVERSAL", "REVERSAL"]);
    assert!(ledger[1].description.contains(&id.to_string()));
    let payment = read(&world, id).await;
    assert_eq!(payment.progress.due_at, None, "nothing more is due of it");
    assert_eq!(
        told(&world, customer).await,
        ["payment.succeeded", "payment.refunded", "payment.refunded"]
    );
}

async fn a_refund_is_within_what_was_paid(world: World) {
    let (_, id) = owner(&world, Card::Success, "10 USD").await;
    refund(&world, id, Some("7.50 USD")).await;
    let no = |field: &str| (RejectionCode::InvalidInput, field.to_owned());
    for (amount, field) in [
        ("2.51 USD", "amount"),
        ("0 USD", "amount"),
        ("1 EUR", "amount.currency"),
    ] {
        assert_eq!(
            refusal(try_refund(&world, back(id, Some(amount))).await),
            no(field)
        );
    }
    refund(&world, id, Some("2.50 USD")).await;
    assert_eq!(refusal(try_refund(&world, back(id, None)).await), no("amount"));
    let mut long = back(id, None);
    long.reason = Some("x\ny".to_owned());
    assert_eq!(refusal(try_refund(&world, long).await), no("reason"));

    let poor = world.customer("poor").await;
    card(&world, poor, Card::InsufficientFunds).await;
    let failed = payment::purchase(&world.app, &world.actor, wish(poor, "10 USD"), &world.key()).await;
    world.run_to_rest().await;
    assert_eq!(
        refusal(try_refund(&world, back(failed.unwrap().value.id, None)).await),
        (RejectionCode::PaymentState, "paymentId".to_owned())
    );
}

async fn a_refund_that_cannot_be_made_gives_the_credits_again(world: World) {
    let (customer, id) = owner(&world, Card::RefundFails, "10 USD").await;
    refund(&world, id, None).await;
    stands(&world, customer, "0", "0").await;
    world.run_to_rest().await;
    stands(&world, customer, "10", "0").await;
    assert_eq!(
        returns(&world, id).await,
        [line(ReturnKind::Refund, ReturnState::Undone, "10.00 USD", "0")]
    );
    assert_eq!(
        told(&world, customer).await,
        ["payment.succeeded", "payment.refund_failed"]
    );
}

async fn what_was_used_already_becomes_overdraft(world: World) {
    world.priced("call", per_unit("1")).await;
    let (customer, id) = owner(&world, Card::RefundFails, "10 USD").await;
    world.consume(customer, "call", "7").await;
    world.run_to_rest().await;
    refund(&world, id, None).await;
    stands(&world, customer, "-7", "7").await;
    // It could not be made: what was owed because of it is not owed any more.
    world.run_to_rest().await;
    stands(&world, customer, "3", "0").await;
}

async fn other_credits_go_before_there_is_overdraft(world: World) {
    world.priced("call", per_unit("1")).await;
    let (customer, first) = owner(&world, Card::Success, "10 USD").await;
    world.consume(customer, "call", "8").await;
    world.run_to_rest().await;
    let second = bought(&world, customer, "5 USD").await;
    refund(&world, first, None).await;
    world.run_to_rest().await;
    stands(&world, customer, "-3", "3").await;
    // Of the second nothing remains: all of it is owed.
    refund(&world, second, None).await;
    world.run_to_rest().await;
    stands(&world, customer, "-8", "8").await;
}

async fn a_dispute_takes_the_credits_and_gives_them_again(world: World) {
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    bank(&world, id, Bank::Asks).await;
    stands(&world, customer, "10", "0").await;
    bank(&world, id, Bank::Disputes).await;
    stands(&world, customer, "0", "0").await;
    bank(&world, id, Bank::Disputes).await;
    bank(&world, id, Bank::Dismisses).await;
    stands(&world, customer, "10", "0").await;
    // What was undone stays so.
    bank(&world, id, Bank::Decides).await;
    stands(&world, customer, "10", "0").await;
    assert_eq!(
        returns(&world, id).await,
        [line(ReturnKind::Dispute, ReturnState::Undone, "10.00 USD", "0")]
    );
    let block = blocks(&world, customer)
        .await
        .into_iter()
        .find(|it| it.block.remaining.is_positive());
    assert_eq!(entity::to_text(block.unwrap().block.billing), "PREPAID");

    let lost = bought(&world, customer, "5 USD").await;
    bank(&world, lost, Bank::Decides).await;
    stands(&world, customer, "10", "0").await;
    assert_eq!(
        told(&world, customer).await,
        [
            "payment.succeeded",
            "payment.dispute_inquiry",
            "payment.disputed",
            "payment.dispute_won",
            "payment.succeeded",
            "payment.dispute_lost"
        ]
    );
}

async fn blocks(world: &World, customer: CustomerId) -> Vec<BlockView> {
    let page = credit::blocks(&world.app, &world.actor, customer, Page::first(100)).await;
    page.unwrap().items
}

/// Each looks without knowing of the others, and none fails.
async fn whoever_hears_of_a_dispute_at_once_books_it_once(world: World) {
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    let others = [world.another().await, world.another().await];
    // What two processes tell in the same microsecond has no order.
    world.advance(1);
    let hearing = (0..8).map(|number| {
        let world = others[number % 2].clone();
        tokio::spawn(
            async move { payment::dispute_payment(&world.app, &world.actor, id, Bank::Disputes).await },
        )
    });
    for heard in hearing.collect::<Vec<_>>() {
        heard.await.unwrap().unwrap();
    }
    stands(&world, customer, "0", "0").await;
    assert_eq!(
        returns(&world, id).await,
        [line(
            ReturnKind::Dispute,
            ReturnState::Contested,
            "10.00 USD",
            "10"
        )]
    );
    assert_eq!(
        told(&world, customer).await,
        ["payment.succeeded", "payment.disputed"]
    );
}

async fn a_refund_and_a_dispute_take_the_credits_once(world: World) {
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    refund(&world, id, Some("6 USD")).await;
    bank(&world, id, Bank::Disputes).await;
    stands(&world, customer, "0", "0").await;
    bank(&world, id, Bank::Dismisses).await;
    // The refund stays.
    stands(&world, customer, "4", "0").await;
}

async fn who_gets_money_back_is_not_charged_again(world: World) {
    let (customer, id) = owner(&world, Card::Success, "20 USD").await;
    let rule = Rule {
        threshold: credits("10"),
        size: Size::Fixed(money("20 USD")),
        monthly_cap: money("100 USD"),
    };
    let agreed = UpdateRecharge {
        customer: CustomerRef::Id(customer),
        rule: Some(rule),
    };
    recharge::update(&world.app, &world.actor, agreed).await.unwrap();
    refund(&world, id, Some("15 USD")).await;
    world.run_to_rest().await;
    stands(&world, customer, "5", "0").await;
    let it = recharge::recharge(&world.app, &world.actor, customer).await;
    assert_eq!(it.unwrap().unwrap().reason, Some(Reason::MoneyWentBack));
    assert_eq!(charges(&world).await, 1);
}

/// What credit notes say of an invoice, and what they have left to the customer.
async fn notes(world: &World, customer: CustomerId, filed: &Filed) -> (Vec<String>, usize) {
    let (app, actor) = (&world.app, &world.actor);
    let notes = invoice::credit_notes(app, actor, filed.invoice.id).await.unwrap();
    let left = invoice::money_balances(app, actor, customer).await.unwrap();
    (
        notes.iter().map(|it| it.note.total.to_string()).collect(),
        left.len(),
    )
}

async fn what_goes_back_of_a_receipt_is_on_a_credit_note(world: World) {
    billing::bills(&world, billing::terms()).await;
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    let receipt = billing::all(&world, customer).await.remove(0);
    refund(&world, id, Some("4 USD")).await;
    world.run_to_rest().await;
    bank(&world, id, Bank::Decides).await;
    // The bank took the whole; of the receipt six dollars were left.
    assert_eq!(
        notes(&world, customer, &receipt).await,
        (vec!["4.00 USD".to_owned(), "6.00 USD".to_owned()], 0)
    );
}

async fn what_goes_back_of_an_invoice_is_on_a_credit_note(world: World) {
    billing::bills(&world, billing::terms()).await;
    let (customer, _) = owner(&world, Card::Success, "10 USD").await;
    let receipt = billing::all(&world, customer).await.remove(0);
    let open = billing::like(&world, &receipt, true).await;
    let pay = invoice::PayInvoice {
        invoice: open,
        with: invoice::PayWith::Way(Way::Saved(None)),
    };
    invoice::pay(&world.app, &world.actor, pay, &world.key())
        .await
        .unwrap();
    world.run_to_rest().await;
    let of = payment::of_invoice(&world.app, &world.actor, open).await.unwrap();
    let paid = of.first().unwrap();
    assert_eq!(paid.progress.state, State::Succeeded);
    refund(&world, paid.id, Some("3 USD")).await;
    world.run_to_rest().await;
    stands(&world, customer, "10", "0").await;
    let filed = invoice::invoice(&world.app, &world.actor, open)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        notes(&world, customer, &filed).await,
        (vec!["3.00 USD".to_owned()], 0)
    );
    // What a credit note has left to the customer does not go back to the card as well.
    let note = invoice::CreateCreditNote {
        invoice: open,
        total: None,
        reason: domain::invoice::credit_note::Reason::Goodwill,
    };
    invoice::credit_note(&world.app, &world.actor, note, &world.key())
        .await
        .unwrap();
    assert_eq!(
        refusal(try_refund(&world, back(paid.id, Some("1 USD"))).await),
        (RejectionCode::InvoiceState, "amount".to_owned())
    );
}

async fn lost_doubled_and_reordered_jobs_change_nothing(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    let (customer, id) = owner(&world, Card::Success, "10 USD").await;
    for (loses, doubles) in [(true, false), (false, true)] {
        world.post.loses.store(loses, SeqCst);
        world.post.doubles.store(doubles, SeqCst);
        world.post.reorders.store(doubles, SeqCst);
        refund(&world, id, Some("2 USD")).await;
        refund(&world, id, Some("3 USD")).await;
        world.post.loses.store(false, SeqCst);
        world.run_to_rest().await;
        world.advance(61);
        sweep(&world).await;
    }
    stands(&world, customer, "0", "0").await;
    assert_eq!(given_back(&world).await, 4);
    let all = returns(&world, id).await;
    assert!(all.iter().all(|it| it.1 == ReturnState::Returned), "{all:?}");
    assert_eq!(told(&world, customer).await.len(), 5);
}

fn page(customer: CustomerId, kinds: &[Kind]) -> Purchase {
    Purchase {
        way: Way::Page(Checkout {
            kinds: kinds.to_vec(),
            return_url: Some("https://vendor.example/back".to_owned()),
        }),
        ..wish(customer, "10 USD")
    }
}

async fn opened(world: &World) -> (CustomerId, Payment) {
    sells(world).await;
    let customer = world.customer("guest").await;
    let wish = page(customer, &[Kind::Card, Kind::Crypto]);
    let key = world.key();
    let first = payment::purchase(&world.app, &world.actor, wish.clone(), &key)
        .await
        .unwrap();
    assert_eq!(
        first.value.progress.state,
        State::RequiresAction,
        "the page is open"
    );
    let again = payment::purchase(&world.app, &world.actor, wish, &key)
        .await
        .unwrap();
    assert_eq!((again.value.id, again.replay), (first.value.id, true));
    (customer, first.value)
}

async fn a_page_is_paid_once(world: World) {
    let (customer, open) = opened(&world).await;
    let pay = async |card| payment::complete_checkout(&world.app, &world.actor, open.id, card).await;
    let declined = pay(Card::InsufficientFunds).await.unwrap();
    assert_eq!(
        declined.progress.state,
        State::RequiresAction,
        "another card may be tried"
    );
    let paid = pay(Card::Success).await.unwrap();
    assert_eq!(paid.progress.state, State::Succeeded);
    assert_eq!(
        refusal(pay(Card::Success).await),
        (RejectionCode::PaymentState, "paymentId".to_owned())
    );
    world.advance(100_000);
    sweep(&world).await;
    stands(&world, customer, "10", "0").await;
    // Nothing was kept to pay with.
    assert!(
        payment::methods(&world.app, &world.actor, customer)
            .await
            .unwrap()
            .is_empty()
    );
    refund(&world, open.id, None).await;
    world.run_to_rest().await;
    stands(&world, customer, "0", "0").await;
}

async fn a_page_that_nobody_pays_on_ends(world: World) {
    let (_, open) = opened(&world).await;
    world.advance(25 * 3_600);
    sweep(&world).await;
    let over = read(&world, open.id).await.progress;
    assert_eq!(
        (over.state, over.decline),
        (State::Failed, Some(Decline::NotConfirmed))
    );
    let late = payment::complete_checkout(&world.app, &world.actor, open.id, Card::Success).await;
    assert_eq!(
        refusal(late),
        (RejectionCode::PaymentState, "paymentId".to_owned())
    );
}

async fn a_page_that_cannot_be_is_refused(world: World) {
    sells(&world).await;
    let customer = world.customer("guest").await;
    let buy = async |wish| payment::purchase(&world.app, &world.actor, wish, &world.key()).await;
    let no = |field: &str| (RejectionCode::InvalidInput, field.to_owned());
    for kinds in [vec![], vec![Kind::Card, Kind::Crypto, Kind::Card]] {
        assert_eq!(refusal(buy(page(customer, &kinds)).await), no("kinds"));
    }
    let mut nowhere = page(customer, &[Kind::Card]);
    nowhere.way = Way::Page(Checkout {
        kinds: vec![Kind::Card],
        return_url: Some("javascript:alert(1)".to_owned()),
    });
    assert_eq!(refusal(buy(nowhere).await), no("returnUrl"));
}

async fn nothing_is_charged_after_a_restore(world: World) {
    let (customer, before) = owner(&world, Card::Success, "10 USD").await;
    // One that the provider never heard of, and that would be sent once more.
    let unlucky = world.customer("unlucky").await;
    card(&world, unlucky, Card::TimeoutNotCharged).await;
    let lost = payment::purchase(&world.app, &world.actor, wish(unlucky, "5 USD"), &world.key()).await;
    let lost = lost.unwrap().value.id;
    world.run_jobs().await;
    assert_eq!(read(&world, lost).await.progress.state, State::Unknown);
    let since = world.app.now().plus_seconds(-3_600);
    payment::begin_safe_mode(&world.app, since).await.unwrap();
    let early = payment::end_safe_mode(&world.app, false).await;
    assert!(early.is_err(), "it was not compared yet");
    let held = payment::purchase(&world.app, &world.actor, wish(customer, "5 USD"), &world.key()).await;
    let held = held.unwrap().value.id;
    refund(&world, before, Some("1 USD")).await;
    world.run_to_rest().await;
    assert_eq!(read(&world, held).await.progress.state, State::Created);
    assert_eq!(read(&world, lost).await.progress.state, State::Unknown);
    assert_eq!(given_back(&world).await, 0);
    sweep(&world).await;
    let modes = payment::safe_mode(&world.app).await.unwrap();
    assert!(
        modes
            .iter()
            .all(|mode| mode.is_compared && mode.strangers.is_empty()),
        "{modes:?}"
    );
    payment::end_safe_mode(&world.app, false).await.unwrap();
    assert!(payment::safe_mode(&world.app).await.unwrap().is_empty());
    world.advance(61);
    sweep(&world).await;
    assert_eq!(read(&world, held).await.progress.state, State::Succeeded);
    assert_eq!(read(&world, lost).await.progress.state, State::Succeeded);
    assert_eq!(given_back(&world).await, 1);
    stands(&world, customer, "14", "0").await;
}

/// The backup was made before a payment was sent: the provider has charged it, and here nobody knows.
async fn what_was_charged_after_the_backup_is_found(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    let (customer, _) = owner(&world, Card::Success, "10 USD").await;
    world.post.loses.store(true, SeqCst);
    let decided = payment::purchase(&world.app, &world.actor, wish(customer, "5 USD"), &world.key()).await;
    let id = decided.unwrap().value.id;
    world.post.loses.store(false, SeqCst);
    let charged = sandbox_charge::ActiveModel {
        key: Set("another key: the first one is forgotten".to_owned()),
        reference: Set("sbx_charged".to_owned()),
        payment_id: Set(id.0),
        card: Set(Some("SUCCESS".to_owned())),
        on_page: Set(0),
        amount: Set(500),
        currency: Set("USD".to_owned()),
        asked_at: Set(world.app.now().micros()),
        asked: Set(1),
        confirmed: Set(0),
    };
    let db = world.app.db().writer();
    sandbox_charge::Entity::insert(charged)
        .exec_without_returning(db)
        .await
        .unwrap();
    payment::begin_safe_mode(&world.app, world.app.now())
        .await
        .unwrap();
    sweep(&world).await;
    assert_eq!(read(&world, id).await.progress.state, State::Succeeded);
    payment::end_safe_mode(&world.app, false).await.unwrap();
    sweep(&world).await;
    assert_eq!(charges(&world).await, 2, "nothing was charged again");
    stands(&world, customer, "15", "0").await;
}

async fn cards_that_expire_are_told_of_once(world: World) {
    sells(&world).await;
    let months = world.app.now().months();
    for (name, expires, is_told) in [
        ("gone", months - 1, true),
        ("next", months + 1, true),
        ("later", months + 2, false),
    ] {
        let customer = world.customer(name).await;
        let method = card(&world, customer, Card::Success).await;
        payment_method::Entity::update_many()
            .col_expr(payment_method::Column::ExpiresMonth, Expr::value(expires))
            .filter(payment_method::Column::Id.eq(method.0))
            .exec(world.app.db().writer())
            .await
            .unwrap();
        for _ in 0..2 {
            sweep(&world).await;
        }
        let wanted: &[&str] = if is_told {
            &["payment_method.expiring"]
        } else {
            &[]
        };
        assert_eq!(told(&world, customer).await, wanted, "{name}");
    }
}

async fn strangers_give_nothing_back(world: World) {
    let (_, id) = owner(&world, Card::Success, "10 USD").await;
    let stranger = world.stranger().await;
    let refused = try_refund(&stranger, back(id, None)).await;
    assert_eq!(
        refusal(refused),
        (RejectionCode::NotFound, "paymentId".to_owned())
    );
    let seen = returns(&stranger, id).await;
    assert!(seen.is_empty());
}
