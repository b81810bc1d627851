//! The life of one socket: let in within a few seconds or closed, then heard and told until one side has enough.
//!
//! One task does everything in turn, so memory per socket is one small state, and a client that does not read is not read
//! either. What ends a socket, in the order in which it is looked at: the process stops, the credential ends, nothing was
//! heard for too long, the client says so or says something wrong, a message is not taken in time.

use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use app::{Actor, access};
use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
    http::StatusCode,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    operations::{News, Operations},
    protocol::{self, Closing, Said, Told},
};
use crate::{
    http::{self, Refusal, enter},
    live::LiveLimits,
    observe::Live,
    server::Service,
};

/// How long a client may take to answer our closing before the line is cut.
const FAREWELL: Duration = Duration::from_secs(2);
/// Messages that a client may send in one go …
const MESSAGE_BURST: u32 = 100;
/// … and the time in which it earns another one. Ten subscriptions, their ends and a few pings need far less.
const MESSAGE_EVERY: Duration = Duration::from_millis(50);

/// What is known of the client before it says anything.
pub(super) struct Caller {
    /// Who it is, or why it is nobody, if the head of the upgrade told.
    pub(super) known: Option<Result<Actor, Refusal>>,
    /// Where it comes from.
    pub(super) address: Option<IpAddr>,
}

/// Serves a socket to its end. What is kept for it is put into a place of its own at once: a task would hold room for it once
/// more wherever it is handed on.
pub(super) fn serve(
    service: Arc<Service>,
    socket: WebSocket,
    caller: Caller,
) -> impl Future<Output = ()> + use<> {
    let now = Instant::now();
    let line = Box::new(Line {
        socket,
        service,
        heard: now,
        pinged: now,
        allowance: MESSAGE_BURST,
        earned: now,
    });
    live(line, Box::new(caller))
}

async fn live(mut line: Box<Line>, caller: Box<Caller>) {
    let ended = match Box::pin(line.welcome(caller)).await {
        Ok(actor) => line.converse(actor).await,
        Err(ended) => ended,
    };
    match ended {
        Ended::Close(closing) => Box::pin(line.close(Some(closing))).await,
        Ended::Closed => Box::pin(line.close(None)).await,
        Ended::Gone => {}
    }
}

/// How a socket ends.
enum Ended {
    /// We close it and say why.
    Close(Closing),
    /// The client closes it.
    Closed,
    /// The client cannot be reached.
    Gone,
}

impl From<Closing> for Ended {
    fn from(closing: Closing) -> Self {
        Self::Close(closing)
    }
}

/// What happens next.
enum Event {
    Stop,
    Ended(access::Ended),
    Tick,
    Heard(Said),
    Told(String, News),
}

struct Line {
    socket: WebSocket,
    service: Arc<Service>,
    /// When anything was heard last.
    heard: Instant,
    /// When we last asked whether the client lives.
    pinged: Instant,
    /// Messages that may still come in one go.
    allowance: u32,
    /// When a message was earned last.
    earned: Instant,
}

impl Line {
    fn limits(&self) -> &LiveLimits {
        &self.service.options.live
    }

    /// Lets the client in.
    async fn welcome(&mut self, caller: Box<Caller>) -> Result<Box<Actor>, Ended> {
        let service = self.service.clone();
        let admitted = timeout(service.options.live.init_wait, async {
            loop {
                match self.hear().await? {
                    Said::ConnectionInit { payload } => {
                        return admit(&service, payload, *caller).await.map(Box::new);
                    }
                    Said::Ping => self.tell(&Told::Pong).await?,
                    Said::Pong | Said::Complete { .. } => {}
                    Said::Subscribe { .. } => return Err(Closing::UNAUTHORIZED.into()),
                }
            }
        });
        tokio::select! {
            () = service.stop.cancelled() => Err(Closing::GOING_AWAY.into()),
            admitted = admitted => admitted.unwrap_or(Err(Closing::INIT_TIMEOUT.into())),
        }
    }

