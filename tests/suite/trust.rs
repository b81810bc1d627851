//! Tiers of trust: how much a customer may buy at once, by what it has paid (source P1).

use app::{
    customer::CustomerRef,
    payment::{self, RefundPayment, Trust},
    recharge::{self, UpdateRecharge},
};
use domain::{
    id::{CustomerId, PaymentId},
    payment::sale::Sale,
    recharge::{
        Reason,
        rule::{Rule, Size},
    },
    rejection::RejectionCode,
};
use gateway::payment::sandbox::Card;

use crate::harness::{
    World, credits,
    paying::{card, charges, money, sale, tier, trusts, wish},
    per_unit, refusal,
};

on_both!(
    who_has_paid_more_may_buy_more,
    what_has_gone_back_was_not_paid,
    a_tier_is_chosen_by_hand,
    an_auto_recharge_keeps_within_the_tier,
    a_test_clock_makes_customers_older,
    tiers_are_checked,
);

const DAY: i64 = 86_400;

/// A hundred for everybody, and five hundred for who has paid fifty a week ago.
async fn has_tiers(world: &World) {
    let new = tier("new", Some("100 USD"), None, 0);
    let known = tier("known", Some("500 USD"), Some("50 USD"), 7);
    trusts(world, vec![new, known]).await;
}

async fn buyer(world: &World) -> CustomerId {
    has_tiers(world).await;
    let customer = world.customer("buyer").await;
    card(world, customer, Card::Success).await;
    customer
}

async fn buy(world: &World, customer: CustomerId, amount: &str) -> app::Result<PaymentId> {
    let bought = payment::purchase(&world.app, &world.actor, wish(customer, amount), &world.key()).await?;
    world.run_to_rest().await;
    Ok(bought.value.id)
}

async fn too_much(world: &World, customer: CustomerId, amount: &str) {
    let no = refusal(buy(world, customer, amount).await);
    assert_eq!(no, (RejectionCode::InvalidInput, "amount".to_owned()));
}

async fn trust(world: &World, customer: CustomerId) -> Trust {
    let found = payment::trust(&world.app, &world.actor, customer).await;
    found.unwrap().unwrap()
}

async fn choose(world: &World, customer: CustomerId, tier: Option<&str>) -> app::Result<Trust> {
    payment::set_trust(&world.app, &world.actor, &CustomerRef::Id(customer), tier).await
}

async fn who_has_paid_more_may_buy_more(world: World) {
    let customer = buyer(&world).await;
    let other = world.customer("other").await;
    too_much(&world, customer, "100.01 USD").await;
    buy(&world, customer, "60 USD").await.unwrap();
    world.advance(6 * DAY);
    too_much(&world, customer, "100.01 USD").await;
    world.advance(DAY);
    let it = trust(&world, customer).await;
    assert_eq!((it.tier.key.as_str(), it.is_chosen), ("known", false));
    assert_eq!(it.paid, money("60 USD"));
    assert_eq!(it.first_paid_at, Some(world.now().plus_seconds(-7 * DAY)));
    buy(&world, customer, "500 USD").await.unwrap();
    too_much(&world, customer, "500.01 USD").await;
    // Of another customer nothing follows.
    let it = trust(&world, other).await;
    assert_eq!(
        (it.tier.key.as_str(), it.paid, it.first_paid_at),
        ("new", money("0 USD"), None)
    );
}

async fn what_has_gone_back_was_not_paid(world: World) {
    let customer = buyer(&world).await;
    let first = buy(&world, customer, "60 USD").await.unwrap();
    world.advance(7 * DAY);
    let input = RefundPayment {
        payment: first,
        amount: Some(money("10.01 USD")),
        reason: None,
    };
    payment::refund(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    // From the decision on, whether the money has arrived or not.
    assert_eq!(trust(&world, customer).await.tier.key, "new");
    world.run_to_rest().await;
    assert_eq!(trust(&world, customer).await.paid, money("49.99 USD"));
    too_much(&world, customer, "101 USD").await;
}

async fn a_tier_is_chosen_by_hand(world: World) {
    let customer = buyer(&world).await;
    let it = choose(&world, customer, Some("known")).await.unwrap();
    assert_eq!((it.tier.key.as_str(), it.is_chosen), ("known", true));
    buy(&world, customer, "500 USD").await.unwrap();
    // A tier that is no more counts no more.
    trusts(&world, vec![tier("all", Some("50 USD"), None, 0)]).await;
    too_much(&world, customer, "51 USD").await;
    has_tiers(&world).await;
    assert!(trust(&world, customer).await.is_chosen);
    let it = choose(&world, customer, None).await.unwrap();
    assert_eq!((it.tier.key.as_str(), it.is_chosen), ("new", false));
    let no = refusal(choose(&world, customer, Some("gone")).await);
    assert_eq!(no, (RejectionCode::NotFound, "tier".to_owned()));
    trusts(&world, Vec::new()).await;
    let no = refusal(choose(&world, customer, None).await);
    assert_eq!(no.0, RejectionCode::NotFound);
    let none = payment::trust(&world.app, &world.actor, customer).await;
    assert_eq!(none.unwrap(), None);
}

async fn an_auto_recharge_keeps_within_the_tier(world: World) {
    let customer = buyer(&world).await;
    let rule = |size| UpdateRecharge {
        customer: CustomerRef::Id(customer),
        rule: Some(Rule {
            threshold: credits("10"),
            size,
            monthly_cap: money("1000 USD"),
        }),
    };
    let agree = async |size| recharge::update(&world.app, &world.actor, rule(size)).await;
    let no = refusal(agree(Size::Fixed(money("101 USD"))).await);
    assert_eq!(no.1, "rule.amount.fixed");
    agree(Size::Target(credits("150"))).await.unwrap();
    world.run_to_rest().await;
    // As much as the tier allows at once.
    assert_eq!(world.stands(customer).await.0, "100");
    // A rule of before holds, and what the tier does not allow any more is not charged.
    choose(&world, customer, Some("known")).await.unwrap();
    agree(Size::Fixed(money("200 USD"))).await.unwrap();
    choose(&world, customer, Some("new")).await.unwrap();
    world.priced("call", per_unit("1")).await;
    world.accept(vec![world.event(customer, "call", "95")]).await;
    world.run_to_rest().await;
    assert_eq!(charges(&world).await, 1);
    let it = recharge::recharge(&world.app, &world.actor, customer).await;
    assert_eq!(it.unwrap().unwrap().reason, Some(Reason::NotSold));
}

async fn a_test_clock_makes_customers_older(world: World) {
    let customer = buyer(&world).await;
    buy(&world, customer, "60 USD").await.unwrap();
    assert_eq!(trust(&world, customer).await.tier.key, "new");
    world.live_by_clock(customer, "2040-01-01T00:00:00Z").await;
    assert_eq!(trust(&world, customer).await.tier.key, "known");
    buy(&world, customer, "500 USD").await.unwrap();
}

async fn tiers_are_checked(world: World) {
    let input = |tiers| payment::UpdateSetting {
        provider: "sandbox".to_owned(),
        sale: Sale {
            tiers,
            ..sale("1 USD", "5 USD", "5000 USD")
        },
    };
    let tiers = vec![
        tier("new", Some("100 USD"), None, 0),
        tier("known", Some("50 USD"), None, 0),
    ];
    let no = refusal(payment::update_setting(&world.app, &world.actor, input(tiers)).await);
    assert_eq!(no.1, "trustTiers.1.maximum");
}
