//! Configuration: flags over environment over file over defaults.
//!
//! Every source is first read into a [`Layer`] of plain texts, so that all of them follow the same rules and every complaint
//! can say where the value came from. A complaint never shows a key.

mod door;
mod layer;
mod mail;
mod settings;
mod webhooks;

use std::{path::PathBuf, sync::Arc, time::Duration};

use app::{
    DEFAULT_EVENT_RETENTION_DAYS,
    access::MIN_BOOTSTRAP_KEY,
    db::{DEFAULT_POSTGRES_CONNECTIONS, redacted},
    gate::{Policy, Unsure},
    webhook::Root,
};
use domain::usage::limits::DEFAULT_BACK_DATE_DAYS;
use gateway::{
    mail::Post,
    payment::{
        Providers,
        guarded::{Guarded, Limits},
        stripe::{self, BadKey, Stripe},
    },
    public::PublicUrl,
    tax::{TaxRegister, vies::Vies},
    webhook::AddressPolicy,
};

pub(crate) use self::settings::Flags;
use self::{layer::Layer, settings::Setting};
use crate::{
    failure::{Failure, Outcome},
    logging::{DEFAULT_FILTER, Format},
};

/// Where `dev` and `api` listen: reachable from this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:4000";
/// Where the SQLite file and the key of `dev` are.
const DEFAULT_DATA_DIR: &str = "tallygate-data";
/// How long a database that is down is waited for, in seconds.
const DEFAULT_DATABASE_WAIT: u64 = 60;
/// Two of a process's connections only listen; with fewer than this nothing would be left to work with.
const MIN_POSTGRES_CONNECTIONS: u32 = 5;
/// Most connections that a PostgreSQL server could sensibly give to one process.
const MAX_POSTGRES_CONNECTIONS: u32 = 1_000;
/// Longest time to go on serving after a signal, in seconds. With the time for open requests it stays within a minute.
const MAX_SHUTDOWN_DELAY: u64 = 30;
/// How long `api` goes on serving after a signal, in seconds: load balancers that look every second have left.
const DEFAULT_SHUTDOWN_DELAY: u64 = 2;
/// Longest back-date limit, in days.
const MAX_BACK_DATE_DAYS: i64 = 365;
/// Fewest days that events are kept: longer than any message is tried.
const MIN_EVENT_RETENTION_DAYS: i64 = 7;
/// Most days that events are kept: ten years.
const MAX_EVENT_RETENTION_DAYS: i64 = 3_650;
/// Longest wait for a database, in seconds: a day.
const MAX_DATABASE_WAIT: u64 = 86_400;

/// How this process is set up. Holds secrets, therefore no `Debug`.
#[derive(Clone)]
pub(crate) struct Config {
    /// Which database.
    pub(crate) database_url: String,
    /// Where to listen.
    pub(crate) listen: String,
    /// Where operators look.
    pub(crate) admin_listen: AdminListen,
    /// Fixed first key.
    pub(crate) bootstrap_key: Option<String>,
    /// Folder for what `dev` keeps.
    pub(crate) data_dir: PathBuf,
    /// What to log.
    pub(crate) log: String,
    /// How to log; `None`: as suits the command.
    pub(crate) log_format: Option<Format>,
    /// Most connections to PostgreSQL.
    pub(crate) postgres_connections: u32,
    /// Web pages that may hold live connections besides our own; `*`: all.
    pub(crate) allowed_origins: Vec<String>,
    /// How long ago an event may have happened, in days.
    pub(crate) back_date_days: i64,
    /// How long to wait for a database that is down.
    pub(crate) database_wait: Duration,
    /// What the gate says when it does not know.
    pub(crate) gate: Policy,
    /// Payment providers besides the sandbox.
    pub(crate) providers: Providers,
    /// Who is asked whether tax numbers exist.
    pub(crate) tax_register: Option<Arc<dyn TaxRegister>>,
    /// How many days events are kept.
    pub(crate) event_retention_days: i64,
    /// Whom webhooks may be sent to; `None`: nobody has said.
    pub(crate) webhook_policy: Option<AddressPolicy>,
    /// Who takes letters away.
    pub(crate) post: Option<Arc<dyn Post>>,
    /// Where people reach the API.
    pub(crate) public_url: Option<PublicUrl>,
    /// What the secrets of webhook endpoints are derived from.
    pub(crate) webhook_root: Option<Root>,
    /// How long, how many, how often.
    pub(crate) limits: api::Limits,
    /// Where traces are sent.
    pub(crate) otlp_endpoint: Option<String>,
    /// Share of what is traced.
    pub(crate) trace_sample_ratio: f64,
    /// How long `api` goes on serving after a signal.
    pub(crate) shutdown_delay: Duration,
}

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdminListen {
    /// Nowhere.
    Off,
    /// At the usual port of the command, or at another one when that is taken.
    Usual,
    /// Exactly here.
    At(String),
}

