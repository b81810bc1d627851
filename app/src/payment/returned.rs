//! Money that goes back: refunds that the vendor asks for, those made at the provider, and disputes.
//!
//! A refund is a row before it is a request, as a payment is. What the provider says has gone back of a payment is taken over in one
//! transaction with the credits, the credit note and the events that follow. Per payment: four statements to ask, and for each refund or
//! dispute that has come further eight at most.

use domain::{
    amount::Credits,
    id::{PaymentId, ReturnId},
    money::Money,
    payment::{
        Order, Payment, State as PaymentState,
        returned::{Back, Kind, Refund, Return, State, credits_due, follow, lasts, refundable, unheard},
    },
    rejection::{Rejection, RejectionCode},
};
use gateway::payment::{Provider, Trouble};
use serde::Serialize;

use super::{collect, event, store, watch};
use crate::{
    App,
    actor::{Actor, Reach, Scope},
    credit::{self, Locked, Reversal},
    error::{Error, Result},
    failpoint::reach,
    idempotency::{Claim, Once, claim},
    invoice, job,
    op::Op,
    recharge, subscription,
};

/// Attempts to come to an account of which nothing is due.
const ROUNDS: usize = 5;
/// Most refunds and disputes of one payment.
const MAX_RETURNS: usize = 100;

/// Money to give back.
#[derive(Debug, Clone, Serialize)]
pub struct RefundPayment {
    /// Of which payment.
    pub payment: PaymentId,
    /// How much; `None`: all that has not gone back yet.
    pub amount: Option<Money>,
    /// A line on why.
    pub reason: Option<String>,
}

/// Decides a refund: the credits are taken now, and a job asks the provider to give the money back. Should that fail, they are given again.
///
/// # Errors
/// No such payment, one that has not succeeded, more than is left of it, or books that do not add up.
pub async fn refund(app: &App, actor: &Actor, input: RefundPayment, key: &str) -> Result<Once<Return>> {
    actor.require(Scope::PaymentWrite)?;
    credit::check_line("reason", input.reason.as_deref())?;
    let unknown = || Rejection::not_found("paymentId", "payment");
    for _ in 0..ROUNDS {
        let mut op = Op::begin(app).await?;
        let fresh = match claim(&op, actor.tenant, "refundPayment", key, &input).await? {
            Claim::Replay(known) => return Ok(known),
            Claim::Fresh(fresh) => fresh,
        };
        let known = store::payment(op.tx(), actor.reach(), input.payment).await?;
        let customer = known.ok_or_else(unknown)?.customer;
        let locked = credit::lock(&mut op, actor.reach(), customer).await?;
        if locked.behind {
            op.abandon().await?;
            subscription::catch_up(app, customer).await?;
            continue;
        }
        let payment = store::payment(op.tx(), actor.reach(), input.payment).await?;
        let payment = payment.ok_or_else(unknown)?;
        let mut book = Book::open(&mut op, payment, Some(locked)).await?;
        let it = book.decide(&input).await?;
        let done = fresh.settle(&op, it).await?;
        op.commit().await?;
        return Ok(done);
    }
    Err(moving_on())
}

fn moving_on() -> Error {
    Error::Unavailable("the customer's subscriptions are moving on".to_owned())
}

/// What the provider says of everything that has gone back of a payment.
#[derive(Default)]
struct Heard {
    backs: Vec<Back>,
    /// Refunds that will never be.
    undone: Vec<ReturnId>,
    /// Whether the provider still owes an answer.
    silent: bool,
}

/// Asks the provider what has gone back of a payment, sends what it has not heard of, and concludes.
pub(super) async fn follow_up(
    app: &App,
    provider: &dyn Provider,
    order: &Order,
    payment: &Payment,
) -> Result<()> {
    let heard = ask(app, provider, order, payment).await?;
    reach("return.answered")?;
    conclude(app, payment, heard).await
}

async fn ask(app: &App, provider: &dyn Provider, order: &Order, payment: &Payment) -> Result<Heard> {
    let mut heard = Heard::default();
    match provider.returned(order).await {
        Ok(backs) => heard.backs = backs,
        Err(trouble) => {
            tracing::warn!(payment = %payment.id, %trouble, "what has gone back of a payment is not known");
            heard.silent = true;
            return Ok(heard);
        }
    }
    let returns = store::returns(app.db().reader(), payment.id).await?;
    let is_heard = |it: &Return| heard.backs.iter().any(|back| is_of(it, back));
    let ours = returns.iter().filter(|it| it.kind == Kind::Refund);
    let unsent: Vec<&Return> = ours.filter(|it| !it.state.has_ended() && !is_heard(it)).collect();
    let is_safe = !unsent.is_empty() && watch::is_safe(app, &payment.provider).await?;
    for it in unsent {
        if unheard(it, app.now()).is_some() {
            heard.undone.push(it.id);
        } else if is_safe {
            heard.silent = true;
        } else {
            send(provider, order, it, &mut heard).await;
        }
    }
    Ok(heard)
}

