//! What is shown of auto-recharges.

use domain::{
    amount::Credits,
    id::{CustomerId, PaymentId, TenantId},
    payment::sale::Offer,
    plan::variant::Variant,
    recharge::{
        Reason, Recharge,
        evaluate::Circumstances,
        forecast::{self, Burn, Forecast},
        rehearsal::{Rehearsal, rehearse},
        rule::Rule,
    },
    rejection::Rejection,
    time::Timestamp,
};

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    payment::{self, Setting},
    subscription,
};

/// Over how long the use of credits is looked at for a forecast, in seconds: a week, which has all its days.
const BURN_SECONDS: i64 = 7 * 86_400;
/// How far back a dry run goes, in seconds: 30 days.
const REHEARSAL_SECONDS: i64 = 30 * 86_400;

/// What an auto-recharge came to when the balance was low.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Why nothing was charged; `None`: something was.
    pub reason: Option<Reason>,
    /// The balance that it looked at.
    pub balance: Credits,
    /// The threshold of the rule.
    pub threshold: Credits,
    /// What was charged.
    pub payment: Option<PaymentId>,
    /// How often in a row it came to the same.
    pub times: i32,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
}

/// A customer's auto-recharge; `None`: there never was one. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn recharge(app: &App, actor: &Actor, customer: CustomerId) -> Result<Option<Recharge>> {
    actor.require(Scope::PaymentRead)?;
    store::recharge(app.db().reader(), actor.reach(), customer).await
}

/// The latest evaluations of a customer's auto-recharge, newest first. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn evaluations(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    most: u64,
) -> Result<Vec<Evaluation>> {
    actor.require(Scope::PaymentRead)?;
    store::evaluations(app.db().reader(), actor.reach(), customer, most).await
}

/// What comes if the customer goes on as in the last seven days. Some seven statements.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn forecast(app: &App, actor: &Actor, customer: CustomerId) -> Result<Forecast> {
    let recharge = recharge(app, actor, customer).await?;
    let terms = Terms::read(app, actor, customer).await?;
    let past = store::past(app.db().reader(), customer, app.now().plus_seconds(-BURN_SECONDS)).await?;
    let burn = Burn {
        credits: Credits::total(past.hours.iter().map(|hour| hour.used)).map_err(too_large)?,
        seconds: BURN_SECONDS,
    };
    let offer = terms.offer();
    let seen = forecast::forecast(past.balance, burn, recharge.as_ref(), offer.as_ref(), app.now());
    Ok(seen.map_err(too_large)?)
}

/// What a rule would have done in the last 30 days, on the terms of today. Nothing is written. Some six statements.
///
/// # Errors
/// The scope is missing, a rule that cannot be, or no such customer.
pub async fn dry_run(app: &App, actor: &Actor, customer: CustomerId, rule: Rule) -> Result<Rehearsal> {
    actor.require(Scope::PaymentRead)?;
    rule.validate().map_err(|no| no.under("rule"))?;
    let terms = Terms::read(app, actor, customer).await?;
    let since = app.now().plus_seconds(-REHEARSAL_SECONDS);
    let past = store::past(app.db().reader(), customer, since).await?;
    let plans: Vec<&Variant> = terms.plans.iter().collect();
    let circumstances = Circumstances {
        balance: past.opening().map_err(too_large)?,
        is_frozen: false,
        is_stopped: false,
        sale: terms.setting.as_ref().map(|it| &it.sale),
        plans: &plans,
        can_pay: true,
    };
    let begun = Recharge::begin(actor.tenant, customer, rule, since);
    Ok(rehearse(begun, &circumstances, &past.without_recharges()).map_err(too_large)?)
}

fn too_large(_: domain::amount::Overflow) -> Rejection {
    Rejection::too_large("")
}

/// On what terms a customer buys.
struct Terms {
    setting: Option<Setting>,
    plans: Vec<Variant>,
}

impl Terms {
    async fn read(app: &App, actor: &Actor, customer: CustomerId) -> Result<Self> {
        let db = app.db().reader();
        let tenant: TenantId = actor.tenant;
        let who = CustomerRef::Id(customer);
        // What follows goes by the customer alone.
        let known = customer::find(db, actor.reach(), &who).await?;
        known.ok_or_else(|| who.unknown())?;
        Ok(Self {
            setting: payment::terms_in(db, &[(tenant, customer)], app.now())
                .await?
                .remove(&customer),
            plans: subscription::variants_in(db, customer).await?,
        })
    }

    fn offer(&self) -> Option<Offer> {
        let plans: Vec<&Variant> = self.plans.iter().collect();
        self.setting.as_ref()?.sale.offer(&plans)
    }
}
