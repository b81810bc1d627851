//! `tallygate jobs`: what waits and what is parked, of all tenants, for those who run the processes. Through the API a tenant
//! sees and retries its own work only; what belongs to no tenant is seen here.

use std::process::ExitCode;

use app::{
    job::{self, ParkedWork},
    page::{MAX_PAGE, Page},
};
use domain::id::WorkId;

use crate::{config::Config, database::Node, failure::Outcome, print, shutdown};

/// Longest text that is shown of what a wake-up said or of an error, in characters.
const SHOWN: usize = 120;

/// Shows backlogs and the oldest parked work.
///
/// # Errors
/// The database does not fit or is out of reach.
pub(crate) async fn show(config: &Config) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let overview = job::overview(&node.app).await?;
    for lane in &overview.lanes {
        let age = lane
            .oldest
            .map_or(0, |since| overview.as_of.seconds_since(since).max(0));
        print::result(format_args!(
            "{}: {} waiting, the oldest for {age} s",
            lane.lane.as_str(),
            lane.backlog
        ));
    }
    let parked = job::parked_anywhere(&node.app, Page::first(MAX_PAGE)).await?;
    for work in &parked.items {
        print::result(line(work));
    }
    let rest = if parked.has_next { " and more" } else { "" };
    print::note(format_args!("{}{rest} parked", parked.items.len()));
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

/// Makes parked work due again.
///
/// # Errors
/// No such work, it is not parked, or the database is out of reach.
pub(crate) async fn retry(config: &Config, id: WorkId) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let work = job::retry_anywhere(&node.app, id).await?;
    print::note(format_args!(
        "{} {} is due again",
        work.kind,
        short(&work.subject)
    ));
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

fn line(work: &ParkedWork) -> String {
    let (subject, error) = (short(&work.subject), short(work.error.as_deref().unwrap_or("")));
    format!(
        "{} {} {subject} since {}: {error}",
        work.id, work.kind, work.updated_at
    )
}

fn short(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .take(SHOWN)
        .collect()
}
