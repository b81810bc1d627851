//! The key of `tallygate dev`: made on the first run, kept in a file that only its owner can read.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use app::{
    App, Scope,
    access::{self, DEFAULT_TENANT},
};

use crate::{
    config::Config,
    failure::{Failure, Outcome},
    keys,
};

/// Name of the file in the data folder.
const FILE: &str = "dev-key";

/// The key that the greeting shows: the configured one, or the kept one if it still works, or a new one.
///
/// # Errors
/// The database is out of reach, or the file cannot be read or written.
pub(crate) async fn obtain(config: &Config, app: &App) -> Outcome<String> {
    if let Some(key) = &config.bootstrap_key {
        if !keys::bootstrap(app, key).await? {
            return Err(Failure::new(
                "the bootstrap key does not work here: configure another one, or none",
            ));
        }
        return Ok(key.clone());
    }
    let file = config.data_dir.join(FILE);
    let trouble =
        |error: io::Error| Failure::of(format_args!("the file {} cannot be kept", file.display()), error);
    let (tenant, _) = access::ensure_tenant(app, DEFAULT_TENANT, None).await?;
    if let Some(key) = read(&file).map_err(trouble)?
        && let Some(actor) = access::authenticate(app, &key).await?
        && actor.tenant == tenant.id
    {
        return Ok(key);
    }
    let made = keys::new_key(app, &tenant, "dev".to_owned(), Scope::ALL).await?;
    let key = made.secret.unwrap_or_default();
    write(&file, &key).map_err(trouble)?;
    Ok(key)
}

fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => {
            fs::set_permissions(file, Permissions::from_mode(0o600))?;
            Ok(Some(text.trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes beside and renames, so that the file is never half written and never readable by others.
fn write(file: &Path, key: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let mut fresh = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    fresh.write_all(format!("{key}\n").as_bytes())?;
    fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_for_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("tallygate-dev-key-{}", std::process::id()));
        let file = folder.join(FILE);
        assert_eq!(read(&file).unwrap(), None);
        for key in ["first", "second"] {
            write(&file, key).unwrap();
            assert_eq!(read(&file).unwrap().as_deref(), Some(key));
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
