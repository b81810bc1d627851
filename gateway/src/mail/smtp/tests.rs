//! Letters to servers that answer as they are told.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::*;

/// What a server says to a command that begins so, instead of what it should say. An empty answer is silence.
type Script = &'static [(&'static str, &'static str)];

/// A server.
struct Fake {
    url: String,
    /// All that was said to it; each connection begins with `(connection)`.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}/billing.example", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let all = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                all.lock().unwrap().push("(connection)".to_owned());
                tokio::spawn(talk(stream, script, Arc::clone(&all)));
            }
        });
        Self { url, heard }
    }

    fn smtp(&self) -> Smtp {
        Smtp::new(&self.url, "Tallygate <billing@vendor.example>").unwrap()
    }

    fn heard(&self, begin: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|line| line.starts_with(begin)).count()
    }
}

async fn talk(stream: TcpStream, script: Script, heard: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = "(greeting)".to_owned();
    let mut in_letter = false;
    loop {
        let usual = match line.get(..4).unwrap_or_default() {
            "(gre" => "220 mail.example ESMTP\r\n",
            "EHLO" => "250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            "AUTH" => "235 welcome\r\n",
            _ => "250 ok\r\n",
        };
        let own = script.iter().find(|(begin, _)| line.starts_with(begin));
        let answer = own.map_or(usual, |(_, answer)| answer);
        if !in_letter || line == "." {
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
        in_letter = (in_letter && line != ".") || (line == "DATA" && answer.starts_with('3'));
        let mut next = String::new();
        if stream.read_line(&mut next).await.ok()? == 0 {
            return None;
        }
        line = next.trim_end().to_owned();
        heard.lock().unwrap().push(line.clone());
    }
}

fn letter() -> Letter {
    Letter {
        from: None,
        to: "ada@example.com".to_owned(),
        subject: "Hello".to_owned(),
        text: "Hello.\n.\nBye.".to_owned(),
        html: "<p>Hello.</p>".to_owned(),
        id: "evt_1".to_owned(),
    }
}

#[tokio::test]
async fn a_letter_is_taken() {
    let fake = Fake::start(&[]).await;
    fake.smtp().send(&letter()).await.unwrap();
    for (begin, times) in [
        ("EHLO billing.example", 1),
        ("MAIL FROM:<billing@vendor.example>", 1),
        ("RCPT TO:<ada@example.com>", 1),
        ("Auto-Submitted: auto-generated", 1),
        ("Message-ID: <evt_1@vendor.example>", 1),
        ("Date: ", 1),
        ("Content-Type: text/plain", 1),
        ("Content-Type: text/html", 1),
        // A line with a full stop alone does not end the letter.
        ("..", 1),
        ("<p>Hello.</p>", 1),
    ] {
        assert_eq!(
            fake.heard(begin),
            times,
            "{begin}: {:?}",
            fake.heard.lock().unwrap()
        );
    }
}

#[tokio::test]
async fn a_connection_is_good_for_many_letters() {
    let fake = Fake::start(&[]).await;
    let smtp = fake.smtp();
    for _ in 0..5 {
        smtp.send(&letter()).await.unwrap();
    }
    assert_eq!((fake.heard("(connection)"), fake.heard("MAIL")), (1, 5));
}

#[tokio::test]
async fn a_connection_that_died_is_replaced() {
    let fake = Fake::start(&[("NOOP", "421 too late\r\n")]).await;
    let smtp = fake.smtp();
    for _ in 0..2 {
        smtp.send(&letter()).await.unwrap();
    }
    assert_eq!(fake.heard("(connection)"), 2);
}

#[tokio::test]
async fn we_sign_in() {
    let fake = Fake::start(&[]).await;
    let url = fake.url.replace("smtp://", "smtp://user:pass@");
    let smtp = Smtp::new(&url, "billing@vendor.example").unwrap();
    smtp.send(&letter()).await.unwrap();
    assert_eq!(fake.heard("AUTH PLAIN AHVzZXIAcGFzcw=="), 1);
    assert!(!format!("{smtp:?}").contains("pass"));
}

/// What becomes of a letter when the server follows a script.
async fn fate(script: Script) -> Result<(), NotSent> {
    let fake = Fake::start(script).await;
    let url = fake.url.replace("smtp://", "smtp://user:pass@");
    Smtp::new(&url, "billing@vendor.example")
        .unwrap()
        .send(&letter())
        .await
}

#[tokio::test]
async fn what_is_refused_for_good() {
    for script in [
        [("RCPT", "550 5.1.1 no such user\r\n")],
        [("MAIL", "550 5.7.1 not from you\r\n")],
        [("DATA", "554 no\r\n")],
        [(".", "552-5.3.4 too\r\n552 5.3.4 large\r\n")],
    ] {
        let script: Script = Box::leak(Box::new(script));
        let fate = fate(script).await;
        assert!(matches!(fate, Err(NotSent::Refused(_))), "{script:?}: {fate:?}");
    }
    let why = fate(&[("RCPT", "550 5.1.1 no such user\r\n")]).await.unwrap_err();
    assert!(why.to_string().contains("no such user"), "{why}");
}

#[tokio::test]
async fn what_may_be_taken_later() {
    for script in [
        [("RCPT", "450 4.2.1 try later\r\n")],
        [("MAIL", "451 4.3.0 busy\r\n")],
        [(".", "452 4.3.1 full\r\n")],
        [("DATA", "421 shutting down\r\n")],
        // None of these is about the letter.
        [("(greeting)", "554 go away\r\n")],
        [("EHLO", "502 what\r\n")],
        [("AUTH", "535 5.7.8 wrong password\r\n")],
        [("MAIL", "530 5.7.0 sign in first\r\n")],
        [("RCPT", "gibberish\r\n")],
        [("(greeting)", "HTTP/1.1 400 Bad Request\r\n")],
    ] {
        let script: Script = Box::leak(Box::new(script));
        let fate = fate(script).await;
        assert!(matches!(fate, Err(NotSent::Later(_))), "{script:?}: {fate:?}");
    }
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let smtp = Smtp::new(&url, "billing@vendor.example").unwrap();
    let fate = smtp.send(&letter()).await;
    assert!(matches!(fate, Err(NotSent::Later(_))), "{fate:?}");
}

#[tokio::test]
async fn silence_ends() {
    let short = Duration::from_millis(700);
    for at in ["(greeting)", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"] {
        // The last one is said after a refusal, which must not be waited for without end either.
        let refusal = ("RCPT", if at == "QUIT" { "550 no\r\n" } else { "250 ok\r\n" });
        let script: Script = Box::leak(Box::new([(at, ""), refusal]));
        let fake = Fake::start(script).await;
        let smtp = fake.smtp().with_timeout(short);
        let began = Instant::now();
        let fate = smtp.send(&letter()).await;
        assert!(matches!(fate, Err(NotSent::Later(_))), "{at}: {fate:?}");
        assert!(began.elapsed() < short * 12, "{at}: {:?}", began.elapsed());
    }
}

/// The answer to a letter that was given up is not taken for the answer to the next one.
#[tokio::test]
async fn letters_are_not_mixed_up() {
    let fake = Fake::start(&[
        ("RCPT TO:<slow@example.com>", ""),
        ("RCPT TO:<bad@example.com>", "550 no\r\n"),
    ])
    .await;
    let smtp = fake.smtp().with_timeout(Duration::from_secs(1));
    let to = |to: &str| Letter {
        to: to.to_owned(),
        ..letter()
    };
    assert!(matches!(
        smtp.send(&to("slow@example.com")).await,
        Err(NotSent::Later(_))
    ));
    sleep(Duration::from_millis(50)).await;
    assert!(matches!(
        smtp.send(&to("bad@example.com")).await,
        Err(NotSent::Refused(_))
    ));
    smtp.send(&to("good@example.com")).await.unwrap();
    assert_eq!(fake.heard("(connection)"), 3);
}

#[tokio::test]
async fn nothing_is_said_to_who_cannot_seal() {
    let fake = Fake::start(&[]).await;
    let address = fake
        .url
        .replace("/billing.example", "")
        .replace("smtp://", "u:p@");
    for (url, fails) in [
        (format!("smtp://{address}?tls=required"), true),
        (format!("smtps://{address}"), true),
        (format!("smtp://{address}?tls=opportunistic"), false),
    ] {
        let smtp = Smtp::new(&url, "billing@vendor.example").unwrap();
        let fate = smtp.with_timeout(Duration::from_secs(2)).send(&letter()).await;
        assert_eq!(matches!(fate, Err(NotSent::Later(_))), fails, "{url}: {fate:?}");
        assert_eq!(fake.heard("AUTH"), usize::from(!fails));
    }
}

#[test]
fn what_is_no_sender() {
    for from in ["", "billing", "a@b, c@d"] {
        assert!(
            matches!(Smtp::new("smtp://localhost", from), Err(BadSmtp::From(_))),
            "{from}"
        );
    }
}
