//! The typed lane's way through: charged, placed and timed like any other request.

use async_graphql::parser::types::OperationType;
use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use tracing::Instrument;

use super::{Media, Received, Refusal, Wire, charge, operation, reply, run};
use crate::{
    document::Documents,
    lane::{self, Task},
    limit::Charge,
    observe,
    server::Service,
    trace,
};

/// Answers a request that the lane can answer. `None`: it is for the general way, and nothing has been done.
///
/// # Errors
/// There are too many requests, or it took too long.
pub(super) async fn answer(
    service: &Service,
    media: Media,
    received: &Received,
    wire: &Wire<'_>,
) -> Result<Option<Response>, Refusal> {
    let Ok(prepared) = service.documents.prepare(&wire.query) else {
        return Ok(None);
    };
    let Ok(operation) = operation(&prepared, wire) else {
        return Ok(None);
    };
    if operation.kind == OperationType::Mutation && received.method != Method::POST {
        return Ok(None);
    }
    let Some(task) = prepared.plan.as_ref().and_then(|plan| plan.read(wire.variables)) else {
        return Ok(None);
    };
    observe::operation(&prepared, operation);
    let cost = Charge::new(operation.class, prepared.nodes, wire.bytes());
    let spent = charge(service, &received.actor, cost)?;
    let _place = service.places.try_acquire().map_err(|_| Refusal::busy())?;
    Ok(Some(match run_task(service, received, task).await? {
        Ok(json) => {
            observe::executed();
            let json = reply::close(json, spent.as_ref());
            reply::respond(media, StatusCode::OK, &reply::request_id(), json, spent.as_ref())
        }
        Err(answer) => reply::reply_answer(media, answer, spent.as_ref()),
    }))
}

/// A subscription that the lane can serve, and what it costs. `None`: it is for the general way.
pub(crate) fn subscription(documents: &Documents, wire: &Wire<'_>) -> Option<(lane::Watch, Charge)> {
    let prepared = documents.prepare(&wire.query).ok()?;
    let operation = operation(&prepared, wire).ok()?;
    let watch = prepared.plan.as_ref()?.watch(wire.variables)?;
    observe::operation(&prepared, operation);
    let charge = Charge::new(operation.class, prepared.nodes, wire.bytes());
    Some((watch, charge))
}

/// Runs a task within its time. Events that were handed over are written even if nobody waits any more.
async fn run_task(
    service: &Service,
    received: &Received,
    task: Task<'_>,
) -> Result<Result<Vec<u8>, async_graphql::Response>, Refusal> {
    let limits = &service.options.limits;
    let kind = task.kind();
    let (limit, late): (_, fn(_) -> _) = match kind {
        OperationType::Mutation => (limits.mutation, run::late_mutation),
        OperationType::Query | OperationType::Subscription => (limits.query, run::late_query),
    };
    let running = task
        .run(&service.app, &received.actor)
        .instrument(trace::operation());
    tokio::time::timeout(limit, running)
        .await
        .map_err(|_| late(limit))
}
