//! Invoices: what a cycle costs is asked for once, collected once, and put right by hand.

use app::{
    customer::{self, CreateCustomer, CustomerRef, InvoiceAddress},
    invoice::{self, AddRegistration, CreateCreditNote, Filed, PayInvoice, PayWith},
    job,
    payment::{self, Purchase},
    subscription::{CreateSubscription, Wish},
    test_clock::{self, AdvanceTestClock, CreateTestClock},
};
use domain::{
    credit::block::Billing,
    customer::Settlement,
    id::{CustomerId, InvoiceId, SubscriptionId, VariantId},
    invoice::{Kind, credit_note::Reason, number::Prefix, state::State, terms::BillingTerms},
    payment::{Purpose, State as PaymentState, Way},
    plan::{
        money_price::{CreditPrice, MoneyPrice},
        variant::Mode,
    },
    rejection::RejectionCode,
    tax::{number::Kind as TaxKind, rate::TaxRate, registration::Verdict},
};
use gateway::payment::sandbox::Card;
use serde_json::json;

use crate::harness::{
    World, at,
    billing::{all, bills, mwst, terms},
    graduated, p4,
    paying::{self, card, charges, money, sells, wish},
    per_unit,
    plans::{agreement, template, variant},
    refusal,
};

on_both!(
    the_invoice_of_source_p4,
    an_itemised_invoice_line_by_line,
    prepaid_credits_first_and_the_excess_billed_once,
    numbers_have_no_gaps_however_many_issue_at_once,
    an_invoice_is_charged_once_whoever_works,
    what_the_card_does_decides_what_comes_next,
    drafts_wait_and_old_cycles_are_not_billed,
    invoices_are_paid_taken_back_and_given_up_by_hand,
    credit_notes_leave_money_that_pays_the_next_invoice,
    drafts_share_one_balance,
    purchases_get_receipts_with_tax,
    taxes_follow_where_the_buyer_is,
    tax_numbers_are_checked,
    a_change_of_plan_is_billed_by_the_second,
    a_renewal_is_charged_and_renews,
    a_renewal_that_is_not_paid_ends_as_it_must,
    a_renewal_follows_the_subscription,
    a_charge_that_somebody_has_to_look_at_is_the_last,
    what_was_before_billing_is_not_billed,
    a_test_clock_bills_a_year,
    strangers_see_nothing,
);

async fn read(world: &World, id: InvoiceId) -> Filed {
    invoice::invoice(&world.app, &world.actor, id)
        .await
        .unwrap()
        .unwrap()
}

async fn due(world: &World, customer: CustomerId) -> Vec<Filed> {
    let page = app::page::Page::first(100);
    let found = invoice::payments_due(&world.app, &world.actor, customer, page).await;
    found.unwrap().items
}

async fn balance(world: &World, customer: CustomerId) -> Vec<String> {
    let found = invoice::money_balances(&world.app, &world.actor, customer).await;
    found.unwrap().iter().map(ToString::to_string).collect()
}

/// What was told about invoices, oldest first.
async fn told(world: &World, customer: CustomerId) -> Vec<String> {
    let told = paying::told(world, customer, "invoice.").await;
    told.iter()
        .map(|kind| kind["invoice.".len()..].to_owned())
        .collect()
}

fn dollars(per_credit: &str) -> CreditPrice {
    CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: per_credit.parse().unwrap(),
    }
}

/// Somebody with a postpaid plan of $20 a month and a budget of 1,000 credits at a cent each.
async fn subscriber(world: &World, name: &str) -> (CustomerId, SubscriptionId) {
    let customer = world.customer_settling(name, Settlement::NextInvoice).await;
    let subscription = world.subscribe(customer, monthly(world).await).await;
    (customer, subscription)
}

async fn monthly(world: &World) -> VariantId {
    let mut monthly = variant(Mode::Postpaid);
    monthly.fee = Some(money("20 USD"));
    monthly.credit_price = Some(dollars("0.01"));
    let mut budget = template("1000");
    budget.billing = Some(Billing::Budget);
    budget.priority = 10;
    world.sells(monthly, vec![budget]).await
}

async fn the_invoice_of_source_p4(world: World) {
    bills(&world, terms()).await;
    world.priced("api_call", p4()).await;
    let mut plan = variant(Mode::Postpaid);
    // Its tiers in money are not those in credits.
    plan.money_prices = vec![(
        "api_call".to_owned(),
        MoneyPrice {
            currency: "USD".parse().unwrap(),
            price: graduated(&[("10000", "0.01"), ("100000", "0.005"), ("", "0.001")]),
        },
    )];
    let mut budget = template("100000");
    budget.billing = Some(Billing::Budget);
    let plan = world.sells(plan, vec![budget]).await;
    let customer = world.customer("api").await;
    world.subscribe(customer, plan).await;
    world.consume(customer, "api_call", "80000").await;
    world.consume(customer, "api_call", "5000").await;
    world.until("2026-04-11").await;
    let filed = &all(&world, customer).await[0];
    let it = &filed.invoice;
    assert_eq!(
        (it.kind, it.state, it.number.as_deref()),
        (Kind::Cycle, State::Open, Some("INV-000001"))
    );
    assert_eq!(it.totals.due, money("475.00 USD"));
    assert_eq!(it.lines.len(), 1);
    let domain::invoice::line::Detail::Usage(usage) = &it.lines[0].detail else {
        panic!("no usage");
    };
    let parts: Vec<i64> = usage.parts.iter().map(|part| part.amount.minor).collect();
    assert_eq!(
        (usage.units.to_string().as_str(), parts),
        ("85000", vec![10_000, 37_500])
    );
    assert_eq!(told(&world, customer).await, ["finalized"]);
    world.until("2026-05-11").await;
    // A cycle without usage and without a fee has no invoice.
    assert_eq!(all(&world, customer).await.len(), 1);
}

