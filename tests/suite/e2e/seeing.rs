//! What operators see of the running processes: figures, readiness, logs and traces; and what must not be seen there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use app::telemetry;
use serde_json::{Value, json};

use super::{
    client::{Client, event},
    collector::Collector,
    listener::Listener,
    process::until,
    proxy::Proxy,
    ready::{admin, get, readiness, until_ready},
    stage::{KEY, Server, Stage},
};

/// Metrics that appear only when what they count happens, which a quiet case cannot bring about.
const ONLY_WHEN_IT_HAPPENS: &[&str] = &[
    telemetry::WEBHOOK_ATTEMPTS,
    telemetry::WEBHOOK_SECONDS,
    telemetry::MAILS,
    telemetry::RATE_LIMITED,
    telemetry::SHED,
    telemetry::POOL_TIMEOUTS,
    telemetry::USER_ERRORS,
    telemetry::AUDIT_VIOLATIONS,
    telemetry::AUDIT_AGE,
];

/// What is scraped: values by name and labels.
type Scrape = BTreeMap<(String, BTreeMap<String, String>), f64>;

async fn scrape(admin: &str) -> Scrape {
    let (status, text) = get(&format!("{admin}/metrics")).await.unwrap();
    assert_eq!(status, 200);
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(read_sample)
        .collect()
}

fn read_sample(line: &str) -> ((String, BTreeMap<String, String>), f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned()))
        .collect();
    ((name.to_owned(), labels), value.parse().unwrap())
}

