//! Sending payments to their provider, and asking about them until they have ended.
//!
//! Take (the row says that the provider may have it) → ask → conclude (state, credits and event in one transaction). A process that dies
//! in between leaves a row that is due again when its lease is over, and then the provider is asked before anything is sent once more,
//! under the same key. Per payment: three statements to take it, some twelve to conclude one that succeeded.

use domain::{
    credit::block::{Billing, Block, BlockState, DEFAULT_PRIORITY, Source},
    id::{BlockId, CustomerId},
    payment::{
        Order, Payment, Purpose, State, Way,
        decline::Decline,
        settle::{Duty, Known, LEASE_SECONDS, Settled, duty, is_to_be_cancelled, may_be_sent, settle, take},
    },
};
use gateway::payment::{Provider, Trouble};

use super::{event, method::provider, returned, store, watch};
use crate::{
    App,
    actor::Reach,
    credit,
    error::{Error, Result},
    failpoint::reach,
    invoice, job,
    op::Op,
    recharge, subscription,
};

/// Payments of one customer that are taken in hand at once.
const BATCH: u64 = 10;
/// Customers that a sweep wakes at once.
const SWEEP: u64 = 1_000;
/// Attempts to come to an account of which nothing is due.
const ROUNDS: usize = 5;
/// When a payment that succeeded is looked at again whose customer's books do not add up, in seconds.
pub(super) const FROZEN_PAUSE_SECONDS: i64 = 300;

/// Customers of whom a payment is due.
pub(crate) async fn due(app: &App) -> Result<Vec<CustomerId>> {
    store::customers_due(app.db().reader(), app.now(), SWEEP).await
}

