//! Plans, variants and grant templates, through the listener as a vendor enters them.

use api::Limits;
use serde_json::{Map, Value, json};

use crate::harness::{World, door::Door, graduated, p4, per_unit};

on_both!(
    the_plan_table_of_p3_is_entered_as_it_is,
    the_postpaid_plan_of_p4,
    everything_that_was_said_is_read_again,
    plans_that_cannot_be,
    variants_that_cannot_be,
    templates_that_cannot_be,
    seconds_that_are_not_the_cycle_are_warned_of,
    the_same_key_makes_one_thing,
    for_other_tenants_there_is_nothing,
    what_is_archived_is_offered_no_longer,
    a_variant_has_twenty_templates_however_many_come_at_once,
    a_plan_is_named_by_its_id_or_its_key,
    previews_in_money_go_on_from_all_that_was_counted,
);

/// The three creations: the mutation, the field of its object, and what is asked of it.
const PLAN: (&str, &str, &str) = ("createPlan", "plan", "id key name description archivedAt");
const VARIANT: (&str, &str, &str) = (
    "createPlanVariant",
    "planVariant",
    "id planId name interval { unit count } mode fee { amount currency } trialDays renewalDueDays graceDays
     allowUsageWhileOverdue purchase { minimum { amount currency } maximum { amount currency } }
     creditPrice { perCredit currency } moneyPrices { metricKey currency price { kind amount amountPerUnit
       tiers { upTo amountPerUnit } size amountPerPackage } }
     latePolicy lateWindowSeconds shortCycle archivedAt",
);
const TEMPLATE: (&str, &str, &str) = (
    "createGrantTemplate",
    "grantTemplate",
    "id variantId credits recurrence grantInterval { unit count } source billing priority expiry expiresAt
     expiresAfterSeconds rolloverPercentage accumulationCap bonusPercentage metricKeys inTrial archivedAt
     warnings { code message }",
);

/// A vendor at the door.
struct Vendor {
    world: World,
    door: Door,
}

impl Vendor {
    async fn of(world: &World) -> Self {
        Self {
            world: world.clone(),
            door: Door::open(world, Limits::default()).await,
        }
    }

    /// Asks what must be answered.
    async fn ask(&self, query: &str) -> Value {
        let answer = self.door.ask(query, json!({})).await;
        assert_eq!(answer.body.get("errors"), None, "{query}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Creates something; answers the whole payload. A key is added unless there is one.
    async fn create(&self, (mutation, object, fields): (&str, &str, &str), input: Value) -> Value {
        let kind = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
        let mut input = input;
        if input.get("idempotencyKey").is_none() {
            input["idempotencyKey"] = json!(self.world.key());
        }
        let warnings = if object == "grantTemplate" {
            "warnings { code message }"
        } else {
            ""
        };
        let document = format!(
            "mutation ($input: {kind}Input!) {{ {mutation}(input: $input) {{
               {object} {{ {fields} }} {warnings} idempotentReplay userErrors {{ code path message }} }} }}"
        );
        let answer = self.door.ask(&document, json!({ "input": input })).await;
        assert_eq!(answer.body.get("errors"), None, "{input}: {}", answer.body);
        answer.body["data"][mutation].clone()
    }

    /// Creates something that must be accepted; answers it.
    async fn make(&self, what: (&str, &str, &str), input: Value) -> Value {
        let payload = self.create(what, input.clone()).await;
        assert_eq!(payload["userErrors"], json!([]), "{input}");
        payload[what.1].clone()
    }

    /// Tries to create something that must be refused; answers the code and the field.
    async fn refused(&self, what: (&str, &str, &str), input: Value) -> String {
        let payload = self.create(what, input.clone()).await;
        assert_eq!(payload[what.1], Value::Null, "{input}");
        refusal(&payload)
    }

    async fn plan(&self, key: &str) -> Value {
        self.make(PLAN, json!({ "key": key, "name": key })).await
    }

    /// A plan with a monthly prepaid variant; answers the variant's id.
    async fn monthly(&self, key: &str) -> String {
        self.plan(key).await;
        text(&self.make(VARIANT, monthly(key)).await["id"])
    }

    /// Archives something; answers since when it is archived.
    async fn archive(&self, mutation: &str, object: &str, what: &str) -> Value {
        let document = format!(
            "mutation {{ {mutation}(input: {{{what}}}) {{ {object} {{ archivedAt }} userErrors {{ code path }} }} }}"
        );
        let payload = self.ask(&document).await[mutation].clone();
        assert_eq!(payload["userErrors"], json!([]), "{document}");
        payload[object]["archivedAt"].clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The code and the field of a payload's only refusal.
fn refusal(payload: &Value) -> String {
    let [no] = &payload["userErrors"].as_array().unwrap()[..] else {
        panic!("{payload}")
    };
    let path: Vec<String> = no["path"].as_array().unwrap().iter().map(text).collect();
    format!("{} {}", text(&no["code"]), path.join("."))
}

fn monthly(plan: &str) -> Value {
    json!({ "planKey": plan, "name": "Monthly", "interval": { "unit": "MONTH" }, "mode": "PREPAID" })
}

fn dollars(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// An object with some fields put over others.
fn with(base: &Value, more: Value) -> Value {
    let mut all: Map<String, Value> = base.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    Value::Object(all)
}

async fn the_plan_table_of_p3_is_entered_as_it_is(world: World) {
    let vendor = Vendor::of(&world).await;
    world.priced("stt_seconds", per_unit("0.0004")).await;
    world.priced("pronunciation_seconds", per_unit("0.0006")).await;
    let table = [
        ("free", "Free", Some("0"), Some(("0.20", "0")), false),
        ("starter", "Starter", Some("5"), Some(("5", "0")), false),
        ("pro", "Pro", Some("20"), Some(("20", "20")), true),
        ("pro-plus", "Pro+", Some("300"), Some(("300", "20")), true),
        ("enterprise", "Enterprise", None, None, true),
    ];
    // Several of the same harmless kind may come in one request.
    let plans = table.iter().enumerate().map(|(line, (key, name, ..))| {
        format!(r#"p{line}: createPlan(input: {{key: "{key}", name: "{name}", idempotencyKey: "{key}"}}) {{ userErrors {{ code }} }}"#)
    });
    let plans: Vec<String> = plans.collect();
    vendor.ask(&format!("mutation {{ {} }}", plans.join(" "))).await;
    for (key, _, fee, grant, buys) in table {
        let mut variant = with(
            &monthly(key),
            json!({ "creditPrice": { "perCredit": "1", "currency": "USD" } }),
        );
        if let Some(fee) = fee {
            variant["fee"] = dollars(fee);
        }
        if buys {
            variant["purchase"] = json!({ "minimum": dollars("10") });
        }
        let variant = vendor.make(VARIANT, variant).await;
        if let Some((credits, bonus)) = grant {
            let template =
                json!({ "variantId": variant["id"], "credits": credits, "bonusPercentage": bonus });
            let made = vendor.create(TEMPLATE, template).await;
            assert_eq!((&made["userErrors"], &made["warnings"]), (&json!([]), &json!([])));
        }
    }
    let read = vendor
        .ask(
            "{ plans(first: 10) { nodes { name variants(first: 5) { nodes { mode fee { amount } purchase { minimum { amount } maximum { amount } }
               creditPrice { perCredit } grantTemplates(first: 5) { nodes { credits bonusPercentage source billing expiry
               rolloverPercentage recurrence grantInterval { unit } } } } } } } }",
        )
        .await;
    let template = |credits: &str, bonus: &str| {
        json!([{ "credits": credits, "bonusPercentage": bonus, "source": "PLAN_GRANT", "billing": "FREE",
            "expiry": "END_OF_CYCLE", "rolloverPercentage": "0", "recurrence": "RECURRING", "grantInterval": null }])
    };
    let top_up = || json!({ "minimum": { "amount": "10.00" }, "maximum": null });
    let wanted = [
        (
            "Free",
            json!({ "amount": "0.00" }),
            Value::Null,
            template("0.2", "0"),
        ),
        (
            "Starter",
            json!({ "amount": "5.00" }),
            Value::Null,
            template("5", "0"),
        ),
        (
            "Pro",
            json!({ "amount": "20.00" }),
            top_up(),
            template("20", "20"),
        ),
        (
            "Pro+",
            json!({ "amount": "300.00" }),
            top_up(),
            template("300", "20"),
        ),
        ("Enterprise", Value::Null, top_up(), json!([])),
    ];
    for (plan, (name, fee, purchase, templates)) in
        read["plans"]["nodes"].as_array().unwrap().iter().zip(wanted)
    {
        let variant = json!({ "mode": "PREPAID", "fee": fee, "purchase": purchase, "creditPrice": { "perCredit": "1" },
            "grantTemplates": { "nodes": templates } });
        assert_eq!(*plan, json!({ "name": name, "variants": { "nodes": [variant] } }));
    }
    // About 8 minutes of speech for the free plan, 16.7 hours for Pro.
    for (metric, seconds, credits) in [
        ("stt_seconds", "500", "0.2"),
        ("stt_seconds", "60000", "24"),
        ("pronunciation_seconds", "1", "0.0006"),
    ] {
        let query = format!(r#"{{ pricePreview(metricKey: "{metric}", units: "{seconds}") {{ credits lines {{ units credits }} money moneyLines {{ units }} }} }}"#)
            .replace("money moneyLines", "money { amount } moneyLines");
        let wanted = json!({ "credits": credits, "lines": [{ "units": seconds, "credits": credits }], "money": null, "moneyLines": null });
        assert_eq!(vendor.ask(&query).await["pricePreview"], wanted);
    }
}

