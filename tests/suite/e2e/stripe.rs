//! Credits, bought through Stripe: the real command against the stand-in for Stripe on which its provider is tested.

use serde_json::{Value, json};

use super::{
    client::{Client, purchase},
    fake::{Fake, SECRET},
    process::until,
    stage::{Stage, dev_key, try_base},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_bought_through_stripe_on_sqlite() {
    Stage::on_sqlite(async |stage| buy(stage).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_bought_through_stripe_on_postgres() {
    Stage::on_postgres(async |stage| buy(stage).await).await;
}

async fn buy(stage: &Stage) {
    let fake = Fake::start().await;
    let account = [
        ("TALLYGATE_STRIPE_SECRET_KEY", SECRET),
        ("TALLYGATE_STRIPE_URL", fake.base.as_str()),
    ];
    let mut process = stage.start_with(&["dev"], &account);
    let base = try_base(&mut process).await.unwrap();
    let client = &Client::new(&base, &dev_key(&process));
    client
        .change(
            r#"mutation { updatePaymentSettings(input: {provider: "stripe", creditPrice: {perCredit: "0.01", currency: "USD"}})
                { paymentSettings { provider } userErrors { code path message } } }"#,
        )
        .await;
    for (name, card, state) in [
        ("acme", "pm_fine", "SUCCEEDED"),
        ("silent", "pm_drop_charged", "SUCCEEDED"),
        ("broke", "pm_decline_insufficient_funds", "FAILED"),
        ("careful", "pm_confirm", "REQUIRES_ACTION"),
    ] {
        client.customer(name, "1").await;
        leave(client, &fake, name, card).await;
        let bought = client.change(&purchase(name, "25", name)).await;
        let paid = came_to(client, &bought["payment"], state).await;
        let remaining = client.settled(name).await["remaining"].clone();
        let wanted = if state == "SUCCEEDED" { "2501" } else { "1" };
        assert_eq!(remaining, wanted, "{name}");
        assert!(
            paid["providerReference"]
                .as_str()
                .is_some_and(|it| it.starts_with("pi_"))
        );
        let page = (name == "careful").then_some("https://bank.example/3ds");
        assert_eq!(paid["actionUrl"], json!(page), "{name}");
    }
    assert_eq!(fake.books().taken(), [2_500, 2_500], "each charged once");
}

/// Leaves a card on Stripe's page, as a customer does.
async fn leave(client: &Client, fake: &Fake, name: &str, card: &str) {
    let page = client
        .change(&format!(
            r#"mutation {{ startPaymentMethodSetup(input: {{externalCustomerId: "{name}", returnUrl: "https://vendor.example/back",
                idempotencyKey: "page-{name}"}}) {{ setup {{ id url }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let url = page["setup"]["url"].as_str().unwrap();
    let session = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    let method = json!({"id": card, "type": "card", "billing_details": {"name": "Ada"},
        "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}});
    fake.books().leave(session, "succeeded", method);
    let query = format!(
        "{{ paymentMethodSetup(id: {}) {{ paymentMethodId }} }}",
        page["setup"]["id"]
    );
    let left = client.ask(&query).await;
    assert!(
        left["paymentMethodSetup"]["paymentMethodId"].is_string(),
        "{left}"
    );
}

async fn came_to(client: &Client, payment: &Value, state: &str) -> Value {
    let query = format!(
        "{{ payment(id: {}) {{ state providerReference actionUrl }} }}",
        payment["id"]
    );
    until(&format!("{payment} is {state}"), async || {
        let payment = client.ask(&query).await["payment"].clone();
        (payment["state"] == state).then_some(payment)
    })
    .await
}
