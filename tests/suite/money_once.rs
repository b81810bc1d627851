//! Money goes back once, whichever way: to the card, or to the customer's credit balance. And what a provider knows is found, whatever was
//! heard of it.

use app::{
    Limits,
    customer::CustomerRef,
    invoice::{self, CreateCreditNote, PayInvoice, PayWith},
    job,
    payment::{self, Bank, RefundPayment, StartSetup, UpdateSetting},
    recharge::{self, UpdateRecharge},
    subscription::Wish,
};
use domain::{
    id::{CustomerId, InvoiceId, PaymentId},
    invoice::{credit_note::Reason, terms::BillingTerms},
    payment::{
        Checkout, State, Way,
        method::Kind,
        returned::{Return, State as ReturnState},
        sale::Sale,
    },
    plan::variant::Mode,
    recharge::{
        Reason as RechargeReason, State as RechargeState,
        rule::{Rule, Size},
    },
    rejection::RejectionCode,
    time::Timestamp,
};
use entity::sandbox_charge;
use gateway::payment::{Providers, sandbox::Card};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use crate::{
    harness::{
        World,
        billing::{self, all, bills, terms},
        credits,
        paying::{self, card, charges, money, read, sale, sells, sells_as, wish},
        per_unit,
        plans::variant,
        refusal,
    },
    provider::scripted::{Fate, KEY, Script, Scripted},
};

on_both!(
    what_is_on_its_way_to_the_card_does_not_go_to_the_balance,
    refunds_leave_what_credit_notes_have_given,
    what_was_paid_for_nothing_is_in_the_balance_only,
    a_renewal_that_renewed_nothing_goes_back_once,
    what_goes_back_of_a_renewal_is_not_left_to_the_balance,
    what_a_receipt_has_left_does_not_go_to_the_card,
    what_went_back_before_the_payment_was_known_of_is_seen,
    what_has_waited_is_looked_for_before_it_is_sent,
    nothing_that_has_waited_is_sent_without_an_answer,
    silence_compares_nothing,
    safe_mode_holds_what_this_process_does_not_know,
    what_cannot_be_told_at_once_is_told_in_parts,
    credits_given_again_last_as_long_as_those_that_were_taken,
    a_charge_under_way_does_not_keep_an_auto_recharge_on,
    a_refund_that_fails_after_all_can_be_made_again,
    a_notice_that_comes_meanwhile_is_not_lost,
);

const DAY: i64 = 86_400;

async fn bought(world: &World, customer: CustomerId, amount: &str) -> PaymentId {
    let done = payment::purchase(&world.app, &world.actor, wish(customer, amount), &world.key()).await;
    let id = done.unwrap().value.id;
    world.run_to_rest().await;
    assert_eq!(read(world, id).await.progress.state, State::Succeeded);
    id
}

async fn try_refund(world: &World, id: PaymentId, amount: &str) -> app::Result<Return> {
    let input = RefundPayment {
        payment: id,
        amount: Some(money(amount)),
        reason: None,
    };
    let done = payment::refund(&world.app, &world.actor, input, &world.key()).await;
    done.map(|done| done.value)
}

/// The refusal of a refund.
async fn no_refund(world: &World, id: PaymentId, amount: &str) {
    let (code, field) = refusal(try_refund(world, id, amount).await);
    // What is not left of the payment, or of its invoice.
    let codes = [RejectionCode::InvalidInput, RejectionCode::InvoiceState];
    assert!(codes.contains(&code) && field == "amount", "{code:?} {field}");
}

async fn try_note(world: &World, invoice: InvoiceId, total: Option<&str>) -> app::Result<String> {
    let input = CreateCreditNote {
        invoice,
        total: total.map(money),
        reason: Reason::Goodwill,
    };
    let done = invoice::credit_note(&world.app, &world.actor, input, &world.key()).await;
    done.map(|done| done.value.note.total.to_string())
}

/// The refusal of a credit note.
async fn no_note(world: &World, invoice: InvoiceId, total: Option<&str>) {
    let no = refusal(try_note(world, invoice, total).await);
    assert_eq!(no, (RejectionCode::InvalidInput, "amount".to_owned()));
}

