//! The SQL of credits.

use std::collections::{BTreeSet, HashMap};

use domain::{
    amount::{Credits, Quantity},
    credit::{
        block::{Billing, Block, BlockState},
        burn::{Repaid, rank},
        expiring,
    },
    customer::Terms,
    cycle::grants::PlanBlock,
    id::{
        BlockId, CustomerId, EntryId, EventId, MeteringRuleId, MetricId, SubscriptionId, TemplateId, TenantId,
    },
    ledger::{Account, UsageCause, chain::EntryHash},
    metering::Position,
    subscription::admission::Admission,
    time::{Period, Timestamp},
};
use entity::{account, block, customer, from_text, ledger_entry, to_text};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, JoinType, QueryFilter, QueryOrder,
    QuerySelect, Select, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    Posting,
    desk::{Line, Whose},
    notice,
    overshoot::{WriteOff, WriteOffKey, WrittenOff},
    view::{Balance, BlockView, Bounds, LedgerLine},
};
use crate::{
    actor::Reach,
    catalog,
    customer::{TERMS, terms_of},
    error::{Error, Result},
    failpoint::reach,
    hold,
    op::Op,
    page::{Page, Slice, ordered},
    recharge, spend,
    sql::{Rows, among, statement},
};

/// Most blocks of a customer that are read for a list. Spent ones beyond it are not shown.
const MAX_BLOCKS: u64 = 10_000;
/// Pending events are counted up to here; more is "a lot".
const MAX_PENDING_COUNT: i64 = 100_000;

/// Writes what changes did: accounts, blocks and ledger, one statement each for any number of customers. The new entries are
/// chained to the account's head on the way. Whose balance has come down to where the customer wants to know is told, and where its
/// auto-recharge watches it is evaluated, at once.
pub(crate) async fn post_in(op: &mut Op, postings: &[&Posting]) -> Result<()> {
    if postings.is_empty() {
        return Ok(());
    }
    for posting in postings {
        if posting.account.blocks.is_negative() || posting.account.overdraft.is_negative() {
            return Err(Error::Internal(format!(
                "totals of {} would be negative",
                posting.customer
            )));
        }
        op.changed(posting.customer);
    }
    let hashes: Vec<Vec<EntryHash>> = postings.iter().map(|posting| posting.hashes(op.now())).collect();
    update_accounts(op, postings, &hashes).await?;
    reach("post.accounts")?;
    update_blocks(op, postings).await?;
    reach("post.blocks")?;
    insert_entries(op, postings, &hashes).await?;
    reach("post.entries")?;
    notice::fallen_in(op, postings).await?;
    let low = postings.iter().filter(|posting| posting.account.is_low());
    let low: Vec<CustomerId> = low.map(|posting| posting.customer).collect();
    recharge::decide_in(op, &low).await
}

