//! Which addresses may be called. Others write them down, and we stand where they cannot: beside our own database, beside the address at
//! which a cloud gives its machines their keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, ParseError, Url};

/// Longest address, in characters.
pub const LONGEST_URL: usize = 2_048;

const fn v4(a: u8, b: u8, c: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// What is not of the public Internet in version 4: this machine, private networks, what providers keep for themselves, the links between
/// two machines, examples, measurements, groups, and what is not given out.
const CLOSED_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
];
/// All that is given out of version 6.
const OPEN_V6: Ipv6Net = v6(0x2000, 0, 3);
/// What is not public in it: protocols (Teredo among them, which hides an address of version 4), examples, and 6to4, which hides one too.
const CLOSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];
/// Where a network that has version 6 alone puts the whole of version 4.
const TRANSLATED: Ipv6Net = v6(0x64, 0xff9b, 96);

/// Which addresses may be called: those of the public Internet, sealed; and what an operator adds to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that may be called although they are not public, by `http://` too where the address says so by number.
    pub allow: Vec<IpNet>,
    /// Whether all may be called by `http://`, where everybody on the way reads along.
    pub plain_http: bool,
}

/// An entry that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It cannot be read.
    #[error("\"{0}\" is no network such as \"10.1.0.0/16\" and no address such as \"10.1.2.3\"")]
    Unreadable(String),
    /// It says two things, and the larger of them is seldom meant.
    #[error("\"{0}\" is an address within a network: write \"{1}\" for all of the network")]
    Inexact(IpNet, IpNet),
}

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It has too many characters.
    #[error("the address is longer than {LONGEST_URL} characters")]
    TooLong,
    /// It is not an address, or not one that everybody reads alike.
    #[error("the address cannot be read: write it like \"https://example.com/webhooks\", without spaces")]
    Unreadable,
    /// It is neither `https://` nor an `http://` that is allowed.
    #[error("the address must begin with \"https://\"")]
    NotHttps,
    /// There is no host in it.
    #[error("the address has no host")]
    NoHost,
    /// There is a name or a password in it, which would be shown wherever the address is.
    #[error("the address must not contain a user name or a password")]
    WithUser,
    /// There is a part in it that is never sent.
    #[error("the address must not contain \"#\" and what follows it")]
    WithFragment,
    /// It leads to where we may not call.
    #[error("the address leads to {0}, which is not on the public Internet")]
    Forbidden(String),
}

impl AddressPolicy {
    /// One that also allows networks and single addresses, separated by commas. An empty text allows none.
    ///
    /// # Errors
    /// The first entry that is not one.
    pub fn parse(allow: &str, plain_http: bool) -> Result<Self, BadNetwork> {
        let entries = allow.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let allow = entries.map(network).collect::<Result<_, _>>()?;
        Ok(Self { allow, plain_http })
    }

    /// An address as it is called, if it may be. A name is checked again where it is resolved.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &str) -> Result<Url, BadUrl> {
        if text.chars().count() > LONGEST_URL {
            return Err(BadUrl::TooLong);
        }
        let url = read(text)?;
        let host = url.host().ok_or(BadUrl::NoHost)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::WithUser);
        }
        if url.fragment().is_some() {
            return Err(BadUrl::WithFragment);
        }
        let known = known(&host);
        if !known.is_empty() && !known.iter().any(|ip| self.admits(*ip)) {
            return Err(BadUrl::Forbidden(host.to_string()));
        }
        let near = || known.iter().any(|ip| self.allows(*ip));
        if url.scheme() == "https" || self.plain_http || near() {
            Ok(url)
        } else {
            Err(BadUrl::NotHttps)
        }
    }

    /// Whether this address may be dialled.
    #[must_use]
    pub fn admits(&self, ip: IpAddr) -> bool {
        self.allows(ip) || is_public(meant(ip))
    }

    /// Whether an operator has named it, in whichever of its forms.
    fn allows(&self, ip: IpAddr) -> bool {
        let meant = meant(ip);
        self.allow
            .iter()
            .any(|net| net.contains(&ip) || net.contains(&meant))
    }
}

/// An entry of the list.
fn network(entry: &str) -> Result<IpNet, BadNetwork> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let net: IpNet = entry
        .parse()
        .map_err(|_| BadNetwork::Unreadable(entry.to_owned()))?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(BadNetwork::Inexact(net, net.trunc()))
    }
}

/// An address of HTTP. The standard of the web mends what it finds (it drops line ends and takes `\` for `/`); what it would have to mend
/// is refused, since others mend it otherwise.
fn read(text: &str) -> Result<Url, BadUrl> {
    let odd = |sign: char| sign.is_control() || sign.is_whitespace() || sign == '\\';
    if text.contains(odd) {
        return Err(BadUrl::Unreadable);
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::EmptyHost => BadUrl::NoHost,
        _ => BadUrl::Unreadable,
    })?;
    if matches!(url.scheme(), "https" | "http") {
        Ok(url)
    } else {
        Err(BadUrl::NotHttps)
    }
}

/// The addresses of a host that are known without asking anybody: that of a number, and those of this machine.
fn known(host: &Host<&str>) -> Vec<IpAddr> {
    match host {
        Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
        Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
        Host::Domain(name) if is_local(name) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Host::Domain(_) => Vec::new(),
    }
}

/// Whether a name is this machine's, by the standard for names (RFC 6761).
fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// The address that is reached by another. The translated ones count as what they are translated to, because on a machine that has
/// version 6 alone every name of version 4 leads to one.
fn meant(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if TRANSLATED.contains(&ip) => {
            let [.., a, b, c, d] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        ip => ip,
    }
}

/// Whether an address is of the public Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !CLOSED_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => OPEN_V6.contains(&ip) && !CLOSED_V6.iter().any(|net| net.contains(&ip)),
    }
}

#[cfg(test)]
mod tests;
