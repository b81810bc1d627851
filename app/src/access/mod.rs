//! Access: tenants, API keys, and turning a bearer token into an [`Actor`].
//!
//! A key is more than 190 random bits; only its SHA-256 is kept, which is enough for a secret that cannot be guessed.

mod authentication;
mod rotation;
mod sentry;
mod store;
mod token;
mod view;

use domain::{
    id::{ApiKeyId, TenantId},
    rejection::Rejection,
    time::Timestamp,
};
use rand::RngExt;
use serde::Serialize;

pub(crate) use self::sentry::Sentry;
pub use self::{
    authentication::{Cache, authenticate},
    rotation::{DEFAULT_OVERLAP, MAX_OVERLAP, RotateApiKey, rotate_key},
    sentry::{Ended, ended},
    token::{CreateCustomerToken, DEFAULT_LIFETIME, MAX_LIFETIME, create_token},
    view::{ApiKey, CustomerToken, FormerSecret, Mode, NewCustomerToken, NewKey, Tenant, Viewer},
};
use crate::{
    App,
    actor::{Actor, Credential, Scope},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
};

/// The tenant that `dev` and the bootstrap key belong to.
pub const DEFAULT_TENANT: &str = "default";
/// Shortest bootstrap key, in characters. Anything shorter could be guessed.
pub const MIN_BOOTSTRAP_KEY: usize = 32;
/// Characters of a key's secret part: 32 of 62 possible ones are more than 190 bits.
const SECRET_LENGTH: usize = 32;
const SECRET_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Longest name of a tenant or key, in bytes.
const MAX_NAME: usize = 100;

/// The tenant of a name, made if there is none. Answers whether it was made.
///
/// # Errors
/// A name that is empty or too long, or an existing tenant of the other mode.
pub async fn ensure_tenant(app: &App, name: &str, mode: Option<Mode>) -> Result<(Tenant, bool)> {
    check_name("name", name)?;
    let op = Op::begin(app).await?;
    let fresh = Tenant {
        id: TenantId(op.new_id()),
        name: name.to_owned(),
        mode: mode.unwrap_or(Mode::Test),
    };
    let made = store::insert_tenant(&op, &fresh).await?;
    let tenant = store::find_tenant(op.tx(), name)
        .await?
        .ok_or_else(|| Error::Internal(format!("tenant `{name}` is neither there nor could it be made")))?;
    let tenant = Tenant::try_from(tenant)?;
    if mode.is_some_and(|mode| mode != tenant.mode) {
        return Err(Rejection::invalid("mode", format!("tenant `{name}` exists with the other mode")).into());
    }
    op.commit().await?;
    Ok((tenant, made))
}

/// The tenant of a name.
///
/// # Errors
/// There is none.
pub async fn tenant(app: &App, name: &str) -> Result<Tenant> {
    let row = store::find_tenant(app.db().reader(), name).await?;
    Ok(Tenant::try_from(
        row.ok_or_else(|| Rejection::not_found("tenant", "tenant"))?,
    )?)
}

/// Makes sure that a fixed key exists with every scope. For automation that must know the key beforehand.
///
/// # Errors
/// A key shorter than [`MIN_BOOTSTRAP_KEY`], with characters that are not visible ASCII, or of another tenant.
pub async fn ensure_bootstrap_key(app: &App, tenant: &Tenant, key: &str) -> Result<()> {
    if key.len() < MIN_BOOTSTRAP_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("the bootstrap key must have {MIN_BOOTSTRAP_KEY} or more visible ASCII characters");
        return Err(Rejection::invalid("bootstrapKey", message).into());
    }
    let op = Op::begin(app).await?;
    let credential = Credential::of(key);
    let row = ApiKey {
        id: ApiKeyId(op.new_id()),
        name: "bootstrap".to_owned(),
        hint: hint(key),
        scopes: Scope::ALL.to_vec(),
        created_at: op.now(),
        expires_at: None,
        revoked_at: None,
        rotated_at: None,
        former_secret: None,
    };
    // One that was rotated away does not come back as a new key.
    if store::secret_owner(&op, &credential).await?.is_none() {
        store::insert_key(&op, tenant.id, &row, &credential).await?;
    }
    if store::secret_owner(&op, &credential).await? != Some(tenant.id) {
        return Err(Rejection::invalid("bootstrapKey", "the key belongs to another tenant").into());
    }
    op.commit().await
}

/// Whether a tenant is for tests.
pub(crate) async fn mode_in(op: &Op, tenant: TenantId) -> Result<Mode> {
    store::mode(op, tenant).await
}

