//! A mail server: where it is, and how it is spoken to.

use std::{fmt, time::Duration};

use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, TlsParameters},
    extension::ClientId,
};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::BadSmtp;

/// The port at which sealed connections are taken.
const SEALED_PORT: u16 = 465;
/// The port at which customers of a server hand in letters.
const SUBMISSION_PORT: u16 = 587;
/// The port of the old way.
const PLAIN_PORT: u16 = 25;

/// When a connection is sealed.
enum Seal {
    /// From the start.
    Always(TlsParameters),
    /// Before anything is said, or nothing is.
    Required(TlsParameters),
    /// If the server can.
    IfPossible(TlsParameters),
    /// Never.
    Never,
}

/// Where a server is, and how it is spoken to.
pub(super) struct Server {
    host: String,
    port: u16,
    seal: Seal,
    credentials: Option<Credentials>,
    /// How we greet.
    name: ClientId,
}

impl fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Server {
    /// Reads an address.
    pub(super) fn parse(text: &str) -> Result<Self, BadSmtp> {
        let url = Url::parse(text).map_err(|_| BadSmtp::Server("it cannot be read"))?;
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            _ => return Err(BadSmtp::Server("it has no host")),
        };
        let (port, seal) = seal(&url, &host)?;
        let name = url.path().trim_matches('/');
        Ok(Self {
            port: url.port().unwrap_or(port),
            host,
            seal,
            credentials: credentials(&url)?,
            name: match name {
                "" => ClientId::default(),
                name => ClientId::Domain(name.to_owned()),
            },
        })
    }

    /// A connection on which letters can be sent. Each address of the server is given `patience`.
    pub(super) async fn connect(&self, patience: Duration) -> Result<AsyncSmtpConnection, Error> {
        let sealed = match &self.seal {
            Seal::Always(tls) => Some(tls.clone()),
            _ => None,
        };
        let at = (self.host.as_str(), self.port);
        let opened = AsyncSmtpConnection::connect_tokio1(at, Some(patience), &self.name, sealed, None);
        let mut connection = opened.await?;
        match &self.seal {
            Seal::Required(tls) => connection.starttls(tls.clone(), &self.name).await?,
            Seal::IfPossible(tls) if connection.can_starttls() => {
                connection.starttls(tls.clone(), &self.name).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// How an address wants to be sealed, and the port where that is done.
fn seal(url: &Url, host: &str) -> Result<(u16, Seal), BadSmtp> {
    let mut wish = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" || wish.is_some() {
            return Err(BadSmtp::Server(
                "after \"?\" there is \"tls=\" once and nothing else",
            ));
        }
        wish = Some(value.into_owned());
    }
    let tls = || {
        let parameters = TlsParameters::new(host.to_owned());
        parameters.map_err(|error| BadSmtp::NoTrust(error.to_string()))
    };
    match (url.scheme(), wish.as_deref()) {
        ("smtps", None) => Ok((SEALED_PORT, Seal::Always(tls()?))),
        ("smtp", Some("required")) => Ok((SUBMISSION_PORT, Seal::Required(tls()?))),
        ("smtp", Some("opportunistic")) => Ok((SUBMISSION_PORT, Seal::IfPossible(tls()?))),
        ("smtp", None) => Ok((PLAIN_PORT, Seal::Never)),
        ("smtp", Some(_)) => Err(BadSmtp::Server("\"tls\" is \"required\" or \"opportunistic\"")),
        ("smtps", Some(_)) => Err(BadSmtp::Server("smtps:// is sealed without \"tls\"")),
        _ => Err(BadSmtp::Server("it begins with smtp:// or smtps://")),
    }
}

/// The name and the password of an address, if there is a password.
fn credentials(url: &Url) -> Result<Option<Credentials>, BadSmtp> {
    let plain = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from)
            .map_err(|_| BadSmtp::Server("its name or password is no text"))
    };
    let Some(password) = url.password() else {
        return Ok(None);
    };
    Ok(Some(Credentials::new(plain(url.username())?, plain(password)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an address stands for, without its password.
    fn read(text: &str) -> Result<(String, &'static str, bool, String), BadSmtp> {
        let server = Server::parse(text)?;
        let seal = match server.seal {
            Seal::Always(_) => "always",
            Seal::Required(_) => "required",
            Seal::IfPossible(_) => "if possible",
            Seal::Never => "never",
        };
        let signed_in = server.credentials.is_some();
        Ok((format!("{server:?}"), seal, signed_in, server.name.to_string()))
    }

    #[test]
    fn addresses_as_lettre_takes_them() {
        for (text, at, seal, signed_in) in [
            (
                "smtps://u:p@mail.example.com",
                "mail.example.com:465",
                "always",
                true,
            ),
            (
                "smtps://mail.example.com:1465",
                "mail.example.com:1465",
                "always",
                false,
            ),
            (
                "smtp://u:p@mail.example.com:587?tls=required",
                "mail.example.com:587",
                "required",
                true,
            ),
            (
                "smtp://u:p@mail.example.com/?tls=required",
                "mail.example.com:587",
                "required",
                true,
            ),
            (
                "smtp://mail.example.com?tls=opportunistic",
                "mail.example.com:587",
                "if possible",
                false,
            ),
            ("smtp://127.0.0.1:1025", "127.0.0.1:1025", "never", false),
            ("smtp://[::1]:1025", "::1:1025", "never", false),
            ("smtp://localhost", "localhost:25", "never", false),
        ] {
            let (host, how, who, _) = read(text).unwrap();
            assert_eq!((host.as_str(), how, who), (at, seal, signed_in), "{text}");
        }
        assert_eq!(
            read("smtp://localhost/billing.example").unwrap().3,
            "billing.example"
        );
    }

    #[test]
    fn what_is_no_address_of_a_server() {
        for text in [
            "",
            "mail.example.com:25",
            "http://mail.example.com",
            "smtp://",
            "smtp:///x",
            "smtp://host?tls=maybe",
            "smtps://host?tls=required",
            "smtp://host?tls=required&tls=required",
            "smtp://host?timeout=5",
            "smtp://u:%ff@host",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("the mail server is"), "{text}: {error}");
        }
        let error = read("smtp://user:s3cret@host?tls=x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn a_password_may_have_any_sign() {
        let server = Server::parse("smtp://a%40b:p%3A%2F%20%25@host").unwrap();
        let expected = Credentials::new("a@b".to_owned(), "p:/ %".to_owned());
        assert_eq!(server.credentials, Some(expected));
        assert!(!format!("{server:?}").contains("p:/"));
    }
}
