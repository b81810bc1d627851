//! Ids in the one form apalis accepts: 26 characters of Crockford's base 32, known as ULID.
//!
//! A version 7 UUID has the layout of a ULID, milliseconds first and random bits after, so it only has to be written in
//! the other alphabet.

use uuid::Uuid;

/// Length of a ULID in characters.
const LENGTH: usize = 26;
/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id, later ones sorting after earlier ones of the same process.
pub(crate) fn new() -> String {
    encode(Uuid::now_v7().as_u128())
}

fn encode(value: u128) -> String {
    (0..LENGTH)
        .rev()
        .map(|place| char::from(ALPHABET[(value >> (5 * place)) as usize & 31]))
        .collect()
}

/// Whether `id` is written exactly as a ULID is printed.
///
/// apalis also reads lower case and overlong values, but prints them differently afterwards, so that its acknowledgement
/// would miss the row for ever. Such ids are therefore as unusable as any other garbage.
pub(crate) fn is_canonical(id: &str) -> bool {
    // 26 characters hold 130 bits; the first may only use the three that fit into 128.
    id.len() == LENGTH && id.as_bytes()[0] <= b'7' && id.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_canonical_and_ordered() {
        let ids: Vec<String> = (0..1_000).map(|_| new()).collect();
        assert!(ids.iter().all(|id| is_canonical(id)));
        assert!(ids.is_sorted());
    }

    #[test]
    fn known_values_are_written_as_ulids() {
        assert_eq!(encode(0), "00000000000000000000000000");
        assert_eq!(encode(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(
            encode(0x4141_4141_4141_4141_4141_4141_4141_4141),
            "21850M2GA1850M2GA1850M2GA1"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for id in [
            "",
            "x",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "21850m2ga1850m2ga1850m2ga1",
            "2185IM2GA1850M2GA1850M2GA1",
        ] {
            assert!(!is_canonical(id), "{id}");
        }
    }
}
