//! One pass over the text of a document, before it is parsed. No recursion, no allocation, one step per byte at most.
//!
//! What it takes for a string or a comment is exactly what the parser takes for one; where the parser would try something else
//! (a string that does not end), the document is refused, so that no bracket can hide.

use super::{MAX_BRACKETS, MAX_DOCUMENT, MAX_NAME, MAX_TOKENS, Refused};

/// Checks the length, the number of tokens, and the nesting of brackets of any kind.
pub(crate) fn scan(document: &str) -> Result<(), Refused> {
    if document.len() > MAX_DOCUMENT {
        return Err(too_many(MAX_DOCUMENT, "bytes"));
    }
    let bytes = document.as_bytes();
    let (mut depth, mut tokens, mut at) = (0_usize, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            0 => return Err(Refused::Nul),
            b'#' => {
                at = end_of_comment(bytes, at);
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            b'"' => end_of_string(bytes, at)?,
            b'{' | b'[' | b'(' => {
                depth += 1;
                at + 1
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'.' if bytes[at..].starts_with(b"...") => at + 3,
            byte if is_word(*byte) => end_of_word(bytes, at)?,
            // Anything else is a token of its own, as far as it is one at all: the parser will say so.
            _ => at + 1,
        };
        tokens += 1;
        if depth > MAX_BRACKETS {
            return Err(too_many(MAX_BRACKETS, "brackets within each other"));
        }
        if tokens > MAX_TOKENS {
            return Err(too_many(MAX_TOKENS, "tokens"));
        }
        at = end;
    }
    Ok(())
}

fn too_many(most: usize, what: &'static str) -> Refused {
    Refused::TooMany { most, what }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn end_of_word(bytes: &[u8], start: usize) -> Result<usize, Refused> {
    let length = bytes[start..].iter().take_while(|byte| is_word(**byte)).count();
    if length > MAX_NAME {
        return Err(too_many(MAX_NAME, "bytes in a name"));
    }
    Ok(start + length)
}

fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..]
        .iter()
        .take_while(|byte| !matches!(byte, b'\n' | b'\r'))
        .count();
    start + length
}

/// The place after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> Result<usize, Refused> {
    if bytes[start..].starts_with(b"\"\"\"") {
        return end_of_block(bytes, start + 3);
    }
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => {
                if bytes[at..].starts_with(b"\\u0000") {
                    return Err(Refused::Nul);
                }
                at += 2;
            }
            Some(0) => return Err(Refused::Nul),
            None | Some(b'\n' | b'\r') => return Err(unterminated()),
            Some(_) => at += 1,
        }
    }
}

fn end_of_block(bytes: &[u8], start: usize) -> Result<usize, Refused> {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'\\') if bytes[at..].starts_with(b"\\\"\"\"") => at += 4,
            Some(b'"') if bytes[at..].starts_with(b"\"\"\"") => return Ok(at + 3),
            Some(0) => return Err(Refused::Nul),
            None => return Err(unterminated()),
            Some(_) => at += 1,
        }
    }
}

fn unterminated() -> Refused {
    Refused::Syntax("a string does not end".to_owned())
}
