//! The gate: may this customer go on?
//!
//! A [`Standing`] is a customer as the books say, moved on by the usage that was accepted and is not debited yet. It is moved by
//! the rules of the drain itself, so the gate and the debit can never disagree about a price or about which block pays. On top of it
//! come the claims of open holds ([`crate::hold`]), and a further hold is decided by the same functions.

use uuid::Uuid;

use crate::{
    amount::{Credits, Quantity},
    credit::block::Block,
    customer::{AtZero, Terms},
    hold::{
        Hold,
        claims::{Claims, Instant, Priced},
    },
    id::{BlockId, MetricId},
    metering::{
        Position, Price,
        rule::{Properties, RuleBook},
    },
    plan::Offers,
    spend::{
        Mode, Span, least,
        standing::{Left, Spending},
    },
    subscription::{
        admission::Admission,
        portfolio::{Agreement, Portfolio, Stuck},
    },
    time::Timestamp,
    usage::{CustomerState, UsageError, drain::drain, event::PendingEvent},
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
    /// The customer's own budget of the day is spent. Credits do not help; the next day does.
    DailyBudgetReached,
    /// The customer's own budget of the month is spent.
    MonthlyBudgetReached,
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
    /// What open holds set aside of the credits that may pay for the metric, zero or more.
    pub held: Credits,
    /// How far the cycle's count has come, with what is held of it.
    pub position: Position,
    /// The customer's own limits; `None`: it has none.
    pub spending: Option<&'a Spending>,
    /// What open holds claim in all, of whatever credits, zero or more: it counts against the limits.
    pub claimed: Credits,
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
    /// What open holds set aside of that, zero or more.
    pub held: Credits,
    /// Credits that are missing for the asked units; zero when they suffice, `None` when it cannot be expressed. Says nothing of budgets.
    pub missing: Option<Credits>,
    /// What is left of the customer's own budget of the day; `None`: it has none.
    pub daily: Option<Left>,
    /// What is left of the customer's own budget of the month; `None`: it has none.
    pub monthly: Option<Left>,
    /// What a budget that is only observed would have said.
    pub would_refuse: Option<Reason>,
    /// Credits left to spend on this metric; `None`: no limit.
    pub available: Option<Credits>,
    /// Units left to spend on; `None`: no limit.
    pub affordable_units: Option<Quantity>,
}

impl Decision {
    /// When the limit that decided is over by itself; `None`: it is not, or nothing was refused.
    #[must_use]
    pub fn resets_at(&self) -> Option<Timestamp> {
        let decided = match self.reason? {
            Reason::DailyBudgetReached => self.daily,
            Reason::MonthlyBudgetReached => self.monthly,
            _ => None,
        };
        decided.map(|it| it.resets_at)
    }
}

/// Decides about `units` more of a metric at an instant. The prices are those of the drain.
#[must_use]
pub fn decide(view: &View<'_>, metric: MetricId, units: Quantity, now: Timestamp) -> Decision {
    let cost = match view.price {
        Some(price) => view
            .position
            .after(units)
            .and_then(|to| price.between(view.position, to))
            .ok(),
        None => Some(Credits::ZERO),
    };
    judge(view, metric, cost, now)
}

/// Credits in the blocks that may pay for a metric at an instant, minus the overdraft.
fn remaining(blocks: &[Block], overdraft: Credits, metric: MetricId, now: Timestamp) -> Credits {
    let usable = blocks
        .iter()
        .filter(|block| block.is_open_at(now) && block.pays_for(metric));
    let blocks: i128 = usable.map(|block| i128::from(block.remaining.raw())).sum();
    let remaining = blocks - i128::from(overdraft.raw());
    let remaining = remaining.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Credits::from_raw(i64::try_from(remaining).unwrap_or(i64::MAX))
}

