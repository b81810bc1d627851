//! Credits: grants, adjustments, revocation, expiry, and what is shown of them.
//!
//! Everything here happens under the lock on the customer's account. From the lock on, a grant costs five statements (lock,
//! terms, block, accounts, ledger; one more when it is restricted to metrics); a correction or revocation seven or eight,
//! because usage that waits is asked for. Ending blocks costs five for any number of customers.

pub mod live;
mod store;
mod view;

use std::collections::HashMap;

use domain::{
    amount::Credits,
    credit::{
        block::{Billing, Block, BlockState, DEFAULT_PRIORITY, MAX_BLOCK_METRICS, Source},
        grant,
    },
    customer::{Settlement, Terms},
    id::{BlockId, CustomerId, EntryId, TenantId},
    ledger::{Account, Cause, Entry, EntryKind},
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::store::{blocks_in, open_blocks, post_in};
pub use self::view::{Adjusted, Balance, BlockView, Explanation, LedgerLine};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Fresh, Once, claim},
    job::work::{self, Duty},
    op::Op,
    page::{Page, Slice},
    usage,
};

/// Longest description of a grant or adjustment, in bytes.
const MAX_DESCRIPTION: usize = 200;
/// How long after its expiry a block is ended, in seconds: events accepted just before are still on their way in.
const EXPIRY_GRACE_SECONDS: i64 = 5;
/// Customers whose blocks are ended per transaction.
const EXPIRY_BATCH: u64 = 200;
/// Attempts to debit usage that was accepted before a request and still arrives.
const SETTLE_ROUNDS: usize = 5;

/// What a change does to one customer: the new totals, the new lines, and what blocks have left.
#[derive(Debug)]
pub(crate) struct Posting {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) account: Account,
    pub(crate) entries: Vec<Entry>,
    pub(crate) blocks: Vec<BlockChange>,
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

/// When a grant ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// At an instant.
    At(Timestamp),
    /// This many seconds after the grant.
    AfterSeconds(i64),
}

/// Credits to grant.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    /// To whom.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// How many; more than zero.
    pub credits: Credits,
    /// Where they come from.
    pub source: Source,
    /// How their use is billed; by source when absent.
    pub billing: Option<Billing>,
    /// Higher burns first.
    pub priority: Option<i32>,
    /// When they end.
    pub expiry: Expiry,
    /// Keys of the metrics they may pay for; `None`: all.
    pub metric_keys: Option<Vec<String>>,
    /// A line for people.
    pub description: Option<String>,
}

