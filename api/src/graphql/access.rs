//! Access: who is asking, and the tenant's keys.

use app::access;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{id::ApiKeyId, rejection::Rejection};

use super::{
    caller,
    error::top_level,
    page::{Args, Connection, connection, cost},
    payload::{payload, settled},
    scalar::DateTime,
};
use crate::graphql::error::UserError;

/// Whether a tenant handles real money.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "access::Mode")]
pub enum TenantMode {
    /// Real customers.
    Live,
    /// For trying things out.
    Test,
}

/// A vendor in one environment.
#[derive(SimpleObject)]
pub struct Tenant {
    /// Global id.
    pub id: ID,
    /// Name, unique on this server.
    pub name: String,
    /// Whether it handles real money.
    pub mode: TenantMode,
}

/// A kind of credential. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A key of the tenant.
    ApiKey,
    /// A token that sees the account of one customer.
    CustomerToken,
}

/// Who is asking.
#[derive(SimpleObject)]
pub struct Viewer {
    /// For which tenant.
    pub tenant: Tenant,
    /// With what.
    pub kind: CredentialKind,
    /// With which key; null for a customer token.
    pub api_key_id: Option<ID>,
    /// Whose account is all that can be seen; null for a key, which sees every customer.
    pub customer_id: Option<ID>,
    /// What the credential may do, such as `usage:write`.
    pub scopes: Vec<String>,
    /// First instant at which the credential is no longer good; null: it does not expire.
    pub expires_at: Option<DateTime>,
}

impl From<access::Viewer> for Viewer {
    fn from(viewer: access::Viewer) -> Self {
        Self {
            tenant: Tenant {
                id: viewer.tenant.id.to_string().into(),
                name: viewer.tenant.name,
                mode: viewer.tenant.mode.into(),
            },
            kind: match viewer.customer {
                None => CredentialKind::ApiKey,
                Some(_) => CredentialKind::CustomerToken,
            },
            api_key_id: viewer.key.map(|key| key.to_string().into()),
            customer_id: viewer.customer.map(|customer| customer.to_string().into()),
            scopes: viewer.scopes.iter().map(ToString::to_string).collect(),
            expires_at: viewer.expires_at.map(DateTime),
        }
    }
}

/// A credential of a tenant. Its secret is shown once, when it is made.
#[derive(SimpleObject)]
pub struct ApiKey {
    /// Global id.
    pub id: ID,
    /// Name for people.
    pub name: String,
    /// First and last characters, to recognise the key by.
    pub hint: String,
    /// What it may do, such as `usage:write`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime,
    /// First instant at which it is no longer good; null: it does not expire.
    pub expires_at: Option<DateTime>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime>,
    /// When its secret was last replaced; null: never.
    pub rotated_at: Option<DateTime>,
    /// The secret before, while it is still good.
    pub former_secret: Option<FormerSecret>,
}

/// A secret of a key that has a newer one and is still good.
#[derive(SimpleObject)]
pub struct FormerSecret {
    /// First and last characters, to recognise it by.
    pub hint: String,
    /// First instant at which it is no longer good.
    pub expires_at: DateTime,
}

impl From<access::ApiKey> for ApiKey {
    fn from(key: access::ApiKey) -> Self {
        Self {
            id: key.id.to_string().into(),
            name: key.name,
            hint: key.hint,
            scopes: key.scopes.iter().map(ToString::to_string).collect(),
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(DateTime),
            revoked_at: key.revoked_at.map(DateTime),
            rotated_at: key.rotated_at.map(DateTime),
            former_secret: key.former_secret.map(|former| FormerSecret {
                hint: former.hint,
                expires_at: former.expires_at.into(),
            }),
        }
    }
}

/// Reads of access.
#[derive(Default)]
pub struct AccessQuery;

#[Object]
impl AccessQuery {
    /// Who is asking: the tenant, the customer of a token, and what the credential may do.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<Viewer> {
        let (app, actor) = caller(ctx)?;
        Ok(access::viewer(app, actor).await.map_err(top_level)?.into())
    }

    /// The tenant's keys, oldest first. Needs `access:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<ApiKey>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<ApiKeyId>()?;
        let slice = access::keys(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |key| key.id.to_string(), ApiKey::from))
    }
}

/// A key to make.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// Name for people, 1 to 100 bytes.
    pub name: String,
    /// What it may do; at most what the maker may do.
    pub scopes: Vec<String>,
    /// First instant at which it is no longer good; left out, it lives as long as the key that makes it.
    pub expires_at: Option<DateTime>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// Result of `createApiKey`.
