//! Webhooks: whoever wants to hear of something does, signed, at least once, whatever others do.

use std::time::Duration;

use app::{
    customer::CustomerRef,
    event, job,
    notify::{self, Audience, UpdateCustomerMail, UpdateMailSetting},
    page::Page,
    spend,
    subscription::Wish,
    webhook::{self, Delivery, DeliveryState, Endpoint, EndpointState, MAX_RESENDS, Range, UpdateEndpoint},
};
use domain::{
    id::{CustomerId, SubscriptionId, WebhookEndpointId},
    plan::variant::Mode,
    rejection::RejectionCode,
    webhook::{health::HOPELESS_AFTER_SECONDS, retry::MAX_ATTEMPTS},
};
use serde_json::{Value, json};

use crate::{
    e2e::process::until,
    harness::{
        World,
        letters::{named, outbox, wishes, writes},
        plans::{template, variant},
        receiver::{Hook, Manner, Received, Receiver, limits, sending_to},
        refusal,
    },
};

on_both!(
    whoever_wants_to_hear_hears_once_and_signed,
    a_receiver_that_fails_is_asked_again_for_a_day,
    a_receiver_is_left_alone_as_long_as_it_asks,
    one_that_has_failed_for_days_is_switched_off_with_notice,
    one_that_is_gone_is_switched_off_at_once,
    a_customer_hears_that_its_own_url_is_switched_off,
    what_a_vendor_has_made_for_a_customer_is_not_the_customer_s,
    two_secrets_sign_while_one_replaces_the_other,
    addresses_inside_are_not_called,
    one_that_hangs_keeps_nobody_waiting,
    redirects_and_endless_answers_are_contained,
    what_was_sent_can_be_sent_again,
    nothing_is_sent_again_for_ever,
    a_test_goes_to_whom_it_tests,
    messages_asked_for_one_by_one_wake_one_run,
    endpoints_are_changed_and_taken_away,
    no_more_than_allowed_are_on_their_way,
    many_workers_send_each_message_once,
    a_run_that_is_taken_for_dead_has_its_endpoint_in_hand,
    a_run_that_died_is_followed_when_its_lease_is_over,
    what_is_delivered_is_written_while_another_message_hangs,
    what_arrives_later_makes_a_failure_forgotten_that_was_written_before,
    what_arrives_at_one_that_is_switched_off_leaves_its_reason,
    what_a_former_address_answers_says_nothing_of_the_present_one,
    a_message_asked_for_during_a_pause_is_sent_after_it,
    a_sweep_wakes_so_many_and_first_those_that_have_waited_longest,
    what_was_given_up_is_found_among_what_was_delivered,
    what_waits_is_found_below_what_was_delivered,
    lost_doubled_and_reordered_jobs_lose_nothing,
    strangers_hear_and_see_nothing,
);

/// A subscription that can be paused and resumed, and what it has told is published.
async fn subscribed(world: &World, name: &str) -> (CustomerId, SubscriptionId) {
    let sold = world.sells(variant(Mode::Postpaid), vec![template("10")]).await;
    let customer = world.customer(name).await;
    (customer, world.subscribe(customer, sold).await)
}

/// Two events about a subscription.
async fn happens(world: &World, id: SubscriptionId) {
    world.advance(1);
    world.wish(id, Wish::Pause).await.unwrap();
    world.wish(id, Wish::Resume).await.unwrap();
}

async fn read(world: &World, id: WebhookEndpointId) -> Endpoint {
    let found = webhook::endpoint(&world.app, &world.actor, id).await;
    found.unwrap().unwrap()
}

/// What became of messages to an endpoint, oldest first.
async fn deliveries(world: &World, hook: &Hook) -> Vec<Delivery> {
    let page = webhook::deliveries(&world.app, &world.actor, hook.endpoint.id, None, Page::first(100)).await;
    let mut all = page.unwrap().items;
    all.reverse();
    all
}

/// The types of what has come; messages that are on their way together come in any order.
fn sorted(receiver: &Receiver) -> Vec<String> {
    let mut kinds = receiver.kinds();
    kinds.sort();
    kinds
}

async fn states(world: &World, hook: &Hook) -> Vec<DeliveryState> {
    deliveries(world, hook).await.iter().map(|it| it.state).collect()
}

/// Does what is due, and moves the clock to the next attempt, until nothing is left to try.
async fn until_given_up(world: &World, hook: &Hook) {
    for _ in 0..200 {
        world.catch_up().await;
        let next = deliveries(world, hook)
            .await
            .into_iter()
            .filter_map(|it| it.next_at)
            .min();
        let Some(next) = next else { return };
        if read(world, hook.endpoint.id).await.state == EndpointState::Disabled {
            return;
        }
        let rests = read(world, hook.endpoint.id).await.resting_until;
        let at = rests.map_or(next, |rests| rests.max(next));
        let at = at.max(world.now().plus_seconds(1));
        world.move_to(at);
    }
    panic!("attempts do not come to an end");
}

