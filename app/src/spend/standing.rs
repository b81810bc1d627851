//! How customers stand against their limits, for those who decide or show what is left to spend.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    id::CustomerId,
    spend::{Span, standing::Spending, tally::Tally},
    time::Timestamp,
    usage::limits::MAX_AHEAD_SECONDS,
};
use entity::account;
use sea_orm::ConnectionTrait;

use super::store;
use crate::error::Result;

/// A customer's limits and what it has spent, and its present.
struct Standing {
    spending: Spending,
    now: Timestamp,
}

async fn standings(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Standing>> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    let settings = store::found(db, customers).await?;
    let mut places = Vec::new();
    for (customer, found) in &settings {
        let now = found.own_time.unwrap_or(now);
        // Usage may be dated ahead: what is kept is believed until the account changes, and midnight changes none.
        for at in [now, now.plus_seconds(MAX_AHEAD_SECONDS)] {
            places.extend(Span::ALL.map(|span| (*customer, span, span.period(at).start)));
        }
    }
    places.sort_unstable();
    places.dedup();
    let mut tallies: HashMap<CustomerId, Vec<Tally>> = HashMap::new();
    for ((customer, ..), tally) in store::tallies(db, &places).await? {
        tallies.entry(customer).or_default().push(tally);
    }
    let mut standings = HashMap::with_capacity(settings.len());
    for (customer, found) in settings {
        let tallies = tallies.remove(&customer).unwrap_or_default();
        let standing = Standing {
            spending: Spending::new(found.setting.rule, tallies),
            now: found.own_time.unwrap_or(now),
        };
        standings.insert(customer, standing);
    }
    Ok(standings)
}

/// The limits of customers that have them switched on, and what they have spent in their present day and month. Two statements, none for no
/// customers.
pub(crate) async fn spendings_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Spending>> {
    let standings = standings(db, customers, now).await?;
    Ok(standings
        .into_iter()
        .map(|(customer, it)| (customer, it.spending))
        .collect())
}

/// What enforced budgets leave to spend on accounts, beside what is held, each at its own present; nothing where they cannot be read. Two
/// statements, none where no account has it switched on.
pub(crate) async fn left_in(
    db: &impl ConnectionTrait,
    accounts: &[account::Model],
    held: &HashMap<CustomerId, Credits>,
    now: Timestamp,
) -> Result<HashMap<CustomerId, Credits>> {
    let managed = || accounts.iter().filter(|row| row.spend_managed != 0);
    let customers: Vec<CustomerId> = managed().map(|row| CustomerId(row.customer_id)).collect();
    let standings = standings(db, &customers, now).await?;
    let left = managed().filter_map(|row| {
        let customer = CustomerId(row.customer_id);
        let Some(Standing { spending, now }) = standings.get(&customer) else {
            return Some((customer, Credits::ZERO));
        };
        let held = held.get(&customer).copied().unwrap_or_default();
        let left = spending.enforced(held, *now)?;
        Some((customer, left.left))
    });
    Ok(left.collect())
}
