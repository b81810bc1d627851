//! Deciding charges, and hearing what became of them.
//!
//! For any number of customers whose balance is low: six statements to read, six to write at most.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    id::{CustomerId, PaymentId},
    payment::{Payment, Progress, Purpose, Way, method::Method},
    plan::variant::Variant,
    recharge::{
        Reason, Recharge, State,
        evaluate::{self, Circumstances, Verdict},
    },
    time::Timestamp,
};

use super::{
    event,
    store::{self, Found, Outcome},
};
use crate::{
    App,
    error::Result,
    failpoint::reach,
    op::Op,
    payment::{self, Setting},
    subscription,
};

/// Customers that a sweep wakes at once.
const SWEEP: u64 = 1_000;

/// Evaluates those of some customers that are watched, in the transaction in which their balance has become low. Their accounts are locked.
pub(crate) async fn decide_in(op: &mut Op, customers: &[CustomerId]) -> Result<()> {
    if customers.is_empty() {
        return Ok(());
    }
    let mut found = store::found(op.tx(), customers).await?;
    // Who has been decided already in this transaction is no longer watched.
    found.retain(|it| it.recharge.state == State::Watching);
    reach("recharge.found")?;
    evaluate_in(op, found).await
}

/// What else an evaluation looks at.
struct Shelf {
    settings: HashMap<CustomerId, Setting>,
    plans: HashMap<CustomerId, Vec<Variant>>,
    methods: HashMap<CustomerId, Method>,
}

impl Shelf {
    async fn read(op: &Op, found: &[Found]) -> Result<Self> {
        let customers: Vec<CustomerId> = found.iter().map(|it| it.recharge.customer).collect();
        let buyers: Vec<_> = found
            .iter()
            .map(|it| (it.recharge.tenant, it.recharge.customer))
            .collect();
        Ok(Self {
            settings: payment::terms_in(op.tx(), &buyers, op.now()).await?,
            plans: subscription::variants_of(op.tx(), &customers).await?,
            methods: payment::defaults_in(op.tx(), &customers).await?,
        })
    }

    /// The default payment method of a customer with the vendor's provider.
    fn method(&self, recharge: &Recharge) -> Option<&Method> {
        let setting = self.settings.get(&recharge.customer)?;
        let method = self.methods.get(&recharge.customer)?;
        (method.provider == setting.provider).then_some(method)
    }

    fn verdict(&self, it: &Found, now: Timestamp) -> Verdict {
        let setting = self.settings.get(&it.recharge.customer);
        let plans = self.plans.get(&it.recharge.customer);
        let plans: Vec<&Variant> = plans.into_iter().flatten().collect();
        let circumstances = Circumstances {
            balance: it.balance,
            is_frozen: it.is_frozen,
            is_stopped: setting.is_some_and(|it| it.recharge_stopped_at.is_some()),
            sale: setting.map(|it| &it.sale),
            plans: &plans,
            can_pay: self.method(&it.recharge).is_some(),
        };
        // Usage must be debited all the same: what cannot be counted cannot be bought.
        evaluate::evaluate(&it.recharge, &circumstances, now).unwrap_or(Verdict::Hold(Reason::NotSold))
    }
}

async fn evaluate_in(op: &mut Op, mut found: Vec<Found>) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let shelf = Shelf::read(op, &found).await?;
    let mut payments = Vec::new();
    let mut outcomes = Vec::new();
    let mut events = Vec::new();
    for it in &mut found {
        let now = it.own_time.unwrap_or_else(|| op.now());
        let id = PaymentId(op.new_id());
        let verdict = shelf.verdict(it, now);
        let before = it.recharge.clone();
        it.recharge.evaluated(verdict, id, now);
        if let Verdict::Charge { amount, credits } = verdict
            && let (Some(setting), Some(method)) =
                (shelf.settings.get(&before.customer), shelf.method(&before))
        {
            payments.push(Payment {
                id,
                tenant: before.tenant,
                customer: before.customer,
                purpose: Purpose::Recharge,
                provider: setting.provider.clone(),
                way: Way::Saved(method.id),
                amount,
                credits,
                lasts_seconds: setting.sale.lasts_seconds,
                invoice: None,
                created_at: op.now(),
                progress: Progress::begin(op.now()),
            });
        }
        let outcome = Outcome::of(&it.recharge, verdict, it.balance, now);
        // The same again is not news.
        if outcome.is_some() && before.reason != it.recharge.reason {
            events.extend(event::told(op, &it.recharge, before.state, now));
        }
        if let Some(percent) = it.recharge.spent.notice(before.rule.monthly_cap) {
            events.push(event::cap(op, &it.recharge, percent, now));
        }
        outcomes.extend(outcome.map(|outcome| (outcome, before.reason)));
    }
    payment::decide_in(op, &payments).await?;
    reach("recharge.decided")?;
    let recharges: Vec<&Recharge> = found.iter().map(|it| &it.recharge).collect();
    store::put(op, &recharges).await?;
    store::note(op, &outcomes).await?;
    crate::event::write_in(op, &events).await?;
    reach("recharge.written")
}

