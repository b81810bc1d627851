//! One source of settings, as plain texts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::Value;

use super::settings::{ALL, Flags, Kind, Setting};
use crate::failure::{Failure, Outcome};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "tallygate.toml";

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
        for (setting, key, value) in flags.given() {
            if let Some(value) = value {
                layer.put(setting, value.clone(), format!("--{}", key.replace('_', "-")));
            }
        }
        layer
    }

    /// The settings in the environment. Empty variables count as absent, because container files often pass such.
    pub(super) fn of_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let mut layer = Self::default();
        for known in ALL {
            if let Some(value) = env(known.env).filter(|value| !value.is_empty()) {
                layer.put(known.setting, value, known.env);
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
            let Some(known) = ALL.iter().find(|known| known.key == name) else {
                let all: Vec<_> = ALL.iter().map(|known| known.key).collect();
                let all = all.join(", ");
                return Err(Failure::new(format!(
                    "{path} has an unknown key `{name}`; the keys are {all}"
                )));
            };
            let must = |be: &str| Failure::new(format!("`{name}` in {path} must be {be}"));
            let value = match (known.kind, value) {
                (Kind::Text, Value::String(text)) => text,
                (Kind::Number | Kind::Fraction, Value::Integer(number)) => number.to_string(),
                (Kind::Fraction, Value::Float(number)) => number.to_string(),
                (Kind::Text, _) => return Err(must("a text in quotes")),
                (Kind::Number, _) => return Err(must("a whole number")),
                (Kind::Fraction, _) => return Err(must("a number")),
            };
            layer.put(known.setting, value, format!("{name} in {path}"));
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