async fn update_accounts(op: &Op, postings: &[&Posting], hashes: &[Vec<EntryHash>]) -> Result<()> {
    let all = || postings.iter();
    let heads = all()
        .zip(hashes)
        .map(|(it, hashes)| hashes.last().unwrap_or(&it.account.head).as_bytes().to_vec());
    Rows::default()
        .id("customer_id", all().map(|it| it.customer.0))
        .int("sequence", all().map(|it| it.account.sequence))
        .int("blocks", all().map(|it| it.account.blocks.raw()))
        .int("overdraft", all().map(|it| it.account.overdraft.raw()))
        .bytes("head", heads)
        .execute(
            op.tx(),
            "UPDATE account SET sequence = v.sequence, blocks = v.blocks, overdraft = v.overdraft, head = v.head,
                revision = account.revision + 1, updated_at = $1
             FROM {rows} AS v WHERE account.customer_id = v.customer_id",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

async fn update_blocks(op: &Op, postings: &[&Posting]) -> Result<()> {
    let all: Vec<_> = postings.iter().flat_map(|posting| &posting.blocks).collect();
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", all.iter().map(|it| it.id.0))
        .int("remaining", all.iter().map(|it| it.remaining.raw()))
        .text("state", all.iter().map(|it| to_text(it.state)))
        .execute(
            op.tx(),
            "UPDATE block SET remaining = v.remaining, state = v.state FROM {rows} AS v WHERE block.id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

async fn insert_entries(op: &Op, postings: &[&Posting], hashes: &[Vec<EntryHash>]) -> Result<()> {
    let all: Vec<_> = postings
        .iter()
        .flat_map(|posting| posting.entries.iter().map(move |entry| (posting, entry)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let usage = |get: fn(&UsageCause) -> i64| {
        all.iter()
            .map(|(_, it)| it.cause.usage.as_ref().map(get))
            .collect::<Vec<Option<i64>>>()
    };
    let usage_id = |get: fn(&UsageCause) -> Option<Uuid>| {
        all.iter()
            .map(|(_, it)| it.cause.usage.as_ref().and_then(get))
            .collect::<Vec<Option<Uuid>>>()
    };
    Rows::default()
        .id("customer_id", all.iter().map(|(posting, _)| posting.customer.0))
        .int("sequence", all.iter().map(|(_, it)| it.sequence))
        .id("tenant_id", all.iter().map(|(posting, _)| posting.tenant.0))
        .text("kind", all.iter().map(|(_, it)| to_text(it.cause.kind)))
        .text("effect_key", all.iter().map(|(_, it)| it.cause.effect_key.clone()))
        .opt_id("block_id", all.iter().map(|(_, it)| it.block.map(|block| block.0)))
        .int("credits", all.iter().map(|(_, it)| it.credits.raw()))
        .int("overdraft_change", all.iter().map(|(_, it)| it.overdraft_change.raw()))
        .int("balance_after", all.iter().map(|(_, it)| it.balance_after.raw()))
        .int("overdraft_after", all.iter().map(|(_, it)| it.overdraft_after.raw()))
        .text("description", all.iter().map(|(_, it)| it.description.clone()))
        .opt_id("metric_id", usage_id(|it| Some(it.metric.0)))
        .opt_id("rule_id", usage_id(|it| it.rule.map(|rule| rule.0)))
        .opt_int("period_start", usage(|it| it.period_start.micros()))
        .opt_int("from_units", usage(|it| it.from.units.raw()))
        .opt_int("from_events", usage(|it| it.from.events))
        .opt_int("to_units", usage(|it| it.to.units.raw()))
        .opt_int("to_events", usage(|it| it.to.events))
        .opt_id("first_event", usage_id(|it| Some(it.first_event.0)))
        .opt_id("last_event", usage_id(|it| Some(it.last_event.0)))
        .opt_int("event_count", usage(|it| it.events))
        .bytes("hash", hashes.iter().flatten().map(|hash| hash.as_bytes().to_vec()))
        .execute(
            op.tx(),
            "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits,
                overdraft_change, balance_after, overdraft_after, description, metric_id, rule_id, period_start,
                from_units, from_events, to_units, to_events, first_event, last_event, event_count, hash, created_at)
             SELECT customer_id, sequence, tenant_id, kind, effect_key, block_id, credits,
                overdraft_change, balance_after, overdraft_after, description, metric_id, rule_id, period_start,
                from_units, from_events, to_units, to_events, first_event, last_event, event_count, hash, $1
             FROM {rows} AS v",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// A block to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewBlockRow {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) block: Block,
    /// A line for people.
    pub(crate) description: Option<String>,
    /// The subscription that grants it.
    pub(crate) origin: Option<Origin>,
}

impl NewBlockRow {
    fn ends_with_cycle(&self) -> bool {
        self.origin.is_some_and(|origin| origin.ends_with_cycle)
    }

    /// When the customer is first told that the block will end. What ends with a cycle is not told.
    fn first_notice(&self) -> Option<Timestamp> {
        let end = self.block.expires_at.filter(|_| !self.ends_with_cycle())?;
        expiring::next_notice(self.block.granted_at, end)
    }
}

/// What a subscription's block was made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) subscription: SubscriptionId,
    pub(crate) template: TemplateId,
    pub(crate) cycle: i64,
    pub(crate) ends_with_cycle: bool,
}

/// How blocks are billed.
pub(super) async fn billing(
    db: &impl ConnectionTrait,
    blocks: &[BlockId],
) -> Result<HashMap<BlockId, Billing>> {
    let rows = Rows::default()
        .id("id", blocks.iter().map(|block| block.0))
        .query(
            db,
            "SELECT b.id, b.billing FROM {rows} AS v JOIN block b ON b.id = v.id",
            Vec::new(),
        )
        .await?;
    let billing = rows.iter().map(|row| {
        let text: String = row.try_get_by_index(1)?;
        Ok((BlockId(row.try_get_by_index(0)?), from_text("block", &text)?))
    });
    billing.collect()
}

pub(super) async fn insert_block(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    block: &Block,
    description: Option<&str>,
) -> Result<()> {
    let row = NewBlockRow {
        tenant,
        customer,
        block: block.clone(),
        description: description.map(str::to_owned),
        origin: None,
    };
    insert_blocks(op, &[row]).await
}

/// Writes new blocks. One statement for any number.
pub(crate) async fn insert_blocks(op: &Op, all: &[NewBlockRow]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let blocks = || all.iter().map(|it| &it.block);
    let origins = || all.iter().map(|it| it.origin);
    let metrics = blocks().map(|it| it.metrics.as_ref().map(serde_json::to_string).transpose());
    let metrics: Vec<Option<String>> = metrics.collect::<std::result::Result<_, _>>()?;
    Rows::default()
        .id("id", blocks().map(|it| it.id.0))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .text("source", blocks().map(|it| to_text(it.source)))
        .text("billing", blocks().map(|it| to_text(it.billing)))
        .int("priority", blocks().map(|it| i64::from(it.priority)))
        .int("credits", blocks().map(|it| it.credits.raw()))
        .int("remaining", blocks().map(|it| it.remaining.raw()))
        .int("granted_at", blocks().map(|it| it.granted_at.micros()))
        .opt_int("expires_at", blocks().map(|it| it.expires_at.map(Timestamp::micros)))
        .opt_text("metrics", metrics)
        .text("state", blocks().map(|it| to_text(it.state)))
        .opt_text("description", all.iter().map(|it| it.description.clone()))
        .opt_id("subscription_id", origins().map(|it| it.map(|it| it.subscription.0)))
        .opt_id("template_id", origins().map(|it| it.map(|it| it.template.0)))
        .opt_int("cycle_number", origins().map(|it| it.map(|it| it.cycle)))
        .int("ends_with_cycle", all.iter().map(|it| i64::from(it.ends_with_cycle())))
        .opt_int("notice_at", all.iter().map(|it| it.first_notice().map(Timestamp::micros)))
        .execute(
            op.tx(),
            "INSERT INTO block (id, tenant_id, customer_id, source, billing, priority, credits, remaining, granted_at,
                expires_at, metrics, state, description, subscription_id, template_id, cycle_number, ends_with_cycle, notice_at)
             SELECT id, tenant_id, customer_id, source, billing, priority, credits, remaining, granted_at,
                expires_at, metrics, state, description, subscription_id, template_id, cycle_number, ends_with_cycle, notice_at
             FROM {rows} AS v",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// Moves the expiry of blocks, at the instant that decides, and with it when their customers are told of it. One statement for any number.
pub(crate) async fn move_expiry(op: &Op, all: &[(BlockId, Timestamp)]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let notice =
        |(_, end): &(BlockId, Timestamp)| expiring::next_notice(op.present(), *end).map(Timestamp::micros);
    Rows::default()
        .id("id", all.iter().map(|(id, _)| id.0))
        .int("expires_at", all.iter().map(|(_, end)| end.micros()))
        .opt_int("notice_at", all.iter().map(notice))
        .execute(
            op.tx(),
            "UPDATE block SET expires_at = v.expires_at,
                notice_at = CASE WHEN ends_with_cycle = 0 THEN v.notice_at END
             FROM {rows} AS v WHERE block.id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// The blocks that subscriptions granted and that have not ended: those that end with a cycle, and those granted since an instant,
/// by subscription. One statement.
pub(crate) async fn plan_blocks(
    db: &impl ConnectionTrait,
    subscriptions: &[(SubscriptionId, Timestamp)],
) -> Result<HashMap<SubscriptionId, Vec<PlanBlock>>> {
    let rows = Rows::default()
        .id("id", subscriptions.iter().map(|(id, _)| id.0))
        .int("since", subscriptions.iter().map(|(_, since)| since.micros()))
        .select::<block::Entity>(
            db,
            "SELECT b.* FROM {rows} AS v JOIN block b ON b.subscription_id = v.id
             WHERE b.state = 'ACTIVE' AND (b.ends_with_cycle = 1 OR b.granted_at >= v.since) ORDER BY b.id",
        )
        .await?;
    let mut blocks: HashMap<SubscriptionId, Vec<PlanBlock>> = HashMap::new();
    for row in &rows {
        if let Some((subscription, block)) = row.of_plan()? {
            blocks.entry(subscription).or_default().push(block);
        }
    }
    Ok(blocks)
}

/// The blocks of many customers that hold credits, and others by id. One statement, two when there are others.
pub(crate) async fn blocks_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    others: &BTreeSet<BlockId>,
) -> Result<HashMap<CustomerId, Vec<Block>>> {
    let mut rows: Vec<block::Model> = Rows::of(customers)
        .select::<block::Entity>(
            db,
            "SELECT b.* FROM {rows} AS v JOIN block b ON b.customer_id = v.id WHERE b.remaining > 0",
        )
        .await?;
    if !others.is_empty() {
        let spent = Rows::default()
            .id("id", others.iter().map(|block| block.0))
            .select::<block::Entity>(
                db,
                "SELECT b.* FROM {rows} AS v JOIN block b ON b.id = v.id WHERE b.remaining = 0",
            );
        rows.extend(spent.await?);
    }
    let mut blocks: HashMap<CustomerId, Vec<Block>> = HashMap::new();
    for row in rows {
        blocks
            .entry(CustomerId(row.customer_id))
            .or_default()
            .push(Block::try_from(&row)?);
    }
    Ok(blocks)
}

/// What blocks have repaid that were granted after an instant of each customer. One statement, none for no customers.
pub(super) async fn repaid_after(
    db: &impl ConnectionTrait,
    after: &[(CustomerId, Timestamp)],
) -> Result<HashMap<CustomerId, Vec<Repaid>>> {
    let mut repaid: HashMap<CustomerId, Vec<Repaid>> = HashMap::new();
    if after.is_empty() {
        return Ok(repaid);
    }
    let rows = Rows::default()
        .id("id", after.iter().map(|(customer, _)| customer.0))
        .int("after", after.iter().map(|(_, at)| at.micros()))
        .query(
            db,
            "SELECT b.customer_id, b.granted_at, CAST(SUM(-e.overdraft_change) AS bigint) AS credits
             FROM {rows} AS v
             JOIN block b ON b.customer_id = v.id AND b.granted_at > v.after
             JOIN ledger_entry e ON e.customer_id = v.id AND e.block_id = b.id AND e.kind = 'REPAYMENT'
             GROUP BY b.customer_id, b.granted_at",
            Vec::new(),
        )
        .await?;
    for row in &rows {
        let one = Repaid {
            granted_at: Timestamp::from_micros(row.try_get("", "granted_at")?),
            credits: Credits::from_raw(row.try_get("", "credits")?),
        };
        repaid
            .entry(CustomerId(row.try_get("", "customer_id")?))
            .or_default()
            .push(one);
    }
    Ok(repaid)
}

/// The blocks of one customer that hold credits.
pub(super) async fn open_blocks(db: &impl ConnectionTrait, customer: CustomerId) -> Result<Vec<Block>> {
    Ok(blocks_in(db, &[customer], &BTreeSet::new())
        .await?
        .remove(&customer)
        .unwrap_or_default())
}

pub(super) async fn owner(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: BlockId,
) -> Result<Option<CustomerId>> {
    let row = block::Entity::find_by_id(id.0)
        .filter(reach.condition(block::Column::TenantId, block::Column::CustomerId))
        .one(db)
        .await?;
    Ok(row.map(|row| CustomerId(row.customer_id)))
}

pub(super) async fn get_block(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: BlockId,
) -> Result<Option<BlockView>> {
    let row = block::Entity::find_by_id(id.0)
        .filter(reach.condition(block::Column::TenantId, block::Column::CustomerId))
        .one(db)
        .await?;
    Ok(views(db, reach.tenant(), row.into_iter().collect()).await?.pop())
}

pub(super) async fn blocks_in_order(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Vec<BlockView>> {
    let rows = block::Entity::find()
        .filter(reach.condition(block::Column::TenantId, block::Column::CustomerId))
        .filter(block::Column::CustomerId.eq(customer.0))
        .order_by_desc(Expr::col(block::Column::Remaining).gt(0))
        .order_by_desc(block::Column::Id)
        .limit(MAX_BLOCKS)
        .all(db)
        .await?;
    let mut blocks = views(db, reach.tenant(), rows).await?;
    blocks.sort_by_cached_key(|view| {
        let usable = view.block.is_open_at(now) && view.block.remaining.is_positive();
        (!usable, rank(&view.block))
    });
    Ok(blocks)
}

/// Blocks together with the keys of their metrics.
async fn views(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    rows: Vec<block::Model>,
) -> Result<Vec<BlockView>> {
    let blocks = rows
        .iter()
        .map(Block::try_from)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let mut ids: Vec<MetricId> = blocks
        .iter()
        .filter_map(|block| block.metrics.clone())
        .flatten()
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let keys = if ids.is_empty() {
        Default::default()
    } else {
        catalog::metric_keys_in(db, tenant, &ids).await?
    };
    let named = |(row, block): (block::Model, Block)| {
        let metrics = block.metrics.as_ref();
        let metric_keys = metrics.map(|ids| ids.iter().filter_map(|id| keys.get(id).cloned()).collect());
        BlockView {
            block,
            metric_keys,
            description: row.description,
        }
    };
    Ok(rows.into_iter().zip(blocks).map(named).collect())
}

/// Customers with usage accepted before the expiry of a block that is due, and the latest such expiry.
pub(super) async fn usage_before_expiry(
    db: &impl ConnectionTrait,
    due: Timestamp,
    whose: Ending<'_>,
    limit: u64,
) -> Result<Vec<(CustomerId, Timestamp)>> {
    let rows: Vec<(Uuid, i64)> = block::Entity::find()
        .select_only()
        .column(block::Column::CustomerId)
        .column_as(block::Column::ExpiresAt.max(), "last")
        .filter(due_condition(db, due, whose))
        .filter(Expr::cust(USAGE_BEFORE))
        .group_by(block::Column::CustomerId)
        .order_by_asc(block::Column::CustomerId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(customer, last)| (CustomerId(customer), Timestamp::from_micros(last)))
        .collect())
}

/// Customers with blocks that are due to end and have no usage before them.
pub(super) async fn with_expired(
    db: &impl ConnectionTrait,
    due: Timestamp,
    whose: Ending<'_>,
    limit: u64,
) -> Result<Vec<(CustomerId, TenantId)>> {
    let rows: Vec<(Uuid, Uuid)> = block::Entity::find()
        .select_only()
        .columns([block::Column::CustomerId, block::Column::TenantId])
        .distinct()
        .filter(due_condition(db, due, whose))
        .filter(Expr::cust(USAGE_BEFORE).not())
        .order_by_asc(block::Column::CustomerId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(customer, tenant)| (CustomerId(customer), TenantId(tenant)))
        .collect())
}

/// The blocks of customers that are due to end and have no usage before them.
pub(super) async fn expired(
    db: &impl ConnectionTrait,
    due: Timestamp,
    customers: &[CustomerId],
) -> Result<Vec<(CustomerId, Block)>> {
    let rows = block::Entity::find()
        .filter(due_condition(db, due, Ending::These(customers)))
        .filter(Expr::cust(USAGE_BEFORE).not())
        .order_by_asc(block::Column::CustomerId)
        .order_by_asc(block::Column::Id)
        .all(db)
        .await?;
    rows.iter()
        .map(|row| Ok((CustomerId(row.customer_id), Block::try_from(row)?)))
        .collect()
}

pub(super) async fn any_expired(
    db: &impl ConnectionTrait,
    due: Timestamp,
    whose: Ending<'_>,
) -> Result<bool> {
    let first = block::Entity::find()
        .select_only()
        .column(block::Column::Id)
        .filter(due_condition(db, due, whose))
        .limit(1)
        .into_tuple::<Uuid>()
        .one(db)
        .await?;
    Ok(first.is_some())
}

/// Whether usage accepted before a block's expiry is still to be debited.
const USAGE_BEFORE: &str = "EXISTS (SELECT 1 FROM usage_pending p
    WHERE p.customer_id = block.customer_id AND p.received_at < block.expires_at)";

/// Whose blocks are to end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending<'a> {
    /// Those of everybody who lives by the clock on the wall, but for some.
    ByTheWall {
        /// Customers that wait for a person.
        aside: &'a [CustomerId],
    },
    /// Those of these customers.
    These(&'a [CustomerId]),
}

/// Whether the block's customer lives by the clock on the wall.
const BY_THE_WALL: &str = "NOT EXISTS (SELECT 1 FROM account a
    WHERE a.customer_id = block.customer_id AND a.clock_id IS NOT NULL)";

/// Whether a step of a subscription is to be taken first: it finds the books as they were at its instant, ends by itself what has run out
/// before, and what ends with the cycle.
const AFTER_A_STEP: &str = "EXISTS (SELECT 1 FROM account a
    WHERE a.customer_id = block.customer_id AND a.barrier_at <= block.expires_at)";

fn due_condition(db: &impl ConnectionTrait, due: Timestamp, whose: Ending<'_>) -> Condition {
    let all = Condition::all()
        .add(block::Column::State.eq(to_text(BlockState::Active)))
        .add(block::Column::ExpiresAt.lte(due.micros()))
        .add(Expr::cust(AFTER_A_STEP).not());
    let ids = |customers: &[CustomerId]| customers.iter().map(|customer| customer.0).collect::<Vec<_>>();
    match whose {
        Ending::ByTheWall { aside } => all
            .add(Expr::cust(BY_THE_WALL))
            .add(among(db, block::Column::CustomerId, ids(aside)).not()),
        Ending::These(customers) => all.add(among(db, block::Column::CustomerId, ids(customers))),
    }
}

/// When the first block of some customers runs out by itself, without a step of a subscription. One statement.
pub(super) async fn next_expiry(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<Option<Timestamp>> {
    let first: Option<Option<i64>> = block::Entity::find()
        .select_only()
        .column_as(block::Column::ExpiresAt.min(), "first")
        .filter(block::Column::State.eq(to_text(BlockState::Active)))
        .filter(Expr::cust(AFTER_A_STEP).not())
        .filter(among(
            db,
            block::Column::CustomerId,
            customers.iter().map(|customer| customer.0),
        ))
        .into_tuple()
        .one(db)
        .await?;
    Ok(first.flatten().map(Timestamp::from_micros))
}

/// All credits that were put into a customer's blocks, but for budgets and for blocks that were taken back. One statement.
pub(super) async fn granted(db: &impl ConnectionTrait, customer: CustomerId) -> Result<Credits> {
    let sql = "SELECT CAST(COALESCE(SUM(b.credits), 0) AS bigint) AS granted FROM block b
         WHERE b.customer_id = $1 AND b.billing <> $2 AND b.state <> $3";
    let values = vec![
        customer.0.into(),
        to_text(Billing::Budget).into(),
        to_text(BlockState::Revoked).into(),
    ];
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    let granted = row.map(|row| row.try_get("", "granted")).transpose()?;
    Ok(Credits::from_raw(granted.unwrap_or_default()))
}

/// How many of a customer's events wait, counted up to [`MAX_PENDING_COUNT`].
pub(super) async fn pending_count(db: &impl ConnectionTrait, customer: CustomerId) -> Result<i64> {
    let counts = pending_counts(db, &[customer]).await?;
    Ok(counts.get(&customer.0).copied().unwrap_or(0))
}

pub(super) async fn balances(
    db: &impl ConnectionTrait,
    reach: Reach,
    customers: &[CustomerId],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Balance>> {
    // Before the accounts: who reads that nothing is pending must read totals that contain what was.
    let pending = pending_counts(db, customers).await?;
    let ids = || customers.iter().map(|customer| customer.0);
    let rows = customer::Entity::find()
        .filter(reach.condition(customer::Column::TenantId, customer::Column::Id))
        .filter(among(db, customer::Column::Id, ids()))
        .all(db)
        .await?;
    let accounts = account::Entity::find()
        .filter(among(db, account::Column::CustomerId, ids()))
        .all(db)
        .await?;
    let held = hold::held_in(db, &accounts, now).await?;
    let budgets = spend::left_in(db, &accounts, &held, now).await?;
    let accounts: HashMap<Uuid, Account> = accounts
        .iter()
        .map(|row| (row.customer_id, Account::from(row)))
        .collect();
    rows.iter()
        .filter_map(|row| accounts.get(&row.id).map(|account| (row, account)))
        .map(|(row, account)| {
            let id = CustomerId(row.id);
            let count = pending.get(&row.id).copied().unwrap_or(0);
            let bounds = Bounds {
                terms: Terms::try_from(row)?,
                held: held.get(&id).copied().unwrap_or_default(),
                budget: budgets.get(&id).copied(),
            };
            Ok((id, Balance::new(account, account.head, &bounds, count, now)))
        })
        .collect()
}

async fn pending_counts(db: &impl ConnectionTrait, customers: &[CustomerId]) -> Result<HashMap<Uuid, i64>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT v.id AS id, (SELECT COUNT(*) FROM (
                SELECT 1 FROM usage_pending p WHERE p.customer_id = v.id LIMIT $1) AS waiting) AS pending
             FROM {rows} AS v",
            vec![MAX_PENDING_COUNT.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "pending")?)))
        .collect()
}

/// The present totals and terms of one customer, with the number of its latest change.
/// An account as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) account: Account,
    pub(crate) terms: Terms,
    /// What the subscriptions have to say about checks.
    pub(crate) admission: Admission,
    /// The first instant from which usage has to wait for a subscription; `None`: there never was one.
    pub(crate) barrier: Option<Timestamp>,
    /// What the test clock shows that the customer lives by; `None`: it lives by the clock on the wall.
    pub(crate) clock: Option<Timestamp>,
    /// How many holds are open, or were when a worker looked last.
    pub(crate) holds: i32,
    /// Whether what it spends is counted against limits of the customer's own.
    pub(crate) spend_managed: bool,
    /// Grows with every change.
    pub(crate) revision: i64,
}

