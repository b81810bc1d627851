//! One source of settings, as plain texts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::Value;

use crate::{
    cli::Flags,
    failure::{Failure, Outcome},
};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "tallygate.toml";

macro_rules! keys {
    ($($variant:ident $file:literal $env:literal $kind:ident;)*) => {
        /// One setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Setting {
            $($variant,)*
        }

        /// Every setting with its key in files, its variable, and what it is in files.
        const KEYS: &[(Setting, &str, &str, Kind)] = &[$((Setting::$variant, $file, $env, Kind::$kind)),*];
    };
}

keys! {
    DatabaseUrl "database_url" "TALLYGATE_DATABASE_URL" Text;
    Listen "listen" "TALLYGATE_LISTEN" Text;
    BootstrapKey "bootstrap_key" "TALLYGATE_BOOTSTRAP_KEY" Text;
    DataDir "data_dir" "TALLYGATE_DATA_DIR" Text;
    Log "log" "TALLYGATE_LOG" Text;
    PostgresConnections "postgres_connections" "TALLYGATE_POSTGRES_CONNECTIONS" Number;
    AllowedOrigins "allowed_origins" "TALLYGATE_ALLOWED_ORIGINS" Text;
    BackDateDays "back_date_days" "TALLYGATE_BACK_DATE_DAYS" Number;
    DatabaseWaitSeconds "database_wait_seconds" "TALLYGATE_DATABASE_WAIT_SECONDS" Number;
}

/// What a value is in files.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
}

/// A value and where it is written.
pub(super) struct Given {
    pub(super) value: String,
    pub(super) source: String,
}

/// The settings of one source.
#[derive(Default)]
pub(super) struct Layer(BTreeMap<Setting, Given>);

impl Layer {
    pub(super) fn get(&self, key: Setting) -> Option<&Given> {
        self.0.get(&key)
    }

    fn put(&mut self, key: Setting, value: String, source: impl Into<String>) {
        let source = source.into();
        self.0.insert(key, Given { value, source });
    }

    /// The settings on the command line.
    pub(super) fn of_flags(flags: &Flags) -> Self {
        let mut layer = Self::default();
        for (key, name, value) in [
            (Setting::DatabaseUrl, "--database-url", &flags.database_url),
            (Setting::Listen, "--listen", &flags.listen),
            (Setting::DataDir, "--data-dir", &flags.data_dir),
            (Setting::Log, "--log", &flags.log),
            (
                Setting::PostgresConnections,
                "--postgres-connections",
                &flags.postgres_connections,
            ),
            (Setting::BackDateDays, "--back-date-days", &flags.back_date_days),
            (
                Setting::DatabaseWaitSeconds,
                "--database-wait-seconds",
                &flags.database_wait_seconds,
            ),
        ] {
            if let Some(value) = value {
                layer.put(key, value.clone(), name);
            }
        }
        layer
    }

    /// The settings in the environment. Empty variables count as absent, because container files often pass such.
    pub(super) fn of_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let mut layer = Self::default();
        for (key, _, name, _) in KEYS {
            if let Some(value) = env(name).filter(|value| !value.is_empty()) {
                layer.put(*key, value, *name);
            }
        }
        layer
    }

    /// The settings in a file.
    ///
    /// # Errors
    /// No TOML, an unknown key, or a value of the wrong kind. Says where, but shows no value: it could be a secret.
    pub(super) fn of_file(text: &str, path: &Path) -> Outcome<Self> {
        let path = path.display();
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            Failure::new(format!("{path} is not valid TOML at line {line}"))
        })?;
        let mut layer = Self::default();
        for (name, value) in table {
            let Some((key, _, _, kind)) = KEYS.iter().find(|(_, known, ..)| *known == name) else {
                let all: Vec<_> = KEYS.iter().map(|(_, known, ..)| *known).collect();
                let all = all.join(", ");
                return Err(Failure::new(format!(
                    "{path} has an unknown key `{name}`; the keys are {all}"
                )));
            };
            let value = match (kind, value) {
                (Kind::Text, Value::String(text)) => text,
                (Kind::Number, Value::Integer(number)) => number.to_string(),
                (Kind::Text, _) => {
                    return Err(Failure::new(format!(
                        "`{name}` in {path} must be a text in quotes"
                    )));
                }
                (Kind::Number, _) => {
                    return Err(Failure::new(format!("`{name}` in {path} must be a whole number")));
                }
            };
            layer.put(*key, value, format!("{name} in {path}"));
        }
        Ok(layer)
    }
}

/// The settings of the file that was named, or of the usual one if it is there.
///
/// # Errors
/// A named file that cannot be read, or see [`Layer::of_file`].
pub(super) fn read_file(flag: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Outcome<Layer> {
    let named = flag.map(Path::to_owned).or_else(|| {
        let name = env("TALLYGATE_CONFIG").filter(|name| !name.is_empty())?;
        Some(PathBuf::from(name))
    });
    let path = match named {
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok(Layer::default()),
    };
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::of(
            format_args!("the configuration file {} cannot be read", path.display()),
            error,
        )
    })?;
    Layer::of_file(&text, &path)
}
