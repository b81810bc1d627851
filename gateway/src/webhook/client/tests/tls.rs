//! Sealed deliveries, and those that cannot be sealed. The key here is of no use outside of these tests.

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use super::*;

const AUTHORITY: &[u8] = include_bytes!("authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("hooks.pem");
const KEY: &[u8] = include_bytes!("hooks.key.pem");

struct Here;

#[async_trait::async_trait]
impl Lookup for Here {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// A receiver that is `hooks.test` and can show it.
async fn sealed() -> Receiver {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::start("127.0.0.1:0", move |stream, told| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                receiver::answer_all(stream, told, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

/// One that trusts the authority of these tests.
fn trusting(limits: Limits) -> Webhooks {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(AUTHORITY).unwrap())
        .unwrap();
    Webhooks::with_trust(here(), limits, Arc::new(Here), config(roots).unwrap()).unwrap()
}

#[tokio::test]
async fn a_sealed_delivery() {
    let receiver = sealed().await;
    let (webhooks, port) = (trusting(QUICK), receiver.at.port());
    for _ in 0..3 {
        let attempt = deliver(&webhooks, &format!("https://hooks.test:{port}/")).await;
        assert_eq!(attempt.outcome, Outcome::Delivered, "{attempt:?}");
    }
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 3));
}

#[tokio::test]
async fn what_cannot_be_sealed_is_not_sent() {
    let receiver = sealed().await;
    let port = receiver.at.port();
    // Of somebody else, and from somebody whom this machine does not know.
    let other = deliver(&trusting(QUICK), &format!("https://other.test:{port}/")).await;
    assert_eq!(failed(&other), Some(Failure::Tls));
    let machine = Webhooks::with_lookup(here(), QUICK, Arc::new(Here)).unwrap();
    let unknown = deliver(&machine, &format!("https://hooks.test:{port}/")).await;
    assert_eq!(failed(&unknown), Some(Failure::Tls));
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn who_does_not_seal() {
    let plain = Receiver::start("127.0.0.1:0", |mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        sleep(Duration::from_millis(200)).await;
    })
    .await;
    let closing = Receiver::start("127.0.0.1:0", |mut stream, _| async move {
        let mut hello = [0; 5];
        let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await;
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    for receiver in [plain, closing] {
        let attempt = deliver(
            &trusting(QUICK),
            &format!("https://hooks.test:{}/", receiver.at.port()),
        )
        .await;
        assert_eq!(failed(&attempt), Some(Failure::Tls));
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let receiver = Receiver::start("127.0.0.1:0", |stream, _| async move {
        sleep(Duration::from_mins(1)).await;
        drop(stream);
    })
    .await;
    let limits = Limits {
        connect: SHORT,
        ..QUICK
    };
    let attempt = deliver(
        &trusting(limits),
        &format!("https://hooks.test:{}/", receiver.at.port()),
    )
    .await;
    assert_eq!(failed(&attempt), Some(Failure::TimedOut));
    assert!(attempt.took < SHORT * 8, "{:?}", attempt.took);
}
