//! What customers agree with themselves.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    id::{CustomerId, TenantId},
    rejection::Rejection,
    spend::{
        Limits, Mode, Rule, Span,
        tally::{Tally, Told},
    },
    time::Timestamp,
};

use super::{
    count::tell_in,
    event::TYPES,
    store::{self, Found, Place, Setting},
    view::{Spend, view_in},
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    idempotency::Once,
    op::Op,
    usage,
    webhook::{self, Delivery},
};

/// What is to become of a customer's limits; `None` leaves it.
#[derive(Debug, Clone)]
pub struct UpdateSpend {
    /// Whose.
    pub customer: CustomerRef,
    /// Whether it is switched on. One that is switched off keeps its limits.
    pub enabled: Option<bool>,
    /// What becomes of usage beyond a budget.
    pub mode: Option<Mode>,
    /// The limits of a day; `Some(None)`: none.
    pub daily: Option<Option<Limits>>,
    /// The limits of a month; `Some(None)`: none.
    pub monthly: Option<Option<Limits>>,
    /// Where it is told that a limit is reached; `Some(None)`: nowhere.
    pub webhook_url: Option<Option<String>>,
}

/// What has become of them.
#[derive(Debug, Clone)]
pub struct Updated {
    /// As they stand.
    pub spend: Spend,
    /// The secret by which the receiver at the URL knows us (`whsec_…`), where a URL was given.
    pub secret: Option<String>,
}

/// Changes how much a customer wants to spend. What was used before counts: a limit that is reached already is told at once. What was told
/// of a limit that changes is told again of the new one. Some ten statements, and what an endpoint costs.
///
/// # Errors
/// No such customer, limits that cannot be, or an address that may not be called.
pub async fn update(app: &App, actor: &Actor, input: UpdateSpend) -> Result<Updated> {
    actor.require(Scope::CustomerWrite)?;
    if input.webhook_url.is_some() {
        actor.require_for_all(Scope::WebhookWrite)?;
    }
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
    let account = op.lock_account(actor.tenant, customer).await?;
    account.ok_or_else(|| input.customer.unknown())?;
    let known = store::setting(op.tx(), customer).await?;
    let before = known.unwrap_or_else(|| Setting::none(actor.tenant, customer));
    let mut after = before.with(&input);
    after.rule.validate()?;
    let mut pointed = None;
    if let Some(url) = &input.webhook_url {
        let own = webhook::Own {
            tenant: actor.tenant,
            customer,
            field: "webhookUrl",
            types: &TYPES,
        };
        let endpoint = webhook::point_in(app, &mut op, &own, before.endpoint, url.as_deref()).await?;
        after.endpoint = endpoint.as_ref().map(|it| it.id);
        pointed = endpoint;
    }
    // Yesterday counts as well: its last usage may come later.
    let yesterday = op.present().day().plus_seconds(-1);
    if after.enabled && !before.enabled {
        after.since = yesterday.month().start;
    }
    store::put_setting(&op, &after).await?;
    count_anew(&op, &before, after, yesterday).await?;
    op.changed(customer);
    let spend = view_in(op.tx(), customer, op.present()).await?;
    op.commit().await?;
    let secret = match &pointed {
        Some(endpoint) => Some(webhook::secret_of(app, endpoint).await?),
        None => None,
    };
    Ok(Updated { spend, secret })
}

impl Setting {
    /// That of a customer that never had any.
    fn none(tenant: TenantId, customer: CustomerId) -> Self {
        Self {
            customer,
            tenant,
            enabled: false,
            rule: Rule::default(),
            endpoint: None,
            since: Timestamp::MAX,
        }
    }

    /// The same with what is to change of it.
    fn with(&self, input: &UpdateSpend) -> Self {
        let Rule { mode, daily, monthly } = self.rule;
        Self {
            enabled: input.enabled.unwrap_or(self.enabled),
            rule: Rule {
                mode: input.mode.unwrap_or(mode),
                daily: input.daily.map_or(daily, Option::unwrap_or_default),
                monthly: input.monthly.map_or(monthly, Option::unwrap_or_default),
            },
            ..self.clone()
        }
    }
}

/// Brings the tallies of the present to where they are, and tells what is reached while it is switched on. What is told of a limit is forgotten with
/// it also while it is switched off.
async fn count_anew(op: &Op, before: &Setting, after: Setting, yesterday: Timestamp) -> Result<()> {
    let customer = after.customer;
    let now = op.present();
    let present = [now, yesterday]
        .into_iter()
        .flat_map(|at| Span::ALL.map(|span| (customer, span, span.period(at).start)));
    let mut places: Vec<Place> = present.collect();
    let begins = after.enabled && !before.enabled;
    let spent = match begins {
        true => Some(spent_in(op, customer, after.since).await?),
        false => None,
    };
    if let Some(spent) = &spent {
        places.extend(spent.keys().copied());
    }
    places.sort_unstable();
    places.dedup();
    let known = store::tallies(op.tx(), &places).await?;
    let mut tallies = Vec::with_capacity(places.len());
    for place in places {
        let (_, span, start) = place;
        let known = known.get(&place).copied();
        let mut tally = known.unwrap_or_else(|| Tally::begin(span, start));
        if let Some(spent) = &spent {
            let cost = spent.get(&place).copied().unwrap_or_default();
            tally.credits = cost.plus(tally.corrected)?;
        }
        tally.agree(&before.rule, &after.rule, now);
        if begins && !tally.period().contains(now) {
            // Nobody wanted to know then.
            tally.told = Told::ALL;
        }
        tallies.push((customer, tally));
    }
    if !after.enabled {
        return store::put_tallies(op, &tallies).await;
    }
    let found = Found {
        setting: after.clone(),
        own_time: op.own_time(),
    };
    tell_in(op, &HashMap::from([(customer, found)]), tallies).await
}

/// What was spent in each day and month since an instant, from what usage came to. One statement.
async fn spent_in(op: &Op, customer: CustomerId, since: Timestamp) -> Result<HashMap<Place, Credits>> {
    let mut spent: HashMap<Place, Credits> = HashMap::new();
    for (day, credits) in usage::spent_by_day_in(op.tx(), customer, since).await? {
        for span in Span::ALL {
            let place = (customer, span, span.period(day).start);
            let sum = spent.entry(place).or_default();
            *sum = sum.plus(credits)?;
        }
    }
    Ok(spent)
}

/// Sends a test to the URL that hears of a customer's limits.
///
/// # Errors
/// No such customer, or it has no URL, or nothing is sent there.
pub async fn send_test(app: &App, actor: &Actor, who: &CustomerRef, key: &str) -> Result<Once<Delivery>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), who).await?;
    let known = store::setting(db, customer).await?;
    let endpoint = match known.and_then(|it| it.endpoint) {
        Some(id) => webhook::endpoint_in(db, actor.tenant, id).await?,
        None => None,
    };
    let Some(endpoint) = endpoint else {
        return Err(Rejection::not_found("customerId", "webhook URL; `updateSpendSettings` sets one").into());
    };
    webhook::send_test(app, actor, endpoint.id, key).await
}