async fn whoever_wants_to_hear_hears_once_and_signed(world: World) {
    let world = world.sends().await;
    let (all, some, own) = (
        Receiver::open().await,
        Receiver::open().await,
        Receiver::open().await,
    );
    let hook = world.hook(&all.url(), &[]).await;
    world.hook(&some.url(), &["subscription.paused"]).await;
    let (ada, hers) = subscribed(&world, "ada").await;
    let (bob, his) = subscribed(&world, "bob").await;
    let input = webhook::CreateEndpoint {
        url: own.url(),
        types: None,
        description: Some("Bob's own".to_owned()),
        customer: Some(app::customer::CustomerRef::Id(bob)),
        at_once: Some(1),
    };
    webhook::create(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
    all.forget();
    own.forget();
    happens(&world, hers).await;
    happens(&world, his).await;
    world.catch_up().await;
    world.catch_up().await;

    let [paused, resumed] = ["subscription.paused", "subscription.resumed"];
    assert_eq!(sorted(&all), [paused, paused, resumed, resumed]);
    assert_eq!(some.kinds(), [paused, paused]);
    // One message at a time, in their order.
    assert_eq!(own.kinds(), [paused, resumed]);
    for message in all.received() {
        assert!(message.is_signed_with(&hook.secret), "{message:?}");
        assert!(!message.is_signed_with(&some_other_secret()), "{message:?}");
        assert_eq!(message.timestamp, world.now().micros() / 1_000_000);
    }
    // The body is the event, as the feed has it.
    let about_ada = |it: &Received| it.kind() == paused && it.json()["customer_id"] == ada.to_string();
    let first = all.received().into_iter().find(about_ada).unwrap();
    let told = event::feed(&world.app, &world.actor, None, None, 100)
        .await
        .unwrap();
    let event = told
        .events
        .iter()
        .find(|it| it.id.to_string() == first.id)
        .unwrap();
    let body = json!({
        "id": first.id, "type": "subscription.paused", "version": 1, "timestamp": event.occurred_at.to_string(),
        "customer_id": ada.to_string(), "subscription_id": hers.to_string(), "sequence": 2, "data": Value::Object(event.data.clone()),
    });
    assert_eq!(first.json(), body);
    assert_eq!(states(&world, &hook).await, vec![DeliveryState::Delivered; 6]);
    let last = deliveries(&world, &hook).await.pop().unwrap();
    assert_eq!((last.attempts, last.log.len()), (1, 1));
    assert_eq!(
        (last.log[0].outcome.as_str(), last.log[0].status),
        ("DELIVERED", Some(200))
    );
    let sent = webhook::request_body(&world.app, &world.actor, last.event)
        .await
        .unwrap();
    let received = all.received().into_iter();
    let same = received.filter(|it| it.id == last.event.to_string());
    assert_eq!(sent, same.map(|it| it.body).next());
}

fn some_other_secret() -> String {
    gateway::webhook::Secret::from_bytes([7; 32]).reveal()
}

async fn a_receiver_that_fails_is_asked_again_for_a_day(world: World) {
    let world = world.sends().await;
    let (bad, good) = (Receiver::open().await, Receiver::open().await);
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&bad.url(), &["subscription.paused"]).await;
    world.hook(&good.url(), &[]).await;
    bad.answers(Manner::Status(500));
    let begun = world.now();
    happens(&world, id).await;
    until_given_up(&world, &hook).await;

    let delivery = deliveries(&world, &hook).await.pop().unwrap();
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Failed, MAX_ATTEMPTS)
    );
    assert_eq!(bad.received().len(), usize::try_from(MAX_ATTEMPTS).unwrap());
    // One message, whenever it is tried, and signed for its time.
    let received = bad.received();
    assert!(
        received
            .iter()
            .all(|it| it.id == received[0].id && it.body == received[0].body)
    );
    assert!(received.iter().all(|it| it.is_signed_with(&hook.secret)));
    let log = &delivery.log;
    assert!(
        log.iter()
            .all(|it| it.outcome == "REFUSED" && it.status == Some(500))
    );
    assert_eq!(log[0].response.as_deref(), Some("I say 500"));
    let hours = (log.last().unwrap().at.micros() - begun.micros()) / 3_600_000_000;
    assert!((18..=30).contains(&hours), "{hours} hours");
    // Nobody else has waited.
    assert_eq!(sorted(&good), ["subscription.paused", "subscription.resumed"]);
    let endpoint = read(&world, hook.endpoint.id).await;
    assert_eq!(endpoint.last_problem.as_deref(), Some("REFUSED with status 500"));

    // It comes back, and everything with it.
    bad.answers(Manner::Status(204));
    let again = webhook::resend(&world.app, &world.actor, delivery.id, &world.key())
        .await
        .unwrap();
    assert_eq!(again.value.state, DeliveryState::Pending);
    world.move_to(world.now().plus_seconds(301));
    world.catch_up().await;
    let delivery = deliveries(&world, &hook).await.pop().unwrap();
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 1));
    let endpoint = read(&world, hook.endpoint.id).await;
    assert_eq!(
        (endpoint.failures, endpoint.failing_since, endpoint.last_problem),
        (0, None, None)
    );
}

async fn a_receiver_is_left_alone_as_long_as_it_asks(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&receiver.url(), &["subscription.paused"]).await;
    receiver.answers_next([Manner::Later(429, 600)]);
    happens(&world, id).await;
    world.catch_up().await;
    world.advance(599);
    world.catch_up().await;
    assert_eq!(receiver.received().len(), 1);
    world.advance(400);
    world.catch_up().await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered]);
}

async fn one_that_has_failed_for_days_is_switched_off_with_notice(world: World) {
    let world = world.sends().await;
    let (bad, good) = (Receiver::open().await, Receiver::open().await);
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&bad.url(), &[]).await;
    world.hook(&good.url(), &["webhook_endpoint.disabled"]).await;
    bad.answers(Manner::Status(503));
    let begun = world.now();
    for _ in 0..7 {
        happens(&world, id).await;
        world.catch_up().await;
        world.advance(86_400);
        world.catch_up().await;
    }
    let endpoint = read(&world, hook.endpoint.id).await;
    assert_eq!(endpoint.state, EndpointState::Disabled);
    let told = good.received();
    assert_eq!(told.len(), 1);
    let data = told[0].json()["data"].clone();
    assert_eq!(data["webhook_endpoint_id"], json!(hook.endpoint.id.to_string()));
    assert_eq!(data["last_problem"], "REFUSED with status 503");
    assert_eq!(told[0].json()["customer_id"], Value::Null);
    let since = endpoint.failing_since.unwrap();
    assert!(since.micros() - begun.micros() < 10_000_000);
    assert!(world.now().micros() - since.micros() > HOPELESS_AFTER_SECONDS * 1_000_000);

    // Nothing more is sent to it, and nothing more is kept for it.
    let (tries, kept) = (bad.received().len(), deliveries(&world, &hook).await.len());
    happens(&world, id).await;
    world.advance(86_400);
    world.catch_up().await;
    assert_eq!(
        (bad.received().len(), deliveries(&world, &hook).await.len()),
        (tries, kept)
    );
    let refused = webhook::send_test(&world.app, &world.actor, hook.endpoint.id, &world.key()).await;
    assert_eq!(refusal(refused).0, RejectionCode::WebhookEndpointDisabled);

    // Somebody mends it; what waited is sent, and what was missed can be.
    bad.answers(Manner::Status(200));
    bad.forget();
    let on = UpdateEndpoint {
        enabled: Some(true),
        ..UpdateEndpoint::default()
    };
    webhook::update(&world.app, &world.actor, hook.endpoint.id, on)
        .await
        .unwrap();
    world.catch_up().await;
    let range = Range {
        endpoint: hook.endpoint.id,
        after: 0,
        through: None,
        only_failed: false,
    };
    webhook::resend_range(&world.app, &world.actor, range, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
    let kinds = bad.kinds();
    for wanted in [
        "subscription.created",
        "subscription.paused",
        "webhook_endpoint.disabled",
    ] {
        assert!(kinds.iter().any(|kind| kind == wanted), "{wanted}: {kinds:?}");
    }
    assert!(
        states(&world, &hook)
            .await
            .iter()
            .all(|it| *it == DeliveryState::Delivered)
    );
}

