//! Whether to charge.

use super::{Reason, Recharge, rule::Wish};
use crate::{
    amount::{Credits, Overflow},
    money::Money,
    payment::sale::Sale,
    plan::variant::Variant,
    time::Timestamp,
};

/// Most charges of a day of UTC. A rule that needs more is set too low.
pub const MAX_PER_DAY: i32 = 5;

/// What an evaluation looks at besides the rule.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Blocks minus overdraft.
    pub balance: Credits,
    /// Whether the audit found that the books do not add up.
    pub is_frozen: bool,
    /// Whether the vendor has stopped all auto-recharges.
    pub is_stopped: bool,
    /// How the vendor sells credits; `None`: not at all.
    pub sale: Option<&'a Sale>,
    /// What the customer subscribes to.
    pub plans: &'a [&'a Variant],
    /// Whether there is a default payment method with the vendor's provider.
    pub can_pay: bool,
}

/// What an evaluation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The balance is above the threshold.
    Enough,
    /// This is charged.
    Charge {
        /// How much.
        amount: Money,
        /// The credits that it buys.
        credits: Credits,
    },
    /// The balance is low, and nothing is charged.
    Hold(Reason),
}

/// Decides on a charge. What only the vendor can change is said before what the customer can change.
///
/// # Errors
/// Amounts outside their range.
pub fn evaluate(recharge: &Recharge, at: &Circumstances<'_>, now: Timestamp) -> Result<Verdict, Overflow> {
    let rule = &recharge.rule;
    if at.balance > rule.threshold {
        return Ok(Verdict::Enough);
    }
    let hold = |reason| Ok(Verdict::Hold(reason));
    if at.is_frozen {
        return hold(Reason::Frozen);
    }
    if at.is_stopped {
        return hold(Reason::Stopped);
    }
    let Some(sale) = at.sale else {
        return hold(Reason::NotSold);
    };
    let Some(offer) = sale.offer(at.plans) else {
        return hold(Reason::NotSold);
    };
    if !at.can_pay {
        return hold(Reason::NoPaymentMethod);
    }
    let spent = recharge.spent.at(now);
    if spent.on_day >= MAX_PER_DAY {
        return hold(Reason::DailyLimit);
    }
    let room = rule.monthly_cap.minor.saturating_sub(spent.in_month);
    let amount = match rule.wish(at.balance, &offer, room)? {
        Wish::Capped => return hold(Reason::CapReached),
        Wish::NotSold => return hold(Reason::NotSold),
        Wish::Buy(amount) => amount,
    };
    match sale.buy(at.plans, amount) {
        Ok(credits) => Ok(Verdict::Charge { amount, credits }),
        Err(_) => hold(Reason::NotSold),
    }
}
