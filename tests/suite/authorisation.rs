//! Every root field, asked by every kind of credential about its own things and those of others.
//!
//! The [table](table) says who may do what; the contract says which fields there are, and one without a line fails. Everything runs
//! over HTTP against a listener in this process, so that the clock can be moved.

mod cast;
mod table;

use std::{collections::BTreeSet, time::Duration};

use app::Scope;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{
    cast::{Keys, Target},
    table::{Line, TABLE, Token},
};
use crate::{e2e::contract, harness::World};

on_both!(everybody_asks_everything);

/// The table, written for people.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/authorisation.md");
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Objects whose fields ask for scopes of their own.
const OBJECTS: [&str; 3] = ["Customer", "Jobs", "PlanSubscription"];

#[test]
fn every_field_has_a_line() {
    let lines: BTreeSet<String> = TABLE.iter().map(Line::name).collect();
    let mut fields = BTreeSet::new();
    let roots = ["Query", "Mutation", "Subscription"]
        .map(|root| (root, contract::fields(root).into_keys().collect()));
    for (of, names) in roots
        .into_iter()
        .chain(OBJECTS.map(|object| (object, contract::fields_of_objects(object))))
    {
        for name in names {
            assert!(
                lines.contains(&format!("{of}.{name}")),
                "{}",
                table::advice(of, &name)
            );
            fields.insert(format!("{of}.{name}"));
        }
    }
    assert_eq!(lines, fields, "a line is about a field that is gone");
}

#[test]
fn the_document_is_up_to_date() {
    let text = table::document();
    if std::env::var_os("TALLYGATE_BLESS").is_some() {
        std::fs::write(DOCUMENT, &text).unwrap();
    }
    let kept = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        text == kept,
        "docs/authorisation.md is out of date; run `TALLYGATE_BLESS=1 cargo test --test suite authorisation::`"
    );
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// Come with a good credential.
    Unauthenticated,
    /// Not with these scopes.
    Forbidden,
    /// There is no such thing.
    Nothing,
    /// Here it is.
    Fine,
    /// Anything else.
    Other(String),
}

struct Listener {
    base: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Listener {
    async fn open(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(
            world.app.clone(),
            listener,
            api::Options::default(),
            stop.clone(),
        ));
        Self {
            base,
            http: crate::harness::http().build().unwrap(),
            stop,
        }
    }

    /// Asks, and answers what was said together with its words.
    async fn ask(&self, line: &Line, secret: Option<&str>, document: &str) -> (Said, String) {
        let path = if line.of == "Subscription" {
            "/graphql/stream"
        } else {
            "/graphql"
        };
        loop {
            let mut request = self
                .http
                .post(format!("{}{path}", self.base))
                .json(&json!({ "query": document }));
            if let Some(secret) = secret {
                request = request.bearer_auth(secret);
            }
            let response = tokio::time::timeout(PATIENCE, request.send())
                .await
                .unwrap()
                .unwrap();
            match response.status().as_u16() {
                // Tokens are served at the pace of people; this case is faster.
                429 => tokio::time::sleep(Duration::from_millis(200)).await,
                401 => return (Said::Unauthenticated, response.text().await.unwrap()),
                _ => {
                    let text = tokio::time::timeout(PATIENCE, first_answer(response))
                        .await
                        .unwrap();
                    return (said(line, &text), text);
                }
            }
        }
    }
}

/// The body, or of a stream the first answer in it.
async fn first_answer(mut response: reqwest::Response) -> String {
    let mut heard = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        heard.push_str(&String::from_utf8_lossy(&chunk));
        let data = heard.lines().find_map(|line| line.strip_prefix("data:"));
        if let Some(data) = data.filter(|_| heard.contains("\n\n")) {
            return data.trim().to_owned();
        }
    }
    heard
}

fn said(line: &Line, text: &str) -> Said {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return Said::Other(text.to_owned());
    };
    let answer = &body["data"][line.root_field()];
    if let Some(error) = body["errors"].get(0) {
        let extensions = &error["extensions"];
        let nothing = |answer: &Value| {
            answer
                .as_object()
                .is_some_and(|it| it.values().all(Value::is_null))
        };
        return match (extensions["code"].as_str(), extensions["reason"].as_str()) {
            _ if !answer.is_null() && !nothing(answer) => Said::Other(format!("an error and data: {text}")),
            (Some("FORBIDDEN"), _) => Said::Forbidden,
            (_, Some("NOT_FOUND")) => Said::Nothing,
            _ => Said::Other(text.to_owned()),
        };
    }
    let refusal = answer["userErrors"].get(0).map(|error| error["code"].clone());
    // The gate, `recordUsage` and what is done with reservations judge each question, event and reservation by itself.
    let judged = [
        &answer["results"][0]["reason"],
        &answer["reason"],
        &answer[0]["reason"],
    ];
    let nobody = |reason: &Value| *reason == "UNKNOWN_CUSTOMER" || *reason == "UNKNOWN_RESERVATION";
    match refusal {
        Some(code) if code == "NOT_FOUND" => Said::Nothing,
        Some(_) => Said::Other(text.to_owned()),
        None if answer.is_null() || judged.iter().any(|reason| nobody(reason)) => Said::Nothing,
        None => Said::Fine,
    }
}

