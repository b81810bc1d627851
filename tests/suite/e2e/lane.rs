//! The typed lane of `balanceUpdated` tells what the general way tells: generated subscriptions, right, wrong and odd, are
//! opened both ways and over both protocols, and every word must be the same but for ids.
//!
//! A directive that changes nothing makes a document one for the general way.

use std::time::{Duration, Instant};

use api::LiveLimits;
use app::{
    access::{self, CreateApiKey},
    customer::{self, CustomerRef, UpdateCustomer},
    hold::{self, Reserve},
};
use domain::customer::AtZero;
use futures::future::join_all;
use rand::{SeedableRng, rngs::StdRng};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::{
    client::Client,
    listener::Socket,
    socket::{Server, serve},
};
use crate::{
    harness::{World, per_unit},
    lane::{Dice, NEUTRAL},
};

on_both!(both_ways_tell_alike, both_ways_tell_of_trouble_alike);

/// Subscriptions of one run, each opened four times …
const REQUESTS: usize = 120;
/// … and how many of them at once.
const TOGETHER: usize = 30;
/// Share of subscriptions, of a hundred, that must have told a balance: else too few of them were right.
const ANSWERED: usize = 25;
/// When nothing has been said for so long, everything has, unless the two ways do not agree yet.
const QUIET: Duration = Duration::from_millis(200);
/// How long they may disagree.
const PATIENCE: Duration = Duration::from_secs(15);

/// A subscription as it is sent, with `%` where a directive may stand.
struct Request {
    document: String,
    variables: String,
    operation_name: Option<&'static str>,
    as_stranger_to_credits: bool,
}

impl Request {
    /// The body of a `POST`, and the payload of a message.
    fn body(&self, directive: &str) -> String {
        let document = self.document.replace('%', directive);
        let mut body = format!("{{\"query\":{},\"variables\":{}", json!(document), self.variables);
        if let Some(name) = self.operation_name {
            body.push_str(&format!(",\"operationName\":{name}"));
        }
        body.push('}');
        body
    }
}

/// What listens to one subscription.
enum Ear {
    Socket(Box<Socket>),
    Events(reqwest::Response),
    /// It was answered, or has ended.
    Over,
}

impl Ear {
    async fn open(client: &Client, body: &str, over_socket: bool) -> (Self, Vec<String>) {
        if over_socket {
            let mut socket = Socket::open(client).await;
            let message = format!("{{\"id\":\"1\",\"type\":\"subscribe\",\"payload\":{body}}}");
            socket
                .send(tokio_tungstenite::tungstenite::Message::text(message))
                .await;
            return (Self::Socket(Box::new(socket)), Vec::new());
        }
        let response = client.stream_of(body.to_owned()).send().await.unwrap();
        let told = format!(
            "{} {:?}",
            response.status(),
            response.headers().get("content-type")
        );
        (Self::Events(response), vec![told])
    }

    /// What is said before it is quiet.
    async fn listen(&mut self, said: &mut Vec<String>) {
        loop {
            let next = async {
                match self {
                    Self::Socket(socket) => Some(socket.text().await),
                    Self::Events(response) => {
                        let chunk = response.chunk().await.unwrap();
                        chunk.map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
                    }
                    Self::Over => std::future::pending().await,
                }
            };
            match tokio::time::timeout(QUIET, next).await {
                Ok(Some(text)) => said.push(without_ids(&text)),
                Ok(None) => *self = Self::Over,
                Err(_) => return,
            }
        }
    }
}

/// A text without the ids of requests.
fn without_ids(text: &str) -> String {
    const LENGTH: usize = 32;
    let mut parts = text.split("req_");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "req_" + &part[LENGTH..])
}

/// One subscription over one protocol, down both ways.
struct Pair {
    ears: [Ear; 2],
    said: [Vec<String>; 2],
}

