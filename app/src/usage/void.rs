//! Taking one event back, once.

use std::collections::{BTreeSet, HashMap};

use domain::{
    amount::Credits,
    credit::{
        burn::{Bound, Funds},
        draws::Draws,
    },
    customer::{Settlement, Terms},
    cycle::late::Timeline,
    id::{BlockId, CustomerId},
    ledger::{Account, Cause, EntryKind},
    metering::rule::RuleBook,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
    usage::{
        CustomerState,
        event::{EventState, PendingEvent},
        void::{self as rules, RatedUsage},
    },
};
use entity::account;
use serde::{Deserialize, Serialize};

use super::{
    drain::settle_up_to_date,
    is_waiting,
    overshoot::{self, WrittenOff},
    store,
    view::{Rating, UsageEvent},
};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    credit::{self, BlockChange, Posting},
    customer::{self, shard_of},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    job::work::{self, Duty},
    op::Op,
    spend::{self, Spent},
    subscription, test_clock,
};

/// Attempts to debit usage that was accepted before a request and still arrives.
const SETTLE_ROUNDS: usize = 5;

/// An event to take back.
#[derive(Debug, Clone, Serialize)]
pub struct VoidUsage {
    /// Idempotency key under which the event was recorded.
    pub event_key: String,
}

/// What taking an event back came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    /// Idempotency key of the event.
    pub event_key: String,
    /// Credits that the cycle costs less now.
    pub credits: Credits,
    /// Of these, credits that returned to nowhere because their block has ended.
    pub lapsed: Credits,
}

/// Takes an event back. The customer's usage accepted before is debited first, so that the end state does not depend on when a
/// worker comes round. Where that cannot be done, because the usage is parked, a pending event is taken out of the queue and
/// never debited.
///
/// # Errors
/// No such event, or one that was taken back before under another idempotency key.
pub async fn void(app: &App, actor: &Actor, input: VoidUsage, key: &str) -> Result<Once<Voided>> {
    actor.require(Scope::UsageWrite)?;
    // Asked twice: a request that was made before is answered at once, whatever has become of the customer's usage.
    let op = Op::begin(app).await?;
    if let Claim::Replay(known) = claim(&op, actor.tenant, "voidUsage", key, &input).await? {
        return Ok(known);
    }
    let seen = store::event_by_key(op.tx(), actor.reach(), &input.event_key).await?;
    op.abandon().await?;
    let customer = seen.ok_or_else(unknown)?.customer;
    // Up to and including this very microsecond: the event itself may be that fresh.
    let now = test_clock::now_of(app, customer).await?;
    let after_now = Timestamp::from_micros(now.micros() + 1);
    for _ in 0..SETTLE_ROUNDS {
        let usage = settle_first(app, customer, after_now).await?;
        let mut op = Op::begin(app).await?;
        let fresh = match claim(&op, actor.tenant, "voidUsage", key, &input).await? {
            Claim::Replay(known) => return Ok(known),
            Claim::Fresh(fresh) => fresh,
        };
        let account = op
            .lock_account(actor.tenant, customer)
            .await?
            .ok_or_else(unknown)?;
        if subscription::is_behind(&account, op.present()) {
            op.abandon().await?;
            subscription::catch_up(app, customer).await?;
            continue;
        }
        // Usage accepted before may have come in between.
        if usage == Before::Debited && is_waiting(op.tx(), customer, after_now).await? {
            op.abandon().await?;
            continue;
        }
        let voided = take(&mut op, actor, account, &input.event_key).await?;
        let done = fresh.settle(&op, voided).await?;
        op.commit().await?;
        if usage == Before::ParkedNow {
            // The event may have been what could not be debited; the workers find out.
            work::clear(app, Duty::CUSTOMER, &customer.to_string()).await?;
        }
        return Ok(done);
    }
    Err(Error::Unavailable(format!(
        "usage of {customer} is still on its way"
    )))
}

fn unknown() -> Rejection {
    Rejection::not_found("key", "usage event")
}

/// Takes the event back under the lock on its customer's account.
async fn take(op: &mut Op, actor: &Actor, account: account::Model, event_key: &str) -> Result<Voided> {
    // Read under the lock: what was seen before may have changed.
    let event = store::event_by_key(op.tx(), actor.reach(), event_key)
        .await?
        .ok_or_else(unknown)?;
    let voided = match (event.state, event.rating.clone()) {
        (EventState::Voided, _) => {
            let message = "the event was taken back before";
            return Err(Rejection::new(RejectionCode::EventAlreadyVoided, "key", message).into());
        }
        (EventState::Rated, Some(rating)) => {
            credit::check_not_frozen(&account)?;
            take_back(op, actor, account, &event, rating).await?
        }
        (EventState::Pending | EventState::Rated, _) => {
            if !store::forget_pending(op, shard_of(event.customer), event.id).await? {
                let problem = format!("{} is neither pending nor rated", event.id);
                return Err(Error::Internal(problem));
            }
            // Nothing moves, but gates that count the event as waiting must look again.
            let posting = Posting {
                tenant: actor.tenant,
                customer: event.customer,
                account: Account::from(&account),
                entries: Vec::new(),
                blocks: Vec::new(),
            };
            credit::post_in(op, &[&posting]).await?;
            Voided {
                event_key: event.key.clone(),
                credits: Credits::ZERO,
                lapsed: Credits::ZERO,
            }
        }
    };
    store::mark_voided(op, event.id).await?;
    Ok(voided)
}

