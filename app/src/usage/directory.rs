//! Who and what events speak of, from memory.
//!
//! A customer's id and partition never change, so what is known of one is known for ever. Metrics can be archived: they come from
//! the [shelf](crate::catalog::shelf), which is never older than a second. What is not known is asked of the database every time,
//! with one statement per request, so that something new is seen at once.

use std::{collections::HashMap, sync::Arc};

use domain::{
    id::{CustomerId, MetricId, TenantId},
    usage::event::Refusal,
};
use quick_cache::sync::Cache;

use super::NewEvent;
use crate::{
    App,
    catalog::PriceList,
    customer::{self, CustomerRef, Place},
    error::Result,
};

/// Customers remembered: about 100 bytes each.
const CUSTOMERS: usize = 200_000;

/// What this process remembers.
pub(crate) struct Directory {
    by_external_id: Cache<(TenantId, String), Place>,
    by_id: Cache<(TenantId, CustomerId), Place>,
}

/// What the events of one request speak of.
pub(super) struct Known {
    by_external_id: HashMap<String, Place>,
    by_id: HashMap<CustomerId, Place>,
    prices: Arc<PriceList>,
}

impl Known {
    pub(super) fn customer(&self, who: &CustomerRef) -> Option<Place> {
        match who {
            CustomerRef::Id(id) => self.by_id.get(id).copied(),
            CustomerRef::External(id) => self.by_external_id.get(id).copied(),
        }
    }

    /// Whether any plan of the tenant refuses late usage.
    pub(super) fn rejects_late(&self) -> bool {
        self.prices.rejects_late
    }

    pub(super) fn metric(&self, key: &str) -> std::result::Result<MetricId, Refusal> {
        match self.prices.metrics.get(key) {
            None => Err(Refusal::UnknownMetric),
            Some(metric) if metric.archived_at.is_some() => Err(Refusal::ArchivedMetric),
            Some(metric) => Ok(metric.id),
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            by_external_id: Cache::new(CUSTOMERS),
            by_id: Cache::new(CUSTOMERS),
        }
    }
}

impl Directory {
    /// Looks up everything that the events speak of. No statement when all is known.
    pub(super) async fn look_up(&self, app: &App, tenant: TenantId, events: &[NewEvent]) -> Result<Known> {
        let prices = price_list(app, tenant, events).await?;
        let mut known = Known {
            by_external_id: HashMap::new(),
            by_id: HashMap::new(),
            prices,
        };
        let (mut external, mut ids) = (Vec::new(), Vec::new());
        for who in events.iter().filter_map(|event| event.customer.as_ref()) {
            match who {
                CustomerRef::Id(id) => match self.by_id.get(&(tenant, *id)) {
                    Some(place) => drop(known.by_id.insert(*id, place)),
                    None => ids.push(*id),
                },
                CustomerRef::External(id) if known.by_external_id.contains_key(id) => {}
                CustomerRef::External(id) => match self.by_external_id.get(&(tenant, id.clone())) {
                    Some(place) => drop(known.by_external_id.insert(id.clone(), place)),
                    None => external.push(id.as_str()),
                },
            }
        }
        external.sort_unstable();
        external.dedup();
        ids.sort_unstable();
        ids.dedup();
        if !external.is_empty() || !ids.is_empty() {
            for (external, place) in Box::pin(self.read(app, tenant, &external, &ids)).await? {
                known.by_id.insert(place.customer, place);
                known.by_external_id.insert(external, place);
            }
        }
        Ok(known)
    }

    /// Where customers are, in the order asked; `None`: no such customer. No statement when all are known, else one.
    pub(crate) async fn places(
        &self,
        app: &App,
        tenant: TenantId,
        customers: &[&CustomerRef],
    ) -> Result<Vec<Option<Place>>> {
        let mut places: Vec<Option<Place>> = customers.iter().map(|who| self.known(tenant, who)).collect();
        if places.iter().all(Option::is_some) {
            return Ok(places);
        }
        let (mut external, mut ids) = (Vec::new(), Vec::new());
        for (who, _) in customers.iter().zip(&places).filter(|(_, place)| place.is_none()) {
            match who {
                CustomerRef::Id(id) => ids.push(*id),
                CustomerRef::External(id) => external.push(id.as_str()),
            }
        }
        for (external, place) in Box::pin(self.read(app, tenant, &external, &ids)).await? {
            let named = |who: &&CustomerRef| match who {
                CustomerRef::Id(id) => *id == place.customer,
                CustomerRef::External(id) => *id == external,
            };
            for (_, found) in customers.iter().zip(&mut places).filter(|(who, _)| named(who)) {
                *found = Some(place);
            }
        }
        Ok(places)
    }

    /// Reads where customers are, and remembers it. One statement. Seldom needed, so those who may need it take room for it then.
    async fn read(
        &self,
        app: &App,
        tenant: TenantId,
        external: &[&str],
        ids: &[CustomerId],
    ) -> Result<Vec<(String, Place)>> {
        let found = customer::places(app.db().reader(), tenant, external, ids).await?;
        for (external, place) in &found {
            self.by_id.insert((tenant, place.customer), *place);
            self.by_external_id.insert((tenant, external.clone()), *place);
        }
        Ok(found)
    }

    /// Where a customer is, from memory.
    fn known(&self, tenant: TenantId, who: &CustomerRef) -> Option<Place> {
        match who {
            CustomerRef::Id(id) => self.by_id.get(&(tenant, *id)),
            CustomerRef::External(id) => self.by_external_id.get(&(tenant, id.clone())),
        }
    }
}

/// A tenant's price list. One that lacks a metric of the events is read anew.
async fn price_list(app: &App, tenant: TenantId, events: &[NewEvent]) -> Result<Arc<PriceList>> {
    let known = app.shelf().of(app, tenant).await?;
    let lacks = |event: &NewEvent| !known.list.metrics.contains_key(&event.metric_key);
    if !events.iter().any(lacks) {
        return Ok(known.list.clone());
    }
    Ok(app.shelf().anew(app, tenant).await?.list.clone())
}
