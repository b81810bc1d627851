//! Totals, blocks, and to whom rows belong.

use domain::id::{BlockId, CustomerId};
use entity::{account, block};
use uuid::Uuid;

use super::{Check, Findings, ledger::Replay};

/// What an account says and what its blocks hold. `blocks` are all that hold credits and all that the replay has touched.
pub(in crate::audit) fn blocks(
    account: &account::Model,
    blocks: &[&block::Model],
    replay: &Replay,
    found: &mut Findings,
) {
    let sum: i128 = blocks.iter().map(|block| i128::from(block.remaining)).sum();
    found.expect(
        sum == i128::from(account.blocks),
        Check::AccountBlocks,
        CustomerId(account.customer_id),
        || format!("the account says {}, its blocks hold {sum}", account.blocks),
    );
    for block in blocks {
        one_block(block, replay, found);
    }
    for (id, held) in &replay.place.blocks {
        let known = blocks.iter().any(|block| block.id == id.0);
        found.expect(known, Check::BlockEntries, id, || {
            format!("its entries come to {held}, but it holds nothing or is not this customer's")
        });
    }
}

fn one_block(block: &block::Model, replay: &Replay, found: &mut Findings) {
    let id = BlockId(block.id);
    let held = replay.place.blocks.get(&id).copied().unwrap_or(0);
    found.expect(held == block.remaining, Check::BlockEntries, id, || {
        format!("it holds {}, its entries come to {held}", block.remaining)
    });
    let within = (0..=block.credits).contains(&block.remaining);
    found.expect(
        within && (block.state == "ACTIVE" || block.remaining == 0),
        Check::BlockBounds,
        id,
        || {
            format!(
                "it holds {} of {} and is {}",
                block.remaining, block.credits, block.state
            )
        },
    );
    if let Some(deposit) = replay.deposits.get(&block.id) {
        found.expect(*deposit == block.credits, Check::BlockDeposit, id, || {
            format!(
                "it says that {} were deposited, its first entry says {deposit}",
                block.credits
            )
        });
    }
}

/// A row that must belong to the tenant of its customer.
pub(in crate::audit) fn owner(
    tenant: Uuid,
    row_tenant: Uuid,
    subject: impl ToString,
    table: &str,
    found: &mut Findings,
) {
    found.expect(tenant == row_tenant, Check::RowOwner, subject, || {
        format!("a row of {table} belongs to another tenant than its customer")
    });
}
