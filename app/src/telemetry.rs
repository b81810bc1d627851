//! The names of everything that is measured: one line per metric, for code, documentation, dashboard and alerts alike.
//!
//! Code counts through the macros of the `metrics` crate with a name from here, for example
//! `metrics::counter!(telemetry::JOB_RUNS, "kind" => kind, "outcome" => "done").increment(1)`. Without a listener that shows them,
//! nothing is kept and a call costs a few nanoseconds.
//!
//! Labels have few values that are known beforehand: never a tenant, a customer, a metric key, an operation's own name, or a text that came
//! from outside. Every metric begins with `tallygate_`, and its name ends with its unit; counters end with `_total`.

/// Target of the spans that make up traces. They carry what was done and how long it took, and nothing that a caller sent.
pub const TRACE: &str = "trace";

/// What a metric is, and for distributions where its buckets end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations from microseconds: answers from memory.
    Quick,
    /// Durations from a millisecond: whatever asks a database.
    Slow,
    /// Numbers of things in a batch.
    Size,
}

impl Kind {
    /// Upper ends of the buckets, in the unit of the metric; none for counters and gauges.
    #[must_use]
    pub fn buckets(self) -> &'static [f64] {
        match self {
            Self::Counter | Self::Gauge => &[],
            Self::Quick => &[
                0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
                0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
            ],
            Self::Slow => &[
                0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                60.0,
            ],
            Self::Size => &[
                1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
            ],
        }
    }

    /// The word Prometheus has for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Quick | Self::Slow | Self::Size => "histogram",
        }
    }
}

/// A metric as it is documented.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name under which it is scraped.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The labels it may carry.
    pub labels: &'static [&'static str],
    /// What it says, for people.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[$group:meta])* $constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = concat!("tallygate_", $name);
        )*

        /// Every metric, grouped by what it speaks of.
        pub const ALL: &[Metric] = &[$(
            Metric { name: $constant, kind: Kind::$kind, labels: &[$($label),*], help: $help },
        )*];
    };
}

