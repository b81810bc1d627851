//! How a webhook is signed.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Secret;

/// The header `webhook-signature` of a message: one signature for each secret, so that a receiver who is about to change secrets can
/// check with the old one as well as with the new one.
///
/// The identity, the second (since 1970) and the body are the very ones that are sent. The identity has no full stop in it, as that
/// separates them.
#[must_use]
pub fn sign(id: &str, timestamp_seconds: i64, body: &str, secrets: &[Secret]) -> String {
    let signed = format!("{id}.{timestamp_seconds}.{body}");
    let signatures: Vec<String> = secrets.iter().filter_map(|secret| one(&signed, secret)).collect();
    signatures.join(" ")
}

/// The signature with one secret. A key of any length is one for HMAC, so that there always is a signature.
fn one(signed: &str, secret: &Secret) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    mac.update(signed.as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the standard.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECOND: i64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(byte: u8) -> Secret {
        Secret::from_bytes([byte; 32])
    }

    #[test]
    fn the_example_of_the_standard() {
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(sign(ID, SECOND, BODY, &[secret]), SIGNATURE);
    }

    #[test]
    fn each_secret_signs() {
        let known = Secret::parse(SECRET).unwrap();
        let text = sign(ID, SECOND, BODY, &[secret(1), known, secret(2)]);
        let signatures: Vec<&str> = text.split(' ').collect();
        assert_eq!(signatures.len(), 3);
        assert_eq!(signatures[1], SIGNATURE);
        assert_eq!(signatures[0], sign(ID, SECOND, BODY, &[secret(1)]));
        assert_eq!(sign(ID, SECOND, BODY, &[]), "");
    }

    proptest! {
        #[test]
        fn whatever_changes_shows(
            id in "[a-zA-Z0-9_-]{1,40}", second in 0_i64..4_000_000_000, body in "\\PC{0,200}", key in any::<[u8; 32]>(),
        ) {
            let key = Secret::from_bytes(key);
            let sign = |id: &str, second: i64, body: &str| sign(id, second, body, std::slice::from_ref(&key));
            let whole = sign(&id, second, &body);
            prop_assert_eq!(whole.len(), "v1,".len() + 44);
            prop_assert!(whole.is_ascii());
            prop_assert_eq!(&whole, &sign(&id, second, &body));
            prop_assert_ne!(&whole, &sign(&format!("{id}x"), second, &body));
            prop_assert_ne!(&whole, &sign(&id, second + 1, &body));
            prop_assert_ne!(&whole, &sign(&id, second, &format!("{body} ")));
        }
    }
}
