//! A client of the API, as a vendor would write one: JSON over HTTP.

use reqwest::{RequestBuilder, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::process::until;

/// Records events; the document of the first path.
pub const RECORD: &str = r#"mutation Record($events: [UsageEventInput!]!) { recordUsage(input: {events: $events}) {
  results { index outcome reason eventId } acceptedCount duplicateCount userErrors { code path message } } }"#;

/// Someone with a key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub base: String,
    pub key: String,
}

/// What came back over HTTP.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Value,
    pub headers: reqwest::header::HeaderMap,
}

impl Reply {
    /// The code of the first error.
    pub fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or("")
    }
}

impl Client {
    pub fn new(base: &str, key: &str) -> Self {
        Self {
            http: crate::harness::http().build().unwrap(),
            base: base.to_owned(),
            key: key.to_owned(),
        }
    }

    /// The same server with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// A `POST` to `/graphql` with nothing but the key.
    pub fn post(&self) -> RequestBuilder {
        self.http
            .post(format!("{}/graphql", self.base))
            .bearer_auth(&self.key)
    }

    /// A `POST` without a key.
    pub fn anonymous_post(&self) -> RequestBuilder {
        self.http.post(format!("{}/graphql", self.base))
    }

    /// A `GET` of `/graphql` with these parts.
    pub fn get(&self, parts: &[(&str, &str)]) -> RequestBuilder {
        let get = self
            .http
            .get(format!("{}/graphql", self.base))
            .bearer_auth(&self.key);
        get.query(parts)
    }

    /// A live stream of server-sent events.
    pub fn stream(&self, query: &str) -> RequestBuilder {
        self.stream_of(json!({ "query": query }).to_string())
    }