/// Has the provider make a refund.
async fn send(provider: &dyn Provider, order: &Order, it: &Return, heard: &mut Heard) {
    let wish = Refund {
        id: it.id,
        amount: it.amount,
    };
    match provider.refund(order, &wish).await {
        Ok(back) => heard.backs.push(back),
        Err(Trouble::Refused(_)) => {
            tracing::error!(refund = %it.id, "the provider refuses a refund");
            heard.undone.push(it.id);
        }
        Err(trouble) => {
            tracing::warn!(refund = %it.id, %trouble, "a refund was not answered");
            heard.silent = true;
        }
    }
}

/// Whether a provider's word is about this one.
fn is_of(it: &Return, back: &Back) -> bool {
    back.ours == Some(it.id) || it.reference.as_ref() == Some(&back.reference)
}

/// Takes over what is known of everything that goes back of a payment.
async fn conclude(app: &App, taken: &Payment, heard: Heard) -> Result<()> {
    for _ in 0..ROUNDS {
        let mut op = Op::begin(app).await?;
        let account = op.lock_account(taken.tenant, taken.customer).await?;
        let payment = store::payment_to_write(&op, taken.id).await?;
        let (Some(account), Some(mut payment)) = (account, payment) else {
            return Err(Error::Internal(format!("{} is gone", taken.id)));
        };
        let before = payment.progress.clone();
        if account.frozen_at.is_some() {
            payment.progress.due_at = Some(op.now().plus_seconds(collect::FROZEN_PAUSE_SECONDS));
            store::write_progress(&op, &payment).await?;
            return op.commit().await;
        }
        if subscription::is_behind(&account, op.present()) {
            op.abandon().await?;
            subscription::catch_up(app, taken.customer).await?;
            continue;
        }
        let mut book = Book::open(&mut op, payment, None).await?;
        book.take_over(&heard).await?;
        let (mut payment, is_over) = book.close();
        let now = op.now();
        let progress = match is_over && !heard.silent {
            true => payment.progress.at_rest(),
            false => payment.progress.asked_later(now),
        };
        payment.progress = progress.unless_hastened(&taken.progress, &before);
        store::write_progress(&op, &payment).await?;
        op.commit().await?;
        return reach("return.concluded");
    }
    Err(moving_on())
}

/// A payment and everything that goes back of it, under the lock on its customer's account.
struct Book<'a> {
    op: &'a mut Op,
    payment: Payment,
    returns: Vec<Return>,
    /// The account as it was locked, if somebody has done so already.
    locked: Option<Locked>,
}

impl<'a> Book<'a> {
    async fn open(op: &'a mut Op, payment: Payment, locked: Option<Locked>) -> Result<Self> {
        let returns = store::returns(op.tx(), payment.id).await?;
        Ok(Self {
            op,
            payment,
            returns,
            locked,
        })
    }

    /// Ends it: the payment, and whether nothing is expected any more.
    fn close(self) -> (Payment, bool) {
        let is_over = self.returns.iter().all(|it| it.state.has_ended());
        (self.payment, is_over)
    }

    /// Decides a refund.
    async fn decide(&mut self, input: &RefundPayment) -> Result<Return> {
        let refuse = |message: &str| Rejection::new(RejectionCode::PaymentState, "paymentId", message);
        if self.payment.progress.state != PaymentState::Succeeded {
            return Err(refuse("no money was taken that could go back").into());
        }
        if self.returns.len() >= MAX_RETURNS {
            return Err(refuse("it has too many refunds and disputes").into());
        }
        let left = refundable(&self.payment, &self.returns);
        let amount = input.amount.unwrap_or(left);
        check_amount(amount, left)?;
        invoice::check_refund_in(self.op, &self.payment, amount).await?;
        let now = self.op.now();
        self.returns.push(Return {
            id: ReturnId(self.op.new_id()),
            amount,
            reason: input.reason.clone(),
            ..self.fresh(Kind::Refund)
        });
        let place = self.returns.len() - 1;
        store::insert_return(self.op, &self.payment, &self.returns[place]).await?;
        reach("return.decided")?;
        self.changed(place).await?;
        self.payment.progress.due_at = Some(now);
        self.payment.progress.looks = 0;
        store::write_progress(self.op, &self.payment).await?;
        self.op.wake(job::payments::wakeup(self.payment.customer));
        Ok(self.returns[place].clone())
    }

    /// One of which nothing is known yet.
    fn fresh(&self, kind: Kind) -> Return {
        Return {
            id: ReturnId(self.op.new_id()),
            tenant: self.payment.tenant,
            customer: self.payment.customer,
            payment: self.payment.id,
            kind,
            amount: self.payment.amount,
            reason: None,
            credits: Credits::ZERO,
            life: None,
            state: State::Created,
            reference: None,
            created_at: self.op.now(),
            ended_at: None,
        }
    }

