//! Answering those whose requests were done together.

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// A request that was done together with others.
pub(crate) trait Gathered: Sized {
    /// What becomes of one of its pieces.
    type Done;

    /// How many pieces it has.
    fn pieces(&self) -> usize;

    /// Where its answer goes.
    fn into_reply(self) -> oneshot::Sender<Result<Vec<Self::Done>>>;
}

/// Gives each request its part of what has become of all pieces, in order, or tells why nothing has. Answers with the requests that are to
/// be done each by itself: one request must not spoil the others. A caller that has gone away misses its answer only; its work is done.
pub(crate) fn answer<R: Gathered>(mut requests: Vec<R>, outcome: Result<Vec<R::Done>>, what: &str) -> Vec<R> {
    match outcome {
        Ok(mut done) => {
            for request in requests {
                let rest = done.split_off(request.pieces().min(done.len()));
                let _ = request.into_reply().send(Ok(done));
                done = rest;
            }
            Vec::new()
        }
        Err(Error::Internal(problem)) if requests.len() > 1 => {
            tracing::error!(
                problem,
                requests = requests.len(),
                "{what} could not be done together"
            );
            requests
        }
        Err(error) => {
            let last = requests.pop();
            for request in requests {
                let _ = request
                    .into_reply()
                    .send(Err(Error::Unavailable(error.to_string())));
            }
            if let Some(request) = last {
                let _ = request.into_reply().send(Err(error));
            }
            Vec::new()
        }
    }
}
