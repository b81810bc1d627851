//! Endpoints: the addresses that vendors want to be told at.

use domain::{
    event::EventType,
    id::{CustomerId, TenantId, WebhookEndpointId},
    rejection::Rejection,
};
use serde::Serialize;

use super::{Endpoint, EndpointState, secret, store};
use crate::{
    App,
    access::check_name,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    job,
    op::Op,
    page::{Page, Slice},
};

/// Most endpoints of a tenant that hear of all customers: each of them hears of every event.
const MAX_ENDPOINTS: u64 = 50;
/// Most endpoints that hear of one customer only.
const MAX_OF_CUSTOMER: u64 = 5;
/// Most messages on their way to one endpoint at once.
pub const MAX_AT_ONCE: i32 = 64;
/// Messages on their way to one endpoint at once unless it says otherwise.
const USUAL_AT_ONCE: i32 = 8;
/// Bytes that make the secrets of an endpoint its own.
const SALT_BYTES: usize = 16;
/// Longest time for which two secrets sign, in hours: a week.
const MAX_OVERLAP_HOURS: i64 = 168;

/// An endpoint to create.
#[derive(Debug, Clone, Serialize)]
pub struct CreateEndpoint {
    /// Where to: `https://…`.
    pub url: String,
    /// Names of the types of events that it wants; `None`: all.
    pub types: Option<Vec<String>>,
    /// What the vendor calls it.
    pub description: Option<String>,
    /// Only events about this customer; `None`: about all.
    pub customer: Option<CustomerRef>,
    /// Most messages on their way at once, 1 to [`MAX_AT_ONCE`].
    pub at_once: Option<i32>,
}

/// An endpoint, and the secret by which its receiver knows us (`whsec_…`).
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The secret that signs from now on.
    pub secret: String,
}

/// Creates an endpoint. A replay shows the secret again.
///
/// # Errors
/// An address that may not be called, an unknown type of events, no such customer, or too many endpoints.
pub async fn create(app: &App, actor: &Actor, input: CreateEndpoint, key: &str) -> Result<Once<Rotated>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    check_url(app, "url", &input.url)?;
    let types = input.types.clone().map(check_types).transpose()?;
    check_description(input.description.as_deref())?;
    let at_once = check_at_once(input.at_once)?.unwrap_or(USUAL_AT_ONCE);
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createWebhookEndpoint", key, &input).await? {
        Claim::Replay(known) => {
            // The root of secrets may have to be written first.
            op.abandon().await?;
            return with_secret(app, known.value, true).await;
        }
        Claim::Fresh(fresh) => fresh,
    };
    let customer = match &input.customer {
        Some(who) => Some(customer::resolve(op.tx(), actor.reach(), who).await?),
        None => None,
    };
    check_room(&op, "url", actor.tenant, customer).await?;
    let endpoint = Endpoint {
        types,
        description: input.description,
        at_once,
        ..fresh_endpoint(&op, actor.tenant, customer, input.url)
    };
    store::insert(&op, &endpoint).await?;
    let done = fresh.settle(&op, endpoint).await?;
    op.commit().await?;
    with_secret(app, done.value, false).await
}

/// An endpoint that hears of everything.
fn fresh_endpoint(op: &Op, tenant: TenantId, customer: Option<CustomerId>, url: String) -> Endpoint {
    let mut salt = [0_u8; SALT_BYTES];
    rand::fill(&mut salt);
    Endpoint {
        id: WebhookEndpointId(op.new_id()),
        tenant,
        customer,
        url,
        types: None,
        description: None,
        state: EndpointState::Enabled,
        at_once: USUAL_AT_ONCE,
        generation: 1,
        former_until: None,
        failures: 0,
        failing_since: None,
        resting_until: None,
        last_problem: None,
        created_at: op.now(),
        salt: salt.to_vec(),
    }
}

/// An endpoint that another room keeps for a customer.
pub(crate) struct Own<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    /// The field that its address comes from.
    pub(crate) field: &'a str,
    /// What it hears of.
    pub(crate) types: &'a [EventType],
}