async fn one_that_is_gone_is_switched_off_at_once(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    let hook = world.hook(&receiver.url(), &["subscription.paused"]).await;
    receiver.answers(Manner::Status(410));
    happens(&world, id).await;
    world.catch_up().await;
    assert_eq!(
        read(&world, hook.endpoint.id).await.state,
        EndpointState::Disabled
    );
    assert_eq!(receiver.received().len(), 1);
}

/// A customer whose own URL hears of its limits, and is answered from there that it is gone.
async fn has_own_url(world: &World, name: &str, receiver: &Receiver) -> (CustomerId, WebhookEndpointId) {
    let customer = world.customer(name).await;
    named(world, customer, "Ada & Sons", "books@ada.example").await;
    let id = world.own_url(customer, receiver.url(), Some(true)).await;
    (customer, id)
}

/// Letters about endpoints that were switched off: to whom, about whom, and what they say.
async fn letters_about_endpoints(world: &World) -> Vec<(Audience, Option<CustomerId>, String, String)> {
    let all = outbox(world).await.into_iter().filter_map(|it| {
        let subject = it.subject?;
        let about = subject.contains("endpoint") || subject.contains("spend alerts");
        about.then(|| (it.audience, it.customer, subject, it.text.unwrap_or_default()))
    });
    all.collect()
}

async fn a_customer_hears_that_its_own_url_is_switched_off(world: World) {
    let world = world.sends().await;
    writes(&world).await;
    let ops = UpdateMailSetting {
        operations: Some(vec!["ops@vendor.example".to_owned()]),
        ..UpdateMailSetting::default()
    };
    notify::update_mail_setting(&world.app, &world.actor, ops)
        .await
        .unwrap();
    let (own, vendors) = (Receiver::open().await, Receiver::open().await);
    world.hook(&vendors.url(), &["webhook_endpoint.disabled"]).await;
    let (customer, id) = has_own_url(&world, "ada", &own).await;
    own.answers(Manner::Status(410));
    try_own_url(&world, customer).await;
    try_own_url(&world, customer).await;
    is_switched_off(&world, id).await;

    // The vendor hears of it as before, and now of whom; the receiver that is gone hears nothing.
    assert_eq!(vendors.kinds(), ["webhook_endpoint.disabled"]);
    let told = vendors.received()[0].json();
    assert_eq!(told["customer_id"], customer.to_string());
    assert_eq!(told["data"]["customer_id"], customer.to_string());
    assert_eq!(told["sequence"], 1);
    assert!(own.kinds().iter().all(|kind| kind == "webhook.test"));
    let letters = letters_about_endpoints(&world).await;
    let to = |audience| {
        let one: Vec<_> = letters.iter().filter(|it| it.0 == audience).collect();
        assert_eq!(one.len(), 1, "{letters:?}");
        one[0].clone()
    };
    for audience in [Audience::Customer, Audience::Operations] {
        let (_, about, subject, text) = to(audience);
        assert_eq!(about, Some(customer));
        assert!(subject.contains("spend alerts of Ada & Sons"), "{subject}");
        assert!(text.contains(&own.url()) && text.contains("status 410"), "{text}");
    }

    // It is pointed anew and switched off anew: that is told as well, unless the customer does not want to know.
    for (muted, wanted) in [(false, 2), (true, 2)] {
        world.advance(60);
        has_own_url_again(&world, customer, &own, muted).await;
        try_own_url(&world, customer).await;
        is_switched_off(&world, id).await;
        let letters = letters_about_endpoints(&world).await;
        let theirs = letters.iter().filter(|it| it.0 == Audience::Customer);
        assert_eq!(theirs.count(), wanted, "{letters:?}");
    }
    // Its numbers have no gaps.
    world.audited().await;
}

async fn try_own_url(world: &World, customer: CustomerId) {
    spend::send_test(&world.app, &world.actor, &CustomerRef::Id(customer), &world.key())
        .await
        .unwrap();
}

/// What is due is sent, and what is told of it as well; by then nothing is sent to an endpoint any more.
async fn is_switched_off(world: &World, id: WebhookEndpointId) {
    world.catch_up().await;
    world.catch_up().await;
    assert_eq!(read(world, id).await.state, EndpointState::Disabled);
}

async fn has_own_url_again(world: &World, customer: CustomerId, receiver: &Receiver, muted: bool) {
    let muted = muted.then(|| vec!["webhook_endpoint.disabled".to_owned()]);
    let input = UpdateCustomerMail {
        addresses: None,
        muted,
        low_balance: None,
    };
    wishes(world, customer, input).await.unwrap();
    world.own_url(customer, receiver.url(), None).await;
}

