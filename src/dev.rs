//! `tallygate dev`: everything in one process, with nothing to set up.

use std::{process::ExitCode, time::Duration};

use api::Options;
use app::job::Lane;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin},
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
    let (node, parts) = started?;
    serve::until_stopped(node, parts, stop).await
}

async fn start(config: &Config) -> Outcome<(Node, serve::Parts)> {
    // First of all, because a second `dev` in the same folder is the most common mistake.
    let listener = serve::bind(&config.listen, serve::PUBLIC).await?;
    migrate::make_data_dir(config)?;
    let db = database::open(config).await?;
    migrate::apply(&db).await?;
    let node = Node::new(&config.of_dev(), db);
    let key = dev_key::obtain(config, &node.app).await?;
    let address = serve::address(&listener)?;
    let admin = Admin::open(&config.admin_listen, admin::USUAL).await?;
    let figures = admin
        .as_ref()
        .map(|admin| serve::address(&admin.listener))
        .transpose()?;
    print::result(greeting::text(address, figures, &key, &config.database_name()));
    // The editor shows its key to whoever can open it.
    let dev_key = address.ip().is_loopback().then_some(key);
    let options = Options {
        dev: true,
        dev_key,
        limits: config.limits.clone(),
        live: config.live(),
        ..Options::default()
    };
    let lanes = Lane::ALL.map(|lane| (lane, usize::from(lane.usual_concurrency())));
    let parts = serve::Parts {
        // A person who stops it does not want to wait.
        door: Some(serve::Door {
            listener,
            options,
            delay: Duration::ZERO,
        }),
        lanes: Some(lanes.to_vec()),
        admin,
    };
    Ok((node, parts))
}
