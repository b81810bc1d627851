//! How a vendor sells credits: through which provider, at what price, within which limits.

use domain::{
    id::TenantId,
    payment::sale::Sale,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;

use super::store;
use crate::{
    App,
    access::{self, Mode},
    actor::{Actor, Scope},
    error::Result,
    op::Op,
};

/// How a vendor sells credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Key of the payment provider, such as `sandbox`.
    pub provider: String,
    /// Price, limits and life of credits.
    pub sale: Sale,
    /// Since when no auto-recharge charges; `None`: they do.
    pub recharge_stopped_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What it is to be from now on. Payments that were decided before go on as they were agreed.
#[derive(Debug, Clone)]
pub struct UpdateSetting {
    /// Key of the payment provider.
    pub provider: String,
    /// Price, limits and life of credits.
    pub sale: Sale,
}

/// Says how the vendor sells credits. One statement to write. Whether auto-recharges are stopped stays as it is.
///
/// # Errors
/// A provider that is not there or moves no real money for a tenant that is live, or terms that cannot be.
pub async fn update_setting(app: &App, actor: &Actor, input: UpdateSetting) -> Result<Setting> {
    actor.require_for_all(Scope::PaymentWrite)?;
    input.sale.validate()?;
    let op = Op::begin(app).await?;
    let Some(provider) = app.providers().get(&input.provider) else {
        let known: Vec<_> = app.providers().keys().collect();
        let message = format!("the providers of this installation are: {}", known.join(", "));
        return Err(Rejection::invalid("provider", message).into());
    };
    let for_tests = access::mode_in(&op, actor.tenant).await? == Mode::Test;
    if provider.is_for_tests() != for_tests {
        let message = match for_tests {
            true => "it moves real money, and this tenant is for tests",
            false => "it moves no real money, and this tenant is live",
        };
        return Err(Rejection::invalid("provider", message).into());
    }
    let before = store::setting(op.tx(), actor.tenant).await?;
    let setting = Setting {
        provider: input.provider,
        sale: input.sale,
        recharge_stopped_at: before.and_then(|setting| setting.recharge_stopped_at),
        updated_at: op.now(),
    };
    store::write_setting(&op, actor.tenant, &setting).await?;
    op.commit().await?;
    Ok(setting)
}

/// How the vendor sells credits; `None`: not at all.
///
/// # Errors
/// The scope is missing.
pub async fn setting(app: &App, actor: &Actor) -> Result<Option<Setting>> {
    actor.require(Scope::PaymentRead)?;
    store::setting(app.db().reader(), actor.tenant).await
}

/// Stops the auto-recharges of all of a vendor's customers, or lets them go on. One statement.
pub(crate) async fn set_stopped_in(op: &Op, tenant: TenantId, stopped: bool) -> Result<()> {
    store::write_stopped(op, tenant, stopped.then(|| op.now())).await
}

/// The same for who cannot do without.
pub(crate) async fn needed(db: &impl ConnectionTrait, actor: &Actor) -> Result<Setting> {
    let setting = store::setting(db, actor.tenant).await?;
    Ok(setting.ok_or_else(|| {
        Rejection::new(
            RejectionCode::PaymentsNotSetUp,
            "",
            "the vendor has not said how it sells credits; see `updatePaymentSettings`",
        )
    })?)
}