    /// Takes over what a provider says.
    async fn take_over(&mut self, heard: &Heard) -> Result<()> {
        for back in &heard.backs {
            let known = self.returns.iter().position(|it| is_of(it, back));
            let place = match known {
                Some(place) => place,
                None => self.add(back).await?,
            };
            let it = &mut self.returns[place];
            if it.amount != back.amount {
                tracing::error!(refund = %it.id, "the provider speaks of another amount");
            }
            if it.state == State::Undone && back.state != State::Undone {
                tracing::error!(refund = %it.id, "the provider says that it was not undone after all");
            }
            let named = it.reference.is_none();
            it.reference = Some(back.reference.clone());
            match follow(it.state, back.state) {
                Some(state) => self.go_on(place, state).await?,
                None if named => store::write_return(self.op, &self.returns[place]).await?,
                None => {}
            }
        }
        for id in &heard.undone {
            let place = self.returns.iter().position(|it| it.id == *id);
            if let Some(place) =
                place.filter(|place| follow(self.returns[*place].state, State::Undone).is_some())
            {
                self.go_on(place, State::Undone).await?;
            }
        }
        Ok(())
    }

    /// Notes what was not asked for here.
    async fn add(&mut self, back: &Back) -> Result<usize> {
        let whole = self.payment.amount;
        let it = Return {
            // A bank may count in another currency. What share it is nobody can tell then: all of it, until somebody puts it right.
            amount: if back.amount.currency == whole.currency {
                back.amount
            } else {
                whole
            },
            reason: back.reason.clone(),
            reference: Some(back.reference.clone()),
            ..self.fresh(back.kind)
        };
        store::insert_return(self.op, &self.payment, &it).await?;
        self.returns.push(it);
        Ok(self.returns.len() - 1)
    }

    /// One has come further.
    async fn go_on(&mut self, place: usize, state: State) -> Result<()> {
        let now = self.op.now();
        let it = &mut self.returns[place];
        let before = it.state;
        it.state = state;
        it.ended_at = state.has_ended().then_some(now);
        self.changed(place).await?;
        reach("return.booked")?;
        let it = &self.returns[place];
        let mut note = None;
        if state == State::Returned {
            invoice::returned_in(self.op, &self.payment, it).await?;
        } else if before == State::Returned {
            note = invoice::note_of_return_in(self.op, it.id).await?;
            tracing::error!(refund = %it.id, note, "money that had gone back has come again; its credit note stands");
        }
        event::tell_return(self.op, &self.payment, it, (before, note)).await
    }

    /// Books the credits that follow from where one stands now, and writes it.
    async fn changed(&mut self, place: usize) -> Result<()> {
        let due = credits_due(&self.payment, &self.returns)?;
        if self.returns[place].takes_credits() {
            recharge::money_went_back_in(self.op, self.payment.customer).await?;
        }
        let it = &mut self.returns[place];
        it.credits = it.credits.plus(due)?;
        if !due.is_zero() {
            self.book(place, due).await?;
        }
        store::write_return(self.op, &self.returns[place]).await
    }

    async fn book(&mut self, place: usize, credits: Credits) -> Result<()> {
        let (tenant, customer) = (self.payment.tenant, self.payment.customer);
        let locked = match self.locked.take() {
            Some(locked) => locked,
            None => credit::lock(self.op, Reach::of(tenant), customer).await?,
        };
        let it = &self.returns[place];
        let text = text(&self.payment, it, credits);
        let reversal = Reversal {
            bought: self.payment.progress.block,
            credits,
            lasts_seconds: lasts(&self.payment, &self.returns),
            key: &format!("return:{}:{}", it.id, entity::to_text(it.state)),
            text: &text,
        };
        let life = credit::reverse_in(self.op, (tenant, customer), locked, reversal).await?;
        let it = &mut self.returns[place];
        it.life = it.life.max(life);
        Ok(())
    }
}

fn check_amount(amount: Money, left: Money) -> Result<()> {
    if amount.currency != left.currency {
        let message = format!("the payment was in {}", left.currency);
        return Err(Rejection::invalid("amount.currency", message).into());
    }
    if amount.minor <= 0 || amount.minor > left.minor {
        let message = format!("more than zero, and at most what has not gone back yet: {left}");
        return Err(Rejection::invalid("amount", message).into());
    }
    Ok(())
}

/// A line for the ledger.
fn text(payment: &Payment, it: &Return, credits: Credits) -> String {
    let what = match (it.kind, credits.is_positive()) {
        (Kind::Refund, true) => "Refund",
        (Kind::Refund, false) => "Refund not made",
        (Kind::Dispute, true) => "Dispute",
        (Kind::Dispute, false) => "Dispute won",
    };
    format!("{what}: {} of payment {}", it.amount, payment.id)
}

/// What has gone back of some payments, or is about to. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn returns(app: &App, actor: &Actor, payments: &[PaymentId]) -> Result<Vec<Return>> {
    actor.require(Scope::PaymentRead)?;
    store::returns_of(app.db().reader(), actor.reach(), payments).await
}