async fn balance(world: &World, customer: CustomerId) -> Vec<String> {
    let found = invoice::money_balances(&world.app, &world.actor, customer).await;
    found.unwrap().iter().map(ToString::to_string).collect()
}

async fn sweep(world: &World) {
    job::sweep(&world.app).await.unwrap();
    world.run_to_rest().await;
}

async fn sql(world: &World, text: &str) {
    world.app.db().writer().execute_unprepared(text).await.unwrap();
}

/// Has a payment looked at, as a notice would.
async fn hasten(world: &World, id: PaymentId) {
    let id = world.literal(id.0);
    sql(world, &format!("UPDATE payment SET due_at = 0 WHERE id = {id}")).await;
    sweep(world).await;
}

async fn try_pay(world: &World, invoice: InvoiceId, way: Way<Option<domain::id::PaymentMethodId>>) {
    let input = PayInvoice {
        invoice,
        with: PayWith::Way(way),
    };
    let done = invoice::pay(&world.app, &world.actor, input, &world.key()).await;
    done.unwrap();
}

/// An open invoice over ten dollars of somebody with a card.
async fn open_invoice(world: &World, kind: Card) -> (CustomerId, InvoiceId) {
    sells(world).await;
    let by_hand = BillingTerms {
        collects: false,
        ..terms()
    };
    bills(world, by_hand).await;
    let customer = world.customer("owner").await;
    card(world, customer, Card::Success).await;
    bought(world, customer, "10 USD").await;
    let receipt = all(world, customer).await.remove(0);
    card(world, customer, kind).await;
    (customer, billing::like(world, &receipt, true).await)
}

async fn paid_with(world: &World, invoice: InvoiceId) -> PaymentId {
    let found = payment::of_invoice(&world.app, &world.actor, invoice).await;
    found.unwrap().last().unwrap().id
}

/// The same, paid.
async fn paid_invoice(world: &World) -> (CustomerId, InvoiceId, PaymentId) {
    let (customer, invoice) = open_invoice(world, Card::Success).await;
    use_latest_card(world, customer).await;
    try_pay(world, invoice, Way::Saved(None)).await;
    world.run_to_rest().await;
    let payment = paid_with(world, invoice).await;
    assert_eq!(read(world, payment).await.progress.state, State::Succeeded);
    (customer, invoice, payment)
}

/// Pays with the card that was left last from now on.
async fn use_latest_card(world: &World, customer: CustomerId) {
    let mut methods = payment::methods(&world.app, &world.actor, customer)
        .await
        .unwrap();
    methods.sort_by_key(|it| it.id);
    let latest = methods.last().unwrap().id;
    payment::set_default_method(&world.app, &world.actor, latest)
        .await
        .unwrap();
}

async fn what_is_on_its_way_to_the_card_does_not_go_to_the_balance(world: World) {
    let (customer, invoice, paid) = paid_invoice(&world).await;
    try_refund(&world, paid, "6 USD").await.unwrap();
    // Decided, and not made yet.
    no_note(&world, invoice, Some("10 USD")).await;
    no_note(&world, invoice, Some("4.01 USD")).await;
    assert_eq!(try_note(&world, invoice, None).await.unwrap(), "4.00 USD");
    no_note(&world, invoice, None).await;
    world.run_to_rest().await;
    assert_eq!(balance(&world, customer).await, ["4.00 USD"]);
    let notes = invoice::credit_notes(&world.app, &world.actor, invoice).await;
    assert_eq!(notes.unwrap().len(), 2, "the refund has its own");
    no_note(&world, invoice, None).await;
    no_refund(&world, paid, "0.01 USD").await;
}

async fn refunds_leave_what_credit_notes_have_given(world: World) {
    let (customer, invoice, paid) = paid_invoice(&world).await;
    try_note(&world, invoice, Some("6 USD")).await.unwrap();
    try_refund(&world, paid, "4 USD").await.unwrap();
    no_refund(&world, paid, "4 USD").await;
    world.run_to_rest().await;
    no_refund(&world, paid, "0.01 USD").await;
    assert_eq!(balance(&world, customer).await, ["6.00 USD"]);
}

