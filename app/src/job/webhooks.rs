//! The jobs that send webhooks. Their subjects are endpoints. Those that fail have a lane of their own, so that waiting for them keeps
//! nobody else waiting.

use std::collections::BTreeSet;

use domain::id::WebhookEndpointId;
use futures::future::BoxFuture;

use super::{Kind, Lane, work};
use crate::{
    App,
    error::{Error, Result},
    op::Op,
    webhook,
};

/// Sends to endpoints that answer.
pub(crate) const FIRST: Kind = Kind {
    name: "webhook.deliver",
    lane: Lane::Webhooks,
    together: |_| 1,
    run,
    due: |app| Box::pin(due(app, false)),
};

/// Sends to endpoints that have failed.
pub(crate) const AGAIN: Kind = Kind {
    name: "webhook.retry",
    lane: Lane::Retries,
    together: |_| 1,
    run,
    due: |app| Box::pin(due(app, true)),
};

fn run<'a>(app: &'a App, subjects: &'a [String], _attempt: i32) -> BoxFuture<'a, Result<bool>> {
    Box::pin(async move {
        let mut more = false;
        for subject in subjects {
            let no = |_| Error::Internal(format!("`{subject}` is no endpoint"));
            more |= webhook::deliver(app, subject.parse().map_err(no)?).await?;
        }
        Ok(more)
    })
}

async fn due(app: &App, failing: bool) -> Result<Vec<String>> {
    let endpoints = webhook::due(app, failing).await?;
    Ok(endpoints.iter().map(WebhookEndpointId::to_string).collect())
}

/// Wakes who sends to endpoints, unless somebody is awake. One statement for any number, none for none.
pub(crate) async fn wake_in(op: &mut Op, kind: &Kind, endpoints: BTreeSet<WebhookEndpointId>) -> Result<()> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let subjects: Vec<String> = endpoints.iter().map(WebhookEndpointId::to_string).collect();
    work::send(op, kind, &subjects, 1).await
}

/// Wakes who sends to one endpoint, whether it has failed or not, unless somebody is awake: many messages that are asked for one by one are
/// sent by one run. One statement.
pub(crate) async fn wake_one_in(op: &mut Op, endpoint: WebhookEndpointId) -> Result<()> {
    wake_in(op, &FIRST, BTreeSet::from([endpoint])).await
}