/// What a new key may do and for how long.
#[derive(Debug, Clone, Serialize)]
pub struct CreateApiKey {
    /// Name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// First instant at which it is no longer good.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key that may do no more than its maker. The secret is shown once: a replay answers without it.
///
/// # Errors
/// An unknown scope, one that the maker lacks, a name that is empty or too long, or an expiry in the past.
pub async fn create_key(app: &App, actor: &Actor, input: CreateApiKey, key: &str) -> Result<Once<NewKey>> {
    actor.require(Scope::AccessWrite)?;
    check_name("name", &input.name)?;
    let scopes = check_scopes(actor, &input.scopes)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "createApiKey", key, &input).await? {
        Claim::Replay(known) => return Ok(NewKey::again(known)),
        Claim::Fresh(fresh) => fresh,
    };
    if input.expires_at.is_some_and(|end| end <= op.now()) {
        return Err(Rejection::invalid("expiresAt", "the expiry must lie in the future").into());
    }
    let expires_at = no_later_than_maker(actor, input.expires_at)?;
    let mode = store::mode(&op, actor.tenant).await?;
    let secret = secret(mode.key_prefix());
    let row = ApiKey {
        id: ApiKeyId(op.new_id()),
        name: input.name,
        hint: hint(&secret),
        scopes,
        created_at: op.now(),
        expires_at,
        revoked_at: None,
        rotated_at: None,
        former_secret: None,
    };
    store::insert_key(&op, actor.tenant, &row, &Credential::of(&secret)).await?;
    let made = fresh.settle(&op, row).await?;
    op.commit().await?;
    Ok(Once {
        value: NewKey {
            secret: Some(secret),
            key: made.value,
        },
        replay: false,
    })
}

/// Revokes a key of the tenant. Doing it again changes nothing.
///
/// # Errors
/// No such key.
pub async fn revoke_key(app: &App, actor: &Actor, id: ApiKeyId, key: &str) -> Result<Once<ApiKey>> {
    actor.require(Scope::AccessWrite)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "revokeApiKey", key, &id).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    store::revoke_key(&op, actor.tenant, id).await?;
    let row = store::get_key(op.tx(), actor.tenant, id).await?;
    let row = row.ok_or_else(|| Rejection::not_found("id", "API key"))?;
    let done = fresh.settle(&op, ApiKey::from(row)).await?;
    op.commit().await?;
    forget(app);
    Ok(done)
}

/// Makes this process look again: some credential is no longer what it was.
fn forget(app: &App) {
    app.keys().clear();
    app.sentry().look();
}

/// One key of the tenant.
///
/// # Errors
/// The scope is missing.
pub async fn key(app: &App, actor: &Actor, id: ApiKeyId) -> Result<Option<ApiKey>> {
    actor.require(Scope::AccessRead)?;
    let row = store::get_key(app.db().reader(), actor.tenant, id).await?;
    let mut keys =
        store::with_former_secrets(app.db().reader(), row.into_iter().collect(), app.now()).await?;
    Ok(keys.pop())
}

/// The tenant's keys, oldest first. Two statements.
///
/// # Errors
/// The scope is missing.
pub async fn keys(app: &App, actor: &Actor, page: Page<ApiKeyId>) -> Result<Slice<ApiKey>> {
    actor.require(Scope::AccessRead)?;
    let db = app.db().reader();
    let slice = store::list_keys(db, actor.tenant, page).await?;
    Ok(Slice {
        items: store::with_former_secrets(db, slice.items, app.now()).await?,
        has_previous: slice.has_previous,
        has_next: slice.has_next,
    })
}

/// Who is asking.
///
/// # Errors
/// The database is out of reach.
pub async fn viewer(app: &App, actor: &Actor) -> Result<Viewer> {
    let tenant = store::get_tenant(app.db().reader(), actor.tenant).await?;
    Ok(Viewer {
        tenant: Tenant::try_from(tenant)?,
        key: actor.key.filter(|_| actor.customer.is_none()),
        customer: actor.customer,
        scopes: actor.scopes.clone(),
        expires_at: actor.expires_at,
    })
}

/// A key lives no longer than the credential that made it: its maker's key, or that key's old secret after a rotation.
fn no_later_than_maker(actor: &Actor, wanted: Option<Timestamp>) -> Result<Option<Timestamp>> {
    match (wanted, actor.expires_at) {
        (Some(wanted), Some(limit)) if wanted > limit => {
            let message = format!("your own credential expires at {limit}");
            Err(Rejection::invalid("expiresAt", message).into())
        }
        (wanted, limit) => Ok(wanted.or(limit)),
    }
}

fn check_scopes(actor: &Actor, names: &[String]) -> Result<Vec<Scope>> {
    let mut scopes = Vec::new();
    for name in names {
        let scope: Scope = name
            .parse()
            .map_err(|why: String| Rejection::invalid("scopes", why))?;
        if !actor.scopes.contains(&scope) {
            return Err(
                Rejection::invalid("scopes", format!("you lack the scope `{scope}` yourself")).into(),
            );
        }
        scopes.push(scope);
    }
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Rejection::invalid("scopes", "a key needs at least one scope").into());
    }
    Ok(scopes)
}

pub(crate) fn check_name(field: &str, name: &str) -> Result<()> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let message = format!("a name has 1 to {MAX_NAME} bytes, is not blank and has no control characters");
        return Err(Rejection::invalid(field, message).into());
    }
    Ok(())
}

/// A text that nobody can guess.
pub(crate) fn secret(prefix: &str) -> String {
    let mut rng = rand::rng();
    let body: String = (0..SECRET_LENGTH)
        .map(|_| char::from(SECRET_ALPHABET[rng.random_range(0..SECRET_ALPHABET.len())]))
        .collect();
    format!("{prefix}{body}")
}

/// First eight and last four characters: enough to recognise a key, far too little to use it.
fn hint(key: &str) -> String {
    let (first, last) = (&key[..key.len().min(8)], &key[key.len().saturating_sub(4)..]);
    format!("{first}…{last}")
}