    /// The same, of a body as it is.
    pub fn stream_of(&self, body: String) -> RequestBuilder {
        let post = self.http.post(format!("{}/graphql/stream", self.base));
        post.bearer_auth(&self.key)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Sends a body as it is.
    pub async fn raw(&self, body: impl Into<reqwest::Body>) -> Reply {
        reply(self.post().header(CONTENT_TYPE, "application/json").body(body))
            .await
            .unwrap()
    }

    /// Sends a request and takes whatever comes back.
    pub async fn try_send(&self, query: &str, variables: Value) -> reqwest::Result<Reply> {
        reply(
            self.post()
                .json(&json!({ "query": query, "variables": variables })),
        )
        .await
    }

    /// Sends a document and takes whatever comes back.
    pub async fn reply(&self, query: &str) -> Reply {
        self.try_send(query, json!({})).await.unwrap()
    }

    /// Sends a request that must go well, and answers its data.
    pub async fn send(&self, query: &str, variables: Value) -> Value {
        let reply = self.try_send(query, variables).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{query}\n{}", reply.body);
        assert_eq!(reply.body.get("errors"), None, "{query}");
        reply.body["data"].clone()
    }

    /// Asks what must be answered.
    pub async fn ask(&self, query: &str) -> Value {
        self.send(query, json!({})).await
    }

    /// Sends a mutation that must be accepted, and answers its payload.
    pub async fn change(&self, mutation: &str) -> Value {
        let data = self.ask(mutation).await;
        let payload = data
            .as_object()
            .and_then(|fields| fields.values().next())
            .unwrap();
        assert_eq!(payload["userErrors"], json!([]), "{mutation}");
        payload.clone()
    }

    /// Records events; `None` when no answer came.
    pub async fn try_record(&self, events: &[Value]) -> Option<Value> {
        let reply = self.try_send(RECORD, json!({ "events": events })).await.ok()?;
        let payload = reply.body["data"]["recordUsage"].clone();
        (reply.status == StatusCode::OK && payload.is_object()).then_some(payload)
    }

    /// Records events that must be taken in.
    pub async fn record(&self, events: &[Value]) -> Value {
        let data = self.send(RECORD, json!({ "events": events })).await;
        assert_eq!(data["recordUsage"]["userErrors"], json!([]));
        data["recordUsage"].clone()
    }

    /// A metric with a price.
    pub async fn metric(&self, key: &str, price: &str) {
        self.change(&format!(
            r#"mutation {{ createMetric(input: {{key: "{key}", name: "{key}", idempotencyKey: "metric-{key}"}}) {{ userErrors {{ code message }} }} }}"#
        ))
        .await;
        self.change(&format!(
            r#"mutation {{ createMeteringRule(input: {{metricKey: "{key}", price: {price}, idempotencyKey: "rule-{key}"}}) {{ userErrors {{ code message }} }} }}"#
        ))
        .await;
    }

    /// A customer with credits; answers the id.
    pub async fn customer(&self, name: &str, credits: &str) -> String {
        let made = self
            .change(&format!(
                r#"mutation {{ createCustomer(input: {{externalId: "{name}", idempotencyKey: "customer-{name}"}}) {{ customer {{ id }} userErrors {{ code message }} }} }}"#
            ))
            .await;
        self.grant(name, credits, &format!("grant-{name}")).await;
        made["customer"]["id"].as_str().unwrap().to_owned()
    }

    /// More credits; answers the block.
    pub async fn grant(&self, name: &str, credits: &str, key: &str) -> Value {
        let mutation = format!(
            r#"mutation {{ grantCredits(input: {{externalCustomerId: "{name}", credits: "{credits}", source: PURCHASE, idempotencyKey: "{key}"}}) {{ block {{ id }} idempotentReplay userErrors {{ code message }} }} }}"#
        );
        self.change(&mutation).await["block"].clone()
    }

    /// Sells credits for a dollar each, through the sandbox.
    pub async fn sells_credits(&self) {
        self.change(
            r#"mutation { updatePaymentSettings(input: {provider: "sandbox", creditPrice: {perCredit: "1", currency: "USD"},
                minimum: {amount: "5", currency: "USD"}}) { paymentSettings { provider } userErrors { code path message } } }"#,
        )
        .await;
    }

    /// Has a customer leave a card of the sandbox.
    pub async fn card(&self, name: &str, card: &str) {
        let page = self
            .change(&format!(
                r#"mutation {{ startPaymentMethodSetup(input: {{externalCustomerId: "{name}", idempotencyKey: "page-{name}"}})
                    {{ setup {{ id url paymentMethodId }} userErrors {{ code path message }} }} }}"#
            ))
            .await;
        let page = page["setup"]["id"].as_str().unwrap();
        self.change(&format!(
            r#"mutation {{ completeSandboxSetup(input: {{paymentSetupId: "{page}", card: {card}}})
                {{ setup {{ paymentMethodId }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    }

    /// Waits until everything a customer has used is debited, and answers the balance.
    pub async fn settled(&self, name: &str) -> Value {
        let query = format!(
            r#"{{ customer(externalId: "{name}") {{ balance {{ remaining overdraft held available pendingEvents sequence }} }} }}"#
        );
        until(&format!("all usage of {name} is debited"), async || {
            let data = self.ask(&query).await;
            let balance = &data["customer"]["balance"];
            (balance["pendingEvents"] == 0).then(|| balance.clone())
        })
        .await
    }

    /// What a customer has used of a metric and was debited for: units, events, credits.
    pub async fn used(&self, name: &str, metric: &str) -> Value {
        let query = format!(
            r#"{{ customer(externalId: "{name}") {{ usageSummary {{ metrics {{ metricKey units events credits }} }} }} }}"#
        );
        let data = self.ask(&query).await;
        let metrics = data["customer"]["usageSummary"]["metrics"].as_array().unwrap();
        let line = metrics.iter().find(|line| line["metricKey"] == metric);
        line.cloned()
            .unwrap_or_else(|| json!({ "metricKey": metric, "units": "0", "events": 0, "credits": "0" }))
    }
}

/// Sends a request and reads the answer; a body that is not JSON is kept as text.
pub async fn reply(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Reply {
        status,
        body,
        headers,
    })
}

/// The document of a purchase with the default way to pay.
pub fn purchase(name: &str, dollars: &str, key: &str) -> String {
    format!(
        r#"mutation {{ purchaseCredits(input: {{externalCustomerId: "{name}", amount: {{amount: "{dollars}", currency: "USD"}},
            idempotencyKey: "{key}"}}) {{ payment {{ id state credits }} idempotentReplay userErrors {{ code path message }} }} }}"#
    )
}

/// One event.
pub fn event(customer: &str, metric: &str, units: u64, key: impl std::fmt::Display) -> Value {
    json!({
        "externalCustomerId": customer, "metricKey": metric, "units": units.to_string(), "idempotencyKey": key.to_string(),
    })
}
