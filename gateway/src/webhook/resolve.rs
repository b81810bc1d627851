//! From names to addresses that may be dialled. What is checked here is what is dialled: a name that leads elsewhere a moment later is
//! resolved and checked again before anybody connects.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::AddressPolicy;

/// Who knows the addresses of names.
#[async_trait::async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a name.
    ///
    /// # Errors
    /// The name has none, or nobody could be asked.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// What this machine knows: its own list, and the servers that it asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait::async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

/// A name leads to where we may not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name leads to {0}, which may not be called")]
pub(super) struct Forbidden(IpAddr);

/// The addresses of names that may be called.
#[derive(Clone)]
pub(super) struct Checked {
    policy: Arc<AddressPolicy>,
    lookup: Arc<dyn Lookup>,
}

impl Checked {
    pub(super) fn new(policy: Arc<AddressPolicy>, lookup: Arc<dyn Lookup>) -> Self {
        Self { policy, lookup }
    }

    /// The addresses of a name, all of which may be called. A name with one that may not is nobody's to call, since which of them is
    /// dialled is chance.
    async fn addresses(&self, name: &str) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.lookup.lookup(name).await?;
        if let Some(ip) = found.iter().find(|ip| !self.policy.admits(**ip)) {
            return Err(Forbidden(*ip).into());
        }
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no addresses").into());
        }
        // The port 0 stands for the one of the address that is called.
        Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))))
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = self.clone();
        Box::pin(async move { checked.addresses(name.as_str()).await })
    }
}
