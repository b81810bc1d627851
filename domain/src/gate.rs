//! The gate: may this customer go on?
//!
//! A [`Standing`] is a customer as the books say, moved on by the usage that was accepted and is not debited yet. It is moved by
//! the rules of the drain itself, so the gate and the debit can never disagree about a price or about which block pays.

use uuid::Uuid;

use crate::{
    amount::{Credits, Quantity},
    credit::block::Block,
    customer::{AtZero, Terms},
    id::{BlockId, MetricId},
    metering::{
        Position, Price,
        rule::{Properties, RuleBook, select},
    },
    plan::Offers,
    subscription::{
        admission::Admission,
        portfolio::{Agreement, Portfolio, Stuck},
    },
    time::Timestamp,
    usage::{CounterKey, CustomerState, UsageError, drain::drain, event::PendingEvent},
};

/// Which limit decided a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credits are used up, and the customer's policy is to stop.
    InsufficientCredits,
    /// The overage line is reached.
    OverageLimitReached,
    /// The renewal of the subscription is overdue, and its variant allows no usage meanwhile. Credits do not help.
    SubscriptionOverdue,
    /// The subscription is paused. Credits do not help.
    SubscriptionPaused,
    /// No such customer.
    UnknownCustomer,
    /// What is known of the customer is too old or cannot be counted.
    Outage,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The customer's terms.
    pub terms: &'a Terms,
    /// What the subscriptions have to say; they refuse whatever the credits.
    pub admission: Admission,
    /// Every block with credits left.
    pub blocks: &'a [Block],
    /// What no block could cover.
    pub overdraft: Credits,
    /// The price in force; `None`: the metric is free of charge.
    pub price: Option<&'a Price>,
    /// How far the cycle's count has come.
    pub position: Position,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the customer may go on.
    pub allowed: bool,
    /// Which limit said no.
    pub reason: Option<Reason>,
    /// What the asked units would cost; `None` when it cannot be expressed.
    pub cost: Option<Credits>,
    /// Credits in the blocks that may pay for the metric, minus the overdraft; may be negative.
    pub remaining: Credits,
    /// Credits that are missing for the asked units; zero when they suffice, `None` when it cannot be expressed.
    pub missing: Option<Credits>,
    /// Credits left to spend on this metric; `None`: no limit.
    pub available: Option<Credits>,
    /// Units left to spend on; `None`: no limit.
    pub affordable_units: Option<Quantity>,
}

/// Decides about `units` more of a metric at an instant. The prices are those of the drain.
#[must_use]
pub fn decide(view: &View<'_>, metric: MetricId, units: Quantity, now: Timestamp) -> Decision {
    let usable = view
        .blocks
        .iter()
        .filter(|block| block.is_open_at(now) && block.pays_for(metric));
    let blocks: i128 = usable.map(|block| i128::from(block.remaining.raw())).sum();
    let remaining = blocks - i128::from(view.overdraft.raw());
    let remaining = remaining.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    let remaining = Credits::from_raw(i64::try_from(remaining).unwrap_or(i64::MAX));
    let available = view.terms.available(remaining, Credits::ZERO);
    let cost = match view.price {
        Some(price) => view
            .position
            .after(units)
            .and_then(|to| price.between(view.position, to))
            .ok(),
        None => Some(Credits::ZERO),
    };
    let affordable_units = match (available, view.price) {
        (Some(budget), Some(price)) => price.affordable(view.position, budget),
        _ => None,
    };
    let suffices = match (available, cost) {
        (None, _) => true,
        (Some(budget), Some(cost)) => cost <= budget,
        (Some(_), None) => false,
    };
    let missing = match (suffices, available, cost) {
        (true, ..) => Some(Credits::ZERO),
        (false, Some(budget), Some(cost)) => cost.minus(budget).ok(),
        (false, ..) => None,
    };
    let reason = match (view.admission, view.terms.at_zero) {
        (Admission::Overdue, _) => Some(Reason::SubscriptionOverdue),
        (Admission::Paused, _) => Some(Reason::SubscriptionPaused),
        (Admission::Admitted, _) if suffices => None,
        (Admission::Admitted, AtZero::AllowUpTo) => Some(Reason::OverageLimitReached),
        (Admission::Admitted, AtZero::Block | AtZero::Allow) => Some(Reason::InsufficientCredits),
    };
    Decision {
        allowed: reason.is_none(),
        reason,
        cost,
        remaining,
        missing,
        available,
        affordable_units,
    }
}

