//! A plan from its first word to what can be read of it.

use serde_json::json;

use super::{client::Client, stage::Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_entered_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        enter(&dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_entered_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let api = stage.api().await;
        enter(&api.client).await;
    })
    .await;
}

async fn enter(client: &Client) {
    client
        .change(r#"mutation { createPlan(input: {key: "pro", name: "Pro", idempotencyKey: "p1"}) { plan { id } userErrors { code path message } } }"#)
        .await;
    let variant = client
        .change(
            r#"mutation { createPlanVariant(input: {planKey: "pro", name: "Monthly", interval: {unit: MONTH}, mode: PREPAID, fee: {amount: "20", currency: "USD"},
                purchase: {minimum: {amount: "10", currency: "USD"}}, creditPrice: {perCredit: "1", currency: "USD"}, idempotencyKey: "v1"})
                { planVariant { id } userErrors { code path message } } }"#,
        )
        .await;
    let template = client
        .change(&format!(
            r#"mutation {{ createGrantTemplate(input: {{variantId: {}, credits: "20", bonusPercentage: "20", idempotencyKey: "t1"}})
                {{ grantTemplate {{ id }} warnings {{ code }} userErrors {{ code path message }} }} }}"#,
            variant["planVariant"]["id"]
        ))
        .await;
    assert_eq!(template["warnings"], json!([]));
    let read = client
        .ask(
            r#"{ plan(key: "pro") { name variants { nodes { id name interval { unit count } fee { amount currency }
                grantTemplates { nodes { id credits bonusPercentage expiry } } } } } }"#,
        )
        .await;
    let wanted = json!({ "name": "Pro", "variants": { "nodes": [{
        "id": variant["planVariant"]["id"], "name": "Monthly", "interval": { "unit": "MONTH", "count": 1 },
        "fee": { "amount": "20.00", "currency": "USD" },
        "grantTemplates": { "nodes": [{ "id": template["grantTemplate"]["id"], "credits": "20", "bonusPercentage": "20", "expiry": "END_OF_CYCLE" }] },
    }] } });
    assert_eq!(read["plan"], wanted);
}
