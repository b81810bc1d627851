//! Customers: who the vendor bills, and on what terms.

mod overshoot;
mod store;
mod view;

use std::collections::BTreeMap;

use domain::{
    amount::Credits,
    customer::{AtZero, BeyondOvershoot, OvershootDefault, Settlement, Terms},
    id::{CustomerId, TestClockId},
    rejection::{Rejection, RejectionCode},
};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::overshoot::{follow, not_following};
pub(crate) use self::store::{TERMS, find, places, terms_in, terms_of};
pub use self::{
    overshoot::{overshoot_default, update_overshoot_default},
    view::{Customer, InvoiceAddress},
};
use crate::{
    App,
    access::check_name,
    actor::{Actor, Reach, Scope},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
    subscription, test_clock, usage,
};

/// Longest external id, in bytes.
pub const MAX_EXTERNAL_ID: usize = 255;
/// Longest e-mail address, in bytes (RFC 5321).
const MAX_EMAIL: usize = 254;
/// Longest line of an address or purchase order number, in bytes.
const MAX_LINE: usize = 200;
/// Most entries of metadata.
const MAX_METADATA: usize = 50;
/// Largest metadata, in bytes of JSON.
const MAX_METADATA_BYTES: usize = 8_192;
/// Partitions of the work. More would make batches smaller, fewer would let fewer workers share it. Part of stored data.
pub const SHARDS: i32 = 32;

/// How a request names a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum CustomerRef {
    /// By our id.
    Id(CustomerId),
    /// By the vendor's own name.
    External(String),
}

/// Which partition of the work a customer belongs to. Ids end in random bits, so this spreads evenly.
#[must_use]
pub fn shard_of(customer: CustomerId) -> i32 {
    (customer.0.as_u128() % u128::from(SHARDS.unsigned_abs())) as i32
}

/// A customer to create.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateCustomer {
    /// The vendor's own name for the customer, unique per tenant.
    pub external_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// What happens when credits are used up.
    pub at_zero: AtZero,
    /// How far below zero checks allow.
    pub overage_line: Option<Credits>,
    /// Who pays back an overdraft.
    pub settlement: Settlement,
    /// How far usage may go beyond where checks refuse; `Some(None)`: nothing is promised. Where neither this nor what becomes of the rest is said,
    /// the vendor's default holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overshoot_limit: Change<Credits>,
    /// What becomes of usage beyond that; `None`: the customer owes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond_overshoot: Option<BeyondOvershoot>,
    /// Where bills go.
    pub billing_email: Option<String>,
    /// Postal address for invoices.
    pub invoice_address: Option<InvoiceAddress>,
    /// Purchase order number.
    pub po_number: Option<String>,
    /// The vendor's own notes.
    pub metadata: BTreeMap<String, Value>,
    /// The test clock that it is to live by, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<TestClockId>,
}

/// Creates a customer with an empty account.
///
/// # Errors
/// An external id that is taken, a field that is malformed, or a clock that takes no customers.
pub async fn create(app: &App, actor: &Actor, input: CreateCustomer, key: &str) -> Result<Once<Customer>> {
    actor.require(Scope::CustomerWrite)?;
    check_external_id("externalId", &input.external_id)?;
    let terms = input.terms()?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createCustomer", key, &input).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let follows = input.follows();
    let terms = match follows {
        true => terms.with_default(store::overshoot_default(op.tx(), actor.tenant).await?),
        false => terms,
    };
    if let Some(clock) = input.clock {
        test_clock::check_room_in(&op, actor.tenant, clock).await?;
    }
    let customer = Customer {
        id: CustomerId(op.new_id()),
        external_id: input.external_id,
        name: input.name,
        terms,
        overshoot_is_default: follows,
        billing_email: input.billing_email,
        invoice_address: input.invoice_address,
        po_number: input.po_number,
        metadata: Map::from_iter(input.metadata),
        clock: input.clock,
        created_at: op.now(),
        updated_at: op.now(),
    };
    check(&customer)?;
    if !store::insert(&op, actor.tenant, &customer).await? {
        let message = format!(
            "a customer with the external id `{}` exists",
            customer.external_id
        );
        return Err(Rejection::new(RejectionCode::AlreadyExists, "externalId", message).into());
    }
    let done = fresh.settle(&op, customer).await?;
    op.commit().await?;
    Ok(done)
}

