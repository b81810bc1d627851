//! `tallygate dev`: everything in one process, with nothing to set up.

use std::process::ExitCode;

use api::Options;
use app::job::Lane;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::DEFAULT_CONCURRENCY,
    config::Config,
    database::{self, Node},
    dev_key,
    failure::Outcome,
    greeting, migrate, print, serve,
};

/// Migrates, makes a key, greets, and serves and works until stopped.
///
/// # Errors
/// The database or the address cannot be used.
pub(crate) async fn run(config: &Config, stop: &CancellationToken) -> Outcome<ExitCode> {
    let Some(started) = stop.run_until_cancelled(start(config)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let (node, door) = started?;
    let lanes = Lane::ALL.map(|lane| (lane, usize::from(DEFAULT_CONCURRENCY)));
    serve::until_stopped(node, Some(door), Some(lanes.to_vec()), stop).await
}

async fn start(config: &Config) -> Outcome<(Node, serve::Door)> {
    // First of all, because a second `dev` in the same folder is the most common mistake.
    let listener = serve::bind(&config.listen).await?;
    migrate::make_data_dir(config)?;
    let db = database::open(config).await?;
    migrate::apply(&db).await?;
    let node = Node::new(config, db);
    let key = dev_key::obtain(config, &node.app).await?;
    let address = serve::address(&listener)?;
    print::result(greeting::text(address, &key, &config.database_name()));
    // The editor shows its key to whoever can open it.
    let dev_key = address.ip().is_loopback().then_some(key);
    Ok((
        node,
        serve::Door {
            listener,
            options: Options {
                dev: true,
                dev_key,
                live: config.live(),
            },
        },
    ))
}
