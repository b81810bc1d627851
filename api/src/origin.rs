//! Which web pages may open a live connection.
//!
//! A browser lets any page open a WebSocket to any server and names the page in `Origin`. Credentials travel in messages
//! and headers, never in cookies, so a foreign page has none to abuse; the check is the second wall. Programs that are no
//! browsers send no `Origin` and are not asked.

use axum::http::{HeaderMap, header};

/// Whether the page that asks may do so: it was served by us, or it is on the list.
pub(crate) fn is_allowed(headers: &HeaderMap, list: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    // Two origins are a trick.
    if origins.next().is_some() {
        return false;
    }
    let own = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .zip(origin.split_once("://"))
        .is_some_and(|(host, (_, authority))| authority.eq_ignore_ascii_case(host));
    own || list
        .iter()
        .any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn own_pages_listed_pages_and_programs_are_let_in() {
        let list = ["https://console.example".to_owned()];
        let allowed = |origin: Option<&'static str>, list: &[String]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("api.example:4000"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_allowed(&headers, list)
        };
        assert!(allowed(None, &[]));
        assert!(allowed(Some("http://api.example:4000"), &[]));
        assert!(allowed(Some("https://console.example"), &list));
        assert!(allowed(Some("https://evil.example"), &["*".to_owned()]));
        for origin in [
            "https://evil.example",
            "http://console.example",
            "https://console.example.evil.example",
            "http://api.example",
            "http://api.example:4000.evil.example",
            "null",
            "",
        ] {
            assert!(!allowed(Some(origin), &list), "{origin}");
        }
    }

    #[test]
    fn two_origins_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://b.example"));
        assert!(!is_allowed(&headers, &["https://a.example".to_owned()]));
    }
}
