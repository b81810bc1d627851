//! Relations of many objects at once, per request.

use std::{collections::HashMap, sync::Arc};

use app::{Actor, App, credit};
use async_graphql::dataloader::Loader;
use domain::id::CustomerId;

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
