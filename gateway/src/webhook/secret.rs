//! What a webhook is signed with.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// Fewest bytes of a secret, by the standard.
const SHORTEST: usize = 24;
/// Most bytes of a secret, by the standard.
const LONGEST: usize = 64;
/// Base64 with padding; who types in a secret may leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that we and one receiver know. It is not shown by accident: who wants to see it asks it to [`reveal`](Self::reveal).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A text that is not a secret. It is not quoted, since it may be one with a slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be \"whsec_\" and the base64 of 24 to 64 bytes")]
pub struct BadSecret;

impl Secret {
    /// From bytes that nobody can guess.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// Another text, or a secret that is too short or too long.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let text = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = BASE64.decode(text).map_err(|_| BadSecret)?;
        let fits = (SHORTEST..=LONGEST).contains(&bytes.len());
        fits.then_some(Self(bytes)).ok_or(BadSecret)
    }

    /// The text `whsec_…`, for the receiver and for our own safe.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    /// The key of the signature.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_secrets_are_read() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(vec![7; bytes]));
        for (text, good) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), true),
            (of(23), false),
            (of(24), true),
            (of(32), true),
            (of(32).trim_end_matches('=').to_owned(), true),
            (of(64), true),
            (of(65), false),
            (of(32).replace("whsec_", ""), false),
            (of(32).replace("whsec_", "WHSEC_"), false),
            (format!(" {}", of(32)), false),
            (format!("{}\n", of(32)), false),
            ("whsec_".to_owned(), false),
            (format!("whsec_{}", "-".repeat(32)), false),
            (String::new(), false),
        ] {
            assert_eq!(Secret::parse(&text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from_bytes([7; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    proptest! {
        #[test]
        fn what_is_revealed_is_read_again(bytes in any::<[u8; 32]>()) {
            let secret = Secret::from_bytes(bytes);
            let text = secret.reveal();
            prop_assert_eq!(text.len(), 6 + 44);
            prop_assert_eq!(Secret::parse(&text), Ok(secret));
        }

        #[test]
        fn nothing_breaks_it(text in "(whsec_)?\\PC{0,100}") {
            let _ = Secret::parse(&text);
        }
    }
}