impl CreateCustomer {
    /// Whether nothing is said of overshoot, so that the vendor's default holds.
    fn follows(&self) -> bool {
        self.overshoot_limit.is_none() && self.beyond_overshoot.is_none()
    }

    /// The terms that are said.
    fn terms(&self) -> Result<Terms> {
        let terms = Terms::new(self.at_zero, self.overage_line, self.settlement)?;
        let beyond = self.beyond_overshoot.unwrap_or_default();
        Ok(terms.with_overshoot(self.overshoot_limit.flatten(), beyond)?)
    }
}

/// A field to change: `None` leaves it, `Some(None)` empties it.
pub type Change<T> = Option<Option<T>>;

/// What to change of a customer.
#[derive(Debug, Clone, Default)]
pub struct UpdateCustomer {
    /// Name for people.
    pub name: Change<String>,
    /// What happens when credits are used up.
    pub at_zero: Option<AtZero>,
    /// How far below zero checks allow.
    pub overage_line: Change<Credits>,
    /// Who pays back an overdraft.
    pub settlement: Option<Settlement>,
    /// How far usage may go beyond where checks refuse.
    pub overshoot_limit: Change<Credits>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: Option<BeyondOvershoot>,
    /// Whether the vendor's default holds for both instead, whatever it will be; `Some(false)`: they stay as they are now.
    pub overshoot_is_default: Option<bool>,
    /// Where bills go.
    pub billing_email: Change<String>,
    /// Postal address for invoices.
    pub invoice_address: Change<InvoiceAddress>,
    /// Purchase order number.
    pub po_number: Change<String>,
    /// The vendor's own notes, replaced as a whole.
    pub metadata: Option<BTreeMap<String, Value>>,
}

/// Changes a customer. New terms hold from now on.
///
/// # Errors
/// No such customer, a field that is malformed, or a change of settlement or of the bound of the overdraft while the customer's usage is
/// parked.
pub async fn update(app: &App, actor: &Actor, who: &CustomerRef, input: UpdateCustomer) -> Result<Customer> {
    actor.require(Scope::CustomerWrite)?;
    let row = find(app.db().reader(), actor.reach(), who).await?;
    let present = Customer::try_from(row.ok_or_else(|| who.unknown())?)?;
    // Who says nothing of terms leaves them as they are, also where the vendor promises something else by now.
    let has_terms = input.has_terms();
    change(app, actor.reach(), &present, input, has_terms).await
}

