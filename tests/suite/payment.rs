//! Payments: how credits are sold, ways to pay, and what becomes of a purchase whatever the provider does.

use app::{
    customer::CustomerRef,
    payment::{self, Purchase, StartSetup},
};
use domain::{
    amount::Credits,
    customer::Settlement,
    id::{CustomerId, PaymentId},
    payment::{Payment, State, Way, decline::Decline},
    plan::{
        money_price::CreditPrice,
        variant::{Mode, PurchaseLimits},
    },
    rejection::RejectionCode,
};
use entity::payment as row;
use gateway::payment::sandbox::{Card, LATE_SECONDS};
use sea_orm::{EntityTrait, PaginatorTrait};

use crate::harness::{
    World,
    paying::{self, card, charges, money, read, sale, sells, sells_as, wish},
    per_unit,
    plans::{agreement, template, variant},
    refusal,
};

on_both!(
    a_purchase_becomes_credits_once,
    every_card_ends_as_it_is_named,
    what_the_provider_does_not_say_is_found_out,
    a_late_success_and_a_late_confirmation_count,
    lost_doubled_and_reordered_jobs_change_nothing,
    an_overdraft_is_repaid_first,
    limits_are_those_of_the_vendor_and_of_the_plan,
    currencies_have_their_own_places,
    ways_to_pay_come_and_go,
    the_same_key_buys_once,
    a_frozen_customer_keeps_its_claim,
    a_turn_that_is_due_comes_before_the_credits,
    strangers_see_nothing,
);

async fn try_buy(world: &World, wish: Purchase) -> app::Result<Payment> {
    let bought = payment::purchase(&world.app, &world.actor, wish, &world.key()).await?;
    Ok(bought.value)
}

async fn buy(world: &World, customer: CustomerId, amount: &str) -> PaymentId {
    let bought = try_buy(world, wish(customer, amount)).await.unwrap();
    assert_eq!(bought.progress.state, State::Created);
    bought.id
}

/// What has been told about payments, oldest first.
async fn told(world: &World, customer: CustomerId) -> Vec<String> {
    paying::told(world, customer, "payment.").await
}

async fn state(world: &World, id: PaymentId) -> State {
    read(world, id).await.progress.state
}

/// Somebody with a card, of a vendor that sells.
async fn buyer(world: &World, kind: Card) -> CustomerId {
    sells(world).await;
    let customer = world.customer("buyer").await;
    card(world, customer, kind).await;
    customer
}

async fn a_purchase_becomes_credits_once(world: World) {
    let mut year = sale("1 USD", "5 USD", "5000 USD");
    year.lasts_seconds = Some(31_536_000);
    let customer = buyer(&world, Card::Success).await;
    sells_as(&world, year).await;
    let id = buy(&world, customer, "25.50 USD").await;
    // The terms are those of when it was decided.
    sells_as(&world, sale("9 USD", "5 USD", "5000 USD")).await;
    world.run_jobs().await;
    let paid = read(&world, id).await;
    assert_eq!(paid.progress.state, State::Succeeded);
    assert!(paid.progress.reference.is_some());
    assert_eq!(world.stands(customer).await, ("25.5".to_owned(), "0".to_owned()));
    let ledger = world.ledger(customer).await;
    assert_eq!(ledger.len(), 1);
    assert!(ledger[0].description.contains(&id.to_string()));
    let block = app::credit::block(&world.app, &world.actor, ledger[0].block.unwrap()).await;
    let block = block.unwrap().unwrap().block;
    assert_eq!(entity::to_text(block.source), "PURCHASE");
    assert_eq!(entity::to_text(block.billing), "PREPAID");
    assert_eq!(block.expires_at, Some(block.granted_at.plus_seconds(31_536_000)));
    assert_eq!(told(&world, customer).await, ["payment.succeeded"]);
    world.advance(100_000);
    world.run_to_rest().await;
    assert_eq!(
        (charges(&world).await, world.ledger(customer).await.len()),
        (1, 1)
    );
}