/// The accounts and terms of many customers. One statement.
pub(crate) async fn present_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Present>> {
    let rows = Rows::of(customers)
        .query(
            db,
            &format!(
                "SELECT a.customer_id, a.sequence, a.blocks, a.overdraft, a.head, a.revision, a.barrier_at, a.admission,
                    a.holds, a.spend_managed, {TERMS},
                    (SELECT t.now_at FROM test_clock t WHERE t.id = a.clock_id) AS clock_now
                 FROM {{rows}} AS v JOIN account a ON a.customer_id = v.id JOIN customer c ON c.id = v.id"
            ),
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let text = |column| -> Result<String> { Ok(row.try_get("", column)?) };
            let present = Present {
                account: Account {
                    sequence: row.try_get("", "sequence")?,
                    blocks: Credits::from_raw(row.try_get("", "blocks")?),
                    overdraft: Credits::from_raw(row.try_get("", "overdraft")?),
                    head: EntryHash::from_bytes(&row.try_get::<Vec<u8>>("", "head")?).unwrap_or_default(),
                    // For whoever reads only.
                    watched_balance: None,
                    low_balance: None,
                },
                terms: terms_of(row)?,
                admission: from_text("account", &text("admission")?)?,
                barrier: row
                    .try_get::<Option<i64>>("", "barrier_at")?
                    .map(Timestamp::from_micros),
                clock: row
                    .try_get::<Option<i64>>("", "clock_now")?
                    .map(Timestamp::from_micros),
                holds: row.try_get("", "holds")?,
                spend_managed: row.try_get::<i32>("", "spend_managed")? != 0,
                revision: row.try_get("", "revision")?,
            };
            Ok((CustomerId(row.try_get("", "customer_id")?), present))
        })
        .collect()
}

