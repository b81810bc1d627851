//! What is shown of limits, and of what is spent.

use domain::{
    amount::Credits,
    id::CustomerId,
    spend::{Limits, Mode, Rule, Span},
    time::{Period, Timestamp},
};
use sea_orm::ConnectionTrait;

use super::store::{self, Place};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    test_clock, usage,
    webhook::{self, Endpoint},
};

/// Rows of ratings that are added up for a customer whose spending is not counted: some milliseconds. A customer has one per metric and batch
/// of debits, so this is a month of thousands of calls a day, or some hours of one that never rests.
pub const MOST_RATINGS: i64 = 10_000;

/// What is spent in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpentIn {
    /// From when to when it is counted.
    pub period: Period,
    /// The limits.
    pub limits: Limits,
    /// What debited usage cost, zero or more; `None`: it is not known, see [`spend`].
    pub used: Option<Credits>,
}

impl SpentIn {
    /// What is left of the budget, zero or more; `None`: there is none, or what is used is not known.
    #[must_use]
    pub fn left(&self) -> Option<Credits> {
        let left = self.limits.budget?.minus(self.used?).unwrap_or_default();
        Some(left.max(Credits::ZERO))
    }

    /// What was used beyond the budget, zero or more: what an observed budget would have held back. `None`: what is used is not known.
    #[must_use]
    pub fn beyond(&self) -> Option<Credits> {
        let used = self.used?;
        let beyond = self.limits.budget.and_then(|budget| used.minus(budget).ok());
        Some(beyond.unwrap_or_default().max(Credits::ZERO))
    }
}

/// How much a customer wants to spend, and what it has spent.
#[derive(Debug, Clone, PartialEq)]
pub struct Spend {
    /// Whose.
    pub customer: CustomerId,
    /// Whether it is switched on.
    pub enabled: bool,
    /// What becomes of usage beyond a budget.
    pub mode: Mode,
    /// Today.
    pub daily: SpentIn,
    /// This month.
    pub monthly: SpentIn,
    /// What was spent yesterday, zero or more; `None`: it is not known.
    pub yesterday: Option<Credits>,
    /// The webhook endpoint that hears of it.
    pub endpoint: Option<Endpoint>,
}

/// How much a customer wants to spend, and what it has spent by what is debited: exactly while that is counted, and otherwise added up from
/// [`MOST_RATINGS`] rows of ratings at most, so that what nobody counts costs nobody much. Five statements.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn spend(app: &App, actor: &Actor, customer: CustomerId) -> Result<Spend> {
    actor.require(Scope::CreditRead)?;
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), &CustomerRef::Id(customer)).await?;
    let now = test_clock::now_of(app, customer).await?;
    view_in(db, customer, now).await
}

pub(super) async fn view_in(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Spend> {
    let setting = store::setting(db, customer).await?;
    let enabled = setting.as_ref().is_some_and(|it| it.enabled);
    let rule = setting.as_ref().map_or(Rule::default(), |it| it.rule);
    let yesterday = now.day().plus_seconds(-1);
    let places = [(Span::Day, now), (Span::Day, yesterday), (Span::Month, now)];
    let places = places.map(|(span, at)| (customer, span, span.period(at).start));
    let [today, yesterday, month] = match enabled {
        true => counted(db, places).await?,
        false => summed(db, places).await?,
    };
    let endpoint = setting.and_then(|it| Some((it.tenant, it.endpoint?)));
    let endpoint = match endpoint {
        Some((tenant, id)) => webhook::endpoint_in(db, tenant, id).await?,
        None => None,
    };
    let spent_in = |span: Span, used| SpentIn {
        period: span.period(now),
        limits: rule.limits(span),
        used,
    };
    Ok(Spend {
        customer,
        enabled,
        mode: rule.mode,
        daily: spent_in(Span::Day, today),
        monthly: spent_in(Span::Month, month),
        yesterday,
        endpoint,
    })
}

/// What is kept of some periods.
async fn counted(db: &impl ConnectionTrait, places: [Place; 3]) -> Result<[Option<Credits>; 3]> {
    let tallies = store::tallies(db, &places).await?;
    Ok(places.map(|place| Some(tallies.get(&place).map_or(Credits::ZERO, |it| it.used()))))
}

/// The same from what usage came to lately, where nothing is kept, as far as it is known.
async fn summed(db: &impl ConnectionTrait, places: [Place; 3]) -> Result<[Option<Credits>; 3]> {
    let [(customer, ..), ..] = places;
    let since = places.map(|(.., start)| start).into_iter().min();
    let since = since.unwrap_or(Timestamp::MIN);
    let recent = usage::spent_lately_in(db, customer, since, MOST_RATINGS).await?;
    let mut sums = [None; 3];
    for (sum, (_, span, start)) in sums.iter_mut().zip(places) {
        *sum = recent.spent_in(span.period(start))?;
    }
    Ok(sums)
}
