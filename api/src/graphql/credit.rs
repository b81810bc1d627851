//! Credits: balances, blocks, the ledger, and what changes them.

use app::{
    Actor, App,
    credit::{self, Expiry, live},
    error::Result,
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription};
use domain::{
    credit::block::{Billing, BlockState, Source},
    id::{CustomerId, EntryId},
    ledger::EntryKind,
    rejection::Rejection,
};
use futures::{Stream, StreamExt};

use super::{
    caller,
    catalog::MeteringRule,
    customer::customer_ref,
    error::top_level,
    payload::payload,
    scalar::{DateTime, Decimal, SafeInt},
    usage::UsageEvent,
};

/// What a customer has.
#[derive(SimpleObject)]
pub struct Balance {
    /// Sum of the blocks minus overdraft, in credits; may be negative.
    pub remaining: Decimal,
    /// Credits used that no block could cover; zero or more.
    pub overdraft: Decimal,
    /// Credits that open reservations have set aside for work that is still running, as priced when each was made; `entitlement`
    /// prices them anew.
    pub held: Decimal,
    /// Credits left to spend: remaining plus the overage line minus held, and no more than the customer's own budgets leave; never below
    /// zero; null: no limit. Blocks restricted to some metrics count in full, and expired ones until they are ended, seconds later; `entitlement` knows better.
    pub available: Option<Decimal>,
    /// Accepted events that are not yet debited, counted up to 100,000.
    pub pending_events: i32,
    /// When this was so.
    pub as_of: DateTime,
    /// Number of the last ledger entry; 0 before the first.
    pub sequence: SafeInt,
    /// Hash of the last ledger entry, 64 hexadecimal digits; all zeros before the first. It stands for the whole ledger up to it:
    /// who keeps it elsewhere can tell later whether an entry was changed, removed or put in between.
    pub ledger_hash: String,
}

impl From<credit::Balance> for Balance {
    fn from(balance: credit::Balance) -> Self {
        Self {
            remaining: balance.remaining.into(),
            overdraft: balance.overdraft.into(),
            held: balance.held.into(),
            available: balance.available.map(Decimal::from),
            pending_events: i32::try_from(balance.pending_events).unwrap_or(i32::MAX),
            as_of: balance.as_of.into(),
            sequence: SafeInt(balance.sequence),
            ledger_hash: balance.head.to_string(),
        }
    }
}

/// A customer's credits at a glance.
#[derive(SimpleObject)]
pub struct CreditOverview {
    /// All credits that were bought or granted, whatever has become of them. Budgets and what was taken back do not count.
    pub granted: Decimal,
    /// Credits that debited usage of the present period cost.
    pub used_this_period: Decimal,
    /// First instant of that period: the cycle of the oldest subscription, or the calendar month of UTC.
    pub period_start: DateTime,
    /// First instant after it.
    pub period_end: DateTime,
}

/// A customer's credits at a glance.
pub(super) async fn credit_overview(
    ctx: &Context<'_>,
    customer: CustomerId,
) -> async_graphql::Result<CreditOverview> {
    let (app, actor) = caller(ctx)?;
    let it = credit::overview(app, actor, customer).await.map_err(top_level)?;
    Ok(CreditOverview {
        granted: it.granted.into(),
        used_this_period: it.used.into(),
        period_start: it.period.start.into(),
        period_end: it.period.end.into(),
    })
}

/// Where the credits of a block come from. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum BlockSource {
    /// A plan's recurring grant.
    PlanGrant,
    /// Included with a plan once.
    Included,
    /// Bought.
    Purchase,
    /// A bonus on a purchase or grant.
    Bonus,
    /// Given away.
    Promotion,
    /// A trial.
    Trial,
    /// Carried over from a cycle.
    Rollover,
    /// Put right by hand.
    Adjustment,
}

/// How the use of a block is billed.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Billing")]
pub enum BlockBilling {
    /// Not at all.
    Free,
    /// Paid already.
    Prepaid,
    /// A ceiling: what is drawn from it goes on the invoice.
    Budget,
}

/// What has become of a block.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "BlockState", name = "BlockState")]
pub enum BlockStatus {
    /// It can be used while credits remain and it has not expired.
    Active,
    /// It reached its expiry; what was left is gone.
    Expired,
    /// It was taken back; what was left is gone.
    Revoked,
}

