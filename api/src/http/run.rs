//! Running an operation within its time, whatever its resolvers do.

use std::{panic::AssertUnwindSafe, time::Duration};

use async_graphql::{Executor, Request, Response as Answer};
use axum::http::StatusCode;
use futures::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::Refusal;
use crate::{graphql::error, trace};

/// Runs a query. After its time it is stopped.
///
/// # Errors
/// It took too long, or a resolver panicked.
pub(crate) async fn query(
    executor: &impl Executor,
    request: Request,
    limit: Duration,
) -> Result<Answer, Refusal> {
    let running = executor.execute(request).instrument(trace::operation());
    let running = AssertUnwindSafe(running).catch_unwind();
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(panicked()),
        Err(_) => Err(late_query(limit)),
    }
}

/// Runs a mutation, to its end even if nobody waits for it any more. It keeps its place among the requests in flight.
///
/// # Errors
/// It takes too long, or a resolver panicked.
pub(crate) async fn mutation(
    executor: impl Executor,
    request: Request,
    limit: Duration,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Refusal> {
    let running = async move {
        let answer = executor.execute(request).await;
        drop(place);
        answer
    };
    let running = tokio::spawn(running.instrument(trace::operation()));
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(panicked()),
        Err(_) => Err(late_mutation(limit)),
    }
}

/// The answer to a query that took too long.
pub(super) fn late_query(limit: Duration) -> Refusal {
    late(format!(
        "the query took longer than {} s and was stopped",
        limit.as_secs()
    ))
}

/// The answer to a mutation that takes too long.
pub(super) fn late_mutation(limit: Duration) -> Refusal {
    late(format!(
        "the mutation takes longer than {} s and goes on; send it again with the same idempotency key to find its result",
        limit.as_secs()
    ))
}

fn late(message: String) -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error::SERVICE_UNAVAILABLE,
        message,
    )
}

fn panicked() -> Refusal {
    tracing::error!("a resolver panicked; where is told above");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, error::MASKED)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_graphql::{EmptySubscription, Object, Schema};
    use tokio::sync::Semaphore;

    use super::*;

    /// For what ends by itself.
    const LONG: Duration = Duration::from_secs(60);
    /// For what does not.
    const SHORT: Duration = Duration::from_millis(20);

    /// Resolvers that behave badly. `slow` waits until the test lets it go, and tells when it is done.
    #[derive(Clone)]
    struct Trouble {
        go: Arc<Semaphore>,
        done: Arc<Semaphore>,
    }

    #[Object]
    impl Trouble {
        async fn fine(&self) -> i32 {
            1
        }

        async fn panics(&self) -> i32 {
            "x".parse().expect("on purpose")
        }

        async fn slow(&self) -> bool {
            let gone = self.go.acquire().await.is_ok();
            self.done.add_permits(1);
            gone
        }
    }

    type TroubleSchema = Schema<Trouble, Trouble, EmptySubscription>;

    fn trouble() -> (TroubleSchema, Trouble, Arc<Semaphore>) {
        let trouble = Trouble {
            go: Arc::new(Semaphore::new(0)),
            done: Arc::new(Semaphore::new(0)),
        };
        let schema = Schema::new(trouble.clone(), trouble.clone(), EmptySubscription);
        (schema, trouble, Arc::new(Semaphore::new(1)))
    }

    async fn change(
        schema: &TroubleSchema,
        text: &str,
        places: &Arc<Semaphore>,
        limit: Duration,
    ) -> Result<Answer, Refusal> {
        let place = Arc::clone(places).acquire_owned().await.unwrap();
        mutation(schema.clone(), Request::new(text), limit, place).await
    }

    #[tokio::test]
    async fn what_is_well_is_answered() {
        let (schema, _, places) = trouble();
        assert!(
            query(&schema, Request::new("{ fine }"), LONG)
                .await
                .unwrap()
                .is_ok()
        );
        let changed = change(&schema, "mutation { fine }", &places, LONG).await;
        assert!(changed.unwrap().is_ok());
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn panics_are_contained_and_masked() {
        let (schema, _, places) = trouble();
        let read = query(&schema, Request::new("{ fine panics }"), LONG).await;
        let write = change(&schema, "mutation { panics }", &places, LONG).await;
        for refusal in [read.unwrap_err(), write.unwrap_err()] {
            assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
            let answer = format!("{:?}", refusal.answer());
            assert!(
                answer.contains(error::MASKED) && !answer.contains("on purpose"),
                "{answer}"
            );
        }
        assert_eq!(places.available_permits(), 1, "the place is free again");
    }

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_stopped() {
        let (schema, trouble, _) = trouble();
        let refusal = query(&schema, Request::new("{ slow }"), SHORT).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        trouble.go.add_permits(1);
        tokio::time::sleep(SHORT).await;
        assert_eq!(trouble.done.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_mutation_that_takes_too_long_goes_on() {
        let (schema, trouble, places) = trouble();
        let refusal = change(&schema, "mutation { slow }", &places, SHORT)
            .await
            .unwrap_err();
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(places.available_permits(), 0, "it keeps its place");
        trouble.go.add_permits(1);
        let done = tokio::time::timeout(LONG, trouble.done.acquire()).await;
        assert!(done.is_ok());
        let place = tokio::time::timeout(LONG, places.acquire()).await;
        assert!(place.is_ok(), "the place is free again");
    }

    #[tokio::test]
    async fn a_mutation_whose_caller_leaves_is_finished() {
        let (schema, trouble, places) = trouble();
        let caller = tokio::time::timeout(SHORT, change(&schema, "mutation { slow }", &places, LONG));
        assert!(caller.await.is_err());
        trouble.go.add_permits(1);
        let done = tokio::time::timeout(LONG, trouble.done.acquire()).await;
        assert!(done.is_ok());
    }
}