/// Source P4: 10,000 calls at $0.01, the next 90,000 at $0.005, the rest at $0.001.
fn p4_in_money(metric: &str) -> Value {
    json!([{ "metricKey": metric, "currency": "USD", "price": { "graduated": { "tiers": [
        { "upTo": "10000", "amountPerUnit": "0.01" }, { "upTo": "100000", "amountPerUnit": "0.005" },
        { "upTo": null, "amountPerUnit": "0.001" } ] } } }])
}

async fn the_postpaid_plan_of_p4(world: World) {
    let vendor = Vendor::of(&world).await;
    world.priced("api_call", p4()).await;
    let plan =
        json!({ "key": "api-platform", "name": "API Platform", "description": "Usage-based API access" });
    let plan = vendor.make(PLAN, plan).await;
    let variant = json!({ "planId": plan["id"], "name": "Monthly Postpaid", "interval": { "unit": "MONTH" }, "mode": "POSTPAID",
        "allowUsageWhileOverdue": true, "moneyPrices": p4_in_money("api_call") });
    let variant = vendor.make(VARIANT, variant).await;
    let budget = json!({ "variantId": variant["id"], "credits": "100000", "recurrence": "RECURRING", "source": "PLAN_GRANT",
        "priority": 10, "expiresAfterSeconds": 2_592_000, "rolloverPercentage": "0", "accumulationCap": null });
    let budget = vendor.make(TEMPLATE, budget).await;
    assert_eq!(
        (
            &budget["billing"],
            &budget["priority"],
            &budget["expiry"],
            &budget["expiresAfterSeconds"]
        ),
        (
            &json!("BUDGET"),
            &json!(10),
            &json!("AFTER_SECONDS"),
            &json!(2_592_000)
        )
    );
    let included = json!({ "variantId": variant["id"], "credits": "500", "recurrence": "ONCE", "source": "INCLUDED", "expiry": "NEVER" });
    assert_eq!(vendor.make(TEMPLATE, included).await["billing"], "FREE");
    // $475, where the source's text says $550 and its code $475.
    let query = format!(
        r#"{{ pricePreview(metricKey: "api_call", units: "85000", variantId: {}) {{
            credits lines {{ units credits }} money {{ amount currency }} moneyLines {{ units money {{ amount currency }} }} toUnits }} }}"#,
        variant["id"]
    );
    let wanted = json!({
        "credits": "47500", "lines": [{ "units": "10000", "credits": "10000" }, { "units": "75000", "credits": "37500" }],
        "money": dollars("475.00"),
        "moneyLines": [{ "units": "10000", "money": dollars("100.00") }, { "units": "75000", "money": dollars("375.00") }],
        "toUnits": "85000",
    });
    assert_eq!(vendor.ask(&query).await["pricePreview"], wanted);
}

