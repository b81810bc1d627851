//! Vendors that sell credits through the sandbox, and customers with its cards.

use app::{
    customer::CustomerRef,
    payment::{self, Purchase, StartSetup, UpdateSetting},
};
use domain::{
    id::{CustomerId, PaymentMethodId},
    money::Money,
    payment::{Way, sale::Sale},
    plan::{money_price::CreditPrice, variant::PurchaseLimits},
};
use gateway::payment::sandbox::Card;

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
    }
}

/// Sources P1 and P2: a dollar a credit, from 5 to 5,000.
pub async fn sells(world: &World) {
    sells_as(world, sale("1 USD", "5 USD", "5000 USD")).await;
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