/// Source P0: seconds of two services, each with its unit price, and the total, charged to the card.
async fn an_itemised_invoice_line_by_line(world: World) {
    sells(&world).await;
    bills(
        &world,
        BillingTerms {
            rates: vec![mwst()],
            ..terms()
        },
    )
    .await;
    world.priced("stt", per_unit("1")).await;
    world.priced("pronunciation", per_unit("2")).await;
    let price = |per_unit_price: &str| MoneyPrice {
        currency: "USD".parse().unwrap(),
        price: per_unit(per_unit_price),
    };
    let mut plan = variant(Mode::Postpaid);
    plan.money_prices = vec![
        ("stt".to_owned(), price("0.0004")),
        ("pronunciation".to_owned(), price("0.001")),
    ];
    let mut budget = template("100000");
    budget.billing = Some(Billing::Budget);
    let plan = world.sells(plan, vec![budget]).await;
    let customer = world.customer("enterprise").await;
    card(&world, customer, Card::Success).await;
    world.subscribe(customer, plan).await;
    world.consume(customer, "stt", "12345.5").await;
    world.consume(customer, "pronunciation", "678").await;
    world.until("2026-04-11").await;
    let it = all(&world, customer).await[0].invoice.clone();
    let mut lines: Vec<(String, i64)> = it
        .lines
        .iter()
        .map(|line| (line.description.clone(), line.amount.minor))
        .collect();
    lines.sort();
    // 12,345.5 s × $0.0004 = $4.9382, and 678 s × $0.001 = $0.678.
    assert_eq!(lines, [("pronunciation".to_owned(), 68), ("stt".to_owned(), 494)]);
    let totals = it.totals;
    assert_eq!(
        (totals.subtotal, totals.tax, totals.total),
        (money("5.62 USD"), money("1.07 USD"), money("6.69 USD"))
    );
    assert_eq!((it.state, it.buyer.name.as_str()), (State::Paid, "enterprise"));
    let page = app::page::Page::first(10);
    let paid = payment::payments(&world.app, &world.actor, customer, page)
        .await
        .unwrap()
        .items;
    assert_eq!(
        (paid.len(), paid[0].purpose, paid[0].amount),
        (1, Purpose::Invoice, money("6.69 USD"))
    );
    assert_eq!(
        (paid[0].invoice, paid[0].progress.state),
        (Some(it.id), PaymentState::Succeeded)
    );
    assert_eq!(told(&world, customer).await, ["finalized", "paid"]);
}

/// Sources P1 and P2.
async fn prepaid_credits_first_and_the_excess_billed_once(world: World) {
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    world.priced("call", per_unit("1")).await;
    let mut plan = variant(Mode::Postpaid);
    plan.credit_price = Some(dollars("0.01"));
    let plan = world.sells(plan, Vec::new()).await;
    let customer = world.customer_settling("acme", Settlement::NextInvoice).await;
    world.subscribe(customer, plan).await;
    world.give(customer, "1000").await;
    world.consume(customer, "call", "1500").await;
    world.run_jobs().await;
    assert_eq!(
        world.stands(customer).await,
        ("-500".to_owned(), "500".to_owned())
    );
    world.until("2026-04-11").await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    let line = &filed[0].invoice.lines[0];
    assert_eq!(line.amount, money("5 USD"));
    let domain::invoice::line::Detail::Usage(usage) = &line.detail else {
        panic!("no usage");
    };
    assert_eq!((usage.full, usage.covered), (money("15 USD"), money("10 USD")));
    // One entry settles it, and the next cycle begins at nothing.
    assert_eq!(world.stands(customer).await, ("0".to_owned(), "0".to_owned()));
    let ledger = world.ledger(customer).await;
    let settled: Vec<_> = ledger
        .iter()
        .filter(|line| entity::to_text(line.kind) == "SETTLEMENT")
        .map(|line| line.credits.to_string())
        .collect();
    assert_eq!(settled, ["500"]);
    world.consume(customer, "call", "40").await;
    world.until("2026-05-11").await;
    let filed = all(&world, customer).await;
    assert_eq!((filed.len(), filed[1].invoice.totals.due), (2, money("0.40 USD")));
    assert_eq!(world.stands(customer).await.1, "0");
    // Whoever pays with the next purchase is billed nothing, and owes the credits.
    let prepaid = world.customer("prepaid").await;
    let mut plan = variant(Mode::Postpaid);
    plan.credit_price = Some(dollars("0.01"));
    let plan = world.sells(plan, Vec::new()).await;
    world.subscribe(prepaid, plan).await;
    world.consume(prepaid, "call", "7").await;
    world.until("2026-06-12").await;
    assert_eq!(all(&world, prepaid).await[0].invoice.totals.due, money("0 USD"));
    assert_eq!(all(&world, prepaid).await[0].invoice.state, State::Paid);
    assert_eq!(world.stands(prepaid).await.1, "7");
}

async fn numbers_have_no_gaps_however_many_issue_at_once(world: World) {
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    let plan = monthly(&world).await;
    let mut customers = Vec::new();
    for number in 0..30 {
        let customer = world.customer(&format!("customer-{number}")).await;
        world.subscribe(customer, plan).await;
        customers.push(customer);
    }
    world.move_to(at("2026-04-11"));
    // Steps first, without anybody who bills.
    for _ in 0..40 {
        job::sweep(&world.app).await.unwrap();
        while let Some(payload) = world.post.take() {
            if payload["kind"] != "invoice.advance" {
                job::run(&world.app, payload).await;
            }
        }
    }
    let mut working = Vec::new();
    for turn in 0..4 {
        let worker = world.another().await;
        let mut mine = customers.clone();
        mine.rotate_left(turn * 7);
        working.push(tokio::spawn(async move {
            for customer in mine {
                let job = json!({ "kind": "invoice.advance", "args": customer.to_string() });
                job::run(&worker.app, job).await;
            }
        }));
    }
    for worker in working {
        worker.await.unwrap();
    }
    world.catch_up().await;
    let mut numbers = Vec::new();
    for customer in customers {
        let filed = all(&world, customer).await;
        assert_eq!(filed.len(), 1);
        numbers.push(filed[0].invoice.number.clone().unwrap());
    }
    numbers.sort();
    let wanted: Vec<String> = (1..=30).map(|n| format!("INV-{n:06}")).collect();
    assert_eq!(numbers, wanted);
}