/// A deposit of credits with its own terms.
#[derive(SimpleObject)]
pub struct CreditBlock {
    /// Global id.
    pub id: ID,
    /// Where the credits come from.
    pub source: BlockSource,
    /// How their use is billed.
    pub billing: BlockBilling,
    /// Higher burns first.
    pub priority: i32,
    /// Credits deposited.
    pub credits: Decimal,
    /// Credits left.
    pub remaining: Decimal,
    /// First instant at which it may pay.
    pub granted_at: DateTime,
    /// First instant at which it may pay no longer; null: it does not expire.
    pub expires_at: Option<DateTime>,
    /// Keys of the metrics it may pay for; null: all.
    pub metric_keys: Option<Vec<String>>,
    /// What has become of it.
    pub state: BlockStatus,
    /// A line for people.
    pub description: Option<String>,
}

impl From<credit::BlockView> for CreditBlock {
    fn from(view: credit::BlockView) -> Self {
        let block = view.block;
        Self {
            id: block.id.to_string().into(),
            source: block.source.into(),
            billing: block.billing.into(),
            priority: block.priority,
            credits: block.credits.into(),
            remaining: block.remaining.into(),
            granted_at: block.granted_at.into(),
            expires_at: block.expires_at.map(DateTime),
            metric_keys: view.metric_keys,
            state: block.state.into(),
            description: view.description,
        }
    }
}

/// What kind of event moved the credits. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "EntryKind")]
pub enum LedgerEntryKind {
    /// Credits were granted.
    Grant,
    /// Usage was debited. Positive where a volume price made past usage cheaper.
    Debit,
    /// Usage was taken back.
    Void,
    /// Credits were put right by hand.
    Adjustment,
    /// Unused credits expired.
    Expiry,
    /// A block was taken back.
    Revocation,
    /// A block repaid overdraft; the balance stays.
    Repayment,
    /// The plan changed: credits of the time that was left went back.
    Proration,
    /// An invoice bills overdraft, which is no longer owed in credits.
    Settlement,
    /// Money of a payment went back, and its credits with it; or the money has come again.
    Reversal,
    /// Usage beyond the bound of the overdraft was written off: the vendor takes it upon itself. Negative where such usage was taken back or
    /// has become cheaper.
    WriteOff,
}

/// One line of a customer's ledger. Never changed.
#[derive(SimpleObject)]
pub struct LedgerEntry {
    /// Global id.
    pub id: ID,
    /// Number of the line, from 1 without gaps.
    pub sequence: SafeInt,
    /// What kind of event moved the credits.
    pub kind: LedgerEntryKind,
    /// Change of the balance, in credits: negative for a debit.
    pub credits: Decimal,
    /// Change of the overdraft, in credits.
    pub overdraft_change: Decimal,
    /// Balance after it, in credits; may be negative.
    pub balance_after: Decimal,
    /// Overdraft after it, in credits.
    pub overdraft_after: Decimal,
    /// Global id of the block it touches; null: overdraft only.
    pub block_id: Option<ID>,
    /// A line for people.
    pub description: String,
    /// When it was written.
    pub created_at: DateTime,
    /// SHA-256 over the line and the hash of the line before it, 64 hexadecimal digits.
    pub hash: String,
}

impl From<credit::LedgerLine> for LedgerEntry {
    fn from(line: credit::LedgerLine) -> Self {
        Self {
            id: line.id.into(),
            sequence: SafeInt(line.sequence),
            kind: line.kind.into(),
            credits: line.credits.into(),
            overdraft_change: line.overdraft_change.into(),
            balance_after: line.balance_after.into(),
            overdraft_after: line.overdraft_after.into(),
            block_id: line.block.map(|block| block.to_string().into()),
            description: line.description,
            created_at: line.created_at.into(),
            hash: line.hash.to_string(),
        }
    }
}

/// Where the count of a cycle stood before and after a debit; with the price version, enough to compute it again.
#[derive(SimpleObject)]
pub struct TierPosition {
    /// First instant of the cycle.
    pub period_start: DateTime,
    /// Units counted before the first event.
    pub from_units: Decimal,
    /// Units counted after the last event.
    pub to_units: Decimal,
    /// Events of the batch.
    pub event_count: SafeInt,
}