/// A charge that counted as failed took the money after all, when the invoice was void already.
async fn what_was_paid_for_nothing_is_in_the_balance_only(world: World) {
    let (customer, invoice) = open_invoice(&world, Card::InsufficientFunds).await;
    use_latest_card(&world, customer).await;
    try_pay(&world, invoice, Way::Saved(None)).await;
    world.run_to_rest().await;
    let paid = paid_with(&world, invoice).await;
    assert_eq!(read(&world, paid).await.progress.state, State::Failed);
    invoice::void(&world.app, &world.actor, invoice).await.unwrap();
    let id = world.literal(paid.0);
    sql(
        &world,
        &format!("UPDATE sandbox_charge SET card = 'SUCCESS' WHERE payment_id = {id}"),
    )
    .await;
    hasten(&world, paid).await;
    assert_eq!(read(&world, paid).await.progress.state, State::Succeeded);
    assert_eq!(balance(&world, customer).await, ["10.00 USD"]);
    no_refund(&world, paid, "10 USD").await;
}

/// The invoice of a renewal for twenty dollars, which is paid on a page; before it has renewed anything, the subscription is cancelled.
async fn paid_in_vain(world: &World) -> (CustomerId, InvoiceId, PaymentId) {
    sells(world).await;
    let by_hand = BillingTerms {
        collects: false,
        ..terms()
    };
    bills(world, by_hand).await;
    let mut plan = variant(Mode::Prepaid);
    plan.fee = Some(money("20 USD"));
    plan.renewal_due_days = 5;
    let plan = world.sells(plan, Vec::new()).await;
    let customer = world.customer("acme").await;
    let id = world.subscribe_paid(customer, plan).await;
    world.until("2026-04-06").await;
    let invoice = all(world, customer).await[0].invoice.id;
    let page = Checkout {
        kinds: vec![Kind::Card],
        return_url: None,
    };
    try_pay(world, invoice, Way::Page(page)).await;
    let paid = paid_with(world, invoice).await;
    let done = payment::complete_checkout(&world.app, &world.actor, paid, Card::Success).await;
    assert_eq!(done.unwrap().progress.state, State::Succeeded);
    world.wish(id, Wish::Cancel { at_end: false }).await.unwrap();
    (customer, invoice, paid)
}

async fn a_renewal_that_renewed_nothing_goes_back_once(world: World) {
    let (customer, invoice, paid) = paid_in_vain(&world).await;
    sweep(&world).await;
    assert_eq!(balance(&world, customer).await, ["20.00 USD"]);
    no_refund(&world, paid, "1 USD").await;
    // A credit note puts the taxes right, and gives nothing that was given already.
    assert_eq!(
        try_note(&world, invoice, Some("5 USD")).await.unwrap(),
        "5.00 USD"
    );
    assert_eq!(try_note(&world, invoice, None).await.unwrap(), "15.00 USD");
    assert_eq!(balance(&world, customer).await, ["20.00 USD"]);
    no_refund(&world, paid, "1 USD").await;
}

async fn what_goes_back_of_a_renewal_is_not_left_to_the_balance(world: World) {
    let (customer, _, paid) = paid_in_vain(&world).await;
    try_refund(&world, paid, "12 USD").await.unwrap();
    // The invoice before the provider.
    job::run(&world.app, World::invoice_job(customer)).await;
    assert_eq!(balance(&world, customer).await, ["8.00 USD"]);
    sweep(&world).await;
    assert_eq!(balance(&world, customer).await, ["8.00 USD"]);
    no_refund(&world, paid, "0.01 USD").await;
}

async fn what_a_receipt_has_left_does_not_go_to_the_card(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let customer = world.customer("owner").await;
    card(&world, customer, Card::Success).await;
    let paid = bought(&world, customer, "10 USD").await;
    let receipt = all(&world, customer).await[0].invoice.id;
    try_note(&world, receipt, Some("3 USD")).await.unwrap();
    no_refund(&world, paid, "7.01 USD").await;
    try_refund(&world, paid, "7 USD").await.unwrap();
    no_note(&world, receipt, None).await;
    world.run_to_rest().await;
    assert_eq!(balance(&world, customer).await, ["3.00 USD"]);
}