async fn an_invoice_is_charged_once_whoever_works(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let (customer, _) = subscriber(&world, "acme").await;
    card(&world, customer, Card::TimeoutCharged).await;
    world.move_to(at("2026-04-11"));
    let workers = [world.another().await, world.another().await];
    for round in 0..12 {
        job::sweep(&world.app).await.unwrap();
        let mut running = Vec::new();
        while let Some(payload) = world.post.take() {
            // Everything twice, at the same time, by different processes; and sometimes not at all.
            for worker in &workers {
                let (worker, payload) = (worker.clone(), payload.clone());
                if round % 3 < 2 {
                    running.push(tokio::spawn(async move { job::run(&worker.app, payload).await }));
                }
            }
        }
        for run in running {
            run.await.unwrap();
        }
        world.advance(61);
    }
    world.run_to_rest().await;
    let filed = all(&world, customer).await;
    assert_eq!((filed.len(), filed[0].invoice.state), (1, State::Paid));
    assert_eq!(charges(&world).await, 1);
    let finalized = told(&world, customer).await;
    assert_eq!(finalized, ["finalized", "paid"]);
}

async fn what_the_card_does_decides_what_comes_next(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = monthly(&world).await;
    let made = async |name: &str, kind: Option<Card>| {
        let customer = world.customer(name).await;
        if let Some(kind) = kind {
            card(&world, customer, kind).await;
        }
        let mut input: CreateSubscription = agreement(customer, plan);
        input.external_id = Some(name.to_owned());
        let id = world.try_subscribe(input).await.unwrap().value.id;
        (customer, id)
    };
    let (soft, soft_sub) = made("soft", Some(Card::InsufficientFunds)).await;
    let (hard, hard_sub) = made("hard", Some(Card::Stolen)).await;
    let (none, none_sub) = made("none", None).await;
    world.until("2026-04-11").await;
    for id in [soft_sub, hard_sub, none_sub] {
        world.wish(id, Wish::Cancel { at_end: false }).await.unwrap();
    }
    world.run_to_rest().await;
    let first = async |customer| all(&world, customer).await[0].clone();
    let attempts = async |customer| {
        let id = first(customer).await.invoice.id;
        payment::of_invoice(&world.app, &world.actor, id)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(
        (attempts(soft).await, attempts(hard).await, attempts(none).await),
        (1, 1, 0)
    );
    for _ in 0..20 {
        world.advance(86_400);
        world.run_to_rest().await;
    }
    // After 1, 3, 5 and 7 days more; never again with a stolen card.
    assert_eq!(
        (attempts(soft).await, attempts(hard).await, attempts(none).await),
        (5, 1, 0)
    );
    for customer in [soft, hard, none] {
        assert_eq!(first(customer).await.invoice.state, State::PastDue);
        assert_eq!(
            due(&world, customer).await.len(),
            all(&world, customer).await.len()
        );
        assert!(told(&world, customer).await.contains(&"past_due".to_owned()));
    }
    // A card that works pays at once what is open.
    for customer in [soft, hard, none] {
        let good = card(&world, customer, Card::Success).await;
        payment::set_default_method(&world.app, &world.actor, good)
            .await
            .unwrap();
        world.run_to_rest().await;
        assert_eq!(due(&world, customer).await, []);
        assert_eq!(first(customer).await.invoice.state, State::Paid);
    }
}

async fn drafts_wait_and_old_cycles_are_not_billed(world: World) {
    let (customer, _) = subscriber(&world, "acme").await;
    world.until("2026-04-11").await;
    let wait = 3_600;
    bills(
        &world,
        BillingTerms {
            draft_seconds: wait,
            collects: false,
            ..terms()
        },
    )
    .await;
    world.catch_up().await;
    assert_eq!(all(&world, customer).await, [], "nobody billed when it closed");
    world.until("2026-05-11").await;
    let draft = all(&world, customer).await[0].clone();
    assert_eq!(
        (draft.invoice.state, draft.invoice.number.clone()),
        (State::Draft, None)
    );
    assert_eq!(due(&world, customer).await, []);
    // Terms that change meanwhile number it, and change nothing that it says.
    let prefix: Prefix = "TG-2026".parse().unwrap();
    bills(
        &world,
        BillingTerms {
            prefix,
            draft_seconds: wait,
            collects: false,
            ..terms()
        },
    )
    .await;
    world.advance(wait);
    world.catch_up().await;
    let issued = read(&world, draft.invoice.id).await.invoice;
    assert_eq!(
        (issued.state, issued.number.as_deref()),
        (State::Open, Some("TG-2026-000001"))
    );
    assert_eq!(issued.lines, draft.invoice.lines);
    assert_eq!(
        issued.due_at,
        issued.issued_at.map(|at| at.plus_seconds(14 * 86_400))
    );
    // By hand.
    world.until("2026-06-11").await;
    let draft = all(&world, customer).await[1].invoice.id;
    let done = invoice::finalise(&world.app, &world.actor, draft).await.unwrap();
    assert_eq!(done.invoice.number.as_deref(), Some("TG-2026-000002"));
    let again = refusal(invoice::finalise(&world.app, &world.actor, draft).await);
    assert_eq!(again.0, RejectionCode::InvoiceState);
    assert_eq!(
        told(&world, customer).await,
        ["drafted", "finalized", "past_due", "drafted", "finalized"]
    );
}

async fn invoices_are_paid_taken_back_and_given_up_by_hand(world: World) {
    sells(&world).await;
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    let (customer, _) = subscriber(&world, "acme").await;
    for month in ["2026-04-11", "2026-05-11", "2026-06-11", "2026-07-11"] {
        world.until(month).await;
    }
    let ids: Vec<InvoiceId> = all(&world, customer)
        .await
        .iter()
        .map(|it| it.invoice.id)
        .collect();
    let [by_card, by_bank, wrong, lost] = ids[..] else {
        panic!("{} invoices", ids.len());
    };
    let (app, actor) = (&world.app, &world.actor);
    let by = |invoice, with| PayInvoice { invoice, with };
    let no = refusal(
        invoice::pay(
            app,
            actor,
            by(by_card, PayWith::Way(Way::Saved(None))),
            &world.key(),
        )
        .await,
    );
    assert_eq!(no, (RejectionCode::NotFound, "paymentMethodId".to_owned()));
    card(&world, customer, Card::Success).await;
    let key = world.key();
    invoice::pay(app, actor, by(by_card, PayWith::Way(Way::Saved(None))), &key)
        .await
        .unwrap();
    assert!(
        invoice::pay(app, actor, by(by_card, PayWith::Way(Way::Saved(None))), &key)
            .await
            .unwrap()
            .replay
    );
    let busy = refusal(invoice::void(app, actor, by_card).await);
    assert_eq!(busy.0, RejectionCode::InvoiceState);
    world.run_to_rest().await;
    assert_eq!(read(&world, by_card).await.invoice.state, State::Paid);
    let paid = invoice::pay(app, actor, by(by_bank, PayWith::Elsewhere), &world.key())
        .await
        .unwrap()
        .value;
    assert_eq!((paid.invoice.state, charges(&world).await), (State::Paid, 1));
    assert_eq!(
        invoice::void(app, actor, wrong).await.unwrap().invoice.state,
        State::Void
    );
    assert_eq!(
        invoice::give_up(app, actor, lost).await.unwrap().invoice.state,
        State::Uncollectible
    );
    for id in [by_card, by_bank, wrong] {
        let no = refusal(invoice::pay(app, actor, by(id, PayWith::Elsewhere), &world.key()).await);
        assert_eq!(no.0, RejectionCode::InvoiceState);
    }
    // Given up, and paid after all.
    invoice::pay(app, actor, by(lost, PayWith::Elsewhere), &world.key())
        .await
        .unwrap();
    assert_eq!(read(&world, lost).await.invoice.state, State::Paid);
    let numbers: Vec<_> = all(&world, customer)
        .await
        .into_iter()
        .map(|it| it.invoice.number)
        .collect();
    assert!(numbers.iter().all(Option::is_some));
}

async fn credit_notes_leave_money_that_pays_the_next_invoice(world: World) {
    sells(&world).await;
    bills(
        &world,
        BillingTerms {
            collects: false,
            rates: vec![mwst()],
            ..terms()
        },
    )
    .await;
    let (customer, _) = subscriber(&world, "acme").await;
    world.until("2026-04-11").await;
    let id = all(&world, customer).await[0].invoice.id;
    let (app, actor) = (&world.app, &world.actor);
    let take = |amount: Option<&str>| CreateCreditNote {
        invoice: id,
        total: amount.map(money),
        reason: Reason::Goodwill,
    };
    // $20 and 19 %. A part that is still to be paid is not paid any more.
    let note = invoice::credit_note(app, actor, take(Some("3.80 USD")), &world.key()).await;
    let note = note.unwrap().value.note;
    assert_eq!(
        (note.number.as_str(), note.total, note.tax),
        ("INV-CN-000001", money("3.80 USD"), money("0.61 USD"))
    );
    assert_eq!(balance(&world, customer).await, Vec::<String>::new());
    card(&world, customer, Card::Success).await;
    let pay = PayInvoice {
        invoice: id,
        with: PayWith::Way(Way::Saved(None)),
    };
    invoice::pay(app, actor, pay, &world.key()).await.unwrap();
    world.run_to_rest().await;
    let page = app::page::Page::first(10);
    let paid = payment::payments(app, actor, customer, page).await.unwrap().items;
    assert_eq!(paid[0].amount, money("20 USD"));
    // The rest goes to the balance, and no cent more.
    let too_much = refusal(invoice::credit_note(app, actor, take(Some("20.01 USD")), &world.key()).await);
    assert_eq!(too_much, (RejectionCode::InvalidInput, "amount".to_owned()));
    let foreign = refusal(invoice::credit_note(app, actor, take(Some("1 EUR")), &world.key()).await);
    assert_eq!(
        foreign,
        (RejectionCode::InvalidInput, "amount.currency".to_owned())
    );
    let key = world.key();
    let rest = invoice::credit_note(app, actor, take(None), &key)
        .await
        .unwrap()
        .value
        .note;
    assert_eq!(
        (rest.total, rest.number.as_str()),
        (money("20 USD"), "INV-CN-000002")
    );
    assert!(
        invoice::credit_note(app, actor, take(None), &key)
            .await
            .unwrap()
            .replay
    );
    assert_eq!(balance(&world, customer).await, ["20.00 USD"]);
    let notes = invoice::credit_notes(app, actor, id).await.unwrap();
    let tax: i64 = notes.iter().map(|view| view.note.tax.minor).sum();
    assert_eq!(
        tax,
        read(&world, id).await.invoice.totals.tax.minor,
        "the whole tax, and no more"
    );
    // It pays for the next invoice.
    world.until("2026-05-11").await;
    let next = all(&world, customer).await[1].invoice.clone();
    assert_eq!(
        (next.totals.applied, next.totals.due),
        (money("20 USD"), money("3.80 USD"))
    );
    assert_eq!(balance(&world, customer).await, Vec::<String>::new());
    // Taken back, it gives back what it took.
    invoice::void(app, actor, next.id).await.unwrap();
    assert_eq!(balance(&world, customer).await, ["20.00 USD"]);
}

/// Two drafts that wait cannot both be paid by the same money.
async fn drafts_share_one_balance(world: World) {
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    let (customer, _) = subscriber(&world, "acme").await;
    world.until("2026-04-11").await;
    let paid = all(&world, customer).await[0].invoice.id;
    let (app, actor) = (&world.app, &world.actor);
    let pay = PayInvoice {
        invoice: paid,
        with: PayWith::Elsewhere,
    };
    invoice::pay(app, actor, pay, &world.key()).await.unwrap();
    bills(
        &world,
        BillingTerms {
            collects: false,
            draft_seconds: 86_400,
            ..terms()
        },
    )
    .await;
    world.subscribe(customer, monthly(&world).await).await;
    world.until("2026-05-12").await;
    let drafts = all(&world, customer).await;
    assert_eq!(drafts.len(), 3);
    let note = CreateCreditNote {
        invoice: paid,
        total: None,
        reason: Reason::Goodwill,
    };
    invoice::credit_note(app, actor, note, &world.key())
        .await
        .unwrap();
    assert_eq!(balance(&world, customer).await, ["20.00 USD"]);
    world.advance(86_400);
    world.catch_up().await;
    let mut issued: Vec<(i64, i64)> = all(&world, customer).await[1..]
        .iter()
        .map(|it| (it.invoice.totals.applied.minor, it.invoice.totals.due.minor))
        .collect();
    issued.sort_unstable();
    assert_eq!(issued, [(0, 2_000), (2_000, 0)]);
    assert_eq!(balance(&world, customer).await, Vec::<String>::new());
    assert_eq!(due(&world, customer).await.len(), 1);
}

async fn purchases_get_receipts_with_tax(world: World) {
    sells(&world).await;
    let customer = world.customer("acme").await;
    card(&world, customer, Card::Success).await;
    let buy = async |amount: &str| {
        let wish: Purchase = wish(customer, amount);
        payment::purchase(&world.app, &world.actor, wish, &world.key())
            .await
            .unwrap();
        world.run_to_rest().await;
    };
    buy("10 USD").await;
    assert_eq!(all(&world, customer).await, [], "nobody bills");
    bills(
        &world,
        BillingTerms {
            rates: vec![mwst()],
            ..terms()
        },
    )
    .await;
    buy("119 USD").await;
    let receipt = all(&world, customer).await[0].invoice.clone();
    assert_eq!(
        (receipt.kind, receipt.state, receipt.number.as_deref()),
        (Kind::Purchase, State::Paid, Some("INV-000001"))
    );
    // What was paid contains the tax.
    let totals = receipt.totals;
    assert_eq!(
        (totals.subtotal, totals.tax, totals.total),
        (money("100 USD"), money("19 USD"), money("119 USD"))
    );
    assert_eq!(world.stands(customer).await.0, "129");
    assert_eq!(due(&world, customer).await, []);
}

async fn taxes_follow_where_the_buyer_is(world: World) {
    let vat = |country: &str, percent: &str| TaxRate {
        country: country.parse().unwrap(),
        name: "VAT".to_owned(),
        percent: percent.parse().unwrap(),
        region: None,
    };
    let rates = vec![mwst(), vat("FR", "20")];
    bills(
        &world,
        BillingTerms {
            rates,
            collects: false,
            ..terms()
        },
    )
    .await;
    let plan = monthly(&world).await;
    let (app, actor) = (&world.app, &world.actor);
    let in_country = async |country: &str| {
        let input = CreateCustomer {
            external_id: format!("in-{country}-{}", world.key()),
            invoice_address: (!country.is_empty()).then(|| InvoiceAddress {
                city: "Somewhere".to_owned(),
                country: country.to_owned(),
                ..InvoiceAddress::default()
            }),
            ..CreateCustomer::default()
        };
        let made = customer::create(app, actor, input, &world.key())
            .await
            .unwrap()
            .value
            .id;
        world.subscribe(made, plan).await;
        made
    };
    let number = async |customer: CustomerId, known: bool| {
        let input = AddRegistration {
            customer: CustomerRef::Id(customer),
            kind: TaxKind::EuVat,
            country: "FR".parse().unwrap(),
            value: "FR 40 303 265 045".to_owned(),
        };
        let given = invoice::add_registration(app, actor, input, &world.key())
            .await
            .unwrap()
            .value;
        if known {
            let verdict = Verdict::Known(Some("Acheteur SA".to_owned()));
            invoice::verify_registration(app, actor, given.id, verdict)
                .await
                .unwrap();
        }
    };
    let business = in_country("FR").await;
    number(business, true).await;
    let unverified = in_country("FR").await;
    number(unverified, false).await;
    let (nowhere, home, italy, america) = (
        in_country("").await,
        in_country("DE").await,
        in_country("IT").await,
        in_country("US").await,
    );
    world.until("2026-04-11").await;
    for (what, customer, tax, says) in [
        ("nobody said where", nowhere, 380, None),
        ("at home", home, 380, None),
        ("a business in France", business, 0, Some("Reverse charge")),
        ("nobody has verified it", unverified, 400, None),
        ("a consumer where nothing is listed", italy, 380, None),
        ("outside", america, 0, Some("No tax is charged")),
    ] {
        let it = all(&world, customer).await[0].invoice.clone();
        assert_eq!(it.totals.tax.minor, tax, "{what}");
        assert_eq!(it.totals.total.minor, 2_000 + tax, "{what}");
        let note = it.notes.first().map(String::as_str).unwrap_or_default();
        assert_eq!(!note.is_empty(), says.is_some(), "{what}: {note}");
        assert!(note.starts_with(says.unwrap_or_default()), "{what}: {note}");
    }
    let it = all(&world, business).await[0].invoice.clone();
    assert_eq!(it.buyer.tax_ids[0].value, "FR40303265045");
    assert!(it.notes[0].contains("DE136695976") && it.notes[0].contains("FR40303265045"));
}

async fn tax_numbers_are_checked(world: World) {
    let customer = world.customer("acme").await;
    let (app, actor) = (&world.app, &world.actor);
    let add = async |kind, country: &str, value: &str, key: &str| {
        let input = AddRegistration {
            customer: CustomerRef::Id(customer),
            kind,
            country: country.parse().unwrap(),
            value: value.to_owned(),
        };
        invoice::add_registration(app, actor, input, key).await
    };
    let given = add(TaxKind::EuVat, "DE", "DE 136 695 976", "one").await.unwrap();
    assert_eq!((given.value.value.as_str(), given.replay), ("DE136695976", false));
    assert!(
        add(TaxKind::EuVat, "DE", "DE 136 695 976", "one")
            .await
            .unwrap()
            .replay
    );
    for (kind, country, value, refused) in [
        (
            TaxKind::EuVat,
            "DE",
            "DE136695977",
            (RejectionCode::InvalidInput, "value"),
        ),
        (
            TaxKind::EuVat,
            "US",
            "US1",
            (RejectionCode::InvalidInput, "country"),
        ),
        (
            TaxKind::EuVat,
            "DE",
            "de-136695976",
            (RejectionCode::AlreadyExists, "value"),
        ),
    ] {
        let no = refusal(add(kind, country, value, &world.key()).await);
        assert_eq!(no, (refused.0, refused.1.to_owned()));
    }
    let id = given.value.id;
    let judged = invoice::verify_registration(app, actor, id, Verdict::Unknown)
        .await
        .unwrap();
    assert_eq!(entity::to_text(judged.status), "INVALID");
    let known = invoice::registrations(app, actor, customer).await.unwrap();
    assert_eq!(known, [judged]);
    invoice::remove_registration(app, actor, id).await.unwrap();
    assert_eq!(invoice::registrations(app, actor, customer).await.unwrap(), []);
    let gone = refusal(invoice::remove_registration(app, actor, id).await);
    assert_eq!(gone, (RejectionCode::NotFound, "taxRegistrationId".to_owned()));
}

async fn a_change_of_plan_is_billed_by_the_second(world: World) {
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    let (customer, subscription) = subscriber(&world, "acme").await;
    let mut bigger = variant(Mode::Postpaid);
    bigger.fee = Some(money("50 USD"));
    let bigger = world.sells(bigger, Vec::new()).await;
    // Cycles begin on the tenth at noon; half of April's is left on the twenty-fifth at noon.
    world.until("2026-04-11").await;
    world.move_to(at("2026-04-25T12:00:00Z"));
    let now = Wish::ChangePlan {
        to: bigger,
        now: true,
    };
    world.wish(subscription, now).await.unwrap();
    world.until("2026-05-11").await;
    let filed = all(&world, customer).await;
    let lines = |index: usize| -> Vec<i64> {
        let invoice: &domain::invoice::Invoice = &filed[index].invoice;
        invoice.lines.iter().map(|line| line.amount.minor).collect()
    };
    assert_eq!(lines(0), [2_000]);
    assert_eq!(lines(1), [2_000, -1_000, 2_500]);
    world.until("2026-06-11").await;
    let last = all(&world, customer).await[2].invoice.clone();
    assert_eq!(last.totals.due, money("50 USD"));
}

async fn a_test_clock_bills_a_year(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let (app, actor) = (&world.app, &world.actor);
    let clock = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(at("2025-01-01T00:00:00Z")),
    };
    let clock = test_clock::create(app, actor, clock, &world.key())
        .await
        .unwrap()
        .value
        .id;
    let input = CreateCustomer {
        external_id: "clocked".to_owned(),
        clock: Some(clock),
        ..CreateCustomer::default()
    };
    let customer = customer::create(app, actor, input, &world.key())
        .await
        .unwrap()
        .value
        .id;
    world.subscribe(customer, monthly(&world).await).await;
    let advance = async |to: &str| {
        let input = AdvanceTestClock { clock, to: at(to) };
        test_clock::send(app, actor, input, &world.key()).await.unwrap();
        world.catch_up().await;
    };
    advance("2025-03-20T00:00:00Z").await;
    // Nobody can be charged: past due after two weeks of the clock's time.
    let states: Vec<State> = all(&world, customer)
        .await
        .iter()
        .map(|it| it.invoice.state)
        .collect();
    assert_eq!(states, [State::PastDue, State::PastDue]);
    card(&world, customer, Card::Success).await;
    advance("2026-01-02T00:00:00Z").await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 12);
    assert!(filed.iter().all(|it| it.invoice.state == State::Paid));
    let issued: Vec<String> = filed
        .iter()
        .map(|it| it.invoice.issued_at.unwrap().to_string()[..7].to_owned())
        .collect();
    let wanted: Vec<String> = (2..=12)
        .map(|month| format!("2025-{month:02}"))
        .chain(["2026-01".to_owned()])
        .collect();
    assert_eq!(issued, wanted);
    assert_eq!(charges(&world).await, 12);
}

