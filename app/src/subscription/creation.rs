//! The beginning of a subscription.

use domain::{
    id::{SubscriptionId, VariantId},
    rejection::{Rejection, RejectionCode},
    subscription::{Subscription, contract::Contract, create::NewSubscription},
    time::Timestamp,
    zone::Zone,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    held::{Held, block_ids},
    settled::{Begun, begin_settled},
    store,
    view::SubscriptionView,
    write::write,
};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    customer::{self, CustomerRef, check_external_id, check_metadata, shard_of},
    error::{Error, Result},
    idempotency::Once,
};

/// Most subscriptions of one customer that are not over: bounds what a step has to read.
const MAX_PER_CUSTOMER: i64 = 50;

/// A subscription to create.
#[derive(Debug, Clone, Serialize)]
pub struct CreateSubscription {
    /// Whose.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// To what.
    pub variant: VariantId,
    /// The vendor's own name for it, unique per tenant.
    pub external_id: Option<String>,
    /// The vendor's own notes.
    pub metadata: Map<String, Value>,
    /// The billing day, 1 to 31; `None`: today, and the time of day stays.
    pub billing_day: Option<i32>,
    /// By whose calendar; `None`: UTC.
    pub zone: Option<String>,
    /// First instant of the contract; `None`: now.
    pub contract_start: Option<Timestamp>,
    /// First instant after the contract; `None`: it does not end.
    pub contract_end: Option<Timestamp>,
    /// How many days before the end it is told.
    pub contract_notice_days: Option<i32>,
    /// Whether the fee of a first cycle that is paid ahead has been paid elsewhere, so that it is not billed.
    pub first_cycle_paid: bool,
}

/// Begins a subscription: its first cycle runs from now, and its first grants are there with the answer.
///
/// # Errors
/// No such customer or variant, an archived one, a contract that cannot be, an external id that is taken, too many subscriptions.
pub async fn create(
    app: &App,
    actor: &Actor,
    input: CreateSubscription,
    key: &str,
) -> Result<Once<SubscriptionView>> {
    actor.require(Scope::SubscriptionWrite)?;
    check(&input)?;
    let zone = zone(input.zone.as_deref())?;
    let customer = customer::resolve(app.db().reader(), actor.reach(), &input.customer).await?;
    let begun = begin_settled(
        app,
        actor,
        customer,
        "createSubscription",
        key,
        &(customer, &input),
    )
    .await?;
    let (mut op, fresh, account) = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => settled.into_parts(),
    };
    let unknown = || Rejection::not_found("variantId", "plan variant");
    // Of this tenant, and with the plan's own archiving: a variant of another one does not exist.
    let offer = catalog::offer_of_tenant(op.tx(), actor.tenant, input.variant)
        .await?
        .ok_or_else(unknown)?;
    let offer = match op.own_time() {
        Some(now) => offer.by_clock(now),
        None => offer,
    };
    if store::living_count(&op, customer).await? >= MAX_PER_CUSTOMER {
        let message = format!("a customer has at most {MAX_PER_CUSTOMER} subscriptions at a time");
        return Err(Rejection::new(RejectionCode::InvalidInput, "customerId", message).into());
    }
    if let Some(id) = &input.external_id
        && store::find_external(op.tx(), actor.reach(), id).await?.is_some()
    {
        return Err(store::taken().into());
    }
    let now = op.present();
    let new = NewSubscription {
        id: SubscriptionId(op.new_id()),
        customer,
        billing_day: billing_day(input.billing_day)?,
        zone,
        contract: contract(&input, now)?,
        first_cycle_paid: input.first_cycle_paid,
    };
    let clock = account.clock_id;
    let (mut offers, one) = Held::read(&op, vec![account], op.own_time()).await?.only()?;
    offers.insert(input.variant, offer.clone());
    let mut session = one.session(&offers);
    session.sweep(now)?;
    let balance = session.portfolio.state.account.balance();
    let decision = Subscription::create(new, &offer, balance, now)?;
    let it = decision.subscription.clone();
    let metadata = Value::Object(input.metadata).to_string();
    let (tenant, shard) = (actor.tenant, shard_of(customer));
    session.begin(entity::blank_subscription(
        tenant,
        &it,
        shard,
        input.external_id,
        metadata,
        clock,
    ));
    let moved = session.portfolio.apply(decision, block_ids(&op))?;
    session.moved.push(moved);
    let outcome = session.outcome()?;
    let row = outcome.rows.iter().find(|row| row.id == it.id.0);
    let row = row.ok_or_else(|| Error::Internal(format!("{} was not decided", it.id)))?;
    let view = SubscriptionView::new(row, &it)?;
    write(&mut op, &mut [outcome]).await?;
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

fn check(input: &CreateSubscription) -> Result<()> {
    if let Some(id) = &input.external_id {
        check_external_id("externalId", id)?;
    }
    check_metadata(&input.metadata)?;
    if input.contract_end.is_none() {
        for (field, given) in [
            ("contractStart", input.contract_start.is_some()),
            ("contractEndingSoonDays", input.contract_notice_days.is_some()),
        ] {
            if given {
                return Err(Rejection::invalid(field, "it goes with `contractEnd` only").into());
            }
        }
    }
    Ok(())
}

fn zone(name: Option<&str>) -> Result<Zone> {
    let Some(name) = name else { return Ok(Zone::UTC) };
    name.parse()
        .map_err(|no: domain::zone::NotAZone| Rejection::invalid("timeZone", no.to_string()).into())
}

fn billing_day(day: Option<i32>) -> Result<Option<i8>> {
    let fits = |day: i32| {
        i8::try_from(day).map_err(|_| Rejection::invalid("billingAnchorDay", "a billing day is 1 to 31"))
    };
    Ok(day.map(fits).transpose()?)
}

fn contract(input: &CreateSubscription, now: Timestamp) -> Result<Option<Contract>> {
    let Some(end) = input.contract_end else {
        return Ok(None);
    };
    let contract = Contract::new(input.contract_start, end, input.contract_notice_days, now)?;
    Ok(Some(contract))
}