impl Config {
    /// Limits of live connections.
    pub(crate) fn live(&self) -> api::LiveLimits {
        api::LiveLimits {
            origins: self.allowed_origins.clone(),
            ..api::LiveLimits::default()
        }
    }

    /// Reads all sources.
    ///
    /// # Errors
    /// A file that cannot be read or has unknown keys, or a value that is not allowed.
    pub(crate) fn load(flags: &Flags) -> Outcome<Self> {
        let env = |name: &str| std::env::var(name).ok();
        let file = layer::read_file(flags.config.as_deref(), env)?;
        Self::resolve(&[Layer::of_flags(flags), Layer::of_env(env), file])
    }

    /// Takes every setting from the first layer that has it.
    fn resolve(layers: &[Layer]) -> Outcome<Self> {
        let text = |key| layers.iter().find_map(|layer| layer.get(key));
        let or =
            |key, default: &str| text(key).map_or_else(|| default.to_owned(), |given| given.value.clone());
        let data_dir = PathBuf::from(or(Setting::DataDir, DEFAULT_DATA_DIR));
        let database_url = match text(Setting::DatabaseUrl) {
            Some(given) => given.value.clone(),
            None => sqlite_url(&data_dir.join("tallygate.db")),
        };
        let bootstrap_key = text(Setting::BootstrapKey);
        if let Some(given) = bootstrap_key {
            check_bootstrap_key(&given.value).map_err(|why| Failure::of(&given.source, why))?;
        }
        let wait = number(
            text(Setting::DatabaseWaitSeconds),
            0,
            MAX_DATABASE_WAIT,
            DEFAULT_DATABASE_WAIT,
        )?;
        let log_format = text(Setting::LogFormat)
            .map(|given| {
                given
                    .value
                    .parse::<Format>()
                    .map_err(|why| Failure::of(&given.source, why))
            })
            .transpose()?;
        let delay = number(
            text(Setting::ShutdownDelaySeconds),
            0,
            MAX_SHUTDOWN_DELAY,
            DEFAULT_SHUTDOWN_DELAY,
        )?;
        Ok(Self {
            database_url,
            listen: or(Setting::Listen, DEFAULT_LISTEN),
            admin_listen: match text(Setting::AdminListen).map(|given| given.value.as_str()) {
                None => AdminListen::Usual,
                Some("off") => AdminListen::Off,
                Some(address) => AdminListen::At(address.to_owned()),
            },
            bootstrap_key: bootstrap_key.map(|given| given.value.clone()),
            data_dir,
            log: or(Setting::Log, DEFAULT_FILTER),
            log_format,
            postgres_connections: number(
                text(Setting::PostgresConnections),
                MIN_POSTGRES_CONNECTIONS,
                MAX_POSTGRES_CONNECTIONS,
                DEFAULT_POSTGRES_CONNECTIONS,
            )?,
            allowed_origins: origins(text(Setting::AllowedOrigins))?,
            back_date_days: number(
                text(Setting::BackDateDays),
                1,
                MAX_BACK_DATE_DAYS,
                DEFAULT_BACK_DATE_DAYS,
            )?,
            database_wait: Duration::from_secs(wait),
            gate: Policy {
                unknown_customer: unsure(text(Setting::GateUnknownCustomer))?,
                outage: unsure(text(Setting::GateOutage))?,
            },
            tax_register: text(Setting::ViesUrl).map(tax_register).transpose()?,
            providers: providers(text)?,
            event_retention_days: number(
                text(Setting::EventRetentionDays),
                MIN_EVENT_RETENTION_DAYS,
                MAX_EVENT_RETENTION_DAYS,
                DEFAULT_EVENT_RETENTION_DAYS,
            )?,
            webhook_policy: webhooks::policy(text(Setting::WebhookAllow), text(Setting::WebhookPlainHttp))?,
            post: mail::post(text(Setting::SmtpUrl), text(Setting::MailFrom))?,
            public_url: text(Setting::PublicUrl).map(mail::public_url).transpose()?,
            webhook_root: webhooks::root(text(Setting::WebhookKey))?,
            limits: door::limits(text)?,
            otlp_endpoint: text(Setting::OtlpEndpoint).map(|given| given.value.clone()),
            trace_sample_ratio: text(Setting::TraceSampleRatio).map_or(Ok(1.0), ratio)?,
            shutdown_delay: Duration::from_secs(delay),
        })
    }