    /// Hears and tells until one side has enough.
    async fn converse(&mut self, actor: Box<Actor>) -> Ended {
        match self.try_converse(actor).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_converse(&mut self, actor: Box<Actor>) -> Result<Infallible, Ended> {
        let service = self.service.clone();
        let seat = service.seats.take(&actor, &service.options.live);
        let _seat = seat.ok_or(Closing::TOO_MANY_SOCKETS)?;
        let _counted = Live::socket();
        let mut operations = Operations::default();
        let mut credential = Box::pin(access::ended(&service.app, &actor));
        let mut stop = pin!(service.stop.cancelled());
        let mut next = pin!(sleep_until(self.next_tick()));
        Box::pin(self.tell(&Told::ConnectionAck)).await?;
        loop {
            let event = tokio::select! {
                biased;
                () = stop.as_mut() => Event::Stop,
                ended = credential.as_mut() => Event::Ended(ended),
                () = next.as_mut() => Event::Tick,
                said = self.hear() => Event::Heard(said?),
                (id, news) = operations.next() => Event::Told(id, news),
            };
            // Seldom at it, so it takes room only then.
            if let Some(tick) = Box::pin(self.attend(event, &mut operations, &actor)).await? {
                next.as_mut().reset(tick);
            }
        }
    }

    /// Does what an event asks for. Answers when to look after the client again, if that has changed.
    async fn attend(
        &mut self,
        event: Event,
        operations: &mut Operations,
        actor: &Actor,
    ) -> Result<Option<Instant>, Ended> {
        match event {
            Event::Stop => return Err(Closing::GOING_AWAY.into()),
            Event::Ended(access::Ended::Unverified) => return Err(Closing::UNAVAILABLE.into()),
            Event::Ended(_) => return Err(Closing::ENDED.into()),
            Event::Tick => {
                self.ask_for_life().await?;
                return Ok(Some(self.next_tick()));
            }
            Event::Heard(said) => self.answer(said, operations, actor).await?,
            Event::Told(id, news) => self.tell_news(&id, news).await?,
        }
        Ok(None)
    }

    /// Does what the client asks.
    async fn answer(&mut self, said: Said, operations: &mut Operations, actor: &Actor) -> Result<(), Ended> {
        match said {
            Said::ConnectionInit { .. } => Err(Closing::SECOND_INIT.into()),
            Said::Ping => self.tell(&Told::Pong).await,
            Said::Pong => Ok(()),
            Said::Complete { id } => {
                operations.end(&id);
                Ok(())
            }
            Said::Subscribe { id, .. } if operations.has(&id) => Err(Closing::DUPLICATE.into()),
            Said::Subscribe { id, payload } => {
                match operations.begin(&self.service, actor, id.clone(), &payload) {
                    Ok(()) => Ok(()),
                    Err(refusal) => self.tell_news(&id, News::Failed(refusal.answer())).await,
                }
            }
        }
    }

    /// Hands on what an operation has to say.
    async fn tell_news(&mut self, id: &str, news: News) -> Result<(), Ended> {
        match news {
            News::Over => self.tell(&Told::Complete { id }).await,
            News::Next(answer) => {
                let payload = &http::completed(answer);
                self.tell(&Told::Next { id, payload }).await
            }
            News::Json(payload) => {
                let text = protocol::next_in_json(id, &payload);
                // It is text; were it none, the socket would be of no use.
                let text = Utf8Bytes::try_from(text).map_err(|_| Ended::Gone)?;
                self.send(Message::Text(text)).await
            }
            News::Failed(answer) => {
                let payload = &http::completed(answer).errors;
                self.tell(&Told::Error { id, payload }).await
            }
        }
    }

    /// The next message of the protocol. May be dropped while it waits.
    async fn hear(&mut self) -> Result<Said, Ended> {
        loop {
            let message = match self.socket.recv().await {
                // Unreadable: not masked, not UTF-8, far too long, cut off.
                Some(Err(_)) => return Err(Closing::BAD_MESSAGE.into()),
                None => return Err(Ended::Gone),
                Some(Ok(message)) => message,
            };
            self.heard = Instant::now();
            self.count_message()?;
            match message {
                Message::Text(text) => return Ok(Said::read(&text)?),
                Message::Binary(_) => return Err(Closing::BAD_MESSAGE.into()),
                // The library answers pings.
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return Err(Ended::Closed),
            }
        }
    }

    /// A client that never stops talking keeps us from everybody else.
    fn count_message(&mut self) -> Result<(), Closing> {
        let earned = (self.heard - self.earned).as_millis() / MESSAGE_EVERY.as_millis();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.allowance = self.allowance.saturating_add(earned).min(MESSAGE_BURST);
            self.earned = self.heard;
        }
        self.allowance = self.allowance.checked_sub(1).ok_or(Closing::TOO_MANY_MESSAGES)?;
        Ok(())
    }

