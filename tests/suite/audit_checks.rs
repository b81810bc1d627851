//! The audit of the product: it finds nothing in sound books, and every fault that is planted by the check made for it.

use std::collections::BTreeSet;

use app::{
    audit::{self, Mode, Reached, Run, ViolationState},
    customer::{self, CustomerRef, UpdateCustomer},
    db::Backend,
    hold,
    invoice::{self, CreateCreditNote},
    page::Page,
    recharge::{self, UpdateRecharge},
    spend::{self, UpdateSpend},
    subscription::CreateSubscription,
};
use domain::{
    customer::BeyondOvershoot,
    id::CustomerId,
    invoice::credit_note::Reason,
    plan::variant::Mode as Billing,
    recharge::rule::{Rule, Size},
    rejection::RejectionCode,
    spend::Limits,
};
use gateway::payment::sandbox::Card;

use crate::harness::{
    World, billing, credits, graduated, paying,
    plans::{agreement, template, variant},
    refusal,
};

on_both!(
    sound_books_are_found_sound,
    every_fault_is_found_by_its_check,
    a_guard_that_is_switched_off_is_found,
    what_is_new_is_looked_at_and_nothing_else,
    a_late_commit_is_not_missed,
    a_frozen_customer_waits_for_an_operator,
    the_worker_audits_every_minute,
    tenants_see_their_own_violations,
);

async fn full(world: &World) -> Run {
    world.advance(1);
    audit::full(&world.app, Reached::All, |_, _| ()).await.unwrap()
}

async fn incremental(world: &World) -> Run {
    world.advance(1);
    audit::incremental(&world.app, Reached::All).await.unwrap()
}

fn found(run: &Run) -> BTreeSet<&'static str> {
    run.found.iter().map(|(check, _)| check.id()).collect()
}

/// Two customers: one with debits from two blocks, overdraft, a void and an event that waits, one with an untouched block.
async fn story(world: &World) -> [CustomerId; 2] {
    world.stranger().await;
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let (one, other) = (world.customer("one").await, world.customer("other").await);
    world.give(one, "20").await;
    world.give(other, "5").await;
    world.consume(one, "call", "8").await;
    world.run_to_rest().await;
    world.advance(1);
    world.consume(one, "call", "40").await;
    world.run_to_rest().await;
    world.give(one, "30").await;
    let key = world.consume(other, "call", "2").await;
    world.run_to_rest().await;
    world.void(&key).await.unwrap();
    world.consume(one, "call", "1").await;
    [one, other]
}

async fn sound_books_are_found_sound(world: World) {
    let customers = story(&world).await.len() as i64;
    let run = full(&world).await;
    assert_eq!((run.violations, run.customers), (0, customers), "{:?}", run.first);
    assert!(run.entries >= 7 && run.events == 4, "{run:?}");
    let run = incremental(&world).await;
    assert_eq!(
        (run.violations, run.customers),
        (0, 0),
        "a full run leaves nothing to do"
    );
}

struct Fault {
    damage: &'static str,
    repair: &'static str,
    found: &'static [&'static str],
    /// Whether an incremental run finds the first of them as well.
    at_once: bool,
}

const ONE: &str = "(SELECT id FROM customer WHERE external_id = 'one')";
const OTHER: &str = "(SELECT id FROM customer WHERE external_id = 'other')";
const STRANGER: &str = "(SELECT id FROM tenant WHERE name = 'stranger')";
const PLAN: &str = "(SELECT id FROM customer WHERE external_id = 'plan')";
const ACME: &str = "(SELECT id FROM tenant WHERE name = 'acme')";

const FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE account SET sequence = sequence + 1 WHERE customer_id = {one}",
        repair: "UPDATE account SET sequence = sequence - 1 WHERE customer_id = {one}",
        found: &["ledger.sequence"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE ledger_entry SET sequence = sequence + 100 WHERE customer_id = {one} AND sequence = 6",
        repair: "UPDATE ledger_entry SET sequence = sequence - 100 WHERE customer_id = {one} AND sequence > 100",
        found: &["ledger.sequence", "ledger.chain"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET overdraft = overdraft + 1 WHERE customer_id = {one}",
        repair: "UPDATE account SET overdraft = overdraft - 1 WHERE customer_id = {one}",
        found: &["ledger.balance"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE ledger_entry SET balance_after = balance_after - 1 WHERE customer_id = {one} AND sequence = 2",
        repair: "UPDATE ledger_entry SET balance_after = balance_after + 1 WHERE customer_id = {one} AND sequence = 2",
        found: &["ledger.balance", "ledger.chain"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE ledger_entry SET description = 'forged' WHERE customer_id = {one} AND sequence = 1",
        repair: "UPDATE ledger_entry SET description = 'Credits granted' WHERE customer_id = {one} AND sequence = 1",
        found: &["ledger.chain"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET blocks = blocks + 1 WHERE customer_id = {one}",
        repair: "UPDATE account SET blocks = blocks - 1 WHERE customer_id = {one}",
        found: &["account.blocks", "ledger.balance"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET remaining = remaining - 1 WHERE customer_id = {other}",
        repair: "UPDATE block SET remaining = remaining + 1 WHERE customer_id = {other}",
        found: &["block.entries", "account.blocks"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET state = 'REVOKED' WHERE customer_id = {other}",
        repair: "UPDATE block SET state = 'ACTIVE' WHERE customer_id = {other}",
        found: &["block.bounds"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET credits = credits + 1 WHERE customer_id = {other}",
        repair: "UPDATE block SET credits = credits - 1 WHERE customer_id = {other}",
        found: &["block.deposit"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE ledger_entry SET kind = 'EXPIRY' WHERE customer_id = {one} AND sequence = 2",
        repair: "UPDATE ledger_entry SET kind = 'DEBIT' WHERE customer_id = {one} AND sequence = 2",
        found: &["block.ended", "ledger.chain", "usage.debits"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET tenant_id = {stranger} WHERE customer_id = {other}",
        repair: "UPDATE block SET tenant_id = {acme} WHERE customer_id = {other}",
        found: &["row.owner"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_counter SET tenant_id = {stranger} WHERE customer_id = {one}",
        repair: "UPDATE usage_counter SET tenant_id = {acme} WHERE customer_id = {one}",
        found: &["row.owner"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_pending SET units = units + 1",
        repair: "UPDATE usage_pending SET units = units - 1",
        found: &["usage.once"],
        at_once: false,
    },
    Fault {
        damage: "UPDATE usage_rating SET units = units + 1 WHERE customer_id = {one}",
        repair: "UPDATE usage_rating SET units = units - 1 WHERE customer_id = {one}",
        found: &["usage.rows"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE metering_rule SET created_at = created_at + 86400000000",
        repair: "UPDATE metering_rule SET created_at = created_at - 86400000000",
        found: &["usage.price"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET granted_at = granted_at + 86400000000 WHERE customer_id = {one} AND remaining = 0",
        repair: "UPDATE block SET granted_at = granted_at - 86400000000 WHERE customer_id = {one} AND remaining = 0",
        found: &["usage.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_counter SET units = units + 1 WHERE customer_id = {other}",
        repair: "UPDATE usage_counter SET units = units - 1 WHERE customer_id = {other}",
        found: &["usage.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_counter SET credits = credits + 1 WHERE customer_id = {one}",
        repair: "UPDATE usage_counter SET credits = credits - 1 WHERE customer_id = {one}",
        found: &["usage.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_rating SET purses = '[\"overdraft\",\"overdraft\"]' WHERE customer_id = {one}",
        repair: "",
        found: &["usage.debits"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE metering_rule SET effective_to = effective_from + 1000000",
        repair: "UPDATE metering_rule SET effective_to = NULL",
        found: &["rule.versions"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET expires_at = 1 WHERE customer_id = {other}",
        repair: "UPDATE block SET expires_at = NULL WHERE customer_id = {other}",
        found: &["block.swept", "usage.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_pending SET received_at = received_at - 900000000;
            UPDATE usage_event SET received_at = received_at - 900000000 WHERE id IN (SELECT id FROM usage_pending)",
        repair: "UPDATE usage_event SET received_at = received_at + 900000000 WHERE id IN (SELECT id FROM usage_pending);
            UPDATE usage_pending SET received_at = received_at + 900000000",
        found: &["usage.waiting"],
        at_once: true,
    },
    Fault {
        damage: "INSERT INTO work (id, tenant_id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at)
            SELECT id, id, 'usage.customer', 'x', 'PARKED', 1, 0, 0, 0, 0 FROM tenant WHERE name = 'acme'",
        repair: "DELETE FROM work WHERE state = 'PARKED'",
        found: &["work.parked"],
        at_once: true,
    },
    Fault {
        damage: "INSERT INTO api_key (id, tenant_id, name, hash, hint, scopes, created_at)
                SELECT id, id, 'x', 'x', 'x', 'credit:read usage:read', 0 FROM tenant WHERE name = 'acme';
            INSERT INTO customer_token (id, tenant_id, customer_id, api_key_id, hash, scopes, created_at, expires_at)
                SELECT {one}, id, {one}, id, 'x', 'credit:read credit:write', 0, 9000000000000000
                FROM tenant WHERE name = 'acme'",
        repair: "DELETE FROM customer_token; DELETE FROM api_key WHERE hash = 'x'",
        found: &["access.scopes"],
        at_once: true,
    },
];

/// What is planted once a customer has a subscription with a cycle that has closed and one that runs.
const PLAN_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE billing_cycle SET period_start = period_start - 1000000 WHERE number = 2",
        repair: "UPDATE billing_cycle SET period_start = period_start + 1000000 WHERE number = 2",
        found: &["cycle.order"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE subscription SET last_number = 3",
        repair: "UPDATE subscription SET last_number = 2",
        found: &["cycle.order"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET number = 4 WHERE number = 2",
        repair: "UPDATE billing_cycle SET number = 2 WHERE number = 4",
        found: &["cycle.order", "cycle.grants"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET state = 'CLOSING' WHERE number = 2",
        repair: "UPDATE billing_cycle SET state = 'RUNNING' WHERE number = 2",
        found: &["cycle.grants"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET cycle_number = 1 WHERE customer_id = {plan} AND state = 'ACTIVE'",
        repair: "UPDATE block SET cycle_number = 2 WHERE customer_id = {plan} AND state = 'ACTIVE'",
        found: &["cycle.grants"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE block SET subscription_id = customer_id WHERE customer_id = {plan} AND state = 'ACTIVE'",
        repair: "UPDATE block SET subscription_id = (SELECT id FROM subscription)
            WHERE customer_id = {plan} AND state = 'ACTIVE'",
        found: &["cycle.grants"],
        at_once: true,
    },
    // An ended block, made by another cycle than it says: its entry tells.
    Fault {
        damage: "UPDATE block SET cycle_number = 2 WHERE customer_id = {plan} AND state = 'EXPIRED'",
        repair: "UPDATE block SET cycle_number = 1 WHERE customer_id = {plan} AND state = 'EXPIRED'",
        found: &["cycle.grants"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET summary =
            REPLACE(summary, '\"total_credits_consumed\":\"', '\"total_credits_consumed\":\"1') WHERE number = 1",
        repair: "UPDATE billing_cycle SET summary =
            REPLACE(summary, '\"total_credits_consumed\":\"1', '\"total_credits_consumed\":\"') WHERE number = 1",
        found: &["cycle.summary"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET summary = REPLACE(summary, '\"units\":\"', '\"units\":\"1') WHERE number = 1",
        repair: "UPDATE billing_cycle SET summary = REPLACE(summary, '\"units\":\"1', '\"units\":\"') WHERE number = 1",
        found: &["cycle.summary"],
        at_once: false,
    },
    Fault {
        damage: "UPDATE billing_cycle SET summary = REPLACE(REPLACE(summary, '\"total_credits_consumed\":\"',
            '\"total_credits_consumed\":\"1'), '\"credits\":\"', '\"credits\":\"1') WHERE number = 1",
        repair: "UPDATE billing_cycle SET summary = REPLACE(REPLACE(summary, '\"total_credits_consumed\":\"1',
            '\"total_credits_consumed\":\"'), '\"credits\":\"1', '\"credits\":\"') WHERE number = 1",
        found: &["cycle.summary"],
        at_once: false,
    },
    Fault {
        damage: "UPDATE account SET barrier_at = barrier_at + 1 WHERE customer_id = {plan}",
        repair: "UPDATE account SET barrier_at = barrier_at - 1 WHERE customer_id = {plan}",
        found: &["account.barrier"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET barrier_at = 9000000000000000 WHERE customer_id = {other}",
        repair: "UPDATE account SET barrier_at = NULL WHERE customer_id = {other}",
        found: &["account.barrier"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET admission = 'PAUSED' WHERE customer_id = {plan}",
        repair: "UPDATE account SET admission = 'ADMITTED' WHERE customer_id = {plan}",
        found: &["account.barrier"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE subscription SET state = 'OVERDUE'",
        repair: "UPDATE subscription SET state = 'ACTIVE'",
        found: &["account.barrier"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE subscription SET due_at = due_at - 3000000000000",
        repair: "UPDATE subscription SET due_at = due_at + 3000000000000",
        found: &["subscription.due"],
        at_once: true,
    },
    Fault {
        damage: "INSERT INTO test_clock (id, tenant_id, name, now_at, target_at, ready, created_at, updated_at)
                SELECT id, id, 'x', 5000000000000000, 5000000000000000, 1, 0, 0 FROM tenant WHERE name = 'acme';
            UPDATE subscription SET clock_id = {acme}",
        repair: "UPDATE subscription SET clock_id = NULL; DELETE FROM test_clock",
        found: &["subscription.due"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE subscription SET tenant_id = {stranger}",
        repair: "UPDATE subscription SET tenant_id = {acme}",
        found: &["row.owner"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET tenant_id = {stranger}",
        repair: "UPDATE billing_cycle SET tenant_id = {acme}",
        found: &["row.owner"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_event SET tenant_id = {stranger}",
        repair: "UPDATE billing_event SET tenant_id = {acme}",
        found: &["row.owner"],
        at_once: true,
    },
    Fault {
        damage: "INSERT INTO subscription_charge (subscription_id, revision, position, tenant_id, customer_id, variant_id,
                period_start, period_end, amount, currency, created_at)
            SELECT id, 1, 0, tenant_id, {other}, variant_id, 0, 0, 0, 'USD', 0 FROM subscription",
        repair: "DELETE FROM subscription_charge",
        found: &["row.owner"],
        at_once: true,
    },
];

const OWING: &str = "(SELECT id FROM customer WHERE external_id = 'owing')";

/// What is planted once a customer owes two credits, and agreed to a bound when it owed one.
const OWING_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE customer SET overshoot_limit = 1999999 WHERE id = {owing}",
        repair: "UPDATE customer SET overshoot_limit = 2000000 WHERE id = {owing}",
        found: &["account.bound"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_counter SET draws = REPLACE(draws, 'overdraft', 'written_off') WHERE customer_id = {owing}",
        repair: "UPDATE usage_counter SET draws = REPLACE(draws, 'written_off', 'overdraft') WHERE customer_id = {owing}",
        found: &["usage.written_off"],
        at_once: true,
    },
];

const OWNER: &str = "(SELECT id FROM customer WHERE external_id = 'owner')";

const RECHARGE_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE account SET watched_balance = NULL WHERE customer_id = {owner}",
        repair: "UPDATE account SET watched_balance = 1 WHERE customer_id = {owner}",
        found: &["recharge.watched"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET watched_balance = 1 WHERE customer_id = {one}",
        repair: "UPDATE account SET watched_balance = NULL WHERE customer_id = {one}",
        found: &["recharge.watched"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE auto_recharge SET tenant_id = {stranger} WHERE customer_id = {owner}",
        repair: "UPDATE auto_recharge SET tenant_id = {acme} WHERE customer_id = {owner}",
        found: &["recharge.watched"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE auto_recharge SET state = 'OFF', payment_id = (SELECT id FROM payment WHERE customer_id = {payer})
            WHERE customer_id = {owner}",
        repair: "UPDATE auto_recharge SET state = 'WATCHING', payment_id = NULL WHERE customer_id = {owner}",
        found: &["recharge.watched"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE auto_recharge SET state = 'WAITING', next_at = 1, updated_at = 1 WHERE customer_id = {owner}",
        repair: "UPDATE auto_recharge SET state = 'WATCHING', next_at = NULL WHERE customer_id = {owner}",
        found: &["recharge.due", "recharge.watched"],
        at_once: true,
    },
];

const EVENT_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE account SET event_sequence = event_sequence + 1 WHERE customer_id = {billed}",
        repair: "UPDATE account SET event_sequence = event_sequence - 1 WHERE customer_id = {billed}",
        found: &["event.sequence"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET event_sequence = 0 WHERE customer_id = {billed}",
        repair: "UPDATE account SET event_sequence = (SELECT MAX(sequence) FROM billing_event WHERE customer_id = {billed})
            WHERE customer_id = {billed}",
        found: &["event.sequence"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_event SET sequence = sequence + 1000 WHERE customer_id = {billed} AND sequence = 2",
        repair: "UPDATE billing_event SET sequence = sequence - 1000 WHERE customer_id = {billed} AND sequence > 1000",
        found: &["event.sequence"],
        at_once: true,
    },
    // Something was forgotten, but nothing that comes after the gap.
    Fault {
        damage: "UPDATE event_feed SET forgotten = 1;
            UPDATE billing_event SET sequence = sequence + 1000 WHERE customer_id = {billed} AND sequence = 2",
        repair: "UPDATE event_feed SET forgotten = 0;
            UPDATE billing_event SET sequence = sequence - 1000 WHERE customer_id = {billed} AND sequence > 1000",
        found: &["event.sequence"],
        at_once: true,
    },
];

const BILLED: &str = "(SELECT id FROM customer WHERE external_id = 'billed')";

const INVOICE_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE invoice SET state = 'OPEN', paid_at = NULL WHERE customer_id = {billed}",
        repair: "UPDATE invoice SET state = 'PAID', paid_at = 1 WHERE customer_id = {billed}",
        found: &["invoice.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE invoice SET due = 1 WHERE customer_id = {billed}",
        repair: "UPDATE invoice SET due = total WHERE customer_id = {billed}",
        found: &["invoice.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment SET invoice_id = {other} WHERE invoice_id IS NOT NULL",
        repair: "UPDATE payment SET invoice_id = (SELECT id FROM invoice WHERE customer_id = {billed}) WHERE invoice_id IS NOT NULL",
        found: &["invoice.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE invoice_count SET last = last + 1 WHERE sequence = 'INVOICE'",
        repair: "UPDATE invoice_count SET last = last - 1 WHERE sequence = 'INVOICE'",
        found: &["invoice.numbers"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE invoice SET ordinal = ordinal + 1",
        repair: "UPDATE invoice SET ordinal = ordinal - 1",
        found: &["invoice.numbers"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE invoice_count SET last = last + 1 WHERE sequence = 'CREDIT_NOTE'",
        repair: "UPDATE invoice_count SET last = last - 1 WHERE sequence = 'CREDIT_NOTE'",
        found: &["invoice.numbers"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE invoice SET state = 'PAST_DUE', paid_at = NULL, next_at = 1, updated_at = 1 WHERE customer_id = {billed}",
        repair: "UPDATE invoice SET state = 'PAID', paid_at = 1, next_at = NULL WHERE customer_id = {billed}",
        found: &["invoice.due", "invoice.paid"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE billing_cycle SET bill = 'DUE' WHERE customer_id = {billed} AND state = 'CLOSED'",
        repair: "UPDATE billing_cycle SET bill = 'BILLED' WHERE customer_id = {billed} AND state = 'CLOSED'",
        found: &["invoice.due"],
        at_once: true,
    },
];

const PAYER: &str = "(SELECT id FROM customer WHERE external_id = 'payer')";

const PAID_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE payment SET credits = credits + 1 WHERE customer_id = {payer}",
        repair: "UPDATE payment SET credits = credits - 1 WHERE customer_id = {payer}",
        found: &["payment.granted"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment SET block_id = (SELECT id FROM block WHERE customer_id = {other}) WHERE customer_id = {payer}",
        repair: "UPDATE payment SET block_id = (SELECT id FROM block WHERE customer_id = {payer}) WHERE customer_id = {payer}",
        found: &["payment.granted"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment SET tenant_id = {stranger} WHERE customer_id = {payer}",
        repair: "UPDATE payment SET tenant_id = {acme} WHERE customer_id = {payer}",
        found: &["payment.granted"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment SET state = 'QUARANTINED', block_id = NULL WHERE customer_id = {payer}",
        repair: "UPDATE payment SET state = 'SUCCEEDED',
            block_id = (SELECT id FROM block WHERE customer_id = {payer}) WHERE customer_id = {payer}",
        found: &["payment.due"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment SET state = 'UNKNOWN', block_id = NULL, due_at = 1, ended_at = NULL WHERE customer_id = {payer}",
        repair: "UPDATE payment SET state = 'SUCCEEDED', due_at = NULL, ended_at = 1,
            block_id = (SELECT id FROM block WHERE customer_id = {payer}) WHERE customer_id = {payer}",
        found: &["payment.due"],
        at_once: true,
    },
];

const RETURN_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE payment_return SET amount = amount - 100",
        repair: "UPDATE payment_return SET amount = amount + 100",
        found: &["payment.returned"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment_return SET state = 'UNDONE'",
        repair: "UPDATE payment_return SET state = 'RETURNED'",
        found: &["payment.returned"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE payment_return SET customer_id = {other}",
        repair: "UPDATE payment_return SET customer_id = {payer}",
        found: &["payment.returned"],
        at_once: true,
    },
    // As if two returns had been given each other's credits.
    Fault {
        damage: "UPDATE payment_return SET credits = credits - 1000000",
        repair: "UPDATE payment_return SET credits = credits + 1000000",
        found: &["payment.returned"],
        at_once: true,
    },
    Fault {
        damage: "INSERT INTO payment_notice SELECT id, 'sandbox', 'evt', 'paid', id, '[]', 'UNKNOWN', 1, 1 FROM customer
            WHERE id = {payer}",
        repair: "DELETE FROM payment_notice",
        found: &["payment.known"],
        at_once: true,
    },
];

const HOLDER: &str = "(SELECT id FROM customer WHERE external_id = 'holder')";

const HOLD_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE account SET held = held + 1 WHERE customer_id = {holder}",
        repair: "UPDATE account SET held = held - 1 WHERE customer_id = {holder}",
        found: &["hold.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET holds = holds - 1 WHERE customer_id = {holder}",
        repair: "UPDATE account SET holds = holds + 1 WHERE customer_id = {holder}",
        found: &["hold.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE hold SET state = 'RELEASED', ended_at = 1 WHERE state = 'OPEN'",
        repair: "UPDATE hold SET state = 'OPEN', ended_at = NULL WHERE state = 'RELEASED'",
        found: &["hold.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE hold SET captured_units = captured_units + 1 WHERE state = 'CAPTURED'",
        repair: "UPDATE hold SET captured_units = captured_units - 1 WHERE state = 'CAPTURED'",
        found: &["hold.captured"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE hold SET event_id = {other} WHERE state = 'CAPTURED'",
        repair: "UPDATE hold SET event_id = (SELECT id FROM usage_event WHERE key LIKE 'hold:%') WHERE state = 'CAPTURED'",
        found: &["hold.captured"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE usage_event SET key = 'forged ' || key WHERE key LIKE 'hold:%'",
        repair: "UPDATE usage_event SET key = SUBSTR(key, 8) WHERE key LIKE 'forged %'",
        found: &["hold.captured"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE hold SET tenant_id = {stranger} WHERE state = 'CAPTURED'",
        repair: "UPDATE hold SET tenant_id = {acme} WHERE state = 'CAPTURED'",
        found: &["hold.captured"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE hold SET made_at = 1, expires_at = 2 WHERE state = 'OPEN'",
        repair: "UPDATE hold SET expires_at = 9000000000000000 WHERE state = 'OPEN'",
        found: &["hold.due"],
        at_once: true,
    },
];

const SPENDER: &str = "(SELECT id FROM customer WHERE external_id = 'spender')";

const SPEND_FAULTS: &[Fault] = &[
    Fault {
        damage: "UPDATE spend_period SET credits = credits + 1 WHERE span = 'DAY'",
        repair: "UPDATE spend_period SET credits = credits - 1 WHERE span = 'DAY'",
        found: &["spend.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE spend_period SET credits = credits - 1 WHERE span = 'MONTH'",
        repair: "UPDATE spend_period SET credits = credits + 1 WHERE span = 'MONTH'",
        found: &["spend.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE account SET spend_managed = 0 WHERE customer_id = {spender}",
        repair: "UPDATE account SET spend_managed = 1 WHERE customer_id = {spender}",
        found: &["spend.counts"],
        at_once: true,
    },
    Fault {
        damage: "UPDATE spend_setting SET tenant_id = {stranger}",
        repair: "UPDATE spend_setting SET tenant_id = {acme}",
        found: &["spend.counts"],
        at_once: true,
    },
];

/// A customer with limits of its own that has spent something.
async fn spend_story(world: &World) {
    let id = world.customer("spender").await;
    world.give(id, "50").await;
    let limits = |budget| {
        Some(Some(Limits {
            threshold: None,
            budget: Some(credits(budget)),
        }))
    };
    let input = UpdateSpend {
        customer: CustomerRef::Id(id),
        enabled: Some(true),
        mode: None,
        daily: limits("10"),
        monthly: limits("100"),
        webhook_url: None,
    };
    spend::update(&world.app, &world.actor, input).await.unwrap();
    world.consume(id, "call", "7").await;
    world.run_to_rest().await;
}

/// A customer that owes something, and more than its terms let it owe from then on.
async fn owing_story(world: &World) {
    let id = world.customer("owing").await;
    world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    let terms = UpdateCustomer {
        overshoot_limit: Some(Some(credits("2"))),
        beyond_overshoot: Some(BeyondOvershoot::WriteOff),
        ..UpdateCustomer::default()
    };
    let who = CustomerRef::Id(id);
    customer::update(&world.app, &world.actor, &who, terms)
        .await
        .unwrap();
    world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.1, "2");
}

/// A customer with a reservation that is open, and one that is captured.
async fn hold_story(world: &World) {
    let id = world.customer("holder").await;
    world.give(id, "50").await;
    let wish = |units: &str| hold::Reserve {
        customer: Some(CustomerRef::Id(id)),
        metric_key: "call".to_owned(),
        units: units.to_owned(),
        properties: None,
        seconds: Some(86_400),
        key: world.key(),
    };
    let made = hold::reserve(&world.app, &world.actor, vec![wish("3"), wish("4")])
        .await
        .unwrap();
    let hold::Reserved::Held(first) = &made[0] else {
        panic!("{made:?}")
    };
    let used = hold::Used {
        hold: Some(first.id),
        units: "2".to_owned(),
        occurred_at: None,
        allow_more: false,
    };
    let ended = hold::capture(&world.app, &world.actor, vec![used]).await.unwrap();
    assert!(ended[0].is_ok(), "{ended:?}");
}

/// The customer who has bought credits gets some of the money back.
async fn return_story(world: &World) {
    let payer = CustomerRef::External("payer".to_owned());
    let payer = app::customer::customer(&world.app, &world.actor, &payer)
        .await
        .unwrap()
        .unwrap();
    let all = app::payment::payments(&world.app, &world.actor, payer.id, Page::first(1)).await;
    let input = app::payment::RefundPayment {
        payment: all.unwrap().items[0].id,
        amount: Some(paying::money("4 USD")),
        reason: None,
    };
    app::payment::refund(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    world.run_to_rest().await;
    assert_eq!(world.stands(payer.id).await.0, "6");
}

/// A customer who has bought credits.
async fn paid_story(world: &World) {
    paying::sells(world).await;
    let id = world.customer("payer").await;
    paying::card(world, id, Card::Success).await;
    let wish = paying::wish(id, "10 USD");
    app::payment::purchase(&world.app, &world.actor, wish, &world.key())
        .await
        .unwrap();
    world.run_jobs().await;
    assert_eq!(world.stands(id).await.0, "10");
}

/// A customer whose balance is watched at a millionth of a credit.
async fn recharge_story(world: &World) {
    let id = world.customer("owner").await;
    world.give(id, "5").await;
    let input = UpdateRecharge {
        customer: CustomerRef::Id(id),
        rule: Some(Rule {
            threshold: credits("0.000001"),
            size: Size::Target(credits("10")),
            monthly_cap: paying::money("50 USD"),
        }),
    };
    recharge::update(&world.app, &world.actor, input).await.unwrap();
}

/// A customer whose first cycle is billed, paid with a card, and taken back in part.
async fn invoice_story(world: &World) {
    let id = world.customer("billed").await;
    paying::card(world, id, Card::Success).await;
    billing::bills(world, billing::terms()).await;
    let mut plan = variant(Billing::Postpaid);
    plan.fee = Some(paying::money("20 USD"));
    let plan = world.sells(plan, Vec::new()).await;
    let input = CreateSubscription {
        contract_end: Some(world.now().plus_seconds(86_400)),
        ..agreement(id, plan)
    };
    world.try_subscribe(input).await.unwrap();
    world.advance(100_000);
    world.run_to_rest().await;
    let filed = billing::all(world, id).await.remove(0);
    assert_eq!(filed.invoice.state, domain::invoice::state::State::Paid);
    let note = CreateCreditNote {
        invoice: filed.invoice.id,
        total: Some(paying::money("5 USD")),
        reason: Reason::Goodwill,
    };
    invoice::credit_note(&world.app, &world.actor, note, &world.key())
        .await
        .unwrap();
}

/// A customer with a subscription: one cycle has closed, one runs.
async fn plan_story(world: &World) {
    let plan = world
        .sells(variant(Billing::Postpaid), vec![template("100")])
        .await;
    let id = world.customer("plan").await;
    let sub = world.subscribe(id, plan).await;
    world.consume(id, "call", "12").await;
    world.until("2026-04-11").await;
    let numbers: Vec<i64> = world.cycles(sub).await.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2]);
}

fn sql(text: &str) -> String {
    text.replace("{one}", ONE)
        .replace("{other}", OTHER)
        .replace("{plan}", PLAN)
        .replace("{payer}", PAYER)
        .replace("{holder}", HOLDER)
        .replace("{owner}", OWNER)
        .replace("{spender}", SPENDER)
        .replace("{owing}", OWING)
        .replace("{billed}", BILLED)
        .replace("{stranger}", STRANGER)
        .replace("{acme}", ACME)
}

async fn every_fault_is_found_by_its_check(world: World) {
    story(&world).await;
    let kept = "CREATE TABLE kept_rating AS SELECT * FROM usage_rating";
    world.sabotage(kept).await;
    let mut seen = plant(&world, FAULTS).await;
    plan_story(&world).await;
    world.sabotage("DROP TABLE kept_rating").await;
    world.sabotage(kept).await;
    seen.extend(plant(&world, PLAN_FAULTS).await);
    paid_story(&world).await;
    seen.extend(plant(&world, PAID_FAULTS).await);
    return_story(&world).await;
    seen.extend(plant(&world, RETURN_FAULTS).await);
    recharge_story(&world).await;
    seen.extend(plant(&world, RECHARGE_FAULTS).await);
    invoice_story(&world).await;
    seen.extend(plant(&world, INVOICE_FAULTS).await);
    seen.extend(plant(&world, EVENT_FAULTS).await);
    hold_story(&world).await;
    seen.extend(plant(&world, HOLD_FAULTS).await);
    spend_story(&world).await;
    seen.extend(plant(&world, SPEND_FAULTS).await);
    owing_story(&world).await;
    seen.extend(plant(&world, OWING_FAULTS).await);
    // Guards have a case of their own.
    let all: BTreeSet<&str> = audit::Check::ALL.iter().map(|check| check.id()).collect();
    let missing: Vec<_> = all.difference(&seen).collect();
    assert_eq!(missing, [&"guards"], "checks that nobody has seen fail");
    world.sabotage("DROP TABLE kept_rating").await;
    let left = audit::violations(&world.app, &world.actor, false, Page::first(100))
        .await
        .unwrap();
    assert!(left.items.is_empty(), "{:?}", left.items);
    let all = audit::violations(&world.app, &world.actor, true, Page::first(100))
        .await
        .unwrap();
    assert!(
        all.items
            .iter()
            .all(|it| it.state == ViolationState::Resolved && it.resolved_at.is_some())
    );
}

/// Plants each fault, has it found, and repairs it. Answers the checks that were seen to fail.
async fn plant(world: &World, faults: &[Fault]) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for fault in faults {
        let damage = sql(fault.damage);
        world.sabotage(&damage).await;
        let run = full(world).await;
        let due: BTreeSet<&str> = fault.found.iter().copied().collect();
        assert_eq!(found(&run), due, "{damage}: {:?}", run.first);
        world.sabotage("DELETE FROM audit_mark").await;
        let run = incremental(world).await;
        assert!(
            !fault.at_once || found(&run).contains(fault.found[0]),
            "not seen at once: {damage}: {:?}",
            run.first
        );
        if fault.repair.is_empty() {
            world
                .sabotage("DELETE FROM usage_rating; INSERT INTO usage_rating SELECT * FROM kept_rating")
                .await;
        } else {
            world.sabotage(&sql(fault.repair)).await;
        }
        let run = full(world).await;
        assert_eq!(run.violations, 0, "after {damage}: {:?}", run.first);
        seen.extend(due);
    }
    seen
}

async fn a_guard_that_is_switched_off_is_found(world: World) {
    story(&world).await;
    let (off, on) = match world.app.db().backend() {
        Backend::Sqlite => (
            "DROP TRIGGER ledger_entry_final",
            "CREATE TRIGGER ledger_entry_final BEFORE UPDATE ON ledger_entry
             BEGIN SELECT RAISE(ABORT, 'ledger entries are final: UPDATE is refused'); END",
        ),
        Backend::Postgres => (
            "ALTER TABLE ledger_entry DISABLE TRIGGER ledger_entry_final",
            "ALTER TABLE ledger_entry ENABLE TRIGGER ledger_entry_final",
        ),
    };
    let db = world.app.db().writer();
    sea_orm::ConnectionTrait::execute_unprepared(db, off)
        .await
        .unwrap();
    assert_eq!(found(&incremental(&world).await), BTreeSet::from(["guards"]));
    sea_orm::ConnectionTrait::execute_unprepared(db, on)
        .await
        .unwrap();
    assert_eq!(incremental(&world).await.violations, 0);
    // The keys that make things happen, or be told, once: a table without them looks the same.
    for table in ["billing_event", "billing_cycle", "subscription_charge"] {
        let without =
            format!("ALTER TABLE {table} RENAME TO kept; CREATE TABLE {table} AS SELECT * FROM kept");
        sea_orm::ConnectionTrait::execute_unprepared(db, &without)
            .await
            .unwrap();
        assert_eq!(
            found(&incremental(&world).await),
            BTreeSet::from(["guards"]),
            "{table}"
        );
        let with = format!("DROP TABLE {table}; ALTER TABLE kept RENAME TO {table}");
        sea_orm::ConnectionTrait::execute_unprepared(db, &with)
            .await
            .unwrap();
        assert_eq!(incremental(&world).await.violations, 0, "{table}");
    }
}

async fn what_is_new_is_looked_at_and_nothing_else(world: World) {
    let [one, _] = story(&world).await;
    assert_eq!(incremental(&world).await.customers, 2);
    assert_eq!(incremental(&world).await.customers, 0);
    // More of everything, and only that is read.
    world.consume(one, "call", "3").await;
    world.run_to_rest().await;
    world.give(one, "1").await;
    let before = world.ledger(one).await.len();
    let run = incremental(&world).await;
    assert_eq!((run.violations, run.customers), (0, 1), "{:?}", run.first);
    assert!(run.entries < 5, "{run:?}");
    // What is wrong in what is new is found from where the last run stood.
    world.consume(one, "call", "3").await;
    world.run_to_rest().await;
    let lines = world.ledger(one).await;
    let (last, text) = (lines.len(), lines[lines.len() - 1].description.clone());
    assert!(last > before);
    let damage = format!(
        "UPDATE ledger_entry SET description = 'forged' WHERE customer_id = {ONE} AND sequence = {last}"
    );
    world.sabotage(&damage).await;
    for _ in 0..2 {
        // It is looked at until it is sound, though the account does not change.
        assert_eq!(
            found(&incremental(&world).await),
            BTreeSet::from(["ledger.chain"])
        );
    }
    let repair = format!(
        "UPDATE ledger_entry SET description = '{text}' WHERE customer_id = {ONE} AND sequence = {last}"
    );
    world.sabotage(&repair).await;
    assert_eq!(incremental(&world).await.violations, 0);
}

async fn a_late_commit_is_not_missed(world: World) {
    let [one, _] = story(&world).await;
    assert_eq!(incremental(&world).await.customers, 2);
    // As if it had been written long ago and only been committed now.
    let late =
        format!("UPDATE account SET updated_at = 1, revision = revision + 1 WHERE customer_id = {ONE}");
    world.sabotage(&late).await;
    world.give(one, "1").await;
    assert_eq!(incremental(&world).await.customers, 1);
}

async fn a_frozen_customer_waits_for_an_operator(world: World) {
    let [one, other] = story(&world).await;
    let text = |description: &str| {
        format!(
            "UPDATE ledger_entry SET description = '{description}' WHERE customer_id = {ONE} AND sequence = 1"
        )
    };
    world.sabotage("DELETE FROM audit_mark").await;
    world.sabotage(&text("forged")).await;
    assert_eq!(
        found(&incremental(&world).await),
        BTreeSet::from(["ledger.chain"])
    );
    let grant = async |customer| {
        app::credit::grant(
            &world.app,
            &world.actor,
            world.deposit(customer, "1"),
            &world.key(),
        )
        .await
    };
    assert_eq!(refusal(grant(one).await).0, RejectionCode::CustomerFrozen);
    grant(other).await.unwrap();
    // Usage is accepted and debited all the same.
    world.consume(one, "call", "1").await;
    world.run_to_rest().await;
    assert_eq!(world.pending().await, 0);
    let who = CustomerRef::Id(one);
    assert_eq!(audit::release(&world.app, &world.actor, &who).await.unwrap(), 1);
    assert_eq!(
        found(&incremental(&world).await),
        BTreeSet::from(["ledger.chain"])
    );
    // Seen again, but looked at before.
    grant(one).await.unwrap();
    world.sabotage(&text("Credits granted")).await;
    assert_eq!(full(&world).await.violations, 0);
    let left = audit::violations(&world.app, &world.actor, false, Page::first(10))
        .await
        .unwrap();
    assert!(left.items.is_empty(), "{:?}", left.items);
}

async fn the_worker_audits_every_minute(world: World) {
    story(&world).await;
    world.run_to_rest().await;
    // The first run may have come before the last debit; the next sees everything at rest.
    world.advance(61);
    world.run_to_rest().await;
    let standing = async || audit::standing(&world.app, &world.actor).await.unwrap();
    let first = standing().await.incremental.expect("no run yet");
    world.run_to_rest().await;
    assert_eq!(
        standing().await.incremental.as_ref(),
        Some(&first),
        "not before a minute is over"
    );
    let damage = format!(
        "UPDATE account SET overdraft = overdraft + 1, revision = revision + 1 WHERE customer_id = {ONE}"
    );
    world.sabotage(&damage).await;
    assert_eq!(standing().await.waiting, 1);
    world.advance(61);
    world.run_to_rest().await;
    let second = standing().await.incremental.unwrap();
    assert!(
        second.started_at > first.started_at && second.violations == 1,
        "{second:?}"
    );
    let repair = format!(
        "UPDATE account SET overdraft = overdraft - 1, revision = revision + 1 WHERE customer_id = {ONE}"
    );
    world.sabotage(&repair).await;
    world.advance(61);
    world.run_to_rest().await;
    let third = standing().await;
    assert_eq!(
        (third.incremental.unwrap().violations, third.waiting, third.full),
        (0, 0, None)
    );
}

async fn tenants_see_their_own_violations(world: World) {
    story(&world).await;
    let stranger = world.stranger().await;
    let damage = format!("UPDATE account SET overdraft = overdraft + 1 WHERE customer_id = {ONE}");
    world.sabotage(&damage).await;
    let run = audit::run(&stranger.app, &stranger.actor, Mode::Full, None)
        .await
        .unwrap();
    assert_eq!((run.customers, run.violations), (0, 0));
    let run = audit::run(&world.app, &world.actor, Mode::Full, None)
        .await
        .unwrap();
    assert_eq!((run.customers, run.violations), (2, 1));
    for (who, seen) in [(&world, 1), (&stranger, 0)] {
        let page = audit::violations(&who.app, &who.actor, false, Page::first(10))
            .await
            .unwrap();
        assert_eq!(page.items.len(), seen);
    }
    let one = CustomerRef::External("one".to_owned());
    let refused = audit::run(&stranger.app, &stranger.actor, Mode::Full, Some(&one)).await;
    assert_eq!(refusal(refused).0, RejectionCode::NotFound);
    let repair = format!("UPDATE account SET overdraft = overdraft - 1 WHERE customer_id = {ONE}");
    world.sabotage(&repair).await;
    world.advance(1);
    let run = audit::run(&world.app, &world.actor, Mode::Full, Some(&one))
        .await
        .unwrap();
    assert_eq!((run.customers, run.violations), (1, 0));
}