async fn every_card_ends_as_it_is_named(world: World) {
    sells(&world).await;
    let declined = |why| (State::Failed, Some(why));
    for (kind, (ends, decline), credits, events) in [
        (
            Card::Success,
            (State::Succeeded, None),
            "10",
            vec!["payment.succeeded"],
        ),
        (
            Card::InsufficientFunds,
            declined(Decline::InsufficientFunds),
            "0",
            vec!["payment.failed"],
        ),
        (
            Card::TryAgainLater,
            declined(Decline::TryAgainLater),
            "0",
            vec!["payment.failed"],
        ),
        (
            Card::Expired,
            declined(Decline::ExpiredCard),
            "0",
            vec!["payment.failed"],
        ),
        (
            Card::Stolen,
            declined(Decline::DoNotTryAgain),
            "0",
            vec!["payment.failed"],
        ),
        (
            Card::Gone,
            declined(Decline::MethodGone),
            "0",
            vec!["payment.failed"],
        ),
        (
            Card::AuthenticationRequired,
            (State::RequiresAction, None),
            "0",
            vec!["payment.requires_action"],
        ),
        (Card::TimeoutCharged, (State::Unknown, None), "0", vec![]),
        (Card::TimeoutNotCharged, (State::Unknown, None), "0", vec![]),
        (Card::LateSuccess, (State::Processing, None), "0", vec![]),
        (
            Card::WrongAmount,
            (State::Quarantined, None),
            "0",
            vec!["payment.quarantined"],
        ),
    ] {
        let customer = world.customer(&format!("{kind:?}")).await;
        card(&world, customer, kind).await;
        let id = buy(&world, customer, "10 USD").await;
        world.run_jobs().await;
        let paid = read(&world, id).await.progress;
        assert_eq!((paid.state, paid.decline), (ends, decline), "{kind:?}");
        assert_eq!(world.stands(customer).await.0, credits, "{kind:?}");
        assert_eq!(told(&world, customer).await, events, "{kind:?}");
    }
}

async fn what_the_provider_does_not_say_is_found_out(world: World) {
    for (number, kind) in [Card::TimeoutCharged, Card::TimeoutNotCharged]
        .into_iter()
        .enumerate()
    {
        sells(&world).await;
        let customer = world.customer(&format!("{kind:?}")).await;
        card(&world, customer, kind).await;
        let id = buy(&world, customer, "10 USD").await;
        world.run_jobs().await;
        assert_eq!(state(&world, id).await, State::Unknown);
        // Not before it is due.
        app::job::sweep(&world.app).await.unwrap();
        world.run_jobs().await;
        assert_eq!(state(&world, id).await, State::Unknown);
        world.advance(61);
        app::job::sweep(&world.app).await.unwrap();
        world.run_jobs().await;
        assert_eq!(state(&world, id).await, State::Succeeded, "{kind:?}");
        assert_eq!(world.stands(customer).await.0, "10");
        // One charge, also of the card that was asked for twice.
        assert_eq!(charges(&world).await, number as u64 + 1);
    }
}

async fn a_late_success_and_a_late_confirmation_count(world: World) {
    let customer = buyer(&world, Card::LateSuccess).await;
    let late = buy(&world, customer, "10 USD").await;
    world.run_jobs().await;
    assert_eq!(state(&world, late).await, State::Processing);
    world.advance(LATE_SECONDS + 61);
    app::job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    assert_eq!(state(&world, late).await, State::Succeeded);

    let careful = world.customer("careful").await;
    card(&world, careful, Card::AuthenticationRequired).await;
    let [kept, forgotten] = [
        buy(&world, careful, "5 USD").await,
        buy(&world, careful, "7 USD").await,
    ];
    world.run_jobs().await;
    let confirmed = payment::confirm_payment(&world.app, &world.actor, kept)
        .await
        .unwrap();
    assert_eq!(confirmed.progress.state, State::Succeeded);
    assert_eq!(world.stands(careful).await.0, "5");
    let again = payment::confirm_payment(&world.app, &world.actor, kept).await;
    assert_eq!(
        refusal(again),
        (RejectionCode::PaymentState, "paymentId".to_owned())
    );
    // What nobody confirms within a day is over.
    world.advance(25 * 3_600);
    app::job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    let over = read(&world, forgotten).await.progress;
    assert_eq!(
        (over.state, over.decline),
        (State::Failed, Some(Decline::NotConfirmed))
    );
    assert_eq!(
        told(&world, careful).await,
        [
            "payment.requires_action",
            "payment.requires_action",
            "payment.succeeded",
            "payment.failed"
        ]
    );
}

async fn lost_doubled_and_reordered_jobs_change_nothing(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    sells(&world).await;
    for (name, loses, doubles) in [("lost", true, false), ("doubled", false, true)] {
        let customer = world.customer(name).await;
        card(&world, customer, Card::TimeoutCharged).await;
        world.post.loses.store(loses, SeqCst);
        world.post.doubles.store(doubles, SeqCst);
        world.post.reorders.store(doubles, SeqCst);
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(buy(&world, customer, "5 USD").await);
        }
        world.post.loses.store(false, SeqCst);
        world.run_to_rest().await;
        world.advance(61);
        app::job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
        for id in ids {
            assert_eq!(state(&world, id).await, State::Succeeded, "{name}");
        }
        assert_eq!(world.stands(customer).await.0, "20", "{name}");
        assert_eq!(told(&world, customer).await.len(), 4, "{name}");
    }
    assert_eq!(charges(&world).await, 8);
}

