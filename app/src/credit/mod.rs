//! Credits: grants, adjustments, revocation, expiry, and what is shown of them.
//!
//! Everything here happens under the lock on the customer's account. From the lock on, a grant costs five statements (lock,
//! terms, block, accounts, ledger; one more when it is restricted to metrics); a correction or revocation seven or eight,
//! because usage that waits is asked for. Ending blocks costs five for any number of customers.

mod correction;
pub(crate) mod desk;
mod expiry;
mod granting;
pub mod live;
pub(crate) mod notice;
pub mod overshoot;
mod overview;
mod reversal;
mod store;
mod view;

use std::collections::HashMap;

use domain::{
    amount::{Credits, Overflow},
    credit::{
        block::{Billing, Block, BlockState, DEFAULT_PRIORITY, Source},
        burn::Bound,
        draws::{Draw, Purse},
        grant,
    },
    customer::{Settlement, Terms},
    id::{BlockId, CustomerId, EntryId, InvoiceId, TenantId},
    ledger::{Account, Cause, Entry, EntryKind, chain::EntryHash},
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use entity::account;
use sea_orm::ConnectionTrait;

use self::view::Bounds;
pub use self::view::{Adjusted, Balance, BlockView, Explanation, LedgerLine};
pub use self::{
    correction::{Adjust, adjust, revoke},
    granting::{Expiry, Grant, grant},
    overview::{Overview, overview},
};
pub(crate) use self::{
    expiry::{expire, expire_of, expiry_is_due, next_expiry},
    granting::put_in,
    reversal::{Reversal, reverse_in},
    store::{
        NewBlockRow, Origin, Present, blocks_in, insert_blocks, move_expiry, plan_blocks, post_in,
        present_in, revisions,
    },
};
use crate::{
    App,
    actor::{Actor, Reach, Scope},
    catalog,
    customer::{self, CustomerRef},
    error::Result,
    hold,
    op::Op,
    page::{Page, Slice},
    spend, subscription, test_clock, usage,
};

/// Longest description of a grant or adjustment, in bytes.
const MAX_DESCRIPTION: usize = 200;

/// What a change does to one customer: the new totals, the new lines, and what blocks have left.
#[derive(Debug)]
pub(crate) struct Posting {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) account: Account,
    pub(crate) entries: Vec<Entry>,
    pub(crate) blocks: Vec<BlockChange>,
}