async fn everything_that_was_said_is_read_again(world: World) {
    let vendor = Vendor::of(&world).await;
    for key in ["flat", "each", "tiers", "volume", "package"] {
        world.metric(key).await;
    }
    let plan = vendor.plan("all").await;
    let price = |key: &str, price: Value| json!({ "metricKey": key, "currency": "JPY", "price": price });
    let tiers = json!({ "tiers": [{ "upTo": "10.5", "amountPerUnit": "2" }, { "upTo": null, "amountPerUnit": "0.000000000001" }] });
    let input = json!({ "planId": plan["id"], "name": "Zwei Jahre", "interval": { "unit": "QUARTER", "count": 8 }, "mode": "PREPAID",
        "fee": { "amount": "500", "currency": "JPY" }, "trialDays": 14, "renewalDueDays": 7, "graceDays": 3,
        "allowUsageWhileOverdue": true,
        "purchase": { "minimum": { "amount": "5", "currency": "JPY" }, "maximum": { "amount": "5000", "currency": "JPY" } },
        "creditPrice": { "perCredit": "0.000000000001", "currency": "JPY" },
        "moneyPrices": [price("package", json!({ "package": { "size": "1000", "amountPerPackage": "3" } })),
            price("flat", json!({ "flat": { "amount": "7" } })), price("each", json!({ "perUnit": { "amountPerUnit": "0.5" } })),
            price("tiers", json!({ "graduated": tiers })), price("volume", json!({ "volume": tiers }))],
        "latePolicy": "REJECT", "lateWindowSeconds": 604_800, "shortCycle": "PRORATED" });
    let made = vendor.make(VARIANT, input.clone()).await;
    for (field, value) in input.as_object().unwrap() {
        if !["moneyPrices", "idempotencyKey"].contains(&field.as_str()) {
            assert_eq!(made[field], *value, "{field}");
        }
    }
    let nothing = json!({ "amount": null, "amountPerUnit": null, "tiers": null, "size": null, "amountPerPackage": null });
    let shown = |kind: &str, more: Value| with(&with(&nothing, json!({ "kind": kind })), more);
    // In the order of the metrics.
    let wanted = json!([
        price("flat", shown("FLAT", json!({ "amount": "7" }))),
        price("each", shown("PER_UNIT", json!({ "amountPerUnit": "0.5" }))),
        price("tiers", shown("GRADUATED", tiers.clone())),
        price("volume", shown("VOLUME", tiers)),
        price(
            "package",
            shown("PACKAGE", json!({ "size": "1000", "amountPerPackage": "3" }))
        ),
    ]);
    assert_eq!(made["moneyPrices"], wanted);
    let template = json!({ "variantId": made["id"], "credits": "12.5", "recurrence": "RECURRING",
        "grantInterval": { "unit": "WEEK", "count": 2 }, "source": "PROMOTION", "billing": "PREPAID", "priority": -3,
        "expiry": "END_OF_CYCLE", "rolloverPercentage": "33.3333", "accumulationCap": "40", "bonusPercentage": "100000",
        "metricKeys": ["tiers", "flat"], "inTrial": true });
    let second = vendor.make(TEMPLATE, template.clone()).await;
    for (field, value) in template.as_object().unwrap() {
        assert_eq!(second[field], *value, "{field}");
    }
    let instant = json!({ "variantId": made["id"], "credits": "1", "source": "TRIAL", "expiresAt": "2027-01-01T00:00:00Z" });
    let third = vendor.make(TEMPLATE, instant).await;
    assert_eq!(
        (&third["expiry"], &third["expiresAt"]),
        (&json!("AT"), &json!("2027-01-01T00:00:00Z"))
    );
    // Read again it is the same, by itself and as a node, and templates come page by page.
    let query = format!(
        "{{ planVariant(id: {id}) {{ {VARIANT} grantTemplates(first: 1) {{ nodes {{ {TEMPLATE} }} pageInfo {{ hasNextPage endCursor }} }} }}
            variant: node(id: {id}) {{ id ... on PlanVariant {{ name }} }} plan: node(id: {plan}) {{ id ... on Plan {{ key }} }}
            template: node(id: {template}) {{ id ... on GrantTemplate {{ credits }} }} }}",
        id = made["id"],
        plan = plan["id"],
        template = third["id"],
        VARIANT = VARIANT.2,
        TEMPLATE = TEMPLATE.2,
    );
    let mut read = vendor.ask(&query).await;
    let page = read["planVariant"]
        .as_object_mut()
        .unwrap()
        .remove("grantTemplates")
        .unwrap();
    assert_eq!(read["planVariant"], made);
    assert_eq!(
        (&page["nodes"], &page["pageInfo"]["hasNextPage"]),
        (&json!([second]), &json!(true))
    );
    assert_eq!(read["variant"], json!({ "id": made["id"], "name": "Zwei Jahre" }));
    assert_eq!(read["plan"], json!({ "id": plan["id"], "key": "all" }));
    assert_eq!(read["template"], json!({ "id": third["id"], "credits": "1" }));
    let rest = format!(
        "{{ planVariant(id: {}) {{ grantTemplates(after: {}) {{ nodes {{ {} }} }} }} }}",
        made["id"], page["pageInfo"]["endCursor"], TEMPLATE.2
    );
    assert_eq!(
        vendor.ask(&rest).await["planVariant"]["grantTemplates"]["nodes"],
        json!([third])
    );
}