/// Grants credits to a customer.
///
/// # Errors
/// No such customer or metric, an amount that is not positive, an expiry in the past.
pub async fn grant(app: &App, actor: &Actor, input: Grant, key: &str) -> Result<Once<BlockView>> {
    actor.require(Scope::CreditWrite)?;
    check_grant(&input)?;
    let mut op = Op::begin(app).await?;
    let id = customer::resolve(op.tx(), actor.tenant, &input.customer).await?;
    let fresh = match claim(&op, actor.tenant, "grantCredits", key, &(id, &input)).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let metrics = match &input.metric_keys {
        Some(keys) => Some(catalog::metric_ids_in(op.tx(), actor.tenant, keys, "metricKeys").await?),
        None => None,
    };
    let (mut account, terms) = lock(&mut op, actor.tenant, id).await?;
    let mut block = new_block(&op, &input)?;
    block.metrics = metrics;
    let description = input.description.as_deref().unwrap_or("Credits granted");
    let cause = Cause {
        kind: EntryKind::Grant,
        effect_key: format!("grant:{}", block.id),
        usage: None,
    };
    let entries = grant::grant(&mut account, terms.settlement, &mut block, cause, description)?;
    store::insert_block(&op, actor.tenant, id, &block, input.description.as_deref()).await?;
    let posting = Posting {
        tenant: actor.tenant,
        customer: id,
        account,
        entries,
        blocks: Vec::new(),
    };
    post_in(&mut op, &[&posting]).await?;
    let view = BlockView {
        metric_keys: input.metric_keys,
        description: input.description,
        block,
    };
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

fn check_grant(input: &Grant) -> Result<()> {
    if !input.credits.is_positive() {
        return Err(Rejection::invalid("credits", "a grant must be more than zero credits").into());
    }
    if input
        .metric_keys
        .as_ref()
        .is_some_and(|keys| keys.is_empty() || keys.len() > MAX_BLOCK_METRICS)
    {
        let message = format!("name 1 to {MAX_BLOCK_METRICS} metrics, or leave it out for all");
        return Err(Rejection::invalid("metricKeys", message).into());
    }
    if matches!(input.expiry, Expiry::AfterSeconds(seconds) if seconds <= 0) {
        return Err(Rejection::invalid("expiresAfterSeconds", "it must be more than zero seconds").into());
    }
    check_description(input.description.as_deref())
}

fn check_description(description: Option<&str>) -> Result<()> {
    if description.is_some_and(|text| text.len() > MAX_DESCRIPTION || text.chars().any(char::is_control)) {
        return Err(Rejection::invalid(
            "description",
            format!("at most {MAX_DESCRIPTION} bytes on one line"),
        )
        .into());
    }
    Ok(())
}

fn new_block(op: &Op, input: &Grant) -> Result<Block> {
    let granted_at = op.now();
    let expires_at = match input.expiry {
        Expiry::Never => None,
        Expiry::At(instant) if instant <= granted_at => {
            return Err(Rejection::invalid("expiresAt", "the expiry must lie in the future").into());
        }
        Expiry::At(instant) => Some(instant),
        Expiry::AfterSeconds(seconds) => Some(granted_at.plus_seconds(seconds)),
    };
    Ok(Block {
        id: BlockId(op.new_id()),
        source: input.source,
        billing: input.billing.unwrap_or_else(|| input.source.default_billing()),
        priority: input.priority.unwrap_or(DEFAULT_PRIORITY),
        credits: input.credits,
        remaining: input.credits,
        granted_at,
        expires_at,
        metrics: None,
        state: BlockState::Active,
    })
}

/// A correction by hand.
#[derive(Debug, Clone, Serialize)]
pub struct Adjust {
    /// Whose credits.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// How many to add (positive) or take (negative).
    pub credits: Credits,
    /// Why, for the ledger.
    pub description: Option<String>,
}

/// Puts credits right by hand. What is added repays overdraft first, whoever settles it; the rest becomes a block. What is
/// taken leaves the blocks in burn order.
///
/// # Errors
/// No such customer, nothing to do, or more to take than there is.
pub async fn adjust(app: &App, actor: &Actor, input: Adjust, key: &str) -> Result<Once<Adjusted>> {
    actor.require(Scope::CreditWrite)?;
    if input.credits.is_zero() {
        return Err(Rejection::invalid("credits", "an adjustment of zero changes nothing").into());
    }
    check_description(input.description.as_deref())?;
    // Usage accepted before comes first: it may use what is taken, and its overdraft is repaid by what is added.
    let id = customer::resolve(app.db().reader(), actor.tenant, &input.customer).await?;
    let begun = begin_settled(app, actor, id, "adjustCredits", key, &(id, &input)).await?;
    let Settled {
        mut op,
        fresh,
        account,
        terms,
    } = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => *settled,
    };
    let text = input
        .description
        .clone()
        .unwrap_or_else(|| "Credits adjusted".to_owned());
    let posting = if input.credits.is_positive() {
        add(&op, actor.tenant, id, account, input.credits, &text).await?
    } else {
        take(&op, actor.tenant, id, account, input.credits.negated()?, &text).await?
    };
    let entries = posting
        .entries
        .iter()
        .map(|entry| LedgerLine::new(id, entry, op.now()))
        .collect();
    let pending = store::pending_count(op.tx(), id).await?;
    let balance = Balance::new(&posting.account, &terms, pending, op.now());
    post_in(&mut op, &[&posting]).await?;
    let done = fresh
        .settle(
            &op,
            Adjusted {
                customer: id,
                entries,
                balance,
            },
        )
        .await?;
    op.commit().await?;
    Ok(done)
}