/// The numbers of the accounts' last changes. One statement.
pub(crate) async fn revisions(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, i64>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT a.customer_id, a.revision FROM {rows} AS v JOIN account a ON a.customer_id = v.id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                CustomerId(row.try_get("", "customer_id")?),
                row.try_get("", "revision")?,
            ))
        })
        .collect()
}

/// The present totals of customers, each with what bounds them and the number of its latest change. One statement per tenant, three where any
/// has limits of its own.
pub(super) async fn presents(
    db: &impl ConnectionTrait,
    customers: &[Whose],
    now: Timestamp,
) -> Result<HashMap<Whose, (Account, Bounds, i64)>> {
    let mut by_tenant: HashMap<TenantId, Vec<Uuid>> = HashMap::new();
    for (tenant, customer) in customers {
        by_tenant.entry(*tenant).or_default().push(customer.0);
    }
    let mut found = HashMap::new();
    for (tenant, ids) in by_tenant {
        // One statement, so that totals and terms are of the same moment.
        let account = customer::Entity::belongs_to(account::Entity)
            .from(customer::Column::Id)
            .to(account::Column::CustomerId)
            .into();
        let rows = customer::Entity::find()
            .filter(customer::Column::TenantId.eq(tenant.0))
            .filter(among(db, customer::Column::Id, ids))
            .join(JoinType::InnerJoin, account)
            .select_also(account::Entity)
            .all(db)
            .await?;
        let (customers, accounts): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .filter_map(|(customer, account)| Some((customer, account?)))
            .unzip();
        let held: HashMap<CustomerId, Credits> = accounts
            .iter()
            .map(|row| (CustomerId(row.customer_id), Credits::from_raw(row.held)))
            .collect();
        let budgets = spend::left_in(db, &accounts, &held, now).await?;
        for (customer, account) in customers.iter().zip(&accounts) {
            let id = CustomerId(customer.id);
            let bounds = Bounds {
                terms: Terms::try_from(customer)?,
                held: held.get(&id).copied().unwrap_or_default(),
                budget: budgets.get(&id).copied(),
            };
            found.insert((tenant, id), (Account::from(account), bounds, account.revision));
        }
    }
    Ok(found)
}

