//! Listening to providers: what they told and was lost on the way is asked for, and after a restore nothing is charged before what they
//! know has been compared.

use domain::{id::PaymentId, time::Timestamp};

use super::{
    method::provider,
    notice,
    store::{self, Watch},
};
use crate::{
    App,
    error::{Error, Result},
    op::Op,
};

/// How often a provider is asked what was missed, in seconds.
const PAUSE_SECONDS: i64 = 3_600;
/// The same while nothing is charged, and while something is missing up to the last time.
const SOON_SECONDS: i64 = 60;
/// How far before the last time is asked, in seconds: clocks differ, and lists lag behind.
const OVERLAP_SECONDS: i64 = 1_800;

fn is_due(watch: &Watch, now: Timestamp) -> bool {
    let pause = match watch.safe_since {
        None if was_all(watch) => PAUSE_SECONDS,
        _ => SOON_SECONDS,
    };
    now.seconds_since(watch.asked_at) >= pause
}

/// Whether nothing is missing up to when a provider was last asked.
fn was_all(watch: &Watch) -> bool {
    watch.heard_until >= watch.asked_at
}

/// Providers that are to be asked what was missed.
pub(crate) async fn due(app: &App) -> Result<Vec<String>> {
    let watches = store::watches(app.db().reader()).await?;
    let now = app.now();
    let keys = app.providers().keys();
    let due = keys.filter(|key| {
        let watch = watches.iter().find(|watch| watch.provider == *key);
        watch.is_none_or(|watch| is_due(watch, now))
    });
    Ok(due.map(str::to_owned).collect())
}

/// Asks a provider what has happened since it was last asked, and keeps what was missed. A provider that does not answer, or could not tell all
/// of it, is asked later for the rest.
pub(crate) async fn listen(app: &App, key: &str) -> Result<()> {
    let known = store::watch_of(app.db().reader(), key).await?;
    let now = app.now();
    let since = match &known {
        // Not once more for each part: a list that is long would never come to its end.
        Some(watch) if !was_all(watch) => watch.heard_until,
        Some(watch) => watch.heard_until.plus_seconds(-OVERLAP_SECONDS),
        None => now.plus_seconds(-OVERLAP_SECONDS),
    };
    let heard_until = match provider(app, key)?.notices_since(since, now).await {
        Ok(told) => {
            notice::keep(app, key, &told.notices).await?;
            told.until
        }
        Err(trouble) => {
            tracing::warn!(provider = key, %trouble, "what a payment provider has told is not known");
            since
        }
    };
    let watch = Watch {
        provider: key.to_owned(),
        heard_until,
        asked_at: now,
        safe_since: None,
    };
    let op = Op::begin(app).await?;
    store::write_watch(&op, &watch, known.as_ref()).await?;
    op.commit().await
}

/// Whether nothing may be charged through a provider. One statement.
pub(super) async fn is_safe(app: &App, key: &str) -> Result<bool> {
    let watch = store::watch_of(app.db().reader(), key).await?;
    Ok(watch.is_some_and(|watch| watch.safe_since.is_some()))
}

/// How safe mode stands with a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeMode {
    /// Key of the provider.
    pub provider: String,
    /// Since when something may be missing here.
    pub since: Timestamp,
    /// Whether all that the provider knows of since then has been compared.
    pub is_compared: bool,
    /// Payments that the provider knows by a name of ours, and that are not here.
    pub strangers: Vec<PaymentId>,
}

/// Charges nothing more, because what happened since an instant may be missing here, as after a restore. Everything is asked about all
/// the same. Three statements, and two per provider; every payment that has not ended is asked about,
/// also one that was not sent as far as is known here. Answers with the keys of the providers: those that this process knows, and those that
/// are in the rows, since others may know them.
///
/// # Errors
/// The database is out of reach.
pub async fn begin_safe_mode(app: &App, since: Timestamp) -> Result<Vec<String>> {
    let op = Op::begin(app).await?;
    let mut keys = store::providers(op.tx()).await?;
    keys.extend(app.providers().keys().map(str::to_owned));
    for key in &keys {
        store::write_safe(&op, key, Some(since)).await?;
        store::hasten_all(&op, key).await?;
    }
    op.commit().await?;
    Ok(keys.into_iter().collect())
}

/// How it stands with each provider that charges nothing.
///
/// # Errors
/// The database is out of reach.
pub async fn safe_mode(app: &App) -> Result<Vec<SafeMode>> {
    let db = app.db().reader();
    let mut all = Vec::new();
    for watch in store::watches(db).await? {
        let Some(since) = watch.safe_since else { continue };
        let new = store::count_new(db, &watch.provider).await?;
        let unasked = store::count_unasked(db, &watch.provider).await?;
        all.push(SafeMode {
            since,
            // It was asked since safe mode began, has answered, and everything was followed up.
            is_compared: was_answered(&watch) && new == 0 && unasked == 0,
            strangers: store::strangers(db, &watch.provider).await?,
            provider: watch.provider,
        });
    }
    Ok(all)
}

/// Whether the provider has told everything when it was last asked. Safe mode begins with a provider that was never asked.
fn was_answered(watch: &Watch) -> bool {
    watch.asked_at > Timestamp::from_micros(0) && was_all(watch)
}

/// Charges again. Payments that were held back go on.
///
/// # Errors
/// What a provider knows was not compared yet, unless that does not matter.
pub async fn end_safe_mode(app: &App, is_forced: bool) -> Result<()> {
    let all = safe_mode(app).await?;
    if let Some(open) = all.iter().find(|mode| !mode.is_compared && !is_forced) {
        return Err(Error::Unavailable(format!(
            "what `{}` knows was not compared yet",
            open.provider
        )));
    }
    let op = Op::begin(app).await?;
    for mode in &all {
        store::write_safe(&op, &mode.provider, None).await?;
    }
    op.commit().await
}