    /// The same for `dev`, which may send webhooks to this machine unless somebody has said whom to send them to.
    pub(crate) fn of_dev(&self) -> Self {
        let here = || AddressPolicy::parse(webhooks::HERE, true).unwrap_or_default();
        Self {
            webhook_policy: Some(self.webhook_policy.clone().unwrap_or_else(here)),
            ..self.clone()
        }
    }

    /// The database URL without its password.
    pub(crate) fn database_name(&self) -> String {
        redacted(&self.database_url)
    }
}

/// The URL of a SQLite file whose name may contain anything.
fn sqlite_url(path: &std::path::Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f");
    format!("sqlite:{path}")
}

/// The payment providers that are set up here. A complaint never shows a key.
fn providers<'a>(text: impl Fn(Setting) -> Option<&'a layer::Given>) -> Outcome<Providers> {
    let Some(key) = text(Setting::StripeSecretKey) else {
        return Ok(Providers::default());
    };
    let url = text(Setting::StripeUrl);
    let base = url.map_or(stripe::BASE_URL, |given| given.value.as_str());
    let account = Stripe::new(&key.value, base).map_err(|why| {
        let to_blame = url.filter(|_| why == BadKey::NotSealed).unwrap_or(key);
        Failure::of(&to_blame.source, why.to_string())
    })?;
    let notices = text(Setting::StripeNoticeSecrets);
    let secrets = notices.map_or("", |given| given.value.as_str()).split(',');
    let secrets = secrets.map(|secret| secret.trim().to_owned()).collect();
    let mut account = account.with_notices(secrets);
    if let Some(back) = text(Setting::StripeReturnUrl) {
        let why = "an address that begins with https:// or http://";
        let url = stripe::return_url(&back.value).ok_or_else(|| Failure::of(&back.source, why.to_owned()))?;
        account = account.with_return_url(url);
    }
    let account = Guarded::new(account, Limits::default());
    Ok(Providers::default().with(stripe::KEY, account))
}

/// The register of tax numbers at an address.
fn tax_register(url: &layer::Given) -> Outcome<Arc<dyn TaxRegister>> {
    let vies = Vies::new(&url.value).map_err(|why| Failure::of(&url.source, why.to_string()))?;
    Ok(Arc::new(vies))
}

fn check_bootstrap_key(key: &str) -> Result<(), String> {
    if key.len() >= MIN_BOOTSTRAP_KEY && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!(
            "the bootstrap key must have {MIN_BOOTSTRAP_KEY} or more visible ASCII characters"
        ))
    }
}

fn ratio(given: &layer::Given) -> Outcome<f64> {
    match given.value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(Failure::new(format!(
            "{}: `{}` is not a number from 0 to 1",
            given.source, given.value
        ))),
    }
}

fn unsure(given: Option<&layer::Given>) -> Outcome<Unsure> {
    match given.map(|given| given.value.as_str()) {
        None => Ok(Unsure::default()),
        Some("refuse") => Ok(Unsure::Refuse),
        Some("allow") => Ok(Unsure::Allow),
        Some(other) => {
            let source = given.map_or("", |given| given.source.as_str());
            Err(Failure::new(format!(
                "{source}: `{other}` is neither `refuse` nor `allow`"
            )))
        }
    }
}

/// A list of origins as browsers send them, separated by commas.
fn origins(given: Option<&layer::Given>) -> Outcome<Vec<String>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let list: Vec<String> = given
        .value
        .split(',')
        .map(|origin| origin.trim().to_owned())
        .collect();
    let bare = |origin: &str| {
        origin.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' '])
        })
    };
    match list.iter().find(|origin| *origin != "*" && !bare(origin)) {
        None => Ok(list),
        Some(bad) => Err(Failure::new(format!(
            "{}: `{bad}` is no origin; write `https://console.example`, without a path, or `*`",
            given.source
        ))),
    }
}