async fn strangers_see_nothing(world: World) {
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    let (customer, _) = subscriber(&world, "acme").await;
    world.until("2026-04-11").await;
    let filed = all(&world, customer).await[0].clone();
    let id = filed.invoice.id;
    let stranger = world.stranger().await;
    let (app, actor) = (&stranger.app, &stranger.actor);
    assert_eq!(invoice::invoice(app, actor, id).await.unwrap(), None);
    assert_eq!(all(&stranger, customer).await, []);
    assert_eq!(invoice::setting(app, actor).await.unwrap(), None);
    let unknown = (RejectionCode::NotFound, "invoiceId".to_owned());
    assert_eq!(refusal(invoice::void(app, actor, id).await), unknown);
    let pay = PayInvoice {
        invoice: id,
        with: PayWith::Elsewhere,
    };
    assert_eq!(
        refusal(invoice::pay(app, actor, pay, &stranger.key()).await),
        unknown
    );
    assert_eq!(payment::of_invoice(app, actor, id).await.unwrap(), []);
    // Whoever has the address may read the document.
    let found = invoice::document_by_link(app, &filed.link).await.unwrap();
    assert!(found.is_some());
    assert_eq!(invoice::document_by_link(app, "guessed").await.unwrap(), None);
    assert!(filed.link.len() >= 30, "{}", filed.link);
}

