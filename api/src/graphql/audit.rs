//! The audit: whether the books add up.

use app::audit;
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    caller,
    customer::customer_ref_if_any,
    error::top_level,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
    scalar::{DateTime, SafeInt},
};

/// How much an audit looks at.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "audit::Mode")]
pub enum AuditMode {
    /// What has changed since it was last found sound. Done every minute by the workers.
    Incremental,
    /// Everything, from the first entry on.
    Full,
}

/// How bad a violation is. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "audit::Severity")]
pub enum AuditSeverity {
    /// Money: grants, corrections, revocations and voids of the customer are refused until an operator has looked.
    S1,
    /// Something is late.
    S2,
}

/// What has become of a violation.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "audit::ViolationState")]
pub enum AuditViolationState {
    /// It is there.
    Open,
    /// It is there, and an operator has let the customer go on.
    Released,
    /// It is gone.
    Resolved,
}

/// One promise that the audit proves.
#[derive(SimpleObject)]
pub struct AuditCheck {
    /// Its name, such as `ledger.chain`; never changed.
    pub id: String,
    /// How bad a violation is.
    pub severity: AuditSeverity,
    /// What it promises.
    pub promise: String,
}

impl From<audit::Check> for AuditCheck {
    fn from(check: audit::Check) -> Self {
        Self {
            id: check.id().to_owned(),
            severity: check.severity().into(),
            promise: check.sentence().to_owned(),
        }
    }
}

/// What a run of the audit came to.
#[derive(SimpleObject)]
pub struct AuditRun {
    /// How much was looked at.
    pub mode: AuditMode,
    /// Customers looked at.
    pub customers: SafeInt,
    /// Ledger entries looked at.
    pub entries: SafeInt,
    /// Usage events looked at.
    pub events: SafeInt,
    /// Violations found.
    pub violations: SafeInt,
    /// Customers left for the next run, because the time was up.
    pub remaining: SafeInt,
    /// When it began.
    pub started_at: DateTime,
    /// When it ended.
    pub finished_at: DateTime,
}

impl From<audit::Run> for AuditRun {
    fn from(run: audit::Run) -> Self {
        Self {
            mode: run.mode.into(),
            customers: SafeInt(run.customers),
            entries: SafeInt(run.entries),
            events: SafeInt(run.events),
            violations: SafeInt(run.violations),
            remaining: SafeInt(run.remaining),
            started_at: run.started_at.into(),
            finished_at: run.finished_at.into(),
        }
    }
}

/// Something that does not add up.
#[derive(SimpleObject)]
pub struct AuditViolation {
    /// Id of the violation.
    pub id: ID,
    /// The promise that is broken.
    pub check: AuditCheck,
    /// Global id of the customer whose books they are; null: no customer's.
    pub customer_id: Option<ID>,
    /// What it is about, such as the id of a block or of a ledger entry.
    pub subject: String,
    /// What was found, in English. Wording may change.
    pub message: String,
    /// What has become of it.
    pub state: AuditViolationState,
    /// When it was first seen.
    pub first_seen_at: DateTime,
    /// When it was last seen.
    pub last_seen_at: DateTime,
    /// When it was gone; null: it is there.
    pub resolved_at: Option<DateTime>,
}

impl From<audit::Violation> for AuditViolation {
    fn from(violation: audit::Violation) -> Self {
        Self {
            id: violation.id.to_string().into(),
            check: violation.check.into(),
            customer_id: violation.customer.map(|id| id.to_string().into()),
            subject: violation.subject,
            message: violation.message,
            state: violation.state.into(),
            first_seen_at: violation.first_seen_at.into(),
            last_seen_at: violation.last_seen_at.into(),
            resolved_at: violation.resolved_at.map(DateTime),
        }
    }
}

/// How the audit of the tenant stands.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Audit {
    /// The last run over what has changed; null before the first.
    pub last_incremental: Option<AuditRun>,
    /// The last run over everything; null before the first.
    pub last_full: Option<AuditRun>,
    /// Customers that have changed since they were last found sound, counted up to 20,000.
    pub waiting_customers: SafeInt,
    /// Every promise that is proven.
    pub checks: Vec<AuditCheck>,
    /// When this was so.
    pub as_of: DateTime,
}

#[ComplexObject]
impl Audit {
    /// What does not add up, oldest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn violations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether those that are gone are listed too.", default)] include_resolved: bool,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<AuditViolation>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<audit::ViolationId>()?;
        let slice = audit::violations(app, actor, include_resolved, page)
            .await
            .map_err(top_level)?;
        Ok(connection(slice, |it| it.id.to_string(), AuditViolation::from))
    }
}

/// Reads of the audit.
#[derive(Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// Whether the books add up: the last runs of the audit and what they found. Needs `operations:read`.
    async fn audit(&self, ctx: &Context<'_>) -> async_graphql::Result<Audit> {
        let (app, actor) = caller(ctx)?;
        let standing = audit::standing(app, actor).await.map_err(top_level)?;
        Ok(Audit {
            last_incremental: standing.incremental.map(AuditRun::from),
            last_full: standing.full.map(AuditRun::from),
            waiting_customers: SafeInt(standing.waiting),
            checks: audit::Check::ALL.iter().copied().map(AuditCheck::from).collect(),
            as_of: standing.as_of.into(),
        })
    }
}

/// The audit to run.
#[derive(InputObject)]
pub struct RunAuditInput {
    /// How much to look at. `FULL` is refused for a tenant with more than 1,000 customers, unless one of them is named: that is the
    /// work of the command `tallygate audit`.
    pub mode: AuditMode,
    /// Only this customer, by id.
    pub customer_id: Option<ID>,
    /// Only this customer, by the vendor's own name.
    pub external_customer_id: Option<String>,
}

payload! {
    /// Result of `runAudit`.
    RunAuditPayload {
        /// What the run came to; null when it was refused.
        run: AuditRun
    }
}

/// Writes of the audit.
#[derive(Default)]
pub struct AuditMutation;

#[Object]
impl AuditMutation {
    /// Looks at the books of the tenant's customers now, for a few seconds at most when incremental. Doing it again does no harm.
    /// Needs `operations:write`.
    async fn run_audit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The audit to run.")] input: RunAuditInput,
    ) -> async_graphql::Result<RunAuditPayload> {
        let (app, actor) = caller(ctx)?;
        let who = customer_ref_if_any(input.customer_id, input.external_customer_id);
        let outcome = match who {
            Ok(who) => audit::run(app, actor, input.mode.into(), who.as_ref()).await,
            Err(error) => Err(error),
        };
        RunAuditPayload::from_outcome(plain(outcome), AuditRun::from)
    }
}
