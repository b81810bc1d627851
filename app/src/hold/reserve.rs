//! Making holds: checked and set aside in one step, under the lock on the account.
//!
//! What is left is found as the gate finds it, by the same functions, from what the database shows under the lock: debited or not,
//! accepted usage counts, and so do the holds before. Nothing has to be debited first, so nothing has to be tried again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use domain::{
    amount::{Credits, Quantity},
    gate::{Decision, Reason, Standing},
    hold::{self as rules, Hold, HoldState, MAX_OPEN, Unfit, claims::Instant},
    id::{CustomerId, HoldId, MetricId, TenantId},
    metering::rule::Properties,
    rejection::Rejection,
    time::Timestamp,
    usage::event::is_key,
};
use entity::{account, hold, to_text};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    gather::Work,
    store::{self, Changes},
    times,
    view::Reservation,
};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog::shelf::Known,
    customer::{CustomerRef, Place},
    error::{Error, Result},
    failpoint::reach,
    gate,
    op::Op,
    usage,
};

/// A hold as its holder asks for it.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// For whose work; `None` when the holder named nobody, or two.
    pub customer: Option<CustomerRef>,
    /// What is going to be used.
    pub metric_key: String,
    /// How much at most, as a decimal number.
    pub units: String,
    /// Facts that a rule may match on: a JSON object of plain values.
    pub properties: Option<Value>,
    /// How long it lasts, in seconds; `None`: [`rules::DEFAULT_SECONDS`].
    pub seconds: Option<i64>,
    /// Chosen by the holder; the same key never holds twice.
    pub key: String,
}

/// What became of one request for a hold.
#[derive(Debug, Clone)]
pub enum Reserved {
    /// Committed: the credits are set aside.
    Held(Box<Reservation>),
    /// It was made before; as it stands now.
    Duplicate(Box<Reservation>),
    /// The key was used before for another one; nothing was written.
    Conflict,
    /// The gate says no; nothing was written, and the same key may be tried again.
    Refused(Refused),
    /// It cannot be asked for; nothing was written.
    Rejected(Unfit),
}

/// Why the gate says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which limit decided.
    pub reason: Reason,
    /// Credits left to spend on the metric; `None` when unknown, or without a limit.
    pub available: Option<Credits>,
    /// Credits that are missing; `None` when unknown.
    pub missing: Option<Credits>,
}