/// $20 a month, paid before; due five days ahead, three days of grace, 100 credits with each cycle.
async fn prepaid(world: &World) -> VariantId {
    let mut plan = variant(Mode::Prepaid);
    plan.fee = Some(money("20 USD"));
    plan.renewal_due_days = 5;
    plan.grace_days = 3;
    world.sells(plan, vec![template("100")]).await
}

async fn a_renewal_is_charged_and_renews(world: World) {
    sells(&world).await;
    bills(
        &world,
        BillingTerms {
            rates: vec![mwst()],
            ..terms()
        },
    )
    .await;
    let plan = prepaid(&world).await;
    let customer = world.customer("acme").await;
    card(&world, customer, Card::TimeoutCharged).await;
    let id = world.subscribe_paid(customer, plan).await;
    world.until("2026-04-05").await;
    assert_eq!(all(&world, customer).await, [], "not due before noon");
    // Twelve hours later, and with the time that a card takes which keeps silent.
    world.until("2026-04-06").await;
    found_out(&world).await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    let it = &filed[0].invoice;
    assert_eq!(
        (it.kind, it.state, it.totals.total),
        (Kind::Fee, State::Paid, money("23.80 USD"))
    );
    let wanted = domain::time::Period {
        start: at("2026-04-10T12:00:00Z"),
        end: at("2026-05-10T12:00:00Z"),
    };
    assert_eq!(it.period, Some(wanted));
    assert_eq!((filed[0].next_at, world.cycles(id).await.len()), (None, 1));
    world.until("2026-04-11").await;
    assert_eq!(
        (world.state(id).await.as_str(), world.cycles(id).await.len()),
        ("ACTIVE", 2)
    );
    assert_eq!(world.stands(customer).await.0, "100");
    assert_eq!(charges(&world).await, 1);
    // Month after month, once each.
    for month in ["2026-05-06", "2026-05-11", "2026-06-06", "2026-06-11"] {
        world.until(month).await;
        found_out(&world).await;
    }
    assert_eq!(
        (world.state(id).await.as_str(), charges(&world).await),
        ("ACTIVE", 3)
    );
    assert_eq!(all(&world, customer).await.len(), 3);
}

