//! What runs on one socket: up to [`MAX_OPERATIONS`] subscriptions, heard in turn.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use app::Actor;
use async_graphql::{Data, Response as Answer, Value, parser::types::OperationType};
use axum::http::StatusCode;
use futures::{
    FutureExt, StreamExt,
    future::poll_fn,
    stream::{BoxStream, Peekable},
};

use crate::{
    graphql::error,
    http::{self, Refusal},
    limit::Charge,
    live,
    observe::Live,
    server::Service,
};

use super::protocol::Payload;

/// Most subscriptions of one socket.
pub(super) const MAX_OPERATIONS: usize = 10;

/// The subscriptions of one socket.
#[derive(Default)]
pub(super) struct Operations {
    running: Vec<Operation>,
    /// Whose turn it is, so that a busy subscription does not silence the others.
    turn: usize,
}

struct Operation {
    id: String,
    answers: Peekable<BoxStream<'static, Answer>>,
    /// Counts it as long as it runs.
    _live: Live,
}

/// What an operation has to say.
pub(super) enum News {
    /// An answer.
    Next(Answer),
    /// It could not be begun.
    Failed(Answer),
    /// It is over.
    Over,
}

impl Operations {
    /// Whether an operation of this id is running.
    pub(super) fn has(&self, id: &str) -> bool {
        self.running.iter().any(|it| it.id == id)
    }

    /// Checks, charges for and begins an operation.
    ///
    /// # Errors
    /// Too many are running or begun, it is no subscription, or the document is refused unread.
    pub(super) fn begin(
        &mut self,
        service: &Service,
        actor: &Actor,
        caller: &Arc<Data>,
        id: String,
        payload: Payload,
    ) -> Result<(), Refusal> {
        let refuse = |code, message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, code, message));
        if self.running.len() >= MAX_OPERATIONS {
            let message =
                format!("a connection carries at most {MAX_OPERATIONS} subscriptions; open another");
            return refuse(error::BAD_USER_INPUT, message);
        }
        let admitted = payload.admit(&service.documents);
        // A document that is refused was read all the same.
        let cost = match &admitted {
            Ok(ready) => ready.charge,
            Err(_) => Charge::refused(payload.bytes()),
        };
        http::charge(service, actor, cost)?;
        let ready = admitted?;
        if ready.kind != OperationType::Subscription {
            let message = "only subscriptions run here; send queries and mutations to /graphql";
            return refuse(error::BAD_USER_INPUT, message.to_owned());
        }
        live::check_subscription(&ready)?;
        let answers = service
            .schema
            .execute_stream_with_session_data(ready.request, caller.clone())
            .peekable();
        let live = Live::subscription("websocket");
        self.running.push(Operation {
            id,
            answers,
            _live: live,
        });
        Ok(())
    }

    /// Ends an operation because its client has heard enough.
    pub(super) fn end(&mut self, id: &str) {
        self.running.retain(|it| it.id != id);
    }

    /// What the next operation has to say, with its id. Waits for ever while none runs.
    pub(super) async fn next(&mut self) -> (String, News) {
        let (index, answer) = poll_fn(|cx| self.poll(cx)).await;
        let operation = &mut self.running[index];
        let news = match answer {
            None => News::Over,
            Some(answer) if !answer.errors.is_empty() && answer.data == Value::Null => {
                // Without data, and nothing after it: it was refused before it began.
                match Pin::new(&mut operation.answers).peek().now_or_never() {
                    Some(None) => News::Failed(answer),
                    _ => News::Next(answer),
                }
            }
            Some(answer) => News::Next(answer),
        };
        let id = operation.id.clone();
        if !matches!(news, News::Next(_)) {
            self.running.swap_remove(index);
        }
        (id, news)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Option<Answer>)> {
        let count = self.running.len();
        for step in 1..=count {
            let index = (self.turn + step) % count;
            if let Poll::Ready(answer) = self.running[index].answers.poll_next_unpin(cx) {
                self.turn = index;
                return Poll::Ready((index, answer));
            }
        }
        Poll::Pending
    }
}
