//! The auditor itself: what it does not find, no other case would notice.

use crate::harness::{World, auditor, graduated};

on_both!(finds_damage, finds_nothing_in_sound_books);

async fn story(world: &World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let customer = world.customer("a").await;
    world.give(customer, "20").await;
    world.consume(customer, "call", "8").await;
    world.advance(1);
    world.run_to_rest().await;
    let key = world.consume(customer, "call", "40").await;
    world.run_to_rest().await;
    world.void(&key).await.unwrap();
    world.consume(customer, "call", "1").await;
}

async fn finds_nothing_in_sound_books(world: World) {
    story(&world).await;
    let problems = auditor::problems(world.app.db()).await;
    assert!(problems.is_empty(), "{problems:?}");
}

async fn finds_damage(world: World) {
    story(&world).await;
    for (damage, repair) in [
        (
            "UPDATE account SET blocks = blocks + 1",
            "UPDATE account SET blocks = blocks - 1",
        ),
        (
            "UPDATE account SET overdraft = overdraft + 1",
            "UPDATE account SET overdraft = overdraft - 1",
        ),
        (
            "UPDATE account SET sequence = sequence + 1",
            "UPDATE account SET sequence = sequence - 1",
        ),
        (
            "UPDATE block SET remaining = remaining - 1",
            "UPDATE block SET remaining = remaining + 1",
        ),
        (
            "UPDATE ledger_entry SET credits = credits - 1 WHERE sequence = 2",
            "UPDATE ledger_entry SET credits = credits + 1 WHERE sequence = 2",
        ),
        (
            "UPDATE ledger_entry SET balance_after = balance_after - 1",
            "UPDATE ledger_entry SET balance_after = balance_after + 1",
        ),
        (
            "UPDATE ledger_entry SET sequence = sequence + 100",
            "UPDATE ledger_entry SET sequence = sequence - 100",
        ),
        (
            "UPDATE usage_counter SET units = units + 1",
            "UPDATE usage_counter SET units = units - 1",
        ),
        (
            "UPDATE usage_counter SET credits = credits + 1",
            "UPDATE usage_counter SET credits = credits - 1",
        ),
        (
            "UPDATE usage_event SET voided_at = -1 WHERE voided_at IS NULL",
            "UPDATE usage_event SET voided_at = NULL WHERE voided_at = -1",
        ),
        (
            "UPDATE usage_rating SET credits = credits + 1",
            "UPDATE usage_rating SET credits = credits - 1",
        ),
        (
            "UPDATE usage_rating SET units = units + 1",
            "UPDATE usage_rating SET units = units - 1",
        ),
        (
            "UPDATE usage_rating SET events = events + 1",
            "UPDATE usage_rating SET events = events - 1",
        ),
        (
            "UPDATE usage_rating SET day = day + 1",
            "UPDATE usage_rating SET day = day - 1",
        ),
        (
            "UPDATE usage_rating SET detail = replace(detail, '[[0,', '[[0,9')",
            "UPDATE usage_rating SET detail = replace(detail, '[[0,9', '[[0,')",
        ),
        (
            "UPDATE usage_pending SET units = units + 1",
            "UPDATE usage_pending SET units = units - 1",
        ),
    ] {
        world.sabotage(damage).await;
        let problems = auditor::problems(world.app.db()).await;
        assert!(!problems.is_empty(), "unnoticed: {damage}");
        world.sabotage(repair).await;
    }
}