/// Everything behind one line of a ledger.
#[derive(SimpleObject)]
pub struct EntryExplanation {
    /// The line.
    pub entry: LedgerEntry,
    /// The block it touches; null: overdraft only.
    pub block: Option<CreditBlock>,
    /// The version that priced the usage; null: it was no usage, or free of charge.
    pub metering_rule: Option<MeteringRule>,
    /// Where the count stood; null: it was no usage.
    pub position: Option<TierPosition>,
    /// The first 100 events of the batch, in order, each with its own cost and where that was drawn from.
    pub events: Vec<UsageEvent>,
}

/// Reads of credits.
#[derive(Default)]
pub struct CreditQuery;

#[Object]
impl CreditQuery {
    /// Why a line of a ledger is there: the block, the price version, the position in the tiers and the events. Null when there is
    /// no such line. Needs `credit:read`, `usage:read` and `catalog:read`.
    async fn explain_entry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the ledger entry.")] id: ID,
    ) -> async_graphql::Result<Option<EntryExplanation>> {
        let (app, actor) = caller(ctx)?;
        let Ok(id) = id.parse::<EntryId>() else {
            return Ok(None);
        };
        let Some(found) = credit::explain(app, actor, id).await.map_err(top_level)? else {
            return Ok(None);
        };
        let position = found.line.usage.as_ref().map(|usage| TierPosition {
            period_start: usage.period_start.into(),
            from_units: usage.from.units.into(),
            to_units: usage.to.units.into(),
            event_count: SafeInt(usage.events),
        });
        Ok(Some(EntryExplanation {
            entry: found.line.into(),
            block: found.block.map(CreditBlock::from),
            metering_rule: found.rule.map(MeteringRule::from),
            position,
            events: found.events.into_iter().map(UsageEvent::from).collect(),
        }))
    }
}

/// Credits to grant.
#[derive(InputObject)]
pub struct GrantCreditsInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// How many; more than zero.
    pub credits: Decimal,
    /// Where they come from.
    pub source: BlockSource,
    /// How their use is billed; by default `PREPAID` for purchases and `FREE` otherwise.
    pub billing: Option<BlockBilling>,
    /// Higher burns first; 0 by default.
    pub priority: Option<i32>,
    /// First instant at which they may pay no longer; null or left out: they do not expire.
    pub expires_at: Option<DateTime>,
    /// Instead of `expiresAt`: this many seconds after the grant.
    pub expires_after_seconds: Option<SafeInt>,
    /// Keys of the metrics they may pay for; left out: all.
    pub metric_keys: Option<Vec<String>>,
    /// A line for people, at most 200 bytes.
    pub description: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl GrantCreditsInput {
    fn command(self) -> Result<credit::Grant> {
        let expiry = match (self.expires_at, self.expires_after_seconds) {
            (None, None) => Expiry::Never,
            (Some(at), None) => Expiry::At(at.0),
            (None, Some(seconds)) => Expiry::AfterSeconds(seconds.0),
            (Some(_), Some(_)) => {
                let message = "use either `expiresAt` or `expiresAfterSeconds`";
                return Err(Rejection::invalid("expiresAfterSeconds", message).into());
            }
        };
        Ok(credit::Grant {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            credits: self.credits.credits("credits")?,
            source: self.source.into(),
            billing: self.billing.map(Billing::from),
            priority: self.priority,
            expiry,
            metric_keys: self.metric_keys,
            description: self.description,
        })
    }
}

payload! {
    /// Result of `grantCredits`.
    GrantCreditsPayload {
        /// The new block; null when it was refused. What repaid an overdraft has left it already.
        block: CreditBlock
    }
}

/// A correction by hand.
#[derive(InputObject)]
pub struct AdjustCreditsInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Credits to add (positive) or to take (negative). What is added repays overdraft first.
    pub credits: Decimal,
    /// Why, for the ledger; at most 200 bytes.
    pub description: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// What an adjustment came to.
#[derive(SimpleObject)]
pub struct Adjustment {
    /// The new lines of the ledger.
    pub entries: Vec<LedgerEntry>,
    /// The balance after them.
    pub balance: Balance,
}

payload! {
    /// Result of `adjustCredits`.
    AdjustCreditsPayload {
        /// What it came to; null when it was refused.
        adjustment: Adjustment
    }
}

/// A block to take back.
#[derive(InputObject)]
pub struct RevokeBlockInput {
    /// Global id of the block.
    pub block_id: ID,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `revokeBlock`.
    RevokeBlockPayload {
        /// The block; null when it was refused.
        block: CreditBlock
    }
}

/// Writes of credits.
#[derive(Default)]
pub struct CreditMutation;

