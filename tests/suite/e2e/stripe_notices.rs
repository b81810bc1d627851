//! What happens at Stripe is heard of: signed notices over HTTP, against the stand-in for Stripe. A page is paid, money goes back, a bank
//! disputes; notices that are forged or about somebody else change nothing.

use app::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{
    client::{Client, Reply, reply},
    fake::{Fake, SECRET, signed},
    process::until,
    stage::{Stage, dev_key, try_base},
};

/// The secret with which the stand-in signs; another one is being replaced by it.
const SIGNING: &str = "whsec_new";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_stripe_is_heard_of_on_sqlite() {
    Stage::on_sqlite(async |stage| hear(stage).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_stripe_is_heard_of_on_postgres() {
    Stage::on_postgres(async |stage| hear(stage).await).await;
}

struct Scene {
    fake: Fake,
    client: Client,
    base: String,
}

async fn hear(stage: &Stage) {
    let fake = Fake::start().await;
    let address = fake.base.clone();
    let account = [
        ("TALLYGATE_STRIPE_SECRET_KEY", SECRET),
        ("TALLYGATE_STRIPE_URL", address.as_str()),
        ("TALLYGATE_STRIPE_NOTICE_SECRETS", "whsec_old, whsec_new"),
    ];
    let mut process = stage.start_with(&["dev"], &account);
    let base = try_base(&mut process).await.unwrap();
    let client = Client::new(&base, &dev_key(&process));
    let scene = Scene { fake, client, base };
    scene.sells().await;
    let (payment, charge) = scene.paid_on_a_page().await;
    scene.refused(&payment).await;
    scene.refunded(&payment, &charge).await;
    scene.disputed().await;
    scene.restored(stage, &account, &payment, &charge).await;
}

impl Scene {
    async fn sells(&self) {
        self.client
            .change(
                r#"mutation { updatePaymentSettings(input: {provider: "stripe", creditPrice: {perCredit: "1", currency: "USD"}})
                    { paymentSettings { provider } userErrors { code path message } } }"#,
            )
            .await;
    }

    /// Sends all events since a number.
    async fn tell_since(&self, first: usize) {
        let events: Vec<Value> = self.fake.books().events[first..].to_vec();
        // In the wrong order, and each of them twice.
        for event in events.iter().rev().chain(&events) {
            let told = self.tell("stripe", event, SIGNING).await;
            assert_eq!(told.status, 200, "{event}");
        }
    }

    async fn tell(&self, provider: &str, event: &Value, secret: &str) -> Reply {
        let (header, body) = signed(event, secret, now());
        self.post(provider, header, body).await
    }

    async fn post(&self, provider: &str, header: String, body: Vec<u8>) -> Reply {
        let address = format!("{}/notices/{provider}", self.base);
        let request = crate::harness::http()
            .build()
            .unwrap()
            .post(address)
            .header("stripe-signature", header)
            .body(body);
        reply(request).await.unwrap()
    }

    fn told(&self) -> usize {
        self.fake.books().events.len()
    }

    /// Somebody buys ten credits on a page; the payment and its charge.
    async fn bought(&self, name: &str) -> (Value, String) {
        self.client.customer(name, "1").await;
        let begun = self.client.change(&checkout(name)).await;
        let id = begun["payment"]["id"].clone();
        // On a busy machine Stripe's answer may come after ours.
        self.comes_to(&id, "REQUIRES_ACTION", &json!([])).await;
        let asked = self
            .client
            .ask(&format!("{{ payment(id: {id}) {{ actionUrl }} }}"))
            .await;
        let url = asked["payment"]["actionUrl"].as_str().unwrap();
        let session = url.split(['?', '#']).next().unwrap().rsplit('/').next().unwrap();
        let before = self.told();
        let charge = self.fake.books().pay_on_page(session, "pm_fine");
        self.tell_since(before).await;
        self.comes_to(&id, "SUCCEEDED", &json!([])).await;
        assert_eq!(self.client.settled(name).await["remaining"], "11");
        (id, charge)
    }

    async fn paid_on_a_page(&self) -> (Value, String) {
        let found = self.bought("guest").await;
        assert_eq!(self.fake.books().taken(), [1_000], "charged once");
        found
    }

    /// Waits until a payment is as it should be: its state, and what has gone back of it.
    async fn comes_to(&self, id: &Value, state: &str, returns: &Value) {
        let query = format!("{{ payment(id: {id}) {{ state returns {{ kind state credits }} }} }}");
        let wanted = json!({ "state": state, "returns": returns });
        until(&format!("{id} is {wanted}"), async || {
            let payment = self.client.ask(&query).await["payment"].clone();
            (payment == wanted).then_some(())
        })
        .await;
    }

    /// What is not Stripe's, or not about us.
    async fn refused(&self, payment: &Value) {
        let event = json!({"id": "evt_forged", "type": "charge.refunded", "created": 1, "livemode": false,
            "data": {"object": {"id": "ch_9", "metadata": {"tallygate_payment": payment}}}});
        assert_eq!(self.tell("stripe", &event, "whsec_guess").await.status, 400);
        assert_eq!(self.tell("stripe", &event, "whsec_old").await.status, 200);
        assert_eq!(self.tell("sandbox", &event, SIGNING).await.status, 404);
        assert_eq!(self.tell("nobody", &event, SIGNING).await.status, 404);
        let (header, mut body) = signed(&event, SIGNING, now());
        body.push(b' ');
        assert_eq!(
            self.post("stripe", header, body).await.status,
            400,
            "it was changed"
        );
        let (header, body) = signed(&event, SIGNING, now() - 600);
        assert_eq!(self.post("stripe", header, body).await.status, 400, "it is old");
        let (header, _) = signed(&event, SIGNING, now());
        let long = vec![b' '; 1 << 20];
        assert_eq!(self.post("stripe", header, long).await.status, 413);
        let foreign = json!({"id": "evt_foreign", "type": "charge.refunded", "created": 1, "livemode": false,
            "data": {"object": {"id": "ch_9", "payment_intent": "pi_of_somebody_else", "metadata": {}}}});
        assert_eq!(self.tell("stripe", &foreign, SIGNING).await.status, 200);
        let live = json!({"id": "evt_live", "type": "charge.refunded", "created": 1, "livemode": true,
            "data": {"object": {"id": "ch_9", "metadata": {}}}});
        assert_eq!(
            self.tell("stripe", &live, SIGNING).await.status,
            400,
            "of the other world"
        );
        self.comes_to(payment, "SUCCEEDED", &json!([])).await;
    }

    /// Once through us, and once at Stripe itself.
    async fn refunded(&self, payment: &Value, charge: &str) {
        self.client
            .change(&format!(
                r#"mutation {{ refundPayment(input: {{paymentId: {payment}, amount: {{amount: "4", currency: "USD"}}, idempotencyKey: "back"}})
                    {{ paymentReturn {{ state }} userErrors {{ code path message }} }} }}"#
            ))
            .await;
        let ours = json!({"kind": "REFUND", "state": "RETURNED", "credits": "4"});
        self.comes_to(payment, "SUCCEEDED", &json!([ours])).await;
        let before = self.told();
        self.fake.books().give_back(charge, 500, "succeeded", &json!({}));
        self.tell_since(before).await;
        let theirs = json!({"kind": "REFUND", "state": "RETURNED", "credits": "5"});
        self.comes_to(payment, "SUCCEEDED", &json!([ours, theirs])).await;
        assert_eq!(self.client.settled("guest").await["remaining"], "2");
        assert_eq!(self.fake.books().refunds.len(), 2);
    }

    /// What was told and lost is asked for, and nothing is charged before it was compared.
    async fn restored(&self, stage: &Stage, account: &[(&str, &str)], payment: &Value, charge: &str) {
        let safe_mode = async |args: &[&str]| {
            let args = [&["safe-mode"], args].concat();
            stage.command_with(&args, account).await
        };
        let ended = safe_mode(&["begin", "--since", "2026-11-01T00:00:00Z"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        self.fake.books().give_back(charge, 100, "succeeded", &json!({}));
        let back = |credits: &str| json!({"kind": "REFUND", "state": "RETURNED", "credits": credits});
        self.comes_to(payment, "SUCCEEDED", &json!([back("4"), back("5"), back("1")]))
            .await;
        self.client.customer("waiting", "1").await;
        let begun = self.client.change(&checkout("waiting")).await;
        assert_eq!(
            begun["payment"]["state"], "CREATED",
            "no page is opened meanwhile"
        );
        until("everything was compared", async || {
            let shown = safe_mode(&[]).await;
            (shown.out.contains("compared since") && !shown.out.contains("not compared")).then_some(())
        })
        .await;
        let ended = safe_mode(&["end"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(safe_mode(&[]).await.out.is_empty(), "everything is as usual");
    }

    async fn disputed(&self) {
        let (payment, charge) = self.bought("angry").await;
        for (status, state, credits, remaining) in [
            ("warning_needs_response", "PENDING", "0", "11"),
            ("needs_response", "CONTESTED", "10", "1"),
            ("under_review", "CONTESTED", "10", "1"),
            ("won", "UNDONE", "0", "11"),
        ] {
            let before = self.told();
            self.fake.books().dispute(&charge, status);
            self.tell_since(before).await;
            let dispute = json!([{"kind": "DISPUTE", "state": state, "credits": credits}]);
            self.comes_to(&payment, "SUCCEEDED", &dispute).await;
            assert_eq!(
                self.client.settled("angry").await["remaining"],
                remaining,
                "{status}"
            );
        }
    }
}

fn checkout(name: &str) -> String {
    format!(
        r#"mutation {{ startCheckout(input: {{externalCustomerId: "{name}", amount: {{amount: "10", currency: "USD"}},
            kinds: [CARD, CRYPTO], returnUrl: "https://vendor.example/back", idempotencyKey: "{name}"}})
            {{ payment {{ id state actionUrl }} userErrors {{ code path message }} }} }}"#
    )
}

fn now() -> i64 {
    SystemClock.now().micros() / 1_000_000
}
