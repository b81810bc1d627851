//! Vendors that write to their customers, and what they have written.

use app::{
    customer::{CustomerRef, UpdateCustomer},
    job,
    notify::{self, CustomerMail, Mail, UpdateCustomerMail, UpdateMailSetting},
    page::Page,
};
use domain::{amount::Credits, id::CustomerId};
use serde_json::{Value, json};

use super::World;

/// Has the vendor write to its customers.
pub async fn writes(world: &World) {
    let input = UpdateMailSetting {
        enabled: Some(true),
        sender: Some(Some("Acme Billing".to_owned())),
        ..UpdateMailSetting::default()
    };
    notify::update_mail_setting(&world.app, &world.actor, input)
        .await
        .unwrap();
}

/// Does all that is to be done, publishing and sending by so many workers at the same time.
pub async fn written_by(world: &World, workers: usize) {
    let ours = |payload: &Value| {
        let kind = payload["kind"].as_str().unwrap_or_default();
        kind != "event.publish" && kind != "mail.send"
    };
    // Everything but publishing and sending, which many then do at once.
    for _ in 0..50 {
        world.quiet().await;
        let Some(payload) = world.post.take() else { break };
        if ours(&payload) {
            job::run(&world.app, payload).await;
        }
    }
    let publish = json!({ "kind": "event.publish", "args": world.tenant().to_string() });
    let send = json!({ "kind": "mail.send", "args": "all" });
    for payload in [publish, send] {
        let runs = (0..workers).map(|_| job::run(&world.app, payload.clone()));
        futures::future::join_all(runs).await;
    }
}

/// Gives a customer a name and an address for bills.
pub async fn named(world: &World, customer: CustomerId, name: &str, address: &str) {
    let input = UpdateCustomer {
        billing_email: Some(Some(address.to_owned())),
        name: Some(Some(name.to_owned())),
        ..UpdateCustomer::default()
    };
    app::customer::update(&world.app, &world.actor, &CustomerRef::Id(customer), input)
        .await
        .unwrap();
}

/// The letters, oldest first.
pub async fn outbox(world: &World) -> Vec<Mail> {
    let page = notify::outbox(&world.app, &world.actor, Page::first(100)).await;
    let mut all = page.unwrap().items;
    all.reverse();
    all
}

/// Changes what a customer is written about.
pub async fn wishes(
    world: &World,
    customer: CustomerId,
    input: UpdateCustomerMail,
) -> app::Result<CustomerMail> {
    notify::update_customer_mail(&world.app, &world.actor, &CustomerRef::Id(customer), input).await
}

/// Has a customer told when its balance comes down so far; `None`: never.
pub async fn told_at(
    world: &World,
    customer: CustomerId,
    balance: Option<Credits>,
) -> app::Result<CustomerMail> {
    let input = UpdateCustomerMail {
        low_balance: Some(balance),
        ..UpdateCustomerMail::default()
    };
    wishes(world, customer, input).await
}