/// Ledger lines after a number up to another one, oldest first, for any number of customers. One statement.
pub(super) async fn lines_between(
    db: &impl ConnectionTrait,
    wanted: &[(Whose, i64, i64)],
) -> Result<Vec<(Whose, Line)>> {
    let rows = Rows::default()
        .id("tenant", wanted.iter().map(|((tenant, _), ..)| tenant.0))
        .id("customer", wanted.iter().map(|((_, customer), ..)| customer.0))
        .int("sent", wanted.iter().map(|(_, sent, _)| *sent))
        .int("last", wanted.iter().map(|(.., last)| *last))
        .query(
            db,
            "SELECT e.tenant_id, e.customer_id, e.sequence, e.balance_after, e.overdraft_after
             FROM {rows} AS v CROSS JOIN ledger_entry e
             WHERE e.tenant_id = v.tenant AND e.customer_id = v.customer AND e.sequence > v.sent AND e.sequence <= v.last
             ORDER BY e.customer_id, e.sequence",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let tenant = TenantId(row.try_get("", "tenant_id")?);
            let customer = CustomerId(row.try_get("", "customer_id")?);
            let line = Line {
                sequence: row.try_get("", "sequence")?,
                balance: Credits::from_raw(row.try_get("", "balance_after")?),
                overdraft: Credits::from_raw(row.try_get("", "overdraft_after")?),
            };
            Ok(((tenant, customer), line))
        })
        .collect()
}