/// What a card kept silent about is asked for, and what follows from it done.
async fn found_out(world: &World) {
    for _ in 0..3 {
        world.advance(61);
        world.run_to_rest().await;
    }
}

async fn a_renewal_that_is_not_paid_ends_as_it_must(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = prepaid(&world).await;
    let made = async |name: &str| {
        let customer = world.customer(name).await;
        (customer, world.subscribe_paid(customer, plan).await)
    };
    let (late, late_sub) = made("late").await;
    let (by_hand, hand_sub) = made("by hand").await;
    let (never, never_sub) = made("never").await;
    let (gone, gone_sub) = made("gone").await;
    world.until("2026-04-06").await;
    let first = async |customer| all(&world, customer).await[0].invoice.clone();
    for customer in [late, by_hand, never, gone] {
        assert_eq!(first(customer).await.state, State::Open);
    }
    // Renewed by hand: nobody is charged for the same again.
    world.wish(hand_sub, Wish::Renew).await.unwrap();
    card(&world, by_hand, Card::Success).await;
    world.run_to_rest().await;
    assert_eq!(
        (first(by_hand).await.state, charges(&world).await),
        (State::Void, 0)
    );
    // Paid, but there is nothing to renew any more: the money stays the customer's.
    world
        .wish(gone_sub, Wish::Cancel { at_end: false })
        .await
        .unwrap();
    let pay = PayInvoice {
        invoice: first(gone).await.id,
        with: PayWith::Elsewhere,
    };
    invoice::pay(&world.app, &world.actor, pay, &world.key())
        .await
        .unwrap();
    world.run_to_rest().await;
    assert_eq!(
        (first(gone).await.state, balance(&world, gone).await),
        (State::Paid, vec!["20.00 USD".to_owned()])
    );
    // Overdue, and paid within the days of grace.
    world.until("2026-04-11").await;
    assert_eq!(world.state(late_sub).await, "OVERDUE");
    card(&world, late, Card::Success).await;
    world.run_to_rest().await;
    assert_eq!(
        (
            world.state(late_sub).await.as_str(),
            world.stands(late).await.0.as_str()
        ),
        ("ACTIVE", "100")
    );
    assert_eq!((first(late).await.state, charges(&world).await), (State::Paid, 1));
    // Never: it expires, and the invoice with it.
    world.until("2026-04-14").await;
    assert_eq!(world.state(never_sub).await, "EXPIRED");
    card(&world, never, Card::Success).await;
    world.run_to_rest().await;
    assert_eq!(
        (first(never).await.state, charges(&world).await),
        (State::Void, 1)
    );
}