/// Whose credential it is and what may be expected of it.
enum Who<'a> {
    Nobody,
    /// A key of the tenant of a target, with or without what is needed.
    Key(&'a Target, bool),
    /// A token of a target.
    Token(&'a Target),
}

/// What a credential may be told about a target: one thing, with one exception.
fn expected(line: &Line, who: &Who<'_>, target: &Target) -> Vec<Said> {
    let found = |seen: bool| if seen { Said::Fine } else { Said::Nothing };
    let named = line.names_something();
    let same_tenant = |own: &Target| own.world.tenant() == target.world.tenant();
    let one = match who {
        Who::Nobody => Said::Unauthenticated,
        // Where several scopes are asked for one after the other, it may have turned out before that there is no such thing.
        Who::Key(own, false) if line.needs.len() > 1 && !same_tenant(own) => {
            return vec![Said::Forbidden, Said::Nothing];
        }
        Who::Key(_, false) => Said::Forbidden,
        Who::Key(own, true) => found(!named || same_tenant(own)),
        Who::Token(_) if line.token == Token::Never => Said::Forbidden,
        Who::Token(own) if line.token == Token::Own => found(own.customer == target.customer),
        Who::Token(own) => found(!named || same_tenant(own)),
    };
    vec![one]
}

/// Whether an answer to somebody may have in it what carries the mark of a target.
fn may_see(line: &Line, who: &Who<'_>, target: &Target) -> bool {
    match who {
        Who::Nobody => false,
        Who::Key(own, enough) => *enough && own.world.tenant() == target.world.tenant(),
        Who::Token(own) => line.token != Token::Never && own.customer == target.customer,
    }
}

async fn everybody_asks_everything(world: World) {
    let world = world.sends().await;
    let stranger = world.stranger().await;
    let targets = [
        cast::target(&world, "one").await,
        cast::target(&world, "two").await,
        cast::target(&stranger, "far").await,
    ];
    let [one, two, far] = &targets;
    let (keys, foreign_keys) = (Keys::of(&world), Keys::of(&stranger));
    let foreign = foreign_keys.with(Scope::ALL).await;
    let (of_one, of_two) = (
        keys.token(one.customer, 3_600).await,
        keys.token(two.customer, 3_600).await,
    );
    let of_far = foreign_keys.token(far.customer, 3_600).await;
    let nobody = [
        ("none", None),
        (
            "garbage",
            Some("tg_test_0123456789abcdefghijklmnopqrstuv".to_owned()),
        ),
        ("expired key", Some(keys.ending(60).await)),
        ("revoked key", Some(keys.revoked().await)),
        ("expired token", Some(keys.token(one.customer, 60).await)),
    ];
    world.advance(61);
    let listener = Listener::open(&world).await;
    let mut complaints = Vec::new();
    let mut cells = 0;
    for line in TABLE {
        let mut asking: Vec<(String, Option<String>, Who)> = nobody
            .iter()
            .map(|(kind, secret)| ((*kind).to_owned(), secret.clone(), Who::Nobody))
            .collect();
        for scope in line.needs {
            asking.push((
                format!("key without {scope}"),
                Some(keys.without(*scope).await),
                Who::Key(one, false),
            ));
        }
        asking.push(("token of one".to_owned(), Some(of_one.clone()), Who::Token(one)));
        asking.push(("token of two".to_owned(), Some(of_two.clone()), Who::Token(two)));
        asking.push(("token of far".to_owned(), Some(of_far.clone()), Who::Token(far)));
        asking.push((
            "key of another tenant".to_owned(),
            Some(foreign.clone()),
            Who::Key(far, true),
        ));
        asking.push((
            "key with just enough".to_owned(),
            Some(keys.with(&line.enough()).await),
            Who::Key(one, true),
        ));
        for (kind, secret, who) in &asking {
            let all = line.names_something() && !matches!(who, Who::Nobody);
            for target in &targets[..if all { 3 } else { 1 }] {
                let document = target.fill(&line.document());
                let (said, words) = listener.ask(line, secret.as_deref(), &document).await;
                let expected = expected(line, who, target);
                cells += 1;
                if !expected.contains(&said) {
                    complaints.push(format!(
                        "{} by {kind} about {}: {said:?} instead of {expected:?}\n  {document}\n  {words}",
                        line.name(),
                        target.mark
                    ));
                }
                for other in &targets {
                    if words.contains(&other.mark) && !may_see(line, who, other) {
                        complaints.push(format!(
                            "{} by {kind}: leaks {}\n  {words}",
                            line.name(),
                            other.mark
                        ));
                    }
                }
            }
        }
    }
    listener.stop.cancel();
    assert!(
        complaints.is_empty(),
        "{} of {cells}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    assert!(cells > 15 * TABLE.len(), "{cells}");
}