/// Takes over where a recharge's payment has come to, in the transaction that writes it. The account is locked.
pub(crate) async fn heard_in(op: &Op, payment: &Payment) -> Result<()> {
    if payment.purpose != Purpose::Recharge {
        return Ok(());
    }
    let Some(found) = store::found(op.tx(), &[payment.customer]).await?.pop() else {
        return Ok(());
    };
    let mut recharge = found.recharge.clone();
    recharge.heard(payment, op.present());
    changed_in(op, &found, &recharge).await
}

/// Switches off the auto-recharge of a customer whose money goes back, before the credits are taken. The account is locked. One statement,
/// three where there is one.
pub(crate) async fn money_went_back_in(op: &Op, customer: CustomerId) -> Result<()> {
    let Some(found) = store::found(op.tx(), &[customer]).await?.pop() else {
        return Ok(());
    };
    let mut recharge = found.recharge.clone();
    recharge.money_went_back();
    changed_in(op, &found, &recharge).await
}

/// Writes what has become of one, if it is another, and tells it.
async fn changed_in(op: &Op, found: &Found, recharge: &Recharge) -> Result<()> {
    if *recharge == found.recharge {
        return Ok(());
    }
    store::put(op, &[recharge]).await?;
    let told = event::told(op, recharge, found.recharge.state, op.present());
    crate::event::write_in(op, &told.into_iter().collect::<Vec<_>>()).await?;
    reach("recharge.heard")
}

/// Has one that waits looked at again at once: what held it back may be gone. Answers by a wake-up; one statement.
pub(crate) async fn look_again_in(op: &mut Op, customer: CustomerId) -> Result<()> {
    if store::hasten(op, customer).await? {
        op.wake(crate::job::recharges::wakeup(customer));
    }
    Ok(())
}

/// Customers whose auto-recharge is to be looked at again, but for those that live by a clock of their own.
pub(crate) async fn due(app: &App) -> Result<Vec<CustomerId>> {
    store::due(app.db().reader(), app.now(), SWEEP).await
}

/// Looks at one that waits, if its instant has come.
pub(crate) async fn evaluate(app: &App, customer: CustomerId) -> Result<()> {
    let mut op = Op::begin(app).await?;
    op.lock_accounts(&[customer]).await?;
    let mut found = store::found(op.tx(), &[customer]).await?;
    found.retain(|it| {
        let now = it.own_time.unwrap_or_else(|| op.now());
        it.recharge.next_at.is_some_and(|next| next <= now)
    });
    evaluate_in(&mut op, found).await?;
    op.commit().await
}

/// The same for customers of a test clock: what is due by its present time, and the charges that follow.
pub(crate) async fn evaluate_of(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<()> {
    for customer in store::due_of(app.db().reader(), customers, until).await? {
        evaluate(app, customer).await?;
    }
    for customer in store::charging_of(app.db().reader(), customers).await? {
        payment::collect(app, customer).await?;
    }
    Ok(())
}

/// When the next of some customers is looked at again, after an instant.
pub(crate) async fn next_due(
    app: &App,
    customers: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    store::next_due(app.db().reader(), customers, after).await
}

impl Outcome {
    /// What an evaluation came to that found the balance low.
    fn of(recharge: &Recharge, verdict: Verdict, balance: Credits, now: Timestamp) -> Option<Self> {
        let (reason, payment) = match verdict {
            Verdict::Enough => return None,
            Verdict::Charge { .. } => (None, recharge.payment),
            Verdict::Hold(reason) => (Some(reason), None),
        };
        Some(Self {
            tenant: recharge.tenant,
            customer: recharge.customer,
            reason,
            balance,
            threshold: recharge.rule.threshold,
            payment,
            at: now,
        })
    }
}
