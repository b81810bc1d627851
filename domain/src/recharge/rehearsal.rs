//! What a rule would have done: a dry run over the balances of the past, by the code that decides charges.

use super::{
    Reason, Recharge, State,
    evaluate::{Circumstances, Verdict, evaluate},
};
use crate::{
    amount::{Credits, Overflow},
    id::PaymentId,
    money::Money,
    time::Timestamp,
};

/// What moved the balance in an hour, besides recharges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// Last instant of it.
    pub ends_at: Timestamp,
    /// By how much.
    pub change: Credits,
}

/// A charge that would have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsed {
    /// When.
    pub at: Timestamp,
    /// The balance before it.
    pub balance: Credits,
    /// How much.
    pub amount: Money,
    /// The credits that it would have bought.
    pub credits: Credits,
}

/// What a rule would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The charges, each of which succeeds.
    pub charges: Vec<Rehearsed>,
    /// Times at which the balance was low and nothing was charged.
    pub holds: Vec<(Timestamp, Reason)>,
    /// What the charges come to.
    pub total: Money,
    /// The lowest balance at the end of an hour, before a charge.
    pub lowest: Credits,
    /// The balance at the end.
    pub closing: Credits,
}

/// Runs a rule over the past. `recharge` has just been [begun](Recharge::begin) at its first instant; the balance of `at` is the one
/// before the first hour; the other circumstances are those of today.
///
/// # Errors
/// Amounts outside their range.
pub fn rehearse(
    mut recharge: Recharge,
    at: &Circumstances<'_>,
    hours: &[Hour],
) -> Result<Rehearsal, Overflow> {
    let mut done = Rehearsal {
        charges: Vec::new(),
        holds: Vec::new(),
        total: Money {
            minor: 0,
            currency: recharge.rule.monthly_cap.currency,
        },
        lowest: at.balance,
        closing: at.balance,
    };
    for hour in hours {
        done.closing = done.closing.plus(hour.change)?;
        done.lowest = done.lowest.min(done.closing);
        if recharge.state == State::Waiting && recharge.next_at.is_some_and(|next| next > hour.ends_at) {
            continue;
        }
        let circumstances = Circumstances {
            balance: done.closing,
            ..*at
        };
        let verdict = evaluate(&recharge, &circumstances, hour.ends_at)?;
        match verdict {
            Verdict::Charge { amount, credits } => {
                done.charges.push(Rehearsed {
                    at: hour.ends_at,
                    balance: done.closing,
                    amount,
                    credits,
                });
                done.closing = done.closing.plus(credits)?;
                done.total.minor = done.total.minor.checked_add(amount.minor).ok_or(Overflow)?;
                recharge.spent = recharge.spent.plus(amount.minor, hour.ends_at);
            }
            Verdict::Hold(reason) => {
                done.holds.push((hour.ends_at, reason));
                recharge.evaluated(verdict, PaymentId(uuid::Uuid::nil()), hour.ends_at);
            }
            Verdict::Enough => recharge.evaluated(verdict, PaymentId(uuid::Uuid::nil()), hour.ends_at),
        }
    }
    Ok(done)
}
