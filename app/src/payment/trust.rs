//! On what terms a customer buys: those of the vendor, as far as the customer is trusted.

use std::collections::HashMap;

use domain::{
    id::{CustomerId, TenantId},
    money::Money,
    payment::trust::TrustTier,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;

use super::{
    setting::{Setting, needed},
    store,
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    op::Op,
};

/// How credits are sold to some customers; those of vendors that sell none are left out. One statement, two where a vendor has tiers of trust.
pub(crate) async fn terms_in(
    db: &impl ConnectionTrait,
    buyers: &[(TenantId, CustomerId)],
    now: Timestamp,
) -> Result<HashMap<CustomerId, Setting>> {
    let mut tenants: Vec<TenantId> = buyers.iter().map(|(tenant, _)| *tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let settings = store::settings_in(db, &tenants).await?;
    let has_tiers = |tenant| settings.get(tenant).is_some_and(|it| !it.sale.tiers.is_empty());
    let judged = buyers.iter().filter(|(tenant, _)| has_tiers(tenant));
    let judged: Vec<CustomerId> = judged.map(|(_, customer)| *customer).collect();
    let known = match judged.is_empty() {
        true => HashMap::new(),
        false => store::known(db, &judged).await?,
    };
    let terms = |(tenant, customer): &(TenantId, CustomerId)| {
        let mut setting = settings.get(tenant)?.clone();
        if let Some(known) = known.get(customer) {
            let trust = Trust::of(&setting, known, now);
            setting.sale = setting.sale.within(trust.as_ref().map(|trust| &trust.tier));
        }
        Some((*customer, setting))
    };
    Ok(buyers.iter().filter_map(terms).collect())
}

/// The same for one, who cannot do without.
pub(crate) async fn needed_by(op: &Op, actor: &Actor, customer: CustomerId) -> Result<Setting> {
    let buyer = (actor.tenant, customer);
    match terms_in(op.tx(), &[buyer], op.now()).await?.remove(&customer) {
        Some(setting) => Ok(setting),
        // It says why.
        None => needed(op.tx(), actor).await,
    }
}

/// How far a customer is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The customer's tier.
    pub tier: TrustTier,
    /// Whether somebody has chosen it; otherwise the customer has reached it.
    pub is_chosen: bool,
    /// What was paid, without what has gone back or is disputed.
    pub paid: Money,
    /// When the first payment succeeded.
    pub first_paid_at: Option<Timestamp>,
}

impl Trust {
    fn of(setting: &Setting, known: &store::Known, now: Timestamp) -> Option<Self> {
        let currency = setting.sale.price.currency;
        let record = known.record(currency);
        let now = known.own_time.unwrap_or(now);
        let tier = setting.sale.trust(known.chosen.as_deref(), &record, now)?;
        Some(Self {
            is_chosen: known.chosen.as_ref() == Some(&tier.key),
            tier: tier.clone(),
            paid: Money::of(record.paid, currency),
            first_paid_at: record.first_paid_at,
        })
    }
}

/// How far a customer is trusted; `None`: the vendor has no tiers of trust. Three statements.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn trust(app: &App, actor: &Actor, customer: CustomerId) -> Result<Option<Trust>> {
    actor.require(Scope::PaymentRead)?;
    let db = app.db().reader();
    let who = CustomerRef::Id(customer);
    customer::find(db, actor.reach(), &who)
        .await?
        .ok_or_else(|| who.unknown())?;
    let Some(setting) = store::setting(db, actor.tenant).await? else {
        return Ok(None);
    };
    let known = store::known(db, &[customer])
        .await?
        .remove(&customer)
        .unwrap_or_default();
    Ok(Trust::of(&setting, &known, app.now()))
}

/// Chooses a customer's tier, whatever it has paid; without one it has the tier that it has reached. Some six statements.
///
/// # Errors
/// No such customer, a tier that the vendor does not have, or a vendor without any.
pub async fn set_trust(app: &App, actor: &Actor, who: &CustomerRef, tier: Option<&str>) -> Result<Trust> {
    actor.require_for_all(Scope::PaymentWrite)?;
    let mut op = Op::begin(app).await?;
    let customer = customer::resolve(op.tx(), actor.reach(), who).await?;
    op.lock_account(actor.tenant, customer)
        .await?
        .ok_or_else(|| who.unknown())?;
    let setting = needed(op.tx(), actor).await?;
    let tiers: Vec<&str> = setting.sale.tiers.iter().map(|tier| tier.key.as_str()).collect();
    let unknown = || {
        let message = format!("the vendor has these tiers of trust: {}", tiers.join(", "));
        Rejection::new(RejectionCode::NotFound, "tier", message)
    };
    if tiers.is_empty() || tier.is_some_and(|key| !tiers.contains(&key)) {
        return Err(unknown().into());
    }
    store::choose_tier(&op, actor.tenant, customer, tier).await?;
    let known = store::known(op.tx(), &[customer])
        .await?
        .remove(&customer)
        .unwrap_or_default();
    let trust = Trust::of(&setting, &known, op.now());
    op.commit().await?;
    Ok(trust.ok_or_else(unknown)?)
}
