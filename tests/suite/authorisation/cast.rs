//! Who asks and what they ask about: three customers of two tenants, each with one of everything, and credentials of every kind.

use std::{cell::RefCell, collections::BTreeMap};

use app::{
    Actor, Scope,
    access::{self, CreateApiKey, CreateCustomerToken},
    catalog::{self, CreateVariant},
    credit,
    customer::{CustomerRef, UpdateCustomer},
    hold, invoice,
    page::Page,
    payment,
    subscription::{CreateSubscription, Wish},
    test_clock::{self, CreateTestClock},
    usage, webhook,
};
use domain::{
    id::{CustomerId, EntryId, WorkId},
    payment::{Checkout, Way, method::Kind},
    plan::variant::{Mode, PurchaseLimits},
    tax::number::Kind as TaxKind,
};
use entity::work;
use gateway::payment::sandbox::Card;
use sea_orm::{ActiveValue::Set, EntityTrait};
use uuid::Uuid;

use crate::harness::{
    World, at, billing, every_cycle, monthly, paying, per_unit,
    plans::{agreement, variant},
    receiver::Receiver,
};

/// One customer and what the words in a request stand for.
pub struct Target {
    /// `CUSTOMER` and `EXTERNAL` (the customer), `BLOCK`, `ENTRY` (a debit), `EVENT` and `PRODUCED` (an event's id and key), `HELD` and `KEPT` (reservations),
    /// `METRIC` and `METER` (a metric's key and id), `RULE`, `PLAN` and `OFFER` (a plan's id and key), `STALE` (a plan to archive),
    /// `VARIANT`, `TEMPLATE`, `SOLD` and `OTHER` (variants that nobody archives), `AGREED` and `NAMED` (a subscription's id and the
    /// vendor's name for it), `LIVED` (another one, prepaid), `TOLD` (what has happened to it), `CLOCK` (a test clock), `KEY` and `TURNED` (API keys), `WORK` (parked), `METHOD` (a
    /// way to pay), `SETUP` (a page for another), `PAYMENT` (waits for its customer), `CHECKOUT` (a page), `PAID` and `REPAID` (payments, the second to give back), `RECEIPT`, `DRAFT`, `INVOICE`, `UNPAID`, `WRONG` and `LOST` (invoices, four of them open), `TAXNUMBER`, `HOOK` and `UNHOOKED` (webhook endpoints, the second to take away), `SENT` (a message). `FRESH` is new every time.
    pub words: Vec<(&'static str, String)>,
    /// A text in everything it has that has a name: whoever may not see it must not be sent it.
    pub mark: String,
    /// Who hears of tests of `HOOK`.
    #[allow(dead_code, reason = "it goes on answering")]
    pub receiver: Receiver,
    pub world: World,
    pub customer: CustomerId,
}

impl Target {
    /// A request about it.
    pub fn fill(&self, request: &str) -> String {
        let fresh = self.world.key();
        let filled = self.words.iter().fold(request.to_owned(), |text, (word, what)| {
            text.replace(&format!("\"{word}\""), &format!("\"{what}\""))
        });
        filled.replace("\"FRESH\"", &format!("\"{fresh}\""))
    }
}

/// A customer with one of everything.
pub async fn target(world: &World, name: &str) -> Target {
    let mark = format!("mark-of-{name}");
    let metric = &format!("call-of-{name}");
    world.priced(metric, per_unit("1")).await;
    let (app, actor) = (&world.app, &world.actor);
    let customer = world.customer(name).await;
    let update = UpdateCustomer {
        name: Some(Some(mark.clone())),
        ..UpdateCustomer::default()
    };
    app::customer::update(app, actor, &CustomerRef::Id(customer), update)
        .await
        .unwrap();
    let deposit = credit::Grant {
        description: Some(mark.clone()),
        ..world.deposit(customer, "100")
    };
    let block = world.grant(deposit).await.block.id;
    let produced = world.consume(customer, metric, "1").await;
    world.run_to_rest().await;
    let event = usage::event(app, actor, &produced).await.unwrap().unwrap().id;
    let meter = catalog::metric(app, actor, metric).await.unwrap().unwrap().id;
    let rules = catalog::rules(app, actor, Some(metric), Page::first(1))
        .await
        .unwrap();
    let [key, turned] = [key(world, &mark).await, key(world, &mark).await];
    let entry = EntryId {
        customer,
        sequence: 2,
    };
    let mut words = vec![
        ("CUSTOMER", customer.to_string()),
        ("EXTERNAL", name.to_owned()),
        ("BLOCK", block.to_string()),
        ("ENTRY", entry.to_string()),
        ("EVENT", event.to_string()),
        ("PRODUCED", produced),
        ("HELD", held(world, customer, metric, &mark).await),
        ("KEPT", held(world, customer, metric, &mark).await),
        ("METRIC", metric.to_owned()),
        ("METER", meter.to_string()),
        ("RULE", rules.items[0].id.to_string()),
        ("KEY", key),
        ("TURNED", turned),
        ("WORK", parked(world, name, &mark).await),
    ];
    words.extend(offered(world, name).await);
    words.extend(agreed(world, customer, &mark).await);
    words.extend(paying(world, customer).await);
    words.extend(billed(world, customer).await);
    let receiver = Receiver::open().await;
    words.extend(hooked(world, &receiver, &mark).await);
    world.own_url(customer, receiver.url(), None).await;
    Target {
        receiver,
        words,
        mark,
        world: world.clone(),
        customer,
    }
}

/// An open reservation that is named after the mark.
async fn held(world: &World, customer: CustomerId, metric: &str, mark: &str) -> String {
    let wish = hold::Reserve {
        customer: Some(CustomerRef::Id(customer)),
        metric_key: metric.to_owned(),
        units: "1".to_owned(),
        properties: None,
        seconds: Some(86_400),
        key: format!("{mark}-{}", world.key()),
    };
    let made = hold::reserve(&world.app, &world.actor, vec![wish]).await.unwrap();
    match &made[0] {
        hold::Reserved::Held(it) => it.id.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A plan with a variant that brings credits, and one that is to be archived.
async fn offered(world: &World, name: &str) -> Vec<(&'static str, String)> {
    let (app, actor) = (&world.app, &world.actor);
    let plan = async |key: String| {
        let input = catalog::CreatePlan {
            name: key.clone(),
            key,
            description: None,
        };
        catalog::create_plan(app, actor, input, &world.key())
            .await
            .unwrap()
            .value
    };
    let (kept, stale) = (
        plan(format!("plan-of-{name}")).await,
        plan(format!("stale-of-{name}")).await,
    );
    let (first, second) = (world.key(), world.key());
    let variant = monthly(catalog::PlanRef::Id(kept.id));
    let variant = catalog::create_variant(app, actor, variant, &first).await;
    let variant = variant.unwrap().value.variant.id;
    let template = every_cycle(variant, "1");
    let template = catalog::create_template(app, actor, template, &second).await;
    let template = template.unwrap().value.template.id;
    vec![
        ("PLAN", kept.id.to_string()),
        ("OFFER", kept.key),
        ("STALE", stale.id.to_string()),
        ("VARIANT", variant.to_string()),
        ("TEMPLATE", template.to_string()),
    ]
}

/// Two subscriptions with contracts, one of which is to have another plan, and a test clock.
async fn agreed(world: &World, customer: CustomerId, mark: &str) -> Vec<(&'static str, String)> {
    let offer = || CreateVariant {
        purchase: Some(PurchaseLimits {
            minimum: None,
            maximum: None,
        }),
        ..variant(Mode::Prepaid)
    };
    let [sold, other] = [
        world.sells(offer(), Vec::new()).await,
        world.sells(offer(), Vec::new()).await,
    ];
    let agree = async |name: Option<String>| {
        let input = CreateSubscription {
            external_id: name,
            contract_end: Some(at("2030-01-01")),
            ..agreement(customer, sold)
        };
        world.try_subscribe(input).await.unwrap().value.id
    };
    let (kept, lived) = (agree(Some(mark.to_owned())).await, agree(None).await);
    let change = Wish::ChangePlan {
        to: other,
        now: false,
    };
    world.wish(kept, change).await.unwrap();
    let clock = CreateTestClock {
        name: mark.to_owned(),
        now: None,
    };
    let clock = test_clock::create(&world.app, &world.actor, clock, &world.key()).await;
    vec![
        ("SOLD", sold.to_string()),
        ("OTHER", other.to_string()),
        ("AGREED", kept.to_string()),
        ("NAMED", mark.to_owned()),
        ("LIVED", lived.to_string()),
        ("TOLD", world.told(kept).await[0].id.to_string()),
        ("CLOCK", clock.unwrap().value.id.to_string()),
    ]
}

/// A way to pay, a page for another, and a payment that waits for its customer.
async fn paying(world: &World, customer: CustomerId) -> Vec<(&'static str, String)> {
    let (app, actor) = (&world.app, &world.actor);
    paying::trusts(world, vec![paying::tier("trusted", None, None, 0)]).await;
    let method = paying::card(world, customer, Card::AuthenticationRequired).await;
    let page = payment::StartSetup {
        customer: CustomerRef::Id(customer),
        return_url: None,
    };
    let page = payment::start_setup(app, actor, page, &world.key()).await;
    let wish = paying::wish(customer, "10 USD");
    let asked = payment::purchase(app, actor, wish.clone(), &world.key()).await;
    let on_page = payment::Purchase {
        way: Way::Page(Checkout {
            kinds: vec![Kind::Card],
            return_url: None,
        }),
        ..wish
    };
    let on_page = payment::purchase(app, actor, on_page, &world.key()).await;
    world.run_to_rest().await;
    vec![
        ("METHOD", method.to_string()),
        ("SETUP", page.unwrap().value.id.to_string()),
        ("PAYMENT", asked.unwrap().value.id.to_string()),
        ("CHECKOUT", on_page.unwrap().value.id.to_string()),
    ]
}

/// A receipt, and a tax number.
async fn billed(world: &World, customer: CustomerId) -> Vec<(&'static str, String)> {
    let (app, actor) = (&world.app, &world.actor);
    billing::bills(world, billing::terms()).await;
    let method = paying::card(world, customer, Card::Success).await;
    let wish = payment::Purchase {
        way: Way::Saved(Some(method)),
        ..paying::wish(customer, "10 USD")
    };
    let paid = payment::purchase(app, actor, wish.clone(), &world.key())
        .await
        .unwrap();
    world.run_to_rest().await;
    let number = invoice::AddRegistration {
        customer: CustomerRef::Id(customer),
        kind: TaxKind::EuVat,
        country: "DE".parse().unwrap(),
        value: "DE136695976".to_owned(),
    };
    let number = invoice::add_registration(app, actor, number, &world.key()).await;
    let receipt = billing::all(world, customer).await.remove(0);
    let repaid = payment::purchase(app, actor, wish, &world.key()).await.unwrap();
    world.run_to_rest().await;
    let mut words = vec![
        ("PAID", paid.value.id.to_string()),
        ("REPAID", repaid.value.id.to_string()),
        ("RECEIPT", receipt.invoice.id.to_string()),
        ("TAXNUMBER", number.unwrap().value.id.to_string()),
    ];
    for word in ["DRAFT", "INVOICE", "UNPAID", "WRONG", "LOST"] {
        let id = billing::like(world, &receipt, word != "DRAFT").await;
        words.push((word, id.to_string()));
    }
    words
}

/// Two webhook endpoints, and a message to one of them.
async fn hooked(world: &World, receiver: &Receiver, mark: &str) -> Vec<(&'static str, String)> {
    let endpoint = async || {
        let input = webhook::CreateEndpoint {
            url: receiver.url(),
            types: Some(vec!["webhook_endpoint.disabled".to_owned()]),
            description: Some(mark.to_owned()),
            customer: None,
            at_once: None,
        };
        let made = webhook::create(&world.app, &world.actor, input, &world.key()).await;
        made.unwrap().value.endpoint.id
    };
    let (hook, unhooked) = (endpoint().await, endpoint().await);
    let sent = webhook::send_test(&world.app, &world.actor, hook, &world.key()).await;
    world.run_to_rest().await;
    vec![
        ("HOOK", hook.to_string()),
        ("UNHOOKED", unhooked.to_string()),
        ("SENT", sent.unwrap().value.id.to_string()),
    ]
}

async fn key(world: &World, name: &str) -> String {
    let input = CreateApiKey {
        name: name.to_owned(),
        scopes: vec!["access:write".to_owned()],
        expires_at: None,
    };
    let made = access::create_key(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.key.id.to_string()
}

async fn parked(world: &World, subject: &str, error: &str) -> String {
    let id = Uuid::now_v7();
    let row = work::ActiveModel {
        id: Set(id),
        tenant_id: Set(Some(world.tenant().0)),
        kind: Set("case".to_owned()),
        subject: Set(subject.to_owned()),
        state: Set("PARKED".to_owned()),
        attempts: Set(9),
        due_at: Set(0),
        woken_at: Set(0),
        running_since: Set(0),
        again: Set(0),
        error: Set(Some(error.to_owned())),
        created_at: Set(0),
        updated_at: Set(0),
    };
    let db = world.app.db().writer();
    work::Entity::insert(row)
        .exec_without_returning(db)
        .await
        .unwrap();
    WorkId(id).to_string()
}

/// Makes credentials, and keys of the same scopes once.
pub struct Keys {
    world: World,
    made: RefCell<BTreeMap<Vec<Scope>, String>>,
}

impl Keys {
    pub fn of(world: &World) -> Self {
        Self {
            world: world.clone(),
            made: RefCell::default(),
        }
    }

    /// A key with these scopes and no others.
    pub async fn with(&self, scopes: &[Scope]) -> String {
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        if let Some(known) = self.made.borrow().get(&scopes) {
            return known.clone();
        }
        let (_, secret) = self.make(&scopes, None).await;
        self.made.borrow_mut().insert(scopes, secret.clone());
        secret
    }

    /// A key with every scope but one.
    pub async fn without(&self, scope: Scope) -> String {
        let others: Vec<Scope> = Scope::ALL.iter().copied().filter(|it| *it != scope).collect();
        self.with(&others).await
    }

    /// One that was revoked.
    pub async fn revoked(&self) -> String {
        let (id, secret) = self.make(Scope::ALL, None).await;
        let done = access::revoke_key(&self.world.app, &self.world.actor, id, &self.world.key()).await;
        done.unwrap();
        secret
    }

    /// One that ends after so many seconds.
    pub async fn ending(&self, seconds: i64) -> String {
        self.make(Scope::ALL, Some(seconds)).await.1
    }

    /// A token for a customer with everything that can be delegated.
    pub async fn token(&self, customer: CustomerId, seconds: i64) -> String {
        let secret = self.with(Scope::ALL).await;
        let maker: Actor = access::authenticate(&self.world.app, &secret)
            .await
            .unwrap()
            .unwrap();
        let input = CreateCustomerToken {
            customer: CustomerRef::Id(customer),
            scopes: None,
            lifetime_seconds: Some(seconds),
        };
        let made = access::create_token(&self.world.app, &maker, input, &self.world.key()).await;
        made.unwrap().value.secret.unwrap()
    }

    async fn make(&self, scopes: &[Scope], seconds: Option<i64>) -> (domain::id::ApiKeyId, String) {
        let input = CreateApiKey {
            name: "caller".to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires_at: seconds.map(|seconds| self.world.now().plus_seconds(seconds)),
        };
        let made = access::create_key(&self.world.app, &self.world.actor, input, &self.world.key()).await;
        let made = made.unwrap().value;
        (made.key.id, made.secret.unwrap())
    }
}