async fn add(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    mut account: Account,
    credits: Credits,
    text: &str,
) -> Result<Posting> {
    let mut block = adjustment_block(op, credits);
    let cause = Cause {
        kind: EntryKind::Adjustment,
        effect_key: format!("adjust:{}", block.id),
        usage: None,
    };
    // As if the next purchase settled: an adjustment is how MANUAL and NEXT_INVOICE overdrafts are put right by hand.
    let entries = grant::grant(&mut account, Settlement::NextPurchase, &mut block, cause, text)?;
    store::insert_block(op, tenant, customer, &block, Some(text)).await?;
    Ok(Posting {
        tenant,
        customer,
        account,
        entries,
        blocks: Vec::new(),
    })
}

async fn take(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    mut account: Account,
    credits: Credits,
    text: &str,
) -> Result<Posting> {
    let mut blocks = open_blocks(op.tx(), customer).await?;
    let adjustment = op.new_id().simple().to_string();
    let mut posting = Posting {
        tenant,
        customer,
        account,
        entries: Vec::new(),
        blocks: Vec::new(),
    };
    for draw in grant::take_out(&blocks, credits, op.now())? {
        let effect_key = format!("adjust:{adjustment}:{}", draw.from);
        let cause = Cause {
            kind: EntryKind::Adjustment,
            effect_key,
            usage: None,
        };
        let entry = account.withdrawal(draw, cause, text)?;
        if let Some(block) = blocks.iter_mut().find(|block| Some(block.id) == entry.block) {
            block.remaining = block.remaining.minus(draw.credits)?;
            posting.blocks.push(BlockChange::from(&*block));
        }
        posting.entries.push(entry);
    }
    posting.account = account;
    Ok(posting)
}

/// Takes a block back: what remains of it is gone. Usage accepted before is debited first.
///
/// # Errors
/// No such block, or one that has ended.
pub async fn revoke(app: &App, actor: &Actor, id: BlockId, key: &str) -> Result<Once<BlockView>> {
    actor.require(Scope::CreditWrite)?;
    let unknown = || Rejection::not_found("blockId", "block");
    let owner = store::owner(app.db().reader(), actor.tenant, id)
        .await?
        .ok_or_else(unknown)?;
    let begun = begin_settled(app, actor, owner, "revokeBlock", key, &id).await?;
    let Settled {
        mut op,
        fresh,
        mut account,
        ..
    } = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => *settled,
    };
    let mut view = store::get_block(op.tx(), actor.tenant, id)
        .await?
        .ok_or_else(unknown)?;
    if view.block.state != BlockState::Active {
        let message = "the block has expired or was revoked before";
        return Err(Rejection::new(RejectionCode::BlockNotActive, "blockId", message).into());
    }
    let cause = Cause {
        kind: EntryKind::Revocation,
        effect_key: format!("revoke:{id}"),
        usage: None,
    };
    let entry = grant::end(
        &mut account,
        &mut view.block,
        BlockState::Revoked,
        cause,
        "Credits revoked",
    )?;
    let blocks = vec![BlockChange::from(&view.block)];
    let entries = entry.into_iter().collect();
    post_in(
        &mut op,
        &[&Posting {
            tenant: actor.tenant,
            customer: owner,
            account,
            entries,
            blocks,
        }],
    )
    .await?;
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

/// An operation on a locked account whose usage accepted before the request is debited.
struct Settled {
    op: Op,
    fresh: Fresh,
    account: Account,
    terms: Terms,
}

/// Whether a request is new.
enum Begun<T> {
    Settled(Box<Settled>),
    Replay(Once<T>),
}

