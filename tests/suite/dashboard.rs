//! The pages of a billing console (source P2), each from one query with a customer's token: the documents in `tests/dashboard`, as a dashboard
//! would send them.

use std::{collections::BTreeMap, fs, path::Path};

use api::Limits;
use domain::id::CustomerId;
use gateway::payment::sandbox::Card;
use serde_json::{Value, json};

use crate::harness::{
    World, billing,
    desk::{list, text},
    door::Door,
    paying::{self, card},
    per_unit,
};

on_both!(every_page_is_one_query_of_the_customer_itself);

/// The documents by their names.
fn pages() -> BTreeMap<String, String> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard");
    let files = fs::read_dir(place).unwrap().map(|file| file.unwrap().path());
    let page = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    files.map(page).collect()
}

async fn says(door: &Door, mutation: &str) -> Value {
    let data = door.data(&format!("mutation {{ {mutation} }}"), json!({})).await;
    let payload = data.as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(payload["userErrors"], json!([]), "{mutation}");
    payload
}

/// A customer with everything that its pages show.
async fn ada(world: &World, door: &Door) -> CustomerId {
    world.priced("call", per_unit("1")).await;
    paying::sells(world).await;
    billing::bills(world, billing::terms()).await;
    let ada = world.customer("ada").await;
    card(world, ada, Card::Success).await;
    says(
        door,
        r#"updateCustomer(input: { externalCustomerId: "ada", name: "Ada Ltd", billingEmail: "books@ada.example", poNumber: "PO-7",
            invoiceAddress: { line1: "1 Engine Row", city: "London", postalCode: "N1", country: "GB" } })
            { userErrors { code path } }"#,
    )
    .await;
    says(
        door,
        r#"addTaxRegistration(input: { externalCustomerId: "ada", country: "GB", kind: GB_VAT, value: "GB980780684", idempotencyKey: "t" })
            { userErrors { code path } }"#,
    )
    .await;
    let wish = paying::wish(ada, "50 USD");
    app::payment::purchase(&world.app, &world.actor, wish, &world.key())
        .await
        .unwrap();
    world.run_to_rest().await;
    says(
        door,
        r#"updateAutoRecharge(input: { externalCustomerId: "ada", rule: { threshold: "5",
            amount: { fixed: { amount: "20", currency: "USD" } }, monthlyCap: { amount: "100", currency: "USD" } } })
            { userErrors { code path } }"#,
    )
    .await;
    says(
        door,
        r#"updateSpendSettings(input: { externalCustomerId: "ada", enabled: true, daily: { threshold: "8", budget: "30" } })
            { userErrors { code path } }"#,
    )
    .await;
    world.consume(ada, "call", "4").await;
    world.run_to_rest().await;
    world.advance(86_400);
    world.consume(ada, "call", "9").await;
    world.run_to_rest().await;
    ada
}

async fn every_page_is_one_query_of_the_customer_itself(world: World) {
    let door = Door::open(&world, Limits::default()).await;
    door.ask("{ viewer { tenant { name } } }", json!({})).await;
    world.count_tasks().await;
    ada(&world, &door).await;
    world.give(world.customer("bob").await, "77").await;
    let token = says(
        &door,
        r#"createCustomerToken(input: { externalCustomerId: "ada", idempotencyKey: "d" }) { secret userErrors { code path } }"#,
    )
    .await;
    let door = door.with_key(&text(&token["secret"]));
    let mut seen = BTreeMap::new();
    for (name, document) in pages() {
        let data = door.data(&document, json!({})).await;
        seen.insert(name, data);
    }
    let page = |name: &str| seen.get(name).unwrap_or_else(|| panic!("no page {name}"))["customer"].clone();

    let overview = page("overview");
    let credits = &overview["creditOverview"];
    let bought = text(&credits["granted"]).parse::<i64>().unwrap();
    assert_eq!(credits["usedThisPeriod"], "13");
    assert_eq!(overview["balance"]["remaining"], (bought - 13).to_string());
    assert_eq!(
        overview["balance"]["available"], "21",
        "what is left of today's budget"
    );
    assert_eq!(
        overview["spend"]["daily"],
        json!({ "budget": "30", "used": "9", "left": "21",
        "resetsAt": "2026-03-12T00:00:00Z" })
    );
    assert_eq!(overview["autoRecharge"]["enabled"], true);
    assert_eq!(overview["invoiceAddress"]["city"], "London");
    assert_eq!(
        overview["notifications"]["addresses"],
        json!(["books@ada.example"])
    );

    let invoices = page("invoices");
    assert_eq!(invoices["paymentsDue"]["nodes"], json!([]));
    let receipts = list(&invoices["invoices"]["nodes"]);
    assert_eq!((receipts.len(), &receipts[0]["state"]), (1, &json!("PAID")));
    assert_ne!(receipts[0]["paidAt"], Value::Null);

    let cards = list(&page("payment_methods")["paymentMethods"]);
    assert_eq!((cards.len(), &cards[0]["isDefault"]), (1, &json!(true)));

    let spend = page("spend_management")["spend"].clone();
    assert_eq!(
        (&spend["daily"]["used"], &spend["usedYesterday"]),
        (&json!("9"), &json!("4"))
    );
    assert_eq!(
        (&spend["daily"]["threshold"], &spend["webhookUrl"]),
        (&json!("8"), &Value::Null)
    );

    let settings = &seen["add_credits"]["paymentSettings"];
    assert_eq!(settings["minimum"]["currency"], "USD");
    assert_eq!(list(&page("add_credits")["payments"]["nodes"]).len(), 1);

    let recharge = page("auto_recharge")["autoRecharge"].clone();
    assert_eq!(
        (&recharge["threshold"], &recharge["state"]),
        (&json!("5"), &json!("WATCHING"))
    );
    assert_eq!(page("invoice_address")["poNumber"], "PO-7");
    assert_eq!(page("invoice_notifications")["billingEmail"], "books@ada.example");
    let numbers = list(&page("tax_settings")["taxRegistrations"]);
    assert_eq!((numbers.len(), &numbers[0]["value"]), (1, &json!("GB980780684")));

    let history = page("balance_history");
    let lines = list(&history["ledger"]["nodes"]);
    let kinds: Vec<String> = lines.iter().map(|it| text(&it["kind"])).collect();
    assert_eq!(kinds, ["DEBIT", "DEBIT", "GRANT"]);
    assert_eq!(lines[2]["credits"], bought.to_string());
    assert_eq!(lines[0]["balanceAfter"], (bought - 13).to_string());
}