/// One customer as the gate sees it.
#[derive(Debug, Clone)]
pub struct Standing {
    terms: Terms,
    admission: Admission,
    state: CustomerState,
    undebited: Credits,
}

/// Steps that are foreseen for one customer. With more the workers are far behind, and the gate does not know.
const MAX_FORESEEN: usize = 100;

/// Debits usage in memory.
fn count(
    state: &mut CustomerState,
    undebited: &mut Credits,
    rules: &RuleBook,
    events: &[PendingEvent],
) -> Result<(), UsageError> {
    if events.is_empty() {
        return Ok(());
    }
    for event in drain(state, rules, events)?.events {
        *undebited = undebited
            .plus(event.credits)
            .map_err(|_| UsageError::TooLarge(event.id))?;
    }
    Ok(())
}

/// A question about one customer.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What.
    pub metric: MetricId,
    /// How much more; zero or more.
    pub units: Quantity,
    /// Facts that a rule may match on.
    pub properties: &'a Properties,
    /// The instant by whose prices it is asked: the present. A customer with a test clock may live earlier.
    pub known_at: Timestamp,
}

impl Standing {
    /// A customer as the books say.
    #[must_use]
    pub fn new(terms: Terms, admission: Admission, state: CustomerState) -> Self {
        Self {
            terms,
            admission,
            state,
            undebited: Credits::ZERO,
        }
    }

    /// Counts usage that was accepted and is not debited yet, as the drain will.
    ///
    /// # Errors
    /// It cannot be debited. The standing is then half moved and must be dropped.
    pub fn count(&mut self, rules: &RuleBook, events: &[PendingEvent]) -> Result<(), UsageError> {
        count(&mut self.state, &mut self.undebited, rules, events)
    }

    /// Moves on to an instant as the workers will: each step of the subscriptions that is due by then, after the usage accepted before
    /// it, and then the rest of the usage. So the new cycle's credits open the gate at its first instant, whenever a worker comes
    /// round. Answers until when that is so as well: until the next step.
    ///
    /// # Errors
    /// A step that cannot be taken, too many of them, or usage that cannot be debited.
    pub fn foresee(
        mut self,
        agreements: Vec<Agreement>,
        offers: &Offers,
        rules: &RuleBook,
        waiting: &[PendingEvent],
        until: Timestamp,
    ) -> Result<(Self, Option<Timestamp>), Stuck> {
        let mut portfolio = Portfolio {
            state: self.state,
            agreements,
            offers,
        };
        let mut waiting = waiting.to_vec();
        let mut names = u128::MAX;
        for _ in 0..MAX_FORESEEN {
            let Some((due, id)) = portfolio.next_due()?.filter(|(due, _)| due.at <= until) else {
                count(&mut portfolio.state, &mut self.undebited, rules, &waiting)?;
                let next = portfolio.barrier()?;
                self.admission = portfolio.admission()?;
                self.state = portfolio.state;
                return Ok((self, next));
            };
            let before: Vec<PendingEvent> = waiting.extract_if(.., |it| it.received_at < due.at).collect();
            count(&mut portfolio.state, &mut self.undebited, rules, &before)?;
            portfolio.refresh();
            // Names that are never written; all that they decide is the order of blocks that are alike.
            portfolio.take(id, due, || {
                names -= 1;
                BlockId(Uuid::from_u128(names))
            })?;
        }
        Err(Stuck::Books(UsageError::Books))
    }

    /// The cost of the usage that was counted here and is not debited yet.
    #[must_use]
    pub fn undebited(&self) -> Credits {
        self.undebited
    }

    /// The terms of the account.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Decides a question at an instant. The count is that of the stretch in which usage of this instant counts.
    #[must_use]
    pub fn decide(&mut self, question: Question<'_>, rules: &RuleBook, now: Timestamp) -> Decision {
        let rule = rules.get(&question.metric).and_then(|metric| {
            select(
                &metric.rules,
                question.properties,
                now,
                question.known_at.max(now),
            )
        });
        let counter = CounterKey {
            metric: question.metric,
            line: rule.map(|rule| rule.line),
            period_start: self.state.timeline.stretch(now).period.start,
        };
        let position = self.state.counters.get(&counter).map(|it| it.position);
        let view = View {
            terms: &self.terms,
            admission: self.admission,
            blocks: self.state.funds.blocks(),
            overdraft: self.state.funds.overdraft(),
            price: rule.map(|rule| &rule.price),
            position: position.unwrap_or_default(),
        };
        decide(&view, question.metric, question.units, now)
    }
}