pub(super) async fn ledger(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    page: Page<i64>,
) -> Result<Slice<LedgerLine>> {
    let all = ledger_entry::Entity::find()
        .filter(reach.condition(ledger_entry::Column::TenantId, ledger_entry::Column::CustomerId))
        .filter(ledger_entry::Column::CustomerId.eq(customer.0));
    let mut newest_first = ordered(all, ledger_entry::Column::Sequence);
    newest_first.desc();
    page.read(newest_first, db).await?.try_map(line)
}

pub(super) async fn entry(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: EntryId,
) -> Result<Option<LedgerLine>> {
    ledger_entry::Entity::find_by_id((id.customer.0, id.sequence))
        .filter(reach.condition(ledger_entry::Column::TenantId, ledger_entry::Column::CustomerId))
        .one(db)
        .await?
        .map(line)
        .transpose()
}

fn line(row: ledger_entry::Model) -> Result<LedgerLine> {
    let position = |units: Option<i64>, events: Option<i64>| Position {
        units: Quantity::from_raw(units.unwrap_or(0)),
        events: events.unwrap_or(0),
    };
    let usage = match (row.metric_id, row.period_start, row.first_event, row.last_event) {
        (Some(metric), Some(period_start), Some(first), Some(last)) => Some(UsageCause {
            metric: MetricId(metric),
            rule: row.rule_id.map(MeteringRuleId),
            period_start: Timestamp::from_micros(period_start),
            from: position(row.from_units, row.from_events),
            to: position(row.to_units, row.to_events),
            first_event: EventId(first),
            last_event: EventId(last),
            events: row.event_count.unwrap_or(0),
        }),
        _ => None,
    };
    Ok(LedgerLine {
        id: EntryId {
            customer: CustomerId(row.customer_id),
            sequence: row.sequence,
        }
        .to_string(),
        sequence: row.sequence,
        kind: from_text("ledger_entry", &row.kind)?,
        credits: Credits::from_raw(row.credits),
        overdraft_change: Credits::from_raw(row.overdraft_change),
        balance_after: Credits::from_raw(row.balance_after),
        overdraft_after: Credits::from_raw(row.overdraft_after),
        block: row.block_id.map(BlockId),
        usage,
        hash: EntryHash::from_bytes(&row.hash).unwrap_or_default(),
        description: row.description,
        created_at: Timestamp::from_micros(row.created_at),
    })
}

