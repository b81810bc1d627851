//! What is read of the audit.

use std::{fmt, str::FromStr};

use domain::{
    id::{CustomerId, WorkId},
    time::Timestamp,
};
use entity::{Corrupt, audit_run, audit_violation};
use uuid::Uuid;

use super::{
    Mode,
    checks::{Check, Finding},
    store,
};
use crate::error::{Error, Result};

/// Name of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViolationId(pub Uuid);

impl fmt::Display for ViolationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&WorkId(self.0).to_string().replacen(WorkId::PREFIX, "vio", 1))
    }
}

impl FromStr for ViolationId {
    type Err = domain::id::NotAnId;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let body = text.strip_prefix("vio_").ok_or(domain::id::NotAnId)?;
        let id: WorkId = format!("{}_{body}", WorkId::PREFIX).parse()?;
        Ok(Self(id.0))
    }
}

/// What has become of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViolationState {
    /// It is there. About money, the customer is frozen.
    Open,
    /// It is there, and an operator has let the customer go on.
    Released,
    /// It is gone.
    Resolved,
}

/// A broken promise, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub id: ViolationId,
    /// Which promise.
    pub check: Check,
    /// Whose books; `None`: no customer's.
    pub customer: Option<CustomerId>,
    /// What it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What has become of it.
    pub state: ViolationState,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When it was gone.
    pub resolved_at: Option<Timestamp>,
}

impl TryFrom<audit_violation::Model> for Violation {
    type Error = Error;

    fn try_from(row: audit_violation::Model) -> Result<Self> {
        let corrupt = |problem: String| Corrupt {
            table: "audit_violation",
            problem,
        };
        let check = Check::ALL.iter().find(|check| check.id() == row.check_id);
        Ok(Self {
            id: ViolationId(row.id),
            check: *check.ok_or_else(|| corrupt(format!("no check is called `{}`", row.check_id)))?,
            customer: row.customer_id.map(CustomerId),
            subject: row.subject,
            message: row.message,
            state: match row.state.as_str() {
                store::OPEN => ViolationState::Open,
                store::RELEASED => ViolationState::Released,
                store::RESOLVED => ViolationState::Resolved,
                other => return Err(corrupt(format!("state `{other}`")).into()),
            },
            first_seen_at: Timestamp::from_micros(row.first_seen_at),
            last_seen_at: Timestamp::from_micros(row.last_seen_at),
            resolved_at: row.resolved_at.map(Timestamp::from_micros),
        })
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was looked at.
    pub mode: Mode,
    /// Customers looked at.
    pub customers: i64,
    /// Ledger entries looked at.
    pub entries: i64,
    /// Usage events looked at.
    pub events: i64,
    /// Violations found.
    pub violations: i64,
    /// Customers left for the next run.
    pub remaining: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How often each check found something. Only for who has run it; not kept.
    pub found: Vec<(Check, i64)>,
    /// The first violations. Only for who has run it; they are kept as [`Violation`]s.
    pub first: Vec<Seen>,
}

/// A violation as a run has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which promise.
    pub check: Check,
    /// Whose books; `None`: no customer's.
    pub customer: Option<CustomerId>,
    /// What it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
}

impl From<&Finding> for Seen {
    fn from(it: &Finding) -> Self {
        Self {
            check: it.check,
            customer: it.customer.map(CustomerId),
            subject: it.subject.clone(),
            message: it.message.clone(),
        }
    }
}

impl From<audit_run::Model> for Run {
    fn from(row: audit_run::Model) -> Self {
        Self {
            mode: if row.mode == Mode::Full.as_str() {
                Mode::Full
            } else {
                Mode::Incremental
            },
            customers: row.customers,
            entries: row.entries,
            events: row.events,
            violations: row.violations,
            remaining: row.remaining,
            started_at: Timestamp::from_micros(row.started_at),
            finished_at: Timestamp::from_micros(row.finished_at.unwrap_or(row.started_at)),
            found: Vec::new(),
            first: Vec::new(),
        }
    }
}

/// How the audit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The last incremental run.
    pub incremental: Option<Run>,
    /// The last full run.
    pub full: Option<Run>,
    /// Customers that have changed since they were last found sound, counted up to 20,000.
    pub waiting: i64,
    /// When this was so.
    pub as_of: Timestamp,
}
