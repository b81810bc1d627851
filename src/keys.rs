//! `tallygate keys`: make, rotate and revoke the keys of a tenant. A secret goes to standard output, everything else beside it,
//! so that `KEY=$(tallygate keys create --all-scopes)` does what one hopes.

use std::process::ExitCode;

use app::{
    App, Scope,
    access::{self, CreateApiKey, DEFAULT_TENANT, Mode, NewKey, RotateApiKey, Tenant},
    actor::Actor,
};
use domain::id::ApiKeyId;
use uuid::Uuid;

use crate::{
    cli::{CreateKeyArgs, RevokeKeyArgs, RotateKeyArgs},
    config::Config,
    database::Node,
    failure::{Failure, Outcome},
    print, shutdown,
};

/// Makes a key, and its tenant if there is none.
///
/// # Errors
/// The database does not fit or is out of reach, the tenant has another mode, or a name is not allowed.
pub(crate) async fn create(config: &Config, args: CreateKeyArgs) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let (tenant, made) = access::ensure_tenant(&node.app, &args.tenant, args.mode.map(Mode::from)).await?;
    if made {
        print::note(format_args!(
            "made the tenant `{}` in {} mode",
            tenant.name,
            mode_name(tenant.mode)
        ));
    }
    let scopes = if args.all_scopes {
        Scope::ALL.to_vec()
    } else {
        args.scopes
    };
    let NewKey { secret, key } = new_key(&node.app, &tenant, args.name, &scopes).await?;
    let names: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    print::note(format_args!(
        "made the key {} `{}` for the tenant `{}` with the scopes {}; its secret is shown this once:",
        key.id,
        key.name,
        tenant.name,
        names.join(", ")
    ));
    print::result(secret.unwrap_or_default());
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

/// Gives a key a new secret.
///
/// # Errors
/// The database does not fit or is out of reach, or there is no such key that is still good.
pub(crate) async fn rotate(config: &Config, args: RotateKeyArgs) -> Outcome<ExitCode> {
    let input = RotateApiKey {
        id: key_id(&args.id)?,
        overlap_seconds: Some(args.overlap_seconds),
    };
    let node = Node::ready(config).await?;
    let tenant = access::tenant(&node.app, &args.tenant).await?;
    let once = Uuid::now_v7().to_string();
    let made = access::rotate_key(&node.app, &Actor::operator(tenant.id), input, &once).await?;
    let NewKey { secret, key } = made.value;
    let old = match key.former_secret {
        Some(former) => format!("the old one {} is good until {}", former.hint, former.expires_at),
        None => "the old one is no longer good".to_owned(),
    };
    print::note(format_args!(
        "gave the key {} `{}` a new secret, shown this once; {old}:",
        key.id, key.name
    ));
    print::result(secret.unwrap_or_default());
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

/// Revokes a key.
///
/// # Errors
/// The database does not fit or is out of reach, or there is no such key.
pub(crate) async fn revoke(config: &Config, args: RevokeKeyArgs) -> Outcome<ExitCode> {
    let id = key_id(&args.id)?;
    let node = Node::ready(config).await?;
    let tenant = access::tenant(&node.app, &args.tenant).await?;
    let once = Uuid::now_v7().to_string();
    let key = access::revoke_key(&node.app, &Actor::operator(tenant.id), id, &once).await?;
    let key = key.value;
    print::note(format_args!(
        "revoked the key {} `{}` and the customer tokens it made; running servers refuse them within seconds",
        key.id, key.name
    ));
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

fn key_id(text: &str) -> Outcome<ApiKeyId> {
    text.parse()
        .map_err(|_| Failure::new(format!("`{text}` is no id of a key; one looks like key_01…")))
}

/// Makes a key as the operator of a tenant.
///
/// # Errors
/// The database is out of reach, or the name is not allowed.
pub(crate) async fn new_key(app: &App, tenant: &Tenant, name: String, scopes: &[Scope]) -> Outcome<NewKey> {
    let input = CreateApiKey {
        name,
        scopes: scopes.iter().map(ToString::to_string).collect(),
        expires_at: None,
    };
    let once = Uuid::now_v7().to_string();
    let made = access::create_key(app, &Actor::operator(tenant.id), input, &once).await?;
    Ok(made.value)
}

/// Makes sure that the bootstrap key exists, and answers whether it works: somebody may have revoked it since.
///
/// # Errors
/// The database is out of reach.
pub(crate) async fn bootstrap(app: &App, key: &str) -> Outcome<bool> {
    let (tenant, _) = access::ensure_tenant(app, DEFAULT_TENANT, None).await?;
    access::ensure_bootstrap_key(app, &tenant, key).await?;
    let actor = access::authenticate(app, key).await?;
    let works = actor.is_some_and(|actor| actor.tenant == tenant.id);
    if !works {
        tracing::warn!(
            "the bootstrap key was revoked or rotated away, or belongs to another tenant than `{DEFAULT_TENANT}`"
        );
    }
    Ok(works)
}

/// The mode as people write it.
fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "live",
        Mode::Test => "test",
    }
}
