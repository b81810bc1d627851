//! Names that lead inside: at once, among others, or a moment later.

use super::*;

/// Answers in turn.
struct Turns(Vec<io::Result<Vec<&'static str>>>, AtomicUsize);

#[async_trait::async_trait]
impl Lookup for Turns {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        match &self.0[turn % self.0.len()] {
            Ok(answer) => Ok(answer.iter().map(|ip| ip.parse().unwrap()).collect()),
            Err(error) => Err(error.kind().into()),
        }
    }
}

/// One that may call 127.0.0.1, which stands for the public Internet here, by any name; 127.0.0.2 stands for what is private.
fn with(limits: Limits, answers: Vec<io::Result<Vec<&'static str>>>) -> Webhooks {
    let policy = AddressPolicy::parse("127.0.0.1", true).unwrap();
    Webhooks::with_lookup(policy, limits, Arc::new(Turns(answers, AtomicUsize::new(0)))).unwrap()
}

/// A receiver in public and one in private, at the same port.
async fn both() -> (Receiver, Receiver) {
    loop {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let public = Receiver::answering(answer).await;
        let at = format!("127.0.0.2:{}", public.at.port());
        if TcpListener::bind(&at).await.is_ok() {
            let private = Receiver::start(&at, move |stream, told| {
                receiver::answer_all(stream, told, answer)
            })
            .await;
            return (public, private);
        }
    }
}

#[tokio::test]
async fn a_name_is_called_where_it_leads() {
    let (public, private) = both().await;
    let url = format!("http://hooks.test:{}/", public.at.port());
    let attempt = deliver(&with(QUICK, vec![Ok(vec!["127.0.0.1"])]), &url).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
    assert!(public.requests()[0].contains("\r\nhost: hooks.test:"));
    assert_eq!((public.connections(), private.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let (public, private) = both().await;
    let url = format!("http://hooks.test:{}/", public.at.port());
    for answer in [
        vec!["127.0.0.2"],
        vec!["127.0.0.1", "127.0.0.2"],
        vec!["127.0.0.2", "127.0.0.1"],
        vec!["127.0.0.1", "::1"],
        vec!["127.0.0.1", "::ffff:127.0.0.2"],
        vec!["127.0.0.1", "127.0.0.1", "127.0.0.1", "169.254.169.254"],
    ] {
        let attempt = deliver(&with(QUICK, vec![Ok(answer)]), &url).await;
        assert_eq!(failed(&attempt), Some(Failure::ForbiddenAddress));
    }
    assert_eq!((public.connections(), private.connections()), (0, 0));
}

/// An answer that changes between the check and the call would lead inside, were they not one.
#[tokio::test]
async fn a_name_that_changes_never_leads_inside() {
    let (public, private) = both().await;
    let url = format!("http://hooks.test:{}/", public.at.port());
    let webhooks = with(QUICK, vec![Ok(vec!["127.0.0.1"]), Ok(vec!["127.0.0.2"])]);
    for turn in 0..20 {
        let attempt = deliver(&webhooks, &url).await;
        let expected = (turn % 2 == 1).then_some(Failure::ForbiddenAddress);
        assert_eq!(failed(&attempt), expected, "{turn}");
    }
    assert_eq!((public.connections(), private.connections()), (10, 0));
}

#[tokio::test]
async fn the_name_of_this_machine_is_not_called() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("http://localhost:{}/", receiver.at.port());
    let plain = AddressPolicy::parse("", true).unwrap();
    let attempt = deliver(&Webhooks::new(plain.clone(), QUICK).unwrap(), &url).await;
    assert_eq!(failed(&attempt), Some(Failure::ForbiddenAddress));
    // And not by the resolver's word either, whatever the name is.
    let answer = Turns(vec![Ok(vec!["127.0.0.1"])], AtomicUsize::new(0));
    let webhooks = Webhooks::with_lookup(plain, QUICK, Arc::new(answer)).unwrap();
    let attempt = deliver(&webhooks, &url.replace("localhost", "here.test")).await;
    assert_eq!(failed(&attempt), Some(Failure::ForbiddenAddress));
    assert_eq!(receiver.connections(), 0);

    let allowed = AddressPolicy::parse("127.0.0.0/8,::1", false).unwrap();
    let attempt = deliver(&Webhooks::new(allowed, QUICK).unwrap(), &url).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let url = "https://hooks.test/";
    for answer in [Ok(Vec::new()), Err(io::ErrorKind::NotFound.into())] {
        let attempt = deliver(&with(QUICK, vec![answer]), url).await;
        assert_eq!(failed(&attempt), Some(Failure::Dns));
    }
    let late = with(QUICK, vec![Err(io::ErrorKind::TimedOut.into())]);
    assert_eq!(failed(&deliver(&late, url).await), Some(Failure::TimedOut));
}

struct Never;

#[async_trait::async_trait]
impl Lookup for Never {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_name_server_that_keeps_silent_does_not_hold_us() {
    let webhooks = Webhooks::with_lookup(here(), SOON, Arc::new(Never)).unwrap();
    let attempt = deliver(&webhooks, "https://hooks.test/").await;
    assert_eq!(failed(&attempt), Some(Failure::TimedOut));
    assert!(attempt.took < SHORT * 8, "{:?}", attempt.took);
}
