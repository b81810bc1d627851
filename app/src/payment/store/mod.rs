//! The SQL of payments.

mod notice;
mod returned;
mod trust;

use std::collections::HashMap;

use domain::{
    id::{CustomerId, InvoiceId, PaymentId, PaymentMethodId, PaymentSetupId, TenantId},
    payment::{Payment, Way, method::Method, sale::Sale},
    time::Timestamp,
};
use entity::{nouns, payment, payment_method, payment_payer, payment_setting, payment_setup, to_text};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

pub(crate) use self::returned::returns_of;
pub(super) use self::{notice::*, returned::*, trust::*};
use super::{method::MethodSetup, setting::Setting};
use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among},
};

// How credits are sold.

pub(super) async fn write_setting(op: &Op, tenant: TenantId, setting: &Setting) -> Result<()> {
    let row = payment_setting::ActiveModel {
        tenant_id: Set(tenant.0),
        provider: Set(setting.provider.clone()),
        terms: Set(serde_json::to_string(&setting.sale)?),
        updated_at: Set(setting.updated_at.micros()),
        recharge_stopped_at: Set(setting.recharge_stopped_at.map(Timestamp::micros)),
    };
    use payment_setting::Column::{Provider, TenantId, Terms, UpdatedAt};
    let update = OnConflict::column(TenantId)
        .update_columns([Provider, Terms, UpdatedAt])
        .to_owned();
    payment_setting::Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn setting(db: &impl ConnectionTrait, tenant: TenantId) -> Result<Option<Setting>> {
    let row = payment_setting::Entity::find_by_id(tenant.0).one(db).await?;
    row.map(read_setting).transpose()
}

fn read_setting(row: payment_setting::Model) -> Result<Setting> {
    Ok(Setting {
        sale: Sale::try_from(&row)?,
        updated_at: Timestamp::from_micros(row.updated_at),
        recharge_stopped_at: row.recharge_stopped_at.map(Timestamp::from_micros),
        provider: row.provider,
    })
}

/// How some vendors sell credits. One statement. What cannot be read is left out and reported: usage must not wait for it.
pub(crate) async fn settings_in(
    db: &impl ConnectionTrait,
    tenants: &[TenantId],
) -> Result<HashMap<TenantId, Setting>> {
    let rows = payment_setting::Entity::find()
        .filter(among(
            db,
            payment_setting::Column::TenantId,
            tenants.iter().map(|tenant| tenant.0),
        ))
        .all(db)
        .await?;
    let mut all = HashMap::new();
    for row in rows {
        let tenant = TenantId(row.tenant_id);
        match read_setting(row) {
            Ok(setting) => drop(all.insert(tenant, setting)),
            Err(error) => tracing::error!(%tenant, %error, "how credits are sold cannot be read"),
        }
    }
    Ok(all)
}

pub(super) async fn write_stopped(op: &Op, tenant: TenantId, at: Option<Timestamp>) -> Result<()> {
    use payment_setting::Column::{RechargeStoppedAt, TenantId as Tenant};
    payment_setting::Entity::update_many()
        .col_expr(RechargeStoppedAt, Expr::value(at.map(Timestamp::micros)))
        .filter(Tenant.eq(tenant.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

// Ways to pay.

/// Writes a way to pay, unless it is known already; answers with its id.
pub(super) async fn insert_method(op: &Op, tenant: TenantId, method: &Method) -> Result<PaymentMethodId> {
    let row = payment_method::ActiveModel {
        id: Set(method.id.0),
        tenant_id: Set(tenant.0),
        customer_id: Set(method.customer.0),
        provider: Set(method.provider.clone()),
        reference: Set(method.face.reference.clone()),
        face: Set(serde_json::to_string(&method.face)?),
        is_default: Set(i32::from(method.is_default)),
        expires_month: Set(method.face.expires.map(|it| it.months())),
        expiry_told_at: Set(None),
        created_at: Set(method.created_at.micros()),
        removed_at: Set(None),
    };
    payment_method::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(method.id)
}

/// Those that were not removed.
fn kept() -> sea_orm::Select<payment_method::Entity> {
    payment_method::Entity::find().filter(payment_method::Column::RemovedAt.is_null())
}

fn within(reach: Reach) -> sea_orm::Select<payment_method::Entity> {
    kept().filter(reach.condition(
        payment_method::Column::TenantId,
        payment_method::Column::CustomerId,
    ))
}

pub(super) async fn methods(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
) -> Result<Vec<Method>> {
    let rows = within(reach)
        .filter(payment_method::Column::CustomerId.eq(customer.0))
        .order_by_asc(payment_method::Column::Id)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

pub(super) async fn method(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: PaymentMethodId,
) -> Result<Option<Method>> {
    let row = within(reach)
        .filter(payment_method::Column::Id.eq(id.0))
        .one(db)
        .await?;
    Ok(row.map(Method::try_from).transpose()?)
}

/// One by its id, also when it was removed: a payment goes on with it.
pub(super) async fn any_method(db: &impl ConnectionTrait, id: PaymentMethodId) -> Result<Option<Method>> {
    let row = payment_method::Entity::find_by_id(id.0).one(db).await?;
    Ok(row.map(Method::try_from).transpose()?)
}

pub(super) async fn default_in(db: &impl ConnectionTrait, customer: CustomerId) -> Result<Option<Method>> {
    let row = kept()
        .filter(payment_method::Column::CustomerId.eq(customer.0))
        .filter(payment_method::Column::IsDefault.eq(1))
        .one(db)
        .await?;
    Ok(row.map(Method::try_from).transpose()?)
}

/// The default ways to pay of some customers. One statement. What cannot be read is left out and reported: usage must not wait for it.
pub(crate) async fn defaults_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Method>> {
    let rows = Rows::of(customers)
        .select::<payment_method::Entity>(
            db,
            "SELECT m.* FROM {rows} AS v JOIN payment_method m ON m.customer_id = v.id
             WHERE m.is_default = 1 AND m.removed_at IS NULL",
        )
        .await?;
    let methods = rows.into_iter().filter_map(|row| {
        let customer = CustomerId(row.customer_id);
        match Method::try_from(row) {
            Ok(method) => Some((customer, method)),
            Err(error) => {
                tracing::error!(%customer, %error, "a way to pay cannot be read");
                None
            }
        }
    });
    Ok(methods.collect())
}

/// Makes one the default, and the one before no longer. Two statements: there is never more than one.
pub(super) async fn set_default(op: &Op, method: &Method) -> Result<()> {
    let default = |value: i32| {
        payment_method::Entity::update_many().col_expr(payment_method::Column::IsDefault, Expr::value(value))
    };
    default(0)
        .filter(payment_method::Column::CustomerId.eq(method.customer.0))
        .filter(payment_method::Column::IsDefault.eq(1))
        .exec(op.tx())
        .await?;
    default(1)
        .filter(payment_method::Column::Id.eq(method.id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn remove_method(op: &Op, id: PaymentMethodId) -> Result<()> {
    payment_method::Entity::update_many()
        .col_expr(payment_method::Column::IsDefault, Expr::value(0))
        .col_expr(payment_method::Column::RemovedAt, Expr::value(op.now().micros()))
        .filter(payment_method::Column::Id.eq(id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// Cards that are good until a month at most, counted from the year 0, and whose owners were not told. What cannot be read is not told.
pub(super) async fn expiring(
    db: &impl ConnectionTrait,
    last: i64,
    limit: u64,
) -> Result<Vec<payment_method::Model>> {
    Ok(kept()
        .filter(payment_method::Column::ExpiresMonth.lte(last))
        .filter(payment_method::Column::ExpiryToldAt.is_null())
        .limit(limit)
        .all(db)
        .await?)
}

pub(super) async fn mark_told(op: &Op, ids: &[Uuid]) -> Result<()> {
    payment_method::Entity::update_many()
        .col_expr(
            payment_method::Column::ExpiryToldAt,
            Expr::value(op.now().micros()),
        )
        .filter(among(op.tx(), payment_method::Column::Id, ids.iter().copied()))
        .exec(op.tx())
        .await?;
    Ok(())
}

// Who pays, in the words of a provider.

/// Notes a provider's name for a customer, unless another process was first; answers with what is noted. Two statements.
pub(super) async fn note_payer(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    provider: &str,
    reference: String,
) -> Result<String> {
    let row = payment_payer::ActiveModel {
        customer_id: Set(customer.0),
        provider: Set(provider.to_owned()),
        tenant_id: Set(tenant.0),
        reference: Set(reference.clone()),
    };
    payment_payer::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(payer(op.tx(), customer, provider).await?.unwrap_or(reference))
}

pub(super) async fn payer(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    provider: &str,
) -> Result<Option<String>> {
    let row = payment_payer::Entity::find_by_id((customer.0, provider.to_owned()))
        .one(db)
        .await?;
    Ok(row.map(|row| row.reference))
}

// Pages on which they are left.

pub(super) async fn insert_setup(op: &Op, tenant: TenantId, setup: &MethodSetup) -> Result<()> {
    let row = payment_setup::ActiveModel {
        id: Set(setup.id.0),
        tenant_id: Set(tenant.0),
        customer_id: Set(setup.customer.0),
        provider: Set(setup.provider.clone()),
        reference: Set(setup.reference.clone()),
        url: Set(setup.url.clone()),
        method_id: Set(None),
        created_at: Set(setup.created_at.micros()),
    };
    payment_setup::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn setup(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: PaymentSetupId,
) -> Result<Option<MethodSetup>> {
    let row = payment_setup::Entity::find_by_id(id.0)
        .filter(reach.condition(payment_setup::Column::TenantId, payment_setup::Column::CustomerId))
        .one(db)
        .await?;
    Ok(row.map(|row| MethodSetup {
        id: PaymentSetupId(row.id),
        customer: CustomerId(row.customer_id),
        provider: row.provider,
        reference: row.reference,
        url: row.url,
        method: row.method_id.map(PaymentMethodId),
        created_at: Timestamp::from_micros(row.created_at),
    }))
}

/// What was left on a page.
pub(super) async fn method_of_setup(
    db: &impl ConnectionTrait,
    id: PaymentSetupId,
) -> Result<Option<PaymentMethodId>> {
    let row = payment_setup::Entity::find_by_id(id.0).one(db).await?;
    Ok(row.and_then(|row| row.method_id).map(PaymentMethodId))
}

pub(super) async fn end_setup(op: &Op, id: PaymentSetupId, method: PaymentMethodId) -> Result<()> {
    payment_setup::Entity::update_many()
        .col_expr(payment_setup::Column::MethodId, Expr::value(method.0))
        .filter(payment_setup::Column::Id.eq(id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

// Payments.

/// Writes new payments. One statement for any number.
pub(super) async fn insert_payments(op: &Op, payments: &[Payment]) -> Result<()> {
    let rows = payments.iter().map(|payment| new_row(op, payment));
    payment::Entity::insert_many(rows.collect::<Result<Vec<_>>>()?)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

fn new_row(op: &Op, payment: &Payment) -> Result<payment::ActiveModel> {
    let mut row = progress(op, payment);
    row.tenant_id = Set(payment.tenant.0);
    row.customer_id = Set(payment.customer.0);
    row.purpose = Set(to_text(payment.purpose));
    row.provider = Set(payment.provider.clone());
    (row.method_id, row.checkout) = match &payment.way {
        Way::Saved(method) => (Set(Some(method.0)), Set(None)),
        Way::Page(page) => (Set(None), Set(Some(serde_json::to_string(page)?))),
    };
    row.amount = Set(payment.amount.minor);
    row.currency = Set(payment.amount.currency.code().to_owned());
    row.credits = Set(payment.credits.raw());
    row.lasts_seconds = Set(payment.lasts_seconds);
    row.invoice_id = Set(payment.invoice.map(|id| id.0));
    row.created_at = Set(payment.created_at.micros());
    Ok(row)
}

/// Writes what has become of a payment. What was agreed is never written again.
pub(super) async fn write_progress(op: &Op, payment: &Payment) -> Result<()> {
    payment::Entity::update(progress(op, payment))
        .exec(op.tx())
        .await?;
    Ok(())
}

fn progress(op: &Op, payment: &Payment) -> payment::ActiveModel {
    let it = &payment.progress;
    let micros = |at: Option<Timestamp>| at.map(Timestamp::micros);
    payment::ActiveModel {
        id: Set(payment.id.0),
        state: Set(to_text(it.state)),
        submitted_at: Set(micros(it.submitted_at)),
        due_at: Set(micros(it.due_at)),
        looks: Set(it.looks),
        reference: Set(it.reference.clone()),
        decline: Set(it.decline.map(to_text)),
        action_url: Set(it.action_url.clone()),
        block_id: Set(it.block.map(|block| block.0)),
        ended_at: Set(micros(it.ended_at)),
        updated_at: Set(op.now().micros()),
        tenant_id: NotSet,
        customer_id: NotSet,
        purpose: NotSet,
        provider: NotSet,
        method_id: NotSet,
        checkout: NotSet,
        amount: NotSet,
        currency: NotSet,
        credits: NotSet,
        lasts_seconds: NotSet,
        invoice_id: NotSet,
        unasked: NotSet,
        created_at: NotSet,
    }
}

fn payments_within(reach: Reach) -> sea_orm::Select<payment::Entity> {
    payment::Entity::find().filter(reach.condition(payment::Column::TenantId, payment::Column::CustomerId))
}

pub(super) async fn payment(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: PaymentId,
) -> Result<Option<Payment>> {
    let row = payments_within(reach)
        .filter(payment::Column::Id.eq(id.0))
        .one(db)
        .await?;
    Ok(row.map(Payment::try_from).transpose()?)
}

pub(super) async fn payments(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    page: Page<PaymentId>,
) -> Result<Slice<Payment>> {
    let select = payments_within(reach).filter(payment::Column::CustomerId.eq(customer.0));
    let mut newest_first = ordered(select, payment::Column::Id);
    newest_first.desc();
    let rows = page.map(|id| id.0).read(newest_first, db).await?;
    Ok(rows.try_map(Payment::try_from)?)
}

/// One by its id, whoever owns it: for whoever collects it. One statement.
pub(crate) async fn any_payment(db: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>> {
    let row = payment::Entity::find_by_id(id.0).one(db).await?;
    Ok(row.map(Payment::try_from).transpose()?)
}

/// The same for whoever writes what has become of it: notices are followed up without the lock on the account, and what they have made due
/// must not be overwritten by what was read before. One statement.
pub(super) async fn payment_to_write(op: &Op, id: PaymentId) -> Result<Option<Payment>> {
    let row = payment::Entity::find_by_id(id.0)
        .lock_exclusive()
        .one(op.tx())
        .await?;
    Ok(row.map(Payment::try_from).transpose()?)
}

/// The payments of an invoice, oldest first. One statement.
pub(crate) async fn of_invoice_in(db: &impl ConnectionTrait, id: InvoiceId) -> Result<Vec<Payment>> {
    let rows = payment::Entity::find()
        .filter(payment::Column::InvoiceId.eq(id.0))
        .order_by_asc(payment::Column::Id)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

/// How many payments of a customer have not ended.
pub(super) async fn count_open(db: &impl ConnectionTrait, customer: CustomerId) -> Result<u64> {
    let open = payment::Entity::find()
        .filter(payment::Column::CustomerId.eq(customer.0))
        .filter(payment::Column::EndedAt.is_null());
    Ok(open.count(db).await?)
}

/// A customer's payments of which something is due, the longest due first.
pub(super) async fn due_of(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Payment>> {
    let rows = payment::Entity::find()
        .filter(payment::Column::CustomerId.eq(customer.0))
        .filter(payment::Column::DueAt.lte(now.micros()))
        .order_by_asc(payment::Column::DueAt)
        .order_by_asc(payment::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

/// Customers of whom a payment is due.
pub(super) async fn customers_due(
    db: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<CustomerId>> {
    let ids: Vec<Uuid> = payment::Entity::find()
        .select_only()
        .column(payment::Column::CustomerId)
        .distinct()
        .filter(payment::Column::DueAt.lte(now.micros()))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(CustomerId).collect())
}