/// Changes a customer that was found just now. `has_terms`: its terms as well, to those that are said and, for who follows its vendor, to the
/// default of the moment.
async fn change(
    app: &App,
    reach: Reach,
    present: &Customer,
    input: UpdateCustomer,
    has_terms: bool,
) -> Result<Customer> {
    let (id, tenant) = (present.id, reach.tenant());
    let mut steers = false;
    if has_terms {
        let default = store::overshoot_default(app.db().reader(), tenant).await?;
        steers = steers_debits(&input.terms(present, default)?, &present.terms);
    }
    loop {
        if steers {
            // Usage accepted before is debited, and its overdraft settled, by the terms of then.
            let now = test_clock::now_of(app, id).await?;
            subscription::catch_up(app, id).await?;
            usage::settle_up_to_date(app, id, now).await?;
        }
        let mut op = Op::begin(app).await?;
        // Terms decide how credits move, so they change under the same lock as the credits.
        let account = op.lock_account(tenant, id).await?;
        let row = find(op.tx(), reach, &CustomerRef::Id(id)).await?;
        let mut customer =
            Customer::try_from(row.ok_or_else(|| Rejection::not_found("customerId", "customer"))?)?;
        let before = customer.terms;
        if has_terms {
            let default = store::overshoot_default(op.tx(), tenant).await?;
            customer.terms = input.terms(&customer, default)?;
            customer.overshoot_is_default = input.follows(&customer)?;
        }
        if !steers && steers_debits(&customer.terms, &before) {
            // Other terms or another default came meanwhile, so usage has to be settled after all.
            op.abandon().await?;
            steers = true;
            continue;
        }
        apply(&mut customer, input);
        customer.updated_at = op.now();
        check(&customer)?;
        let bounded_anew = customer.terms.bound() != before.bound();
        let last_entry = account.map(|account| account.sequence);
        store::update(&op, &customer, last_entry.filter(|_| bounded_anew)).await?;
        op.changed(id);
        op.commit().await?;
        return Ok(customer);
    }
}

/// Whether usage is debited differently by other terms.
fn steers_debits(one: &Terms, other: &Terms) -> bool {
    (one.settlement, one.bound()) != (other.settlement, other.bound())
}

impl UpdateCustomer {
    /// Whether anything is said of terms.
    fn has_terms(&self) -> bool {
        self.at_zero.is_some()
            || self.overage_line.is_some()
            || self.settlement.is_some()
            || self.overshoot_limit.is_some()
            || self.beyond_overshoot.is_some()
            || self.overshoot_is_default.is_some()
    }

    /// Whether the vendor's default holds from now on.
    fn follows(&self, present: &Customer) -> Result<bool> {
        let says = self.overshoot_limit.is_some() || self.beyond_overshoot.is_some();
        if says && self.overshoot_is_default == Some(true) {
            let message = "either the vendor's default, or a limit and what lies beyond it";
            return Err(Rejection::invalid("overshootIsDefault", message).into());
        }
        let goes_on = present.overshoot_is_default && !says;
        Ok(self.overshoot_is_default.unwrap_or(goes_on))
    }

    /// The terms that are wanted in place of those that a customer has.
    fn terms(&self, customer: &Customer, default: OvershootDefault) -> Result<Terms> {
        let present = customer.terms;
        let at_zero = self.at_zero.unwrap_or(present.at_zero);
        let line = match self.overage_line {
            Some(line) => line,
            // A policy that knows no line forgets the old one.
            None => {
                (at_zero == AtZero::AllowUpTo && present.at_zero == at_zero).then_some(present.overage_line)
            }
        };
        let settlement = self.settlement.unwrap_or(present.settlement);
        let terms = Terms::new(at_zero, line, settlement)?;
        if self.follows(customer)? {
            return Ok(terms.with_default(default));
        }
        // A promise is never forgotten: whoever wants terms that it does not fit has to say that it is over. That nothing is promised in place of
        // the vendor's default says it.
        let says_none = customer.overshoot_is_default && self.overshoot_limit == Some(None);
        let known = if says_none {
            BeyondOvershoot::Bill
        } else {
            present.beyond_overshoot
        };
        let limit = self.overshoot_limit.unwrap_or(present.overshoot_limit);
        let beyond = self.beyond_overshoot.unwrap_or(known);
        Ok(terms.with_overshoot(limit, beyond)?)
    }
}

/// Changes everything but the terms.
fn apply(customer: &mut Customer, input: UpdateCustomer) {
    customer.name = input.name.unwrap_or(customer.name.take());
    customer.billing_email = input.billing_email.unwrap_or(customer.billing_email.take());
    customer.invoice_address = input.invoice_address.unwrap_or(customer.invoice_address.take());
    customer.po_number = input.po_number.unwrap_or(customer.po_number.take());
    if let Some(metadata) = input.metadata {
        customer.metadata = Map::from_iter(metadata);
    }
}

