//! Where a request comes from.

use std::{net::IpAddr, str::FromStr};

use axum::http::HeaderMap;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Header in which proxies say for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Bits that tell one IPv6 caller from another: a household or a server has a /64 of its own.
const V6_CALLER: u8 = 64;

/// The address of the caller: the peer, or, when that is a proxy we trust, the last address in `X-Forwarded-For` that is none.
/// Of IPv6 the network only, because a caller has as many addresses as it likes.
pub(crate) fn caller_address(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut caller = peer.to_canonical();
    if trusted(caller) {
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let mut hops: Vec<&str> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .collect();
        while trusted(caller)
            && let Some(hop) = hops.pop()
        {
            // What is no address was not written by a proxy that we trust.
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            caller = address.to_canonical();
        }
    }
    match caller {
        IpAddr::V4(_) => caller,
        IpAddr::V6(_) => masked(caller, V6_CALLER),
    }
}

/// A network: an address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address and no network such as `10.0.0.0/8`");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self {
            address: masked(address, bits),
            bits,
        })
    }
}

/// An address of which only so many bits are kept.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::from((address.to_bits() & mask).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn caller(peer: &str, forwarded: &[&'static str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let proxies: Vec<Network> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        caller_address(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn only_proxies_that_are_trusted_may_say_for_whom_they_ask() {
        let proxies = ["10.0.0.0/8", "127.0.0.1"];
        assert_eq!(caller("192.0.2.1", &["198.51.100.7"], &proxies), "192.0.2.1");
        assert_eq!(caller("10.1.2.3", &["198.51.100.7"], &proxies), "198.51.100.7");
        assert_eq!(caller("10.1.2.3", &["198.51.100.7"], &[]), "10.1.2.3");
        assert_eq!(caller("127.0.0.1", &[], &proxies), "127.0.0.1");
        // What the caller itself wrote stands before what the proxies added.
        assert_eq!(
            caller("10.1.2.3", &["1.1.1.1, 198.51.100.7, 10.9.9.9"], &proxies),
            "198.51.100.7"
        );
        assert_eq!(
            caller("10.1.2.3", &["1.1.1.1", "198.51.100.7"], &proxies),
            "198.51.100.7"
        );
        assert_eq!(caller("10.1.2.3", &["1.1.1.1, nonsense"], &proxies), "10.1.2.3");
        assert_eq!(
            caller("::ffff:10.1.2.3", &["198.51.100.7"], &proxies),
            "198.51.100.7"
        );
    }

    #[test]
    fn an_ipv6_caller_is_its_network() {
        assert_eq!(caller("2001:db8:1:2:3:4:5:6", &[], &[]), "2001:db8:1:2::");
        assert_eq!(caller("::1", &["2001:db8::7"], &["::1"]), "2001:db8::");
    }

    #[test]
    fn networks() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a",
            "10.0.0.0/x",
            "10.0.0.1/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.1.2.3".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
    }
}
