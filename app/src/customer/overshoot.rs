//! What a vendor promises about overshoot to customers of whom nothing else was said.
//!
//! The promise is written down with each of them, where the drain reads it with the other terms: what a vendor says reaches its customers one by
//! one (job `customer.overshoot`), each by the same steps as terms of its own: what was accepted before is debited by the old ones, and the new
//! ones hold from a certain ledger entry on. Whoever differs is found by the rows, so a customer that is made or changed meanwhile is not missed.

use domain::{customer::OvershootDefault, id::CustomerId};
use sea_orm::EntityTrait;

use super::{Customer, UpdateCustomer, change, store};
use crate::{
    App,
    actor::{Actor, Reach, Scope},
    error::Result,
    job::{
        self,
        work::{self, Duty},
    },
    op::Op,
};

/// Customers that are looked for at once: a sweep finds the next ones.
const BATCH: usize = 1_000;
/// How often a sweep looks past customers that could not be settled: ten thousand of them, and with more somebody has to look anyway.
const LOOKS: usize = 10;

/// What the vendor promises by default. One statement.
///
/// # Errors
/// The scope is missing, or the credential is a token of one customer.
pub async fn overshoot_default(app: &App, actor: &Actor) -> Result<OvershootDefault> {
    actor.require_for_all(Scope::CustomerRead)?;
    store::overshoot_default(app.db().reader(), actor.tenant).await
}

/// Says what the vendor promises by default. New customers have it at once, others soon. One statement.
///
/// # Errors
/// The scope is missing, or a limit that cannot be.
pub async fn update_overshoot_default(
    app: &App,
    actor: &Actor,
    input: OvershootDefault,
) -> Result<OvershootDefault> {
    actor.require_for_all(Scope::CustomerWrite)?;
    input.check()?;
    let op = Op::begin(app).await?;
    store::put_overshoot_default(&op, actor.tenant, input).await?;
    op.commit().await?;
    Ok(input)
}

/// Customers that follow their vendor and have not got what it promises. One statement where there are few. Where there are very many, those that
/// cannot be settled must not stand before the others: customers whose usage needs attention are left out, and come when they are retried or when
/// there are few again; those that were tried in vain come after all others, and of them first who has waited longest. Then it is two statements
/// more for each of [`LOOKS`] at most, and one.
pub(crate) async fn not_following(app: &App) -> Result<Vec<CustomerId>> {
    let db = app.db().reader();
    let found = store::not_following(db, &[], BATCH).await?;
    if found.len() < BATCH {
        return Ok(found);
    }
    let mut passed = work::set_aside(app, Duty::CUSTOMER).await?;
    let (mut fresh, mut failed) = (Vec::new(), Vec::new());
    for _ in 0..LOOKS {
        let found = store::not_following(db, &passed, BATCH).await?;
        let in_vain = work::failed_among(app, job::overshoot::KIND.name, &found).await?;
        fresh.extend(found.iter().filter(|id| !in_vain.contains_key(id)));
        failed.extend(in_vain.into_iter().map(|(id, due)| (due, id)));
        if found.len() < BATCH || fresh.len() >= BATCH {
            break;
        }
        passed.extend(found);
    }
    failed.retain(|(due, _)| *due <= app.now());
    failed.sort_unstable();
    fresh.extend(failed.into_iter().take(BATCH).map(|(_, id)| id));
    Ok(fresh)
}

/// Gives a customer what its vendor promises, if it follows it. Two statements where it has it; otherwise what a change of terms costs.
pub(crate) async fn follow(app: &App, id: CustomerId) -> Result<()> {
    let db = app.db().reader();
    let Some(row) = entity::customer::Entity::find_by_id(id.0).one(db).await? else {
        return Ok(());
    };
    let tenant = domain::id::TenantId(row.tenant_id);
    let present = Customer::try_from(row)?;
    let nothing = UpdateCustomer::default();
    let default = store::overshoot_default(db, tenant).await?;
    if nothing.terms(&present, default)? != present.terms {
        change(app, Reach::of(tenant), &present, nothing, true).await?;
    }
    Ok(())
}
