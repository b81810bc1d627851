//! How long a receiver wants to be left alone.

use std::time::{Duration, UNIX_EPOCH};

/// Longest that is heeded: a receiver must not be able to put a message off for good.
const LONGEST: Duration = Duration::from_hours(24);

/// What the header `Retry-After` says at the second `now` since 1970: seconds, or a date, of which nothing is left when it is past.
/// `None`: it says nothing that can be read.
pub(super) fn read(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if digits {
        // More digits than fit are longer than the longest, too.
        text.parse().unwrap_or(u64::MAX)
    } else {
        let moment = httpdate::parse_http_date(text).ok()?;
        let since = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
        since.saturating_sub(u64::try_from(now).unwrap_or(0))
    };
    Some(Duration::from_secs(seconds).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        // 2015-10-21T07:28:00Z.
        let now = 1_445_412_480;
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
            ("Wed, 21 Oct 2015 07:30:00 GMT", Some(120)),
            ("Wednesday, 21-Oct-15 07:30:00 GMT", Some(120)),
            ("Wed Oct 21 07:30:00 2015", Some(120)),
            ("Wed, 21 Oct 2014 07:28:00 GMT", None),
            ("Tue, 21 Oct 2014 07:28:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("120, 60", None),
        ] {
            assert_eq!(read(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