#[derive(SimpleObject)]
pub struct CreateApiKeyPayload {
    /// The key; null when it was refused.
    pub api_key: Option<ApiKey>,
    /// The secret to send as a bearer token. Shown once: null when an earlier request produced this result.
    pub secret: Option<String>,
    /// Whether an earlier request with the same idempotency key produced this result.
    pub idempotent_replay: bool,
    /// What the caller must correct; empty on success.
    pub user_errors: Vec<UserError>,
}

/// A key to give a new secret.
#[derive(InputObject)]
pub struct RotateApiKeyInput {
    /// Global id of the key.
    pub id: ID,
    /// How long the old secret stays good, in seconds, 0 to 604,800 (7 days); 86,400 (a day) by default.
    pub overlap_seconds: Option<i32>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// Result of `rotateApiKey`.
#[derive(SimpleObject)]
pub struct RotateApiKeyPayload {
    /// The key; null when it was refused.
    pub api_key: Option<ApiKey>,
    /// The new secret to send as a bearer token. Shown once: null when an earlier request produced this result. Who has lost it
    /// rotates again with another idempotency key.
    pub secret: Option<String>,
    /// Whether an earlier request with the same idempotency key produced this result.
    pub idempotent_replay: bool,
    /// What the caller must correct; empty on success.
    pub user_errors: Vec<UserError>,
}

/// A key to revoke.
#[derive(InputObject)]
pub struct RevokeApiKeyInput {
    /// Global id of the key.
    pub id: ID,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `revokeApiKey`.
    RevokeApiKeyPayload {
        /// The key; null when it was refused.
        api_key: ApiKey
    }
}

/// Writes of access.
#[derive(Default)]
pub struct AccessMutation;

#[Object]
impl AccessMutation {
    /// Makes a key. Needs `access:write`.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key to make.")] input: CreateApiKeyInput,
    ) -> async_graphql::Result<CreateApiKeyPayload> {
        let (app, actor) = caller(ctx)?;
        let expires_at = input.expires_at.map(|at| at.0);
        let command = access::CreateApiKey {
            name: input.name,
            scopes: input.scopes,
            expires_at,
        };
        let outcome = access::create_key(app, actor, command, &input.idempotency_key).await;
        Ok(match settled(outcome)? {
            Ok(once) => CreateApiKeyPayload {
                api_key: Some(once.value.key.into()),
                secret: once.value.secret,
                idempotent_replay: once.replay,
                user_errors: Vec::new(),
            },
            Err(user_errors) => CreateApiKeyPayload {
                api_key: None,
                secret: None,
                idempotent_replay: false,
                user_errors,
            },
        })
    }

    /// Gives a key a new secret; its id, name and scopes stay, and the old secret is good for a while. One that was still good from
    /// the rotation before ends at once. The key may do no more than the caller. Needs `access:write`.
    async fn rotate_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key to give a new secret.")] input: RotateApiKeyInput,
    ) -> async_graphql::Result<RotateApiKeyPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.id.parse() {
            Ok(id) => {
                let overlap_seconds = input.overlap_seconds.map(i64::from);
                let command = access::RotateApiKey { id, overlap_seconds };
                access::rotate_key(app, actor, command, &input.idempotency_key).await
            }
            Err(_) => Err(Rejection::not_found("id", "API key").into()),
        };
        Ok(match settled(outcome)? {
            Ok(once) => RotateApiKeyPayload {
                api_key: Some(once.value.key.into()),
                secret: once.value.secret,
                idempotent_replay: once.replay,
                user_errors: Vec::new(),
            },
            Err(user_errors) => RotateApiKeyPayload {
                api_key: None,
                secret: None,
                idempotent_replay: false,
                user_errors,
            },
        })
    }

    /// Revokes a key and with it the customer tokens it made: at once on this server process, within seconds on others; open streams
    /// are ended. Needs `access:write`.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key to revoke.")] input: RevokeApiKeyInput,
    ) -> async_graphql::Result<RevokeApiKeyPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.id.parse() {
            Ok(id) => access::revoke_key(app, actor, id, &input.idempotency_key).await,
            Err(_) => Err(Rejection::not_found("id", "API key").into()),
        };
        RevokeApiKeyPayload::from_outcome(outcome, ApiKey::from)
    }
}
