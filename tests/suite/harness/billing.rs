//! Vendors that bill, and what they have billed.

use app::invoice::{self, Filed};
use domain::{
    id::{CustomerId, InvoiceId},
    invoice::{
        Kind,
        number::Prefix,
        party::{Address, Party},
        state::State,
        terms::BillingTerms,
    },
    tax::{levy::Prices, rate::TaxRate},
};

use entity::invoice as row;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter};

use super::World;

/// A vendor in Germany without taxes; change what matters.
pub fn terms() -> BillingTerms {
    BillingTerms {
        seller: Party {
            name: "Vendor GmbH".to_owned(),
            address: Address {
                line1: "Hauptstr. 1".to_owned(),
                city: "Berlin".to_owned(),
                postal_code: "10115".to_owned(),
                country: Some("DE".parse().unwrap()),
                ..Address::default()
            },
            ..Party::default()
        },
        vat_number: Some("DE136695976".to_owned()),
        prefix: Prefix::default(),
        net_days: 14,
        prices: Prices::WithoutTax,
        rates: Vec::new(),
        collects: true,
        draft_seconds: 0,
        footer: None,
    }
}

/// Germany's.
pub fn mwst() -> TaxRate {
    TaxRate {
        country: "DE".parse().unwrap(),
        region: None,
        name: "MwSt.".to_owned(),
        percent: "19".parse().unwrap(),
    }
}

pub async fn bills(world: &World, terms: BillingTerms) {
    invoice::update_setting(&world.app, &world.actor, terms)
        .await
        .unwrap();
}

/// A customer's invoices and receipts, oldest first.
pub async fn all(world: &World, customer: CustomerId) -> Vec<Filed> {
    let page = app::page::Page::first(100);
    let found = invoice::invoices(&world.app, &world.actor, customer, page).await;
    found.unwrap().items.into_iter().rev().collect()
}

/// Another invoice that says the same, open or a draft: what a cycle leaves, without the month that it takes.
pub async fn like(world: &World, filed: &Filed, open: bool) -> InvoiceId {
    let db = world.app.db().writer();
    let id = InvoiceId(uuid::Uuid::now_v7());
    let mut it = filed.invoice.clone();
    (it.id, it.kind, it.state) = (id, Kind::Cycle, State::Draft);
    (it.number, it.issued_at, it.due_at, it.paid_at) = (None, None, None, None);
    it.totals.due = it.totals.total;
    let count = row::Entity::find()
        .filter(row::Column::TenantId.eq(world.tenant().0))
        .filter(row::Column::Ordinal.is_not_null())
        .count(db)
        .await
        .unwrap();
    let ordinal = open.then(|| i64::try_from(count).unwrap() + 1);
    if let Some(ordinal) = ordinal {
        it = it.finalise(format!("INV-{ordinal:06}"), world.now(), 14).unwrap();
        let tenant = world.literal(world.tenant().0);
        world
            .sabotage(&format!(
                "UPDATE invoice_count SET last = {ordinal} WHERE tenant_id = {tenant}"
            ))
            .await;
    }
    let known = row::Entity::find_by_id(filed.invoice.id.0).one(db).await.unwrap();
    let new = row::Model {
        id: id.0,
        source: format!("like:{id}"),
        link: format!("like-{id}"),
        state: entity::to_text(it.state),
        kind: entity::to_text(it.kind),
        due: it.totals.due.minor,
        ordinal,
        number: it.number.clone(),
        issued_at: it.issued_at.map(|at| at.micros()),
        due_at: it.due_at.map(|at| at.micros()),
        paid_at: None,
        content: serde_json::to_string(&it).unwrap(),
        ..known.unwrap()
    };
    row::Entity::insert(new.into_active_model())
        .exec_without_returning(db)
        .await
        .unwrap();
    id
}