async fn a_renewal_follows_the_subscription(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    let plan = prepaid(&world).await;
    let mut dear = variant(Mode::Prepaid);
    dear.fee = Some(money("100 USD"));
    dear.renewal_due_days = 5;
    let dear = world.sells(dear, Vec::new()).await;
    let made = async |name: &str| {
        let customer = world.customer(name).await;
        (customer, world.subscribe_paid(customer, plan).await)
    };
    let (leaving, leaving_sub) = made("leaving").await;
    let (forgiven, forgiven_sub) = made("forgiven").await;
    let (partly, partly_sub) = made("partly").await;
    let (upgraded, upgraded_sub) = made("upgraded").await;
    world.until("2026-04-06").await;
    let states = async |customer| -> Vec<State> {
        all(&world, customer)
            .await
            .iter()
            .map(|it| it.invoice.state)
            .collect()
    };
    let note = async |customer, total: Option<&str>| {
        let invoice = all(&world, customer).await[0].invoice.id;
        let input = CreateCreditNote {
            invoice,
            total: total.map(money),
            reason: Reason::Goodwill,
        };
        invoice::credit_note(&world.app, &world.actor, input, &world.key())
            .await
            .unwrap();
    };
    // It ends with the cycle: nobody is charged for another.
    world
        .wish(leaving_sub, Wish::Cancel { at_end: true })
        .await
        .unwrap();
    let pay = PayInvoice {
        invoice: all(&world, leaving).await[0].invoice.id,
        with: PayWith::Way(Way::Saved(None)),
    };
    let no = refusal(invoice::pay(&world.app, &world.actor, pay, &world.key()).await);
    assert_eq!(no.0, RejectionCode::InvoiceState);
    // Taken back in full: paid by nobody, so it renews nothing.
    note(forgiven, None).await;
    // Taken back in part, and renewed by hand.
    note(partly, Some("5 USD")).await;
    world.wish(partly_sub, Wish::Renew).await.unwrap();
    // To be another plan: at that one's price.
    world
        .wish(upgraded_sub, Wish::ChangePlan { to: dear, now: false })
        .await
        .unwrap();
    for customer in [leaving, forgiven, partly, upgraded] {
        card(&world, customer, Card::Success).await;
    }
    world.run_to_rest().await;
    assert_eq!(states(leaving).await, [State::Void]);
    assert_eq!(states(forgiven).await, [State::Paid]);
    assert_eq!(states(partly).await, [State::Uncollectible]);
    assert_eq!(states(upgraded).await, [State::Void, State::Paid]);
    assert_eq!(
        all(&world, upgraded).await[1].invoice.totals.due,
        money("100 USD")
    );
    assert_eq!(charges(&world).await, 1);
    world.until("2026-04-11").await;
    for (id, state) in [
        (leaving_sub, "CANCELLED"),
        (forgiven_sub, "OVERDUE"),
        (partly_sub, "ACTIVE"),
        (upgraded_sub, "ACTIVE"),
    ] {
        assert_eq!(world.state(id).await, state);
    }
    for customer in [leaving, forgiven, partly, upgraded] {
        assert_eq!(balance(&world, customer).await, Vec::<String>::new());
    }
}

