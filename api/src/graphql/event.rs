//! Events: what has happened, as a feed to read and a stream to listen to.

use app::{
    error::Result,
    event::{self, About},
};
use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject, Subscription};
use domain::{event::EventType as Kind, id::BillingEventId, rejection::Rejection};
use futures::{Stream, StreamExt};

use super::{
    caller,
    error::top_level,
    page::{Args, Connection, connection},
    scalar::{DateTime, Json, SafeInt},
};

/// Something that vendors are told about.
#[derive(SimpleObject)]
pub struct BillingEvent {
    /// Global id, the same as `webhook-id`.
    pub id: ID,
    /// Name of its type, such as `subscription.renewed`; see `eventTypes`. While one version of the server replaces another, it may be one that
    /// only the newer one lists.
    #[graphql(name = "type")]
    pub kind: String,
    /// Version of the fields of `data`.
    pub version: i32,
    /// Global id of the customer that it is about; null: it is about the vendor itself.
    pub customer_id: Option<ID>,
    /// Global id of the subscription that it is about.
    pub subscription_id: Option<ID>,
    /// When it was due, which may be before it was noticed.
    pub occurred_at: DateTime,
    /// What it says: a JSON object, the same as in a webhook. Credits and units are decimal texts.
    pub data: Json,
    /// When it was written.
    pub created_at: DateTime,
    /// Number among the events of its customer: from 1, without gaps. Whoever sees 7 after 5 has not seen 6 yet.
    pub sequence: Option<SafeInt>,
    /// Number among the events of the tenant: from 1, without gaps. Null for a moment, until it is published.
    pub position: Option<SafeInt>,
}

impl From<event::BillingEvent> for BillingEvent {
    fn from(event: event::BillingEvent) -> Self {
        Self {
            id: event.id.to_string().into(),
            kind: event.kind.to_string(),
            version: event.version,
            customer_id: event.customer.map(|id| id.to_string().into()),
            subscription_id: event.subscription.map(|id| id.to_string().into()),
            occurred_at: event.occurred_at.into(),
            data: Json(event.data.into()),
            created_at: event.created_at.into(),
            sequence: event.sequence.map(SafeInt),
            position: event.position.map(SafeInt),
        }
    }
}

/// A type of events. New types may be added, and new fields to `data`; a field that goes away makes a new version.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct EventType {
    /// Its name, such as `invoice.paid`.
    pub name: String,
    /// Version of the fields of `data`.
    pub version: i32,
    /// What it means.
    pub description: String,
    #[graphql(skip)]
    kind: Kind,
}

#[ComplexObject]
impl EventType {
    /// JSON Schema (draft 2020-12) of `data`.
    async fn schema(&self) -> Json {
        Json(event::schema::json_schema(self.kind))
    }
}

/// Some events of the feed, in order, and from where to go on.
#[derive(SimpleObject)]
pub struct EventFeed {
    /// The events.
    pub events: Vec<BillingEvent>,
    /// What to give as `after` next: everything up to this number has been seen.
    pub position: SafeInt,
    /// Whether more is there already.
    pub has_more: bool,
}

/// Reads of events.
#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// What has happened, of all customers, in an order that stays: read a page, keep its `position`, and ask with it for what came after.
    /// Nothing is missed, whoever wrote at the same time. Events are kept for 90 days unless the server's settings say otherwise; a position
    /// before those that are kept is refused. With `types`, one page looks through 10,000 events at most: it may have few events, or none,
    /// while `hasMore` is true; go on with its `position`. Needs `event:read`, for all customers.
    #[graphql(
        complexity = "first.map_or(100, |first| first.clamp(1, 1_000) as usize) * child_complexity / 10"
    )]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `position` of the last page; left out: from the oldest that is kept.")]
        after: Option<SafeInt>,
        #[graphql(desc = "Most events, 1 to 1,000; 100 by default.")] first: Option<i32>,
        #[graphql(desc = "Only events of these types; left out: all.")] types: Option<Vec<String>>,
    ) -> async_graphql::Result<EventFeed> {
        let (app, actor) = caller(ctx)?;
        let most = size(first).map_err(top_level)?;
        let types = kinds(types).map_err(top_level)?;
        let page = event::feed(app, actor, after.map(|after| after.0), types.as_deref(), most)
            .await
            .map_err(top_level)?;
        Ok(EventFeed {
            events: page.events.into_iter().map(BillingEvent::from).collect(),
            position: SafeInt(page.position),
            has_more: page.has_more,
        })
    }

    /// Every type of events that there is.
    async fn event_types(&self) -> Vec<EventType> {
        let one = |kind: &Kind| EventType {
            name: kind.to_string(),
            version: kind.version(),
            description: kind.about().to_owned(),
            kind: *kind,
        };
        Kind::ALL.iter().map(one).collect()
    }
}

/// Live events.
#[derive(Default)]
pub struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Events of all customers as they are published, in the order of their `position`: those after a number, then everything new. Needs
    /// `event:read`, for all customers.
    async fn event_stream(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `position` of the last event seen; left out: only what is new.")] after: Option<
            SafeInt,
        >,
        #[graphql(desc = "Only events of these types; left out: all.")] types: Option<Vec<String>>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<BillingEvent>>> {
        let (app, actor) = caller(ctx)?;
        let types = kinds(types).map_err(top_level)?;
        let events = event::stream(app, actor, after.map(|after| after.0), types)
            .await
            .map_err(top_level)?;
        Ok(events.map(|event| event.map(BillingEvent::from).map_err(top_level)))
    }
}

/// Events about a customer or a subscription.
pub(in crate::graphql) async fn events(
    ctx: &Context<'_>,
    about: About,
    args: Args,
) -> async_graphql::Result<Connection<BillingEvent>> {
    let (app, actor) = caller(ctx)?;
    let page = args.page::<BillingEventId>()?;
    let slice = event::events(app, actor, about, page).await.map_err(top_level)?;
    Ok(connection(slice, |it| it.id.to_string(), BillingEvent::from))
}

fn size(first: Option<i32>) -> Result<u64> {
    let size = u64::try_from(first.unwrap_or(100)).unwrap_or(0);
    if (1..=event::MAX_FEED_PAGE).contains(&size) {
        return Ok(size);
    }
    let message = format!("a page of the feed has 1 to {} events", event::MAX_FEED_PAGE);
    Err(Rejection::invalid("first", message).into())
}

/// The types that names mean.
fn kinds(names: Option<Vec<String>>) -> Result<Option<Vec<Kind>>> {
    let one = |name: &String| {
        let no = || {
            Rejection::invalid(
                "types",
                format!("`{name}` is no type of events; `eventTypes` lists them"),
            )
        };
        Kind::named(name).ok_or_else(|| no().into())
    };
    names.map(|names| names.iter().map(one).collect()).transpose()
}