/// Begins an operation that must come after all usage accepted before the request. A request that was made before is
/// answered at once.
async fn begin_settled<T: DeserializeOwned>(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    mutation: &'static str,
    key: &str,
    input: &impl Serialize,
) -> Result<Begun<T>> {
    let requested_at = app.now();
    for _ in 0..SETTLE_ROUNDS {
        let mut op = Op::begin(app).await?;
        let fresh = match claim(&op, actor.tenant, mutation, key, input).await? {
            Claim::Replay(known) => return Ok(Begun::Replay(known)),
            Claim::Fresh(fresh) => fresh,
        };
        let (account, terms) = lock(&mut op, actor.tenant, customer).await?;
        if !usage::is_waiting(op.tx(), customer, requested_at).await? {
            return Ok(Begun::Settled(Box::new(Settled {
                op,
                fresh,
                account,
                terms,
            })));
        }
        op.abandon().await?;
        usage::settle_usage(app, customer, requested_at).await?;
    }
    Err(Error::Unavailable(format!(
        "usage of {customer} is still on its way"
    )))
}

/// Ends the blocks whose time has run out, after debiting the usage accepted before. Answers how many ended.
///
/// Blocks of customers whose usage is parked wait: their end would depend on when the usage is put right. A customer whose
/// blocks cannot be ended is parked, so that it stops nobody else.
pub(crate) async fn expire(app: &App) -> Result<u64> {
    let due = app.now().plus_seconds(-EXPIRY_GRACE_SECONDS);
    let aside = set_aside(app).await?;
    for (customer, last) in store::usage_before_expiry(app.db().reader(), due, &aside, EXPIRY_BATCH).await? {
        // A block that must wait for its customer's parked usage is left out below; the others must not wait with it.
        if let Err(error) = usage::settle_usage(app, customer, last).await {
            tracing::warn!(%customer, %error, "usage before the expiry of a block could not be debited");
        }
    }
    let found = store::with_expired(app.db().reader(), due, &aside, EXPIRY_BATCH).await?;
    let customers: Vec<CustomerId> = found.iter().map(|(customer, _)| *customer).collect();
    match end_blocks(app, &customers, due).await {
        Err(Error::Internal(_) | Error::Rejected(_)) => {}
        other => return other,
    }
    let mut ended = 0;
    for (customer, tenant) in found {
        match end_blocks(app, &[customer], due).await {
            Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
                tracing::error!(%customer, %error, "blocks cannot be ended; the customer is parked");
                work::park(
                    app,
                    Duty::EXPIRY,
                    &customer.to_string(),
                    Some(tenant),
                    &error.to_string(),
                )
                .await?;
            }
            other => ended += other?,
        }
    }
    Ok(ended)
}

/// Ends what is due of some customers, in one transaction: two statements to read, three to write.
async fn end_blocks(app: &App, customers: &[CustomerId], due: Timestamp) -> Result<u64> {
    if customers.is_empty() {
        return Ok(0);
    }
    let mut op = Op::begin(app).await?;
    let mut postings: HashMap<CustomerId, Posting> = HashMap::new();
    for row in op.lock_accounts(customers).await? {
        let posting = Posting {
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            account: Account::from(&row),
            entries: Vec::new(),
            blocks: Vec::new(),
        };
        postings.insert(posting.customer, posting);
    }
    let mut ended = 0;
    // Read under the lock: another worker may have been first.
    for (customer, mut block) in store::expired(op.tx(), due, customers).await? {
        let Some(posting) = postings.get_mut(&customer) else {
            continue;
        };
        let cause = Cause {
            kind: EntryKind::Expiry,
            effect_key: format!("expire:{}", block.id),
            usage: None,
        };
        let text = "Credits expired";
        let entry = grant::end(&mut posting.account, &mut block, BlockState::Expired, cause, text)?;
        posting.entries.extend(entry);
        posting.blocks.push(BlockChange::from(&block));
        ended += 1;
    }
    postings.retain(|_, posting| !posting.blocks.is_empty());
    let postings: Vec<&Posting> = postings.values().collect();
    post_in(&mut op, &postings).await?;
    op.commit().await?;
    Ok(ended)
}

