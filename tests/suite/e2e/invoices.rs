//! Invoices over the wire: the month of source P4 in money, paid with a card, read as a page and as a PDF, and taken back.

use serde_json::{Value, json};

use super::{
    client::{Client, event},
    process::until,
    stage::Stage,
    subscriptions::advance,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_billed_with_dev_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        bill(&dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_billed_with_separate_processes_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let api = stage.api().await;
        let _workers = [stage.worker(), stage.worker()];
        bill(&api.client).await;
    })
    .await;
}

fn id(of: &Value) -> String {
    of["id"].as_str().unwrap().to_owned()
}

async fn bill(client: &Client) {
    client.sells_credits().await;
    let refused = client
        .ask(r#"mutation { updateInvoiceSettings(input: {seller: {name: "Vendor", country: "DE"}, netDays: 367}) { userErrors { code path } } }"#)
        .await;
    let no = &refused["updateInvoiceSettings"]["userErrors"][0];
    assert_eq!(
        (&no["code"], &no["path"]),
        (&json!("INVALID_INPUT"), &json!(["input", "netDays"]))
    );
    client
        .change(
            r#"mutation { updateInvoiceSettings(input: {seller: {name: "Vendor <GmbH>", line1: "Hauptstr. 1", city: "Berlin", country: "DE"},
                vatNumber: "DE136695976", taxRates: [{country: "DE", name: "MwSt.", percent: "19"}]})
                { invoiceSettings { numberPrefix netDays taxRates { percent } } userErrors { code path message } } }"#,
        )
        .await;
    let clock = subscribed(client).await;
    advance(client, &clock, "2026-04-20T00:00:00Z").await;
    client.record(&[event("acme", "api_call", 85_000, "calls")]).await;
    assert_eq!(client.settled("acme").await["remaining"], "52500");
    advance(client, &clock, "2026-05-13T01:00:00Z").await;
    let invoice = paid(client).await;
    let money = |amount: &str| json!({ "amount": amount });
    assert_eq!(
        (
            &invoice["number"],
            &invoice["subtotal"],
            &invoice["tax"],
            &invoice["amountDue"]
        ),
        (
            &json!("INV-000001"),
            &money("475.00"),
            &money("90.25"),
            &money("565.25")
        )
    );
    let line = &invoice["lines"][0];
    assert_eq!(line["usage"]["units"], "85000");
    let parts = json!([
        { "quantity": "10000", "unitPrice": "0.01", "amount": money("100.00") },
        { "quantity": "75000", "unitPrice": "0.005", "amount": money("375.00") },
    ]);
    assert_eq!(line["usage"]["parts"], parts);
    assert_eq!(
        invoice["payments"],
        json!([{ "purpose": "INVOICE", "state": "SUCCEEDED" }])
    );
    documents(client, &invoice).await;
    taken_back(client, &invoice).await;
}