/// The condition of the indexes on write-offs, in their own words.
const IS_WRITE_OFF: &str = "kind = 'WRITE_OFF'";

/// What was written off of a tenant's customers in a stretch of time. One statement.
pub(super) async fn written_off_between(
    db: &impl ConnectionTrait,
    reach: Reach,
    period: Period,
) -> Result<WrittenOff> {
    let found = write_offs_between(reach, period)
        .select_only()
        .column_as(ledger_entry::Column::Credits.sum().cast_as("bigint"), "credits")
        .column_as(
            Expr::col(ledger_entry::Column::CustomerId).count_distinct(),
            "customers",
        )
        .into_tuple::<(Option<i64>, i64)>()
        .one(db)
        .await?;
    let (credits, customers) = found.unwrap_or_default();
    Ok(WrittenOff {
        credits: Credits::from_raw(credits.unwrap_or(0)),
        customers,
    })
}

/// The write-offs of a tenant's customers in a stretch of time, newest first. One statement.
pub(super) async fn write_offs(
    db: &impl ConnectionTrait,
    reach: Reach,
    period: Period,
    page: Page<WriteOffKey>,
) -> Result<Slice<WriteOff>> {
    let by = (
        ledger_entry::Column::CreatedAt,
        ledger_entry::Column::CustomerId,
        ledger_entry::Column::Sequence,
    );
    let mut newest_first = ordered(write_offs_between(reach, period), by);
    newest_first.desc();
    let page = page.map(|(at, id)| (at, id.customer.0, id.sequence));
    page.read(newest_first, db).await?.try_map(|row| {
        let customer = CustomerId(row.customer_id);
        Ok(WriteOff {
            customer,
            line: line(row)?,
        })
    })
}

