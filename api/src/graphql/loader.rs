//! Relations of many objects at once, per request.

use std::{collections::HashMap, sync::Arc};

use app::{Actor, App, credit, payment};
use async_graphql::dataloader::Loader;
use domain::{
    amount::Credits,
    id::{CustomerId, PaymentId},
    payment::returned::Return,
};

/// Loads balances: two statements for any number of customers in a request.
pub(crate) struct Balances {
    app: App,
    actor: Actor,
}

impl Balances {
    pub(crate) fn new(app: App, actor: Actor) -> Self {
        Self { app, actor }
    }
}

impl Loader<CustomerId> for Balances {
    type Value = credit::Balance;
    type Error = Arc<app::Error>;

    async fn load(&self, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Self::Value>, Self::Error> {
        credit::balances(&self.app, &self.actor, customers)
            .await
            .map_err(Arc::new)
    }
}

/// Loads what was written off: one statement for any number of customers in a request.
pub(crate) struct WrittenOff {
    app: App,
    actor: Actor,
}

impl WrittenOff {
    pub(crate) fn new(app: App, actor: Actor) -> Self {
        Self { app, actor }
    }
}

impl Loader<CustomerId> for WrittenOff {
    type Value = Credits;
    type Error = Arc<app::Error>;

    async fn load(&self, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Self::Value>, Self::Error> {
        credit::overshoot::written_off_of(&self.app, &self.actor, customers)
            .await
            .map_err(Arc::new)
    }
}

/// Loads what has gone back of payments: one statement for any number of payments in a request.
pub(crate) struct Returns {
    app: App,
    actor: Actor,
}

impl Returns {
    pub(crate) fn new(app: App, actor: Actor) -> Self {
        Self { app, actor }
    }
}

impl Loader<PaymentId> for Returns {
    type Value = Vec<Return>;
    type Error = Arc<app::Error>;

    async fn load(&self, payments: &[PaymentId]) -> Result<HashMap<PaymentId, Self::Value>, Self::Error> {
        let found = payment::returns(&self.app, &self.actor, payments).await;
        let mut all: HashMap<PaymentId, Vec<Return>> = HashMap::new();
        for it in found.map_err(Arc::new)? {
            all.entry(it.payment).or_default().push(it);
        }
        Ok(all)
    }
}
