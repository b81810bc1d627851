//! Who asks, and what they may do.

use std::{fmt, str::FromStr};

use domain::id::{ApiKeyId, TenantId};

use crate::error::{Error, Result};

macro_rules! scopes {
    ($($(#[$doc:meta])* $variant:ident $text:literal;)*) => {
        /// One permission of a credential.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[$doc])* $variant,)*
        }

        impl Scope {
            /// Every scope, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name used in keys, flags and the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

scopes! {
    /// Record and void usage.
    UsageWrite "usage:write";
    /// Read usage events and summaries.
    UsageRead "usage:read";
    /// Ask the gate.
    EntitlementRead "entitlement:read";
    /// Read metrics, rules and prices.
    CatalogRead "catalog:read";
    /// Create metrics and metering rules.
    CatalogWrite "catalog:write";
    /// Read customers.
    CustomerRead "customer:read";
    /// Create and change customers.
    CustomerWrite "customer:write";
    /// Read balances, blocks and the ledger.
    CreditRead "credit:read";
    /// Grant, adjust and revoke credits.
    CreditWrite "credit:write";
    /// Read the state of jobs.
    OperationsRead "operations:read";
    /// Retry parked work.
    OperationsWrite "operations:write";
    /// Read the tenant's keys.
    AccessRead "access:read";
    /// Create and revoke the tenant's keys.
    AccessWrite "access:write";
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.iter().find(|scope| scope.as_str() == text);
        known.copied().ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
            format!("`{text}` is no scope; the scopes are {}", all.join(", "))
        })
    }
}

/// Who asks. Made by authentication only, and needed to reach any data: its tenant is the first filter of every statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Whose data it may touch.
    pub tenant: TenantId,
    /// The key it came with; `None`: the command line on the server itself.
    pub key: Option<ApiKeyId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Actor {
    /// The person at the server's command line, who may do everything for a tenant.
    #[must_use]
    pub fn operator(tenant: TenantId) -> Self {
        Self {
            tenant,
            key: None,
            scopes: Scope::ALL.to_vec(),
        }
    }

    /// Insists on a scope.
    ///
    /// # Errors
    /// [`Error::Denied`] without it.
    pub fn require(&self, scope: Scope) -> Result<()> {
        if self.scopes.contains(&scope) {
            Ok(())
        } else {
            Err(Error::Denied(scope))
        }
    }
}