/// Sets credits aside for work that is about to run. Answers per request, in order, after the commit.
///
/// # Errors
/// No requests, or more than [`rules::MAX_BATCH`]; a database out of reach, in which case sending the same again is safe.
pub async fn reserve(app: &App, actor: &Actor, asked: Vec<Reserve>) -> Result<Vec<Reserved>> {
    actor.require(Scope::UsageWrite)?;
    check_batch("reservations", asked.len())?;
    let prices = app.shelf().of(app, actor.tenant).await?;
    let lacks = |it: &Reserve| !prices.list.metrics.contains_key(&it.metric_key);
    let prices = match asked.iter().any(lacks) {
        true => app.shelf().anew(app, actor.tenant).await?,
        false => prices,
    };
    let who: Vec<&CustomerRef> = asked.iter().filter_map(|it| it.customer.as_ref()).collect();
    let mut places = app.directory().places(app, actor.tenant, &who).await?.into_iter();
    let mut outcomes = Vec::with_capacity(asked.len());
    let (mut fit, mut at) = (Vec::new(), Vec::new());
    for (index, wanted) in asked.into_iter().enumerate() {
        let place = wanted.customer.as_ref().and_then(|_| places.next().flatten());
        let place = place.filter(|place| actor.reach().admits(place.customer));
        match Wanted::new(actor.tenant, place, &prices, wanted) {
            Ok(wanted) => {
                fit.push(wanted);
                at.push(index);
                outcomes.push(None);
            }
            Err(unfit) => outcomes.push(Some(Reserved::Rejected(unfit))),
        }
    }
    for (index, made) in at.into_iter().zip(app.holds().reservations.done(fit).await?) {
        outcomes[index] = Some(made);
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Checks how much a request asks at once.
pub(super) fn check_batch(field: &str, count: usize) -> Result<()> {
    if (1..=rules::MAX_BATCH).contains(&count) {
        return Ok(());
    }
    let message = format!("a request has 1 to {} {field}", rules::MAX_BATCH);
    Err(Rejection::invalid(field, message).into())
}

/// A checked request for a hold.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    tenant: TenantId,
    customer: CustomerId,
    metric: MetricId,
    metric_key: String,
    key: String,
    fingerprint: Uuid,
    units: Quantity,
    properties: Properties,
    seconds: i64,
}

impl Wanted {
    fn new(
        tenant: TenantId,
        place: Option<Place>,
        prices: &Known,
        asked: Reserve,
    ) -> std::result::Result<Self, Unfit> {
        if !is_key(&asked.key) {
            return Err(Unfit::InvalidKey);
        }
        let customer = place.ok_or(Unfit::UnknownCustomer)?.customer;
        let metric = prices.list.metrics.get(&asked.metric_key);
        let metric = metric.ok_or(Unfit::UnknownMetric)?;
        if metric.archived_at.is_some() {
            return Err(Unfit::ArchivedMetric);
        }
        let units: Quantity = asked.units.parse().map_err(|_| Unfit::InvalidUnits)?;
        if !units.is_positive() {
            return Err(Unfit::InvalidUnits);
        }
        let properties = usage::parse_properties(asked.properties).map_err(|_| Unfit::InvalidProperties)?;
        let seconds = rules::seconds(asked.seconds)?;
        Ok(Self {
            fingerprint: fingerprint(customer, metric.id, units, seconds, &properties),
            tenant,
            customer,
            metric: metric.id,
            metric_key: asked.metric_key,
            key: asked.key,
            units,
            properties,
            seconds,
        })
    }

    fn hold(&self, id: HoldId, now: Timestamp) -> Hold {
        Hold {
            id,
            metric: self.metric,
            units: self.units,
            properties: self.properties.clone(),
            expires_at: now.plus_seconds(self.seconds),
        }
    }

    fn view(&self, row: hold::Model, now: Timestamp) -> Result<Reservation> {
        Reservation::new(row, self.metric_key.clone(), now)
    }

    fn row(&self, hold: &Hold, credits: Credits, now: Timestamp) -> Result<hold::Model> {
        let properties = (!self.properties.is_empty()).then(|| serde_json::to_string(&self.properties));
        Ok(hold::Model {
            id: hold.id.0,
            tenant_id: self.tenant.0,
            customer_id: self.customer.0,
            metric_id: self.metric.0,
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            units: self.units.raw(),
            credits: credits.raw(),
            properties: properties.transpose()?,
            state: to_text(HoldState::Open),
            made_at: now.micros(),
            expires_at: hold.expires_at.micros(),
            ended_at: None,
            event_id: None,
            captured_units: None,
            late: 0,
        })
    }
}

/// What makes two requests with one key the same: all that the holder sent.
fn fingerprint(
    customer: CustomerId,
    metric: MetricId,
    units: Quantity,
    seconds: i64,
    properties: &Properties,
) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(customer.0.as_bytes());
    hash.update(metric.0.as_bytes());
    hash.update(units.raw().to_be_bytes());
    hash.update(seconds.to_be_bytes());
    for text in properties.iter().flat_map(|(name, value)| [name, value]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(half)
}

impl Work for Wanted {
    type Done = Reserved;

    fn customer(&self) -> CustomerId {
        self.customer
    }

    /// One transaction of eleven statements, its beginning and end included, for any number of holds and customers; one more each where
    /// customers have subscriptions, test clocks or open holds, or come to the limit of these, and five where a step of a subscription is due. Eight where nothing can
    /// be held.
    async fn run(app: &App, all: Vec<Self>) -> Result<Vec<Reserved>> {
        // Before the transaction: nobody may hold one connection while waiting for another.
        let mut prices = HashMap::new();
        for tenant in all.iter().map(|it| it.tenant).collect::<BTreeSet<_>>() {
            prices.insert(tenant, app.shelf().of(app, tenant).await?);
        }
        let mut op = Op::begin(app).await?;
        let mut books = Books::read(app, &mut op, &all, &prices).await?;
        let mut outcomes = Vec::with_capacity(all.len());
        for wanted in &all {
            outcomes.push(books.decide(&op, wanted)?);
        }
        reach("hold.decided")?;
        if books.new.is_empty() {
            op.abandon().await?;
            return Ok(outcomes);
        }
        let taken = store::insert(&op, &books.new).await?;
        reach("hold.inserted")?;
        let mut changes = std::mem::take(&mut books.freed);
        for row in books.new.iter().filter(|row| !taken.contains(&HoldId(row.id))) {
            changes.made(row);
        }
        changes.write(&mut op).await?;
        reach("hold.written")?;
        op.commit().await?;
        for outcome in &mut outcomes {
            // Its key went to a hold of another customer at this very moment.
            if matches!(outcome, Reserved::Held(it) | Reserved::Duplicate(it) if taken.contains(&it.id)) {
                *outcome = Reserved::Conflict;
            }
        }
        Ok(outcomes)
    }
}

/// All that a transaction decides on.
struct Books<'a> {
    accounts: HashMap<CustomerId, account::Model>,
    times: HashMap<CustomerId, Timestamp>,
    standings: HashMap<CustomerId, Standing>,
    prices: &'a HashMap<TenantId, Arc<Known>>,
    /// Holds by their keys: those that were there, and those that are made.
    known: HashMap<(TenantId, String), hold::Model>,
    new: Vec<hold::Model>,
    /// What the end of holds past their deadline changes on accounts.
    freed: Changes,
}