/// Decides about something that costs so much; `None`: that cannot be expressed.
fn judge(view: &View<'_>, metric: MetricId, cost: Option<Credits>, now: Timestamp) -> Decision {
    let remaining = remaining(view.blocks, view.overdraft, metric, now);
    let funded = view.terms.available(remaining, view.held);
    let enforced = view.spending.and_then(|it| it.enforced(view.claimed, now));
    let observed = view.spending.filter(|it| it.mode() == Mode::Observe);
    let observed = observed.and_then(|it| it.tightest(view.claimed, now));
    let available = least(funded, enforced.map(|it| it.left));
    let affordable_units = match (available, view.price) {
        (Some(budget), Some(price)) => price.affordable(view.position, budget),
        _ => None,
    };
    let exceeds = |limit: Credits| cost.is_none_or(|cost| cost > limit);
    let unfunded = funded.is_some_and(exceeds);
    let missing = match (unfunded, funded, cost) {
        (false, ..) => Some(Credits::ZERO),
        (true, Some(funded), Some(cost)) => cost.minus(funded).ok(),
        (true, ..) => None,
    };
    let over = |budget: Option<Left>| budget.filter(|it| exceeds(it.left)).map(spent);
    // Of the two the one that leaves less decides.
    let decides = enforced.filter(|it| !unfunded || funded.is_some_and(|funded| it.left < funded));
    let reason = match (view.admission, view.terms.at_zero) {
        (Admission::Overdue, _) => Some(Reason::SubscriptionOverdue),
        (Admission::Paused, _) => Some(Reason::SubscriptionPaused),
        (Admission::Admitted, at_zero) => over(decides).or(unfunded.then_some(match at_zero {
            AtZero::AllowUpTo => Reason::OverageLimitReached,
            AtZero::Block | AtZero::Allow => Reason::InsufficientCredits,
        })),
    };
    let left = |span| view.spending.and_then(|it| it.left(span, view.claimed, now));
    Decision {
        allowed: reason.is_none(),
        reason,
        cost,
        remaining,
        held: view.held,
        missing,
        daily: left(Span::Day),
        monthly: left(Span::Month),
        would_refuse: over(observed),
        available,
        affordable_units,
    }
}

/// What a budget says that does not suffice.
fn spent(budget: Left) -> Reason {
    match budget.span {
        Span::Day => Reason::DailyBudgetReached,
        Span::Month => Reason::MonthlyBudgetReached,
    }
}

/// One customer as the gate sees it.
#[derive(Debug, Clone)]
pub struct Standing {
    terms: Terms,
    admission: Admission,
    state: CustomerState,
    counted: Counted,
    /// Holds that were open when the books were read, in the order in which they were made.
    holds: Vec<Hold>,
    claims: Option<Claimed>,
}

/// What was counted on top of the books.
#[derive(Debug, Clone, Default)]
struct Counted {
    /// The cost of usage that is not debited yet.
    undebited: Credits,
    /// The customer's own limits, with what is spent and not debited yet.
    spending: Option<Spending>,
}

/// What open holds claim, kept for the next questions.
#[derive(Debug, Clone)]
struct Claimed {
    claims: Claims,
    /// From this instant on,
    from: Timestamp,
    /// and before this one.
    until: Timestamp,
}

/// How long the claims of holds are believed while no deadline passes and nothing else changes, in seconds: as long as a list of prices
/// is.
const CLAIMS_BELIEVED: i64 = 1;

/// Steps that are foreseen for one customer. With more the workers are far behind, and the gate does not know.
const MAX_FORESEEN: usize = 100;

