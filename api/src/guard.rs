//! What a request may look like before it is parsed.
//!
//! The parser recurses into nested values, so a few kilobytes of brackets would overflow the stack and end the process. One
//! pass over the text finds the depth without recursion.

use serde_json::Value;

use crate::graphql::error;

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
    /// It contains U+0000, which PostgreSQL cannot store and nobody means.
    #[error("text must not contain the character U+0000")]
    Nul,
}

impl Refused {
    /// The code that the caller reads.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooLong | Self::TooDeep => error::QUERY_TOO_COMPLEX,
            Self::Nul => error::BAD_USER_INPUT,
        }
    }
}

/// Checks a document and the values of its variables.
pub(crate) fn check(document: &str, variables: &Value) -> Result<(), Refused> {
    if document.len() > MAX_DOCUMENT {
        return Err(Refused::TooLong);
    }
    if document.contains('\0') || document.contains("\\u0000") || has_nul(variables) {
        return Err(Refused::Nul);
    }
    check_depth(document)
}

/// Whether a text in a value contains U+0000. The reader of JSON has bounded the nesting.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Strings and comments do not count.
fn check_depth(document: &str) -> Result<(), Refused> {
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
    use serde_json::json;

    use super::*;

    fn check(document: &str) -> Result<(), Refused> {
        super::check(document, &Value::Null)
    }

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

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        for document in ["{ a(b: \"\0\") }", "{ a(b: \"\\u0000\") }"] {
            assert_eq!(check(document), Err(Refused::Nul), "{document:?}");
        }
        for variables in [json!({"a": "\0"}), json!({"a": [{"b": "x\0"}]}), json!({"\0": 1})] {
            assert_eq!(
                super::check("{ a }", &variables),
                Err(Refused::Nul),
                "{variables}"
            );
        }
        assert_eq!(super::check("{ a }", &json!({"a": ["b", 1, null, true]})), Ok(()));
    }
}