/// Points such an endpoint at an address: makes it where there is none, or takes it away with no address. One that is pointed anew is switched
/// on. At most three statements.
pub(crate) async fn point_in(
    app: &App,
    op: &mut Op,
    own: &Own<'_>,
    known: Option<WebhookEndpointId>,
    url: Option<&str>,
) -> Result<Option<Endpoint>> {
    let present = match known {
        Some(id) => store::lock(op, own.tenant, id).await?,
        None => None,
    };
    let Some(url) = url else {
        if let Some(endpoint) = present {
            store::delete(op, own.tenant, endpoint.id).await?;
        }
        return Ok(None);
    };
    check_url(app, own.field, url)?;
    if let Some(mut endpoint) = present {
        url.clone_into(&mut endpoint.url);
        endpoint.switch_on();
        job::webhooks::wake_one_in(op, endpoint.id).await?;
        store::write(op, &endpoint).await?;
        return Ok(Some(endpoint));
    }
    check_room(op, own.field, own.tenant, Some(own.customer)).await?;
    let endpoint = Endpoint {
        types: Some(own.types.iter().map(ToString::to_string).collect()),
        ..fresh_endpoint(op, own.tenant, Some(own.customer), url.to_owned())
    };
    store::insert(op, &endpoint).await?;
    Ok(Some(endpoint))
}

/// The secret by which the receiver at an endpoint knows us (`whsec_…`).
pub(crate) async fn secret_of(app: &App, endpoint: &Endpoint) -> Result<String> {
    Ok(secret::present(app, endpoint).await?.reveal())
}

async fn with_secret(app: &App, endpoint: Endpoint, replay: bool) -> Result<Once<Rotated>> {
    let secret = secret_of(app, &endpoint).await?;
    Ok(Once {
        value: Rotated { endpoint, secret },
        replay,
    })
}

/// What to change of an endpoint; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UpdateEndpoint {
    /// Where to.
    pub url: Option<String>,
    /// Which types of events; `Some(None)`: all.
    pub types: Option<Option<Vec<String>>>,
    /// What the vendor calls it; `Some(None)`: nothing.
    pub description: Option<Option<String>>,
    /// Most messages on their way at once.
    pub at_once: Option<i32>,
    /// Whether events are sent to it. Switching it on forgets its failures, and what waits is sent.
    pub enabled: Option<bool>,
}

/// Changes an endpoint. What is on its way goes to where it was meant for.
///
/// # Errors
/// No such endpoint, an address that may not be called, or an unknown type of events.
pub async fn update(
    app: &App,
    actor: &Actor,
    id: WebhookEndpointId,
    input: UpdateEndpoint,
) -> Result<Endpoint> {
    actor.require_for_all(Scope::WebhookWrite)?;
    if let Some(url) = &input.url {
        check_url(app, "url", url)?;
    }
    let types = input
        .types
        .map(|types| types.map(check_types).transpose())
        .transpose()?;
    check_description(input.description.as_ref().and_then(Option::as_deref))?;
    let at_once = check_at_once(input.at_once)?;
    let mut op = Op::begin(app).await?;
    let mut endpoint = locked(&op, actor.tenant, id).await?;
    endpoint.url = input.url.unwrap_or(endpoint.url);
    endpoint.types = types.unwrap_or(endpoint.types);
    endpoint.description = input.description.unwrap_or(endpoint.description);
    endpoint.at_once = at_once.unwrap_or(endpoint.at_once);
    match input.enabled {
        Some(true) => {
            endpoint.switch_on();
            job::webhooks::wake_one_in(&mut op, id).await?;
        }
        Some(false) => endpoint.state = EndpointState::Disabled,
        None => {}
    }
    store::write(&op, &endpoint).await?;
    op.commit().await?;
    Ok(endpoint)
}

