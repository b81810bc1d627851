//! Connections: how many, how patient, and ending them in good order.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::StatusCode};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    limit::{Limits, Peer},
    patience::{Patient, Phase},
    server,
};

/// Largest head of a request, in bytes: a document in the query string fits.
const MAX_HEAD: usize = 64 * 1024;
/// Pause after an accept that failed for want of something, such as file handles.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts connections until stopped, then waits for the open ones.
pub(crate) async fn run(listener: TcpListener, router: Router, limits: &Limits, stop: &CancellationToken) {
    let seats = Arc::new(Semaphore::new(limits.connections));
    let http = http(limits);
    loop {
        // Who finds no seat waits in the system's queue.
        let seat = tokio::select! {
            seat = Arc::clone(&seats).acquire_owned() => seat,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest(&error).await;
                continue;
            }
        };
        let connection = Connection {
            peer,
            router: router.clone(),
            head: limits.head,
            stall: limits.idle,
        };
        let (http, stop) = (http.clone(), stop.clone());
        tokio::spawn(async move {
            connection.serve(stream, &http, &stop).await;
            drop(seat);
        });
    }
    // All seats are free when all connections have ended.
    let _ = seats
        .acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX))
        .await;
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_HEAD);
    http
}

/// A connection that ended before it was accepted is nobody's trouble; want of something passes, but not at once.
async fn rest(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    ) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(BREATH).await;
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    head: Duration,
    stall: Duration,
}

impl Connection {
    async fn serve(self, stream: TcpStream, http: &http1::Builder, stop: &CancellationToken) {
        // Answers are written whole, so there is nothing to wait for.
        let _ = stream.set_nodelay(true);
        let phase = Phase::default();
        let io = TokioIo::new(Patient::new(stream, phase.clone(), self.head, self.stall));
        let peer = Peer(self.peer.ip());
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            phase.busy();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let (phase, answering) = (phase.clone(), server::answer(self.router.clone(), request));
            async move {
                let response = answering.await;
                match response.status() {
                    StatusCode::SWITCHING_PROTOCOLS => phase.upgraded(),
                    _ => phase.waiting(),
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
        // How a connection ends is the caller's business: it may leave at any time.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}