/// Does what is due of a customer's payments. Answers whether more may be due.
pub(crate) async fn collect(app: &App, customer: CustomerId) -> Result<bool> {
    let taken = take_due(app, customer).await?;
    reach("payment.taken")?;
    let mut failed = None;
    for (payment, duty) in &taken {
        // One that cannot be concluded keeps no other from being so; its lease brings it back.
        if let Err(error) = pursue(app, payment, *duty).await {
            tracing::warn!(payment = %payment.id, %error, "a payment could not be concluded");
            failed = Some(error);
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(taken.len() as u64 == BATCH),
    }
}

/// Takes payments in hand: from now on the provider may have them.
async fn take_due(app: &App, customer: CustomerId) -> Result<Vec<(Payment, Duty)>> {
    let mut op = Op::begin(app).await?;
    op.lock_accounts(&[customer]).await?;
    let mut taken = Vec::new();
    for mut payment in store::due_of(op.tx(), customer, op.now(), BATCH).await? {
        let mut duty = duty(&payment, op.now());
        if duty == Duty::Send && watch::is_safe(app, &payment.provider).await? {
            duty = Duty::Look;
        }
        if duty == Duty::Look && payment.progress.state == State::Created {
            // It may have been sent after the backup was made. Nothing is noted of it until the provider has said that it was not: it is
            // looked for from the beginning each time.
            payment.progress.due_at = Some(op.now().plus_seconds(LEASE_SECONDS));
        } else {
            payment.progress = take(&payment.progress, op.now());
        }
        store::write_progress(&op, &payment).await?;
        taken.push((payment, duty));
    }
    op.commit().await?;
    Ok(taken)
}

/// Asks about a payment whatever is due of it: something is known to have happened at the provider.
pub(super) async fn look_now(app: &App, payment: &Payment) -> Result<()> {
    let duty = match duty(payment, app.now()) {
        Duty::Send => Duty::Look,
        other => other,
    };
    pursue(app, payment, duty).await
}

/// Asks the provider, outside of any transaction, and concludes.
async fn pursue(app: &App, payment: &Payment, duty: Duty) -> Result<()> {
    let order = order(app, payment).await?;
    let provider = provider(app, &payment.provider)?;
    if duty == Duty::LookBack {
        return returned::follow_up(app, provider, &order, payment).await;
    }
    let mut payment = payment.clone();
    let heard = ask(app, provider, &mut payment, &order, duty).await;
    reach("payment.answered")?;
    conclude(app, &payment, heard).await
}

/// A payment, in the provider's own names. Two statements.
async fn order(app: &App, payment: &Payment) -> Result<Order> {
    let way = match &payment.way {
        Way::Page(page) => Way::Page(page.clone()),
        Way::Saved(id) => match store::any_method(app.db().reader(), *id).await? {
            Some(method) => Way::Saved(method.face.reference),
            None => return Err(Error::Internal(format!("{} has no payment method", payment.id))),
        },
    };
    let Some(payer) = store::payer(app.db().reader(), payment.customer, &payment.provider).await? else {
        return Err(Error::Internal(format!("{} has no payer", payment.id)));
    };
    Ok(Order {
        payment: payment.id,
        payer,
        customer: payment.customer,
        way,
        amount: payment.amount,
        reference: payment.progress.reference.clone(),
        submitted_at: payment.progress.submitted_at.unwrap_or(payment.created_at),
    })
}

/// What was heard of a payment.
struct Heard {
    known: Known,
    /// Whether it is known by asking how it stands: it may have stood so for long.
    by_looking: bool,
    /// Whether the provider has said how it stands, or that it is not there.
    is_answered: bool,
}

async fn ask(app: &App, provider: &dyn Provider, payment: &mut Payment, order: &Order, duty: Duty) -> Heard {
    let looks = duty != Duty::Send;
    if looks && let Some(known) = look(app, provider, payment, order).await {
        return Heard {
            is_answered: known != Known::NoAnswer,
            by_looking: true,
            known,
        };
    }
    Heard {
        known: send(app, provider, payment, order).await,
        by_looking: false,
        is_answered: looks,
    }
}

/// Asks how a payment stands; `None`: the provider does not know of it, and it may be sent.
async fn look(app: &App, provider: &dyn Provider, payment: &Payment, order: &Order) -> Option<Known> {
    let looked = match provider.look(order).await {
        Ok(Some(seen)) if is_to_be_cancelled(payment, &seen, app.now()) => {
            provider.cancel(order, &seen.reference).await
        }
        Ok(Some(seen)) => Ok(seen),
        Ok(None) if may_be_sent(&payment.progress, app.now()) => return None,
        Ok(None) => return Some(Known::Nothing),
        Err(trouble) => Err(trouble),
    };
    Some(looked.map_or_else(|trouble| known(payment, trouble), Known::Seen))
}

/// Sends a payment, unless something keeps it back.
async fn send(app: &App, provider: &dyn Provider, payment: &mut Payment, order: &Order) -> Known {
    match is_kept_back(app, payment).await {
        Ok(None) => {}
        Ok(Some(known)) => return known,
        Err(error) => {
            tracing::warn!(payment = %payment.id, %error, "whether a payment may be sent is not known");
            return Known::NoAnswer;
        }
    }
    let charged = provider.charge(order).await;
    charged.map_or_else(|trouble| known(payment, trouble), Known::Seen)
}

/// What keeps a payment from being sent; `None`: nothing, and its row says that the provider may have it from now on.
async fn is_kept_back(app: &App, payment: &mut Payment) -> Result<Option<Known>> {
    let kept_back = is_held_back(app, payment).await?;
    if kept_back.is_some() || payment.progress.state != State::Created {
        return Ok(kept_back);
    }
    Ok((!submit(app, payment).await?).then_some(Known::NoAnswer))
}

/// Takes a payment in hand that was looked for in vain. Answers whether it did: not if somebody has touched it meanwhile. Three statements.
async fn submit(app: &App, payment: &mut Payment) -> Result<bool> {
    let mut op = Op::begin(app).await?;
    op.lock_account(payment.tenant, payment.customer).await?;
    let present = store::payment_to_write(&op, payment.id).await?;
    if present.is_none_or(|present| present.progress != payment.progress) {
        return Ok(false);
    }
    payment.progress = take(&payment.progress, op.now());
    store::write_progress(&op, payment).await?;
    op.commit().await?;
    reach("payment.taken")?;
    Ok(true)
}

/// What keeps a payment from being sent of which the provider does not know: nothing is charged after a restore, or the vendor has stopped
/// auto-recharges since this one was decided.
async fn is_held_back(app: &App, payment: &Payment) -> Result<Option<Known>> {
    if watch::is_safe(app, &payment.provider).await? {
        return Ok(Some(Known::NoAnswer));
    }
    if payment.purpose != Purpose::Recharge {
        return Ok(None);
    }
    let setting = store::setting(app.db().reader(), payment.tenant).await?;
    let is_stopped = setting.is_some_and(|setting| setting.recharge_stopped_at.is_some());
    Ok(is_stopped.then_some(Known::Refused(Decline::Withdrawn)))
}

fn known(payment: &Payment, trouble: Trouble) -> Known {
    match trouble {
        Trouble::Refused(decline) => Known::Refused(decline),
        Trouble::NoAnswer(problem) => {
            tracing::warn!(payment = %payment.id, problem, "a payment provider did not answer");
            Known::NoAnswer
        }
    }
}

/// Takes over what is known of a payment. Everything that is heard of one ends here.
async fn conclude(app: &App, taken: &Payment, heard: Heard) -> Result<()> {
    let &Payment {
        id, tenant, customer, ..
    } = taken;
    for _ in 0..ROUNDS {
        let mut op = Op::begin(app).await?;
        // Under the lock on the account nobody else concludes anything of this customer.
        let account = op.lock_account(tenant, customer).await?;
        let (Some(account), Some(mut payment)) = (account, store::payment_to_write(&op, id).await?) else {
            return Err(Error::Internal(format!("{id} of {customer} is gone")));
        };
        let before = payment.progress.state;
        let Settled { mut progress, grants } = settle(&payment, heard.known.clone(), op.now());
        if grants && heard.by_looking {
            progress = progress.found_out(op.now());
            op.wake(job::payments::wakeup(customer));
        }
        let grants = grants && payment.purpose != Purpose::Invoice;
        if grants && account.frozen_at.is_some() {
            // The money is there and is not forgotten: the credits follow when somebody has looked at the books.
            payment.progress.due_at = Some(op.now().plus_seconds(FROZEN_PAUSE_SECONDS));
            if before.is_open() {
                store::write_progress(&op, &payment).await?;
                op.commit().await?;
            }
            tracing::error!(payment = %id, "a payment succeeded of a customer whose books do not add up");
            return Ok(());
        }
        payment.progress = progress.unless_hastened(&taken.progress, &payment.progress);
        if !grants || grant(&mut op, &mut payment).await? {
            if heard.is_answered {
                store::mark_asked(&op, id).await?;
            }
            return write(op, &payment, before).await;
        }
        // A turn that is due comes first: it finds the books without these credits.
        op.abandon().await?;
        subscription::catch_up(app, customer).await?;
    }
    Err(Error::Unavailable(
        "the customer's subscriptions are moving on".to_owned(),
    ))
}

/// Writes how a payment stands, and tells it when it is news.
async fn write(mut op: Op, payment: &Payment, before: State) -> Result<()> {
    store::write_progress(&op, payment).await?;
    reach("payment.written")?;
    if payment.progress.state != before {
        if payment.progress.state == State::Quarantined {
            tracing::error!(payment = %payment.id, "the provider speaks of another amount than was asked for");
        }
        if payment.progress.decline == Some(Decline::Refused) {
            tracing::error!(payment = %payment.id, "the provider refuses a request for payment");
        }
        event::tell(&op, payment).await?;
        recharge::heard_in(&op, payment).await?;
        invoice::heard_in(&mut op, payment).await?;
    }
    op.commit().await?;
    reach("payment.concluded")
}

/// Grants what was paid for. `false`: something of a subscription is due that comes first.
async fn grant(op: &mut Op, payment: &mut Payment) -> Result<bool> {
    let (tenant, customer) = (payment.tenant, payment.customer);
    let locked = credit::lock(op, Reach::of(tenant), customer).await?;
    if locked.behind {
        return Ok(false);
    }
    let granted_at = op.present();
    let mut block = Block {
        id: BlockId(op.new_id()),
        source: Source::Purchase,
        billing: Billing::Prepaid,
        priority: DEFAULT_PRIORITY,
        credits: payment.credits,
        remaining: payment.credits,
        granted_at,
        expires_at: payment
            .lasts_seconds
            .map(|seconds| granted_at.plus_seconds(seconds)),
        metrics: None,
        state: BlockState::Active,
    };
    // One per payment: the database refuses the second.
    let effect_key = format!("grant:{}", payment.id);
    let text = format!("Payment {} of {}", payment.id, payment.amount);
    credit::put_in(
        op,
        (tenant, customer),
        locked,
        &mut block,
        effect_key,
        Some(&text),
    )
    .await?;
    payment.progress.block = Some(block.id);
    reach("payment.granted")?;
    invoice::receipt_in(op, payment, None, block.expires_at).await?;
    Ok(true)
}