/// Replaces the secret of an endpoint. For so many hours, a day by default, both sign, so that the receiver can change over in peace.
///
/// # Errors
/// No such endpoint, or an overlap outside 0 to 168 hours.
pub async fn rotate(
    app: &App,
    actor: &Actor,
    id: WebhookEndpointId,
    overlap_hours: Option<i64>,
    key: &str,
) -> Result<Once<Rotated>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let hours = overlap_hours.unwrap_or(24);
    if !(0..=MAX_OVERLAP_HOURS).contains(&hours) {
        let message = format!("0 to {MAX_OVERLAP_HOURS} hours");
        return Err(Rejection::invalid("overlapHours", message).into());
    }
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "rotateWebhookSecret", key, &(id, hours)).await? {
        Claim::Replay(known) => {
            // The root of secrets may have to be written first.
            op.abandon().await?;
            return with_secret(app, known.value, true).await;
        }
        Claim::Fresh(fresh) => fresh,
    };
    let mut endpoint = locked(&op, actor.tenant, id).await?;
    endpoint.generation += 1;
    endpoint.former_until = Some(op.now().plus_seconds(hours * 3_600));
    store::write(&op, &endpoint).await?;
    let done = fresh.settle(&op, endpoint).await?;
    op.commit().await?;
    with_secret(app, done.value, false).await
}

/// Takes an endpoint away: nothing more is sent to it. What became of its messages stays readable by id until the events are forgotten. It can
/// be asked for again.
///
/// # Errors
/// No such endpoint.
pub async fn delete(app: &App, actor: &Actor, id: WebhookEndpointId) -> Result<Endpoint> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let op = Op::begin(app).await?;
    let found = store::delete(&op, actor.tenant, id).await?;
    op.commit().await?;
    found.ok_or_else(|| Rejection::not_found("endpointId", "webhook endpoint").into())
}

/// One endpoint.
///
/// # Errors
/// The scope is missing.
pub async fn endpoint(app: &App, actor: &Actor, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    actor.require_for_all(Scope::WebhookRead)?;
    store::endpoint(app.db().reader(), actor.tenant, id).await
}

/// Endpoints, oldest first: all, or those that hear of one customer only.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn endpoints(
    app: &App,
    actor: &Actor,
    customer: Option<&CustomerRef>,
    page: Page<WebhookEndpointId>,
) -> Result<Slice<Endpoint>> {
    actor.require_for_all(Scope::WebhookRead)?;
    let db = app.db().reader();
    let customer = match customer {
        Some(who) => Some(customer::resolve(db, actor.reach(), who).await?),
        None => None,
    };
    store::endpoints(db, actor.tenant, customer, page).await
}

/// An endpoint whose row is locked.
pub(super) async fn locked(op: &Op, tenant: TenantId, id: WebhookEndpointId) -> Result<Endpoint> {
    let found = store::lock(op, tenant, id).await?;
    found.ok_or_else(|| Rejection::not_found("endpointId", "webhook endpoint").into())
}

async fn check_room(op: &Op, field: &str, tenant: TenantId, customer: Option<CustomerId>) -> Result<()> {
    let most = if customer.is_some() {
        MAX_OF_CUSTOMER
    } else {
        MAX_ENDPOINTS
    };
    if store::count(op, tenant, customer).await? < most {
        return Ok(());
    }
    let message = match customer {
        Some(_) => format!("a customer has at most {most} webhook endpoints of its own"),
        None => format!("a tenant has at most {most} webhook endpoints for all customers"),
    };
    Err(Rejection::invalid(field, message).into())
}

fn check_url(app: &App, field: &str, url: &str) -> Result<()> {
    let Some(webhooks) = &app.limits().webhooks else {
        return Err(Error::Unavailable("this process sends no webhooks".to_owned()));
    };
    let checked = webhooks.policy().check(url);
    checked.map_err(|no| Rejection::invalid(field, no.to_string()))?;
    Ok(())
}

fn check_types(types: Vec<String>) -> Result<Vec<String>> {
    if types.is_empty() {
        let message = "name at least one type of events, or leave it out for all";
        return Err(Rejection::invalid("types", message).into());
    }
    for name in &types {
        if EventType::named(name).is_none() {
            let message = format!("`{name}` is no type of events; `eventTypes` lists them");
            return Err(Rejection::invalid("types", message).into());
        }
    }
    Ok(types)
}

fn check_description(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) => Ok(check_name("description", text)?),
        None => Ok(()),
    }
}

fn check_at_once(at_once: Option<i32>) -> Result<Option<i32>> {
    match at_once {
        Some(number) if !(1..=MAX_AT_ONCE).contains(&number) => {
            Err(Rejection::invalid("maxConcurrency", format!("1 to {MAX_AT_ONCE}")).into())
        }
        other => Ok(other),
    }
}
