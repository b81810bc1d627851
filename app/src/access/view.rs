//! What is read of tenants and keys.

use domain::{
    id::{ApiKeyId, CustomerId, CustomerTokenId, TenantId},
    time::Timestamp,
};
use entity::{Corrupt, api_key, from_text, tenant};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{actor::Scope, idempotency::Once};

/// Whether a tenant handles real money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Real customers.
    Live,
    /// For trying things out.
    Test,
}

impl Mode {
    /// What the tenant's keys begin with.
    #[must_use]
    pub fn key_prefix(self) -> &'static str {
        match self {
            Self::Live => "tg_live_",
            Self::Test => "tg_test_",
        }
    }
}

/// A vendor in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Name for people, unique.
    pub name: String,
    /// Whether it handles real money.
    pub mode: Mode,
}

impl TryFrom<tenant::Model> for Tenant {
    type Error = Corrupt;

    fn try_from(row: tenant::Model) -> Result<Self, Corrupt> {
        Ok(Self {
            id: TenantId(row.id),
            mode: from_text("tenant", &row.mode)?,
            name: row.name,
        })
    }
}

/// A credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its name.
    pub id: ApiKeyId,
    /// Name for people.
    pub name: String,
    /// First and last characters.
    pub hint: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// First instant at which it is no longer good.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When its secret was last replaced.
    #[serde(default)]
    pub rotated_at: Option<Timestamp>,
    /// The secret before, while it is still good.
    #[serde(default)]
    pub former_secret: Option<FormerSecret>,
}

/// A secret of a key that has a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSecret {
    /// First and last characters.
    pub hint: String,
    /// First instant at which it is no longer good.
    pub expires_at: Timestamp,
}

impl From<api_key::Model> for ApiKey {
    fn from(row: api_key::Model) -> Self {
        Self {
            scopes: scopes(&row.scopes),
            id: ApiKeyId(row.id),
            name: row.name,
            hint: row.hint,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
            rotated_at: row.rotated_at.map(Timestamp::from_micros),
            former_secret: None,
        }
    }
}

/// A key that has just been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The secret; only the first answer has it.
    pub secret: Option<String>,
    /// The key.
    pub key: ApiKey,
}

impl NewKey {
    /// The answer to a request that was made before: without the secret, which is not kept.
    pub(super) fn again(known: Once<ApiKey>) -> Once<Self> {
        Once {
            value: Self {
                secret: None,
                key: known.value,
            },
            replay: true,
        }
    }
}

/// A credential of one customer, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerToken {
    /// Its name.
    pub id: CustomerTokenId,
    /// Whose account it opens.
    pub customer: CustomerId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// First instant at which it is no longer good.
    pub expires_at: Timestamp,
}

/// A token that has just been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCustomerToken {
    /// The secret; only the first answer has it.
    pub secret: Option<String>,
    /// The token.
    pub token: CustomerToken,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// For which tenant.
    pub tenant: Tenant,
    /// With which key; `None` for a token and for the command line.
    pub key: Option<ApiKeyId>,
    /// With a token of which customer.
    pub customer: Option<CustomerId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// First instant at which the credential is no longer good.
    pub expires_at: Option<Timestamp>,
}

/// The scopes of a row. One that this version does not know gives nothing.
pub(super) fn scopes(names: &str) -> Vec<Scope> {
    names.split(' ').filter_map(|name| name.parse().ok()).collect()
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
