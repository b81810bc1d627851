//! Requests over HTTP to whoever is outside, bounded in time and in the length of what is read. Redirects are not followed: they are no
//! answers.

use std::{error::Error, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, StatusCode, body::Bytes, header::USER_AGENT, http::request::Builder};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use url::{Host, Url};

/// Connections, kept for the next request.
pub(crate) struct Http(Client<HttpsConnector<HttpConnector>, String>);

impl Http {
    /// One that trusts whom this machine trusts.
    pub(crate) fn new() -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self(client))
    }

    /// Sends a request and reads what comes back, up to `longest` bytes.
    ///
    /// # Errors
    /// Why there is no whole answer. The request may have arrived or not.
    pub(crate) async fn ask(
        &self,
        request: Builder,
        body: String,
        timeout: Duration,
        longest: usize,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = request
            .header(USER_AGENT, "Tallygate")
            .body(body)
            .map_err(|error| format!("the request cannot be written: {error}"))?;
        match tokio::time::timeout(timeout, self.exchange(request, longest)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("nothing in {timeout:?}")),
        }
    }

    async fn exchange(
        &self,
        request: Request<String>,
        longest: usize,
    ) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
        let answer = self.0.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), longest).collect().await?;
        Ok((status, body.to_bytes()))
    }
}

/// An address on the way to which nobody reads along or changes anything: `https://`, or `http://` on this machine alone; and nothing but
/// an address.
pub(crate) fn sealed(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let sealed = url.scheme() == "https" || url.scheme() == "http" && here;
    let bare = url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    (sealed && bare && nobody).then_some(url)
}