#[Object]
impl CreditMutation {
    /// Grants credits to a customer. Needs `credit:write`.
    async fn grant_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits to grant.")] input: GrantCreditsInput,
    ) -> async_graphql::Result<GrantCreditsPayload> {
        let (app, actor) = caller(ctx)?;
        let key = input.idempotency_key.clone();
        let outcome = match input.command() {
            Ok(command) => credit::grant(app, actor, command, &key).await,
            Err(error) => Err(error),
        };
        GrantCreditsPayload::from_outcome(outcome, CreditBlock::from)
    }

    /// Puts credits right by hand. Needs `credit:write`.
    async fn adjust_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The correction.")] input: AdjustCreditsInput,
    ) -> async_graphql::Result<AdjustCreditsPayload> {
        let (app, actor) = caller(ctx)?;
        let command = || -> Result<credit::Adjust> {
            Ok(credit::Adjust {
                customer: customer_ref(input.customer_id, input.external_customer_id)?,
                credits: input.credits.credits("credits")?,
                description: input.description,
            })
        };
        let outcome = match command() {
            Ok(command) => credit::adjust(app, actor, command, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        AdjustCreditsPayload::from_outcome(outcome, |adjusted| Adjustment {
            entries: adjusted.entries.into_iter().map(LedgerEntry::from).collect(),
            balance: adjusted.balance.into(),
        })
    }

    /// Takes a block back: what remains of it is gone. Usage accepted before is debited first. Needs `credit:write`.
    async fn revoke_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The block to take back.")] input: RevokeBlockInput,
    ) -> async_graphql::Result<RevokeBlockPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.block_id.parse() {
            Ok(id) => credit::revoke(app, actor, id, &input.idempotency_key).await,
            Err(_) => Err(Rejection::not_found("blockId", "block").into()),
        };
        RevokeBlockPayload::from_outcome(outcome, CreditBlock::from)
    }
}

/// The balance as it stood after one ledger entry.
#[derive(SimpleObject)]
pub struct BalanceUpdate {
    /// Number of the last ledger entry. Rises by one with each change of credits; a change of terms alone repeats it, and a
    /// reader that has fallen far behind skips to the present.
    pub sequence: SafeInt,
    /// Sum of the blocks minus overdraft, in credits; may be negative.
    pub remaining: Decimal,
    /// Credits left to spend under the present terms and budgets; null: no limit. That a budget begins anew at midnight is told with the next
    /// change.
    pub available: Option<Decimal>,
    /// Credits used that no block could cover.
    pub overdraft: Decimal,
    /// Credits set aside by open reservations at present; `available` is without them.
    pub held: Decimal,
    /// Global id of the customer.
    pub customer_id: ID,
}

impl From<live::BalanceUpdate> for BalanceUpdate {
    fn from(update: live::BalanceUpdate) -> Self {
        Self {
            sequence: SafeInt(update.sequence),
            remaining: update.remaining.into(),
            available: update.available.map(Decimal::from),
            overdraft: update.overdraft.into(),
            held: update.held.into(),
            customer_id: update.customer.to_string().into(),
        }
    }
}

/// Live credits.
#[derive(Default)]
pub struct CreditSubscription;

#[Subscription]
impl CreditSubscription {
    /// A customer's balance: first the present state, then every change with its number. With `after` it resumes: first what came
    /// after that number, or the present state when nothing did. Needs `credit:read`.
    async fn balance_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer by id.")] customer_id: Option<ID>,
        #[graphql(desc = "The customer by the vendor's own name.")] external_customer_id: Option<String>,
        #[graphql(desc = "Number of the last update seen.")] after: Option<SafeInt>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<BalanceUpdate>>> {
        let (app, actor) = caller(ctx)?;
        updates(app, actor, customer_id, external_customer_id, after).await
    }
}

/// The updates of a customer's balance: what both ways to answer a subscription tell.
///
/// # Errors
/// No such customer, or the caller may not watch it.
pub(crate) async fn updates(
    app: &App,
    actor: &Actor,
    customer_id: Option<ID>,
    external_customer_id: Option<String>,
    after: Option<SafeInt>,
) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<BalanceUpdate>> + use<>> {
    let who = customer_ref(customer_id, external_customer_id).map_err(top_level)?;
    let updates = live::watch(app, actor, &who, after.map(|after| after.0))
        .await
        .map_err(top_level)?;
    Ok(updates.map(|update| update.map(BalanceUpdate::from).map_err(top_level)))
}
