//! A Stripe of our own, strict where the real one is, and with cards that do what they are named after. It does every request with a key
//! once, and keeps the answer: whoever comes again gets the same one.

mod books;
mod cards;
mod events;
mod pages;
mod returns;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use gateway::payment::stripe::Stripe;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use url::form_urlencoded;

pub use self::{
    books::{Books, NOW, PAYER},
    events::signed,
};
use self::{
    books::{Fields, Reply},
    cards::Manner,
};

/// The key of its account.
pub const SECRET: &str = "sk_test_fake";

/// A running one.
pub struct Fake {
    pub base: String,
    books: Arc<Mutex<Books>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::<Mutex<Books>>::default();
        let kept = Arc::clone(&books);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let books = Arc::clone(&kept);
                let service = service_fn(move |request| serve(Arc::clone(&books), request));
                // It fails where a connection is closed without an answer.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { base, books }
    }

    /// What it keeps.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Ours, with its key.
    pub fn stripe(&self) -> Stripe {
        self.with_key(SECRET)
    }

    /// Ours, with another key.
    pub fn with_key(&self, key: &str) -> Stripe {
        let stripe = Stripe::new(key, &self.base).unwrap();
        stripe.with_timeout(Duration::from_secs(10))
    }

    /// Ours, with little patience.
    pub fn hasty(&self) -> Stripe {
        self.stripe().with_timeout(Duration::from_secs(1))
    }
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

async fn serve(books: Arc<Mutex<Books>>, request: Request<Incoming>) -> Result<Response<String>, Dropped> {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let key = header("idempotency-key");
    let refused = match () {
        () if header("authorization") != Some(format!("Bearer {SECRET}")) => {
            Some(Reply::error(401, json!({})))
        }
        () if header("stripe-version").as_deref() != Some("2025-09-30.clover") => {
            Some(Reply::invalid("version", None))
        }
        () => None,
    };
    let form = header("content-type").as_deref() == Some("application/x-www-form-urlencoded");
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let path = head.uri.path().to_owned();
    let query = parse(head.uri.query().unwrap_or_default().as_bytes());
    if let Some(refused) = refused {
        return Ok(refused.into_response());
    }
    match (head.method, key) {
        (Method::GET, None) => {
            let mut books = books.lock().unwrap();
            books.looked += 1;
            let reply = books.get(&path, &query);
            drop(books);
            Ok(reply.into_response())
        }
        (Method::POST, Some(key)) if form && query.is_empty() => post(books, path, key, parse(&body)).await,
        _ => Ok(Reply::invalid("method_content_type_or_idempotency_key", None).into_response()),
    }
}

/// In order: the same fields in another order are other ones, more strictly than Stripe has it.
fn parse(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

async fn post(
    books: Arc<Mutex<Books>>,
    path: String,
    key: String,
    fields: Fields,
) -> Result<Response<String>, Dropped> {
    let manner = Manner::of(&fields);
    if let Some(reply) = books.lock().unwrap().begin(&path, &key, &fields) {
        return Ok(reply.into_response());
    }
    if manner == Manner::Slow {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let Some(reply) = books.lock().unwrap().finish(&path, &key, &fields) else {
        return Err(Dropped);
    };
    if std::mem::take(&mut books.lock().unwrap().lose_next) {
        return Err(Dropped);
    }
    match manner {
        Manner::Hang => std::future::pending().await,
        Manner::Drop => Err(Dropped),
        Manner::Plain | Manner::Slow => Ok(reply.into_response()),
    }
}

impl Reply {
    fn into_response(self) -> Response<String> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        let headers = response.headers_mut();
        if self.replayed {
            headers.insert("idempotent-replayed", "true".parse().unwrap());
        }
        if self.status == 302 {
            headers.insert("location", "/v1/payment_intents".parse().unwrap());
        }
        response
    }
}