async fn what_a_vendor_has_made_for_a_customer_is_not_the_customer_s(world: World) {
    let world = world.sends().await;
    writes(&world).await;
    let (own, vendors) = (Receiver::open().await, Receiver::open().await);
    let (customer, id) = has_own_url(&world, "ada", &own).await;
    let input = webhook::CreateEndpoint {
        url: vendors.url(),
        types: None,
        description: None,
        customer: Some(CustomerRef::Id(customer)),
        at_once: None,
    };
    let made = webhook::create(&world.app, &world.actor, input, &world.key()).await;
    let made = made.unwrap().value.endpoint.id;
    vendors.answers(Manner::Status(410));
    webhook::send_test(&world.app, &world.actor, made, &world.key())
        .await
        .unwrap();
    is_switched_off(&world, made).await;
    assert_eq!(read(&world, id).await.state, EndpointState::Enabled);
    // Neither a letter nor an event of the customer's tells of the vendor's address.
    assert_eq!(letters_about_endpoints(&world).await, []);
    let about = event::About::Customer(customer);
    let told = event::events(&world.app, &world.actor, about, Page::first(10)).await;
    assert_eq!(told.unwrap().items, []);
    let feed = event::feed(&world.app, &world.actor, None, None, 100)
        .await
        .unwrap();
    let told: Vec<_> = feed
        .events
        .iter()
        .filter(|it| it.kind.as_str() == "webhook_endpoint.disabled")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].customer, &told[0].data["customer_id"]),
        (None, &Value::Null)
    );
}

async fn two_secrets_sign_while_one_replaces_the_other(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    let hook = world.hook(&receiver.url(), &["subscription.paused"]).await;
    let key = world.key();
    let rotated = webhook::rotate(&world.app, &world.actor, hook.endpoint.id, Some(2), &key)
        .await
        .unwrap();
    let again = webhook::rotate(&world.app, &world.actor, hook.endpoint.id, Some(2), &key)
        .await
        .unwrap();
    assert_eq!((rotated.replay, again.replay), (false, true));
    assert_eq!(rotated.value.secret, again.value.secret);
    assert_ne!(rotated.value.secret, hook.secret);
    happens(&world, id).await;
    world.catch_up().await;
    world.advance(7_200);
    happens(&world, id).await;
    world.catch_up().await;

    let [during, after] = &receiver.received()[..] else {
        panic!("{:?}", receiver.kinds())
    };
    assert_eq!((during.signatures.len(), after.signatures.len()), (2, 1));
    assert!(during.is_signed_with(&hook.secret) && during.is_signed_with(&rotated.value.secret));
    assert!(!after.is_signed_with(&hook.secret) && after.is_signed_with(&rotated.value.secret));
    let refused = webhook::rotate(
        &world.app,
        &world.actor,
        hook.endpoint.id,
        Some(169),
        &world.key(),
    )
    .await;
    assert_eq!(
        refusal(refused),
        (RejectionCode::InvalidInput, "overlapHours".to_owned())
    );
    // Another process derives the same secrets.
    let other = world.sends().await;
    happens(&other, id).await;
    other.catch_up().await;
    assert!(receiver.received()[2].is_signed_with(&rotated.value.secret));
}

async fn addresses_inside_are_not_called(world: World) {
    // This process may call no private network; another one has been told of one before.
    let open = world.sends().await;
    let world = world.with_limits(sending_to("", Duration::from_secs(5))).await;
    for url in [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "ftp://example.com/",
        "https://user:word@example.com/",
        "nonsense",
        "",
    ] {
        let refused = world.try_hook(url, &[]).await;
        assert_eq!(
            refusal(refused),
            (RejectionCode::InvalidInput, "url".to_owned()),
            "{url}"
        );
    }
    // A name can lead anywhere, and elsewhere tomorrow: it is looked at whenever it is called.
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    let hook = open.hook(&receiver.url_by_name(), &["subscription.paused"]).await;
    happens(&world, id).await;
    world.catch_up().await;
    assert_eq!(receiver.received().len(), 0);
    let delivery = deliveries(&world, &hook).await.pop().unwrap();
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert_eq!(
        (delivery.log[0].outcome.as_str(), delivery.log[0].status),
        ("FORBIDDEN_ADDRESS", None)
    );
}

async fn one_that_hangs_keeps_nobody_waiting(world: World) {
    let world = world.with_limits(limits(Duration::from_secs(1))).await;
    let (silent, good) = (Receiver::open().await, Receiver::open().await);
    silent.answers(Manner::Silent);
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hangs = world.hook(&silent.url(), &["subscription.paused"]).await;
    let well = world.hook(&good.url(), &["subscription.paused"]).await;
    happens(&world, id).await;
    world.run_jobs().await;
    assert_eq!(states(&world, &well).await, [DeliveryState::Delivered]);
    let delivery = deliveries(&world, &hangs).await.pop().unwrap();
    assert_eq!(
        (delivery.state, delivery.log[0].outcome.as_str()),
        (DeliveryState::Pending, "TIMED_OUT")
    );
    // From now on it is served by others than those who serve whoever is well.
    world.advance(10);
    job::sweep(&world.app).await.unwrap();
    let mut kinds = Vec::new();
    while let Some(payload) = world.post.take() {
        kinds.push(payload["kind"].as_str().unwrap().to_owned());
    }
    assert!(kinds.contains(&"webhook.retry".to_owned()), "{kinds:?}");
    assert!(!kinds.contains(&"webhook.deliver".to_owned()), "{kinds:?}");
}

async fn redirects_and_endless_answers_are_contained(world: World) {
    let world = world.sends().await;
    let (receiver, inside) = (Receiver::open().await, Receiver::open().await);
    let (_, id) = subscribed(&world, "ada").await;
    let hook = world
        .hook(&receiver.url(), &["subscription.paused", "subscription.resumed"])
        .await;
    receiver.answers_next([Manner::Elsewhere(inside.url()), Manner::Endless]);
    let begun = std::time::Instant::now();
    happens(&world, id).await;
    world.catch_up().await;
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(inside.received().len(), 0);
    let all = deliveries(&world, &hook).await;
    let mut came_to: Vec<_> = all
        .iter()
        .map(|it| (it.log[0].outcome.clone(), it.log[0].status))
        .collect();
    came_to.sort();
    assert_eq!(
        came_to,
        [
            ("DELIVERED".to_owned(), Some(200)),
            ("REFUSED".to_owned(), Some(302))
        ]
    );
    assert!(
        all.iter()
            .all(|it| it.log[0].response.as_ref().is_none_or(|body| body.len() <= 1_024))
    );
}