async fn a_charge_that_somebody_has_to_look_at_is_the_last(world: World) {
    sells(&world).await;
    // Due at once: what a card pays at that moment is never past due.
    bills(
        &world,
        BillingTerms {
            net_days: 0,
            ..terms()
        },
    )
    .await;
    let (quick, _) = subscriber(&world, "quick").await;
    card(&world, quick, Card::Success).await;
    let (odd, _) = subscriber(&world, "odd").await;
    card(&world, odd, Card::WrongAmount).await;
    world.until("2026-04-11").await;
    world.run_to_rest().await;
    assert_eq!(told(&world, quick).await, ["finalized", "paid"]);
    let id = all(&world, odd).await[0].invoice.id;
    for _ in 0..10 {
        world.advance(86_400);
        world.run_to_rest().await;
    }
    assert_eq!(read(&world, id).await.invoice.state, State::PastDue);
    assert_eq!(told(&world, odd).await, ["finalized", "past_due"]);
    let good = card(&world, odd, Card::Success).await;
    payment::set_default_method(&world.app, &world.actor, good)
        .await
        .unwrap();
    world.run_to_rest().await;
    let attempts = payment::of_invoice(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(
        (attempts.len(), attempts[0].progress.state),
        (1, PaymentState::Quarantined)
    );
    let pay = PayInvoice {
        invoice: id,
        with: PayWith::Way(Way::Saved(None)),
    };
    let no = refusal(invoice::pay(&world.app, &world.actor, pay, &world.key()).await);
    assert_eq!(no.0, RejectionCode::InvoiceState);
    // The audit tells of it until somebody has looked.
    world
        .sabotage("UPDATE payment SET state = 'FAILED', decline = 'REFUSED' WHERE state = 'QUARANTINED'")
        .await;
}

async fn what_was_before_billing_is_not_billed(world: World) {
    let (customer, subscription) = subscriber(&world, "acme").await;
    let mut bigger = variant(Mode::Postpaid);
    bigger.fee = Some(money("50 USD"));
    let bigger = world.sells(bigger, Vec::new()).await;
    world.move_to(at("2026-03-20"));
    world
        .wish(
            subscription,
            Wish::ChangePlan {
                to: bigger,
                now: true,
            },
        )
        .await
        .unwrap();
    world.until("2026-04-11").await;
    bills(
        &world,
        BillingTerms {
            collects: false,
            ..terms()
        },
    )
    .await;
    world.until("2026-05-11").await;
    let filed = all(&world, customer).await;
    assert_eq!(filed.len(), 1);
    let lines: Vec<i64> = filed[0]
        .invoice
        .lines
        .iter()
        .map(|line| line.amount.minor)
        .collect();
    assert_eq!(lines, [5_000]);
}