async fn plans_that_cannot_be(world: World) {
    let vendor = Vendor::of(&world).await;
    vendor.plan("taken").await;
    let base = json!({ "key": "pro", "name": "Pro" });
    for (change, refusal) in [
        (json!({ "key": "" }), "INVALID_INPUT input.key"),
        (json!({ "key": "Pro" }), "INVALID_INPUT input.key"),
        (json!({ "key": "x".repeat(65) }), "INVALID_INPUT input.key"),
        (json!({ "key": "taken" }), "ALREADY_EXISTS input.key"),
        (json!({ "name": " " }), "INVALID_INPUT input.name"),
        (json!({ "name": "x".repeat(101) }), "INVALID_INPUT input.name"),
        (
            json!({ "description": "x".repeat(1_001) }),
            "INVALID_INPUT input.description",
        ),
        (
            json!({ "description": "a\tb" }),
            "INVALID_INPUT input.description",
        ),
        (
            json!({ "idempotencyKey": "" }),
            "INVALID_INPUT input.idempotencyKey",
        ),
    ] {
        assert_eq!(
            vendor.refused(PLAN, with(&base, change.clone())).await,
            refusal,
            "{change}"
        );
    }
    let words = json!({ "description": format!("{}\n", "x".repeat(999)) });
    vendor.make(PLAN, with(&base, words)).await;
    for (input, refusal_of_it) in [
        (r#"planKey: "pro", name: """#, "INVALID_INPUT input.name"),
        (r#"planKey: "nothing""#, "NOT_FOUND input.planKey"),
        (r#"planId: "pln_x""#, "NOT_FOUND input.planId"),
        (r#"name: "x""#, "INVALID_INPUT input.planId"),
        (r#"planId: "pln_x", planKey: "pro""#, "INVALID_INPUT input.planId"),
    ] {
        let document = format!(
            "mutation {{ updatePlan(input: {{{input}}}) {{ plan {{ id }} userErrors {{ code path }} }} }}"
        );
        assert_eq!(
            refusal(&vendor.ask(&document).await["updatePlan"]),
            refusal_of_it,
            "{input}"
        );
    }
}

async fn variants_that_cannot_be(world: World) {
    let vendor = Vendor::of(&world).await;
    world.metric("call").await;
    vendor.plan("pro").await;
    let prices =
        |price: Value| json!({ "moneyPrices": [{ "metricKey": "call", "currency": "USD", "price": price }] });
    let each = || json!({ "perUnit": { "amountPerUnit": "1" } });
    let priced =
        |key: &str, currency: &str| json!({ "metricKey": key, "currency": currency, "price": each() });
    let euros = |amount: &str| json!({ "amount": amount, "currency": "EUR" });
    let base = with(&monthly("pro"), json!({ "fee": dollars("20") }));
    vendor.make(VARIANT, base.clone()).await;
    for (change, refusal) in [
        (json!({ "planKey": "nothing" }), "NOT_FOUND input.planKey"),
        (json!({ "planKey": "a\u{7f}" }), "NOT_FOUND input.planKey"),
        (json!({ "planKey": null }), "INVALID_INPUT input.planId"),
        (json!({ "planId": "pln_x" }), "INVALID_INPUT input.planId"),
        (
            json!({ "planKey": null, "planId": "pln_x" }),
            "NOT_FOUND input.planId",
        ),
        (json!({ "name": "" }), "INVALID_INPUT input.name"),
        (
            json!({ "interval": { "unit": "MONTH", "count": 0 } }),
            "INVALID_INPUT input.interval.count",
        ),
        (
            json!({ "interval": { "unit": "YEAR", "count": 11 } }),
            "INVALID_INPUT input.interval.count",
        ),
        (json!({ "trialDays": -1 }), "INVALID_INPUT input.trialDays"),
        (json!({ "trialDays": 367 }), "INVALID_INPUT input.trialDays"),
        (
            json!({ "renewalDueDays": 367 }),
            "INVALID_INPUT input.renewalDueDays",
        ),
        (json!({ "graceDays": -1 }), "INVALID_INPUT input.graceDays"),
        (
            json!({ "mode": "POSTPAID", "renewalDueDays": 1 }),
            "INVALID_INPUT input.renewalDueDays",
        ),
        (
            json!({ "mode": "POSTPAID", "graceDays": 1 }),
            "INVALID_INPUT input.graceDays",
        ),
        (json!({ "fee": dollars("-1") }), "INVALID_INPUT input.fee"),
        (
            json!({ "fee": dollars("0.001") }),
            "INVALID_INPUT input.fee.amount",
        ),
        (json!({ "fee": dollars("1e3") }), "INVALID_INPUT input.fee.amount"),
        (
            json!({ "fee": dollars("92233720368547758.08") }),
            "INVALID_INPUT input.fee.amount",
        ),
        (
            json!({ "fee": { "amount": "0.5", "currency": "JPY" } }),
            "INVALID_INPUT input.fee.amount",
        ),
        (
            json!({ "fee": { "amount": "1", "currency": "usd" } }),
            "INVALID_INPUT input.fee.currency",
        ),
        (
            json!({ "purchase": { "minimum": dollars("0") } }),
            "INVALID_INPUT input.purchase.minimum",
        ),
        (
            json!({ "purchase": { "maximum": dollars("-1") } }),
            "INVALID_INPUT input.purchase.maximum",
        ),
        (
            json!({ "purchase": { "minimum": dollars("2"), "maximum": dollars("1") } }),
            "INVALID_INPUT input.purchase.maximum",
        ),
        (
            json!({ "purchase": { "minimum": dollars("x") } }),
            "INVALID_INPUT input.purchase.minimum.amount",
        ),
        (
            json!({ "purchase": { "minimum": euros("1") } }),
            "INVALID_INPUT input.purchase.minimum.currency",
        ),
        (
            json!({ "purchase": { "maximum": euros("1") } }),
            "INVALID_INPUT input.purchase.maximum.currency",
        ),
        (
            json!({ "creditPrice": { "perCredit": "-1", "currency": "USD" } }),
            "INVALID_INPUT input.creditPrice.perCredit",
        ),
        (
            json!({ "creditPrice": { "perCredit": "0.0000000000001", "currency": "USD" } }),
            "INVALID_INPUT input.creditPrice.perCredit",
        ),
        (
            json!({ "creditPrice": { "perCredit": "1", "currency": "EUR" } }),
            "INVALID_INPUT input.creditPrice.currency",
        ),
        (
            json!({ "creditPrice": { "perCredit": "1", "currency": "XXX" } }),
            "INVALID_INPUT input.creditPrice.currency",
        ),
        (
            json!({ "moneyPrices": [priced("call", "EUR")] }),
            "INVALID_INPUT input.moneyPrices",
        ),
        (
            json!({ "moneyPrices": [priced("call", "EURO")] }),
            "INVALID_INPUT input.moneyPrices.0.currency",
        ),
        (
            json!({ "moneyPrices": [priced("nothing", "USD")] }),
            "NOT_FOUND input.moneyPrices.0.metricKey",
        ),
        (
            json!({ "moneyPrices": [priced("call", "USD"), priced("call", "USD")] }),
            "INVALID_INPUT input.moneyPrices.1.metricKey",
        ),
        (
            prices(json!({ "flat": { "amount": "-1" } })),
            "INVALID_INPUT input.moneyPrices.0.price.flat.amount",
        ),
        (
            prices(json!({ "flat": { "amount": "" } })),
            "INVALID_INPUT input.moneyPrices.0.price.flat.amount",
        ),
        (
            prices(json!({ "perUnit": { "amountPerUnit": "-1" } })),
            "INVALID_INPUT input.moneyPrices.0.price.perUnit.amountPerUnit",
        ),
        (
            prices(json!({ "package": { "size": "0", "amountPerPackage": "1" } })),
            "INVALID_INPUT input.moneyPrices.0.price.package.size",
        ),
        (
            prices(json!({ "package": { "size": "1", "amountPerPackage": "-1" } })),
            "INVALID_INPUT input.moneyPrices.0.price.package.amountPerPackage",
        ),
        (
            prices(json!({ "graduated": { "tiers": [] } })),
            "INVALID_INPUT input.moneyPrices.0.price.graduated.tiers",
        ),
        (
            prices(json!({ "graduated": { "tiers": [{ "upTo": "1", "amountPerUnit": "1" }] } })),
            "INVALID_INPUT input.moneyPrices.0.price.graduated.tiers.0.upTo",
        ),
        (
            prices(json!({ "volume": { "tiers": [{ "upTo": null, "amountPerUnit": "-1" }] } })),
            "INVALID_INPUT input.moneyPrices.0.price.volume.tiers.0.amountPerUnit",
        ),
        (
            prices(json!({ "volume": { "tiers": [{ "upTo": "x", "amountPerUnit": "1" }] } })),
            "INVALID_INPUT input.moneyPrices.0.price.volume.tiers.0.upTo",
        ),
        (
            json!({ "lateWindowSeconds": -1 }),
            "INVALID_INPUT input.lateWindowSeconds",
        ),
        (
            json!({ "lateWindowSeconds": 604_801 }),
            "INVALID_INPUT input.lateWindowSeconds",
        ),
        (
            json!({ "idempotencyKey": "a b" }),
            "INVALID_INPUT input.idempotencyKey",
        ),
    ] {
        assert_eq!(
            vendor.refused(VARIANT, with(&base, change.clone())).await,
            refusal,
            "{change}"
        );
    }
    // What was refused is not there, and no more metrics than a list of prices may have.
    let mut many = Vec::new();
    for number in 0..101 {
        let key = format!("m{number}");
        world.metric(&key).await;
        many.push(priced(&key, "USD"));
    }
    let refused = vendor
        .refused(VARIANT, with(&base, json!({ "moneyPrices": many })))
        .await;
    assert_eq!(refused, "INVALID_INPUT input.moneyPrices");
    many.pop();
    vendor
        .make(VARIANT, with(&base, json!({ "moneyPrices": many })))
        .await;
    let all = vendor
        .ask(r#"{ plan(key: "pro") { variants { nodes { moneyPrices { metricKey } } } } }"#)
        .await;
    let all = all["plan"]["variants"]["nodes"].as_array().unwrap().clone();
    assert_eq!(
        (all.len(), all[1]["moneyPrices"].as_array().unwrap().len()),
        (2, 100)
    );
}

async fn templates_that_cannot_be(world: World) {
    let vendor = Vendor::of(&world).await;
    world.metric("call").await;
    let variant = vendor.monthly("pro").await;
    let base = json!({ "variantId": variant, "credits": "20" });
    vendor.make(TEMPLATE, base.clone()).await;
    let past = world.now().to_string();
    for (change, refusal) in [
        (json!({ "variantId": "pvr_x" }), "NOT_FOUND input.variantId"),
        (
            json!({ "variantId": variant.replace("pvr", "pln") }),
            "NOT_FOUND input.variantId",
        ),
        (json!({ "credits": "0" }), "INVALID_INPUT input.credits"),
        (json!({ "credits": "-1" }), "INVALID_INPUT input.credits"),
        (json!({ "credits": "0.0000001" }), "INVALID_INPUT input.credits"),
        (json!({ "source": "PURCHASE" }), "INVALID_INPUT input.source"),
        (json!({ "source": "ROLLOVER" }), "INVALID_INPUT input.source"),
        (json!({ "source": "ADJUSTMENT" }), "INVALID_INPUT input.source"),
        (json!({ "source": "TRIAL" }), "INVALID_INPUT input.source"),
        (
            json!({ "rolloverPercentage": "-1" }),
            "INVALID_INPUT input.rolloverPercentage",
        ),
        (
            json!({ "rolloverPercentage": "100.0001" }),
            "INVALID_INPUT input.rolloverPercentage",
        ),
        (
            json!({ "rolloverPercentage": "0.00001" }),
            "INVALID_INPUT input.rolloverPercentage",
        ),
        (
            json!({ "rolloverPercentage": "50", "expiry": "NEVER" }),
            "INVALID_INPUT input.rolloverPercentage",
        ),
        (
            json!({ "bonusPercentage": "-1" }),
            "INVALID_INPUT input.bonusPercentage",
        ),
        (
            json!({ "bonusPercentage": "100000.0001" }),
            "INVALID_INPUT input.bonusPercentage",
        ),
        (
            json!({ "bonusPercentage": "200", "credits": "9223372036854" }),
            "INVALID_INPUT input.bonusPercentage",
        ),
        (
            json!({ "accumulationCap": "30" }),
            "INVALID_INPUT input.accumulationCap",
        ),
        (
            json!({ "accumulationCap": "19", "rolloverPercentage": "1" }),
            "INVALID_INPUT input.accumulationCap",
        ),
        (
            json!({ "accumulationCap": "x", "rolloverPercentage": "1" }),
            "INVALID_INPUT input.accumulationCap",
        ),
        (
            json!({ "expiresAfterSeconds": 0 }),
            "INVALID_INPUT input.expiresAfterSeconds",
        ),
        (json!({ "expiresAt": past }), "INVALID_INPUT input.expiresAt"),
        (json!({ "expiry": "AT" }), "INVALID_INPUT input.expiresAt"),
        (
            json!({ "expiry": "AT", "expiresAfterSeconds": 1 }),
            "INVALID_INPUT input.expiresAt",
        ),
        (
            json!({ "expiry": "AFTER_SECONDS" }),
            "INVALID_INPUT input.expiresAfterSeconds",
        ),
        (
            json!({ "expiry": "NEVER", "expiresAt": "2030-01-01" }),
            "INVALID_INPUT input.expiresAt",
        ),
        (
            json!({ "expiry": "END_OF_CYCLE", "expiresAfterSeconds": 1 }),
            "INVALID_INPUT input.expiresAfterSeconds",
        ),
        (
            json!({ "expiresAt": "2030-01-01", "expiresAfterSeconds": 1 }),
            "INVALID_INPUT input.expiresAfterSeconds",
        ),
        (json!({ "metricKeys": [] }), "INVALID_INPUT input.metricKeys"),
        (json!({ "metricKeys": ["nothing"] }), "NOT_FOUND input.metricKeys"),
        (
            json!({ "metricKeys": vec!["call"; 51] }),
            "INVALID_INPUT input.metricKeys",
        ),
        (
            json!({ "grantInterval": { "unit": "DAY", "count": 0 } }),
            "INVALID_INPUT input.grantInterval.count",
        ),
        (
            json!({ "grantInterval": { "unit": "DAY", "count": 32 } }),
            "INVALID_INPUT input.grantInterval",
        ),
        (
            json!({ "grantInterval": { "unit": "DAY" }, "recurrence": "ONCE" }),
            "INVALID_INPUT input.grantInterval",
        ),
        (
            json!({ "idempotencyKey": "é" }),
            "INVALID_INPUT input.idempotencyKey",
        ),
    ] {
        assert_eq!(
            vendor.refused(TEMPLATE, with(&base, change.clone())).await,
            refusal,
            "{change}"
        );
    }
    let query =
        format!(r#"{{ planVariant(id: "{variant}") {{ grantTemplates {{ nodes {{ credits }} }} }} }}"#);
    let all = vendor.ask(&query).await;
    assert_eq!(
        all["planVariant"]["grantTemplates"]["nodes"],
        json!([{ "credits": "20" }])
    );
}

async fn seconds_that_are_not_the_cycle_are_warned_of(world: World) {
    let vendor = Vendor::of(&world).await;
    let monthly_id = vendor.monthly("monthly").await;
    let daily = with(&monthly("monthly"), json!({ "interval": { "unit": "DAY" } }));
    let daily = text(&vendor.make(VARIANT, daily).await["id"]);
    for (variant, change, warned) in [
        (&monthly_id, json!({ "expiresAfterSeconds": 2_592_000 }), true),
        (&monthly_id, json!({ "expiresAfterSeconds": 3_600 }), false),
        (
            &monthly_id,
            json!({ "expiresAfterSeconds": 2_592_000, "recurrence": "ONCE" }),
            false,
        ),
        (
            &monthly_id,
            json!({ "expiresAfterSeconds": 86_400, "grantInterval": { "unit": "DAY" } }),
            false,
        ),
        (&monthly_id, json!({}), false),
        (&daily, json!({ "expiresAfterSeconds": 86_400 }), false),
    ] {
        let made = vendor
            .create(
                TEMPLATE,
                with(&json!({ "variantId": variant, "credits": "1" }), change.clone()),
            )
            .await;
        assert_eq!(made["userErrors"], json!([]));
        assert_eq!(made["warnings"], made["grantTemplate"]["warnings"]);
        let codes: Vec<&Value> = made["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["code"])
            .collect();
        assert_eq!(codes.len(), usize::from(warned), "{change}");
        if warned {
            assert_eq!(codes, [&json!("NOT_THE_CYCLE")]);
            assert!(
                text(&made["warnings"][0]["message"]).contains("2592000"),
                "{made}"
            );
        }
        // A template is warned of whenever it is looked at.
        let query = format!(
            "{{ node(id: {}) {{ ... on GrantTemplate {{ warnings {{ code message }} }} }} }}",
            made["grantTemplate"]["id"]
        );
        assert_eq!(vendor.ask(&query).await["node"]["warnings"], made["warnings"]);
    }
}

async fn the_same_key_makes_one_thing(world: World) {
    let vendor = Vendor::of(&world).await;
    let variant = vendor.monthly("first").await;
    for (what, input, other) in [
        (
            PLAN,
            json!({ "key": "pro", "name": "Pro" }),
            json!({ "name": "Other" }),
        ),
        (VARIANT, monthly("first"), json!({ "graceDays": 1 })),
        (
            TEMPLATE,
            json!({ "variantId": variant, "credits": "1" }),
            json!({ "priority": 1 }),
        ),
    ] {
        let input = with(&input, json!({ "idempotencyKey": "k" }));
        let all = (0..4).map(|_| vendor.create(what, input.clone()));
        let all = futures::future::join_all(all).await;
        let fresh = all.iter().filter(|it| it["idempotentReplay"] == false).count();
        assert_eq!(fresh, 1, "{all:?}");
        assert!(
            all.iter()
                .all(|it| it[what.1] == all[0][what.1] && it["userErrors"] == json!([])),
            "{all:?}"
        );
        let conflict = vendor.refused(what, with(&input, other)).await;
        assert_eq!(conflict, "IDEMPOTENCY_CONFLICT input.idempotencyKey");
    }
    // The first answer is given again, whatever has become of the thing; and a refusal leaves its key free.
    vendor.archive("archivePlan", "plan", r#"planKey: "pro""#).await;
    let again = json!({ "key": "pro", "name": "Pro", "idempotencyKey": "k" });
    let again = vendor.create(PLAN, again).await;
    assert_eq!(
        (&again["idempotentReplay"], &again["plan"]["archivedAt"]),
        (&json!(true), &Value::Null)
    );
    let free = json!({ "variantId": variant, "credits": "0", "idempotencyKey": "k2" });
    assert_eq!(
        vendor.refused(TEMPLATE, free.clone()).await,
        "INVALID_INPUT input.credits"
    );
    let made = vendor
        .create(TEMPLATE, with(&free, json!({ "credits": "1" })))
        .await;
    assert_eq!(made["idempotentReplay"], false);
}

async fn for_other_tenants_there_is_nothing(world: World) {
    let vendor = Vendor::of(&world).await;
    let stranger = Vendor::of(&world.stranger().await).await;
    world.priced("call", per_unit("1")).await;
    stranger.world.priced("call", per_unit("1")).await;
    let plan = text(&vendor.plan("pro").await["id"]);
    let variant = text(&vendor.make(VARIANT, monthly("pro")).await["id"]);
    let template = text(
        &vendor
            .make(TEMPLATE, json!({ "variantId": variant, "credits": "1" }))
            .await["id"],
    );
    for query in [
        format!(r#"{{ it: plan(id: "{plan}") {{ id }} }}"#),
        r#"{ it: plan(key: "pro") { id } }"#.to_owned(),
        format!(r#"{{ it: planVariant(id: "{variant}") {{ id }} }}"#),
        format!(r#"{{ it: node(id: "{plan}") {{ id }} }}"#),
        format!(r#"{{ it: node(id: "{variant}") {{ id }} }}"#),
        format!(r#"{{ it: node(id: "{template}") {{ id }} }}"#),
    ] {
        assert_eq!(stranger.ask(&query).await["it"], Value::Null, "{query}");
        assert_ne!(vendor.ask(&query).await["it"], Value::Null, "{query}");
    }
    assert_eq!(
        stranger.ask("{ plans { nodes { id } } }").await["plans"]["nodes"],
        json!([])
    );
    for (what, input, refusal) in [
        (
            VARIANT,
            with(&monthly("pro"), json!({ "planKey": null, "planId": plan })),
            "NOT_FOUND input.planId",
        ),
        (VARIANT, monthly("pro"), "NOT_FOUND input.planKey"),
        (
            TEMPLATE,
            json!({ "variantId": variant, "credits": "1" }),
            "NOT_FOUND input.variantId",
        ),
    ] {
        assert_eq!(stranger.refused(what, input).await, refusal);
    }
    for (mutation, input, field) in [
        (
            "updatePlan",
            format!(r#"planId: "{plan}", name: "mine""#),
            "planId",
        ),
        ("archivePlan", format!(r#"planId: "{plan}""#), "planId"),
        (
            "archivePlanVariant",
            format!(r#"variantId: "{variant}""#),
            "variantId",
        ),
        (
            "archiveGrantTemplate",
            format!(r#"templateId: "{template}""#),
            "templateId",
        ),
    ] {
        let document =
            format!("mutation {{ {mutation}(input: {{{input}}}) {{ userErrors {{ code path }} }} }}");
        let payload = stranger.ask(&document).await[mutation].clone();
        assert_eq!(refusal(&payload), format!("NOT_FOUND input.{field}"));
    }
    let preview =
        format!(r#"{{ pricePreview(metricKey: "call", units: "1", variantId: "{variant}") {{ credits }} }}"#);
    let refused = stranger.door.ask(&preview, json!({})).await;
    assert_eq!(refused.body["errors"][0]["extensions"]["reason"], "NOT_FOUND");
    assert_eq!(vendor.ask(&preview).await["pricePreview"]["credits"], "1");
    // Nothing of it has changed, and the names are free.
    let own = vendor.ask(r#"{ plan(key: "pro") { name archivedAt variants { nodes { archivedAt grantTemplates { nodes { archivedAt } } } } } }"#).await;
    assert_eq!(
        own["plan"],
        json!({ "name": "pro", "archivedAt": null, "variants": { "nodes": [{ "archivedAt": null,
        "grantTemplates": { "nodes": [{ "archivedAt": null }] } }] } })
    );
    stranger.monthly("pro").await;
}

async fn what_is_archived_is_offered_no_longer(world: World) {
    let vendor = Vendor::of(&world).await;
    let first = vendor.monthly("pro").await;
    let second = text(&vendor.make(VARIANT, monthly("pro")).await["id"]);
    let template = text(
        &vendor
            .make(TEMPLATE, json!({ "variantId": first, "credits": "1" }))
            .await["id"],
    );
    let mut since = Vec::new();
    for (mutation, object, what) in [
        (
            "archiveGrantTemplate",
            "grantTemplate",
            format!(r#"templateId: "{template}""#),
        ),
        (
            "archivePlanVariant",
            "planVariant",
            format!(r#"variantId: "{first}""#),
        ),
        ("archivePlan", "plan", r#"planKey: "pro""#.to_owned()),
    ] {
        world.advance(1);
        let now = json!(world.now().to_string());
        assert_eq!(vendor.archive(mutation, object, &what).await, now, "{mutation}");
        world.advance(1);
        assert_eq!(
            vendor.archive(mutation, object, &what).await,
            now,
            "{mutation} again"
        );
        since.push(now);
    }
    // A variant ends with its plan, if not before; what is in use can be read for ever.
    let read = vendor
        .ask(r#"{ plan(key: "pro") { archivedAt variants { nodes { id archivedAt grantTemplates { nodes { archivedAt } } } } } plans { nodes { key } } }"#)
        .await;
    let wanted = json!({ "archivedAt": since[2], "variants": { "nodes": [
        { "id": first, "archivedAt": since[1], "grantTemplates": { "nodes": [{ "archivedAt": since[0] }] } },
        { "id": second, "archivedAt": since[2], "grantTemplates": { "nodes": [] } } ] } });
    assert_eq!(
        (&read["plan"], &read["plans"]["nodes"]),
        (&wanted, &json!([{ "key": "pro" }]))
    );
    let one = vendor
        .ask(&format!(r#"{{ planVariant(id: "{second}") {{ archivedAt }} }}"#))
        .await;
    assert_eq!(one["planVariant"]["archivedAt"], since[2]);
    assert_eq!(
        vendor
            .archive(
                "archivePlanVariant",
                "planVariant",
                &format!(r#"variantId: "{second}""#)
            )
            .await,
        since[2]
    );
    // Nothing new can be bought. Those who have a variant may still be given more.
    assert_eq!(
        vendor.refused(VARIANT, monthly("pro")).await,
        "INVALID_INPUT input.planKey"
    );
    vendor
        .make(TEMPLATE, json!({ "variantId": first, "credits": "2" }))
        .await;
    // Words may be put right all the same.
    let document = r#"mutation { updatePlan(input: {planKey: "pro", name: "Old Pro", description: "Gone"}) { plan { name description archivedAt } } }"#;
    let plan = vendor.ask(document).await["updatePlan"]["plan"].clone();
    assert_eq!(
        plan,
        json!({ "name": "Old Pro", "description": "Gone", "archivedAt": since[2] })
    );
}

async fn a_variant_has_twenty_templates_however_many_come_at_once(world: World) {
    let vendor = Vendor::of(&world).await;
    let other = Vendor::of(&world.another().await).await;
    let variant = vendor.monthly("pro").await;
    let input = json!({ "variantId": variant, "credits": "1" });
    for _ in 0..15 {
        vendor.make(TEMPLATE, input.clone()).await;
    }
    // Five places, and twelve who come through two processes at the same moment.
    let rush =
        (0..12).map(|number| if number % 2 == 0 { &vendor } else { &other }.create(TEMPLATE, input.clone()));
    let rush = futures::future::join_all(rush).await;
    let refused: Vec<String> = rush
        .iter()
        .filter(|it| it["userErrors"] != json!([]))
        .map(refusal)
        .collect();
    assert_eq!(refused, ["INVALID_INPUT input.variantId"; 7]);
    let query = format!(
        r#"{{ planVariant(id: "{variant}") {{ grantTemplates(first: 100) {{ nodes {{ id }} }} }} }}"#
    );
    let all = vendor.ask(&query).await["planVariant"]["grantTemplates"]["nodes"].clone();
    assert_eq!(all.as_array().unwrap().len(), 20);
    // An archived one makes room from then on.
    vendor
        .archive(
            "archiveGrantTemplate",
            "grantTemplate",
            &format!("templateId: {}", all[0]["id"]),
        )
        .await;
    vendor.make(TEMPLATE, input.clone()).await;
    assert_eq!(
        vendor.refused(TEMPLATE, input).await,
        "INVALID_INPUT input.variantId"
    );
}

async fn a_plan_is_named_by_its_id_or_its_key(world: World) {
    let vendor = Vendor::of(&world).await;
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        ids.push(vendor.plan(key).await["id"].clone());
    }
    let id = &ids[1];
    let read = vendor
        .ask(&format!(
            r#"{{ a: plan(id: {id}) {{ key }} b: plan(key: "b") {{ id }} c: plan(key: "nothing") {{ id }} d: plan(id: "pln_x") {{ id }} e: planVariant(id: {id}) {{ id }} }}"#
        ))
        .await;
    assert_eq!(
        read,
        json!({ "a": { "key": "b" }, "b": { "id": id }, "c": null, "d": null, "e": null })
    );
    for query in [
        "{ plan { id } }".to_owned(),
        format!(r#"{{ plan(id: {id}, key: "b") {{ id }} }}"#),
    ] {
        assert_eq!(vendor.door.ask(&query, json!({})).await.code(), "BAD_USER_INPUT");
    }
    let pages = vendor
        .ask(&format!(
            r#"{{ two: plans(first: 2) {{ nodes {{ key }} pageInfo {{ hasNextPage }} }} rest: plans(after: {id}) {{ nodes {{ key }} }} last: plans(last: 1) {{ nodes {{ key }} }} }}"#
        ))
        .await;
    assert_eq!(
        pages,
        json!({ "two": { "nodes": [{ "key": "a" }, { "key": "b" }], "pageInfo": { "hasNextPage": true } },
            "rest": { "nodes": [{ "key": "c" }] }, "last": { "nodes": [{ "key": "c" }] } })
    );
    let change = format!(
        r#"mutation {{ updatePlan(input: {{planId: {id}, description: "x"}}) {{ plan {{ name description }} }} }}"#
    );
    assert_eq!(
        vendor.ask(&change).await["updatePlan"]["plan"],
        json!({ "name": "b", "description": "x" })
    );
    let change = r#"mutation { updatePlan(input: {planKey: "b", name: "B", description: null}) { plan { name description } } }"#;
    assert_eq!(
        vendor.ask(change).await["updatePlan"]["plan"],
        json!({ "name": "B", "description": null })
    );
}

async fn previews_in_money_go_on_from_all_that_was_counted(world: World) {
    let vendor = Vendor::of(&world).await;
    world
        .priced("call", graduated(&[("6000", "1"), ("", "0.5")]))
        .await;
    world
        .try_rule("call", &[("model", "large")], per_unit("2"), None)
        .await
        .unwrap();
    world.metric("free").await;
    vendor.plan("pro").await;
    let variant = with(&monthly("pro"), json!({ "moneyPrices": p4_in_money("call") }));
    let variant = vendor.make(VARIANT, variant).await["id"].clone();
    let customer = world.customer("acme").await;
    let mut large = world.event(customer, "call", "4000");
    large.properties = Some(json!({ "model": "large" }));
    world.accept(vec![large]).await;
    world.consume(customer, "call", "6000").await;
    world.run_to_rest().await;
    for (arguments, credits, money) in [
        // The invoice has counted 10,000 calls, 6,000 of them by the first rule.
        (
            r#"metricKey: "call", units: "1000", externalCustomerId: "acme""#,
            "500",
            json!("5.00"),
        ),
        (
            r#"metricKey: "call", units: "1000", externalCustomerId: "acme", properties: {model: "large"}"#,
            "2000",
            json!("5.00"),
        ),
        (r#"metricKey: "call", units: "1000""#, "1000", json!("10.00")),
        (r#"metricKey: "call", units: "0""#, "0", json!("0.00")),
        (r#"metricKey: "free", units: "7""#, "0", Value::Null),
    ] {
        let query = format!(
            "{{ pricePreview({arguments}, variantId: {variant}) {{ credits lines {{ credits }} money {{ amount }} moneyLines {{ money {{ amount }} }} }} }}"
        );
        let read = vendor.ask(&query).await["pricePreview"].clone();
        assert_eq!(
            (&read["credits"], &read["money"]["amount"]),
            (&json!(credits), &money),
            "{arguments}"
        );
        assert_eq!(read["lines"], json!([{ "credits": credits }]), "{arguments}");
        let lines = if money.is_null() {
            Value::Null
        } else {
            json!([{ "money": { "amount": money } }])
        };
        assert_eq!(read["moneyLines"], lines, "{arguments}");
    }
    for (what, reason) in [(json!("pvr_x"), "NOT_FOUND"), (json!("nothing"), "NOT_FOUND")] {
        let query =
            format!(r#"{{ pricePreview(metricKey: "call", units: "1", variantId: {what}) {{ credits }} }}"#);
        let refused = vendor.door.ask(&query, json!({})).await;
        assert_eq!(refused.body["errors"][0]["extensions"]["reason"], reason);
    }
}