/// Nobody answered the charge, and the bank was quicker than we.
async fn what_went_back_before_the_payment_was_known_of_is_seen(world: World) {
    sells(&world).await;
    let customer = world.customer("owner").await;
    card(&world, customer, Card::TimeoutCharged).await;
    let done = payment::purchase(&world.app, &world.actor, wish(customer, "10 USD"), &world.key()).await;
    let id = done.unwrap().value.id;
    world.run_jobs().await;
    assert_eq!(read(&world, id).await.progress.state, State::Unknown);
    let disputed = entity::sandbox_return::ActiveModel {
        reference: Set("sbx_early".to_owned()),
        payment_id: Set(id.0),
        return_id: Set(None),
        kind: Set("DISPUTE".to_owned()),
        amount: Set(1_000),
        currency: Set("USD".to_owned()),
        state: Set("CONTESTED".to_owned()),
    };
    entity::sandbox_return::Entity::insert(disputed)
        .exec_without_returning(world.app.db().writer())
        .await
        .unwrap();
    // The only notice comes while nobody knows that the money was taken.
    hasten(&world, id).await;
    assert_eq!(read(&world, id).await.progress.state, State::Succeeded);
    let returns = payment::returns(&world.app, &world.actor, &[id]).await.unwrap();
    let states: Vec<ReturnState> = returns.iter().map(|it| it.state).collect();
    assert_eq!(states, [ReturnState::Contested]);
    assert_eq!(world.stands(customer).await.0, "0");
}

/// The backup was made before a payment was sent, and the provider has forgotten the key since.
async fn what_has_waited_is_looked_for_before_it_is_sent(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    sells(&world).await;
    let customer = world.customer("owner").await;
    card(&world, customer, Card::Success).await;
    world.post.loses.store(true, SeqCst);
    let decided = payment::purchase(&world.app, &world.actor, wish(customer, "5 USD"), &world.key()).await;
    let id = decided.unwrap().value.id;
    world.post.loses.store(false, SeqCst);
    let charged = sandbox_charge::ActiveModel {
        key: Set("a key that was forgotten".to_owned()),
        reference: Set("sbx_charged".to_owned()),
        payment_id: Set(id.0),
        card: Set(Some("SUCCESS".to_owned())),
        on_page: Set(0),
        amount: Set(500),
        currency: Set("USD".to_owned()),
        asked_at: Set(world.now().micros()),
        asked: Set(1),
        confirmed: Set(0),
    };
    sandbox_charge::Entity::insert(charged)
        .exec_without_returning(world.app.db().writer())
        .await
        .unwrap();
    world.advance(46);
    sweep(&world).await;
    assert_eq!(read(&world, id).await.progress.state, State::Succeeded);
    assert_eq!(charges(&world).await, 1, "nothing was charged again");
    assert_eq!(world.stands(customer).await.0, "5");
}

/// A vendor with a provider that behaves as a script says, and somebody with a card there.
async fn scripted(world: &World) -> (World, Scripted, CustomerId) {
    let provider = Scripted::new(world.clock.clone());
    let limits = Limits {
        providers: Providers::default().with(KEY, provider.clone()),
        ..Limits::default()
    };
    let there = world.with_limits(limits).await;
    let input = UpdateSetting {
        provider: KEY.to_owned(),
        sale: sale("1 USD", "1 USD", "5000 USD"),
    };
    payment::update_setting(&there.app, &there.actor, input)
        .await
        .unwrap();
    let customer = there.customer("owner").await;
    let who = StartSetup {
        customer: CustomerRef::Id(customer),
        return_url: None,
    };
    let page = payment::start_setup(&there.app, &there.actor, who, &there.key()).await;
    let setup = payment::setup(&there.app, &there.actor, page.unwrap().value.id).await;
    assert!(setup.unwrap().unwrap().method.is_some());
    (there, provider, customer)
}

