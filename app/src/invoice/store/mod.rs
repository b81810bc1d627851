//! The SQL of invoices.

mod unbilled;

use std::collections::HashMap;

use domain::{
    id::{CustomerId, InvoiceId, ReturnId, TaxRegistrationId, TenantId},
    invoice::{Invoice, number::Sequence, terms::BillingTerms},
    money::{Currency, Money},
    tax::registration::TaxRegistration,
    time::Timestamp,
};
use entity::{
    credit_note, from_json, invoice, invoice_setting, money as money_of, tax_registration, to_text,
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    sea_query::OnConflict,
};

pub(crate) use self::unbilled::mark_late_in;
pub(super) use self::unbilled::*;
use super::{
    setting::Setting,
    view::{CreditNoteView, Filed},
};
use crate::{
    actor::Reach,
    error::{Error, Result},
    job,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, customers, first_instant, is_storable, statement},
};

// How a vendor bills.

pub(super) async fn setting(db: &impl ConnectionTrait, tenant: TenantId) -> Result<Option<Setting>> {
    let row = invoice_setting::Entity::find_by_id(tenant.0).one(db).await?;
    row.map(|row| {
        let terms: BillingTerms = from_json("invoice_setting", &row.terms)?;
        Ok(Setting {
            terms,
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    })
    .transpose()
}

pub(super) async fn write_setting(op: &Op, tenant: TenantId, setting: &Setting) -> Result<()> {
    let row = invoice_setting::ActiveModel {
        tenant_id: Set(tenant.0),
        terms: Set(serde_json::to_string(&setting.terms)?),
        updated_at: Set(setting.updated_at.micros()),
    };
    use invoice_setting::Column::{TenantId as Tenant, Terms, UpdatedAt};
    let update = OnConflict::column(Tenant)
        .update_columns([Terms, UpdatedAt])
        .to_owned();
    invoice_setting::Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Cycles that closed, and changes of plan that were made, before the vendor billed at all are not billed: these have no invoice, which is
/// written as the id of all zeros. Two statements.
pub(super) async fn forget_unbilled(op: &Op, tenant: TenantId) -> Result<()> {
    let cycles = "UPDATE billing_cycle SET bill = NULL WHERE tenant_id = $1 AND bill = 'DUE'";
    let changes =
        "UPDATE subscription_charge SET invoice_id = $2 WHERE tenant_id = $1 AND invoice_id IS NULL";
    let tx = op.tx();
    tx.execute_raw(statement(tx, cycles, vec![tenant.0.into()]))
        .await?;
    let values = vec![tenant.0.into(), uuid::Uuid::nil().into()];
    tx.execute_raw(statement(tx, changes, values)).await?;
    Ok(())
}

// Numbers.

/// The next place in a vendor's sequence. Whoever asks at the same time waits until this transaction has ended, so that none is left out
/// and none is given twice. One statement.
pub(super) async fn next_number(op: &Op, tenant: TenantId, sequence: Sequence) -> Result<i64> {
    let name = match sequence {
        Sequence::Invoice => "INVOICE",
        Sequence::CreditNote => "CREDIT_NOTE",
    };
    let sql = "INSERT INTO invoice_count (tenant_id, sequence, last) VALUES ($1, $2, 1)
         ON CONFLICT (tenant_id, sequence) DO UPDATE SET last = invoice_count.last + 1 RETURNING last";
    let row = op
        .tx()
        .query_one_raw(statement(op.tx(), sql, vec![tenant.0.into(), name.into()]))
        .await?;
    let row = row.ok_or_else(|| Error::Internal("a count answers nothing".to_owned()))?;
    Ok(row.try_get("", "last")?)
}

// Invoices.

fn columns(op: &Op, filed: &Filed) -> Result<invoice::ActiveModel> {
    let it = &filed.invoice;
    let micros = |at: Option<Timestamp>| at.map(Timestamp::micros);
    Ok(invoice::ActiveModel {
        id: Set(it.id.0),
        tenant_id: NotSet,
        customer_id: NotSet,
        subscription_id: NotSet,
        source: NotSet,
        kind: NotSet,
        currency: NotSet,
        link: NotSet,
        created_at: NotSet,
        total: NotSet,
        due: Set(it.totals.due.minor),
        state: Set(to_text(it.state)),
        ordinal: Set(filed.ordinal),
        number: Set(it.number.clone()),
        credited: Set(filed.credited.minor),
        overpaid: Set(filed.overpaid),
        unused: Set(filed.unused),
        content: Set(serde_json::to_string(it)?),
        issued_at: Set(micros(it.issued_at)),
        due_at: Set(micros(it.due_at)),
        paid_at: Set(micros(it.paid_at)),
        next_at: Set(micros(filed.next_at)),
        updated_at: Set(op.now().micros()),
    })
}

pub(super) async fn insert(op: &Op, filed: &Filed, source: &str) -> Result<()> {
    let it = &filed.invoice;
    let mut row = columns(op, filed)?;
    row.tenant_id = Set(it.tenant.0);
    row.customer_id = Set(it.customer.0);
    row.subscription_id = Set(it.cycle.map(|cycle| cycle.subscription.0));
    row.source = Set(source.to_owned());
    row.kind = Set(to_text(it.kind));
    row.currency = Set(it.currency.code().to_owned());
    row.link = Set(filed.link.clone());
    row.created_at = Set(it.created_at.micros());
    row.total = Set(it.totals.total.minor);
    invoice::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Writes what has become of an invoice.
pub(super) async fn write(op: &Op, filed: &Filed) -> Result<()> {
    invoice::Entity::update(columns(op, filed)?).exec(op.tx()).await?;
    Ok(())
}

fn noun(row: invoice::Model) -> Result<Filed> {
    let invoice: Invoice = from_json("invoice", &row.content)?;
    Ok(Filed {
        credited: Money::of(row.credited, invoice.currency),
        overpaid: row.overpaid,
        unused: row.unused,
        invoice,
        link: row.link,
        next_at: row.next_at.map(Timestamp::from_micros),
        ordinal: row.ordinal,
    })
}

fn within(reach: Reach) -> sea_orm::Select<invoice::Entity> {
    invoice::Entity::find().filter(reach.condition(invoice::Column::TenantId, invoice::Column::CustomerId))
}

pub(super) async fn invoice(db: &impl ConnectionTrait, reach: Reach, id: InvoiceId) -> Result<Option<Filed>> {
    let row = within(reach).filter(invoice::Column::Id.eq(id.0)).one(db).await?;
    row.map(noun).transpose()
}

/// One by its id, whoever owns it.
pub(super) async fn any_invoice(db: &impl ConnectionTrait, id: InvoiceId) -> Result<Option<Filed>> {
    invoice::Entity::find_by_id(id.0)
        .one(db)
        .await?
        .map(noun)
        .transpose()
}

/// What was made of something; `None`: nothing was.
pub(super) async fn by_source(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    source: &str,
) -> Result<Option<Filed>> {
    invoice::Entity::find()
        .filter(invoice::Column::TenantId.eq(tenant.0))
        .filter(invoice::Column::Source.eq(source))
        .one(db)
        .await?
        .map(noun)
        .transpose()
}

/// What the addresses of some invoices end with. One statement.
pub(crate) async fn links_in(
    db: &impl ConnectionTrait,
    ids: &[InvoiceId],
) -> Result<HashMap<InvoiceId, String>> {
    let rows = Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .query(
            db,
            "SELECT i.id, i.link FROM {rows} AS v JOIN invoice i ON i.id = v.id",
            Vec::new(),
        )
        .await?;
    let one = |row: &QueryResult| Ok((InvoiceId(row.try_get("", "id")?), row.try_get("", "link")?));
    rows.iter().map(one).collect()
}

pub(super) async fn invoice_by_link(db: &impl ConnectionTrait, link: &str) -> Result<Option<Filed>> {
    if !is_storable(link) {
        return Ok(None);
    }
    let row = invoice::Entity::find()
        .filter(invoice::Column::Link.eq(link))
        .one(db)
        .await?;
    row.map(noun).transpose()
}

pub(super) async fn invoices(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    only_due: bool,
    page: Page<InvoiceId>,
) -> Result<Slice<Filed>> {
    let mut select = within(reach).filter(invoice::Column::CustomerId.eq(customer.0));
    if only_due {
        select = select.filter(invoice::Column::State.is_in(["OPEN", "PAST_DUE"]));
    }
    let mut newest_first = ordered(select, invoice::Column::Id);
    newest_first.desc();
    let rows = page.map(|id| id.0).read(newest_first, db).await?;
    rows.try_map(noun)
}

// What is due of them.

/// Customers by the wall's clock of whom something is due. One statement.
pub(super) async fn customers_due(
    db: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<CustomerId>> {
    let sql = format!(
        "SELECT DISTINCT i.customer_id FROM invoice i JOIN account a ON a.customer_id = i.customer_id
         WHERE i.next_at <= $1 AND a.clock_id IS NULL LIMIT {limit}"
    );
    let rows = db
        .query_all_raw(statement(db, &sql, vec![now.micros().into()]))
        .await?;
    Ok(customers(&rows)?)
}

/// Those of some customers of whom something is due at an instant. One statement.
pub(super) async fn due_among(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    until: Timestamp,
) -> Result<Vec<CustomerId>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT DISTINCT i.customer_id FROM {rows} AS v JOIN invoice i ON i.customer_id = v.id
             WHERE i.next_at <= $1",
            vec![until.micros().into()],
        )
        .await?;
    Ok(customers(&rows)?)
}

/// When the first of some customers' invoices is due after an instant. One statement.
pub(super) async fn next_due(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT MIN(i.next_at) AS next_at FROM {rows} AS v JOIN invoice i ON i.customer_id = v.id
             WHERE i.next_at > $1",
            vec![after.micros().into()],
        )
        .await?;
    Ok(first_instant(&rows, "next_at")?)
}

/// Whose customer it is, if anything will be due of its invoices.
pub(super) async fn tenant_with_due(
    db: &impl ConnectionTrait,
    customer: CustomerId,
) -> Result<Option<TenantId>> {
    let row = invoice::Entity::find()
        .filter(invoice::Column::CustomerId.eq(customer.0))
        .filter(invoice::Column::NextAt.is_not_null())
        .one(db)
        .await?;
    Ok(row.map(|row| TenantId(row.tenant_id)))
}

/// A customer's invoices of which something is due, the longest due first. One statement.
pub(super) async fn due_of(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Filed>> {
    let rows = invoice::Entity::find()
        .filter(invoice::Column::CustomerId.eq(customer.0))
        .filter(invoice::Column::NextAt.lte(now.micros()))
        .order_by_asc(invoice::Column::NextAt)
        .order_by_asc(invoice::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    rows.into_iter().map(noun).collect()
}

/// A customer's invoices that are to be paid, oldest first, at most so many. One statement.
pub(super) async fn waiting_of(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    limit: u64,
) -> Result<Vec<Filed>> {
    let rows = invoice::Entity::find()
        .filter(invoice::Column::CustomerId.eq(customer.0))
        .filter(invoice::Column::State.is_in(["OPEN", "PAST_DUE"]))
        .order_by_asc(invoice::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    rows.into_iter().map(noun).collect()
}

/// Has invoices that are to be paid looked at again now. Drafts go on waiting.
pub(super) async fn hasten(op: &Op, customer: CustomerId) -> Result<bool> {
    let sql = "UPDATE invoice SET next_at = 0 WHERE customer_id = $1 AND state IN ('OPEN', 'PAST_DUE')";
    let done = op
        .tx()
        .execute_raw(statement(op.tx(), sql, vec![customer.0.into()]));
    Ok(done.await?.rows_affected() > 0)
}

/// Has the invoices of renewals of some customers looked at again now: what they are to renew may not be awaited any more. One statement.
pub(crate) async fn look_again_in(op: &mut Op, customers: &[CustomerId]) -> Result<()> {
    if customers.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE invoice SET next_at = 0 FROM {rows} AS v
         WHERE invoice.customer_id = v.id AND invoice.kind = 'FEE' AND invoice.subscription_id IS NOT NULL
             AND invoice.state IN ('OPEN', 'PAST_DUE')";
    let done = Rows::of(customers).execute(op.tx(), sql, Vec::new()).await?;
    if done.rows_affected() > 0 {
        for customer in customers {
            op.wake(job::invoices::wakeup(*customer));
        }
    }
    Ok(())
}

// The money that customers have left with their vendor.

/// What a customer has in a currency.
pub(super) async fn money(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    currency: Currency,
) -> Result<Money> {
    let sql = "SELECT minor FROM money_balance WHERE customer_id = $1 AND currency = $2";
    let values = vec![customer.0.into(), currency.code().into()];
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    let minor = row.map(|row| row.try_get("", "minor")).transpose()?;
    Ok(Money::of(minor.unwrap_or(0), currency))
}

pub(super) async fn money_balances(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
) -> Result<Vec<Money>> {
    let sql =
        "SELECT currency, minor FROM money_balance WHERE customer_id = $1 AND tenant_id = $2 AND minor > 0
         ORDER BY currency";
    let values = vec![customer.0.into(), reach.tenant().0.into()];
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    rows.iter()
        .map(|row| {
            let code: String = row.try_get("", "currency")?;
            Ok(money_of("money_balance", row.try_get("", "minor")?, &code)?)
        })
        .collect()
}

/// Adds to what the customer of an invoice has in its currency, or takes from it, in minor units. The database keeps it at zero or more. One statement.
pub(super) async fn move_money(op: &Op, filed: &Filed, by: i64) -> Result<()> {
    let Invoice {
        tenant,
        customer,
        currency,
        ..
    } = filed.invoice;
    let sql = "INSERT INTO money_balance (customer_id, currency, tenant_id, minor) VALUES ($1, $2, $3, $4)
         ON CONFLICT (customer_id, currency) DO UPDATE SET minor = money_balance.minor + excluded.minor";
    // A first row below zero is refused by the table before the conflict is seen, so what is taken needs a row.
    let sql = if by < 0 {
        "UPDATE money_balance SET minor = minor + $4 WHERE customer_id = $1 AND currency = $2 AND tenant_id = $3"
    } else {
        sql
    };
    let values = vec![
        customer.0.into(),
        currency.code().into(),
        tenant.0.into(),
        by.into(),
    ];
    let done = op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(Error::Internal(format!("{customer} has no credit balance"))),
    }
}

// Credit notes.

pub(super) async fn insert_credit_note(
    op: &Op,
    of: &Filed,
    view: &CreditNoteView,
    ordinal: i64,
    returned: Option<ReturnId>,
) -> Result<()> {
    let row = credit_note::ActiveModel {
        id: Set(view.note.id.0),
        tenant_id: Set(of.invoice.tenant.0),
        customer_id: Set(of.invoice.customer.0),
        invoice_id: Set(of.invoice.id.0),
        ordinal: Set(ordinal),
        number: Set(view.note.number.clone()),
        currency: Set(view.note.total.currency.code().to_owned()),
        total: Set(view.note.total.minor),
        content: Set(serde_json::to_string(&view.note)?),
        link: Set(view.link.clone()),
        created_at: Set(op.now().micros()),
        return_id: Set(returned.map(|id| id.0)),
    };
    credit_note::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// What of an invoice is on credit notes that were written because money went back, in minor units. One statement.
pub(super) async fn noted(db: &impl ConnectionTrait, invoice: InvoiceId) -> Result<i64> {
    let totals: Vec<i64> = credit_note::Entity::find()
        .select_only()
        .column(credit_note::Column::Total)
        .filter(credit_note::Column::InvoiceId.eq(invoice.0))
        .filter(credit_note::Column::ReturnId.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    Ok(totals.into_iter().fold(0, i64::saturating_add))
}

/// The number of the credit note that was written for money which went back.
pub(super) async fn note_of_return(db: &impl ConnectionTrait, id: ReturnId) -> Result<Option<String>> {
    let row = credit_note::Entity::find()
        .filter(credit_note::Column::ReturnId.eq(id.0))
        .one(db)
        .await?;
    Ok(row.map(|row| row.number))
}

fn note(row: &credit_note::Model) -> Result<CreditNoteView> {
    Ok(CreditNoteView {
        note: from_json("credit_note", &row.content)?,
        link: row.link.clone(),
    })
}

pub(super) async fn credit_notes(
    db: &impl ConnectionTrait,
    reach: Reach,
    invoice: InvoiceId,
) -> Result<Vec<CreditNoteView>> {
    use credit_note::Column::{CustomerId as Customer, Id, InvoiceId as Invoice, TenantId as Tenant};
    let rows = credit_note::Entity::find()
        .filter(reach.condition(Tenant, Customer))
        .filter(Invoice.eq(invoice.0))
        .order_by_asc(Id)
        .all(db)
        .await?;
    rows.iter().map(note).collect()
}

pub(super) async fn credit_note_by_link(
    db: &impl ConnectionTrait,
    link: &str,
) -> Result<Option<(CreditNoteView, InvoiceId)>> {
    if !is_storable(link) {
        return Ok(None);
    }
    let row = credit_note::Entity::find()
        .filter(credit_note::Column::Link.eq(link))
        .one(db)
        .await?;
    row.map(|row| Ok((note(&row)?, InvoiceId(row.invoice_id))))
        .transpose()
}

// Tax numbers.

fn registered(row: &tax_registration::Model) -> Result<TaxRegistration> {
    Ok(from_json("tax_registration", &row.content)?)
}

fn numbers_within(reach: Reach) -> sea_orm::Select<tax_registration::Entity> {
    use tax_registration::Column::{CustomerId as Customer, TenantId as Tenant};
    tax_registration::Entity::find().filter(reach.condition(Tenant, Customer))
}

pub(super) async fn registrations(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
) -> Result<Vec<TaxRegistration>> {
    let rows = numbers_within(reach)
        .filter(tax_registration::Column::CustomerId.eq(customer.0))
        .order_by_asc(tax_registration::Column::Id)
        .all(db)
        .await?;
    rows.iter().map(registered).collect()
}

pub(super) async fn registration(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: TaxRegistrationId,
) -> Result<Option<TaxRegistration>> {
    let row = numbers_within(reach)
        .filter(tax_registration::Column::Id.eq(id.0))
        .one(db)
        .await?;
    row.as_ref().map(registered).transpose()
}

pub(super) async fn put_registration(op: &Op, tenant: TenantId, it: &TaxRegistration) -> Result<()> {
    let row = tax_registration::ActiveModel {
        id: Set(it.id.0),
        tenant_id: Set(tenant.0),
        customer_id: Set(it.customer.0),
        content: Set(serde_json::to_string(it)?),
        created_at: Set(it.created_at.micros()),
    };
    use tax_registration::Column::{Content, Id};
    let update = OnConflict::column(Id).update_column(Content).to_owned();
    tax_registration::Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn delete_registration(op: &Op, id: TaxRegistrationId) -> Result<()> {
    tax_registration::Entity::delete_by_id(id.0).exec(op.tx()).await?;
    Ok(())
}
