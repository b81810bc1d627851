//! Every setting, one line each: its flag, its variable, its key in files, and what is said about it.
//!
//! To add one: a line here, a field of `Config` with its bounds, and a row in the README (a test insists).

use std::path::PathBuf;

use clap::Args;

/// What a value is in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In quotes.
    Text,
    /// Whole.
    Number,
    /// With or without a decimal point.
    Fraction,
}

/// What is known of a setting before anybody has given it a value.
pub(super) struct Known {
    pub(super) setting: Setting,
    /// Its key in files.
    pub(super) key: &'static str,
    /// Its variable in the environment.
    pub(super) env: &'static str,
    pub(super) kind: Kind,
}

macro_rules! settings {
    (
        with flag {
            $($variant:ident $key:ident $env:literal $kind:ident <$value:literal> $help:literal [$default:literal];)*
        }
        without flag {
            $($hidden:ident $hidden_key:ident $hidden_env:literal $hidden_kind:ident;)*
        }
    ) => {
        /// Settings that every command takes.
        #[derive(Args, Default)]
        #[command(next_help_heading = "Settings")]
        pub(crate) struct Flags {
            /// Configuration file [env: TALLYGATE_CONFIG] [default: ./tallygate.toml if it is there]
            #[arg(long, global = true, value_name = "FILE")]
            pub(crate) config: Option<PathBuf>,
            $(
                #[arg(long, global = true, value_name = $value,
                    help = concat!($help, " [env: ", $env, "] [default: ", $default, "]"))]
                pub(crate) $key: Option<String>,
            )*
        }

        impl Flags {
            /// Each setting that has a flag, with its key and what was typed.
            pub(super) fn given(&self) -> Vec<(Setting, &'static str, Option<&String>)> {
                vec![$((Setting::$variant, stringify!($key), self.$key.as_ref()),)*]
            }
        }

        /// One setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Setting {
            $($variant,)*
            $($hidden,)*
        }

        /// All of them.
        pub(super) const ALL: &[Known] = &[
            $(Known { setting: Setting::$variant, key: stringify!($key), env: $env, kind: Kind::$kind },)*
            $(Known { setting: Setting::$hidden, key: stringify!($hidden_key), env: $hidden_env, kind: Kind::$hidden_kind },)*
        ];
    };
}

