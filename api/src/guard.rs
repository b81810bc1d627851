//! What a document may look like before it is parsed.
//!
//! The parser recurses into nested values, so a few kilobytes of brackets would overflow the stack and end the process. One
//! pass over the text finds the depth without recursion.

/// Longest document, in bytes.
const MAX_DOCUMENT: usize = 32 * 1024;
/// Deepest nesting of brackets of any kind. The standard introspection query needs 15.
const MAX_DEPTH: usize = 32;

/// Why a document is refused unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too long.
    #[error("a document has at most {MAX_DOCUMENT} bytes")]
    TooLong,
    /// Nested too deeply.
    #[error("a document nests at most {MAX_DEPTH} brackets")]
    TooDeep,
}

/// Checks the length and the nesting of a document. Strings and comments do not count.
pub(crate) fn check(document: &str) -> Result<(), Refused> {
    if document.len() > MAX_DOCUMENT {
        return Err(Refused::TooLong);
    }
    let bytes = document.as_bytes();
    let (mut depth, mut index) = (0_usize, 0);
    while index < bytes.len() {
        match bytes[index] {
            b'"' => index = end_of_string(bytes, index),
            b'#' => {
                index += bytes[index..]
                    .iter()
                    .position(|byte| matches!(byte, b'\n' | b'\r'))
                    .unwrap_or(bytes.len())
            }
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        index += 1;
    }
    Ok(())
}

/// The place of the quote that ends the string that begins at `start`, or of the last byte.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let block = bytes[start..].starts_with(b"\"\"\"");
    let mut index = start + if block { 3 } else { 1 };
    while index < bytes.len() {
        match bytes[index] {
            b'\\' if block && bytes[index..].starts_with(b"\\\"\"\"") => index += 3,
            b'\\' if !block => index += 1,
            b'"' if !block => return index,
            b'"' if bytes[index..].starts_with(b"\"\"\"") => return index + 2,
            // A string on one line ends there; the parser will say so.
            b'\n' if !block => return index,
            _ => {}
        }
        index += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth() {
        let nested = |n: usize| format!("{{ a(b: {}{}) }}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check(&nested(30)), Ok(()));
        assert_eq!(check(&nested(31)), Err(Refused::TooDeep));
        assert_eq!(check(&"[".repeat(20_000)), Err(Refused::TooDeep));
        assert_eq!(check(&" ".repeat(MAX_DOCUMENT + 1)), Err(Refused::TooLong));
    }

    #[test]
    fn strings_and_comments_do_not_count() {
        let brackets = "[".repeat(100);
        for document in [
            format!("{{ a(b: \"{brackets}\") }}"),
            format!("{{ a(b: \"\\\"{brackets}\") }}"),
            format!("{{ a(b: \"\"\"{brackets} \\\"\"\" \" {brackets}\"\"\") }}"),
            format!("# {brackets}\n{{ a }}"),
        ] {
            assert_eq!(check(&document), Ok(()), "{document}");
        }
        assert_eq!(
            check(&format!("{{ a(b: \"\") }} {brackets}")),
            Err(Refused::TooDeep)
        );
        assert_eq!(check(&format!("# \" \n {brackets}")), Err(Refused::TooDeep));
    }
}
