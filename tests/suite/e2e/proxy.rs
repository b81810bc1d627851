//! A way to a database that can be cut and mended, as a network does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Forwards until it is dropped.
pub struct Proxy {
    /// The database through the proxy.
    pub url: String,
    whole: Arc<AtomicBool>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server of a PostgreSQL URL.
    pub async fn before(url: &str) -> Self {
        let mut url = url::Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        let whole = Arc::new(AtomicBool::new(true));
        let cuts = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, whole.clone(), cuts.clone()));
        Self {
            url: url.to_string(),
            whole,
            cuts,
            accepting,
        }
    }

    /// Ends every connection, and each new one at once.
    pub fn cut(&self) {
        self.whole.store(false, Ordering::SeqCst);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Forwards again.
    pub fn mend(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, whole: Arc<AtomicBool>, cuts: watch::Sender<u64>) {
    loop {
        let Ok((mut near, _)) = listener.accept().await else {
            continue;
        };
        let mut cut = cuts.subscribe();
        if !whole.load(Ordering::SeqCst) {
            continue;
        }
        let server = server.clone();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(server).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
