//! The secret key of a Stripe account, and where it may be sent.

use hyper::header::HeaderValue;

use crate::http::sealed;

/// Why a key cannot be used. The key itself is never told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is not one of those with which money can be asked for.
    #[error("a secret key of Stripe begins with sk_test_, rk_test_, sk_live_ or rk_live_")]
    NotSecret,
    /// The address is not one to which a secret may be sent.
    #[error("Stripe's address is https:// and a host; http:// is for this machine alone")]
    NotSealed,
    /// Nothing can be sealed on this machine.
    #[error("no certificates that could be trusted: {0}")]
    NoTrust(String),
}

/// A key as it is sent, and whether it moves real money.
pub(super) fn read(key: &str) -> Result<(HeaderValue, bool), BadKey> {
    let begins = |prefixes: [&str; 2]| {
        prefixes
            .into_iter()
            .filter_map(|prefix| key.strip_prefix(prefix))
            .any(|rest| !rest.is_empty())
    };
    let live = begins(["sk_live_", "rk_live_"]);
    if !live && !begins(["sk_test_", "rk_test_"]) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadKey::NotSecret);
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BadKey::NotSecret)?;
    bearer.set_sensitive(true);
    Ok((bearer, live))
}

/// An address without its last slash, if a key may be sent there.
pub(super) fn address(text: &str) -> Result<String, BadKey> {
    let url = sealed(text)
        .filter(|url| url.path() == "/")
        .ok_or(BadKey::NotSealed)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// An address to which people may be sent.
#[must_use]
pub fn return_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
    is_web.then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whether_money_is_real() {
        for (key, live) in [
            ("sk_test_1", false),
            ("rk_test_1", false),
            ("sk_live_1", true),
            ("rk_live_1", true),
        ] {
            assert_eq!(read(key).map(|(_, live)| live), Ok(live), "{key}");
        }
        for key in [
            "",
            "pk_test_1",
            "sk_test_",
            "sk_live_",
            "whsec_1",
            " sk_test_1",
            "sk_test_1\n",
            "sk_test_é",
            "sk_prod_1",
        ] {
            assert_eq!(read(key).map(|(_, live)| live), Err(BadKey::NotSecret), "{key:?}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let (bearer, _) = read("sk_test_verysecret").unwrap();
        assert!(!format!("{bearer:?}").contains("verysecret"));
    }

    #[test]
    fn a_key_goes_nowhere_in_the_clear() {
        for (text, base) in [
            ("https://api.stripe.com", "https://api.stripe.com"),
            ("https://api.stripe.com/", "https://api.stripe.com"),
            ("http://127.0.0.1:12111", "http://127.0.0.1:12111"),
            ("http://localhost:1", "http://localhost:1"),
            ("http://[::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(address(text), Ok(base.to_owned()));
        }
        for text in [
            "",
            "api.stripe.com",
            "http://api.stripe.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://api.stripe.com/v1",
            "https://api.stripe.com/?a=b",
            "https://api.stripe.com/#a",
            "https://me@api.stripe.com",
        ] {
            assert_eq!(address(text), Err(BadKey::NotSealed), "{text}");
        }
    }
}