async fn an_overdraft_is_repaid_first(world: World) {
    sells(&world).await;
    world.priced("call", per_unit("1")).await;
    for (name, settlement, left) in [
        ("prepaid", Settlement::NextPurchase, ("7", "0")),
        ("postpaid", Settlement::NextInvoice, ("7", "3")),
    ] {
        let customer = world.customer_settling(name, settlement).await;
        card(&world, customer, Card::Success).await;
        world.consume(customer, "call", "3").await;
        world.run_to_rest().await;
        buy(&world, customer, "10 USD").await;
        world.run_jobs().await;
        assert_eq!(
            world.stands(customer).await,
            (left.0.to_owned(), left.1.to_owned()),
            "{name}"
        );
    }
}

async fn limits_are_those_of_the_vendor_and_of_the_plan(world: World) {
    let customer = world.customer("buyer").await;
    let no = |code, field: &str| (code, field.to_owned());
    assert_eq!(
        refusal(try_buy(&world, wish(customer, "10 USD")).await),
        no(RejectionCode::PaymentsNotSetUp, "")
    );
    sells(&world).await;
    assert_eq!(
        refusal(try_buy(&world, wish(customer, "10 USD")).await),
        no(RejectionCode::NotFound, "paymentMethodId")
    );
    card(&world, customer, Card::Success).await;
    for (amount, field) in [
        ("4.99 USD", "amount"),
        ("5000.01 USD", "amount"),
        ("10 EUR", "amount.currency"),
    ] {
        assert_eq!(
            refusal(try_buy(&world, wish(customer, amount)).await),
            no(RejectionCode::InvalidInput, field),
            "{amount}"
        );
    }
    // Source P3: the free plan sells none; the other from ten dollars, at its own price.
    let free = world.sells(variant(Mode::Postpaid), Vec::new()).await;
    world.try_subscribe(agreement(customer, free)).await.unwrap();
    assert_eq!(
        refusal(try_buy(&world, wish(customer, "20 USD")).await),
        no(RejectionCode::InvalidInput, "amount")
    );
    let mut pro = variant(Mode::Postpaid);
    pro.purchase = Some(PurchaseLimits {
        minimum: Some(money("10 USD")),
        maximum: None,
    });
    pro.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "0.5".parse().unwrap(),
    });
    let pro = world.sells(pro, Vec::new()).await;
    world.try_subscribe(agreement(customer, pro)).await.unwrap();
    assert_eq!(
        refusal(try_buy(&world, wish(customer, "9 USD")).await),
        no(RejectionCode::InvalidInput, "amount")
    );
    let bought = try_buy(&world, wish(customer, "20 USD")).await.unwrap();
    assert_eq!(bought.credits, Credits::whole(40).unwrap());
    for _ in 0..9 {
        try_buy(&world, wish(customer, "10 USD")).await.unwrap();
    }
    assert_eq!(
        refusal(try_buy(&world, wish(customer, "10 USD")).await),
        no(RejectionCode::TooManyPayments, "")
    );
    world.run_jobs().await;
    assert_eq!(world.stands(customer).await.0, "220");
}

async fn currencies_have_their_own_places(world: World) {
    for (name, price, amount, credits) in [
        ("yen", "150 JPY", "3000 JPY", "20"),
        ("dinar", "0.3 KWD", "1.005 KWD", "3.35"),
    ] {
        let (_, currency) = price.split_once(' ').unwrap();
        let limits = [format!("1 {currency}"), format!("100000 {currency}")];
        sells_as(&world, sale(price, &limits[0], &limits[1])).await;
        let customer = world.customer(name).await;
        card(&world, customer, Card::Success).await;
        let id = buy(&world, customer, amount).await;
        world.run_jobs().await;
        assert_eq!(state(&world, id).await, State::Succeeded);
        assert_eq!(world.stands(customer).await.0, credits, "{name}");
    }
}

async fn ways_to_pay_come_and_go(world: World) {
    let (app, actor) = (&world.app, &world.actor);
    sells(&world).await;
    let customer = world.customer("buyer").await;
    let first = card(&world, customer, Card::Success).await;
    let second = card(&world, customer, Card::Stolen).await;
    let shown = async || {
        let methods = payment::methods(app, actor, customer).await.unwrap();
        let line = |it: &domain::payment::method::Method| (it.id, it.is_default);
        methods.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [(first, true), (second, false)]);
    payment::set_default_method(app, actor, second).await.unwrap();
    assert_eq!(shown().await, [(first, false), (second, true)]);
    let id = buy(&world, customer, "5 USD").await;
    let named = Purchase {
        way: Way::Saved(Some(first)),
        ..wish(customer, "6 USD")
    };
    let named = try_buy(&world, named).await.unwrap().id;
    // A payment goes on with what was removed since.
    payment::remove_method(app, actor, second).await.unwrap();
    payment::remove_method(app, actor, first).await.unwrap();
    assert_eq!(shown().await, []);
    let gone = (RejectionCode::NotFound, "paymentMethodId".to_owned());
    assert_eq!(refusal(payment::remove_method(app, actor, first).await), gone);
    assert_eq!(
        refusal(payment::set_default_method(app, actor, first).await),
        gone
    );
    assert_eq!(refusal(try_buy(&world, wish(customer, "5 USD")).await), gone);
    world.run_jobs().await;
    assert_eq!(state(&world, id).await, State::Failed);
    assert_eq!(state(&world, named).await, State::Succeeded);
}