metrics! {
    BUILD_INFO Gauge "build_info" ["version", "backend"] "Always 1; tells which version runs on which database";
    READY Gauge "ready" [] "1 while the process is ready for work, else 0";
    READY_CHECK Gauge "ready_check" ["check"] "1 while this part of readiness is fine, else 0";

    REQUESTS Counter "http_requests_total" ["operation", "status"] "HTTP requests by the first field asked for (`none`: no operation was reached, `refused`: the document was not executed) and status";
    REQUEST_SECONDS Quick "http_request_seconds" ["operation"] "Time from the head of a request to the head of its answer, without live streams";
    REQUESTS_RUNNING Gauge "http_requests_running" [] "Requests under way, without live streams";
    ERRORS Counter "errors_total" ["code"] "Errors at the top of answers by code";
    USER_ERRORS Counter "user_errors_total" ["code"] "Mutations refused by a rule, by code";
    RATE_LIMITED Counter "rate_limited_total" ["limit"] "Requests refused because a rate was exceeded, by limit";
    SHED Counter "shed_total" ["reason"] "Requests refused because the process was too busy";
    SOCKETS Gauge "sockets" [] "Open WebSockets";
    SUBSCRIPTIONS Gauge "subscriptions" ["transport"] "Live subscriptions by transport";

    USAGE_EVENTS Counter "usage_events_total" ["outcome"] "Usage events by outcome: accepted, duplicate, conflict, rejected";
    USAGE_REJECTED Counter "usage_rejected_total" ["reason"] "Rejected usage events by reason";
    USAGE_COMMIT_EVENTS Size "usage_commit_events" [] "Usage events written by one commit";
    USAGE_COMMIT_SECONDS Slow "usage_commit_seconds" [] "Duration of one commit of usage events, from its transaction's beginning";
    USAGE_WAITING Gauge "usage_waiting_events" [] "Usage events in this process that wait to be written";

    CHECK_SECONDS Quick "check_seconds" ["source"] "Duration of one entitlement check by where its facts came from: hit (memory) or miss (database)";
    CHECKS Counter "checks_total" ["outcome"] "Entitlement checks by outcome: allowed, or the limit that refused";

    DRAINED_EVENTS Counter "drained_events_total" [] "Usage events debited";
    DRAIN_SECONDS Slow "drain_transaction_seconds" [] "Duration of one transaction of the drain";
    DRAIN_EVENTS Size "drain_transaction_events" [] "Usage events debited by one transaction of the drain";
    DRAIN_LAG Gauge "drain_lag_seconds" [] "Age of the oldest usage event that is accepted and not debited; 0 when none waits. Of all processes together";
    SHARDS_WAITING Gauge "drain_shards_waiting" [] "Shards, of 32, with usage that is not debited. Of all processes together";

    LANE_BACKLOG Gauge "lane_backlog" ["lane"] "Duties that wait in a lane, counted up to one million. Of all processes together";
    LANE_OLDEST Gauge "lane_oldest_age_seconds" ["lane"] "How long the oldest duty of a lane has waited. Of all processes together";
    LANE_JOBS Gauge "lane_jobs" ["lane", "state"] "Wake-ups in the queue: pending (counted up to 10,000) or running. Of all processes together";
    LANE_ALIVE Gauge "lane_alive" ["lane"] "1 while the fetch loop of a lane moves in this process, else 0";
    LANE_RESTARTS Gauge "lane_restarts" ["lane"] "How often the worker of a lane had to be started again in this process";
    JOB_RUNS Counter "job_runs_total" ["kind", "outcome"] "Runs of jobs: done, more (some is left), failed, idle (nothing to do), unknown, died (panicked or cut short)";
    JOB_SECONDS Slow "job_seconds" ["kind"] "Duration of one run of a job";
    JOBS_RUNNING Gauge "jobs_running" ["lane"] "Jobs that run in this process";
    PARKED_WORK Gauge "parked_work" ["kind"] "Work set aside until a person looks at it. Of all processes together";

    WEBHOOK_ATTEMPTS Counter "webhook_attempts_total" ["outcome"] "Attempts to deliver webhooks by what they came to: DELIVERED, REFUSED, GONE, or why there was no answer";
    MAILS Counter "mails_total" ["outcome"] "Attempts to send letters by what they came to: sent, later, failed";
    WEBHOOK_SECONDS Slow "webhook_attempt_seconds" [] "Duration of one attempt to deliver a webhook";

    AUDIT_VIOLATIONS Gauge "audit_violations" ["check"] "Violations of the books that are not resolved, by check. Of all processes together";
    AUDIT_AGE Gauge "audit_age_seconds" [] "Time since the last audit of what has changed ended. Of all processes together";

    TRANSACTIONS Counter "database_transactions_total" ["outcome"] "Writing transactions: committed or taken_back";
    TRANSACTION_SECONDS Slow "database_transaction_seconds" [] "Duration of writing transactions, from asking for a connection to the end";
    CONNECTION_WAIT Quick "database_connection_wait_seconds" [] "Wait of a writing transaction for its connection and its beginning";
    POOL_TIMEOUTS Counter "database_pool_timeouts_total" [] "How often no database connection became free in time";
    CONNECTIONS Gauge "database_connections" ["pool", "state"] "Database connections of this process: in_use or idle";
    CONNECTIONS_MAX Gauge "database_connections_max" ["pool"] "Most database connections that this process may open";

    FIGURES_AGE Gauge "figures_age_seconds" [] "Age of the figures that are read from the database (backlogs, parked work, audit)";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let names: HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is used twice");
        for metric in ALL {
            let name = metric.name;
            assert!(
                name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
                "{name}"
            );
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let timed = matches!(metric.kind, Kind::Quick | Kind::Slow);
            assert!(!timed || name.ends_with("_seconds"), "{name}");
            assert!(metric.kind.buckets().is_sorted(), "{name}");
        }
    }

    fn file(path: &str) -> String {
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// `TALLYGATE_BLESS=1 cargo test -p app telemetry` writes the list anew.
    #[test]
    fn the_list_of_metrics_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let mut text = DOCUMENT.to_owned();
        for metric in ALL {
            let (name, word, help) = (metric.name, metric.kind.word(), metric.help);
            let labels = metric.labels.join("`, `");
            let labels = if labels.is_empty() {
                labels
            } else {
                format!("`{labels}`")
            };
            text += &format!("| `{name}` | {word} | {labels} | {help} |\n");
        }
        if std::env::var_os("TALLYGATE_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let advice = "docs/metrics.md is out of date; run `TALLYGATE_BLESS=1 cargo test -p app telemetry`";
        assert!(file("docs/metrics.md") == text, "{advice}");
    }

    const DOCUMENT: &str = "# Metrics

Shown by every process at `/metrics` of its admin listener, in the text format of Prometheus. Histograms have `_bucket`, `_sum` and
`_count`. Figures \"of all processes together\" are read from the database, at most every five seconds, and every process shows the
same: take their `max`, not their sum. Beside these there are the usual `process_*` (memory, processor, files, start).

This list is written by a test from the names in the code.

| metric | type | labels | what it says |
|---|---|---|---|
";

    /// The words of a text that look like names of metrics.
    fn names(text: &str) -> HashSet<&str> {
        text.split(|sign: char| sign != '_' && !sign.is_ascii_alphanumeric())
            .filter(|word| word.starts_with("tallygate_"))
            .collect()
    }

    fn assert_known(place: &str, text: &str) {
        for name in names(text) {
            let known = ALL.iter().any(|metric| {
                let ends: &[&str] = if metric.kind.buckets().is_empty() {
                    &[""]
                } else {
                    &["_bucket", "_sum", "_count"]
                };
                ends.iter().any(|end| name.strip_suffix(end) == Some(metric.name))
            });
            assert!(known, "{place} asks for {name}, which nobody counts");
        }
    }

    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let text = file("deploy/grafana/tallygate.json");
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let asked: Vec<&str> = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
            .map(|target| target["expr"].as_str().unwrap())
            .collect();
        assert!(asked.len() > 40, "the dashboard has lost its panels");
        let all = asked.join("\n");
        assert_known("the dashboard", &all);
        for metric in ALL {
            assert!(
                all.contains(metric.name),
                "the dashboard does not show {}",
                metric.name
            );
        }
    }

    #[test]
    fn alerts_watch_what_there_is() {
        let text = file("deploy/prometheus/alerts.yml");
        let rules: Vec<&str> = text.split("- alert:").skip(1).collect();
        assert!(rules.len() >= 10, "alerts are missing");
        for rule in rules {
            assert_known("an alert", rule);
            let (_, expression) = rule.split_once("expr:").unwrap();
            assert!(
                names(expression).len() + expression.matches("up{").count() >= 1,
                "{rule}"
            );
        }
        for name in [READY, DRAIN_LAG, AUDIT_VIOLATIONS, PARKED_WORK, USAGE_WAITING] {
            assert!(text.contains(name), "nothing watches {name}");
        }
    }
}
