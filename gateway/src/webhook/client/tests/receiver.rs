//! Receivers that behave as badly as they are told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// One of them.
pub(super) struct Receiver {
    pub(super) at: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// One that does something with each connection, and keeps the requests that it tells.
    pub(super) async fn start<F, D>(at: &str, handle: F) -> Self
    where
        F: Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> D + Send + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default());
        let (counted, told) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handle(stream, Arc::clone(&told)));
            }
        });
        Self {
            at,
            connections,
            requests,
        }
    }

    /// One that always answers alike.
    pub(super) async fn answering(answer: &'static str) -> Self {
        Self::start("127.0.0.1:0", move |stream, told| {
            answer_all(stream, told, answer)
        })
        .await
    }

    /// One that reads a request and then does as it likes.
    pub(super) async fn then<F, D>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> D + Copy + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        Self::start("127.0.0.1:0", move |mut stream, _| async move {
            request(&mut stream).await;
            handle(stream).await;
        })
        .await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.at)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers each request of a connection alike.
pub(super) async fn answer_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    told: Arc<Mutex<Vec<String>>>,
    answer: &str,
) {
    while let Some(request) = request(&mut stream).await {
        told.lock().unwrap().push(request);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
}

/// The next request, head and body; `None` when the connection has ended.
pub(super) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}