fn write_offs_between(reach: Reach, period: Period) -> Select<ledger_entry::Entity> {
    ledger_entry::Entity::find()
        .filter(reach.condition(ledger_entry::Column::TenantId, ledger_entry::Column::CustomerId))
        .filter(Expr::cust(IS_WRITE_OFF))
        .filter(ledger_entry::Column::CreatedAt.gte(period.start.micros()))
        .filter(ledger_entry::Column::CreatedAt.lt(period.end.micros()))
}

/// What was ever written off of customers. One statement.
pub(super) async fn written_off_of(
    db: &impl ConnectionTrait,
    reach: Reach,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Credits>> {
    let rows: Vec<(Uuid, i64)> = ledger_entry::Entity::find()
        .select_only()
        .column(ledger_entry::Column::CustomerId)
        .column_as(ledger_entry::Column::Credits.sum().cast_as("bigint"), "credits")
        .filter(reach.condition(ledger_entry::Column::TenantId, ledger_entry::Column::CustomerId))
        .filter(among(
            db,
            ledger_entry::Column::CustomerId,
            customers.iter().map(|customer| customer.0),
        ))
        .filter(Expr::cust(IS_WRITE_OFF))
        .group_by(ledger_entry::Column::CustomerId)
        .into_tuple()
        .all(db)
        .await?;
    let sum = |(customer, credits)| (CustomerId(customer), Credits::from_raw(credits));
    Ok(rows.into_iter().map(sum).collect())
}