settings! {
    with flag {
        DatabaseUrl database_url "TALLYGATE_DATABASE_URL" Text <"URL">
            "`sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`" ["tallygate.db in the data folder"];
        Listen listen "TALLYGATE_LISTEN" Text <"ADDRESS">
            "Address and port that `dev` and `api` listen on" ["127.0.0.1:4000"];
        AdminListen admin_listen "TALLYGATE_ADMIN_LISTEN" Text <"ADDRESS">
            "Address and port of /metrics, /healthz and /readyz for operators, in `dev`, `api` and `worker`; `off` for none"
            ["127.0.0.1:4001, for `worker` 127.0.0.1:4002, or any free port when that one is taken; the log tells"];
        DataDir data_dir "TALLYGATE_DATA_DIR" Text <"FOLDER">
            "Folder for the SQLite file and the key of `dev`" ["./tallygate-data"];
        Log log "TALLYGATE_LOG" Text <"FILTER">
            "What to log, to standard error, such as `debug` or `warn,app=debug`"
            ["our own parts from `info`, others from `warn`"];
        LogFormat log_format "TALLYGATE_LOG_FORMAT" Text <"FORMAT">
            "How to log: `text` for people, `json` with one object per line for machines"
            ["`json` for `api` and `worker` when standard error is no terminal, else `text`"];
        PostgresConnections postgres_connections "TALLYGATE_POSTGRES_CONNECTIONS" Number <"NUMBER">
            "Most connections of this process to PostgreSQL" ["12"];
        BackDateDays back_date_days "TALLYGATE_BACK_DATE_DAYS" Number <"DAYS">
            "How many days ago a usage event may have happened" ["35"];
        DatabaseWaitSeconds database_wait_seconds "TALLYGATE_DATABASE_WAIT_SECONDS" Number <"SECONDS">
            "How long to wait for a database that is down, in seconds" ["60"];
        OtlpEndpoint otlp_endpoint "TALLYGATE_OTLP_ENDPOINT" Text <"URL">
            "OpenTelemetry collector that traces are sent to over HTTP, such as http://127.0.0.1:4318; it may want headers, which are taken from OTEL_EXPORTER_OTLP_HEADERS" ["none"];
        TraceSampleRatio trace_sample_ratio "TALLYGATE_TRACE_SAMPLE_RATIO" Fraction <"RATIO">
            "Share of requests and jobs that are traced, 0 to 1, unless a caller's `traceparent` has decided" ["1"];
        ShutdownDelaySeconds shutdown_delay_seconds "TALLYGATE_SHUTDOWN_DELAY_SECONDS" Number <"SECONDS">
            "How long `api` goes on serving after SIGTERM while /readyz says 503, so that load balancers leave first" ["2"];
    }
    without flag {
        // Other users of the machine can see flags.
        BootstrapKey bootstrap_key "TALLYGATE_BOOTSTRAP_KEY" Text;
        MaxConnections max_connections "TALLYGATE_MAX_CONNECTIONS" Number;
        MaxInFlight max_in_flight "TALLYGATE_MAX_IN_FLIGHT" Number;
        HeaderTimeoutSeconds header_timeout_seconds "TALLYGATE_HEADER_TIMEOUT_SECONDS" Number;
        BodyTimeoutSeconds body_timeout_seconds "TALLYGATE_BODY_TIMEOUT_SECONDS" Number;
        IdleTimeoutSeconds idle_timeout_seconds "TALLYGATE_IDLE_TIMEOUT_SECONDS" Number;
        QueryTimeoutSeconds query_timeout_seconds "TALLYGATE_QUERY_TIMEOUT_SECONDS" Number;
        MutationTimeoutSeconds mutation_timeout_seconds "TALLYGATE_MUTATION_TIMEOUT_SECONDS" Number;
        UsageRate usage_rate "TALLYGATE_USAGE_RATE" Number;
        CheckRate check_rate "TALLYGATE_CHECK_RATE" Number;
        WriteRate write_rate "TALLYGATE_WRITE_RATE" Number;
        ReadRate read_rate "TALLYGATE_READ_RATE" Number;
        TokenRate token_rate "TALLYGATE_TOKEN_RATE" Number;
        FailedAuthenticationsPerMinute failed_authentications_per_minute
            "TALLYGATE_FAILED_AUTHENTICATIONS_PER_MINUTE" Number;
        TrustedProxies trusted_proxies "TALLYGATE_TRUSTED_PROXIES" Text;
        AllowedOrigins allowed_origins "TALLYGATE_ALLOWED_ORIGINS" Text;
        GateUnknownCustomer gate_unknown_customer "TALLYGATE_GATE_UNKNOWN_CUSTOMER" Text;
        GateOutage gate_outage "TALLYGATE_GATE_OUTAGE" Text;
        // Secret, as the first key is.
        StripeSecretKey stripe_secret_key "TALLYGATE_STRIPE_SECRET_KEY" Text;
        StripeUrl stripe_url "TALLYGATE_STRIPE_URL" Text;
        StripeReturnUrl stripe_return_url "TALLYGATE_STRIPE_RETURN_URL" Text;
        EventRetentionDays event_retention_days "TALLYGATE_EVENT_RETENTION_DAYS" Number;
        WebhookAllow webhook_allow "TALLYGATE_WEBHOOK_ALLOW" Text;
        WebhookPlainHttp webhook_plain_http "TALLYGATE_WEBHOOK_PLAIN_HTTP" Text;
        PublicUrl public_url "TALLYGATE_PUBLIC_URL" Text;
        // The address of the server may carry a password.
        SmtpUrl smtp_url "TALLYGATE_SMTP_URL" Text;
        MailFrom mail_from "TALLYGATE_MAIL_FROM" Text;
        // Secret, too.
        WebhookKey webhook_key "TALLYGATE_WEBHOOK_KEY" Text;
        ViesUrl vies_url "TALLYGATE_VIES_URL" Text;
        // Secret, too.
        StripeNoticeSecrets stripe_notice_secrets "TALLYGATE_STRIPE_NOTICE_SECRETS" Text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_the_keys_in_capitals() {
        for known in ALL {
            assert_eq!(known.env, format!("TALLYGATE_{}", known.key.to_uppercase()));
        }
    }

    #[test]
    fn every_setting_is_in_the_readme() {
        let readme = include_str!("../../README.md");
        for known in ALL {
            let row = format!("| `{}` | `{}` |", known.env, known.key);
            assert!(readme.contains(&row), "no row begins with {row}");
        }
    }
}
