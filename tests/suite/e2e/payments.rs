//! Credits, bought over the wire, by hand and by auto-recharge: with a card that works, with one that leaves everybody in the dark, and with one that wants its owner.

use serde_json::{Value, json};

use super::{
    client::{Client, purchase},
    process::{Process, until},
    stage::Stage,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_bought_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        buy(&dev.client).await;
        recharge(&dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_are_bought_with_a_worker_of_the_lane_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let api = stage.api().await;
        let _worker: Process = stage.start(&["worker", "--lane", "payments"]);
        buy(&api.client).await;
        let _usage: Process = stage.start(&["worker", "--lane", "usage"]);
        recharge(&api.client).await;
    })
    .await;
}

async fn buy(client: &Client) {
    client.customer("acme", "1").await;
    let early = client.ask(&purchase("acme", "25", "early")).await;
    assert_eq!(
        early["purchaseCredits"]["userErrors"][0]["code"],
        "PAYMENTS_NOT_SET_UP"
    );
    client.sells_credits().await;
    let small = client.ask(&purchase("acme", "4.99", "small")).await;
    let no = &small["purchaseCredits"]["userErrors"][0];
    assert_eq!(
        (&no["code"], &no["path"]),
        (&json!("INVALID_INPUT"), &json!(["input", "amount"]))
    );

    client.card("acme", "SUCCESS").await;
    let bought = client.change(&purchase("acme", "25", "once")).await;
    assert_eq!(bought["payment"]["credits"], "25");
    let paid = ended(client, &bought, "SUCCEEDED").await;
    assert_eq!(paid["amount"], json!({ "amount": "25.00", "currency": "USD" }));
    assert_eq!(balance(client, "acme").await, "26");
    let block = paid["blockId"].as_str().unwrap();
    let block = client
        .ask(&format!(
            r#"{{ node(id: "{block}") {{ ... on CreditBlock {{ source billing credits }} }} }}"#
        ))
        .await;
    assert_eq!(
        block["node"],
        json!({ "source": "PURCHASE", "billing": "PREPAID", "credits": "25" })
    );
    let again = client.change(&purchase("acme", "25", "once")).await;
    assert_eq!(
        (&again["idempotentReplay"], &again["payment"]),
        (&json!(true), &bought["payment"])
    );

    // The charge is made, nobody is told, and it is found out.
    client.customer("dark", "1").await;
    client.card("dark", "TIMEOUT_CHARGED").await;
    let bought = client.change(&purchase("dark", "10", "dark")).await;
    ended(client, &bought, "SUCCEEDED").await;
    assert_eq!(balance(client, "dark").await, "11");

    client.customer("careful", "1").await;
    client.card("careful", "AUTHENTICATION_REQUIRED").await;
    let bought = client.change(&purchase("careful", "10", "careful")).await;
    ended(client, &bought, "REQUIRES_ACTION").await;
    let id = bought["payment"]["id"].as_str().unwrap();
    let confirm = format!(
        r#"mutation {{ confirmSandboxPayment(input: {{paymentId: "{id}"}}) {{ payment {{ state }} userErrors {{ code path message }} }} }}"#
    );
    assert_eq!(client.change(&confirm).await["payment"]["state"], "SUCCEEDED");
    assert_eq!(balance(client, "careful").await, "11");

    client.customer("broke", "1").await;
    client.card("broke", "INSUFFICIENT_FUNDS").await;
    let bought = client.change(&purchase("broke", "10", "broke")).await;
    let failed = ended(client, &bought, "FAILED").await;
    assert_eq!(
        (&failed["declineCode"], &failed["blockId"]),
        (&json!("INSUFFICIENT_FUNDS"), &Value::Null)
    );
    assert_eq!(balance(client, "broke").await, "1");
    let read = client
        .ask(
            r#"{ customer(externalId: "broke") { paymentMethods { brand lastFour isDefault expiryYear }
                events(first: 1) { nodes { type data } } } }"#,
        )
        .await;
    let card = json!([{ "brand": "sandbox", "lastFour": "0001", "isDefault": true, "expiryYear": 2099 }]);
    assert_eq!(read["customer"]["paymentMethods"], card);
    let told = &read["customer"]["events"]["nodes"][0];
    assert_eq!(told["type"], "payment.failed");
    assert_eq!(told["data"]["decline_code"], "insufficient_funds");
}