async fn nothing_that_has_waited_is_sent_without_an_answer(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    let (there, provider, customer) = scripted(&world).await;
    let script = Script {
        fate: Fate::Succeeds,
        lost_requests: 0,
        lost_replies: 0,
        silences: 2,
    };
    provider.plan(700, script);
    world.post.loses.store(true, SeqCst);
    let decided = payment::purchase(&there.app, &there.actor, wish(customer, "7 USD"), &there.key()).await;
    let id = decided.unwrap().value.id;
    world.post.loses.store(false, SeqCst);
    for seconds in [3_600, 60] {
        world.advance(seconds);
        job::sweep(&there.app).await.unwrap();
        there.run_jobs().await;
        assert_eq!(
            provider.keys(),
            Vec::<String>::new(),
            "nobody has said that it is not there"
        );
        assert_eq!(read(&there, id).await.progress.state, State::Created);
    }
    world.advance(120);
    job::sweep(&there.app).await.unwrap();
    there.run_jobs().await;
    let it = read(&there, id).await.progress;
    assert_eq!((it.state, provider.keys().len()), (State::Succeeded, 1));
    assert_eq!(it.submitted_at, Some(world.now()));
}

async fn silence_compares_nothing(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    let (there, provider, customer) = scripted(&world).await;
    let script = Script {
        fate: Fate::Succeeds,
        lost_requests: 0,
        lost_replies: 0,
        silences: 1,
    };
    provider.plan(700, script);
    world.post.loses.store(true, SeqCst);
    let decided = payment::purchase(&there.app, &there.actor, wish(customer, "7 USD"), &there.key()).await;
    let id = decided.unwrap().value.id;
    world.post.loses.store(false, SeqCst);
    payment::begin_safe_mode(&there.app, there.now()).await.unwrap();
    for is_compared in [false, true] {
        job::sweep(&there.app).await.unwrap();
        there.run_jobs().await;
        let modes = payment::safe_mode(&there.app).await.unwrap();
        let mode = modes.iter().find(|mode| mode.provider == KEY).unwrap();
        assert_eq!(mode.is_compared, is_compared);
        world.advance(61);
    }
    assert_eq!(read(&there, id).await.progress.state, State::Created);
    assert_eq!(provider.keys(), Vec::<String>::new());
}

/// `tallygate safe-mode begin` is typed where the keys of providers are not set up.
async fn safe_mode_holds_what_this_process_does_not_know(world: World) {
    let (there, provider, customer) = scripted(&world).await;
    let script = Script {
        fate: Fate::Succeeds,
        lost_requests: 0,
        lost_replies: 0,
        silences: 0,
    };
    provider.plan(700, script);
    payment::begin_safe_mode(&world.app, world.now()).await.unwrap();
    let modes = payment::safe_mode(&world.app).await.unwrap();
    let mut keys: Vec<String> = modes.into_iter().map(|mode| mode.provider).collect();
    keys.sort();
    assert_eq!(keys, ["sandbox", KEY]);
    let decided = payment::purchase(&there.app, &there.actor, wish(customer, "7 USD"), &there.key()).await;
    let id = decided.unwrap().value.id;
    there.run_to_rest().await;
    assert_eq!(read(&there, id).await.progress.state, State::Created);
    assert_eq!(provider.keys(), Vec::<String>::new());
}

/// Less is told at once than is asked for a second time where two questions meet.
async fn what_cannot_be_told_at_once_is_told_in_parts(world: World) {
    let (there, provider, _) = scripted(&world).await;
    provider.tell_at_once(1_200);
    let since = there.now().plus_seconds(-7_200);
    payment::begin_safe_mode(&there.app, since).await.unwrap();
    let mut asked = 0;
    loop {
        job::sweep(&there.app).await.unwrap();
        there.run_jobs().await;
        asked += 1;
        let modes = payment::safe_mode(&there.app).await.unwrap();
        let mode = modes.iter().find(|mode| mode.provider == KEY).unwrap();
        if mode.is_compared {
            break;
        }
        assert!(asked < 20, "it does not come to an end");
        world.advance(61);
    }
    assert_eq!(asked, 8, "two hours and a half, in parts of twenty minutes");
}

