//! Beginning an operation that must come after all usage accepted before the request, and after all that time has made due.

use domain::id::CustomerId;
use entity::account;
use serde::{Serialize, de::DeserializeOwned};

use super::{advance, store};
use crate::{
    App,
    actor::Actor,
    credit,
    customer::CustomerRef,
    error::{Error, Result},
    idempotency::{Claim, Fresh, Once, claim},
    op::Op,
    usage,
};

/// Attempts to come to an account with nothing before us.
const ROUNDS: usize = 5;

/// An operation on a locked account that is up to date.
pub(super) struct Settled {
    op: Op,
    fresh: Fresh,
    account: account::Model,
}

impl Settled {
    pub(super) fn into_parts(self: Box<Self>) -> (Op, Fresh, account::Model) {
        (self.op, self.fresh, self.account)
    }
}

/// Whether a request is new.
pub(super) enum Begun<T> {
    Settled(Box<Settled>),
    Replay(Once<T>),
}

/// Begins an operation on a customer's subscriptions. A request that was made before is answered at once.
pub(super) async fn begin_settled<T: DeserializeOwned>(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    mutation: &'static str,
    key: &str,
    input: &impl Serialize,
) -> Result<Begun<T>> {
    for _ in 0..ROUNDS {
        let mut op = Op::begin(app).await?;
        let fresh = match claim(&op, actor.tenant, mutation, key, input).await? {
            Claim::Replay(known) => return Ok(Begun::Replay(known)),
            Claim::Fresh(fresh) => fresh,
        };
        let account = op.lock_account(actor.tenant, customer).await?;
        let account = account.ok_or_else(|| CustomerRef::Id(customer).unknown())?;
        credit::check_not_frozen(&account)?;
        let now = op.present();
        let due = store::due_of(op.tx(), &[customer]).await?;
        let behind = due.get(&customer).is_some_and(|at| *at <= now);
        if !behind && !usage::is_waiting(op.tx(), customer, now).await? {
            return Ok(Begun::Settled(Box::new(Settled { op, fresh, account })));
        }
        op.abandon().await?;
        advance::advance_customers(app, &[customer], now).await?;
        usage::settle_up_to_date(app, customer, now).await?;
    }
    Err(Error::Unavailable(format!(
        "usage of {customer} is still on its way"
    )))
}