async fn the_same_key_buys_once(world: World) {
    let customer = buyer(&world, Card::Success).await;
    let (app, actor, key) = (&world.app, &world.actor, &world.key());
    let once = payment::purchase(app, actor, wish(customer, "10 USD"), key)
        .await
        .unwrap();
    world.run_jobs().await;
    let again = payment::purchase(app, actor, wish(customer, "10 USD"), key)
        .await
        .unwrap();
    assert_eq!((once.replay, again.replay), (false, true));
    assert_eq!(once.value, again.value);
    let other = payment::purchase(app, actor, wish(customer, "11 USD"), key).await;
    assert_eq!(refusal(other).0, RejectionCode::IdempotencyConflict);
    world.run_jobs().await;
    assert_eq!(charges(&world).await, 1);
    // The same page, for the same key.
    let start = || StartSetup {
        customer: CustomerRef::Id(customer),
        return_url: None,
    };
    let key = &world.key();
    let once = payment::start_setup(app, actor, start(), key).await.unwrap();
    let again = payment::start_setup(app, actor, start(), key).await.unwrap();
    assert_eq!((once.value, again.replay), (again.value, true));
}

async fn a_frozen_customer_keeps_its_claim(world: World) {
    let customer = buyer(&world, Card::Success).await;
    let id = buy(&world, customer, "10 USD").await;
    let freeze = |at: &str| {
        format!(
            "UPDATE account SET frozen_at = {at} WHERE customer_id = {}",
            world.literal(customer.0)
        )
    };
    world.sabotage(&freeze("1")).await;
    world.run_jobs().await;
    assert!(state(&world, id).await.is_open());
    assert_eq!(
        (charges(&world).await, world.stands(customer).await.0),
        (1, "0".to_owned())
    );
    let no = try_buy(&world, wish(customer, "10 USD")).await;
    assert_eq!(refusal(no).0, RejectionCode::CustomerFrozen);
    world.sabotage(&freeze("NULL")).await;
    world.advance(600);
    world.run_to_rest().await;
    assert_eq!(state(&world, id).await, State::Succeeded);
    assert_eq!(
        (charges(&world).await, world.stands(customer).await.0),
        (1, "10".to_owned())
    );
}

async fn a_turn_that_is_due_comes_before_the_credits(world: World) {
    let customer = buyer(&world, Card::Success).await;
    let plan = variant(Mode::Postpaid);
    let plan = app::catalog::CreateVariant {
        purchase: Some(PurchaseLimits {
            minimum: None,
            maximum: None,
        }),
        ..plan
    };
    let sold = world.sells(plan, vec![template("30")]).await;
    world.try_subscribe(agreement(customer, sold)).await.unwrap();
    let id = buy(&world, customer, "10 USD").await;
    // The cycle has turned meanwhile, and nobody has come round yet.
    world.advance(32 * 86_400);
    world.run_jobs().await;
    assert_eq!(state(&world, id).await, State::Succeeded);
    let kinds: Vec<String> = world
        .ledger(customer)
        .await
        .iter()
        .map(|line| format!("{} {}", entity::to_text(line.kind), line.credits))
        .collect();
    assert_eq!(kinds, ["GRANT 30", "EXPIRY -30", "GRANT 30", "GRANT 10"]);
}

async fn strangers_see_nothing(world: World) {
    let customer = buyer(&world, Card::Success).await;
    let id = buy(&world, customer, "10 USD").await;
    let method = payment::methods(&world.app, &world.actor, customer)
        .await
        .unwrap()[0]
        .id;
    let stranger = world.stranger().await;
    let (app, actor) = (&stranger.app, &stranger.actor);
    assert_eq!(payment::payment(app, actor, id).await.unwrap(), None);
    assert_eq!(payment::methods(app, actor, customer).await.unwrap(), []);
    let gone = (RejectionCode::NotFound, "paymentMethodId".to_owned());
    assert_eq!(refusal(payment::remove_method(app, actor, method).await), gone);
    let no = try_buy(&stranger, wish(customer, "10 USD")).await;
    assert_eq!(refusal(no), (RejectionCode::NotFound, "customerId".to_owned()));
    let rows = row::Entity::find().count(world.app.db().reader()).await.unwrap();
    assert_eq!(rows, 1);
    world.run_jobs().await;
}
