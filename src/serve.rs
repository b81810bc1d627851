//! The long-running processes: the API, the worker, or both.
//!
//! The parts stop together: on a signal, or when one of them breaks. An API first says that it is leaving and serves on for a
//! moment, so that load balancers stop sending. Each part bounds its own stop, the API at 20 seconds and the worker at 27.

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use api::Options;
use app::{feed::Feed, health::Health, job::Lane};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin},
    cli::WorkerArgs,
    config::Config,
    database::Node,
    failure::{Failure, Outcome},
    figures::Figures,
    keys, readiness, shutdown,
};

/// Where the API is reached and how it behaves.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) options: Options,
    /// How long it goes on serving when it is to stop.
    pub(crate) delay: Duration,
}

/// Lanes and jobs at once in each.
type Lanes = Vec<(Lane, usize)>;

/// What a process does.
pub(crate) struct Parts {
    /// The API.
    pub(crate) door: Option<Door>,
    /// The work.
    pub(crate) lanes: Option<Lanes>,
    /// What operators see.
    pub(crate) admin: Option<Admin>,
}

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
        let listener = bind(&config.listen, PUBLIC).await?;
        let admin = Admin::open(&config.admin_listen, admin::USUAL).await?;
        tracing::info!(address = %address(&listener)?, "the API listens");
        let door = Door {
            listener,
            options: Options {
                limits: config.limits.clone(),
                live: config.live(),
                ..Options::default()
            },
            delay: config.shutdown_delay,
        };
        Outcome::Ok((node, door, admin))
    };
    let Some(started) = stop.run_until_cancelled(start).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let (node, door, admin) = started?;
    let parts = Parts {
        door: Some(door),
        lanes: None,
        admin,
    };
    until_stopped(node, parts, stop).await
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
    let start = async {
        let node = Node::ready(config).await?;
        let admin = Admin::open(&config.admin_listen, admin::USUAL_OF_WORKER).await?;
        Outcome::Ok((node, admin))
    };
    let Some(started) = stop.run_until_cancelled(start).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let (node, admin) = started?;
    let chosen = Lane::ALL
        .into_iter()
        .filter(|lane| args.lanes.is_empty() || args.lanes.contains(lane));
    let at_once = |lane: Lane| args.concurrency.unwrap_or_else(|| lane.usual_concurrency());
    let lanes: Lanes = chosen.map(|lane| (lane, usize::from(at_once(lane)))).collect();
    let names: Vec<_> = lanes
        .iter()
        .map(|(lane, at_once)| format!("{}:{at_once}", lane.as_str()))
        .collect();
    tracing::info!(lanes = names.join(","), "the worker works");
    let parts = Parts {
        door: None,
        lanes: Some(lanes),
        admin,
    };
    until_stopped(node, parts, stop).await
}

/// Runs the parts until the signal, or until one of them breaks, and closes the database.
///
/// # Errors
/// A part broke.
pub(crate) async fn until_stopped(node: Node, parts: Parts, stop: &CancellationToken) -> Outcome<ExitCode> {
    let Parts {
        mut door,
        lanes,
        admin,
    } = parts;
    let stop = stop.child_token();
    let health = Health::new(stop.clone());
    // Operators see the process to its very end.
    let ended = CancellationToken::new();
    let shown =
        admin.map(|admin| tokio::spawn(admin.serve(health.clone(), Figures::of(&node), ended.clone())));
    if let Some(door) = &mut door {
        door.options.health = Some(health.clone());
    }
    let serves = door.is_some();
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
    let parts = async { tokio::join!(serving, working) };
    let (served, worked) = tokio::select! {
        ended = parts => ended,
        () = readiness::watch(&node, serves, &health) => unreachable!("the watch has no end"),
    };
    shutdown::close(node.app.db()).await;
    ended.cancel();
    if let Some(shown) = shown {
        let _ = shown.await;
    }
    served.and(worked)?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn serve(node: &Node, door: Option<Door>, stop: &CancellationToken) -> Outcome<()> {
    let Some(Door {
        listener,
        options,
        delay,
    }) = door
    else {
        return Ok(());
    };
    // While it says that it leaves, everything else goes on.
    let closing = CancellationToken::new();
    let announced = tokio::spawn(announce(stop.clone(), delay, closing.clone()));
    let feed = tokio::spawn(Feed::run(node.app.clone(), closing.clone()));
    let served = api::serve(node.app.clone(), listener, options, closing.clone()).await;
    let early = !closing.is_cancelled();
    announced.abort();
    feed.abort();
    match served {
        Err(error) => Err(Failure::of("the API broke", error)),
        Ok(()) if early => Err(Failure::new("the API ended without being asked to")),
        Ok(()) => Ok(()),
    }
}

/// Cancels `closing` when `delay` has passed since `stop`.
async fn announce(stop: CancellationToken, delay: Duration, closing: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(delay).await;
    closing.cancel();
}

async fn work(node: &Node, lanes: Option<Lanes>, stop: &CancellationToken) -> Outcome<()> {
    let Some(lanes) = lanes else { return Ok(()) };
    worker::run(node.app.clone(), node.queue.clone(), lanes, stop.clone())
        .await
        .map_err(|error| Failure::of("the worker broke", error))
}

/// How the public address is chosen.
pub(crate) const PUBLIC: &str = "--listen and TALLYGATE_LISTEN";

/// Takes an address, which is chosen by `settings`.
///
/// # Errors
/// It is taken, not ours, or no address.
pub(crate) async fn bind(listen: &str, settings: &str) -> Outcome<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another process uses it: stop that one, or choose another port with {settings}")
            }
            io::ErrorKind::PermissionDenied => {
                "this user may not use it: choose a port above 1023".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "it is no address of this machine: try 0.0.0.0 for all that it has".to_owned()
            }
            _ => format!("{settings} take ADDRESS:PORT, such as 127.0.0.1:4000"),
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
