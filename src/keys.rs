//! `tallygate keys create`: a key for a tenant. The secret goes to standard output, everything else beside it, so that
//! `KEY=$(tallygate keys create --all-scopes)` does what one hopes.

use std::process::ExitCode;

use app::{
    App, Scope,
    access::{self, CreateApiKey, DEFAULT_TENANT, Mode, NewKey, Tenant},
    actor::Actor,
};
use uuid::Uuid;

use crate::{cli::CreateKeyArgs, config::Config, database::Node, failure::Outcome, print, shutdown};

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
        tracing::warn!("the bootstrap key was revoked, or belongs to another tenant than `{DEFAULT_TENANT}`");
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
