//! Where people reach this installation from outside, for addresses that stand in letters.

use url::Url;

/// Longest one, in bytes: with a path behind it a link still fits everywhere.
const LONGEST: usize = 500;

/// The address of the API as people know it, such as `https://billing.example.com`; it may go on with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// It is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address that begins with https:// or http://, without user, question mark and #, of {LONGEST} bytes at most"
)]
pub struct BadPublicUrl;

impl PublicUrl {
    /// Reads one.
    ///
    /// # Errors
    /// It is none that a browser could go on from.
    pub fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let url = Url::parse(text).map_err(|_| BadPublicUrl)?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        let text = url.as_str().trim_end_matches('/');
        let fits = is_web && is_bare && is_nobodys && text.len() <= LONGEST;
        fits.then(|| Self(text.to_owned())).ok_or(BadPublicUrl)
    }

    /// The address of a path, which begins with a slash.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_on_from_it() {
        for (text, wanted) in [
            ("https://billing.example.com", "https://billing.example.com/a"),
            ("https://billing.example.com/", "https://billing.example.com/a"),
            (
                "http://127.0.0.1:4000/tallygate//",
                "http://127.0.0.1:4000/tallygate/a",
            ),
            ("HTTPS://Billing.Example.com", "https://billing.example.com/a"),
        ] {
            assert_eq!(
                PublicUrl::parse(text).map(|it| it.of("/a")),
                Ok(wanted.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_beginning_of_an_address_is_refused() {
        let long = format!("https://billing.example.com/{}", "a".repeat(LONGEST));
        for text in [
            "",
            "billing.example.com",
            "/documents",
            "https://",
            "ftp://billing.example.com",
            "javascript:alert(1)",
            "https://eve@billing.example.com",
            "https://:secret@billing.example.com",
            "https://billing.example.com/?a=1",
            "https://billing.example.com/#a",
            &long,
        ] {
            assert_eq!(PublicUrl::parse(text), Err(BadPublicUrl), "{text}");
        }
    }
}
