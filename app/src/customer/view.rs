//! What is read of customers.

use domain::{
    customer::Terms,
    id::{CustomerId, TestClockId},
    rejection::Rejection,
    time::Timestamp,
};
use entity::{Corrupt, customer, from_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::MAX_LINE;

/// What `customer.overshoot_follows` is where something was said of overshoot.
const SAID: i32 = 0;
/// Nothing was said.
const FOLLOWS: i32 = 1;
/// Nothing was said as long as there is no limit: one beside it was said by a process of the version before, which leaves the column as it is.
const FOLLOWS_WITHOUT_LIMIT: i32 = 2;

/// Who the vendor bills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The vendor's own name, unique per tenant.
    pub external_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// What is agreed about running out of credits.
    pub terms: Terms,
    /// Whether what they promise about overshoot is what the vendor promises by default, because nothing else was said.
    #[serde(default)]
    pub overshoot_is_default: bool,
    /// Where bills go.
    pub billing_email: Option<String>,
    /// Postal address for invoices.
    pub invoice_address: Option<InvoiceAddress>,
    /// Purchase order number.
    pub po_number: Option<String>,
    /// The vendor's own notes.
    pub metadata: Map<String, Value>,
    /// The test clock that it lives by; `None`: the clock on the wall.
    #[serde(default)]
    pub clock: Option<TestClockId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A postal address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceAddress {
    /// Street and number.
    pub line1: String,
    /// Anything more.
    pub line2: Option<String>,
    /// City.
    pub city: String,
    /// State, province or region.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 code of the country, in capitals.
    pub country: String,
}

impl Customer {
    /// How it is written down whether it follows its vendor. Limits of followers come from a default only, and that is set when all processes know
    /// of it.
    pub(super) fn follows(&self) -> i32 {
        match (self.overshoot_is_default, self.terms.overshoot_limit) {
            (false, _) => SAID,
            (true, Some(_)) => FOLLOWS,
            (true, None) => FOLLOWS_WITHOUT_LIMIT,
        }
    }
}

/// Whether a row says that it follows its vendor.
fn is_default(row: &customer::Model) -> bool {
    match row.overshoot_follows {
        SAID => false,
        FOLLOWS_WITHOUT_LIMIT => row.overshoot_limit.is_none(),
        _ => true,
    }
}

impl InvoiceAddress {
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        for (field, text) in [
            ("line1", self.line1.clone()),
            ("line2", optional(&self.line2)),
            ("city", self.city.clone()),
            ("region", optional(&self.region)),
            ("postalCode", optional(&self.postal_code)),
        ] {
            if text.len() > MAX_LINE {
                return Err(Rejection::invalid(field, format!("at most {MAX_LINE} bytes")));
            }
        }
        if self.country.len() != 2 || !self.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Rejection::invalid(
                "country",
                "a country is two capital letters (ISO 3166-1)",
            ));
        }
        Ok(())
    }
}

impl TryFrom<customer::Model> for Customer {
    type Error = Corrupt;

    fn try_from(row: customer::Model) -> Result<Self, Corrupt> {
        let address = row.invoice_address.as_deref();
        Ok(Self {
            id: CustomerId(row.id),
            terms: Terms::try_from(&row)?,
            overshoot_is_default: is_default(&row),
            invoice_address: address.map(|json| from_json("customer", json)).transpose()?,
            metadata: from_json("customer", &row.metadata)?,
            external_id: row.external_id,
            name: row.name,
            billing_email: row.billing_email,
            po_number: row.po_number,
            clock: row.clock_id.map(TestClockId),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}