async fn what_was_sent_can_be_sent_again(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    happens(&world, id).await;
    world.catch_up().await;
    let hook = world
        .hook(&receiver.url(), &["subscription.paused", "subscription.created"])
        .await;
    // What was told before it existed is not sent by itself.
    world.catch_up().await;
    assert_eq!(receiver.kinds(), [""; 0]);
    let range = |after, only_failed| Range {
        endpoint: hook.endpoint.id,
        after,
        through: Some(2),
        only_failed,
    };
    let send = async |range| {
        let done = webhook::resend_range(&world.app, &world.actor, range, &world.key())
            .await
            .unwrap();
        world.catch_up().await;
        (done.value.count, done.value.position, done.value.has_more)
    };
    assert_eq!(send(range(0, true)).await, (2, 2, false));
    assert_eq!(sorted(&receiver), ["subscription.created", "subscription.paused"]);
    assert_eq!(send(range(0, true)).await, (0, 2, false), "nothing was given up");
    assert_eq!(send(range(1, false)).await, (1, 2, false));
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    let first = received
        .iter()
        .find(|it| it.kind() == "subscription.paused")
        .unwrap();
    assert_eq!((&first.id, &first.body), (&received[2].id, &received[2].body));
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered; 2]);
}

async fn nothing_is_sent_again_for_ever(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &["subscription.created"]).await;
    subscribed(&world, "ada").await;
    world.catch_up().await;
    let sent = deliveries(&world, &hook).await[0].id;
    let again = async |key: &str| webhook::resend(&world.app, &world.actor, sent, key).await;
    for time in 0..MAX_RESENDS {
        again(&format!("again-{time}")).await.unwrap();
    }
    let refused = again("once-more").await;
    let field = "deliveryId".to_owned();
    assert_eq!(refusal(refused), (RejectionCode::TooManyResends, field));
    // What was asked for before has its answer.
    assert!(again("again-0").await.unwrap().replay);
    let range = Range {
        endpoint: hook.endpoint.id,
        after: 0,
        through: None,
        only_failed: false,
    };
    let done = webhook::resend_range(&world.app, &world.actor, range, &world.key()).await;
    assert_eq!(done.unwrap().value.count, 0);
    // The next one may be, and ranges count as well.
    subscribed(&world, "bob").await;
    world.catch_up().await;
    for time in 0..=MAX_RESENDS {
        let range = Range {
            endpoint: hook.endpoint.id,
            after: 0,
            through: None,
            only_failed: false,
        };
        let done = webhook::resend_range(&world.app, &world.actor, range, &world.key()).await;
        assert_eq!(done.unwrap().value.count, u64::from(time < MAX_RESENDS));
    }
}

async fn a_test_goes_to_whom_it_tests(world: World) {
    let world = world.sends().await;
    let (receiver, other) = (Receiver::open().await, Receiver::open().await);
    let hook = world.hook(&receiver.url(), &["invoice.paid"]).await;
    world.hook(&other.url(), &[]).await;
    let key = world.key();
    for replay in [false, true] {
        let sent = webhook::send_test(&world.app, &world.actor, hook.endpoint.id, &key)
            .await
            .unwrap();
        assert_eq!(sent.replay, replay);
        world.catch_up().await;
    }
    assert_eq!(receiver.kinds(), ["webhook.test"]);
    assert_eq!(other.kinds(), [""; 0]);
    assert!(receiver.received()[0].is_signed_with(&hook.secret));
}

async fn endpoints_are_changed_and_taken_away(world: World) {
    let world = world.sends().await;
    let (before, after) = (Receiver::open().await, Receiver::open().await);
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&before.url(), &["subscription.paused"]).await;
    let input = UpdateEndpoint {
        url: Some(after.url()),
        types: Some(None),
        description: Some(Some("books".to_owned())),
        at_once: Some(3),
        enabled: None,
    };
    let changed = webhook::update(&world.app, &world.actor, hook.endpoint.id, input)
        .await
        .unwrap();
    assert_eq!((changed.types.as_ref(), changed.at_once), (None, 3));
    assert_eq!(read(&world, hook.endpoint.id).await, changed);
    happens(&world, id).await;
    world.catch_up().await;
    assert_eq!((before.kinds().len(), after.kinds().len()), (0, 2));
    for (input, field) in [
        (json!({"url": "http://10.0.0.1/"}), "url"),
        (json!({"types": ["no.such"]}), "types"),
        (json!({"types": []}), "types"),
        (json!({"at_once": 65}), "maxConcurrency"),
        (json!({"at_once": 0}), "maxConcurrency"),
    ] {
        let input = UpdateEndpoint {
            url: input["url"].as_str().map(str::to_owned),
            types: input
                .get("types")
                .map(|it| serde_json::from_value(it.clone()).unwrap()),
            at_once: input["at_once"].as_i64().map(|it| i32::try_from(it).unwrap()),
            ..UpdateEndpoint::default()
        };
        let refused = webhook::update(&world.app, &world.actor, hook.endpoint.id, input).await;
        assert_eq!(refusal(refused), (RejectionCode::InvalidInput, field.to_owned()));
    }
    webhook::delete(&world.app, &world.actor, hook.endpoint.id)
        .await
        .unwrap();
    happens(&world, id).await;
    world.catch_up().await;
    assert_eq!(after.kinds().len(), 2);
    let gone = webhook::endpoint(&world.app, &world.actor, hook.endpoint.id)
        .await
        .unwrap();
    assert_eq!(gone, None);
    let all = webhook::endpoints(&world.app, &world.actor, None, Page::first(10))
        .await
        .unwrap();
    assert_eq!(all.items, []);
}

