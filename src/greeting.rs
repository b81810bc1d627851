//! What `tallygate dev` says when it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where to go, with what key, and a first request that works when it is pasted into a shell.
pub(crate) fn text(address: SocketAddr, admin: Option<SocketAddr>, key: &str, database: &str) -> String {
    let base = format!("http://{}", reachable(address));
    let metrics = admin.map_or_else(String::new, |admin| {
        format!("  Metrics   http://{}/metrics\n", reachable(admin))
    });
    let header = quoted(&format!("Authorization: Bearer {key}"));
    format!(
        "Tallygate is running on {database}.

  GraphQL   {base}/graphql
  GraphiQL  {base}/graphiql
{metrics}  API key   {key}

Try:

  curl -sS {base}/graphql -H 'Content-Type: application/json' -H {header} \\
    -d '{{\"query\":\"{{ viewer {{ tenant {{ id name mode }} scopes }} }}\"}}'
"
    )
}

/// An address that a browser on this machine can open: "everywhere" is no place to go.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_opened() {
        for (listens, opens) in [
            ("127.0.0.1:4000", "127.0.0.1:4000"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), opens);
        }
    }

    #[test]
    fn a_key_cannot_leave_its_quotes() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