    /// Says something. A reader that does not take it in time is cut off: nothing is kept for it.
    async fn tell(&mut self, told: &Told<'_>) -> Result<(), Ended> {
        self.send(Message::Text(told.text().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        let wait = self.limits().send_wait;
        match timeout(wait, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Gone),
        }
    }

    /// When to look after the client again.
    fn next_tick(&self) -> Instant {
        let limits = self.limits();
        (self.pinged + limits.ping_every).min(self.heard + limits.silence)
    }

    /// Asks whether the client lives, unless it has been silent for too long.
    async fn ask_for_life(&mut self) -> Result<(), Ended> {
        let (now, limits) = (Instant::now(), self.limits());
        if now >= self.heard + limits.silence {
            return Err(Closing::SILENT.into());
        }
        if now >= self.pinged + limits.ping_every {
            self.pinged = now;
            self.send(Message::Ping(Bytes::new())).await?;
        }
        Ok(())
    }

    /// Takes leave: says why, if we are the ones who go, and gives the other side a moment to hear it.
    async fn close(&mut self, closing: Option<Closing>) {
        let farewell = async {
            if let Some(Closing { code, reason }) = closing {
                let frame = CloseFrame {
                    code,
                    reason: reason.into(),
                };
                self.socket.send(Message::Close(Some(frame))).await.ok();
            }
            while let Some(Ok(_)) = self.socket.recv().await {}
        };
        timeout(FAREWELL, farewell).await.ok();
    }
}

/// Who the client is.
async fn admit(
    service: &Service,
    payload: Option<serde_json::Map<String, serde_json::Value>>,
    caller: Caller,
) -> Result<Actor, Ended> {
    let payload = payload.unwrap_or_default();
    let given = payload
        .get("authorization")
        .or_else(|| payload.get("Authorization"))
        .filter(|given| !given.is_null());
    let admitted = match (given, caller.known) {
        (None, Some(known)) => known,
        (given, _) => {
            let credential = given.and_then(serde_json::Value::as_str);
            let credential = credential.ok_or(Closing::FORBIDDEN)?;
            enter::authenticate(service, caller.address, credential).await
        }
    };
    match admitted {
        // It would stay so for the life of the socket.
        Ok(actor) if !actor.confirmed => Err(Closing::UNAVAILABLE.into()),
        Ok(actor) => Ok(actor),
        Err(refusal) => Err(match refusal.status() {
            StatusCode::UNAUTHORIZED => Closing::FORBIDDEN.into(),
            StatusCode::TOO_MANY_REQUESTS => Closing::TOO_MANY_FAILURES.into(),
            _ => Closing::UNAVAILABLE.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function answers with.
    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Thousands of sockets are open, and each holds this much as long as it is.
    #[test]
    fn a_socket_takes_little_room() {
        let (task, line) = (size_of_future(serve), size_of::<Line>());
        assert!(task <= 1_024 && line <= 640, "{task} and {line} bytes");
    }
}