async fn no_more_than_allowed_are_on_their_way(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let mut all = Vec::new();
    for name in ["ada", "bob", "eve", "fay", "gus", "hal", "ian", "joe"] {
        all.push(subscribed(&world, name).await.1);
    }
    world.catch_up().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    let two = UpdateEndpoint {
        at_once: Some(2),
        ..UpdateEndpoint::default()
    };
    webhook::update(&world.app, &world.actor, hook.endpoint.id, two)
        .await
        .unwrap();
    for id in all {
        happens(&world, id).await;
    }
    world.catch_up().await;
    assert_eq!(receiver.received().len(), 16);
    assert!(receiver.most_at_once() <= 2, "{}", receiver.most_at_once());
}

async fn many_workers_send_each_message_once(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    for _ in 0..5 {
        happens(&world, id).await;
    }
    let other = world.sends().await;
    let job = |kind: &str, subject: String| json!({ "kind": kind, "args": subject });
    let publish = job("event.publish", world.tenant().to_string());
    let send = job("webhook.deliver", hook.endpoint.id.to_string());
    for payload in [publish, send] {
        let runs = (0..64).map(|number| {
            let worker = if number % 2 == 0 { &world } else { &other };
            job::run(&worker.app, payload.clone())
        });
        futures::future::join_all(runs).await;
    }
    world.catch_up().await;
    let mut ids: Vec<String> = receiver.received().into_iter().map(|it| it.id).collect();
    let sent = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((sent, ids.len()), (10, 10));
}

/// Two messages that are due to an endpoint, and the job that sends them.
async fn two_that_are_due(world: &World, receiver: &Receiver) -> (Hook, Value) {
    let (_, id) = subscribed(world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    happens(world, id).await;
    let publish = json!({ "kind": "event.publish", "args": world.tenant().to_string() });
    job::run(&world.app, publish).await;
    let send = json!({ "kind": "webhook.deliver", "args": hook.endpoint.id.to_string() });
    (hook, send)
}

/// Begins a run, and waits until it has sent its two messages.
async fn begun(world: &World, receiver: &Receiver, send: &Value) -> tokio::task::JoinHandle<()> {
    let (app, send) = (world.app.clone(), send.clone());
    let run = tokio::spawn(async move { job::run(&app, send).await });
    receiver.has(2).await;
    run
}

async fn a_run_that_is_taken_for_dead_has_its_endpoint_in_hand(world: World) {
    let world = world.sends().await;
    let other = world.sends().await;
    let receiver = Receiver::open().await;
    receiver.answers(Manner::Held(200));
    let (hook, send) = two_that_are_due(&world, &receiver).await;
    let first = begun(&world, &receiver, &send).await;
    // Jobs are taken for dead before leases are over, and one of the other kind has a row of its own.
    world.advance(16);
    job::run(&other.app, send).await;
    let again = json!({ "kind": "webhook.retry", "args": hook.endpoint.id.to_string() });
    job::run(&other.app, again).await;
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(states(&world, &hook).await, [DeliveryState::Pending; 2]);
    receiver.lets_go();
    first.await.unwrap();
    world.catch_up().await;
    assert_eq!(sorted(&receiver), ["subscription.paused", "subscription.resumed"]);
    for it in deliveries(&world, &hook).await {
        assert_eq!((it.state, it.attempts), (DeliveryState::Delivered, 1));
    }
    // It has let go: what comes next is sent at once.
    let sent = webhook::send_test(&world.app, &world.actor, hook.endpoint.id, &world.key()).await;
    sent.unwrap();
    world.run_jobs().await;
    assert_eq!(receiver.received().len(), 3);
}

async fn a_run_that_died_is_followed_when_its_lease_is_over(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    receiver.answers(Manner::Held(200));
    let (hook, send) = two_that_are_due(&world, &receiver).await;
    let first = begun(&world, &receiver, &send).await;
    first.abort();
    first.await.unwrap_err();
    receiver.lets_go();
    // Neither the job nor the sweep gets past the lease of half a minute.
    for _ in 0..2 {
        world.advance(14);
        world.run_jobs().await;
        job::sweep(&world.app).await.unwrap();
        job::run(&world.app, send.clone()).await;
        assert_eq!(receiver.received().len(), 2);
    }
    world.advance(2);
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    // What the dead one sent is sent once more, as it was.
    let mut ids: Vec<String> = receiver.received().into_iter().map(|it| it.id).collect();
    ids.sort();
    assert_eq!(ids.len(), 4);
    assert_eq!((&ids[0], &ids[2]), (&ids[1], &ids[3]));
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered; 2]);
}

async fn what_is_delivered_is_written_while_another_message_hangs(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    receiver.answers_next([Manner::Held(200)]);
    let (hook, send) = two_that_are_due(&world, &receiver).await;
    let run = begun(&world, &receiver, &send).await;
    until("one is delivered", async || {
        (states(&world, &hook).await.contains(&DeliveryState::Delivered)).then_some(())
    })
    .await;
    assert!(!run.is_finished());
    assert!(states(&world, &hook).await.contains(&DeliveryState::Pending));
    receiver.lets_go();
    run.await.unwrap();
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered; 2]);
}

/// What goes well when an endpoint is switched off already, because it was on its way, does not take away the reason.
async fn what_arrives_at_one_that_is_switched_off_leaves_its_reason(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    receiver.answers_next([Manner::Status(410), Manner::Held(200)]);
    let (hook, send) = two_that_are_due(&world, &receiver).await;
    let run = begun(&world, &receiver, &send).await;
    until("it is switched off", async || {
        (read(&world, hook.endpoint.id).await.state == EndpointState::Disabled).then_some(())
    })
    .await;
    assert!(!run.is_finished());
    receiver.lets_go();
    run.await.unwrap();
    let endpoint = read(&world, hook.endpoint.id).await;
    assert_eq!((endpoint.state, endpoint.failures), (EndpointState::Disabled, 1));
    assert!(endpoint.last_problem.is_some());
}

