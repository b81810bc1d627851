//! Where the events go: the tenant, and whether what the mapping names exists.

use std::{collections::HashMap, time::Duration};

use app::{
    App, access,
    actor::Actor,
    catalog,
    customer::{self, CustomerRef},
    usage::Age,
};
use domain::id::CustomerId;

use super::{
    ImportArgs,
    mapping::{Mapping, Who},
};
use crate::failure::{Failure, Outcome};

/// Where the events go, and on what terms.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) app: App,
    pub(super) actor: Actor,
    pub(super) age: Age,
    /// Only check.
    pub(super) dry_run: bool,
    /// Whether the caller wants to know who was imported.
    pub(super) wait: bool,
    /// How long a database that fails is tried again.
    pub(super) patience: Duration,
    /// The customer of every row, if it is the same.
    customer: Option<CustomerId>,
}

impl Target {
    /// Looks up what the command line names, so that a misspelt name is one complaint and not one per row.
    ///
    /// # Errors
    /// There is no such tenant, metric or customer, or the database is out of reach.
    pub(super) async fn find(
        app: &App,
        args: &ImportArgs,
        mapping: &Mapping,
        patience: Duration,
    ) -> Outcome<Self> {
        let tenant = access::tenant(app, &args.tenant)
            .await
            .map_err(|error| match error {
                app::Error::Rejected(_) => Failure::new(format!("there is no tenant `{}`", args.tenant)),
                other => other.into(),
            })?;
        let mut target = Self {
            app: app.clone(),
            actor: Actor::operator(tenant.id),
            age: if args.allow_history {
                Age::Any
            } else {
                Age::Limited
            },
            dry_run: args.dry_run,
            wait: args.wait,
            patience,
            customer: None,
        };
        for metric in &mapping.metrics {
            let name = &metric.name;
            match catalog::metric(app, &target.actor, name).await? {
                Some(found) if found.archived_at.is_none() => {}
                Some(_) => return Err(Failure::new(format!("the metric `{name}` is archived"))),
                None => {
                    return Err(Failure::new(format!(
                        "there is no metric `{name}`; create it first"
                    )));
                }
            }
        }
        if let Who::Everywhere(who) = &mapping.who {
            let found = target.customer_id(who).await?;
            let name = args.customer.as_deref().unwrap_or_default();
            let missing = || Failure::new(format!("there is no customer `{name}`; create it first"));
            target.customer = Some(found.ok_or_else(missing)?);
        }
        Ok(target)
    }

    /// Whose the rows are when they do not say so themselves.
    pub(super) fn scope(&self) -> String {
        self.customer.map(|id| id.to_string()).unwrap_or_default()
    }

    /// The id of a customer, if there is one.
    pub(super) async fn customer_id(&self, who: &CustomerRef) -> Result<Option<CustomerId>, app::Error> {
        let found = customer::customer(&self.app, &self.actor, who).await?;
        Ok(found.map(|customer| customer.id))
    }
}

/// Customers that were asked for, so that each is asked for once.
#[derive(Default)]
pub(super) struct Asked(HashMap<String, bool>);

impl Asked {
    /// Whether a customer exists.
    pub(super) async fn exists(&mut self, target: &Target, who: &CustomerRef) -> Result<bool, app::Error> {
        let name = match who {
            CustomerRef::Id(id) => id.to_string(),
            CustomerRef::External(id) => id.clone(),
        };
        if let Some(known) = self.0.get(&name) {
            return Ok(*known);
        }
        let found = target.customer_id(who).await?.is_some();
        self.0.insert(name, found);
        Ok(found)
    }
}
