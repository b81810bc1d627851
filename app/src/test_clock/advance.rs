//! Moving a clock from one thing that is due to the next.

use std::time::Instant;

use domain::{
    id::{CustomerId, TenantId, TestClockId},
    time::Timestamp,
};

use super::{TestClock, store};
use crate::{
    App,
    credit::{self, notice},
    error::Result,
    failpoint::reach,
    hold, invoice,
    job::work::{self, Duty, RUN_BUDGET},
    op::Op,
    recharge, subscription,
};

/// Clocks that are on their way.
pub(crate) async fn due(app: &App) -> Result<Vec<TestClockId>> {
    store::advancing(app.db().reader()).await
}

/// Moves a clock for at most [`RUN_BUDGET`]. Answers whether it is still on its way.
///
/// Every turn of the loop first does what is due at the clock's present time (also what a worker that died has left), and then moves it.
pub(crate) async fn advance(app: &App, id: TestClockId) -> Result<bool> {
    let begun = Instant::now();
    loop {
        let Some(row) = store::any(app.db().reader(), id).await? else {
            return Ok(false);
        };
        let tenant = TenantId(row.tenant_id);
        let clock = TestClock::from(row);
        let members = store::members(app.db().reader(), id).await?;
        settle(app, tenant, &going(app, &members).await?, clock.now).await?;
        reach("clock.settled")?;
        if clock.now == clock.target {
            // Unless it was sent further meanwhile.
            if finish(app, &clock).await? {
                return Ok(false);
            }
            continue;
        }
        let next = next(app, &going(app, &members).await?, clock.now).await?;
        let to = next.map_or(clock.target, |next| next.min(clock.target));
        move_to(app, clock.id, to, &members).await?;
        reach("clock.moved")?;
        if begun.elapsed() > RUN_BUDGET {
            return Ok(true);
        }
    }
}

/// Those of some customers that wait for nobody. The clock moves on without the others; what was due of them is done as of its own
/// instants, in order, when somebody has looked at it and the clock or a request comes to them.
async fn going(app: &App, members: &[CustomerId]) -> Result<Vec<CustomerId>> {
    let mut going = members.to_vec();
    for duty in [Duty::CUSTOMER, Duty::SUBSCRIPTION, Duty::EXPIRY] {
        let aside = work::set_aside_among(app, duty, &going).await?;
        going.retain(|customer| !aside.contains(customer));
    }
    Ok(going)
}

/// Does all that is due by an instant: steps of subscriptions, blocks that run out, notices of those that will, deadlines of holds,
/// auto-recharges and invoices, with the charges that follow.
async fn settle(app: &App, tenant: TenantId, customers: &[CustomerId], until: Timestamp) -> Result<()> {
    if customers.is_empty() {
        return Ok(());
    }
    subscription::advance_each(app, tenant, customers, until).await?;
    credit::expire_of(app, customers, until).await?;
    notice::tell_expiring_of(app, customers, until).await?;
    hold::expire_of(app, customers, until).await?;
    recharge::evaluate_of(app, customers, until).await?;
    invoice::advance_of(app, customers, until).await
}

/// When something is due next. What is due already and could not be done is passed by.
async fn next(app: &App, customers: &[CustomerId], now: Timestamp) -> Result<Option<Timestamp>> {
    let step = subscription::next_due(app, customers).await?;
    let expiry = credit::next_expiry(app, customers).await?;
    let notice = notice::next_notice(app, customers, now).await?;
    let deadline = hold::next_deadline(app, customers).await?;
    let recharge = recharge::next_due(app, customers, now).await?;
    let invoice = invoice::next_due(app, customers, now).await?;
    let all = [step, expiry, notice, deadline, recharge, invoice];
    Ok(all.into_iter().flatten().min())
}

/// Notes that everything has been done. Answers whether the clock stands.
async fn finish(app: &App, clock: &TestClock) -> Result<bool> {
    let op = Op::begin(app).await?;
    let Some(row) = store::lock_any(&op, clock.id).await? else {
        return Ok(true);
    };
    let mut present = TestClock::from(row);
    present.ready = present.now == present.target;
    store::set(&op, &present).await?;
    op.commit().await?;
    Ok(present.ready)
}

/// Moves the clock forwards, and tells everybody who looks at its customers.
async fn move_to(app: &App, id: TestClockId, to: Timestamp, customers: &[CustomerId]) -> Result<()> {
    let mut op = Op::begin(app).await?;
    if let Some(row) = store::lock_any(&op, id).await? {
        let mut clock = TestClock::from(row);
        clock.now = clock.now.max(to);
        store::set(&op, &clock).await?;
        store::touch(&op, id).await?;
    }
    for customer in customers {
        op.changed(*customer);
    }
    op.commit().await
}
