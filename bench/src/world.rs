//! A vendor with customers that have credits, made by the product's own use-cases, so that the books are right from the
//! first line.

use std::{sync::Arc, time::Duration};

use app::{
    Actor, App, Limits,
    access::{self, DEFAULT_TENANT},
    catalog::{self, CreateMetric, CreateRule},
    clock::{Clock, Ids, SystemClock},
    credit::{self, Expiry, Grant},
    customer::{self, CreateCustomer, CustomerRef},
    db::Db,
};
use domain::{
    amount::{Credits, Rate},
    credit::block::Source,
    id::CustomerId,
    metering::{PerUnit, Price},
};
use futures::{StreamExt, TryStreamExt, stream};
use queue::SharedQueue;
use uuid::Uuid;

use crate::{
    Bench, Outcome,
    by_hand::{Hand, insert::Rows},
    measure::webhooks::sender,
    place::{Backend, Place},
};

/// The metric's key.
pub const METRIC: &str = "api_call";
/// Micro-credits that one event of one unit costs; the price is the same in credits per unit.
pub const EVENT_COSTS: i64 = 1_000;
const PRICE: &str = "0.001";
/// What each customer is granted, in credits: more than any measurement uses up.
const CREDITS: i64 = 1_000_000_000;
/// Customers that are made at the same time.
const AT_ONCE: usize = 12;
/// Events that are put in place by one statement.
const SEEDED_AT_ONCE: usize = 10_000;

/// A database with a vendor and customers.
#[derive(Debug, Clone)]
pub struct World {
    /// Where.
    pub place: Place,
    /// The vendor.
    pub tenant: Uuid,
    /// What is counted.
    pub metric: Uuid,
    /// What it costs.
    pub rule: Uuid,
    /// Who uses it; `external_id(n)` is the vendor's name of the n-th.
    pub customers: Arc<Vec<Uuid>>,
}

/// The vendor's own name of a customer.
pub fn external_id(number: usize) -> String {
    format!("customer-{number:06}")
}

impl World {
    /// A new database with so many customers.
    ///
    /// # Errors
    /// The database or the product refuses.
    pub async fn make(bench: &Bench, backend: Backend, customers: usize) -> Outcome<Self> {
        let vendor = Vendor::make(bench, backend, Arc::new(SystemClock)).await?;
        let made = vendor
            .each(customers, async |number| {
                let id = vendor.customer(number).await?;
                vendor.give(id, number).await?;
                Ok(id.0)
            })
            .await?;
        vendor.with(made).await
    }

    /// The same in a database of its own.
    ///
    /// # Errors
    /// It cannot be copied.
    pub async fn copy(&self, bench: &Bench) -> Outcome<Self> {
        Ok(Self {
            place: bench.places.copy(&self.place).await?,
            ..self.clone()
        })
    }

    /// Removes the database.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(self, bench: &Bench) -> Outcome<()> {
        bench.places.remove(self.place).await
    }

    /// Puts accepted events in place that nobody has debited, in turns over the first so many customers.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_pending(&self, events: usize, customers: usize) -> Outcome<()> {
        let hand = Hand::connect(&self.place, 1).await?;
        let ids = Ids::default();
        for first in (0..events).step_by(SEEDED_AT_ONCE) {
            let numbers = first..events.min(first + SEEDED_AT_ONCE);
            let who = |number| self.customers[number % customers];
            let rows = Rows::of("seed", numbers, who, &ids);
            hand.insert(self, &rows).await?;
        }
        hand.close().await;
        self.analyze().await
    }

    /// Fresh statistics, as a database has that has been running for a while.
    async fn analyze(&self) -> Outcome<()> {
        let hand = Hand::connect(&self.place, 1).await?;
        hand.run("ANALYZE").await?;
        hand.close().await;
        Ok(())
    }
}

/// The present, in microseconds.
pub fn now() -> i64 {
    SystemClock.now().micros()
}

/// The database as the product opens it.
///
/// # Errors
/// It is out of reach.
pub async fn connect(place: &Place) -> Outcome<Db> {
    Ok(Db::connect(&place.url, AT_ONCE as u32, Duration::from_secs(10), |_| {}).await?)
}

/// A vendor in the making.
pub struct Vendor {
    /// The product, in this process.
    pub app: App,
    /// Who may do everything.
    pub actor: Actor,
    /// The database, still without customers.
    pub world: World,
    db: Db,
}

impl Vendor {
    /// A new database with a metric and its price; a clock says when everything happens.
    ///
    /// # Errors
    /// The database or the product refuses.
    pub async fn make(bench: &Bench, backend: Backend, clock: Arc<dyn Clock>) -> Outcome<Self> {
        let place = bench.places.empty(backend).await?;
        bench.programs.migrate(&place.url).await?;
        let db = connect(&place).await?;
        let queue = Arc::new(SharedQueue::new(db.clone()));
        // It only says which addresses may be called.
        let limits = Limits {
            webhooks: Some(Arc::new(sender()?)),
            ..Limits::default()
        };
        let app = App::with_clock(db.clone(), queue, limits, clock);
        let (tenant, _) = access::ensure_tenant(&app, DEFAULT_TENANT, None).await?;
        let actor = Actor::operator(tenant.id);
        let metric = CreateMetric {
            key: METRIC.to_owned(),
            name: "API call".to_owned(),
            unit: None,
        };
        let metric = catalog::create_metric(&app, &actor, metric, "metric")
            .await?
            .value;
        let price = PerUnit {
            credits_per_unit: PRICE.parse::<Rate>().map_err(|_| "price")?,
        };
        let rule = CreateRule {
            metric_key: METRIC.to_owned(),
            matches: Default::default(),
            price: Price::PerUnit(price),
            effective_from: None,
        };
        let rule = catalog::create_rule(&app, &actor, rule, "rule").await?.value;
        let world = World {
            place,
            tenant: tenant.id.0,
            metric: metric.id.0,
            rule: rule.id.0,
            customers: Arc::default(),
        };
        Ok(Self {
            app,
            actor,
            world,
            db,
        })
    }

    /// Does something for each of so many numbers, several at the same time.
    ///
    /// # Errors
    /// The first of them.
    pub async fn each<T>(&self, many: usize, make: impl AsyncFn(usize) -> Outcome<T>) -> Outcome<Vec<T>> {
        stream::iter((0..many).map(|number| make(number)))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// A customer without credits.
    ///
    /// # Errors
    /// The product refuses.
    pub async fn customer(&self, number: usize) -> Outcome<CustomerId> {
        let input = CreateCustomer {
            external_id: external_id(number),
            ..CreateCustomer::default()
        };
        let key = format!("customer-{number}");
        let made = customer::create(&self.app, &self.actor, input, &key).await?;
        Ok(made.value.id)
    }

    /// Credits that never end.
    async fn give(&self, id: CustomerId, number: usize) -> Outcome<()> {
        let grant = Grant {
            customer: CustomerRef::Id(id),
            credits: Credits::whole(CREDITS).map_err(|_| "credits")?,
            source: Source::Purchase,
            billing: None,
            priority: None,
            expiry: Expiry::Never,
            metric_keys: None,
            description: None,
        };
        credit::grant(&self.app, &self.actor, grant, &format!("grant-{number}")).await?;
        Ok(())
    }

    /// The database with these customers, that nobody is connected to.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn with(self, customers: Vec<Uuid>) -> Outcome<World> {
        drop(self.app);
        self.db.close().await;
        let world = World {
            customers: Arc::new(customers),
            ..self.world
        };
        world.analyze().await?;
        Ok(world)
    }
}