/// The sum of all series of a metric that have these labels.
fn sum(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |has: &BTreeMap<String, String>| {
        labels
            .iter()
            .all(|(label, value)| has.get(*label).is_some_and(|it| it == value))
    };
    scrape
        .iter()
        .filter(|((it, has), _)| it == name && fits(has))
        .map(|(_, value)| value)
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_tell_what_happened_on_sqlite() {
    Stage::on_sqlite(figures_tell_what_happened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_tell_what_happened_on_postgres() {
    Stage::on_postgres(figures_tell_what_happened).await;
}

async fn figures_tell_what_happened(stage: &Stage) {
    let Server { process, client } = stage.dev().await;
    let admin = admin(&process).await;
    client.metric("call", r#"{perUnit: {creditsPerUnit: "1"}}"#).await;
    client.customer("acme-customer", "100").await;
    let mut live = Listener::web_socket(
        &client,
        r#"subscription { balanceUpdated(externalCustomerId: "acme-customer") { sequence remaining } }"#,
    )
    .await;
    let events: Vec<Value> = (0..10).map(|i| event("acme-customer", "call", 1, i)).collect();
    client.record(&events).await;
    client.record(&events[..2]).await;
    client
        .record(&[
            event("nobody", "call", 1, "x"),
            event("acme-customer", "call", 2, 0),
        ])
        .await;
    client.settled("acme-customer").await;
    live.next().await;
    for units in ["1", "1000"] {
        client
            .ask(&format!(
                r#"{{ entitlement(externalCustomerId: "acme-customer", metricKey: "call", units: "{units}") {{ allowed }} }}"#
            ))
            .await;
    }
    assert_eq!(
        client.reply("{ nonsense }").await.code(),
        "GRAPHQL_VALIDATION_FAILED"
    );
    // Figures from the database are at most five seconds old, and lanes and their jobs come to rest a moment after the last debit.
    let seen = until("the figures are at rest", async || {
        let seen = scrape(&admin).await;
        let runs = sum(&seen, telemetry::JOB_RUNS, &[("kind", "usage.drain")]);
        let rest = sum(&seen, telemetry::LANE_BACKLOG, &[]) == 0.0 && runs >= 1.0;
        (rest && sum(&seen, telemetry::READY, &[]) == 1.0).then_some(seen)
    })
    .await;

    let outcome = |outcome| sum(&seen, telemetry::USAGE_EVENTS, &[("outcome", outcome)]);
    assert_eq!(
        ["accepted", "duplicate", "conflict", "rejected"].map(outcome),
        [10.0, 2.0, 1.0, 1.0]
    );
    assert_eq!(sum(&seen, telemetry::USAGE_REJECTED, &[]), 1.0);
    assert_eq!(sum(&seen, telemetry::DRAINED_EVENTS, &[]), 10.0);
    let asked = |operation| {
        sum(
            &seen,
            telemetry::REQUESTS,
            &[("operation", operation), ("status", "200")],
        )
    };
    assert_eq!((asked("recordUsage"), asked("entitlement")), (3.0, 2.0));
    assert_eq!(sum(&seen, telemetry::REQUESTS, &[("operation", "refused")]), 1.0);
    assert_eq!(
        sum(&seen, telemetry::ERRORS, &[("code", "GRAPHQL_VALIDATION_FAILED")]),
        1.0
    );
    assert_eq!(sum(&seen, telemetry::CHECKS, &[("outcome", "allowed")]), 1.0);
    assert_eq!(sum(&seen, telemetry::CHECKS, &[]), 2.0);
    assert_eq!(
        sum(&seen, &format!("{}_count", telemetry::CHECK_SECONDS), &[]),
        2.0
    );
    assert!(sum(&seen, telemetry::JOB_RUNS, &[("kind", "usage.drain")]) >= 1.0);
    assert!(sum(&seen, telemetry::TRANSACTIONS, &[("outcome", "committed")]) >= 5.0);
    assert_eq!(
        (
            sum(&seen, telemetry::SOCKETS, &[]),
            sum(&seen, telemetry::SUBSCRIPTIONS, &[])
        ),
        (1.0, 1.0)
    );
    assert!(sum(&seen, telemetry::CONNECTIONS_MAX, &[]) >= 5.0);
    assert!(sum(&seen, "process_resident_memory_bytes", &[]) > 1e6);
    assert_names_are_documented(&seen);
    drop(live);
    until("the socket is no longer counted", async || {
        let seen = scrape(&admin).await;
        (sum(&seen, telemetry::SOCKETS, &[]) == 0.0 && sum(&seen, telemetry::SUBSCRIPTIONS, &[]) == 0.0)
            .then_some(())
    })
    .await;
}

/// What is scraped is what is documented, neither more nor less, and nobody's name is in it.
#[track_caller]
fn assert_names_are_documented(seen: &Scrape) {
    let mut found = BTreeSet::new();
    for (name, labels) in seen.keys().filter(|(name, _)| name.starts_with("tallygate_")) {
        let ends = ["", "_bucket", "_sum", "_count"];
        let metric = telemetry::ALL
            .iter()
            .find(|metric| ends.iter().any(|end| *name == format!("{}{end}", metric.name)))
            .unwrap_or_else(|| panic!("{name} is not documented"));
        found.insert(metric.name);
        for (label, value) in labels {
            let known =
                metric.labels.contains(&label.as_str()) || (label == "le" && name.ends_with("_bucket"));
            assert!(known, "{name} has the label {label}");
            assert!(!value.contains("acme"), "{name} {label}={value}");
        }
    }
    for metric in telemetry::ALL {
        assert!(
            found.contains(metric.name) || ONLY_WHEN_IT_HAPPENS.contains(&metric.name),
            "{} is documented and never shown",
            metric.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readiness_follows_the_database_and_comes_back_by_itself() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let proxy = Proxy::before(&stage.url).await;
        let through = [("TALLYGATE_DATABASE_URL", proxy.url.as_str())];
        let mut api = stage.start_with(&["api"], &through);
        let base = super::stage::base(&mut api).await;
        let worker = stage.start_with(&["worker"], &through);
        let places = [base.clone(), admin(&api).await, admin(&worker).await];
        for place in &places {
            until_ready(place).await;
        }
        proxy.cut();
        for place in &places {
            until(&format!("{place} is not ready"), async || {
                let (status, bad) = readiness(place).await?;
                (status == 503 && bad.contains("database")).then_some(())
            })
            .await;
            // The process itself lives.
            assert_eq!(get(&format!("{place}/healthz")).await.unwrap().0, 200);
        }
        // Figures that the database would have to tell do not keep anybody waiting.
        assert_eq!(sum(&scrape(&places[1]).await, telemetry::READY, &[]), 0.0);
        proxy.mend();
        for place in &places {
            until_ready(place).await;
        }
        let client = Client::new(&base, KEY);
        client.metric("call", r#"{flat: {credits: "1"}}"#).await;
        client.customer("acme", "5").await;
        client.record(&[event("acme", "call", 1, "after")]).await;
        assert_eq!(client.settled("acme").await["remaining"], "4");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_stops_says_so_first_and_serves_on_meanwhile() {
    Stage::on_sqlite(async |stage| {
        stage.migrate().await;
        let mut api = stage.start_with(&["api"], &[("TALLYGATE_SHUTDOWN_DELAY_SECONDS", "3")]);
        let base = super::stage::base(&mut api).await;
        until_ready(&base).await;
        api.terminate();
        until("it says that it leaves", async || {
            let (status, bad) = readiness(&base).await.expect("it still listens");
            (status == 503 && bad.contains("running")).then_some(())
        })
        .await;
        let client = Client::new(&base, KEY);
        client.ask("{ viewer { tenant { name } } }").await;
        assert!(api.end().await.success(), "{}", api.err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_on_one_host_find_room_for_their_figures() {
    Stage::on_sqlite(async |stage| {
        stage.migrate().await;
        // An empty setting is none: the usual port, or another one.
        let usual = [("TALLYGATE_ADMIN_LISTEN", "")];
        let processes = [(); 3].map(|()| stage.start_with(&["worker"], &usual));
        let mut places = BTreeSet::new();
        for process in &processes {
            let place = admin(process).await;
            until_ready(&place).await;
            places.insert(place);
        }
        assert_eq!(places.len(), processes.len());
        // Asked for by name it must be that one.
        let taken = places.first().unwrap().replace("http://", "");
        let refused = stage
            .command_with(&["worker"], &[("TALLYGATE_ADMIN_LISTEN", &taken)])
            .await;
        assert_eq!(refused.code, 1);
        for words in [
            taken.as_str(),
            "another process uses it",
            "TALLYGATE_ADMIN_LISTEN",
        ] {
            assert!(refused.err.contains(words), "{}", refused.err);
        }
        let off = stage.start_with(&["worker"], &[("TALLYGATE_ADMIN_LISTEN", "off")]);
        until("a worker without figures works", async || {
            off.err().contains("the worker works").then_some(())
        })
        .await;
        assert!(!off.err().contains("admin="), "{}", off.err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_logs_are_one_object_per_line() {
    Stage::on_sqlite(async |stage| {
        stage.migrate().await;
        // Without a terminal that is the default.
        let worker = stage.start_with(&["worker"], &[("TALLYGATE_LOG_FORMAT", "")]);
        until("the worker works", async || {
            worker.err().contains("the worker works").then_some(())
        })
        .await;
        let api = [
            ("TALLYGATE_LOG_FORMAT", "json"),
            ("TALLYGATE_LOG", "info,access=debug"),
        ];
        let api = stage.start_with(&["api"], &api);
        let base = until("the API tells where it listens", async || {
            let err = api.err();
            let lines = err
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines
                .into_iter()
                .find_map(|line| Some(format!("http://{}", line["address"].as_str()?)))
        })
        .await;
        let client = Client::new(&base, KEY);
        let reply = client.reply("query Who { viewer { tenant { name } } }").await;
        let id = reply.headers["x-request-id"].to_str().unwrap();
        let line = until("the request is told", async || {
            let err = api.err();
            let line = err
                .lines()
                .find(|line| line.contains(id) && line.ends_with('}'))?;
            Some(serde_json::from_str::<Value>(line).unwrap())
        })
        .await;
        for (name, value) in [
            ("method", json!("POST")),
            ("path", json!("/graphql")),
            ("status", json!(200)),
            ("operation", json!("Who")),
            ("field", json!("viewer")),
            ("target", json!("access")),
        ] {
            assert_eq!(line[name], value, "{line}");
        }
        for name in ["millis", "document", "key", "tenant"] {
            assert!(!line[name].is_null(), "{name} is missing: {line}");
        }
        for process in [&worker, &api] {
            for line in process.err().lines() {
                assert!(
                    serde_json::from_str::<Value>(line).is_ok_and(|it| it.is_object()),
                    "{line}"
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_show_requests_transactions_and_jobs() {
    Stage::on_sqlite(async |stage| {
        let collector = Collector::start().await;
        let mut dev = stage.start_with(&["dev"], &[("TALLYGATE_OTLP_ENDPOINT", &collector.url)]);
        let base = super::stage::base(&mut dev).await;
        let client = Client::new(&base, &super::stage::dev_key(&dev));
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        client.metric("call", r#"{flat: {credits: "1"}}"#).await;
        client.customer("acme-customer", "5").await;
        client
            .record(&[event("acme-customer", "call", 1, "one-event")])
            .await;
        client.settled("acme-customer").await;
        let traced = client
            .post()
            .header("traceparent", format!("00-{trace}-{parent}-01"))
            .json(&json!({ "query": "query Private { viewer { tenant { name } } }" }));
        assert_eq!(traced.send().await.unwrap().status(), 200);
        dev.terminate();
        assert!(dev.end().await.success(), "{}", dev.err());
        for name in [
            "tallygate-dev",
            "recordUsage",
            "grantCredits",
            "viewer",
            "operation",
            "transaction",
            "usage.drain",
            "/graphql",
        ] {
            assert!(collector.has(name), "no span tells of {name}");
        }
        // The caller's trace goes on: its id, and its span as the parent of ours.
        let bytes = |text: &str| hex::decode(text).unwrap();
        assert!(collector.has(bytes(trace)) && collector.has(bytes(parent)));
        for secret in ["acme-customer", "one-event", &client.key, "Private"] {
            assert!(!collector.has(secret), "a span tells of {secret}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_traced_that_is_not_sampled_and_a_collector_that_is_away_harms_nobody() {
    Stage::on_sqlite(async |stage| {
        let collector = Collector::start().await;
        let never = [
            ("TALLYGATE_OTLP_ENDPOINT", collector.url.as_str()),
            ("TALLYGATE_TRACE_SAMPLE_RATIO", "0"),
        ];
        let mut dev = stage.start_with(&["dev"], &never);
        let base = super::stage::base(&mut dev).await;
        let client = Client::new(&base, &super::stage::dev_key(&dev));
        client.ask("{ viewer { tenant { name } } }").await;
        dev.terminate();
        assert!(dev.end().await.success(), "{}", dev.err());
        assert!(!collector.has("viewer"));

        let away = [("TALLYGATE_OTLP_ENDPOINT", "http://127.0.0.1:9")];
        let mut dev = stage.start_with(&["dev"], &away);
        let base = super::stage::base(&mut dev).await;
        Client::new(&base, &client.key)
            .ask("{ viewer { tenant { name } } }")
            .await;
        dev.terminate();
        assert!(dev.end().await.success(), "{}", dev.err());
        let nonsense = [("TALLYGATE_OTLP_ENDPOINT", "no url at all")];
        let refused = stage.command_with(&["dev"], &nonsense).await;
        assert_eq!((refused.code, refused.err.lines().count()), (1, 1), "{refused:?}");
    })
    .await;
}

/// What must not be seen anywhere but where it was sent. Each input adds where it is, so that a leak tells its way.
const CANARY: &str = "canary7f3a9c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_is_seen_in_logs_jobs_or_errors_on_sqlite() {
    Stage::on_sqlite(nothing_that_is_sent_is_seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_is_seen_in_logs_jobs_or_errors_on_postgres() {
    Stage::on_postgres(nothing_that_is_sent_is_seen).await;
}

async fn nothing_that_is_sent_is_seen(stage: &Stage) {
    let key = format!("{CANARY}-bootstrap-0123456789-0123456789");
    let url = with_password(&stage.url, &format!("{CANARY}-password"));
    let secret = [
        ("TALLYGATE_DATABASE_URL", url.as_str()),
        ("TALLYGATE_BOOTSTRAP_KEY", key.as_str()),
        ("TALLYGATE_LOG", "debug"),
    ];
    // A file that is named has to have its folder.
    std::fs::create_dir_all(stage.dir.join("tallygate-data")).unwrap();
    let ended = stage.command_with(&["migrate"], &secret).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut api = stage.start_with(&["api"], &secret);
    let base = super::stage::base(&mut api).await;
    let mut worker = stage.start_with(&["worker"], &secret);
    let client = Client::new(&base, &key);
    let mut errors = send_canaries(&client).await;
    errors += &send_canaries_by_socket(&client).await;
    let import = import_canaries(stage, &secret).await;
    let jobs = job_rows(&stage.url).await;
    retry_by_command(stage, &secret).await;
    for process in [&mut api, &mut worker] {
        process.terminate();
        assert!(process.end().await.success(), "{}", process.err());
    }
    // The logs are those of a process that was looked into closely.
    assert!(
        api.err().contains("/graphql") && api.err().len() > 10_000,
        "{}",
        api.err()
    );
    for (place, text) in [
        ("the log of the API", api.err()),
        ("the log of the worker", worker.err()),
        ("the log of the import", import),
        ("errors", errors),
        ("job rows", jobs),
    ] {
        let leaks: Vec<_> = text
            .lines()
            .filter(|line| line.contains(CANARY))
            .take(5)
            .collect();
        assert!(leaks.is_empty(), "{place}: {leaks:#?}");
    }
}

fn with_password(url: &str, password: &str) -> String {
    if !url.starts_with("postgres") {
        return url.to_owned();
    }
    let mut url = url::Url::parse(url).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

/// Sends requests with something secret in every place, good ones and bad ones; answers the bodies of all errors.
async fn send_canaries(client: &Client) -> String {
    let price = r#"{perUnit: {creditsPerUnit: "9223372"}}"#;
    client.metric("call", price).await;
    client
        .change(&format!(
            r#"mutation {{ createCustomer(input: {{externalId: "{CANARY}-customer", name: "{CANARY}-name", idempotencyKey: "{CANARY}-key"}}) {{ customer {{ id }} userErrors {{ message }} }} }}"#
        ))
        .await;
    let mut usage = event(
        &format!("{CANARY}-customer"),
        "call",
        1,
        format!("{CANARY}-event"),
    );
    usage["properties"] = json!({ "note": format!("{CANARY}-property") });
    client.record(&[usage.clone()]).await;
    // Too dear to be rated: it is parked with its reason.
    usage["units"] = json!("9000000000000");
    usage["idempotencyKey"] = json!(format!("{CANARY}-dear"));
    client.record(&[usage]).await;
    until("the dear event is parked", async || {
        let data = client.ask("{ jobs { parked { nodes { id } } } }").await;
        (data["jobs"]["parked"]["nodes"].as_array()?.len() == 1).then_some(())
    })
    .await;

    let mut errors = String::new();
    let documents = [
        // A document is the caller's own, but a text in it may be anything.
        format!(r#"{{ customer(externalId: "{CANARY}-nobody") {{ id nonsense }} }}"#),
        format!("# {CANARY}-comment\n{{ nonsense }}"),
        format!(r#"{{ customer(externalId: "{CANARY}-syntax" {{ id }} }}"#),
        format!(r#"{{ pricePreview(metricKey: "{CANARY}-metric", units: "1") {{ credits }} }}"#),
        format!(
            r#"{{ entitlement(externalCustomerId: "{CANARY}-x", metricKey: "call", units: "1") {{ allowed }} }}"#
        ),
        format!(r#"{{ customers(after: "{CANARY}-cursor") {{ nodes {{ id }} }} }}"#),
        format!(r#"{{ node(id: "{CANARY}-id") {{ id }} }}"#),
    ];
    for document in &documents {
        let reply = client.reply(document).await;
        errors += &reply.body["errors"].to_string();
    }
    for events in [
        json!([{ "externalCustomerId": 7, "metricKey": format!("{CANARY}-m"), "units": "1", "idempotencyKey": "k" }]),
        json!([{ "externalCustomerId": "a", "metricKey": "call", "units": format!("{CANARY}-units"), "idempotencyKey": "k" }]),
        json!([{ "externalCustomerId": "a", "metricKey": "call", "units": "1", "idempotencyKey": format!("{CANARY}-\u{e9}") }]),
        json!([{ "externalCustomerId": format!("{CANARY}-c"), "metricKey": "call", "units": "1", "idempotencyKey": "k9" }]),
        json!(format!("{CANARY}-no-list")),
        json!([{ "externalCustomerId": { "a": format!("{CANARY}-object") }, "metricKey": "call", "units": "1" }]),
        json!([[format!("{CANARY}-nested")]]),
    ] {
        let reply = client
            .try_send(super::client::RECORD, json!({ "events": events }))
            .await
            .unwrap();
        errors += &reply.body["errors"].to_string();
    }
    // Values of enums, as variables.
    let grant = r#"mutation($source: BlockSource!) { grantCredits(input: {externalCustomerId: "a", credits: "1", source: $source, idempotencyKey: "g"}) { userErrors { message } } }"#;
    for variables in [
        json!({ "source": format!("{CANARY}-source") }),
        json!({ "source": [format!("{CANARY}-sources")] }),
    ] {
        errors += &client.try_send(grant, variables).await.unwrap().body.to_string();
    }
    let conflict = format!(
        r#"mutation {{ createCustomer(input: {{externalId: "{CANARY}-other", idempotencyKey: "{CANARY}-key"}}) {{ customer {{ id }} userErrors {{ code message }} }} }}"#
    );
    errors += &client.reply(&conflict).await.body.to_string();
    // Bodies, headers, methods and paths that are no requests at all.
    for body in [
        format!("{{\"query\": \"{CANARY}-broken"),
        format!("{CANARY}-body"),
        format!("\"{CANARY}-text\""),
        format!("{{\"query\": [\"{CANARY}-list\"]}}"),
        format!("{{\"query\": \"{{ nonsense }}\", \"operationName\": {{\"a\": \"{CANARY}-name\"}}}}"),
        format!("{{\"query\": \"{{ nonsense }}\", \"variables\": \"{CANARY}-variables\"}}"),
    ] {
        errors += &client.raw(body).await.body.to_string();
    }
    let strangers = [
        client.with_key(&format!("{CANARY}-token")).post(),
        client.post().header("x-secret", format!("{CANARY}-header")),
        client.post().header("cookie", format!("session={CANARY}-cookie")),
        client
            .post()
            .header("content-type", format!("text/{CANARY}-type")),
        client.post().header("traceparent", format!("00-{CANARY}-00-01")),
        client.get(&[("query", "{ nonsense }"), ("secret", &format!("{CANARY}-query"))]),
        client.get(&[("query", &format!("{{ a(b: \"{CANARY}-get\") }}"))]),
    ];
    for request in strangers {
        errors += &super::client::reply(request).await.unwrap().body["errors"].to_string();
    }
    get(&format!("{}/{CANARY}-path?{CANARY}-query", client.base)).await;
    errors
}

async fn send_canaries_by_socket(client: &Client) -> String {
    use super::listener::{Said, Socket};
    let mut socket = Socket::connect(client).await;
    socket
        .init(json!({ "authorization": format!("Bearer {CANARY}-socket") }))
        .await;
    let refused = format!("{:?}", socket.hear().await);
    let mut socket = Socket::open(client).await;
    let query = format!(
        r#"subscription {{ balanceUpdated(externalCustomerId: "{CANARY}-watched") {{ remaining }} }}"#
    );
    socket.subscribe("1", &query).await;
    match socket.hear().await {
        Said::Message(message) => format!("{refused}\n{}", message["payload"]),
        closed => format!("{refused}\n{closed:?}"),
    }
}

/// Imports a file with good and bad rows; answers what was logged.
async fn import_canaries(stage: &Stage, secret: &[(&str, &str)]) -> String {
    let file = stage.dir.join("usage.csv");
    let rows =
        format!("time,calls,note\n2026-03-01T00:00:00Z,1,{CANARY}-cell\n{CANARY}-time,{CANARY}-calls,x\n");
    std::fs::write(&file, rows).unwrap();
    let args = [
        "import",
        "usage",
        "usage.csv",
        "--customer",
        "nobody",
        "--time-column",
        "time",
        "--metric",
        "call=calls",
    ];
    stage.command_with(&args, secret).await.err
}

/// Who runs the process sees parked work of everybody, and retries it.
async fn retry_by_command(stage: &Stage, secret: &[(&str, &str)]) {
    let shown = stage.command_with(&["jobs"], secret).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown.out.contains("usage: ") && shown.out.contains("upkeep: 0 waiting"),
        "{shown:?}"
    );
    let line = shown.out.lines().find(|line| line.contains(" usage.customer "));
    let id = line
        .and_then(|line| line.split(' ').next())
        .expect("the work is shown");
    let retried = stage.command_with(&["jobs", "retry", id], secret).await;
    assert!(
        retried.code == 0 && retried.err.contains("is due again"),
        "{retried:?}"
    );
    let strange = stage.command_with(&["jobs", "retry", "nonsense"], secret).await;
    assert_eq!(strange.code, 2, "{strange:?}");
}

/// All that the rows of jobs say.
async fn job_rows(url: &str) -> String {
    use migration::sea_orm::ConnectionTrait;
    let db = app::db::Db::connect(url, 5, Duration::ZERO, |_| {})
        .await
        .unwrap();
    let mut seen = String::new();
    let (work, queue) = match db.backend() {
        app::db::Backend::Sqlite => (
            "SELECT kind || ' ' || subject || ' ' || COALESCE(error, '') AS said FROM work",
            "SELECT CAST(job AS TEXT) || ' ' || COALESCE(CAST(last_result AS TEXT), '') AS said FROM Jobs",
        ),
        app::db::Backend::Postgres => (
            "SELECT to_jsonb(w)::text AS said FROM work w",
            "SELECT to_jsonb(j)::text || ' ' || encode(j.job, 'escape') AS said FROM apalis.jobs j",
        ),
    };
    for sql in [work, queue] {
        let asked = migration::sea_orm::Statement::from_string(db.reader().get_database_backend(), sql);
        for row in db.reader().query_all_raw(asked).await.unwrap() {
            seen += &row.try_get::<String>("", "said").unwrap();
            seen += "\n";
        }
    }
    db.close().await;
    assert!(!seen.is_empty());
    seen
}
