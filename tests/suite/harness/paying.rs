//! Vendors that sell credits through the sandbox, and customers with its cards.

use app::{
    customer::CustomerRef,
    event::{self, About, BillingEvent},
    page::Page,
    payment::{self, Purchase, StartSetup, UpdateSetting},
};
use domain::{
    id::{CustomerId, PaymentId, PaymentMethodId},
    money::Money,
    payment::{Payment, Way, sale::Sale, trust::TrustTier},
    plan::{money_price::CreditPrice, variant::PurchaseLimits},
};
use entity::sandbox_charge;
use gateway::payment::sandbox::Card;
use sea_orm::{EntityTrait, PaginatorTrait};

use super::World;

pub fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').unwrap();
    Money::parse(amount, currency.parse().unwrap()).unwrap()
}

pub fn sale(price: &str, minimum: &str, maximum: &str) -> Sale {
    let (per_credit, currency) = price.split_once(' ').unwrap();
    Sale {
        price: CreditPrice {
            currency: currency.parse().unwrap(),
            per_credit: per_credit.parse().unwrap(),
        },
        limits: PurchaseLimits {
            minimum: Some(money(minimum)),
            maximum: Some(money(maximum)),
        },
        lasts_seconds: None,
        tiers: Vec::new(),
    }
}

/// Sources P1 and P2: a dollar a credit, from 5 to 5,000.
pub async fn sells(world: &World) {
    sells_as(world, sale("1 USD", "5 USD", "5000 USD")).await;
}

/// The same with tiers of trust.
#[allow(dead_code, reason = "for the suite")]
pub async fn trusts(world: &World, tiers: Vec<TrustTier>) {
    let sale = sale("1 USD", "5 USD", "5000 USD");
    sells_as(world, Sale { tiers, ..sale }).await;
}

/// A tier with its largest purchase, and what reaches it.
#[allow(dead_code, reason = "for the suite")]
pub fn tier(key: &str, maximum: Option<&str>, paid: Option<&str>, days: i64) -> TrustTier {
    TrustTier {
        key: key.to_owned(),
        maximum: maximum.map(money),
        paid: paid.map(money),
        days,
    }
}

pub async fn sells_as(world: &World, sale: Sale) {
    let input = UpdateSetting {
        provider: "sandbox".to_owned(),
        sale,
    };
    payment::update_setting(&world.app, &world.actor, input)
        .await
        .unwrap();
}

pub async fn card(world: &World, customer: CustomerId, card: Card) -> PaymentMethodId {
    let who = StartSetup {
        customer: CustomerRef::Id(customer),
        return_url: None,
    };
    let page = payment::start_setup(&world.app, &world.actor, who, &world.key()).await;
    let page = page.unwrap().value;
    assert_eq!(page.method, None);
    let done = payment::complete_setup(&world.app, &world.actor, page.id, card).await;
    done.unwrap().method.unwrap()
}

pub fn wish(customer: CustomerId, amount: &str) -> Purchase {
    Purchase {
        customer: CustomerRef::Id(customer),
        amount: money(amount),
        way: Way::Saved(None),
    }
}

pub async fn read(world: &World, id: PaymentId) -> Payment {
    let found = payment::payment(&world.app, &world.actor, id).await;
    found.unwrap().unwrap()
}

/// How many charges the sandbox has made.
pub async fn charges(world: &World) -> u64 {
    let all = sandbox_charge::Entity::find();
    all.count(world.app.db().reader()).await.unwrap()
}

/// The kinds of what has been told about a customer that begin with something, oldest first.
pub async fn told(world: &World, customer: CustomerId, beginning: &str) -> Vec<String> {
    let events = events(world, customer).await.into_iter();
    let kinds = events.map(|event| event.kind.to_string());
    kinds.filter(|kind| kind.starts_with(beginning)).collect()
}

/// What has been told about a customer, oldest first.
pub async fn events(world: &World, customer: CustomerId) -> Vec<BillingEvent> {
    let about = About::Customer(customer);
    let events = event::events(&world.app, &world.actor, about, Page::first(100)).await;
    let mut events = events.unwrap().items;
    events.reverse();
    events
}