/// Debits usage in memory.
fn count(
    state: &mut CustomerState,
    counted: &mut Counted,
    rules: &RuleBook,
    events: &[PendingEvent],
) -> Result<(), UsageError> {
    if events.is_empty() {
        return Ok(());
    }
    let rated = drain(state, rules, events)?.events;
    for (event, rated) in events.iter().zip(rated) {
        let too_large = |_| UsageError::TooLarge(event.id);
        counted.undebited = counted.undebited.plus(rated.credits).map_err(too_large)?;
        if let Some(spending) = &mut counted.spending {
            spending
                .add(event.occurred_at, rated.credits)
                .map_err(too_large)?;
        }
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
            counted: Counted::default(),
            holds: Vec::new(),
            claims: None,
        }
    }

    /// The same customer with holds, in the order in which they were made.
    #[must_use]
    pub fn with_holds(self, holds: Vec<Hold>) -> Self {
        Self {
            holds,
            claims: None,
            ..self
        }
    }

    /// The same customer with limits of its own.
    #[must_use]
    pub fn with_spending(mut self, spending: Option<Spending>) -> Self {
        self.counted.spending = spending;
        self
    }

    /// Counts usage that was accepted and is not debited yet, as the drain will.
    ///
    /// # Errors
    /// It cannot be debited. The standing is then half moved and must be dropped.
    pub fn count(&mut self, rules: &RuleBook, events: &[PendingEvent]) -> Result<(), UsageError> {
        if !events.is_empty() {
            self.claims = None;
        }
        count(&mut self.state, &mut self.counted, rules, events)
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
                count(&mut portfolio.state, &mut self.counted, rules, &waiting)?;
                let next = portfolio.barrier()?;
                self.admission = portfolio.admission()?;
                self.state = portfolio.state;
                self.claims = None;
                return Ok((self, next));
            };
            let before: Vec<PendingEvent> = waiting.extract_if(.., |it| it.received_at < due.at).collect();
            count(&mut portfolio.state, &mut self.counted, rules, &before)?;
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
        self.counted.undebited
    }

    /// The terms of the account.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Decides a question at an instant. The count is that of the stretch in which usage of this instant counts, with what is held
    /// of it.
    #[must_use]
    pub fn decide(&mut self, question: Question<'_>, rules: &RuleBook, now: Timestamp) -> Decision {
        let at = Instant {
            now,
            known_at: question.known_at,
        };
        let Question { metric, units, .. } = question;
        let priced = Priced::of(&mut self.state, rules, metric, question.properties, at);
        if !self.holds.is_empty() {
            self.claim(rules, at);
        }
        decide(&self.view(priced, metric, now), metric, units, now)
    }

    /// Sets credits aside for a further hold, if they suffice: answers how many. Whoever is asked next knows of it.
    ///
    /// # Errors
    /// What stands against it; without a reason when what it claims cannot be expressed.
    pub fn reserve(&mut self, hold: Hold, rules: &RuleBook, at: Instant) -> Result<Credits, Box<Decision>> {
        let priced = Priced::of(&mut self.state, rules, hold.metric, &hold.properties, at);
        let asked = self.claim(rules, at).asked(priced, &hold);
        let view = self.view(priced, hold.metric, at.now);
        let decision = judge(&view, hold.metric, asked.ok(), at.now);
        let refused = |decision| Err(Box::new(decision));
        let Some(credits) = decision.cost.filter(|_| decision.allowed) else {
            return refused(decision);
        };
        if self.claim(rules, at).add(priced, &hold, at.now).is_err() {
            return refused(decision);
        }
        self.holds.push(hold);
        Ok(credits)
    }

    /// What the open holds claim as of an instant: as it is kept, or anew.
    fn claim(&mut self, rules: &RuleBook, at: Instant) -> &mut Claims {
        let kept = self.claims.take();
        let kept = kept.filter(|it| it.from <= at.now && at.now < it.until);
        let claimed = kept.unwrap_or_else(|| {
            let deadlines = self.holds.iter().map(|hold| hold.expires_at);
            let first = deadlines.filter(|deadline| *deadline > at.now).min();
            let stretch = self.state.timeline.stretch(at.now).period.end;
            let until = at.now.plus_seconds(CLAIMS_BELIEVED).min(stretch);
            Claimed {
                claims: Claims::of(&mut self.state, rules, &self.holds, at),
                from: at.now,
                until: until.min(first.unwrap_or(Timestamp::MAX)),
            }
        });
        &mut self.claims.insert(claimed).claims
    }

    /// What is looked at, with the claims that are known.
    fn view<'a>(&'a self, priced: Priced<'a>, metric: MetricId, now: Timestamp) -> View<'a> {
        let funds = &self.state.funds;
        let left = |blocks, overdraft| remaining(blocks, overdraft, metric, now);
        let (held, claimed, position) = match &self.claims {
            None => (Credits::ZERO, Credits::ZERO, self.state.position(priced.counter)),
            Some(Claimed { claims, .. }) => {
                let held = claims.funds().and_then(|claimed| {
                    let before = left(funds.blocks(), funds.overdraft());
                    before.minus(left(claimed.blocks(), claimed.overdraft())).ok()
                });
                (
                    held.unwrap_or(Credits::MAX),
                    claims.total(),
                    claims.position(priced.counter),
                )
            }
        };
        View {
            terms: &self.terms,
            admission: self.admission,
            blocks: funds.blocks(),
            overdraft: funds.overdraft(),
            price: priced.rule.map(|rule| &rule.price),
            held,
            position,
            spending: self.counted.spending.as_ref(),
            claimed,
        }
    }
}