/// What became of the usage accepted before a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It is debited.
    Debited,
    /// It was parked before.
    Parked,
    /// This very attempt has parked it.
    ParkedNow,
}

/// Debits what was accepted before, if the customer's usage is not parked.
async fn settle_first(app: &App, customer: CustomerId, before: Timestamp) -> Result<Before> {
    let subject = customer.to_string();
    if work::is_set_aside(app, Duty::CUSTOMER, &subject).await? {
        return Ok(Before::Parked);
    }
    match settle_up_to_date(app, customer, before).await {
        Err(_) if work::is_set_aside(app, Duty::CUSTOMER, &subject).await? => Ok(Before::ParkedNow),
        settled => settled.map(|()| Before::Debited),
    }
}

async fn take_back(
    op: &mut Op,
    actor: &Actor,
    account: account::Model,
    event: &UsageEvent,
    rating: Rating,
) -> Result<Voided> {
    let managed = account.spend_managed != 0;
    let book = catalog::rule_book_in(op.tx(), &[event.metric]).await?;
    let (mut state, before) = read(op, account, event, &rating).await?;
    let usage = RatedUsage {
        event: PendingEvent {
            id: event.id,
            metric: event.metric,
            units: event.units,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            properties: event.properties.clone(),
        },
        rule: rule_of(&book, event, &rating)?,
        counter: rating.counter,
        // Where a negative cost went to is not where a positive one came from.
        draws: if rating.credits.is_positive() {
            rating.draws.clone()
        } else {
            Draws::default()
        },
    };
    let mut voided = rules::void(&mut state, &usage, op.present())?;
    store::take_back(op, event, &rating).await?;
    if managed {
        let spent = Spent {
            customer: event.customer,
            occurred_at: event.occurred_at,
            credits: voided.credits.negated()?,
            corrected: rating.credits.minus(voided.credits)?,
        };
        spend::count_in(op, &[spent]).await?;
    }
    let mut posting = Posting {
        tenant: actor.tenant,
        customer: event.customer,
        account: state.account,
        entries: std::mem::take(&mut voided.entries),
        blocks: state
            .funds
            .blocks()
            .iter()
            .filter(|block| before.get(&block.id) != Some(&block.remaining))
            .map(BlockChange::from)
            .collect(),
    };
    if voided.homeless.is_positive() {
        let cause = Cause {
            kind: EntryKind::Void,
            effect_key: format!("void:{}:repaid", event.id),
            usage: None,
        };
        credit::rehouse_in(
            op,
            &mut posting,
            state.settlement,
            voided.homeless,
            op.present(),
            cause,
        )
        .await?;
    }
    let bound = state.funds.bound();
    let written_off = bound.and_then(|bound| WrittenOff::of(&posting, bound.most, op.present()));
    overshoot::tell_in(op, written_off).await?;
    if let Some(counter) = state.counters.get(&rating.counter) {
        store::put_counters(op, &[(actor.tenant, event.customer, rating.counter, counter)]).await?;
    }
    credit::post_in(op, &[&posting]).await?;
    Ok(Voided {
        event_key: event.key.clone(),
        credits: voided.credits,
        lapsed: voided.lapsed,
    })
}

async fn read(
    op: &Op,
    account: account::Model,
    event: &UsageEvent,
    rating: &Rating,
) -> Result<(CustomerState, HashMap<BlockId, Credits>)> {
    let customer = CustomerId(account.customer_id);
    let counter = store::counter(op.tx(), customer, rating.counter).await?;
    let drawn = rating.draws.as_slice().iter().chain(counter.draws.as_slice());
    let owners: BTreeSet<BlockId> = drawn.filter_map(|draw| draw.from.block()).collect();
    let blocks = credit::blocks_in(op.tx(), &[customer], &owners)
        .await?
        .remove(&customer)
        .unwrap_or_default();
    let before = blocks.iter().map(|block| (block.id, block.remaining)).collect();
    let terms = customer::terms_in(op.tx(), &[event.customer]).await?;
    let terms = terms.get(&customer);
    // Everything accepted before is debited: nothing was repaid by what comes after it.
    let bound = terms.and_then(Terms::bound).map(|most| Bound {
        most,
        repaid: Vec::new(),
    });
    let account = Account::from(&account);
    let state = CustomerState {
        customer,
        settlement: terms.map_or(Settlement::Manual, |terms| terms.settlement),
        funds: Funds::new(blocks, account.overdraft).bounded(bound),
        counters: HashMap::from([(rating.counter, counter)]),
        account,
        // The count is known, and nothing else is placed.
        timeline: Timeline::default(),
    };
    Ok((state, before))
}

fn rule_of<'a>(
    book: &'a RuleBook,
    event: &UsageEvent,
    rating: &Rating,
) -> Result<Option<&'a domain::metering::rule::MeteringRule>> {
    let Some(id) = rating.rule else { return Ok(None) };
    let rule = book
        .get(&event.metric)
        .and_then(|metric| metric.rules.iter().find(|rule| rule.id == id));
    rule.map(Some)
        .ok_or_else(|| Error::Internal(format!("{id} of {} is gone", event.id)))
}
