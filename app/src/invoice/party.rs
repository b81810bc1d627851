//! Who buys, as it stands on an invoice.

use domain::{
    id::CustomerId,
    invoice::party::{Address, Party, TaxId},
    tax::registration::{Status, TaxRegistration},
};
use sea_orm::ConnectionTrait;

use super::store;
use crate::{
    actor::Reach,
    customer::{self, Customer, CustomerRef},
    error::Result,
};

/// A buyer, and the tax numbers that it has given.
pub(super) struct Buyer {
    pub(super) party: Party,
    pub(super) registrations: Vec<TaxRegistration>,
}

/// Reads who buys. Two statements.
pub(super) async fn buyer(db: &impl ConnectionTrait, reach: Reach, id: CustomerId) -> Result<Buyer> {
    let who = CustomerRef::Id(id);
    let row = customer::find(db, reach, &who)
        .await?
        .ok_or_else(|| who.unknown())?;
    let customer = Customer::try_from(row)?;
    let registrations = store::registrations(db, reach, id).await?;
    Ok(Buyer {
        party: party(&customer, &registrations),
        registrations,
    })
}

fn party(customer: &Customer, registrations: &[TaxRegistration]) -> Party {
    let address = customer.invoice_address.clone().unwrap_or_default();
    // A number that its register does not know is not printed.
    let known = registrations.iter().filter(|it| it.status != Status::Invalid);
    Party {
        name: customer
            .name
            .clone()
            .unwrap_or_else(|| customer.external_id.clone()),
        address: Address {
            line1: address.line1,
            line2: address.line2.unwrap_or_default(),
            city: address.city,
            postal_code: address.postal_code.unwrap_or_default(),
            region: address.region.unwrap_or_default(),
            // Two letters that are no country say nothing about taxes.
            country: address.country.parse().ok(),
        },
        email: customer.billing_email.clone(),
        tax_ids: known.map(TaxId::from).collect(),
        purchase_order: customer.po_number.clone(),
    }
}