/// An endpoint is pointed elsewhere while messages are on their way to where it was, where nobody wants any more.
async fn what_a_former_address_answers_says_nothing_of_the_present_one(world: World) {
    let world = world.sends().await;
    let (former, present) = (Receiver::open().await, Receiver::open().await);
    former.answers(Manner::Held(410));
    let (hook, send) = two_that_are_due(&world, &former).await;
    let run = begun(&world, &former, &send).await;
    let elsewhere = UpdateEndpoint {
        url: Some(present.url()),
        ..UpdateEndpoint::default()
    };
    let pointed = webhook::update(&world.app, &world.actor, hook.endpoint.id, elsewhere).await;
    pointed.unwrap();
    former.lets_go();
    run.await.unwrap();
    let endpoint = read(&world, hook.endpoint.id).await;
    assert_eq!((endpoint.state, endpoint.failures), (EndpointState::Enabled, 0));
    assert_eq!(endpoint.last_problem, None);
    world.advance(60);
    world.catch_up().await;
    assert_eq!(sorted(&present), ["subscription.paused", "subscription.resumed"]);
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered; 2]);
}

/// A run has failed on our side and pauses. Whoever asks for a message meanwhile wakes nobody who would pass it by.
async fn a_message_asked_for_during_a_pause_is_sent_after_it(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    let (any, now) = (world.any_id(), world.now().micros());
    world
        .sabotage(&format!(
            "INSERT INTO work (id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at)
             SELECT {any}, 'webhook.deliver', '{}', 'DUE', 1, {}, 0, {now}, {now}",
            hook.endpoint.id,
            now + 2_000_000,
        ))
        .await;
    let sent = webhook::send_test(&world.app, &world.actor, hook.endpoint.id, &world.key()).await;
    sent.unwrap();
    world.run_jobs().await;
    assert_eq!(receiver.received().len(), 0);
    world.advance(3);
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    assert_eq!(receiver.received().len(), 1);
}

async fn what_arrives_later_makes_a_failure_forgotten_that_was_written_before(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    receiver.answers_next([Manner::Status(500), Manner::Held(200)]);
    let (hook, send) = two_that_are_due(&world, &receiver).await;
    let run = begun(&world, &receiver, &send).await;
    until("a failure is written", async || {
        (read(&world, hook.endpoint.id).await.failures > 0).then_some(())
    })
    .await;
    assert!(!run.is_finished());
    receiver.lets_go();
    run.await.unwrap();
    assert_eq!(read(&world, hook.endpoint.id).await.failures, 0);
}

async fn messages_asked_for_one_by_one_wake_one_run(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    for _ in 0..5 {
        let sent = webhook::send_test(&world.app, &world.actor, hook.endpoint.id, &world.key()).await;
        sent.unwrap();
    }
    let mut sends: Vec<Value> = std::iter::from_fn(|| world.post.take()).collect();
    sends.retain(|job| job["kind"] == "webhook.deliver");
    assert_eq!(sends.len(), 1, "{sends:?}");
    job::run(&world.app, sends.remove(0)).await;
    assert_eq!(receiver.received().len(), 5);
}

/// Counts from 1, in the SQL of both databases.
fn counting(to: i64) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to})")
}

/// Endpoints that a sweep has woken.
async fn woken(world: &World) -> Vec<String> {
    job::sweep(&world.app).await.unwrap();
    let mut subjects = Vec::new();
    while let Some(payload) = world.post.take() {
        assert_eq!(payload["kind"], "webhook.deliver", "{payload}");
        subjects.push(payload["args"].as_str().unwrap().to_owned());
    }
    subjects
}

async fn a_sweep_wakes_so_many_and_first_those_that_have_waited_longest(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    subscribed(&world, "ada").await;
    world.catch_up().await;
    assert_eq!(woken(&world).await, [""; 0]);
    // A thousand and one others, each with a message that is due: the first of them has waited least.
    let (any, now) = (world.any_id(), world.now().micros());
    let first = "00000000-0000-7000-8000-000000000001".parse().unwrap();
    world
        .sabotage(&format!(
            "INSERT INTO webhook_endpoint (id, tenant_id, url, description, state, salt, generation, at_once, created_at, updated_at)
             {} SELECT CASE WHEN n.i = 1 THEN {} ELSE {any} END, e.tenant_id, e.url, 'another', 'ENABLED', e.salt, 1, 1, {now} - n.i, {now}
             FROM n, webhook_endpoint e WHERE e.id = {}",
            counting(1_001),
            world.literal(first),
            world.literal(hook.endpoint.id.0),
        ))
        .await;
    world
        .sabotage(&format!(
            "INSERT INTO webhook_delivery (id, tenant_id, endpoint_id, event_id, state, attempts, next_at, log, created_at)
             SELECT {any}, e.tenant_id, e.id, (SELECT d.event_id FROM webhook_delivery d LIMIT 1), 'PENDING', 0, e.created_at,
                '[]', e.created_at
             FROM webhook_endpoint e WHERE e.description = 'another'"
        ))
        .await;
    let last = WebhookEndpointId(first).to_string();
    let some = woken(&world).await;
    assert_eq!(some.len(), 1_000);
    assert!(!some.contains(&last));
    // They are served, and it has its turn.
    world
        .sabotage(&format!(
            "UPDATE webhook_delivery SET state = 'DELIVERED', ended_at = {now} WHERE state = 'PENDING' AND endpoint_id <> {}",
            world.literal(first),
        ))
        .await;
    assert_eq!(woken(&world).await, [last]);
}