impl Pair {
    async fn open(client: &Client, request: &Request, over_socket: bool) -> Self {
        // Blanks of the same length, so that errors point to the same place.
        let bodies = [request.body(&" ".repeat(NEUTRAL.len())), request.body(NEUTRAL)];
        let [fast, slow] = bodies.each_ref().map(|body| Ear::open(client, body, over_socket));
        let ((fast, fast_said), (slow, slow_said)) = tokio::join!(fast, slow);
        Self {
            ears: [fast, slow],
            said: [fast_said, slow_said],
        }
    }

    /// Listens until it is quiet and both have said the same. Answers whether they have.
    async fn agree(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            let ([fast, slow], [fast_said, slow_said]) = (&mut self.ears, &mut self.said);
            tokio::join!(fast.listen(fast_said), slow.listen(slow_said));
            // Events may come together or one by one.
            if fast_said.concat() == slow_said.concat() {
                return true;
            }
            if begun.elapsed() > PATIENCE {
                return false;
            }
        }
    }
}

async fn client_without_credits(world: &World, server: &Server) -> Client {
    let wish = CreateApiKey {
        name: "reader".to_owned(),
        scopes: vec!["usage:read".to_owned()],
        expires_at: None,
    };
    let made = access::create_key(&world.app, &world.actor, wish, &world.key()).await;
    server.with_key(&made.unwrap().value.secret.unwrap())
}

async fn both_ways_tell_alike(world: World) {
    let seed = std::env::var("TALLYGATE_SEED").map_or(7, |text| text.parse().unwrap());
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let server = serve(&world, LiveLimits::default()).await;
    let poor = client_without_credits(&world, &server).await;
    let stranger = world.stranger().await;
    stranger.customer("theirs").await;
    let (a, b) = (world.customer("a").await, world.customer("b").await);
    for _ in 0..5 {
        world.give(a, "1.5").await;
    }
    // Nothing that is told of it is the same as another.
    world.priced("call", per_unit("0.7")).await;
    let wish = Reserve {
        customer: Some(CustomerRef::Id(a)),
        metric_key: "call".to_owned(),
        units: "1".to_owned(),
        properties: None,
        seconds: None,
        key: world.key(),
    };
    hold::reserve(&world.app, &world.actor, vec![wish]).await.unwrap();
    let terms = async |at_zero| {
        let input = UpdateCustomer {
            at_zero: Some(at_zero),
            ..UpdateCustomer::default()
        };
        customer::update(&world.app, &world.actor, &CustomerRef::Id(a), input)
            .await
            .unwrap();
    };
    let mut answered = 0;
    for _ in 0..REQUESTS / TOGETHER {
        terms(AtZero::Block).await;
        let requests: Vec<Request> = (0..TOGETHER).map(|_| dice.subscription(&a.to_string())).collect();
        let pairs = requests.iter().flat_map(|request| {
            let client: &Client = if request.as_stranger_to_credits {
                &poor
            } else {
                &server
            };
            [true, false].map(|over_socket| Pair::open(client, request, over_socket))
        });
        let mut pairs = join_all(pairs).await;
        for change in 0..4 {
            let agreed = join_all(pairs.iter_mut().map(Pair::agree)).await;
            for (number, (agreed, pair)) in agreed.iter().zip(&pairs).enumerate() {
                let Request {
                    document, variables, ..
                } = &requests[number / 2];
                assert!(
                    agreed,
                    "seed {seed}, change {change}:\n{document}\n{variables}\n{:#?}",
                    pair.said
                );
            }
            // One change at a time: two of one customer may be told as one.
            if change == 1 {
                terms(AtZero::Allow).await;
            } else {
                world.give(a, "2").await;
                world.give(b, "0.000001").await;
            }
        }
        answered += pairs
            .iter()
            .filter(|pair| pair.said[0].concat().matches("\"data\":{").count() > 2)
            .count();
    }
    assert!(
        answered * 100 >= 2 * REQUESTS * ANSWERED,
        "only {answered} told a balance and its changes"
    );
}