impl<'a> Books<'a> {
    /// Locks the accounts, and reads everything about them.
    async fn read(
        app: &App,
        op: &mut Op,
        all: &[Wanted],
        prices: &'a HashMap<TenantId, Arc<Known>>,
    ) -> Result<Self> {
        let customers: BTreeSet<CustomerId> = all.iter().map(|it| it.customer).collect();
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let mut accounts = op.lock_accounts(&customers).await?;
        reach("hold.locked")?;
        let times = times(op, &accounts).await?;
        let keys: Vec<(TenantId, &str)> = all.iter().map(|it| (it.tenant, it.key.as_str())).collect();
        let known = store::by_keys(op.tx(), &keys).await?;
        let freed = make_room(op, &mut accounts, &times, all).await?;
        let whose: Vec<(TenantId, CustomerId)> = accounts
            .iter()
            .map(|row| (TenantId(row.tenant_id), CustomerId(row.customer_id)))
            .collect();
        let standings = gate::standings_in(app, op.tx(), &whose, prices, op.now()).await?;
        reach("hold.read")?;
        Ok(Self {
            accounts: accounts
                .into_iter()
                .map(|row| (CustomerId(row.customer_id), row))
                .collect(),
            times,
            standings,
            prices,
            known,
            new: Vec::new(),
            freed,
        })
    }

    /// Decides about one request, after those before it.
    fn decide(&mut self, op: &Op, wanted: &Wanted) -> Result<Reserved> {
        let Some(account) = self.accounts.get_mut(&wanted.customer) else {
            return Ok(Reserved::Rejected(Unfit::UnknownCustomer));
        };
        let now = self.times.get(&wanted.customer).copied().unwrap_or(op.now());
        let prices = self
            .prices
            .get(&wanted.tenant)
            .ok_or_else(|| Error::Internal("prices were not read".to_owned()))?;
        let place = (wanted.tenant, wanted.key.clone());
        if let Some(row) = self.known.get(&place) {
            return Ok(if row.fingerprint == wanted.fingerprint {
                Reserved::Duplicate(Box::new(wanted.view(row.clone(), now)?))
            } else {
                Reserved::Conflict
            });
        }
        if account.frozen_at.is_some() {
            return Ok(Reserved::Rejected(Unfit::CustomerFrozen));
        }
        if account.holds >= MAX_OPEN {
            return Ok(Reserved::Rejected(Unfit::TooManyOpen));
        }
        let Some(standing) = self.standings.get_mut(&wanted.customer) else {
            return Ok(Reserved::Refused(Refused {
                reason: Reason::Outage,
                available: None,
                missing: None,
            }));
        };
        let hold = wanted.hold(HoldId(op.new_id()), now);
        let at = Instant {
            now,
            known_at: op.now(),
        };
        match standing.reserve(hold.clone(), &prices.list.rules, at) {
            Ok(credits) => {
                account.holds += 1;
                let row = wanted.row(&hold, credits, now)?;
                self.known.insert(place, row.clone());
                self.new.push(row.clone());
                Ok(Reserved::Held(Box::new(wanted.view(row, now)?)))
            }
            Err(decision) => Ok(refused(&decision)),
        }
    }
}

/// Ends the holds past their deadline of customers who would come to the limit with them: what has run out keeps nobody from holding, whenever
/// upkeep comes round. One statement, none where nobody comes to the limit.
async fn make_room(
    op: &Op,
    accounts: &mut [account::Model],
    times: &HashMap<CustomerId, Timestamp>,
    all: &[Wanted],
) -> Result<Changes> {
    let mut asked: HashMap<CustomerId, i32> = HashMap::new();
    for it in all {
        *asked.entry(it.customer).or_default() += 1;
    }
    let is_full = |row: &&account::Model| {
        let asked = asked.get(&CustomerId(row.customer_id)).copied().unwrap_or(0);
        row.holds > 0 && row.holds.saturating_add(asked) > MAX_OPEN
    };
    let full: Vec<(CustomerId, Timestamp)> = accounts
        .iter()
        .filter(is_full)
        .map(|row| CustomerId(row.customer_id))
        .map(|customer| (customer, times.get(&customer).copied().unwrap_or(op.now())))
        .collect();
    let mut changes = Changes::default();
    if full.is_empty() {
        return Ok(changes);
    }
    let mut over: HashMap<CustomerId, (i32, i64)> = HashMap::new();
    for (customer, credits) in store::expire(op, &full).await? {
        changes.ended(customer, credits);
        let own = over.entry(customer).or_default();
        *own = (own.0 + 1, own.1 + credits);
    }
    for row in accounts {
        let (count, credits) = over
            .get(&CustomerId(row.customer_id))
            .copied()
            .unwrap_or_default();
        row.holds -= count;
        row.held -= credits;
    }
    Ok(changes)
}

fn refused(decision: &Decision) -> Reserved {
    match decision.reason {
        Some(reason) => Reserved::Refused(Refused {
            reason,
            available: decision.available,
            missing: decision.missing,
        }),
        None => Reserved::Rejected(Unfit::AmountTooLarge),
    }
}