async fn what_was_given_up_is_found_among_what_was_delivered(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    subscribed(&world, "ada").await;
    world.catch_up().await;
    let (any, own) = (world.any_id(), world.literal(hook.endpoint.id.0));
    world
        .sabotage(&format!(
            "INSERT INTO webhook_delivery (id, tenant_id, endpoint_id, event_id, state, attempts, next_at, log, created_at, ended_at)
             {} SELECT {any}, d.tenant_id, d.endpoint_id, {any}, CASE WHEN n.i % 1000 = 0 THEN 'FAILED' ELSE 'DELIVERED' END, 1,
                d.next_at, d.log, d.created_at, d.ended_at
             FROM n, webhook_delivery d WHERE d.endpoint_id = {own}",
            counting(5_000),
        ))
        .await;
    let page = async |after| {
        let page = Page::relay(Some(3), None, after, None).unwrap();
        let state = Some(DeliveryState::Failed);
        let slice = webhook::deliveries(&world.app, &world.actor, hook.endpoint.id, state, page).await;
        slice.unwrap()
    };
    let first = page(None).await;
    let rest = page(Some(first.items[2].id)).await;
    assert_eq!((first.has_next, rest.has_next), (true, false));
    let all: Vec<Delivery> = first.items.into_iter().chain(rest.items).collect();
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|it| it.state == DeliveryState::Failed));
    assert!(all.is_sorted_by(|newer, older| newer.id.0 > older.id.0));
    // As it is asked for, an index has these and no others.
    let plan = world
        .plan(&format!(
            "SELECT * FROM webhook_delivery WHERE tenant_id = {} AND endpoint_id = {own} AND webhook_delivery.state = 'FAILED'
             ORDER BY id DESC LIMIT 4",
            world.literal(world.tenant().0),
        ))
        .await;
    assert!(plan.contains("webhook_delivery_failed"), "{plan}");
}

async fn what_waits_is_found_below_what_was_delivered(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    subscribed(&world, "ada").await;
    world.catch_up().await;
    let (any, own) = (world.any_id(), world.literal(hook.endpoint.id.0));
    let write = async |count: i64, state: &str| {
        // What waits longest is not the oldest: it was sent again.
        let insert = format!(
            "INSERT INTO webhook_delivery (id, tenant_id, endpoint_id, event_id, state, attempts, next_at, log, created_at, ended_at)
             {} SELECT {any}, d.tenant_id, d.endpoint_id, {any}, '{state}', 1, d.next_at - n.i % 7, d.log, d.created_at, d.ended_at
             FROM n, (SELECT * FROM webhook_delivery WHERE endpoint_id = {own} LIMIT 1) AS d",
            counting(count),
        );
        world.sabotage(&insert).await;
    };
    write(5_000, "DELIVERED").await;
    write(7, "PENDING").await;
    let page = async |first, last, after, before| {
        let page = Page::relay(first, last, after, before).unwrap();
        let state = Some(DeliveryState::Pending);
        let slice = webhook::deliveries(&world.app, &world.actor, hook.endpoint.id, state, page).await;
        slice.unwrap()
    };
    let first = page(Some(3), None, None, None).await;
    let rest = page(Some(5), None, Some(first.items[2].id), None).await;
    assert_eq!((first.has_next, rest.has_next), (true, false));
    let last = page(None, Some(2), None, None).await;
    assert_eq!((last.has_previous, &last.items[..]), (true, &rest.items[2..]));
    let back = page(None, Some(5), None, Some(rest.items[0].id)).await;
    assert_eq!((back.has_previous, &back.items), (false, &first.items));
    let all: Vec<Delivery> = first.items.into_iter().chain(rest.items).collect();
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|it| it.state == DeliveryState::Pending));
    assert!(all.is_sorted_by(|newer, older| newer.id.0 > older.id.0));
    // As it is asked for, an index has these and no others.
    let plan = world
        .plan(&format!(
            "SELECT id FROM webhook_delivery WHERE endpoint_id = {own} AND state = 'PENDING' ORDER BY next_at, id LIMIT 10001"
        ))
        .await;
    assert!(plan.contains("webhook_delivery_due"), "{plan}");

    // So many that nothing can have arrived for a while.
    write(10_000, "PENDING").await;
    let many = page(Some(100), None, None, None).await;
    assert_eq!((many.items.len(), many.has_next), (100, true));
    assert!(many.items.iter().all(|it| it.state == DeliveryState::Pending));
    assert!(many.items.is_sorted_by(|newer, older| newer.id.0 > older.id.0));
}

async fn lost_doubled_and_reordered_jobs_lose_nothing(world: World) {
    use std::sync::atomic::Ordering::SeqCst;
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let (_, id) = subscribed(&world, "ada").await;
    world.catch_up().await;
    let hook = world.hook(&receiver.url(), &[]).await;
    for (loses, doubles, reorders) in [(true, false, false), (false, true, false), (false, true, true)] {
        world.post.loses.store(loses, SeqCst);
        world.post.doubles.store(doubles, SeqCst);
        world.post.reorders.store(reorders, SeqCst);
        happens(&world, id).await;
        world.run_jobs().await;
        world.post.loses.store(false, SeqCst);
        world.run_to_rest().await;
    }
    assert_eq!(states(&world, &hook).await, [DeliveryState::Delivered; 6]);
    let mut ids: Vec<String> = receiver.received().into_iter().map(|it| it.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

async fn strangers_hear_and_see_nothing(world: World) {
    let world = world.sends().await;
    let receiver = Receiver::open().await;
    let stranger = world.stranger().await;
    let hook = stranger.hook(&receiver.url(), &[]).await;
    let (_, id) = subscribed(&world, "ada").await;
    happens(&world, id).await;
    world.catch_up().await;
    assert_eq!(receiver.kinds(), [""; 0]);
    let seen = webhook::endpoint(&world.app, &world.actor, hook.endpoint.id)
        .await
        .unwrap();
    assert_eq!(seen, None);
    let refused = webhook::delete(&world.app, &world.actor, hook.endpoint.id).await;
    assert_eq!(refusal(refused).0, RejectionCode::NotFound);
    let feed = event::feed(&stranger.app, &stranger.actor, None, None, 100)
        .await
        .unwrap();
    assert_eq!((feed.events.len(), feed.position), (0, 0));
}