impl Posting {
    /// One that changes nothing yet.
    fn of((tenant, customer): (TenantId, CustomerId), account: Account) -> Self {
        Self {
            tenant,
            customer,
            account,
            entries: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The balance before the change; `None`: it moves nothing.
    fn balance_before(&self) -> Option<Credits> {
        let first = self.entries.first()?;
        // It was a balance, so that the difference fits.
        Some(Credits::from_raw(
            first.balance_after.raw().saturating_sub(first.credits.raw()),
        ))
    }

    /// Takes draws out of blocks and overdraft.
    fn take_out(
        &mut self,
        blocks: &mut [Block],
        draws: Vec<Draw>,
        cause: impl Fn(Purse) -> Cause,
        text: &str,
    ) -> std::result::Result<(), Overflow> {
        for draw in draws {
            let entry = self.account.withdrawal(draw, cause(draw.from), text)?;
            if let Some(block) = blocks.iter_mut().find(|block| Some(block.id) == entry.block) {
                block.remaining = block.remaining.minus(draw.credits)?;
                self.blocks.push(BlockChange::from(&*block));
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Puts a new block in; overdraft is repaid first where the settlement says so. One statement.
    async fn house(
        &mut self,
        op: &Op,
        settlement: Settlement,
        block: &mut Block,
        cause: Cause,
        (text, description): (&str, Option<&str>),
    ) -> Result<()> {
        let entries = grant::grant(&mut self.account, settlement, block, cause, text)?;
        self.entries.extend(entries);
        store::insert_block(op, self.tenant, self.customer, block, description).await
    }

    /// The hashes of the new lines when they are written at an instant.
    pub(crate) fn hashes(&self, at: Timestamp) -> Vec<EntryHash> {
        self.account
            .head
            .chain(self.tenant, self.customer, &self.entries, at)
    }
}

/// What a block has left, and what has become of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockChange {
    pub(crate) id: BlockId,
    pub(crate) remaining: Credits,
    pub(crate) state: BlockState,
}

impl From<&Block> for BlockChange {
    fn from(block: &Block) -> Self {
        Self {
            id: block.id,
            remaining: block.remaining,
            state: block.state,
        }
    }
}

fn check_description(description: Option<&str>) -> Result<()> {
    check_line("description", description)
}

/// Checks a line for people.
pub(crate) fn check_line(field: &str, line: Option<&str>) -> Result<()> {
    if line.is_some_and(|text| text.len() > MAX_DESCRIPTION || text.chars().any(char::is_control)) {
        return Err(Rejection::invalid(field, format!("at most {MAX_DESCRIPTION} bytes on one line")).into());
    }
    Ok(())
}

/// Credits of a customer whose books do not add up are not moved by hand. Usage is debited all the same.
pub(crate) fn check_not_frozen(account: &account::Model) -> Result<()> {
    if account.frozen_at.is_none() {
        return Ok(());
    }
    let message =
        "the audit found that the books of this customer do not add up; an operator has to look first";
    Err(Rejection::new(RejectionCode::CustomerFrozen, "", message).into())
}

/// An account whose row is locked.
pub(crate) struct Locked {
    account: Account,
    bounds: Bounds,
    /// Whether something of its subscriptions is due that comes first.
    pub(crate) behind: bool,
}

/// Locks an account and reads its totals and what bounds them. Two statements, one more where holds are open, two where the customer has limits
/// of its own, and one for a test clock.
pub(crate) async fn lock(op: &mut Op, reach: Reach, customer: CustomerId) -> Result<Locked> {
    let who = CustomerRef::Id(customer);
    let account = op
        .lock_account(reach.tenant(), customer)
        .await?
        .ok_or_else(|| who.unknown())?;
    check_not_frozen(&account)?;
    let row = customer::find(op.tx(), reach, &who)
        .await?
        .ok_or_else(|| who.unknown())?;
    let accounts = std::slice::from_ref(&account);
    let held = hold::held_in(op.tx(), accounts, op.now()).await?;
    let budget = spend::left_in(op.tx(), accounts, &held, op.now()).await?;
    Ok(Locked {
        bounds: Bounds {
            terms: Terms::try_from(&row)?,
            held: held.get(&customer).copied().unwrap_or_default(),
            budget: budget.get(&customer).copied(),
        },
        behind: subscription::is_behind(&account, op.present()),
        account: Account::from(&account),
    })
}

/// Settles overdraft that an invoice bills: the account is locked, and owes at least so much. Three statements.
pub(crate) async fn settle_in(
    op: &mut Op,
    tenant: TenantId,
    customer: CustomerId,
    credits: Credits,
    invoice: InvoiceId,
) -> Result<()> {
    let locked = lock(op, Reach::of(tenant), customer).await?;
    let mut posting = Posting::of((tenant, customer), locked.account);
    let cause = Cause {
        kind: EntryKind::Settlement,
        effect_key: format!("settle:{invoice}"),
        usage: None,
    };
    let text = "Overdraft billed by an invoice";
    let entry = posting.account.refund(Purse::Overdraft, credits, cause, text)?;
    posting.entries.push(entry);
    post_in(op, &[&posting]).await
}

/// How blocks are billed. One statement, none for no blocks.
pub(crate) async fn billing_in(
    db: &impl ConnectionTrait,
    blocks: &[BlockId],
) -> Result<HashMap<BlockId, Billing>> {
    if blocks.is_empty() {
        return Ok(HashMap::new());
    }
    store::billing(db, blocks).await
}

/// The bounds of customers' overdrafts: of each the most that usage may let it owe, and when the first of its usage that waits was accepted.
/// One statement, none where none waits.
pub(crate) async fn bounds_in(
    db: &impl ConnectionTrait,
    all: Vec<(CustomerId, Credits, Option<Timestamp>)>,
) -> Result<HashMap<CustomerId, Bound>> {
    let waiting = all
        .iter()
        .filter_map(|(customer, _, first)| Some((*customer, (*first)?)));
    let mut repaid = store::repaid_after(db, &waiting.collect::<Vec<_>>()).await?;
    let bound = |(customer, most, _)| {
        let repaid = repaid.remove(&customer).unwrap_or_default();
        (customer, Bound { most, repaid })
    };
    Ok(all.into_iter().map(bound).collect())
}

/// Credits that return at an instant for an overdraft which has been repaid since go into a block of their own: somebody paid for them.
pub(crate) async fn rehouse_in(
    op: &Op,
    posting: &mut Posting,
    settlement: Settlement,
    credits: Credits,
    at: Timestamp,
    cause: Cause,
) -> Result<()> {
    let text = "Repaid overdraft returned";
    let mut block = Block {
        billing: Billing::Prepaid,
        ..adjustment_block(op, credits, at)
    };
    posting
        .house(op, settlement, &mut block, cause, (text, Some(text)))
        .await
}

fn adjustment_block(op: &Op, credits: Credits, at: Timestamp) -> Block {
    Block {
        id: BlockId(op.new_id()),
        source: Source::Adjustment,
        billing: Billing::Free,
        priority: DEFAULT_PRIORITY,
        credits,
        remaining: credits,
        granted_at: at,
        expires_at: None,
        metrics: None,
        state: BlockState::Active,
    }
}

/// The balances of many customers of the tenant. Three statements for any number.
///
/// # Errors
/// The scope is missing.
pub async fn balances(
    app: &App,
    actor: &Actor,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Balance>> {
    actor.require(Scope::CreditRead)?;
    store::balances(app.db().reader(), actor.reach(), customers, app.now()).await
}

/// A customer's blocks: first those that can still be used, in the order in which they will burn, then the others.
///
/// # Errors
/// The scope is missing.
pub async fn blocks(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<BlockId>,
) -> Result<Slice<BlockView>> {
    actor.require(Scope::CreditRead)?;
    let now = test_clock::now_of(app, customer).await?;
    let all = store::blocks_in_order(app.db().reader(), actor.reach(), customer, now).await?;
    page.cut(all, |view| view.block.id)
}

/// One block by id.
///
/// # Errors
/// The scope is missing.
pub async fn block(app: &App, actor: &Actor, id: BlockId) -> Result<Option<BlockView>> {
    actor.require(Scope::CreditRead)?;
    store::get_block(app.db().reader(), actor.reach(), id).await
}

/// A customer's ledger, newest first.
///
/// # Errors
/// The scope is missing.
pub async fn ledger(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<i64>,
) -> Result<Slice<LedgerLine>> {
    actor.require(Scope::CreditRead)?;
    store::ledger(app.db().reader(), actor.reach(), customer, page).await
}

/// Everything behind one line of a ledger: the block, the price version, the position in the tiers, and the first events.
///
/// # Errors
/// The scope is missing.
pub async fn explain(app: &App, actor: &Actor, id: EntryId) -> Result<Option<Explanation>> {
    actor.require(Scope::CreditRead)?;
    actor.require(Scope::UsageRead)?;
    let db = app.db().reader();
    let Some(line) = store::entry(db, actor.reach(), id).await? else {
        return Ok(None);
    };
    let block = match line.block {
        Some(block) => store::get_block(db, actor.reach(), block).await?,
        None => None,
    };
    let (rule, events) = match &line.usage {
        Some(cause) => {
            let rule = match cause.rule {
                Some(rule) => catalog::rule(app, actor, rule).await?,
                None => None,
            };
            (
                rule,
                usage::events_of(db, actor.reach(), id.customer, cause).await?,
            )
        }
        None => (None, Vec::new()),
    };
    Ok(Some(Explanation {
        line,
        block,
        rule,
        events,
    }))
}

/// One line of a ledger.
///
/// # Errors
/// The scope is missing.
pub async fn entry(app: &App, actor: &Actor, id: EntryId) -> Result<Option<LedgerLine>> {
    actor.require(Scope::CreditRead)?;
    store::entry(app.db().reader(), actor.reach(), id).await
}