async fn bank(world: &World, id: PaymentId, does: Bank) {
    let done = payment::dispute_payment(&world.app, &world.actor, id, does).await;
    done.unwrap();
    world.run_to_rest().await;
}

/// After how many days since the beginning the credits expire that a customer has.
async fn lasts(world: &World, customer: CustomerId, beginning: Timestamp) -> Vec<i64> {
    let page = app::page::Page::first(100);
    let found = app::credit::blocks(&world.app, &world.actor, customer, page).await;
    let blocks = found.unwrap().items.into_iter().map(|it| it.block);
    let open = blocks.filter(|it| it.is_open_at(world.now()) && it.remaining.is_positive());
    // Jobs take minutes to come to rest.
    open.map(|it| it.expires_at.unwrap().seconds_since(beginning) / DAY)
        .collect()
}

async fn credits_given_again_last_as_long_as_those_that_were_taken(world: World) {
    let brief = Sale {
        lasts_seconds: Some(10 * DAY),
        ..sale("1 USD", "5 USD", "5000 USD")
    };
    sells_as(&world, brief).await;
    world.priced("call", per_unit("1")).await;
    let beginning = world.now();
    let made = async |name: &str| {
        let customer = world.customer(name).await;
        card(&world, customer, Card::Success).await;
        (customer, bought(&world, customer, "10 USD").await)
    };
    let (alone, alone_paid) = made("alone").await;
    let (other, other_paid) = made("other").await;
    let (owing, owing_paid) = made("owing").await;
    for customer in [other, owing] {
        world.consume(customer, "call", "10").await;
    }
    world.run_to_rest().await;
    // Of the block that was bought, of which seven days were left.
    world.advance(3 * DAY);
    bank(&world, alone_paid, Bank::Disputes).await;
    world.advance(2 * DAY);
    bank(&world, alone_paid, Bank::Dismisses).await;
    assert_eq!(lasts(&world, alone, beginning).await, [12]);
    // Of a later block, of which six days were left: what was bought with the money had been used, and its life is over.
    world.advance(3 * DAY);
    bought(&world, other, "10 USD").await;
    world.advance(4 * DAY);
    bank(&world, other_paid, Bank::Disputes).await;
    assert_eq!(lasts(&world, other, beginning).await, Vec::<i64>::new());
    world.advance(8 * DAY);
    bank(&world, other_paid, Bank::Dismisses).await;
    assert_eq!(lasts(&world, other, beginning).await, [26]);
    // Of nothing: it was owed, and has been paid for since. It lasts as what is bought now.
    bank(&world, owing_paid, Bank::Disputes).await;
    assert_eq!(world.stands(owing).await.1, "10");
    bought(&world, owing, "10 USD").await;
    assert_eq!(world.stands(owing).await, ("0".to_owned(), "0".to_owned()));
    bank(&world, owing_paid, Bank::Dismisses).await;
    assert_eq!(lasts(&world, owing, beginning).await, [30]);
}

async fn a_charge_under_way_does_not_keep_an_auto_recharge_on(world: World) {
    sells(&world).await;
    world.priced("call", per_unit("1")).await;
    let customer = world.customer("owner").await;
    card(&world, customer, Card::Success).await;
    let paid = bought(&world, customer, "20 USD").await;
    card(&world, customer, Card::AuthenticationRequired).await;
    use_latest_card(&world, customer).await;
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
    world.consume(customer, "call", "15").await;
    world.run_to_rest().await;
    let stands = async || {
        let it = recharge::recharge(&world.app, &world.actor, customer).await;
        let it = it.unwrap().unwrap();
        (it.state, it.reason, it.payment)
    };
    let (state, _, under_way) = stands().await;
    assert_eq!(state, RechargeState::Paused);
    let under_way = under_way.unwrap();
    try_refund(&world, paid, "5 USD").await.unwrap();
    let off = (RechargeState::Disabled, Some(RechargeReason::MoneyWentBack));
    assert_eq!(stands().await, (off.0, off.1, Some(under_way)));
    world.run_to_rest().await;
    // The charge goes on, and its credits are granted; nothing is charged after it.
    payment::confirm_payment(&world.app, &world.actor, under_way)
        .await
        .unwrap();
    assert_eq!(stands().await, (off.0, off.1, None));
    world.consume(customer, "call", "20").await;
    world.advance(61);
    sweep(&world).await;
    assert_eq!(charges(&world).await, 2);
    let told = paying::told(&world, customer, "auto_recharge.").await;
    assert_eq!(told, ["auto_recharge.paused", "auto_recharge.disabled"]);
}