/// Customers whose blocks wait for a person.
async fn set_aside(app: &App) -> Result<Vec<CustomerId>> {
    let mut aside = work::set_aside(app, Duty::CUSTOMER).await?;
    aside.extend(work::set_aside(app, Duty::EXPIRY).await?);
    Ok(aside)
}

/// Whether any block waits to be ended.
pub(crate) async fn expiry_is_due(app: &App) -> Result<bool> {
    let due = app.now().plus_seconds(-EXPIRY_GRACE_SECONDS);
    let aside = set_aside(app).await?;
    store::any_expired(app.db().reader(), due, &aside).await
}

/// Locks an account and reads its totals and terms.
async fn lock(op: &mut Op, tenant: TenantId, customer: CustomerId) -> Result<(Account, Terms)> {
    let who = CustomerRef::Id(customer);
    let account = op
        .lock_account(tenant, customer)
        .await?
        .ok_or_else(|| who.unknown())?;
    let row = customer::find(op.tx(), tenant, &who)
        .await?
        .ok_or_else(|| who.unknown())?;
    Ok((Account::from(&account), Terms::try_from(&row)?))
}

/// The totals and terms of one customer.
pub(crate) async fn standing(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
) -> Result<Option<(Account, Terms)>> {
    Ok(store::present(db, tenant, customer)
        .await?
        .map(|(account, terms, _)| (account, terms)))
}

/// Credits that return for an overdraft which has been repaid since go into a block of their own: somebody paid for them.
pub(crate) async fn rehouse_in(
    op: &Op,
    posting: &mut Posting,
    settlement: Settlement,
    credits: Credits,
    cause: Cause,
) -> Result<()> {
    let text = "Repaid overdraft returned";
    let mut block = Block {
        billing: Billing::Prepaid,
        ..adjustment_block(op, credits)
    };
    let entries = grant::grant(&mut posting.account, settlement, &mut block, cause, text)?;
    posting.entries.extend(entries);
    store::insert_block(op, posting.tenant, posting.customer, &block, Some(text)).await
}

fn adjustment_block(op: &Op, credits: Credits) -> Block {
    Block {
        id: BlockId(op.new_id()),
        source: Source::Adjustment,
        billing: Billing::Free,
        priority: DEFAULT_PRIORITY,
        credits,
        remaining: credits,
        granted_at: op.now(),
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
    store::balances(app.db().reader(), actor.tenant, customers, app.now()).await
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
    let all = store::blocks_in_order(app.db().reader(), actor.tenant, customer, app.now()).await?;
    page.cut(all, |view| view.block.id)
}

/// One block by id.
///
/// # Errors
/// The scope is missing.
pub async fn block(app: &App, actor: &Actor, id: BlockId) -> Result<Option<BlockView>> {
    actor.require(Scope::CreditRead)?;
    store::get_block(app.db().reader(), actor.tenant, id).await
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
    store::ledger(app.db().reader(), actor.tenant, customer, page).await
}

/// Everything behind one line of a ledger: the block, the price version, the position in the tiers, and the first events.
///
/// # Errors
/// The scope is missing.
pub async fn explain(app: &App, actor: &Actor, id: EntryId) -> Result<Option<Explanation>> {
    actor.require(Scope::CreditRead)?;
    actor.require(Scope::UsageRead)?;
    let db = app.db().reader();
    let Some(line) = store::entry(db, actor.tenant, id).await? else {
        return Ok(None);
    };
    let block = match line.block {
        Some(block) => store::get_block(db, actor.tenant, block).await?,
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
                usage::events_of(db, actor.tenant, id.customer, cause).await?,
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
    store::entry(app.db().reader(), actor.tenant, id).await
}