/// A customer by a test clock, with a card, who has agreed to the plan of source P4 with its prices in money; answers the clock.
async fn subscribed(client: &Client) -> String {
    client
        .metric(
            "api_call",
            r#"{graduated: {tiers: [{upTo: "10000", creditsPerUnit: "1"}, {upTo: "100000", creditsPerUnit: "0.5"}, {upTo: null, creditsPerUnit: "0.1"}]}}"#,
        )
        .await;
    client
        .change(r#"mutation { createPlan(input: {key: "api", name: "API", idempotencyKey: "p"}) { plan { id } userErrors { code path message } } }"#)
        .await;
    let variant = client
        .change(
            r#"mutation { createPlanVariant(input: {planKey: "api", name: "Monthly", interval: {unit: MONTH}, mode: POSTPAID,
                moneyPrices: [{metricKey: "api_call", currency: "USD", price: {graduated: {tiers: [{upTo: "10000", amountPerUnit: "0.01"},
                    {upTo: "100000", amountPerUnit: "0.005"}, {upTo: null, amountPerUnit: "0.001"}]}}}], idempotencyKey: "v"})
                { planVariant { id } userErrors { code path message } } }"#,
        )
        .await;
    let variant = id(&variant["planVariant"]);
    client
        .change(&format!(
            r#"mutation {{ createGrantTemplate(input: {{variantId: "{variant}", credits: "100000", priority: 10, idempotencyKey: "t"}})
                {{ grantTemplate {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let clock = client
        .change(
            r#"mutation { createTestClock(input: {name: "P4", now: "2026-04-13T00:00:00Z", idempotencyKey: "k"})
                { testClock { id } userErrors { code path message } } }"#,
        )
        .await;
    let clock = id(&clock["testClock"]);
    client
        .change(&format!(
            r#"mutation {{ createCustomer(input: {{externalId: "acme", name: "Αcme Łódź", testClockId: "{clock}", policy: ALLOW, settlement: NEXT_INVOICE,
                invoiceAddress: {{line1: "Am Tor 2", city: "Köln", country: "DE"}}, poNumber: "PO-7", idempotencyKey: "c"}})
                {{ customer {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    client.card("acme", "SUCCESS").await;
    client
        .change(&format!(
            r#"mutation {{ createSubscription(input: {{externalCustomerId: "acme", variantId: "{variant}", idempotencyKey: "s"}})
                {{ subscription {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    clock
}

/// Waits until the invoice is paid.
async fn paid(client: &Client) -> Value {
    let query = r#"{ customer(externalId: "acme") { paymentsDue { nodes { id } } invoices { nodes { id number state
        subtotal { amount } tax { amount } amountDue { amount } htmlPath pdfPath payments { purpose state }
        lines { description amount { amount } usage { units parts { quantity unitPrice amount { amount } } } } } } } }"#;
    until("the invoice is paid", async || {
        let customer = client.ask(query).await["customer"].clone();
        let invoice = customer["invoices"]["nodes"][0].clone();
        let due = customer["paymentsDue"]["nodes"].as_array()?.len();
        (invoice["state"] == "PAID" && due == 0).then_some(invoice)
    })
    .await
}

/// Whoever has the addresses may read the documents; others find nothing.
async fn documents(client: &Client, invoice: &Value) {
    let get = async |path: &str| {
        crate::harness::get(format!("{}{path}", client.base))
            .await
            .unwrap()
    };
    let page = get(invoice["htmlPath"].as_str().unwrap()).await;
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let page = page.text().await.unwrap();
    for text in [
        "INV-000001",
        "Vendor &lt;GmbH&gt;",
        "Αcme Łódź",
        "565.25",
        "PO-7",
        "10,000 × 0.01",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert!(!page.contains("<script"));
    let pdf = get(invoice["pdfPath"].as_str().unwrap()).await;
    assert_eq!(
        (
            pdf.status().as_u16(),
            pdf.headers()["content-type"].to_str().unwrap()
        ),
        (200, "application/pdf")
    );
    assert!(pdf.bytes().await.unwrap().starts_with(b"%PDF-"));
    for path in ["/documents/guessed", "/documents/guessed.pdf", "/documents/.pdf"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
}

/// A credit note has a number and a document of its own, and leaves money for the next invoice.
async fn taken_back(client: &Client, invoice: &Value) {
    let made = client
        .change(&format!(
            r#"mutation {{ createCreditNote(input: {{invoiceId: "{}", amount: {{amount: "119", currency: "USD"}}, reason: GOODWILL, idempotencyKey: "n"}})
                {{ creditNote {{ number total {{ amount }} tax {{ amount }} htmlPath }} userErrors {{ code path message }} }} }}"#,
            id(invoice)
        ))
        .await["creditNote"]
        .clone();
    assert_eq!(
        (&made["number"], &made["tax"]["amount"]),
        (&json!("INV-CN-000001"), &json!("19.00"))
    );
    let page = crate::harness::get(format!("{}{}", client.base, made["htmlPath"].as_str().unwrap())).await;
    let page = page.unwrap().text().await.unwrap();
    assert!(page.contains("INV-CN-000001") && page.contains("119.00"));
    let left = client
        .ask(r#"{ customer(externalId: "acme") { moneyBalances { amount currency } } }"#)
        .await;
    assert_eq!(
        left["customer"]["moneyBalances"],
        json!([{ "amount": "119.00", "currency": "USD" }])
    );
}
