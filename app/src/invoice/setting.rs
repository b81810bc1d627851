//! How a vendor bills.

use domain::{
    id::TenantId,
    invoice::terms::BillingTerms,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    op::Op,
};

/// How a vendor bills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What was decided.
    pub terms: BillingTerms,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Says how the vendor bills from now on; what was issued stays as it is. Said for the first time, it begins billing: cycles that close from
/// then on get an invoice, those before do not. Four statements.
///
/// # Errors
/// Terms that cannot be.
pub async fn update_setting(app: &App, actor: &Actor, terms: BillingTerms) -> Result<Setting> {
    actor.require_for_all(Scope::InvoiceWrite)?;
    terms.validate()?;
    let op = Op::begin(app).await?;
    if store::setting(op.tx(), actor.tenant).await?.is_none() {
        store::forget_unbilled(&op, actor.tenant).await?;
    }
    let setting = Setting {
        terms,
        updated_at: op.now(),
    };
    store::write_setting(&op, actor.tenant, &setting).await?;
    op.commit().await?;
    Ok(setting)
}

/// How the vendor bills; `None`: not at all.
///
/// # Errors
/// The scope is missing.
pub async fn setting(app: &App, actor: &Actor) -> Result<Option<Setting>> {
    actor.require(Scope::InvoiceRead)?;
    store::setting(app.db().reader(), actor.tenant).await
}

/// The same for who cannot do without.
pub(super) async fn needed(db: &impl ConnectionTrait, tenant: TenantId) -> Result<BillingTerms> {
    let setting = store::setting(db, tenant).await?;
    Ok(setting
        .ok_or_else(|| {
            Rejection::new(
                RejectionCode::InvoicingNotSetUp,
                "",
                "the vendor has not said how it bills; see `updateInvoiceSettings`",
            )
        })?
        .terms)
}
