//! What runs on one socket: up to [`MAX_OPERATIONS`] subscriptions, heard in turn.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use app::Actor;
use async_graphql::{Data, Response as Answer, Value, parser::types::OperationType};
use futures::{
    FutureExt, StreamExt,
    future::poll_fn,
    stream::{BoxStream, Peekable},
};

use crate::{
    graphql,
    http::{self, Asked, Refusal},
    lane::{Updates, Word},
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
    /// Who asks, for the general way; made when the first operation takes it.
    caller: Option<Arc<Data>>,
}

struct Operation {
    id: String,
    answers: Answers,
    /// Counts it as long as it runs.
    _live: Live,
}

/// Where answers come from.
enum Answers {
    /// The typed lane.
    Lane(Updates),
    /// The general way. In a place of its own: it is large, and seldom.
    General(Box<Peekable<BoxStream<'static, Answer>>>),
}

/// What an operation has to say.
pub(super) enum News {
    /// An answer.
    Next(Answer),
    /// An answer, written as JSON.
    Json(Vec<u8>),
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
        id: String,
        payload: &Payload,
    ) -> Result<(), Refusal> {
        if self.running.len() >= MAX_OPERATIONS {
            let message =
                format!("a connection carries at most {MAX_OPERATIONS} subscriptions; open another");
            return Err(Refusal::input(message));
        }
        let answers = match asked(service, actor, payload)? {
            Asked::Lane(watch) => Answers::Lane(watch.begin(service.app.clone(), actor.clone())),
            Asked::General(ready) => {
                let caller = self
                    .caller
                    .get_or_insert_with(|| Arc::new(graphql::caller_data(&service.app, actor.clone())));
                let answers = service
                    .schema
                    .execute_stream_with_session_data(ready.request, caller.clone());
                Answers::General(Box::new(answers.peekable()))
            }
        };
        // Most sockets carry one, and room for four is not kept for it.
        self.running.reserve_exact(1);
        self.running.push(Operation {
            id,
            answers,
            _live: Live::subscription("websocket"),
        });
        Ok(())
    }

    /// Ends an operation because its client has heard enough.
    pub(super) fn end(&mut self, id: &str) {
        self.running.retain(|it| it.id != id);
    }

    /// What the next operation has to say, with its id. Waits for ever while none runs.
    pub(super) async fn next(&mut self) -> (String, News) {
        let (index, news) = poll_fn(|cx| self.poll(cx)).await;
        let id = match news {
            News::Next(_) | News::Json(_) => self.running[index].id.clone(),
            News::Failed(_) | News::Over => self.running.swap_remove(index).id,
        };
        (id, news)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(usize, News)> {
        let count = self.running.len();
        for step in 1..=count {
            let index = (self.turn + step) % count;
            if let Poll::Ready(news) = self.running[index].answers.poll(cx) {
                self.turn = index;
                return Poll::Ready((index, news));
            }
        }
        Poll::Pending
    }
}

impl Answers {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let news = match self {
            Self::Lane(updates) => match ready!(updates.poll_next_unpin(cx)) {
                Some(Word::Data(json)) => News::Json(json),
                Some(Word::Problem(answer)) => News::Next(answer),
                Some(Word::Refused(answer)) => News::Failed(answer),
                None => News::Over,
            },
            Self::General(answers) => match ready!(answers.poll_next_unpin(cx)) {
                None => News::Over,
                Some(answer) if !answer.errors.is_empty() && answer.data == Value::Null => {
                    // Without data, and nothing after it: it was refused before it began.
                    match Pin::new(answers.as_mut()).peek().now_or_never() {
                        Some(None) => News::Failed(answer),
                        _ => News::Next(answer),
                    }
                }
                Some(answer) => News::Next(answer),
            },
        };
        Poll::Ready(news)
    }
}

/// Checks and charges for an operation.
fn asked(service: &Service, actor: &Actor, payload: &Payload) -> Result<Asked, Refusal> {
    let variables = payload.variables();
    let wire = payload.wire(variables.as_deref());
    if let Some((watch, cost)) = http::subscription(&service.documents, &wire) {
        http::charge(service, actor, cost)?;
        return Ok(Asked::Lane(watch));
    }
    let admitted = http::admit(&service.documents, &wire);
    // A document that is refused was read all the same.
    let cost = match &admitted {
        Ok(ready) => ready.charge,
        Err(_) => Charge::refused(payload.bytes()),
    };
    http::charge(service, actor, cost)?;
    let ready = admitted?;
    if ready.kind != OperationType::Subscription {
        let message = "only subscriptions run here; send queries and mutations to /graphql";
        return Err(Refusal::input(message));
    }
    live::check_subscription(&ready)?;
    Ok(Asked::General(Box::new(ready)))
}
