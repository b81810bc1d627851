//! What becomes of an auto-recharge. Every change of one is here.

use super::{Reason, Recharge, Spent, State, evaluate::Verdict, rule::Rule};
use crate::{
    id::{CustomerId, PaymentId, TenantId},
    payment::{Payment, State as PaymentState, decline::Decline},
    time::Timestamp,
};

/// Seconds until a charge is tried again that the bank declined: after an hour, a day and three days. When the last one has been declined
/// as well it is switched off.
pub const RETRIES: [i64; 3] = [3_600, 86_400, 259_200];
/// Seconds for which a charge that succeeded keeps the next one back: usage that was waiting is debited meanwhile.
pub const REST_SECONDS: i64 = 60;
/// Seconds until a reason is looked at again that somebody has to remove.
const AGAIN_SECONDS: i64 = 3_600;

impl Recharge {
    /// One that nobody has agreed to before.
    #[must_use]
    pub fn begin(tenant: TenantId, customer: CustomerId, rule: Rule, now: Timestamp) -> Self {
        Self {
            customer,
            tenant,
            rule,
            state: State::Watching,
            reason: None,
            next_at: None,
            failures: 0,
            payment: None,
            spent: Spent::nothing(now),
        }
    }

    /// Somebody agrees to a rule and switches it on: also one that was switched off because charging failed. A charge under way stays the
    /// only one. What the month has cost stays, unless the new rule counts in another currency.
    pub fn agree(&mut self, rule: Rule) {
        if rule.monthly_cap.currency != self.rule.monthly_cap.currency {
            (self.spent.in_month, self.spent.told) = (0, 0);
        }
        self.rule = rule;
        self.failures = 0;
        let open = self.payment.is_some();
        self.become_state(if open { State::Charging } else { State::Watching }, None, None);
    }

    /// Somebody switches it off. A charge under way goes on, and its credits are granted.
    pub fn switch_off(&mut self) {
        self.become_state(State::Off, None, None);
    }

    /// Takes over an evaluation. `payment` is what a charge will be called.
    pub fn evaluated(&mut self, verdict: Verdict, payment: PaymentId, now: Timestamp) {
        match verdict {
            Verdict::Enough => self.become_state(State::Watching, None, None),
            Verdict::Charge { amount, .. } => {
                self.spent = self.spent.plus(amount.minor, now);
                self.payment = Some(payment);
                self.become_state(State::Charging, None, None);
            }
            Verdict::Hold(reason) => {
                let again = match reason {
                    Reason::CapReached => now.month().end,
                    Reason::DailyLimit => now.next_day(),
                    _ => now.plus_seconds(AGAIN_SECONDS),
                };
                self.wait(reason, again);
            }
        }
    }

    /// Takes over where one of its payments has come to.
    pub fn heard(&mut self, payment: &Payment, now: Timestamp) {
        let minor = payment.amount.minor;
        if self.payment != Some(payment.id) {
            // One that counted as failed, and took the money after all.
            if payment.progress.state == PaymentState::Succeeded {
                let spent = self.spent.at(now);
                let in_month = spent.in_month.saturating_add(minor);
                self.spent = Spent { in_month, ..spent };
            }
            return;
        }
        let ended = !payment.progress.state.is_open();
        if ended {
            self.payment = None;
        }
        if payment.progress.state == PaymentState::Failed {
            self.spent = self.spent.minus(minor);
        }
        let is_on = matches!(self.state, State::Charging | State::Paused);
        match payment.progress.state {
            PaymentState::Succeeded => {
                self.failures = 0;
                if is_on {
                    self.wait(Reason::JustCharged, now.plus_seconds(REST_SECONDS));
                }
            }
            PaymentState::Failed if is_on => self.declined(payment.progress.decline, now),
            PaymentState::RequiresAction if is_on => {
                self.become_state(State::Paused, Some(Reason::AuthenticationRequired), None);
            }
            PaymentState::Quarantined if is_on => self.disable(Reason::Quarantined),
            _ => {}
        }
    }

    /// Money of the customer's goes back. Nobody wants it to be charged again because the balance has become low by that. A charge under way
    /// goes on, and its credits are granted: it is the last.
    pub fn money_went_back(&mut self) {
        if !matches!(self.state, State::Off | State::Disabled) {
            self.disable(Reason::MoneyWentBack);
        }
    }

    fn declined(&mut self, decline: Option<Decline>, now: Timestamp) {
        match decline {
            Some(Decline::Withdrawn) => self.wait(Reason::Stopped, now.plus_seconds(AGAIN_SECONDS)),
            // Nobody has declined anything: the provider was out of reach for a day.
            Some(Decline::NeverSubmitted) => self.wait(Reason::Declined, now.plus_seconds(RETRIES[0])),
            Some(decline) if decline.is_soft() => {
                let pause = usize::try_from(self.failures).ok().and_then(|n| RETRIES.get(n));
                self.failures = self.failures.saturating_add(1);
                match pause {
                    Some(seconds) => self.wait(Reason::Declined, now.plus_seconds(*seconds)),
                    None => self.disable(Reason::RetriesFailed),
                }
            }
            Some(Decline::NotConfirmed) => self.disable(Reason::NotConfirmed),
            _ => self.disable(Reason::MethodRefused),
        }
    }

    fn wait(&mut self, reason: Reason, until: Timestamp) {
        self.become_state(State::Waiting, Some(reason), Some(until));
    }

    fn disable(&mut self, reason: Reason) {
        self.become_state(State::Disabled, Some(reason), None);
    }

    fn become_state(&mut self, state: State, reason: Option<Reason>, next_at: Option<Timestamp>) {
        (self.state, self.reason, self.next_at) = (state, reason, next_at);
    }
}
