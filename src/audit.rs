//! `tallygate audit`: proves that the books add up, and says what does not.

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
    time::Instant,
};

use app::{
    App, Scope,
    access::{self, DEFAULT_TENANT},
    actor::Actor,
    audit::{self, Check, Reached, Run},
    customer::{self, CustomerRef},
};
use indicatif::ProgressBar;
use serde_json::json;

use crate::{
    cli::AuditArgs, config::Config, database::Node, failure::Failure, failure::Outcome, print, shutdown,
};

/// The exit code when something does not add up.
const VIOLATIONS: u8 = 4;

/// Audits, or lets a frozen customer go.
///
/// # Errors
/// The database is out of reach, or there is no such tenant or customer.
pub(crate) async fn run(config: &Config, args: AuditArgs) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let code = match &args.release {
        Some(customer) => release(&node.app, &args, customer).await,
        None => prove(&node.app, &args).await,
    };
    shutdown::close(node.app.db()).await;
    code
}

async fn release(app: &App, args: &AuditArgs, customer: &str) -> Outcome<ExitCode> {
    let actor = operator(app, args).await?;
    let who = CustomerRef::External(customer.to_owned());
    let violations = audit::release(app, &actor, &who).await?;
    print::result(format_args!(
        "`{customer}` is released; violations that are still there: {violations}"
    ));
    Ok(ExitCode::SUCCESS)
}

async fn operator(app: &App, args: &AuditArgs) -> Outcome<Actor> {
    let name = args.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
    Ok(Actor::operator(access::tenant(app, name).await?.id))
}

async fn prove(app: &App, args: &AuditArgs) -> Outcome<ExitCode> {
    let reached = reached(app, args).await?;
    let begun = Instant::now();
    let run = if args.incremental {
        audit::incremental(app, reached).await?
    } else {
        let bar = progress(args);
        let run = audit::full(app, reached, |done, all| {
            bar.set_length(all.unsigned_abs());
            bar.set_position(done.unsigned_abs());
        })
        .await?;
        bar.finish_and_clear();
        run
    };
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        print::result(as_json(&run, seconds));
    } else {
        tell(&run, seconds);
    }
    Ok(if run.violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(VIOLATIONS)
    })
}

async fn reached(app: &App, args: &AuditArgs) -> Outcome<Reached> {
    if args.tenant.is_none() && args.customer.is_none() {
        return Ok(Reached::All);
    }
    let actor = operator(app, args).await?;
    let Some(name) = &args.customer else {
        return Ok(Reached::Tenant(actor.tenant));
    };
    actor.require(Scope::CustomerRead)?;
    let found = customer::customer(app, &actor, &CustomerRef::External(name.clone())).await?;
    let customer = found.ok_or_else(|| Failure::new(format!("there is no customer `{name}`")))?;
    Ok(Reached::Customer(actor.tenant, customer.id))
}

fn progress(args: &AuditArgs) -> ProgressBar {
    if args.json || !stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    }
}

fn found(run: &Run, check: Check) -> i64 {
    let count = run.found.iter().find(|(known, _)| *known == check);
    count.map_or(0, |(_, count)| *count)
}

fn tell(run: &Run, seconds: f64) {
    for check in Check::ALL {
        let line = match found(run, *check) {
            0 => "ok".to_owned(),
            many => format!("{many} WRONG"),
        };
        print::result(format_args!("{line:>9}  {:<16} {}", check.id(), check.sentence()));
    }
    for seen in &run.first {
        let whose = seen.customer.map(|id| format!(" of {id}")).unwrap_or_default();
        print::result(format_args!(
            "{} {}: {}{whose}: {}",
            seen.check.severity().as_str(),
            seen.check.id(),
            seen.subject,
            seen.message
        ));
    }
    let left = match run.remaining {
        0 => String::new(),
        many => format!("; {many} customers are left for the next run"),
    };
    print::result(format_args!(
        "{} violations; {} customers, {} entries and {} events in {seconds:.1} s{left}",
        run.violations, run.customers, run.entries, run.events
    ));
}

fn as_json(run: &Run, seconds: f64) -> serde_json::Value {
    let checks: Vec<_> = Check::ALL
        .iter()
        .map(|check| {
            json!({
                "id": check.id(), "severity": check.severity().as_str(), "promise": check.sentence(),
                "violations": found(run, *check),
            })
        })
        .collect();
    let violations: Vec<_> = run
        .first
        .iter()
        .map(|seen| {
            json!({
                "check": seen.check.id(), "customerId": seen.customer.map(|id| id.to_string()),
                "subject": seen.subject, "message": seen.message,
            })
        })
        .collect();
    json!({
        "mode": run.mode.as_str(), "customers": run.customers, "entries": run.entries, "events": run.events,
        "violationCount": run.violations, "remaining": run.remaining, "seconds": seconds, "checks": checks,
        "violations": violations,
    })
}