/// A database that cannot be read, and then can.
async fn both_ways_tell_of_trouble_alike(world: World) {
    let server = serve(&world, LiveLimits::default()).await;
    world.customer("a").await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE account RENAME COLUMN {from} TO {to}");
        world.app.db().writer().execute_unprepared(&sql).await.unwrap();
    };
    rename("head", "elsewhere").await;
    let request = Request {
        document: r#"subscription { it: balanceUpdated(externalCustomerId: "a") { sequence % } }"#.to_owned(),
        variables: "{}".to_owned(),
        operation_name: None,
        as_stranger_to_credits: false,
    };
    let mut pairs = [
        Pair::open(&server, &request, true).await,
        Pair::open(&server, &request, false).await,
    ];
    let begun = Instant::now();
    while !pairs
        .iter()
        .flat_map(|pair| &pair.said)
        .all(|said| said.concat().contains("errors"))
    {
        assert!(begun.elapsed() < PATIENCE, "nothing is told of it");
        join_all(pairs.iter_mut().map(Pair::agree)).await;
    }
    rename("elsewhere", "head").await;
    for pair in &mut pairs {
        while !pair
            .said
            .iter()
            .all(|said| said.concat().contains("\"sequence\":0"))
        {
            assert!(
                begun.elapsed() < 2 * PATIENCE,
                "it does not go on: {:?}",
                pair.said
            );
            pair.agree().await;
        }
        // How often it was tried is chance; the first words are not.
        let [fast, slow] = pair.said.each_ref().map(|said| said.concat());
        let first = |said: &str| said.split("\"retryable\"").next().unwrap_or_default().to_owned();
        assert_eq!(first(&fast), first(&slow));
        assert!(first(&fast).contains("\"path\":[\"it\"]"), "{fast}");
    }
}

impl Dice {
    fn subscription(&mut self, customer: &str) -> Request {
        let fields = self.selection(&[
            "sequence",
            "remaining",
            "available",
            "overdraft",
            "held",
            "customerId",
            "__typename",
        ]);
        let (mut definitions, mut arguments, mut values) = (String::new(), String::new(), Vec::new());
        let mut add = |dice: &mut Self, argument: &str, kinds: &[&str], literals: &[&str]| {
            if dice.chance(50) {
                arguments.push_str(&format!("{argument}: {} ", dice.mostly(literals)));
                return;
            }
            definitions.push_str(&format!("${argument}: {} ", dice.mostly(kinds)));
            arguments.push_str(&format!("{argument}: ${argument} "));
            if !dice.chance(5) {
                values.push(format!("\"{argument}\":{}", dice.mostly(literals)));
            }
        };
        let (own, b, unknown) = (format!("\"{customer}\""), "\"b\"", "\"cus_x\"");
        if self.chance(75) {
            let names = [
                "\"a\"",
                b,
                "\"nobody\"",
                "\"theirs\"",
                "null",
                "5",
                "\"\"",
                "\"\\u0000\"",
            ];
            add(self, "externalCustomerId", &["String", "String!", "ID"], &names);
        }
        if self.chance(30) {
            add(
                self,
                "customerId",
                &["ID", "ID!", "String!"],
                &[&own, unknown, "5", "null"],
            );
        }
        if self.chance(60) {
            let numbers = [
                "2",
                "0",
                "5",
                "6",
                "99",
                "-3",
                "1.5",
                "\"3\"",
                "\"x\"",
                "null",
                "true",
                "9007199254740991",
                "9007199254740992",
                "99999999999999999999",
            ];
            add(self, "after", &["SafeInt", "SafeInt!", "Int"], &numbers);
        }
        if self.chance(3) {
            values.push("\"more\":1".to_owned());
        }
        let some = |text: String| {
            if text.is_empty() {
                text
            } else {
                format!("({text})")
            }
        };
        let (definitions, arguments) = (some(definitions), some(arguments));
        let (name, alias) = (self.name(), self.mostly(&["", "it: "]));
        Request {
            document: format!(
                "subscription {name}{definitions} {{ {alias}balanceUpdated{arguments} {{ n: sequence % {fields} }} }}"
            ),
            variables: format!("{{{}}}", values.join(",")),
            operation_name: match self.below(20) {
                0 => Some("null"),
                1 => Some("\"Other\""),
                2 => Some("\"Named\""),
                _ => None,
            },
            as_stranger_to_credits: self.chance(5),
        }
    }
}
