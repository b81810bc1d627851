//! Customer tokens: credentials for a dashboard.

use app::access;
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{caller, customer::customer_ref, error::UserError, payload::settled, scalar::DateTime};

/// A short-lived credential that sees the account of one customer only. It ends at once when the key that made it is revoked.
#[derive(SimpleObject)]
pub struct CustomerToken {
    /// Its name, for logs.
    pub id: ID,
    /// Global id of the customer whose account it opens.
    pub customer_id: ID,
    /// What it may do, such as `credit:read`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime,
    /// First instant at which it is no longer good.
    pub expires_at: DateTime,
}

impl From<access::CustomerToken> for CustomerToken {
    fn from(token: access::CustomerToken) -> Self {
        Self {
            id: token.id.to_string().into(),
            customer_id: token.customer.to_string().into(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
        }
    }
}

/// A token to make.
#[derive(InputObject)]
pub struct CreateCustomerTokenInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// What it may do: of `usage:read`, `entitlement:read`, `catalog:read`, `customer:read` and `credit:read` those that the
    /// maker may do; all of them by default.
    pub scopes: Option<Vec<String>>,
    /// How long it lives, in seconds, 1 to 3,600; 900 by default. It ends earlier with the credential that makes it.
    pub lifetime_seconds: Option<i32>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// Result of `createCustomerToken`.
#[derive(SimpleObject)]
pub struct CreateCustomerTokenPayload {
    /// The token; null when it was refused.
    pub customer_token: Option<CustomerToken>,
    /// The secret to send as a bearer token. Shown once: null when an earlier request produced this result. Who has lost it makes
    /// another token with another idempotency key.
    pub secret: Option<String>,
    /// Whether an earlier request with the same idempotency key produced this result.
    pub idempotent_replay: bool,
    /// What the caller must correct; empty on success.
    pub user_errors: Vec<UserError>,
}

/// Writes of customer tokens.
#[derive(Default)]
pub struct TokenMutation;

#[Object]
impl TokenMutation {
    /// Makes a token for the dashboard of one customer. Needs `token:create`.
    async fn create_customer_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to make.")] input: CreateCustomerTokenInput,
    ) -> async_graphql::Result<CreateCustomerTokenPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match customer_ref(input.customer_id, input.external_customer_id) {
            Ok(customer) => {
                let command = access::CreateCustomerToken {
                    customer,
                    scopes: input.scopes,
                    lifetime_seconds: input.lifetime_seconds.map(i64::from),
                };
                access::create_token(app, actor, command, &input.idempotency_key).await
            }
            Err(error) => Err(error),
        };
        Ok(match settled(outcome)? {
            Ok(once) => CreateCustomerTokenPayload {
                customer_token: Some(once.value.token.into()),
                secret: once.value.secret,
                idempotent_replay: once.replay,
                user_errors: Vec::new(),
            },
            Err(user_errors) => CreateCustomerTokenPayload {
                customer_token: None,
                secret: None,
                idempotent_replay: false,
                user_errors,
            },
        })
    }
}