/// One customer.
///
/// # Errors
/// The scope is missing.
pub async fn customer(app: &App, actor: &Actor, who: &CustomerRef) -> Result<Option<Customer>> {
    actor.require(Scope::CustomerRead)?;
    let row = find(app.db().reader(), actor.reach(), who).await?;
    Ok(row.map(Customer::try_from).transpose()?)
}

/// The tenant's customers, oldest first.
///
/// # Errors
/// The scope is missing, or the credential is a token of one customer.
pub async fn customers(app: &App, actor: &Actor, page: Page<CustomerId>) -> Result<Slice<Customer>> {
    actor.require_for_all(Scope::CustomerRead)?;
    Ok(store::list(app.db().reader(), actor.reach(), page)
        .await?
        .try_map(Customer::try_from)?)
}

/// The id of a customer.
///
/// # Errors
/// No such customer within reach, blaming the field by which it was named.
pub(crate) async fn resolve(
    db: &impl ConnectionTrait,
    reach: Reach,
    who: &CustomerRef,
) -> Result<CustomerId> {
    let row = find(db, reach, who).await?;
    Ok(CustomerId(row.ok_or_else(|| who.unknown())?.id))
}

impl CustomerRef {
    /// The refusal for a customer that does not exist.
    pub(crate) fn unknown(&self) -> Rejection {
        let field = match self {
            Self::Id(_) => "customerId",
            Self::External(_) => "externalCustomerId",
        };
        Rejection::not_found(field, "customer")
    }
}

/// Checks the vendor's own name for something.
pub(crate) fn check_external_id(field: &str, id: &str) -> Result<()> {
    if id.trim().is_empty() || id.len() > MAX_EXTERNAL_ID || id.chars().any(char::is_control) {
        let message = format!(
            "an external id has 1 to {MAX_EXTERNAL_ID} bytes, is not blank and has no control characters"
        );
        return Err(Rejection::invalid(field, message).into());
    }
    Ok(())
}

fn check(customer: &Customer) -> Result<()> {
    if let Some(name) = &customer.name {
        check_name("name", name)?;
    }
    if let Some(email) = &customer.billing_email {
        check_email("billingEmail", email)?;
    }
    if customer
        .po_number
        .as_ref()
        .is_some_and(|number| number.len() > MAX_LINE || number.chars().any(char::is_control))
    {
        let message = format!("at most {MAX_LINE} bytes on one line");
        return Err(Rejection::invalid("poNumber", message).into());
    }
    if let Some(address) = &customer.invoice_address {
        address.check().map_err(|no| no.under("invoiceAddress"))?;
    }
    check_metadata(&customer.metadata)
}

/// Checks the vendor's own notes.
pub(crate) fn check_metadata(metadata: &Map<String, Value>) -> Result<()> {
    let size = serde_json::to_string(metadata)?.len();
    if metadata.len() > MAX_METADATA || size > MAX_METADATA_BYTES {
        let message = format!("at most {MAX_METADATA} entries and {MAX_METADATA_BYTES} bytes");
        return Err(Rejection::invalid("metadata", message).into());
    }
    Ok(())
}

/// Whether mail could be sent there is found out by sending it; this only catches what cannot be an address.
pub(crate) fn check_email(field: &str, email: &str) -> Result<()> {
    let fine = email.len() <= MAX_EMAIL
        && !email
            .chars()
            .any(|char| char.is_whitespace() || char.is_control())
        && email
            .rsplit_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && host.contains('.'));
    if fine {
        Ok(())
    } else {
        Err(Rejection::invalid(field, "it is not an e-mail address").into())
    }
}

/// Where a customer's row is: its id, its tenant's name for it and its partition. What usage needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) customer: CustomerId,
    pub(crate) shard: i32,
    /// The test clock that it lives by.
    pub(crate) clock: Option<TestClockId>,
}
