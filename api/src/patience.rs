//! A connection that does not wait for ever: neither for the rest of a head, nor for a reader that accepts nothing.
//!
//! The wait for the next request is bounded by the HTTP library, that for a body by the handler. What is left are heads that
//! trickle in byte by byte and readers that stopped reading.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// What a connection is doing, as far as its reading end is concerned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

const WAITING: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const UPGRADED: u8 = 3;

impl Phase {
    /// A head has arrived whole.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The next bytes begin a head.
    pub(crate) fn waiting(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    /// There will be no more heads.
    pub(crate) fn upgraded(&self) {
        self.0.store(UPGRADED, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream with patience.
pub(crate) struct Patient<S> {
    inner: S,
    phase: Phase,
    /// How long a head may take from its first byte.
    head: Duration,
    /// How long the reader may accept nothing.
    stall: Duration,
    begun: Instant,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(inner: S, phase: Phase, head: Duration, stall: Duration) -> Self {
        Self {
            inner,
            phase,
            head,
            stall,
            begun: Instant::now(),
            reading: None,
            writing: None,
        }
    }

    /// Bytes have arrived.
    fn heard(&mut self) {
        if self.phase.get() == WAITING {
            self.phase.0.store(HEAD, Ordering::Relaxed);
            self.begun = Instant::now();
            self.reading = None;
        }
    }

    /// No bytes have arrived. A head that arrives at once never costs a timer.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase.get() != HEAD {
            self.reading = None;
            return Poll::Pending;
        }
        let end = self.begun + self.head;
        let sleep = self.reading.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the head took too long",
        )))
    }

    /// Bounds the wait for a reader.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.writing = None;
            return wrote;
        }
        let stall = self.stall;
        let sleep = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the reader does not read",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if buf.filled().len() > before {
                    self.heard();
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.waits(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    fn pair() -> (tokio::io::DuplexStream, Patient<tokio::io::DuplexStream>, Phase) {
        let (client, server) = duplex(16);
        let phase = Phase::default();
        let patient = Patient::new(server, phase.clone(), LIMIT, LIMIT);
        (client, patient, phase)
    }

    #[tokio::test]
    async fn a_head_that_trickles_in_is_given_up() {
        let (mut client, mut server, _) = pair();
        let begun = Instant::now();
        let trickle = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(LIMIT / 10).await;
            }
        });
        let mut all = Vec::new();
        let ended = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT);
        trickle.abort();
    }

    #[tokio::test]
    async fn bodies_and_upgraded_connections_may_be_slow() {
        for prepare in [Phase::busy, Phase::upgraded] {
            let (mut client, mut server, phase) = pair();
            prepare(&phase);
            let trickle = tokio::spawn(async move {
                for _ in 0..30 {
                    client.write_all(b"x").await.unwrap();
                    tokio::time::sleep(LIMIT / 10).await;
                }
            });
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), 30);
            trickle.await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_next_head_has_its_own_time() {
        let (mut client, mut server, phase) = pair();
        let mut byte = [0; 1];
        for _ in 0..3 {
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            phase.busy();
            tokio::time::sleep(LIMIT * 2).await;
            phase.waiting();
        }
        let waits = tokio::time::timeout(LIMIT * 2, server.read_exact(&mut byte)).await;
        assert!(waits.is_err(), "waiting for a request is not bounded here");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_given_up() {
        let (client, mut server, _) = pair();
        let ended = server.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
