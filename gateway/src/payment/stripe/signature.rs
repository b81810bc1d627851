//! Whether a notice is Stripe's: each is signed with a secret that only Stripe and we know, together with the moment, so that a notice
//! that somebody has kept is not good for long.

use domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far the moment of a notice may lie from now, in seconds.
const TOLERANCE: u64 = 300;

/// Why a notice is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is no signature in it that could be checked.
    #[error("the signature cannot be read")]
    Unreadable,
    /// It was not signed with this secret, or it was changed afterwards.
    #[error("the signature does not belong to the notice")]
    Mismatch,
    /// It is Stripe's, but of another time: a repetition by somebody else, or a clock that is wrong.
    #[error("the notice was not signed just now")]
    OutOfTime,
}

/// Checks the body of a notice, byte for byte as it came, against its header `Stripe-Signature`. While a secret is being replaced Stripe
/// signs with both, so that one good signature is enough.
///
/// # Errors
/// A notice that is not to be believed.
pub fn verify(secret: &str, header: &str, body: &[u8], now: Timestamp) -> Result<(), Forged> {
    let (moment, signatures) = parts(header)?;
    // With no secret anybody could sign.
    let empty = secret.is_empty();
    let mut signed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| Forged::Mismatch)?;
    signed.update(moment.as_bytes());
    signed.update(b".");
    signed.update(body);
    // In the same time whatever the bytes are.
    let good = |signature: &Vec<u8>| signed.clone().verify_slice(signature).is_ok();
    if empty || !signatures.iter().any(good) {
        return Err(Forged::Mismatch);
    }
    let second: i64 = moment.parse().map_err(|_| Forged::Unreadable)?;
    if (now.micros() / 1_000_000).abs_diff(second) > TOLERANCE {
        return Err(Forged::OutOfTime);
    }
    Ok(())
}

/// The moment, as it is written, and the signatures of the kind that we know.
fn parts(header: &str) -> Result<(&str, Vec<Vec<u8>>), Forged> {
    let mut moment = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) if moment.is_none() => moment = Some(text),
            Some(("t", _)) => return Err(Forged::Unreadable),
            Some(("v1", text)) => signatures.extend(hex::decode(text)),
            _ => {}
        }
    }
    match moment {
        Some(moment) if !signatures.is_empty() => Ok((moment, signatures)),
        _ => Err(Forged::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_test_secret";
    const BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded"}"#;
    const SECOND: i64 = 1_800_000_000;
    /// HMAC-SHA256 of `1800000000.{BODY}` under `SECRET`, computed elsewhere.
    const SIGNATURE: &str = "334f9dbfd609cf6c38f112f028756732c80faa7fdbeab117549d6303a5dcf896";
    const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn header() -> String {
        format!("t={SECOND},v1={SIGNATURE}")
    }

    #[test]
    fn a_good_signature_is_believed_for_five_minutes() {
        for (now, result) in [
            (SECOND, Ok(())),
            (SECOND + 300, Ok(())),
            (SECOND - 300, Ok(())),
            (SECOND + 301, Err(Forged::OutOfTime)),
            (SECOND - 301, Err(Forged::OutOfTime)),
        ] {
            assert_eq!(verify(SECRET, &header(), BODY, at(now)), result, "{now}");
        }
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        for header in [
            format!("t={SECOND},v1={OTHER},v1={SIGNATURE},v0={OTHER}"),
            format!("t={SECOND}, v1={SIGNATURE}, v1=nonsense"),
            format!("v1={SIGNATURE},t={SECOND}"),
        ] {
            assert_eq!(verify(SECRET, &header, BODY, at(SECOND)), Ok(()), "{header}");
        }
    }

    #[test]
    fn what_is_not_stripes_is_not_believed() {
        let now = at(SECOND);
        let other_moment = format!("t={},v1={SIGNATURE}", SECOND + 1);
        for (what, secret, header, body) in [
            ("body", SECRET, header(), b"{}".as_slice()),
            ("secret", "whsec_other", header(), BODY),
            ("no secret", "", header(), BODY),
            ("moment", SECRET, other_moment, BODY),
            ("signature", SECRET, format!("t={SECOND},v1={OTHER}"), BODY),
            ("nothing", SECRET, "t=,v1=".to_owned(), BODY),
            (
                "cut short",
                SECRET,
                format!("t={SECOND},v1={}", &SIGNATURE[..62]),
                BODY,
            ),
        ] {
            assert_eq!(
                verify(secret, &header, body, now),
                Err(Forged::Mismatch),
                "{what}"
            );
        }
        for header in [
            String::new(),
            format!("v1={SIGNATURE}"),
            format!("t={SECOND}"),
            format!("t={SECOND},v0={SIGNATURE}"),
            format!("t={SECOND},t={SECOND},v1={SIGNATURE}"),
            format!("t={SECOND},v1=nonsense"),
        ] {
            let result = verify(SECRET, &header, BODY, now);
            assert_eq!(result, Err(Forged::Unreadable), "{header}");
        }
    }

    /// Only who has the secret could sign it; it is refused all the same.
    #[test]
    fn a_moment_is_a_number() {
        let mut signed = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        signed.update(b"soon.");
        signed.update(BODY);
        let header = format!("t=soon,v1={}", hex::encode(signed.finalize().into_bytes()));
        assert_eq!(verify(SECRET, &header, BODY, at(SECOND)), Err(Forged::Unreadable));
    }
}
