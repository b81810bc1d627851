//! The long-running processes: the API, the worker, or both.
//!
//! The parts stop together: on a signal, or when one of them breaks. Each bounds its own stop, the API at 20 seconds and the
//! worker at 27.

use std::{io, net::SocketAddr, process::ExitCode};

use api::Options;
use app::{feed::Feed, job::Lane};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::WorkerArgs,
    config::Config,
    database::Node,
    failure::{Failure, Outcome},
    keys, shutdown,
};

/// Where the API is reached and how it behaves.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) options: Options,
}

/// Lanes and jobs at once in each.
type Lanes = Vec<(Lane, usize)>;

/// `tallygate api`.
///
/// # Errors
/// The database or the address cannot be used.
pub(crate) async fn api(config: &Config, stop: &CancellationToken) -> Outcome<ExitCode> {
    let start = async {
        let node = Node::ready(config).await?;
        if let Some(key) = &config.bootstrap_key {
            keys::bootstrap(&node.app, key).await?;
        }
        let listener = bind(&config.listen).await?;
        tracing::info!(address = %address(&listener)?, "the API listens");
        let options = Options {
            dev: false,
            dev_key: None,
            live: config.live(),
        };
        Outcome::Ok((node, Door { listener, options }))
    };
    let Some(started) = stop.run_until_cancelled(start).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let (node, door) = started?;
    until_stopped(node, Some(door), None, stop).await
}

/// `tallygate worker`.
///
/// # Errors
/// The database cannot be used, or the supervision of the lanes broke.
pub(crate) async fn worker(
    config: &Config,
    args: &WorkerArgs,
    stop: &CancellationToken,
) -> Outcome<ExitCode> {
    let Some(ready) = stop.run_until_cancelled(Node::ready(config)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let node = ready?;
    let chosen = Lane::ALL
        .into_iter()
        .filter(|lane| args.lanes.is_empty() || args.lanes.contains(lane));
    let lanes: Lanes = chosen.map(|lane| (lane, usize::from(args.concurrency))).collect();
    let names: Vec<_> = lanes.iter().map(|(lane, _)| lane.as_str()).collect();
    tracing::info!(
        lanes = names.join(","),
        concurrency = args.concurrency,
        "the worker works"
    );
    until_stopped(node, None, Some(lanes), stop).await
}

/// Runs the parts until the signal, or until one of them breaks, and closes the database.
///
/// # Errors
/// A part broke.
pub(crate) async fn until_stopped(
    node: Node,
    door: Option<Door>,
    lanes: Option<Lanes>,
    stop: &CancellationToken,
) -> Outcome<ExitCode> {
    let stop = stop.child_token();
    let serving = async {
        let ended = serve(&node, door, &stop).await;
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let working = async {
        let ended = work(&node, lanes, &stop).await;
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let (served, worked) = tokio::join!(serving, working);
    shutdown::close(node.app.db()).await;
    served.and(worked)?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn serve(node: &Node, door: Option<Door>, stop: &CancellationToken) -> Outcome<()> {
    let Some(Door { listener, options }) = door else {
        return Ok(());
    };
    let feed = tokio::spawn(Feed::run(node.app.clone(), stop.clone()));
    let served = api::serve(node.app.clone(), listener, options, stop.clone()).await;
    let early = !stop.is_cancelled();
    feed.abort();
    match served {
        Err(error) => Err(Failure::of("the API broke", error)),
        Ok(()) if early => Err(Failure::new("the API ended without being asked to")),
        Ok(()) => Ok(()),
    }
}

async fn work(node: &Node, lanes: Option<Lanes>, stop: &CancellationToken) -> Outcome<()> {
    let Some(lanes) = lanes else { return Ok(()) };
    worker::run(node.app.clone(), node.queue.clone(), lanes, stop.clone())
        .await
        .map_err(|error| Failure::of("the worker broke", error))
}

/// Takes an address.
///
/// # Errors
/// It is taken, not ours, or no address.
pub(crate) async fn bind(listen: &str) -> Outcome<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process uses it: stop that one, or choose another port with --listen or TALLYGATE_LISTEN"
            }
            io::ErrorKind::PermissionDenied => "this user may not use it: choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => "it is no address of this machine: try 0.0.0.0 for all that it has",
            _ => "--listen and TALLYGATE_LISTEN take ADDRESS:PORT, such as 127.0.0.1:4000",
        };
        Failure::new(format!("cannot listen on {listen}: {error}; {hint}"))
    })
}

/// The address that was taken.
///
/// # Errors
/// The system does not tell.
pub(crate) fn address(listener: &TcpListener) -> Outcome<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Failure::of("the address of the listener is unknown", error))
}
