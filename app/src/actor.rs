//! Who asks, what they may do, and whose data they reach.

use std::{fmt, str::FromStr};

use domain::{
    id::{ApiKeyId, CustomerId, TenantId},
    time::Timestamp,
};
use sea_orm::{ColumnTrait, Condition};
use sha2::{Digest, Sha256};

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
    /// Read subscriptions, their cycles, and what was told about them.
    SubscriptionRead "subscription:read";
    /// Create and change subscriptions.
    SubscriptionWrite "subscription:write";
    /// Read ways to pay and payments, and how credits are sold.
    PaymentRead "payment:read";
    /// Charge customers, change their ways to pay, and say how credits are sold.
    PaymentWrite "payment:write";
    /// Read invoices, tax numbers, and how the vendor bills.
    InvoiceRead "invoice:read";
    /// Issue, charge and take back invoices, change tax numbers, and say how the vendor bills.
    InvoiceWrite "invoice:write";
    /// Read the feed of events, of all customers.
    EventRead "event:read";
    /// Read webhook endpoints and what became of their messages.
    WebhookRead "webhook:read";
    /// Change webhook endpoints, and have messages sent again.
    WebhookWrite "webhook:write";
    /// Read the state of jobs.
    OperationsRead "operations:read";
    /// Retry parked work.
    OperationsWrite "operations:write";
    /// Read the tenant's keys.
    AccessRead "access:read";
    /// Create and revoke the tenant's keys.
    AccessWrite "access:write";
    /// Make tokens for single customers.
    TokenCreate "token:create";
}

impl Scope {
    /// What a token of one customer can be given: reads of its own account. Neither writes nor making credentials can.
    pub const DELEGABLE: &'static [Self] = &[
        Self::UsageRead,
        Self::EntitlementRead,
        Self::CatalogRead,
        Self::CustomerRead,
        Self::CreditRead,
        Self::SubscriptionRead,
        Self::PaymentRead,
        Self::InvoiceRead,
    ];
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

/// What a bearer token is recognised by: its SHA-256, which is enough for a secret that cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credential([u8; 32]);

impl Credential {
    /// That of a bearer token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// As it is stored.
    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// Shows nothing: a fixed first key may be weak enough to be found from its hash.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Who asks. Made by authentication only, and needed to reach any data: its [`Reach`] is the first filter of every statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Whose data it may touch.
    pub tenant: TenantId,
    /// The one customer whose account it sees; `None`: all of the tenant.
    pub customer: Option<CustomerId>,
    /// The key it came with, or that made its token; `None`: the command line on the server itself.
    pub key: Option<ApiKeyId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// First instant at which its credential is no longer good; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// What its credential is recognised by; `None`: the command line.
    pub credential: Option<Credential>,
    /// Whether the credential is known to be good now, and not only minutes ago. Without that it may ask the gate, and has to wait
    /// for everything else.
    pub confirmed: bool,
}

impl Actor {
    /// The person at the server's command line, who may do everything for a tenant.
    #[must_use]
    pub fn operator(tenant: TenantId) -> Self {
        Self {
            tenant,
            customer: None,
            key: None,
            scopes: Scope::ALL.to_vec(),
            expires_at: None,
            credential: None,
            confirmed: true,
        }
    }

    /// Insists on a scope.
    ///
    /// # Errors
    /// [`Error::Denied`] without it, [`Error::Unavailable`] while it cannot be told whether it is still given.
    pub fn require(&self, scope: Scope) -> Result<()> {
        if !self.scopes.contains(&scope) {
            return Err(Error::Denied(scope));
        }
        if !self.confirmed && scope != Scope::EntitlementRead {
            return Err(Error::Unavailable(
                "the credential cannot be confirmed".to_owned(),
            ));
        }
        Ok(())
    }

    /// Insists on a scope for what belongs to the tenant as a whole, such as the list of its customers.
    ///
    /// # Errors
    /// [`Error::Denied`] without it, [`Error::OwnAccountOnly`] for a token of one customer.
    pub fn require_for_all(&self, scope: Scope) -> Result<()> {
        self.require(scope)?;
        match self.customer {
            None => Ok(()),
            Some(_) => Err(Error::OwnAccountOnly),
        }
    }

    /// Whose data it reaches.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach {
            tenant: self.tenant,
            customer: self.customer,
        }
    }
}

/// Whose data is reached: that of a whole tenant, or of one of its customers. Everything a customer owns is read through
/// one, so that what lies outside does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    tenant: TenantId,
    customer: Option<CustomerId>,
}

impl Reach {
    /// All of a tenant: for workers, who go by rows that name their owner.
    pub(crate) fn of(tenant: TenantId) -> Self {
        Self {
            tenant,
            customer: None,
        }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(self) -> TenantId {
        self.tenant
    }

    /// Whether a customer of the tenant is within it.
    #[must_use]
    pub fn admits(self, customer: CustomerId) -> bool {
        self.customer.is_none_or(|own| own == customer)
    }

    /// As a condition on a table that has both columns.
    pub(crate) fn condition(self, tenant: impl ColumnTrait, customer: impl ColumnTrait) -> Condition {
        Condition::all()
            .add(tenant.eq(self.tenant.0))
            .add_option(self.customer.map(|own| customer.eq(own.0)))
    }
}