/// The money has come back to the vendor: its credit note stands, and covers the next refund.
async fn a_refund_that_fails_after_all_can_be_made_again(world: World) {
    let (customer, invoice, paid) = paid_invoice(&world).await;
    let first = try_refund(&world, paid, "10 USD").await.unwrap();
    world.run_to_rest().await;
    let states = async || -> Vec<ReturnState> {
        let all = payment::returns(&world.app, &world.actor, &[paid]).await.unwrap();
        all.iter().map(|it| it.state).collect()
    };
    assert_eq!(states().await, [ReturnState::Returned]);
    let id = world.literal(first.id.0);
    sql(
        &world,
        &format!("UPDATE sandbox_return SET state = 'UNDONE' WHERE return_id = {id}"),
    )
    .await;
    hasten(&world, paid).await;
    assert_eq!(states().await, [ReturnState::Undone]);
    let told = paying::told(&world, customer, "payment.refund").await;
    assert_eq!(told, ["payment.refunded", "payment.refund_failed"]);
    // The note that stands says already what another would.
    no_note(&world, invoice, None).await;
    try_refund(&world, paid, "10 USD").await.unwrap();
    no_refund(&world, paid, "0.01 USD").await;
    world.run_to_rest().await;
    assert_eq!(states().await, [ReturnState::Undone, ReturnState::Returned]);
    let notes = invoice::credit_notes(&world.app, &world.actor, invoice).await;
    assert_eq!(notes.unwrap().len(), 1);
    assert_eq!(balance(&world, customer).await, Vec::<String>::new());
    no_note(&world, invoice, None).await;
}

/// Looks at a payment while a notice about it is being followed up. Answers when it is due then, and when the notice wants it to be.
async fn told_meanwhile(world: &World, id: PaymentId, bank: Option<Bank>) -> [Option<i64>; 2] {
    let due = world.now().plus_seconds(7).micros();
    let name = world.literal(id.0);
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let notice = world.app.db().writer().begin_with_options(options);
    let notice = notice.await.unwrap();
    let told = format!("UPDATE payment SET due_at = {due} WHERE id = {name}");
    notice.execute_unprepared(&told).await.unwrap();
    let there = world.clone();
    let looking = tokio::spawn(async move {
        let (app, actor) = (&there.app, &there.actor);
        match bank {
            None => payment::confirm_payment(app, actor, id).await,
            Some(bank) => payment::dispute_payment(app, actor, id, bank).await,
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    notice.commit().await.unwrap();
    assert_eq!(looking.await.unwrap().unwrap().progress.state, State::Succeeded);
    let found = read(world, id).await.progress.due_at;
    [found.map(Timestamp::micros), Some(due)]
}

async fn a_notice_that_comes_meanwhile_is_not_lost(world: World) {
    sells(&world).await;
    let customer = world.customer("owner").await;
    card(&world, customer, Card::AuthenticationRequired).await;
    let done = payment::purchase(&world.app, &world.actor, wish(customer, "10 USD"), &world.key()).await;
    let id = done.unwrap().value.id;
    world.run_to_rest().await;
    for bank in [None, Some(Bank::Decides)] {
        let [found, wanted] = told_meanwhile(&world, id, bank).await;
        assert_eq!(found, wanted, "{bank:?}");
        world.advance(10);
        sweep(&world).await;
        assert_eq!(read(&world, id).await.progress.due_at, None);
    }
}