/// Usage brings a balance down, and it comes up again by itself.
async fn recharge(client: &Client) {
    client.metric("call", r#"{perUnit: {creditsPerUnit: "1"}}"#).await;
    client.customer("steady", "12").await;
    client.card("steady", "SUCCESS").await;
    let rule = |cap: &str| {
        format!(
            r#"mutation {{ updateAutoRecharge(input: {{externalCustomerId: "steady", rule: {{threshold: "10",
                amount: {{fixed: {{amount: "20", currency: "USD"}}}}, monthlyCap: {{amount: "{cap}", currency: "USD"}}}}}})
                {{ autoRecharge {{ enabled state threshold fixedAmount {{ amount }} target }} userErrors {{ code path message }} }} }}"#
        )
    };
    let refused = client.ask(&rule("19")).await;
    let no = &refused["updateAutoRecharge"]["userErrors"][0];
    assert_eq!(
        (&no["code"], &no["path"]),
        (
            &json!("INVALID_INPUT"),
            &json!(["input", "rule", "monthlyCap", "amount"])
        )
    );
    let agreed = client.change(&rule("100")).await;
    assert_eq!(
        agreed["autoRecharge"],
        json!({ "enabled": true, "state": "WATCHING", "threshold": "10", "fixedAmount": { "amount": "20.00" }, "target": null })
    );
    let event =
        json!({ "externalCustomerId": "steady", "metricKey": "call", "units": "5", "idempotencyKey": "low" });
    client.try_record(&[event]).await.unwrap();
    until("the balance has come up again", async || {
        (balance(client, "steady").await == "27").then_some(())
    })
    .await;
    let read = client
        .ask(
            r#"{ customer(externalId: "steady") { payments { nodes { purpose state amount { amount } } }
                autoRecharge { state reason failures chargedInMonth { amount } evaluations { reason balance threshold times }
                    forecast { creditsPerDay charge { amount } } }
                autoRechargeDryRun(rule: {threshold: "1", amount: {target: "9"}, monthlyCap: {amount: "50", currency: "USD"}})
                    { charges { amount { amount } } lowestBalance closingBalance } } }"#,
        )
        .await;
    let customer = &read["customer"];
    assert_eq!(
        customer["payments"]["nodes"],
        json!([{ "purpose": "RECHARGE", "state": "SUCCEEDED", "amount": { "amount": "20.00" } }])
    );
    let seen = &customer["autoRecharge"];
    assert_eq!(
        (&seen["state"], &seen["reason"], &seen["chargedInMonth"]["amount"]),
        (&json!("WAITING"), &json!("JUST_CHARGED"), &json!("20.00"))
    );
    assert_eq!(
        seen["evaluations"],
        json!([{ "reason": null, "balance": "7", "threshold": "10", "times": 1 }])
    );
    assert_eq!(seen["forecast"]["charge"]["amount"], "20.00");
    assert_eq!(
        customer["autoRechargeDryRun"],
        json!({ "charges": [], "lowestBalance": "0", "closingBalance": "7" })
    );
    let stop = |stopped: bool| {
        format!(
            "mutation {{ stopAllAutoRecharge(input: {{stopped: {stopped}}}) {{ paymentSettings {{ autoRechargeStoppedAt }} userErrors {{ code }} }} }}"
        )
    };
    let stopped = client.change(&stop(true)).await;
    assert!(stopped["paymentSettings"]["autoRechargeStoppedAt"].is_string());
    let going = client.change(&stop(false)).await;
    assert!(going["paymentSettings"]["autoRechargeStoppedAt"].is_null());
    let off = r#"mutation { updateAutoRecharge(input: {externalCustomerId: "steady"}) { autoRecharge { enabled } userErrors { code } } }"#;
    assert_eq!(client.change(off).await["autoRecharge"]["enabled"], false);
}

/// Waits until a payment has come to a state.
async fn ended(client: &Client, bought: &Value, state: &str) -> Value {
    let id = bought["payment"]["id"].as_str().unwrap();
    let query =
        format!(r#"{{ payment(id: "{id}") {{ state declineCode blockId amount {{ amount currency }} }} }}"#);
    until(&format!("{id} is {state}"), async || {
        let payment = client.ask(&query).await["payment"].clone();
        (payment["state"] == state).then_some(payment)
    })
    .await
}

async fn balance(client: &Client, name: &str) -> Value {
    let query = format!(r#"{{ customer(externalId: "{name}") {{ balance {{ remaining }} }} }}"#);
    client.ask(&query).await["customer"]["balance"]["remaining"].clone()
}