fn number<N: Copy + Ord + std::fmt::Display + std::str::FromStr>(
    given: Option<&layer::Given>,
    least: N,
    most: N,
    default: N,
) -> Outcome<N> {
    let Some(given) = given else { return Ok(default) };
    match given.value.parse::<N>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Failure::new(format!(
            "{}: `{}` is not a whole number from {least} to {most}",
            given.source, given.value
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn resolve(flags: &Flags, env: &[(&str, &str)], file: &str) -> Result<Config, String> {
        let lookup = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let file = Layer::of_file(file, Path::new("tallygate.toml")).map_err(|why| why.to_string())?;
        Config::resolve(&[Layer::of_flags(flags), Layer::of_env(lookup), file]).map_err(|why| why.to_string())
    }

    #[test]
    fn flags_over_environment_over_file_over_defaults() {
        let flags = Flags {
            listen: Some("flag:1".to_owned()),
            ..Flags::default()
        };
        let env = [("TALLYGATE_LISTEN", "env:2"), ("TALLYGATE_BACK_DATE_DAYS", "7")];
        let file = "listen = 'file:3'\nback_date_days = 8\npostgres_connections = 9";
        let config = resolve(&flags, &env, file).unwrap();
        assert_eq!(config.listen, "flag:1");
        assert_eq!(config.back_date_days, 7);
        assert_eq!(config.postgres_connections, 9);
        assert_eq!(config.database_wait, Duration::from_secs(60));
        assert_eq!(config.database_url, "sqlite:tallygate-data/tallygate.db");
    }

    #[test]
    fn a_ratio_may_have_a_decimal_point() {
        for (file, ratio) in [
            ("", 1.0),
            ("trace_sample_ratio = 0.25", 0.25),
            ("trace_sample_ratio = 0", 0.0),
        ] {
            let config = resolve(&Flags::default(), &[], file).unwrap();
            assert!((config.trace_sample_ratio - ratio).abs() < 1e-9, "{file}");
        }
        for bad in ["1.5", "-1", "NaN", "half"] {
            let complaint = resolve(&Flags::default(), &[("TALLYGATE_TRACE_SAMPLE_RATIO", bad)], "");
            assert!(
                complaint.err().is_some_and(|why| why.contains("from 0 to 1")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_public_address_is_one_that_paths_go_on_from() {
        let given = |text| {
            let config = resolve(&Flags::default(), &[("TALLYGATE_PUBLIC_URL", text)], "")?;
            Ok::<_, String>(config.public_url.map(|url| url.of("/documents/a")))
        };
        let wanted = "https://bills.example/documents/a".to_owned();
        assert_eq!(given("https://bills.example/"), Ok(Some(wanted)));
        for text in ["bills.example", "https://bills.example/?a=1"] {
            let complaint = given(text).unwrap_err();
            assert!(complaint.contains("TALLYGATE_PUBLIC_URL"), "{complaint}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let config = resolve(
            &Flags::default(),
            &[("TALLYGATE_LISTEN", "")],
            "listen = 'file:3'",
        )
        .unwrap();
        assert_eq!(config.listen, "file:3");
    }

    #[test]
    fn limits_of_the_listener_are_settings() {
        let env = [
            ("TALLYGATE_QUERY_TIMEOUT_SECONDS", "3"),
            ("TALLYGATE_USAGE_RATE", "0"),
            ("TALLYGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ];
        let limits = resolve(&Flags::default(), &env, "max_in_flight = 7")
            .unwrap()
            .limits;
        assert_eq!((limits.query, limits.in_flight), (Duration::from_secs(3), 7));
        assert_eq!((limits.rates.usage, limits.proxies.len()), (0, 2));
        for (name, bad) in [
            ("TALLYGATE_MAX_IN_FLIGHT", "0"),
            ("TALLYGATE_TRUSTED_PROXIES", "proxy.example"),
            ("TALLYGATE_READ_RATE", "-1"),
        ] {
            let complaint = resolve(&Flags::default(), &[(name, bad)], "").err().unwrap();
            assert!(complaint.contains(name) && complaint.contains(bad), "{complaint}");
        }
    }

    #[test]
    fn the_database_is_in_the_data_folder() {
        let config = resolve(&Flags::default(), &[("TALLYGATE_DATA_DIR", "/x/100%?")], "").unwrap();
        assert_eq!(config.database_url, "sqlite:/x/100%25%3f/tallygate.db");
    }

    #[test]
    fn complaints_say_where_the_value_is() {
        for (env, file, words) in [
            (
                &[("TALLYGATE_BACK_DATE_DAYS", "many")][..],
                "",
                "TALLYGATE_BACK_DATE_DAYS",
            ),
            (
                &[],
                "postgres_connections = 1",
                "postgres_connections in tallygate.toml",
            ),
            (
                &[],
                "\nlisten = 4000",
                "`listen` in tallygate.toml must be a text",
            ),
            (
                &[("TALLYGATE_GATE_OUTAGE", "maybe")],
                "",
                "neither `refuse` nor `allow`",
            ),
            (&[], "listen = 'x'\nlisten = 'y'", "line 2"),
            (
                &[],
                "[listen]\na = 1",
                "`listen` in tallygate.toml must be a text",
            ),
        ] {
            let complaint = resolve(&Flags::default(), env, file).err().unwrap();
            assert!(complaint.contains(words), "{complaint}");
        }
    }

    #[test]
    fn a_bad_key_of_a_provider_is_never_shown() {
        let secret = "sk_wrong_verysecret";
        for env in [
            vec![("TALLYGATE_STRIPE_SECRET_KEY", secret)],
            vec![
                ("TALLYGATE_STRIPE_SECRET_KEY", "sk_test_verysecret"),
                ("TALLYGATE_STRIPE_URL", "http://example.com"),
            ],
            vec![
                ("TALLYGATE_STRIPE_SECRET_KEY", "sk_test_verysecret"),
                ("TALLYGATE_STRIPE_RETURN_URL", "javascript:alert(1)"),
            ],
        ] {
            let complaint = resolve(&Flags::default(), &env, "").err().unwrap();
            assert!(!complaint.contains("verysecret"), "{complaint}");
            let (variable, _) = env.last().unwrap();
            assert!(complaint.contains(variable), "{complaint}");
        }
        let good = [("TALLYGATE_STRIPE_SECRET_KEY", "sk_test_verysecret")];
        let config = resolve(&Flags::default(), &good, "").unwrap();
        assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["stripe"]);
    }

    #[test]
    fn origins_are_bare() {
        let env = [(
            "TALLYGATE_ALLOWED_ORIGINS",
            "https://a.example, http://b.example:81,*",
        )];
        let config = resolve(&Flags::default(), &env, "").unwrap();
        assert_eq!(
            config.allowed_origins,
            ["https://a.example", "http://b.example:81", "*"]
        );
        for bad in [
            "a.example",
            "https://a.example/",
            "https://",
            "https://a.example,",
        ] {
            let complaint = resolve(&Flags::default(), &[("TALLYGATE_ALLOWED_ORIGINS", bad)], "");
            assert!(
                complaint.err().is_some_and(|why| why.contains("is no origin")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_bad_bootstrap_key_is_never_shown() {
        for bad in [
            "short-secret",
            "0123456789abcdef 0123456789abcdef",
            "0123456789abcdéf0123456789abcdef",
        ] {
            for (env, file) in [
                (vec![("TALLYGATE_BOOTSTRAP_KEY", bad)], String::new()),
                (vec![], format!("bootstrap_key = '{bad}'")),
                (vec![], format!("bootstrap_key = {bad}")),
                (vec![], format!("bootstrap_key = '{bad}")),
            ] {
                let complaint = resolve(&Flags::default(), &env, &file).err().unwrap();
                assert!(!complaint.contains(bad), "{complaint}");
            }
        }
        let complaint = resolve(&Flags::default(), &[], "bootstrap_key = 123456")
            .err()
            .unwrap();
        assert!(!complaint.contains("123456"), "{complaint}");
        let config = resolve(&Flags::default(), &[("TALLYGATE_BOOTSTRAP_KEY", KEY)], "").unwrap();
        assert_eq!(config.bootstrap_key.as_deref(), Some(KEY));
    }
}
